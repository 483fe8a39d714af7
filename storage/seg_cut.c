#include "storage/seg_cut.h"

#include "base/core/assert.h"
#include "storage/seg_rows.h"
#include "storage/table_grow.h"

#include <stdlib.h>

enum { PIECE_BYTES = 8, HEAD_AHEAD_MAX = 128 << 10, DICT_AHEAD_MAX = 128 << 10, PIECES_AHEAD_MAX = 4 };

/* -- writing ----------------------------------------------------------------------------------------------- */

static void put_piece(struct str chunk, uint32_t from, uint32_t to, struct buf *out)
{
    uint32_t entry[2] = { to, (uint32_t)hash64(str_sub(chunk, from, to)) };
    _Static_assert(sizeof entry == PIECE_BYTES, "as the reader takes it");
    buf_put(out, entry, sizeof entry);
}

/* How many of n blocks, all together so many bytes, make a piece. */
static uint32_t blocks_a_piece(uint32_t n, uint32_t bytes)
{
    return n ? MAX(1, (uint32_t)((uint64_t)SEG_CUT_PIECE * n / MAX(bytes, 1))) : 1;
}

/* The ends of n blocks that begin at `from`, every so many; the end of the last. */
static uint32_t put_pieces(struct str chunk, uint32_t from, const uint32_t *end, uint32_t n, uint32_t every, struct buf *out)
{
    for (uint32_t i = 0; i < n; i += MIN(every, n - i)) {
        uint32_t to = end[i + MIN(every, n - i) - 1];
        put_piece(chunk, from, to, out);
        from = to;
    }
    return from;
}

static uint32_t pieces_of(uint32_t blocks, uint32_t every) { return blocks / every + (blocks % every != 0); }

void seg_cut_put(const struct col_marks *m, struct str chunk, enum col_type type, struct buf *out)
{
    if (chunk.n < SEG_CUT_CHUNK_MIN || m->nvalues == 0) {
        buf_varint(out, 0);
        return;
    }
    uint32_t head = m->end[0], dict = m->end[m->ndict], all = m->end[m->n - 1];
    ASSERT(m->n == 1 + m->ndict + m->nvalues && all == chunk.n);
    uint32_t units = type == COL_FIX && m->ndict == 0 ? COL_FIX_MARK / SEG_CUT_UNIT : COL_BLOCK / SEG_CUT_UNIT; /* of a mark */
    uint32_t dict_every = type == COL_FIX ? blocks_a_piece(m->ndict, dict - head) : 1;
    uint32_t value_every = blocks_a_piece(m->nvalues, all - dict);
    uint32_t ndict = pieces_of(m->ndict, dict_every);
    buf_varint(out, 1 + ndict + pieces_of(m->nvalues, value_every));
    buf_varint(out, ndict);
    buf_varint(out, dict_every);
    buf_varint(out, value_every * units);
    put_piece(chunk, 0, head, out);
    uint32_t at = put_pieces(chunk, head, m->end + 1, m->ndict, dict_every, out);
    put_pieces(chunk, at, m->end + 1 + m->ndict, m->nvalues, value_every, out);
}

/* -- reading ----------------------------------------------------------------------------------------------- */

static uint32_t units_of(uint32_t values) { return values / SEG_CUT_UNIT + (values % SEG_CUT_UNIT != 0); }

err_t seg_cut_parse(struct cur *c, uint32_t nvalid, struct seg_cut *out)
{
    *out = (struct seg_cut){ 0 };
    TRY(cur_count(c, UINT32_MAX, &out->npieces));
    if (out->npieces == 0) return OK;
    TRY(cur_count(c, UINT32_MAX, &out->ndict));
    TRY(cur_count(c, UINT32_MAX / COL_BLOCK, &out->dict_every));
    TRY(cur_count(c, UINT32_MAX / SEG_CUT_UNIT, &out->value_every));
    if (out->dict_every == 0 || out->value_every == 0 ||
        out->npieces != UINT64_C(1) + out->ndict + pieces_of(units_of(nvalid), out->value_every))
        return err_set(ERR_CORRUPT, "%u pieces, %u of them of the dictionary, for %u values", out->npieces, out->ndict, nvalid);
    return cur_take(c, (size_t)out->npieces * PIECE_BYTES, &out->pieces);
}

