// SPDX-License-Identifier: MIT
/* A diagnosis between two whole nodes in virtual time: what is wrong with a peer that can be reached, and that no
 * failure is without a remedy. */
#include "node_world.h"

#include "node/diagnose.h"
#include "p2p/host_impl.h"

#define HOUR_MS (3600 * INT64_C(1000))

/* The report of one diagnosis. */
struct result {
    struct doctor_report report;
    bool is_over;
};

static void on_done(void *ctx, const struct doctor_report *r)
{
    struct result *out = ctx;
    out->report = *r;
    out->is_over = true;
}

static void diagnose(struct world *w, struct machine *from, struct machine *to, struct result *out)
{
    char target[64];
    snprintf(target, sizeof target, "/ip4/%s/tcp/8000", to->ip);
    *out = (struct result){0};
    diagnose_start(from->node, bytes_str(target), on_done, out);
    run_for(w, 30 * S);
    assert_true(out->is_over);
}

static const struct doctor_check *verdict(const struct result *r)
{
    const struct doctor_check *c = &r->report.v[r->report.count - 1];
    assert_string_equal(c->name, "verdict");
    assert_int_equal(r->report.has_failed, c->level == DOCTOR_FAIL);
    return c;
}

static const struct doctor_check *named(const struct result *r, const char *name)
{
    for (size_t i = 0; i < r->report.count; i++)
        if (strcmp(r->report.v[i].name, name) == 0)
            return &r->report.v[i];
    fail_msg("no check '%s'", name);
    return NULL;
}

#define SAYS(text, words) assert_non_null(strstr(text, words))

static void pair(struct world *w, struct machine **a, struct machine **b)
{
    world_init(w, 7);
    *a = machine_add(w);
    *b = machine_add(w);
    machine_start(*a);
    machine_start(*b);
    run_for(w, S);
}

static void a_peer_without_fault_is_reached(void **state)
{
    struct world w;
    struct machine *a, *b;
    struct result r;
    pair(&w, &a, &b);
    diagnose(&w, a, b, &r);
    assert_int_equal(verdict(&r)->level, DOCTOR_OK);
    SAYS(verdict(&r)->text, "reached: conduit/");
    SAYS(named(&r, "clock")->text, "agrees");
    world_fini(&w);
}

/* A program of the future: it answers, and no request can be made of it. */
static void another_version_of_the_protocol_is_a_failure(void **state)
{
    struct world w;
    struct machine *a, *b;
    struct result r;
    pair(&w, &a, &b);
    b->node->host->cfg.protocol_version = "/conduit/2.0.0";
    diagnose(&w, a, b, &r);
    assert_int_equal(named(&r, "identify")->level, DOCTOR_FAIL);
    assert_int_equal(verdict(&r)->level, DOCTOR_FAIL);
    SAYS(verdict(&r)->text, "/conduit/2.0.0");
    SAYS(verdict(&r)->remedy, "update");
    world_fini(&w);
}

static void a_clock_an_hour_off_is_a_failure(void **state)
{
    struct world w;
    struct machine *a, *b;
    struct result r;
    pair(&w, &a, &b);
    loop_virtual_set_clock(w.v, b->loop, HOUR_MS, 0);
    diagnose(&w, a, b, &r);
    assert_int_equal(named(&r, "clock")->level, DOCTOR_FAIL);
    assert_int_equal(verdict(&r)->level, DOCTOR_FAIL);
    SAYS(verdict(&r)->text, "reached, but this clock is 3600 s behind");
    SAYS(verdict(&r)->remedy, "timedatectl");
    world_fini(&w);
}

/* Half a minute is not good, and stops nothing. */
static void a_clock_slightly_off_is_a_warning(void **state)
{
    struct world w;
    struct machine *a, *b;
    struct result r;
    pair(&w, &a, &b);
    loop_virtual_set_clock(w.v, b->loop, -30000, 0);
    diagnose(&w, a, b, &r);
    assert_int_equal(named(&r, "clock")->level, DOCTOR_WARN);
    assert_int_equal(verdict(&r)->level, DOCTOR_OK);
    world_fini(&w);
}

static void every_way_to_fail_has_a_remedy(void **state)
{
    static const int errs[] = {
#define ROW(name, value, text) value,
        ERR_LIST(ROW)
#undef ROW
    };
    for (int layer = P2P_LAYER_TCP; layer <= P2P_LAYER_IDENTITY; layer++)
        for (size_t i = 0; i < ARRAY_LEN(errs); i++)
            assert_true(*diagnose_remedy((enum p2p_layer)layer, errs[i], false));
    SAYS(diagnose_remedy(P2P_LAYER_TCP, E_DENIED, false), "--deny-peer");
    SAYS(diagnose_remedy(P2P_LAYER_TCP, E_DNS, false), "resolv.conf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_without_fault_is_reached),
        cmocka_unit_test(another_version_of_the_protocol_is_a_failure),
        cmocka_unit_test(a_clock_an_hour_off_is_a_failure),
        cmocka_unit_test(a_clock_slightly_off_is_a_warning),
        cmocka_unit_test(every_way_to_fail_has_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
