#include "storage/table_grow.h"

#include "base/core/assert.h"

#include <stdlib.h>

/* -- dictionaries --------------------------------------------------------------------------------- */

static void dict_rehash(struct grow_dict *d, struct arena *a)
{
    uint32_t cap = d->slots ? (d->mask + 1) * 2 : 16;
    struct grow_slot *slots = ARENA_ARRAY(a, struct grow_slot, cap);
    for (uint32_t i = 0; d->slots && i <= d->mask; i++) {
        if (!d->slots[i].code) continue;
        uint32_t at = d->slots[i].hash & (cap - 1);
        while (slots[at].code)
            at = (at + 1) & (cap - 1);
        slots[at] = d->slots[i];
    }
    d->slots = slots;
    d->mask = cap - 1;
}

uint32_t grow_dict_find(struct grow_dict *d, struct arena *a, uint64_t seed, struct str v)
{
    if (!d->slots || d->count * 2 > d->mask) dict_rehash(d, a);
    uint64_t h = hash64_with(v, seed);
    uint32_t hash = (uint32_t)(h ^ h >> 32);
    uint32_t at = hash & d->mask;
    for (; d->slots[at].code; at = (at + 1) & d->mask) {
        if (d->slots[at].hash != hash) continue;
        uint32_t code = d->slots[at].code - 1, from = d->offset[code];
        if (d->offset[code + 1] - from == v.n && grow_equal(d->bytes + from, v.p, v.n))
            return d->last = code;
    }
    ASSERT(v.n <= UINT32_MAX - d->nbytes);
    d->offset = arena_grow(a, d->offset, d->count + (d->count > 0), &d->offset_cap, d->count + 2, sizeof *d->offset);
    if (d->nbytes + v.n + 1 > d->bytes_cap)
        d->bytes = arena_grow(a, d->bytes, d->nbytes, &d->bytes_cap, MAX(d->nbytes + v.n + 1, 64), 1);
    if (v.n) memcpy(d->bytes + d->nbytes, v.p, v.n);
    d->offset[0] = 0;
    d->nbytes += v.n;
    d->offset[d->count + 1] = (uint32_t)d->nbytes;
    d->slots[at] = (struct grow_slot){ hash, d->count + 1 };
    return d->last = d->count++;
}

struct dict grow_dict_finish(const struct grow_dict *d, struct arena *a)
{
    uint32_t *offset = ARENA_RAW(a, uint32_t, d->count + 1);
    if (d->count) memcpy(offset, d->offset, (d->count + 1) * sizeof *offset);
    offset[0] = 0;
    char *bytes = arena_alloc_aligned(a, d->nbytes + 1, 1);
    if (d->nbytes) memcpy(bytes, d->bytes, d->nbytes);
    return (struct dict){ .count = d->count, .offset = offset, .bytes = bytes };
}

/* -- one growing table ---------------------------------------------------------------------------- */

void grow_init(struct grow *g, struct arena *scratch, uint64_t seed)
{
    *g = (struct grow){ .a = scratch, .seed = seed, .first = { GROW_NONE, GROW_NONE }, .prev = GROW_NONE };
    htab_init(&g->by_name, scratch->budget);
    htab_init(&g->by_key, scratch->budget);
}

void grow_deinit(struct grow *g)
{
    htab_deinit(&g->by_name);
    htab_deinit(&g->by_key);
}

uint64_t column_name_hash(enum col_scope s, enum col_type type, struct str name, uint64_t seed)
{
    return hash_u64(hash64_with(name, seed) + (uint64_t)s * 16 + (uint64_t)type);
}

static inline bool col_matches(const struct grow_col *c, enum col_scope s, enum col_type type, struct str name)
{
    return c->name.n == name.n && c->type == type && c->scope == s && grow_equal(c->name.p, name.p, name.n);
}

