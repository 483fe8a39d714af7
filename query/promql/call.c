/* Functions over vectors and scalars: element-wise ones, dates, labels, sorting, absence. */
#include "query/promql/eval.h"

#include "storage/regex.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

/* -- element-wise ---------------------------------------------------------------------------------- */
static double round_to(double v, double to)
{
    double inv = 1 / to;
    return floor(v * inv + 0.5) / inv;
}

static double clamp(double v, double lo, double hi)
{
    if (isnan(lo) || isnan(hi)) return NAN;
    if (isnan(v)) return v;
    return fmax(lo, fmin(hi, v));
}

static double math(enum pq_fid f, double v, double a, double b)
{
    switch (f) {
    case FN_ABS: return fabs(v);
    case FN_ACOS: return acos(v);
    case FN_ACOSH: return acosh(v);
    case FN_ASIN: return asin(v);
    case FN_ASINH: return asinh(v);
    case FN_ATAN: return atan(v);
    case FN_ATANH: return atanh(v);
    case FN_CEIL: return ceil(v);
    case FN_CLAMP: return clamp(v, a, b);
    case FN_CLAMP_MAX: return clamp(v, -INFINITY, a);
    case FN_CLAMP_MIN: return clamp(v, a, INFINITY);
    case FN_COS: return cos(v);
    case FN_COSH: return cosh(v);
    case FN_DEG: return v * 180 / M_PI;
    case FN_EXP: return exp(v);
    case FN_FLOOR: return floor(v);
    case FN_LN: return log(v);
    case FN_LOG10: return log10(v);
    case FN_LOG2: return log2(v);
    case FN_RAD: return v * M_PI / 180;
    case FN_ROUND: return round_to(v, a);
    case FN_SGN: return v < 0 ? -1 : v > 0 ? 1 : v;
    case FN_SIN: return sin(v);
    case FN_SINH: return sinh(v);
    case FN_SQRT: return sqrt(v);
    case FN_TAN: return tan(v);
    default: return tanh(v);
    }
}

static bool math_of_hist(enum pq_fid f, const struct pq_hist *h, struct arena *scratch, double *v)
{
    switch (f) {
    case FN_HISTOGRAM_AVG: *v = h->sum / h->count; return true;
    case FN_HISTOGRAM_COUNT: *v = h->count; return true;
    case FN_HISTOGRAM_SUM: *v = h->sum; return true;
    case FN_HISTOGRAM_STDVAR: *v = pq_hist_stdvar(h, scratch); return true;
    case FN_HISTOGRAM_STDDEV: *v = sqrt(pq_hist_stdvar(h, scratch)); return true;
    default: return false;
    }
}

static double date(enum pq_fid f, double v)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (!(fabs(v) < 9e15)) return NAN;
    time_t t = (time_t)v;
    struct tm tm;
    if (!gmtime_r(&t, &tm)) return NAN;
    int year = tm.tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    switch (f) {
    case FN_DAY_OF_MONTH: return tm.tm_mday;
    case FN_DAY_OF_WEEK: return tm.tm_wday;
    case FN_DAY_OF_YEAR: return tm.tm_yday + 1;
    case FN_DAYS_IN_MONTH: return days[tm.tm_mon] + (leap && tm.tm_mon == 1);
    case FN_HOUR: return tm.tm_hour;
    case FN_MINUTE: return tm.tm_min;
    case FN_MONTH: return tm.tm_mon + 1;
    default: return year;
    }
}

