#include "query/traceql/metrics_compare_int.h"

#include "base/core/hash.h"
#include "query/ops/op_scan.h"
#include "query/traceql/value.h"

#include <stdlib.h>

/* -- counting ----------------------------------------------------------------------------------------------------- */
static void steps_add(struct compare *c, struct csteps *s, uint32_t step, uint64_t n)
{
    uint32_t npages = (c->p->range.nsteps + METRICS_PAGE - 1) / METRICS_PAGE;
    if (!s->page) s->page = ARENA_ARRAY(c->a, uint64_t *, npages);
    uint64_t **page = &s->page[step / METRICS_PAGE];
    if (!*page) *page = ARENA_ARRAY(c->a, uint64_t, METRICS_PAGE);
    (*page)[step % METRICS_PAGE] += n;
    s->sum += n;
}

static void values_grow(struct compare *c, struct cattr *t, uint32_t n)
{
    t->v = arena_grow(c->a, t->v, t->n, &t->cap, n, sizeof *t->v);
    memset(t->v + t->n, 0, (n - t->n) * sizeof *t->v);
    t->n = n;
}

void compare_add(struct compare *c, struct cattr *t, uint32_t id, int side, uint32_t step, uint64_t n)
{
    if (id == 0) return;
    if (id == LABEL_OTHER) {
        steps_add(c, &t->other[side], step, n);
        return;
    }
    if (id > t->n) values_grow(c, t, id);
    steps_add(c, &t->v[id - 1].side[side], step, n);
}

static struct str text_of(const struct tql_field *f, struct arena *a)
{
    if (f->kind == TF_INTRINSIC) return f->text;
    return arena_printf(a, "%s." STR_FMT, f->scope == TS_RESOURCE ? "resource" : "span", STR_ARG(f->name));
}

struct cattr *compare_attr(struct compare *c, const struct tql_field *f)
{
    uint64_t hash = hash64_with(f->kind == TF_ATTR ? f->name : f->text, (uint64_t)f->kind * 16 + (uint64_t)f->scope);
    for (uint32_t it = 0, i; htab_next(&c->by_name, hash, &it, &i);) {
        const struct tql_field *g = &c->attr[i]->f;
        if (g->kind == f->kind && g->scope == f->scope && str_eq(f->kind == TF_ATTR ? f->name : f->text,
                                                                   g->kind == TF_ATTR ? g->name : g->text))
            return c->attr[i];
    }
    if (c->n == COMPARE_ATTRS_MAX) return NULL;
    struct cattr *t = ARENA_NEW(c->a, struct cattr);
    t->f = *f;
    t->f.name = arena_str(c->a, f->name);
    t->f.text = text_of(&t->f, c->a);
    tval_set_init(&t->values, c->a);
    label_cols_init(&t->cols, &t->f, &t->values, COMPARE_VALUES_MAX);
    htab_insert(&c->by_name, hash, c->n);
    c->attr = arena_grow(c->a, c->attr, c->n, &c->cap, c->n + 1, sizeof(t));
    return c->attr[c->n++] = t;
}

void compare_init(struct compare *c, const struct metrics_plan *p, struct arena *a)
{
    *c = (struct compare){ .p = p, .a = a };
    htab_init(&c->by_name, a->budget);
}

void compare_deinit(struct compare *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        tval_set_deinit(&c->attr[i]->values);
    htab_deinit(&c->by_name);
}

const struct tql_field compare_intrinsics[COMPARE_INTRINSICS] = {
    { .kind = TF_INTRINSIC, .intrinsic = TI_NAME, .text = { "name", 4 } },
    { .kind = TF_INTRINSIC, .intrinsic = TI_KIND, .text = { "kind", 4 } },
    { .kind = TF_INTRINSIC, .intrinsic = TI_STATUS, .text = { "status", 6 } },
    { .kind = TF_INTRINSIC, .intrinsic = TI_STATUS_MESSAGE, .text = { "statusMessage", 13 } },
};

static bool in_time(const struct tql_unit *u, int64_t start_ns)
{
    return u->to_ns == 0 || (start_ns >= u->from_ns && start_ns < u->to_ns);
}

