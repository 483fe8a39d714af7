/* What a core holds, and how the rows of a request find their cores. */
#include "base/core/assert.h"
#include "storage/partition.h"
#include "storage/store_int.h"

#include <stdlib.h>

/* -- memtables and segments of a shard ------------------------------------------------------------------- */

static struct mem *mem_find(const struct shard *sh, uint64_t generation, uint64_t stream)
{
    for (uint32_t i = sh->nmems; i-- > 0;)
        if (sh->mems[i]->generation == generation && sh->mems[i]->stream == stream) return sh->mems[i];
    return NULL;
}

static bool mem_before(const struct mem *a, const struct mem *b)
{
    return a->generation != b->generation ? a->generation < b->generation : a->stream < b->stream;
}

struct mem *shard_mem(struct shard *sh, uint64_t generation, uint64_t stream)
{
    struct mem *m = mem_find(sh, generation, stream);
    if (m) return m;
    ASSERT(generation > atomic_load(&sh->store->sealed_gen));
    ASSERT(store_stream_known(sh->store, stream));
    m = calloc(1, sizeof *m);
    ASSERT(m != NULL);
    *m = (struct mem){ .generation = generation, .stream = stream, .refs = 1, .rows = mem_rows_new(&sh->store->mem),
                       .metrics = mem_metric_new(&sh->store->mem) };
    sh->mems = store_grow(sh->mems, &sh->mems_cap, sh->nmems + 1, sizeof(struct mem *));
    uint32_t at = sh->nmems++;
    for (; at > 0 && mem_before(m, sh->mems[at - 1]); at--)
        sh->mems[at] = sh->mems[at - 1];
    sh->mems[at] = m;
    return m;
}

void mem_put(struct mem *m)
{
    ASSERT(m->refs > 0);
    if (--m->refs > 0) return;
    mem_rows_free(m->rows);
    mem_metric_free(m->metrics);
    free(m);
}

static bool seg_before(const struct seg_info *a, const struct seg_info *b)
{
    if (a->generation != b->generation) return a->generation < b->generation;
    return a->stream != b->stream ? a->stream < b->stream : a->core < b->core;
}

void shard_coming_add(struct shard *sh, struct seg *g)
{
    sh->coming = store_grow(sh->coming, &sh->coming_cap, sh->ncoming + 1, sizeof(struct seg *));
    sh->coming[sh->ncoming++] = g;
}

void shard_coming_drop(struct shard *sh)
{
    while (sh->ncoming > 0)
        seg_put(sh->coming[--sh->ncoming]);
}

void shard_seg_add(struct shard *sh, struct seg *g)
{
    sh->segs = store_grow(sh->segs, &sh->segs_cap, sh->nsegs + 1, sizeof(struct seg *));
    uint32_t at = sh->nsegs++;
    for (; at > 0 && seg_before(seg_info(g), seg_info(sh->segs[at - 1])); at--)
        sh->segs[at] = sh->segs[at - 1];
    sh->segs[at] = g;
}

bool shard_wants_seg(const struct store *s, unsigned core, const struct seg_info *i)
{
    return seg_may_be_of(i, core, s->cores, s->partitions);
}

/* -- splitting a request ----------------------------------------------------------------------------------- */

struct piece { /* what one core gets of one table, or of one metric batch */
    const struct batch *b;
    struct table *t;     /* NULL: the metric batch */
    enum signal signal;
    const uint32_t *sel; /* of t; NULL = all rows */
    uint32_t nsel;
    const uint8_t *mine; /* of the metric batch; NULL = all series */
    bool meta;           /* metadata too */
};
struct share { /* of one core */
    struct store *store;
    uint64_t generation, stream;
    struct piece *pieces;
    size_t n, cap;
};
struct split {
    struct store *store;
    struct arena *a;
    struct share *shares; /* [cores] */
    const struct batch **batches;
    size_t batches_cap;
    uint32_t nbatches;
};

struct split *split_new(struct store *s, struct arena *a)
{
    struct split *sp = ARENA_NEW(a, struct split);
    *sp = (struct split){ .store = s, .a = a, .shares = ARENA_ARRAY(a, struct share, s->cores) };
    for (unsigned c = 0; c < s->cores; c++)
        sp->shares[c].store = s;
    return sp;
}

static void add_piece(struct split *sp, unsigned core, struct piece p)
{
    struct share *sh = &sp->shares[core];
    sh->pieces = arena_grow(sp->a, sh->pieces, sh->n, &sh->cap, sh->n + 1, sizeof *sh->pieces);
    sh->pieces[sh->n++] = p;
}

