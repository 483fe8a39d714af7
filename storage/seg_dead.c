#include "storage/seg_dead.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/metric.h"

#include <roaring/roaring.h>
#include <stdlib.h>

enum { DEAD_VERSION = 1 };
struct dead_head {
    uint32_t version, nrows;
    uint64_t hash;
};
_Static_assert(sizeof(struct dead_head) == 16, "stored as it lies in memory");

struct dead_group {
    uint32_t refs; /* sets of marks that share it; one reactor */
    uint32_t group, count;
    int64_t charged;
    roaring_bitmap_t *rows;
};
struct seg_dead {
    uint32_t refs, n;
    struct dead_group *group[]; /* ascending */
};

/* -- lifetime -------------------------------------------------------------------------------------------------- */

static void group_put(struct dead_group *g)
{
    ASSERT(g->refs > 0);
    if (--g->refs) return;
    metric_add(M_DEAD_BYTES, -g->charged);
    metric_add(M_DEAD_ROWS, -(int64_t)g->count);
    roaring_bitmap_free(g->rows);
    free(g);
}

struct seg_dead *seg_dead_get(struct seg_dead *d)
{
    if (d) d->refs++;
    return d;
}

void seg_dead_put(struct seg_dead *d)
{
    if (!d) return;
    ASSERT(d->refs > 0);
    if (--d->refs) return;
    for (uint32_t i = 0; i < d->n; i++)
        group_put(d->group[i]);
    free(d);
}

/* -- asking ------------------------------------------------------------------------------------------------------ */

static const struct dead_group *find(const struct seg_dead *d, uint32_t group)
{
    uint32_t lo = 0, hi = d ? d->n : 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (d->group[mid]->group < group) lo = mid + 1;
        else hi = mid;
    }
    return d && lo < d->n && d->group[lo]->group == group ? d->group[lo] : NULL;
}

uint32_t seg_dead_count(const struct seg_dead *d, uint32_t group)
{
    const struct dead_group *g = find(d, group);
    return g ? g->count : 0;
}

/* Both ascend: the iterator of the dead walks along. */
uint32_t seg_dead_live(const struct seg_dead *d, uint32_t group, const uint32_t *sel, uint32_t n, uint32_t *out)
{
    const struct dead_group *g = find(d, group);
    uint32_t kept = 0;
    roaring_uint32_iterator_t it = { 0 };
    if (g) roaring_init_iterator(g->rows, &it);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = sel ? sel[i] : i;
        if (g && it.has_value && it.current_value < row) (void)roaring_move_uint32_iterator_equalorlarger(&it, row);
        if (g && it.has_value && it.current_value == row) continue;
        out[kept++] = row;
    }
    return kept;
}

/* -- bytes ------------------------------------------------------------------------------------------------------- */

static void encode(roaring_bitmap_t *rows, uint32_t nrows, struct buf *out)
{
    (void)roaring_bitmap_run_optimize(rows);
    size_t n = roaring_bitmap_portable_size_in_bytes(rows);
    char *p = malloc(n + 1);
    ASSERT(p != NULL);
    (void)roaring_bitmap_portable_serialize(rows, p);
    struct dead_head h = { .version = DEAD_VERSION, .nrows = nrows, .hash = hash64(str_n(p, n)) };
    buf_put(out, &h, sizeof h);
    buf_put(out, p, n);
    free(p);
}

void seg_dead_encode(const uint32_t *rows, uint32_t n, uint32_t nrows, struct buf *out)
{
    roaring_bitmap_t *r = roaring_bitmap_of_ptr(n, rows);
    ASSERT(r != NULL && (n == 0 || roaring_bitmap_maximum(r) < nrows));
    encode(r, nrows, out);
    roaring_bitmap_free(r);
}

