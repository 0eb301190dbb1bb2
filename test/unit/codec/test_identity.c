// SPDX-License-Identifier: MIT
/* Keys, peer ids, multiaddrs and envelopes: the vectors of the specifications, signatures of the
 * kinds others use, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "codec/envelope.h"
#include "codec/multiaddr.h"
#include "codec/multibase.h"
#include "codec/pb.h"
#include "codec/sha256.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <secp256k1.h>
#include <stdlib.h>

static struct bytes unhex(const char *text, uint8_t *out, size_t size)
{
    size_t n = strlen(text) / 2;
    assert_true(n <= size);
    assert_int_equal(hex_parse(bytes_str(text), out, n), 0);
    return bytes_of(out, n);
}

#define ED_ID "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"

static void peer_id_vectors(void **state)
{
    static const struct {
        const char *key, *text, *cid;
    } rows[] = {
        {"080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e", ED_ID,
         "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6"},
        {"08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99",
         "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
         "bafzaajiiaijcca3xo7uzjzcsyilaj6i54cj44qk7kqzpoao5rti2pjx6udtdbp6kte"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t raw[64];
        struct bytes key = unhex(rows[i].key, raw, sizeof raw);
        struct peer_id id, back;
        struct key_public pub;
        char text[PEER_ID_TEXT];
        struct buf cid;
        buf_init(&cid, 0);
        assert_int_equal(key_public_decode(key, &pub), 0);
        assert_int_equal(peer_id_from_key(key, &id), 0);
        assert_string_equal(peer_id_text(&id, text, sizeof text), rows[i].text);
        assert_int_equal(peer_id_cid(&id, &cid), 0);
        assert_true(bytes_eq_str(buf_view(&cid), rows[i].cid));
        assert_int_equal(peer_id_parse(bytes_str(rows[i].cid), &back), 0);
        assert_true(peer_id_eq(&id, &back));
        assert_int_equal(peer_id_parse(bytes_str(rows[i].text), &back), 0);
        assert_true(peer_id_eq(&id, &back));
        assert_true(bytes_eq(peer_id_inline_key(&id), key));
        for (size_t cut = 0; cut < strlen(rows[i].text); cut++) /* some are other ids by chance */
            assert_false(peer_id_parse(bytes_of(rows[i].text, cut), &back) == 0 &&
                         peer_id_eq(&id, &back));
        buf_fini(&cid);
    }
}

