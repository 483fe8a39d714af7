/* Searches narrowed by the index of words against the same conditions over the tables in memory: random rows, random
 * conditions; what is found is read once more, few rows of it, as answers do. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "base/rt/rt.h"
#include "query/ops/op_scan.h"
#include "storage/seg_rows.h"
#include "storage/shard.h"
#include "tests/unit/check.h"

#include <string.h>
#include <unistd.h>

enum { TABLES = 6, ROWS_MAX = 14000, VOCABULARY = 4000, LONG_ROW = 2000 };
static struct budget budget;
static char dir[64];
static struct table *tables[TABLES];
static struct seg *segs[2];

/* -- rows ---------------------------------------------------------------------------------------------------- */

static struct str word(uint64_t i, char to[32])
{
    static const char *const odd[] = { "Ab", "\xc3\xa9t\xc3\xa9", "x", "a1b2", "ERROR", "" };
    int n = i < ARRAY_LEN(odd) ? snprintf(to, 32, "%s", odd[i]) : snprintf(to, 32, "w%llx", (unsigned long long)hash_u64(i) >> 44);
    return str_n(to, (size_t)n);
}

/* The first words are frequent, most are rare. */
static uint64_t pick(struct prng *r)
{
    uint64_t below = UINT64_C(4) << prng_below(r, 11);
    return prng_below(r, MIN(below, VOCABULARY));
}

static void put_text(struct prng *r, struct buf *b, unsigned most)
{
    static const char *const between[] = { " ", ", ", "=", "_", ": ", "/" };
    char w[32];
    for (uint64_t n = prng_below(r, most); n > 0; n--) {
        buf_str(b, word(pick(r), w));
        buf_z(b, between[prng_below(r, ARRAY_LEN(between))]);
    }
}

/* What templates are made of. */
static void put_shaped(struct prng *r, struct buf *b)
{
    char w[32];
    unsigned n = (unsigned)prng_below(r, 3000);
    switch (prng_below(r, 3)) {
    case 0: buf_printf(b, "took %u ms, \"say %u of " STR_FMT "\" ", n, n % 7, STR_ARG(word(pick(r), w))); break;
    case 1: buf_printf(b, "10.0.%u.%u - [2026-01-02T03:04:%02u] id=%016llx ", n % 256, n % 9, n % 60, (unsigned long long)hash_u64(n)); break;
    default: buf_printf(b, "GET /w%x/%u took:%u.%02u ", n % 50, n, n % 20, n % 100); break;
    }
}

static void put_json(struct prng *r, struct buf *b, bool hidden)
{
    buf_z(b, "{\"a\":\"");
    put_text(r, b, 4);
    buf_z(b, hidden ? "\\u0041b\",\"list\":[\"x\\n" : "\",\"list\":[\"x\\n");
    put_text(r, b, 3);
    buf_z(b, "\",17]}");
}

static struct table *some_table(struct prng *r, uint64_t *number)
{
    struct table_builder *t = table_builder_new(&budget);
    uint64_t nrows = prng_below(r, 3) ? 1 + prng_below(r, ROWS_MAX) : 1 + prng_below(r, 200);
    bool hidden = prng_below(r, 3) == 0, wide = prng_below(r, 3) == 0;
    /* Long texts make small blocks. */
    static const char padding[4000] = { [0 ... 3999] = '-' };
    struct str pad = str_n(padding, prng_below(r, 4) * 1333);
    struct buf b;
    char w[32];
    buf_init(&b, 1 << 20, NULL);
    table_resource(t);
    for (uint64_t i = 0; i < nrows; i++, ++*number) {
        table_row(t);
        table_set_i64(t, SC_SELF, STR("time"), (int64_t)*number * 1000);
        buf_clear(&b);
        if (prng_below(r, 3) == 0) put_shaped(r, &b);
        put_text(r, &b, wide && prng_below(r, 4) == 0 ? LONG_ROW / 20 : 8);
        if (prng_below(r, 20)) table_set_str(t, SC_SELF, STR("body"), COL_STR, buf_view(&b));
        if (prng_below(r, 3) == 0) {
            buf_clear(&b);
            put_json(r, &b, hidden && prng_below(r, 50) == 0);
            table_set_str(t, SC_ATTR, STR("json"), COL_JSON, buf_view(&b));
        }
        if (prng_below(r, 2)) table_set_str(t, SC_ATTR, STR("user"), COL_STR, word(pick(r) % 40, w));
        if (pad.n) table_set_str(t, SC_ATTR, STR("padding"), COL_STR, pad);
        if (prng_below(r, 2)) table_set_i64(t, SC_ATTR, STR("user"), (int64_t)prng_below(r, 9));
    }
    buf_deinit(&b);
    return table_builder_finish(t, STR("time"));
}

