/* PromQL over a store of several cores, its fragments run in place and through their bytes: the answers are the same to the bit, and so
 * are annotations and the samples that were read. Among the series are native histograms of both kinds, NaNs with a payload, stale
 * markers and -0. Bytes of plans and partials are cut at every place and changed, and nothing comes of it but errors.
 * With a folder as its argument it writes what it sends there, as seeds for fragment_fuzz. */
#include "base/core/assert.h"
#include "base/core/bytes_out.h"
#include "base/core/prng.h"
#include "base/rt/sim.h"
#include "query/fragments.h"
#include "query/promql/engine.h"
#include "query/promql/wire.h"
#include "storage/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *__asan_default_options(void); /* see sim.h: a stopped node leaks its fibers */
const char *__asan_default_options(void) { return "detect_leaks=0"; }

enum { HOSTS = 30, STEPS = 40, STEP_MS = 15000, PER_STEP = HOSTS * 3, STEPS_RUN_MAX = 2000 };
static const int64_t start_ms = 1700000000000;
static struct arena mem;
static struct kv *kv;
static struct store *st;
static const char *seeds;

static double of_bits(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, 8);
    return v;
}

/* -- what is stored ------------------------------------------------------------------------------------------ */
static const struct nhist *make_hist(uint32_t host, uint32_t step, bool custom)
{
    struct nhist *h = ARENA_NEW(&mem, struct nhist);
    struct nhist_span *spans = ARENA_ARRAY(&mem, struct nhist_span, 2);
    double *count = ARENA_ARRAY(&mem, double, 4), *bounds = ARENA_ARRAY(&mem, double, 4);
    spans[0] = (struct nhist_span){ custom ? 0 : -2 + (int32_t)(host % 3), 2 };
    spans[1] = (struct nhist_span){ 1, 1 };
    for (uint32_t i = 0; i < 3; i++) count[i] = step * (i + 1.0) + host % 2;
    for (uint32_t i = 0; i < 4; i++) bounds[i] = i + 0.1 + (host % 7 == 0 && i == 1 ? 0.5 : 0);
    *h = (struct nhist){ .schema = custom ? NHIST_CUSTOM : (int8_t)(host % 2), .npos_spans = 2, .pos_spans = spans, .npos = 3, .pos = count,
                         .count = step * 6.0 + 3 * (host % 2), .sum = step * 0.1 + host,
                         .ncustom = custom ? 4 : 0, .custom = custom ? bounds : NULL };
    if (custom) return h;
    h->zero_threshold = 0.001;
    h->zero_count = host % 5;
    h->count += h->zero_count;
    return h;
}

struct filling {
    struct metric_batch m;
    uint32_t series[PER_STEP], hseries[PER_STEP];
    int64_t t[PER_STEP], ht[PER_STEP];
    double v[PER_STEP];
    hash128 id[PER_STEP];
    struct str canonical[PER_STEP];
    const struct nhist *hist[PER_STEP];
};

static void add(struct filling *f, const char *name, uint32_t host, int64_t t, double v, const struct nhist *h)
{
    struct label l[] = { { STR("__name__"), str_of(name) },
                         { STR("host"), arena_printf(&mem, "h\"%u\xc3\xa9", host) },
                         { STR("zone"), arena_printf(&mem, "z%u", host % 3) } };
    struct labels ls = { 3, l };
    uint32_t k = f->m.nseries++;
    f->canonical[k] = labels_encode(&ls, &mem);
    f->id[k] = series_id(f->canonical[k]);
    if (h) {
        f->hist[f->m.nhists] = h;
        f->ht[f->m.nhists] = t;
        f->hseries[f->m.nhists++] = k;
    } else {
        f->v[f->m.nsamples] = v;
        f->t[f->m.nsamples] = t;
        f->series[f->m.nsamples++] = k;
    }
}

static double value(struct prng *r, uint32_t host, uint32_t step)
{
    if (host == 1) return of_bits(UINT64_C(0x7ff8000000000123) + step);
    if (host == 2) return -0.0;
    if (host == 3) return 7;
    if (host == 4 && step % 9 == 5) return of_bits(STALE_NAN_BITS);
    if (host == 5) return step % 2 ? INFINITY : 1e308;
    return (double)prng_below(r, 1000000) / 7;
}

