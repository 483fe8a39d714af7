/* Deletion in the store, in the simulator: random deletions of rows and of series against a model, with seals, restarts and other
 * numbers of cores between; then single properties. (Crashes and faults: tests/sim.) */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/core/prng.h"
#include "base/rt/sim.h"
#include "storage/seg_dead.h"
#include "storage/store_int.h"
#include "storage/store_keep.h"

#include <stdio.h>
#include <stdlib.h>

const char *__asan_default_options(void); /* see sim.h: a stopped node leaks its fibers */
const char *__asan_default_options(void) { return "detect_leaks=0"; }

enum { ROWS_MAX = 20000, SERIES = 20, STEPS = 400 };
static struct kv *kv;
static struct store *st;
static struct prng rnd;
static uint64_t generation_of_the_delete;

/* The model: row i has the number i. */
static bool alive[ROWS_MAX];
static uint8_t seen[ROWS_MAX];
static uint32_t nrows;
static bool sample_alive[SERIES][STEPS];

static void open_store(void)
{
    const struct store_opts o = { .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 64 << 20, .seal_age_ms = 3600000,
                                  .commit_bytes = 1 << 20 };
    err_t e = store_open(&o, &st);
    if (e != OK) fprintf(stderr, "open: %s\n", err_detail());
    ASSERT(e == OK);
}

static void must(err_t e, const char *what)
{
    if (e != OK) fprintf(stderr, "%s: %s\n", what, err_detail());
    ASSERT(e == OK);
}

/* -- writing ---------------------------------------------------------------------------------------------------- */

static struct table *rows_table(uint32_t first, uint32_t n)
{
    struct table_builder *b = table_builder_new(NULL);
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("svc"));
    table_scope(b);
    for (uint32_t i = first; i < first + n; i++) {
        uint8_t id[16] = { (uint8_t)(i / 3), (uint8_t)(i / 3 >> 8), 1 };
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), (int64_t)i * 1000);
        table_set_i64(b, SC_ATTR, STR("n"), i);
        table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    }
    return table_builder_finish(b, STR("time"));
}

static void append_docs(struct str index, uint32_t first, uint32_t n, uint64_t content)
{
    struct table *t = rows_table(first, n);
    struct batch b = { .tenant = STR("anonymous"), .signal = index.n ? SIG_DOCS : SIG_LOGS, .index = index, .ntables = 1,
                       .content = { content, content }, .tables = &t, .nrows = n };
    struct batch *p = &b;
    must(store_append(st, &p, 1), "append");
    table_put(t);
}

static void append_rows(uint32_t n)
{
    append_docs(STR_NONE, nrows, n, 0);
    for (uint32_t i = 0; i < n; i++)
        alive[nrows++] = true;
}

static void series_labels(uint32_t i, struct arena *a, struct str *canonical)
{
    struct label l[] = { { STR("__name__"), i % 2 ? STR("odd") : STR("even") }, { STR("no"), arena_printf(a, "%u", i) } };
    struct labels ls = { 2, l };
    *canonical = labels_encode(&ls, a);
}

static void append_step(uint32_t step)
{
    uint32_t series[SERIES];
    int64_t t[SERIES];
    double v[SERIES];
    hash128 id[SERIES];
    struct str c[SERIES];
    struct arena a;
    arena_init(&a, NULL);
    for (uint32_t i = 0; i < SERIES; i++) {
        series_labels(i, &a, &c[i]);
        id[i] = series_id(c[i]);
        series[i] = i;
        t[i] = step;
        v[i] = step * 1000 + i;
        sample_alive[i][step] = true;
    }
    struct metric_batch m = { .nseries = SERIES, .id = id, .canonical = c, .nsamples = SERIES, .series = series, .t_ms = t, .value = v };
    struct batch b = { .tenant = STR("anonymous"), .signal = SIG_METRICS, .metrics = &m, .nrows = SERIES };
    struct batch *p = &b;
    must(store_append(st, &p, 1), "append");
    arena_deinit(&a);
}

/* -- reading ------------------------------------------------------------------------------------------------------- */

