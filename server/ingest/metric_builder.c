#include "server/ingest/metric_builder.h"

#include "base/core/assert.h"

void metric_builder_init(struct metric_builder *b, struct arena *a, struct budget *budget)
{
    *b = (struct metric_builder){ .arena = a, .budget = budget };
    htab_init(&b->by_id, budget);
    htab_init(&b->by_family, budget);
}

void metric_builder_deinit(struct metric_builder *b)
{
    if (b->exemplars) table_builder_free(b->exemplars);
    b->exemplars = NULL;
    if (b->batch.exemplars) table_put(b->batch.exemplars);
    b->batch.exemplars = NULL;
    htab_deinit(&b->by_id);
    htab_deinit(&b->by_family);
}

#define GROW(arr, n, cap) ((arr) = arena_grow(b->arena, (arr), (n), &(cap), (size_t)(n) + 1, sizeof *(arr)))

uint32_t metric_builder_new_series(struct metric_builder *b, hash128 id, struct str canonical)
{
    struct metric_batch *m = &b->batch;
    GROW(m->id, m->nseries, b->series_cap);
    GROW(m->canonical, m->nseries, b->canonical_cap);
    m->id[m->nseries] = id;
    m->canonical[m->nseries] = canonical;
    return m->nseries++;
}

uint32_t metric_builder_series(struct metric_builder *b, hash128 id, struct str canonical)
{
    struct metric_batch *m = &b->batch;
    for (uint32_t it = 0, v; htab_next(&b->by_id, id.lo, &it, &v);)
        if (hash128_eq(m->id[v], id)) return v;
    htab_insert(&b->by_id, id.lo, m->nseries);
    return metric_builder_new_series(b, id, canonical);
}

enum { SAMPLES_FIRST = 256 };

static void *grown(struct metric_builder *b, void *p, uint32_t cap, size_t elem)
{
    size_t had = b->sample_cap;
    return arena_grow(b->arena, p, b->batch.nsamples, &had, cap, elem);
}

void metric_builder_more_samples(struct metric_builder *b)
{
    struct metric_batch *m = &b->batch;
    uint32_t cap = b->sample_cap ? b->sample_cap * 2 : SAMPLES_FIRST;
    ASSERT(cap);
    m->series = grown(b, m->series, cap, sizeof *m->series);
    m->t_ms = grown(b, m->t_ms, cap, sizeof *m->t_ms);
    m->value = grown(b, m->value, cap, sizeof *m->value);
    if (m->st_ms) m->st_ms = grown(b, m->st_ms, cap, sizeof *m->st_ms);
    b->sample_cap = cap;
}

void metric_builder_starts(struct metric_builder *b)
{
    struct metric_batch *m = &b->batch;
    if (m->st_ms) return;
    m->st_ms = ARENA_RAW(b->arena, int64_t, b->sample_cap);
    for (uint32_t i = 0; i < m->nsamples; i++)
        m->st_ms[i] = ST_NONE;
}

void metric_builder_hist(struct metric_builder *b, uint32_t series, int64_t t_ms, const struct nhist *h, int64_t st_ms)
{
    struct metric_batch *m = &b->batch;
    GROW(m->hseries, m->nhists, b->hseries_cap);
    GROW(m->ht_ms, m->nhists, b->ht_cap);
    GROW(m->hst_ms, m->nhists, b->hst_cap);
    GROW(m->hist, m->nhists, b->hist_cap);
    m->hseries[m->nhists] = series;
    m->ht_ms[m->nhists] = t_ms;
    m->hst_ms[m->nhists] = st_ms;
    m->hist[m->nhists] = h;
    b->any_hst |= st_ms != ST_NONE;
    m->nhists++;
}

void metric_builder_meta(struct metric_builder *b, const struct metric_meta *meta)
{
    struct metric_batch *m = &b->batch;
    uint64_t hash = hash_seeded64(meta->family);
    for (uint32_t it = 0, v; htab_next(&b->by_family, hash, &it, &v);) {
        if (str_eq(m->meta[v].family, meta->family)) {
            m->meta[v] = *meta;
            return;
        }
    }
    htab_insert(&b->by_family, hash, m->nmeta);
    GROW(m->meta, m->nmeta, b->meta_cap);
    m->meta[m->nmeta++] = *meta;
}

bool metric_builder_exemplar(struct metric_builder *b, uint32_t series, int64_t time_ns, double value,
                             const uint8_t *trace_id, const uint8_t *span_id)
{
    if (!b->exemplars) b->exemplars = table_builder_new(b->budget);
    struct table_builder *t = b->exemplars;
    if (table_builder_full(t)) {
        b->exemplars_dropped++;
        return false;
    }
    hash128 id = b->batch.id[series];
    table_row(t);
    table_set_i64(t, SC_SELF, STR("time"), time_ns);
    table_set_fix(t, SC_SELF, STR("series"), &id, sizeof id);
    table_set_str(t, SC_SELF, STR("labels"), COL_STR, b->batch.canonical[series]);
    table_set_f64(t, SC_SELF, STR("value"), value);
    if (trace_id) table_set_fix(t, SC_SELF, STR("trace_id"), trace_id, 16);
    if (span_id) table_set_fix(t, SC_SELF, STR("span_id"), span_id, 8);
    b->nexemplars++;
    return true;
}

err_t metric_builder_check(const struct metric_builder *b)
{
    TRY(arena_check(b->arena));
    return b->exemplars ? table_builder_check(b->exemplars) : OK;
}

struct metric_batch *metric_builder_finish(struct metric_builder *b)
{
    if (b->exemplars) {
        b->batch.exemplars = table_builder_finish(b->exemplars, STR("time"));
        b->exemplars = NULL;
    }
    if (!b->any_hst) b->batch.hst_ms = NULL;
    return &b->batch;
}
