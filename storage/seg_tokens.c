#include "storage/seg_tokens.h"

#include "base/core/assert.h"
#include "storage/tokens.h"

enum { LEFT_OUT = 128 };

/* -- writing ----------------------------------------------------------------------------------------------- */

void seg_tokens_begin(struct seg_tokens_build *b, struct budget *budget)
{
    *b = (struct seg_tokens_build){ .pairs = { .budget = budget, .low_bits = SEG_TOKENS_LOW_MAX } };
}

/* Words met lately, by their hashes: those that come again and again are added once or a few times, and what is left
 * twice goes when the pairs are sorted. */
enum { RECENT_LOG2 = 15 };

struct text {
    const struct column *c;
    bool *covered;
    uint32_t *seen;  /* an entry: the turn in which it was met last */
    size_t added;    /* pairs that it brought to this block */
};
struct adding {
    struct seg_ids_build *to;
    struct text *texts;
    uint32_t ntexts, turn;
    uint64_t *recent;
    uint32_t block;
};

/* False: JSON that hides letters. */
static bool add_words(struct adding *ad, struct str text, bool json)
{
    uint64_t hashes[TOKENS_BATCH];
    struct tokens t = tokens_of(text, json);
    for (uint32_t n; (n = tokens_next(&t, hashes)) > 0;)
        for (uint32_t i = 0; i < n; i++) {
            uint64_t *recent = &ad->recent[hashes[i] >> 1 & ((1 << RECENT_LOG2) - 1)];
            if (*recent == hashes[i]) continue;
            *recent = hashes[i];
            seg_ids_add(ad->to, hashes[i], ad->block);
        }
    return !t.hidden;
}

/* False: the column must be left out, or another one. */
static bool add_rows(struct adding *ad, struct text *x, uint32_t lo, uint32_t hi, size_t limit)
{
    size_t before = ad->to->n;
    bool json = x->c->type == COL_JSON, ok = true;
    for (uint32_t row = lo; ok && row < hi; row++) {
        if (!column_has(x->c, row)) continue;
        uint32_t code = x->c->code[row];
        if (x->seen[code] == ad->turn) continue;
        x->seen[code] = ad->turn;
        *x->covered = ok = add_words(ad, dict_get(&x->c->dict, code), json);
        ok = ok && ad->to->n <= limit;
    }
    x->added = ad->to->n - before;
    return ok;
}

/* Too many words: the column that brought most of them. */
static void leave_out(struct adding *ad)
{
    struct text *most = &ad->texts[0];
    for (uint32_t i = 1; i < ad->ntexts; i++)
        if (ad->texts[i].added > most->added) most = &ad->texts[i];
    *most->covered = false;
}

static void gather_words(struct adding *ad, uint32_t lo, uint32_t hi)
{
    size_t before = ad->to->n;
    bool again;
    do {
        again = false;
        ad->turn++;
        ad->to->n = before;
        memset(ad->recent, 0, sizeof *ad->recent << RECENT_LOG2);
        for (uint32_t i = 0; i < ad->ntexts; i++)
            ad->texts[i].added = 0;
        for (uint32_t i = 0; i < ad->ntexts && !again; i++) {
            struct text *x = &ad->texts[i];
            again = *x->covered && !add_rows(ad, x, lo, hi, before + SEG_TOKENS_BLOCK);
            if (again && *x->covered) leave_out(ad);
        }
    } while (again);
}

static void list_texts(struct adding *ad, const struct table *t, bool *covered, struct arena *a)
{
    ad->texts = ARENA_ARRAY(a, struct text, t->ncols + 1);
    for (uint32_t i = 0; i < t->ncols; i++) {
        const struct column *c = &t->cols[i];
        covered[i] = seg_tokens_column(c);
        if (!covered[i]) continue;
        ad->texts[ad->ntexts++] = (struct text){ .c = c, .covered = &covered[i], .seen = ARENA_ARRAY(a, uint32_t, c->dict.count) };
    }
}

/* So many rows that their texts are not too long, on average. */
static uint8_t choose_log2(const struct adding *ad, uint32_t nrows)
{
    uint64_t bytes = 0;
    uint8_t log2 = SEG_TOKENS_LOG2;
    for (uint32_t i = 0; i < ad->ntexts; i++) {
        const struct column *c = ad->texts[i].c;
        for (uint32_t row = 0; row < nrows; row++)
            if (column_has(c, row)) bytes += c->dict.offset[c->code[row] + 1] - c->dict.offset[c->code[row]];
    }
    while (log2 > 0 && (bytes << log2) / MAX(nrows, 1u) > SEG_TOKENS_BLOCK_BYTES)
        log2--;
    return log2;
}

