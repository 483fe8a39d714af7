#include "cluster/placement.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/htab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct spot { /* a node that takes partitions */
    node_id id;
    uint64_t zone;
    uint32_t weight;
    uint32_t zone_idx; /* equal zones, equal numbers */
};

struct placement {
    struct place_tenant of;
    uint32_t n, nzones, partitions, rf; /* rf: as asked for */
    struct spot *spots;  /* by id */
    uint64_t *hash;      /* of the ids, */
    double *weight;      /* and the weights, apart: what the inner loop reads */
    uint16_t *holders;   /* [partitions * rf]: spots of each partition, ascending; MIN(rf, n) of them */
    uint32_t *stream_of; /* [partitions] */
    uint32_t nstreams;
    struct stream *streams;
};

/* -- the cost ------------------------------------------------------------------------------------------------ */

/* -ln(1 - t), 0 < t < 1 a multiple of 2^-53, by + - * / only, the results of which IEEE 754 fixes: libm's differ by their last
 * bits. With u = 1 - t scaled into [1/2, 1) and s = (1 - u) / (1 + u): -ln(u) = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 ...). */
static double minus_ln_1m(double t)
{
    static const double odd[] = { 1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17,
                                  1.0 / 19, 1.0 / 21, 1.0 / 23, 1.0 / 25, 1.0 / 27, 1.0 / 29, 1.0 / 31, 1.0 / 33 };
    const double ln2 = 0x1.62e42fefa39efp-1;
    double u = 1 - t, halvings = 0;
    while (u < 0.5) {
        u *= 2;
        halvings++;
    }
    double s = (1 - u) / (1 + u), x = s * s, sum = 0;
    for (uint32_t i = x < 0x1p-12 ? 5 : (uint32_t)ARRAY_LEN(odd); i-- > 0;)
        sum = sum * x + odd[i];
    return halvings * ln2 + 2 * s * sum;
}

static uint64_t id_hash(node_id id) { return hash_u64(id.u); }
static uint64_t key_hash(uint64_t key) { return hash_u64(key + UINT64_C(0x9e3779b97f4a7c15)); }

/* 1 - u: even in (0, 1). */
static double draw(uint64_t key, uint64_t node)
{
    return ((double)(int64_t)(hash_u64(key ^ node) >> 12) + 0.5) * 0x1p-52;
}

static double cost_of(uint64_t key, uint64_t node, double weight) { return minus_ln_1m(draw(key, node)) / weight; }

/* -- who holds a partition ------------------------------------------------------------------------------------- */

struct cand {
    double cost;
    uint32_t spot;
};
struct picks { /* the holders so far */
    uint32_t n, rf, zones_max; /* zones_max: as many different ones as there can be */
    double bar;                /* a node of a higher cost does not change them */
    struct cand c[STREAM_MEMBERS_MAX + 1];
};

static bool before(struct cand a, struct cand b)
{
    return a.cost != b.cost ? a.cost < b.cost : a.spot < b.spot;
}

/* Is there a better one in its zone? */
static bool is_second(const struct placement *p, const struct picks *s, uint32_t i)
{
    for (uint32_t k = 0; k < s->n; k++)
        if (p->spots[s->c[k].spot].zone_idx == p->spots[s->c[i].spot].zone_idx && before(s->c[k], s->c[i])) return true;
    return false;
}

/* Adds one. Of more than rf the worst goes of those that are second in their zone, else the worst of all. What is left is what taking
 * all nodes in the order of their cost would give: a node that went only falls further behind as others come. */
