// SPDX-License-Identifier: MIT
/* The key of the private network that a node is in: from --psk FILE (kubo's swarm.key). */
#ifndef CONDUIT_NODE_NETWORK_KEY_H
#define CONDUIT_NODE_NETWORK_KEY_H

#include "p2p/pnet_key.h"

enum { NETWORK_KEY_WHY = 512 };

/* 0, or an error with a sentence that names the file. Others who may read the file are a warning in the
 * log: whoever reads it is in the network. */
int network_key_load(const char *path, struct pnet_key *out, char why[static NETWORK_KEY_WHY]);
/* Makes a new one: to a new file, 0600. E_EXISTS rather than replace what may be in use. */
int network_key_make(const char *path, const struct pnet_key *key,
                     char why[static NETWORK_KEY_WHY]);

#endif
