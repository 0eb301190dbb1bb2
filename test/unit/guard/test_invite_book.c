// SPDX-License-Identifier: MIT
/* Invites given out: bound, used up, taken back, kept over a restart; and each limit, exceeded by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "guard/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NOON = 12 * 60 };
#define T0 UINT64_C(1790000000)

struct fixture {
    struct key_pair key;
    struct invite_book book;
    struct peer_id ann, bob;
    struct invite_now now;
    int changes, keeps;
    bool is_full; /* the disk */
    struct buf file;
    uint8_t next_id;
};

/* To the disk, so to speak. */
static int on_keep(void *ctx)
{
    struct fixture *f = ctx;
    f->keeps++;
    if (f->is_full)
        return E_IO;
    buf_clear(&f->file);
    return invite_book_write(&f->book, &f->file);
}

static void on_changed(void *ctx)
{
    ((struct fixture *)ctx)->changes++;
}

static struct peer_id peer_of(uint8_t n)
{
    uint8_t seed[32];
    struct key_pair k;
    memset(seed, n, sizeof seed);
    key_pair_from_seed(&k, seed);
    return k.id;
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    uint8_t seed[32] = {1};
    key_pair_from_seed(&f->key, seed);
    invite_book_init(&f->book);
    f->book.changed = on_changed;
    f->book.keep = on_keep;
    f->book.ctx = f;
    buf_init(&f->file, 0);
    f->ann = peer_of(10);
    f->bob = peer_of(11);
    f->now = (struct invite_now){.s = T0, .day = 20000, .minute_of_day = NOON};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    invite_book_fini(&f->book);
    buf_fini(&f->file);
    free(f);
    return 0;
}

/* A week's invite with these terms: in the book, and as text. */
static char *make(struct fixture *f, const char *name, const struct invite_terms *terms)
{
    struct invite v = {.issuer = f->key.id, .expires_s = T0 + 7 * 86400};
    struct buf b;
    v.id[0] = ++f->next_id;
    snprintf(v.name, sizeof v.name, "%s", name);
    if (terms)
        v.terms = *terms;
    assert_int_equal(invite_book_add(&f->book, &v, &f->now), 0);
    buf_init(&b, 0);
    assert_int_equal(invite_text(&v, &f->key, &b), 0);
    return buf_take_str(&b);
}

static const char *show(struct fixture *f, const char *text, const struct peer_id *who)
{
    static struct guard_refusal why;
    struct invite_entry *e;
    int err = invite_book_show(&f->book, &f->key.id, bytes_str(text), who, &f->now, &e, &why);
    assert_true(err == 0 || err == E_DENIED);
    return err ? why.code : "";
}

static struct principal guest(const struct peer_id *id)
{
    struct principal p = {.kind = PRINCIPAL_INVITE, .id_len = id->len};
    memcpy(p.id, id->b, id->len);
    return p;
}

static struct guard_refusal last;
static const char *begin(struct fixture *f, const struct peer_id *who, const struct invite_ask *ask,
                         struct invite_use *use)
{
    struct principal p = guest(who);
    last = (struct guard_refusal){0};
    return invite_begin(&f->book, &p, ask, &f->now, use, &last) ? last.code : "";
}

/* --- showing --- */

static void the_first_who_shows_it_is_the_guest(void **state)
{
    struct fixture *f = *state;
    char *text = make(f, "ann", NULL);
    assert_null(invite_book_of(&f->book, peer_id_bytes(&f->ann), f->now.s));
    assert_true(invite_book_awaits(&f->book, f->now.s));
    assert_string_equal(show(f, text, &f->ann), "");
    assert_false(invite_book_awaits(&f->book, f->now.s));
    assert_non_null(invite_book_of(&f->book, peer_id_bytes(&f->ann), f->now.s));
    int changes = f->changes;
    assert_string_equal(show(f, text, &f->ann), ""); /* again, at each connection */
    assert_int_equal(f->changes, changes);
    assert_string_equal(show(f, text, &f->bob), "invite_used");
    assert_null(invite_book_of(&f->book, peer_id_bytes(&f->bob), f->now.s));
    assert_non_null(invite_book_of(&f->book, peer_id_bytes(&f->ann), f->now.s));
    free(text);
}

