/* How a string is taken apart. Runs of letters and digits are words, numbers, ids; dates and times in the usual notations
 * are numbers, too; everything between is text. A string in double quotes is a part, unless it is a key (a colon follows)
 * or nothing but one number, id or time; so are paths and addresses with a scheme. */
#include "storage/col_text_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { C_OTHER, C_LOWER_HEX, C_UPPER_HEX, C_LETTER, C_DIGIT };
static const uint8_t classes[256] = {
    ['0' ... '9'] = C_DIGIT, ['a' ... 'f'] = C_LOWER_HEX, ['A' ... 'F'] = C_UPPER_HEX,
    ['g' ... 'z'] = C_LETTER, ['G' ... 'Z'] = C_LETTER, ['_'] = C_LETTER,
};
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
enum { KEY_MAX = 80, QUOTED_MAX = 64 << 10 };

struct lexer {
    const char *s;
    size_t begin, at, end;
    size_t text; /* from here to `at` is text that is not in the pattern yet */
    bool control; /* there are bytes 0 and 1 */
    bool outer;
    enum lex_how how; /* of the next slot */
    struct lexed *out;
};

static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool is_word(char c) { return classes[(uint8_t)c] != C_OTHER; }

static inline bool is_letter(char c) { return is_word(c) && !is_digit(c); }

static void put_escaped(struct lexed *out, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];
        if (c <= 1) out->pattern[out->n++] = 1;
        out->pattern[out->n++] = c <= 1 ? (char)(c + 1) : (char)c;
    }
}

/* The text up to `to` becomes part of the pattern. Escapes and slots take at most SLOT_BYTES a byte. */
static inline void flush_text(struct lexer *x, size_t to)
{
    struct lexed *out = x->out;
    size_t n = to - x->text;
    if (out->n + n * 2 + SLOT_BYTES > TEXT_PATTERN_MAX) {
        out->full = true;
    } else if (x->control) {
        put_escaped(out, x->s + x->text, n);
    } else {
        memcpy(out->pattern + out->n, x->s + x->text, n);
        out->n += (uint32_t)n;
    }
    x->text = to;
}

/* A slot that begins at `at` and ends at `end`. */
static inline void put_slot(struct lexer *x, size_t end, enum slot_type type, unsigned a, unsigned b, uint64_t v)
{
    struct lexed *out = x->out;
    flush_text(x, x->at);
    x->at = x->text = end;
    if (out->full) return;
    const uint8_t mark[SLOT_BYTES] = { 0, (uint8_t)type, (uint8_t)a, (uint8_t)b };
    memcpy(out->pattern + out->n, mark, sizeof mark);
    out->n += sizeof mark;
    out->how[out->nslots] = (uint8_t)x->how;
    out->slots[out->nslots++] = v;
    out->full |= out->nslots > TEXT_SLOTS_MAX;
}

static void put_part(struct lexer *x, enum slot_type type, size_t end)
{
    if (end > x->at) put_slot(x, end, type, 0, 0, value_of_part(x->at, end - x->at));
}

/* -- dates and times ------------------------------------------------------------------------------------------------ */

static bool two(const char *p, unsigned max, unsigned *v)
{
    if (!is_digit(p[0]) || !is_digit(p[1])) return false;
    *v = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
    return *v <= max;
}

static bool is_leap(unsigned y) { return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0); }
static unsigned month_days(unsigned y, unsigned m) { return m == 2 ? 28u + is_leap(y) : 30u + ((m + (m > 7)) & 1); }

enum { YEAR_MIN = 1970, YEAR_MAX = 2500, DAYS_TO_1970 = 719468 }; /* so that nanoseconds fit */

/* Days since 1970-01-01. */
static uint32_t days_of(unsigned y, unsigned m, unsigned d)
{
    y -= m <= 2;
    uint32_t era = y / 400, yoe = y % 400, doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - DAYS_TO_1970;
}

static void date_of(uint32_t days, unsigned *y, unsigned *m, unsigned *d)
{
    days += DAYS_TO_1970;
    uint32_t era = days / 146097, doe = days % 146097;
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = yoe + era * 400 + (*m <= 2);
}

static bool year_of(const char *p, unsigned *y)
{
    unsigned hi, lo;
    if (!two(p, 99, &hi) || !two(p + 2, 99, &lo)) return false;
    *y = hi * 100 + lo;
    return *y >= YEAR_MIN && *y <= YEAR_MAX;
}

