// SPDX-License-Identifier: MIT
/* Error names, sentences, and the map from errno. */
#include "base/err.h"

#include <errno.h>
#include <stddef.h>

static const struct {
    int value;
    const char *name;
    const char *text;
} table[] = {
#define ERR_ROW(name, value, text) {value, #name, text},
    ERR_LIST(ERR_ROW)
#undef ERR_ROW
};

const char *err_text(int err)
{
    if (err >= 0)
        return "ok";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].value == err)
            return table[i].text;
    return "unknown error";
}

const char *err_name(int err)
{
    if (err >= 0)
        return "E_OK";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].value == err)
            return table[i].name;
    return "E_UNKNOWN";
}

int err_from_errno(int sys_errno)
{
    switch (sys_errno) {
    case 0:
        return E_OK;
    case EAGAIN:
    case EINTR:
    case EINPROGRESS:
        return E_AGAIN;
    case ETIMEDOUT:
        return E_TIMEOUT;
    case ECONNREFUSED:
        return E_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return E_UNREACHABLE;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return E_RESET;
    case ENOMEM:
    case ENOBUFS:
        return E_NO_MEMORY;
    case EMFILE:
    case ENFILE:
        return E_NO_FILES;
    case ENOENT:
        return E_NOT_FOUND;
    case EEXIST:
        return E_EXISTS;
    case EADDRINUSE:
    case EBUSY:
        return E_IN_USE;
    case EACCES:
    case EPERM:
        return E_DENIED;
    case EINVAL:
        return E_INVALID;
    default:
        return E_IO;
    }
}
