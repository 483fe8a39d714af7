#include "query/traceql/search.h"

#include "base/core/hash.h"
#include "query/ops/op_scan.h"
#include "query/traceql/prefilter.h"

#include <stdlib.h>

enum { GATHER_BATCH = 64 };
/* The rest of a trace is looked for this far outside of the asked window. */
#define TRACE_SLACK_NS (3600 * NS_PER_S)

struct candidate {
    uint8_t id[16];
    uint32_t hits;      /* bit a filter */
    int64_t newest_ns;  /* start of the newest span that hit */
};
struct search_plan {
    const struct search_req *rq;
    struct expr_builder builder;
    struct expr *filters[TQL_FILTERS_MAX]; /* NULL = every span hits: not scanned */
    uint32_t nfilters;
    bool scan_all; /* no filter narrows: all spans are candidates */
};
struct core_search {
    struct query *q;
    struct view *v;
    const struct search_plan *plan;
    struct arena *a;    /* of the answer */
    struct htab by_id;
    struct candidate *c;
    size_t cap;
    uint32_t n;
    struct arena mem;   /* of the candidates */
    struct search_answer *out;
    size_t hits_cap;
};

static uint64_t id_hash(const uint8_t *id)
{
    uint64_t w[2];
    memcpy(w, id, 16);
    return hash_u64(w[0] ^ hash_u64(w[1]));
}

/* -- phase 1: candidates ---------------------------------------------------------------------------------- */
static void hit(struct core_search *s, const uint8_t *id, int64_t start_ns, uint32_t bit)
{
    uint64_t h = id_hash(id);
    for (uint32_t it = 0, v; htab_next(&s->by_id, h, &it, &v);) {
        struct candidate *c = &s->c[v];
        if (memcmp(c->id, id, 16) != 0) continue;
        c->hits |= bit;
        c->newest_ns = MAX(c->newest_ns, start_ns);
        return;
    }
    s->c = arena_grow(&s->mem, s->c, s->n, &s->cap, s->n + 1, sizeof *s->c);
    struct candidate *c = &s->c[s->n];
    memcpy(c->id, id, 16);
    c->hits = bit;
    c->newest_ns = start_ns;
    htab_insert(&s->by_id, h, s->n++);
}

static err_t scan_filter(struct core_search *s, const struct expr *filter, uint32_t bit)
{
    static const struct scan_spec cols[] = {
        { REL_ROWS, SC_SELF, { "trace_id", 8 }, COL_FIX },
        { REL_ROWS, SC_SELF, { "start", 5 }, COL_I64 },
    };
    const struct search_req *rq = s->plan->rq;
    struct scan_opts o = { .req = { .signal = SIG_SPANS, .tmin_ns = rq->tmin_ns, .tmax_ns = rq->tmax_ns },
                           .filter = filter, .builder = &s->plan->builder, .cols = cols, .ncols = 2 };
    struct op_scan scan;
    err_t e;
    TRY_OUT(e, op_scan_open(&scan, s->v, &o, s->q->budget));
    for (;;) {
        enum op_status status;
        TRY_OUT(e, op_scan_next(&scan, &status));
        if (status == OP_FINISHED) break;
        const struct chunk *c = &scan.chunk;
        const struct vec *id = &c->cols[0], *start = &c->cols[1];
        if (id->form != VEC_FLAT || id->width != 16) continue;
        for (uint32_t i = 0; i < c->nsel; i++) {
            uint32_t row = c->sel ? c->sel[i] : i;
            int64_t at = start->form == VEC_CONST ? start->i64[0] : start->i64[row];
            if (at >= rq->tmin_ns && at <= rq->tmax_ns) hit(s, id->fix + (size_t)row * 16, at, bit);
        }
        TRY_OUT(e, arena_check(&s->mem));
    }
out:
    op_scan_close(&scan);
    return e;
}

/* Can a trace with these hits satisfy the spansets? */
static bool may_match(const struct search_plan *p, const struct tql_spanset *s, uint32_t hits)
{
    if (s->kind == TSS_FILTER) return !p->filters[s->filter_idx] || (hits >> s->filter_idx & 1);
    if (s->kind == TSS_PIPELINE) {
        const struct tql_stage *first = s->inner->first;
        return first->kind != TST_SPANSET || may_match(p, first->spanset, hits);
    }
    bool r = may_match(p, s->r, hits);
    if (s->op == OP_OR) return r || may_match(p, s->l, hits);
    if (s->form == REL_NOT) return r;
    return r && may_match(p, s->l, hits);
}

