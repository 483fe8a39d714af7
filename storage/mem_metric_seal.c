/* Sealing the metrics memtable: its series sorted, read one by one, given to the writer of metrics groups. */
#include "storage/mem_metric_impl.h"

#include "base/core/assert.h"
#include "storage/seg_metric_write.h"

#include <stdlib.h>

struct order {
    const struct mem_tenant *t;
    const uint32_t *ranks;
};

static int by_labels(const void *order, uint32_t a, uint32_t b)
{
    const struct order *o = order;
    return mem_series_order(mem_series_at(o->t, a), mem_series_at(o->t, b), o->ranks);
}

/* The series that have samples: others were named in a batch, and no more. */
static uint32_t *with_samples(const struct mem_tenant *t, struct arena *a, uint32_t *n)
{
    uint32_t *order = ARENA_RAW(a, uint32_t, t->nseries);
    *n = 0;
    for (uint32_t i = 0; i < t->nseries; i++)
        if (mem_series_at(t, i)->tmin <= mem_series_at(t, i)->tmax) order[(*n)++] = i;
    return order;
}

static err_t seal_tenant(struct seg_metric_writer *w, const struct mem_tenant *t, struct arena *a)
{
    uint32_t n, *order = with_samples(t, a, &n);
    struct order by = { .t = t };
    uint32_t *ranks;
    TRY(mem_labels_ranks(t, a, &ranks));
    by.ranks = ranks;
    TRY(metric_sort(order, n, by_labels, &by));
    for (uint32_t i = 0; i < n; i++) {
        const struct mem_series *x = mem_series_at(t, order[i]);
        struct sample_set all;
        struct arena_mark mark = arena_mark(a);
        TRY(mem_series_read(x, INT64_MIN, INT64_MAX, a, &all));
        TRY(seg_metric_writer_series(w, mem_labels_canonical(t, x, a), &all));
        arena_rollback(a, mark);
        TRY(metric_checkpoint());
    }
    return seg_metric_writer_finish(w, t->tenant, t->meta, t->nmeta);
}

static int by_tenant(const void *a, const void *b)
{
    return str_cmp((*(struct mem_tenant *const *)a)->tenant, (*(struct mem_tenant *const *)b)->tenant);
}

err_t mem_metric_seal(struct mem_metric *m, const struct tenant_pick *pick, struct seg_writer *w)
{
    /* Uncounted: the memtable that is being freed may have filled the budget, and this holds little. */
    struct seg_metric_writer *x = seg_metric_writer_new(w, NULL);
    struct arena a;
    arena_init(&a, NULL);
    uint32_t n = m->ntenants;
    struct mem_tenant **sorted = malloc(sizeof(*sorted) * (n ? n : 1));
    ASSERT(sorted);
    memcpy(sorted, m->tenant, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_tenant);
    err_t e = OK;
    for (uint32_t i = 0; e == OK && i < n; i++) {
        if (tenant_picked(pick, sorted[i]->tenant)) e = seal_tenant(x, sorted[i], &a);
        arena_reset(&a);
    }
    arena_deinit(&a);
    seg_metric_writer_free(x);
    free(sorted);
    return e;
}
