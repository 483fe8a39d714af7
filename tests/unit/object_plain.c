/* Trying again, over a bucket in memory that fails as real ones do: in the simulator, by seeds. Whatever fails on the way, an
 * upload that answers OK is there with its bytes, one that does not leaves nothing behind once its upload in parts is aborted,
 * and of several writers of one object by conditions exactly one wins each round. */
#include "base/core/metric.h"
#include "base/rt/sim.h"
#include "storage/object.h"
#include "storage/object_cache.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sim_opts calm = { .time_max_ns = 24 * 3600 * NS_PER_S };
static struct object_store *bucket;

static const struct object_faults faults = { .error = 0.15, .busy = 0.1, .lost = 0.1, .slow = 0.1, .refuse = 0.1, .slow_ns = 2 * NS_PER_S };
static const struct object_faults none;

static char byte_at(uint64_t off, uint64_t salt)
{
    return (char)(off * 7 + (off >> 13) + salt);
}

static err_t source_read(void *ctx, void *to, size_t n, uint64_t off)
{
    fiber_yield();
    for (size_t i = 0; i < n; i++)
        ((char *)to)[i] = byte_at(off + i, *(uint64_t *)ctx);
    return OK;
}

static void check_bytes(struct str name, uint64_t size, uint64_t salt)
{
    const struct object_retry r = object_retry(bucket, OBJECT_READ_TRIES);
    struct object_info info;
    char piece[1000];
    CHECK(object_head(&r, name, &info) == OK && info.size == size);
    for (uint64_t off = 0; off < size; off += size / 5 + 1) {
        size_t got, want = (size_t)MIN(size - off, (uint64_t)sizeof piece);
        CHECK(object_get_range(&r, name, off, sizeof piece, piece, &got) == OK && got == want);
        for (size_t i = 0; i < got; i++)
            CHECK(piece[i] == byte_at(off + i, salt));
    }
}

static void test_uploads(unsigned *failed)
{
    static const uint64_t sizes[] = { 0, 1, 100000, OBJECT_PART_BYTES, OBJECT_PART_BYTES + 1, 2 * (uint64_t)OBJECT_PART_BYTES + 17 };
    const struct object_retry patient = object_retry(bucket, OBJECT_WRITE_TRIES), hasty = object_retry(bucket, 2),
                              calm_r = object_retry(bucket, 1);
    for (uint64_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char name[32];
        snprintf(name, sizeof name, "seg/%llu", (unsigned long long)i);
        struct object_source from = { source_read, &i, sizes[i] };
        object_mem_faults(bucket, &faults);
        err_t e = object_upload(i % 2 ? &patient : &hasty, str_of(name), &from);
        object_mem_faults(bucket, &none);
        struct object_info info;
        *failed += e != OK;
        if (e == OK)
            check_bytes(str_of(name), sizes[i], i);
        else if (object_head(&calm_r, str_of(name), &info) == OK)
            check_bytes(str_of(name), sizes[i], i); /* done, and then the answers got lost: whole all the same */
        CHECK(e == OK || err_retryable(e));
    }
    struct arena a;
    struct object_page page;
    arena_init(&a, NULL);
    CHECK(object_parts_list(&calm_r, STR_NONE, &a, &page) == OK); /* of uploads whose beginning got lost, too */
    for (size_t i = 0; i < page.n; i++) {
        struct object_upload u;
        snprintf(u.name, sizeof u.name, STR_FMT, STR_ARG(page.items[i].name));
        snprintf(u.id, sizeof u.id, STR_FMT, STR_ARG(page.items[i].id));
        CHECK(object_parts_abort(&calm_r, &u) == OK && object_parts_abort(&calm_r, &u) == OK);
    }
    CHECK(object_parts_list(&calm_r, STR_NONE, &a, &page) == OK && page.n == 0);
    arena_deinit(&a);
}

/* Writers add their letter to one object: by If-Match, looking when an answer got lost. */
struct writer {
    char letter;
    unsigned added;
};

static bool written(struct writer *w, const struct object_retry *r)
{
    struct object_info info;
    char now[512] = "", next[512];
    size_t got = 0;
    CHECK(object_head(r, STR("count"), &info) == OK);
    CHECK(object_get_range(r, STR("count"), 0, sizeof now - 1, now, &got) == OK);
    /* The two reads may straddle another's write: then the condition fails, as it must. */
    int n = snprintf(next, sizeof next, "%.*s%c%u,", (int)got, now, w->letter, w->added);
    struct object_put p = { .name = STR("count"), .bytes = { next, (size_t)n }, .if_match = &info.etag };
    struct object_put_result out;
    err_t e = object_put(r, &p, &out);
    if (e == OK && !out.refused) return true;
    /* Refused, or no answer: was it ours all the same? */
    char mark[16];
    int m = snprintf(mark, sizeof mark, "%c%u,", w->letter, w->added);
    CHECK(object_get_range(r, STR("count"), 0, sizeof now, now, &got) == OK);
    return str_find(str_n(now, got), str_n(mark, (size_t)m)) != SIZE_MAX;
}

