/* Memtables of rows, sealing, segments and scans over both, on a running reactor. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "storage/col_bloom.h"
#include "storage/partition.h"
#include "storage/seg_format.h"
#include "storage/seg_rows.h"
#include "storage/shard.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];
static struct budget budget;

/* -- rows to store: span i is a function of i alone -------------------------------------------------------- */

static uint64_t mix(uint64_t i, uint64_t salt) { return hash_u64(i * 1000003 + salt); }
static void trace_of(uint64_t i, uint64_t id[2])
{
    id[0] = mix(i / 5, 1) | 1;
    id[1] = mix(i / 5, 2);
}

static struct str text(char *buf, const char *stem, uint64_t n)
{
    return str_n(buf, (size_t)snprintf(buf, 64, "%s%llu", stem, (unsigned long long)n));
}

static void put_row(struct table_builder *b, enum signal signal, uint64_t i)
{
    char v[64];
    uint64_t id[2];
    trace_of(i, id);
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, text(v, "svc", mix(i, 3) % 4));
    table_row(b);
    if (signal == SIG_SPANS || i % 3) table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    table_set_i64(b, SC_SELF, signal_time_column(signal), (int64_t)(1000000 + i * 1000));
    table_set_i64(b, SC_ATTR, STR("number"), (int64_t)i);
    if (signal == SIG_LOGS) {
        char body[128];
        int n = snprintf(body, sizeof body, "Connection %llu to host-%llu failed: Timeout",
                         (unsigned long long)i, (unsigned long long)(mix(i, 4) % 50));
        table_set_str(b, SC_SELF, STR("body"), COL_STR, str_n(body, (size_t)n));
        return;
    }
    table_set_str(b, SC_SELF, STR("name"), COL_STR, text(v, "op", mix(i, 5) % 10));
    if (i % 2) table_set_str(b, SC_ATTR, STR("user"), COL_STR, text(v, "user-", i));
    if (i % 7 == 0) table_set_f64(b, SC_ATTR, STR("ratio"), (double)i / 8);
    for (uint64_t e = 0; e < i % 3; e++) {
        table_child(b, CHILD_EVENTS);
        table_set_i64(b, SC_SELF, STR("time"), (int64_t)(i * 10 + e));
    }
}

static void insert(struct mem_rows *m, enum signal signal, uint64_t from, uint64_t to, uint32_t cores, uint32_t core)
{
    struct table_builder *b = table_builder_new(&budget);
    for (uint64_t i = from; i < to; i++)
        put_row(b, signal, i);
    struct table *t = table_builder_finish(b, signal_time_column(signal));
    uint32_t *of = malloc(t->nrows * 2 * sizeof *of), *sel = of + t->nrows, n = 0;
    CHECK(of);
    partition_rows(STR("acme"), signal, t, 64, of);
    for (uint32_t r = 0; r < t->nrows; r++)
        if (of[r] % cores == core) sel[n++] = r;
    mem_rows_insert(m, STR("acme"), signal, STR(""), t, sel, n);
    free(of);
    table_put(t);
}

/* -- looking at them ------------------------------------------------------------------------------------------- */

struct seen {
    uint8_t *count; /* times that row i came */
    uint64_t max, rows, sets;
    int64_t last_tmax;
    bool descending;
};

