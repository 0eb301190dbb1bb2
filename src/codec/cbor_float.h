// SPDX-License-Identifier: MIT
/* For both halves of CBOR: is there a 16-bit float that is exactly `f`? */
#ifndef CONDUIT_CODEC_CBOR_FLOAT_H
#define CONDUIT_CODEC_CBOR_FLOAT_H

#include <stdbool.h>
#include <stdint.h>

bool cbor_float_to_half(float f, uint16_t *out);

#endif
