// SPDX-License-Identifier: MIT
/* Between our addresses and the kernel's. */
#ifndef CONDUIT_LOOP_SOCKADDR_H
#define CONDUIT_LOOP_SOCKADDR_H

#include "base/net.h"

#include <sys/socket.h>

/* 0 and the length in *len, or E_INVALID for NET_NONE. */
int sockaddr_from_net(const struct net_addr *a, struct sockaddr_storage *out, socklen_t *len);
/* NET_NONE for families we do not know. A unix address without a path keeps path "". */
struct net_addr sockaddr_to_net(const struct sockaddr *sa, socklen_t len);

#endif
