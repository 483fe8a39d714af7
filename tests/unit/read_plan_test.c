/* Plans of exact reads over random clusters, against what the header promises, word by word. */
#include "cluster/read_plan.h"

#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { NODES_MAX = 7, STREAMS_MAX = 12, SEEDS = 3000 };

struct world {
    struct arena a;
    struct read_node nodes[NODES_MAX];
    struct cover covers[NODES_MAX];
    struct store_sums sums[NODES_MAX];
    uint64_t lost[NODES_MAX][STREAMS_MAX];
    struct stream streams[STREAMS_MAX];
    struct read_stream asked[STREAMS_MAX];
    struct read_ask ask;
};

static bool asked_already(const struct world *w, uint64_t id)
{
    for (uint32_t i = 0; i < w->ask.nstreams; i++)
        if (w->streams[i].id == id) return true;
    return false;
}

static void add_stream(struct world *w, struct prng *r)
{
    node_id members[3];
    uint32_t n = 1 + (uint32_t)prng_below(r, 3);
    for (uint32_t i = 0; i < n;) {
        members[i].u = 1 + prng_below(r, NODES_MAX);
        bool twice = false;
        for (uint32_t k = 0; k < i; k++)
            twice |= members[k].u == members[i].u;
        i += !twice;
    }
    uint32_t at = w->ask.nstreams;
    const struct stream_rows rows = { .set = 1 + prng_below(r, 3), .partitions = prng_chance(r, 0.1) ? UINT64_MAX : (prng_next(r) & prng_next(r) & prng_next(r)) | 1u << prng_below(r, 3) };
    stream_make_of(members, n, &rows, &w->streams[at]);
    if (asked_already(w, w->streams[at].id)) return;
    w->asked[at] = (struct read_stream){ &w->streams[at], 1 + (uint32_t)prng_below(r, 3), prng_chance(r, 0.8), prng_chance(r, 0.1) };
    w->ask.nstreams++;
}

/* What a node has of a stream: all, nearly all, some, or nothing. */
static void give(struct prng *r, struct cover *c, uint64_t stream)
{
    uint32_t kind = (uint32_t)prng_below(r, 6);
    if (kind == 0) return;
    for (uint32_t core = 0; core < 2; core++) {
        uint64_t last = kind < 4 ? 1000 : kind == 4 ? 990 + prng_below(r, 10) : 1 + prng_below(r, 800);
        cover_add_run(c, &(struct cover_run){ stream, { 1 + core }, 1, core, 1, last });
        if (prng_chance(r, 0.1)) cover_add_run(c, &(struct cover_run){ stream, { 1 }, 2, core, 5, 5 + prng_below(r, 300) });
    }
}

