#include "query/traceql/trace.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>

struct gather {
    struct arena *a;
    const uint8_t (*ids)[16];
    uint32_t n, spans_max;
    const struct gather_need *need;
    struct htab by_id; /* of ids */
    struct htab seen;  /* of out->s, by identity */
    struct tspans *out;
};

static bool wanted(const struct gather *g, const uint8_t *id)
{
    for (uint32_t it = 0, v; htab_next(&g->by_id, trace_id_hash(id), &it, &v);)
        if (memcmp(g->ids[v], id, 16) == 0) return true;
    return false;
}

/* One value of a column as a tval, bytes copied to the arena. */
static struct tval value_of(const struct column *c, uint32_t row, struct arena *a)
{
    struct tval v = { 0 };
    switch (c->type) {
    case COL_I64: v.type = TV_INT; v.i = c->i64[row]; break;
    case COL_F64: v.type = TV_FLOAT; v.f = c->f64[row]; break;
    case COL_BOOL: v.type = TV_BOOL; v.b = c->boolean[row] != 0; break;
    case COL_STR: v.type = TV_STR; v.s = arena_str(a, column_str(c, row)); break;
    case COL_BYTES: v.type = TV_BYTES; v.s = arena_str(a, column_str(c, row)); break;
    case COL_JSON: v.type = TV_JSON; v.s = arena_str(a, column_str(c, row)); break;
    case COL_FIX:
        v.type = TV_BYTES;
        v.s = arena_str(a, str_n(c->fix + (size_t)row * c->width, c->width));
        break;
    }
    return v;
}

static void add_attr(struct tattrs *as, struct arena *a, struct str key, struct tval v)
{
    as->a = arena_grow(a, as->a, as->n, &as->cap, as->n + 1, sizeof *as->a);
    as->a[as->n++] = (struct tattr){ key, v };
}

/* The sub-tables are read column by column: rows[k] is the table row that object k comes from, and a sink
 * puts one value into object k. */
typedef void sink_fn(void *objects, uint32_t k, const struct column_key *key, struct tval v,
                     struct arena *a);

static bool is_needed(const struct gather_need *need, int rel, const struct column_key *key)
{
    if (!need || rel != REL_ROWS || key->scope != SC_ATTR) return true;
    for (uint32_t i = 0; i < need->nnames; i++)
        if (str_eq(need->names[i], key->name)) return true;
    return false;
}

static err_t pour(struct rowset *rs, int rel, const uint32_t *rows, uint32_t n, const struct gather_need *need,
                  sink_fn *sink, void *objects, struct arena *a)
{
    const struct column_key *keys;
    uint32_t nkeys;
    /* Dimension rows come as the spans first use them. */
    bool ascending = rel != REL_RESOURCE && rel != REL_SCOPE, packed = false;
    TRY(rowset_keys(rs, rel, &keys, &nkeys));
    for (uint32_t i = 0; i < nkeys; i++) {
        const struct column *c;
        if (!is_needed(need, rel, &keys[i])) continue;
        if (ascending)
            TRY(rowset_column_at(rs, rel, &keys[i], rows, n, &c, &packed));
        else
            TRY(rowset_column(rs, rel, keys[i].scope, keys[i].name, keys[i].type, &c));
        if (!c) continue;
        struct column_key key = keys[i];
        key.name = arena_str(a, key.name);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t row = packed ? k : rows[k];
            if (column_has(c, row)) sink(objects, k, &key, value_of(c, row, a), a);
        }
        TRY(arena_check(a));
    }
    return OK;
}

static void copy_id(uint8_t *to, size_t n, struct tval v)
{
    if (v.type == TV_BYTES && v.s.n == n) memcpy(to, v.s.p, n);
}

