/* Samples of one series on their way to a query or a segment: parallel arrays in an arena, first in order of
 * arrival, then settled: ascending in time, one a timestamp, the last arrival. */
#ifndef STORAGE_METRIC_SAMPLES_H
#define STORAGE_METRIC_SAMPLES_H

#include "storage/view.h"

struct sample_set {
    uint32_t n, cap;
    int64_t *t;
    double *v;                 /* 0 where a histogram is */
    const struct nhist **hist; /* NULL until a histogram comes */
    int64_t *st;               /* NULL until a start timestamp comes */
    const struct metric_block **win; /* NULL, or of each NULL or the summary whose last sample it is (downsample.h) */
    bool times_stay;           /* t is the view's and belongs to other series too: not to be changed (seg_times.h) */
    bool unmarked;             /* no value is a stale marker */
    bool rising;               /* no value is less than the one before */
};

void sample_set_init(struct sample_set *s, struct arena *a, uint32_t cap, bool with_hist, bool with_st);
/* cap was counted before; the arrays that were not asked for at init stay NULL. */
void sample_set_put(struct sample_set *s, int64_t t, double v, const struct nhist *h, int64_t st);
/* Room for cap samples of either kind; sample i of another set, with all it has. */
void sample_set_init_like(struct sample_set *s, struct arena *a, uint32_t cap, const struct sample_set *x, const struct sample_set *y);
void sample_set_put_from(struct sample_set *s, const struct sample_set *from, uint32_t i);
void sample_set_settle(struct sample_set *s, struct arena *a);
/* Of the samples from number `from` on, keeps those in [tmin, tmax]; or those outside of it. */
void sample_set_cut(struct sample_set *s, uint32_t from, int64_t tmin, int64_t tmax, bool keep_inside);
/* Both settled; at equal times newer wins. *out may be one of the two, or shares their memory. */
void sample_set_merge(const struct sample_set *older, const struct sample_set *newer, struct arena *a,
                      struct sample_set *out);

/* For loops over data that may run outside of fibers too (tests). */
MUST_CHECK static inline err_t metric_checkpoint(void)
{
    return rt_in_fiber() ? rt_checkpoint() : OK;
}

#endif
