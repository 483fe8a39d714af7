#include "query/traceql/fragments.h"

#include "base/core/hash.h"

#include <stdlib.h>

struct core_search {
    const struct search_req *rq;
    struct arena *a;    /* of the answer */
    struct search_answer *out;
    size_t hits_cap;
};

static void count_services(struct search_hit *h, const struct tql_trace *t, struct arena *a)
{
    size_t cap = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        struct str name = tresource_service(t->spans[i]->resource);
        uint32_t k = 0;
        while (k < h->nservices && !str_eq(h->services[k].service, name))
            k++;
        if (k == h->nservices) {
            h->services = arena_grow(a, h->services, k, &cap, k + 1, sizeof *h->services);
            h->services[h->nservices++] = (struct service_stat){ .service = name };
        }
        h->services[k].spans++;
        h->services[k].errors += t->spans[i]->status == 2;
    }
}

/* -- answers outlive the batch they were found in ------------------------------------------------------------ */
static struct tval keep_val(struct tval v, struct arena *a)
{
    if (v.type == TV_STR || v.type == TV_BYTES || v.type == TV_JSON) v.s = arena_str(a, v.s);
    return v;
}

static struct tattr *keep_attrs(const struct tattr *from, uint32_t n, struct arena *a)
{
    struct tattr *to = ARENA_RAW(a, struct tattr, n + 1);
    for (uint32_t i = 0; i < n; i++)
        to[i] = (struct tattr){ arena_str(a, from[i].key), keep_val(from[i].v, a) };
    return to;
}

static struct tql_result_set keep_set(const struct tql_result_set *from, struct arena *a)
{
    struct tql_result_set to = *from;
    to.attrs = keep_attrs(from->attrs, from->nattrs, a);
    to.spans = ARENA_RAW(a, struct tql_result_span, from->nspans + 1);
    for (uint32_t i = 0; i < from->nspans; i++) {
        const struct tql_result_span *rs = &from->spans[i];
        struct tspan *s = ARENA_NEW(a, struct tspan);
        memcpy(s->span_id, rs->span->span_id, 8);
        s->start_ns = rs->span->start_ns;
        s->duration_ns = rs->span->duration_ns;
        s->name = arena_str(a, rs->span->name);
        to.spans[i] = (struct tql_result_span){ s, rs->nattrs, keep_attrs(rs->attrs, rs->nattrs, a) };
    }
    return to;
}

static void keep_hit(struct core_search *s, const struct search_hit *from)
{
    struct search_answer *out = s->out;
    struct search_hit h = *from;
    h.root_name = arena_str(s->a, from->root_name);
    h.root_service = arena_str(s->a, from->root_service);
    h.services = arena_dup(s->a, from->services, from->nservices * sizeof *from->services);
    for (uint32_t i = 0; i < h.nservices; i++)
        h.services[i].service = arena_str(s->a, h.services[i].service);
    h.result.sets = ARENA_RAW(s->a, struct tql_result_set, from->result.nsets + 1);
    for (uint32_t i = 0; i < from->result.nsets; i++)
        h.result.sets[i] = keep_set(&from->result.sets[i], s->a);
    out->hits = arena_grow(s->a, out->hits, out->n, &s->hits_cap, out->n + 1, sizeof *out->hits);
    out->hits[out->n++] = h;
}

static err_t evaluate(void *ctx, const struct tql_trace *t, struct arena *a, bool *enough)
{
    struct core_search *s = ctx;
    const struct search_req *rq = s->rq;
    struct search_hit h = { 0 };
    s->out->traces_inspected++;
    h.duration_ns = saturating_add(t->end_ns, -t->start_ns);
    if (h.duration_ns < rq->min_duration_ns || h.duration_ns > rq->max_duration_ns) return OK;
    TRY(tql_eval(rq->q, t, rq->spss, a, &h.result));
    if (!h.result.match) return OK;
    memcpy(h.trace_id, t->spans[0]->trace_id, 16);
    h.start_ns = t->start_ns;
    h.has_root = t->root != NULL;
    if (t->root) {
        h.root_name = t->root->name;
        h.root_service = tresource_service(t->root->resource);
    }
    count_services(&h, t, a);
    keep_hit(s, &h);
    *enough = s->out->n >= rq->limit;
    return OK;
}

err_t trace_search_fragment(struct query *q, struct view *v, const void *plan_ptr, struct arena *a, void **partial)
{
    const struct search_plan *p = plan_ptr;
    struct core_search s = { .rq = p->rq, .a = a, .out = ARENA_NEW(a, struct search_answer) };
    struct candidate_window w = { .tmin_ns = p->rq->tmin_ns, .tmax_ns = p->rq->tmax_ns };
    *partial = s.out;
    return candidates_each(q, v, &p->candidates, &w, evaluate, &s);
}

/* -- the merge -------------------------------------------------------------------------------------- */
static int hit_order(const void *pa, const void *pb)
{
    const struct search_hit *a = pa, *b = pb;
    if (a->start_ns != b->start_ns) return a->start_ns > b->start_ns ? -1 : 1;
    return memcmp(a->trace_id, b->trace_id, 16);
}

static void merge_hits(const struct scatter *sc, uint32_t limit, struct arena *a, struct search_answer *out)
{
    uint32_t total = 0;
    *out = (struct search_answer){ 0 };
    for (unsigned i = 0; i < sc->n; i++) {
        const struct search_answer *part = sc->partials[i];
        total += part->n;
        out->traces_inspected += part->traces_inspected;
    }
    out->hits = ARENA_RAW(a, struct search_hit, total + 1);
    for (unsigned i = 0; i < sc->n; i++) {
        const struct search_answer *part = sc->partials[i];
        if (part->n) memcpy(out->hits + out->n, part->hits, part->n * sizeof *part->hits);
        out->n += part->n;
    }
    if (out->n) qsort(out->hits, out->n, sizeof *out->hits, hit_order);
    out->n = MIN(out->n, limit);
}

