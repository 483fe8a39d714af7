/* crash --states N [--seed FIRST] [--each M] [--jobs J]   N different disks, at most M of each workload (seeds FIRST, FIRST + 1, ...)
 * crash --seed S --only STATE [-v]                      one disk again, as a failure named it
 *
 * A workload's states are tried in a process of its own, J at a time; each says which disks it tried, so that
 * none counts twice. */
#include "tests/crash/crash.h"

#include "base/core/assert.h"
#include "base/core/htab.h"
#include "base/core/log.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 16, EACH_MAX = 100000 };

struct answer { /* of a process, followed by n hashes */
    struct tally sum;
    uint64_t n;
};
struct job {
    pid_t pid;
    int fd;
    uint64_t seed;
    volatile uint64_t *now; /* shared with it */
};
struct run {
    uint64_t states, first, each;
    unsigned jobs;
    struct job job[JOBS_MAX];
    struct htab seen;
    uint64_t *hashes, nhashes, cap;
    uint64_t seed, workloads, failures, known;
    struct tally sum;
};

static bool put(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t k = write(fd, at, n);
        if (k <= 0) return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}
static bool get(int fd, void *p, size_t n)
{
    for (char *at = p; n > 0;) {
        ssize_t k = read(fd, at, n);
        if (k <= 0) return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

static void child(uint64_t seed, uint64_t each, int fd, volatile uint64_t *now)
{
    struct work w;
    struct answer a = { 0 };
    uint64_t *hashes = malloc((each + 2) * sizeof *hashes);
    ASSERT(hashes != NULL);
    current_seed = seed;
    work_init(&w, seed);
    states_run(&w, each, -1, hashes, &a.n, &a.sum, now);
    model_free(&w.m);
    if (!put(fd, &a, sizeof a) || !put(fd, hashes, a.n * sizeof *hashes)) _exit(1);
    free(hashes);
    exit(0); /* leaks are looked for */
}

static void start(struct run *r, struct job *j)
{
    int fd[2];
    j->seed = r->seed++;
    if (!j->now) {
        j->now = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT(j->now != MAP_FAILED);
    }
    *j->now = UINT64_MAX;
    ASSERT(pipe(fd) == 0);
    fflush(NULL);
    j->pid = fork();
    ASSERT(j->pid >= 0);
    if (j->pid == 0) {
        close(fd[0]);
        child(j->seed, r->each, fd[1], j->now);
    }
    close(fd[1]);
    j->fd = fd[0];
}

static void add_tally(struct tally *to, const struct tally *s)
{
    const uint64_t *from = (const uint64_t *)s;
    for (size_t i = 0; i < sizeof *s / sizeof *from; i++)
        ((uint64_t *)to)[i] += from[i];
}

static void take_hash(struct run *r, uint64_t h)
{
    for (uint32_t it = 0, v; htab_next(&r->seen, h, &it, &v);)
        if (r->hashes[v] == h) {
            r->known++;
            return;
        }
    if (r->nhashes == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 4096;
        r->hashes = realloc(r->hashes, r->cap * sizeof *r->hashes);
        ASSERT(r->hashes != NULL);
    }
    htab_insert(&r->seen, h, (uint32_t)r->nhashes);
    r->hashes[r->nhashes++] = h;
}

static void finish(struct run *r, struct job *j)
{
    struct answer a;
    int status = 0;
    bool whole = get(j->fd, &a, sizeof a) && a.n <= r->each + 2;
    for (uint64_t i = 0, h; whole && i < a.n; i++) {
        whole = get(j->fd, &h, sizeof h);
        if (whole) take_hash(r, h);
    }
    close(j->fd);
    waitpid(j->pid, &status, 0);
    j->pid = 0;
    r->workloads++;
    if (whole) add_tally(&r->sum, &a.sum);
    if (whole && status == 0) return;
    r->failures++;
    fprintf(stderr, "crash: workload %" PRIu64 " FAILED (status %d); again: crash --seed %" PRIu64 " --only %" PRId64 "\n", j->seed,
            status, j->seed, (int64_t)*j->now);
}

static void wait_one(struct run *r)
{
    struct pollfd p[JOBS_MAX];
    unsigned n = 0, which[JOBS_MAX];
    for (unsigned i = 0; i < r->jobs; i++)
        if (r->job[i].pid) {
            p[n] = (struct pollfd){ .fd = r->job[i].fd, .events = POLLIN };
            which[n++] = i;
        }
    ASSERT(poll(p, n, -1) > 0);
    for (unsigned i = 0; i < n; i++)
        if (p[i].revents) finish(r, &r->job[which[i]]);
}

static unsigned busy(const struct run *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->jobs; i++)
        n += r->job[i].pid != 0;
    return n;
}

static int print(const struct run *r)
{
    const struct tally *t = &r->sum;
    const struct sim_stats *f = &t->faults;
    printf("crash: %" PRIu64 " different states of %" PRIu64 " workloads, %" PRIu64 " failed; %" PRIu64 " of them after a second power cut in the recovery; %" PRIu64
           " possible at %" PRIu64 " places (%" PRIu64 " places tried whole), %" PRIu64 " seen twice\n",
           r->nhashes, r->workloads, r->failures, t->again, t->candidates, t->places, t->complete, r->known);
    printf("crash: workloads with %" PRIu64 " merges, %" PRIu64 " deletions, %" PRIu64 " rules of retention, %" PRIu64 " uploads, %" PRIu64
           " bytes evicted, %" PRIu64 " ballasts let go; trials with %" PRIu64 " disks lost, %" PRIu64 " segments put back\n", t->merges, t->deletions,
           t->keeps, t->uploads, t->evictions, t->ballasts, t->takeovers, t->put_back);
    printf("crash: %" PRIu64 " checks, %" PRIu64 " acked rows found again; writes lost %" PRIu64 ", kept %" PRIu64 ", torn %" PRIu64
           "; names lost %" PRIu64 ", kept %" PRIu64 "\n", t->checks, t->acked_rows, f->crash_writes_lost, f->crash_writes_kept,
           f->crash_writes_torn, f->crash_names_lost, f->crash_names_kept);
    return r->failures == 0 && r->nhashes >= r->states ? 0 : 1;
}

static int run_all(struct run *r)
{
    htab_init(&r->seen, NULL);
    r->seed = r->first;
    while (r->nhashes < r->states && r->failures == 0) {
        for (unsigned i = 0; i < r->jobs; i++)
            if (!r->job[i].pid && r->nhashes + busy(r) * r->each < r->states) start(r, &r->job[i]);
        wait_one(r);
    }
    while (busy(r))
        wait_one(r);
    int rc = print(r);
    htab_deinit(&r->seen);
    free(r->hashes);
    return rc;
}

static int run_only(uint64_t seed, int64_t only)
{
    struct work w;
    struct tally sum = { 0 };
    uint64_t hashes[4], n, now = 0;
    current_seed = seed;
    work_init(&w, seed);
    states_run(&w, 2, only, hashes, &n, &sum, &now);
    printf("crash: seed %" PRIu64 ": %" PRIu64 " states of %" PRIu64 " are well\n", seed, sum.states, sum.candidates);
    model_free(&w.m);
    return n ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr, "crash --states N [--seed FIRST] [--each M] [--jobs J] | crash --seed S --only STATE [-v]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct run r = { .first = 1, .each = 500, .jobs = 2 };
    int64_t only = -1;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        uint64_t v;
        bool number = i + 1 < argc && str_to_u64(str_of(argv[i + 1]), &v);
        if (!strcmp(argv[i], "-v")) verbose = true;
        else if (!number) return usage();
        else if (!strcmp(argv[i], "--states")) r.states = v, i++;
        else if (!strcmp(argv[i], "--seed")) r.first = v, i++;
        else if (!strcmp(argv[i], "--each") && v > 0 && v <= EACH_MAX) r.each = v, i++;
        else if (!strcmp(argv[i], "--jobs") && v > 0 && v <= JOBS_MAX) r.jobs = (unsigned)v, i++;
        else if (!strcmp(argv[i], "--only")) only = (int64_t)v, i++;
        else return usage();
    }
    log_init(verbose ? LOG_INFO : (enum log_level)(LOG_ERROR + 1), false);
    if (only >= 0) return run_only(r.first, only);
    return r.states ? run_all(&r) : usage();
}