static void see_rows(struct view *v, struct str index, const struct scan_hint *hint)
{
    const struct rows_req rq = { .signal = index.n ? SIG_DOCS : SIG_LOGS, .index = index, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX,
                                 .hints = hint, .nhints = hint != NULL };
    struct rows_scan *s;
    must(rows_open(v, &rq, &s), "rows_open");
    for (;;) {
        struct rowset rs;
        bool more;
        const struct column *n;
        must(rows_next(s, &rs, &more), "rows_next");
        if (!more) break;
        must(rowset_column(&rs, REL_ROWS, SC_ATTR, STR("n"), COL_I64, &n), "n");
        for (uint32_t k = 0; k < rs.nsel; k++)
            seen[n->i64[rs.sel ? rs.sel[k] : k]]++;
    }
    rows_close(s);
}

struct look {
    struct str index;
    const struct scan_hint *hint;
    uint32_t series, samples;
};

static void see_series(struct view *v, struct look *l)
{
    struct mseries *series;
    uint32_t n;
    must(metrics_select(v, NULL, 0, INT64_MIN, INT64_MAX, &series, &n), "select");
    l->series += n;
    for (uint32_t k = 0; k < n; k++) {
        uint64_t i;
        struct arena a;
        struct samples got;
        arena_init(&a, NULL);
        ASSERT(str_to_u64(labels_get(&series[k].labels, STR("no")), &i) && i < SERIES);
        must(metrics_samples(v, &series[k], INT64_MIN, INT64_MAX, &a, &got), "samples");
        l->samples += got.n;
        ASSERT(got.n > 0); /* one without any is not listed */
        for (uint32_t j = 0; j < got.n; j++) {
            ASSERT(got.v[j] == (double)(got.t_ms[j] * 1000 + (int64_t)i));
            if (!sample_alive[i][got.t_ms[j]]) fprintf(stderr, "series %u at %lld was deleted\n", (unsigned)i, (long long)got.t_ms[j]);
            ASSERT(sample_alive[i][got.t_ms[j]]);
        }
        arena_deinit(&a);
    }
}

static err_t look_here(void *arg)
{
    struct look *l = arg;
    struct view *v;
    must(view_open(st, STR("anonymous"), NULL, NULL, &v), "view");
    see_rows(v, l->index, l->hint);
    if (!l->hint && !l->index.n) see_series(v, l);
    view_close(v);
    return OK;
}

static void look(struct look *l)
{
    memset(seen, 0, sizeof seen);
    for (unsigned c = 0; c < rt_cores(); c++)
        must(rt_call(c, RT_QUERY, look_here, l), "look");
}

static void check_all(void)
{
    struct look l = { 0 };
    uint32_t series = 0, samples = 0;
    look(&l);
    for (uint32_t i = 0; i < nrows; i++) {
        if (seen[i] != alive[i]) fprintf(stderr, "row %u: seen %u times, %s\n", i, seen[i], alive[i] ? "alive" : "deleted");
        ASSERT(seen[i] == alive[i]);
    }
    for (uint32_t i = 0; i < SERIES; i++) {
        uint32_t n = 0;
        for (uint32_t k = 0; k < STEPS; k++)
            n += sample_alive[i][k];
        samples += n;
        series += n > 0;
    }
    if (l.series != series || l.samples != samples) fprintf(stderr, "%u series, %u samples, not %u and %u\n", l.series, l.samples, series, samples);
    ASSERT(l.series == series && l.samples == samples);
    for (unsigned k = 0; k < 5 && nrows; k++) { /* by the index of trace ids */
        uint32_t i = (uint32_t)prng_below(&rnd, nrows);
        uint8_t id[16] = { (uint8_t)(i / 3), (uint8_t)(i / 3 >> 8), 1 };
        const struct scan_hint h = { .kind = HINT_FIX_EQ, .rel = REL_ROWS, .scope = SC_SELF, .name = STR("trace_id"), .value = str_n(id, 16) };
        look(&(struct look){ .hint = &h });
        for (uint32_t j = 0; j < nrows; j++)
            ASSERT(seen[j] == (alive[j] && (uint16_t)(j / 3) == (uint16_t)(i / 3)));
    }
}

/* -- deleting --------------------------------------------------------------------------------------------------------- */

struct pick { /* rows with lo <= n < hi and n % mod == rest */
    uint32_t lo, hi, mod, rest;
};
static bool picks(const struct pick *p, int64_t n) { return n >= p->lo && n < p->hi && n % p->mod == p->rest; }

struct marking {
    const struct pick *p;
    struct arena a;
    struct dead_marks m;
};

