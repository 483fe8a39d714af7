/* The value of a field of one span. A field may have several values (event.x has one an event); a comparison is
 * true when any pair of values makes it true. */
#include "query/traceql/value.h"

#include "storage/json_in.h"

#include <math.h>

static const char *const kinds[] = { "unspecified", "internal", "server", "client", "producer", "consumer" };
static const char *const statuses[] = { "unset", "ok", "error" };

const char *tql_kind_name(int64_t kind)
{
    return kind >= 0 && kind < (int64_t)ARRAY_LEN(kinds) ? kinds[kind] : kinds[0];
}

const char *tql_status_name(int64_t status)
{
    return status >= 0 && status < (int64_t)ARRAY_LEN(statuses) ? statuses[status] : statuses[0];
}

static const struct tval nil = { .type = TV_NIL };

static struct tval v_int(int64_t i)
{
    return (struct tval){ .type = TV_INT, .i = i };
}

static struct tval v_duration(int64_t ns)
{
    return (struct tval){ .type = TV_INT, .duration = true, .i = ns };
}

static struct tval v_str(struct str s)
{
    return (struct tval){ .type = TV_STR, .s = s };
}

static struct tval v_hex(const uint8_t *id, size_t n, struct arena *a)
{
    char *p = ARENA_RAW(a, char, 2 * n);
    str_to_hex(id, n, p);
    return v_str(str_n(p, 2 * n));
}

static void push(struct tvals *out, struct tval v, struct arena *a)
{
    out->v = arena_grow(a, out->v, out->n, &out->cap, out->n + 1, sizeof *out->v);
    out->v[out->n++] = v;
}

static struct tval attr_or_nil(const struct tattrs *as, struct str name)
{
    const struct tval *v = tattrs_get(as, name);
    return v ? *v : nil;
}

static void attr_values(const struct tql_field *f, const struct tspan *s, struct arena *a, struct tvals *out)
{
    const struct tval *v;
    switch (f->scope) {
    case TS_ANY:
        v = tattrs_get(&s->attrs, f->name);
        push(out, v ? *v : attr_or_nil(&s->resource->attrs, f->name), a);
        return;
    case TS_SPAN: push(out, attr_or_nil(&s->attrs, f->name), a); return;
    case TS_RESOURCE: push(out, attr_or_nil(&s->resource->attrs, f->name), a); return;
    case TS_INSTRUMENTATION: push(out, attr_or_nil(&s->scope->attrs, f->name), a); return;
    case TS_EVENT:
        for (uint32_t i = 0; i < s->nevents; i++)
            push(out, attr_or_nil(&s->events[i].attrs, f->name), a);
        return;
    case TS_LINK:
        for (uint32_t i = 0; i < s->nlinks; i++)
            push(out, attr_or_nil(&s->links[i].attrs, f->name), a);
        return;
    }
}

static int64_t children_of(const struct tql_trace *t, uint32_t span)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < t->n; i++)
        n += t->parent[i] == (int32_t)span;
    return n;
}

static struct str root_service(const struct tql_trace *t)
{
    return t->root ? tresource_service(t->root->resource) : STR("<root span not yet received>");
}

static void child_intrinsics(const struct tql_field *f, const struct tspan *s, struct arena *a, struct tvals *out)
{
    for (uint32_t i = 0; i < s->nevents; i++) {
        if (f->intrinsic == TI_EVENT_NAME) push(out, v_str(s->events[i].name), a);
        if (f->intrinsic == TI_EVENT_SINCE_START)
            push(out, v_duration(s->events[i].time_ns - s->start_ns), a);
    }
    for (uint32_t i = 0; i < s->nlinks; i++) {
        if (f->intrinsic == TI_LINK_TRACE_ID) push(out, v_hex(s->links[i].trace_id, 16, a), a);
        if (f->intrinsic == TI_LINK_SPAN_ID) push(out, v_hex(s->links[i].span_id, 8, a), a);
    }
}

