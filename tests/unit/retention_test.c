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

static const struct keep_rule *rule_for(const struct keep_class *c, const char *job, const char *env)
{
    struct label l[] = { { STR("env"), str_of(env) }, { STR("job"), str_of(job) } };
    return keep_class_rule(c, &(struct labels){ 2, l });
}

Test(retention, matchers_by_priority_then_number_then_age)
{
    const struct matcher batch = { .op = MATCH_EQ, .name = STR("job"), .value = STR("batch") };
    const struct matcher dev = { .op = MATCH_RE, .name = STR("env"), .value = STR("dev|test") };
    const struct matcher both[] = { batch, dev }, not_prod = { .op = MATCH_NE, .name = STR("env"), .value = STR("prod") };
    const struct keep_rule rules[] = {
        { .tenant = STR("acme"), .signal = SIG_METRICS, .age_ns = 100 },
        { .tenant = STR("acme"), .signal = SIG_METRICS, .m = &not_prod, .nm = 1, .age_ns = 150 },
        { .tenant = STR("acme"), .signal = SIG_METRICS, .m = &batch, .nm = 1, .age_ns = 50 },
        { .tenant = STR("acme"), .signal = SIG_METRICS, .m = both, .nm = 2, .age_ns = 20 },
        { .tenant = STR("acme"), .signal = SIG_METRICS, .m = &(struct matcher){ .op = MATCH_EQ, .name = STR("env"), .value = STR("test") }, .nm = 1,
          .priority = 7, .age_ns = 0 },
        { .tenant = STR("acme"), .signal = SIG_SPANS, .m = &batch, .nm = 1, .age_ns = 10 },
        { .tenant = STR("beta"), .signal = SIG_METRICS, .m = &batch, .nm = 1, .age_ns = 10 },
    };
    struct keep_rules *k, *again;
    struct keep_class c;
    struct buf b;
    cr_assert_eq(keep_rules_new(rules, ARRAY_LEN(rules), 200, &k), OK, "%s", err_detail());
    buf_init(&b, RETENTION_BYTES_MAX, NULL);
    keep_rules_encode(k, &b);
    cr_assert_eq(keep_rules_decode(buf_view(&b), 200, &again), OK, "%s", err_detail());
    keep_rules_put(k);
    k = again;
    for (size_t i = 0; i < b.n * 8; i++) {
        b.p[i / 8] ^= (char)(1 << i % 8);
        cr_assert_eq(keep_rules_decode(buf_view(&b), 200, &again), ERR_CORRUPT);
        b.p[i / 8] ^= (char)(1 << i % 8);
    }
    buf_deinit(&b);
    struct seg_group g = { .tenant = STR("acme"), .signal = SIG_METRICS, .index = STR(""), .tmin_ns = 0, .tmax_ns = 900 };
    keep_class_of(k, &g, &c);
    cr_assert(c.nmatch == 4 && c.base->age_ns == 100);
    cr_assert_eq(rule_for(&c, "web", "prod")->age_ns, 100);
    cr_assert_eq(rule_for(&c, "web", "dev")->age_ns, 150);
    cr_assert_eq(rule_for(&c, "batch", "stage")->age_ns, 150); /* as many matchers: the longer one */
    cr_assert_eq(rule_for(&c, "batch", "prod")->age_ns, 50);
    cr_assert_eq(rule_for(&c, "batch", "dev")->age_ns, 20);
    cr_assert_eq(rule_for(&c, "batch", "test")->age_ns, 0);
    cr_assert_eq(rule_for(&c, "batch", "")->age_ns, 150); /* missing is empty */
    cr_assert(keep_class_splits(&c, 979, 1000) && !keep_class_splits(&c, 980, 1000));
    cr_assert(!keep_rules_expired(k, &g, INT64_MAX)); /* some are kept for ever */
    g.signal = SIG_SPANS;
    keep_class_of(k, &g, &c);
    cr_assert(c.nmatch == 1 && c.base->age_ns == 200);
    g.tmax_ns = 800;
    cr_assert(!keep_rules_expired(k, &g, 1000));
    g.tmax_ns = 799;
    cr_assert(keep_rules_expired(k, &g, 1000));
    g.tenant = STR("gamma");
    keep_class_of(k, &g, &c);
    cr_assert(c.nmatch == 0 && c.base->age_ns == 200);
    keep_rules_put(k);
}

Test(retention, limits_of_matchers)
{
    struct matcher m[KEEP_MATCHERS_MAX + 1];
    static struct keep_rule rules[KEEP_MATCH_RULES_MAX + 1];
    static char values[KEEP_MATCH_RULES_MAX + 1][8];
    static struct matcher one[KEEP_MATCH_RULES_MAX + 1];
    struct keep_rules *k;
    for (size_t i = 0; i < ARRAY_LEN(m); i++)
        m[i] = (struct matcher){ .op = MATCH_EQ, .name = STR("a"), .value = STR("b") };
    struct keep_rule r = { .tenant = STR("t"), .signal = SIG_METRICS, .m = m, .nm = KEEP_MATCHERS_MAX, .age_ns = 1 };
    cr_assert_eq(keep_rules_new(&r, 1, 0, &k), OK);
    keep_rules_put(k);
    r.nm++;
    cr_assert_eq(keep_rules_new(&r, 1, 0, &k), ERR_INVALID);
    r.nm = 1;
    r.signal = SIG_DOCS;
    cr_assert_eq(keep_rules_new(&r, 1, 0, &k), ERR_INVALID);
    r.signal = 0;
    cr_assert_eq(keep_rules_new(&r, 1, 0, &k), ERR_INVALID);
    r.signal = SIG_LOGS;
    m[0].op = MATCH_RE;
    m[0].value = STR("(");
    cr_assert_eq(keep_rules_new(&r, 1, 0, &k), ERR_INVALID);
    cr_assert_eq(keep_rules_new(&(struct keep_rule){ .tenant = STR("t"), .priority = 1, .age_ns = 1 }, 1, 0, &k), ERR_INVALID);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        snprintf(values[i], sizeof values[i], "%zu", i);
        one[i] = (struct matcher){ .op = MATCH_EQ, .name = STR("a"), .value = str_of(values[i]) };
        rules[i] = (struct keep_rule){ .tenant = STR("t"), .signal = SIG_LOGS, .m = &one[i], .nm = 1, .age_ns = (int64_t)i };
    }
    cr_assert_eq(keep_rules_new(rules, KEEP_MATCH_RULES_MAX, 0, &k), OK);
    keep_rules_put(k);
    cr_assert_eq(keep_rules_new(rules, KEEP_MATCH_RULES_MAX + 1, 0, &k), ERR_INVALID);
    rules[0].signal = SIG_SPANS;
    cr_assert_eq(keep_rules_new(rules, KEEP_MATCH_RULES_MAX + 1, 0, &k), OK);
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
