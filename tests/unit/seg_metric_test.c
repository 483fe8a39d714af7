/* Metric segments and the selection over segments and memtables, against the model. The container (seg.h) is
 * played by arrays in memory, so that this tests the metrics' own format and nothing else. */
#include "metric_model.h"
#include "storage/partition.h"
#include "storage/seg_metric.h"
#include "storage/shard.h"

#include <math.h>

enum { GROUPS_MAX = 4, GENERATIONS = 5, STEPS = 400 };

struct seg_writer {
    struct buf bytes;
    struct arena mem;
    struct seg_group group[GROUPS_MAX];
    uint32_t ngroups, chunks;
};
struct seg {
    struct seg_writer w;
    struct seg_info info;
};

err_t seg_writer_chunk(struct seg_writer *w, struct str bytes, uint32_t raw_size, struct seg_chunk *out)
{
    *out = (struct seg_chunk){ w->bytes.n, (uint32_t)bytes.n, raw_size, hash64(bytes) };
    buf_str(&w->bytes, bytes);
    w->chunks++;
    return OK;
}
err_t seg_writer_group(struct seg_writer *w, const struct seg_group *g)
{
    struct seg_group *to = &w->group[w->ngroups++];
    *to = *g;
    to->tenant = arena_str(&w->mem, g->tenant);
    to->meta = arena_str(&w->mem, g->meta);
    return OK;
}
const struct seg_info *seg_info(const struct seg *s) { return &s->info; }
uint32_t seg_ngroups(const struct seg *s) { return s->w.ngroups; }
const struct seg_group *seg_group(const struct seg *s, uint32_t i) { return &s->w.group[i]; }
err_t seg_read(struct seg *s, const struct seg_chunk *c, struct arena *a, struct str *out)
{
    if (c->off > s->w.bytes.n || c->size > s->w.bytes.n - c->off) return err_set(ERR_CORRUPT, "chunk");
    struct str bytes = str_n(s->w.bytes.p + c->off, c->size);
    if (hash64(bytes) != c->hash) return err_set(ERR_CORRUPT, "hash");
    *out = str_n(arena_dup(a, bytes.p, bytes.n), bytes.n);
    return OK;
}

static void fake_seal(struct mem_metric *m, struct seg *s)
{
    *s = (struct seg){ .info = { .core = 0, .cores = 1 } };
    buf_init(&s->w.bytes, SIZE_MAX, NULL);
    arena_init(&s->w.mem, NULL);
    cr_assert_eq(mem_metric_seal(m, NULL, &s->w), OK, "%s", err_detail());
}
static void fake_free(struct seg *s)
{
    buf_deinit(&s->w.bytes);
    arena_deinit(&s->w.mem);
}

/* Some generations as segments, the others as memtables. */
struct world {
    struct seg seg[GENERATIONS];
    struct seg *segs[GENERATIONS];
    struct mem gen[GENERATIONS];
    struct mem *mems[GENERATIONS];
    struct view v;
};

static void world_make(struct world *w, struct prng *r, uint32_t sealed, bool rare)
{
    memset(w, 0, sizeof *w);
    for (uint32_t g = 0; g < GENERATIONS; g++) {
        struct mem_metric *m = mem_metric_new(NULL);
        insert_steps(m, r, rare, g * STEPS / GENERATIONS, (g + 1) * STEPS / GENERATIONS);
        struct metric_meta meta[2] = { { STR("up"), STR("gauge"), STR(""), arena_printf(&mem, "of %u", g) },
                                       { arena_printf(&mem, "f%u", g), STR("counter"), STR("s"), STR("") } };
        mem_metric_meta(m, STR("t"), meta, 2);
        mem_metric_meta(m, STR("other"), meta, 1);
        if (g < sealed) {
            fake_seal(m, &w->seg[g]);
            mem_metric_free(m);
            w->segs[w->v.nsegs++] = &w->seg[g];
        } else {
            w->gen[g].metrics = m;
            w->mems[w->v.nmems++] = &w->gen[g];
        }
    }
    w->v.segs = w->segs;
    w->v.mems = w->mems;
    w->v.tenant = STR("t");
    w->v.cores = 1;
    w->v.partitions = 64;
    arena_init(&w->v.mem, NULL);
}
static void view_again(struct world *w)
{
    arena_deinit(&w->v.mem);
    arena_init(&w->v.mem, NULL);
    w->v.metrics = NULL;
}
static void world_free(struct world *w)
{
    arena_deinit(&w->v.mem);
    for (uint32_t i = 0; i < w->v.nsegs; i++)
        fake_free(w->segs[i]);
    for (uint32_t i = 0; i < w->v.nmems; i++)
        mem_metric_free(w->mems[i]->metrics);
}

