/* Errors of the world: a few codes, each with a class that fixes its outward meaning, and one detail
 * text written where the error is born.
 *
 * The detail lives in the current error record: one a fiber (base/rt/fiber switches err_current) and one
 * a thread outside fibers. It is valid until the next err_set on the same record. Never log and return:
 * an error is logged once, where it is handled. */
#ifndef BASE_CORE_ERR_H
#define BASE_CORE_ERR_H

#include <stddef.h>

typedef enum err {
    OK = 0,
    ERR_INVALID,     /* 400: the request or the bytes are wrong */
    ERR_UNAUTH,      /* 401 */
    ERR_FORBIDDEN,   /* 403 */
    ERR_NOT_FOUND,   /* 404 */
    ERR_TOO_LARGE,   /* 413: over a size limit */
    ERR_MEDIA_TYPE,  /* 415: content type or encoding that we do not speak */
    ERR_LIMIT,       /* 422: over a limit of work (samples, series, memory of a query) */
    ERR_OVERLOAD,    /* 429 + Retry-After: try again, a budget is exhausted */
    ERR_UNAVAILABLE, /* 503: try again, a part is not ready or a disk is full */
    ERR_TIMEOUT,     /* 504 */
    ERR_CANCELED,    /* 499: the caller went away */
    ERR_IO,          /* 500: the operating system refused; errno is in the detail */
    ERR_NOSPC,       /* 507/503: no space left; ingest is refused, reads go on */
    ERR_CORRUPT,     /* 500: bytes that fail their checksum or their format */
    ERR_INTERNAL,    /* 500: a bug of ours that could be contained */
    ERR_COUNT
} err_t;

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(a, b) __attribute__((format(printf, a, b)))

enum { ERR_DETAIL_MAX = 512 };

struct err_record {
    err_t code;
    int os_errno;
    const char *file;
    int line;
    char detail[ERR_DETAIL_MAX];
};

/* The record of the running fiber, or of the thread when none runs. Never NULL. */
struct err_record *err_record(void);
/* Installed by the fiber switch; NULL goes back to the thread's own record. */
void err_record_use(struct err_record *r);

/* Writes code and detail into the current record and returns code. */
#define err_set(code, ...) err_same_((code), err_set_at(__FILE__, __LINE__, (code), __VA_ARGS__))
err_t err_set_at(const char *file, int line, err_t code, const char *fmt, ...) PRINTF(4, 5);
/* Lets the compiler see which code a constant err_set returns: that it is not OK. */
static inline err_t err_same_(err_t code, err_t returned)
{
    (void)returned;
    return code;
}
/* The same from errno-like os_errno (positive): ENOSPC and EDQUOT are ERR_NOSPC, all others ERR_IO. */
#define err_set_errno(os, ...) err_set_errno_at(__FILE__, __LINE__, (os), __VA_ARGS__)
err_t err_set_errno_at(const char *file, int line, int os_errno, const char *fmt, ...) PRINTF(4, 5);

/* Detail text of the last err_set on this record; never NULL. */
const char *err_detail(void);
const char *err_name(err_t code);
int err_http_status(err_t code);
/* Status code of google.rpc.Code for gRPC and OTLP/HTTP bodies. */
int err_grpc_code(err_t code);
/* May the client send the same bytes again? */
static inline int err_retryable(err_t c)
{
    return c == ERR_OVERLOAD || c == ERR_UNAVAILABLE || c == ERR_TIMEOUT || c == ERR_NOSPC;
}

/* TRY(f()): on error, return it. TRY_OUT(e, f()): on error, store it in e and go to the one label
 * `out`, which releases in reverse order. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        err_t try_e_ = (call);                                                                     \
        if (__builtin_expect(try_e_ != OK, 0)) return try_e_;                                      \
    } while (0)
#define TRY_OUT(e, call)                                                                           \
    do {                                                                                           \
        (e) = (call);                                                                              \
        if (__builtin_expect((e) != OK, 0)) goto out;                                              \
    } while (0)

#endif
