/* Framing of the write-ahead log: pure, no I/O. All integers little-endian.
 *
 *   file   = header block | group*                        a group begins on a multiple of WAL_ALIGN
 *   header = 4,096 bytes:
 *       0 u8[8] magic "TERCETWL"      8 u32 version (2)        12 u32 core
 *      16 u64 generation             24 u64 salt              32 u64 number of the file in its core's log
 *      40 u64 check of the frame before in this core's log, in an earlier file; 0 = first since the start
 *      48 u64 check = XXH3-64 of bytes 0-47          56 zeros
 *   group  = frame+ | zeros up to the next multiple of WAL_ALIGN; written and synced as one
 *   frame  = head (64 bytes) | payload | zeros up to a multiple of 8
 *       0 u32 magic "TFRM"            4 u32 length of the payload
 *       8 u8 type                     9 u8 flags (1: last frame of its group)   10 u16 0   12 u32 group
 *      16 u64 generation             24 u64 seq: of the frame in its file, from 0
 *      32 u64 salt: of the file      40 u64 chain: check of the frame before; of the header block for the first
 *      48 u64 XXH3-64 of the payload 56 u64 check = XXH3-64 of bytes 0-55
 *
 * Why each part: salt kills the frames that an earlier life of a recycled file left behind; the chain kills
 * a frame that survives where its predecessor did not; check lets a head be trusted (its length!) before the
 * payload is read.
 *
 * Torn or rotten? Group n + 1 is written only after the sync of group n succeeded. So behind an
 * invalid frame of group j, a valid frame of a group > j proves that the invalid one had been durable: that is rot.
 * Anything else is the torn tail of the group that was on its way at the crash, which nobody was told of.
 * Frames missing at the end of a file show in the header of the file after it. */
#ifndef STORAGE_WAL_FRAME_H
#define STORAGE_WAL_FRAME_H

#include "base/core/err.h"
#include "base/core/str.h"
#include "base/core/types.h"

enum {
    WAL_ALIGN = 4096,
    WAL_HEAD = 64,
    WAL_PAYLOAD_MAX = 128 << 20, /* a request body is at most 64 MiB; its columns are smaller, its labels may not be */
};
enum wal_type { WAL_REQUEST = 1 };
enum { WAL_LAST = 1 };

struct wal_file_head {
    uint32_t core;
    uint64_t generation, salt, number, before;
};
/* Writes the header block (WAL_ALIGN bytes). */
void wal_file_head_put(const struct wal_file_head *h, uint8_t *block);
/* ERR_CORRUPT when it is none, ERR_INVALID when it is a sound one of another version. n bytes are there. */
MUST_CHECK err_t wal_file_head_get(const uint8_t *block, size_t n, struct wal_file_head *out);

/* Where in a file's chain the next frame stands. */
struct wal_chain {
    uint64_t generation, salt;
    uint64_t seq;    /* of the next frame */
    uint64_t before; /* check of the frame before */
    uint32_t group;  /* of the next frame */
    bool broken;     /* after rot: the next frame's chain and seq are taken as they come */
};
void wal_chain_init(struct wal_chain *c, const uint8_t *header_block);

struct wal_frame {
    enum wal_type type;
    uint8_t flags;
    uint32_t group;
    uint64_t generation, seq;
    struct str payload; /* in the bytes parsed */
    uint64_t chain, check;
    size_t bytes;       /* head, payload and padding */
};
static inline size_t wal_frame_bytes(size_t payload)
{
    return (WAL_HEAD + payload + 7) & ~(size_t)7;
}

/* Writes the head of the next frame and moves the chain on. */
void wal_head_put(struct wal_chain *c, enum wal_type type, uint8_t flags, uint32_t length,
                  uint64_t payload_hash, uint8_t head[WAL_HEAD]);

/* Is this the head of some frame, of whatever file? For a file whose header block is lost. */
bool wal_head_peek(const uint8_t *p, size_t n, uint64_t *generation, uint64_t *salt);

enum wal_parse {
    WAL_FRAME, /* *out is valid, and the chain has moved on */
    WAL_PAD,   /* nothing here: go on at the next multiple of WAL_ALIGN */
    WAL_MORE,  /* the head is sound; *need bytes are wanted from here */
    WAL_BAD,   /* not a frame of this chain */
};
/* p[0, n) are the bytes at a frame's place, a multiple of 8 in the file. */
enum wal_parse wal_parse(struct wal_chain *c, const uint8_t *p, size_t n, struct wal_frame *out,
                         size_t *need);

#endif