static void check_rowset(struct rowset *rs, enum signal signal, struct seen *seen)
{
    const struct column *number, *name, *user, *service, *ratio, *etime;
    const uint32_t *res, *first;
    uint32_t nres, nev;
    CHECK(rowset_column(rs, REL_ROWS, SC_ATTR, STR("number"), COL_I64, &number) == OK && number);
    CHECK(rowset_column(rs, REL_ROWS, SC_SELF, signal == SIG_LOGS ? STR("body") : STR("name"), COL_STR, &name) == OK && name);
    CHECK(rowset_column(rs, REL_ROWS, SC_ATTR, STR("user"), COL_STR, &user) == OK);
    CHECK(rowset_column(rs, REL_ROWS, SC_ATTR, STR("ratio"), COL_F64, &ratio) == OK);
    CHECK(rowset_dim(rs, REL_RESOURCE, &res, &nres) == OK && res);
    CHECK(rowset_column(rs, REL_RESOURCE, SC_ATTR, STR("service.name"), COL_STR, &service) == OK && service);
    CHECK(rowset_child(rs, REL_EVENTS, &first, &nev) == OK);
    CHECK(rowset_column(rs, REL_EVENTS, SC_SELF, STR("time"), COL_I64, &etime) == OK);
    for (uint32_t k = 0; k < rs->nsel; k++) {
        uint32_t r = rs->sel ? rs->sel[k] : k;
        char v[64];
        CHECK(column_has(number, r) && res[r] < nres);
        uint64_t i = (uint64_t)number->i64[r];
        CHECK(i < seen->max);
        seen->count[i]++;
        seen->rows++;
        CHECK(str_eq(column_str(service, res[r]), text(v, "svc", mix(i, 3) % 4)));
        if (signal != SIG_SPANS) continue;
        CHECK(str_eq(column_str(name, r), text(v, "op", mix(i, 5) % 10)));
        CHECK((user && column_has(user, r)) == (i % 2 == 1));
        if (i % 2) CHECK(str_eq(column_str(user, r), text(v, "user-", i)));
        CHECK((ratio && column_has(ratio, r)) == (i % 7 == 0));
        if (i % 7 == 0) CHECK(ratio->f64[r] == (double)i / 8);
        uint32_t events = first ? first[r + 1] - first[r] : 0;
        CHECK(events == i % 3);
        for (uint32_t e = 0; e < events; e++)
            CHECK(etime->i64[first[r] + e] == (int64_t)(i * 10 + e));
    }
}

static bool next(struct rows_scan *s, struct rowset *rs)
{
    bool more;
    CHECK(rows_next(s, rs, &more) == OK);
    return more;
}

static void scan(struct view *v, const struct rows_req *rq, struct seen *seen)
{
    struct rows_scan *s;
    struct rowset rs;
    seen->rows = seen->sets = 0;
    seen->last_tmax = INT64_MAX;
    memset(seen->count, 0, seen->max);
    CHECK(rows_open(v, rq, &s) == OK);
    while (next(s, &rs)) {
        if (rq->newest_first) CHECK(rs.tmax_ns <= seen->last_tmax);
        seen->last_tmax = rs.tmax_ns;
        seen->sets++;
        check_rowset(&rs, rq->signal, seen);
    }
    rows_close(s);
}

static struct rows_req all_rows(enum signal signal)
{
    return (struct rows_req){ .signal = signal, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX };
}

static void check_all_once(struct view *v, enum signal signal, struct seen *seen)
{
    struct rows_req rq = all_rows(signal);
    rq.newest_first = true;
    scan(v, &rq, seen);
    CHECK(seen->rows == seen->max);
    for (uint64_t i = 0; i < seen->max; i++)
        CHECK(seen->count[i] == 1);
}

/* Hints never lose a row that matches, and skip what they can. */
static void check_hints(struct view *v, struct seen *seen)
{
    uint64_t id[2];
    trace_of(777, id);
    struct scan_hint h = { .kind = HINT_FIX_EQ, .name = STR("trace_id"), .value = str_n(id, 16) };
    struct rows_req rq = all_rows(SIG_SPANS);
    rq.hints = &h;
    rq.nhints = 1;
    scan(v, &rq, seen);
    CHECK(seen->rows == 5 && seen->count[777] == 1);
    id[0] ^= 1;
    scan(v, &rq, seen);
    CHECK(seen->rows == 0);
    h = (struct scan_hint){ .kind = HINT_STR_EQ, .scope = SC_ATTR, .name = STR("user"), .value = STR("user-1001") };
    scan(v, &rq, seen);
    CHECK(seen->count[1001] == 1);
    h.value = STR("user-nobody");
    scan(v, &rq, seen);
    CHECK(seen->rows == 0);
    h = (struct scan_hint){ .kind = HINT_STR_EQ, .rel = REL_RESOURCE, .scope = SC_ATTR, .name = STR("service.name"), .value = STR("svc9") };
    scan(v, &rq, seen);
    CHECK(seen->rows == 0);
    h.value = STR("svc2");
    scan(v, &rq, seen);
    for (uint64_t i = 0; i < seen->max; i++)
        CHECK(mix(i, 3) % 4 != 2 || seen->count[i] == 1);
    h = (struct scan_hint){ .kind = HINT_I64_RANGE, .scope = SC_ATTR, .name = STR("number"), .min = 50, .max = 60 };
    scan(v, &rq, seen);
    for (uint64_t i = 50; i <= 60; i++)
        CHECK(seen->count[i] == 1);
}