static uint32_t piece_end(const struct seg_cut *cut, uint32_t i)
{
    uint32_t v;
    memcpy(&v, cut->pieces + (size_t)i * PIECE_BYTES, sizeof v);
    return v;
}

static uint32_t piece_from(const struct seg_cut *cut, uint32_t i) { return i ? piece_end(cut, i - 1) : 0; }

struct parts { /* a column being read; what is read lives in tmp */
    const struct seg_reader *from;
    const struct seg_col *c;
    const struct seg_cut *cut;
    struct arena *tmp;
};

static err_t read_piece(const struct parts *p, uint32_t i, struct cur *out)
{
    uint32_t check;
    struct str bytes;
    memcpy(&check, p->cut->pieces + (size_t)i * PIECE_BYTES + sizeof check, sizeof check);
    TRY(seg_reader_piece(p->from, &p->c->chunk, piece_from(p->cut, i), piece_end(p->cut, i), check, p->tmp, &bytes));
    *out = cur_of(bytes);
    return OK;
}

/* The k of the m values in a piece that are numbered `at`. */
static err_t decode_piece(const struct parts *p, struct cur *c, uint32_t m, uint32_t limit, const uint32_t *at, uint32_t k, uint8_t *to)
{
    switch (p->c->type) {
    case COL_I64: return col_int_decode_at(c, m, at, k, (int64_t *)(void *)to);
    case COL_F64: {
        double *all = ARENA_RAW(p->tmp, double, m);
        TRY(arena_check(p->tmp));
        TRY(col_f64_decode(c, m, all));
        for (uint32_t i = 0; i < k; i++)
            memcpy(to + i * sizeof *all, &all[at[i]], sizeof *all);
        return OK;
    }
    case COL_FIX:
        if (limit == 0) {
            const uint8_t *v;
            TRY(cur_take(c, (size_t)m * p->c->width, &v));
            for (uint32_t i = 0; i < k; i++)
                memcpy(to + (size_t)i * p->c->width, v + (size_t)at[i] * p->c->width, p->c->width);
            return OK;
        }
        return col_code_decode_at(c, m, limit, at, k, (uint32_t *)(void *)to);
    case COL_STR:
    case COL_BYTES:
    case COL_JSON: return col_code_decode_at(c, m, limit, at, k, (uint32_t *)(void *)to);
    default: return err_set(ERR_CORRUPT, "a column of type %d in pieces", (int)p->c->type);
    }
}

/* The k of n values numbered `at`, or their codes below limit where the column has a dictionary; `size` bytes each. */
static err_t values_at(const struct parts *p, uint32_t n, uint32_t limit, const uint32_t *at, uint32_t k, uint32_t size, uint8_t *to)
{
    uint64_t per = (uint64_t)p->cut->value_every * SEG_CUT_UNIT;
    uint32_t *local = ARENA_RAW(p->tmp, uint32_t, k);
    TRY(arena_check(p->tmp));
    for (uint32_t i = 0, j; i < k; i = j) {
        uint32_t number = (uint32_t)(at[i] / per), first = (uint32_t)(number * per), m = (uint32_t)MIN(n - first, per);
        for (j = i; j < k && at[j] / per == number; j++)
            local[j - i] = at[j] - first;
        struct cur c;
        TRY(read_piece(p, 1 + p->cut->ndict + number, &c));
        TRY(decode_piece(p, &c, m, limit, local, j - i, to + (size_t)i * size));
    }
    return OK;
}

