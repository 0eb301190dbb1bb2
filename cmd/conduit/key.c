// SPDX-License-Identifier: MIT
/* conduit key: who this node is. Reads the identity, needs no node. `key psk` makes the key of a private
 * network. */
#include "api.h"

#include "base/mem.h"
#include "codec/key.h"
#include "node/datadir.h"
#include "node/network_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "conduit key [--json] [--data-dir DIR]: print this node's peer id\n"
    "conduit key psk [FILE]: make the key of a private network, for conduit up --psk FILE\n"
    "\n"
    "  --json          one object: peer, public_key (hex)\n"
    "  --data-dir DIR  the node of that directory\n"
    "\n"
    "A private network is invisible to whoever has no key. Copy the file to each of its machines "
    "(kubo's\n"
    "swarm.key is the same), or invite: conduit invite carries it.\n";

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

/* To a file nobody else can read, or (no FILE, for a pipe) to stdout. */
static int make_psk(int argc, char **argv, bool json)
{
    struct pnet_key k;
    struct rng rng;
    char why[NETWORK_KEY_WHY], print[PNET_FINGERPRINT_TEXT];
    if (argc > 2)
        return usage_error("key", "psk takes one FILE");
    if (argc == 2 && argv[1][0] == '-')
        return usage_error("key", "'%s' means nothing here; see conduit key --help", argv[1]);
    rng_init_system(&rng);
    pnet_key_generate(&k, &rng);
    pnet_fingerprint(&k, print);
    int rc = EXIT_OK;
    if (argc == 2 && network_key_make(argv[1], &k, why) != 0) {
        rc = api_failf("key", "%s", why);
    } else if (argc == 2 && json) {
        printf("{\"private_network\":\"%s\"}\n", print);
    } else if (argc == 2) {
        printf("%s: the key of private network %s; conduit up --psk %s\n", argv[1], print, argv[1]);
    } else {
        struct buf text;
        buf_init(&text, 0);
        (void)pnet_key_write(&k, &text);
        fwrite(buf_view(&text).p, 1, buf_len(&text), stdout);
        mem_wipe((uint8_t *)buf_view(&text).p, buf_len(&text));
        buf_fini(&text);
    }
    pnet_key_fini(&k);
    return rc;
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
    if (argc > 1 && strcmp(argv[1], "psk") == 0)
        return make_psk(argc - 1, argv + 1, c.json);
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
