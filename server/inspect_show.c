/* The sums of a segment as a table and as JSON: see inspect_int.h. */
#include "base/core/datetime.h"
#include "base/core/json_out.h"
#include "server/inspect_int.h"
#include "storage/seg_format.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const signals[] = { [SIG_METRICS] = "metrics", [SIG_SPANS] = "spans", [SIG_LOGS] = "logs", [SIG_DOCS] = "documents",
                                       [SIG_EXEMPLARS] = "exemplars" };
static const char *const types[] = { [COL_I64] = "int", [COL_F64] = "float", [COL_BOOL] = "bool", [COL_STR] = "string",
                                     [COL_BYTES] = "bytes", [COL_JSON] = "json", [COL_FIX] = "fixed" };
static const char *const relations[] = { [REL_ROWS] = "", [REL_RESOURCE] = "resource", [REL_SCOPE] = "scope", [REL_EVENTS] = "events",
                                         [REL_LINKS] = "links" };

enum { NAME_SHOWN = 40, TEXT_MAX = 256 };

/* Names come from whoever sent them: what is no printable ASCII is shown as it would stand in C. At most `max` characters. */
static const char *printable(struct str s, size_t max, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n && n + 5 < MIN(max, (size_t)TEXT_MAX); i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= ' ' && c < 0x7f && c != '\\') to[n++] = (char)c;
        else n += (size_t)snprintf(to + n, 5, "\\x%02x", c);
    }
    to[n] = 0;
    return to;
}

static const char *time_text(int64_t ns, char *to)
{
    to[datetime_format(ns, to)] = 0;
    return to;
}

static double percent(double part, const struct insp *in) { return in->bytes ? 100 * part / (double)in->bytes : 0; }

static void codecs_text(const struct col_tally *t, char to[TEXT_MAX])
{
    size_t n = 0;
    to[0] = 0;
    for (uint32_t i = 0; i < t->n && n + 40 < TEXT_MAX; i++)
        n += (size_t)snprintf(to + n, TEXT_MAX - n, "%s%s %" PRIu64, i ? ", " : "", t->of[i].name, t->of[i].blocks);
}

static void zone_text(const struct insp_col *c, char to[TEXT_MAX])
{
    char least[TEXT_MAX], most[TEXT_MAX];
    to[0] = 0;
    if (!c->has_zone) return;
    if (c->flags & SEG_COL_INT) snprintf(to, TEXT_MAX, "%" PRId64 " .. %" PRId64, c->min, c->max);
    else if (c->flags & SEG_COL_F64) snprintf(to, TEXT_MAX, "%g .. %g", c->fmin, c->fmax);
    else snprintf(to, TEXT_MAX, "'%.60s' .. '%.60s'", printable(c->smin, 60, least), printable(c->smax, 60, most));
}

/* -- for people ------------------------------------------------------------------------------------------------------ */

static void show_column(const struct insp *in, const struct insp_col *c)
{
    char name[TEXT_MAX], full[TEXT_MAX], zone[TEXT_MAX], codecs[TEXT_MAX], distinct[24] = "";
    snprintf(full, sizeof full, "%s%s%s%.200s", relations[c->rel], c->rel ? "." : "", c->scope == SC_ATTR ? "@" : "",
             printable(c->name, NAME_SHOWN, name));
    zone_text(c, zone);
    codecs_text(&c->codecs, codecs);
    if (c->flags & SEG_COL_STR) snprintf(distinct, sizeof distinct, "%u", c->distinct);
    printf("    %-40s %-6s %12" PRIu64 " %6.2f %9.2f %10" PRIu64 " %10" PRIu64 " %9s %6" PRIu64 "  %s  |  %s\n", full, types[c->type],
           c->bytes, percent((double)c->bytes, in), c->values ? 8 * (double)c->bytes / (double)c->values : 0, c->values,
           c->rows - c->values, distinct, c->pieces, codecs, zone);
    if (c->filter_bytes)
        printf("    %-40s %-6s %12" PRIu64 " %6.2f\n", full, "filter", c->filter_bytes, percent((double)c->filter_bytes, in));
}

static void show_rows(const struct insp *in, const struct insp_set *s)
{
    printf("    %-40s %-6s %12s %6s %9s %10s %10s %9s %6s  %s\n", "column (@ attribute)", "type", "bytes", "%", "bits/val", "values", "nulls",
           "distinct", "pieces", "codecs: blocks  |  least .. greatest");
    for (uint32_t i = 0; i < s->ncols; i++)
        show_column(in, &s->cols[i]);
    for (int rel = REL_RESOURCE; rel < SEG_RELS; rel++)
        if (s->link_bytes[rel])
            printf("    row -> %-33s %-6s %12" PRIu64 " %6.2f\n", relations[rel], "link", s->link_bytes[rel], percent((double)s->link_bytes[rel], in));
}

