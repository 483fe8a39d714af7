/* The label sets of a memtable's series. Each pair of a name and a value stands there once, as bytes that canonical bytes are
 * put together from again, and has a number; a set is the numbers of its pairs. Of nine labels a series that is 40 bytes in the place
 * of 230. Pairs are found by hash, and listed by name; which series have a pair is entered later, by the first selection. */
#include "storage/mem_metric_impl.h"

#include "base/core/assert.h"
#include "base/core/varint.h"
#include "storage/seg_metric_write.h"

/* -- names and pairs ------------------------------------------------------------------------------------ */

uint32_t mem_name_find(const struct mem_index *x, struct str name)
{
    for (uint32_t it = 0, v; htab_next(&x->names, hash_seeded64(name), &it, &v);)
        if (str_eq(x->name[v].name, name)) return v;
    return UINT32_MAX;
}

static uint64_t pair_hash(uint32_t name, struct str value)
{
    return hash_seeded64(value) ^ hash_u64(name + 1);
}

uint32_t mem_pair_find(const struct mem_index *x, uint32_t name, struct str value)
{
    for (uint32_t it = 0, v; htab_next(&x->pairs, pair_hash(name, value), &it, &v);)
        if (x->pair[v].name == name && str_eq(mem_pair_value(&x->pair[v]), value)) return v;
    return UINT32_MAX;
}

struct pair { /* of canonical bytes */
    struct str bytes, name, value;
};

static struct str next_str(const uint8_t **p, const uint8_t *end)
{
    uint64_t n = 0;
    *p = varint_get(*p, end, &n);
    ASSERT(*p && n <= (size_t)(end - *p));
    struct str s = str_n(*p, (size_t)n);
    *p += n;
    return s;
}

static struct pair next_pair(const uint8_t **p, const uint8_t *end)
{
    const uint8_t *from = *p;
    struct pair out = { .name = next_str(p, end) };
    out.value = next_str(p, end);
    out.bytes = str_n(from, (size_t)(*p - from));
    return out;
}

static uint32_t add_name(struct mem_metric *m, struct mem_index *x, struct str name)
{
    x->name = mem_metric_grow(m, x->name, x->nnames, &x->cap_names, x->nnames + 1, sizeof *x->name);
    x->name[x->nnames] = (struct mem_name){ .name = name };
    htab_insert(&x->names, hash_seeded64(name), x->nnames);
    return x->nnames++;
}

static uint32_t add_pair(struct mem_metric *m, struct mem_index *x, const struct pair *p)
{
    const uint8_t *bytes = arena_dup(&m->mem, p->bytes.p, p->bytes.n);
    uint32_t name = mem_name_find(x, p->name);
    if (name == UINT32_MAX)
        name = add_name(m, x, str_n(bytes + (p->name.p - p->bytes.p), p->name.n));
    x->pair = mem_metric_grow(m, x->pair, x->npairs, &x->cap_pairs, x->npairs + 1, sizeof *x->pair);
    x->pair[x->npairs] = (struct mem_pair){ .bytes = bytes, .size = (uint32_t)p->bytes.n, .value_size = (uint32_t)p->value.n,
                                            .name = name, .next = x->name[name].first };
    htab_insert(&x->pairs, pair_hash(name, p->value), x->npairs);
    x->name[name].first = x->npairs + 1;
    return x->npairs++;
}

/* -- sets ------------------------------------------------------------------------------------------------ */

const uint32_t *mem_labels_put(struct mem_metric *m, struct mem_tenant *t, struct str canonical)
{
    struct mem_index *x = &t->index;
    const uint8_t *p = (const uint8_t *)canonical.p, *end = p + canonical.n;
    uint64_t n = 0;
    p = varint_get(p, end, &n);
    ASSERT(p && n <= LABELS_MAX);
    uint32_t *set = arena_alloc_aligned(&m->mem, (n + 1) * sizeof *set, sizeof *set);
    set[0] = (uint32_t)n;
    for (uint32_t i = 1; i <= n; i++) {
        struct pair at = next_pair(&p, end);
        uint32_t name = mem_name_find(x, at.name);
        set[i] = name == UINT32_MAX ? UINT32_MAX : mem_pair_find(x, name, at.value);
        if (set[i] == UINT32_MAX) set[i] = add_pair(m, x, &at);
    }
    return set;
}