static void make_segments(struct prng *r)
{
    uint64_t number = 0;
    for (int s = 0; s < 2; s++) {
        struct seg_writer *w;
        struct seg_info info = { .generation = (uint64_t)s + 1, .generation_first = (uint64_t)s + 1, .cores = 1 };
        CHECK(seg_writer_open(dir, &budget, &w) == OK);
        for (int i = s * TABLES / 2; i < (s + 1) * TABLES / 2; i++) {
            tables[i] = some_table(r, &number);
            CHECK(seg_rows_write(w, STR("t"), SIG_LOGS, STR(""), tables[i]) == OK);
        }
        CHECK(seg_writer_finish(w, &info) == OK);
        CHECK(seg_open(dir, &info, &segs[s]) == OK);
    }
}

/* -- conditions ---------------------------------------------------------------------------------------------- */

static struct str some_words(struct prng *r, struct arena *a, unsigned most)
{
    struct buf b;
    char w[32];
    buf_init(&b, 4096, NULL);
    for (uint64_t n = 1 + prng_below(r, most), i = 0; i < n; i++) {
        if (i) buf_z(&b, " ");
        buf_str(&b, prng_below(r, 9) ? word(pick(r), w) : STR("nowhere"));
    }
    struct str s = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return s;
}

/* Out of the shapes, over the borders of their parts. */
static struct str some_piece(struct prng *r, struct arena *a)
{
    struct buf b;
    buf_init(&b, 4096, NULL);
    put_shaped(r, &b);
    uint64_t from = prng_below(r, b.n), n = 1 + prng_below(r, prng_below(r, 3) ? 6 : 30);
    struct str s = arena_str(a, str_sub(buf_view(&b), from, from + n));
    buf_deinit(&b);
    return s;
}

static const char *const regexes[] = { "took ", "ms, .say ", "w", "id=", "10\\.0\\.1", "(GET|say) " };
static const struct attr_ref time_ref = { .scope = SC_SELF, .name = { "time", 4 } };

static const struct val_range *some_range(struct prng *r, struct arena *a, bool of_time)
{
    struct val_range *g = ARENA_NEW(a, struct val_range);
    int64_t lo = (int64_t)prng_below(r, of_time ? TABLES * ROWS_MAX / 2 * 1000 : 9);
    g->lo = (struct val){ .type = COL_I64, .i64 = lo };
    if (prng_below(r, 2)) g->hi = (struct val){ .type = COL_I64, .i64 = lo + (int64_t)prng_below(r, of_time ? ROWS_MAX * 1000 : 2) };
    return g;
}

