/* Concatenation of tables, column by column: the columns of all inputs are united by (scope, name, type);
 * dictionaries are rewritten lazily, so that a picked row costs one look-up in a remap array and an entry that no
 * picked row uses disappears; dimension rows are deduplicated over the inputs by their content. */
#include "base/core/assert.h"
#include "storage/table_grow.h"

#include <stdlib.h>

struct source { /* column `col` of an input feeds output column `out` */
    uint32_t out, input;
    const struct column *col;
};

struct merge {
    const struct table **in; /* NULL where an input has no such part */
    uint32_t nin;
    const struct table_pick *order;
    uint32_t n;
    struct arena *a;       /* of the output */
    struct arena *scratch;
    uint64_t seed;
    void (*pause)(void);
    /* union of columns */
    struct source *sources; /* grouped by out */
    uint32_t nout;
    uint32_t *first;        /* nout + 1: sources of an output column */
};

static bool same_column(const struct column *a, const struct column *b)
{
    return a->type == b->type && a->scope == b->scope && str_eq(a->name, b->name) &&
           (a->type != COL_FIX || a->width == b->width);
}

static void unite_columns(struct merge *m)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < m->nin; i++)
        total += m->in[i] ? m->in[i]->ncols : 0;
    struct source *all = ARENA_RAW(m->scratch, struct source, total);
    const struct column **rep = ARENA_RAW(m->scratch, const struct column *, total);
    struct htab names;
    htab_init(&names, NULL);
    uint32_t n = 0;
    m->nout = 0;
    for (uint32_t i = 0; i < m->nin; i++) {
        for (uint32_t k = 0; m->in[i] && k < m->in[i]->ncols; k++) {
            const struct column *c = &m->in[i]->cols[k];
            uint64_t hash = column_name_hash(c->scope, c->type, c->name, m->seed);
            uint32_t out = GROW_NONE;
            for (uint32_t it = 0, v; out == GROW_NONE && htab_next(&names, hash, &it, &v);)
                if (same_column(rep[v], c)) out = v;
            if (out == GROW_NONE) {
                out = m->nout++;
                rep[out] = c;
                htab_insert(&names, hash, out);
            }
            all[n++] = (struct source){ out, i, c };
        }
    }
    htab_deinit(&names);
    ASSERT(m->nout <= TABLE_COLS_MAX); /* callers cut */
    m->first = ARENA_ARRAY(m->scratch, uint32_t, m->nout + 2);
    m->sources = ARENA_RAW(m->scratch, struct source, total);
    for (uint32_t i = 0; i < n; i++)
        m->first[all[i].out + 2]++;
    for (uint32_t o = 2; o < m->nout + 2; o++)
        m->first[o] += m->first[o - 1];
    for (uint32_t i = 0; i < n; i++)
        m->sources[m->first[all[i].out + 1]++] = all[i];
}

/* Copies fixed-size values; src[input] = the column of that input or NULL. Returns the number of values. */
static uint32_t copy_values(struct merge *m, const struct column *const *src, uint32_t size, uint8_t *data,
                            uint64_t *valid)
{
    uint32_t nvalid = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        const struct column *c = src[m->order[i].input];
        uint32_t row = m->order[i].row;
        uint8_t *to = data + (size_t)i * size;
        if (!c || !column_has(c, row)) {
            memset(to, 0, size);
            continue;
        }
        if (size == 8)
            memcpy(to, c->fix + (size_t)row * 8, 8);
        else
            memcpy(to, c->fix + (size_t)row * size, size);
        valid[i / 64] |= UINT64_C(1) << (i % 64);
        nvalid++;
    }
    return nvalid;
}

/* The entries that a dictionary of the output will have: where they stand in the inputs, copied once at the end. */
struct picked {
    uint32_t count, mask;
    struct grow_slot *slots; /* at most half full */
    struct str *entries;
    uint64_t bytes;
};

