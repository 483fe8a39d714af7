/* A disk that a power cut left, tried: the production store recovers from it and is held against what was known then.
 *
 *   - always: opens, everything acked is there, what was deleted is not; takes more, seals, restarts (tests/sim/settle.h)
 *   - now and then a segment's file is away at the start, and put back while the store runs
 *   - with a bucket: what had been uploaded by then is read from it on an empty disk, and so is everything after the store
 *     went on and uploaded the rest; the power goes in the midst of that, too
 *   - again: the power goes while it recovers, up to AGAIN_DEPTH times in a row */
#include "tests/crash/crash.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/metric.h"
#include "base/rt/file.h"
#include "base/rt/sim_disk.h"
#include "storage/object_tier.h"
#include "tests/sim/settle.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MORE_REQUESTS = 2, AGAIN_DEPTH = 3, PUT_BACK_S = 70, PATIENCE = 600 };

struct recovery {
    struct model *m;
    struct store_opts opts;
    struct prng rnd;
    const struct image *from;
    struct tape *tape;      /* records, when there is one */
    bool uploads;           /* all, before it ends */
    struct tally *sum;
};

static void must(err_t e, const char *what)
{
    if (e != OK) wrong("%s after a power cut: %s: %s", what, err_name(e), err_detail());
}

/* Runs fn in a fiber of core 0 over the image's disk, with its bucket. */
static void recover(struct recovery *r, int64_t wall_ns, err_t (*fn)(void *arg))
{
    struct sim_opts o = { .wall_start_ns = wall_ns, .tape = r->tape ? r->tape->disk : NULL };
    struct sim_result res;
    unsigned cores = 1 + (unsigned)prng_below(&r->rnd, 3);
    sim_run(prng_next(&r->rnd), cores, r->from->disk, &o, fn, r, &res);
    if (res.stuck || res.crashed) wrong("stuck after a power cut");
    must(res.result, "recovery");
}

/* -- with its bucket ------------------------------------------------------------------------------------------------- */

struct bucket { /* of a recovery */
    struct object_store *mem, *taped;
};
static void bucket_open(struct recovery *r, struct bucket *b)
{
    *b = (struct bucket){ 0 };
    if (!r->opts.durable) return;
    b->mem = object_mem_new();
    shelf_fill(&r->from->shelf, b->mem);
    if (r->tape) b->taped = tape_bucket_new(r->tape, b->mem);
    r->opts.object = r->tape ? b->taped : b->mem;
}
static void bucket_close(struct bucket *b)
{
    free(b->taped);
    if (b->mem) object_mem_free(b->mem);
}

/* -- what is done with it ---------------------------------------------------------------------------------------------- */

/* To be cut short. */
static err_t open_main(void *arg)
{
    struct recovery *r = arg;
    struct bucket b;
    struct store *s;
    bucket_open(r, &b);
    must(store_open(&r->opts, &s), "open");
    if (prng_chance(&r->rnd, 0.5)) must(store_seal(s), "seal");
    if (r->opts.merge_bytes || r->opts.durable) must(fiber_sleep((int64_t)prng_below(&r->rnd, 2000) * NS_PER_MS), "sleep");
    store_close(s);
    bucket_close(&b);
    return OK;
}

/* One of the segments' files, moved out of the way: its name, or NULL. */
static const char *take_away(struct recovery *r, struct arena *a)
{
    struct str *names;
    size_t n;
    if (fs_list("/data/seg", a, &names, &n) != OK || n == 0) return NULL;
    struct str name = names[prng_below(&r->rnd, n)];
    if (!str_ends(name, STR(".seg"))) return NULL;
    const char *path = arena_printf(a, "/data/seg/" STR_FMT, STR_ARG(name)).p;
    ASSERT(sim_disk_rename(r->from->disk, path, "/data/aside") == 0);
    return path;
}

static void put_back(struct recovery *r)
{
    struct arena a;
    struct store *s;
    struct store_stats st;
    struct store_opts calm = r->opts;
    arena_init(&a, NULL);
    calm.merge_bytes = 0;
    const char *path = take_away(r, &a);
    if (path) {
        must(store_open(&calm, &s), "open without a segment");
        must(model_check(r->m, s, NULL, 0), "check without a segment");
        ASSERT(sim_disk_rename(r->from->disk, "/data/aside", path) == 0);
        uint64_t lost_reads = r->m->lost_reads;
        for (unsigned k = 0; store_stats(s, &st), st.lost > 0; k++) {
            if (k == PUT_BACK_S) wrong("%s is back, and not read again", path);
            must(fiber_sleep(NS_PER_S), "sleep");
        }
        must(model_check(r->m, s, NULL, 0), "check with the segment");
        if (r->m->lost_reads != lost_reads) wrong("%s is back, and something is missing", path);
        store_close(s);
        r->sum->put_back++;
    }
    arena_deinit(&a);
}

