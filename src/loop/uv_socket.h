// SPDX-License-Identifier: MIT
/* A connected TCP or unix socket as a stream, on uv_poll_t. Private to the libuv maker. */
#ifndef CONDUIT_LOOP_UV_SOCKET_H
#define CONDUIT_LOOP_UV_SOCKET_H

#include "loop/uv_maker.h"

struct uvm_socket {
    struct stream base;
    uv_poll_t poll;
    int fd;              /* -1 once given back to the kernel */
    int16_t broken;      /* the error that ended it, or 0 */
    uint8_t watched;     /* the uv_poll_event bits libuv was told */
    bool is_drained;     /* the last read came up short: the next one would say E_AGAIN */
    bool is_ended;       /* the other side's end was read */
    bool is_finished;    /* our end was sent */
    bool is_told;        /* `closed` was called */
    bool is_closed;      /* by its user */
    bool is_handle_gone; /* libuv let go of `poll` */
};

/* Takes `fd` (non-blocking). NULL and the fd closed when libuv will not have it. Nothing is watched
 * until uvm_socket_open; a dial uses `poll` for itself until then. */
struct uvm_socket *uvm_socket_new(struct uvm *m, int fd, const struct net_addr *remote);
/* Connected: from here on it is a stream. */
struct stream *uvm_socket_open(struct uvm_socket *s);
/* For one that never became a stream. */
void uvm_socket_discard(struct uvm_socket *s);

#endif
