// SPDX-License-Identifier: MIT
/* Whole nodes on one LAN, in virtual time: they list each other by themselves, and use and serve each other only
 * where the owner said so. "a" is the one that serves (echo:), "b" the one that asks.
 *
 *      a 10.0.0.1 ══╗
 *      b 10.0.0.2 ══╬══ LAN 1            x 20.0.0.1: elsewhere, reached by address only
 *      c 10.0.0.3 ══╝ */
#include "node_world.h"

#include "p2p/mdns.h"

struct site {
    struct world w;
    struct machine *a, *b, *c, *x;
};

static const char psk[] = "/key/swarm/psk/1.0.0/\n/base16/\n"
                          "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

/* `options`: "key=value key=value". Values without spaces. */
static struct machine *machine_up(struct world *w, const char *ip, const char *options, bool on_lan)
{
    char copy[512], path[96], *save, *word;
    struct machine *m = machine_add_at(w, ip);
    loop_virtual_set_lan(w->v, m->loop, on_lan);
    snprintf(copy, sizeof copy, "%s", options);
    for (word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *value = strchr(word, '=');
        *value++ = 0;
        if (strcmp(word, "psk") == 0) {
            snprintf(path, sizeof path, "%s/swarm.key", m->dir);
            FILE *f = fopen(path, "w");
            fputs(psk, f);
            fclose(f);
            value = path;
        }
        set(m, word, value);
    }
    machine_start(m);
    return m;
}

static char *peers_of(struct world *w, struct machine *m)
{
    return call(w, m, "GET", "/conduit/v1/peers", "", "", 30 * S);
}

static char *ask(struct world *w, struct machine *m)
{
    return call(w, m, "POST", "/v1/chat/completions", "x-conduit-found: forged\r\n",
                "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}",
                30 * S);
}

