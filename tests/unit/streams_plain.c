/* Rows of different streams in one store: apart in memtables and segments, read apart and together, merged, found again after a
 * restart, from logs and from segments; and who the node is. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/file.h"
#include "storage/store_int.h"
#include "storage/store_names.h"

#include <stdio.h>
#include <stdlib.h>

static char dir[] = "/tmp/tercet_streams_XXXXXX";
static char data[64];
static struct kv *kv;
static struct store *st;
static struct store_opts options;
static struct stream own, low, high; /* low.id < high.id */

/* -- helpers ------------------------------------------------------------------------------------------------ */

static void must(err_t e, const char *what)
{
    if (e != OK) fprintf(stderr, "%s: %s\n", what, err_detail());
    ASSERT(e == OK);
}

static void reopen(void)
{
    store_close(st);
    must(store_open(&options, &st), "open");
}

static struct stream of_three(uint64_t a, uint64_t b)
{
    struct stream s;
    const node_id members[] = { { a }, store_node(st), { b } };
    stream_make(members, 3, &s);
    return s;
}

static void make_streams(void)
{
    struct stream x = of_three(1, UINT64_MAX), y = of_three(2, UINT64_MAX);
    const node_id me = store_node(st);
    stream_make(&me, 1, &own);
    low = x.id < y.id ? x : y;
    high = x.id < y.id ? y : x;
    must(store_stream_add(st, &low), "add");
    must(store_stream_add(st, &high), "add");
}

/* of == NULL: as clients write, to the node's own stream. */
static void write_batch(const struct stream *of, struct batch *b)
{
    const struct store_request r = { .name = { .stream = of ? of->id : 0 }, .batches = &b, .n = 1 };
    must(of ? store_put(st, &r) : store_append(st, &b, 1), "write");
}

static struct table *logs(uint32_t first, uint32_t n, int64_t time_ns)
{
    struct table_builder *b = table_builder_new(NULL);
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("svc"));
    table_scope(b);
    for (uint32_t i = first; i < first + n; i++) {
        uint8_t id[16] = { (uint8_t)i, (uint8_t)(i >> 8), 1 };
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), time_ns);
        table_set_i64(b, SC_ATTR, STR("n"), i);
        table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    }
    return table_builder_finish(b, STR("time"));
}

static void write_logs(const struct stream *of, enum signal signal, uint32_t first, uint32_t n, int64_t time_ns)
{
    struct table *t = logs(first, n, time_ns);
    struct batch b = { .tenant = STR("anonymous"), .signal = signal, .ntables = 1, .tables = &t, .nrows = n };
    if (signal == SIG_DOCS) b.index = STR("ix");
    write_batch(of, &b);
    table_put(t);
}

static void write_sample(const struct stream *of, int64_t t_ms, double v)
{
    struct arena a;
    arena_init(&a, NULL);
    struct label l[] = { { STR("__name__"), STR("m") } };
    struct labels ls = { 1, l };
    struct str canonical = labels_encode(&ls, &a);
    hash128 id = series_id(canonical);
    uint32_t series = 0;
    struct metric_batch m = { .nseries = 1, .id = &id, .canonical = &canonical, .nsamples = 1, .series = &series, .t_ms = &t_ms, .value = &v };
    struct batch b = { .tenant = STR("anonymous"), .signal = SIG_METRICS, .metrics = &m, .nrows = 1 };
    write_batch(of, &b);
    arena_deinit(&a);
}

/* -- reading --------------------------------------------------------------------------------------------------- */

struct look {
    const struct stream_pick *pick;
    enum signal signal;
    uint32_t rows, series;
    uint64_t sum; /* of n */
    uint64_t lost;
    struct { uint32_t n; double v[8]; } samples;
};

static void see_rows(struct view *v, struct look *l)
{
    const struct rows_req rq = { .signal = l->signal, .index = l->signal == SIG_DOCS ? STR("ix") : STR_NONE, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX };
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
            l->sum += (uint64_t)n->i64[rs.sel ? rs.sel[k] : k];
        l->rows += rs.nsel;
    }
    rows_close(s);
}

static void see_samples(struct view *v, struct look *l)
{
    struct mseries *series;
    uint32_t n;
    must(metrics_select(v, NULL, 0, INT64_MIN, INT64_MAX, &series, &n), "select");
    l->series += n;
    for (uint32_t i = 0; i < n; i++) {
        struct arena a;
        struct samples got;
        arena_init(&a, NULL);
        must(metrics_samples(v, &series[i], INT64_MIN, INT64_MAX, &a, &got), "samples");
        for (uint32_t k = 0; k < got.n; k++)
            l->samples.v[l->samples.n++] = got.v[k];
        arena_deinit(&a);
    }
}