/* -- by columns -------------------------------------------------------------------------------------------------------- */
struct cscan {
    struct compare *c;
    struct op_scan scan;
    struct expr_exec exec;     /* the selection */
    enum expr_can can;
    struct arena keep, bind;
    uint64_t bound;
    const int64_t *start;
    uint32_t *row, *step, *ids, n;
    uint8_t *side;
};

static err_t bind_attr(struct cscan *s, const struct tql_field *f)
{
    struct cattr *t = compare_attr(s->c, f);
    if (!t || t->bound == s->bound) return OK; /* a name with two types is one attribute */
    t->bound = s->bound;
    return label_cols_bind(&t->cols, &s->scan.src, &s->bind);
}

static err_t bind_rowset(struct cscan *s)
{
    static const struct { int rel; enum tql_scope scope; } rels[] = { { REL_ROWS, TS_SPAN }, { REL_RESOURCE, TS_RESOURCE } };
    const struct column *start;
    s->bound = s->scan.rowset_seq;
    arena_reset(&s->bind);
    TRY(rowset_column(&s->scan.rowset, REL_ROWS, SC_SELF, STR("start"), COL_I64, &start));
    if (!start) return err_set(ERR_CORRUPT, "spans without start");
    s->start = start->i64;
    s->can = EXPR_ALWAYS;
    if (s->c->p->selection) TRY(expr_exec_bind(&s->exec, &s->scan.src, &s->can));
    for (int i = 0; i < COMPARE_INTRINSICS; i++)
        TRY(bind_attr(s, &compare_intrinsics[i]));
    for (size_t r = 0; r < ARRAY_LEN(rels); r++) {
        const struct column_key *keys;
        uint32_t n;
        TRY(rowset_keys(&s->scan.rowset, rels[r].rel, &keys, &n));
        for (uint32_t i = 0; i < n; i++) {
            struct tql_field f = { .kind = TF_ATTR, .scope = rels[r].scope, .name = keys[i].name };
            if (keys[i].scope == SC_ATTR) TRY(bind_attr(s, &f));
        }
    }
    return OK;
}

static err_t take_rows(struct cscan *s)
{
    const struct chunk *c = &s->scan.chunk;
    uint64_t mask[MASK_WORDS];
    mask_fill(mask, c->n);
    if (s->can == EXPR_NEVER) memset(mask, 0, sizeof mask);
    else if (s->can == EXPR_MAYBE) TRY(expr_exec_mask(&s->exec, c->base, c->n, mask));
    s->n = 0;
    for (uint32_t i = 0; i < c->nsel; i++) {
        uint32_t at = c->sel ? c->sel[i] : i;
        int64_t start = s->start[c->base + at];
        s->step[s->n] = metrics_step(&s->c->p->range, start);
        if (s->step[s->n] == UINT32_MAX) continue;
        s->row[s->n] = c->base + at;
        s->side[s->n++] = (mask[at / 64] >> (at % 64) & 1) && in_time(s->c->p->u, start);
    }
    return OK;
}

static err_t count_chunk(struct cscan *s)
{
    if (s->bound != s->scan.rowset_seq) TRY(bind_rowset(s));
    TRY(take_rows(s));
    for (uint32_t k = 0; k < s->c->n; k++) {
        struct cattr *t = s->c->attr[k];
        if (t->bound != s->bound) continue;
        label_cols_read(&t->cols, s->row, s->n, s->ids, &s->bind);
        for (uint32_t i = 0; i < s->n;) {
            uint32_t from = i;
            while (i < s->n && s->ids[i] == s->ids[from] && s->step[i] == s->step[from] && s->side[i] == s->side[from])
                i++;
            compare_add(s->c, t, s->ids[from], s->side[from], s->step[from], i - from);
        }
    }
    TRY(arena_check(&s->bind));
    return arena_check(s->c->a);
}