static void consider(const struct placement *p, struct picks *s, struct cand x)
{
    s->c[s->n++] = x;
    uint32_t worst = 0, worst_second = 0, seconds = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (before(s->c[worst], s->c[i])) worst = i;
        if (!is_second(p, s, i)) continue;
        if (seconds++ == 0 || before(s->c[worst_second], s->c[i])) worst_second = i;
    }
    if (s->n > s->rf) {
        s->c[seconds ? worst_second : worst] = s->c[s->n - 1];
        s->n--;
        seconds -= seconds > 0;
    }
    if (s->n < s->rf || s->n - seconds < s->zones_max) return;
    s->bar = 0;
    for (uint32_t i = 0; i < s->n; i++)
        s->bar = MAX(s->bar, s->c[i].cost);
}

static struct picks picks_none(const struct placement *p)
{
    uint32_t rf = MIN(p->rf, p->n);
    return (struct picks){ .rf = rf, .zones_max = MIN(rf, p->nzones), .bar = INFINITY };
}

static void set_holders(struct placement *p, uint32_t partition, const struct picks *s)
{
    uint16_t *h = &p->holders[(size_t)partition * p->rf];
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t at = i;
        for (; at > 0 && h[at - 1] > s->c[i].spot; at--)
            h[at] = h[at - 1];
        h[at] = (uint16_t)s->c[i].spot;
    }
}

/* Takes the node up unless its draw says that it cannot hold the partition: -ln(1 - t) >= t, which needs no logarithm, and few nodes
 * get further. The bar is raised by more than the rounding of either side. */
static void try(const struct placement *p, struct picks *s, uint64_t key, uint32_t spot)
{
    double t = draw(key, p->hash[spot]), weight = p->weight[spot];
    if (t < s->bar * (1 + 0x1p-40) * weight) consider(p, s, (struct cand){ minus_ln_1m(t) / weight, spot });
}

static void choose(struct placement *p, uint32_t partition)
{
    uint64_t key = key_hash(partition);
    struct picks s = picks_none(p);
    for (uint32_t i = 0; i < p->n; i++)
        try(p, &s, key, i);
    set_holders(p, partition, &s);
}

/* -- nodes ------------------------------------------------------------------------------------------------------- */

static int by_id(const void *pa, const void *pb)
{
    const struct spot *a = pa, *b = pb;
    return (a->id.u > b->id.u) - (a->id.u < b->id.u);
}
static int by_number(const void *pa, const void *pb)
{
    const uint64_t *a = pa, *b = pb;
    return (*a > *b) - (*a < *b);
}

static void *array(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    ASSERT(p);
    return p;
}

static void number_zones(struct placement *p)
{
    uint64_t *zones = array(p->n, sizeof *zones);
    uint32_t n = 0, distinct = 0;
    for (uint32_t i = 0; i < p->n; i++)
        if (p->spots[i].zone) zones[n++] = p->spots[i].zone;
    qsort(zones, n, sizeof *zones, by_number);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || zones[i] != zones[distinct - 1]) zones[distinct++] = zones[i];
    p->nzones = distinct;
    for (uint32_t i = 0; i < p->n; i++) {
        struct spot *s = &p->spots[i];
        const uint64_t *z = s->zone ? bsearch(&s->zone, zones, distinct, sizeof *zones, by_number) : NULL;
        s->zone_idx = z ? (uint32_t)(z - zones) : p->nzones++;
    }
    free(zones);
}

static err_t take_nodes(struct placement *p, const struct place_node *nodes, uint32_t n)
{
    p->spots = array(n, sizeof *p->spots);
    p->hash = array(n, sizeof *p->hash);
    p->weight = array(n, sizeof *p->weight);
    for (uint32_t i = 0; i < n; i++)
        p->spots[i] = (struct spot){ nodes[i].id, nodes[i].zone, nodes[i].weight, 0 };
    qsort(p->spots, n, sizeof *p->spots, by_id);
    for (uint32_t i = 1; i < n; i++)
        if (p->spots[i].id.u == p->spots[i - 1].id.u)
            return err_set(ERR_INVALID, "placement: node %016llx twice", (unsigned long long)p->spots[i].id.u);
    for (uint32_t i = 0; i < n; i++)
        if (p->spots[i].weight > 0) p->spots[p->n++] = p->spots[i];
    if (p->n == 0) return err_set(ERR_INVALID, "placement: none of %u nodes takes data", n);
    number_zones(p);
    return OK;
}

