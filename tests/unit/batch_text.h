/* A metric batch as text, a line a sample in the order of the batch: name{label="value",...} time value [@start]. */
#ifndef TESTS_UNIT_BATCH_TEXT_H
#define TESTS_UNIT_BATCH_TEXT_H

#include "storage/metric.h"

#include <criterion/criterion.h>

static inline void batch_series_text(const struct metric_batch *m, uint32_t s, struct arena *a, struct buf *out)
{
    struct labels ls;
    cr_assert_eq(labels_decode(m->canonical[s], a, &ls), OK, "%s", err_detail());
    hash128 id = series_id(m->canonical[s]);
    cr_assert(hash128_eq(id, m->id[s]));
    buf_str(out, labels_get(&ls, STR("__name__")));
    const char *sep = "{";
    for (uint32_t i = 0; i < ls.n; i++) {
        if (str_is(ls.l[i].name, "__name__")) continue;
        buf_printf(out, "%s%.*s=\"%.*s\"", sep, STR_ARG(ls.l[i].name), STR_ARG(ls.l[i].value));
        sep = ",";
    }
    if (*sep == ',') buf_byte(out, '}');
}
static inline void batch_value_text(double v, int64_t t, int64_t st, struct buf *out)
{
    if (is_stale_nan(v))
        buf_printf(out, " %lld stale", (long long)t);
    else
        buf_printf(out, " %lld %.10g", (long long)t, v);
    if (st != ST_NONE) buf_printf(out, " @%lld", (long long)st);
    buf_byte(out, '\n');
}
static inline void batch_hist_text(const struct nhist *h, struct buf *out)
{
    buf_printf(out, " schema=%d hint=%d count=%g zero=%g/%g", h->schema, h->hint, h->count, h->zero_count, h->zero_threshold);
    uint32_t k = 0;
    int64_t at = 0;
    for (uint32_t i = 0; i < h->npos_spans; i++) {
        at += h->pos_spans[i].offset;
        for (uint32_t j = 0; j < h->pos_spans[i].length; j++)
            buf_printf(out, " %lld:%g", (long long)at++, h->pos[k++]);
    }
    k = 0, at = 0;
    for (uint32_t i = 0; i < h->nneg_spans; i++) {
        at += h->neg_spans[i].offset;
        for (uint32_t j = 0; j < h->neg_spans[i].length; j++)
            buf_printf(out, " -%lld:%g", (long long)at++, h->neg[k++]);
    }
    for (uint32_t i = 0; i < h->ncustom; i++)
        buf_printf(out, " le%g", h->custom[i]);
}
/* NUL-terminated, in the arena. */
static inline const char *batch_text(const struct metric_batch *m, struct arena *a)
{
    struct buf out;
    buf_init(&out, 16 << 20, NULL);
    for (uint32_t i = 0; i < m->nsamples; i++) {
        batch_series_text(m, m->series[i], a, &out);
        batch_value_text(m->value[i], m->t_ms[i], m->st_ms ? m->st_ms[i] : ST_NONE, &out);
    }
    for (uint32_t i = 0; i < m->nhists; i++) {
        batch_series_text(m, m->hseries[i], a, &out);
        batch_hist_text(m->hist[i], &out);
        batch_value_text(m->hist[i]->sum, m->ht_ms[i], m->hst_ms ? m->hst_ms[i] : ST_NONE, &out);
    }
    for (uint32_t i = 0; i < m->nmeta; i++)
        buf_printf(&out, "# %.*s|%.*s|%.*s|%.*s\n", STR_ARG(m->meta[i].family), STR_ARG(m->meta[i].type),
                   STR_ARG(m->meta[i].unit), STR_ARG(m->meta[i].help));
    struct str s = arena_str(a, buf_view(&out));
    buf_deinit(&out);
    return s.p;
}

#endif
