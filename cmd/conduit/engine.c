// SPDX-License-Identifier: MIT
/* conduit engine install|version: the llama-server that serves GGUF files. And `engine-exec`, the
 * program that a node starts instead of llama-server: it puts itself into the sandbox and becomes
 * it. */
#include "api.h"

#include "codec/json.h"
#include "engine/find.h"
#include "engine/sandbox.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "conduit engine version|install [--json] [--llama-server PATH]\n"
    "\n"
    "  version              which llama-server serves GGUF files here, and its version\n"
    "  install              get one: finds it, or fetches it once into the cache; no root needed\n"
    "  --llama-server PATH  look at this one; else CONDUIT_LLAMA_SERVER, PATH, the cache\n"
    "  --json               one object: path, source, build, version\n"
    "\n"
    "Exit: 0 there is one that is new enough, 1 there is none.\n";

enum { SENTENCE = 512 };

static const char *source_text(enum find_source s)
{
    static const char *const texts[] = {
        [FIND_NONE] = "none", [FIND_GIVEN] = "given", [FIND_PATH] = "PATH", [FIND_CACHE] = "cache"};
    return texts[s];
}

static void print_engine(const char *path, enum find_source source, unsigned build,
                         const char *line, bool json)
{
    struct buf b;
    if (!json) {
        printf("%s\n%s\n", path, line);
        return;
    }
    buf_init(&b, 0);
    struct json_writer w = json_write(&b);
    json_open_object(&w);
    json_member_str(&w, "path", path);
    json_member_str(&w, "source", source_text(source));
    json_member_u64(&w, "build", build);
    json_member_str(&w, "version", line);
    json_close_object(&w);
    api_print_json(buf_view(&b));
    buf_fini(&b);
}

static int show_version(const char *given, bool json)
{
    struct engine_server s;
    char why[SENTENCE] = "";
    if (engine_choose(given, NULL, &s, why, sizeof why) != 0)
        return api_failf("engine", "%s", why);
    print_engine(s.path, s.source, s.build, s.line, json);
    free(s.path);
    return EXIT_OK;
}

/* The installer's progress and reasons are on stderr already. */
static int install(bool json)
{
    return engine_install() == 0 ? show_version(NULL, json) : EXIT_FAILED;
}

int command_engine(int argc, char **argv)
{
    struct common c;
    argc = common_take(&c, argc, argv);
    const char *given = option_take(&argc, argv, "llama-server");
    if (c.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    if (argc == 2 && strcmp(argv[1], "version") == 0)
        return show_version(given, c.json);
    if (argc == 2 && strcmp(argv[1], "install") == 0 && !given)
        return install(c.json);
    return usage_error("engine", "say 'install' or 'version'; see conduit engine --help");
}

int command_engine_exec(int argc, char **argv)
{
    return engine_exec_main(argc, argv);
}
