// SPDX-License-Identifier: MIT
/* conduit status */
#include "api.h"

#include "node/report.h"

static const char help[] =
    "conduit status [--json] [--data-dir DIR | --api URL]: what the node is, serves and does\n"
    "\n"
    "  --json          the document as the node gave it (/conduit/v1/status)\n"
    "  --data-dir DIR  the node of that directory\n"
    "  --api URL       the node at that address, as http://127.0.0.1:8888/v1\n";

int command_status(int argc, char **argv)
{
    static const struct api_page page = {help, "/conduit/v1/status", report_status};
    return api_show(argc, argv, &page);
}
