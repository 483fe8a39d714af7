/* The canonical text of a tree. It reads back to an equal tree: printing is tested by printing twice. */
#include "query/promql/func.h"
#include "query/promql/number.h"

#include <math.h>
#include <stdlib.h>

const char *pq_op_name(enum pq_op op)
{
    static const char *const names[] = { "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<=", "<", ">=", ">",
                                         "</", ">/", "and", "or", "unless" };
    return names[op];
}

const struct pq_node *pq_unparen(const struct pq_node *n)
{
    while (n->kind == PQ_PAREN) n = n->paren;
    return n;
}

void pq_quote(struct str s, struct buf *out)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
        const char *hit = c ? strchr(from, c) : NULL;
        if (hit) {
            buf_byte(out, '\\');
            buf_byte(out, (uint8_t)to[hit - from]);
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(out, "\\x%02x", c);
        } else if (c < 0x80) {
            buf_byte(out, c);
        } else {
            size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
            if (i + n <= s.n && str_utf8_valid(str_n(s.p + i, n))) {
                buf_put(out, s.p + i, n);
                i += n - 1;
            } else {
                buf_printf(out, "\\x%02x", c);
            }
        }
    }
    buf_byte(out, '"');
}

bool pq_plain_name(struct str s, bool metric)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (metric && c == ':');
        if (!alpha && !(i && c >= '0' && c <= '9')) return false;
    }
    return s.n > 0;
}

static void print_label(struct str name, struct buf *out)
{
    if (pq_plain_name(name, false)) buf_str(out, name);
    else pq_quote(name, out);
}

void pq_print_matcher(const struct matcher *m, struct buf *out)
{
    static const char *const ops[] = { "=", "!=", "=~", "!~" };
    print_label(m->name, out);
    buf_z(out, ops[m->op]);
    pq_quote(m->value, out);
}

static void print_number(double v, struct buf *out)
{
    char text[PQ_NUMBER_MAX];
    buf_put(out, text, pq_format_f(v, text));
}

static void print_seconds(double s, struct buf *out)
{
    static const struct { int64_t ms; const char *unit; bool exact; } u[] = {
        { 31536000000, "y", true }, { 604800000, "w", true }, { 86400000, "d", false }, { 3600000, "h", false },
        { 60000, "m", false }, { 1000, "s", false }, { 1, "ms", false },
    };
    int64_t ms = llround(fabs(s) * 1000);
    if (s < 0) buf_byte(out, '-');
    if (ms == 0) return buf_z(out, "0s");
    for (size_t i = 0; i < ARRAY_LEN(u); i++) {
        if (u[i].exact && ms % u[i].ms) continue;
        if (ms / u[i].ms) buf_printf(out, "%lld%s", (long long)(ms / u[i].ms), u[i].unit);
        ms %= u[i].ms;
    }
}

/* In an expression numbers are printed as they are, alone as durations. */
static void print_dur_in(const struct pq_dur *d, bool alone, struct buf *out)
{
    static const char *const ops[] = { "", " + ", " - ", " * ", " / ", " % ", " ^ " };
    if (d->paren) buf_byte(out, '(');
    switch (d->op) {
    case PQ_D_LIT:
        if (alone || d->duration) print_seconds(d->seconds, out);
        else print_number(d->seconds, out);
        break;
    case PQ_D_STEP: buf_z(out, "step()"); break;
    case PQ_D_RANGE: buf_z(out, "range()"); break;
    case PQ_D_NEG:
        buf_byte(out, '-');
        print_dur_in(d->lhs, false, out);
        break;
    case PQ_D_MIN:
    case PQ_D_MAX:
        buf_z(out, d->op == PQ_D_MIN ? "min_of(" : "max_of(");
        print_dur_in(d->lhs, false, out);
        buf_z(out, ", ");
        print_dur_in(d->rhs, false, out);
        buf_byte(out, ')');
        break;
    default:
        print_dur_in(d->lhs, false, out);
        buf_z(out, ops[d->op]);
        print_dur_in(d->rhs, false, out);
    }
    if (d->paren) buf_byte(out, ')');
}

static void print_dur(const struct pq_dur *d, struct buf *out) { print_dur_in(d, true, out); }

static void print_shift(const struct pq_shift *s, struct buf *out)
{
    if (s->at == PQ_AT_TIME) buf_printf(out, " @ %.3f", (double)s->at_ms / 1000);
    if (s->at == PQ_AT_START) buf_z(out, " @ start()");
    if (s->at == PQ_AT_END) buf_z(out, " @ end()");
    if (s->offset_expr) {
        buf_z(out, " offset ");
        print_dur(s->offset_expr, out);
    }
}

static int text_cmp(const void *x, const void *y)
{
    struct buf a, b;
    buf_init(&a, SIZE_MAX, NULL);
    buf_init(&b, SIZE_MAX, NULL);
    pq_print_matcher(*(const struct matcher *const *)x, &a);
    pq_print_matcher(*(const struct matcher *const *)y, &b);
    int c = str_cmp(buf_view(&a), buf_view(&b));
    buf_deinit(&a);
    buf_deinit(&b);
    return c;
}

