#include "cluster/condition.h"

#include "base/core/hash.h"
#include "base/core/log.h"
#include "cluster/cluster_int.h"

enum { SLOW_OF = 100, /* one commit in so many may be */
       TELL_MS = 700  /* three rounds of gossip, and a little */ };

/* -- pure ---------------------------------------------------------------------------------------------------------- */
void condition_look(struct condition *c, const struct store_stats *s, mono_ns now)
{
    uint64_t commits = s->commits - c->commits, slow = s->commits_slow - c->slow;
    bool is_slow = s->commits_hang > 0 || slow * SLOW_OF > commits;
    mono_ns before = c->looked;
    c->commits = s->commits;
    c->slow = s->commits_slow;
    c->looked = now;
    if (is_slow == c->degraded) {
        c->other_since = (mono_ns){ 0 };
        return;
    }
    if (c->other_since.ns == 0) c->other_since = before; /* all the time between the looks was like this */
    if (now.ns - c->other_since.ns < CONDITION_SLOW_FOR_S * NS_PER_S) return;
    c->degraded = is_slow;
    c->other_since = (mono_ns){ 0 };
}

/* -- telling --------------------------------------------------------------------------------------------------------- */
static void tell(struct cluster *c)
{
    if (swim_io_meta(c->swim, &c->meta) != OK) log_warn("cluster.condition", "error=%s", err_detail());
}

static void digest(struct cluster *c)
{
    struct store_sums sums = { 0 };
    if (store_sums(c->o.store, &sums) == OK) {
        c->meta.cover_hash = 0;
        for (uint32_t i = 0; i < sums.n; i++)
            c->meta.cover_hash += hash_u64(sums.v[i].stream ^ sums.v[i].sum.hash);
    }
    store_sums_deinit(&sums);
}

static void look_fiber(void *arg)
{
    struct cluster *c = arg;
    struct condition now = { .looked = rt_now() };
    while (fiber_sleep((int64_t)CONDITION_LOOK_MS * NS_PER_MS) == OK) {
        struct store_stats s;
        bool was = now.degraded;
        store_stats(c->o.store, &s);
        condition_look(&now, &s, rt_now());
        if (now.degraded != was) log_warn("node.degraded", "%s", now.degraded ? "commits of the log take over a second: others read from other nodes" : "over");
        digest(c);
        c->meta.disk_percent = s.disk_used > 0 ? (uint8_t)(s.disk_used * 100) : MEMBER_DISK_UNKNOWN;
        if (c->meta.health <= MEMBER_DEGRADED) c->meta.health = now.degraded ? MEMBER_DEGRADED : MEMBER_WELL;
        tell(c);
    }
}

err_t condition_start(struct cluster *c, struct scope *scope)
{
    const struct fiber_opts fo = { .name = "condition", .class = RT_MEMBERSHIP };
    return fiber_start(scope, &fo, look_fiber, c);
}

void cluster_failing(struct cluster *c)
{
    c->meta.health = MEMBER_DISK_FAILING;
    tell(c);
    err_t e = fiber_sleep((int64_t)TELL_MS * NS_PER_MS);
    (void)e;
}
