#include "query/logs/fragments.h"

#include "base/core/hash.h"
#include "query/logs/source.h"
#include "query/ops/op_scan.h"

#include <stdlib.h>

enum { SOURCE_BYTES_MAX = 256 << 20 };

/* -- plan ------------------------------------------------------------------------------------------------------ */

static err_t plan_sort(struct log_plan *p, struct arena *a)
{
    const struct log_search *s = p->s;
    struct topn_spec *t = &p->top;
    bool by_doc = false;
    t->n = s->offset + s->size;
    t->addr_desc = true;
    for (uint32_t i = 0; i < s->nsort; i++) {
        struct str name = s->sort[i].field;
        if (str_is(name, "_score")) continue;
        if (str_is(name, "_doc") || str_is(name, "_shard_doc")) {
            t->addr_desc = s->sort[i].desc;
            by_doc = true;
            continue;
        }
        if (!log_field_resolve(p->ix, name, a, &p->key[p->nkeys]))
            return err_set(ERR_INVALID, "unknown field used in `sort by`: " STR_FMT, (int)MIN(name.n, 200u), name.p);
        t->desc[p->nkeys] = s->sort[i].desc;
        if (p->nkeys == 0 && !by_doc) t->addr_desc = s->sort[i].desc;
        p->nkeys++;
    }
    if (s->nsort == 0) {
        p->key[0] = (struct log_field){ .kind = LF_DATE, .refs = { log_time_ref(p->ix) }, .nrefs = 1 };
        t->desc[0] = true;
        p->nkeys = 1;
    }
    t->nkeys = p->nkeys;
    t->has_after = s->has_after;
    t->has_addr = s->has_after_addr;
    memcpy(t->after.key, s->after, sizeof s->after);
    t->after.addr = s->after_addr;
    return OK;
}

/* Narrows the time of the scan to what the filter says of it. */
static void plan_window(struct log_plan *p)
{
    struct scan_hint hints[SCAN_HINTS_MAX];
    uint32_t n = expr_hints(p->filter, hints, SCAN_HINTS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (hints[i].kind != HINT_I64_RANGE || !str_eq(hints[i].name, log_time_ref(p->ix).name)) continue;
        p->tmin = MAX(p->tmin, hints[i].min);
        p->tmax = MIN(p->tmax, hints[i].max);
    }
}

static err_t plan_make(struct log_plan *p, const struct log_search *s, const struct log_index *ix, struct arena *a)
{
    struct expr *kids[3];
    uint32_t n = 0;
    memset(p, 0, sizeof *p); /* a compound literal would stand on the fiber's stack */
    p->s = s;
    p->ix = ix;
    p->tmin = s->start_ns;
    p->tmax = s->end_ns == INT64_MAX ? INT64_MAX : s->end_ns - 1;
    expr_builder_init(&p->b, a);
    TRY(log_compile(ix, s->query, &p->b, &kids[n++]));
    if (s->start_ns != INT64_MIN)
        kids[n++] = expr_cmp(&p->b, log_time_ref(ix), CMP_GE, (struct val){ .type = COL_I64, .i64 = s->start_ns });
    if (s->end_ns != INT64_MAX)
        kids[n++] = expr_cmp(&p->b, log_time_ref(ix), CMP_LT, (struct val){ .type = COL_I64, .i64 = s->end_ns });
    p->filter = expr_and(&p->b, kids, n);
    TRY(expr_finish(&p->b, p->filter));
    TRY(aggs_specs(s->aggs, s->naggs, ix, &p->b, &p->aggs));
    plan_window(p);
    return plan_sort(p, a);
}

/* -- fragment --------------------------------------------------------------------------------------------------- */

enum { ADDR_COLS_MAX = 6, TEXT_ROWS_MAX = 64, TEXT_TURNS_MAX = 8 };

/* The texts of some rows of a chunk, decoded alone: few of a rowset's rows get in. Where many turns are needed all are. */
struct some_texts {
    uint32_t rows[TEXT_ROWS_MAX], n, turns; /* ascending or descending; turns in the current rowset */
    struct text_col {
        const struct column *col;
        bool packed;
    } cols[ATTR_COLS_MAX];
    uint32_t ncols;
};

