#include "tests/sim/keeping.h"

#include "base/core/assert.h"
#include "storage/store_keep.h"

#include <inttypes.h>
#include <stdlib.h>

/* How far from the right time the store may take it to be: a wall clock that steps by less than an hour is believed. */
#define SLACK_NS (10 * 60 * NS_PER_S)

static const enum signal signals[] = { [K_SPAN] = SIG_SPANS, [K_LOG] = SIG_LOGS, [K_DOC] = SIG_DOCS, [K_SAMPLE] = SIG_METRICS,
                                       [K_EXEMPLAR] = SIG_EXEMPLARS, [K_HIST] = SIG_METRICS };

static const struct keeping *keep_of(const struct model *m, uint32_t tenant, enum signal signal)
{
    for (uint32_t k = 0; k < m->nkeeps; k++)
        if (m->keeps[k].tenant == tenant && m->keeps[k].signal == signal) return &m->keeps[k];
    return NULL;
}

static uint32_t begin(struct model *m, const struct keeping *k)
{
    pthread_mutex_lock(&m->lock);
    if (m->nkeeps == m->keeps_cap) {
        m->keeps_cap = m->keeps_cap ? m->keeps_cap * 2 : 16;
        m->keeps = realloc(m->keeps, m->keeps_cap * sizeof *m->keeps);
        ASSERT(m->keeps != NULL);
    }
    uint32_t i = m->nkeeps++;
    m->keeps[i] = *k;
    if (m->noted) m->noted(KEEP_BEGUN, i);
    pthread_mutex_unlock(&m->lock);
    return i;
}

static int64_t right_now(const struct model *m)
{
    return rt_wall().ns - m->clock_off_ns;
}

bool keep_run(struct model *m, struct store *s, struct prng *r, int64_t least_ns, int64_t most_ns)
{
    struct keeping k = { .tenant = (uint32_t)prng_below(r, TENANTS), .signal = signals[prng_below(r, K_COUNT)] };
    if (prng_chance(r, 0.5)) k.age_ns = least_ns + (int64_t)prng_below(r, (uint64_t)(most_ns - least_ns) + 1);
    if (keep_of(m, k.tenant, k.signal)) return true;
    uint32_t i = begin(m, &k);
    const struct keep_edit rule = { .rule = { .tenant = tenant_name(k.tenant), .signal = k.signal, .age_ns = k.age_ns } };
    if (store_keep_edit(s, &rule, 1, NULL, 0) != OK) return false;
    pthread_mutex_lock(&m->lock);
    m->keeps[i].acked_ns = right_now(m);
    if (m->noted) m->noted(KEEP_ACKED, i);
    pthread_mutex_unlock(&m->lock);
    return true;
}

void keep_downsampled(struct store *s)
{
    const struct matcher floats = { .op = MATCH_RE, .name = STR("__name__"), .value = STR("m.*") };
    for (uint32_t t = 0; t < TENANTS; t++) {
        const struct keep_rule r = { .tenant = tenant_name(t), .signal = SIG_METRICS, .m = &floats, .nm = 1, .nlevels = 2,
                                     .level = { { NS_PER_S, 1000 }, { 4 * NS_PER_S, 2000 } } };
        if (store_keep_edit(s, &(struct keep_edit){ r, false }, 1, NULL, 0) != OK) return;
    }
}

bool keep_expired(const struct model *m, uint32_t i)
{
    const struct row *r = &m->rows[i];
    const struct keeping *k = keep_of(m, m->requests[r->request].tenant, signals[r->kind]);
    int64_t slack = m->clock_off_ns || m->jumped ? SLACK_NS : 0, now = right_now(m) + slack, t = row_time_ns(i);
    int64_t by_default = k && k->acked_ns ? k->acked_ns + slack : now;
    if (m->retention_ns && t < by_default - m->retention_ns) return true;
    return k && k->age_ns && t < now - k->age_ns;
}

void keep_check(const struct model *m, struct store *s)
{
    struct keep_rules *have = store_keep_rules(s);
    for (uint32_t k = 0; k < m->nkeeps; k++) {
        const struct keeping *want = &m->keeps[k];
        bool there = false;
        for (uint32_t i = 0; i < have->n; i++)
            there |= have->rule[i].signal == want->signal && str_eq(have->rule[i].tenant, tenant_name(want->tenant)) &&
                     have->rule[i].age_ns == want->age_ns;
        if (want->acked_ns && !there)
            wrong("the rule that %s's signal %d is kept for %" PRId64 " ns is lost", tenant_name(want->tenant).p, want->signal, want->age_ns);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < have->n; i++)
        n += have->rule[i].nlevels == 0;
    if (n > m->nkeeps) wrong("%u rules of retention, %u were set", n, m->nkeeps);
    keep_rules_put(have);
}
