#include "base/core/config.h"

#include "base/core/assert.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct row {
    const char *name;
    enum config_type type;
    const char *unit, *def;
    int64_t min, max;
    const char *help;
};

static const struct row rows[CONFIG_COUNT] = {
#define CONFIG(id, name, type, unit, def, min, max, help)                                          \
    [CFG_##id] = { name, CONFIG_##type, unit, def, min, max, help },
#include "base/core/config.def"
#undef CONFIG
};

struct suffix {
    const char *text;
    int64_t factor;
};
static const struct suffix sizes[] = {
    { "", 1 },           { "B", 1 },           { "KiB", 1 << 10 },        { "MiB", 1 << 20 },
    { "GiB", 1 << 30 },  { "TiB", 1LL << 40 }, { "k", 1000 },             { "M", 1000000 },
    { "G", 1000000000 },
};
static const struct suffix durations[] = {
    { "", 1 },        { "ms", 1 },        { "s", 1000 },           { "m", 60000 },
    { "h", 3600000 }, { "d", 86400000 },  { "w", 7 * 86400000LL }, { "y", 365 * 86400000LL },
};

static bool number_with(struct str v, const struct suffix *table, size_t n, int64_t *out)
{
    size_t digits = 0;
    while (digits < v.n && isdigit((unsigned char)v.p[digits]))
        digits++;
    int64_t num;
    if (!str_to_i64(str_sub(v, 0, digits), &num)) return false;
    for (size_t i = 0; i < n; i++)
        if (str_is(str_sub(v, digits, v.n), table[i].text))
            return !__builtin_mul_overflow(num, table[i].factor, out);
    return false;
}

static bool parse_bool(struct str v, int64_t *out)
{
    *out = str_is(v, "true") || str_is(v, "1") || str_is(v, "yes");
    return *out || str_is(v, "false") || str_is(v, "0") || str_is(v, "no");
}

static err_t set_row(struct config *c, size_t i, struct str value, const char *source)
{
    const struct row *r = &rows[i];
    int64_t num = 0;
    double share = 0;
    bool good = false;
    switch (r->type) {
    case CONFIG_INT: good = str_to_i64(value, &num); break;
    case CONFIG_SIZE: good = number_with(value, sizes, ARRAY_LEN(sizes), &num); break;
    case CONFIG_DURATION: good = number_with(value, durations, ARRAY_LEN(durations), &num); break;
    case CONFIG_BOOL: good = parse_bool(value, &num); break;
    case CONFIG_SHARE: good = str_to_f64(value, &share); break;
    case CONFIG_STRING:
    case CONFIG_SECRET:
        num = (int64_t)value.n;
        good = !memchr(value.n ? value.p : "", 0, value.n);
        break;
    }
    if (r->type == CONFIG_SECRET && (!good || num > r->max))
        return err_set(ERR_INVALID, "%s: a secret of at most %lld bytes without a zero (%s)", r->name, (long long)r->max, source);
    if (!good)
        return err_set(ERR_INVALID, "%s: cannot read '" STR_FMT "' (%s)", r->name,
                       (int)MIN(value.n, 80u), value.p, source);
    if (num < r->min || num > r->max || !(share >= 0 && share <= 1))
        return err_set(ERR_INVALID, "%s: '" STR_FMT "' is outside %lld to %lld %s (%s)", r->name,
                       (int)MIN(value.n, 80u), value.p, (long long)r->min, (long long)r->max,
                       r->unit, source);
    if (value.n >= sizeof c->text[i])
        return err_set(ERR_INVALID, "%s: longer than %zu bytes (%s)", r->name, sizeof c->text[i] - 1,
                       source);
    c->num[i] = num;
    c->share[i] = share;
    memcpy(c->text[i], value.p, value.n);
    c->text[i][value.n] = 0;
    c->source[i] = source;
    return OK;
}

void config_defaults(struct config *c)
{
    for (size_t i = 0; i < CONFIG_COUNT; i++)
        if (set_row(c, i, str_of(rows[i].def), "default") != OK) UNREACHABLE();
}

err_t config_set(struct config *c, struct str key, struct str value, const char *source)
{
    for (size_t i = 0; i < CONFIG_COUNT; i++)
        if (str_is(key, rows[i].name)) return set_row(c, i, value, source);
    return err_set(ERR_INVALID, "unknown setting '" STR_FMT "' (%s); tercet --help-config lists all",
                   (int)MIN(key.n, 80u), key.p, source);
}

/* -- YAML ------------------------------------------------------------------------------------------ */
enum { DEPTH_MAX = 8, KEY_MAX = 256 };

struct yaml_walk {
    struct config *c;
    char key[KEY_MAX];
    size_t prefix[DEPTH_MAX]; /* length of the key before each open map */
    int depth;
    bool have_key;
};

static err_t yaml_scalar(struct yaml_walk *w, struct str s)
{
    size_t base = w->depth ? w->prefix[w->depth - 1] : 0;
    if (w->depth == 0) return err_set(ERR_INVALID, "the file must be a map of settings");
    if (w->have_key) {
        w->have_key = false;
        return config_set(w->c, str_of(w->key), s, "file");
    }
    if (base + s.n + 2 > KEY_MAX) return err_set(ERR_INVALID, "a key is too long");
    if (base) w->key[base++] = '.';
    memcpy(w->key + base, s.p, s.n);
    w->key[base + s.n] = 0;
    w->have_key = true;
    return OK;
}

static err_t yaml_step(struct yaml_walk *w, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return yaml_scalar(w, str_n(e->data.scalar.value, e->data.scalar.length));
    case YAML_MAPPING_START_EVENT:
        if (w->depth == DEPTH_MAX) return err_set(ERR_INVALID, "nested deeper than %d", DEPTH_MAX);
        if (w->depth && !w->have_key) return err_set(ERR_INVALID, "a map cannot be a key");
        w->prefix[w->depth++] = w->have_key ? strlen(w->key) : 0;
        w->have_key = false;
        return OK;
    case YAML_MAPPING_END_EVENT:
        w->depth--;
        return OK;
    case YAML_SEQUENCE_START_EVENT:
        return err_set(ERR_INVALID, "'%s' takes one value, not a list", w->key);
    case YAML_ALIAS_EVENT: return err_set(ERR_INVALID, "aliases are not taken");
    default: return OK;
    }
}

