/* Requests cut by stream: the parts hold the rows of the whole, each where it belongs, in their order, and are batches like any other. */
#include "storage/batch_split.h"

#include "base/core/prng.h"
#include "storage/partition.h"
#include "tests/unit/batch_text.h"
#include "tests/unit/table_rows.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEEDS = 250, BATCHES = 5, TABLES = 3, NUMBERS_MAX = 100000 };

struct request {
    struct arena a;
    struct prng r;
    struct budget budget;
    struct batch batch[BATCHES], *p[BATCHES];
    uint32_t n;
    int64_t number; /* of rows and samples, all different */
    uint32_t partitions, nstreams, *stream_of;
};

/* -- a random request ---------------------------------------------------------------------------------------- */

static struct str text(struct request *q, const char *stem, uint64_t n) { return arena_printf(&q->a, "%s%llu", stem, (unsigned long long)n); }

static void some_resource(struct request *q, struct table_builder *b)
{
    if (prng_chance(&q->r, 0.15)) {
        table_resource(b);
        table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, text(q, "svc", prng_below(&q->r, 5)));
    }
    if (prng_chance(&q->r, 0.15)) {
        table_scope(b);
        if (prng_chance(&q->r, 0.8)) table_set_str(b, SC_SELF, STR("name"), COL_STR, text(q, "lib", prng_below(&q->r, 3)));
    }
}

static void some_row(struct request *q, struct table_builder *b, enum signal signal)
{
    uint64_t id[2] = { prng_below(&q->r, 30), 1 };
    table_row(b);
    int64_t n = ++q->number;
    table_set_i64(b, SC_SELF, signal == SIG_SPANS ? STR("start") : STR("time"), n);
    if (signal == SIG_DOCS) table_set_str(b, SC_SELF, STR("source"), COL_STR, text(q, "{\"n\":", (uint64_t)n));
    if (signal == SIG_SPANS || (signal != SIG_DOCS && prng_chance(&q->r, 0.5))) table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    if (signal == SIG_EXEMPLARS) {
        id[1] = prng_next(&q->r);
        table_set_fix(b, SC_SELF, STR("series"), id, 16);
        table_set_f64(b, SC_SELF, STR("value"), 1);
    }
    for (uint64_t k = prng_below(&q->r, 4); k > 0; k--)
        table_set_str(b, SC_ATTR, text(q, "k", prng_below(&q->r, 9)), COL_STR, text(q, "v", prng_below(&q->r, 9)));
    for (uint64_t k = signal == SIG_SPANS ? prng_below(&q->r, 3) : 0; k > 0; k--) {
        table_child(b, prng_chance(&q->r, 0.5) ? CHILD_EVENTS : CHILD_LINKS);
        table_set_i64(b, SC_SELF, STR("dropped_attributes"), 10 * n + (int64_t)k);
    }
}

static struct table *some_table(struct request *q, enum signal signal)
{
    struct table_builder *b = table_builder_new(&q->budget);
    uint64_t rows = prng_chance(&q->r, 0.1) ? 0 : 1 + prng_below(&q->r, 60);
    for (; rows > 0; rows--) {
        if (signal == SIG_SPANS || signal == SIG_LOGS) some_resource(q, b);
        some_row(q, b, signal);
    }
    return table_builder_finish(b, signal == SIG_SPANS ? STR("start") : STR("time"));
}

