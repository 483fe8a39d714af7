/* Where the bytes are: the parts of a segment are all of its file, names get what their samples and series take (against sums that
 * are made from the decoded blocks, one name after another), and sums of segments and cores add up. */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/core/prng.h"
#include "storage/mem_metric.h"
#include "storage/mem_rows.h"
#include "storage/seg_metric.h"
#include "storage/usage.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES = 40, SERIES = 600, TIMES = 240 };
static char dir[64];
static struct budget budget;

static struct str num(char *buf, const char *stem, uint64_t n) { return str_n(buf, (size_t)snprintf(buf, 64, "%s%llu", stem, (unsigned long long)n)); }

static void insert_rows(struct mem_rows *m, const char *tenant, enum signal signal, const char *index, uint32_t n)
{
    struct table_builder *b = table_builder_new(&budget);
    char v[64];
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("svc"));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t id[2] = { hash_u64(i), 7 };
        table_row(b);
        table_set_i64(b, SC_SELF, signal_time_column(signal), i);
        if (signal != SIG_DOCS) table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
        table_set_str(b, SC_SELF, STR("body"), COL_STR, num(v, "the text of number ", hash_u64(i) % 1000));
        if (i % 4 == 0) table_set_i64(b, SC_ATTR, STR("n"), i);
        if (i % 2) table_set_str(b, SC_ATTR, STR("n"), COL_STR, num(v, "", i));
    }
    struct table *t = table_builder_finish(b, signal_time_column(signal));
    mem_rows_insert(m, str_of(tenant), signal, str_of(index), t, NULL, 0);
    table_put(t);
}

/* Names take the more the higher their number. */
static void insert_samples(struct mem_metric *m, const char *tenant, uint32_t series)
{
    struct arena a;
    struct prng r;
    static hash128 ids[SERIES];
    static struct str canonical[SERIES];
    static uint32_t no[SERIES * TIMES];
    static int64_t t[SERIES * TIMES];
    static double v[SERIES * TIMES];
    struct metric_batch b = { .nseries = series, .id = ids, .canonical = canonical, .series = no, .t_ms = t, .value = v };
    arena_init(&a, NULL);
    prng_init(&r, 1);
    for (uint32_t i = 0; i < series; i++) {
        char name[64], value[64];
        struct label l[2] = { { STR("__name__"), num(name, "m", i % NAMES) }, { STR("i"), num(value, "", i) } };
        struct labels ls = { 2, l };
        canonical[i] = labels_encode(&ls, &a);
        ids[i] = series_id(canonical[i]);
        for (uint32_t k = 0; k < TIMES; k++) {
            if (i % NAMES % 3 == 0 && k % 5) continue; /* times of their own */
            no[b.nsamples] = i;
            t[b.nsamples] = 1000 * k + (i % 7 ? 0 : i);
            v[b.nsamples++] = (double)prng_below(&r, 1 + (UINT64_C(1) << i % NAMES));
        }
    }
    mem_metric_insert(m, str_of(tenant), &b, NULL);
    struct metric_meta meta = { STR("m1"), STR("counter"), STR("s"), STR("help") };
    mem_metric_meta(m, str_of(tenant), &meta, 1);
    arena_deinit(&a);
}

static struct seg *make_segment(void)
{
    struct mem_rows *rows = mem_rows_new(&budget);
    struct mem_metric *metrics = mem_metric_new(&budget);
    struct seg_writer *w;
    struct seg_info info = { .cores = 1 };
    struct seg *s;
    insert_rows(rows, "a", SIG_SPANS, "", 9000);
    insert_rows(rows, "a", SIG_LOGS, "", 5000);
    insert_rows(rows, "b", SIG_LOGS, "", 700);
    insert_rows(rows, "b", SIG_DOCS, "books:1", 300);
    insert_samples(metrics, "a", SERIES);
    insert_samples(metrics, "b", 50);
    CHECK(seg_writer_open(dir, &budget, &w) == OK);
    CHECK(mem_rows_seal(rows, NULL, w) == OK);
    CHECK(mem_metric_seal(metrics, NULL, w) == OK);
    CHECK(seg_writer_finish(w, &info) == OK);
    CHECK(seg_open(dir, &info, &s) == OK);
    mem_rows_free(rows);
    mem_metric_free(metrics);
    return s;
}

