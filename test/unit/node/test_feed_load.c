// SPDX-License-Identifier: MIT
/* Load that is told of an offer: where it goes, that what is remembered is not used when it is no longer true, and
 * that what nobody offers counts for nothing. */
#include "unit/p2p/host_world.h"

#include "node/feed_load.h"
#include "route/choose.h"

#include <stdio.h>

struct world {
    struct hosts h;
    struct catalogue offers;
    struct measures measures;
    struct feeds f;
    struct feed_load load;
};

static void up(struct world *w)
{
    hosts_init(&w->h, 1, 1);
    catalogue_init(&w->offers, 1);
    measures_init(&w->measures, 2);
    w->load = (struct feed_load){0};
    w->f = (struct feeds){.host = w->h.m[0].host,
                          .sched = loop_sched(w->h.m[0].loop),
                          .offers = &w->offers,
                          .measures = &w->measures};
}

static void down(struct world *w)
{
    catalogue_fini(&w->offers);
    measures_fini(&w->measures);
    hosts_fini(&w->h);
}

static struct offer make(unsigned id, uint64_t seq)
{
    struct offer o = {.peer = {.len = 4, .b = {0, 2, 1}},
                      .seq = seq,
                      .protocol = "openai",
                      .abilities = OFFER_CHAT,
                      .expires_ms = UINT64_MAX};
    snprintf(o.id, sizeof o.id, "o%u", id);
    snprintf(o.model, sizeof o.model, "model-%u", id);
    return o;
}

static void offer(struct world *w, unsigned id, uint64_t seq)
{
    struct offer o = make(id, seq);
    assert_int_equal(catalogue_put(&w->offers, &o, false), 0);
}

static void tell(struct world *w, unsigned id, unsigned busy)
{
    struct offer o = make(id, 1);
    struct json_doc *doc;
    char text[128];
    snprintf(text, sizeof text, "{\"offer\":\"o%u\",\"slots\":4,\"busy\":%u,\"uptime_s\":7}", id,
             busy);
    assert_int_equal(json_parse(bytes_str(text), KIB, &doc, NULL), 0);
    feed_load_take(&w->load, &w->f, &o.peer, json_root(doc));
    json_free(doc);
}

static const struct measure *of(struct world *w, unsigned id)
{
    struct offer o = make(id, 1);
    struct route_key key;
    return measures_peek(&w->measures, route_key_of(&o, &key));
}

static void it_goes_to_the_offer_it_names(void **state)
{
    struct world w;
    up(&w);
    offer(&w, 1, 1);
    offer(&w, 2, 1);
    for (unsigned i = 0; i < 6; i++) {
        tell(&w, 1, i);
        tell(&w, 1, i);
        tell(&w, 2, 10 + i);
        assert_int_equal(of(&w, 1)->busy, i);
        assert_int_equal(of(&w, 2)->busy, 10 + i);
    }
    assert_int_equal(of(&w, 1)->slots, 4);
    assert_int_equal(of(&w, 1)->told_uptime_s, 7);
    down(&w);
}

static void what_nobody_offers_counts_for_nothing(void **state)
{
    struct world w;
    up(&w);
    tell(&w, 1, 3);
    assert_null(of(&w, 1));
    offer(&w, 1, 1);
    tell(&w, 1, 3);
    struct offer o = make(1, 1);
    assert_int_equal(catalogue_withdraw(&w.offers, &o.peer, o.id), 0);
    tell(&w, 1, 4);
    assert_int_equal(of(&w, 1)->busy, 3);
    down(&w);
}

/* The measurements had to make room in between: what was remembered is gone. */
static void a_freed_one_is_not_used(void **state)
{
    struct world w;
    up(&w);
    w.measures.limit = 1;
    offer(&w, 1, 1);
    tell(&w, 1, 3);
    (void)measures_of(&w.measures, BYTES_LIT("another"));
    assert_null(of(&w, 1));
    tell(&w, 1, 5);
    assert_int_equal(of(&w, 1)->busy, 5);
    down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_to_the_offer_it_names),
        cmocka_unit_test(what_nobody_offers_counts_for_nothing),
        cmocka_unit_test(a_freed_one_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
