/* Three fragments as bytes (strings, texts, flags, lists: query/ops/wire.h; names: query/graph/services_wire.h).
 *
 * correlate_find, plan:      the predicate (query/ops/expr_wire.h), zigzag start and end, varint newest, varint slowest
 * correlate_find, partial:   varint total, varint errors, flag more, list of picks, touched
 * correlate_traces, plan:    list of picks, flag, with it 8 bytes span id
 * correlate_traces, partial: list of: 16 bytes id, strings service and name of the root, zigzag start, zigzag duration, varint
 *                            spans, varint errors, list of strings: services; varint too_large, touched
 * correlate_logs, plan:      the predicate, zigzag start and end, flags newest_first and by_span
 * correlate_logs, partial:   varint total, varint errors, SEVERITIES varints, zigzag first and last, list of (8 bytes span id,
 *                            varint records), flag more_spans, touched, list of records in the order of the heap: zigzag time,
 *                            u64 addr, strings severity and service, text body, u8 (1: 16 bytes trace id follow, 2: 8 of the span)
 * pick:                      16 bytes id, flag error, zigzag first, last and slowest
 * touched:                   names of services, jobs, instances, sessions; flags more and more_instances */
#include "query/correlate/wire.h"

#include "query/graph/services_wire.h"
#include "query/ops/expr_wire.h"

static void put_touched(struct wire_out *w, const struct touched *t)
{
    names_put(w, &t->services);
    names_put(w, &t->jobs);
    names_put(w, &t->instances);
    names_put(w, &t->sessions);
    buf_byte(w->out, t->more);
    buf_byte(w->out, t->more_instances);
}

static void get_touched(struct wire_in *w, struct touched *t)
{
    t->services = names_get(w, TOUCHED_SERVICES_MAX);
    t->jobs = names_get(w, TOUCHED_SERVICES_MAX);
    t->instances = names_get(w, TOUCHED_INSTANCES_MAX);
    t->sessions = names_get(w, TOUCHED_SESSIONS_MAX);
    t->more = wire_get_flag(w);
    t->more_instances = wire_get_flag(w);
}

static void put_picks(struct buf *out, const struct corr_pick *v, uint32_t n)
{
    buf_varint(out, n);
    for (uint32_t i = 0; i < n; i++) {
        buf_put(out, v[i].id, 16);
        buf_byte(out, v[i].error);
        bytes_out_zigzag(out, v[i].first_ns);
        bytes_out_zigzag(out, v[i].last_ns);
        bytes_out_zigzag(out, v[i].slowest_ns);
    }
}

static struct corr_pick *get_picks(struct wire_in *w, uint32_t *n)
{
    struct corr_pick *v = WIRE_LIST(w, struct corr_pick, 20, CORR_TRACES_MAX, n);
    for (uint32_t i = 0; i < *n; i++) {
        bytes_in_copy(w->in, v[i].id, 16);
        v[i].error = wire_get_flag(w);
        v[i].first_ns = bytes_in_zigzag(w->in);
        v[i].last_ns = bytes_in_zigzag(w->in);
        v[i].slowest_ns = bytes_in_zigzag(w->in);
    }
    return v;
}

static void put_window(struct buf *out, struct corr_window w)
{
    bytes_out_zigzag(out, w.start_ns);
    bytes_out_zigzag(out, w.end_ns);
}

static struct corr_window get_window(struct bytes_in *in)
{
    int64_t start = bytes_in_zigzag(in);
    return (struct corr_window){ start, bytes_in_zigzag(in) };
}

/* -- corr_find -------------------------------------------------------------------------------------------------- */
struct find_sent { /* with what it stands on */
    struct corr_find_req rq;
    struct expr_builder b;
};

static void find_plan_put(const void *plan, struct buf *out)
{
    const struct corr_find_req *rq = plan;
    struct wire_out w;
    wire_out_init(&w, out);
    expr_put(&w, rq->filter);
    put_window(out, rq->window);
    buf_varint(out, rq->newest);
    buf_varint(out, rq->slowest);
    wire_out_deinit(&w);
}

static void find_plan_free(const void *plan)
{
    struct find_sent *s = (struct find_sent *)(uintptr_t)plan; /* rq stands first */
    expr_builder_deinit(&s->b);
}

static err_t get_find(struct wire_in *w, struct find_sent *s)
{
    struct expr *filter;
    TRY(expr_get(w, &s->b, &filter));
    s->rq = (struct corr_find_req){ .filter = filter, .builder = &s->b, .window = get_window(w->in) };
    s->rq.newest = wire_get_u32(w, CORR_TRACES_MAX);
    s->rq.slowest = wire_get_u32(w, CORR_TRACES_MAX);
    w->in->bad |= s->rq.newest + s->rq.slowest > CORR_TRACES_MAX;
    return wire_check(w, "the plan of a look for traces");
}