static err_t mark_here(void *arg)
{
    struct marking *x = arg;
    const struct rows_req rq = { .signal = SIG_LOGS, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX, .upto_generation = generation_of_the_delete };
    struct view *v;
    struct rows_scan *s;
    must(view_open(st, STR("anonymous"), NULL, NULL, &v), "view");
    must(rows_open(v, &rq, &s), "rows_open");
    for (;;) {
        struct rowset rs;
        bool more;
        const struct column *n;
        must(rows_next(s, &rs, &more), "rows_next");
        if (!more) break;
        must(rowset_column(&rs, REL_ROWS, SC_ATTR, STR("n"), COL_I64, &n), "n");
        for (uint32_t k = 0; k < rs.nsel; k++) {
            uint32_t row = rs.sel ? rs.sel[k] : k;
            if (picks(x->p, n->i64[row])) must(rowset_mark(&rs, &row, 1, &x->m), "mark");
        }
    }
    must(dead_marks_end(&x->m), "end");
    rows_close(s);
    view_close(v);
    return OK;
}

/* What is written between the begin and the end stays. */
static void delete_rows(const struct pick *p)
{
    struct delete_entry d = { .tenant = STR("anonymous"), .signal = SIG_LOGS, .doc = STR("some") }, *list;
    struct delete_counts counts = { 0 };
    uint64_t fresh = 0;
    uint32_t n, before = nrows;
    must(store_delete_begin(st, &d), "begin");
    generation_of_the_delete = d.generation;
    if (prng_chance(&rnd, 0.5)) append_rows(5);
    if (prng_chance(&rnd, 0.3)) must(store_seal(st), "seal");
    for (unsigned c = 0; c < rt_cores(); c++) {
        struct marking x = { .p = p };
        arena_init(&x.a, NULL);
        dead_marks_init(&x.m, &x.a);
        must(rt_call(c, RT_MAINTENANCE, mark_here, &x), "mark");
        must(store_delete_rows(st, &x.m, &counts), "delete");
        arena_deinit(&x.a);
    }
    for (uint32_t i = 0; i < before; i++) {
        fresh += alive[i] && picks(p, i);
        alive[i] = alive[i] && !picks(p, i);
    }
    ASSERT(counts.stale == 0);
    ASSERT(counts.rows == fresh);
    ASSERT(store_delete_splits(st, d.generation, d.generation + 1) && !store_delete_splits(st, d.generation + 1, d.generation + 9));
    d.done = true;
    must(store_delete_update(st, &d), "end");
    ASSERT(!store_delete_splits(st, 0, UINT64_MAX));
    struct arena a;
    arena_init(&a, NULL);
    must(store_delete_list(st, &a, &list, &n), "list");
    ASSERT(n > 0 && list[n - 1].id == d.id && list[n - 1].done && str_is(list[n - 1].doc, "some") && str_is(list[n - 1].tenant, "anonymous"));
    arena_deinit(&a);
}

static void delete_series(uint32_t no, bool others, int64_t from, int64_t to)
{
    char text[16];
    snprintf(text, sizeof text, "%u", no);
    const struct matcher m[] = { { .op = others ? MATCH_NE : MATCH_EQ, .name = STR("no"), .value = str_of(text) },
                                 { .op = MATCH_EQ, .name = STR("__name__"), .value = STR("even") } };
    const struct tombstone_spec t = { .tenant = STR("anonymous"), .signal = SIG_METRICS, .tmin_ms = from, .tmax_ms = to, .m = m, .nm = 2 };
    must(store_tombstone(st, &t), "tombstone");
    for (uint32_t i = 0; i < SERIES; i += 2)
        for (int64_t k = MAX(from, 0); k <= to && k < STEPS; k++)
            if ((i == no) != others) sample_alive[i][k] = false;
}

/* -- the random walk ---------------------------------------------------------------------------------------------------- */

static uint32_t next_step;
static void act(void)
{
    uint64_t what = prng_below(&rnd, 10);
    if (what < 3 && nrows + 3000 < ROWS_MAX) {
        append_rows(1 + (uint32_t)prng_below(&rnd, prng_chance(&rnd, 0.1) ? 2900 : 50));
    } else if (what < 5 && next_step < STEPS) {
        append_step(next_step++);
    } else if (what < 6) {
        must(store_seal(st), "seal");
    } else if (what < 8 && nrows) {
        uint32_t lo = (uint32_t)prng_below(&rnd, nrows), mod = 1 + (uint32_t)prng_below(&rnd, 5);
        delete_rows(&(struct pick){ lo, lo + 1 + (uint32_t)prng_below(&rnd, nrows), mod, (uint32_t)prng_below(&rnd, mod) });
    } else if (what < 9 && next_step) {
        int64_t from = (int64_t)prng_below(&rnd, next_step);
        delete_series((uint32_t)prng_below(&rnd, SERIES) & ~1u, prng_chance(&rnd, 0.2), from, from + (int64_t)prng_below(&rnd, STEPS));
    } else if (prng_chance(&rnd, 0.3)) {
        /* Out of order: a time that was deleted before, written again, is there again. */
        if (next_step) append_step((uint32_t)prng_below(&rnd, next_step));
    }
}

