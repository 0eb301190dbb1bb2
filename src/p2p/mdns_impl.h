// SPDX-License-Identifier: MIT
/* Between the two halves of mDNS: mdns.c speaks, mdns_book.c remembers whom it heard. Private. */
#ifndef CONDUIT_P2P_MDNS_IMPL_H
#define CONDUIT_P2P_MDNS_IMPL_H

#include "p2p/mdns.h"

#define MDNS_SERVICES "_services._dns-sd._udp.local"
enum { MDNS_PACKET_OUT = 1440 }; /* one Ethernet frame, IPv6 too */

/* An answer: takes in whom it tells of. */
void mdns_book_heard(struct mdns *m, struct mdns_link *l, struct dns_reader *r,
                     const struct net_addr *from);
/* Drops who ran out. True: somebody is about to, and should be asked. */
bool mdns_book_tick(struct mdns *m);
uint64_t mdns_book_deadline(const struct mdns *m);

#endif