static err_t fill(struct prng *r)
{
    for (uint32_t step = 0; step < STEPS; step++) {
        struct filling *f = ARENA_NEW(&mem, struct filling);
        int64_t t = start_ms + (int64_t)step * STEP_MS;
        for (uint32_t h = 0; h < HOSTS; h++) {
            if (prng_chance(r, 0.1)) continue;
            add(f, "g", h, t, value(r, h, step), NULL);
            add(f, "c_total", h, t, step * 10.0 + h + (h % 4 == 0 && step > 20 ? -200 : 0), NULL);
            if (h % 2) add(f, h % 3 ? "n" : "n_custom", h, t, 0, make_hist(h, step, h % 3 == 0));
        }
        f->m.id = f->id, f->m.canonical = f->canonical, f->m.series = f->series, f->m.t_ms = f->t, f->m.value = f->v;
        f->m.hseries = f->hseries, f->m.ht_ms = f->ht, f->m.hist = f->hist;
        struct batch b = { .tenant = STR("anonymous"), .signal = SIG_METRICS, .metrics = &f->m, .nrows = f->m.nsamples + f->m.nhists };
        struct batch *p = &b;
        TRY(store_append(st, &p, 1));
        if (step == STEPS / 2) TRY(store_seal(st));
    }
    return OK;
}

/* -- answers ------------------------------------------------------------------------------------------------- */
static void dump_hist(struct buf *b, const struct pq_hist *h)
{
    const double one[] = { h->zero_threshold, h->zero_count, h->count, h->sum };
    buf_byte(b, (uint8_t)h->schema);
    buf_byte(b, h->hint);
    buf_put(b, one, sizeof one);
    buf_put(b, h->custom, h->ncustom * sizeof(double));
    const struct pq_buckets *sides[] = { &h->pos, &h->neg };
    for (int s = 0; s < 2; s++) {
        buf_varint(b, sides[s]->n);
        buf_put(b, sides[s]->idx, sides[s]->n * sizeof(int32_t));
        buf_put(b, sides[s]->count, sides[s]->n * sizeof(double));
    }
}

static void dump(struct buf *b, struct arena *a, const struct pq_result *r)
{
    buf_printf(b, "%d %u samples %lld\n", r->value.type, r->value.m.n, (long long)r->samples);
    if (r->value.type == PQ_SCALAR) buf_put(b, r->value.scalar, sizeof(double) * r->grid.n);
    for (uint32_t i = 0; i < r->value.m.n; i++) {
        const struct pq_row *row = &r->value.m.rows[i];
        buf_str(b, pq_labels_text(a, &row->labels));
        buf_put(b, row->have, r->grid.n);
        for (uint32_t k = 0; k < r->grid.n; k++)
            if (row->have[k] == PQ_CELL_FLOAT) bytes_out_f64(b, row->v[k]);
            else if (row->have[k] == PQ_CELL_HIST) dump_hist(b, row->h[k]);
    }
    for (uint32_t i = 0; i < r->npoints; i++) {
        const struct pq_samples *s = &r->points[i].s;
        buf_str(b, pq_labels_text(a, &r->points[i].labels));
        buf_put(b, s->t, s->n * sizeof *s->t);
        for (uint32_t k = 0; k < s->n; k++)
            if (s->h && s->h[k]) dump_hist(b, s->h[k]);
            else bytes_out_f64(b, s->v[k]);
    }
    for (uint32_t i = 0; i < r->notes.n; i++) {
        buf_str(b, pq_note_text(a, &r->notes.notes[i], r->text));
        buf_byte(b, '\n');
    }
}

static void answer(const char *text, bool instant, int64_t samples_max, bool encode, struct buf *out)
{
    struct budget all, one;
    struct arena a;
    struct query q = { .store = st, .tenant = STR("anonymous") };
    struct pq_query pq = { .text = str_of(text), .start_ms = start_ms + 5 * STEP_MS + 1, .end_ms = start_ms + (STEPS - 2) * STEP_MS,
                           .step_ms = 20000, .instant = instant, .samples_max = samples_max };
    struct pq_ast ast = { 0 };
    struct pq_result r = { 0 };
    budget_init(&all, "test", NULL, 256 << 20, ERR_LIMIT);
    query_begin(&q, &one, &a, &all, 128 << 20, 0);
    if (instant) pq.start_ms = pq.end_ms;
    scatter_encode_always(encode);
    err_t e = pq_run(&pq, &q, &a, &ast, &r);
    if (e == OK) dump(out, &a, &r);
    else buf_printf(out, "%s: %s", err_name(e), err_detail());
    pq_result_free(&r);
    pq_ast_deinit(&ast);
    query_end(&q);
    scatter_encode_always(false);
    ASSERT(atomic_load(&all.used) == 0);
}

