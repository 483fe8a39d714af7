/* GET /federate: of each selected series the newest sample of the last five minutes, unless it went stale, as a scrape page
 * (Prometheus' docs/federation.md). Text 0.0.4, or delimited protobuf (io.prometheus.client.MetricFamily) for who prefers it: native
 * histograms are in the latter alone, as text has no form for them. A series without `instance` gets an empty one, so that
 * the scraper does not put its own there. */
#include "server/api/prometheus_hist.h"
#include "server/api/prometheus_samples.h"

#include "base/core/pb_out.h"
#include "query/promql/number.h"

#include <stdlib.h>

enum { UNTYPED = 3, HISTOGRAM = 4, GAUGE_HISTOGRAM = 5 }; /* io.prometheus.client.MetricType */
enum { FAMILY_NAME = 1, FAMILY_TYPE = 3, FAMILY_METRIC = 4, METRIC_LABEL = 1, METRIC_UNTYPED = 5, METRIC_TIME = 6, METRIC_HISTOGRAM = 7 };

#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
#define PROTO_TYPE "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=allow-utf-8"

struct shown { /* a series with its one sample */
    struct str name;
    struct labels labels; /* without the name, with an instance */
    const struct pq_hist *h;
    double v;
    int64_t t_ms;
};

/* -- which form ---------------------------------------------------------------------------------------------- */
static double quality(struct str media)
{
    struct str part;
    double q = 1;
    while (media.n) {
        const char *semi = memchr(media.p, ';', media.n);
        part = str_trim(str_n(media.p, semi ? (size_t)(semi - media.p) : media.n));
        media = semi ? str_n(semi + 1, media.n - (size_t)(semi - media.p) - 1) : STR_NONE;
        if (str_starts(part, STR("q=")) && !str_to_f64(str_n(part.p + 2, part.n - 2), &q)) q = 0;
    }
    return q;
}

/* The greatest q of the media types of an Accept header that begin with `type`. */
static double accepted(struct str accept, struct str type)
{
    double best = 0;
    while (accept.n) {
        const char *comma = memchr(accept.p, ',', accept.n);
        struct str one = str_trim(str_n(accept.p, comma ? (size_t)(comma - accept.p) : accept.n));
        accept = comma ? str_n(comma + 1, accept.n - (size_t)(comma - accept.p) - 1) : STR_NONE;
        if (str_starts(one, type)) best = MAX(best, quality(one));
    }
    return best;
}

static bool wants_protobuf(struct http_request *rq)
{
    struct str accept = http_header(rq, "accept");
    double proto = accepted(accept, STR("application/vnd.google.protobuf"));
    return proto > 0 && proto >= MAX(accepted(accept, STR("text/plain")), accepted(accept, STR("*/*")));
}

/* -- text ---------------------------------------------------------------------------------------------------- */
static void text_value(struct buf *b, struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        if (c == '\n') buf_z(b, "\\n");
        else if (c == '"' || c == '\\') buf_printf(b, "\\%c", c);
        else buf_byte(b, (uint8_t)c);
    }
}

static void text_name(struct buf *b, struct str name)
{
    if (pq_plain_name(name, true)) {
        buf_str(b, name);
        return;
    }
    buf_byte(b, '"');
    text_value(b, name);
    buf_byte(b, '"');
}

static void text_line(struct buf *b, const struct shown *s)
{
    char num[PQ_NUMBER_MAX];
    bool plain = pq_plain_name(s->name, true), comma = !plain;
    if (plain) buf_str(b, s->name);
    buf_byte(b, '{');
    if (!plain) text_name(b, s->name); /* {"a.b",label="value"} */
    for (uint32_t i = 0; i < s->labels.n; i++) {
        const struct label *l = &s->labels.l[i];
        if (comma) buf_byte(b, ',');
        comma = true;
        if (pq_plain_name(l->name, false)) buf_str(b, l->name);
        else buf_byte(b, '"'), text_value(b, l->name), buf_byte(b, '"');
        buf_z(b, "=\"");
        text_value(b, l->value);
        buf_byte(b, '"');
    }
    buf_z(b, "} ");
    buf_put(b, num, pq_format_g(s->v, num));
    buf_printf(b, " %lld\n", (long long)s->t_ms);
}

static err_t put_text(struct buf *b, const struct shown *s, uint32_t n)
{
    struct str family = STR_NONE;
    for (uint32_t i = 0; i < n; i++) {
        TRY(rt_checkpoint());
        if (s[i].h) continue;
        if (!str_eq(family, s[i].name)) {
            family = s[i].name;
            buf_z(b, "# TYPE ");
            text_name(b, family);
            buf_z(b, " untyped\n");
        }
        text_line(b, &s[i]);
    }
    return buf_check(b);
}

/* -- protobuf ------------------------------------------------------------------------------------------------ */
static void proto_metric(struct buf *b, const struct shown *s)
{
    size_t metric = pb_begin(b, FAMILY_METRIC);
    for (uint32_t i = 0; i < s->labels.n; i++) {
        size_t label = pb_begin(b, METRIC_LABEL);
        pb_str(b, 1, s->labels.l[i].name);
        pb_str(b, 2, s->labels.l[i].value);
        pb_end(b, label);
    }
    if (s->h) {
        size_t h = pb_begin(b, METRIC_HISTOGRAM);
        prom_hist_put(b, s->h, s->t_ms, &PROM_HIST_CLIENT);
        pb_end(b, h);
    } else {
        size_t untyped = pb_begin(b, METRIC_UNTYPED);
        uint64_t bits;
        memcpy(&bits, &s->v, sizeof bits);
        pb_fixed64(b, 1, bits);
        pb_end(b, untyped);
    }
    pb_uint(b, METRIC_TIME, (uint64_t)s->t_ms);
    pb_end(b, metric);
}

