// SPDX-License-Identifier: MIT
/* Signed offers and CBOR from strangers. No fuzzer makes a signature: the reader behind it is reached through
 * a seed corpus of good offers, and by CBOR alone. */
#include "codec/cbor.h"
#include "offer/offer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct offer o;
    (void)offer_verify(bytes_of(data, size), NULL, 0, &o);
    return 0;
}