static uint32_t col_new(struct grow *g, enum col_scope s, struct str name, enum col_type type, uint32_t width,
                        uint64_t hash)
{
    g->cols = arena_grow(g->a, g->cols, g->ncols, &g->cols_cap, g->ncols + 1, sizeof *g->cols);
    if (!g->touched) g->touched = ARENA_RAW(g->a, uint16_t, TABLE_COLS_MAX);
    struct grow_col *c = &g->cols[g->ncols];
    *c = (struct grow_col){ .name = arena_str(g->a, name), .type = type, .scope = s, .width = width,
                            .next = { GROW_NONE, GROW_NONE } };
    htab_insert(&g->by_name, hash, g->ncols);
    return g->ncols++;
}

/* The column by the second guess, by hash, or a new one; remembers it behind the previous one. */
static uint32_t col_find(struct grow *g, enum col_scope s, struct str name, enum col_type type, uint32_t width)
{
    uint32_t *next = g->prev == GROW_NONE ? g->first : g->cols[g->prev].next;
    uint32_t found = next[1];
    if (found >= g->ncols || !col_matches(&g->cols[found], s, type, name)) {
        uint64_t hash = column_name_hash(s, type, name, g->seed);
        found = GROW_NONE;
        for (uint32_t it = 0, v; found == GROW_NONE && htab_next(&g->by_name, hash, &it, &v);)
            if (col_matches(&g->cols[v], s, type, name)) found = v;
        if (found == GROW_NONE) {
            uint32_t max = s == SC_SELF ? TABLE_COLS_MAX : GROW_ATTR_COLS_MAX;
            if (g->ncols >= max || name.n > TABLE_NAME_MAX) return GROW_NONE;
            found = col_new(g, s, name, type, width, hash);
            next = g->prev == GROW_NONE ? g->first : g->cols[g->prev].next;
        }
    }
    next[1] = next[0];
    next[0] = found;
    return found;
}

static void col_reserve(struct grow *g, struct grow_col *c, uint32_t rows)
{
    uint32_t cap = MAX(c->cap * 2, 64);
    while (cap < rows)
        cap *= 2;
    void *data = arena_alloc(g->a, (size_t)cap * c->width);
    uint64_t *valid = ARENA_RAW(g->a, uint64_t, cap / 64);
    if (c->n) memcpy(data, c->data, (size_t)c->n * c->width);
    memset(valid, 0, cap / 8);
    if (c->cap) memcpy(valid, c->valid, c->cap / 8);
    c->data = data;
    c->valid = valid;
    c->cap = cap;
}

struct grow_col *grow_cell(struct grow *g, enum col_scope s, struct str name, enum col_type type, uint32_t width)
{
    uint32_t i = g->prev == GROW_NONE ? g->first[0] : g->cols[g->prev].next[0];
    if (__builtin_expect(i >= g->ncols || !col_matches(&g->cols[i], s, type, name), 0)) {
        i = col_find(g, s, name, type, width);
        if (i == GROW_NONE) {
            g->dropped++;
            return NULL;
        }
    }
    g->prev = i;
    struct grow_col *c = &g->cols[i];
    ASSERT_HOT(c->width == width && g->nrows > 0);
    uint32_t row = g->nrows - 1;
    if (__builtin_expect(row >= c->cap, 0)) col_reserve(g, c, row + 1);
    if (__builtin_expect(c->n <= row, 1)) {
        if (c->n < row) memset((char *)c->data + (size_t)c->n * width, 0, (size_t)(row - c->n) * width);
        c->n = row + 1;
        c->nvalid++;
        c->valid[row / 64] |= UINT64_C(1) << (row % 64);
        g->touched[g->ntouched++] = (uint16_t)i;
    }
    return c;
}

void grow_set_i64(struct grow *g, enum col_scope s, struct str name, int64_t v)
{
    struct grow_col *c = grow_cell(g, s, name, COL_I64, 8);
    if (c) c->i64[g->nrows - 1] = v;
}

