// SPDX-License-Identifier: MIT
/* Is a peer's stream whole? Another Conduit node has put its backend right already, so the consumer does
 * not parse every event: it looks for a finish reason, an error, and [DONE], and believes nothing else. */
#ifndef CONDUIT_GATEWAY_TERMINAL_H
#define CONDUIT_GATEWAY_TERMINAL_H

#include "base/bytes.h"

enum terminal_verdict {
    TERMINAL_MORE,   /* relay it */
    TERMINAL_DONE,   /* [DONE], and a finish reason came before: complete */
    TERMINAL_ERROR,  /* an error event */
    TERMINAL_BROKEN, /* [DONE] without a finish reason */
};

struct terminal {
    bool needs_finish, has_finish;
};

void terminal_init(struct terminal *t, bool needs_finish);
enum terminal_verdict terminal_event(struct terminal *t, struct bytes data);

#endif
