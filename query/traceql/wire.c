/* The fragments of trace search, trace by id and tags as bytes (forms of strings, flags, lists: query/ops/wire.h; tval and
 * attrs: tval_wire.h). Times and durations are zigzag.
 *
 * trace_search, plan:       string query, tmin, tmax, least and longest duration, varint limit, varint spss
 * trace_search, partial:    varint traces inspected, list of hits: 16 bytes id, flag has_root, strings service and name of the
 *                           root, start, duration, list of services (string, varint spans, varint errors), list of sets:
 *                           varint matched, attrs, list of spans: 8 bytes id, start, duration, string name, attrs
 * trace_by_id, plan:        16 bytes id, tmin, tmax
 * trace_by_id, partial:     list of spans: u8 (1 has a parent, 2 another trace than the span before), with 2 its 16 bytes, 8
 *                           bytes id, with 1 the 8 bytes of the parent, strings name, state and status message, zigzag kind,
 *                           status, flags, start, duration, dropped attributes, events and links, attrs, list of events (time,
 *                           string name, attrs, zigzag dropped), list of links (16 and 8 bytes ids, string state, attrs,
 *                           zigzag flags and dropped), resource, scope
 *   resource:               varint: 1 + i = the i-th of this list again; 0 = a new one: attrs, string schema URL, zigzag dropped
 *   scope:                  the same, with strings name and version before the attrs
 * trace_tags, plan:         tmin, tmax, flag, with it the predicate (query/ops/expr_wire.h)
 * trace_tag_values, plan:   the same, then the tag: flag intrinsic, with it u8 which, else u8 scope and string name
 * ..., partial:             TAG_SCOPES times (of values once): list of tval, flag truncated */
#include "base/core/hash.h"
#include "query/ops/expr_wire.h"
#include "query/traceql/fragments.h"
#include "query/traceql/tval_wire.h"

/* -- search, the plan ------------------------------------------------------------------------------------------- */
struct search_plan_sent { /* with all that it stands on */
    struct search_plan p;
    struct search_req rq;
    struct tql_query *q;
};

static void search_plan_put(const void *plan, struct buf *out)
{
    const struct search_req *rq = ((const struct search_plan *)plan)->rq;
    bytes_out_str(out, rq->q->text);
    bytes_out_zigzag(out, rq->tmin_ns);
    bytes_out_zigzag(out, rq->tmax_ns);
    bytes_out_zigzag(out, rq->min_duration_ns);
    bytes_out_zigzag(out, rq->max_duration_ns);
    buf_varint(out, rq->limit);
    buf_varint(out, rq->spss);
}

static void search_plan_free(const void *plan)
{
    struct search_plan_sent *s = (struct search_plan_sent *)(uintptr_t)plan; /* p stands first */
    candidate_plan_free(&s->p.candidates);
    tql_free(s->q);
}

static err_t search_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct search_plan_sent *s = ARENA_NEW(q->arena, struct search_plan_sent);
    struct wire_in w = wire_in_of(in, q->arena);
    struct str text = wire_get_text(&w);
    s->rq = (struct search_req){ .tmin_ns = bytes_in_zigzag(in) };
    s->rq.tmax_ns = bytes_in_zigzag(in);
    s->rq.min_duration_ns = bytes_in_zigzag(in);
    s->rq.max_duration_ns = bytes_in_zigzag(in);
    s->rq.limit = wire_get_u32(&w, SEARCH_LIMIT_MAX);
    s->rq.spss = wire_get_u32(&w, UINT32_MAX);
    TRY(wire_check(&w, "the plan of a trace search"));
    TRY(tql_parse(text, q->arena, &s->q));
    s->rq.q = s->q;
    s->p.rq = &s->rq;
    err_t e = candidate_plan_make(&s->p.candidates, s->q, q->arena);
    if (e != OK) search_plan_free(s);
    *plan = &s->p;
    return e;
}

