// SPDX-License-Identifier: MIT
/* The doctor's report, and the checks of this machine: each fault made, and named with its remedy. */
#include "base/err.h"
#include "base/mem.h"
#include "node/doctor.h"
#include "node/doctor_local.h"
#include "node/doctor_reach.h"
#include "node/node_impl.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct doctor_report *report(void)
{
    return MEM_NEW(struct doctor_report);
}

static const struct doctor_check *only(const struct doctor_report *r)
{
    assert_int_equal(r->count, 1);
    return &r->v[0];
}

#define SAYS(c, words) assert_non_null(strstr((c)->text, words))

/* --- the report --- */

static void a_report_travels_as_json(void **state)
{
    struct doctor_report *a = report(), *b = report();
    struct buf json;
    buf_init(&json, 0);
    doctor_add(a, DOCTOR_OK, "clock", NULL, "it is %d", 12);
    doctor_add(a, DOCTOR_FAIL, "ports", "take \"another\"", "80 is in use\n");
    doctor_add(a, DOCTOR_SKIP, "nat", NULL, "nobody there");
    assert_int_equal(doctor_report_json(a, &json), 0);
    assert_non_null(memmem(buf_view(&json).p, buf_len(&json), "\"ok\":false", 10));
    assert_int_equal(doctor_report_read(b, buf_view(&json)), 0);
    assert_int_equal(b->count, 3);
    assert_true(b->has_failed);
    assert_string_equal(b->v[0].text, "it is 12");
    assert_string_equal(b->v[1].remedy, "take \"another\"");
    assert_int_equal(b->v[1].level, DOCTOR_FAIL);
    assert_int_equal(b->v[2].level, DOCTOR_SKIP);
    assert_int_equal(doctor_report_read(b, BYTES_LIT("[]")), E_MALFORMED);
    assert_int_equal(doctor_report_read(b, BYTES_LIT("{\"checks\":1}")), E_MALFORMED);
    buf_fini(&json);
    free(a);
    free(b);
}

static void what_a_node_says_cannot_drive_a_terminal(void **state)
{
    struct doctor_report *r = report();
    assert_int_equal(
        doctor_report_read(r, BYTES_LIT("{\"checks\":[{\"check\":\"x\",\"level\":\"ok\","
                                        "\"text\":\"a\\u001b[2Jb\",\"remedy\":\"\"}]}")),
        0);
    assert_null(strchr(only(r)->text, 0x1b));
    free(r);
}

static void failures_stand_last_and_steps_in_order(void **state)
{
    struct doctor_report *r = report();
    struct buf b;
    doctor_add(r, DOCTOR_FAIL, "one", "do this", "bad");
    doctor_add(r, DOCTOR_OK, "two", NULL, "good");
    buf_init(&b, 0);
    doctor_report_print(r, false, &b);
    (void)buf_append_byte(&b, 0);
    const char *text = (const char *)buf_view(&b).p;
    assert_true(strstr(text, "two") < strstr(text, "FAIL  one"));
    assert_non_null(strstr(text, "bad -> do this\n"));
    assert_non_null(strstr(text, "1 of 2 checks failed"));
    buf_clear(&b);
    doctor_report_print(r, true, &b);
    (void)buf_append_byte(&b, 0);
    text = (const char *)buf_view(&b).p;
    assert_true(strstr(text, "one") < strstr(text, "two"));
    buf_fini(&b);
    free(r);
}

static void a_report_is_bounded_and_keeps_its_verdict(void **state)
{
    struct doctor_report *r = report();
    for (int i = 0; i < 3 * DOCTOR_CHECKS; i++)
        doctor_add(r, i == DOCTOR_CHECKS + 5 ? DOCTOR_FAIL : DOCTOR_OK, "x", NULL, "%d", i);
    assert_int_equal(r->count, DOCTOR_CHECKS);
    assert_int_equal(r->dropped, 2 * DOCTOR_CHECKS);
    assert_true(r->has_failed);
    free(r);
}

/* --- this machine --- */

