#include "storage/keep_rows.h"

static void add_name(struct keep_rows *x, struct str name)
{
    for (uint32_t i = 0; i < x->n; i++)
        if (str_eq(x->name[i], name)) return;
    x->name[x->n++] = name;
}

bool keep_rows_init(struct keep_rows *x, const struct keep_rules *k, const struct seg_group *g, int64_t now_ns, struct arena *a)
{
    uint32_t names = 0;
    *x = (struct keep_rows){ .time_ns = g->tmax_ns, .now_ns = now_ns };
    if (!k || k->nmatch == 0 || g->tmin_ns > g->tmax_ns) return false;
    keep_class_of(k, g, &x->class);
    if (!keep_class_splits(&x->class, x->time_ns, now_ns)) return false;
    for (uint32_t i = 0; i < x->class.nmatch; i++)
        names += x->class.match[i].nm;
    x->name = ARENA_ARRAY(a, struct str, names);
    x->col = ARENA_ARRAY(a, const struct column *, names);
    for (uint32_t i = 0; i < x->class.nmatch; i++)
        for (uint32_t k2 = 0; k2 < x->class.match[i].nm; k2++)
            add_name(x, x->class.match[i].m[k2].name);
    return true;
}

uint32_t keep_rows_mark(const struct keep_rows *x, uint32_t n, struct arena *a, bool *gone)
{
    struct labels ls = { 0, ARENA_ARRAY(a, struct label, x->n) };
    uint32_t count = 0;
    for (uint32_t row = 0; row < n; row++) {
        ls.n = 0;
        for (uint32_t i = 0; i < x->n; i++)
            if (x->col[i] && column_has(x->col[i], row)) ls.l[ls.n++] = (struct label){ x->name[i], column_str(x->col[i], row) };
        gone[row] = keep_rule_expired(keep_class_rule(&x->class, &ls), x->time_ns, x->now_ns);
        count += gone[row];
    }
    return count;
}

uint32_t keep_rows_live(struct keep_rows *x, const struct table *t, const uint32_t *sel, uint32_t n, struct arena *a, uint32_t *out)
{
    const struct table *res = t->dim[DIM_RESOURCE];
    uint32_t nres = res ? res->nrows : 1, kept = 0;
    bool *gone = ARENA_ARRAY(a, bool, nres);
    for (uint32_t i = 0; i < x->n && res; i++)
        x->col[i] = table_column(res, SC_ATTR, x->name[i], COL_STR);
    keep_rows_mark(x, nres, a, gone);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = sel ? sel[i] : i;
        if (!gone[res ? t->dim_row[DIM_RESOURCE][row] : 0]) out[kept++] = row;
    }
    return kept;
}
