// SPDX-License-Identifier: MIT
/* A request under an invite: may it begin, may it go on, what did it come to; see invite_book.h. */
#include "guard/invite_book.h"

#include "base/err.h"

/* What a stream is taken to come to before it shows; it can be ended in time. */
#define STREAM_TOKENS UINT64_C(2048)
/* An answer in one piece cannot: it is bounded when it begins. */
#define WHOLE_TOKENS UINT64_C(8192)
/* Of a day's requests and tokens, the part that is written down ahead of its use. */
enum { AHEAD = 32 };

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A new day; a clock that was set back makes none. */
static void roll(struct invite_entry *e, uint32_t day)
{
    if (day <= e->day)
        return;
    e->day = day;
    e->requests = e->tokens = 0;
    e->kept_requests = e->kept_tokens = 0;
}

static unsigned until_tomorrow_s(const struct invite_now *now)
{
    return (24 * 60 - now->minute_of_day % (24 * 60)) * 60;
}

static uint64_t tokens_left(const struct invite_entry *e)
{
    uint64_t used = e->tokens + e->reserved, limit = e->invite.terms.tokens_per_day;
    return used < limit ? limit - used : 0;
}

static int check_counts(const struct invite_entry *e, const struct invite_now *now,
                        struct guard_refusal *why)
{
    const struct invite_terms *t = &e->invite.terms;
    if (!schedule_is_open(&t->hours, now->minute_of_day))
        return guard_refuse(
            why, 503, "outside_schedule", schedule_until_change(&t->hours, now->minute_of_day) * 60,
            "your invite holds from %02u:%02u to %02u:%02u of this node's local time",
            t->hours.start / 60, t->hours.start % 60, t->hours.end / 60, t->hours.end % 60);
    if (t->concurrent && e->running >= t->concurrent)
        return guard_refuse(why, 429, "invite_concurrent", 1,
                            "your invite allows %u requests at once", t->concurrent);
    if (t->requests_per_day && e->requests >= t->requests_per_day)
        return guard_refuse(why, 429, "invite_requests_used", until_tomorrow_s(now),
                            "the %llu requests a day of your invite are used up",
                            (unsigned long long)t->requests_per_day);
    return 0;
}

/* Bounds the answer so that it cannot come to more than is left, and reserves for it. */
static int reserve(struct invite_entry *e, const struct invite_ask *ask,
                   const struct invite_now *now, struct invite_use *use, struct guard_refusal *why)
{
    uint64_t left = tokens_left(e), limit = e->invite.terms.tokens_per_day;
    if (!limit)
        return 0;
    if (ask->choices > 1)
        return guard_refuse(why, 400, "invite_one_answer", 0,
                            "your invite counts tokens: ask for one answer at a time");
    if (left <= ask->prompt_tokens)
        return guard_refuse(
            why, 429, "invite_tokens_used", e->reserved ? 5 : until_tomorrow_s(now),
            "of the %llu tokens a day of your invite %llu are left; this needs more",
            (unsigned long long)limit, (unsigned long long)left);
    uint64_t room = left - ask->prompt_tokens, answer = 0;
    if (ask->has_answer) {
        uint64_t asked = ask->max_tokens ? ask->max_tokens : ask->is_stream ? room : WHOLE_TOKENS;
        use->max_tokens = min_u64(asked, room);
        answer = ask->is_stream ? min_u64(use->max_tokens, STREAM_TOKENS) : use->max_tokens;
    }
    use->counted = ask->prompt_tokens;
    use->reserved = ask->prompt_tokens + answer;
    e->reserved += use->reserved;
    return 0;
}

/* Is as much written as is used? And if not: so much is to be written. */
static bool look_ahead(uint64_t used, uint64_t limit, uint64_t *kept)
{
    if (!limit || used <= *kept)
        return true;
    uint64_t ahead = min_u64(used + limit / AHEAD, limit);
    *kept = ahead > used ? ahead : used;
    return false;
}

/* Nothing is given that the file does not know. */
static int keep(struct invite_book *b, struct invite_entry *e)
{
    const struct invite_terms *t = &e->invite.terms;
    uint64_t requests = e->kept_requests, tokens = e->kept_tokens;
    bool is_kept = look_ahead(e->requests, t->requests_per_day, &e->kept_requests);
    is_kept &= look_ahead(e->tokens + e->reserved, t->tokens_per_day, &e->kept_tokens);
    int err = is_kept || !b->keep ? 0 : b->keep(b->ctx);
    if (err) { /* the file says what it said */
        e->kept_requests = requests;
        e->kept_tokens = tokens;
    }
    return err;
}

static void changed(struct invite_book *b)
{
    if (b->changed)
        b->changed(b->ctx);
}

int invite_begin(struct invite_book *b, const struct principal *who, const struct invite_ask *ask,
                 const struct invite_now *now, struct invite_use *use, struct guard_refusal *why)
{
    struct invite_entry *e = invite_book_of(b, bytes_of(who->id, who->id_len), now->s);
    *use = (struct invite_use){0};
    if (!e)
        return guard_refuse(why, 403, "invite_over", 0,
                            "your invite has expired or was taken back");
    roll(e, now->day);
    int err = check_counts(e, now, why);
    err = err ? err : reserve(e, ask, now, use, why);
    if (err)
        return err;
    e->requests++;
    if (keep(b, e) != 0) {
        e->requests--;
        e->reserved -= use->reserved;
        *use = (struct invite_use){0};
        return guard_refuse(why, 503, "invite_not_kept", 60,
                            "this node cannot write down what you use of your invite");
    }
    use->book = b;
    use->entry = e;
    use->is_stream = ask->is_stream;
    e->running++;
    changed(b);
    return 0;
}

bool invite_spend(struct invite_use *use, uint64_t tokens)
{
    struct invite_entry *e = use->entry;
    if (!e || !e->invite.terms.tokens_per_day)
        return true;
    use->counted += tokens;
    if (use->counted <= use->reserved)
        return true;
    e->reserved += use->counted - use->reserved;
    use->reserved = use->counted;
    (void)keep(use->book, e); /* it has begun: that it was not written ends no answer */
    return e->tokens + e->reserved <= e->invite.terms.tokens_per_day;
}

void invite_end(struct invite_use *use, bool is_known, uint64_t tokens)
{
    struct invite_entry *e = use->entry;
    if (!e)
        return;
    use->entry = NULL;
    e->running--;
    e->reserved -= use->reserved;
    e->tokens += is_known ? tokens : use->is_stream ? use->counted : use->reserved;
    changed(use->book);
}
