#include "storage/retention_rules.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_codec.h"
#include "storage/metric_match.h"
#include "storage/regex.h"
#include "storage/table.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { RULES_VERSION = 3, RULES_HEAD = 12 };

static unsigned says(const struct keep_rule *r)
{
    return (r->index.n ? 8 : 0) + (r->nm ? 4 : 0) + (r->tenant.n ? 2 : 0) + (r->signal ? 1 : 0);
}

static int by_name(const struct keep_rule *a, struct str tenant, struct str index)
{
    int c = str_cmp(a->tenant, tenant);
    return c ? c : str_cmp(a->index, index);
}

static int by_class(const struct keep_rule *a, struct str tenant, unsigned signal)
{
    int c = str_cmp(a->tenant, tenant);
    return c ? c : (a->signal > signal) - (a->signal < signal);
}

/* Of two with matchers of one tenant and signal. */
static int counts_first(const struct keep_rule *a, const struct keep_rule *b)
{
    int64_t x = a->age_ns ? a->age_ns : INT64_MAX, y = b->age_ns ? b->age_ns : INT64_MAX;
    if (a->priority != b->priority) return a->priority > b->priority ? -1 : 1;
    if (a->nm != b->nm) return a->nm > b->nm ? -1 : 1;
    return (x < y) - (x > y);
}

static int most_first(const void *x, const void *y)
{
    const struct keep_rule *p = x, *q = y;
    unsigned a = says(p), b = says(q);
    if (a != b) return (a < b) - (a > b);
    if (!p->nm) return by_name(p, q->tenant, q->index);
    int c = by_class(p, q->tenant, q->signal);
    return c ? c : counts_first(p, q);
}

static err_t check_matchers(const struct keep_rule *r)
{
    if (r->nm == 0) return r->priority ? err_set(ERR_INVALID, "a priority without a matcher") : OK;
    if (r->nm > KEEP_MATCHERS_MAX) return err_set(ERR_INVALID, "a rule of retention of over %d matchers", KEEP_MATCHERS_MAX);
    if (r->tenant.n == 0 || (r->signal != SIG_METRICS && r->signal != SIG_SPANS && r->signal != SIG_LOGS))
        return err_set(ERR_INVALID, "a retention with matchers is one of metrics, spans or logs");
    return OK;
}

static err_t check_levels(const struct keep_rule *r)
{
    if (r->nlevels == 0) return OK;
    if (r->nlevels > KEEP_LEVELS_MAX) return err_set(ERR_INVALID, "over %d resolutions in a rule of retention", KEEP_LEVELS_MAX);
    if (r->signal != SIG_METRICS) return err_set(ERR_INVALID, "only metrics are downsampled");
    for (uint32_t i = 0; i < r->nlevels; i++) {
        const struct keep_level *l = &r->level[i], *before = i ? l - 1 : NULL;
        if (l->resolution_ms < KEEP_RESOLUTION_MIN_MS || l->resolution_ms > KEEP_RESOLUTION_MAX_MS)
            return err_set(ERR_INVALID, "a resolution must be 1s to 1d");
        if (l->after_ns < l->resolution_ms * NS_PER_MS) return err_set(ERR_INVALID, "metrics are downsampled after one resolution at least");
        if (r->age_ns && l->after_ns >= r->age_ns) return err_set(ERR_INVALID, "metrics are downsampled before they are too old, or not at all");
        if (before && (l->after_ns <= before->after_ns || l->resolution_ms <= before->resolution_ms || l->resolution_ms % before->resolution_ms))
            return err_set(ERR_INVALID, "each resolution must be later than the one before, and a multiple of it");
    }
    return OK;
}

static err_t check(const struct keep_rule *r)
{
    if (r->age_ns < 0) return err_set(ERR_INVALID, "a retention of less than nothing");
    if (r->signal > SIG_EXEMPLARS) return err_set(ERR_INVALID, "a retention of signal %u", r->signal);
    if (r->index.n && r->signal != SIG_DOCS) return err_set(ERR_INVALID, "a retention of an index is one of documents");
    if (r->tenant.n > TENANT_MAX || r->index.n > TABLE_NAME_MAX) return err_set(ERR_INVALID, "a retention of a name that is too long");
    TRY(check_levels(r));
    return check_matchers(r);
}

bool keep_rule_same(const struct keep_rule *a, const struct keep_rule *b)
{
    if (a->signal != b->signal || a->nm != b->nm || !str_eq(a->tenant, b->tenant) || !str_eq(a->index, b->index)) return false;
    for (uint32_t i = 0; i < a->nm; i++)
        if (a->m[i].op != b->m[i].op || !str_eq(a->m[i].name, b->m[i].name) || !str_eq(a->m[i].value, b->m[i].value)) return false;
    return true;
}

