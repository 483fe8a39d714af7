#include "query/correlate/metrics_wire.h"

#include "query/ops/wire.h"
#include "storage/regex.h"

void corr_names_put(struct buf *out, const struct names *n)
{
    buf_varint(out, n->n);
    for (uint32_t i = 0; i < n->n; i++) bytes_out_str(out, n->v[i]);
}

void corr_names_get(struct bytes_in *in, uint32_t max, struct arena *a, struct names *n)
{
    uint32_t count = bytes_in_count(in, 1);
    names_init(n, max, a);
    if (count > max) in->bad = true;
    for (uint32_t i = 0; i < count && !in->bad; i++) {
        struct str s = bytes_in_str(in);
        if (in->bad || names_add(n, s) != i) in->bad = true; /* each once */
    }
}

/* -- metrics ------------------------------------------------------------------------------------------------- */
struct read_plan {
    struct corr_metrics_plan plan;
    struct corr_metrics_req rq;
    struct touched touched;
};

void corr_metrics_plan_put(const void *plan, struct buf *out)
{
    const struct corr_metrics_req *rq = ((const struct corr_metrics_plan *)plan)->rq;
    bytes_out_zigzag(out, rq->window.start_ns);
    bytes_out_zigzag(out, rq->window.end_ns);
    corr_names_put(out, &rq->touched->services);
    corr_names_put(out, &rq->touched->jobs);
    corr_names_put(out, &rq->touched->instances);
}

void corr_metrics_plan_free(const void *plan)
{
    struct read_plan *r = CONTAINER_OF((struct corr_metrics_plan *)(uintptr_t)plan, struct read_plan, plan);
    corr_metrics_plan_end(&r->plan);
    touched_deinit(&r->touched);
}

err_t corr_metrics_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct read_plan *r = ARENA_NEW(q->arena, struct read_plan);
    struct wire_in w = wire_in_of(in, q->arena);
    r->rq.touched = &r->touched;
    r->rq.window.start_ns = bytes_in_zigzag(in);
    r->rq.window.end_ns = bytes_in_zigzag(in);
    corr_names_get(in, TOUCHED_SERVICES_MAX, q->arena, &r->touched.services);
    corr_names_get(in, TOUCHED_SERVICES_MAX, q->arena, &r->touched.jobs);
    corr_names_get(in, TOUCHED_INSTANCES_MAX, q->arena, &r->touched.instances);
    names_init(&r->touched.sessions, 0, q->arena);
    *plan = &r->plan;
    err_t e = wire_check(&w, "a question for metrics of jobs");
    if (e == OK) e = corr_metrics_plan_init(&r->plan, &r->rq, q->arena);
    if (e != OK) corr_metrics_plan_free(*plan);
    return e;
}

void corr_metrics_part_put(const void *plan, const void *partial, struct buf *out)
{
    const struct corr_metrics_part *p = partial;
    (void)plan;
    buf_byte(out, p->more);
    buf_varint(out, p->names.n);
    for (uint32_t i = 0; i < p->names.n; i++) {
        bytes_out_str(out, p->names.v[i]);
        for (int k = 0; k < CORR_WAYS; k++) buf_varint(out, p->series[i][k]);
    }
}

err_t corr_metrics_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct corr_metrics_part *p = ARENA_NEW(a, struct corr_metrics_part);
    struct wire_in w = wire_in_of(in, a);
    uint32_t n;
    (void)plan;
    *partial = p;
    p->more = wire_get_flag(&w);
    p->names.v = WIRE_LIST(&w, struct str, 1 + CORR_WAYS, CORR_METRICS_MAX, &n);
    p->series = arena_calloc(a, n + 1u, sizeof *p->series);
    p->names.n = n;
    p->cap = n;
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        p->names.v[i] = wire_get_text(&w);
        for (int k = 0; k < CORR_WAYS; k++) p->series[i][k] = bytes_in_varint(in);
    }
    return wire_check(&w, "metrics of jobs");
}

/* -- metadata ------------------------------------------------------------------------------------------------ */
void corr_meta_plan_put(const void *plan, struct buf *out)
{
    corr_names_put(out, plan);
}

void corr_meta_plan_free(const void *plan)
{
    names_deinit((struct names *)(uintptr_t)plan);
}

err_t corr_meta_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct names *n = ARENA_NEW(q->arena, struct names);
    struct wire_in w = wire_in_of(in, q->arena);
    corr_names_get(in, CORR_METRICS_MAX, q->arena, n);
    *plan = n;
    err_t e = wire_check(&w, "a question for metadata");
    if (e != OK) names_deinit(n);
    return e;
}

void corr_meta_part_put(const void *plan, const void *partial, struct buf *out)
{
    const struct corr_described *d = partial;
    struct wire_out w;
    wire_out_init(&w, out);
    for (uint32_t i = 0; i < ((const struct names *)plan)->n; i++) {
        buf_byte(out, d[i].exact);
        wire_put_str(&w, d[i].type);
        wire_put_str(&w, d[i].unit);
    }
    wire_out_deinit(&w);
}

err_t corr_meta_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    uint32_t n = ((const struct names *)plan)->n;
    struct corr_described *d = ARENA_ARRAY(a, struct corr_described, n + 1u);
    struct wire_in w = wire_in_of(in, a);
    *partial = d;
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        d[i].exact = wire_get_flag(&w);
        d[i].type = wire_get_str(&w);
        d[i].unit = wire_get_str(&w);
    }
    return wire_check(&w, "metadata of metrics of jobs");
}