static err_t find_candidates(struct core_search *s)
{
    const struct search_plan *p = s->plan;
    if (p->scan_all) return scan_filter(s, NULL, 0);
    for (uint32_t i = 0; i < p->nfilters; i++)
        if (p->filters[i]) TRY(scan_filter(s, p->filters[i], 1u << i));
    return OK;
}

/* -- phase 2: whole traces, newest first ---------------------------------------------------------------------- */
static int newest_first(const void *pa, const void *pb)
{
    const struct candidate *a = pa, *b = pb;
    if (a->newest_ns != b->newest_ns) return a->newest_ns > b->newest_ns ? -1 : 1;
    return memcmp(a->id, b->id, 16);
}

static void count_services(struct search_hit *h, const struct tql_trace *t, struct arena *a)
{
    size_t cap = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        struct str name = tresource_service(t->spans[i]->resource);
        uint32_t k = 0;
        while (k < h->nservices && !str_eq(h->services[k].service, name))
            k++;
        if (k == h->nservices) {
            h->services = arena_grow(a, h->services, k, &cap, k + 1, sizeof *h->services);
            h->services[h->nservices++] = (struct service_stat){ .service = name };
        }
        h->services[k].spans++;
        h->services[k].errors += t->spans[i]->status == 2;
    }
}

static int64_t saturating_add(int64_t a, int64_t b)
{
    int64_t out;
    return __builtin_add_overflow(a, b, &out) ? (b < 0 ? INT64_MIN : INT64_MAX) : out;
}

static err_t evaluate(struct core_search *s, struct tspan **spans, uint32_t n, struct arena *a)
{
    const struct search_req *rq = s->plan->rq;
    struct tql_trace t;
    struct search_hit h = { 0 };
    tql_trace_build(&t, spans, n, a);
    h.duration_ns = saturating_add(t.end_ns, -t.start_ns);
    if (h.duration_ns < rq->min_duration_ns || h.duration_ns > rq->max_duration_ns) return OK;
    TRY(tql_eval(rq->q, &t, rq->spss, a, &h.result));
    if (!h.result.match) return OK;
    memcpy(h.trace_id, spans[0]->trace_id, 16);
    h.start_ns = t.start_ns;
    h.has_root = t.root != NULL;
    if (t.root) {
        h.root_name = t.root->name;
        h.root_service = tresource_service(t.root->resource);
    }
    count_services(&h, &t, a);
    struct search_answer *out = s->out;
    out->hits = arena_grow(s->a, out->hits, out->n, &s->hits_cap, out->n + 1, sizeof *out->hits);
    out->hits[out->n++] = h;
    return OK;
}

static int by_trace(const void *pa, const void *pb)
{
    const struct tspan *a = *(struct tspan *const *)pa, *b = *(struct tspan *const *)pb;
    return memcmp(a->trace_id, b->trace_id, 16);
}

static err_t evaluate_batch(struct core_search *s, uint32_t from, uint32_t n)
{
    const struct search_req *rq = s->plan->rq;
    uint8_t ids[GATHER_BATCH][16];
    struct tspans spans;
    for (uint32_t i = 0; i < n; i++)
        memcpy(ids[i], s->c[from + i].id, 16);
    TRY(trace_gather(s->v, (const uint8_t (*)[16])ids, n, saturating_add(rq->tmin_ns, -TRACE_SLACK_NS),
                     saturating_add(rq->tmax_ns, TRACE_SLACK_NS), TRACE_SPANS_MAX, s->a, &spans));
    if (spans.n) qsort(spans.s, spans.n, sizeof *spans.s, by_trace);
    for (uint32_t i = 0, end; i < spans.n; i = end) {
        for (end = i + 1; end < spans.n && by_trace(&spans.s[i], &spans.s[end]) == 0;)
            end++;
        TRY(evaluate(s, spans.s + i, end - i, s->a));
        s->out->traces_inspected++;
        TRY(rt_checkpoint());
    }
    return arena_check(s->a);
}

static err_t search_core(struct query *q, struct view *v, const void *plan_ptr, struct arena *a, void **partial)
{
    const struct search_plan *plan = plan_ptr;
    struct core_search s = { .q = q, .v = v, .plan = plan, .a = a, .out = ARENA_NEW(a, struct search_answer) };
    const struct tql_stage *first = plan->rq->q->pipeline->first;
    err_t e;
    arena_init(&s.mem, q->budget);
    htab_init(&s.by_id, q->budget);
    TRY_OUT(e, find_candidates(&s));
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s.n; i++)
        if (first->kind != TST_SPANSET || may_match(plan, first->spanset, s.c[i].hits)) s.c[kept++] = s.c[i];
    if (kept) qsort(s.c, kept, sizeof *s.c, newest_first);
    for (uint32_t at = 0; at < kept && s.out->n < plan->rq->limit; at += GATHER_BATCH)
        TRY_OUT(e, evaluate_batch(&s, at, MIN(GATHER_BATCH, kept - at)));
    *partial = s.out;
