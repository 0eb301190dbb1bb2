// SPDX-License-Identifier: MIT
/* Everything a stranger can size has its limit here, and nowhere else. One line each, with the
 * reason. Checked before allocating; each has a test that exceeds it. Grouped by room. */
#ifndef CONDUIT_BASE_LIMITS_H
#define CONDUIT_BASE_LIMITS_H

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * KIB)

/* --- codec --- */
#define LIMIT_MULTIADDR         382 /* bytes of one address: a relayed one with certhashes is 200 */
#define LIMIT_PEER_RECORD_ADDRS 64  /* in one signed record; the rest is ignored */
#define LIMIT_ENVELOPE          (16 * KIB) /* one signed envelope */
#define LIMIT_KEY_MESSAGE       (2 * KIB)  /* a serialised public key; RSA-8192 is 1.1 KiB */
#define LIMIT_BASE58            1024       /* bytes or characters; the codec is quadratic */
#define LIMIT_CBOR_DEPTH        16         /* containers in containers */
#define LIMIT_CBOR_STRING       (4 * MIB)  /* one string; what embeds it has smaller limits */
#define LIMIT_CBOR_ITEMS        65536      /* items of one container */
#define LIMIT_JSON_DEPTH        64         /* as deep as any API's bodies; the skimmer keeps bits */
#define LIMIT_JSON_MEMBERS      256        /* top-level members of a request body */

/* --- loop --- */
#define LIMIT_LOOP_LINGER_BYTES (1 * MIB) /* read and dropped after close, so that no RST follows */
#define LIMIT_LOOP_LINGER_US    2000000   /* how long a closed socket may take to drain */
#define LIMIT_LOOP_ACCEPTS      32        /* connections taken per turn of the loop */

/* --- http --- */
#define LIMIT_HTTP_HEAD      (32 * KIB) /* request or response head; Codex sends 1 KB JSON headers */
#define LIMIT_HTTP_HEADERS   128        /* header fields in one head */
#define LIMIT_HTTP_BODY      (32 * MIB)  /* default; base64 images are big */
#define LIMIT_SSE_EVENT      (4 * MIB)   /* one event of a stream */
#define LIMIT_HTTP_TARGET    (8 * KIB)   /* a request target; as nginx and Apache */
#define LIMIT_HTTP_CHUNK_EXT (16 * KIB)  /* extensions of all chunks and the trailers of one body */
#define LIMIT_HTTP_PIPELINE  (32 * KIB)  /* bytes read ahead while a request is being answered */
#define LIMIT_HTTP_BACKLOG   (256 * KIB) /* of an answer: more queued than this says "wait" */
#define LIMIT_HTTP_QUEUED    (8 * MIB) /* of an answer: nothing is queued beyond; two SSE events */
#define LIMIT_HTTP_BODIES    (256 * MIB) /* collected bodies of all connections of a server */
#define LIMIT_HTTP_CONNS     16384 /* local connections; and at most 3/4 of the files we may open */
#define LIMIT_HTTP_INTERIMS  1000 /* 1xx in front of one response; every 5 s is over an hour */
#define LIMIT_HTTP_DRAIN     (256 * KIB) /* of a body nobody wants, before closing instead */

/* --- p2p --- */
#define LIMIT_MSS_LINE      1024 /* one line with its newline; go and js cap here too */
#define LIMIT_MSS_PROTOCOL  256  /* a protocol id */
#define LIMIT_MSS_PROPOSALS 64   /* refused in one negotiation; each costs us an answer */
#define LIMIT_NOISE_HANDSHAKE                                                                      \
    (8 * KIB)                  /* one handshake message; RSA-8192 identities need 2.3 KiB */
#define LIMIT_NOISE_MUXERS 100 /* early muxers listed by the peer; as go */
#define LIMIT_YAMUX_FRAME                                                                          \
    (16 * MIB) /* body of one Data frame: js fills a whole grown window with
                                          * one; nothing is allocated by it, and the credit bounds it */
