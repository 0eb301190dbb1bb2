// SPDX-License-Identifier: MIT
/* NATs in virtual time, each pair of kinds: who gets through directly, and by dialling at the same time.
 *
 *   a 10.0.0.2 ── NAT 20.0.0.1 ──┐
 *                                ├── r 30.0.0.1 (public: sees where they come from)
 *   b 10.0.1.2 ── NAT 20.0.1.1 ──┘ */
#include "unit/loop/world.h"

enum { NONE = -1, PORT = 8000 };

struct side {
    struct loop *loop;
    struct loop_virtual_nat *nat;
    struct net_addr at, seen; /* as the public one saw it */
    struct loop_dial dial;
    struct stream *s, *to_public, *kept;
    bool keeps;
    struct loop_listener *ln;
    int err;
    unsigned accepted;
};

struct town {
    struct loop_virtual *v;
    struct side a, b, r;
};

static void on_accepted(void *ctx, struct stream *s)
{
    struct side *me = ctx;
    me->accepted++;
    me->seen = s->remote;
    if (me->keeps)
        me->kept = s;
    else
        stream_close(s);
}

static void on_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct side *me = CONTAINER_OF(d, struct side, dial);
    me->err = err;
    me->s = s;
}

static void place(struct town *t, struct side *me, const char *ip, const char *box, int kind)
{
    struct net_addr at;
    assert_int_equal(net_addr_parse_ip(ip, PORT, &me->at), 0);
    me->loop = loop_virtual_machine(t->v, &me->at);
    if (kind != NONE) {
        assert_int_equal(net_addr_parse_ip(box, 0, &at), 0);
        me->nat = loop_virtual_nat_new(t->v, &at, (enum loop_virtual_nat_kind)kind, 60 * US_PER_S);
        loop_virtual_set_nat(me->loop, me->nat);
    }
    struct loop_listen_options o = {.at = me->at, .accepted = on_accepted, .ctx = me};
    assert_int_equal(loop_listen(me->loop, &o, &me->ln), 0);
    me->dial.done = on_dialled;
}

static struct town *town_new(int a, int b)
{
    struct town *t = MEM_NEW(struct town);
    t->v = loop_virtual_new(1);
    place(t, &t->a, "10.0.0.2", "20.0.0.1", a);
    place(t, &t->b, "10.0.1.2", "20.0.1.1", b);
    place(t, &t->r, "30.0.0.1", NULL, NONE);
    return t;
}

static void town_free(struct town *t)
{
    struct side *all[] = {&t->a, &t->b, &t->r};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i]->s)
            stream_close(all[i]->s);
        if (all[i]->kept)
            stream_close(all[i]->kept);
        if (all[i]->to_public)
            stream_close(all[i]->to_public);
    }
    loop_virtual_free(t->v);
    free(t);
}

static void run_for(struct town *t, uint64_t us)
{
    loop_virtual_run(t->v, loop_virtual_now(t->v) + us, NULL, NULL);
}

/* From the listening port, as who wants holes does. */
static void dial(struct side *me, const struct net_addr *to)
{
    me->err = 1;
    loop_dial(me->loop, &me->dial, to, &me->at, 5 * US_PER_S);
}

static struct net_addr seen_by_public(struct town *t, struct side *me)
{
    dial(me, &t->r.at);
    run_for(t, US_PER_S);
    assert_int_equal(me->err, 0);
    me->to_public = me->s;
    me->s = NULL;
    return t->r.seen;
}

static const char *const names[] = {"none", "full cone", "restricted", "symmetric"};

/* What can be dialled straight from b: nothing behind a NAT but a full cone. */
static void from_outside(void **state)
{
    for (int kind = NONE; kind <= LOOP_NAT_SYMMETRIC; kind++) {
        struct town *t = town_new(kind, NONE);
        struct net_addr seen = seen_by_public(t, &t->a);
        assert_int_equal(net_addr_eq(&seen, &t->a.at), kind == NONE);
        dial(&t->b, &seen);
        run_for(t, 6 * US_PER_S);
        bool is_open = kind == NONE || kind == LOOP_NAT_FULL_CONE;
        if (t->b.err != (is_open ? 0 : E_TIMEOUT))
            fail_msg("%s: %d", names[kind + 1], t->b.err);
        town_free(t);
    }
}