out:
    htab_deinit(&s.by_id);
    arena_deinit(&s.mem);
    return e;
}

/* -- the plan and the merge -------------------------------------------------------------------------------------- */
static int hit_order(const void *pa, const void *pb)
{
    const struct search_hit *a = pa, *b = pb;
    if (a->start_ns != b->start_ns) return a->start_ns > b->start_ns ? -1 : 1;
    return memcmp(a->trace_id, b->trace_id, 16);
}

static err_t make_plan(struct search_plan *p, const struct search_req *rq, struct arena *a)
{
    *p = (struct search_plan){ .rq = rq, .nfilters = rq->q->nfilters };
    expr_builder_init(&p->builder, a);
    p->scan_all = true;
    for (uint32_t i = 0; i < p->nfilters; i++) {
        struct prefilter f = prefilter_of(rq->q->filters[i], &p->builder);
        TRY(expr_finish(&p->builder, f.e));
        if (f.e->kind == EXPR_TRUE) continue;
        p->filters[i] = f.e;
        p->scan_all = false;
    }
    /* {A} || {}: a trace without any hit of A still matches, so that all spans must be seen. */
    const struct tql_stage *first = rq->q->pipeline->first;
    if (first->kind != TST_SPANSET || may_match(p, first->spanset, 0)) p->scan_all = true;
    return OK;
}

static void merge_hits(const struct scatter *sc, uint32_t limit, struct arena *a, struct search_answer *out)
{
    uint32_t total = 0;
    *out = (struct search_answer){ 0 };
    for (unsigned i = 0; i < sc->n; i++) {
        const struct search_answer *part = sc->partials[i];
        total += part->n;
        out->traces_inspected += part->traces_inspected;
    }
    out->hits = ARENA_RAW(a, struct search_hit, total + 1);
    for (unsigned i = 0; i < sc->n; i++) {
        const struct search_answer *part = sc->partials[i];
        if (part->n) memcpy(out->hits + out->n, part->hits, part->n * sizeof *part->hits);
        out->n += part->n;
    }
    if (out->n) qsort(out->hits, out->n, sizeof *out->hits, hit_order);
    out->n = MIN(out->n, limit);
}

err_t trace_search(struct query *q, const struct search_req *rq, struct scatter *sc, struct search_answer *out)
{
    struct search_plan plan;
    err_t e = make_plan(&plan, rq, q->arena);
    if (e == OK) e = scatter_run(q, search_core, &plan, sc);
    expr_builder_deinit(&plan.builder);
    if (e == OK) merge_hits(sc, rq->limit, q->arena, out);
    return e;
}

/* -- trace by id ---------------------------------------------------------------------------------------------------- */
struct by_id_plan {
    const uint8_t *id;
    int64_t tmin_ns, tmax_ns;
};

static err_t by_id_core(struct query *q, struct view *v, const void *plan_ptr, struct arena *a, void **partial)
{
    const struct by_id_plan *p = plan_ptr;
    uint8_t ids[1][16];
    struct tspans *out = ARENA_NEW(a, struct tspans);
    (void)q;
    memcpy(ids[0], p->id, 16);
    *partial = out;
    return trace_gather(v, (const uint8_t (*)[16])ids, 1, p->tmin_ns, p->tmax_ns, TRACE_SPANS_MAX, a, out);
}

static int span_order(const void *pa, const void *pb)
{
    const struct tspan *a = *(struct tspan *const *)pa, *b = *(struct tspan *const *)pb;
    if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns ? -1 : 1;
    return memcmp(a->span_id, b->span_id, 8);
}

err_t trace_by_id(struct query *q, const uint8_t id[16], int64_t tmin_ns, int64_t tmax_ns, struct scatter *sc, struct tspans *out)
{
    const struct by_id_plan plan = { id, tmin_ns, tmax_ns };
    TRY(scatter_run(q, by_id_core, &plan, sc));
    uint32_t total = 0;
    for (unsigned i = 0; i < sc->n; i++)
        total += ((struct tspans *)sc->partials[i])->n;
    *out = (struct tspans){ .s = ARENA_RAW(q->arena, struct tspan *, total + 1) };
    for (unsigned i = 0; i < sc->n; i++) {
        const struct tspans *part = sc->partials[i];
        if (part->n) memcpy(out->s + out->n, part->s, part->n * sizeof *part->s);
        out->n += part->n;
    }
    if (out->n) qsort(out->s, out->n, sizeof *out->s, span_order);
    return OK;
}
