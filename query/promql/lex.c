#include "query/promql/lex.h"

#include <math.h>
#include <stdio.h>

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

static bool one_of(const struct pq_lexer *l, const char *set)
{
    int c = peek(l, 0);
    return c > 0 && strchr(set, c);
}

static bool take(struct pq_lexer *l, const char *set)
{
    if (!one_of(l, set)) return false;
    l->at++;
    return true;
}

/* What looks like a number: digits with dots, exponents and underscores in places where they may be. Whether it is one is asked
 * when it is used. */
static bool scan_number(struct pq_lexer *l)
{
    uint32_t start = l->at;
    const char *digits = "0123456789";
    bool hex = take(l, "0") && take(l, "xX"), dot = false, exponent = false;
    if (hex) {
        take(l, "_");
        digits = "0123456789abcdefABCDEF";
    }
    take(l, ".");
    take(l, digits);
    while (one_of(l, "._eE") || one_of(l, digits)) {
        if ((dot && take(l, ".")) || (exponent && take(l, "eE"))) return false;
        if (take(l, ".")) {
            dot = true;
            if (take(l, "_.") || hex) return false;
        } else if (take(l, "eE")) {
            exponent = true;
            take(l, "+-");
            if (take(l, "._eE") || peek(l, 0) < 0) return false;
        } else if (take(l, "_")) {
            if (take(l, "._eE") || peek(l, 0) < 0) return false;
        } else {
            while (take(l, digits)) { }
        }
    }
    return l->at > start && !is_alnum(peek(l, 0));
}

static bool scan_duration(struct pq_lexer *l)
{
    if (!take(l, "smhdwy")) return false;
    take(l, "s");
    while (take(l, "0123456789")) {
        while (take(l, "0123456789")) { }
        if (!take(l, "smhdw")) return false;
        take(l, "s");
    }
    if (!is_alnum(peek(l, 0))) return true;
    l->at++; /* the message has it too */
    return false;
}

/* The value of a number that scan_number took. */
static enum pq_bad literal(struct str s, double *out)
{
    bool hex = s.n > 1 && (s.p[1] | 0x20) == 'x', octal = s.n > 1 && s.p[0] == '0' && !hex, underscore = str_chr(s, '_') < s.n;
    bool whole = true;
    for (size_t i = hex ? 2 : 0; i < s.n; i++)
        whole = whole && (s.p[i] == '_' || (hex ? hex_value(s.p[i]) >= 0 : is_digit(s.p[i]) && (!octal || s.p[i] < '8')));
    whole = whole && !(hex && s.n == 2);
    if (whole && (hex || octal || underscore)) {
        double v = 0;
        for (size_t i = hex ? 2 : 0; i < s.n; i++)
            if (s.p[i] != '_') v = v * (hex ? 16 : octal ? 8 : 10) + (hex ? hex_value(s.p[i]) : s.p[i] - '0');
        *out = v;
        if (v < 0x1p63) return PQ_BAD_NONE;
    }
    if (hex || underscore) return PQ_BAD_SYNTAX;
    if (!str_to_f64(s, out)) return PQ_BAD_SYNTAX;
    return isinf(*out) ? PQ_BAD_RANGE : PQ_BAD_NONE;
}

static err_t lex_number(struct pq_lexer *l, struct pq_token *t)
{
    uint32_t start = l->at;
    t->kind = TK_NUMBER;
    if (scan_number(l)) {
        t->text = str_sub(l->text, start, l->at);
        t->bad = literal(t->text, &t->number);
        return OK;
    }
    if (scan_duration(l)) {
        t->kind = TK_DURATION;
        t->text = str_sub(l->text, start, l->at);
        t->bad = duration_parse(t->text, &t->number) ? PQ_BAD_NONE : PQ_BAD_DURATION;
        return OK;
    }
    struct buf b;
    buf_init(&b, SIZE_MAX, NULL);
    pq_quote(str_sub(l->text, start, l->at), &b);
    err_t e = pq_fail_at(l->text, start, "bad number or duration syntax: %.*s", (int)MIN(b.n, 200), b.p);
    buf_deinit(&b);
    return e;
}

