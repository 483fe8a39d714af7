/* What one core holds, inside storage/ only: the memtables of its live generations and its segments, and the
 * view that pins them. store.c makes and changes it; rows_scan.c and metric_select.c read views. */
#ifndef STORAGE_SHARD_H
#define STORAGE_SHARD_H

#include "storage/lost.h"
#include "storage/mem_metric.h"
#include "storage/mem_rows.h"
#include "storage/retention_rules.h"
#include "storage/seg_dead.h"
#include "storage/tombstone.h"
#include "storage/view.h"

struct mem { /* one generation of one stream on one core */
    uint64_t generation, stream;
    uint32_t refs; /* shard 1, each view 1; one reactor, no atomics */
    bool frozen;
    struct mem_rows *rows;
    struct mem_metric *metrics;
};

struct view {
    struct store *store;
    struct lost *lost; /* the store's; NULL: a view of nothing lost */
    struct str tenant; /* copy in mem */
    struct budget *budget;
    struct arena mem;
    uint32_t nmems, nsegs;
    const struct stream_pick *pick; /* sorted, a copy in mem; NULL: all streams */
    struct mem **mems; /* oldest generation first, of one generation by stream */
    struct seg **segs; /* likewise: a later arrival of a sample wins */
    struct seg_dead **dead; /* of each, as it was when the view opened */
    uint32_t naway;
    struct seg **away; /* left out: the bucket alone has them, and they cannot be read now */
    uint64_t failures; /* object_cache_failures when the view opened */
    struct tomb_set *tombs;
    struct keep_rules *keep;
    int64_t keep_now_ns;
    uint32_t core, cores, partitions;
    struct view_counts counts;
    struct metric_view *metrics; /* metric_select.c's own; NULL at first, lives in mem */
};

bool view_picks(const struct view *v, uint64_t stream);
/* A read of this signal and time begins: counts what it will miss (view_counts.lost, .away). */
void view_note_missing(struct view *v, enum signal signal, int64_t tmin_ns, int64_t tmax_ns);

/* Does a row of a segment written for (info->core of info->cores) need the partition test here? When the
 * segment's core count is ours, its rows are all ours or all not. */
static inline bool seg_is_exactly_ours(const struct seg_info *i, const struct view *v)
{
    return i->cores == v->cores && i->core == v->core;
}

/* Is nothing of a group read any more? By what stands outside of its segment alone: deletions, and retention. */
struct outside {
    const struct tomb_set *tombs;
    const struct keep_rules *keep;
    int64_t now_ns;
    const struct seg_dead *dead; /* of the segment */
};
bool group_gone(const struct outside *o, const struct seg *seg, uint32_t group);
/* The same of group `group` of v->segs[no]. */
bool view_group_gone(const struct view *v, uint32_t no, uint32_t group);

/* May a segment written by one of i->cores hold partitions that are this core's now? */
static inline bool seg_may_be_of(const struct seg_info *i, unsigned core, unsigned cores, uint32_t partitions)
{
    if (i->cores == cores) return i->core == core;
    if (i->cores == 0) return true;
    for (uint32_t p = i->core; p < partitions; p += i->cores)
        if (p % cores == core) return true;
    return false;
}

#endif
