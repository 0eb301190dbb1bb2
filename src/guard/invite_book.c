// SPDX-License-Identifier: MIT
/* Entries: made, shown, revoked, forgotten, kept; see invite_book.h. Requests are invite_use.c. */
#include "guard/invite_book.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/cbor.h"
#include "codec/multibase.h"

#include <stdlib.h>
#include <string.h>

enum { ID_PREFIX_MIN = 8, VERSION = 1, MEMBERS = 7 };

static struct invite_entry *entry_of(struct list *it)
{
    return LIST_ENTRY(it, struct invite_entry, link);
}

static void changed(struct invite_book *b)
{
    if (b->changed)
        b->changed(b->ctx);
}

void invite_book_init(struct invite_book *b)
{
    *b = (struct invite_book){0};
    list_init(&b->entries);
}

static void drop(struct invite_book *b, struct invite_entry *e)
{
    list_remove(&e->link);
    b->count--;
    invite_fini(&e->invite);
    free(e);
}

void invite_book_fini(struct invite_book *b)
{
    LIST_FOREACH_SAFE (&b->entries, it)
        drop(b, entry_of(it));
}

static bool holds(const struct invite_entry *e, uint64_t now_s)
{
    return !e->is_revoked && now_s < e->invite.expires_s;
}

void invite_book_expire(struct invite_book *b, const struct invite_now *now)
{
    size_t before = b->count;
    LIST_FOREACH_SAFE (&b->entries, it)
        if (now->s >= entry_of(it)->invite.expires_s && !entry_of(it)->running)
            drop(b, entry_of(it));
    if (b->count != before)
        changed(b);
}

static struct invite_entry *append(struct invite_book *b, const struct invite *v)
{
    struct invite_entry *e = MEM_NEW(struct invite_entry);
    e->invite = *v;
    mem_wipe(e->invite.network, sizeof e->invite.network);
    e->invite.has_network = false;
    list_append(&b->entries, &e->link);
    b->count++;
    return e;
}

int invite_book_add(struct invite_book *b, const struct invite *v, const struct invite_now *now)
{
    invite_book_expire(b, now);
    LIST_FOREACH (&b->entries, it) {
        const struct invite_entry *e = entry_of(it);
        if (*v->name && holds(e, now->s) && strcmp(e->invite.name, v->name) == 0)
            return E_EXISTS;
    }
    if (b->count >= LIMIT_INVITES)
        return E_LIMIT;
    append(b, v);
    changed(b);
    return 0;
}

static bool is_meant(const struct invite_entry *e, struct bytes what)
{
    char id[INVITE_ID_TEXT];
    if (bytes_eq_str(what, e->invite.name))
        return true;
    invite_id_text(e->invite.id, id);
    return what.n >= ID_PREFIX_MIN && bytes_starts(bytes_str(id), what);
}

struct invite_entry *invite_book_find(const struct invite_book *b, struct bytes what)
{
    struct invite_entry *found = NULL;
    if (what.n == 0)
        return NULL;
    LIST_FOREACH ((struct list *)&b->entries, it) {
        struct invite_entry *e = entry_of(it);
        if (!is_meant(e, what))
            continue;
        /* A name may be given again when the one that had it is over. */
        if (found && !found->is_revoked && !e->is_revoked)
            return NULL;
        if (!found || found->is_revoked)
            found = e;
    }
    return found;
}

void invite_book_revoke(struct invite_book *b, struct invite_entry *e)
{
    if (!e->is_revoked) {
        e->is_revoked = true;
        changed(b);
    }
}

/* --- shown --- */

static struct invite_entry *by_id(const struct invite_book *b, const uint8_t *id)
{
    LIST_FOREACH ((struct list *)&b->entries, it)
        if (memcmp(entry_of(it)->invite.id, id, INVITE_ID) == 0)
            return entry_of(it);
    return NULL;
}

static int judge(const struct invite_book *b, const struct invite *v, const struct peer_id *self,
                 const struct peer_id *peer, const struct invite_now *now,
                 struct guard_refusal *why)
{
    const struct invite_entry *e = by_id(b, v->id);
    if (!peer_id_eq(&v->issuer, self))
        return guard_refuse(why, 403, "invite_wrong_issuer", 0,
                            "this invite was made by another node than this one");
    if (now->s >= v->expires_s)
        return guard_refuse(why, 403, "invite_expired", 0,
                            "this invite has expired; ask for a new one");
    if (!e)
        return guard_refuse(why, 403, "invite_unknown", 0,
                            "this node has no record of this invite; ask for a new one");
    if (e->is_revoked)
        return guard_refuse(why, 403, "invite_revoked", 0, "this invite was taken back");
    if (!peer_id_is_none(&e->guest) && !peer_id_eq(&e->guest, peer))
        return guard_refuse(
            why, 403, "invite_used", 0,
            "this invite belongs to the node that showed it first, which is another "
            "one; each guest needs an invite of its own");
    return 0;
}

int invite_book_show(struct invite_book *b, const struct peer_id *self, struct bytes text,
                     const struct peer_id *peer, const struct invite_now *now,
                     struct invite_entry **out, struct guard_refusal *why)
{
    struct invite v;
    const char *what = "";
    int err = invite_read(text, &v, &what);
    if (err)
        return guard_refuse(why, 400, "invite_malformed", 0, "%s", what);
    err = judge(b, &v, self, peer, now, why);
    if (!err) {
        struct invite_entry *e = by_id(b, v.id);
        if (peer_id_is_none(&e->guest)) {
            e->guest = *peer;
            e->bound_s = now->s;
            b->bindings++;
            changed(b);
        }
        list_remove(&e->link); /* the last one shown is the one in force */
        list_append(&b->entries, &e->link);
        *out = e;
    }
    invite_fini(&v);
    return err;
}

