/* The catalog on RocksDB, by its C API. Every call runs on the offload pool, every write is synced. It holds
 * metadata only (thousands of small items), so it is given a few MB and one background job.
 *
 * no_slowdown: a write that RocksDB would stall comes back as ERR_UNAVAILABLE instead of holding a thread
 * of the pool.
 *
 * ROOM_BYTES: RocksDB (Debian's, with its assertions) ends the process when it meets a full disk at its opening, and is
 * not to be trusted with one later. So it is not asked to write unless so much is free; its own files grow by less between two
 * looks. */
#include "storage/kv.h"

#include "base/core/assert.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { BUFFER_BYTES = 1 << 20, CACHE_BYTES = 1 << 20, OPEN_FILES_MAX = 32, LOG_BYTES = 1 << 20, ROOM_BYTES = 2 << 20 };

struct kv_rocks {
    struct kv kv;
    char *dir;
    rocksdb_t *db;
    rocksdb_options_t *opts;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *sync;
    rocksdb_cache_t *cache;
    rocksdb_block_based_table_options_t *table;
};

struct call { /* one operation, on the stack of the fiber that waits for it */
    struct kv_rocks *r;
    const char *dir;
    const struct kv_op *ops;
    size_t n;
    struct str key;
    size_t max;
    struct arena *a;
    struct str value;
    struct kv_item *items;
    size_t count, cap;
};

static struct kv_rocks *rocks_of(struct kv *kv)
{
    return CONTAINER_OF(kv, struct kv_rocks, kv);
}

/* Takes RocksDB's message. */
static err_t rocks_error(const char *what, char *message)
{
    err_t code = strstr(message, "No space left") ? ERR_NOSPC
        : strncmp(message, "Result incomplete", 17) == 0 ? ERR_UNAVAILABLE
        : strncmp(message, "Corruption", 10) == 0 || strstr(message, "not a directory") ? ERR_CORRUPT
                                                  : ERR_IO;
    const char *todo = code == ERR_CORRUPT ? "; without it the segments beside it cannot be read: put the folder back from a copy" : "";
    err_set(code, "catalog: %s: %.360s%s", what, message, todo);
    rocksdb_free(message);
    return code;
}

static err_t check_room(const char *dir)
{
    struct statvfs v;
    if (statvfs(dir, &v) != 0) return err_set_errno(errno, "file system of %s", dir);
    uint64_t free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    if (free_bytes >= ROOM_BYTES) return OK;
    return err_set(ERR_NOSPC, "catalog: %llu bytes are free on the disk of %s, a write wants %d", (unsigned long long)free_bytes, dir,
                ROOM_BYTES);
}

static err_t do_write(void *arg)
{
    struct call *c = arg;
    TRY(check_room(c->r->dir));
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (size_t i = 0; i < c->n; i++) {
        const struct kv_op *op = &c->ops[i];
        if (op->value.p) {
            rocksdb_writebatch_put(batch, op->key.p, op->key.n, op->value.p, op->value.n);
        } else {
            rocksdb_writebatch_delete(batch, op->key.p, op->key.n);
        }
    }
    char *message = NULL;
    rocksdb_write(c->r->db, c->r->sync, batch, &message);
    rocksdb_writebatch_destroy(batch);
    return message ? rocks_error("write", message) : OK;
}

static err_t do_get(void *arg)
{
    struct call *c = arg;
    char *message = NULL;
    size_t n = 0;
    char *value = rocksdb_get(c->r->db, c->r->read, c->key.p, c->key.n, &n, &message);
    if (message) return rocks_error("get", message);
    if (!value) return ERR_NOT_FOUND;
    c->value = arena_str(c->a, str_n(value, n));
    rocksdb_free(value);
    return arena_check(c->a);
}

static err_t do_list(void *arg)
{
    struct call *c = arg;
    rocksdb_iterator_t *it = rocksdb_create_iterator(c->r->db, c->r->read);
    err_t e = OK;
    for (rocksdb_iter_seek(it, c->key.p, c->key.n); rocksdb_iter_valid(it) && c->count < c->max;
         rocksdb_iter_next(it)) {
        size_t kn, vn;
        const char *k = rocksdb_iter_key(it, &kn), *v = rocksdb_iter_value(it, &vn);
        if (!str_starts(str_n(k, kn), c->key)) break;
        TRY_OUT(e, arena_check(c->a));
        c->items = arena_grow(c->a, c->items, c->count, &c->cap, c->count + 1, sizeof *c->items);
        c->items[c->count++] = (struct kv_item){ arena_str(c->a, str_n(k, kn)), arena_str(c->a, str_n(v, vn)) };
    }
    char *message = NULL;
    rocksdb_iter_get_error(it, &message);
    if (message) e = rocks_error("list", message);
out:
    rocksdb_iter_destroy(it);
    return e;
}

