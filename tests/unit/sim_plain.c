/* The simulator itself: determinism, what a crash may and may not lose, and that every fault fires. */
#include "base/core/log.h"
#include "base/rt/file.h"
#include "base/rt/sim.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sim_opts calm;

/* -- a little log: appends records on two cores, remembers what was acked ----------------------------- */
enum { RECORD = 1536, RECORDS = 40 };

struct node {
    unsigned acked; /* records whose write_sync answered OK */
};

static void fill(uint8_t *rec, unsigned i)
{
    for (unsigned k = 0; k < RECORD; k++)
        rec[k] = (uint8_t)(i * 31 + k * 7 + 1);
}

static err_t far_pause(void *arg)
{
    (void)arg;
    return fiber_sleep((int64_t)(rt_random() % 100000));
}

static err_t append_all(void *arg)
{
    struct node *n = arg;
    struct file f;
    uint8_t rec[RECORD];
    err_t e;
    TRY(fs_mkdirs("/data/log"));
    TRY(file_open(&f, "/data/log/temp", FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE));
    TRY_OUT(e, fs_publish(&f, "/data/log/0001"));
    for (unsigned i = 0; i < RECORDS; i++) {
        fill(rec, i);
        TRY_OUT(e, rt_call(i % rt_cores(), RT_INGEST, far_pause, NULL));
        TRY_OUT(e, file_write_sync(&f, rec, RECORD, (uint64_t)i * RECORD));
        n->acked = i + 1;
    }
out:
    file_close(&f);
    return e;
}

static err_t check_all(void *arg)
{
    const struct node *n = arg;
    struct file f;
    uint8_t rec[RECORD], want[RECORD];
    if (!n->acked) return OK;
    CHECK(file_open(&f, "/data/log/0001", FILE_READ) == OK);
    for (unsigned i = 0; i < n->acked; i++) {
        CHECK(file_read(&f, rec, RECORD, (uint64_t)i * RECORD, NULL) == OK);
        fill(want, i);
        CHECK(memcmp(rec, want, RECORD) == 0);
    }
    file_close(&f);
    return OK;
}

static void test_same_seed_same_run(void)
{
    uint64_t hash[3];
    int64_t took = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct sim_disk *d = sim_disk_new(1 << 30);
        struct node n = { 0 };
        struct sim_result r;
        sim_run(i == 2 ? 8 : 7, 3, d, &calm, append_all, &n, &r);
        CHECK(!r.crashed && !r.stuck && r.result == OK && n.acked == RECORDS);
        CHECK(r.stats.syncs >= RECORDS && r.virtual_ns > 0);
        CHECK(i != 1 || r.virtual_ns == took);
        took = r.virtual_ns;
        hash[i] = r.trace_hash;
        sim_disk_free(d);
    }
    CHECK(hash[0] == hash[1] && hash[0] != hash[2]);
    /* To be compared by eye between processes, builds and machines. */
    fprintf(stderr, "sim_plain: trace %016llx\n", (unsigned long long)hash[0]);
}

static void test_crash_at_every_step(void)
{
    struct sim_stats sum = { 0 };
    unsigned crashes = 0, most = 0;
    unsigned rounds = 6;
    for (uint64_t at = 1; rounds; at++) {
        struct sim_disk *d = sim_disk_new(1 << 30);
        struct node n = { 0 };
        struct sim_result r;
        struct sim_opts o = { .crash_at = at };
        sim_run(at * 10 + rounds, 2, d, &o, append_all, &n, &r);
        bool over = !r.crashed;
        crashes += r.crashed;
        most = MAX(most, n.acked);
        sum.crash_writes_torn += r.stats.crash_writes_torn;
        sum.crash_writes_lost += r.stats.crash_writes_lost;
        sum.crash_writes_kept += r.stats.crash_writes_kept;
        sum.crash_names_lost += r.stats.crash_names_lost;
        sum.crash_names_kept += r.stats.crash_names_kept;
        sim_run(at + 1, 2, d, &calm, check_all, &n, &r);
        CHECK(!r.crashed && !r.stuck && r.result == OK);
        sim_disk_free(d);
        if (over) {
            at = 0;
            rounds--;
        }
    }
    fprintf(stderr, "sim_plain: %u crashes, writes lost %llu kept %llu torn %llu, names lost %llu kept %llu\n",
            crashes, (unsigned long long)sum.crash_writes_lost, (unsigned long long)sum.crash_writes_kept,
            (unsigned long long)sum.crash_writes_torn, (unsigned long long)sum.crash_names_lost,
            (unsigned long long)sum.crash_names_kept);
    CHECK(crashes > 100 && most == RECORDS);
    CHECK(sum.crash_writes_lost && sum.crash_writes_kept && sum.crash_writes_torn);
    CHECK(sum.crash_names_lost && sum.crash_names_kept);
}

