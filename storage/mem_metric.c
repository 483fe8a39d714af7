#include "storage/mem_metric_impl.h"

#include "base/core/assert.h"
#include "storage/col_sample.h"

#include <stdlib.h>

enum { LOOKAHEAD = 12, NOT_MINE = UINT32_MAX };

/* -- life ---------------------------------------------------------------------------------------------- */

struct mem_metric *mem_metric_new(struct budget *budget)
{
    struct mem_metric *m = calloc(1, sizeof *m);
    ASSERT(m);
    m->budget = budget;
    arena_init(&m->mem, budget);
    buf_init(&m->hist, SIZE_MAX, budget);
    return m;
}

void mem_metric_free(struct mem_metric *m)
{
    if (!m) return;
    for (uint32_t i = 0; i < m->ntenants; i++) {
        struct mem_tenant *t = m->tenant[i];
        htab_deinit(&t->ids);
        htab_deinit(&t->index.names);
        htab_deinit(&t->index.pairs);
        htab_deinit(&t->families);
    }
    buf_deinit(&m->hist);
    arena_deinit(&m->mem);
    free(m);
}

bool mem_metric_empty(const struct mem_metric *m)
{
    for (uint32_t i = 0; i < m->ntenants; i++)
        if (m->tenant[i]->nsamples || m->tenant[i]->nmeta) return false;
    return true;
}

struct mem_tenant *mem_metric_tenant(const struct mem_metric *m, struct str tenant)
{
    for (uint32_t i = 0; i < m->ntenants; i++)
        if (str_eq(m->tenant[i]->tenant, tenant)) return m->tenant[i];
    return NULL;
}

/* The one asked for last stands first: a node has few busy tenants. */
static struct mem_tenant *tenant_of(struct mem_metric *m, struct str tenant)
{
    for (uint32_t i = 0; i < m->ntenants; i++) {
        struct mem_tenant *t = m->tenant[i];
        if (!str_eq(t->tenant, tenant)) continue;
        m->tenant[i] = m->tenant[0];
        m->tenant[0] = t;
        return t;
    }
    struct mem_tenant *t = ARENA_NEW(&m->mem, struct mem_tenant);
    t->tenant = arena_str(&m->mem, tenant);
    htab_init(&t->ids, m->budget);
    htab_init(&t->index.names, m->budget);
    htab_init(&t->index.pairs, m->budget);
    htab_init(&t->families, m->budget);
    m->tenant = mem_metric_grow(m, m->tenant, m->ntenants, &m->cap_tenants, m->ntenants + 1, sizeof *m->tenant);
    m->tenant[m->ntenants++] = t;
    return t;
}

void *mem_metric_grow(struct mem_metric *m, void *p, uint32_t used, size_t *cap, size_t want, size_t elem)
{
    if (want <= *cap) return p;
    size_t bytes = MAX(want, *cap * 2) * elem;
    unsigned class = 64 - (unsigned)__builtin_clzll(MAX(bytes, 16) - 1);
    ASSERT(class < BLOCK_CLASSES);
    void **freed = &m->free_block[class];
    void *q = *freed;
    if (q) memcpy(freed, q, sizeof *freed);
    else q = arena_alloc(&m->mem, (size_t)1 << class);
    if (used) memcpy(q, p, used * elem);
    if (*cap) {
        /* Of the class that it was made for, or a lower one. */
        unsigned old = 63 - (unsigned)__builtin_clzll(*cap * elem);
        if (old >= 3) {
            memcpy(p, &m->free_block[old], sizeof(void *));
            m->free_block[old] = p;
        }
    }
    *cap = ((size_t)1 << class) / elem;
    return q;
}

/* -- blocks --------------------------------------------------------------------------------------------- */

static void pack(struct mem_metric *m, struct mem_series *s)
{
    int64_t t[OPEN_MAX], tmin = INT64_MAX, tmax = INT64_MIN;
    double v[OPEN_MAX];
    uint8_t bytes[2 * COL_SAMPLE_BOUND(OPEN_MAX)];
    uint32_t from = OPEN_MAX, first_seq = 0;
    /* From the newest chunk back to the oldest: samples fill the arrays from their end. */
    for (struct mem_open *o = s->open, *older; o; o = older) {
        from -= o->n;
        for (uint32_t i = 0; i < o->n; i++) {
            t[from + i] = o->base_ms + o->s[i].dt;
            memcpy(&v[from + i], o->s[i].v, 8);
            tmin = MIN(tmin, t[from + i]);
            tmax = MAX(tmax, t[from + i]);
        }
        first_seq = o->first_seq;
        older = o->older;
        o->older = m->free_open;
        m->free_open = o;
    }
    s->open = NULL;
    uint32_t count = OPEN_MAX - from;
    size_t n = sample_i64_encode(t + from, count, bytes);
    n += sample_f64_encode(v + from, count, bytes + n);
    struct mem_packed *p = arena_alloc_aligned(&m->mem, sizeof *p + n, 8);
    *p = (struct mem_packed){ .older = s->packed, .tmin = tmin, .tmax = tmax, .first_seq = first_seq,
                              .n = (uint16_t)count, .bytes = (uint16_t)n };
    memcpy(p->data, bytes, n);
    s->packed = p;
}

