/* The catalog object: what a bucket's prefix holds, and whose it is. One object, `catalog`, replaced as a whole by
 * conditional writes (If-None-Match: * the first time, If-Match after), the only compare-and-set there is.
 *
 *   magic "TERCETOC" | u32 version | u32 0 | owner, 16 | nonce, 16 | u64 epoch | u64 sealed | i64 wall, ms
 *   | varint items | item* | XXH3-128 of all before
 *   item = varint length | key | varint length | value: records as the node's own catalog has them (store_catalog.c)
 *
 *   owner   the node that may write: a random number of its data directory
 *   nonce   random, another one for each write: whoever wrote it knows its own write again when the answer got lost
 *   epoch   raised when another node takes over
 *   sealed  generations up to it are, or have been, in segments of the owner
 * Bytes from a bucket are a stranger's: every length is checked; ERR_CORRUPT. */
#ifndef STORAGE_OBJECT_CATALOG_H
#define STORAGE_OBJECT_CATALOG_H

#include "base/core/buf.h"
#include "storage/kv.h"

enum { OBJECT_CATALOG_VERSION = 1, OBJECT_CATALOG_BYTES_MAX = 64 << 20 };

struct object_catalog {
    hash128 owner, nonce;
    uint64_t epoch, sealed;
    int64_t wall_ms;
    struct kv_item *items;
    size_t n;
};
void object_catalog_encode(const struct object_catalog *c, struct buf *out); /* buf_check tells whether it fits */
/* Items are views of `bytes`; the array is in the arena. */
MUST_CHECK err_t object_catalog_decode(struct str bytes, struct arena *a, struct object_catalog *out);

#endif
