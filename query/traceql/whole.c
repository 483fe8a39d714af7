/* The two fragments, and as bytes (forms: query/ops/wire.h; times are zigzag):
 *   trace_candidates, plan:     tmin, tmax, flags around and scan_all, list of filters: flag, with it a predicate (query/ops/expr_wire.h)
 *   trace_candidates, partial:  list of: 16 bytes id, varint hits, flag inside, time of the newest span that hit
 *   trace_spans, plan:          list of 16 bytes id, tmin, tmax, varint spans_max, flag, with it what is needed: flags events, links and
 *                               scope, list of strings
 *   trace_spans, partial:       as trace_by_id's (wire.c) */
#include "query/traceql/whole.h"

#include "query/ops/expr_wire.h"
#include "query/traceql/fragments.h"

/* -- candidates --------------------------------------------------------------------------------------------------- */
struct candidates_plan {
    const struct candidate_plan *p;
    struct candidate_window w;
};
struct candidates_sent { /* with all that it stands on */
    struct candidates_plan plan;
    struct candidate_plan p;
    struct tql_query q; /* nfilters alone */
};

static err_t candidates_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    const struct candidates_plan *p = plan;
    struct found_traces *out = ARENA_NEW(a, struct found_traces);
    *partial = out;
    return candidates_found(q, v, p->p, &p->w, a, out);
}

static void candidates_plan_put(const void *plan, struct buf *out)
{
    const struct candidates_plan *p = plan;
    struct wire_out w;
    wire_out_init(&w, out);
    bytes_out_zigzag(out, p->w.tmin_ns);
    bytes_out_zigzag(out, p->w.tmax_ns);
    buf_byte(out, p->w.around);
    buf_byte(out, p->p->scan_all);
    buf_varint(out, p->p->q->nfilters);
    for (uint32_t i = 0; i < p->p->q->nfilters; i++) {
        buf_byte(out, p->p->filters[i] != NULL);
        if (p->p->filters[i]) expr_put(&w, p->p->filters[i]);
    }
    wire_out_deinit(&w);
}

static void candidates_plan_free(const void *plan)
{
    struct candidates_sent *s = (struct candidates_sent *)(uintptr_t)plan; /* plan stands first */
    candidate_plan_free(&s->p);
}

static err_t get_filters(struct wire_in *w, struct candidates_sent *s)
{
    s->plan.w = (struct candidate_window){ .tmin_ns = bytes_in_zigzag(w->in) };
    s->plan.w.tmax_ns = bytes_in_zigzag(w->in);
    s->plan.w.around = wire_get_flag(w);
    s->p.scan_all = wire_get_flag(w);
    s->q.nfilters = wire_get_u32(w, TQL_FILTERS_MAX);
    for (uint32_t i = 0; i < s->q.nfilters && !w->in->bad; i++)
        if (wire_get_flag(w)) TRY(expr_get(w, &s->p.builder, &s->p.filters[i]));
    return wire_check(w, "a look for traces");
}

static err_t candidates_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct candidates_sent *s = ARENA_NEW(q->arena, struct candidates_sent);
    struct wire_in w = wire_in_of(in, q->arena);
    s->p.q = &s->q;
    s->plan.p = &s->p;
    expr_builder_init(&s->p.builder, q->arena);
    err_t e = get_filters(&w, s);
    if (e != OK) candidates_plan_free(s);
    *plan = &s->plan;
    return e;
}

static void candidates_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct found_traces *p = partial;
    (void)plan;
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        buf_put(out, p->v[i].id, 16);
        buf_varint(out, p->v[i].hits);
        buf_byte(out, p->v[i].inside);
        bytes_out_zigzag(out, p->v[i].newest_ns);
    }
}

static err_t candidates_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct found_traces *p = ARENA_NEW(a, struct found_traces);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->v = WIRE_LIST(&w, struct found_trace, 19, UINT32_MAX, &p->n);
    for (uint32_t i = 0; i < p->n && !in->bad; i++) {
        bytes_in_copy(in, p->v[i].id, 16);
        p->v[i].hits = wire_get_u32(&w, UINT32_MAX);
        p->v[i].inside = wire_get_flag(&w);
        p->v[i].newest_ns = bytes_in_zigzag(in);
        if (rt_in_fiber() && i % 1024 == 0) TRY(rt_checkpoint());
    }
    return wire_check(&w, "traces that may match");
}

