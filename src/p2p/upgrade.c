// SPDX-License-Identifier: MIT
/* See upgrade.h. */
#include "p2p/upgrade.h"

#include "base/err.h"
#include "p2p/pnet.h"

static const char *const securities[] = {P2P_NOISE};
static const char *const muxers[] = {P2P_YAMUX};

static int accept_security(void *ctx, struct bytes protocol)
{
    return bytes_eq_str(protocol, P2P_NOISE) ? 0 : -1;
}

static int accept_muxer(void *ctx, struct bytes protocol)
{
    return bytes_eq_str(protocol, P2P_YAMUX) ? 0 : -1;
}

int upgrade_init(struct upgrade *u, bool is_dialer, const struct noise_self *self,
                 const struct peer_id *expect, struct rng *rng, struct buf *out)
{
    *u = (struct upgrade){.stage = UPGRADE_SECURITY, .is_dialer = is_dialer};
    noise_init(&u->noise, is_dialer, self, expect, rng);
    if (!is_dialer) {
        mss_listen(&u->mss, accept_security, NULL);
        return 0;
    }
    int err = mss_dial(&u->mss, securities, 1, out);
    return err ? err : noise_start(&u->noise, out);
}

void upgrade_fini(struct upgrade *u)
{
    mss_fini(&u->mss);
    noise_fini(&u->noise);
}

static int feed_security(struct upgrade *u, struct bytes in, size_t *used, struct buf *out)
{
    int r = mss_feed(&u->mss, in, used, out);
    if (r != MSS_AGREED)
        return r;
    mss_fini(&u->mss);
    u->stage = UPGRADE_NOISE;
    return 0;
}

static int feed_noise(struct upgrade *u, struct bytes in, size_t *used, struct buf *out)
{
    int r = noise_feed(&u->noise, in, used, out);
    if (u->noise.state == NOISE_WAIT_3)
        u->had_hello = true;
    if (r != NOISE_DONE)
        return r;
    u->had_hello = true;
    u->stage = u->noise.is_muxer_settled ? UPGRADE_DONE : UPGRADE_MUXER;
    return 0;
}

int upgrade_feed_raw(struct upgrade *u, struct bytes in, size_t *used, struct buf *out)
{
    int err = 0;
    size_t n = 0;
    *used = 0;
    if (u->stage == UPGRADE_SECURITY) {
        err = feed_security(u, in, &n, out);
        *used += n;
    }
    if (!err && u->stage == UPGRADE_NOISE && *used < in.n) {
        n = 0;
        err = feed_noise(u, bytes_skip(in, *used), &n, out);
        *used += n;
    }
    return err;
}

bool upgrade_is_other_network(const struct upgrade *u, struct bytes in, bool has_key)
{
    bool is_text = true;
    if (!upgrade_is_before_header(u))
        return false;
    if (has_key)
        return true;
    for (size_t i = 0; i < in.n && i < PNET_NONCE; i++)
        is_text = is_text && in.p[i] >= '\t' && in.p[i] < 0x7f;
    return in.n >= PNET_NONCE && !is_text;
}

static int start_muxer(struct upgrade *u, struct buf *out)
{
    u->muxer_started = true;
    if (u->is_dialer)
        return mss_dial(&u->mss, muxers, 1, out);
    mss_listen(&u->mss, accept_muxer, NULL);
    return 0;
}

int upgrade_feed_plain(struct upgrade *u, struct bytes in, size_t *used, struct buf *out)
{
    *used = 0;
    if (u->stage == UPGRADE_DONE)
        return 0;
    int err = u->muxer_started ? 0 : start_muxer(u, out);
    if (err || in.n == 0)
        return err;
    int r = mss_feed(&u->mss, in, used, out);
    if (r == MSS_AGREED) {
        u->stage = UPGRADE_DONE;
        return 0;
    }
    return r;
}