static const struct usage_part *find(const struct usage *u, enum usage_kind kind, const char *tenant, enum signal signal, const char *name, int type)
{
    for (uint32_t i = 0; i < u->nparts; i++) {
        const struct usage_part *p = &u->parts[i];
        const struct usage_set *s = &u->sets[p->set];
        if (p->kind == kind && s->signal == signal && str_is(s->tenant, tenant) && str_is(p->name, name) && p->type == type) return p;
    }
    return NULL;
}

static uint64_t all_sets(const struct usage *u)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < u->nsets; i++) {
        uint64_t parts = 0;
        for (uint32_t k = 0; k < u->nparts; k++)
            parts += u->parts[k].set == i ? u->parts[k].bytes : 0;
        CHECK(parts == u->sets[i].bytes);
        sum += parts;
    }
    return sum;
}

static void check_sum(const struct usage *u, uint64_t bytes)
{
    CHECK(u->bytes == bytes);
    CHECK(all_sets(u) + u->other_bytes + u->ids_bytes + u->words_bytes + u->directory_bytes + u->padding_bytes == bytes);
}

/* What a name takes of raw bytes, from all that is stored of it. */
static void raw_of_name(struct seg *s, struct str tenant, const char *name, uint64_t *samples, uint64_t *data)
{
    struct arena a, cache;
    struct view_counts counts = { 0 };
    struct seg_metric *m;
    *samples = *data = 0;
    arena_init(&a, NULL);
    arena_init(&cache, NULL);
    for (uint32_t g = 0; g < seg_ngroups(s); g++) {
        const struct seg_group *group = seg_group(s, g);
        const struct matcher is = { .op = MATCH_EQ, .name = STR("__name__"), .value = str_of(name) };
        struct seg_series *x;
        uint32_t n;
        if (group->signal != SIG_METRICS || !str_eq(group->tenant, tenant)) continue;
        CHECK(seg_metric_open(s, group, &a, &counts, &m) == OK);
        CHECK(seg_metric_select(m, &is, 1, INT64_MIN, INT64_MAX, &x, &n) == OK);
        for (uint32_t i = 0; i < n; i++) {
            struct sample_set set;
            CHECK(seg_series_read(&x[i], INT64_MIN, INT64_MAX, &a, &set) == OK);
            *samples += set.n;
            *data += x[i].entry->data_size;
        }
    }
    arena_deinit(&cache);
    arena_deinit(&a);
}

static void check_names(struct seg *s, const struct usage *u)
{
    uint64_t samples, data, before = 0;
    char name[64];
    for (unsigned i = 0; i < NAMES; i++) {
        num(name, "m", i);
        const struct usage_part *p = find(u, USAGE_METRIC, "a", SIG_METRICS, name, 0);
        raw_of_name(s, STR("a"), name, &samples, &data);
        CHECK(p && p->count == samples && p->distinct == SERIES / NAMES);
        CHECK(p->bytes > data / 4 && p->bytes < 2 * data + 3000);
        if (i % 3 == 1 && i > 6) CHECK(p->bytes > before); /* its values have more bits */
        if (i % 3 == 1) before = p->bytes;
    }
    CHECK(find(u, USAGE_METRIC, "b", SIG_METRICS, "m0", 0)->distinct == 2);
}

static void check_columns(const struct usage *u)
{
    const struct usage_part *p = find(u, USAGE_COLUMN, "a", SIG_SPANS, "n", COL_I64);
    CHECK(p && p->count == 2250 && p->of == 9000 && p->scope == SC_ATTR && p->rel == REL_ROWS && p->filter_bytes == 0);
    p = find(u, USAGE_COLUMN, "a", SIG_SPANS, "n", COL_STR);
    CHECK(p && p->count == 4500 && p->distinct == 4500 && p->filter_bytes > 0 && p->bytes > p->filter_bytes);
    p = find(u, USAGE_COLUMN, "a", SIG_LOGS, "service.name", COL_STR);
    CHECK(p && p->rel == REL_RESOURCE && p->distinct == 1 && p->of == 1);
    p = find(u, USAGE_LABEL, "a", SIG_METRICS, "i", 0);
    CHECK(p && p->count == SERIES);
    CHECK(find(u, USAGE_FAMILIES, "b", SIG_METRICS, "", 0));
    CHECK(u->ids_bytes > 0 && u->words_bytes > 0 && u->padding_bytes < 8 * 4000);
}