/* -- search, the partial state ------------------------------------------------------------------------------------ */
static void put_set(struct wire_out *w, const struct tql_result_set *set)
{
    buf_varint(w->out, set->matched);
    tattrs_put(w, set->attrs, set->nattrs);
    buf_varint(w->out, set->nspans);
    for (uint32_t i = 0; i < set->nspans; i++) {
        const struct tql_result_span *rs = &set->spans[i];
        buf_put(w->out, rs->span->span_id, 8);
        bytes_out_zigzag(w->out, rs->span->start_ns);
        bytes_out_zigzag(w->out, rs->span->duration_ns);
        wire_put_str(w, rs->span->name);
        tattrs_put(w, rs->attrs, rs->nattrs);
    }
}

static void put_hit(struct wire_out *w, const struct search_hit *h)
{
    buf_put(w->out, h->trace_id, 16);
    buf_byte(w->out, h->has_root);
    wire_put_str(w, h->root_service);
    wire_put_str(w, h->root_name);
    bytes_out_zigzag(w->out, h->start_ns);
    bytes_out_zigzag(w->out, h->duration_ns);
    buf_varint(w->out, h->nservices);
    for (uint32_t i = 0; i < h->nservices; i++) {
        wire_put_str(w, h->services[i].service);
        buf_varint(w->out, h->services[i].spans);
        buf_varint(w->out, h->services[i].errors);
    }
    buf_varint(w->out, h->result.nsets);
    for (uint32_t i = 0; i < h->result.nsets; i++)
        put_set(w, &h->result.sets[i]);
}

static void search_partial_put(const void *plan, const void *partial, struct buf *out)
{
    const struct search_answer *p = partial;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, p->traces_inspected);
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++)
        put_hit(&w, &p->hits[i]);
    wire_out_deinit(&w);
}

static void get_set(struct wire_in *w, struct tql_result_set *set)
{
    set->matched = wire_get_u32(w, UINT32_MAX);
    set->attrs = tattrs_read(w, &set->nattrs);
    set->spans = WIRE_LIST(w, struct tql_result_span, 12, TRACE_SPANS_MAX, &set->nspans);
    for (uint32_t i = 0; i < set->nspans && !w->in->bad; i++) {
        struct tspan *s = set->spans[i].span = ARENA_NEW(w->a, struct tspan);
        bytes_in_copy(w->in, s->span_id, 8);
        s->start_ns = bytes_in_zigzag(w->in);
        s->duration_ns = bytes_in_zigzag(w->in);
        s->name = wire_get_str(w);
        set->spans[i].attrs = tattrs_read(w, &set->spans[i].nattrs);
    }
}

static err_t get_hit(struct wire_in *w, struct search_hit *h)
{
    bytes_in_copy(w->in, h->trace_id, 16);
    h->has_root = wire_get_flag(w);
    h->root_service = wire_get_str(w);
    h->root_name = wire_get_str(w);
    h->start_ns = bytes_in_zigzag(w->in);
    h->duration_ns = bytes_in_zigzag(w->in);
    h->services = WIRE_LIST(w, struct service_stat, 3, TRACE_SPANS_MAX, &h->nservices);
    for (uint32_t i = 0; i < h->nservices && !w->in->bad; i++) {
        h->services[i].service = wire_get_str(w);
        h->services[i].spans = wire_get_u32(w, UINT32_MAX);
        h->services[i].errors = wire_get_u32(w, UINT32_MAX);
    }
    h->result.match = true;
    h->result.sets = WIRE_LIST(w, struct tql_result_set, 3, TRACE_SPANS_MAX, &h->result.nsets);
    for (uint32_t i = 0; i < h->result.nsets && !w->in->bad; i++)
        get_set(w, &h->result.sets[i]);
    return wire_check(w, "a trace that a search found");
}

