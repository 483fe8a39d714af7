#include "cluster/deletions_settled.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "cluster/deletions_int.h"
#include "cluster/docs.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ASK_MS = 2000 };

/* -- judging ---------------------------------------------------------------------------------------------------------- */
bool deletion_finished_by(const struct said *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->nfinished; i++)
        if (s->finished[i] == id) return true;
    return false;
}

static const struct said *said_of(const struct heard *h, node_id id)
{
    const struct member *m = map_member(h->map, id);
    return m ? h->said[m - h->map->v] : NULL;
}

static bool is_covered(const struct heard *h, uint64_t stream)
{
    for (uint32_t i = 0; i < h->map->n; i++)
        if (h->said[i] && store_sums_find(&h->said[i]->sums, stream)) return true;
    return false;
}

struct tally { /* of a stream's members */
    uint32_t w, finished, away; /* away: out of reach, or gone */
    member_set unfinished, gone;
};

static struct tally count(const struct heard *h, const struct stream *st, uint64_t id)
{
    struct tally t = { .w = MIN(st->rows.quorum ? (uint32_t)st->rows.quorum : h->map->quorum, st->n) };
    for (uint32_t i = 0; i < st->n; i++) {
        const struct said *s = said_of(h, st->members[i]);
        bool finished = s && deletion_finished_by(s, id), gone = heirs_gone(h->map, h->heirs, st->members[i], h->now);
        t.finished += finished;
        t.away += !finished && (!s || gone);
        if (!finished) t.unfinished |= (member_set)(1u << i);
        if (gone) t.gone |= (member_set)(1u << i);
    }
    return t;
}

static uint32_t least(const struct tally *t, const struct stream *st)
{
    return MAX(t->w, st->n - t->w + 1);
}

/* Does a node that has finished it vouch for all that have not, but fewer than w? */
static bool is_vouched(const struct heard *h, const struct stream *st, const struct tally *t, uint64_t id)
{
    for (uint32_t i = 0; i < h->map->n && t->gone; i++) {
        const struct vouch *v = h->said[i] && deletion_finished_by(h->said[i], id) ? vouch_list_find(&h->said[i]->vouches, st->id) : NULL;
        if (v && vouch_suffices(st, t->w, t->unfinished, v->with & t->gone)) return true;
    }
    return false;
}

/* A stream that nobody who is reached has anything of counts only when what was acknowledged on it may be out of reach. */
bool deletion_sure(const struct heard *h, uint64_t id, const struct stream **of)
{
    for (uint32_t i = 0; i < h->nstreams; i++) {
        const struct stream *st = h->streams[i];
        const struct tally t = count(h, st, id);
        bool lost = t.gone == (member_set)((1u << st->n) - 1);
        if (!is_covered(h, st->id) && (lost || t.away < t.w)) continue;
        if (t.finished >= least(&t, st) || is_vouched(h, st, &t, id)) continue;
        *of = st;
        return false;
    }
    return true;
}

bool deletion_maybe(const struct heard *h, uint64_t id)
{
    for (uint32_t i = 0; i < h->nstreams; i++) {
        const struct stream *st = h->streams[i];
        const struct tally t = count(h, st, id);
        if (!is_covered(h, st->id) || t.finished + t.away >= least(&t, st)) continue;
        if (!t.gone || t.finished + t.away < st->n - t.w + 1) return false;
    }
    return true;
}

/* -- reading ------------------------------------------------------------------------------------------------------------ */
static void bar_by(const struct heard *h, uint64_t id, bool *barred)
{
    if (!deletion_maybe(h, id)) return;
    for (uint32_t i = 0; i < h->map->n; i++)
        barred[i] |= h->said[i] && !deletion_finished_by(h->said[i], id);
}

void deletions_bar(const struct cluster *c, const struct heard *h, bool *barred)
{
    struct deletion_set *set = deletions_set(c);
    for (uint32_t i = 0; i < h->map->n; i++) {
        const struct said *s = h->said[i];
        for (uint32_t k = 0; s && k < s->nfinished; k++) {
            bool met = deletion_is_over(set, s->finished[k]);
            for (uint32_t before = 0; before < i && !met; before++)
                met = h->said[before] && deletion_finished_by(h->said[before], s->finished[k]);
            if (!met) bar_by(h, s->finished[k], barred);
        }
    }
    deletion_set_put(set);
}

/* -- asking everybody ----------------------------------------------------------------------------------------------------- */
struct asked {
    struct cluster *c;
    node_id id;
    unsigned forms; /* of reach_wire.h */
    bool reached;
    struct said said;
};
struct round { /* all that can be asked, asked */
    struct map *map;
    struct asked *v;              /* [map->n] */
    const struct said **said;
    struct arena a;
    struct heard heard;
};

