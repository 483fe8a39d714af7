#include "cluster/drain.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "cluster/cluster_int.h"
#include "cluster/reach.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_EVERY_MS = 1000, LOOK_ASK_MS = 5000 };

/* -- how far it is ------------------------------------------------------------------------------------------- */

struct holders { /* how many others have all of a stream that we have */
    const struct cover *mine;
    const struct store_sums *sums; /* of it */
    uint32_t *have; /* [mine->n] */
};

/* One that says the same sum has the same; of the others it is asked which. */
static void count_one(struct cluster *c, node_id node, struct holders *h)
{
    const struct question sums = { .forms = REACH_SUMS };
    struct stream_since *others = calloc((size_t)h->mine->n + 1, sizeof *others);
    struct said said, names;
    uint32_t n = 0;
    ASSERT(others != NULL);
    said_init(&said);
    said_init(&names);
    err_t e = reach_ask(c, node, &sums, mono_add(rt_now(), (int64_t)LOOK_ASK_MS * NS_PER_MS), &said);
    for (uint32_t i = 0; e == OK && i < h->mine->n; i++) {
        uint64_t id = h->mine->streams[i].id;
        const struct stream_sum *theirs = store_sums_find(&said.sums, id), *ours = store_sums_find(h->sums, id);
        if (theirs && ours && cover_sum_eq(theirs->sum, ours->sum)) h->have[i]++;
        else if (theirs && ours && theirs->sum.count >= ours->sum.count) others[n++] = (struct stream_since){ id, 0 };
    }
    const struct question q = { .forms = REACH_NAMES, .streams = others, .n = n };
    if (e == OK && n > 0) e = reach_ask(c, node, &q, mono_add(rt_now(), (int64_t)LOOK_ASK_MS * NS_PER_MS), &names);
    for (uint32_t i = 0, k = 0; e == OK && i < h->mine->n && k < n; i++) {
        struct cover one;
        if (h->mine->streams[i].id != others[k].stream) continue;
        k++;
        cover_init(&one);
        cover_pick(h->mine, &h->mine->streams[i].id, 1, &one);
        h->have[i] += cover_holds(&names.have, &one);
        cover_deinit(&one);
    }
    said_deinit(&names);
    said_deinit(&said);
    free(others);
}

/* *others: nodes that could have it. */
static void ask_others(struct cluster *c, const struct map *map, struct holders *h, uint32_t *others)
{
    *others = 0;
    for (uint32_t i = 0; i < map->n && !c->closing; i++) {
        if (map->v[i].id.u == c->self.u || !member_is_live(&map->v[i]) || map->v[i].meta.weight == 0) continue;
        ++*others;
        count_one(c, map->v[i].id, h);
    }
}

/* Others that must have it before this node may go. */
static uint32_t wanted(const struct cluster *c, const struct map *map, uint64_t stream)
{
    struct stream st;
    return store_stream_find(c->o.store, stream, &st) ? map_stream_quorum(map, &st) : map->quorum;
}

static err_t look(struct cluster *c, struct drain_state *out)
{
    struct cover mine;
    struct store_sums sums = { 0 };
    struct holders h = { .mine = &mine, .sums = &sums };
    uint32_t others;
    cover_init(&mine);
    err_t e = store_cover(c->o.store, NULL, 0, &mine);
    if (e == OK) e = store_sums(c->o.store, &sums);
    if (e == OK) {
        struct map *map = cluster_map(c);
        h.have = calloc((size_t)mine.n + 1, sizeof *h.have);
        ASSERT(h.have != NULL);
        ask_others(c, map, &h, &others);
        out->streams = mine.n;
        out->covered = 0;
        for (uint32_t i = 0; i < mine.n; i++)
            out->covered += h.have[i] >= wanted(c, map, mine.streams[i].id);
        free(h.have);
        map_put(map);
    }
    struct err_record why = *err_record();
    cover_deinit(&mine);
    store_sums_deinit(&sums);
    *err_record() = why;
    return e;
}

/* -- getting there ------------------------------------------------------------------------------------------- */

static void tell(struct cluster *c, bool drained)
{
    c->drain.drained = drained;
    c->meta.health = drained ? MEMBER_DRAINED : MEMBER_DRAINING;
    if (swim_io_meta(c->swim, &c->meta) != OK) log_warn("drain", "error=%s", err_detail());
    if (drained)
        log_info("drain.done", "streams=%u effect=\"others have all that this node has: it may be stopped for good, its data directory is not needed any more\"",
                 c->drain.streams);
}

static void look_again(struct cluster *c)
{
    struct drain_state now = c->drain, was = c->drain;
    err_t e = look(c, &now);
    if (e != OK) {
        log_warn("drain", "error=%s", err_detail());
        return;
    }
    bool drained = now.covered == now.streams;
    c->drain.streams = now.streams;
    c->drain.covered = now.covered;
    if (drained != was.drained) tell(c, drained);
    if (!drained && (was.drained || was.covered != now.covered || was.streams != now.streams))
        log_info("drain", "streams=%u covered=%u why=\"the others are not on enough nodes yet\"", now.streams, now.covered);
}

static void drain_fiber(void *arg)
{
    struct cluster *c = arg;
    do
        look_again(c);
    while (!c->closing && fiber_sleep((int64_t)LOOK_EVERY_MS * NS_PER_MS) == OK);
}

static bool has_heir(const struct map *map)
{
    for (uint32_t i = 0; i < map->n; i++)
        if (map->v[i].id.u != map->self.u && member_is_live(&map->v[i]) && map->v[i].meta.weight) return true;
    return false;
}

static err_t begin(struct cluster *c)
{
    const struct map *map = core_here(c)->map;
    struct member_meta was = c->meta;
    if (!has_heir(map)) return err_set(ERR_INVALID, "no other node is there that takes the data of this one: it cannot be drained");
    c->meta.weight = 0;
    c->meta.health = MEMBER_DRAINING;
    err_t e = swim_io_meta(c->swim, &c->meta);
    if (e != OK) c->meta = was;
    TRY(e);
    c->drain.draining = true;
    log_info("drain.begin", "effect=\"new data goes to others; drain.done is said when enough of them have what it has\"");
    const struct fiber_opts fo = { .name = "drain", .class = RT_MAINTENANCE };
    e = fiber_start(&c->scope, &fo, drain_fiber, c);
    if (e != OK) c->drain.draining = false;
    return e;
}

struct drain_call {
    struct cluster *c;
    struct drain_state *out;
    node_id id;
};

static err_t drain_here(void *arg)
{
    const struct drain_call *d = arg;
    if (d->c->closing) return err_set(ERR_UNAVAILABLE, "the node is stopping");
    if (!d->c->drain.draining) TRY(begin(d->c));
    *d->out = d->c->drain;
    return OK;
}

err_t cluster_drain(struct cluster *c, struct drain_state *out)
{
    struct drain_call d = { .c = c, .out = out };
    return rt_call(0, RT_MEMBERSHIP, drain_here, &d);
}

/* -- forgetting ---------------------------------------------------------------------------------------------- */

static err_t forget_here(void *arg)
{
    const struct drain_call *d = arg;
    if (d->c->closing) return err_set(ERR_UNAVAILABLE, "the node is stopping");
    TRY(swim_io_forget(d->c->swim, d->id));
    log_info("member.forgotten", "id=%016" PRIx64, d->id.u);
    return OK;
}

err_t cluster_forget(struct cluster *c, node_id id)
{
    struct drain_call d = { .c = c, .id = id };
    return rt_call(0, RT_MEMBERSHIP, forget_here, &d);
}
