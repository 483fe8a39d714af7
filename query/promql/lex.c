#include "query/promql/lex.h"

#include <math.h>

static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_alpha(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_alnum(int c) { return is_alpha(c) || is_digit(c); }
static int peek(const struct pq_lexer *l, uint32_t ahead)
{
    return l->at + ahead < l->text.n ? (unsigned char)l->text.p[l->at + ahead] : -1;
}

/* y w d h m s ms, each at most once, in this order. */
static const struct { const char *unit; double seconds; } units[] = {
    { "y", 365 * 86400.0 }, { "w", 7 * 86400.0 }, { "d", 86400.0 }, { "h", 3600.0 }, { "m", 60.0 },
    { "s", 1.0 }, { "ms", 0.001 },
};

static bool duration_parse(struct str s, double *seconds)
{
    size_t at = 0, unit = 0;
    double sum_ms = 0;
    if (s.n == 0) return false;
    while (at < s.n) {
        double v = 0;
        size_t digits = at;
        while (at < s.n && is_digit(s.p[at])) v = v * 10 + (s.p[at++] - '0');
        if (at == digits) return false;
        size_t from = at;
        while (at < s.n && !is_digit(s.p[at])) at++;
        struct str u = str_sub(s, from, at);
        while (unit < ARRAY_LEN(units) && !str_is(u, units[unit].unit)) unit++;
        if (unit == ARRAY_LEN(units)) return false;
        sum_ms += v * (units[unit++].seconds * 1000);
    }
    if (sum_ms > 9.2e12) return false;
    *seconds = sum_ms / 1000;
    return true;
}

bool pq_duration_ms(struct str s, int64_t *ms)
{
    double sec;
    if (!duration_parse(s, &sec)) return false;
    *ms = (int64_t)llround(sec * 1000);
    return true;
}

static bool integer_parse(struct str s, double *out)
{
    unsigned base = 10;
    size_t at = 1;
    if (s.n < 2 || s.p[0] != '0') return false;
    if (s.p[1] == 'x' || s.p[1] == 'X') base = 16, at = 2;
    else if (s.p[1] == 'b' || s.p[1] == 'B') base = 2, at = 2;
    else if (s.p[1] == 'o' || s.p[1] == 'O') base = 8, at = 2;
    else base = 8;
    if (at == s.n) return false;
    double v = 0;
    for (; at < s.n; at++) {
        int c = s.p[at] | 0x20, d;
        if (is_digit(s.p[at])) d = s.p[at] - '0';
        else if (c >= 'a' && c <= 'f') d = c - 'a' + 10;
        else return false;
        if ((unsigned)d >= base) return false;
        v = v * base + d;
    }
    *out = v;
    return true;
}

bool pq_number(struct str s, double *out)
{
    char plain[320];
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_') {
            if (i == 0 || i + 1 == s.n) return false;
            continue;
        }
        if (n + 1 >= sizeof plain) return false;
        plain[n++] = s.p[i];
    }
    struct str t = str_n(plain, n);
    if (n == 0) return false;
    size_t sign = plain[0] == '+' || plain[0] == '-';
    struct str rest = str_sub(t, sign, n);
    if (rest.n && !is_digit(rest.p[0]) && rest.p[0] != '.') {
        if (str_ieq(rest, STR("inf")) || str_ieq(rest, STR("infinity"))) {
            *out = plain[0] == '-' ? -INFINITY : INFINITY;
            return true;
        }
        if (str_ieq(rest, STR("nan"))) return *out = NAN, true;
        return false;
    }
    if (integer_parse(rest, out)) {
        if (plain[0] == '-') *out = -*out;
        return true;
    }
    if (duration_parse(rest, out)) {
        if (plain[0] == '-') *out = -*out;
        return true;
    }
    return str_to_f64(plain[0] == '+' ? rest : t, out);
}

static err_t lex_number(struct pq_lexer *l, struct pq_token *t)
{
    uint32_t start = l->at;
    bool hex = peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X');
    bool duration = false;
    for (;;) {
        int c = peek(l, 0);
        if (is_digit(c) || c == '.' || c == '_') {
            l->at++;
        } else if (!hex && !duration && (c == 'e' || c == 'E')) {
            l->at++;
            if (peek(l, 0) == '+' || peek(l, 0) == '-') l->at++;
        } else if (is_alpha(c)) {
            duration = !hex;
            l->at++;
        } else {
            break;
        }
    }
    t->text = str_sub(l->text, start, l->at);
    t->kind = TK_NUMBER;
    double secs;
    if (duration) {
        if (duration_parse(t->text, &secs)) {
            t->kind = TK_DURATION;
            t->number = secs;
            return OK;
        }
    } else if (pq_number(t->text, &t->number)) {
        return OK;
    } else if (!hex && is_digit(t->text.p[0]) && integer_parse(t->text, &t->number)) {
        return OK;
    }
    if (pq_number(t->text, &t->number)) return OK;
    return pq_fail_at(l->text, start, "bad number or duration syntax: \"" STR_FMT "\"",
                      (int)MIN(t->text.n, 64), t->text.p);
}

