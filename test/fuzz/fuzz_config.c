// SPDX-License-Identifier: MIT
/* The configuration file. */
#include "node/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config c;
    char why[CONFIG_WHY];
    config_init(&c);
    (void)config_read_yaml(&c, bytes_of(data, size), "f", why);
    config_fini(&c);
    return 0;
}
