#include "query/promql/eval.h"

#include <xxhash.h>

struct pq_row *pq_row_add(struct arena *a, struct pq_matrix *m, struct labels labels, uint32_t steps)
{
    m->rows = arena_grow(a, m->rows, m->n, &m->cap, m->n + 1, sizeof *m->rows);
    struct pq_row *r = &m->rows[m->n++];
    *r = (struct pq_row){ .labels = labels, .have = arena_calloc(a, steps, 1), .v = ARENA_RAW(a, double, steps) };
    return r;
}

void pq_set_hist(struct arena *a, struct pq_row *r, uint32_t i, uint32_t steps, const struct pq_hist *h)
{
    if (!r->h) r->h = arena_calloc(a, steps, sizeof *r->h);
    r->have[i] = PQ_CELL_HIST;
    r->h[i] = h;
    r->v[i] = 0;
}

void pq_copy_cell(struct arena *a, struct pq_row *to, const struct pq_row *from, uint32_t i, uint32_t steps)
{
    if (from->have[i] == PQ_CELL_FLOAT) pq_set_float(to, i, from->v[i]);
    else if (from->have[i] == PQ_CELL_HIST) pq_set_hist(a, to, i, steps, from->h[i]);
}

void pq_rows_trim(struct pq_matrix *m, uint32_t steps)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t k = 0;
        while (k < steps && !m->rows[i].have[k]) k++;
        if (k < steps) m->rows[n++] = m->rows[i];
    }
    m->n = n;
}

struct labels pq_labels_copy(struct arena *a, const struct labels *l)
{
    struct labels out = { l->n, ARENA_RAW(a, struct label, l->n) };
    for (uint32_t i = 0; i < l->n; i++)
        out.l[i] = (struct label){ arena_str(a, l->l[i].name), arena_str(a, l->l[i].value) };
    return out;
}

bool pq_labels_equal(const struct labels *x, const struct labels *y)
{
    if (x->n != y->n) return false;
    for (uint32_t i = 0; i < x->n; i++)
        if (!str_eq(x->l[i].name, y->l[i].name) || !str_eq(x->l[i].value, y->l[i].value)) return false;
    return true;
}

int pq_labels_cmp(const struct labels *x, const struct labels *y)
{
    for (uint32_t i = 0; i < x->n && i < y->n; i++) {
        int c = str_cmp(x->l[i].name, y->l[i].name);
        if (c == 0) c = str_cmp(x->l[i].value, y->l[i].value);
        if (c) return c;
    }
    return x->n < y->n ? -1 : x->n > y->n;
}

/* XXH64 of name 0xff value 0xff ...: the value that limit_ratio is defined by. */
uint64_t pq_labels_hash(const struct labels *l)
{
    struct buf b;
    buf_init(&b, SIZE_MAX, NULL);
    for (uint32_t i = 0; i < l->n; i++) {
        buf_str(&b, l->l[i].name);
        buf_byte(&b, 0xff);
        buf_str(&b, l->l[i].value);
        buf_byte(&b, 0xff);
    }
    uint64_t h = XXH64(b.n ? b.p : "", b.n, 0);
    buf_deinit(&b);
    return h;
}

bool pq_label_in(struct str name, const struct str *set, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(name, set[i])) return true;
    return false;
}

struct labels pq_labels_pick(struct arena *a, const struct labels *l, const struct str *set, uint32_t n, bool keep)
{
    struct labels out = { 0, ARENA_RAW(a, struct label, l->n) };
    for (uint32_t i = 0; i < l->n; i++)
        if (pq_label_in(l->l[i].name, set, n) == keep) out.l[out.n++] = l->l[i];
    return out;
}

struct labels pq_labels_unnamed(struct arena *a, const struct labels *l)
{
    static const struct str reserved[] = { { "__name__", 8 }, { "__type__", 8 }, { "__unit__", 8 } };
    return pq_labels_pick(a, l, reserved, 3, false);
}

struct labels pq_labels_set(struct arena *a, const struct labels *l, struct str name, struct str value)
{
    struct labels out = { 0, ARENA_RAW(a, struct label, l->n + 1) };
    bool done = value.n == 0;
    for (uint32_t i = 0; i < l->n; i++) {
        int c = str_cmp(l->l[i].name, name);
        if (c > 0 && !done) {
            out.l[out.n++] = (struct label){ name, value };
            done = true;
        }
        if (c != 0) out.l[out.n++] = l->l[i];
    }
    if (!done) out.l[out.n++] = (struct label){ name, value };
    return out;
}

struct str pq_labels_text(struct arena *a, const struct labels *l)
{
    struct buf b;
    buf_init(&b, 1 << 22, NULL);
    buf_byte(&b, '{');
    for (uint32_t i = 0; i < l->n; i++) {
        if (i) buf_z(&b, ", ");
        struct matcher m = { .name = l->l[i].name, .value = l->l[i].value };
        pq_print_matcher(&m, &b);
    }
    buf_byte(&b, '}');
    struct str out = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return out;
}

void pq_rowset_init(struct pq_rowset *s, struct pq_matrix *m)
{
    s->m = m;
    htab_init(&s->index, NULL);
}

void pq_rowset_deinit(struct pq_rowset *s) { htab_deinit(&s->index); }

struct pq_row *pq_rowset_get(struct pq_rowset *s, struct arena *a, struct labels labels, uint32_t steps)
{
    uint64_t h = pq_labels_hash(&labels);
    for (uint32_t it = 0, v; htab_next(&s->index, h, &it, &v);)
        if (pq_labels_equal(&s->m->rows[v].labels, &labels)) return &s->m->rows[v];
    htab_insert(&s->index, h, s->m->n);
    return pq_row_add(a, s->m, labels, steps);
}
