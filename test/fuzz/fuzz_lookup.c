// SPDX-License-Identifier: MIT
/* The DHT as a client of peers that answer anything. Steps of the input:
 *
 *   kind: time passes | a query begins | one is cancelled | a request is answered, or fails
 *
 * An answer is any bytes, or a well-formed message of any peers and a signed value, so that lookups get far. Every query
 * ends once, every request is cancelled or answered, and nothing grows over its limit. */
#include "dht/core.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUERIES = 8, RPCS = 4096 };

struct asker {
    struct dht_query *q;
    int done, values;
};

struct state {
    struct sched s;
    struct rng rng;
    struct dht *d;
    struct dht_rpc *rpcs[RPCS];
    int rpc_count;
    struct asker askers[QUERIES];
};

static void port_send(void *ctx, struct dht_rpc *rpc)
{
    struct state *st = ctx;
    if (st->rpc_count == RPCS)
        abort(); /* alpha and the queries bound it */
    st->rpcs[st->rpc_count++] = rpc;
}

static void take_rpc(struct state *st, int i)
{
    st->rpcs[i] = st->rpcs[--st->rpc_count];
}

static void port_cancel(void *ctx, struct dht_rpc *rpc)
{
    struct state *st = ctx;
    for (int i = 0; i < st->rpc_count; i++)
        if (st->rpcs[i] == rpc) {
            take_rpc(st, i);
            return;
        }
    abort(); /* it was answered already */
}

static void peer_of(uint8_t number, struct dht_peer *p)
{
    static struct bytes addr = BYTES_LIT("\x04\x7f\x00\x00\x01\x06\x0f\xa1");
    uint8_t id[34] = {0x12, 0x20, number};
    *p = (struct dht_peer){.addrs = &addr, .addr_count = 1};
    peer_id_decode(bytes_of(id, sizeof id), &p->id);
}

static void on_peer(void *ctx, const struct dht_peer *p)
{
    struct asker *a = ctx;
    if (a->done || p->addr_count > LIMIT_DHT_ADDRS)
        abort();
}

static void on_done(void *ctx, int err)
{
    struct asker *a = ctx;
    if (a->done++)
        abort();
    a->q = NULL;
}

/* Signed well, each with another sequence. */
static struct bytes value_of(uint8_t seq, struct buf *out, char key[static LIMIT_DHT_KEY + 1])
{
    static struct key_pair pair;
    static const uint8_t seed[32] = {7};
    if (!pair.id.len)
        key_pair_from_seed(&pair, seed);
    dht_record_sign(&pair, "node", seq, 1000000 + seq, BYTES_LIT("x"), out);
    return bytes_of(key, (size_t)dht_record_key("node", &pair.id, key));
}

static void on_value(void *ctx, struct bytes value, const struct dht_record *record)
{
    struct asker *a = ctx;
    if (a->done || a->values++ || record->seq > 255)
        abort();
}

static void put_value(struct state *st, uint8_t seq)
{
    struct buf value;
    char key[LIMIT_DHT_KEY + 1];
    buf_init(&value, 0);
    struct bytes k = value_of(seq, &value, key);
    dht_put_value(st->d, k, buf_view(&value));
    buf_fini(&value);
}

static void begin(struct state *st, uint8_t how, uint8_t key)
{
    struct dht_peer p;
    struct asker *a = &st->askers[how % QUERIES];
    if (a->q)
        return;
    peer_of(key, &p);
    struct buf value;
    char text[LIMIT_DHT_KEY + 1];
    buf_init(&value, 0);
    struct bytes k = value_of(0, &value, text);
    buf_fini(&value);
    a->done = a->values = 0;
    if ((how & 0xc0) == 0xc0)
        a->q = dht_get_value(st->d, k, on_value, on_done, a);
    else if (how & 0x80)
        a->q = dht_find_peer(st->d, &p.id, on_peer, on_done, a);
    else
        a->q = dht_find_providers(st->d, bytes_of(&key, 1), how >> 4 & 7, on_peer, on_done, a);
}