static void peer_ids_refused(void **state)
{
    struct peer_id id;
    uint8_t big[64] = {0x00, 62};
    static const char *const bad[] = {"",    "1", "Qm",     "12D3KooW0", "bafybeigdyrzt",
                                      "zzz", "k", ED_ID "1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(peer_id_parse(bytes_str(bad[i]), &id), E_MALFORMED);
    assert_int_equal(peer_id_decode(bytes_of(big, sizeof big), &id), E_TOO_BIG);
    assert_int_equal(peer_id_decode(BYTES_LIT("\x13\x01x"), &id), E_MALFORMED); /* another hash */
    assert_int_equal(peer_id_decode(BYTES_LIT("\x00\x01xy"), &id), E_MALFORMED);
}

static void public_keys_have_one_encoding(void **state)
{
    static const char *const bad[] = {
        "",
        "0801",
        "12201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e0801", /* order */
        "088100"
        "12201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e1a00", /* more */
        "0801121f1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce2", /* 31 bytes */
        "08011200",
    };
    struct key_public k;
    uint8_t raw[80];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(key_public_decode(unhex(bad[i], raw, sizeof raw), &k), E_MALFORMED);
    assert_int_equal(key_public_decode(unhex("0804120100", raw, sizeof raw), &k), E_UNSUPPORTED);
    uint8_t huge[2100] = {0};
    assert_int_equal(key_public_decode(bytes_of(huge, sizeof huge), &k), E_TOO_BIG);
}

static void our_key(void **state)
{
    struct rng r;
    struct key_pair k, again;
    uint8_t priv[KEY_PRIVATE_MESSAGE], pub[KEY_PUBLIC_MESSAGE], sig[KEY_SIG_SIZE], old[100];
    struct bytes m = BYTES_LIT("message");
    struct peer_id signer;
    rng_init_seeded(&r, 7);
    key_pair_generate(&k, &r);
    key_pair_private_message(&k, priv);
    key_pair_public_message(&k, pub);
    assert_int_equal(key_pair_decode(bytes_of(priv, sizeof priv), &again), 0);
    assert_memory_equal(&k, &again, sizeof k);
    memcpy(old, "\x08\x01\x12\x60", 4); /* old go: the public key twice */
    memcpy(old + 4, priv + 4, 64);
    memcpy(old + 68, k.public_key, 32);
    assert_int_equal(key_pair_decode(bytes_of(old, sizeof old), &again), 0);
    old[99] ^= 1;
    assert_int_equal(key_pair_decode(bytes_of(old, sizeof old), &again), E_AUTH);
    priv[50] ^= 1;
    assert_int_equal(key_pair_decode(bytes_of(priv, sizeof priv), &again), E_AUTH);
    assert_int_equal(key_pair_decode(bytes_of(priv, 40), &again), E_MALFORMED);
    key_sign(&k, m, sig);
    struct bytes s = bytes_of(sig, sizeof sig), p = bytes_of(pub, sizeof pub);
    assert_int_equal(key_verify_message(p, m, s, &signer), 0);
    assert_true(peer_id_eq(&signer, &k.id));
    for (size_t i = 0; i < sizeof sig; i++) {
        sig[i] ^= 0x40;
        assert_int_equal(key_verify_message(p, m, s, &signer), E_AUTH);
        sig[i] ^= 0x40;
    }
    assert_int_equal(key_verify_message(p, m, bytes_first(s, 63), &signer), E_AUTH);
    key_pair_fini(&k);
    for (size_t i = 0; i < sizeof k.secret; i++)
        assert_int_equal(k.secret[i], 0);
}

static void secp256k1_also_with_high_s(void **state)
{
    secp256k1_context *ctx = secp256k1_context_create(SECP256K1_CONTEXT_SIGN);
    uint8_t secret[32] = {[31] = 5}, digest[32], der[80], pub[33];
    secp256k1_pubkey point;
    secp256k1_ecdsa_signature sig, high;
    size_t n = sizeof pub;
    struct bytes m = BYTES_LIT("message");
    assert_true(secp256k1_ec_pubkey_create(ctx, &point, secret));
    secp256k1_ec_pubkey_serialize(ctx, pub, &n, &point, SECP256K1_EC_COMPRESSED);
    struct key_public k = {KEY_SECP256K1, bytes_of(pub, n)};
    sha256(m, digest);
    assert_true(secp256k1_ecdsa_sign(ctx, &sig, digest, secret, NULL, NULL));
    n = sizeof der;
    secp256k1_ecdsa_signature_serialize_der(ctx, der, &n, &sig);
    assert_int_equal(key_verify(&k, m, bytes_of(der, n)), 0);
    assert_int_equal(key_verify(&k, BYTES_LIT("other"), bytes_of(der, n)), E_AUTH);
    /* the other S: order - s */
    uint8_t compact[64], order[32];
    unhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", order, 32);
    secp256k1_ecdsa_signature_serialize_compact(ctx, compact, &sig);
    for (int i = 31, borrow = 0; i >= 0; i--) {
        int v = order[i] - compact[32 + i] - borrow;
        borrow = v < 0;
        compact[32 + i] = (uint8_t)v;
    }
    assert_true(secp256k1_ecdsa_signature_parse_compact(ctx, &high, compact));
    n = sizeof der;
    secp256k1_ecdsa_signature_serialize_der(ctx, der, &n, &high);
    assert_int_equal(key_verify(&k, m, bytes_of(der, n)), 0);
    pub[0] = 9;
    assert_int_equal(key_verify(&k, m, bytes_of(der, n)), E_MALFORMED);
    secp256k1_context_destroy(ctx);
}

static void sign_with_openssl(EVP_PKEY *key, enum key_kind kind, int want)
{
    uint8_t *spki = NULL, sig[1100];
    size_t sig_n = sizeof sig;
    struct bytes m = BYTES_LIT("message");
    int n = i2d_PUBKEY(key, &spki);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key);
    assert_int_equal(EVP_DigestSign(ctx, sig, &sig_n, m.p, m.n), 1);
    struct buf message;
    buf_init(&message, 0);
    struct pb_writer w = pb_write(&message);
    pb_put_u64(&w, 1, kind);
    pb_put_bytes(&w, 2, bytes_of(spki, (size_t)n));
    struct peer_id id;
    char text[PEER_ID_TEXT];
    assert_int_equal(key_verify_message(buf_view(&message), m, bytes_of(sig, sig_n), &id), want);
    if (want == 0) {
        assert_int_equal(id.len, 34);
        assert_memory_equal(peer_id_text(&id, text, sizeof text), "Qm", 2);
        sig[sig_n / 2] ^= 1;
        assert_int_equal(key_verify_message(buf_view(&message), m, bytes_of(sig, sig_n), &id),
                         E_AUTH);
    }
    buf_fini(&message);
    OPENSSL_free(spki);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static void rsa_and_ecdsa(void **state)
{
    sign_with_openssl(EVP_RSA_gen(2048), KEY_RSA, 0);
    sign_with_openssl(EVP_RSA_gen(1024), KEY_RSA, E_MALFORMED); /* too small to be believed */
    sign_with_openssl(EVP_EC_gen("P-256"), KEY_ECDSA, 0);
    sign_with_openssl(EVP_EC_gen("P-256"), KEY_RSA, E_MALFORMED); /* not of its kind */
}

static void multiaddr_vectors(void **state)
{
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"/ip4/127.0.0.1/tcp/4001", "047f000001060fa1"},
        {"/ip4/127.0.0.1/tcp/4001/p2p/" ED_ID, "047f000001060fa1a503260024080112201ed1e8fae2c4a144b"
                                               "8be8fd4b47bf3d3b34b871c3cacf6010f0e42d4"
                                               "74fce27e"},
        {"/ip6/::1/udp/4001/quic-v1", "290000000000000000000000000000000191020fa1cd03"},
        {"/dns4/example.com/tcp/443/tls/ws", "360b6578616d706c652e636f6d0601bbc003dd03"},
        {"/unix/%2Frun%2Fx.sock", "90030b2f72756e2f782e736f636b"},
        {"/p2p-circuit", "a202"},
        {"/memory/7", "89060137"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t raw[128];
        char text[256];
        struct multiaddr m;
        struct bytes want = unhex(rows[i].hex, raw, sizeof raw);
        assert_int_equal(multiaddr_parse(bytes_str(rows[i].text), &m), 0);
        assert_true(bytes_eq(multiaddr_bytes(&m), want));
        assert_string_equal(multiaddr_text(want, text, sizeof text), rows[i].text);
        /* a cut address is another one, or none; never a read past its end */
        for (size_t cut = 0; cut < want.n; cut++) {
            uint8_t *exact = malloc(cut ? cut : 1);
            memcpy(exact, want.p, cut);
            int err = multiaddr_check(bytes_of(exact, cut));
            assert_true(err == 0 || err == E_MALFORMED);
            free(exact);
        }
    }
    static const char *const others[] = {
        "/dnsaddr/bootstrap.libp2p.io",
        "/ip6zone/eth0/ip6/fe80::1/tcp/80",
        "/ip4/10.0.0.0/ipcidr/8",
        "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
        "/ip4/1.2.3.4/tcp/1/p2p/" ED_ID "/p2p-circuit",
        "/tcp/0/http/http-path/a%2Fb",
        "/sni/x",
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        char text[256];
        struct multiaddr m;
        assert_int_equal(multiaddr_parse(bytes_str(others[i]), &m), 0);
        assert_string_equal(multiaddr_text(multiaddr_bytes(&m), text, sizeof text), others[i]);
    }
}

