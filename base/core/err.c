#include "base/core/err.h"

#include "base/core/assert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct err_record thread_record;
static _Thread_local struct err_record *current;

static const struct {
    const char *name;
    int http;
    int grpc;
} classes[ERR_COUNT] = {
    [OK] = { "ok", 200, 0 },
    [ERR_INVALID] = { "invalid", 400, 3 },
    [ERR_UNAUTH] = { "unauthenticated", 401, 16 },
    [ERR_FORBIDDEN] = { "forbidden", 403, 7 },
    [ERR_NOT_FOUND] = { "not_found", 404, 5 },
    /* OTLP: a message over the size limit is 413 over HTTP and RESOURCE_EXHAUSTED over gRPC. */
    [ERR_TOO_LARGE] = { "too_large", 413, 8 },
    [ERR_MEDIA_TYPE] = { "unsupported_media_type", 415, 3 },
    [ERR_LIMIT] = { "limit", 422, 9 },
    [ERR_OVERLOAD] = { "overload", 429, 8 },
    [ERR_UNAVAILABLE] = { "unavailable", 503, 14 },
    [ERR_TIMEOUT] = { "timeout", 504, 4 },
    [ERR_CANCELED] = { "canceled", 499, 1 },
    [ERR_IO] = { "io", 500, 13 },
    [ERR_NOSPC] = { "no_space", 503, 14 },
    [ERR_CORRUPT] = { "corrupt", 500, 15 },
    [ERR_INTERNAL] = { "internal", 500, 13 },
};

struct err_record *err_record(void)
{
    return current ? current : &thread_record;
}

void err_record_use(struct err_record *r)
{
    current = r;
}

static void record(const char *file, int line, err_t code, int os_errno)
{
    struct err_record *r = err_record();
    ASSERT(code != OK && code < ERR_COUNT);
    r->code = code;
    r->os_errno = os_errno;
    r->file = file;
    r->line = line;
}

err_t err_set_at(const char *file, int line, err_t code, const char *fmt, ...)
{
    /* Formatted beside the record first: an argument may be the old detail itself. */
    char text[ERR_DETAIL_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    record(file, line, code, 0);
    memcpy(err_record()->detail, text, sizeof text);
    return code;
}

err_t err_set_errno_at(const char *file, int line, int os_errno, const char *fmt, ...)
{
    char text[ERR_DETAIL_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0 && n < (int)sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ": %s", strerror(os_errno));
    err_t code = os_errno == ENOSPC || os_errno == EDQUOT ? ERR_NOSPC
                 : os_errno == ECANCELED                  ? ERR_CANCELED
                                                          : ERR_IO;
    record(file, line, code, os_errno);
    memcpy(err_record()->detail, text, sizeof text);
    return code;
}

const char *err_detail(void)
{
    return err_record()->detail;
}

const char *err_name(err_t code)
{
    ASSERT(code < ERR_COUNT);
    return classes[code].name;
}

int err_http_status(err_t code)
{
    ASSERT(code < ERR_COUNT);
    return classes[code].http;
}

int err_grpc_code(err_t code)
{
    ASSERT(code < ERR_COUNT);
    return classes[code].grpc;
}
