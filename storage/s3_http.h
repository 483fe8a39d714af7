/* One signed request to a bucket, on the calling thread (which it blocks); store_s3.c makes the requests, this file sends
 * them and turns answers into errors that say what to do. */
#ifndef STORAGE_S3_HTTP_H
#define STORAGE_S3_HTTP_H

#include "base/core/buf.h"
#include "storage/object_xml.h"
#include "storage/store_s3.h"

struct s3_http; /* shared by the threads of the pool */

struct s3_call {
    const char *method;
    struct str object;        /* name in the bucket, our prefix included; empty = the bucket itself */
    const char *query;        /* "key=value&..." sorted by key and encoded, as the signature wants it; NULL = none */
    struct str body;
    bool has_body;            /* an empty one too */
    const char *if_match;     /* an etag, or NULL */
    bool if_absent;
    uint64_t range_off;       /* GET: these bytes only */
    size_t range_n;           /* 0 = all */
    char *to;                 /* GET of a range: where they go, range_n of them */
    /* the answer */
    size_t got;               /* bytes at `to` */
    struct buf xml;           /* any other body; the caller's (s3_call_init) */
    long status;
    bool refused;             /* by if_match or if_absent */
    struct object_etag etag;
    uint64_t size;            /* Content-Length */
    uint64_t range_from, range_to; /* Content-Range: the first byte and the last */
    bool has_range;
    char region[64];          /* where the bucket says it is */
    int64_t date_s;           /* the server's clock; 0 = not told */
};
void s3_call_init(struct s3_call *c, const char *method, struct str object);
void s3_call_deinit(struct s3_call *c);

MUST_CHECK err_t s3_http_new(const struct s3_opts *o, struct s3_http **out);
void s3_http_free(struct s3_http *h); /* no request is on its way */
const char *s3_http_name(const struct s3_http *h);
/* OK: a 2xx, or a condition that does not hold (refused). Errors as in object.h. */
MUST_CHECK err_t s3_http_do(struct s3_http *h, struct s3_call *c);

/* Appends text percent-encoded as a signature wants it: all but A-Z a-z 0-9 - _ . ~ */
void s3_encode(struct buf *to, struct str text);

#endif
