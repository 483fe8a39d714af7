/* Builds a struct metric_batch: series are found by id, samples go into growing arrays. Everything lives in
 * the caller's arena, except the exemplars' table. */
#ifndef SERVER_INGEST_METRIC_BUILDER_H
#define SERVER_INGEST_METRIC_BUILDER_H

#include "base/core/htab.h"
#include "storage/batch.h"

struct metric_builder {
    struct arena *arena;
    struct budget *budget;
    struct metric_batch batch; /* valid after metric_builder_finish */
    struct htab by_id, by_family;
    size_t series_cap, canonical_cap;
    uint32_t sample_cap;
    size_t hseries_cap, ht_cap, hst_cap, hist_cap;
    size_t meta_cap;
    bool any_hst;
    struct table_builder *exemplars;
    uint64_t nexemplars, exemplars_dropped; /* past TABLE_ROWS_MAX in one request */
};

void metric_builder_init(struct metric_builder *b, struct arena *a, struct budget *budget);
/* Index of the series; `canonical` is borrowed for the life of the batch. */
uint32_t metric_builder_series(struct metric_builder *b, hash128 id, struct str canonical);
/* A series that the caller knows is not in the batch yet. */
uint32_t metric_builder_new_series(struct metric_builder *b, hash128 id, struct str canonical);
/* Room for more samples; the array of start timestamps, which there is none of before a sample has one. */
void metric_builder_more_samples(struct metric_builder *b);
void metric_builder_starts(struct metric_builder *b);
static inline void metric_builder_sample(struct metric_builder *b, uint32_t series, int64_t t_ms, double value, int64_t st_ms)
{
    struct metric_batch *m = &b->batch;
    if (__builtin_expect(m->nsamples == b->sample_cap, 0)) metric_builder_more_samples(b);
    if (__builtin_expect(st_ms != ST_NONE && !m->st_ms, 0)) metric_builder_starts(b);
    uint32_t i = m->nsamples++;
    m->series[i] = series;
    m->t_ms[i] = t_ms;
    m->value[i] = value;
    if (m->st_ms) m->st_ms[i] = st_ms;
}
void metric_builder_hist(struct metric_builder *b, uint32_t series, int64_t t_ms, const struct nhist *h, int64_t st_ms);
/* The last description of a family wins. The strings are borrowed. */
void metric_builder_meta(struct metric_builder *b, const struct metric_meta *meta);

/* Begins an exemplar's row: then table_set_* on b->exemplars with SC_ATTR for its labels. False when the
 * table is full: it is counted as dropped. Ids that are NULL are absent. */
bool metric_builder_exemplar(struct metric_builder *b, uint32_t series, int64_t time_ns, double value,
                             const uint8_t *trace_id, const uint8_t *span_id);

MUST_CHECK err_t metric_builder_check(const struct metric_builder *b);
/* The batch, ready for the store. */
struct metric_batch *metric_builder_finish(struct metric_builder *b);
void metric_builder_deinit(struct metric_builder *b); /* puts the exemplars' table */

#endif
