// SPDX-License-Identifier: MIT
/* Good peers in a file: written and read again, bounded, and whatever else may stand in it; the node's own record. */
#include "unit/dht/dht_world.h"

#include "base/trace.h"
#include "codec/cbor.h"
#include "node/datadir.h"
#include "node/kept.h"
#include "node/node_record.h"

#include <sys/stat.h>

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

struct place {
    struct world *w;
    char dir[64];
    struct kept k;
    int found;
};

static bool may_keep(void *ctx, const struct peer_id *peer)
{
    return true;
}

static void on_found(void *ctx, const struct peer_id *peer)
{
    ((struct place *)ctx)->found++;
}

static void place_init(struct place *p, int nodes)
{
    *p = (struct place){.w = world_new(nodes, 1)};
    snprintf(p->dir, sizeof p->dir, "/tmp/conduit-kept-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    sched_set_now(&p->w->s, US_PER_S, 100 * DAY_MS);
}

static void place_fini(struct place *p)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    assert_int_equal(system(command), 0);
    world_free(p->w);
}

static void begin(struct place *p, int node)
{
    p->found = 0;
    kept_init(&p->k, &p->w->s, p->w->nodes[node].d, p->dir, on_found, may_keep, p);
}

static void write_file(struct place *p, const char *text)
{
    assert_int_equal(datadir_write(p->dir, "peers", text, strlen(text), 0600), 0);
}

static void written_and_read_again(void **state)
{
    struct place p;
    char path[96];
    struct stat st;
    place_init(&p, 30);
    begin(&p, 0);
    kept_save(&p.k); /* alone: nothing is written, nothing is lost */
    snprintf(path, sizeof path, "%s/peers", p.dir);
    assert_int_equal(stat(path, &st), -1);
    for (int i = 1; i < 26; i++)
        meet(&p.w->nodes[0], &p.w->nodes[i]);
    int known = (int)dht_stats(p.w->nodes[0].d).table_peers;
    kept_save(&p.k);
    kept_fini(&p.k);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    begin(&p, 29); /* a node that knows nobody */
    assert_int_equal(p.found, known);
    assert_int_equal(p.w->nodes[29].d->past.count, known);
    kept_save(&p.k); /* it is still alone, and keeps them */
    kept_fini(&p.k);
    begin(&p, 29);
    assert_int_equal(p.found, known);
    run_for(p.w, 10 * US_PER_S); /* nobody else came: they are asked */
    assert_true(dht_stats(p.w->nodes[29].d).table_peers >= 15);
    kept_fini(&p.k);
    place_fini(&p);
}

static void whoever_is_in_the_table_is_not_asked(void **state)
{
    struct place p;
    place_init(&p, 12);
    begin(&p, 0);
    for (int i = 1; i < 10; i++)
        meet(&p.w->nodes[0], &p.w->nodes[i]);
    kept_save(&p.k);
    kept_fini(&p.k);
    meet(&p.w->nodes[11], &p.w->nodes[10]); /* its bootstrap node is there */
    run_for(p.w, 5 * US_PER_S);
    uint64_t sent = p.w->nodes[11].d->rpcs_sent;
    begin(&p, 11);
    run_for(p.w, 3 * US_PER_S);
    assert_int_equal(p.w->nodes[11].d->rpcs_sent, sent);
    kept_fini(&p.k);
    place_fini(&p);
}

