// SPDX-License-Identifier: MIT
/* A whole node whose machine gets another address, in virtual time: the others learn the new one and can
 * use it within seconds, though neither side of the old connections was told.
 *
 *      consumer 10.0.0.2 ------- 20 ms -------- provider 10.0.0.1, later 10.0.0.9
 */
#include "base/buf.h"
#include "dht/core.h"
#include "loop/loop.h"
#include "node/node.h"
#include "node/node_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S UINT64_C(1000000)

static char *const no_env[] = {"HOME=/nonexistent", NULL};

struct machine {
    struct loop *loop;
    struct config cfg;
    struct node *node;
    char dir[64];
};

static void up(struct loop_virtual *v, struct machine *m, const char *ip, const char *backend,
               const char *bootstrap)
{
    struct net_addr at;
    char why[CONFIG_WHY];
    snprintf(m->dir, sizeof m->dir, "/tmp/conduit-sim-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    assert_int_equal(net_addr_parse_ip(ip, 0, &at), 0);
    m->loop = loop_virtual_machine(v, &at);
    config_init(&m->cfg);
    assert_int_equal(config_set(&m->cfg, "data_dir", m->dir, RANK_FLAG, why), 0);
    if (backend)
        assert_int_equal(config_set(&m->cfg, "backend", backend, RANK_FLAG, why), 0);
    if (bootstrap)
        assert_int_equal(config_set(&m->cfg, "bootstrap", bootstrap, RANK_FLAG, why), 0);
    if (node_start(m->loop, &m->cfg, no_env, "0.0.0", &m->node, why) != 0)
        fail_msg("%s", why);
}

static void down(struct machine *m)
{
    char command[96];
    node_free(m->node);
    config_fini(&m->cfg);
    snprintf(command, sizeof command, "rm -rf %s", m->dir);
    assert_int_equal(system(command), 0);
}

static bool is_served(struct machine *at, struct machine *by)
{
    for (const struct catalogue_offer *o = catalogue_next(&at->node->offers, NULL); o;
         o = catalogue_next(&at->node->offers, o))
        if (peer_id_eq(&o->offer.peer, &by->node->key.id))
            return p2p_host_is_connected(at->node->host, &by->node->key.id);
    return false;
}

static bool knows(struct machine *at, struct machine *of, const char *addr)
{
    struct known_peer *k = p2p_host_record(at->node->host, &of->node->key.id);
    char text[128];
    for (int i = 0; k && i < k->addr_count; i++)
        if (strcmp(multiaddr_text(bytes_of(k->addrs[i].p, k->addrs[i].n), text, sizeof text),
                   addr) == 0)
            return true;
    return false;
}

/* What `at` holds for whoever asks the DHT for the node `of` names this address; ip: as in a multiaddr. */
static bool is_told(struct machine *at, struct machine *of, struct bytes ip)
{
    struct dht *d = at->node->kad.dht;
    char key[LIMIT_DHT_KEY + 1];
    int n = dht_record_key("node", &of->node->key.id, key);
    const struct dht_value *v =
        dht_values_get(&d->values, bytes_of(key, (size_t)n), sched_wall_ms(loop_sched(at->loop)));
    return v && memmem(v->value, v->n, ip.p, ip.n) != NULL;
}

static void run(struct loop_virtual *v, uint64_t us)
{
    loop_virtual_run(v, loop_virtual_now(v) + us, NULL, NULL);
}

/* The seconds until both hold again; fails after 30. */
static uint64_t seconds_until_back(struct loop_virtual *v, struct machine *at, struct machine *by,
                                   const char *addr)
{
    uint64_t s = 0;
    while (!(knows(at, by, addr) && is_served(at, by))) {
        run(v, S);
        if (++s == 30)
            fail_msg("not back after 30 s");
    }
    return s;
}

static void the_dialling_side_moves(void **state)
{
    struct loop_virtual *v = loop_virtual_new(1);
    struct machine boot = {0}, provider = {0};
    struct net_addr to;
    up(v, &boot, "10.0.0.2", NULL, NULL);
    up(v, &provider, "10.0.0.3", "echo:", "/ip4/10.0.0.2/tcp/8000");
    run(v, 10 * S);
    assert_true(p2p_host_is_connected(boot.node->host, &provider.node->key.id));
    assert_true(knows(&boot, &provider, "/ip4/10.0.0.3/tcp/8000"));
    net_addr_parse_ip("10.0.0.9", 0, &to);
    loop_virtual_set_ip(v, provider.loop, &to);
    uint64_t s = 0;
    while (!knows(&boot, &provider, "/ip4/10.0.0.9/tcp/8000") && s < 30) {
        run(v, S);
        s++;
    }
    assert_true(s <= 8); /* seen in 2, doubted for 3, dialled */
    assert_true(p2p_host_is_connected(provider.node->host, &boot.node->key.id));
    assert_int_equal(provider.node->netwatch.moves, 1);
    down(&provider);
    down(&boot);
    run(v, S);
    loop_virtual_free(v);
}

static void the_dialled_side_moves_and_is_served_again(void **state)
{
    struct loop_virtual *v = loop_virtual_new(2);
    struct machine provider = {0}, consumer = {0};
    struct net_addr to;
    up(v, &provider, "10.0.0.1", "echo:", NULL);
    up(v, &consumer, "10.0.0.2", NULL, "/ip4/10.0.0.1/tcp/8000");
    run(v, 10 * S);
    assert_true(is_served(&consumer, &provider));
    net_addr_parse_ip("10.0.0.9", 0, &to);
    loop_virtual_set_ip(v, provider.loop, &to);
    uint64_t s = seconds_until_back(v, &consumer, &provider, "/ip4/10.0.0.9/tcp/8000");
    assert_true(s <= 12); /* the provider dials whom it knew */
    run(v, 5 * S);
    assert_true(is_told(&consumer, &provider, BYTES_LIT("\x04\x0a\0\0\x09\x06")));
    assert_false(is_told(&consumer, &provider, BYTES_LIT("\x04\x0a\0\0\x01\x06")));
    down(&consumer);
    down(&provider);
    run(v, S);
    loop_virtual_free(v);
}

/* A clock that is set, by hand or by a server of time, is no sleep; a suspended machine is. */
static void only_a_suspended_machine_slept(void **state)
{
    struct loop_virtual *v = loop_virtual_new(3);
    struct machine boot = {0}, m = {0};
    up(v, &boot, "10.0.0.2", NULL, NULL);
    up(v, &m, "10.0.0.3", NULL, "/ip4/10.0.0.2/tcp/8000");
    run(v, 10 * S);
    loop_virtual_set_clock(v, m.loop, 3600000, 0);
    run(v, 5 * S);
    loop_virtual_set_clock(v, m.loop, -3600000, 0);
    run(v, 5 * S);
    assert_int_equal(m.node->netwatch.moves, 0);
    loop_virtual_suspended(m.loop, 30 * S);
    run(v, 5 * S);
    assert_int_equal(m.node->netwatch.moves, 1);
    assert_true(p2p_host_is_connected(m.node->host, &boot.node->key.id));
    down(&m);
    down(&boot);
    run(v, S);
    loop_virtual_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dialling_side_moves),
        cmocka_unit_test(only_a_suspended_machine_slept),
        cmocka_unit_test(the_dialled_side_moves_and_is_served_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
