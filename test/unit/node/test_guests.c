// SPDX-License-Identifier: MIT
/* Whole nodes in virtual time: one that serves guests only, its guest, and others who would be.
 *
 *      guest 10.0.0.2 ------- 20 ms -------- issuer 10.0.0.1 (echo:, invite-only)
 *                                               |
 *      other 10.0.0.3 --------------------------/                                       */
#include "node_world.h"

#include <unistd.h>

#include "trickle.h"

/* The next machine, 20 ms from the others. options: key, value, key, value, NULL */
static struct machine *up(struct world *w, const char *const *options)
{
    struct loop_virtual_link link = {.delay_us = 20 * MS};
    struct machine *m = machine_add(w);
    for (int k = 0; &w->m[k] != m; k++)
        loop_virtual_set_link(w->v, w->m[k].loop, m->loop, &link);
    for (; *options; options += 2)
        set(m, options[0], options[1]);
    machine_start(m);
    return m;
}

static const char *const closed[] = {"backend", "echo:", "invite_only", "true", NULL};

static void world_up(struct world *w, uint64_t seed, const char *const *issuer)
{
    world_init(w, seed);
    up(w, issuer);
}

/* As `conduit invite` would; heap. */
static char *invite_from(struct machine *m, const char *name, const struct invite_terms *terms)
{
    struct node *n = m->node;
    struct invite_now now = invites_now(&n->invites);
    struct invite v = {.issuer = n->key.id, .expires_s = now.s + 3 * 86400, .addr_count = 1};
    struct buf b;
    char addr[64];
    snprintf(v.name, sizeof v.name, "%s", name);
    snprintf(addr, sizeof addr, "/ip4/%s/tcp/8000", m->ip);
    assert_int_equal(multiaddr_parse(bytes_str(addr), &v.addrs[0]), 0);
    rng_fill(n->rng, v.id, sizeof v.id);
    if (terms)
        v.terms = *terms;
    if (n->has_network) {
        v.has_network = true;
        memcpy(v.network, n->network.b, sizeof v.network);
    }
    assert_int_equal(invite_book_add(&n->invites.book, &v, &now), 0);
    buf_init(&b, 0);
    assert_int_equal(invite_text(&v, &n->key, &b), 0);
    return buf_take_str(&b);
}

static struct invite_entry *entry(struct machine *m, const char *name)
{
    return invite_book_find(&m->node->invites.book, bytes_str(name));
}

static const char question[] = "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":"
                               "\"What is the capital of France?\"}]}";

/* Asks echo there; does the answer hold `expect`? */
static void ask(struct world *w, int i, const char *expect)
{
    char *got = call(w, &w->m[i], "POST", "/v1/chat/completions", "", question, 30 * S);
    if (!strstr(got, expect))
        fail_msg("not '%s' but: %s", expect, got);
    free(got);
}

/* --- stories --- */

static void the_first_question_of_a_guest_is_answered(void **state)
{
    struct world w;
    world_up(&w, 1, closed);
    char *text = invite_from(&w.m[0], "ann", NULL);
    up(&w, (const char *const[]){"join", text, NULL});
    ask(&w, 1, "HTTP/1.1 200"); /* at once: the invite is shown first, then offers are read */
    struct invite_entry *e = entry(&w.m[0], "ann");
    assert_true(peer_id_eq(&e->guest, &w.m[1].node->key.id));
    assert_int_equal(e->requests, 1);
    assert_true(guest_has_issuer(&w.m[1].node->guest, &w.m[0].node->key.id));
    free(text);
    world_fini(&w);
}

static void a_stranger_finds_nothing_there(void **state)
{
    struct world w;
    world_up(&w, 2, closed);
    up(&w, (const char *const[]){"bootstrap", "/ip4/10.0.0.1/tcp/8000", NULL});
    run_for(&w, 3 * S);
    assert_true(p2p_host_is_connected(w.m[1].node->host, &w.m[0].node->key.id));
    assert_int_equal(catalogue_peer_count(&w.m[1].node->offers), 0);
    ask(&w, 1, "model_not_found");
    world_fini(&w);
}

