// SPDX-License-Identifier: MIT
/* A DHT server that is asked anything: the first byte says how many seconds pass, then two bytes of
 * length and a message, again and again. Replies stay under their limit and decode. */
#include "dht/dht.h"
#include "dht/message.h"

#include "base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_nothing(void *ctx, struct dht_rpc *rpc)
{
}

static void check_reply(struct buf *reply)
{
    struct dht_message m;
    struct dht_message_peer p;
    if (buf_len(reply) > LIMIT_DHT_REPLY || dht_message_decode(buf_view(reply), &m) != 0)
        abort();
    for (struct bytes rest = m.whole; dht_message_next(DHT_CLOSER, &rest, &p);)
        if (p.peer.addr_count > LIMIT_DHT_ADDRS)
            abort();
}

static struct dht *make(struct sched *s, struct rng *rng)
{
    struct dht_cfg cfg = {.sched = s,
                          .rng = rng,
                          .is_server = true,
                          .port = {.send = send_nothing, .cancel = send_nothing}};
    struct bytes addr = BYTES_LIT("\x04\x7f\x00\x00\x01\x06\x0f\xa1");
    static const uint8_t self[34] = {0x12, 0x20, 0xff};
    peer_id_decode(bytes_of(self, sizeof self), &cfg.self);
    struct dht *d = dht_new(&cfg);
    for (uint8_t i = 0; i < 40; i++) {
        uint8_t id[34] = {0x12, 0x20, i};
        struct dht_peer p = {.addrs = &addr, .addr_count = 1};
        peer_id_decode(bytes_of(id, sizeof id), &p.id);
        dht_peer_seen(d, &p);
    }
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sched s;
    struct rng rng;
    struct buf reply;
    struct peer_id from;
    sched_init(&s, 1, 0);
    rng_init_seeded(&rng, 1);
    buf_init(&reply, 0);
    static const uint8_t asker[34] = {0x12, 0x20, 0xfe};
    peer_id_decode(bytes_of(asker, sizeof asker), &from);
    struct dht *d = make(&s, &rng);
    while (size >= 3) {
        size_t n = (size_t)(data[1] << 8 | data[2]);
        n = n < size - 3 ? n : size - 3;
        uint8_t *copy = mem_new(n);
        memcpy(copy, data + 3, n);
        sched_set_now(&s, s.now_us + data[0] * US_PER_S, 0);
        buf_clear(&reply);
        if (dht_serve(d, &from, NULL, bytes_of(copy, n), &reply) == 0 && buf_len(&reply))
            check_reply(&reply);
        free(copy);
        data += 3 + n;
        size -= 3 + n;
    }
    dht_free(d);
    sched_fini(&s);
    buf_fini(&reply);
    return 0;
}
