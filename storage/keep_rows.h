/* Retention inside of a row group, by matcher: which of its resources are too old (retention_rules.h). */
#ifndef STORAGE_KEEP_ROWS_H
#define STORAGE_KEEP_ROWS_H

#include "storage/retention_rules.h"
#include "storage/table.h"

struct keep_rows { /* of a group, of which some may be too old */
    struct keep_class class;
    int64_t time_ns, now_ns;   /* the group's newest row */
    struct str *name;          /* of attributes of resources that matchers look at */
    const struct column **col; /* the caller's: of each the strings, NULL where there are none */
    uint32_t n;
};
/* False: all of its rows, or none, are too old. */
bool keep_rows_init(struct keep_rows *x, const struct keep_rules *k, const struct seg_group *g, int64_t now_ns, struct arena *a);
/* gone[i]: is resource i of n too old? How many are. */
uint32_t keep_rows_mark(const struct keep_rows *x, uint32_t n, struct arena *a, bool *gone);
/* Of a table as it was stored, the rows (of sel[0..n), NULL: 0..n) that are not too old, into out[n]; their number. */
uint32_t keep_rows_live(struct keep_rows *x, const struct table *t, const uint32_t *sel, uint32_t n, struct arena *a, uint32_t *out);

#endif
