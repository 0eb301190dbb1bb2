// SPDX-License-Identifier: MIT
/* Tables, and the documents of a node as text; also with fields missing, strange, or hostile. */
#include "node/dht_report.h"
#include "node/report.h"
#include "node/text_table.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_prints(struct text_table *t, const char *want)
{
    struct buf b;
    buf_init(&b, 0);
    text_table_print(t, &b);
    char *s = buf_take_str(&b);
    assert_string_equal(s, want);
    free(s);
    text_table_fini(t);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    struct text_table t;
    text_table_init(&t, "NAME,>N,WHO");
    text_table_add(&t, BYTES_LIT("a"));
    text_table_addf(&t, "%d", 1000);
    text_table_add(&t, BYTES_LIT("x"));
    text_table_add(&t, BYTES_LIT("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"));
    text_table_addf(&t, "%d", 7);
    assert_prints(&t, "NAME      N  WHO\n"
                      "a      1000  x\n"
                      "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9     7\n");
}

static void a_table_without_rows_is_its_headings(void **state)
{
    struct text_table t;
    text_table_init(&t, "A,B");
    assert_prints(&t, "A  B\n");
    text_table_init_bare(&t, 2);
    assert_prints(&t, "");
}

static void a_cell_stays_in_its_line(void **state)
{
    struct text_table t;
    text_table_init_bare(&t, 1);
    text_table_add(&t, BYTES_LIT("a\nb\x1b[31mc\td"));
    assert_prints(&t, "a b[31mc d\n");
    char big[2 * LIMIT_CLI_CELL], want[LIMIT_CLI_CELL + 2] = "";
    memset(big, 'x', sizeof big);
    memset(want, 'x', LIMIT_CLI_CELL);
    want[LIMIT_CLI_CELL] = '\n';
    text_table_init_bare(&t, 1);
    text_table_add(&t, bytes_of(big, sizeof big));
    assert_prints(&t, want);
}

typedef int report_fn(struct bytes json, struct buf *out);

static void assert_report(report_fn *report, const char *json, const char *want)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(report(bytes_str(json), &b), 0);
    char *s = buf_take_str(&b);
    assert_string_equal(s, want);
    free(s);
}

static void models(void **state)
{
    assert_report(report_models, "{\"object\":\"list\",\"data\":[]}",
                  "NAME  PROVIDERS  CONTEXT  QUANT  WHO  ABILITIES\n");
    assert_report(
        report_models,
        "{\"data\":[{\"id\":\"tiny\",\"conduit\":{\"providers\":2,\"own\":true,\"context\":1024,"
        "\"quantization\":\"F16\",\"abilities\":[\"chat\",\"tools\"]}},"
        "{\"id\":\"big\",\"conduit\":{\"providers\":1,\"own\":false,\"context\":0}},"
        "{\"id\":\"mine\",\"conduit\":{\"providers\":1,\"own\":true}},"
        "{\"id\":\"plain\",\"owned_by\":\"test\"}]}",
        "NAME   PROVIDERS  CONTEXT  QUANT  WHO            ABILITIES\n"
        "tiny           2     1024  F16    own and peers  chat tools\n"
        "big            1                  peers\n"
        "mine           1                  own\n"
        "plain                             test\n");
}

static void peers(void **state)
{
    assert_report(
        report_peers,
        "{\"peers\":[{\"peer\":\"12D3KooWA\",\"addresses\":[\"/ip4/10.0.0.1/tcp/8000\",\"/x\"],"
        "\"agent\":\"conduit/0.1\",\"rtt_ms\":1.25,\"connected_s\":75,\"offers\":3,"
        "\"relayed\":true,\"found\":\"bootstrap\",\"trust\":\"used and "
        "served\",\"models\":[\"a\",\"b\"],"
        "\"inbound\":false},{\"peer\":\"12D3KooWB\",\"rtt_ms\":0,\"addresses\":[],"
        "\"remote\":\"10.0.0.2:8000\",\"found\":\"lan\",\"trust\":\"listed\",\"connected\":false},"
        "{\"peer\":\"C\",\"agent\":\"a\\u001b]0;x\\u0007b\",\"inbound\":true,\"rtt_ms\":null}]}",
        "PEER       ADDRESS                    RTT  FOUND      TRUST            MODELS  CONNECTED  "
        "DIALLED       AGENT\n"
        "12D3KooWA  /ip4/10.0.0.1/tcp/8000  1.2 ms  bootstrap  used and served  a b         1 min  "
        "we, by relay  conduit/0.1\n"
        "12D3KooWB  10.0.0.2:8000                   lan        listed                          no\n"
        "C                                                                                         "
        "they          a]0;xb\n");
}

