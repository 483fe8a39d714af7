#include "storage/table.h"

#include "base/core/assert.h"
#include "storage/table_grow.h"

#include <stdlib.h>

struct table *table_new(struct budget *budget, size_t bytes_guess)
{
    struct table *t = calloc(1, sizeof *t);
    ASSERT(t);
    arena_init_sized(&t->mem, budget, bytes_guess);
    t->tmin_ns = INT64_MAX;
    t->tmax_ns = INT64_MIN;
    atomic_init(&t->refs, 1);
    return t;
}

struct table *table_get(struct table *t)
{
    uint32_t before = atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    ASSERT(before > 0 && before < UINT32_MAX / 2);
    return t;
}

void table_put(struct table *t)
{
    if (!t) return;
    /* Release: our reads of the table happen before the free by whoever drops the last reference. */
    uint32_t before = atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1) return;
    arena_deinit(&t->mem);
    free(t);
}

void table_uncharge(struct table *t)
{
    budget_release(t->mem.budget, (int64_t)t->mem.bytes);
    t->mem.budget = NULL;
}

const struct column *table_column(const struct table *t, enum col_scope scope, struct str name,
                                  enum col_type type)
{
    for (uint32_t i = 0; i < t->ncols; i++) {
        const struct column *c = &t->cols[i];
        if (c->name.n == name.n && c->type == type && c->scope == scope && str_eq(c->name, name)) return c;
    }
    return NULL;
}

size_t table_bytes(const struct table *t) { return sizeof *t + t->mem.bytes; }

void table_set_times(struct table *t, struct str time_column)
{
    t->tmin_ns = INT64_MAX;
    t->tmax_ns = INT64_MIN;
    const struct column *c = table_column(t, SC_SELF, time_column, COL_I64);
    for (uint32_t i = 0; c && i < t->nrows; i++) {
        if (!column_has(c, i)) continue;
        t->tmin_ns = MIN(t->tmin_ns, c->i64[i]);
        t->tmax_ns = MAX(t->tmax_ns, c->i64[i]);
    }
}
