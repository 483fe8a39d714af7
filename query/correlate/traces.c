/* Whole traces, a line each. */
#include "query/correlate/wire.h"

#include "query/traceql/whole.h"

#include <stdlib.h>

struct part {
    const struct corr_traces_req *rq;
    struct arena *a;
    struct corr_traces *out;
    size_t cap;
};

static void add_service(struct corr_trace *t, struct str name, size_t *cap, struct arena *a)
{
    for (uint32_t i = 0; i < t->nservices; i++)
        if (str_eq(t->services[i], name)) return;
    if (t->nservices == TOUCHED_SERVICES_MAX) return;
    t->services = arena_grow(a, t->services, t->nservices, cap, t->nservices + 1, sizeof *t->services);
    t->services[t->nservices++] = arena_str(a, name);
}

/* Services stand in the order of their first spans. */
static void summarise(struct part *p, struct tspan **spans, uint32_t n, struct arena *tmp)
{
    struct tql_trace t;
    size_t cap = 0;
    struct corr_trace *all = p->out->v = arena_grow(p->a, p->out->v, p->out->n, &p->cap, p->out->n + 1, sizeof *p->out->v);
    tql_trace_build(&t, spans, n, tmp);
    struct corr_trace *o = &all[p->out->n++];
    *o = (struct corr_trace){ .start_ns = t.start_ns, .duration_ns = saturating_add(t.end_ns, -t.start_ns), .spans = n };
    memcpy(o->id, spans[0]->trace_id, 16);
    if (t.root) {
        o->root_name = arena_str(p->a, t.root->name);
        o->root_service = arena_str(p->a, tresource_service(t.root->resource));
    }
    for (uint32_t i = 0; i < n; i++) {
        o->errors += spans[i]->status == 2;
        add_service(o, tresource_service(spans[i]->resource), &cap, p->a);
        if (!p->rq->span_id || memcmp(p->rq->span_id, spans[i]->span_id, 8) == 0) touched_span(&p->out->touched, spans[i]);
    }
}

err_t corr_traces_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    static const struct str session = { "session.id", 10 };
    static const struct gather_need need = { .nnames = 1, .names = &session };
    struct part p = { .rq = plan, .a = a, .out = ARENA_NEW(a, struct corr_traces) };
    struct arena tmp;
    err_t e = OK;
    touched_init(&p.out->touched, a);
    arena_init(&tmp, q->budget);
    *partial = p.out;
    for (uint32_t i = 0; i < p.rq->n && e == OK; i++) {
        const struct corr_pick *t = &p.rq->v[i];
        uint8_t id[1][16];
        struct tspans spans;
        struct scatter far = { 0 };
        memcpy(id[0], t->id, 16);
        e = whole_gather(q, v, (const uint8_t (*)[16])id, 1, saturating_add(t->first_ns, -TRACE_SLACK_NS),
                         saturating_add(t->last_ns, TRACE_SLACK_NS), p.rq->n == 1 ? TRACE_SPANS_MAX : CORR_TRACE_SPANS_MAX, &need,
                         &tmp, &spans, &far);
        if (e == ERR_LIMIT && arena_check(&tmp) == OK) {
            p.out->too_large++;
            e = OK;
        } else if (e == OK && spans.n) {
            summarise(&p, spans.s, spans.n, &tmp);
            e = arena_check(&tmp);
        }
        scatter_free(&far);
        arena_reset(&tmp);
    }
    arena_deinit(&tmp);
    touched_deinit(&p.out->touched);
    return e;
}

static int newest_first(const void *pa, const void *pb)
{
    const struct corr_trace *a = pa, *b = pb;
    if (a->start_ns != b->start_ns) return a->start_ns > b->start_ns ? -1 : 1;
    return memcmp(a->id, b->id, 16);
}

err_t corr_traces(struct query *q, const struct corr_traces_req *rq, struct corr_traces *out)
{
    struct scatter sc;
    *out = (struct corr_traces){ 0 };
    touched_init(&out->touched, q->arena);
    TRY(scatter_whole(q, &CORR_TRACES_KIND, rq, &sc));
    out->v = ARENA_RAW(q->arena, struct corr_trace, rq->n + 1);
    for (unsigned i = 0; i < sc.n; i++) {
        const struct corr_traces *part = sc.partials[i];
        touched_merge(&out->touched, &part->touched);
        out->too_large += part->too_large;
        for (uint32_t k = 0; k < part->n && out->n < rq->n; k++) {
            struct corr_trace *t = &out->v[out->n++];
            *t = part->v[k];
            t->root_name = arena_str(q->arena, t->root_name);
            t->root_service = arena_str(q->arena, t->root_service);
            t->services = ARENA_RAW(q->arena, struct str, t->nservices + 1);
            for (uint32_t s = 0; s < t->nservices; s++)
                t->services[s] = arena_str(q->arena, part->v[k].services[s]);
        }
    }
    if (out->n) qsort(out->v, out->n, sizeof *out->v, newest_first);
    scatter_free(&sc);
    return arena_check(q->arena);
}