static void span_sink(void *objects, uint32_t k, const struct column_key *key, struct tval v,
                      struct arena *a)
{
    struct tspan *s = ((struct tspan **)objects)[k];
    const struct { const char *name; struct str *to; } texts[] = {
        { "name", &s->name },
        { "trace_state", &s->state },
        { "status_message", &s->status_message },
    };
    const struct { const char *name; int64_t *to; } numbers[] = {
        { "kind", &s->kind },         { "status_code", &s->status },
        { "flags", &s->flags },       { "start", &s->start_ns },
        { "duration", &s->duration_ns }, { "dropped_attributes", &s->dropped_attrs },
        { "dropped_events", &s->dropped_events }, { "dropped_links", &s->dropped_links },
    };
    if (key->scope == SC_ATTR) {
        add_attr(&s->attrs, a, key->name, v);
        return;
    }
    if (str_is(key->name, "span_id")) copy_id(s->span_id, 8, v);
    if (str_is(key->name, "parent_span_id")) {
        copy_id(s->parent_id, 8, v);
        s->has_parent = true;
    }
    for (size_t i = 0; i < ARRAY_LEN(texts) && v.type == TV_STR; i++)
        if (str_is(key->name, texts[i].name)) *texts[i].to = v.s;
    for (size_t i = 0; i < ARRAY_LEN(numbers) && v.type == TV_INT; i++)
        if (str_is(key->name, numbers[i].name)) *numbers[i].to = v.i;
}

static void resource_sink(void *objects, uint32_t k, const struct column_key *key, struct tval v,
                          struct arena *a)
{
    struct tresource *r = &((struct tresource *)objects)[k];
    if (key->scope == SC_ATTR)
        add_attr(&r->attrs, a, key->name, v);
    else if (str_is(key->name, "schema_url"))
        r->schema_url = v.s;
    else if (str_is(key->name, "dropped_attributes"))
        r->dropped = v.i;
}

static void scope_sink(void *objects, uint32_t k, const struct column_key *key, struct tval v,
                       struct arena *a)
{
    struct tscope *s = &((struct tscope *)objects)[k];
    if (key->scope == SC_ATTR)
        add_attr(&s->attrs, a, key->name, v);
    else if (str_is(key->name, "name"))
        s->name = v.s;
    else if (str_is(key->name, "version"))
        s->version = v.s;
    else if (str_is(key->name, "schema_url"))
        s->schema_url = v.s;
    else if (str_is(key->name, "dropped_attributes"))
        s->dropped = v.i;
}

static void event_sink(void *objects, uint32_t k, const struct column_key *key, struct tval v,
                       struct arena *a)
{
    struct tevent *e = ((struct tevent **)objects)[k];
    if (key->scope == SC_ATTR)
        add_attr(&e->attrs, a, key->name, v);
    else if (str_is(key->name, "time"))
        e->time_ns = v.i;
    else if (str_is(key->name, "name"))
        e->name = v.s;
    else if (str_is(key->name, "dropped_attributes"))
        e->dropped = v.i;
}

static void link_sink(void *objects, uint32_t k, const struct column_key *key, struct tval v,
                      struct arena *a)
{
    struct tlink *l = ((struct tlink **)objects)[k];
    if (key->scope == SC_ATTR)
        add_attr(&l->attrs, a, key->name, v);
    else if (str_is(key->name, "trace_id"))
        copy_id(l->trace_id, 16, v);
    else if (str_is(key->name, "span_id"))
        copy_id(l->span_id, 8, v);
    else if (str_is(key->name, "trace_state"))
        l->state = v.s;
    else if (str_is(key->name, "flags"))
        l->flags = v.i;
    else if (str_is(key->name, "dropped_attributes"))
        l->dropped = v.i;
}

/* The distinct dimension rows that the spans use: (*dim_rows)[0..*ndims), and of every span which one. */
static err_t dims_of(struct rowset *rs, int rel, const uint32_t *rows, uint32_t n, struct arena *a,
                     uint32_t **dim_rows, uint32_t *ndims, uint32_t **dim_of)
{
    const uint32_t *dim_row;
    uint32_t total = 0;
    TRY(rowset_dim_at(rs, rel, rows, n, &dim_row, &total));
    *ndims = 0;
    *dim_of = ARENA_ARRAY(a, uint32_t, n);
    *dim_rows = ARENA_ARRAY(a, uint32_t, MIN(n, total) + 1);
    if (!dim_row) return OK;
    uint32_t *object = ARENA_ARRAY(a, uint32_t, total); /* + 1; 0 = not met */
    for (uint32_t k = 0; k < n; k++) {
        uint32_t d = dim_row[k];
        ASSERT(d < total);
        if (!object[d]) {
            (*dim_rows)[*ndims] = d;
            object[d] = ++*ndims;
        }
        (*dim_of)[k] = object[d] - 1;
    }
    return OK;
}

