/* The query language of Quickwit, by recursive descent (depth <= LQ_DEPTH_MAX).
 *
 *   or     = and (("OR" | side by side, when OR is the default) and)*
 *   and    = unary (("AND" | side by side, when AND is the default) unary)*
 *   unary  = ("NOT" | "-" | "+")* clause ["^" number]
 *   clause = "*" | [field ":"] ( "(" or ")" | value )
 *   value  = word | word with * or ? | '"' ... '"' ["~" n | "*"] | "'" ... "'" | "IN" "[" value* "]"
 *          | ("[" | "{") (word | "*") "TO" (word | "*") ("]" | "}") | ("<" | "<=" | ">" | ">=") word
 *          | "/" regex "/" | "*"
 * Operators are upper case. A backslash takes the next character literally. Side by side with OR as the default,
 * "+x" must match and "-x" must not; beside an explicit OR, "-x" is the complement of x. */
#include "query/logs/ast.h"

struct parser {
    struct str in;
    size_t at;
    const struct lq_opts *o;
    struct arena *a;
    unsigned depth, nodes;
    const struct str *fields; /* of an enclosing field:( ... ), else NULL */
    uint32_t nfields;
};

struct list {
    struct lq **v;
    size_t n, cap;
};

static err_t parse_or(struct parser *p, struct lq **out);

static void push(struct parser *p, struct list *l, struct lq *q)
{
    l->v = arena_grow(p->a, l->v, l->n, &l->cap, l->n + 1, sizeof(q));
    l->v[l->n++] = q;
}

