#include "query/traceql/search.h"

#include "base/core/hash.h"
#include "query/ops/op_scan.h"
#include "query/traceql/prefilter.h"

#include <stdlib.h>

/* Candidates are gathered in batches that grow, so that few answers cost little and many candidates few passes over
 * the ids: a pass reads the trace id column of the window. */
enum { GATHER_FIRST = 64, GATHER_GROWTH = 4, GATHER_MAX = 16384, GATHER_SPANS = 200000 };
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
    struct gather_need need;
};

/* -- phase 1: candidates ---------------------------------------------------------------------------------- */
static void hit(struct core_search *s, const uint8_t *id, int64_t start_ns, uint32_t bit)
{
    uint64_t h = trace_id_hash(id);
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

/* -- answers outlive the batch they were found in ------------------------------------------------------------ */
static struct tval keep_val(struct tval v, struct arena *a)
{
    if (v.type == TV_STR || v.type == TV_BYTES || v.type == TV_JSON) v.s = arena_str(a, v.s);
    return v;
}

static struct tattr *keep_attrs(const struct tattr *from, uint32_t n, struct arena *a)
{
    struct tattr *to = ARENA_RAW(a, struct tattr, n + 1);
    for (uint32_t i = 0; i < n; i++)
        to[i] = (struct tattr){ arena_str(a, from[i].key), keep_val(from[i].v, a) };
    return to;
}

static struct tql_result_set keep_set(const struct tql_result_set *from, struct arena *a)
{
    struct tql_result_set to = *from;
    to.attrs = keep_attrs(from->attrs, from->nattrs, a);
    to.spans = ARENA_RAW(a, struct tql_result_span, from->nspans + 1);
    for (uint32_t i = 0; i < from->nspans; i++) {
        const struct tql_result_span *rs = &from->spans[i];
        struct tspan *s = ARENA_NEW(a, struct tspan);
        memcpy(s->span_id, rs->span->span_id, 8);
        s->start_ns = rs->span->start_ns;
        s->duration_ns = rs->span->duration_ns;
        s->name = arena_str(a, rs->span->name);
        to.spans[i] = (struct tql_result_span){ s, rs->nattrs, keep_attrs(rs->attrs, rs->nattrs, a) };
    }
    return to;
}

static void keep_hit(struct core_search *s, const struct search_hit *from)
{
    struct search_answer *out = s->out;
    struct search_hit h = *from;
    h.root_name = arena_str(s->a, from->root_name);
    h.root_service = arena_str(s->a, from->root_service);
    h.services = arena_dup(s->a, from->services, from->nservices * sizeof *from->services);
    for (uint32_t i = 0; i < h.nservices; i++)
        h.services[i].service = arena_str(s->a, h.services[i].service);
    h.result.sets = ARENA_RAW(s->a, struct tql_result_set, from->result.nsets + 1);
    for (uint32_t i = 0; i < from->result.nsets; i++)
        h.result.sets[i] = keep_set(&from->result.sets[i], s->a);
    out->hits = arena_grow(s->a, out->hits, out->n, &s->hits_cap, out->n + 1, sizeof *out->hits);
    out->hits[out->n++] = h;
}

/* What the query can ask of a span. */
static void find_need(struct core_search *s)
{
    const struct tql_query *q = s->plan->rq->q;
    struct gather_need *need = &s->need;
    uint32_t max = q->nmentioned;
    struct str *names = ARENA_RAW(&s->mem, struct str, max + 1);
    for (uint32_t i = 0; i < q->nmentioned; i++) {
        const struct tql_field *f = q->mentioned[i];
        need->events |= f->kind == TF_ATTR ? f->scope == TS_EVENT
                                           : f->intrinsic == TI_EVENT_NAME || f->intrinsic == TI_EVENT_SINCE_START;
        need->links |= f->kind == TF_ATTR ? f->scope == TS_LINK
                                          : f->intrinsic == TI_LINK_TRACE_ID || f->intrinsic == TI_LINK_SPAN_ID;
        need->scope |= f->kind == TF_ATTR ? f->scope == TS_INSTRUMENTATION
                                          : f->intrinsic == TI_SCOPE_NAME || f->intrinsic == TI_SCOPE_VERSION;
        if (f->kind == TF_ATTR) names[need->nnames++] = f->name;
    }
    need->names = names;
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
    keep_hit(s, &h);
    return OK;
}

static int by_trace(const void *pa, const void *pb)
{
    const struct tspan *a = *(struct tspan *const *)pa, *b = *(struct tspan *const *)pb;
    return memcmp(a->trace_id, b->trace_id, 16);
}

static err_t evaluate_batch(struct core_search *s, uint32_t from, uint32_t n, struct arena *a, uint32_t *nspans)
{
    const struct search_req *rq = s->plan->rq;
    struct tspans spans;
    uint8_t (*ids)[16] = (void *)ARENA_RAW(a, uint8_t, (size_t)n * 16);
    for (uint32_t i = 0; i < n; i++)
        memcpy(ids[i], s->c[from + i].id, 16);
    TRY(trace_gather(s->v, (const uint8_t (*)[16])ids, n, saturating_add(rq->tmin_ns, -TRACE_SLACK_NS),
                     saturating_add(rq->tmax_ns, TRACE_SLACK_NS), TRACE_SPANS_MAX, &s->need, a, &spans));
    *nspans = spans.n;
    if (spans.n) qsort(spans.s, spans.n, sizeof *spans.s, by_trace);
    for (uint32_t i = 0, end; i < spans.n; i = end) {
        for (end = i + 1; end < spans.n && by_trace(&spans.s[i], &spans.s[end]) == 0;)
            end++;
        TRY(evaluate(s, spans.s + i, end - i, a));
        s->out->traces_inspected++;
        TRY(rt_checkpoint());
    }
    return arena_check(a);
}

/* The next batch grows, but not past the spans that its traces will have if they are like those before. */
static uint32_t next_batch(uint32_t batch, uint32_t spans)
{
    uint64_t each = MAX(1, spans / MAX(batch, 1));
    return (uint32_t)MAX(1, MIN(MIN((uint64_t)batch * GATHER_GROWTH, GATHER_MAX), GATHER_SPANS / each));
}

static err_t evaluate_all(struct core_search *s, uint32_t n)
{
    struct arena batch_mem;
    err_t e = OK;
    uint32_t at = 0, batch = GATHER_FIRST;
    arena_init_sized(&batch_mem, s->q->budget, 1 << 20);
    while (e == OK && at < n && s->out->n < s->plan->rq->limit) {
        uint32_t spans = 0, take = MIN(batch, n - at);
        e = evaluate_batch(s, at, take, &batch_mem, &spans);
        arena_reset(&batch_mem);
        if (e == ERR_LIMIT && take > 1) { /* traces much bigger than those before: fewer at once */
            batch = MAX(1, take / 8);
            e = OK;
            continue;
        }
        at += take;
        batch = next_batch(take, spans);
    }
    arena_deinit(&batch_mem);
    return e;
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
    find_need(&s);
    TRY_OUT(e, evaluate_all(&s, kept));
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
    return trace_gather(v, (const uint8_t (*)[16])ids, 1, p->tmin_ns, p->tmax_ns, TRACE_SPANS_MAX, NULL, a, out);
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
    if (out->n) qsort(out->s, out->n, sizeof *out->s, tspan_order);
    return OK;
}
