/* Tokens of TraceQL. An attribute name runs until white space or one of {}()=~!<>&|^, so + - * / belong to
 * names: `.a-b` is one name. */
#ifndef QUERY_TRACEQL_LEX_H
#define QUERY_TRACEQL_LEX_H

#include "query/traceql/traceql.h"

enum tql_token {
    TK_END, TK_LBRACE, TK_RBRACE, TK_LPAREN, TK_RPAREN, TK_COMMA, TK_PIPE,
    TK_OP,        /* op: comparisons, arithmetic, !, &&, || and relations (form) */
    TK_LITERAL,   /* lit */
    TK_ATTR,      /* scope, name */
    TK_INTRINSIC, /* intrinsic */
    TK_WORD,      /* name: by, select, count, rate, with, ... */
};
struct tql_lexer {
    struct str text;
    size_t at;
    struct arena *a;
    /* the current token */
    enum tql_token token;
    size_t start;
    enum tql_op op;
    enum tql_relation_form form;
    struct tval lit;
    enum tql_scope scope;
    struct str name;
    enum tql_intrinsic intrinsic;
};
MUST_CHECK err_t tql_lex_next(struct tql_lexer *l);
/* ERR_INVALID at the current token: "parse error at line 1, col 5: ..." */
MUST_CHECK err_t tql_lex_error(const struct tql_lexer *l, const char *what);
MUST_CHECK bool tql_duration(struct str s, int64_t *ns); /* 1h30m, 1.5s, 100ms, 2d, 5us */

#endif