/* PQ_F_MATH, PQ_F_HIST, PQ_F_DATE over a vector: the cells change in place. */
static err_t elementwise(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    struct pq_value v, p[2] = { 0 };
    const struct pq_func *f = n->call.fn;
    TRY(pq_eval(e, n->call.args[0], g, &v));
    for (uint32_t i = 1; i < n->call.nargs; i++) TRY(pq_eval(e, n->call.args[i], g, &p[i - 1]));
    for (uint32_t r = 0; r < v.m.n; r++) {
        struct pq_row *row = &v.m.rows[r];
        TRY(pq_checkpoint(e));
        row->drop_name = true;
        for (uint32_t i = 0; i < g->n; i++) {
            double a = p[0].scalar ? p[0].scalar[i] : 1, b = p[1].scalar ? p[1].scalar[i] : 0, x = 0;
            bool is_hist = row->have[i] == PQ_CELL_HIST;
            if (!row->have[i]) continue;
            if (i % 256 == 255) TRY(pq_checkpoint(e));
            row->have[i] = is_hist == (f->fclass == PQ_F_HIST) ? PQ_CELL_FLOAT : PQ_CELL_NONE;
            if (f->fclass == PQ_F_HIST && is_hist) {
                struct arena_mark mark = arena_mark(e->a);
                math_of_hist(f->id, row->h[i], e->a, &x);
                arena_rollback(e->a, mark);
                row->v[i] = x;
            } else if (f->fclass == PQ_F_DATE) {
                row->v[i] = date(f->id, row->v[i]);
            } else if (f->fclass == PQ_F_MATH) {
                if (f->id == FN_CLAMP && a > b) row->have[i] = PQ_CELL_NONE;
                else row->v[i] = math(f->id, row->v[i], a, b);
            }
        }
    }
    *out = v.m;
    pq_rows_trim(out, g->n);
    return OK;
}

/* -- scalars and times ------------------------------------------------------------------------------- */
static err_t scalar_of(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, double *out)
{
    struct pq_value v;
    TRY(pq_eval(e, n->call.args[0], g, &v));
    for (uint32_t i = 0; i < g->n; i++) {
        uint32_t floats = 0;
        for (uint32_t r = 0; r < v.m.n; r++)
            if (v.m.rows[r].have[i] == PQ_CELL_FLOAT) {
                floats++;
                out[i] = v.m.rows[r].v[i];
            }
        if (floats != 1) out[i] = NAN;
    }
    return OK;
}

/* Go's Max and Min: the infinity that wins does so over NaN, too. */
static double extreme(double x, double y, double best)
{
    if (x == best || y == best) return best;
    if (isnan(x) || isnan(y)) return NAN;
    return best > 0 ? fmax(x, y) : fmin(x, y);
}

static err_t eval_scalar(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, double *out)
{
    enum pq_fid f = n->call.fn->id;
    if (f == FN_SCALAR) return scalar_of(e, n, g, out);
    struct pq_value a = { 0 }, b = { 0 };
    if (n->call.nargs == 2) {
        TRY(pq_eval(e, n->call.args[0], g, &a));
        TRY(pq_eval(e, n->call.args[1], g, &b));
    }
    for (uint32_t i = 0; i < g->n; i++) {
        double x = a.scalar ? a.scalar[i] : 0, y = b.scalar ? b.scalar[i] : 0;
        switch (f) {
        case FN_TIME: out[i] = (double)pq_grid_at(g, i) / 1000; break;
        case FN_PI: out[i] = M_PI; break;
        case FN_START: out[i] = (double)e->start_ms / 1000; break;
        case FN_END: out[i] = (double)e->end_ms / 1000; break;
        case FN_STEP: out[i] = e->start_ms == e->end_ms ? 0 : (double)e->step_ms / 1000; break;
        case FN_RANGE: out[i] = (double)(e->end_ms - e->start_ms) / 1000; break;
        case FN_MAX_OF: out[i] = extreme(x, y, INFINITY); break;
        default: out[i] = extreme(x, y, -INFINITY);
        }
    }
    return OK;
}

/* A vector of one series without labels that holds value(i) at every step. */
static void constant_row(struct pq_env *e, const struct pq_grid *g, const double *v, enum pq_fid date_fn,
                         struct pq_matrix *out)
{
    struct pq_row *row = pq_row_add(e->a, out, (struct labels){ 0 }, g->n);
    for (uint32_t i = 0; i < g->n; i++)
        pq_set_float(row, i, v ? v[i] : date(date_fn, (double)pq_grid_at(g, i) / 1000));
}