/* The shortest and the longest age there is. */
static void span(struct keep_rules *k)
{
    int64_t least = k->default_ns ? k->default_ns : INT64_MAX, most = k->default_ns ? k->default_ns : INT64_MAX;
    for (uint32_t i = 0; i < k->n; i++) {
        int64_t age = k->rule[i].age_ns ? k->rule[i].age_ns : INT64_MAX;
        least = MIN(least, age);
        most = MAX(most, age);
    }
    k->least_ns = least == INT64_MAX ? 0 : least;
    k->most_ns = most == INT64_MAX ? 0 : most;
}

static err_t copy_matchers(struct arena *a, struct keep_rule *r)
{
    struct matcher *m = ARENA_ARRAY(a, struct matcher, r->nm + 1);
    const struct matcher *from = r->m;
    uint32_t n = r->nm;
    r->m = m;
    for (r->nm = 0; r->nm < n; r->nm++) {
        const struct matcher *x = &from[r->nm];
        m[r->nm] = (struct matcher){ .op = x->op, .name = arena_str(a, x->name), .value = arena_str(a, x->value) };
        if (x->op == MATCH_RE || x->op == MATCH_NRE) TRY(regex_new(x->value, &m[r->nm].re));
    }
    return OK;
}

static err_t copy_rules(struct keep_rules *k, const struct keep_rule *rule, uint32_t n)
{
    k->rule = ARENA_ARRAY(&k->a, struct keep_rule, n + 1);
    while (k->n < n) {
        struct keep_rule *r = &k->rule[k->n];
        *r = rule[k->n++];
        r->tenant = arena_str(&k->a, r->tenant);
        r->index = arena_str(&k->a, r->index);
        TRY(copy_matchers(&k->a, r));
    }
    if (n > 1) qsort(k->rule, n, sizeof *k->rule, most_first);
    while (k->nindex < n && k->rule[k->nindex].index.n && k->rule[k->nindex].tenant.n)
        k->nindex++;
    while (k->nindex + k->nmatch < n && k->rule[k->nindex + k->nmatch].nm)
        k->nmatch++;
    for (uint32_t i = 0; i < n; i++)
        k->judges |= k->rule[i].nm || k->rule[i].nlevels;
    for (uint32_t i = k->nindex + KEEP_MATCH_RULES_MAX; i < k->nindex + k->nmatch; i++)
        if (by_class(&k->rule[i - KEEP_MATCH_RULES_MAX], k->rule[i].tenant, k->rule[i].signal) == 0)
            return err_set(ERR_INVALID, "over %d retention rules with matchers of one signal", KEEP_MATCH_RULES_MAX);
    return OK;
}

err_t keep_rules_new(const struct keep_rule *rule, uint32_t n, int64_t default_ns, struct keep_rules **out)
{
    if (n > RETENTION_RULES_MAX) return err_set(ERR_INVALID, "over %d retention rules", RETENTION_RULES_MAX);
    for (uint32_t i = 0; i < n; i++)
        TRY(check(&rule[i]));
    struct keep_rules *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    atomic_store(&k->refs, 1);
    arena_init_sized(&k->a, NULL, ARENA_BLOCK_MIN);
    k->default_ns = k->other.age_ns = default_ns;
    err_t e = copy_rules(k, rule, n);
    if (e != OK) {
        keep_rules_put(k);
        return e;
    }
    span(k);
    *out = k;
    return OK;
}

struct keep_rules *keep_rules_get(struct keep_rules *k)
{
    if (k) atomic_fetch_add(&k->refs, 1);
    return k;
}

void keep_rules_put(struct keep_rules *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1) return;
    for (uint32_t i = 0; i < k->n; i++)
        for (uint32_t j = 0; j < k->rule[i].nm; j++)
            if (k->rule[i].m[j].re) regex_free(k->rule[i].m[j].re);
    arena_deinit(&k->a);
    free(k);
}

void keep_rules_encode(const struct keep_rules *k, struct buf *out)
{
    const uint32_t version = RULES_VERSION;
    uint64_t hash = 0;
    size_t at = out->n;
    buf_put(out, &version, sizeof version);
    buf_put(out, &hash, sizeof hash);
    buf_varint(out, k->n);
    for (uint32_t i = 0; i < k->n; i++) {
        buf_put(out, &k->rule[i].age_ns, 8);
        buf_byte(out, (uint8_t)k->rule[i].signal);
        buf_lstr(out, k->rule[i].tenant);
        buf_lstr(out, k->rule[i].index);
        buf_varint(out, zigzag(k->rule[i].priority));
        buf_varint(out, k->rule[i].nm);
        for (uint32_t j = 0; j < k->rule[i].nm; j++) {
            buf_byte(out, (uint8_t)k->rule[i].m[j].op);
            buf_lstr(out, k->rule[i].m[j].name);
            buf_lstr(out, k->rule[i].m[j].value);
        }
        buf_varint(out, k->rule[i].nlevels);
        buf_put(out, k->rule[i].level, k->rule[i].nlevels * sizeof k->rule[i].level[0]);
    }
    if (out->failed) return;
    hash = hash64(str_sub(buf_view(out), at + RULES_HEAD, out->n));
    memcpy(out->p + at + 4, &hash, sizeof hash);
}