static int listen_somewhere(unsigned *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void a_taken_port_names_its_holder(void **state)
{
    struct doctor_report *r = report();
    unsigned port;
    char me[32], holder[80];
    int fd = listen_somewhere(&port);
    snprintf(me, sizeof me, "pid %d", (int)getpid());
    doctor_check_port(r, "p2p port", "127.0.0.1", port, "--p2p-port");
    assert_int_equal(only(r)->level, DOCTOR_FAIL);
    SAYS(only(r), "in use");
    SAYS(only(r), me);
    assert_non_null(strstr(only(r)->remedy, "--p2p-port 0"));
    close(fd);
    assert_false(doctor_port_holder(port, holder, sizeof holder));
    r->count = 0;
    doctor_check_port(r, "p2p port", "127.0.0.1", port, "--p2p-port");
    assert_int_equal(only(r)->level, DOCTOR_OK);
    free(r);
}

static void a_port_that_cannot_be_is_said(void **state)
{
    struct doctor_report *r = report();
    doctor_check_port(r, "p2p port", "nonsense", 8000, "--p2p-port");
    assert_int_equal(only(r)->level, DOCTOR_FAIL);
    r->count = 0;
    doctor_check_port(r, "p2p port", "203.0.113.77", 8000, "--p2p-port"); /* nobody's address */
    assert_int_equal(only(r)->level, DOCTOR_FAIL);
    r->count = 0;
    doctor_check_port(r, "p2p port", "0.0.0.0", 0, "--p2p-port");
    assert_int_equal(only(r)->level, DOCTOR_OK);
    free(r);
}

static void few_files_and_wrong_clocks_are_said(void **state)
{
    static const struct {
        uint64_t soft, hard;
        enum doctor_level level;
    } files[] = {{64, 64, DOCTOR_FAIL}, {256, 512, DOCTOR_WARN}, {256, 65536, DOCTOR_OK}};
    struct doctor_report *r = report();
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        r->count = 0;
        doctor_check_files(r, files[i].soft, files[i].hard);
        assert_int_equal(only(r)->level, files[i].level);
    }
    r->count = 0;
    doctor_check_clock(r, 1000);
    assert_int_equal(only(r)->level, DOCTOR_FAIL);
    SAYS(only(r), "1970");
    r->count = 0;
    doctor_check_clock(r, UINT64_C(1800000000000));
    assert_int_equal(only(r)->level, DOCTOR_OK);
    free(r);
}

static void an_identity_others_can_read_is_said(void **state)
{
    struct doctor_report *r = report();
    char dir[] = "/tmp/conduit-doctor-XXXXXX";
    assert_non_null(mkdtemp(dir));
    doctor_check_dir(r, dir);
    assert_int_equal(only(r)->level, DOCTOR_OK);
    char *key = mem_printf("%s/identity.key", dir);
    FILE *f = fopen(key, "w");
    fclose(f);
    assert_int_equal(chmod(key, 0644), 0);
    r->count = 0;
    doctor_check_dir(r, dir);
    assert_int_equal(only(r)->level, DOCTOR_WARN);
    unlink(key);
    free(key);
    rmdir(dir);
    r->count = 0;
    doctor_check_dir(r, dir);
    SAYS(only(r), "will be made");
    free(r);
}

static void touch(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
}

/* Whether an engine can use a GPU is seen by its libraries, beside it or in ../lib. */
static void an_engine_that_leaves_the_gpu_idle_is_said(void **state)
{
    static const char *const where[] = {"bin/libggml-cuda.so", "lib/libggml-vulkan.so.0"};
    struct doctor_report *r = report();
    char dir[] = "/tmp/conduit-doctor-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *bin = mem_printf("%s/bin", dir), *lib = mem_printf("%s/lib", dir);
    char *server = mem_printf("%s/llama-server", bin), *cpu = mem_printf("%s/libggml-cpu.so", lib);
    assert_int_equal(mkdir(bin, 0700), 0);
    assert_int_equal(mkdir(lib, 0700), 0);
    touch(cpu);
    doctor_check_gpu(r, server, 9000, true);
    assert_int_equal(only(r)->level, DOCTOR_WARN);
    SAYS(only(r), "though there is a GPU");
    assert_non_null(strstr(only(r)->remedy, "--llama-server"));
    r->count = 0;
    doctor_check_gpu(r, server, 9000, false);
    assert_int_equal(only(r)->level, DOCTOR_OK);
    SAYS(only(r), "build 9000");
    for (size_t i = 0; i < ARRAY_LEN(where); i++) {
        char *path = mem_printf("%s/%s", dir, where[i]);
        touch(path);
        r->count = 0;
        doctor_check_gpu(r, server, 9000, true);
        assert_int_equal(only(r)->level, DOCTOR_OK);
        unlink(path);
        free(path);
    }
    unlink(cpu);
    rmdir(bin);
    rmdir(lib);
    rmdir(dir);
    free(bin);
    free(lib);
    free(server);
    free(cpu);
    free(r);
}

static void an_engine_is_needed_for_gguf_files_alone(void **state)
{
    struct doctor_report *r = report();
    struct config cfg;
    config_init(&cfg);
    doctor_check_engine(r, &cfg);
    assert_int_equal(only(r)->level, DOCTOR_OK);
    SAYS(only(r), "not needed");
    strlist_add(&cfg.model, "x.gguf", 6);
    cfg.llama_server = mem_strdup("/nonexistent/llama-server");
    r->count = 0;
    doctor_check_engine(r, &cfg);
    assert_int_equal(only(r)->level, DOCTOR_FAIL);
    assert_true(*only(r)->remedy);
    config_fini(&cfg);
    free(r);
}

/* --- peers --- */

