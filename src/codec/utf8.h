// SPDX-License-Identifier: MIT
/* Is it UTF-8? (RFC 3629: no overlongs, no surrogates, nothing over U+10FFFF) */
#ifndef CONDUIT_CODEC_UTF8_H
#define CONDUIT_CODEC_UTF8_H

#include "base/bytes.h"

bool utf8_is_valid(struct bytes in);
/* How many bytes at the end begin a character that is not complete (0..3), so that text may be cut
 * there; 0 when the end is whole or invalid. */
size_t utf8_cut_tail(struct bytes in);
/* Length of the valid character at `p` (1..4), 0 when invalid or cut. */
size_t utf8_char(const uint8_t *p, const uint8_t *end);

#endif
