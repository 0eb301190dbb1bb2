// SPDX-License-Identifier: MIT
/* Each check of the simulator finds what it is there for: a small world in which nothing goes wrong, and then one thing
 * that the world's own books do not know of. */
#include "base/err.h"
#include "dht/core.h"
#include "http/server.h"
#include "node/node_impl.h"
#include "p2p/host_impl.h"
#include "sim/inside.h"
#include "sim/sim.h"
#include "sim/user.h"
#include "sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S UINT64_C(1000000)

static struct sim *world(uint64_t seed)
{
    struct sim_options o;
    char why[SIM_WHY];
    sim_options_init(&o);
    o.seed = seed;
    o.nodes = 10;
    o.minutes = 5;
    o.warm_s = 20;
    o.heal_s = 60;
    o.ask_s = 10;
    o.faults = o.liars = o.mutes = o.loss = o.offer_s = 0;
    struct sim *s = sim_new(&o, NULL, why);
    if (!s)
        fail_msg("%s", why);
    sim_step(s, 40 * S);
    return s;
}

static struct sim_box *provider_of(struct sim *s)
{
    for (size_t i = 0; i < s->box_count; i++)
        if (s->boxes[i].is_provider)
            return &s->boxes[i];
    fail_msg("there is no provider");
    return NULL;
}

static struct sim_box *watcher_of(struct sim *s, const struct sim_box *provider)
{
    for (size_t i = 0; i < s->box_count; i++)
        if (&s->boxes[i] != provider &&
            sim_inside_watches(s->boxes[i].node, sim_inside_id(provider->node)))
            return &s->boxes[i];
    fail_msg("nobody watches it");
    return NULL;
}

/* Nothing passes between the two any more, and the world's books say nothing of it. */
static void cut(struct sim *s, const struct sim_box *a, const struct sim_box *b)
{
    struct loop_virtual_link link = {.is_cut = true};
    loop_virtual_set_link(s->world, a->loop, b->loop, &link);
}

static bool is_told(const struct sim *s, const char *what)
{
    for (size_t i = 0; i < s->tally.violations && i < SIM_VIOLATIONS; i++)
        if (strstr(s->tally.violation[i], what))
            return true;
    return false;
}

static void nothing_is_found_where_nothing_is_wrong(void **state)
{
    struct sim *s = world(1);
    struct sim_box *p = provider_of(s);
    assert_true(sim_offers_add(p));
    sim_step(s, 45 * S);
    assert_true(s->tally.noticed_offer.n > 0);
    assert_true(s->tally.noticed_newcomer.n > 0);
    sim_check_death(p);
    sim_box_crash(p, true);
    sim_step(s, 48 * S);
    assert_true(s->tally.noticed_death.n > 0);
    if (s->tally.violations)
        fail_msg("%s", s->tally.violation[0]);
    sim_free(s);
}

static void an_offer_that_is_not_seen(void **state)
{
    struct sim *s = world(2);
    struct sim_box *p = provider_of(s), *w = watcher_of(s, p);
    cut(s, p, w);
    assert_true(sim_offers_add(p));
    sim_step(s, sim_now(s) + 900 * US_PER_MS);
    assert_int_equal(s->tally.violations, 0);
    sim_step(s, sim_now(s) + 200 * US_PER_MS);
    assert_int_equal(s->tally.violations, 1);
    assert_true(is_told(s, "watches and has not seen extra-"));
    sim_free(s);
}

/* Where a partition that the world knows of is in the way, it is not. */
static void what_excuses_it(void **state)
{
    struct sim *s = world(2);
    struct sim_box *p = provider_of(s), *w = watcher_of(s, p);
    w->side = 1;
    loop_virtual_set_side(s->world, w->loop, 1);
    assert_true(sim_offers_add(p));
    sim_step(s, sim_now(s) + 2 * S);
    assert_int_equal(s->tally.violations, 0);
    assert_int_equal(s->tally.offers_lost, 1);
    sim_free(s);
}

/* A provider starts and offers nothing: those who follow it wait. */
static void a_newcomer_that_is_not_seen(void **state)
{
    struct sim *s = world(3);
    struct sim_box *p = provider_of(s);
    sim_box_stop(p);
    sim_step(s, sim_now(s) + 10 * S);
    assert_int_equal(p->state, SIM_BOX_OFF);
    assert_int_equal(sim_box_start(p), 0);
    p->node->announce.is_stopping = true;
    sim_step(s, sim_now(s) + 5 * S);
    assert_true(is_told(s, "follows and has not seen model-"));
    sim_free(s);
}

