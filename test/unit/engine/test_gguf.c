// SPDX-License-Identifier: MIT
/* GGUFs that are right, that are cut anywhere, and that lie about each thing they can lie about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "engine/gguf_file.h"
#include "engine/name.h"
#include "gguf_make.h"

static char why[GGUF_WHY];

static int check(struct gguf_make *m, struct gguf_summary *sum)
{
    int err = make_check(make_end(m), sum, why);
    make_fini(m);
    return err;
}

#define EXPECT(m, wanted, words)                                                                   \
    do {                                                                                           \
        struct gguf_summary s_;                                                                    \
        int err_ = check(m, &s_);                                                                  \
        if (err_ != (wanted) || !strstr(why, words))                                               \
            fail_msg("got %s '%s', wanted %s '%s'", err_name(err_), why, err_name(wanted), words); \
    } while (0)

static void good_file(void **state)
{
    struct gguf_make m;
    struct gguf_summary s;
    make_good(&m);
    assert_int_equal(check(&m, &s), 0);
    assert_string_equal(s.name, "Tiny Model");
    assert_string_equal(s.architecture, "llama");
    assert_string_equal(s.quant, "Q4_K_M");
    assert_string_equal(s.tokenizer, "llama");
    assert_int_equal(s.ctx_train, 512);
    assert_int_equal(s.block_count, 2);
    assert_int_equal(s.vocabulary, 3);
    assert_int_equal(s.parameters, 26);
    assert_int_equal(s.tensor_bytes, 104);
    assert_true(s.has_chat_template && s.has_tools);
    assert_false(s.is_embedding || s.has_reasoning);
}

static void quant_from_tensors(void **state)
{
    struct gguf_make m;
    struct gguf_summary s;
    make_init(&m);
    make_str(&m, "general.architecture", "bert");
    uint64_t n = 64;
    make_tensor_at(&m, "a", 1, &n, 8, 0); /* 2 blocks of Q8_0: 68 bytes */
    m.data_n = 68;
    assert_int_equal(check(&m, &s), 0);
    assert_string_equal(s.quant, "Q8_0");
    assert_true(s.is_embedding);
}

/* Every beginning of a good file is refused, with a sentence, except where only padding of the very last
 * tensor's data is not there (there is none here). */
static void every_truncation(void **state)
{
    struct gguf_make m;
    struct gguf_summary s;
    make_good(&m);
    struct bytes file = make_end(&m);
    for (size_t n = 0; n < file.n; n++) {
        int err = make_check(bytes_first(file, n), &s, why);
        if (err == 0 || !why[0])
            fail_msg("cut after %zu of %zu bytes: %s '%s'", n, file.n, err_name(err), why);
    }
    assert_int_equal(make_check(file, &s, why), 0);
    make_fini(&m);
}

/* Any byte of the head may be anything: no crash, and no endless loop. */
static void random_bytes(void **state)
{
    struct gguf_make m;
    struct rng r;
    rng_init_seeded(&r, 7);
    make_good(&m);
    struct bytes file = make_end(&m);
    uint8_t *copy = mem_new(file.n);
    for (int round = 0; round < 20000; round++) {
        struct gguf_summary s;
        memcpy(copy, file.p, file.n);
        for (uint64_t k = rng_below(&r, 4) + 1; k > 0; k--)
            copy[rng_below(&r, file.n)] = (uint8_t)rng_u64(&r);
        make_check(bytes_of(copy, file.n), &s, why);
    }
    free(copy);
    make_fini(&m);
}

static void lies_in_the_head(void **state)
{
    struct gguf_make m;
    struct gguf_summary s;
    assert_int_equal(make_check(BYTES_LIT("GGML\3\0\0\0"), &s, why), E_MALFORMED);
    assert_non_null(strstr(why, "not a GGUF"));
    make_good(&m), m.version = 1;
    EXPECT(&m, E_UNSUPPORTED, "version 1");
    make_good(&m), m.version = 0x03000000;
    EXPECT(&m, E_UNSUPPORTED, "big-endian");
    make_good(&m), m.lie_tensors = UINT64_MAX - 10;
    EXPECT(&m, E_LIMIT, "tensors");
    make_good(&m), m.lie_tensors = LIMIT_GGUF_TENSORS;
    EXPECT(&m, E_LIMIT, "tensors");
    make_good(&m), m.lie_pairs = LIMIT_GGUF_PAIRS;
    EXPECT(&m, E_LIMIT, "pairs");
    make_good(&m), m.lie_tensors = 1;
    EXPECT(&m, E_MALFORMED, "");
}

