// SPDX-License-Identifier: MIT
/* The lookup's one question, "whom to ask next?", as stories asserted word by word. Peers are named
 * by their rank: r0 is the nearest to the target of all. */
#include "dht/lookup.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PEERS = 400 };

struct story {
    struct dht_lookup l;
    struct peer_id ranked[PEERS];
    struct dht_key target;
    struct buf text;
};

static int by_distance(const void *a, const void *b, void *target)
{
    const struct peer_id *x = a, *y = b;
    struct dht_key kx = dht_key_of(peer_id_bytes(x)), ky = dht_key_of(peer_id_bytes(y));
    struct dht_key dx = dht_key_distance(&kx, target), dy = dht_key_distance(&ky, target);
    return dht_key_cmp(&dx, &dy);
}

static struct story *story_new(int beta, bool waits_for_slow)
{
    struct story *s = MEM_NEW(struct story);
    struct peer_id self;
    for (int i = 0; i <= PEERS; i++) {
        uint8_t b[34] = {0x12, 0x20, (uint8_t)(i >> 8), (uint8_t)i};
        peer_id_decode(bytes_of(b, sizeof b), i < PEERS ? &s->ranked[i] : &self);
    }
    s->target = dht_key_of(BYTES_LIT("the target"));
    qsort_r(s->ranked, PEERS, sizeof *s->ranked, by_distance, &s->target);
    dht_lookup_init(&s->l, BYTES_LIT("the target"), &self, beta, waits_for_slow);
    buf_init(&s->text, 0);
    return s;
}

static void story_free(struct story *s)
{
    dht_lookup_fini(&s->l);
    buf_fini(&s->text);
    free(s);
}

static int rank_of(const struct story *s, const struct peer_id *id)
{
    for (int i = 0; i < PEERS; i++)
        if (peer_id_eq(&s->ranked[i], id))
            return i;
    return -1;
}

static struct dht_candidate *find(struct story *s, int rank)
{
    for (int i = 0; i < s->l.count; i++)
        if (peer_id_eq(&s->l.sorted[i]->id, &s->ranked[rank]))
            return s->l.sorted[i];
    return NULL;
}

static struct dht_candidate *hear_of(struct story *s, int rank, int hops)
{
    struct bytes addr = BYTES_LIT("\x04\x7f\x00\x00\x01\x06\x0f\xa1");
    struct dht_peer p = {s->ranked[rank], &addr, 1};
    return dht_lookup_add(&s->l, &p, hops);
}

static void ask_all(struct story *s)
{
    struct dht_candidate *c;
    while ((c = dht_lookup_next(&s->l)))
        buf_printf(&s->text, "ask r%d\n", rank_of(s, &c->id));
    if (dht_lookup_is_done(&s->l))
        buf_append_str(&s->text, "done\n");
}

/* `who` answers, naming the ranks up to a -1. */
static void answers(struct story *s, int who, const int *named)
{
    struct dht_candidate *c = find(s, who);
    buf_printf(&s->text, "r%d answers\n", who);
    dht_lookup_answered(&s->l, c);
    for (; *named >= 0; named++)
        if (!hear_of(s, *named, c->hops + 1))
            buf_printf(&s->text, "  r%d is known\n", *named);
    ask_all(s);
}
#define NAMES(...) ((const int[]){__VA_ARGS__ __VA_OPT__(, ) - 1})

static void is_told(struct story *s, const char *text)
{
    buf_append(&s->text, "", 1);
    assert_string_equal((const char *)buf_view(&s->text).p, text);
    buf_clear(&s->text);
}

/* Everybody is in the region; a hundred of the four hundred are in its nearest quarter. */
static void a_crowd_gets_so_many_places(void **state)
{
    struct story *s = story_new(DHT_BETA_READ, false);
    struct dht_candidate *c;
    struct dht_key radius;
    int answered = 0, near = 0, kept = 0;
    memset(&radius, 0xff, sizeof radius);
    dht_lookup_set_region(&s->l, &radius);
    assert_int_equal(s->l.quarter.b[0], 0x3f);
    assert_int_equal(s->l.quarter.b[31], 0xff);
    for (int i = 0; i < PEERS; i++)
        hear_of(s, i, 0);
    assert_true(dht_lookup_is_crowded(&s->l));
    assert_int_equal(s->l.count, LIMIT_DHT_CANDIDATES);
    for (int i = 0; i < s->l.count; i++)
        kept += dht_key_cmp(&s->l.sorted[i]->distance, &s->l.quarter) <= 0;
    assert_int_equal(kept, LIMIT_DHT_CROWD);
    while ((c = dht_lookup_next(&s->l))) {
        near += dht_key_cmp(&c->distance, &s->l.quarter) <= 0;
        answered++;
        dht_lookup_answered(&s->l, c);
    }
    assert_true(dht_lookup_is_done(&s->l));
    assert_int_equal(near, LIMIT_DHT_CROWD / 2);
    assert_int_equal(answered, LIMIT_DHT_REGION);
    struct dht_candidate *out[LIMIT_DHT_REGION];
    assert_int_equal(dht_lookup_region(&s->l, out, LIMIT_DHT_REGION), LIMIT_DHT_REGION);
    story_free(s);
}

