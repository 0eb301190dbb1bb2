// SPDX-License-Identifier: MIT
/* DNS messages: reading ends, stays inside, and what was read can be written and is read again the same. */
#include "base/err.h"
#include "p2p/dns_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct dns_name *name, const struct dns_record *rec,
                  const struct dns_name *target)
{
    uint8_t b[1200];
    struct dns_writer w;
    struct dns_reader r;
    struct dns_record copy;
    struct dns_name there;
    dns_write(&w, b, sizeof b, 1, DNS_FLAG_RESPONSE);
    dns_put_ptr(&w, DNS_ANSWER, name, rec->ttl_s, target);
    dns_put_ptr(&w, DNS_ANSWER, target, rec->ttl_s, name);
    if (w.is_full || dns_read(&r, dns_written(&w)) != 0 || dns_read_record(&r, &copy) != 1)
        abort();
    if (!dns_name_eq(&copy.name, name) || copy.ttl_s != rec->ttl_s ||
        dns_record_target(&r, &copy, &there) != 0 || !dns_name_eq(&there, target) ||
        dns_read_record(&r, &copy) != 1 || dns_record_target(&r, &copy, &there) != 0 ||
        !dns_name_eq(&there, name) || dns_read_record(&r, &copy) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_reader r;
    struct dns_question q;
    struct dns_record rec;
    struct dns_name target, parsed;
    struct bytes text;
    char shown[DNS_NAME_TEXT];
    size_t records = 0;
    (void)dns_name_parse(bytes_of(data, size), &parsed);
    if (dns_read(&r, bytes_of(data, size)) != 0)
        return 0;
    while (dns_read_question(&r, &q) == 1)
        (void)dns_name_text(&q.name, shown, sizeof shown);
    while (dns_read_record(&r, &rec) == 1) {
        size_t at = 0;
        if (++records > size)
            abort();
        (void)dns_name_text(&rec.name, shown, sizeof shown);
        if (dns_record_target(&r, &rec, &target) == 0)
            again(&rec.name, &rec, &target);
        while (dns_next_string(rec.data, &at, &text) == 1)
            if (text.n > 255)
                abort();
    }
    return 0;
}
