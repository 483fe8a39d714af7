#include "storage/retention.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct seg_info seg(int64_t tmax_ns, uint64_t bytes)
{
    return (struct seg_info){ .tmax_ns = tmax_ns, .bytes = bytes };
}

Test(retention, off_keeps_everything)
{
    struct seg_info s[] = { seg(0, 1 << 30), seg(-5, 1 << 30) };
    const struct retention_rule off = { 0 };
    cr_assert_eq(retention_pick(&off, (unix_ns){ INT64_MAX }, s, 2), 0);
}

Test(retention, age)
{
    struct seg_info s[] = { seg(500, 1), seg(100, 1), seg(899, 1), seg(900, 1) };
    const struct retention_rule r = { .age_ns = 100 };
    cr_assert_eq(retention_pick(&r, (unix_ns){ 1000 }, s, 4), 3);
    cr_assert_eq(s[0].tmax_ns, 100);
    cr_assert_eq(s[3].tmax_ns, 900);
    const struct retention_rule forever = { .age_ns = INT64_MAX };
    cr_assert_eq(retention_pick(&forever, (unix_ns){ 1000 }, s, 4), 0);
    cr_assert_eq(retention_pick(&forever, (unix_ns){ -1000 }, s, 4), 0);
}

Test(retention, share_takes_the_oldest_rows_first)
{
    struct seg_info s[] = { seg(30, 100), seg(10, 100), seg(20, 100) };
    const struct retention_rule r = { .bytes_max = 150 };
    cr_assert_eq(retention_pick(&r, (unix_ns){ 0 }, s, 3), 2);
    cr_assert_eq(s[0].tmax_ns, 10);
    cr_assert_eq(s[1].tmax_ns, 20);
    const struct retention_rule enough = { .bytes_max = 300 };
    cr_assert_eq(retention_pick(&enough, (unix_ns){ 0 }, s, 3), 0);
    cr_assert_eq(retention_pick(&enough, (unix_ns){ 0 }, s, 0), 0);
}

/* -- rules ------------------------------------------------------------------------------------------------------- */

static bool expired(const struct keep_rules *k, const char *tenant, enum signal signal, const char *index, int64_t tmax_ns)
{
    const struct seg_group g = { .tenant = str_of(tenant), .signal = signal, .index = str_of(index), .tmin_ns = tmax_ns - 5, .tmax_ns = tmax_ns };
    return keep_rules_expired(k, &g, 1000);
}

Test(retention, the_rule_that_says_most_counts)
{
    const struct keep_rule rules[] = {
        { .signal = SIG_LOGS, .age_ns = 100 },
        { .tenant = STR("acme"), .age_ns = 300 },
        { .tenant = STR("acme"), .signal = SIG_DOCS, .index = STR("books:1"), .age_ns = 50 },
        { .tenant = STR("acme"), .signal = SIG_SPANS, .age_ns = 0 },
    };
    struct keep_rules *k, *again;
    struct buf b;
    cr_assert_eq(keep_rules_new(rules, 4, 200, &k), OK);
    buf_init(&b, RETENTION_BYTES_MAX, NULL);
    keep_rules_encode(k, &b);
    cr_assert_eq(keep_rules_decode(buf_view(&b), 200, &again), OK, "%s", err_detail());
    keep_rules_put(k);
    k = again;
    cr_assert(!expired(k, "beta", SIG_LOGS, "", 900) && expired(k, "beta", SIG_LOGS, "", 899));
    cr_assert(!expired(k, "beta", SIG_METRICS, "", 800) && expired(k, "beta", SIG_METRICS, "", 799));
    cr_assert(!expired(k, "acme", SIG_LOGS, "", 700) && expired(k, "acme", SIG_LOGS, "", 699));
    cr_assert(!expired(k, "acme", SIG_DOCS, "books:1", 950) && expired(k, "acme", SIG_DOCS, "books:1", 949));
    cr_assert(!expired(k, "acme", SIG_DOCS, "books:2", 700) && expired(k, "beta", SIG_DOCS, "books:1", 799));
    cr_assert(!expired(k, "acme", SIG_SPANS, "", INT64_MIN + 10));
    cr_assert_eq(k->most_ns, 0); /* some of it is kept for ever */
    for (size_t i = 0; i < b.n * 8; i++) {
        b.p[i / 8] ^= (char)(1 << i % 8);
        cr_assert_eq(keep_rules_decode(buf_view(&b), 200, &again), ERR_CORRUPT);
        b.p[i / 8] ^= (char)(1 << i % 8);
    }
    for (size_t n = 0; n < b.n; n++)
        cr_assert_eq(keep_rules_decode(str_sub(buf_view(&b), 0, n), 200, &again), ERR_CORRUPT);
    buf_deinit(&b);
    keep_rules_put(k);
    cr_assert_eq(keep_rules_new(&(struct keep_rule){ .age_ns = -1 }, 1, 0, &k), ERR_INVALID);
    cr_assert_eq(keep_rules_new(&(struct keep_rule){ .index = STR("x"), .signal = SIG_LOGS }, 1, 0, &k), ERR_INVALID);
    cr_assert_eq(keep_rules_new(NULL, 0, 0, &k), OK);
    cr_assert(!expired(k, "beta", SIG_LOGS, "", INT64_MIN + 10)); /* without ages nothing goes */
    keep_rules_put(k);
}

