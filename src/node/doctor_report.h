// SPDX-License-Identifier: MIT
/* What a check found: one line for people, one object for programs. The list of them is the doctor's report.
 *
 *   ok    ports        8000 for peers and 8888 for the API are free
 *   warn  nat          strangers cannot dial this node; two relays are reserved
 *   FAIL  bootstrap    192.0.2.1:8000: connection refused -> is conduit running there? …
 *
 * A failure is what stops the main job: being started, joining, serving or asking. Everything else that could
 * be better is a warning. What could not be looked at is skipped, with the reason. */
#ifndef CONDUIT_NODE_DOCTOR_REPORT_H
#define CONDUIT_NODE_DOCTOR_REPORT_H

#include "base/buf.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP };
enum { DOCTOR_CHECKS = 64, DOCTOR_NAME = 16, DOCTOR_TEXT = 320 };

struct doctor_check {
    enum doctor_level level;
    char name[DOCTOR_NAME]; /* stable: "ports", "bootstrap" */
    char text[DOCTOR_TEXT];
    char remedy[DOCTOR_TEXT]; /* what to do; empty where nothing is to be done */
};

/* Further checks than DOCTOR_CHECKS are counted, not kept; a failure among them still fails the report. */
struct doctor_report {
    struct doctor_check v[DOCTOR_CHECKS];
    size_t count, dropped;
    bool has_failed;
};

/* `remedy` may be NULL. The check, to be changed by the caller. */
struct doctor_check *doctor_add(struct doctor_report *r, enum doctor_level level, const char *name,
                                const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* {"ok":true,"checks":[{"check":"ports","level":"ok","text":"…","remedy":"…"}]} */
int doctor_report_json(const struct doctor_report *r, struct buf *out);
/* Appends the checks of such a document: 0 or E_MALFORMED. */
int doctor_report_read(struct doctor_report *r, struct bytes json);
/* The lines for people: failures last, then what it comes to; or in the order in which they were found, where they
 * are steps. */
void doctor_report_print(const struct doctor_report *r, bool in_order, struct buf *out);

#endif