static void lies_in_pairs(void **state)
{
    struct gguf_make m;
    make_good(&m), make_str(&m, "general.name", "again");
    EXPECT(&m, E_DUPLICATE, "'general.name' is there twice");
    make_good(&m), make_pair(&m, "x", 13);
    EXPECT(&m, E_MALFORMED, "unknown type 13");
    make_good(&m), make_pair(&m, "bad key", 0);
    EXPECT(&m, E_MALFORMED, "not plain");
    make_good(&m), put_int(make_pair(&m, "x", 8), UINT64_MAX, 8);
    EXPECT(&m, E_MALFORMED, "left in the file");
    make_good(&m), make_array(&m, "x", 0, UINT64_MAX);
    EXPECT(&m, E_MALFORMED, "elements");
    make_good(&m), make_array(&m, "x", 4, UINT64_C(1) << 62); /* times 4 wraps */
    EXPECT(&m, E_MALFORMED, "elements");
    make_good(&m), make_array(&m, "x", 9, 1);
    EXPECT(&m, E_MALFORMED, "array of arrays");
    make_good(&m), make_array(&m, "x", 99, 1);
    EXPECT(&m, E_MALFORMED, "unknown type");
    make_good(&m), put_text(&m.pairs, "k"), m.pair_count++;
    EXPECT(&m, E_MALFORMED, "");
}

static void lies_about_the_model(void **state)
{
    struct gguf_make m;
    make_init(&m), make_u32(&m, "general.name", 1);
    EXPECT(&m, E_MALFORMED, "not a string");
    make_init(&m), make_str(&m, "general.name", "x");
    EXPECT(&m, E_MALFORMED, "general.architecture is missing");
    make_init(&m), make_str(&m, "general.architecture", "llama"),
        make_u32(&m, "llama.block_count", 513);
    EXPECT(&m, E_LIMIT, "block_count' is 513");
    make_init(&m), make_str(&m, "general.architecture", "llama");
    put_int(make_pair(&m, "llama.block_count", 5), 0xffffffff, 4);
    EXPECT(&m, E_MALFORMED, "negative");
    make_init(&m), make_str(&m, "general.architecture", "llama"),
        make_str(&m, "llama.block_count", "2");
    EXPECT(&m, E_MALFORMED, "not a whole number");
    make_good(&m), make_u32(&m, "general.alignment", 24);
    EXPECT(&m, E_MALFORMED, "power of two");
    make_good(&m), make_u32(&m, "general.alignment", 0);
    EXPECT(&m, E_LIMIT, "alignment");
    make_good(&m), make_u32(&m, "split.no", 3), make_u32(&m, "split.count", 2);
    EXPECT(&m, E_MALFORMED, "part 4 of 2");
}

static void lies_in_the_vocabulary(void **state)
{
    struct gguf_make m;
    make_good(&m), make_array(&m, "tokenizer.ggml.scores", 4, 3), put_int(&m.pairs, 0, 8),
        put_int(&m.pairs, 0, 4);
    EXPECT(&m, E_MALFORMED, "not an array of f32");
    make_good(&m), make_array(&m, "tokenizer.ggml.scores", 6, 2), put_int(&m.pairs, 0, 8);
    EXPECT(&m, E_MALFORMED, "3 tokens, but 2 of their scores");
    make_good(&m), make_array(&m, "tokenizer.ggml.merges", 4, 0);
    EXPECT(&m, E_MALFORMED, "not an array of string");
    make_good(&m), make_str(&m, "tokenizer.ggml.merges", "x");
    EXPECT(&m, E_MALFORMED, "not an array");
    make_init(&m), make_str(&m, "general.architecture", "plamo2");
    make_array(&m, "tokenizer.ggml.tokens", 8, 1), put_text(&m.pairs, "<0x-1>");
    make_array(&m, "tokenizer.ggml.token_type", 5, 1), put_int(&m.pairs, 6, 4);
    EXPECT(&m, E_MALFORMED, "not <0xNN>");
}

