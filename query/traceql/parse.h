/* The parser's inside, shared by searches (parse.c) and metrics (parse_metrics.c). */
#ifndef QUERY_TRACEQL_PARSE_H
#define QUERY_TRACEQL_PARSE_H

#include "query/traceql/lex.h"
#include "query/traceql/metrics.h"

struct tql_parser {
    struct tql_lexer lex;
    struct arena *a;
    struct tql_query *q;     /* filters, regexes and mentions go here */
    int depth;
    size_t regex_cap, mentioned_cap;
    int metrics_depth;       /* the pipeline of this depth may end before a metrics function; 0 = none may */
    int64_t exemplars;       /* hint: -1 = none given */
};
MUST_CHECK err_t tql_deeper(struct tql_parser *p);
MUST_CHECK err_t tql_expect(struct tql_parser *p, enum tql_token token, const char *what);
bool tql_at_word(const struct tql_parser *p, const char *word);
MUST_CHECK err_t tql_field(struct tql_parser *p, int min, struct tql_field **out);
/* One attribute, intrinsic or literal, or a field in parentheses. */
MUST_CHECK err_t tql_field_primary(struct tql_parser *p, struct tql_field **out);
/* Behind "{" and up to "}": *out NULL for {}. */
MUST_CHECK err_t tql_filter_body(struct tql_parser *p, struct tql_field **out);
MUST_CHECK err_t tql_pipeline(struct tql_parser *p, struct tql_pipeline **out);
MUST_CHECK err_t tql_hints(struct tql_parser *p);
/* A number or a duration in ns, perhaps with a minus before it. */
MUST_CHECK err_t tql_number(struct tql_parser *p, struct tval *out);
/* 0 for what is no operator between fields. */
int tql_precedence(enum tql_op op);
bool tql_is_comparison(enum tql_op op);
bool tql_is_numeric(const struct tql_field *f); /* may it be a number, as far as the text tells? */
bool tql_at_metrics_function(const struct tql_parser *p, enum tql_metric_fn *fn);

#endif
