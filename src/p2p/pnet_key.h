// SPDX-License-Identifier: MIT
/* The key of a private network, and the file it lies in: kubo's swarm.key.
 *
 *   /key/swarm/psk/1.0.0/
 *   /base16/                   or /base64/, or /bin/ (32 raw bytes follow)
 *   64 digits
 *
 * Who has the file is in the network, so it is a secret: wiped after use, never traced. What may be
 * shown is its fingerprint, computed as kubo and rust do (salsa20 under the key, then SHAKE-128),
 * which names the network in mDNS too: `_p2p-<fingerprint>._udp`. */
#ifndef CONDUIT_P2P_PNET_KEY_H
#define CONDUIT_P2P_PNET_KEY_H

#include "base/buf.h"
#include "base/rng.h"

enum { PNET_KEY = 32, PNET_FINGERPRINT = 16, PNET_FINGERPRINT_TEXT = 2 * PNET_FINGERPRINT + 1 };

struct pnet_key {
    uint8_t b[PNET_KEY];
};

/* 0, or E_MALFORMED and in *why what is wrong with the file (a static sentence). Stricter than go,
 * which reads over whatever follows the key. */
int pnet_key_read(struct bytes file, struct pnet_key *out, const char **why);
/* Appends the file, base16, as `ipfs-swarm-key-gen` writes it. 0 or E_LIMIT. */
int pnet_key_write(const struct pnet_key *k, struct buf *out);
void pnet_key_generate(struct pnet_key *k, struct rng *rng);
void pnet_key_fini(struct pnet_key *k);
/* Lower-case hex, NUL-terminated; returns out. */
char *pnet_fingerprint(const struct pnet_key *k, char out[static PNET_FINGERPRINT_TEXT]);

#endif