void seg_tokens_add(struct seg_tokens_build *b, const struct table *t, bool *covered)
{
    struct adding ad = { .to = &b->pairs };
    struct arena a;
    arena_init(&a, b->pairs.budget);
    ad.recent = ARENA_RAW(&a, uint64_t, 1 << RECENT_LOG2);
    list_texts(&ad, t, covered, &a);
    b->pairs.n = b->kept;
    b->log2 = choose_log2(&ad, t->nrows);
    for (uint32_t i = 0; i < seg_tokens_blocks(t->nrows, b->log2); i++) {
        uint32_t lo = i << b->log2;
        ad.block = b->pairs.nblocks + i;
        gather_words(&ad, lo, MIN(lo + (1u << b->log2), t->nrows));
    }
    b->added = true;
    b->leaves_out = false;
    for (uint32_t i = 0; i < ad.ntexts; i++)
        b->leaves_out |= !*ad.texts[i].covered;
    arena_deinit(&a);
}

void seg_tokens_place(const struct seg_group *g, struct buf *places)
{
    buf_varint(places, g->tokens_section);
    buf_varint(places, g->tokens_block);
    buf_byte(places, (uint8_t)(g->tokens_log2 | (g->tokens_partial ? LEFT_OUT : 0)));
}

void seg_tokens_keep(struct seg_tokens_build *b, uint32_t nrows, uint32_t section, struct buf *places)
{
    ASSERT(b->added && b->ngroups < SEG_TOKENS_SECTION_GROUPS); /* its columns say that they are here */
    const struct seg_group g = { .tokens_section = section, .tokens_block = b->pairs.nblocks, .tokens_log2 = b->log2,
                                 .tokens_partial = b->leaves_out };
    seg_tokens_place(&g, places);
    b->added = false;
    b->kept = b->pairs.n;
    b->pairs.nblocks += seg_tokens_blocks(nrows, b->log2);
    ASSERT(b->pairs.nblocks <= SEG_IDS_BLOCKS_MAX);
    b->ngroups++;
}

/* Bits of an index of the sorted pairs beside the low ones, about (seg_ids.h); *words: how many there are. */
static uint64_t bits_beside(const struct seg_ids_build *p, uint64_t *words)
{
    uint64_t single = 0, lists = 0, bits = 0;
    for (size_t i = 0, k; i < p->n; i += k) {
        for (k = 1; i + k < p->n && !seg_ids_differ(p->pairs[i + k], p->pairs[i]); k++)
            ;
        single += k == 1;
        lists += k > 1;
        if (k > 1) bits += 2 * bits_of(k - 1) - 1 + (k == p->nblocks ? 0 : k > p->nblocks / 2 ? p->nblocks : k * (bits_of(p->nblocks / k) + 1));
    }
    *words = single + lists;
    return bits + *words * (lists ? 3 : 2) + single * bits_of(p->nblocks - 1);
}

/* As many low bits as there is room for. */
static uint64_t low_bits(const struct seg_ids_build *p, uint64_t room)
{
    uint64_t words, beside = bits_beside(p, &words);
    return words && room > beside ? MIN((room - beside) / words, (uint64_t)SEG_TOKENS_LOW_MAX) : 0;
}

static void leave_numbers_out(struct seg_ids_build *p)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->n; i++)
        if (!token_is_number(p->pairs[i])) p->pairs[kept++] = p->pairs[i];
    p->n = kept;
}

void seg_tokens_settle(struct seg_ids_build *p, uint64_t bytes)
{
    uint64_t room = bytes * 8 / SEG_TOKENS_SHARE, low = low_bits(p, room);
    if (low == 0) {
        size_t kept = 0;
        for (size_t i = 0; i < p->n; i++)
            kept += !token_is_number(p->pairs[i]);
        p->no_numbers = kept > 0 && kept < p->n;
        if (p->no_numbers) leave_numbers_out(p);
        low = low_bits(p, room);
    }
    p->low_bits = (unsigned)MAX(low, 1);
}

/* -- the directory ------------------------------------------------------------------------------------------ */

static err_t parse_section(struct cur *c, struct arena *a, struct seg_ids *ids)
{
    TRY(seg_ids_parse(c, a, ids));
    return ids->npages && ids->rows ? err_set(ERR_CORRUPT, "a section of words that names rows") : OK;
}

static err_t parse_place(struct cur *c, const struct seg_tokens *t, uint32_t *next, struct seg_group *g)
{
    uint8_t v;
    TRY(cur_count(c, t->n, &g->tokens_section));
    TRY(cur_count(c, SEG_IDS_BLOCKS_MAX, &g->tokens_block));
    TRY(cur_u8(c, &v));
    g->tokens_log2 = v & (LEFT_OUT - 1);
    g->tokens_partial = v & LEFT_OUT;
    if (g->tokens_section == 0 || g->tokens_log2 > SEG_TOKENS_LOG2)
        return err_set(ERR_CORRUPT, "blocks of 2^%u rows in section %u of words", g->tokens_log2, g->tokens_section);
    const struct seg_ids *ids = &t->v[g->tokens_section - 1].ids;
    uint64_t end = (uint64_t)g->tokens_block + seg_tokens_blocks(g->nrows, g->tokens_log2);
    if (g->tokens_block < next[g->tokens_section - 1] || end > (ids->npages ? ids->nblocks : SEG_IDS_BLOCKS_MAX))
        return err_set(ERR_CORRUPT, "blocks %u to %u of %u in a section of words", g->tokens_block, (uint32_t)end, ids->nblocks);
    next[g->tokens_section - 1] = (uint32_t)end;
    return OK;
}

