// SPDX-License-Identifier: MIT
/* The words of HTTP: faults, methods, statuses, and looking fields up; see http1.h. */
#include "base/mem.h"
#include "http/http1.h"

#include <stdlib.h>

static const struct {
    const char *name;
    int status;
    const char *text;
} faults[] = {{"NONE", 0, ""},
#define HTTP_FAULT_ROW(name, status, text) {#name, status, text},
              HTTP_FAULTS(HTTP_FAULT_ROW)
#undef HTTP_FAULT_ROW
};

int http_fault_status(enum http_fault f)
{
    return faults[f].status;
}

const char *http_fault_text(enum http_fault f)
{
    return faults[f].text;
}

const char *http_fault_name(enum http_fault f)
{
    return faults[f].name;
}

static const char *const methods[] = {
    [HTTP_OTHER] = "",      [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",
    [HTTP_POST] = "POST",   [HTTP_PUT] = "PUT",         [HTTP_DELETE] = "DELETE",
    [HTTP_PATCH] = "PATCH", [HTTP_OPTIONS] = "OPTIONS", [HTTP_CONNECT] = "CONNECT",
    [HTTP_TRACE] = "TRACE",
};

/* Methods are case-sensitive (RFC 9110 §9.1). */
enum http_method http_method_of(struct bytes text)
{
    for (size_t i = 1; i < ARRAY_LEN(methods); i++)
        if (bytes_eq_str(text, methods[i]))
            return (enum http_method)i;
    return HTTP_OTHER;
}

const char *http_method_name(enum http_method m)
{
    return methods[m];
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } known[] = {
        {200, "OK"},
        {100, "Continue"},
        {101, "Switching Protocols"},
        {102, "Processing"},
        {103, "Early Hints"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {508, "Loop Detected"},
        {529, "Overloaded"},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].status == status)
            return known[i].text;
    return "";
}

struct bytes http_header_get(const struct http_head *head, const char *name)
{
    struct bytes want = bytes_str(name);
    for (size_t i = 0; i < head->header_count; i++)
        if (bytes_eq_nocase(head->headers[i].name, want))
            return head->headers[i].value;
    return (struct bytes){NULL, 0};
}

bool http_list_has(struct bytes list, const char *token)
{
    while (list.n) {
        size_t n = bytes_find(list, ',');
        if (bytes_eq_nocase(bytes_trim(bytes_first(list, n)), bytes_str(token)))
            return true;
        list = bytes_skip(list, n + 1);
    }
    return false;
}

/* Copies `v` to *at, which moves on, and points `v` there. */
static void move_view(struct bytes *v, uint8_t **at)
{
    if (!v->p)
        return;
    if (v->n)
        memcpy(*at, v->p, v->n);
    v->p = *at;
    *at += v->n;
}

/* Only what is known to live in the head's own bytes is copied; views that overlap are copied
 * twice, which is cheaper than finding out. */
struct http_head *http_head_clone(const struct http_head *head)
{
    size_t text = head->method_text.n + head->target.n + head->path.n + head->query.n +
                  head->host.n + head->reason.n;
    for (size_t i = 0; i < head->header_count; i++)
        text += head->headers[i].name.n + head->headers[i].value.n;
    size_t table = head->header_count * sizeof *head->headers;
    struct http_head *copy = mem_try(sizeof *copy + table + text);
    if (!copy)
        return NULL;
    *copy = *head;
    copy->headers = (struct http_header *)(copy + 1);
    uint8_t *at = (uint8_t *)copy->headers + table;
    struct bytes *views[] = {&copy->method_text, &copy->target, &copy->path,
                             &copy->query,       &copy->host,   &copy->reason};
    for (size_t i = 0; i < ARRAY_LEN(views); i++)
        move_view(views[i], &at);
    for (size_t i = 0; i < head->header_count; i++) {
        copy->headers[i] = head->headers[i];
        move_view(&copy->headers[i].name, &at);
        move_view(&copy->headers[i].value, &at);
    }
    return copy;
}
