// SPDX-License-Identifier: MIT
/* Certificates and settings shared by TLS connections. A context lives until its owner and the last
 * connection are done with it. */
#include "loop/tls.h"

#include "base/mem.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

/* We speak HTTP/1.1 and say so; a client that offers no ALPN is served too (RFC 7301 §3.2). */
static const unsigned char alpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, alpn, sizeof alpn, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int explain(char why[static 256], const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(why, 256, "%s %s: %s", what, file, reason ? reason : "unknown error");
    ERR_clear_error();
    return E_INVALID;
}

static int load_server(SSL_CTX *ssl, const struct loop_tls_options *o, char why[static 256])
{
    if (SSL_CTX_use_certificate_chain_file(ssl, o->cert_file) != 1)
        return explain(why, "cannot use certificate", o->cert_file);
    const char *key = o->key_file ? o->key_file : o->cert_file;
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
        return explain(why, "cannot use key", key);
    SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, NULL);
    return 0;
}

static int load_client(SSL_CTX *ssl, const struct loop_tls_options *o, char why[static 256])
{
    if (o->ca_file && SSL_CTX_load_verify_file(ssl, o->ca_file) != 1)
        return explain(why, "cannot use CA file", o->ca_file);
    if (!o->ca_file && SSL_CTX_set_default_verify_paths(ssl) != 1)
        return explain(why, "cannot use", "the system's CA certificates");
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_alpn_protos(ssl, alpn, sizeof alpn) != 0)
        return explain(why, "cannot set", "ALPN");
    return 0;
}

int loop_tls_context_new(const struct loop_tls_options *opts, struct loop_tls_context **out,
                         char why[static 256])
{
    struct loop_tls_context *c = MEM_NEW(struct loop_tls_context);
    why[0] = 0;
    c->refs = 1;
    c->ssl = SSL_CTX_new(opts->cert_file ? TLS_server_method() : TLS_client_method());
    c->bio = tls_bio_new();
    if (!c->ssl || !c->bio) {
        tls_context_put(c);
        return explain(why, "cannot start", "OpenSSL");
    }
    SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION);
    /* An idle connection keeps no 16 KiB buffers; a record is read with one call, not two. */
    SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(c->ssl, 1);
    int err = opts->cert_file ? load_server(c->ssl, opts, why) : load_client(c->ssl, opts, why);
    if (err) {
        tls_context_put(c);
        return err;
    }
    *out = c;
    return 0;
}

void tls_context_put(struct loop_tls_context *c)
{
    if (--c->refs > 0)
        return;
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    free(c);
}

void loop_tls_context_free(struct loop_tls_context *c)
{
    if (c)
        tls_context_put(c);
}