static void show_part(const struct insp *in, const char *what, double bytes, uint64_t samples)
{
    printf("    %-24s %14.0f %6.2f %%", what, bytes, percent(bytes, in));
    if (samples) printf("  %8.3f bytes a sample", bytes / (double)samples);
    putchar('\n');
}

static void show_metrics(const struct insp *in, const struct insp_set *s)
{
    char codecs[TEXT_MAX], name[TEXT_MAX], what[TEXT_MAX + 16];
    double rest = (double)s->chunk_bytes - s->value_bytes - s->time_bytes - s->start_bytes;
    codecs_text(&s->codecs, codecs);
    printf("    %" PRIu64 " samples (%" PRIu64 " histograms) in %" PRIu64 " blocks: %.3f bytes a sample, all in; codecs: %s\n", s->samples,
           s->hist_samples, s->blocks, s->samples ? (double)s->bytes / (double)s->samples : 0, codecs);
    if (s->summaries) printf("    of them %" PRIu64 " are summaries of %" PRIu64 " samples (downsampled)\n", s->summaries, s->summed);
    show_part(in, "values", s->value_bytes, s->samples);
    show_part(in, "times", s->time_bytes, s->samples);
    if (s->start_bytes > 0) show_part(in, "start times", s->start_bytes, s->samples);
    if (rest >= 1) show_part(in, "between blocks", rest, 0);
    show_part(in, "series, labels, places", (double)s->page_bytes, s->samples);
    if (s->family_bytes) show_part(in, "type, unit, help", (double)s->family_bytes, 0);
    for (uint32_t i = 0; i < s->nlabels; i++) {
        snprintf(what, sizeof what, "label %.200s", printable(s->labels[i].name, NAME_SHOWN, name));
        printf("    %-24s %14" PRIu64 " %6.2f %%  %8" PRIu64 " values with their series\n", what, s->labels[i].bytes,
               percent((double)s->labels[i].bytes, in), s->labels[i].values);
    }
}

static void show_set(const struct insp *in, const struct insp_set *s)
{
    char from[DATETIME_TEXT_MAX + 1], to[DATETIME_TEXT_MAX + 1], tenant[TEXT_MAX], index[TEXT_MAX];
    printf("\n  %s%s%s of %s: %" PRIu64 " %s in %u groups, %" PRIu64 " bytes (%.2f %%), %.2f bytes a %s\n    %s to %s\n", signals[s->signal],
           s->index.n ? " " : "", printable(s->index, 100, index), printable(s->tenant, TENANT_MAX + 8, tenant), s->rows,
           s->signal == SIG_METRICS ? "series" : "rows", s->ngroups, s->bytes, percent((double)s->bytes, in),
           s->rows ? (double)s->bytes / (double)s->rows : 0, s->signal == SIG_METRICS ? "series" : "row", time_text(s->tmin_ns, from),
           time_text(s->tmax_ns, to));
    if (s->signal == SIG_METRICS) show_metrics(in, s);
    else show_rows(in, s);
}

