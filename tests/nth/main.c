/* The nth thing fails, for n = 1, 2, 3, ... until nothing is left to fail. A script of the production store (append, seal, merge,
 * delete, rules of retention, uploads to a bucket and eviction, read, restart, on two cores of the simulator) runs once for each n; then nothing fails any more and all must be well: no acked
 * row lost or doubled, no leak, and what was refused was refused with a message that says where.
 *
 *   nth [--kind KIND] [--stride S] [--n N] [-v]
 *
 * Kinds: eio     an operation on a file answers EIO (a failed sync loses what was not synced); then the node starts again, takes
 *                requests, and loses power
 *        nospc   one that needs room answers ENOSPC
 *        short   a read or write does a part of what was asked: nobody may notice
 *        catalog an operation of the catalog fails; lost: a write to it happens, its answer is lost
 *        budget  a look at a memory budget finds it exhausted
 *        power   not a failure: the power goes at the nth step
 * --stride S: every Sth n only, from another start for each kind. --n N: that one alone. */
#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/rt/sim.h"
#include "storage/object.h"
#include "tests/sim/deletions.h"
#include "tests/sim/keeping.h"
#include "tests/sim/kv_faulty.h"
#include "tests/sim/settle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#define LEAK_CHECK 1
#endif

enum { CORES = 2, LEAKS_EVERY = 64, NTH_MAX = 1 << 20 };

enum kind_of_fault { EIO_NTH, NOSPC_NTH, SHORT_NTH, CATALOG_NTH, LOST_NTH, BUDGET_NTH, POWER_NTH, KINDS };
static const char *const kind_names[KINDS] = { "eio", "nospc", "short", "catalog", "lost", "budget", "power" };

struct trial {
    enum kind_of_fault kind;
    uint64_t n;
    struct model m;
    struct kv_faults kv_faults;
    struct store_opts opts;
    struct prng rnd;
    struct store *s;
    bool stopped;           /* on_failed was called: the node would end */
    uint64_t errors;        /* calls that were refused */
    bool verbose;
};
static struct trial *now;

static void on_failed(const char *why)
{
    if (!*why) wrong("the store stops and does not say why");
    now->stopped = true;
}

/* -- the script ------------------------------------------------------------------------------------------------ */

/* An error must say what it was doing to what. */
static bool went(struct trial *t, err_t e, const char *what)
{
    if (e == OK) return true;
    t->errors++;
    const char *why = err_detail();
    if (t->verbose) fprintf(stderr, "%s %" PRIu64 ": %s: %s: %s\n", kind_names[t->kind], t->n, what, err_name(e), why);
    static const char *const places[] = { " /", "catalog", "memory budget", "memtables", "log" };
    bool clear = false;
    for (unsigned i = 0; i < ARRAY_LEN(places); i++)
        clear |= str_find(str_of(why), str_of(places[i])) != SIZE_MAX;
    if (!clear) wrong("%s: %s: the message names no place: \"%s\"", what, err_name(e), why);
    if (t->kind == SHORT_NTH) wrong("%s: %s: %s, because of a short read or write", what, err_name(e), why);
    if (e == ERR_INTERNAL) wrong("%s: %s: %s", what, err_name(e), why);
    return false;
}

static void append(struct trial *t, unsigned count)
{
    for (unsigned k = 0; k < count && !t->stopped; k++) {
        uint32_t i = model_begin(&t->m, &t->rnd, 0.3);
        bool ok = went(t, model_send(&t->m, t->s, i), "append");
        model_end(&t->m, i, ok);
    }
}

static bool open_store(struct trial *t)
{
    if (!went(t, store_open(&t->opts, &t->s), "open")) return false;
    if (went(t, store_stream_add(t->s, &t->m.named), "stream")) return true;
    store_close(t->s);
    return false;
}

static void look(struct trial *t)
{
    if (!t->stopped) (void)went(t, model_check(&t->m, t->s, NULL, 0), "read");
}

static void seal(struct trial *t)
{
    if (!t->stopped) (void)went(t, store_seal(t->s), "seal");
}

/* Whatever fails in the midst of it, all of its rows are there or none that it acked as gone. */
static void delete(struct trial *t, unsigned count)
{
    for (unsigned k = 0; k < count && !t->stopped; k++)
        (void)went(t, deletion_run(&t->m, t->s, &t->rnd) ? OK : err_record()->code, "delete");
}

