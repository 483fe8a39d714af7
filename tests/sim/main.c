/* The simulator's driver: the production store over a simulated disk, through several lives a seed.
 *
 *   sim --seed N [--seeds COUNT] [--cores K] [--twice] [-v]
 *   sim --file FILE                              seeds from a file: one a line, `seed [cores]`, # comments
 *   sim --real DIR --seed N [--cores K] [-v]     no simulation: the same work on a real disk, with RocksDB
 *
 * A seed runs in a process of its own (what a crashed node held in memory is never freed). It draws lives: a
 * number of cores, faults of the disk, a step at which the node loses power. In each life clients on every core send
 * small requests, again and again until acked, while others seal and read. Readers check while it runs; after the last
 * life the faults stop, and everything is checked: after the start, after a seal, after a clean restart.
 * In a fifth of the seeds everything is of the object class, over a bucket with faults (object_mem.c), mostly evicted as soon as it
 * is uploaded; in the end all is uploaded, the disk is lost, and a new node must have everything from the bucket.
 * In half of the seeds some requests come under names that other nodes gave them, some under two; what the store covers is held against
 * the rows, and what it reads out of its logs against what was sent.
 * In a tenth of the seeds bits of log files flip between lives: then acked rows may be missing, but nothing may be changed,
 * doubled, or another tenant's. The catalog (kv_mem) survives every crash; its writes fail in some seeds, or only their answers
 * get lost. In some the wall clock steps to and fro. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/sim.h"
#include "tests/sim/deletions.h"
#include "tests/sim/keeping.h"
#include "tests/sim/kv_faulty.h"
#include "tests/sim/points.h"
#include "tests/sim/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

enum { LIVES_MAX = 6, CLIENTS_MAX = 4, REQUESTS_MAX = 40, PATIENCE = 600, SETTLED_S = 30, CORES_MAX = 8 };
/* Steps of the clock that a retry survives (it is known for ten minutes), and those that it does not. */
#define STEP_SMALL_NS (4 * 60 * NS_PER_S)
#define STEP_LARGE_NS (400 * 24 * 3600 * NS_PER_S)
/* Ages of rules: some rows get that old; none do, whatever the clock says. */
#define AGE_SHORT_NS (20 * NS_PER_MS)
#define AGE_LONG_NS (2 * 3600 * NS_PER_S)

struct world { /* of a seed */
    struct prng rnd;
    struct prng deletes; /* of its own, so that seeds without deletions stay as they were */
    struct prng outages; /* of the bucket */
    struct prng keeps;
    struct prng pulls;
    bool deleting, keeping;
    bool downsampling; /* of all tenants, from the first second on */
    struct sim_disk *disk;
    struct kv *kv, *kv_sound;
    struct kv_faults kv_faults;
    struct object_store *bucket; /* NULL: no object tier */
    bool evict;                  /* what is uploaded goes from the disk */
    bool takeover;               /* the disk is lost: the last check is of another directory */
    bool flush;                  /* uploads do not wait */
    int64_t upload_after_ms;
    uint32_t local;              /* the tenant that is of the local class; TENANTS = none */
    int64_t clock_off_ns; /* the wall clock against what it should be */
    struct model m;
    int64_t log_keep_bytes, mem_bytes, seal_age_ms, merge_bytes, merge_memory;
    int64_t wall_ns;
    bool verbose, small_disk, clock_steps, clock_jumps;
    bool rot;        /* bits of log files flip between lives */
    uint64_t proven; /* rot that replay could tell from a torn tail */
    const char *dir; /* of the data, on a real disk; NULL: simulated */
};
struct life {
    struct world *w;
    struct store *s;
    struct prng rnd;
    unsigned clients, requests; /* a core; each */
    bool failed, done, calm, opened, crash_when_failed;
};
struct client {
    struct life *l;
    unsigned core;
    struct prng rnd;
};

static struct life *life_now;
static void on_failed(const char *why)
{
    (void)why;
    life_now->failed = true;
}

static const char *const LOCAL[TENANTS] = { "alpha=local", "beta=local", "gamma=local" };

