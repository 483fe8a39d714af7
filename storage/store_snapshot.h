/* Snapshots: a directory that a node can be started on, made of hard links while this one goes on.
 *
 *   <dir>/snapshots/NAME/seg         links of the segments
 *   <dir>/snapshots/NAME/catalog     a checkpoint of RocksDB: links of its tables
 *
 * Both are of one instant: segments and catalog change only under s->changing, which is held while they are linked. What is in memtables
 * and the log alone is not in it; sealed before, all that was acked before is. What is only in a bucket is named but not there. A
 * snapshot is the node that it was made of, as an older copy: its id, tenants, rules, deletions.
 * It takes no room of its own until segments of it are merged or deleted here; then theirs stays in use. It is deleted by hand.
 *
 * NAME is <UTC time>-<16 hex digits>. It is built as NAME.tmp and renamed: what has that ending is not whole, and goes with the next one. */
#ifndef STORAGE_STORE_SNAPSHOT_H
#define STORAGE_STORE_SNAPSHOT_H

#include "storage/store.h"

enum { SNAPSHOT_NAME_MAX = 40 };

/* seal: memtables first. ERR_UNAVAILABLE: this catalog cannot; ERR_NOSPC, ERR_IO: nothing is left of it. */
MUST_CHECK err_t store_snapshot(struct store *s, bool seal, char name[SNAPSHOT_NAME_MAX]) MAY_YIELD;

#endif
