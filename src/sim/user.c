// SPDX-License-Identifier: MIT
/* See user.h. */
#include "sim/user.h"

#include "base/mem.h"
#include "codec/json.h"
#include "http/client.h"
#include "http/sse.h"
#include "sim/inside.h"
#include "sim/rules.h"
#include "sim/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ASK_DEADLINE_US (180 * US_PER_S)
enum { RUNNING_MAX = 8, ANSWER_MAX = 256, HTTP_PORT = 8888 };

struct sim_user {
    struct sim_box *box;
    struct sched *sched;
    struct http_client *client;
    struct timer next;
    struct list questions;
    unsigned running, number;
};

struct question {
    struct list link;
    struct sim_user *user;
    struct loop_dial dial;
    bool is_dialling, is_cold;
    struct http_call *call;
    struct sse sse;
    struct buf text, error; /* what was said; the body of a refusal */
    struct timer deadline;
    unsigned model, number;
    uint64_t asked_us, first_us;
    int status;
    unsigned dones, errors;
    bool is_from_nat, is_relayed;
    char body[192], wanted[48], code[48];
};

static uint64_t exponential(struct rng *r, uint64_t mean_us)
{
    return (uint64_t)(-log(1 - rng_unit(r)) * (double)mean_us);
}

static void question_free(struct question *q)
{
    struct sim_user *u = q->user;
    if (q->is_dialling)
        loop_dial_cancel(u->box->loop, &q->dial);
    if (q->call)
        http_call_cancel(q->call);
    timer_clear(u->sched, &q->deadline);
    sse_fini(&q->sse);
    buf_fini(&q->text);
    buf_fini(&q->error);
    list_remove(&q->link);
    u->running--;
    u->box->sim->tally.open--;
    free(q); /* dialling only when the machine ends, and nothing comes of it then */
}

/* --- how it ended --- */

static bool is_healed(const struct sim *s, const struct question *q)
{
    return s->phase >= SIM_HEALED && q->asked_us >= s->healed_us;
}

static void answered(struct question *q)
{
    struct sim_box *b = q->user->box;
    struct sim *s = b->sim;
    uint64_t first = q->first_us - q->asked_us;
    s->tally.ends[SIM_ANSWERED]++;
    s->tally.answered++;
    s->tally.from_nat += q->is_from_nat;
    s->tally.relayed += q->is_relayed;
    sim_times_add(q->is_cold ? &s->tally.find : &s->tally.first_byte, first);
    sim_note(s, b, "question %u answered%s: first event after %llu us", q->number,
             q->is_relayed    ? " over a circuit"
             : q->is_from_nat ? " from behind a NAT"
                              : "",
             (unsigned long long)first);
    if (!bytes_eq_str(buf_view(&q->text), q->wanted))
        sim_violation(s, b, "question %u: the answer is '%.*s', not '%s'", q->number,
                      BYTES_FMT(buf_view(&q->text)), q->wanted);
}

static void failed(struct question *q)
{
    struct sim_box *b = q->user->box;
    struct sim *s = b->sim;
    s->tally.ends[SIM_FAILED]++;
    s->tally.failed++;
    sim_tally_reason(&s->tally, q->code, is_healed(s, q));
    /* What began over a circuit may be cut by the relay's limits; it was found. */
    if (!(q->is_relayed && q->first_us) && sim_rules_must_find(b, q->model, q->asked_us))
        sim_violation(s, b,
                      "question %u for model-%u, of which there are providers in reach, failed: %s",
                      q->number, q->model, q->code);
    sim_note(s, b, "question %u for model-%u failed: %d %s", q->number, q->model, q->status,
             q->code);
}

static void read_error(struct question *q, struct bytes body)
{
    struct json_doc *doc = NULL;
    (void)json_parse(body, MIB, &doc, NULL);
    struct bytes code = json_get_str(json_get(json_root(doc), "error"), "code");
    snprintf(q->code, sizeof q->code, "%.*s", BYTES_FMT(code));
    json_free(doc);
}

static void ended(struct question *q, const char *how)
{
    struct sim_box *b = q->user->box;
    struct sim *s = b->sim;
    if (q->status >= 400 && buf_len(&q->error))
        read_error(q, buf_view(&q->error));
    if (q->dones && q->errors)
        sim_violation(s, b, "question %u is both answered and failed", q->number);
    else if (q->dones > 1 || q->errors > 1)
        sim_violation(s, b, "question %u ended %u times", q->number, q->dones + q->errors);
    if (q->status == 200 && q->dones)
        answered(q);
    else if (q->status >= 400 || q->errors)
        failed(q);
    else
        sim_violation(s, b, "question %u has no end: %s, status %d", q->number, how, q->status);
    question_free(q);
}

/* --- what comes --- */

/* Who answers, and how it was reached. */
static void note_provider(struct question *q, struct bytes text)
{
    struct sim_box *b = q->user->box;
    struct peer_id id;
    if (peer_id_parse(text, &id) != 0)
        return;
    const struct sim_box *provider = map_get(&b->sim->by_peer, peer_id_bytes(&id));
    q->is_from_nat = provider && provider != b && provider->nat;
    q->is_relayed = q->is_from_nat && sim_inside_is_relayed(b->node, &id);
}

static void on_head(void *ctx, const struct http_head *head)
{
    struct question *q = ctx;
    q->status = head->status;
    note_provider(q, http_header_get(head, "x-conduit-peer"));
}

