/* A batch: the rows of one request for one tenant and signal; the unit of the WAL, of replication and of
 * acknowledgement. It never changes once built. */
#ifndef STORAGE_BATCH_H
#define STORAGE_BATCH_H

#include "storage/metric.h"
#include "storage/names.h"
#include "storage/signal.h"

enum { BATCH_TABLES_MAX = 1024 };

struct batch {
    struct str tenant;
    enum signal signal;
    struct str index;   /* SIG_DOCS: the index id; else empty */
    hash128 content;    /* names the rows for retry de-duplication: equal ones have equal rows (a piece of a request that was cut
                         * has one of its own); hash of (tenant, path, body) of a whole request. Zero = never de-duplicated */
    uint32_t ntables;   /* rows signals */
    struct table **tables;
    struct metric_batch *metrics; /* SIG_METRICS */
    uint64_t nrows;     /* spans, records, documents, or samples: for counters */
};

/* -- bytes ---------------------------------------------------------------------------------------- *
 * A request is what one frame of the log holds: the batches that are acked together, under one name. One without batches is an
 * alias: what has its name is stored under the name `of`, since its content came twice. Format in batch.c. */
struct request_head {
    struct batch_name name;
    hash128 key;      /* of the content, for retry de-duplication: request_key; zero = none */
    int64_t wall_ms;  /* when it was logged first, unix milliseconds */
    uint32_t nbatches;
    struct batch_name of; /* of the same stream; of an alias, else not there */
};
/* Zero when any batch may not be de-duplicated. */
hash128 request_key(struct batch *const *batches, uint32_t n);
/* `o`: as in metric_batch_encode; NULL: the bytes lean on nothing, and may go to other nodes. */
void request_encode(const struct request_head *h, struct batch *const *batches,
                    const struct metric_encode_opts *o, struct buf *out);
struct request_reader {
    struct request_head head;
    uint32_t left; /* batches not yet read */
    const uint8_t *p, *end;
};
/* ERR_CORRUPT when malformed. The bytes stay borrowed. What its names say is not looked at, but none is empty. */
MUST_CHECK err_t request_open(struct str bytes, struct request_reader *r);
/* The next batch, while r->left > 0: strings are views into the bytes, arrays lie in the arena, tables are
 * charged to the budget and end with batch_release. */
MUST_CHECK err_t request_next(struct request_reader *r, struct arena *a, struct budget *budget,
                              struct batch *out);
void batch_encode(const struct batch *b, const struct metric_encode_opts *o, struct buf *out);
MUST_CHECK err_t batch_decode(struct str bytes, struct arena *a, struct budget *budget, struct batch *out);
void batch_release(struct batch *b); /* puts the tables of a decoded batch */

#endif
