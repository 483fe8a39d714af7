/* Whole spans taken out of the columns, for the few traces that an answer needs: trace by id, and the
 * exact evaluation of candidate traces of a search. Everything lives in the arena given. */
#ifndef QUERY_TRACEQL_TRACE_H
#define QUERY_TRACEQL_TRACE_H

#include "query/query.h"

enum tval_type {
    TV_NIL,
    TV_STR,
    TV_INT,    /* also durations, in ns */
    TV_FLOAT,
    TV_BOOL,
    TV_BYTES,
    TV_JSON,   /* array or map as JSON text */
    TV_STATUS, /* OTLP numbers: 0 unset 1 ok 2 error */
    TV_KIND,   /* OTLP numbers: 0 unspecified 1 internal 2 server 3 client 4 producer 5 consumer */
};
struct tval {
    enum tval_type type;
    bool duration; /* TV_INT that was written or is defined as a duration */
    union {
        int64_t i;
        double f;
        bool b;
        struct str s;
    };
};
struct tattr {
    struct str key;
    struct tval v;
};
struct tattrs {
    uint32_t n;
    size_t cap;
    struct tattr *a;
};
struct tresource {
    struct tattrs attrs;
    struct str schema_url;
    int64_t dropped;
};
struct tscope {
    struct str name, version, schema_url;
    struct tattrs attrs;
    int64_t dropped;
};
struct tevent {
    int64_t time_ns;
    struct str name;
    struct tattrs attrs;
    int64_t dropped;
};
struct tlink {
    uint8_t trace_id[16], span_id[8];
    struct str state;
    struct tattrs attrs;
    int64_t flags, dropped;
};
struct tspan {
    uint8_t trace_id[16], span_id[8], parent_id[8];
    bool has_parent;
    struct str name, state, status_message;
    int64_t kind, status, flags, start_ns, duration_ns;
    int64_t dropped_attrs, dropped_events, dropped_links;
    struct tattrs attrs;
    uint32_t nevents, nlinks;
    struct tevent *events;
    struct tlink *links;
    struct tresource *resource; /* never NULL */
    struct tscope *scope;       /* never NULL */
};
struct tspans {
    uint32_t n;
    size_t cap;
    struct tspan **s;
};

/* What a reader of spans needs beside their own fields and their resource; NULL = everything. */
struct gather_need {
    uint32_t nnames;
    const struct str *names; /* attributes of the span */
    bool events, links, scope;
};

/* The spans of this core whose trace id is one of ids[n] (16 bytes each), in unspecified order, without
 * repeats of (span id, kind, start, name). tmin/tmax prune; INT64_MIN/INT64_MAX for all time.
 * ERR_LIMIT past spans_max. */
MUST_CHECK err_t trace_gather(struct view *v, const uint8_t (*ids)[16], uint32_t n, int64_t tmin_ns,
                              int64_t tmax_ns, uint32_t spans_max, const struct gather_need *need,
                              struct arena *a, struct tspans *out) MAY_YIELD;

uint64_t trace_id_hash(const uint8_t id[16]);
/* By start, then span id, kind and name: the order of spans in every answer. For qsort over struct tspan *. */
int tspan_order(const void *a, const void *b);
/* The same span once more: sent again, it may lie in two streams. */
bool tspan_is_again(const struct tspan *a, const struct tspan *b);
/* Of what several cores and nodes gave: in order, each span once. */
void tspans_settle(struct tspans *spans);
const struct tval *tattrs_get(const struct tattrs *as, struct str key); /* NULL when absent */
struct str tresource_service(const struct tresource *r); /* service.name, or empty */

#endif