static struct metric_batch *some_metrics(struct request *q)
{
    struct metric_batch *m = ARENA_NEW(&q->a, struct metric_batch);
    static const struct nhist hist = { .schema = 1, .count = 2, .sum = 3, .zero_count = 2 };
    m->nseries = (uint32_t)prng_below(&q->r, 20);
    m->nsamples = m->nseries ? (uint32_t)prng_below(&q->r, 100) : 0;
    m->nhists = m->nseries ? (uint32_t)prng_below(&q->r, 10) : 0;
    m->nmeta = (uint32_t)prng_below(&q->r, 3);
    m->id = ARENA_RAW(&q->a, hash128, m->nseries);
    m->canonical = ARENA_RAW(&q->a, struct str, m->nseries);
    for (uint32_t i = 0; i < m->nseries; i++) {
        struct label l[] = { { STR("__name__"), text(q, "m", prng_below(&q->r, 3)) }, { STR("no"), text(q, "", i) } };
        m->canonical[i] = labels_encode(&(struct labels){ 2, l }, &q->a);
        m->id[i] = series_id(m->canonical[i]);
    }
    uint32_t n = m->nsamples + m->nhists, *series = ARENA_RAW(&q->a, uint32_t, n);
    int64_t *t = ARENA_RAW(&q->a, int64_t, n), *st = ARENA_RAW(&q->a, int64_t, n);
    m->value = ARENA_RAW(&q->a, double, m->nsamples);
    m->hist = ARENA_RAW(&q->a, const struct nhist *, m->nhists);
    for (uint32_t i = 0; i < n; i++) {
        series[i] = (uint32_t)prng_below(&q->r, m->nseries);
        t[i] = ++q->number;
        st[i] = prng_chance(&q->r, 0.1) ? t[i] - 1 : ST_NONE;
        if (i < m->nsamples) m->value[i] = (double)prng_below(&q->r, 50);
        else m->hist[i - m->nsamples] = &hist;
    }
    m->series = series;
    m->hseries = series + m->nsamples;
    m->t_ms = t;
    m->ht_ms = t + m->nsamples;
    m->st_ms = prng_chance(&q->r, 0.5) ? st : NULL;
    m->hst_ms = prng_chance(&q->r, 0.5) ? st + m->nsamples : NULL;
    m->meta = ARENA_RAW(&q->a, struct metric_meta, m->nmeta);
    for (uint32_t i = 0; i < m->nmeta; i++)
        m->meta[i] = (struct metric_meta){ text(q, "m", i), STR("gauge"), STR("s"), STR("help") };
    if (prng_chance(&q->r, 0.5)) m->exemplars = some_table(q, SIG_EXEMPLARS);
    return m;
}

static void some_map(struct request *q, struct prng *r)
{
    for (uint32_t i = 0; i < q->partitions; i++)
        q->stream_of[i] = (uint32_t)prng_below(r, q->nstreams);
}

static struct request *request_of(uint64_t seed)
{
    struct request *q = calloc(1, sizeof *q);
    static const char *const tenants[] = { "a", "b" };
    arena_init(&q->a, NULL);
    budget_init(&q->budget, "request", NULL, 1 << 30, ERR_OVERLOAD);
    prng_init(&q->r, seed);
    q->n = 1 + (uint32_t)prng_below(&q->r, BATCHES);
    for (uint32_t i = 0; i < q->n; i++) {
        struct batch *b = q->p[i] = &q->batch[i];
        *b = (struct batch){ .tenant = str_of(tenants[prng_below(&q->r, 2)]), .signal = (enum signal)(SIG_METRICS + prng_below(&q->r, 4)),
                             .content = { prng_next(&q->r), 1 } };
        if (b->signal == SIG_DOCS) b->index = STR("books");
        if (b->signal == SIG_METRICS) {
            b->metrics = some_metrics(q);
            b->nrows = (uint64_t)b->metrics->nsamples + b->metrics->nhists;
            continue;
        }
        b->tables = ARENA_ARRAY(&q->a, struct table *, TABLES);
        for (uint64_t k = prng_below(&q->r, TABLES + 1); k > 0; k--) {
            b->tables[b->ntables] = some_table(q, b->signal);
            b->nrows += b->tables[b->ntables++]->nrows;
        }
    }
    q->partitions = 1u << prng_below(&q->r, 7);
    q->nstreams = 1 + (uint32_t)prng_below(&q->r, 9);
    q->stream_of = ARENA_RAW(&q->a, uint32_t, q->partitions);
    some_map(q, &q->r);
    return q;
}

static void request_free(struct request *q)
{
    for (uint32_t i = 0; i < q->n; i++)
        batch_release(q->p[i]);
    arena_deinit(&q->a);
    cr_assert_eq(q->budget.used, 0);
    free(q);
}

static uint32_t pauses;
static void count_pause(void) { pauses++; }

static struct batch_cut cut_of(const struct request *q)
{
    return (struct batch_cut){ q->partitions, q->stream_of, q->nstreams, count_pause };
}

/* -- rows ------------------------------------------------------------------------------------------------------ */

struct place { /* of a row, by its number */
    const struct table *t;
    uint32_t row, batch, stream;
};

