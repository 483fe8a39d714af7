/* The catalog: RocksDB and memory must answer alike; RocksDB must remember. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "storage/kv.h"

#include <stdio.h>
#include <stdlib.h>

static char dir[] = "/tmp/tercet_kv_XXXXXX";

static void put(struct kv *kv, const char *k, const char *v)
{
    const struct kv_op op = { str_of(k), v ? str_of(v) : STR_NONE };
    err_t e = kv->write(kv, &op, 1);
    ASSERT(e == OK);
}

static void same_lists(struct kv *a, struct kv *b, struct str prefix, size_t max)
{
    struct arena mem;
    struct kv_item *x, *y;
    size_t nx, ny;
    arena_init(&mem, NULL);
    ASSERT(a->list(a, prefix, max, &mem, &x, &nx) == OK);
    ASSERT(b->list(b, prefix, max, &mem, &y, &ny) == OK);
    ASSERT(nx == ny);
    ASSERT(nx <= max);
    for (size_t i = 0; i < nx; i++) {
        ASSERT(str_eq(x[i].key, y[i].key));
        ASSERT(str_eq(x[i].value, y[i].value));
        ASSERT(i == 0 || str_cmp(x[i - 1].key, x[i].key) < 0);
    }
    arena_deinit(&mem);
}

static void by_hand(struct kv *kv)
{
    struct arena a;
    struct str v;
    arena_init(&a, NULL);
    ASSERT(kv->get(kv, STR("a"), &a, &v) == ERR_NOT_FOUND);
    put(kv, "a", "1");
    put(kv, "a", "2");
    put(kv, "empty", "");
    ASSERT(kv->get(kv, STR("a"), &a, &v) == OK);
    ASSERT(str_is(v, "2"));
    ASSERT(kv->get(kv, STR("empty"), &a, &v) == OK);
    ASSERT(v.n == 0);
    put(kv, "a", NULL);
    ASSERT(kv->get(kv, STR("a"), &a, &v) == ERR_NOT_FOUND);
    put(kv, "empty", NULL);
    arena_deinit(&a);
}

static err_t test(void *arg)
{
    (void)arg;
    struct kv *rocks, *mem = kv_mem_new();
    TRY(kv_rocks_open(dir, &rocks));
    by_hand(rocks);
    by_hand(mem);
    struct prng r;
    prng_init(&r, 3);
    for (unsigned round = 0; round < 60; round++) {
        char text[8][2][16];
        struct kv_op ops[8];
        for (unsigned i = 0; i < 8; i++) {
            snprintf(text[i][0], 16, "k/%02u", (unsigned)prng_below(&r, 50));
            snprintf(text[i][1], 16, "%u", (unsigned)prng_below(&r, 1000));
            ops[i] = (struct kv_op){ str_of(text[i][0]), prng_chance(&r, 0.3) ? STR_NONE : str_of(text[i][1]) };
        }
        TRY(rocks->write(rocks, ops, 8));
        TRY(mem->write(mem, ops, 8));
        if (round == 30) {
            rocks->close(rocks);
            TRY(kv_rocks_open(dir, &rocks));
        }
        same_lists(rocks, mem, STR("k/"), 1000);
        same_lists(rocks, mem, STR("k/2"), 3);
        same_lists(rocks, mem, STR(""), 1000);
    }
    rocks->close(rocks);
    mem->close(mem);
    kv_mem_free(mem);
    struct kv *bad;
    ASSERT(kv_rocks_open("/proc/nothing/here", &bad) != OK);
    return OK;
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    err_t e = rt_run(&(struct rt_opts){ .cores = 1 }, test, NULL);
    if (e != OK) printf("%s\n", err_name(e));
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    return system(cmd) == 0 && e == OK ? 0 : 1;
}
