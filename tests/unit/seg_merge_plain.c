/* Merging segments: every row and every sample of the inputs is in the output, once, as it was, in the order of a seal.
 * Rows are compared as texts that hold all they have: columns, resource, scope, events, links. */
#include "base/core/log.h"
#include "base/core/prng.h"
#include "base/rt/file.h"
#include "storage/mem_metric.h"
#include "storage/mem_rows.h"
#include "storage/seg_dead.h"
#include "storage/seg_map.h"
#include "storage/seg_merge.h"
#include "storage/seg_metric.h"
#include "storage/seg_table.h"
#include "storage/seg_tokens.h"
#include "storage/tokens.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { INPUTS = 5, SERIES = 120, TIMES = 700 };
static char dir[64];
static struct budget budget;
static int64_t rows_made;

static struct str num(char *buf, const char *stem, uint64_t n)
{
    return str_n(buf, (size_t)snprintf(buf, 64, "%s%llu", stem, (unsigned long long)n));
}

/* -- inputs --------------------------------------------------------------------------------------------------- */

static void put_attributes(struct table_builder *b, struct prng *r, unsigned names)
{
    char k[64], v[64];
    for (uint32_t a = (uint32_t)prng_below(r, 10); a-- > 0;) {
        struct str key = num(k, "k", prng_below(r, names));
        switch (prng_below(r, 6)) {
        case 0: table_set_i64(b, SC_ATTR, key, (int64_t)prng_next(r)); break;
        case 1: table_set_f64(b, SC_ATTR, key, prng_chance(r, 0.1) ? NAN : prng_unit(r)); break;
        case 2: table_set_bool(b, SC_ATTR, key, prng_chance(r, 0.5)); break;
        case 3: table_set_str(b, SC_ATTR, key, COL_JSON, STR("[1,2]")); break;
        case 4: table_set_str(b, SC_ATTR, key, COL_BYTES, num(v, "\x01\xff", prng_below(r, 9))); break;
        default: table_set_str(b, SC_ATTR, key, COL_STR, num(v, "v", prng_below(r, 500)));
        }
    }
}

static struct table *make_rows(struct prng *r, enum signal signal, uint32_t n, unsigned names)
{
    struct table_builder *b = table_builder_new(&budget);
    char v[64];
    for (uint32_t i = 0; i < n; i++) {
        if (prng_chance(r, 0.1)) {
            table_resource(b);
            if (prng_chance(r, 0.9)) table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, num(v, "svc", prng_below(r, 5)));
            if (prng_chance(r, 0.5)) table_set_i64(b, SC_ATTR, STR("pid"), (int64_t)prng_below(r, 3));
        }
        if (prng_chance(r, 0.1)) {
            table_scope(b);
            table_set_str(b, SC_SELF, STR("name"), COL_STR, num(v, "lib", prng_below(r, 3)));
        }
        table_row(b);
        table_set_i64(b, SC_ATTR, STR("no"), rows_made++);
        table_set_i64(b, SC_SELF, signal_time_column(signal), (int64_t)prng_below(r, 1000000));
        uint64_t id[2] = { hash_u64(prng_below(r, 3000)), 7 };
        if (prng_chance(r, 0.9)) table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
        if (signal == SIG_SPANS && prng_chance(r, 0.95)) table_set_str(b, SC_SELF, STR("name"), COL_STR, num(v, "GET /", prng_below(r, 20)));
        if (signal == SIG_LOGS) table_set_str(b, SC_SELF, STR("body"), COL_STR, num(v, "something happened to ", prng_below(r, 300)));
        put_attributes(b, r, names);
        for (uint32_t e = signal == SIG_SPANS && prng_chance(r, 0.3) ? (uint32_t)prng_below(r, 4) : 0; e-- > 0;) {
            table_child(b, prng_chance(r, 0.5) ? CHILD_EVENTS : CHILD_LINKS);
            table_set_str(b, SC_SELF, STR("trace_state"), COL_STR, num(v, "ev", prng_below(r, 9)));
            put_attributes(b, r, 5);
        }
    }
    return table_builder_finish(b, signal_time_column(signal));
}

static void insert(struct mem_rows *m, struct prng *r, const char *tenant, enum signal signal, const char *index, uint32_t n, unsigned names)
{
    for (uint32_t step; n > 0; n -= step) {
        step = 1 + (uint32_t)prng_below(r, 900);
        step = MIN(step, n);
        struct table *t = make_rows(r, signal, step, names);
        mem_rows_insert(m, str_of(tenant), signal, str_of(index), t, NULL, 0);
        table_put(t);
    }
}

