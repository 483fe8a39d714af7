/* Exemplars of traces, or of the series of jobs. */
#include "query/correlate/exemplars_wire.h"

#include "base/core/hash.h"

#include <stdlib.h>

struct find {
    const struct corr_exemplars_req *rq;
    struct arena *a;
    struct corr_exemplars *out;
    struct htab traces;
};
struct cols { /* of one rowset */
    const struct column *time, *labels, *value, *trace, *span;
    uint8_t *job; /* a label set of the dictionary: 0 = not looked at, 1 = not one of the jobs, 2 = is */
};

static int newest_first(const void *pa, const void *pb)
{
    const struct corr_exemplar *a = pa, *b = pb;
    if (a->time_ns != b->time_ns) return a->time_ns > b->time_ns ? -1 : 1;
    int c = memcmp(a->trace_id, b->trace_id, 16);
    return c ? c : memcmp(a->span_id, b->span_id, 8);
}

static bool of_a_trace(const struct find *f, const struct cols *c, uint32_t row)
{
    if (!c->trace || !column_has(c->trace, row)) return false;
    const uint8_t *id = c->trace->fix + (size_t)row * 16;
    for (uint32_t it = 0, i; htab_next(&f->traces, trace_id_hash(id), &it, &i);)
        if (memcmp(f->rq->traces[i].id, id, 16) == 0) return true;
    return false;
}

static err_t of_a_job(const struct find *f, struct cols *c, uint32_t row, bool *is)
{
    *is = false;
    if (!c->trace || !column_has(c->trace, row)) return OK;
    uint8_t *known = &c->job[c->labels->code[row]];
    if (!*known) {
        struct labels l;
        TRY(labels_decode(column_str(c->labels, row), f->a, &l));
        *known = names_find(f->rq->jobs, labels_get(&l, STR("job"))) != NAME_NONE ? 2 : 1;
    }
    *is = *known == 2;
    return OK;
}

static err_t bind(struct find *f, struct rowset *rs, struct cols *c)
{
    *c = (struct cols){ 0 };
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("time"), COL_I64, &c->time));
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("labels"), COL_STR, &c->labels));
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("value"), COL_F64, &c->value));
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("trace_id"), COL_FIX, &c->trace));
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("span_id"), COL_FIX, &c->span));
    if (c->trace && c->trace->width != 16) c->trace = NULL;
    if (c->span && c->span->width != 8) c->span = NULL;
    if (c->labels) c->job = ARENA_ARRAY(f->a, uint8_t, c->labels->dict.count + 1);
    return arena_check(f->a);
}

/* Keeps the newest in front of what came since, when that is as much again. */
static void keep(struct find *f, const struct corr_exemplar *x)
{
    struct corr_exemplars *out = f->out;
    out->v[out->n++] = *x;
    if (out->n < 2 * CORR_EXEMPLARS_MAX) return;
    qsort(out->v, out->n, sizeof *out->v, newest_first);
    out->n = CORR_EXEMPLARS_MAX;
}

static err_t take_rows(struct find *f, struct rowset *rs)
{
    struct cols c;
    TRY(bind(f, rs, &c));
    if (!c.time || !c.labels || !c.value) return OK;
    for (uint32_t i = 0; i < rs->nsel; i++) {
        uint32_t row = rs->sel ? rs->sel[i] : i;
        int64_t time = c.time->i64[row];
        bool is = true;
        if (i % 256 == 0) TRY(rt_checkpoint());
        if (!column_has(c.labels, row) || !column_has(c.value, row)) continue;
        if (time < f->rq->window.start_ns || time >= f->rq->window.end_ns) continue;
        if (f->rq->ntraces) is = of_a_trace(f, &c, row);
        else TRY(of_a_job(f, &c, row, &is));
        bool has_span = c.span && column_has(c.span, row);
        const uint8_t *span = has_span ? c.span->fix + (size_t)row * 8 : NULL;
        if (!is || (f->rq->span_id && (!span || memcmp(span, f->rq->span_id, 8) != 0))) continue;
        struct corr_exemplar x = { .value = c.value->f64[row], .time_ns = time, .has_trace = true, .has_span = has_span };
        memcpy(x.trace_id, c.trace->fix + (size_t)row * 16, 16);
        if (span) memcpy(x.span_id, span, 8);
        TRY(labels_decode(arena_str(f->a, column_str(c.labels, row)), f->a, &x.labels));
        f->out->total++;
        keep(f, &x);
        TRY(arena_check(f->a));
    }
    return OK;
}

