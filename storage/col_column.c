#include "base/core/assert.h"
#include "storage/col_codec.h"
#include "storage/table_grow.h"

#include <stdlib.h>

/* -- cursor ----------------------------------------------------------------------------------------- */

err_t cur_u8(struct cur *c, uint8_t *v)
{
    if (c->p >= c->end) return err_set(ERR_CORRUPT, "bytes end inside a value");
    *v = *c->p++;
    return OK;
}

err_t cur_varint(struct cur *c, uint64_t *v)
{
    const uint8_t *p = varint_get(c->p, c->end, v);
    if (!p) return err_set(ERR_CORRUPT, "a varint is cut or too long");
    c->p = p;
    return OK;
}

err_t cur_count(struct cur *c, uint32_t max, uint32_t *v)
{
    uint64_t x;
    TRY(cur_varint(c, &x));
    if (x > max) return err_set(ERR_CORRUPT, "a count of %llu, at most %u", (unsigned long long)x, max);
    *v = (uint32_t)x;
    return OK;
}

err_t cur_take(struct cur *c, size_t n, const uint8_t **p)
{
    if (n > (size_t)(c->end - c->p))
        return err_set(ERR_CORRUPT, "%zu bytes announced, %zu there", n, (size_t)(c->end - c->p));
    *p = c->p;
    c->p += n;
    return OK;
}

err_t cur_str(struct cur *c, size_t max, struct str *s)
{
    uint64_t n;
    const uint8_t *p = NULL;
    TRY(cur_varint(c, &n));
    if (n > max) return err_set(ERR_CORRUPT, "a string of %llu bytes, at most %zu", (unsigned long long)n, max);
    TRY(cur_take(c, (size_t)n, &p));
    *s = str_n(p, (size_t)n);
    return OK;
}

void buf_lstr(struct buf *b, struct str s)
{
    buf_varint(b, s.n);
    buf_str(b, s);
}

/* -- marks ------------------------------------------------------------------------------------------------- */

void col_marks_begin(struct col_marks *m, const struct buf *out)
{
    m->n = m->ndict = m->nvalues = 0;
    m->base = out->n;
}

void col_marks_deinit(struct col_marks *m) { free(m->end); }

static void mark(struct col_marks *m, const struct buf *out)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 128;
        m->end = realloc(m->end, m->cap * sizeof *m->end);
        ASSERT(m->end);
    }
    m->end[m->n++] = (uint32_t)(out->n - m->base); /* a column larger than that is refused as a chunk */
}

void col_mark_head(struct col_marks *m, const struct buf *out)
{
    if (!m) return;
    ASSERT(m->n == 0);
    mark(m, out);
}

void col_mark_dict(struct col_marks *m, const struct buf *out)
{
    if (!m) return;
    ASSERT(m->n > 0 && m->nvalues == 0);
    mark(m, out);
    m->ndict++;
}

void col_mark_values(struct col_marks *m, const struct buf *out)
{
    if (!m) return;
    ASSERT(m->n > 0);
    mark(m, out);
    m->nvalues++;
}

/* -- columns ------------------------------------------------------------------------------------------ */

/* The values of the rows that have one, side by side. */
static const uint8_t *dense_values(const struct column *c, uint32_t size, struct arena *a)
{
    if (!c->valid) return c->fix;
    uint8_t *to = arena_alloc(a, (size_t)c->nvalid * size), *at = to;
    for (uint32_t w = 0; w < (c->nrows + 63) / 64; w++)
        for (uint64_t bits = c->valid[w]; bits; bits &= bits - 1) {
            size_t row = w * 64u + (unsigned)__builtin_ctzll(bits);
            memcpy(at, c->fix + row * size, size);
            at += size;
        }
    ASSERT(at == to + (size_t)c->nvalid * size);
    return to;
}

static void encode_bools(const uint8_t *v, uint32_t n, struct arena *a, struct buf *out)
{
    uint64_t *bits = ARENA_ARRAY(a, uint64_t, n / 64 + 1);
    for (uint32_t i = 0; i < n; i++)
        bits[i / 64] |= (uint64_t)(v[i] != 0) << (i % 64);
    col_bits_encode(bits, n, out);
}