/* The character at `at` as Go quotes it: 'x'. */
struct quoted { char text[24]; };
static uint32_t rune_at(struct str s, uint32_t at, uint32_t *n)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char c = (unsigned char)s.p[at];
    *n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    uint32_t r = *n == 1 ? c : c & (0xFFu >> (*n + 1));
    for (uint32_t i = 1; i < *n && at + i < s.n; i++) r = r << 6 | ((unsigned char)s.p[at + i] & 0x3F);
    return *n > 1 && r < least[*n] ? 0xFFFD : r;
}

static struct quoted quote_char(const struct pq_lexer *l, uint32_t at)
{
    struct quoted q;
    uint32_t n;
    if (at >= l->text.n) return (struct quoted){ "'\xEF\xBF\xBD'" };
    static const char from[] = "\a\b\f\n\r\t\v\\'", to[] = "abfnrtv\\'";
    uint32_t r = rune_at(l->text, at, &n);
    const char *hit = r && r < 0x80 ? strchr(from, (int)r) : NULL;
    if (hit) snprintf(q.text, sizeof q.text, "'\\%c'", to[hit - from]);
    else if (r < 0x20 || r == 0x7f) snprintf(q.text, sizeof q.text, "'\\x%02x'", r);
    else if (r >= 0x80 && r < 0xA0) snprintf(q.text, sizeof q.text, "'\\u%04x'", r);
    else snprintf(q.text, sizeof q.text, "'%.*s'", (int)n, l->text.p + at);
    return q;
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

/* U+0041 'A' */
static err_t bad_escape(const struct pq_lexer *l, uint32_t start, const char *what, const char *where)
{
    uint32_t n;
    if (l->at >= l->text.n) return pq_fail_at(l->text, start, "escape sequence not terminated");
    uint32_t r = rune_at(l->text, l->at, &n);
    if (r < 0x20 || (r >= 0x7f && r < 0xA0)) return pq_fail_at(l->text, start, "%s U+%04X%s", what, r, where);
    return pq_fail_at(l->text, start, "%s U+%04X '%.*s'%s", what, r, (int)n, l->text.p + l->at, where);
}

/* One escape behind a backslash, of the string that begins at `start`. */
static err_t lex_escape(struct pq_lexer *l, uint32_t start, char quote, struct buf *out)
{
    static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
    int c = peek(l, 0);
    const char *hit = c > 0 ? strchr(from, c) : NULL;
    if (hit || c == quote) {
        buf_byte(out, (uint8_t)(hit ? to[hit - from] : c));
        l->at++;
        return OK;
    }
    bool octal = c >= '0' && c <= '7';
    int digits = octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t v = 0;
    if (!digits) return bad_escape(l, start, "unknown escape sequence", "");
    if (!octal) l->at++;
    for (int i = 0; i < digits; i++) {
        int d = peek(l, 0) < 0 ? -1 : hex_value(peek(l, 0));
        if (d < 0 || (octal && d > 7)) return bad_escape(l, start, "illegal character", " in escape sequence");
        v = v << (octal ? 3 : 4) | (uint32_t)d;
        l->at++;
    }
    if ((octal && v > 255) || v > 0x10FFFF || (v >= 0xD800 && v < 0xE000))
        return pq_fail_at(l->text, start, "escape sequence is an invalid Unicode code point");
    if (digits >= 4) put_utf8(out, v);
    else buf_byte(out, (uint8_t)v);
    return OK;
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
            e = lex_escape(l, start, quote, &out);
            if (e != OK) break;
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
    while (is_alnum(peek(l, 0)) || (peek(l, 0) == ':' && !l->braces)) l->at++;
    t->text = str_sub(l->text, start, l->at);
    t->kind = TK_IDENT;
    if (l->braces) return; /* a label's name, whatever it is elsewhere */
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
        } else if (c == '#' && !l->duration) {
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
    if (l->duration) return pq_fail_at(l->text, l->at, "unexpected end of input in duration expression");
    if (l->parens) return pq_fail_at(l->text, l->at, "unclosed left parenthesis");
    if (l->brackets) return pq_fail_at(l->text, l->at, "unclosed left bracket");
    return OK;
}

static err_t unexpected_char(const struct pq_lexer *l, const char *what, uint32_t at)
{
    struct quoted q = quote_char(l, at);
    return pq_fail_at(l->text, l->at, "unexpected %s %s", what, q.text);
}

/* Brackets open a state of their own: until a number came, there are only durations' words and operators. */
static err_t lex_nesting(struct pq_lexer *l, enum pq_tok kind)
{
    if (kind == TK_LBRACKET) l->brackets = l->duration = true, l->colon = false;
    if (kind == TK_RBRACKET) l->brackets = l->duration = false;
    if (kind == TK_LPAREN) l->parens++;
    if (kind == TK_LBRACE) l->braces = true;
    if (kind == TK_RBRACE) l->braces = false;
    if (kind != TK_RPAREN) return OK;
    if (l->parens == 0) return pq_fail_at(l->text, l->at, "unexpected right parenthesis ')'");
    l->parens--;
    return OK;
}

static bool duration_word(struct str s)
{
    return str_ieq(s, STR("step")) || str_ieq(s, STR("range")) || str_ieq(s, STR("max_of")) || str_ieq(s, STR("min_of"));
}

/* A letter or ':' inside brackets. */
static err_t lex_in_brackets(struct pq_lexer *l, struct pq_token *t)
{
    uint32_t start = l->at;
    if (peek(l, 0) == ':') {
        if (!l->duration && l->colon) return unexpected_char(l, "colon", start);
        t->kind = TK_COLON;
        t->text = str_sub(l->text, start, ++l->at);
        if (l->duration && !l->number) return pq_fail_at(l->text, l->at, "unexpected colon before duration in duration expression");
        if (l->duration && l->colon) return pq_fail_at(l->text, l->at, "unexpected repeated colon in duration expression");
        l->colon = true;
        return OK;
    }
    uint32_t end = start;
    while (end < l->text.n && is_alpha((unsigned char)l->text.p[end])) end++;
    t->text = str_sub(l->text, start, end);
    t->kind = TK_IDENT;
    if (duration_word(t->text)) {
        l->at = end;
        return OK;
    }
    /* Behind a word that might have been one, Go's lexer names its last letter read: the first. */
    struct quoted q = quote_char(l, start);
    return l->duration ? pq_fail_at(l->text, start, "unexpected character in duration expression: %s", q.text)
                       : pq_fail_at(l->text, start, "unexpected character: %s, expected ':'", q.text);
}

static err_t lex_symbol(struct pq_lexer *l, struct pq_token *t)
{
    int c = peek(l, 0), d = peek(l, 1);
    const char *place = l->braces ? "character inside braces:" : l->duration ? "character in duration expression:" : "character:";
    const char *known = l->braces ? ",=!{}" : l->duration ? "]()+-*/%^," : ",*/%+-^=!<>(){[]@";
    if (!c || !strchr(known, c)) return unexpected_char(l, place, l->at);
    if (c == '!' && d != '=' && !(l->braces && d == '~'))
        return unexpected_char(l, l->braces ? "character after '!' inside braces:" : "character after '!':", l->at + 1);
    if (c == '=' && d == '~' && !l->braces) return unexpected_char(l, "character after '=':", l->at + 1);
    if (c == '{' && l->braces) return unexpected_char(l, "left brace", l->at);
    if (c == '[' && l->brackets) return unexpected_char(l, "left bracket", l->at);
    if (c == ']' && !l->brackets) return unexpected_char(l, "right bracket", l->at);
    size_t i = 0;
    for (; i < ARRAY_LEN(symbols); i++) {
        size_t n = strlen(symbols[i].text);
        if (l->braces && symbols[i].op == PQ_EQ && symbols[i].kind == TK_OP) continue; /* "==" is two of '=' there */
        if (str_eq(str_sub(l->text, l->at, l->at + n), str_n(symbols[i].text, n))) break;
    }
    t->kind = symbols[i].kind;
    t->op = symbols[i].op;
    size_t n = strlen(symbols[i].text);
    t->text = str_sub(l->text, l->at, l->at + n);
    l->at += (uint32_t)n;
    return lex_nesting(l, t->kind);
}

err_t pq_lex(struct pq_lexer *l, struct pq_token *t)
{
    skip_blank(l);
    *t = (struct pq_token){ .start = l->at, .end = l->at };
    int c = peek(l, 0);
    if (c < 0) return lex_end(l);
    if (!l->braces && (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))) {
        if (l->duration) l->number = true;
        l->duration = false;
        TRY(lex_number(l, t));
    } else if (!l->duration && (c == '"' || c == '\'' || c == '`')) {
        TRY(lex_string(l, t));
    } else if (l->brackets && !l->braces && (is_alpha(c) || c == ':')) {
        TRY(lex_in_brackets(l, t));
    } else if (is_alpha(c) || (c == ':' && !l->braces)) {
        lex_ident(l, t);
    } else {
        TRY(lex_symbol(l, t));
    }
    t->end = l->at;
    return OK;
}

