/* The fragment of graph_services as bytes (strings, flags, lists: query/ops/wire.h).
 *
 * plan:        zigzag start and end, varint steps, varint children_max
 * partial:     names of the services; for each: string language, varint spans, zigzag last, flag steps, with it a list of the
 *              steps that are not empty: varint steps left out before it, varint requests, varint errors, histogram;
 *              names of peers; list of edges: varint from, u8 kind, varint to, varint requests, varint errors, histogram;
 *              varint requests of edges left out, varint spans left out, varint share, flag calls left out
 * histogram:   varint count; unless 0: varint zeros, f64 min, f64 max, list of varint bins (without those at both ends that are
 *              empty), unless that is empty zigzag the first's bucket */
#include "query/graph/services_wire.h"

#include "query/graph/join.h"

enum { BUCKETS_END = 1100 * EXPHIST_PER_OCTAVE }; /* beyond all doubles */
static const int64_t TIME_END = INT64_C(1) << 62;

void names_put(struct wire_out *w, const struct names *s)
{
    buf_varint(w->out, s->n);
    for (uint32_t i = 0; i < s->n; i++)
        wire_put_str(w, s->v[i]);
}

struct names names_get(struct wire_in *w, uint32_t max)
{
    struct names s = { .max = max, .mem = w->a };
    s.v = WIRE_LIST(w, struct str, 1, max, &s.n);
    for (uint32_t i = 0; i < s.n && !w->in->bad; i++) {
        s.v[i] = wire_get_str(w);
        w->in->bad |= !s.v[i].p;
    }
    return s;
}

/* -- histograms ------------------------------------------------------------------------------------------------- */
static void put_hist(struct buf *out, const struct exphist *h)
{
    uint32_t lo = 0, hi = h->n;
    buf_varint(out, h->count);
    if (h->count == 0) return;
    while (lo < hi && h->bins[lo] == 0)
        lo++;
    while (hi > lo && h->bins[hi - 1] == 0)
        hi--;
    buf_varint(out, h->zeros);
    bytes_out_f64(out, h->min);
    bytes_out_f64(out, h->max);
    buf_varint(out, hi - lo);
    for (uint32_t i = lo; i < hi; i++)
        buf_varint(out, h->bins[i]);
    if (hi > lo) bytes_out_zigzag(out, (int64_t)h->first + lo);
}

static void get_hist(struct wire_in *w, struct exphist *h)
{
    h->count = bytes_in_varint(w->in);
    if (h->count == 0) return;
    h->zeros = bytes_in_varint(w->in);
    h->min = bytes_in_f64(w->in);
    h->max = bytes_in_f64(w->in);
    h->bins = WIRE_LIST(w, uint64_t, 1, EXPHIST_BINS_MAX, &h->n);
    for (uint32_t i = 0; i < h->n; i++)
        h->bins[i] = bytes_in_varint(w->in);
    if (h->n == 0) return;
    int64_t first = bytes_in_zigzag(w->in);
    w->in->bad |= first < -BUCKETS_END || first > BUCKETS_END;
    h->first = (int32_t)first;
}

/* -- the plan --------------------------------------------------------------------------------------------------- */
static void plan_put(const void *plan, struct buf *out)
{
    const struct graph_req *rq = plan;
    bytes_out_zigzag(out, rq->start_ns);
    bytes_out_zigzag(out, rq->end_ns);
    buf_varint(out, rq->steps);
    buf_varint(out, rq->children_max);
}

static err_t plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct graph_req *rq = ARENA_NEW(q->arena, struct graph_req);
    struct wire_in w = wire_in_of(in, q->arena);
    rq->start_ns = bytes_in_zigzag(in);
    rq->end_ns = bytes_in_zigzag(in);
    rq->steps = wire_get_u32(&w, GRAPH_STEPS_MAX);
    rq->children_max = wire_get_u32(&w, UINT32_MAX);
    in->bad |= rq->start_ns <= -TIME_END || rq->end_ns >= TIME_END || rq->start_ns >= rq->end_ns;
    in->bad |= rq->steps < 1;
    *plan = rq;
    return wire_check(&w, "the plan of a service graph");
}

