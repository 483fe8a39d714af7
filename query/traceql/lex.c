#include "query/traceql/lex.h"

#include <math.h>
#include <stdlib.h>

err_t tql_lex_error(const struct tql_lexer *l, const char *what)
{
    unsigned line = 1, col = 1;
    for (size_t i = 0; i < l->start && i < l->text.n; i++) {
        col++;
        if (l->text.p[i] == '\n') {
            line++;
            col = 1;
        }
    }
    struct str near = str_sub(l->text, l->start, MIN(l->start + 24, l->text.n));
    return err_set(ERR_INVALID, "parse error at line %u, col %u: %s near '" STR_FMT "'", line, col, what,
                   STR_ARG(near));
}

static bool is_name_end(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || strchr("{}()=~!<>&|^,", c);
}

static char at(const struct tql_lexer *l, size_t ahead)
{
    return l->at + ahead < l->text.n ? l->text.p[l->at + ahead] : 0;
}

/* -- literals ------------------------------------------------------------------------------------------ */
static const struct { const char *unit; double ns; } units[] = {
    { "ns", 1 },   { "us", 1e3 },     { "\xC2\xB5s", 1e3 }, { "ms", 1e6 },          { "s", 1e9 },
    { "m", 60e9 }, { "h", 3600e9 },   { "d", 86400e9 },     { "w", 7 * 86400e9 },   { "y", 365 * 86400e9 },
};

bool tql_duration(struct str s, int64_t *ns)
{
    double total = 0;
    if (s.n == 0) return false;
    while (s.n) {
        size_t digits = 0;
        while (digits < s.n && ((s.p[digits] >= '0' && s.p[digits] <= '9') || s.p[digits] == '.'))
            digits++;
        double v;
        if (!str_to_f64(str_sub(s, 0, digits), &v)) return false;
        s = str_sub(s, digits, s.n);
        size_t best = 0, len = 0;
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
            if (str_starts(s, str_of(units[i].unit)) && strlen(units[i].unit) > len) {
                best = i;
                len = strlen(units[i].unit);
            }
        if (len == 0) return false;
        total += v * units[best].ns;
        s = str_sub(s, len, s.n);
    }
    if (total >= 9.2e18) return false;
    *ns = (int64_t)llround(total);
    return true;
}

static err_t lex_number(struct tql_lexer *l)
{
    size_t n = 0;
    while (l->at + n < l->text.n) {
        char c = at(l, n);
        bool exponent_sign = (c == '+' || c == '-') && n && (at(l, n - 1) == 'e' || at(l, n - 1) == 'E');
        bool word = (c >= '0' && c <= '9') || c == '.' || (c >= 'a' && c <= 'z') ||
                    (c >= 'A' && c <= 'Z') || (c & 0x80);
        if (!word && !exponent_sign) break;
        n++;
    }
    struct str s = str_sub(l->text, l->at, l->at + n);
    l->token = TK_LITERAL;
    if (str_to_i64(s, &l->lit.i)) {
        l->lit.type = TV_INT;
    } else if (str_to_f64(s, &l->lit.f)) {
        l->lit.type = TV_FLOAT;
    } else if (tql_duration(s, &l->lit.i)) {
        l->lit.type = TV_INT;
        l->lit.duration = true;
    } else {
        return tql_lex_error(l, "not a number or duration");
    }
    l->at += n;
    return OK;
}

/* Behind the closing quote of the string that begins at `from`, or the end of the text. */
static size_t quoted_end(struct str text, size_t from)
{
    char quote = text.p[from];
    for (size_t i = from + 1; i < text.n; i++) {
        if (text.p[i] == quote) return i + 1;
        if (text.p[i] == '\\' && quote == '"') i++;
    }
    return text.n;
}

/* Reads "..." (escapes \" \\ \n \t \r) or `...` at l->at. */
static err_t lex_quoted(struct tql_lexer *l, struct str *out)
{
    char quote = at(l, 0);
    char *p = ARENA_RAW(l->a, char, quoted_end(l->text, l->at) - l->at + 1);
    size_t n = 0;
    for (l->at++; l->at < l->text.n && at(l, 0) != quote; l->at++) {
        char c = at(l, 0);
        if (c == '\\' && quote == '"') {
            l->at++;
            c = at(l, 0);
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
            /* Regexes write \. and \d: an escape that is none of ours stays as it is. */
            if (!strchr("\"\\\n\t\r", c)) p[n++] = '\\';
        }
        p[n++] = c;
    }
    if (l->at >= l->text.n) return tql_lex_error(l, "string is not closed");
    l->at++;
    *out = str_n(p, n);
    return OK;
}

