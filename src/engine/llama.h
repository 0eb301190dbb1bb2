// SPDX-License-Identifier: MIT
/* The life of one supervised llama-server, without processes or sockets.
 *
 *   STOPPED --start--> STARTING --spawned--> LOADING --healthy--> READY <--healthy-- UNHEALTHY
 *      ^                  |                    |  |                 |---3 bad checks--->|
 *      |                  | not spawned        |  | too long        | exited            | too long
 *      |                  v                    v  v                 v                   v
 *      |              BACKING_OFF <---------exited-------------- (exited) <--exited-- KILLING
 *      |                  |  \--too many in a row--> GAVE_UP
 *      |                  +--time--> STARTING
 *      +--exited-- STOPPING <--stop-- any with a process
 *
 * A restart waits 250 ms, then twice as long each time, up to 60 s; being READY for a minute forgets
 * the past. Eight deaths in a row without ever having been READY give up: the model is broken, not
 * unlucky. */
#ifndef CONDUIT_ENGINE_LLAMA_H
#define CONDUIT_ENGINE_LLAMA_H

#include "base/sched.h"

#include <stdbool.h>
#include <stdint.h>

#define LLAMA_STATES(X)                                                                            \
    X(STOPPED, "stopped")                                                                          \
    X(STARTING, "starting") X(LOADING, "loading") X(READY, "ready") X(UNHEALTHY, "not answering")  \
        X(KILLING, "being killed") X(BACKING_OFF, "waiting to restart") X(GAVE_UP, "given up")     \
            X(STOPPING, "stopping")

enum llama_state {
#define LLAMA_ENUM(name, text) LLAMA_##name,
    LLAMA_STATES(LLAMA_ENUM)
#undef LLAMA_ENUM
        LLAMA_STATE_COUNT
};

enum llama_event {
    LLAMA_START, /* the owner wants it; also after GAVE_UP */
    LLAMA_STOP,  /* the owner does not */
    LLAMA_SPAWNED,
    LLAMA_SPAWN_FAILED,
    LLAMA_EXITED,
    LLAMA_HEALTHY,       /* /health said 200 */
    LLAMA_STILL_LOADING, /* it answered 503 */
    LLAMA_NO_ANSWER,     /* refused, reset, timed out */
    LLAMA_TICK,
};

/* What to do now, in this order. */
enum llama_effect {
    LLAMA_DO_SPAWN = 1 << 0,
    LLAMA_DO_CHECK = 1 << 1, /* ask /health; exactly one answer event follows, or EXITED */
    LLAMA_DO_TERM = 1 << 2,
    LLAMA_DO_KILL = 1 << 3,
    LLAMA_DO_TELL = 1 << 4, /* whether it is ready has changed */
};

struct llama {
    enum llama_state state;
    bool is_wanted, is_checking, was_ready;
    uint32_t deaths;      /* in a row */
    uint32_t bad_checks;  /* in a row */
    uint32_t restarts;    /* ever: for people */
    uint64_t since_us;    /* in this state */
    uint64_t check_at_us; /* SCHED_NEVER while one runs */
    uint64_t kill_at_us;  /* SIGKILL follows SIGTERM */
    uint64_t backoff_us;
};

void llama_init(struct llama *l, uint64_t now_us);
unsigned llama_step(struct llama *l, enum llama_event ev, uint64_t now_us);
uint64_t llama_deadline(const struct llama *l);
static inline bool llama_is_ready(const struct llama *l)
{
    return l->state == LLAMA_READY;
}
bool llama_has_process(const struct llama *l);
const char *llama_state_text(enum llama_state s);
/* NULL, or what is wrong with it: for tests and asserts. */
const char *llama_broken(const struct llama *l);

#define LLAMA_LOAD_US        (UINT64_C(1800) * US_PER_S) /* big models on slow disks */
#define LLAMA_UNHEALTHY_US   (UINT64_C(60) * US_PER_S)   /* not answering for so long: killed */
#define LLAMA_CHECK_US       (UINT64_C(5) * US_PER_S)
#define LLAMA_LOAD_POLL_US   (UINT64_C(50) * US_PER_MS)
#define LLAMA_TERM_US        (UINT64_C(3) * US_PER_S)
#define LLAMA_BACKOFF_US     (UINT64_C(250) * US_PER_MS)
#define LLAMA_BACKOFF_MAX_US (UINT64_C(60) * US_PER_S)
#define LLAMA_FORGET_US      (UINT64_C(60) * US_PER_S)
enum { LLAMA_DEATHS = 8, LLAMA_BAD_CHECKS = 3 };

#endif