/* -- the partial state -------------------------------------------------------------------------------------------- */
static void put_red(struct wire_out *w, const struct red *r, uint32_t steps)
{
    uint32_t n = 0, gap = 0;
    wire_put_str(w, r->language);
    buf_varint(w->out, r->spans);
    bytes_out_zigzag(w->out, r->last_ns);
    buf_byte(w->out, r->steps != NULL);
    if (!r->steps) return;
    for (uint32_t i = 0; i < steps; i++)
        n += r->steps[i].requests != 0;
    buf_varint(w->out, n);
    for (uint32_t i = 0; i < steps; i++, gap++) {
        const struct red_step *s = &r->steps[i];
        if (!s->requests) continue;
        buf_varint(w->out, gap);
        gap = UINT32_MAX; /* 0 for the step that follows */
        buf_varint(w->out, s->requests);
        buf_varint(w->out, s->errors);
        put_hist(w->out, &s->duration);
    }
}

static void get_red(struct wire_in *w, struct red *r, uint32_t steps)
{
    uint64_t at = 0;
    r->language = wire_get_str(w);
    r->spans = bytes_in_varint(w->in);
    r->last_ns = bytes_in_zigzag(w->in);
    if (!wire_get_flag(w)) return;
    r->steps = ARENA_ARRAY(w->a, struct red_step, steps);
    uint32_t n = bytes_in_count(w->in, 4);
    for (uint32_t i = 0; i < n && !w->in->bad; i++, at++) {
        uint64_t gap = bytes_in_varint(w->in);
        w->in->bad |= gap >= steps - at;
        if (w->in->bad) return;
        struct red_step *s = &r->steps[at += gap];
        s->requests = bytes_in_varint(w->in);
        s->errors = bytes_in_varint(w->in);
        get_hist(w, &s->duration);
    }
}

static void put_edges(struct wire_out *w, const struct edges *e)
{
    names_put(w, &e->peers);
    buf_varint(w->out, e->n);
    for (uint32_t i = 0; i < e->n; i++) {
        const struct edge *x = &e->v[i];
        buf_varint(w->out, x->from);
        buf_byte(w->out, (uint8_t)x->kind);
        buf_varint(w->out, x->to);
        buf_varint(w->out, x->requests);
        buf_varint(w->out, x->errors);
        put_hist(w->out, &x->duration);
    }
    buf_varint(w->out, e->left_out);
}

static void get_edges(struct wire_in *w, struct edges *e, uint32_t services)
{
    e->mem = w->a;
    e->peers = names_get(w, EDGES_MAX);
    e->v = WIRE_LIST(w, struct edge, 6, EDGES_MAX, &e->n);
    for (uint32_t i = 0; i < e->n && !w->in->bad; i++) {
        struct edge *x = &e->v[i];
        uint64_t from = bytes_in_varint(w->in);
        x->kind = wire_get_enum(w, EDGE_EXTERNAL);
        uint64_t to = bytes_in_varint(w->in);
        w->in->bad |= from >= services || to >= (x->kind == EDGE_SERVICE ? services : e->peers.n);
        x->from = (uint32_t)from;
        x->to = (uint32_t)to;
        x->requests = bytes_in_varint(w->in);
        x->errors = bytes_in_varint(w->in);
        get_hist(w, &x->duration);
    }
    e->left_out = bytes_in_varint(w->in);
}

static void partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct graph_req *rq = plan;
    const struct graph_answer *p = partial;
    struct wire_out w;
    wire_out_init(&w, out);
    names_put(&w, &p->services);
    for (uint32_t i = 0; i < p->services.n; i++)
        put_red(&w, &p->red[i], rq->steps);
    put_edges(&w, &p->edges);
    buf_varint(out, p->spans_left_out);
    buf_varint(out, p->edges_share);
    buf_byte(out, p->calls_left_out);
    wire_out_deinit(&w);
}

static err_t partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    const struct graph_req *rq = plan;
    struct graph_answer *p = ARENA_NEW(a, struct graph_answer);
    struct wire_in w = wire_in_of(in, a);
    *partial = p;
    p->services = names_get(&w, GRAPH_SERVICES_MAX);
    p->red = ARENA_ARRAY(a, struct red, p->services.n + 1);
    for (uint32_t i = 0; i < p->services.n; i++) {
        get_red(&w, &p->red[i], rq->steps);
        TRY(wire_check(&w, "a service of a graph"));
    }
    get_edges(&w, &p->edges, p->services.n);
    p->spans_left_out = bytes_in_varint(in);
    p->edges_share = wire_get_u32(&w, 1u << JOIN_SHIFT_MAX);
    in->bad |= p->edges_share < 1;
    p->calls_left_out = wire_get_flag(&w);
    return wire_check(&w, "a service graph");
}

const struct fragment_kind GRAPH_KIND = { .name = "services", .fn = graph_fragment, .plan_put = plan_put, .plan_get = plan_get,
                                          .partial_put = partial_put, .partial_get = partial_get, .halves = true };
