/* The fragments of the Prometheus API beside queries, and their forms in bytes (see query/promql/wire.h for the words used).
 *
 *   selection  ("series", "exemplars") u8 want, str name, zigzag tmin, zigzag tmax, varint n; n times matchers
 *   series     varint n, names as strings; varint n, labels
 *   exemplars  varint n; each: labels of the series, its own labels, f64 value, zigzag time
 *   metadata   plan: str family. Partial: varint n; each: family, type, unit, help as strings
 *   signals    no plan. Partial: varint, a bit a signal
 *   span       no plan. Partial: zigzag first, zigzag last time, varint pieces */
#ifndef SERVER_API_PROMETHEUS_WIRE_H
#define SERVER_API_PROMETHEUS_WIRE_H

#include "query/promql/wire.h"
#include "server/api/prometheus_int.h"

enum prom_want { PROM_WANT_NAMES, PROM_WANT_VALUES, PROM_WANT_SERIES };
struct prom_matchers {
    const struct matcher *m;
    uint32_t n;
};
struct prom_plan {
    enum prom_want want;   /* series only */
    struct str name;       /* PROM_WANT_VALUES: of this label */
    int64_t tmin, tmax;    /* series: ms; exemplars: ns */
    struct prom_matchers sel[PROM_MATCH_MAX]; /* any of them; none: all */
    uint32_t n;
};
void prom_plan_put(const void *plan, struct buf *out);
MUST_CHECK err_t prom_plan_get(struct query *q, struct bytes_in *in, const void **plan);
void prom_plan_free(const void *plan);

struct prom_series_part {
    struct str *names;
    uint32_t nnames;
    struct labels *series;
    uint32_t nseries;
};
void prom_series_put(const void *plan, const void *partial, struct buf *out);
MUST_CHECK err_t prom_series_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

struct prom_exemplar {
    struct labels series, labels;
    double value;
    int64_t t_ms;
};
struct prom_exemplars_part {
    struct prom_exemplar *v;
    uint32_t n;
    size_t cap;
};
void prom_exemplars_put(const void *plan, const void *partial, struct buf *out);
MUST_CHECK err_t prom_exemplars_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

struct prom_meta_part {
    struct metric_meta *m;
    uint32_t n;
};
void prom_meta_plan_put(const void *plan, struct buf *out); /* a struct str */
MUST_CHECK err_t prom_meta_plan_get(struct query *q, struct bytes_in *in, const void **plan);
void prom_meta_put(const void *plan, const void *partial, struct buf *out);
MUST_CHECK err_t prom_meta_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

struct prom_span { /* of all samples of a tenant, and the pieces (storage/view.h) that they are in */
    int64_t tmin, tmax;
    uint64_t pieces;
};
#define PROM_SPAN_NONE ((struct prom_span){ INT64_MAX, INT64_MIN, 0 })
void prom_span_put(const void *plan, const void *partial, struct buf *out);
MUST_CHECK err_t prom_span_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

void prom_signals_plan_put(const void *plan, struct buf *out);
MUST_CHECK err_t prom_signals_plan_get(struct query *q, struct bytes_in *in, const void **plan);
void prom_signals_put(const void *plan, const void *partial, struct buf *out); /* an unsigned */
MUST_CHECK err_t prom_signals_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

#endif