static void sum_up(const struct cover *c, struct store_sums *out)
{
    *out = (struct store_sums){ .v = calloc(c->n + 1, sizeof *out->v), .version = 77 };
    for (uint32_t i = 0; i < c->n; i++)
        out->v[out->n++] = (struct stream_sum){ c->streams[i].id, cover_stream_sum(&c->streams[i]) };
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Streams of which a node cannot read something. */
static void lose(struct world *w, struct prng *r, uint32_t node)
{
    struct read_node *n = &w->nodes[node];
    for (uint32_t s = 0; s < w->ask.nstreams; s++)
        if (prng_chance(r, 0.1)) w->lost[node][n->nlost++] = w->streams[s].id;
    qsort(w->lost[node], n->nlost, sizeof w->lost[node][0], by_number);
    n->lost = w->lost[node];
}

static bool has_lost(const struct world *w, uint32_t node, uint64_t stream)
{
    for (uint32_t i = 0; i < w->nodes[node].nlost; i++)
        if (w->lost[node][i] == stream) return true;
    return false;
}

static struct world *world_of(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    struct prng r;
    prng_init(&r, seed);
    arena_init(&w->a, NULL);
    for (uint32_t i = (uint32_t)prng_below(&r, STREAMS_MAX + 1); i > 0; i--)
        add_stream(w, &r);
    w->ask.nodes = w->nodes;
    w->ask.streams = w->asked;
    w->ask.seed = prng_next(&r);
    w->ask.nnodes = 1 + (uint32_t)prng_below(&r, NODES_MAX);
    double up = prng_chance(&r, 0.5) ? 1 : 0.7, well = prng_chance(&r, 0.5) ? 1 : 0.7;
    for (uint32_t i = 0; i < w->ask.nnodes; i++) {
        cover_init(&w->covers[i]);
        for (uint32_t s = 0; s < w->ask.nstreams; s++)
            for (uint32_t k = 0; k < w->streams[s].n; k++)
                if (w->streams[s].members[k].u == i + 1 || prng_chance(&r, 0.03)) give(&r, &w->covers[i], w->streams[s].id);
        give(&r, &w->covers[i], 12345); /* not asked for */
        sum_up(&w->covers[i], &w->sums[i]);
        w->nodes[i] = (struct read_node){ { i + 1 }, prng_chance(&r, up), prng_chance(&r, well), (uint32_t)prng_below(&r, 3),
                                          (uint32_t)prng_below(&r, 3), i + 100, prng_chance(&r, 0.97) ? &w->sums[i] : NULL };
        if (seed % 2) lose(w, &r, i);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (uint32_t i = 0; i < w->ask.nnodes; i++)
        cover_deinit(&w->covers[i]), store_sums_deinit(&w->sums[i]);
    arena_deinit(&w->a);
    free(w);
}

/* -- the model ---------------------------------------------------------------------------------------------- */

static struct cover_sum sum_at(const struct world *w, uint32_t node, uint32_t s)
{
    const struct read_node *n = &w->nodes[node];
    const struct stream_sum *v = n->reachable && n->sums ? store_sums_find(n->sums, w->streams[s].id) : NULL;
    return v ? v->sum : (struct cover_sum){ 0 };
}

/* Bit a node that may answer for the stream. */
static uint32_t able(const struct world *w, uint32_t s)
{
    uint32_t bits = 0, healthy = 0, whole = 0;
    uint64_t most = 0;
    for (uint32_t i = 0; i < w->ask.nnodes; i++)
        most = MAX(most, sum_at(w, i, s).count);
    for (uint32_t i = 0; i < w->ask.nnodes && most > 0; i++) {
        uint64_t has = sum_at(w, i, s).count;
        if (has == 0 || most - has > MIN(4 + most / 16, (uint64_t)256)) continue;
        bits |= 1u << i;
        if (w->nodes[i].healthy) healthy |= 1u << i;
        if (!has_lost(w, i, w->streams[s].id)) whole |= 1u << i;
    }
    if (whole) return whole & healthy ? whole & healthy : whole;
    return healthy ? healthy : bits;
}

static uint32_t away(const struct world *w, uint32_t s)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < w->streams[s].n; k++) {
        uint64_t id = w->streams[s].members[k].u;
        n += id > w->ask.nnodes || !w->nodes[id - 1].reachable;
    }
    return n;
}

static bool share(const struct stream *a, const struct stream *b)
{
    return (a->rows.partitions & b->rows.partitions) != 0;
}

static bool is_apart(const struct world *w, const struct read_plan *p, uint32_t s)
{
    for (uint32_t k = 0; k < w->ask.nstreams; k++)
        if (k != s && p->node_of[k] != READ_NOBODY && p->node_of[s] != READ_NOBODY && p->node_of[k] != p->node_of[s]
            && !(w->asked[k].current && w->asked[s].current) && share(&w->streams[k], &w->streams[s]))
            return true;
    return false;
}

/* The fewest nodes that can answer for all that anybody has. */
static uint32_t fewest(const struct world *w, const uint32_t *ables)
{
    uint32_t best = NODES_MAX + 1;
    for (uint32_t set = 0; set < 1u << w->ask.nnodes; set++) {
        bool enough = true;
        for (uint32_t s = 0; s < w->ask.nstreams; s++)
            enough &= ables[s] == 0 || (ables[s] & set);
        if (enough) best = MIN(best, (uint32_t)__builtin_popcount(set));
    }
    return best;
}

/* -- checks ------------------------------------------------------------------------------------------------- */

static const struct read_part *part_of(const struct read_plan *p, uint32_t node)
{
    const struct read_part *found = NULL;
    for (uint32_t i = 0; i < p->nparts; i++)
        if (p->parts[i].node == node) {
            cr_assert_null(found, "a node twice");
            found = &p->parts[i];
        }
    return found;
}

static bool part_has(const struct read_part *part, uint64_t id)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < part->nstreams; i++) {
        cr_assert(i == 0 || part->streams[i - 1] < part->streams[i]);
        n += part->streams[i] == id;
    }
    return n == 1;
}

