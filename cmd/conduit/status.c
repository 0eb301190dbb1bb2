// SPDX-License-Identifier: MIT
/* conduit status */
#include "api.h"

#include "node/report.h"

static const char help[] =
    "conduit status [--limits] [--json] [--data-dir DIR | --api URL]: what the node is, serves and "
    "does\n"
    "\n"
    "  --limits        every limit, what is used of it (of peers, addresses and connections by "
    "the\n"
    "                  fullest one), and how often it was reached\n"
    "  --json          the document as the node gave it (/conduit/v1/status, …/limits)\n"
    "  --data-dir DIR  the node of that directory\n"
    "  --api URL       the node at that address, as http://127.0.0.1:8888/v1\n";

int command_status(int argc, char **argv)
{
    static const struct api_page status = {help, "/conduit/v1/status", report_status},
                                 limits = {help, "/conduit/v1/limits", report_limits};
    bool wants_limits = option_take_flag(&argc, argv, "limits");
    return api_show(argc, argv, wants_limits ? &limits : &status);
}