/* A message of peers as the bytes say: each is closer or a provider. */
static void well_formed(struct bytes in, struct buf *out)
{
    struct dht_peer p;
    struct buf value;
    char text[LIMIT_DHT_KEY + 1];
    buf_init(&value, 0);
    struct bytes key = value_of(in.n ? in.p[0] : 0, &value, text);
    dht_message_begin(out, DHT_FIND_NODE, key);
    if (in.n % 2)
        dht_message_put_value(out, key, buf_view(&value));
    buf_fini(&value);
    for (size_t i = 0; i < in.n; i++) {
        peer_of(in.p[i], &p);
        dht_message_add(out, in.p[i] & 1 ? DHT_CLOSER : DHT_PROVIDERS, &p, LIMIT_DHT_MESSAGE);
    }
}

static void answer(struct state *st, uint8_t which, uint8_t how, struct bytes in)
{
    struct buf reply;
    if (!st->rpc_count)
        return;
    int i = which % st->rpc_count;
    struct dht_rpc *rpc = st->rpcs[i];
    take_rpc(st, i);
    buf_init(&reply, 0);
    if (how & 1)
        well_formed(in, &reply);
    else
        buf_append_bytes(&reply, in);
    dht_rpc_done(rpc, how < 32 ? E_REFUSED : how < 40 ? E_BUSY : 0, buf_view(&reply));
    buf_fini(&reply);
}

static void pass(struct state *st, uint64_t us)
{
    uint64_t until = st->s.now_us + us;
    for (;;) {
        sched_run_tasks(&st->s);
        uint64_t next = sched_deadline(&st->s);
        if (next > until)
            break;
        sched_set_now(&st->s, next > st->s.now_us ? next : st->s.now_us, 0); /* or overdue */
        sched_run_timers(&st->s);
    }
    sched_set_now(&st->s, until, 0);
}

static void step(struct state *st, const uint8_t head[static 4], struct bytes rest)
{
    struct asker *a = &st->askers[head[1] % QUERIES];
    struct dht_peer p;
    switch (head[0] & 7) {
    case 0:
        pass(st, (uint64_t)head[1] * 100 * US_PER_MS);
        break;
    case 1:
        begin(st, head[1], head[2]);
        break;
    case 2:
        if (a->q)
            dht_cancel(st->d, a->q);
        a->q = NULL;
        break;
    case 3:
        peer_of(head[1], &p);
        dht_peer_seen(st->d, &p);
        break;
    case 4:
        if (head[2] & 1)
            dht_withdraw(st->d, bytes_of(head + 1, 1));
        else if (head[2] & 2)
            put_value(st, head[1]);
        else
            dht_provide(st->d, bytes_of(head + 1, 1));
        break;
    default:
        answer(st, head[1], head[2], rest);
    }
    pass(st, 0);
    if (st->d->past.count > LIMIT_DHT_PAST)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state *st = MEM_NEW(struct state);
    struct dht_cfg cfg = {.sched = &st->s,
                          .rng = &st->rng,
                          .is_server = true,
                          .port = {st, port_send, port_cancel, NULL, NULL}};
    static const uint8_t self[34] = {0x12, 0x20, 0xff};
    trace_set_all(TRACE_OFF);
    sched_init(&st->s, 1, 0);
    rng_init_seeded(&st->rng, 1);
    peer_id_decode(bytes_of(self, sizeof self), &cfg.self);
    st->d = dht_new(&cfg);
    while (size >= 4) { /* kind, two operands, length of what follows */
        size_t n = data[3] < size - 4 ? data[3] : size - 4;
        step(st, data, bytes_of(data + 4, n));
        data += 4 + n;
        size -= 4 + n;
    }
    pass(st, 120 * US_PER_S); /* every question has its end by now */
    for (int i = 0; i < QUERIES; i++)
        if (st->askers[i].q)
            abort();
    dht_free(st->d);
    if (st->rpc_count || st->s.timers.n)
        abort();
    sched_fini(&st->s);
    free(st);
    return 0;
}