/* The reader and its sources of a stream together: all that anybody said. And what may fail keeps nothing acked from the answer. */
static void check_sources(const struct world *w, const struct read_part *part, uint32_t s)
{
    uint32_t at = 0, heavy = 0, weights[NODES_MAX] = { 0 }, n = 0, asked[NODES_MAX], unsaid = away(w, s);
    struct cover_sum own = sum_at(w, part->node, s);
    while (part->streams[at] != w->streams[s].id)
        at++;
    for (uint32_t i = 0; i < part->nsources; i++) {
        const struct read_source *from = &part->sources[i];
        uint32_t node = (uint32_t)from->node.u - 1;
        cr_assert(i == 0 || part->sources[i - 1].node.u != from->node.u);
        cr_assert(from->life == node + 100 && from->version == 77 && node != part->node && from->n > 0);
        for (uint32_t k = 0; k < from->n; k++) {
            cr_assert(k == 0 || from->which[k - 1] < from->which[k]);
            if (from->which[k] != at) continue;
            weights[n] = from->weight[k];
            asked[n++] = node;
        }
    }
    for (uint32_t i = 0; i < w->ask.nnodes; i++) { /* each said nothing, what the reader said, or what one source said */
        struct cover_sum said = sum_at(w, i, s);
        uint32_t same = 0;
        for (uint32_t k = 0; k < n; k++)
            same += cover_sum_eq(sum_at(w, asked[k], s), said);
        cr_assert_eq(same, said.count > 0 && !cover_sum_eq(said, own));
    }
    uint32_t quorum = MIN(w->asked[s].w, w->streams[s].n);
    for (uint32_t failed = 0; failed < 1u << n; failed++) {
        uint32_t weight = 0, members = unsaid;
        for (uint32_t k = 0; k < n; k++) {
            if (!(failed >> k & 1)) continue;
            weight += weights[k];
            for (uint32_t m = 0; m < w->streams[s].n; m++) {
                uint64_t id = w->streams[s].members[m].u;
                members += id <= w->ask.nnodes && cover_sum_eq(sum_at(w, (uint32_t)id - 1, s), sum_at(w, asked[k], s));
            }
        }
        if (weight <= part->spare[at] && failed) cr_assert(members < quorum, "stream %u: %u members did not tell", s, members);
        if (weight > part->spare[at] && unsaid < quorum) cr_assert(members >= quorum);
        heavy += weight > part->spare[at];
    }
    if (unsaid >= quorum) cr_assert_eq(heavy, (1u << n) - 1);
}

static void check_stream(const struct world *w, const struct read_plan *p, uint32_t s, uint32_t ables)
{
    uint32_t node = p->node_of[s];
    cr_assert_eq(node == READ_NOBODY, ables == 0);
    cr_assert_eq(p->apart[s], is_apart(w, p, s));
    if (node == READ_NOBODY) return;
    cr_assert(ables >> node & 1, "stream %u: node %u may not be chosen", s, node);
    cr_assert(part_has(part_of(p, node), w->streams[s].id));
    check_sources(w, part_of(p, node), s);
}

static void check(const struct world *w, const struct read_plan *p)
{
    uint32_t ables[STREAMS_MAX], answered = 0, planned = 0, missing = 0;
    for (uint32_t s = 0; s < w->ask.nstreams; s++) {
        ables[s] = able(w, s);
        check_stream(w, p, s, ables[s]);
        answered += p->node_of[s] != READ_NOBODY;
        missing += !w->asked[s].vouched && away(w, s) >= MIN(w->asked[s].w, w->streams[s].n);
    }
    for (uint32_t i = 0; i < p->nparts; i++) {
        const struct read_part *part = &p->parts[i];
        bool lost = false;
        planned += part->nstreams;
        for (uint32_t k = 0; k < part->nstreams; k++)
            lost |= has_lost(w, part->node, part->streams[k]);
        cr_assert_eq(part->lost, lost);
    }
    cr_assert_eq(planned, answered, "a stream twice, or by nobody");
    cr_assert_eq(p->nmissing, missing);
    cr_assert_eq(missing == 0, p->why[0] == 0);
    uint32_t least = fewest(w, ables);
    cr_assert(p->nparts >= least && p->nparts <= least * (1 + log(answered ? answered : 1)) + 1e-9);
    if (least == 1) cr_assert_eq(p->nparts, 1);
}

