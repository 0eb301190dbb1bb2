// SPDX-License-Identifier: MIT
/* See access.h. */
#include "node/access.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/multiaddr.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_FILE_MAX = LIMIT_PEER_LIST * 80 };

/* One byte more than LIST_FILE_MAX when it is longer: half a list of who is denied would be a wrong one. NULL: it
 * cannot be read (a directory can be opened, and no more). */
static char *read_list(const char *path, size_t *n)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    char *text = mem_new(LIST_FILE_MAX + 1);
    *n = fread(text, 1, LIST_FILE_MAX + 1, f);
    bool is_read = !ferror(f);
    fclose(f);
    if (is_read)
        return text;
    free(text);
    return NULL;
}

/* An id, or the path of a file of them. */
static int add_word(struct peer_list *l, const char *key, const char *word, char *why)
{
    struct peer_id id;
    unsigned line = 0;
    size_t n = 0;
    if (peer_id_parse(bytes_str(word), &id) == 0)
        return peer_list_add(l, &id);
    char *text = read_list(word, &n);
    if (!text) {
        snprintf(why, CONFIG_WHY, "%s: '%s' is neither a peer id nor a file that can be read", key,
                 word);
        return E_INVALID;
    }
    if (n > LIST_FILE_MAX) {
        snprintf(why, CONFIG_WHY, "%s: '%s' has more than %d bytes", key, word, (int)LIST_FILE_MAX);
        free(text);
        return E_INVALID;
    }
    int err = peer_list_read(l, bytes_of(text, n), &line);
    free(text);
    if (err == E_LIMIT)
        snprintf(why, CONFIG_WHY, "%s: %s:%u: more than %u peers", key, word, line,
                 (unsigned)LIMIT_PEER_LIST);
    else if (err)
        snprintf(why, CONFIG_WHY, "%s: %s:%u is not a peer id", key, word, line);
    return err ? E_INVALID : 0;
}

static int add_all(struct peer_list *l, const char *key, const struct strlist *words, char *why)
{
    int err = 0;
    for (size_t i = 0; i < words->n && !err; i++)
        err = add_word(l, key, words->v[i], why);
    return err;
}

int access_init(struct access *a, struct sched *sched, const struct config *c,
                const struct invite_book *invites, char why[static CONFIG_WHY])
{
    struct multiaddr m;
    struct peer_id id;
    *a = (struct access){.sched = sched,
                         .invites = invites,
                         .is_closed = c->invite_only,
                         .has_allow = c->allow_peer.n > 0};
    int err = add_all(&a->allow, "allow_peer", &c->allow_peer, why);
    err = err ? err : add_all(&a->deny, "deny_peer", &c->deny_peer, why);
    for (size_t i = 0; !err && i < c->bootstrap.n; i++)
        if (multiaddr_parse_loose(bytes_str(c->bootstrap.v[i]), 1, &m) == 0 &&
            multiaddr_peer(multiaddr_bytes(&m), &id) == 0)
            access_name(a, &id);
    return err;
}

void access_fini(struct access *a)
{
    peer_list_fini(&a->allow);
    peer_list_fini(&a->deny);
    peer_list_fini(&a->named);
}

void access_name(struct access *a, const struct peer_id *peer)
{
    (void)peer_list_add(&a->named, peer);
}

static uint64_t now_s(const struct access *a)
{
    return sched_wall_ms(a->sched) / 1000;
}

bool access_may_connect(void *ctx, const struct peer_id *peer, const struct net_addr *from)
{
    const struct access *a = ctx;
    if (peer_list_has(&a->deny, peer))
        return false;
    return !a->has_allow || peer_list_has(&a->allow, peer) || peer_list_has(&a->named, peer) ||
           invite_book_of(a->invites, peer_id_bytes(peer), now_s(a)) ||
           invite_book_awaits(a->invites, now_s(a));
}

void access_judge(const struct access *a, struct principal *who)
{
    struct peer_id id = {.len = who->id_len};
    if (who->kind != PRINCIPAL_PEER || who->id_len > sizeof id.b)
        return;
    memcpy(id.b, who->id, who->id_len);
    if (peer_list_has(&a->deny, &id)) /* the connection may be older than the list */
        who->kind = PRINCIPAL_STRANGER;
    else if (invite_book_of(a->invites, peer_id_bytes(&id), now_s(a)))
        who->kind = PRINCIPAL_INVITE;
    else if (!peer_list_has(&a->allow, &id) &&
             (a->is_closed || a->has_allow || invite_book_is_out(a->invites, peer_id_bytes(&id))))
        who->kind = PRINCIPAL_STRANGER;
}