static void open_opts(const struct life *l, struct store_opts *o)
{
    *o = (struct store_opts){ .dir = l->w->dir ? l->w->dir : "/data", .kv = l->w->kv, .partitions = 16, .mem_bytes = l->w->mem_bytes,
                              .seal_age_ms = l->w->seal_age_ms, .merge_bytes = l->w->merge_bytes,
                              .merge_window_ms = 86400000, .merge_memory = l->w->merge_memory,
                              .commit_bytes = 1 << 20, .pause_share = 0.85, .refuse_share = 0.9, .read_only_share = 0.95,
                              .ballast_bytes = 64 << 20, .scrub_ms = 3600000, .on_failed = on_failed };
    if (l->w->m.named.n) o->log_keep_bytes = l->w->log_keep_bytes;
    o->log_keep_ms = 10000;
    if (!l->w->bucket) return;
    o->object = l->w->bucket;
    o->durable = "object";
    o->durable_tenants = l->w->local < TENANTS ? LOCAL[l->w->local] : "";
    o->object_upload_after_ms = l->w->flush ? 0 : l->w->upload_after_ms;
    o->object_cache_bytes = 1 << 20;
    o->object_grace_ms = 3000;
    o->retention_share = l->w->evict ? 1e-8 : 0;
    o->object_takeover = l->w->takeover;
    if (l->w->takeover) o->dir = "/other";
}

/* -- a life --------------------------------------------------------------------------------------------------- */

static err_t nap(struct prng *r, int64_t most_us)
{
    return fiber_sleep((int64_t)prng_below(r, (uint64_t)most_us) * NS_PER_US);
}

static err_t send_request(struct life *l, uint32_t i)
{
    return model_send(&l->w->m, l->s, i);
}

static void puller_fiber(void *arg)
{
    struct life *l = arg;
    struct prng r;
    prng_init(&r, prng_next(&l->w->pulls));
    while (!l->done && !l->failed) {
        if (nap(&r, 300000) != OK || l->done) return;
        if (model_pull(&l->w->m, l->s, &r) != OK && l->w->verbose) fprintf(stderr, "pull: %s\n", err_detail());
    }
}

static err_t open_store(struct life *l, const struct store_opts *o)
{
    TRY(store_open(o, &l->s));
    if (!l->w->m.named.n) return OK;
    err_t e = store_stream_add(l->s, &l->w->m.named);
    if (e != OK) store_close(l->s);
    return e;
}

static err_t client_here(void *arg)
{
    struct client *c = arg;
    struct life *l = c->l;
    for (unsigned k = 0; k < l->requests && !l->failed; k++) {
        uint32_t i = model_begin(&l->w->m, &c->rnd, 0.4);
        err_t e = send_request(l, i);
        model_end(&l->w->m, i, e == OK);
        if (e == ERR_IO) break;
        /* Now and then the answer gets lost on its way: the client sends it once more. */
        if (e == OK && prng_chance(&c->rnd, 0.1)) {
            model_again(&l->w->m, i);
            e = send_request(l, i);
            model_end(&l->w->m, i, e == OK);
        }
        TRY(nap(&c->rnd, 20000));
    }
    return OK;
}
static void client_fiber(void *arg)
{
    struct client *c = arg;
    if (rt_call(c->core, RT_INGEST, client_here, c) != OK && c->l->w->verbose)
        fprintf(stderr, "client: %s\n", err_detail());
}

static void sealer_fiber(void *arg)
{
    struct life *l = arg;
    while (!l->done && !l->failed) {
        if (nap(&l->rnd, 400000) != OK) return;
        if (l->done) return;
        if (store_seal(l->s) != OK && l->w->verbose) fprintf(stderr, "seal: %s\n", err_detail());
    }
}

static void deleter_fiber(void *arg)
{
    struct life *l = arg;
    struct prng r;
    prng_init(&r, prng_next(&l->w->deletes));
    while (!l->done && !l->failed) {
        if (nap(&r, 60000) != OK) return;
        if (l->done) return;
        if (!deletion_run(&l->w->m, l->s, &r) && l->w->verbose) fprintf(stderr, "delete: %s\n", err_detail());
    }
}