/* -- many traces at once -- */
enum { TRACES = 8 };

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, 16); }

/* Every 53rd row's trace, and some that are none's. */
static void some_traces(const struct seen *seen, uint8_t ids[TRACES][16])
{
    for (uint32_t i = 0; i < TRACES; i++) {
        uint64_t id[2];
        trace_of(i * 53 % seen->max, id);
        if (i == 5) id[0] ^= 1;
        memcpy(ids[i], id, 16);
    }
    qsort(ids, TRACES, 16, by_bytes);
}

static bool is_asked(uint8_t (*ids)[16], uint32_t n, uint64_t row)
{
    uint64_t id[2];
    trace_of(row, id);
    return bsearch(id, ids, n, 16, by_bytes) != NULL;
}

/* Of the traces asked for every row comes, of a segment none but theirs; too many at once are all rows. */
static void check_traces(struct view *v, struct seen *seen, bool sealed)
{
    uint8_t ids[TRACES][16], (*all)[16] = calloc(seen->max, 16);
    struct rows_req rq = all_rows(SIG_SPANS);
    some_traces(seen, ids);
    rq.ids = (const uint8_t (*)[16])ids;
    rq.nids = TRACES;
    scan(v, &rq, seen);
    for (uint64_t i = 0; i < seen->max; i++)
        CHECK(is_asked(ids, TRACES, i) ? seen->count[i] == 1 : seen->count[i] <= !sealed);
    CHECK(all);
    for (uint64_t i = 0; i < seen->max; i++) {
        uint64_t id[2];
        trace_of(i, id);
        memcpy(all[i], id, 16);
    }
    qsort(all, seen->max, 16, by_bytes);
    rq.ids = (const uint8_t (*)[16])all;
    rq.nids = (uint32_t)seen->max;
    scan(v, &rq, seen);
    CHECK(seen->rows == seen->max);
    free(all);
}

static void check_tokens(struct view *v, struct seen *seen, bool sealed)
{
    struct scan_hint h = { .kind = HINT_TOKEN, .value = STR("timeout") };
    struct rows_req rq = all_rows(SIG_LOGS);
    rq.hints = &h;
    rq.nhints = 1;
    scan(v, &rq, seen);
    CHECK(seen->rows == seen->max);
    h.value = STR("nosuchword");
    scan(v, &rq, seen);
    if (sealed) CHECK(seen->rows == 0);
    h.name = STR("body");
    h.value = STR("1234");
    scan(v, &rq, seen);
    CHECK(seen->count[1234] == 1);
    h.value = STR("1234\xc3\xa9"); /* what of it is ASCII is looked up */
    scan(v, &rq, seen);
    CHECK(seen->count[1234] == 1);
    h.value = STR("\xc3\xa9"); /* no opinion */
    scan(v, &rq, seen);
    CHECK(seen->rows == seen->max);
}

/* -- the tests --------------------------------------------------------------------------------------------------- */

static struct view view_of(struct mem **mems, struct seg **segs, uint32_t core, uint32_t cores)
{
    static struct seg_dead *none[3];
    struct view v = { .tenant = STR("acme"), .budget = &budget, .nmems = mems ? 1 : 0, .mems = mems,
                      .nsegs = segs ? 1 : 0, .segs = segs, .dead = none, .core = core, .cores = cores, .partitions = 64 };
    arena_init(&v.mem, &budget);
    return v;
}

static struct mem_rows *fill(uint64_t n, uint32_t cores, uint32_t core)
{
    struct mem_rows *m = mem_rows_new(&budget);
    CHECK(mem_rows_empty(m));
    struct prng r;
    prng_init(&r, 7);
    for (int s = SIG_SPANS; s <= SIG_LOGS; s++)
        for (uint64_t at = 0, step; at < n; at += step) {
            step = prng_chance(&r, 0.01) ? 1500 : 1 + prng_below(&r, 40);
            step = MIN(step, n - at);
            insert(m, (enum signal)s, at, at + step, cores, core);
        }
    return m;
}

