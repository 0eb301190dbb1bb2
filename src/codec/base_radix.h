// SPDX-License-Identifier: MIT
/* The parts of multibase: codes whose digits are whole bits, and codes that are one big number. */
#ifndef CONDUIT_CODEC_BASE_RADIX_H
#define CONDUIT_CODEC_BASE_RADIX_H

#include "base/buf.h"

/* 2^bits digits: hex 4, base32 5, base64 6. `pads`: '=' up to a multiple of 4. */
int base_bits_encode(struct bytes in, const char *digits, unsigned bits, bool pads,
                     struct buf *out);
int base_bits_decode(struct bytes text, const char *digits, unsigned bits, bool pads,
                     struct buf *out);
/* One big-endian number; leading zero bytes are leading first digits. */
int base_number_encode(struct bytes in, const char *digits, struct buf *out);
int base_number_decode(struct bytes text, const char *digits, struct buf *out);

#endif
