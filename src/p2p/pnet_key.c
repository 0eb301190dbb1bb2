// SPDX-License-Identifier: MIT
/* See pnet_key.h. */
#include "p2p/pnet_key.h"

#include "base/err.h"
#include "base/mem.h"
#include "codec/multibase.h"

#include <assert.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

static const char header[] = "/key/swarm/psk/1.0.0/";

/* The next line without its end, which may be CRLF; *in is advanced over it. */
static struct bytes take_line(struct bytes *in)
{
    const uint8_t *nl = in->n ? memchr(in->p, '\n', in->n) : NULL;
    size_t n = nl ? (size_t)(nl - in->p) : in->n;
    struct bytes line = bytes_first(*in, n);
    *in = bytes_skip(*in, nl ? n + 1 : n);
    while (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

static bool is_space(uint8_t c)
{
    return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

static struct bytes without_space_behind(struct bytes b)
{
    while (b.n && is_space(b.p[b.n - 1]))
        b.n--;
    return b;
}

static int read_text(enum base_kind kind, struct bytes text, struct pnet_key *out)
{
    uint8_t *room;
    struct buf raw;
    if (text.n > 2 * PNET_KEY)
        return E_MALFORMED;
    buf_init(&raw, 0);
    /* One reservation: a buffer that grows would leave a copy of the key behind. */
    int err = buf_reserve(&raw, 2 * PNET_KEY, &room);
    err = err ? err : base_decode(kind, text, &raw);
    if (!err && buf_len(&raw) != PNET_KEY)
        err = E_MALFORMED;
    if (!err)
        memcpy(out->b, raw.base + raw.head, PNET_KEY);
    if (buf_len(&raw))
        mem_wipe((uint8_t *)buf_view(&raw).p, buf_len(&raw));
    buf_fini(&raw);
    return err ? E_MALFORMED : 0;
}

int pnet_key_read(struct bytes file, struct pnet_key *out, const char **why)
{
    struct bytes in = file;
    *out = (struct pnet_key){0};
    if (!bytes_eq_str(take_line(&in), header)) {
        *why = "its first line is not /key/swarm/psk/1.0.0/";
        return E_MALFORMED;
    }
    struct bytes encoding = take_line(&in);
    if (bytes_eq_str(encoding, "/bin/")) {
        *why = "after /bin/ there must be exactly 32 bytes";
        if (in.n != PNET_KEY)
            return E_MALFORMED;
        memcpy(out->b, in.p, PNET_KEY);
        return 0;
    }
    struct bytes text = without_space_behind(in);
    if (bytes_eq_str(encoding, "/base16/")) {
        *why = "its third line is not 64 hexadecimal digits, alone";
        return read_text(BASE_HEX, text, out);
    }
    if (bytes_eq_str(encoding, "/base64/")) {
        *why = "its third line is not 32 bytes in base64, alone";
        return read_text(BASE_64, text, out);
    }
    *why = "its second line is none of /base16/, /base64/ and /bin/";
    return E_MALFORMED;
}

int pnet_key_write(const struct pnet_key *k, struct buf *out)
{
    char hex[2 * PNET_KEY + 1];
    hex_format(bytes_of(k->b, PNET_KEY), hex);
    int err = buf_printf(out, "%s\n/base16/\n%s\n", header, hex);
    mem_wipe(hex, sizeof hex);
    return err;
}

void pnet_key_generate(struct pnet_key *k, struct rng *rng)
{
    rng_fill(rng, k->b, sizeof k->b);
}

void pnet_key_fini(struct pnet_key *k)
{
    mem_wipe(k, sizeof *k);
}

/* First a cipher, so that the hash never sees the key itself: kubo's way, in no specification. */
char *pnet_fingerprint(const struct pnet_key *k, char out[static PNET_FINGERPRINT_TEXT])
{
    static const uint8_t nonce[crypto_stream_salsa20_NONCEBYTES + 1] = "finprint";
    uint8_t keystream[64], print[PNET_FINGERPRINT];
    crypto_stream_salsa20(keystream, sizeof keystream, nonce, k->b);
    EVP_MD_CTX *shake = EVP_MD_CTX_new();
    int ok = shake && EVP_DigestInit_ex(shake, EVP_shake128(), NULL) == 1 &&
             EVP_DigestUpdate(shake, keystream, sizeof keystream) == 1 &&
             EVP_DigestFinalXOF(shake, print, sizeof print) == 1;
    assert(ok);
    EVP_MD_CTX_free(shake);
    mem_wipe(keystream, sizeof keystream);
    return hex_format(bytes_of(print, sizeof print), out);
}