static void upload(struct recovery *r)
{
    struct store *s;
    struct store_stats st;
    must(store_open(&r->opts, &s), "open");
    must(store_seal(s), "seal");
    for (unsigned k = 0;; k++) {
        must(fiber_sleep(NS_PER_S), "sleep");
        store_stats(s, &st);
        if (metric_sum(M_OBJECT_SEGMENTS) == st.segments && metric_sum(M_OBJECT_BACKLOG) == 0) break;
        if (k == PATIENCE) wrong("uploads do not end after a power cut");
    }
    if (metric_sum(M_OBJECT_FENCED)) wrong("fenced by nobody after a power cut");
    must(fiber_sleep((TIER_LOOK_S + 2) * NS_PER_S), "sleep");
    must(model_check(r->m, s, NULL, 0), "check beside the bucket");
    store_close(s);
}

static err_t whole_main(void *arg)
{
    struct recovery *r = arg;
    struct bucket b;
    bucket_open(r, &b);
    if (prng_chance(&r->rnd, 0.15)) put_back(r);
    struct settle x = { .m = r->m, .opts = r->opts, .after = "a power cut", .more = MORE_REQUESTS, .checks = &r->sum->checks };
    prng_init(&x.rnd, prng_next(&r->rnd));
    settle(&x);
    if (r->uploads) upload(r);
    bucket_close(&b);
    return OK;
}

/* The disk is lost: another node goes on from the bucket. */
static err_t takeover_main(void *arg)
{
    struct recovery *r = arg;
    struct bucket b;
    struct store *s;
    bucket_open(r, &b);
    for (uint32_t i = 0; i < r->m->nrequests; i++)
        r->m->requests[i].named = 0; /* what it covers is lost with the disk */
    for (unsigned k = 0; k < 2; k++) {
        uint64_t lost = r->m->lost_reads;
        must(store_open(&r->opts, &s), "open from the bucket");
        must(model_check(r->m, s, NULL, 0), "check from the bucket");
        if (r->m->lost_reads != lost) wrong("segments of the bucket cannot be read after a power cut");
        keep_check(r->m, s);
        store_close(s);
    }
    bucket_close(&b);
    return OK;
}

/* -- trials -------------------------------------------------------------------------------------------------------------- */

static struct recovery recovery_of(const struct work *w, struct model *m, const struct image *from, uint64_t seed, struct tally *sum)
{
    struct recovery r = { .m = m, .opts = w->opts, .from = from, .sum = sum };
    r.opts.kv = from->kv;
    prng_init(&r.rnd, seed);
    return r;
}

/* Records a recovery that may be cut anywhere, and cuts it. */
static void cut_short(struct recovery *r, const struct cut *at, int64_t wall_ns, struct image *left, int64_t *left_wall_ns)
{
    struct tape tape;
    struct cut again;
    const struct image *from = r->from;
    struct image work = { sim_disk_copy(from->disk, NULL, 0), kv_copy(from->kv), shelf_copy(&from->shelf) };
    const struct cut_from start = { from->disk, from->kv, &from->shelf, &at->known, &at->uploaded };
    tape_init(&tape);
    r->tape = &tape;
    r->from = &work;
    r->opts.kv = tape_kv_new(&tape, work.kv);
    recover(r, wall_ns, open_main);
    free(r->opts.kv);
    cut_init(&again, &tape, at->m, &start);
    size_t places = 1;
    while (cut_next(&again))
        places++;
    cut_deinit(&again);
    cut_init(&again, &tape, at->m, &start);
    for (size_t to = 1 + (size_t)prng_below(&r->rnd, places); again.place < to;)
        (void)cut_next(&again);
    image_seeded(&again, prng_next(&r->rnd), &r->sum->faults, left);
    *left_wall_ns = MAX(again.wall_ns, wall_ns) + NS_PER_S;
    cut_deinit(&again);
    tape_deinit(&tape);
    image_free(&work);
}