static err_t eval_timestamp(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    const struct pq_node *arg = pq_unparen(n->call.args[0]);
    bool start = n->call.fn->id == FN_START_TIMESTAMP;
    if (arg->kind == PQ_SELECTOR) {
        TRY(pq_eval_selector(e, arg, g, n->call.fn->id, NULL, out));
        for (uint32_t r = 0; r < out->n; r++) out->rows[r].drop_name = true;
        return OK;
    }
    struct pq_value v;
    TRY(pq_eval(e, arg, g, &v));
    *out = v.m;
    for (uint32_t r = 0; r < out->n; r++) {
        struct pq_row *row = &out->rows[r];
        row->drop_name = true;
        for (uint32_t i = 0; i < g->n; i++) {
            if (!row->have[i]) continue;
            if (start) row->have[i] = PQ_CELL_NONE;
            else pq_set_float(row, i, (double)pq_grid_at(g, i) / 1000);
        }
    }
    pq_rows_trim(out, g->n);
    return OK;
}

/* -- absence --------------------------------------------------------------------------------------- */
/* Labels that equality matchers name once. */
static struct labels absent_labels(struct arena *a, const struct pq_node *arg)
{
    struct labels out = { 0 };
    arg = pq_unparen(arg);
    if (arg->kind == PQ_RANGE) arg = arg->range.sel;
    if (arg->kind != PQ_SELECTOR) return out;
    const struct pq_selector *s = arg->sel;
    for (uint32_t i = 0; i < s->nm; i++) {
        uint32_t same = 0;
        for (uint32_t k = 0; k < s->nm; k++) same += str_eq(s->m[i].name, s->m[k].name);
        if (str_is(s->m[i].name, "__name__") || s->m[i].op != MATCH_EQ) continue;
        if (same == 1) out = pq_labels_set(a, &out, s->m[i].name, s->m[i].value);
    }
    return out;
}

static err_t eval_absent(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    struct pq_matrix m = { 0 };
    if (n->call.fn->id == FN_ABSENT) {
        struct pq_value v;
        TRY(pq_eval(e, n->call.args[0], g, &v));
        m = v.m;
    } else if (e->scatter && n->call.args[0]->local) {
        TRY(e->scatter(e, n, g, &m));
    } else {
        TRY(pq_eval_range_call(e, n, g, NULL, &m));
    }
    struct pq_row *row = pq_row_add(e->a, out, absent_labels(e->a, n->call.args[0]), g->n);
    for (uint32_t i = 0; i < g->n; i++) {
        uint32_t r = 0;
        while (r < m.n && !m.rows[r].have[i]) r++;
        if (r == m.n) pq_set_float(row, i, 1);
    }
    pq_rows_trim(out, g->n);
    return OK;
}

/* -- labels -------------------------------------------------------------------------------------------- */
static struct str string_arg(const struct pq_node *n, uint32_t i) { return pq_unparen(n->call.args[i])->str; }

static err_t bad_label(const char *what, const char *fn, struct str s)
{
    return pq_exec_error("invalid %s in %s(): " STR_FMT, what, fn, (int)MIN(s.n, 200), s.p);
}

/* $1, ${name}, $$ of a replacement text. */
static void expand(const struct regex *re, struct str tmpl, const struct str *groups, int n, struct buf *out)
{
    for (size_t i = 0; i < tmpl.n; i++) {
        if (tmpl.p[i] != '$' || i + 1 == tmpl.n) {
            buf_byte(out, (uint8_t)tmpl.p[i]);
            continue;
        }
        size_t from = i + 1, to;
        bool brace = tmpl.p[from] == '{';
        if (tmpl.p[from] == '$') {
            buf_byte(out, '$');
            i++;
            continue;
        }
        if (brace) from++;
        for (to = from; to < tmpl.n; to++) {
            char c = tmpl.p[to];
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')) break;
        }
        if (to == from || (brace && (to == tmpl.n || tmpl.p[to] != '}'))) {
            buf_byte(out, '$');
            continue;
        }
        struct str name = str_sub(tmpl, from, to);
        int64_t k;
        if (!str_to_i64(name, &k)) k = regex_group_index(re, name);
        if (k >= 0 && k < n) buf_str(out, groups[k]);
        i = brace ? to : to - 1;
    }
}