static bool month_of(const char *p, unsigned *m)
{
    for (*m = 1; *m <= 12; ++*m)
        if (memcmp(p, months[*m - 1], 3) == 0) return true;
    return false;
}

static bool clock_of(const char *p, uint64_t *seconds)
{
    unsigned h, m, s;
    if (!two(p, 23, &h) || p[2] != ':' || !two(p + 3, 59, &m) || p[5] != ':' || !two(p + 6, 59, &s)) return false;
    *seconds = h * 3600 + m * 60 + s;
    return true;
}

/* The fraction behind a time that ends at `at`: scales *v; what the slot's parameter says of it. */
static unsigned take_fraction(const struct lexer *x, size_t *at, uint64_t *v)
{
    size_t i = *at;
    if (i + 1 >= x->end || (x->s[i] != '.' && x->s[i] != ',') || !is_digit(x->s[i + 1])) return 0;
    unsigned n = 0, comma = x->s[i++] == ',' ? 16 : 0;
    uint64_t f = *v;
    for (; i < x->end && is_digit(x->s[i]); i++, n++) {
        if (n == 9) return 0;
        f = f * 10 + (uint64_t)(x->s[i] - '0');
    }
    /* 1,234: the comma separates. */
    if (comma && n != 3 && n != 6 && n != 9) return 0;
    *v = f;
    *at = i;
    return n | comma;
}

enum { ISO_SLASH = 1, ISO_DOT = 2, ISO_SPACE = 4, ISO_COLON = 8 };

static bool lex_iso(struct lexer *x)
{
    const char *p = x->s + x->at;
    unsigned y, m, d, how = p[4] == '/' ? ISO_SLASH : p[4] == '.' ? ISO_DOT : 0;
    uint64_t v;
    if ((p[4] != '-' && !how) || p[7] != p[4] || !year_of(p, &y) || !two(p + 5, 12, &m) || m == 0) return false;
    if (!two(p + 8, month_days(y, m), &d) || d == 0 || !clock_of(p + 11, &v)) return false;
    if (p[10] == ' ')
        how |= ISO_SPACE;
    else if (p[10] == ':')
        how |= ISO_COLON;
    else if (p[10] != 'T')
        return false;
    v += (uint64_t)days_of(y, m, d) * 86400;
    size_t at = x->at + 19;
    unsigned fraction = take_fraction(x, &at, &v);
    if (at < x->end && is_digit(x->s[at])) return false;
    put_slot(x, at, SLOT_ISO, fraction, how, v);
    return true;
}

static bool lex_clock(struct lexer *x)
{
    uint64_t v;
    size_t at = x->at + 8;
    if (!clock_of(x->s + x->at, &v)) return false;
    unsigned fraction = take_fraction(x, &at, &v);
    if (at < x->end && (is_digit(x->s[at]) || x->s[at] == ':')) return false;
    put_slot(x, at, SLOT_CLOCK, fraction, 0, v);
    return true;
}

static bool lex_apache(struct lexer *x)
{
    const char *p = x->s + x->at;
    unsigned y, m, d;
    uint64_t v;
    if (p[2] != '/' || p[6] != '/' || p[11] != ':' || !month_of(p + 3, &m) || !year_of(p + 7, &y)) return false;
    if (!two(p, month_days(y, m), &d) || d == 0 || !clock_of(p + 12, &v)) return false;
    if (x->at + 20 < x->end && is_digit(p[20])) return false;
    put_slot(x, x->at + 20, SLOT_APACHE, 0, 0, v + (uint64_t)days_of(y, m, d) * 86400);
    return true;
}

static bool lex_syslog(struct lexer *x)
{
    const char *p = x->s + x->at;
    unsigned m, d;
    uint64_t v;
    if (p[3] != ' ' || p[6] != ' ' || !month_of(p, &m)) return false;
    char day[2] = { p[4] == ' ' ? '0' : p[4], p[5] };
    if ((p[4] == '0') || !two(day, 31, &d) || d == 0 || !clock_of(p + 7, &v)) return false;
    if (x->at + 15 < x->end && (is_digit(p[15]) || p[15] == ':')) return false;
    put_slot(x, x->at + 15, SLOT_SYSLOG, 0, 0, v + (uint64_t)((m - 1) * 31 + d - 1) * 86400);
    return true;
}

static bool lex_time(struct lexer *x)
{
    const char *p = x->s + x->at;
    size_t n = x->end - x->at;
    if (n >= 19 && p[13] == ':' && lex_iso(x)) return true;
    if (n >= 20 && p[2] == '/' && lex_apache(x)) return true;
    return n >= 8 && p[2] == ':' && lex_clock(x);
}

