/* The segment container: one immutable file format for all signals.
 *
 *   file   = header | chunk* | footer | trailer
 *   header = magic "TERCETSG" | u32 version | u32 0
 *   chunk  = bytes (a column chunk, a filter, an index), 8-aligned; its checksum stands in the footer
 *   footer = the groups (below), zstd; trailer = u64 footer offset | u32 length | u32 raw length | u64 XXH3 of
 *            the footer | u32 version | u32 0 | magic
 * A reader opens it with one read of its tail. A group holds rows of one tenant, one signal, one index: a row
 * group of a table (<= 65,536 rows) or the series of a tenant; `meta` is the signal's own directory of its
 * chunks with zone maps and codecs (specified in seg_rows.c and seg_metric.c). Groups are sorted by tenant.
 * A file appears by fs_publish; its name is its content hash. A file from a hostile hand never crashes a
 * reader: every offset, length and count is checked. */
#ifndef STORAGE_SEG_H
#define STORAGE_SEG_H

#include "base/core/buf.h"
#include "base/rt/file.h"
#include "storage/signal.h"

enum { SEG_VERSION = 1, SEG_CHUNK_MAX = 64 << 20, SEG_META_MAX = 16 << 20 };

struct seg_chunk { /* where a chunk lies; stored inside group metas, little-endian, 24 bytes */
    uint64_t off;
    uint32_t size, raw_size; /* raw_size: decoder's business */
    uint64_t hash;           /* XXH3 of the bytes */
};
struct seg_group {
    struct str tenant, index;
    enum signal signal;
    uint32_t nrows; /* rows, or series */
    int64_t tmin_ns, tmax_ns;
    struct str meta;
};
struct seg_info { /* what the catalog keeps of a segment */
    char name[40];  /* 32 hex digits of the content hash + ".seg" */
    uint64_t bytes;
    int64_t tmin_ns, tmax_ns;
    uint64_t generation;
    uint32_t core, cores; /* the share of keys it holds: partition % cores == core */
};

struct seg_writer;
MUST_CHECK err_t seg_writer_open(const char *dir, struct seg_writer **out) MAY_YIELD;
MUST_CHECK err_t seg_writer_chunk(struct seg_writer *w, struct str bytes, uint32_t raw_size,
                                  struct seg_chunk *out) MAY_YIELD;
MUST_CHECK err_t seg_writer_group(struct seg_writer *w, const struct seg_group *g); /* copies */
/* Footer, sync, rename, directory sync. Frees w, also on error (the temp file is removed then). */
MUST_CHECK err_t seg_writer_finish(struct seg_writer *w, struct seg_info *info) MAY_YIELD;
void seg_writer_abandon(struct seg_writer *w) MAY_YIELD;

struct seg; /* an open segment; owned by one reactor, counted without atomics */
MUST_CHECK err_t seg_open(const char *dir, const struct seg_info *info, struct seg **out) MAY_YIELD;
struct seg *seg_get(struct seg *s);
void seg_put(struct seg *s) MAY_YIELD; /* the last one closes the file, and unlinks it if seg_doom was called */
void seg_doom(struct seg *s);
const struct seg_info *seg_info(const struct seg *s);
uint32_t seg_ngroups(const struct seg *s);
const struct seg_group *seg_group(const struct seg *s, uint32_t i); /* lives as long as s */
/* A hint that chunks of [from, to) will be read soon; at most SEG_AHEAD_MAX bytes of it are fetched. */
enum { SEG_AHEAD_MAX = 16 << 20 };
void seg_will_read(struct seg *s, uint64_t from, uint64_t to) MAY_YIELD;
/* Reads and verifies one chunk into the arena. ERR_CORRUPT names file and offset. */
MUST_CHECK err_t seg_read(struct seg *s, const struct seg_chunk *c, struct arena *a, struct str *out) MAY_YIELD;

#endif