static struct expr *some_leaf(struct prng *r, struct expr_builder *b)
{
    static const struct attr_ref refs[] = {
        { .scope = SC_SELF, .name = { "body", 4 } },
        { .scope = SC_ATTR, .name = { "user", 4 } },
        { .scope = SC_ATTR, .name = { "json", 4 }, .path = { "a", 1 } },
        { .scope = SC_ATTR, .name = { "json", 4 }, .path = { "list", 4 } },
    };
    struct leaf l = { .refs = &refs[prng_below(r, 2) ? 0 : prng_below(r, 4)], .nrefs = 1 };
    struct val *lit = ARENA_NEW(b->mem, struct val);
    *lit = (struct val){ .type = COL_STR };
    l.lits = lit;
    l.nlits = 1;
    switch (prng_below(r, 9)) {
    case 0:
    case 1:
        l.op = LEAF_PHRASE;
        l.phrase = phrase_of(b->mem, some_words(r, b->mem, 3));
        l.phrase.last_prefix = prng_below(r, 4) == 0;
        l.phrase.any_order = prng_below(r, 4) == 0;
        break;
    case 2:
        l.words = true;
        l.op = prng_below(r, 2) ? LEAF_EQ : LEAF_NE;
        lit->s = text_lower(b->mem, some_words(r, b->mem, 1));
        break;
    case 3:
        l.op = LEAF_EQ;
        lit->s = some_words(r, b->mem, 1);
        break;
    case 4:
        l.op = LEAF_WILDCARD;
        l.fold = prng_below(r, 2);
        lit->s = arena_printf(b->mem, "*" STR_FMT "*", STR_ARG(prng_below(r, 2) ? some_piece(r, b->mem) : some_words(r, b->mem, 2)));
        break;
    case 5:
        l.op = LEAF_WILDCARD;
        l.words = true;
        lit->s = arena_printf(b->mem, "*" STR_FMT "*", STR_ARG(text_lower(b->mem, some_piece(r, b->mem))));
        break;
    case 6:
        l.op = prng_below(r, 3) ? LEAF_REGEX : LEAF_NREGEX;
        l.words = prng_below(r, 3) == 0;
        CHECK(expr_regex(b, arena_printf(b->mem, ".*%s[0-9a-f].*", regexes[prng_below(r, ARRAY_LEN(regexes))]), &l.re) == OK);
        break;
    case 7: /* cheap: the rows that others are asked about */
        l.refs = prng_below(r, 2) ? &time_ref : &refs[1];
        l.op = LEAF_RANGE;
        l.nlits = 0;
        l.ranges = some_range(r, b->mem, l.refs == &time_ref);
        l.nranges = 1;
        break;
    default:
        l.op = LEAF_PREFIX;
        lit->s = some_words(r, b->mem, 1);
    }
    return expr_leaf(b, &l);
}

static struct expr *some_expr(struct prng *r, struct expr_builder *b)
{
    struct expr *kids[3];
    uint32_t n = 1 + (uint32_t)prng_below(r, 3);
    for (uint32_t i = 0; i < n; i++) {
        kids[i] = some_leaf(r, b);
        if (prng_below(r, 8) == 0) kids[i] = expr_not(b, kids[i]);
    }
    return prng_below(r, 4) ? expr_and(b, kids, n) : expr_or(b, kids, n);
}

/* -- comparing ------------------------------------------------------------------------------------------------- */

static uint64_t in_memory(const struct expr_builder *b, const struct expr *e, uint8_t *found)
{
    uint64_t n = 0, number = 0;
    for (int i = 0; i < TABLES; number += tables[i++]->nrows) {
        struct expr_exec x;
        enum expr_can can;
        struct rows_src src = { .table = tables[i] };
        expr_exec_init(&x, b, e, &budget);
        CHECK(expr_exec_bind(&x, &src, &can) == OK);
        for (uint32_t base = 0; can != EXPR_NEVER && base < tables[i]->nrows; base += VEC_MAX) {
            uint64_t mask[MASK_WORDS];
            uint32_t rows = MIN((uint32_t)VEC_MAX, tables[i]->nrows - base);
            mask_fill(mask, rows);
            CHECK(expr_exec_mask(&x, base, rows, mask) == OK);
            for (uint32_t k = 0; k < rows; k++)
                if (mask[k / 64] >> (k % 64) & 1) found[number + base + k] = 1, n++;
        }
        expr_exec_deinit(&x);
    }
    return n;
}

/* The text of a row by its number. */
static struct str body_of(uint64_t number)
{
    int i = 0;
    while (number >= tables[i]->nrows)
        number -= tables[i++]->nrows;
    const struct column *c = table_column(tables[i], SC_SELF, STR("body"), COL_STR);
    return c && column_has(c, (uint32_t)number) ? column_str(c, (uint32_t)number) : STR_NONE;
}

struct kept { /* a row found, to be read once more */
    uint32_t place, row;
    uint64_t number;
};

