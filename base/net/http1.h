/* HTTP/1.1 messages as pure functions (RFC 9112), strict on purpose: what two parsers could read differently
 * is refused. Refused are: bare LF, folded headers, space before the colon, NUL and control characters, both
 * Content-Length and Transfer-Encoding, a repeated or non-digit Content-Length, any transfer coding other than
 * exactly "chunked", chunk sizes over 8 hex digits, a missing or repeated Host in HTTP/1.1. */
#ifndef BASE_NET_HTTP1_H
#define BASE_NET_HTTP1_H

#include "base/net/http_server.h"

enum {
    HTTP_HEAD_MAX_BYTES = 16 << 10,
    HTTP_HEADERS_MAX = 100,
    HTTP1_TRAILER_MAX_BYTES = 4096,
};

/* Length of the head at the start of p, with its empty line; 0 = more bytes needed. *scanned keeps the
 * position between calls over the same, growing bytes (0 at first). A line that does not end in CRLF, or a
 * head over HTTP_HEAD_MAX_BYTES, is an error. */
MUST_CHECK err_t http1_head_end(const char *p, size_t n, size_t *scanned, size_t *head_size);

struct http1_head {
    enum http_method method;  /* 0 = unknown */
    struct str target;        /* as sent */
    unsigned minor;           /* HTTP/1.x */
    struct http_header *headers;
    uint32_t nheaders;
    bool chunked, has_length;
    uint64_t length;          /* of the body, when has_length */
    bool keep_alive;
    bool expect_continue;
};

/* Parses a whole head in place: names become lower case; all views point into p. Arrays in the arena. */
MUST_CHECK err_t http1_head_parse(char *p, size_t n, struct arena *a, struct http1_head *h);

/* Chunked bodies. Feed returns the decoded bytes piece by piece: each call consumes *used bytes of the input
 * and yields at most one run of data (a view of the input). */
enum http1_chunk_state {
    CHUNK_SIZE, CHUNK_EXT, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF, CHUNK_TRAILER, CHUNK_DONE
};
struct http1_chunked {
    enum http1_chunk_state state;
    uint32_t left;          /* bytes of the chunk still to come */
    uint32_t digits;        /* of the size line */
    uint32_t extra;         /* bytes of extensions and trailers so far */
    uint32_t line;          /* bytes of the present trailer line */
    bool cr;                /* the last byte of a trailer line was CR */
};
MUST_CHECK err_t http1_chunked_feed(struct http1_chunked *c, struct str in, size_t *used, struct str *data);

enum http_method http_method_of(struct str name); /* 0 = unknown */
/* RFC 9110 token and field-value characters. */
bool http_is_token(struct str s);
bool http_is_value(struct str s);
const char *http_reason(int status);

#endif