#define LIMIT_YAMUX_WINDOW      (16 * MIB) /* one stream's receive window; as go */
#define LIMIT_YAMUX_CONTROL     (48 * KIB) /* control frames waiting to be sent: 4096 of them */
#define LIMIT_YAMUX_UNACKED     256        /* streams we opened that nobody accepted yet; spec */
#define LIMIT_YAMUX_OUTBOUND    400  /* open by us on one connection; rust dies at 512 of both */
#define LIMIT_YAMUX_STRANGER    32   /* opened by a peer of which nothing is known */
#define LIMIT_YAMUX_PEER        4096 /* opened by a Conduit node */
#define LIMIT_YAMUX_CHURN       200  /* streams a second that a peer opens and that end by reset */
#define LIMIT_YAMUX_CHURN_BURST 4096 /* … at once: all requests of a Conduit node cancelled */
#define LIMIT_YAMUX_SEND_QUEUE  (64 * KIB)  /* bytes one stream may queue for sending */
#define LIMIT_YAMUX_CONN        (32 * MIB)  /* grown windows and unread bytes of one connection */
#define LIMIT_HOST_STREAMS      (256 * MIB) /* windows and unread bytes of all connections */
#define LIMIT_HOST_MEMORY       (384 * MIB) /* the same with queues, buffers and structs */
#define LIMIT_HOST_IN           65536      /* streams that all peers have open to us; ~1 KiB each */
#define LIMIT_HOST_OUT          65536      /* … and that we have open */
#define LIMIT_PROTOCOL_STREAMS  32768      /* of one protocol, each way: no protocol takes all */
#define LIMIT_PEER_STREAMS      8192       /* of one peer over all its connections, each way */
#define LIMIT_PEER_MEMORY       (96 * MIB) /* windows, queues and buffers of one peer */
#define LIMIT_IP_CONNS          512        /* proved connections of one IP group; an office */
#define LIMIT_IP_STREAMS        16384      /* of one IP group, each way */
#define LIMIT_IP_MEMORY         (192 * MIB) /* of one IP group */
#define LIMIT_CONN_MEMORY       (64 * MIB)  /* of one connection, with queues and buffers */
#define LIMIT_RELAY_CONNS       1024        /* proved connections over one relay of ours */
#define LIMIT_SCOPES            16384 /* IP groups, relays and protocols with something counted */
#define LIMIT_CONNS             4096        /* connections of a host */
#define LIMIT_CONNS_PEER        8           /* of one peer; as go */
#define LIMIT_CONNS_PENDING     256         /* inbound, not yet proved who they are */
#define LIMIT_HELLO_US          500000    /* silent so long, the unproved gives way to a newcomer */
#define LIMIT_PROOF_US          3000000   /* … and after a hello, so long */
#define LIMIT_CONNS_PENDING_IP  8         /* of one IPv4 address or IPv6 /56; loopback is exempt */
#define LIMIT_CONNS_PENDING_RELAY 32      /* … over one relay that holds a place for us */
#define LIMIT_ACCEPT_RATE       5         /* inbound connections per second of one IP group */
#define LIMIT_ACCEPT_BURST      20        /* and so many at once */
#define LIMIT_ACCEPT_RATE_RELAY 20        /* circuits a second over one relay; a peer: as above */
#define LIMIT_ACCEPT_BURST_RELAY 64       /* and so many at once */
#define LIMIT_ACCEPT_GROUPS     8192      /* IP groups, relays and peers remembered for that */
#define LIMIT_DIAL_ADDRS        32        /* addresses tried in one dial */
#define LIMIT_DIALS             256       /* peers being dialled at once */
#define LIMIT_DNS_LOOKUPS       32        /* of one dial, dnsaddr's included; as rust */
#define LIMIT_DNS_DEPTH         4         /* dnsaddr naming dnsaddr */
#define LIMIT_IDENTIFY_OUT      4096      /* our message: rust reads no more */
#define LIMIT_IDENTIFY_IN       (8 * KIB) /* one message of theirs; as go */
#define LIMIT_IDENTIFY_PARTS    10        /* messages merged into one; as go */
#define LIMIT_PEERS             8192 /* peers in the address book, oldest unconnected first out */
#define LIMIT_PEER_ADDRS        128  /* addresses of one peer */
#define LIMIT_PEER_ADDR         512  /* bytes of one address */
#define LIMIT_PEER_PROTOCOLS    256  /* protocols of one peer */
#define LIMIT_PEER_AGENT        128  /* bytes of a name kept for people */
#define LIMIT_OBSERVED          32   /* addresses others say we have */
#define LIMIT_OBSERVERS         4    /* networks that must agree on one; as go */
#define LIMIT_PUSH_RATE         0.2  /* identify pushes a second from one IPv4 /24; as go */
#define LIMIT_PUSH_BURST        10   /* and so many at once */
#define LIMIT_PUSH_GROUPS       4096 /* IP groups remembered for that */
#define LIMIT_PING_INBOUND      2    /* ping streams of one peer; spec */
#define LIMIT_IDENTIFY_INBOUND  4    /* identify and push streams of one peer, in flight */
#define LIMIT_MDNS_PACKET       4096 /* a multicast DNS message; rust reads no more */
#define LIMIT_MDNS_LINKS        32   /* interfaces (IPv4 and IPv6 apart) it is spoken on */
#define LIMIT_MDNS_PEERS        1024 /* found on the LAN; the oldest never met makes room */
#define LIMIT_MDNS_PEERS_SOURCE 16   /* … told of by one address: a machine runs few nodes */
#define LIMIT_MDNS_ADDRS        8    /* addresses of one of them, and of ours told on a link */
#define LIMIT_MDNS_NAMES        32   /* instances in one message; the rest is not read */
#define LIMIT_MDNS_TTL_S        4500 /* longest time a record is believed; RFC 6762 §10 */
#define LIMIT_MDNS_RATE         50   /* messages a second read of one address */
#define LIMIT_MDNS_RATED        1024 /* addresses whose rate is remembered */

