// SPDX-License-Identifier: MIT
/* Heads of HTTP/1.1 messages, parsed where they lie; see http1.h.
 *
 * One pass over the bytes: start line, then line by line, each field looked at once for what it
 * says about framing. A parse that runs out of input is begun anew when more has come, but only
 * once a line has ended in what is new: at most one pass per line, however the bytes come. */
#include "http/http1.h"

#include "base/mem.h"

#include <stdlib.h>

enum { IN_VALUE = 1, IN_TARGET = 2, IN_TOKEN = 4, IN_HOST = 8 };
#define V   IN_VALUE
#define VT  (IN_VALUE | IN_TARGET)
#define VTK (VT | IN_TOKEN)
#define VTH (VT | IN_HOST)
#define ALL (VTK | IN_HOST)

/* Where a byte may stand: RFC 9110 §5.6.2 (token), §5.5 (value), RFC 3986 §3.2 (host). */
static const uint8_t byte_class[256] = {
    ['\t'] = V,           [' '] = V,
    ['!'] = ALL,          ['"'] = VT,
    ['#'] = V | IN_TOKEN, ['$' ... '\''] = ALL,
    ['(' ... ')'] = VTH,  ['*' ... '+'] = ALL,
    [','] = VTH,          ['-' ... '.'] = ALL,
    ['/'] = VT,           ['0' ... '9'] = ALL,
    [':' ... ';'] = VTH,  ['<'] = VT,
    ['='] = VTH,          ['>' ... '@'] = VT,
    ['A' ... 'Z'] = ALL,  ['['] = VTH,
    ['\\'] = VT,          [']'] = VTH,
    ['^'] = VTK,          ['_'] = ALL,
    ['`'] = VTK,          ['a' ... 'z'] = ALL,
    ['{'] = VT,           ['|'] = VTK,
    ['}'] = VT,           ['~'] = ALL,
    [0x80 ... 0xff] = V,
};

/* Cursor over the head, and what its fields said so far. */
struct parse {
    const uint8_t *p, *end;
    struct http_header_table *table;
    struct http_head *head;
    bool is_capped; /* more input lies behind `end`, past the limit */
    bool has_host, has_length, has_coding, says_close, says_keep_alive;
    struct bytes host_field;
};

static int refuse(struct parse *s, enum http_fault fault)
{
    s->head->fault = fault;
    return http_fault_status(fault) == 431 || http_fault_status(fault) == 414 ? E_LIMIT
                                                                              : E_MALFORMED;
}

/* The input ran out inside the head. */
static int starved(struct parse *s)
{
    return s->is_capped ? refuse(s, HTTP_FAULT_HEAD_BIG) : E_AGAIN;
}

/* First byte at or after `p` that is not of the class. */
static const uint8_t *skip_class(const uint8_t *p, const uint8_t *end, uint8_t class)
{
    while (p < end && byte_class[*p] & class)
        p++;
    return p;
}

/* First control character but HTAB at or after `p`; eight bytes at a time while it is easy. */
static const uint8_t *skip_value(const uint8_t *p, const uint8_t *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t del = w ^ (ones * 0x7f);
        if (((w - ones * 0x20) & ~w & highs) | ((del - ones) & ~del & highs))
            break; /* a control character, or DEL: the loop below says which */
        p += 8;
    }
    return skip_class(p, end, IN_VALUE);
}

/* The line end at s->p, which is not in the class that was being read. */
static int line_end(struct parse *s, enum http_fault otherwise)
{
    if (*s->p == '\n')
        return refuse(s, HTTP_FAULT_BARE_LF);
    if (*s->p != '\r')
        return refuse(s, otherwise);
    if (s->end - s->p < 2)
        return starved(s);
    if (s->p[1] != '\n')
        return refuse(s, HTTP_FAULT_BARE_CR);
    s->p += 2;
    return 0;
}

/* "HTTP/1.0" or "HTTP/1.1" at s->p. */
static int version(struct parse *s)
{
    static const char want[] = "HTTP/";
    for (int i = 0; i < 8; i++) {
        if (s->p + i >= s->end)
            return starved(s);
        uint8_t c = s->p[i];
        bool fits = i < 5 ? c == want[i] : i == 6 ? c == '.' : c >= '0' && c <= '9';
        if (!fits)
            return refuse(s, HTTP_FAULT_START_LINE);
    }
    if (s->p[5] != '1' || s->p[7] > '1')
        return refuse(s, HTTP_FAULT_VERSION);
    s->head->minor = (uint8_t)(s->p[7] - '0');
    s->p += 8;
    return 0;
}

