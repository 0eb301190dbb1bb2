// SPDX-License-Identifier: MIT
/* A path with delay, rate and loss between two network namespaces, for kernels without netem.
 *
 *   namespace A                          this program                          namespace B
 *   tun NAME  --packets--> [ loss, wire of so many bits a second, delay ] --> tun NAME
 *             <----------- [ the same, the other way                    ] <--
 *
 *   delay A B NAME --us N [--mbit N] [--queue-ms N] [--loss PERCENT] [--seed N]
 *
 * Each way has its own wire: packets leave it one after another, so a rate is exact, and who finds
 * more than queue-ms of them waiting is dropped, as a router would. It prints "ready" when both devices are
 * there (down, without addresses) and runs until its stdin ends; then it prints what passed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_MAX = 2048, SLOTS = 65536, BATCH = 64 };

struct packet {
    uint64_t due_ns;
    uint16_t n;
    uint8_t data[PACKET_MAX];
};

/* One direction: a ring of what is on its way. */
struct way {
    int from, to;
    struct packet *ring; /* SLOTS of them, touched only when used */
    uint32_t head, tail;
    uint64_t wire_free_ns;
    uint64_t passed, lost, overflowed;
};

struct path {
    uint64_t delay_ns, bits_per_s, queue_ns;
    double loss;
    uint64_t seed;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The device belongs to the namespace in which it was made; the file works from anywhere. */
static int tun_open(const char *netns, const char *name)
{
    char path[256];
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(path, sizeof path, "/var/run/netns/%s", netns);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) != 0)
        die(path);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) != 0)
        die("/dev/net/tun");
    return fd;
}

static bool is_lost(struct path *p)
{
    p->seed ^= p->seed << 13;
    p->seed ^= p->seed >> 7;
    p->seed ^= p->seed << 17;
    return p->loss > 0 && (double)(p->seed >> 11) / 9007199254740992.0 < p->loss;
}

static void take(struct way *w, struct path *p)
{
    for (int i = 0; i < BATCH && w->tail - w->head < SLOTS; i++) {
        struct packet *k = &w->ring[w->tail % SLOTS];
        ssize_t n = read(w->from, k->data, sizeof k->data);
        if (n <= 0)
            return;
        uint64_t now = now_ns(), at = w->wire_free_ns > now ? w->wire_free_ns : now;
        if (at - now > p->queue_ns) {
            w->overflowed++;
            continue;
        }
        if (p->bits_per_s)
            w->wire_free_ns = at += (uint64_t)n * 8 * 1000000000u / p->bits_per_s;
        if (is_lost(p)) {
            w->lost++;
            continue;
        }
        k->n = (uint16_t)n;
        k->due_ns = at + p->delay_ns;
        w->tail++;
    }
}

static void give(struct way *w)
{
    uint64_t now = now_ns();
    while (w->head != w->tail && w->ring[w->head % SLOTS].due_ns <= now) {
        struct packet *k = &w->ring[w->head++ % SLOTS];
        if (write(w->to, k->data, k->n) == k->n)
            w->passed++;
        else
            w->lost++; /* the device is down or full */
    }
}

static void sleep_until_next(struct way ways[2])
{
    struct pollfd fds[3] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    uint64_t now = now_ns(), next = now + 1000000000u;
    for (int i = 0; i < 2; i++) {
        struct way *w = &ways[i];
        bool has_room = w->tail - w->head < SLOTS;
        fds[i + 1] = (struct pollfd){.fd = has_room ? w->from : -1, .events = POLLIN};
        if (w->head != w->tail && w->ring[w->head % SLOTS].due_ns < next)
            next = w->ring[w->head % SLOTS].due_ns;
    }
    uint64_t left = next > now ? next - now : 0;
    struct timespec t = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    ppoll(fds, 3, &t, NULL);
    if (fds[0].revents) {
        for (int i = 0; i < 2; i++)
            printf("%s passed %llu lost %llu overflowed %llu\n", i ? "back" : "forth",
                   (unsigned long long)ways[i].passed, (unsigned long long)ways[i].lost,
                   (unsigned long long)ways[i].overflowed);
        exit(0);
    }
}

int main(int argc, char **argv)
{
    struct path p = {.queue_ns = 100000000u, .seed = 88172645463325252u};
    if (argc < 4) {
        fprintf(stderr, "usage: delay A B NAME --us N [--mbit N] [--queue-ms N] [--loss PERCENT] "
                        "[--seed N]\n");
        return 2;
    }
    for (int i = 4; i + 1 < argc; i += 2) {
        double v = atof(argv[i + 1]);
        if (strcmp(argv[i], "--us") == 0)
            p.delay_ns = (uint64_t)(v * 1000);
        else if (strcmp(argv[i], "--mbit") == 0)
            p.bits_per_s = (uint64_t)(v * 1e6);
        else if (strcmp(argv[i], "--queue-ms") == 0)
            p.queue_ns = (uint64_t)(v * 1e6);
        else if (strcmp(argv[i], "--loss") == 0)
            p.loss = v / 100;
        else if (strcmp(argv[i], "--seed") == 0)
            p.seed = (uint64_t)v * 2654435761u + 1;
    }
    int a = tun_open(argv[1], argv[3]), b = tun_open(argv[2], argv[3]);
    struct way ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
    for (int i = 0; i < 2; i++)
        if (!(ways[i].ring = malloc(SLOTS * sizeof *ways[i].ring)))
            die("memory");
    puts("ready");
    fflush(stdout);
    for (;;) {
        for (int i = 0; i < 2; i++) {
            give(&ways[i]);
            take(&ways[i], &p);
        }
        sleep_until_next(ways);
    }
}
