/* See rows_out.h. */
#include "storage/rows_out.h"

#include "base/core/assert.h"
#include "storage/mem_rows.h"
#include "storage/seg_rows.h"

#include <stdlib.h>

enum { GROUP_BYTES = 24 << 20 };

/* Lets other fibers run; a cancelled writer goes on to the next TRY(rt_checkpoint()). */
static void pause_here(void)
{
    if (!rt_in_fiber()) return;
    err_t ignored = rt_checkpoint();
    (void)ignored;
}

uint64_t *rows_stream_hashes(const struct table *t, struct arena *a)
{
    uint64_t *of_dim[DIM_COUNT] = { NULL };
    for (int d = 0; d < DIM_COUNT; d++) {
        if (!t->dim[d]) continue;
        of_dim[d] = ARENA_RAW(a, uint64_t, t->dim[d]->nrows);
        table_dim_hashes(t->dim[d], of_dim[d]);
    }
    uint64_t *out = ARENA_ARRAY(a, uint64_t, t->nrows);
    for (int d = 0; d < DIM_COUNT; d++)
        for (uint32_t r = 0; of_dim[d] && r < t->nrows; r++)
            out[r] = hash_u64(out[r] + of_dim[d][t->dim_row[d][r]]);
    return out;
}

void rows_out_init(struct rows_out *o, struct seg_writer *w, struct str tenant, enum signal signal, struct str index,
                   struct budget *budget)
{
    *o = (struct rows_out){ .w = w, .tenant = tenant, .signal = signal, .index = index, .budget = budget, .group = 1 };
    o->order = malloc(TABLE_ROWS_MAX * sizeof *o->order);
    ASSERT(o->order);
}

static void forget_group(struct rows_out *o)
{
    for (uint32_t i = 0; i < o->ninputs; i++)
        table_put(o->inputs[i]);
    table_fit_reset(&o->fit);
    o->ninputs = o->n = 0;
    o->bytes = 0;
    o->group++;
    memset(o->children, 0, sizeof o->children);
}

void rows_out_deinit(struct rows_out *o)
{
    forget_group(o);
    free(o->order);
    free(o->inputs);
}

/* A group whose columns come out larger than a chunk may be is halved: sizes are estimates before. */
static err_t write_picks(struct rows_out *o, uint32_t from, uint32_t n)
{
    if (rt_in_fiber()) TRY(rt_checkpoint());
    struct table *t = table_merge_paused(o->inputs, o->ninputs, o->order + from, n, signal_time_column(o->signal),
                                         o->budget, pause_here);
    err_t e = seg_rows_write(o->w, o->tenant, o->signal, o->index, t);
    table_put(t);
    return e;
}

err_t rows_out_finish(struct rows_out *o)
{
    uint32_t step = o->n;
    for (uint32_t at = 0; at < o->n;) {
        uint32_t n = MIN(step, o->n - at);
        err_t e = write_picks(o, at, n);
        if (e == ERR_TOO_LARGE && n > 1) {
            step = n / 2;
            continue;
        }
        TRY(e);
        at += n;
    }
    forget_group(o);
    return OK;
}

static void add_input(struct rows_out *o, struct rows_source *from)
{
    if (o->ninputs == o->inputs_cap) {
        o->inputs_cap = MAX(16u, o->inputs_cap * 2);
        o->inputs = realloc(o->inputs, o->inputs_cap * sizeof(struct table *));
        ASSERT(o->inputs);
    }
    from->group = o->group;
    from->input = o->ninputs;
    o->inputs[o->ninputs++] = table_get(from->table);
}

err_t rows_out_add(struct rows_out *o, struct rows_source *from, uint32_t row)
{
    const struct table *t = from->table;
    uint64_t children[CHILD_COUNT];
    bool fits = o->n < TABLE_ROWS_MAX && o->bytes < GROUP_BYTES, is_new = from->group != o->group;
    for (int c = 0; c < CHILD_COUNT; c++) {
        children[c] = t->child[c] ? t->child_first[c][row + 1] - t->child_first[c][row] : 0;
        fits &= o->children[c] + children[c] <= TABLE_CHILD_ROWS_MAX;
    }
    if (fits && is_new) fits = table_fit_add(&o->fit, t);
    if (!fits) {
        TRY(rows_out_finish(o));
        /* One table always fits: nothing of ours is wider than TABLE_COLS_MAX. */
        bool alone = table_fit_add(&o->fit, t);
        (void)alone;
        is_new = true;
    }
    if (is_new) add_input(o, from);
    o->order[o->n++] = (struct table_pick){ from->input, row };
    o->bytes += (double)table_bytes(t) / t->nrows;
    for (int c = 0; c < CHILD_COUNT; c++)
        o->children[c] += children[c];
    return OK;
}