struct run { /* one fragment at work */
    const struct log_plan *p;
    struct log_partial *out;
    struct arena *a;
    struct arena bind;                /* of the current rowset */
    struct op_scan scan;
    struct attr_reader key[TOPN_KEYS_MAX][LF_REFS_MAX];
    struct attr_reader addr[ADDR_COLS_MAX];
    uint32_t naddr, addr_bound;       /* bound: a bit a field, on first need in a rowset */
    uint64_t bound_seq;
    bool hits;                        /* may the rowset hold hits that get in? Else it is only counted */
    struct some_texts texts;
    uint32_t at;                      /* the place in the order in which the chunk's rows are offered */
    const struct column *first;       /* the first sort key where it is a plain integer column, or NULL */
};

/* The fields whose values make the address of a row: what tells it from others of the same instant. Texts come
 * last: they are only read for rows without a span id. */
static const char *const addr_logs[] = { "time", "trace_id", "span_id", "severity_number", "body" };
static const char *const addr_spans[] = { "start", "trace_id", "span_id" };
static const char *const addr_docs[] = { "time", "source" };
enum { ADDR_SPAN_ID = 2, ADDR_BODY = 4, ADDR_SOURCE = 1 };

static const char *const *addr_names(const struct run *r)
{
    enum signal sig = r->p->ix->signal;
    return sig == SIG_LOGS ? addr_logs : sig == SIG_SPANS ? addr_spans : addr_docs;
}

static bool is_text(const struct run *r, uint32_t i)
{
    enum signal sig = r->p->ix->signal;
    return sig == SIG_LOGS ? i == ADDR_BODY : sig == SIG_DOCS && i == ADDR_SOURCE;
}

static err_t bind_addr(struct run *r, uint32_t i)
{
    struct attr_ref ref = { .rel = REL_ROWS, .scope = SC_SELF, .name = str_of(addr_names(r)[i]) };
    if (r->addr_bound >> i & 1) return OK;
    r->addr_bound |= 1u << i;
    return attr_bind(&r->scan.src, &ref, &r->bind, &r->addr[i]);
}

static bool by_time(const struct log_plan *p)
{
    const struct attr_ref *ref = &p->key[0].refs[0];
    if (p->nkeys == 0 || p->key[0].kind != LF_DATE || p->key[0].nrefs == 0) return false;
    return ref->rel == REL_ROWS && ref->scope == SC_SELF && str_eq(ref->name, log_time_ref(p->ix).name);
}

/* Are the hits full of better ones than the current rowset and those after it can have? They come in the order of
 * their times when the hits are sorted by time. */
static bool settled(const struct run *r)
{
    const struct rowset *rs = &r->scan.rowset;
    if (r->p->top.n == 0) return true;
    if (!by_time(r->p) || rs->tmin_ns > rs->tmax_ns) return false;
    return op_topn_full_beyond(&r->out->top, r->p->top.desc[0] ? rs->tmax_ns : rs->tmin_ns);
}

static const struct column *first_key(const struct run *r)
{
    const struct log_field *f = &r->p->key[0];
    const struct attr_reader *a = &r->key[0][0];
    if (r->p->nkeys == 0 || f->nrefs != 1 || f->unit || f->refs[0].below || f->refs[0].rel != REL_ROWS) return NULL;
    return a->n == 1 && a->col[0]->type == COL_I64 ? a->col[0] : NULL;
}

static err_t bind_run(struct run *r)
{
    arena_reset(&r->bind);
    r->hits = !settled(r);
    for (uint32_t k = 0; r->hits && k < r->p->nkeys; k++)
        for (uint32_t i = 0; i < r->p->key[k].nrefs; i++)
            TRY(attr_bind(&r->scan.src, &r->p->key[k].refs[i], &r->bind, &r->key[k][i]));
    r->first = r->hits ? first_key(r) : NULL;
    r->addr_bound = 0;
    r->texts.n = r->texts.turns = 0;
    if (r->out->agg_open) TRY(op_agg_bind(&r->out->agg, &r->scan.src));
    r->bound_seq = r->scan.rowset_seq;
    return OK;
}

