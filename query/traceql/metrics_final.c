#include "query/traceql/metrics_final.h"

#include "base/core/buf.h"
#include "base/core/hash.h"
#include "base/core/json_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* -- labels ---------------------------------------------------------------------------------------------------- */
static bool is_name(const struct tattr *l)
{
    return str_is(l->key, "__name__");
}

static void quoted(struct buf *out, struct str s)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n') {
            buf_z(out, "\\n");
            continue;
        }
        if (s.p[i] == '"' || s.p[i] == '\\') buf_byte(out, '\\');
        buf_byte(out, (uint8_t)s.p[i]);
    }
    buf_byte(out, '"');
}

/* As Prometheus would write it: "" and nil are told apart by <empty> and <nil>. */
static void value_text(struct buf *out, const struct tval *v)
{
    char text[40];
    struct str s = STR("<nil>");
    switch (v->type) {
    case TV_STR: case TV_BYTES: case TV_JSON: s = v->s.n ? v->s : STR("<empty>"); break;
    case TV_BOOL: s = str_of(v->b ? "true" : "false"); break;
    case TV_STATUS: s = str_of(tql_status_name(v->i)); break;
    case TV_KIND: s = str_of(tql_kind_name(v->i)); break;
    case TV_FLOAT: s = str_n(text, f64_shortest(v->f, text)); break;
    case TV_INT: s = str_n(text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v->i)); break;
    case TV_NIL: break;
    }
    quoted(out, s);
}

static int by_key(const void *pa, const void *pb)
{
    return str_cmp((*(const struct tattr *const *)pa)->key, (*(const struct tattr *const *)pb)->key);
}

/* {a="b", c="d"}, sorted by name; without __name__ for matching. */
static struct str labels_text(const struct tattr *labels, uint32_t n, bool with_name, struct arena *a)
{
    const struct tattr *sorted[METRICS_BY_MAX * 2 + 2];
    struct buf b;
    uint32_t m = 0;
    for (uint32_t i = 0; i < n && m < ARRAY_LEN(sorted); i++)
        if (with_name || !is_name(&labels[i])) sorted[m++] = &labels[i];
    if (m) qsort(sorted, m, sizeof *sorted, by_key);
    buf_init(&b, 16 << 20, NULL);
    buf_byte(&b, '{');
    for (uint32_t i = 0; i < m; i++) {
        if (i) buf_z(&b, ", ");
        buf_str(&b, sorted[i]->key);
        buf_byte(&b, '=');
        value_text(&b, &sorted[i]->v);
    }
    buf_byte(&b, '}');
    struct str out = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return out;
}

struct metrics_series *series_add(struct series_set *set, const struct metrics_range *r, struct tattr *labels, uint32_t n,
                                  struct arena *a)
{
    set->s = arena_grow(a, set->s, set->n, &set->cap, set->n + 1, sizeof *set->s);
    struct metrics_series *s = &set->s[set->n++];
    *s = (struct metrics_series){ .nlabels = n, .labels = labels, .values = ARENA_RAW(a, double, r->nsteps),
                                  .text = labels_text(labels, n, true, a) };
    for (uint32_t i = 0; i < r->nsteps; i++)
        s->values[i] = NAN;
    return s;
}

/* -- from states --------------------------------------------------------------------------------------------------- */
static struct tval text_value(const char *z)
{
    return (struct tval){ .type = TV_STR, .s = str_of(z) };
}

/* Durations are measured in ns and told in seconds: measured / told. */
static double unit_of(const struct tql_unit *u)
{
    if (!u->of) return 1e9; /* an exemplar's duration */
    bool duration = u->of->kind == TF_INTRINSIC && (u->of->intrinsic == TI_DURATION || u->of->intrinsic == TI_TRACE_DURATION ||
                                                    u->of->intrinsic == TI_EVENT_SINCE_START);
    return duration ? 1e9 : 1;
}

