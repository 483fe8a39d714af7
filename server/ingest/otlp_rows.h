/* Span and log views into tables: the sink behind the OTLP walkers for SIG_SPANS and SIG_LOGS.
 *
 * A span is rejected, and only it, when its trace id is not 16 bytes or all zero, its span id not 8 bytes or all
 * zero, its parent id neither empty nor 8 bytes, or a time past year 2262 (int64 nanoseconds). A log record
 * only for such a time: ids of a wrong length mean "no trace" (logs.proto). A link with bad ids is dropped and
 * counted in dropped_links. What the row limits cut off is counted in the row's own dropped counters. */
#ifndef SERVER_INGEST_OTLP_ROWS_H
#define SERVER_INGEST_OTLP_ROWS_H

#include "server/ingest/otlp_view.h"
#include "storage/batch.h"

enum {
    ROW_ATTRS_MAX = 256,     /* attributes of one row, event, link, resource or scope; SDKs stop at 128 */
    ROW_CHILDREN_MAX = 4096, /* events, and links, of one span; SDKs stop at 128 */
};

struct otlp_rows {
    enum signal signal;
    struct arena *arena;   /* the request's */
    struct budget *budget; /* of the tables */
    struct str request;    /* for offsets in errors; empty for JSON */
    unix_ns now;           /* the time of records without one */
    /* out */
    struct table **tables;
    uint32_t ntables;
    uint64_t accepted, rejected;
    char why[256]; /* the first rejection */
    /* own */
    size_t tables_cap;
    struct table_builder *builder;
    struct otlp_resource resource; /* copies: they outlive the walker's scratch */
    struct otlp_scope scope;
    struct buf text;        /* JSON of a nested value */
};

void otlp_rows_init(struct otlp_rows *r, enum signal signal, struct arena *a, struct budget *budget, struct str request,
                    unix_ns now);
/* In a fiber, a walk into this sink yields when the fiber's quota is used up. */
struct otlp_sink otlp_rows_sink(struct otlp_rows *r);
/* The last table; then tables[0..ntables) hold the accepted rows. */
MUST_CHECK err_t otlp_rows_finish(struct otlp_rows *r);
void otlp_rows_deinit(struct otlp_rows *r); /* puts the tables */

#endif
