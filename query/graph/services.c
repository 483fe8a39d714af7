#include "query/graph/services_wire.h"

#include "base/core/assert.h"
#include "query/graph/join.h"
#include "query/graph/peer.h"

enum { KIND_SERVER = 2, KIND_CLIENT = 3, KIND_PRODUCER = 4, KIND_CONSUMER = 5, STATUS_ERROR = 2, KEYS = 256 };

struct scan { /* one fragment at work */
    const struct graph_req *rq;
    int64_t step_ns;
    uint32_t step;                    /* the last one, and its beginning */
    int64_t step_from_ns;
    int64_t near_min_ns, near_max_ns; /* the window with its slack */
    struct view *v;
    struct arena *a;
    struct graph_answer *out;
    struct join join;
    size_t red_cap;
};

int64_t graph_step_ns(const struct graph_req *rq)
{
    return (rq->end_ns - rq->start_ns + rq->steps - 1) / rq->steps;
}

static bool is_called(int64_t kind) { return kind == KIND_SERVER || kind == KIND_CONSUMER; }
static bool is_calling(int64_t kind) { return kind == KIND_CLIENT || kind == KIND_PRODUCER; }

/* -- the columns of a rowset --------------------------------------------------------------------------------- */
struct spans {
    const struct column *start, *duration, *kind, *status, *parent, *trace, *span;
    const uint32_t *resource;  /* row -> resource; NULL = none has any */
    const uint32_t *service;   /* resource -> service */
    bool all_inside;           /* of the window, all rows */
};

static inline int64_t i64_at(const struct column *c, uint32_t row)
{
    return c && column_has(c, row) ? c->i64[row] : 0;
}

static const uint8_t *id_at(const struct column *c, uint32_t row)
{
    return c->fix + (size_t)row * c->width;
}

static err_t self_column(struct rowset *rs, const char *name, enum col_type type, uint32_t width, const struct column **c)
{
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, str_of(name), type, c));
    if (*c && type == COL_FIX && (*c)->width != width) *c = NULL;
    return OK;
}

/* One struct red a service. */
static void red_grow(struct red **red, const struct names *services, size_t *cap, struct arena *a)
{
    size_t had = *cap;
    if (services->n <= had) return;
    *red = arena_grow(a, *red, had, cap, services->n, sizeof **red);
    for (size_t i = had; i < *cap; i++)
        (*red)[i] = (struct red){ .last_ns = INT64_MIN };
}

static uint32_t add_service(struct scan *s, struct str name)
{
    uint32_t i = names_add(&s->out->services, name);
    red_grow(&s->out->red, &s->out->services, &s->red_cap, s->a);
    return i;
}

static void learn_language(struct red *r, struct str language, struct arena *a)
{
    if (language.n == 0 || str_eq(language, r->language)) return;
    if (r->language.n == 0 || str_cmp(language, r->language) < 0) r->language = arena_str(a, language);
}

/* Services of the rowset's resources. */
static err_t bind_services(struct scan *s, struct rowset *rs, struct spans *c)
{
    const struct column *name, *language;
    uint32_t n;
    TRY(rowset_dim(rs, REL_RESOURCE, &c->resource, &n));
    TRY(rowset_column(rs, REL_RESOURCE, SC_ATTR, STR("service.name"), COL_STR, &name));
    TRY(rowset_column(rs, REL_RESOURCE, SC_ATTR, STR("telemetry.sdk.language"), COL_STR, &language));
    if (!c->resource) n = 0;
    uint32_t *service = ARENA_RAW(s->a, uint32_t, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        service[i] = add_service(s, name && column_has(name, i) ? column_str(name, i) : STR(""));
        if (service[i] != NAME_NONE && language && column_has(language, i))
            learn_language(&s->out->red[service[i]], column_str(language, i), s->a);
    }
    if (n == 0) service[0] = add_service(s, STR(""));
    c->service = service;
    return arena_check(s->a);
}