static void read_again(struct rows_scan *s, const struct kept *k)
{
    static const struct column_key key = { SC_SELF, COL_STR, { "body", 4 } };
    struct rowset rs;
    const struct column *c;
    bool packed;
    CHECK(rows_again(s, k->place, &rs) == OK);
    CHECK(rowset_column_at(&rs, REL_ROWS, &key, &k->row, 1, &c, &packed) == OK);
    uint32_t at = packed ? 0 : k->row;
    struct str want = body_of(k->number);
    if (!c) CHECK(!want.p);
    else CHECK(column_has(c, at) == (want.p != NULL) && (!want.p || str_eq(column_str(c, at), want)));
}

static uint64_t in_segments(struct prng *r, struct view *v, const struct expr_builder *b, const struct expr *e, const uint8_t *found)
{
    static const struct scan_spec time = { REL_ROWS, SC_SELF, { "time", 4 }, COL_I64 };
    struct scan_opts o = { .filter = e, .builder = b, .cols = &time, .ncols = 1 };
    struct op_scan s;
    enum op_status st;
    struct kept kept[8];
    uint32_t nkept = 0;
    uint64_t n = 0;
    o.req = (struct rows_req){ .signal = SIG_LOGS, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX, .newest_first = prng_below(r, 2) };
    CHECK(op_scan_open(&s, v, &o, &budget) == OK);
    while (op_scan_next(&s, &st) == OK && st != OP_FINISHED)
        for (uint32_t i = 0; i < s.chunk.nsel; i++) {
            uint32_t at = s.chunk.sel ? s.chunk.sel[i] : i;
            uint64_t number = (uint64_t)s.chunk.cols[0].i64[at] / 1000;
            CHECK(found[number] == 1);
            n++;
            struct kept k = { rows_place(s.rows), s.chunk.base + at, number };
            if (nkept < ARRAY_LEN(kept)) kept[nkept++] = k;
            else if (prng_below(r, 20) == 0) kept[prng_below(r, nkept)] = k;
        }
    CHECK(st == OP_FINISHED);
    for (uint32_t i = 0; i < nkept; i++)
        read_again(s.rows, &kept[i]);
    op_scan_close(&s);
    return n;
}

static uint64_t compare(struct prng *r, uint8_t *found, uint64_t rows)
{
    struct arena a;
    struct expr_builder b;
    struct view v = { .tenant = STR("t"), .budget = &budget, .nsegs = 2, .segs = segs, .cores = 1, .partitions = 64 };
    struct seg_dead *dead[2] = { NULL };
    v.dead = dead;
    arena_init(&a, NULL);
    arena_init(&v.mem, &budget);
    expr_builder_init(&b, &a);
    struct expr *e = some_expr(r, &b);
    CHECK(expr_finish(&b, e) == OK);
    memset(found, 0, rows);
    uint64_t want = in_memory(&b, e, found), got = in_segments(r, &v, &b, e, found);
    if (want != got) {
        fprintf(stderr, "op %d: %llu rows of %llu\n", (int)e->leaf.op, (unsigned long long)got, (unsigned long long)want);
        abort();
    }
    expr_builder_deinit(&b);
    arena_deinit(&v.mem);
    arena_deinit(&a);
    return v.counts.rows;
}

static err_t run(void *arg)
{
    (void)arg;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct prng r;
        uint64_t rows = 0, seen = 0;
        prng_init(&r, seed);
        make_segments(&r);
        for (int i = 0; i < TABLES; i++)
            rows += tables[i]->nrows;
        uint8_t *found = malloc(rows);
        CHECK(found);
        enum { QUERIES = 100 };
        for (int i = 0; i < QUERIES; i++)
            seen += compare(&r, found, rows);
        CHECK((double)seen < (double)(rows * QUERIES) * 0.87); /* it does narrow, where it can */
        free(found);
        for (int s = 0; s < 2; s++) {
            seg_doom(segs[s]);
            seg_put(segs[s]);
        }
        for (int i = 0; i < TABLES; i++)
            table_put(tables[i]);
    }
    return OK;
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/words.XXXXXX");
    CHECK(mkdtemp(dir));
    budget_init(&budget, "words", NULL, INT64_C(2) << 30, ERR_LIMIT);
    struct rt_opts o = { .cores = 1, .backend = RT_AUTO };
    CHECK(rt_run(&o, run, NULL) == OK);
    CHECK(budget.used == 0);
    return rmdir(dir);
}