static void an_invite_shown_by_another_is_refused(void **state)
{
    struct world w;
    world_up(&w, 3, closed);
    char *text = invite_from(&w.m[0], "ann", NULL);
    up(&w, (const char *const[]){"join", text, NULL});
    run_for(&w, 2 * S);
    up(&w, (const char *const[]){"join", text, NULL});
    run_for(&w, 2 * S);
    assert_int_equal(w.m[2].node->guest.invites[0].state, GUEST_REFUSED);
    assert_non_null(strstr(w.m[2].node->guest.invites[0].why, "showed it first"));
    ask(&w, 2, "model_not_found");
    ask(&w, 1, "HTTP/1.1 200");
    free(text);
    world_fini(&w);
}

static void a_revoked_guest_loses_everything_at_once(void **state)
{
    struct world w;
    world_up(&w, 4, closed);
    char *text = invite_from(&w.m[0], "ann", NULL);
    up(&w, (const char *const[]){"join", text, NULL});
    ask(&w, 1, "HTTP/1.1 200");
    struct node *n = w.m[0].node;
    invite_book_revoke(&n->invites.book, entry(&w.m[0], "ann"));
    ask(&w, 1, "invite_needed");
    gateway_feed_end_peer(n->gateway, peer_id_bytes(&w.m[1].node->key.id)); /* as the route does */
    run_for(&w, 10 * S);
    assert_int_equal(catalogue_peer_count(&w.m[1].node->offers), 0);
    run_for(&w, 700 * S); /* it looks whether its invite holds, and says what became of it */
    assert_int_equal(w.m[1].node->guest.invites[0].state, GUEST_REFUSED);
    assert_string_equal(w.m[1].node->guest.invites[0].why, "this invite was taken back");
    free(text);
    world_fini(&w);
}

/* Where everybody is served, whose invite was taken back is not; until it would have expired. */
static void a_revoked_guest_of_an_open_node_is_out(void **state)
{
    struct world w;
    world_up(&w, 14, (const char *const[]){"backend", "echo:", NULL});
    char *text = invite_from(&w.m[0], "ann", NULL), *late;
    up(&w, (const char *const[]){"join", text, NULL});
    up(&w, (const char *const[]){"bootstrap", "/ip4/10.0.0.1/tcp/8000", NULL});
    ask(&w, 1, "HTTP/1.1 200");
    struct node *n = w.m[0].node;
    invite_book_revoke(&n->invites.book, entry(&w.m[0], "ann"));
    ask(&w, 1, "invite_needed");
    ask(&w, 2, "HTTP/1.1 200"); /* of whom no invite was taken back */
    ask(&w, 1, "invite_needed");
    late = invite_from(&w.m[0], "ann again", NULL);
    struct invite_now now = invites_now(&n->invites);
    struct invite_entry *e;
    struct guard_refusal why;
    assert_int_equal(invite_book_show(&n->invites.book, &n->key.id, bytes_str(late),
                                      &w.m[1].node->key.id, &now, &e, &why),
                     0);
    ask(&w, 1, "HTTP/1.1 200"); /* a guest again, under another one */
    free(late);
    free(text);
    world_fini(&w);
}

/* Looking changes nothing: it stays what it was, and so does its stream of offers. */
static void a_guest_that_looks_is_not_disturbed(void **state)
{
    struct world w;
    char why[64];
    world_up(&w, 12, closed);
    char *text = invite_from(&w.m[0], "ann", NULL);
    struct machine *m = up(&w, (const char *const[]){"join", text, NULL});
    ask(&w, 1, "HTTP/1.1 200");
    uint64_t changes = m->node->offers.changes;
    for (int i = 0; i < 100; i++) {
        run_for(&w, 15 * S);
        assert_string_equal(guest_state_text(&m->node->guest.invites[0], why, sizeof why),
                            "accepted");
        assert_int_equal(catalogue_peer_count(&m->node->offers), 1);
        assert_int_equal(gateway_watchers(w.m[0].node->gateway), 1);
    }
    assert_int_equal(m->node->offers.changes, changes);
    free(text);
    world_fini(&w);
}

static void the_limits_are_the_invites(void **state)
{
    struct world w;
    struct invite_terms t = {.requests_per_day = 2};
    world_up(&w, 5, closed);
    char *text = invite_from(&w.m[0], "ann", &t);
    up(&w, (const char *const[]){"join", text, NULL});
    ask(&w, 1, "HTTP/1.1 200");
    ask(&w, 1, "HTTP/1.1 200");
    ask(&w, 1, "invite_requests_used");
    assert_true(entry(&w.m[0], "ann")->tokens > 0);                         /* the echo counts */
    loop_virtual_set_clock(w.v, w.m[0].loop, INT64_C(24) * 3600 * 1000, 0); /* another day there */
    ask(&w, 1, "HTTP/1.1 200");
    free(text);
    world_fini(&w);
}