static void multiaddrs_refused(void **state)
{
    static const struct {
        const char *text;
        int err;
    } rows[] = {
        {"", E_MALFORMED},
        {"/", E_MALFORMED},
        {"ip4/1.2.3.4", E_MALFORMED},
        {"/ip4", E_MALFORMED},
        {"/ip4/1.2.3", E_MALFORMED},
        {"/ip4/::1", E_MALFORMED},
        {"/tcp/65536", E_MALFORMED},
        {"/tcp/-1", E_MALFORMED},
        {"/ip4/1.2.3.4//tcp/1", E_MALFORMED},
        {"/nope/1", E_UNSUPPORTED},
        {"/p2p/abc", E_MALFORMED},
        {"/dns/a b", E_MALFORMED},
        {"/ip6/fe80::1%eth0", E_MALFORMED},
    };
    struct multiaddr m;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(multiaddr_parse(bytes_str(rows[i].text), &m), rows[i].err);
    assert_int_equal(multiaddr_check(BYTES_LIT("\x04\x7f\x00\x00\x01\xff\x7f")), E_UNSUPPORTED);
    uint8_t big[LIMIT_MULTIADDR + 3];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = i % 2 ? 0x02 : 0xa2; /* p2p-circuit again and again */
    assert_int_equal(multiaddr_check(bytes_of(big, sizeof big - 1)), E_TOO_BIG);
    assert_int_equal(multiaddr_check(bytes_of(big, LIMIT_MULTIADDR)), 0);
    m.n = LIMIT_MULTIADDR - 2;
    assert_int_equal(multiaddr_add_port(&m, MA_TCP, 1), E_TOO_BIG);
    assert_int_equal(m.n, LIMIT_MULTIADDR - 2);
}