static struct seg *seal(struct mem_rows *m, uint32_t core, uint32_t cores)
{
    struct seg_writer *w;
    struct seg_info info = { .generation = 1, .core = core, .cores = cores };
    struct seg *s;
    CHECK(seg_writer_open(dir, &budget, &w) == OK);
    CHECK(mem_rows_seal(m, NULL, w) == OK);
    CHECK(seg_writer_finish(w, &info) == OK);
    CHECK(seg_open(dir, &info, &s) == OK);
    return s;
}

static void test_one_core(struct seen *seen)
{
    struct mem_rows *m = fill(seen->max, 1, 0);
    struct mem mem = { .refs = 1, .rows = m }, *mems = &mem;
    struct view v = view_of(&mems, NULL, 0, 1);
    /* Small requests were merged as they came: few parts remain. */
    for (uint32_t i = 0; i < mem_rows_streams(m); i++) {
        const struct mem_stream *st = mem_rows_stream(m, i);
        uint32_t small = 0;
        for (uint32_t k = 0; k < st->nparts; k++)
            small += st->parts[k]->nsel < 256;
        CHECK(small <= 21);
    }
    check_all_once(&v, SIG_SPANS, seen);
    check_all_once(&v, SIG_LOGS, seen);
    check_hints(&v, seen);
    check_traces(&v, seen, false);
    check_tokens(&v, seen, false);
    struct seg *s = seal(m, 0, 1);
    check_all_once(&v, SIG_SPANS, seen); /* readable as before */
    mem_rows_free(m);
    arena_deinit(&v.mem);
    v = view_of(NULL, &s, 0, 1);
    check_all_once(&v, SIG_SPANS, seen);
    check_all_once(&v, SIG_LOGS, seen);
    check_hints(&v, seen);
    check_traces(&v, seen, true);
    check_tokens(&v, seen, true);
    CHECK(v.counts.groups_skipped > 0 && v.counts.bytes > 0);
    CHECK((double)seg_info(s)->bytes / (double)seen->max < 150);
    arena_deinit(&v.mem);
    seg_doom(s);
    seg_put(s);
}

/* A segment of three cores read by a program of one and of two: every row exactly once. */
static void test_other_core_counts(struct seen *seen)
{
    struct seg *segs[3];
    for (uint32_t c = 0; c < 3; c++) {
        struct mem_rows *m = fill(seen->max, 3, c);
        segs[c] = seal(m, c, 3);
        mem_rows_free(m);
    }
    struct seen sum = *seen;
    sum.count = calloc(seen->max, 1);
    CHECK(sum.count);
    for (int sig = SIG_SPANS; sig <= SIG_LOGS; sig++)
        for (uint32_t cores = 1; cores <= 3; cores++) {
            memset(sum.count, 0, seen->max);
            for (uint32_t core = 0; core < cores; core++) {
                struct view v = view_of(NULL, segs, core, cores);
                v.nsegs = 3;
                struct rows_req rq = all_rows((enum signal)sig);
                scan(&v, &rq, seen);
                CHECK(seen->rows > 0);
                for (uint64_t i = 0; i < seen->max; i++)
                    sum.count[i] = (uint8_t)(sum.count[i] + seen->count[i]);
                arena_deinit(&v.mem);
            }
            for (uint64_t i = 0; i < seen->max; i++)
                CHECK(sum.count[i] == 1);
        }
    uint8_t ids[TRACES][16];
    some_traces(seen, ids);
    memset(sum.count, 0, seen->max);
    for (uint32_t core = 0; core < 2; core++) { /* each finds its own */
        struct view v = view_of(NULL, segs, core, 2);
        v.nsegs = 3;
        struct rows_req rq = all_rows(SIG_SPANS);
        rq.ids = (const uint8_t (*)[16])ids;
        rq.nids = 2;
        scan(&v, &rq, seen);
        for (uint64_t i = 0; i < seen->max; i++)
            sum.count[i] = (uint8_t)(sum.count[i] + seen->count[i]);
        arena_deinit(&v.mem);
    }
    for (uint64_t i = 0; i < seen->max; i++)
        CHECK(sum.count[i] == is_asked(ids, 2, i));
    free(sum.count);
    for (int c = 0; c < 3; c++) {
        seg_doom(segs[c]);
        seg_put(segs[c]);
    }
}

