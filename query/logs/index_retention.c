/* See index_retention.h. */
#include "query/logs/index_retention.h"

enum { CRON_FIELDS_MIN = 6, CRON_FIELDS_MAX = 7 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {
    { "nsec", 1 }, { "ns", 1 },
    { "usec", NS_PER_US }, { "us", NS_PER_US },
    { "msec", NS_PER_MS }, { "ms", NS_PER_MS },
    { "seconds", NS_PER_S }, { "second", NS_PER_S }, { "secs", NS_PER_S }, { "sec", NS_PER_S }, { "s", NS_PER_S },
    { "minutes", 60 * NS_PER_S }, { "minute", 60 * NS_PER_S }, { "mins", 60 * NS_PER_S }, { "min", 60 * NS_PER_S }, { "m", 60 * NS_PER_S },
    { "hours", 3600 * NS_PER_S }, { "hour", 3600 * NS_PER_S }, { "hrs", 3600 * NS_PER_S }, { "hr", 3600 * NS_PER_S }, { "h", 3600 * NS_PER_S },
    { "days", 86400 * NS_PER_S }, { "day", 86400 * NS_PER_S }, { "d", 86400 * NS_PER_S },
    { "weeks", 604800 * NS_PER_S }, { "week", 604800 * NS_PER_S }, { "wks", 604800 * NS_PER_S }, { "wk", 604800 * NS_PER_S },
    { "w", 604800 * NS_PER_S },
    { "months", 2630016 * NS_PER_S }, { "month", 2630016 * NS_PER_S }, { "M", 2630016 * NS_PER_S },
    { "years", 31557600 * NS_PER_S }, { "year", 31557600 * NS_PER_S }, { "yrs", 31557600 * NS_PER_S }, { "yr", 31557600 * NS_PER_S },
    { "y", 31557600 * NS_PER_S },
};

static int64_t unit_of(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (str_is(name, units[i].name)) return units[i].ns;
    return 0;
}

/* Takes the leading characters that are `is`. */
static struct str take(struct str *s, bool (*is)(char))
{
    size_t n = 0;
    while (n < s->n && is(s->p[n]))
        n++;
    struct str out = str_sub(*s, 0, n);
    *s = str_trim(str_sub(*s, n, s->n));
    return out;
}

static bool period_of(struct str s, int64_t *out)
{
    int64_t n, ns;
    *out = 0;
    for (s = str_trim(s); s.n > 0;) {
        if (!str_to_i64(take(&s, is_digit), &n)) return false;
        int64_t unit = unit_of(take(&s, is_letter));
        if (unit == 0 || __builtin_mul_overflow(n, unit, &ns) || __builtin_add_overflow(*out, ns, out)) return false;
    }
    return *out > 0;
}

static bool is_cron_field(struct str f)
{
    for (size_t i = 0; i < f.n; i++)
        if (!is_digit(f.p[i]) && !is_letter(f.p[i]) && !memchr("*/,-?#", f.p[i], 6)) return false;
    return f.n > 0;
}

static bool is_schedule(struct str s)
{
    static const char *const words[] = { "hourly", "daily", "weekly", "monthly", "yearly" };
    unsigned fields = 0;
    struct str f;
    s = str_trim(s);
    struct str word = str_starts(s, STR("@")) ? str_sub(s, 1, s.n) : s;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_is(word, words[i])) return true;
    while (str_cut(&s, ' ', &f)) {
        if (f.n == 0) continue;
        if (!is_cron_field(f)) return false;
        fields++;
    }
    return fields >= CRON_FIELDS_MIN && fields <= CRON_FIELDS_MAX;
}

err_t index_retention_parse(const struct json_val *v, int64_t *period_ns)
{
    const struct json_val *c, *period = NULL;
    *period_ns = 0;
    if (v->type == JSON_NULL) return OK;
    if (v->type != JSON_OBJ) return err_set(ERR_INVALID, "retention must be an object");
    JSON_EACH(c, v) {
        bool is_period = str_is(c->key, "period");
        if (!is_period && !str_is(c->key, "schedule"))
            return err_set(ERR_INVALID, "unknown field `" STR_FMT "` in retention, expected `period` or `schedule`", STR_ARG(str_sub(c->key, 0, 80)));
        if (c->type != JSON_STR) return err_set(ERR_INVALID, "retention " STR_FMT " must be a string", STR_ARG(c->key));
        if (is_period) period = c;
        else if (!is_schedule(c->str))
            return err_set(ERR_INVALID, "failed to parse retention evaluation schedule `" STR_FMT "`", STR_ARG(str_sub(c->str, 0, 80)));
    }
    if (!period) return err_set(ERR_INVALID, "missing field `period` in retention");
    if (!period_of(period->str, period_ns))
        return err_set(ERR_INVALID, "failed to parse retention period `" STR_FMT "`: a number and a unit, like `7 days`, and not nothing",
                       STR_ARG(str_sub(period->str, 0, 80)));
    return OK;
}