static void what_people_type(void **state)
{
    static const struct {
        const char *typed, *want;
    } rows[] = {
        {"1.2.3.4:80", "/ip4/1.2.3.4/tcp/80"},
        {"1.2.3.4", "/ip4/1.2.3.4/tcp/8000"},
        {"[::1]:80", "/ip6/::1/tcp/80"},
        {"::1", "/ip6/::1/tcp/8000"},
        {"example.com:9", "/dns/example.com/tcp/9"},
        {" home ", "/dns/home/tcp/8000"},
        {"/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1"},
        {"[::1]", "/ip6/::1/tcp/8000"},
    };
    static const char *const bad[] = {"", ":80", "a:b", "a:70000", "a b:1", "[::1", "[::1]x", "a:"};
    struct multiaddr m;
    char text[128];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(multiaddr_parse_loose(bytes_str(rows[i].typed), 8000, &m), 0);
        assert_string_equal(multiaddr_text(multiaddr_bytes(&m), text, sizeof text), rows[i].want);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(multiaddr_parse_loose(bytes_str(bad[i]), 8000, &m), E_MALFORMED);
}

static void questions_to_addresses(void **state)
{
    struct multiaddr m, with;
    struct net_addr a;
    struct multiaddr_host h;
    struct peer_id id, other = {.len = 3, .b = {0, 1, 'x'}};
    assert_int_equal(peer_id_parse(BYTES_LIT(ED_ID), &id), 0);
    multiaddr_parse(BYTES_LIT("/ip4/1.2.3.4/tcp/80/p2p/" ED_ID), &m);
    assert_int_equal(multiaddr_to_net(multiaddr_bytes(&m), &a), 0);
    assert_int_equal(a.port, 80);
    assert_int_equal(multiaddr_peer(multiaddr_bytes(&m), &id), 0);
    assert_int_equal(multiaddr_without_peer(multiaddr_bytes(&m)).n, 8);
    assert_int_equal(multiaddr_with_peer(multiaddr_bytes(&m), &other, &with), E_WRONG_PEER);
    assert_int_equal(multiaddr_with_peer(multiaddr_without_peer(multiaddr_bytes(&m)), &id, &with),
                     0);
    assert_true(bytes_eq(multiaddr_bytes(&m), multiaddr_bytes(&with)));
    multiaddr_parse(BYTES_LIT("/dns6/h.example/tcp/80"), &m);
    assert_int_equal(multiaddr_to_net(multiaddr_bytes(&m), &a), E_NOT_FOUND);
    assert_int_equal(multiaddr_to_host(multiaddr_bytes(&m), &h), 0);
    assert_true(h.code == MA_DNS6 && h.port == 80 && bytes_eq_str(h.name, "h.example"));
    assert_int_equal(multiaddr_peer(multiaddr_bytes(&m), &id), E_NOT_FOUND);
    static const char *const not_tcp[] = {
        "/ip4/1.2.3.4/tcp/80/ws", "/ip4/1.2.3.4/udp/80/quic-v1", "/dnsaddr/x",
        "/ip4/1.2.3.4/tcp/80/p2p/" ED_ID "/p2p-circuit/p2p/" ED_ID};
    for (size_t i = 0; i < ARRAY_LEN(not_tcp); i++) {
        multiaddr_parse(bytes_str(not_tcp[i]), &m);
        assert_false(multiaddr_is_tcp(multiaddr_bytes(&m)));
    }
    assert_true(multiaddr_is_relayed(multiaddr_bytes(&m)));
    multiaddr_parse(BYTES_LIT("/dnsaddr/x.org"), &m);
    assert_true(bytes_eq_str(multiaddr_dnsaddr(multiaddr_bytes(&m)), "x.org"));
}

