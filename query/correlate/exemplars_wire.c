#include "query/correlate/exemplars_wire.h"

#include "query/correlate/metrics_wire.h"
#include "query/promql/wire.h"

enum { HAS_SPAN = 1, HAS_JOBS = 2 };

struct read_plan {
    struct corr_exemplars_req rq;
    struct names jobs;
    uint8_t span_id[8];
};

void corr_exemplars_plan_put(const void *plan, struct buf *out)
{
    const struct corr_exemplars_req *rq = plan;
    buf_varint(out, rq->ntraces);
    for (uint32_t i = 0; i < rq->ntraces; i++) buf_put(out, rq->traces[i].id, sizeof rq->traces[i].id);
    buf_byte(out, (uint8_t)((rq->span_id ? HAS_SPAN : 0) | (rq->jobs ? HAS_JOBS : 0)));
    if (rq->span_id) buf_put(out, rq->span_id, 8);
    if (rq->jobs) corr_names_put(out, rq->jobs);
    bytes_out_zigzag(out, rq->window.start_ns);
    bytes_out_zigzag(out, rq->window.end_ns);
}

void corr_exemplars_plan_free(const void *plan)
{
    struct read_plan *r = CONTAINER_OF((struct corr_exemplars_req *)(uintptr_t)plan, struct read_plan, rq);
    names_deinit(&r->jobs);
}

err_t corr_exemplars_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct read_plan *r = ARENA_NEW(q->arena, struct read_plan);
    struct wire_in w = wire_in_of(in, q->arena);
    struct corr_pick *traces = WIRE_LIST(&w, struct corr_pick, 16, CORR_TRACES_MAX, &r->rq.ntraces);
    for (uint32_t i = 0; i < r->rq.ntraces; i++) bytes_in_copy(in, traces[i].id, sizeof traces[i].id);
    uint8_t bits = bytes_in_u8(in);
    r->rq.traces = traces;
    if (bits & HAS_SPAN) bytes_in_copy(in, r->span_id, sizeof r->span_id);
    if (bits & HAS_SPAN) r->rq.span_id = r->span_id;
    if (bits & HAS_JOBS) corr_names_get(in, TOUCHED_SERVICES_MAX, q->arena, &r->jobs);
    else names_init(&r->jobs, 0, q->arena);
    if (bits & HAS_JOBS) r->rq.jobs = &r->jobs;
    if (!r->rq.ntraces && !r->rq.jobs) in->bad = true;
    r->rq.window.start_ns = bytes_in_zigzag(in);
    r->rq.window.end_ns = bytes_in_zigzag(in);
    *plan = &r->rq;
    err_t e = wire_check(&w, "a question for exemplars");
    if (e != OK) corr_exemplars_plan_free(*plan);
    return e;
}

void corr_exemplars_part_put(const void *plan, const void *partial, struct buf *out)
{
    const struct corr_exemplars *p = partial;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, p->total);
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct corr_exemplar *x = &p->v[i];
        pq_labels_put(&w, &x->labels);
        bytes_out_f64(out, x->value);
        bytes_out_zigzag(out, x->time_ns);
        buf_byte(out, (uint8_t)(x->has_trace | x->has_span << 1));
        buf_put(out, x->trace_id, sizeof x->trace_id);
        buf_put(out, x->span_id, sizeof x->span_id);
    }
    wire_out_deinit(&w);
}

err_t corr_exemplars_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct corr_exemplars *p = ARENA_NEW(a, struct corr_exemplars);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->total = bytes_in_varint(in);
    p->v = WIRE_LIST(&w, struct corr_exemplar, 35, CORR_EXEMPLARS_MAX, &p->n);
    for (uint32_t i = 0; i < p->n && !in->bad; i++) {
        struct corr_exemplar *x = &p->v[i];
        x->labels = pq_labels_read(&w);
        x->value = bytes_in_f64(in);
        x->time_ns = bytes_in_zigzag(in);
        uint8_t bits = bytes_in_u8(in);
        x->has_trace = bits & 1;
        x->has_span = bits & 2;
        bytes_in_copy(in, x->trace_id, sizeof x->trace_id);
        bytes_in_copy(in, x->span_id, sizeof x->span_id);
    }
    return wire_check(&w, "exemplars of traces");
}
