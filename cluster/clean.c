#include "cluster/clean.h"

#include "cluster/cluster_int.h"
#include "cluster/fanout.h"
#include "storage/store_delete.h"

#include <inttypes.h>
#include <stdio.h>

struct cleaning {
    struct cluster *c;
    const struct map *map;
    uint32_t failed;
    char why[ERR_DETAIL_MAX]; /* of the first */
};

err_t clean_on_clean(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    const struct cluster *c = ctx;
    (void)rq;
    (void)answer;
    return store_clean(c->o.store);
}

static err_t ask(struct cluster *c, const struct member *m) MAY_YIELD
{
    struct buf answer;
    const struct rpc_call call = { .method = METHOD_CLEAN, .class = RT_MAINTENANCE, .answer_max = 64, .deadline = mono_add(rt_now(), (int64_t)CLEAN_WAIT_MS * NS_PER_MS) };
    if (m->id.u == c->self.u) return store_clean(c->o.store);
    if (!member_is_live(m)) return err_set(ERR_UNAVAILABLE, "it is %s", member_state_name(m->state));
    buf_init(&answer, 64, NULL);
    err_t e = cluster_call(c, m->id, &call, &answer);
    buf_deinit(&answer);
    return e;
}

static void clean_one(void *ctx, uint32_t i) MAY_YIELD
{
    struct cleaning *k = ctx;
    const struct member *m = &k->map->v[i];
    if (m->state == MEMBER_LEFT || map_replaced(k->map->v, k->map->n, m)) return;
    if (ask(k->c, m) == OK) return;
    if (k->failed++ == 0) snprintf(k->why, sizeof k->why, "node %016" PRIx64 ": %s", m->id.u, err_detail());
}

err_t cluster_clean(struct cluster *c, struct store *s)
{
    if (!c) return store_clean(s);
    struct map *map = cluster_map(c);
    struct cleaning k = { .c = c, .map = map };
    const struct fanout f = { .name = "clean", .class = RT_MAINTENANCE, .n = map->n, .ctx = &k, .one = clean_one };
    err_t e = fanout_run(&f);
    uint32_t n = map->n;
    map_put(map);
    if (e != OK || k.failed == 0) return e;
    return err_set(ERR_UNAVAILABLE, "%u of %u nodes did not clean up, the others did: %s", k.failed, n, k.why);
}
