// SPDX-License-Identifier: MIT
/* conduit peers */
#include "api.h"

#include "node/report.h"

#include <stdio.h>

static const char help[] =
    "conduit peers [--json] [--data-dir DIR | --api URL]: the peers that are connected, their "
    "addresses and what they offer\n"
    "\n"
    "  --json          the document as the node gave it (/conduit/v1/peers)\n"
    "  --data-dir DIR  the node of that directory\n"
    "  --api URL       the node at that address, as http://127.0.0.1:8888/v1\n";

int command_peers(int argc, char **argv)
{
    struct common c;
    argc = common_take(&c, argc, argv);
    if (c.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    if (argc > 1)
        return usage_error("peers", "'%s' means nothing here; see conduit peers --help", argv[1]);
    return api_show("peers", &c, "/conduit/v1/peers", report_peers);
}
