/* Bytes of batches and requests. Integers little-endian; v = varint; s = v length, bytes.
 *
 *   request = u8 version (2) | name | u64 key.lo | u64 key.hi | i64 wall_ms | v nbatches | (u32 length | batch)*
 *             an alias has no batches: | name of what it is an alias of
 *   name    = u64 stream | u64 origin | u64 epoch | u32 core | u64 seq; none of them 0 but the core
 *   batch   = u8 version (1) | u8 signal | s tenant | s index | u64 content.lo | u64 content.hi | v nrows
 *             rows signals: v ntables | (u32 length | table, see table_wire.c)*
 *             metrics:      u32 length | metric batch with its exemplars, see metric_wire.c
 * Nothing may follow the last field. */
#include "storage/batch.h"

#include "base/core/assert.h"
#include "base/core/varint.h"

enum { REQUEST_VERSION = 2, BATCH_VERSION = 1, INDEX_MAX = 1024 };

/* -- writing ---------------------------------------------------------------------------------------- */

static void put_str(struct buf *b, struct str s)
{
    buf_varint(b, s.n);
    buf_put(b, s.p, s.n);
}
static void put_hash(struct buf *b, hash128 h)
{
    buf_put(b, &h.lo, sizeof h.lo);
    buf_put(b, &h.hi, sizeof h.hi);
}

static void put_name(struct buf *b, const struct batch_name *n)
{
    buf_put(b, &n->stream, sizeof n->stream);
    buf_put(b, &n->origin.u, sizeof n->origin.u);
    buf_put(b, &n->epoch, sizeof n->epoch);
    buf_put(b, &n->core, sizeof n->core);
    buf_put(b, &n->seq, sizeof n->seq);
}

/* A part with its length before it: begin returns where, end writes the length there. */
static size_t part_begin(struct buf *b)
{
    uint32_t none = 0;
    buf_put(b, &none, sizeof none);
    return b->n;
}
static void part_end(struct buf *b, size_t begin)
{
    if (b->failed) return;
    size_t n = b->n - begin;
    ASSERT(n <= UINT32_MAX);
    uint32_t length = (uint32_t)n;
    memcpy(b->p + begin - sizeof length, &length, sizeof length);
}

void batch_encode(const struct batch *b, const struct metric_encode_opts *o, struct buf *out)
{
    buf_byte(out, BATCH_VERSION);
    buf_byte(out, (uint8_t)b->signal);
    put_str(out, b->tenant);
    put_str(out, b->index);
    put_hash(out, b->content);
    buf_varint(out, b->nrows);
    if (b->signal != SIG_METRICS) {
        ASSERT(b->ntables <= BATCH_TABLES_MAX);
        buf_varint(out, b->ntables);
        for (uint32_t i = 0; i < b->ntables; i++) {
            size_t at = part_begin(out);
            table_encode(b->tables[i], out);
            part_end(out, at);
        }
        return;
    }
    size_t at = part_begin(out);
    metric_batch_encode(b->metrics, o, out);
    part_end(out, at);
}

hash128 request_key(struct batch *const *batches, uint32_t n)
{
    const hash128 none = { 0, 0 };
    hash128 key = none;
    for (uint32_t i = 0; i < n; i++) {
        if (hash128_eq(batches[i]->content, none)) return none;
        if (i == 0) {
            key = batches[0]->content;
            continue;
        }
        hash128 both[2] = { key, batches[i]->content };
        key = hash128_of(str_n(both, sizeof both));
    }
    return key;
}

void request_encode(const struct request_head *h, struct batch *const *batches,
                    const struct metric_encode_opts *o, struct buf *out)
{
    buf_byte(out, REQUEST_VERSION);
    put_name(out, &h->name);
    put_hash(out, h->key);
    buf_put(out, &h->wall_ms, sizeof h->wall_ms);
    buf_varint(out, h->nbatches);
    if (h->nbatches == 0) put_name(out, &h->of);
    for (uint32_t i = 0; i < h->nbatches; i++) {
        size_t at = part_begin(out);
        batch_encode(batches[i], o, out);
        part_end(out, at);
    }
}

/* -- reading ---------------------------------------------------------------------------------------- */

struct in {
    const uint8_t *p, *end;
};