static err_t scan_all(struct cscan *s, struct query *q, struct view *v)
{
    const struct metrics_plan *p = s->c->p;
    struct scan_opts o = { .req = { .signal = SIG_SPANS, .tmin_ns = p->range.left_ns + 1,
                                    .tmax_ns = metrics_stamp(&p->range, p->range.nsteps - 1) },
                           .filter = p->filter, .builder = &p->builder };
    TRY(op_scan_open(&s->scan, v, &o, q->budget));
    for (;;) {
        enum op_status status;
        TRY(op_scan_next(&s->scan, &status));
        if (status == OP_FINISHED) return OK;
        TRY(count_chunk(s));
    }
}

static err_t by_columns(struct compare *c, struct query *q, struct view *v)
{
    struct cscan *s = arena_calloc(c->a, 1, sizeof *s);
    s->c = c;
    arena_init(&s->keep, q->budget);
    arena_init(&s->bind, q->budget);
    s->row = ARENA_ARRAY(&s->keep, uint32_t, VEC_MAX);
    s->step = ARENA_ARRAY(&s->keep, uint32_t, VEC_MAX);
    s->ids = ARENA_ARRAY(&s->keep, uint32_t, VEC_MAX);
    s->side = ARENA_ARRAY(&s->keep, uint8_t, VEC_MAX);
    expr_exec_init(&s->exec, &c->p->builder, c->p->selection, q->budget);
    err_t e = arena_check(&s->keep);
    if (e == OK) e = scan_all(s, q, v);
    struct err_record why = *err_record();
    op_scan_close(&s->scan);
    *err_record() = why;
    expr_exec_deinit(&s->exec);
    arena_deinit(&s->bind);
    arena_deinit(&s->keep);
    return e;
}

/* -- by whole traces ------------------------------------------------------------------------------------------------------ */
static void count_value(struct compare *c, const struct tql_field *f, struct tval v, int side, uint32_t step)
{
    struct cattr *t = compare_attr(c, f);
    if (!t) return;
    bool full = t->values.n >= COMPARE_VALUES_MAX && tval_set_find(&t->values, &v) == UINT32_MAX;
    compare_add(c, t, full ? LABEL_OTHER : label_number(&t->values, &v), side, step, 1);
}

static err_t count_trace(void *ctx, const struct tql_trace *t, struct arena *a, bool *enough)
{
    struct compare *c = ctx;
    const struct tql_unit *u = c->p->u;
    uint32_t *spans, n;
    (void)enough;
    TRY(tql_select(u->spans, t, a, &spans, &n));
    for (uint32_t i = 0; i < n; i++) {
        const struct tspan *s = t->spans[spans[i]];
        uint32_t step = metrics_step(&c->p->range, s->start_ns);
        if (step == UINT32_MAX) continue;
        struct tval chosen = { .type = TV_BOOL, .b = true };
        if (u->selection) chosen = tql_value(u->selection, t, spans[i], a);
        int side = chosen.type == TV_BOOL && chosen.b && in_time(u, s->start_ns);
        for (int k = 0; k < COMPARE_INTRINSICS; k++)
            count_value(c, &compare_intrinsics[k], tql_value(&compare_intrinsics[k], t, spans[i], a), side, step);
        const struct tattrs *lists[] = { &s->attrs, &s->resource->attrs };
        for (size_t l = 0; l < ARRAY_LEN(lists); l++)
            for (uint32_t k = 0; k < lists[l]->n; k++) {
                struct tql_field f = { .kind = TF_ATTR, .scope = l ? TS_RESOURCE : TS_SPAN, .name = lists[l]->a[k].key };
                count_value(c, &f, lists[l]->a[k].v, side, step);
            }
    }
    return arena_check(c->a);
}

err_t compare_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    struct compare *c = ARENA_NEW(a, struct compare);
    compare_init(c, plan, a);
    *partial = c;
    struct candidate_window w = { .tmin_ns = c->p->range.left_ns + 1, .around = true, .whole = true,
                                  .tmax_ns = metrics_stamp(&c->p->range, c->p->range.nsteps - 1) };
    err_t e = c->p->columnar ? by_columns(c, q, v) : candidates_each(q, v, &c->p->candidates, &w, count_trace, c);
    compare_deinit(c);
    return e;
}

