/* The simulated cluster's driver.
 *
 *   sim_cluster --seed N [--seeds COUNT] [--nodes K] [--twice] [-v]
 *   sim_cluster --file FILE                      seeds from a file: one a line, `seed [nodes]`, # comments
 *
 * A seed runs in a process of its own (what a crashed node held in memory is never freed). It draws how many nodes, cores and clients
 * there are, the shape of their stores, which faults come and how often; script.h tells what happens and what is checked. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/rt/sim.h"
#include "tests/cluster/script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

enum { RARE, ALWAYS };

enum { TENANTS_FROM = 30000, SINGLES_FROM = 110000 }; /* seeds: those before it have no tenants with settings of their own, of a single copy */

/* -- a seed ------------------------------------------------------------------------------------------------------------------- */
static unsigned draw_nodes(struct prng *r)
{
    static const unsigned usual[] = { 3, 3, 3, 3, 3, 3, 4, 5, 5, 6, 7, 2, 2, 1 };
    return usual[prng_below(r, ARRAY_LEN(usual))];
}

static void draw_shape(struct prng *r, unsigned nodes, struct node_shape *h)
{
    *h = (struct node_shape){ .replicas = 3, .quorum = 2, .dead_after_ms = 600000 };
    if (nodes >= 5 && prng_chance(r, 0.2)) {
        h->replicas = 5;
        h->quorum = 3;
    }
    h->mem_bytes = prng_chance(r, 0.2) ? 1 << 20 : 16 << 20;
    h->seal_age_ms = prng_chance(r, 0.5) ? 200 + (int64_t)prng_below(r, 5000) : 60000;
    h->merge_bytes = prng_chance(r, 0.6) ? INT64_C(1) << (14 + prng_below(r, 12)) : 0;
    if (prng_chance(r, 0.1)) h->dead_after_ms = 5000 + (int64_t)prng_below(r, 10000);
    h->log_keep_ms = 3 * 3600 * 1000;
}

/* By chances of their own: seeds without deletions are what they were before there were any. */
static void draw_deletions(struct world *w, uint64_t seed)
{
    prng_init(&w->deleting, seed ^ UINT64_C(0x64656c657465));
    if (prng_chance(&w->deleting, 0.7)) w->delete_every_ns = (500 + (int64_t)prng_below(&w->deleting, 8000)) * NS_PER_MS;
    w->shape.retire_after_ms = 2000 + (int64_t)prng_below(&w->deleting, 60000);
}

/* Tenants with more copies than others, with a single one, and tenants on few nodes: in some of the seeds each, by a draw of its own, so that the seeds of the
 * past are as they were. */
static void draw_tenants(uint64_t seed, unsigned nodes, struct node_shape *h)
{
    struct prng r;
    prng_init(&r, seed ^ UINT64_C(0x74656e616e7473));
    if (seed < TENANTS_FROM || nodes < 3) return;
    if (prng_chance(&r, 0.33)) {
        h->named_replicas = STREAM_MEMBERS_MAX;
        snprintf(h->tenants, sizeof h->tenants, "%.40s=%u/%u", tenant_name(WIDE_TENANT).p, h->named_replicas, h->quorum + (nodes > 3));
    }
    if (seed >= SINGLES_FROM && prng_chance(&r, 0.6)) {
        size_t at = strlen(h->tenants);
        h->single = true;
        snprintf(h->tenants + at, sizeof h->tenants - at, "%s%.40s=1/1", at ? "," : "", tenant_name(SINGLE_TENANT).p);
    }
    if (nodes > h->replicas && prng_chance(&r, 0.5)) h->tenant_nodes = h->replicas + (uint32_t)prng_below(&r, nodes - h->replicas);
}

static void run_seed(uint64_t seed, unsigned nodes, bool verbose, struct report *rep)
{
    static struct world w;
    struct sim_result res;
    *rep = (struct report){ 0 };
    w = (struct world){ .rep = rep, .verbose = verbose };
    current_seed = seed;
    log_init(verbose ? LOG_INFO : (enum log_level)(LOG_ERROR + 1), false);
    prng_init(&w.rnd, seed);
    w.n = draw_nodes(&w.rnd);
    if (nodes) w.n = nodes;
    draw_shape(&w.rnd, w.n, &w.shape);
    draw_tenants(seed, w.n, &w.shape);
    w.moves = w.shape.dead_after_ms < 60000;
    model_init(&w.m, prng_next(&w.rnd));
    w.work_ns = (5 + (int64_t)prng_below(&w.rnd, 40)) * NS_PER_S;
    w.writers = 1 + (unsigned)prng_below(&w.rnd, WRITERS_MAX);
    w.readers = 1 + (unsigned)prng_below(&w.rnd, READERS_MAX);
    w.write_every_ns = (20 + (int64_t)prng_below(&w.rnd, 1000)) * NS_PER_MS;
    draw_deletions(&w, seed);
    sim_world_run(seed, 3600 * NS_PER_S, script_main, &w, &res, NULL);
    if (res.stuck) wrong("the world is stuck");
    if (res.crashed || res.result != OK) wrong("the script ends with %s", err_name(res.result));
    rep->hash = res.trace_hash;
    rep->virtual_ns = res.virtual_ns;
    rep->nodes = w.n;
    rep->requests = w.m.nrequests;
    rep->acked = w.m.acked;
    rep->rows = w.m.nrows;
    rep->whole = true;
}

