/* Which disks a power cut may leave behind, and what becomes of them.
 *
 * At a place where few decisions are open all disks are made (an odometer over the decisions); elsewhere those where
 * nothing unsynced survived, those where all of it did, and seeded ones with shares of their own. Disks are told
 * apart by the hash of names, contents and catalog: one that is possible at several places is tried at the last of
 * them, where most is acked. */
#include "tests/crash/crash.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/htab.h"
#include "base/core/metric.h"
#include "base/rt/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>

enum { DIGITS_MAX = 512, ODOMETER_MAX = 96, SEEDED = 24, AGAIN_ONE_IN = 5 };

/* -- decisions ---------------------------------------------------------------------------------------------- */

enum how { HOW_DIGITS, HOW_NONE, HOW_ALL, HOW_SEEDED };
struct chooser {
    struct sim_pick by;
    enum how how;
    struct prng rnd;
    double keep, tear, fly; /* shares, of HOW_SEEDED */
    unsigned n, at;         /* digits known; the next */
    uint16_t digit[DIGITS_MAX], bound[DIGITS_MAX];
};

static uint64_t seeded(struct chooser *c, enum sim_pick_kind kind, uint64_t n)
{
    switch (kind) {
    case SIM_PICK_WRITE: return prng_chance(&c->rnd, c->tear) ? 2 : prng_chance(&c->rnd, c->keep);
    case SIM_PICK_NAME:
    case SIM_PICK_SIZE:
    case SIM_PICK_PIECE: return prng_chance(&c->rnd, c->keep);
    case SIM_PICK_FLIGHT: return prng_chance(&c->rnd, c->fly);
    default: return prng_below(&c->rnd, n);
    }
}

/* Everything under way and unsynced happened, or nothing. */
static uint64_t whole(enum how how, enum sim_pick_kind kind, uint64_t n)
{
    if (how == HOW_NONE || kind == SIM_PICK_SECTOR || kind == SIM_PICK_ORDER) return 0;
    return kind == SIM_PICK_WRITE ? 1 : n - 1;
}

static uint64_t choose(struct sim_pick *by, enum sim_pick_kind kind, uint64_t n)
{
    struct chooser *c = CONTAINER_OF(by, struct chooser, by);
    unsigned at = c->at++;
    if (at >= DIGITS_MAX || n > UINT16_MAX) return 0; /* more than can be told apart here is lost */
    if (c->how != HOW_DIGITS) {
        c->digit[at] = (uint16_t)(c->how == HOW_SEEDED ? seeded(c, kind, n) : whole(c->how, kind, n));
        c->n = at + 1;
    } else if (at >= c->n) {
        /* Any of a directory's changes may survive: that covers every prefix. Sectors of 512 bytes are left to the seeded. */
        c->digit[at] = kind == SIM_PICK_ORDER;
        c->n = at + 1;
        if (kind == SIM_PICK_ORDER || kind == SIM_PICK_SECTOR) n = c->digit[at] + 1u;
        c->bound[at] = (uint16_t)n;
    }
    return c->digit[at];
}

/* The next setting of the odometer; false when all were seen. */
static bool advance(struct chooser *c)
{
    ASSERT(c->how == HOW_DIGITS);
    for (c->n = c->at; c->n > 0; c->n--)
        if (c->digit[c->n - 1] + 1u < c->bound[c->n - 1]) {
            c->digit[c->n - 1]++;
            return true;
        }
    return false;
}

/* The disk, the catalog and the bucket that these decisions leave. */
static void image_make(struct cut *at, struct chooser *c, struct sim_stats *stats, struct image *out)
{
    c->at = 0;
    out->kv = kv_copy(at->kv);
    out->shelf = shelf_copy(&at->shelf);
    for (unsigned i = 0; i < at->nunder_way; i++)
        if (choose(&c->by, SIM_PICK_FLIGHT, 2)) kv_apply(out->kv, &at->tape->kv[at->kv_under_way[i]]);
    for (unsigned i = 0; i < at->nobjects_under_way; i++)
        if (choose(&c->by, SIM_PICK_FLIGHT, 2)) shelf_apply(&out->shelf, at->tape->objects[at->objects_under_way[i]]);
    out->disk = sim_player_crash(at->disk, &c->by, stats);
}
void image_free(struct image *m)
{
    sim_disk_free(m->disk);
    kv_mem_free(m->kv);
    shelf_free(&m->shelf);
}
uint64_t image_hash(const struct image *m)
{
    return hash_u64(sim_disk_hash(m->disk) ^ hash_u64(kv_hash(m->kv)) ^ shelf_hash(&m->shelf));
}