/* A guest's clock says nothing; the issuer's is the one that counts. */
static void a_guest_may_have_a_wrong_clock(void **state)
{
    static const int64_t hours[] = {-20, 1}; /* as far as offers are good */
    for (size_t i = 0; i < ARRAY_LEN(hours); i++) {
        struct world w;
        world_up(&w, 20 + i, closed);
        char *text = invite_from(&w.m[0], "ann", NULL);
        struct machine *m = up(&w, (const char *const[]){"p2p_port", "8001", NULL});
        machine_off(m);
        loop_virtual_set_clock(w.v, m->loop, hours[i] * 3600 * 1000, 0);
        set(m, "join", text);
        machine_start(m);
        run_for(&w, 2 * S);
        assert_int_equal(m->node->guest.invites[0].state, GUEST_SHOWN);
        ask(&w, 1, "HTTP/1.1 200");
        loop_virtual_set_clock(w.v, w.m[0].loop, INT64_C(4) * 86400 * 1000, 0);
        ask(&w, 1, "invite_needed"); /* there it is over */
        run_for(&w, 70 * S);
        assert_null(entry(&w.m[0], "ann"));
        assert_int_equal(trust_reasons(&w.m[0].node->trust, &m->node->key.id) & TRUST_INVITE, 0);
        free(text);
        world_fini(&w);
    }
}

static void what_was_used_survives_a_restart(void **state)
{
    struct world w;
    struct invite_terms t = {.requests_per_day = 2};
    world_up(&w, 6, closed);
    char *text = invite_from(&w.m[0], "ann", &t);
    up(&w, (const char *const[]){"join", text, NULL});
    ask(&w, 1, "HTTP/1.1 200");
    machine_off(&w.m[0]);
    run_for(&w, 3 * S);
    machine_start(&w.m[0]);
    run_for(&w, 70 * S); /* the guest comes again, and shows its invite again */
    assert_int_equal(w.m[1].node->guest.invites[0].state, GUEST_SHOWN);
    assert_int_equal(entry(&w.m[0], "ann")->requests, 1);
    ask(&w, 1, "HTTP/1.1 200");
    ask(&w, 1, "invite_requests_used");
    free(text);
    world_fini(&w);
}

/* While that it is bound cannot be written down nobody is told so, nor when he asks again. */
static void a_binding_that_is_not_kept_binds_nobody(void **state)
{
    struct world w;
    world_up(&w, 13, closed);
    struct invites *v = &w.m[0].node->invites;
    const char *dir = v->dir;
    char *text = invite_from(&w.m[0], "ann", NULL);
    v->dir = "/nowhere/at/all";
    up(&w, (const char *const[]){"join", text, NULL});
    for (int i = 0; i < 100; i++) {
        run_for(&w, 2 * S);
        assert_true(peer_id_is_none(&entry(&w.m[0], "ann")->guest));
        assert_int_not_equal(w.m[1].node->guest.invites[0].state, GUEST_SHOWN);
    }
    v->dir = dir;
    run_for(&w, 700 * S);
    assert_int_equal(w.m[1].node->guest.invites[0].state, GUEST_SHOWN);
    assert_true(peer_id_eq(&entry(&w.m[0], "ann")->guest, &w.m[1].node->key.id));
    free(text);
    world_fini(&w);
}

/* Strangers from twenty places, each as often as it may, leave room for the guest who comes. */
static void strangers_who_show_anything_lock_no_guest_out(void **state)
{
    struct world w;
    struct peer_id who = {.len = 1};
    world_up(&w, 14, closed);
    struct invites *in = &w.m[0].node->invites;
    for (uint32_t s = 0; s < 120; s++) {
        for (uint32_t i = 0; i < 20; i++) {
            struct net_addr from = {.kind = NET_IP4, .ip = {198, 51, 100, (uint8_t)i}};
            (void)invites_may_show(in, &who, &from, false);
        }
        struct net_addr guest = {.kind = NET_IP4, .ip = {203, 0, 113, (uint8_t)s}};
        assert_true(invites_may_show(in, &who, &guest, false));
        run_for(&w, S);
    }
    world_fini(&w);
}