static void what_does_not_hold_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct key_pair other;
    uint8_t seed[32] = {2};
    struct buf b;
    char *text = make(f, "x", NULL);
    text[30] = text[30] == 'A' ? 'B' : 'A';
    assert_string_equal(show(f, text, &f->ann), "invite_malformed");
    assert_string_equal(show(f, "", &f->ann), "invite_malformed");
    free(text);
    key_pair_from_seed(&other, seed); /* a good one of another node's */
    struct invite v = {.issuer = other.id, .expires_s = T0 + 10};
    buf_init(&b, 0);
    assert_int_equal(invite_text(&v, &other, &b), 0);
    text = buf_take_str(&b);
    assert_string_equal(show(f, text, &f->ann), "invite_wrong_issuer");
    free(text);
    v.issuer = f->key.id; /* ours, but not in the book: it was lost */
    v.id[0] = 99;
    assert_int_equal(invite_text(&v, &f->key, &b), 0);
    text = buf_take_str(&b);
    assert_string_equal(show(f, text, &f->ann), "invite_unknown");
    free(text);
}

static void it_expires_to_the_second_by_the_issuers_clock(void **state)
{
    struct fixture *f = *state;
    char *text = make(f, "x", NULL);
    f->now.s = T0 + 7 * 86400 - 1;
    assert_string_equal(show(f, text, &f->ann), "");
    assert_non_null(invite_book_of(&f->book, peer_id_bytes(&f->ann), f->now.s));
    f->now.s++;
    assert_null(invite_book_of(&f->book, peer_id_bytes(&f->ann), f->now.s));
    assert_string_equal(show(f, text, &f->ann), "invite_expired");
    f->now.s = T0 - 86400; /* a clock that is behind gives no more than was given */
    assert_string_equal(show(f, text, &f->bob), "invite_used");
    f->now.s = T0 + 7 * 86400;
    invite_book_expire(&f->book, &f->now);
    assert_int_equal(f->book.count, 0);
    f->now.s = T0; /* forgotten, and not good again by setting the clock back */
    assert_string_equal(show(f, text, &f->ann), "invite_unknown");
    free(text);
}

static void what_is_taken_back_holds_no_longer(void **state)
{
    struct fixture *f = *state;
    struct invite_use use;
    struct invite_ask ask = {.choices = 1};
    char *text = make(f, "ann", NULL);
    show(f, text, &f->ann);
    assert_string_equal(begin(f, &f->ann, &ask, &use), "");
    struct invite_entry *e = invite_book_find(&f->book, BYTES_LIT("ann"));
    assert_false(invite_book_is_out(&f->book, peer_id_bytes(&f->ann)));
    invite_book_revoke(&f->book, e);
    assert_true(invite_book_is_out(&f->book, peer_id_bytes(&f->ann)));
    assert_false(invite_book_is_out(&f->book, peer_id_bytes(&f->bob)));
    assert_false(invite_book_is_out(&f->book, (struct bytes){0}));
    assert_null(invite_book_of(&f->book, peer_id_bytes(&f->ann), f->now.s));
    assert_string_equal(show(f, text, &f->ann), "invite_revoked");
    struct invite_use next;
    assert_string_equal(begin(f, &f->ann, &ask, &next), "invite_over");
    f->now.s = T0 + 8 * 86400; /* what runs may end, also after it was forgotten */
    invite_book_expire(&f->book, &f->now);
    assert_int_equal(f->book.count, 1);
    assert_true(invite_spend(&use, 1));
    invite_end(&use, true, 10);
    invite_end(&use, true, 10); /* harmless */
    invite_book_expire(&f->book, &f->now);
    assert_int_equal(f->book.count, 0);
    free(text);
}

