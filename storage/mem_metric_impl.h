/* Inside of the metrics memtable, for mem_metric*.c (sealing among them) and metric_select.c (reading).
 *
 * A series is one cache line (struct mem_series) beside its label set: the numbers of its pairs of name and value, each of
 * which stands in the memtable once (mem_metric_labels.c). Its float samples go into open chunks of
 * 8 (time as a 32-bit difference to the chunk's base, value: 12 bytes a sample); 2 of them are packed by
 * col_sample into a block. Chunks and blocks are chained newest first. Chunks are all of one size, because series
 * of one scrape fill and empty in step: arrays that grow would leave all their smaller ones behind. Start
 * timestamps and histograms are rare: they hang off `side`. Samples keep their order of arrival; reading settles it.
 * `seq` is the arrival number of a float sample in its series. */
#ifndef STORAGE_MEM_METRIC_IMPL_H
#define STORAGE_MEM_METRIC_IMPL_H

#include "base/core/htab.h"
#include "storage/mem_metric.h"
#include "storage/metric_samples.h"

struct mem_sample { /* 12 bytes: a block of them stays within few cache lines */
    int32_t dt;
    uint32_t v[2]; /* the double's bits */
};
enum { OPEN_SAMPLES = 8, OPEN_CHUNKS = 2, OPEN_MAX = OPEN_SAMPLES * OPEN_CHUNKS };
struct mem_open {
    struct mem_open *older; /* of at most OPEN_CHUNKS */
    int64_t base_ms;
    uint32_t first_seq;
    uint16_t n, chunks; /* chunks: with the older ones */
    struct mem_sample s[OPEN_SAMPLES];
    uint64_t unused; /* two cache lines */
};
_Static_assert(sizeof(struct mem_open) == 128, "two cache lines");
struct mem_packed {
    struct mem_packed *older;
    int64_t tmin, tmax;
    uint32_t first_seq;
    uint16_t n, bytes;
    uint8_t data[]; /* sample_i64 times, sample_f64 values */
};
struct mem_st_run { /* samples from seq on have this start timestamp */
    uint32_t seq;
    int64_t st;
};
struct mem_hist {
    int64_t t, st;
    uint32_t seq; /* float samples that arrived before it */
    uint32_t bytes;
    const char *data; /* nhist_encode */
};
struct mem_side {
    struct mem_st_run *run;
    struct mem_hist *hist;
    uint32_t nrun, nhist;
    size_t cap_run, cap_hist;
};
struct mem_series {
    hash128 id;
    int64_t tmin, tmax;
    struct mem_open *open;
    struct mem_packed *packed;
    struct mem_side *side;
    const uint32_t *labels; /* how many, and the numbers of its pairs, in the order of their names */
};
_Static_assert(sizeof(struct mem_series) == 64, "one cache line");

/* Names, their values, and which series have them: the last is entered when a selection wants it. */
struct mem_pair {
    const uint8_t *bytes; /* as in canonical bytes: varint length, name, varint length, value */
    uint32_t size;        /* of bytes */
    uint32_t value_size, name;
    uint32_t next;        /* next pair of the name, + 1 */
    uint32_t count, cap;  /* series; cap 0: their numbers stand in `few` */
    union {
        uint32_t few[2];
        uint32_t *series; /* ascending */
    };
};
struct mem_name {
    struct str name; /* in the bytes of its first pair */
    uint32_t first;  /* pair, + 1 */
};
struct mem_index {
    struct htab names, pairs;
    struct mem_name *name;
    struct mem_pair *pair;
    uint32_t nnames, npairs, upto; /* upto: series entered */
    size_t cap_names, cap_pairs;
};

enum { SERIES_CHUNK = 1024 };
struct mem_tenant {
    struct str tenant;
    struct htab ids;
    struct mem_series **chunk;
    uint32_t nseries, cap_chunks;
    uint64_t nsamples;
    struct mem_index index;
    struct htab families;
    struct metric_meta *meta; /* latest of each family */
    uint32_t nmeta;
    size_t cap_meta;
};

enum { BLOCK_CLASSES = 32 };
struct mem_metric {
    struct budget *budget;
    struct arena mem;
    struct mem_tenant **tenant;
    uint32_t ntenants;
    size_t cap_tenants;
    struct mem_open *free_open; /* chained by `older` */
    void *free_block[BLOCK_CLASSES]; /* of 2^i bytes: arrays that grow */
    uint32_t *scratch;
    size_t cap_scratch;
    struct buf hist;
};

static inline struct mem_series *mem_series_at(const struct mem_tenant *t, uint32_t i)
{
    return &t->chunk[i / SERIES_CHUNK][i % SERIES_CHUNK];
}
static inline struct str mem_pair_value(const struct mem_pair *p)
{
    return str_n(p->bytes + p->size - p->value_size, p->value_size);
}

/* An array of `elem` bytes each grows to hold `want`; old ones are used again. */
void *mem_metric_grow(struct mem_metric *m, void *p, uint32_t used, size_t *cap, size_t want, size_t elem);

struct mem_tenant *mem_metric_tenant(const struct mem_metric *m, struct str tenant); /* or NULL */
/* The label set of canonical bytes (of labels_encode) for mem_series.labels. */
const uint32_t *mem_labels_put(struct mem_metric *m, struct mem_tenant *t, struct str canonical);
/* Strings lie in the memtable, the array in `a`. */
struct labels mem_labels_get(const struct mem_tenant *t, const struct mem_series *s, struct arena *a);
struct str mem_labels_canonical(const struct mem_tenant *t, const struct mem_series *s, struct arena *a);
/* The places of all pairs in the order of names, then values. In `a`. */
MUST_CHECK err_t mem_labels_ranks(const struct mem_tenant *t, struct arena *a, uint32_t **ranks) MAY_YIELD;
/* As seg_metric_order compares their canonical bytes. */
int mem_series_order(const struct mem_series *x, const struct mem_series *y, const uint32_t *ranks);
/* The pair's number, or UINT32_MAX. */
uint32_t mem_name_find(const struct mem_index *x, struct str name);
uint32_t mem_pair_find(const struct mem_index *x, uint32_t name, struct str value);
/* Enters some more series into the index; true while there are others left. */
bool mem_index_some(struct mem_metric *m, struct mem_tenant *t);
/* Numbers of the series that match, of those in the index now, and overlap the time range; ascending. Inserts and
 * other selections may run meanwhile: they only add. */
MUST_CHECK err_t mem_tenant_select(struct mem_tenant *t, const struct matcher *ms, uint32_t nm, int64_t tmin_ms,
                                   int64_t tmax_ms, struct arena *a, uint32_t **out, uint32_t *n) MAY_YIELD;
/* Settled samples in [tmin_ms, tmax_ms]. */
MUST_CHECK err_t mem_series_read(const struct mem_series *s, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                                 struct sample_set *out);

#endif
