#include "base/net/http1.h"

#include <ctype.h>

/* -- characters --------------------------------------------------------------------------------------- */

/* RFC 9110 5.6.2 tchar. */
static bool is_tchar(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_tchar((unsigned char)s.p[i])) return false;
    return s.n > 0;
}

/* RFC 9110 5.5: visible characters, obs-text, space and tab. */
bool http_is_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

enum http_method http_method_of(struct str name)
{
    static const struct {
        struct str name;
        enum http_method method;
    } methods[] = {
        { { "GET", 3 }, HTTP_GET },       { { "POST", 4 }, HTTP_POST },
        { { "PUT", 3 }, HTTP_PUT },       { { "DELETE", 6 }, HTTP_DELETE },
        { { "HEAD", 4 }, HTTP_HEAD },     { { "OPTIONS", 7 }, HTTP_OPTIONS },
        { { "PATCH", 5 }, HTTP_PATCH },
    };
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(name, methods[i].name)) return methods[i].method;
    return 0;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 304, "Not Modified" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 499, "Client Closed Request" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 507, "Insufficient Storage" },
    };
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return status < 400 ? "OK" : "Error";
}

/* -- the head ----------------------------------------------------------------------------------------- */

err_t http1_head_end(const char *p, size_t n, size_t *scanned, size_t *head_size)
{
    *head_size = 0;
    size_t at = *scanned;
    while (at < n) {
        const char *lf = memchr(p + at, '\n', n - at);
        if (!lf) {
            at = n;
            break;
        }
        size_t i = (size_t)(lf - p);
        if (i == 0 || p[i - 1] != '\r') return err_set(ERR_INVALID, "head: a line ends in a bare LF");
        at = i + 1;
        if (i == 1 || p[i - 2] == '\n') { /* an empty line */
            *head_size = at;
            break;
        }
    }
    *scanned = at;
    if ((*head_size ? *head_size : n) > HTTP_HEAD_MAX_BYTES)
        return err_set(ERR_TOO_LARGE, "head is over %d bytes", HTTP_HEAD_MAX_BYTES);
    return OK;
}

/* "GET /path HTTP/1.1", without its CRLF. */
static err_t parse_request_line(struct str line, struct http1_head *h)
{
    struct str method, target;
    if (!str_cut(&line, ' ', &method) || !line.p || !str_cut(&line, ' ', &target) || !line.p)
        return err_set(ERR_INVALID, "head: not a request line");
    if (!http_is_token(method)) return err_set(ERR_INVALID, "head: bad method");
    if (target.n == 0) return err_set(ERR_INVALID, "head: no request target");
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        if (c <= 0x20 || c == 0x7f) return err_set(ERR_INVALID, "head: bad byte in the request target");
    }
    if (line.n != 8 || memcmp(line.p, "HTTP/1.", 7) || (line.p[7] != '0' && line.p[7] != '1'))
        return err_set(ERR_INVALID, "head: version is not HTTP/1.0 or HTTP/1.1");
    h->method = http_method_of(method);
    h->target = target;
    h->minor = (unsigned)(line.p[7] - '0');
    return OK;
}

static err_t parse_header_line(char *p, size_t n, struct http_header *out)
{
    if (p[0] == ' ' || p[0] == '\t') return err_set(ERR_INVALID, "head: folded header");
    const char *colon = memchr(p, ':', n);
    if (!colon) return err_set(ERR_INVALID, "head: header without a colon");
    struct str name = { p, (size_t)(colon - p) };
    if (!http_is_token(name)) return err_set(ERR_INVALID, "head: bad character in a header name");
    for (size_t i = 0; i < name.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z') p[i] = (char)(p[i] | 0x20);
    struct str value = str_n(colon + 1, n - name.n - 1);
    if (!http_is_value(value))
        return err_set(ERR_INVALID, "head: control character in the value of '" STR_FMT "'",
                       (int)MIN(name.n, 64), name.p);
    *out = (struct http_header){ name, str_trim(value) };
    return OK;
}

static err_t parse_length(struct str v, struct http1_head *h)
{
    if (h->has_length) return err_set(ERR_INVALID, "head: repeated Content-Length");
    if (v.n == 0 || v.n > 18) return err_set(ERR_INVALID, "head: bad Content-Length");
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9') return err_set(ERR_INVALID, "head: bad Content-Length");
        h->length = h->length * 10 + (uint64_t)(v.p[i] - '0');
    }
    h->has_length = true;
    return OK;
}

/* Is `word` one of the comma-separated members of list? */
static bool list_has(struct str list, const char *word)
{
    struct str piece;
    while (str_cut(&list, ',', &piece))
        if (str_ieq(str_trim(piece), str_of(word))) return true;
    return false;
}

/* What the headers say about the message's frame and the connection. */
static err_t parse_framing(struct http1_head *h)
{
    unsigned hosts = 0, codings = 0;
    bool close = false, keep = false;
    for (uint32_t i = 0; i < h->nheaders; i++) {
        struct str name = h->headers[i].name, value = h->headers[i].value;
        switch (name.n) {
        case 4: hosts += str_eq(name, STR("host")); break;
        case 6:
            if (!str_eq(name, STR("expect"))) break;
            if (!str_ieq(value, STR("100-continue")))
                return err_set(ERR_INVALID, "head: unknown expectation");
            h->expect_continue = true;
            break;
        case 10:
            if (!str_eq(name, STR("connection"))) break;
            close |= list_has(value, "close");
            keep |= list_has(value, "keep-alive");
            break;
        case 14:
            if (str_eq(name, STR("content-length"))) TRY(parse_length(value, h));
            break;
        case 17:
            if (!str_eq(name, STR("transfer-encoding"))) break;
            if (!str_ieq(value, STR("chunked")) || codings++)
                return err_set(ERR_INVALID, "head: unknown transfer coding");
            h->chunked = true;
            break;
        default: break;
        }
    }
    if (h->chunked && h->has_length)
        return err_set(ERR_INVALID, "head: both Content-Length and Transfer-Encoding");
    if (h->chunked && h->minor == 0)
        return err_set(ERR_INVALID, "head: Transfer-Encoding in HTTP/1.0");
    if (hosts > 1 || (hosts == 0 && h->minor == 1))
        return err_set(ERR_INVALID, hosts ? "head: repeated Host" : "head: no Host");
    h->keep_alive = !close && (h->minor == 1 || keep);
    h->expect_continue = h->expect_continue && h->minor == 1;
    return OK;
}