static err_t cut(const char *what)
{
    return err_set(ERR_CORRUPT, "batch: cut or malformed %s", what);
}
static bool get_raw(struct in *in, void *to, size_t n)
{
    if ((size_t)(in->end - in->p) < n) return false;
    memcpy(to, in->p, n);
    in->p += n;
    return true;
}
static bool get_varint(struct in *in, uint64_t *v)
{
    const uint8_t *p = varint_get(in->p, in->end, v);
    if (!p) return false;
    in->p = p;
    return true;
}
static bool get_bytes(struct in *in, uint64_t n, struct str *s)
{
    if ((uint64_t)(in->end - in->p) < n) return false;
    *s = str_n(in->p, (size_t)n);
    in->p += n;
    return true;
}
static bool get_str(struct in *in, struct str *s)
{
    uint64_t n;
    return get_varint(in, &n) && get_bytes(in, n, s);
}
static bool get_part(struct in *in, struct str *s)
{
    uint32_t n;
    return get_raw(in, &n, sizeof n) && get_bytes(in, n, s);
}
static bool get_hash(struct in *in, hash128 *h)
{
    return get_raw(in, &h->lo, sizeof h->lo) && get_raw(in, &h->hi, sizeof h->hi);
}
static bool get_name(struct in *in, struct batch_name *n)
{
    *n = (struct batch_name){ 0 };
    return get_raw(in, &n->stream, sizeof n->stream) && get_raw(in, &n->origin.u, sizeof n->origin.u)
        && get_raw(in, &n->epoch, sizeof n->epoch) && get_raw(in, &n->core, sizeof n->core)
        && get_raw(in, &n->seq, sizeof n->seq) && n->stream && n->origin.u && n->epoch && n->seq;
}

static err_t decode_tables(struct in *in, struct arena *a, struct budget *budget, struct batch *out)
{
    uint64_t n;
    if (!get_varint(in, &n) || n > BATCH_TABLES_MAX) return cut("number of tables");
    out->tables = ARENA_ARRAY(a, struct table *, n);
    for (uint64_t i = 0; i < n; i++) {
        struct str bytes;
        if (!get_part(in, &bytes)) return cut("table");
        TRY(table_decode(bytes, budget, &out->tables[out->ntables]));
        out->ntables++;
        TRY(arena_check(a));
    }
    return OK;
}

static err_t decode_metrics(struct in *in, struct arena *a, struct batch *out)
{
    struct str bytes;
    if (!get_part(in, &bytes)) return cut("metrics");
    struct metric_batch *m = ARENA_NEW(a, struct metric_batch);
    TRY(metric_batch_decode(bytes, a, m));
    out->metrics = m;
    return arena_check(a);
}

static err_t decode_head(struct in *in, struct batch *out)
{
    uint8_t version, signal;
    if (!get_raw(in, &version, 1) || !get_raw(in, &signal, 1)) return cut("head");
    if (version != BATCH_VERSION) return err_set(ERR_CORRUPT, "batch of version %u", version);
    if (signal < SIG_METRICS || signal > SIG_EXEMPLARS) return err_set(ERR_CORRUPT, "batch of signal %u", signal);
    out->signal = (enum signal)signal;
    if (!get_str(in, &out->tenant)) return cut("tenant");
    if (tenant_check(out->tenant) != OK) return err_set(ERR_CORRUPT, "batch: malformed tenant");
    if (!get_str(in, &out->index) || out->index.n > INDEX_MAX) return cut("index");
    if (!get_hash(in, &out->content) || !get_varint(in, &out->nrows)) return cut("head");
    return OK;
}

err_t batch_decode(struct str bytes, struct arena *a, struct budget *budget, struct batch *out)
{
    struct in in = { (const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.n };
    *out = (struct batch){ 0 };
    TRY(decode_head(&in, out));
    err_t e = out->signal == SIG_METRICS ? decode_metrics(&in, a, out)
                                         : decode_tables(&in, a, budget, out);
    if (e == OK && in.p != in.end) e = cut("end: bytes follow");
    if (e != OK) batch_release(out);
    return e;
}

void batch_release(struct batch *b)
{
    for (uint32_t i = 0; i < b->ntables; i++)
        table_put(b->tables[i]);
    b->ntables = 0;
    if (b->metrics && b->metrics->exemplars) {
        table_put(b->metrics->exemplars);
        b->metrics->exemplars = NULL;
    }
}

err_t request_open(struct str bytes, struct request_reader *r)
{
    struct in in = { (const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.n };
    uint8_t version;
    uint64_t n;
    *r = (struct request_reader){ 0 };
    if (!get_raw(&in, &version, 1)) return cut("request");
    if (version != REQUEST_VERSION) return err_set(ERR_CORRUPT, "request of version %u", version);
    if (!get_name(&in, &r->head.name)) return cut("name of a request");
    if (!get_hash(&in, &r->head.key) || !get_raw(&in, &r->head.wall_ms, sizeof r->head.wall_ms)
        || !get_varint(&in, &n) || n > UINT32_MAX)
        return cut("request");
    r->head.nbatches = r->left = (uint32_t)n;
    if (n == 0 && (!get_name(&in, &r->head.of) || r->head.of.stream != r->head.name.stream)) return cut("alias");
    r->p = in.p;
    r->end = in.end;
    if (n == 0 && in.p != in.end) return cut("request: bytes follow");
    return OK;
}

err_t request_next(struct request_reader *r, struct arena *a, struct budget *budget, struct batch *out)
{
    ASSERT(r->left > 0);
    struct in in = { r->p, r->end };
    struct str bytes;
    if (!get_part(&in, &bytes)) return cut("request");
    r->p = in.p;
    r->left--;
    if (r->left == 0 && in.p != in.end) return cut("request: bytes follow");
    return batch_decode(bytes, a, budget, out);
}
