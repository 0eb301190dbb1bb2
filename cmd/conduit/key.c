// SPDX-License-Identifier: MIT
/* conduit key: who this node is. Reads the identity, needs no node, makes nothing. */
#include "api.h"

#include "base/mem.h"
#include "codec/key.h"
#include "node/datadir.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] = "conduit key [--json] [--data-dir DIR]: print this node's peer id\n"
                           "\n"
                           "  --json          one object: peer, public_key (hex)\n"
                           "  --data-dir DIR  the node of that directory\n";

enum { KEY_FILE_MAX = 1024 };

static int read_key(const char *dir, struct key_pair *k)
{
    uint8_t *data;
    size_t n;
    int err = datadir_read(dir, "identity.key", KEY_FILE_MAX, &data, &n);
    if (err == E_NOT_FOUND)
        return api_failf("key", "no identity in %s yet; conduit up makes one", dir);
    if (err != 0)
        return api_failf("key", "%s/identity.key cannot be read: %s", dir, err_text(err));
    err = key_pair_decode(bytes_of(data, n), k);
    mem_wipe(data, n);
    free(data);
    if (err != 0)
        return api_failf("key", "%s/identity.key is no private key of libp2p: %s", dir,
                         err_text(err));
    return 0;
}

static void print_key(const struct key_pair *k, bool json)
{
    char id[PEER_ID_TEXT];
    peer_id_text(&k->id, id, sizeof id);
    if (!json) {
        puts(id);
        return;
    }
    printf("{\"peer\":\"%s\",\"public_key\":\"", id);
    for (size_t i = 0; i < sizeof k->public_key; i++)
        printf("%02x", k->public_key[i]);
    puts("\"}");
}

int command_key(int argc, char **argv)
{
    struct common c;
    struct key_pair k;
    argc = common_take(&c, argc, argv);
    if (c.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    if (argc > 1)
        return usage_error("key", "'%s' means nothing here; see conduit key --help", argv[1]);
    char *dir = common_socket(&c);
    *strrchr(dir, '/') = '\0';
    int rc = read_key(dir, &k);
    if (rc == 0) {
        print_key(&k, c.json);
        key_pair_fini(&k);
    }
    free(dir);
    return rc;
}