static int64_t number_of(const struct table *t, enum signal signal, uint32_t row)
{
    const struct column *c = table_column(t, SC_SELF, signal == SIG_SPANS ? STR("start") : STR("time"), COL_I64);
    cr_assert(c && column_has(c, row));
    return c->i64[row];
}

static void note_rows(const struct request *q, uint32_t batch, enum signal signal, const struct table *t, struct place *places)
{
    uint32_t *partition = calloc(t->nrows + 1, sizeof *partition);
    partition_rows(q->p[batch]->tenant, signal, t, q->partitions, partition);
    for (uint32_t i = 0; i < t->nrows; i++)
        places[number_of(t, signal, i)] = (struct place){ t, i, batch, q->stream_of[partition[i]] };
    free(partition);
}

/* Rows of a part, each found once, in the order of the whole. */
static void check_rows(uint32_t batch, uint32_t stream, enum signal signal, const struct table *t, struct place *places)
{
    for (uint32_t i = 0; i < t->nrows; i++) {
        int64_t n = number_of(t, signal, i);
        struct place *p = &places[n];
        cr_assert_not_null(p->t, "row %lld twice, or never sent", (long long)n);
        cr_assert(i == 0 || number_of(t, signal, i - 1) < n, "out of order");
        cr_assert_eq(p->batch, batch);
        cr_assert_eq(p->stream, stream);
        full_row_equal(t, i, p->t, p->row);
        p->t = NULL;
    }
    cr_assert(t->nrows == 0 || (t->tmin_ns == number_of(t, signal, 0) && t->tmax_ns == number_of(t, signal, t->nrows - 1)));
}

/* The lines of batch_text of what belongs to a stream. */
static void expected_text(const struct request *q, const struct batch *b, uint32_t stream, bool meta, struct arena *a, struct buf *out)
{
    const struct metric_batch *m = b->metrics;
    struct metric_batch one = { .nseries = m->nseries, .id = m->id, .canonical = m->canonical };
    for (uint32_t i = 0; i < m->nsamples + m->nhists; i++) {
        uint32_t h = i - m->nsamples;
        bool hist = i >= m->nsamples;
        uint32_t series = hist ? m->hseries[h] : m->series[i];
        if (q->stream_of[partition_series(b->tenant, m->id[series], q->partitions)] != stream) continue;
        one.nsamples = !hist;
        one.nhists = hist;
        if (hist) one.hseries = m->hseries + h, one.ht_ms = m->ht_ms + h, one.hist = m->hist + h, one.hst_ms = m->hst_ms ? m->hst_ms + h : NULL;
        else one.series = m->series + i, one.t_ms = m->t_ms + i, one.value = m->value + i, one.st_ms = m->st_ms ? m->st_ms + i : NULL;
        buf_z(out, batch_text(&one, a));
    }
    one = (struct metric_batch){ .nmeta = meta ? m->nmeta : 0, .meta = m->meta };
    buf_z(out, batch_text(&one, a));
}

static void check_metrics(const struct request *q, const struct batch *whole, uint32_t stream, const struct batch *b, bool meta)
{
    struct arena a;
    struct buf want;
    arena_init(&a, NULL);
    buf_init(&want, 16 << 20, NULL);
    expected_text(q, whole, stream, meta, &a, &want);
    const char *got = batch_text(b->metrics, &a);
    cr_assert(str_eq(buf_view(&want), str_of(got)), "wanted:\n" STR_FMT "\ngot:\n%s", STR_ARG(buf_view(&want)), got);
    for (uint32_t i = 0; i < b->metrics->nseries; i++)
        cr_assert_eq(q->stream_of[partition_series(b->tenant, b->metrics->id[i], q->partitions)], stream);
    buf_deinit(&want);
    arena_deinit(&a);
}

static bool metrics_of(const struct metric_batch *m, const struct metric_batch *whole)
{
    for (uint32_t k = 0; m->nseries && k < whole->nseries; k++)
        if (whole->canonical[k].p == m->canonical[0].p) return true;
    if (m->nseries) return false;
    if (!m->exemplars) return m->meta == whole->meta;
    int64_t n = number_of(m->exemplars, SIG_EXEMPLARS, 0);
    return whole->exemplars && n >= whole->exemplars->tmin_ns && n <= whole->exemplars->tmax_ns;
}

