#include "server/ingest/remote_write.h"

#include "server/ingest/rw_hist.h"
#include "server/ingest/text.h"

#include <snappy-c.h>
#include <stdio.h>

err_t rw_uncompress(struct str body, struct arena *a, struct str *out)
{
    size_t n;
    if (snappy_uncompressed_length(body.p, body.n, &n) != SNAPPY_OK)
        return err_set(ERR_INVALID, "the body is not a snappy block");
    if (n > RW_BODY_MAX)
        return err_set(ERR_TOO_LARGE, "the snappy block declares %zu bytes, at most %d", n, RW_BODY_MAX);
    char *p = arena_alloc_aligned(a, n + 1, 1);
    TRY(arena_check(a));
    if (snappy_uncompress(body.p, body.n, p, &n) != SNAPPY_OK)
        return err_set(ERR_INVALID, "the body is not a valid snappy block");
    *out = (struct str){ p, n };
    return OK;
}

enum { LOOKAHEAD = 16 };
struct pending;
struct decoder {
    struct rw_generation *g;
    struct metric_builder *b;
    struct rw_stats *st;
    /* 2.0: */
    struct str *symbols;
    struct rw_key *symbol_keys; /* made when first used; lo == 0: not yet */
    uint32_t nsymbols;
    /* the scratch of a series */
    struct label *labels;
    size_t nlabels, labels_cap;
    /* 1.0: series whose lookup is under way */
    struct pending *pending; /* [LOOKAHEAD] */
    uint32_t npending;
};

/* What is left out is named once and counted; the detail is the current error's. */
static void leave_out(struct decoder *d, const char *what)
{
    if (d->st->bad++ == 0) snprintf(d->st->why, sizeof d->st->why, "%s: %s", what, err_detail());
}

static uint32_t batch_index(struct decoder *d, uint32_t series)
{
    struct rw_series *s = &d->g->series[series];
    if (s->stamp != d->g->stamp) {
        s->stamp = d->g->stamp;
        s->batch_idx = metric_builder_new_series(d->b, s->id, s->canonical);
    }
    return s->batch_idx;
}

static err_t sample(const struct wire *w, struct str bytes, uint32_t idx, struct decoder *d)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    double v = 0;
    int64_t t = 0, st = ST_NONE;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_64(1): v = wire_f64(f.v); break;
        case WIRE_VARINT(2): t = (int64_t)f.v; break;
        case WIRE_VARINT(3): st = (int64_t)f.v; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3), "Sample"));
        }
    }
    metric_builder_sample(d->b, idx, t, v, st);
    d->st->samples++;
    return OK;
}

/* The form that senders write: the value unless it is 0, the time, nothing else. */
static inline bool plain_sample(const uint8_t *p, const uint8_t *end, double *v, int64_t *t)
{
    uint64_t bits = 0, time;
    if (end - p > 9 && *p == WIRE_64(1)) {
        memcpy(&bits, p + 1, 8);
        p += 9;
    }
    if (p == end || *p != WIRE_VARINT(2) || wire_varint(p + 1, end, &time) != end) return false;
    *v = wire_f64(bits);
    *t = (int64_t)time;
    return true;
}

/* A sample in a TimeSeries of either version whose length is one byte: where it ends, or NULL. */
static inline const uint8_t *short_sample(const struct wire *in)
{
    const uint8_t *p = in->p;
    return in->end - p >= 2 && p[0] == WIRE_LEN(2) && p[1] < 0x80 && p[1] <= in->end - p - 2 ? p + 2 + p[1] : NULL;
}

/* Takes the plain samples that come next. */
static void plain_samples(struct wire *in, uint32_t idx, struct decoder *d)
{
    const uint8_t *end;
    double v;
    int64_t t;
    while ((end = short_sample(in)) && plain_sample(in->p + 2, end, &v, &t)) {
        metric_builder_sample(d->b, idx, t, v, ST_NONE);
        d->st->samples++;
        in->p = end;
    }
}

static err_t histogram(const struct wire *w, struct str bytes, uint32_t idx, struct decoder *d)
{
    const struct nhist *h;
    int64_t t, st;
    TRY(rw_hist(w, bytes, d->b->arena, &h, &t, &st));
    if (!h) {
        leave_out(d, "histogram");
        return OK;
    }
    metric_builder_hist(d->b, idx, t, h, st);
    d->st->histograms++;
    return OK;
}