/* What was acked before a read began is in it, whatever goes on meanwhile. */
static void reader_fiber(void *arg)
{
    struct life *l = arg;
    struct model *m = &l->w->m;
    while (!l->done && !l->failed) {
        if (nap(&l->rnd, 600000) != OK) return;
        if (l->done) return;
        uint32_t n;
        uint8_t *acked = model_acked(m, &n);
        if (model_check(m, l->s, acked, n) != OK && l->w->verbose) fprintf(stderr, "reader: %s\n", err_detail());
        free(acked);
    }
}

static void keeper_fiber(void *arg)
{
    struct life *l = arg;
    struct world *w = l->w;
    struct prng r;
    prng_init(&r, prng_next(&w->keeps));
    int64_t least = w->clock_steps ? AGE_LONG_NS : AGE_SHORT_NS;
    while (!l->done && !l->failed) {
        if (nap(&r, 300000) != OK || l->done) return;
        if (!keep_run(&w->m, l->s, &r, least, 2 * least) && w->verbose) fprintf(stderr, "keep: %s\n", err_detail());
    }
}

static uint64_t clock_steps, clock_jumps;

/* Small steps stay within STEP_SMALL_NS of the right time, however many there are. */
static void clock_fiber(void *arg)
{
    struct life *l = arg;
    struct world *w = l->w;
    while (!l->done && !l->failed) {
        if (nap(&l->rnd, 100000) != OK) return;
        if (l->done) return;
        bool jump = w->clock_jumps && prng_chance(&l->rnd, 0.2);
        int64_t most = jump ? STEP_LARGE_NS : STEP_SMALL_NS;
        int64_t to = (int64_t)prng_below(&l->rnd, (uint64_t)(2 * most)) - most;
        w->m.jumped |= jump;
        sim_step_wall(to - w->clock_off_ns);
        w->clock_off_ns = w->m.clock_off_ns = to;
        clock_steps++;
        clock_jumps += jump;
    }
}

static void work(struct life *l)
{
    static struct client clients[CLIENTS_MAX * CORES_MAX];
    struct scope s, others;
    const struct fiber_opts in = { .name = "client", .class = RT_INGEST };
    scope_init(&s, NULL);
    scope_init(&others, NULL);
    unsigned n = 0;
    for (unsigned core = 0; core < rt_cores(); core++)
        for (unsigned k = 0; k < l->clients; k++) {
            clients[n] = (struct client){ .l = l, .core = core };
            prng_init(&clients[n].rnd, prng_next(&l->rnd));
            ASSERT(fiber_start(&s, &in, client_fiber, &clients[n]) == OK);
            n++;
        }
    ASSERT(fiber_start(&others, &in, sealer_fiber, l) == OK);
    ASSERT(fiber_start(&others, &in, reader_fiber, l) == OK);
    if (l->w->deleting) ASSERT(fiber_start(&others, &in, deleter_fiber, l) == OK);
    if (l->w->keeping) ASSERT(fiber_start(&others, &in, keeper_fiber, l) == OK);
    if (l->w->m.named.n) ASSERT(fiber_start(&others, &in, puller_fiber, l) == OK);
    if (l->w->clock_steps) ASSERT(fiber_start(&others, &in, clock_fiber, l) == OK);
    ASSERT(scope_join(&s) == OK);
    l->done = true;
    ASSERT(scope_join(&others) == OK);
    scope_deinit(&s);
    scope_deinit(&others);
}

static void count_rot(struct life *l)
{
    struct store_stats st;
    store_stats(l->s, &st);
    l->w->proven += st.wal_rotten;
    if (st.wal_rotten && !l->w->m.rot) wrong("rot is seen on a sound disk");
}

static err_t life_main(void *arg)
{
    struct life *l = arg;
    struct store_opts o;
    open_opts(l, &o);
    TRY(open_store(l, &o));
    l->opened = true;
    count_rot(l);
    if (l->w->downsampling) keep_downsampled(l->s);
    work(l);
    if (l->failed && l->crash_when_failed) sim_crash();
    store_close(l->s);
    return OK;
}

static void must(err_t e, const char *what)
{
    if (e != OK) wrong("%s without faults: %s: %s", what, err_name(e), err_detail());
}