/* Those of by() that have a value; __name__ when nothing is grouped by; a nil when nothing has a value. */
static uint32_t group_labels(const struct mstate *st, const struct mgroup *g, struct tattr *out)
{
    const struct tql_unit *u = st->p->u;
    uint32_t n = 0;
    for (uint32_t k = 0; k < u->nby; k++)
        if (g->ids[k]) out[n++] = (struct tattr){ u->by[k]->text, st->values[k].v[g->ids[k] - 1] };
    if (u->fn == TM_HISTOGRAM) {
        double bound = metrics_bucket_bound(g->ids[u->nby]) / unit_of(u);
        out[n++] = (struct tattr){ STR("__bucket"), { .type = TV_FLOAT, .f = bound } };
    } else if (n == 0 && u->nby) {
        out[n++] = (struct tattr){ u->by[0]->text, { .type = TV_NIL } };
    } else if (n == 0 && u->fn != TM_QUANTILE) {
        out[n++] = (struct tattr){ STR("__name__"), text_value(tql_metric_name(u->fn)) };
    }
    return n;
}

static double cell_value(const struct mstate *st, const void *cell, double q)
{
    const struct tql_unit *u = st->p->u;
    if (u->fn == TM_QUANTILE) return cell ? loghist_quantile(cell, q) / unit_of(u) : NAN;
    if (st->p->cells == CELL_COUNT) {
        double n = cell ? (double)*(const uint64_t *)cell : 0;
        return u->fn == TM_RATE ? n / st->p->range.rate_s : n;
    }
    const struct cell_moments *m = cell;
    if (!m || m->n == 0) return NAN;
    double v = isfinite(m->v) ? m->v + m->c : m->v;
    return (u->fn == TM_AVG ? v / (double)m->n : v) / unit_of(u);
}

static int by_start(const void *pa, const void *pb)
{
    const struct metrics_exemplar *a = pa, *b = pb;
    if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns ? -1 : 1;
    return memcmp(a->span_id, b->span_id, 8);
}

static void group_exemplars(const struct mstate *st, const struct mgroup *g, struct arena *a, struct metrics_series *s)
{
    s->exemplars = ARENA_ARRAY(a, struct metrics_exemplar, st->p->slots + 1);
    for (uint32_t i = 0; i < st->p->slots; i++)
        if (g->ex[i].used) {
            s->exemplars[s->nexemplars] = g->ex[i].x;
            s->exemplars[s->nexemplars++].value /= unit_of(st->p->u);
        }
    if (s->nexemplars) qsort(s->exemplars, s->nexemplars, sizeof *s->exemplars, by_start);
}

/* An exemplar belongs to the least quantile that is not below it, else to the last. s[0..n): the quantiles' series. */
static void share_exemplars(const struct mstate *st, struct metrics_series *s, uint32_t n, struct arena *a)
{
    struct metrics_exemplar *all = s->exemplars;
    uint32_t nall = s->nexemplars;
    for (uint32_t q = 0; q < n; q++) {
        s[q].exemplars = ARENA_ARRAY(a, struct metrics_exemplar, nall + 1);
        s[q].nexemplars = 0;
    }
    for (uint32_t i = 0; i < nall; i++) {
        uint32_t step = metrics_step(&st->p->range, all[i].start_ns), q = 0;
        while (q + 1 < n && s[q].values[step] < all[i].value)
            q++;
        s[q].exemplars[s[q].nexemplars++] = all[i];
    }
}

static void group_series(struct mstate *st, const struct mgroup *g, struct arena *a, struct series_set *out)
{
    const struct metrics_plan *p = st->p;
    static const size_t sizes[] = { sizeof(uint64_t), sizeof(struct cell_moments), sizeof(struct loghist) };
    uint32_t nq = p->u->fn == TM_QUANTILE ? p->u->nquantiles : 1, first = out->n;
    for (uint32_t q = 0; q < nq; q++) {
        struct tattr *labels = ARENA_ARRAY(a, struct tattr, METRICS_BY_MAX + 2);
        uint32_t n = group_labels(st, g, labels);
        if (p->u->fn == TM_QUANTILE)
            labels[n++] = (struct tattr){ STR("p"), { .type = TV_FLOAT, .f = p->u->quantiles[q] } };
        struct metrics_series *s = series_add(out, &p->range, labels, n, a);
        for (uint32_t i = 0; i < p->range.nsteps; i++)
            s->values[i] = cell_value(st, mstate_cell(g, i, sizes[p->cells]), p->u->quantiles[q]);
        if (p->slots && q == 0) group_exemplars(st, g, a, s);
    }
    if (nq > 1 && p->slots) share_exemplars(st, &out->s[first], nq, a);
}

