// SPDX-License-Identifier: MIT
/* conduit status */
#include "api.h"

#include "node/report.h"

#include <stdio.h>

static const char help[] =
    "conduit status [--json] [--data-dir DIR | --api URL]: what the node is, serves and does\n"
    "\n"
    "  --json          the document as the node gave it (/conduit/v1/status)\n"
    "  --data-dir DIR  the node of that directory\n"
    "  --api URL       the node at that address, as http://127.0.0.1:8888/v1\n";

int command_status(int argc, char **argv)
{
    struct common c;
    argc = common_take(&c, argc, argv);
    if (c.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    if (argc > 1)
        return usage_error("status", "'%s' means nothing here; see conduit status --help", argv[1]);
    return api_show("status", &c, "/conduit/v1/status", report_status);
}