/* After the faults: everything is there, before and after a seal and a clean restart. */
static err_t last_main(void *arg)
{
    struct life *l = arg;
    struct store_opts o;
    struct model *m = &l->w->m;
    open_opts(l, &o);
    uint64_t lost_reads = m->lost_reads;
    must(open_store(l, &o), "open");
    count_rot(l);
    must(model_check(m, l->s, NULL, 0), "check");
    keep_check(m, l->s);
    if (m->lost_reads != lost_reads) wrong("segments cannot be read though nothing fails");
    while (!model_all_acked(m)) {
        uint32_t i = model_begin(m, &l->rnd, 1);
        err_t e = send_request(l, i);
        /* Full memtables are sealed soon; nothing else is an excuse now. */
        for (unsigned k = 0; k < PATIENCE && (e == ERR_OVERLOAD || e == ERR_NOSPC); k++) {
            must(fiber_sleep(50 * NS_PER_MS), "sleep");
            e = send_request(l, i);
        }
        if (e == ERR_NOSPC && l->w->small_disk) {
            must(model_check(m, l->s, NULL, 0), "check on a full disk");
            return OK;
        }
        must(e, "append");
        model_end(m, i, true);
    }
    must(model_check(m, l->s, NULL, 0), "check after retries");
    must(store_seal(l->s), "seal");
    must(model_check(m, l->s, NULL, 0), "check after seal");
    store_close(l->s);
    must(open_store(l, &o), "open again");
    must(model_check(m, l->s, NULL, 0), "check after restart");
    keep_check(m, l->s);
    store_close(l->s);
    return OK;
}

static unsigned draw_cores(struct prng *r)
{
    return 1 + (unsigned)prng_below(r, prng_chance(r, 0.1) ? CORES_MAX : 3);
}

/* -- the bucket ----------------------------------------------------------------------------------------------------- */

static err_t upload_main(void *arg)
{
    struct life *l = arg;
    struct store_opts o;
    struct store_stats st;
    open_opts(l, &o);
    must(open_store(l, &o), "open");
    must(store_seal(l->s), "seal");
    for (unsigned k = 0;; k++) {
        store_stats(l->s, &st);
        bool listed = l->w->local < TENANTS ? k > SETTLED_S : metric_sum(M_OBJECT_SEGMENTS) == st.segments;
        if (listed && metric_sum(M_OBJECT_BACKLOG) == 0) break;
        if (k == PATIENCE) wrong("%u segments, the bucket lists %d", st.segments, (int)metric_sum(M_OBJECT_SEGMENTS));
        must(fiber_sleep(NS_PER_S), "sleep");
    }
    if (metric_sum(M_OBJECT_FENCED)) wrong("fenced by nobody");
    must(model_check(&l->w->m, l->s, NULL, 0), "check beside the bucket");
    store_close(l->s);
    return OK;
}

static err_t takeover_main(void *arg)
{
    struct life *l = arg;
    struct store_opts o;
    uint64_t lost_reads = l->w->m.lost_reads;
    open_opts(l, &o);
    for (unsigned k = 0; k < 2; k++) {
        must(open_store(l, &o), "open from the bucket");
        must(model_check(&l->w->m, l->s, NULL, 0), "check from the bucket");
        keep_check(&l->w->m, l->s);
        if (l->w->m.lost_reads != lost_reads) wrong("segments in the bucket cannot be read though nothing fails");
        store_close(l->s);
    }
    return OK;
}

