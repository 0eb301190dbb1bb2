// SPDX-License-Identifier: MIT
/* See doctor_local.h. */
#include "node/doctor_local.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/net.h"
#include "engine/find.h"
#include "engine/gguf.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { FILES_LOW = 1024, FILES_TOO_LOW = 128 };
#define SPACE_LOW   (UINT64_C(100) << 20)
#define CLOCK_FLOOR UINT64_C(1767225600000) /* 2026-01-01: no conduit is older */

/* --- ports --- */

/* The inode of the socket that listens on `port`, from one of the kernel's tables; 0: none. */
static unsigned long listening_inode(const char *table, unsigned port)
{
    char line[512];
    unsigned long inode = 0;
    FILE *f = fopen(table, "re");
    while (f && !inode && fgets(line, sizeof line, f)) {
        unsigned at, state;
        unsigned long n;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*d %*d %lu", &at, &state,
                   &n) == 3 &&
            at == port && state == 0x0a)
            inode = n;
    }
    if (f)
        fclose(f);
    return inode;
}

static bool has_socket(const char *pid, unsigned long inode)
{
    char dir[64], path[352], target[64], wanted[64];
    bool found = false;
    snprintf(dir, sizeof dir, "/proc/%.20s/fd", pid);
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        found = strcmp(target, wanted) == 0;
    }
    if (d)
        closedir(d);
    return found;
}

bool doctor_port_holder(unsigned port, char *out, size_t size)
{
    unsigned long inode = listening_inode("/proc/net/tcp", port);
    if (!inode)
        inode = listening_inode("/proc/net/tcp6", port);
    bool found = false;
    DIR *d = inode ? opendir("/proc") : NULL;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || !has_socket(e->d_name, inode))
            continue;
        char path[64], name[32] = "?";
        snprintf(path, sizeof path, "/proc/%.20s/comm", e->d_name);
        FILE *f = fopen(path, "re");
        if (f && fgets(name, sizeof name, f))
            name[strcspn(name, "\n")] = 0;
        if (f)
            fclose(f);
        snprintf(out, size, "%s, pid %.20s", name, e->d_name);
        found = true;
    }
    if (d)
        closedir(d);
    return found;
}

/* 0, or why a listener could not be there. */
static int try_port(const struct net_addr *at)
{
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(at->port)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(at->port)};
    const bool is_6 = at->kind == NET_IP6;
    int on = 1, err = 0;
    memcpy(&a4.sin_addr, at->ip, 4);
    memcpy(&a6.sin6_addr, at->ip, 16);
    int fd = socket(is_6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, is_6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4,
             is_6 ? sizeof a6 : sizeof a4) != 0 ||
        listen(fd, 1) != 0)
        err = err_from_errno(errno);
    close(fd);
    return err;
}

void doctor_check_port(struct doctor_report *r, const char *name, const char *host, unsigned port,
                       const char *flag)
{
    struct net_addr at;
    char holder[80] = "", remedy[DOCTOR_TEXT];
    if (port == 0) {
        doctor_add(r, DOCTOR_OK, name, NULL, "a free one is taken at each start");
        return;
    }
    if (net_addr_parse_ip(host, (uint16_t)port, &at)) {
        doctor_add(r, DOCTOR_FAIL, name, "give an IP address of this machine",
                   "'%s' is not an IP address", host);
        return;
    }
    int err = try_port(&at);
    if (err == 0) {
        doctor_add(r, DOCTOR_OK, name, NULL, "%u on %s is free", port, host);
    } else if (err == E_IN_USE) {
        bool known = doctor_port_holder(port, holder, sizeof holder);
        snprintf(remedy, sizeof remedy, "stop that program, or start with %s 0 or another port",
                 flag);
        doctor_add(r, DOCTOR_FAIL, name, remedy, "%u is in use%s%s%s", port, known ? " (" : "",
                   holder, known ? ")" : "");
    } else if (err == E_DENIED) {
        doctor_add(r, DOCTOR_FAIL, name, "take a port over 1023", "this user may not listen on %u",
                   port);
    } else {
        doctor_add(r, DOCTOR_FAIL, name, "is that an address of this machine?",
                   "cannot listen on %s port %u: %s", host, port, err_text(err));
    }
}

/* --- files, clock, directory --- */

void doctor_check_files(struct doctor_report *r, uint64_t soft, uint64_t hard)
{
    unsigned long long n = hard > soft ? hard : soft; /* `up` takes what it may */
    const char *remedy = "raise it: ulimit -n 65536, or LimitNOFILE= of the service";
    doctor_add(r,
               n < FILES_TOO_LOW ? DOCTOR_FAIL
               : n < FILES_LOW   ? DOCTOR_WARN
                                 : DOCTOR_OK,
               "files", n < FILES_LOW ? remedy : NULL,
               "a process may have %llu open files; each peer and each client is one", n);
}

void doctor_check_clock(struct doctor_report *r, uint64_t wall_ms)
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[40];
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
    if (wall_ms < CLOCK_FLOOR)
        doctor_add(r, DOCTOR_FAIL, "clock",
                   "set it (timedatectl set-ntp true): offers and invites expire by it",
                   "the clock says %s, which cannot be", text);
    else
        doctor_add(r, DOCTOR_OK, "clock", NULL, "%s", text);
}

