/* POST /api/v1/read: Prometheus' remote read (prompb/remote.proto). A snappy block of ReadRequest; answered in the first form of
 * accepted_response_types that there is: SAMPLES, one snappy block of ReadResponse, or STREAMED_XOR_CHUNKS, frames of
 *
 *   varint length | u32 CRC-32C, big-endian | ChunkedReadResponse
 *
 * of one series each, cut where they pass FRAME_BYTES. Hints (step, function, grouping) are not needed for a right answer and are not
 * looked at. Samples come as they are stored, stale markers included. */
#include "server/api/crc32c.h"
#include "server/api/prometheus_chunk.h"
#include "server/api/prometheus_hist.h"
#include "server/api/prometheus_read.h"

#include "base/core/pb_out.h"
#include "server/ingest/remote_write.h"
#include "server/ingest/wire.h"
#include "storage/regex.h"

#include <snappy-c.h>

enum { FRAME_BYTES = 1 << 20, ANSWER_BYTES_MAX = 1 << 30 };
#define STREAMED_TYPE "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"

/* -- the request --------------------------------------------------------------------------------------------- */
static err_t read_matcher(struct wire in, struct prom_read *r, struct matcher *m)
{
    static const enum match_op ops[] = { MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NRE };
    struct wire_field f;
    uint64_t type = 0;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_VARINT(1): type = f.v; break;
        case WIRE_LEN(2): m->name = f.bytes; break;
        case WIRE_LEN(3): m->value = f.bytes; break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3), "LabelMatcher"));
        }
    }
    if (type >= ARRAY_LEN(ops)) return err_set(ERR_INVALID, "matcher of the unknown type %llu", (unsigned long long)type);
    if (!m->name.n || !str_utf8_valid(m->name) || !str_utf8_valid(m->value)) return err_set(ERR_INVALID, "matcher without a name, or not of UTF-8");
    m->op = ops[type];
    if (m->op != MATCH_RE && m->op != MATCH_NRE) return OK;
    if (r->regexes.n == PQ_REGEXES_MAX) return err_set(ERR_INVALID, "more than %d regular expressions", PQ_REGEXES_MAX);
    TRY(regex_new(m->value, &m->re));
    r->regexes.v[r->regexes.n++] = m->re;
    return OK;
}

static err_t read_query(struct wire in, struct prom_read *r, struct arena *a)
{
    if (r->ranges.n == PROM_RANGES_MAX) return err_set(ERR_INVALID, "more than %d queries", PROM_RANGES_MAX);
    struct prom_range *x = &r->ranges.v[r->ranges.n++];
    struct matcher *m = ARENA_ARRAY(a, struct matcher, PROM_READ_MATCHERS_MAX);
    struct wire_field f;
    *x = (struct prom_range){ .sel = { .m = m } };
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_VARINT(1): x->tmin_ms = (int64_t)f.v; break;
        case WIRE_VARINT(2): x->tmax_ms = (int64_t)f.v; break;
        case WIRE_LEN(3):
            if (x->sel.n == PROM_READ_MATCHERS_MAX) return err_set(ERR_INVALID, "more than %d matchers", PROM_READ_MATCHERS_MAX);
            TRY(read_matcher(wire_sub(&in, f.bytes), r, &m[x->sel.n++]));
            break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2) | WIRE_BIT(3), "Query"));
        }
    }
    if (x->tmax_ms < x->tmin_ms) return err_set(ERR_INVALID, "a query that ends before it starts");
    x->tmin_ms = MAX(x->tmin_ms, PROM_TIME_MIN);
    x->tmax_ms = MIN(x->tmax_ms, PROM_TIME_MAX);
    return OK;
}

static void accept_form(struct prom_read *r, uint64_t form)
{
    if (r->form == PROM_READ_FORMS && form < PROM_READ_FORMS) r->form = (enum prom_read_form)form;
}

err_t prom_read_decode(struct str body, struct arena *a, struct prom_read *r)
{
    struct wire in = wire_of(body), forms;
    struct wire_field f;
    bool asked = false;
    uint64_t form;
    r->form = PROM_READ_FORMS;
    while (wire_more(&in)) {
        TRY(wire_next(&in, &f));
        switch (f.tag) {
        case WIRE_LEN(1): TRY(read_query(wire_sub(&in, f.bytes), r, a)); break;
        case WIRE_VARINT(2):
            asked = true;
            accept_form(r, f.v);
            break;
        case WIRE_LEN(2):
            for (forms = wire_sub(&in, f.bytes); wire_more(&forms); asked = true) {
                TRY(wire_packed_varint(&forms, &form));
                accept_form(r, form);
            }
            break;
        default: TRY(wire_other(&in, &f, WIRE_BIT(1) | WIRE_BIT(2), "ReadRequest"));
        }
    }
    if (!asked) r->form = PROM_READ_SAMPLES; /* clients of before there was a choice */
    return r->form == PROM_READ_FORMS ? err_set(ERR_INVALID, "none of the accepted response types is known: SAMPLES, STREAMED_XOR_CHUNKS") : OK;
}