Test(read_plan, keeps_its_promises)
{
    uint32_t several = 0, missing = 0, lacking = 0, apart = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = world_of(seed);
        struct read_plan p;
        read_plan_make(&w->ask, &w->a, &p);
        check(w, &p);
        several += p.nparts > 1;
        missing += p.nmissing > 0;
        apart += p.naparts > 0;
        for (uint32_t i = 0; i < p.nparts; i++)
            lacking += p.parts[i].nsources > 0;
        world_free(w);
    }
    cr_assert(several > 500 && missing > 500 && lacking > 500 && apart > 100, "%u %u %u %u", several, missing, lacking, apart);
}

/* Bytes of every part of many plans come back; no cut of them is taken, and no part that is not in order. */
static void check_bytes(const struct read_part *part, struct arena *a)
{
    struct buf b, again;
    struct read_part got;
    buf_init(&b, 1 << 20, NULL);
    read_part_put(part, &b);
    struct bytes_in in = bytes_in_of(buf_view(&b));
    cr_assert_eq(read_part_get(&in, a, &got), OK, "%s", err_detail());
    cr_assert_eq(bytes_in_left(&in), 0);
    buf_init(&again, 1 << 20, NULL);
    read_part_put(&got, &again);
    cr_assert(str_eq(buf_view(&b), buf_view(&again)));
    for (size_t n = 0; n < b.n; n++) {
        in = bytes_in_of(str_n(b.p, n));
        cr_assert_eq(read_part_get(&in, a, &got), ERR_CORRUPT);
    }
    if (part->nstreams > 1) {
        read_part_put(part, &again);
        uint64_t *ids = part->streams, first = ids[0];
        buf_deinit(&again);
        buf_init(&again, 1 << 20, NULL);
        ids[0] = ids[1];
        read_part_put(part, &again);
        ids[0] = first;
        in = bytes_in_of(buf_view(&again));
        cr_assert_eq(read_part_get(&in, a, &got), ERR_CORRUPT);
    }
    buf_deinit(&again);
    buf_deinit(&b);
}

Test(read_plan, parts_travel)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct world *w = world_of(seed);
        struct read_plan p;
        read_plan_make(&w->ask, &w->a, &p);
        for (uint32_t i = 0; i < p.nparts; i++)
            check_bytes(&p.parts[i], &w->a);
        world_free(w);
    }
}

/* -- by example --------------------------------------------------------------------------------------------- */

static struct read_node up(uint64_t id, uint32_t distance, uint32_t load, const struct store_sums *sums)
{
    return (struct read_node){ { id }, true, true, distance, load, 1, sums };
}

static struct stream members3(uint64_t a, uint64_t b, uint64_t c)
{
    struct stream s;
    stream_make((node_id[]){ { a }, { b }, { c } }, 3, &s);
    return s;
}

static void fill(struct cover *c, const struct stream *s, uint64_t last)
{
    cover_add_run(c, &(struct cover_run){ s->id, { 1 }, 1, 0, 1, last });
}

struct small { /* three nodes, one stream */
    struct arena a;
    struct stream s;
    struct cover c[3];
    struct store_sums sums[3];
    struct read_node nodes[3];
    struct read_stream asked;
    struct read_ask ask;
};
static void small_init(struct small *x)
{
    *x = (struct small){ .s = members3(1, 2, 3) };
    arena_init(&x->a, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        fill(&x->c[i], &x->s, 1000);
        x->nodes[i] = up(i + 1, i, 0, &x->sums[i]);
    }
    x->asked = (struct read_stream){ &x->s, 2, true, false };
    x->ask = (struct read_ask){ x->nodes, 3, &x->asked, 1, 7 };
}
static uint32_t chosen(struct small *x, uint32_t *missing)
{
    struct read_plan p;
    for (uint32_t i = 0; i < 3; i++) {
        store_sums_deinit(&x->sums[i]);
        sum_up(&x->c[i], &x->sums[i]);
    }
    read_plan_make(&x->ask, &x->a, &p);
    if (missing) *missing = p.nmissing;
    uint32_t node = p.node_of[0];
    return node;
}
static void small_deinit(struct small *x)
{
    for (uint32_t i = 0; i < 3; i++)
        cover_deinit(&x->c[i]), store_sums_deinit(&x->sums[i]);
    arena_deinit(&x->a);
}