/* -- the nodes of a tenant --------------------------------------------------------------------------------------- */

struct drawn {
    double cost;
    uint32_t spot, zone_idx, nth; /* nth: of its zone, by cost */
};

static int by_zone_and_cost(const void *pa, const void *pb)
{
    const struct drawn *a = pa, *b = pb;
    if (a->zone_idx != b->zone_idx) return a->zone_idx < b->zone_idx ? -1 : 1;
    if (a->cost != b->cost) return a->cost < b->cost ? -1 : 1;
    return (a->spot > b->spot) - (a->spot < b->spot);
}

static int by_round(const void *pa, const void *pb)
{
    const struct drawn *a = pa, *b = pb;
    if (a->nth != b->nth) return a->nth < b->nth ? -1 : 1;
    if (a->cost != b->cost) return a->cost < b->cost ? -1 : 1;
    return (a->spot > b->spot) - (a->spot < b->spot);
}

static int by_spot(const void *pa, const void *pb)
{
    const struct drawn *a = pa, *b = pb;
    return (a->spot > b->spot) - (a->spot < b->spot);
}

/* Leaves those of the tenant, where it has few: the first of each zone by cost, then the second ones, ... */
static void draw_nodes(struct placement *p)
{
    uint32_t wanted = MAX(p->of.nodes, p->rf);
    if (p->of.nodes && wanted < p->n) {
        struct drawn *v = array(p->n, sizeof *v);
        for (uint32_t i = 0; i < p->n; i++)
            v[i] = (struct drawn){ cost_of(key_hash(p->of.draw), id_hash(p->spots[i].id), p->spots[i].weight), i, p->spots[i].zone_idx, 0 };
        qsort(v, p->n, sizeof *v, by_zone_and_cost);
        for (uint32_t i = 1; i < p->n; i++)
            v[i].nth = p->spots[v[i].spot].zone && v[i].zone_idx == v[i - 1].zone_idx ? v[i - 1].nth + 1 : 0;
        qsort(v, p->n, sizeof *v, by_round);
        qsort(v, wanted, sizeof *v, by_spot);
        for (uint32_t i = 0; i < wanted; i++)
            p->spots[i] = p->spots[v[i].spot];
        p->n = wanted;
        free(v);
        number_zones(p);
    }
    for (uint32_t i = 0; i < p->n; i++) {
        p->hash[i] = id_hash(p->spots[i].id);
        p->weight[i] = p->spots[i].weight;
    }
}

/* -- streams ----------------------------------------------------------------------------------------------------- */

/* Of streams with the same members, partitions by partition. */
struct naming {
    struct placement *p;
    struct htab known;   /* by the members */
    uint32_t cap, *size; /* [nstreams]: partitions */
};

static uint32_t stream_of_members(struct naming *x, const node_id *ids, uint32_t n)
{
    struct placement *p = x->p;
    uint64_t key = hash64(str_n((const char *)ids, n * sizeof *ids));
    for (uint32_t it = 0, at; htab_next(&x->known, key, &it, &at);)
        if (memcmp(p->streams[at].members, ids, n * sizeof *ids) == 0) return at;
    if (p->nstreams == x->cap) {
        x->cap = x->cap ? x->cap * 2 : 16;
        p->streams = realloc(p->streams, x->cap * sizeof *p->streams);
        x->size = realloc(x->size, x->cap * sizeof *x->size);
        ASSERT(p->streams && x->size);
    }
    p->streams[p->nstreams] = (struct stream){ .n = n, .rows = { .tenant = p->of.tenant, .quorum = p->of.quorum } };
    memcpy(p->streams[p->nstreams].members, ids, n * sizeof *ids);
    x->size[p->nstreams] = 0;
    htab_insert(&x->known, key, p->nstreams);
    return p->nstreams++;
}