static void too_long(void **state)
{
    struct gguf_make m;
    make_good(&m);
    put_int(&m.pairs, LIMIT_GGUF_KEY + 1, 8);
    for (int i = 0; i < LIMIT_GGUF_KEY + 1; i++)
        buf_append_byte(&m.pairs, 'k');
    m.pair_count++;
    EXPECT(&m, E_LIMIT, "at most 256");
    make_good(&m), make_array(&m, "x", 0, LIMIT_GGUF_ARRAY + 1);
    uint8_t *zeros = mem_new(LIMIT_GGUF_ARRAY + 1);
    buf_append(&m.pairs, zeros, LIMIT_GGUF_ARRAY + 1);
    EXPECT(&m, E_LIMIT, "elements");
    make_init(&m), make_str(&m, "general.architecture", "llama");
    make_pair(&m, "tokenizer.chat_template", 8), put_int(&m.pairs, LIMIT_GGUF_TEMPLATE + 1, 8);
    buf_append(&m.pairs, zeros, LIMIT_GGUF_TEMPLATE + 1);
    EXPECT(&m, E_LIMIT, "template");
    free(zeros);
}

static void lies_in_tensors(void **state)
{
    struct gguf_make m;
    uint64_t one = 1, huge[] = {UINT64_C(1) << 40, UINT64_C(1) << 40, 1, 1}, none = 0;
    uint64_t wrap[] = {UINT64_C(1) << 62, 1}, odd = 33, seven[] = {1, 1, 1, 1, 1, 1, 1};
    make_good(&m), make_tensor_at(&m, "x", 0, NULL, 0, 0);
    EXPECT(&m, E_MALFORMED, "0 dimensions");
    make_good(&m), make_tensor_at(&m, "x", 7, seven, 0, 0);
    EXPECT(&m, E_MALFORMED, "7 dimensions");
    make_good(&m), make_tensor_at(&m, "x", 1, &none, 0, 128);
    EXPECT(&m, E_MALFORMED, "shape that cannot be");
    make_good(&m), make_tensor_at(&m, "x", 2, huge, 0, 128);
    EXPECT(&m, E_MALFORMED, "shape that cannot be");
    make_good(&m), make_tensor_at(&m, "x", 2, wrap, 28, 128); /* × 8 bytes wraps */
    EXPECT(&m, E_MALFORMED, "larger than any memory");
    make_good(&m), make_tensor_at(&m, "x", 1, &one, 31, 128);
    EXPECT(&m, E_UNSUPPORTED, "unknown type 31");
    make_good(&m), make_tensor_at(&m, "x", 1, &odd, 8, 128);
    EXPECT(&m, E_MALFORMED, "cannot hold");
    make_good(&m), make_tensor_at(&m, "x", 1, &one, 0, 0);
    EXPECT(&m, E_MALFORMED, "it must be at 128");
    make_good(&m), make_tensor_at(&m, "x", 1, &one, 0, UINT64_MAX - 31);
    EXPECT(&m, E_MALFORMED, "it must be at 128");
    make_good(&m), make_tensor_at(&m, "output.weight", 1, &one, 0, 128);
    EXPECT(&m, E_DUPLICATE, "'output.weight' is there twice");
    make_good(&m), make_tensor_at(&m, "", 1, &one, 0, 128);
    EXPECT(&m, E_MALFORMED, "no proper name");
    make_good(&m), m.data_n -= 1;
    EXPECT(&m, E_MALFORMED, "the file has");
}

static void terminal_codes_are_not_shown(void **state)
{
    struct gguf_make m;
    uint64_t none = 0;
    make_good(&m), make_tensor_at(&m, "a\033[2Jb", 1, &none, 0, 128);
    EXPECT(&m, E_MALFORMED, "a?[2Jb");
}

/* --- split files --- */
static void write_file(const char *path, struct bytes b)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fwrite(b.p, 1, b.n, f);
    fclose(f);
}

static void write_part(const char *dir, unsigned name_no, unsigned no, unsigned count)
{
    struct gguf_make m;
    char path[300];
    make_init(&m);
    if (no == 0)
        make_str(&m, "general.architecture", "llama");
    make_u32(&m, "split.no", no);
    make_u32(&m, "split.count", count);
    make_vector(&m, no ? "b" : "a", 8);
    snprintf(path, sizeof path, "%s/big-%05u-of-%05u.gguf", dir, name_no, count);
    write_file(path, make_end(&m));
    make_fini(&m);
}