void grow_set_str(struct grow *g, enum col_scope s, struct str name, enum col_type type, struct str v)
{
    struct grow_col *c = grow_cell(g, s, name, type, 4);
    if (c) c->code[g->nrows - 1] = grow_dict_add(&c->dict, g->a, g->seed, v);
}

void grow_set_raw(struct grow *g, enum col_scope s, struct str name, enum col_type type, const void *p,
                  uint32_t width)
{
    struct grow_col *c = grow_cell(g, s, name, type, width);
    if (!c) return;
    if (width == 8)
        memcpy(c->byte + (size_t)(g->nrows - 1) * 8, p, 8);
    else
        memcpy(c->byte + (size_t)(g->nrows - 1) * width, p, width);
}

void grow_set_from(struct grow *g, const struct column *c, uint32_t row)
{
    if (col_is_dict(c->type)) {
        grow_set_str(g, c->scope, c->name, c->type, column_str(c, row));
    } else {
        uint32_t size = col_value_size(c->type, c->width);
        grow_set_raw(g, c->scope, c->name, c->type, c->fix + (size_t)row * size, size);
    }
}

void grow_account_dropped(struct grow *g)
{
    int64_t n = g->dropped;
    if (n == 0) return;
    uint32_t touched = g->ntouched;
    struct grow_col *c = grow_cell(g, SC_SELF, STR("dropped_attributes"), COL_I64, 8);
    g->dropped = 0;
    if (!c) return;
    bool fresh = g->ntouched > touched; /* a cell just made is not zeroed */
    uint32_t row = g->nrows - 1;
    c->i64[row] = fresh ? n : c->i64[row] + n;
}

static void col_clear(struct grow_col *c, uint32_t from)
{
    for (uint32_t r = from; r < c->n; r++) {
        uint64_t bit = UINT64_C(1) << (r % 64);
        c->nvalid -= (c->valid[r / 64] & bit) != 0;
        c->valid[r / 64] &= ~bit;
    }
    c->n = from;
}

void grow_drop_row(struct grow *g)
{
    ASSERT(g->nrows > 0);
    for (uint32_t i = 0; i < g->ntouched; i++)
        col_clear(&g->cols[g->touched[i]], g->nrows - 1);
    g->nrows--;
    g->ntouched = 0;
    g->dropped = 0;
    g->prev = GROW_NONE;
}

void grow_truncate(struct grow *g, uint32_t nrows)
{
    if (g->nrows <= nrows) return;
    for (uint32_t i = 0; i < g->ncols; i++)
        if (g->cols[i].n > nrows) col_clear(&g->cols[i], nrows);
    g->nrows = nrows;
    g->ntouched = 0;
    g->dropped = 0;
    g->prev = GROW_NONE;
}