/* Fifteen near the key happen; the region is asked and no more. */
static void a_region_is_asked_whole(void **state)
{
    struct story *s = story_new(DHT_BETA_READ, false);
    struct dht_candidate *c;
    struct dht_key radius = {{0}};
    int inside = 0, answered = 0;
    radius.b[0] = 0x10;
    dht_lookup_set_region(&s->l, &radius);
    for (int i = 0; i < PEERS; i += 2)
        hear_of(s, i, 0);
    for (int i = 0; i < s->l.count; i++)
        inside += dht_key_cmp(&s->l.sorted[i]->distance, &radius) <= 0;
    assert_false(dht_lookup_is_crowded(&s->l));
    while ((c = dht_lookup_next(&s->l))) {
        answered++;
        dht_lookup_answered(&s->l, c);
    }
    assert_int_equal(answered, inside > DHT_BETA_READ ? inside : DHT_BETA_READ);
    story_free(s);
}

/* What one path asks is another's no more; when it fails there, it may be tried here. */
static void elsewhere(void **state)
{
    struct story *s = story_new(DHT_BETA_READ, false);
    hear_of(s, 1, 0);
    hear_of(s, 2, 0);
    struct dht_candidate *c = dht_lookup_next(&s->l);
    assert_int_equal(rank_of(s, &c->id), 1);
    dht_lookup_leave(&s->l, c);
    assert_int_equal(s->l.in_flight, 0);
    assert_ptr_equal(dht_lookup_find(&s->l, &s->ranked[1]), c);
    assert_null(dht_lookup_find(&s->l, &s->ranked[9]));
    struct dht_candidate *second = dht_lookup_next(&s->l);
    assert_int_equal(rank_of(s, &second->id), 2);
    assert_null(dht_lookup_next(&s->l));
    dht_lookup_take_back(&s->l, second); /* it is being asked: nothing changes */
    assert_null(dht_lookup_next(&s->l));
    dht_lookup_answered(&s->l, second);
    assert_true(dht_lookup_is_done(&s->l)); /* nobody is left */
    dht_lookup_take_back(&s->l, c);
    assert_false(dht_lookup_is_done(&s->l));
    assert_ptr_equal(dht_lookup_next(&s->l), c);
    dht_lookup_failed(&s->l, c);
    assert_true(dht_lookup_is_done(&s->l));
    story_free(s);
}

static void a_read_ends_with_the_three_nearest(void **state)
{
    struct story *s = story_new(DHT_BETA_READ, false);
    hear_of(s, 120, 0);
    hear_of(s, 150, 0);
    hear_of(s, 90, 0);
    ask_all(s);
    answers(s, 150, NAMES(40, 41));
    answers(s, 90, NAMES(40, 5));
    answers(s, 5, NAMES(0, 1));
    answers(s, 1, NAMES(0, 5));
    answers(s, 0, NAMES());
    is_told(s, "ask r90\n"
               "ask r120\n"
               "ask r150\n"
               "r150 answers\n"
               "ask r40\n"
               "ask r41\n"
               "r90 answers\n"
               "  r40 is known\n"
               "ask r5\n"
               "r5 answers\n"
               "ask r0\n"
               "ask r1\n"
               "r1 answers\n"
               "  r0 is known\n"
               "  r5 is known\n"
               "r0 answers\n"
               "done\n"); /* r40, r41 and r120 are no longer waited for */
    struct dht_candidate *near[3];
    assert_int_equal(dht_lookup_nearest(&s->l, near, 3), 3);
    assert_int_equal(near[0]->hops, 2);
    story_free(s);
}

static void failures_bring_the_next_ones_in(void **state)
{
    struct story *s = story_new(DHT_BETA_READ, false);
    for (int i = 0; i < 5; i++)
        hear_of(s, i, 0);
    ask_all(s);
    dht_lookup_failed(&s->l, find(s, 0));
    dht_lookup_failed(&s->l, find(s, 2));
    ask_all(s);
    answers(s, 1, NAMES(0)); /* a failed peer is not asked again because somebody names it */
    answers(s, 4, NAMES());
    answers(s, 3, NAMES());
    is_told(s, "ask r0\nask r1\nask r2\nask r3\nask r4\n"
               "r1 answers\n"
               "  r0 is known\n"
               "r4 answers\n"
               "r3 answers\n"
               "done\n");
    story_free(s);
}

static void ten_at_a_time_and_slow_ones_give_way(void **state)
{
    struct story *s = story_new(DHT_BETA_READ, false);
    for (int i = 10; i < 30; i++)
        hear_of(s, i, 0);
    ask_all(s);
    dht_lookup_slow(&s->l, find(s, 11));
    dht_lookup_slow(&s->l, find(s, 11));
    ask_all(s);
    answers(s, 10, NAMES());
    answers(s, 12, NAMES());
    answers(s, 13, NAMES()); /* r11 is slow: a read does not wait for it */
    is_told(s, "ask r10\nask r11\nask r12\nask r13\nask r14\n"
               "ask r15\nask r16\nask r17\nask r18\nask r19\n"
               "ask r20\n"
               "r10 answers\nask r21\n"
               "r12 answers\nask r22\n"
               "r13 answers\n"
               "done\n");
    dht_lookup_answered(&s->l, find(s, 11)); /* late is welcome too */
    assert_int_equal(s->l.slow, 0);
    story_free(s);
}