static struct tval span_intrinsic(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a)
{
    const struct tspan *s = t->spans[span];
    switch (f->intrinsic) {
    case TI_DURATION: return v_duration(s->duration_ns);
    case TI_NAME: return v_str(s->name);
    case TI_STATUS: return (struct tval){ .type = TV_STATUS, .i = s->status };
    case TI_STATUS_MESSAGE: return v_str(s->status_message);
    case TI_KIND: return (struct tval){ .type = TV_KIND, .i = s->kind };
    case TI_SPAN_ID: return v_hex(s->span_id, 8, a);
    case TI_PARENT_ID: return s->has_parent ? v_hex(s->parent_id, 8, a) : v_str(STR(""));
    case TI_CHILD_COUNT: return v_int(children_of(t, span));
    case TI_ROOT_NAME: return v_str(t->root ? t->root->name : STR("<root span not yet received>"));
    case TI_ROOT_SERVICE: return v_str(root_service(t));
    case TI_TRACE_DURATION: return v_duration(t->end_ns - t->start_ns);
    case TI_TRACE_ID: return v_hex(s->trace_id, 16, a);
    case TI_NESTED_LEFT: return v_int(t->left[span]);
    case TI_NESTED_RIGHT: return v_int(t->right[span]);
    case TI_NESTED_PARENT: return v_int(!s->has_parent ? -1 : (int64_t)t->nested_parent[span]);
    case TI_SCOPE_NAME: return v_str(s->scope->name);
    case TI_SCOPE_VERSION: return v_str(s->scope->version);
    default: return nil;
    }
}

/* -- comparison and arithmetic -------------------------------------------------------------------------------- */
static bool is_number(const struct tval *v)
{
    return v->type == TV_INT || v->type == TV_FLOAT;
}

static double number(const struct tval *v)
{
    return v->type == TV_INT ? (double)v->i : v->f;
}

/* -1, 0, 1, or 2 when the values do not compare. */
static int order(const struct tval *l, const struct tval *r)
{
    if (l->type == TV_INT && r->type == TV_INT) return (l->i > r->i) - (l->i < r->i);
    if (is_number(l) && is_number(r)) {
        double x = number(l), y = number(r);
        return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
    }
    if (l->type != r->type) return 2;
    switch (l->type) {
    case TV_STR: {
        int c = str_cmp(l->s, r->s);
        return (c > 0) - (c < 0);
    }
    case TV_BOOL: return (int)l->b - (int)r->b;
    case TV_STATUS: case TV_KIND: return (l->i > r->i) - (l->i < r->i);
    case TV_BYTES: case TV_JSON: return str_eq(l->s, r->s) ? 0 : 2;
    default: return 2;
    }
}

static bool compare_one(enum tql_op op, const struct tval *l, const struct tval *r, const struct regex *re)
{
    if (op == OP_EQ && r->type == TV_NIL) return l->type == TV_NIL;
    if (op == OP_NE && r->type == TV_NIL) return l->type != TV_NIL;
    if (l->type == TV_NIL) return false;
    if (op == OP_RE || op == OP_NRE) return l->type == TV_STR && regex_match(re, l->s) == (op == OP_RE);
    int c = order(l, r);
    if (c == 2) return false;
    switch (op) {
    case OP_EQ: return c == 0;
    case OP_NE: return c != 0;
    case OP_LT: return c < 0;
    case OP_LE: return c <= 0;
    case OP_GT: return c > 0;
    default: return c >= 0;
    }
}

static struct tval of_json(const struct json_val *v, struct arena *a)
{
    switch (v->type) {
    case JSON_BOOL: return (struct tval){ .type = TV_BOOL, .b = v->boolean };
    case JSON_I64: return v_int(v->i64);
    case JSON_U64: return (struct tval){ .type = TV_FLOAT, .f = (double)v->u64 };
    case JSON_F64: return (struct tval){ .type = TV_FLOAT, .f = v->f64 };
    case JSON_STR: return v_str(v->str);
    case JSON_NULL: return nil;
    default: return (struct tval){ .type = TV_JSON, .s = json_val_text(v, a) };
    }
}

/* Arrays: = =~ < ... when any element does; != and !~ when no element is equal or matches. */
static bool compare_array(enum tql_op op, const struct tval *l, const struct tval *r, const struct regex *re,
                          struct arena *a)
{
    const struct json_val *doc, *item;
    bool negated = op == OP_NE || op == OP_NRE;
    enum tql_op plain = op == OP_NE ? OP_EQ : op == OP_NRE ? OP_RE : op;
    if (json_parse(l->s, a, &doc) != OK) return false;
    JSON_EACH(item, doc) {
        struct tval v = of_json(item, a);
        if (compare_one(plain, &v, r, re)) return !negated;
    }
    return negated;
}

static enum tql_op flipped(enum tql_op op)
{
    switch (op) {
    case OP_LT: return OP_GT;
    case OP_LE: return OP_GE;
    case OP_GT: return OP_LT;
    case OP_GE: return OP_LE;
    default: return op;
    }
}

static bool is_array(const struct tval *v)
{
    return v->type == TV_JSON && v->s.n && v->s.p[0] == '[';
}

