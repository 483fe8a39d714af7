/* Metrics of jobs: the names of their series, with metadata. */
#include "query/correlate/metrics_wire.h"

#include "storage/regex.h"

#include <stdlib.h>

enum { SELECTOR_MAX = 3000 }; /* bytes of a regular expression: under REGEX_PATTERN_MAX */

/* -- the fragment ------------------------------------------------------------------------------------------------------- */
static void count(struct corr_metrics_part *p, struct arena *a, struct str name, int way, uint64_t n)
{
    uint32_t i = names_add(&p->names, name);
    if (i == NAME_NONE) {
        p->more = true;
        return;
    }
    size_t had = p->cap;
    p->series = arena_grow(a, p->series, had, &p->cap, p->names.n, sizeof *p->series);
    for (size_t k = had; k < p->cap; k++)
        memset(p->series[k], 0, sizeof p->series[k]);
    p->series[i][way] += n;
}

static err_t select_way(struct view *v, const struct corr_metrics_plan *p, bool by_job, struct arena *a, struct corr_metrics_part *out)
{
    const struct touched *t = p->rq->touched;
    const int64_t tmin = p->rq->window.start_ns / NS_PER_MS, tmax = p->rq->window.end_ns / NS_PER_MS;
    struct mseries *s;
    uint32_t n;
    TRY(metrics_select(v, by_job ? &p->job : &p->service, 1, tmin, tmax, &s, &n));
    for (uint32_t i = 0; i < n; i++) {
        const struct labels *l = &s[i].labels;
        struct str name = labels_get(l, STR("__name__"));
        if (i % 64 == 0) TRY(rt_checkpoint());
        if (by_job) {
            count(out, a, name, CORR_BY_JOB, 1);
            if (names_find(&t->instances, labels_get(l, STR("instance"))) != NAME_NONE) count(out, a, name, CORR_BY_INSTANCE, 1);
        } else if (names_find(&t->jobs, labels_get(l, STR("job"))) == NAME_NONE) {
            count(out, a, name, CORR_BY_SERVICE, 1);
        }
    }
    return arena_check(a);
}

static err_t fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    struct corr_metrics_part *out = ARENA_NEW(a, struct corr_metrics_part);
    (void)q;
    names_init(&out->names, CORR_METRICS_MAX, a);
    *partial = out;
    const struct touched *t = ((const struct corr_metrics_plan *)plan)->rq->touched;
    err_t e = OK;
    if (t->jobs.n) e = select_way(v, plan, true, a, out);
    if (e == OK && t->services.n) e = select_way(v, plan, false, a, out);
    names_deinit(&out->names);
    return e;
}

const struct fragment_kind CORR_METRICS_KIND = {
    .name = "correlate_metrics", .fn = fragment, .plan_put = corr_metrics_plan_put, .plan_get = corr_metrics_plan_get,
    .plan_free = corr_metrics_plan_free, .partial_put = corr_metrics_part_put, .partial_get = corr_metrics_part_get, .halves = true,
};

/* -- metadata --------------------------------------------------------------------------------------------------------------- */
/* A family describes the name equal to it, and those that it makes with a suffix. */
static err_t meta_fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    static const char *const suffixes[] = { "", "_total", "_bucket", "_count", "_sum", "_info" };
    const struct names *names = plan;
    struct corr_described *d = ARENA_ARRAY(a, struct corr_described, names->n + 1);
    struct metric_meta *m;
    uint32_t n;
    (void)q;
    *partial = d;
    TRY(metrics_meta(v, STR_NONE, a, &m, &n));
    for (uint32_t i = 0; i < n; i++)
        for (size_t s = 0; s < ARRAY_LEN(suffixes); s++) {
            char name[LABEL_NAME_MAX + 8];
            size_t family = MIN(m[i].family.n, (size_t)LABEL_NAME_MAX), suffix = strlen(suffixes[s]);
            memcpy(name, m[i].family.p, family);
            memcpy(name + family, suffixes[s], suffix);
            uint32_t at = names_find(names, str_n(name, family + suffix));
            if (at == NAME_NONE || d[at].exact || (d[at].type.n && s)) continue;
            d[at] = (struct corr_described){ m[i].type, m[i].unit, s == 0 };
        }
    return arena_check(a);
}

const struct fragment_kind CORR_META_KIND = {
    .name = "correlate_meta", .fn = meta_fragment, .plan_put = corr_meta_plan_put, .plan_get = corr_meta_plan_get,
    .plan_free = corr_meta_plan_free, .partial_put = corr_meta_part_put, .partial_get = corr_meta_part_get,
};

static err_t describe(struct query *q, const struct names *names, struct corr_metric *v)
{
    struct scatter sc;
    TRY(scatter_run(q, &CORR_META_KIND, names, &sc));
    for (uint32_t i = 0; i < names->n; i++) {
        const struct corr_described *best = NULL;
        for (unsigned c = 0; c < sc.n; c++) {
            const struct corr_described *d = &((const struct corr_described *)sc.partials[c])[i];
            if (d->type.n && (!best || (d->exact && !best->exact))) best = d;
        }
        v[i].type = best ? arena_str(q->arena, best->type) : STR("unknown");
        v[i].unit = best ? arena_str(q->arena, best->unit) : STR("");
    }
    scatter_free(&sc);
    return arena_check(q->arena);
}