/* -- numbers and ids ------------------------------------------------------------------------------------------------- */

static bool lex_uuid(struct lexer *x)
{
    const char *p = x->s + x->at;
    bool lower = false, upper = false;
    if (x->end - x->at < 36 || p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-') return false;
    for (int i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) continue;
        uint8_t c = classes[(uint8_t)p[i]];
        lower |= c == C_LOWER_HEX;
        upper |= c == C_UPPER_HEX;
        if (c == C_OTHER || c == C_LETTER) return false;
    }
    if ((lower && upper) || (x->at + 36 < x->end && is_word(p[36]))) return false;
    put_slot(x, x->at + 36, SLOT_UUID, 0, upper, value_of_part(x->at, 36));
    return true;
}

static bool lex_ip(struct lexer *x, size_t digits)
{
    uint64_t v = 0;
    size_t i = x->at;
    if (digits > 3 || i + digits >= x->end || x->s[i + digits] != '.') return false;
    for (int k = 0; k < 4; k++) {
        unsigned byte = 0;
        size_t from = i;
        for (; i < x->end && is_digit(x->s[i]) && i - from < 4; i++)
            byte = byte * 10 + (unsigned)(x->s[i] - '0');
        if (i == from || byte > 255 || (i - from > 1 && x->s[from] == '0')) return false;
        v = v << 8 | byte;
        if (k < 3 && (i >= x->end || x->s[i++] != '.')) return false;
    }
    if (i < x->end && (is_word(x->s[i]) || (x->s[i] == '.' && i + 1 < x->end && is_digit(x->s[i + 1])))) return false;
    put_slot(x, i, SLOT_IP, 0, 0, v);
    return true;
}

static uint64_t number_of(const char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (uint64_t)(p[i] - '0');
    return v;
}

/* A run of n digits. False when it is too long to be a number. */
static bool put_digits(struct lexer *x, size_t n)
{
    const char *p = x->s + x->at;
    size_t zeros = 0;
    while (zeros < n && p[zeros] == '0')
        zeros++;
    if (n - zeros > 19 || n > TEXT_PAD_MAX) return false;
    bool pad = zeros && n > 1;
    put_slot(x, x->at + n, pad ? SLOT_PAD : SLOT_INT, pad ? (unsigned)n : 0, 0, number_of(p, n));
    return true;
}

/* 12.345, and no third part. */
static bool lex_decimal(struct lexer *x, size_t digits)
{
    const char *p = x->s + x->at;
    size_t left = x->end - x->at, n = digits + 1;
    if (n >= left || p[digits] != '.' || !is_digit(p[n]) || (digits > 1 && p[0] == '0')) return false;
    while (n < left && is_digit(p[n]))
        n++;
    size_t fraction = n - digits - 1;
    if (digits + fraction > 18) return false;
    if (n < left && (is_word(p[n]) || (p[n] == '.' && n + 1 < left && is_digit(p[n + 1])))) return false;
    uint64_t v = number_of(p, digits);
    for (size_t i = digits + 1; i < n; i++)
        v = v * 10 + (uint64_t)(p[i] - '0');
    put_slot(x, x->at + n, SLOT_DEC, (unsigned)fraction, 0, v);
    return true;
}

/* -- runs of letters and digits --------------------------------------------------------------------------------------- */

struct run {
    size_t n, letters; /* leading letters */
    unsigned seen;     /* bit a class */
    bool split;        /* letters behind digits */
};

static struct run run_at(const struct lexer *x)
{
    struct run r = { 0 };
    size_t i = x->at;
    bool digits = false;
    for (; i < x->end; i++) {
        uint8_t c = classes[(uint8_t)x->s[i]];
        if (c == C_OTHER) break;
        r.seen |= 1u << c;
        if (c == C_DIGIT) {
            if (!digits) r.letters = i - x->at;
            digits = true;
        } else {
            r.split |= digits;
        }
    }
    r.n = i - x->at;
    if (!digits) r.letters = r.n;
    return r;
}

static bool lex_hex(struct lexer *x, const struct run *r)
{
    bool lower = r->seen & 1u << C_LOWER_HEX, upper = r->seen & 1u << C_UPPER_HEX;
    if (r->n < 8 || r->n > TEXT_HEX_MAX || r->n % 2 || lower == upper || (r->seen & 1u << C_LETTER)) return false;
    if (!(r->seen & 1u << C_DIGIT)) return false;
    put_slot(x, x->at + r->n, SLOT_HEX, (unsigned)r->n, upper, value_of_part(x->at, r->n));
    return true;
}