/* -- names ----------------------------------------------------------------------------------------------- */
static const struct { const char *name; enum tql_intrinsic id; } intrinsics[] = {
    { "duration", TI_DURATION },           { "name", TI_NAME },
    { "status", TI_STATUS },               { "statusMessage", TI_STATUS_MESSAGE },
    { "kind", TI_KIND },                   { "rootName", TI_ROOT_NAME },
    { "rootServiceName", TI_ROOT_SERVICE },{ "traceDuration", TI_TRACE_DURATION },
    { "nestedSetLeft", TI_NESTED_LEFT },   { "nestedSetRight", TI_NESTED_RIGHT },
    { "nestedSetParent", TI_NESTED_PARENT },
    { "trace:duration", TI_TRACE_DURATION },{ "trace:rootName", TI_ROOT_NAME },
    { "trace:rootService", TI_ROOT_SERVICE },{ "trace:rootServiceName", TI_ROOT_SERVICE },
    { "trace:id", TI_TRACE_ID },           { "span:duration", TI_DURATION },
    { "span:name", TI_NAME },              { "span:kind", TI_KIND },
    { "span:status", TI_STATUS },          { "span:statusMessage", TI_STATUS_MESSAGE },
    { "span:id", TI_SPAN_ID },             { "span:parentID", TI_PARENT_ID },
    { "span:childCount", TI_CHILD_COUNT }, { "event:name", TI_EVENT_NAME },
    { "event:timeSinceStart", TI_EVENT_SINCE_START }, { "link:traceID", TI_LINK_TRACE_ID },
    { "link:spanID", TI_LINK_SPAN_ID },    { "instrumentation:name", TI_SCOPE_NAME },
    { "instrumentation:version", TI_SCOPE_VERSION },
};
static const struct { const char *prefix; enum tql_scope scope; } scopes[] = {
    { ".", TS_ANY },          { "span.", TS_SPAN }, { "resource.", TS_RESOURCE },
    { "event.", TS_EVENT },   { "link.", TS_LINK }, { "instrumentation.", TS_INSTRUMENTATION },
};
static const struct { const char *word; struct tval v; } keywords[] = {
    { "true", { .type = TV_BOOL, .b = true } }, { "false", { .type = TV_BOOL, .b = false } },
    { "nil", { .type = TV_NIL } },
    { "unset", { .type = TV_STATUS, .i = 0 } }, { "ok", { .type = TV_STATUS, .i = 1 } },
    { "error", { .type = TV_STATUS, .i = 2 } },
    { "unspecified", { .type = TV_KIND, .i = 0 } }, { "internal", { .type = TV_KIND, .i = 1 } },
    { "server", { .type = TV_KIND, .i = 2 } },  { "client", { .type = TV_KIND, .i = 3 } },
    { "producer", { .type = TV_KIND, .i = 4 } },{ "consumer", { .type = TV_KIND, .i = 5 } },
    { "minInt", { .type = TV_INT, .i = INT64_MIN } }, { "maxInt", { .type = TV_INT, .i = INT64_MAX } },
};

/* The name behind a scope prefix: pieces may be quoted, span."a b".c */
static err_t lex_attr(struct tql_lexer *l, enum tql_scope scope)
{
    size_t end = l->at;
    while (end < l->text.n && !is_name_end(l->text.p[end]))
        end = l->text.p[end] == '"' ? quoted_end(l->text, end) : end + 1;
    char *p = ARENA_RAW(l->a, char, end - l->at + 1);
    size_t n = 0;
    while (l->at < l->text.n && !is_name_end(at(l, 0))) {
        if (at(l, 0) == '"') {
            struct str piece;
            TRY(lex_quoted(l, &piece));
            memcpy(p + n, piece.p, piece.n);
            n += piece.n;
        } else {
            p[n++] = at(l, 0);
            l->at++;
        }
    }
    if (n == 0) return tql_lex_error(l, "attribute name expected");
    l->token = TK_ATTR;
    l->scope = scope;
    l->name = str_n(p, n);
    return OK;
}