static const char *const queries[] = {
    "g", "-g", "g offset 1m", "g @ 1700000100", "g @ end()", "g{host=~\"h.[1-5].*\",zone!=\"z9\"}", "{__name__=~\"n.*\"}", "missing",
    "rate(c_total[2m])", "increase(c_total[1m] offset 30s)", "resets(c_total[5m])", "rate(g[2m])", "rate(n[2m])", "rate(n_custom[2m])",
    "quantile_over_time(scalar(max(g)) * 0, g[3m])", "predict_linear(g[5m], 60)", "max_over_time(g[3m:30s])",
    "max_over_time(rate(c_total[1m])[3m:30s] @ end())", "clamp(g, 2, scalar(vector(3) + on() vector(1)))", "g > 5", "g > bool 5", "2 ^ g % 3",
    "sum(g)", "sum by (zone) (g)", "sum without (host) (g)", "avg by (zone) (g)", "count by (zone) (g > 5)", "min by (zone) (g)",
    "max(g)", "stddev by (zone) (g)", "stdvar(g)", "group by (zone) (g)", "topk(3, g)", "bottomk by (zone) (1, c_total)",
    "quantile(0.5, g)", "count_values(\"v\", g)", "limitk(4, g)", "sum(rate(c_total[1m])) by (zone) / 3",
    "sum(n)", "avg by (zone) (n)", "sum(n_custom)", "avg(n_custom)", "sum({__name__=~\"n|g\"})", "sum({__name__=~\"n.*\"})", "count(n)", "max(n)",
    "histogram_quantile(0.9, sum(rate(n[2m])))", "histogram_count(n)", "histogram_sum(rate(n[1m]))", "n * 2 - n", "histogram_fraction(0, 1, n)",
    "absent_over_time(g[1m])", "absent(missing)", "timestamp(g)", "timestamp(-g)", "label_replace(g, \"x\", \"$1\", \"host\", \"(.*)\")",
    "g + on(host) group_left c_total", "g and c_total", "day_of_week(g)", "sum(g) by (zone) @ 1700000200", "sort_desc(g)", "quantile(2, g)",
    "sum(sum_over_time(g[2m:10s]))", "changes(n[2m])", "deriv(g[2m])", "last_over_time({__name__=~\"n|g\"}[1m])", "time()", "g[", "rate(g)",
    "increase(c_total[2m] anchored)", "g[1m:10s]", "{__name__=~\"n.*\"}[1m]", "g[2m]",
};

static void compare_all(void)
{
    uint32_t bytes = 0;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++)
        for (int k = 0; k < 3; k++) { /* a range, a moment, too many samples */
            struct buf here, there;
            buf_init(&here, 64 << 20, NULL);
            buf_init(&there, 64 << 20, NULL);
            answer(queries[i], k == 1, k == 2 ? 500 : 0, false, &here);
            answer(queries[i], k == 1, k == 2 ? 500 : 0, true, &there);
            if (!str_eq(buf_view(&here), buf_view(&there))) printf("%s differs through bytes (%d)\n", queries[i], k);
            ASSERT(str_eq(buf_view(&here), buf_view(&there)));
            bytes += here.n;
            buf_deinit(&here);
            buf_deinit(&there);
        }
    ASSERT(bytes > 100000);
}

/* -- hostile bytes ------------------------------------------------------------------------------------------- */
static void write_seed(struct str plan, struct str partial)
{
    static int number;
    char path[512];
    if (!seeds) return;
    snprintf(path, sizeof path, "%s/promql_%02d", seeds, number++);
    FILE *f = fopen(path, "wb");
    ASSERT(f);
    uint8_t size[VARINT_MAX];
    fputc(6, f);
    fputs("promql", f);
    fwrite(size, 1, varint_put(size, plan.n), f);
    fwrite(plan.p, 1, plan.n, f);
    fwrite(partial.p, 1, partial.n, f);
    fclose(f);
}

static uint32_t strange_ran; /* plans that nobody wrote, and that were answered all the same */

