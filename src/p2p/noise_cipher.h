// SPDX-License-Identifier: MIT
/* The transport cipher of Noise: ChaCha20-Poly1305 with a counter, in place, one per direction.
 *
 *   frame on the wire:   | u16 BE n + 16 |  ciphertext (n)  |  tag (16)  |
 *
 * Short frames, which most are, go through libsodium: half of OpenSSL's time up to some 200 bytes, and all it keeps
 * is the key. Long ones go through OpenSSL (2.5 to 7 times libsodium's speed). Its contexts, a kilobyte each, are the
 * thread's, one per direction, and take the key of who comes: a connection that is quiet holds none, a busy one keeps
 * it, and a message allocates nothing. The associated data is empty, the nonce four zero bytes and the counter,
 * little-endian. */
#ifndef CONDUIT_P2P_NOISE_CIPHER_H
#define CONDUIT_P2P_NOISE_CIPHER_H

#include "base/bytes.h"

enum {
    NOISE_LENGTH = 2, /* of the frame's length field */
    NOISE_TAG = 16,
    NOISE_FRAME = 65535, /* most that the length field can say */
    NOISE_BATCH = 64511, /* most plaintext we put into one frame; as rust */
    NOISE_BATCH_BYTES = NOISE_LENGTH + NOISE_BATCH + NOISE_TAG, /* a buffer for one */
};

struct noise_cipher {
    uint64_t counter;
    uint64_t
        serial; /* of this cipher, to know whose key a context has; 0: no long frame has come yet */
    uint8_t key[32];
    bool has_key, is_sealing;
};

/* The key may be wiped afterwards. */
void noise_cipher_init(struct noise_cipher *c, bool is_sealing, const uint8_t key[static 32]);
void noise_cipher_fini(struct noise_cipher *c); /* wipes; harmless on a zeroed struct */

/* `frame` is NOISE_LENGTH bytes of room, n bytes of plaintext, NOISE_TAG bytes of room; it becomes
 * what goes on the wire. The size of it, or E_INVALID, E_LIMIT (counter used up), E_NO_MEMORY, E_BUG. */
int noise_seal(struct noise_cipher *c, uint8_t *frame, size_t n);

/* Looks at the head of `in`: size of the whole first frame, length field included, or 0 while that
 * is not known. A frame too short for its tag is E_MALFORMED. Nothing is allocated by it. */
int noise_frame_size(struct bytes in);

/* `frame` is a whole one, of noise_frame_size bytes; its plaintext comes to lie at
 * frame + NOISE_LENGTH. Size of the plaintext (may be 0), or E_AUTH: close without a word; E_NO_MEMORY. */
int noise_open(struct noise_cipher *c, uint8_t *frame, size_t size);

#endif