#define LIMIT_RELAY_MESSAGE           4096 /* bytes of a hop, stop or dcutr message; spec */
#define LIMIT_RELAY_ADDRS             16   /* addresses in one of them */
#define LIMIT_RELAY_RESERVATIONS      128  /* we hold for others; as go and rust */
#define LIMIT_RELAY_PER_IP            8  /* of them, of one IP group (loopback is exempt); as go */
#define LIMIT_RELAY_PER_IP_OWN        64 /* … of a relay without limits */
#define LIMIT_RELAY_CIRCUITS          16 /* circuits of strangers at a time; as rust */
#define LIMIT_RELAY_CIRCUITS_PEER     4  /* of them, opened by one peer; as rust */
#define LIMIT_RELAY_CIRCUITS_IP       6  /* … from one IP group (loopback is exempt) */
#define LIMIT_RELAY_CIRCUITS_OWN      1024        /* circuits without a limit, for one's own */
#define LIMIT_RELAY_CIRCUITS_OWN_PEER 64          /* of them, opened by one peer */
#define LIMIT_RELAY_CIRCUITS_OWN_IP   256         /* … from one IP group, by who is not named */
#define LIMIT_RELAY_DATA              (128 * KIB) /* a stranger's circuit, each way; as go and rust */
#define LIMIT_RELAY_DURATION_S        120         /* and its time */
#define LIMIT_RELAY_TTL_S             3600        /* a reservation's time */
#define LIMIT_RELAY_RATE_PEER         (1.0 / 120) /* requests a second of one peer; as rust */
#define LIMIT_RELAY_BURST_PEER        30          /* and so many at once */
#define LIMIT_RELAY_RATE_IP           (1.0 / 60)  /* … of one IP group; as rust */
#define LIMIT_RELAY_BURST_IP          60
#define LIMIT_RELAY_RATE_OWN          20         /* times as often, at a relay without limits */
#define LIMIT_RELAY_IDLE_S            300        /* a circuit on which nothing passes */
#define LIMIT_RELAY_RATED             4096       /* peers, and groups, whose rate is remembered */
#define LIMIT_RELAY_HANDSHAKES        256        /* hop and stop exchanges under way */
#define LIMIT_RELAY_HANDSHAKES_PEER   64         /* of hop, asked by one peer */
#define LIMIT_RELAY_UNINVITED         32         /* of stop, by peers that hold no place for us */
#define LIMIT_PUNCH_ADDRS             8          /* addresses dialled in one hole punch */
#define LIMIT_PUNCHES                 64         /* hole punches under way */
#define LIMIT_PUNCH_RATE              (1.0 / 30) /* … a second that one peer may ask us for … */
#define LIMIT_PUNCH_BURST             6    /* … and so many at once: two times three attempts */
#define LIMIT_PUNCH_RATED             1024 /* peers whose rate is remembered */
#define LIMIT_RELAY_CANDIDATES        64   /* relays we know of */
#define LIMIT_RELAY_USED              3    /* addresses of one reservation that we tell others */

#define LIMIT_SENT 256 /* places that our listening port has sent to, remembered */

