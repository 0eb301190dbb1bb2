// SPDX-License-Identifier: MIT
/* For the two halves of the skimmer: the hash of an unescaped key. */
#ifndef CONDUIT_CODEC_JSON_KEY_H
#define CONDUIT_CODEC_JSON_KEY_H

#include "base/bytes.h"

uint32_t json_key_hash(struct bytes key);

#endif