static bool has_sample(uint32_t i, int64_t from, int64_t to)
{
    for (int64_t t = 0; t < TIMES; t++)
        if (model[i][t].there && real_time(t) >= from && real_time(t) <= to) return true;
    return false;
}

static uint64_t blocks_seen;

/* What a block says of its samples, against them. */
static void check_block(const struct metric_block *b, const struct samples *got)
{
    double reset_sum = 0;
    cr_assert(b->usable && b->stale == 0);
    cr_assert_eq(b->n, got->n);
    cr_assert_eq(b->tmin_ms, got->t_ms[0]);
    cr_assert_eq(b->tmax_ms, got->t_ms[got->n - 1]);
    double min = got->v[0], max = min, sum = 0;
    for (uint32_t i = 0; i < got->n; i++) {
        cr_assert(!got->hist || !got->hist[i]);
        min = fmin(min, got->v[i]);
        max = fmax(max, got->v[i]);
        sum += got->v[i];
        if (i && got->v[i] < got->v[i - 1]) reset_sum += got->v[i - 1];
    }
    cr_assert(b->first == got->v[0] && b->last == got->v[got->n - 1] && b->min == min && b->max == max);
    cr_assert_float_eq(b->sum, sum, 1e-9 * (1 + fabs(sum)));
    if (b->resets_known) cr_assert_float_eq(b->reset_sum, reset_sum, 1e-9 * (1 + reset_sum));
    blocks_seen++;
}

/* Pieces follow each other, and together hold what metrics_samples gives for the whole range. */
static void check_pieces(struct world *w, const struct mseries *s, int64_t from, int64_t to, const struct samples *whole, struct arena *a)
{
    struct metric_piece *p;
    uint32_t n, at = 0;
    cr_assert_eq(metrics_pieces(&w->v, s, from, to, a, &p, &n), OK, "%s", err_detail());
    for (uint32_t i = 0; i < n; i++) {
        struct samples got;
        cr_assert(p[i].tmin_ms >= from && p[i].tmax_ms <= to && p[i].tmin_ms <= p[i].tmax_ms);
        if (i) cr_assert_gt(p[i].tmin_ms, p[i - 1].tmax_ms);
        cr_assert_eq(metrics_samples(&w->v, s, p[i].tmin_ms, p[i].tmax_ms, a, &got), OK);
        for (uint32_t k = 0; k < got.n; k++) {
            cr_assert(!got.unmarked || got.hist || !is_stale_nan(got.v[k]));
            cr_assert(!got.rising || k == 0 || got.v[k] >= got.v[k - 1]);
        }
        for (uint32_t k = 0; k < got.n; k++, at++) {
            cr_assert_lt(at, whole->n);
            cr_assert_eq(got.t_ms[k], whole->t_ms[at]);
        }
        if (p[i].block) check_block(p[i].block, &got);
    }
    cr_assert_eq(at, whole->n);
}

