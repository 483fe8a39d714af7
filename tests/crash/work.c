#include "tests/crash/crash.h"

#include "base/core/assert.h"
#include "base/core/metric.h"
#include "storage/object_tier.h"

#include <stdlib.h>

enum { CLIENTS_MAX = 3, REQUESTS_MAX = 9, CORES_MAX = 3, RETENTION_MS = 30000 };
enum { PATIENCE = 600, DELETIONS = 5, KEEPS = 4, FULL_TIMES = 3, GRACE_MS = 3000 };
#define MERGES_NS (400 * NS_PER_MS) /* time for those that the last seal makes due */

/* A small life each: what matters is the order of its writes, not how many there are. */
void work_init(struct work *w, uint64_t seed)
{
    struct prng *r = &w->rnd;
    *w = (struct work){ .seed = seed };
    prng_init(r, seed);
    w->cores = 1 + (unsigned)(seed % CORES_MAX);
    w->clients = 1 + (unsigned)prng_below(r, CLIENTS_MAX);
    w->requests = 3 + (unsigned)prng_below(r, REQUESTS_MAX);
    w->restarts = prng_chance(r, 0.4);
    w->opts = (struct store_opts){ .dir = "/data", .partitions = 16, .mem_bytes = 8 << 20, .commit_bytes = 1 << 20,
                                   .refuse_share = 0.95 };
    w->opts.seal_age_ms = prng_chance(r, 0.5) ? 50 + (int64_t)prng_below(r, 400) : 600000;
    if (prng_chance(r, 0.4)) {
        /* The rows of the first half are too old when retention looks for the second time (RETENTION_EVERY_S). */
        w->restarts = false;
        w->opts.retention_age_ms = RETENTION_MS - 20 - (int64_t)prng_below(r, 100);
        w->retention_at_ns = (int64_t)RETENTION_MS * NS_PER_MS + 200 * NS_PER_MS;
    }
    w->merges = prng_chance(r, 0.6);
    if (w->merges) {
        w->requests += 10;
        w->opts.merge_bytes = INT64_C(1) << (16 + prng_below(r, 8));
        w->opts.merge_window_ms = 86400000;
        w->opts.merge_memory = 1 << 28;
    }
    w->deletes = prng_chance(r, 0.5);
    w->keeps = prng_chance(r, 0.4);
    w->bucket = prng_chance(r, 0.3);
    w->fills = prng_chance(r, 0.25);
    if (w->fills) w->opts.ballast_bytes = 64 << 20;
    if (w->bucket) {
        w->opts.durable = "object";
        w->opts.durable_tenants = "";
        w->opts.object_cache_bytes = 1 << 20;
        w->opts.object_grace_ms = GRACE_MS;
        w->opts.retention_share = prng_chance(r, 0.6) ? 1e-8 : 0; /* evicts what is uploaded */
    }
    model_init(&w->m, prng_next(r));
    if (hash_u64(w->m.rnd.s[0]) % 2) model_name_some(&w->m);
    w->m.noted = tape_event;
    w->m.retention_ns = w->opts.retention_age_ms * NS_PER_MS;
}

struct life {
    struct work *w;
    struct store *s;
    bool done;
};
struct client {
    struct life *l;
    unsigned core;
    struct prng rnd;
};

static err_t nap(struct prng *r, int64_t most_us)
{
    return fiber_sleep((int64_t)prng_below(r, (uint64_t)most_us) * NS_PER_US);
}

/* Is it what a disk that is full now and then answers? */
static bool full(const struct life *l, err_t e)
{
    return l->w->fills && (e == ERR_NOSPC || e == ERR_OVERLOAD);
}

static err_t client_here(void *arg)
{
    struct client *c = arg;
    struct life *l = c->l;
    for (unsigned k = 0, tries = 0; k < l->w->requests; k++) {
        uint32_t i = model_begin(&l->w->m, &c->rnd, 0.2);
        err_t e = model_send(&l->w->m, l->s, i);
        model_end(&l->w->m, i, e == OK);
        if (e != OK && (!full(l, e) || tries++ == PATIENCE)) return e;
        k -= e != OK;
        TRY(nap(&c->rnd, 20000));
    }
    return OK;
}
static void client_fiber(void *arg)
{
    struct client *c = arg;
    err_t e = rt_call(c->core, RT_INGEST, client_here, c);
    if (e != OK) wrong("a client of a calm workload: %s: %s", err_name(e), err_detail());
}

static void sealer_fiber(void *arg)
{
    struct life *l = arg;
    while (!l->done) {
        if (nap(&l->w->rnd, l->w->merges ? 25000 : 150000) != OK || l->done) return;
        err_t e = store_seal(l->s);
        if (e != OK && !full(l, e)) wrong("a seal of a calm workload: %s: %s", err_name(e), err_detail());
    }
}

static void deleter_fiber(void *arg)
{
    struct life *l = arg;
    for (unsigned k = 0; k < DELETIONS && !l->done; k++) {
        if (nap(&l->w->rnd, 60000) != OK || l->done) return;
        if (!deletion_run(&l->w->m, l->s, &l->w->rnd) && !l->w->fills) wrong("a deletion of a calm workload: %s", err_detail());
    }
}

