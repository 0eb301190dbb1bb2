// SPDX-License-Identifier: MIT
/* Everything a stranger can size has its limit here, and nowhere else. One line each, with the
 * reason. Checked before allocating; each has a test that exceeds it. Grouped by room. */
#ifndef CONDUIT_BASE_LIMITS_H
#define CONDUIT_BASE_LIMITS_H

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * KIB)

/* --- codec --- */

/* --- http --- */
#define LIMIT_HTTP_HEAD      (32 * KIB) /* request or response head; Codex sends 1 KB JSON headers */
#define LIMIT_HTTP_HEADERS   128        /* header fields in one head */
#define LIMIT_HTTP_BODY      (32 * MIB) /* default; base64 images are big */
#define LIMIT_SSE_EVENT      (4 * MIB)  /* one event of a stream */

/* --- p2p --- */

/* --- dht --- */

/* --- offer, route, guard --- */

/* --- engine --- */

/* --- gateway --- */

#endif
