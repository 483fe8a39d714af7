/* /api/v1/search: names and values found as they are typed, as lines of JSON: batches, then a line that says whether there are more. */
#include "server/api/prometheus_search.h"

#include "server/api/prometheus_names.h"

#include <stdlib.h>

enum { LIMIT_DEFAULT = 100, HOUR_MS = 3600 * 1000 };
enum order { BY_NAME, BY_NAME_DOWN, BY_SCORE };

struct search {
    struct prom_selection *sel;
    struct search_rule rule;
    enum order order;
    bool scores, metadata;
    uint64_t limit, batch;
};
struct hit {
    struct str name;
    double score;
};

/* -- parameters ---------------------------------------------------------------------------------------------------- */

static err_t flag(struct http_request *rq, const char *name, bool def, bool *out)
{
    struct str v;
    *out = def;
    if (!prom_param(rq, name, &v) || prom_bool(v, out)) return OK;
    return err_set(ERR_INVALID, "invalid %s \"" STR_FMT "\": must be boolean", name, (int)MIN(v.n, 100), v.p);
}

static err_t count(struct http_request *rq, const char *name, uint64_t *out)
{
    struct str v;
    *out = LIMIT_DEFAULT;
    if (!prom_param(rq, name, &v)) return OK;
    if (!str_to_u64(v, out)) return err_set(ERR_INVALID, "invalid %s \"" STR_FMT "\": must be non-negative integer", name, (int)MIN(v.n, 100), v.p);
    if (*out == 0) *out = LIMIT_DEFAULT;
    return OK;
}

static err_t fuzziness(struct http_request *rq, struct search_rule *r)
{
    struct str v;
    uint64_t percent = 0;
    bool exact;
    if (prom_param(rq, "fuzz_threshold", &v) && (!str_to_u64(v, &percent) || percent > 100))
        return err_set(ERR_INVALID, "invalid fuzz_threshold \"" STR_FMT "\": must be 0-100", (int)MIN(v.n, 100), v.p);
    r->threshold = (double)percent / 100;
    if (prom_param(rq, "fuzz_alg", &v)) {
        r->jaro = str_is(v, "jarowinkler");
        if (!r->jaro && !str_is(v, "subsequence"))
            return err_set(ERR_INVALID, "unsupported fuzz_alg \"" STR_FMT "\": must be one of [subsequence jarowinkler]", (int)MIN(v.n, 100), v.p);
    }
    TRY(flag(rq, "case_sensitive", true, &exact));
    r->fold = !exact;
    return OK;
}

static err_t terms(struct http_request *rq, struct arena *a, struct search_rule *r)
{
    struct search_word *words = ARENA_RAW(a, struct search_word, SEARCH_TERMS_MAX);
    struct str v;
    for (; http_param(rq, "search[]", r->nterms, &v); r->nterms++) {
        if (r->nterms == SEARCH_TERMS_MAX) return err_set(ERR_INVALID, "more than %d search[] parameters", SEARCH_TERMS_MAX);
        search_word_of(v, r->fold, &words[r->nterms]);
    }
    r->terms = words;
    return OK;
}

static err_t order_of(struct http_request *rq, struct search *s)
{
    struct str by = STR_NONE, dir = STR_NONE;
    (void)prom_param(rq, "sort_by", &by);
    (void)prom_param(rq, "sort_dir", &dir);
    bool score = str_is(by, "score");
    if (dir.n && !by.n) return err_set(ERR_INVALID, "sort_dir is only valid when sort_by is set");
    if (dir.n && score) return err_set(ERR_INVALID, "sort_dir is not supported for sort_by=score");
    if (dir.n && !str_is(dir, "asc") && !str_is(dir, "dsc"))
        return err_set(ERR_INVALID, "invalid sort_dir \"" STR_FMT "\": must be \"asc\" or \"dsc\"", (int)MIN(dir.n, 100), dir.p);
    if (score && s->rule.nterms == 0) return err_set(ERR_INVALID, "sort_by=score requires search[] to be set");
    if (by.n && !score && !str_is(by, "alpha"))
        return err_set(ERR_INVALID, "invalid sort_by \"" STR_FMT "\": must be \"alpha\" or \"score\"", (int)MIN(by.n, 100), by.p);
    s->order = score ? BY_SCORE : str_is(dir, "dsc") ? BY_NAME_DOWN : BY_NAME;
    return OK;
}

static err_t read_params(struct http_request *rq, struct arena *a, struct search *s)
{
    int64_t now = rt_wall().ns / NS_PER_MS;
    TRY(prom_selection_read(rq, a, s->sel, now - HOUR_MS, now));
    TRY(fuzziness(rq, &s->rule));
    TRY(terms(rq, a, &s->rule));
    TRY(flag(rq, "include_score", false, &s->scores));
    TRY(flag(rq, "include_metadata", false, &s->metadata));
    TRY(order_of(rq, s));
    TRY(count(rq, "limit", &s->limit));
    return count(rq, "batch_size", &s->batch);
}

/* -- answers --------------------------------------------------------------------------------------------------------- */

