/* The log of a core on the simulated disk: group commit, files that follow each other, failure, rot. */
#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/core/hash.h"
#include "base/rt/file.h"
#include "base/rt/sim.h"
#include "storage/wal.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES = 1 << 20 };

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static unsigned failures;
static void on_failed(void *ctx, const char *why)
{
    (void)ctx;
    ASSERT(why[0] != 0);
    failures++;
}

static const struct wal_opts OPTS = { .dir = "/d/wal", .core = 0, .number_first = 1, .file_bytes = FILE_BYTES,
                                      .commit_bytes = 64 << 10, .on_failed = on_failed };

static uint8_t *bytes_of(uint64_t i, size_t n)
{
    uint8_t *p = malloc(n + 1);
    ASSERT(p);
    for (size_t k = 0; k < n; k++)
        p[k] = (uint8_t)(i * 31 + k * 7);
    return p;
}
static size_t size_of(uint64_t i)
{
    return 1 + i * 977 % 30000;
}

static err_t append(struct wal *w, uint64_t generation, uint64_t i, size_t n)
{
    uint8_t *p = bytes_of(i, n);
    struct wal_ticket t = { .generation = generation, .payload = str_n(p, n), .payload_hash = hash64(str_n(p, n)) };
    wal_submit(w, &t);
    err_t e = wal_wait(w, &t);
    free(p);
    return e;
}

struct check {
    uint64_t next;      /* index expected */
    uint64_t gaps;
    size_t (*size)(uint64_t);
};
static err_t on_frame(void *ctx, const struct wal_frame *f)
{
    struct check *c = ctx;
    while (c->size(c->next) != f->payload.n) {
        c->gaps++;
        c->next++;
        ASSERT(c->next < 100000);
    }
    uint8_t *p = bytes_of(c->next, f->payload.n);
    ASSERT(memcmp(p, f->payload.p, f->payload.n) == 0);
    free(p);
    c->next++;
    return OK;
}

/* Replays everything under /d/wal; the sums. */
static struct wal_replayed replay_all(struct check *c, uint32_t *files)
{
    struct wal_replayed sum = { 0 };
    struct arena a;
    arena_init(&a, NULL);
    struct wal_log *logs;
    uint32_t n;
    err_t e = wal_scan("/d/wal", &a, &logs, &n);
    ASSERT(e == OK);
    ASSERT(n == 1);
    *files = 0;
    for (uint32_t i = 0; i < logs[0].count; i++) {
        struct wal_replayed r;
        if (logs[0].files[i].dead) continue;
        e = wal_replay(&logs[0].files[i], on_frame, c, &r);
        ASSERT(e == OK);
        sum.frames += r.frames;
        sum.rotten += r.rotten;
        (*files)++;
    }
    arena_deinit(&a);
    return sum;
}

/* -- one after another, several files, a frame bigger than a file ------------------------------------------- */

static size_t with_a_big_one(uint64_t i)
{
    return i == 70 ? (5 << 20) + 3 : size_of(i);
}
static err_t in_order(void *arg)
{
    (void)arg;
    struct wal *w;
    TRY(fs_mkdirs("/d/wal"));
    TRY(wal_open(&OPTS, &w));
    for (uint64_t i = 0; i < 150; i++)
        TRY(append(w, i < 100 ? 1 : 2, i, with_a_big_one(i)));
    wal_close(w);
    struct check c = { .size = with_a_big_one };
    uint32_t files;
    struct wal_replayed r = replay_all(&c, &files);
    ASSERT(r.frames == 150);
    ASSERT(r.rotten == 0);
    ASSERT(c.gaps == 0);
    ASSERT(files >= 4);
    return OK;
}

/* -- files live again ------------------------------------------------------------------------------------------- */

static err_t reuse(void *arg)
{
    (void)arg;
    struct wal *w;
    TRY(fs_mkdirs("/d/wal"));
    TRY(wal_open(&OPTS, &w));
    for (uint64_t i = 0; i < 120; i++) {
        TRY(append(w, 1 + i / 10, i, size_of(i)));
        if (i % 10 == 9 && i > 20) wal_drop(w, i / 10 - 1, true, NULL, NULL, NULL);
    }
    wal_close(w);
    struct arena a;
    arena_init(&a, NULL);
    struct str *names;
    size_t n;
    TRY(fs_list("/d/wal/0", &a, &names, &n));
    ASSERT(n <= 6);
    arena_deinit(&a);
    return OK;
}

