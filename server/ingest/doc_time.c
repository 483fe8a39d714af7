/* Datetime values of documents. */
#include "server/ingest/docs.h"
#include "storage/json_in.h"

#include <math.h>

/* Days since 1970-01-01 of a proleptic Gregorian date (years 0-9999), by counting years from March on, so that the
 * leap day is the last of its year. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2) {
        year--;
        month += 12;
    }
    int64_t day_of_year = (153 * (month - 3) + 2) / 5 + day - 1;
    int64_t era = (year >= 0 ? year : year - 399) / 400, in_era = year - era * 400;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

static int64_t days_in(int64_t year, int64_t month)
{
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

struct clock {
    int64_t year, month, day, hour, minute, second, ns, zone_s;
};

static bool to_ns(const struct clock *c, int64_t *ns)
{
    if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > days_in(c->year, c->month)) return false;
    if (c->hour > 23 || c->minute > 59 || c->second > 60) return false;
    int64_t s = days_of(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 + c->second - c->zone_s;
    return !__builtin_mul_overflow(s, NS_PER_S, ns) && !__builtin_add_overflow(*ns, c->ns, ns);
}

/* Exactly n digits off the front. */
static bool digits(struct str *s, unsigned n, int64_t *out)
{
    *out = 0;
    if (s->n < n) return false;
    for (unsigned i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') return false;
        *out = *out * 10 + (s->p[i] - '0');
    }
    *s = str_sub(*s, n, s->n);
    return true;
}

static bool one_of(struct str *s, const char *chars)
{
    if (s->n == 0 || !strchr(chars, s->p[0])) return false;
    *s = str_sub(*s, 1, s->n);
    return true;
}

static void fraction(struct str *s, int64_t *ns)
{
    int64_t unit = NS_PER_S / 10;
    *ns = 0;
    while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
        *ns += unit * (s->p[0] - '0');
        unit /= 10;
        *s = str_sub(*s, 1, s->n);
    }
}

/* Z, +hh:mm, +hhmm, +hh, or nothing (UTC), up to the end. */
static bool zone(struct str s, int64_t *zone_s)
{
    int64_t h, m = 0;
    *zone_s = 0;
    if (s.n == 0 || str_is(s, "Z") || str_is(s, "z")) return true;
    bool minus = s.p[0] == '-';
    if (!one_of(&s, "+-") || !digits(&s, 2, &h)) return false;
    if (s.n > 0) {
        (void)one_of(&s, ":");
        if (!digits(&s, 2, &m)) return false;
    }
    *zone_s = (h * 3600 + m * 60) * (minus ? -1 : 1);
    return s.n == 0 && h < 24 && m < 60;
}

static bool rfc3339(struct str s, int64_t *ns)
{
    struct clock c = { 0 };
    if (!digits(&s, 4, &c.year) || !one_of(&s, "-") || !digits(&s, 2, &c.month) || !one_of(&s, "-") ||
        !digits(&s, 2, &c.day))
        return false;
    if (s.n == 0) return to_ns(&c, ns);
    if (!one_of(&s, "Tt ") || !digits(&s, 2, &c.hour) || !one_of(&s, ":") || !digits(&s, 2, &c.minute)) return false;
    if (one_of(&s, ":") && !digits(&s, 2, &c.second)) return false;
    if (one_of(&s, ".,")) fraction(&s, &c.ns);
    return zone(s, &c.zone_s) && to_ns(&c, ns);
}

/* [Tue, ]25 Jul 2023 10:00[:00] (+0000|GMT) */
static bool rfc2822(struct str s, int64_t *ns)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct clock c = { 0 };
    size_t comma = str_chr(s, ',');
    if (comma < s.n) s = str_trim(str_sub(s, comma + 1, s.n));
    if (!digits(&s, 2, &c.day) && !digits(&s, 1, &c.day)) return false;
    if (!one_of(&s, " ") || s.n < 3) return false;
    for (unsigned m = 0; m < 12; m++)
        if (memcmp(s.p, months + 3 * (size_t)m, 3) == 0) c.month = m + 1;
    s = str_sub(s, 3, s.n);
    if (!one_of(&s, " ") || !digits(&s, 4, &c.year) || !one_of(&s, " ") || !digits(&s, 2, &c.hour) ||
        !one_of(&s, ":") || !digits(&s, 2, &c.minute))
        return false;
    if (one_of(&s, ":") && !digits(&s, 2, &c.second)) return false;
    s = str_trim(s);
    if (str_is(s, "GMT") || str_is(s, "UTC") || str_is(s, "UT")) s = STR("Z");
    return zone(s, &c.zone_s) && to_ns(&c, ns);
}

/* Seconds until the year 5138, then milliseconds, microseconds, nanoseconds. */
static bool unix_int(int64_t v, int64_t *ns)
{
    uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    int64_t unit = size < UINT64_C(100000000000)        ? NS_PER_S
                   : size < UINT64_C(100000000000000)   ? NS_PER_MS
                   : size < UINT64_C(100000000000000000) ? NS_PER_US
                                                         : 1;
    return !__builtin_mul_overflow(v, unit, ns);
}

static bool unix_time(const struct json_val *v, int64_t *ns)
{
    int64_t i;
    if (v->type == JSON_STR) return str_to_i64(v->str, &i) && unix_int(i, ns);
    if (!json_is_num(v)) return false;
    if (json_to_i64(v, &i)) return unix_int(i, ns);
    double seconds = json_num(v);
    if (!(fabs(seconds) < 9.2e9)) return false;
    double whole = floor(seconds);
    *ns = (int64_t)whole * NS_PER_S + (int64_t)llround((seconds - whole) * 1e9);
    return true;
}

err_t doc_time(const struct json_val *v, unsigned formats, int64_t *ns)
{
    if (formats == 0) formats = DOC_TIME_RFC3339 | DOC_TIME_UNIX;
    if (v->type == JSON_STR) {
        struct str s = str_trim(v->str);
        if ((formats & DOC_TIME_RFC3339) && rfc3339(s, ns)) return OK;
        if ((formats & DOC_TIME_RFC2822) && rfc2822(s, ns)) return OK;
    }
    if ((formats & DOC_TIME_UNIX) && unix_time(v, ns)) return OK;
    return err_set(ERR_INVALID, "no datetime in the field's input formats");
}
