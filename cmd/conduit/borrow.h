// SPDX-License-Identifier: MIT
/* A node of its own for one question: `conduit up` as a child with a directory that is thrown away.
 *
 * The child is in a process group of its own, so that Ctrl-C reaches only the command, which ends
 * it; and it is told to end when the command dies in any other way. While a node is borrowed SIGINT
 * and SIGTERM are blocked outside of api_call; borrow_pause is the wait that notices them. */
#ifndef CONDUIT_CMD_BORROW_H
#define CONDUIT_CMD_BORROW_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct borrowed {
    pid_t pid; /* 0: none */
    int out;   /* its stdout */
    char dir[256];
    char socket[300];
    char why[512];   /* with EXIT_FAILED: the sentence */
    sigset_t before; /* the mask to go back to */
};

/* Starts it and waits until it is ready. 0; EXIT_FAILED after saying why; EXIT_INTERRUPTED.
 * Whatever it says, borrow_stop puts it away. */
int borrow_start(struct borrowed *b, const char *command, const char *bootstrap);
/* `conduit up` with these options (of which --share is not one) and its own data directory, sharing nothing; says
 * nothing itself: `why` does. */
int borrow_up(struct borrowed *b, const char *data_dir, int argc, char *const *options);
/* Waits; true when the user wants to stop. */
bool borrow_pause(uint32_t ms);
void borrow_stop(struct borrowed *b);

#endif