/* -- selectors ------------------------------------------------------------------------------------------------------------------ */
/* One value as a PromQL string; as a part of a regular expression first, when literal is false. */
static void put_value(struct buf *b, struct str s, bool literal, bool promql)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool meta = !literal && c && strchr("\\.+*?()|[]{}^$", c);
        if (meta) buf_z(b, promql ? "\\\\" : "\\");
        if (promql && (c == '"' || c == '\\')) buf_byte(b, '\\');
        if (promql && c == '\n') buf_z(b, "\\n");
        else buf_byte(b, (uint8_t)c);
    }
}

static void put_any(struct buf *b, const struct names *names, bool promql)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (i) buf_byte(b, '|');
        put_value(b, names->v[i], names->n == 1 && promql, promql);
    }
}

static void put_matcher(struct buf *b, const char *label, const struct names *names)
{
    buf_printf(b, "%s%s\"", label, names->n == 1 ? "=" : "=~");
    put_any(b, names, true);
    buf_byte(b, '"');
}

static struct str selector(const struct touched *t, bool instances, bool services, struct arena *a)
{
    struct buf b;
    buf_init(&b, 1 << 20, a->budget);
    if (t->jobs.n) {
        buf_byte(&b, '{');
        put_matcher(&b, "job", &t->jobs);
        if (instances) {
            buf_byte(&b, ',');
            put_matcher(&b, "instance", &t->instances);
        }
        buf_byte(&b, '}');
    }
    if (services) {
        buf_z(&b, b.n ? " or {" : "{");
        put_matcher(&b, "service_name", &t->services);
        buf_byte(&b, '}');
    }
    struct str s = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return s;
}

static err_t make_matcher(struct matcher *m, const char *label, const struct names *names, struct arena *a)
{
    struct buf b;
    *m = (struct matcher){ .op = MATCH_EQ, .name = str_of(label), .value = names->n ? names->v[0] : STR("") };
    if (names->n < 2) return OK;
    buf_init(&b, SELECTOR_MAX, a->budget);
    put_any(&b, names, false);
    err_t e = buf_check(&b);
    if (e == OK) {
        m->op = MATCH_RE;
        m->value = arena_str(a, buf_view(&b));
        e = regex_new(m->value, &m->re);
    }
    buf_deinit(&b);
    return e;
}

err_t corr_metrics_plan_init(struct corr_metrics_plan *p, const struct corr_metrics_req *rq, struct arena *a)
{
    *p = (struct corr_metrics_plan){ .rq = rq };
    TRY(make_matcher(&p->job, "job", &rq->touched->jobs, a));
    return make_matcher(&p->service, "service_name", &rq->touched->services, a);
}

void corr_metrics_plan_end(struct corr_metrics_plan *p)
{
    if (p->job.re) regex_free(p->job.re);
    if (p->service.re) regex_free(p->service.re);
    p->job.re = p->service.re = NULL;
}

/* -- the answer -------------------------------------------------------------------------------------------------------------------- */
static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct corr_metric *)a)->name, ((const struct corr_metric *)b)->name);
}

static err_t finish(struct query *q, const struct touched *t, struct corr_metrics_part *all, struct corr_metrics *out)
{
    uint64_t sum[CORR_WAYS] = { 0 };
    for (uint32_t i = 0; i < all->names.n; i++)
        for (int w = 0; w < CORR_WAYS; w++)
            sum[w] += all->series[i][w];
    int way = sum[CORR_BY_INSTANCE] && !t->more_instances ? CORR_BY_INSTANCE : CORR_BY_JOB;
    out->v = ARENA_ARRAY(q->arena, struct corr_metric, all->names.n + 1);
    TRY(describe(q, &all->names, out->v));
    for (uint32_t i = 0; i < all->names.n; i++) {
        struct corr_metric m = { all->names.v[i], out->v[i].type, out->v[i].unit, all->series[i][way] + all->series[i][CORR_BY_SERVICE] };
        if (m.series) out->v[out->n++] = m;
    }
    if (out->n) qsort(out->v, out->n, sizeof *out->v, by_name);
    out->more = all->more;
    out->query = selector(t, way == CORR_BY_INSTANCE, sum[CORR_BY_SERVICE] > 0, q->arena);
    return arena_check(q->arena);
}

err_t corr_metrics(struct query *q, const struct corr_metrics_req *rq, struct corr_metrics *out)
{
    struct corr_metrics_plan p;
    struct corr_metrics_part all = { 0 };
    struct scatter sc;
    err_t e;
    *out = (struct corr_metrics){ 0 };
    if (rq->touched->services.n == 0 && rq->touched->jobs.n == 0) return OK;
    names_init(&all.names, CORR_METRICS_MAX, q->arena);
    TRY_OUT(e, corr_metrics_plan_init(&p, rq, q->arena));
    TRY_OUT(e, scatter_run(q, &CORR_METRICS_KIND, &p, &sc));
    for (unsigned i = 0; i < sc.n; i++) {
        const struct corr_metrics_part *part = sc.partials[i];
        all.more |= part->more;
        for (uint32_t k = 0; k < part->names.n; k++)
            for (int w = 0; w < CORR_WAYS; w++)
                count(&all, q->arena, part->names.v[k], w, part->series[k][w]);
    }
    scatter_free(&sc);
    TRY_OUT(e, finish(q, rq->touched, &all, out));
out:
    corr_metrics_plan_end(&p);
    names_deinit(&all.names);
    return e;
}
