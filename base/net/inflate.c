#include "base/net/inflate.h"

#include "base/core/assert.h"
#include "base/rt/rt.h"

#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

enum {
    RATIO_MAX = 100,            /* output : input, past RATIO_FREE_BYTES */
    RATIO_FREE_BYTES = 1 << 20,
    STEP_MIN_BYTES = 64 << 10,  /* output between two looks at the quota */
    STEP_MAX_BYTES = 1 << 20,
    ONE_SHOT_MAX_BYTES = 4 << 20, /* libdeflate cannot pause: about 4 ms of work */
    ZSTD_WINDOW_LOG_MAX = 23,
};

err_t inflate_kind_of(struct str name, enum inflate_kind *kind)
{
    static const struct {
        const char *name;
        enum inflate_kind kind;
    } names[] = {
        { "", INFLATE_NONE },        { "identity", INFLATE_NONE }, { "gzip", INFLATE_GZIP },
        { "x-gzip", INFLATE_GZIP },  { "deflate", INFLATE_ZLIB },  { "zstd", INFLATE_ZSTD },
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_ieq(name, str_of(names[i].name))) continue;
        *kind = names[i].kind;
        return OK;
    }
    return err_set(ERR_MEDIA_TYPE, "unsupported encoding '" STR_FMT "' (gzip, deflate and zstd are spoken)",
                   (int)MIN(name.n, 64), name.p);
}

/* What one body may still grow to: the smaller of the size limit and the ratio cap. */
struct room {
    struct buf *out;
    size_t start;  /* out->n before the first byte */
    size_t limit;  /* bytes of output */
    bool by_ratio; /* the ratio is the tighter one */
};

static struct room room_of(struct str in, struct buf *out)
{
    size_t by_size = out->max > out->n ? out->max - out->n : 0;
    size_t ratio;
    if (__builtin_mul_overflow(in.n, (size_t)RATIO_MAX, &ratio)) ratio = SIZE_MAX;
    ratio = MAX(ratio, (size_t)RATIO_FREE_BYTES);
    return (struct room){ out, out->n, MIN(by_size, ratio), ratio < by_size };
}

static size_t room_made(const struct room *r)
{
    return r->out->n - r->start;
}

static err_t too_large(const struct room *r)
{
    if (r->by_ratio)
        return err_set(ERR_TOO_LARGE, "body expands more than %d:1 past %d bytes", RATIO_MAX,
                       RATIO_FREE_BYTES);
    return err_set(ERR_TOO_LARGE, "body is over %zu bytes after decompression", r->limit);
}

/* The next piece of free output: *n bytes (0 when the limit is reached). Charges, checks, may yield. */
static err_t room_step(struct room *r, size_t want, char **to, size_t *n) MAY_YIELD
{
    size_t made = room_made(r);
    size_t step = MIN(MAX(MAX(made, want), (size_t)STEP_MIN_BYTES), (size_t)STEP_MAX_BYTES);
    step = MIN(step, r->limit - made);
    TRY(buf_check(r->out));
    if (rt_in_fiber()) TRY(rt_checkpoint());
    *to = buf_reserve(r->out, step);
    ASSERT(*to || step == 0);
    *n = step;
    return OK;
}

/* -- gzip and zlib ------------------------------------------------------------------------------------ */

/* One member whose last four bytes tell its size: one call, no window. *done stays false when the
 * streaming way has to decide. */
static err_t gzip_one_shot(struct room *r, struct str in, bool *done)
{
    if (in.n < 18) return OK; /* header and trailer */
    const uint8_t *t = (const uint8_t *)in.p + in.n - 4;
    size_t size = (size_t)t[0] | (size_t)t[1] << 8 | (size_t)t[2] << 16 | (size_t)t[3] << 24;
    if (size > MIN(r->limit, (size_t)ONE_SHOT_MAX_BYTES)) return OK;
    char none, *to = size ? buf_reserve(r->out, size) : &none;
    ASSERT(to);
    TRY(buf_check(r->out));
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    ASSERT(d);
    size_t used = 0, made = 0;
    enum libdeflate_result res =
        libdeflate_gzip_decompress_ex(d, in.p, in.n, to, size, &used, &made);
    libdeflate_free_decompressor(d);
    if (res == LIBDEFLATE_BAD_DATA) return err_set(ERR_INVALID, "broken or truncated gzip data");
    if (res != LIBDEFLATE_SUCCESS || used != in.n) return OK;
    r->out->n += made;
    *done = true;
    return OK;
}

