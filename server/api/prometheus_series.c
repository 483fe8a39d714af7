/* Labels, series, metadata: what is known about series, without their samples. */
#include "server/api/prometheus_names.h"
#include "server/api/prometheus_wire.h"

#include "storage/regex.h"

#include <stdlib.h>

static int name_cmp(const void *a, const void *b) { return str_cmp(*(const struct str *)a, *(const struct str *)b); }

/* -- match[] -------------------------------------------------------------------------------------------- */
void prom_selection_free(struct prom_selection *s)
{
    for (uint32_t i = 0; i < s->n; i++) pq_ast_deinit(&s->asts[i]);
}

err_t prom_selection_read(struct http_request *rq, struct arena *a, struct prom_selection *s, int64_t tmin, int64_t tmax)
{
    struct str m;
    s->n = 0;
    TRY(prom_time(rq, "start", tmin, &s->tmin));
    TRY(prom_time(rq, "end", tmax, &s->tmax));
    while (http_param(rq, "match[]", s->n, &m)) {
        if (s->n == PROM_MATCH_MAX) return err_set(ERR_INVALID, "more than %d match[] parameters", PROM_MATCH_MAX);
        TRY(pq_parse_selector(m, a, &s->asts[s->n++]));
    }
    return OK;
}

/* -- fragments ------------------------------------------------------------------------------------------ */
struct found { /* by one core */
    struct prom_names names;
    struct pq_matrix series;
    struct pq_rowset rows; /* of series */
};

static err_t take(const struct prom_plan *p, const struct mseries *ms, uint32_t n, struct arena *a, struct found *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct labels *l = &ms[i].labels;
        TRY(rt_checkpoint());
        TRY(arena_check(a));
        if (p->want == PROM_WANT_SERIES) {
            pq_rowset_get(&out->rows, a, pq_labels_copy(a, l), 1);
        } else if (p->want == PROM_WANT_VALUES) {
            struct str v = labels_get(l, p->name);
            if (v.n) prom_names_add(&out->names, a, v);
        } else {
            for (uint32_t k = 0; k < l->n; k++) prom_names_add(&out->names, a, l->l[k].name);
        }
    }
    return OK;
}

static err_t fragment(struct query *q, struct view *view, const void *plan, struct arena *a, void **partial)
{
    const struct prom_plan *p = plan;
    struct prom_series_part *out = ARENA_NEW(a, struct prom_series_part);
    struct found found = { 0 };
    err_t e = OK;
    (void)q;
    *partial = out;
    htab_init(&found.names.index, NULL);
    pq_rowset_init(&found.rows, &found.series);
    for (uint32_t i = 0; i < MAX(p->n, 1u); i++) {
        const struct prom_matchers *s = p->n ? &p->sel[i] : NULL;
        struct mseries *ms;
        uint32_t n;
        TRY_OUT(e, metrics_select(view, s ? s->m : NULL, s ? s->n : 0, p->tmin, p->tmax, &ms, &n));
        TRY_OUT(e, take(p, ms, n, a, &found));
    }
    out->names = found.names.v;
    out->nnames = found.names.n;
    out->series = ARENA_RAW(a, struct labels, found.series.n);
    for (; out->nseries < found.series.n; out->nseries++) out->series[out->nseries] = found.series.rows[out->nseries].labels;
out:
    pq_rowset_deinit(&found.rows);
    htab_deinit(&found.names.index);
    return e;
}

const struct fragment_kind PROM_SERIES_KIND = {
    .name = "series", .fn = fragment, .plan_put = prom_plan_put, .plan_get = prom_plan_get, .plan_free = prom_plan_free,
    .partial_put = prom_series_put, .partial_get = prom_series_get,
};

err_t prom_gather(struct prom_run *r, const struct prom_selection *sel, enum prom_want want, struct str name, struct prom_names *names,
                    struct pq_matrix *series)
{
    struct prom_plan *p = ARENA_NEW(&r->arena, struct prom_plan);
    struct scatter sc;
    struct pq_rowset rows;
    err_t e = OK;
    if (sel->tmax < sel->tmin) return OK;
    p->want = want;
    p->name = name;
    p->tmin = sel->tmin;
    p->tmax = sel->tmax;
    for (; p->n < sel->n; p->n++)
        p->sel[p->n] = (struct prom_matchers){ sel->asts[p->n].root->sel->m, sel->asts[p->n].root->sel->nm };
    TRY(scatter_run(&r->q, &PROM_SERIES_KIND, p, &sc));
    htab_init(&names->index, NULL);
    pq_rowset_init(&rows, series);
    for (unsigned i = 0; i < sc.n; i++) {
        const struct prom_series_part *part = sc.partials[i];
        for (uint32_t k = 0; k < part->nnames && e == OK; k++) {
            prom_names_add(names, &r->arena, part->names[k]);
            e = rt_checkpoint();
        }
        for (uint32_t k = 0; k < part->nseries && e == OK; k++) {
            pq_rowset_get(&rows, &r->arena, pq_labels_copy(&r->arena, &part->series[k]), 1);
            e = rt_checkpoint();
        }
    }
    pq_rowset_deinit(&rows);
    htab_deinit(&names->index);
    scatter_free(&sc);
    if (names->n) qsort(names->v, names->n, sizeof *names->v, name_cmp);
    return e != OK ? e : arena_check(&r->arena);
}

