#include "query/promql/notes.h"

#include "query/promql/ast.h"
#include "query/promql/number.h"

#include "base/core/buf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* One text is said once, where it held last. */
static struct pq_note *note_find(struct pq_notes *ns, enum pq_note_kind kind, uint32_t pos, struct str text)
{
    for (uint32_t i = 0; i < ns->n; i++)
        if (ns->notes[i].kind == kind && str_eq(ns->notes[i].text, text)) {
            ns->notes[i].pos = pos;
            return &ns->notes[i];
        }
    return NULL;
}

static struct pq_note *note_add(struct pq_notes *ns, enum pq_note_kind kind, uint32_t pos, struct str text)
{
    if (ns->n == PQ_NOTES_MAX) return NULL;
    ns->notes = arena_grow(ns->a, ns->notes, ns->n, &ns->cap, ns->n + 1, sizeof *ns->notes);
    ns->notes[ns->n] = (struct pq_note){ .kind = kind, .pos = pos, .text = arena_str(ns->a, text) };
    return &ns->notes[ns->n++];
}

void pq_note(struct pq_notes *ns, enum pq_note_kind kind, uint32_t pos, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct str s = str_n(text, (size_t)MIN(n, (int)sizeof text - 1));
    if (!note_find(ns, kind, pos, s)) note_add(ns, kind, pos, s);
}

static void forced_join(struct pq_note *n, int64_t t0, int64_t t1, double lo, double hi, double diff, uint32_t count)
{
    bool first = !n->forced;
    n->forced = true;
    n->min_bucket = first ? lo : fmin(n->min_bucket, lo);
    n->max_bucket = first ? hi : fmax(n->max_bucket, hi);
    n->max_diff = first ? diff : fmax(n->max_diff, diff);
    n->t_min = first ? t0 : MIN(n->t_min, t0);
    n->t_max = first ? t1 : MAX(n->t_max, t1);
    n->forced_count += count;
}

void pq_note_forced(struct pq_notes *ns, uint32_t pos, struct str metric, int64_t t, double lo, double hi, double diff)
{
    struct str for_metric = pq_for_metric(ns->a, metric);
    struct str s = arena_printf(ns->a, "input to histogram_quantile needed to be fixed for monotonicity (see "
                                "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
                                STR_FMT, STR_ARG(for_metric));
    struct pq_note *n = note_find(ns, PQ_INFO, pos, s);
    if (!n) n = note_add(ns, PQ_INFO, pos, s);
    if (n) forced_join(n, t, t, lo, hi, diff, 1);
}

void pq_note_quantile(struct pq_notes *ns, uint32_t pos, double q)
{
    char num[PQ_NUMBER_MAX];
    if (q >= 0 && q <= 1) return;
    pq_note(ns, PQ_WARN, pos, "quantile value should be between 0 and 1, got %.*s", (int)pq_format_g(q, num), num);
}

void pq_notes_merge(struct pq_notes *into, const struct pq_notes *from)
{
    for (uint32_t i = 0; i < from->n; i++) {
        const struct pq_note *f = &from->notes[i];
        struct pq_note *n = note_find(into, f->kind, f->pos, f->text);
        if (!n) n = note_add(into, f->kind, f->pos, f->text);
        if (n && f->forced) forced_join(n, f->t_min, f->t_max, f->min_bucket, f->max_bucket, f->max_diff, f->forced_count);
    }
}

/* RFC 3339, of whole seconds. */
static const char *time_text(int64_t ms, char out[32])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm)) out[0] = 0;
    return out;
}

struct str pq_note_text(struct arena *a, const struct pq_note *n, struct str query)
{
    const char *prefix = n->kind == PQ_WARN ? "PromQL warning: " : "PromQL info: ";
    struct str text = n->text;
    if (n->forced) {
        char lo[PQ_NUMBER_MAX], hi[PQ_NUMBER_MAX], diff[32], from[32], to[32];
        int nlo = (int)pq_format_g(n->min_bucket, lo), nhi = (int)pq_format_g(n->max_bucket, hi);
        if (isinf(n->max_diff)) snprintf(diff, sizeof diff, "+Inf");
        else snprintf(diff, sizeof diff, "%.2g", n->max_diff);
        text = arena_printf(a, STR_FMT ", from buckets %.*s to %.*s, with a max diff of %s, over %u samples from %s to %s", STR_ARG(text), nlo, lo, nhi, hi,
                            diff, n->forced_count, time_text(n->t_min, from), time_text(n->t_max, to));
    }
    if (n->pos == UINT32_MAX) return arena_printf(a, "%s" STR_FMT, prefix, STR_ARG(text));
    uint32_t line, col;
    pq_line_col(query, n->pos, &line, &col);
    return arena_printf(a, "%s" STR_FMT " (%u:%u)", prefix, STR_ARG(text), line, col);
}

struct str pq_for_metric(struct arena *a, struct str name)
{
    if (!name.n) return STR_NONE;
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    buf_z(&b, " for metric name ");
    pq_quote(name, &b);
    struct str out = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return out;
}