static err_t find_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct find_sent *s = ARENA_NEW(q->arena, struct find_sent);
    struct wire_in w = wire_in_of(in, q->arena);
    expr_builder_init(&s->b, q->arena);
    err_t e = get_find(&w, s);
    if (e != OK) find_plan_free(s);
    *plan = &s->rq;
    return e;
}

static void find_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct corr_found *p = partial;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, p->total);
    buf_varint(out, p->errors);
    buf_byte(out, p->more);
    put_picks(out, p->v, p->n);
    put_touched(&w, &p->touched);
    wire_out_deinit(&w);
}

static err_t find_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct corr_found *p = ARENA_NEW(a, struct corr_found);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->total = bytes_in_varint(in);
    p->errors = bytes_in_varint(in);
    p->more = wire_get_flag(&w);
    p->v = get_picks(&w, &p->n);
    get_touched(&w, &p->touched);
    return wire_check(&w, "traces that were looked for");
}

const struct fragment_kind CORR_FIND_KIND = { .name = "correlate_find", .fn = corr_find_fragment, .plan_put = find_plan_put,
                                              .plan_get = find_plan_get, .plan_free = find_plan_free,
                                              .partial_put = find_partial_put, .partial_get = find_partial_get, .halves = true };

/* -- corr_traces ------------------------------------------------------------------------------------------------- */
static void traces_plan_put(const void *plan, struct buf *out)
{
    const struct corr_traces_req *rq = plan;
    put_picks(out, rq->v, rq->n);
    buf_byte(out, rq->span_id != NULL);
    if (rq->span_id) buf_put(out, rq->span_id, 8);
}

static err_t traces_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct corr_traces_req *rq = ARENA_NEW(q->arena, struct corr_traces_req);
    struct wire_in w = wire_in_of(in, q->arena);
    rq->v = get_picks(&w, &rq->n);
    if (wire_get_flag(&w)) {
        uint8_t *id = ARENA_ARRAY(q->arena, uint8_t, 8);
        bytes_in_copy(in, id, 8);
        rq->span_id = id;
    }
    *plan = rq;
    return wire_check(&w, "the plan of a look at traces");
}

static void traces_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct corr_traces *p = partial;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct corr_trace *t = &p->v[i];
        buf_put(out, t->id, 16);
        wire_put_str(&w, t->root_service);
        wire_put_str(&w, t->root_name);
        bytes_out_zigzag(out, t->start_ns);
        bytes_out_zigzag(out, t->duration_ns);
        buf_varint(out, t->spans);
        buf_varint(out, t->errors);
        buf_varint(out, t->nservices);
        for (uint32_t s = 0; s < t->nservices; s++)
            wire_put_str(&w, t->services[s]);
    }
    buf_varint(out, p->too_large);
    put_touched(&w, &p->touched);
    wire_out_deinit(&w);
}

static void get_trace(struct wire_in *w, struct corr_trace *t)
{
    bytes_in_copy(w->in, t->id, 16);
    t->root_service = wire_get_str(w);
    t->root_name = wire_get_str(w);
    t->start_ns = bytes_in_zigzag(w->in);
    t->duration_ns = bytes_in_zigzag(w->in);
    t->spans = wire_get_u32(w, UINT32_MAX);
    t->errors = wire_get_u32(w, UINT32_MAX);
    t->services = WIRE_LIST(w, struct str, 1, TOUCHED_SERVICES_MAX, &t->nservices);
    for (uint32_t s = 0; s < t->nservices; s++)
        t->services[s] = wire_get_str(w);
}

static err_t traces_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct corr_traces *p = ARENA_NEW(a, struct corr_traces);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->v = WIRE_LIST(&w, struct corr_trace, 23, CORR_TRACES_MAX, &p->n);
    for (uint32_t i = 0; i < p->n && !in->bad; i++)
        get_trace(&w, &p->v[i]);
    p->too_large = wire_get_u32(&w, UINT32_MAX);
    get_touched(&w, &p->touched);
    return wire_check(&w, "traces that were asked for");
}

const struct fragment_kind CORR_TRACES_KIND = { .name = "correlate_traces", .fn = corr_traces_fragment, .plan_put = traces_plan_put,
                                                .plan_get = traces_plan_get, .partial_put = traces_partial_put,
                                                .partial_get = traces_partial_get };

/* -- corr_logs ----------------------------------------------------------------------------------------------------- */
struct logs_sent { /* with what it stands on */
    struct corr_logs_req rq;
    struct expr_builder b;
};

static void logs_plan_put(const void *plan, struct buf *out)
{
    const struct corr_logs_req *rq = plan;
    struct wire_out w;
    wire_out_init(&w, out);
    expr_put(&w, rq->filter);
    put_window(out, rq->window);
    buf_byte(out, rq->newest_first);
    buf_byte(out, rq->by_span);
    wire_out_deinit(&w);
}

static void logs_plan_free(const void *plan)
{
    struct logs_sent *s = (struct logs_sent *)(uintptr_t)plan; /* rq stands first */
    expr_builder_deinit(&s->b);
}