static void keep(struct trial *t)
{
    if (!t->stopped) (void)went(t, keep_run(&t->m, t->s, &t->rnd, NS_PER_MS, 100 * NS_PER_MS) ? OK : err_record()->code, "keep");
}

static err_t script(void *arg)
{
    struct trial *t = arg;
    if (!open_store(t)) return OK;
    append(t, 4);
    seal(t);
    append(t, 3);
    look(t);
    delete(t, 3);
    keep(t);
    seal(t);
    for (unsigned k = 0; k < 4; k++) {
        append(t, 2);
        seal(t);
    }
    TRY(fiber_sleep(4 * NS_PER_S)); /* what was sealed is merged and uploaded */
    delete(t, 2);
    look(t);
    append(t, 2);
    store_close(t->s);
    if (t->stopped || !open_store(t)) return OK;
    look(t);
    append(t, 2);
    seal(t);
    look(t);
    store_close(t->s);
    return OK;
}

/* A life between the fault and the power cut: what it acks leans on what the fault left behind. */
static err_t short_life(void *arg)
{
    struct trial *t = arg;
    TRY(store_open(&t->opts, &t->s));
    TRY(store_stream_add(t->s, &t->m.named));
    append(t, 3);
    store_close(t->s);
    return OK;
}

static void start_and_cut(struct trial *t, struct sim_disk *disk)
{
    struct sim_opts o = { .watch_leaks = true };
    struct sim_result res;
    sim_run(t->n + 2, CORES, disk, &o, short_life, t, &res);
    if (res.stuck || res.result != OK) wrong("the next start: %s: %s", err_name(res.result), err_detail());
    sim_disk_crash(disk, t->n, NULL);
}

static err_t settle_main(void *arg)
{
    settle(arg);
    return OK;
}

/* -- a trial --------------------------------------------------------------------------------------------------- */

static bool fired(const struct trial *t, const struct sim_result *res)
{
    switch (t->kind) {
    case EIO_NTH:
    case NOSPC_NTH:
    case SHORT_NTH: return res->stats.could_fail >= t->n;
    case CATALOG_NTH:
    case LOST_NTH: return t->kv_faults.ops >= t->n;
    case BUDGET_NTH: return errinj_left(EI_BUDGET) == 0;
    default: return res->crashed;
    }
}

static void arm(struct trial *t, struct sim_opts *o)
{
    static const int errnos[] = { [EIO_NTH] = EIO, [NOSPC_NTH] = ENOSPC, [SHORT_NTH] = 0 };
    switch (t->kind) {
    case EIO_NTH:
    case NOSPC_NTH:
    case SHORT_NTH:
        o->fail_nth = t->n;
        o->fail_errno = errnos[t->kind];
        break;
    case CATALOG_NTH:
    case LOST_NTH:
        t->kv_faults.nth = t->n;
        t->kv_faults.nth_happens = t->kind == LOST_NTH;
        break;
    case BUDGET_NTH: errinj_arm(EI_BUDGET, (unsigned)t->n); break;
    default: o->crash_at = t->n;
    }
}

static void run_calm(struct trial *t, struct sim_disk *disk, uint64_t *checks)
{
    struct settle x = { .m = &t->m, .opts = t->opts, .after = kind_names[t->kind], .more = 1, .checks = checks };
    struct sim_opts o = { .watch_leaks = true };
    struct sim_result res;
    prng_init(&x.rnd, t->n);
    for (uint32_t i = 0; i < t->m.nrequests; i++)
        t->m.requests[i].busy = 0;
    sim_run(t->n + 1, CORES, disk, &o, settle_main, &x, &res);
    if (res.stuck || res.crashed) wrong("stuck when nothing fails");
}