/* From a port that nothing was sent to. */
static int dial_from_anew(struct town *t, struct side *me, const struct net_addr *to)
{
    me->err = 1;
    loop_dial(me->loop, &me->dial, to, NULL, 5 * US_PER_S);
    run_for(t, 6 * US_PER_S);
    return me->err;
}

static void who_was_sent_to_gets_in_by_its_address(void **state)
{
    for (int kind = LOOP_NAT_FULL_CONE; kind <= LOOP_NAT_ADDRESS_RESTRICTED; kind++) {
        struct town *t = town_new(kind, NONE);
        struct net_addr seen = seen_by_public(t, &t->a);
        bool lets_all_in = kind == LOOP_NAT_FULL_CONE;
        bool lets_it_in = lets_all_in || kind == LOOP_NAT_ADDRESS_RESTRICTED;
        assert_int_equal(dial_from_anew(t, &t->r, &seen), lets_it_in ? 0 : E_TIMEOUT);
        assert_int_equal(dial_from_anew(t, &t->b, &seen), lets_all_in ? 0 : E_TIMEOUT);
        town_free(t);
    }
}

static void a_private_address_is_nowhere_outside(void **state)
{
    struct town *t = town_new(LOOP_NAT_FULL_CONE, NONE);
    dial(&t->b, &t->a.at);
    run_for(t, US_PER_S);
    assert_int_equal(t->b.err, E_UNREACHABLE);
    town_free(t);
}

static bool is_punched(int a, int b)
{
    struct town *t = town_new(a, b);
    struct net_addr of_a = seen_by_public(t, &t->a), of_b = seen_by_public(t, &t->b);
    dial(&t->a, &of_b);
    dial(&t->b, &of_a);
    run_for(t, 8 * US_PER_S);
    bool ok = (t->a.err == 0 || t->b.err == 0);
    if (t->a.err == 0 && t->b.err == 0 && a >= LOOP_NAT_RESTRICTED && b >= LOOP_NAT_RESTRICTED) {
        /* one connection, both of its ends dialled */
        assert_int_equal(t->a.accepted + t->b.accepted, 0);
        uint8_t in[8];
        assert_int_equal(stream_write(t->a.s, BYTES_LIT("hello")), 5);
        run_for(t, US_PER_S);
        assert_int_equal(stream_read(t->b.s, in, sizeof in), 5);
    }
    town_free(t);
    return ok;
}

static void holes(void **state)
{
    static const bool expected[4][4] = {
        /* none, full cone, restricted, symmetric */
        {true, true, true, true},
        {true, true, true, true},
        {true, true, true, false},
        {true, true, false, false},
    };
    for (int a = NONE; a <= LOOP_NAT_SYMMETRIC; a++)
        for (int b = NONE; b <= LOOP_NAT_SYMMETRIC; b++)
            if (is_punched(a, b) != expected[a + 1][b + 1])
                fail_msg("%s and %s", names[a + 1], names[b + 1]);
}

/* A connection through a box that forgets is dead, and nobody is told; so is one that was idle too long. */
static void what_a_nat_forgets_is_dead(void **state)
{
    for (int reboots = 0; reboots < 2; reboots++) {
        struct town *t = town_new(NONE, LOOP_NAT_RESTRICTED);
        t->a.keeps = true;
        dial(&t->b, &t->a.at);
        run_for(t, US_PER_S);
        assert_int_equal(t->b.err, 0);
        if (reboots)
            loop_virtual_nat_forget(t->b.nat);
        else
            run_for(t, 61 * US_PER_S);
        uint64_t before = loop_virtual_count(t->v).packets;
        assert_int_equal(stream_write(t->b.s, BYTES_LIT("hello")), 5);
        run_for(t, US_PER_S);
        assert_int_equal(loop_virtual_count(t->v).packets, before);
        town_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_outside),
        cmocka_unit_test(who_was_sent_to_gets_in_by_its_address),
        cmocka_unit_test(a_private_address_is_nowhere_outside),
        cmocka_unit_test(holes),
        cmocka_unit_test(what_a_nat_forgets_is_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