static err_t eval_label_replace(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                                struct pq_matrix *out)
{
    struct pq_value v;
    struct str dst = string_arg(n, 1), repl = string_arg(n, 2), src = string_arg(n, 3), pattern = string_arg(n, 4);
    struct regex *re;
    err_t err = OK;
    if (!dst.n || !str_utf8_valid(dst)) return bad_label("destination label name", "label_replace", dst);
    if (regex_new(pattern, &re) != OK) return bad_label("regular expression", "label_replace", pattern);
    TRY_OUT(err, pq_eval(e, n->call.args[0], g, &v));
    for (uint32_t r = 0; r < v.m.n; r++) {
        struct pq_row *row = &v.m.rows[r];
        struct str groups[32], value = labels_get(&row->labels, src);
        int ng = 0;
        TRY_OUT(err, pq_checkpoint(e));
        if (!regex_match(re, value) || !regex_captures(re, value, groups, 32, &ng)) continue;
        struct buf b;
        buf_init(&b, LABEL_VALUE_MAX, NULL);
        expand(re, repl, groups, ng, &b);
        row->labels = pq_labels_set(e->a, &row->labels, dst, arena_str(e->a, buf_view(&b)));
        buf_deinit(&b);
        if (str_is(dst, "__name__")) row->drop_name = false;
    }
    *out = v.m;
    err = pq_rows_merge(e, g, out);
out:
    regex_free(re);
    return err;
}

static err_t eval_label_join(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    struct pq_value v;
    struct str dst = string_arg(n, 1), sep = string_arg(n, 2);
    if (!dst.n || !str_utf8_valid(dst)) return bad_label("destination label name", "label_join", dst);
    for (uint32_t i = 3; i < n->call.nargs; i++)
        if (!string_arg(n, i).n || !str_utf8_valid(string_arg(n, i)))
            return bad_label("source label name", "label_join", string_arg(n, i));
    TRY(pq_eval(e, n->call.args[0], g, &v));
    for (uint32_t r = 0; r < v.m.n; r++) {
        struct pq_row *row = &v.m.rows[r];
        struct buf b;
        TRY(pq_checkpoint(e));
        buf_init(&b, LABEL_VALUE_MAX, NULL);
        for (uint32_t i = 3; i < n->call.nargs; i++) {
            if (i > 3) buf_str(&b, sep);
            buf_str(&b, labels_get(&row->labels, string_arg(n, i)));
        }
        row->labels = pq_labels_set(e->a, &row->labels, dst, arena_str(e->a, buf_view(&b)));
        buf_deinit(&b);
        if (str_is(dst, "__name__")) row->drop_name = false;
    }
    *out = v.m;
    return pq_rows_merge(e, g, out);
}

/* -- sorting: instant queries only -------------------------------------------------------------------- */
struct sort_key {
    const struct pq_row *row;
    const struct pq_node *call;
    uint32_t at;
};

static int cmp_value(const void *a, const void *b)
{
    const struct sort_key *x = a, *y = b;
    double v = x->row->v[0], w = y->row->v[0];
    bool desc = x->call->call.fn->id == FN_SORT_DESC;
    if (isnan(v) != isnan(w)) return isnan(v) ? 1 : -1;
    if (v != w && !isnan(v)) return (v < w) != desc ? -1 : 1;
    return pq_labels_cmp(&x->row->labels, &y->row->labels);
}

/* Runs of digits compare as numbers. */
static int natural(struct str a, struct str b)
{
    size_t i = 0, k = 0;
    while (i < a.n && k < b.n) {
        bool da = a.p[i] >= '0' && a.p[i] <= '9', db = b.p[k] >= '0' && b.p[k] <= '9';
        if (!da || !db) {
            if (a.p[i] != b.p[k]) return (unsigned char)a.p[i] < (unsigned char)b.p[k] ? -1 : 1;
            i++, k++;
            continue;
        }
        while (i < a.n && a.p[i] == '0') i++;
        while (k < b.n && b.p[k] == '0') k++;
        size_t i0 = i, k0 = k;
        while (i < a.n && a.p[i] >= '0' && a.p[i] <= '9') i++;
        while (k < b.n && b.p[k] >= '0' && b.p[k] <= '9') k++;
        if (i - i0 != k - k0) return i - i0 < k - k0 ? -1 : 1;
        int c = memcmp(a.p + i0, b.p + k0, i - i0);
        if (c) return c;
    }
    return (i < a.n) - (k < b.n);
}

