/* Tokens of PromQL. The lexer is a cursor over the text: no allocation but for decoded strings. Inside [ ]
 * a ':' is a token of its own, elsewhere it is a letter of metric names. */
#ifndef QUERY_PROMQL_LEX_H
#define QUERY_PROMQL_LEX_H

#include "query/promql/ast.h"

enum pq_tok {
    TK_EOF, TK_IDENT, TK_NUMBER, TK_DURATION, TK_STRING,
    TK_LPAREN, TK_RPAREN, TK_LBRACE, TK_RBRACE, TK_LBRACKET, TK_RBRACKET,
    TK_COMMA, TK_COLON, TK_AT, TK_ASSIGN, TK_EQ_REGEX, TK_NE_REGEX, TK_OP,
};

enum pq_bad { PQ_BAD_NONE, PQ_BAD_RANGE, PQ_BAD_SYNTAX, PQ_BAD_DURATION }; /* of a literal: said when it is used */

struct pq_token {
    enum pq_tok kind;
    enum pq_op op;       /* TK_OP */
    uint32_t start, end;
    double number;       /* TK_NUMBER, TK_DURATION (seconds) */
    enum pq_bad bad;     /* TK_NUMBER, TK_DURATION */
    struct str text;     /* as written; TK_STRING: decoded */
};

struct pq_lexer {
    struct str text;
    struct arena *arena;
    uint32_t at;
    uint32_t parens;         /* open ones */
    bool brackets, braces;   /* one is open: neither stands in itself */
    bool duration;           /* behind a '[', before its first number */
    bool number, colon;      /* there was a number in brackets; a colon in these */
};

/* The next token; ERR_INVALID with position on text that is none. */
MUST_CHECK err_t pq_lex(struct pq_lexer *l, struct pq_token *t);
/* "unexpected <this>" for error messages. */
struct str pq_token_text(struct arena *a, const struct pq_lexer *l, const struct pq_token *t);
bool pq_called(const struct pq_lexer *l); /* does a '(' follow the last token? */
/* The float of a number or duration literal (1_000, 0x1F, 1h30m, Inf), for parameters of the API too. */
bool pq_number(struct str s, double *out);
bool pq_duration_ms(struct str s, int64_t *ms);

#endif