void inspect_show(const struct insp *in)
{
    uint64_t groups = 0;
    printf("%s: %" PRIu64 " bytes, version %d, %u groups\n", in->path, in->bytes, SEG_VERSION, in->ngroups);
    for (uint32_t i = 0; i < in->nsets; i++) {
        groups += in->sets[i].bytes;
        show_set(in, &in->sets[i]);
    }
    const struct { const char *what; uint64_t bytes; } rows[] = {
        { "groups", groups }, { "index of trace ids", in->ids_bytes }, { "index of words", in->words_bytes },
        { "directory (footer)", in->footer_bytes },
        { "header and trailer", SEG_HEADER + SEG_TRAILER }, { "padding", in->padding }, { "named by no directory", in->unknown },
    };
    printf("\n  the whole file\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].bytes) printf("    %-24s %14" PRIu64 " %6.2f %%\n", rows[i].what, rows[i].bytes, percent((double)rows[i].bytes, in));
    printf("    %-24s %14" PRIu64 "\n", "together", groups + in->ids_bytes + in->words_bytes + in->footer_bytes + SEG_HEADER + SEG_TRAILER + in->padding + in->unknown);
}

/* -- for programs ---------------------------------------------------------------------------------------------------------- */

static void put_u64(struct json_out *j, const char *key, uint64_t v)
{
    json_keyz(j, key);
    json_u64(j, v);
}

static void put_codecs(struct json_out *j, const struct col_tally *t)
{
    json_keyz(j, "codecs");
    json_obj(j);
    for (uint32_t i = 0; i < t->n; i++)
        put_u64(j, t->of[i].name, t->of[i].blocks);
    json_obj_end(j);
}

static void put_zone(struct json_out *j, const struct insp_col *c)
{
    if (!c->has_zone) return;
    json_keyz(j, "least");
    if (c->flags & SEG_COL_INT) json_i64(j, c->min);
    else if (c->flags & SEG_COL_F64) json_f64(j, c->fmin);
    else json_str(j, c->smin);
    json_keyz(j, "greatest");
    if (c->flags & SEG_COL_INT) json_i64(j, c->max);
    else if (c->flags & SEG_COL_F64) json_f64(j, c->fmax);
    else json_str(j, c->smax);
}

static void put_column(struct json_out *j, const struct insp_col *c)
{
    json_obj(j);
    json_keyz(j, "relation");
    json_z(j, c->rel ? relations[c->rel] : "rows");
    json_keyz(j, "name");
    json_str(j, c->name);
    json_keyz(j, "attribute");
    json_bool(j, c->scope == SC_ATTR);
    json_keyz(j, "type");
    json_z(j, types[c->type]);
    put_u64(j, "bytes", c->bytes);
    put_u64(j, "filter_bytes", c->filter_bytes);
    put_u64(j, "values", c->values);
    put_u64(j, "nulls", c->rows - c->values);
    if (c->flags & SEG_COL_STR) put_u64(j, "distinct_max", c->distinct);
    put_u64(j, "pieces", c->pieces);
    put_zone(j, c);
    put_codecs(j, &c->codecs);
    json_obj_end(j);
}

static void put_metrics(struct json_out *j, const struct insp_set *s)
{
    put_u64(j, "samples", s->samples);
    put_u64(j, "histogram_samples", s->hist_samples);
    put_u64(j, "summaries", s->summaries);
    put_u64(j, "summarised_samples", s->summed);
    put_u64(j, "blocks", s->blocks);
    put_u64(j, "sample_bytes", s->chunk_bytes);
    put_u64(j, "value_bytes", (uint64_t)s->value_bytes);
    put_u64(j, "time_bytes", (uint64_t)s->time_bytes);
    put_u64(j, "start_time_bytes", (uint64_t)s->start_bytes);
    put_u64(j, "series_bytes", s->page_bytes);
    put_u64(j, "family_bytes", s->family_bytes);
    put_codecs(j, &s->codecs);
    json_keyz(j, "labels");
    json_arr(j);
    for (uint32_t i = 0; i < s->nlabels; i++) {
        json_obj(j);
        json_keyz(j, "name");
        json_str(j, s->labels[i].name);
        put_u64(j, "bytes", s->labels[i].bytes);
        put_u64(j, "values", s->labels[i].values);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static void put_set(struct json_out *j, const struct insp_set *s)
{
    json_obj(j);
    json_keyz(j, "tenant");
    json_str(j, s->tenant);
    json_keyz(j, "signal");
    json_z(j, signals[s->signal]);
    json_keyz(j, "index");
    json_str(j, s->index);
    put_u64(j, "groups", s->ngroups);
    put_u64(j, s->signal == SIG_METRICS ? "series" : "rows", s->rows);
    put_u64(j, "bytes", s->bytes);
    put_u64(j, "directory_raw_bytes", s->directory);
    json_keyz(j, "tmin_ns");
    json_i64(j, s->tmin_ns);
    json_keyz(j, "tmax_ns");
    json_i64(j, s->tmax_ns);
    if (s->signal == SIG_METRICS) put_metrics(j, s);
    json_keyz(j, "columns");
    json_arr(j);
    for (uint32_t i = 0; i < s->ncols; i++)
        put_column(j, &s->cols[i]);
    json_arr_end(j);
    json_keyz(j, "link_bytes");
    json_obj(j);
    for (int rel = REL_RESOURCE; rel < SEG_RELS; rel++)
        if (s->link_bytes[rel]) put_u64(j, relations[rel], s->link_bytes[rel]);
    json_obj_end(j);
    json_obj_end(j);
}

void inspect_json(const struct insp *in, struct buf *out)
{
    struct json_out j;
    json_init(&j, out);
    json_obj(&j);
    json_keyz(&j, "file");
    json_z(&j, in->path);
    put_u64(&j, "bytes", in->bytes);
    put_u64(&j, "version", SEG_VERSION);
    put_u64(&j, "groups", in->ngroups);
    put_u64(&j, "id_index_bytes", in->ids_bytes);
    put_u64(&j, "id_index_pages", in->ids_pages);
    put_u64(&j, "word_index_bytes", in->words_bytes);
    put_u64(&j, "word_index_pages", in->words_pages);
    put_u64(&j, "word_index_sections", in->words_sections);
    put_u64(&j, "footer_bytes", in->footer_bytes);
    put_u64(&j, "footer_raw_bytes", in->footer_raw);
    put_u64(&j, "header_trailer_bytes", SEG_HEADER + SEG_TRAILER);
    put_u64(&j, "padding_bytes", in->padding);
    put_u64(&j, "unknown_bytes", in->unknown);
    json_keyz(&j, "sets");
    json_arr(&j);
    for (uint32_t i = 0; i < in->nsets; i++)
        put_set(&j, &in->sets[i]);
    json_arr_end(&j);
    json_obj_end(&j);
}
