#include "query/ops/op_topn.h"

#include <stdlib.h>

void op_topn_init(struct op_topn *t, const struct topn_spec *spec, struct arena *mem)
{
    *t = (struct op_topn){ .spec = spec, .mem = mem };
}

static int key_cmp(const struct topn_spec *s, const struct val *a, const struct val *b)
{
    for (uint32_t k = 0; k < s->nkeys; k++) {
        if (!a[k].type || !b[k].type) {
            if (a[k].type || b[k].type) return a[k].type ? -1 : 1;
            continue;
        }
        int c = val_cmp(&a[k], &b[k]);
        if (c) return s->desc[k] ? -c : c;
    }
    return 0;
}

int topn_cmp(const struct topn_spec *s, const struct topn_entry *a, const struct topn_entry *b)
{
    int c = key_cmp(s, a->key, b->key);
    if (c || a->addr == b->addr) return c;
    return (a->addr < b->addr) == s->addr_desc ? 1 : -1;
}

bool op_topn_wants(const struct op_topn *t, const struct val key[TOPN_KEYS_MAX])
{
    if (t->spec->n == 0) return false;
    if (t->spec->has_after && key_cmp(t->spec, key, t->spec->after.key) < (t->spec->has_addr ? 0 : 1)) return false;
    return t->count < t->spec->n || key_cmp(t->spec, key, t->heap[0].key) <= 0;
}

/* The heap's order: the worst entry on top. */
static void sift_down(struct op_topn *t, uint32_t i)
{
    struct topn_entry e = t->heap[i];
    for (;;) {
        uint32_t c = 2 * i + 1;
        if (c >= t->count) break;
        if (c + 1 < t->count && topn_cmp(t->spec, &t->heap[c + 1], &t->heap[c]) > 0) c++;
        if (topn_cmp(t->spec, &t->heap[c], &e) <= 0) break;
        t->heap[i] = t->heap[c];
        i = c;
    }
    t->heap[i] = e;
}

static void sift_up(struct op_topn *t, uint32_t i)
{
    struct topn_entry e = t->heap[i];
    while (i > 0) {
        uint32_t p = (i - 1) / 2;
        if (topn_cmp(t->spec, &t->heap[p], &e) >= 0) break;
        t->heap[i] = t->heap[p];
        i = p;
    }
    t->heap[i] = e;
}

static void keep_strings(struct op_topn *t, struct topn_entry *e)
{
    for (uint32_t k = 0; k < t->spec->nkeys; k++)
        if (e->key[k].type >= COL_STR) e->key[k].s = arena_str(t->mem, e->key[k].s);
}

static void keep_tied(struct op_topn *t, const struct topn_entry *e)
{
    if (t->ntied == TOPN_TIED_MAX) return;
    size_t cap = t->tied_cap;
    t->tied = arena_grow(t->mem, t->tied, t->ntied, &cap, (size_t)t->ntied + 1, sizeof *t->tied);
    t->tied_cap = (uint32_t)cap;
    t->tied[t->ntied++] = *e;
}

/* The worst goes, with those equal to it; unless the next worst is equal too. */
static void replace_worst(struct op_topn *t, const struct topn_entry *e)
{
    struct topn_entry was = t->heap[0];
    t->heap[0] = *e;
    sift_down(t, 0);
    if (topn_cmp(t->spec, &was, &t->heap[0]) == 0) keep_tied(t, &was);
    else t->ntied = 0;
}

static bool insert(struct op_topn *t, const struct topn_entry *e)
{
    if (t->count == t->spec->n) {
        int c = topn_cmp(t->spec, e, &t->heap[0]);
        if (c > 0 || (c == 0 && t->ntied == TOPN_TIED_MAX)) return false;
        if (c == 0) keep_tied(t, e);
        else replace_worst(t, e);
        return true;
    }
    size_t cap = t->cap;
    t->heap = arena_grow(t->mem, t->heap, t->count, &cap, (size_t)t->count + 1, sizeof *t->heap);
    t->cap = (uint32_t)cap;
    t->heap[t->count] = *e;
    sift_up(t, t->count++);
    return true;
}

bool op_topn_offer(struct op_topn *t, const struct topn_entry *e)
{
    if (!op_topn_wants(t, e->key)) return false;
    if (t->spec->has_after && topn_cmp(t->spec, e, &t->spec->after) <= 0) return false;
    if (t->count == t->spec->n && topn_cmp(t->spec, e, &t->heap[0]) > 0) return false;
    struct topn_entry copy = *e;
    copy.payload = STR_NONE;
    keep_strings(t, &copy);
    return insert(t, &copy);
}

void op_topn_merge(struct op_topn *into, const struct op_topn *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        (void)insert(into, &from->heap[i]);
}

void op_topn_close(struct op_topn *t)
{
    size_t cap = t->cap;
    t->heap = arena_grow(t->mem, t->heap, t->count, &cap, (size_t)t->count + t->ntied, sizeof *t->heap);
    for (uint32_t i = 0; i < t->ntied; i++)
        t->heap[t->count++] = t->tied[i];
    t->ntied = 0;
}

void op_topn_finish(struct op_topn *t, topn_settle_fn *settle)
{
    op_topn_close(t);
    /* Heap sort in place: the worst goes to the end, again and again. What was tied is no worse than the top, so the order of a heap is
     * made anew. */
    uint32_t n = t->count;
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(t, i);
    while (t->count > 1) {
        struct topn_entry worst = t->heap[0];
        t->heap[0] = t->heap[--t->count];
        sift_down(t, 0);
        t->heap[t->count] = worst;
    }
    for (uint32_t i = 0, end; settle && i < n; i = end) {
        for (end = i + 1; end < n && topn_cmp(t->spec, &t->heap[i], &t->heap[end]) == 0;)
            end++;
        if (end > i + 1) qsort(t->heap + i, end - i, sizeof *t->heap, settle);
    }
    t->count = MIN(n, t->spec->n);
}

bool op_topn_full_beyond(const struct op_topn *t, int64_t bound)
{
    if (t->spec->n == 0) return true;
    if (t->count < t->spec->n || t->spec->nkeys == 0) return false;
    struct val b = { .type = COL_I64, .i64 = bound };
    int c = val_cmp(&t->heap[0].key[0], &b);
    return t->heap[0].key[0].type && (t->spec->desc[0] ? c > 0 : c < 0);
}

bool op_topn_worst_i64(const struct op_topn *t, int64_t *worst)
{
    if (t->count < t->spec->n || t->count == 0 || t->spec->nkeys == 0 || t->heap[0].key[0].type != COL_I64) return false;
    *worst = t->heap[0].key[0].i64;
    return true;
}
