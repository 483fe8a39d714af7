#include "storage/seg_coarse.h"

#include "storage/col_sample.h"

#include <math.h>

enum { MIN_IS_FIRST = 1, MIN_IS_LAST = 2, MAX_IS_FIRST = 4, MAX_IS_LAST = 8, HAS_RESETS = 16, RESETS_UNKNOWN = 32, COLUMNS_MAX = 63 };
enum field { F_LAST, F_FIRST, F_SUM, F_MIN, F_MAX, F_RESETS };

static double *field_of(struct metric_block *b, enum field f)
{
    double *const all[] = { [F_LAST] = &b->last, [F_FIRST] = &b->first, [F_SUM] = &b->sum, [F_MIN] = &b->min, [F_MAX] = &b->max,
                            [F_RESETS] = &b->reset_sum };
    return all[f];
}

static double value_of(const struct metric_block *b, enum field f)
{
    struct metric_block copy = *b;
    return *field_of(&copy, f);
}

/* To the bit: -0 is not 0. */
static bool all_same(const struct metric_block *const *win, uint32_t n, enum field x, enum field y)
{
    for (uint32_t i = 0; i < n; i++) {
        double a = value_of(win[i], x), b = value_of(win[i], y);
        if (memcmp(&a, &b, sizeof a) != 0) return false;
    }
    return true;
}

static uint8_t resets_of(const struct metric_block *const *win, uint32_t n)
{
    uint32_t some = 0;
    bool known = true;
    for (uint32_t i = 0; i < n; i++) {
        some += win[i]->reset_sum != 0;
        known &= win[i]->resets_known;
    }
    if (!known || (some > 1 && some > n / 2)) return RESETS_UNKNOWN;
    return some ? HAS_RESETS : 0;
}

static void put_f64(const struct metric_block *const *win, uint32_t n, enum field f, double *v, uint8_t *coded, struct buf *out)
{
    for (uint32_t i = 0; i < n; i++)
        v[i] = value_of(win[i], f);
    buf_put(out, coded, sample_f64_encode(v, n, coded));
}

struct scratch {
    double v[COL_SAMPLE_MAX];
    int64_t rise[COL_SAMPLE_MAX], count[COL_SAMPLE_MAX];
    uint8_t coded[COL_SAMPLE_BOUND(COL_SAMPLE_MAX)];
};

void seg_coarse_encode(const struct metric_block *const *win, uint32_t n, struct buf *out)
{
    struct arena a;
    arena_init(&a, NULL);
    struct scratch *s = ARENA_NEW(&a, struct scratch);
    uint8_t columns = resets_of(win, n);
    columns |= all_same(win, n, F_MIN, F_FIRST) ? MIN_IS_FIRST : all_same(win, n, F_MIN, F_LAST) ? MIN_IS_LAST : 0;
    columns |= all_same(win, n, F_MAX, F_LAST) ? MAX_IS_LAST : all_same(win, n, F_MAX, F_FIRST) ? MAX_IS_FIRST : 0;
    buf_byte(out, columns);
    put_f64(win, n, F_LAST, s->v, s->coded, out);
    put_f64(win, n, F_FIRST, s->v, s->coded, out);
    put_f64(win, n, F_SUM, s->v, s->coded, out);
    if (!(columns & (MIN_IS_FIRST | MIN_IS_LAST))) put_f64(win, n, F_MIN, s->v, s->coded, out);
    if (!(columns & (MAX_IS_FIRST | MAX_IS_LAST))) put_f64(win, n, F_MAX, s->v, s->coded, out);
    if (columns & HAS_RESETS) put_f64(win, n, F_RESETS, s->v, s->coded, out);
    for (uint32_t i = 0; i < n; i++) {
        s->rise[i] = win[i]->tmax_ms - win[i]->tmin_ms;
        s->count[i] = win[i]->n;
    }
    buf_put(out, s->coded, sample_i64_encode(s->rise, n, s->coded));
    buf_put(out, s->coded, sample_i64_encode(s->count, n, s->coded));
    arena_deinit(&a);
}

