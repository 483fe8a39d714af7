/* Where the bytes are: sums over segments, by tenant, signal and index (a set), and in these by part: a column or attribute, a
 * metric's name, a label. Made of directories, and, for names, of the pages that list series; no sample and no column is decoded.
 *
 * Invariants, of the sums of a segment, of a core and of a node alike
 *  1. A set's bytes are those of its parts; `bytes`, the files', are those of all sets + other_bytes (of tenants that are not asked
 *     for) + ids, words, directory, padding.
 *  2. A file is summed up on one core, also where several read it (it was written by another number of cores).
 *
 * What a name takes is its share: of a page of series and of a chunk of samples by its raw bytes in it, of the times, which series
 * of one scrape share, by its samples.
 *
 * A segment never changes, so its sums are kept with it (seg_usage_of) as long as those of all segments together take less than
 * USAGE_KEPT_MAX; others are made again for each request. Memory of a request: its budget. More than USAGE_PARTS_MAX parts: the
 * names of those that came later are forgotten, their bytes are not.
 *
 * Measured, release build: 618 segments with 600,000 entries of series in them take 0.11 s of CPU the first time and less than 0.01 s from
 * the sums that are kept, 8 KB a segment. */
#ifndef STORAGE_USAGE_H
#define STORAGE_USAGE_H

#include "base/core/arena.h"
#include "base/core/htab.h"
#include "storage/seg.h"

enum { USAGE_PARTS_MAX = 200000, USAGE_KEPT_MAX = 64 << 20, USAGE_LEVELS = 16 };

enum usage_kind {
    USAGE_COLUMN,   /* rows: of a relation, with its filter */
    USAGE_LINK,     /* rows: from rows to their resources, scopes, events, links */
    USAGE_METRIC,   /* its samples and entries of series */
    USAGE_LABEL,    /* the index of a label's values */
    USAGE_FAMILIES, /* type, unit, help */
    USAGE_REST,     /* of metrics, what is told by no name: series that were not looked at, for lack of time */
    USAGE_KINDS
};
struct usage_part {
    enum usage_kind kind;
    uint8_t rel, scope, type; /* COLUMN, LINK: REL_*, enum col_scope, enum col_type */
    uint32_t set;
    struct str name;          /* NULL: of parts past USAGE_PARTS_MAX */
    uint64_t bytes, filter_bytes; /* filter_bytes: of bytes */
    uint64_t count;           /* rows with a value; samples; values of a label */
    uint64_t of;              /* COLUMN: rows of its relation */
    uint64_t distinct;        /* COLUMN: of strings, in the row group that has most; METRIC: series, in the segment that has most */
};
struct usage_set {
    struct str tenant, index;
    enum signal signal;
    uint64_t bytes, groups;
    uint64_t rows;            /* metrics: series, in the segment that has most */
    uint64_t samples;         /* metrics */
    uint64_t directory_raw;   /* of the footer, unpacked: what open segments keep in memory */
    int64_t tmin_ns, tmax_ns; /* of what is sealed; INT64_MAX, INT64_MIN: nothing is */
    /* Of now, not of the files: */
    uint64_t gone_bytes;      /* nothing reads them any more, and they go with their segments: deleted, or too old */
    uint64_t dead_rows;       /* deleted, of groups that are read */
    uint64_t mem_rows, mem_bytes; /* in memtables; bytes: of rows, not of series */
};
struct usage_level {
    uint64_t segments, bytes;
};
struct usage {
    uint64_t segments, bytes, remote_bytes; /* remote: whose file may be gone from this disk */
    uint64_t other_bytes, ids_bytes, words_bytes, directory_bytes, padding_bytes; /* directory: footer, header, trailer */
    uint64_t unread_segments;  /* whose series were not looked at */
    struct usage_level level[USAGE_LEVELS]; /* by seg_info.level; the last one: and above */
    struct usage_set *sets;
    struct usage_part *parts;
    uint32_t nsets, nparts;
    /* usage.c's: */
    size_t sets_cap, parts_cap;
    struct arena *a;
    struct htab set_index, part_index;
};

void usage_init(struct usage *u, struct arena *a);
void usage_deinit(struct usage *u); /* the indexes; what the arena holds stays and may be read */
uint32_t usage_set_of(struct usage *u, struct str tenant, enum signal signal, struct str index); /* found or made */
/* Series of what is added are others than those that are there, or may be the same at another time: then the most count. */
enum usage_join { USAGE_BESIDE, USAGE_OVER_TIME };
/* p->set is u's; its bytes are added to the set's too. */
void usage_add(struct usage *u, const struct usage_part *p, enum usage_join join);
/* Adds `from`; of `only` a tenant (empty: of all), what others have to other_bytes. */
void usage_merge(struct usage *u, const struct usage *from, enum usage_join join, struct str only);

/* -- of one segment (usage_seg.c) ---------------------------------------------------------------------------- */
struct seg_usage {
    struct arena a;
    struct usage sum;
    uint64_t *group_bytes; /* of each group */
    uint32_t *group_set;
    int64_t kept_bytes;    /* 0: it is not kept */
};
/* Reads no series when `names` is false. The caller's, to be freed. `budget` is charged for what is read. */
MUST_CHECK err_t seg_usage_new(struct seg *s, bool names, struct budget *budget, struct seg_usage **out) MAY_YIELD;
/* May it stay with its segment? Counts it if so. */
bool seg_usage_keep(struct seg_usage *u);
void seg_usage_free(struct seg_usage *u); /* NULL too */

/* -- of what one core holds (usage_view.c) --------------------------------------------------------------------- */
struct view;
struct store;
struct usage_req {
    bool all_tenants; /* else the view's */
    int64_t names_until_ns; /* monotonic: from then on no more series are looked at */
};
/* All in the arena of `out`, which is initialised. */
MUST_CHECK err_t usage_view(struct view *v, const struct usage_req *rq, struct usage *out) MAY_YIELD;

/* -- of the node (usage_node.c) ---------------------------------------------------------------------------------- */
struct usage_dir {
    uint64_t files, bytes;
};
struct usage_node {
    struct usage_dir wal, catalog, object; /* object: read cache and directories of segments in the bucket */
    uint64_t ballast_bytes, disk_total_bytes, disk_free_bytes;
    double pause_share, refuse_share, read_only_share, retention_share; /* of the disk; 0 = never */
    int64_t retention_age_ms, memory_bytes_max; /* 0 = for ever */
    int disk_level;                     /* enum disk_level */
    uint64_t lost_segments, lost_bytes; /* of segments that cannot be opened: they are in no sum */
    bool bucket;                        /* there is an object tier */
};
MUST_CHECK err_t usage_node(struct store *s, struct usage_node *out) MAY_YIELD;

#endif