static struct seg *seal(struct mem_rows *rows, struct mem_metric *metrics)
{
    struct seg_writer *w;
    struct seg_info info = { .cores = 1 };
    struct seg *s;
    CHECK(seg_writer_open(dir, &budget, &w) == OK);
    if (rows) CHECK(mem_rows_seal(rows, NULL, w) == OK);
    if (metrics) CHECK(mem_metric_seal(metrics, NULL, w) == OK);
    CHECK(seg_writer_finish(w, &info) == OK);
    CHECK(seg_open(dir, &info, &s) == OK);
    return s;
}

static void drop(struct seg *s)
{
    seg_doom(s);
    seg_put(s);
}

static const struct seg_merge_in *inputs(struct seg *const *in, uint32_t n)
{
    static struct seg_merge_in v[INPUTS];
    for (uint32_t i = 0; i < n; i++)
        v[i] = (struct seg_merge_in){ .seg = in[i] };
    return v;
}

static struct seg *merge(struct seg *const *in, uint32_t n)
{
    struct seg_merge m = { .dir = dir, .in = inputs(in, n), .n = n, .budget = &budget };
    struct seg_info info = { .cores = 1 };
    struct seg *s;
    CHECK(seg_merge(&m, &info) == OK);
    CHECK(seg_open(dir, &info, &s) == OK);
    return s;
}

/* -- rows as texts ---------------------------------------------------------------------------------------------- */

struct texts {
    struct arena a;
    struct str *v;
    uint32_t n;
    size_t cap;
};

static int by_text(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static struct str value_text(struct arena *a, const struct column *c, uint32_t row)
{
    struct str v;
    uint8_t b = 0;
    switch (c->type) {
    case COL_I64:
    case COL_F64: v = str_n(&c->i64[row], 8); break;
    case COL_BOOL:
        b = c->boolean[row];
        v = str_n(&b, 1);
        break;
    case COL_FIX: v = str_n(c->fix + (size_t)row * c->width, c->width); break;
    default: v = column_str(c, row);
    }
    char *hex = arena_alloc(a, v.n * 2 + 1);
    for (size_t i = 0; i < v.n; i++)
        memcpy(hex + 2 * i, (char[]){ "0123456789abcdef"[(uint8_t)v.p[i] >> 4], "0123456789abcdef"[v.p[i] & 15] }, 2);
    return arena_printf(a, "%d/%d/" STR_FMT "=%.*s;", c->scope, c->type, STR_ARG(c->name), (int)(v.n * 2), hex);
}

static struct str part_text(struct arena *a, const struct table *t, uint32_t row)
{
    struct str *v = ARENA_ARRAY(a, struct str, t->ncols + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->ncols; i++)
        if (column_has(&t->cols[i], row)) v[n++] = value_text(a, &t->cols[i], row);
    if (n > 1) qsort(v, n, sizeof *v, by_text);
    struct buf b;
    buf_init(&b, SIZE_MAX, NULL);
    for (uint32_t i = 0; i < n; i++)
        buf_str(&b, v[i]);
    struct str out = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return out;
}

static struct str row_text(struct arena *a, const struct seg_group *g, const struct table *t, uint32_t row)
{
    struct str s = arena_printf(a, STR_FMT "|%d|" STR_FMT "|", STR_ARG(g->tenant), (int)g->signal, STR_ARG(g->index));
    struct str v = part_text(a, t, row);
    s = arena_printf(a, STR_FMT STR_FMT, STR_ARG(s), STR_ARG(v));
    for (int d = 0; d < DIM_COUNT; d++) {
        v = t->dim[d] ? part_text(a, t->dim[d], t->dim_row[d][row]) : STR("");
        s = arena_printf(a, STR_FMT "|dim%d:" STR_FMT, STR_ARG(s), d, STR_ARG(v));
    }
    for (int c = 0; c < CHILD_COUNT; c++)
        for (uint32_t k = t->child[c] ? t->child_first[c][row] : 0; t->child[c] && k < t->child_first[c][row + 1]; k++) {
            v = part_text(a, t->child[c], k);
            s = arena_printf(a, STR_FMT "|child%d:" STR_FMT, STR_ARG(s), c, STR_ARG(v));
        }
    return s;
}

static void add_texts(struct texts *x, struct seg *s)
{
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        const struct seg_group *g = seg_group(s, i);
        struct table *t;
        if (g->signal == SIG_METRICS) continue;
        CHECK(seg_table_read(s, g, &budget, &t) == OK);
        CHECK(t->nrows == g->nrows && t->tmin_ns == g->tmin_ns && t->tmax_ns == g->tmax_ns);
        x->v = arena_grow(&x->a, x->v, x->n, &x->cap, x->n + t->nrows, sizeof *x->v);
        for (uint32_t r = 0; r < t->nrows; r++)
            x->v[x->n++] = row_text(&x->a, g, t, r);
        table_put(t);
        fiber_yield();
    }
}

