/* Rows back as documents: what Quickwit's OpenTelemetry indexes would have stored, and user documents as received. */
#ifndef QUERY_LOGS_SOURCE_H
#define QUERY_LOGS_SOURCE_H

#include "query/logs/compile.h"

/* All columns of one rowset, read once and only for the rows of it that are wanted. */
struct source_rel {
    uint32_t n;
    const struct column **col;
    bool *packed;          /* of the rows relation: value i is that of rows[i] */
    const uint32_t *map;   /* dimensions: row -> row */
    const uint32_t *first; /* children: offsets */
};
struct source_reader {
    const struct log_index *ix;
    const uint32_t *rows;
    struct source_rel rel[5]; /* by REL_* */
};
/* For rows[0..n), ascending; borrowed. */
MUST_CHECK err_t source_bind(struct source_reader *s, const struct log_index *ix, struct rowset *rs, const uint32_t *rows,
                             uint32_t n, struct arena *mem) MAY_YIELD;
/* The document of rows[i] as JSON text, appended to out. */
void source_write(const struct source_reader *s, uint32_t i, struct buf *out);

#endif
