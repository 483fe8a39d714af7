#include "query/traceql/candidate.h"

#include "base/core/hash.h"
#include "query/ops/op_scan.h"
#include "query/traceql/prefilter.h"

#include <stdlib.h>

/* Candidates are gathered in batches that grow, so that few answers cost little and many candidates few passes over
 * the ids: a pass reads the trace id column of the window. */
enum { GATHER_FIRST = 64, GATHER_GROWTH = 4, GATHER_MAX = 16384, GATHER_SPANS = 200000 };

struct candidate {
    uint8_t id[16];
    uint32_t hits;      /* bit a filter */
    bool inside;        /* a hit inside the window */
    int64_t newest_ns;  /* start of the newest span that hit */
};
struct walk {
    struct query *q;
    struct view *v;
    const struct candidate_plan *plan;
    const struct candidate_window *w;
    struct htab by_id;
    struct candidate *c;
    size_t cap;
    uint32_t n;
    struct arena mem;   /* of the candidates */
    struct gather_need need;
};

int64_t saturating_add(int64_t a, int64_t b)
{
    int64_t out;
    return __builtin_add_overflow(a, b, &out) ? (b < 0 ? INT64_MIN : INT64_MAX) : out;
}

/* -- the plan ------------------------------------------------------------------------------------------------ */
/* Can a trace with these hits satisfy the spansets? */
static bool may_match(const struct candidate_plan *p, const struct tql_spanset *s, uint32_t hits)
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

err_t candidate_plan_make(struct candidate_plan *p, const struct tql_query *q, struct arena *a)
{
    *p = (struct candidate_plan){ .q = q, .scan_all = true };
    expr_builder_init(&p->builder, a);
    for (uint32_t i = 0; i < q->nfilters; i++) {
        struct prefilter f = prefilter_of(q->filters[i], &p->builder);
        TRY(expr_finish(&p->builder, f.e));
        if (f.e->kind == EXPR_TRUE) continue;
        p->filters[i] = f.e;
        p->scan_all = false;
    }
    /* {A} || {}: a trace without any hit of A still matches, so that all spans must be seen. */
    const struct tql_stage *first = q->pipeline->first;
    if (first->kind != TST_SPANSET || may_match(p, first->spanset, 0)) p->scan_all = true;
    return OK;
}

void candidate_plan_free(struct candidate_plan *p)
{
    expr_builder_deinit(&p->builder);
}

/* -- phase 1: candidates ------------------------------------------------------------------------------------- */
static void hit(struct walk *s, const uint8_t *id, int64_t start_ns, uint32_t bit)
{
    uint64_t h = trace_id_hash(id);
    bool inside = start_ns >= s->w->tmin_ns && start_ns <= s->w->tmax_ns;
    for (uint32_t it = 0, v; htab_next(&s->by_id, h, &it, &v);) {
        struct candidate *c = &s->c[v];
        if (memcmp(c->id, id, 16) != 0) continue;
        c->hits |= bit;
        c->inside |= inside;
        c->newest_ns = MAX(c->newest_ns, start_ns);
        return;
    }
    s->c = arena_grow(&s->mem, s->c, s->n, &s->cap, s->n + 1, sizeof *s->c);
    struct candidate *c = &s->c[s->n];
    memcpy(c->id, id, 16);
    c->hits = bit;
    c->inside = inside;
    c->newest_ns = start_ns;
    htab_insert(&s->by_id, h, s->n++);
}

static err_t scan_filter(struct walk *s, const struct expr *filter, uint32_t bit)
{
    static const struct scan_spec cols[] = {
        { REL_ROWS, SC_SELF, { "trace_id", 8 }, COL_FIX },
        { REL_ROWS, SC_SELF, { "start", 5 }, COL_I64 },
    };
    int64_t slack = s->w->around && !s->plan->scan_all ? TRACE_SLACK_NS : 0;
    int64_t tmin = saturating_add(s->w->tmin_ns, -slack), tmax = saturating_add(s->w->tmax_ns, slack);
    struct scan_opts o = { .req = { .signal = SIG_SPANS, .tmin_ns = tmin, .tmax_ns = tmax },
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
            if (at >= tmin && at <= tmax) hit(s, id->fix + (size_t)row * 16, at, bit);
        }
        TRY_OUT(e, arena_check(&s->mem));
    }
out:
    op_scan_close(&scan);
    return e;
}

static int newest_first(const void *pa, const void *pb)
{
    const struct candidate *a = pa, *b = pb;
    if (a->newest_ns != b->newest_ns) return a->newest_ns > b->newest_ns ? -1 : 1;
    return memcmp(a->id, b->id, 16);
}