static err_t walk(void *arg)
{
    (void)arg;
    open_store();
    check_all();
    for (unsigned i = 0; i < 25; i++)
        act();
    check_all();
    store_close(st);
    open_store();
    check_all();
    store_close(st);
    return OK;
}

/* -- single properties ---------------------------------------------------------------------------------------------------- */

static void a_view_keeps_what_it_saw(void)
{
    struct view *v;
    uint32_t before = nrows;
    append_rows(100);
    must(store_seal(st), "seal");
    must(view_open(st, STR("anonymous"), NULL, NULL, &v), "view");
    static uint8_t first[ROWS_MAX];
    memset(seen, 0, sizeof seen);
    see_rows(v, STR_NONE, NULL);
    memcpy(first, seen, sizeof first);
    delete_rows(&(struct pick){ before, before + 100, 1, 0 });
    check_all();
    memset(seen, 0, sizeof seen);
    see_rows(v, STR_NONE, NULL);
    ASSERT(memcmp(first, seen, sizeof first) == 0);
    uint32_t n = 0;
    for (uint32_t i = before; i < before + 100; i++)
        n += seen[i];
    ASSERT(n > 0); /* this core's */
    view_close(v);
}

static void signals_are_forgotten_with_their_rows(void)
{
    struct view *v;
    unsigned found;
    append_docs(STR("books:1"), 0, 10, 0);
    append_docs(STR("books:2"), 10, 10, 0);
    const struct tombstone_spec t = { .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("books:1") };
    must(store_tombstone(st, &t), "tombstone");
    look(&(struct look){ .index = STR("books:1") });
    for (uint32_t i = 0; i < 20; i++)
        ASSERT(seen[i] == 0);
    look(&(struct look){ .index = STR("books:2") });
    for (uint32_t i = 0; i < 20; i++)
        ASSERT(seen[i] == (i >= 10));
    append_docs(STR("books:1"), 3, 1, 0); /* a name that is used again starts empty */
    look(&(struct look){ .index = STR("books:1") });
    ASSERT(seen[3] == 1 && seen[4] == 0);
    const struct tombstone_spec both[] = { { .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("books:1") },
                                           { .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("books:2") } };
    must(store_tombstone(st, &both[0]), "tombstone");
    must(store_tombstone(st, &both[1]), "tombstone");
    must(view_open(st, STR("anonymous"), NULL, NULL, &v), "view");
    must(view_signals(v, 1u << SIG_DOCS, &found), "signals");
    ASSERT(found == 0);
    view_close(v);
}

/* The same request again is a retry, unless what it stored was deleted. */
static void written_again(void)
{
    const struct tombstone_spec other = { .tenant = STR("other"), .signal = SIG_DOCS, .index = STR("again:1") };
    const struct tombstone_spec t = { .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("again:1") };
    for (unsigned k = 0; k < 2; k++) {
        append_docs(STR("again:1"), 0, 3, 4711);
        append_docs(STR("again:1"), 0, 3, 4711);
        look(&(struct look){ .index = STR("again:1") });
        ASSERT(seen[0] == 1);
        must(store_tombstone(st, &other), "tombstone");
        append_docs(STR("again:1"), 0, 3, 4711);
        look(&(struct look){ .index = STR("again:1") });
        ASSERT(seen[0] == 1);
        must(store_tombstone(st, &t), "tombstone");
        if (k == 0) {
            store_close(st);
            open_store();
        }
        look(&(struct look){ .index = STR("again:1") });
        ASSERT(seen[0] == 0);
    }
    append_docs(STR("again:1"), 0, 3, 4711);
    look(&(struct look){ .index = STR("again:1") });
    ASSERT(seen[0] == 1);
    must(store_tombstone(st, &t), "tombstone");
}

