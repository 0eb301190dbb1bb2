// SPDX-License-Identifier: MIT
/* What the doctor says of how others reach a node: of each thing that can be known, and of what is not known yet. */
#include "node_world.h"

#include "node/doctor_look.h"
#include "node/doctor_names.h"
#include "node/doctor_reach.h"

static struct doctor_report report;

static const struct doctor_check *only(void)
{
    assert_int_equal(report.count, 1);
    return &report.v[0];
}

static const struct doctor_check *named(const char *name)
{
    for (size_t i = 0; i < report.count; i++)
        if (strcmp(report.v[i].name, name) == 0)
            return &report.v[i];
    fail_msg("no check '%s'", name);
    return NULL;
}

static void clear(void)
{
    report = (struct doctor_report){0};
}

#define SAYS(text, words) assert_non_null(strstr(text, words))

/* --- each answer --- */

static void each_reach_is_said(void **state)
{
    static const struct {
        enum p2p_reach reach;
        enum doctor_level level;
        const char *says;
    } rows[] = {
        {P2P_REACH_PUBLIC, DOCTOR_OK, "strangers can dial"},
        {P2P_REACH_LIKELY, DOCTOR_OK, "no stranger was there"},
        {P2P_REACH_PRIVATE, DOCTOR_WARN, "behind a NAT or a firewall"},
        {P2P_REACH_UNKNOWN, DOCTOR_SKIP, "not known yet"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct doctor_reach f = {.reach = rows[i].reach};
        clear();
        doctor_firewall(&report, &f);
        assert_int_equal(only()->level, rows[i].level);
        SAYS(only()->text, rows[i].says);
    }
}

static void each_nat_is_said(void **state)
{
    static const struct {
        enum p2p_nat nat;
        enum doctor_level level;
        const char *says;
    } rows[] = {
        {P2P_NAT_NONE, DOCTOR_OK, "none"},
        {P2P_NAT_SOME, DOCTOR_OK, "there is one"},
        {P2P_NAT_ENDPOINT_INDEPENDENT, DOCTOR_OK, "can be punched"},
        {P2P_NAT_ENDPOINT_DEPENDENT, DOCTOR_WARN, "over relays only"},
        {P2P_NAT_UNKNOWN, DOCTOR_SKIP, "not known yet"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct doctor_reach f = {.nat = rows[i].nat};
        clear();
        doctor_nat(&report, &f);
        assert_int_equal(only()->level, rows[i].level);
        SAYS(only()->text, rows[i].says);
    }
}

/* Silence has three reasons, and "nobody was there" is only one of them. */
static void what_is_not_known_says_why(void **state)
{
    static const struct {
        struct doctor_reach f;
        const char *says;
        bool has_remedy;
    } rows[] = {
        {{.peers = 0}, "nobody is connected", false},
        {{.peers = 3}, "(3) is of its own network", false},
        {{.peers = 3, .outside = 1}, "(3) has told yet", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        clear();
        doctor_firewall(&report, &rows[i].f);
        doctor_nat(&report, &rows[i].f);
        for (size_t k = 0; k < 2; k++) {
            SAYS(report.v[k].text, rows[i].says);
            assert_int_equal(*report.v[k].remedy != 0, rows[i].has_remedy);
        }
    }
}

static void one_failed_dial_is_told_before_it_is_certain(void **state)
{
    const struct doctor_reach f = {.peers = 3, .outside = 1, .was_tried = true};
    clear();
    doctor_firewall(&report, &f);
    assert_int_equal(only()->level, DOCTOR_SKIP);
    SAYS(only()->text, "one of those connected (3) tried, and could not");
}

static void relays_matter_where_nobody_can_dial(void **state)
{
    static const struct {
        struct doctor_reach f;
        enum doctor_level level;
        const char *says;
    } rows[] = {
        {{.reach = P2P_REACH_PUBLIC, .known = 3}, DOCTOR_OK, "not needed; 3"},
        {{.reach = P2P_REACH_LIKELY, .held = 1}, DOCTOR_OK, "1 places held"},
        {{.reach = P2P_REACH_UNKNOWN, .known = 2}, DOCTOR_SKIP, "not known yet whether one is"},
        {{.reach = P2P_REACH_PRIVATE, .held = 2}, DOCTOR_OK, "2 places held"},
        {{.reach = P2P_REACH_PRIVATE, .held = 1}, DOCTOR_WARN, "one place held"},
        {{.reach = P2P_REACH_PRIVATE, .known = 5}, DOCTOR_FAIL, "no place at a relay"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        clear();
        doctor_relays(&report, &rows[i].f);
        assert_int_equal(only()->level, rows[i].level);
        SAYS(only()->text, rows[i].says);
        assert_true(*only()->remedy || rows[i].level == DOCTOR_OK || rows[i].level == DOCTOR_SKIP);
    }
}

static void only_what_can_still_come_is_awaited(void **state)
{
    static const struct {
        struct doctor_reach f;
        bool is_awaited;
    } rows[] = {
        {{.reach = P2P_REACH_UNKNOWN}, false},
        {{.reach = P2P_REACH_UNKNOWN, .peers = 4}, false}, /* a LAN */
        {{.reach = P2P_REACH_UNKNOWN, .peers = 4, .outside = 1}, true},
        {{.reach = P2P_REACH_PRIVATE, .peers = 4, .outside = 1}, true}, /* for a relay */
        {{.reach = P2P_REACH_PRIVATE, .peers = 4, .outside = 1, .held = 1}, false},
        {{.reach = P2P_REACH_PUBLIC, .peers = 4, .outside = 4}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(doctor_reach_is_awaited(&rows[i].f), rows[i].is_awaited);
}

/* --- interfaces --- */

static struct loop_interface interface(const char *name, const char *ip, bool is_up)
{
    struct loop_interface f = {.is_up = is_up};
    snprintf(f.name, sizeof f.name, "%s", name);
    assert_int_equal(net_addr_parse_ip(ip, 0, &f.addr), 0);
    f.is_loopback = net_addr_is_loopback(&f.addr);
    return f;
}

static void real_interfaces_stand_before_virtual_ones(void **state)
{
    const struct loop_interface v[] = {
        interface("lo", "127.0.0.1", true),
        interface("docker0", "172.17.0.1", true),
        interface("eth0", "192.168.1.7", true),
        interface("eth1", "192.168.2.7", false), /* no cable */
        interface("eth0", "2001:db8::7", true),
    };
    clear();
    doctor_interfaces(&report, v, ARRAY_LEN(v));
    assert_int_equal(only()->level, DOCTOR_OK);
    assert_string_equal(only()->text, "eth0 192.168.1.7, eth0 2001:db8::7; beside it docker0 "
                                      "172.17.0.1 is Docker's");
}

static void without_a_real_interface_it_is_a_warning(void **state)
{
    const struct loop_interface v[] = {
        interface("lo", "127.0.0.1", true),
        interface("tun0", "10.8.0.2", true),
    };
    for (size_t count = 0; count <= ARRAY_LEN(v); count++) {
        clear();
        doctor_interfaces(&report, v, count);
        assert_int_equal(only()->level, DOCTOR_WARN);
        assert_true(*only()->remedy);
        SAYS(only()->text, count == 2 ? "only virtual ones: tun0 10.8.0.2 is a VPN's" : "loopback");
    }
}

static void many_interfaces_are_cut_not_overrun(void **state)
{
    struct loop_interface v[32];
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        v[i] = interface(i % 2 ? "verylongname15" : "docker-long-15", "2001:db8:1:2:3:4:5:6", true);
    clear();
    doctor_interfaces(&report, v, ARRAY_LEN(v));
    assert_int_equal(only()->level, DOCTOR_OK);
}

/* --- names --- */

static void names_are_those_of_bootstrap_addresses_and_backends(void **state)
{
    static const struct {
        const char *text;
        enum loop_dns what;
        bool is_backends;
    } want[] = {
        {"boot.example", LOOP_DNS_ANY, false},
        {"four.example", LOOP_DNS_A, false},
        {"_dnsaddr.list.example", LOOP_DNS_TXT, false},
        {"llm.example", LOOP_DNS_ANY, true},
    };
    struct strlist bootstrap = {0};
    static const char *const addresses[] = {"192.0.2.1:8000",         "boot.example:8000",
                                            "BOOT.example:9000",      "/dns4/four.example/tcp/8000",
                                            "/dnsaddr/list.example",  "/ip6/::1/tcp/8000",
                                            "/dns/localhost/tcp/8000"};
    static const char *const urls[] = {"http://127.0.0.1:11434/v1", "m=https://llm.example/v1",
                                       "echo:", "http+unix://%2Frun%2Fllm.sock/v1"};
    struct config cfg;
    struct doctor_names names = {0};
    config_init(&cfg);
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
        strlist_add(&bootstrap, addresses[i], strlen(addresses[i]));
    for (size_t i = 0; i < ARRAY_LEN(urls); i++)
        strlist_add(&cfg.backend, urls[i], strlen(urls[i]));
    doctor_names_of(&names, &bootstrap, &cfg);
    assert_int_equal(names.count, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_string_equal(names.v[i].text, want[i].text);
        assert_int_equal(names.v[i].what, want[i].what);
        assert_int_equal(names.v[i].is_backends, want[i].is_backends);
    }
    strlist_clear(&bootstrap);
    config_fini(&cfg);
}

static void a_name_that_does_not_resolve_is_said(void **state)
{
    struct doctor_names n = {.count = 2, .v = {{.text = "a.example"}, {.text = "b.example"}}};
    clear();
    doctor_names_report(&n, &report, false);
    assert_int_equal(only()->level, DOCTOR_OK);
    SAYS(only()->text, "2 of 2 names resolve: a.example");
    n.v[1].err = E_DNS;
    for (int is_in = 0; is_in < 2; is_in++) {
        clear();
        doctor_names_report(&n, &report, is_in);
        assert_int_equal(report.count, 2);
        assert_int_equal(report.v[0].level, is_in ? DOCTOR_WARN : DOCTOR_FAIL);
        SAYS(report.v[0].text, "b.example, of a bootstrap address");
        SAYS(report.v[0].remedy, "resolv.conf");
    }
    n.v[1].is_backends = true;
    clear();
    doctor_names_report(&n, &report, true);
    assert_int_equal(report.v[0].level, DOCTOR_FAIL);
    n.count = 0;
    clear();
    doctor_names_report(&n, &report, false);
    assert_int_equal(only()->level, DOCTOR_OK);
    SAYS(only()->text, "not needed");
}

/* --- a whole node --- */

static void look(const struct machine *m)
{
    clear();
    doctor_look(&report, m->node);
}

/* A report made in the first instant would say that nothing is known. */
static void a_node_that_has_just_begun_is_waited_for(void **state)
{
    struct world w;
    uint64_t began;
    world_init(&w, 3);
    struct machine *boot = machine_add_at(&w, "198.51.100.1"), *m = machine_add_at(&w, "192.0.2.1");
    set(m, "bootstrap", "198.51.100.1:8000");
    machine_start(boot);
    run_for(&w, S);
    machine_start(m);
    began = loop_virtual_now(w.v);
    while (doctor_look_is_early(m->node))
        run_for(&w, 10 * MS);
    assert_in_range(loop_virtual_now(w.v) - began, 500 * MS, 12 * S);
    look(m);
    assert_int_equal(named("version")->level, DOCTOR_OK);
    SAYS(named("firewall")->text, "strangers can dial this node");
    SAYS(named("nat")->text, "none");
    SAYS(named("relay")->text, "not needed");
    world_fini(&w);
}

static void a_node_behind_a_nat_lives_by_its_relay(void **state)
{
    struct world w;
    world_init(&w, 4);
    struct machine *boot = machine_add(&w), *m = machine_add(&w);
    set(m, "bootstrap", "10.0.0.1:8000");
    machine_start(boot);
    machine_start(m);
    p2p_host_set_reach(boot->node->host, P2P_REACH_PUBLIC);
    p2p_host_set_reach(m->node->host, P2P_REACH_PRIVATE);
    look(m);
    assert_int_equal(named("relay")->level, DOCTOR_FAIL);
    SAYS(named("relay")->remedy, "--p2p-port");
    run_for(&w, 10 * S);
    look(m);
    assert_int_equal(named("firewall")->level, DOCTOR_WARN);
    assert_int_equal(named("relay")->level, DOCTOR_WARN);
    SAYS(named("relay")->text, "one place held");
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reach_is_said),
        cmocka_unit_test(each_nat_is_said),
        cmocka_unit_test(what_is_not_known_says_why),
        cmocka_unit_test(one_failed_dial_is_told_before_it_is_certain),
        cmocka_unit_test(relays_matter_where_nobody_can_dial),
        cmocka_unit_test(only_what_can_still_come_is_awaited),
        cmocka_unit_test(real_interfaces_stand_before_virtual_ones),
        cmocka_unit_test(without_a_real_interface_it_is_a_warning),
        cmocka_unit_test(many_interfaces_are_cut_not_overrun),
        cmocka_unit_test(names_are_those_of_bootstrap_addresses_and_backends),
        cmocka_unit_test(a_name_that_does_not_resolve_is_said),
        cmocka_unit_test(a_node_that_has_just_begun_is_waited_for),
        cmocka_unit_test(a_node_behind_a_nat_lives_by_its_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