static int by_number(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

uint32_t grow_commit(struct grow *g)
{
    grow_account_dropped(g);
    /* Within one growing table equal values have equal codes, so (column, value or code) is the row. */
    if (g->ntouched > 1) qsort(g->touched, g->ntouched, sizeof *g->touched, by_number);
    struct arena_mark mark = arena_mark(g->a);
    uint32_t row = g->nrows - 1;
    char *key = arena_alloc(g->a, (size_t)g->ntouched * 18), *at = key;
    for (uint32_t i = 0; i < g->ntouched; i++) {
        const struct grow_col *c = &g->cols[g->touched[i]];
        memcpy(at, &g->touched[i], 2);
        memcpy(at + 2, c->byte + (size_t)row * c->width, c->width);
        at += 2 + c->width;
    }
    struct str k = { key, (size_t)(at - key) };
    uint64_t hash = hash64_with(k, g->seed);
    for (uint32_t it = 0, v; htab_next(&g->by_key, hash, &it, &v);) {
        if (!str_eq(g->keys[v], k)) continue;
        arena_rollback(g->a, mark);
        grow_drop_row(g);
        return v;
    }
    g->keys = arena_grow(g->a, g->keys, row, &g->keys_cap, row + 1, sizeof *g->keys);
    g->keys[row] = k;
    htab_insert(&g->by_key, hash, row);
    return row;
}

/* -- finishing ------------------------------------------------------------------------------------ */

size_t grow_bytes(const struct grow *g)
{
    size_t bytes = 64;
    for (uint32_t i = 0; i < g->ncols; i++) {
        const struct grow_col *c = &g->cols[i];
        bytes += sizeof(struct column) + c->name.n + 64 + (size_t)g->nrows * c->width + g->nrows / 8;
        if (col_is_dict(c->type)) bytes += c->dict.nbytes + c->dict.count * sizeof(uint32_t) + 64;
    }
    return bytes;
}

/* Drops the entries that no row uses any more (values overwritten, rows dropped), so that a dictionary never
 * has more entries than its column has values. */
static struct dict compact_dict(const struct grow_col *c, uint32_t *codes, struct arena *a)
{
    uint32_t *remap = malloc(c->dict.count * sizeof *remap), *kept = malloc(c->dict.count * sizeof *kept);
    ASSERT(remap && kept);
    memset(remap, 0xff, c->dict.count * sizeof *remap);
    uint32_t count = 0;
    size_t bytes = 0;
    for (uint32_t r = 0; r < c->n; r++) {
        if (!(c->valid[r / 64] >> (r % 64) & 1)) {
            codes[r] = 0;
            continue;
        }
        uint32_t *to = &remap[codes[r]];
        if (*to == GROW_NONE) {
            bytes += c->dict.offset[codes[r] + 1] - c->dict.offset[codes[r]];
            kept[count] = codes[r];
            *to = count++;
        }
        codes[r] = *to;
    }
    uint32_t *offset = ARENA_RAW(a, uint32_t, count + 1);
    char *to = arena_alloc_aligned(a, bytes + 1, 1);
    offset[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = c->dict.offset[kept[i]], n = c->dict.offset[kept[i] + 1] - from;
        memcpy(to + offset[i], c->dict.bytes + from, n);
        offset[i + 1] = offset[i] + n;
    }
    free(remap);
    free(kept);
    return (struct dict){ .count = count, .offset = offset, .bytes = to };
}

static void finish_col(const struct grow_col *c, uint32_t nrows, struct arena *a, struct column *out)
{
    *out = (struct column){ .type = c->type, .scope = c->scope, .width = c->type == COL_FIX ? c->width : 0,
                            .name = arena_str(a, c->name), .nrows = nrows, .nvalid = c->nvalid };
    char *data = arena_alloc(a, (size_t)nrows * c->width);
    memcpy(data, c->data, (size_t)c->n * c->width);
    memset(data + (size_t)c->n * c->width, 0, (size_t)(nrows - c->n) * c->width);
    out->fix = (const uint8_t *)data;
    if (c->nvalid < nrows) {
        uint32_t words = (nrows + 63) / 64, have = MIN(words, c->cap / 64);
        uint64_t *valid = ARENA_RAW(a, uint64_t, words);
        memcpy(valid, c->valid, have * sizeof *valid);
        memset(valid + have, 0, (words - have) * sizeof *valid);
        out->valid = valid;
    }
    if (!col_is_dict(c->type)) return;
    if (c->dict.count > c->nvalid)
        out->dict = compact_dict(c, (uint32_t *)(void *)data, a);
    else
        out->dict = grow_dict_finish(&c->dict, a);
}

void grow_finish(const struct grow *g, struct arena *a, struct table *t)
{
    t->nrows = g->nrows;
    t->cols = ARENA_RAW(a, struct column, g->ncols);
    t->ncols = 0;
    for (uint32_t i = 0; i < g->ncols; i++)
        if (g->cols[i].nvalid) finish_col(&g->cols[i], g->nrows, a, &t->cols[t->ncols++]);
    t->tmin_ns = INT64_MAX;
    t->tmax_ns = INT64_MIN;
}