/* False: nothing failed any more. */
static bool run_trial(enum kind_of_fault kind, uint64_t n, bool verbose, uint64_t *errors, uint64_t *checks)
{
    struct trial t = { .kind = kind, .n = n, .verbose = verbose };
    struct sim_opts o = { .watch_leaks = kind != POWER_NTH };
    struct sim_result res;
    struct sim_disk *disk = sim_disk_new(256 << 20);
    struct kv *sound = kv_mem_new(), *kv = kv_faulty_new(sound, &t.kv_faults);
    now = &t;
    current_seed = n;
    snprintf(current_place, sizeof current_place, " (nth %s)", kind_names[kind]);
    model_init(&t.m, 1);
    model_name_some(&t.m);
    prng_init(&t.rnd, 1);
    t.opts = (struct store_opts){ .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 16 << 20, .seal_age_ms = 3600000,
                                  .commit_bytes = 1 << 20, .refuse_share = 0.95, .on_failed = on_failed,
                                  .merge_bytes = 8 << 20, .merge_window_ms = 86400000, .merge_memory = 1 << 28,
                                  .object = object_mem_new(), .durable = "object", .durable_tenants = "", .object_cache_bytes = 1 << 20,
                                  .object_grace_ms = 3000, .retention_share = 1e-8 };
    arm(&t, &o);
    sim_run(1, CORES, disk, &o, script, &t, &res);
    if (res.stuck) wrong("stuck");
    bool hit = fired(&t, &res);
    errinj_arm(EI_BUDGET, 0);
    t.kv_faults = (struct kv_faults){ 0 };
    t.opts.on_failed = NULL;
    t.stopped = false;
    deletions_crashed(&t.m);
    if (kind == EIO_NTH) start_and_cut(&t, disk);
    run_calm(&t, disk, checks);
    *errors += t.errors;
    model_free(&t.m);
    object_mem_free(t.opts.object);
    free(kv);
    kv_mem_free(sound);
    sim_disk_free(disk);
    return hit;
}

static void look_for_leaks(const char *kind, uint64_t from, uint64_t to)
{
#ifdef LEAK_CHECK
    if (__lsan_do_recoverable_leak_check()) wrong("a leak, %s between n = %" PRIu64 " and %" PRIu64, kind, from, to);
#else
    (void)kind, (void)from, (void)to;
#endif
}

static void run_kind(enum kind_of_fault kind, uint64_t stride, bool verbose)
{
    uint64_t n = stride > 1 ? 1 + (uint64_t)kind % stride : 1, trials = 0, errors = 0, checks = 0, first = n;
    bool more = true;
    for (; more && n < NTH_MAX; n += stride) {
        more = run_trial(kind, n, verbose, &errors, &checks);
        if (++trials % LEAKS_EVERY == 0 || !more) {
            look_for_leaks(kind_names[kind], first, n);
            first = n + 1;
        }
    }
    if (more) wrong("%s: no end", kind_names[kind]);
    printf("nth %s: %" PRIu64 " trials up to n = %" PRIu64 ", %" PRIu64 " calls refused, %" PRIu64 " checks\n", kind_names[kind], trials,
           n - stride, errors, checks);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    uint64_t stride = 1, n = 0;
    int kind = -1;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        uint64_t v;
        bool number = i + 1 < argc && str_to_u64(str_of(argv[i + 1]), &v) && v > 0;
        if (!strcmp(argv[i], "-v")) {
            verbose = true;
        } else if (!strcmp(argv[i], "--kind") && i + 1 < argc) {
            for (kind = KINDS - 1; kind >= 0 && strcmp(argv[i + 1], kind_names[kind]) != 0;)
                kind--;
            if (kind < 0) return fprintf(stderr, "nth: no such kind\n"), 2;
            i++;
        } else if (!strcmp(argv[i], "--stride") && number) {
            stride = v;
            i++;
        } else if (!strcmp(argv[i], "--n") && number) {
            n = v;
            i++;
        } else {
            return fprintf(stderr, "nth [--kind KIND] [--stride S] [--n N] [-v]\n"), 2;
        }
    }
    log_init(verbose ? LOG_INFO : (enum log_level)(LOG_ERROR + 1), false);
    for (int k = 0; k < KINDS; k++) {
        if (kind >= 0 && k != kind) continue;
        if (n) {
            uint64_t errors = 0, checks = 0;
            printf("nth %s %" PRIu64 ": %s\n", kind_names[k], n, run_trial((enum kind_of_fault)k, n, verbose, &errors, &checks) ? "fired" : "did not fire");
        } else {
            run_kind((enum kind_of_fault)k, stride, verbose);
        }
    }
    return 0;
}