/* -- the merge and the series ----------------------------------------------------------------------------------------------- */
static void steps_merge(struct compare *c, struct csteps *into, const struct csteps *from)
{
    for (uint32_t i = 0; from->page && i < c->p->range.nsteps; i++) {
        const uint64_t *page = from->page[i / METRICS_PAGE];
        if (page && page[i % METRICS_PAGE]) steps_add(c, into, i, page[i % METRICS_PAGE]);
    }
}

static err_t merge(struct compare *into, const struct compare *from)
{
    for (uint32_t i = 0; i < from->n; i++) {
        const struct cattr *f = from->attr[i];
        struct cattr *t = compare_attr(into, &f->f);
        if (!t) continue;
        for (int side = 0; side < COMPARE_SIDES; side++)
            steps_merge(into, &t->other[side], &f->other[side]);
        for (uint32_t k = 0; k < f->n; k++) {
            uint32_t id = label_number(&t->values, &f->values.v[k]);
            if (id > t->n) values_grow(into, t, id);
            for (int side = 0; side < COMPARE_SIDES; side++)
                steps_merge(into, &t->v[id - 1].side[side], &f->v[k].side[side]);
        }
        TRY(arena_check(into->a));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

static void add_series(struct compare *c, const char *type, const struct cattr *t, struct tval v, const struct csteps *s,
                       struct series_set *out)
{
    const struct metrics_range *r = &c->p->range;
    struct tattr *labels = ARENA_ARRAY(c->a, struct tattr, 2);
    labels[0] = (struct tattr){ STR("__meta_type"), { .type = TV_STR, .s = str_of(type) } };
    labels[1] = (struct tattr){ t->f.text, v };
    struct metrics_series *to = series_add(out, r, labels, 2, c->a);
    for (uint32_t i = 0; i < r->nsteps; i++) {
        const uint64_t *page = s->page[i / METRICS_PAGE];
        to->values[i] = page ? (double)page[i % METRICS_PAGE] : 0;
    }
}

struct frequent {
    uint64_t sum;
    const struct tval *v;
    const struct csteps *s;
};

static int most_first(const void *pa, const void *pb)
{
    const struct frequent *a = pa, *b = pb;
    if (a->sum != b->sum) return a->sum > b->sum ? -1 : 1;
    return tval_order(a->v, b->v);
}

static void attr_series(struct compare *c, const struct cattr *t, int side, struct series_set *out)
{
    struct frequent *all = ARENA_RAW(c->a, struct frequent, t->n + 1);
    struct csteps total = { 0 };
    uint32_t n = 0;
    for (uint32_t k = 0; k < t->n; k++) {
        const struct tval *v = &t->values.v[k];
        const struct csteps *s = &t->v[k].side[side];
        bool no_message = t->f.kind == TF_INTRINSIC && v->type == TV_STR && v->s.n == 0;
        if (!s->sum || no_message) continue;
        all[n++] = (struct frequent){ s->sum, v, s };
        steps_merge(c, &total, s);
    }
    steps_merge(c, &total, &t->other[side]);
    if (!total.sum) return;
    if (n) qsort(all, n, sizeof *all, most_first);
    for (uint32_t k = 0; k < MIN(n, c->p->u->top); k++)
        add_series(c, side ? "selection" : "baseline", t, *all[k].v, all[k].s, out);
    add_series(c, side ? "selection_total" : "baseline_total", t, (struct tval){ .type = TV_NIL }, &total, out);
}

err_t compare_series(struct query *q, const struct metrics_plan *p, const struct scatter *sc, struct series_set *out)
{
    struct compare all;
    err_t e = OK;
    *out = (struct series_set){ 0 };
    compare_init(&all, p, q->arena);
    for (unsigned i = 0; i < sc->n && e == OK; i++)
        e = merge(&all, sc->partials[i]);
    for (uint32_t i = 0; i < all.n && e == OK; i++) {
        for (int side = 0; side < COMPARE_SIDES; side++)
            attr_series(&all, all.attr[i], side, out);
        e = arena_check(q->arena);
    }
    compare_deinit(&all);
    return e;
}
