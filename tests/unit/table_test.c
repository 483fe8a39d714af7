#include "base/core/prng.h"
#include "storage/partition.h"
#include "storage/table.h"
#include "tests/unit/table_rows.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct str num(char *buf, const char *stem, uint64_t n)
{
    return str_n(buf, (size_t)snprintf(buf, 64, "%s%llu", stem, (unsigned long long)n));
}

/* Spans with shifting attribute sets, repeated keys, resources that come back, events on some. */
static struct table *random_table(uint64_t seed, uint32_t nrows, struct budget *budget)
{
    struct prng r;
    prng_init(&r, seed);
    struct table_builder *b = table_builder_new(budget);
    char k[64], v[64];
    for (uint32_t i = 0; i < nrows; i++) {
        if (prng_chance(&r, 0.1)) {
            table_resource(b);
            table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, num(v, "svc", prng_below(&r, 5)));
            if (prng_chance(&r, 0.5)) table_set_i64(b, SC_ATTR, STR("pid"), (int64_t)prng_below(&r, 3));
        }
        if (prng_chance(&r, 0.1)) {
            table_scope(b);
            table_set_str(b, SC_SELF, STR("name"), COL_STR, num(v, "lib", prng_below(&r, 3)));
        }
        table_row(b);
        uint64_t id[2] = { prng_next(&r), prng_next(&r) };
        table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
        table_set_i64(b, SC_SELF, STR("start"), (int64_t)(1000000 + i));
        table_set_str(b, SC_SELF, STR("name"), COL_STR, num(v, "GET /", prng_below(&r, 20)));
        for (uint32_t a = (uint32_t)prng_below(&r, 12); a-- > 0;) {
            struct str key = num(k, "k", prng_below(&r, 30));
            switch (prng_below(&r, 5)) {
            case 0: table_set_i64(b, SC_ATTR, key, (int64_t)prng_next(&r)); break;
            case 1: table_set_f64(b, SC_ATTR, key, prng_unit(&r)); break;
            case 2: table_set_bool(b, SC_ATTR, key, prng_chance(&r, 0.5)); break;
            case 3: table_set_str(b, SC_ATTR, key, COL_JSON, STR("[1,2]")); break;
            default: table_set_str(b, SC_ATTR, key, COL_STR, num(v, "v", prng_below(&r, 1000)));
            }
        }
        table_set_i64(b, SC_SELF, STR("kind"), (int64_t)prng_below(&r, 6));
        for (uint32_t e = prng_chance(&r, 0.3) ? (uint32_t)prng_below(&r, 4) : 0; e-- > 0;) {
            table_child(b, CHILD_EVENTS);
            table_set_i64(b, SC_SELF, STR("time"), (int64_t)i);
            table_set_str(b, SC_SELF, STR("name"), COL_STR, num(v, "ev", prng_below(&r, 9)));
        }
        if (prng_chance(&r, 0.05)) table_row_drop(b);
    }
    return table_builder_finish(b, STR("start"));
}

static void check_sub(const struct table *t)
{
    for (uint32_t i = 0; i < t->ncols; i++) {
        const struct column *c = &t->cols[i];
        cr_assert_eq(c->nrows, t->nrows);
        uint32_t n = 0;
        for (uint32_t r = 0; r < t->nrows; r++)
            n += column_has(c, r);
        cr_assert_eq(n, c->nvalid);
        cr_assert_gt(n, 0);
        cr_assert_eq(c->valid == NULL, n == t->nrows);
        if (c->type != COL_STR && c->type != COL_BYTES && c->type != COL_JSON) continue;
        cr_assert_leq(c->dict.count, c->nvalid);
        for (uint32_t r = 0; r < t->nrows; r++)
            cr_assert_lt(c->code[r], c->dict.count);
    }
}

/* Every value of row ra of a stands in row rb of b, and the other way round. */
Test(table, builder_keeps_values_and_invariants)
{
    struct budget budget;
    budget_init(&budget, "t", NULL, 1 << 30, ERR_LIMIT);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct table *t = random_table(seed, 300, &budget);
        check_sub(t);
        cr_assert_leq(t->dim[DIM_RESOURCE]->nrows, 5 * 4 + 1);
        cr_assert_geq(t->tmin_ns, 1000000);
        cr_assert_eq(t->child_first[CHILD_EVENTS][t->nrows], t->child[CHILD_EVENTS]->nrows);
        check_sub(t->dim[DIM_RESOURCE]);
        check_sub(t->dim[DIM_SCOPE]);
        check_sub(t->child[CHILD_EVENTS]);
        table_put(table_get(t));
        table_put(t);
    }
    cr_assert_eq(budget.used, 0);
}