static void peer_records(void **state)
{
    struct key_pair k;
    struct multiaddr m;
    struct peer_record rec;
    struct buf b;
    uint8_t seed[32] = {1};
    key_pair_from_seed(&k, seed);
    multiaddr_parse(BYTES_LIT("/ip4/1.2.3.4/tcp/80"), &m);
    struct bytes addrs[] = {multiaddr_bytes(&m), BYTES_LIT("\xff\x7f")}; /* one of them unknown */
    buf_init(&b, 0);
    assert_int_equal(peer_record_seal(&k, 42, addrs, 2, &b), 0);
    assert_int_equal(peer_record_open(buf_view(&b), &rec), 0);
    assert_true(rec.seq == 42 && rec.addr_count == 1 && peer_id_eq(&rec.peer, &k.id));
    assert_true(bytes_eq(rec.addrs[0], addrs[0]));
    for (size_t cut = 0; cut < buf_len(&b); cut++)
        assert_int_not_equal(peer_record_open(bytes_first(buf_view(&b), cut), &rec), 0);
    for (size_t i = 0; i < buf_len(&b); i++) {
        b.base[b.head + i] ^= 0x01;
        assert_int_not_equal(peer_record_open(buf_view(&b), &rec), 0);
        b.base[b.head + i] ^= 0x01;
    }
    buf_clear(&b);
    /* rust's form, and a record about somebody else */
    struct buf payload;
    buf_init(&payload, 0);
    struct pb_writer w = pb_write(&payload);
    pb_put_bytes(&w, 1, peer_id_bytes(&k.id));
    pb_put_u64(&w, 2, 7);
    assert_int_equal(envelope_seal(&k, "libp2p-routing-state",
                                   BYTES_LIT("/libp2p/routing-state-record"), buf_view(&payload),
                                   &b),
                     0);
    assert_int_equal(peer_record_open(buf_view(&b), &rec), 0);
    assert_int_equal(rec.seq, 7);
    struct envelope e;
    assert_int_equal(envelope_open(buf_view(&b), "another-domain", &e), E_AUTH);
    seed[0] = 2;
    struct key_pair thief;
    key_pair_from_seed(&thief, seed);
    buf_clear(&b);
    envelope_seal(&thief, "libp2p-peer-record", BYTES_LIT("\x03\x01"), buf_view(&payload), &b);
    assert_int_equal(peer_record_open(buf_view(&b), &rec), E_WRONG_PEER);
    buf_fini(&payload);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_id_vectors),
        cmocka_unit_test(peer_ids_refused),
        cmocka_unit_test(public_keys_have_one_encoding),
        cmocka_unit_test(our_key),
        cmocka_unit_test(secp256k1_also_with_high_s),
        cmocka_unit_test(rsa_and_ecdsa),
        cmocka_unit_test(multiaddr_vectors),
        cmocka_unit_test(multiaddrs_refused),
        cmocka_unit_test(what_people_type),
        cmocka_unit_test(questions_to_addresses),
        cmocka_unit_test(peer_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
