// SPDX-License-Identifier: MIT
/* Many peers, each with an identity of its own, that connect, identify and then do nothing: the other end of
 * the figure "memory of an idle connection" (idle.py measures the node).
 *
 *   bench-idle HOST:PORT COUNT      one line when all are open and identified; ends by SIGTERM, or with its parent
 *
 * One process, one loop; each peer is a connection with an environment of its own and no host around it. They
 * answer identify as a Conduit node does, and ping, and open nothing. */
#include "base/mem.h"
#include "codec/envelope.h"
#include "codec/multiaddr.h"
#include "loop/loop.h"
#include "p2p/conn.h"
#include "p2p/identify.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 128 }; /* below LIMIT_CONNS_PENDING: this is no flood */

struct peer {
    struct key_pair key;
    struct noise_self self;
    struct conn_env env;
    struct loop_dial dial;
    struct conn *conn;
    struct multiaddr addr;
};

static struct {
    struct loop *loop;
    struct yamux_budget budget;
    struct conn_scratch scratch;
    struct net_addr to;
    struct peer *peers;
    size_t count, begun, identified, failed;
    struct timer watch;
} w;

static void begin(void);

static void lost(const char *what, int err, const char *why)
{
    if (w.failed++ < 5)
        fprintf(stderr, "%s: %s %s\n", what, err_text(err), why);
}

/* --- what the node asks of us --- */

static int secured(void *ctx, struct conn *c)
{
    return 0;
}

static void opened(void *ctx, struct conn *c)
{
}

static void closed(void *ctx, struct conn *c, int err, const char *why)
{
    lost("closed", err, why);
    ((struct peer *)ctx)->conn = NULL;
}

static int protocol(void *ctx, struct conn *c, struct bytes protocol)
{
    return bytes_eq_str(protocol, "/ipfs/id/1.0.0") ? 0 : -1;
}

static void accepted(void *ctx, struct conn *c, int handler, struct stream *s)
{
    static const char *const protocols[] = {"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0",
                                            "/ipfs/ping/1.0.0", "/libp2p/circuit/relay/0.2.0/stop",
                                            "/libp2p/dcutr"};
    struct peer *p = ctx;
    struct identify id = {.version = BYTES_LIT("/conduit/1.0.0"),
                          .agent = BYTES_LIT("conduit/0.1.0 idle")};
    uint8_t key[KEY_PUBLIC_MESSAGE];
    struct buf out, record;
    buf_init(&out, 0);
    buf_init(&record, 0);
    key_pair_public_message(&p->key, key);
    id.public_key = bytes_of(key, sizeof key);
    id.addrs[id.addr_count++] = multiaddr_bytes(&p->addr);
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        id.protocols[id.protocol_count++] = bytes_str(protocols[i]);
    if (peer_record_seal(&p->key, 1, id.addrs, id.addr_count, &record) == 0)
        id.signed_record = buf_view(&record);
    if (identify_encode(&id, &out) == 0)
        (void)stream_write(s, buf_view(&out));
    stream_finish(s);
    stream_close(s);
    buf_fini(&out);
    buf_fini(&record);
    w.identified++;
    begin();
    if (w.identified == w.count) {
        printf("%zu identified, %zu failed\n", w.identified, w.failed);
        fflush(stdout);
    }
}

static const struct conn_events events = {secured, opened, closed, protocol, accepted};

/* --- one after another --- */

static void dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct peer *p = CONTAINER_OF(d, struct peer, dial);
    if (err) {
        lost("dial", err, "");
        return;
    }
    p->conn = conn_new(&p->env, s, true, NULL);
}

static void begin_one(struct peer *p)
{
    char text[64];
    unsigned n = (unsigned)(p - w.peers);
    snprintf(text, sizeof text, "/ip4/198.51.%u.%u/tcp/8000", 100 + n / 250, 1 + n % 250);
    (void)multiaddr_parse(bytes_str(text), &p->addr);
    key_pair_generate(&p->key, loop_rng(w.loop));
    if (noise_self_init(&p->self, &p->key, P2P_YAMUX, loop_rng(w.loop)) != 0)
        abort();
    p->env = (struct conn_env){
        .sched = loop_sched(w.loop),
        .rng = loop_rng(w.loop),
        .self = &p->self,
        .budget = &w.budget,
        .scratch = w.scratch, /* one at a time uses it */
        .cfg = conn_cfg_default(),
        .on = &events,
        .ctx = p,
    };
    p->dial.done = dialled;
    loop_dial(w.loop, &p->dial, &w.to, NULL, 10 * US_PER_S);
}

static void begin(void)
{
    while (w.begun < w.count && w.begun - w.identified - w.failed < AT_ONCE)
        begin_one(&w.peers[w.begun++]);
}

static void watch(struct timer *t)
{
    if (w.failed > w.count / 10) {
        fprintf(stderr, "%zu of %zu failed: giving up\n", w.failed, w.count);
        exit(1);
    }
    if (getppid() == 1)
        exit(0);
    timer_after(loop_sched(w.loop), t, US_PER_S);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    char *colon = argc == 3 ? strrchr(argv[1], ':') : NULL;
    if (!colon) {
        fprintf(stderr, "usage: bench-idle HOST:PORT COUNT\n");
        return 2;
    }
    *colon = 0;
    if (net_addr_parse_ip(argv[1], (uint16_t)atoi(colon + 1), &w.to) != 0)
        return 2;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    w.count = (size_t)atol(argv[2]);
    w.loop = loop_uv_new();
    w.peers = mem_array(w.count, sizeof *w.peers);
    memset(w.peers, 0, w.count * sizeof *w.peers);
    yamux_budget_init(&w.budget, LIMIT_HOST_STREAMS);
    conn_scratch_init(&w.scratch);
    timer_init(&w.watch, watch);
    timer_after(loop_sched(w.loop), &w.watch, US_PER_S);
    begin();
    loop_run(w.loop);
    return 0;
}
