#include "query/traceql/candidate.h"

#include "base/core/hash.h"
#include "query/ops/op_scan.h"
#include "query/traceql/prefilter.h"
#include "query/traceql/whole.h"

#include <stdlib.h>

/* Rowsets are scanned newest first. Where one filter (or none) decides, what lies above the next rowset's newest row is in its
 * order, and gathered before the scan goes on: a search for few traces ends where it has them.
 *
 * Candidates are gathered in batches that grow, so that few answers cost little and many candidates few passes over the ids: a pass
 * looks ids up in the indexes of segments, or, where they are many, reads the trace id column of the window. */
enum { FEW_HITS = 16 /* of a chunk: their ids and times are read alone */ };
enum { GATHER_FIRST = 64, GATHER_GROWTH = 4, GATHER_MAX = 16384, GATHER_SPANS = 200000 };

struct candidate {
    struct found_trace f;
    bool taken;         /* handed out, or not to be */
};
struct walk {
    struct query *q;
    struct view *v;     /* NULL: traces of all nodes (whole.h) */
    const struct candidate_plan *plan;
    const struct candidate_window *w;
    struct htab by_id;
    struct candidate *c;
    size_t cap;
    uint32_t n;
    struct arena mem;   /* of the candidates */
    struct gather_need need;
    uint32_t *rows;     /* of a chunk: VEC_MAX */
    candidate_fn *fn;   /* NULL: they are looked for alone */
    void *ctx;
    uint32_t batch;     /* to be gathered at once */
    bool enough;
    uint32_t untaken;
    uint64_t looked_at; /* rows that the scan had seen when candidates were looked through */
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
static void add_found(struct walk *s, const struct found_trace *f)
{
    uint64_t h = trace_id_hash(f->id);
    for (uint32_t it = 0, v; htab_next(&s->by_id, h, &it, &v);) {
        struct found_trace *c = &s->c[v].f;
        if (memcmp(c->id, f->id, 16) != 0) continue;
        c->hits |= f->hits;
        c->inside |= f->inside;
        c->newest_ns = MAX(c->newest_ns, f->newest_ns);
        return;
    }
    s->c = arena_grow(&s->mem, s->c, s->n, &s->cap, s->n + 1, sizeof *s->c);
    s->c[s->n] = (struct candidate){ .f = *f };
    s->untaken++;
    htab_insert(&s->by_id, h, s->n++);
}

static void hit(struct walk *s, const uint8_t *id, int64_t start_ns, uint32_t bit)
{
    struct found_trace f = { .hits = bit, .inside = start_ns >= s->w->tmin_ns && start_ns <= s->w->tmax_ns, .newest_ns = start_ns };
    memcpy(f.id, id, 16);
    add_found(s, &f);
}

/* The ids and starts of a chunk's hits. */
static err_t add_hits(struct walk *s, struct op_scan *scan, uint32_t bit, int64_t tmin, int64_t tmax)
{
    static const struct column_key id_key = { SC_SELF, COL_FIX, { "trace_id", 8 } }, start_key = { SC_SELF, COL_I64, { "start", 5 } };
    const struct chunk *c = &scan->chunk;
    uint32_t *rows = s->rows;
    const struct column *id, *start;
    bool id_few = false, start_few = false;
    for (uint32_t i = 0; i < c->nsel; i++)
        rows[i] = c->base + (c->sel ? c->sel[i] : i);
    if (c->nsel <= FEW_HITS) {
        TRY(rowset_column_at(&scan->rowset, REL_ROWS, &id_key, rows, c->nsel, &id, &id_few));
        TRY(rowset_column_at(&scan->rowset, REL_ROWS, &start_key, rows, c->nsel, &start, &start_few));
    } else {
        TRY(rowset_column(&scan->rowset, REL_ROWS, SC_SELF, id_key.name, COL_FIX, &id));
        TRY(rowset_column(&scan->rowset, REL_ROWS, SC_SELF, start_key.name, COL_I64, &start));
    }
    if (!id || id->width != 16) return OK;
    for (uint32_t i = 0; i < c->nsel; i++) {
        uint32_t id_row = id_few ? i : rows[i], start_row = start_few ? i : rows[i];
        int64_t at = start && column_has(start, start_row) ? start->i64[start_row] : 0;
        if (at >= tmin && at <= tmax && column_has(id, id_row)) hit(s, id->fix + (size_t)id_row * 16, at, bit);
    }
    return arena_check(&s->mem);
}

static err_t hand_out(struct walk *s, bool all, int64_t above_ns, uint32_t least) MAY_YIELD;

/* At the beginning of a rowset that, as all that follow, has nothing newer than its tmax: candidates newer than that are in
 * their order. Looking for them costs less than the scan did since. */
static err_t hand_out_settled(struct walk *s, const struct op_scan *scan)
{
    if (s->untaken < s->batch || scan->rows_seen - s->looked_at < s->n) return OK;
    s->looked_at = scan->rows_seen;
    return hand_out(s, false, scan->rowset.tmax_ns, s->batch);
}

/* The only filter's candidates are handed out while it is scanned. */
static err_t scan_filter(struct walk *s, const struct expr *filter, uint32_t bit, bool only)
{
    int64_t slack = s->w->around && !s->plan->scan_all ? TRACE_SLACK_NS : 0;
    int64_t tmin = saturating_add(s->w->tmin_ns, -slack), tmax = saturating_add(s->w->tmax_ns, slack);
    struct scan_opts o = { .req = { .signal = SIG_SPANS, .tmin_ns = tmin, .tmax_ns = tmax, .newest_first = only },
                           .filter = filter, .builder = &s->plan->builder };
    struct op_scan scan;
    uint64_t seq = 0;
    err_t e;
    TRY_OUT(e, op_scan_open(&scan, s->v, &o, s->q->budget));
    while (!s->enough) {
        enum op_status status;
        TRY_OUT(e, op_scan_next(&scan, &status));
        if (status == OP_FINISHED) break;
        if (only && s->fn && scan.rowset_seq != seq) TRY_OUT(e, hand_out_settled(s, &scan));
        seq = scan.rowset_seq;
        if (!s->enough) TRY_OUT(e, add_hits(s, &scan, bit, tmin, tmax));
    }
out:
    op_scan_close(&scan);
    return e;
}

static err_t find_on_all_nodes(struct walk *s)
{
    struct scatter sc;
    err_t e = OK;
    TRY(whole_candidates(s->q, s->plan, s->w, &sc));
    for (unsigned i = 0; i < sc.n && e == OK; i++) {
        const struct found_traces *part = sc.partials[i];
        for (uint32_t k = 0; k < part->n && e == OK; k++) {
            add_found(s, &part->v[k]);
            if (k % 1024 == 0) e = rt_checkpoint();
        }
        if (e == OK) e = arena_check(&s->mem);
    }
    scatter_free(&sc);
    return e;
}

static err_t find_candidates(struct walk *s)
{
    const struct candidate_plan *p = s->plan;
    if (!s->v) return find_on_all_nodes(s);
    bool only = p->scan_all || (p->q->nfilters == 1 && p->filters[0]);
    if (p->scan_all) return scan_filter(s, NULL, 0, only);
    for (uint32_t i = 0; i < p->q->nfilters; i++)
        if (p->filters[i]) TRY(scan_filter(s, p->filters[i], 1u << i, only));
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

static err_t gather(struct walk *s, const struct candidate *c, uint32_t n, struct arena *a, struct tspans *spans, struct scatter *far)
{
    uint8_t (*ids)[16] = (void *)ARENA_RAW(a, uint8_t, (size_t)n * 16);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < n; i++)
        memcpy(ids[i], c[i].f.id, 16);
    TRY(whole_gather(s->q, s->v, (const uint8_t (*)[16])ids, n, saturating_add(s->w->tmin_ns, -TRACE_SLACK_NS),
                     saturating_add(s->w->tmax_ns, TRACE_SLACK_NS), TRACE_SPANS_MAX, s->w->whole ? NULL : &s->need, a, spans, far));
    if (spans->n) qsort(spans->s, spans->n, sizeof *spans->s, by_trace);
    err_t e = arena_check(a);
    if (e != OK) scatter_free(far);
    return e;
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

static err_t gather_all(struct walk *s, const struct candidate *c, uint32_t n)
{
    struct arena mem;
    err_t e = OK;
    uint32_t at = 0;
    arena_init_sized(&mem, s->q->budget, 1 << 20);
    while (e == OK && at < n && !s->enough) {
        struct tspans spans;
        struct scatter far = { 0 };
        uint32_t take = MIN(s->batch, n - at);
        e = gather(s, c + at, take, &mem, &spans, &far);
        if (e == ERR_LIMIT && take > 1) { /* traces much bigger than those before: fewer at once */
            s->batch = MAX(1, take / 8);
            e = OK;
        } else if (e == OK) {
            e = visit(&spans, &mem, s->fn, s->ctx, &s->enough);
            at += take;
            s->batch = next_batch(take, spans.n);
            scatter_free(&far);
        }
        arena_reset(&mem);
    }
    arena_deinit(&mem);
    return e;
}

static int newest_first(const void *pa, const void *pb)
{
    const struct found_trace *a = &((const struct candidate *)pa)->f, *b = &((const struct candidate *)pb)->f;
    if (a->newest_ns != b->newest_ns) return a->newest_ns > b->newest_ns ? -1 : 1;
    return memcmp(a->id, b->id, 16);
}

/* May the candidate's trace match, by what is known of it? */
static bool is_candidate(const struct walk *s, const struct candidate *c)
{
    const struct candidate_plan *p = s->plan;
    const struct tql_stage *first = p->q->pipeline->first;
    bool unseen = false; /* a span that no filter sees may be asked for: {A} >> {} */
    for (uint32_t i = 0; i < p->q->nfilters && !p->scan_all; i++)
        unseen |= !p->filters[i];
    bool may = p->scan_all || first->kind != TST_SPANSET || may_match(p, first->spanset, c->f.hits);
    return may && (c->f.inside || unseen);
}

/* Gathers the candidates that were not yet, all or those newer than that, newest first, if there are so many. */
static err_t hand_out(struct walk *s, bool all, int64_t above_ns, uint32_t least)
{
    struct arena mem;
    uint32_t n = 0;
    arena_init(&mem, s->q->budget);
    uint32_t *at = ARENA_RAW(&mem, uint32_t, (size_t)s->untaken + 1);
    struct candidate *some = ARENA_RAW(&mem, struct candidate, (size_t)s->untaken + 1);
    err_t e;
    TRY_OUT(e, arena_check(&mem));
    for (uint32_t i = 0; i < s->n; i++)
        if (!s->c[i].taken && (all || s->c[i].f.newest_ns > above_ns) && is_candidate(s, &s->c[i])) {
            some[n] = s->c[i];
            at[n++] = i;
        }
    if (n < least) goto out;
    for (uint32_t i = 0; i < n; i++)
        s->c[at[i]].taken = true;
    s->untaken -= n;
    if (n) qsort(some, n, sizeof *some, newest_first);
    e = gather_all(s, some, n);
out:
    arena_deinit(&mem);
    return e;
}

static void walk_init(struct walk *s)
{
    arena_init(&s->mem, s->q->budget);
    htab_init(&s->by_id, s->q->budget);
    s->rows = ARENA_RAW(&s->mem, uint32_t, VEC_MAX);
}

static void walk_deinit(struct walk *s)
{
    htab_deinit(&s->by_id);
    arena_deinit(&s->mem);
}

err_t candidates_each(struct query *q, struct view *v, const struct candidate_plan *p,
                      const struct candidate_window *w, candidate_fn *fn, void *ctx)
{
    struct walk s = { .q = q, .v = v, .plan = p, .w = w, .fn = fn, .ctx = ctx, .batch = GATHER_FIRST };
    err_t e;
    walk_init(&s);
    find_need(&s);
    TRY_OUT(e, arena_check(&s.mem));
    TRY_OUT(e, find_candidates(&s));
    if (!s.enough) TRY_OUT(e, hand_out(&s, true, 0, 0));
out:
    walk_deinit(&s);
    return e;
}

err_t candidates_found(struct query *q, struct view *v, const struct candidate_plan *p, const struct candidate_window *w, struct arena *a,
                       struct found_traces *out)
{
    struct walk s = { .q = q, .v = v, .plan = p, .w = w };
    err_t e;
    walk_init(&s);
    TRY_OUT(e, arena_check(&s.mem));
    TRY_OUT(e, find_candidates(&s));
    out->v = ARENA_RAW(a, struct found_trace, (size_t)s.n + 1);
    TRY_OUT(e, arena_check(a));
    for (; out->n < s.n; out->n++)
        out->v[out->n] = s.c[out->n].f;
out:
    walk_deinit(&s);
    return e;
}