/* The row that is offered at place i. */
static uint32_t offered(const struct run *r, uint32_t i)
{
    const struct chunk *c = &r->scan.chunk;
    uint32_t at = r->p->nkeys && r->p->top.desc[0] ? c->nsel - 1 - i : i;
    return c->base + (c->sel ? c->sel[at] : at);
}

/* The texts of the row at hand and of those that are offered next. */
static err_t read_texts(struct run *r, struct str name)
{
    struct some_texts *t = &r->texts;
    const struct column_key *keys;
    uint32_t nkeys, ascending[TEXT_ROWS_MAX];
    t->turns++;
    t->n = MIN(r->scan.chunk.nsel - r->at, (uint32_t)TEXT_ROWS_MAX);
    t->ncols = 0;
    for (uint32_t i = 0; i < t->n; i++)
        t->rows[i] = offered(r, r->at + i);
    bool down = t->n > 1 && t->rows[0] > t->rows[1];
    for (uint32_t i = 0; i < t->n; i++)
        ascending[i] = t->rows[down ? t->n - 1 - i : i];
    memcpy(t->rows, ascending, t->n * sizeof *ascending);
    TRY(rowset_keys(&r->scan.rowset, REL_ROWS, &keys, &nkeys));
    for (uint32_t i = 0; i < nkeys && t->ncols < ATTR_COLS_MAX; i++) {
        if (keys[i].scope != SC_SELF || !str_eq(keys[i].name, name)) continue;
        struct text_col *c = &t->cols[t->ncols++];
        TRY(rowset_column_at(&r->scan.rowset, REL_ROWS, &keys[i], t->rows, t->n, &c->col, &c->packed));
    }
    return OK;
}

static uint32_t place_of(const struct some_texts *t, uint32_t row)
{
    uint32_t i = 0;
    while (i < t->n && t->rows[i] != row)
        i++;
    return i;
}

static err_t add_text(struct run *r, uint32_t i, uint32_t row, uint64_t *h)
{
    struct some_texts *t = &r->texts;
    uint32_t at = place_of(t, row);
    if (at == t->n && t->turns < TEXT_TURNS_MAX) {
        TRY(read_texts(r, str_of(addr_names(r)[i])));
        at = place_of(t, row);
    }
    bool some = at < t->n;
    if (!some) TRY(bind_addr(r, i));
    for (uint32_t c = 0; c < (some ? t->ncols : r->addr[i].n); c++) {
        struct val v = some ? column_val(t->cols[c].col, t->cols[c].packed ? at : row) : column_val(r->addr[i].col[c], row);
        if (v.type) *h = hash_u64(*h + val_hash(&v) + i);
    }
    return OK;
}

static err_t row_addr(struct run *r, uint32_t row, uint64_t *addr)
{
    uint64_t h = 0;
    bool has_span = false;
    for (uint32_t i = 0; i < r->naddr; i++) {
        if (is_text(r, i)) {
            if (!has_span) TRY(add_text(r, i, row, &h));
            continue;
        }
        TRY(bind_addr(r, i));
        for (uint32_t c = 0; c < r->addr[i].n; c++) {
            struct val v = column_val(r->addr[i].col[c], row);
            if (!v.type) continue;
            h = hash_u64(h + val_hash(&v) + i);
            has_span |= i == ADDR_SPAN_ID;
        }
    }
    *addr = h >> 11;
    return OK;
}

static struct val sort_key(struct run *r, uint32_t k, uint32_t row)
{
    const struct log_field *f = &r->p->key[k];
    const struct val *v;
    for (uint32_t i = 0; i < f->nrefs; i++) {
        if (f->refs[i].below || attr_read(&r->key[k][i], row, &v) == 0) continue;
        struct val out = *v;
        if (f->unit && out.type == COL_I64) out.i64 /= f->unit;
        return out;
    }
    return (struct val){ .type = f->missing.p ? COL_STR : 0, .s = f->missing };
}