static void the_network_key_travels_in_the_invite(void **state)
{
    struct world w;
    struct pnet_key key = {{42}};
    char path[] = "/tmp/conduit-psk-XXXXXX", why[NETWORK_KEY_WHY];
    assert_non_null(mkdtemp(path));
    char *file = mem_printf("%s/swarm.key", path);
    assert_int_equal(network_key_make(file, &key, why), 0);
    world_up(&w, 7,
             (const char *const[]){"backend", "echo:", "invite_only", "true", "psk", file, NULL});
    char *text = invite_from(&w.m[0], "ann", NULL);
    up(&w, (const char *const[]){"join", text, NULL});
    up(&w, (const char *const[]){"bootstrap", "/ip4/10.0.0.1/tcp/8000", NULL});
    ask(&w, 1, "HTTP/1.1 200");
    run_for(&w, 2 * S);
    assert_false(p2p_host_is_connected(w.m[2].node->host, &w.m[0].node->key.id));
    free(text);
    world_fini(&w);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(path), 0);
    free(file);
}

static void lists_decide_who_may_connect(void **state)
{
    struct world w;
    char guest[PEER_ID_TEXT];
    world_up(&w, 8, (const char *const[]){"backend", "echo:", NULL});
    struct access *a = &w.m[0].node->access;
    up(&w, (const char *const[]){"bootstrap", "/ip4/10.0.0.1/tcp/8000", NULL});
    struct peer_id id = w.m[1].node->key.id;
    ask(&w, 1, "HTTP/1.1 200");
    assert_int_equal(peer_list_add(&a->deny, &id), 0);
    ask(&w, 1, "invite_needed"); /* the connection is older than the list */
    p2p_host_disconnect(w.m[0].node->host, &id);
    run_for(&w, 10 * S);
    assert_false(p2p_host_is_connected(w.m[0].node->host, &id));
    peer_list_fini(&a->deny);
    a->has_allow = true;
    run_for(&w, 70 * S);
    assert_false(p2p_host_is_connected(w.m[0].node->host, &id));
    assert_int_equal(peer_list_add(&a->allow, &id), 0);
    run_for(&w, 70 * S);
    assert_true(p2p_host_is_connected(w.m[0].node->host, &id));
    ask(&w, 1, "HTTP/1.1 200");
    /* an invite opens the door to whoever may hold it, for that alone */
    peer_list_fini(&a->allow);
    char *text = invite_from(&w.m[0], "late", NULL);
    up(&w, (const char *const[]){"join", text, NULL});
    ask(&w, 2, "HTTP/1.1 200");
    ask(&w, 1, "invite_needed");
    (void)peer_id_text(&id, guest, sizeof guest);
    free(text);
    world_fini(&w);
}

static void who_is_denied_is_in_no_table(void **state)
{
    struct world w;
    char id[PEER_ID_TEXT];
    world_up(&w, 9, (const char *const[]){"backend", "echo:", NULL});
    peer_id_text(&w.m[0].node->key.id, id, sizeof id);
    struct machine *m =
        up(&w, (const char *const[]){"bootstrap", "/ip4/10.0.0.1/tcp/8000", "deny_peer", id, NULL});
    run_for(&w, 10 * S);
    assert_false(p2p_host_is_connected(m->node->host, &w.m[0].node->key.id));
    assert_int_equal(dht_stats(m->node->kad.dht).table_peers, 0);
    assert_int_equal(catalogue_peer_count(&m->node->offers), 0);
    ask(&w, 1, "\"error\"");
    world_fini(&w);
}

static void the_list_of_peers_says_who_is_not_served(void **state)
{
    struct world w;
    struct buf page;
    world_up(
        &w, 11, /* the machines here are of one LAN */
        (const char *const[]){"backend", "echo:", "invite_only", "true", "open", "true", NULL});
    up(&w, (const char *const[]){"bootstrap", "/ip4/10.0.0.1/tcp/8000", NULL});
    run_for(&w, 5 * S);
    buf_init(&page, 0);
    assert_int_equal(node_render(w.m[0].node, GATEWAY_PAGE_PEERS, NULL, &page), 0);
    (void)buf_append_byte(&page, 0);
    const char *text = (const char *)buf_view(&page).p;
    if (!strstr(text, "\"trust\":\"used, not served\""))
        fail_msg("%s", text);
    buf_clear(&page);
    char *invite = invite_from(&w.m[0], "friend", NULL);
    up(&w, (const char *const[]){"join", invite, NULL});
    run_for(&w, 5 * S);
    assert_int_equal(node_render(w.m[0].node, GATEWAY_PAGE_PEERS, NULL, &page), 0);
    (void)buf_append_byte(&page, 0);
    text = (const char *)buf_view(&page).p;
    assert_non_null(strstr(text, "\"trust\":\"used and served\""));
    assert_non_null(strstr(text, "\"trust\":\"used, not served\""));
    free(invite);
    buf_fini(&page);
    world_fini(&w);
}

