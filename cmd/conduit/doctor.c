// SPDX-License-Identifier: MIT
/* conduit doctor: what stands in the way, and what to do about it.
 *
 *   this machine (ports, files, clock) --> a node's own view --> one report
 *                                           the one that runs, or one started for this, with the same options */
#include "api.h"
#include "borrow.h"

#include "base/mem.h"
#include "node/chat_text.h"
#include "node/config.h"
#include "node/doctor_local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static const char help[] =
    "conduit doctor [PEER] [--json] [OPTION of conduit up]…: what stands in the way, and what to "
    "do\n"
    "\n"
    "Looks at this machine, and at the node that runs, as it is; where none does, one is started "
    "for it\n"
    "with the same options, sharing nothing. Exit status 1 when something would stop the main "
    "job.\n"
    "\n"
    "  PEER    a peer id, a multiaddr, or host:port: why it can or cannot be reached, step by "
    "step\n"
    "  --json  one JSON document\n"
    "\n"
    "  conduit doctor\n"
    "  conduit doctor --bootstrap 192.0.2.1:8000 --backend http://127.0.0.1:11434/v1\n"
    "  conduit doctor /ip4/192.0.2.1/tcp/8000\n";

enum { PATIENCE_S = 150 }; /* four bootstrap addresses that swallow everything */

static bool is_running(const char *socket)
{
    struct api api;
    struct api_response r;
    struct api_request q = {.method = "GET", .path = "/conduit/v1/hello"};
    if (strlen(socket) >= 100 || api_init_socket(&api, "doctor", socket))
        return false;
    api_call(&api, &q, &r);
    bool there = r.err == 0;
    api_response_fini(&r);
    api_fini(&api);
    return there;
}

static int append_encoded(struct buf *b, const char *s)
{
    int err = 0;
    for (; *s && !err; s++)
        err = buf_printf(b,
                         strchr("/:.-_", *s) || (*s >= '0' && *s <= '9') ||
                                 ((*s | 32) >= 'a' && (*s | 32) <= 'z')
                             ? "%c"
                             : "%%%02X",
                         (unsigned char)*s);
    return err;
}

static const char *remedy_of(const struct api_response *r)
{
    if (r->err)
        return "restart it, and see its log";
    if (r->status == 400)
        return "give a peer id (12D3KooW…), a multiaddr (/ip4/192.0.2.1/tcp/8000) or host:port";
    if (r->status == 503)
        return "ask again in a minute";
    return "is it an older conduit? restart it";
}

/* It says why itself, or is something else than a node of today. */
static void no_report(struct doctor_report *report, const struct api_response *r)
{
    struct buf why;
    buf_init(&why, 0);
    if (!r->err && r->status != 200)
        chat_error_sentence(buf_view(&r->body), r->status, &why);
    else
        (void)buf_append_str(&why, r->err ? err_text(r->err) : "it answered something else");
    doctor_add(report, DOCTOR_FAIL, "node", remedy_of(r), "the node did not make its report: %.*s",
               BYTES_FMT(buf_view(&why)));
    buf_fini(&why);
}

/* What a node started for the report says of itself, from check `at` on: its line about sharing means nothing
 * where it was told to share nothing, nor how long it is up. */
static void as_borrowed(struct doctor_report *report, size_t at)
{
    static const char age[] = ", up for ";
    for (size_t i = at; i < report->count; i++) {
        struct doctor_check *c = &report->v[i];
        char *end = strcmp(c->name, "node") == 0 ? strstr(c->text, age) : NULL;
        if (end)
            snprintf(end, sizeof c->text - (size_t)(end - c->text),
                     ", started for this report with these options");
        if (strcmp(c->name, "sharing") != 0)
            continue;
        memmove(c, c + 1, (report->count - i - 1) * sizeof *c);
        report->count--;
    }
}

