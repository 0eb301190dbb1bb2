// SPDX-License-Identifier: MIT
/* Names whose answer needs nobody; see names.h. */
#include "loop/names.h"

#include <strings.h>

static bool is_localhost(const char *name)
{
    size_t n = strlen(name);
    if (n > 0 && name[n - 1] == '.')
        n--;
    if (n < 9 || strncasecmp(name + n - 9, "localhost", 9) != 0)
        return false;
    return n == 9 || name[n - 10] == '.';
}

bool names_answer(const char *name, enum loop_dns what, struct net_addr out[static 2],
                  size_t *count)
{
    bool wants_4 = what == LOOP_DNS_ANY || what == LOOP_DNS_A;
    bool wants_6 = what == LOOP_DNS_ANY || what == LOOP_DNS_AAAA;
    *count = 0;
    if (net_addr_parse_ip(name, 0, &out[0]) == 0) {
        *count = out[0].kind == NET_IP4 ? wants_4 : wants_6;
        return true;
    }
    if (!is_localhost(name))
        return false;
    if (wants_4 && net_addr_parse_ip("127.0.0.1", 0, &out[*count]) == 0)
        ++*count;
    if (wants_6 && net_addr_parse_ip("::1", 0, &out[*count]) == 0)
        ++*count;
    return true;
}
