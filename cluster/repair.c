#include "cluster/repair.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/handoff.h"
#include "cluster/mend.h"
#include "cluster/reach.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { REPAIR_EVERY_MS = 2000, REPAIR_ASK_MS = 5000 };

struct seen { /* what we last heard of a member */
    node_id id;
    bool heard;
    uint64_t round;       /* the last one in which it answered */
    struct said said;     /* of our streams: all that it has */
    struct stream_since *since; /* [nsince] by stream: what it was heard of, in the life said.life */
    uint32_t nsince;
    struct cover missing; /* here, in the last round */
};

struct repair {
    struct cluster *c;
    struct event wake;
    struct seen *v;
    uint32_t n, cap;
    uint64_t round;
    uint64_t *quiet;      /* closed streams of which nothing was missing in the last round, ids */
    uint32_t nquiet;
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
    said_init(&s->said);
    cover_init(&s->missing);
    return s;
}

/* What a node's logs have no more, and what we are heirs of and have nothing of, is copied as whole streams. */
static void want_copies(struct repair *r, node_id from, const struct cover *of)
{
    for (uint32_t i = 0; i < of->n; i++)
        handoff_want(r->c->handoff, of->streams[i].id, from);
}

/* What is left of `want`, in place. */
static void minus_held(struct repair *r, struct cover *left)
{
    struct cover have, rest;
    cover_init(&have);
    cover_init(&rest);
    if (store_cover(r->c->o.store, NULL, 0, &have) == OK) cover_minus(left, &have, &rest);
    cover_deinit(&have);
    cover_deinit(left);
    *left = rest;
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
        if (e == OK && got == 0) want_copies(r, from, &left);
        if (e != OK || got == 0) break;
        minus_held(r, &left);
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

static void get_missing(struct repair *r, node_id from, const struct stream *streams, const uint64_t *ids, uint32_t n, const struct cover *mine,
                        const struct cover *missing)
{
    struct cover pull, copy;
    cover_init(&pull);
    cover_init(&copy);
    for (uint32_t i = 0; i < n; i++) {
        bool whole = !stream_has(&streams[i], r->c->self) && !cover_has_stream(mine, ids[i]);
        cover_pick(missing, &ids[i], 1, whole ? &copy : &pull);
    }
    want_copies(r, from, &copy);
    if (!cover_empty(&pull)) fetch(r, from, &pull);
    cover_deinit(&pull);
    cover_deinit(&copy);
}

static int by_stream(const void *pa, const void *pb)
{
    uint64_t a = ((const struct stream_since *)pa)->stream, b = ((const struct stream_since *)pb)->stream;
    return (a > b) - (a < b);
}

/* These streams, and what was heard of them; malloc'd. */
static struct stream_since *since_heard(const struct seen *s, const uint64_t *ids, uint32_t n)
{
    struct stream_since *v = calloc((size_t)n + 1, sizeof *v);
    ASSERT(v != NULL);
    for (uint32_t i = 0; i < n; i++) {
        const struct stream_since key = { ids[i], 0 }, *was = NULL;
        if (s->nsince > 0) was = bsearch(&key, s->since, s->nsince, sizeof *v, by_stream);
        v[i] = was ? *was : key;
    }
    if (n > 1) qsort(v, n, sizeof *v, by_stream);
    return v;
}

/* What it said is news: it joins what was heard before of the same streams. Takes since. */
static void hear(struct seen *s, struct said *news, struct stream_since *since, uint32_t n, const uint64_t *ids)
{
    cover_pick(&s->said.have, ids, n, &news->have);
    said_deinit(&s->said);
    s->said = *news;
    said_init(news);
    for (uint32_t i = 0; i < n; i++)
        since[i].version = s->said.sums.version;
    free(s->since);
    s->since = since;
    s->nsince = n;
}

static void compare(struct repair *r, node_id id, const struct stream *streams, const uint64_t *ids, uint32_t n, const struct cover *mine)
{
    struct cover missing, stale;
    struct said said;
    said_init(&said);
    cover_init(&missing);
    cover_init(&stale);
    struct stream_since *since = since_heard(seen_of(r, id), ids, n);
    const struct question q = { .forms = REACH_NAMES | REACH_ITSELF, .streams = since, .n = n, .life = seen_of(r, id)->said.life };
    err_t e = n > 0 ? reach_ask(r->c, id, &q, mono_add(rt_now(), (int64_t)REPAIR_ASK_MS * NS_PER_MS), &said) : OK;
    struct seen *s = seen_of(r, id); /* no yield from here to the swap */
    if (e == OK) {
        hear(s, &said, since, n, ids);
        since = NULL;
        cover_minus(&s->said.have, mine, &missing);
        common(&missing, &s->missing, &stale);
        cover_deinit(&s->missing);
        s->missing = missing;
        s->heard = true;
        s->round = r->round;
        cover_init(&missing);
    }
    free(since);
    if (!cover_empty(&stale)) get_missing(r, id, streams, ids, n, mine, &stale);
    said_deinit(&said);
    cover_deinit(&missing);
    cover_deinit(&stale);
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
        common(&all, &seen_of(r, m->id)->said.have, &both);
        cover_deinit(&all);
        all = both;
    }
    cover_join(out, &all);
    cover_deinit(&all);
}