static err_t zlib_stream(struct room *r, struct str in, bool gzip) MAY_YIELD
{
    const char *what = gzip ? "gzip" : "deflate";
    z_stream z = { .next_in = (Bytef *)in.p }; /* zlib does not write there */
    int rc = inflateInit2(&z, gzip ? 15 + 16 : 15);
    ASSERT(rc == Z_OK);
    size_t left = in.n;
    err_t e = OK;
    for (;;) {
        char *to;
        size_t n;
        TRY_OUT(e, room_step(r, 0, &to, &n));
        char full; /* inflate wants a pointer even for no room */
        uInt fed = (uInt)MIN(left, (size_t)STEP_MAX_BYTES);
        z.avail_in = fed;
        z.next_out = (Bytef *)(n ? to : &full);
        z.avail_out = (uInt)n;
        rc = inflate(&z, Z_NO_FLUSH);
        size_t used = fed - z.avail_in, made = n - z.avail_out;
        left -= used;
        r->out->n += made;
        if (rc == Z_STREAM_END) {
            if (left == 0) break;
            /* Members follow each other in gzip only; anything else fails as a header. */
            if (!gzip) TRY_OUT(e, err_set(ERR_INVALID, "bytes behind the end of the deflate data"));
            rc = inflateReset(&z);
            ASSERT(rc == Z_OK);
            continue;
        }
        if (rc != Z_OK && rc != Z_BUF_ERROR)
            TRY_OUT(e, err_set(ERR_INVALID, "broken %s data: %s", what, z.msg ? z.msg : "bad stream"));
        if (used || made) continue;
        if (n == 0) TRY_OUT(e, too_large(r));
        TRY_OUT(e, err_set(ERR_INVALID, "truncated %s data", what));
    }
out:
    (void)inflateEnd(&z);
    return e;
}

/* -- zstd --------------------------------------------------------------------------------------------- */

static err_t zstd_stream(struct room *r, struct str in) MAY_YIELD
{
    ZSTD_DCtx *d = ZSTD_createDCtx();
    ASSERT(d);
    (void)ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    ZSTD_inBuffer zin = { in.p, in.n, 0 };
    /* With room for the whole frame the library decodes in place, without a window of its own. */
    unsigned long long told = ZSTD_getFrameContentSize(in.p, in.n);
    size_t want = told < STEP_MAX_BYTES ? (size_t)told : 0;
    err_t e = OK;
    for (;;) {
        char *to;
        size_t n;
        TRY_OUT(e, room_step(r, want, &to, &n));
        want = 0;
        char full;
        size_t before = zin.pos;
        ZSTD_outBuffer zout = { n ? to : &full, n, 0 };
        size_t rc = ZSTD_decompressStream(d, &zout, &zin);
        if (ZSTD_isError(rc))
            TRY_OUT(e, err_set(ERR_INVALID, "broken zstd data: %s", ZSTD_getErrorName(rc)));
        r->out->n += zout.pos;
        if (rc == 0 && zin.pos == zin.size) break;
        if (zin.pos != before || zout.pos) continue;
        if (n == 0) TRY_OUT(e, too_large(r));
        TRY_OUT(e, err_set(ERR_INVALID, "truncated zstd data"));
    }
out:
    ZSTD_freeDCtx(d);
    return e;
}

err_t inflate_body(enum inflate_kind kind, struct str in, struct buf *out)
{
    struct room r = room_of(in, out);
    bool done = false;
    err_t e = OK;
    switch (kind) {
    case INFLATE_NONE: buf_put(out, in.p, in.n); break;
    case INFLATE_GZIP:
        e = gzip_one_shot(&r, in, &done);
        if (e == OK && !done) e = zlib_stream(&r, in, true);
        break;
    case INFLATE_ZLIB: e = zlib_stream(&r, in, false); break;
    case INFLATE_ZSTD: e = zstd_stream(&r, in); break;
    }
    return e == OK ? buf_check(out) : e;
}
