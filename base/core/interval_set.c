#include "base/core/interval_set.h"

#include "base/core/assert.h"

#include <stdlib.h>
#include <string.h>

enum { CAP_FIRST = 4, CAP_SHRINK = 16 };

void interval_set_deinit(struct interval_set *s)
{
    if (s->cap) free(s->many);
    interval_set_init(s);
}

static struct interval *all(struct interval_set *s) { return s->cap ? s->many : &s->one; }

/* Room for `want` intervals. */
static struct interval *room(struct interval_set *s, uint32_t want)
{
    if (want <= 1 && !s->cap) return &s->one;
    if (want <= s->cap) return s->many;
    ASSERT(want <= UINT32_MAX / 2);
    uint32_t cap = MAX(MAX(want, s->cap * 2), (uint32_t)CAP_FIRST);
    struct interval one = s->one, *v = realloc(s->cap ? s->many : NULL, cap * sizeof *v);
    ASSERT(v);
    if (!s->cap) v[0] = one;
    s->many = v;
    s->cap = cap;
    return v;
}

/* Gives memory back after intervals went. */
static void fit(struct interval_set *s)
{
    if (!s->cap) return;
    if (s->n <= 1) {
        struct interval *v = s->many, one = v[0];
        s->cap = 0;
        s->one = one;
        free(v);
    } else if (s->cap >= CAP_SHRINK && s->n <= s->cap / 4) {
        struct interval *v = realloc(s->many, s->cap / 2 * sizeof *v);
        ASSERT(v);
        s->many = v;
        s->cap /= 2;
    }
}

/* The first interval that ends at v or behind it; n when there is none. */
static uint32_t reaching(const struct interval *v, uint32_t n, uint64_t number)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v[mid].last < number) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static void insert(struct interval_set *s, uint32_t at, struct interval x)
{
    struct interval *v = room(s, s->n + 1);
    memmove(v + at + 1, v + at, (s->n - at) * sizeof *v);
    v[at] = x;
    s->n++;
}

bool interval_set_add(struct interval_set *s, uint64_t first, uint64_t last)
{
    ASSERT(first <= last);
    struct interval *v = all(s);
    uint64_t before = first ? first - 1 : 0, behind = last < UINT64_MAX ? last + 1 : last;
    /* Those in [lo, hi) overlap the new one or touch it. */
    uint32_t lo = s->n == 0 || v[s->n - 1].last < before ? s->n
                  : v[s->n - 1].first <= first           ? s->n - 1
                                                         : reaching(v, s->n, before);
    uint32_t hi = lo;
    while (hi < s->n && v[hi].first <= behind)
        hi++;
    if (lo == hi) {
        insert(s, lo, (struct interval){ first, last });
        return true;
    }
    if (v[lo].first <= first && v[lo].last >= last) return false;
    v[lo] = (struct interval){ MIN(v[lo].first, first), MAX(v[hi - 1].last, last) };
    if (hi - lo > 1) {
        memmove(v + lo + 1, v + hi, (s->n - hi) * sizeof *v);
        s->n -= hi - lo - 1;
        fit(s);
    }
    return true;
}

bool interval_set_has(const struct interval_set *s, uint64_t v)
{
    const struct interval *x = interval_set_all(s);
    uint32_t i = reaching(x, s->n, v);
    return i < s->n && x[i].first <= v;
}

/* Adds an interval that begins at or behind the beginning of the last one. */
static void append(struct interval_set *s, struct interval x)
{
    struct interval *end = s->n ? all(s) + s->n - 1 : NULL;
    if (end && (x.first <= end->last || x.first - 1 == end->last))
        end->last = MAX(end->last, x.last);
    else
        insert(s, s->n, x);
}

void interval_set_join(struct interval_set *to, const struct interval_set *from)
{
    const struct interval *a = interval_set_all(to), *b = interval_set_all(from);
    if (to == from || from->n == 0) return;
    if (from->n == 1) {
        interval_set_add(to, b->first, b->last);
        return;
    }
    if (to->n == 0 || b->first > a[to->n - 1].last) {
        room(to, to->n + from->n);
        for (uint32_t i = 0; i < from->n; i++)
            append(to, b[i]);
        return;
    }
    struct interval_set both;
    interval_set_init(&both);
    room(&both, MAX(to->n, from->n));
    for (uint32_t i = 0, j = 0; i < to->n || j < from->n;)
        append(&both, j == from->n || (i < to->n && a[i].first <= b[j].first) ? a[i++] : b[j++]);
    fit(&both);
    interval_set_deinit(to);
    *to = both;
}

bool interval_set_holds(const struct interval_set *s, const struct interval_set *every)
{
    const struct interval *a = interval_set_all(s), *b = interval_set_all(every);
    for (uint32_t i = 0, j = 0; j < every->n; j++) {
        while (i < s->n && a[i].last < b[j].first)
            i++;
        if (i == s->n || a[i].first > b[j].first || a[i].last < b[j].last) return false;
    }
    return true;
}

void interval_set_minus(const struct interval_set *s, const struct interval_set *but, struct interval_set *out)
{
    const struct interval *a = interval_set_all(s), *b = interval_set_all(but);
    struct interval_set left;
    ASSERT(out != s && out != but);
    interval_set_init(&left);
    for (uint32_t i = 0, j = 0; i < s->n; i++) {
        uint64_t from = a[i].first;
        bool rest = true;
        while (j < but->n && b[j].last < from)
            j++;
        for (uint32_t k = j; k < but->n && b[k].first <= a[i].last && rest; k++) {
            if (b[k].first > from) append(&left, (struct interval){ from, b[k].first - 1 });
            rest = b[k].last < a[i].last;
            if (rest) from = b[k].last + 1;
            j = k;
        }
        if (rest) append(&left, (struct interval){ from, a[i].last });
    }
    interval_set_join(out, &left);
    interval_set_deinit(&left);
}

uint64_t interval_set_count(const struct interval_set *s)
{
    const struct interval *v = interval_set_all(s);
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        n += v[i].last - v[i].first + 1;
    return n == 0 && s->n > 0 ? UINT64_MAX : n;
}