static err_t look_here(void *arg)
{
    struct look *l = arg;
    struct view *v;
    struct view_counts c;
    must(view_open(st, STR("anonymous"), l->pick, NULL, &v), "view");
    if (l->signal == SIG_METRICS) see_samples(v, l);
    else see_rows(v, l);
    view_counts(v, &c);
    l->lost += c.lost;
    view_close(v);
    return OK;
}

static void look(struct look *l)
{
    for (unsigned c = 0; c < rt_cores(); c++)
        must(rt_call(c, RT_QUERY, look_here, l), "look");
}

/* [first, first + n) are all there is of these streams; NULL: of all. */
static void want(const struct stream_pick *pick, uint32_t first, uint32_t n)
{
    struct look l = { .pick = pick, .signal = SIG_LOGS };
    uint64_t sum = 0;
    for (uint32_t i = first; i < first + n; i++)
        sum += i;
    look(&l);
    if (l.rows != n || l.sum != sum) fprintf(stderr, "%u rows, not %u\n", l.rows, n);
    ASSERT(l.rows == n && l.sum == sum && l.lost == 0);
}

#define PICK(...) (&(struct stream_pick){ (const uint64_t[]){ __VA_ARGS__ }, sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8 })

/* The first of n samples of the only series. */
static void want_first(const struct stream_pick *pick, uint32_t n, double v)
{
    struct look l = { .pick = pick, .signal = SIG_METRICS };
    look(&l);
    if (l.series != 1 || l.samples.n != n || l.samples.v[0] != v) fprintf(stderr, "%u series, value %g, not %g\n", l.series, l.samples.v[0], v);
    ASSERT(l.series == 1 && l.samples.n == n && l.samples.v[0] == v);
}
static void want_sample(const struct stream_pick *pick, double v) { want_first(pick, 1, v); }

static uint32_t segments_of(uint64_t stream)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < st->ninfos; i++)
        n += st->infos[i].stream == stream;
    return n;
}

/* -- who the node is ------------------------------------------------------------------------------------------------ */

static bool knows(const struct stream *x)
{
    struct arena a;
    struct stream *all;
    uint32_t n, found = 0;
    arena_init(&a, NULL);
    store_streams(st, &a, &all, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (all[i].id != x->id) continue;
        ASSERT(all[i].n == x->n && memcmp(all[i].members, x->members, x->n * sizeof x->members[0]) == 0);
        found++;
    }
    ASSERT(found <= 1);
    arena_deinit(&a);
    return found;
}

static void identity(void)
{
    node_id me = store_node(st);
    uint64_t epoch = store_epoch(st);
    ASSERT(me.u != 0 && epoch == 1);
    stream_make(&me, 1, &own);
    ASSERT(knows(&own) && st->own_stream == own.id);
    struct stream x = of_three(7, 9), bad = x;
    ASSERT(!knows(&x));
    bad.id++;
    ASSERT(store_stream_add(st, &bad) == ERR_INVALID);
    bad = x;
    bad.n = 0;
    bad.id = 5;
    ASSERT(store_stream_add(st, &bad) == ERR_INVALID);
    bad = x;
    bad.members[0] = x.members[1];
    bad.members[1] = x.members[0];
    bad.id = stream_id_of(&bad);
    ASSERT(store_stream_add(st, &bad) == ERR_INVALID);
    must(store_stream_add(st, &x), "add");
    must(store_stream_add(st, &x), "again");
    ASSERT(knows(&x));
    for (uint64_t i = 1; i <= 3; i++) {
        reopen();
        ASSERT(store_node(st).u == me.u && store_epoch(st) == epoch + i && st->own_stream == own.id && knows(&own) && knows(&x));
    }
}

/* A commit that failed has happened, or has not: an add again makes it good, and nothing is counted twice. */
static err_t (*write_real)(struct kv *, const struct kv_op *, size_t);
static unsigned fail_next; /* 1: before, 2: after it happened */
static err_t write_failing(struct kv *k, const struct kv_op *ops, size_t n)
{
    unsigned how = fail_next;
    fail_next = 0;
    if (how == 1) return err_set(ERR_IO, "injected: not written");
    TRY(write_real(k, ops, n));
    return how == 2 ? err_set(ERR_IO, "injected: written") : OK;
}