static err_t get_matchers(struct cur *c, struct arena *a, struct keep_rule *r)
{
    uint64_t priority;
    TRY(cur_varint(c, &priority));
    if (unzigzag(priority) != (int32_t)unzigzag(priority)) return err_set(ERR_CORRUPT, "a rule of retention of a priority out of range");
    r->priority = (int32_t)unzigzag(priority);
    TRY(cur_count(c, KEEP_MATCHERS_MAX, &r->nm));
    struct matcher *m = ARENA_ARRAY(a, struct matcher, r->nm + 1);
    r->m = m;
    for (uint32_t i = 0; i < r->nm; i++) {
        uint8_t op;
        TRY(cur_u8(c, &op));
        if (op > MATCH_NRE) return err_set(ERR_CORRUPT, "a matcher of kind %u", op);
        m[i].op = op;
        TRY(cur_str(c, LABEL_NAME_MAX, &m[i].name));
        TRY(cur_str(c, LABEL_VALUE_MAX, &m[i].value));
    }
    return OK;
}

static err_t decode(struct cur *c, struct arena *a, struct keep_rule **rules, uint32_t *n)
{
    TRY(cur_count(c, RETENTION_RULES_MAX, n));
    *rules = ARENA_ARRAY(a, struct keep_rule, *n + 1);
    for (uint32_t i = 0; i < *n; i++) {
        struct keep_rule *r = &(*rules)[i];
        const uint8_t *age;
        uint8_t signal;
        TRY(cur_take(c, 8, &age));
        memcpy(&r->age_ns, age, 8);
        TRY(cur_u8(c, &signal));
        r->signal = signal;
        TRY(cur_str(c, TENANT_MAX, &r->tenant));
        TRY(cur_str(c, TABLE_NAME_MAX, &r->index));
        TRY(get_matchers(c, a, r));
        const uint8_t *levels;
        TRY(cur_count(c, KEEP_LEVELS_MAX, &r->nlevels));
        TRY(cur_take(c, r->nlevels * sizeof r->level[0], &levels));
        memcpy(r->level, levels, r->nlevels * sizeof r->level[0]);
        if (check(r) != OK) return err_set(ERR_CORRUPT, "rule %u of the retention is malformed", i);
    }
    return c->p == c->end ? OK : err_set(ERR_CORRUPT, "bytes behind the rules of retention");
}

err_t keep_rules_decode(struct str bytes, int64_t default_ns, struct keep_rules **out)
{
    uint32_t version, n;
    uint64_t hash;
    if (bytes.n < RULES_HEAD || bytes.n > RETENTION_BYTES_MAX) return err_set(ERR_CORRUPT, "rules of retention of %zu bytes", bytes.n);
    memcpy(&version, bytes.p, sizeof version);
    memcpy(&hash, bytes.p + 4, sizeof hash);
    struct str rest = str_sub(bytes, RULES_HEAD, bytes.n);
    if (version != RULES_VERSION) return err_set(ERR_CORRUPT, "rules of retention of version %u", version);
    if (hash64(rest) != hash) return err_set(ERR_CORRUPT, "the checksum of the rules of retention is wrong");
    struct arena a;
    struct keep_rule *rules;
    arena_init(&a, NULL);
    struct cur c = cur_of(rest);
    err_t e = decode(&c, &a, &rules, &n);
    if (e == OK) e = keep_rules_new(rules, n, default_ns, out);
    arena_deinit(&a);
    return e;
}

/* NULL: there is none. */
static const struct keep_rule *index_rule(const struct keep_rules *k, const struct seg_group *g)
{
    uint32_t lo = 0, hi = g->signal == SIG_DOCS ? k->nindex : 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = by_name(&k->rule[mid], g->tenant, g->index);
        if (c == 0) return &k->rule[mid];
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    return NULL;
}

static bool applies(const struct keep_rule *r, const struct seg_group *g)
{
    if (r->signal && r->signal != (unsigned)g->signal) return false;
    if (r->tenant.n && !str_eq(r->tenant, g->tenant)) return false;
    return r->index.n == 0 || str_eq(r->index, g->index);
}

/* Those with matchers of the group's tenant and signal. */
static void find_matchers(const struct keep_rules *k, const struct seg_group *g, struct keep_class *out)
{
    const struct keep_rule *r = k->rule + k->nindex;
    uint32_t lo = 0, hi = k->nmatch;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (by_class(&r[mid], g->tenant, g->signal) < 0) lo = mid + 1;
        else hi = mid;
    }
    out->match = r + lo;
    while (lo < k->nmatch && by_class(&r[lo++], g->tenant, g->signal) == 0)
        out->nmatch++;
}