static void status(void **state)
{
    assert_report(report_status, "{}", "");
    assert_report(report_status, "{\"reach\":\"likely\"}",
                  "strangers' dials  likely reach us, relays help\n");
    assert_report(
        report_status,
        "{\"peer\":\"12D3\",\"version\":\"0.1.0\",\"uptime_s\":3725,\"api\":\"http://"
        "127.0.0.1:8888/v1\","
        "\"addresses\":[\"/a\",\"/"
        "b\"],\"bootstrap\":[{\"address\":\"x:1\",\"state\":\"connected\"},"
        "{\"address\":\"y:2\",\"state\":\"failed\",\"why\":\"connection "
        "refused\"}],\"nat\":\"none\",\"confirmed\":[\"/c\",\"/"
        "d\"],\"peers\":2,\"dht\":{\"peers\":5},\"sharing\":\"open\","
        "\"requests\":{\"served\":12,\"from_peers\":0,\"list\":[1]},"
        "\"models\":[{\"name\":\"tiny\",\"state\":\"ready\",\"slots\":4,\"busy\":0,\"queued\":1,"
        "\"shared\":true,\"context\":1024},{\"name\":\"echo\",\"slots\":0}]}",
        "peer         12D3\n"
        "version      0.1.0\n"
        "running for  1 h 2 min\n"
        "API          http://127.0.0.1:8888/v1\n"
        "addresses    /a\n"
        "             /b\n"
        "bootstrap    x:1: connected\n"
        "             y:2: failed: connection refused\n"
        "NAT          none\n"
        "reached at   /c\n"
        "             /d\n"
        "peers        2\n"
        "DHT peers    5\n"
        "sharing      open\n"
        "requests     served 12, from peers 0\n"
        "\n"
        "MODEL  STATE  SLOTS  BUSY  QUEUED  CONTEXT  SHARED\n"
        "tiny   ready      4     0       1     1024  yes\n"
        "echo\n");
}

static void dht_get(void **state)
{
    assert_report(
        report_dht_get,
        "{\"key\":\"all_nodes\",\"complete\":true,\"peers\":[{\"peer\":\"12D3\",\"addresses\":"
        "[\"/a\"],\"state\":\"connected\",\"why\":\"it is no Conduit node\",\"offers\":[]}]}",
        "NODE  ADDRESS  MODEL  LOAD  TOKENS/S  UPTIME  LAST SEEN  STATE\n"
        "12D3  /a                                                 connected: it is no "
        "Conduit node\n");
    static const struct {
        const char *why, *sentence;
    } all[] = {
        {"nobody_to_ask", "knows no other"},
        {"nobody_answered", "none of the nodes that were asked"},
        {"timeout", "in time"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        char doc[128];
        struct buf out;
        buf_init(&out, 0);
        snprintf(doc, sizeof doc, "{\"complete\":false,\"why\":\"%s\",\"peers\":[]}", all[i].why);
        assert_int_equal(report_dht_get(bytes_str(doc), &out), 0);
        char *text = buf_take_str(&out);
        assert_non_null(strstr(text, all[i].sentence));
        free(text);
    }
}

static void limits(void **state)
{
    assert_report(
        report_limits,
        "{\"limits\":[{\"scope\":\"system\",\"resource\":\"streams_in\",\"used\":7,"
        "\"limit\":65536,\"refused\":0},"
        "{\"scope\":\"peer\",\"name\":\"12D3\",\"resource\":\"memory_bytes\",\"used\":1048576,"
        "\"limit\":100663296,\"refused\":2},"
        "{\"scope\":\"ip\",\"resource\":\"memory_bytes\",\"used\":2048,\"limit\":4096},"
        "{\"scope\":\"guard\",\"resource\":\"requests\",\"used\":null,\"refused\":1}]}",
        "SCOPE   RESOURCE       USED     LIMIT  REFUSED  WHICH\n"
        "system  streams in        7     65536        0\n"
        "peer    memory      1.0 MiB  96.0 MiB        2  12D3\n"
        "ip      memory      2.0 KiB   4.0 KiB\n"
        "guard   requests          -      none        1\n"
        "\nUsed is of the fullest one; of a rate (-) only refusals are counted. What this machine "
        "itself connects\n"
        "(loopback) is not counted by address: ip is 0 there.\n");
}

static void numbers_that_lie_are_no_harm(void **state)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(
        report_peers(BYTES_LIT("{\"peers\":[{\"rtt_ms\":1e300,\"connected_s\":-5,"
                               "\"offers\":1e300,\"addresses\":7,\"peer\":[]},7,null]}"),
                     &b),
        0);
    assert_int_equal(
        report_status(BYTES_LIT("{\"uptime_s\":1e99,\"addresses\":{},\"models\":[[],1]}"), &b), 0);
    buf_fini(&b);
}

static void other_documents_are_refused(void **state)
{
    static const char *const others[] = {"", "[]", "7", "{\"data\":{}}", "<html>", "{\"peers\":3}"};
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(report_models(bytes_str(others[i]), &b), E_MALFORMED);
        assert_int_equal(report_peers(bytes_str(others[i]), &b), E_MALFORMED);
        assert_int_equal(report_limits(bytes_str(others[i]), &b), E_MALFORMED);
    }
    assert_int_equal(report_status(BYTES_LIT("[]"), &b), E_MALFORMED);
    assert_int_equal(buf_len(&b), 0);
    buf_fini(&b);
}

static void durations(void **state)
{
    static const struct {
        uint64_t s;
        const char *text;
    } cases[] = {{0, "0 s"},          {59, "59 s"},           {60, "1 min"},      {3599, "59 min"},
                 {3600, "1 h 0 min"}, {86399, "23 h 59 min"}, {180000, "2 d 2 h"}};
    char out[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(report_duration(cases[i].s, out), cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(a_table_without_rows_is_its_headings),
        cmocka_unit_test(a_cell_stays_in_its_line),
        cmocka_unit_test(models),
        cmocka_unit_test(peers),
        cmocka_unit_test(status),
        cmocka_unit_test(dht_get),
        cmocka_unit_test(limits),
        cmocka_unit_test(numbers_that_lie_are_no_harm),
        cmocka_unit_test(other_documents_are_refused),
        cmocka_unit_test(durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
