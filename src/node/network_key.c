// SPDX-License-Identifier: MIT
/* See network_key.h. */
#include "node/network_key.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 256 };

static ssize_t read_file(const char *path, uint8_t *p, size_t size, bool *is_open_to_others)
{
    struct stat st;
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    *is_open_to_others = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077);
    ssize_t r = 1;
    while (n < size && r != 0) {
        r = read(fd, p + n, size - n);
        if (r < 0 && errno != EINTR)
            break;
        n += r > 0 ? (size_t)r : 0;
    }
    int err = r < 0 ? err_from_errno(errno) : 0;
    close(fd);
    return err ? err : (ssize_t)n;
}

int network_key_load(const char *path, struct pnet_key *out, char why[static NETWORK_KEY_WHY])
{
    uint8_t file[FILE_MAX + 1];
    bool is_open_to_others = false;
    const char *what = "it is too big for a key";
    ssize_t n = read_file(path, file, sizeof file, &is_open_to_others);
    if (n < 0) {
        snprintf(why, NETWORK_KEY_WHY, "--psk %s: %s", path, err_text((int)n));
        return (int)n;
    }
    int err = n > FILE_MAX ? E_TOO_BIG : pnet_key_read(bytes_of(file, (size_t)n), out, &what);
    mem_wipe(file, sizeof file);
    if (err)
        snprintf(why, NETWORK_KEY_WHY,
                 "--psk %s is no key of a private network: %s; conduit key psk FILE makes one",
                 path, what);
    else if (is_open_to_others)
        TRACE(NODE, WARN,
              "%s can be read by others of this machine, who could join the network -> chmod 600",
              path);
    return err;
}

int network_key_make(const char *path, const struct pnet_key *key, char why[static NETWORK_KEY_WHY])
{
    struct buf text;
    buf_init(&text, 0);
    int err = pnet_key_write(key, &text);
    int fd = err ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (!err && fd < 0)
        err = err_from_errno(errno);
    if (fd >= 0) {
        ssize_t n = write(fd, buf_view(&text).p, buf_len(&text));
        if (n != (ssize_t)buf_len(&text) || fsync(fd) != 0 || close(fd) != 0)
            err = E_IO;
    }
    mem_wipe((uint8_t *)buf_view(&text).p, buf_len(&text));
    buf_fini(&text);
    if (err)
        snprintf(why, NETWORK_KEY_WHY, "%s: %s", path,
                 err == E_EXISTS ? "there is a file already, which may be in use" : err_text(err));
    return err;
}