/* -- what an unsynced write may become ------------------------------------------------------------------ */
static err_t write_unsynced(void *arg)
{
    struct file f;
    static uint8_t page[8192];
    (void)arg;
    TRY(file_open(&f, "/f", FILE_WRITE | FILE_CREATE));
    memset(page, 'a', sizeof page);
    TRY(file_write_sync(&f, page, sizeof page, 0));
    TRY(fs_sync_dir("/"));
    memset(page, 'b', sizeof page);
    TRY(file_write(&f, page, sizeof page, 0));
    sim_crash();
    return OK;
}

static void test_unsynced_is_lost_kept_or_torn(void)
{
    unsigned lost = 0, kept = 0, torn = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_disk *d = sim_disk_new(1 << 20);
        struct sim_result r;
        size_t n = 0, b = 0;
        sim_run(seed, 1, d, &calm, write_unsynced, NULL, &r);
        CHECK(r.crashed);
        uint8_t *bytes = sim_disk_read(d, "/f", &n);
        CHECK(bytes && n == 8192);
        for (size_t i = 0; i < n; i++) {
            CHECK(bytes[i] == 'a' || bytes[i] == 'b');
            b += bytes[i] == 'b';
        }
        CHECK(b % 512 == 0);
        lost += b == 0;
        kept += b == n;
        torn += b != 0 && b != n;
        free(bytes);
        sim_disk_free(d);
    }
    CHECK(lost && kept && torn);
}

/* -- a failed sync ---------------------------------------------------------------------------------------- */
static err_t write_bad_sync(void *arg)
{
    struct file f;
    (void)arg;
    struct sim_faults bad = { .eio_sync = 1 }, none = { 0 };
    TRY(file_open(&f, "/f", FILE_READ | FILE_WRITE | FILE_CREATE));
    TRY(fs_sync_dir("/"));
    TRY(file_write(&f, "lost", 4, 0));
    sim_set_faults(&bad);
    CHECK(file_sync(&f) == ERR_IO);
    sim_set_faults(&none);
    CHECK(file_sync(&f) == OK); /* says nothing about what the first one dropped */
    TRY(file_write_sync(&f, "kept", 4, 4096));
    char back[4];
    TRY(file_read(&f, back, 4, 0, NULL));
    CHECK(memcmp(back, "lost", 4) == 0);
    sim_crash();
    return OK;
}

static void test_failed_sync_drops(void)
{
    struct sim_disk *d = sim_disk_new(1 << 20);
    struct sim_result r;
    size_t n;
    sim_run(3, 1, d, &calm, write_bad_sync, NULL, &r);
    CHECK(r.crashed && r.stats.eio_sync == 1);
    uint8_t *bytes = sim_disk_read(d, "/f", &n);
    CHECK(n == 4100 && memcmp(bytes, "\0\0\0\0", 4) == 0 && memcmp(bytes + 4096, "kept", 4) == 0);
    free(bytes);
    CHECK(sim_disk_rot(d, "/f", 5, 3));
    bytes = sim_disk_read(d, "/f", &n);
    unsigned ones = 0;
    for (size_t i = 0; i < 4096; i++)
        ones += (unsigned)__builtin_popcount(bytes[i]);
    CHECK(ones > 0 && ones <= 3);
    free(bytes);
    sim_disk_free(d);
}

/* -- every fault ------------------------------------------------------------------------------------------- */
static void tolerate(err_t e)
{
    CHECK(e == OK || e == ERR_IO || e == ERR_NOSPC);
}