static err_t fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    struct find f = { .rq = plan, .a = a, .out = ARENA_NEW(a, struct corr_exemplars) };
    const struct scan_hint hint = { .kind = HINT_FIX_EQ, .rel = REL_ROWS, .scope = SC_SELF, .name = STR("trace_id"),
                                    .value = str_n(f.rq->ntraces ? f.rq->traces[0].id : NULL, 16) };
    const struct rows_req req = { .signal = SIG_EXEMPLARS, .tmin_ns = f.rq->window.start_ns, .tmax_ns = f.rq->window.end_ns,
                                  .newest_first = true, .hints = &hint, .nhints = f.rq->ntraces == 1 };
    struct rows_scan *scan = NULL;
    struct rowset rs;
    err_t e;
    *partial = f.out;
    f.out->v = ARENA_RAW(a, struct corr_exemplar, 2 * CORR_EXEMPLARS_MAX);
    htab_init(&f.traces, q->budget);
    for (uint32_t i = 0; i < f.rq->ntraces; i++)
        htab_insert(&f.traces, trace_id_hash(f.rq->traces[i].id), i);
    TRY_OUT(e, rows_open(v, &req, &scan));
    for (bool more;;) {
        TRY_OUT(e, rows_next(scan, &rs, &more));
        if (!more) break;
        TRY_OUT(e, take_rows(&f, &rs));
    }
    if (f.out->n) qsort(f.out->v, f.out->n, sizeof *f.out->v, newest_first);
    f.out->n = MIN(f.out->n, (uint32_t)CORR_EXEMPLARS_MAX);
out:
    rows_close(scan);
    htab_deinit(&f.traces);
    return e;
}

const struct fragment_kind CORR_EXEMPLARS_KIND = {
    .name = "correlate_exemplars", .fn = fragment, .plan_put = corr_exemplars_plan_put, .plan_get = corr_exemplars_plan_get,
    .plan_free = corr_exemplars_plan_free, .partial_put = corr_exemplars_part_put, .partial_get = corr_exemplars_part_get,
};

static struct labels copy_labels(const struct labels *l, struct arena *a)
{
    struct labels to = { .n = l->n, .l = ARENA_RAW(a, struct label, l->n + 1) };
    for (uint32_t i = 0; i < l->n; i++)
        to.l[i] = (struct label){ arena_str(a, l->l[i].name), arena_str(a, l->l[i].value) };
    return to;
}

err_t corr_exemplars(struct query *q, const struct corr_exemplars_req *rq, struct corr_exemplars *out)
{
    struct scatter sc;
    *out = (struct corr_exemplars){ 0 };
    TRY(scatter_run(q, &CORR_EXEMPLARS_KIND, rq, &sc));
    out->v = ARENA_RAW(q->arena, struct corr_exemplar, sc.n * CORR_EXEMPLARS_MAX + 1);
    for (unsigned i = 0; i < sc.n; i++) {
        const struct corr_exemplars *part = sc.partials[i];
        out->total += part->total;
        if (part->n) memcpy(out->v + out->n, part->v, part->n * sizeof *out->v);
        out->n += part->n;
    }
    if (out->n) qsort(out->v, out->n, sizeof *out->v, newest_first);
    out->n = MIN(out->n, (uint32_t)CORR_EXEMPLARS_MAX);
    for (uint32_t i = 0; i < out->n; i++)
        out->v[i].labels = copy_labels(&out->v[i].labels, q->arena);
    scatter_free(&sc);
    return arena_check(q->arena);
}
