/* Merging segments: what several hold, in one.
 *
 * Row groups of a tenant, signal and index, in the order in which they came:
 *   left out  when nothing of them is read any more: all rows deleted (seg_dead.h, tombstone.h), or too old (retention_rules.h)
 *   copied    byte for byte (seg_copy.h), when they are full, three quarters of what a group may have, or when there is
 *             nothing to join them with; all rows must be alive, and of words (seg_tokens.h) a fourth of their section's rows
 *             must be copied with them, or the section is made anew
 *   joined    neighbours that together fill one group at most (65,536 rows, 32 MiB in memory; that much is in memory at a time).
 *             Inside, their rows are sorted as a seal would have it in runs of 16,384 rows at most, one run behind another.
 * Why runs: sorted by service and name as a whole, the rows of an hour that belong together lie all over the group, and
 * times, trace ids and the index of them take more than they did. Measured (bench_merge: 160,000 rows, 8 a trace, sealed in 16
 * segments; bytes a span, a log row): sealed 26.0, 26.4; merged into one 25.8, 27.1 (sorted within groups it was 7 % over sealed); a
 * log row whose body is a line of Kafka's (15,453 rows in 8 segments) 24.86 and 24.81, of Apache's (10,000) 33.6 and 29.7. What
 * is over in the generated logs is the index of their random words, which has more blocks to tell apart. A trace's logs
 * by its id 0.36 ms sealed and 0.58 merged (1.9 before text was cut by its kind, col_str.c; Kafka's lines, where long blocks pay, 1.3).
 *
 * Series of metrics are merged label set by label
 * set, a page and the chunks it needs of each input at a time: samples are settled (a later input wins at equal
 * times) and cut into full blocks again; of the metadata of a family the latest stays. What is not copied gets its indexes, filters
 * and zones anew. Inputs are not changed; nothing here knows of catalogs and shards' lists (compact_run.c does). */
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
    uint64_t rows_dropped;    /* set: deleted or too old; series are not counted */
    uint32_t groups_copied, groups_dropped; /* set: as they were; not at all */
    uint64_t downsampled;     /* set: samples for which others stand (downsample.h) */
    bool empty;               /* set: nothing is left, and no file was written */
};

/* Writes the segment and sets name, size and times of *info. On an error there is no file. */
MUST_CHECK err_t seg_merge(struct seg_merge *m, struct seg_info *info) MAY_YIELD;
/* About how much memory it takes, from the directories of the inputs. */
MUST_CHECK err_t seg_merge_memory(const struct seg_merge_in *in, uint32_t n, uint64_t *bytes) MAY_YIELD;

/* -- between seg_merge.c, seg_merge_rows.c and seg_merge_metric.c ----------------------------------------------------------- */
struct merge_group {
    const struct seg_group *g;
    uint32_t input, group; /* of in[input] */
    uint32_t window, live; /* those of one window become one group; rows that are not deleted */
    bool whole, copy;      /* rows: all of them stay; it is copied */
};
MUST_CHECK err_t seg_merge_check(const struct seg_merge *m) MAY_YIELD; /* to be called often */
/* Row groups of one tenant, signal and index that together fill one at most, oldest first. */
MUST_CHECK err_t seg_merge_rows(struct seg_merge *m, struct seg_writer *w, const struct merge_group *g, uint32_t n) MAY_YIELD;
/* The metrics of one tenant, from at most one group of each input. */
MUST_CHECK err_t seg_merge_metrics(struct seg_merge *m, struct seg_writer *w, const struct merge_group *g, uint32_t n) MAY_YIELD;

#endif
