#include "base/core/prng.h"
#include "server/ingest/remote_write.h"
#include "server/ingest/wire.h"
#include "tests/unit/batch_text.h"
#include "tests/unit/pb_enc.h"

#include <snappy-c.h>
#include <stdio.h>

static struct arena arena;
static struct rw_cache *cache;
static struct rw_generation *gen;
static struct metric_builder builder;
static struct rw_stats stats;

static void setup(void)
{
    arena_init(&arena, NULL);
    cache = rw_cache_new(NULL, 1 << 20);
    gen = NULL;
}
static void done(void)
{
    if (!gen) return;
    metric_builder_deinit(&builder);
    rw_cache_unpin(cache, gen);
    gen = NULL;
}
static void teardown(void)
{
    done();
    rw_cache_free(cache);
    arena_deinit(&arena);
}
TestSuite(remote_write, .init = setup, .fini = teardown);

static err_t decode(bool v2, struct buf *rq)
{
    done();
    gen = rw_cache_pin(cache);
    metric_builder_init(&builder, &arena, NULL);
    return v2 ? rw_decode_v2(buf_view(rq), gen, &builder, &stats) : rw_decode_v1(buf_view(rq), gen, &builder, &stats);
}

static void expect(bool v2, struct buf *rq, const char *want)
{
    cr_assert_eq(decode(v2, rq), OK, "%s", err_detail());
    const char *got = batch_text(metric_builder_finish(&builder), &arena);
    cr_expect_str_eq(got, want, "got:\n%s\nwant:\n%s", got, want);
}

static void label(struct buf *ts, const char *name, const char *value)
{
    struct buf l;
    pb_new(&l);
    pb_z(&l, 1, name);
    pb_z(&l, 2, value);
    pb_sub(ts, 1, &l);
}
static void sample(struct buf *ts, double v, int64_t t, int64_t st)
{
    struct buf s;
    pb_new(&s);
    pb_double(&s, 1, v);
    pb_varint(&s, 2, (uint64_t)t);
    if (st) pb_varint(&s, 3, (uint64_t)st);
    pb_sub(ts, 2, &s);
}

Test(remote_write, v1_series_known_and_new)
{
    struct buf rq, ts;
    pb_new(&rq);
    for (int i = 0; i < 2; i++) { /* the same series, its labels in two orders */
        pb_new(&ts);
        if (i) label(&ts, "job", "j");
        label(&ts, "__name__", "up");
        if (!i) label(&ts, "job", "j");
        sample(&ts, 1 + i, 1000, 0);
        sample(&ts, 3, -5, 0);
        pb_sub(&rq, 1, &ts);
    }
    const char *want = "up{job=\"j\"} 1000 1\nup{job=\"j\"} -5 3\nup{job=\"j\"} 1000 2\nup{job=\"j\"} -5 3\n";
    expect(false, &rq, want);
    cr_expect_eq(builder.batch.nseries, 1);
    cr_expect_eq(stats.samples, 4);
    expect(false, &rq, want); /* from the cache */
    cr_expect_eq(builder.batch.nseries, 1);
    cr_expect_eq(gen->nseries, 1);
    buf_deinit(&rq);
}

Test(remote_write, v1_labels_behind_samples)
{
    struct buf rq, ts;
    pb_new(&rq), pb_new(&ts);
    label(&ts, "__name__", "a");
    sample(&ts, 1, 1, 0);
    label(&ts, "x", "y");
    sample(&ts, 2, 2, 0);
    pb_sub(&rq, 1, &ts);
    pb_new(&ts);
    label(&ts, "__name__", "a");
    sample(&ts, 3, 3, 0);
    pb_sub(&rq, 1, &ts);
    expect(false, &rq, "a{x=\"y\"} 1 1\na{x=\"y\"} 2 2\na 3 3\n");
    buf_deinit(&rq);
}

/* All forms of a sample, mixed, so many that the batch grows; start timestamps come late, or never. */
static void put_form(struct buf *ts, struct buf *want, const char *name, int i, int64_t st)
{
    struct buf s;
    double v = i % 7 ? i / 4.0 : 0;
    int64_t t = i % 5 == 4 ? -i : INT64_C(1700000000000) + i;
    pb_new(&s);
    switch (i % 6) {
    case 0: break; /* as all senders write it */
    case 1: /* the time first */
    case 2: pb_varint(&s, 2, (uint64_t)t); break; /* the time twice */
    case 3: pb_z(&s, 9, "what nobody knows"); break;
    case 4: pb_bytes(&s, 100, str_n((char[200]){ 0 }, 200)); break; /* a length of two bytes */
    default: pb_varint(&s, 2, 77); /* the last counts */
    }
    if (v != 0) pb_double(&s, 1, v);
    if (i % 6 != 1) pb_varint(&s, 2, (uint64_t)t);
    if (st) pb_varint(&s, 3, (uint64_t)st);
    pb_sub(ts, 2, &s);
    buf_printf(want, "%s %lld %.10g", name, (long long)t, v);
    if (st) buf_printf(want, " @%lld", (long long)st);
    buf_byte(want, '\n');
}