static void same_rows(struct seg *const *in, uint32_t n, struct seg *out)
{
    struct texts a = { 0 }, b = { 0 };
    arena_init(&a.a, NULL);
    arena_init(&b.a, NULL);
    for (uint32_t i = 0; i < n; i++)
        add_texts(&a, in[i]);
    add_texts(&b, out);
    qsort(a.v, a.n, sizeof *a.v, by_text);
    qsort(b.v, b.n, sizeof *b.v, by_text);
    CHECK(a.n == b.n && a.n > 0);
    fiber_yield();
    for (uint32_t i = 0; i < a.n; i++) {
        if (!str_eq(a.v[i], b.v[i])) fprintf(stderr, STR_FMT "\n" STR_FMT "\n", STR_ARG(a.v[i]), STR_ARG(b.v[i]));
        CHECK(str_eq(a.v[i], b.v[i]));
    }
    arena_deinit(&a.a);
    arena_deinit(&b.a);
}

/* -- tests ------------------------------------------------------------------------------------------------------- */

static uint32_t groups_of(struct seg *s, const char *tenant, enum signal signal, const char *index)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        const struct seg_group *g = seg_group(s, i);
        n += g->signal == signal && str_is(g->tenant, tenant) && str_is(g->index, index);
    }
    return n;
}

static struct str string_of(const struct column *c, uint32_t row)
{
    return c && column_has(c, row) ? column_str(c, row) : STR("");
}

/* Spans stand by service, name, start; where a service or a name is missing, first. */
static void check_order(struct seg *s, const char *tenant)
{
    struct buf last, here;
    buf_init(&last, SIZE_MAX, NULL);
    buf_init(&here, SIZE_MAX, NULL);
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        const struct seg_group *g = seg_group(s, i);
        struct table *t;
        if (g->signal != SIG_SPANS || !str_is(g->tenant, tenant)) continue;
        CHECK(seg_table_read(s, g, &budget, &t) == OK);
        const struct column *service = table_column(t->dim[DIM_RESOURCE], SC_ATTR, STR("service.name"), COL_STR);
        const struct column *name = table_column(t, SC_SELF, STR("name"), COL_STR), *start = table_column(t, SC_SELF, STR("start"), COL_I64);
        for (uint32_t r = 0; r < t->nrows; r++) {
            char time[32];
            buf_clear(&here);
            buf_str(&here, string_of(service, t->dim_row[DIM_RESOURCE][r]));
            buf_byte(&here, 0);
            buf_str(&here, string_of(name, r));
            buf_byte(&here, 0);
            buf_str(&here, str_n(time, (size_t)snprintf(time, sizeof time, "%020lld", (long long)start->i64[r])));
            CHECK(str_cmp(buf_view(&last), buf_view(&here)) <= 0);
            buf_clear(&last);
            buf_str(&last, buf_view(&here));
        }
        table_put(t);
    }
    buf_deinit(&last);
    buf_deinit(&here);
}

/* Every row of the trace is named. */
static void check_ids(struct seg *s, uint64_t k)
{
    uint64_t id[2] = { hash_u64(k), 7 };
    struct arena a;
    uint32_t *rows, n;
    arena_init(&a, NULL);
    CHECK(seg_find_ids(s, (const uint8_t (*)[16])id, 1, &a, &rows, &n) == OK);
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        const struct seg_group *g = seg_group(s, i);
        struct table *t;
        if (g->signal != SIG_SPANS && g->signal != SIG_LOGS) continue;
        CHECK(seg_table_read(s, g, &budget, &t) == OK);
        const struct column *c = table_column(t, SC_SELF, STR("trace_id"), COL_FIX);
        for (uint32_t r = 0; r < t->nrows; r++) {
            if (!column_has(c, r) || memcmp(c->fix + 16 * r, id, 16) != 0) continue;
            bool named = false;
            for (uint32_t b = 0; b < n; b++)
                named |= rows[b] == g->first_row + r;
            CHECK(named);
        }
        table_put(t);
    }
    arena_deinit(&a);
}

