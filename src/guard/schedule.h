// SPDX-License-Identifier: MIT
/* Hours of the day in which a node serves others, in local time, over midnight where to < from. Pure:
 * the minute of the day comes in. No windows: always open; a window from = to is the whole day. */
#ifndef CONDUIT_GUARD_SCHEDULE_H
#define CONDUIT_GUARD_SCHEDULE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum { SCHEDULE_WINDOWS = 8, MINUTES_PER_DAY = 1440 };

struct schedule_window {
    uint16_t from, to; /* minutes of the local day; `to` is outside */
};
struct schedule {
    struct schedule_window windows[SCHEDULE_WINDOWS];
    int count;
};

/* "22:30" (or "24:00"): minutes; -1 when malformed. */
int schedule_parse_time(struct bytes text);
/* Adds "HH:MM" to "HH:MM": 0, E_MALFORMED, E_LIMIT. */
int schedule_add(struct schedule *s, struct bytes from, struct bytes to);
/* "22:00-06:00,12:00-13:00": 0, E_MALFORMED, E_LIMIT; nothing changes on an error. */
int schedule_parse(struct bytes text, struct schedule *out);
bool schedule_is_open(const struct schedule *s, unsigned minute);
/* Minutes until it opens or closes, counted from the beginning of `minute`: 1..1440, or -1: never. */
int schedule_next_change(const struct schedule *s, unsigned minute);

#endif