static uint32_t service_at(const struct spans *c, uint32_t row)
{
    return c->service[c->resource ? c->resource[row] : 0];
}

/* -- the first pass: RED, and the children ------------------------------------------------------------------------ */
/* Spans stand in the order of their starts for long stretches: the step is mostly that of the span before. */
static struct red_step *step_of(struct scan *s, struct red *r, int64_t start_ns)
{
    if (!r->steps) r->steps = ARENA_ARRAY(s->a, struct red_step, s->rq->steps);
    if ((uint64_t)(start_ns - s->step_from_ns) >= (uint64_t)s->step_ns) {
        s->step = (uint32_t)((start_ns - s->rq->start_ns) / s->step_ns);
        s->step_from_ns = s->rq->start_ns + (int64_t)s->step * s->step_ns;
    }
    return &r->steps[s->step];
}

static void count_span(struct scan *s, const struct spans *c, uint32_t row, int64_t start, int64_t kind, struct red *r)
{
    r->spans++;
    r->last_ns = MAX(r->last_ns, start);
    if (!is_called(kind) && c->parent && column_has(c->parent, row)) return;
    struct red_step *step = step_of(s, r, start);
    step->requests++;
    step->errors += i64_at(c->status, row) == STATUS_ERROR;
    exphist_add(&step->duration, (double)c->duration->i64[row], 1, s->a);
}

static bool is_near(const struct scan *s, int64_t start)
{
    return start >= s->near_min_ns && start < s->near_max_ns;
}

static bool is_inside(const struct scan *s, int64_t start)
{
    return start >= s->rq->start_ns && start < s->rq->end_ns;
}

/* need_start: else the column is only read when the directory does not say that all rows are inside of the window. */
static err_t bind_spans(struct scan *s, struct rowset *rs, bool need_start, struct spans *c)
{
    int64_t min, max;
    *c = (struct spans){ 0 };
    c->all_inside = rowset_zone(rs, SC_SELF, STR("start"), &min, &max) && is_inside(s, min) && is_inside(s, max);
    if (need_start || !c->all_inside) TRY(self_column(rs, "start", COL_I64, 0, &c->start));
    TRY(self_column(rs, "duration", COL_I64, 0, &c->duration));
    TRY(self_column(rs, "kind", COL_I64, 0, &c->kind));
    TRY(self_column(rs, "status_code", COL_I64, 0, &c->status));
    TRY(self_column(rs, "trace_id", COL_FIX, 16, &c->trace));
    return bind_services(s, rs, c);
}

struct arriving { /* children on their way into the join */
    uint32_t n, row[KEYS];
    uint64_t key[KEYS];
};

static err_t add_children(struct scan *s, const struct spans *c, struct arriving *b)
{
    for (uint32_t k = 0; k < b->n; k++)
        join_prefetch_child(&s->join, b->key[k]);
    for (uint32_t k = 0; k < b->n; k++) {
        uint32_t row = b->row[k];
        TRY(join_child(&s->join, b->key[k], service_at(c, row), c->duration->i64[row], i64_at(c->status, row) == STATUS_ERROR,
                       is_inside(s, c->start->i64[row])));
    }
    b->n = 0;
    return OK;
}

static void first_row(struct scan *s, const struct spans *c, uint32_t row, struct arriving *children)
{
    uint32_t service = service_at(c, row);
    int64_t start = c->start->i64[row], kind = i64_at(c->kind, row);
    if (service == NAME_NONE) {
        s->out->spans_left_out += is_inside(s, start);
        return;
    }
    if (is_inside(s, start)) count_span(s, c, row, start, kind, &s->out->red[service]);
    if (!is_called(kind) || !c->parent || !c->trace || !is_near(s, start)) return;
    if (!column_has(c->parent, row) || !column_has(c->trace, row)) return;
    uint64_t key = join_key(id_at(c->trace, row), id_at(c->parent, row));
    join_prefetch(&s->join, key);
    children->row[children->n] = row;
    children->key[children->n++] = key;
}