static void assert_has(char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

/* What a's node says that it served. */
static bool has_served(struct world *w, struct machine *m)
{
    char *s = call(w, m, "GET", "/conduit/v1/status", "", "", 30 * S);
    bool served = !strstr(s, "\"ok\":0,");
    free(s);
    return served;
}

static bool lists(struct world *w, struct machine *m, struct machine *other, const char *found,
                  const char *trust)
{
    char *s = peers_of(w, m), want[256];
    const char *at = strstr(s, node_peer(other->node));
    bool is_listed = at != NULL;
    if (at && found) {
        const char *end = strstr(at, "\"models\"");
        snprintf(want, sizeof want, "\"found\":\"%s\",\"trust\":\"%s\"", found, trust);
        const char *hit = strstr(at, want);
        if (!hit || hit > end)
            fail_msg("not %s in %s", want, at);
    }
    free(s);
    return is_listed;
}

/* --- stories --- */

static void nodes_of_a_lan_list_each_other_within_two_seconds(void **state)
{
    struct site n;
    world_init(&n.w, 1);
    n.a = machine_up(&n.w, "10.0.0.1", "backend=echo:", true);
    n.b = machine_up(&n.w, "10.0.0.2", "http_port=8888", true);
    n.x = machine_up(&n.w, "20.0.0.1", "http_port=8888", false);
    run_for(&n.w, 1500 * MS);
    assert_true(lists(&n.w, n.a, n.b, "lan", "listed"));
    assert_true(lists(&n.w, n.b, n.a, "lan", "listed"));
    assert_false(lists(&n.w, n.b, n.x, NULL, NULL));
    assert_false(lists(&n.w, n.x, n.b, NULL, NULL));
    char *s = peers_of(&n.w, n.b); /* connected, and its models are shown */
    assert_has(s, "\"connected\":true");
    assert_has(s, "\"models\":[\"echo\"]");
    assert_has(s, "\"used\":false");
    free(s);
    s = call(&n.w, n.b, "GET", "/v1/models", "", "", 30 * S);
    assert_has(s, "\"data\":[]"); /* but not as something to be used */
    free(s);
    machine_off(n.a);
    run_for(&n.w, 2 * S);
    s = peers_of(&n.w, n.b);
    assert_has(s, "\"peers\":[]");
    free(s);
    world_fini(&n.w);
}

static void with_no_mdns_nobody_is_seen(void **state)
{
    for (int who = 0; who < 2; who++) {
        struct site n;
        world_init(&n.w, 2);
        n.a = machine_up(&n.w, "10.0.0.1", who == 0 ? "mdns=false" : "open=true", true);
        n.b = machine_up(&n.w, "10.0.0.2", who == 1 ? "mdns=false" : "open=true", true);
        run_for(&n.w, 5 * S);
        assert_false(lists(&n.w, n.a, n.b, NULL, NULL));
        assert_false(lists(&n.w, n.b, n.a, NULL, NULL));
        world_fini(&n.w);
    }
}

/* Each combination of who is open and who is named: what b's user gets, and whether a answered anybody. */
static void who_is_used_and_who_is_served(void **state)
{
    static const struct {
        const char *a, *b; /* besides a's backend */
        int status;
        const char *says;
    } rows[] = {
        {"", "", 403, "use strangers with --open"},
        {"open=true", "", 403, "use strangers with --open"},
        {"", "open=true", 403, "does not serve strangers found on its LAN"},
        {"open=true", "open=true", 200, "hello"},
        {"", "bootstrap=10.0.0.1:8000", 200, "hello"},
        {"open=true", "bootstrap=10.0.0.1:8000", 200, "hello"},
        {"", "open=true bootstrap=10.0.0.1:8000", 200, "hello"},
        {"open=true", "open=true bootstrap=10.0.0.1:8000", 200, "hello"},
        /* a names b: a would serve it, but b does not send prompts to who just comes */
        {"bootstrap=10.0.0.2:8000", "", 403, "use strangers with --open"},
        {"bootstrap=10.0.0.2:8000", "open=true", 200, "hello"},
        {"psk=x", "psk=x", 200, "hello"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct site n;
        world_init(&n.w, 10 + i);
        char options[256], status[32];
        snprintf(options, sizeof options, "backend=echo: %s", rows[i].a);
        n.a = machine_up(&n.w, "10.0.0.1", options, true);
        n.b = machine_up(&n.w, "10.0.0.2", *rows[i].b ? rows[i].b : "http_port=8888", true);
        run_for(&n.w, 3 * S);
        char *r = ask(&n.w, n.b);
        snprintf(status, sizeof status, "HTTP/1.1 %d", rows[i].status);
        if (!strstr(r, status) || !strstr(r, rows[i].says))
            fail_msg("a: '%s', b: '%s': not %d, %s: %s", rows[i].a, rows[i].b, rows[i].status,
                     rows[i].says, r);
        if (rows[i].status == 403) {
            assert_has(r, node_peer(n.a->node)); /* who has it */
            assert_has(r, "lan_stranger");
        }
        free(r);
        assert_int_equal(has_served(&n.w, n.a), rows[i].status == 200);
        world_fini(&n.w);
    }
}

/* A stranger that dials us by address and says that it names us gets answers, as anybody who names us, but
 * none of our questions. */
static void a_stranger_that_dials_us_gets_no_prompts(void **state)
{
    struct site n;
    world_init(&n.w, 30);
    n.b = machine_up(&n.w, "10.0.0.2", "http_port=8888", true);
    n.a = machine_up(&n.w, "10.0.0.1", "backend=echo: bootstrap=10.0.0.2:8000 mdns=false", true);
    run_for(&n.w, 20 * S); /* long enough for its records to be in our DHT */
    char *r = ask(&n.w, n.b);
    assert_has(r, "HTTP/1.1 403");
    assert_has(r, node_peer(n.a->node));
    free(r);
    assert_true(lists(&n.w, n.b, n.a, "lan", "served"));
    assert_false(has_served(&n.w, n.a));
    world_fini(&n.w);
}

/* We joined a network. A stranger of our LAN dials us, claims to name us, and stores its record with us: in vain. */
static void a_stranger_cannot_confirm_itself(void **state)
{
    struct site n;
    world_init(&n.w, 35);
    struct loop_virtual_link cut = {.is_cut = true};
    n.x = machine_up(&n.w, "20.0.0.1", "http_port=8888", false);
    n.b = machine_up(&n.w, "10.0.0.2", "bootstrap=20.0.0.1:8000", true);
    run_for(&n.w, 3 * S);
    n.a = machine_up(&n.w, "10.0.0.1", "backend=echo: bootstrap=10.0.0.2:8000", true);
    loop_virtual_set_link(n.w.v, n.a->loop, n.x->loop, &cut); /* not of that network */
    run_for(&n.w, 60 * S);
    assert_true(lists(&n.w, n.b, n.a, "lan", "served"));
    char *r = ask(&n.w, n.b);
    assert_has(r, "HTTP/1.1 403");
    free(r);
    assert_false(has_served(&n.w, n.a));
    world_fini(&n.w);
}

/* One that joined us from the LAN is in our DHT's table, and must not become trusted by being kept on disk. */
static void a_restart_makes_no_friends(void **state)
{
    struct site n;
    world_init(&n.w, 37);
    n.b = machine_up(&n.w, "10.0.0.2", "http_port=8888", true);
    n.a = machine_up(&n.w, "10.0.0.1", "backend=echo: bootstrap=10.0.0.2:8000", true);
    run_for(&n.w, 70ull * S); /* good peers are written after a minute */
    assert_true(lists(&n.w, n.b, n.a, "lan", "served"));
    machine_off(n.b);
    run_for(&n.w, 2 * S);
    machine_start(n.b);
    run_for(&n.w, 10 * S);
    char *r = ask(&n.w, n.b);
    assert_has(r, "HTTP/1.1 403");
    free(r);
    assert_true(lists(&n.w, n.b, n.a, "lan", "served"));
    world_fini(&n.w);
}

/* Two that name a third find each other through its DHT: then they are of one network, LAN or not. */
static void a_common_bootstrap_makes_a_network(void **state)
{
    struct site n;
    world_init(&n.w, 40);
    n.x = machine_up(&n.w, "20.0.0.1", "http_port=8888", false);
    n.a = machine_up(&n.w, "10.0.0.1", "backend=echo: bootstrap=20.0.0.1:8000", true);
    n.b = machine_up(&n.w, "10.0.0.2", "bootstrap=20.0.0.1:8000", true);
    run_for(&n.w, 10 * S);
    assert_true(lists(&n.w, n.b, n.a, "lan", "used and served")); /* without having been asked */
    char *r = call(&n.w, n.b, "GET", "/v1/models", "", "", 30 * S);
    assert_has(r, "\"id\":\"echo\"");
    free(r);
    r = ask(&n.w, n.b);
    assert_has(r, "HTTP/1.1 200");
    free(r);
    /* The third is gone, and the site has no way out: what they know of each other remains. */
    loop_virtual_crash(n.w.v, n.x->loop, false);
    run_for(&n.w, 60 * S);
    r = ask(&n.w, n.b);
    assert_has(r, "HTTP/1.1 200");
    free(r);
    world_fini(&n.w);
}

/* The way out is cut from the beginning: the LAN works, nothing waits for what is not there, and when the route
 * comes back the rest is joined. */
static void a_site_without_a_way_out(void **state)
{
    struct site n;
    world_init(&n.w, 50);
    struct loop_virtual_link cut = {.is_cut = true}, link = {.delay_us = 20 * MS};
    n.x = machine_up(&n.w, "20.0.0.1", "backend=echo:", false);
    n.a =
        machine_up(&n.w, "10.0.0.1", "backend=local=echo: open=true bootstrap=20.0.0.1:8000", true);
    loop_virtual_set_link(n.w.v, n.a->loop, n.x->loop, &cut);
    n.b = machine_up(&n.w, "10.0.0.2", "open=true bootstrap=20.0.0.1:8000", true);
    loop_virtual_set_link(n.w.v, n.b->loop, n.x->loop, &cut);
    run_for(&n.w, 1500 * MS);
    assert_true(lists(&n.w, n.b, n.a, "lan", "used and served"));
    char *r = call(&n.w, n.b, "POST", "/v1/chat/completions", "",
                   "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}", 30 * S);
    assert_has(r, "HTTP/1.1 200");
    assert_has(r, node_peer(n.a->node));
    free(r);
    run_for(&n.w, 120ull * S);
    loop_virtual_set_link(n.w.v, n.a->loop, n.x->loop, &link);
    loop_virtual_set_link(n.w.v, n.b->loop, n.x->loop, &link);
    run_for(&n.w, 70ull * S); /* the longest pause between two tries is a minute */
    assert_true(lists(&n.w, n.b, n.x, "bootstrap", "used and served"));
    world_fini(&n.w);
}

static void another_networks_nodes_are_not_even_seen(void **state)
{
    struct site n;
    world_init(&n.w, 60);
    n.a = machine_up(&n.w, "10.0.0.1", "psk=x open=true", true);
    n.b = machine_up(&n.w, "10.0.0.2", "open=true", true);
    n.c = machine_up(&n.w, "10.0.0.3", "psk=x", true);
    run_for(&n.w, 5 * S);
    assert_false(lists(&n.w, n.b, n.a, NULL, NULL));
    assert_false(lists(&n.w, n.a, n.b, NULL, NULL));
    assert_true(lists(&n.w, n.a, n.c, "lan", "used and served"));
    world_fini(&n.w);
}

/* `at`: where the peer is said to be. */
static void fake(struct loop_udp *u, const struct net_addr *group, unsigned i, const char *at)
{
    uint8_t b[1024], key[36] = {8, 1, 18, 32, (uint8_t)i, (uint8_t)(i >> 8), 9};
    char text[256], id[PEER_ID_TEXT], name[64];
    struct dns_writer w;
    struct dns_name service, instance;
    struct peer_id peer;
    (void)peer_id_from_key(bytes_of(key, sizeof key), &peer);
    snprintf(name, sizeof name, "fake%u._p2p._udp.local", i);
    (void)dns_name_parse(BYTES_LIT("_p2p._udp.local"), &service);
    (void)dns_name_parse(bytes_str(name), &instance);
    dns_write(&w, b, sizeof b, 0, DNS_FLAG_RESPONSE);
    dns_put_ptr(&w, DNS_ANSWER, &service, 4500, &instance);
    snprintf(text, sizeof text, "dnsaddr=/ip4/%s/tcp/%u/p2p/%s", at, 1 + i % 60000,
             peer_id_text(&peer, id, sizeof id));
    dns_put_txt(&w, DNS_ADDITIONAL, &instance, 4500, bytes_str(text));
    (void)loop_udp_send(u, group, dns_written(&w));
}

static void nothing_received(void *ctx, const struct net_addr *from, struct bytes datagram)
{
}

static size_t count_of(char *text, const char *part)
{
    size_t n = 0;
    for (char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}

/* A machine that says on the LAN what a test tells it to. */
static struct loop_udp *liar_new(struct world *w, const char *at)
{
    struct net_addr ip, group;
    struct loop_interface on;
    struct loop_udp *u;
    struct loop_udp_options o = {
        .reuse = true, .group = &group, .on = &on, .received = nothing_received};
    assert_int_equal(net_addr_parse_ip(at, 0, &ip), 0);
    assert_int_equal(net_addr_parse_ip("224.0.0.251", MDNS_PORT, &group), 0);
    assert_int_equal(net_addr_parse_ip("0.0.0.0", MDNS_PORT, &o.at), 0);
    struct loop *loop = loop_virtual_machine(w->v, &ip);
    loop_virtual_set_lan(w->v, loop, 1);
    assert_int_equal(loop_interface_list(loop, &on, 1), 1);
    assert_int_equal(loop_udp_open(loop, &o, &u), 0);
    return u;
}

/* Six machines tell of sixteen peers each, all at an address that never answers. */
static void few_are_dialled_at_a_time(void **state)
{
    struct site n;
    world_init(&n.w, 80);
    struct loop_udp *liars[6];
    struct net_addr group, silent;
    char ip[32];
    assert_int_equal(net_addr_parse_ip("224.0.0.251", MDNS_PORT, &group), 0);
    assert_int_equal(net_addr_parse_ip("10.0.0.99", 0, &silent), 0);
    loop_virtual_crash(n.w.v, loop_virtual_machine(n.w.v, &silent), false);
    n.b = machine_up(&n.w, "10.0.0.2", "open=true", true);
    for (unsigned i = 0; i < 6; i++) {
        snprintf(ip, sizeof ip, "10.0.0.%u", 10 + i);
        liars[i] = liar_new(&n.w, ip);
        for (unsigned j = 0; j < 16; j++)
            fake(liars[i], &group, 16 * i + j, "10.0.0.99");
    }
    run_for(&n.w, 3 * S); /* the first dials have not given up yet */
    char *s = peers_of(&n.w, n.b), *m = call(&n.w, n.b, "GET", "/metrics", "", "", 30 * S);
    assert_int_equal(count_of(s, "\"found\":\"lan\""), 96);
    char *dials = strstr(m, "\nconduit_p2p_dials_total ");
    assert_non_null(dials);
    assert_in_range(atoi(dials + 25), 1, LIMIT_LAN_DIALS);
    free(s);
    free(m);
    run_for(&n.w, 90ull * S); /* but each has its turn */
    m = call(&n.w, n.b, "GET", "/metrics", "", "", 30 * S);
    assert_true(atoi(strstr(m, "\nconduit_p2p_dials_total ") + 25) >= 96);
    free(m);
    for (unsigned i = 0; i < 6; i++)
        loop_udp_close(liars[i]);
    world_fini(&n.w);
}

/* One machine claims to be a thousand: few are listed and dialled, and a real one that comes is found. */
static void a_thousand_fakes_of_one_machine(void **state)
{
    struct site n;
    world_init(&n.w, 70);
    struct net_addr group;
    struct loop_udp *u = liar_new(&n.w, "10.0.0.3");
    assert_int_equal(net_addr_parse_ip("224.0.0.251", MDNS_PORT, &group), 0);
    n.b = machine_up(&n.w, "10.0.0.2", "open=true", true);
    for (unsigned i = 0; i < 1000; i++) {
        fake(u, &group, i, "10.0.0.3");
        run_for(&n.w, 10 * MS);
    }
    char *s = peers_of(&n.w, n.b);
    assert_in_range(count_of(s, "\"found\":\"lan\""), 1, 16);
    free(s);
    n.a = machine_up(&n.w, "10.0.0.1", "backend=echo: open=true", true);
    for (unsigned i = 0; i < 150; i++) {
        fake(u, &group, i, "10.0.0.3");
        run_for(&n.w, 10 * MS);
    }
    assert_true(lists(&n.w, n.b, n.a, "lan", "used and served"));
    char *r = ask(&n.w, n.b);
    assert_has(r, "HTTP/1.1 200");
    free(r);
    loop_udp_close(u);
    world_fini(&n.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_of_a_lan_list_each_other_within_two_seconds),
        cmocka_unit_test(with_no_mdns_nobody_is_seen),
        cmocka_unit_test(who_is_used_and_who_is_served),
        cmocka_unit_test(a_stranger_that_dials_us_gets_no_prompts),
        cmocka_unit_test(a_stranger_cannot_confirm_itself),
        cmocka_unit_test(a_restart_makes_no_friends),
        cmocka_unit_test(a_common_bootstrap_makes_a_network),
        cmocka_unit_test(a_site_without_a_way_out),
        cmocka_unit_test(another_networks_nodes_are_not_even_seen),
        cmocka_unit_test(a_thousand_fakes_of_one_machine),
        cmocka_unit_test(few_are_dialled_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
