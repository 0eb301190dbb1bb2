// SPDX-License-Identifier: MIT
/* See guest.h. */
#include "node/guest.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/json.h"
#include "codec/multiaddr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_US  (5 * US_PER_S)
#define ANSWER_US (15 * US_PER_S)
#define CHECK_US  (10 * 60 * US_PER_S) /* it may have been taken back: nobody says so unasked */
enum { ANSWER_MAX = 8192 };

/* --- reading --- */

static void wipe_free(char *s)
{
    if (s)
        mem_wipe(s, strlen(s));
    free(s);
}

/* The text itself, or what is in the file of that name; heap, to be wiped. NULL: no such file. */
static char *text_of(const char *word)
{
    if (invite_is_text(bytes_str(word)))
        return mem_strdup(word);
    FILE *f = fopen(word, "r");
    if (!f)
        return NULL;
    setvbuf(f, NULL, _IONBF, 0); /* no copy in a buffer of stdio's */
    char *text = mem_new(LIMIT_INVITE_TEXT + 2);
    size_t n = fread(text, 1, LIMIT_INVITE_TEXT + 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

/* What is sent: the text without the space that mail put into it. */
static char *body_of(const char *text)
{
    size_t n = strlen(text), at = 0;
    char *body = mem_new(n + 32);
    at += (size_t)sprintf(body, "{\"invite\":\"");
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", text[i]))
            body[at++] = text[i];
    strcpy(body + at, "\"}");
    return body;
}

static int read_one(struct guest *g, const char *word, char *why)
{
    const char *what = "";
    char *text = text_of(word);
    if (!text) { /* not the word: it may be an invite that lost its first character */
        snprintf(why, CONFIG_WHY,
                 "--join: it is neither an invite (conduit1:…) nor a file that can be read");
        return E_INVALID;
    }
    g->invites = mem_resize(g->invites, (g->count + 1) * sizeof *g->invites);
    struct guest_invite *v = &g->invites[g->count];
    *v = (struct guest_invite){0};
    int err = invite_read(bytes_str(text), &v->invite, &what);
    if (err)
        snprintf(why, CONFIG_WHY, "--join: this invite cannot be used: %s", what);
    else
        v->body = body_of(text);
    wipe_free(text);
    g->count += !err;
    return err ? E_INVALID : 0;
}

int guest_read(struct guest *g, const struct config *c, char why[static CONFIG_WHY])
{
    int err = 0;
    *g = (struct guest){0};
    for (size_t i = 0; i < c->join.n && !err; i++)
        err = read_one(g, c->join.v[i], why);
    return err;
}

int guest_network(const struct guest *g, struct pnet_key *out, char why[static CONFIG_WHY])
{
    int found = 0;
    for (size_t i = 0; i < g->count; i++) {
        const struct invite *v = &g->invites[i].invite;
        if (!v->has_network)
            continue;
        if (found && !mem_equal_secret(out->b, v->network, PNET_KEY)) {
            snprintf(why, CONFIG_WHY,
                     "--join: these invites are into two private networks; a node can be in one");
            return E_INVALID;
        }
        memcpy(out->b, v->network, PNET_KEY);
        found = 1;
    }
    return found;
}

void guest_addresses(const struct guest *g, struct strlist *out)
{
    char text[512];
    for (size_t i = 0; i < g->count; i++)
        for (size_t k = 0; k < g->invites[i].invite.addr_count; k++) {
            const struct invite *v = &g->invites[i].invite;
            struct multiaddr full;
            if (multiaddr_with_peer(multiaddr_bytes(&v->addrs[k]), &v->issuer, &full) != 0)
                continue;
            multiaddr_text(multiaddr_bytes(&full), text, sizeof text);
            strlist_add(out, text, strlen(text));
        }
}

/* --- showing --- */

static void show(struct guest_invite *v);

static void end_call(struct guest_invite *v)
{
    if (v->is_opening)
        p2p_open_cancel(&v->open);
    if (v->call)
        http_call_cancel(v->call);
    v->is_opening = false;
    v->call = NULL;
    timer_clear(v->g->sched, &v->again);
    buf_fini(&v->answer);
}

static void settle(struct guest_invite *v, enum guest_state state)
{
    bool is_news = v->state != state;
    v->state = state;
    v->has_failed = false;
    if (state == GUEST_SHOWN)
        timer_after(v->g->sched, &v->again, CHECK_US);
    if (is_news)
        feeds_refresh(v->g->feeds, &v->invite.issuer);
}

static void no_answer(struct guest_invite *v, const char *what)
{
    char who[16];
    if (v->state == GUEST_SHOWN) { /* only looked whether it still holds */
        timer_after(v->g->sched, &v->again, CHECK_US);
        return;
    }
    v->has_failed = true;
    TRACE(NODE, INFO, "invite of %s could not be shown: %s -> again in %llu s",
          peer_id_short(&v->invite.issuer, who), what, (unsigned long long)(AGAIN_US / US_PER_S));
    timer_after(v->g->sched, &v->again, AGAIN_US);
}

static void refused(struct guest_invite *v)
{
    struct json_doc *doc = NULL;
    char who[16];
    (void)json_parse(buf_view(&v->answer), ANSWER_MAX, &doc, NULL);
    struct bytes said = json_get_str(json_get(json_root(doc), "error"), "message");
    snprintf(v->why, sizeof v->why, "%.*s", BYTES_FMT(bytes_first(said, sizeof v->why - 1)));
    json_free(doc);
    TRACE(NODE, WARN, "invite '%s' of %s: %s -> not its guest", v->invite.name,
          peer_id_short(&v->invite.issuer, who), *v->why ? v->why : "refused");
    settle(v, GUEST_REFUSED);
}

static void on_head(void *ctx, const struct http_head *head)
{
    ((struct guest_invite *)ctx)->status = head->status;
}

static void on_body(void *ctx, struct bytes piece)
{
    (void)buf_append_bytes(&((struct guest_invite *)ctx)->answer, piece); /* what is over is cut */
}

static void on_done(void *ctx, const struct http_call_result *r)
{
    struct guest_invite *v = ctx;
    char who[16];
    v->call = NULL;
    timer_clear(v->g->sched, &v->again);
    if (r->err || v->status >= 500 || v->status == 429) {
        no_answer(v, r->err ? err_text(r->err) : "it has trouble of its own");
    } else if (v->status != 200) {
        refused(v);
    } else {
        if (v->state != GUEST_SHOWN)
            TRACE(NODE, INFO, "invite '%s' of %s -> we are its guest", v->invite.name,
                  peer_id_short(&v->invite.issuer, who));
        settle(v, GUEST_SHOWN);
    }
    buf_fini(&v->answer);
}

static const struct http_call_events call_events = {
    .head = on_head, .body = on_body, .done = on_done};

static void on_opened(struct p2p_open *r, int err, struct stream *s)
{
    struct guest_invite *v = CONTAINER_OF(r, struct guest_invite, open);
    struct bytes body = bytes_str(v->body);
    char host[PEER_ID_TEXT];
    struct http_header type = {BYTES_LIT("content-type"), BYTES_LIT("application/json")};
    v->is_opening = false;
    if (err) {
        no_answer(v, err_text(err));
        return;
    }
    struct http_request req = {
        .method = "POST",
        .target = BYTES_LIT("/conduit/v1/invite"),
        .host = bytes_str(peer_id_text(&v->invite.issuer, host, sizeof host)),
        .headers = &type,
        .header_count = 1,
        .body = &body,
        .body_count = 1,
        .has_body = true,
        .must_close = true,
        .first_byte_us = ANSWER_US,
        .stall_us = ANSWER_US,
    };
    v->status = 0;
    buf_init(&v->answer, ANSWER_MAX);
    v->call = http_call_open(v->g->client, s, &req, &call_events, v, &err);
    if (!v->call)
        no_answer(v, err_text(err));
    else /* to have told it all, however slowly it does */
        timer_after(v->g->sched, &v->again, ANSWER_US);
}

static void show(struct guest_invite *v)
{
    if (v->state != GUEST_SHOWN)
        v->state = GUEST_SHOWING;
    v->is_opening = true;
    v->open = (struct p2p_open){
        .peer = v->invite.issuer,
        .protocol = HTTP_PROTOCOL,
        .timeout_us = ANSWER_US,
        .is_urgent = true,
        .only_connected = true,
        .done = on_opened,
    };
    p2p_host_open(v->g->host, &v->open);
}

static void on_again(struct timer *t)
{
    struct guest_invite *v = CONTAINER_OF(t, struct guest_invite, again);
    if (v->call) {
        http_call_cancel(v->call);
        v->call = NULL;
        buf_fini(&v->answer);
        no_answer(v, err_text(E_TIMEOUT));
        return;
    }
    if (p2p_host_is_connected(v->g->host, &v->invite.issuer))
        show(v);
    else
        v->state = GUEST_AWAY;
}

/* --- connections --- */

static void on_identified(struct p2p_watch *w, const struct known_peer *peer)
{
    struct guest *g = CONTAINER_OF(w, struct guest, watch);
    for (size_t i = 0; i < g->count; i++)
        if (g->invites[i].state == GUEST_AWAY &&
            peer_id_eq(&g->invites[i].invite.issuer, &peer->id))
            show(&g->invites[i]);
}

static void on_disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    struct guest *g = CONTAINER_OF(w, struct guest, watch);
    for (size_t i = 0; i < g->count; i++)
        if (peer_id_eq(&g->invites[i].invite.issuer, peer)) {
            end_call(&g->invites[i]);
            g->invites[i].has_failed = false;
            g->invites[i].state = GUEST_AWAY;
        }
}

void guest_start(struct guest *g, struct p2p_host *host, struct sched *sched,
                 struct http_client *client, struct feeds *feeds)
{
    g->host = host;
    g->sched = sched;
    g->client = client;
    g->feeds = feeds;
    for (size_t i = 0; i < g->count; i++) {
        struct guest_invite *v = &g->invites[i];
        v->g = g;
        timer_init(&v->again, on_again);
        buf_init(&v->answer, ANSWER_MAX);
        if (sched_wall_ms(sched) / 1000 >= v->invite.expires_s)
            TRACE(NODE, WARN,
                  "invite '%s' has expired, by this machine's clock -> shown all the same",
                  v->invite.name);
    }
    g->watch = (struct p2p_watch){.identified = on_identified, .disconnected = on_disconnected};
    p2p_host_watch(host, &g->watch);
    g->is_started = true;
}

void guest_fini(struct guest *g)
{
    if (g->is_started)
        p2p_host_unwatch(&g->watch);
    for (size_t i = 0; i < g->count; i++) {
        struct guest_invite *v = &g->invites[i];
        if (g->is_started)
            end_call(v);
        wipe_free(v->body);
        invite_fini(&v->invite);
    }
    free(g->invites);
    *g = (struct guest){0};
}

bool guest_is_showing(const struct guest *g, const struct peer_id *peer)
{
    for (size_t i = 0; i < g->count; i++) {
        const struct guest_invite *v = &g->invites[i];
        bool is_meant = peer ? peer_id_eq(&v->invite.issuer, peer) : !v->has_failed;
        if (is_meant &&
            (v->state == GUEST_SHOWING ||
             (v->state == GUEST_AWAY && p2p_host_is_connected(g->host, &v->invite.issuer))))
            return true;
    }
    return false;
}

bool guest_has_issuer(const struct guest *g, const struct peer_id *peer)
{
    for (size_t i = 0; i < g->count; i++)
        if (peer_id_eq(&g->invites[i].invite.issuer, peer))
            return true;
    return false;
}

const char *guest_state_text(const struct guest_invite *v, char *out, size_t size)
{
    static const char *const words[] = {[GUEST_AWAY] = "not connected",
                                        [GUEST_SHOWING] = "being shown",
                                        [GUEST_SHOWN] = "accepted",
                                        [GUEST_REFUSED] = "refused"};
    if (v->state != GUEST_REFUSED || !*v->why)
        return words[v->state];
    snprintf(out, size, "refused: %s", v->why);
    return out;
}
