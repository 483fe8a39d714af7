#include "storage/mem_rows.h"

#include "base/core/assert.h"
#include "storage/table_grow.h"

#include <stdlib.h>

enum { FAN_IN = 8, SMALL_ROWS = 256, SMALL_BYTES = 4 << 20 };

struct mem_rows {
    struct budget *budget;
    struct arena mem; /* stream names and arrays */
    uint32_t nstreams;
    size_t streams_cap;
    struct mem_stream *streams;
    struct htab by_name;
};

struct str signal_time_column(enum signal signal) { return signal == SIG_SPANS ? STR("start") : STR("time"); }

struct mem_rows *mem_rows_new(struct budget *budget)
{
    struct mem_rows *m = calloc(1, sizeof *m);
    ASSERT(m);
    m->budget = budget;
    arena_init_sized(&m->mem, budget, ARENA_BLOCK_MIN);
    htab_init(&m->by_name, budget);
    return m;
}

void mem_rows_free(struct mem_rows *m)
{
    if (!m) return;
    for (uint32_t i = 0; i < m->nstreams; i++)
        for (uint32_t k = 0; k < m->streams[i].nparts; k++)
            mem_part_put(m->streams[i].parts[k]);
    htab_deinit(&m->by_name);
    arena_deinit(&m->mem);
    free(m);
}

bool mem_rows_empty(const struct mem_rows *m) { return m->nstreams == 0; }
struct budget *mem_rows_budget(const struct mem_rows *m) { return m->budget; }
uint32_t mem_rows_streams(const struct mem_rows *m) { return m->nstreams; }

const struct mem_stream *mem_rows_stream(const struct mem_rows *m, uint32_t i)
{
    ASSERT(i < m->nstreams);
    return &m->streams[i];
}

/* -- parts ------------------------------------------------------------------------------------------------- */

struct mem_part *mem_part_get(struct mem_part *p)
{
    ASSERT(p->refs > 0);
    p->refs++;
    return p;
}

void mem_part_put(struct mem_part *p)
{
    ASSERT(p->refs > 0);
    if (--p->refs) return;
    budget_release(p->budget, p->charged);
    table_put(p->table);
    free(p->sel);
    free(p);
}

/* Takes over t and sel. */
static struct mem_part *part_new(struct mem_rows *m, struct table *t, uint32_t *sel, uint32_t nsel)
{
    struct mem_part *p = malloc(sizeof *p);
    ASSERT(p);
    size_t share = t->nrows ? (size_t)((double)table_bytes(t) * nsel / t->nrows) : 0;
    *p = (struct mem_part){ .refs = 1, .table = t, .sel = sel, .nsel = nsel, .budget = m->budget };
    p->charged = (int64_t)(share + sizeof *p + (sel ? nsel * sizeof *sel : 0));
    p->settled = nsel >= SMALL_ROWS || p->charged >= SMALL_BYTES;
    budget_charge(m->budget, p->charged);
    return p;
}

/* -- merging ----------------------------------------------------------------------------------------------- */

/* The level of a part that is not settled: parts of one level are merged. */
static int level_of(const struct mem_part *p)
{
    return p->nsel < SMALL_ROWS / 64 ? 0 : p->nsel < SMALL_ROWS / 8 ? 1 : 2;
}

/* Moves settled parts to the front; the order of parts means nothing. */
static void arrange(struct mem_stream *s)
{
    for (uint32_t i = s->nsettled; i < s->nparts; i++) {
        struct mem_part *p = s->parts[i];
        if (!p->settled) continue;
        s->parts[i] = s->parts[s->nsettled];
        s->parts[s->nsettled++] = p;
    }
}

static struct mem_part *merge_parts(struct mem_rows *m, enum signal signal, struct mem_part *const *parts, uint32_t n)
{
    struct table *in[FAN_IN];
    uint32_t rows = 0, k = 0;
    for (uint32_t i = 0; i < n; i++) {
        in[i] = parts[i]->table;
        rows += parts[i]->nsel;
    }
    struct table_pick *order = malloc(((size_t)rows + 1) * sizeof *order);
    ASSERT(order);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t r = 0; r < parts[i]->nsel; r++)
            order[k++] = (struct table_pick){ i, mem_part_row(parts[i], r) };
    struct table *t = table_merge(in, n, order, rows, signal_time_column(signal), NULL);
    free(order);
    return part_new(m, t, NULL, rows);
}

/* Eight parts of one level become one, until no level has eight. */
static void gather(struct mem_rows *m, struct mem_stream *s, int level)
{
    for (;;) {
        uint32_t at[FAN_IN], n = 0;
        for (uint32_t i = s->nsettled; n < FAN_IN && i < s->nparts; i++)
            if (level_of(s->parts[i]) == level) at[n++] = i;
        if (n < FAN_IN) return;
        struct mem_part *parts[FAN_IN];
        const struct table *tables[FAN_IN];
        for (uint32_t i = 0; i < FAN_IN; i++) {
            parts[i] = s->parts[at[i]];
            tables[i] = parts[i]->table;
        }
        if (!tables_fit_together(tables, FAN_IN)) {
            for (uint32_t i = 0; i < FAN_IN; i++)
                parts[i]->settled = true;
            arrange(s);
            return;
        }
        s->parts[at[0]] = merge_parts(m, s->signal, parts, FAN_IN);
        level = level_of(s->parts[at[0]]);
        for (uint32_t i = FAN_IN; i-- > 0;) {
            mem_part_put(parts[i]);
            if (i > 0) s->parts[at[i]] = s->parts[--s->nparts];
        }
        arrange(s);
    }
}

/* -- inserting ----------------------------------------------------------------------------------------------- */

static struct mem_stream *stream_of(struct mem_rows *m, struct str tenant, enum signal signal, struct str index)
{
    uint64_t hash = hash_u64(hash_seeded64(tenant) + hash_u64(hash_seeded64(index)) + (uint64_t)signal);
    for (uint32_t it = 0, v; htab_next(&m->by_name, hash, &it, &v);) {
        struct mem_stream *s = &m->streams[v];
        if (s->signal == signal && str_eq(s->tenant, tenant) && str_eq(s->index, index)) return s;
    }
    m->streams = arena_grow(&m->mem, m->streams, m->nstreams, &m->streams_cap, m->nstreams + 1, sizeof *m->streams);
    htab_insert(&m->by_name, hash, m->nstreams);
    struct mem_stream *s = &m->streams[m->nstreams++];
    *s = (struct mem_stream){ .tenant = arena_str(&m->mem, tenant), .index = arena_str(&m->mem, index), .signal = signal };
    return s;
}

void mem_rows_insert(struct mem_rows *m, struct str tenant, enum signal signal, struct str index,
                     struct table *t, const uint32_t *sel, uint32_t nsel)
{
    if (!sel) nsel = t->nrows;
    if (nsel == 0) return;
    uint32_t *copy = NULL;
    if (sel && nsel < t->nrows) {
        copy = malloc(nsel * sizeof *copy);
        ASSERT(copy);
        memcpy(copy, sel, nsel * sizeof *copy);
        ASSERT(copy[nsel - 1] < t->nrows);
    }
    struct mem_stream *s = stream_of(m, tenant, signal, index);
    s->parts = arena_grow(&m->mem, s->parts, s->nparts, &s->parts_cap, s->nparts + 1, sizeof(struct mem_part *));
    struct mem_part *p = part_new(m, table_get(t), copy, nsel);
    s->parts[s->nparts++] = p;
    if (p->settled)
        arrange(s);
    else
        gather(m, s, level_of(p));
}