/* In the order of their texts. */
static void print_matchers(const struct matcher *m, uint32_t n, struct buf *out)
{
    struct buf order;
    buf_init(&order, SIZE_MAX, NULL);
    for (uint32_t i = 0; i < n; i++) {
        const struct matcher *one = &m[i];
        buf_put(&order, &one, sizeof one);
    }
    const struct matcher **v = (void *)order.p;
    if (order.n) qsort(v, order.n / sizeof *v, sizeof *v, text_cmp);
    for (uint32_t i = 0; i < order.n / sizeof *v; i++) {
        if (i) buf_byte(out, ',');
        pq_print_matcher(v[i], out);
    }
    buf_deinit(&order);
}

static void print_selector(const struct pq_selector *s, const struct pq_dur *range, struct buf *out)
{
    uint32_t n = s->nm - (s->name.n ? 1 : 0);
    buf_str(out, s->name);
    if (n) {
        buf_byte(out, '{');
        print_matchers(s->m, n, out);
        buf_byte(out, '}');
    }
    if (range) {
        buf_byte(out, '[');
        print_dur(range, out);
        buf_byte(out, ']');
    }
    if (s->anchored) buf_z(out, " anchored");
    if (s->smoothed) buf_z(out, " smoothed");
    print_shift(&s->shift, out);
}

static void print_labels(const struct str *l, uint32_t n, struct buf *out)
{
    buf_byte(out, '(');
    for (uint32_t i = 0; i < n; i++) {
        if (i) buf_z(out, ", ");
        print_label(l[i], out);
    }
    buf_byte(out, ')');
}

static void print_modifiers(const struct pq_node *n, struct buf *out)
{
    const struct pq_matching *m = n->bin.match;
    if (n->bin.ret_bool) buf_z(out, "bool ");
    if (m->on || m->nlabels || m->card == PQ_MANY_TO_ONE || m->card == PQ_ONE_TO_MANY) {
        buf_z(out, m->on ? "on " : "ignoring ");
        print_labels(m->labels, m->nlabels, out);
        buf_byte(out, ' ');
    }
    if (m->card == PQ_MANY_TO_ONE || m->card == PQ_ONE_TO_MANY) {
        buf_z(out, m->card == PQ_MANY_TO_ONE ? "group_left " : "group_right ");
        print_labels(m->include, m->ninclude, out);
        buf_byte(out, ' ');
    }
    bool both = m->fill_lhs && m->fill_rhs &&
                m->fill_lhs_value == m->fill_rhs_value;
    if (m->fill_lhs) {
        buf_z(out, both ? "fill (" : "fill_left (");
        print_number(m->fill_lhs_value, out);
        buf_z(out, ") ");
    }
    if (m->fill_rhs && !both) {
        buf_z(out, "fill_right (");
        print_number(m->fill_rhs_value, out);
        buf_z(out, ") ");
    }
}

static void print_agg(const struct pq_node *n, struct buf *out)
{
    buf_z(out, pq_agg_name(n->agg.op));
    if (n->agg.without || n->agg.nlabels) {
        buf_z(out, n->agg.without ? " without " : " by ");
        print_labels(n->agg.labels, n->agg.nlabels, out);
        buf_byte(out, ' ');
    }
    buf_byte(out, '(');
    if (n->agg.param) {
        pq_print(n->agg.param, out);
        buf_z(out, ", ");
    }
    pq_print(n->agg.expr, out);
    buf_byte(out, ')');
}

void pq_print(const struct pq_node *n, struct buf *out)
{
    switch (n->kind) {
    case PQ_NUMBER:
        if (n->num.duration) print_seconds(n->num.value, out);
        else print_number(n->num.value, out);
        return;
    case PQ_GIVEN: return;
    case PQ_STRINGLIT: pq_quote(n->str, out); return;
    case PQ_SELECTOR: print_selector(n->sel, NULL, out); return;
    case PQ_RANGE: print_selector(n->range.sel->sel, n->range.range, out); return;
    case PQ_SUBQUERY:
        pq_print(n->sub.expr, out);
        buf_byte(out, '[');
        print_dur(n->sub.range, out);
        buf_byte(out, ':');
        if (n->sub.step) print_dur(n->sub.step, out);
        buf_byte(out, ']');
        print_shift(&n->sub.shift, out);
        return;
    case PQ_CALL:
        buf_printf(out, "%s(", n->call.fn->name);
        for (uint32_t i = 0; i < n->call.nargs; i++) {
            if (i) buf_z(out, ", ");
            pq_print(n->call.args[i], out);
        }
        buf_byte(out, ')');
        return;
    case PQ_AGG: print_agg(n, out); return;
    case PQ_BINARY:
        pq_print(n->bin.lhs, out);
        buf_printf(out, " %s ", pq_op_name(n->bin.op));
        print_modifiers(n, out);
        pq_print(n->bin.rhs, out);
        return;
    case PQ_UNARY:
        buf_byte(out, n->un.minus ? '-' : '+');
        pq_print(n->un.expr, out);
        return;
    case PQ_PAREN:
        buf_byte(out, '(');
        pq_print(n->paren, out);
        buf_byte(out, ')');
        return;
    }
}
