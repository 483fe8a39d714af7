#include "storage/seg_times.h"

#include "base/core/assert.h"
#include "base/core/metric.h"

struct place { /* of a block's times */
    uint64_t at;
    uint32_t n;
};
struct seg_times_kept {
    const struct seg_metric *of;
    int64_t tmin, tmax;
    uint32_t n;
    struct place *block;
    struct seg_times_column column;
};

static uint32_t slot_of(const struct seg_metric *of, const struct seg_block *b, uint32_t n)
{
    return (uint32_t)hash_u64(b[0].times ^ hash_u64((uint64_t)(uintptr_t)of + n)) % (2 * SEG_TIMES_MAX);
}

static bool is_of(const struct seg_times_kept *k, const struct seg_metric *of, const struct seg_block *b, uint32_t n, int64_t tmin, int64_t tmax)
{
    if (k->of != of || k->n != n || k->tmin != tmin || k->tmax != tmax) return false;
    for (uint32_t i = 0; i < n; i++)
        if (k->block[i].at != b[i].times || k->block[i].n != b[i].n) return false;
    return true;
}

const struct seg_times_column *seg_times_find(const struct seg_times *x, const struct seg_metric *of, const struct seg_block *b, uint32_t n,
                                              int64_t tmin_ms, int64_t tmax_ms)
{
    for (uint32_t i = slot_of(of, b, n); x->kept[i]; i = (i + 1) % (2 * SEG_TIMES_MAX)) /* half of it is free */
        if (is_of(x->kept[i], of, b, n, tmin_ms, tmax_ms)) {
            metric_add(M_SEGMENT_TIMES_SHARED, 1);
            return &x->kept[i]->column;
        }
    return NULL;
}

/* False: they do not ascend. */
static bool cut(const int64_t *t, uint32_t n, int64_t tmin, int64_t tmax, uint32_t *skip, uint32_t *count)
{
    for (uint32_t i = 1; i < n; i++)
        if (t[i] <= t[i - 1]) return false;
    for (*skip = 0; *skip < n && t[*skip] < tmin;) ++*skip;
    for (*count = n - *skip; *count && t[*skip + *count - 1] > tmax;) --*count;
    return true;
}

const struct seg_times_column *seg_times_keep(struct seg_times *x, const struct seg_metric *of, const struct seg_block *b, uint32_t n,
                                              int64_t tmin_ms, int64_t tmax_ms, const int64_t *t, uint32_t nt)
{
    struct seg_times_kept k = { .of = of, .tmin = tmin_ms, .tmax = tmax_ms, .n = n };
    size_t bytes = nt * sizeof *t + n * sizeof *k.block;
    if (x->n == SEG_TIMES_MAX || x->bytes + bytes > SEG_TIMES_BYTES_MAX || !cut(t, nt, tmin_ms, tmax_ms, &k.column.skip, &k.column.n)) return NULL;
    k.block = ARENA_RAW(x->a, struct place, n);
    for (uint32_t i = 0; i < n; i++) k.block[i] = (struct place){ b[i].times, b[i].n };
    k.column.t = arena_dup(x->a, t + k.column.skip, k.column.n * sizeof *t);
    uint32_t i = slot_of(of, b, n);
    while (x->kept[i]) i = (i + 1) % (2 * SEG_TIMES_MAX);
    x->kept[i] = arena_dup(x->a, &k, sizeof k);
    x->n++;
    x->bytes += bytes;
    return &x->kept[i]->column;
}