static void the_last_one_shown_is_in_force(void **state)
{
    struct fixture *f = *state;
    struct invite_terms wide = {.requests_per_day = 100}, narrow = {.requests_per_day = 1};
    char *a = make(f, "wide", &wide), *b = make(f, "narrow", &narrow);
    show(f, a, &f->ann);
    show(f, b, &f->ann);
    assert_string_equal(invite_book_of(&f->book, peer_id_bytes(&f->ann), T0)->invite.name,
                        "narrow");
    show(f, a, &f->ann);
    assert_string_equal(invite_book_of(&f->book, peer_id_bytes(&f->ann), T0)->invite.name, "wide");
    invite_book_revoke(&f->book, invite_book_find(&f->book, BYTES_LIT("wide")));
    assert_string_equal(invite_book_of(&f->book, peer_id_bytes(&f->ann), T0)->invite.name,
                        "narrow");
    free(a);
    free(b);
}

static void they_are_found_by_name_and_id(void **state)
{
    struct fixture *f = *state;
    free(make(f, "ann", NULL));
    free(make(f, "", NULL));
    struct invite again = {.issuer = f->key.id, .name = "ann", .expires_s = T0 + 5, .id = {77}};
    assert_int_equal(invite_book_add(&f->book, &again, &f->now), E_EXISTS);
    assert_string_equal(invite_book_find(&f->book, BYTES_LIT("ann"))->invite.name, "ann");
    assert_int_equal(invite_book_find(&f->book, BYTES_LIT("02000000"))->invite.id[0], 2);
    assert_null(invite_book_find(&f->book, BYTES_LIT("0200000"))); /* too short to be sure */
    assert_null(invite_book_find(&f->book, BYTES_LIT("bob")));
    assert_null(invite_book_find(&f->book, BYTES_LIT("")));
    invite_book_revoke(&f->book, invite_book_find(&f->book, BYTES_LIT("ann")));
    assert_int_equal(invite_book_add(&f->book, &again, &f->now), 0); /* the name is free */
    assert_int_equal(invite_book_find(&f->book, BYTES_LIT("ann"))->invite.id[0], 77);
}

static void a_node_gives_out_so_many(void **state)
{
    struct fixture *f = *state;
    struct invite v = {.issuer = f->key.id, .expires_s = T0 + 60};
    for (unsigned i = 0; i < LIMIT_INVITES; i++) {
        v.id[0] = (uint8_t)i;
        v.id[1] = (uint8_t)(i >> 8);
        assert_int_equal(invite_book_add(&f->book, &v, &f->now), 0);
    }
    v.id[2] = 1;
    assert_int_equal(invite_book_add(&f->book, &v, &f->now), E_LIMIT);
    f->now.s += 60; /* what has expired makes room */
    v.expires_s += 60;
    assert_int_equal(invite_book_add(&f->book, &v, &f->now), 0);
    assert_int_equal(f->book.count, 1);
}

/* --- using --- */

static void requests_of_a_day(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {.requests_per_day = 3};
    struct invite_ask ask = {.choices = 1};
    struct invite_use use;
    char *text = make(f, "x", &t);
    show(f, text, &f->ann);
    for (int day = 0; day < 2; day++) {
        for (int i = 0; i < 3; i++) {
            assert_string_equal(begin(f, &f->ann, &ask, &use), "");
            invite_end(&use, true, 5);
        }
        assert_string_equal(begin(f, &f->ann, &ask, &use), "invite_requests_used");
        assert_true(last.status == 429 && last.retry_after_s == 12 * 3600);
        f->now.day++;
    }
    f->now.day -= 2; /* a clock set back makes no new day */
    assert_string_equal(begin(f, &f->ann, &ask, &use), "invite_requests_used");
    free(text);
}

static void so_many_at_once(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {.concurrent = 2};
    struct invite_ask ask = {.choices = 1};
    struct invite_use use[3];
    char *text = make(f, "x", &t);
    show(f, text, &f->ann);
    assert_string_equal(begin(f, &f->ann, &ask, &use[0]), "");
    assert_string_equal(begin(f, &f->ann, &ask, &use[1]), "");
    assert_string_equal(begin(f, &f->ann, &ask, &use[2]), "invite_concurrent");
    assert_true(last.status == 429 && last.retry_after_s == 1);
    invite_end(&use[0], true, 0);
    assert_string_equal(begin(f, &f->ann, &ask, &use[2]), "");
    invite_end(&use[1], true, 0);
    invite_end(&use[2], true, 0);
    free(text);
}

