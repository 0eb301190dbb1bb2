// SPDX-License-Identifier: MIT
/* The invites that this node has made: to whom each is bound, what was used of it today, and whether it
 * still holds.
 *
 *   made --shown by a peer--> bound to that peer --(expires | is revoked)--> over, and forgotten
 *     \-----------------------(expires | is revoked)------------------------/  when it has expired
 *
 * A peer under an invite is served within its terms and no further. Requests and tokens of a day are counted
 * here and survive a restart; the day is the issuer's local one, and never goes back. What a request may
 * use up is reserved when it begins and settled when it ends, so that many at once cannot have more than
 * one after another:
 *
 *   invite_begin (reserved) -- invite_spend (each token of a stream) --> invite_end (what it really was)
 *
 * What is limited is written down before it is given, some of it ahead (`kept`), so that not each request is a write
 * and a node that is killed has given nothing that it forgets; what was written ahead in vain is lost to the guest,
 * at most a thirty-second part of its day, and set right when it rests (invite_book_settle).
 *
 * Pure: the time goes in; `changed` says that there is something to write (invite_book_write), `keep` that it must be
 * on disk now. */
#ifndef CONDUIT_GUARD_INVITE_BOOK_H
#define CONDUIT_GUARD_INVITE_BOOK_H

#include "base/list.h"
#include "base/principal.h"
#include "guard/invite.h"
#include "guard/refusal.h"

struct invite_now {
    uint64_t s;   /* Unix time */
    uint32_t day; /* of the local calendar, counted from anywhere */
    unsigned minute_of_day;
};

struct invite_entry {
    struct list link;
    struct invite invite; /* without the network's key, which is not for keeping */
    struct peer_id guest; /* none: it was not shown yet */
    uint64_t bound_s;
    bool is_revoked;
    uint32_t day;                        /* of what follows */
    uint64_t requests, tokens;           /* used */
    uint32_t running;                    /* requests now: the entry stays as long as there is one */
    uint64_t reserved;                   /* tokens, by those that run */
    uint64_t kept_requests, kept_tokens; /* what the file says is used, at least what is */
};

struct invite_book {
    struct list entries; /* oldest first */
    size_t count;
    uint64_t bindings;          /* how often one was bound */
    void (*changed)(void *ctx); /* may be NULL */
    int (*keep)(void *ctx);     /* writes it now: 0 or an error; may be NULL */
    void *ctx;
};

void invite_book_init(struct invite_book *b);
void invite_book_fini(struct invite_book *b);

/* Takes a copy. E_EXISTS (one of that name still holds), E_LIMIT. */
int invite_book_add(struct invite_book *b, const struct invite *v, const struct invite_now *now);
/* By its id in hex, the beginning of it (8 digits at least), or its name. NULL: none, or several. */
struct invite_entry *invite_book_find(const struct invite_book *b, struct bytes what);
/* It holds no longer, from now on. */
void invite_book_revoke(struct invite_book *b, struct invite_entry *e);
/* Forgets what has expired. */
void invite_book_expire(struct invite_book *b, const struct invite_now *now);

/* A peer shows an invite: 0 and the entry, bound to it now if it was to nobody; else E_DENIED with one of
 * invite_malformed, invite_wrong_issuer, invite_unknown, invite_revoked, invite_expired, invite_used. */
int invite_book_show(struct invite_book *b, const struct peer_id *self, struct bytes text,
                     const struct peer_id *peer, const struct invite_now *now,
                     struct invite_entry **out, struct guard_refusal *why);
/* It was bound just now, which could not be written down: it is nobody's, as before. */
void invite_book_unbind(struct invite_book *b, struct invite_entry *e);
/* The invite under which a peer is served: the one it showed last of those that hold; or NULL. */
struct invite_entry *invite_book_of(const struct invite_book *b, struct bytes peer, uint64_t now_s);
/* Its invite was taken back, which is remembered until it would have expired; another one may hold. */
bool invite_book_is_out(const struct invite_book *b, struct bytes peer);
/* Is there one that nobody has shown yet? Somebody unknown may come with it. */
bool invite_book_awaits(const struct invite_book *b, uint64_t now_s);

/* --- requests --- */
struct invite_ask {
    uint64_t prompt_tokens;     /* estimated */
    uint64_t max_tokens;        /* of the answer, as asked for; 0: not said */
    unsigned choices;           /* answers asked for at once */
    bool is_stream, has_answer; /* has_answer: it generates (an embedding does not) */
};
struct invite_use {
    struct invite_book *book;
    struct invite_entry *entry; /* NULL: not under an invite */
    uint64_t reserved, counted;
    bool is_stream;
    uint64_t max_tokens; /* the answer must be bounded by this; 0: need not */
};
/* 0 and counted, or E_DENIED (also with 503 invite_not_kept). Exactly one invite_end follows when it is 0. */
int invite_begin(struct invite_book *b, const struct principal *who, const struct invite_ask *ask,
                 const struct invite_now *now, struct invite_use *use, struct guard_refusal *why);
/* So many tokens of the answer have gone out. False: today's are used up, it must end. */
bool invite_spend(struct invite_use *use, uint64_t tokens);
/* What it came to; `is_known` false: the backend did not say, then what went out counts, or, of an answer in one
 * piece, what was reserved. Harmless for one that is over, or not under an invite. */
void invite_end(struct invite_use *use, bool is_known, uint64_t tokens);

/* --- the file --- */
/* What is written next is what was really used, of invites under which nothing runs. */
void invite_book_settle(struct invite_book *b);
int invite_book_write(const struct invite_book *b, struct buf *out);
/* Into an empty book: 0, E_MALFORMED, E_LIMIT. */
int invite_book_read(struct invite_book *b, struct bytes in);

#endif