static void a_question_without_an_answer(void **state)
{
    struct sim *s = world(4);
    sim_step(s, 150 * S); /* long enough that everything must be found */
    assert_int_equal(s->tally.violations, 0);
    for (size_t i = 0; i < s->box_count; i++)
        for (size_t j = 0; j < s->box_count; j++)
            if (i != j && s->boxes[i].is_provider)
                cut(s, &s->boxes[i], &s->boxes[j]);
    sim_step(s, 200 * S);
    assert_true(s->tally.ends[SIM_FAILED] > 0);
    assert_true(is_told(s, "of which there are providers in reach, failed"));
    sim_free(s);
}

/* --- ends of a question --- */

static void on_scripted(void *ctx, struct http_exchange *x, const struct http_head *head,
                        struct bytes body)
{
    http_exchange_reply(x, 200, "text/event-stream", NULL, 0, bytes_str(ctx));
}

static void on_accepted(void *ctx, struct stream *s)
{
    http_server_conn_open(ctx, s, &(struct http_conn_options){0});
}

/* A user on a machine where these events answer each question. */
static void assert_told_of_events(const char *events, const char *told)
{
    static const struct http_handler handler = {.request = on_scripted};
    struct sim *s = world(12);
    struct net_addr ip = {.kind = NET_IP4, .ip = {104, 0, 0, 1}};
    struct sim_box box = *provider_of(s);
    box.loop = loop_virtual_machine(s->world, &ip);
    struct http_server_config cfg = {
        .sched = loop_sched(box.loop), .handler = &handler, .ctx = (void *)(uintptr_t)events};
    struct http_server *server = http_server_new(&cfg);
    struct loop_listen_options at = {.accepted = on_accepted, .ctx = server};
    struct loop_listener *listener;
    assert_int_equal(net_addr_parse_ip("127.0.0.1", 8888, &at.at), 0);
    assert_int_equal(loop_listen(box.loop, &at, &listener), 0);
    box.user = sim_user_new(&box);
    assert_int_equal(s->tally.violations, 0);
    sim_step(s, sim_now(s) + 60 * S);
    if (!is_told(s, told))
        fail_msg("%s: %s", told, s->tally.violation[0]);
    sim_user_free(box.user);
    loop_listener_close(listener);
    http_server_free(server);
    loop_free(box.loop);
    sim_free(s);
}

static void a_question_with_two_ends_or_none(void **state)
{
    assert_told_of_events("data: {\"error\":{\"code\":\"x\"}}\n\ndata: [DONE]\n\n",
                          "is both answered and failed");
    assert_told_of_events("data: [DONE]\n\ndata: [DONE]\n\n", "ended 2 times");
    assert_told_of_events("data: {}\n\n", "has no end: complete, status 200");
    assert_told_of_events("data: [DONE]\n\n", "the answer is '', not 'n");
}

static void a_death_that_is_not_noticed(void **state)
{
    struct sim *s = world(5);
    struct sim_box *p = provider_of(s);
    sim_check_death(p); /* it lives on */
    sim_step(s, sim_now(s) + 2 * S);
    assert_true(is_told(s, "has not noticed the death of n"));
    sim_free(s);
}

/* In the last partition but one all others were on the other side, so long ago; a connection of then may be half open
 * until it is asked. */
static uint64_t after_a_partition(uint64_t ago_us)
{
    struct sim *s = world(5);
    struct sim_box *p = provider_of(s);
    for (size_t i = 0; i < s->box_count; i++)
        s->boxes[i].sides = &s->boxes[i] == p ? 0 : 2;
    s->faults.ended_us[0] = s->faults.ended_us[1] = sim_now(s) - ago_us;
    sim_check_death(p); /* it lives on */
    sim_step(s, sim_now(s) + 2 * S);
    uint64_t violations = s->tally.violations;
    sim_free(s);
    return violations;
}

static void who_was_apart_may_notice_late(void **state)
{
    assert_int_equal(after_a_partition(10 * S), 0);
    assert_true(after_a_partition(146 * S) > 0);
}

static void made_up(struct sim *s, struct peer_id *out)
{
    struct key_pair key;
    key_pair_generate(&key, &s->rng);
    *out = key.id;
}

static void an_offer_that_nobody_made(void **state)
{
    struct sim *s = world(6);
    struct sim_box *p = provider_of(s), *w = watcher_of(s, p);
    struct offer o = *(&catalogue_next(&w->node->offers, NULL)->offer);
    made_up(s, &o.peer);
    assert_int_equal(catalogue_put(&w->node->offers, &o, false), 0);
    sim_step(s, sim_now(s) + 6 * S);
    assert_true(is_told(s, "that nobody made"));
    sim_free(s);
}