Test(remote_write, v1_forms_of_samples)
{
    for (int started = 0; started < 2; started++) {
        struct buf rq, ts, want;
        pb_new(&rq), pb_new(&want);
        for (int k = 0; k < 3; k++) {
            const char *name = k == 0 ? "a" : k == 1 ? "b" : "c";
            pb_new(&ts);
            label(&ts, "__name__", name);
            for (int i = 0; i < 700; i++)
                put_form(&ts, &want, name, i, started && k == 1 && i >= 300 && i % 3 ? 5 + i : 0);
            pb_sub(&rq, 1, &ts);
        }
        buf_byte(&want, 0);
        expect(false, &rq, want.p);
        cr_expect_eq(builder.batch.st_ms != NULL, started == 1);
        cr_expect_eq(stats.samples, 2100);
        /* Cut anywhere in the samples of the last series, with all lengths around it as they were. */
        for (size_t n = rq.n - 60; n < rq.n; n++) {
            struct buf cut = rq;
            cut.n = n;
            cr_expect_eq(decode(false, &cut), ERR_INVALID);
        }
        buf_deinit(&rq), buf_deinit(&want);
    }
}

/* wire_varint reads what varint_get reads, whatever stands behind it. */
Test(remote_write, varints_as_one_by_one)
{
    struct prng r;
    prng_init(&r, 21);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[24];
        uint64_t want = 0, got = 0;
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)prng_next(&r);
        size_t n = prng_below(&r, sizeof bytes + 1), run = prng_below(&r, 12);
        for (size_t k = 0; k < run; k++)
            bytes[k] |= 0x80;
        const uint8_t *behind = varint_get(bytes, bytes + n, &want);
        cr_assert_eq(wire_varint(bytes, bytes + n, &got), behind);
        if (behind) cr_assert_eq(got, want);
    }
}

Test(remote_write, v1_bad_series_are_left_out)
{
    struct buf rq, ts;
    pb_new(&rq), pb_new(&ts);
    label(&ts, "job", "no name");
    sample(&ts, 1, 1, 0);
    pb_sub(&rq, 1, &ts);
    pb_new(&ts);
    label(&ts, "__name__", "a");
    label(&ts, "x", "1");
    label(&ts, "x", "2");
    sample(&ts, 1, 1, 0);
    pb_sub(&rq, 1, &ts);
    pb_new(&ts);
    label(&ts, "__name__", "ok");
    label(&ts, "empty", "");
    sample(&ts, 1, 1, 0);
    pb_sub(&rq, 1, &ts);
    expect(false, &rq, "ok 1 1\n");
    cr_expect_eq(stats.bad, 2);
    cr_expect_str_eq(stats.why, "series: a series without __name__");
    buf_deinit(&rq);
}

static void span(struct buf *h, unsigned field, int offset, unsigned length)
{
    struct buf s;
    pb_new(&s);
    pb_varint(&s, 1, zigzag(offset));
    pb_varint(&s, 2, length);
    pb_sub(h, field, &s);
}

Test(remote_write, v1_histograms_metadata_exemplars)
{
    struct buf rq, ts, h, packed, m, e;
    pb_new(&rq), pb_new(&ts), pb_new(&h), pb_new(&packed);
    label(&ts, "__name__", "h");
    pb_varint(&h, 1, 6); /* integers: deltas 1 +1 -1 */
    pb_double(&h, 3, 2.5);
    pb_varint(&h, 4, zigzag(2));
    pb_double(&h, 5, 0.5);
    pb_varint(&h, 6, 1);
    span(&h, 11, -1, 2);
    span(&h, 11, 3, 1);
    buf_put(&packed, "\2\2\1", 3);
    pb_sub(&h, 12, &packed);
    pb_varint(&h, 14, 2);
    pb_varint(&h, 15, 77);
    pb_sub(&ts, 4, &h);
    pb_new(&h), pb_new(&packed);
    pb_double(&h, 2, 3.5); /* floats, custom bounds */
    pb_varint(&h, 4, zigzag(-53));
    span(&h, 11, 0, 2);
    double counts[2] = { 1.5, 2 }, bounds[1] = { 10 };
    buf_put(&packed, counts, sizeof counts);
    pb_bytes(&h, 13, buf_view(&packed));
    buf_clear(&packed);
    buf_put(&packed, bounds, sizeof bounds);
    pb_sub(&h, 16, &packed);
    pb_varint(&h, 15, 78);
    pb_sub(&ts, 4, &h);
    pb_new(&h);
    pb_varint(&h, 4, zigzag(9)); /* no such schema */
    pb_sub(&ts, 4, &h);
    pb_new(&e);
    label(&e, "trace_id", "000102030405060708090A0b0c0d0e0f");
    label(&e, "who", "me");
    pb_double(&e, 2, 9);
    pb_varint(&e, 3, 5);
    pb_sub(&ts, 3, &e);
    pb_sub(&rq, 1, &ts);
    pb_new(&m);
    pb_varint(&m, 1, 3);
    pb_z(&m, 2, "h");
    pb_z(&m, 4, "Help.");
    pb_z(&m, 5, "seconds");
    pb_sub(&rq, 3, &m);
    expect(false, &rq, "h schema=2 hint=2 count=6 zero=1/0.5 -1:1 0:2 4:1 77 2.5\n"
                       "h schema=-53 hint=0 count=3.5 zero=0/0 0:1.5 1:2 le10 78 0\n"
                       "# h|histogram|seconds|Help.\n");
    cr_expect_eq(stats.histograms, 2);
    cr_expect_eq(stats.exemplars, 1);
    cr_expect_eq(stats.bad, 1);
    const struct table *t = builder.batch.exemplars;
    cr_assert(t && t->nrows == 1);
    cr_expect_eq(table_column(t, SC_SELF, STR("trace_id"), COL_FIX)->fix[15], 15);
    cr_expect_eq(table_column(t, SC_SELF, STR("time"), COL_I64)->i64[0], 5000000);
    cr_expect(str_is(column_str(table_column(t, SC_ATTR, STR("who"), COL_STR), 0), "me"));
    cr_expect_null(table_column(t, SC_ATTR, STR("trace_id"), COL_STR));
    buf_deinit(&rq);
}

