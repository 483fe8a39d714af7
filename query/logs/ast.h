/* A log search as a tree, the common form of Quickwit's query language and of Elasticsearch's JSON queries. Fields
 * are names only: compile.h resolves them against the mapping of each index that is searched. */
#ifndef QUERY_LOGS_AST_H
#define QUERY_LOGS_AST_H

#include "storage/json_in.h"

enum { LQ_TEXT_MAX = 64 << 10, LQ_DEPTH_MAX = 32, LQ_NODES_MAX = 16384, LQ_FIELDS_MAX = 256 };

enum lq_kind {
    LQ_ALL, LQ_NONE,
    LQ_BOOL,      /* must, should, must_not */
    LQ_TEXT,      /* text against fields: split by the field's tokenizer, joined as `join` says */
    LQ_TERM,      /* one term exactly as given, or any of several (terms) */
    LQ_RANGE,
    LQ_EXISTS,
    LQ_PREFIX, LQ_WILDCARD, LQ_REGEX,
};
enum lq_join {
    LQ_PHRASE,    /* the words in order */
    LQ_AND_WORDS, /* all of them, in any order */
    LQ_OR_WORDS,  /* any of them */
};
struct lq_bound {
    bool given, open;       /* open: the bound itself does not count */
    struct str text;
    enum json_type type;    /* how it was written; JSON_STR in the query language */
};
struct lq {
    enum lq_kind kind;
    /* LQ_BOOL */
    struct lq **must, **should, **must_not;
    uint32_t nmust, nshould, nmust_not;
    uint32_t min_should;
    /* leaves: none = the index's default search fields; matched when any field does, all of them with `cross` */
    const struct str *fields;
    uint32_t nfields;
    bool lenient;           /* unknown fields match nothing, values of a wrong type neither */
    struct str text;
    enum lq_join join;
    uint32_t slop;
    bool prefix_last;       /* the last word is a prefix */
    bool zero_all;          /* a text without words matches everything */
    bool fold;              /* case_insensitive */
    bool raw;               /* do not cut the text into words */
    const struct str *terms;
    uint32_t nterms;
    struct lq_bound lo, hi;
    struct str date_format; /* of a range's bounds, Java pattern */
};

struct lq_opts {
    bool or_default;              /* words side by side are joined by OR (Elasticsearch), else by AND */
    const struct str *fields;     /* default fields instead of the index's */
    uint32_t nfields;
    bool lenient;
};

/* The query language (grammar in parse.c). ERR_INVALID says where. Everything is in the arena. */
MUST_CHECK err_t lq_parse(struct str text, const struct lq_opts *o, struct arena *a, struct lq **out);
/* An Elasticsearch query object {"bool": ...}. */
MUST_CHECK err_t lq_from_dsl(const struct json_val *v, struct arena *a, struct lq **out);

struct lq *lq_new(struct arena *a, enum lq_kind kind);
/* All of them (must); one child stands for itself, none is LQ_ALL. */
struct lq *lq_and(struct arena *a, struct lq **kids, uint32_t n);
struct lq *lq_or(struct arena *a, struct lq **kids, uint32_t n);
struct lq *lq_not(struct arena *a, struct lq *x);
/* For tests and the parse-query endpoint: a LISP-like text. */
void lq_print(const struct lq *q, struct buf *out);

#endif