/* -- labels --------------------------------------------------------------------------------------------- */

static void push_label(struct decoder *d, struct str name, struct str value)
{
    d->labels = arena_grow(d->b->arena, d->labels, d->nlabels, &d->labels_cap, d->nlabels + 1, sizeof *d->labels);
    d->labels[d->nlabels++] = (struct label){ name, value };
}

static err_t label_v1(const struct wire *w, struct str bytes, struct decoder *d)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    struct str name = STR(""), value = STR("");
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): name = f.bytes; break;
        case WIRE_LEN(2): value = f.bytes; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2), "Label"));
        }
    }
    push_label(d, name, value);
    return OK;
}

static err_t labels_v1(struct wire in, struct decoder *d)
{
    struct wire_field f;
    d->nlabels = 0;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        if (f.tag == WIRE_LEN(1)) TRY(label_v1(&in, f.bytes, d));
    }
    return OK;
}

static err_t symbol(struct decoder *d, uint64_t ref, struct str *out)
{
    if (ref >= d->nsymbols)
        return err_set(ERR_INVALID, "symbol %llu of %u", (unsigned long long)ref, d->nsymbols);
    *out = d->symbols[ref];
    return OK;
}

/* Labels of packed references. */
static err_t labels_v2(const struct wire *w, struct str refs, struct decoder *d)
{
    struct wire in = wire_sub(w, refs);
    d->nlabels = 0;
    while (wire_more(&in)) {
        uint64_t name_ref, value_ref;
        struct str name, value;
        TRY(wire_packed_varint(&in, &name_ref));
        if (!wire_more(&in)) return err_set(ERR_INVALID, "an odd number of labels_refs");
        TRY(wire_packed_varint(&in, &value_ref));
        TRY(symbol(d, name_ref, &name));
        TRY(symbol(d, value_ref, &value));
        push_label(d, name, value);
    }
    return OK;
}

/* The labels at hand as a new entry of the cache. False: they are left out. */
static bool add(struct decoder *d, struct rw_key key, uint32_t *series)
{
    struct labels ls = { (uint32_t)d->nlabels, d->labels };
    if (rw_add(d->g, key, &ls, d->b->arena, series) == OK) return true;
    leave_out(d, "series");
    return false;
}

/* -- exemplars ---------------------------------------------------------------------------------------------- */

static err_t put_exemplar(struct decoder *d, uint32_t idx, double value, int64_t t_ms)
{
    uint8_t trace[16], span[8];
    bool has_trace = false, has_span = false;
    int64_t ns;
    for (size_t i = 0; i < d->nlabels; i++) {
        if (!has_trace && str_is(d->labels[i].name, "trace_id")) has_trace = str_from_hex(d->labels[i].value, trace, 16);
        if (!has_span && str_is(d->labels[i].name, "span_id")) has_span = str_from_hex(d->labels[i].value, span, 8);
    }
    if (__builtin_mul_overflow(t_ms, (int64_t)NS_PER_MS, &ns)) {
        (void)err_set(ERR_INVALID, "its time is out of range");
        leave_out(d, "exemplar");
        return OK;
    }
    if (!metric_builder_exemplar(d->b, idx, ns, value, has_trace ? trace : NULL, has_span ? span : NULL)) return OK;
    for (size_t i = 0; i < MIN(d->nlabels, (size_t)LABELS_MAX); i++) {
        const struct label *l = &d->labels[i];
        if ((has_trace && str_is(l->name, "trace_id")) || (has_span && str_is(l->name, "span_id"))) continue;
        if (l->name.n == 0 || l->name.n > TABLE_NAME_MAX || !text_ok(l->name)) continue;
        table_set_str(d->b->exemplars, SC_ATTR, l->name, COL_STR, text_mend(l->value, d->b->arena));
    }
    d->st->exemplars++;
    return OK;
}

static err_t exemplar(const struct wire *w, struct str bytes, uint32_t idx, bool v2, struct decoder *d)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    double v = 0;
    int64_t t = 0;
    d->nlabels = 0;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): TRY(v2 ? labels_v2(&in, f.bytes, d) : label_v1(&in, f.bytes, d)); break;
        case WIRE_64(2): v = wire_f64(f.v); break;
        case WIRE_VARINT(3): t = (int64_t)f.v; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3), "Exemplar"));
        }
    }
    return put_exemplar(d, idx, v, t);
}

