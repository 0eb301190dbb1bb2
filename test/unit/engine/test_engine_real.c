// SPDX-License-Identifier: MIT
/* The engine with real parts: the sandbox around a program that tries to get out, and a real
 * llama-server on conduit-tiny, killed in the middle. Skipped by name where they are not there.
 *
 * This program is also what runs inside: "engine-exec …" enters the sandbox, "probe …" tries things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/trace.h"
#include "engine/engine.h"
#include "engine/find.h"
#include "engine/sandbox.h"
#include "http/client_shell.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char model_file[] = "models/conduit-tiny.gguf";

/* --- inside the sandbox --- */
static char deny(bool did)
{
    return did ? 'Y' : 'n';
}

/* Prints a letter per attempt: Y it worked, n it was refused. */
static int probe(const char *secret, const char *dir)
{
    char path[512], out[16];
    int n = 0;
    out[n++] = deny(open(secret, O_RDONLY) >= 0);
    out[n++] = deny(open(secret, O_WRONLY) >= 0);
    out[n++] = deny(unlink(secret) == 0);
    out[n++] = deny(socket(AF_INET, SOCK_STREAM, 0) >= 0);
    out[n++] = deny(socket(AF_INET6, SOCK_DGRAM, 0) >= 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s/../control.sock", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    out[n++] = deny(connect(fd, (struct sockaddr *)&un, sizeof un) == 0);
    out[n++] = deny(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
    out[n++] = deny(kill(getppid(), SIGUSR1) == 0);
    out[n++] = deny(open("/etc/passwd", O_RDONLY) >= 0);
    /* And what it must be able to do. */
    snprintf(un.sun_path, sizeof un.sun_path, "%s/own.sock", dir);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    out[n++] = deny(bind(fd, (struct sockaddr *)&un, sizeof un) == 0 && listen(fd, 1) == 0);
    out[n++] = deny(open("/proc/self/maps", O_RDONLY) >= 0);
    out[n++] = '\n';
    snprintf(path, sizeof path, "%s/result", dir);
    int to = open(path, O_WRONLY | O_CREAT, 0600);
    _exit(to >= 0 && write(to, out, (size_t)n) == n ? 0 : 1);
}

static void sandbox_holds(void **state)
{
    char base[] = "/tmp/conduit-box-XXXXXX", dir[64], secret[64], self[512], parent[16],
         text[32] = "";
    assert_non_null(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/rw", base);
    snprintf(secret, sizeof secret, "%s/identity.key", base);
    assert_int_equal(mkdir(dir, 0700), 0);
    int fd = open(secret, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "key", 3), 3);
    close(fd);
    self[readlink("/proc/self/exe", self, sizeof self - 1)] = 0;
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    /* A listener that the child must not reach. */
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s/control.sock", base);
    int control = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(control, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(control, 4), 0);
    signal(SIGUSR1, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "engine-exec", "--parent", parent, "--ro", self, "--rw", dir, "--", self,
              "probe", secret, dir, (char *)NULL);
        _exit(99);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    char result[80], cmd[80];
    snprintf(result, sizeof result, "%s/result", dir);
    FILE *f = fopen(result, "r");
    if (!f)
        fail_msg("the probe did not run (status %x)", status);
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    close(control);
    /* read, write, unlink, inet, inet6, connect, ptrace, kill, passwd | own socket, own maps */
    assert_string_equal(text, "nnnnnnnnnYY\n");
    snprintf(cmd, sizeof cmd, "rm -r %s", base);
    assert_int_equal(system(cmd), 0);
}

/* The child of a parent that is gone does not start. */
static void sandbox_needs_its_parent(void **state)
{
    char self[512];
    self[readlink("/proc/self/exe", self, sizeof self - 1)] = 0;
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "engine-exec", "--parent", "1", "--", "/bin/true", (char *)NULL);
        _exit(99);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 125);
}

/* --- a world with an engine --- */
struct world {
    struct loop *loop;
    struct http_net *net;
    struct http_client *client;
    struct http_pool *pool;
    struct engine *engine;
    char dir[64];
    struct timer limit;
    bool is_late;
};

static void on_limit(struct timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, limit);
    w->is_late = true;
    loop_stop(w->loop);
}

