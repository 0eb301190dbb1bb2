// SPDX-License-Identifier: MIT
/* Signatures that were found good are remembered, so that the same record, brought again by another peer or a
 * quarter of an hour later, costs a hash instead of a verification (50 times as much). As Bitcoin Core's signature
 * cache: what is kept is a salted SHA-256 of key, signature and message, cut to 16 bytes, so that nobody outside can
 * aim at a place or make two things look the same. Bad ones are not remembered. One for the process, for any
 * thread; 512 KiB at most, touched as it fills. */
#ifndef CONDUIT_CODEC_KEY_MEMO_H
#define CONDUIT_CODEC_KEY_MEMO_H

#include "base/bytes.h"

enum { KEY_MEMO_TAG = 16 };

struct key_memo {
    uint8_t tag[KEY_MEMO_TAG];
};

/* Ed25519: a key of 32 bytes, a signature of 64. True when this very thing was found good before; *at is for
 * key_memo_keep. */
bool key_memo_has(const uint8_t key[static 32], const uint8_t sig[static 64], struct bytes message,
                  struct key_memo *at);
void key_memo_keep(const struct key_memo *at);

#endif
