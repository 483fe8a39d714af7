/* Which segments go: by age, and by the share of the file system that segments may take. Core 0's maintenance
 * fiber runs it every 30 seconds. */
#ifndef STORAGE_RETENTION_H
#define STORAGE_RETENTION_H

#include "base/rt/file.h"
#include "storage/store_int.h"

enum { RETENTION_EVERY_S = 30 };

struct retention_rule {
    int64_t age_ns;      /* segments whose newest row is older go; 0 = never */
    uint64_t bytes_max;  /* all segments together; the oldest newest row goes first. 0 = no limit */
};
/* Pure. Sorts infos by tmax; the first of them, as many as it returns, are to go. */
uint32_t retention_pick(const struct retention_rule *r, unix_ns now, struct seg_info *infos, uint32_t n);

/* Takes what is picked out of the catalog first, then out of the shards; queries that run keep theirs. */
MUST_CHECK err_t retention_run(struct store *s) MAY_YIELD;
/* Drops the files that hold nothing but what was deleted or is too old. */
MUST_CHECK err_t retention_clean(struct store *s) MAY_YIELD;

#endif