/* Which batch of the request is b a part of? Parts keep their order: not before `from`. */
static uint32_t whole_of(const struct request *q, const struct batch *b, uint32_t from)
{
    for (uint32_t i = from; i < q->n; i++) {
        const struct batch *w = q->p[i];
        if (b == w) return i;
        if (b->signal != w->signal || !str_eq(b->tenant, w->tenant)) continue;
        if (b->signal == SIG_METRICS) {
            if (metrics_of(b->metrics, w->metrics)) return i;
            continue;
        }
        int64_t n = number_of(b->tables[0], b->signal, 0);
        for (uint32_t k = 0; k < w->ntables; k++)
            if (n >= w->tables[k]->tmin_ns && n <= w->tables[k]->tmax_ns) return i;
    }
    cr_assert_fail("a batch that is a part of none");
    return 0;
}

static void check_decoded(const struct batch *b)
{
    struct buf bytes, again;
    struct arena a;
    struct batch d;
    buf_init(&bytes, 16 << 20, NULL);
    buf_init(&again, 16 << 20, NULL);
    arena_init(&a, NULL);
    batch_encode(b, NULL, &bytes);
    cr_assert_eq(batch_decode(buf_view(&bytes), &a, NULL, &d), OK, "%s", err_detail());
    cr_assert_eq(d.nrows, b->nrows);
    cr_assert(hash128_eq(d.content, b->content) && str_eq(d.index, b->index));
    cr_assert_eq(d.ntables, b->ntables);
    for (uint32_t i = 0; i < b->ntables; i++) {
        cr_assert_eq(d.tables[i]->nrows, b->tables[i]->nrows);
        for (uint32_t k = 0; k < b->tables[i]->nrows; k++)
            full_row_equal(d.tables[i], k, b->tables[i], k);
    }
    if (b->metrics) cr_assert_str_eq(batch_text(d.metrics, &a), batch_text(b->metrics, &a));
    batch_encode(&d, NULL, &again);
    cr_assert(str_eq(buf_view(&bytes), buf_view(&again)));
    batch_release(&d);
    arena_deinit(&a);
    buf_deinit(&bytes);
    buf_deinit(&again);
}

static void check_part(const struct request *q, const struct batch_part *part, struct place *places, uint32_t *metas, uint64_t *rows)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < part->n; i++) {
        const struct batch *b = part->batches[i];
        uint32_t w = whole_of(q, b, from);
        from = w + 1;
        cr_assert(str_eq(b->index, q->p[w]->index));
        rows[w] += b->nrows;
        for (uint32_t k = 0; k < b->ntables; k++)
            check_rows(w, part->stream, b->signal, b->tables[k], places);
        if (b->metrics) {
            cr_assert(b->metrics->nmeta == 0 || b->metrics->nmeta == q->p[w]->metrics->nmeta);
            metas[w] += b->metrics->nmeta > 0;
            check_metrics(q, q->p[w], part->stream, b, b->metrics->nmeta > 0);
            if (b->metrics->exemplars) check_rows(w, part->stream, SIG_EXEMPLARS, b->metrics->exemplars, places);
        }
        check_decoded(b);
    }
}

static void check_split(const struct request *q, const struct batch_parts *parts, struct place *places)
{
    uint32_t metas[BATCHES] = { 0 };
    uint64_t rows[BATCHES] = { 0 };
    memset(places, 0, NUMBERS_MAX * sizeof *places);
    for (uint32_t i = 0; i < q->n; i++) {
        for (uint32_t k = 0; k < q->p[i]->ntables; k++)
            note_rows(q, i, q->p[i]->signal, q->p[i]->tables[k], places);
        if (q->p[i]->metrics && q->p[i]->metrics->exemplars) note_rows(q, i, SIG_EXEMPLARS, q->p[i]->metrics->exemplars, places);
    }
    cr_assert_geq(parts->n, 1);
    for (uint32_t i = 0; i < parts->n; i++) {
        for (uint32_t k = 0; k < i; k++)
            cr_assert_neq(parts->parts[i].stream, parts->parts[k].stream);
        cr_assert_gt(parts->parts[i].n, 0);
        check_part(q, &parts->parts[i], places, metas, rows);
    }
    for (int64_t n = 0; n <= q->number; n++)
        cr_assert_null(places[n].t, "row %lld is in no part", (long long)n);
    for (uint32_t i = 0; i < q->n; i++) {
        cr_assert_eq(rows[i], q->p[i]->nrows);
        if (q->p[i]->metrics) cr_assert_eq(metas[i], q->p[i]->metrics->nmeta > 0);
    }
}