static void at_its_hours_only(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {0};
    struct invite_ask ask = {.choices = 1};
    struct invite_use use;
    assert_int_equal(schedule_init(&t.hours, "22:00", "06:00"), 0);
    char *text = make(f, "x", &t);
    show(f, text, &f->ann);
    assert_string_equal(begin(f, &f->ann, &ask, &use), "outside_schedule");
    assert_true(last.status == 503 && last.retry_after_s == 10 * 3600);
    f->now.minute_of_day = 22 * 60;
    assert_string_equal(begin(f, &f->ann, &ask, &use), "");
    invite_end(&use, true, 0);
    f->now.minute_of_day = 6 * 60;
    assert_string_equal(begin(f, &f->ann, &ask, &use), "outside_schedule");
    free(text);
}

static uint64_t used_today(struct fixture *f)
{
    return invite_book_of(&f->book, peer_id_bytes(&f->ann), f->now.s)->tokens;
}

static void tokens_of_a_day(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {.tokens_per_day = 1000};
    struct invite_ask whole = {.prompt_tokens = 100, .choices = 1, .has_answer = true};
    struct invite_ask stream = whole;
    struct invite_use use, other;
    char *text = make(f, "x", &t);
    stream.is_stream = true;
    show(f, text, &f->ann);
    /* an answer in one piece is bounded by what is left, whatever was asked for */
    whole.max_tokens = 5000;
    assert_string_equal(begin(f, &f->ann, &whole, &use), "");
    assert_int_equal(use.max_tokens, 900);
    assert_string_equal(begin(f, &f->ann, &whole, &other),
                        "invite_tokens_used"); /* all is reserved */
    assert_true(last.status == 429 && last.retry_after_s == 5);
    invite_end(&use, true, 300); /* it came to less */
    assert_int_equal(used_today(f), 300);
    /* asked for little: so little is reserved, and two fit */
    whole.max_tokens = 200;
    assert_string_equal(begin(f, &f->ann, &whole, &use), "");
    assert_int_equal(use.max_tokens, 200);
    assert_string_equal(begin(f, &f->ann, &whole, &other), "");
    assert_int_equal(other.max_tokens, 200);
    invite_end(&use, true, 300);
    invite_end(&other, false, 0); /* it broke off, and nobody counted: all that it might have had */
    assert_int_equal(used_today(f), 900);
    whole.prompt_tokens = 101; /* the question alone is too long now */
    assert_string_equal(begin(f, &f->ann, &whole, &use), "invite_tokens_used");
    assert_int_equal(last.retry_after_s, 12 * 3600);
    f->now.day++;
    /* a stream is counted as it goes out, and ended in time */
    assert_string_equal(begin(f, &f->ann, &stream, &use), "");
    assert_int_equal(use.max_tokens, 900);
    for (int i = 0; i < 900; i++)
        assert_true(invite_spend(&use, 1));
    assert_false(invite_spend(&use, 1));
    invite_end(&use, false, 0);
    assert_true(used_today(f) >= 1000);
    free(text);
}

static void two_streams_cannot_have_more_than_one(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {.tokens_per_day = 10000};
    struct invite_ask stream = {
        .prompt_tokens = 10, .choices = 1, .has_answer = true, .is_stream = true};
    struct invite_use a, b;
    uint64_t given = 0;
    bool more_a = true, more_b = true;
    char *text = make(f, "x", &t);
    show(f, text, &f->ann);
    assert_string_equal(begin(f, &f->ann, &stream, &a), "");
    assert_string_equal(begin(f, &f->ann, &stream, &b), "");
    while (more_a || more_b) {
        if (more_a && (more_a = invite_spend(&a, 1)))
            given++;
        if (more_b && (more_b = invite_spend(&b, 1)))
            given++;
    }
    assert_true(given + 20 <= 10000 && given > 9900);
    invite_end(&a, false, 0);
    invite_end(&b, false, 0);
    free(text);
}

