#include "query/delete/delete.h"

#include "base/core/assert.h"
#include "query/ops/op_scan.h"
#include "query/traceql/prefilter.h"

#include <stdlib.h>

/* -- filters ------------------------------------------------------------------------------------------------------ */

/* `what` and the window, finished. */
static err_t with_window(struct delete_filter *f, struct expr *what, struct attr_ref time, int64_t start_ns, int64_t end_ns)
{
    struct expr *kids[3] = { what };
    uint32_t n = 1;
    f->tmin_ns = start_ns;
    f->tmax_ns = end_ns == INT64_MAX || end_ns == INT64_MIN ? end_ns : end_ns - 1;
    if (start_ns != INT64_MIN) kids[n++] = expr_cmp(&f->b, time, CMP_GE, (struct val){ .type = COL_I64, .i64 = start_ns });
    if (end_ns != INT64_MAX) kids[n++] = expr_cmp(&f->b, time, CMP_LT, (struct val){ .type = COL_I64, .i64 = end_ns });
    f->root = expr_and(&f->b, kids, n);
    return expr_finish(&f->b, f->root);
}

err_t delete_filter_logs(const struct log_index *ix, const struct lq *q, int64_t start_ns, int64_t end_ns, struct arena *a,
                         struct delete_filter *out)
{
    struct expr *what;
    *out = (struct delete_filter){ .signal = ix->signal };
    if (ix->signal == SIG_DOCS) out->index = ix->stored;
    expr_builder_init(&out->b, a);
    TRY(log_compile(ix, q, &out->b, &what));
    return with_window(out, what, log_time_ref(ix), start_ns, end_ns);
}

static err_t only_filter(const struct tql_query *q, const struct tql_field **out)
{
    const struct tql_stage *s = q->pipeline->first;
    if (s->kind != TST_SPANSET || s->next || s->spanset->kind != TSS_FILTER)
        return err_set(ERR_INVALID, "a deletion takes one filter of spans, { ... }, without operators or a pipeline");
    *out = s->spanset->filter;
    return OK;
}

err_t delete_filter_spans(struct str traceql, int64_t start_ns, int64_t end_ns, struct arena *a, struct delete_filter *out)
{
    const struct tql_field *field;
    *out = (struct delete_filter){ .signal = SIG_SPANS };
    expr_builder_init(&out->b, a);
    TRY(tql_parse(traceql, a, &out->tql));
    TRY(only_filter(out->tql, &field));
    struct prefilter p = prefilter_of(field, &out->b);
    if (!p.exact)
        return err_set(ERR_INVALID, "this filter cannot be decided span by span: a deletion asks for attributes and intrinsics of the span, "
                       "its resource, scope, events and links");
    const struct attr_ref start = { .rel = REL_ROWS, .scope = SC_SELF, .name = STR("start") };
    return with_window(out, p.e, start, start_ns, end_ns);
}

void delete_filter_free(struct delete_filter *f)
{
    if (!f->series) expr_builder_deinit(&f->b);
    for (uint32_t i = 0; i < f->nseries; i++)
        pq_ast_deinit(&f->series[i]);
    f->nseries = 0;
    if (f->tql) tql_free(f->tql);
    f->tql = NULL;
}

/* -- a pass ---------------------------------------------------------------------------------------------------------- */

struct part { /* of one core */
    struct store *s;
    struct str tenant;
    uint64_t generation;
    const struct delete_filter *f;
    struct budget *budget;
    struct arena a;
    struct dead_marks marks;
    bool more; /* marks were full before the scan ended */
    bool lost; /* some of what it covers cannot be read now */
};

static err_t mark_chunk(const struct op_scan *scan, struct dead_marks *to)
{
    const struct chunk *c = &scan->chunk;
    uint32_t rows[VEC_MAX / 4], n = 0;
    for (uint32_t i = 0; i < c->nsel; i++) {
        rows[n++] = c->base + (c->sel ? c->sel[i] : i);
        if (n < ARRAY_LEN(rows) && i + 1 < c->nsel) continue;
        TRY(rowset_mark(&scan->rowset, rows, n, to));
        n = 0;
    }
    return OK;
}

static err_t scan_all(struct part *p, struct op_scan *scan)
{
    uint64_t seq = 0;
    for (;;) {
        enum op_status status;
        TRY(op_scan_next(scan, &status));
        if (status == OP_FINISHED) return dead_marks_end(&p->marks);
        /* Between row groups only: a group is marked as a whole. */
        if (scan->rowset_seq != seq && p->marks.bytes > DELETE_MARKS_MAX) {
            p->more = true;
            return dead_marks_end(&p->marks);
        }
        seq = scan->rowset_seq;
        TRY(mark_chunk(scan, &p->marks));
    }
}

static err_t find_rows(struct part *p, struct view *v)
{
    struct op_scan scan;
    const struct scan_opts o = { .req = { .signal = p->f->signal, .index = p->f->index, .tmin_ns = p->f->tmin_ns, .tmax_ns = p->f->tmax_ns,
                                          .upto_generation = p->generation },
                                 .filter = p->f->root, .builder = &p->f->b };
    err_t e = op_scan_open(&scan, v, &o, p->budget);
    if (e == OK) e = scan_all(p, &scan);
    struct err_record why = *err_record();
    op_scan_close(&scan);
    *err_record() = why;
    return e;
}

static err_t find_here(void *arg)
{
    struct part *p = arg;
    struct view *v;
    dead_marks_init(&p->marks, &p->a);
    TRY(view_open(p->s, p->tenant, NULL, p->budget, &v));
    err_t e = p->f->series ? delete_mark_exemplars(v, p->f, p->generation, &p->marks, &p->more) : find_rows(p, v);
    struct err_record why = *err_record();
    struct view_counts counts;
    view_counts(v, &counts);
    p->lost = counts.lost > 0;
    view_close(v);
    *err_record() = why;
    return e;
}

/* *again: some rows may be left. */
static err_t pass(struct part *parts, void *const *args, unsigned n, uint64_t *rows, bool *again)
{
    bool lost = false;
    *again = false;
    TRY(rt_call_all(RT_MAINTENANCE, find_here, args, NULL));
    for (unsigned i = 0; i < n; i++) {
        struct delete_counts c = { 0 };
        TRY(store_delete_rows(parts[i].s, &parts[i].marks, &c));
        *rows += c.rows;
        *again |= parts[i].more || c.stale > 0;
        lost |= parts[i].lost;
    }
    if (lost && !*again)
        return err_set(ERR_UNAVAILABLE, "stored files that this deletion covers cannot be read: it is tried again until they are put back, or gone");
    return OK;
}

err_t delete_run(struct store *s, struct str tenant, uint64_t generation, const struct delete_filter *f, struct budget *budget, uint64_t *rows)
{
    unsigned n = rt_cores();
    struct part *parts = calloc(n, sizeof *parts);
    void **args = calloc(n, sizeof *args);
    ASSERT(parts != NULL && args != NULL);
    bool again = true;
    err_t e = OK;
    *rows = 0;
    while (e == OK && again) {
        for (unsigned i = 0; i < n; i++) {
            parts[i] = (struct part){ .s = s, .tenant = tenant, .generation = generation, .f = f, .budget = budget };
            arena_init(&parts[i].a, budget);
            args[i] = &parts[i];
        }
        e = pass(parts, args, n, rows, &again);
        for (unsigned i = 0; i < n; i++)
            arena_deinit(&parts[i].a);
        if (e == OK) e = rt_checkpoint();
    }
    free(args);
    free(parts);
    return e;
}