/* -- metadata ----------------------------------------------------------------------------------------------- */

static struct str type_name(uint64_t type)
{
    static const char *const names[] = { "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info",
                                         "stateset" };
    return str_of(names[type < ARRAY_LEN(names) ? type : 0]);
}

static err_t metadata_v1(const struct wire *w, struct str bytes, struct decoder *d)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    struct metric_meta m = { .family = STR(""), .type = STR("unknown"), .unit = STR(""), .help = STR("") };
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_VARINT(1): m.type = type_name(f.v); break;
        case WIRE_LEN(2): m.family = text_mend(f.bytes, d->b->arena); break;
        case WIRE_LEN(4): m.help = text_mend(f.bytes, d->b->arena); break;
        case WIRE_LEN(5): m.unit = text_mend(f.bytes, d->b->arena); break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(4) | WIRE_BIT(5), "MetricMetadata"));
        }
    }
    if (m.family.n > 0 && m.family.n <= LABEL_VALUE_MAX) metric_builder_meta(d->b, &m);
    return OK;
}

/* The family of a series: classic histograms and summaries are told under their series' names. */
static struct str family_of(struct str name, uint64_t type)
{
    static const char *const parts[] = { "_bucket", "_count", "_sum" };
    if (type != 3 && type != 4 && type != 5) return name;
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
        if (str_ends(name, str_of(parts[i])) && name.n > strlen(parts[i]))
            return str_sub(name, 0, name.n - strlen(parts[i]));
    return name;
}

static err_t metadata_v2(const struct wire *w, struct str bytes, uint32_t series, struct decoder *d)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    uint64_t type = 0, help = 0, unit = 0;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_VARINT(1): type = f.v; break;
        case WIRE_VARINT(3): help = f.v; break;
        case WIRE_VARINT(4): unit = f.v; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(3) | WIRE_BIT(4), "Metadata"));
        }
    }
    if (type == 0 && help == 0 && unit == 0) return OK;
    struct metric_meta m = { .family = family_of(d->g->series[series].name, type), .type = type_name(type) };
    TRY(symbol(d, help, &m.help));
    TRY(symbol(d, unit, &m.unit));
    m.help = text_mend(m.help, d->b->arena);
    m.unit = text_mend(m.unit, d->b->arena);
    metric_builder_meta(d->b, &m);
    return OK;
}

/* -- series --------------------------------------------------------------------------------------------------- */

/* The run of labels at the head of a 1.0 TimeSeries, as it stands: that is what is hashed. */
static err_t label_run(struct wire *w, struct str *run)
{
    const uint8_t *from = w->p;
    struct wire_field f;
    while (wire_more(w) && *w->p == WIRE_LEN(1))
        TRY(wire_next(w, &f));
    *run = str_n(from, (size_t)(w->p - from));
    return OK;
}

static err_t points_v1(struct wire in, uint32_t idx, bool *more_labels, struct decoder *d)
{
    struct wire_field f;
    for (plain_samples(&in, idx, d); wire_more(&in); plain_samples(&in, idx, d)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): *more_labels = true; return OK;
        case WIRE_LEN(2): TRY(sample(&in, f.bytes, idx, d)); break;
        case WIRE_LEN(3): TRY(exemplar(&in, f.bytes, idx, false, d)); break;
        case WIRE_LEN(4): TRY(histogram(&in, f.bytes, idx, d)); break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3) | WIRE_BIT(4), "TimeSeries"));
        }
    }
    return OK;
}

/* Are there labels behind the run? Then it does not name the series. */
static err_t scattered(struct wire in, bool *yes)
{
    struct wire_field f;
    *yes = false;
    while (wire_more(&in)) {
        const uint8_t *behind = short_sample(&in);
        if (behind) {
            in.p = behind;
            continue;
        }
        TRY(wire_next(&in, &f));
        if (f.tag == WIRE_LEN(1)) *yes = true;
    }
    return OK;
}

/* A 1.0 TimeSeries whose key is known and not yet looked up. The cache of series is far bigger than the processor's:
 * some are gathered, so that their lookups wait for memory together. */
struct pending {
    struct wire all, points; /* the message; what follows its first labels */
    struct rw_key key;
    bool mixed; /* labels behind points: rare */
};