/* It takes the invite and answers a byte a second: whatever else this node asks does not wait for that, and the
 * invite is shown again. */
static void an_issuer_that_trickles_is_asked_again(void **state)
{
    struct world w;
    world_up(&w, 10, closed);
    char *text = invite_from(&w.m[0], "slow", NULL);
    trickle_begin(w.m[0].node);
    struct machine *m = up(&w, (const char *const[]){"join", text, NULL});
    run_for(&w, 10 * S);
    assert_true(p2p_host_is_connected(m->node->host, &w.m[0].node->key.id));
    assert_true(guest_is_showing(&m->node->guest, NULL));
    run_for(&w, 10 * S);
    assert_false(guest_is_showing(&m->node->guest, NULL));
    assert_true(guest_is_showing(&m->node->guest, &w.m[0].node->key.id));
    trickle_end(w.m[0].node);
    run_for(&w, 30 * S);
    assert_int_equal(m->node->guest.invites[0].state, GUEST_SHOWN);
    ask(&w, 1, "HTTP/1.1 200");
    free(text);
    world_fini(&w);
}

/* One POST /conduit/v1/invite over p2p: 429 and others by status. */
struct showing {
    struct p2p_open open;
    struct node *at;
    struct bytes body;
    int *refused, *rated;
    int status;
};

static void showing_head(void *ctx, const struct http_head *head)
{
    ((struct showing *)ctx)->status = head->status;
}

static void showing_body(void *ctx, struct bytes piece)
{
}

static void showing_done(void *ctx, const struct http_call_result *r)
{
    struct showing *v = ctx;
    assert_int_equal(r->err, 0);
    *v->rated += v->status == 429;
    *v->refused += v->status == 400 || v->status == 403;
    free(v);
}

static void showing_opened(struct p2p_open *r, int err, struct stream *s)
{
    static const struct http_call_events events = {
        .head = showing_head, .body = showing_body, .done = showing_done};
    struct showing *v = CONTAINER_OF(r, struct showing, open);
    const struct http_request req = {.method = "POST",
                                     .target = BYTES_LIT("/conduit/v1/invite"),
                                     .host = BYTES_LIT("x"),
                                     .body = &v->body,
                                     .body_count = 1,
                                     .has_body = true,
                                     .must_close = true};
    assert_int_equal(err, 0);
    assert_non_null(http_call_open(v->at->client, s, &req, &events, v, &err));
}

/* So many at once, of the machine's own making; how many were refused, and how many of them by the rate. */
static void show_many(struct world *w, int i, int count, int *refused, int *rated)
{
    *refused = *rated = 0;
    for (int k = 0; k < count; k++) {
        struct showing *v = MEM_NEW(struct showing);
        v->at = w->m[i].node;
        v->body = BYTES_LIT("{\"invite\":\"conduit1:AAAA\"}");
        v->refused = refused;
        v->rated = rated;
        v->open = (struct p2p_open){
            .peer = w->m[0].node->key.id, .protocol = HTTP_PROTOCOL, .done = showing_opened};
        p2p_host_open(w->m[i].node->host, &v->open);
    }
    run_for(w, 2 * S);
    assert_int_equal(*refused + *rated, count);
}

/* A signature is checked for each: so many a second of one IP group, and of all who are no guests. Guests are not
 * kept out by strangers who try. */
