// SPDX-License-Identifier: MIT
/* conduit models */
#include "api.h"

#include "node/report.h"

static const char help[] =
    "conduit models [--json] [--data-dir DIR | --api URL]: the models that can be asked now: yours "
    "and your peers'\n"
    "\n"
    "  --json          the document as the node gave it (/v1/models)\n"
    "  --data-dir DIR  the node of that directory\n"
    "  --api URL       the node at that address, as http://127.0.0.1:8888/v1\n";

int command_models(int argc, char **argv)
{
    static const struct api_page page = {help, "/v1/models", report_models};
    return api_show(argc, argv, &page);
}