static void keeper_fiber(void *arg)
{
    struct life *l = arg;
    for (unsigned k = 0; k < KEEPS && !l->done; k++) {
        if (nap(&l->w->rnd, 60000) != OK || l->done) return;
        /* Some end within the run, some not before its wait for retention. */
        if (!keep_run(&l->w->m, l->s, &l->w->rnd, 50 * NS_PER_MS, (int64_t)RETENTION_MS * NS_PER_MS) && !l->w->fills)
            wrong("a rule of retention of a calm workload: %s", err_detail());
    }
}

/* No room for a moment, here and there. */
static void filler_fiber(void *arg)
{
    struct life *l = arg;
    for (unsigned k = 0; k < FULL_TIMES && !l->done; k++) {
        if (nap(&l->w->rnd, 60000) != OK || l->done) break;
        sim_set_faults(&(struct sim_faults){ .enospc = 0.3 });
        if (nap(&l->w->rnd, 100000) != OK) break;
        sim_set_faults(&(struct sim_faults){ 0 });
    }
    sim_set_faults(&(struct sim_faults){ 0 });
}

/* Everything that was acked is in the bucket, deletions and rules too. */
static err_t upload(struct life *l)
{
    struct store_stats st;
    TRY(fiber_sleep(NS_PER_S));
    TRY(store_seal(l->s));
    for (unsigned k = 0; k < PATIENCE; k++) {
        store_stats(l->s, &st);
        if (metric_sum(M_OBJECT_SEGMENTS) == st.segments && metric_sum(M_OBJECT_BACKLOG) == 0) break;
        TRY(fiber_sleep(NS_PER_S / 2));
    }
    if (metric_sum(M_OBJECT_BACKLOG) || metric_sum(M_OBJECT_FENCED)) wrong("the bucket of a calm workload does not get everything");
    TRY(fiber_sleep((TIER_LOOK_S + 2) * NS_PER_S));
    tape_note(NOTE_UPLOADED, 0);
    return OK;
}

static void busy(struct life *l)
{
    struct client clients[CLIENTS_MAX * CORES_MAX];
    struct scope s, other;
    const struct fiber_opts in = { .name = "client", .class = RT_INGEST };
    scope_init(&s, NULL);
    scope_init(&other, NULL);
    l->done = false;
    for (unsigned core = 0, n = 0; core < rt_cores(); core++)
        for (unsigned k = 0; k < l->w->clients; k++, n++) {
            clients[n] = (struct client){ .l = l, .core = core };
            prng_init(&clients[n].rnd, prng_next(&l->w->rnd));
            ASSERT(fiber_start(&s, &in, client_fiber, &clients[n]) == OK);
        }
    ASSERT(fiber_start(&other, &in, sealer_fiber, l) == OK);
    if (l->w->deletes) ASSERT(fiber_start(&other, &in, deleter_fiber, l) == OK);
    if (l->w->keeps) ASSERT(fiber_start(&other, &in, keeper_fiber, l) == OK);
    if (l->w->fills) ASSERT(fiber_start(&other, &in, filler_fiber, l) == OK);
    ASSERT(scope_join(&s) == OK);
    l->done = true;
    ASSERT(scope_join(&other) == OK);
    if (l->w->merges) ASSERT(fiber_sleep(MERGES_NS) == OK);
    scope_deinit(&s);
    scope_deinit(&other);
}

static err_t work_main(void *arg)
{
    struct life *l = arg;
    struct work *w = l->w;
    TRY(store_open(&w->opts, &l->s));
    if (w->m.named.n) TRY(store_stream_add(l->s, &w->m.named));
    busy(l);
    if (w->bucket) TRY(upload(l));
    if (w->restarts) {
        store_close(l->s);
        TRY(store_open(&w->opts, &l->s));
        busy(l);
    }
    if (w->retention_at_ns) {
        TRY(fiber_sleep(w->retention_at_ns));
        busy(l);
    } else if (w->bucket) {
        busy(l); /* what the bucket does not have yet */
    }
    store_close(l->s);
    return OK;
}

void work_record(struct work *w, struct tape *t, struct sim_disk *disk, struct kv *kv)
{
    struct life l = { .w = w };
    struct sim_opts o = { .tape = t->disk };
    struct sim_result res;
    struct object_store *bucket = w->bucket ? object_mem_new() : NULL;
    w->opts.kv = tape_kv_new(t, kv);
    if (bucket) w->opts.object = tape_bucket_new(t, bucket);
    sim_run(w->seed, w->cores, disk, &o, work_main, &l, &res);
    if (res.stuck || res.crashed || res.result != OK) wrong("the workload itself: %s: %s", err_name(res.result), err_detail());
    free(w->opts.kv);
    if (bucket) {
        free(w->opts.object);
        object_mem_free(bucket);
    }
    w->opts.kv = NULL;
    w->opts.object = NULL;
}
