/* Views: one resource, scope, span, log record or metric point of an OTLP request, decoded but not yet stored.
 * Both front ends (otlp_*.c from protobuf, otlp_json.c from JSON) produce them one at a time and hand
 * them to a sink; strings are views into the request or into the scratch arena and live until the next
 * call of the same kind. Field numbers and meanings: opentelemetry-proto v1.8 (trace, logs, metrics,
 * common). */
#ifndef SERVER_INGEST_OTLP_VIEW_H
#define SERVER_INGEST_OTLP_VIEW_H

#include "base/core/arena.h"

enum otlp_type {
    OTLP_NONE = 0, /* an AnyValue with nothing set */
    OTLP_STR,
    OTLP_BOOL,
    OTLP_INT,
    OTLP_F64,
    OTLP_BYTES,
    OTLP_WIRE_ARRAY,  /* s = protobuf ArrayValue, not yet looked into */
    OTLP_WIRE_KVLIST, /* s = protobuf KeyValueList, likewise */
    OTLP_JSON,        /* s = JSON text of an array or a map */
};

struct otlp_value {
    enum otlp_type type;
    union {
        struct str s;
        int64_t i;
        double f;
        bool b;
    };
};

struct otlp_kv {
    struct str key;
    struct otlp_value value;
};

struct otlp_attrs {
    const struct otlp_kv *kv;
    uint32_t n;
    uint32_t dropped; /* dropped_attributes_count as sent */
};

struct otlp_resource {
    struct otlp_attrs attrs;
    struct str schema_url;
};

struct otlp_scope {
    struct str name, version, schema_url;
    struct otlp_attrs attrs;
};

struct otlp_event {
    uint64_t time_ns;
    struct str name;
    struct otlp_attrs attrs;
};

struct otlp_link {
    struct str trace_id, span_id, trace_state; /* ids: raw bytes of any length */
    uint32_t flags;
    struct otlp_attrs attrs;
};

struct otlp_span {
    struct str trace_id, span_id, parent_span_id; /* raw bytes of any length */
    struct str trace_state, name, status_message;
    uint32_t flags;
    int32_t kind, status_code;
    uint64_t start_ns, end_ns;
    struct otlp_attrs attrs;
    const struct otlp_event *events;
    const struct otlp_link *links;
    uint32_t nevents, nlinks;
    uint32_t dropped_events, dropped_links;
};

struct otlp_log {
    uint64_t time_ns, observed_ns;
    int32_t severity_number;
    uint32_t flags;
    struct str severity_text, trace_id, span_id, event_name;
    struct otlp_value body;
    struct otlp_attrs attrs;
};

enum otlp_metric_kind { OTLP_GAUGE = 1, OTLP_SUM, OTLP_HISTOGRAM, OTLP_EXP_HISTOGRAM, OTLP_SUMMARY };
enum otlp_temporality { OTLP_TEMPORALITY_UNSET = 0, OTLP_DELTA = 1, OTLP_CUMULATIVE = 2 };

struct otlp_metric {
    struct str name, description, unit;
    enum otlp_metric_kind kind;
    int32_t temporality; /* enum otlp_temporality, or what was sent */
    bool monotonic;
};

struct otlp_exemplar {
    uint64_t time_ns;
    double value;
    struct str trace_id, span_id;
    struct otlp_attrs attrs;
};

struct otlp_quantile {
    double quantile, value;
};

struct otlp_buckets { /* one side of an exponential histogram */
    int32_t offset;
    uint32_t n;
    const uint64_t *counts;
};

enum { OTLP_FLAG_NO_VALUE = 1 }; /* DataPointFlags.NO_RECORDED_VALUE */

struct otlp_point {
    struct otlp_attrs attrs;
    uint64_t start_ns, time_ns;
    uint32_t flags;
    const struct otlp_exemplar *exemplars;
    uint32_t nexemplars;
    /* gauge, sum */
    enum otlp_type value_type; /* OTLP_INT, OTLP_F64 or OTLP_NONE */
    int64_t i;
    double f;
    /* histogram, exponential histogram, summary */
    uint64_t count;
    double sum;
    bool has_sum;
    /* histogram: nbuckets is nbounds + 1, or both are 0 */
    const uint64_t *buckets;
    const double *bounds;
    uint32_t nbuckets, nbounds;
    /* exponential histogram */
    int32_t scale;
    uint64_t zero_count;
    double zero_threshold;
    struct otlp_buckets positive, negative;
    /* summary */
    const struct otlp_quantile *quantiles;
    uint32_t nquantiles;
};

/* Receives the views in order: resource, scope, rows; the next scope; the next resource. A sink's error ends
 * the walk and becomes the answer of the request. Members that a signal has no use for may be NULL. */
struct otlp_sink {
    void *ctx;
    err_t (*resource)(void *ctx, const struct otlp_resource *r);
    err_t (*scope)(void *ctx, const struct otlp_scope *s);
    err_t (*span)(void *ctx, const struct otlp_span *s);
    err_t (*log)(void *ctx, const struct otlp_log *l);
    err_t (*metric)(void *ctx, const struct otlp_metric *m);
    err_t (*point)(void *ctx, const struct otlp_point *p); /* of the last metric */
};

/* Arrays that grow once and are reused from row to row; in an arena of the request. `scratch` holds text that
 * lives for one row. */
struct otlp_scratch {
    struct arena *arena;
    struct otlp_kv *kv;
    size_t nkv, kv_cap;
    struct otlp_event *events;
    size_t nevents, events_cap;
    struct otlp_link *links;
    size_t nlinks, links_cap;
    struct otlp_exemplar *exemplars;
    size_t nexemplars, exemplars_cap;
    uint64_t *u64;
    size_t nu64, u64_cap;
    double *f64;
    size_t nf64, f64_cap;
    struct otlp_quantile *quantiles;
    size_t nquantiles, quantiles_cap;
};

/* -- the walkers: one pass over a request's protobuf; ERR_INVALID names the offset ------------------- */
MUST_CHECK err_t otlp_traces_walk(struct str request, struct arena *a, const struct otlp_sink *sink);
MUST_CHECK err_t otlp_logs_walk(struct str request, struct arena *a, const struct otlp_sink *sink);
MUST_CHECK err_t otlp_metrics_walk(struct str request, struct arena *a, const struct otlp_sink *sink);

/* -- the same from OTLP/JSON ----------------------------------------------------------------------- */
MUST_CHECK err_t otlp_traces_walk_json(struct str request, struct arena *a, const struct otlp_sink *sink);
MUST_CHECK err_t otlp_logs_walk_json(struct str request, struct arena *a, const struct otlp_sink *sink);
MUST_CHECK err_t otlp_metrics_walk_json(struct str request, struct arena *a, const struct otlp_sink *sink);

#endif
