/* What PromQL texts are, without evaluating them: /api/v1/format_query and /api/v1/parse_query (the tree as Prometheus' own UI and its
 * editors read it, docs/querying/api.md). Durations in the tree are in ms, and 0 where only an evaluation can know them. */
#include "server/api/prometheus_int.h"

#include "query/promql/func.h"
#include "query/promql/number.h"

static void keyed(struct json_out *j, const char *key, struct str v)
{
    json_keyz(j, key);
    json_str(j, v);
}

/* What the duration is when it is a literal, else 0. */
static void keyed_ms(struct json_out *j, const char *key, const struct pq_dur *d)
{
    json_keyz(j, key);
    json_i64(j, d && d->op == PQ_D_LIT ? (int64_t)(d->seconds * 1000) : 0);
}

static void keyed_bool(struct json_out *j, const char *key, bool v)
{
    json_keyz(j, key);
    json_bool(j, v);
}

static void keyed_names(struct json_out *j, const char *key, const struct str *v, uint32_t n)
{
    json_keyz(j, key);
    json_arr(j);
    for (uint32_t i = 0; i < n; i++) json_str(j, v[i]);
    json_arr_end(j);
}

static const char *type_word(enum pq_type t)
{
    return t == PQ_SCALAR ? "scalar" : t == PQ_VECTOR ? "vector" : t == PQ_MATRIX ? "matrix" : t == PQ_STRING ? "string" : "none";
}

static void put_dur(struct json_out *j, const struct pq_dur *d)
{
    static const char *const ops[] = { "", "+", "-", "*", "/", "%", "^", "-", "step", "range", "min_of", "max_of" };
    char num[PQ_NUMBER_MAX];
    if (!d) return json_null(j);
    json_obj(j);
    keyed(j, "type", d->op == PQ_D_LIT ? STR("numberLiteral") : STR("durationExpr"));
    if (d->op == PQ_D_LIT) {
        keyed(j, "val", str_n(num, pq_format_f(d->seconds, num)));
        keyed_bool(j, "duration", d->duration);
    } else {
        keyed(j, "op", str_of(ops[d->op]));
        json_keyz(j, "lhs");
        put_dur(j, d->op == PQ_D_NEG ? NULL : d->lhs);
        json_keyz(j, "rhs");
        put_dur(j, d->op == PQ_D_NEG ? d->lhs : d->rhs);
        keyed_bool(j, "wrapped", d->paren);
    }
    json_obj_end(j);
}

/* An expression that only an evaluation can compute. */
static void keyed_dur(struct json_out *j, const char *key, const struct pq_dur *d)
{
    json_keyz(j, key);
    put_dur(j, d && d->op != PQ_D_LIT ? d : NULL);
}

static void put_shift(struct json_out *j, const struct pq_shift *s)
{
    keyed_ms(j, "offset", s->offset_expr);
    keyed_dur(j, "offsetExpr", s->offset_expr);
    json_keyz(j, "timestamp");
    if (s->at == PQ_AT_TIME) json_i64(j, s->at_ms);
    else json_null(j);
    json_keyz(j, "startOrEnd");
    if (s->at == PQ_AT_START || s->at == PQ_AT_END) json_z(j, s->at == PQ_AT_START ? "start" : "end");
    else json_null(j);
}

static void put_selector(struct json_out *j, const struct pq_selector *s)
{
    static const char *const ops[] = { "=", "!=", "=~", "!~" };
    keyed(j, "name", s->name);
    json_keyz(j, "matchers");
    json_arr(j);
    for (uint32_t i = 0; i < s->nm; i++) {
        json_obj(j);
        keyed(j, "name", s->m[i].name);
        keyed(j, "value", s->m[i].value);
        keyed(j, "type", str_of(ops[s->m[i].op]));
        json_obj_end(j);
    }
    json_arr_end(j);
    put_shift(j, &s->shift);
    keyed_bool(j, "anchored", s->anchored);
    keyed_bool(j, "smoothed", s->smoothed);
}

static void put_node(struct json_out *j, const struct pq_node *n);
static void put_child(struct json_out *j, const char *key, const struct pq_node *n)
{
    json_keyz(j, key);
    if (n) put_node(j, n);
    else json_null(j);
}

static void put_matching(struct json_out *j, const struct pq_node *n)
{
    static const char *const cards[] = { "one-to-one", "many-to-one", "one-to-many", "many-to-many" };
    static const char *const sides[] = { "lhs", "rhs" };
    const struct pq_matching *m = n->bin.match;
    json_keyz(j, "matching");
    if (!m || n->bin.lhs->type != PQ_VECTOR || n->bin.rhs->type != PQ_VECTOR) {
        json_null(j);
        return;
    }
    json_obj(j);
    keyed(j, "card", str_of(cards[m->card]));
    keyed_names(j, "labels", m->labels, m->nlabels);
    keyed_bool(j, "on", m->on);
    keyed_names(j, "include", m->include, m->ninclude);
    json_keyz(j, "fillValues");
    json_obj(j);
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        json_keyz(j, sides[i]);
        if (i ? m->fill_rhs : m->fill_lhs) json_f64(j, i ? m->fill_rhs_value : m->fill_lhs_value);
        else json_null(j);
    }
    json_obj_end(j);
    json_obj_end(j);
}