static void whoever_tries_invites_all_day_is_slowed(void **state)
{
    struct world w;
    int refused, rated;
    world_up(&w, 14, closed);
    char *text = invite_from(&w.m[0], "ann", NULL);
    struct machine *ann = up(&w, (const char *const[]){"join", text, NULL});
    ask(&w, 1, "HTTP/1.1 200");
    up(&w, (const char *const[]){"bootstrap", "/ip4/10.0.0.1/tcp/8000", NULL});
    run_for(&w, 2 * S);
    show_many(&w, 2, 100, &refused, &rated);
    assert_in_range(refused, LIMIT_INVITE_SHOW_BURST_IP, LIMIT_INVITE_SHOW_BURST_IP + 2);
    assert_int_equal(w.m[0].node->invites.shows_refused, rated);
    run_for(&w, 60 * S);
    show_many(&w, 2, 100, &refused, &rated); /* patience helps */
    assert_in_range(refused, LIMIT_INVITE_SHOW_BURST_IP, LIMIT_INVITE_SHOW_BURST_IP + 2);
    /* from many addresses: as many as may in all */
    struct invites *in = &w.m[0].node->invites;
    struct net_addr from = {.kind = NET_IP4, .ip = {20}};
    struct peer_id who = w.m[2].node->key.id;
    int taken = 0;
    run_for(&w, 60 * S);
    for (int i = 0; i < 240; i++) {
        from.ip[3] = (uint8_t)i;
        taken += invites_may_show(in, &who, &from, false);
    }
    assert_int_equal(taken, LIMIT_INVITE_SHOW_BURST);
    from.ip[3] = 250;
    assert_false(invites_may_show(in, &who, &from, false));
    from.ip[3] = 251;
    assert_true(invites_may_show(in, &who, &from, true)); /* a guest */
    for (int i = 0; i < LIMIT_INVITE_SHOW_BURST_IP; i++)  /* over circuits each is one */
        assert_true(invites_may_show(in, &who, NULL, true));
    assert_false(invites_may_show(in, &who, NULL, true));
    assert_true(invites_may_show(in, &ann->node->key.id, NULL, true));
    assert_int_equal(ann->node->guest.invites[0].state, GUEST_SHOWN);
    ask(&w, 1, "HTTP/1.1 200");
    free(text);
    world_fini(&w);
}

/* --- the owner's lists --- */

/* Into `why` when `file` is given as deny_peer; "": it was taken. */
static size_t deny(const char *file, char why[static CONFIG_WHY])
{
    struct access a;
    struct config cfg;
    config_init(&cfg);
    why[0] = 0;
    assert_int_equal(config_set(&cfg, "deny_peer", file, RANK_FLAG, why), 0);
    int err = access_init(&a, NULL, &cfg, NULL, why);
    size_t n = a.deny.n;
    assert_int_equal(err ? E_INVALID : 0, *why ? E_INVALID : 0);
    access_fini(&a);
    config_fini(&cfg);
    return n;
}

/* Half a list of who is denied would admit the other half. */
static void a_list_that_cannot_be_read_whole_is_refused(void **state)
{
    static const char id[] = "12D3KooWAmHQtrarjJLJDQquAxaKSr67dm3Miqezh2qYaXiUNuge\n";
    char why[CONFIG_WHY], path[] = "/tmp/conduit-list-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    fputs(id, f);
    fflush(f);
    assert_int_equal(deny(path, why), 1);
    assert_string_equal(why, "");
    for (size_t i = 0; i < LIMIT_PEER_LIST; i++)
        fprintf(f, "# %090zu\n", i);
    fputs("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp\n", f);
    fclose(f);
    (void)deny(path, why);
    assert_non_null(strstr(why, "bytes"));
    (void)deny("/tmp", why); /* fopen takes it */
    assert_non_null(strstr(why, "'/tmp' is neither"));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_question_of_a_guest_is_answered),
        cmocka_unit_test(a_stranger_finds_nothing_there),
        cmocka_unit_test(an_invite_shown_by_another_is_refused),
        cmocka_unit_test(a_revoked_guest_loses_everything_at_once),
        cmocka_unit_test(a_revoked_guest_of_an_open_node_is_out),
        cmocka_unit_test(a_guest_that_looks_is_not_disturbed),
        cmocka_unit_test(the_limits_are_the_invites),
        cmocka_unit_test(a_guest_may_have_a_wrong_clock),
        cmocka_unit_test(what_was_used_survives_a_restart),
        cmocka_unit_test(a_binding_that_is_not_kept_binds_nobody),
        cmocka_unit_test(strangers_who_show_anything_lock_no_guest_out),
        cmocka_unit_test(the_network_key_travels_in_the_invite),
        cmocka_unit_test(lists_decide_who_may_connect),
        cmocka_unit_test(who_is_denied_is_in_no_table),
        cmocka_unit_test(the_list_of_peers_says_who_is_not_served),
        cmocka_unit_test(an_issuer_that_trickles_is_asked_again),
        cmocka_unit_test(whoever_tries_invites_all_day_is_slowed),
        cmocka_unit_test(a_list_that_cannot_be_read_whole_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
