/* Log records by a predicate: counts, and the first or the last of them. */
#include "query/correlate/wire.h"

#include "base/core/hash.h"
#include "query/ops/op_scan.h"

const char *const corr_severity_names[SEVERITIES] = { "UNSET", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };

static const struct { const char *name; enum corr_severity severity; } spellings[] = {
    { "trace", SEV_TRACE }, { "debug", SEV_DEBUG }, { "info", SEV_INFO }, { "warn", SEV_WARN }, { "warning", SEV_WARN },
    { "error", SEV_ERROR }, { "fatal", SEV_FATAL }, { "critical", SEV_FATAL },
};

enum { F_SEVERITY_TEXT, F_BODY, F_SERVICE, F_TRACE, F_SPAN, FIELDS };
static const struct attr_ref fields[FIELDS] = {
    [F_SEVERITY_TEXT] = { .rel = REL_ROWS, .scope = SC_SELF, .name = { "severity_text", 13 } },
    [F_BODY] = { .rel = REL_ROWS, .scope = SC_SELF, .name = { "body", 4 } },
    [F_SERVICE] = { .rel = REL_RESOURCE, .scope = SC_ATTR, .name = { "service.name", 12 } },
    [F_TRACE] = { .rel = REL_ROWS, .scope = SC_SELF, .name = { "trace_id", 8 } },
    [F_SPAN] = { .rel = REL_ROWS, .scope = SC_SELF, .name = { "span_id", 7 } },
};

struct find {
    const struct corr_logs_req *rq;
    struct arena *a, bind;
    struct corr_logs_part *out;
    struct op_scan scan;
    uint64_t bound_seq;
    struct attr_reader field[FIELDS];
    struct touched_reader reader;
    struct htab spans;
    size_t spans_cap;
    struct corr_log **offered; /* by topn_entry.row: the records that were let in at their time */
    uint32_t noffered;
    size_t offered_cap;
};

/* -- one record ------------------------------------------------------------------------------------------------------ */
static int64_t i64_at(const struct vec *v, uint32_t i)
{
    if (v->form == VEC_CONST) i = 0;
    return v->valid && !(v->valid[i / 64] >> (i % 64) & 1) ? 0 : v->i64[i];
}

static struct val field_at(struct find *f, int field, uint32_t row)
{
    for (uint32_t i = 0; i < f->field[field].n; i++) {
        const struct attr_reader *r = &f->field[field];
        struct val v = column_val(r->col[i], r->map ? r->map[row] : row);
        if (v.type) return v;
    }
    return (struct val){ 0 };
}

static struct str text_at(struct find *f, int field, uint32_t row)
{
    struct val v = field_at(f, field, row);
    if (v.type == COL_STR || v.type == COL_JSON) return v.s;
    if (v.type == COL_I64) return arena_printf(f->a, "%lld", (long long)v.i64);
    if (v.type == COL_F64) return arena_printf(f->a, "%.17g", v.f64);
    if (v.type == COL_BOOL) return v.boolean ? STR("true") : STR("false");
    return STR("");
}

static enum corr_severity severity_of(struct find *f, int64_t number, uint32_t row)
{
    if (number > 0) return number <= 24 ? (enum corr_severity)((number + 3) / 4) : SEV_FATAL;
    struct str text = field_at(f, F_SEVERITY_TEXT, row).s;
    for (size_t i = 0; text.n && i < ARRAY_LEN(spellings); i++)
        if (str_ieq(text, str_of(spellings[i].name))) return spellings[i].severity;
    return SEV_UNSET;
}

static bool id_at(struct find *f, int field, uint32_t row, uint8_t *id, size_t n)
{
    struct val v = field_at(f, field, row);
    if (v.type != COL_FIX || v.s.n != n) return false;
    memcpy(id, v.s.p, n);
    return true;
}