/* The scan began: inserts that merge parts away do not disturb it. */
static void test_scan_keeps_its_parts(struct seen *seen)
{
    struct mem_rows *m = mem_rows_new(&budget);
    struct mem mem = { .refs = 1, .rows = m }, *mems = &mem;
    struct view v = view_of(&mems, NULL, 0, 1);
    for (uint64_t i = 0; i < 7; i++)
        insert(m, SIG_SPANS, i, i + 1, 1, 0);
    struct rows_req rq = all_rows(SIG_SPANS);
    struct rows_scan *s;
    struct rowset rs;
    memset(seen->count, 0, seen->max);
    CHECK(rows_open(&v, &rq, &s) == OK);
    CHECK(next(s, &rs));
    for (uint64_t i = 7; i < 100; i++)
        insert(m, SIG_SPANS, i, i + 1, 1, 0);
    do
        check_rowset(&rs, SIG_SPANS, seen);
    while (next(s, &rs));
    rows_close(s);
    for (uint64_t i = 0; i < 100; i++)
        CHECK(seen->count[i] == (i < 7));
    mem_rows_free(m);
    arena_deinit(&v.mem);
}

/* Documents of two indexes, and a table too wide to share a group with another. */
static void test_indexes_and_wide_tables(void)
{
    struct mem_rows *m = mem_rows_new(&budget);
    for (int turn = 0; turn < 3; turn++) {
        struct table_builder *b = table_builder_new(&budget);
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), 5 + turn);
        for (uint64_t k = 0; k < 700; k++) {
            char name[64];
            table_set_i64(b, SC_ATTR, text(name, turn == 1 ? "b" : "a", k), (int64_t)k);
        }
        struct table *t = table_builder_finish(b, STR("time"));
        for (int i = 0; i < 10; i++)
            mem_rows_insert(m, STR("acme"), SIG_DOCS, turn == 2 ? STR("two") : STR("one"), t, NULL, 0);
        mem_rows_insert(m, STR("other"), SIG_DOCS, STR("three"), t, NULL, 0);
        table_put(t);
    }
    struct seg *s = seal(m, 0, 1);
    uint64_t rows = 0;
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        const struct seg_group *g = seg_group(s, i);
        rows += g->nrows;
        if (i > 0) CHECK(str_cmp(seg_group(s, i - 1)->tenant, g->tenant) <= 0);
    }
    CHECK(rows == 33);
    mem_rows_free(m);
    seg_doom(s);
    seg_put(s);
}

/* A look-up in a damaged segment finds the whole trace or says what is wrong, and with which file. */
static bool damaged_look_up(struct view *v, const char *name)
{
    uint64_t id[2];
    trace_of(42, id);
    const struct scan_hint h = { .kind = HINT_FIX_EQ, .name = STR("trace_id"), .value = str_n(id, 16) };
    struct rows_req rq = all_rows(SIG_SPANS);
    rq.hints = &h;
    rq.nhints = 1;
    rq.whole = true;
    struct rows_scan *s;
    struct rowset rs;
    bool more = true;
    uint32_t rows = 0;
    err_t e = rows_open(v, &rq, &s);
    bool opened = e == OK;
    while (e == OK && (e = rows_next(s, &rs, &more)) == OK && more)
        rows += rs.nsel;
    if (e == OK) CHECK(rows == 5);
    if (e != OK) CHECK(e == ERR_CORRUPT && strstr(err_detail(), name));
    if (opened) rows_close(s);
    return e != OK;
}

