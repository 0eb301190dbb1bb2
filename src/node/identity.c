// SPDX-License-Identifier: MIT
/* The node's key pair: identity.key in the data directory, a libp2p private key message, 0600. */
#include "node/node_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

int identity_load(const char *dir, struct rng *rng, struct key_pair *out, char *why)
{
    uint8_t *p = NULL;
    size_t n = 0;
    int err = datadir_read(dir, "identity.key", 1024, &p, &n);
    if (err == 0) {
        err = key_pair_decode(bytes_of(p, n), out);
        mem_wipe(p, n);
        free(p);
        if (err)
            snprintf(why, CONFIG_WHY,
                     "%s/identity.key is not a key of ours (%s); move it away to "
                     "get a new identity",
                     dir, err_text(err));
        return err;
    }
    if (err != E_NOT_FOUND) {
        snprintf(why, CONFIG_WHY, "%s/identity.key cannot be read: %s", dir, err_text(err));
        return err;
    }
    uint8_t message[KEY_PRIVATE_MESSAGE];
    key_pair_generate(out, rng);
    key_pair_private_message(out, message);
    err = datadir_write(dir, "identity.key", message, sizeof message, 0600);
    mem_wipe(message, sizeof message);
    if (err)
        snprintf(why, CONFIG_WHY, "%s/identity.key cannot be written: %s", dir, err_text(err));
    return err;
}