err_t series_of_state(struct mstate *st, struct arena *a, struct series_set *out)
{
    *out = (struct series_set){ 0 };
    /* Nothing is grouped by: a count of nothing is 0. */
    if (st->n == 0 && st->p->nkeys == 0 && st->p->cells == CELL_COUNT) TRY(mstate_add_count(st, 0, 0));
    for (uint32_t g = 0; g < st->n; g++) {
        group_series(st, &st->groups[g], a, out);
        TRY(arena_check(a));
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

/* -- arithmetic ------------------------------------------------------------------------------------------------------- */
static bool meets_all(const struct series_set *set)
{
    if (set->scalar) return true;
    return set->n == 1 && (set->s[0].nlabels == 0 || (set->s[0].nlabels == 1 && is_name(&set->s[0].labels[0])));
}

static double calculate(enum tql_op op, double l, double r)
{
    if (isnan(l)) l = 0;
    if (isnan(r)) r = 0;
    switch (op) {
    case OP_ADD: return l + r;
    case OP_SUB: return l - r;
    case OP_MUL: return l * r;
    default: return r == 0 ? NAN : l / r;
    }
}

static const struct metrics_series *partner(const struct series_set *set, const struct htab *index, struct str key,
                                            const struct str *keys)
{
    for (uint32_t it = 0, i; htab_next(index, hash64(key), &it, &i);)
        if (str_eq(keys[i], key)) return &set->s[i];
    return NULL;
}

static struct str name_of(const struct metrics_series *s)
{
    for (uint32_t i = 0; i < s->nlabels; i++)
        if (is_name(&s->labels[i]) && s->labels[i].v.type == TV_STR) return s->labels[i].v.s;
    return STR("");
}

/* Labels of the side that has them; the name tells the operation. */
static struct tattr *joint_labels(enum tql_op op, const struct metrics_series *l, const struct metrics_series *r,
                                  struct arena *a, uint32_t *n)
{
    static const char *const signs[] = { [OP_ADD] = "+", [OP_SUB] = "-", [OP_MUL] = "*", [OP_DIV] = "/" };
    const struct metrics_series *wide = l->nlabels >= r->nlabels ? l : r;
    struct tattr *out = ARENA_ARRAY(a, struct tattr, wide->nlabels + 1);
    *n = 0;
    for (uint32_t i = 0; i < wide->nlabels; i++)
        if (!is_name(&wide->labels[i])) out[(*n)++] = wide->labels[i];
    struct str ln = name_of(l), rn = name_of(r);
    if (*n || !ln.n || !rn.n) {
        if (*n == 0) out[(*n)++] = (struct tattr){ STR("__name__"), { .type = TV_STR, .s = ln.n ? ln : rn } };
        return out;
    }
    struct str name = arena_printf(a, "(" STR_FMT " %s " STR_FMT ")", STR_ARG(ln), signs[op], STR_ARG(rn));
    out[(*n)++] = (struct tattr){ STR("__name__"), { .type = TV_STR, .s = name } };
    return out;
}

static void join(enum tql_op op, const struct metrics_series *l, const struct metrics_series *r,
                 const struct metrics_range *range, struct arena *a, struct series_set *out)
{
    uint32_t n;
    struct tattr *labels = joint_labels(op, l, r, a, &n);
    struct metrics_series *s = series_add(out, range, labels, n, a);
    for (uint32_t i = 0; i < range->nsteps; i++)
        s->values[i] = calculate(op, l->values[i], r->values[i]);
    s->nexemplars = l->nexemplars ? l->nexemplars : r->nexemplars;
    s->exemplars = l->nexemplars ? l->exemplars : r->exemplars;
}

err_t series_arithmetic(enum tql_op op, const struct series_set *l, const struct series_set *r,
                        const struct metrics_range *range, struct arena *a, struct series_set *out)
{
    bool r_all = meets_all(r), l_all = !r_all && meets_all(l);
    const struct series_set *many = l_all ? r : l, *other = l_all ? l : r;
    struct htab index;
    struct str *keys = ARENA_ARRAY(a, struct str, other->n + 1);
    err_t e = arena_check(a);
    *out = (struct series_set){ .scalar = l->scalar && r->scalar };
    htab_init(&index, a->budget);
    for (uint32_t i = 0; i < other->n; i++) {
        keys[i] = labels_text(other->s[i].labels, other->s[i].nlabels, false, a);
        htab_insert(&index, hash64(keys[i]), i);
    }
    for (uint32_t i = 0; i < many->n && e == OK; i++) {
        const struct metrics_series *m = &many->s[i], *o = other->n ? &other->s[0] : NULL;
        if (!r_all && !l_all) o = partner(other, &index, labels_text(m->labels, m->nlabels, false, a), keys);
        if (o) join(op, l_all ? o : m, l_all ? m : o, range, a, out);
        e = arena_check(a);
        if (e == OK && rt_in_fiber()) e = rt_checkpoint();
    }
    htab_deinit(&index);
    return e;
}

/* -- second stages -------------------------------------------------------------------------------------------------------- */
struct ranked_value {
    double v; /* of bottomk: negated */
    const struct metrics_series *s;
};

static int best_first(const void *pa, const void *pb)
{
    const struct ranked_value *a = pa, *b = pb;
    if (a->v != b->v) return a->v > b->v ? -1 : 1;
    return str_cmp(a->s->text, b->s->text);
}

static err_t choose(struct series_set *set, const struct tql_second *second, uint32_t nsteps, struct arena *a)
{
    struct ranked_value *at = ARENA_ARRAY(a, struct ranked_value, set->n + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < nsteps; i++) {
        uint32_t n = 0;
        for (uint32_t k = 0; k < set->n; k++) {
            double v = set->s[k].values[i];
            if (!isnan(v)) at[n++] = (struct ranked_value){ second->kind == SECOND_TOPK ? v : -v, &set->s[k] };
        }
        if (n <= second->n) continue;
        qsort(at, n, sizeof *at, best_first);
        for (uint32_t k = second->n; k < n; k++)
            at[k].s->values[i] = NAN;
        if (rt_in_fiber()) TRY(rt_checkpoint());
    }
    return OK;
}

static bool passes(enum tql_op op, double v, double than)
{
    switch (op) {
    case OP_EQ: return v == than;
    case OP_NE: return v != than;
    case OP_LT: return v < than;
    case OP_LE: return v <= than;
    case OP_GT: return v > than;
    default: return v >= than;
    }
}

err_t series_second(struct series_set *set, const struct tql_second *second, uint32_t nsteps, struct arena *a)
{
    for (; second; second = second->next) {
        if (second->kind != SECOND_FILTER) {
            TRY(choose(set, second, nsteps, a));
            continue;
        }
        for (uint32_t k = 0; k < set->n; k++) {
            for (uint32_t i = 0; i < nsteps; i++)
                if (!passes(second->op, set->s[k].values[i], second->than)) set->s[k].values[i] = NAN;
            if (rt_in_fiber()) TRY(rt_checkpoint());
        }
    }
    return OK;
}

/* -- the end ----------------------------------------------------------------------------------------------------------------- */
static int by_text(const void *pa, const void *pb)
{
    return str_cmp(((const struct metrics_series *)pa)->text, ((const struct metrics_series *)pb)->text);
}

static bool has_sample(const struct metrics_series *s, uint32_t nsteps)
{
    for (uint32_t i = 0; i < nsteps; i++)
        if (!isnan(s->values[i])) return true;
    return false;
}

void series_finish(struct series_set *set, uint32_t nsteps, uint32_t max, struct metrics_answer *out)
{
    uint32_t kept = 0;
    for (uint32_t k = 0; k < set->n; k++)
        if (has_sample(&set->s[k], nsteps)) set->s[kept++] = set->s[k];
    set->n = kept;
    if (kept) qsort(set->s, kept, sizeof *set->s, by_text);
    *out = (struct metrics_answer){ .n = MIN(kept, max), .series = set->s, .left_out = kept - MIN(kept, max) };
}