static void a_write_waits_for_slow_ones(void **state)
{
    struct story *s = story_new(3, true);
    for (int i = 0; i < 4; i++)
        hear_of(s, i, 0);
    ask_all(s);
    dht_lookup_slow(&s->l, find(s, 1));
    answers(s, 0, NAMES());
    answers(s, 2, NAMES());
    answers(s, 3, NAMES());
    dht_lookup_failed(&s->l, find(s, 1));
    ask_all(s);
    is_told(s, "ask r0\nask r1\nask r2\nask r3\n"
               "r0 answers\nr2 answers\nr3 answers\ndone\n");
    story_free(s);
}

static void nobody_answers(void **state)
{
    struct story *s = story_new(DHT_BETA_READ, false);
    hear_of(s, 1, 0);
    hear_of(s, 2, 0);
    ask_all(s);
    dht_lookup_slow(&s->l, find(s, 1));
    dht_lookup_slow(&s->l, find(s, 2));
    ask_all(s); /* with nobody better a read waits for the slow ones as well */
    dht_lookup_failed(&s->l, find(s, 1));
    ask_all(s);
    dht_lookup_failed(&s->l, find(s, 2));
    ask_all(s);
    is_told(s, "ask r1\nask r2\ndone\n");
    story_free(s);
    s = story_new(DHT_BETA_READ, false);
    ask_all(s);
    is_told(s, "done\n");
    story_free(s);
}

static void who_is_not_taken(void **state)
{
    struct story *s = story_new(DHT_BETA_READ, false);
    struct bytes addr = BYTES_LIT("a");
    struct dht_peer self = {s->l.self, &addr, 1}, no_addr = {s->ranked[3], NULL, 0};
    assert_null(dht_lookup_add(&s->l, &self, 0));
    assert_null(dht_lookup_add(&s->l, &no_addr, 0));
    for (int i = LIMIT_DHT_CANDIDATES; i > 0; i--)
        assert_non_null(hear_of(s, i, 0));
    assert_null(hear_of(s, LIMIT_DHT_CANDIDATES + 1, 0)); /* too far for a full table */
    assert_non_null(hear_of(s, 0, 0));                    /* nearer: the farthest goes */
    assert_int_equal(s->l.count, LIMIT_DHT_CANDIDATES);
    assert_null(find(s, LIMIT_DHT_CANDIDATES));
    story_free(s);
}

/* Whatever happens in whatever order: at most ten wait, the table is sorted, it ends. */
static void random_answers(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct story *s = story_new(seed % 2 ? DHT_BETA_READ : DHT_K, seed % 2 == 0);
        struct rng rng;
        rng_init_seeded(&rng, seed);
        for (int i = 0; i < 5; i++)
            hear_of(s, (int)rng_below(&rng, PEERS), 0);
        for (int step = 0; step < 20000; step++) {
            struct dht_candidate *asked[LIMIT_DHT_CANDIDATES];
            int n = 0, fast = 0;
            while (dht_lookup_next(&s->l))
                ;
            for (int i = 0; i < s->l.count; i++) {
                if (i)
                    assert_true(
                        dht_key_cmp(&s->l.sorted[i - 1]->distance, &s->l.sorted[i]->distance) < 0);
                if (s->l.sorted[i]->state == DHT_ASKED) {
                    asked[n++] = s->l.sorted[i];
                    fast += !s->l.sorted[i]->is_slow;
                }
            }
            assert_true(fast <= DHT_ALPHA && fast == s->l.in_flight && n - fast == s->l.slow);
            if (dht_lookup_is_done(&s->l))
                break;
            assert_true(n > 0); /* not done, so somebody is waited for */
            struct dht_candidate *c = asked[rng_below(&rng, (uint64_t)n)];
            switch (rng_below(&rng, 4)) {
            case 0:
                dht_lookup_failed(&s->l, c);
                break;
            case 1:
                dht_lookup_slow(&s->l, c);
                break;
            default:
                dht_lookup_answered(&s->l, c);
                for (int i = 0; i < 8; i++)
                    hear_of(s, (int)rng_below(&rng, PEERS), 1);
            }
        }
        assert_true(dht_lookup_is_done(&s->l));
        story_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_ends_with_the_three_nearest),
        cmocka_unit_test(a_crowd_gets_so_many_places),
        cmocka_unit_test(a_region_is_asked_whole),
        cmocka_unit_test(elsewhere),
        cmocka_unit_test(failures_bring_the_next_ones_in),
        cmocka_unit_test(ten_at_a_time_and_slow_ones_give_way),
        cmocka_unit_test(a_write_waits_for_slow_ones),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(who_is_not_taken),
        cmocka_unit_test(random_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