/* A model that its provider never had. */
static void an_offer_that_its_peer_did_not_make(void **state)
{
    struct sim *s = world(6);
    struct sim_box *p = provider_of(s), *w = watcher_of(s, p);
    struct offer o = *(&catalogue_next(&w->node->offers, NULL)->offer);
    o.peer = *sim_inside_id(p->node);
    snprintf(o.id, sizeof o.id, "m-1");
    snprintf(o.model, sizeof o.model, "extra-%u-0", p->index);
    assert_int_equal(catalogue_put(&w->node->offers, &o, false), 0);
    sim_step(s, sim_now(s) + 6 * S);
    assert_true(is_told(s, "that nobody made"));
    sim_free(s);
}

static void a_record_that_was_not_given(void **state)
{
    struct sim *s = world(7);
    struct sim_box *p = provider_of(s);
    struct bytes addr = BYTES_LIT("\x04\x14\x00\x00\x0a\x06\x1f\x40");
    struct dht_peer peer = {*sim_inside_id(p->node), &addr, 1};
    uint8_t key[DHT_KEY_TEXT];
    dht_key_text(BYTES_LIT("model:another"), key);
    dht_providers_add(&s->boxes[0].node->kad.dht->providers, bytes_of(key, sizeof key), &peer,
                      sched_now(s->boxes[0].node->sched));
    sim_step(s, sim_now(s) + 6 * S);
    assert_true(is_told(s, "that this peer never gave"));
    sim_free(s);
}

static void what_a_freed_node_holds(void **state)
{
    struct sim *s = world(8);
    sim_check_held(provider_of(s)); /* it was not freed at all */
    assert_true(is_told(s, "was freed and still holds"));
    sim_free(s);
}

/* What is found as the nodes end is in the summary, which is otherwise of when they ran. */
static void what_a_node_leaves_behind_is_told(void **state)
{
    static struct timer left;
    struct sim *s = world(10);
    struct sim_box *p = provider_of(s);
    struct buf out;
    uint64_t hash = sim_log_hash(s), abandoned = s->tally.ends[SIM_ABANDONED];
    timer_init(&left, NULL);
    timer_after(loop_sched(p->loop), &left, 1000 * S);
    assert_int_equal(sim_end(s), 1);
    buf_init(&out, 0);
    sim_summary_text(s, 1, &out);
    char *text = buf_take_str(&out);
    assert_non_null(strstr(text, "10, 10 at the end"));
    assert_non_null(strstr(
        text, "was freed and still holds 0 streams, 0 listeners, 0 datagram sockets, 1 timers"));
    assert_non_null(strstr(text, "repeat with: conduit sim --seed 10 "));
    assert_int_equal(sim_log_hash(s), hash);
    assert_int_equal(s->tally.ends[SIM_ABANDONED], abandoned);
    free(text);
    timer_clear(loop_sched(p->shell), &left);
    sim_free(s);
}

static void a_question_without_an_end_is_open(void **state)
{
    struct sim *s = world(11);
    for (int i = 0; i < 100 && !s->tally.open; i++)
        sim_step(s, sim_now(s) + S / 10);
    assert_true(s->tally.open > 0);
    sim_end(s);
    assert_int_equal(s->tally.asked, s->tally.ends[SIM_ANSWERED] + s->tally.ends[SIM_FAILED] +
                                         s->tally.ends[SIM_ABANDONED] + sim_look(s).open);
    sim_free(s);
}

static void a_scope_that_leaks(void **state)
{
    struct sim *s = world(9);
    uint32_t *conns = &provider_of(s)->node->host->ledger.system.count[RESOURCE_CONNS];
    ++*conns;
    sim_step(s, sim_now(s) + 6 * S);
    assert_true(is_told(s, "the system's scope is not the sum"));
    --*conns;
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_found_where_nothing_is_wrong),
        cmocka_unit_test(an_offer_that_is_not_seen),
        cmocka_unit_test(what_excuses_it),
        cmocka_unit_test(a_newcomer_that_is_not_seen),
        cmocka_unit_test(a_question_without_an_answer),
        cmocka_unit_test(a_question_with_two_ends_or_none),
        cmocka_unit_test(a_death_that_is_not_noticed),
        cmocka_unit_test(who_was_apart_may_notice_late),
        cmocka_unit_test(an_offer_that_nobody_made),
        cmocka_unit_test(an_offer_that_its_peer_did_not_make),
        cmocka_unit_test(a_record_that_was_not_given),
        cmocka_unit_test(what_a_freed_node_holds),
        cmocka_unit_test(what_a_node_leaves_behind_is_told),
        cmocka_unit_test(a_question_without_an_end_is_open),
        cmocka_unit_test(a_scope_that_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
