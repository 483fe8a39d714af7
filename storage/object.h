/* A bucket: named immutable bytes, as S3 and its likes keep them. struct object_store is a table of single tries with two
 * implementations, store_s3.c (libcurl, a real bucket) and object_mem.c (memory, with faults: the simulator and tests);
 * the object_* functions below it are what callers use: they try again, with limits, and count.
 *
 * Names: 1 to OBJECT_NAME_MAX characters of A-Z a-z 0-9 . _ - and single slashes between them. An implementation puts its
 * own prefix in front of them and takes it off again.
 *
 * Errors of one try
 *   ERR_NOT_FOUND    no such object (or upload)
 *   ERR_UNAVAILABLE  no connection, 500, 503, a conflict with another writer's request: try again
 *   ERR_OVERLOAD     429, SlowDown: try again, later
 *   ERR_TIMEOUT      no answer in time: try again. Like ERR_UNAVAILABLE it does not say whether a write has happened
 *   ERR_FORBIDDEN, ERR_INVALID  a person must do something; the detail says what
 *   ERR_CORRUPT      an answer that is none
 * A write whose condition does not hold is no error: result.refused. After a try that got lost, a refusal may be our own
 * success of before: the caller must look (object_get) at what is there. */
#ifndef STORAGE_OBJECT_H
#define STORAGE_OBJECT_H

#include "base/core/arena.h"
#include "base/rt/rt.h"

enum {
    OBJECT_NAME_MAX = 512,
    OBJECT_ETAG_MAX = 128,
    OBJECT_UPLOAD_ID_MAX = 1024,
    OBJECT_LIST_MAX = 1000,       /* names an answer to a list */
    OBJECT_PARTS_MAX = 10000,
    OBJECT_PART_BYTES = 8 << 20,  /* of an upload in parts; S3 wants at least 5 MiB */
    OBJECT_PUT_BYTES_MAX = 64 << 20,
};

struct object_etag { char text[OBJECT_ETAG_MAX]; }; /* as the store gave it; "" = none */

struct object_put {
    struct str name, bytes;
    const struct object_etag *if_match; /* only over the object that has it; NULL = no such condition */
    bool if_absent;                     /* only where there is none */
};
struct object_put_result {
    bool refused; /* the condition does not hold; nothing was written */
    struct object_etag etag;
};
struct object_info {
    uint64_t size;
    struct object_etag etag;
};
struct object_item {
    struct str name; /* of an upload in parts: of the object that it would become */
    struct str id;   /* of the upload */
    uint64_t size;
};
struct object_page { /* in the arena of the call */
    struct object_item *items;
    size_t n;
    bool more; /* go on after the last name (and upload) */
};
struct object_upload { /* one in parts, on its way */
    char name[OBJECT_NAME_MAX + 1];
    char id[OBJECT_UPLOAD_ID_MAX];
};

struct object_store {
    err_t (*put)(struct object_store *o, const struct object_put *p, struct object_put_result *out) MAY_YIELD;
    /* Exactly n bytes from off; fewer when the object ends before: *got. */
    err_t (*get_range)(struct object_store *o, struct str name, uint64_t off, size_t n, void *to, size_t *got) MAY_YIELD;
    err_t (*head)(struct object_store *o, struct str name, struct object_info *out) MAY_YIELD;
    err_t (*list)(struct object_store *o, struct str prefix, struct str after, struct arena *a, struct object_page *out) MAY_YIELD;
    err_t (*remove)(struct object_store *o, struct str name) MAY_YIELD; /* OK when there is none */
    err_t (*parts_begin)(struct object_store *o, struct str name, struct object_upload *out) MAY_YIELD;
    /* number from 1; all but the last of OBJECT_PART_BYTES */
    err_t (*parts_put)(struct object_store *o, const struct object_upload *u, uint32_t number, struct str bytes,
                       struct object_etag *etag) MAY_YIELD;
    err_t (*parts_end)(struct object_store *o, const struct object_upload *u, const struct object_etag *etags, uint32_t n) MAY_YIELD;
    err_t (*parts_abort)(struct object_store *o, const struct object_upload *u) MAY_YIELD; /* OK when there is none */
    err_t (*parts_list)(struct object_store *o, struct str prefix, struct arena *a, struct object_page *out) MAY_YIELD;
    const char *(*name)(const struct object_store *o); /* for messages: where the bucket is */
    void (*close)(struct object_store *o) MAY_YIELD;
    uint32_t reads; /* that are of use at once on a core, 1.. */
};

/* Is it a name by the rule above? A prefix may be empty and may end with a slash. */
bool object_name_valid(struct str name);

/* The same functions tried up to `tries` times (1..), with growing random pauses between; a fiber that is cancelled or past
 * its deadline stops trying. */
struct object_retry {
    struct object_store *store;
    uint32_t tries;
    int64_t pause_ns, pause_max_ns; /* the first pause at most, any pause at most */
    int64_t last_try_ns;            /* no try begins later than this after the first; 0 = whenever */
};
enum { OBJECT_READ_TRIES = 3, OBJECT_WRITE_TRIES = 6 };
struct object_retry object_retry(struct object_store *store, uint32_t tries);

MUST_CHECK err_t object_put(const struct object_retry *r, const struct object_put *p, struct object_put_result *out) MAY_YIELD;
MUST_CHECK err_t object_get_range(const struct object_retry *r, struct str name, uint64_t off, size_t n, void *to,
                                  size_t *got) MAY_YIELD;
MUST_CHECK err_t object_head(const struct object_retry *r, struct str name, struct object_info *out) MAY_YIELD;
MUST_CHECK err_t object_list(const struct object_retry *r, struct str prefix, struct str after, struct arena *a,
                             struct object_page *out) MAY_YIELD;
MUST_CHECK err_t object_remove(const struct object_retry *r, struct str name) MAY_YIELD;
MUST_CHECK err_t object_parts_abort(const struct object_retry *r, const struct object_upload *u) MAY_YIELD;
MUST_CHECK err_t object_parts_list(const struct object_retry *r, struct str prefix, struct arena *a,
                                   struct object_page *out) MAY_YIELD;

/* Uploads size bytes that `read` gives, in parts when they are more than one, OBJECT_PART_BYTES of memory at a time. What
 * was begun is aborted on an error (and when that fails too, it is found by parts_list later). */
struct object_source {
    err_t (*read)(void *ctx, void *to, size_t n, uint64_t off) MAY_YIELD;
    void *ctx;
    uint64_t size;
};
MUST_CHECK err_t object_upload(const struct object_retry *r, struct str name, const struct object_source *from) MAY_YIELD;

/* A bucket in memory, for the simulator and tests; it lives outside any node. */
struct object_faults { /* probabilities of a call, 0..1 */
    double error;    /* 500, nothing done */
    double busy;     /* 503 SlowDown, nothing done */
    double lost;     /* done, but the answer is lost */
    double slow;     /* takes slow_ns */
    double refuse;   /* a conditional write is refused though its condition holds, as a store does under conflicts */
    int64_t slow_ns;
};
struct object_mem_counts { uint64_t calls, errors, busy, lost, slow, refused; };
struct object_store *object_mem_new(void);
void object_mem_free(struct object_store *o);
void object_mem_faults(struct object_store *o, const struct object_faults *f);
struct object_mem_counts object_mem_counts(const struct object_store *o);
uint64_t object_mem_bytes(const struct object_store *o);

#endif