void image_seeded(struct cut *at, uint64_t seed, struct sim_stats *stats, struct image *out)
{
    struct chooser c = { .by.fn = choose, .how = HOW_SEEDED };
    prng_init(&c.rnd, seed);
    c.keep = prng_unit(&c.rnd);
    c.tear = prng_unit(&c.rnd) / 2;
    c.fly = 0.5;
    image_make(at, &c, stats, out);
}

/* -- candidates ----------------------------------------------------------------------------------------------- */

struct candidate {
    uint64_t hash, order; /* order: who is tried first */
    size_t place;
    uint32_t number;      /* among all, before any was left out */
    uint16_t ndigits;
    uint16_t *digits;     /* in the arena */
};
struct candidates {
    struct arena mem;
    struct candidate *v;
    size_t n, cap;
    struct htab index;
    struct prng rnd;
};

static void add(struct candidates *cs, struct cut *at, struct chooser *c)
{
    struct image m;
    image_make(at, c, NULL, &m);
    uint64_t h = image_hash(&m);
    image_free(&m);
    if (c->at > DIGITS_MAX) return;
    struct candidate *k = NULL;
    for (uint32_t it = 0, v; htab_next(&cs->index, h, &it, &v);)
        if (cs->v[v].hash == h) k = &cs->v[v];
    if (!k) {
        cs->v = arena_grow(&cs->mem, cs->v, cs->n, &cs->cap, cs->n + 1, sizeof *cs->v);
        htab_insert(&cs->index, h, (uint32_t)cs->n);
        k = &cs->v[cs->n++];
    } else if (k->place == at->place) {
        return;
    }
    *k = (struct candidate){ .hash = h, .order = prng_next(&cs->rnd) | 1, .place = at->place, .ndigits = (uint16_t)c->n,
                             .digits = arena_dup(&cs->mem, c->digit, c->n * sizeof c->digit[0]) };
}

static void candidates_at(struct candidates *cs, struct cut *at, struct tally *sum)
{
    struct chooser c = { .by.fn = choose, .how = HOW_DIGITS };
    unsigned seen = 0;
    bool more = true;
    sum->places++;
    for (; more && seen < ODOMETER_MAX; seen++) {
        add(cs, at, &c);
        more = advance(&c);
    }
    sum->complete += !more;
    if (seen < 2) return; /* nothing to decide */
    if (more) {
        c.how = HOW_NONE;
        add(cs, at, &c);
        c.how = HOW_ALL;
        add(cs, at, &c);
    }
    c.how = HOW_SEEDED;
    for (unsigned i = 0; i < SEEDED; i++) {
        prng_init(&c.rnd, prng_next(&cs->rnd));
        c.keep = prng_unit(&c.rnd);
        c.tear = prng_chance(&c.rnd, 0.5) ? 0 : prng_unit(&c.rnd);
        c.fly = prng_unit(&c.rnd);
        add(cs, at, &c);
    }
}

static int by_order(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}
static int by_place(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return by_order(a, b);
}

static void find_candidates(struct candidates *cs, struct cut *at, uint64_t seed, struct tally *sum)
{
    *cs = (struct candidates){ 0 };
    arena_init(&cs->mem, NULL);
    htab_init(&cs->index, NULL);
    prng_init(&cs->rnd, seed);
    bool more;
    do {
        more = cut_next(at);
        candidates_at(cs, at, sum);
    } while (more);
    sum->candidates += cs->n;
    /* One of each place comes first, the rest as they are drawn. */
    qsort(cs->v, cs->n, sizeof *cs->v, by_place);
    for (size_t i = 0; i < cs->n; i++) {
        if (i == 0 || cs->v[i].place != cs->v[i - 1].place) cs->v[i].order >>= 32;
        cs->v[i].number = (uint32_t)i;
    }
    htab_deinit(&cs->index);
}