static void split_files(void **state)
{
    char dir[] = "/tmp/conduit-gguf-XXXXXX", path[300], text[GGUF_FILE_WHY];
    struct gguf_summary s;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/big-00001-of-00002.gguf", dir);
    write_part(dir, 1, 0, 2);
    assert_int_equal(gguf_file_check(path, 1, &s, text), E_NOT_FOUND);
    assert_non_null(strstr(text, "00002-of-00002"));
    write_part(dir, 2, 0, 2);
    assert_int_equal(gguf_file_check(path, 1, &s, text), E_MALFORMED);
    assert_non_null(strstr(text, "part 1 of 2"));
    write_part(dir, 2, 1, 2);
    assert_int_equal(gguf_file_check(path, 1, &s, text), 0);
    assert_int_equal(s.parameters, 16);
    assert_int_equal(s.split_count, 2);
    snprintf(path, sizeof path, "%s/big-00002-of-00002.gguf", dir);
    assert_int_equal(gguf_file_check(path, 1, &s, text), E_INVALID);
    assert_int_equal(gguf_file_check("/nonexistent.gguf", 1, &s, text), E_NOT_FOUND);
    assert_non_null(strstr(text, "/nonexistent.gguf"));
    snprintf(path, sizeof path, "rm -r %s", dir);
    assert_int_equal(system(path), 0);
}

static void our_own_model(void **state)
{
    struct gguf_summary s;
    char text[GGUF_FILE_WHY];
    if (access("models/conduit-tiny.gguf", R_OK) != 0)
        skip();
    if (gguf_file_check("models/conduit-tiny.gguf", 1, &s, text) != 0)
        fail_msg("%s", text);
    assert_true(s.has_chat_template && s.ctx_train > 0 && s.parameters > 1000);
}

/* --- names --- */
static void names(void **state)
{
    char n[ENGINE_NAME];
    name_slug("Qwen2.5 7B  Instruct (GGUF)", n);
    assert_string_equal(n, "qwen2.5-7b-instruct-gguf");
    name_slug("  ", n);
    assert_string_equal(n, "");
    name_stem("/models/Foo-Q4_K_M-00001-of-00003.gguf", n);
    assert_string_equal(n, "foo-q4_k_m");
    name_stem("bar.gguf", n);
    assert_string_equal(n, "bar");
    assert_string_equal(name_split("my=/m/x.gguf", n), "/m/x.gguf");
    assert_string_equal(n, "my");
    assert_string_equal(name_split("/m/a=b.gguf", n), "/m/a=b.gguf");
    assert_string_equal(n, "");
    assert_string_equal(name_split("http://h/?a=b", n), "http://h/?a=b");
    assert_string_equal(name_split("echo:?tokens=3", n), "echo:?tokens=3");
    assert_string_equal(name_split("say=echo:?tokens=3", n), "echo:?tokens=3");
    assert_string_equal(n, "say");
    assert_null(name_split("=x", n));
    const char *d = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_true(name_matches(bytes_str("m"), "m", "Q4_0", d));
    assert_true(name_matches(bytes_str("m:q4_0"), "m", "Q4_0", d));
    assert_false(name_matches(bytes_str("m:q8_0"), "m", "Q4_0", d));
    assert_true(name_matches(bytes_str("m@sha256:01234567"), "m", "Q4_0", d));
    assert_false(name_matches(bytes_str("m@sha256:0"), "m", "Q4_0", d));
    assert_false(name_matches(bytes_str("m@sha256:ffffffff"), "m", "Q4_0", d));
    assert_false(name_matches(bytes_str("mm"), "m", "Q4_0", d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file),
        cmocka_unit_test(quant_from_tensors),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(lies_in_the_head),
        cmocka_unit_test(lies_in_pairs),
        cmocka_unit_test(lies_about_the_model),
        cmocka_unit_test(lies_in_the_vocabulary),
        cmocka_unit_test(too_long),
        cmocka_unit_test(lies_in_tensors),
        cmocka_unit_test(terminal_codes_are_not_shown),
        cmocka_unit_test(split_files),
        cmocka_unit_test(our_own_model),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