static struct picked picked_begin(struct merge *m, const struct column *const *src)
{
    uint64_t most = 0;
    uint32_t cap = 16;
    for (uint32_t i = 0; i < m->nin; i++)
        most += src[i] ? src[i]->dict.count : 0;
    most = MIN(most, m->n);
    while (cap < most * 2)
        cap *= 2;
    return (struct picked){ .mask = cap - 1, .slots = ARENA_ARRAY(m->scratch, struct grow_slot, cap),
                            .entries = ARENA_RAW(m->scratch, struct str, most) };
}

static uint32_t picked_add(struct picked *p, uint64_t seed, struct str v)
{
    uint64_t h = hash64_with(v, seed);
    uint32_t hash = (uint32_t)(h ^ h >> 32), at = hash & p->mask;
    for (; p->slots[at].code; at = (at + 1) & p->mask) {
        struct str have = p->entries[p->slots[at].code - 1];
        if (p->slots[at].hash == hash && have.n == v.n && grow_equal(have.p, v.p, v.n)) return p->slots[at].code - 1;
    }
    p->slots[at] = (struct grow_slot){ hash, p->count + 1 };
    p->entries[p->count] = v;
    p->bytes += v.n;
    return p->count++;
}

static struct dict picked_finish(const struct picked *p, struct arena *a)
{
    ASSERT(p->bytes < UINT32_MAX);
    uint32_t *offset = ARENA_RAW(a, uint32_t, (size_t)p->count + 1);
    char *bytes = arena_alloc_aligned(a, (size_t)p->bytes + 1, 1);
    offset[0] = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        struct str v = p->entries[i];
        if (v.n) memcpy(bytes + offset[i], v.p, v.n);
        offset[i + 1] = offset[i] + (uint32_t)v.n;
    }
    return (struct dict){ .count = p->count, .offset = offset, .bytes = bytes };
}

static uint32_t copy_codes(struct merge *m, const struct column *const *src, uint32_t *data, uint64_t *valid,
                           struct picked *d)
{
    uint32_t nvalid = 0;
    uint32_t **remap = ARENA_ARRAY(m->scratch, uint32_t *, m->nin);
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t input = m->order[i].input, row = m->order[i].row;
        const struct column *c = src[input];
        data[i] = 0;
        if (!c || !column_has(c, row)) continue;
        if (!remap[input]) {
            remap[input] = ARENA_RAW(m->scratch, uint32_t, c->dict.count);
            memset(remap[input], 0xff, c->dict.count * sizeof(uint32_t));
        }
        uint32_t *code = &remap[input][c->code[row]];
        if (*code == GROW_NONE) *code = picked_add(d, m->seed, dict_get(&c->dict, c->code[row]));
        data[i] = *code;
        valid[i / 64] |= UINT64_C(1) << (i % 64);
        nvalid++;
    }
    return nvalid;
}

/* False when no picked row has a value: then the output has no such column. */
static bool merge_column(struct merge *m, uint32_t out, struct column *to)
{
    const struct source *s = &m->sources[m->first[out]], *end = &m->sources[m->first[out + 1]];
    const struct column *c = s->col;
    struct arena_mark scratch = arena_mark(m->scratch), mark = arena_mark(m->a);
    const struct column **src = ARENA_ARRAY(m->scratch, const struct column *, m->nin);
    for (; s < end; s++)
        src[s->input] = s->col;
    uint32_t size = col_value_size(c->type, c->width);
    uint64_t *valid = ARENA_ARRAY(m->a, uint64_t, (m->n + 63) / 64);
    uint8_t *data = arena_alloc(m->a, (size_t)m->n * size);
    *to = (struct column){ .type = c->type, .scope = c->scope, .width = c->width, .nrows = m->n, .fix = data };
    bool dict = col_is_dict(c->type);
    struct picked d = dict ? picked_begin(m, src) : (struct picked){ 0 };
    to->nvalid = dict ? copy_codes(m, src, (uint32_t *)(void *)data, valid, &d) : copy_values(m, src, size, data, valid);
    if (to->nvalid) {
        to->name = arena_str(m->a, c->name);
        to->valid = to->nvalid < m->n ? valid : NULL;
        if (dict) to->dict = picked_finish(&d, m->a);
    } else {
        arena_rollback(m->a, mark);
    }
    arena_rollback(m->scratch, scratch);
    return to->nvalid > 0;
}

