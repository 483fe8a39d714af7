#include "server/ingest/prom_name.h"

enum { TOKENS_MAX = 128, UNIT_PART_MAX = 256 };

static bool token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':';
}

/* UCUM case-sensitive codes -> the words of Prometheus' naming practice. */
static const struct unit_word {
    const char *code, *word;
} units[] = {
    { "d", "days" },        { "h", "hours" },        { "min", "minutes" },   { "s", "seconds" },
    { "ms", "milliseconds" }, { "us", "microseconds" }, { "ns", "nanoseconds" }, { "By", "bytes" },
    { "KiBy", "kibibytes" }, { "MiBy", "mebibytes" }, { "GiBy", "gibibytes" }, { "TiBy", "tibibytes" },
    { "KBy", "kilobytes" }, { "MBy", "megabytes" },  { "GBy", "gigabytes" }, { "TBy", "terabytes" },
    { "m", "meters" },      { "V", "volts" },        { "A", "amperes" },     { "J", "joules" },
    { "W", "watts" },       { "g", "grams" },        { "Cel", "celsius" },   { "Hz", "hertz" },
    { "1", "" },            { "%", "percent" },
}, per_units[] = {
    { "s", "second" }, { "m", "minute" }, { "h", "hour" }, { "d", "day" },
    { "w", "week" },   { "mo", "month" }, { "y", "year" },
};

static struct str word_of(const struct unit_word *words, size_t n, struct str code)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(code, words[i].code)) return str_of(words[i].word);
    return code;
}

/* Tokens of s joined by single underscores: leading and trailing runs of other characters vanish. */
static struct str clean(struct str s, struct arena *a)
{
    char *out = arena_alloc_aligned(a, s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (token_char(s.p[i])) {
            if (n > 0 && !token_char(s.p[i - 1])) out[n++] = '_';
            out[n++] = s.p[i];
        }
    }
    return (struct str){ out, n };
}

/* One side of the slash; empty when blank or an annotation in braces. */
static struct str unit_part(struct str part, const struct unit_word *words, size_t n, struct arena *a)
{
    part = str_trim(part);
    if (part.n == 0 || part.n > UNIT_PART_MAX || str_chr(part, '{') < part.n || str_chr(part, '}') < part.n)
        return STR("");
    return clean(word_of(words, n, part), a);
}

struct unit_suffix {
    struct str main, per; /* per with its "per_" */
};

static struct unit_suffix unit_suffix(struct str unit, struct arena *a)
{
    size_t slash = str_chr(unit, '/');
    struct unit_suffix u = { .main = unit_part(str_sub(unit, 0, slash), units, ARRAY_LEN(units), a), .per = STR("") };
    if (slash < unit.n) {
        struct str per = unit_part(str_sub(unit, slash + 1, unit.n), per_units, ARRAY_LEN(per_units), a);
        if (per.n > 0) u.per = arena_printf(a, "per_" STR_FMT, STR_ARG(per));
    }
    return u;
}

struct str prom_unit(struct str unit, struct arena *a)
{
    struct unit_suffix u = unit_suffix(unit, a);
    if (u.main.n > 0 && u.per.n > 0) return arena_printf(a, STR_FMT "_" STR_FMT, STR_ARG(u.main), STR_ARG(u.per));
    return u.main.n > 0 ? u.main : u.per;
}

static bool has_token(const struct str *tokens, size_t n, struct str t)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(tokens[i], t)) return true;
    return false;
}

static size_t drop_token(struct str *tokens, size_t n, struct str t)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(tokens[i], t)) tokens[kept++] = tokens[i];
    return kept;
}

/* At most `max` tokens; what follows stays part of the last one. */
static size_t tokenize(struct str name, struct str *tokens, size_t max, struct arena *a)
{
    struct str rest = clean(name, a), piece;
    size_t n = 0;
    while (n + 1 < max && rest.n > 0 && str_cut(&rest, '_', &piece))
        tokens[n++] = piece;
    if (rest.p && rest.n > 0) tokens[n++] = rest;
    return n;
}

