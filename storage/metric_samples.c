#include "storage/metric_samples.h"

#include "base/core/assert.h"

void sample_set_init(struct sample_set *s, struct arena *a, uint32_t cap, bool with_hist, bool with_st)
{
    *s = (struct sample_set){ .cap = cap };
    s->t = ARENA_RAW(a, int64_t, cap);
    s->v = ARENA_RAW(a, double, cap);
    if (with_hist) s->hist = ARENA_ARRAY(a, const struct nhist *, cap);
    if (with_st) s->st = ARENA_ARRAY(a, int64_t, cap);
}

void sample_set_put(struct sample_set *s, int64_t t, double v, const struct nhist *h, int64_t st)
{
    ASSERT_HOT(s->n < s->cap);
    uint32_t i = s->n++;
    s->t[i] = t;
    s->v[i] = v;
    if (s->hist) s->hist[i] = h;
    if (s->st) s->st[i] = st;
}

void sample_set_put_from(struct sample_set *s, const struct sample_set *from, uint32_t i)
{
    sample_set_put(s, from->t[i], from->v[i], from->hist ? from->hist[i] : NULL, from->st ? from->st[i] : ST_NONE);
    if (s->win) s->win[s->n - 1] = from->win ? from->win[i] : NULL;
}

void sample_set_init_like(struct sample_set *s, struct arena *a, uint32_t cap, const struct sample_set *x, const struct sample_set *y)
{
    sample_set_init(s, a, cap, x->hist || y->hist, x->st || y->st);
    if (x->win || y->win) s->win = ARENA_ARRAY(a, const struct metric_block *, cap);
}

void sample_set_cut(struct sample_set *s, uint32_t from, int64_t tmin, int64_t tmax, bool keep_inside)
{
    uint32_t n = from;
    for (uint32_t i = from; i < s->n; i++) {
        if ((s->t[i] >= tmin && s->t[i] <= tmax) != keep_inside) continue;
        s->t[n] = s->t[i];
        s->v[n] = s->v[i];
        if (s->hist) s->hist[n] = s->hist[i];
        if (s->st) s->st[n] = s->st[i];
        if (s->win) s->win[n] = s->win[i];
        n++;
    }
    s->n = n;
}

static bool ascending(const int64_t *t, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (t[i] <= t[i - 1]) return false;
    return true;
}

/* Stable, bottom-up. */
static uint32_t *sorted_order(const int64_t *t, uint32_t n, struct arena *a)
{
    uint32_t *from = ARENA_RAW(a, uint32_t, n), *to = ARENA_RAW(a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        from[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = MIN(lo + width, n), hi = MIN(lo + 2 * width, n), x = lo, y = mid;
            for (size_t k = lo; k < hi; k++)
                to[k] = x < mid && (y >= hi || t[from[x]] <= t[from[y]]) ? from[x++] : from[y++];
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

void sample_set_settle(struct sample_set *s, struct arena *a)
{
    if (ascending(s->t, s->n)) return;
    uint32_t *order = sorted_order(s->t, s->n, a);
    struct sample_set out;
    sample_set_init_like(&out, a, s->n, s, s);
    for (uint32_t i = 0; i < s->n; i++) {
        if (out.n && out.t[out.n - 1] == s->t[order[i]]) out.n--;
        sample_set_put_from(&out, s, order[i]);
    }
    *s = out;
}

/* Floats alone. */
static void append(struct sample_set *s, const struct sample_set *from)
{
    memcpy(s->t + s->n, from->t, from->n * sizeof *s->t);
    memcpy(s->v + s->n, from->v, from->n * sizeof *s->v);
    s->n += from->n;
}

void sample_set_merge(const struct sample_set *older, const struct sample_set *newer, struct arena *a,
                      struct sample_set *out)
{
    if (older->n == 0 || newer->n == 0) {
        *out = older->n ? *older : *newer;
        return;
    }
    struct sample_set s;
    sample_set_init_like(&s, a, older->n + newer->n, older, newer);
    uint32_t i = 0, k = 0;
    s.unmarked = older->unmarked && newer->unmarked;
    if (older->t[older->n - 1] < newer->t[0] && !s.hist && !s.st && !s.win) {
        append(&s, older);
        append(&s, newer);
        *out = s;
        return;
    }
    while (i < older->n || k < newer->n) {
        if (i < older->n && (k == newer->n || older->t[i] < newer->t[k])) {
            sample_set_put_from(&s, older, i++);
            continue;
        }
        if (i < older->n && older->t[i] == newer->t[k]) i++;
        sample_set_put_from(&s, newer, k++);
    }
    *out = s;
}
