// SPDX-License-Identifier: MIT
/* A Yamux session listening to anything, with a user that accepts, reads, writes, resets and
 * releases by the input's whim. The window's books must balance at every step. */
#include "p2p/yamux.h"

#include "base/mem.h"

#include <stdlib.h>

enum { STREAMS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct user {
    struct yamux y;
    struct yamux_stream s[STREAMS];
    uint32_t turn;
};

static void must(bool truth)
{
    if (!truth)
        abort();
}

static void check_books(struct user *u)
{
    uint64_t held = 0, queued = 0;
    for (int i = 0; i < STREAMS; i++) {
        const struct yamux_stream *s = &u->s[i];
        if (!s->session)
            continue;
        held += s->recv.charged;
        queued += buf_len(&s->send.queue);
        uint64_t rest = u->y.body_to == s ? u->y.body_left : 0;
        uint64_t slice = u->y.slice_to == s ? u->y.slice.n : 0;
        must(s->is_reset ||
             s->recv.credit + (uint64_t)s->recv.owed + buf_len(&s->recv.unread) + rest + slice ==
                 s->recv.window);
    }
    must(held == u->y.held && queued == u->y.queued);
}

static void act(struct user *u, uint8_t what)
{
    struct yamux_stream *s = &u->s[u->turn++ % STREAMS];
    uint8_t sink[512] = {0};
    switch (what % 8) {
    case 0:
        if (!s->session)
            (void)yamux_open(&u->y, s);
        break;
    case 1:
        yamux_write(s, bytes_of(sink, what));
        break;
    case 2:
        yamux_finish(s);
        break;
    case 3:
        yamux_reset(s, what);
        break;
    case 4:
        yamux_release(s);
        break;
    case 5:
        yamux_shut_read(s);
        break;
    default:
        yamux_read(s, sink, 1 + what);
    }
}

static void drain(struct user *u, uint8_t *out)
{
    size_t n;
    while ((n = yamux_drain(&u->y, out, 4096)) != 0)
        must(n <= 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct user *u = MEM_NEW(struct user);
    struct sched clock;
    struct yamux_event ev;
    uint8_t *out = mem_new(4096);
    int r = 0;
    sched_init(&clock, 1, 0);
    struct yamux_cfg cfg = yamux_cfg_default(size & 1, &clock, NULL);
    cfg.max_inbound = STREAMS / 2;
    cfg.conn_budget = 400 * 1024;
    yamux_init(&u->y, &cfg);
    /* one byte of whim, one of length, then that much of wire */
    while (size >= 2 && r >= 0) {
        size_t n = data[1] < size - 2 ? data[1] : size - 2;
        uint8_t whim = data[0], *copy = mem_new(n);
        memcpy(copy, data + 2, n);
        data += 2 + n;
        size -= 2 + n;
        struct bytes in = bytes_of(copy, n);
        sched_set_now(&clock, clock.now_us + whim * 97u, 0);
        while ((r = yamux_next(&u->y, &in, &ev)) == 1) {
            struct yamux_stream *s = &u->s[u->turn % STREAMS];
            if (ev.kind == YAMUX_INBOUND && !s->session && whim & 1)
                yamux_accept(&u->y, s);
            act(u, whim >> 1);
            check_books(u);
        }
        free(copy);
        act(u, whim);
        check_books(u);
        if (whim & 0x40)
            drain(u, out);
    }
    drain(u, out);
    yamux_fini(&u->y);
    sched_fini(&clock);
    free(out);
    free(u);
    return 0;
}