/* Those that the store knows, and those that are written to now. */
static err_t all_streams(const struct cluster *c, const struct map *map, struct arena *a, struct stream **out, uint32_t *n)
{
    struct stream *known;
    uint32_t nnow, nknown;
    struct stream *now = map_streams(map, &nnow);
    store_streams(c->o.store, a, &known, &nknown);
    *out = ARENA_RAW(a, struct stream, (size_t)nknown + nnow + 1);
    err_t e = arena_check(a);
    if (e == OK) memcpy(*out, known, nknown * sizeof *known);
    *n = nknown;
    for (uint32_t i = 0; e == OK && i < nnow; i++) {
        uint32_t k = 0;
        while (k < nknown && known[k].id != now[i].id)
            k++;
        if (k == nknown) (*out)[(*n)++] = now[i];
    }
    free(now);
    return e;
}

/* The streams that are to be here: those of members, our own among them, and those of which we are heirs. */
static err_t our_streams(struct repair *r, const struct map *map, struct arena *a, struct stream **out, uint64_t **ids, uint32_t *n)
{
    const struct cluster *c = r->c;
    struct stream *v;
    uint32_t all;
    *n = 0;
    TRY(all_streams(c, map, a, &v, &all));
    *ids = ARENA_RAW(a, uint64_t, all + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < all; i++) {
        if (!stream_has(&v[i], c->self) && !heirs_has(map, &c->heirs, &v[i], c->self, rt_now())) continue;
        (*ids)[*n] = v[i].id;
        v[(*n)++] = v[i];
    }
    *out = v;
    return OK;
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

/* -- what we vouch for (heirs.h) ---------------------------------------------------------------------------------- */

struct vouching {
    const struct map *map;
    struct vouch_list ours; /* as it was */
    uint64_t *quiet;
    uint32_t nquiet;
};

/* Members of which nothing of the stream is missing here; *alone: one of them takes itself to be alone. */
static member_set reached(const struct repair *r, const struct stream *st, bool *alone)
{
    member_set got = 0;
    *alone = false;
    for (uint32_t i = 0; i < st->n; i++) {
        if (st->members[i].u == r->c->self.u) got |= (member_set)(1u << i);
        for (uint32_t k = 0; k < r->n; k++) {
            const struct seen *s = &r->v[k];
            if (s->id.u != st->members[i].u || s->round != r->round || cover_has_stream(&s->missing, st->id)) continue;
            got |= (member_set)(1u << i);
            *alone |= s->said.alone;
        }
    }
    return got;
}

/* What others vouch with, of whom all is here, and we ourselves. */
static uint32_t bases_of(const struct repair *r, const struct vouch *ours, uint64_t stream, struct vouch_basis *out, uint32_t max)
{
    uint32_t n = 0;
    if (ours) out[n++] = (struct vouch_basis){ true, ours->with };
    for (uint32_t k = 0; k < r->n && n < max; k++) {
        const struct seen *s = &r->v[k];
        if (s->round != r->round || cover_has_stream(&s->missing, stream)) continue;
        const struct vouch *v = vouch_list_find(&s->said.vouches, stream);
        if (v) out[n++] = (struct vouch_basis){ true, v->with };
    }
    return n;
}

static bool was_quiet(const struct repair *r, uint64_t stream)
{
    for (uint32_t i = 0; i < r->nquiet; i++)
        if (r->quiet[i] == stream) return true;
    return false;
}

/* A stream of fewer members than the quorum: somebody vouches with all of them, or all were reached twice. */
static void vouch_closed(struct repair *r, struct vouching *q, const struct stream *st, const struct vouch_basis *bases, uint32_t n, bool all_here)
{
    member_set all = (member_set)((1u << st->n) - 1);
    bool may = false;
    for (uint32_t i = 0; i < n; i++)
        may |= bases[i].with == all;
    if (all_here) {
        q->quiet[q->nquiet++] = st->id;
        may |= was_quiet(r, st->id);
    }
    if (may) vouches_set(r->c->vouches, st->id, &all);
}

static void vouch_for(struct repair *r, struct vouching *q, const struct stream *st)
{
    struct vouch_basis bases[64];
    const struct cluster *c = r->c;
    const struct vouch *ours = vouch_list_find(&q->ours, st->id);
    member_set gone = 0, with = 0;
    bool alone;
    for (uint32_t i = 0; i < st->n; i++)
        if (heirs_gone(q->map, &c->heirs, st->members[i], rt_now())) gone |= (member_set)(1u << i);
    member_set got = reached(r, st, &alone);
    uint32_t n = bases_of(r, ours, st->id, bases, ARRAY_LEN(bases)), quorum = map_stream_quorum(q->map, st);
    bool may = vouch_next(st, MIN(quorum, st->n), got, gone, bases, n, &with);
    if (st->n < quorum) {
        vouch_closed(r, q, st, bases, n, may && with == 0 && !alone);
    } else if (may) {
        vouches_set(c->vouches, st->id, &with);
    } else if (ours && (ours->with & (member_set)~gone)) {
        vouches_set(c->vouches, st->id, NULL);
    }
}

static void vouch(struct repair *r, const struct map *map, const struct stream *streams, uint32_t n)
{
    struct vouching q = { .map = map, .quiet = calloc((size_t)n + 1, sizeof(uint64_t)) };
    ASSERT(q.quiet != NULL);
    vouches_copy(r->c->vouches, &q.ours);
    for (uint32_t i = 0; i < n; i++)
        vouch_for(r, &q, &streams[i]);
    vouch_list_deinit(&q.ours);
    free(r->quiet);
    r->quiet = q.quiet;
    r->nquiet = q.nquiet;
    if (vouches_save(r->c->vouches) != OK) log_warn("cluster.vouched", "error=%s", err_detail());
}

/* -- rounds ------------------------------------------------------------------------------------------------------- */

static err_t compare_all(struct repair *r, const struct map *map, struct arena *a)
{
    struct cluster *c = r->c;
    struct stream *streams;
    uint64_t *ids;
    uint32_t n;
    TRY(our_streams(r, map, a, &streams, &ids, &n));
    struct cover mine, ours, by_all; /* ours: as a member beside others */
    cover_init(&mine);
    cover_init(&ours);
    cover_init(&by_all);
    err_t e = store_cover(c->o.store, ids, n, &mine);
    for (uint32_t i = 0; e == OK && i < map->n && !c->closing; i++)
        if (map->v[i].id.u != c->self.u && member_is_live(&map->v[i])) compare(r, map->v[i].id, streams, ids, n, &mine);
    if (e == OK) vouch(r, map, streams, n);
    for (uint32_t i = 0; e == OK && i < n; i++)
        if (streams[i].n > 1 && stream_has(&streams[i], c->self)) {
            covered(r, map, &streams[i], &mine, &by_all);
            cover_pick(&mine, &streams[i].id, 1, &ours);
        }
    if (e == OK) {
        tell_lag(r, map, &ours, &by_all);
        store_covered(c->o.store, &by_all);
    }
    struct err_record why = *err_record();
    cover_deinit(&mine);
    cover_deinit(&ours);
    cover_deinit(&by_all);
    *err_record() = why;
    return e;
}

static err_t round_over(struct repair *r, struct arena *a)
{
    struct map *map = cluster_map(r->c);
    r->round++;
    err_t e = map->alone ? OK : compare_all(r, map, a);
    mend_round(r->c, map);
    struct err_record why = *err_record();
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
        said_deinit(&r->v[i].said);
        free(r->v[i].since);
        cover_deinit(&r->v[i].missing);
    }
    free(r->quiet);
    free(r->v);
    free(r);
}
