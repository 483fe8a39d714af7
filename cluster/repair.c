#include "cluster/repair.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/reach.h"

#include <inttypes.h>
#include <stdlib.h>

enum { REPAIR_EVERY_MS = 2000, REPAIR_ASK_MS = 5000 };

struct seen { /* what we last heard of a member */
    node_id id;
    bool heard;
    struct cover have;    /* of our streams */
    struct cover missing; /* here, in the last round */
};

struct repair {
    struct cluster *c;
    struct event wake;
    struct seen *v;
    uint32_t n, cap;
};

static struct seen *seen_of(struct repair *r, node_id id)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->v[i].id.u == id.u) return &r->v[i];
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 8;
        r->v = realloc(r->v, r->cap * sizeof *r->v);
        ASSERT(r->v != NULL);
    }
    struct seen *s = &r->v[r->n++];
    *s = (struct seen){ .id = id };
    cover_init(&s->have);
    cover_init(&s->missing);
    return s;
}

/* Fetches while it is given something. What is fetched is the store's for good, however this ends. */
static void fetch(struct repair *r, node_id from, const struct cover *want)
{
    struct cover left;
    cover_init(&left);
    cover_join(&left, want);
    while (!cover_empty(&left) && !r->c->closing) {
        uint64_t got = 0;
        err_t e = reach_pull(r->c, from, &left, &got);
        if (e != OK) log_warn("cluster.repair", "from=%016" PRIx64 " error=%s", from.u, err_detail());
        if (e != OK || got == 0) break;
        struct cover have, rest;
        cover_init(&have);
        cover_init(&rest);
        if (store_cover(r->c->o.store, NULL, 0, &have) == OK) cover_minus(&left, &have, &rest);
        cover_deinit(&have);
        cover_deinit(&left);
        left = rest;
    }
    cover_deinit(&left);
}

/* Missing now and the last time. */
static void common(const struct cover *a, const struct cover *b, struct cover *out)
{
    struct cover only;
    cover_init(&only);
    cover_minus(a, b, &only);
    cover_minus(a, &only, out);
    cover_deinit(&only);
}

static void compare(struct repair *r, node_id id, const uint64_t *streams, uint32_t n, const struct cover *mine)
{
    struct cover theirs, missing, stale;
    cover_init(&theirs);
    cover_init(&missing);
    cover_init(&stale);
    err_t e = reach_ask(r->c, id, streams, n, mono_add(rt_now(), (int64_t)REPAIR_ASK_MS * NS_PER_MS), &theirs);
    struct seen *s = seen_of(r, id); /* no yield from here to the swap */
    if (e == OK) {
        cover_minus(&theirs, mine, &missing);
        common(&missing, &s->missing, &stale);
        cover_deinit(&s->have);
        cover_deinit(&s->missing);
        s->have = theirs;
        s->missing = missing;
        s->heard = true;
        cover_init(&theirs);
        cover_init(&missing);
    }
    if (!cover_empty(&stale)) fetch(r, id, &stale);
    cover_deinit(&theirs);
    cover_deinit(&missing);
    cover_deinit(&stale);
}

static bool stream_has(const struct stream *st, node_id id)
{
    for (uint32_t i = 0; i < st->n; i++)
        if (st->members[i].u == id.u) return true;
    return false;
}

/* What all members of a stream are known to have, added to out. */
static void covered(struct repair *r, const struct map *map, const struct stream *st, const struct cover *mine, struct cover *out)
{
    struct cover all;
    cover_init(&all);
    cover_pick(mine, &st->id, 1, &all);
    for (uint32_t i = 0; i < st->n; i++) {
        if (st->members[i].u == r->c->self.u) continue;
        const struct member *m = map_member(map, st->members[i]);
        if (!m || m->state == MEMBER_LEFT) continue; /* it will not be back */
        struct cover both;
        cover_init(&both);
        common(&all, &seen_of(r, m->id)->have, &both);
        cover_deinit(&all);
        all = both;
    }
    cover_join(out, &all);
    cover_deinit(&all);
}