static err_t first_rowset(struct scan *s, struct rowset *rs)
{
    struct spans c;
    struct arriving children;
    TRY(bind_spans(s, rs, true, &c));
    TRY(self_column(rs, "parent_span_id", COL_FIX, 8, &c.parent));
    if (!c.start || !c.duration) return OK;
    children.n = 0;
    for (uint32_t from = 0, n; from < rs->nsel; from += n) {
        n = MIN((uint32_t)KEYS, rs->nsel - from);
        TRY(rt_checkpoint());
        for (uint32_t k = 0; k < n; k++)
            first_row(s, &c, rs->sel ? rs->sel[from + k] : from + k, &children);
        TRY(add_children(s, &c, &children));
    }
    return arena_check(s->a);
}

/* -- the second pass: parents, and calls to the outside --------------------------------------------------------- */
static err_t call_outside(struct scan *s, struct rowset *rs, const struct spans *c, uint32_t row, struct peer_reader *peers)
{
    enum edge_kind kind;
    uint32_t to;
    if (!peers->bound) TRY(peer_bind(peers, rs));
    if (!peer_of(peers, row, &s->out->edges, &kind, &to)) return OK;
    edges_count(&s->out->edges, edges_get(&s->out->edges, service_at(c, row), kind, to), i64_at(c->duration, row),
                i64_at(c->status, row) == STATUS_ERROR);
    return OK;
}

static err_t second_rowset(struct scan *s, struct rowset *rs)
{
    struct spans c;
    struct peer_reader peers = { 0 };
    uint64_t keys[KEYS];
    TRY(bind_spans(s, rs, false, &c));
    TRY(self_column(rs, "span_id", COL_FIX, 8, &c.span));
    if ((!c.start && !c.all_inside) || !c.trace || !c.span) return OK;
    for (uint32_t from = 0, n; from < rs->nsel; from += n) {
        n = MIN((uint32_t)KEYS, rs->nsel - from);
        TRY(rt_checkpoint());
        for (uint32_t k = 0; k < n; k++) {
            uint32_t row = rs->sel ? rs->sel[from + k] : from + k;
            keys[k] = join_key(id_at(c.trace, row), id_at(c.span, row));
            join_prefetch(&s->join, keys[k]);
        }
        for (uint32_t k = 0; k < n; k++)
            join_prefetch_child(&s->join, keys[k]);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t row = rs->sel ? rs->sel[from + k] : from + k, service = service_at(&c, row);
            if (!join_takes(&s->join, keys[k]) || service == NAME_NONE || !(c.all_inside || is_near(s, c.start->i64[row]))) continue;
            bool has_child = join_parent(&s->join, keys[k], service);
            if (!has_child && is_calling(i64_at(c.kind, row)) && (c.all_inside || is_inside(s, c.start->i64[row])))
                TRY(call_outside(s, rs, &c, row, &peers));
        }
    }
    return arena_check(s->a);
}

/* -- the fragment --------------------------------------------------------------------------------------------------- */
static err_t pass(struct scan *s, err_t (*take)(struct scan *, struct rowset *))
{
    const struct rows_req req = { .signal = SIG_SPANS, .tmin_ns = s->near_min_ns, .tmax_ns = s->near_max_ns - 1 };
    struct rows_scan *rows;
    struct rowset rs;
    err_t e;
    TRY(rows_open(s->v, &req, &rows));
    for (bool more;;) {
        TRY_OUT(e, rows_next(rows, &rs, &more));
        if (!more) break;
        TRY_OUT(e, take(s, &rs));
    }
out:
    rows_close(rows);
    return e;
}

static uint32_t children_max(const struct query *q, const struct graph_req *rq)
{
    if (rq->children_max) return rq->children_max;
    int64_t bytes = q->budget->hard / 2 / rt_cores();
    return (uint32_t)MIN(MAX(bytes / JOIN_CHILD_BYTES, 1024), INT64_C(1) << 28);
}