/* The blocks of a log group that may hold the word, by the segment's index. */
static uint32_t blocks_of_word(struct seg *s, const struct seg_group *g, const char *word)
{
    struct tokens only = tokens_of(str_of(word), false);
    struct seg_tokens_found *found;
    struct arena a;
    uint64_t bytes, hash[TOKENS_BATCH];
    uint32_t n = 0;
    CHECK(tokens_next(&only, hash) == 1);
    arena_init(&a, NULL);
    bool *wanted = ARENA_ARRAY(&a, bool, seg_tokens(s)->n + 1);
    CHECK(g->tokens_section > 0 && g->tokens_section <= seg_tokens(s)->n);
    wanted[g->tokens_section - 1] = true;
    CHECK(seg_tokens_find(s, hash, 1, wanted, &a, &found, &bytes) == OK);
    const struct seg_tokens_found *f = &found[g->tokens_section - 1];
    for (uint32_t i = 0; i < f->n; i++)
        n += f->blocks[i] >= g->tokens_block && f->blocks[i] < g->tokens_block + seg_tokens_blocks(g->nrows, g->tokens_log2);
    arena_deinit(&a);
    return n;
}

/* Every word of every body is named where it stands; words that no row has are mostly not. */
static void check_words(struct seg *s)
{
    uint32_t lies = 0, groups = 0;
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        const struct seg_group *g = seg_group(s, i);
        struct table *t;
        char word[64];
        if (g->signal != SIG_LOGS) continue;
        CHECK(seg_table_read(s, g, &budget, &t) == OK);
        const struct column *body = table_column(t, SC_SELF, STR("body"), COL_STR);
        for (uint32_t r = 0; r < t->nrows; r += 37) {
            struct str v = column_str(body, r);
            snprintf(word, sizeof word, STR_FMT, STR_ARG(str_sub(v, sizeof "something happened to " - 1, v.n)));
            CHECK(blocks_of_word(s, g, word) > 0);
        }
        for (uint32_t k = 0; k < 20; k++) {
            snprintf(word, sizeof word, "absent%u", k);
            lies += blocks_of_word(s, g, word);
        }
        groups++;
        table_put(t);
    }
    CHECK(groups > 0 && lies < groups * 10);
}

static void make_inputs(struct prng *r, struct seg **in, unsigned names)
{
    for (uint32_t i = 0; i < INPUTS; i++) {
        struct mem_rows *m = mem_rows_new(&budget);
        insert(m, r, "b", SIG_SPANS, "", 900 + (uint32_t)prng_below(r, 900), names);
        insert(m, r, "a", SIG_SPANS, "", 300, names);
        if (i != 1) insert(m, r, "a", SIG_LOGS, "", 700, names);
        if (i > 2) insert(m, r, "a", SIG_DOCS, "x", 100, names);
        if (i % 2) insert(m, r, "a", SIG_DOCS, "y", 100, names);
        insert(m, r, "c", SIG_EXEMPLARS, "", 50, names);
        in[i] = seal(m, NULL);
        mem_rows_free(m);
    }
}

static void test_rows(void)
{
    struct prng r;
    struct seg *in[INPUTS];
    prng_init(&r, 11);
    make_inputs(&r, in, 30);
    struct seg *out = merge(in, INPUTS);
    same_rows(in, INPUTS, out);
    CHECK(groups_of(out, "b", SIG_SPANS, "") == 1 && groups_of(out, "a", SIG_SPANS, "") == 1 && groups_of(out, "a", SIG_LOGS, "") == 1);
    CHECK(groups_of(out, "a", SIG_DOCS, "x") == 1 && groups_of(out, "a", SIG_DOCS, "y") == 1 && seg_ngroups(out) == 6);
    check_order(out, "a");
    check_order(out, "b");
    for (uint64_t k = 0; k < 20; k++)
        check_ids(out, k);
    struct seg *again = merge(&out, 1);
    same_rows(&out, 1, again);
    CHECK(seg_info(again)->tmin_ns == seg_info(out)->tmin_ns && seg_info(again)->tmax_ns == seg_info(out)->tmax_ns);
    uint64_t memory;
    CHECK(seg_merge_memory(inputs(in, INPUTS), INPUTS, &memory) == OK && memory >= 32 << 20 && memory < 64 << 20);
    drop(again);
    drop(out);
    for (uint32_t i = 0; i < INPUTS; i++)
        drop(in[i]);
}

static void drop_too_old(struct texts *x)
{
    struct arena a;
    uint32_t n = 0;
    arena_init(&a, NULL);
    struct str spans = arena_printf(&a, "b|%d|", (int)SIG_SPANS), service = STR("service.name=73766333;"); /* svc3 */
    for (uint32_t i = 0; i < x->n; i++)
        if (!str_starts(x->v[i], spans) || !memmem(x->v[i].p, x->v[i].n, service.p, service.n)) x->v[n++] = x->v[i];
    CHECK(n < x->n);
    x->n = n;
    arena_deinit(&a);
}