static err_t offer_row(struct run *r, uint32_t row)
{
    struct op_topn *t = &r->out->top;
    struct topn_entry e = { .rowset = rows_place(r->scan.rows), .row = row };
    for (uint32_t k = 0; k < r->p->nkeys; k++)
        e.key[k] = sort_key(r, k, row);
    if (!op_topn_wants(t, e.key)) return OK;
    TRY(row_addr(r, row, &e.addr));
    (void)op_topn_offer(t, &e);
    return OK;
}

/* Rows mostly lie in ascending order of time: the newest first, so that they keep the others out. A row behind the
 * worst kept one by its first key alone is not looked at. */
static err_t offer_chunk(struct run *r)
{
    const struct chunk *c = &r->scan.chunk;
    bool desc = r->p->nkeys && r->p->top.desc[0];
    int64_t worst = 0;
    bool full = op_topn_worst_i64(&r->out->top, &worst);
    for (uint32_t i = 0; i < c->nsel; i++) {
        uint32_t row = offered(r, i);
        r->at = i;
        if (full && r->first && column_has(r->first, row)) {
            int64_t v = r->first->i64[row];
            if (desc ? v < worst : v > worst) continue;
        }
        TRY(offer_row(r, row));
        full = op_topn_worst_i64(&r->out->top, &worst);
    }
    return OK;
}

static err_t take_chunk(struct run *r)
{
    const struct chunk *c = &r->scan.chunk;
    struct log_partial *out = r->out;
    out->count += c->nsel;
    if (r->hits) TRY(offer_chunk(r));
    if (out->agg_open) TRY(op_agg_chunk(&out->agg, c));
    if (!r->hits && !out->agg_open) out->count += op_scan_rest(&r->scan);
    return arena_check(r->a);
}

struct wanted { /* the kept rows of one rowset, ascending */
    struct topn_entry **entry;
    uint32_t *rows;
    uint32_t n;
    const struct column *time;
    bool time_packed;
    struct source_reader src;
};

static err_t write_row(struct run *r, const struct wanted *w, uint32_t i)
{
    struct buf b;
    struct log_payload *p = ARENA_NEW(r->a, struct log_payload);
    uint32_t at = w->time_packed ? i : w->rows[i];
    w->entry[i]->payload = str_n(p, sizeof *p);
    if (w->time && column_has(w->time, at)) p->time_ns = w->time->i64[at];
    if (!r->p->s->want_source) return OK;
    buf_init(&b, SOURCE_BYTES_MAX, r->a->budget);
    source_write(&w->src, i, &b);
    err_t err = buf_check(&b);
    if (err == OK) p->source = arena_str(r->a, buf_view(&b));
    buf_deinit(&b);
    return err == OK ? arena_check(r->a) : err;
}

static int by_row(const void *a, const void *b)
{
    const struct topn_entry *const *x = a, *const *y = b;
    return (*x)->row < (*y)->row ? -1 : (*x)->row > (*y)->row;
}

static void find_wanted(struct run *r, uint32_t place, struct wanted *w)
{
    struct op_topn *t = &r->out->top;
    *w = (struct wanted){ 0 };
    w->entry = ARENA_RAW(&r->bind, struct topn_entry *, t->count);
    w->rows = ARENA_RAW(&r->bind, uint32_t, t->count);
    for (uint32_t i = 0; i < t->count; i++)
        if (t->heap[i].rowset == place && !t->heap[i].payload.p) w->entry[w->n++] = &t->heap[i];
    qsort(w->entry, w->n, sizeof *w->entry, by_row);
    for (uint32_t i = 0; i < w->n; i++)
        w->rows[i] = w->entry[i]->row;
}