static err_t answer_names(struct prom_run *r, struct http_request *rq, struct http_response *rs, enum prom_want want, struct str name)
{
    struct prom_selection *sel = ARENA_NEW(&r->arena, struct prom_selection);
    struct prom_names names = { 0 };
    struct pq_matrix none = { 0 };
    uint64_t limit;
    err_t e;
    TRY(prom_limit(rq, "limit", &limit));
    TRY_OUT(e, prom_selection_read(rq, &r->arena, sel, PROM_TIME_MIN, PROM_TIME_MAX));
    TRY_OUT(e, prom_gather(r, sel, want, name, &names, &none));
    prom_data(r, rs);
    json_arr(&r->j);
    for (uint32_t i = 0; i < names.n && (!limit || i < limit); i++) json_str(&r->j, names.v[i]);
    json_arr_end(&r->j);
    r->cut = limit && names.n > limit;
    prom_done(r);
out:
    prom_selection_free(sel);
    return e;
}

err_t prom_labels(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    TRY_OUT(e, answer_names(&r, rq, rs, PROM_WANT_NAMES, STR_NONE));
out:
    prom_end(&r);
    return e;
}

/* U__ escaping of UTF-8 names: `__` is '_', `_HEX_` a code point. What does not unescape is taken as it is. */
static struct str unescape(struct arena *a, struct str s)
{
    if (!str_starts(s, STR("U__"))) return s;
    char *out = ARENA_RAW(a, char, s.n + 1);
    size_t n = 0;
    for (size_t i = 3; i < s.n; i++) {
        if (s.p[i] != '_') {
            out[n++] = s.p[i];
            continue;
        }
        if (i + 1 < s.n && s.p[i + 1] == '_') {
            out[n++] = '_';
            i++;
            continue;
        }
        uint32_t c = 0, digits = 0;
        for (i++; i < s.n && hex_value(s.p[i]) >= 0 && digits < 6; i++, digits++)
            c = c << 4 | (uint32_t)hex_value(s.p[i]);
        if (i >= s.n || s.p[i] != '_' || digits == 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return s;
        if (c < 0x80) {
            out[n++] = (char)c;
        } else {
            int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
            static const unsigned char lead[] = { 0, 0xC0, 0xE0, 0xF0 };
            if (digits < (uint32_t)more) return s; /* "_80_" takes at least as many bytes as it writes */
            out[n++] = (char)(lead[more] | c >> (6 * more));
            while (more--) out[n++] = (char)(0x80 | (c >> (6 * more) & 0x3F));
        }
    }
    return str_n(out, n);
}

err_t prom_label_values(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct str name;
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    name = unescape(&r.arena, rq->params[0]);
    if (!name.n || !str_utf8_valid(name)) {
        e = err_set(ERR_INVALID, "invalid label name: \"" STR_FMT "\"", (int)MIN(name.n, 100), name.p);
        goto out;
    }
    TRY_OUT(e, answer_names(&r, rq, rs, PROM_WANT_VALUES, name));
out:
    prom_end(&r);
    return e;
}

static int row_cmp(const void *a, const void *b)
{
    return pq_labels_cmp(&((const struct pq_row *)a)->labels, &((const struct pq_row *)b)->labels);
}

err_t prom_series(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct prom_selection *sel = NULL;
    struct prom_names none = { 0 };
    struct pq_matrix m = { 0 };
    uint64_t limit;
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    sel = ARENA_NEW(&r.arena, struct prom_selection);
    TRY_OUT(e, prom_limit(rq, "limit", &limit));
    e = prom_selection_read(rq, &r.arena, sel, PROM_TIME_MIN, PROM_TIME_MAX);
    if (e == ERR_INVALID && sel->n) e = prom_bad_param("match[]");
    if (e != OK) goto out;
    if (sel->n == 0) {
        e = err_set(ERR_INVALID, "no match[] parameter provided");
        goto out;
    }
    TRY_OUT(e, prom_gather(&r, sel, PROM_WANT_SERIES, STR_NONE, &none, &m));
    if (m.n) qsort(m.rows, m.n, sizeof *m.rows, row_cmp);
    prom_data(&r, rs);
    json_arr(&r.j);
    for (uint32_t i = 0; i < m.n && (!limit || i < limit); i++) {
        prom_json_labels(&r.j, &m.rows[i].labels);
        TRY_OUT(e, rt_checkpoint());
    }
    json_arr_end(&r.j);
    r.cut = limit && m.n > limit;
    prom_done(&r);
out:
    if (sel) prom_selection_free(sel);
    prom_end(&r);
    return e;
}

/* -- metadata ---------------------------------------------------------------------------------------------- */
static err_t meta_fragment(struct query *q, struct view *view, const void *plan, struct arena *a, void **partial)
{
    struct prom_meta_part *out = ARENA_NEW(a, struct prom_meta_part);
    (void)q;
    *partial = out;
    TRY(metrics_meta(view, *(const struct str *)plan, a, &out->m, &out->n));
    struct metric_meta *copy = ARENA_RAW(a, struct metric_meta, out->n);
    for (uint32_t i = 0; i < out->n; i++) {
        const struct metric_meta *m = &out->m[i];
        copy[i] = (struct metric_meta){ arena_str(a, m->family), arena_str(a, m->type), arena_str(a, m->unit),
                                        arena_str(a, m->help) };
    }
    out->m = copy;
    return arena_check(a);
}

const struct fragment_kind PROM_META_KIND = {
    .name = "metadata", .fn = meta_fragment, .plan_put = prom_meta_plan_put, .plan_get = prom_meta_plan_get,
    .partial_put = prom_meta_put, .partial_get = prom_meta_get,
};

static int meta_cmp(const void *a, const void *b)
{
    const struct metric_meta *x = a, *y = b;
    int c = str_cmp(x->family, y->family);
    if (!c) c = str_cmp(x->type, y->type);
    if (!c) c = str_cmp(x->help, y->help);
    return c ? c : str_cmp(x->unit, y->unit);
}

static void put_metadata(struct json_out *j, const struct metric_meta *m, uint32_t n, int64_t limit, int64_t per)
{
    int64_t families = 0, in_family = 0;
    bool open = false;
    json_obj(j);
    for (uint32_t i = 0; i < n; i++) {
        bool same = i && str_eq(m[i].family, m[i - 1].family);
        if (!same) {
            if (open) json_arr_end(j);
            open = false;
            if (limit >= 0 && families == limit) break;
            families++;
            in_family = 0;
            json_key(j, m[i].family);
            json_arr(j);
            open = true;
        }
        if (same && meta_cmp(&m[i], &m[i - 1]) == 0) continue;
        if (per > 0 && in_family++ >= per) continue;
        json_obj(j);
        json_keyz(j, "type");
        json_str(j, m[i].type.n ? m[i].type : STR("unknown"));
        json_keyz(j, "help");
        json_str(j, m[i].help);
        json_keyz(j, "unit");
        json_str(j, m[i].unit);
        json_obj_end(j);
    }
    if (open) json_arr_end(j);
    json_obj_end(j);
}

/* Less than 0: none. */
static err_t any_number(struct http_request *rq, const char *name, int64_t *n)
{
    struct str v;
    *n = -1;
    if (!prom_param(rq, name, &v) || str_to_i64(v, n)) return OK;
    return err_set(ERR_INVALID, "%s must be a number", name);
}

err_t prom_metadata_of(struct prom_run *r, struct str family, struct metric_meta **out, uint32_t *nout)
{
    struct scatter sc;
    uint32_t n = 0;
    TRY(scatter_run(&r->q, &PROM_META_KIND, &family, &sc));
    for (unsigned i = 0; i < sc.n; i++) n += ((struct prom_meta_part *)sc.partials[i])->n;
    struct metric_meta *all = ARENA_RAW(&r->arena, struct metric_meta, n + 1);
    n = 0;
    for (unsigned i = 0; i < sc.n; i++) {
        const struct prom_meta_part *p = sc.partials[i];
        for (uint32_t k = 0; k < p->n; k++)
            all[n++] = (struct metric_meta){ arena_str(&r->arena, p->m[k].family), arena_str(&r->arena, p->m[k].type),
                                             arena_str(&r->arena, p->m[k].unit), arena_str(&r->arena, p->m[k].help) };
    }
    scatter_free(&sc);
    if (n) qsort(all, n, sizeof *all, meta_cmp);
    *out = all;
    *nout = n;
    return arena_check(&r->arena);
}

err_t prom_metadata(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct metric_meta *all;
    struct str family = STR_NONE;
    int64_t limit, per;
    uint32_t n;
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    TRY_OUT(e, any_number(rq, "limit", &limit));
    TRY_OUT(e, any_number(rq, "limit_per_metric", &per));
    (void)prom_param(rq, "metric", &family);
    TRY_OUT(e, prom_metadata_of(&r, family, &all, &n));
    prom_data(&r, rs);
    put_metadata(&r.j, all, n, limit, per);
    prom_done(&r);
out:
    prom_end(&r);
    return e;
}
