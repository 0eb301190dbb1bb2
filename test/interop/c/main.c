// SPDX-License-Identifier: MIT
/* Lines of JSON in, lines of JSON out; see peer.h and ../README.md. */
#include "peer.h"

#include "base/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- jobs --- */

static struct buf answer;
static struct json_writer writer;

struct json_writer *job_ok(struct job *j)
{
    buf_clear(&answer);
    writer = json_write(&answer);
    json_open_object(&writer);
    json_member_u64(&writer, "id", j->id);
    json_member_bool(&writer, "ok", true);
    return &writer;
}

static void print_answer(void)
{
    json_close_object(&writer);
    fwrite(buf_view(&answer).p, 1, buf_len(&answer), stdout);
    fputc('\n', stdout);
    fflush(stdout);
}

static void job_free(struct job *j)
{
    timer_clear(j->app->sched, &j->timer);
    list_remove(&j->link);
    json_free(j->doc);
    free(j);
}

void job_end(struct job *j)
{
    print_answer();
    job_free(j);
}

void job_fail(struct job *j, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_clear(&answer);
    writer = json_write(&answer);
    json_open_object(&writer);
    json_member_u64(&writer, "id", j->id);
    json_member_bool(&writer, "ok", false);
    json_member_str(&writer, "error", text);
    print_answer();
    job_free(j);
}

double job_ms(const struct job *j)
{
    return (double)(sched_now(j->app->sched) - j->started_us) / 1000.0;
}

uint64_t job_u64(const struct job *j, const char *key)
{
    uint64_t v = 0;
    json_u64(json_get(j->args, key), &v);
    return v;
}

static void connected(struct p2p_connect *c, int err, const struct peer_id *peer, const char *why)
{
    struct job *j = CONTAINER_OF(c, struct job, connect);
    if (err)
        job_fail(j, "%s", why[0] ? why : err_text(err));
    else
        j->then(j);
}

void job_connect(struct job *j, void (*then)(struct job *j))
{
    j->then = then;
    j->connect = (struct p2p_connect){
        .peer = &j->peer,
        .addrs = &j->addr_view,
        .addr_count = 1,
        .timeout_us = JOB_US,
        .is_urgent = true,
        .done = connected,
    };
    p2p_host_connect(j->app->host, &j->connect);
}

void job_open(struct job *j, struct p2p_open *open, const char *protocol,
              void (*done)(struct p2p_open *r, int err, struct stream *s))
{
    *open = (struct p2p_open){
        .peer = j->peer,
        .addrs = &j->addr_view,
        .addr_count = j->addr.n ? 1 : 0,
        .protocol = protocol,
        .timeout_us = JOB_US,
        .is_urgent = true,
        .done = done,
    };
    p2p_host_open(j->app->host, open);
}

/* --- waiting for what the host tells --- */

static bool is_fulfilled(const struct job *j)
{
    struct p2p_peer_view v;
    bool is_there = p2p_host_peer(j->app->host, &j->peer, &v);
    if (j->wait == WAIT_GONE)
        return !is_there;
    if (j->wait == WAIT_PLACE)
        return reach_has_place(j->app, &j->peer);
    if (j->wait == WAIT_REACH)
        return reach_is_told(j->app);
    return is_there && v.record && v.record->is_identified && (v.observed.n || v.is_relayed);
}

static void check(struct job *j)
{
    if (!is_fulfilled(j))
        return;
    list_remove(&j->link);
    timer_clear(j->app->sched, &j->timer);
    j->wait = WAIT_NOTHING;
    j->then(j);
}

void app_check(struct app *a)
{
    LIST_FOREACH_SAFE (&a->waiting, it)
        check(LIST_ENTRY(it, struct job, link));
}

static void waited_too_long(struct timer *t)
{
    job_fail(CONTAINER_OF(t, struct job, timer), "it did not happen within 10 s");
}

void job_wait(struct job *j, enum job_wait what, void (*then)(struct job *j))
{
    j->wait = what;
    j->then = then;
    list_append(&j->app->waiting, &j->link);
    timer_init(&j->timer, waited_too_long);
    timer_after(j->app->sched, &j->timer, 10 * US_PER_S);
    check(j);
}

static void peer_gone(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    app_check(CONTAINER_OF(w, struct app, watch));
}

static void peer_identified(struct p2p_watch *w, const struct known_peer *peer)
{
    struct app *a = CONTAINER_OF(w, struct app, watch);
    kad_identified(a, peer);
    app_check(a);
}

/* --- commands --- */