static void streams_limit(void)
{
    struct stream x = of_three(7, 9), y = of_three(8, 9);
    const node_id me = store_node(st);
    stream_make(&me, 1, &own);
    write_real = kv->write;
    kv->write = write_failing;
    for (fail_next = 1; fail_next <= 2;) {
        unsigned how = fail_next;
        ASSERT(store_stream_add(st, how == 1 ? &x : &y) == ERR_IO && !knows(how == 1 ? &x : &y));
        fail_next = how + 1;
    }
    fail_next = 0;
    must(store_stream_add(st, &x), "add");
    ASSERT(knows(&x) && !knows(&y));
    reopen();
    ASSERT(knows(&x) && !knows(&y) && st->nstreams == 2);
    for (uint64_t i = 0; st->nstreams < STREAMS_MAX; i++) {
        struct stream z = of_three(100 + i, 99);
        must(store_stream_add(st, &z), "add");
    }
    ASSERT(store_stream_add(st, &y) == ERR_LIMIT && strstr(err_detail(), "4096"));
    must(store_stream_add(st, &x), "known");
    reopen();
    ASSERT(st->nstreams == STREAMS_MAX && !knows(&y));
    kv->write = write_real;
    /* A segment of a stream that the catalog does not name, a stream's record that is of another version, or not what it says. */
    write_logs(NULL, SIG_LOGS, 0, 1, 1);
    must(store_seal(st), "seal");
    char key[64], record[104] = { 3 };
    snprintf(key, sizeof key, "_store/stream/%016llx", (unsigned long long)own.id);
    for (unsigned k = 0; k < 3; k++) {
        struct arena a;
        struct str was;
        arena_init(&a, NULL);
        must(kv->get(kv, str_of(key), &a, &was), "the node's own");
        store_close(st);
        record[0] = k == 1 ? 3 : 2;
        const struct kv_op bad = { str_of(key), k ? str_n(record, sizeof record) : STR_NONE }, back = { str_of(key), was };
        must(kv->write(kv, &bad, 1), "write");
        ASSERT(store_open(&options, &st) == ERR_CORRUPT);
        ASSERT(strstr(err_detail(), k == 0 ? "of a stream that the catalog does not name" : k == 1 ? "has version 3, this program reads 2" : "is malformed"));
        must(kv->write(kv, &back, 1), "write");
        must(store_open(&options, &st), "open");
        arena_deinit(&a);
    }
}

/* -- rows ---------------------------------------------------------------------------------------------------------------- */

/* 0..100 are the node's own, 100..150 of low, 150..200 of high. */
static void want_all(void)
{
    want(NULL, 0, 200);
    want(PICK(own.id), 0, 100);
    want(PICK(low.id), 100, 50);
    want(PICK(high.id), 150, 50);
    want(PICK(high.id, low.id), 100, 100);
    want(PICK(low.id, own.id), 0, 150);
    want(PICK(3), 0, 0);
    want(&(struct stream_pick){ NULL, 0 }, 0, 0);
}

static void apart_and_together(void)
{
    make_streams();
    write_logs(NULL, SIG_LOGS, 0, 100, 1);
    write_logs(&high, SIG_LOGS, 150, 50, 1);
    write_logs(&low, SIG_LOGS, 100, 50, 1);
    want_all();
    reopen(); /* replayed, each into its own */
    want_all();
    must(store_seal(st), "seal");
    ASSERT(segments_of(own.id) == rt_cores() && segments_of(low.id) == rt_cores() && segments_of(high.id) == rt_cores());
    ASSERT(st->ninfos == 3 * rt_cores() && shard_here(st)->nmems == 0);
    want_all();
    reopen();
    want_all();
    /* In memory again, beside segments; what the log has is replayed. */
    write_logs(NULL, SIG_LOGS, 200, 20, 1);
    want(PICK(low.id), 100, 50);
    want(NULL, 0, 220);
    write_logs(&high, SIG_LOGS, 220, 20, 1);
    reopen();
    want(NULL, 0, 240);
    want(PICK(low.id), 100, 50);
    struct look l = { .pick = PICK(high.id), .signal = SIG_LOGS };
    look(&l);
    ASSERT(l.rows == 70);
}

