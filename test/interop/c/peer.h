// SPDX-License-Identifier: MIT
/* Our peer for the interoperation tests: the command protocol of test/interop/README.md over the
 * host. A command is a job; it lives from its line of JSON to its answer.
 *
 *   main.c     start, lines in and out, the table of commands, dial, close, ping, identify
 *   streams.c  echo, bulk, connect1; serves echo and perf
 *   web.c      http, http1, sse; serves /http/1.1
 *   kad.c      the commands of the DHT; serves it
 *   reach.c    reserve, conns, autonat; serves as a relay
 *   lan.c      mDNS */
#ifndef CONDUIT_INTEROP_PEER_H
#define CONDUIT_INTEROP_PEER_H

#include "base/list.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/multiaddr.h"
#include "loop/loop.h"
#include "p2p/host.h"
#include "p2p/ping.h"

#define ECHO_PROTOCOL "/conduit-test/echo/1.0.0"
#define PERF_PROTOCOL "/perf/1.0.0"
#define HTTP_PROTOCOL "/http/1.1"
#define JOB_US        (28 * US_PER_S) /* each command ends within 30 s */

struct app {
    struct loop *loop;
    struct sched *sched;
    struct rng rng;
    struct key_pair key;
    struct pnet_key network;
    struct p2p_host *host;
    struct p2p_watch watch;
    const char *kad_protocol;
    struct list waiting; /* job.link: for a peer to go, to be identified, … */
    struct web *web;
    struct kad *kad;
    struct reach *reach;
    struct mdns_shell *mdns; /* NULL: off */
};

/* Of the command line; NULL: not said. */
struct options {
    const char *listen, *kad, *psk;
    const char *relay; /* "limited", "unlimited" */
    const char *mdns;  /* "on" */
};

enum job_wait { WAIT_NOTHING, WAIT_GONE, WAIT_IDENTIFIED, WAIT_PLACE, WAIT_REACH };

struct job {
    struct app *app;
    struct json_doc *doc;
    const struct json *args;
    uint64_t id, started_us;
    struct multiaddr addr; /* of "addr"; n 0 when there is none */
    struct bytes addr_view;
    struct peer_id peer;
    struct p2p_connect connect;
    struct p2p_ping ping;
    void *state;                 /* the command's own */
    void (*then)(struct job *j); /* when connected, gone, identified */
    enum job_wait wait;
    struct list link;
    struct timer timer; /* of `wait` */
};

/* Answers; the job is gone afterwards. `ok` gives a writer inside the object, job_end closes it. */
struct json_writer *job_ok(struct job *j);
void job_end(struct job *j);
void job_fail(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
double job_ms(const struct job *j); /* since its line came */
uint64_t job_u64(const struct job *j, const char *key);
/* Connects to the job's addr, then calls; fails the job by itself when it cannot. */
void job_connect(struct job *j, void (*then)(struct job *j));
/* Waits for the peer to be gone, identified, or a relay with a place for us, at most 10 s. */
void job_wait(struct job *j, enum job_wait what, void (*then)(struct job *j));
/* Something of what jobs wait for has happened. */
void app_check(struct app *a);
/* A stream to the job's peer. */
void job_open(struct job *j, struct p2p_open *open, const char *protocol,
              void (*done)(struct p2p_open *r, int err, struct stream *s));

/* streams.c */
void streams_serve(struct app *a);
void cmd_echo(struct job *j);
void cmd_bulk(struct job *j);
void cmd_connect1(struct job *j);
/* web.c */
void web_serve(struct app *a);
void cmd_http(struct job *j);
void cmd_http1(struct job *j);
void cmd_sse(struct job *j);
/* kad.c */
void kad_serve(struct app *a);
void kad_identified(struct app *a, const struct known_peer *peer);
void cmd_kad_add(struct job *j);
void cmd_find_node(struct job *j);
void cmd_provide(struct job *j);
void cmd_find_providers(struct job *j);
/* reach.c */
void reach_start(struct app *a, const struct options *o);
bool reach_has_place(struct app *a, const struct peer_id *relay);
bool reach_is_told(struct app *a); /* an AutoNAT server has answered */
void cmd_autonat(struct job *j);
void cmd_reserve(struct job *j);
void cmd_conns(struct job *j);
/* lan.c; `network`: the fingerprint of the private network's key, or NULL */
void lan_serve(struct app *a, const char *network);
void cmd_mdns_peers(struct job *j);

#endif