Test(table, last_value_wins_and_dropped_rows_leave_nothing)
{
    struct table_builder *b = table_builder_new(NULL);
    table_row(b);
    table_set_i64(b, SC_SELF, STR("start"), 7);
    table_set_i64(b, SC_SELF, STR("start"), 9);
    table_set_str(b, SC_ATTR, STR("a"), COL_STR, STR("x"));
    table_set_str(b, SC_ATTR, STR("a"), COL_STR, STR("y"));
    table_row(b);
    table_set_i64(b, SC_SELF, STR("start"), 1);
    table_set_i64(b, SC_ATTR, STR("gone"), 1);
    table_child(b, CHILD_LINKS);
    table_set_i64(b, SC_ATTR, STR("gone"), 1);
    table_row_drop(b);
    table_row(b);
    table_set_i64(b, SC_SELF, STR("start"), 8);
    table_resource(b); /* late: rows before it get an empty one */
    table_set_bool(b, SC_ATTR, STR("r"), true);
    table_row(b);
    struct table *t = table_builder_finish(b, STR("start"));
    cr_assert_eq(t->nrows, 3);
    cr_assert_eq(t->ncols, 2);
    cr_assert_eq(t->tmin_ns, 8);
    cr_assert_eq(t->tmax_ns, 9);
    cr_assert(!t->child[CHILD_LINKS]);
    const struct column *a = table_column(t, SC_ATTR, STR("a"), COL_STR);
    cr_assert(str_is(column_str(a, 0), "y"));
    cr_assert(!column_has(a, 1));
    cr_assert_eq(t->dim[DIM_RESOURCE]->nrows, 2);
    cr_assert_neq(t->dim_row[DIM_RESOURCE][0], t->dim_row[DIM_RESOURCE][2]);
    table_put(t);
}

Test(table, too_many_attributes_are_counted)
{
    struct table_builder *b = table_builder_new(NULL);
    table_row(b);
    char k[64];
    for (uint32_t i = 0; i < 1500; i++)
        table_set_i64(b, SC_ATTR, num(k, "key", i), i);
    table_set_i64(b, SC_SELF, STR("start"), 1);
    cr_assert(table_builder_full(b));
    struct table *t = table_builder_finish(b, STR("start"));
    cr_assert_leq(t->ncols, TABLE_COLS_MAX);
    const struct column *d = table_column(t, SC_SELF, STR("dropped_attributes"), COL_I64);
    cr_assert(d);
    cr_assert_eq(d->i64[0] + (int64_t)t->ncols - 2, 1500);
    table_put(t);
}

Test(table, merge_picks_rows_with_dims_and_children)
{
    struct budget budget;
    budget_init(&budget, "t", NULL, 1 << 30, ERR_LIMIT);
    struct table *in[3] = { random_table(1, 200, &budget), random_table(2, 1, &budget), random_table(3, 150, &budget) };
    struct table *all = table_merge(in, 3, NULL, 0, STR("start"), &budget);
    cr_assert_eq(all->nrows, in[0]->nrows + in[1]->nrows + in[2]->nrows);
    for (uint32_t i = 0, k = 0; i < 3; i++)
        for (uint32_t r = 0; r < in[i]->nrows; r++)
            full_row_equal(in[i], r, all, k++);
    check_sub(all);
    cr_assert_leq(all->dim[DIM_RESOURCE]->nrows, 21);

    struct table_pick order[40];
    struct prng r;
    prng_init(&r, 5);
    for (int i = 0; i < 40; i++) {
        order[i].input = (uint32_t)prng_below(&r, 2) * 2;
        order[i].row = (uint32_t)prng_below(&r, in[order[i].input]->nrows);
    }
    struct table *some = table_merge(in, 3, order, 40, STR("start"), &budget);
    check_sub(some);
    for (uint32_t i = 0; i < 40; i++)
        full_row_equal(in[order[i].input], order[i].row, some, i);
    table_put(some);
    table_put(all);
    for (int i = 0; i < 3; i++)
        table_put(in[i]);
    cr_assert_eq(budget.used, 0);
}