void invite_book_unbind(struct invite_book *b, struct invite_entry *e)
{
    e->guest = (struct peer_id){0};
    e->bound_s = 0;
    changed(b);
}

struct invite_entry *invite_book_of(const struct invite_book *b, struct bytes peer, uint64_t now_s)
{
    struct invite_entry *found = NULL;
    LIST_FOREACH ((struct list *)&b->entries, it) {
        struct invite_entry *e = entry_of(it);
        if (bytes_eq(peer_id_bytes(&e->guest), peer) && holds(e, now_s))
            found = e;
    }
    return peer.n ? found : NULL;
}

bool invite_book_is_out(const struct invite_book *b, struct bytes peer)
{
    LIST_FOREACH ((struct list *)&b->entries, it)
        if (peer.n && entry_of(it)->is_revoked &&
            bytes_eq(peer_id_bytes(&entry_of(it)->guest), peer))
            return true;
    return false;
}

bool invite_book_awaits(const struct invite_book *b, uint64_t now_s)
{
    LIST_FOREACH ((struct list *)&b->entries, it)
        if (peer_id_is_none(&entry_of(it)->guest) && holds(entry_of(it), now_s))
            return true;
    return false;
}

/* --- the file: [ version, [ [payload, guest, bound, revoked, day, requests, tokens] … ] ] --- */

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void invite_book_settle(struct invite_book *b)
{
    LIST_FOREACH (&b->entries, it) {
        struct invite_entry *e = entry_of(it);
        if (e->running)
            continue;
        e->kept_requests = e->requests;
        e->kept_tokens = e->tokens;
    }
}

static int write_entry(const struct invite_entry *e, struct cbor_writer *w)
{
    struct buf payload;
    buf_init(&payload, 0);
    int err = invite_encode(&e->invite, &payload);
    cbor_put_array(w, MEMBERS);
    cbor_put_bytes(w, buf_view(&payload));
    cbor_put_bytes(w, peer_id_bytes(&e->guest));
    cbor_put_uint(w, e->bound_s);
    cbor_put_bool(w, e->is_revoked);
    cbor_put_uint(w, e->day);
    cbor_put_uint(w, max_u64(e->requests, e->kept_requests));
    /* What runs now may not come to be settled: a node that is killed forgets nothing it gave. */
    cbor_put_uint(w, max_u64(e->tokens + e->reserved, e->kept_tokens));
    buf_fini(&payload);
    return err;
}

int invite_book_write(const struct invite_book *b, struct buf *out)
{
    struct cbor_writer w;
    int err = 0;
    cbor_writer_init(&w, out);
    cbor_put_array(&w, 2);
    cbor_put_uint(&w, VERSION);
    cbor_put_array(&w, b->count);
    LIST_FOREACH ((struct list *)&b->entries, it)
        err = err ? err : write_entry(entry_of(it), &w);
    return err ? err : cbor_writer_finish(&w);
}

static int read_guest(struct cbor_reader *r, struct peer_id *out)
{
    struct bytes guest;
    int err = cbor_get_bytes(r, PEER_ID_MAX, &guest);
    return err || guest.n == 0 ? err : peer_id_decode(guest, out);
}

static int read_entry(struct invite_book *b, struct cbor_reader *r)
{
    struct bytes payload;
    struct invite v;
    size_t n = 0;
    uint64_t day = 0;
    int err = cbor_get_array(r, MEMBERS, &n);
    if (!err && n != MEMBERS)
        err = E_MALFORMED;
    err = err ? err : cbor_get_bytes(r, LIMIT_INVITE, &payload);
    err = err ? err : invite_decode(payload, &v);
    if (err || by_id(b, v.id))
        return err ? err : E_MALFORMED;
    struct invite_entry *e = append(b, &v);
    err = read_guest(r, &e->guest);
    err = err ? err : cbor_get_uint(r, &e->bound_s);
    err = err ? err : cbor_get_bool(r, &e->is_revoked);
    err = err ? err : cbor_get_uint(r, &day);
    err = err ? err : cbor_get_uint(r, &e->requests);
    err = err ? err : cbor_get_uint(r, &e->tokens);
    e->day = (uint32_t)day;
    e->kept_requests = e->requests;
    e->kept_tokens = e->tokens;
    return err;
}

int invite_book_read(struct invite_book *b, struct bytes in)
{
    struct cbor_reader r;
    size_t n = 0, count = 0;
    uint64_t version = 0;
    int err = in.n > LIMIT_INVITE_BOOK ? E_LIMIT : cbor_check(in);
    cbor_reader_init(&r, in);
    err = err ? err : cbor_get_array(&r, 2, &n);
    err = err ? err : cbor_get_uint(&r, &version);
    if (!err && (n != 2 || version != VERSION))
        err = E_MALFORMED;
    err = err ? err : cbor_get_array(&r, LIMIT_INVITES, &count);
    for (size_t i = 0; !err && i < count; i++)
        err = read_entry(b, &r);
    return !err || err == E_LIMIT ? err : E_MALFORMED;
}