Test(retention, many_indexes_have_rules_of_their_own)
{
    enum { N = 1000 };
    static struct keep_rule rules[N + 2];
    static char names[N][16];
    struct keep_rules *k;
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "ix%d:1", i * 7919 % N);
        rules[i] = (struct keep_rule){ .tenant = STR("acme"), .signal = SIG_DOCS, .index = str_of(names[i]), .age_ns = i + 1 };
    }
    rules[N] = (struct keep_rule){ .tenant = STR("acme"), .signal = SIG_DOCS, .age_ns = 500 };
    rules[N + 1] = (struct keep_rule){ .tenant = STR("beta"), .signal = SIG_DOCS, .index = STR("ix5:1"), .age_ns = 7 };
    cr_assert_eq(keep_rules_new(rules, N + 2, 0, &k), OK);
    for (int i = 0; i < N; i++)
        cr_assert(!expired(k, "acme", SIG_DOCS, names[i], 1000 - (i + 1)) && expired(k, "acme", SIG_DOCS, names[i], 1000 - (i + 2)), "%s", names[i]);
    cr_assert(!expired(k, "acme", SIG_DOCS, "other:1", 500) && expired(k, "acme", SIG_DOCS, "other:1", 499));
    cr_assert(!expired(k, "beta", SIG_DOCS, "ix5:1", 993) && expired(k, "beta", SIG_DOCS, "ix5:1", 992) && !expired(k, "beta", SIG_DOCS, "ix6:1", 0));
    keep_rules_put(k);
}

/* -- the clock ----------------------------------------------------------------------------------------------------- */

static const int64_t H = 3600 * NS_PER_S;
static mono_ns at(int64_t h) { return (mono_ns){ h * H }; }

Test(retention, a_clock_that_steps_is_not_believed_for_an_hour)
{
    struct trusted_clock c;
    trusted_clock_init(&c, 0, 1000 * H, at(5));
    cr_assert(!trusted_clock_step(&c, 1001 * H, at(6)) && c.trusted_ns == 1001 * H);
    /* Small corrections are followed at once. */
    cr_assert(!trusted_clock_step(&c, 1002 * H + H / 2, at(7)) && c.trusted_ns == 1002 * H + H / 2);
    /* 400 days ahead: told once, and time goes on as before ... */
    int64_t ahead = 400 * 24 * H;
    cr_assert(trusted_clock_step(&c, 1003 * H + H / 2 + ahead, at(8)) && c.differs && c.trusted_ns == 1003 * H + H / 2);
    cr_assert(!trusted_clock_step(&c, 1003 * H + H / 2 + ahead + H / 2, (mono_ns){ 8 * H + H / 2 }) && c.trusted_ns == 1004 * H);
    /* ... until it is put right, ... */
    cr_assert(!trusted_clock_step(&c, 1004 * H + H / 4, (mono_ns){ 8 * H + 3 * H / 4 }) && !c.differs && c.trusted_ns == 1004 * H + H / 4);
    /* ... or has gone right for an hour. */
    cr_assert(trusted_clock_step(&c, 900 * H, at(9)) && c.trusted_ns == 1004 * H + H / 2);
    cr_assert(!trusted_clock_step(&c, 900 * H + H / 2, (mono_ns){ 9 * H + H / 2 }) && c.differs);
    cr_assert(!trusted_clock_step(&c, 901 * H, at(10)) && !c.differs && c.trusted_ns == 901 * H);
}

Test(retention, a_start_goes_by_what_was_written_down)
{
    struct trusted_clock c;
    trusted_clock_init(&c, 1000 * H, 1000 * H + H / 2, at(1));
    cr_assert(!c.differs && c.trusted_ns == 1000 * H + H / 2);
    trusted_clock_init(&c, 1000 * H, 9000 * H, at(1));
    cr_assert(c.differs && c.trusted_ns == 1000 * H);
    cr_assert(!trusted_clock_step(&c, 9000 * H + H / 2, (mono_ns){ H + H / 2 }) && c.trusted_ns == 1000 * H + H / 2);
    cr_assert(!trusted_clock_step(&c, 9001 * H, at(2)) && c.trusted_ns == 9001 * H);
}
