/* Metric batches: series and samples from one request, and the identity of a series.
 *
 * A label set is sorted by name (bytes), without duplicates and without empty values. Its canonical bytes are
 * varint count, then for each label varint length + name, varint length + value. The series id is
 * XXH3-128 of the canonical bytes. Times are unix milliseconds (Prometheus' resolution), any sign. */
#ifndef STORAGE_METRIC_H
#define STORAGE_METRIC_H

#include "base/core/buf.h"
#include "storage/nhist.h"
#include "storage/table.h"

struct label {
    struct str name, value;
};
struct labels {
    uint32_t n;
    struct label *l; /* sorted by name */
};

enum { LABELS_MAX = 256, LABEL_NAME_MAX = 1024, LABEL_VALUE_MAX = 65536, LABELS_BYTES_MAX = 1 << 20 };

/* Sorts, drops empty values; ERR_INVALID on duplicates, on no labels at all, on non-UTF-8 and past limits. */
MUST_CHECK err_t labels_normalise(struct labels *ls);
struct str labels_encode(const struct labels *ls, struct arena *a); /* canonical bytes */
/* Views into `canonical`; ERR_CORRUPT when malformed. */
MUST_CHECK err_t labels_decode(struct str canonical, struct arena *a, struct labels *out);
struct str labels_get(const struct labels *ls, struct str name); /* STR_NONE-like empty when absent */
static inline hash128 series_id(struct str canonical);

struct metric_meta { /* Prometheus metadata of a family */
    struct str family, type, unit, help; /* type: counter gauge histogram summary gaugehistogram info stateset unknown */
};

enum { ST_NONE = 0 }; /* start timestamp not given (0, as remote write 2 says it) */

struct metric_batch {
    /* series of this batch, distinct ids */
    uint32_t nseries;
    hash128 *id;
    struct str *canonical; /* always given; borrowed for the life of the batch */
    /* float samples, in the order received */
    uint32_t nsamples;
    uint32_t *series; /* index into id */
    int64_t *t_ms;
    double *value;
    int64_t *st_ms; /* start timestamps, or NULL when no sample has one */
    /* native histogram samples */
    uint32_t nhists;
    uint32_t *hseries;
    int64_t *ht_ms;
    int64_t *hst_ms; /* or NULL */
    const struct nhist **hist;
    uint32_t nmeta;
    struct metric_meta *meta;
    struct table *exemplars; /* SIG_EXEMPLARS rows, or NULL; owned */
};

#include "base/core/hash.h"
static inline hash128 series_id(struct str canonical) { return hash128_of(canonical); }

/* Self-contained bytes; `defined` (may be NULL) sets known[i] for each of n <= METRIC_DEFINED_MAX series that needs no
 * canonical bytes here because an earlier frame of the same log generation has them. It is asked once for each
 * series that has canonical bytes. Format specified in metric_wire.c. */
enum { METRIC_DEFINED_MAX = 64 };
struct metric_encode_opts {
    void (*defined)(void *ctx, const hash128 *ids, uint32_t n, uint8_t *known);
    void *ctx;
};
void metric_batch_encode(const struct metric_batch *m, const struct metric_encode_opts *o, struct buf *out);
/* A series without canonical bytes decodes with canonical.p == NULL: the replayer fills it in. */
MUST_CHECK err_t metric_batch_decode(struct str bytes, struct arena *a, struct metric_batch *out);

#endif
