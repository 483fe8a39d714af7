/* Retention by rules: where they are kept (_store/retention), how cores get them, and the clock they are judged by
 * (_store/clock: i64, what was trusted some minutes ago). See retention_rules.h, trusted_clock.h. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/store_int.h"
#include "storage/store_keep.h"

#include <stdlib.h>

enum { CLOCK_EVERY_S = 300 };
#define KEY_RULES STR("_store/retention")
#define KEY_CLOCK STR("_store/clock")

/* -- rules ---------------------------------------------------------------------------------------------------------- */

static err_t use_here(void *arg)
{
    struct store *s = arg;
    struct shard *sh = shard_here(s);
    keep_rules_put(sh->keep);
    sh->keep = keep_rules_get(s->keep);
    return OK;
}

/* Takes k. */
static void use(struct store *s, struct keep_rules *k)
{
    keep_rules_put(s->keep);
    s->keep = k;
    void **args = store_same_args(s, s);
    store_call_all(s, use_here, args);
    free(args);
}

struct edit_call {
    struct store *s;
    const struct keep_edit *e;
    uint32_t n;
    const struct kv_op *also;
    uint32_t nalso;
};

static bool is_edited(const struct edit_call *c, const struct keep_rule *r)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (keep_rule_same(r, &c->e[i].rule)) return true;
    return false;
}

static err_t edited(const struct edit_call *c, struct arena *a, struct keep_rules **out)
{
    const struct keep_rules *now = c->s->keep;
    struct keep_rule *rules = ARENA_ARRAY(a, struct keep_rule, (size_t)now->n + c->n + 1);
    uint32_t n = 0;
    TRY(arena_check(a));
    for (uint32_t i = 0; i < now->n; i++)
        if (!is_edited(c, &now->rule[i])) rules[n++] = now->rule[i];
    for (uint32_t i = 0; i < c->n; i++)
        if (!c->e[i].remove) rules[n++] = c->e[i].rule;
    return keep_rules_new(rules, n, now->default_ns, out);
}

static err_t edit_locked(const struct edit_call *c, struct catalog_batch *b)
{
    struct keep_rules *k;
    struct buf bytes;
    TRY(edited(c, &b->a, &k));
    buf_init(&bytes, RETENTION_BYTES_MAX, NULL);
    keep_rules_encode(k, &bytes);
    err_t e = buf_check(&bytes);
    for (uint32_t i = 0; i < c->nalso; i++)
        catalog_put(b, c->also[i].key, c->also[i].value);
    if (e == OK) {
        catalog_put(b, KEY_RULES, buf_view(&bytes));
        e = catalog_commit(c->s, b);
    }
    buf_deinit(&bytes);
    if (e == OK) use(c->s, k);
    else keep_rules_put(k);
    return e;
}

static err_t edit_here(void *arg)
{
    const struct edit_call *c = arg;
    struct catalog_batch b;
    TRY(sem_take(&c->s->changing, 1));
    catalog_batch_init(&b);
    err_t e = edit_locked(c, &b);
    catalog_batch_deinit(&b);
    sem_give(&c->s->changing, 1);
    compaction_wake(c->s);
    return e;
}

err_t store_keep_edit(struct store *s, const struct keep_edit *e, uint32_t n, const struct kv_op *also, uint32_t nalso)
{
    struct edit_call c = { s, e, n, also, nalso };
    return rt_call(0, RT_MAINTENANCE, edit_here, &c);
}

struct keep_rules *store_keep_rules(struct store *s)
{
    return keep_rules_get(shard_here(s)->keep);
}

/* -- at start --------------------------------------------------------------------------------------------------------- */

static err_t load_rules(struct store *s, struct arena *a)
{
    struct str bytes;
    err_t e = s->o.kv->get(s->o.kv, KEY_RULES, a, &bytes);
    if (e == ERR_NOT_FOUND) return keep_rules_new(NULL, 0, store_default_age(s), &s->keep);
    TRY(e);
    if (keep_rules_decode(bytes, store_default_age(s), &s->keep) == OK) return OK;
    char why[ERR_DETAIL_MAX];
    memcpy(why, err_detail(), strlen(err_detail()) + 1);
    return err_set(ERR_CORRUPT, "catalog: " STR_FMT ": %.400s", STR_ARG(KEY_RULES), why);
}

static void tell(const struct store *s)
{
    log_warn("clock.step", "wall_s=%lld trusted_s=%lld effect=\"nothing is deleted for its age by the new time for an hour\" "
             "todo=\"see that this machine's clock is right\"",
             (long long)(s->clock.wall_ns / NS_PER_S), (long long)(s->clock.trusted_ns / NS_PER_S));
    metric_add(M_CLOCK_STEPS, 1);
}

static err_t write_clock(struct store *s)
{
    struct catalog_batch b;
    TRY(sem_take(&s->changing, 1));
    catalog_batch_init(&b);
    catalog_put(&b, KEY_CLOCK, str_n(&s->clock.trusted_ns, sizeof s->clock.trusted_ns));
    err_t e = catalog_commit(s, &b);
    catalog_batch_deinit(&b);
    sem_give(&s->changing, 1);
    return e;
}

/* What was trusted is written down before the first row comes in: a start after a crash would have to believe any clock. */
err_t keep_load(struct store *s)
{
    struct arena a;
    struct str bytes;
    int64_t known_ns = 0;
    arena_init(&a, NULL);
    err_t e = load_rules(s, &a);
    if (e == OK) {
        e = s->o.kv->get(s->o.kv, KEY_CLOCK, &a, &bytes);
        if (e == OK && bytes.n == sizeof known_ns) memcpy(&known_ns, bytes.p, sizeof known_ns);
        if (e == ERR_NOT_FOUND) e = OK; /* a data directory's first start */
    }
    arena_deinit(&a);
    TRY(e);
    trusted_clock_init(&s->clock, known_ns, rt_wall().ns, rt_now());
    atomic_store(&s->keep_now_ns, s->clock.trusted_ns);
    if (s->clock.differs) tell(s);
    return known_ns ? OK : write_clock(s);
}

/* -- now and then ------------------------------------------------------------------------------------------------------- */

void keep_tick(struct store *s)
{
    if (trusted_clock_step(&s->clock, rt_wall().ns, rt_now())) tell(s);
    atomic_store(&s->keep_now_ns, s->clock.trusted_ns);
    metric_set(M_CLOCK_DIFFERS, s->clock.differs);
    if (rt_now().ns < s->clock_at.ns) return;
    s->clock_at = mono_add(rt_now(), CLOCK_EVERY_S * NS_PER_S);
    if (write_clock(s) != OK) log_warn("clock.write", "error=%s", err_detail());
}