static void world_open(struct world *w)
{
    char why[512];
    memset(w, 0, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/conduit-engine-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->loop = loop_uv_new();
    struct http_net_options no = {0};
    assert_int_equal(http_net_new(w->loop, &no, &w->net, why), 0);
    w->client = http_client_new(loop_sched(w->loop));
    struct http_pool_config pc = {.client = w->client,
                                  .sched = loop_sched(w->loop),
                                  .dialer = http_net_dialer(),
                                  .dialer_ctx = w->net};
    w->pool = http_pool_new(&pc);
    struct engine_config ec = {.loop = w->loop,
                               .client = w->client,
                               .pool = w->pool,
                               .data_dir = w->dir,
                               .llama = {.parallel = 2, .threads = 1}};
    w->engine = engine_new(&ec);
    timer_init(&w->limit, on_limit);
}

static void world_close(struct world *w)
{
    char cmd[128];
    timer_clear(loop_sched(w->loop), &w->limit);
    engine_free(w->engine);
    http_pool_free(w->pool);
    http_client_free(w->client);
    http_net_free(w->net);
    loop_free(w->loop);
    snprintf(cmd, sizeof cmd, "rm -rf %s", w->dir);
    assert_int_equal(system(cmd), 0);
}

/* Turns the loop until `is_true`, at most 30 s. */
struct watch {
    struct timer timer;
    struct world *w;
    bool (*is_true)(void *ctx);
    void *ctx;
};

static void on_watch(struct timer *t)
{
    struct watch *x = CONTAINER_OF(t, struct watch, timer);
    if (x->is_true(x->ctx))
        loop_stop(x->w->loop);
    else
        timer_after(loop_sched(x->w->loop), t, 5 * US_PER_MS);
}

static void wait_for(struct world *w, bool (*is_true)(void *ctx), void *ctx, const char *what)
{
    struct watch x = {.w = w, .is_true = is_true, .ctx = ctx};
    timer_init(&x.timer, on_watch);
    timer_after(loop_sched(w->loop), &x.timer, 0);
    timer_after(loop_sched(w->loop), &w->limit, 30 * US_PER_S);
    loop_run(w->loop);
    timer_clear(loop_sched(w->loop), &w->limit);
    timer_clear(loop_sched(w->loop), &x.timer);
    if (w->is_late)
        fail_msg("waited in vain until %s", what);
}

/* --- asking it --- */
struct ask {
    struct engine_ticket ticket;
    struct world *w;
    const char *path, *body;
    struct http_call *call;
    struct buf text;
    int status, err;
    bool is_granted, is_done, stops_at_way;
};

static void ask_head(void *ctx, const struct http_head *head)
{
    ((struct ask *)ctx)->status = head->status;
}

static void ask_body(void *ctx, struct bytes piece)
{
    buf_append_bytes(&((struct ask *)ctx)->text, piece);
}

static void ask_done(void *ctx, const struct http_call_result *r)
{
    struct ask *a = ctx;
    a->err = r->err;
    a->is_done = true;
}

static void ask_ready(struct engine_ticket *t, int err, const struct engine_way *way)
{
    static const struct http_call_events on = {NULL, ask_head, ask_body, ask_done};
    struct ask *a = CONTAINER_OF(t, struct ask, ticket);
    char target[256];
    a->is_granted = err == 0;
    if (err || a->stops_at_way) {
        a->err = err;
        a->is_done = true;
        if (!err && way->stream)
            stream_close(way->stream);
        return;
    }
    snprintf(target, sizeof target, "%s%s", way->base_path, a->path);
    struct bytes body = bytes_str(a->body);
    struct http_request req = {.method = "POST",
                               .target = bytes_str(target),
                               .host = bytes_str(way->host),
                               .headers = way->headers,
                               .header_count = way->header_count,
                               .body = &body,
                               .body_count = 1};
    a->call = way->stream ? http_call_open(a->w->client, way->stream, &req, &on, a, &err)
                          : http_pool_call(a->w->pool, way->origin, &req, &on, a, &err);
    assert_non_null(a->call);
}

static void ask_start(struct world *w, struct ask *a, const char *model)
{
    a->w = w;
    a->ticket.ready = ask_ready;
    engine_acquire(w->engine, &a->ticket, bytes_str(model));
}

static bool is_done(void *ctx)
{
    return ((struct ask *)ctx)->is_done;
}

static bool has_some(void *ctx)
{
    return buf_len(&((struct ask *)ctx)->text) > 0 || ((struct ask *)ctx)->is_done;
}

static void ask_end(struct ask *a)
{
    engine_release(a->w->engine, &a->ticket);
    buf_fini(&a->text);
}

static const char *text_of(struct ask *a)
{
    buf_append_byte(&a->text, 0);
    return (const char *)buf_view(&a->text).p;
}

static bool is_ready(void *ctx)
{
    const struct engine_model *m = engine_model_at(((struct world *)ctx)->engine, 0);
    return m && m->is_ready;
}

static bool is_not_ready(void *ctx)
{
    return !is_ready(ctx);
}

static bool is_ready_with_digest(void *ctx)
{
    return is_ready(ctx) && engine_model_at(((struct world *)ctx)->engine, 0)->digest[0];
}

/* --- echo needs nothing installed --- */
static void echo_answers(void **state)
{
    struct world w;
    char why[ENGINE_WHY];
    world_open(&w);
    assert_int_equal(engine_add_backend(w.engine, "say=echo:", NULL, NULL, why), 0);
    struct ask a = {.path = "/chat/completions",
                    .body = "{\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                            "\"messages\":[{\"role\":\"user\",\"content\":\"one two\"}]}"};
    ask_start(&w, &a, "say");
    wait_for(&w, is_done, &a, "echo has answered");
    const char *t = text_of(&a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(t, "\"content\":\"one\""));
    assert_non_null(strstr(t, "\"content\":\" two\""));
    assert_non_null(strstr(t, "\"finish_reason\":\"stop\""));
    assert_non_null(strstr(t, "\"total_tokens\":4"));
    assert_non_null(strstr(t, "data: [DONE]\n\n"));
    ask_end(&a);
    struct ask b = {.path = "/embeddings", .body = "{\"input\":[\"a\",\"b\"]}"};
    ask_start(&w, &b, "say");
    wait_for(&w, is_done, &b, "echo has embedded");
    assert_non_null(strstr(text_of(&b), "\"index\":1"));
    ask_end(&b);
    struct ask c = {.path = "/chat/completions", .body = "{"};
    ask_start(&w, &c, "say");
    wait_for(&w, is_done, &c, "echo has refused");
    assert_int_equal(c.status, 400);
    ask_end(&c);
    struct ask d = {.path = "/x", .body = "{}"};
    ask_start(&w, &d, "nobody");
    wait_for(&w, is_done, &d, "an unknown model is refused");
    assert_int_equal(d.err, E_NOT_FOUND);
    ask_end(&d);
    assert_int_equal(engine_add_backend(w.engine, "echo:?speed=9", NULL, NULL, why), E_INVALID);
    assert_non_null(strstr(why, "speed"));
    assert_int_equal(engine_add_backend(w.engine, "replay:/nonexistent", NULL, NULL, why),
                     E_NOT_FOUND);
    world_close(&w);
}

static void replay_answers(void **state)
{
    struct world w;
    char why[ENGINE_WHY], path[128], spec[160];
    world_open(&w);
    snprintf(path, sizeof path, "%s/tape.sse", w.dir);
    FILE *f = fopen(path, "w");
    fputs("data: {\"a\":1}\n\n: wait 30\ndata: {\"b\":\": wait 5\"}\n\n", f);
    fclose(f);
    snprintf(spec, sizeof spec, "tape=replay:%s", path);
    assert_int_equal(engine_add_backend(w.engine, spec, NULL, NULL, why), 0);
    struct ask a = {.path = "/chat/completions", .body = "{}"};
    uint64_t from = sched_now(loop_sched(w.loop));
    ask_start(&w, &a, "tape");
    wait_for(&w, is_done, &a, "the recording is over");
    assert_string_equal(text_of(&a), "data: {\"a\":1}\n\ndata: {\"b\":\": wait 5\"}\n\n");
    assert_true(sched_now(loop_sched(w.loop)) - from >= 30 * US_PER_MS);
    ask_end(&a);
    world_close(&w);
}

/* --- llama-server --- */
static bool need_llama(void)
{
    enum find_source source;
    char why[512];
    char *path = engine_find(NULL, NULL, &source, why, sizeof why);
    free(path);
    if (!path)
        print_message("no llama-server is installed (make engine)\n");
    else if (access(model_file, R_OK) != 0)
        print_message("%s is not there\n", model_file);
    return path && access(model_file, R_OK) == 0;
}

static const char chat_body[] = "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
                                "\"What is the capital of France?\"}],"
                                "\"max_tokens\":32,\"temperature\":0}";

static void llama_answers_and_is_restarted(void **state)
{
    struct world w;
    char why[ENGINE_WHY], spec[128];
    if (!need_llama())
        skip();
    world_open(&w);
    snprintf(spec, sizeof spec, "tiny=%s", model_file);
    if (engine_add_gguf(w.engine, spec, why) != 0)
        fail_msg("%s", why);
    wait_for(&w, is_ready_with_digest, &w, "the model is ready");
    const struct engine_model *m = engine_model_at(w.engine, 0);
    assert_int_equal(m->slots, 2);
    assert_true(m->ctx > 0);
    assert_int_equal(strlen(m->digest), 64);
    assert_ptr_equal(engine_model_find(w.engine, bytes_str("conduit-tiny")), m);
    struct ask a = {.path = "/chat/completions", .body = chat_body};
    ask_start(&w, &a, "tiny");
    wait_for(&w, is_done, &a, "it has answered");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(text_of(&a), "[DONE]"));
    ask_end(&a);
    struct ask e = {.path = "/embeddings", .body = "{\"input\":\"hello\"}"};
    ask_start(&w, &e, "tiny");
    wait_for(&w, is_done, &e, "it has embedded");
    assert_int_equal(e.status, 200);
    ask_end(&e);

    /* Never more requests than slots: the third waits, and is let in by the first that leaves. */
    struct ask three[3] = {{.stops_at_way = true}, {.stops_at_way = true}, {.stops_at_way = true}};
    for (int i = 0; i < 3; i++)
        ask_start(&w, &three[i], "tiny");
    wait_for(&w, is_done, &three[1], "two have slots");
    assert_true(three[0].is_granted && three[1].is_granted && !three[2].is_done);
    assert_int_equal(engine_model_at(w.engine, 0)->waiting, 1);
    engine_release(w.engine, &three[0].ticket);
    wait_for(&w, is_done, &three[2], "the third has its slot");
    engine_release(w.engine, &three[1].ticket);
    engine_release(w.engine, &three[2].ticket);
    assert_int_equal(engine_model_at(w.engine, 0)->busy, 0);

    /* Killed in the middle of an answer: the answer breaks off, and it comes back. */
    struct ask k = {
        .path = "/completions",
        .body = "{\"stream\":true,\"prompt\":\"a\",\"max_tokens\":2000,\"ignore_eos\":true}"};
    ask_start(&w, &k, "tiny");
    wait_for(&w, has_some, &k, "the answer has begun");
    char cmd[160];
    snprintf(cmd, sizeof cmd, "kill -9 $(ps -o pid= --ppid %d | head -n 1)", (int)getpid());
    assert_int_equal(system(cmd), 0);
    wait_for(&w, is_done, &k, "the answer has broken off");
    assert_int_not_equal(k.err, 0);
    ask_end(&k);
    wait_for(&w, is_not_ready, &w, "its death is noticed");
    wait_for(&w, is_ready, &w, "it is back");
    struct ask again = {.path = "/chat/completions", .body = chat_body};
    ask_start(&w, &again, "tiny");
    wait_for(&w, is_done, &again, "it has answered again");
    assert_int_equal(again.status, 200);
    ask_end(&again);
    world_close(&w);
}

