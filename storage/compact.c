/* See compact.h. */
#include "storage/compact.h"

#include <stdlib.h>
#include <string.h>

/* Ours behind each other, in the order of generations; then the others. */
static int by_place(const void *x, const void *y)
{
    const struct seg_info *a = x, *b = y;
    if (a->generation != b->generation) return a->generation < b->generation ? -1 : 1;
    return seg_lane_cmp(seg_lane(a), seg_lane(b));
}

static bool is_ours(const struct compact_rule *r, const struct seg_info *i)
{
    return seg_lane_eq(seg_lane(i), r->lane) && i->cores == r->cores;
}

static uint64_t weight(const struct seg_info *i) { return MAX(i->bytes, (uint64_t)COMPACT_SMALL_BYTES); }

static int64_t window_of(const struct compact_rule *r, const struct seg_info *i)
{
    int64_t w = i->tmax_ns / r->window_ns;
    return i->tmax_ns % r->window_ns < 0 ? w - 1 : w;
}

static bool is_left(const struct compact_rule *r, const struct seg_info *i)
{
    for (uint32_t k = 0; k < r->nleft; k++)
        if (memcmp(r->left[k].name, i->name, sizeof i->name) == 0) return true;
    return false;
}

static uint32_t splits_below(const struct compact_rule *r, uint64_t generation)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->nsplits; i++)
        n += r->splits[i] < generation;
    return n;
}

/* Moves ours that may be merged to the front, in order; what may not stand on two sides of something in one merge has
 * another number in `part`. */
static uint32_t gather(const struct compact_rule *r, struct seg_info *infos, uint32_t n, uint32_t *part)
{
    struct seg_info *others = malloc(((size_t)n + 1) * sizeof *others);
    uint32_t kept = 0, nothers = 0, parts = 0;
    if (!others) return 0;
    for (uint32_t i = 0; i < n; i++) {
        bool left = is_ours(r, &infos[i]) && is_left(r, &infos[i]);
        if (infos[i].cores != r->cores || left) parts++;
        if (is_ours(r, &infos[i]) && !left) {
            part[kept] = parts + splits_below(r, infos[i].generation);
            infos[kept++] = infos[i];
        } else {
            others[nothers++] = infos[i];
        }
    }
    for (uint32_t i = 0; i < nothers; i++)
        infos[kept + i] = others[i];
    free(others);
    return kept;
}

struct best {
    uint32_t first, n;
    uint64_t bytes;
    bool last; /* what is left of a window that is over: when there is nothing else */
};

/* Smaller on average; of what is left the longer. Of equals the longer, then the older. */
static bool is_better(const struct best *a, const struct best *b)
{
    if (b->n == 0 || a->last != b->last) return b->n == 0 || b->last;
    double x = (double)a->bytes / a->n, y = (double)b->bytes / b->n;
    if (a->last && a->n != b->n) return a->n > b->n;
    return x != y ? x < y : a->n > b->n;
}

/* The runs of neighbours that begin at i. */
static void try_from(const struct compact_rule *r, const struct seg_info *v, const uint32_t *part, uint32_t n, uint32_t i, int64_t newest,
                     struct best *best)
{
    bool many = n > COMPACT_MANY;
    int64_t window = window_of(r, &v[i]);
    bool over = window < newest;
    uint64_t bytes = 0, largest = 0, real = 0;
    for (uint32_t k = i; k < n && k - i < COMPACT_FAN_MAX; k++) {
        const struct seg_info *s = &v[k];
        if (s->tmax_ns < r->keep_from_ns || part[k] != part[i] || (!many && window_of(r, s) != window)) return;
        real += s->bytes;
        bytes += weight(s);
        largest = MAX(largest, weight(s));
        if (real > r->bytes_max) return;
        uint32_t len = k - i + 1;
        bool even = len >= COMPACT_FAN && largest * 5 <= bytes * 2;
        if (len < 2 || (!over && !even)) continue;
        const struct best b = { i, len, bytes, !even };
        if (is_better(&b, best)) *best = b;
    }
}

static const struct compact_worn *worn_of(const struct compact_rule *r, const struct seg_info *i)
{
    for (uint32_t k = 0; k < r->nworn; k++)
        if (memcmp(r->worn[k].name, i->name, sizeof i->name) == 0) return &r->worn[k];
    return NULL;
}

/* That of which the largest share is gone; one that is gone as a whole retention takes as it is. */
static bool pick_worn(const struct compact_rule *r, const struct seg_info *v, uint32_t n, uint32_t *at)
{
    double most = 1.0 / COMPACT_WORN_SHARE;
    bool some = false;
    for (uint32_t i = 0; r->nworn && i < n; i++) {
        const struct compact_worn *w = worn_of(r, &v[i]);
        if (!w || w->gone >= w->bytes || v[i].tmax_ns < r->keep_from_ns) continue;
        double share = (double)w->gone / (double)w->bytes;
        if (share < most || (some && share == most)) continue;
        most = share;
        *at = i;
        some = true;
    }
    return some;
}

uint32_t compact_pick(const struct compact_rule *r, struct seg_info *infos, uint32_t ninfos, uint32_t *first)
{
    uint32_t *part = malloc(((size_t)ninfos + 1) * sizeof *part);
    struct best best = { 0 };
    int64_t newest = INT64_MIN;
    if (!part) return 0;
    if (ninfos > 1) qsort(infos, ninfos, sizeof *infos, by_place);
    uint32_t n = gather(r, infos, ninfos, part);
    /* A window is over when what was sealed last, and all that was before, has none of it to come: rows that are late open
     * it again, for a merge or two. */
    if (pick_worn(r, infos, n, first)) {
        free(part);
        return 1;
    }
    if (n) newest = window_of(r, &infos[n - 1]);
    for (uint32_t i = 0; i < n; i++)
        try_from(r, infos, part, n, i, newest, &best);
    free(part);
    *first = best.first;
    return best.n;
}