Test(table, wire_round_trip)
{
    struct budget budget;
    budget_init(&budget, "t", NULL, 1 << 30, ERR_LIMIT);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct table *t = random_table(seed, seed == 6 ? 5000 : (uint32_t)seed * 20 - 20, &budget);
        struct buf b;
        buf_init(&b, 1 << 26, &budget);
        table_encode(t, &b);
        cr_assert_eq(buf_check(&b), OK);
        struct table *u;
        cr_assert_eq(table_decode(buf_view(&b), &budget, &u), OK, "%s", err_detail());
        cr_assert_eq(t->nrows, u->nrows);
        cr_assert_eq(t->ncols, u->ncols);
        cr_assert_eq(t->tmin_ns, u->tmin_ns);
        cr_assert_eq(t->tmax_ns, u->tmax_ns);
        check_sub(u);
        for (uint32_t r = 0; r < t->nrows; r++)
            full_row_equal(t, r, u, r);
        table_put(u);
        /* Cut anywhere, or with a byte changed: an error or a valid table, never a crash. */
        struct prng r;
        prng_init(&r, seed);
        for (int i = 0; i < 300; i++) {
            bool cut = i % 2;
            size_t at = prng_below(&r, b.n);
            char was = b.p[at];
            b.p[at] = (char)(was ^ (char)(1 + prng_below(&r, 255)));
            if (table_decode(cut ? str_n(b.p, at) : buf_view(&b), &budget, &u) == OK) {
                check_sub(u);
                table_put(u);
            }
            b.p[at] = was;
        }
        buf_deinit(&b);
        table_put(t);
    }
    cr_assert_eq(budget.used, 0);
}

Test(partition, follows_the_row_not_its_table)
{
    struct table *in[2] = { random_table(1, 100, NULL), random_table(2, 100, NULL) };
    struct table *all = table_merge(in, 2, NULL, 0, STR("start"), NULL);
    static uint32_t one[100], two[100], both[200];
    enum signal signals[] = { SIG_SPANS, SIG_LOGS };
    for (int s = 0; s < 2; s++) {
        partition_rows(STR("t"), signals[s], in[0], 64, one);
        partition_rows(STR("t"), signals[s], in[1], 64, two);
        partition_rows(STR("t"), signals[s], all, 64, both);
        cr_assert_eq(memcmp(one, both, in[0]->nrows * 4), 0);
        cr_assert_eq(memcmp(two, both + in[0]->nrows, in[1]->nrows * 4), 0);
    }
    for (int i = 0; i < 2; i++)
        table_put(in[i]);
    table_put(all);
}

Test(partition, logs_without_trace_follow_their_stream)
{
    uint32_t first = 0;
    for (int turn = 0; turn < 2; turn++) {
        struct table_builder *b = table_builder_new(NULL);
        table_resource(b);
        if (turn) table_set_i64(b, SC_ATTR, STR("pid"), 1);
        table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("a"));
        if (!turn) table_set_i64(b, SC_ATTR, STR("pid"), 1);
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), turn);
        struct table *t = table_builder_finish(b, STR("time"));
        uint32_t p;
        partition_rows(STR("t"), SIG_LOGS, t, 1024, &p);
        if (turn) cr_assert_eq(p, first);
        first = p;
        table_put(t);
    }
}

Test(tenant, ids)
{
    cr_assert_eq(tenant_check(STR("anonymous")), OK);
    cr_assert_eq(tenant_check(STR("a!-_.*'()9")), OK);
    cr_assert_eq(tenant_check(STR("")), ERR_INVALID);
    cr_assert_eq(tenant_check(STR("..")), ERR_INVALID);
    cr_assert_eq(tenant_check(STR("a/b")), ERR_INVALID);
    cr_assert_eq(tenant_check(STR("a\0b")), ERR_INVALID);
    char big[151];
    memset(big, 'a', sizeof big);
    cr_assert_eq(tenant_check(str_n(big, 150)), OK);
    cr_assert_eq(tenant_check(str_n(big, 151)), ERR_INVALID);
}

/* A replayed row takes about the memory that it took when it was received. */
Test(table, a_decoded_table_is_about_as_large)
{
    static const uint32_t rows[] = { 100, 500, 1000, 5000, 20000 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct budget budget;
        struct buf bytes;
        struct table *t, *back;
        budget_init(&budget, "test", NULL, INT64_C(1) << 40, ERR_LIMIT);
        t = random_table(rows[i], rows[i], &budget);
        buf_init(&bytes, 64 << 20, NULL);
        table_encode(t, &bytes);
        cr_assert_eq(table_decode(buf_view(&bytes), &budget, &back), OK);
        cr_assert_lt(table_bytes(back), table_bytes(t) + table_bytes(t) / 20, "%u rows: %zu bytes, then %zu", rows[i], table_bytes(t), table_bytes(back));
        table_put(t);
        table_put(back);
        buf_deinit(&bytes);
    }
}
