#include "storage/retention_rules.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_codec.h"
#include "storage/table.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { RULES_VERSION = 1, RULES_HEAD = 12 };

static unsigned says(const struct keep_rule *r)
{
    return (r->index.n ? 4 : 0) + (r->tenant.n ? 2 : 0) + (r->signal ? 1 : 0);
}

static int by_name(const struct keep_rule *a, struct str tenant, struct str index)
{
    int c = str_cmp(a->tenant, tenant);
    return c ? c : str_cmp(a->index, index);
}

static int most_first(const void *x, const void *y)
{
    const struct keep_rule *r = y;
    unsigned a = says(x), b = says(y);
    return a == b ? by_name(x, r->tenant, r->index) : (a < b) - (a > b);
}

static err_t check(const struct keep_rule *r)
{
    if (r->age_ns < 0) return err_set(ERR_INVALID, "a retention of less than nothing");
    if (r->signal > SIG_EXEMPLARS) return err_set(ERR_INVALID, "a retention of signal %u", r->signal);
    if (r->index.n && r->signal != SIG_DOCS) return err_set(ERR_INVALID, "a retention of an index is one of documents");
    if (r->tenant.n > TENANT_MAX || r->index.n > TABLE_NAME_MAX) return err_set(ERR_INVALID, "a retention of a name that is too long");
    return OK;
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

err_t keep_rules_new(const struct keep_rule *rule, uint32_t n, int64_t default_ns, struct keep_rules **out)
{
    if (n > RETENTION_RULES_MAX) return err_set(ERR_INVALID, "over %d retention rules", RETENTION_RULES_MAX);
    for (uint32_t i = 0; i < n; i++)
        TRY(check(&rule[i]));
    struct keep_rules *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    atomic_store(&k->refs, 1);
    arena_init_sized(&k->a, NULL, ARENA_BLOCK_MIN);
    k->default_ns = default_ns;
    k->rule = ARENA_ARRAY(&k->a, struct keep_rule, n + 1);
    for (; k->n < n; k->n++) {
        k->rule[k->n] = rule[k->n];
        k->rule[k->n].tenant = arena_str(&k->a, rule[k->n].tenant);
        k->rule[k->n].index = arena_str(&k->a, rule[k->n].index);
    }
    if (n > 1) qsort(k->rule, n, sizeof *k->rule, most_first);
    while (k->nindex < n && k->rule[k->nindex].index.n && k->rule[k->nindex].tenant.n)
        k->nindex++;
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
    }
    if (out->failed) return;
    hash = hash64(str_sub(buf_view(out), at + RULES_HEAD, out->n));
    memcpy(out->p + at + 4, &hash, sizeof hash);
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

static int64_t age_of(const struct keep_rules *k, const struct seg_group *g)
{
    const struct keep_rule *r = index_rule(k, g);
    if (r) return r->age_ns;
    for (uint32_t i = k->nindex; i < k->n; i++)
        if (applies(&k->rule[i], g)) return k->rule[i].age_ns;
    return k->default_ns;
}

bool keep_rules_expired(const struct keep_rules *k, const struct seg_group *g, int64_t now_ns)
{
    int64_t cutoff;
    if (!k || k->least_ns == 0 || g->tmin_ns > g->tmax_ns) return false;
    if (__builtin_sub_overflow(now_ns, k->least_ns, &cutoff) || g->tmax_ns >= cutoff) return false;
    int64_t age_ns = age_of(k, g);
    return age_ns && !__builtin_sub_overflow(now_ns, age_ns, &cutoff) && g->tmax_ns < cutoff;
}