static void a_cancelled_stream_counts_what_went_out(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {.tokens_per_day = 10000};
    struct invite_ask stream = {
        .prompt_tokens = 10, .choices = 1, .has_answer = true, .is_stream = true};
    struct invite_use use;
    char *text = make(f, "x", &t);
    show(f, text, &f->ann);
    assert_string_equal(begin(f, &f->ann, &stream, &use), "");
    for (int i = 0; i < 30; i++)
        assert_true(invite_spend(&use, 1));
    invite_end(&use, false, 0);
    assert_int_equal(used_today(f), 40);
    free(text);
}

static void several_answers_at_once_cannot_be_counted(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {.tokens_per_day = 1000};
    struct invite_ask ask = {.prompt_tokens = 10, .choices = 2, .has_answer = true};
    struct invite_use use;
    char *text = make(f, "x", &t);
    show(f, text, &f->ann);
    assert_string_equal(begin(f, &f->ann, &ask, &use), "invite_one_answer");
    assert_int_equal(last.status, 400);
    free(text);
}

static void whoever_is_no_guest_gets_nothing(void **state)
{
    struct fixture *f = *state;
    struct invite_ask ask = {.choices = 1};
    struct invite_use use;
    assert_string_equal(begin(f, &f->bob, &ask, &use), "invite_over");
    assert_int_equal(last.status, 403);
    struct principal nobody = {.kind = PRINCIPAL_INVITE};
    free(make(f, "unbound", NULL)); /* its guest is nobody: no peer without an id gets in by that */
    assert_int_equal(invite_begin(&f->book, &nobody, &ask, &f->now, &use, &last), E_DENIED);
}

/* --- the file --- */

static void it_survives_a_restart(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {.requests_per_day = 2, .tokens_per_day = 1000, .concurrent = 3};
    struct invite_ask ask = {
        .prompt_tokens = 10, .choices = 1, .has_answer = true, .max_tokens = 90};
    struct invite_use use, running;
    struct invite_book again;
    struct buf file;
    char *text = make(f, "ann", &t), *other = make(f, "bob", NULL);
    show(f, text, &f->ann);
    invite_book_revoke(&f->book, invite_book_find(&f->book, BYTES_LIT("bob")));
    assert_string_equal(begin(f, &f->ann, &ask, &use), "");
    invite_end(&use, true, 50);
    assert_string_equal(begin(f, &f->ann, &ask, &running), "");
    buf_init(&file, 0);
    assert_int_equal(invite_book_write(&f->book, &file), 0);
    invite_end(&running, true, 60); /* after the node was killed, so to speak */
    invite_book_init(&again);
    assert_int_equal(invite_book_read(&again, buf_view(&file)), 0);
    assert_int_equal(again.count, 2);
    struct invite_entry *e = invite_book_of(&again, peer_id_bytes(&f->ann), T0);
    assert_non_null(e);
    assert_int_equal(e->requests, 2);
    assert_int_equal(e->tokens, 50 + 100 + 1000 / 32); /* what ran then counts in full; and ahead */
    assert_int_equal(e->running, 0);
    assert_true(e->day == 20000 && e->bound_s == T0 && e->invite.terms.concurrent == 3);
    assert_true(invite_book_find(&again, BYTES_LIT("bob"))->is_revoked);
    struct guard_refusal why;
    struct invite_entry *out;
    assert_int_equal(
        invite_book_show(&again, &f->key.id, bytes_str(text), &f->bob, &f->now, &out, &why),
        E_DENIED);
    assert_string_equal(why.code, "invite_used");
    assert_int_equal(
        invite_book_show(&again, &f->key.id, bytes_str(other), &f->bob, &f->now, &out, &why),
        E_DENIED);
    assert_string_equal(why.code, "invite_revoked");
    invite_book_fini(&again);
    for (size_t n = 0; n < buf_len(&file); n++) { /* cut anywhere */
        invite_book_init(&again);
        assert_int_equal(invite_book_read(&again, bytes_first(buf_view(&file), n)), E_MALFORMED);
        invite_book_fini(&again);
    }
    buf_fini(&file);
    free(text);
    free(other);
}

