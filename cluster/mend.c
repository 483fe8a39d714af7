#include "cluster/mend.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/handoff.h"
#include "cluster/reach.h"
#include "storage/mend.h"

enum { MEND_ASK_MS = 5000, MEND_STREAMS_MAX = 256 /* looked at in a round; others in later ones */ };

struct giver { /* of one stream */
    node_id id;
    uint64_t lacks;
};
struct lost_here {
    const uint64_t *ids;
    struct stream_since *since; /* [n]: the same, all of them */
    uint32_t n;
    struct cover mine;
    struct giver *best; /* [n] */
};

/* Is it a better giver than the one before? Of equal ones the next behind us in a ring of ids, so that not all ask the same. */
static bool is_better(const struct cluster *c, const struct giver *than, uint64_t lacks, node_id id)
{
    if (than->id.u == 0 || lacks != than->lacks) return than->id.u == 0 || lacks < than->lacks;
    return id.u - c->self.u < than->id.u - c->self.u;
}

static void weigh(const struct cluster *c, struct lost_here *l, node_id id, const struct said *said)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (said_lost(said, l->ids[i]) || !cover_has_stream(&said->have, l->ids[i])) continue;
        struct cover mine, lacking;
        cover_init(&mine);
        cover_init(&lacking);
        cover_pick(&l->mine, &l->ids[i], 1, &mine);
        cover_minus(&mine, &said->have, &lacking);
        uint64_t lacks = cover_count(&lacking);
        if (is_better(c, &l->best[i], lacks, id)) l->best[i] = (struct giver){ id, lacks };
        cover_deinit(&mine);
        cover_deinit(&lacking);
    }
}

static void ask_all(struct cluster *c, const struct map *map, struct lost_here *l)
{
    for (uint32_t i = 0; i < map->n && !c->closing; i++) {
        struct said said;
        if (map->v[i].id.u == c->self.u || !member_is_live(&map->v[i])) continue;
        said_init(&said);
        const struct question q = { .forms = REACH_NAMES | REACH_ITSELF, .streams = l->since, .n = l->n };
        err_t e = reach_ask(c, map->v[i].id, &q, mono_add(rt_now(), (int64_t)MEND_ASK_MS * NS_PER_MS), &said);
        if (e == OK) weigh(c, l, map->v[i].id, &said);
        else log_debug("mend.ask", "node=%016llx error=%s", (unsigned long long)map->v[i].id.u, err_detail());
        said_deinit(&said);
    }
}

static void find_givers(struct cluster *c, const struct map *map, struct lost_here *l)
{
    uint32_t alone = 0;
    if (store_cover(c->o.store, l->ids, l->n, &l->mine) != OK) return;
    ask_all(c, map, l);
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->best[i].id.u) handoff_mend(c->handoff, l->ids[i], l->best[i].id);
        else alone++;
    }
    metric_set(M_MEND_ALONE, alone);
}

void mend_round(struct cluster *c, const struct map *map)
{
    struct lost_here l = { 0 };
    struct arena a;
    uint64_t *ids;
    arena_init(&a, NULL);
    mend_streams(c->o.store, &a, &ids, &l.n);
    l.n = MIN(l.n, (uint32_t)MEND_STREAMS_MAX);
    l.ids = ids;
    if (l.n > 0) {
        cover_init(&l.mine);
        l.best = ARENA_ARRAY(&a, struct giver, l.n);
        l.since = ARENA_ARRAY(&a, struct stream_since, l.n);
        for (uint32_t i = 0; i < l.n; i++)
            l.since[i].stream = ids[i];
        find_givers(c, map, &l);
        cover_deinit(&l.mine);
    } else {
        metric_set(M_MEND_ALONE, 0);
    }
    arena_deinit(&a);
}