err_t seg_tokens_parse(struct cur *c, struct seg_group *groups, uint32_t ngroups, struct arena *a, struct seg_tokens *out)
{
    *out = (struct seg_tokens){ 0 };
    TRY(cur_count(c, ngroups, &out->n));
    out->v = ARENA_ARRAY(a, struct seg_tokens_section, out->n);
    uint32_t *next = ARENA_ARRAY(a, uint32_t, (size_t)out->n + 1); /* behind the groups so far */
    TRY(arena_check(a));
    for (uint32_t i = 0; i < out->n; i++)
        TRY(parse_section(c, a, &out->v[i].ids));
    for (uint32_t i = 0; i < ngroups; i++)
        if (seg_tokens_cover(groups[i].signal)) TRY(parse_place(c, out, next, &groups[i]));
    return OK;
}

/* -- look-ups ------------------------------------------------------------------------------------------------ */

enum { READ_AT_ONCE = 64 };

struct page_read {
    uint32_t section;
    uint64_t hash;
    struct str bytes;
};

/* Keeps of have those that are in v, too. */
static void intersect(struct seg_tokens_found *have, const uint32_t *v, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0, k = 0; i < have->n; i++) {
        while (k < n && v[k] < have->blocks[i])
            k++;
        if (k < n && v[k] == have->blocks[i]) have->blocks[kept++] = v[k];
    }
    have->n = kept;
}

/* The pages of some words, which the sections' finds are narrowed by. */
static err_t read_pages(struct seg *s, struct page_read *v, uint32_t n, bool *begun, struct seg_tokens_found *found, struct arena *a)
{
    const struct seg_tokens *t = seg_tokens(s);
    struct file_range ranges[READ_AT_ONCE];
    struct arena tmp;
    uint32_t nranges = 0;
    err_t e;
    arena_init(&tmp, a->budget);
    for (uint32_t i = 0; i < n; i++) {
        const struct seg_ids *ids = &t->v[v[i].section].ids;
        uint32_t page = seg_ids_page_of(ids, v[i].hash), from = page ? ids->end[page - 1] : 0, size = ids->end[page] - from;
        char *p = arena_alloc(&tmp, (size_t)size + 1);
        v[i].bytes = str_n(p, size);
        if (size) ranges[nranges++] = (struct file_range){ .to = p, .off = ids->off + from, .n = size };
    }
    TRY_OUT(e, arena_check(&tmp));
    TRY_OUT(e, seg_read_raw(s, ranges, nranges));
    for (uint32_t i = 0; i < n; i++) {
        struct seg_tokens_found *f = &found[v[i].section];
        uint32_t *blocks = NULL, count;
        bool first = !begun[v[i].section];
        TRY_OUT(e, seg_ids_find(&t->v[v[i].section].ids, v[i].bytes, v[i].hash, first ? a : &tmp, &blocks, &count));
        if (first) *f = (struct seg_tokens_found){ blocks, count };
        else intersect(f, blocks, count);
        begun[v[i].section] = true;
    }
out:
    arena_deinit(&tmp);
    return e;
}

/* All blocks of a section in which none of the words is looked up. */
static err_t find_all(const struct seg_ids *ids, struct arena *a, struct seg_tokens_found *f)
{
    f->blocks = ARENA_RAW(a, uint32_t, (size_t)ids->nblocks + 1);
    TRY(arena_check(a));
    while (f->n < ids->nblocks) {
        f->blocks[f->n] = f->n;
        f->n++;
    }
    return OK;
}

err_t seg_tokens_find(struct seg *s, const uint64_t *hashes, uint32_t n, const bool *wanted, struct arena *a,
                      struct seg_tokens_found **out, uint64_t *bytes)
{
    const struct seg_tokens *t = seg_tokens(s);
    struct page_read reads[READ_AT_ONCE];
    uint32_t nreads = 0;
    bool *begun = ARENA_ARRAY(a, bool, t->n + 1);
    *out = ARENA_ARRAY(a, struct seg_tokens_found, t->n + 1);
    *bytes = 0;
    TRY(arena_check(a));
    for (uint32_t i = 0; i < t->n; i++) {
        const struct seg_ids *ids = &t->v[i].ids;
        uint32_t asked = 0;
        for (uint32_t k = 0; wanted[i] && k < n; k++) {
            if (ids->no_numbers && token_is_number(hashes[k])) continue;
            asked++;
            if (ids->npages == 0) continue;
            if (nreads == READ_AT_ONCE) {
                TRY(read_pages(s, reads, nreads, begun, *out, a));
                nreads = 0;
            }
            reads[nreads++] = (struct page_read){ .section = i, .hash = hashes[k] };
            uint32_t page = seg_ids_page_of(ids, hashes[k]);
            *bytes += ids->end[page] - (page ? ids->end[page - 1] : 0);
        }
        if (wanted[i] && asked == 0) TRY(find_all(ids, a, &(*out)[i]));
    }
    return nreads ? read_pages(s, reads, nreads, begun, *out, a) : OK;
}
