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
    "                  exits 1 when nobody is found, 2 when it is no key\n"
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

/* The words that are no options, wherever options stand; `rest` gets what is left of argv without them. */
static int split(int argc, char **argv, char **words, char **rest)
{
    struct common c;
    int count = 0;
    memcpy(words, argv, ((size_t)argc + 1) * sizeof *argv);
    int n = common_take(&c, argc, words);
    for (int i = 0; i < argc; i++) {
        bool is_word = false;
        for (int j = 1; j < n; j++)
            is_word |= words[j] == argv[i];
        if (!is_word)
            rest[count++] = argv[i];
    }
    rest[count] = NULL;
    return n - 1;
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

/* Nobody, and no record: not found. */
static int verdict_of_get(const struct json *root)
{
    if (json_count(json_get(root, "peers")) || json_get(root, "record"))
        return EXIT_OK;
    if (json_is_str(json_get(root, "why"), "nobody_to_ask"))
        return api_failf("dht",
                         "nobody could be asked: this node knows no other that is there now; "
                         "conduit up --bootstrap tells it of one");
    if (json_get(root, "why"))
        return api_failf("dht", "not found, and not everybody answered; try again");
    return api_failf("dht", "not found: nobody stands behind that key now");
}

static int run(int words, char **word, int argc, char **argv)
{
    struct api_page page = {.help = help};
    char *path = NULL;
    if (words == 1 && strcmp(word[0], "status") == 0) {
        page.path = "/conduit/v1/dht/status";
        page.report = report_dht_status;
    } else if (words == 2 && strcmp(word[0], "get") == 0) {
        page.path = path = path_of(word[1]);
        page.report = report_dht_get;
        page.verdict = verdict_of_get;
        page.is_argument_checked_there = true;
    } else if (!has_word(argc, argv, "--help")) {
        return usage_error("dht", "get KEY, or status; see conduit dht --help");
    }
    int rc = api_show(argc, argv, &page);
    free(path);
    return rc;
}

int command_dht(int argc, char **argv)
{
    char **words = mem_array((size_t)argc + 1, sizeof *words);
    char **rest = mem_array((size_t)argc + 1, sizeof *rest);
    int count = split(argc, argv, words, rest), left = 0;
    while (rest[left])
        left++;
    int rc = count < 0 ? EXIT_USAGE : run(count, words + 1, left, rest);
    free(words);
    free(rest);
    return rc;
}