void doctor_check_dir(struct doctor_report *r, const char *dir)
{
    struct statvfs v;
    struct stat st;
    char *key = mem_printf("%s/identity.key", dir);
    if (stat(dir, &st) != 0 && errno == ENOENT) {
        doctor_add(r, DOCTOR_OK, "directory", NULL, "%s will be made", dir);
    } else if (access(dir, R_OK | W_OK | X_OK) != 0) {
        doctor_add(r, DOCTOR_FAIL, "directory", "make it yours, or choose another with --data-dir",
                   "%s: %s", dir, strerror(errno));
    } else if (stat(key, &st) == 0 && (st.st_mode & 077)) {
        doctor_add(r, DOCTOR_WARN, "directory", "chmod 600 it",
                   "%s can be read by others: who has it can be this node", key);
    } else if (statvfs(dir, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < SPACE_LOW) {
        doctor_add(r, DOCTOR_WARN, "directory", "make room", "%s: %llu MB are left", dir,
                   (unsigned long long)((uint64_t)v.f_bavail * v.f_frsize >> 20));
    } else {
        doctor_add(r, DOCTOR_OK, "directory", NULL, "%s", dir);
    }
    free(key);
}

/* Which address leaves towards the rest of the world; asked of the kernel, nothing is sent. */
static void check_route(struct doctor_report *r)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, from = {0};
    socklen_t n = sizeof from;
    char text[INET_ADDRSTRLEN] = "";
    to.sin_addr.s_addr = htonl(0xcb007101); /* 203.0.113.1, which is nobody's */
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has_route = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
                     getsockname(fd, (struct sockaddr *)&from, &n) == 0;
    if (fd >= 0)
        close(fd);
    if (has_route)
        doctor_add(r, DOCTOR_OK, "route", NULL, "%s leads out of this network",
                   inet_ntop(AF_INET, &from.sin_addr, text, sizeof text));
    else
        doctor_add(r, DOCTOR_WARN, "route", "none is needed for nodes of the same network",
                   "no IPv4 route leads out of this network: only its own nodes can be reached");
}

/* --- the engine --- */

static const char *env_value(const char *name)
{
    return getenv(name);
}

static bool exists_like(const char *dir, const char *const *words)
{
    DIR *d = opendir(dir);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));)
        for (const char *const *w = words; *w; w++)
            found |= strstr(e->d_name, *w) != NULL;
    if (d)
        closedir(d);
    return found;
}

static bool has_gpu(void)
{
    static const char *const render[] = {"renderD", NULL};
    return access("/dev/nvidia0", F_OK) == 0 || access("/dev/kfd", F_OK) == 0 ||
           exists_like("/dev/dri", render);
}

/* Whether the engine's own libraries hold a backend for GPUs: beside the program, and where Debian puts
 * them. */
static bool can_use_gpu(const char *path)
{
    static const char *const backends[] = {"ggml-cuda", "ggml-vulkan", "ggml-hip", "ggml-sycl",
                                           NULL};
    static const char *const places[] = {"", "/../lib", "/../lib/x86_64-linux-gnu",
                                         "/../lib/x86_64-linux-gnu/ggml/backends0",
                                         "/../lib/aarch64-linux-gnu/ggml/backends0"};
    char *dir = mem_strdup(path), *slash = strrchr(dir, '/');
    bool found = false;
    if (slash)
        *slash = 0;
    for (size_t i = 0; i < ARRAY_LEN(places) && !found; i++) {
        char *at = mem_printf("%s%s", dir, places[i]);
        found = exists_like(at, backends);
        free(at);
    }
    free(dir);
    return found;
}

void doctor_check_gpu(struct doctor_report *r, const char *path, unsigned build, bool there_is_one)
{
    if (there_is_one && !can_use_gpu(path))
        doctor_add(r, DOCTOR_WARN, "engine",
                   "install one that can use it, and name it with --llama-server",
                   "%s computes on the CPU, though there is a GPU", path);
    else
        doctor_add(r, DOCTOR_OK, "engine", NULL, "%s, build %u", path, build);
}

void doctor_check_engine(struct doctor_report *r, const struct config *cfg)
{
    struct engine_server server = {0};
    char why[512];
    if (!cfg->model.n) {
        doctor_add(r, DOCTOR_OK, "engine", NULL, "not needed: no GGUF file is served");
        return;
    }
    if (engine_choose(cfg->llama_server, env_value, &server, why, sizeof why)) {
        doctor_add(r, DOCTOR_FAIL, "engine", "conduit engine install", "%s", why);
        return;
    }
    doctor_check_gpu(r, server.path, (unsigned)server.build, has_gpu());
    free(server.path);
}

static void check_models(struct doctor_report *r, const struct config *cfg)
{
    for (size_t i = 0; i < cfg->model.n; i++) {
        const char *spec = cfg->model.v[i], *eq = strchr(spec, '=');
        const char *path = eq && access(spec, F_OK) != 0 ? eq + 1 : spec;
        if (access(path, R_OK) != 0)
            doctor_add(r, DOCTOR_FAIL, "model", "name a GGUF file that this user can read",
                       "%s: %s", path, strerror(errno));
    }
}

void doctor_local(struct doctor_report *r, const struct config *cfg, const char *dir,
                  bool is_running)
{
    struct rlimit files;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    doctor_check_clock(r, (uint64_t)now.tv_sec * 1000);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        doctor_check_files(r, files.rlim_cur, files.rlim_max);
    doctor_check_dir(r, dir);
    check_route(r);
    if (is_running) {
        doctor_add(r, DOCTOR_OK, "ports", NULL, "held by the node that runs");
    } else {
        doctor_check_port(r, "p2p port", cfg->p2p_host ? cfg->p2p_host : "0.0.0.0", cfg->p2p_port,
                          "--p2p-port");
        doctor_check_port(r, "API port",
                          cfg->http_host && strcmp(cfg->http_host, "localhost") != 0
                              ? cfg->http_host
                              : "127.0.0.1",
                          cfg->http_port, "--http-port");
    }
    doctor_check_engine(r, cfg);
    check_models(r, cfg);
}