static void put_utf8(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_byte(b, (uint8_t)c);
    } else if (c < 0x800) {
        buf_byte(b, (uint8_t)(0xC0 | c >> 6));
        buf_byte(b, (uint8_t)(0x80 | (c & 0x3F)));
    } else if (c < 0x10000) {
        buf_byte(b, (uint8_t)(0xE0 | c >> 12));
        buf_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
        buf_byte(b, (uint8_t)(0x80 | (c & 0x3F)));
    } else {
        buf_byte(b, (uint8_t)(0xF0 | c >> 18));
        buf_byte(b, (uint8_t)(0x80 | (c >> 12 & 0x3F)));
        buf_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
        buf_byte(b, (uint8_t)(0x80 | (c & 0x3F)));
    }
}

/* One escape behind a backslash; false when there is no such escape. */
static bool lex_escape(struct pq_lexer *l, char quote, struct buf *out)
{
    static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
    int c = peek(l, 0);
    l->at++;
    if (c == quote) return buf_byte(out, (uint8_t)c), true;
    const char *hit = c > 0 ? strchr(from, c) : NULL;
    if (hit) return buf_byte(out, (uint8_t)to[hit - from]), true;
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t v = 0;
    if (digits) {
        for (int i = 0; i < digits; i++) {
            int d = hex_value(peek(l, 0));
            if (d < 0) return false;
            v = v << 4 | (uint32_t)d;
            l->at++;
        }
    } else if (c >= '0' && c <= '7') {
        v = (uint32_t)(c - '0');
        for (int i = 0; i < 2; i++) {
            int d = peek(l, 0);
            if (d < '0' || d > '7') return false;
            v = v * 8 + (uint32_t)(d - '0');
            l->at++;
        }
        if (v > 255) return false;
    } else {
        return false;
    }
    if (digits >= 4) {
        if (v > 0x10FFFF || (v >= 0xD800 && v < 0xE000)) return false;
        put_utf8(out, v);
    } else {
        buf_byte(out, (uint8_t)v);
    }
    return true;
}

static err_t lex_string(struct pq_lexer *l, struct pq_token *t)
{
    uint32_t start = l->at;
    char quote = (char)peek(l, 0);
    struct buf out;
    buf_init(&out, l->text.n + 8, NULL);
    err_t e = OK;
    l->at++;
    for (;;) {
        int c = peek(l, 0);
        if (c < 0 || (c == '\n' && quote != '`')) {
            e = pq_fail_at(l->text, start, "unterminated %s string",
                           quote == '`' ? "raw" : "quoted");
            break;
        }
        l->at++;
        if (c == quote) break;
        if (c == '\\' && quote != '`') {
            uint32_t at = l->at;
            if (!lex_escape(l, quote, &out)) {
                e = pq_fail_at(l->text, at, "unknown escape sequence");
                break;
            }
        } else {
            buf_byte(&out, (uint8_t)c);
        }
    }
    t->kind = TK_STRING;
    t->text = arena_str(l->arena, buf_view(&out));
    buf_deinit(&out);
    return e;
}

static void lex_ident(struct pq_lexer *l, struct pq_token *t)
{
    uint32_t start = l->at;
    while (is_alnum(peek(l, 0)) || (peek(l, 0) == ':' && !l->brackets)) l->at++;
    t->text = str_sub(l->text, start, l->at);
    t->kind = TK_IDENT;
    if (str_ieq(t->text, STR("inf")) || str_ieq(t->text, STR("nan"))) {
        t->kind = TK_NUMBER;
        t->number = (t->text.p[0] | 0x20) == 'i' ? INFINITY : NAN;
        return;
    }
    static const struct { const char *word; enum pq_op op; } words[] = {
        { "and", PQ_AND }, { "or", PQ_OR }, { "unless", PQ_UNLESS }, { "atan2", PQ_ATAN2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_ieq(t->text, str_of(words[i].word))) {
            t->kind = TK_OP;
            t->op = words[i].op;
        }
}

static void skip_blank(struct pq_lexer *l)
{
    for (;;) {
        int c = peek(l, 0);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            l->at++;
        } else if (c == '#') {
            while (peek(l, 0) >= 0 && peek(l, 0) != '\n') l->at++;
        } else {
            return;
        }
    }
}