#define LIMIT_AUTONAT_MESSAGE    (8 * KIB) /* one AutoNAT message; as go */
#define LIMIT_AUTONAT_ADDRS      16        /* addresses looked at in one question; as rust */
#define LIMIT_AUTONAT_CANDIDATES 10        /* addresses of ours that we ask about; as rust */
#define LIMIT_AUTONAT_SERVERS    64        /* peers that we may ask */
#define LIMIT_AUTONAT_DIALS      4         /* addresses dialled for one question of version 1 */
#define LIMIT_AUTONAT_AT_ONCE    60        /* questions being read or answered, of all peers … */
#define LIMIT_AUTONAT_PEER_ONCE  4         /* … of one peer … */
#define LIMIT_AUTONAT_GROUP_ONCE 12        /* … of one IP group, of all over relays … */
#define LIMIT_AUTONAT_PEER_DIALS 2         /* … and those of them that are dialled for; as go */
#define LIMIT_AUTONAT_RATE       1.0       /* questions a second dialled for, of all peers; as go … */
#define LIMIT_AUTONAT_BURST      60        /* … and so many at once */
#define LIMIT_AUTONAT_GROUP_RATE 0.15      /* … of one IP group, whatever it calls itself … */
#define LIMIT_AUTONAT_GROUP_BURST 10
#define LIMIT_AUTONAT_PEER_RATE  0.05 /* … of one peer: 3 a minute; as rust and go */
#define LIMIT_AUTONAT_PEER_BURST 6    /* … and so many at once: two answers, three addresses */
#define LIMIT_AUTONAT_FAR_RATE   0.2  /* … of all peers, at another IP than the asker's; as go */
#define LIMIT_AUTONAT_FAR_BURST  12
#define LIMIT_AUTONAT_RATED      1024 /* peers, and groups, whose rate is remembered */
#define LIMIT_AUTONAT_DATA_MIN   30000 /* bytes asked of who wants another address than its own … */
#define LIMIT_AUTONAT_DATA_CHUNK 100 /* of them in one message, at least; as go */
#define LIMIT_AUTONAT_DATA_MAX   100000 /* … dialled: a dial costs us less, so nothing is amplified */

/* --- dht --- */
#define LIMIT_DHT_KEY               80         /* a record's key; as go */
#define LIMIT_DHT_MESSAGE           (64 * KIB) /* what we read of one message */
#define LIMIT_DHT_REPLY             16000      /* what we write of one; rust reads 16 KiB */
#define LIMIT_DHT_ADDRS             8          /* addresses kept and told of one peer */
#define LIMIT_DHT_ADDR              512        /* bytes of one address */
#define LIMIT_DHT_BUCKET            20         /* k of Kademlia */
#define LIMIT_DHT_GROUP             3          /* peers of one IPv4 /16 in the table; as go */
#define LIMIT_DHT_GROUP_BUCKET      2          /* of them in one bucket */
#define LIMIT_DHT_CANDIDATES        256        /* peers one lookup keeps in mind */
#define LIMIT_DHT_PATHS             4          /* disjoint paths of one lookup; S/Kademlia */
#define LIMIT_DHT_REGION            128        /* peers around a key that are asked, and told */
#define LIMIT_DHT_CROWD             64         /* of them so near that five would be many */
#define LIMIT_DHT_PROBES            3          /* lookups beside a key that is crowded */
#define LIMIT_DHT_VALUE             (4 * KIB) /* one signed value; rust keeps 64 KiB, we send them in replies */
#define LIMIT_DHT_VALUES            4096 /* values kept for others; 16 MiB at most */
#define LIMIT_DHT_VALUE_LIFETIME_MS (UINT64_C(4) * 3600 * 1000) /* expiry ahead of now */
#define LIMIT_DHT_ASKS              1024 /* of our requests under way; beyond, withdrawals are not told */
#define LIMIT_DHT_QUERIES           256   /* lookups at a time */
#define LIMIT_DHT_PROVIDERS         64    /* providers of one key */
#define LIMIT_DHT_KEYS              65536 /* keys with providers */
#define LIMIT_DHT_PEER_KEYS         2048  /* keys one peer may provide */
#define LIMIT_DHT_OWN_KEYS          1024  /* keys we announce */
#define LIMIT_DHT_RATE              50    /* requests a second answered to one peer */
#define LIMIT_DHT_RATE_IP           200   /* … to all peers of one IPv4 address or IPv6 /56 */
#define LIMIT_DHT_RATE_RELAY        800   /* … to all peers over relays at one */
#define LIMIT_DHT_RATED             4096  /* peers, and addresses, whose rate is remembered */
#define LIMIT_DHT_STREAMS           32 /* streams one peer may have open to our server; as rust */
#define LIMIT_DHT_PAST              64 /* silent peers remembered for when nobody else is left */

#define LIMIT_KEPT_PEERS 256         /* good peers written down for the next start */
#define LIMIT_KEPT_FILE  (512 * KIB) /* … and the file of them: 8 addresses each */