static void stale_marks(void)
{
    struct arena a;
    struct dead_marks m;
    struct delete_counts c = { 0 };
    const uint32_t rows[] = { 0 };
    const char gone[40] = "00112233445566778899aabbccddeeff.seg";
    arena_init(&a, NULL);
    dead_marks_init(&m, &a);
    must(dead_marks_add(&m, gone, 0, 10, rows, 1), "add");
    must(dead_marks_end(&m), "end");
    must(store_delete_rows(st, &m, &c), "delete");
    ASSERT(c.stale == 1 && c.rows == 0);
    arena_deinit(&a);
}

static err_t corrupt_records(void *arg)
{
    static const char *const bad[] = { "_store/tomb/00000000ffffffff", "_store/deletes/00000000ffffffff" };
    (void)arg;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        const struct kv_op put = { str_of(bad[i]), STR("rubbish that is long enough to be read as a record of its kind") };
        const struct kv_op del = { str_of(bad[i]), STR_NONE };
        ASSERT(kv->write(kv, &put, 1) == OK);
        const struct store_opts o = { .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 64 << 20, .seal_age_ms = 3600000, .commit_bytes = 1 << 20 };
        ASSERT(store_open(&o, &st) == ERR_CORRUPT);
        ASSERT(strstr(err_detail(), bad[i]) != NULL);
        ASSERT(kv->write(kv, &del, 1) == OK);
    }
    /* Marks of a segment that is gone are swept out. */
    const char *orphan = "_store/dead/00112233445566778899aabbccddeeff/00000001";
    const struct kv_op put = { str_of(orphan), STR("x") };
    ASSERT(kv->write(kv, &put, 1) == OK);
    open_store();
    struct arena a;
    struct str v;
    arena_init(&a, NULL);
    ASSERT(kv->get(kv, str_of(orphan), &a, &v) == ERR_NOT_FOUND);
    arena_deinit(&a);
    check_all();
    store_close(st);
    return OK;
}

/* Of segments without a living row the files go. */
static void files_go(void)
{
    append_rows(10);
    must(store_seal(st), "seal");
    struct store_stats before, after;
    store_stats(st, &before);
    delete_rows(&(struct pick){ 0, nrows, 1, 0 });
    must(fiber_sleep(61 * NS_PER_S), "sleep");
    store_stats(st, &after);
    ASSERT(after.segments < before.segments);
    check_all();
}

/* What retention hides when it is deleted does not come back with a longer rule. On an empty disk, on one core: the documents share the files. */
static err_t deleted_while_hidden(void *arg)
{
    (void)arg;
    open_store();
    const struct keep_rule r = { .tenant = STR("anonymous"), .signal = SIG_LOGS, .age_ns = 1 };
    append_rows(10);
    append_docs(STR("beside:1"), 0, 10, 0);
    must(store_seal(st), "seal");
    must(store_keep_edit(st, &(struct keep_edit){ r, false }, 1, NULL, 0), "rule");
    delete_rows(&(struct pick){ 0, nrows, 1, 0 });
    must(store_keep_edit(st, &(struct keep_edit){ r, true }, 1, NULL, 0), "no rule");
    check_all();
    const struct tombstone_spec beside = { .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("beside:1") };
    must(store_tombstone(st, &beside), "tombstone");
    store_close(st);
    return OK;
}

/* Documents of 1970 under a rule of an hour, and others that are kept: not seen at once, nor after a start, and their files go. */
static void retention_by_rules(void)
{
    const struct keep_rule r = { .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("old:1"), .age_ns = 3600 * NS_PER_S };
    struct store_stats before, after;
    must(store_seal(st), "seal");
    append_docs(STR("old:1"), 0, 10, 0);
    must(store_seal(st), "seal");
    store_stats(st, &before);
    append_docs(STR("old:2"), 10, 10, 0);
    must(store_seal(st), "seal");
    look(&(struct look){ .index = STR("old:1") });
    ASSERT(seen[0] == 1);
    must(store_keep_edit(st, &(struct keep_edit){ r, false }, 1, NULL, 0), "rule");
    for (unsigned k = 0; k < 2; k++) {
        look(&(struct look){ .index = STR("old:1") });
        ASSERT(seen[0] == 0);
        look(&(struct look){ .index = STR("old:2") });
        ASSERT(seen[10] == 1);
        if (k == 0) {
            store_close(st);
            open_store();
        }
    }
    must(fiber_sleep(61 * NS_PER_S), "sleep");
    store_stats(st, &after);
    ASSERT(after.segments <= before.segments);
    must(store_keep_edit(st, &(struct keep_edit){ r, true }, 1, NULL, 0), "no rule");
    struct keep_rules *k = store_keep_rules(st);
    ASSERT(k->n == 0);
    keep_rules_put(k);
}