/* Rows of a service that a rule of retention is for are left out when they are too old, the others stay. */
static void test_retention(void)
{
    struct prng r;
    struct seg *in[INPUTS], *out;
    struct keep_rules *k;
    struct texts a = { 0 }, b = { 0 };
    const struct matcher m = { .op = MATCH_EQ, .name = STR("service.name"), .value = STR("svc3") };
    const struct keep_rule rule = { .tenant = STR("b"), .signal = SIG_SPANS, .m = &m, .nm = 1, .age_ns = 5 };
    prng_init(&r, 14);
    make_inputs(&r, in, 30);
    CHECK(keep_rules_new(&rule, 1, 0, &k) == OK);
    struct seg_merge sm = { .dir = dir, .in = inputs(in, INPUTS), .n = INPUTS, .keep = k, .keep_now_ns = 2000000, .budget = &budget };
    struct seg_info info = { .cores = 1 };
    CHECK(seg_merge(&sm, &info) == OK && seg_open(dir, &info, &out) == OK);
    keep_rules_put(k);
    arena_init(&a.a, NULL);
    arena_init(&b.a, NULL);
    for (uint32_t i = 0; i < INPUTS; i++)
        add_texts(&a, in[i]);
    add_texts(&b, out);
    drop_too_old(&a);
    qsort(a.v, a.n, sizeof *a.v, by_text);
    qsort(b.v, b.n, sizeof *b.v, by_text);
    CHECK(a.n == b.n);
    for (uint32_t i = 0; i < a.n; i++)
        CHECK(str_eq(a.v[i], b.v[i]));
    arena_deinit(&a.a);
    arena_deinit(&b.a);
    drop(out);
    for (uint32_t i = 0; i < INPUTS; i++)
        drop(in[i]);
}

/* More names than a group may have columns: rows go on in another group. */
static void test_wide(void)
{
    struct prng r;
    struct seg *in[INPUTS];
    prng_init(&r, 12);
    make_inputs(&r, in, 400);
    struct seg *out = merge(in, INPUTS);
    same_rows(in, INPUTS, out);
    CHECK(groups_of(out, "b", SIG_SPANS, "") > 1);
    drop(out);
    for (uint32_t i = 0; i < INPUTS; i++)
        drop(in[i]);
}

/* Groups that have nothing to be joined with are copied: their chunks are the same bytes, and both indexes know them. */
static void test_copies(void)
{
    struct prng r;
    struct seg *in[INPUTS];
    prng_init(&r, 15);
    for (uint32_t i = 0; i < INPUTS; i++) {
        struct mem_rows *m = mem_rows_new(&budget);
        char tenant[8];
        insert(m, &r, "all", SIG_LOGS, "", 700, 30);
        insert(m, &r, "all", SIG_SPANS, "", 300, 30);
        snprintf(tenant, sizeof tenant, "t%u", i % 4); /* the last one's and the first one's are joined */
        insert(m, &r, tenant, SIG_LOGS, "", 900, 30);
        insert(m, &r, tenant, SIG_SPANS, "", 900, 30);
        if (i == 2) insert(m, &r, "little", SIG_LOGS, "", 20, 30);
        in[i] = seal(m, NULL);
        mem_rows_free(m);
    }
    struct seg_merge m = { .dir = dir, .in = inputs(in, INPUTS), .n = INPUTS, .budget = &budget };
    struct seg_info info = { .cores = 1 };
    struct seg *out;
    CHECK(seg_merge(&m, &info) == OK && seg_open(dir, &info, &out) == OK);
    CHECK(m.groups_copied == 3 + 3 + 1 && m.rows_dropped == 0 && seg_ngroups(out) == 2 + 8 + 1);
    CHECK(seg_tokens(out)->n == 1 + 3); /* of what was merged, and those that came with copies */
    same_rows(in, INPUTS, out);
    check_words(out);
    for (uint64_t k = 0; k < 20; k++)
        check_ids(out, k);
    CHECK(seg_verify_indexes(out, NULL, NULL) == OK);
    /* All of it alone is copied, words of groups that were merged before included. */
    struct seg_merge whole = { .dir = dir, .in = inputs(&out, 1), .n = 1, .budget = &budget };
    struct seg *again;
    CHECK(seg_merge(&whole, &info) == OK && seg_open(dir, &info, &again) == OK);
    CHECK(whole.groups_copied == seg_ngroups(out) && seg_ngroups(again) == seg_ngroups(out) && seg_tokens(again)->n == seg_tokens(out)->n);
    for (uint32_t i = 0; i < seg_ngroups(again); i++) {
        const struct seg_group *a = seg_group(out, i), *b = seg_group(again, i);
        struct arena mem;
        struct seg_place *x, *y;
        uint32_t nx, ny;
        arena_init(&mem, NULL);
        CHECK(str_eq(a->tenant, b->tenant) && a->signal == b->signal && a->nrows == b->nrows && a->tmin_ns == b->tmin_ns);
        CHECK(seg_map_group(a, &mem, &x, &nx) == OK && seg_map_group(b, &mem, &y, &ny) == OK && nx == ny);
        for (uint32_t k = 0; k < nx; k++)
            CHECK(x[k].chunk.hash == y[k].chunk.hash && x[k].chunk.size == y[k].chunk.size && x[k].chunk.raw_size == y[k].chunk.raw_size);
        CHECK(seg_verify_group(again, i, NULL, NULL) == OK);
        arena_deinit(&mem);
    }
    same_rows(&out, 1, again);
    check_words(again);
    for (uint64_t k = 0; k < 20; k++)
        check_ids(again, k);
    drop(again);
    drop(out);
    for (uint32_t i = 0; i < INPUTS; i++)
        drop(in[i]);
}