/* --- fields --- */

static bool is_host(struct bytes v)
{
    return skip_class(v.p, v.p + v.n, IN_HOST) == v.p + v.n;
}

static int note_host(struct parse *s, struct bytes v)
{
    if (s->has_host)
        return refuse(s, HTTP_FAULT_HOST_TWICE);
    if (!is_host(v))
        return refuse(s, HTTP_FAULT_HOST_BAD);
    s->has_host = true;
    s->host_field = v;
    return 0;
}

static int note_length(struct parse *s, struct bytes v)
{
    if (s->has_length) /* also when both say the same: nobody honest needs it */
        return refuse(s, HTTP_FAULT_LENGTH_TWICE);
    if (bytes_to_u64(v, &s->head->content_length) || s->head->content_length > INT64_MAX)
        return refuse(s, HTTP_FAULT_LENGTH_BAD);
    s->has_length = true;
    return 0;
}

static int note_coding(struct parse *s, struct bytes v)
{
    if (s->has_coding)
        return refuse(s, HTTP_FAULT_CODING_TWICE);
    if (!bytes_eq_nocase(v, BYTES_LIT("chunked")))
        return refuse(s, HTTP_FAULT_CODING_UNKNOWN);
    s->has_coding = true;
    return 0;
}

static int note_connection(struct parse *s, struct bytes v)
{
    s->says_close |= http_list_has(v, "close");
    s->says_keep_alive |= http_list_has(v, "keep-alive");
    return 0;
}

static int note_expect(struct parse *s, struct bytes v)
{
    if (!s->head->method_text.p) /* a response */
        return 0;
    if (!bytes_eq_nocase(v, BYTES_LIT("100-continue")))
        return refuse(s, HTTP_FAULT_EXPECT);
    s->head->expects_continue = true;
    return 0;
}

static int note_upgrade(struct parse *s, struct bytes v)
{
    s->head->has_upgrade = true;
    return 0;
}

/* The fields that say how to read on. Their lengths differ, so one compare is enough. */
static int note_field(struct parse *s, struct http_header f)
{
    static const struct {
        struct bytes name;
        int (*note)(struct parse *s, struct bytes value);
    } known[18] = {
        [4] = {BYTES_LIT("host"), note_host},
        [6] = {BYTES_LIT("expect"), note_expect},
        [7] = {BYTES_LIT("upgrade"), note_upgrade},
        [10] = {BYTES_LIT("connection"), note_connection},
        [14] = {BYTES_LIT("content-length"), note_length},
        [17] = {BYTES_LIT("transfer-encoding"), note_coding},
    };
    if (f.name.n >= ARRAY_LEN(known) || !known[f.name.n].note ||
        !bytes_eq_nocase(f.name, known[f.name.n].name))
        return 0;
    return known[f.name.n].note(s, f.value);
}

static int field(struct parse *s)
{
    struct http_header *f = &s->table->v[s->head->header_count];
    const uint8_t *at = s->p;
    if (*at == ' ' || *at == '\t')
        return refuse(s, HTTP_FAULT_OBS_FOLD);
    if (s->head->header_count == LIMIT_HTTP_HEADERS)
        return refuse(s, HTTP_FAULT_FIELDS_MANY);
    s->p = skip_class(at, s->end, IN_TOKEN);
    if (s->p == s->end)
        return starved(s);
    f->name = bytes_of(at, (size_t)(s->p - at));
    if (*s->p != ':') {
        if (*s->p == '\n')
            return refuse(s, HTTP_FAULT_BARE_LF);
        bool is_blank = (*s->p == ' ' || *s->p == '\t') && f->name.n;
        return refuse(s, is_blank ? HTTP_FAULT_FIELD_SPACE : HTTP_FAULT_FIELD_NAME);
    }
    if (!f->name.n)
        return refuse(s, HTTP_FAULT_FIELD_NAME);
    at = ++s->p;
    s->p = skip_value(at, s->end);
    if (s->p == s->end)
        return starved(s);
    f->value = bytes_trim(bytes_of(at, (size_t)(s->p - at)));
    int err = line_end(s, HTTP_FAULT_FIELD_VALUE);
    if (err)
        return err;
    s->head->header_count++;
    return note_field(s, *f);
}