static void lex_run(struct lexer *x)
{
    bool digit = is_digit(x->s[x->at]);
    if (digit && lex_time(x)) return;
    struct run r = run_at(x);
    if (r.n == 8 && lex_uuid(x)) return;
    if (r.letters == r.n) {
        x->at += r.n;
        return;
    }
    if (digit && r.seen == 1u << C_DIGIT) {
        if (lex_ip(x, r.n) || lex_decimal(x, r.n)) return;
        if (put_digits(x, r.n)) return;
    } else if (lex_hex(x, &r)) {
        return;
    } else if (r.letters && !r.split) {
        x->at += r.letters;
        r.n -= r.letters;
        x->how = LEX_TAIL;
        if (put_digits(x, r.n)) return;
    }
    put_part(x, SLOT_STR, x->at + r.n);
}

/* Digits behind letters, and no letters behind those. */
static void lex_tail(struct lexer *x)
{
    size_t i = x->at;
    while (i < x->end && is_digit(x->s[i]))
        i++;
    if (i == x->at || (i < x->end && is_word(x->s[i]))) return;
    if (!put_digits(x, i - x->at)) put_part(x, SLOT_STR, i);
}

/* -- quoted strings, paths, addresses, values of keys ---------------------------------------------------------------- */

static size_t end_of_quoted(const struct lexer *x)
{
    size_t i = x->at + 1, max = MIN(x->end, x->at + QUOTED_MAX);
    while (i < max) {
        const char *quote = memchr(x->s + i, '"', max - i), *slash;
        if (!quote) return 0;
        size_t to = (size_t)(quote - x->s);
        slash = memchr(x->s + i, '\\', to - i);
        if (!slash) return to;
        i = (size_t)(slash - x->s) + 2;
    }
    return 0;
}

static bool all_hex(const char *p, size_t n)
{
    while (n > 0 && is_word(*p) && classes[(uint8_t)*p] != C_LETTER)
        p++, n--;
    return n == 0;
}

/* One number, id or time, and nothing else, from `at` to `to`. */
static bool lex_whole(struct lexer *x, size_t to)
{
    char c = x->s[x->at];
    size_t size = to - x->at;
    if (!is_word(c)) return false;
    /* When a letter comes first: hex digits or a UUID. */
    if (classes[(uint8_t)c] == C_LETTER) return false;
    if (!is_digit(c) && (size < 8 || (size != 36 && (size > TEXT_HEX_MAX || size % 2 || !all_hex(x->s + x->at, size))))) return false;
    flush_text(x, x->at);
    struct lexer inner = *x;
    uint32_t n = x->out->n, slots = x->out->nslots;
    inner.begin = x->at;
    inner.end = to;
    lex_run(&inner);
    bool one = x->out->nslots == slots + 1 && x->out->n == n + SLOT_BYTES && x->out->pattern[n + 1] != SLOT_STR;
    /* 2016-10-10T10:10:10Z */
    if (one && (inner.at == to || (inner.at + 1 == to && x->s[inner.at] == 'Z'))) {
        x->at = to;
        x->text = inner.text;
        return true;
    }
    x->out->n = n;
    x->out->nslots = slots;
    return false;
}

static bool lex_quoted(struct lexer *x)
{
    size_t to = end_of_quoted(x);
    if (to == 0) return false;
    bool key = to + 1 < x->end && x->s[to + 1] == ':' && to - x->at <= KEY_MAX;
    x->at++;
    x->how = LEX_QUOTED;
    if (!key && x->at < to && !lex_whole(x, to)) put_part(x, SLOT_STR, to);
    x->at = to + 1;
    return true;
}

/* 1: the end of a path; 2: of a value, too. */
static const uint8_t path_ends[256] = { [0 ... ' '] = 1, ['"'] = 1, ['\''] = 1, [')'] = 1, [']'] = 1, ['>'] = 1, [','] = 1, [';'] = 1,
                                        ['}'] = 2, ['&'] = 2, ['='] = 2, ['('] = 2, ['['] = 2 };
static inline bool ends_path(char c) { return path_ends[(uint8_t)c] == 1; }

/* Up to the end of a path that begins somewhere before `i`; not when it is the whole string, which then is taken apart. */
static bool put_path(struct lexer *x, size_t i)
{
    while (i < x->end && !ends_path(x->s[i]))
        i++;
    if (x->at == x->begin && i == x->end) return false;
    put_part(x, SLOT_STR, i);
    return true;
}