/* Flips a bit of a file, or flips it back. */
static void flip(struct seg *s, uint64_t at)
{
    char path[128], byte;
    snprintf(path, sizeof path, "%s/%s", dir, seg_info(s)->name);
    FILE *f = fopen(path, "r+b");
    CHECK(f && fseek(f, (long)at, SEEK_SET) == 0 && fread(&byte, 1, 1, f) == 1);
    byte ^= 4;
    CHECK(fseek(f, (long)at, SEEK_SET) == 0 && fwrite(&byte, 1, 1, f) == 1 && fclose(f) == 0);
}

/* Whatever byte is wrong of what would be copied (a column, a filter, a page of words): it is not copied. */
static void test_damaged_copies(void)
{
    struct prng r;
    struct seg *in;
    struct mem_rows *rows = mem_rows_new(&budget);
    prng_init(&r, 16);
    insert(rows, &r, "a", SIG_LOGS, "", 900, 30);
    insert(rows, &r, "a", SIG_SPANS, "", 900, 30);
    in = seal(rows, NULL);
    mem_rows_free(rows);
    struct seg_merge m = { .dir = dir, .in = inputs(&in, 1), .n = 1, .budget = &budget };
    struct seg_info info;
    struct arena a;
    arena_init(&a, NULL);
    unsigned tried = 0;
    for (uint32_t i = 0; i < seg_ngroups(in); i++) {
        struct seg_place *v;
        uint32_t n;
        CHECK(seg_map_group(seg_group(in, i), &a, &v, &n) == OK);
        for (uint32_t k = 0; k < n; k += 3, tried++) {
            uint64_t at = v[k].chunk.off + prng_below(&r, v[k].chunk.size);
            flip(in, at);
            CHECK(seg_merge(&m, &info) == ERR_CORRUPT && strstr(err_detail(), seg_info(in)->name));
            flip(in, at);
        }
    }
    CHECK(tried > 10);
    const struct seg_ids *words = &seg_tokens(in)->v[0].ids;
    CHECK(words->npages > 0);
    uint64_t at = words->off + words->end[words->npages - 1] / 2;
    flip(in, at);
    CHECK(seg_merge(&m, &info) == ERR_CORRUPT && strstr(err_detail(), seg_info(in)->name));
    flip(in, at);
    struct seg *out;
    info = (struct seg_info){ .cores = 1 };
    CHECK(seg_merge(&m, &info) == OK && m.groups_copied == 2 && seg_open(dir, &info, &out) == OK);
    drop(out);
    drop(in);
    arena_deinit(&a);
}

