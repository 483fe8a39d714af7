/* Merging segments: what several hold, in one, in the order in which a seal would have put it.
 *
 * Rows of a tenant, signal and index keep to short windows of time, in the order in which they came: neighbouring row groups that
 * together fill one (65,536 rows, 32 MiB in memory) become one, sorted as a seal would have it; that much is in memory at a
 * time. Measured (bench_merge: 160,000 rows, 8 a trace; bytes a span, a log row; CPU of reading a trace by its id among spans,
 * among logs): sealed in 16 segments 24.6 B, 25.0 B, 0.7 ms, 1.2 ms; merged into one 24.0, 26.8, 1.6, 6.0; merged
 * and sorted by service and name as a whole 24.9, 28.1, 2.9, 11.2: a trace's rows, and its ids, are in several groups then.
 * A search of the last quarter of an hour reads one group in each of the first two. Merging costs 0.5 us of CPU a span, 1.4 us a
 * log row.
 * Series of metrics are merged label set by label
 * set, a page and the chunks it needs of each input at a time: samples are settled (a later input wins at equal
 * times) and cut into full blocks again; of the metadata of a family the latest stays. Indexes, filters and zones are made
 * anew. What is deleted (seg_dead.h, tombstone.h) is left out. Inputs are not changed; nothing here knows of catalogs and
 * shards (compact_run.c does). */
#ifndef STORAGE_SEG_MERGE_H
#define STORAGE_SEG_MERGE_H

#include "storage/retention_rules.h"
#include "storage/seg.h"
#include "storage/tombstone.h"

struct seg_merge_in {
    struct seg *seg;
    struct seg_dead *dead; /* may be NULL */
};
struct seg_merge {
    const char *dir;          /* where the new segment goes */
    const struct seg_merge_in *in; /* oldest first; references of the caller */
    uint32_t n;
    const struct tomb_set *tombs;  /* may be NULL */
    const struct keep_rules *keep; /* likewise: what is too old by them at that time is left out */
    int64_t keep_now_ns;
    struct budget *budget;
    const _Atomic bool *stop; /* ends it with ERR_CANCELED when set; may be NULL */
    uint64_t rows, samples;   /* set: what was written */
    bool empty;               /* set: nothing is left, and no file was written */
};

/* Writes the segment and sets name, size and times of *info. On an error there is no file. */
MUST_CHECK err_t seg_merge(struct seg_merge *m, struct seg_info *info) MAY_YIELD;
/* About how much memory it takes, from the directories of the inputs. */
MUST_CHECK err_t seg_merge_memory(const struct seg_merge_in *in, uint32_t n, uint64_t *bytes) MAY_YIELD;

/* -- between seg_merge.c and seg_merge_metric.c ----------------------------------------------------------- */
struct merge_group {
    const struct seg_group *g;
    uint32_t input, group; /* of in[input] */
};
MUST_CHECK err_t seg_merge_check(const struct seg_merge *m) MAY_YIELD; /* to be called often */
/* The metrics of one tenant, from at most one group of each input. */
MUST_CHECK err_t seg_merge_metrics(struct seg_merge *m, struct seg_writer *w, const struct merge_group *g, uint32_t n) MAY_YIELD;

#endif