/* Every field and the empty line. */
static int fields(struct parse *s)
{
    for (;;) {
        if (s->p == s->end)
            return starved(s);
        if (*s->p == '\r')
            return line_end(s, HTTP_FAULT_BARE_CR);
        if (*s->p == '\n')
            return refuse(s, HTTP_FAULT_BARE_LF);
        int err = field(s);
        if (err)
            return err;
    }
}

/* --- requests --- */

static int absolute_target(struct parse *s, struct bytes rest)
{
    struct http_head *h = s->head;
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    h->form = HTTP_FORM_ABSOLUTE;
    h->host = bytes_first(rest, n);
    h->path = bytes_skip(rest, n);
    if (!n || !is_host(h->host))
        return refuse(s, HTTP_FAULT_TARGET);
    return 0;
}

/* The four forms of RFC 9112 §3.2. */
static int target_form(struct parse *s)
{
    struct http_head *h = s->head;
    struct bytes t = h->target;
    if (h->method == HTTP_CONNECT) {
        h->form = HTTP_FORM_AUTHORITY;
        h->host = t;
        return is_host(t) && bytes_find(t, ':') < t.n ? 0 : refuse(s, HTTP_FAULT_TARGET);
    }
    if (t.n == 1 && t.p[0] == '*' && h->method == HTTP_OPTIONS) {
        h->form = HTTP_FORM_ASTERISK;
        h->path = t;
        return 0;
    }
    if (t.p[0] == '/')
        h->path = t;
    else if (bytes_eq_nocase(bytes_first(t, 7), BYTES_LIT("http://"))) {
        if (absolute_target(s, bytes_skip(t, 7)))
            return E_MALFORMED;
    } else if (bytes_eq_nocase(bytes_first(t, 8), BYTES_LIT("https://"))) {
        if (absolute_target(s, bytes_skip(t, 8)))
            return E_MALFORMED;
    } else
        return refuse(s, HTTP_FAULT_TARGET);
    size_t q = bytes_find(h->path, '?');
    if (q < h->path.n) {
        h->query = bytes_skip(h->path, q + 1);
        h->path.n = q;
    }
    if (!h->path.n)
        h->path = BYTES_LIT("/");
    return 0;
}

static int request_line(struct parse *s)
{
    struct http_head *h = s->head;
    for (int i = 0; i < 2 && s->end - s->p >= 2 && s->p[0] == '\r' && s->p[1] == '\n'; i++)
        s->p += 2; /* RFC 9112 §2.2: an empty line in front is forgiven */
    const uint8_t *at = s->p;
    s->p = skip_class(at, s->end, IN_TOKEN);
    h->method_text = bytes_of(at, (size_t)(s->p - at));
    if (h->method_text.n > 24)
        return refuse(s, HTTP_FAULT_METHOD);
    if (s->p == s->end)
        return starved(s);
    if (*s->p == '\r' && !h->method_text.n && s->end - s->p < 2)
        return starved(s); /* may become an empty line */
    if (*s->p != ' ' || !h->method_text.n)
        return refuse(s, HTTP_FAULT_METHOD);
    h->method = http_method_of(h->method_text);
    at = ++s->p;
    s->p = skip_class(at, s->end, IN_TARGET);
    h->target = bytes_of(at, (size_t)(s->p - at));
    if (h->target.n > LIMIT_HTTP_TARGET)
        return refuse(s, HTTP_FAULT_TARGET_LONG);
    if (s->p == s->end)
        return starved(s);
    if (*s->p == '\n' || *s->p == '\r')
        return refuse(s, HTTP_FAULT_START_LINE); /* HTTP/0.9 */
    if (*s->p != ' ' || !h->target.n)
        return refuse(s, HTTP_FAULT_TARGET);
    s->p++;
    int err = version(s);
    if (err)
        return err;
    if (s->p == s->end)
        return starved(s);
    err = line_end(s, HTTP_FAULT_START_LINE);
    return err ? err : target_form(s);
}

/* RFC 9112 §6.3 for requests. */
static int request_framing(struct parse *s)
{
    struct http_head *h = s->head;
    if (s->has_coding && s->has_length)
        return refuse(s, HTTP_FAULT_BOTH_LENGTHS);
    if (s->has_coding && h->minor == 0)
        return refuse(s, HTTP_FAULT_CODING_10);
    if (!s->has_host && h->minor == 1)
        return refuse(s, HTTP_FAULT_HOST_MISSING);
    if (h->form == HTTP_FORM_ORIGIN || h->form == HTTP_FORM_ASTERISK)
        h->host = s->host_field;
    h->framing = s->has_coding                        ? HTTP_BODY_CHUNKED
                 : s->has_length && h->content_length ? HTTP_BODY_LENGTH
                                                      : HTTP_BODY_NONE;
    h->expects_continue &= h->minor == 1 && h->framing != HTTP_BODY_NONE;
    return 0;
}

