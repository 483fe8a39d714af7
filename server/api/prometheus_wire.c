#include "server/api/prometheus_wire.h"

/* -- selections ---------------------------------------------------------------------------------------------- */
struct read_plan {
    struct prom_plan plan;
    struct pq_regexes *regexes[PROM_MATCH_MAX];
};

void prom_plan_put(const void *plan, struct buf *out)
{
    const struct prom_plan *p = plan;
    buf_byte(out, (uint8_t)p->want);
    bytes_out_str(out, p->name);
    bytes_out_zigzag(out, p->tmin);
    bytes_out_zigzag(out, p->tmax);
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++) pq_matchers_put(p->sel[i].m, p->sel[i].n, out);
}

static err_t get_plan(struct query *q, struct bytes_in *in, struct read_plan *r)
{
    struct prom_plan *p = &r->plan;
    struct wire_in w = wire_in_of(in, q->arena);
    p->want = (enum prom_want)wire_get_enum(&w, PROM_WANT_SERIES);
    p->name = bytes_in_str(in);
    p->tmin = bytes_in_zigzag(in);
    p->tmax = bytes_in_zigzag(in);
    uint32_t n = bytes_in_count(in, 1);
    if (n > PROM_MATCH_MAX) in->bad = true;
    for (; p->n < n && !in->bad; p->n++) {
        struct matcher *m;
        r->regexes[p->n] = ARENA_NEW(q->arena, struct pq_regexes);
        err_t e = pq_matchers_get(in, q->arena, r->regexes[p->n], &m, &p->sel[p->n].n);
        p->sel[p->n].m = m;
        if (e != OK) return p->n++, e;
    }
    return wire_check(&w, "a selection of series");
}

void prom_plan_free(const void *plan)
{
    const struct read_plan *r = CONTAINER_OF((struct prom_plan *)(uintptr_t)plan, struct read_plan, plan);
    for (uint32_t i = 0; i < r->plan.n; i++) pq_regexes_free(r->regexes[i]);
}

err_t prom_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct read_plan *r = ARENA_NEW(q->arena, struct read_plan);
    err_t e = get_plan(q, in, r);
    *plan = &r->plan;
    if (e != OK) prom_plan_free(*plan);
    return e;
}

/* -- series -------------------------------------------------------------------------------------------------- */
void prom_series_put(const void *plan, const void *partial, struct buf *out)
{
    const struct prom_series_part *p = partial;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, p->nnames);
    for (uint32_t i = 0; i < p->nnames; i++) bytes_out_str(out, p->names[i]);
    buf_varint(out, p->nseries);
    for (uint32_t i = 0; i < p->nseries; i++) pq_labels_put(&w, &p->series[i]);
    wire_out_deinit(&w);
}

err_t prom_series_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct prom_series_part *p = ARENA_NEW(a, struct prom_series_part);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->names = WIRE_LIST(&w, struct str, 1, UINT32_MAX, &p->nnames);
    for (uint32_t i = 0; i < p->nnames && !in->bad; i++) p->names[i] = wire_get_text(&w);
    p->series = WIRE_LIST(&w, struct labels, 1, UINT32_MAX, &p->nseries);
    for (uint32_t i = 0; i < p->nseries && !in->bad; i++) p->series[i] = pq_labels_read(&w);
    return wire_check(&w, "a list of series");
}

/* -- exemplars ----------------------------------------------------------------------------------------------- */
void prom_exemplars_put(const void *plan, const void *partial, struct buf *out)
{
    const struct prom_exemplars_part *p = partial;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        pq_labels_put(&w, &p->v[i].series);
        pq_labels_put(&w, &p->v[i].labels);
        bytes_out_f64(out, p->v[i].value);
        bytes_out_zigzag(out, p->v[i].t_ms);
    }
    wire_out_deinit(&w);
}

err_t prom_exemplars_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct prom_exemplars_part *p = ARENA_NEW(a, struct prom_exemplars_part);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->v = WIRE_LIST(&w, struct prom_exemplar, 11, UINT32_MAX, &p->n);
    p->cap = p->n;
    for (uint32_t i = 0; i < p->n && !in->bad; i++) {
        p->v[i].series = pq_labels_read(&w);
        p->v[i].labels = pq_labels_read(&w);
        p->v[i].value = bytes_in_f64(in);
        p->v[i].t_ms = bytes_in_zigzag(in);
    }
    return wire_check(&w, "a list of exemplars");
}

/* -- metadata ------------------------------------------------------------------------------------------------ */
void prom_meta_plan_put(const void *plan, struct buf *out)
{
    bytes_out_str(out, *(const struct str *)plan);
}

err_t prom_meta_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct str *family = ARENA_NEW(q->arena, struct str);
    struct wire_in w = wire_in_of(in, q->arena);
    *family = bytes_in_str(in);
    *plan = family;
    return wire_check(&w, "a family of metrics");
}

void prom_meta_put(const void *plan, const void *partial, struct buf *out)
{
    const struct prom_meta_part *p = partial;
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    buf_varint(out, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct metric_meta *m = &p->m[i];
        const struct str texts[] = { m->family, m->type, m->unit, m->help };
        for (size_t k = 0; k < ARRAY_LEN(texts); k++) wire_put_str(&w, texts[k]);
    }
    wire_out_deinit(&w);
}

err_t prom_meta_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct prom_meta_part *p = ARENA_NEW(a, struct prom_meta_part);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    *partial = p;
    p->m = WIRE_LIST(&w, struct metric_meta, 4, UINT32_MAX, &p->n);
    for (uint32_t i = 0; i < p->n && !in->bad; i++) {
        struct str *const texts[] = { &p->m[i].family, &p->m[i].type, &p->m[i].unit, &p->m[i].help };
        for (size_t k = 0; k < ARRAY_LEN(texts); k++) *texts[k] = wire_get_str(&w);
    }
    return wire_check(&w, "metadata of metrics");
}

/* -- signals ------------------------------------------------------------------------------------------------- */
void prom_signals_plan_put(const void *plan, struct buf *out)
{
    (void)plan;
    (void)out;
}

err_t prom_signals_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    (void)q;
    (void)in;
    *plan = NULL;
    return OK;
}

void prom_signals_put(const void *plan, const void *partial, struct buf *out)
{
    (void)plan;
    buf_varint(out, *(const unsigned *)partial);
}

err_t prom_signals_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    unsigned *found = ARENA_NEW(a, unsigned);
    struct wire_in w = wire_in_of(in, a);
    uint64_t bits = bytes_in_varint(in);
    (void)plan;
    if (bits > UINT32_MAX) in->bad = true;
    *found = (unsigned)bits;
    *partial = found;
    return wire_check(&w, "a set of signals");
}

void prom_span_put(const void *plan, const void *partial, struct buf *out)
{
    const struct prom_span *s = partial;
    (void)plan;
    bytes_out_zigzag(out, s->tmin);
    bytes_out_zigzag(out, s->tmax);
    buf_varint(out, s->pieces);
}

err_t prom_span_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct prom_span *s = ARENA_NEW(a, struct prom_span);
    struct wire_in w = wire_in_of(in, a);
    (void)plan;
    s->tmin = bytes_in_zigzag(in);
    s->tmax = bytes_in_zigzag(in);
    s->pieces = bytes_in_varint(in);
    if (s->pieces > INT64_MAX) in->bad = true;
    *partial = s;
    return wire_check(&w, "a span of time");
}