static void write_some(void *arg)
{
    struct writer *w = arg;
    const struct object_retry r = object_retry(bucket, 20);
    while (w->added < 8)
        w->added += written(w, &r);
}

static void test_conditions(void)
{
    struct writer w[3] = { { 'a' }, { 'b' }, { 'c' } };
    const struct object_retry r = object_retry(bucket, 20);
    struct object_put p = { .name = STR("count"), .bytes = STR(""), .if_absent = true };
    struct object_put_result out;
    CHECK(object_put(&r, &p, &out) == OK && !out.refused);
    CHECK(object_put(&r, &p, &out) == OK && out.refused);
    object_mem_faults(bucket, &faults);
    struct scope s;
    scope_init(&s, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(w); i++)
        CHECK(fiber_start(&s, &(struct fiber_opts){ .name = "writer", .class = RT_MAINTENANCE }, write_some, &w[i]) == OK);
    CHECK(scope_join(&s) == OK);
    scope_deinit(&s);
    object_mem_faults(bucket, &none);
    char all[512];
    size_t got = 0;
    CHECK(object_get_range(&r, STR("count"), 0, sizeof all, all, &got) == OK);
    for (unsigned i = 0; i < ARRAY_LEN(w); i++)
        for (unsigned k = 0; k < 8; k++) { /* each once */
            char mark[16];
            struct str rest = str_n(all, got), m = str_n(mark, (size_t)snprintf(mark, sizeof mark, "%c%u,", w[i].letter, k));
            size_t at = str_find(rest, m);
            CHECK(at != SIZE_MAX && str_find(str_sub(rest, at + m.n, rest.n), m) == SIZE_MAX);
        }
}

static void test_lists(void)
{
    const struct object_retry r = object_retry(bucket, OBJECT_READ_TRIES);
    for (unsigned i = 0; i < OBJECT_LIST_MAX + 7; i++) {
        char name[32];
        snprintf(name, sizeof name, "many/%05u", i);
        struct object_put p = { .name = str_of(name), .bytes = STR("x") };
        struct object_put_result out;
        CHECK(object_put(&r, &p, &out) == OK);
    }
    struct arena a;
    struct object_page page;
    arena_init(&a, NULL);
    CHECK(object_list(&r, STR("many/"), STR_NONE, &a, &page) == OK && page.n == OBJECT_LIST_MAX && page.more);
    CHECK(object_list(&r, STR("many/"), page.items[page.n - 1].name, &a, &page) == OK && page.n == 7 && !page.more);
    CHECK(object_remove(&r, STR("many/00003")) == OK && object_remove(&r, STR("many/00003")) == OK);
    arena_deinit(&a);
}

/* A bucket that is down: as many tries as were asked for, with pauses, and then the error; no try after a cancel. */
static void test_limits(void)
{
    const struct object_faults down = { .error = 1 };
    object_mem_faults(bucket, &down);
    struct object_retry r = object_retry(bucket, 4);
    struct object_info info;
    uint64_t calls = object_mem_counts(bucket).calls;
    mono_ns began = rt_now();
    CHECK(object_head(&r, STR("x"), &info) == ERR_UNAVAILABLE && object_mem_counts(bucket).calls == calls + 4);
    int64_t took = rt_now().ns - began.ns;
    CHECK(took >= (50 + 100 + 200) * NS_PER_MS && took <= (100 + 200 + 400 + 50) * NS_PER_MS);
    fiber_set_deadline(mono_add(rt_now(), 70 * NS_PER_MS));
    calls = object_mem_counts(bucket).calls;
    CHECK(object_head(&r, STR("x"), &info) == ERR_UNAVAILABLE && object_mem_counts(bucket).calls <= calls + 2);
    fiber_set_deadline((mono_ns){ 0 });
    object_mem_faults(bucket, &none);
    calls = object_mem_counts(bucket).calls;
    CHECK(object_head(&r, STR("x"), &info) == ERR_NOT_FOUND && object_mem_counts(bucket).calls == calls + 1);
}

/* -- the cache ------------------------------------------------------------------------------------------------------ */

enum { PIECES = 80, INDEX_FROM = 70, INDEX_PIECES = 4 }; /* of an object; of the index in it */
static char *whole;

/* How many pieces the bucket was asked for. */
static int64_t cached_read(struct object_cache *c, const struct object_ref *o, uint32_t piece, uint32_t n)
{
    int64_t before = metric_sum(M_OBJECT_CACHE_MISSES);
    char *to = malloc((size_t)n * OBJECT_PIECE);
    uint64_t off = (uint64_t)piece * OBJECT_PIECE, size = MIN((uint64_t)n * OBJECT_PIECE, o->size - off);
    const struct file_range r = { to, (size_t)size, off };
    CHECK(object_cache_read(c, o, &r, 1) == OK && memcmp(to, whole + off, (size_t)size) == 0);
    free(to);
    return metric_sum(M_OBJECT_CACHE_MISSES) - before;
}