static err_t search_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct search_answer *p = ARENA_NEW(a, struct search_answer);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->traces_inspected = bytes_in_varint(in);
    p->hits = WIRE_LIST(&w, struct search_hit, 23, TRACE_SPANS_MAX, &p->n); /* the last batch may go past the limit */
    for (uint32_t i = 0; i < p->n; i++)
        TRY(get_hit(&w, &p->hits[i]));
    return wire_check(&w, "the answer of a trace search");
}

const struct fragment_kind TRACE_SEARCH_KIND = { .name = "trace_search", .fn = trace_search_fragment, .plan_put = search_plan_put,
                                                 .plan_get = search_plan_get, .plan_free = search_plan_free,
                                                 .partial_put = search_partial_put, .partial_get = search_partial_get };

/* -- trace by id -------------------------------------------------------------------------------------------------- */
static void by_id_plan_put(const void *plan, struct buf *out)
{
    const struct by_id_plan *p = plan;
    buf_put(out, p->id, 16);
    bytes_out_zigzag(out, p->tmin_ns);
    bytes_out_zigzag(out, p->tmax_ns);
}

static err_t by_id_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct by_id_plan *p = ARENA_NEW(q->arena, struct by_id_plan);
    struct wire_in w = wire_in_of(in, q->arena);
    uint8_t *id = ARENA_ARRAY(q->arena, uint8_t, 16);
    bytes_in_copy(in, id, 16);
    *p = (struct by_id_plan){ .id = id, .tmin_ns = bytes_in_zigzag(in) };
    p->tmax_ns = bytes_in_zigzag(in);
    *plan = p;
    return wire_check(&w, "the plan of a trace by its id");
}

/* Things that many spans point at, numbered as they come. */
struct shared {
    struct htab seen; /* writing, by address */
    void **v;
    size_t cap;
    uint32_t n;
};

/* False: it is new, and is to follow. */
static bool put_shared(struct wire_out *w, struct shared *s, void *p)
{
    uint64_t h = hash_u64((uintptr_t)p);
    for (uint32_t it = 0, i; htab_next(&s->seen, h, &it, &i);)
        if (s->v[i] == p) {
            buf_varint(w->out, UINT64_C(1) + i);
            return true;
        }
    htab_insert(&s->seen, h, s->n);
    s->v = arena_grow(&w->mem, s->v, s->n, &s->cap, (size_t)s->n + 1, sizeof(void *));
    s->v[s->n++] = p;
    buf_varint(w->out, 0);
    return false;
}

static void put_resource(struct wire_out *w, struct shared *s, struct tresource *r)
{
    if (put_shared(w, s, r)) return;
    tattrs_put(w, r->attrs.a, r->attrs.n);
    wire_put_str(w, r->schema_url);
    bytes_out_zigzag(w->out, r->dropped);
}

static void put_scope(struct wire_out *w, struct shared *s, struct tscope *x)
{
    if (put_shared(w, s, x)) return;
    wire_put_str(w, x->name);
    wire_put_str(w, x->version);
    tattrs_put(w, x->attrs.a, x->attrs.n);
    wire_put_str(w, x->schema_url);
    bytes_out_zigzag(w->out, x->dropped);
}

static void put_children(struct wire_out *w, const struct tspan *s)
{
    buf_varint(w->out, s->nevents);
    for (uint32_t i = 0; i < s->nevents; i++) {
        bytes_out_zigzag(w->out, s->events[i].time_ns);
        wire_put_str(w, s->events[i].name);
        tattrs_put(w, s->events[i].attrs.a, s->events[i].attrs.n);
        bytes_out_zigzag(w->out, s->events[i].dropped);
    }
    buf_varint(w->out, s->nlinks);
    for (uint32_t i = 0; i < s->nlinks; i++) {
        buf_put(w->out, s->links[i].trace_id, 16);
        buf_put(w->out, s->links[i].span_id, 8);
        wire_put_str(w, s->links[i].state);
        tattrs_put(w, s->links[i].attrs.a, s->links[i].attrs.n);
        bytes_out_zigzag(w->out, s->links[i].flags);
        bytes_out_zigzag(w->out, s->links[i].dropped);
    }
}