static void dialled(struct job *j)
{
    char text[PEER_ID_TEXT];
    struct json_writer *w = job_ok(j);
    json_member_str(w, "peer", peer_id_text(&j->peer, text, sizeof text));
    json_member_double(w, "ms", job_ms(j));
    job_end(j);
}

static void cmd_dial(struct job *j)
{
    job_connect(j, dialled);
}

static void closed(struct job *j)
{
    job_ok(j);
    job_end(j);
}

static void cmd_close(struct job *j)
{
    p2p_host_disconnect(j->app->host, &j->peer);
    job_wait(j, WAIT_GONE, closed);
}

static void pinged(struct p2p_ping *p, int err, uint64_t rtt_us)
{
    struct job *j = CONTAINER_OF(p, struct job, ping);
    if (err) {
        job_fail(j, "ping: %s", err_text(err));
        return;
    }
    json_member_double(job_ok(j), "ms", (double)(rtt_us ? rtt_us : 1) / 1000.0);
    job_end(j);
}

static void cmd_ping(struct job *j)
{
    j->ping = (struct p2p_ping){
        .open = {.peer = j->peer, .addrs = &j->addr_view, .addr_count = 1, .is_urgent = true},
        .done = pinged,
    };
    p2p_host_ping(j->app->host, &j->ping);
}

static void identified(struct job *j)
{
    char text[512];
    struct p2p_peer_view v;
    p2p_host_peer(j->app->host, &j->peer, &v);
    struct json_writer *w = job_ok(j);
    json_member_str(w, "peer", peer_id_text(&j->peer, text, sizeof text));
    json_member_str(w, "agent", v.record->agent);
    json_member_str(w, "protocolVersion", v.record->version);
    json_member_str(w, "observedAddr", multiaddr_text(v.observed, text, sizeof text));
    json_key(w, "protocols");
    json_open_array(w);
    for (size_t i = 0; known_peer_protocol(v.record, i); i++)
        json_put_str(w, known_peer_protocol(v.record, i));
    json_close_array(w);
    json_key(w, "listenAddrs");
    json_open_array(w);
    for (size_t i = 0; i < v.record->addr_count; i++)
        json_put_str(w, multiaddr_text(bytes_of(v.record->addrs[i].p, v.record->addrs[i].n), text,
                                       sizeof text));
    json_close_array(w);
    job_end(j);
}

static void await_identify(struct job *j)
{
    job_wait(j, WAIT_IDENTIFIED, identified);
}

static void cmd_identify(struct job *j)
{
    job_connect(j, await_identify);
}

static void cmd_quit(struct job *j)
{
    job_ok(j);
    print_answer();
    exit(0);
}

static const struct {
    const char *name;
    bool needs_addr;
    void (*run)(struct job *j);
} commands[] = {
    {"dial", true, cmd_dial},
    {"close", true, cmd_close},
    {"ping", true, cmd_ping},
    {"identify", true, cmd_identify},
    {"echo", true, cmd_echo},
    {"bulk", true, cmd_bulk},
    {"connect1", true, cmd_connect1},
    {"http", true, cmd_http},
    {"http1", true, cmd_http1},
    {"sse", true, cmd_sse},
    {"kad_add", true, cmd_kad_add},
    {"find_node", false, cmd_find_node},
    {"provide", false, cmd_provide},
    {"find_providers", false, cmd_find_providers},
    {"reserve", true, cmd_reserve},
    {"conns", true, cmd_conns},
    {"autonat", true, cmd_autonat},
    {"mdns_peers", false, cmd_mdns_peers},
    {"quit", false, cmd_quit},
};

static bool take_addr(struct job *j)
{
    struct bytes text = json_get_str(j->args, "addr");
    return text.n && multiaddr_parse(text, &j->addr) == 0 &&
           multiaddr_peer(multiaddr_bytes(&j->addr), &j->peer) == 0;
}

static void run_line(struct app *a, struct bytes line)
{
    struct job *j = MEM_NEW(struct job);
    j->app = a;
    j->started_us = sched_now(a->sched);
    list_init(&j->link);
    if (json_parse(line, MIB * 16, &j->doc, NULL) != 0) {
        job_fail(j, "not JSON");
        return;
    }
    j->args = json_root(j->doc);
    j->id = job_u64(j, "id");
    bool has_addr = take_addr(j);
    j->addr_view = multiaddr_bytes(&j->addr);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (!json_is_str(json_get(j->args, "cmd"), commands[i].name))
            continue;
        if (commands[i].needs_addr && !has_addr)
            job_fail(j, "no addr with /p2p/");
        else
            commands[i].run(j);
        return;
    }
    job_fail(j, "unknown command");
}

