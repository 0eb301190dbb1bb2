// SPDX-License-Identifier: MIT
/* Formatting and filtering of log lines; see trace.h. */
#include "base/trace.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const room_names[ROOM_COUNT] = {
#define TRACE_NAME(name, text) text,
    TRACE_ROOMS(TRACE_NAME)
#undef TRACE_NAME
};
static const char *const level_names[] = {"off", "error", "warn", "info", "debug", "trace"};

uint8_t trace_levels[ROOM_COUNT] = {[0 ... ROOM_COUNT - 1] = TRACE_WARN};

static struct {
    trace_sink sink;
    void *ctx;
} out;

void trace_set_sink(trace_sink sink, void *ctx)
{
    out.sink = sink;
    out.ctx = ctx;
}

void trace_set_all(enum trace_level level)
{
    memset(trace_levels, level, sizeof trace_levels);
}

static int find_name(const char *const *names, size_t count, const char *s, size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == n && memcmp(names[i], s, n) == 0)
            return (int)i;
    return -1;
}

int trace_configure(const char *spec, char why[static 128])
{
    uint8_t levels[ROOM_COUNT];
    memcpy(levels, trace_levels, sizeof levels);
    for (const char *p = spec; *p;) {
        size_t n = strcspn(p, ","), eq = strcspn(p, "=,");
        const char *word = eq < n ? p + eq + 1 : p;
        int level = find_name(level_names, ARRAY_LEN(level_names), word, (size_t)(p + n - word));
        int room = eq < n ? find_name(room_names, ROOM_COUNT, p, eq) : -1;
        if (level < 0 || (eq < n && room < 0)) {
            snprintf(why, 128, "unknown log %s in \"%.*s\"", level < 0 ? "level" : "room",
                     (int)(n < 60 ? n : 60), p);
            return E_MALFORMED;
        }
        if (room >= 0)
            levels[room] = (uint8_t)level;
        else
            memset(levels, level, sizeof levels);
        p += n + (p[n] == ',');
    }
    memcpy(trace_levels, levels, sizeof levels);
    return 0;
}

static void to_stderr(enum trace_room room, enum trace_level level, const char *line)
{
    char when[40] = "";
    if (!getenv("JOURNAL_STREAM")) {
        struct timespec ts;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &ts);
        gmtime_r(&ts.tv_sec, &tm);
        size_t n = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(when + n, sizeof when - n, ".%03ldZ ", ts.tv_nsec / 1000000);
    }
    fprintf(stderr, "%s%s %s %s\n", when, room_names[room], level_names[level], line);
}

/* Control characters become '?', those of two bytes (U+0080..U+009F) as well: what peers sent must neither look
 * like lines of ours nor drive a terminal. */
static void sanitize(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
        else if ((unsigned char)*s == 0xc2 && (unsigned char)s[1] >= 0x80 &&
                 (unsigned char)s[1] < 0xa0)
            s[0] = s[1] = '?';
}

void trace_write(enum trace_room room, enum trace_level level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    sanitize(line);
    if (out.sink)
        out.sink(out.ctx, room, level, line);
    else
        to_stderr(room, level, line);
}