static const struct { const char text[3]; enum pq_tok kind; enum pq_op op; } symbols[] = {
    { "=~", TK_EQ_REGEX, 0 }, { "!~", TK_NE_REGEX, 0 }, { "==", TK_OP, PQ_EQ },
    { "!=", TK_OP, PQ_NE }, { "<=", TK_OP, PQ_LE }, { ">=", TK_OP, PQ_GE },
    { "</", TK_OP, PQ_TRIM_UPPER }, { ">/", TK_OP, PQ_TRIM_LOWER },
    { "<", TK_OP, PQ_LT }, { ">", TK_OP, PQ_GT }, { "=", TK_ASSIGN, 0 },
    { "+", TK_OP, PQ_ADD }, { "-", TK_OP, PQ_SUB }, { "*", TK_OP, PQ_MUL }, { "/", TK_OP, PQ_DIV },
    { "%", TK_OP, PQ_MOD }, { "^", TK_OP, PQ_POW }, { "(", TK_LPAREN, 0 }, { ")", TK_RPAREN, 0 },
    { "{", TK_LBRACE, 0 }, { "}", TK_RBRACE, 0 }, { "[", TK_LBRACKET, 0 }, { "]", TK_RBRACKET, 0 },
    { ",", TK_COMMA, 0 }, { "@", TK_AT, 0 },
};

static err_t lex_end(const struct pq_lexer *l)
{
    if (l->braces) return pq_fail_at(l->text, l->at, "unexpected end of input inside braces");
    if (l->brackets) return pq_fail_at(l->text, l->at, "unclosed left bracket");
    if (l->parens) return pq_fail_at(l->text, l->at, "unclosed left parenthesis");
    return OK;
}

static err_t lex_nesting(struct pq_lexer *l, enum pq_tok kind)
{
    if (kind == TK_LBRACKET) l->brackets++;
    if (kind == TK_RBRACKET && l->brackets) l->brackets--;
    if (kind == TK_LPAREN) l->parens++;
    if (kind == TK_LBRACE) l->braces++;
    if (kind == TK_RBRACE && l->braces) l->braces--;
    if (kind != TK_RPAREN) return OK;
    if (l->parens == 0) return pq_fail_at(l->text, l->at, "unexpected right parenthesis ')'");
    l->parens--;
    return OK;
}

err_t pq_lex(struct pq_lexer *l, struct pq_token *t)
{
    skip_blank(l);
    *t = (struct pq_token){ .start = l->at, .end = l->at };
    int c = peek(l, 0);
    if (c < 0) return lex_end(l);
    if (is_digit(c) && l->braces) {
        return pq_fail_at(l->text, l->at, "unexpected character inside braces: '%c'", c);
    } else if (is_digit(c) || (c == '.' && is_digit(peek(l, 1)))) {
        TRY(lex_number(l, t));
    } else if (c == '"' || c == '\'' || c == '`') {
        TRY(lex_string(l, t));
    } else if (is_alpha(c) || (c == ':' && !l->brackets)) {
        lex_ident(l, t);
    } else if (c == ':') {
        t->kind = TK_COLON;
        t->text = str_sub(l->text, l->at, l->at + 1);
        l->at++;
    } else {
        size_t i = 0;
        for (; i < ARRAY_LEN(symbols); i++) {
            size_t n = strlen(symbols[i].text);
            if (str_eq(str_sub(l->text, l->at, l->at + n), str_n(symbols[i].text, n))) break;
        }
        if (i == ARRAY_LEN(symbols))
            return pq_fail_at(l->text, l->at, "unexpected character%s: '%c'", l->braces ? " inside braces" : "", c);
        t->kind = symbols[i].kind;
        t->op = symbols[i].op;
        size_t n = strlen(symbols[i].text);
        t->text = str_sub(l->text, l->at, l->at + n);
        l->at += (uint32_t)n;
        TRY(lex_nesting(l, t->kind));
    }
    t->end = l->at;
    return OK;
}

struct str pq_token_text(struct arena *a, const struct pq_token *t)
{
    static const char *const kinds[] = {
        [TK_IDENT] = "identifier", [TK_NUMBER] = "number", [TK_DURATION] = "duration",
        [TK_STRING] = "string",
    };
    static const char *const keywords[] = { "by", "without", "on", "ignoring", "group_left", "group_right", "bool",
                                            "offset", "anchored", "smoothed" };
    struct str s = str_sub(t->text, 0, 64);
    for (size_t i = 0; t->kind == TK_IDENT && i < ARRAY_LEN(keywords); i++)
        if (str_ieq(s, str_of(keywords[i]))) return arena_printf(a, "<%s>", keywords[i]);
    if (t->kind == TK_EOF) return STR("end of input");
    if (t->kind <= TK_STRING) return arena_printf(a, "%s \"" STR_FMT "\"", kinds[t->kind], STR_ARG(s));
    if (t->kind == TK_OP) return arena_printf(a, "<op:" STR_FMT ">", STR_ARG(s));
    return arena_printf(a, "\"" STR_FMT "\"", STR_ARG(s));
}