/* What reads is run: it is as sound as a tree that was parsed. */
static bool plan_reads(struct query *q, const struct fragment_kind *kind, struct str bytes)
{
    const void *got;
    struct scatter sc;
    struct bytes_in in = bytes_in_of(bytes);
    if (kind->plan_get(q, &in, &got) != OK) return false;
    bool whole = in.p == in.end && !in.bad;
    if (whole && ((const struct pq_plan *)got)->grid.n <= STEPS_RUN_MAX && scatter_run(q, kind, got, &sc) == OK) {
        strange_ran++;
        scatter_free(&sc);
    }
    kind->plan_free(got);
    return whole;
}

static bool partial_reads(const struct fragment_kind *kind, const void *plan, struct str bytes)
{
    struct arena a;
    struct budget budget;
    void *got;
    struct bytes_in in = bytes_in_of(bytes);
    budget_init(&budget, "test", NULL, 64 << 20, ERR_LIMIT);
    arena_init(&a, &budget);
    bool read = kind->partial_get(plan, &in, &a, &got) == OK;
    arena_deinit(&a);
    return read && in.p == in.end && !in.bad;
}

/* Exactly sized copies, so that ASan sees a read past the end. */
static struct str copy(struct str s, size_t n)
{
    char *p = malloc(n ? n : 1);
    ASSERT(p);
    if (n) memcpy(p, s.p, n);
    return str_n(p, n);
}

static void harm(struct query *q, const struct fragment_kind *kind, const void *plan, struct str bytes, bool partial, struct prng *r)
{
    size_t stride = MAX(bytes.n / 400, (size_t)1);
    for (size_t n = 0; n < bytes.n; n += stride) {
        struct str cut = copy(bytes, n);
        bool read = partial ? partial_reads(kind, plan, cut) : plan_reads(q, kind, cut);
        ASSERT(!read);
        free((void *)(uintptr_t)cut.p);
        struct str other = copy(bytes, bytes.n);
        ((char *)(uintptr_t)other.p)[n] ^= (char)(1 + prng_below(r, 255));
        read = partial ? partial_reads(kind, plan, other) : plan_reads(q, kind, other);
        (void)read;
        free((void *)(uintptr_t)other.p);
        if (rt_checkpoint() != OK) return;
    }
}

/* One fragment, as a coordinator would ask for it: its bytes say the same when they are read and written again. */
static void one_fragment(const char *text, enum pq_ask ask, struct prng *r)
{
    const struct fragment_kind *kind = fragment_find(STR("promql"));
    struct budget all, one;
    struct arena a;
    struct query q = { .store = st, .tenant = STR("anonymous") };
    struct pq_ast ast;
    struct scatter sc;
    budget_init(&all, "test", NULL, 512 << 20, ERR_LIMIT);
    query_begin(&q, &one, &a, &all, 512 << 20, 0);
    ASSERT(pq_parse(str_of(text), &a, &ast) == OK);
    struct pq_env e = { .a = &a, .text = ast.text, .start_ms = start_ms, .end_ms = start_ms + 5 * 60000, .step_ms = 30000, .lookback_ms = 300000,
                        .default_step_ms = 60000, .samples = 3, .samples_max = 1000000 };
    ASSERT(pq_prepare(&e, ast.root) == OK);
    struct pq_plan plan = { ask, &e, ast.root, { start_ms, 30000, ask == PQ_ASK_POINTS ? 1 : 11 } };
    ASSERT(scatter_run(&q, kind, &plan, &sc) == OK);
    struct buf sent, again;
    buf_init(&sent, 64 << 20, NULL);
    buf_init(&again, 64 << 20, NULL);
    kind->plan_put(&plan, &sent);
    struct bytes_in in = bytes_in_of(buf_view(&sent));
    const void *got;
    ASSERT(kind->plan_get(&q, &in, &got) == OK && in.p == in.end);
    kind->plan_put(got, &again);
    ASSERT(str_eq(buf_view(&sent), buf_view(&again)));
    harm(&q, kind, NULL, buf_view(&sent), false, r);
    for (unsigned i = 0; i < sc.n; i++) {
        struct buf part, part_again;
        void *partial;
        buf_init(&part, 64 << 20, NULL);
        buf_init(&part_again, 64 << 20, NULL);
        kind->partial_put(got, sc.partials[i], &part);
        in = bytes_in_of(buf_view(&part));
        ASSERT(kind->partial_get(&plan, &in, &a, &partial) == OK && in.p == in.end);
        kind->partial_put(&plan, partial, &part_again);
        ASSERT(part.n > 2 && str_eq(buf_view(&part), buf_view(&part_again)));
        if (i == 0) harm(&q, kind, &plan, buf_view(&part), true, r);
        if (i == 0) write_seed(buf_view(&sent), buf_view(&part));
        buf_deinit(&part);
        buf_deinit(&part_again);
    }
    kind->plan_free(got);
    scatter_free(&sc);
    buf_deinit(&sent);
    buf_deinit(&again);
    pq_ast_deinit(&ast);
    query_end(&q);
    ASSERT(atomic_load(&all.used) == 0);
}