void keep_class_of(const struct keep_rules *k, const struct seg_group *g, struct keep_class *out)
{
    static const struct keep_rule for_ever;
    *out = (struct keep_class){ .base = k ? index_rule(k, g) : &for_ever };
    if (out->base) return;
    out->base = &k->other;
    find_matchers(k, g, out);
    for (uint32_t i = k->nindex + k->nmatch; i < k->n; i++) {
        if (!applies(&k->rule[i], g)) continue;
        out->base = &k->rule[i];
        return;
    }
}

static bool matches(const struct keep_rule *r, const struct labels *ls)
{
    for (uint32_t i = 0; i < r->nm; i++) {
        bool negated = r->m[i].op == MATCH_NE || r->m[i].op == MATCH_NRE;
        struct str v = labels_get(ls, r->m[i].name);
        if (match_value(&r->m[i], v.p ? v : STR("")) == negated) return false;
    }
    return true;
}

const struct keep_rule *keep_class_rule(const struct keep_class *c, const struct labels *ls)
{
    for (uint32_t i = 0; i < c->nmatch; i++)
        if (matches(&c->match[i], ls)) return &c->match[i];
    return c->base;
}

bool keep_rule_expired(const struct keep_rule *r, int64_t time_ns, int64_t now_ns)
{
    int64_t cutoff;
    return r->age_ns && !__builtin_sub_overflow(now_ns, r->age_ns, &cutoff) && time_ns < cutoff;
}

bool keep_class_splits(const struct keep_class *c, int64_t time_ns, int64_t now_ns)
{
    bool some = c->nmatch && keep_rule_expired(c->base, time_ns, now_ns);
    for (uint32_t i = 0; i < c->nmatch && !some; i++)
        some = keep_rule_expired(&c->match[i], time_ns, now_ns);
    return some;
}

static bool judge_rule(const struct keep_rule *r, bool is_base, int64_t tmax_ns, int64_t now_ns, struct buf *to)
{
    bool some = !is_base && keep_rule_expired(r, tmax_ns, now_ns);
    uint8_t flags = some;
    for (uint32_t i = 0; i < r->nlevels; i++) {
        int64_t cutoff;
        bool due = !__builtin_sub_overflow(now_ns, r->level[i].after_ns + r->level[i].resolution_ms * NS_PER_MS, &cutoff) && tmax_ns < cutoff;
        flags |= (uint8_t)(due << (i + 1));
        some |= due;
    }
    if (!some) return false;
    buf_byte(to, flags);
    buf_put(to, r->level, r->nlevels * sizeof r->level[0]);
    for (uint32_t i = 0; i < r->nm; i++) {
        buf_byte(to, (uint8_t)r->m[i].op);
        buf_lstr(to, r->m[i].name);
        buf_lstr(to, r->m[i].value);
    }
    return true;
}

uint32_t keep_rules_judge(const struct keep_rules *k, const struct seg_group *const *g, uint32_t n, int64_t tmax_ns, int64_t now_ns)
{
    struct buf to;
    bool some = false;
    buf_init(&to, RETENTION_BYTES_MAX, NULL);
    for (uint32_t i = 0; i < n && k && k->judges; i++) {
        struct keep_class c;
        if (i && g[i]->signal == g[i - 1]->signal && str_eq(g[i]->tenant, g[i - 1]->tenant) && str_eq(g[i]->index, g[i - 1]->index)) continue;
        keep_class_of(k, g[i], &c);
        some |= judge_rule(c.base, true, tmax_ns, now_ns, &to);
        for (uint32_t j = 0; j < c.nmatch; j++)
            some |= judge_rule(&c.match[j], false, tmax_ns, now_ns, &to);
    }
    uint32_t hash = some && !to.failed ? (uint32_t)hash64(buf_view(&to)) | 1 : 0;
    buf_deinit(&to);
    return hash;
}

bool keep_rules_expired(const struct keep_rules *k, const struct seg_group *g, int64_t now_ns)
{
    struct keep_class c;
    int64_t cutoff;
    if (!k || k->least_ns == 0 || g->tmin_ns > g->tmax_ns) return false;
    if (__builtin_sub_overflow(now_ns, k->least_ns, &cutoff) || g->tmax_ns >= cutoff) return false;
    keep_class_of(k, g, &c);
    bool all = keep_rule_expired(c.base, g->tmax_ns, now_ns);
    for (uint32_t i = 0; i < c.nmatch && all; i++)
        all = keep_rule_expired(&c.match[i], g->tmax_ns, now_ns);
    return all;
}
