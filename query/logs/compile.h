/* From a log search and the mapping of one index to a predicate over rows.
 *
 * An index is a view of a signal's rows under Quickwit's field names: the logs and traces indexes of OpenTelemetry
 * over SIG_LOGS and SIG_SPANS, a user's index over its SIG_DOCS. log_field_resolve says where a name's values are. */
#ifndef QUERY_LOGS_COMPILE_H
#define QUERY_LOGS_COMPILE_H

#include "query/logs/ast.h"
#include "query/logs/mapping.h"
#include "query/ops/expr.h"

struct log_index {
    enum signal signal;  /* SIG_LOGS, SIG_SPANS, SIG_DOCS */
    struct str id;       /* its name */
    struct str stored;   /* SIG_DOCS: the index id that its rows carry (a name made again gets a new one) */
    const struct index_mapping *mapping;
};

enum lf_kind {
    LF_TEXT,    /* strings, cut by `tokenizer` */
    LF_DYNAMIC, /* any type; strings cut by `tokenizer` */
    LF_NUMBER, LF_BOOL,
    LF_DATE,    /* nanoseconds; literals are cut to precision_ns */
    LF_ID,      /* raw bytes, hex outside */
    LF_STATUS,  /* span_status.code */
    LF_ROOT,    /* is_root: rows without a parent */
    LF_OBJECT,  /* a path that only has fields below it: existence */
};
enum { LF_REFS_MAX = 16 };
struct log_field {
    enum lf_kind kind;
    struct attr_ref refs[LF_REFS_MAX];
    uint32_t nrefs;
    enum tokenizer tokenizer;
    int64_t precision_ns; /* LF_DATE */
    int64_t unit;         /* LF_NUMBER: stored value of 1 (ns of a millisecond), else 0 */
    uint32_t id_width;
    struct str missing;   /* value of rows without one, or p == NULL */
    bool fast_lower;      /* buckets and ranges are lower case */
    const struct index_field *doc; /* its description, or NULL */
};

/* False: the index has no such field (never in dynamic mode). */
bool log_field_resolve(const struct log_index *ix, struct str name, struct arena *a, struct log_field *out);
/* The time column: SC_SELF "time" or "start". */
struct attr_ref log_time_ref(const struct log_index *ix);

/* ERR_INVALID: an unknown field, a value that the field's type cannot have, a bad regex; unless lenient. */
MUST_CHECK err_t log_compile(const struct log_index *ix, const struct lq *q, struct expr_builder *b, struct expr **out);

#endif