/* Called when the open chunk of s cannot take a sample at t: a new one. */
static struct mem_open *next_chunk(struct mem_metric *m, struct mem_series *s, int64_t t)
{
    struct mem_open *o = s->open, *fresh;
    uint32_t seq = o ? o->first_seq + o->n : 0;
    if (o && o->chunks == OPEN_CHUNKS) pack(m, s);
    fresh = m->free_open;
    if (fresh) m->free_open = fresh->older;
    else fresh = arena_alloc_aligned(&m->mem, sizeof *fresh, 64);
    o = s->open;
    fresh->older = o;
    fresh->base_ms = t;
    fresh->first_seq = seq;
    fresh->n = 0;
    fresh->chunks = o ? (uint16_t)(o->chunks + 1) : 1;
    return s->open = fresh;
}

static inline void append(struct mem_metric *m, struct mem_series *s, int64_t t, double v)
{
    struct mem_open *o = s->open;
    int64_t dt = o ? (int64_t)((uint64_t)t - (uint64_t)o->base_ms) : INT64_MAX;
    if (__builtin_expect(dt != (int32_t)dt || o->n == OPEN_SAMPLES, 0)) {
        o = next_chunk(m, s, t);
        dt = 0;
    }
    struct mem_sample *e = &o->s[o->n++];
    e->dt = (int32_t)dt;
    memcpy(e->v, &v, 8);
    if (t < s->tmin) s->tmin = t;
    if (t > s->tmax) s->tmax = t;
}

/* -- what is rare: start timestamps and histograms -------------------------------------------------------- */

static struct mem_side *side_of(struct mem_metric *m, struct mem_series *s)
{
    if (!s->side) s->side = ARENA_NEW(&m->mem, struct mem_side);
    return s->side;
}

static uint32_t next_seq(const struct mem_series *s)
{
    return s->open ? s->open->first_seq + s->open->n : 0;
}

/* Before the sample itself is appended. */
static void note_start(struct mem_metric *m, struct mem_series *s, int64_t st)
{
    int64_t last = s->side && s->side->nrun ? s->side->run[s->side->nrun - 1].st : ST_NONE;
    if (st == last) return;
    struct mem_side *d = side_of(m, s);
    d->run = mem_metric_grow(m, d->run, d->nrun, &d->cap_run, d->nrun + 1, sizeof *d->run);
    d->run[d->nrun++] = (struct mem_st_run){ next_seq(s), st };
}

static void append_hist(struct mem_metric *m, struct mem_series *s, int64_t t, int64_t st, const struct nhist *h)
{
    struct mem_side *d = side_of(m, s);
    buf_clear(&m->hist);
    nhist_encode(h, &m->hist);
    d->hist = mem_metric_grow(m, d->hist, d->nhist, &d->cap_hist, d->nhist + 1, sizeof *d->hist);
    d->hist[d->nhist++] = (struct mem_hist){ t, st, next_seq(s), (uint32_t)m->hist.n,
                                             arena_dup(&m->mem, m->hist.p, m->hist.n) };
    if (t < s->tmin) s->tmin = t;
    if (t > s->tmax) s->tmax = t;
}

/* -- insert -------------------------------------------------------------------------------------------------- */

static uint32_t add_series(struct mem_metric *m, struct mem_tenant *t, hash128 id, struct str canonical)
{
    ASSERT(canonical.p);
    uint32_t i = t->nseries;
    if (i % SERIES_CHUNK == 0) {
        size_t cap = t->cap_chunks, at = i / SERIES_CHUNK;
        t->chunk = mem_metric_grow(m, t->chunk, (uint32_t)at, &cap, at + 1, sizeof *t->chunk);
        t->cap_chunks = (uint32_t)cap;
        t->chunk[at] = arena_alloc_aligned(&m->mem, SERIES_CHUNK * sizeof(struct mem_series), 64);
    }
    const uint32_t *labels = mem_labels_put(m, t, canonical);
    t->nseries++;
    *mem_series_at(t, i) = (struct mem_series){ .id = id, .tmin = INT64_MAX, .tmax = INT64_MIN, .labels = labels };
    htab_insert(&t->ids, id.lo, i);
    return i;
}

static inline const struct htab_entry *slot_of(const struct mem_tenant *t, hash128 id)
{
    return &t->ids.entries[(uint32_t)id.lo & t->ids.mask];
}

/* Numbers of the batch's series. The table and the series are far bigger than caches: both are fetched some
 * series ahead. */
