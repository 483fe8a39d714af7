#include "server/api/prometheus_json.h"

#include "base/rt/rt.h"
#include "query/promql/number.h"

#include <math.h>

static void json_number(struct json_out *j, double v)
{
    char text[PQ_NUMBER_MAX];
    json_str(j, str_n(text, pq_format_api(v, text)));
}

enum { TIME_MAX = 24 };

static size_t time_text(int64_t ms, char *out)
{
    char back[TIME_MAX];
    size_t k = 0, n = 0;
    uint64_t u = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms, part = u % 1000;
    for (int i = 0; u % 1000 && i < 3; i++, part /= 10) back[k++] = (char)('0' + part % 10);
    if (k) back[k++] = '.';
    u /= 1000;
    do back[k++] = (char)('0' + u % 10);
    while (u /= 10);
    if (ms < 0) back[k++] = '-';
    while (k) out[n++] = back[--k];
    return n;
}

void prom_json_time(struct json_out *j, int64_t ms)
{
    char text[TIME_MAX];
    json_raw(j, str_n(text, time_text(ms, text)));
}

void prom_json_labels(struct json_out *j, const struct labels *l)
{
    json_obj(j);
    for (uint32_t i = 0; i < l->n; i++) {
        json_key(j, l->l[i].name);
        json_str(j, l->l[i].value);
    }
    json_obj_end(j);
}

/* Which ends of a bucket belong to it: 0 (lo,hi]  1 [lo,hi)  2 (lo,hi)  3 [lo,hi]. */
static int bucket_rule(const struct pq_hist *h, const struct pq_bucket *b, bool first)
{
    bool lower, upper;
    if (pq_hist_custom(h)) {
        lower = first && b->lower == -INFINITY;
        upper = true;
    } else {
        lower = b->lower < 0 || (b->lower == 0 && b->upper == 0);
        upper = b->upper > 0 || (b->lower == 0 && b->upper == 0);
    }
    return lower ? (upper ? 3 : 1) : (upper ? 0 : 2);
}

static void json_hist(struct json_out *j, const struct pq_hist *h, struct arena *scratch)
{
    struct arena_mark mark = arena_mark(scratch);
    struct pq_bucket *b = ARENA_RAW(scratch, struct pq_bucket, h->pos.n + h->neg.n + 1);
    uint32_t n = pq_hist_buckets(h, b);
    json_obj(j);
    json_keyz(j, "count");
    json_number(j, h->count);
    json_keyz(j, "sum");
    json_number(j, h->sum);
    if (n) {
        json_keyz(j, "buckets");
        json_arr(j);
        for (uint32_t i = 0; i < n; i++) {
            json_arr(j);
            json_i64(j, bucket_rule(h, &b[i], i == 0));
            json_number(j, b[i].lower);
            json_number(j, b[i].upper);
            json_number(j, b[i].count);
            json_arr_end(j);
        }
        json_arr_end(j);
    }
    json_obj_end(j);
    arena_rollback(scratch, mark);
}

static void json_point(struct json_out *j, int64_t t, double v, const struct pq_hist *h, struct arena *scratch)
{
    if (!h) { /* at once: there are many */
        char text[TIME_MAX + PQ_NUMBER_MAX + 8] = "[";
        size_t n = 1 + time_text(t, text + 1);
        memcpy(text + n, ",\"", 2);
        n += 2;
        n += pq_format_api(v, text + n);
        memcpy(text + n, "\"]", 2);
        json_raw(j, str_n(text, n + 2));
        return;
    }
    json_arr(j);
    prom_json_time(j, t);
    json_hist(j, h, scratch);
    json_arr_end(j);
}

static void json_row_instant(struct json_out *j, const struct pq_row *r, int64_t t, struct arena *scratch)
{
    bool hist = r->have[0] == PQ_CELL_HIST;
    json_obj(j);
    json_keyz(j, "metric");
    prom_json_labels(j, &r->labels);
    json_keyz(j, hist ? "histogram" : "value");
    json_point(j, t, r->v[0], hist ? r->h[0] : NULL, scratch);
    json_obj_end(j);
}

struct series_cells { /* one series of a matrix, either form */
    uint32_t n;
    const struct pq_row *row;
    const struct pq_grid *grid;
    const struct pq_samples *samples;
};

static int cell(const struct series_cells *s, uint32_t i, int64_t *t, double *v, const struct pq_hist **h)
{
    if (s->row) {
        *t = pq_grid_at(s->grid, i);
        *v = s->row->v[i];
        *h = s->row->have[i] == PQ_CELL_HIST ? s->row->h[i] : NULL;
        return s->row->have[i];
    }
    *t = s->samples->t[i];
    *v = s->samples->v[i];
    *h = s->samples->h ? s->samples->h[i] : NULL;
    return *h ? PQ_CELL_HIST : PQ_CELL_FLOAT;
}