err_t trace_search(struct query *q, const struct search_req *rq, struct scatter *sc, struct search_answer *out)
{
    struct search_plan plan = { .rq = rq };
    err_t e = candidate_plan_make(&plan.candidates, rq->q, q->arena);
    if (e == OK) e = scatter_whole(q, &TRACE_SEARCH_KIND, &plan, sc);
    candidate_plan_free(&plan.candidates);
    if (e == OK) merge_hits(sc, rq->limit, q->arena, out);
    return e;
}

/* -- trace by id ---------------------------------------------------------------------------------------------------- */
err_t trace_by_id_fragment(struct query *q, struct view *v, const void *plan_ptr, struct arena *a, void **partial)
{
    const struct by_id_plan *p = plan_ptr;
    uint8_t ids[1][16];
    struct tspans *out = ARENA_NEW(a, struct tspans);
    (void)q;
    memcpy(ids[0], p->id, 16);
    *partial = out;
    return trace_gather(v, (const uint8_t (*)[16])ids, 1, p->tmin_ns, p->tmax_ns, TRACE_SPANS_MAX, NULL, a, out);
}

/* -- resources and scopes that are alike ------------------------------------------------------------------------------- */
/* Each batch has objects of its own: of those that say the same the first is taken, so that an answer does not say how spans came. */
struct alike {
    struct htab by_hash; /* of v */
    void **v;
    size_t cap;
    uint32_t n;
};

static uint64_t attrs_hash(const struct tattrs *as)
{
    uint64_t h = as->n;
    for (uint32_t i = 0; i < as->n; i++)
        h = hash_u64(h ^ hash64(as->a[i].key));
    return h;
}

static bool attrs_alike(const struct tattrs *a, const struct tattrs *b)
{
    if (a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!str_eq(a->a[i].key, b->a[i].key) || tval_order(&a->a[i].v, &b->a[i].v) != 0) return false;
    return true;
}

static bool resources_alike(const struct tresource *a, const struct tresource *b)
{
    return a == b || (a->dropped == b->dropped && str_eq(a->schema_url, b->schema_url) && attrs_alike(&a->attrs, &b->attrs));
}

static bool scopes_alike(const struct tscope *a, const struct tscope *b)
{
    return a == b || (a->dropped == b->dropped && str_eq(a->name, b->name) && str_eq(a->version, b->version)
                      && str_eq(a->schema_url, b->schema_url) && attrs_alike(&a->attrs, &b->attrs));
}

static void keep_alike(struct alike *x, struct arena *a, uint64_t h, void *object)
{
    htab_insert(&x->by_hash, h, x->n);
    x->v = arena_grow(a, x->v, x->n, &x->cap, (size_t)x->n + 1, sizeof *x->v);
    x->v[x->n++] = object;
}

static struct tresource *resource_of(struct alike *x, struct arena *a, struct tresource *r)
{
    uint64_t h = attrs_hash(&r->attrs);
    for (uint32_t it = 0, i; htab_next(&x->by_hash, h, &it, &i);)
        if (resources_alike(x->v[i], r)) return x->v[i];
    keep_alike(x, a, h, r);
    return r;
}

static struct tscope *scope_of(struct alike *x, struct arena *a, struct tscope *s)
{
    uint64_t h = attrs_hash(&s->attrs) ^ hash64(s->name);
    for (uint32_t it = 0, i; htab_next(&x->by_hash, h, &it, &i);)
        if (scopes_alike(x->v[i], s)) return x->v[i];
    keep_alike(x, a, h, s);
    return s;
}

static void join_alike(struct tspans *spans, struct arena *a)
{
    struct alike resources = { 0 }, scopes = { 0 };
    htab_init(&resources.by_hash, NULL);
    htab_init(&scopes.by_hash, NULL);
    for (uint32_t i = 0; i < spans->n; i++) {
        struct tspan *s = spans->s[i], *before = i ? spans->s[i - 1] : s;
        s->resource = i && s->resource == before->resource ? before->resource : resource_of(&resources, a, s->resource);
        s->scope = i && s->scope == before->scope ? before->scope : scope_of(&scopes, a, s->scope);
    }
    htab_deinit(&resources.by_hash);
    htab_deinit(&scopes.by_hash);
}

err_t spans_join(const struct scatter *sc, uint32_t spans_max, struct arena *a, struct tspans *out)
{
    uint64_t total = 0;
    *out = (struct tspans){ 0 };
    for (unsigned i = 0; i < sc->n; i++)
        total += ((struct tspans *)sc->partials[i])->n;
    if (total > spans_max) return err_set(ERR_LIMIT, "more than %u spans in the trace", spans_max);
    out->s = ARENA_RAW(a, struct tspan *, total + 1);
    TRY(arena_check(a));
    for (unsigned i = 0; i < sc->n; i++) {
        const struct tspans *part = sc->partials[i];
        if (part->n) memcpy(out->s + out->n, part->s, part->n * sizeof *part->s);
        out->n += part->n;
    }
    tspans_settle(out);
    join_alike(out, a);
    return arena_check(a);
}

err_t trace_by_id(struct query *q, const uint8_t id[16], int64_t tmin_ns, int64_t tmax_ns, struct scatter *sc, struct tspans *out)
{
    const struct by_id_plan plan = { id, tmin_ns, tmax_ns };
    TRY(scatter_run(q, &TRACE_BY_ID_KIND, &plan, sc));
    err_t e = spans_join(sc, UINT32_MAX, q->arena, out);
    if (e != OK) scatter_free(sc);
    return e;
}
