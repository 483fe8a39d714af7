/* histogram_quantile, histogram_quantiles, histogram_fraction over classic (le) and native histograms. */
#include "query/promql/eval.h"
#include "query/promql/number.h"

#include <math.h>
#include <stdlib.h>

struct le { double upper, count; };

struct bucket_row {
    const struct pq_row *row;
    double upper;
};
struct classic { /* the buckets of one histogram */
    struct labels labels;
    uint32_t nrows;
    size_t cap;
    struct bucket_row *rows; /* ascending, once all are there */
    const struct pq_row *native; /* with the same labels: nothing can be said then */
};

/* Rows of one bound stay in their order. */
static int bucket_cmp(const void *a, const void *b)
{
    const struct bucket_row *x = a, *y = b;
    if (x->upper != y->upper) return x->upper < y->upper ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static bool almost(double x, double y)
{
    double sum = fabs(x) + fabs(y), d = fabs(x - y);
    if (x == y) return true;
    if (x == 0 || y == 0 || sum < 2.2250738585072014e-308) return d < 1e-12 * 2.2250738585072014e-308;
    return d / fmin(sum, 1.7976931348623157e308) < 1e-12;
}

struct forced { bool yes; double lo, hi, diff; };

/* Of ascending bounds merges equal ones, raises dips; false when there is no +Inf bucket. */
static bool buckets_ready(struct le *b, uint32_t *n, struct forced *f)
{
    *f = (struct forced){ 0 };
    if (*n == 0) return false;
    uint32_t k = 0;
    for (uint32_t i = 1; i < *n; i++) {
        if (b[i].upper == b[k].upper) b[k].count += b[i].count;
        else b[++k] = b[i];
    }
    *n = k + 1;
    if (b[k].upper != INFINITY) return false;
    for (uint32_t i = 1; i < *n; i++) {
        double prev = b[i - 1].count, cur = b[i].count;
        if (cur == prev) continue;
        if (almost(prev, cur)) {
            b[i].count = prev;
        } else if (cur < prev) {
            f->lo = f->yes ? fmin(f->lo, b[i].upper) : b[i].upper;
            f->hi = f->yes ? fmax(f->hi, b[i].upper) : b[i].upper;
            f->diff = fmax(f->diff, prev - cur);
            f->yes = true;
            b[i].count = prev;
        }
    }
    return true;
}

static double classic_quantile(double q, struct le *b, uint32_t n, struct forced *f)
{
    bool ready = buckets_ready(b, &n, f);
    if (isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    if (!ready || n < 2 || b[n - 1].count == 0 || isnan(b[n - 1].count)) return NAN;
    double rank = q * b[n - 1].count;
    uint32_t i = 0;
    while (i < n - 1 && b[i].count < rank) i++;
    if (i == n - 1) return b[n - 2].upper;
    if (i == 0 && b[0].upper <= 0) return b[0].upper;
    double start = i ? b[i - 1].upper : 0, below = i ? b[i - 1].count : 0;
    return start + (b[i].upper - start) * ((rank - below) / (b[i].count - below));
}

/* How many observations lie below v. Those of a bucket of infinite width are taken to be at its finite end. */
static double classic_rank(const struct le *b, uint32_t n, double v)
{
    for (uint32_t i = 0; i < n; i++) {
        double lower = i ? b[i - 1].upper : b[0].upper > 0 ? 0 : -INFINITY, below = i ? b[i - 1].count : 0;
        if (v >= b[i].upper) continue;
        if (v <= lower || b[i].upper == INFINITY) return below;
        if (lower == -INFINITY) return b[i].count;
        return below + (b[i].count - below) * (v - lower) / (b[i].upper - lower);
    }
    return b[n - 1].count;
}

static double classic_fraction(double lower, double upper, struct le *b, uint32_t n, struct forced *f)
{
    if (!buckets_ready(b, &n, f) || b[n - 1].count == 0 || isnan(b[n - 1].count)) return NAN;
    if (isnan(lower) || isnan(upper)) return NAN;
    if (lower >= upper) return 0;
    return (classic_rank(b, n, upper) - classic_rank(b, n, lower)) / b[n - 1].count;
}

/* What one call asks of each histogram at each step. */
struct ask {
    struct pq_env *e;
    const struct pq_node *call;
    const struct pq_grid *g;
    uint32_t vec_pos;       /* of the vector argument */
    bool fraction;
    const double *p1, *p2;  /* quantile, or lower and upper */
    uint32_t q_pos;
    struct str label, value; /* histogram_quantiles */
    struct pq_matrix *out;
};

static void note_nan(struct ask *k, const char *text, struct str metric)
{
    struct str m = pq_for_metric(k->e->a, metric);
    pq_note(&k->e->notes, PQ_INFO, k->vec_pos, "%s" STR_FMT, text, STR_ARG(m));
}

static double native_value(struct ask *k, const struct pq_hist *h, uint32_t i, struct str metric)
{
    struct arena_mark mark = arena_mark(k->e->a);
    double v;
    enum pq_hnan nan = PQ_HNAN_NONE;
    if (k->fraction) v = pq_hist_fraction(k->p1[i], k->p2[i], h, k->e->a);
    else v = pq_hist_quantile(k->p1[i], h, k->e->a, &nan);
    arena_rollback(k->e->a, mark);
    if (k->fraction && isnan(h->sum))
        note_nan(k, "input to histogram_fraction has NaN observations, which are excluded from all fractions", metric);
    if (nan == PQ_HNAN_RESULT) note_nan(k, "input to histogram_quantile has NaN observations, result is NaN", metric);
    if (nan == PQ_HNAN_SKEW)
        note_nan(k, "input to histogram_quantile has NaN observations, result is skewed higher", metric);
    return v;
}

static struct pq_row *result_row(struct ask *k, struct pq_row **row, const struct labels *labels)
{
    if (*row) return *row;
    struct labels l = *labels;
    if (k->label.n) l = pq_labels_set(k->e->a, &l, k->label, k->value);
    *row = pq_row_add(k->e->a, k->out, l, k->g->n);
    (*row)->drop_name = true;
    return *row;
}

static err_t ask_classic(struct ask *k, struct classic *c, struct le *buf)
{
    struct pq_row *row = NULL;
    struct str metric = labels_get(&c->labels, STR("__name__"));
    if (c->nrows) qsort(c->rows, c->nrows, sizeof *c->rows, bucket_cmp);
    for (uint32_t i = 0; i < k->g->n; i++) {
        uint32_t n = 0;
        if (i % 64 == 63) TRY(pq_checkpoint(k->e));
        for (uint32_t r = 0; r < c->nrows; r++)
            if (c->rows[r].row->have[i] == PQ_CELL_FLOAT)
                buf[n++] = (struct le){ c->rows[r].upper, c->rows[r].row->v[i] };
        bool native = c->native && c->native->have[i] == PQ_CELL_HIST;
        if (n && native) {
            struct str m = pq_for_metric(k->e->a, metric);
            pq_note(&k->e->notes, PQ_WARN, k->vec_pos, "vector contains a mix of classic and native histograms" STR_FMT,
                    STR_ARG(m));
        } else if (n) {
            struct forced f;
            double v = k->fraction ? classic_fraction(k->p1[i], k->p2[i], buf, n, &f)
                                   : classic_quantile(k->p1[i], buf, n, &f);
            if (f.yes && !k->fraction && k->p1[i] >= 0 && k->p1[i] <= 1)
                pq_note_forced(&k->e->notes, k->vec_pos, metric, pq_grid_at(k->g, i), f.lo, f.hi, f.diff);
            pq_set_float(result_row(k, &row, &c->labels), i, v);
        } else if (native) {
            pq_set_float(result_row(k, &row, &c->labels), i, native_value(k, c->native->h[i], i, metric));
        }
    }
    return OK;
}

struct histograms {
    uint32_t n;
    size_t cap;
    struct classic *h;
    struct htab index;
};

static struct classic *histogram_get(struct arena *a, struct histograms *hs, struct labels l)
{
    uint64_t hash = pq_labels_hash(&l);
    for (uint32_t it = 0, v; htab_next(&hs->index, hash, &it, &v);)
        if (pq_labels_equal(&hs->h[v].labels, &l)) return &hs->h[v];
    htab_insert(&hs->index, hash, hs->n);
    hs->h = arena_grow(a, hs->h, hs->n, &hs->cap, hs->n + 1, sizeof *hs->h);
    hs->h[hs->n] = (struct classic){ .labels = l };
    return &hs->h[hs->n++];
}

static bool parse_le(struct str s, double *v)
{
    if (!s.n || s.p[0] == ' ' || s.p[s.n - 1] == ' ') return false;
    return str_to_f64(s, v) && !isnan(*v);
}

static bool has_kind(const struct pq_row *r, uint32_t n, int kind)
{
    for (uint32_t i = 0; i < n; i++)
        if (r->have[i] == kind) return true;
    return false;
}

/* Sorts rows into histograms: classic ones by their labels without le, native ones by theirs. */
static err_t collect(struct pq_env *e, const struct pq_grid *g, const struct pq_matrix *m, uint32_t pos,
                     struct histograms *hs, uint32_t *rows_max)
{
    static const struct str le_name[] = { { "le", 2 } };
    *rows_max = 1;
    for (uint32_t r = 0; r < m->n; r++) {
        const struct pq_row *row = &m->rows[r];
        TRY(pq_checkpoint(e));
        if (row->h && has_kind(row, g->n, PQ_CELL_HIST)) histogram_get(e->a, hs, row->labels)->native = row;
        if (!has_kind(row, g->n, PQ_CELL_FLOAT)) continue;
        struct str le = labels_get(&row->labels, STR("le"));
        double upper;
        if (!parse_le(le, &upper)) {
            struct str name = pq_for_metric(e->a, labels_get(&row->labels, STR("__name__")));
            pq_note(&e->notes, PQ_WARN, pos, "bucket label \"le\" is missing or has a malformed value of \"" STR_FMT "\""
                    STR_FMT, STR_ARG(le), STR_ARG(name));
            continue;
        }
        struct classic *c = histogram_get(e->a, hs, pq_labels_pick(e->a, &row->labels, le_name, 1, false));
        c->rows = arena_grow(e->a, c->rows, c->nrows, &c->cap, c->nrows + 1, sizeof *c->rows);
        c->rows[c->nrows].row = row;
        c->rows[c->nrows++].upper = upper;
        *rows_max = MAX(*rows_max, c->nrows);
    }
    return OK;
}

static err_t ask_all(struct ask *k, struct histograms *hs, uint32_t rows_max)
{
    struct le *buf = ARENA_RAW(k->e->a, struct le, rows_max);
    for (uint32_t i = 0; i < hs->n; i++) {
        TRY(pq_checkpoint(k->e));
        TRY(ask_classic(k, &hs->h[i], buf));
    }
    for (uint32_t i = 0; !k->fraction && i < k->g->n; i++) pq_note_quantile(&k->e->notes, k->q_pos, k->p1[i]);
    return OK;
}

err_t pq_hist_function(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    enum pq_fid f = n->call.fn->id;
    uint32_t vec = f == FN_HISTOGRAM_QUANTILES ? 0 : f == FN_HISTOGRAM_FRACTION ? 2 : 1;
    struct pq_value v, p[2] = { 0 };
    TRY(pq_eval(e, n->call.args[vec], g, &v));
    struct ask k = { .e = e, .call = n, .g = g, .vec_pos = n->call.args[vec]->start, .out = out,
                     .fraction = f == FN_HISTOGRAM_FRACTION };
    struct histograms hs = { 0 };
    uint32_t rows_max;
    err_t err = OK;
    htab_init(&hs.index, NULL);
    TRY_OUT(err, collect(e, g, &v.m, k.vec_pos, &hs, &rows_max));
    if (f != FN_HISTOGRAM_QUANTILES) {
        for (uint32_t i = 0; i < vec; i++) TRY_OUT(err, pq_eval(e, n->call.args[i], g, &p[i]));
        k.p1 = p[0].scalar;
        k.p2 = p[1].scalar;
        k.q_pos = n->call.args[0]->start;
        TRY_OUT(err, ask_all(&k, &hs, rows_max));
    } else {
        k.label = pq_unparen(n->call.args[1])->str;
        for (uint32_t i = 2; i < n->call.nargs; i++) {
            char num[PQ_NUMBER_MAX];
            TRY_OUT(err, pq_eval(e, n->call.args[i], g, &p[0]));
            k.p1 = p[0].scalar;
            k.q_pos = n->call.args[i]->start;
            k.value = arena_str(e->a, str_n(num, pq_format_openmetrics(k.p1[0], num)));
            TRY_OUT(err, ask_all(&k, &hs, rows_max));
        }
    }
    /* Labels that are set may be those of others. */
    if (f == FN_HISTOGRAM_QUANTILES && (g->n > 1 || e->start_ms != e->end_ms)) TRY_OUT(err, pq_rows_merge(e, g, out));
    pq_rows_trim(out, g->n);
out:
    htab_deinit(&hs.index);
    return err;
}
