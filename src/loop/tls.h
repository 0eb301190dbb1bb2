// SPDX-License-Identifier: MIT
/* Certificates and settings that TLS streams share. Private to this room. */
#ifndef CONDUIT_LOOP_TLS_H
#define CONDUIT_LOOP_TLS_H

#include "loop/loop.h"

#include <openssl/ssl.h>

struct loop_tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *bio; /* made by the stream's file; must outlive every stream */
    unsigned refs;
};

void tls_context_put(struct loop_tls_context *c);
/* tls.c: how OpenSSL reads and writes the stream beneath. */
BIO_METHOD *tls_bio_new(void);

#endif