static struct str escaped_with_suffixes(const struct otlp_metric *m, struct arena *a)
{
    struct str tokens[TOKENS_MAX + 4];
    size_t n = tokenize(m->name, tokens, TOKENS_MAX, a);
    if (n == 0) return STR("");
    struct unit_suffix u = unit_suffix(m->unit, a);
    bool add_main = u.main.n > 0 && !has_token(tokens, n, u.main);
    bool add_per = u.per.n > 0 && !has_token(tokens, n, u.per);
    if (add_main) tokens[n++] = u.main;
    if (add_per) tokens[n++] = u.per;
    if (m->kind == OTLP_SUM && m->monotonic) {
        n = drop_token(tokens, n, STR("total"));
        tokens[n++] = STR("total");
    }
    if (m->kind == OTLP_GAUGE && str_is(m->unit, "1")) {
        n = drop_token(tokens, n, STR("ratio"));
        tokens[n++] = STR("ratio");
    }
    size_t bytes = 1;
    for (size_t i = 0; i < n; i++)
        bytes += tokens[i].n + 1;
    char *out = arena_alloc_aligned(a, bytes, 1), *at = out;
    if (tokens[0].p[0] >= '0' && tokens[0].p[0] <= '9') *at++ = '_';
    for (size_t i = 0; i < n; i++) {
        if (i > 0) *at++ = '_';
        memcpy(at, tokens[i].p, tokens[i].n);
        at += tokens[i].n;
    }
    return (struct str){ out, (size_t)(at - out) };
}

/* Runs of what no name may have become one '_'; none at the ends. */
static struct str escaped(struct str name, struct arena *a)
{
    char *out = arena_alloc_aligned(a, name.n + 2, 1);
    size_t n = 0;
    bool gap = false;
    for (size_t i = 0; i < name.n; i++) {
        if (!token_char(name.p[i]) && name.p[i] != '_') {
            gap = n > 0;
            continue;
        }
        if (n == 0 && name.p[i] >= '0' && name.p[i] <= '9') out[n++] = '_';
        if (gap) out[n++] = '_';
        gap = false;
        out[n++] = name.p[i];
    }
    for (size_t i = 0; i < n; i++)
        if (out[i] != '_') return (struct str){ out, n };
    return STR("");
}

/* The name without the suffix and the character before it; as it is where that would be all of it. */
static struct str without(struct str name, struct str suffix)
{
    return str_ends(name, suffix) && name.n > suffix.n + 1 ? str_sub(name, 0, name.n - suffix.n - 1) : name;
}

static struct str plain_with_suffixes(const struct otlp_metric *m, struct arena *a)
{
    struct unit_suffix u = unit_suffix(m->unit, a);
    const char *last = m->kind == OTLP_SUM && m->monotonic ? "total" : m->kind == OTLP_GAUGE && str_is(m->unit, "1") ? "ratio" : "";
    struct str name = *last ? without(m->name, str_of(last)) : m->name;
    if (u.per.n) name = without(name, u.per);
    if (u.main.n && !str_ends(name, u.main)) name = arena_printf(a, STR_FMT "_" STR_FMT, STR_ARG(name), STR_ARG(u.main));
    if (u.per.n) name = arena_printf(a, STR_FMT "_" STR_FMT, STR_ARG(name), STR_ARG(u.per));
    return *last ? arena_printf(a, STR_FMT "_%s", STR_ARG(name), last) : name;
}

struct str prom_metric_name(const struct otlp_metric *m, const struct otlp_mapping *map, struct arena *a)
{
    if (map->escape) return map->suffixes ? escaped_with_suffixes(m, a) : escaped(m->name, a);
    if (m->name.n == 0 || !str_utf8_valid(m->name)) return STR("");
    return map->suffixes ? plain_with_suffixes(m, a) : arena_str(a, m->name);
}

struct str prom_label_name(struct str key, const struct otlp_mapping *map, struct arena *a)
{
    if (!map->escape) return str_utf8_valid(key) ? key : STR("");
    bool same = key.n > 0 && !(key.p[0] >= '0' && key.p[0] <= '9'), any = false;
    for (size_t i = 0; i < key.n; i++) {
        bool word = token_char(key.p[i]) && key.p[i] != ':';
        any |= word;
        if (!word && (key.p[i] != '_' || (i > 0 && key.p[i - 1] == '_'))) same = false;
    }
    if (!any) return STR("");
    if (same) return key;
    char *out = arena_alloc_aligned(a, key.n + 4, 1);
    size_t n = 0;
    if (key.p[0] >= '0' && key.p[0] <= '9') {
        memcpy(out, "key_", 4);
        n = 4;
    }
    for (size_t i = 0; i < key.n; i++) {
        bool word = token_char(key.p[i]) && key.p[i] != ':';
        if (word)
            out[n++] = key.p[i];
        else if (n == 0 || out[n - 1] != '_')
            out[n++] = '_';
    }
    return (struct str){ out, n };
}