static err_t find_candidates(struct walk *s)
{
    const struct candidate_plan *p = s->plan;
    const struct tql_stage *first = p->q->pipeline->first;
    /* A span that no filter sees may be asked for: {A} >> {}. */
    bool unseen = false;
    uint32_t kept = 0;
    if (p->scan_all) TRY(scan_filter(s, NULL, 0));
    for (uint32_t i = 0; i < p->q->nfilters && !p->scan_all; i++) {
        if (p->filters[i]) TRY(scan_filter(s, p->filters[i], 1u << i));
        else unseen = true;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        const struct candidate *c = &s->c[i];
        bool may = p->scan_all || first->kind != TST_SPANSET || may_match(p, first->spanset, c->hits);
        if (may && (c->inside || unseen)) s->c[kept++] = *c;
    }
    s->n = kept;
    if (kept) qsort(s->c, kept, sizeof *s->c, newest_first);
    return OK;
}

/* -- phase 2: whole traces, newest first ---------------------------------------------------------------------- */
/* What the query can ask of a span. */
static void find_need(struct walk *s)
{
    const struct tql_query *q = s->plan->q;
    struct gather_need *need = &s->need;
    struct str *names = ARENA_RAW(&s->mem, struct str, q->nmentioned + 1);
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

static int by_trace(const void *pa, const void *pb)
{
    const struct tspan *a = *(struct tspan *const *)pa, *b = *(struct tspan *const *)pb;
    return memcmp(a->trace_id, b->trace_id, 16);
}

static err_t gather(struct walk *s, uint32_t from, uint32_t n, struct arena *a, struct tspans *spans)
{
    uint8_t (*ids)[16] = (void *)ARENA_RAW(a, uint8_t, (size_t)n * 16);
    for (uint32_t i = 0; i < n; i++)
        memcpy(ids[i], s->c[from + i].id, 16);
    TRY(trace_gather(s->v, (const uint8_t (*)[16])ids, n, saturating_add(s->w->tmin_ns, -TRACE_SLACK_NS),
                     saturating_add(s->w->tmax_ns, TRACE_SLACK_NS), TRACE_SPANS_MAX, s->w->whole ? NULL : &s->need, a, spans));
    if (spans->n) qsort(spans->s, spans->n, sizeof *spans->s, by_trace);
    return arena_check(a);
}

static err_t visit(const struct tspans *spans, struct arena *a, candidate_fn *fn, void *ctx, bool *enough)
{
    for (uint32_t i = 0, end; i < spans->n; i = end) {
        struct tql_trace t;
        for (end = i + 1; end < spans->n && by_trace(&spans->s[i], &spans->s[end]) == 0;)
            end++;
        tql_trace_build(&t, spans->s + i, end - i, a);
        TRY(fn(ctx, &t, a, enough));
        TRY(arena_check(a));
        TRY(rt_checkpoint());
    }
    return OK;
}

/* The next batch grows, but not past the spans that its traces will have if they are like those before. */
static uint32_t next_batch(uint32_t batch, uint32_t spans)
{
    uint64_t each = MAX(1, spans / MAX(batch, 1));
    return (uint32_t)MAX(1, MIN(MIN((uint64_t)batch * GATHER_GROWTH, GATHER_MAX), GATHER_SPANS / each));
}

static err_t gather_all(struct walk *s, candidate_fn *fn, void *ctx)
{
    struct arena mem;
    err_t e = OK;
    bool enough = false;
    uint32_t at = 0, batch = GATHER_FIRST;
    arena_init_sized(&mem, s->q->budget, 1 << 20);
    while (e == OK && at < s->n && !enough) {
        struct tspans spans;
        uint32_t take = MIN(batch, s->n - at);
        e = gather(s, at, take, &mem, &spans);
        if (e == ERR_LIMIT && take > 1) { /* traces much bigger than those before: fewer at once */
            batch = MAX(1, take / 8);
            e = OK;
        } else if (e == OK) {
            e = visit(&spans, &mem, fn, ctx, &enough);
            at += take;
            batch = next_batch(take, spans.n);
        }
        arena_reset(&mem);
    }
    arena_deinit(&mem);
    return e;
}

err_t candidates_each(struct query *q, struct view *v, const struct candidate_plan *p,
                      const struct candidate_window *w, candidate_fn *fn, void *ctx)
{
    struct walk s = { .q = q, .v = v, .plan = p, .w = w };
    err_t e;
    arena_init(&s.mem, q->budget);
    htab_init(&s.by_id, q->budget);
    TRY_OUT(e, find_candidates(&s));
    find_need(&s);
    TRY_OUT(e, gather_all(&s, fn, ctx));
out:
    htab_deinit(&s.by_id);
    arena_deinit(&s.mem);
    return e;
}