/* `left` is what the bucket holds; the model says what must be in it. */
static void take_over(const struct work *w, const struct cut *at, const struct shelf *shelf, struct model *m, uint64_t seed, int64_t wall_ns,
                      struct tally *sum)
{
    struct image empty = { sim_disk_new(DISK_BYTES), kv_mem_new(), shelf_copy(shelf) }, left;
    struct recovery r = recovery_of(w, m, &empty, seed, sum);
    r.opts.object_takeover = true;
    bool twice = prng_chance(&r.rnd, 0.5);
    if (twice) {
        struct recovery first = r;
        cut_short(&first, at, wall_ns, &left, &wall_ns);
        r.from = &left;
        r.opts.kv = left.kv;
    }
    recover(&r, wall_ns, takeover_main);
    sum->takeovers++;
    if (twice) image_free(&left);
    image_free(&empty);
}

static void early_takeover(const struct work *w, const struct cut *at, const struct image *m, uint64_t seed, int64_t wall_ns, struct tally *sum)
{
    struct model model;
    const struct known *up = &at->uploaded;
    known_model(&at->known, &w->m, seed, wall_ns, &model);
    for (uint32_t i = 0; i < model.nrequests; i++)
        if (i >= up->nrequests || up->requests[i].outcome != ACKED)
            model.requests[i].outcome = model.requests[i].outcome == NEW ? NEW : UNKNOWN;
    for (uint32_t i = 0; i < model.ndeletions; i++)
        model.deletions[i].acked &= i < up->ndeletions && up->deletions[i].acked;
    for (uint32_t i = 0; i < model.nkeeps; i++)
        if (i >= up->nkeeps || up->keeps[i] != KEEP_SURE) model.keeps[i].acked_ns = 0;
    take_over(w, at, &m->shelf, &model, seed, wall_ns, sum);
    model_free(&model);
}

/* The store goes on, uploads what it has, and only then loses its disk. */
static void late_takeover(const struct work *w, const struct cut *at, struct recovery *r, int64_t wall_ns)
{
    struct tape tape;
    struct kv *kv = r->opts.kv;
    struct shelf shelf = shelf_copy(&r->from->shelf);
    tape_init(&tape);
    r->uploads = true;
    r->tape = &tape;
    r->opts.kv = tape_kv_new(&tape, kv);
    recover(r, wall_ns, whole_main);
    free(r->opts.kv);
    for (size_t i = 0; i < tape.nobjects; i++)
        shelf_apply(&shelf, tape.objects[i]);
    take_over(w, at, &shelf, r->m, prng_next(&r->rnd), wall_ns + 3600 * NS_PER_S, r->sum);
    shelf_free(&shelf);
    tape_deinit(&tape);
}

static void count_acked(const struct work *w, const struct known *k, struct tally *sum)
{
    for (uint32_t i = 0; i < k->nrequests; i++)
        if (k->requests[i].outcome == ACKED)
            sum->acked_rows += (i + 1 < w->m.nrequests ? w->m.requests[i + 1].first : w->m.nrows) - w->m.requests[i].first;
}

void try_image(const struct work *w, const struct cut *at, const struct image *m, uint64_t seed, int64_t wall_ns, struct tally *sum)
{
    struct model model;
    if (w->bucket && at->uploaded.nrequests && seed % 4 == 1) early_takeover(w, at, m, seed + 1, wall_ns, sum);
    known_model(&at->known, &w->m, seed, wall_ns, &model);
    count_acked(w, &at->known, sum);
    struct recovery r = recovery_of(w, &model, m, seed, sum);
    if (w->bucket && seed % 4 == 2) late_takeover(w, at, &r, wall_ns);
    else recover(&r, wall_ns, whole_main);
    model_free(&model);
    sum->states++;
}

uint64_t try_again(const struct work *w, const struct cut *at, const struct image *m, uint64_t seed, struct tally *sum)
{
    struct prng rnd;
    struct model model;
    struct image from = { sim_disk_copy(m->disk, NULL, 0), kv_copy(m->kv), shelf_copy(&m->shelf) }, left;
    int64_t wall_ns = at->wall_ns + NS_PER_S;
    prng_init(&rnd, seed);
    for (unsigned times = 1 + (unsigned)prng_below(&rnd, AGAIN_DEPTH); times > 0; times--) {
        known_model(&at->known, &w->m, seed, wall_ns, &model);
        struct recovery r = recovery_of(w, &model, &from, prng_next(&rnd), sum);
        cut_short(&r, at, wall_ns, &left, &wall_ns);
        model_free(&model);
        image_free(&from);
        from = left;
    }
    uint64_t hash = image_hash(&from);
    try_image(w, at, &from, prng_next(&rnd), wall_ns, sum);
    sum->again++;
    image_free(&from);
    return hash;
}
