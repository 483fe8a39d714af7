/* The segment container: one immutable file format for all signals.
 *
 *   file   = header | chunk*, with the pages of words (seg_tokens.h) between them | page of the index of trace ids* (seg_ids.h) |
 *            footer | trailer
 *   header = magic "TERCETSG" | u32 version | u32 0
 *   chunk  = bytes (a column chunk, a filter, an index), 8-aligned; its checksum stands in the footer
 *   footer = the groups (below) and the directory of the index, zstd; trailer = u64 footer offset | u32 length | u32 raw length | u64 XXH3 of
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

enum { SEG_VERSION = 7, SEG_CHUNK_MAX = 64 << 20, SEG_META_MAX = 16 << 20 };

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
    /* set by the reader: */
    uint32_t first_row; /* number of its first row in the index of ids (seg_ids.h) */
    uint32_t tokens_section, tokens_block; /* of the index of words: section from 1, 0 = none, and its first block there */
    uint8_t tokens_log2;  /* of the rows of a block there */
    bool tokens_partial;  /* columns are left out there */
};
struct seg_info { /* what the catalog keeps of a segment */
    char name[40];  /* 32 hex digits of the content hash + ".seg" */
    uint64_t bytes;
    int64_t tmin_ns, tmax_ns;
    /* The generations of its core that it holds, both inclusive: all that core wrote in them. A sealed one has one, a
     * merge joins neighbours. Its place in the catalog is (generation, lane). */
    uint64_t generation_first, generation;
    uint32_t core, cores; /* the share of keys it holds: partition % cores == core */
    uint32_t level;       /* 0: as sealed; n: rows were merged at most n times */
    uint64_t worked;      /* tombstones up to this id, of this node's catalog, have nothing in it to delete any more; 0: of none it is known */
    uint32_t judged;      /* keep_rules_judge, as it was when the segment was merged: what retention had to say of it is done */
    bool remote;          /* its file may be gone: the bytes are in the bucket (object_tier.h) */
    bool object;          /* of tenants of the class `object`, as that was at the seal; never with rows of others */
    uint64_t stream;      /* of the one stream (names.h) whose rows it holds */
    int64_t sealed_ms;    /* wall clock of the seal of the oldest rows in it */
};
/* Its stream, core and class: segments of one lane follow each other by generation. Those of two classes or cores share no series
 * and no trace; those of two streams may, and what both have of a time is settled by generation, then by stream. */
struct seg_lane { uint64_t stream; uint32_t share; /* core and class */ };
static inline struct seg_lane seg_lane(const struct seg_info *i)
{
    return (struct seg_lane){ i->stream, i->core << 1 | i->object };
}
static inline int seg_lane_cmp(struct seg_lane a, struct seg_lane b)
{
    return a.stream != b.stream ? (a.stream < b.stream ? -1 : 1) : (a.share > b.share) - (a.share < b.share);
}
static inline bool seg_lane_eq(struct seg_lane a, struct seg_lane b)
{
    return seg_lane_cmp(a, b) == 0;
}
/* 32 lower-case hex digits and ".seg": what seg_writer_finish gives. Anything else is no name of a file of ours. */
bool seg_name_valid(const char name[40]);

struct seg;
struct seg_writer;
/* `budget` is charged for what the index of ids gathers: at most 16 bytes a row that has one (24 while they are sorted). */
MUST_CHECK err_t seg_writer_open(const char *dir, struct budget *budget, struct seg_writer **out) MAY_YIELD;
/* What it writes is the outcome of a merge: columns are encoded for long (COL_MERGE). */
void seg_writer_for_long(struct seg_writer *w);
bool seg_writer_is_for_long(const struct seg_writer *w);
MUST_CHECK err_t seg_writer_chunk(struct seg_writer *w, struct str bytes, uint32_t raw_size,
                                  struct seg_chunk *out) MAY_YIELD;
/* Copies. Of logs and documents, tokens_section 0: its words were added by seg_writer_tokens; else they are where tokens_* say, in a
 * section that came with seg_writer_section. */
MUST_CHECK err_t seg_writer_group(struct seg_writer *w, const struct seg_group *g);
/* Copies a section of words of another segment, every page verified; its number here, from 1. */
MUST_CHECK err_t seg_writer_section(struct seg_writer *w, struct seg *from, uint32_t section, uint32_t *number) MAY_YIELD;
uint32_t seg_writer_groups(const struct seg_writer *w); /* written so far */
/* The trace id of a row of the group written last, rows ascending; a group of seg_ids_cover(signal). */
void seg_writer_id(struct seg_writer *w, uint32_t row, struct str id);
/* Adds the words of the table that will be the next group (in place of the one added before, if that was not written), of a
 * signal with seg_tokens_cover; covered[i]: those of column i are all there. */
struct table;
MUST_CHECK err_t seg_writer_tokens(struct seg_writer *w, const struct table *t, bool *covered) MAY_YIELD;
/* Footer, sync, rename, directory sync. Frees w, also on error (the temp file is removed then). */
MUST_CHECK err_t seg_writer_finish(struct seg_writer *w, struct seg_info *info) MAY_YIELD;
void seg_writer_abandon(struct seg_writer *w) MAY_YIELD;