static void resolve(struct mem_metric *m, struct mem_tenant *t, const struct metric_batch *b, const uint8_t *mine,
                    uint32_t *no)
{
    for (uint32_t i = 0; i < b->nseries; i++) {
        if (t->ids.entries && i + 2 * LOOKAHEAD < b->nseries) {
            __builtin_prefetch(slot_of(t, b->id[i + 2 * LOOKAHEAD]));
            uint32_t ahead = slot_of(t, b->id[i + LOOKAHEAD])->value;
            if (ahead) __builtin_prefetch(mem_series_at(t, ahead - 1), 1);
        }
        no[i] = NOT_MINE;
        if (mine && !mine[i]) continue;
        for (uint32_t it = 0, v; htab_next(&t->ids, b->id[i].lo, &it, &v);) {
            if (!hash128_eq(mem_series_at(t, v)->id, b->id[i])) continue;
            no[i] = v;
            break;
        }
        if (no[i] == NOT_MINE) no[i] = add_series(m, t, b->id[i], b->canonical[i]);
    }
}

static void prefetch_ahead(const struct mem_tenant *t, const struct metric_batch *b, const uint32_t *no, uint32_t i)
{
    if (i + LOOKAHEAD >= b->nsamples) return;
    uint32_t far = no[b->series[i + LOOKAHEAD]], near = no[b->series[i + LOOKAHEAD / 2]];
    if (far != NOT_MINE) __builtin_prefetch(mem_series_at(t, far)->open, 1);
    if (near == NOT_MINE) return;
    const struct mem_open *o = mem_series_at(t, near)->open;
    if (o) __builtin_prefetch(&o->s[o->n], 1);
}

/* The samples from i on that are of the same series: one in a scrape, many where a sender catches up. */
static inline uint32_t run_end(const struct metric_batch *b, uint32_t i)
{
    uint32_t series = b->series[i++];
    while (i < b->nsamples && b->series[i] == series)
        i++;
    return i;
}

static inline void append_run(struct mem_metric *m, struct mem_series *s, const struct metric_batch *b, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (__builtin_expect(b->st_ms || s->side, 0)) note_start(m, s, b->st_ms ? b->st_ms[i] : ST_NONE);
        append(m, s, b->t_ms[i], b->value[i]);
    }
}

void mem_metric_insert(struct mem_metric *m, struct str tenant, const struct metric_batch *b, const uint8_t *mine)
{
    if (b->nseries == 0) return;
    struct mem_tenant *t = tenant_of(m, tenant);
    m->scratch = mem_metric_grow(m, m->scratch, 0, &m->cap_scratch, b->nseries, sizeof *m->scratch);
    uint32_t *no = m->scratch;
    resolve(m, t, b, mine, no);
    for (uint32_t i = 0, end; i < b->nsamples; i = end) {
        prefetch_ahead(t, b, no, i);
        end = run_end(b, i);
        uint32_t k = no[b->series[i]];
        if (k == NOT_MINE) continue;
        append_run(m, mem_series_at(t, k), b, i, end);
        t->nsamples += end - i;
    }
    for (uint32_t i = 0; i < b->nhists; i++) {
        uint32_t k = no[b->hseries[i]];
        if (k == NOT_MINE) continue;
        append_hist(m, mem_series_at(t, k), b->ht_ms[i], b->hst_ms ? b->hst_ms[i] : ST_NONE, b->hist[i]);
        t->nsamples++;
    }
}

void mem_metric_meta(struct mem_metric *m, struct str tenant, const struct metric_meta *meta, uint32_t n)
{
    if (n == 0) return;
    struct mem_tenant *t = tenant_of(m, tenant);
    for (uint32_t i = 0; i < n; i++) {
        struct metric_meta *to = NULL;
        uint64_t hash = hash_seeded64(meta[i].family);
        for (uint32_t it = 0, v; !to && htab_next(&t->families, hash, &it, &v);)
            if (str_eq(t->meta[v].family, meta[i].family)) to = &t->meta[v];
        if (!to) {
            t->meta = mem_metric_grow(m, t->meta, t->nmeta, &t->cap_meta, t->nmeta + 1, sizeof *t->meta);
            htab_insert(&t->families, hash, t->nmeta);
            to = &t->meta[t->nmeta++];
            *to = (struct metric_meta){ .family = arena_str(&m->mem, meta[i].family) };
        }
        /* Metadata comes again with every request: only changes are copied. */
        if (!str_eq(to->type, meta[i].type)) to->type = arena_str(&m->mem, meta[i].type);
        if (!str_eq(to->unit, meta[i].unit)) to->unit = arena_str(&m->mem, meta[i].unit);
        if (!str_eq(to->help, meta[i].help)) to->help = arena_str(&m->mem, meta[i].help);
    }
}
