// SPDX-License-Identifier: MIT
/* conduit version */
#include "command.h"

#include <stdio.h>

#ifndef CONDUIT_VERSION
#define CONDUIT_VERSION "0"
#define CONDUIT_GIT     "none"
#endif

const char conduit_version[] = CONDUIT_VERSION;
const char conduit_git[] = CONDUIT_GIT;

int command_version(int argc, char **argv)
{
    struct common c;
    argc = common_take(&c, argc, argv);
    if (c.help) {
        puts("conduit version [--json]: print the version");
        return EXIT_OK;
    }
    if (c.json)
        printf("{\"version\":\"%s\",\"git\":\"%s\"}\n", conduit_version, conduit_git);
    else
        printf("conduit %s (git %s)\n", conduit_version, conduit_git);
    return EXIT_OK;
}