static void check_samples(struct world *w, const struct mseries *s, uint32_t i, int64_t from, int64_t to)
{
    struct arena a;
    struct samples got;
    arena_init(&a, NULL);
    cr_assert_eq(metrics_samples(&w->v, s, from, to, &a, &got), OK, "%s", err_detail());
    uint32_t want = 0;
    for (uint32_t x = 1; x < got.n; x++)
        cr_assert_gt(got.t_ms[x], got.t_ms[x - 1]);
    for (int64_t t = 0; t < TIMES; t++) {
        const struct cell *c = &model[i][t];
        int64_t at = real_time(t);
        if (!c->there || at < from || at > to) continue;
        want++;
        uint32_t x = 0;
        while (x < got.n && got.t_ms[x] != at)
            x++;
        cr_assert_lt(x, got.n);
        cr_assert_eq(c->hist, got.hist && got.hist[x]);
        cr_assert_eq(c->hist ? got.hist[x]->sum : got.v[x], c->v);
        cr_assert_eq(c->st, got.st_ms ? got.st_ms[x] : ST_NONE);
    }
    cr_assert_eq(want, got.n);
    check_pieces(w, s, from, to, &got, &a);
    arena_deinit(&a);
}

/* One selection against brute force; samples of a few of its series. */
static void check_select(struct world *w, struct prng *r, uint64_t *hits)
{
    struct matcher ms[3];
    uint32_t nm = (uint32_t)prng_below(r, 4), n;
    bool narrow = prng_chance(r, 0.3);
    int64_t from = narrow ? real_time((int64_t)prng_below(r, TIMES)) : INT64_MIN, to = narrow ? from + 3000 : INT64_MAX;
    for (uint32_t i = 0; i < nm; i++)
        ms[i] = some_matcher(r);
    struct mseries *s;
    cr_assert_eq(metrics_select(&w->v, ms, nm, from, to, &s, &n), OK, "%s", err_detail());
    *hits += n;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < SERIES; i++) {
        bool ok = partition_series(w->v.tenant, ids[i], w->v.partitions) % w->v.cores == w->v.core;
        for (uint32_t x = 0; x < nm; x++)
            ok &= accepts(&ms[x], &all[i]);
        uint32_t k = 0;
        while (k < n && !hash128_eq(s[k].id, ids[i]))
            k++;
        if (!ok) cr_assert_eq(k, n);
        if (ok && has_sample(i, from, to)) cr_assert_lt(k, n);
        if (k == n) continue;
        seen++;
        cr_assert(str_eq(labels_encode(&s[k].labels, &mem), canonical[i]));
        if (prng_chance(r, 0.05)) check_samples(w, &s[k], i, from, to);
    }
    cr_assert_eq(seen, n);
    for (uint32_t i = 0; i < nm; i++)
        if (ms[i].op == MATCH_RE || ms[i].op == MATCH_NRE) regex_free(ms[i].re);
}

static void check_world(uint32_t sealed, bool rare)
{
    static struct world w;
    struct prng r;
    uint64_t hits = 0;
    prng_init(&r, 31 + sealed);
    arena_init(&mem, NULL);
    memset(model, 0, sizeof model);
    make_series(&r);
    world_make(&w, &r, sealed, rare);
    for (uint32_t k = 0; k < 300; k++) {
        if (k % 10 == 0) view_again(&w);
        check_select(&w, &r, &hits);
    }
    cr_assert_gt(hits, 1000);
    cr_assert_gt(w.v.counts.samples, 0);
    /* Segments written by one core, read by two. */
    w.v.cores = 2;
    uint64_t halves = 0;
    for (uint32_t core = 0; core < 2 && w.v.nmems == 0; core++) {
        struct mseries *s;
        uint32_t n;
        w.v.core = core;
        view_again(&w);
        cr_assert_eq(metrics_select(&w.v, NULL, 0, INT64_MIN, INT64_MAX, &s, &n), OK);
        halves += n;
        check_select(&w, &r, &hits);
    }
    if (w.v.nmems == 0) cr_assert_eq(halves, SERIES);
    w.v.cores = 1;
    w.v.core = 0;
    struct metric_meta *meta;
    uint32_t n;
    view_again(&w);
    cr_assert_eq(metrics_meta(&w.v, STR("up"), &mem, &meta, &n), OK);
    cr_assert(n == 1 && str_is(meta[0].help, "of 4") && str_is(meta[0].type, "gauge"));
    cr_assert_eq(metrics_meta(&w.v, STR(""), &mem, &meta, &n), OK);
    cr_assert_eq(n, 1 + GENERATIONS);
    w.v.tenant = STR("nobody");
    view_again(&w);
    struct mseries *s;
    cr_assert_eq(metrics_select(&w.v, NULL, 0, INT64_MIN, INT64_MAX, &s, &n), OK);
    cr_assert_eq(n, 0);
    world_free(&w);
    arena_deinit(&mem);
}

