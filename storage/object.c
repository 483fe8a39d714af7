/* Trying again: see object.h. */
#include "storage/object.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAUSE_MS = 100, PAUSE_MAX_MS = 5000 };

bool object_name_valid(struct str name)
{
    if (name.n > OBJECT_NAME_MAX) return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool slash = c == '/', dot = c == '.';
        if (slash && (i == 0 || name.p[i - 1] == '/')) return false;
        /* "." and ".." would be taken for steps in a path */
        if (dot && (i == 0 || name.p[i - 1] == '/')) return false;
        if (!(slash || dot || c == '_' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
            return false;
    }
    return true;
}

struct object_retry object_retry(struct object_store *store, uint32_t tries)
{
    ASSERT(store != NULL && tries > 0);
    return (struct object_retry){ store, tries, (int64_t)PAUSE_MS * NS_PER_MS, (int64_t)PAUSE_MAX_MS * NS_PER_MS, 0 };
}

/* A loop over tries: while (again(&t, e)) e = try. The pause is a random one below a bound that doubles: callers that
 * failed together do not come back together. */
struct tries {
    const struct object_retry *r;
    uint32_t done;
    int64_t bound_ns;
    mono_ns began;
};

/* Keeps the detail of the try that failed over a pause that was cut short. */
static bool pause_after(struct tries *t)
{
    struct err_record why = *err_record();
    int64_t ns = t->bound_ns / 2 + (int64_t)(rt_random() % (uint64_t)(t->bound_ns / 2 + 1));
    t->bound_ns = MIN(t->bound_ns * 2, t->r->pause_max_ns);
    bool slept = fiber_sleep(ns) == OK;
    *err_record() = why;
    return slept;
}

static bool again(struct tries *t, err_t e)
{
    if (t->done == 0) {
        t->bound_ns = t->r->pause_ns;
        t->began = rt_now();
    } else {
        if (e == OK) return false;
        metric_add(M_OBJECT_ERRORS, e != ERR_NOT_FOUND);
        if (!err_retryable(e) || t->done == t->r->tries) return false;
        if (t->r->last_try_ns && rt_now().ns - t->began.ns > t->r->last_try_ns) return false;
        if (!pause_after(t)) return false;
        metric_add(M_OBJECT_RETRIES, 1);
    }
    t->done++;
    metric_add(M_OBJECT_REQUESTS, 1);
    return true;
}

err_t object_put(const struct object_retry *r, const struct object_put *p, struct object_put_result *out)
{
    ASSERT(p->bytes.n <= OBJECT_PUT_BYTES_MAX && object_name_valid(p->name));
    err_t e = OK;
    for (struct tries t = { r }; again(&t, e);)
        e = r->store->put(r->store, p, out);
    if (e == OK && !out->refused) metric_add(M_OBJECT_SENT_BYTES, (int64_t)p->bytes.n);
    return e;
}

err_t object_get_range(const struct object_retry *r, struct str name, uint64_t off, size_t n, void *to, size_t *got)
{
    ASSERT(n > 0);
    err_t e = OK;
    for (struct tries t = { r }; again(&t, e);)
        e = r->store->get_range(r->store, name, off, n, to, got);
    if (e == OK) metric_add(M_OBJECT_RECEIVED_BYTES, (int64_t)*got);
    return e;
}

err_t object_head(const struct object_retry *r, struct str name, struct object_info *out)
{
    err_t e = OK;
    for (struct tries t = { r }; again(&t, e);)
        e = r->store->head(r->store, name, out);
    return e;
}

err_t object_list(const struct object_retry *r, struct str prefix, struct str after, struct arena *a, struct object_page *out)
{
    err_t e = OK;
    for (struct tries t = { r }; again(&t, e);)
        e = r->store->list(r->store, prefix, after, a, out);
    return e;
}

err_t object_remove(const struct object_retry *r, struct str name)
{
    err_t e = OK;
    for (struct tries t = { r }; again(&t, e);)
        e = r->store->remove(r->store, name);
    return e;
}

err_t object_parts_abort(const struct object_retry *r, const struct object_upload *u)
{
    err_t e = OK;
    for (struct tries t = { r }; again(&t, e);)
        e = r->store->parts_abort(r->store, u);
    return e;
}

err_t object_parts_list(const struct object_retry *r, struct str prefix, struct arena *a, struct object_page *out)
{
    err_t e = OK;
    for (struct tries t = { r }; again(&t, e);)
        e = r->store->parts_list(r->store, prefix, a, out);
    return e;
}

/* -- uploads ------------------------------------------------------------------------------------------------- */

static err_t upload_whole(const struct object_retry *r, struct str name, const struct object_source *from, char *piece)
{
    if (from->size) TRY(from->read(from->ctx, piece, (size_t)from->size, 0));
    const struct object_put p = { .name = name, .bytes = { piece, (size_t)from->size } };
    struct object_put_result out;
    return object_put(r, &p, &out);
}

static err_t put_parts(const struct object_retry *r, const struct object_upload *u, const struct object_source *from, char *piece,
                       struct object_etag *etags, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t off = (uint64_t)i * OBJECT_PART_BYTES;
        size_t size = (size_t)MIN(from->size - off, (uint64_t)OBJECT_PART_BYTES);
        TRY(from->read(from->ctx, piece, size, off));
        err_t e = OK;
        for (struct tries t = { r }; again(&t, e);)
            e = r->store->parts_put(r->store, u, i + 1, (struct str){ piece, size }, &etags[i]);
        TRY(e);
        metric_add(M_OBJECT_SENT_BYTES, (int64_t)size);
    }
    return OK;
}