static err_t get_logs(struct wire_in *w, struct logs_sent *s)
{
    struct expr *filter;
    TRY(expr_get(w, &s->b, &filter));
    s->rq = (struct corr_logs_req){ .filter = filter, .builder = &s->b, .window = get_window(w->in) };
    s->rq.newest_first = wire_get_flag(w);
    s->rq.by_span = wire_get_flag(w);
    return wire_check(w, "the plan of a look for log records");
}

static err_t logs_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct logs_sent *s = ARENA_NEW(q->arena, struct logs_sent);
    struct wire_in w = wire_in_of(in, q->arena);
    expr_builder_init(&s->b, q->arena);
    err_t e = get_logs(&w, s);
    if (e != OK) logs_plan_free(s);
    *plan = &s->rq;
    return e;
}

enum { LOG_HAS_TRACE = 1, LOG_HAS_SPAN = 2 };

static void put_record(struct wire_out *w, const struct topn_entry *e)
{
    const struct corr_log *l = (const struct corr_log *)(const void *)e->payload.p;
    bytes_out_zigzag(w->out, l->time_ns);
    bytes_out_u64(w->out, e->addr);
    wire_put_str(w, l->severity);
    wire_put_str(w, l->service);
    bytes_out_str(w->out, l->body);
    buf_byte(w->out, (uint8_t)((l->has_trace ? LOG_HAS_TRACE : 0) | (l->has_span ? LOG_HAS_SPAN : 0)));
    if (l->has_trace) buf_put(w->out, l->trace_id, 16);
    if (l->has_span) buf_put(w->out, l->span_id, 8);
}

static void get_record(struct wire_in *w, struct topn_entry *e)
{
    struct corr_log *l = ARENA_NEW(w->a, struct corr_log);
    l->time_ns = bytes_in_zigzag(w->in);
    e->addr = bytes_in_u64(w->in);
    l->severity = wire_get_str(w);
    l->service = wire_get_str(w);
    l->body = wire_get_text(w);
    uint32_t flags = wire_get_enum(w, LOG_HAS_TRACE | LOG_HAS_SPAN);
    l->has_trace = flags & LOG_HAS_TRACE;
    l->has_span = flags & LOG_HAS_SPAN;
    if (l->has_trace) bytes_in_copy(w->in, l->trace_id, 16);
    if (l->has_span) bytes_in_copy(w->in, l->span_id, 8);
    e->key[0] = (struct val){ .type = COL_I64, .i64 = l->time_ns };
    e->payload = str_n(l, sizeof *l);
}

static void logs_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct corr_logs_part *p = partial;
    const struct corr_logs *l = &p->logs;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, l->total);
    buf_varint(out, l->errors);
    for (int i = 0; i < SEVERITIES; i++)
        buf_varint(out, l->by_severity[i]);
    bytes_out_zigzag(out, l->first_ns);
    bytes_out_zigzag(out, l->last_ns);
    buf_varint(out, l->nspans);
    for (uint32_t i = 0; i < l->nspans; i++) {
        buf_put(out, l->spans[i].span_id, 8);
        buf_varint(out, l->spans[i].n);
    }
    buf_byte(out, l->more_spans);
    put_touched(&w, &l->touched);
    buf_varint(out, p->top.count);
    for (uint32_t i = 0; i < p->top.count; i++)
        put_record(&w, &p->top.heap[i]);
    wire_out_deinit(&w);
}

static err_t logs_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct corr_logs_part *p = ARENA_NEW(a, struct corr_logs_part);
    struct corr_logs *l = &p->logs;
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    l->total = bytes_in_varint(in);
    l->errors = bytes_in_varint(in);
    for (int i = 0; i < SEVERITIES; i++)
        l->by_severity[i] = bytes_in_varint(in);
    l->first_ns = bytes_in_zigzag(in);
    l->last_ns = bytes_in_zigzag(in);
    l->spans = WIRE_LIST(&w, struct corr_span_logs, 9, CORR_LOG_SPANS_MAX, &l->nspans);
    for (uint32_t i = 0; i < l->nspans; i++) {
        bytes_in_copy(in, l->spans[i].span_id, 8);
        l->spans[i].n = bytes_in_varint(in);
    }
    l->more_spans = wire_get_flag(&w);
    get_touched(&w, &l->touched);
    op_topn_init(&p->top, &p->spec, a);
    p->top.heap = WIRE_LIST(&w, struct topn_entry, 13, CORR_LOGS_MAX, &p->top.count);
    for (uint32_t i = 0; i < p->top.count && !in->bad; i++)
        get_record(&w, &p->top.heap[i]);
    return wire_check(&w, "log records that were looked for");
}

const struct fragment_kind CORR_LOGS_KIND = { .name = "correlate_logs", .fn = corr_logs_fragment, .plan_put = logs_plan_put,
                                              .plan_get = logs_plan_get, .plan_free = logs_plan_free,
                                              .partial_put = logs_partial_put, .partial_get = logs_partial_get };
