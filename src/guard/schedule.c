// SPDX-License-Identifier: MIT
/* Time-of-day windows; see schedule.h. */
#include "guard/schedule.h"

#include "base/err.h"

#include <stdio.h>

enum { DAY = 24 * 60 };

static int minutes(const char *text, uint16_t *out)
{
    unsigned h, m;
    int end = 0;
    if (sscanf(text, "%2u:%2u%n", &h, &m, &end) != 2 || text[end] || h > 23 || m > 59)
        return E_MALFORMED;
    *out = (uint16_t)(h * 60 + m);
    return 0;
}

int schedule_init(struct schedule *s, const char *start, const char *end)
{
    *s = (struct schedule){0};
    if (!start && !end)
        return 0;
    if (!start || !end || minutes(start, &s->start) || minutes(end, &s->end))
        return E_MALFORMED;
    s->is_set = s->start != s->end;
    return 0;
}

bool schedule_is_open(const struct schedule *s, unsigned minute_of_day)
{
    if (!s->is_set)
        return true;
    if (s->start < s->end)
        return minute_of_day >= s->start && minute_of_day < s->end;
    return minute_of_day >= s->start || minute_of_day < s->end;
}

unsigned schedule_until_change(const struct schedule *s, unsigned minute_of_day)
{
    if (!s->is_set)
        return 0;
    unsigned at = schedule_is_open(s, minute_of_day) ? s->end : s->start;
    unsigned left = (at + DAY - minute_of_day) % DAY;
    return left ? left : DAY;
}
