#include "server/ingest/rw_hist.h"

struct numbers {
    double *v;
    uint32_t n;
    size_t cap;
};

struct side {
    struct nhist_span *spans;
    uint32_t nspans;
    size_t spans_cap;
    struct numbers deltas, counts; /* deltas: already summed up */
};

static err_t push(struct numbers *to, double v, struct arena *a)
{
    if (to->n == NHIST_BUCKETS_MAX) return err_set(ERR_INVALID, "a histogram of more than %d buckets", NHIST_BUCKETS_MAX);
    to->v = arena_grow(a, to->v, to->n, &to->cap, (size_t)to->n + 1, sizeof *to->v);
    to->v[to->n++] = v;
    return OK;
}

static err_t push_doubles(const struct wire *w, struct str packed, struct numbers *to, struct arena *a)
{
    if (packed.n % 8 != 0)
        return err_set(ERR_INVALID, "malformed protobuf before byte %zu: packed doubles of %zu bytes",
                       (size_t)(w->p - w->base), packed.n);
    for (size_t i = 0; i < packed.n / 8; i++)
        TRY(push(to, wire_f64(wire_fixed64_at(packed, i)), a));
    return OK;
}

/* The running count behind the last bucket; integers below 2^53 are exact. */
static err_t push_delta(struct numbers *to, uint64_t zz, struct arena *a)
{
    double before = to->n ? to->v[to->n - 1] : 0;
    return push(to, before + (double)unzigzag(zz), a);
}

static err_t push_deltas(const struct wire *w, struct str packed, struct numbers *to, struct arena *a)
{
    struct wire in = wire_sub(w, packed);
    for (uint64_t v; wire_more(&in);) {
        TRY(wire_packed_varint(&in, &v));
        TRY(push_delta(to, v, a));
    }
    return OK;
}

static err_t push_span(const struct wire *w, struct str bytes, struct side *s, struct arena *a)
{
    struct wire in = wire_sub(w, bytes);
    struct wire_field f;
    struct nhist_span span = { 0, 0 };
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_VARINT(1): span.offset = (int32_t)unzigzag(f.v); break;
        case WIRE_VARINT(2): span.length = (uint32_t)f.v; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2), "BucketSpan"));
        }
    }
    if (s->nspans == NHIST_BUCKETS_MAX)
        return err_set(ERR_INVALID, "a histogram of more than %d spans", NHIST_BUCKETS_MAX);
    s->spans = arena_grow(a, s->spans, s->nspans, &s->spans_cap, (size_t)s->nspans + 1, sizeof *s->spans);
    s->spans[s->nspans++] = span;
    return OK;
}

struct parsed {
    struct nhist h;
    struct side neg, pos;
    struct numbers custom;
    int64_t schema, t_ms, st_ms;
    bool floats;
};

static err_t scalar(const struct wire *in, const struct wire_field *f, struct parsed *p)
{
    switch (f->tag) {
    case WIRE_VARINT(1): p->h.count = (double)f->v; return OK;
    case WIRE_64(2):
        p->h.count = wire_f64(f->v);
        p->floats = true;
        return OK;
    case WIRE_64(3): p->h.sum = wire_f64(f->v); return OK;
    case WIRE_VARINT(4): p->schema = unzigzag(f->v); return OK;
    case WIRE_64(5): p->h.zero_threshold = wire_f64(f->v); return OK;
    case WIRE_VARINT(6): p->h.zero_count = (double)f->v; return OK;
    case WIRE_64(7): p->h.zero_count = wire_f64(f->v); return OK;
    case WIRE_VARINT(14): p->h.hint = f->v <= NHIST_GAUGE ? (uint8_t)f->v : NHIST_UNKNOWN; return OK;
    case WIRE_VARINT(15): p->t_ms = (int64_t)f->v; return OK;
    case WIRE_VARINT(17): p->st_ms = (int64_t)f->v; return OK;
    default: return wire_other(in, f, 0x3fffeu, "Histogram");
    }
}

static err_t fields(struct wire in, struct arena *a, struct parsed *p)
{
    struct wire_field f;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(8): TRY(push_span(&in, f.bytes, &p->neg, a)); break;
        case WIRE_LEN(9): TRY(push_deltas(&in, f.bytes, &p->neg.deltas, a)); break;
        case WIRE_VARINT(9): TRY(push_delta(&p->neg.deltas, f.v, a)); break;
        case WIRE_LEN(10): TRY(push_doubles(&in, f.bytes, &p->neg.counts, a)); break;
        case WIRE_64(10): TRY(push(&p->neg.counts, wire_f64(f.v), a)); break;
        case WIRE_LEN(11): TRY(push_span(&in, f.bytes, &p->pos, a)); break;
        case WIRE_LEN(12): TRY(push_deltas(&in, f.bytes, &p->pos.deltas, a)); break;
        case WIRE_VARINT(12): TRY(push_delta(&p->pos.deltas, f.v, a)); break;
        case WIRE_LEN(13): TRY(push_doubles(&in, f.bytes, &p->pos.counts, a)); break;
        case WIRE_64(13): TRY(push(&p->pos.counts, wire_f64(f.v), a)); break;
        case WIRE_LEN(16): TRY(push_doubles(&in, f.bytes, &p->custom, a)); break;
        case WIRE_64(16): TRY(push(&p->custom, wire_f64(f.v), a)); break;
        default: TRY(scalar(&in, &f, p));
        }
    }
    return OK;
}

err_t rw_hist(const struct wire *w, struct str bytes, struct arena *a, const struct nhist **out, int64_t *t_ms,
              int64_t *st_ms)
{
    struct parsed p = { 0 };
    *out = NULL;
    TRY(fields(wire_sub(w, bytes), a, &p));
    *t_ms = p.t_ms;
    *st_ms = p.st_ms;
    if (p.schema != NHIST_CUSTOM && (p.schema < NHIST_SCHEMA_MIN || p.schema > NHIST_SCHEMA_MAX)) {
        (void)err_set(ERR_INVALID, "schema %lld of a histogram", (long long)p.schema);
        return OK;
    }
    const struct numbers *pos = p.floats ? &p.pos.counts : &p.pos.deltas;
    const struct numbers *neg = p.floats ? &p.neg.counts : &p.neg.deltas;
    struct nhist *h = ARENA_NEW(a, struct nhist);
    *h = p.h;
    h->schema = (int8_t)p.schema;
    h->pos_spans = p.pos.spans;
    h->npos_spans = p.pos.nspans;
    h->pos = pos->v;
    h->npos = pos->n;
    h->neg_spans = p.neg.spans;
    h->nneg_spans = p.neg.nspans;
    h->neg = neg->v;
    h->nneg = neg->n;
    h->custom = p.custom.v;
    h->ncustom = p.custom.n;
    if (nhist_check(h) == OK) *out = h;
    return OK;
}