/* Changed bytes are found, wherever they are. */
static void test_damage(void)
{
    struct mem_rows *m = fill(300, 1, 0);
    struct seg *s = seal(m, 0, 1);
    struct seg_info info = *seg_info(s);
    seg_put(s);
    mem_rows_free(m);
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, info.name);
    FILE *f = fopen(path, "r+b");
    CHECK(f);
    struct prng r;
    prng_init(&r, 3);
    uint64_t opened = 0, refused = 0;
    for (int i = 0; i < 200; i++) {
        long at = (long)(i < 100 ? prng_below(&r, info.bytes) : info.bytes - 1 - prng_below(&r, 400));
        CHECK(fseek(f, at, SEEK_SET) == 0);
        int was = fgetc(f);
        CHECK(fseek(f, at, SEEK_SET) == 0 && fputc(was ^ 0x40, f) != EOF && fflush(f) == 0);
        if (seg_open(dir, &info, &s) == OK) {
            opened++;
            struct view v = view_of(NULL, &s, 0, 1);
            struct rows_req rq = all_rows(SIG_SPANS);
            struct rows_scan *sc;
            struct rowset rs;
            bool more = true;
            err_t e = rows_open(&v, &rq, &sc);
            CHECK(e == OK);
            const struct column_key *keys;
            uint32_t n = 0;
            while (e == OK && (e = rows_next(sc, &rs, &more)) == OK && more) {
                CHECK(rowset_keys(&rs, REL_ROWS, &keys, &n) == OK);
                for (uint32_t k = 0; k < n && e == OK; k++) {
                    const struct column *c;
                    e = rowset_column(&rs, REL_ROWS, keys[k].scope, keys[k].name, keys[k].type, &c);
                }
            }
            CHECK(e == OK || e == ERR_CORRUPT);
            rows_close(sc);
            refused += damaged_look_up(&v, info.name);
            arena_deinit(&v.mem);
            seg_put(s);
        }
        CHECK(fseek(f, at, SEEK_SET) == 0 && fputc(was, f) != EOF && fflush(f) == 0);
    }
    fclose(f);
    CHECK(opened > 20 && opened < 150);
    CHECK(refused > 0);
    CHECK(seg_open(dir, &info, &s) == OK);
    seg_doom(s);
    seg_put(s);
    CHECK(access(path, F_OK) != 0);
    CHECK(seg_open(dir, &info, &s) != OK);
}

/* The format is a promise: a small table's wire form and group directory (with the checksums of its chunks) do not
 * change without a new version. Strings here are too short for zstd, so that its version does not matter. */
static void test_golden(void)
{
    struct table_builder *b = table_builder_new(&budget);
    for (uint64_t i = 0; i < 3; i++)
        put_row(b, SIG_SPANS, i);
    struct table *t = table_builder_finish(b, STR("start"));
    struct buf wire;
    buf_init(&wire, 1 << 20, NULL);
    table_encode(t, &wire);
    struct table *back;
    CHECK(table_decode(buf_view(&wire), &budget, &back) == OK);
    table_put(back);
    struct seg_writer *w;
    struct seg_info info = { .cores = 1 };
    struct seg *s;
    CHECK(seg_writer_open(dir, &budget, &w) == OK);
    CHECK(seg_rows_write(w, STR("acme"), SIG_SPANS, STR(""), t) == OK);
    CHECK(seg_writer_finish(w, &info) == OK);
    CHECK(seg_open(dir, &info, &s) == OK);
    uint64_t meta = hash64(seg_group(s, 0)->meta);
    const uint64_t want_meta = UINT64_C(0x54c9dbbfc1ac98b6);
    if (meta != want_meta) {
        fprintf(stderr, "the format changed: group %016llx\n", (unsigned long long)meta);
        CHECK(SEG_VERSION != 7);
    }
    buf_deinit(&wire);
    table_put(t);
    seg_doom(s);
    seg_put(s);
}

/* -- columns in pieces ------------------------------------------------------------------------------------------- */

enum { WIDE_ROWS = 20000, WIDE_TRACE = 40 };

static void wide_id(uint64_t i, uint64_t id[2])
{
    /* Neighbours share a trace: the ids get a dictionary. */
    id[0] = mix(i / WIDE_TRACE, 11) | 1;
    id[1] = mix(i % 3, 12);
}

/* Columns of every type that are large enough to be cut, some with holes. */
static void put_wide(struct table_builder *b, uint64_t i)
{
    char v[4096];
    uint64_t id[2], own = mix(i, 13);
    wide_id(i, id);
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("wide"));
    table_set_i64(b, SC_ATTR, STR("pod"), (int64_t)(own % 3));
    table_row(b);
    if (i % 5) table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    table_set_fix(b, SC_SELF, STR("span_id"), &own, 8);
    table_set_str(b, SC_SELF, STR("name"), COL_STR, STR("op"));
    table_set_i64(b, SC_SELF, STR("start"), (int64_t)i * 1000);
    table_set_i64(b, SC_ATTR, STR("number"), (int64_t)i);
    if (i % 9) table_set_i64(b, SC_ATTR, STR("noise"), (int64_t)own);
    if (i % 11) table_set_f64(b, SC_ATTR, STR("float"), (double)own * 1e-3);
    table_set_bool(b, SC_ATTR, STR("flag"), own & 1);
    if (i % 4) {
        size_t n = (size_t)snprintf(v, sizeof v, "%016llx", (unsigned long long)own);
        while (i % 16 == 1 && n < 600)
            n += (size_t)snprintf(v + n, sizeof v - n, "%016llx", (unsigned long long)mix(own, n));
        table_set_str(b, SC_ATTR, STR("text"), COL_STR, str_n(v, n));
    }
}

