// SPDX-License-Identifier: MIT
/* Signed values. The first byte says what the rest is: a value as it comes from a stranger; the payload, or the body, of
 * one that is signed well, so that what is behind the signature is reached too. What is accepted is kept, selected
 * among others, and shown. */
#include "dht/values.h"

#include "base/err.h"
#include "base/mem.h"
#include "codec/envelope.h"
#include "node/node_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_MS = 1000 };

static void show(const struct dht_record *r)
{
    static struct node_record got;
    struct buf json;
    if (node_record_read(r, &got) != 0)
        return;
    buf_init(&json, 0);
    struct json_writer w = json_write(&json);
    node_record_json(&got, &w);
    struct json_doc *doc;
    if (w.err || json_parse(buf_view(&json), LIMIT_CLI_DOCUMENT, &doc, NULL) != 0)
        abort();
    json_free(doc);
    buf_fini(&json);
}

static void keep(struct bytes key, struct bytes value)
{
    struct dht_values v;
    struct dht_key self = {0};
    struct dht_record r;
    dht_values_init(&v, &self, 1);
    int err = dht_record_check(key, value, NOW_MS, &r);
    if (dht_values_put(&v, key, value, NOW_MS) != err)
        abort();
    const struct dht_value *have = dht_values_get(&v, key, NOW_MS);
    if ((have != NULL) != (err == 0))
        abort();
    if (have) {
        if (dht_record_cmp(&r, value, &have->record, bytes_of(have->value, have->n)) != 0)
            abort();
        show(&have->record);
    }
    dht_values_fini(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct key_pair pair;
    static const uint8_t seed[32] = {7};
    char text[LIMIT_DHT_KEY + 1];
    struct buf value;
    if (size < 1)
        return 0;
    if (!pair.id.len)
        key_pair_from_seed(&pair, seed);
    int n = dht_record_key("node", &pair.id, text);
    struct bytes key = bytes_of(text, (size_t)n), in = bytes_of(data + 1, size - 1);
    buf_init(&value, 0);
    if (data[0] % 4 == 0)
        (void)buf_append_bytes(&value, in);
    else if (data[0] % 4 == 1)
        (void)envelope_seal(&pair, "conduit-dht-record", BYTES_LIT("/conduit/dht-record"), in,
                            &value);
    else if (data[0] % 4 == 2)
        (void)dht_record_sign(&pair, "node", data[0], NOW_MS + data[0], in, &value);
    else
        key = bytes_first(in, LIMIT_DHT_KEY);
    keep(key, buf_view(&value));
    buf_fini(&value);
    return 0;
}