enum { SPAN_HAS_PARENT = 1, SPAN_OTHER_TRACE = 2 };

static void put_span(struct wire_out *w, const struct tspan *s, const struct tspan *before)
{
    bool other = !before || memcmp(before->trace_id, s->trace_id, 16) != 0;
    const int64_t numbers[] = { s->kind, s->status, s->flags, s->start_ns, s->duration_ns, s->dropped_attrs, s->dropped_events,
                                s->dropped_links };
    buf_byte(w->out, (uint8_t)((s->has_parent ? SPAN_HAS_PARENT : 0) | (other ? SPAN_OTHER_TRACE : 0)));
    if (other) buf_put(w->out, s->trace_id, 16);
    buf_put(w->out, s->span_id, 8);
    if (s->has_parent) buf_put(w->out, s->parent_id, 8);
    wire_put_str(w, s->name);
    wire_put_str(w, s->state);
    wire_put_str(w, s->status_message);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        bytes_out_zigzag(w->out, numbers[i]);
    tattrs_put(w, s->attrs.a, s->attrs.n);
    put_children(w, s);
}

void trace_spans_put(const void *plan, const void *partial, struct buf *out)
{
    const struct tspans *p = partial;
    struct shared resources = { 0 }, scopes = { 0 };
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    htab_init(&resources.seen, out->budget);
    htab_init(&scopes.seen, out->budget);
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        put_span(&w, p->s[i], i ? p->s[i - 1] : NULL);
        put_resource(&w, &resources, p->s[i]->resource);
        put_scope(&w, &scopes, p->s[i]->scope);
    }
    htab_deinit(&resources.seen);
    htab_deinit(&scopes.seen);
    wire_out_deinit(&w);
}

static struct tattrs get_attrs(struct wire_in *w)
{
    struct tattrs as = { 0 };
    as.a = tattrs_read(w, &as.n);
    as.cap = as.n;
    return as;
}

/* True: it is one that was read before, *p. Else *p is room for the new one. */
static bool get_shared(struct wire_in *w, struct shared *s, size_t size, void **p)
{
    uint64_t code = bytes_in_varint(w->in);
    w->in->bad |= code > s->n;
    if (code && !w->in->bad) return *p = s->v[code - 1], true;
    *p = arena_calloc(w->a, 1, size);
    s->v = arena_grow(w->a, s->v, s->n, &s->cap, (size_t)s->n + 1, sizeof(void *));
    s->v[s->n++] = *p;
    return false;
}

static struct tresource *get_resource(struct wire_in *w, struct shared *s)
{
    void *p;
    if (get_shared(w, s, sizeof(struct tresource), &p)) return p;
    struct tresource *r = p;
    r->attrs = get_attrs(w);
    r->schema_url = wire_get_str(w);
    r->dropped = bytes_in_zigzag(w->in);
    return r;
}

static struct tscope *get_scope(struct wire_in *w, struct shared *s)
{
    void *p;
    if (get_shared(w, s, sizeof(struct tscope), &p)) return p;
    struct tscope *x = p;
    x->name = wire_get_str(w);
    x->version = wire_get_str(w);
    x->attrs = get_attrs(w);
    x->schema_url = wire_get_str(w);
    x->dropped = bytes_in_zigzag(w->in);
    return x;
}

static void get_children(struct wire_in *w, struct tspan *s)
{
    s->events = WIRE_LIST(w, struct tevent, 4, UINT32_MAX, &s->nevents);
    for (uint32_t i = 0; i < s->nevents && !w->in->bad; i++) {
        s->events[i].time_ns = bytes_in_zigzag(w->in);
        s->events[i].name = wire_get_str(w);
        s->events[i].attrs = get_attrs(w);
        s->events[i].dropped = bytes_in_zigzag(w->in);
    }
    s->links = WIRE_LIST(w, struct tlink, 28, UINT32_MAX, &s->nlinks);
    for (uint32_t i = 0; i < s->nlinks && !w->in->bad; i++) {
        bytes_in_copy(w->in, s->links[i].trace_id, 16);
        bytes_in_copy(w->in, s->links[i].span_id, 8);
        s->links[i].state = wire_get_str(w);
        s->links[i].attrs = get_attrs(w);
        s->links[i].flags = bytes_in_zigzag(w->in);
        s->links[i].dropped = bytes_in_zigzag(w->in);
    }
}