static err_t attach_dims(struct rowset *rs, const uint32_t *rows, struct tspan **spans, uint32_t n,
                         bool with_scope, struct arena *a)
{
    uint32_t *dim_rows, *dim_of, ndims;
    TRY(dims_of(rs, REL_RESOURCE, rows, n, a, &dim_rows, &ndims, &dim_of));
    struct tresource *rsrc = ARENA_ARRAY(a, struct tresource, ndims + 1);
    if (ndims) TRY(pour(rs, REL_RESOURCE, dim_rows, ndims, NULL, resource_sink, rsrc, a));
    for (uint32_t k = 0; k < n; k++)
        spans[k]->resource = &rsrc[dim_of[k]];
    if (!with_scope) {
        struct tscope *none = ARENA_NEW(a, struct tscope);
        for (uint32_t k = 0; k < n; k++)
            spans[k]->scope = none;
        return OK;
    }
    TRY(dims_of(rs, REL_SCOPE, rows, n, a, &dim_rows, &ndims, &dim_of));
    struct tscope *scopes = ARENA_ARRAY(a, struct tscope, ndims + 1);
    if (ndims) TRY(pour(rs, REL_SCOPE, dim_rows, ndims, NULL, scope_sink, scopes, a));
    for (uint32_t k = 0; k < n; k++)
        spans[k]->scope = &scopes[dim_of[k]];
    return OK;
}

static err_t attach_children(struct rowset *rs, int rel, const uint32_t *rows, struct tspan **spans,
                             uint32_t n, struct arena *a)
{
    const uint32_t *first;
    uint32_t total = 0, count = 0;
    TRY(rowset_child(rs, rel, &first, &total));
    if (!first) return OK;
    for (uint32_t k = 0; k < n; k++)
        count += first[rows[k] + 1] - first[rows[k]];
    if (!count) return OK;
    uint32_t *child_rows = ARENA_ARRAY(a, uint32_t, count), at = 0;
    void **objects = ARENA_ARRAY(a, void *, count);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t from = first[rows[k]], m = first[rows[k] + 1] - from;
        struct tspan *s = spans[k];
        if (rel == REL_EVENTS) {
            s->events = ARENA_ARRAY(a, struct tevent, m);
            s->nevents = m;
        } else {
            s->links = ARENA_ARRAY(a, struct tlink, m);
            s->nlinks = m;
        }
        for (uint32_t i = 0; i < m; i++) {
            child_rows[at] = from + i;
            objects[at++] = rel == REL_EVENTS ? (void *)&s->events[i] : (void *)&s->links[i];
        }
    }
    return pour(rs, rel, child_rows, count, NULL, rel == REL_EVENTS ? event_sink : link_sink, objects, a);
}

static bool is_repeat(struct gather *g, const struct tspan *s, uint64_t *hash)
{
    uint64_t id;
    memcpy(&id, s->span_id, 8);
    *hash = hash_u64(trace_id_hash(s->trace_id) ^ hash_u64(id ^ (uint64_t)s->start_ns) ^ (uint64_t)s->kind);
    for (uint32_t it = 0, v; htab_next(&g->seen, *hash, &it, &v);)
        if (tspan_is_again(g->out->s[v], s)) return true;
    return false;
}

static err_t take_rows(struct gather *g, struct rowset *rs, const uint8_t *const *ids, const uint32_t *rows, uint32_t n)
{
    struct tspan **spans = ARENA_ARRAY(g->a, struct tspan *, n);
    if (!g->need) rowset_will_read(rs);
    for (uint32_t k = 0; k < n; k++) {
        spans[k] = ARENA_NEW(g->a, struct tspan);
        memcpy(spans[k]->trace_id, ids[k], 16);
    }
    const struct gather_need *need = g->need;
    TRY(pour(rs, REL_ROWS, rows, n, need, span_sink, spans, g->a));
    TRY(attach_dims(rs, rows, spans, n, !need || need->scope, g->a));
    if (!need || need->events) TRY(attach_children(rs, REL_EVENTS, rows, spans, n, g->a));
    if (!need || need->links) TRY(attach_children(rs, REL_LINKS, rows, spans, n, g->a));
    struct tspans *out = g->out;
    out->s = arena_grow(g->a, out->s, out->n, &out->cap, out->n + n, sizeof *out->s);
    for (uint32_t k = 0; k < n; k++) {
        uint64_t hash;
        if (is_repeat(g, spans[k], &hash)) continue;
        htab_insert(&g->seen, hash, out->n);
        out->s[out->n++] = spans[k];
    }
    return OK;
}