static unsigned type_of(const struct shown *s)
{
    return !s->h ? UNTYPED : s->h->hint == NHIST_GAUGE ? GAUGE_HISTOGRAM : HISTOGRAM;
}

/* A family is of one type: one of samples and histograms is written as several. */
static err_t put_protobuf(struct buf *out, const struct shown *s, uint32_t n)
{
    struct buf one;
    err_t e = OK;
    buf_init(&one, out->max, out->budget);
    for (uint32_t i = 0, k; i < n && e == OK; i = k) {
        buf_clear(&one);
        pb_str(&one, FAMILY_NAME, s[i].name);
        pb_uint(&one, FAMILY_TYPE, type_of(&s[i]));
        for (k = i; k < n && e == OK && str_eq(s[k].name, s[i].name) && type_of(&s[k]) == type_of(&s[i]); k++) {
            proto_metric(&one, &s[k]);
            e = rt_checkpoint();
        }
        buf_varint(out, one.n);
        buf_str(out, buf_view(&one));
        if (e == OK) e = buf_check(&one);
    }
    buf_deinit(&one);
    return e != OK ? e : buf_check(out);
}

/* -- the request --------------------------------------------------------------------------------------------- */
static int shown_cmp(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    if (!c) c = (int)type_of(x) - (int)type_of(y);
    return c ? c : pq_labels_cmp(&x->labels, &y->labels);
}

static void show(const struct pq_points *p, struct arena *a, struct shown *out)
{
    *out = (struct shown){ labels_get(&p->labels, STR("__name__")), pq_labels_unnamed(a, &p->labels), p->s.h ? p->s.h[0] : NULL,
                           p->s.v[0], p->s.t[0] };
    if (labels_get(&out->labels, STR("instance")).n) return;
    struct labels l = { out->labels.n, ARENA_RAW(a, struct label, out->labels.n + 1) };
    uint32_t at = 0;
    while (at < out->labels.n && str_cmp(out->labels.l[at].name, STR("instance")) < 0) at++;
    for (uint32_t i = 0; i < l.n; i++) l.l[i + (i >= at)] = out->labels.l[i];
    l.l[at] = (struct label){ STR("instance"), STR("") };
    l.n++;
    out->labels = l;
}

/* All selections' series, once each. */
static uint32_t gather(const struct prom_points *points, uint32_t n, struct arena *a, struct shown **out)
{
    uint32_t most = 0, found = 0, kept = 0;
    for (uint32_t i = 0; i < n; i++) most += points[i].n;
    struct shown *s = *out = ARENA_RAW(a, struct shown, most);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < points[i].n; k++) {
            const struct pq_points *p = &points[i].v[k];
            bool stale = is_stale_nan(p->s.h && p->s.h[0] ? p->s.h[0]->sum : p->s.v[0]);
            if (!stale && labels_get(&p->labels, STR("__name__")).n) show(p, a, &s[found++]);
        }
    if (found) qsort(s, found, sizeof *s, shown_cmp);
    for (uint32_t i = 0; i < found; i++)
        if (!kept || shown_cmp(&s[kept - 1], &s[i])) s[kept++] = s[i];
    return kept;
}

static err_t ranges_of(struct http_request *rq, struct arena *a, struct pq_ast *asts, struct prom_ranges *p)
{
    int64_t now = rt_wall().ns / NS_PER_MS;
    struct str text;
    while (http_param(rq, "match[]", p->n, &text)) {
        if (p->n == PROM_RANGES_MAX) return err_set(ERR_INVALID, "more than %d match[] parameters", PROM_RANGES_MAX);
        struct pq_ast *ast = &asts[p->n];
        struct prom_range *x = &p->v[p->n++];
        TRY(pq_parse_selector(text, a, ast));
        *x = (struct prom_range){ { ast->root->sel->m, ast->root->sel->nm }, now - PQ_LOOKBACK_MS + 1, now };
    }
    return OK;
}

err_t prom_federate(struct http_request *rq, struct http_response *rs)
{
    struct prom_run r;
    struct scatter kept = { 0 };
    struct prom_points *points;
    struct shown *shown;
    struct prom_ranges *p = NULL;
    struct pq_ast *asts = NULL;
    err_t e;
    TRY_OUT(e, prom_begin(&r, rq));
    asts = ARENA_ARRAY(&r.arena, struct pq_ast, PROM_RANGES_MAX);
    p = ARENA_NEW(&r.arena, struct prom_ranges);
    p->newest = true;
    p->samples_max = r.ctx->samples_max;
    TRY_OUT(e, ranges_of(rq, &r.arena, asts, p));
    TRY_OUT(e, prom_samples(&r, p, &kept, &points));
    uint32_t n = gather(points, p->n, &r.arena, &shown);
    TRY_OUT(e, arena_check(&r.arena));
    bool protobuf = wants_protobuf(rq);
    rs->content_type = protobuf ? PROTO_TYPE : TEXT_TYPE;
    TRY_OUT(e, protobuf ? put_protobuf(&rs->body, shown, n) : put_text(&rs->body, shown, n));
out:
    for (uint32_t i = 0; p && i < p->n; i++) pq_ast_deinit(&asts[i]);
    scatter_free(&kept);
    prom_end(&r);
    return e;
}
