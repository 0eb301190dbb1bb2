// SPDX-License-Identifier: MIT
/* The 12-byte header of Yamux, big-endian:
 *
 *   | version u8 = 0 | type u8 | flags u16 | stream u32 | length u32 |
 *
 *   type            length                          flags
 *   0 Data          bytes that follow               SYN opens, ACK accepts, FIN half-closes,
 *   1 WindowUpdate  credit added; with RST a code     RST aborts
 *   2 Ping          opaque value                    SYN asks, ACK answers
 *   3 GoAway        0 normal, 1 protocol, 2 internal
 */
#ifndef CONDUIT_P2P_YAMUX_FRAME_H
#define CONDUIT_P2P_YAMUX_FRAME_H

#include "base/bytes.h"

enum yamux_type { YAMUX_T_DATA = 0, YAMUX_T_WINDOW = 1, YAMUX_T_PING = 2, YAMUX_T_GOAWAY = 3 };
enum { YAMUX_F_SYN = 1, YAMUX_F_ACK = 2, YAMUX_F_FIN = 4, YAMUX_F_RST = 8 };
enum { YAMUX_HEAD = 12, YAMUX_INITIAL_WINDOW = 256 * 1024, YAMUX_SPLIT = 16 * 1024 };

struct yamux_frame {
    uint8_t version, type;
    uint16_t flags;
    uint32_t id, length;
};

static inline struct yamux_frame yamux_frame_decode(const uint8_t b[static YAMUX_HEAD])
{
    return (struct yamux_frame){
        .version = b[0],
        .type = b[1],
        .flags = (uint16_t)(b[2] << 8 | b[3]),
        .id = (uint32_t)b[4] << 24 | (uint32_t)b[5] << 16 | (uint32_t)b[6] << 8 | b[7],
        .length = (uint32_t)b[8] << 24 | (uint32_t)b[9] << 16 | (uint32_t)b[10] << 8 | b[11],
    };
}

static inline void yamux_frame_encode(uint8_t b[static YAMUX_HEAD], struct yamux_frame f)
{
    const uint8_t bytes[YAMUX_HEAD] = {
        f.version,
        f.type,
        (uint8_t)(f.flags >> 8),
        (uint8_t)f.flags,
        (uint8_t)(f.id >> 24),
        (uint8_t)(f.id >> 16),
        (uint8_t)(f.id >> 8),
        (uint8_t)f.id,
        (uint8_t)(f.length >> 24),
        (uint8_t)(f.length >> 16),
        (uint8_t)(f.length >> 8),
        (uint8_t)f.length,
    };
    memcpy(b, bytes, sizeof bytes);
}

#endif