/* The documents of the kept rows: only now are all columns read, of the rowsets that hold them, for these rows. */
static err_t write_rows(struct run *r)
{
    struct op_topn *t = &r->out->top;
    struct rowset rs;
    struct column_key time = { SC_SELF, COL_I64, log_time_ref(r->p->ix).name };
    for (uint32_t i = 0; i < t->count; i++) {
        struct wanted w;
        if (t->heap[i].payload.p) continue;
        uint32_t place = t->heap[i].rowset;
        arena_reset(&r->bind);
        find_wanted(r, place, &w);
        TRY(rows_again(r->scan.rows, place, &rs));
        TRY(rowset_column_at(&rs, REL_ROWS, &time, w.rows, w.n, &w.time, &w.time_packed));
        if (r->p->s->want_source) TRY(source_bind(&w.src, r->p->ix, &rs, w.rows, w.n, &r->bind));
        for (uint32_t k = 0; k < w.n; k++)
            TRY(write_row(r, &w, k));
        TRY(rt_checkpoint());
    }
    return OK;
}

/* Nobody asks for what is left. */
static bool may_stop(const struct run *r)
{
    return !r->p->s->count_all && !r->p->s->naggs && by_time(r->p) && settled(r);
}

static err_t run_scan(struct run *r)
{
    enum op_status st;
    for (;;) {
        TRY(op_scan_next(&r->scan, &st));
        if (st == OP_FINISHED) return OK;
        if (r->scan.rowset_seq != r->bound_seq) {
            if (may_stop(r)) return OK;
            TRY(bind_run(r));
        }
        TRY(take_chunk(r));
    }
}

err_t log_search_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    const struct log_plan *p = plan;
    struct run *r = ARENA_NEW(a, struct run);
    struct log_partial *out = ARENA_NEW(a, struct log_partial);
    err_t e = OK;
    r->p = p;
    r->out = out;
    r->a = a;
    enum signal sig = p->ix->signal;
    r->naddr = sig == SIG_LOGS ? ARRAY_LEN(addr_logs) : sig == SIG_SPANS ? ARRAY_LEN(addr_spans) : ARRAY_LEN(addr_docs);
    arena_init(&r->bind, q->budget);
    op_topn_init(&out->top, &p->top, a);
    struct scan_opts o = { .filter = p->filter, .builder = &p->b };
    o.req = (struct rows_req){ .signal = p->ix->signal, .tmin_ns = p->tmin, .tmax_ns = p->tmax };
    o.req.newest_first = p->nkeys == 0 || p->top.desc[0];
    o.req.oldest_first = !o.req.newest_first;
    if (p->ix->signal == SIG_DOCS) o.req.index = p->ix->stored;
    e = op_scan_open(&r->scan, v, &o, q->budget);
    if (e == OK && p->s->naggs) {
        out->agg_open = true;
        e = op_agg_init(&out->agg, p->aggs, p->s->naggs, a, AGG_BUCKETS_MAX);
    }
    if (e == OK) e = run_scan(r);
    if (e == OK) op_topn_close(&out->top);
    if (e == OK) e = write_rows(r);
    op_scan_close(&r->scan);
    if (out->agg_open) op_agg_deinit(&out->agg); /* its states live in the arena */
    arena_deinit(&r->bind);
    *partial = out;
    return e;
}

/* -- coordinator ------------------------------------------------------------------------------------------------- */

struct merged { /* across indexes */
    struct op_topn top;
    struct topn_spec spec;
    struct op_agg agg;
    bool agg_open;
};

/* Payloads and buckets of an index move out of the scatter's arenas. */
static void adopt_hits(struct query *q, struct merged *m, const struct log_index *ix, const struct op_topn *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct topn_entry e = from->heap[i];
        if (!op_topn_wants(&m->top, e.key)) continue;
        const struct log_payload *p = (const struct log_payload *)(const void *)e.payload.p;
        struct log_hit *h = ARENA_NEW(q->arena, struct log_hit);
        *h = (struct log_hit){ .index = ix->id, .source = arena_str(q->arena, p->source), .addr = e.addr, .time_ns = p->time_ns };
        for (uint32_t k = 0; k < m->spec.nkeys; k++) {
            h->key[k] = e.key[k];
            if (h->key[k].type >= COL_STR) h->key[k].s = arena_str(q->arena, h->key[k].s);
            e.key[k] = h->key[k];
        }
        e.payload = str_n(h, sizeof *h);
        struct op_topn one = { .heap = &e, .count = 1 };
        op_topn_merge(&m->top, &one);
    }
}

