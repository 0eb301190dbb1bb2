// SPDX-License-Identifier: MIT
/* conduit models */
#include "api.h"

#include "node/report.h"

#include <stdio.h>

static const char help[] =
    "conduit models [--json] [--data-dir DIR | --api URL]: the models that can be asked now: yours "
    "and your peers'\n"
    "\n"
    "  --json          the document as the node gave it (/v1/models)\n"
    "  --data-dir DIR  the node of that directory\n"
    "  --api URL       the node at that address, as http://127.0.0.1:8888/v1\n";

int command_models(int argc, char **argv)
{
    struct common c;
    argc = common_take(&c, argc, argv);
    if (c.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    if (argc > 1)
        return usage_error("models", "'%s' means nothing here; see conduit models --help", argv[1]);
    return api_show("models", &c, "/v1/models", report_models);
}
