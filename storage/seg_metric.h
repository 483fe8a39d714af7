/* Metrics in segments: one group a tenant. Format specified in seg_metric.c. seg_metric_write.c writes
 * it; a reader touches the label values that its matchers name, the pages of the series that match, and the
 * chunks that hold those series' blocks. */
#ifndef STORAGE_SEG_METRIC_H
#define STORAGE_SEG_METRIC_H

#include "storage/metric_samples.h"
#include "storage/seg.h"
#include "storage/seg_block.h"

enum {
    SEG_METRIC_VERSION = 4,
    SEG_METRIC_CHUNK = 256 << 10,  /* raw bytes at which a chunk of blocks is written */
    SEG_METRIC_PAGE = 64 << 10,    /* of series entries */
    SEG_METRIC_PART = 1 << 20,     /* of label values with their series */
    SEG_METRIC_FIRST_MAX = 64,     /* bytes kept of a part's first value */
    SEG_METRIC_META_STR_MAX = 65536,
};

struct seg_entry { /* of a series, inside its page */
    struct str canonical;
    int64_t tmin, tmax;
    uint64_t data, data_size; /* where its blocks' data lies, of all chunks of data */
    struct str blocks;        /* undecoded: seg_block.h */
};
struct seg_page {
    struct seg_chunk at;
    uint32_t first, n;       /* series */
    uint64_t data;           /* where the data of its first series begins */
    struct seg_entry *entry; /* NULL until read */
};
struct seg_part {
    struct seg_chunk at;
    uint32_t nvalues;
    struct str first; /* at most SEG_METRIC_FIRST_MAX bytes of its first value */
};
struct seg_name {
    struct str name;
    uint32_t nparts;
    struct seg_part *part;
};
struct seg_metric { /* the directory of a group, and what was read through it so far */
    struct seg *seg;
    struct arena *mem, *cache; /* the directory; what is read: the same one at first, see seg_metric_forget */
    struct view_counts *counts;
    uint32_t nseries, ndata, nchunks, npages, nnames;
    int64_t resolution_ms; /* of the coarsest summaries (downsample.h); 0: there are none */
    struct seg_chunk *chunk; /* ndata of data, then those of times */
    uint64_t *chunk_start;   /* raw bytes in front of each, of its kind */
    struct str *chunk_bytes; /* p == NULL until read */
    struct seg_page *page;
    struct seg_name *name;
    bool has_meta;
    struct seg_chunk meta;
    struct seg_times *times; /* NULL, or what decoded times are shared in: samples' times may be there then (seg_times.h) */
};
struct seg_series {
    struct seg_metric *of;
    const struct seg_entry *entry;
    hash128 id;
};

/* Decodes a group's meta; no I/O. Views into `meta`. */
MUST_CHECK err_t seg_metric_decode(struct str meta, uint32_t nseries, struct arena *a, struct seg_metric *out);
/* Decodes a page's raw bytes: exactly n entries, whose data begins at `data`. */
MUST_CHECK err_t seg_page_decode(struct str raw, uint32_t n, uint64_t data, struct arena *a, struct seg_entry **out);

/* `mem` holds the directory and everything read; counts are added to. */
MUST_CHECK err_t seg_metric_open(struct seg *seg, const struct seg_group *g, struct arena *mem,
                                 struct view_counts *counts, struct seg_metric **out);
/* Series that match and overlap the range, in the order of their labels. */
MUST_CHECK err_t seg_metric_select(struct seg_metric *s, const struct matcher *ms, uint32_t nm, int64_t tmin_ms,
                                   int64_t tmax_ms, struct seg_series **out, uint32_t *n) MAY_YIELD;
/* Settled samples in range, in a. */
MUST_CHECK err_t seg_series_read(const struct seg_series *s, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                                 struct sample_set *out) MAY_YIELD;
/* For who reads all series one after another: those of page i < npages, in the order of their labels. */
MUST_CHECK err_t seg_metric_page_series(struct seg_metric *s, uint32_t i, struct seg_series **out, uint32_t *n) MAY_YIELD;
/* Empties s->cache, an arena of its own: series that were given out are gone, their samples (in other arenas) stay. */
void seg_metric_forget(struct seg_metric *s);
/* The blocks that overlap the range, as they were written: floats and histograms each ascend. */
MUST_CHECK err_t seg_series_blocks(const struct seg_series *s, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                                   struct seg_block **out, uint32_t *n);
MUST_CHECK err_t seg_metric_meta(struct seg_metric *s, struct metric_meta **out, uint32_t *n) MAY_YIELD;

/* Reads and decodes a page of series into s->page[i].entry, once. */
MUST_CHECK err_t seg_metric_page(struct seg_metric *s, uint32_t i) MAY_YIELD;

#endif