/* Blocks do not depend on each other: encoded one by one they are the same bytes. */
static void encode_blocks(const void *v, uint32_t n, enum col_type type, struct buf *out, struct col_marks *m)
{
    for (uint32_t i = 0; i < n; i += COL_BLOCK) {
        uint32_t k = MIN(n - i, (uint32_t)COL_BLOCK);
        switch (type) {
        case COL_I64: col_int_encode((const int64_t *)v + i, k, out); break;
        case COL_F64: col_f64_encode((const double *)v + i, k, out); break;
        default: col_code_encode((const uint32_t *)v + i, k, out); break;
        }
        col_mark_values(m, out);
    }
}

void col_column_encode(const struct column *c, enum col_level level, struct buf *out, struct col_marks *m)
{
    struct arena a;
    arena_init(&a, out->budget);
    if (m) col_marks_begin(m, out);
    col_bits_encode(c->valid, c->nrows, out);
    const void *v = dense_values(c, col_value_size(c->type, c->width), &a);
    switch (c->type) {
    case COL_I64:
    case COL_F64:
        col_mark_head(m, out);
        encode_blocks(v, c->nvalid, c->type, out, m);
        break;
    case COL_BOOL:
        encode_bools(v, c->nvalid, &a, out);
        col_mark_head(m, out);
        break;
    case COL_FIX: col_fix_encode(v, c->nvalid, c->width, level, out, m); break;
    case COL_STR:
    case COL_BYTES:
    case COL_JSON:
        col_dict_encode(&c->dict, level, out, m);
        encode_blocks(v, c->nvalid, c->type, out, m);
        break;
    default: UNREACHABLE();
    }
    arena_deinit(&a);
}

/* Moves n dense values to the rows that `valid` names, from the last to the first; the others become 0. */
static void spread(uint8_t *data, uint32_t nrows, uint32_t nvalid, const uint64_t *valid, uint32_t size)
{
    uint32_t from = nvalid;
    for (uint32_t row = nrows; row-- > 0;) {
        uint8_t *to = data + (size_t)row * size;
        if (valid[row / 64] >> (row % 64) & 1)
            memmove(to, data + (size_t)--from * size, size);
        else
            memset(to, 0, size);
    }
}

static err_t decode_bools(struct cur *cur, uint32_t n, struct arena *a, uint8_t *out)
{
    col_saw("bits");
    uint32_t ones;
    uint64_t *bits = ARENA_RAW(a, uint64_t, n / 64 + 1);
    TRY(col_bits_decode(cur, n, bits, &ones));
    for (uint32_t i = 0; i < n; i++)
        out[i] = bits[i / 64] >> (i % 64) & 1;
    return OK;
}

err_t col_column_decode(struct cur *cur, struct arena *a, struct column *c)
{
    uint32_t n = c->nrows, size = col_value_size(c->type, c->width);
    uint64_t *valid = ARENA_RAW(a, uint64_t, n / 64 + 1);
    TRY(col_bits_decode(cur, n, valid, &c->nvalid));
    if (c->nvalid == 0) return err_set(ERR_CORRUPT, "a column without values");
    c->valid = c->nvalid < n ? valid : NULL;
    uint8_t *data = arena_alloc(a, (size_t)n * size);
    TRY(arena_check(a));
    c->fix = data;
    switch (c->type) {
    case COL_I64: TRY(col_int_decode(cur, c->nvalid, (int64_t *)(void *)data)); break;
    case COL_F64: TRY(col_f64_decode(cur, c->nvalid, (double *)(void *)data)); break;
    case COL_BOOL: TRY(decode_bools(cur, c->nvalid, a, data)); break;
    case COL_FIX: TRY(col_fix_decode(cur, c->nvalid, c->width, data)); break;
    case COL_STR:
    case COL_BYTES:
    case COL_JSON:
        TRY(col_dict_decode(cur, c->nvalid, a, &c->dict));
        TRY(col_code_decode(cur, c->nvalid, c->dict.count, (uint32_t *)(void *)data));
        break;
    default: return err_set(ERR_CORRUPT, "a column of type %d", (int)c->type);
    }
    if (c->valid) spread(data, n, c->nvalid, valid, size);
    return OK;
}

