/* TraceQL: the tree of a search and its evaluation over one trace.
 *
 * Grammar (as Tempo documents it; metrics functions, metrics.h, are refused here with their own message):
 *   root     = pipeline [ "with" "(" hint "=" static { "," ... } ")" ]
 *   pipeline = spansets { "|" stage }
 *   stage    = spansets | by(f) | coalesce() | select(f, ...) | scalar CMP scalar
 *   spansets = "{" [field] "}" | "(" pipeline ")" | spansets OP spansets
 *   OP       = && ||   and the structural  > >> < << ~  plain, negated (!>) and union (&>)
 *   field    = static | attribute | intrinsic | "!" f | "-" f | f op f | "(" f ")"
 *
 * Semantics worth knowing: a missing attribute makes every comparison false (existence is != nil, absence
 * = nil); a type mismatch is false; int and float compare by value; a regex matches whole strings; arrays
 * match = when any element does and != when none is equal; `.x` is the span's x, else the resource's. */
#ifndef QUERY_TRACEQL_TRACEQL_H
#define QUERY_TRACEQL_TRACEQL_H

#include "query/traceql/trace.h"
#include "storage/regex.h"

enum { TQL_TEXT_MAX = 64 << 10, TQL_DEPTH_MAX = 64, TQL_FILTERS_MAX = 32, TQL_SELECT_MAX = 64 };

enum tql_op {
    OP_NONE,
    OP_OR, OP_AND,
    OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_RE, OP_NRE,
    OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MOD, OP_POW, OP_NOT, OP_NEG,
    /* structural; left relation right, the answer is the right side */
    OP_CHILD, OP_DESCENDANT, OP_PARENT, OP_ANCESTOR, OP_SIBLING,
};

enum tql_scope { TS_ANY, TS_SPAN, TS_RESOURCE, TS_EVENT, TS_LINK, TS_INSTRUMENTATION };

enum tql_intrinsic {
    TI_DURATION, TI_NAME, TI_STATUS, TI_STATUS_MESSAGE, TI_KIND, TI_PARENT_ID, TI_SPAN_ID, TI_CHILD_COUNT,
    TI_ROOT_NAME, TI_ROOT_SERVICE, TI_TRACE_DURATION, TI_TRACE_ID,
    TI_NESTED_LEFT, TI_NESTED_RIGHT, TI_NESTED_PARENT,
    TI_EVENT_NAME, TI_EVENT_SINCE_START, TI_LINK_TRACE_ID, TI_LINK_SPAN_ID,
    TI_SCOPE_NAME, TI_SCOPE_VERSION,
    TI_COUNT
};

enum tql_field_kind { TF_LITERAL, TF_ATTR, TF_INTRINSIC, TF_UNARY, TF_BINARY };
struct tql_field {
    enum tql_field_kind kind;
    enum tql_op op;
    struct tql_field *l, *r; /* unary: l */
    struct tval lit;
    enum tql_scope scope;
    struct str name;         /* TF_ATTR */
    enum tql_intrinsic intrinsic;
    struct regex *re;        /* OP_RE, OP_NRE: of r's literal; freed by tql_free */
    struct str text;         /* as written, for answers */
};

enum tql_spanset_kind { TSS_FILTER, TSS_BINARY, TSS_PIPELINE };
enum tql_relation_form { REL_PLAIN, REL_NOT, REL_UNION };
struct tql_pipeline;
struct tql_spanset {
    enum tql_spanset_kind kind;
    struct tql_field *filter; /* NULL = {} */
    uint32_t filter_idx;      /* number of this filter in the query */
    enum tql_op op;
    enum tql_relation_form form;
    struct tql_spanset *l, *r;
    struct tql_pipeline *inner;
};

enum tql_agg { TA_NONE, TA_COUNT, TA_AVG, TA_MIN, TA_MAX, TA_SUM };
struct tql_scalar { /* an aggregate, a number, or arithmetic over them */
    enum tql_agg agg;
    struct tql_field *of; /* of the aggregate, or the literal when agg is TA_NONE and op is OP_NONE */
    enum tql_op op;
    struct tql_scalar *l, *r;
    struct str text;
};

enum tql_stage_kind { TST_SPANSET, TST_BY, TST_COALESCE, TST_SELECT, TST_SCALAR };
struct tql_stage {
    enum tql_stage_kind kind;
    struct tql_spanset *spanset;
    struct tql_field *by;
    uint32_t nselect;
    struct tql_field **select;
    enum tql_op cmp;
    struct tql_scalar *l, *r;
    struct tql_stage *next;
};
struct tql_pipeline {
    struct tql_stage *first;
};

struct tql_query {
    struct str text;         /* that it was parsed from */
    struct tql_pipeline *pipeline;
    uint32_t nfilters;
    struct tql_field *filters[TQL_FILTERS_MAX]; /* by filter_idx; NULL = {} */
    uint32_t nregex;
    struct regex **regex;
    /* Attributes and intrinsics that the query mentions: each answered span carries them. */
    uint32_t nmentioned;
    struct tql_field **mentioned;
};

/* Into the arena; regexes are owned by the query: tql_free. ERR_INVALID with position and what was expected. */
MUST_CHECK err_t tql_parse(struct str text, struct arena *a, struct tql_query **out);
void tql_free(struct tql_query *q);
/* One attribute or intrinsic by its TraceQL name: span.x, .x, status, event:name. */
MUST_CHECK err_t tql_parse_name(struct str text, struct arena *a, struct tql_field **out);

/* -- one trace ------------------------------------------------------------------------------------------ */
struct tql_trace {
    uint32_t n;
    struct tspan **spans;    /* sorted by start */
    int32_t *parent;         /* index of the parent, -1 = none known */
    uint32_t *left, *right, *nested_parent; /* nested sets from 1; 0 = chain to a root is broken */
    struct tspan *root;      /* NULL = not received */
    int64_t start_ns, end_ns;
};
void tql_trace_build(struct tql_trace *t, struct tspan **spans, uint32_t n, struct arena *a);

struct tql_result_span {
    struct tspan *span;
    uint32_t nattrs;
    struct tattr *attrs;     /* what the query mentions or selects, by its text */
};
struct tql_result_set {
    uint32_t matched;        /* in full, though nspans is limited */
    uint32_t nspans;
    struct tql_result_span *spans;
    uint32_t nattrs;
    struct tattr *attrs;     /* by(...) groups and aggregates */
};
struct tql_result {
    bool match;
    uint32_t nsets;
    struct tql_result_set *sets;
};
/* spss: spans a set in the answer, 0 = all. */
MUST_CHECK err_t tql_eval(const struct tql_query *q, const struct tql_trace *t, uint32_t spss, struct arena *a,
                          struct tql_result *out);
/* The spans alone, by number, ascending. */
MUST_CHECK err_t tql_select(const struct tql_query *q, const struct tql_trace *t, struct arena *a, uint32_t **spans,
                            uint32_t *n);
/* First value of one field of one span; TV_NIL when it has none. */
struct tval tql_value(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a);
const char *tql_kind_name(int64_t kind);     /* "server" */
const char *tql_status_name(int64_t status); /* "error" */

#endif