static err_t fixed_at(const struct parts *p, struct cur *head, const struct col_few *few)
{
    uint32_t count, width = p->c->width;
    TRY(col_fix_head(head, few->n, &count));
    if (count == 0) return values_at(p, few->n, 0, few->at, few->k, width, few->data);
    uint64_t per = (uint64_t)p->cut->dict_every * COL_BLOCK;
    uint32_t *codes = ARENA_RAW(p->tmp, uint32_t, few->k);
    const uint8_t **entries = ARENA_ARRAY(p->tmp, const uint8_t *, p->cut->ndict);
    TRY(arena_check(p->tmp));
    TRY(values_at(p, few->n, count, few->at, few->k, sizeof *codes, (uint8_t *)codes));
    for (uint32_t i = 0; i < few->k; i++) {
        uint64_t number = codes[i] / per, first = number * per;
        if (number >= p->cut->ndict) return err_set(ERR_CORRUPT, "entry %u of a dictionary of %u pieces", codes[i], p->cut->ndict);
        if (!entries[number]) {
            struct cur c;
            TRY(read_piece(p, 1 + (uint32_t)number, &c));
            TRY(cur_take(&c, (size_t)MIN(count - first, per) * width, &entries[number]));
        }
        memcpy(few->data + (size_t)i * width, entries[number] + (codes[i] - first) * width, width);
    }
    return OK;
}

/* The codes of the strings, and their blocks. */
static err_t blocks_at(const struct parts *p, struct cur *head, const struct col_few *few, struct seg_cut_strings *out)
{
    struct col_dict *d = &out->d;
    out->codes = ARENA_RAW(p->tmp, uint32_t, few->k);
    out->k = few->k;
    TRY(col_dict_head(head, few->n, p->tmp, d));
    if (p->cut->dict_every != 1 || p->cut->ndict != d->nblocks)
        return err_set(ERR_CORRUPT, "a dictionary of %u blocks in %u pieces", d->nblocks, p->cut->ndict);
    out->blocks = ARENA_ARRAY(p->tmp, struct cur, d->nblocks);
    TRY(arena_check(p->tmp));
    TRY(values_at(p, few->n, d->count, few->at, few->k, sizeof *out->codes, (uint8_t *)out->codes));
    for (uint32_t i = 0; i < few->k; i++) {
        uint32_t b = col_dict_block_of(d, out->codes[i]);
        if (!out->blocks[b].p) TRY(read_piece(p, 1 + b, &out->blocks[b]));
    }
    return OK;
}

static err_t strings_at(const struct parts *p, struct cur *head, const struct col_few *few, struct arena *a, struct dict *out)
{
    struct seg_cut_strings s;
    TRY(blocks_at(p, head, few, &s));
    for (uint32_t i = 0; i < few->k; i++)
        memcpy(few->data + i * sizeof i, &i, sizeof i);
    return col_dict_pick(&s.d, s.blocks, s.codes, few->k, p->tmp, a, out);
}

err_t seg_cut_strings_at(const struct seg_reader *from, const struct seg_col *c, uint32_t nrows, const uint32_t *rows, uint32_t n,
                         struct arena *a, struct seg_cut_strings *out)
{
    const struct parts p = { .from = from, .c = c, .cut = &c->cut, .tmp = a };
    struct column none = { .type = c->type, .width = c->width };
    struct cur head;
    struct col_few few;
    *out = (struct seg_cut_strings){ 0 };
    TRY(read_piece(&p, 0, &head));
    TRY(col_few_begin(&head, nrows, rows, n, a, a, &none, &few));
    if (few.n != c->nvalid) return err_set(ERR_CORRUPT, "%u values where the directory says %u", few.n, c->nvalid);
    out->has = few.k < n ? few.has : NULL;
    return few.k ? blocks_at(&p, &head, &few, out) : OK;
}

static err_t column_at(const struct parts *p, uint32_t nrows, const uint32_t *rows, uint32_t n, struct arena *a, struct column *out)
{
    struct cur head;
    struct col_few few;
    TRY(read_piece(p, 0, &head));
    TRY(col_few_begin(&head, nrows, rows, n, p->tmp, a, out, &few));
    if (few.n != p->c->nvalid) return err_set(ERR_CORRUPT, "%u values where the directory says %u", few.n, p->c->nvalid);
    if (few.k == 0) return OK;
    if (p->c->type == COL_FIX)
        TRY(fixed_at(p, &head, &few));
    else if (col_is_dict(p->c->type))
        TRY(strings_at(p, &head, &few, a, &out->dict));
    else
        TRY(values_at(p, few.n, 0, few.at, few.k, col_value_size(p->c->type, 0), few.data));
    col_few_end(&few, out);
    return OK;
}

/* -- what will be read ---------------------------------------------------------------------------------------- */