static bool same_value(const struct column *c, uint32_t row, const struct column *few, uint32_t k)
{
    if (column_has(c, row) != column_has(few, k)) return false;
    if (!column_has(c, row)) return true;
    switch (c->type) {
    case COL_I64: return c->i64[row] == few->i64[k];
    case COL_F64: return memcmp(&c->f64[row], &few->f64[k], 8) == 0;
    case COL_BOOL: return c->boolean[row] == few->boolean[k];
    case COL_FIX: return memcmp(c->fix + (size_t)row * c->width, few->fix + (size_t)k * c->width, c->width) == 0;
    default: return str_eq(column_str(c, row), column_str(few, k));
    }
}

/* Some rows of every column, read alone and with the whole. */
static void check_few(struct rowset *rs, struct prng *r)
{
    const struct column_key *keys;
    const struct column *all, *few;
    uint32_t nkeys, rows[64], n = 0;
    bool packed;
    uint32_t step = 1 + (uint32_t)prng_below(r, rs->nrows / 40);
    for (uint32_t row = (uint32_t)prng_below(r, rs->nrows); n < ARRAY_LEN(rows) && row < rs->nrows; row += 1 + (uint32_t)prng_below(r, step))
        rows[n++] = row;
    const uint32_t *dims, *few_dims;
    uint32_t ndims, few_ndims;
    CHECK(rowset_dim_at(rs, REL_RESOURCE, rows, n, &few_dims, &few_ndims) == OK && rowset_dim(rs, REL_RESOURCE, &dims, &ndims) == OK);
    CHECK(few_ndims == ndims && ndims == 3);
    for (uint32_t k = 0; k < n; k++)
        CHECK(few_dims[k] == dims[rows[k]]);
    CHECK(rowset_keys(rs, REL_ROWS, &keys, &nkeys) == OK);
    for (uint32_t i = 0; i < nkeys; i++) {
        CHECK(rowset_column_at(rs, REL_ROWS, &keys[i], rows, n, &few, &packed) == OK && few);
        if (!packed) continue; /* read whole before */
        CHECK(few->nrows == n);
        CHECK(rowset_column(rs, REL_ROWS, keys[i].scope, keys[i].name, keys[i].type, &all) == OK && all);
        for (uint32_t k = 0; k < n; k++)
            CHECK(same_value(all, rows[k], few, k));
    }
}

/* Rows of one trace: as many as there are, with their numbers. */
static void check_trace(struct view *v, uint64_t i, bool whole)
{
    static const struct column_key key = { SC_ATTR, COL_I64, { "number", 6 } };
    uint64_t id[2], want = 0, got = 0;
    wide_id(i, id);
    for (uint64_t k = i / WIDE_TRACE * WIDE_TRACE; k < (i / WIDE_TRACE + 1) * WIDE_TRACE; k++)
        want += k % 3 == i % 3 && k % 5 != 0;
    const struct scan_hint h = { .kind = HINT_FIX_EQ, .name = STR("trace_id"), .value = str_n(id, 16) };
    struct rows_req rq = all_rows(SIG_SPANS);
    rq.hints = &h;
    rq.nhints = 1;
    rq.whole = whole;
    struct rows_scan *s;
    struct rowset rs;
    CHECK(rows_open(v, &rq, &s) == OK);
    while (next(s, &rs)) {
        const struct column *c;
        bool packed;
        CHECK(rs.sel && rowset_column_at(&rs, REL_ROWS, &key, rs.sel, rs.nsel, &c, &packed) == OK && packed);
        for (uint32_t k = 0; k < rs.nsel; k++, got++)
            CHECK((uint64_t)c->i64[k] / WIDE_TRACE == i / WIDE_TRACE && (uint64_t)c->i64[k] % 3 == i % 3);
        CHECK(rows_again(s, rows_place(s), &rs) == OK && rs.nsel == want);
        break;
    }
    CHECK(got == want);
    rows_close(s);
}