const struct fragment_kind TRACE_CANDIDATES_KIND = { .name = "trace_candidates", .fn = candidates_fragment, .plan_put = candidates_plan_put,
                                                     .plan_get = candidates_plan_get, .plan_free = candidates_plan_free,
                                                     .partial_put = candidates_partial_put, .partial_get = candidates_partial_get };

err_t whole_candidates(struct query *q, const struct candidate_plan *p, const struct candidate_window *w, struct scatter *out)
{
    const struct candidates_plan plan = { p, *w };
    return scatter_run(q, &TRACE_CANDIDATES_KIND, &plan, out);
}

/* -- spans --------------------------------------------------------------------------------------------------------- */
struct spans_plan {
    const uint8_t (*ids)[16];
    uint32_t n, spans_max;
    int64_t tmin_ns, tmax_ns;
    const struct gather_need *need;
};

static err_t spans_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    const struct spans_plan *p = plan;
    struct tspans *out = ARENA_NEW(a, struct tspans);
    (void)q;
    *partial = out;
    return trace_gather(v, p->ids, p->n, p->tmin_ns, p->tmax_ns, p->spans_max, p->need, a, out);
}

static void spans_plan_put(const void *plan, struct buf *out)
{
    const struct spans_plan *p = plan;
    struct wire_out w;
    wire_out_init(&w, out);
    buf_varint(out, p->n);
    buf_put(out, p->ids, (size_t)p->n * 16);
    bytes_out_zigzag(out, p->tmin_ns);
    bytes_out_zigzag(out, p->tmax_ns);
    buf_varint(out, p->spans_max);
    buf_byte(out, p->need != NULL);
    if (p->need) {
        buf_byte(out, p->need->events);
        buf_byte(out, p->need->links);
        buf_byte(out, p->need->scope);
        buf_varint(out, p->need->nnames);
        for (uint32_t i = 0; i < p->need->nnames; i++)
            wire_put_str(&w, p->need->names[i]);
    }
    wire_out_deinit(&w);
}

static const struct gather_need *get_need(struct wire_in *w)
{
    if (!wire_get_flag(w)) return NULL;
    struct gather_need *need = ARENA_NEW(w->a, struct gather_need);
    need->events = wire_get_flag(w);
    need->links = wire_get_flag(w);
    need->scope = wire_get_flag(w);
    struct str *names = WIRE_LIST(w, struct str, 1, UINT32_MAX, &need->nnames);
    for (uint32_t i = 0; i < need->nnames && !w->in->bad; i++)
        names[i] = wire_get_str(w);
    need->names = names;
    return need;
}

static err_t spans_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct spans_plan *p = ARENA_NEW(q->arena, struct spans_plan);
    struct wire_in w = wire_in_of(in, q->arena);
    uint32_t n = bytes_in_count(in, 16);
    uint8_t (*ids)[16] = (void *)ARENA_RAW(q->arena, uint8_t, (size_t)n * 16 + 16);
    TRY(arena_check(q->arena));
    bytes_in_copy(in, ids, (size_t)n * 16);
    *p = (struct spans_plan){ .ids = (const uint8_t (*)[16])ids, .n = n, .tmin_ns = bytes_in_zigzag(in) };
    p->tmax_ns = bytes_in_zigzag(in);
    p->spans_max = wire_get_u32(&w, TRACE_SPANS_MAX);
    p->need = get_need(&w);
    *plan = p;
    if (n == 0) in->bad = true;
    return wire_check(&w, "the ids of traces");
}

const struct fragment_kind TRACE_SPANS_KIND = { .name = "trace_spans", .fn = spans_fragment, .plan_put = spans_plan_put, .plan_get = spans_plan_get,
                                                .partial_put = trace_spans_put, .partial_get = trace_spans_get };

err_t whole_gather(struct query *q, struct view *v, const uint8_t (*ids)[16], uint32_t n, int64_t tmin_ns, int64_t tmax_ns, uint32_t spans_max,
                   const struct gather_need *need, struct arena *a, struct tspans *out, struct scatter *far)
{
    const struct spans_plan plan = { ids, n, spans_max, tmin_ns, tmax_ns, need };
    *far = (struct scatter){ 0 };
    if (v) return trace_gather(v, ids, n, tmin_ns, tmax_ns, spans_max, need, a, out);
    *out = (struct tspans){ 0 };
    if (n == 0) return OK;
    TRY(scatter_run(q, &TRACE_SPANS_KIND, &plan, far));
    err_t e = spans_join(far, spans_max, a, out);
    if (e != OK) scatter_free(far);
    return e;
}