/* The ids of the rowset's rows; of the selected ones alone where they are few: *packed. */
static err_t ids_of(struct rowset *rs, const struct column **ids, bool *packed)
{
    const struct column_key key = { SC_SELF, COL_FIX, STR("trace_id") };
    *packed = false;
    if (rs->sel) return rowset_column_at(rs, REL_ROWS, &key, rs->sel, rs->nsel, ids, packed);
    return rowset_column(rs, REL_ROWS, key.scope, key.name, key.type, ids);
}

static err_t gather_rowset(struct gather *g, struct rowset *rs)
{
    const struct column *ids;
    bool packed;
    TRY(ids_of(rs, &ids, &packed));
    if (!ids || ids->width != 16) return OK;
    uint32_t *rows = NULL, n = 0;
    const uint8_t **row_ids = NULL;
    size_t cap = 0, ids_cap = 0;
    for (uint32_t i = 0; i < rs->nsel; i++) {
        uint32_t row = rs->sel ? rs->sel[i] : i, at = packed ? i : row;
        const uint8_t *id = ids->fix + (size_t)at * 16;
        if (!column_has(ids, at) || !wanted(g, id)) continue;
        rows = arena_grow(g->a, rows, n, &cap, n + 1, sizeof *rows);
        row_ids = arena_grow(g->a, row_ids, n, &ids_cap, n + 1, sizeof *row_ids);
        row_ids[n] = id;
        rows[n++] = row;
    }
    if (n == 0) return OK;
    if (g->out->n + n > g->spans_max)
        return err_set(ERR_LIMIT, "more than %u spans in the trace", g->spans_max);
    return take_rows(g, rs, row_ids, rows, n);
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, 16); }

err_t trace_gather(struct view *v, const uint8_t (*ids)[16], uint32_t n, int64_t tmin_ns,
                   int64_t tmax_ns, uint32_t spans_max, const struct gather_need *need, struct arena *a,
                   struct tspans *out)
{
    struct gather g = { .a = a, .ids = ids, .n = n, .spans_max = spans_max, .need = need, .out = out };
    struct scan_hint hint = { .kind = HINT_FIX_EQ, .rel = REL_ROWS, .scope = SC_SELF,
                              .name = STR("trace_id"), .value = str_n(n ? ids[0] : NULL, 16) };
    struct rows_req rq = { .signal = SIG_SPANS, .tmin_ns = tmin_ns, .tmax_ns = tmax_ns,
                           .hints = &hint, .nhints = n == 1, .whole = !need };
    if (n > 1) {
        uint8_t (*sorted)[16] = arena_dup(a, ids, n * sizeof *ids);
        TRY(arena_check(a));
        qsort(sorted, n, sizeof *sorted, by_bytes);
        rq.ids = (const uint8_t (*)[16])sorted;
        rq.nids = n;
    }
    struct rows_scan *scan = NULL;
    *out = (struct tspans){ 0 };
    htab_init(&g.by_id, a->budget);
    htab_init(&g.seen, a->budget);
    for (uint32_t i = 0; i < n; i++)
        htab_insert(&g.by_id, trace_id_hash(ids[i]), i);
    err_t e;
    TRY_OUT(e, rows_open(v, &rq, &scan));
    for (bool more = true; more;) {
        struct rowset rs;
        TRY_OUT(e, rows_next(scan, &rs, &more));
        if (!more) break;
        TRY_OUT(e, gather_rowset(&g, &rs));
        TRY_OUT(e, rt_checkpoint());
    }
out:
    if (scan) rows_close(scan);
    htab_deinit(&g.by_id);
    htab_deinit(&g.seen);
    return e;
}