static void symbols(struct buf *rq)
{
    static const char *const all[] = { "", "__name__", "up_total", "job", "j", "Help.", "trace_id", "bad" };
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        pb_z(rq, 4, all[i]);
}

Test(remote_write, v2)
{
    struct buf rq, ts, m;
    pb_new(&rq), pb_new(&ts), pb_new(&m);
    pb_bytes(&ts, 1, STR("\1\2\3\4"));
    sample(&ts, 1, 1000, 500);
    sample(&ts, 2, 2000, 0);
    pb_varint(&m, 1, 1);
    pb_varint(&m, 3, 5);
    pb_sub(&ts, 5, &m);
    pb_varint(&ts, 6, 400);
    pb_sub(&rq, 5, &ts);
    pb_new(&ts);
    for (unsigned i = 1; i <= 4; i++)
        pb_varint(&ts, 1, i); /* not packed */
    sample(&ts, 3, 3000, 0);
    pb_sub(&rq, 5, &ts);
    symbols(&rq); /* in any order */
    const char *want = "up_total{job=\"j\"} 1000 1 @500\nup_total{job=\"j\"} 2000 2 @400\n"
                       "up_total{job=\"j\"} 3000 3\n# up_total|counter||Help.\n";
    expect(true, &rq, want);
    cr_expect_eq(builder.batch.nseries, 1);
    expect(true, &rq, want);
    buf_deinit(&rq);
}

Test(remote_write, v2_bad_references)
{
    struct buf rq, ts;
    pb_new(&rq), pb_new(&ts);
    symbols(&rq);
    pb_bytes(&ts, 1, STR("\1\2\3"));
    pb_sub(&rq, 5, &ts);
    cr_expect_eq(decode(true, &rq), ERR_INVALID);
    cr_expect_str_eq(err_detail(), "an odd number of labels_refs");
    pb_new(&ts);
    buf_clear(&rq);
    symbols(&rq);
    pb_bytes(&ts, 1, STR("\1\x63"));
    pb_sub(&rq, 5, &ts);
    cr_expect_eq(decode(true, &rq), ERR_INVALID);
    cr_expect_str_eq(err_detail(), "symbol 99 of 8");
    buf_clear(&rq);
    pb_new(&ts);
    pb_sub(&rq, 1, &ts);
    cr_expect_eq(decode(true, &rq), ERR_INVALID);
    cr_expect_neq(strstr(err_detail(), "1.0"), NULL);
    buf_deinit(&rq);
}

Test(remote_write, the_cache_is_dropped_when_full)
{
    struct buf rq, ts;
    char name[300];
    rw_cache_free(cache);
    cache = rw_cache_new(NULL, 100000);
    for (unsigned round = 0; round < 20; round++) {
        pb_new(&rq);
        for (unsigned i = 0; i < 50; i++) {
            pb_new(&ts);
            snprintf(name, sizeof name, "name_%u_%0250u", round, i);
            label(&ts, "__name__", name);
            sample(&ts, 1, 1, 0);
            pb_sub(&rq, 1, &ts);
        }
        cr_assert_eq(decode(false, &rq), OK);
        cr_expect_eq(builder.batch.nseries, 50);
        cr_expect_leq(gen->arena.bytes, 300000);
        buf_deinit(&rq);
    }
}

Test(remote_write, snappy)
{
    struct str out;
    char packed[256];
    size_t n = sizeof packed;
    cr_assert_eq(snappy_compress("hello hello hello hello", 23, packed, &n), SNAPPY_OK);
    cr_expect_eq(rw_uncompress(str_n(packed, n), &arena, &out), OK);
    cr_expect(str_is(out, "hello hello hello hello"));
    cr_expect_eq(rw_uncompress(str_n(packed, n - 1), &arena, &out), ERR_INVALID);
    cr_expect_eq(rw_uncompress(STR("\xff\xff\xff\xff\x0f"), &arena, &out), ERR_TOO_LARGE);
    cr_expect_eq(rw_uncompress(STR(""), &arena, &out), ERR_INVALID);
}