/* Quoted, of a long one the first ten characters. */
static struct str short_quote(struct arena *a, struct str s)
{
    struct buf b;
    uint32_t at = 0, n = 0;
    buf_init(&b, SIZE_MAX, NULL);
    bool cut = s.n > 10;
    for (uint32_t i = 0; cut && i < 10 && at < s.n; i++) rune_at(s, at, &n), at += n;
    pq_quote(cut ? str_sub(s, 0, MIN(at, s.n)) : s, &b);
    struct str out = arena_printf(a, "%.*s%s", (int)b.n, b.p, cut ? "..." : "");
    buf_deinit(&b);
    return out;
}

struct str pq_token_text(struct arena *a, const struct pq_lexer *l, const struct pq_token *t)
{
    static const char *const keywords[] = { "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "anchored",
                                            "smoothed", "fill", "fill_left", "fill_right" };
    struct str s = str_sub(l->text, t->start, t->end), q = short_quote(a, s);
    bool word = t->kind == TK_IDENT && !l->braces;
    for (size_t i = 0; word && i < ARRAY_LEN(keywords); i++)
        if (str_ieq(s, str_of(keywords[i])) && (keywords[i][0] != 'f' || pq_called(l))) return arena_printf(a, "<" STR_FMT ">", STR_ARG(s));
    for (enum pq_aggop i = PQ_SUM; word && i <= PQ_LIMIT_RATIO; i++)
        if (str_ieq(s, str_of(pq_agg_name(i)))) return arena_printf(a, "<aggr:" STR_FMT ">", STR_ARG(s));
    switch (t->kind) {
    case TK_EOF: return STR("end of input");
    case TK_NUMBER: return arena_printf(a, "number " STR_FMT, STR_ARG(q));
    case TK_DURATION: return arena_printf(a, "duration " STR_FMT, STR_ARG(q));
    case TK_STRING: return arena_printf(a, "string " STR_FMT, STR_ARG(q));
    case TK_OP:
    case TK_EQ_REGEX:
    case TK_NE_REGEX:
    case TK_AT: return arena_printf(a, "<op:" STR_FMT ">", STR_ARG(s));
    case TK_IDENT:
        if (word && (duration_word(s) || str_ieq(s, STR("start")) || str_ieq(s, STR("end")))) return q;
        return arena_printf(a, "%s \"" STR_FMT "\"", str_chr(s, ':') < s.n ? "metric identifier" : "identifier", STR_ARG(s));
    default: return q;
    }
}

/* Is the character behind the current token, blanks skipped, a '('? */
bool pq_called(const struct pq_lexer *l)
{
    uint32_t i = l->at;
    while (i < l->text.n && strchr(" \t\r\n", l->text.p[i])) i++;
    return i < l->text.n && l->text.p[i] == '(';
}