Test(seg_metric, memtables_only) { check_world(0, true); }
Test(seg_metric, segments_and_memtables) { check_world(3, true); }
Test(seg_metric, segments_only) { check_world(GENERATIONS, true); }
Test(seg_metric, floats_only) { check_world(3, false); }

/* Another series (8) of the same times has them at the same place, whatever part of them is asked for. */
static void check_shared_times(struct world *w, const struct mseries *of, uint32_t no, struct str other, const struct samples *got)
{
    const int64_t ranges[][2] = { { INT64_MIN, INT64_MAX }, { got->t_ms[10], got->t_ms[1400] }, { got->t_ms[1030], INT64_MAX }, { 0, 1 } };
    const uint32_t first[] = { 0, 10, 1030, 0 }, count[] = { got->n, 1391, got->n - 1030, 0 };
    struct matcher eq = { .op = MATCH_EQ, .name = STR("v"), .value = other };
    struct mseries *s;
    uint32_t n;
    cr_assert_eq(metrics_select(&w->v, &eq, 1, INT64_MIN, INT64_MAX, &s, &n), OK);
    cr_assert(got->times_stay && got->unmarked && got->rising);
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        struct samples x, y;
        cr_assert_eq(metrics_samples(&w->v, of, ranges[i][0], ranges[i][1], &mem, &x), OK);
        cr_assert_eq(metrics_samples(&w->v, &s[0], ranges[i][0], ranges[i][1], &mem, &y), OK);
        cr_assert(x.n == count[i] && y.n == count[i]);
        if (x.n) cr_assert(x.times_stay && y.times_stay && x.t_ms == y.t_ms);
        for (uint32_t k = 0; k < x.n; k++) {
            cr_assert_eq(x.t_ms[k], got->t_ms[first[i] + k]);
            cr_assert(x.v[k] == no * (first[i] + k) && y.v[k] == 8 * (first[i] + k));
        }
    }
}

/* Many values of a label make several parts, long values cut the parts' first ones; long series make several
 * blocks; equal times are stored once. */