static void name_streams(struct placement *p)
{
    struct naming x = { .p = p };
    uint32_t members = MIN(p->rf, p->n);
    htab_init(&x.known, NULL);
    for (uint32_t i = 0; i < p->partitions; i++) {
        node_id ids[STREAM_MEMBERS_MAX]; /* ascending, as the spots are */
        const uint16_t *h = &p->holders[(size_t)i * p->rf];
        for (uint32_t k = 0; k < members; k++)
            ids[k] = p->spots[h[k]].id;
        uint32_t at = p->stream_of[i] = stream_of_members(&x, ids, members);
        p->streams[at].rows.set += hash_u64(i + UINT64_C(0x9e3779b97f4a7c15));
        p->streams[at].rows.partitions |= UINT64_C(1) << i % 64;
        x.size[at]++;
    }
    for (uint32_t i = 0; i < p->nstreams; i++) {
        struct stream *st = &p->streams[i];
        if (x.size[i] == p->partitions) {
            st->rows.set = 0;
            st->rows.partitions = UINT64_MAX;
        } else if (st->rows.set == 0) {
            st->rows.set = 1;
        }
        st->id = stream_id_of(st);
    }
    htab_deinit(&x.known);
    free(x.size);
}

/* -- placements -------------------------------------------------------------------------------------------------- */

static err_t begin(const struct place_tenant *of, const struct place_node *nodes, uint32_t n, uint32_t partitions, uint32_t rf, struct placement **out)
{
    if (n > PLACEMENT_NODES_MAX) return err_set(ERR_INVALID, "placement: %u nodes, at most %d", n, PLACEMENT_NODES_MAX);
    if (partitions < 1 || partitions > PLACEMENT_PARTITIONS_MAX || (partitions & (partitions - 1)))
        return err_set(ERR_INVALID, "placement: %u partitions; a power of two of at most %d", partitions, PLACEMENT_PARTITIONS_MAX);
    if (rf < 1 || rf > STREAM_MEMBERS_MAX)
        return err_set(ERR_INVALID, "placement: %u copies; at least 1 and at most %d", rf, STREAM_MEMBERS_MAX);
    struct placement *p = array(1, sizeof *p);
    p->of = *of;
    p->partitions = partitions;
    p->rf = rf;
    err_t e = take_nodes(p, nodes, n);
    if (e == OK) draw_nodes(p);
    if (e != OK) {
        placement_free(p);
        return e;
    }
    p->holders = array((size_t)partitions * rf, sizeof *p->holders);
    p->stream_of = array(partitions, sizeof *p->stream_of);
    *out = p;
    return OK;
}

err_t placement_new(const struct place_node *nodes, uint32_t n, uint32_t partitions, uint32_t rf, struct placement **out)
{
    return placement_new_of(&(struct place_tenant){ 0 }, nodes, n, partitions, rf, out);
}

err_t placement_new_of(const struct place_tenant *of, const struct place_node *nodes, uint32_t n, uint32_t partitions, uint32_t rf,
                       struct placement **out)
{
    struct placement *p;
    TRY(begin(of, nodes, n, partitions, rf, &p));
    for (uint32_t i = 0; i < partitions; i++)
        choose(p, i);
    name_streams(p);
    *out = p;
    return OK;
}

enum { GONE = UINT16_MAX };

struct change {
    const struct placement *was;
    struct placement *p;
    uint16_t *now;  /* [was->n]: which spot a node has now; GONE also when it draws worse, or in another zone */
    uint16_t *came; /* spots that may take from others: new ones, and those that draw better or in another zone */
    uint32_t ncame;
};