err_t config_load_yaml(struct config *c, struct str yaml)
{
    if (yaml.n > 1 << 20) return err_set(ERR_INVALID, "over 1 MiB");
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return err_set(ERR_INTERNAL, "YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.p, yaml.n);
    struct yaml_walk w = { .c = c };
    err_t e = OK;
    for (bool done = false; !done && e == OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            e = err_set(ERR_INVALID, "line %zu: %s", parser.problem_mark.line + 1,
                        parser.problem ? parser.problem : "not YAML");
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        size_t line = event.start_mark.line + 1;
        e = yaml_step(&w, &event);
        if (e != OK) e = err_set(e, "line %zu: %s", line, err_detail());
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return e;
}

err_t config_load_file(struct config *c, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return err_set(ERR_INVALID, "config file %s: %s", path, strerror(errno));
    struct buf text;
    buf_init(&text, (1 << 20) + 1, NULL);
    size_t got = 0;
    do {
        char *to = buf_reserve(&text, 4096);
        got = to ? fread(to, 1, 4096, f) : 0;
        text.n += got;
    } while (got);
    fclose(f);
    err_t e = text.failed ? err_set(ERR_INVALID, "over 1 MiB") : config_load_yaml(c, buf_view(&text));
    buf_deinit(&text);
    return e == OK ? OK : err_set(e, "config file %s: %s", path, err_detail());
}

err_t config_load_env(struct config *c, char *const *env)
{
    for (; *env; env++) {
        struct str rest = str_of(*env), key;
        if (!str_starts(rest, STR("TERCET_"))) continue;
        rest = str_sub(rest, 7, rest.n);
        if (!str_cut(&rest, '=', &key)) continue;
        size_t i;
        for (i = 0; i < CONFIG_COUNT; i++) {
            size_t at = 0;
            const char *name = rows[i].name;
            while (at < key.n && name[at] &&
                   key.p[at] == (name[at] == '.' ? '_' : (char)toupper((unsigned char)name[at])))
                at++;
            if (at == key.n && !name[at]) break;
        }
        if (i == CONFIG_COUNT)
            return err_set(ERR_INVALID, "environment: TERCET_" STR_FMT " names no setting",
                           (int)MIN(key.n, 80u), key.p);
        TRY(set_row(c, i, rest.p ? rest : STR(""), "environment"));
    }
    return OK;
}

void config_help(struct buf *out)
{
    for (size_t i = 0; i < CONFIG_COUNT; i++)
        buf_printf(out, "  %-26s %s%s%s  (default %s)\n", rows[i].name, rows[i].help,
                   rows[i].unit[0] ? ", in " : "", rows[i].unit, rows[i].def);
}

void config_show(const struct config *c, struct buf *out)
{
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        bool hidden = rows[i].type == CONFIG_SECRET && c->text[i][0];
        buf_printf(out, "%s: \"%s\" # %s\n", rows[i].name, hidden ? "(hidden)" : c->text[i], c->source[i]);
    }
}