static void set_true(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

static void llama_stops(void **state)
{
    struct world w;
    char why[ENGINE_WHY];
    bool stopped = false;
    if (!need_llama())
        skip();
    world_open(&w);
    assert_int_equal(engine_add_gguf(w.engine, model_file, why), 0);
    wait_for(&w, is_ready, &w, "the model is ready");
    engine_stop(w.engine, set_true, &stopped);
    wait_for(&w, is_set, &stopped, "it has stopped");
    assert_false(engine_model_at(w.engine, 0)->is_ready);
    world_close(&w);
}

static void bad_gguf_has_a_sentence(void **state)
{
    struct world w;
    char why[ENGINE_WHY], path[128];
    world_open(&w);
    snprintf(path, sizeof path, "%s/bad.gguf", w.dir);
    FILE *f = fopen(path, "w");
    fputs("not a model", f);
    fclose(f);
    assert_int_equal(engine_add_gguf(w.engine, path, why), E_MALFORMED);
    assert_non_null(strstr(why, "bad.gguf: it does not begin with GGUF"));
    assert_int_equal(engine_model_count(w.engine), 0);
    world_close(&w);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "engine-exec") == 0)
        return engine_exec_main(argc - 1, argv + 1);
    if (argc > 3 && strcmp(argv[1], "probe") == 0)
        return probe(argv[2], argv[3]);
    trace_set_all(getenv("ENGINE_TRACE") ? TRACE_DEBUG : TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sandbox_holds),
        cmocka_unit_test(sandbox_needs_its_parent),
        cmocka_unit_test(echo_answers),
        cmocka_unit_test(replay_answers),
        cmocka_unit_test(bad_gguf_has_a_sentence),
        cmocka_unit_test(llama_answers_and_is_restarted),
        cmocka_unit_test(llama_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
