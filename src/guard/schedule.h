// SPDX-License-Identifier: MIT
/* The window in which a node shares: from one local time of day to another, over midnight when the end is
 * earlier than the start. Equal times mean always. Pure: the minute of the day goes in. */
#ifndef CONDUIT_GUARD_SCHEDULE_H
#define CONDUIT_GUARD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
    bool is_set;
    uint16_t start, end; /* minutes of the local day; over when the minute `end` begins, as in seed
                          * Conduit, which compares to the second */
};

/* "HH:MM" twice; both NULL: always. 0 or E_MALFORMED. */
int schedule_init(struct schedule *s, const char *start, const char *end);
bool schedule_is_open(const struct schedule *s, unsigned minute_of_day);
/* Minutes until it opens or closes; 0 when it never does. */
unsigned schedule_until_change(const struct schedule *s, unsigned minute_of_day);

#endif
