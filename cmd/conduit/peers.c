// SPDX-License-Identifier: MIT
/* conduit peers */
#include "api.h"

#include "node/report.h"

static const char help[] =
    "conduit peers [--json] [--data-dir DIR | --api URL]: the peers that are connected, their "
    "addresses and what they offer\n"
    "\n"
    "  --json          the document as the node gave it (/conduit/v1/peers)\n"
    "  --data-dir DIR  the node of that directory\n"
    "  --api URL       the node at that address, as http://127.0.0.1:8888/v1\n";

int command_peers(int argc, char **argv)
{
    static const struct api_page page = {help, "/conduit/v1/peers", report_peers};
    return api_show(argc, argv, &page);
}
