#include "storage/seg_text.h"

#include "base/rt/rt.h"
#include "storage/table_grow.h"

/* Fewer than one row of so many are read by pieces, each on its own. */
enum { FEW_OF = 8 };

struct entries { /* of a dictionary, a bit each */
    const struct col_dict *d;
    uint64_t *among; /* that are asked about; NULL: all */
    uint64_t *hold;
    uint32_t n;      /* that hold */
};

static bool bit_get(const uint64_t *bits, uint32_t i) { return bits[i / 64] >> (i % 64) & 1; }
static void bit_set(uint64_t *bits, uint32_t i) { bits[i / 64] |= UINT64_C(1) << (i % 64); }

/* Bits [from, from + n) as bits from 0 on; whether one is set. */
static bool cut_bits(const uint64_t *bits, uint32_t from, uint32_t n, uint64_t *to)
{
    uint64_t any = 0;
    for (uint32_t w = 0; w * 64 < n; w++) {
        uint32_t at = from + w * 64, left = MIN(n - w * 64, 64u);
        uint64_t v = bits[at / 64] >> (at % 64);
        if (at % 64 && at % 64 + left > 64) v |= bits[at / 64 + 1] << (64 - at % 64);
        if (left < 64) v &= (UINT64_C(1) << left) - 1;
        any |= to[w] = v;
    }
    return any;
}

static err_t find_in_block(struct entries *e, uint32_t b, struct cur block, const struct text_cond *cond, struct budget *budget)
{
    struct arena tmp;
    uint32_t first = e->d->first[b], n = e->d->first[b + 1] - first, words = (n + 63) / 64;
    arena_init(&tmp, budget);
    uint64_t *among = e->among ? ARENA_RAW(&tmp, uint64_t, words) : NULL, *hold = ARENA_ARRAY(&tmp, uint64_t, words);
    err_t err = arena_check(&tmp);
    if (err == OK && (!among || cut_bits(e->among, first, n, among))) err = col_dict_find(e->d, b, block, cond, among, budget, hold);
    for (uint32_t w = 0; w < words && err == OK; w++)
        for (uint64_t left = hold[w]; left; left &= left - 1) {
            bit_set(e->hold, first + w * 64 + (uint32_t)__builtin_ctzll(left));
            e->n++;
        }
    arena_deinit(&tmp);
    if (err == OK && rt_in_fiber()) err = rt_checkpoint();
    return err;
}

/* -- whole chunks ---------------------------------------------------------------------------------------------------- */

struct whole { /* a column being searched; all in tmp */
    const struct seg_col *c;
    struct cur cur;
    uint32_t nrows;
    const struct text_cond *cond;
    struct arena *tmp;
    struct col_dict d;
    uint32_t *codes; /* of the rows that have a value; NULL: not decoded */
};

static err_t get_codes(struct whole *x)
{
    if (x->codes) return OK;
    uint32_t *codes = ARENA_RAW(x->tmp, uint32_t, x->c->nvalid);
    TRY(arena_check(x->tmp));
    TRY(col_code_decode(&x->cur, x->c->nvalid, x->d.count, codes));
    x->codes = codes;
    return x->cur.p == x->cur.end ? OK : err_set(ERR_CORRUPT, "bytes behind the codes of a column");
}

/* Sets the bits of the entries that the rows have. */
static err_t ask_about(struct whole *x, const uint64_t *has, const uint32_t *rows, uint32_t n, uint64_t *among)
{
    uint32_t at = 0, word = 0;
    TRY(get_codes(x));
    for (uint32_t i = 0; i < n; i++) {
        for (; word < rows[i] / 64; word++)
            at += (uint32_t)__builtin_popcountll(has[word]);
        uint64_t bit = UINT64_C(1) << (rows[i] % 64);
        if (has[word] & bit) bit_set(among, x->codes[at + (uint32_t)__builtin_popcountll(has[word] & (bit - 1))]);
    }
    return OK;
}

