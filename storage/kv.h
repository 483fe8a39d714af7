/* An ordered map of bytes with atomic, synced write batches: the catalog. kv_rocks (RocksDB, on the offload
 * pool) in production, kv_mem in the simulator and in tests. All calls are made from a fiber. */
#ifndef STORAGE_KV_H
#define STORAGE_KV_H

#include "base/core/arena.h"
#include "base/rt/rt.h"

struct kv_op {
    struct str key, value; /* value.p == NULL deletes */
};
struct kv_item {
    struct str key, value;
};
struct kv {
    /* All or nothing, durable when it returns OK. */
    err_t (*write)(struct kv *kv, const struct kv_op *ops, size_t n) MAY_YIELD;
    /* ERR_NOT_FOUND when there is none (without a detail worth showing). */
    err_t (*get)(struct kv *kv, struct str key, struct arena *a, struct str *value) MAY_YIELD;
    /* All items whose key starts with prefix, in key order, at most max. */
    err_t (*list)(struct kv *kv, struct str prefix, size_t max, struct arena *a, struct kv_item **items,
                  size_t *count) MAY_YIELD;
    void (*close)(struct kv *kv) MAY_YIELD;
    /* A copy as it is now, as a directory that kv_rocks_open opens; `dir` is not there yet, its parent is. NULL: cannot be done. */
    err_t (*checkpoint)(struct kv *kv, const char *dir) MAY_YIELD;
};

MUST_CHECK err_t kv_rocks_open(const char *dir, struct kv **out) MAY_YIELD;
/* Lives outside any node, so that it survives a simulated crash; kv->close detaches, kv_mem_free frees. */
struct kv *kv_mem_new(void);
void kv_mem_free(struct kv *kv);

#endif