/* --- responses --- */

static int status_line(struct parse *s)
{
    struct http_head *h = s->head;
    int err = version(s);
    if (err)
        return err;
    for (int i = 0; i < 4; i++) {
        if (s->p == s->end)
            return starved(s);
        uint8_t c = *s->p++;
        if (i == 0 ? c != ' ' : c < '0' || c > '9')
            return refuse(s, HTTP_FAULT_STATUS);
        h->status = i ? h->status * 10 + (c - '0') : 0;
    }
    if (h->status < 100 || h->status > 599)
        return refuse(s, HTTP_FAULT_STATUS);
    if (s->p < s->end && *s->p == ' ') { /* without it: "HTTP/1.1 200" is in use */
        const uint8_t *at = ++s->p;
        s->p = skip_value(at, s->end);
        h->reason = bytes_of(at, (size_t)(s->p - at));
    }
    return s->p == s->end ? starved(s) : line_end(s, HTTP_FAULT_START_LINE);
}

/* RFC 9112 §6.3 for responses. */
static int response_framing(struct parse *s, enum http_method method)
{
    struct http_head *h = s->head;
    if (s->has_coding && s->has_length)
        return refuse(s, HTTP_FAULT_BOTH_LENGTHS);
    if (s->has_coding && h->minor == 0)
        return refuse(s, HTTP_FAULT_CODING_10);
    bool has_no_body = h->status < 200 || h->status == 204 || h->status == 304 ||
                       method == HTTP_HEAD || (method == HTTP_CONNECT && h->status < 300);
    h->framing = has_no_body         ? HTTP_BODY_NONE
                 : s->has_coding     ? HTTP_BODY_CHUNKED
                 : !s->has_length    ? HTTP_BODY_UNTIL_EOF
                 : h->content_length ? HTTP_BODY_LENGTH
                                     : HTTP_BODY_NONE;
    return 0;
}

/* --- both --- */

/* Nothing new can be said before another line has ended. */
static bool has_news(struct bytes in, size_t seen)
{
    if (!seen || in.n >= LIMIT_HTTP_HEAD || seen >= in.n)
        return !seen || in.n >= LIMIT_HTTP_HEAD;
    return memchr(in.p + seen, '\n', in.n - seen) != NULL;
}

static void begin(struct parse *s, struct bytes in, struct http_header_table *table,
                  struct http_head *head)
{
    struct bytes capped = bytes_first(in, LIMIT_HTTP_HEAD);
    *head = (struct http_head){.headers = table->v};
    *s = (struct parse){.p = capped.p,
                        .end = capped.p + capped.n,
                        .table = table,
                        .head = head,
                        .is_capped = in.n >= LIMIT_HTTP_HEAD};
}

static void finish(struct parse *s, struct bytes in)
{
    struct http_head *h = s->head;
    h->size = (size_t)(s->p - in.p);
    h->keep_alive = !s->says_close && (h->minor == 1 || s->says_keep_alive) &&
                    h->framing != HTTP_BODY_UNTIL_EOF;
}

int http_parse_request(struct bytes in, size_t seen, struct http_header_table *table,
                       struct http_head *head)
{
    struct parse s;
    begin(&s, in, table, head);
    if (!in.n || !has_news(in, seen))
        return E_AGAIN;
    int err = request_line(&s);
    if (!err)
        err = fields(&s);
    if (!err)
        err = request_framing(&s);
    if (!err)
        finish(&s, in);
    return err;
}

int http_parse_response(struct bytes in, size_t seen, enum http_method method,
                        struct http_header_table *table, struct http_head *head)
{
    struct parse s;
    begin(&s, in, table, head);
    if (!in.n || !has_news(in, seen))
        return E_AGAIN;
    int err = status_line(&s);
    if (!err)
        err = fields(&s);
    if (!err)
        err = response_framing(&s, method);
    if (!err)
        finish(&s, in);
    return err;
}

bool http_is_token(struct bytes name)
{
    return name.n && skip_class(name.p, name.p + name.n, IN_TOKEN) == name.p + name.n;
}

bool http_is_field_value(struct bytes value)
{
    return skip_value(value.p, value.p + value.n) == value.p + value.n &&
           bytes_trim(value).n == value.n;
}