/* -- answers ------------------------------------------------------------------------------------------------- */
static void put_labels(struct buf *b, const struct labels *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        size_t at = pb_begin(b, 1);
        pb_str(b, 1, l->l[i].name);
        pb_str(b, 2, l->l[i].value);
        pb_end(b, at);
    }
}

static void put_samples(struct buf *b, const struct pq_samples *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        bool hist = s->h && s->h[i];
        size_t at = pb_begin(b, hist ? 4 : 2);
        if (hist) {
            prom_hist_put(b, s->h[i], s->t[i], &PROM_HIST_STORED);
        } else {
            uint64_t bits;
            memcpy(&bits, &s->v[i], sizeof bits);
            pb_fixed64(b, 1, bits);
            pb_uint(b, 2, (uint64_t)s->t[i]);
        }
        pb_end(b, at);
    }
}

static err_t put_results(struct buf *b, const struct prom_points *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t result = pb_begin(b, 1);
        for (uint32_t k = 0; k < p[i].n; k++) {
            size_t series = pb_begin(b, 1);
            put_labels(b, &p[i].v[k].labels);
            put_samples(b, &p[i].v[k].s);
            pb_end(b, series);
            TRY(rt_checkpoint());
            TRY(buf_check(b));
        }
        pb_end(b, result);
    }
    return buf_check(b);
}

static err_t answer_samples(struct http_request *rq, struct http_response *rs, const struct prom_points *p, uint32_t n)
{
    struct buf plain;
    buf_init(&plain, ANSWER_BYTES_MAX, rs->body.budget);
    err_t e = put_results(&plain, p, n);
    size_t most = snappy_max_compressed_length(plain.n);
    char *to = e == OK ? buf_reserve(&rs->body, most) : NULL;
    if (to && snappy_compress(plain.p, plain.n, to, &most) == SNAPPY_OK) rs->body.n += most;
    else if (e == OK) e = to ? err_set(ERR_INVALID, "an answer of %zu bytes is too large for snappy", plain.n) : buf_check(&rs->body);
    buf_deinit(&plain);
    rs->content_type = "application/x-protobuf";
    http_add_header(rq, rs, "content-encoding", STR("snappy"));
    return e;
}

static void put_frame(struct buf *out, struct str message)
{
    uint32_t crc = __builtin_bswap32(crc32c(message));
    buf_varint(out, message.n);
    buf_put(out, &crc, sizeof crc);
    buf_str(out, message);
}

/* One series, from its sample *at on, as far as a frame goes. */
static void put_chunks(struct buf *b, struct buf *chunk, const struct pq_points *p, uint32_t query, uint32_t *at)
{
    size_t series = pb_begin(b, 1);
    put_labels(b, &p->labels);
    while (*at < p->s.n && b->n - series < FRAME_BYTES && !b->failed) {
        uint32_t n = prom_chunk_next(&p->s, *at);
        buf_clear(chunk);
        unsigned encoding = prom_chunk_put(&p->s, *at, n, chunk);
        size_t c = pb_begin(b, 2);
        pb_uint(b, 1, (uint64_t)p->s.t[*at]);
        pb_uint(b, 2, (uint64_t)p->s.t[*at + n - 1]);
        pb_uint(b, 3, encoding);
        pb_bytes(b, 4, buf_view(chunk));
        pb_end(b, c);
        *at += n;
    }
    pb_end(b, series);
    pb_uint(b, 2, query);
}

static err_t put_stream(struct buf *out, const struct prom_points *p, uint32_t n)
{
    struct buf message, chunk;
    err_t e = OK;
    buf_init(&message, ANSWER_BYTES_MAX, out->budget);
    buf_init(&chunk, ANSWER_BYTES_MAX, out->budget);
    for (uint32_t q = 0; q < n; q++)
        for (uint32_t i = 0; i < p[q].n; i++)
            for (uint32_t at = 0; at < p[q].v[i].s.n;) {
                buf_clear(&message);
                put_chunks(&message, &chunk, &p[q].v[i], q, &at);
                put_frame(out, buf_view(&message));
                TRY_OUT(e, buf_check(&chunk));
                TRY_OUT(e, buf_check(&message));
                TRY_OUT(e, buf_check(out));
                TRY_OUT(e, rt_checkpoint());
            }
out:
    buf_deinit(&chunk);
    buf_deinit(&message);
    return e;
}

err_t prom_read(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct scatter kept = { 0 };
    struct prom_read *in = NULL;
    struct prom_points *points;
    struct str body;
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    in = ARENA_NEW(&r.arena, struct prom_read);
    in->ranges.samples_max = r.ctx->samples_max;
    TRY_OUT(e, rw_uncompress(rq->body, &r.arena, &body));
    TRY_OUT(e, prom_read_decode(body, &r.arena, in));
    TRY_OUT(e, prom_samples(&r, &in->ranges, &kept, &points));
    rs->no_gzip = true;
    if (in->form == PROM_READ_SAMPLES) {
        e = answer_samples(rq, rs, points, in->ranges.n);
    } else {
        rs->content_type = STREAMED_TYPE;
        e = put_stream(&rs->body, points, in->ranges.n);
    }
out:
    if (in) pq_regexes_free(&in->regexes);
    scatter_free(&kept);
    prom_end(&r);
    return e;
}
