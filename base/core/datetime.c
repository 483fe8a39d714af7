#include "base/core/datetime.h"

#include <stdio.h>

struct parts {
    int64_t year, month, day, hour, minute, second, nano;
    int64_t zone_s;
};

/* Days since 1970-01-01 of a civil date: years counted from March, so that leap days end them. */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, int64_t *m, int64_t *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp + (mp < 10 ? 3 : -9);
    *y = yoe + era * 400 + (*m <= 2);
}

static int64_t days_in_month(int64_t y, int64_t m)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m == 2 && leap ? 29 : days[m - 1];
}

static bool parts_to_ns(const struct parts *p, int64_t *out)
{
    if (p->year < 1678 || p->year > 2261 || p->month < 1 || p->month > 12 || p->day < 1
        || p->day > days_in_month(p->year, p->month) || p->hour > 23 || p->minute > 59 || p->second > 60)
        return false;
    int64_t s = days_from_civil(p->year, p->month, p->day) * 86400 + p->hour * 3600 + p->minute * 60 + p->second - p->zone_s;
    *out = s * NS_PER_S + p->nano;
    return true;
}

/* -- pieces ------------------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Between min and max digits. */
static bool eat_num(struct str *s, size_t min, size_t max, int64_t *out)
{
    size_t n = 0;
    int64_t v = 0;
    while (n < s->n && n < max && is_digit(s->p[n]))
        v = v * 10 + (s->p[n++] - '0');
    if (n < min) return false;
    *s = str_sub(*s, n, s->n);
    *out = v;
    return true;
}

static bool eat(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c) return false;
    *s = str_sub(*s, 1, s->n);
    return true;
}

/* Digits of a fraction to nanoseconds; more than nine are read and dropped. */
static bool eat_fraction(struct str *s, int64_t *nano)
{
    int64_t v = 0;
    size_t n = 0;
    for (; n < s->n && is_digit(s->p[n]); n++)
        if (n < 9) v = v * 10 + (s->p[n] - '0');
    if (n == 0) return false;
    for (size_t i = n; i < 9; i++)
        v *= 10;
    *s = str_sub(*s, n, s->n);
    *nano = v;
    return true;
}

static bool eat_zone(struct str *s, int64_t *zone_s)
{
    *zone_s = 0;
    if (eat(s, 'Z') || eat(s, 'z')) return true;
    if (str_starts(*s, STR("UTC")) || str_starts(*s, STR("GMT"))) return *s = str_sub(*s, 3, s->n), true;
    int64_t sign = eat(s, '-') ? -1 : eat(s, '+') ? 1 : 0, h, m = 0;
    if (sign == 0 || !eat_num(s, 2, 2, &h)) return false;
    (void)eat(s, ':');
    if (s->n && !eat_num(s, 2, 2, &m)) return false;
    *zone_s = sign * (h * 3600 + m * 60);
    return h < 24 && m < 60;
}

bool datetime_parse(struct str s, int64_t *ns)
{
    struct parts p = { 0 };
    if (!eat_num(&s, 4, 4, &p.year)) return false;
    char sep = s.n ? s.p[0] : 0;
    if ((sep != '-' && sep != '/') || !eat(&s, sep) || !eat_num(&s, 2, 2, &p.month)) return false;
    if (!eat(&s, sep) || !eat_num(&s, 2, 2, &p.day)) return false;
    if (s.n == 0) return parts_to_ns(&p, ns);
    if (!eat(&s, 'T') && !eat(&s, 't') && !eat(&s, ' ')) return false;
    if (!eat_num(&s, 2, 2, &p.hour) || !eat(&s, ':') || !eat_num(&s, 2, 2, &p.minute)) return false;
    if (eat(&s, ':')) {
        if (!eat_num(&s, 2, 2, &p.second)) return false;
        if ((eat(&s, '.') || eat(&s, ',')) && !eat_fraction(&s, &p.nano)) return false;
    }
    if (s.n && (!eat_zone(&s, &p.zone_s) || s.n)) return false;
    return parts_to_ns(&p, ns);
}

int64_t datetime_from_number(int64_t n)
{
    static const struct { int64_t below, scale; } unit[] = {
        { INT64_C(9223372036), NS_PER_S }, { INT64_C(100000000000), 0 },
        { INT64_C(100000000000000), NS_PER_MS }, { INT64_C(100000000000000000), NS_PER_US },
    };
    int64_t mag = n < 0 ? -(n + (n == INT64_MIN)) : n;
    for (size_t i = 0; i < ARRAY_LEN(unit); i++)
        if (mag < unit[i].below) /* seconds past the year 2262 do not fit: the last instant that does */
            return unit[i].scale ? n * unit[i].scale : n < 0 ? INT64_MIN : INT64_MAX;
    return n;
}

bool datetime_parse_any(struct str s, int64_t *ns)
{
    int64_t n;
    double d;
    if (datetime_parse(s, ns)) return true;
    if (str_to_i64(s, &n)) return *ns = datetime_from_number(n), true;
    if (!str_to_f64(s, &d) || !(d > -9e9 && d < 9e9)) return false;
    *ns = (int64_t)(d * 1e9);
    return true;
}

/* -- formats -------------------------------------------------------------------------------------------- */