struct labels mem_labels_get(const struct mem_tenant *t, const struct mem_series *s, struct arena *a)
{
    struct labels out = { .n = s->labels[0], .l = ARENA_RAW(a, struct label, s->labels[0]) };
    for (uint32_t i = 0; i < out.n; i++) {
        const struct mem_pair *p = &t->index.pair[s->labels[i + 1]];
        out.l[i] = (struct label){ t->index.name[p->name].name, mem_pair_value(p) };
    }
    return out;
}

struct str mem_labels_canonical(const struct mem_tenant *t, const struct mem_series *s, struct arena *a)
{
    const struct mem_pair *pair = t->index.pair;
    size_t n = VARINT_MAX;
    for (uint32_t i = 1; i <= s->labels[0]; i++)
        n += pair[s->labels[i]].size;
    uint8_t *bytes = arena_alloc_aligned(a, n, 1), *p = bytes + varint_put(bytes, s->labels[0]);
    for (uint32_t i = 1; i <= s->labels[0]; i++) {
        memcpy(p, pair[s->labels[i]].bytes, pair[s->labels[i]].size);
        p += pair[s->labels[i]].size;
    }
    return str_n(bytes, (size_t)(p - bytes));
}

static int by_name_and_value(const void *tenant, uint32_t a, uint32_t b)
{
    const struct mem_index *x = &((const struct mem_tenant *)tenant)->index;
    const struct mem_pair *p = &x->pair[a], *q = &x->pair[b];
    int c = p->name == q->name ? 0 : str_cmp(x->name[p->name].name, x->name[q->name].name);
    return c ? c : str_cmp(mem_pair_value(p), mem_pair_value(q));
}

err_t mem_labels_ranks(const struct mem_tenant *t, struct arena *a, uint32_t **ranks)
{
    uint32_t n = t->index.npairs, *order = ARENA_RAW(a, uint32_t, n);
    *ranks = ARENA_RAW(a, uint32_t, n);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    TRY(metric_sort(order, n, by_name_and_value, t));
    for (uint32_t i = 0; i < n; i++)
        (*ranks)[order[i]] = i;
    return OK;
}

int mem_series_order(const struct mem_series *x, const struct mem_series *y, const uint32_t *ranks)
{
    const uint32_t *p = x->labels, *q = y->labels;
    for (uint32_t i = 1; i <= MIN(p[0], q[0]); i++)
        if (p[i] != q[i]) return ranks[p[i]] < ranks[q[i]] ? -1 : 1;
    return (p[0] > q[0]) - (p[0] < q[0]);
}

/* -- which series have a pair ------------------------------------------------------------------------------ */

static void pair_series(struct mem_metric *m, struct mem_pair *p, uint32_t series)
{
    if (p->cap == 0 && p->count < ARRAY_LEN(p->few)) {
        p->few[p->count++] = series;
        return;
    }
    size_t cap = p->cap;
    if (p->count >= cap) {
        uint32_t few[2] = { p->few[0], p->few[1] };
        uint32_t *old = cap ? p->series : few;
        p->series = mem_metric_grow(m, old, p->count, &cap, p->count + 1, sizeof *p->series);
        p->cap = (uint32_t)cap;
    }
    p->series[p->count++] = series;
}

enum { INDEX_STEP = 256 };

bool mem_index_some(struct mem_metric *m, struct mem_tenant *t)
{
    struct mem_index *x = &t->index;
    uint32_t stop = MIN(t->nseries, x->upto + INDEX_STEP);
    for (; x->upto < stop; x->upto++) {
        const uint32_t *set = mem_series_at(t, x->upto)->labels;
        for (uint32_t i = 1; i <= set[0]; i++)
            pair_series(m, &x->pair[set[i]], x->upto);
    }
    return x->upto < t->nseries;
}