void seg_coarse_summary(const struct metric_block *const *win, uint32_t n, struct metric_block *out)
{
    bool gauge = resets_of(win, n) == RESETS_UNKNOWN;
    double low = 0, lost = 0;
    *out = *win[0];
    out->tmax_ms = win[n - 1]->tmax_ms;
    out->last = win[n - 1]->last;
    for (uint32_t i = 1; i < n; i++) {
        const struct metric_block *w = win[i];
        double next = out->sum + w->sum;
        low += fabs(out->sum) >= fabs(w->sum) ? out->sum - next + w->sum : w->sum - next + out->sum;
        out->sum = next;
        out->n += w->n;
        out->tmin_ms = MIN(out->tmin_ms, w->tmin_ms);
        if (w->min < out->min) out->min = w->min;
        if (w->max > out->max) out->max = w->max;
        if (w->first < win[i - 1]->last) lost += win[i - 1]->last;
        lost += w->reset_sum;
    }
    out->sum += low;
    out->reset_sum = gauge ? 0 : out->reset_sum + lost;
    out->resets_known = !gauge && isfinite(out->reset_sum);
    if (!out->resets_known) out->reset_sum = 0;
    out->usable = isfinite(out->sum);
}

/* -- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
    const uint8_t *p, *end; /* p NULL: malformed */
    uint32_t n;
    struct metric_block *to;
    struct scratch *s;
};

static void get_f64(struct reading *r, enum field f)
{
    if (r->p) r->p = sample_f64_decode(r->p, r->end, r->n, r->s->v);
    for (uint32_t i = 0; r->p && i < r->n; i++) {
        if (!isfinite(r->s->v[i])) r->p = NULL;
        *field_of(&r->to[i], f) = r->s->v[i];
    }
}

static void copy_field(struct reading *r, enum field to, enum field from)
{
    for (uint32_t i = 0; r->p && i < r->n; i++)
        *field_of(&r->to[i], to) = value_of(&r->to[i], from);
}

static void get_times(struct reading *r, const int64_t *t)
{
    if (r->p) r->p = sample_i64_decode(r->p, r->end, r->n, r->s->rise);
    if (r->p) r->p = sample_i64_decode(r->p, r->end, r->n, r->s->count);
    for (uint32_t i = 0; r->p && i < r->n; i++) {
        struct metric_block *b = &r->to[i];
        bool ok = r->s->count[i] > 0 && r->s->count[i] <= UINT32_MAX && r->s->rise[i] >= 0 && !__builtin_sub_overflow(t[i], r->s->rise[i], &b->tmin_ms);
        if (!ok) {
            r->p = NULL;
            return;
        }
        b->n = (uint32_t)r->s->count[i];
        b->tmax_ms = t[i];
    }
}

static void get_all(struct reading *r, const int64_t *t)
{
    uint8_t columns = *r->p++;
    if (columns > COLUMNS_MAX) r->p = NULL;
    get_f64(r, F_LAST);
    get_f64(r, F_FIRST);
    get_f64(r, F_SUM);
    if (columns & (MIN_IS_FIRST | MIN_IS_LAST)) copy_field(r, F_MIN, columns & MIN_IS_FIRST ? F_FIRST : F_LAST);
    else get_f64(r, F_MIN);
    if (columns & (MAX_IS_FIRST | MAX_IS_LAST)) copy_field(r, F_MAX, columns & MAX_IS_FIRST ? F_FIRST : F_LAST);
    else get_f64(r, F_MAX);
    if (columns & HAS_RESETS) get_f64(r, F_RESETS);
    get_times(r, t);
    for (uint32_t i = 0; r->p && i < r->n; i++)
        r->to[i].resets_known = !(columns & RESETS_UNKNOWN);
}

err_t seg_coarse_decode(struct str bytes, uint32_t n, int64_t resolution_ms, const int64_t *t, struct arena *a,
                        const struct metric_block **win, double *v)
{
    struct arena tmp;
    arena_init(&tmp, a->budget);
    struct reading r = { (const uint8_t *)bytes.p, (const uint8_t *)bytes.p + bytes.n, n, ARENA_ARRAY(a, struct metric_block, n),
                         ARENA_NEW(&tmp, struct scratch) };
    err_t e;
    TRY_OUT(e, arena_check(a));
    TRY_OUT(e, arena_check(&tmp));
    if (bytes.n == 0) r.p = NULL;
    if (r.p) get_all(&r, t);
    if (!r.p || r.p != r.end) e = err_set(ERR_CORRUPT, "a block of summaries is malformed");
    for (uint32_t i = 0; e == OK && i < n; i++) {
        r.to[i].usable = true;
        r.to[i].resolution_ms = resolution_ms;
        win[i] = &r.to[i];
        v[i] = r.to[i].last;
    }
out:
    arena_deinit(&tmp);
    return e;
}