bool tval_compare(enum tql_op op, const struct tval *l, const struct tval *r, const struct regex *re, struct arena *a)
{
    if (is_array(l) && r->type != TV_NIL && !is_array(r)) return compare_array(op, l, r, re, a);
    if (is_array(r) && l->type != TV_NIL && !is_array(l)) return compare_array(flipped(op), r, l, re, a);
    return compare_one(op, l, r, re);
}

static struct tval arithmetic(enum tql_op op, const struct tval *l, const struct tval *r)
{
    if (!is_number(l) || !is_number(r)) return nil;
    if (l->type == TV_INT && r->type == TV_INT && op != OP_POW) {
        uint64_t x = (uint64_t)l->i, y = (uint64_t)r->i; /* wraps, as int64 arithmetic in Go does */
        struct tval out = { .type = TV_INT, .duration = l->duration || r->duration };
        if ((op == OP_DIV || op == OP_MOD) && r->i == 0) return nil;
        bool minus_one = r->i == -1;
        out.i = op == OP_ADD   ? (int64_t)(x + y)
                : op == OP_SUB ? (int64_t)(x - y)
                : op == OP_MUL ? (int64_t)(x * y)
                : op == OP_DIV ? (minus_one ? (int64_t)(0 - x) : l->i / r->i)
                               : (minus_one ? 0 : l->i % r->i);
        return out;
    }
    double x = number(l), y = number(r), v;
    switch (op) {
    case OP_ADD: v = x + y; break;
    case OP_SUB: v = x - y; break;
    case OP_MUL: v = x * y; break;
    case OP_DIV: v = x / y; break;
    case OP_MOD: v = fmod(x, y); break;
    default: v = pow(x, y);
    }
    return (struct tval){ .type = TV_FLOAT, .f = v };
}

/* -- fields -------------------------------------------------------------------------------------------------------- */
static struct tval v_bool(bool b)
{
    return (struct tval){ .type = TV_BOOL, .b = b };
}

static struct tval binary(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a)
{
    if (f->op == OP_AND || f->op == OP_OR) {
        struct tval l = tql_value(f->l, t, span, a);
        bool lv = l.type == TV_BOOL && l.b;
        if (lv == (f->op == OP_OR)) return v_bool(lv);
        struct tval r = tql_value(f->r, t, span, a);
        return v_bool(r.type == TV_BOOL && r.b);
    }
    /* nil = nil and nil != nil between two literals are both false. */
    if (f->l->kind == TF_LITERAL && f->r->kind == TF_LITERAL && f->l->lit.type == TV_NIL) return v_bool(false);
    struct tvals l = { 0 }, r = { 0 };
    tql_values(f->l, t, span, a, &l);
    tql_values(f->r, t, span, a, &r);
    if (f->op >= OP_ADD) return l.n && r.n ? arithmetic(f->op, &l.v[0], &r.v[0]) : nil;
    for (uint32_t i = 0; i < l.n; i++)
        for (uint32_t k = 0; k < r.n; k++)
            if (tval_compare(f->op, &l.v[i], &r.v[k], f->re, a)) return v_bool(true);
    return v_bool(false);
}

static struct tval unary(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a)
{
    struct tval v = tql_value(f->l, t, span, a);
    if (f->op == OP_NOT) return v.type == TV_BOOL ? v_bool(!v.b) : nil;
    if (v.type == TV_INT) v.i = (int64_t)(0 - (uint64_t)v.i);
    else if (v.type == TV_FLOAT) v.f = -v.f;
    else return nil;
    return v;
}

void tql_values(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a, struct tvals *out)
{
    switch (f->kind) {
    case TF_LITERAL: push(out, f->lit, a); return;
    case TF_ATTR: attr_values(f, t->spans[span], a, out); return;
    case TF_UNARY: push(out, unary(f, t, span, a), a); return;
    case TF_BINARY: push(out, binary(f, t, span, a), a); return;
    case TF_INTRINSIC:
        if (f->intrinsic >= TI_EVENT_NAME && f->intrinsic <= TI_LINK_SPAN_ID)
            child_intrinsics(f, t->spans[span], a, out);
        else
            push(out, span_intrinsic(f, t, span, a), a);
    }
}

struct tval tql_value(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a)
{
    struct tvals vals = { 0 };
    tql_values(f, t, span, a, &vals);
    return vals.n ? vals.v[0] : nil;
}

struct tval tql_first_value(const struct tql_field *f, const struct tql_trace *t, uint32_t span, struct arena *a)
{
    struct tvals vals = { 0 };
    tql_values(f, t, span, a, &vals);
    for (uint32_t i = 0; i < vals.n; i++)
        if (vals.v[i].type != TV_NIL) return vals.v[i];
    return (struct tval){ .type = TV_NIL };
}