Test(batch_split, the_parts_are_the_whole)
{
    struct place *places = calloc(NUMBERS_MAX, sizeof *places);
    uint32_t several = 0, made = 0, kept = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct request *q = request_of(seed);
        struct batch_cut cut = cut_of(q);
        struct batch_parts parts;
        cr_assert_eq(batch_split(q->p, q->n, &cut, &q->a, &q->budget, &parts), OK);
        check_split(q, &parts, places);
        several += parts.n > 1;
        made += parts.nmade;
        for (uint32_t i = 0; i < parts.n && parts.n > 1; i++)
            for (uint32_t k = 0; k < parts.parts[i].n; k++)
                kept += parts.parts[i].batches[k] >= q->batch && parts.parts[i].batches[k] < q->batch + BATCHES;
        batch_parts_release(&parts);
        request_free(q);
    }
    free(places);
    cr_assert(several > 100 && made > 500 && kept > 20 && pauses > 500, "%u %u %u %u", several, made, kept, pauses);
}

/* -- names of content -------------------------------------------------------------------------------------------- */

static uint64_t rows_sum(const struct table *t, enum signal signal)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < t->nrows; i++)
        sum += hash_u64((uint64_t)number_of(t, signal, i));
    return sum;
}

/* What a part holds, whatever the order; equal sums, equal rows. */
static uint64_t part_sum(const struct batch_part *p)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct batch *b = p->batches[i];
        const struct metric_batch *m = b->metrics;
        for (uint32_t k = 0; k < b->ntables; k++)
            sum += rows_sum(b->tables[k], b->signal);
        if (!m) continue;
        if (m->exemplars) sum += rows_sum(m->exemplars, SIG_EXEMPLARS);
        sum += m->nmeta ? hash_u64((uint64_t)(uintptr_t)m->meta) : 0;
        for (uint32_t k = 0; k < m->nsamples; k++)
            sum += hash_u64((uint64_t)m->t_ms[k]);
        for (uint32_t k = 0; k < m->nhists; k++)
            sum += hash_u64((uint64_t)m->ht_ms[k]);
    }
    return sum;
}

/* A request cut in one way, and again when its partitions lie in other streams: parts of the same key hold the same. */
Test(batch_split, equal_keys_are_equal_rows)
{
    enum { WAYS = 6, PARTS_MAX = 64 };
    uint32_t same = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct request *q = request_of(seed);
        struct batch_parts parts[WAYS];
        struct { hash128 key; uint64_t sum; uint32_t way; } got[PARTS_MAX];
        uint32_t n = 0;
        for (uint32_t way = 0; way < WAYS; way++) {
            struct prng r;
            prng_init(&r, seed * 10 + way / 2); /* each way twice */
            some_map(q, &r);
            struct batch_cut cut = cut_of(q);
            cr_assert_eq(batch_split(q->p, q->n, &cut, &q->a, &q->budget, &parts[way]), OK);
            for (uint32_t i = 0; i < parts[way].n; i++, n++) {
                got[n].key = request_key(parts[way].parts[i].batches, parts[way].parts[i].n);
                got[n].sum = part_sum(&parts[way].parts[i]);
                got[n].way = way;
                uint32_t before = 0;
                for (uint32_t k = 0; k < n; k++) {
                    if (!hash128_eq(got[k].key, got[n].key)) continue;
                    cr_assert_eq(got[k].sum, got[n].sum, "seed %llu: other rows under the same key", (unsigned long long)seed);
                    cr_assert_neq(got[k].way, way, "two parts of one key");
                    before++;
                }
                if (way % 2) cr_assert_gt(before, 0, "the same cut gives other keys");
                same += before;
            }
        }
        for (uint32_t way = 0; way < WAYS; way++)
            batch_parts_release(&parts[way]);
        request_free(q);
    }
    cr_assert_gt(same, 0);
}

static const hash128 *key_of(const struct batch_parts *parts, uint32_t stream, hash128 *out)
{
    for (uint32_t i = 0; i < parts->n; i++) {
        if (parts->parts[i].stream != stream) continue;
        *out = request_key(parts->parts[i].batches, parts->parts[i].n);
        return out;
    }
    return NULL;
}

