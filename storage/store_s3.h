/* A bucket that speaks S3 (Amazon's, MinIO, Ceph, Garage, ...): struct object_store over libcurl, which also signs (AWS
 * Signature Version 4). Requests block, so each runs on the offload pool; at most `connections` at once over all cores. Easy
 * handles are kept, and with them their connections.
 *
 * Every request carries the SHA-256 of its body, signed: what the bucket took is what was sent. What comes back is verified
 * by who reads it (a segment's own checksums, the catalog object's).
 *
 * Redirects are not followed (a signature is for one host): a bucket elsewhere is an error that says where. */
#ifndef STORAGE_STORE_S3_H
#define STORAGE_STORE_S3_H

#include "storage/object.h"

struct s3_opts { /* strings are copied */
    const char *endpoint; /* "https://host[:port]"; empty: Amazon's of the region */
    const char *region, *bucket;
    const char *prefix;           /* in front of every name; a slash is put between */
    const char *access_key, *secret_key, *session_token; /* empty: AWS_ACCESS_KEY_ID and its sisters, then the file */
    const char *credentials_file; /* as the AWS tools keep it; read again when it changes. May be empty */
    const char *profile;          /* in that file */
    const char *ca_file;          /* certificates to trust in place of the system's; may be empty */
    bool verify;                  /* the server's certificate */
    bool path_style;              /* http://host/bucket/name, else http://bucket.host/name */
    int64_t timeout_ms;           /* without progress */
    uint32_t connections;
};
/* Checks the options; speaks to nobody yet. */
MUST_CHECK err_t s3_open(const struct s3_opts *o, struct object_store **out) MAY_YIELD;
/* Threads of the offload pool that requests may hold at once, for that many reactors. */
unsigned s3_threads(uint32_t connections, unsigned cores);

#endif