static err_t single(void *arg)
{
    (void)arg;
    open_store();
    a_view_keeps_what_it_saw();
    signals_are_forgotten_with_their_rows();
    written_again();
    stale_marks();
    files_go();
    retention_by_rules();
    check_all();
    store_close(st);
    return OK;
}

/* Segments that were written anew hold no tombstone. */
static void worked_in(const struct keep_rule *all)
{
    const struct tombstone_spec t = { .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("worked:1") };
    struct store_stats stats;
    must(store_keep_edit(st, &(struct keep_edit){ *all, true }, 1, NULL, 0), "no rule");
    append_docs(STR("kept:2"), 0, 3, 4713);
    append_docs(STR("worked:1"), 0, 300, 4714);
    must(store_tombstone(st, &t), "tombstone");
    must(fiber_sleep(7200 * NS_PER_S), "sleep");
    ASSERT(metric_sum(M_TOMBSTONES) == 1);
    compaction_work_in(st, st->own_stream);
    must(fiber_sleep(120 * NS_PER_S), "sleep");
    store_stats(st, &stats);
    ASSERT(stats.segments > 0 && metric_sum(M_TOMBSTONES) == 0);
}

/* Tombstones stay as long as a segment is as old as they are, and as long as a request from before may be repeated. */
static err_t tombstones_end(void *arg)
{
    (void)arg;
    const struct keep_rule all = { .age_ns = 3600 * NS_PER_S };
    const struct tombstone_spec t = { .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("over:1") };
    struct store_stats stats;
    open_store();
    append_docs(STR("kept:1"), 0, 10, 0);
    must(store_tombstone(st, &t), "tombstone");
    ASSERT(metric_sum(M_TOMBSTONES) > 0);
    must(fiber_sleep(7200 * NS_PER_S), "sleep");
    ASSERT(metric_sum(M_TOMBSTONES) > 0);
    must(store_keep_edit(st, &(struct keep_edit){ all, false }, 1, NULL, 0), "rule");
    must(fiber_sleep(61 * NS_PER_S), "sleep");
    store_stats(st, &stats);
    ASSERT(stats.segments == 0 && metric_sum(M_TOMBSTONES) == 0);
    append_docs(STR("over:1"), 0, 3, 4712);
    must(store_tombstone(st, &t), "tombstone");
    must(fiber_sleep(600 * NS_PER_S), "sleep");
    ASSERT(metric_sum(M_TOMBSTONES) == 1);
    store_close(st);
    open_store();
    ASSERT(metric_sum(M_TOMBSTONES) == 1);
    must(fiber_sleep(7200 * NS_PER_S), "sleep");
    ASSERT(metric_sum(M_TOMBSTONES) == 0);
    store_close(st);
    open_store();
    ASSERT(metric_sum(M_TOMBSTONES) == 0);
    worked_in(&all);
    store_close(st);
    return OK;
}

int main(void)
{
    log_init(LOG_ERROR, false);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct sim_disk *disk = sim_disk_new(INT64_C(1) << 30);
        struct sim_result res;
        const struct sim_opts o = { .wall_start_ns = INT64_C(1767225600) * NS_PER_S, .time_max_ns = 12 * 3600 * NS_PER_S };
        kv = kv_mem_new();
        prng_init(&rnd, seed);
        nrows = next_step = 0;
        memset(alive, 0, sizeof alive);
        memset(sample_alive, 0, sizeof sample_alive);
        err_t (*const parts[])(void *) = { deleted_while_hidden, walk, walk, walk, single, corrupt_records, tombstones_end };
        for (unsigned k = 0; k < ARRAY_LEN(parts); k++) {
            unsigned cores = k ? 1 + (unsigned)prng_below(&rnd, 3) : 1;
            sim_run(seed * 100 + k, cores, disk, &o, parts[k], NULL, &res);
            ASSERT(!res.crashed && !res.stuck && res.result == OK);
        }
        kv_mem_free(kv);
        sim_disk_free(disk);
    }
    printf("deletion: rows and series against a model, %u rows at the end\n", nrows);
    return 0;
}