/* A try of parts_end that got lost may have done it: then the upload is gone and the object is there, whole. */
static err_t end_parts(const struct object_retry *r, const struct object_upload *u, const struct object_etag *etags, uint32_t n,
                       uint64_t size)
{
    err_t e = OK;
    bool doubt = false;
    for (struct tries t = { r }; again(&t, e);) {
        e = r->store->parts_end(r->store, u, etags, n);
        if (e == ERR_NOT_FOUND && doubt) {
            struct object_info info;
            e = r->store->head(r->store, str_of(u->name), &info);
            if (e == OK && info.size != size)
                e = err_set(ERR_CORRUPT, "%s has %llu bytes in the bucket, %llu were uploaded", u->name,
                            (unsigned long long)info.size, (unsigned long long)size);
        }
        doubt = doubt || e == ERR_UNAVAILABLE || e == ERR_TIMEOUT;
    }
    return e;
}

static err_t upload_parts(const struct object_retry *r, struct str name, const struct object_source *from, char *piece)
{
    uint32_t n = (uint32_t)((from->size + OBJECT_PART_BYTES - 1) / OBJECT_PART_BYTES);
    struct object_etag *etags = malloc(n * sizeof *etags);
    struct object_upload *u = malloc(sizeof *u);
    ASSERT(etags != NULL && u != NULL);
    err_t e = OK;
    for (struct tries t = { r }; again(&t, e);)
        e = r->store->parts_begin(r->store, name, u);
    if (e == OK) {
        e = put_parts(r, u, from, piece, etags, n);
        if (e == OK) e = end_parts(r, u, etags, n, from->size);
        if (e != OK) {
            struct err_record why = *err_record();
            if (object_parts_abort(r, u) != OK)
                log_warn("object.abort", "name=%s error=\"%s\" effect=\"its parts are removed later\"", u->name, err_detail());
            *err_record() = why;
        }
    }
    free(u);
    free(etags);
    return e;
}

err_t object_upload(const struct object_retry *r, struct str name, const struct object_source *from)
{
    ASSERT(object_name_valid(name));
    if (from->size > (uint64_t)OBJECT_PARTS_MAX * OBJECT_PART_BYTES)
        return err_set(ERR_TOO_LARGE, "an object of %llu bytes, at most %llu", (unsigned long long)from->size,
                       (unsigned long long)OBJECT_PARTS_MAX * OBJECT_PART_BYTES);
    char *piece = malloc((size_t)MIN(from->size, (uint64_t)OBJECT_PART_BYTES) + 1);
    ASSERT(piece != NULL);
    err_t e = from->size <= OBJECT_PART_BYTES ? upload_whole(r, name, from, piece) : upload_parts(r, name, from, piece);
    free(piece);
    return e;
}