static void scan(struct object_cache *c, const struct object_ref *o)
{
    for (uint32_t p = 0; p < INDEX_FROM; p += 10)
        cached_read(c, o, p, 10);
}

/* An index comes from the file at hand, outlives scans, and goes in the end when nobody looks into it. */
static void test_index(void)
{
    struct object_ref o = { STR("seg/whole"), (uint64_t)PIECES * OBJECT_PIECE - 100, { 1, 2 } };
    uint64_t salt = 5, at = (uint64_t)INDEX_FROM * OBJECT_PIECE + 10, size = (INDEX_PIECES - 1) * (uint64_t)OBJECT_PIECE + 100;
    const struct object_source from = { source_read, &salt, o.size };
    const struct object_retry r = object_retry(bucket, 1);
    struct object_away away;
    struct object_cache *c;
    struct file f;
    whole = malloc(o.size);
    CHECK(source_read(&salt, whole, o.size, 0) == OK && object_upload(&r, o.name, &from) == OK);
    CHECK(file_open(&f, "whole", FILE_READ | FILE_WRITE | FILE_CREATE) == OK && file_write(&f, whole, o.size, 0) == OK);
    object_away_init(&away);
    CHECK(object_cache_open("cache", bucket, &away, OBJECT_WINDOW * OBJECT_PIECE, &c) == OK);

    object_cache_put(c, &o, &f, 0, (OBJECT_WINDOW / 4 + 1) * (uint64_t)OBJECT_PIECE); /* too much */
    CHECK(cached_read(c, &o, 0, 1) == 1);
    object_cache_put(c, &o, &f, at, size);
    CHECK(cached_read(c, &o, INDEX_FROM, INDEX_PIECES) == 0);
    for (int i = 0; i < 5; i++) { /* each is more than two passes */
        scan(c, &o);
        CHECK(cached_read(c, &o, INDEX_FROM, INDEX_PIECES) == 0);
        object_cache_stay(c, &o, at, size);
    }
    for (int i = 0; i < 4; i++)
        scan(c, &o);
    CHECK(cached_read(c, &o, INDEX_FROM, INDEX_PIECES) == INDEX_PIECES);
    scan(c, &o); /* read, but not as an index */
    scan(c, &o);
    CHECK(cached_read(c, &o, INDEX_FROM, INDEX_PIECES) == INDEX_PIECES);
    object_cache_put(c, &o, &f, o.size - 50, 50); /* the last piece is shorter */
    CHECK(cached_read(c, &o, PIECES - 1, 1) == 0);
    object_cache_put(c, &o, &f, o.size - 50, 51);

    struct file cut; /* what cannot be read is not kept, and asked for */
    CHECK(file_open(&cut, "cut", FILE_READ | FILE_WRITE | FILE_CREATE) == OK);
    object_cache_put(c, &o, &cut, 76 * (uint64_t)OBJECT_PIECE, 10);
    CHECK(cached_read(c, &o, 76, 1) == 1);
    file_close(&cut);
    object_cache_close(c);
    object_away_deinit(&away);
    file_close(&f);
    free(whole);
}

static err_t index_alone(void *arg)
{
    (void)arg;
    test_index();
    return OK;
}

static err_t all(void *arg)
{
    test_uploads(arg);
    test_conditions();
    test_lists();
    test_limits();
    return OK;
}

int main(void)
{
    struct object_mem_counts total = { 0 };
    unsigned failed = 0;
    for (uint64_t seed = 1; seed <= 22; seed++) {
        struct sim_disk *d = sim_disk_new(64 << 20);
        struct sim_result r;
        bucket = object_mem_new();
        sim_run(seed, 1, d, &calm, seed > 20 ? index_alone : all, &failed, &r);
        CHECK(!r.crashed && !r.stuck && r.result == OK);
        struct object_mem_counts c = object_mem_counts(bucket);
        total = (struct object_mem_counts){ total.calls + c.calls, total.errors + c.errors, total.busy + c.busy, total.lost + c.lost,
                                            total.slow + c.slow, total.refused + c.refused };
        CHECK(object_mem_bytes(bucket) > 0);
        object_mem_free(bucket);
        sim_disk_free(d);
    }
    fprintf(stderr, "object: %llu calls, %llu errors, %llu busy, %llu lost, %llu slow, %llu refused, %u uploads given up\n",
           (unsigned long long)total.calls, (unsigned long long)total.errors, (unsigned long long)total.busy,
           (unsigned long long)total.lost, (unsigned long long)total.slow, (unsigned long long)total.refused, failed);
    /* Every fault has fired, and it did not always help to try again. */
    CHECK(total.errors > 100 && total.busy > 100 && total.lost > 100 && total.slow > 100 && total.refused > 20 && failed > 0);
    return 0;
}