static void test_segment(struct seg *s)
{
    struct seg_usage *u, *quick;
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, seg_info(s)->name);
    CHECK(stat(path, &st) == 0);
    CHECK(seg_usage_new(s, true, &budget, &u) == OK);
    check_sum(&u->sum, (uint64_t)st.st_size);
    CHECK(u->sum.unread_segments == 0);
    for (uint32_t i = 0; i < u->sum.nparts; i++)
        CHECK(u->sum.parts[i].kind != USAGE_REST);
    check_names(s, &u->sum);
    check_columns(&u->sum);
    /* Without names the sums are the same. */
    CHECK(seg_usage_new(s, false, &budget, &quick) == OK);
    check_sum(&quick->sum, (uint64_t)st.st_size);
    CHECK(quick->sum.unread_segments == 1 && !find(&quick->sum, USAGE_METRIC, "a", SIG_METRICS, "m1", 0));
    CHECK(quick->sum.nsets == u->sum.nsets);
    for (uint32_t i = 0; i < u->sum.nsets; i++)
        CHECK(quick->sum.sets[i].bytes == u->sum.sets[i].bytes);
    CHECK(seg_usage_keep(u) && metric_sum(M_USAGE_KEPT_BYTES) >= (int64_t)sizeof *u);
    seg_usage_set(s, u);
    CHECK(seg_usage_of(s) == u);
    seg_usage_free(quick);
}

static void test_merge(const struct usage *one)
{
    struct arena a;
    struct usage core, node;
    arena_init(&a, &budget);
    usage_init(&core, &a);
    usage_init(&node, &a);
    usage_merge(&core, one, USAGE_OVER_TIME, STR_NONE);
    usage_merge(&core, one, USAGE_OVER_TIME, STR_NONE);
    check_sum(&core, 2 * one->bytes);
    const struct usage_part *p = find(one, USAGE_METRIC, "a", SIG_METRICS, "m1", 0);
    CHECK(find(&core, USAGE_METRIC, "a", SIG_METRICS, "m1", 0)->distinct == p->distinct);
    CHECK(find(&core, USAGE_METRIC, "a", SIG_METRICS, "m1", 0)->count == 2 * p->count);
    usage_merge(&node, &core, USAGE_BESIDE, STR("a"));
    usage_merge(&node, &core, USAGE_BESIDE, STR("a"));
    check_sum(&node, 4 * one->bytes);
    CHECK(find(&node, USAGE_METRIC, "a", SIG_METRICS, "m1", 0)->distinct == 2 * p->distinct);
    CHECK(node.other_bytes > 0 && !find(&node, USAGE_METRIC, "b", SIG_METRICS, "m1", 0));
    usage_deinit(&core);
    usage_deinit(&node);
    arena_deinit(&a);
}

/* Names past the limit are told together: the bytes stay. */
static void test_many_names(void)
{
    struct arena a;
    struct usage u;
    char name[64];
    enum { MORE = 1000 };
    arena_init(&a, &budget);
    usage_init(&u, &a);
    uint32_t set = usage_set_of(&u, STR("a"), SIG_METRICS, STR(""));
    for (uint32_t i = 0; i < USAGE_PARTS_MAX + MORE; i++)
        usage_add(&u, &(struct usage_part){ .kind = USAGE_METRIC, .set = set, .name = num(name, "n", i), .bytes = 3, .count = 1, .distinct = 1 }, USAGE_BESIDE);
    CHECK(u.nparts == USAGE_PARTS_MAX + 1 && u.sets[set].bytes == 3 * (USAGE_PARTS_MAX + MORE));
    CHECK(u.parts[USAGE_PARTS_MAX].name.n == 0 && u.parts[USAGE_PARTS_MAX].bytes == 3 * MORE && u.parts[USAGE_PARTS_MAX].distinct == MORE);
    usage_deinit(&u);
    arena_deinit(&a);
}

static err_t all(void *arg)
{
    (void)arg;
    struct seg *s = make_segment();
    test_segment(s);
    test_merge(&seg_usage_of(s)->sum);
    test_many_names();
    seg_doom(s);
    seg_put(s);
    CHECK(metric_sum(M_USAGE_KEPT_BYTES) == 0);
    return OK;
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/usage.XXXXXX");
    CHECK(mkdtemp(dir));
    log_init(LOG_ERROR, false);
    budget_init(&budget, "test", NULL, INT64_C(1) << 32, ERR_LIMIT);
    CHECK(rt_run(&(struct rt_opts){ .cores = 1 }, all, NULL) == OK);
    CHECK(budget.used == 0);
    CHECK(rmdir(dir) == 0);
    puts("ok");
    return 0;
}