static bool begins_path(const struct lexer *x)
{
    char before = x->at > x->begin ? x->s[x->at - 1] : ' ';
    return x->at + 1 < x->end && (is_word(x->s[x->at + 1]) || x->s[x->at + 1] == '.') &&
           (before == ' ' || before == '=' || before == '(' || before == '\'' || before == '[' || before == '\t' || before == ':');
}

/* Behind key=, when a letter follows: the value is a part. */
static void lex_value(struct lexer *x)
{
    size_t i = x->at;
    while (i < x->end && !path_ends[(uint8_t)x->s[i]])
        i++;
    x->how = LEX_VALUE;
    if (i < x->end && x->s[i] != ' ' && x->s[i] != ',' && x->s[i] != '\n') return;
    if (!lex_whole(x, i)) put_part(x, SLOT_STR, i);
}

/* Letters, and what they begin: an address (scheme://), a date, a word with digits, or just a word. */
static void lex_letters(struct lexer *x)
{
    size_t i = x->at;
    uint8_t c;
    do
        c = i < x->end ? classes[(uint8_t)x->s[i]] : C_OTHER, i++;
    while (c != C_OTHER && c != C_DIGIT);
    i--;
    if (c == C_DIGIT || i - x->at == 8) {
        lex_run(x);
        return;
    }
    if (i + 2 < x->end && x->outer && x->s[i] == ':' && x->s[i + 1] == '/' && x->s[i + 2] == '/' && put_path(x, i)) return;
    if (i - x->at == 3 && x->end - x->at >= 15 && x->s[i] == ' ' && lex_syslog(x)) return;
    x->at = i;
    if (i + 1 < x->end && x->outer && x->s[i] == '=' && is_letter(x->s[i + 1])) {
        x->at++;
        lex_value(x);
    }
}

static bool has_control(const char *p, size_t n)
{
    uint64_t found = 0, w;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) { /* bytes below 2 */
        memcpy(&w, p + i, 8);
        found |= (w - UINT64_C(0x0202020202020202)) & ~w & UINT64_C(0x8080808080808080);
    }
    for (; i < n; i++)
        found |= (uint8_t)p[i] <= 1;
    return found;
}

static inline void step(struct lexer *x)
{
    uint8_t c = (uint8_t)x->s[x->at], class = classes[c];
    if (class == C_OTHER) {
        if (x->outer && c == '"' && lex_quoted(x)) return;
        if (x->outer && c == '/' && begins_path(x)) {
            x->how = LEX_STEP;
            if (put_path(x, x->at)) return;
        }
        x->at++;
        return;
    }
    x->how = LEX_STEP;
    if (class == C_DIGIT)
        lex_run(x);
    else
        lex_letters(x);
}

bool text_lex(const struct lex_string *s, struct lex_place at, struct lexed *out)
{
    struct lexer x = { .s = s->text, .begin = s->from, .at = at.at, .end = s->to, .text = at.text, .outer = s->outer, .out = out };
    out->full = false;
    x.control = out->escaped = has_control(s->text + s->from, s->to - s->from);
    while (x.at < x.end && !out->full)
        step(&x);
    if (!out->full) flush_text(&x, x.end);
    return !out->full;
}

/* -- slots that are expected ------------------------------------------------------------------------------------------- *
 * Shortcuts for what is met most: when one says yes, the long way would have taken the same. */

/* With these behind it a number may be a part of something else. */
static bool goes_on(char c) { return is_word(c) || c == '.' || c == ':' || c == '/' || c == '-'; }

/* Digits at p[0, n), which is at most 18 of them; how many. */
static inline uint32_t take_digits(const char *p, size_t n, uint64_t *v)
{
    uint32_t i = 0;
    uint64_t x = *v;
    for (; i < MIN(n, (size_t)19) && is_digit(p[i]); i++)
        x = x * 10 + (uint64_t)(p[i] - '0');
    *v = x;
    return i <= 18 ? i : 0;
}

/* Ends at `to` as `how` wants it? Where lexing goes on then. */
static inline bool ends_well(const struct lexer *x, size_t to, size_t *next)
{
    char c = to < x->end ? x->s[to] : ' ';
    *next = to;
    switch (x->how) {
    case LEX_STEP: return !goes_on(c);
    case LEX_TAIL: return !is_word(c);
    case LEX_VALUE: return c == ' ' || c == ',' || c == '\n';
    case LEX_QUOTED:
        *next = to + 1;
        return c == '"' && to < x->end && !(to + 1 < x->end && x->s[to + 1] == ':');
    default: return false;
    }
}