static err_t suffer(void *arg)
{
    struct file f;
    uint8_t *page = aligned_alloc(FILE_ALIGN, 4 * FILE_ALIGN);
    (void)arg;
    while (file_open(&f, "/f", FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT) != OK)
        ;
    for (unsigned i = 0; i < 300; i++) {
        size_t got;
        uint64_t off = (i % 16) * UINT64_C(4) * FILE_ALIGN;
        memset(page, (int)i, 4 * FILE_ALIGN);
        err_t e = file_write(&f, page, 4 * FILE_ALIGN, off);
        tolerate(e);
        memset(page, 0, 4 * FILE_ALIGN);
        err_t er = file_read(&f, page, 4 * FILE_ALIGN, off, &got);
        tolerate(er);
        if (!e && !er) {
            CHECK(got == 4 * FILE_ALIGN);
            for (size_t k = 0; k < got; k++)
                CHECK(page[k] == (uint8_t)i);
        }
        tolerate(file_sync(&f));
        tolerate(file_allocate(&f, 300 * UINT64_C(4096) + i));
    }
    CHECK(file_read(&f, page + 1, 4096, 0, NULL) == ERR_IO); /* not aligned */
    file_close(&f);
    free(page);
    return OK;
}

static void test_faults_fire(void)
{
    struct sim_disk *d = sim_disk_new(UINT64_C(1) << 30);
    struct sim_result r;
    struct sim_opts o = { .faults = { .eio_read = 0.05, .eio_write = 0.05, .eio_sync = 0.05, .enospc = 0.05,
                                      .short_write = 0.1, .short_read = 0.1, .slow = 0.05,
                                      .slow_ns = 50 * NS_PER_MS } };
    sim_run(11, 2, d, &o, suffer, NULL, &r);
    CHECK(r.result == OK && !r.stuck && !r.crashed);
    CHECK(r.stats.eio_read && r.stats.eio_write && r.stats.eio_sync && r.stats.enospc);
    CHECK(r.stats.short_write && r.stats.short_read && r.stats.slow);
    sim_disk_free(d);
}

static err_t fill_disk(void *arg)
{
    struct file f;
    static char page[4096] = { 1 };
    struct fs_space sp;
    (void)arg;
    TRY(file_open(&f, "/f", FILE_WRITE | FILE_CREATE));
    CHECK(file_allocate(&f, 1 << 20) == ERR_NOSPC);
    err_t e = OK;
    uint64_t off = 0;
    while ((e = file_write(&f, page, sizeof page, off)) == OK)
        off += sizeof page;
    CHECK(e == ERR_NOSPC && off == 64 << 10);
    CHECK(fs_space("/", &sp) == OK && sp.free_bytes == 0 && sp.total_bytes == 64 << 10);
    file_close(&f);
    return OK;
}

static void test_full_disk(void)
{
    struct sim_disk *d = sim_disk_new(64 << 10);
    struct sim_result r;
    sim_run(1, 1, d, NULL, fill_disk, NULL, &r);
    CHECK(r.result == OK && !r.stuck && !r.crashed);
    sim_disk_free(d);
}

/* -- names ------------------------------------------------------------------------------------------------- */
static err_t use_names(void *arg)
{
    struct file f;
    struct arena a;
    struct str *names;
    size_t n;
    (void)arg;
    arena_init(&a, NULL);
    CHECK(file_open(&f, "/no/f", FILE_WRITE | FILE_CREATE) == ERR_NOT_FOUND);
    TRY(fs_mkdirs("/x/y/z"));
    TRY(fs_mkdirs("/x/y/z"));
    for (int i = 0; i < 5; i++) {
        char p[64];
        snprintf(p, sizeof p, "/x//y/./f%d", 4 - i);
        TRY(file_open(&f, p, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE));
        file_close(&f);
    }
    CHECK(file_open(&f, "/x/y/f1", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE) == ERR_IO);
    TRY(fs_list("/x/y", &a, &names, &n));
    CHECK(n == 6 && str_is(names[0], "f0") && str_is(names[5], "z"));
    CHECK(fs_list("/x/q", &a, &names, &n) == ERR_NOT_FOUND);
    TRY(fs_unlink("/x/y/f1"));
    TRY(fs_unlink("/x/y/f1"));
    CHECK(strcmp(rt_backend_name(), "sim") == 0);
    arena_deinit(&a);
    return OK;
}

static void test_names(void)
{
    struct sim_disk *d = sim_disk_new(1 << 20);
    struct sim_result r;
    sim_run(1, 1, d, NULL, use_names, NULL, &r);
    CHECK(r.result == OK && !r.stuck && !r.crashed);
    sim_disk_free(d);
}

/* -- directories: what is made is durable, also when a first sync failed; what was there is left alone -------------- */
static err_t make_dirs(void *arg)
{
    uint64_t before = sim_stats_now()->syncs;
    TRY(fs_mkdirs("/x/y"));
    CHECK(sim_stats_now()->syncs == before + 2);
    TRY(fs_mkdirs("/x/y/z/w"));
    CHECK(sim_stats_now()->syncs == before + 5); /* of /x once more, of /x/y, of /x/y/z */
    TRY(fs_mkdirs("/x/y/z/w"));
    CHECK(sim_stats_now()->syncs == before + 6);
    (void)arg;
    return OK;
}