/* What a node that starts with that file takes for used today. */
static void after_a_kill(struct fixture *f, uint64_t *requests, uint64_t *tokens)
{
    struct invite_book again;
    invite_book_init(&again);
    assert_int_equal(invite_book_read(&again, buf_view(&f->file)), 0);
    const struct invite_entry *e = invite_book_find(&again, BYTES_LIT("ann"));
    *requests = e->requests;
    *tokens = e->tokens;
    invite_book_fini(&again);
}

/* Whenever the node is killed: nothing that was given is forgotten, and little else is lost. */
static void a_kill_gives_nothing_away(void **state)
{
    enum { REQUESTS = 640, TOKENS = 64000, AT_ONCE = 4 };
    struct fixture *f = *state;
    struct invite_terms t = {.requests_per_day = REQUESTS, .tokens_per_day = TOKENS};
    const struct invite_entry *e;
    struct invite_use use[AT_ONCE];
    bool is_running[AT_ONCE] = {0};
    uint64_t spent[AT_ONCE] = {0}, used = 0, begun = 0, requests, tokens;
    struct rng rng;
    uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : (uint64_t)time(NULL);
    rng_init_seeded(&rng, seed);
    char *text = make(f, "ann", &t);
    show(f, text, &f->ann);
    e = invite_book_find(&f->book, BYTES_LIT("ann"));
    for (int step = 0; step < 20000 && used < TOKENS; step++) {
        size_t i = (size_t)rng_below(&rng, AT_ONCE);
        struct invite_ask ask = {
            .prompt_tokens = 5, .choices = 1, .is_stream = true, .has_answer = true};
        if (!is_running[i]) {
            is_running[i] = *begin(f, &f->ann, &ask, &use[i]) == 0;
            begun += is_running[i];
            spent[i] = is_running[i] ? 5 : 0;
        } else if (rng_below(&rng, 50) == 0) {
            invite_end(&use[i], true, spent[i]);
            used += spent[i];
            is_running[i] = false;
            spent[i] = 0;
        } else if (invite_spend(&use[i], 1)) {
            spent[i]++;
        }
        if (!begun)
            continue;
        uint64_t all = used;
        for (size_t k = 0; k < AT_ONCE; k++)
            all += spent[k];
        after_a_kill(f, &requests, &tokens);
        if (requests < begun || tokens < all || requests > begun + REQUESTS / 32 ||
            tokens > all + TOKENS / 32 + AT_ONCE * 2048 + 1)
            fail_msg("SEED=%llu step %d: file %llu requests %llu tokens, used %llu and %llu",
                     (unsigned long long)seed, step, (unsigned long long)requests,
                     (unsigned long long)tokens, (unsigned long long)begun,
                     (unsigned long long)all);
    }
    assert_in_range(f->keeps, 1, 70); /* not each request is a write */
    for (size_t i = 0; i < AT_ONCE; i++)
        if (is_running[i])
            invite_end(&use[i], true, spent[i]);
    invite_book_settle(&f->book);
    assert_int_equal(on_keep(f), 0);
    after_a_kill(f, &requests, &tokens);
    assert_true(requests == e->requests && tokens == e->tokens);
    free(text);
}

/* Nothing can be written: nothing is given, and nothing counted. */
static void what_cannot_be_kept_is_not_given(void **state)
{
    struct fixture *f = *state;
    struct invite_terms t = {.requests_per_day = 10, .tokens_per_day = 1000};
    struct invite_ask ask = {
        .prompt_tokens = 10, .choices = 1, .has_answer = true, .max_tokens = 5};
    struct invite_use use;
    char *text = make(f, "ann", &t), *free_text = make(f, "bob", NULL);
    show(f, text, &f->ann);
    show(f, free_text, &f->bob);
    f->is_full = true;
    for (int i = 0; i < 3; i++) {
        assert_string_equal(begin(f, &f->ann, &ask, &use), "invite_not_kept");
        assert_int_equal(last.status, 503);
        invite_end(&use, true, 5); /* harmless */
    }
    const struct invite_entry *e = invite_book_find(&f->book, BYTES_LIT("ann"));
    assert_true(e->requests == 0 && e->tokens == 0 && e->reserved == 0 && e->running == 0);
    assert_string_equal(begin(f, &f->bob, &ask, &use), ""); /* no limit: nothing to keep */
    invite_end(&use, true, 5);
    f->is_full = false;
    assert_string_equal(begin(f, &f->ann, &ask, &use), "");
    f->is_full = true; /* what has begun goes on */
    invite_end(&use, true, 5);
    free(text);
    free(free_text);
}