static bool expect_digits(struct lexer *x, unsigned type, unsigned a, uint64_t *v, size_t *to)
{
    const char *p = x->s + x->at;
    size_t left = x->end - x->at;
    uint32_t n = take_digits(p, left, v);
    *to = x->at + n;
    if (n == 0) return false;
    if (type == SLOT_PAD) return p[0] == '0' && n > 1 && n == a;
    if (p[0] == '0' && n > 1) return false;
    if (type == SLOT_INT) return true;
    if (x->how == LEX_TAIL || n == left || p[n] != '.') return false;
    uint32_t fraction = take_digits(p + n + 1, left - n - 1, v);
    *to += 1 + fraction;
    return fraction == a && n + fraction <= 18;
}

#if defined(__x86_64__)
static inline uint32_t in_range(__m128i v, char from, char to)
{
    return (uint32_t)_mm_movemask_epi8(_mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8((char)(from - 1))), _mm_cmplt_epi8(v, _mm_set1_epi8((char)(to + 1)))));
}
/* Bit i: p[i] is a digit, a letter of hex digits. */
static inline void look_for_hex(const char *p, bool upper, uint32_t *digits, uint32_t *letters)
{
    char first = upper ? 'A' : 'a', last = upper ? 'F' : 'f';
    __m128i lo = _mm_loadu_si128((const __m128i *)(const void *)p), hi = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));
    *digits = in_range(lo, '0', '9') | in_range(hi, '0', '9') << 16;
    *letters = in_range(lo, first, last) | in_range(hi, first, last) << 16;
}
#else
static inline void look_for_hex(const char *p, bool upper, uint32_t *digits, uint32_t *letters)
{
    *digits = *letters = 0;
    for (unsigned i = 0; i < TEXT_HEX_MAX; i++) {
        uint8_t c = classes[(uint8_t)p[i]];
        *digits |= (uint32_t)(c == C_DIGIT) << i;
        *letters |= (uint32_t)(c == (upper ? C_UPPER_HEX : C_LOWER_HEX)) << i;
    }
}
#endif

static bool expect_hex(struct lexer *x, unsigned n, bool upper, uint64_t *v, size_t *to)
{
    uint32_t digits, letters, all = n >= 32 ? UINT32_MAX : (1u << n) - 1;
    if (x->end - x->at < TEXT_HEX_MAX) return false;
    look_for_hex(x->s + x->at, upper, &digits, &letters);
    *to = x->at + n;
    *v = value_of_part(x->at, n);
    return ((digits | letters) & all) == all && (digits & all) && (letters & all);
}

#if defined(__x86_64__)
/* The first quote or backslash of p[0, n), or n. */
static inline size_t find_quote(const char *p, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
        if (hits) return i + (size_t)__builtin_ctz(hits);
    }
    while (i < n && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}
#else
static inline size_t find_quote(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}
#endif

/* A quoted part or the value of a key that cannot be a number, an id or a time. */
static bool expect_part(const struct lexer *x, uint64_t *v, size_t *to)
{
    const char *p = x->s + x->at;
    uint8_t class = classes[(uint8_t)*p];
    size_t n = 0, left = x->end - x->at;
    if (class != C_OTHER && class != C_LETTER) return false;
    if (x->how == LEX_QUOTED) {
        n = find_quote(p, MIN(left, (size_t)QUOTED_MAX - 1));
        if (n == left || p[n] != '"') return false;
    } else if (x->how == LEX_VALUE) {
        while (n < left && !path_ends[(uint8_t)p[n]])
            n++;
    }
    *v = value_of_part(x->at, n);
    *to = x->at + n;
    return n > 0;
}

static bool expect(struct lexer *x, const uint8_t *mark, struct lex_place *at)
{
    uint64_t v = 0;
    size_t to, next;
    bool is = false;
    switch (mark[1]) {
    case SLOT_INT:
    case SLOT_PAD:
    case SLOT_DEC: is = expect_digits(x, mark[1], mark[2], &v, &to); break;
    case SLOT_HEX: is = x->how != LEX_TAIL && expect_hex(x, mark[2], mark[3], &v, &to); break;
    case SLOT_STR: is = expect_part(x, &v, &to); break;
    default: break;
    }
    if (!is || !ends_well(x, to, &next)) return false;
    x->out->how[x->out->nslots] = (uint8_t)x->how;
    x->out->slots[x->out->nslots++] = v;
    *at = (struct lex_place){ next, to };
    return true;
}