/* Everything is uploaded; then the disk and the catalog are lost, and a new node goes on from the bucket. */
static void run_bucket(struct world *w, unsigned cores, struct report *rep)
{
    struct life l = { .w = w };
    struct sim_opts o = { .wall_start_ns = w->wall_ns + w->clock_off_ns, .time_max_ns = 24 * 3600 * NS_PER_S };
    struct sim_result res;
    object_mem_faults(w->bucket, &(struct object_faults){ 0 });
    w->flush = true;
    life_now = &l;
    sim_run(prng_next(&w->rnd), cores, w->disk, &o, upload_main, &l, &res);
    if (res.stuck || res.result != OK) wrong("uploads are stuck");
    w->takeover = true;
    w->m.recovered = true;
    w->kv = kv_mem_new();
    sim_run(prng_next(&w->rnd), draw_cores(&w->rnd), w->disk, &o, takeover_main, &l, &res);
    if (res.stuck || res.result != OK) wrong("no takeover");
    kv_mem_free(w->kv);
    rep->hash = hash_u64(rep->hash ^ res.trace_hash);
    const struct object_mem_counts c = object_mem_counts(w->bucket);
    rep->bucket_calls += c.calls;
    rep->bucket_errors += c.errors;
    rep->bucket_busy += c.busy;
    rep->bucket_slow += c.slow;
    rep->bucket_refused += c.refused;
    rep->bucket_lost += c.lost;
    rep->bucket_misses += (uint64_t)metric_sum(M_OBJECT_CACHE_MISSES);
    rep->evicted_bytes += (uint64_t)metric_sum(M_OBJECT_EVICTED_BYTES);
    rep->takeovers++;
}

/* -- a seed -------------------------------------------------------------------------------------------------------- */

/* In half of the seeds requests come under names, too; their logs are kept: all, few, or none. */
static void draw_names(struct world *w)
{
    const int64_t keep[] = { 1 << 30, 256 << 10, 0 };
    if (!prng_chance(&w->pulls, 0.5)) return;
    model_name_some(&w->m);
    w->log_keep_bytes = keep[prng_below(&w->pulls, ARRAY_LEN(keep))];
}

static void draw_faults(struct prng *r, struct sim_faults *f)
{
    *f = (struct sim_faults){ .slow_ns = 200 * NS_PER_MS };
    if (prng_chance(r, 0.3)) f->eio_read = 0.002;
    if (prng_chance(r, 0.3)) f->eio_write = 0.002;
    if (prng_chance(r, 0.3)) f->eio_sync = 0.004;
    if (prng_chance(r, 0.3)) f->enospc = 0.01;
    if (prng_chance(r, 0.4)) f->short_write = 0.05;
    if (prng_chance(r, 0.4)) f->short_read = 0.05;
    if (prng_chance(r, 0.2)) f->slow = 0.01;
}

static bool armed_points[SIM_POINTS];

static void add_stats(struct report *to, const struct sim_stats *s)
{
    const struct report r = { .faults = *s };
    report_add(to, &r);
}

static void arm(struct prng *r, bool last)
{
    for (unsigned i = 0; i < SIM_POINTS; i++) {
        const struct sim_point *p = &sim_points[i];
        bool armed = !last && prng_chance(r, p->share);
        errinj_arm(p->id, !armed ? 0 : p->within > 1 ? 1 + (unsigned)prng_below(r, p->within) : 1);
        armed_points[i] = armed;
    }
}

static void count_points(struct report *rep)
{
    for (unsigned i = 0; i < SIM_POINTS; i++)
        rep->points[sim_points[i].id] += armed_points[i] && errinj_left(sim_points[i].id) == 0;
}

struct victim {
    uint64_t left; /* log files before the one that is hit */
    char path[256];
};
static void count_file(const char *path, uint64_t size, void *ctx)
{
    struct victim *v = ctx;
    if (str_find(str_of(path), STR("/wal/")) == SIZE_MAX || size == 0) return;
    if (v->left-- == 0) snprintf(v->path, sizeof v->path, "%s", path);
}

static void rot(struct world *w)
{
    struct victim v = { .left = prng_below(&w->rnd, 8) };
    sim_disk_walk(w->disk, count_file, &v);
    if (v.path[0] && sim_disk_rot(w->disk, v.path, prng_next(&w->rnd), 1 + (unsigned)prng_below(&w->rnd, 200)))
        w->m.rot = true;
}