err_t graph_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    const struct graph_req *rq = plan;
    struct scan *s = ARENA_NEW(a, struct scan);
    struct graph_answer *out = ARENA_NEW(a, struct graph_answer);
    *s = (struct scan){ .rq = rq, .step_ns = graph_step_ns(rq), .step_from_ns = rq->start_ns, .v = v, .a = a, .out = out,
                        .near_min_ns = rq->start_ns - GRAPH_SLACK_NS, .near_max_ns = rq->end_ns + GRAPH_SLACK_NS };
    names_init(&out->services, GRAPH_SERVICES_MAX, a);
    edges_init(&out->edges, a);
    join_init(&s->join, &out->services, children_max(q, rq), a);
    *partial = out;
    err_t e = pass(s, first_rowset);
    if (e == OK) e = pass(s, second_rowset);
    if (e == OK) e = join_finish(&s->join, &out->edges);
    out->edges_share = 1u << s->join.shift;
    out->calls_left_out = s->join.full;
    graph_free(out);
    return e != OK ? e : arena_check(a);
}

/* -- the merge ---------------------------------------------------------------------------------------------------------- */
static void merge_red(struct red *into, const struct red *from, uint32_t steps, struct arena *a)
{
    into->spans += from->spans;
    into->last_ns = MAX(into->last_ns, from->last_ns);
    learn_language(into, from->language, a);
    if (!from->steps) return;
    if (!into->steps) into->steps = ARENA_ARRAY(a, struct red_step, steps);
    for (uint32_t i = 0; i < steps; i++) {
        into->steps[i].requests += from->steps[i].requests;
        into->steps[i].errors += from->steps[i].errors;
        exphist_merge(&into->steps[i].duration, &from->steps[i].duration, 1, a);
    }
}

static err_t merge(struct graph_answer *out, const struct graph_answer *part, const struct graph_req *rq, struct arena *a,
                   size_t *red_cap)
{
    uint32_t *service = ARENA_RAW(a, uint32_t, part->services.n + 1);
    for (uint32_t i = 0; i < part->services.n; i++) {
        service[i] = names_add(&out->services, part->services.v[i]);
        red_grow(&out->red, &out->services, red_cap, a);
        if (service[i] == NAME_NONE)
            out->spans_left_out += part->red[i].spans;
        else
            merge_red(&out->red[service[i]], &part->red[i], rq->steps, a);
        TRY(rt_checkpoint());
    }
    edges_merge(&out->edges, &part->edges, service, part->edges_share);
    out->spans_left_out += part->spans_left_out;
    out->edges_share = MAX(out->edges_share, part->edges_share);
    out->calls_left_out |= part->calls_left_out;
    return arena_check(a);
}

err_t graph_services(struct query *q, const struct graph_req *rq, struct graph_answer *out)
{
    struct scatter sc;
    size_t red_cap = 0;
    err_t e = OK;
    ASSERT(rq->start_ns > -(INT64_C(1) << 62) && rq->end_ns < (INT64_C(1) << 62));
    ASSERT(rq->start_ns < rq->end_ns && rq->steps >= 1 && rq->steps <= GRAPH_STEPS_MAX);
    *out = (struct graph_answer){ .edges_share = 1 };
    names_init(&out->services, GRAPH_SERVICES_MAX, q->arena);
    edges_init(&out->edges, q->arena);
    TRY(scatter_run(q, &GRAPH_KIND, rq, &sc));
    for (unsigned i = 0; i < sc.n && e == OK; i++)
        e = merge(out, sc.partials[i], rq, q->arena, &red_cap);
    scatter_free(&sc);
    if (e != OK) graph_free(out);
    return e;
}

void graph_free(struct graph_answer *g)
{
    names_deinit(&g->services);
    edges_deinit(&g->edges);
}