/* The library checks lengths, not what is in them: a walk does, and no more is believed than it saw. */
static bool sound(const roaring_bitmap_t *r, uint32_t nrows)
{
    uint64_t seen = 0, before = 0;
    roaring_uint32_iterator_t it;
    for (roaring_init_iterator(r, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        if (it.current_value >= nrows || (seen && it.current_value <= before)) return false;
        before = it.current_value;
        seen++;
    }
    return seen > 0 && seen == roaring_bitmap_get_cardinality(r);
}

static err_t decode(struct str bytes, uint32_t *nrows, roaring_bitmap_t **out)
{
    struct dead_head h;
    if (bytes.n <= sizeof h || bytes.n > SEG_DEAD_BYTES_MAX) return err_set(ERR_CORRUPT, "dead rows of %zu bytes", bytes.n);
    memcpy(&h, bytes.p, sizeof h);
    struct str rest = str_sub(bytes, sizeof h, bytes.n);
    if (h.version != DEAD_VERSION) return err_set(ERR_CORRUPT, "dead rows of version %u", h.version);
    if (hash64(rest) != h.hash) return err_set(ERR_CORRUPT, "the checksum of dead rows is wrong");
    roaring_bitmap_t *r = roaring_bitmap_portable_deserialize_safe(rest.p, rest.n);
    if (r && roaring_bitmap_portable_size_in_bytes(r) == rest.n && sound(r, h.nrows)) {
        *nrows = h.nrows;
        *out = r;
        return OK;
    }
    if (r) roaring_bitmap_free(r);
    return err_set(ERR_CORRUPT, "dead rows are malformed");
}

err_t seg_dead_unite(struct str old, struct str more, struct buf *out, uint32_t *fresh)
{
    roaring_bitmap_t *a = NULL, *b = NULL;
    uint32_t na = 0, nb = 0;
    err_t e;
    TRY_OUT(e, decode(more, &nb, &b));
    *fresh = (uint32_t)roaring_bitmap_get_cardinality(b);
    if (old.n) {
        TRY_OUT(e, decode(old, &na, &a));
        if (na != nb) {
            e = err_set(ERR_CORRUPT, "dead rows of groups of %u and of %u rows", na, nb);
            goto out;
        }
        *fresh -= (uint32_t)roaring_bitmap_and_cardinality(a, b);
        roaring_bitmap_or_inplace(b, a);
    }
    encode(b, nb, out);
    e = buf_check(out);
out:
    if (a) roaring_bitmap_free(a);
    if (b) roaring_bitmap_free(b);
    return e;
}

err_t seg_dead_with(struct seg_dead *old, uint32_t group, uint32_t nrows, struct str bytes, struct seg_dead **out)
{
    roaring_bitmap_t *r;
    uint32_t of, n = old ? old->n : 0;
    TRY(decode(bytes, &of, &r));
    if (of != nrows) {
        roaring_bitmap_free(r);
        return err_set(ERR_CORRUPT, "dead rows of a group of %u rows, it has %u", of, nrows);
    }
    struct seg_dead *d = malloc(sizeof *d + ((size_t)n + 1) * sizeof(struct dead_group *));
    struct dead_group *g = malloc(sizeof *g);
    ASSERT(d != NULL && g != NULL);
    *g = (struct dead_group){ .refs = 1, .group = group, .count = (uint32_t)roaring_bitmap_get_cardinality(r), .rows = r,
                              .charged = (int64_t)(sizeof *g + roaring_bitmap_size_in_bytes(r)) };
    metric_add(M_DEAD_BYTES, g->charged);
    metric_add(M_DEAD_ROWS, (int64_t)g->count);
    *d = (struct seg_dead){ .refs = 1 };
    uint32_t i = 0;
    for (; i < n && old->group[i]->group < group; i++)
        d->group[d->n++] = old->group[i];
    d->group[d->n++] = g;
    for (; i < n; i++)
        if (old->group[i]->group != group) d->group[d->n++] = old->group[i];
    for (uint32_t k = 0; k < d->n; k++)
        if (d->group[k] != g) d->group[k]->refs++;
    *out = d;
    return OK;
}