static void split_rows(struct split *sp, const struct batch *b, enum signal signal, struct table *t)
{
    struct store *s = sp->store;
    struct piece p = { .b = b, .t = t, .signal = signal };
    if (t->nrows == 0) return;
    if (s->cores == 1) {
        add_piece(sp, 0, p);
        return;
    }
    uint32_t *part = ARENA_RAW(sp->a, uint32_t, t->nrows), *counts = ARENA_ARRAY(sp->a, uint32_t, s->cores);
    partition_rows(b->tenant, signal, t, s->partitions, part);
    for (uint32_t i = 0; i < t->nrows; i++) {
        part[i] %= s->cores;
        counts[part[i]]++;
    }
    for (unsigned c = 0; c < s->cores; c++) {
        if (counts[c] == 0) continue;
        p.sel = NULL;
        if (counts[c] < t->nrows) {
            uint32_t *sel = ARENA_RAW(sp->a, uint32_t, counts[c]), n = 0;
            for (uint32_t i = 0; i < t->nrows; i++)
                if (part[i] == c) sel[n++] = i;
            p.sel = sel;
            p.nsel = n;
        }
        add_piece(sp, c, p);
    }
}

static void split_metrics(struct split *sp, const struct batch *b, const uint8_t *skip)
{
    struct store *s = sp->store;
    const struct metric_batch *m = b->metrics;
    unsigned here = rt_core();
    if (m->exemplars) split_rows(sp, b, SIG_EXEMPLARS, m->exemplars);
    if (s->cores == 1 && !skip) {
        add_piece(sp, 0, (struct piece){ .b = b, .meta = true });
        return;
    }
    for (unsigned c = 0; c < s->cores; c++) {
        uint8_t *mine = ARENA_ARRAY(sp->a, uint8_t, m->nseries + 1);
        uint32_t n = 0;
        for (uint32_t i = 0; i < m->nseries; i++) {
            mine[i] = !(skip && skip[i]) && partition_series(b->tenant, m->id[i], s->partitions) % s->cores == c;
            n += mine[i];
        }
        if (n > 0 || (c == here && m->nmeta > 0))
            add_piece(sp, c, (struct piece){ .b = b, .mine = mine, .meta = c == here });
    }
}

void split_add(struct split *sp, const struct batch *b, const uint8_t *skip)
{
    sp->batches = arena_grow(sp->a, sp->batches, sp->nbatches, &sp->batches_cap, sp->nbatches + 1, sizeof *sp->batches);
    sp->batches[sp->nbatches++] = b;
    if (b->signal == SIG_METRICS) {
        split_metrics(sp, b, skip);
        return;
    }
    for (uint32_t i = 0; i < b->ntables; i++)
        split_rows(sp, b, b->signal, b->tables[i]);
}

static void insert_piece(struct mem *m, const struct piece *p)
{
    const struct batch *b = p->b;
    if (p->t) {
        mem_rows_insert(m->rows, b->tenant, p->signal, b->index, p->t, p->sel, p->nsel);
        return;
    }
    mem_metric_insert(m->metrics, b->tenant, b->metrics, p->mine);
    if (p->meta && b->metrics->nmeta > 0)
        mem_metric_meta(m->metrics, b->tenant, b->metrics->meta, b->metrics->nmeta);
}

static err_t insert_share(void *arg)
{
    struct share *sh = arg;
    if (sh->n == 0) return OK;
    struct mem *m = shard_mem(shard_here(sh->store), sh->generation, sh->stream);
    ASSERT(!m->frozen);
    for (size_t i = 0; i < sh->n; i++)
        insert_piece(m, &sh->pieces[i]);
    sh->n = 0; /* done: it may be called again */
    return OK;
}

static void uncharge(const struct batch *b)
{
    for (uint32_t i = 0; i < b->ntables; i++)
        table_uncharge(b->tables[i]);
    if (b->metrics && b->metrics->exemplars) table_uncharge(b->metrics->exemplars);
}

void split_insert(struct split *sp, uint64_t generation, uint64_t stream)
{
    struct store *s = sp->store;
    for (unsigned c = 0; c < s->cores; c++) {
        sp->shares[c].generation = generation;
        sp->shares[c].stream = stream;
    }
    for (unsigned c = 0; c < s->cores; c++) {
        if (sp->shares[c].n == 0) continue;
        /* The frame is synced: the rows must get in, however busy that core is. */
        while (rt_call(c, RT_INGEST, insert_share, &sp->shares[c]) != OK) {
            err_t e = fiber_sleep(NS_PER_MS);
            ASSERT(e == OK);
        }
    }
    /* From here the memtables' budget counts the tables; the request's must not keep them too. */
    for (uint32_t i = 0; i < sp->nbatches; i++)
        uncharge(sp->batches[i]);
}
