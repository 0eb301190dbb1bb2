// SPDX-License-Identifier: MIT
/* The life of AutoNAT on a host; see autonat_host.h. */
#include "p2p/autonat_host.h"

#include "base/mem.h"
#include "p2p/autonat_impl.h"

#include <stdlib.h>

struct autonat_cfg autonat_cfg_default(void)
{
    return (struct autonat_cfg){.serves = true, .asks = true, .dial_us = 3500 * US_PER_MS};
}

struct autonat_host *autonat_host_new(struct p2p_host *h, const struct autonat_cfg *cfg)
{
    struct autonat_host *ah = MEM_NEW(struct autonat_host);
    ah->h = h;
    ah->cfg = *cfg;
    autonat_client_init(ah);
    autonat_server_init(ah);
    return ah;
}

void autonat_host_free(struct autonat_host *ah)
{
    if (!ah)
        return;
    autonat_client_fini(ah);
    autonat_server_fini(ah);
    free(ah);
}

struct autonat_counts autonat_host_counts(const struct autonat_host *ah)
{
    return ah->counts;
}