static void merge_part(struct merge *m, struct table *t)
{
    unite_columns(m);
    t->nrows = m->n;
    t->cols = ARENA_RAW(m->a, struct column, m->nout);
    t->ncols = 0;
    for (uint32_t o = 0; o < m->nout; o++) {
        if (merge_column(m, o, &t->cols[t->ncols])) t->ncols++;
        if (m->pause) m->pause();
    }
}

static void merge_dim(const struct merge *rows, struct table *const *inputs, int d, struct table *t)
{
    uint32_t total = 0;
    uint32_t *base = ARENA_RAW(rows->scratch, uint32_t, rows->nin + 1);
    bool any = false;
    for (uint32_t i = 0; i < rows->nin; i++) {
        base[i] = total;
        total += inputs[i]->dim[d] ? inputs[i]->dim[d]->nrows : 1; /* 1: the empty row of inputs without */
        any |= inputs[i]->dim[d] != NULL;
    }
    if (!any || rows->n == 0) return;
    uint32_t *remap = ARENA_RAW(rows->scratch, uint32_t, total);
    memset(remap, 0xff, total * sizeof *remap);
    uint32_t *dim_row = ARENA_RAW(rows->a, uint32_t, rows->n);
    struct grow g;
    grow_init(&g, rows->scratch, rows->seed);
    for (uint32_t i = 0; i < rows->n; i++) {
        uint32_t input = rows->order[i].input;
        const struct table *dim = inputs[input]->dim[d];
        uint32_t from = dim ? inputs[input]->dim_row[d][rows->order[i].row] : 0;
        uint32_t *to = &remap[base[input] + from];
        if (*to == GROW_NONE) {
            grow_row(&g);
            for (uint32_t k = 0; dim && k < dim->ncols; k++)
                if (column_has(&dim->cols[k], from)) grow_set_from(&g, &dim->cols[k], from);
            *to = grow_commit(&g);
        }
        dim_row[i] = *to;
    }
    t->dim[d] = ARENA_NEW(rows->a, struct table);
    grow_finish(&g, rows->a, t->dim[d]);
    t->dim_row[d] = dim_row;
    grow_deinit(&g);
}

static void merge_child(const struct merge *rows, struct table *const *inputs, int c, struct table *t)
{
    uint32_t *first = ARENA_RAW(rows->scratch, uint32_t, rows->n + 1);
    uint64_t total = 0;
    for (uint32_t i = 0; i < rows->n; i++) {
        const struct table *in = inputs[rows->order[i].input];
        uint32_t r = rows->order[i].row;
        first[i] = (uint32_t)total;
        if (in->child[c]) total += in->child_first[c][r + 1] - in->child_first[c][r];
    }
    if (total == 0) return;
    ASSERT(total <= TABLE_CHILD_ROWS_MAX); /* callers cut */
    first[rows->n] = (uint32_t)total;
    struct merge m = *rows;
    struct table_pick *order = ARENA_RAW(rows->scratch, struct table_pick, total);
    m.order = order;
    m.n = (uint32_t)total;
    m.in = ARENA_RAW(rows->scratch, const struct table *, rows->nin);
    for (uint32_t i = 0; i < rows->nin; i++)
        m.in[i] = inputs[i]->child[c];
    for (uint32_t i = 0, k = 0; i < rows->n; i++) {
        const struct table *in = inputs[rows->order[i].input];
        uint32_t r = rows->order[i].row;
        for (uint32_t e = in->child[c] ? in->child_first[c][r] : 0; k < first[i + 1]; e++)
            order[k++] = (struct table_pick){ rows->order[i].input, e };
    }
    t->child[c] = ARENA_NEW(rows->a, struct table);
    merge_part(&m, t->child[c]);
    t->child[c]->tmin_ns = INT64_MAX;
    t->child[c]->tmax_ns = INT64_MIN;
    t->child_first[c] = arena_dup(rows->a, first, (rows->n + 1) * sizeof *first);
}

