#include "server/api/services.h"

#include "query/graph/services.h"
#include "server/api/native.h"

#include <math.h>
#include <stdlib.h>

enum { STEPS_DEFAULT = 60 };
#define WINDOW_DEFAULT_NS (900 * NS_PER_S)

struct listed { /* one service or edge in the order of the answer */
    struct str name, to;
    uint64_t requests;
    uint32_t i;
};

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

static int by_requests(const void *pa, const void *pb)
{
    const struct listed *a = pa, *b = pb;
    if (a->requests != b->requests) return a->requests > b->requests ? -1 : 1;
    int c = str_cmp(a->name, b->name);
    return c ? c : str_cmp(a->to, b->to);
}

static void put_ms(struct json_out *j, const char *key, const struct exphist *h, double q)
{
    if (key) json_keyz(j, key);
    native_json_number(j, exphist_quantile(h, q) / NS_PER_MS);
}

static void put_count(struct json_out *j, const char *key, uint64_t v)
{
    json_keyz(j, key);
    json_u64(j, v);
}

/* -- services ------------------------------------------------------------------------------------------------------ */
static const struct red_step no_requests;

static const struct red_step *step_at(const struct red *r, uint32_t i)
{
    return r->steps ? &r->steps[i] : &no_requests;
}

static double step_seconds(const struct graph_req *rq, uint32_t i)
{
    int64_t from = rq->start_ns + (int64_t)i * graph_step_ns(rq);
    return (double)MIN(graph_step_ns(rq), rq->end_ns - from) / 1e9;
}

static void put_steps(struct json_out *j, const struct graph_req *rq, const struct red *r)
{
    json_keyz(j, "rate");
    json_arr(j);
    for (uint32_t i = 0; i < rq->steps; i++)
        native_json_number(j, step_seconds(rq, i) > 0 ? (double)step_at(r, i)->requests / step_seconds(rq, i) : 0);
    json_arr_end(j);
    json_keyz(j, "error_rate");
    json_arr(j);
    for (uint32_t i = 0; i < rq->steps; i++) {
        const struct red_step *s = step_at(r, i);
        native_json_number(j, s->requests ? (double)s->errors / (double)s->requests : (double)NAN);
    }
    json_arr_end(j);
    json_keyz(j, "p95");
    json_arr(j);
    for (uint32_t i = 0; i < rq->steps; i++)
        put_ms(j, NULL, &step_at(r, i)->duration, 0.95);
    json_arr_end(j);
}

static void put_service(struct json_out *j, const struct graph_req *rq, struct str name, const struct red *r, struct arena *a)
{
    struct red_step all = { 0 };
    for (uint32_t i = 0; i < rq->steps; i++) {
        all.requests += step_at(r, i)->requests;
        all.errors += step_at(r, i)->errors;
        exphist_merge(&all.duration, &step_at(r, i)->duration, 1, a);
    }
    json_obj(j);
    json_keyz(j, "name");
    json_str(j, name);
    json_keyz(j, "language");
    json_str(j, r->language);
    put_count(j, "spans", r->spans);
    put_count(j, "requests", all.requests);
    put_count(j, "errors", all.errors);
    put_ms(j, "p50_ms", &all.duration, 0.5);
    put_ms(j, "p95_ms", &all.duration, 0.95);
    put_ms(j, "p99_ms", &all.duration, 0.99);
    if (r->spans) {
        native_json_seconds(j, "last_seen", r->last_ns);
    } else {
        json_keyz(j, "last_seen");
        json_null(j);
    }
    put_steps(j, rq, r);
    json_obj_end(j);
}

static err_t put_services(struct json_out *j, const struct graph_req *rq, const struct graph_answer *g, struct arena *a)
{
    struct listed *list = ARENA_RAW(a, struct listed, g->services.n + 1);
    bool *named = ARENA_ARRAY(a, bool, g->services.n + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->edges.n; i++) {
        named[g->edges.v[i].from] = true;
        if (g->edges.v[i].kind == EDGE_SERVICE) named[g->edges.v[i].to] = true;
    }
    for (uint32_t i = 0; i < g->services.n; i++)
        if (g->red[i].spans || named[i]) list[n++] = (struct listed){ .name = g->services.v[i], .i = i };
    if (n) qsort(list, n, sizeof *list, by_name);
    json_keyz(j, "services");
    json_arr(j);
    for (uint32_t i = 0; i < n; i++) {
        TRY(rt_checkpoint());
        put_service(j, rq, list[i].name, &g->red[list[i].i], a);
    }
    json_arr_end(j);
    return arena_check(a);
}