struct index_run {
    struct log_plan plan;
    struct scatter sc;
    bool ran;
};

static err_t run_index(struct query *q, struct index_run *x, struct merged *m, struct log_result *out)
{
    TRY(scatter_run(q, &LOG_SEARCH_KIND, &x->plan, &x->sc));
    x->ran = true;
    for (unsigned c = 0; c < x->sc.n; c++) {
        struct log_partial *p = x->sc.partials[c];
        out->num_hits += p->count;
        adopt_hits(q, m, x->plan.ix, &p->top);
        if (!p->agg_open) continue;
        if (!m->agg_open) TRY(op_agg_init(&m->agg, x->plan.aggs, x->plan.s->naggs, q->arena, AGG_BUCKETS_MAX));
        m->agg_open = true;
        TRY(op_agg_merge(&m->agg, &p->agg));
    }
    return OK;
}

static err_t finish_aggs(struct query *q, const struct log_search *s, struct merged *m, struct log_result *out)
{
    struct buf b;
    struct json_out j;
    err_t e = OK;
    if (s->naggs == 0) return OK;
    struct agg_state *none = ARENA_ARRAY(q->arena, struct agg_state, s->naggs);
    buf_init(&b, SOURCE_BYTES_MAX, q->budget);
    json_init(&j, &b);
    TRY_OUT(e, aggs_render(s->aggs, s->naggs, m->agg_open ? m->agg.root.subs : none, q->arena, &j));
    TRY_OUT(e, buf_check(&b));
    out->aggregations = arena_str(q->arena, buf_view(&b));
out:
    buf_deinit(&b);
    return e;
}

/* Rows that have the same keys and the same address differ in what else they hold, if at all. */
static int by_content(const void *pa, const void *pb)
{
    const struct log_hit *a = (const void *)((const struct topn_entry *)pa)->payload.p, *b = (const void *)((const struct topn_entry *)pb)->payload.p;
    int c = str_cmp(a->source, b->source);
    return c ? c : str_cmp(a->index, b->index);
}

static void finish_hits(struct query *q, const struct log_search *s, struct merged *m, struct log_result *out)
{
    op_topn_finish(&m->top, by_content);
    out->nkeys = m->spec.nkeys;
    out->hits = ARENA_ARRAY(q->arena, struct log_hit, m->top.count + 1);
    for (uint32_t i = s->offset; i < m->top.count; i++)
        out->hits[out->nhits++] = *(const struct log_hit *)(const void *)m->top.heap[i].payload.p;
}

err_t log_search(struct query *q, const struct log_search *s, const struct log_index *indexes, uint32_t n,
                 struct log_result *out)
{
    struct merged m = { 0 };
    err_t e = OK;
    *out = (struct log_result){ 0 };
    if (n > LOG_INDEXES_MAX) return err_set(ERR_LIMIT, "the search covers over %d indexes", LOG_INDEXES_MAX);
    struct index_run *runs = ARENA_ARRAY(q->arena, struct index_run, n + 1);
    op_topn_init(&m.top, &m.spec, q->arena);
    uint32_t planned = 0;
    for (; planned < n; planned++) {
        struct log_plan *p = &runs[planned].plan;
        e = plan_make(p, s, &indexes[planned], q->arena);
        m.spec = p->top;
        for (uint32_t k = 0; k < p->nkeys; k++)
            out->key_is_date[k] |= p->key[k].kind == LF_DATE;
        if (e != OK) {
            planned++;
            goto out;
        }
    }
    for (uint32_t i = 0; i < n; i++)
        TRY_OUT(e, run_index(q, &runs[i], &m, out));
    TRY_OUT(e, finish_aggs(q, s, &m, out));
    finish_hits(q, s, &m, out);
    TRY_OUT(e, arena_check(q->arena));
out:
    if (m.agg_open) op_agg_deinit(&m.agg);
    for (uint32_t i = 0; i < planned; i++) {
        if (runs[i].ran) scatter_free(&runs[i].sc);
        expr_builder_deinit(&runs[i].plan.b);
    }
    return e;
}
