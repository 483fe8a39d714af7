#include "storage/mem_metric_impl.h"

#include "base/core/assert.h"
#include "storage/col_sample.h"
#include "storage/metric_match.h"

enum { CHECK_EVERY = 512 };

/* -- selection -------------------------------------------------------------------------------------------- */

static void unite(struct bitset *to, const struct mem_pair *p)
{
    const uint32_t *s = p->cap ? p->series : p->few;
    for (uint32_t i = 0; i < p->count; i++)
        if (s[i] < to->n) bitset_add(to, s[i]);
}

/* Yields: pairs keep their numbers, but the arrays may move, so nothing points into them over a yield. */
static err_t unite_values(const struct mem_index *x, const struct match_plan *p, struct bitset *to)
{
    uint32_t name = mem_name_find(x, p->m->name);
    if (name == UINT32_MAX) return OK;
    for (uint32_t i = 0; i < p->nexact; i++) {
        uint32_t no = mem_pair_find(x, name, p->exact[i]);
        if (no != UINT32_MAX) unite(to, &x->pair[no]);
    }
    if (p->nexact) return OK;
    uint32_t seen = 0;
    for (uint32_t no = x->name[name].first; no; no = x->pair[no - 1].next) {
        if (match_plan_unites(p, mem_pair_value(&x->pair[no - 1]))) unite(to, &x->pair[no - 1]);
        if (++seen % CHECK_EVERY == 0) TRY(metric_checkpoint());
    }
    return OK;
}

err_t mem_tenant_select(struct mem_tenant *t, const struct matcher *ms, uint32_t nm, int64_t tmin_ms,
                        int64_t tmax_ms, struct arena *a, uint32_t **out, uint32_t *n)
{
    struct bitset found, some;
    bitset_init(&found, a, t->index.upto, true);
    bitset_init(&some, a, t->index.upto, false);
    for (uint32_t i = 0; i < nm; i++) {
        struct match_plan p;
        match_plan(&ms[i], &p);
        if (i) bitset_clear(&some);
        TRY(unite_values(&t->index, &p, &some));
        bitset_keep(&found, &some, p.subtract);
    }
    *n = bitset_list(&found, a, out);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++) {
        const struct mem_series *s = mem_series_at(t, (*out)[i]);
        if (s->tmin <= tmax_ms && s->tmax >= tmin_ms) (*out)[kept++] = (*out)[i];
        if (i % CHECK_EVERY == CHECK_EVERY - 1) TRY(metric_checkpoint());
    }
    *n = kept;
    return arena_check(a);
}

/* -- samples ----------------------------------------------------------------------------------------------- */

/* Float samples in range, in order of arrival, with their arrival numbers where those are needed. */
struct floats {
    uint32_t n;
    int64_t *t;
    double *v;
    uint32_t *seq; /* NULL: not needed */
    int64_t tmin, tmax;
};

static void keep_in_range(struct floats *f, uint32_t n, uint32_t first_seq)
{
    uint32_t at = f->n;
    for (uint32_t i = 0; i < n; i++) {
        if (f->t[at + i] < f->tmin || f->t[at + i] > f->tmax) continue;
        f->t[f->n] = f->t[at + i];
        f->v[f->n] = f->v[at + i];
        if (f->seq) f->seq[f->n] = first_seq + i;
        f->n++;
    }
}

static err_t take_packed(struct floats *f, const struct mem_packed *p)
{
    const uint8_t *end = p->data + p->bytes;
    const uint8_t *at = sample_i64_decode(p->data, end, p->n, f->t + f->n);
    if (at) at = sample_f64_decode(at, end, p->n, f->v + f->n);
    if (!at) return err_set(ERR_INTERNAL, "a packed block of samples in memory does not decode");
    if (p->tmin >= f->tmin && p->tmax <= f->tmax && !f->seq) f->n += p->n;
    else keep_in_range(f, p->n, p->first_seq);
    return OK;
}

static void take_chunk(struct floats *f, const struct mem_open *o)
{
    for (uint32_t i = 0; i < o->n; i++) {
        f->t[f->n + i] = o->base_ms + o->s[i].dt;
        memcpy(&f->v[f->n + i], o->s[i].v, 8);
    }
    keep_in_range(f, o->n, o->first_seq);
}

static void take_open(struct floats *f, const struct mem_open *newest)
{
    const struct mem_open *list[OPEN_CHUNKS];
    uint32_t n = 0;
    for (const struct mem_open *o = newest; o; o = o->older)
        list[n++] = o;
    while (n-- > 0)
        take_chunk(f, list[n]);
}

static err_t take_floats(const struct mem_series *s, struct arena *a, bool with_seq, struct floats *f)
{
    uint32_t blocks = 0, samples = s->open ? OPEN_MAX : 0;
    for (const struct mem_packed *p = s->packed; p; p = p->older) {
        if (p->tmin > f->tmax || p->tmax < f->tmin) continue;
        blocks++;
        samples += p->n;
    }
    const struct mem_packed **list = ARENA_RAW(a, const struct mem_packed *, blocks);
    f->t = ARENA_RAW(a, int64_t, samples);
    f->v = ARENA_RAW(a, double, samples);
    if (with_seq) f->seq = ARENA_RAW(a, uint32_t, samples);
    TRY(arena_check(a));
    uint32_t at = blocks;
    for (const struct mem_packed *p = s->packed; p; p = p->older)
        if (p->tmin <= f->tmax && p->tmax >= f->tmin) list[--at] = p;
    for (uint32_t i = 0; i < blocks; i++)
        TRY(take_packed(f, list[i]));
    take_open(f, s->open);
    return OK;
}

static err_t put_hist(const struct mem_hist *h, struct arena *a, struct sample_set *out)
{
    const struct nhist *x;
    struct str bytes = str_n(h->data, h->bytes);
    TRY(nhist_decode(&bytes, a, &x));
    sample_set_put(out, h->t, 0, x, h->st);
    return arena_check(a);
}

/* Floats and histograms together in order of arrival, each with its start timestamp. */
static err_t join_side(const struct mem_side *d, const struct floats *f, struct arena *a, struct sample_set *out)
{
    uint32_t nhist = 0, run = 0, h = 0;
    bool starts = d->nrun > 0;
    for (uint32_t i = 0; i < d->nhist; i++) {
        if (d->hist[i].t < f->tmin || d->hist[i].t > f->tmax) continue;
        nhist++;
        starts |= d->hist[i].st != ST_NONE;
    }
    sample_set_init(out, a, f->n + nhist, nhist > 0, starts);
    for (uint32_t i = 0; i <= f->n; i++) {
        uint32_t seq = i < f->n ? f->seq[i] : UINT32_MAX;
        for (; h < d->nhist && d->hist[h].seq <= seq; h++)
            if (d->hist[h].t >= f->tmin && d->hist[h].t <= f->tmax) TRY(put_hist(&d->hist[h], a, out));
        if (i == f->n) break;
        while (run < d->nrun && d->run[run].seq <= seq)
            run++;
        sample_set_put(out, f->t[i], f->v[i], NULL, run ? d->run[run - 1].st : ST_NONE);
    }
    return OK;
}

err_t mem_series_read(const struct mem_series *s, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                      struct sample_set *out)
{
    struct floats f = { .tmin = tmin_ms, .tmax = tmax_ms };
    TRY(take_floats(s, a, s->side != NULL, &f));
    if (s->side) TRY(join_side(s->side, &f, a, out));
    else *out = (struct sample_set){ .n = f.n, .cap = f.n, .t = f.t, .v = f.v };
    sample_set_settle(out, a);
    return OK;
}