static void json_series(struct json_out *j, const struct labels *l, const struct series_cells *s,
                        struct arena *scratch)
{
    json_obj(j);
    json_keyz(j, "metric");
    prom_json_labels(j, l);
    for (int kind = PQ_CELL_FLOAT; kind <= PQ_CELL_HIST; kind++) {
        bool open = false;
        for (uint32_t i = 0; i < s->n; i++) {
            int64_t t;
            double v;
            const struct pq_hist *h;
            if (cell(s, i, &t, &v, &h) != kind) continue;
            if (!open) {
                json_keyz(j, kind == PQ_CELL_FLOAT ? "values" : "histograms");
                json_arr(j);
                open = true;
            }
            json_point(j, t, v, h, scratch);
        }
        if (open) json_arr_end(j);
    }
    json_obj_end(j);
}

static void json_scalar_range(struct json_out *j, const struct pq_result *r)
{
    json_obj(j);
    json_keyz(j, "metric");
    json_obj(j);
    json_obj_end(j);
    json_keyz(j, "values");
    json_arr(j);
    for (uint32_t i = 0; i < r->grid.n; i++)
        json_point(j, pq_grid_at(&r->grid, i), r->value.scalar[i], NULL, NULL);
    json_arr_end(j);
    json_obj_end(j);
}

/* Once a series: long answers let other fibers run, and end with their deadline. */
static err_t breathe(const struct json_out *j)
{
    TRY(buf_check(j->b));
    return rt_in_fiber() ? rt_checkpoint() : OK;
}

static err_t json_instant(struct json_out *j, const struct pq_result *r, uint32_t n, struct arena *scratch)
{
    switch (r->value.type) {
    case PQ_SCALAR: json_point(j, r->grid.start_ms, r->value.scalar[0], NULL, scratch); return OK;
    case PQ_STRING:
        json_arr(j);
        prom_json_time(j, r->grid.start_ms);
        json_str(j, r->value.str);
        json_arr_end(j);
        return OK;
    case PQ_MATRIX:
        json_arr(j);
        for (uint32_t i = 0; i < n; i++) {
            struct series_cells s = { r->points[i].s.n, NULL, NULL, &r->points[i].s };
            json_series(j, &r->points[i].labels, &s, scratch);
            TRY(breathe(j));
        }
        json_arr_end(j);
        return OK;
    default:
        json_arr(j);
        for (uint32_t i = 0; i < n; i++) {
            json_row_instant(j, &r->value.m.rows[i], r->grid.start_ms, scratch);
            TRY(breathe(j));
        }
        json_arr_end(j);
        return OK;
    }
}

err_t prom_json_result(struct json_out *j, const struct pq_result *r, bool instant, uint64_t limit, bool *cut,
                      struct arena *scratch)
{
    static const char *const names[] = { "none", "scalar", "vector", "matrix", "string" };
    uint32_t total = r->value.type == PQ_MATRIX ? r->npoints : r->value.m.n;
    uint32_t n = limit && limit < total ? (uint32_t)limit : total;
    *cut = n < total;
    json_obj(j);
    json_keyz(j, "resultType");
    json_z(j, instant ? names[r->value.type] : "matrix");
    json_keyz(j, "result");
    if (instant) {
        TRY(json_instant(j, r, n, scratch));
    } else {
        json_arr(j);
        if (r->value.type == PQ_SCALAR) json_scalar_range(j, r);
        for (uint32_t i = 0; i < n; i++) {
            struct series_cells s = { r->grid.n, &r->value.m.rows[i], &r->grid, NULL };
            json_series(j, &r->value.m.rows[i].labels, &s, scratch);
            TRY(breathe(j));
        }
        json_arr_end(j);
    }
    json_obj_end(j);
    return OK;
}

void prom_json_notes(struct json_out *j, const struct pq_result *r, struct str lost, bool cut, struct arena *scratch)
{
    enum { SHOWN_MAX = 10 };
    for (int kind = PQ_WARN; kind <= PQ_INFO; kind++) {
        uint32_t n = 0;
        bool open = kind == PQ_WARN && (lost.n || cut);
        if (open) {
            json_keyz(j, "warnings");
            json_arr(j);
            if (lost.n) json_str(j, lost);
            if (cut) json_z(j, PROM_CUT);
        }
        for (uint32_t i = 0; i < r->notes.n; i++) {
            if ((int)r->notes.notes[i].kind != kind) continue;
            n++;
            if (!open) {
                json_keyz(j, kind == PQ_WARN ? "warnings" : "infos");
                json_arr(j);
                open = true;
            }
            if (n <= SHOWN_MAX) json_str(j, pq_note_text(scratch, &r->notes.notes[i], r->text));
        }
        if (n > SHOWN_MAX)
            json_str(j, arena_printf(scratch, "%u more %s annotations omitted", n - SHOWN_MAX,
                                     kind == PQ_WARN ? "warning" : "info"));
        if (open) json_arr_end(j);
    }
}
