// SPDX-License-Identifier: MIT
/* DNS messages, read and written, as multicast DNS needs them (RFC 1035 §4, RFC 6762 §18). Pure.
 *
 *   header | questions | answers | authorities | additionals        each record: name type class ttl data
 *
 * Names lie in wire form: labels with their lengths and the final zero, at most 255 bytes. In a message they may
 * end in a pointer to an earlier place; a pointer that does not go backwards is malformed, so none can loop. */
#ifndef CONDUIT_P2P_DNS_MESSAGE_H
#define CONDUIT_P2P_DNS_MESSAGE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/net.h"

enum { DNS_NAME_MAX = 255, DNS_LABEL_MAX = 63, DNS_NAME_TEXT = 1024, DNS_HEADER = 12 };
enum {
    DNS_TYPE_A = 1,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_ANY = 255,
};
enum { DNS_CLASS_IN = 1, DNS_CLASS_ANY = 255 };
enum { DNS_FLAG_RESPONSE = 0x8000, DNS_FLAG_AUTHORITATIVE = 0x0400, DNS_FLAG_TRUNCATED = 0x0200 };
enum dns_section { DNS_ANSWER = 0, DNS_AUTHORITY, DNS_ADDITIONAL };

struct dns_name {
    uint8_t n; /* 0: none; the root is one byte */
    uint8_t b[DNS_NAME_MAX];
};

/* "_p2p._udp.local", with or without a final dot: 0, or E_MALFORMED (an empty or too long label), E_TOO_BIG. */
int dns_name_parse(struct bytes text, struct dns_name *out);
/* Printable text, what is not shown as \ddd; cut at `size`. Returns out. */
const char *dns_name_text(const struct dns_name *n, char *out, size_t size);
/* Equal but for the case of ASCII letters. */
bool dns_name_eq(const struct dns_name *a, const struct dns_name *b);
/* The first label and what follows it: false for the root. Views. */
bool dns_name_split(const struct dns_name *n, struct bytes *label, struct dns_name *rest);

/* --- reading --- */
struct dns_question {
    struct dns_name name;
    uint16_t type, class;
    bool wants_unicast; /* the top bit of the class (RFC 6762 §5.4) */
};

struct dns_record {
    enum dns_section section;
    struct dns_name name;
    uint16_t type, class;
    bool is_flush; /* the top bit of the class (§10.2) */
    uint32_t ttl_s;
    struct bytes data; /* a view into the message */
};

struct dns_reader {
    struct bytes message;
    size_t at;
    uint16_t id, flags;
    uint16_t questions, records[3]; /* still to be read */
};

/* 0; E_MALFORMED when shorter than a header; E_TOO_BIG over LIMIT_MDNS_PACKET. */
int dns_read(struct dns_reader *r, struct bytes message);
/* 1 and the next question, 0 when there is none, E_MALFORMED. */
int dns_read_question(struct dns_reader *r, struct dns_question *out);
/* 1 and the next record (questions that were not read are skipped), 0 at the end, E_MALFORMED. */
int dns_read_record(struct dns_reader *r, struct dns_record *out);
/* The name that a PTR record's data is: 0 or E_MALFORMED. */
int dns_record_target(const struct dns_reader *r, const struct dns_record *rec,
                      struct dns_name *out);
/* One string of a TXT record's data at *at: 1 (and *at moved), 0 at the end, E_MALFORMED. */
int dns_next_string(struct bytes data, size_t *at, struct bytes *out);

/* --- writing: in order of the sections. Too little room makes one `is_full`, and takes nothing more --- */
struct dns_writer {
    uint8_t *b;
    size_t n, size;
    uint16_t counts[4];  /* questions, then the sections */
    uint16_t labels[16]; /* where names begin that may be pointed at */
    size_t label_count;
    bool is_full;
};
void dns_write(struct dns_writer *w, uint8_t *b, size_t size, uint16_t id, uint16_t flags);
void dns_put_question(struct dns_writer *w, const struct dns_name *name, uint16_t type);
void dns_put_ptr(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
                 uint32_t ttl_s, const struct dns_name *target);
/* One string of at most 255 bytes. */
void dns_put_txt(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
                 uint32_t ttl_s, struct bytes text);
/* Where a service is: host and port (RFC 2782; the host's name is not compressed). */
void dns_put_srv(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
                 uint32_t ttl_s, uint16_t port, const struct dns_name *host);
/* A or AAAA. */
void dns_put_addr(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
                  uint32_t ttl_s, const struct net_addr *ip);
/* The message; what did not fit is left out. */
struct bytes dns_written(struct dns_writer *w);

#endif