struct table *table_merge_paused(struct table *const *inputs, uint32_t ninputs, const struct table_pick *order,
                                 uint32_t norder, struct str time_column, struct budget *budget,
                                 void (*pause)(void))
{
    struct arena scratch;
    arena_init(&scratch, budget);
    if (!order) {
        norder = 0;
        for (uint32_t i = 0; i < ninputs; i++)
            norder += inputs[i]->nrows;
        struct table_pick *all = ARENA_RAW(&scratch, struct table_pick, norder);
        for (uint32_t i = 0, k = 0; i < ninputs; i++)
            for (uint32_t r = 0; r < inputs[i]->nrows; r++)
                all[k++] = (struct table_pick){ i, r };
        order = all;
    }
    ASSERT(norder <= TABLE_ROWS_MAX);
    struct table *t = table_new(budget, ARENA_BLOCK_DEFAULT);
    struct merge m = { .nin = ninputs, .order = order, .n = norder, .a = &t->mem, .scratch = &scratch,
                       .seed = hash_seeded64(STR("table")), .pause = pause };
    m.in = ARENA_RAW(&scratch, const struct table *, ninputs);
    for (uint32_t i = 0; i < ninputs; i++)
        m.in[i] = inputs[i];
    merge_part(&m, t);
    for (int d = 0; d < DIM_COUNT; d++)
        merge_dim(&m, inputs, d, t);
    for (int c = 0; c < CHILD_COUNT; c++)
        merge_child(&m, inputs, c, t);
    table_set_times(t, time_column);
    arena_deinit(&scratch);
    return t;
}

struct table *table_merge(struct table *const *inputs, uint32_t ninputs, const struct table_pick *order,
                          uint32_t norder, struct str time_column, struct budget *budget)
{
    return table_merge_paused(inputs, ninputs, order, norder, time_column, budget, NULL);
}

/* -- what fits together ------------------------------------------------------------------------------------ */

bool table_fit_add(struct table_fit *f, const struct table *t)
{
    const struct table *part[ARRAY_LEN(f->names)] = { t, t->dim[DIM_RESOURCE], t->dim[DIM_SCOPE],
                                                      t->child[CHILD_EVENTS], t->child[CHILD_LINKS] };
    uint64_t seed = hash_seeded64(STR("fit"));
    bool fits = true;
    for (size_t p = 0; p < ARRAY_LEN(part); p++) {
        for (uint32_t i = 0; part[p] && i < part[p]->ncols; i++) {
            const struct column *c = &part[p]->cols[i];
            hash_set_add(&f->names[p], column_name_hash(c->scope, c->type, c->name, seed));
        }
        fits &= f->names[p].count <= GROW_ATTR_COLS_MAX;
    }
    return fits;
}

void table_fit_reset(struct table_fit *f)
{
    for (size_t p = 0; p < ARRAY_LEN(f->names); p++)
        hash_set_deinit(&f->names[p]);
}

bool tables_fit_together(const struct table *const *tables, uint32_t n)
{
    struct table_fit f = { 0 };
    uint64_t children[CHILD_COUNT] = { 0 };
    bool fits = true;
    for (uint32_t i = 0; i < n && fits; i++) {
        fits = table_fit_add(&f, tables[i]);
        for (int c = 0; c < CHILD_COUNT; c++) {
            children[c] += tables[i]->child[c] ? tables[i]->child[c]->nrows : 0;
            fits &= children[c] <= TABLE_CHILD_ROWS_MAX;
        }
    }
    table_fit_reset(&f);
    return fits;
}