/* -- many fibers ------------------------------------------------------------------------------------------------- */

struct one {
    struct wal *w;
    uint64_t i;
    err_t result;
};
static void one_fiber(void *arg)
{
    struct one *o = arg;
    o->result = append(o->w, 1, o->i, 100);
}
static err_t grouped(void *arg)
{
    (void)arg;
    enum { N = 200 };
    struct wal *w;
    TRY(fs_mkdirs("/d/wal"));
    TRY(wal_open(&OPTS, &w));
    static struct one ones[N];
    struct scope s;
    scope_init(&s, NULL);
    const struct fiber_opts fo = { .name = "one", .class = RT_INGEST };
    uint64_t syncs = sim_stats_now()->syncs;
    for (uint64_t i = 0; i < N; i++) {
        ones[i] = (struct one){ w, i, ERR_INTERNAL };
        TRY(fiber_start(&s, &fo, one_fiber, &ones[i]));
    }
    TRY(scope_join(&s));
    scope_deinit(&s);
    for (uint64_t i = 0; i < N; i++)
        ASSERT(ones[i].result == OK);
    ASSERT(sim_stats_now()->syncs - syncs < 10);
    wal_close(w);
    return OK;
}

/* -- failure and refusal --------------------------------------------------------------------------------------------- */

static err_t failing(void *arg)
{
    (void)arg;
    struct wal *w;
    TRY(fs_mkdirs("/d/wal"));
    TRY(wal_open(&OPTS, &w));
    TRY(append(w, 1, 0, 100));
    errinj_arm(EI_WAL_APPEND, 1);
    ASSERT(append(w, 1, 1, 100) == ERR_NOSPC);
    ASSERT(wal_epoch(w) == 1);
    ASSERT(!wal_failed(w));
    TRY(append(w, 1, 1, 100));
    sim_set_faults(&(struct sim_faults){ .eio_sync = 1 });
    ASSERT(append(w, 1, 2, 100) == ERR_IO);
    sim_set_faults(&(struct sim_faults){ 0 });
    ASSERT(append(w, 1, 3, 100) == ERR_IO);
    ASSERT(failures == 1);
    ASSERT(wal_failed(w));
    wal_close(w);
    return OK;
}

/* -- rot ---------------------------------------------------------------------------------------------------------------- */

static err_t write_some(void *arg)
{
    (void)arg;
    struct wal *w;
    TRY(fs_mkdirs("/d/wal"));
    TRY(wal_open(&OPTS, &w));
    for (uint64_t i = 0; i < 20; i++)
        TRY(append(w, 1, i, size_of(i)));
    wal_close(w);
    return OK;
}
static err_t read_rotten(void *arg)
{
    struct wal_replayed *out = arg;
    struct check c = { .size = size_of };
    uint32_t files;
    *out = replay_all(&c, &files);
    return OK;
}

static void run(const char *name, err_t (*fn)(void *), void *arg, struct sim_disk *d)
{
    struct sim_disk *own = d ? d : sim_disk_new(1 << 30);
    struct sim_result r;
    sim_run(7, 1, own, &(struct sim_opts){ 0 }, fn, arg, &r);
    printf("%s: %s, %llu steps\n", name, err_name(r.result), (unsigned long long)r.stats.steps);
    ASSERT(!r.crashed);
    ASSERT(!r.stuck);
    ASSERT(r.result == OK);
    if (!d) sim_disk_free(own);
}

int main(void)
{
    run("in order", in_order, NULL, NULL);
    run("reuse", reuse, NULL, NULL);
    run("grouped", grouped, NULL, NULL);
    run("failing", failing, NULL, NULL);
    unsigned found = 0, lost = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_disk *d = sim_disk_new(1 << 30);
        struct wal_replayed r;
        run("write", write_some, NULL, d);
        ASSERT(sim_disk_rot(d, "/d/wal/0/0000000000000001.wal", seed, 1));
        run("rotten", read_rotten, &r, d);
        found += r.rotten;
        lost += r.frames < 20;
        ASSERT(r.rotten == (r.frames < 19) || r.frames == 19);
        sim_disk_free(d);
    }
    printf("rot: %u of 40 lost frames, %u proven\n", lost, found);
    ASSERT(found > 0);
    return 0;
}