static void ask_fiber(void *arg)
{
    struct asked *a = arg;
    const struct question q = { .forms = a->forms };
    a->reached = reach_ask(a->c, a->id, &q, mono_add(rt_now(), (int64_t)ASK_MS * NS_PER_MS), &a->said) == OK;
}

static err_t ask_self(struct asked *a)
{
    struct vouches *v = a->c->vouches;
    vouches_copy(v, &a->said.vouches);
    deletions_finished(a->c, &a->said.finished, &a->said.nfinished);
    TRY(store_sums(a->c->o.store, &a->said.sums));
    if (a->forms & REACH_NAMES) TRY(store_cover(a->c->o.store, NULL, 0, &a->said.have));
    a->reached = true;
    return OK;
}

static err_t ask_all(struct cluster *c, struct round *r)
{
    const struct fiber_opts fo = { .name = "deletion.ask", .class = RT_REPLICATION };
    struct scope scope;
    err_t e = OK;
    scope_init(&scope, fiber_scope());
    for (uint32_t i = 0; e == OK && i < r->map->n; i++) {
        if (r->map->v[i].id.u == c->self.u) e = ask_self(&r->v[i]);
        else if (member_is_live(&r->map->v[i])) e = fiber_start(&scope, &fo, ask_fiber, &r->v[i]);
    }
    if (e != OK) scope_cancel(&scope);
    struct err_record why = *err_record();
    err_t joined = scope_join(&scope);
    scope_deinit(&scope);
    *err_record() = why;
    return e == OK ? joined : e;
}

/* Streams that somebody knows, and those that are written to. */
static err_t list_streams(struct cluster *c, struct round *r)
{
    struct stream *v;
    uint32_t n, nnow;
    struct stream *made = map_streams(r->map, &nnow), *now = arena_dup(&r->a, made, nnow * sizeof *made);
    free(made);
    store_streams(c->o.store, &r->a, &v, &n);
    const struct stream **all = ARENA_ARRAY(&r->a, const struct stream *, (size_t)n + nnow + 1);
    TRY(arena_check(&r->a));
    for (uint32_t i = 0; i < n; i++)
        all[i] = &v[i];
    for (uint32_t i = 0; i < nnow; i++) {
        uint32_t k = 0;
        while (k < n && all[k]->id != now[i].id)
            k++;
        if (k == n) all[n++] = &now[i];
    }
    r->heard.streams = all;
    r->heard.nstreams = n;
    return OK;
}

static err_t round_begin(struct cluster *c, unsigned more, struct round *r)
{
    *r = (struct round){ .map = cluster_map(c) };
    arena_init(&r->a, NULL);
    r->v = ARENA_ARRAY(&r->a, struct asked, (size_t)r->map->n + 1);
    r->said = ARENA_ARRAY(&r->a, const struct said *, (size_t)r->map->n + 1);
    for (uint32_t i = 0; i < r->map->n; i++) {
        r->v[i] = (struct asked){ .c = c, .id = r->map->v[i].id, .forms = REACH_SUMS | REACH_ITSELF | REACH_DELETIONS | more };
        said_init(&r->v[i].said);
    }
    TRY(ask_all(c, r));
    for (uint32_t i = 0; i < r->map->n; i++)
        r->said[i] = r->v[i].reached ? &r->v[i].said : NULL;
    r->heard.map = r->map;
    r->heard.heirs = &c->heirs;
    r->heard.said = r->said;
    r->heard.now = rt_now();
    return list_streams(c, r);
}

static void round_end(struct round *r)
{
    struct err_record why = *err_record();
    for (uint32_t i = 0; i < r->map->n; i++)
        said_deinit(&r->v[i].said);
    arena_deinit(&r->a);
    map_put(r->map);
    *err_record() = why;
}

static struct str unsettled_text(const struct round *r, uint64_t id, const struct stream *of, struct arena *a)
{
    const struct tally t = count(&r->heard, of, id);
    uint32_t first = 0;
    while (first + 1 < of->n && !(t.unfinished >> first & 1))
        first++;
    return arena_printf(a, "%u of the %u nodes of stream %016" PRIx64 " have made it, %u are wanted; node %016" PRIx64 " has not, and %u of them are out of reach",
                        t.finished, of->n, of->id, least(&t, of), of->members[first].u, t.away);
}

err_t deletions_states(struct cluster *c, struct deletion_state *v, uint32_t n, struct arena *a)
{
    struct deletion_set *set = deletions_set(c);
    struct round r;
    uint32_t open = 0;
    for (uint32_t i = 0; i < n; i++) {
        v[i].settled = deletion_is_over(set, v[i].id) || (v[i].made && !deletion_find(set, v[i].id));
        v[i].why = STR("");
        open += !v[i].settled;
    }
    deletion_set_put(set);
    if (open == 0) return OK;
    err_t e = round_begin(c, 0, &r);
    for (uint32_t i = 0; e == OK && i < n; i++) {
        const struct stream *of = NULL;
        if (v[i].settled) continue;
        v[i].settled = deletion_sure(&r.heard, v[i].id, &of);
        if (!v[i].settled) v[i].why = unsettled_text(&r, v[i].id, of, a);
    }
    round_end(&r);
    return e;
}