/* Options that only a node started with them could try. Those that say which node it is are none. */
static void not_tried(struct doctor_report *report, int argc, char **argv)
{
    static const char *const which[] = {"--data-dir", "--config", "--log-level"};
    char names[160] = "";
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        size_t len = strcspn(argv[i], "=");
        bool is_option = strncmp(argv[i], "--", 2) == 0;
        for (size_t k = 0; k < ARRAY_LEN(which); k++)
            is_option &= strlen(which[k]) != len || strncmp(argv[i], which[k], len) != 0;
        if (is_option && n < sizeof names)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%.*s", n ? ", " : "", (int)len,
                                  argv[i]);
    }
    if (n)
        doctor_add(report, DOCTOR_WARN, "options",
                   "stop it to try them, or name an empty --data-dir with "
                   "--p2p-port 0 --http-port 0; one address alone: conduit doctor ADDRESS",
                   "a node runs, and is asked as it is; not tried: %s", names);
}

/* The node's part of the report. */
static void ask_node(struct doctor_report *report, const char *socket, const char *peer,
                     bool is_borrowed)
{
    struct api api;
    struct api_response r;
    struct buf path;
    buf_init(&path, 2048);
    (void)buf_append_str(&path, "/conduit/v1/doctor");
    if (peer && (buf_append_str(&path, "?peer=") || append_encoded(&path, peer)))
        buf_clear(&path);
    (void)buf_append_byte(&path, 0);
    struct api_request q = {.method = "GET",
                            .path = (const char *)buf_view(&path).p,
                            .patience_us = PATIENCE_S * US_PER_S};
    if (api_init_socket(&api, "doctor", socket)) {
        buf_fini(&path);
        return;
    }
    api_call(&api, &q, &r);
    size_t before = report->count;
    if (r.err || r.status != 200 || doctor_report_read(report, buf_view(&r.body)))
        no_report(report, &r);
    if (is_borrowed)
        as_borrowed(report, before);
    api_response_fini(&r);
    api_fini(&api);
    buf_fini(&path);
}

static int print(const struct doctor_report *report, bool json, bool in_order)
{
    struct buf b;
    buf_init(&b, 0);
    if (json) {
        (void)doctor_report_json(report, &b);
        api_print_json(buf_view(&b));
    } else {
        doctor_report_print(report, in_order, &b);
        fwrite(buf_view(&b).p, 1, buf_view(&b).n, stdout);
    }
    buf_fini(&b);
    return report->has_failed ? EXIT_FAILED : EXIT_OK;
}

/* Asks the node that runs, or one started for it. An interrupt ends it. */
static int look(struct doctor_report *report, const char *dir, bool running, const char *peer,
                int argc, char **argv)
{
    char *socket = mem_printf("%s/control.sock", dir);
    struct borrowed b;
    int rc = 0;
    if (running) {
        ask_node(report, socket, peer, false);
    } else {
        while (option_take(&argc, argv, "share"))
            ;
        rc = borrow_up(&b, dir, argc - 1, argv + 1);
        if (rc == 0)
            ask_node(report, b.socket, peer, true);
        else if (rc == EXIT_FAILED)
            doctor_add(report, DOCTOR_FAIL, "start",
                       report->has_failed ? "see the other lines with FAIL; then ask again"
                                          : "correct the option or the file that it names, and ask "
                                            "again: conduit up will say the same",
                       "conduit up with these options: %s", b.why);
        borrow_stop(&b);
    }
    free(socket);
    return rc == EXIT_INTERRUPTED ? rc : 0;
}

static int run(const struct config *cfg, const char *peer, bool json, int argc, char **argv)
{
    struct doctor_report *report = MEM_NEW(struct doctor_report);
    char *dir = config_data_dir(cfg, environ), *socket = mem_printf("%s/control.sock", dir);
    bool running = is_running(socket);
    if (running)
        not_tried(report, argc, argv);
    if (!peer)
        doctor_local(report, cfg, dir, running);
    int rc = look(report, dir, running, peer, argc, argv);
    if (rc == 0)
        rc = print(report, json, peer != NULL);
    free(socket);
    free(dir);
    free(report);
    return rc;
}

int command_doctor(int argc, char **argv)
{
    struct config cfg;
    char why[CONFIG_WHY];
    bool json = option_take_flag(&argc, argv, "json");
    if (option_take_flag(&argc, argv, "help")) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    const char *peer = config_take_operand(&argc, argv);
    config_init(&cfg);
    int rc = config_load(&cfg, argc, argv, environ, why);
    int status = rc < 0 ? usage_error("doctor", "%s", why) : run(&cfg, peer, json, argc, argv);
    config_fini(&cfg);
    return status;
}