static void lex_as(struct lexer *x)
{
    switch (x->how) {
    case LEX_STEP: step(x); break;
    case LEX_TAIL: lex_tail(x); break;
    case LEX_VALUE:
        if (is_letter(x->s[x->at])) lex_value(x);
        break;
    case LEX_QUOTED:
        x->at--;
        (void)lex_quoted(x);
        break;
    }
}

bool text_lex_slot(const struct lex_string *s, struct lex_place *at, enum lex_how how, const uint8_t mark[SLOT_BYTES], struct lexed *out)
{
    struct lexer x = { .s = s->text, .begin = s->from, .at = at->text, .end = s->to, .text = at->text, .outer = s->outer, .how = how, .out = out };
    uint32_t nslots = out->nslots;
    if (x.at >= x.end || nslots >= TEXT_SLOTS_MAX) return false;
    /* What begins like a value may be one. */
    if (how == LEX_STEP && x.outer && x.at > x.begin && x.s[x.at - 1] == '=' && is_letter(x.s[x.at])) return false;
    if (expect(&x, mark, at)) return true;
    out->n = 0;
    out->full = false;
    lex_as(&x);
    if (out->nslots == nslots + 1 && !out->full && out->n == SLOT_BYTES && memcmp(out->pattern, mark, SLOT_BYTES) == 0) {
        *at = (struct lex_place){ x.at, x.text };
        return true;
    }
    out->nslots = nslots;
    return false;
}

/* -- back to text -------------------------------------------------------------------------------------------------------- */

static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
                            "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static inline void write_two(char *to, unsigned v) { memcpy(to, pairs + v % 100 * 2, 2); }

static uint32_t write_int(uint64_t v, char *to)
{
    char tmp[20];
    uint32_t n = 20;
    while (v >= 100) {
        n -= 2;
        write_two(tmp + n, (unsigned)(v % 100));
        v /= 100;
    }
    if (v >= 10) {
        n -= 2;
        write_two(tmp + n, (unsigned)v);
    } else {
        tmp[--n] = (char)('0' + v);
    }
    memcpy(to, tmp + n, 20 - n);
    return 20 - n;
}