/* In a child: false when it failed. */
static bool run_apart(uint64_t seed, unsigned nodes, bool verbose, struct report *rep)
{
    int fd[2];
    if (pipe(fd) != 0) return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        run_seed(seed, nodes, verbose, rep);
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
    fprintf(stderr, "sim_cluster: seed %" PRIu64 " FAILED (status %d)\n", seed, status);
    return false;
}

/* -- many ---------------------------------------------------------------------------------------------------------------------- */
struct totals {
    bool twice, verbose, quiet;
    uint64_t seeds, failures;
    struct report sum;
};

static void add(struct report *to, const struct report *r)
{
#define X(when, name, text) to->name += r->name;
    CLUSTER_COUNTERS(X)
#undef X
    to->virtual_ns += r->virtual_ns;
    to->live_max_ns = MAX(to->live_max_ns, r->live_max_ns);
    to->members_max_ns = MAX(to->members_max_ns, r->members_max_ns);
}

static void run_one(struct totals *t, uint64_t seed, unsigned nodes)
{
    struct report r, again;
    t->seeds++;
    if (!run_apart(seed, nodes, t->verbose, &r)) {
        t->failures++;
        return;
    }
    if (!t->quiet) printf("seed %" PRIu64 " hash %016" PRIx64 " nodes %" PRIu64 " %.0f s\n", seed, r.hash, r.nodes, (double)r.virtual_ns / 1e9);
    if (t->twice && (!run_apart(seed, nodes, false, &again) || again.hash != r.hash)) {
        fprintf(stderr, "sim_cluster: C11: seed %" PRIu64 ": another hash the second time\n", seed);
        t->failures++;
    }
    add(&t->sum, &r);
}

static bool run_file(struct totals *t, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        uint64_t seed;
        unsigned nodes = 0;
        if (sscanf(line, "%" SCNu64 " %u", &seed, &nodes) >= 1) run_one(t, seed, nodes);
    }
    fclose(f);
    return true;
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool print(const struct totals *t, double real_s)
{
    const struct report *r = &t->sum;
    bool all = true;
    printf("sim_cluster: %" PRIu64 " seeds, %" PRIu64 " failed", t->seeds, t->failures);
#define X(when, name, text) printf(", %" PRIu64 " " text, r->name);
    CLUSTER_COUNTERS(X)
#undef X
    printf("\nsim_cluster: %.0f virtual s in %.0f s: %.1f to one; well again after %.1f s at most, known to each other after %.1f s\n",
           (double)r->virtual_ns / 1e9, real_s, (double)r->virtual_ns / 1e9 / real_s, (double)r->live_max_ns / 1e9, (double)r->members_max_ns / 1e9);
    if (t->seeds < SEEDS_PROVE) return true;
#define X(when, name, text) \
    if (when == ALWAYS && r->name == 0) { \
        printf("sim_cluster: FAILED: in so many seeds not once: %s\n", text); \
        all = false; \
    }
    CLUSTER_COUNTERS(X)
#undef X
    return all;
}

static int usage(void)
{
    fprintf(stderr, "sim_cluster [--seed N] [--seeds COUNT] [--nodes K] [--file FILE] [--twice] [-v]\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, seeds = 1;
    unsigned nodes = 0;
    struct totals t = { 0 };
    const char *file = NULL;
    double began = seconds();
    for (int i = 1; i < argc; i++) {
        uint64_t v = 0;
        bool number = i + 1 < argc && str_to_u64(str_of(argv[i + 1]), &v);
        if (!strcmp(argv[i], "--twice")) t.twice = true;
        else if (!strcmp(argv[i], "-v")) t.verbose = true;
        else if (!strcmp(argv[i], "--file") && i + 1 < argc) file = argv[++i];
        else if (!number) return usage();
        else if (!strcmp(argv[i], "--seed")) seed = v, i++;
        else if (!strcmp(argv[i], "--seeds")) seeds = v, i++;
        else if (!strcmp(argv[i], "--nodes") && v >= 1 && v <= NODES_MAX) nodes = (unsigned)v, i++;
        else return usage();
    }
    t.quiet = seeds > 10 && !t.verbose;
    if (file) {
        if (!run_file(&t, file)) return usage();
    } else {
        for (uint64_t k = 0; k < seeds; k++)
            run_one(&t, seed + k, nodes);
    }
    return print(&t, seconds() - began) && t.failures == 0 ? 0 : 1;
}