Test(read_plan, oneself_when_one_has_nearly_all)
{
    struct small x;
    small_init(&x);
    cr_assert_eq(chosen(&x, NULL), 0);
    fill(&x.c[1], &x.s, 1050); /* on its way here */
    cr_assert_eq(chosen(&x, NULL), 0);
    fill(&x.c[1], &x.s, 1200); /* much is missing here, and at node 2 too */
    cr_assert_eq(chosen(&x, NULL), 1);
    fill(&x.c[2], &x.s, 1190);
    cr_assert_eq(chosen(&x, NULL), 1);
    x.nodes[1].healthy = false;
    cr_assert_eq(chosen(&x, NULL), 2);
    x.nodes[2].reachable = false; /* then the sick one, which has all */
    cr_assert_eq(chosen(&x, NULL), 1);
    small_deinit(&x);
}

Test(read_plan, complete_while_fewer_than_w_are_out_of_reach)
{
    struct small x;
    uint32_t missing;
    small_init(&x);
    x.nodes[1].reachable = false;
    chosen(&x, &missing);
    cr_assert_eq(missing, 0);
    x.nodes[2].reachable = false;
    chosen(&x, &missing);
    cr_assert_eq(missing, 1);
    x.asked.vouched = true;
    chosen(&x, &missing);
    cr_assert_eq(missing, 0);
    x.asked.vouched = false;
    x.asked.w = 9; /* all three, so two may be away */
    chosen(&x, &missing);
    cr_assert_eq(missing, 0);
    x.asked.w = 1;
    x.nodes[2].reachable = true;
    chosen(&x, &missing);
    cr_assert_eq(missing, 1);
    small_deinit(&x);
}

Test(read_plan, of_equal_ones_the_nearest_then_the_least_loaded_then_by_seed)
{
    struct small x;
    uint32_t times[3] = { 0 };
    small_init(&x);
    for (uint32_t i = 0; i < 3; i++)
        x.nodes[i].distance = 1;
    for (x.ask.seed = 0; x.ask.seed < 300; x.ask.seed++)
        times[chosen(&x, NULL)]++;
    for (uint32_t i = 0; i < 3; i++)
        cr_assert(times[i] > 50, "%u %u %u", times[0], times[1], times[2]);
    x.nodes[0].load = x.nodes[2].load = 5;
    cr_assert_eq(chosen(&x, NULL), 1);
    x.nodes[2].distance = 0;
    cr_assert_eq(chosen(&x, NULL), 2);
    small_deinit(&x);
}

/* Node 1 asks; node 2 can answer for both streams, so that a trace in both lies at one node. */
Test(read_plan, streams_that_share_a_node_go_there)
{
    struct arena a;
    struct stream s[2] = { members3(1, 2, 3), members3(2, 4, 5) };
    struct cover c[3] = { { 0 } };
    struct store_sums sums[3];
    struct read_plan p;
    arena_init(&a, NULL);
    fill(&c[0], &s[0], 100);
    fill(&c[1], &s[0], 100);
    fill(&c[1], &s[1], 100);
    fill(&c[2], &s[1], 100);
    for (uint32_t i = 0; i < 3; i++)
        sum_up(&c[i], &sums[i]);
    struct read_node nodes[] = { up(1, 0, 0, &sums[0]), up(2, 3, 0, &sums[1]), up(4, 1, 0, &sums[2]) };
    struct read_stream asked[] = { { &s[0], 2, false, false }, { &s[1], 2, true, false } };
    struct read_ask ask = { nodes, 3, asked, 2, 1 };
    read_plan_make(&ask, &a, &p);
    cr_assert(p.nparts == 1 && p.parts[0].node == 1 && p.naparts == 0);
    nodes[1].reachable = false; /* no node has both */
    read_plan_make(&ask, &a, &p);
    cr_assert(p.nparts == 2 && p.naparts == 2 && p.apart[0] && p.apart[1]);
    asked[0].current = true; /* two streams that are written to now have no partition in common */
    read_plan_make(&ask, &a, &p);
    cr_assert_eq(p.naparts, 0);
    for (uint32_t i = 0; i < 3; i++)
        cover_deinit(&c[i]), store_sums_deinit(&sums[i]);
    arena_deinit(&a);
}