static void the_file_holds_no_key_of_a_network(void **state)
{
    struct fixture *f = *state;
    struct invite v = {.issuer = f->key.id, .expires_s = T0 + 60, .has_network = true};
    struct buf file;
    memset(v.network, 0x77, sizeof v.network);
    assert_int_equal(invite_book_add(&f->book, &v, &f->now), 0);
    buf_init(&file, 0);
    assert_int_equal(invite_book_write(&f->book, &file), 0);
    assert_null(memmem(buf_view(&file).p, buf_len(&file), v.network, 8));
    buf_fini(&file);
}

/* --- through the guard --- */

static void the_guard_knows_guests_and_strangers(void **state)
{
    struct fixture *f = *state;
    struct guard g;
    struct guard_config cfg = {0};
    struct guard_refusal why;
    struct invite_terms t = {.requests_per_day = 1};
    struct invite_ask ask = {.choices = 1};
    struct invite_use use;
    struct offer yes = {.model = "yes"}, no = {.model = "no"};
    struct principal ann = guest(&f->ann), stranger = guest(&f->bob), peer = guest(&f->bob);
    strcpy(t.models[0], "yes");
    char *text = make(f, "x", &t);
    show(f, text, &f->ann);
    stranger.kind = PRINCIPAL_STRANGER;
    peer.kind = PRINCIPAL_PEER;
    guard_init(&g, &cfg, 0, 1);
    assert_int_equal(guard_begin(&g, &ann, &ask, &f->now, &use, &why), E_DENIED); /* no book */
    assert_false(guard_may_use(&g, &ann, &yes, T0));
    g.invites = &f->book;
    assert_int_equal(guard_check(&g, &stranger, 0, 0, 0, 0, &why), E_DENIED);
    assert_true(why.status == 403);
    assert_string_equal(why.code, "invite_needed");
    assert_int_equal(guard_check(&g, &ann, 0, 0, 0, 0, &why), 0);
    assert_int_equal(guard_begin(&g, &ann, &ask, &f->now, &use, &why), 0);
    assert_int_equal(guard_begin(&g, &peer, &ask, &f->now, &(struct invite_use){0}, &why), 0);
    assert_int_equal(guard_begin(&g, &ann, &ask, &f->now, &(struct invite_use){0}, &why), E_DENIED);
    assert_true(guard_may_use(&g, &ann, &yes, T0) && !guard_may_use(&g, &ann, &no, T0));
    assert_true(guard_may_use(&g, &peer, &no, T0) && !guard_may_use(&g, &stranger, &yes, T0));
    invite_book_revoke(&f->book, invite_book_find(&f->book, BYTES_LIT("x")));
    assert_false(guard_may_use(&g, &ann, &yes, T0));
    invite_end(&use, true, 0);
    guard_fini(&g);
    free(text);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_first_who_shows_it_is_the_guest),
        T(what_does_not_hold_is_refused_by_name),
        T(it_expires_to_the_second_by_the_issuers_clock),
        T(what_is_taken_back_holds_no_longer),
        T(the_last_one_shown_is_in_force),
        T(they_are_found_by_name_and_id),
        T(a_node_gives_out_so_many),
        T(requests_of_a_day),
        T(so_many_at_once),
        T(at_its_hours_only),
        T(tokens_of_a_day),
        T(two_streams_cannot_have_more_than_one),
        T(a_cancelled_stream_counts_what_went_out),
        T(several_answers_at_once_cannot_be_counted),
        T(whoever_is_no_guest_gets_nothing),
        T(it_survives_a_restart),
        T(a_kill_gives_nothing_away),
        T(what_cannot_be_kept_is_not_given),
        T(the_file_holds_no_key_of_a_network),
        T(the_guard_knows_guests_and_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
