#include "query/logs/fragments.h"

#include "base/core/hash.h"

#include <stdlib.h>

static void set_add(struct log_column_set *s, struct str prefix, struct str name, enum col_type type)
{
    char full[TABLE_NAME_MAX * 2];
    size_t n = MIN(prefix.n, (size_t)TABLE_NAME_MAX), m = MIN(name.n, (size_t)TABLE_NAME_MAX);
    memcpy(full, prefix.p, n);
    if (m) memcpy(full + n, name.p, m);
    struct str key = str_n(full, n + m);
    uint64_t h = hash64_with(key, (uint64_t)type);
    for (uint32_t it = 0, v; htab_next(&s->index, h, &it, &v);)
        if (s->v[v].type == type && str_eq(s->v[v].name, key)) return;
    if (s->n == LOG_COLUMNS_MAX) return;
    s->v = arena_grow(s->a, s->v, s->n, &s->cap, s->n + 1, sizeof *s->v);
    s->v[s->n] = (struct log_column){ arena_str(s->a, key), type };
    htab_insert(&s->index, h, (uint32_t)s->n++);
}

/* The kinds of elements of an array column, by its first entries. */
static err_t add_json(struct log_column_set *s, struct rowset *rs, int rel, const struct column_key *k, struct str prefix)
{
    const struct column *c;
    struct arena tmp;
    TRY(rowset_column(rs, rel, k->scope, k->name, COL_JSON, &c));
    if (!c) return OK;
    arena_init(&tmp, s->a->budget);
    for (uint32_t i = 0; i < MIN(c->dict.count, 8u); i++) {
        struct val_list l = json_path_values(dict_get(&c->dict, i), STR(""), &tmp);
        for (uint32_t e = 0; e < MIN(l.n, 16u); e++)
            set_add(s, prefix, k->name, l.v[e].type);
    }
    arena_deinit(&tmp);
    return OK;
}

static err_t add_rel(struct log_column_set *s, struct rowset *rs, int rel, struct str prefix)
{
    const struct column_key *keys;
    uint32_t n;
    TRY(rowset_keys(rs, rel, &keys, &n));
    for (uint32_t i = 0; i < n; i++) {
        if (keys[i].scope != SC_ATTR) continue;
        if (keys[i].type == COL_JSON) TRY(add_json(s, rs, rel, &keys[i], prefix));
        else set_add(s, prefix, keys[i].name, keys[i].type);
    }
    return arena_check(s->a);
}

static err_t add_rowset(struct log_column_set *s, const struct log_columns_plan *p, struct rowset *rs)
{
    if (p->ix->signal == SIG_DOCS) return add_rel(s, rs, REL_ROWS, STR(""));
    TRY(add_rel(s, rs, REL_ROWS, p->ix->signal == SIG_LOGS ? STR("attributes.") : STR("span_attributes.")));
    return add_rel(s, rs, REL_RESOURCE, STR("resource_attributes."));
}

static err_t walk(struct query *q, struct view *v, const struct log_columns_plan *p, struct log_column_set *s)
{
    struct rows_scan *scan;
    struct rowset rs;
    struct expr_exec x;
    bool more;
    err_t e = OK;
    struct rows_req rq = { .signal = p->ix->signal, .index = p->ix->stored, .tmin_ns = p->tmin, .tmax_ns = p->tmax };
    TRY(rows_open(v, &rq, &scan));
    if (p->filter) expr_exec_init(&x, &p->b, p->filter, q->budget);
    for (;;) {
        enum expr_can can = EXPR_ALWAYS;
        TRY_OUT(e, rows_next(scan, &rs, &more));
        if (!more) break;
        if (p->filter) TRY_OUT(e, expr_exec_bind(&x, &(struct rows_src){ .rs = &rs }, &can));
        if (can != EXPR_NEVER && rs.nsel) TRY_OUT(e, add_rowset(s, p, &rs));
        TRY_OUT(e, rt_checkpoint());
    }
out:
    if (p->filter) expr_exec_deinit(&x);
    rows_close(scan);
    return e;
}

err_t log_columns_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    struct log_column_set *s = ARENA_NEW(a, struct log_column_set);
    s->a = a;
    htab_init(&s->index, q->budget);
    err_t e = walk(q, v, plan, s);
    htab_deinit(&s->index);
    *partial = s;
    return e;
}

static int by_name(const void *pa, const void *pb)
{
    const struct log_column *a = pa, *b = pb;
    int c = str_cmp(a->name, b->name);
    return c ? c : (a->type > b->type) - (a->type < b->type);
}

static err_t gather(struct query *q, struct log_columns_plan *p, struct log_column_set *all)
{
    struct scatter sc;
    TRY(scatter_run(q, &LOG_COLUMNS_KIND, p, &sc));
    for (unsigned c = 0; c < sc.n; c++) {
        const struct log_column_set *s = sc.partials[c];
        for (size_t i = 0; i < s->n; i++)
            set_add(all, s->v[i].name, STR(""), s->v[i].type);
    }
    scatter_free(&sc);
    if (all->n) qsort(all->v, all->n, sizeof *all->v, by_name);
    return arena_check(q->arena);
}

err_t log_columns(struct query *q, const struct log_index *ix, const struct lq *filter, int64_t start_ns, int64_t end_ns,
                  struct log_column **out, uint32_t *n)
{
    struct log_columns_plan p = { .ix = ix, .tmin = start_ns, .tmax = end_ns == INT64_MAX ? INT64_MAX : end_ns - 1 };
    struct log_column_set all = { .a = q->arena };
    err_t e = OK;
    expr_builder_init(&p.b, q->arena);
    htab_init(&all.index, q->budget);
    if (filter) TRY_OUT(e, log_compile(ix, filter, &p.b, &p.filter));
    if (filter) TRY_OUT(e, expr_finish(&p.b, p.filter));
    TRY_OUT(e, gather(q, &p, &all));
    *out = all.v;
    *n = (uint32_t)all.n;
out:
    htab_deinit(&all.index);
    expr_builder_deinit(&p.b);
    return e;
}
