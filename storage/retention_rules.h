/* How long what is kept: an age for everything (storage.retention_age), and others by tenant, signal and index. The rule that says
 * most counts: one of an index before one of a tenant, that before one of a signal alone. Ages are judged by row group, which goes
 * when its newest row is older: it is not read any more from then on, and its bytes go when all groups of its
 * segment are gone, or when the segment is merged.
 *
 * A set is immutable and counted (atomically: cores share it). Record in the catalog, _store/retention: u32 version (1) |
 * u64 XXH3 of what follows | varint rules, each i64 age | u8 signal | tenant | index; strings are varint length + bytes. */
#ifndef STORAGE_RETENTION_RULES_H
#define STORAGE_RETENTION_RULES_H

#include "base/core/buf.h"
#include "storage/seg.h"

enum { RETENTION_RULES_MAX = 11000, RETENTION_BYTES_MAX = 4 << 20 }; /* one for each index, and 1,000 more */

struct keep_rule {
    struct str tenant;  /* empty: all */
    unsigned signal;    /* 0: all */
    struct str index;   /* SIG_DOCS: as rows carry it; empty: all */
    int64_t age_ns;     /* 0: for ever */
};
struct keep_rules {
    _Atomic uint32_t refs;
    uint32_t n;
    uint32_t nindex;         /* the first of them: those of an index of a tenant, by tenant and index */
    struct keep_rule *rule;  /* those that say most first */
    int64_t default_ns;      /* 0: for ever */
    int64_t least_ns, most_ns; /* of all ages; 0: for ever (least: nothing ever goes) */
    struct arena a;
};
/* Copies. ERR_INVALID: over RETENTION_RULES_MAX, a negative age, an index of another signal than SIG_DOCS. */
MUST_CHECK err_t keep_rules_new(const struct keep_rule *rule, uint32_t n, int64_t default_ns, struct keep_rules **out);
struct keep_rules *keep_rules_get(struct keep_rules *k);
void keep_rules_put(struct keep_rules *k); /* NULL too */
void keep_rules_encode(const struct keep_rules *k, struct buf *out);
MUST_CHECK err_t keep_rules_decode(struct str bytes, int64_t default_ns, struct keep_rules **out);
/* Is the group too old at that time? */
bool keep_rules_expired(const struct keep_rules *k, const struct seg_group *g, int64_t now_ns);

#endif
