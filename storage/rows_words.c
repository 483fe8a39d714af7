#include "storage/rows_words.h"

#include "storage/rows_find.h"
#include "storage/table_grow.h"
#include "storage/tokens.h"

static bool about_text(const struct scan_hint *h) { return h->rel == REL_ROWS && (h->kind == HINT_TOKEN || h->kind == HINT_STR_EQ); }

static void add_word(struct rows_words *w, uint64_t hash)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->hashes[i] == hash) return;
    if (w->n < ARRAY_LEN(w->hashes)) w->hashes[w->n++] = hash;
}

void rows_words_init(struct rows_words *w, const struct rows_req *rq)
{
    *w = (struct rows_words){ .rq = rq };
    if (!seg_tokens_cover(rq->signal)) return;
    for (uint32_t i = 0; i < rq->nhints; i++) {
        const struct scan_hint *h = &rq->hints[i];
        if (!about_text(h)) continue;
        uint64_t hashes[TOKENS_BATCH];
        struct tokens words = tokens_of(h->value, false);
        for (uint32_t n; (n = tokens_next(&words, hashes)) > 0;)
            for (uint32_t k = 0; k < n; k++)
                add_word(w, hashes[k]);
    }
}

static bool named(const struct seg_col *c, const struct scan_hint *h)
{
    return h->name.n == 0 || (c->scope == h->scope && str_eq(c->name, h->name));
}

bool rows_words_known(const struct rows_words *w, const struct seg_rel *rows)
{
    for (uint32_t i = 0; i < w->rq->nhints; i++) {
        const struct scan_hint *h = &w->rq->hints[i];
        for (uint32_t k = 0; about_text(h) && k < rows->ncols; k++) {
            const struct seg_col *c = &rows->cols[k];
            if ((c->type == COL_STR || c->type == COL_JSON) && named(c, h) && !(c->flags & SEG_COL_TOKENS)) return false;
        }
    }
    return true;
}

struct asked { /* a segment's groups, and what its index names */
    struct words_group *v;
    uint32_t n;
    struct seg_tokens_found *found;
    bool answered;
};
struct asking {
    const struct rows_words *w;
    struct asked *v;
    uint32_t n, next;
    struct arena *a;
    uint64_t bytes;
};

static err_t ask(struct asking *x, struct asked *q)
{
    struct seg *seg = q->v[0].seg;
    bool *wanted = ARENA_ARRAY(x->a, bool, seg_tokens(seg)->n + 1);
    uint64_t bytes;
    TRY(arena_check(x->a));
    for (uint32_t i = 0; i < q->n; i++)
        if (q->v[i].group->tokens_section) wanted[q->v[i].group->tokens_section - 1] = true;
    TRY(seg_tokens_find(seg, x->w->hashes, x->w->n, wanted, x->a, &q->found, &bytes));
    x->bytes += bytes;
    q->answered = true;
    return OK;
}

static void ask_fiber(void *arg)
{
    struct asking *x = arg;
    /* What went wrong here will go wrong again, and be told then. */
    while (x->next < x->n)
        if (ask(x, &x->v[x->next++]) != OK) return;
}

static void take_blocks(struct words_group *x, const struct seg_tokens_found *found)
{
    const struct seg_group *g = x->group;
    if (!g->tokens_section) return;
    const struct seg_tokens_found *f = &found[g->tokens_section - 1];
    uint32_t end = g->tokens_block + seg_tokens_blocks(g->nrows, g->tokens_log2), from = 0;
    while (from < f->n && f->blocks[from] < g->tokens_block)
        from++;
    x->known = true;
    x->blocks = f->blocks + from;
    for (; from < f->n && f->blocks[from] < end; from++, x->nblocks++)
        f->blocks[from] -= g->tokens_block;
}

err_t rows_words_find(const struct rows_words *w, struct words_group *v, uint32_t n, struct arena *a, uint64_t *bytes)
{
    struct asking x = { .w = w, .a = a, .v = ARENA_ARRAY(a, struct asked, (size_t)n + 1) };
    TRY(arena_check(a));
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || v[i].seg != v[i - 1].seg) x.v[x.n++].v = &v[i];
        x.v[x.n - 1].n++;
    }
    if (x.n > 1) TRY(rows_in_fibers(x.n, ask_fiber, &x));
    for (uint32_t i = 0; i < x.n; i++) {
        if (!x.v[i].answered) TRY(ask(&x, &x.v[i]));
        for (uint32_t k = 0; k < x.v[i].n; k++)
            take_blocks(&x.v[i].v[k], x.v[i].found);
    }
    *bytes = x.bytes;
    return OK;
}

err_t rows_of_blocks(const struct seg_group *g, const uint32_t *blocks, uint32_t nblocks, struct arena *a, uint32_t **rows, uint32_t *n)
{
    uint32_t per = UINT32_C(1) << g->tokens_log2, *v = ARENA_RAW(a, uint32_t, (size_t)nblocks * per + 1);
    TRY(arena_check(a));
    *n = 0;
    for (uint32_t i = 0; i < nblocks; i++) {
        uint32_t row = blocks[i] * per, end = MIN(row + per, g->nrows);
        while (row < end)
            v[(*n)++] = row++;
    }
    *rows = v;
    return OK;
}

err_t rows_gather(const struct column *c, const uint32_t *rows, uint32_t n, struct arena *a, struct column *out)
{
    uint32_t size = col_value_size(c->type, c->width);
    uint8_t *data = arena_alloc(a, (size_t)n * size + 1);
    uint64_t *valid = c->valid ? ARENA_ARRAY(a, uint64_t, n / 64 + 1) : NULL;
    TRY(arena_check(a));
    *out = *c;
    out->nrows = n;
    out->nvalid = valid ? 0 : n;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(data + (size_t)i * size, c->fix + (size_t)rows[i] * size, size);
        if (!valid || !column_has(c, rows[i])) continue;
        valid[i / 64] |= UINT64_C(1) << (i % 64);
        out->nvalid++;
    }
    out->fix = data;
    out->valid = valid;
    return OK;
}