static void want_pieces(const struct seg_col *c, uint32_t from, uint32_t to, seg_range_fn *add, void *arg)
{
    uint32_t begin = piece_from(&c->cut, from), end = piece_end(&c->cut, to - 1);
    if (begin < end && end <= c->chunk.size) add(arg, c->chunk.off + begin, end - begin);
}

/* The pieces of values of rows[0..n). */
static void want_values(const struct seg_col *c, uint32_t nrows, const uint32_t *rows, uint32_t n, seg_range_fn *add, void *arg)
{
    const struct seg_cut *cut = &c->cut;
    uint64_t per = (uint64_t)cut->value_every * SEG_CUT_UNIT;
    /* A row's value has at least the rows without one in front of it fewer than its own number. */
    uint32_t nulls = nrows - c->nvalid, behind = 0; /* of the pieces that are wanted */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = rows[i] > nulls ? rows[i] - nulls : 0, last = MIN(rows[i], c->nvalid - 1);
        if (first > last) continue;
        uint32_t from = (uint32_t)(first / per), to = (uint32_t)(last / per) + 1;
        if (to - from > PIECES_AHEAD_MAX) return;
        from = MAX(from, behind);
        if (from < to) want_pieces(c, 1 + cut->ndict + from, 1 + cut->ndict + to, add, arg);
        behind = MAX(behind, to);
    }
}

void seg_cut_want(const struct seg_col *c, uint32_t nrows, const uint32_t *rows, uint32_t n, seg_range_fn *add, void *arg)
{
    const struct seg_cut *cut = &c->cut;
    if (cut->npieces == 0) {
        if (c->chunk.size <= SEG_CUT_CHUNK_MIN) add(arg, c->chunk.off, c->chunk.size);
        return;
    }
    if (piece_end(cut, 0) <= HEAD_AHEAD_MAX) want_pieces(c, 0, 1, add, arg);
    if (col_is_dict(c->type) && cut->ndict && piece_end(cut, cut->ndict) - piece_end(cut, 0) <= DICT_AHEAD_MAX)
        want_pieces(c, 1, 1 + cut->ndict, add, arg);
    want_values(c, nrows, rows, n, add, arg);
}

/* -- few rows ------------------------------------------------------------------------------------------------- */
enum { FETCH_MAX = 1 << 20 };

struct ranges {
    struct arena *a;
    struct seg_range *v;
    uint32_t n;
    size_t cap;
    uint64_t bytes;
};

static void add_range(void *arg, uint64_t off, uint64_t n)
{
    struct ranges *r = arg;
    if (n == 0 || r->bytes + n > FETCH_MAX) return; /* it is read when it is needed */
    r->v = arena_grow(r->a, r->v, r->n, &r->cap, r->n + 1, sizeof *r->v);
    r->v[r->n++] = (struct seg_range){ .off = off, .n = n };
    r->bytes += n;
}

/* Reads the pieces together, unless somebody has. */
static err_t fetch_pieces(struct seg_reader *from, const struct seg_col *c, uint32_t nrows, const uint32_t *rows, uint32_t n, struct arena *tmp)
{
    struct ranges want = { .a = tmp };
    if (seg_reader_has(from, c->chunk.off, piece_end(&c->cut, 0))) return OK;
    seg_cut_want(c, nrows, rows, n, add_range, &want);
    TRY(arena_check(tmp));
    *from = (struct seg_reader){ .seg = from->seg };
    return seg_fetch(from, want.v, want.n, tmp);
}

err_t seg_cut_column_at(const struct seg_reader *from, const struct seg_col *c, uint32_t nrows, const uint32_t *rows, uint32_t n,
                        struct arena *a, struct column *out)
{
    struct arena tmp;
    struct seg_reader reader = *from;
    arena_init(&tmp, a->budget);
    const struct parts p = { .from = &reader, .c = c, .cut = &c->cut, .tmp = &tmp };
    *out = (struct column){ .type = c->type, .scope = c->scope, .width = c->width, .name = c->name };
    err_t e = n > 1 ? fetch_pieces(&reader, c, nrows, rows, n, &tmp) : OK;
    if (e == OK) e = column_at(&p, nrows, rows, n, a, out);
    arena_deinit(&tmp);
    return e;
}
