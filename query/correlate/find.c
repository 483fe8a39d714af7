/* Traces by a predicate on their spans. */
#include "query/correlate/wire.h"

#include "query/ops/op_scan.h"

#include <stdlib.h>

struct find {
    const struct corr_find_req *rq;
    struct arena *a;
    struct corr_found *out;
    struct htab by_id;
    struct corr_pick *all;
    size_t cap;
    uint32_t n;
    struct touched_reader reader;
    uint64_t bound_seq;
};

/* -- the picks --------------------------------------------------------------------------------------------------------- */
static int newest_first(const void *pa, const void *pb)
{
    const struct corr_pick *a = pa, *b = pb;
    if (a->last_ns != b->last_ns) return a->last_ns > b->last_ns ? -1 : 1;
    return memcmp(a->id, b->id, 16);
}

static int slowest_first(const void *pa, const void *pb)
{
    const struct corr_pick *a = pa, *b = pb;
    if (a->slowest_ns != b->slowest_ns) return a->slowest_ns > b->slowest_ns ? -1 : 1;
    return newest_first(pa, pb);
}

/* The newest, then the slowest of the rest; newest first. Reorders all[0..n). */
static uint32_t pick(const struct corr_find_req *rq, struct corr_pick *all, uint32_t n)
{
    if (n) qsort(all, n, sizeof *all, newest_first);
    uint32_t newest = MIN(n, rq->newest), kept = MIN(n, newest + rq->slowest);
    if (n > newest) qsort(all + newest, n - newest, sizeof *all, slowest_first);
    if (kept) qsort(all, kept, sizeof *all, newest_first);
    return kept;
}

/* -- the fragment -------------------------------------------------------------------------------------------------------- */
static void take(struct find *f, const uint8_t *id, int64_t start, int64_t duration, bool error)
{
    uint64_t h = trace_id_hash(id);
    for (uint32_t it = 0, i; htab_next(&f->by_id, h, &it, &i);) {
        struct corr_pick *p = &f->all[i];
        if (memcmp(p->id, id, 16) != 0) continue;
        p->error |= error;
        p->first_ns = MIN(p->first_ns, start);
        p->last_ns = MAX(p->last_ns, start);
        p->slowest_ns = MAX(p->slowest_ns, duration);
        return;
    }
    if (f->n == CORR_FOUND_MAX) {
        f->out->more = true;
        return;
    }
    f->all = arena_grow(f->a, f->all, f->n, &f->cap, f->n + 1, sizeof *f->all);
    struct corr_pick p = { .error = error, .first_ns = start, .last_ns = start, .slowest_ns = duration };
    memcpy(p.id, id, 16);
    htab_insert(&f->by_id, h, f->n);
    f->all[f->n++] = p;
}

static int64_t i64_at(const struct vec *v, uint32_t i)
{
    if (v->form == VEC_CONST) i = 0;
    return v->valid && !(v->valid[i / 64] >> (i % 64) & 1) ? 0 : v->i64[i];
}

static err_t take_chunk(struct find *f, struct op_scan *scan)
{
    const struct chunk *c = &scan->chunk;
    const struct vec *id = &c->cols[0];
    if (scan->rowset_seq != f->bound_seq) TRY(touched_bind(&f->reader, &scan->rowset, f->a));
    f->bound_seq = scan->rowset_seq;
    if (id->form != VEC_FLAT || id->width != 16) return OK;
    for (uint32_t k = 0; k < c->nsel; k++) {
        uint32_t i = c->sel ? c->sel[k] : k;
        int64_t start = i64_at(&c->cols[1], i);
        if (start < f->rq->window.start_ns || start >= f->rq->window.end_ns) continue;
        take(f, id->fix + (size_t)i * 16, start, i64_at(&c->cols[2], i), i64_at(&c->cols[3], i) == 2);
        touched_row(&f->reader, &f->out->touched, c->base + i);
    }
    return arena_check(f->a);
}

static err_t scan_all(struct find *f, struct query *q, struct view *v)
{
    static const struct scan_spec cols[] = {
        { REL_ROWS, SC_SELF, { "trace_id", 8 }, COL_FIX },  { REL_ROWS, SC_SELF, { "start", 5 }, COL_I64 },
        { REL_ROWS, SC_SELF, { "duration", 8 }, COL_I64 },  { REL_ROWS, SC_SELF, { "status_code", 11 }, COL_I64 },
    };
    struct scan_opts o = { .req = { .signal = SIG_SPANS, .tmin_ns = f->rq->window.start_ns, .tmax_ns = f->rq->window.end_ns,
                                    .newest_first = true },
                           .filter = f->rq->filter, .builder = f->rq->builder, .cols = cols, .ncols = ARRAY_LEN(cols) };
    struct op_scan scan;
    err_t e;
    TRY_OUT(e, op_scan_open(&scan, v, &o, q->budget));
    for (;;) {
        enum op_status status;
        TRY_OUT(e, op_scan_next(&scan, &status));
        if (status == OP_FINISHED) break;
        TRY_OUT(e, take_chunk(f, &scan));
    }
out:
    op_scan_close(&scan);
    return e;
}

err_t corr_find_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    struct corr_found *out = ARENA_NEW(a, struct corr_found);
    struct find f = { .rq = plan, .a = a, .out = out };
    touched_init(&out->touched, a);
    htab_init(&f.by_id, q->budget);
    *partial = out;
    err_t e = scan_all(&f, q, v);
    out->total = f.n;
    for (uint32_t i = 0; i < f.n; i++)
        out->errors += f.all[i].error;
    out->n = pick(f.rq, f.all, f.n);
    out->v = f.all;
    htab_deinit(&f.by_id);
    touched_deinit(&out->touched);
    return e;
}

err_t corr_find(struct query *q, const struct corr_find_req *rq, struct corr_found *out)
{
    struct scatter sc;
    *out = (struct corr_found){ 0 };
    touched_init(&out->touched, q->arena);
    TRY(scatter_run(q, &CORR_FIND_KIND, rq, &sc));
    for (unsigned i = 0; i < sc.n; i++) {
        const struct corr_found *part = sc.partials[i];
        out->total += part->total;
        out->errors += part->errors;
        out->more |= part->more;
        touched_merge(&out->touched, &part->touched);
        struct corr_pick *v = ARENA_RAW(q->arena, struct corr_pick, out->n + part->n + 1);
        if (out->n) memcpy(v, out->v, out->n * sizeof *v);
        if (part->n) memcpy(v + out->n, part->v, part->n * sizeof *v);
        out->v = v;
        out->n += part->n;
    }
    out->n = pick(rq, out->v, out->n);
    scatter_free(&sc);
    return arena_check(q->arena);
}
