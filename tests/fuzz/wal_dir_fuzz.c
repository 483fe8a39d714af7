/* The logs of a node, several files of two cores and two generations, after bits flipped, blocks landed in the wrong place or files
 * were cut: the store opens, says so, and of all rows that were logged some may be missing; none is changed, there
 * twice, or another tenant's.
 *
 * Input: edits of 8 bytes: u8 which file | u8 what (0 change a byte, 1 cut the file, 2 copy a block of 4,096 bytes to here, 3 zeros, 4
 * copy 512 bytes) | u24 place | u8 value, or which file it comes from | u16 block it comes from. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/rt/sim_disk.h"
#include "storage/store.h"
#include "tests/sim/model.h"

#include <fcntl.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 16, EDITS_MAX = 12, REQUESTS = 6, BLOCK = 4096 };

static struct base {
    struct sim_disk *disk;
    struct kv *kv;
    struct model m;
    struct prng rnd;
    struct { char path[256]; uint8_t *bytes; size_t size; } files[FILES_MAX];
    unsigned nfiles;
} base;

static struct store_opts opts(struct kv *kv)
{
    return (struct store_opts){ .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 8 << 20, .seal_age_ms = 3600000,
                                .commit_bytes = 1 << 20 };
}

static err_t append_here(void *arg)
{
    struct built b;
    uint32_t i = model_begin(&base.m, &base.rnd, 0);
    model_build(&base.m, i, &b);
    TRY(store_append(arg, b.p, b.n));
    model_built_free(&b);
    model_end(&base.m, i, true);
    return OK;
}

static err_t build_main(void *arg)
{
    struct store *s;
    struct store_opts o = opts(base.kv);
    (void)arg;
    for (unsigned life = 0; life < 2; life++) {
        TRY(store_open(&o, &s));
        for (unsigned k = 0; k < REQUESTS; k++)
            TRY(rt_call(k % rt_cores(), RT_INGEST, append_here, s));
        store_close(s);
    }
    return OK;
}

static void on_file(const char *path, uint64_t size, void *ctx)
{
    (void)ctx;
    if (!str_ends(str_of(path), STR(".wal")) || size == 0 || base.nfiles == FILES_MAX) return;
    memcpy(base.files[base.nfiles++].path, path, strlen(path) + 1);
}

static void build(void)
{
    struct sim_result res;
    log_init((enum log_level)(LOG_ERROR + 1), false);
    base.disk = sim_disk_new(256 << 20);
    base.kv = kv_mem_new();
    model_init(&base.m, 9);
    prng_init(&base.rnd, 9);
    sim_run(1, 2, base.disk, NULL, build_main, NULL, &res);
    ASSERT(res.result == OK && !res.stuck);
    sim_disk_crash(base.disk, 1, NULL);
    sim_disk_walk(base.disk, on_file, NULL);
    ASSERT(base.nfiles >= 4);
    for (unsigned i = 0; i < base.nfiles; i++)
        ASSERT((base.files[i].bytes = sim_disk_read(base.disk, base.files[i].path, &base.files[i].size)) != NULL);
    base.m.rot = true;
}

static void edit(struct sim_disk *d, const uint8_t *p)
{
    static const uint8_t zeros[BLOCK];
    const unsigned which = p[0] % base.nfiles, from = p[5] % base.nfiles;
    const size_t size = base.files[which].size, place = (p[2] | (size_t)p[3] << 8 | (size_t)p[4] << 16) % size;
    const size_t source = (size_t)(p[6] | p[7] << 8) % (base.files[from].size / BLOCK) * BLOCK;
    struct sim_node *n;
    ASSERT(sim_disk_open(d, base.files[which].path, O_RDWR, &n) == 0);
    switch (p[1] % 5) {
    case 0: sim_node_write(n, place, p + 5, 1); break;
    case 1: sim_node_resize(n, p[5] & 1 ? place / BLOCK * BLOCK : place); break;
    case 2: sim_node_write(n, place / BLOCK * BLOCK, base.files[from].bytes + source, BLOCK); break;
    case 3: sim_node_write(n, place / 512 * 512, zeros, 512); break;
    default: sim_node_write(n, place / 512 * 512, base.files[from].bytes + source, 512);
    }
    sim_node_put(n);
}

static err_t read_main(void *arg)
{
    struct store *s;
    struct store_opts o = opts(arg);
    TRY(store_open(&o, &s));
    ASSERT(model_check(&base.m, s, NULL, 0) == OK);
    ASSERT(store_seal(s) == OK);
    ASSERT(model_check(&base.m, s, NULL, 0) == OK);
    store_close(s);
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_result res;
    struct sim_opts o = { .watch_leaks = true };
    if (!base.disk) build();
    struct sim_disk *d = sim_disk_copy(base.disk, NULL, 0);
    struct kv *kv = kv_mem_new();
    for (unsigned k = 0; k < EDITS_MAX && (k + 1) * 8 <= size; k++)
        edit(d, data + k * 8);
    sim_run(2, 2, d, &o, read_main, kv, &res);
    ASSERT(!res.stuck && res.result == OK);
    kv_mem_free(kv);
    sim_disk_free(d);
    return 0;
}
