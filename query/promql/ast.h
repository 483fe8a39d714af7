/* The syntax tree of PromQL 3.14: what parse.c builds, check.c types, eval.c prepares and walks.
 *
 * All nodes live in the arena of the parse; compiled regexes are the only other resource and are freed by
 * pq_ast_deinit. Positions are byte offsets into the query text; annotations print them as line:column.
 * Depth of a tree is at most PQ_DEPTH_MAX, so that recursion over it is safe on a fiber stack. */
#ifndef QUERY_PROMQL_AST_H
#define QUERY_PROMQL_AST_H

#include "storage/view.h"

enum { PQ_DEPTH_MAX = 64, PQ_QUERY_BYTES_MAX = 1 << 20, PQ_REGEXES_MAX = 256 };

enum pq_type { PQ_NONE, PQ_SCALAR, PQ_VECTOR, PQ_MATRIX, PQ_STRING };
const char *pq_type_name(enum pq_type t); /* as error messages have it: "instant vector" */

enum pq_kind {
    PQ_NUMBER,
    PQ_STRINGLIT,
    PQ_SELECTOR,   /* name{...} */
    PQ_RANGE,      /* selector[d] */
    PQ_SUBQUERY,   /* expr[r:s] */
    PQ_CALL,
    PQ_AGG,
    PQ_BINARY,
    PQ_UNARY,      /* - or + */
    PQ_PAREN,
    PQ_GIVEN,      /* a scalar that the coordinator computed; never parsed or printed */
};

enum pq_op {
    PQ_ADD, PQ_SUB, PQ_MUL, PQ_DIV, PQ_MOD, PQ_POW, PQ_ATAN2,
    PQ_EQ, PQ_NE, PQ_LE, PQ_LT, PQ_GE, PQ_GT,
    PQ_TRIM_UPPER, PQ_TRIM_LOWER, /* </ and >/ */
    PQ_AND, PQ_OR, PQ_UNLESS,
};
const char *pq_op_name(enum pq_op op);
static inline bool pq_op_compares(enum pq_op op) { return op >= PQ_EQ && op <= PQ_GT; }
static inline bool pq_op_set(enum pq_op op) { return op >= PQ_AND; }

enum pq_aggop {
    PQ_SUM, PQ_AVG, PQ_COUNT, PQ_MIN, PQ_MAX, PQ_GROUP, PQ_STDDEV, PQ_STDVAR,
    PQ_TOPK, PQ_BOTTOMK, PQ_COUNT_VALUES, PQ_QUANTILE, PQ_LIMITK, PQ_LIMIT_RATIO,
};
const char *pq_agg_name(enum pq_aggop op);

/* A duration expression: inside [ ] and after offset. */
enum pq_durop { PQ_D_LIT, PQ_D_ADD, PQ_D_SUB, PQ_D_MUL, PQ_D_DIV, PQ_D_MOD, PQ_D_POW, PQ_D_NEG,
                PQ_D_STEP, PQ_D_RANGE, PQ_D_MIN, PQ_D_MAX };
struct pq_dur {
    enum pq_durop op;
    double seconds;             /* PQ_D_LIT */
    bool duration;              /* PQ_D_LIT: written with units */
    bool paren;                 /* printed in parentheses */
    uint32_t pos, end, depth;   /* from and to which byte; end 0: that of rhs or lhs */
    struct pq_dur *lhs, *rhs;
};

enum pq_at { PQ_AT_NONE, PQ_AT_TIME, PQ_AT_START, PQ_AT_END };

/* offset and @ of a selector or a subquery. */
struct pq_shift {
    struct pq_dur *offset_expr; /* NULL = none */
    int64_t offset_ms;          /* filled by pq_prepare */
    enum pq_at at;
    int64_t at_ms;              /* filled by pq_prepare for start() and end() */
};