static err_t begin_v1(const struct wire *w, struct str bytes, struct decoder *d)
{
    struct pending *p = &d->pending[d->npending];
    struct str run;
    p->all = p->points = wire_sub(w, bytes);
    TRY(label_run(&p->points, &run));
    TRY(scattered(p->points, &p->mixed));
    p->key = rw_key_of(p->mixed ? bytes : run);
    rw_prefetch(d->g, p->key);
    d->npending++;
    return OK;
}

static err_t series_v1(const struct pending *p, struct decoder *d)
{
    struct wire all = p->all;
    bool more = false;
    uint32_t series = rw_find(d->g, p->key);
    if (series == UINT32_MAX) {
        TRY(labels_v1(all, d));
        if (!add(d, p->key, &series)) return OK;
    }
    uint32_t idx = batch_index(d, series);
    if (!p->mixed) return points_v1(p->points, idx, &more, d);
    struct wire_field f;
    while (wire_more(&all)) {
        struct wire one = all;
        TRY(wire_next(&all, &f));
        if (f.tag == WIRE_LEN(1)) continue;
        one.end = all.p;
        TRY(points_v1(one, idx, &more, d));
    }
    return OK;
}

static err_t finish_v1(struct decoder *d)
{
    for (uint32_t i = 0; i < d->npending; i++)
        rw_prefetch_series(d->g, d->pending[i].key);
    for (uint32_t i = 0; i < d->npending; i++)
        TRY(series_v1(&d->pending[i], d));
    d->npending = 0;
    return OK;
}

static err_t key_v2(const struct wire *w, struct str refs, struct decoder *d, struct rw_key *key)
{
    struct wire in = wire_sub(w, refs);
    *key = (struct rw_key){ 1, 2 };
    for (uint64_t ref; wire_more(&in);) {
        TRY(wire_packed_varint(&in, &ref));
        if (ref >= d->nsymbols)
            return err_set(ERR_INVALID, "symbol %llu of %u", (unsigned long long)ref, d->nsymbols);
        struct rw_key *k = &d->symbol_keys[ref];
        if (k->lo == 0) {
            *k = rw_key_of(d->symbols[ref]);
            k->lo |= 1;
        }
        *key = rw_key_mix(*key, *k);
    }
    return OK;
}

/* Packed references, gathered when they are not packed or come in pieces. */
static err_t refs_v2(struct wire in, struct decoder *d, struct str *refs)
{
    struct wire_field f;
    char *all = NULL;
    size_t n = 0, cap = 0;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        uint8_t one[VARINT_MAX];
        struct str piece = f.bytes;
        if (f.tag == WIRE_VARINT(1))
            piece = str_n(one, varint_put(one, f.v));
        else if (f.tag != WIRE_LEN(1))
            continue;
        if (piece.n == 0) continue;
        all = arena_grow(d->b->arena, all, n, &cap, n + piece.n, 1);
        memcpy(all + n, piece.p, piece.n);
        n += piece.n;
    }
    *refs = (struct str){ all, n };
    return OK;
}

static void default_start(struct decoder *d, uint32_t sample_from, uint32_t hist_from, int64_t st)
{
    struct metric_batch *m = &d->b->batch;
    if (st == ST_NONE) return;
    if (sample_from < m->nsamples) metric_builder_starts(d->b);
    for (uint32_t i = sample_from; i < m->nsamples; i++)
        if (m->st_ms[i] == ST_NONE) m->st_ms[i] = st;
    for (uint32_t i = hist_from; i < m->nhists; i++)
        if (m->hst_ms[i] == ST_NONE) {
            m->hst_ms[i] = st;
            d->b->any_hst = true;
        }
}

static err_t points_v2(struct wire in, uint32_t series, struct decoder *d)
{
    uint32_t idx = batch_index(d, series), sample_from = d->b->batch.nsamples, hist_from = d->b->batch.nhists;
    struct wire_field f;
    int64_t created = ST_NONE;
    for (; wire_more(&in); plain_samples(&in, idx, d)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1):
        case WIRE_VARINT(1): break;
        case WIRE_LEN(2): TRY(sample(&in, f.bytes, idx, d)); break;
        case WIRE_LEN(3): TRY(histogram(&in, f.bytes, idx, d)); break;
        case WIRE_LEN(4): TRY(exemplar(&in, f.bytes, idx, true, d)); break;
        case WIRE_LEN(5): TRY(metadata_v2(&in, f.bytes, series, d)); break;
        case WIRE_VARINT(6): created = (int64_t)f.v; break;
        default: TRY(wire_other(&in, &f, 0x7eu, "TimeSeries"));
        }
    }
    default_start(d, sample_from, hist_from, created);
    return OK;
}