static void a_clock_that_differs_is_said_with_the_peer(void **state)
{
    static const struct {
        int64_t ms;
        enum doctor_level level;
        const char *says;
    } rows[] = {{900, DOCTOR_OK, "agrees"},
                {-900, DOCTOR_OK, "agrees"},
                {30000, DOCTOR_WARN, "30 s behind"},
                {-30000, DOCTOR_WARN, "30 s ahead of"},
                {3600000, DOCTOR_FAIL, "3600 s behind"}};
    struct doctor_report *r = report();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hello h = {.skew_ms = rows[i].ms};
        r->count = 0;
        doctor_clock_skew(r, "clock", &h);
        assert_int_equal(only(r)->level, rows[i].level);
        SAYS(only(r), rows[i].says);
    }
    free(r);
}

/* One stranger's wrong clock is not ours; when most say so, ours is. */
static void a_clock_is_wrong_when_most_say_so(void **state)
{
    enum { HOUR = 3600000, SILENT = 1 };
    static const struct {
        int64_t skew_ms[4];
        size_t count;
        enum doctor_level levels[4];
    } rows[] = {
        {{HOUR, 0, 0, 0}, 4, {DOCTOR_WARN, DOCTOR_OK, DOCTOR_OK, DOCTOR_OK}},
        {{HOUR, 0}, 2, {DOCTOR_WARN, DOCTOR_OK}},
        {{HOUR, -HOUR, 0}, 3, {DOCTOR_WARN, DOCTOR_WARN, DOCTOR_OK}},
        {{HOUR, HOUR, 0}, 3, {DOCTOR_FAIL, DOCTOR_FAIL, DOCTOR_OK}},
        {{HOUR, SILENT}, 2, {DOCTOR_FAIL, DOCTOR_SKIP}},
        {{-HOUR}, 1, {DOCTOR_FAIL}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct doctor_report *r = report();
        bool has_failed = false;
        struct hello v[4];
        for (size_t k = 0; k < rows[i].count; k++)
            v[k] = (struct hello){.skew_ms = rows[i].skew_ms[k],
                                  .err = rows[i].skew_ms[k] == SILENT ? E_TIMEOUT : 0};
        doctor_clocks(r, v, rows[i].count);
        assert_int_equal(r->count, rows[i].count);
        for (size_t k = 0; k < r->count; k++) {
            assert_int_equal(r->v[k].level, rows[i].levels[k]);
            has_failed |= r->v[k].level == DOCTOR_FAIL;
        }
        assert_int_equal(r->has_failed, has_failed);
        free(r);
    }
}

static void a_version_that_does_not_fit_is_said(void **state)
{
    static const struct {
        const char *agent, *version;
        bool has_http;
        enum doctor_level level;
    } rows[] = {
        {"conduit/0.1.7", "/conduit/1.0.0", true, DOCTOR_OK},
        {"conduit/0.2.0", "/conduit/1.0.0", true, DOCTOR_WARN},
        {"conduit/0.1.0", "/conduit/1.0.0", false, DOCTOR_WARN},
        {"conduit/3.0.0", "/conduit/2.0.0", true, DOCTOR_FAIL},
        {"rust-libp2p/0.57", "ipfs/0.1.0", false, DOCTOR_OK},
    };
    struct node n = {.agent = "conduit/0.1.0"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct doctor_report *r = report();
        struct known_peer p = {0};
        snprintf(p.agent, sizeof p.agent, "%s", rows[i].agent);
        snprintf(p.version, sizeof p.version, "%s", rows[i].version);
        if (rows[i].has_http)
            assert_int_equal(known_peer_add_protocol(&p, bytes_str(HTTP_PROTOCOL)), 0);
        doctor_version(r, "version", &n, &p);
        assert_int_equal(only(r)->level, rows[i].level);
        known_peer_clear_protocols(&p);
        free(p.protocols);
        free(r);
    }
}

static void interfaces_of_docker_and_vpns_are_known(void **state)
{
    assert_string_equal(doctor_interface_kind("docker0"), "Docker's");
    assert_string_equal(doctor_interface_kind("br-1234"), "Docker's");
    assert_string_equal(doctor_interface_kind("tun0"), "a VPN's");
    assert_string_equal(doctor_interface_kind("tailscale0"), "a VPN's");
    assert_string_equal(doctor_interface_kind("eth0"), "");
    assert_string_equal(doctor_interface_kind("wlp3s0"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_travels_as_json),
        cmocka_unit_test(what_a_node_says_cannot_drive_a_terminal),
        cmocka_unit_test(failures_stand_last_and_steps_in_order),
        cmocka_unit_test(a_report_is_bounded_and_keeps_its_verdict),
        cmocka_unit_test(a_taken_port_names_its_holder),
        cmocka_unit_test(a_port_that_cannot_be_is_said),
        cmocka_unit_test(few_files_and_wrong_clocks_are_said),
        cmocka_unit_test(an_identity_others_can_read_is_said),
        cmocka_unit_test(an_engine_that_leaves_the_gpu_idle_is_said),
        cmocka_unit_test(an_engine_is_needed_for_gguf_files_alone),
        cmocka_unit_test(a_clock_that_differs_is_said_with_the_peer),
        cmocka_unit_test(a_clock_is_wrong_when_most_say_so),
        cmocka_unit_test(a_version_that_does_not_fit_is_said),
        cmocka_unit_test(interfaces_of_docker_and_vpns_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