/* --- lines, read by a worker, since the loop has no files --- */

static struct {
    struct loop_work work;
    struct app *app;
    char *line;
    size_t cap;
    ssize_t n;
} input;

static void read_line(struct loop_work *w)
{
    input.n = getline(&input.line, &input.cap, stdin);
}

static void line_read(struct loop_work *w, int err)
{
    if (err || input.n < 0)
        exit(0);
    run_line(input.app, bytes_of(input.line, (size_t)input.n));
    loop_work(input.app->loop, &input.work);
}

/* --- start --- */

static void print_ready(struct app *a)
{
    char text[512];
    buf_clear(&answer);
    writer = json_write(&answer);
    json_open_object(&writer);
    json_member_str(&writer, "event", "ready");
    json_member_str(&writer, "lang", "conduit");
    json_member_str(&writer, "version", "conduit 0.1.0");
    json_member_str(&writer, "peer", peer_id_text(p2p_host_id(a->host), text, sizeof text));
    json_key(&writer, "addrs");
    json_open_array(&writer);
    for (size_t i = 0; p2p_host_addr_text(a->host, i, text, sizeof text)[0]; i++)
        json_put_str(&writer, text);
    json_close_array(&writer);
    print_answer();
}

/* The tests are strangers that want much; what bounds strangers has tests of its own. */
static struct p2p_host_cfg generous(const struct key_pair *key)
{
    struct p2p_host_cfg cfg = p2p_host_cfg_default(key);
    cfg.conn.max_inbound_stranger = 1024;
    cfg.conn.max_outbound_unknown = 256;
    cfg.conn.keepalive.busy_dead_us = 8 * US_PER_S; /* a loaded machine, a garbage collector */
    return cfg;
}

/* kubo's swarm.key. */
static const struct pnet_key *read_network(const char *path, struct pnet_key *out)
{
    uint8_t file[256];
    const char *why = "cannot be read";
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(file, 1, sizeof file, f) : 0;
    if (f)
        fclose(f);
    if (!f || pnet_key_read(bytes_of(file, n), out, &why) != 0) {
        fprintf(stderr, "%s: %s\n", path, why);
        exit(1);
    }
    return out;
}

static struct options read_options(int argc, char **argv)
{
    struct options o = {.listen = "/ip4/127.0.0.1/tcp/0", .kad = "/conduit/kad/1.0.0"};
    const struct {
        const char *name, **value;
    } table[] = {
        {"--listen", &o.listen}, {"--kad", &o.kad},   {"--psk", &o.psk},
        {"--relay", &o.relay},   {"--mdns", &o.mdns},
    };
    for (int i = 1; i + 1 < argc; i += 2)
        for (size_t k = 0; k < ARRAY_LEN(table); k++)
            if (strcmp(argv[i], table[k].name) == 0)
                *table[k].value = argv[i + 1];
    return o;
}

int main(int argc, char **argv)
{
    static struct app a;
    char why[128];
    struct options o = read_options(argc, argv);
    char print[PNET_FINGERPRINT_TEXT];
    a.kad_protocol = o.kad;
    trace_set_all(TRACE_WARN);
    if (getenv("CONDUIT_LOG") && trace_configure(getenv("CONDUIT_LOG"), why) != 0)
        fprintf(stderr, "%s\n", why);
    a.loop = loop_uv_new();
    a.sched = loop_sched(a.loop);
    rng_init_system(&a.rng);
    list_init(&a.waiting);
    key_pair_generate(&a.key, &a.rng);
    struct p2p_host_cfg cfg = generous(&a.key);
    if (o.psk)
        cfg.network = read_network(o.psk, &a.network);
    a.host = p2p_host_new(&cfg, a.loop);
    int err = a.host ? p2p_host_listen(a.host, o.listen) : E_BUG;
    if (err) {
        fprintf(stderr, "%s: %s\n", o.listen, err_text(err));
        return 1;
    }
    a.watch = (struct p2p_watch){.disconnected = peer_gone, .identified = peer_identified};
    p2p_host_watch(a.host, &a.watch);
    streams_serve(&a);
    web_serve(&a);
    kad_serve(&a);
    reach_start(&a, &o);
    if (o.mdns)
        lan_serve(&a, o.psk ? pnet_fingerprint(&a.network, print) : NULL);
    print_ready(&a);
    input.app = &a;
    input.work.run = read_line;
    input.work.done = line_read;
    loop_work(a.loop, &input.work);
    loop_run(a.loop);
    return 0;
}
