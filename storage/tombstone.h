/* Tombstones: what was deleted without looking at it. A tombstone says that of everything in segments of `generation` and older
 * ones, the series that match and their samples in a range of time are deleted (SIG_METRICS), or all rows of an
 * index (SIG_DOCS). It is one small record in the catalog, whatever it deletes: readers apply it to what they find.
 *
 * `generation` was sealed when the tombstone was made, so it covers all that was acked before and nothing that came
 * later: a sample written after a deletion is seen, whatever its time. Compaction leaves out what is deleted and may then
 * join segments of both sides of a tombstone's generation: the joined one is newer than the tombstone, which no
 * longer applies to it. Of what was written anew the catalog says up to which id tombstones have nothing in it any more
 * (seg_info.worked): ids ascend, and none that a segment says is given again. When all segments are newer than a tombstone, or say so, it is
 * taken out of the catalog (tombs_tick).
 *
 * Sets and tombstones are immutable and counted (atomically: cores share them). */
#ifndef STORAGE_TOMBSTONE_H
#define STORAGE_TOMBSTONE_H

#include "storage/signal.h"
#include "storage/view.h"

enum { TOMBSTONES_MAX = 10000, TOMBSTONE_MATCHERS_MAX = 64, TOMBSTONE_BYTES_MAX = 1 << 20 };

struct tombstone_spec {
    struct str tenant;
    enum signal signal;      /* SIG_METRICS or SIG_DOCS */
    struct str index;        /* SIG_DOCS: as its rows carry it */
    int64_t tmin_ms, tmax_ms; /* SIG_METRICS: inclusive */
    const struct matcher *m; /* SIG_METRICS: all of them must match */
    uint32_t nm;
};
struct tombstone {
    struct tombstone_spec spec;
    uint64_t id, generation;
};

/* Record in the catalog: u32 version (1) | u64 XXH3 of what follows | u64 id | u64 generation | u8 signal | i64 tmin_ms |
 * i64 tmax_ms | tenant | index | varint matchers, each u8 op, name, value; strings are varint length + bytes. */
void tombstone_encode(const struct tombstone *t, struct buf *out);
/* Compiles the regexes too. */
MUST_CHECK err_t tombstone_decode(struct str bytes, const struct tombstone **out);
const struct tombstone *tombstone_get(const struct tombstone *t);
void tombstone_put(const struct tombstone *t);
bool tombstone_matches(const struct tombstone *t, const struct labels *ls);

struct tomb_set {
    _Atomic uint32_t refs;
    uint32_t n;
    const struct tombstone *t[];
};
/* NULL is the empty set. */
struct tomb_set *tomb_set_get(struct tomb_set *s);
void tomb_set_put(struct tomb_set *s);
/* Are the rows of an index deleted that a segment of that generation holds? */
bool tomb_set_drops_index(const struct tomb_set *s, uint64_t generation, struct str tenant, struct str index);
/* Another set: with one more (may be NULL; another reference), without those of drop[i]. */
struct tomb_set *tomb_set_edit(const struct tomb_set *s, const struct tombstone *more, const bool *drop);

#endif