static void hostile_bytes(struct prng *r)
{
    static const struct { const char *text; enum pq_ask ask; } cases[] = {
        { "g{host=~\"h.[1-9].*\"}", PQ_ASK_ROWS }, { "rate(n[2m])", PQ_ASK_ROWS }, { "-n_custom * 2", PQ_ASK_ROWS },
        { "clamp(rate(c_total[1m] offset 1m), 0, scalar(vector(1) + on() group_left(a) vector(2)))", PQ_ASK_ROWS },
        { "max_over_time(g[3m:30s] @ end())", PQ_ASK_ROWS }, { "rate(g[1m])", PQ_ASK_ROWS },
        { "sum by (zone) (g)", PQ_ASK_AGG }, { "avg without (host) (n)", PQ_ASK_AGG }, { "sum(n_custom)", PQ_ASK_AGG },
        { "stddev(g)", PQ_ASK_AGG }, { "count(g)", PQ_ASK_AGG }, { "{__name__=~\"n.*|g\"}[5m]", PQ_ASK_POINTS }, { "g[5m:10s]", PQ_ASK_POINTS },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) one_fragment(cases[i].text, cases[i].ask, r);
    ASSERT(strange_ran > 300);
}

/* Trees are as deep as the parser makes them, not deeper. */
static void deep_trees(void)
{
    struct arena a;
    struct query q = { .store = st, .tenant = STR("anonymous"), .arena = &a };
    struct pq_ast ast;
    arena_init(&a, NULL);
    ASSERT(pq_parse(STR("g"), &a, &ast) == OK);
    struct pq_env e = { .a = &a };
    struct pq_plan plan = { PQ_ASK_ROWS, &e, ast.root, { start_ms, 1000, 1 } };
    for (uint32_t depth = 1; depth < PQ_DEPTH_MAX + 10; depth++) {
        struct buf b;
        buf_init(&b, 1 << 20, NULL);
        pq_plan_put(&plan, &b);
        bool reads = plan_reads(&q, fragment_find(STR("promql")), buf_view(&b));
        ASSERT(reads == (depth <= PQ_DEPTH_MAX));
        struct pq_node *over = ARENA_NEW(&a, struct pq_node);
        *over = (struct pq_node){ .kind = depth % 2 ? PQ_PAREN : PQ_UNARY, .type = PQ_VECTOR };
        if (depth % 2) over->paren = (struct pq_node *)(uintptr_t)plan.node;
        else over->un.expr = (struct pq_node *)(uintptr_t)plan.node;
        plan.node = over;
        buf_deinit(&b);
    }
    pq_ast_deinit(&ast);
    arena_deinit(&a);
}

static err_t node(void *arg)
{
    struct store_opts o = { .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 64 << 20, .seal_age_ms = 3600000, .commit_bytes = 1 << 20 };
    struct prng r;
    (void)arg;
    prng_init(&r, 11);
    TRY(store_open(&o, &st));
    TRY(fill(&r));
    compare_all();
    hostile_bytes(&r);
    deep_trees();
    store_close(st);
    return OK;
}

int main(int argc, char **argv)
{
    struct sim_disk *d = sim_disk_new(1 << 30);
    struct sim_opts o = { .time_max_ns = INT64_C(100000) * NS_PER_S };
    struct sim_result res;
    arena_init(&mem, NULL);
    if (argc > 1) seeds = argv[1];
    kv = kv_mem_new();
    sim_run(1, 3, d, &o, node, NULL, &res);
    if (res.result != OK || res.stuck) {
        printf("%s %s\n", res.stuck ? "stuck" : "", err_name(res.result));
        return 1;
    }
    kv_mem_free(kv);
    sim_disk_free(d);
    arena_deinit(&mem);
    printf("%zu queries say the same through bytes\n", ARRAY_LEN(queries));
    return 0;
}