static void run_life(struct world *w, unsigned cores, bool last, struct report *rep)
{
    struct prng *r = &w->rnd;
    struct life l = { .w = w, .calm = last, .clients = 1 + (unsigned)prng_below(r, CLIENTS_MAX),
                      .requests = 1 + (unsigned)prng_below(r, REQUESTS_MAX), .crash_when_failed = prng_chance(r, 0.5) };
    struct sim_opts o = { .wall_start_ns = w->wall_ns + w->clock_off_ns };
    struct sim_result res;
    prng_init(&l.rnd, prng_next(r));
    life_now = &l;
    w->kv_faults = (struct kv_faults){ 0 };
    prng_init(&w->kv_faults.rnd, prng_next(r));
    if (!last) {
        draw_faults(r, &o.faults);
        if (prng_chance(r, 0.2)) w->kv_faults.write = 0.3;
        if (prng_chance(r, 0.2)) w->kv_faults.answer = 0.3;
        if (prng_chance(r, 0.1)) w->kv_faults.read = 0.05;
        bool away = w->bucket && prng_chance(&w->outages, 0.25); /* it is down for all of this life */
        rep->bucket_away += away;
        if (w->bucket)
            object_mem_faults(w->bucket, &(struct object_faults){ .error = away ? 1 : 0.1, .busy = 0.05, .lost = 0.1, .slow = 0.05, .refuse = 0.05,
                                                                  .slow_ns = 300 * NS_PER_MS });
        uint64_t within = prng_chance(r, 0.3) ? 300 : 6000;
        if (prng_chance(r, 0.7)) o.crash_at = 20 + prng_below(r, within);
    } else if (w->bucket) {
        object_mem_faults(w->bucket, &(struct object_faults){ 0 });
    }
    arm(r, last);
    sim_run(prng_next(r), cores, w->disk, &o, last ? last_main : life_main, &l, &res);
    if (res.stuck) wrong("stuck after %" PRIu64 " steps", res.stats.steps);
    if (last && res.crashed) wrong("a crash without faults");
    if (w->verbose)
        printf("  life of %u cores: %s, %" PRIu64 " steps, %.3f s, hash %016" PRIx64 "\n", cores,
               res.crashed ? "crashed" : err_name(res.result), res.stats.steps, (double)res.virtual_ns / 1e9,
               res.trace_hash);
    rep->lives++;
    rep->crashes += res.crashed;
    rep->opens_failed += !res.crashed && !l.opened && !last;
    rep->failed_stores += l.failed;
    rep->hash = hash_u64(rep->hash ^ res.trace_hash);
    add_stats(rep, &res.stats);
    count_points(rep);
    w->wall_ns += res.virtual_ns + NS_PER_S;
    rep->kv_failed += w->kv_faults.failed_writes;
    rep->kv_unread += w->kv_faults.failed_reads;
    rep->kv_lost += w->kv_faults.lost_answers;
    deletions_crashed(&w->m);
    if (!res.crashed && !last && prng_chance(r, 0.5)) {
        struct sim_stats lost = { 0 };
        sim_disk_crash(w->disk, prng_next(r), &lost);
        add_stats(rep, &lost);
    }
    if (w->rot && !last) rot(w);
}

/* By a generator of its own: seeds without a bucket do what they did before there was one. */
static void draw_bucket(struct world *w, uint64_t seed)
{
    struct prng r;
    prng_init(&r, ~seed);
    if (w->small_disk || w->rot || !prng_chance(&r, 0.3)) return;
    w->bucket = object_mem_new();
    w->evict = prng_chance(&r, 0.6);
    w->upload_after_ms = prng_chance(&w->outages, 0.5) ? (int64_t)prng_below(&w->outages, 20000) : 0;
    w->local = (uint32_t)prng_below(&w->outages, 2 * TENANTS);
    w->local = MIN(w->local, (uint32_t)TENANTS);
    if (w->local < TENANTS) w->m.local = w->local + 1;
    w->m.room = w->evict;
}