static err_t lex_word(struct tql_lexer *l)
{
    struct str rest = str_sub(l->text, l->at, l->text.n);
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        if (str_starts(rest, str_of(scopes[i].prefix))) {
            l->at += strlen(scopes[i].prefix);
            return lex_attr(l, scopes[i].scope);
        }
    if (str_starts(rest, STR("parent.")))
        return tql_lex_error(l, "parent attributes are not supported");
    size_t n = 0;
    while (n < rest.n && !is_name_end(rest.p[n]) && !strchr("+*/%-", rest.p[n]))
        n++;
    if (n == 0) return tql_lex_error(l, "unexpected character");
    l->name = str_sub(rest, 0, n);
    l->at += n;
    for (size_t i = 0; i < ARRAY_LEN(intrinsics); i++)
        if (str_is(l->name, intrinsics[i].name)) {
            l->token = TK_INTRINSIC;
            l->intrinsic = intrinsics[i].id;
            return OK;
        }
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (str_is(l->name, keywords[i].word)) {
            l->token = TK_LITERAL;
            l->lit = keywords[i].v;
            return OK;
        }
    l->token = TK_WORD;
    return OK;
}

/* -- operators: longest first ------------------------------------------------------------------------------- */
static const struct { const char *text; enum tql_token token; enum tql_op op; enum tql_relation_form form; } marks[] = {
    { "&>>", TK_OP, OP_DESCENDANT, REL_UNION }, { "&<<", TK_OP, OP_ANCESTOR, REL_UNION },
    { "!>>", TK_OP, OP_DESCENDANT, REL_NOT },   { "!<<", TK_OP, OP_ANCESTOR, REL_NOT },
    { "&&", TK_OP, OP_AND, 0 },                 { "||", TK_OP, OP_OR, 0 },
    { "&>", TK_OP, OP_CHILD, REL_UNION },       { "&<", TK_OP, OP_PARENT, REL_UNION },
    { "&~", TK_OP, OP_SIBLING, REL_UNION },     { "!>", TK_OP, OP_CHILD, REL_NOT },
    { "!=", TK_OP, OP_NE, 0 },                  { "!~", TK_OP, OP_NRE, 0 },
    { "!<", TK_OP, OP_PARENT, REL_NOT },        { "=~", TK_OP, OP_RE, 0 },
    { ">=", TK_OP, OP_GE, 0 },                  { "<=", TK_OP, OP_LE, 0 },
    { ">>", TK_OP, OP_DESCENDANT, 0 },          { "<<", TK_OP, OP_ANCESTOR, 0 },
    { "=", TK_OP, OP_EQ, 0 },                   { ">", TK_OP, OP_GT, 0 },
    { "<", TK_OP, OP_LT, 0 },                   { "~", TK_OP, OP_SIBLING, 0 },
    { "!", TK_OP, OP_NOT, 0 },                  { "+", TK_OP, OP_ADD, 0 },
    { "-", TK_OP, OP_SUB, 0 },                  { "*", TK_OP, OP_MUL, 0 },
    { "/", TK_OP, OP_DIV, 0 },                  { "%", TK_OP, OP_MOD, 0 },
    { "^", TK_OP, OP_POW, 0 },                  { "{", TK_LBRACE, 0, 0 },
    { "}", TK_RBRACE, 0, 0 },                   { "(", TK_LPAREN, 0, 0 },
    { ")", TK_RPAREN, 0, 0 },                   { ",", TK_COMMA, 0, 0 },
    { "|", TK_PIPE, 0, 0 },
};

err_t tql_lex_next(struct tql_lexer *l)
{
    while (l->at < l->text.n && strchr(" \t\r\n", l->text.p[l->at]))
        l->at++;
    l->start = l->at;
    l->lit = (struct tval){ 0 };
    if (l->at >= l->text.n) {
        l->token = TK_END;
        return OK;
    }
    char c = at(l, 0), next = at(l, 1);
    if ((c >= '0' && c <= '9') || (c == '.' && next >= '0' && next <= '9')) return lex_number(l);
    if (c == '"' || c == '`') {
        l->token = TK_LITERAL;
        l->lit.type = TV_STR;
        return lex_quoted(l, &l->lit.s);
    }
    struct str rest = str_sub(l->text, l->at, l->text.n);
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (str_starts(rest, str_of(marks[i].text))) {
            l->token = marks[i].token;
            l->op = marks[i].op;
            l->form = marks[i].form;
            l->at += strlen(marks[i].text);
            return OK;
        }
    return lex_word(l);
}