struct pq_selector {
    struct str name;            /* from `name{`; empty when given by matchers */
    struct matcher *m;          /* a __name__ matcher for `name` included, last */
    uint32_t nm;
    struct pq_shift shift;
    bool anchored, smoothed;
    bool any;                   /* of info(): may match everything */
    bool stats;                 /* under histogram_count, _sum or _avg: resets are detected as samples are read */
};

enum pq_card { PQ_ONE_TO_ONE, PQ_MANY_TO_ONE, PQ_ONE_TO_MANY, PQ_MANY_TO_MANY };
struct pq_matching {
    enum pq_card card;
    bool on, explicit;          /* explicit: on or ignoring was written */
    struct str *labels;         /* in the order written */
    uint32_t nlabels;
    struct str *include;        /* group_left(...) */
    uint32_t ninclude;
    bool fill_lhs, fill_rhs;
    double fill_lhs_value, fill_rhs_value;
};

struct pq_func;
struct pq_node {
    enum pq_kind kind;
    enum pq_type type;
    uint32_t start, end;        /* byte offsets into the query */
    uint32_t depth;
    bool invariant;             /* the same at every step; filled by pq_prepare */
    bool local;                 /* can run beside the data; filled by pq_prepare */
    bool selects;               /* holds a selector; filled by pq_prepare */
    union {
        struct { double value; bool duration; } num;
        struct str str;
        struct pq_selector *sel;
        struct { struct pq_node *sel; struct pq_dur *range; int64_t range_ms; } range;
        struct {
            struct pq_node *expr;
            struct pq_dur *range, *step; /* step NULL = default */
            int64_t range_ms, step_ms;
            struct pq_shift shift;
        } sub;
        struct { const struct pq_func *fn; struct pq_node **args; uint32_t nargs; } call;
        struct {
            enum pq_aggop op;
            bool without, grouped;
            struct str *labels; /* in the order written */
            uint32_t nlabels;
            struct pq_node *param, *expr;
        } agg;
        struct { enum pq_op op; uint32_t pos; struct pq_node *lhs, *rhs; bool ret_bool; struct pq_matching *match; } bin;
        struct { bool minus; struct pq_node *expr; } un;
        struct pq_node *paren;
        const double *given; /* one a step of the grid that it is evaluated over */
    };
};

struct pq_ast {
    struct arena *arena;        /* borrowed */
    struct str text;            /* copy in the arena */
    struct pq_node *root;
    struct regex **regexes;
    uint32_t nregexes;
};

/* Parses, checks types and compiles regexes. ERR_INVALID with "line:col: parse error: ..." as Prometheus words
 * it. `ast` is to be deinitialised after an error too. */
MUST_CHECK err_t pq_parse(struct str text, struct arena *a, struct pq_ast *ast);
/* A selector alone, as match[] has it; ERR_INVALID also where every matcher matches the empty string. */
MUST_CHECK err_t pq_parse_selector(struct str text, struct arena *a, struct pq_ast *ast);
void pq_ast_deinit(struct pq_ast *ast);

/* Steps of check.c. */
MUST_CHECK err_t pq_check(struct pq_ast *ast, struct pq_node *n);
bool pq_matches_empty(const struct pq_selector *s); /* a series without any label */
/* Functions that anchored and smoothed do not go with: said when the query runs. */
MUST_CHECK err_t pq_check_extended(const struct pq_node *call);
MUST_CHECK err_t pq_fail_at(struct str text, uint32_t pos, const char *fmt, ...) PRINTF(3, 4);
/* Line and column (both from 1) of a byte offset. */
void pq_line_col(struct str text, uint32_t pos, uint32_t *line, uint32_t *col);

/* Canonical text of a tree; also how the cluster sends fragments. */
void pq_print(const struct pq_node *n, struct buf *out);
void pq_print_matcher(const struct matcher *m, struct buf *out);
/* A name that needs no quotes: of a metric with ':', of a label without. */
bool pq_plain_name(struct str s, bool metric);
void pq_quote(struct str s, struct buf *out); /* Go's %q of UTF-8 text */
const struct pq_node *pq_unparen(const struct pq_node *n);

#endif