static void compare(struct change *x)
{
    const struct placement *was = x->was;
    uint32_t i = 0, k = 0;
    while (i < was->n || k < x->p->n) {
        const struct spot *a = i < was->n ? &was->spots[i] : NULL, *b = k < x->p->n ? &x->p->spots[k] : NULL;
        if (!b || (a && a->id.u < b->id.u)) {
            x->now[i++] = GONE;
        } else if (!a || b->id.u < a->id.u) {
            x->came[x->ncame++] = (uint16_t)k++;
        } else {
            bool moved = a->zone != b->zone;
            x->now[i++] = moved || b->weight < a->weight ? GONE : (uint16_t)k;
            if (moved || b->weight > a->weight) x->came[x->ncame++] = (uint16_t)k;
            k++;
        }
    }
}

/* The holders of before. False: one of them is gone, or they are fewer than there can be. */
static bool keep(const struct change *x, uint32_t partition, uint64_t key, struct picks *s)
{
    const uint16_t *was = &x->was->holders[(size_t)partition * x->was->rf];
    if (MIN(x->was->rf, x->was->n) < s->rf) return false;
    for (uint32_t i = 0; i < s->rf; i++)
        if (x->now[was[i]] == GONE) return false;
    for (uint32_t i = 0; i < s->rf; i++) {
        uint32_t spot = x->now[was[i]];
        consider(x->p, s, (struct cand){ cost_of(key, x->p->hash[spot], x->p->weight[spot]), spot });
    }
    return true;
}

static bool is_in(const struct picks *s, uint32_t spot)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->c[i].spot == spot) return true;
    return false;
}

/* The holders of a set of nodes and others are those of the holders of the set, and the others. */
static void choose_again(const struct change *x, uint32_t partition)
{
    uint64_t key = key_hash(partition);
    struct picks s = picks_none(x->p);
    if (!keep(x, partition, key, &s)) {
        choose(x->p, partition);
        return;
    }
    for (uint32_t i = 0; i < x->ncame; i++)
        if (!is_in(&s, x->came[i])) try(x->p, &s, key, x->came[i]);
    set_holders(x->p, partition, &s);
}

err_t placement_next(const struct placement *was, const struct place_node *nodes, uint32_t n, struct placement **out)
{
    struct change x = { .was = was };
    TRY(begin(&was->of, nodes, n, was->partitions, was->rf, &x.p));
    x.now = array(was->n, sizeof *x.now);
    x.came = array(x.p->n, sizeof *x.came);
    compare(&x);
    for (uint32_t i = 0; i < was->partitions; i++)
        choose_again(&x, i);
    free(x.now);
    free(x.came);
    name_streams(x.p);
    *out = x.p;
    return OK;
}

void placement_free(struct placement *p)
{
    if (!p) return;
    free(p->spots);
    free(p->hash);
    free(p->weight);
    free(p->holders);
    free(p->stream_of);
    free(p->streams);
    free(p);
}

uint32_t placement_streams(const struct placement *p, const struct stream **out)
{
    *out = p->streams;
    return p->nstreams;
}

const uint32_t *placement_map(const struct placement *p) { return p->stream_of; }

uint32_t placement_of(const struct placement *p, uint32_t partition)
{
    ASSERT(partition < p->partitions);
    return p->stream_of[partition];
}

/* -- the order of all ---------------------------------------------------------------------------------------------- */

struct ranked {
    double cost;
    node_id id;
};

static int by_cost(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    if (a->cost != b->cost) return a->cost < b->cost ? -1 : 1;
    return (a->id.u > b->id.u) - (a->id.u < b->id.u);
}

uint32_t placement_order(const struct place_node *nodes, uint32_t n, uint64_t key, node_id *out)
{
    struct ranked *all = array(n, sizeof *all);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (nodes[i].weight > 0)
            all[count++] = (struct ranked){ cost_of(key_hash(key), id_hash(nodes[i].id), nodes[i].weight), nodes[i].id };
    qsort(all, count, sizeof *all, by_cost);
    for (uint32_t i = 0; i < count; i++)
        out[i] = all[i].id;
    free(all);
    return count;
}