static void lines_that_are_none(void **state)
{
    static const char id[] = "12D3KooWMSA7efRgM5PgG6DiFyXEqfVSpcM5rexJc1wb5D1h1vQS";
    static const struct {
        const char *form; /* %s: the id */
        int found;
    } cases[] = {
        {"%s 8640000000 /ip4/1.2.3.4/tcp/5\n", 1},
        {"%s 8640000000 /ip4/1.2.3.4/tcp/5", 1},                  /* no newline */
        {"\n\n%s 8640000000 /ip4/1.2.3.4/tcp/5 rubbish /x\n", 1}, /* the good address counts */
        {"%s 99999999999999 /ip4/1.2.3.4/tcp/5\n", 1},            /* from a wrong clock: now */
        {"%s 8640000000 rubbish\n", 0},
        {"%s 8640000000\n", 0},
        {"%s x /ip4/1.2.3.4/tcp/5\n", 0},
        {"%s 1 /ip4/1.2.3.4/tcp/5\n", 0}, /* not for thirty days */
        {"%s 8640000000000000000000 /ip4/1.2.3.4/tcp/5\n", 0},
        {"not%s 8640000000 /ip4/1.2.3.4/tcp/5\n", 0},
        {"%.0s\xff\xfe\x01\n \n", 0},
        {"%.0s", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct place p;
        char text[256];
        place_init(&p, 1);
        snprintf(text, sizeof text, cases[i].form, id);
        write_file(&p, text);
        begin(&p, 0);
        if (p.found != cases[i].found)
            fail_msg("case %zu: %d", i, p.found);
        kept_fini(&p.k);
        place_fini(&p);
    }
}

static void more_than_the_limit(void **state)
{
    struct place p;
    struct buf b;
    char id_text[PEER_ID_TEXT];
    place_init(&p, 1);
    buf_init(&b, 0);
    for (int i = 0; i < 2 * LIMIT_KEPT_PEERS; i++) {
        struct peer_id id;
        uint8_t raw[34] = {0x12, 0x20, (uint8_t)(i >> 8), (uint8_t)i};
        peer_id_decode(bytes_of(raw, sizeof raw), &id);
        buf_printf(&b, "%s %d /ip4/1.2.3.4/tcp/5\n", peer_id_text(&id, id_text, sizeof id_text),
                   2000000000 + i);
    }
    sched_set_now(&p.w->s, US_PER_S, 2000000000 + DAY_MS);
    struct bytes v = buf_view(&b);
    datadir_write(p.dir, "peers", v.p, v.n, 0600);
    begin(&p, 0);
    assert_int_equal(p.k.count, LIMIT_KEPT_PEERS);
    assert_int_equal(p.w->nodes[0].d->past.count, LIMIT_DHT_PAST);
    kept_fini(&p.k);
    while (buf_len(&b) <= LIMIT_KEPT_FILE)
        buf_append_byte(&b, '\n');
    v = buf_view(&b);
    datadir_write(p.dir, "peers", v.p, v.n, 0600);
    begin(&p, 0);
    assert_int_equal(p.k.count, 0); /* not ours: too big */
    kept_fini(&p.k);
    buf_fini(&b);
    place_fini(&p);
}

/* --- the node's own record --- */

static void body_of(struct buf *out, const char *name, int addrs, int models, bool has_models)
{
    struct cbor_writer w;
    buf_clear(out);
    cbor_writer_init(&w, out);
    cbor_put_map(&w, has_models ? 4 : 3);
    cbor_put_uint(&w, 1);
    cbor_put_str(&w, name);
    cbor_put_uint(&w, 2);
    cbor_put_str(&w, "conduit/1");
    cbor_put_uint(&w, 3);
    cbor_put_array(&w, (uint64_t)addrs);
    for (int i = 0; i < addrs; i++)
        cbor_put_bytes(&w, BYTES_LIT("\x04\x7f\x00\x00\x01\x06\x0f\xa1"));
    if (has_models) {
        cbor_put_uint(&w, 4);
        cbor_put_array(&w, (uint64_t)models);
        for (int i = 0; i < models; i++)
            cbor_put_str(&w, "m");
    }
    assert_int_equal(cbor_writer_finish(&w), 0);
}

static void a_record_of_another_shape_is_none(void **state)
{
    struct node_record got;
    struct buf b, json;
    buf_init(&b, 0);
    buf_init(&json, 0);
    static const struct {
        const char *name;
        int addrs, models;
        bool has_models;
        int err;
    } cases[] = {
        {"n", 2, 2, true, 0},
        {"", 0, 0, true, 0},
        {"n", NODE_RECORD_ADDRS, NODE_RECORD_MODELS, true, 0},
        {"n", NODE_RECORD_ADDRS + 1, 0, true, E_MALFORMED},
        {"n", 0, NODE_RECORD_MODELS + 1, true, E_MALFORMED},
        {"n", 1, 1, false, E_MALFORMED},
        {"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
         "90"
         "12345678901234567890123456789012345678",
         1, 1, true, E_MALFORMED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        body_of(&b, cases[i].name, cases[i].addrs, cases[i].models, cases[i].has_models);
        struct dht_record r = {.body = buf_view(&b)};
        if (node_record_read(&r, &got) != cases[i].err)
            fail_msg("case %zu", i);
        for (size_t n = 0; n < r.body.n && i == 0; n++) {
            struct dht_record cut = {.body = bytes_first(r.body, n)};
            assert_int_equal(node_record_read(&cut, &got), E_MALFORMED);
        }
    }
    body_of(&b, "n\x1b", 1, 1, true);
    struct dht_record r = {.seq = 7, .expires_ms = 9, .body = buf_view(&b)};
    assert_int_equal(node_record_read(&r, &got), 0);
    struct json_writer w = json_write(&json);
    node_record_json(&got, &w);
    buf_append_byte(&json, 0);
    assert_string_equal((const char *)buf_view(&json).p,
                        "{\"seq\":7,\"expires_ms\":9,\"name\":\"n\\u001b\",\"agent\":\"conduit/1\","
                        "\"addresses\":[\"/ip4/127.0.0.1/tcp/4001\"],\"models\":[\"m\"]}");
    buf_fini(&b);
    buf_fini(&json);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read_again),
        cmocka_unit_test(whoever_is_in_the_table_is_not_asked),
        cmocka_unit_test(lines_that_are_none),
        cmocka_unit_test(more_than_the_limit),
        cmocka_unit_test(a_record_of_another_shape_is_none),
    };
    return cmocka_run_group_tests_name("kept", tests, NULL, NULL);
}