/* Keys can be had without cutting, and a part keeps its own when the others all go to one that is left out. */
Test(batch_split, keys_alone_and_parts_left_out)
{
    uint32_t seen = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct request *q = request_of(seed);
        struct batch_parts whole, keys, some;
        struct batch_cut cut = cut_of(q), only = cut;
        only.keys = true;
        cr_assert_eq(batch_split(q->p, q->n, &cut, &q->a, &q->budget, &whole), OK);
        int64_t used = q->budget.used;
        cr_assert_eq(batch_split(q->p, q->n, &only, &q->a, &q->budget, &keys), OK);
        cr_assert_eq(q->budget.used, used, "keys cost no rows");
        cr_assert_eq(keys.n, whole.n);
        uint32_t one = (uint32_t)(seed % q->nstreams), *left = ARENA_RAW(&q->a, uint32_t, q->partitions);
        for (uint32_t p = 0; p < q->partitions; p++)
            left[p] = q->stream_of[p] == one ? one : q->nstreams;
        const struct batch_cut part = { q->partitions, left, q->nstreams + 1, NULL };
        cr_assert_eq(batch_split(q->p, q->n, &part, &q->a, &q->budget, &some), OK);
        for (uint32_t st = 0; st < q->nstreams; st++) {
            hash128 a, b, c;
            const hash128 *w = key_of(&whole, st, &a), *k = key_of(&keys, st, &b), *o = key_of(&some, st, &c);
            cr_assert_eq(w == NULL, k == NULL);
            if (w) cr_assert(hash128_eq(*w, *k), "seed %llu", (unsigned long long)seed);
            if (w && st == one) cr_assert(o && hash128_eq(*w, *o), "seed %llu", (unsigned long long)seed);
            seen += w && whole.n > 1;
        }
        batch_parts_release(&some);
        batch_parts_release(&keys);
        batch_parts_release(&whole);
        request_free(q);
    }
    cr_assert_gt(seen, 300);
}

Test(batch_split, what_is_never_known_again_stays_so)
{
    struct request *q = request_of(7);
    struct batch_parts parts;
    struct batch_cut cut = cut_of(q);
    for (uint32_t i = 0; i < q->n; i++)
        q->batch[i].content = (hash128){ 0, 0 };
    cr_assert_eq(batch_split(q->p, q->n, &cut, &q->a, &q->budget, &parts), OK);
    for (uint32_t i = 0; i < parts.n; i++)
        cr_assert(hash128_eq(request_key(parts.parts[i].batches, parts.parts[i].n), (hash128){ 0, 0 }));
    batch_parts_release(&parts);
    request_free(q);
}

Test(batch_split, one_stream_copies_nothing)
{
    struct request *q = request_of(3);
    struct batch_parts parts;
    for (uint32_t nstreams = 1; nstreams <= 5; nstreams += 4) {
        struct batch_cut cut = { q->partitions, q->stream_of, nstreams, NULL };
        for (uint32_t i = 0; i < q->partitions; i++)
            q->stream_of[i] = nstreams - 1;
        int64_t used = q->budget.used;
        cr_assert_eq(batch_split(q->p, q->n, &cut, &q->a, &q->budget, &parts), OK);
        cr_assert(parts.n == 1 && parts.nmade == 0 && parts.parts[0].n == q->n && parts.parts[0].stream == nstreams - 1);
        for (uint32_t i = 0; i < q->n; i++)
            cr_assert_eq(parts.parts[0].batches[i], q->p[i]);
        cr_assert_eq(q->budget.used, used);
        batch_parts_release(&parts);
    }
    request_free(q);
}

Test(batch_split, a_budget_that_refuses_leaves_nothing)
{
    uint32_t refused = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct request *q = request_of(seed);
        struct batch_cut cut = cut_of(q);
        for (int64_t hard = 1; hard < 1 << 22; hard *= 4) {
            struct budget small;
            struct batch_parts parts;
            budget_init(&small, "small", NULL, hard, ERR_OVERLOAD);
            err_t e = batch_split(q->p, q->n, &cut, &q->a, &small, &parts);
            cr_assert(e == OK || e == ERR_OVERLOAD);
            refused += e != OK;
            if (e == OK) batch_parts_release(&parts);
            cr_assert_eq(parts.nmade, 0);
            cr_assert_eq(small.used, 0);
        }
        request_free(q);
    }
    cr_assert_gt(refused, 40);
}