static err_t fail(const struct parser *p, const char *what)
{
    return err_set(ERR_INVALID, "failed to parse query: %s at offset %zu of `" STR_FMT "`", what, p->at,
                   STR_ARG(str_sub(p->in, 0, 200)));
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static char peek(const struct parser *p) { return p->at < p->in.n ? p->in.p[p->at] : 0; }
static char peek2(const struct parser *p) { return p->at + 1 < p->in.n ? p->in.p[p->at + 1] : 0; }
static bool at_end(const struct parser *p) { return p->at >= p->in.n; }
static void skip_space(struct parser *p)
{
    while (!at_end(p) && is_space(p->in.p[p->at]))
        p->at++;
}

/* An upper-case operator that ends at a space, a bracket or the end. */
static bool eat_op(struct parser *p, const char *op)
{
    size_t n = strlen(op);
    if (p->in.n - p->at < n || memcmp(p->in.p + p->at, op, n) != 0) return false;
    char next = p->at + n < p->in.n ? p->in.p[p->at + n] : ' ';
    if (!is_space(next) && next != '(' && next != '[' && next != '"') return false;
    p->at += n;
    return true;
}

static err_t node(struct parser *p, enum lq_kind kind, struct lq **out)
{
    if (++p->nodes > LQ_NODES_MAX) return err_set(ERR_INVALID, "the query has over %d parts", LQ_NODES_MAX);
    *out = lq_new(p->a, kind);
    return OK;
}

/* -- words --------------------------------------------------------------------------------------------- */

struct word {
    struct str text;    /* without escapes */
    struct str pattern; /* with escapes kept before * ? \ : for LQ_WILDCARD */
    bool wild;          /* holds a bare * or ? */
    bool escaped_space;
};

static bool ends_word(char c, bool colon)
{
    return is_space(c) || c == '(' || c == ')' || c == '"' || c == '[' || c == ']' || c == '{' || c == '}' || c == '^'
           || (colon && c == ':');
}

/* Reads up to a delimiter; with `colon`, a bare ':' ends it too. */
static err_t read_word(struct parser *p, bool colon, struct word *w)
{
    size_t max = p->in.n - p->at;
    char *text = arena_alloc(p->a, max + 1), *pat = arena_alloc(p->a, 2 * max + 1);
    size_t nt = 0, np = 0;
    *w = (struct word){ 0 };
    while (!at_end(p) && !ends_word(peek(p), colon)) {
        char c = p->in.p[p->at++];
        if (c == '\\') {
            if (at_end(p)) return fail(p, "a backslash at the end");
            c = p->in.p[p->at++];
            w->escaped_space |= is_space(c);
            if (c == '*' || c == '?' || c == '\\') pat[np++] = '\\';
        } else if (c == '*' || c == '?') {
            w->wild = true;
        }
        text[nt++] = c;
        pat[np++] = c;
    }
    w->text = str_n(text, nt);
    w->pattern = str_n(pat, np);
    return OK;
}

static err_t read_quoted(struct parser *p, char quote, struct str *out)
{
    char *text = arena_alloc(p->a, p->in.n - p->at + 1);
    size_t n = 0;
    p->at++;
    while (!at_end(p) && peek(p) != quote) {
        char c = p->in.p[p->at++];
        if (c == '\\' && !at_end(p)) c = p->in.p[p->at++];
        text[n++] = c;
    }
    if (at_end(p)) return fail(p, "an unclosed quote");
    p->at++;
    *out = str_n(text, n);
    return OK;
}

/* -- leaves ---------------------------------------------------------------------------------------------- */

static void set_fields(struct parser *p, struct lq *q, const struct str *field)
{
    if (field) {
        q->fields = arena_dup(p->a, field, sizeof *field);
        q->nfields = 1;
    } else if (p->fields) {
        q->fields = p->fields;
        q->nfields = p->nfields;
    } else {
        q->fields = p->o->fields;
        q->nfields = p->o->nfields;
    }
    q->lenient = p->o->lenient;
}

static err_t leaf(struct parser *p, enum lq_kind kind, const struct str *field, struct lq **out)
{
    TRY(node(p, kind, out));
    set_fields(p, *out, field);
    return OK;
}

static err_t bound_word(struct parser *p, struct lq_bound *b, const char *what)
{
    struct word w;
    skip_space(p);
    if (peek(p) == '"' || peek(p) == '\'') return fail(p, "a quoted bound of a range");
    TRY(read_word(p, false, &w));
    if (w.text.n == 0) return fail(p, what);
    if (w.escaped_space) return fail(p, "a space in a bound of a range");
    if (str_is(w.pattern, "*")) return OK;
    b->given = true;
    b->text = w.text;
    b->type = JSON_STR;
    return OK;
}

static err_t need_field(struct parser *p, const struct lq *q, const char *what)
{
    return q->nfields ? OK : fail(p, what);
}

static err_t parse_interval(struct parser *p, const struct str *field, struct lq **out)
{
    TRY(leaf(p, LQ_RANGE, field, out));
    struct lq *q = *out;
    TRY(need_field(p, q, "a range without a field"));
    q->lo.open = p->in.p[p->at++] == '{';
    TRY(bound_word(p, &q->lo, "a range needs a lower bound"));
    skip_space(p);
    if (!eat_op(p, "TO")) return fail(p, "a range needs TO");
    TRY(bound_word(p, &q->hi, "a range needs an upper bound"));
    skip_space(p);
    if (peek(p) != ']' && peek(p) != '}') return fail(p, "an unclosed range");
    q->hi.open = p->in.p[p->at++] == '}';
    return OK;
}

static err_t parse_compare(struct parser *p, const struct str *field, struct lq **out)
{
    TRY(leaf(p, LQ_RANGE, field, out));
    struct lq *q = *out;
    TRY(need_field(p, q, "a comparison without a field"));
    bool less = p->in.p[p->at++] == '<';
    bool closed = peek(p) == '=';
    p->at += closed;
    struct lq_bound *b = less ? &q->hi : &q->lo;
    b->open = !closed;
    TRY(bound_word(p, b, "a comparison needs a value"));
    return b->given ? OK : fail(p, "a comparison with *");
}

static err_t parse_phrase(struct parser *p, const struct str *field, struct lq **out)
{
    char quote = peek(p);
    TRY(leaf(p, LQ_TEXT, field, out));
    struct lq *q = *out;
    TRY(read_quoted(p, quote, &q->text));
    q->join = quote == '"' ? LQ_PHRASE : LQ_AND_WORDS;
    if (quote != '"') return OK;
    if (peek(p) == '~') {
        size_t from = ++p->at;
        while (peek(p) >= '0' && peek(p) <= '9')
            p->at++;
        uint64_t slop;
        if (!str_to_u64(str_sub(p->in, from, p->at), &slop) || slop > 1000) return fail(p, "a slop must be a small number");
        q->slop = (uint32_t)slop;
    } else if (peek(p) == '*') {
        p->at++;
        q->prefix_last = true;
    }
    return OK;
}

static err_t parse_set(struct parser *p, const struct str *field, struct lq **out)
{
    struct list items = { 0 };
    skip_space(p);
    if (peek(p) != '[') return fail(p, "IN needs [");
    p->at++;
    for (skip_space(p); peek(p) != ']'; skip_space(p)) {
        struct lq *q;
        if (at_end(p)) return fail(p, "an unclosed IN [");
        if (peek(p) == '"') {
            TRY(parse_phrase(p, field, &q));
        } else {
            struct word w;
            TRY(read_word(p, false, &w));
            if (w.text.n == 0) return fail(p, "a value expected");
            TRY(leaf(p, LQ_TEXT, field, &q));
            q->text = w.text;
        }
        TRY(need_field(p, q, "IN without a field"));
        push(p, &items, q);
    }
    p->at++;
    *out = lq_or(p->a, items.v, (uint32_t)items.n);
    return OK;
}

static err_t parse_regex(struct parser *p, const struct str *field, struct lq **out)
{
    TRY(leaf(p, LQ_REGEX, field, out));
    TRY(need_field(p, *out, "a regex without a field"));
    char *text = arena_alloc(p->a, p->in.n - p->at + 1);
    size_t n = 0;
    for (p->at++; !at_end(p) && peek(p) != '/'; p->at++) {
        if (peek(p) == '\\' && peek2(p) == '/') p->at++;
        text[n++] = peek(p);
    }
    if (at_end(p)) return fail(p, "an unclosed regex");
    p->at++;
    (*out)->text = str_n(text, n);
    return OK;
}

static err_t word_node(struct parser *p, const struct word *w, const struct str *field, struct lq **out)
{
    if (w->text.n == 0) return fail(p, "a word expected");
    bool star = w->wild && str_is(w->pattern, "*");
    if (star && !field && !p->fields) return node(p, LQ_ALL, out);
    TRY(leaf(p, star ? LQ_EXISTS : w->wild ? LQ_WILDCARD : LQ_TEXT, field, out));
    (*out)->text = w->wild ? w->pattern : w->text;
    return OK;
}

static err_t parse_group(struct parser *p, const struct str *field, struct lq **out)
{
    const struct str *outer = p->fields;
    uint32_t nouter = p->nfields;
    if (p->depth >= LQ_DEPTH_MAX) return fail(p, "too many nested brackets");
    if (field) {
        p->fields = arena_dup(p->a, field, sizeof *field);
        p->nfields = 1;
    }
    p->at++;
    p->depth++;
    TRY(parse_or(p, out));
    p->depth--;
    p->fields = outer;
    p->nfields = nouter;
    skip_space(p);
    if (peek(p) != ')') return fail(p, "an unclosed bracket");
    p->at++;
    return OK;
}

static err_t parse_value(struct parser *p, const struct str *field, struct lq **out)
{
    struct word w;
    switch (peek(p)) {
    case '(': return parse_group(p, field, out);
    case '"':
    case '\'': return parse_phrase(p, field, out);
    case '[':
    case '{': return parse_interval(p, field, out);
    case '<':
    case '>': return parse_compare(p, field, out);
    case '/':
        if (field || p->fields) return parse_regex(p, field, out);
        break;
    default: break;
    }
    if (field && eat_op(p, "IN")) return parse_set(p, field, out);
    TRY(read_word(p, !field, &w));
    return word_node(p, &w, field, out);
}

/* -- clauses ------------------------------------------------------------------------------------------------ */

/* A field name and ':' in front of a value; leaves the position alone when there is none. */
static err_t try_field(struct parser *p, struct str *field, bool *found)
{
    size_t start = p->at;
    struct word w;
    *found = false;
    if (peek(p) == '"' || peek(p) == '\'' || peek(p) == '(') return OK;
    TRY(read_word(p, true, &w));
    if (peek(p) == ':' && w.text.n && !w.wild) {
        p->at++;
        *field = w.text;
        *found = true;
        skip_space(p);
        return OK;
    }
    p->at = start;
    return OK;
}

static err_t parse_clause(struct parser *p, struct lq **out)
{
    struct str field;
    bool found;
    skip_space(p);
    if (at_end(p) || peek(p) == ')') return fail(p, "a clause expected");
    size_t start = p->at;
    if (eat_op(p, "AND") || eat_op(p, "OR")) {
        p->at = start;
        return fail(p, "an operator where a clause is expected");
    }
    TRY(try_field(p, &field, &found));
    if (found && (at_end(p) || peek(p) == ')')) return fail(p, "a value expected");
    TRY(parse_value(p, found ? &field : NULL, out));
    if (peek(p) == '^') {
        double boost;
        size_t from = ++p->at;
        while (!at_end(p) && !is_space(peek(p)) && peek(p) != ')')
            p->at++;
        if (!str_to_f64(str_sub(p->in, from, p->at), &boost)) return fail(p, "a boost must be a number");
    }
    if (!at_end(p) && !is_space(peek(p)) && peek(p) != ')' && peek(p) != '(') return fail(p, "an unexpected character");
    return OK;
}

enum occur { OCC_NONE, OCC_MUST, OCC_NOT };

static err_t parse_unary(struct parser *p, enum occur *occ, struct lq **out)
{
    *occ = OCC_NONE;
    for (;;) {
        skip_space(p);
        if (eat_op(p, "NOT")) {
            *occ = *occ == OCC_NOT ? OCC_MUST : OCC_NOT;
        } else if ((peek(p) == '-' || peek(p) == '+') && !is_space(peek2(p)) && peek2(p)) {
            if (p->in.p[p->at++] == '+') *occ = *occ == OCC_NOT ? OCC_NOT : OCC_MUST;
            else *occ = *occ == OCC_NOT ? OCC_MUST : OCC_NOT;
        } else {
            return parse_clause(p, out);
        }
    }
}

static bool clause_follows(struct parser *p)
{
    skip_space(p);
    return !at_end(p) && peek(p) != ')';
}

/* One AND list. A single clause keeps its mark in *occ, for the list around it. */
static err_t parse_and(struct parser *p, enum occur *occ, struct lq **out)
{
    struct list must = { 0 }, must_not = { 0 };
    enum occur o;
    struct lq *q;
    for (bool first = true;; first = false) {
        TRY(parse_unary(p, &o, &q));
        bool more = clause_follows(p);
        bool joined = more && eat_op(p, "AND");
        if (more && !joined && !p->o->or_default) {
            size_t here = p->at;
            joined = !eat_op(p, "OR");
            p->at = here;
        }
        if (first && !joined) {
            *occ = o;
            *out = q;
            return OK;
        }
        push(p, o == OCC_NOT ? &must_not : &must, q);
        if (!joined) break;
    }
    TRY(node(p, LQ_BOOL, &q));
    q->must = must.v;
    q->nmust = (uint32_t)must.n;
    q->must_not = must_not.v;
    q->nmust_not = (uint32_t)must_not.n;
    *occ = OCC_NONE;
    *out = q;
    return OK;
}

static err_t parse_or(struct parser *p, struct lq **out)
{
    struct list all = { 0 }, must = { 0 }, must_not = { 0 }, should = { 0 };
    enum occur *occs = NULL;
    size_t nocc = 0, occ_cap = 0;
    bool explicit_or = false;
    for (;;) {
        struct lq *q;
        enum occur o;
        TRY(parse_and(p, &o, &q));
        push(p, &all, q);
        occs = arena_grow(p->a, occs, nocc, &occ_cap, nocc + 1, sizeof o);
        occs[nocc++] = o;
        TRY(arena_check(p->a));
        if (!clause_follows(p)) break;
        if (eat_op(p, "OR")) explicit_or = true;
        else if (!p->o->or_default) return fail(p, "an unexpected character");
    }
    if (all.n == 1 && occs[0] != OCC_NOT) return *out = all.v[0], OK;
    for (size_t i = 0; i < all.n; i++) {
        if (occs[i] == OCC_MUST && !explicit_or) push(p, &must, all.v[i]);
        else if (occs[i] != OCC_NOT) push(p, &should, all.v[i]);
        else if (explicit_or) push(p, &should, lq_not(p->a, all.v[i]));
        else push(p, &must_not, all.v[i]);
    }
    TRY(node(p, LQ_BOOL, out));
    struct lq *b = *out;
    b->must = must.v;
    b->nmust = (uint32_t)must.n;
    b->must_not = must_not.v;
    b->nmust_not = (uint32_t)must_not.n;
    b->should = should.v;
    b->nshould = (uint32_t)should.n;
    b->min_should = must.n == 0 && should.n > 0;
    return OK;
}

err_t lq_parse(struct str text, const struct lq_opts *o, struct arena *a, struct lq **out)
{
    struct parser p = { .in = str_trim(text), .o = o, .a = a };
    if (text.n > LQ_TEXT_MAX) return err_set(ERR_INVALID, "the query is longer than %d bytes", LQ_TEXT_MAX);
    if (!str_utf8_valid(text)) return err_set(ERR_INVALID, "the query is not UTF-8");
    if (p.in.n == 0) return *out = lq_new(a, LQ_NONE), OK;
    TRY(parse_or(&p, out));
    skip_space(&p);
    return at_end(&p) ? OK : fail(&p, "an unexpected character");
}