static bool java_field(char c, size_t width, struct str *s, struct parts *p)
{
    switch (c) {
    case 'y':
    case 'u': return eat_num(s, width >= 4 ? 4 : 1, 4, &p->year);
    case 'M': return eat_num(s, width >= 2 ? 2 : 1, 2, &p->month);
    case 'd': return eat_num(s, width >= 2 ? 2 : 1, 2, &p->day);
    case 'H': return eat_num(s, width >= 2 ? 2 : 1, 2, &p->hour);
    case 'm': return eat_num(s, width >= 2 ? 2 : 1, 2, &p->minute);
    case 's': return eat_num(s, width >= 2 ? 2 : 1, 2, &p->second);
    case 'S': return eat_fraction(s, &p->nano);
    case 'X':
    case 'x':
    case 'Z': return eat_zone(s, &p->zone_s);
    default: return false;
    }
}

static bool java_pattern(struct str s, struct str f, int64_t *out)
{
    struct parts p = { .month = 1, .day = 1 };
    for (size_t i = 0; i < f.n;) {
        char c = f.p[i];
        if (c == '\'') {
            if (i + 1 < f.n && f.p[i + 1] == '\'') {
                if (!eat(&s, '\'')) return false;
                i += 2;
                continue;
            }
            for (i++; i < f.n && f.p[i] != '\''; i++)
                if (!eat(&s, f.p[i])) return false;
            i++;
        } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
            size_t width = 1;
            while (i + width < f.n && f.p[i + width] == c)
                width++;
            if (!java_field(c, width, &s, &p)) return false;
            i += width;
        } else {
            if (!eat(&s, c)) return false;
            i++;
        }
    }
    return s.n == 0 && parts_to_ns(&p, out);
}

bool datetime_parse_java(struct str s, struct str format, int64_t *out)
{
    while (format.n) {
        size_t bar = str_find(format, STR("||"));
        struct str one = str_sub(format, 0, bar == SIZE_MAX ? format.n : bar);
        int64_t n;
        format = bar == SIZE_MAX ? STR("") : str_sub(format, bar + 2, format.n);
        if (str_is(one, "epoch_millis")) {
            if (str_to_i64(s, &n) && !__builtin_mul_overflow(n, (int64_t)NS_PER_MS, out)) return true;
        } else if (str_is(one, "epoch_second")) {
            if (str_to_i64(s, &n) && !__builtin_mul_overflow(n, NS_PER_S, out)) return true;
        } else if (str_ends(one, STR("date_optional_time")) || str_ends(one, STR("date_optional_time_nanos"))) {
            if (datetime_parse(s, out)) return true;
        } else if (java_pattern(s, one, out)) {
            return true;
        }
    }
    return false;
}

static bool month_name(struct str *s, int64_t *month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int64_t m = 0; m < 12; m++)
        if (s->n >= 3 && memcmp(s->p, names + m * 3, 3) == 0) {
            *s = str_sub(*s, 3, s->n);
            return *month = m + 1, true;
        }
    return false;
}

static bool strptime_field(char c, struct str *s, struct parts *p)
{
    switch (c) {
    case 'Y': return eat_num(s, 4, 4, &p->year);
    case 'm': return eat_num(s, 1, 2, &p->month);
    case 'd': return eat_num(s, 1, 2, &p->day);
    case 'e': (void)eat(s, ' '); return eat_num(s, 1, 2, &p->day);
    case 'b': return month_name(s, &p->month);
    case 'H': return eat_num(s, 1, 2, &p->hour);
    case 'M': return eat_num(s, 1, 2, &p->minute);
    case 'S': return eat_num(s, 1, 2, &p->second);
    case 'f': return eat_fraction(s, &p->nano);
    case 'z':
    case 'Z': return eat_zone(s, &p->zone_s);
    case 'T': return strptime_field('H', s, p) && eat(s, ':') && strptime_field('M', s, p) && eat(s, ':') && strptime_field('S', s, p);
    case 'F': return strptime_field('Y', s, p) && eat(s, '-') && strptime_field('m', s, p) && eat(s, '-') && strptime_field('d', s, p);
    case '%': return eat(s, '%');
    default: return false;
    }
}

bool datetime_parse_strptime(struct str s, struct str f, int64_t *out)
{
    struct parts p = { .month = 1, .day = 1 };
    for (size_t i = 0; i < f.n; i++) {
        if (f.p[i] != '%') {
            if (!eat(&s, f.p[i])) return false;
        } else if (++i >= f.n || !strptime_field(f.p[i], &s, &p)) {
            return false;
        }
    }
    return s.n == 0 && parts_to_ns(&p, out);
}

size_t datetime_format(int64_t ns, char out[DATETIME_TEXT_MAX])
{
    int64_t s = ns / NS_PER_S, nano = ns % NS_PER_S, y, m, d;
    if (nano < 0) nano += NS_PER_S, s--;
    int64_t days = s / 86400, sec = s % 86400;
    if (sec < 0) sec += 86400, days--;
    civil_from_days(days, &y, &m, &d);
    int n = snprintf(out, DATETIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)y, (int)m, (int)d,
                     (int)(sec / 3600), (int)(sec / 60 % 60), (int)(sec % 60));
    size_t at = (size_t)n, left = DATETIME_TEXT_MAX - at;
    if (nano % NS_PER_US) n = snprintf(out + at, left, ".%09dZ", (int)nano);
    else if (nano % NS_PER_MS) n = snprintf(out + at, left, ".%06dZ", (int)(nano / NS_PER_US));
    else if (nano) n = snprintf(out + at, left, ".%03dZ", (int)(nano / NS_PER_MS));
    else n = snprintf(out + at, left, "Z");
    return at + (size_t)n;
}