static int score_cmp(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return str_cmp(x->name, y->name);
}
static int down_cmp(const void *a, const void *b) { return str_cmp(((const struct hit *)b)->name, ((const struct hit *)a)->name); }

static err_t find(struct prom_run *r, const struct search *s, const struct prom_names *names, struct hit **hits, uint32_t *n)
{
    struct search_word *room = ARENA_NEW(&r->arena, struct search_word);
    *hits = ARENA_RAW(&r->arena, struct hit, names->n + 1);
    *n = 0;
    for (uint32_t i = 0; i < names->n; i++) {
        struct hit h = { .name = names->v[i] };
        TRY(rt_checkpoint());
        if (search_fits(&s->rule, h.name, room, &h.score)) (*hits)[(*n)++] = h;
    }
    if (*n && s->order != BY_NAME) qsort(*hits, *n, sizeof **hits, s->order == BY_SCORE ? score_cmp : down_cmp);
    return OK;
}

static void put_hit(struct json_out *j, const struct search *s, const struct hit *h, const struct metric_meta *m)
{
    json_obj(j);
    json_keyz(j, "name");
    json_str(j, h->name);
    if (s->scores) {
        json_keyz(j, "score");
        json_f64(j, h->score);
    }
    const struct { const char *key; struct str value; } about[] = { { "type", m ? m->type : STR_NONE }, { "help", m ? m->help : STR_NONE },
                                                                    { "unit", m ? m->unit : STR_NONE } };
    for (size_t i = 0; i < ARRAY_LEN(about); i++) {
        if (!about[i].value.n) continue;
        json_keyz(j, about[i].key);
        json_str(j, about[i].value);
    }
    json_obj_end(j);
}

static int family_cmp(const void *name, const void *meta)
{
    return str_cmp(*(const struct str *)name, ((const struct metric_meta *)meta)->family);
}

struct metas {
    struct metric_meta *v; /* by family */
    uint32_t n;
};

static void put_batch(struct prom_run *r, const struct search *s, const struct hit *h, uint64_t n, const struct metas *metas, struct str warning)
{
    json_obj(&r->j);
    json_keyz(&r->j, "results");
    json_arr(&r->j);
    for (uint64_t i = 0; i < n; i++)
        put_hit(&r->j, s, &h[i], metas->n ? bsearch(&h[i].name, metas->v, metas->n, sizeof *metas->v, family_cmp) : NULL);
    json_arr_end(&r->j);
    if (warning.n) {
        json_keyz(&r->j, "warnings");
        json_arr(&r->j);
        json_str(&r->j, warning);
        json_arr_end(&r->j);
    }
    json_obj_end(&r->j);
    buf_z(r->j.b, "\n");
}

static err_t put(struct prom_run *r, const struct search *s, const struct hit *h, uint32_t found, const struct metas *metas, struct http_response *rs)
{
    uint64_t n = MIN(s->limit, found);
    rs->content_type = "application/x-ndjson; charset=utf-8";
    for (uint64_t at = 0; at == 0 || at < n; at += s->batch) {
        json_init(&r->j, &rs->body);
        put_batch(r, s, h + at, MIN(s->batch, n - at), metas, at ? STR_NONE : query_lost_text(&r->q));
        TRY(rt_checkpoint());
        TRY(buf_check(&rs->body));
    }
    buf_printf(&rs->body, "{\"status\":\"success\",\"has_more\":%s}\n", found > n ? "true" : "false");
    return buf_check(&rs->body);
}

static err_t answer(struct prom_run *r, struct http_request *rq, struct http_response *rs, enum prom_want want, struct str label, struct search *s)
{
    struct prom_names names = { 0 };
    struct pq_matrix none = { 0 };
    struct metas metas = { 0 };
    struct hit *hits;
    uint32_t n;
    TRY(read_params(rq, &r->arena, s));
    TRY(prom_gather(r, s->sel, want, label, &names, &none));
    TRY(find(r, s, &names, &hits, &n));
    if (s->metadata && str_is(label, "__name__")) TRY(prom_metadata_of(r, STR_NONE, &metas.v, &metas.n));
    return put(r, s, hits, n, &metas, rs);
}

static err_t run(struct http_request *rq, struct http_response *rs, enum prom_want want, struct str label)
{
    struct prom_run r;
    struct search s = { .sel = NULL };
    err_t e = prom_begin(&r, rq);
    if (e == OK) {
        s.sel = ARENA_NEW(&r.arena, struct prom_selection);
        e = answer(&r, rq, rs, want, label, &s);
        struct err_record why = *err_record();
        prom_selection_free(s.sel);
        *err_record() = why;
    }
    prom_end(&r);
    return e;
}

err_t prom_search_metrics(struct http_request *rq, struct http_response *rs) { return run(rq, rs, PROM_WANT_VALUES, STR("__name__")); }
err_t prom_search_labels(struct http_request *rq, struct http_response *rs) { return run(rq, rs, PROM_WANT_NAMES, STR_NONE); }

err_t prom_search_values(struct http_request *rq, struct http_response *rs)
{
    struct str label;
    if (!prom_param(rq, "label", &label)) return err_set(ERR_INVALID, "missing required parameter \"label\"");
    return run(rq, rs, PROM_WANT_VALUES, label);
}