static err_t series_v2(const struct wire *w, struct str bytes, struct decoder *d)
{
    struct wire in = wire_sub(w, bytes);
    struct rw_key key;
    struct str refs;
    /* The common case: one packed field, first. */
    struct wire head = in;
    struct wire_field f;
    if (wire_more(&head) && *head.p == WIRE_LEN(1)) TRY(wire_next(&head, &f));
    bool simple = head.p != in.p && !(wire_more(&head) && (*head.p == WIRE_LEN(1) || *head.p == WIRE_VARINT(1)));
    if (simple)
        refs = f.bytes;
    else
        TRY(refs_v2(in, d, &refs));
    TRY(key_v2(w, refs, d, &key));
    uint32_t series = rw_find(d->g, key);
    if (series == UINT32_MAX) {
        TRY(labels_v2(w, refs, d));
        if (!add(d, key, &series)) return OK;
    }
    return points_v2(in, series, d);
}

/* -- requests --------------------------------------------------------------------------------------------------- */

enum { CHECK_EVERY = 1024 };

err_t rw_decode_v1(struct str request, struct rw_generation *g, struct metric_builder *b, struct rw_stats *st)
{
    struct pending pending[LOOKAHEAD];
    struct decoder d = { .g = g, .b = b, .st = st, .pending = pending };
    struct wire w = wire_of(request);
    struct wire_field f;
    *st = (struct rw_stats){ 0 };
    for (unsigned i = 0; wire_more(&w); i++) {
        TRY(wire_next(&w, &f));
        switch (f.tag) {
        case WIRE_LEN(1):
            if (d.npending == LOOKAHEAD) TRY(finish_v1(&d));
            TRY(begin_v1(&w, f.bytes, &d));
            break;
        case WIRE_LEN(3): TRY(metadata_v1(&w, f.bytes, &d)); break;
        default: TRY(wire_other(&w, &f, WIRE_BIT(1) | WIRE_BIT(3), "WriteRequest"));
        }
        if (i % CHECK_EVERY == 0) TRY(metric_builder_check(b));
    }
    TRY(finish_v1(&d));
    return metric_builder_check(b);
}

static err_t read_symbols(struct wire w, struct decoder *d)
{
    struct wire_field f;
    size_t cap = 0;
    while (wire_more(&w)) {
        TRY(wire_next(&w, &f));
        if (f.tag != WIRE_LEN(4)) {
            if (f.tag >> 3 == 1 || f.tag >> 3 == 3)
                return err_set(ERR_INVALID, "the body is a remote write 1.0 message, its content type says 2.0");
            continue;
        }
        if (d->nsymbols == RW_SYMBOLS_MAX) return err_set(ERR_INVALID, "more than %d symbols", RW_SYMBOLS_MAX);
        d->symbols = arena_grow(d->b->arena, d->symbols, d->nsymbols, &cap, (size_t)d->nsymbols + 1, sizeof *d->symbols);
        d->symbols[d->nsymbols++] = f.bytes;
    }
    TRY(arena_check(d->b->arena));
    d->symbol_keys = arena_calloc(d->b->arena, d->nsymbols, sizeof *d->symbol_keys);
    return OK;
}

err_t rw_decode_v2(struct str request, struct rw_generation *g, struct metric_builder *b, struct rw_stats *st)
{
    struct decoder d = { .g = g, .b = b, .st = st };
    struct wire w = wire_of(request);
    struct wire_field f;
    *st = (struct rw_stats){ 0 };
    TRY(read_symbols(w, &d));
    for (unsigned i = 0; wire_more(&w); i++) {
        TRY(wire_next(&w, &f));
        if (f.tag == WIRE_LEN(5))
            TRY(series_v2(&w, f.bytes, &d));
        else
            TRY(wire_other(&w, &f, f.tag == WIRE_LEN(4) ? 0 : WIRE_BIT(4) | WIRE_BIT(5), "Request"));
        if (i % CHECK_EVERY == 0) TRY(metric_builder_check(b));
    }
    return metric_builder_check(b);
}