/* -- one state -------------------------------------------------------------------------------------------------- */

static uint64_t try_candidate(const struct work *w, struct cut *at, const struct candidate *k, struct tally *sum, uint64_t *again)
{
    struct chooser c = { .by.fn = choose, .how = HOW_DIGITS, .n = k->ndigits };
    struct image m;
    memcpy(c.digit, k->digits, k->ndigits * sizeof c.digit[0]);
    image_make(at, &c, &sum->faults, &m);
    uint64_t hash = image_hash(&m), seed = hash_u64(w->seed ^ k->hash);
    if (hash != k->hash) wrong("the same decisions left another disk");
    snprintf(current_place, sizeof current_place, " state %u (place %zu)", k->number, k->place);
    *again = 0;
    if (seed % AGAIN_ONE_IN == 0) {
        snprintf(current_place, sizeof current_place, " state %u (place %zu, power lost again in the recovery)", k->number, k->place);
        *again = try_again(w, at, &m, seed, sum);
        snprintf(current_place, sizeof current_place, " state %u (place %zu)", k->number, k->place);
    }
    try_image(w, at, &m, seed, at->wall_ns + NS_PER_S, sum);
    current_place[0] = 0;
    image_free(&m);
    return hash;
}

/* -- all of a workload ------------------------------------------------------------------------------------------- */

static void count_work(struct tally *sum, int sign)
{
    sum->merges += (uint64_t)(sign * metric_sum(M_MERGES));
    sum->uploads += (uint64_t)(sign * metric_sum(M_OBJECT_UPLOADS));
    sum->evictions += (uint64_t)(sign * metric_sum(M_OBJECT_EVICTED_BYTES));
    sum->ballasts += (uint64_t)(sign * metric_sum(M_BALLAST_RELEASES));
}

void states_run(struct work *w, uint64_t quota, int64_t only, uint64_t *hashes, uint64_t *n, struct tally *sum, volatile uint64_t *now)
{
    struct tape tape;
    struct candidates cs;
    struct cut at;
    struct sim_disk *disk = sim_disk_new(DISK_BYTES), *empty = sim_disk_new(DISK_BYTES);
    struct kv *kv = kv_mem_new(), *none = kv_mem_new();
    const struct cut_from start = { .disk = empty, .kv = none };
    *n = 0;
    tape_init(&tape);
    count_work(sum, -1);
    work_record(w, &tape, disk, kv);
    count_work(sum, 1);
    sum->deletions += w->m.ndeletions;
    sum->keeps += w->m.nkeeps;
    cut_init(&at, &tape, &w->m, &start);
    find_candidates(&cs, &at, w->seed, sum);
    if (sim_disk_hash(disk) == 0 || kv_hash(kv) != kv_hash(at.kv)) wrong("the tape plays another catalog");
    cut_deinit(&at);
    qsort(cs.v, cs.n, sizeof *cs.v, by_order);
    size_t take = only >= 0 ? cs.n : MIN(cs.n, quota);
    qsort(cs.v, take, sizeof *cs.v, by_place);
    cut_init(&at, &tape, &w->m, &start);
    for (size_t i = 0; i < take && *n < quota; i++) {
        if (only >= 0 && cs.v[i].number != only) continue;
        uint64_t again;
        while (at.place < cs.v[i].place)
            (void)cut_next(&at);
        *now = cs.v[i].number;
        hashes[(*n)++] = try_candidate(w, &at, &cs.v[i], sum, &again);
        if (again && *n < quota) hashes[(*n)++] = again;
    }
    cut_deinit(&at);
    arena_deinit(&cs.mem);
    tape_deinit(&tape);
    sim_disk_free(disk);
    sim_disk_free(empty);
    kv_mem_free(kv);
    kv_mem_free(none);
}
