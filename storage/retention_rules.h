/* How long what is kept: an age for everything (storage.retention_age), and others by tenant, signal, index and matcher.
 *
 * Of several rules that apply the one that says most counts, alone: one of an index before one with matchers, that before one of
 * a tenant and signal, of a tenant, of a signal alone. Of several with matchers that match: the highest priority, then the most
 * matchers, then the longest age. Matchers look at the labels of series (SIG_METRICS), or at the attributes of resources
 * that are strings (SIG_SPANS, SIG_LOGS); what is missing is empty.
 *
 * Ages are judged by row group, which is too old when its newest row is. What of a group belongs to a rule with matchers is judged apart from
 * the rest: series by the newest sample that the group has of each, rows by the group's newest, resource by resource. What is too old is not read any more from
 * then on; its bytes go when all of its group and segment is too old for every rule that applies, or when the segment is merged.
 *
 * A set is immutable and counted (atomically: cores share it). Record in the catalog, _store/retention: u32 version (3) |
 * u64 XXH3 of what follows | varint rules, each i64 age | u8 signal | tenant | index | zigzag priority | varint matchers, each u8 op, name,
 * value | varint levels, each i64 after, i64 resolution; strings are varint length + bytes. */
#ifndef STORAGE_RETENTION_RULES_H
#define STORAGE_RETENTION_RULES_H

#include "base/core/buf.h"
#include "storage/seg.h"
#include "storage/view.h"

enum { KEEP_LEVELS_MAX = 4, KEEP_RESOLUTION_MIN_MS = 1000, KEEP_RESOLUTION_MAX_MS = 24 * 3600 * 1000 };
enum { KEEP_MATCHERS_MAX = 16, KEEP_MATCH_RULES_MAX = 64 /* with matchers, of a tenant and signal */ };
enum { RETENTION_RULES_MAX = 11000, RETENTION_BYTES_MAX = 4 << 20 }; /* one for each index, and 1,000 more */

struct keep_level { /* what is older is kept in windows of that width alone (downsample.h) */
    int64_t after_ns, resolution_ms;
};
struct keep_rule {
    struct str tenant;  /* empty: all */
    unsigned signal;    /* 0: all */
    struct str index;   /* SIG_DOCS: as rows carry it; empty: all */
    const struct matcher *m; /* SIG_METRICS, SIG_SPANS, SIG_LOGS of a tenant; a set's are compiled */
    uint32_t nm;
    int32_t priority;   /* of those with matchers */
    int64_t age_ns;     /* 0: for ever */
    struct keep_level level[KEEP_LEVELS_MAX]; /* SIG_METRICS: later and coarser, each a multiple of the one before */
    uint32_t nlevels;
};
struct keep_rules {
    _Atomic uint32_t refs;
    uint32_t n;
    uint32_t nindex;         /* the first of them: those of an index of a tenant, by tenant and index */
    uint32_t nmatch;         /* then: those with matchers, by tenant and signal, which counts first */
    struct keep_rule *rule;  /* those that say most first */
    struct keep_rule other;  /* for what no rule is for */
    int64_t default_ns;      /* 0: for ever */
    bool judges;             /* some have matchers or levels: keep_rules_judge may say something */
    int64_t least_ns, most_ns; /* of all ages; 0: for ever (least: nothing ever goes) */
    struct arena a;
};
/* Copies. ERR_INVALID: too many, a negative age, an index of another signal than SIG_DOCS, matchers where there are none or that are no
 * regular expressions. */
MUST_CHECK err_t keep_rules_new(const struct keep_rule *rule, uint32_t n, int64_t default_ns, struct keep_rules **out);
struct keep_rules *keep_rules_get(struct keep_rules *k);
void keep_rules_put(struct keep_rules *k); /* NULL too */
void keep_rules_encode(const struct keep_rules *k, struct buf *out);
MUST_CHECK err_t keep_rules_decode(struct str bytes, int64_t default_ns, struct keep_rules **out);
bool keep_rule_same(const struct keep_rule *a, const struct keep_rule *b); /* for the same data */

/* -- what counts ------------------------------------------------------------------------------------------------ */

/* Of a tenant, signal and index: the rule for all that no matcher is for, and the others, which counts first. */
struct keep_class {
    const struct keep_rule *base, *match;
    uint32_t nmatch;
};
/* k NULL: nothing is ever too old. */
void keep_class_of(const struct keep_rules *k, const struct seg_group *g, struct keep_class *out);
const struct keep_rule *keep_class_rule(const struct keep_class *c, const struct labels *ls);
/* Is what is of that time too old by the rule? */
bool keep_rule_expired(const struct keep_rule *r, int64_t time_ns, int64_t now_ns);
/* Are there matchers, and may they have something to say of what is of that time? */
bool keep_class_splits(const struct keep_class *c, int64_t time_ns, int64_t now_ns);
/* What there is to do to a segment of groups g[0..n), whose newest row is of that time, that merging it alone would do: which rules with
 * matchers it is too old for, and which levels it is old enough for, as a hash; 0: nothing. */
uint32_t keep_rules_judge(const struct keep_rules *k, const struct seg_group *const *g, uint32_t n, int64_t tmax_ns, int64_t now_ns);
/* Is all of the group too old, by every rule that applies? */
bool keep_rules_expired(const struct keep_rules *k, const struct seg_group *g, int64_t now_ns);

#endif