static void on_event(struct question *q, struct bytes data)
{
    struct json_doc *doc = NULL;
    if (bytes_eq_str(data, "[DONE]")) {
        q->dones++;
        return;
    }
    if (json_parse(data, MIB, &doc, NULL)) {
        sim_violation(q->user->box->sim, q->user->box, "question %u: an event is not JSON",
                      q->number);
        return;
    }
    const struct json *root = json_root(doc);
    if (json_get(root, "error")) {
        q->errors++;
        read_error(q, data);
    }
    const struct json *delta = json_get(json_at(json_get(root, "choices"), 0), "delta");
    (void)buf_append_bytes(&q->text, json_get_str(delta, "content"));
    json_free(doc);
}

static void on_body(void *ctx, struct bytes piece)
{
    struct question *q = ctx;
    struct sim_user *u = q->user;
    struct sse_item item;
    if (q->status != 200) {
        (void)buf_append_bytes(&q->error, piece);
        return;
    }
    while (sse_next(&q->sse, &piece, &item) == 1) {
        if (item.kind != SSE_EVENT || !item.data_lines)
            continue;
        if (!q->first_us)
            q->first_us = sched_now(u->sched);
        on_event(q, item.data);
    }
}

static void on_done(void *ctx, const struct http_call_result *r)
{
    struct question *q = ctx;
    q->call = NULL;
    ended(q, r->err ? err_text(r->err) : "complete");
}

static const struct http_call_events call_events = {
    .head = on_head, .body = on_body, .done = on_done};

static void on_deadline(struct timer *t)
{
    ended(CONTAINER_OF(t, struct question, deadline), "no end in time");
}

/* --- asking --- */

static void on_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct question *q = CONTAINER_OF(d, struct question, dial);
    q->is_dialling = false;
    if (err) { /* a node that stops takes no more questions */
        snprintf(q->code, sizeof q->code, "no_connection");
        q->status = 499;
        ended(q, err_text(err));
        return;
    }
    struct bytes body = bytes_str(q->body);
    struct http_header type = {BYTES_LIT("content-type"), BYTES_LIT("application/json")};
    struct http_request req = {
        .method = "POST",
        .target = BYTES_LIT("/v1/chat/completions"),
        .host = BYTES_LIT("localhost"),
        .headers = &type,
        .header_count = 1,
        .body = &body,
        .body_count = 1,
        .must_close = true,
    };
    q->call = http_call_open(q->user->client, s, &req, &call_events, q, &err);
    if (!q->call)
        ended(q, err_text(err));
}

static void ask(struct sim_user *u)
{
    struct sim_box *b = u->box;
    struct rng *r = loop_rng(b->loop);
    struct question *q = MEM_NEW(struct question);
    struct net_addr at;
    char model[32];
    q->user = u;
    q->model = (unsigned)rng_below(r, b->sim->models);
    q->number = ++u->number;
    q->asked_us = sched_now(u->sched);
    sim_model_name(q->model, model);
    q->is_cold = !sim_inside_knows(b->node, model);
    snprintf(q->wanted, sizeof q->wanted, "n%u asks %u", b->index, q->number);
    snprintf(q->body, sizeof q->body,
             "{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
             "\"%s\"}]}",
             model, q->wanted);
    sse_init(&q->sse, 0);
    buf_init(&q->text, ANSWER_MAX);
    buf_init(&q->error, 4096);
    timer_init(&q->deadline, on_deadline);
    timer_after(u->sched, &q->deadline, ASK_DEADLINE_US);
    list_append(&u->questions, &q->link);
    u->running++;
    b->sim->tally.asked++;
    b->sim->tally.open++;
    b->sim->tally.cold += q->is_cold;
    sim_note(b->sim, b, "asks %u for %s%s", q->number, model, q->is_cold ? ", unknown here" : "");
    (void)net_addr_parse_ip("127.0.0.1", HTTP_PORT, &at);
    q->dial.done = on_dialled;
    q->is_dialling = true;
    loop_dial(b->loop, &q->dial, &at, NULL, 5 * US_PER_S);
}

static void on_next(struct timer *t)
{
    struct sim_user *u = CONTAINER_OF(t, struct sim_user, next);
    struct sim *s = u->box->sim;
    if (u->running < RUNNING_MAX)
        ask(u);
    timer_after(u->sched, t, exponential(loop_rng(u->box->loop), s->opts.ask_s * US_PER_S));
}

struct sim_user *sim_user_new(struct sim_box *b)
{
    struct sim_user *u = MEM_NEW(struct sim_user);
    u->box = b;
    u->sched = loop_sched(b->loop);
    u->client = http_client_new(u->sched);
    list_init(&u->questions);
    timer_init(&u->next, on_next);
    /* Nobody asks before all have been started and had a moment to announce themselves: "nobody has it" would
     * be the right answer. */
    const struct sim_options *o = &b->sim->opts;
    uint64_t all_up = US_PER_S + o->warm_s * US_PER_S / 2 + 3 * US_PER_S, now = sched_now(u->sched);
    timer_after(u->sched, &u->next,
                (now < all_up ? all_up - now : 0) +
                    exponential(loop_rng(b->loop), o->ask_s * US_PER_S));
    return u;
}

void sim_user_rest(struct sim_user *u)
{
    timer_clear(u->sched, &u->next);
}

void sim_user_free(struct sim_user *u)
{
    struct sim *s = u->box->sim;
    sim_user_rest(u);
    LIST_FOREACH_SAFE (&u->questions, it) {
        struct question *q = LIST_ENTRY(it, struct question, link);
        s->tally.ends[SIM_ABANDONED] += !s->is_ended; /* else it is open: the run was over */
        sim_note(s, u->box, "question %u abandoned", q->number);
        question_free(q);
    }
    http_client_free(u->client);
    free(u);
}
