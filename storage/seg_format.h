/* The bytes of a segment's tail, apart from any I/O: see seg.h for the file, here for the footer.
 *
 *   trailer (40 bytes) = u64 footer offset | u32 length | u32 raw length | u64 XXH3 of the stored footer |
 *                        u32 version | u32 0 | "TERCETSG"
 *   footer  = zstd of:  u64 salt | varint ngroups | group* | directory of the index of trace ids (seg_ids.h) | tokens (seg_tokens.h)
 *   group   = u8 signal | varint length, tenant | varint length, index | varint nrows | zigzag tmin |
 *             zigzag tmax | varint length, meta
 * The salt makes files of equal rows different, so that no two segments share a name: the name is the
 * XXH3-128 of the raw footer, which holds the checksum of every chunk and page. */
#ifndef STORAGE_SEG_FORMAT_H
#define STORAGE_SEG_FORMAT_H

#include "storage/seg.h"
#include "storage/seg_ids.h"
#include "storage/seg_tokens.h"

#define SEG_MAGIC "TERCETSG"
enum { SEG_HEADER = 16, SEG_TRAILER = 40, SEG_FOOTER_RAW_MAX = 256 << 20, SEG_GROUPS_MAX = 1 << 20 };

struct seg_trailer {
    uint64_t off, hash;
    uint32_t size, raw_size;
};

void seg_header_put(struct buf *b);
void seg_trailer_put(const struct seg_trailer *t, struct buf *b);
/* p: the last SEG_TRAILER bytes of a file of file_size bytes. */
MUST_CHECK err_t seg_trailer_parse(const uint8_t *p, uint64_t file_size, struct seg_trailer *t);
void seg_group_put(const struct seg_group *g, struct buf *b);
struct seg_footer {
    uint32_t ngroups;
    struct seg_group *groups;
    struct seg_ids ids;
    uint32_t nrows; /* that ids numbers */
    struct seg_tokens tokens;
};
/* Groups are views into raw, their array is in the arena. */
MUST_CHECK err_t seg_footer_parse(struct str raw, struct arena *a, struct seg_footer *out);

/* 24 bytes: u64 off | u32 size | u32 raw_size | u64 hash */
enum { SEG_CHUNK_BYTES = 24 };
void seg_chunk_put(const struct seg_chunk *c, struct buf *b);
struct seg_chunk seg_chunk_get(const uint8_t *p);

#endif