/* --- offer, route, guard --- */
#define LIMIT_OFFER         (8 * KIB) /* one signed offer; a full one is 2 KiB */
#define LIMIT_OFFER_PAYLOAD (4 * KIB) /* its payload, also of protocols we do not know */
#define LIMIT_OFFER_LIFETIME_MS                                                                    \
    (UINT64_C(48) * 3600 * 1000) /* expiry ahead of now; threats sheet */

#define LIMIT_CATALOGUE_PEERS  256  /* providers whose offers are kept; the least used one leaves */
#define LIMIT_CATALOGUE_GONE   4096 /* withdrawn offers whose sequence is remembered */
#define LIMIT_OFFERS_PER_PEER  256  /* offers of one peer */
#define LIMIT_LOAD_STALE_US    30000000 /* what a provider said of its load counts so long */
#define LIMIT_MEASURES         4096     /* peers and models with a record */
#define LIMIT_GUARD_PEERS      4096     /* peers with a rate of their own */
#define LIMIT_TRUST_PEERS      8192     /* peers of whom is known how they were found */
#define LIMIT_LAN_DIALS        32       /* peers of the LAN dialled by ourselves, and connected */
#define LIMIT_GUARD_QUEUE      1024     /* requests of others waiting for one model */
#define LIMIT_GUARD_QUEUE_PEER 256      /* … of one of them: a whole office behind one node */
#define LIMIT_PEER_LIST        8192     /* peers allowed or denied by the owner's lists */
#define LIMIT_INVITE           (2 * KIB) /* an invite without its signature; one address: 100 bytes */
#define LIMIT_INVITE_TEXT      (4 * KIB) /* its text, with what mail puts between its characters */
#define LIMIT_INVITES          1024      /* that a node has given out, not yet expired */
#define LIMIT_INVITE_BOOK      (4 * MIB) /* the file of them */

#define LIMIT_INVITE_SHOW_RATE_IP  0.5  /* invites shown a second by one IP group (over a relay: peer) … */
#define LIMIT_INVITE_SHOW_BURST_IP 20   /* … and so many at once */
#define LIMIT_INVITE_SHOW_RATE     50   /* … by all who are no guests yet … */
#define LIMIT_INVITE_SHOW_BURST    200  /* … and so many at once */
#define LIMIT_INVITE_SHOW_RATED    4096 /* IP groups remembered for that */

/* --- engine --- */
#define LIMIT_GGUF_TENSORS   65536      /* the largest mixtures of experts have some thousands */
#define LIMIT_GGUF_PAIRS     4096       /* metadata of a GGUF; real files have about 50 */
#define LIMIT_GGUF_KEY       256        /* bytes of a metadata name */
#define LIMIT_GGUF_STRING    (64 * MIB) /* one metadata string; some carry a whole tokenizer.json */
#define LIMIT_GGUF_ARRAY     (16 * MIB) /* elements of a metadata array; vocabularies have 300 000 */
#define LIMIT_GGUF_TEMPLATE  (1 * MIB)  /* a chat template; real ones are under 30 kB */
#define LIMIT_GGUF_BLOCKS    512        /* layers: llama.cpp's own tables end there */
#define LIMIT_FIXUP_EVENT    (4 * MIB)  /* as LIMIT_SSE_EVENT: what a backend sends in one piece */
#define LIMIT_FIXUP_CHOICES  128        /* of one answer; OpenAI's own n is at most 128 */
#define LIMIT_BACKEND_MODELS 4096       /* of one backend's /v1/models */
#define LIMIT_BACKEND_LIST   (8 * MIB)  /* bytes of that list */
#define LIMIT_ENGINE_LOG     (8 * MIB)  /* one log file of an engine; two are kept */

/* --- gateway --- */
#define LIMIT_FEED_WATCHERS 1024        /* peers that watch our offers */
#define LIMIT_FEED_PEER     4           /* … of one peer (or of all local clients) */
#define LIMIT_FEED_BACKLOG  (256 * KIB) /* unsent events of one watcher; it is cut off beyond */

/* --- commands --- */
#define LIMIT_CLI_QUESTION     (8 * MIB)  /* a question from stdin, a line of chat */
#define LIMIT_CLI_CONVERSATION (24 * MIB) /* messages that chat sends; under LIMIT_HTTP_BODY */
#define LIMIT_CLI_ANSWER       (16 * MIB) /* text of one answer */
#define LIMIT_CLI_USAGE        (64 * KIB) /* the usage object of an answer */
#define LIMIT_CLI_DOCUMENT     (16 * MIB) /* a document of the node: models, peers, status */
#define LIMIT_CLI_SENTENCE     2048       /* what is shown of somebody else's error message */
#define LIMIT_CLI_CELL         512        /* what is shown of a value in a table */

#endif