static void test_pieces(void)
{
    struct mem_rows *m = mem_rows_new(&budget);
    for (uint64_t at = 0; at < WIDE_ROWS; at += 500) {
        struct table_builder *b = table_builder_new(&budget);
        for (uint64_t i = at; i < at + 500; i++)
            put_wide(b, i);
        struct table *t = table_builder_finish(b, STR("start"));
        mem_rows_insert(m, STR("acme"), SIG_SPANS, STR(""), t, NULL, 0);
        table_put(t);
    }
    struct seg *s = seal(m, 0, 1);
    mem_rows_free(m);
    struct view v = view_of(NULL, &s, 0, 1);
    struct prng r;
    prng_init(&r, 5);
    for (int turn = 0; turn < 40; turn++) {
        struct rows_req rq = all_rows(SIG_SPANS);
        struct rows_scan *sc;
        struct rowset rs;
        CHECK(rows_open(&v, &rq, &sc) == OK);
        while (next(sc, &rs))
            check_few(&rs, &r);
        rows_close(sc);
        uint64_t i = prng_below(&r, WIDE_ROWS);
        check_trace(&v, i, turn % 2);
    }
    /* The columns were cut, as the test means to: a trace takes a small part of the bytes. */
    v.counts.bytes = 0;
    check_trace(&v, 1001, true);
    CHECK(v.counts.bytes > 0 && v.counts.bytes < seg_info(s)->bytes / 2);
    arena_deinit(&v.mem);
    seg_doom(s);
    seg_put(s);
}

/* A query without memory is refused; what it held is given back. */
static void test_budget(struct seen *seen)
{
    struct mem_rows *m = fill(seen->max, 1, 0);
    struct seg *s = seal(m, 0, 1);
    struct budget small;
    budget_init(&small, "query", NULL, 100 << 10, ERR_LIMIT);
    struct view v = view_of(NULL, &s, 0, 1);
    v.budget = &small;
    struct rows_req rq = all_rows(SIG_SPANS);
    struct rows_scan *sc;
    struct rowset rs;
    CHECK(rows_open(&v, &rq, &sc) == OK);
    CHECK(next(sc, &rs));
    const struct column_key *keys;
    const struct column *c;
    uint32_t n;
    err_t e = rowset_keys(&rs, REL_ROWS, &keys, &n);
    for (uint32_t k = 0; k < n && e == OK; k++)
        e = rowset_column(&rs, REL_ROWS, keys[k].scope, keys[k].name, keys[k].type, &c);
    CHECK(e == ERR_LIMIT);
    rows_close(sc);
    CHECK(small.used == 0);
    arena_deinit(&v.mem);
    mem_rows_free(m);
    seg_doom(s);
    seg_put(s);
}

static void test_filters(void)
{
    struct hash_set set = { 0 };
    struct buf f;
    buf_init(&f, 1 << 24, NULL);
    for (uint64_t i = 0; i < 20000; i++)
        hash_set_add(&set, hash_u64(i));
    bloom_build(&set, &f);
    CHECK(bloom_valid(buf_view(&f)));
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        CHECK(bloom_maybe(buf_view(&f), hash_u64(i)));
        wrong += bloom_maybe(buf_view(&f), hash_u64(i + 1000000));
    }
    CHECK(wrong < 200); /* 1 % */
    hash_set_deinit(&set);
    buf_deinit(&f);
}

static err_t all(void *arg)
{
    (void)arg;
    struct seen seen = { .max = 6000 };
    seen.count = calloc(seen.max, 1);
    CHECK(seen.count);
    test_filters();
    test_golden();
    test_scan_keeps_its_parts(&seen);
    test_indexes_and_wide_tables();
    test_damage();
    test_pieces();
    test_budget(&seen);
    test_one_core(&seen);
    seen.max = 2000;
    test_other_core_counts(&seen);
    free(seen.count);
    return OK;
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/seg_plain.XXXXXX");
    CHECK(mkdtemp(dir));
    budget_init(&budget, "test", NULL, INT64_C(1) << 32, ERR_LIMIT);
    struct rt_opts o = { .cores = 1, .backend = RT_AUTO };
    CHECK(rt_run(&o, all, NULL) == OK);
    CHECK(budget.used == 0);
    CHECK(rmdir(dir) == 0); /* nothing was left behind */
    puts("ok");
    return 0;
}