Test(seg_metric, parts_pages_and_blocks)
{
    enum { N = 3000, LONG = 1000, SCRAPES = 1500 };
    arena_init(&mem, NULL);
    struct prng r;
    prng_init(&r, 77);
    struct mem_metric *m = mem_metric_new(NULL);
    struct metric_batch b = { .nseries = N, .nsamples = N };
    b.id = ARENA_ARRAY(&mem, hash128, N);
    b.canonical = ARENA_ARRAY(&mem, struct str, N);
    b.series = ARENA_ARRAY(&mem, uint32_t, N);
    b.t_ms = ARENA_ARRAY(&mem, int64_t, N);
    b.value = ARENA_ARRAY(&mem, double, N);
    struct str *value = ARENA_ARRAY(&mem, struct str, N);
    for (uint32_t i = 0; i < N; i++) {
        char *p = arena_alloc(&mem, LONG + 20);
        memset(p, 'x', LONG);
        snprintf(p + (i % 2 ? LONG : 10), 10, "%05u", i);
        if (i % 2 == 0) p[15] = 'x';
        value[i] = str_n(p, LONG + (i % 2 ? 5 : 0));
        struct label l[2] = { { STR("__name__"), STR("m") }, { STR("v"), value[i] } };
        struct labels ls = { 2, l };
        b.canonical[i] = labels_encode(&ls, &mem);
        b.id[i] = series_id(b.canonical[i]);
        b.series[i] = i;
    }
    for (uint32_t k = 0; k < SCRAPES; k++) {
        for (uint32_t i = 0; i < N; i++) {
            b.t_ms[i] = 1700000000000 + k * 15000 + (k * 7919) % 11;
            b.value[i] = (double)((i % 10) * k);
        }
        b.nsamples = k < 2 ? N : 10;
        mem_metric_insert(m, STR("t"), &b, NULL);
    }
    static struct world w;
    memset(&w, 0, sizeof w);
    fake_seal(m, &w.seg[0]);
    mem_metric_free(m);
    w.segs[0] = &w.seg[0];
    w.v = (struct view){ .segs = w.segs, .nsegs = 1, .tenant = STR("t"), .cores = 1, .partitions = 64 };
    arena_init(&w.v.mem, NULL);
    struct mseries *s;
    uint32_t n;
    for (uint32_t i = 0; i < N; i += 97) {
        struct matcher eq = { .op = MATCH_EQ, .name = STR("v"), .value = value[i] };
        view_again(&w);
        cr_assert_eq(metrics_select(&w.v, &eq, 1, INT64_MIN, INT64_MAX, &s, &n), OK);
        cr_assert(n == 1 && hash128_eq(s[0].id, b.id[i]));
    }
    cr_assert_gt(w.v.metrics != NULL, 0);
    struct matcher eq = { .op = MATCH_EQ, .name = STR("v"), .value = value[7] };
    cr_assert_eq(metrics_select(&w.v, &eq, 1, INT64_MIN, INT64_MAX, &s, &n), OK);
    struct samples got;
    cr_assert_eq(metrics_samples(&w.v, &s[0], INT64_MIN, INT64_MAX, &mem, &got), OK);
    cr_assert_eq(got.n, SCRAPES);
    for (uint32_t k = 0; k < SCRAPES; k++)
        cr_assert(got.v[k] == 7 * k && got.t_ms[k] == 1700000000000 + k * 15000 + (k * 7919) % 11);
    check_pieces(&w, &s[0], INT64_MIN, INT64_MAX, &got, &mem);
    cr_assert_eq(blocks_seen, 2);
    check_shared_times(&w, &s[0], 7, value[8], &got);
    got.t_ms = arena_dup(&mem, got.t_ms, got.n * sizeof *got.t_ms); /* they are the view's */
    for (uint32_t k = 0; k < 2; k++) { /* a block of which only a part is asked for is a range */
        int64_t from = got.t_ms[10], to = k ? INT64_MAX : got.t_ms[1400];
        struct samples cut;
        struct metric_piece *p;
        uint32_t np;
        cr_assert_eq(metrics_samples(&w.v, &s[0], from, to, &mem, &cut), OK);
        check_pieces(&w, &s[0], from, to, &cut, &mem);
        cr_assert_eq(metrics_pieces(&w.v, &s[0], from, to, &mem, &p, &np), OK);
        cr_assert(np == 1 + k && !p[0].block && (k == 0 || p[1].block));
    }
    /* A memtable with one sample inside the second block, and one behind it. */
    w.gen[0].metrics = mem_metric_new(NULL);
    w.mems[0] = &w.gen[0];
    uint32_t one = 0;
    struct metric_batch late = { .nseries = 1, .id = &b.id[7], .canonical = &b.canonical[7], .nsamples = 1, .series = &one };
    for (uint32_t k = 0; k < 2; k++) {
        int64_t t = k ? got.t_ms[1200] + 1 : got.t_ms[SCRAPES - 1] + 15000;
        double v = 5;
        struct samples more;
        struct metric_piece *p;
        uint32_t np;
        late.t_ms = &t;
        late.value = &v;
        mem_metric_insert(w.gen[0].metrics, STR("t"), &late, NULL);
        view_again(&w);
        w.v.mems = w.mems;
        w.v.nmems = 1;
        cr_assert_eq(metrics_select(&w.v, &eq, 1, INT64_MIN, INT64_MAX, &s, &n), OK);
        cr_assert_eq(metrics_samples(&w.v, &s[0], INT64_MIN, INT64_MAX, &mem, &more), OK);
        check_pieces(&w, &s[0], INT64_MIN, INT64_MAX, &more, &mem);
        cr_assert_eq(metrics_pieces(&w.v, &s[0], INT64_MIN, INT64_MAX, &mem, &p, &np), OK);
        cr_assert_eq(more.n, SCRAPES + 1 + k);
        cr_assert(p[0].block && !p[np - 1].block && np == 3 - k);
    }
    /* 10 series share their times: a block of them is stored once, about half a byte a sample. */
    cr_assert_lt(w.seg[0].w.bytes.n, 400000, "%zu", w.seg[0].w.bytes.n);
    world_free(&w);
    arena_deinit(&mem);
}

