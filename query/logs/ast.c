#include "query/logs/ast.h"

struct lq *lq_new(struct arena *a, enum lq_kind kind)
{
    struct lq *q = ARENA_NEW(a, struct lq);
    q->kind = kind;
    return q;
}

static struct lq **copy(struct arena *a, struct lq **kids, uint32_t n)
{
    return arena_dup(a, kids, n * sizeof *kids);
}

struct lq *lq_and(struct arena *a, struct lq **kids, uint32_t n)
{
    if (n == 0) return lq_new(a, LQ_ALL);
    if (n == 1) return kids[0];
    struct lq *q = lq_new(a, LQ_BOOL);
    q->must = copy(a, kids, n);
    q->nmust = n;
    return q;
}

struct lq *lq_or(struct arena *a, struct lq **kids, uint32_t n)
{
    if (n == 0) return lq_new(a, LQ_NONE);
    if (n == 1) return kids[0];
    struct lq *q = lq_new(a, LQ_BOOL);
    q->should = copy(a, kids, n);
    q->nshould = n;
    q->min_should = 1;
    return q;
}

struct lq *lq_not(struct arena *a, struct lq *x)
{
    struct lq *q = lq_new(a, LQ_BOOL);
    q->must_not = copy(a, &x, 1);
    q->nmust_not = 1;
    return q;
}

/* -- printing --------------------------------------------------------------------------------------------- */

static void print_list(const char *name, struct lq *const *v, uint32_t n, struct buf *out)
{
    if (n == 0) return;
    buf_printf(out, " %s", name);
    for (uint32_t i = 0; i < n; i++) {
        buf_byte(out, ' ');
        lq_print(v[i], out);
    }
}

static void print_bound(const struct lq_bound *b, bool low, struct buf *out)
{
    if (low) buf_z(out, b->open ? " {" : " [");
    if (b->given) buf_str(out, b->text);
    else buf_byte(out, '*');
    if (!low) buf_z(out, b->open ? "}" : "]");
}

static void print_leaf(const struct lq *q, struct buf *out)
{
    static const char *const names[] = { [LQ_TEXT] = "text", [LQ_TERM] = "term", [LQ_RANGE] = "range",
        [LQ_EXISTS] = "exists", [LQ_PREFIX] = "prefix", [LQ_WILDCARD] = "wildcard", [LQ_REGEX] = "regex" };
    static const char *const joins[] = { [LQ_PHRASE] = "", [LQ_AND_WORDS] = "&", [LQ_OR_WORDS] = "|" };
    buf_printf(out, "(%s", names[q->kind]);
    for (uint32_t i = 0; i < q->nfields; i++)
        buf_printf(out, "%c" STR_FMT, i ? ',' : ' ', STR_ARG(q->fields[i]));
    if (q->kind == LQ_RANGE) {
        print_bound(&q->lo, true, out);
        buf_byte(out, ' ');
        print_bound(&q->hi, false, out);
    } else if (q->kind == LQ_TERM) {
        for (uint32_t i = 0; i < q->nterms; i++)
            buf_printf(out, " `" STR_FMT "`", STR_ARG(q->terms[i]));
    } else if (q->kind != LQ_EXISTS) {
        buf_printf(out, " %s`" STR_FMT "`", joins[q->join], STR_ARG(q->text));
    }
    if (q->slop) buf_printf(out, "~%u", q->slop);
    if (q->prefix_last) buf_byte(out, '*');
    if (q->fold) buf_byte(out, 'i');
    buf_byte(out, ')');
}

/* Depth is that of the tree: bounded by its makers. */
void lq_print(const struct lq *q, struct buf *out)
{
    switch (q->kind) {
    case LQ_ALL: buf_z(out, "all"); return;
    case LQ_NONE: buf_z(out, "none"); return;
    case LQ_BOOL:
        buf_z(out, "(bool");
        print_list("must", q->must, q->nmust, out);
        print_list("not", q->must_not, q->nmust_not, out);
        if (q->nshould) buf_printf(out, " %u-of", q->min_should);
        print_list("should", q->should, q->nshould, out);
        buf_byte(out, ')');
        return;
    default: print_leaf(q, out); return;
    }
}