/* -- few rows of many ----------------------------------------------------------------------------------- */

/* Of the rows: which have a value (bit i of has), and the numbers of these among all values of the column. */
static uint32_t rank_rows(const uint64_t *valid, const uint32_t *rows, uint32_t k, uint64_t *has, uint32_t *at)
{
    uint32_t n = 0, word = 0, before = 0; /* values in the words before `word` */
    for (uint32_t i = 0; i < k; i++) {
        for (; word < rows[i] / 64; word++)
            before += (uint32_t)__builtin_popcountll(valid[word]);
        uint64_t bit = UINT64_C(1) << (rows[i] % 64);
        if (!(valid[word] & bit)) continue;
        has[i / 64] |= UINT64_C(1) << (i % 64);
        at[n++] = before + (uint32_t)__builtin_popcountll(valid[word] & (bit - 1));
    }
    return n;
}

/* The k of n values that are numbered `at`. */
static err_t decode_values_at(struct cur *cur, uint32_t n, const uint32_t *at, uint32_t k, struct arena *a, struct column *c,
                              uint8_t *data)
{
    uint32_t size = col_value_size(c->type, c->width);
    switch (c->type) {
    case COL_I64: return col_int_decode_at(cur, n, at, k, (int64_t *)(void *)data);
    case COL_FIX: return col_fix_decode_at(cur, n, c->width, at, k, data);
    case COL_F64:
    case COL_BOOL: { /* rarely many */
        uint8_t *all = arena_alloc(a, (size_t)n * size);
        TRY(arena_check(a));
        TRY(c->type == COL_F64 ? col_f64_decode(cur, n, (double *)(void *)all) : decode_bools(cur, n, a, all));
        for (uint32_t i = 0; i < k; i++)
            memcpy(data + (size_t)i * size, all + (size_t)at[i] * size, size);
        return OK;
    }
    case COL_STR:
    case COL_BYTES:
    case COL_JSON:
        for (uint32_t i = 0; i < k; i++)
            memcpy(data + i * sizeof i, &i, sizeof i);
        return col_dict_decode_at(cur, n, at, k, a, &c->dict);
    default: return err_set(ERR_CORRUPT, "a column of type %d", (int)c->type);
    }
}

err_t col_few_begin(struct cur *cur, uint32_t nrows, const uint32_t *rows, uint32_t k, struct arena *tmp, struct arena *a,
                    struct column *c, struct col_few *few)
{
    *few = (struct col_few){ .at = ARENA_RAW(tmp, uint32_t, (size_t)k + 1) };
    few->data = arena_alloc(a, ((size_t)k + 1) * col_value_size(c->type, c->width));
    c->nrows = k;
    c->fix = few->data;
    c->valid = NULL;
    if (col_bits_skip_all(cur)) {
        few->n = nrows;
        few->k = k;
        TRY(arena_check(a));
        memcpy(few->at, rows, k * sizeof *rows);
    } else {
        uint64_t *valid = ARENA_RAW(tmp, uint64_t, nrows / 64 + 1), *has = ARENA_ARRAY(a, uint64_t, k / 64 + 1);
        TRY(arena_check(a));
        TRY(col_bits_decode(cur, nrows, valid, &few->n));
        few->k = rank_rows(valid, rows, k, has, few->at);
        few->has = has;
        if (few->k < k) c->valid = has;
    }
    c->nvalid = few->k;
    return OK;
}

void col_few_end(const struct col_few *few, struct column *c)
{
    if (c->valid && few->k) spread(few->data, c->nrows, few->k, few->has, col_value_size(c->type, c->width));
}

err_t col_column_decode_at(struct cur *cur, uint32_t nrows, const uint32_t *rows, uint32_t k, struct arena *a,
                           struct column *c)
{
    struct arena tmp;
    struct col_few few;
    arena_init(&tmp, a->budget);
    err_t e;
    TRY_OUT(e, col_few_begin(cur, nrows, rows, k, &tmp, a, c, &few));
    /* Without a value among them the rest of the bytes is nobody's. */
    if (few.k) TRY_OUT(e, decode_values_at(cur, few.n, few.at, few.k, a, c, few.data));
    col_few_end(&few, c);
out:
    arena_deinit(&tmp);
    return e;
}