static void offer(struct find *f, int64_t time, enum corr_severity severity, uint32_t row)
{
    struct topn_entry e = { .key[0] = { .type = COL_I64, .i64 = time } };
    if (!op_topn_wants(&f->out->top, e.key)) return;
    struct corr_log *l = ARENA_NEW(f->a, struct corr_log);
    l->time_ns = time;
    l->severity = arena_str(f->a, text_at(f, F_SEVERITY_TEXT, row));
    if (!l->severity.n && severity) l->severity = str_of(corr_severity_names[severity]);
    l->service = arena_str(f->a, text_at(f, F_SERVICE, row));
    l->body = arena_str(f->a, str_sub(text_at(f, F_BODY, row), 0, CORR_BODY_MAX));
    l->has_trace = id_at(f, F_TRACE, row, l->trace_id, 16);
    l->has_span = id_at(f, F_SPAN, row, l->span_id, 8);
    e.addr = hash64(l->body) + hash64(l->service) + hash64_with(l->severity, 1) + hash64(str_n(l->trace_id, 16)) + hash64(str_n(l->span_id, 8));
    e.row = f->noffered;
    if (!op_topn_offer(&f->out->top, &e)) return;
    f->offered = arena_grow(f->a, f->offered, f->noffered, &f->offered_cap, f->noffered + 1, sizeof(struct corr_log *));
    f->offered[f->noffered++] = l;
}

static void hand_over(struct find *f)
{
    for (uint32_t i = 0; i < f->out->top.count; i++) {
        struct topn_entry *e = &f->out->top.heap[i];
        e->payload = str_n(f->offered[e->row], sizeof(struct corr_log));
    }
}

static void count_span(struct find *f, uint32_t row)
{
    struct corr_logs *out = &f->out->logs;
    struct corr_span_logs s = { .n = 1 };
    if (!id_at(f, F_SPAN, row, s.span_id, 8)) return;
    uint64_t h = hash_seeded64(str_n(s.span_id, 8));
    for (uint32_t it = 0, i; htab_next(&f->spans, h, &it, &i);)
        if (memcmp(out->spans[i].span_id, s.span_id, 8) == 0) {
            out->spans[i].n++;
            return;
        }
    if (out->nspans == CORR_LOG_SPANS_MAX) {
        out->more_spans = true;
        return;
    }
    out->spans = arena_grow(f->a, out->spans, out->nspans, &f->spans_cap, out->nspans + 1, sizeof s);
    htab_insert(&f->spans, h, out->nspans);
    out->spans[out->nspans++] = s;
}

/* -- the fragment ------------------------------------------------------------------------------------------------------ */
static err_t bind(struct find *f)
{
    arena_reset(&f->bind);
    for (int i = 0; i < FIELDS; i++)
        TRY(attr_bind(&f->scan.src, &fields[i], &f->bind, &f->field[i]));
    TRY(touched_bind(&f->reader, &f->scan.rowset, &f->bind));
    f->bound_seq = f->scan.rowset_seq;
    return OK;
}

static err_t take_chunk(struct find *f)
{
    const struct chunk *c = &f->scan.chunk;
    struct corr_logs *out = &f->out->logs;
    for (uint32_t k = 0; k < c->nsel; k++) {
        uint32_t i = c->sel ? c->sel[k] : k, row = c->base + i;
        int64_t time = i64_at(&c->cols[0], i);
        enum corr_severity severity = severity_of(f, i64_at(&c->cols[1], i), row);
        out->total++;
        out->errors += severity >= SEV_ERROR;
        out->by_severity[severity]++;
        out->first_ns = MIN(out->first_ns, time);
        out->last_ns = MAX(out->last_ns, time);
        if (f->rq->by_span) count_span(f, row);
        touched_row(&f->reader, &out->touched, row);
        offer(f, time, severity, row);
    }
    return arena_check(f->a);
}