static void run_seed(uint64_t seed, unsigned cores, bool verbose, struct report *rep)
{
    struct world w = { .verbose = verbose, .wall_ns = INT64_C(1767225600) * NS_PER_S };
    *rep = (struct report){ 0 };
    current_seed = seed;
    log_init(verbose ? LOG_INFO : (enum log_level)(LOG_ERROR + 1), false);
    prng_init(&w.rnd, seed);
    prng_init(&w.deletes, hash_u64(seed + 4));
    prng_init(&w.outages, hash_u64(seed + 5));
    w.deleting = prng_chance(&w.deletes, 0.6);
    prng_init(&w.keeps, hash_u64(seed + 9));
    prng_init(&w.pulls, hash_u64(seed + 10));
    w.keeping = prng_chance(&w.keeps, 0.4);
    w.downsampling = !w.deleting && !w.keeping && prng_chance(&w.keeps, 0.8);
    w.rot = prng_chance(&w.rnd, 0.1);
    w.small_disk = prng_chance(&w.rnd, 0.1);
    w.disk = sim_disk_new(w.small_disk ? 16 << 20 : 512 << 20);
    w.clock_steps = prng_chance(&w.rnd, 0.3);
    w.clock_jumps = prng_chance(&w.rnd, 0.3);
    if (w.clock_jumps) w.downsampling = false; /* a row that is stored twice counts twice */
    w.kv_sound = kv_mem_new();
    w.kv = kv_faulty_new(w.kv_sound, &w.kv_faults);
    w.mem_bytes = prng_chance(&w.rnd, 0.2) ? 1 << 20 : 16 << 20;
    w.seal_age_ms = prng_chance(&w.rnd, 0.5) ? 100 + (int64_t)prng_below(&w.rnd, 1000) : 60000;
    w.merge_bytes = prng_chance(&w.rnd, 0.8) ? INT64_C(1) << (14 + prng_below(&w.rnd, 12)) : 0;
    w.merge_memory = prng_chance(&w.rnd, 0.2) ? 1 << 20 : 1 << 28;
    model_init(&w.m, prng_next(&w.rnd));
    draw_names(&w);
    draw_bucket(&w, seed);
    unsigned lives = 1 + (unsigned)prng_below(&w.rnd, LIVES_MAX);
    for (unsigned i = 0; i < lives; i++)
        run_life(&w, cores ? cores : draw_cores(&w.rnd), false, rep);
    run_life(&w, cores ? cores : draw_cores(&w.rnd), true, rep);
    struct kv *faulty = w.kv;
    if (w.bucket) run_bucket(&w, cores ? cores : draw_cores(&w.rnd), rep);
    rep->requests = w.m.nrequests;
    rep->acked = w.m.acked;
    rep->rows = w.m.nrows;
    rep->checks = w.m.checks;
    rep->rot_proven = w.proven;
    rep->rows_rotten = w.m.rows_rotten;
    rep->deletions = w.m.ndeletions;
    rep->deleted = w.m.deleted;
    rep->lost_reads = w.m.lost_reads;
    rep->clock_steps = clock_steps;
    rep->clock_jumps = clock_jumps;
    rep->keeps = w.m.nkeeps;
    for (uint32_t i = 0; i < w.m.nkeeps; i++)
        rep->keeps_acked += w.m.keeps[i].acked_ns != 0;
    rep->ballasts = (uint64_t)metric_sum(M_BALLAST_RELEASES);
    rep->merges = (uint64_t)metric_sum(M_MERGES);
    rep->merged_segments = (uint64_t)metric_sum(M_MERGED_SEGMENTS);
    rep->merges_failed = (uint64_t)metric_sum(M_MERGES_FAILED);
    rep->merges_stale = (uint64_t)metric_sum(M_MERGES_STALE);
    rep->downsampled = (uint64_t)metric_sum(M_DOWNSAMPLED);
    rep->whole = true;
    model_free(&w.m);
    free(faulty);
    if (w.bucket) object_mem_free(w.bucket);
    kv_mem_free(w.kv_sound);
    sim_disk_free(w.disk);
}

/* -- all seeds -------------------------------------------------------------------------------------------------------- */

/* In a child: false when it failed. */
static bool run_apart(uint64_t seed, unsigned cores, bool verbose, struct report *rep)
{
    int fd[2];
    if (pipe(fd) != 0) return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        run_seed(seed, cores, verbose, rep);
        fflush(NULL);
        _exit(write(fd[1], rep, sizeof *rep) == (ssize_t)sizeof *rep ? 0 : 1);
    }
    close(fd[1]);
    rep->whole = false;
    bool ok = pid > 0 && read(fd[0], rep, sizeof *rep) == (ssize_t)sizeof *rep;
    close(fd[0]);
    int status = 0;
    if (pid > 0) waitpid(pid, &status, 0);
    if (ok && rep->whole && status == 0) return true;
    fprintf(stderr, "sim: seed %" PRIu64 " FAILED (status %d)\n", seed, status);
    return false;
}