void deletions_list(struct cluster *c, struct arena *a, struct deletion_doc **out, uint32_t *n)
{
    struct deletion_set *set = deletions_set(c);
    *out = ARENA_ARRAY(a, struct deletion_doc, (size_t)set->n + 1);
    *n = set->n;
    for (uint32_t i = 0; i < set->n; i++)
        (*out)[i] = (struct deletion_doc){ set->v[i]->id, arena_str(a, set->v[i]->doc) };
    deletion_set_put(set);
}

/* -- the end ---------------------------------------------------------------------------------------------------------------- */
/* Does it cover what the deletion covers of its streams? */
static bool holds_its_part(const struct heard *h, const struct deletion *x, uint32_t node)
{
    bool all = true;
    for (uint32_t i = 0; i < h->nstreams && all; i++) {
        struct cover part;
        if (!stream_has(h->streams[i], h->map->v[node].id)) continue;
        cover_init(&part);
        cover_pick(&x->covered, &h->streams[i]->id, 1, &part);
        all = cover_holds(&h->said[node]->have, &part);
        cover_deinit(&part);
    }
    return all;
}

/* A node that lost its disk and is another one now does not come back. */
static bool counts(const struct map *map, uint32_t i)
{
    return map->v[i].state != MEMBER_LEFT && !map_replaced(map->v, map->n, &map->v[i]);
}

/* One that came a moment ago may not have heard of members that are dead for now; streams name them. */
static bool all_are_known(const struct heard *h)
{
    for (uint32_t i = 0; i < h->nstreams; i++)
        for (uint32_t k = 0; k < h->streams[i]->n; k++) {
            node_id id = h->streams[i]->members[k];
            if (!map_member(h->map, id) && !heirs_gone(h->map, h->heirs, id, h->now)) return false;
        }
    return true;
}

/* `names`: the nodes said what they cover. */
static bool is_over(const struct heard *h, const struct deletion *x, bool names)
{
    if (!all_are_known(h)) return false;
    for (uint32_t i = 0; i < h->map->n; i++) {
        if (!counts(h->map, i)) continue;
        if (!h->said[i] || !deletion_finished_by(h->said[i], x->id) || !deletion_knows(x, h->map->v[i].id)) return false;
        if (names && !holds_its_part(h, x, i)) return false;
    }
    return true;
}

/* One node does it: the first that lives. */
static bool is_ours(const struct map *map)
{
    for (uint32_t i = 0; i < map->n; i++)
        if (member_is_live(&map->v[i])) return map->v[i].id.u == map->self.u;
    return false;
}

static err_t retire_one(struct deletions *d, uint64_t id)
{
    struct arena a;
    arena_init(&a, NULL);
    err_t e = docs_put(d->c, DOC_DELETE, deletion_doc_key(id, &a), DOC_ANY, STR_NONE, NULL);
    if (e == OK) log_info("deletion.over", "id=%016" PRIx64, id);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

/* Since when all have it is told from `since`, one time an id: a restart begins anew. */
static bool is_due(struct deletions *d, struct deletion *x, bool over)
{
    if (!over) {
        atomic_store(&x->over_since_ns, 0);
        return false;
    }
    if (atomic_load(&x->over_since_ns) == 0) atomic_store(&x->over_since_ns, rt_now().ns);
    return rt_now().ns - atomic_load(&x->over_since_ns) >= d->c->o.retire_after_ms * NS_PER_MS;
}

static bool any_over(const struct heard *h, const struct deletion_set *set)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (is_over(h, set->v[i], false)) return true;
    return false;
}

/* What nodes cover is asked for only when some deletion may be over. */
static err_t retire_due(struct deletions *d, const struct deletion_set *set)
{
    struct round r;
    err_t e = round_begin(d->c, 0, &r);
    bool any = e == OK && any_over(&r.heard, set);
    round_end(&r);
    if (e != OK || !any) return e;
    e = round_begin(d->c, REACH_NAMES, &r);
    for (uint32_t i = 0; e == OK && i < set->n; i++)
        if (is_due(d, set->v[i], is_over(&r.heard, set->v[i], true))) e = retire_one(d, set->v[i]->id);
    round_end(&r);
    return e;
}

err_t deletions_retire(struct deletions *d)
{
    struct deletion_set *set = deletion_set_get(d->set);
    struct map *map = cluster_map(d->c);
    bool ours = is_ours(map) && set->n > 0;
    map_put(map);
    err_t e = ours ? retire_due(d, set) : OK;
    deletion_set_put(set);
    return e;
}