static int cmp_label(const void *a, const void *b)
{
    const struct sort_key *x = a, *y = b;
    int sign = x->call->call.fn->id == FN_SORT_BY_LABEL_DESC ? -1 : 1;
    for (uint32_t i = 1; i < x->call->call.nargs; i++) {
        struct str name = string_arg(x->call, i);
        int c = natural(labels_get(&x->row->labels, name), labels_get(&y->row->labels, name));
        if (c) return c * sign;
    }
    return pq_labels_cmp(&x->row->labels, &y->row->labels) * sign;
}

static err_t eval_sort(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    struct pq_value v;
    TRY(pq_eval(e, n->call.args[0], g, &v));
    bool by_value = n->call.fn->id == FN_SORT || n->call.fn->id == FN_SORT_DESC;
    if (!e->instant || g->n > 1) {
        if (g->n > 1 || (!e->once && !n->invariant && e->start_ms != e->end_ms))
            pq_note(&e->notes, PQ_WARN, n->start, "sort is ineffective for range queries since results are always ordered by labels");
        for (uint32_t r = 0; by_value && r < v.m.n; r++)
            for (uint32_t i = 0; i < g->n; i++)
                if (v.m.rows[r].have[i] == PQ_CELL_HIST) v.m.rows[r].have[i] = PQ_CELL_NONE;
        *out = v.m;
        pq_rows_trim(out, g->n);
        return OK;
    }
    struct sort_key *keys = ARENA_RAW(e->a, struct sort_key, v.m.n);
    uint32_t k = 0;
    for (uint32_t r = 0; r < v.m.n; r++)
        if (!by_value || v.m.rows[r].have[0] == PQ_CELL_FLOAT) keys[k++] = (struct sort_key){ &v.m.rows[r], n, r };
    if (k) qsort(keys, k, sizeof *keys, by_value ? cmp_value : cmp_label);
    struct pq_row *rows = ARENA_RAW(e->a, struct pq_row, k);
    for (uint32_t i = 0; i < k; i++) rows[i] = *keys[i].row;
    *out = (struct pq_matrix){ k, k, rows };
    return OK;
}

err_t pq_eval_call(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_value *out)
{
    const struct pq_func *f = n->call.fn;
    if (f->ret == PQ_SCALAR) {
        out->scalar = ARENA_RAW(e->a, double, g->n);
        return eval_scalar(e, n, g, out->scalar);
    }
    if (f->fclass == PQ_F_OVER_TIME) return pq_eval_range_call(e, n, g, NULL, &out->m);
    if (f->fclass == PQ_F_DATE && n->call.nargs == 0) return constant_row(e, g, NULL, f->id, &out->m), OK;
    if (f->fclass != PQ_F_SPECIAL) return elementwise(e, n, g, &out->m);
    switch (f->id) {
    case FN_ABSENT: return eval_absent(e, n, g, &out->m);
    case FN_ABSENT_OVER_TIME:
        /* Beside the data it only says where samples are. */
        return e->fragment ? pq_eval_range_call(e, n, g, NULL, &out->m) : eval_absent(e, n, g, &out->m);
    case FN_TIMESTAMP:
    case FN_START_TIMESTAMP: return eval_timestamp(e, n, g, &out->m);
    case FN_LABEL_REPLACE: return eval_label_replace(e, n, g, &out->m);
    case FN_LABEL_JOIN: return eval_label_join(e, n, g, &out->m);
    case FN_SORT:
    case FN_SORT_DESC:
    case FN_SORT_BY_LABEL:
    case FN_SORT_BY_LABEL_DESC: return eval_sort(e, n, g, &out->m);
    case FN_INFO: return pq_eval_info(e, n, g, &out->m);
    case FN_VECTOR: {
        struct pq_value v;
        TRY(pq_eval(e, n->call.args[0], g, &v));
        constant_row(e, g, v.scalar, f->id, &out->m);
        return OK;
    }
    default: return pq_hist_function(e, n, g, &out->m);
    }
}