/* -- on the real runtime ---------------------------------------------------------------------------------------------- */

static err_t real_main(void *arg)
{
    struct life *l = arg;
    char path[1024];
    snprintf(path, sizeof path, "%s/catalog", l->w->dir);
    for (unsigned round = 0; round < 3; round++) {
        TRY(kv_rocks_open(path, &l->w->kv));
        l->done = false;
        TRY(round < 2 ? life_main(l) : last_main(l));
        l->w->kv->close(l->w->kv);
    }
    return OK;
}

static int run_real(const char *dir, uint64_t seed, unsigned cores, bool verbose)
{
    struct world w = { .verbose = verbose, .dir = dir, .mem_bytes = 64 << 20, .seal_age_ms = 300, .merge_bytes = 64 << 20, .merge_memory = 1 << 28 };
    struct life l = { .w = &w, .clients = 4, .requests = 100 };
    current_seed = seed;
    life_now = &l;
    log_init(verbose ? LOG_INFO : LOG_ERROR, false);
    prng_init(&l.rnd, seed);
    model_init(&w.m, seed);
    err_t e = rt_run(&(struct rt_opts){ .cores = cores ? cores : 1 }, real_main, &l);
    printf("real: %s, backend %s; %u requests, %" PRIu64 " acked, %u rows, %" PRIu64 " checks\n", err_name(e),
           rt_backend_name(), w.m.nrequests, w.m.acked, w.m.nrows, w.m.checks);
    model_free(&w.m);
    return e == OK ? 0 : 1;
}

/* -- totals --------------------------------------------------------------------------------------------------------- */

struct totals {
    bool twice, verbose, quiet;
    uint64_t seeds, failures;
    struct report sum;
};

static void run_one(struct totals *t, uint64_t seed, unsigned cores)
{
    struct report r, again, *sum = &t->sum;
    t->seeds++;
    if (!run_apart(seed, cores, t->verbose, &r)) {
        t->failures++;
        return;
    }
    if (!t->quiet) printf("seed %" PRIu64 " hash %016" PRIx64 "\n", seed, r.hash);
    if (t->twice && (!run_apart(seed, cores, false, &again) || again.hash != r.hash)) {
        fprintf(stderr, "sim: seed %" PRIu64 ": another hash the second time\n", seed);
        t->failures++;
    }
    report_add(sum, &r);
}

static bool run_file(struct totals *t, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        uint64_t seed;
        unsigned cores = 0;
        if (sscanf(line, "%" SCNu64 " %u", &seed, &cores) >= 1) run_one(t, seed, cores);
    }
    fclose(f);
    return true;
}

static int usage(void)
{
    fprintf(stderr, "sim [--real DIR] --seed N [--seeds COUNT] [--cores K] [--twice] [-v]\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, seeds = 1;
    unsigned cores = 0;
    struct totals t = { 0 };
    const char *real = NULL, *file = NULL;
    for (int i = 1; i < argc; i++) {
        uint64_t v = 0;
        bool number = i + 1 < argc && str_to_u64(str_of(argv[i + 1]), &v);
        if (!strcmp(argv[i], "--twice")) t.twice = true;
        else if (!strcmp(argv[i], "-v")) t.verbose = true;
        else if (!strcmp(argv[i], "--real") && i + 1 < argc) real = argv[++i];
        else if (!strcmp(argv[i], "--file") && i + 1 < argc) file = argv[++i];
        else if (!number) return usage();
        else if (!strcmp(argv[i], "--seed")) seed = v, i++;
        else if (!strcmp(argv[i], "--seeds")) seeds = v, i++;
        else if (!strcmp(argv[i], "--cores") && v <= CORES_MAX) cores = (unsigned)v, i++;
        else return usage();
    }
    if (real) return run_real(real, seed, cores, t.verbose);
    t.quiet = seeds > 100 && !t.verbose;
    if (file) {
        if (!run_file(&t, file)) return usage();
    } else {
        for (uint64_t k = 0; k < seeds; k++)
            run_one(&t, seed + k, cores);
    }
    return report_print(&t.sum, t.seeds, t.failures) && t.failures == 0 ? 0 : 1;
}