/* A seal that fails leaves all streams as they were. */
static void interrupted(void)
{
    make_streams();
    write_logs(NULL, SIG_LOGS, 0, 100, 1);
    write_logs(&high, SIG_LOGS, 150, 50, 1);
    write_logs(&low, SIG_LOGS, 100, 50, 1);
    struct arena a;
    struct str *names;
    size_t n;
    arena_init(&a, NULL);
    for (unsigned how = 1; how <= 2; how++) { /* before the commit, after it */
        write_real = kv->write;
        kv->write = write_failing;
        fail_next = how;
        ASSERT(store_seal(st) == ERR_IO);
        kv->write = write_real;
        want_all();
        ASSERT(st->ninfos == 0);
    }
    must(store_seal(st), "seal");
    want_all();
    reopen();
    want_all();
    must(fs_list(st->seg_dir, &a, &names, &n), "list");
    ASSERT(n == st->ninfos && n == 3 * rt_cores());
    arena_deinit(&a);
}

static void merging(bool on)
{
    options.merge_bytes = on ? 1 << 20 : 0;
    options.merge_window_ms = 86400000;
    options.merge_memory = 1 << 28;
    reopen();
}

static void merged_apart(void)
{
    merging(true);
    make_streams();
    int64_t before = metric_sum(M_MERGES);
    for (uint32_t i = 0; i < 10; i++) {
        write_logs(NULL, SIG_LOGS, i * 10, 10, 1);
        write_logs(&low, SIG_LOGS, 100 + i * 5, 5, 1);
        write_logs(&high, SIG_LOGS, 150 + i * 5, 5, 1);
        must(store_seal(st), "seal");
    }
    const uint64_t ids[] = { own.id, low.id, high.id };
    for (unsigned k = 0; k < 3; k++)
        for (unsigned i = 0; i < 1000 && segments_of(ids[k]) > 5 * rt_cores(); i++)
            must(fiber_sleep(10 * NS_PER_MS), "sleep");
    for (unsigned k = 0; k < 3; k++)
        ASSERT(segments_of(ids[k]) <= 5 * rt_cores() && segments_of(ids[k]) > 0);
    ASSERT(metric_sum(M_MERGES) >= before + 3);
    want_all();
    merging(false);
    want_all();
    for (uint32_t i = 0; i < st->ninfos; i++)
        for (uint32_t k = 0; k < i; k++)
            ASSERT(!seg_lane_eq(seg_lane(&st->infos[i]), seg_lane(&st->infos[k])) || st->infos[i].generation < st->infos[k].generation_first
                   || st->infos[i].generation_first > st->infos[k].generation);
}

/* -- samples: the later generation counts, of one generation the higher stream ----------------------------------------------- */

static void samples_settled(void)
{
    make_streams();
    for (unsigned k = 0; k < 2; k++) { /* in whatever order they come */
        write_sample(k ? &low : &high, 1000, k ? 1 : 2);
    }
    for (unsigned k = 0; k < 4; k++) {
        want_sample(NULL, 2);
        want_sample(PICK(low.id), 1);
        want_sample(PICK(high.id), 2);
        if (k == 1) must(store_seal(st), "seal");
        else reopen();
    }
    write_sample(&low, 1000, 3);
    for (unsigned k = 0; k < 4; k++) {
        want_sample(NULL, 3);
        want_sample(PICK(high.id), 2);
        if (k == 1) must(store_seal(st), "seal");
        else reopen();
    }
    write_sample(&low, 1000, 5);
    write_sample(&high, 1000, 4);
    want_sample(NULL, 4);
    want_sample(PICK(low.id), 5);
    must(store_seal(st), "seal");
    want_sample(NULL, 4);
}

/* What was merged up to a generation comes to its place among those of that generation. */
static void samples_merged(void)
{
    merging(true);
    make_streams();
    for (int64_t t = 1; t <= 4; t++) {
        if (t == 4) write_sample(&high, 1000, 9);
        write_sample(&low, t * 1000, 1);
        must(store_seal(st), "seal");
    }
    for (unsigned i = 0; i < 1000 && segments_of(low.id) > 1; i++)
        must(fiber_sleep(10 * NS_PER_MS), "sleep");
    ASSERT(segments_of(low.id) == 1 && segments_of(high.id) == 1);
    for (unsigned k = 0; k < 2; k++) {
        want_first(NULL, 4, 9);
        want_first(PICK(low.id), 4, 1);
        want_first(PICK(high.id), 1, 9);
        merging(false);
    }
}

/* -- what is for all streams ---------------------------------------------------------------------------------------------- */