/* The streams of which we are a member, and there is another. */
static err_t our_streams(struct repair *r, struct arena *a, struct stream **out, uint64_t **ids, uint32_t *n)
{
    struct stream *v;
    uint32_t all;
    *n = 0;
    store_streams(r->c->o.store, a, &v, &all);
    *ids = ARENA_RAW(a, uint64_t, all + 1);
    for (uint32_t i = 0; i < all; i++) {
        if (v[i].n < 2 || !stream_has(&v[i], r->c->self)) continue;
        (*ids)[*n] = v[i].id;
        v[(*n)++] = v[i];
    }
    *out = v;
    return arena_check(a);
}

/* How far this node and the others are behind, for people: what is on its way counts. */
static void tell_lag(const struct repair *r, const struct map *map, const struct cover *mine, const struct cover *by_all)
{
    struct cover missing, behind;
    cover_init(&missing);
    cover_init(&behind);
    for (uint32_t i = 0; i < r->n; i++) {
        const struct member *m = map_member(map, r->v[i].id);
        if (m && member_is_live(m)) cover_join(&missing, &r->v[i].missing);
    }
    cover_minus(mine, by_all, &behind);
    metric_set(M_REPAIR_MISSING, (int64_t)cover_count(&missing));
    metric_set(M_REPAIR_BEHIND, (int64_t)cover_count(&behind));
    cover_deinit(&missing);
    cover_deinit(&behind);
}

static err_t round_over(struct repair *r, struct arena *a)
{
    struct cluster *c = r->c;
    struct stream *streams;
    uint64_t *ids;
    uint32_t n;
    TRY(our_streams(r, a, &streams, &ids, &n));
    if (n == 0) return OK;
    struct map *map = cluster_map(c);
    struct cover mine, by_all;
    cover_init(&mine);
    cover_init(&by_all);
    err_t e = store_cover(c->o.store, ids, n, &mine);
    for (uint32_t i = 0; e == OK && i < map->n && !c->closing; i++) {
        const struct member *m = &map->v[i];
        if (m->id.u != c->self.u && (m->state == MEMBER_ALIVE || m->state == MEMBER_SUSPECT)) compare(r, m->id, ids, n, &mine);
    }
    for (uint32_t i = 0; e == OK && i < n; i++)
        covered(r, map, &streams[i], &mine, &by_all);
    if (e == OK) {
        tell_lag(r, map, &mine, &by_all);
        store_covered(c->o.store, &by_all);
    }
    struct err_record why = *err_record();
    cover_deinit(&mine);
    cover_deinit(&by_all);
    map_put(map);
    *err_record() = why;
    return e;
}

static void repair_fiber(void *arg)
{
    struct repair *r = arg;
    while (!r->c->closing) {
        struct arena a;
        arena_init(&a, NULL);
        if (round_over(r, &a) != OK) log_warn("cluster.repair", "error=%s", err_detail());
        arena_deinit(&a);
        metric_add(M_REPAIR_ROUNDS, 1);
        event_reset(&r->wake);
        if (event_wait_until(&r->wake, mono_add(rt_now(), (int64_t)REPAIR_EVERY_MS * NS_PER_MS)) == ERR_CANCELED) return;
    }
}

err_t repair_start(struct cluster *c, struct scope *scope, struct repair **out)
{
    struct repair *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    r->c = c;
    event_init(&r->wake);
    const struct fiber_opts fo = { .name = "repair", .class = RT_MAINTENANCE };
    err_t e = fiber_start(scope, &fo, repair_fiber, r);
    if (e != OK) {
        free(r);
        return e;
    }
    *out = r;
    return OK;
}

void repair_now(struct repair *r)
{
    event_signal(&r->wake);
}

void repair_free(struct repair *r)
{
    if (!r) return;
    for (uint32_t i = 0; i < r->n; i++) {
        cover_deinit(&r->v[i].have);
        cover_deinit(&r->v[i].missing);
    }
    free(r->v);
    free(r);
}
