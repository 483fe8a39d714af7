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

struct pq_token {
    enum pq_tok kind;
    enum pq_op op;       /* TK_OP */
    uint32_t start, end;
    double number;       /* TK_NUMBER, TK_DURATION (seconds) */
    struct str text;     /* as written; TK_STRING: decoded */
};

struct pq_lexer {
    struct str text;
    struct arena *arena;
    uint32_t at;
    uint32_t brackets, parens, braces; /* open ones */
};

/* The next token; ERR_INVALID with position on text that is none. */
MUST_CHECK err_t pq_lex(struct pq_lexer *l, struct pq_token *t);
/* "unexpected <this>" for error messages. */
struct str pq_token_text(struct arena *a, const struct pq_token *t);
/* The float of a number or duration literal (1_000, 0x1F, 1h30m, Inf), for parameters of the API too. */
bool pq_number(struct str s, double *out);
bool pq_duration_ms(struct str s, int64_t *ms);

#endif