static void write_digits(uint64_t v, uint32_t n, char *to)
{
    while (n-- > 0) {
        to[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

static void write_clock(uint32_t s, char *to)
{
    write_two(to, s / 3600);
    to[2] = ':';
    write_two(to + 3, s / 60 % 60);
    to[5] = ':';
    write_two(to + 6, s % 60);
}

static const uint64_t tens[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000 };

/* Cuts the fraction off *v; what is to be written behind the seconds goes to `to`. */
static uint32_t write_fraction(unsigned a, uint64_t *v, char *to)
{
    unsigned n = a & 15;
    if (n == 0) return 0;
    to[0] = a & 16 ? ',' : '.';
    write_digits(*v % tens[n], n, to + 1);
    *v /= tens[n];
    return n + 1;
}

static uint32_t write_iso(unsigned a, unsigned b, uint64_t v, char *to)
{
    char sep = b & ISO_SLASH ? '/' : b & ISO_DOT ? '.' : '-';
    unsigned y, m, d;
    uint32_t n = write_fraction(a, &v, to + 19);
    date_of((uint32_t)(v / 86400), &y, &m, &d);
    write_two(to, y / 100);
    write_two(to + 2, y);
    to[4] = to[7] = sep;
    write_two(to + 5, m);
    write_two(to + 8, d);
    to[10] = b & ISO_SPACE ? ' ' : b & ISO_COLON ? ':' : 'T';
    write_clock((uint32_t)(v % 86400), to + 11);
    return 19 + n;
}

static uint32_t write_apache(uint64_t v, char *to)
{
    unsigned y, m, d;
    date_of((uint32_t)(v / 86400), &y, &m, &d);
    write_two(to, d);
    to[2] = to[6] = '/';
    memcpy(to + 3, months[m - 1], 3);
    write_two(to + 7, y / 100);
    write_two(to + 9, y);
    to[11] = ':';
    write_clock((uint32_t)(v % 86400), to + 12);
    return 20;
}

static uint32_t write_syslog(uint64_t v, char *to)
{
    uint32_t day = (uint32_t)(v / 86400);
    memcpy(to, months[day / 31 % 12], 3);
    to[3] = to[6] = ' ';
    write_two(to + 4, day % 31 + 1);
    if (to[4] == '0') to[4] = ' ';
    write_clock((uint32_t)(v % 86400), to + 7);
    return 15;
}

static uint32_t write_ip(uint64_t v, char *to)
{
    uint32_t n = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        n += write_int(v >> shift & 255, to + n);
        if (shift) to[n++] = '.';
    }
    return n;
}

static uint32_t write_decimal(unsigned a, uint64_t v, char *to)
{
    uint64_t one = 1;
    for (unsigned i = 0; i < a; i++)
        one *= 10;
    uint32_t n = write_int(v / one, to);
    to[n] = '.';
    write_digits(v % one, a, to + n + 1);
    return n + 1 + a;
}

bool slot_valid(unsigned type, unsigned a, unsigned b)
{
    switch (type) {
    case SLOT_PAD: return a >= 2 && a <= TEXT_PAD_MAX && b == 0;
    case SLOT_DEC: return a >= 1 && a <= 18 && b == 0;
    case SLOT_HEX: return a >= 8 && a <= TEXT_HEX_MAX && a % 2 == 0 && b <= 1;
    case SLOT_UUID: return a == 0 && b <= 1;
    case SLOT_ISO: return (a & 15) <= 9 && a < 32 && b < 16;
    case SLOT_CLOCK: return (a & 15) <= 9 && a < 32 && b == 0;
    default: return type >= SLOT_INT && type < SLOT_TYPES && a == 0 && b == 0;
    }
}

uint32_t slot_write(unsigned type, unsigned a, unsigned b, uint64_t v, char *to)
{
    switch (type) {
    case SLOT_PAD: write_digits(v, a, to); return a;
    case SLOT_DEC: return write_decimal(a, v, to);
    case SLOT_IP: return write_ip(v, to);
    case SLOT_ISO: return write_iso(a, b, v, to);
    case SLOT_APACHE: return write_apache(v, to);
    case SLOT_SYSLOG: return write_syslog(v, to);
    case SLOT_CLOCK: {
        uint32_t n = write_fraction(a, &v, to + 8);
        write_clock((uint32_t)(v % 86400), to);
        return 8 + n;
    }
    default: return write_int(v, to);
    }
}

/* -- what numbers may hold ------------------------------------------------------------------------------------------------ */

uint32_t slot_digits_max(unsigned type, unsigned a)
{
    switch (type) {
    case SLOT_INT: return 20;
    case SLOT_PAD:
    case SLOT_HEX: return a;
    case SLOT_DEC: return 20 + a;
    case SLOT_IP: return 3;
    case SLOT_UUID: return 12;
    case SLOT_ISO: return MAX(4u, a & 15);
    case SLOT_APACHE: return 4;
    case SLOT_SYSLOG: return 2;
    case SLOT_CLOCK: return MAX(2u, a & 15);
    default: return UINT32_MAX;
    }
}

/* The least number with so many digits; UINT64_MAX when there is none. */
static uint64_t least_of(uint32_t digits)
{
    uint64_t v = digits > 1;
    for (uint32_t i = 1; i < digits && v != UINT64_MAX; i++)
        if (__builtin_mul_overflow(v, 10, &v)) v = UINT64_MAX;
    return v;
}

/* Four digits in a time that has no longer fraction are its year. */
static void range_of_year(const char *digits, uint64_t unit, uint64_t *lo, uint64_t *hi)
{
    unsigned y;
    *lo = 1, *hi = 0;
    if (!year_of(digits, &y)) return;
    *lo = days_of(y, 1, 1) * UINT64_C(86400) * unit;
    *hi = days_of(y + 1, 1, 1) * UINT64_C(86400) * unit - 1;
}

void slot_range(unsigned type, unsigned a, const char *digits, uint32_t n, uint64_t *lo, uint64_t *hi)
{
    *lo = 0, *hi = UINT64_MAX;
    if (n == 0) return;
    for (uint32_t i = 0; i < n; i++)
        if (!is_digit(digits[i])) return;
    if (type == SLOT_INT) *lo = least_of(n);
    if (type == SLOT_DEC && n > a && __builtin_mul_overflow(least_of(n), least_of(a + 1), lo)) *lo = UINT64_MAX; /* not in the fraction */
    if (type == SLOT_ISO && n == 4 && (a & 15) < 4) range_of_year(digits, tens[a & 15], lo, hi);
    if (type == SLOT_APACHE && n == 4) range_of_year(digits, 1, lo, hi);
}