static void get_span(struct wire_in *w, struct tspan *s, const struct tspan *before)
{
    uint32_t flags = wire_get_enum(w, SPAN_HAS_PARENT | SPAN_OTHER_TRACE);
    int64_t *const numbers[] = { &s->kind, &s->status, &s->flags, &s->start_ns, &s->duration_ns, &s->dropped_attrs,
                                 &s->dropped_events, &s->dropped_links };
    if (flags & SPAN_OTHER_TRACE) bytes_in_copy(w->in, s->trace_id, 16);
    else if (before) memcpy(s->trace_id, before->trace_id, 16);
    else w->in->bad = true;
    bytes_in_copy(w->in, s->span_id, 8);
    s->has_parent = flags & SPAN_HAS_PARENT;
    if (s->has_parent) bytes_in_copy(w->in, s->parent_id, 8);
    s->name = wire_get_str(w);
    s->state = wire_get_str(w);
    s->status_message = wire_get_str(w);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        *numbers[i] = bytes_in_zigzag(w->in);
    s->attrs = get_attrs(w);
    get_children(w, s);
}

err_t trace_spans_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct tspans *p = ARENA_NEW(a, struct tspans);
    struct shared resources = { 0 }, scopes = { 0 };
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->s = WIRE_LIST(&w, struct tspan *, 25, TRACE_SPANS_MAX, &p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        p->s[i] = ARENA_NEW(a, struct tspan);
        get_span(&w, p->s[i], i ? p->s[i - 1] : NULL);
        p->s[i]->resource = get_resource(&w, &resources);
        p->s[i]->scope = get_scope(&w, &scopes);
        TRY(wire_check(&w, "a span of a trace"));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return wire_check(&w, "the spans of a trace");
}

const struct fragment_kind TRACE_BY_ID_KIND = { .name = "trace_by_id", .fn = trace_by_id_fragment, .plan_put = by_id_plan_put,
                                                .plan_get = by_id_plan_get, .partial_put = trace_spans_put,
                                                .partial_get = trace_spans_get };

/* -- tags ------------------------------------------------------------------------------------------------------------ */
static void put_tags(struct wire_out *w, const struct tags_plan *p)
{
    bytes_out_zigzag(w->out, p->tmin_ns);
    bytes_out_zigzag(w->out, p->tmax_ns);
    buf_byte(w->out, p->filter != NULL);
    if (p->filter) expr_put(w, p->filter);
}

static void names_plan_put(const void *plan, struct buf *out)
{
    struct wire_out w;
    wire_out_init(&w, out);
    put_tags(&w, plan);
    wire_out_deinit(&w);
}

static void values_plan_put(const void *plan, struct buf *out)
{
    const struct tags_plan *p = plan;
    struct wire_out w;
    wire_out_init(&w, out);
    put_tags(&w, p);
    buf_byte(out, p->tag->kind == TF_INTRINSIC);
    buf_byte(out, p->tag->kind == TF_INTRINSIC ? (uint8_t)p->tag->intrinsic : (uint8_t)p->tag->scope);
    if (p->tag->kind != TF_INTRINSIC) wire_put_str(&w, p->tag->name);
    wire_out_deinit(&w);
}

static void tags_plan_free(const void *plan)
{
    struct tags_plan *p = (struct tags_plan *)(uintptr_t)plan;
    expr_builder_deinit(&p->builder);
}