/* -- edges -------------------------------------------------------------------------------------------------------------- */
static err_t put_edges(struct json_out *j, const struct graph_answer *g, struct arena *a)
{
    static const char *const kinds[] = { [EDGE_SERVICE] = "service", [EDGE_DATABASE] = "database",
                                         [EDGE_MESSAGING] = "messaging", [EDGE_EXTERNAL] = "external" };
    struct listed *list = ARENA_RAW(a, struct listed, g->edges.n + 1);
    for (uint32_t i = 0; i < g->edges.n; i++) {
        const struct edge *e = &g->edges.v[i];
        struct str to = e->kind == EDGE_SERVICE ? g->services.v[e->to] : g->edges.peers.v[e->to];
        list[i] = (struct listed){ g->services.v[e->from], to, e->requests, i };
    }
    if (g->edges.n) qsort(list, g->edges.n, sizeof *list, by_requests);
    json_keyz(j, "edges");
    json_arr(j);
    for (uint32_t i = 0; i < g->edges.n; i++) {
        const struct edge *e = &g->edges.v[list[i].i];
        if (i % 64 == 0) TRY(rt_checkpoint());
        json_obj(j);
        json_keyz(j, "from");
        json_str(j, list[i].name);
        json_keyz(j, "to");
        json_str(j, list[i].to);
        json_keyz(j, "to_kind");
        json_z(j, kinds[e->kind]);
        put_count(j, "requests", e->requests);
        put_count(j, "errors", e->errors);
        put_ms(j, "p50_ms", &e->duration, 0.5);
        put_ms(j, "p95_ms", &e->duration, 0.95);
        json_obj_end(j);
    }
    json_arr_end(j);
    return OK;
}

static void put_warnings(struct json_out *j, const struct graph_answer *g, struct str lost, struct arena *a)
{
    struct native_warnings w = { 0 };
    if (lost.n) native_warn(&w, lost);
    if (g->spans_left_out)
        native_warn(&w, arena_printf(a, "more than %d services: %llu spans of others are not counted", GRAPH_SERVICES_MAX,
                                     (unsigned long long)g->spans_left_out));
    if (g->edges_share > 1)
        native_warn(&w, arena_printf(a, "edges are estimated from one call in %u: all calls of this window do not fit into the "
                                        "memory of a query", g->edges_share));
    if (g->calls_left_out) native_warn(&w, STR("some calls are missing in the edges: a span has too many children"));
    if (g->edges.left_out)
        native_warn(&w, arena_printf(a, "more than %d edges: %llu calls over others are not shown", EDGES_MAX,
                                     (unsigned long long)g->edges.left_out));
    native_json_warnings(j, &w);
}

/* -- the request ----------------------------------------------------------------------------------------------------------- */
static err_t put_answer(struct http_response *rs, const struct graph_req *rq, const struct graph_answer *g, struct str lost,
                        struct arena *a)
{
    struct json_out j;
    json_init(&j, &rs->body);
    json_obj(&j);
    native_json_seconds(&j, "start", rq->start_ns);
    native_json_seconds(&j, "end", rq->end_ns);
    native_json_seconds(&j, "step", graph_step_ns(rq));
    TRY(put_services(&j, rq, g, a));
    TRY(put_edges(&j, g, a));
    put_warnings(&j, g, lost, a);
    json_obj_end(&j);
    return buf_check(&rs->body);
}

static err_t services(struct http_request *rq, struct http_response *rs)
{
    static const char *const names[] = { "start", "end", "steps" };
    struct graph_req req = { .end_ns = rt_wall().ns };
    struct native_run r;
    struct graph_answer answer;
    bool given;
    req.start_ns = req.end_ns - WINDOW_DEFAULT_NS;
    TRY(native_params(rq, names, ARRAY_LEN(names)));
    TRY(native_window(rq, &req.start_ns, &req.end_ns, &given));
    TRY(native_count(rq, "steps", STEPS_DEFAULT, 1, GRAPH_STEPS_MAX, &req.steps));
    native_begin(&r, rq);
    err_t e = graph_services(&r.q, &req, &answer);
    if (e == OK) {
        e = put_answer(rs, &req, &answer, query_lost_text(&r.q), &r.arena);
        graph_free(&answer);
    }
    native_end(&r);
    return e;
}

const struct http_route services_routes[] = { { HTTP_GET, "/api/services", services, RT_QUERY, 0, NULL } };
const uint32_t services_nroutes = ARRAY_LEN(services_routes);
