// SPDX-License-Identifier: MIT
/* Multiaddrs, peer ids, public keys and envelopes from strangers: whatever is accepted must survive the way to
 * text and back. */
#include "codec/envelope.h"
#include "codec/key.h"
#include "codec/multiaddr.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct multiaddr m, again;
    struct key_public key;
    struct peer_id id, id2;
    struct net_addr at;
    char text[PEER_ID_TEXT];
    if (multiaddr_check(in) == 0) {
        struct buf b;
        buf_init(&b, 0);
        if (multiaddr_format(in, &b) == 0 && multiaddr_parse(buf_view(&b), &again) == 0 &&
            !bytes_eq(multiaddr_bytes(&again), in))
            abort();
        buf_fini(&b);
        (void)multiaddr_to_net(in, &at);
        (void)multiaddr_peer(in, &id);
    }
    if (multiaddr_parse(in, &m) == 0 && multiaddr_check(multiaddr_bytes(&m)) != 0)
        abort();
    (void)multiaddr_parse_loose(in, 8000, &m);
    (void)key_public_decode(in, &key);
    if (peer_id_decode(in, &id) == 0 &&
        (peer_id_parse(bytes_str(peer_id_text(&id, text, sizeof text)), &id2) != 0 ||
         !peer_id_eq(&id, &id2)))
        abort();
    (void)peer_id_parse(in, &id);
    return 0;
}
