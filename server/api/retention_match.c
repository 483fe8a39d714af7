#include "server/api/retention_match.h"

#include "query/promql/ast.h"
#include "query/traceql/traceql.h"

static err_t copy_selector(const struct pq_selector *s, struct arena *a, struct keep_rule *r)
{
    if (s->nm > KEEP_MATCHERS_MAX) return err_set(ERR_INVALID, "a matcher of over %d labels", KEEP_MATCHERS_MAX);
    struct matcher *m = ARENA_ARRAY(a, struct matcher, s->nm + 1);
    for (uint32_t i = 0; i < s->nm; i++)
        m[i] = (struct matcher){ .op = s->m[i].op, .name = arena_str(a, s->m[i].name), .value = arena_str(a, s->m[i].value) };
    r->m = m;
    r->nm = s->nm;
    return arena_check(a);
}

static err_t parse_series(struct str text, struct arena *a, struct keep_rule *r)
{
    struct pq_ast ast;
    err_t e = pq_parse_selector(text, a, &ast);
    if (e == OK) e = copy_selector(ast.root->sel, a, r);
    struct err_record why = *err_record();
    pq_ast_deinit(&ast);
    *err_record() = why;
    return e;
}

static err_t not_plain(void)
{
    return err_set(ERR_INVALID, "a matcher of spans and logs compares attributes of resources with strings: { resource.service.name = \"shop\" && resource.env =~ \"dev|test\" }");
}

static err_t add_comparison(const struct tql_field *f, struct arena *a, struct matcher *m, uint32_t *n)
{
    static const enum match_op ops[] = { [OP_EQ] = MATCH_EQ, [OP_NE] = MATCH_NE, [OP_RE] = MATCH_RE, [OP_NRE] = MATCH_NRE };
    bool known = f->op == OP_EQ || f->op == OP_NE || f->op == OP_RE || f->op == OP_NRE;
    if (!known || f->l->kind != TF_ATTR || f->l->scope != TS_RESOURCE || f->r->kind != TF_LITERAL || f->r->lit.type != TV_STR) return not_plain();
    if (*n == KEEP_MATCHERS_MAX) return err_set(ERR_INVALID, "a matcher of over %d attributes", KEEP_MATCHERS_MAX);
    m[(*n)++] = (struct matcher){ .op = ops[f->op], .name = arena_str(a, f->l->name), .value = arena_str(a, f->r->lit.s) };
    return OK;
}

/* Its depth is bounded by the parser. */
static err_t add_field(const struct tql_field *f, struct arena *a, struct matcher *m, uint32_t *n)
{
    if (!f || f->kind != TF_BINARY) return not_plain();
    if (f->op != OP_AND) return add_comparison(f, a, m, n);
    TRY(add_field(f->l, a, m, n));
    return add_field(f->r, a, m, n);
}

static err_t parse_resources(struct str text, struct arena *a, struct keep_rule *r)
{
    struct tql_query *q;
    struct matcher *m = ARENA_ARRAY(a, struct matcher, KEEP_MATCHERS_MAX);
    TRY(arena_check(a));
    TRY(tql_parse(text, a, &q));
    const struct tql_stage *s = q->pipeline->first;
    bool filter = s && !s->next && s->kind == TST_SPANSET && s->spanset->kind == TSS_FILTER;
    err_t e = filter ? add_field(s->spanset->filter, a, m, &r->nm) : not_plain();
    struct err_record why = *err_record();
    tql_free(q);
    *err_record() = why;
    r->m = m;
    return e;
}

err_t retention_match_parse(struct str text, struct arena *a, struct keep_rule *r)
{
    if (r->signal == SIG_METRICS) return parse_series(text, a, r);
    if (r->signal == SIG_SPANS || r->signal == SIG_LOGS) return parse_resources(text, a, r);
    return err_set(ERR_INVALID, "a matcher needs the signal metrics, spans or logs");
}

static bool is_plain_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
        if (!ok) return false;
    }
    return s.n > 0;
}

static void print_resource(const struct matcher *m, struct buf *out)
{
    static const char *const ops[] = { " = ", " != ", " =~ ", " !~ " };
    buf_z(out, "resource.");
    if (is_plain_name(m->name)) buf_str(out, m->name);
    else pq_quote(m->name, out);
    buf_z(out, ops[m->op]);
    pq_quote(m->value, out);
}

void retention_match_print(const struct keep_rule *r, struct buf *out)
{
    bool series = r->signal == SIG_METRICS;
    buf_z(out, series ? "{" : "{ ");
    for (uint32_t i = 0; i < r->nm; i++) {
        if (i) buf_z(out, series ? "," : " && ");
        if (series) pq_print_matcher(&r->m[i], out);
        else print_resource(&r->m[i], out);
    }
    buf_z(out, series ? "}" : " }");
}