err_t http1_head_parse(char *p, size_t n, struct arena *a, struct http1_head *h)
{
    *h = (struct http1_head){ 0 };
    size_t cap = 0, at = 0;
    bool first = true;
    while (at < n) {
        char *lf = memchr(p + at, '\n', n - at);
        if (!lf || lf == p || lf[-1] != '\r') return err_set(ERR_INVALID, "head: cut");
        size_t len = (size_t)(lf - 1 - (p + at));
        char *line = p + at;
        at = (size_t)(lf + 1 - p);
        if (len == 0) break;
        if (first) {
            TRY(parse_request_line(str_n(line, len), h));
            first = false;
            continue;
        }
        if (h->nheaders == HTTP_HEADERS_MAX)
            return err_set(ERR_TOO_LARGE, "head: over %d headers", HTTP_HEADERS_MAX);
        if (h->nheaders == cap)
            h->headers = arena_grow(a, h->headers, h->nheaders, &cap, MAX(cap * 2, 16), sizeof *h->headers);
        TRY(parse_header_line(line, len, &h->headers[h->nheaders]));
        h->nheaders++;
    }
    if (first) return err_set(ERR_INVALID, "head: empty");
    return parse_framing(h);
}

/* -- chunked bodies ----------------------------------------------------------------------------------- */

/* One byte of the size line, its extension, or the CRLF behind a chunk. */
static err_t chunk_line_byte(struct http1_chunked *c, unsigned char b)
{
    switch (c->state) {
    case CHUNK_SIZE: {
        int d = hex_value(b);
        if (d >= 0) {
            if (++c->digits > 8) return err_set(ERR_INVALID, "chunk: size over 8 hex digits");
            c->left = c->left << 4 | (uint32_t)d;
            return OK;
        }
        if (c->digits == 0) return err_set(ERR_INVALID, "chunk: no size");
        if (b == ';') c->state = CHUNK_EXT;
        else if (b == '\r') c->state = CHUNK_SIZE_LF;
        else return err_set(ERR_INVALID, "chunk: bad character in the size");
        return OK;
    }
    case CHUNK_EXT:
        if (++c->extra > HTTP1_TRAILER_MAX_BYTES)
            return err_set(ERR_TOO_LARGE, "chunk: extensions over %d bytes", HTTP1_TRAILER_MAX_BYTES);
        if (b == '\r') c->state = CHUNK_SIZE_LF;
        else if ((b < 0x20 && b != '\t') || b == 0x7f)
            return err_set(ERR_INVALID, "chunk: control character in an extension");
        return OK;
    case CHUNK_SIZE_LF:
        if (b != '\n') return err_set(ERR_INVALID, "chunk: size line without CRLF");
        c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER;
        c->line = 0;
        return OK;
    case CHUNK_DATA_CR:
    case CHUNK_DATA_LF:
        if (b != (c->state == CHUNK_DATA_CR ? '\r' : '\n'))
            return err_set(ERR_INVALID, "chunk: data longer than its size");
        c->digits = 0;
        c->left = 0;
        c->state = c->state == CHUNK_DATA_CR ? CHUNK_DATA_LF : CHUNK_SIZE;
        return OK;
    default: return err_set(ERR_INTERNAL, "chunk: state %d", (int)c->state);
    }
}

/* Trailer fields are read over: nothing here needs them. */
static err_t chunk_trailer_byte(struct http1_chunked *c, unsigned char b)
{
    if (++c->extra > HTTP1_TRAILER_MAX_BYTES)
        return err_set(ERR_TOO_LARGE, "chunk: trailer over %d bytes", HTTP1_TRAILER_MAX_BYTES);
    if (c->cr) {
        if (b != '\n') return err_set(ERR_INVALID, "chunk: CR without LF in the trailer");
        c->cr = false;
        if (c->line == 0) c->state = CHUNK_DONE;
        c->line = 0;
        return OK;
    }
    if (b == '\r') {
        c->cr = true;
        return OK;
    }
    if ((b < 0x20 && b != '\t') || b == 0x7f)
        return err_set(ERR_INVALID, "chunk: control character in the trailer");
    if (c->line == 0 && (b == ' ' || b == '\t')) return err_set(ERR_INVALID, "chunk: folded trailer");
    c->line++;
    return OK;
}

err_t http1_chunked_feed(struct http1_chunked *c, struct str in, size_t *used, struct str *data)
{
    *data = STR_NONE;
    size_t i = 0;
    while (i < in.n && c->state != CHUNK_DONE) {
        if (c->state == CHUNK_DATA) {
            size_t n = MIN((size_t)c->left, in.n - i);
            *data = str_n(in.p + i, n);
            c->left -= (uint32_t)n;
            if (c->left == 0) c->state = CHUNK_DATA_CR;
            *used = i + n;
            return OK;
        }
        unsigned char b = (unsigned char)in.p[i++];
        if (c->state == CHUNK_TRAILER) TRY(chunk_trailer_byte(c, b));
        else TRY(chunk_line_byte(c, b));
    }
    *used = i;
    return OK;
}
