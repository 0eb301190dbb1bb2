// SPDX-License-Identifier: MIT
/* conduit dht */
#include "api.h"

#include "base/mem.h"
#include "node/dht_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "conduit dht get KEY [--json] [--data-dir DIR]: who stands behind a key, and how it is there "
    "now\n"
    "conduit dht status [--json] [--data-dir DIR]: the routing table, and what is kept for others\n"
    "\n"
    "  KEY             model:NAME, protocol:openai, all_nodes: those who provide it, with model, "
    "load,\n"
    "                  tokens/s, uptime and when they were last heard; asked of the nodes "
    "themselves\n"
    "                  node:PEER-ID: one node, and its signed record\n"
    "  --json          the document as the node gave it\n"
    "  --data-dir DIR  the node of that directory\n"
    "\n"
    "  conduit dht get model:conduit-tiny\n"
    "  conduit dht get all_nodes --json\n";

/* As it stands in a query; names of models may be any text. */
static char *path_of(const char *key)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-";
    struct buf b;
    buf_init(&b, 0);
    (void)buf_append_str(&b, "/conduit/v1/dht/get?key=");
    for (; *key; key++)
        (void)buf_printf(&b, strchr(fine, *key) ? "%c" : "%%%02X", (unsigned char)*key);
    return buf_take_str(&b);
}

int command_dht(int argc, char **argv)
{
    struct api_page page = {.help = help};
    char *path = NULL;
    int rest = 2;
    if (argc > 1 && strcmp(argv[1], "status") == 0) {
        page.path = "/conduit/v1/dht/status";
        page.report = report_dht_status;
    } else if (argc > 2 && strcmp(argv[1], "get") == 0 && argv[2][0] != '-') {
        page.path = path = path_of(argv[2]);
        page.report = report_dht_get;
        rest = 3;
    } else if (argc > 1 &&
               (strcmp(argv[1], "--help") == 0 || strcmp(argv[argc - 1], "--help") == 0)) {
        fputs(help, stdout);
        return EXIT_OK;
    } else {
        return usage_error("dht", "get KEY, or status; see conduit dht --help");
    }
    argv[rest - 1] = argv[0];
    int rc = api_show(argc - rest + 1, argv + rest - 1, &page);
    free(path);
    return rc;
}