/* Groups that are too old, or deleted as a whole, are left out; of others the deleted rows. */
static void test_left_out(void)
{
    struct prng r;
    struct seg *in;
    struct mem_rows *rows = mem_rows_new(&budget);
    prng_init(&r, 17);
    insert(rows, &r, "a", SIG_LOGS, "", 500, 30);
    insert(rows, &r, "b", SIG_LOGS, "", 400, 30);
    insert(rows, &r, "c", SIG_LOGS, "", 300, 30);
    insert(rows, &r, "d", SIG_LOGS, "", 200, 30);
    in = seal(rows, NULL);
    mem_rows_free(rows);
    uint32_t dead[300];
    struct seg_dead *marks = NULL;
    for (uint32_t i = 0; i < ARRAY_LEN(dead); i++)
        dead[i] = i;
    for (uint32_t group = 2; group < 4; group++) { /* all of c, 50 rows of d */
        struct seg_dead *more;
        struct buf b;
        buf_init(&b, SEG_DEAD_BYTES_MAX, NULL);
        seg_dead_encode(dead, group == 2 ? 300 : 50, seg_group(in, group)->nrows, &b);
        CHECK(seg_dead_with(marks, group, seg_group(in, group)->nrows, buf_view(&b), &more) == OK);
        buf_deinit(&b);
        seg_dead_put(marks);
        marks = more;
    }
    const struct keep_rule old = { .tenant = STR("a"), .age_ns = 1000 };
    struct keep_rules *keep;
    CHECK(keep_rules_new(&old, 1, 0, &keep) == OK);
    struct seg_merge_in one = { in, marks };
    struct seg_merge m = { .dir = dir, .in = &one, .n = 1, .budget = &budget, .keep = keep, .keep_now_ns = seg_info(in)->tmax_ns + 2000 };
    struct seg_info info = { .cores = 1 };
    struct seg *out;
    CHECK(seg_merge(&m, &info) == OK && seg_open(dir, &info, &out) == OK);
    CHECK(seg_ngroups(out) == 2 && str_is(seg_group(out, 0)->tenant, "b") && seg_group(out, 0)->nrows == 400);
    CHECK(str_is(seg_group(out, 1)->tenant, "d") && seg_group(out, 1)->nrows == 150);
    CHECK(m.rows == 550 && m.rows_dropped == 850 && m.groups_dropped == 2 && m.groups_copied == 1);
    drop(out);
    drop(in);
    seg_dead_put(marks);
    keep_rules_put(keep);
}

static void test_failures(void)
{
    struct prng r;
    struct seg *in[INPUTS];
    prng_init(&r, 13);
    make_inputs(&r, in, 30);
    struct seg_info info;
    _Atomic bool stop = true;
    struct seg_merge m = { .dir = dir, .in = inputs(in, INPUTS), .n = INPUTS, .budget = &budget, .stop = &stop };
    CHECK(seg_merge(&m, &info) == ERR_CANCELED);
    stop = false;
    /* A flipped bit anywhere is noticed, and nothing is left behind. */
    for (unsigned k = 0; k < 12; k++) {
        uint64_t at = 16 + prng_below(&r, seg_info(in[2])->bytes / 2);
        flip(in[2], at);
        err_t e = seg_merge(&m, &info);
        CHECK(e == OK || (e == ERR_CORRUPT && strstr(err_detail(), seg_info(in[2])->name)));
        if (e == OK) { /* a filter or padding: merging needs them not */
            struct seg *out;
            CHECK(seg_open(dir, &info, &out) == OK);
            drop(out);
        }
        flip(in[2], at);
    }
    for (uint32_t i = 0; i < INPUTS; i++)
        drop(in[i]);
}

/* -- metrics ------------------------------------------------------------------------------------------------------- */

struct cell {
    bool there, hist;
    double v;
    int64_t st;
};
static struct cell model[SERIES][TIMES];
static struct str canonical[SERIES];
static hash128 ids[SERIES];

static void make_series(struct arena *a)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        struct label *l = ARENA_ARRAY(a, struct label, 3);
        l[0] = (struct label){ STR("__name__"), arena_printf(a, "m%u", i % 7) };
        l[1] = (struct label){ STR("no"), arena_printf(a, "%u", i) };
        l[2] = (struct label){ STR("zone"), i % 3 ? STR("eu") : STR("us") };
        struct labels ls = { 3, l };
        CHECK(labels_normalise(&ls) == OK);
        canonical[i] = labels_encode(&ls, a);
        ids[i] = series_id(canonical[i]);
    }
}