static err_t get_tags(struct wire_in *w, struct tags_plan *p, bool values)
{
    struct expr *filter;
    p->tmin_ns = bytes_in_zigzag(w->in);
    p->tmax_ns = bytes_in_zigzag(w->in);
    if (wire_get_flag(w)) {
        TRY(expr_get(w, &p->builder, &filter));
        p->filter = filter;
    }
    if (values) {
        struct tql_field *f = ARENA_NEW(w->a, struct tql_field);
        f->kind = wire_get_flag(w) ? TF_INTRINSIC : TF_ATTR;
        if (f->kind == TF_INTRINSIC) f->intrinsic = wire_get_enum(w, TI_COUNT - 1);
        else f->scope = wire_get_enum(w, TS_INSTRUMENTATION);
        if (f->kind == TF_ATTR) f->name = wire_get_str(w);
        w->in->bad |= f->kind == TF_ATTR && !f->name.p;
        p->tag = f;
    }
    return wire_check(w, "the plan of a look at tags");
}

static err_t tags_plan_get(struct query *q, struct bytes_in *in, bool values, const void **plan)
{
    struct tags_plan *p = ARENA_NEW(q->arena, struct tags_plan);
    struct wire_in w = wire_in_of(in, q->arena);
    expr_builder_init(&p->builder, q->arena);
    err_t e = get_tags(&w, p, values);
    if (e != OK) tags_plan_free(p);
    *plan = p;
    return e;
}

static err_t names_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    return tags_plan_get(q, in, false, plan);
}

static err_t values_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    return tags_plan_get(q, in, true, plan);
}

static void put_sets(const struct tag_set *sets, uint32_t n, struct buf *out)
{
    struct wire_out w;
    wire_out_init(&w, out);
    for (uint32_t i = 0; i < n; i++) {
        tvals_put(&w, sets[i].set.v, sets[i].set.n);
        buf_byte(out, sets[i].truncated);
    }
    wire_out_deinit(&w);
}

static err_t get_sets(struct bytes_in *in, uint32_t n, struct arena *a, void **partial)
{
    struct tag_set *sets = ARENA_ARRAY(a, struct tag_set, n);
    struct wire_in w = wire_in_of(in, a);
    *partial = sets;
    for (uint32_t i = 0; i < n; i++) {
        sets[i].set.a = a;
        sets[i].set.v = tvals_get(&w, TAG_VALUES_MAX, &sets[i].set.n);
        sets[i].truncated = wire_get_flag(&w);
        TRY(wire_check(&w, "names or values of tags"));
    }
    return OK;
}

static void names_partial_put(const void *plan, const void *partial, struct buf *out)
{
    (void)plan;
    put_sets(partial, TAG_SCOPES, out);
}

static void values_partial_put(const void *plan, const void *partial, struct buf *out)
{
    (void)plan;
    put_sets(partial, 1, out);
}

static err_t names_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    (void)plan;
    TRY(get_sets(in, TAG_SCOPES, a, partial));
    const struct tag_set *sets = *partial;
    for (int s = 0; s < TAG_SCOPES; s++)
        for (uint32_t i = 0; i < sets[s].set.n; i++)
            in->bad |= sets[s].set.v[i].type != TV_STR;
    return in->bad ? err_set(ERR_CORRUPT, "names of tags from another node are none") : OK;
}

static err_t values_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    (void)plan;
    return get_sets(in, 1, a, partial);
}

const struct fragment_kind TRACE_TAGS_KIND = { .name = "trace_tags", .fn = trace_tags_fragment, .plan_put = names_plan_put,
                                               .plan_get = names_plan_get, .plan_free = tags_plan_free,
                                               .partial_put = names_partial_put, .partial_get = names_partial_get };
const struct fragment_kind TRACE_TAG_VALUES_KIND = { .name = "trace_tag_values", .fn = trace_tag_values_fragment,
                                                     .plan_put = values_plan_put, .plan_get = values_plan_get,
                                                     .plan_free = tags_plan_free, .partial_put = values_partial_put,
                                                     .partial_get = values_partial_get };