/* A directory or a page from a hostile hand is an error or a wrong answer, never a crash. */
Test(seg_metric, hostile_bytes)
{
    static struct world w;
    struct prng r;
    prng_init(&r, 99);
    arena_init(&mem, NULL);
    memset(model, 0, sizeof model);
    make_series(&r);
    world_make(&w, &r, GENERATIONS, true);
    struct seg *s = w.segs[0];
    uint64_t refused = 0, read = 0;
    for (uint32_t k = 0; k < 600; k++) {
        struct seg broken = *s;
        struct seg_group *g = NULL;
        for (uint32_t i = 0; i < broken.w.ngroups; i++)
            if (str_is(broken.w.group[i].tenant, "t")) g = &broken.w.group[i];
        cr_assert(g);
        char *meta = malloc(g->meta.n), *bytes = malloc(s->w.bytes.n);
        memcpy(meta, g->meta.p, g->meta.n);
        memcpy(bytes, s->w.bytes.p, s->w.bytes.n);
        if (k % 2) meta[prng_below(&r, k % 4 == 1 ? 40 : g->meta.n)] = (char)prng_next(&r);
        g->meta = str_n(meta, k % 8 == 3 ? prng_below(&r, g->meta.n) : g->meta.n);
        broken.w.bytes.p = bytes;
        if (k % 2 == 0) bytes[prng_below(&r, s->w.bytes.n)] ^= (char)(1 << prng_below(&r, 8));
        struct seg *one = &broken;
        struct view v = { .segs = &one, .nsegs = 1, .tenant = STR("t"), .cores = 1, .partitions = 64 };
        struct budget budget;
        budget_init(&budget, "test", NULL, 64 << 20, ERR_LIMIT);
        v.budget = &budget;
        arena_init(&v.mem, &budget);
        struct mseries *found;
        struct matcher m = some_matcher(&r);
        uint32_t n = 0;
        err_t e = metrics_select(&v, &m, k % 3 == 0, INT64_MIN, INT64_MAX, &found, &n);
        cr_assert(e == OK || e == ERR_CORRUPT || e == ERR_LIMIT);
        refused += e != OK;
        for (uint32_t i = 0; e == OK && i < n; i++) {
            struct arena a;
            struct samples got;
            arena_init(&a, &budget);
            struct metric_piece *pieces;
            uint32_t npieces;
            err_t pieced = metrics_pieces(&v, &found[i], INT64_MIN, INT64_MAX, &a, &pieces, &npieces);
            cr_assert(pieced == OK || pieced == ERR_CORRUPT || pieced == ERR_LIMIT);
            err_t f = metrics_samples(&v, &found[i], INT64_MIN, INT64_MAX, &a, &got);
            cr_assert(f == OK || f == ERR_CORRUPT || f == ERR_LIMIT);
            refused += f != OK;
            read += f == OK;
            arena_deinit(&a);
        }
        if (m.re) regex_free(m.re);
        arena_deinit(&v.mem);
        free(meta);
        free(bytes);
    }
    cr_assert(refused > 100 && read > 1000, "%llu refused, %llu read", (unsigned long long)refused,
              (unsigned long long)read);
    world_free(&w);
    arena_deinit(&mem);
}