static struct seg *metrics_segment(struct prng *r, struct arena *a, uint32_t input)
{
    static uint32_t series[SERIES * TIMES], hseries[SERIES * TIMES];
    static int64_t t[SERIES * TIMES], ht[SERIES * TIMES], hst[SERIES * TIMES];
    static double v[SERIES * TIMES];
    static const struct nhist *h[SERIES * TIMES];
    struct metric_batch b = { .nseries = SERIES, .id = ids, .canonical = canonical, .series = series, .t_ms = t, .value = v,
                              .hseries = hseries, .ht_ms = ht, .hist = h, .hst_ms = hst };
    for (uint32_t i = 0; i < SERIES; i++) {
        if (i % 11 == input) continue; /* not in every input */
        for (uint32_t k = input * 100; k < input * 100 + 300; k++) {
            struct cell *c = &model[i][k];
            if (prng_chance(r, 0.2)) continue;
            *c = (struct cell){ true, i % 10 == 9, (double)prng_below(r, 100000) / 10, 0 };
            if (c->hist) {
                struct nhist x = { .count = 3, .sum = c->v };
                hseries[b.nhists] = i;
                ht[b.nhists] = k * 1000;
                hst[b.nhists] = c->st = 5;
                h[b.nhists++] = nhist_copy(a, &x);
            } else {
                series[b.nsamples] = i;
                t[b.nsamples] = k * 1000;
                v[b.nsamples++] = c->v;
            }
        }
    }
    struct mem_metric *m = mem_metric_new(&budget);
    mem_metric_insert(m, STR("t"), &b, NULL);
    struct metric_meta meta[2] = { { STR("m1"), STR("counter"), STR("s"), arena_printf(a, "help %u", input) },
                                   { arena_printf(a, "only%u", input), STR("gauge"), STR(""), STR("x") } };
    mem_metric_meta(m, STR("t"), meta, 2);
    if (input == 2) mem_metric_meta(m, STR("only meta"), meta, 1);
    struct seg *s = seal(NULL, m);
    mem_metric_free(m);
    return s;
}

static void check_meta(struct seg_metric *m, bool all)
{
    struct metric_meta *meta;
    uint32_t n;
    CHECK(seg_metric_meta(m, &meta, &n) == OK);
    CHECK(n == (all ? INPUTS + 1 : 1));
    for (uint32_t i = 0; i < n; i++)
        if (str_is(meta[i].family, "m1")) CHECK(str_is(meta[i].help, all ? "help 4" : "help 2"));
}

static void check_series(const struct seg_series *x, struct arena *a)
{
    uint32_t i = 0, n = 0;
    while (i < SERIES && !hash128_eq(ids[i], x->id))
        i++;
    CHECK(i < SERIES);
    struct sample_set s;
    CHECK(seg_series_read(x, INT64_MIN, INT64_MAX, a, &s) == OK);
    for (uint32_t k = 0; k < TIMES; k++) {
        const struct cell *c = &model[i][k];
        if (!c->there) continue;
        CHECK(n < s.n && s.t[n] == k * 1000);
        if (c->hist) CHECK(s.hist && s.hist[n] && s.hist[n]->sum == c->v && s.st && s.st[n] == c->st);
        else CHECK(s.v[n] == c->v);
        n++;
    }
    CHECK(n == s.n);
}

static void test_metrics(void)
{
    struct prng r;
    struct arena a, cache;
    struct seg *in[INPUTS];
    prng_init(&r, 14);
    arena_init(&a, NULL);
    arena_init(&cache, NULL);
    make_series(&a);
    uint64_t before = 0;
    for (uint32_t i = 0; i < INPUTS; i++) {
        in[i] = metrics_segment(&r, &a, i);
        before += seg_info(in[i])->bytes;
    }
    struct seg *out = merge(in, INPUTS);
    CHECK(seg_info(out)->bytes < before * 3 / 4); /* most samples are there three times */
    CHECK(seg_ngroups(out) == 2);
    for (uint32_t k = 0; k < 2; k++) {
        struct seg_metric *m;
        struct view_counts counts = { 0 };
        const struct seg_group *g = seg_group(out, k);
        bool all = str_is(g->tenant, "t");
        CHECK(seg_metric_open(out, g, &a, &counts, &m) == OK);
        m->cache = &cache;
        check_meta(m, all);
        uint32_t seen = 0;
        for (uint32_t p = 0; p < m->npages; p++) {
            struct seg_series *x;
            uint32_t n;
            CHECK(seg_metric_page_series(m, p, &x, &n) == OK);
            for (uint32_t i = 0; i < n; i++)
                check_series(&x[i], &a);
            seen += n;
            seg_metric_forget(m);
        }
        CHECK(seen == (all ? SERIES : 0));
    }
    drop(out);
    for (uint32_t i = 0; i < INPUTS; i++)
        drop(in[i]);
    arena_deinit(&a);
    arena_deinit(&cache);
}

static err_t all(void *arg)
{
    (void)arg;
    test_rows();
    test_retention();
    test_wide();
    test_copies();
    test_damaged_copies();
    test_left_out();
    test_failures();
    test_metrics();
    return OK;
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/seg_merge.XXXXXX");
    CHECK(mkdtemp(dir));
    log_init(LOG_ERROR, false);
    budget_init(&budget, "test", NULL, INT64_C(1) << 32, ERR_LIMIT);
    CHECK(rt_run(&(struct rt_opts){ .cores = 1 }, all, NULL) == OK);
    CHECK(budget.used == 0);
    CHECK(rmdir(dir) == 0); /* nothing was left behind */
    puts("ok");
    return 0;
}