static void put_call(struct json_out *j, const struct pq_node *n)
{
    const struct pq_func *f = n->call.fn;
    json_keyz(j, "func");
    json_obj(j);
    keyed(j, "name", str_of(f->name));
    json_keyz(j, "argTypes");
    json_arr(j);
    for (uint32_t i = 0; i < f->nargs; i++) json_z(j, type_word(f->args[i]));
    json_arr_end(j);
    json_keyz(j, "variadic");
    json_i64(j, f->variadic);
    keyed(j, "returnType", str_of(type_word(f->ret)));
    json_obj_end(j);
    json_keyz(j, "args");
    json_arr(j);
    for (uint32_t i = 0; i < n->call.nargs; i++) put_node(j, n->call.args[i]);
    json_arr_end(j);
}

static void put_binary(struct json_out *j, const struct pq_node *n)
{
    keyed(j, "op", str_of(pq_op_name(n->bin.op)));
    put_child(j, "lhs", n->bin.lhs);
    put_child(j, "rhs", n->bin.rhs);
    put_matching(j, n);
    keyed_bool(j, "bool", n->bin.ret_bool);
}

static void put_agg(struct json_out *j, const struct pq_node *n)
{
    keyed(j, "op", str_of(pq_agg_name(n->agg.op)));
    put_child(j, "expr", n->agg.expr);
    put_child(j, "param", n->agg.param);
    keyed_names(j, "grouping", n->agg.labels, n->agg.nlabels);
    keyed_bool(j, "without", n->agg.without);
}

static void put_subquery(struct json_out *j, const struct pq_node *n)
{
    put_child(j, "expr", n->sub.expr);
    keyed_ms(j, "range", n->sub.range);
    keyed_dur(j, "rangeExpr", n->sub.range);
    keyed_ms(j, "step", n->sub.step);
    keyed_dur(j, "stepExpr", n->sub.step);
    put_shift(j, &n->sub.shift);
}

static void put_number(struct json_out *j, const struct pq_node *n)
{
    char num[PQ_NUMBER_MAX];
    keyed(j, "val", str_n(num, pq_format_f(n->num.value, num)));
}

/* A tree is at most PQ_DEPTH_MAX deep. */
static void put_node(struct json_out *j, const struct pq_node *n)
{
    static const char *const types[] = {
        [PQ_NUMBER] = "numberLiteral", [PQ_STRINGLIT] = "stringLiteral", [PQ_SELECTOR] = "vectorSelector", [PQ_RANGE] = "matrixSelector",
        [PQ_SUBQUERY] = "subquery", [PQ_CALL] = "call", [PQ_AGG] = "aggregation", [PQ_BINARY] = "binaryExpr", [PQ_UNARY] = "unaryExpr",
        [PQ_PAREN] = "parenExpr", [PQ_GIVEN] = "numberLiteral",
    };
    json_obj(j);
    keyed(j, "type", str_of(types[n->kind]));
    switch (n->kind) {
    case PQ_NUMBER: put_number(j, n); break;
    case PQ_STRINGLIT: keyed(j, "val", n->str); break;
    case PQ_SELECTOR: put_selector(j, n->sel); break;
    case PQ_RANGE:
        keyed_ms(j, "range", n->range.range);
        keyed_dur(j, "rangeExpr", n->range.range);
        put_selector(j, n->range.sel->sel);
        break;
    case PQ_SUBQUERY: put_subquery(j, n); break;
    case PQ_CALL: put_call(j, n); break;
    case PQ_AGG: put_agg(j, n); break;
    case PQ_BINARY: put_binary(j, n); break;
    case PQ_UNARY:
        keyed(j, "op", n->un.minus ? STR("-") : STR("+"));
        put_child(j, "expr", n->un.expr);
        break;
    case PQ_PAREN: put_child(j, "expr", n->paren); break;
    case PQ_GIVEN: break; /* never parsed */
    }
    json_obj_end(j);
}

static void put_text(struct json_out *j, const struct pq_node *root)
{
    struct buf b;
    buf_init(&b, 1 << 22, NULL);
    pq_print(root, &b);
    json_str(j, buf_view(&b));
    buf_deinit(&b);
}

static err_t answer(struct http_request *rq, struct http_response *rs, void (*put)(struct json_out *j, const struct pq_node *root))
{
    struct prom_run r;
    struct pq_ast ast = { 0 };
    struct str text = STR_NONE;
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    (void)http_param(rq, "query", 0, &text);
    if (pq_parse(text, &r.arena, &ast) != OK) {
        e = prom_bad_param("query");
        goto out;
    }
    prom_data(&r, rs);
    put(&r.j, ast.root);
    prom_done(&r);
    e = buf_check(&rs->body);
out:
    pq_ast_deinit(&ast);
    prom_end(&r);
    return e;
}

err_t prom_format_query(struct http_request *rq, struct http_response *rs) { return answer(rq, rs, put_text); }
err_t prom_parse_query(struct http_request *rq, struct http_response *rs) { return answer(rq, rs, put_node); }