static void deleted_in_all(void)
{
    const struct stream *const all[] = { NULL, &low, &high };
    make_streams();
    for (unsigned k = 0; k < 3; k++)
        write_logs(all[k], SIG_DOCS, k * 10, 10, 1);
    write_sample(&low, 1000, 1);
    write_sample(&high, 1000, 2);
    struct look l = { .signal = SIG_DOCS };
    look(&l);
    ASSERT(l.rows == 30);
    must(store_tombstone(st, &(struct tombstone_spec){ .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = STR("ix") }), "tombstone");
    const struct matcher m = { .op = MATCH_EQ, .name = STR("__name__"), .value = STR("m") };
    must(store_tombstone(st, &(struct tombstone_spec){ .tenant = STR("anonymous"), .signal = SIG_METRICS, .tmax_ms = INT64_MAX, .m = &m, .nm = 1 }), "tombstone");
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < 3; i++) {
            const struct stream_pick *pick = i == 0 ? NULL : i == 1 ? PICK(low.id) : PICK(high.id);
            l = (struct look){ .pick = pick, .signal = SIG_DOCS };
            look(&l);
            ASSERT(l.rows == 0);
            l = (struct look){ .pick = pick, .signal = SIG_METRICS };
            look(&l);
            ASSERT(l.samples.n == 0);
        }
        reopen();
    }
    write_logs(&low, SIG_DOCS, 0, 10, 1); /* later: stays */
    l = (struct look){ .signal = SIG_DOCS };
    look(&l);
    ASSERT(l.rows == 10);
}

static void retention_of_all(void)
{
    make_streams();
    write_logs(NULL, SIG_LOGS, 0, 10, 0); /* 1970 */
    write_logs(&low, SIG_LOGS, 10, 10, 0);
    write_logs(&high, SIG_LOGS, 20, 10, 0);
    must(store_seal(st), "seal");
    want(NULL, 0, 30);
    options.retention_age_ms = 1000;
    reopen();
    for (unsigned i = 0; i < 100 && st->ninfos > 0; i++)
        must(fiber_sleep(20 * NS_PER_MS), "sleep");
    ASSERT(st->ninfos == 0);
    want(NULL, 0, 0);
}

/* A segment that is gone makes answers about its stream incomplete, and no others. */
static void lost_of_one(void)
{
    make_streams();
    write_logs(&low, SIG_LOGS, 100, 50, 1);
    write_logs(&high, SIG_LOGS, 150, 50, 1);
    must(store_seal(st), "seal");
    struct arena a;
    arena_init(&a, NULL);
    for (uint32_t i = 0; i < st->ninfos; i++)
        if (st->infos[i].stream == low.id) must(fs_unlink(arena_printf(&a, "%s/%s", st->seg_dir, st->infos[i].name).p), "unlink");
    arena_deinit(&a);
    reopen();
    want(PICK(high.id), 150, 50);
    want(PICK(own.id), 0, 0);
    struct look l = { .pick = PICK(low.id, high.id), .signal = SIG_LOGS };
    look(&l);
    ASSERT(l.rows == 50 && l.lost > 0);
}

/* -- driver ----------------------------------------------------------------------------------------------------------------- */

static err_t one(void *arg)
{
    void (*fn)(void);
    memcpy(&fn, arg, sizeof fn);
    TRY(fs_mkdirs(data));
    kv = kv_mem_new();
    options = (struct store_opts){ .dir = data, .kv = kv, .partitions = 16, .mem_bytes = 64 << 20, .seal_age_ms = 3600000, .commit_bytes = 1 << 20 };
    must(store_open(&options, &st), "open");
    fn();
    store_close(st);
    kv_mem_free(kv);
    return OK;
}

static void run(const char *name, void (*fn)(void), unsigned cores)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s/data", dir);
    ASSERT(system(cmd) == 0);
    printf("%s, %u cores\n", name, cores);
    fflush(stdout);
    must(rt_run(&(struct rt_opts){ .cores = cores }, one, &fn), name);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    log_init((enum log_level)(LOG_ERROR + 1), false);
    snprintf(data, sizeof data, "%s/data", dir);
    for (unsigned cores = 1; cores <= 2; cores++) {
        run("who the node is", identity, cores);
        run("apart and together", apart_and_together, cores);
        run("interrupted seals", interrupted, cores);
        run("merged apart", merged_apart, cores);
        run("samples", samples_settled, cores);
        run("samples, merged", samples_merged, cores);
        run("deleted in all", deleted_in_all, cores);
        run("retention of all", retention_of_all, cores);
        run("lost of one", lost_of_one, cores);
    }
    run("limit, and wrong records", streams_limit, 1);
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd) == 0 ? 0 : 1;
}