static err_t find_whole(struct whole *x, const uint32_t *rows, uint32_t n, struct seg_text_found *out)
{
    uint32_t nvalid;
    TRY(col_bits_decode(&x->cur, x->nrows, out->has, &nvalid));
    if (nvalid != x->c->nvalid) return err_set(ERR_CORRUPT, "%u values where the directory says %u", nvalid, x->c->nvalid);
    TRY(col_dict_head(&x->cur, nvalid, x->tmp, &x->d));
    struct cur *blocks = ARENA_RAW(x->tmp, struct cur, (size_t)x->d.nblocks + 1);
    struct entries e = { .d = &x->d, .hold = ARENA_ARRAY(x->tmp, uint64_t, x->d.count / 64 + 1) };
    if (rows) e.among = ARENA_ARRAY(x->tmp, uint64_t, x->d.count / 64 + 1);
    TRY(arena_check(x->tmp));
    TRY(col_dict_blocks(&x->cur, &x->d, blocks));
    if (rows) TRY(ask_about(x, out->has, rows, n, e.among));
    for (uint32_t b = 0; b < x->d.nblocks; b++)
        TRY(find_in_block(&e, b, blocks[b], x->cond, x->tmp->budget));
    if (e.n == 0) return OK;
    TRY(get_codes(x));
    uint32_t at = 0;
    for (uint32_t w = 0; w * 64 < x->nrows; w++)
        for (uint64_t left = out->has[w]; left; left &= left - 1)
            if (bit_get(e.hold, x->codes[at++])) out->holds[w] |= left & -left;
    return OK;
}

/* -- few rows --------------------------------------------------------------------------------------------------------------- */

static err_t find_few(const struct seg_reader *from, const struct seg_col *c, uint32_t nrows, const uint32_t *rows, uint32_t n,
                      const struct text_cond *cond, struct arena *tmp, struct seg_text_found *out)
{
    struct seg_cut_strings s;
    TRY(seg_cut_strings_at(from, c, nrows, rows, n, tmp, &s));
    struct entries e = { .d = &s.d, .among = ARENA_ARRAY(tmp, uint64_t, s.d.count / 64 + 1), .hold = ARENA_ARRAY(tmp, uint64_t, s.d.count / 64 + 1) };
    TRY(arena_check(tmp));
    for (uint32_t i = 0; i < s.k; i++)
        bit_set(e.among, s.codes[i]);
    for (uint32_t b = 0; b < s.d.nblocks; b++)
        if (s.blocks[b].p) TRY(find_in_block(&e, b, s.blocks[b], cond, tmp->budget));
    for (uint32_t i = 0, k = 0; i < n; i++) {
        if (s.has && !bit_get(s.has, i)) continue;
        bit_set(out->has, rows[i]);
        if (bit_get(e.hold, s.codes[k++])) bit_set(out->holds, rows[i]);
    }
    return OK;
}

err_t seg_text_find(const struct seg_reader *from, const struct seg_rel *rel, const struct seg_col *c, const uint32_t *rows,
                    uint32_t n, const struct text_cond *cond, struct arena *a, struct seg_text_found *out)
{
    struct arena tmp;
    struct str bytes;
    err_t e;
    out->has = ARENA_ARRAY(a, uint64_t, rel->nrows / 64 + 1);
    out->holds = ARENA_ARRAY(a, uint64_t, rel->nrows / 64 + 1);
    arena_init(&tmp, a->budget);
    TRY_OUT(e, arena_check(a));
    if (rows && c->cut.npieces && n < rel->nrows / FEW_OF) {
        e = find_few(from, c, rel->nrows, rows, n, cond, &tmp, out);
        goto out;
    }
    TRY_OUT(e, seg_reader_chunk(from, &c->chunk, &tmp, &bytes));
    struct whole x = { .c = c, .cur = cur_of(bytes), .nrows = rel->nrows, .cond = cond, .tmp = &tmp };
    e = find_whole(&x, rows, n, out);
out:
    arena_deinit(&tmp);
    return e;
}
