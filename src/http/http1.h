// SPDX-License-Identifier: MIT
/* HTTP/1.1 as bytes (RFC 9112): heads of requests and responses, and the framing of bodies. Pure:
 * no sockets, no time, no memory of its own.
 *
 * The hard thing is what NOT to accept. Two readers that disagree about where a message ends let a
 * stranger smuggle a request past one of them, so everything with two readings is refused: both
 * lengths, a length given twice, folded lines, a bare CR or LF, blanks before the colon, codings
 * other than a lone `chunked`, chunk sizes that overflow or carry signs. Each refusal has a fault
 * of its own, with the status and the sentence it is answered with.
 *
 * A head is parsed where it lies: every view in `struct http_head` borrows from the input. */
#ifndef CONDUIT_HTTP_HTTP1_H
#define CONDUIT_HTTP_HTTP1_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

/* name, status we answer as a server, sentence */
#define HTTP_FAULTS(X)                                                                             \
    X(METHOD, 400, "the method is not a token")                                                    \
    X(TARGET, 400, "the request target is not a path or URL; percent-encode special characters")   \
    X(TARGET_LONG, 414, "the request target is too long")                                          \
    X(VERSION, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here")                                  \
    X(START_LINE, 400, "the first line is malformed")                                              \
    X(STATUS, 400, "the status is not three digits")                                               \
    X(BARE_CR, 400, "a CR without LF in the head")                                                 \
    X(BARE_LF, 400, "a LF without CR in the head")                                                 \
    X(OBS_FOLD, 400, "a header field is folded over lines")                                        \
    X(FIELD_NAME, 400, "a header field name is not a token")                                       \
    X(FIELD_SPACE, 400, "a blank before the colon of a header field")                              \
    X(FIELD_VALUE, 400, "a control character in a header field")                                   \
    X(HEAD_BIG, 431, "the header fields are too large")                                            \
    X(FIELDS_MANY, 431, "too many header fields")                                                  \
    X(HOST_MISSING, 400, "HTTP/1.1 needs a Host header field")                                     \
    X(HOST_TWICE, 400, "the Host header field is given twice")                                     \
    X(HOST_BAD, 400, "the Host header field is malformed")                                         \
    X(LENGTH_BAD, 400, "the Content-Length is not a number")                                       \
    X(LENGTH_TWICE, 400, "the Content-Length is given twice")                                      \
    X(BOTH_LENGTHS, 400, "both Content-Length and Transfer-Encoding are given")                    \
    X(CODING_UNKNOWN, 501, "the only transfer coding understood is chunked")                       \
    X(CODING_TWICE, 400, "the Transfer-Encoding is given twice")                                   \
    X(CODING_10, 400, "HTTP/1.0 has no Transfer-Encoding")                                         \
    X(EXPECT, 417, "the only expectation understood is 100-continue")                              \
    X(CHUNK_SIZE, 400, "a chunk size is not a hexadecimal number")                                 \
    X(CHUNK_HUGE, 413, "a chunk size is too large")                                                \
    X(CHUNK_EXT, 400, "chunk extensions are malformed or too long")                                \
    X(CHUNK_END, 400, "a chunk does not end where its size says")                                  \
    X(TRAILER, 400, "trailer fields are malformed or too long")                                    \
    X(TRUNCATED, 400, "it ended before it was complete")

enum http_fault {
    HTTP_FAULT_NONE = 0,
#define HTTP_FAULT_ENUM(name, status, text) HTTP_FAULT_##name,
    HTTP_FAULTS(HTTP_FAULT_ENUM)
#undef HTTP_FAULT_ENUM
};
int http_fault_status(enum http_fault f);
const char *http_fault_text(enum http_fault f);
const char *http_fault_name(enum http_fault f); /* "OBS_FOLD": for traces and tests */

enum http_method {
    HTTP_OTHER = 0, /* a token we have no name for; see head->method_text */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_CONNECT,
    HTTP_TRACE,
};

enum http_form { HTTP_FORM_ORIGIN, HTTP_FORM_ABSOLUTE, HTTP_FORM_AUTHORITY, HTTP_FORM_ASTERISK };

/* How the body is delimited. */
enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_EOF };

struct http_header {
    struct bytes name, value; /* name as it was written; value without blanks around it */
};

struct http_head {
    /* request */
    enum http_method method;
    enum http_form form;
    struct bytes method_text, target;
    struct bytes path, query; /* of the target, still percent-encoded; query without '?' */
    struct bytes host;        /* the target's authority in absolute form, else Host; may be empty */
    bool expects_continue;
    /* response */
    int status;
    struct bytes reason;
    /* both */
    uint8_t minor; /* HTTP/1.minor: 0 or 1 */
    bool keep_alive, has_upgrade;
    enum http_framing framing;
    uint64_t content_length; /* of HTTP_BODY_LENGTH; of a response to HEAD what it says, or 0 */
    struct http_header *headers;
    size_t header_count;
    size_t size;           /* bytes of the head with its empty line */
    enum http_fault fault; /* why it was refused */
};

/* Room for the fields of one head; may be shared by everybody who parses on one thread. */
struct http_header_table {
    struct http_header v[LIMIT_HTTP_HEADERS];
};

/* Parses the head at the start of `in`: 0; E_AGAIN when it is not whole yet; E_MALFORMED or E_LIMIT
 * with head->fault. `seen` is how much of `in` an earlier call answered E_AGAIN for (0 at first),
 * so that a head that comes byte by byte is not read over and over. */
int http_parse_request(struct bytes in, size_t seen, struct http_header_table *table,
                       struct http_head *head);
/* The same for a response to a request with `method`. */
int http_parse_response(struct bytes in, size_t seen, enum http_method method,
                        struct http_header_table *table, struct http_head *head);

/* First field of that name (any case), or an empty view with p == NULL. */
struct bytes http_header_get(const struct http_head *head, const char *name);
/* A comma-separated list has that token (any case). */
bool http_list_has(struct bytes list, const char *token);
/* A copy of head and fields in one allocation: free() it. NULL when out of memory. */
struct http_head *http_head_clone(const struct http_head *head);
enum http_method http_method_of(struct bytes text);
const char *http_method_name(enum http_method m); /* "GET"; "" for HTTP_OTHER */
const char *http_status_text(int status);         /* "Not Found"; "" for unknown ones */
/* Fit to be sent: a token; a value without control characters and blanks around it. */
bool http_is_token(struct bytes name);
bool http_is_field_value(struct bytes value);

/* --- bodies --- */

/* Takes a body's framing off, without copying. */
struct http_body {
    enum http_framing framing;
    uint8_t state; /* of chunked; see http_body.c */
    uint8_t digits;
    uint64_t left;     /* of the length, or of this chunk */
    uint64_t received; /* body bytes so far */
    size_t overhead;   /* bytes of extensions and trailers so far */
    enum http_fault fault;
};

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length);
/* Takes from the front of *in (which moves on) and gives the next slice of the body, a view into
 * it: 1         *out has bytes; call again 0         the body is complete; *in is what follows it
 *   E_AGAIN   *in is used up; more is needed
 *   E_MALFORMED, E_LIMIT   refused, see b->fault */
int http_body_step(struct http_body *b, struct bytes *in, struct bytes *out);
/* The sender closed: 0 when that ends the body, else E_EOF. */
int http_body_eof(const struct http_body *b);

/* Room that http_chunk_head needs. */
enum { HTTP_CHUNK_HEAD = 20 };
/* Writes "size CRLF"; returns how many bytes. */
size_t http_chunk_head(char out[static HTTP_CHUNK_HEAD], uint64_t size);

#endif
