// SPDX-License-Identifier: MIT
/* The one list of errors.
 *
 * Functions return 0 or a negative `E_…`. The groups say what the caller should do about it, not
 * where it came from: wait, retry elsewhere, blame the peer, tell the user about a limit, give up
 * quietly because somebody cancelled, or fix a bug. What a peer *reports* (an HTTP status, a relay
 * status) is data and never becomes one of these. Sentences for people are made at the borders
 * (configuration, CLI, HTTP); `err_text` is the last resort there and the word in traces. */
#ifndef CONDUIT_BASE_ERR_H
#define CONDUIT_BASE_ERR_H

/* name, value, sentence */
#define ERR_LIST(X)                                                                                \
    /* wait: not an error */                                                                       \
    X(E_AGAIN, -1, "nothing to do yet; wait for the event")                                        \
    /* retry, perhaps elsewhere */                                                                 \
    X(E_TIMEOUT, -10, "it did not finish in time")                                                 \
    X(E_REFUSED, -11, "connection refused")                                                        \
    X(E_UNREACHABLE, -12, "no route to the address")                                               \
    X(E_RESET, -13, "reset by the other side")                                                     \
    X(E_CLOSED, -14, "closed")                                                                     \
    X(E_EOF, -15, "ended before it was complete")                                                  \
    X(E_IO, -16, "input or output failed")                                                         \
    X(E_UNAVAILABLE, -17, "not available now")                                                     \
    X(E_BUSY, -18, "busy")                                                                         \
    X(E_DNS, -19, "the name could not be resolved")                                                \
    /* blame the peer: it broke the protocol or is not who it should be */                         \
    X(E_PROTO, -30, "the peer broke the protocol")                                                 \
    X(E_MALFORMED, -31, "malformed input")                                                         \
    X(E_UNSUPPORTED, -32, "not supported by the other side")                                       \
    X(E_AUTH, -33, "could not be authenticated")                                                   \
    X(E_WRONG_PEER, -34, "another peer answered than the one that was asked")                      \
    X(E_DUPLICATE, -35, "given twice")                                                             \
    X(E_WRONG_NETWORK, -36, "the other side is not in this private network, or has another key")   \
    /* a limit */                                                                                  \
    X(E_LIMIT, -50, "over a limit")                                                                \
    X(E_TOO_BIG, -51, "too big")                                                                   \
    X(E_NO_MEMORY, -52, "out of memory")                                                           \
    X(E_NO_FILES, -53, "too many open files")                                                      \
    /* give up */                                                                                  \
    X(E_CANCELLED, -70, "cancelled")                                                               \
    X(E_NOT_FOUND, -71, "not found")                                                               \
    X(E_EXISTS, -72, "exists already")                                                             \
    X(E_IN_USE, -73, "in use by somebody else")                                                    \
    X(E_DENIED, -74, "not allowed")                                                                \
    X(E_EXPIRED, -75, "expired")                                                                   \
    /* our caller's mistake */                                                                     \
    X(E_INVALID, -90, "invalid argument")                                                          \
    X(E_BUG, -99, "a bug in conduit; please report it")

enum err {
    E_OK = 0,
#define ERR_ENUM(name, value, text) name = (value),
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
};

/* The sentence of an error, borrowed for ever; "unknown error" for a number not in the list. */
const char *err_text(int err);

/* The name, as "E_TIMEOUT". */
const char *err_name(int err);

/* Our error for a system errno (positive). */
int err_from_errno(int sys_errno);

#endif
