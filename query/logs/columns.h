/* Which fields an index has, and of which types: a walk over the directories of its rowsets. */
#ifndef QUERY_LOGS_COLUMNS_H
#define QUERY_LOGS_COLUMNS_H

#include "query/logs/compile.h"
#include "query/query.h"

enum { LOG_COLUMNS_MAX = 20000 };
struct log_column {
    struct str name;   /* the field's name in queries */
    enum col_type type; /* arrays: of their elements */
};
/* Fields seen in rowsets that overlap [start, end) and may hold rows of `filter` (NULL = any): attributes and
 * documents' leaves, not the fixed fields. In q->arena, without duplicates. */
MUST_CHECK err_t log_columns(struct query *q, const struct log_index *ix, const struct lq *filter, int64_t start_ns,
                             int64_t end_ns, struct log_column **out, uint32_t *n) MAY_YIELD;

extern const struct fragment_kind LOG_COLUMNS_KIND;

#endif