static err_t scan_all(struct find *f, struct query *q, struct view *v)
{
    static const struct scan_spec cols[] = {
        { REL_ROWS, SC_SELF, { "time", 4 }, COL_I64 }, { REL_ROWS, SC_SELF, { "severity_number", 15 }, COL_I64 },
    };
    struct scan_opts o = { .req = { .signal = SIG_LOGS, .tmin_ns = f->rq->window.start_ns, .tmax_ns = f->rq->window.end_ns,
                                    .newest_first = f->rq->newest_first, .oldest_first = !f->rq->newest_first },
                           .filter = f->rq->filter, .builder = f->rq->builder, .cols = cols, .ncols = ARRAY_LEN(cols) };
    TRY(op_scan_open(&f->scan, v, &o, q->budget));
    for (;;) {
        enum op_status status;
        TRY(op_scan_next(&f->scan, &status));
        if (status == OP_FINISHED) return OK;
        if (f->scan.rowset_seq != f->bound_seq) TRY(bind(f));
        TRY(take_chunk(f));
    }
}

static void start_counts(struct corr_logs *l, struct arena *a)
{
    *l = (struct corr_logs){ .first_ns = INT64_MAX, .last_ns = INT64_MIN };
    touched_init(&l->touched, a);
}

err_t corr_logs_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    struct find *f = ARENA_NEW(a, struct find);
    struct corr_logs_part *out = ARENA_NEW(a, struct corr_logs_part);
    f->rq = plan;
    f->a = a;
    f->out = out;
    arena_init(&f->bind, q->budget);
    htab_init(&f->spans, q->budget);
    start_counts(&out->logs, a);
    out->spec = (struct topn_spec){ .nkeys = 1, .desc[0] = f->rq->newest_first, .n = CORR_LOGS_MAX };
    op_topn_init(&out->top, &out->spec, a);
    *partial = out;
    err_t e = scan_all(f, q, v);
    if (e == OK) hand_over(f);
    op_scan_close(&f->scan);
    htab_deinit(&f->spans);
    arena_deinit(&f->bind);
    touched_deinit(&out->logs.touched);
    return e;
}

/* -- the merge ------------------------------------------------------------------------------------------------------------ */
static void merge_counts(struct corr_logs *into, const struct corr_logs *from, struct arena *a)
{
    into->total += from->total;
    into->errors += from->errors;
    for (int i = 0; i < SEVERITIES; i++)
        into->by_severity[i] += from->by_severity[i];
    into->first_ns = MIN(into->first_ns, from->first_ns);
    into->last_ns = MAX(into->last_ns, from->last_ns);
    into->more_spans |= from->more_spans;
    touched_merge(&into->touched, &from->touched);
    /* A trace is on one core, so no span is on two. */
    struct corr_span_logs *spans = ARENA_RAW(a, struct corr_span_logs, into->nspans + from->nspans + 1);
    if (into->nspans) memcpy(spans, into->spans, into->nspans * sizeof *spans);
    if (from->nspans) memcpy(spans + into->nspans, from->spans, from->nspans * sizeof *spans);
    into->spans = spans;
    into->nspans += from->nspans;
}

err_t corr_logs(struct query *q, const struct corr_logs_req *rq, struct corr_logs *out)
{
    const struct topn_spec spec = { .nkeys = 1, .desc[0] = rq->newest_first, .n = CORR_LOGS_MAX };
    struct op_topn top;
    struct scatter sc;
    start_counts(out, q->arena);
    TRY(scatter_run(q, &CORR_LOGS_KIND, rq, &sc));
    op_topn_init(&top, &spec, q->arena);
    for (unsigned i = 0; i < sc.n; i++) {
        const struct corr_logs_part *part = sc.partials[i];
        merge_counts(out, &part->logs, q->arena);
        op_topn_merge(&top, &part->top);
    }
    op_topn_finish(&top, NULL);
    out->v = ARENA_RAW(q->arena, struct corr_log, top.count + 1);
    for (uint32_t i = 0; i < top.count; i++) {
        struct corr_log *l = &out->v[out->n++];
        *l = *(const struct corr_log *)(const void *)top.heap[i].payload.p;
        l->severity = arena_str(q->arena, l->severity);
        l->service = arena_str(q->arena, l->service);
        l->body = arena_str(q->arena, l->body);
    }
    scatter_free(&sc);
    return arena_check(q->arena);
}
