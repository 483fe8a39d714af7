#include "base/core/json_out.h"

#include "base/core/f64_digits.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void json_init(struct json_out *j, struct buf *b)
{
    *j = (struct json_out){ .b = b };
}

static void element(struct json_out *j)
{
    if (j->comma) buf_byte(j->b, ',');
    j->comma = true;
}

static void open_with(struct json_out *j, char c)
{
    element(j);
    buf_byte(j->b, (uint8_t)c);
    j->comma = false;
}

static void close_with(struct json_out *j, char c)
{
    buf_byte(j->b, (uint8_t)c);
    j->comma = true;
}

void json_obj(struct json_out *j) { open_with(j, '{'); }
void json_obj_end(struct json_out *j) { close_with(j, '}'); }
void json_arr(struct json_out *j) { open_with(j, '['); }
void json_arr_end(struct json_out *j) { close_with(j, ']'); }

/* Bytes of the well-formed UTF-8 sequence at s[i], 0 when malformed. */
static size_t sequence(struct str s, size_t i)
{
    uint8_t c = (uint8_t)s.p[i];
    size_t want = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    struct str piece = str_sub(s, i, i + want);
    return piece.n == want && str_utf8_valid(piece) ? want : 0;
}

static bool plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void escape_one(struct buf *b, uint8_t c)
{
    switch (c) {
    case '"': buf_put(b, "\\\"", 2); break;
    case '\\': buf_put(b, "\\\\", 2); break;
    case '\n': buf_put(b, "\\n", 2); break;
    case '\r': buf_put(b, "\\r", 2); break;
    case '\t': buf_put(b, "\\t", 2); break;
    default: buf_printf(b, "\\u%04x", c);
    }
}

static void quoted(struct buf *b, struct str s)
{
    buf_byte(b, '"');
    for (size_t i = 0; i < s.n;) {
        size_t run = i;
        while (run < s.n && plain((uint8_t)s.p[run]))
            run++;
        buf_put(b, s.p + i, run - i);
        i = run;
        if (i == s.n) break;
        uint8_t c = (uint8_t)s.p[i];
        if (c < 0x80) {
            escape_one(b, c);
            i++;
            continue;
        }
        size_t len = sequence(s, i);
        if (len)
            buf_put(b, s.p + i, len);
        else
            buf_put(b, "\xEF\xBF\xBD", 3);
        i += len ? len : 1;
    }
    buf_byte(b, '"');
}

void json_key(struct json_out *j, struct str key)
{
    element(j);
    quoted(j->b, key);
    buf_byte(j->b, ':');
    j->comma = false;
}

void json_str(struct json_out *j, struct str s)
{
    element(j);
    quoted(j->b, s);
}

static void i64_text(struct buf *b, uint64_t v, bool negative)
{
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    if (negative) text[--at] = '-';
    buf_put(b, text + at, sizeof text - at);
}

void json_i64(struct json_out *j, int64_t v)
{
    element(j);
    i64_text(j->b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

void json_u64(struct json_out *j, uint64_t v)
{
    element(j);
    i64_text(j->b, v, false);
}

void json_i64_str(struct json_out *j, int64_t v)
{
    element(j);
    buf_byte(j->b, '"');
    i64_text(j->b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
    buf_byte(j->b, '"');
}

/* As printf's %g writes it with as many digits as it needs, at least 15: an exponent below 1e-4 and where there are more places than
 * digits. */
size_t f64_shortest(double v, char out[32])
{
    enum { PLACES = 15 };
    char d[F64_DIGITS_MAX];
    int exp10;
    size_t n = 0;
    if (!isfinite(v)) return (size_t)snprintf(out, 32, "%g", v);
    int nd = (int)f64_digits(v, d, &exp10);
    if (signbit(v)) out[n++] = '-';
    if (exp10 < -4 || exp10 >= MAX(nd, PLACES)) {
        out[n++] = d[0];
        if (nd > 1) out[n++] = '.';
        memcpy(out + n, d + 1, (size_t)nd - 1);
        n += (size_t)nd - 1;
        return n + (size_t)snprintf(out + n, 8, "e%c%02d", exp10 < 0 ? '-' : '+', abs(exp10));
    }
    if (exp10 < 0) {
        memcpy(out + n, "0.000", (size_t)(1 - exp10));
        n += (size_t)(1 - exp10);
    }
    for (int i = 0; i < MAX(nd, exp10 + 1); i++) {
        if (i > 0 && i == exp10 + 1) out[n++] = '.';
        out[n++] = i < nd ? d[i] : '0';
    }
    return n;
}

void json_f64(struct json_out *j, double v)
{
    element(j);
    char text[32];
    if (isfinite(v))
        buf_put(j->b, text, f64_shortest(v, text));
    else
        buf_put(j->b, "null", 4);
}

void json_bool(struct json_out *j, bool v)
{
    element(j);
    buf_z(j->b, v ? "true" : "false");
}

void json_null(struct json_out *j)
{
    element(j);
    buf_put(j->b, "null", 4);
}

void json_raw(struct json_out *j, struct str json)
{
    element(j);
    buf_str(j->b, json);
}

void json_hex(struct json_out *j, const uint8_t *bytes, size_t n)
{
    element(j);
    buf_byte(j->b, '"');
    char *to = buf_reserve(j->b, 2 * n);
    if (to) {
        str_to_hex(bytes, n, to);
        j->b->n += 2 * n;
    }
    buf_byte(j->b, '"');
}

void json_base64(struct json_out *j, struct str bytes)
{
    element(j);
    buf_byte(j->b, '"');
    char *to = buf_reserve(j->b, STR_BASE64_MAX(bytes.n));
    if (to) j->b->n += str_to_base64((const uint8_t *)bytes.p, bytes.n, true, to);
    buf_byte(j->b, '"');
}