static err_t rocks_write(struct kv *kv, const struct kv_op *ops, size_t n)
{
    struct call c = { .r = rocks_of(kv), .ops = ops, .n = n };
    return rt_offload(do_write, &c);
}

static err_t rocks_get(struct kv *kv, struct str key, struct arena *a, struct str *value)
{
    struct call c = { .r = rocks_of(kv), .key = key, .a = a };
    TRY(rt_offload(do_get, &c));
    *value = c.value;
    return OK;
}

static err_t rocks_list(struct kv *kv, struct str prefix, size_t max, struct arena *a, struct kv_item **items,
                        size_t *count)
{
    struct call c = { .r = rocks_of(kv), .key = prefix, .max = max, .a = a };
    TRY(rt_offload(do_list, &c));
    *items = c.items;
    *count = c.count;
    return OK;
}

static err_t do_checkpoint(void *arg)
{
    struct call *c = arg;
    char *message = NULL;
    rocksdb_checkpoint_t *cp = rocksdb_checkpoint_object_create(c->r->db, &message);
    if (message) return rocks_error("checkpoint", message);
    rocksdb_checkpoint_create(cp, c->dir, 0 /* no log: what is in memory is flushed */, &message);
    rocksdb_checkpoint_object_destroy(cp);
    return message ? rocks_error("checkpoint", message) : OK;
}

static err_t rocks_checkpoint(struct kv *kv, const char *dir)
{
    struct call c = { .r = rocks_of(kv), .dir = dir };
    return rt_offload(do_checkpoint, &c);
}

static err_t do_close(void *arg)
{
    struct kv_rocks *r = ((struct call *)arg)->r;
    if (r->db) rocksdb_close(r->db);
    rocksdb_writeoptions_destroy(r->sync);
    rocksdb_readoptions_destroy(r->read);
    rocksdb_options_destroy(r->opts);
    rocksdb_block_based_options_destroy(r->table);
    rocksdb_cache_destroy(r->cache);
    free(r->dir);
    free(r);
    return OK;
}

static void rocks_close(struct kv *kv)
{
    struct call c = { .r = rocks_of(kv) };
    err_t e = rt_offload(do_close, &c);
    ASSERT(e == OK);
}

static void set_options(struct kv_rocks *r)
{
    r->cache = rocksdb_cache_create_lru(CACHE_BYTES);
    r->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(r->table, r->cache);
    r->opts = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(r->opts, 1);
    rocksdb_options_set_block_based_table_factory(r->opts, r->table);
    rocksdb_options_set_write_buffer_size(r->opts, BUFFER_BYTES);
    rocksdb_options_set_max_write_buffer_number(r->opts, 2);
    rocksdb_options_set_max_background_jobs(r->opts, 1);
    rocksdb_options_set_max_open_files(r->opts, OPEN_FILES_MAX);
    rocksdb_options_set_max_total_wal_size(r->opts, 4 * BUFFER_BYTES);
    rocksdb_options_set_keep_log_file_num(r->opts, 2);
    rocksdb_options_set_max_log_file_size(r->opts, LOG_BYTES);
    rocksdb_options_set_info_log_level(r->opts, 3 /* errors */);
    rocksdb_options_set_stats_dump_period_sec(r->opts, 0);
    rocksdb_options_set_wal_recovery_mode(r->opts, 2 /* point in time: all up to a torn tail */);
    r->read = rocksdb_readoptions_create();
    r->sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(r->sync, 1);
    rocksdb_writeoptions_set_no_slowdown(r->sync, 1);
}

static err_t do_open(void *arg)
{
    struct call *c = arg;
    set_options(c->r);
    if (mkdir(c->dir, 0750) != 0 && errno != EEXIST) return err_set_errno(errno, "make directory %s", c->dir);
    TRY(check_room(c->dir));
    char *message = NULL;
    c->r->db = rocksdb_open(c->r->opts, c->dir, &message);
    return message ? rocks_error(c->dir, message) : OK;
}

err_t kv_rocks_open(const char *dir, struct kv **out)
{
    struct kv_rocks *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    r->dir = strdup(dir);
    ASSERT(r->dir != NULL);
    r->kv = (struct kv){ rocks_write, rocks_get, rocks_list, rocks_close, rocks_checkpoint };
    struct call c = { .r = r, .dir = dir };
    err_t e = rt_offload(do_open, &c);
    if (e != OK) {
        err_t closed = rt_offload(do_close, &c);
        ASSERT(closed == OK);
        return e;
    }
    *out = &r->kv;
    return OK;
}