/* Where the bytes of a segment come from when not from its file. Calls are made on the core that opened it. */
struct seg_source {
    err_t (*read)(struct seg_source *src, const struct file_range *r, uint32_t n) MAY_YIELD; /* as file_read_ranges */
    void (*will_read)(struct seg_source *src, uint64_t off, uint64_t n) MAY_YIELD;
    void (*stay)(struct seg_source *src, uint64_t off, uint64_t n);   /* an index was read there: it is wanted again */
    void (*put)(struct seg_source *src, struct file *from, uint64_t off, uint64_t n) MAY_YIELD; /* a range, from a file with the same bytes */
    void (*forget)(struct seg_source *src, uint64_t off, uint64_t n); /* what it keeps of a range is not what was written */
    void (*close)(struct seg_source *src, bool doomed) MAY_YIELD;
    uint64_t failed; /* by who reads it: for seg_failed */
};

struct seg; /* an open segment; owned by one reactor, counted without atomics */
MUST_CHECK err_t seg_open(const char *dir, const struct seg_info *info, struct seg **out) MAY_YIELD;
/* A file that no catalog names: its info knows name, size and times. */
MUST_CHECK err_t seg_open_path(const char *path, struct seg **out) MAY_YIELD;
/* Names of segments in which somebody met a wrong checksum: takes one out, false when there is none. Of many at once some are
 * forgotten, and met again. Any thread. */
bool seg_suspect_take(char name[40]);
void seg_suspect_add(const char name[40]);
void seg_suspect_forget(const char name[40]);
/* The same from a source, which it takes, also on error; `path` is for messages. */
MUST_CHECK err_t seg_open_from(const char *path, const struct seg_info *info, struct seg_source *src, struct seg **out) MAY_YIELD;
struct seg *seg_get(struct seg *s);
void seg_put(struct seg *s) MAY_YIELD; /* the last one closes the file, and unlinks it if seg_doom was called */
void seg_doom(struct seg *s);
/* Pages of the index by trace id, from the segment's file to the source that s is read from now. */
void seg_put_index(struct seg *s, struct seg *file) MAY_YIELD;
/* Where footer and trailer begin: what a reader needs to open it is [seg_tail, bytes). */
uint64_t seg_tail(const struct seg *s);
/* What the segment's source has noted when it could not read; 0 = it always could, or is a file. */
uint64_t seg_failed(const struct seg *s);
/* The rows of it that were deleted (seg_dead.h); NULL = none. seg_dead_set takes d; pins of the old ones stay. */
struct seg_dead;
struct seg_dead *seg_dead_of(const struct seg *s);
void seg_dead_set(struct seg *s, struct seg_dead *d);
/* The sums of its bytes (usage.h), when they are kept; NULL = they are not. seg_usage_set takes u. */
struct seg_usage;
struct seg_usage *seg_usage_of(const struct seg *s);
void seg_usage_set(struct seg *s, struct seg_usage *u);
const struct seg_info *seg_info(const struct seg *s);
uint32_t seg_ngroups(const struct seg *s);
const struct seg_group *seg_group(const struct seg *s, uint32_t i); /* lives as long as s */
/* The rows (seg_group.first_row + row) that may be of one of the n traces, ascending, into the arena: a row that is not named
 * is of none. Reads a page of the index for each. */
MUST_CHECK err_t seg_find_ids(struct seg *s, const uint8_t (*ids)[16], uint32_t n, struct arena *a, uint32_t **rows, uint32_t *nrows) MAY_YIELD;
struct seg_tokens;
const struct seg_tokens *seg_tokens(const struct seg *s); /* lives as long as s */
/* A hint that chunks of [from, to) will be read soon; at most SEG_AHEAD_MAX bytes of it are fetched. */
enum { SEG_AHEAD_MAX = 16 << 20 };
void seg_will_read(struct seg *s, uint64_t from, uint64_t to) MAY_YIELD;
/* Reads and verifies one chunk into the arena. ERR_CORRUPT names file and offset. */
MUST_CHECK err_t seg_read(struct seg *s, const struct seg_chunk *c, struct arena *a, struct str *out) MAY_YIELD;

/* Where the parts beside the chunks lie, for seg_map.c. */
struct seg_ids;
struct seg_tokens;
struct seg_layout {
    uint64_t bytes, footer_off, footer_size, footer_raw; /* of the file; the stored footer and what it unpacks to */
    const struct seg_ids *ids;
    const struct seg_tokens *tokens;
};
void seg_layout(const struct seg *s, struct seg_layout *out);

/* For seg_reader.c and seg_tokens.c: does a range lie within the data; its unverified bytes, all ranges at once; the error when they are not
 * what was written. */
MUST_CHECK err_t seg_check_range(const struct seg *s, uint64_t off, uint64_t n);
MUST_CHECK err_t seg_read_raw(struct seg *s, const struct file_range *r, uint32_t n) MAY_YIELD;
/* Bytes of a source that are wrong may be right when they are fetched again; false: they are a file's, and stay as they are. */
bool seg_forget(struct seg *s, uint64_t off, uint64_t n);
err_t seg_wrong_checksum(const struct seg *s, uint64_t off, uint64_t n);

#endif