static err_t make_dirs_again(void *arg)
{
    (void)arg;
    TRY(fs_mkdirs("/x/y/z/w"));
    sim_crash();
    return OK;
}

static err_t look_for_dirs(void *arg)
{
    struct arena a;
    struct str *names;
    size_t n;
    (void)arg;
    arena_init(&a, NULL);
    err_t e = fs_list("/x/y/z/w", &a, &names, &n);
    arena_deinit(&a);
    return e;
}

static void test_mkdirs(void)
{
    struct sim_result r = { .stats.could_fail = 1 };
    for (uint64_t nth = 1; r.stats.could_fail >= nth - 1; nth++) {
        for (uint64_t seed = 1; seed < 9; seed++) {
            struct sim_disk *d = sim_disk_new(1 << 20);
            const struct sim_opts o = { .fail_nth = nth, .fail_errno = EIO };
            struct sim_result after;
            sim_run(seed, 1, d, &o, make_dirs, NULL, &r);
            CHECK((r.result == OK) == (r.stats.could_fail < nth));
            sim_run(seed, 1, d, NULL, make_dirs_again, NULL, &after);
            CHECK(after.crashed);
            sim_run(seed, 1, d, NULL, look_for_dirs, NULL, &after);
            CHECK(after.result == OK);
            sim_disk_free(d);
        }
    }
    CHECK(r.stats.could_fail > 10);
}

static err_t move_across(void *arg)
{
    struct file f;
    (void)arg;
    TRY(fs_mkdirs("/a"));
    TRY(fs_mkdirs("/b"));
    TRY(file_open(&f, "/a/temp", FILE_WRITE | FILE_CREATE));
    TRY(file_write(&f, "x", 1, 0));
    TRY(fs_publish(&f, "/b/final"));
    sim_crash();
    return OK;
}

static void test_rename_is_atomic(void)
{
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct sim_disk *d = sim_disk_new(1 << 20);
        struct sim_result r;
        size_t n;
        sim_run(seed, 1, d, NULL, move_across, NULL, &r);
        CHECK(r.crashed);
        CHECK(!sim_disk_read(d, "/a/temp", &n));
        uint8_t *bytes = sim_disk_read(d, "/b/final", &n);
        CHECK(bytes && n == 1);
        free(bytes);
        sim_disk_free(d);
    }
}

/* -- waiting for nothing --------------------------------------------------------------------------------- */
static err_t wait_forever(void *arg)
{
    struct event e;
    (void)arg;
    event_init(&e);
    return event_wait(&e);
}

static err_t offload_it(void *arg)
{
    ++*(int *)arg;
    return OK;
}

static err_t sleep_and_offload(void *arg)
{
    mono_ns before = rt_now();
    TRY(fiber_sleep(3000 * NS_PER_S));
    CHECK(rt_now().ns - before.ns >= 3000 * NS_PER_S);
    fiber_set_deadline(mono_add(rt_now(), NS_PER_S));
    CHECK(rt_call(1, RT_QUERY, wait_forever, NULL) == ERR_TIMEOUT);
    fiber_set_deadline((mono_ns){ 0 });
    return rt_offload(offload_it, arg);
}

static void test_stuck_and_time(void)
{
    struct sim_disk *d = sim_disk_new(1 << 20);
    struct sim_result r;
    int n = 0;
    sim_run(1, 2, d, NULL, wait_forever, NULL, &r);
    CHECK(r.stuck && !r.crashed);
    sim_run(1, 2, d, NULL, sleep_and_offload, &n, &r);
    CHECK(!r.stuck && r.result == OK && n == 1 && r.virtual_ns >= 3000 * NS_PER_S);
    sim_disk_free(d);
}

int main(void)
{
    log_init(LOG_ERROR, false);
    test_same_seed_same_run();
    test_crash_at_every_step();
    test_unsynced_is_lost_kept_or_torn();
    test_failed_sync_drops();
    test_faults_fire();
    test_full_disk();
    test_names();
    test_mkdirs();
    test_rename_is_atomic();
    test_stuck_and_time();
    fprintf(stderr, "sim_plain: passed\n");
    return 0;
}
