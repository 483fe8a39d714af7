/* Rows back as documents: what Quickwit's OpenTelemetry indexes would have stored, and user documents as received. */
#ifndef QUERY_LOGS_SOURCE_H
#define QUERY_LOGS_SOURCE_H

#include "query/logs/compile.h"

/* All columns of one rowset, read once for the rows of it that are wanted. */
struct source_rel {
    uint32_t n;
    const struct column **col;
    const uint32_t *map;   /* dimensions: row -> row */
    const uint32_t *first; /* children: offsets */
};
struct source_reader {
    const struct log_index *ix;
    struct source_rel rel[5]; /* by REL_* */
};
MUST_CHECK err_t source_bind(struct source_reader *s, const struct log_index *ix, struct rowset *rs, struct arena *mem) MAY_YIELD;
/* The document of a row as JSON text, appended to out. */
void source_write(const struct source_reader *s, uint32_t row, struct buf *out);

#endif
