/* A bucket in memory: a sorted array behind a lock, and the faults that real ones have (object.h). */
#include "storage/object.h"

#include "base/core/assert.h"
#include "base/core/buf.h"
#include "base/core/hash.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct object {
    char *name, *bytes;
    size_t n;
    char *upload; /* id of the upload in parts that this is a part of; NULL = an object */
    uint32_t part;
};
struct mem {
    struct object_store store;
    pthread_mutex_t lock;
    struct object *v;
    size_t n, cap;
    uint64_t uploads;
    struct object_faults faults;
    struct object_mem_counts counts;
};

static struct mem *mem_of(const struct object_store *o)
{
    return CONTAINER_OF(o, struct mem, store);
}

/* -- faults ------------------------------------------------------------------------------------------------------ */

static bool chance(double p)
{
    return p > 0 && (double)(rt_random() >> 11) * 0x1p-53 < p;
}

static err_t before(struct mem *m)
{
    m->counts.calls++;
    if (chance(m->faults.slow)) {
        m->counts.slow++;
        TRY(fiber_sleep(m->faults.slow_ns));
    } else {
        fiber_yield();
    }
    if (chance(m->faults.error)) {
        m->counts.errors++;
        return err_set(ERR_UNAVAILABLE, "injected: 500");
    }
    if (chance(m->faults.busy)) {
        m->counts.busy++;
        return err_set(ERR_OVERLOAD, "injected: SlowDown");
    }
    return OK;
}

static err_t after(struct mem *m)
{
    fiber_yield();
    if (!chance(m->faults.lost)) return OK;
    m->counts.lost++;
    return err_set(ERR_TIMEOUT, "injected: the answer got lost");
}

/* -- the array, under the lock ---------------------------------------------------------------------------------- */

static int compare(const struct object *a, const char *name, const char *upload, uint32_t part)
{
    int c = strcmp(a->name, name);
    if (c == 0) c = strcmp(a->upload ? a->upload : "", upload ? upload : "");
    return c ? c : (a->part > part) - (a->part < part);
}

static size_t place(const struct mem *m, const char *name, const char *upload, uint32_t part, bool *there)
{
    size_t i = 0;
    while (i < m->n && compare(&m->v[i], name, upload, part) < 0)
        i++;
    *there = i < m->n && compare(&m->v[i], name, upload, part) == 0;
    return i;
}

static void drop_at(struct mem *m, size_t i)
{
    free(m->v[i].name);
    free(m->v[i].bytes);
    free(m->v[i].upload);
    memmove(m->v + i, m->v + i + 1, (--m->n - i) * sizeof *m->v);
}

static void set(struct mem *m, const char *name, const char *upload, uint32_t part, struct str bytes)
{
    bool there;
    size_t i = place(m, name, upload, part, &there);
    char *fresh = str_dup(bytes);
    if (there) {
        free(m->v[i].bytes);
        m->v[i].bytes = fresh;
        m->v[i].n = bytes.n;
        return;
    }
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->v = realloc(m->v, m->cap * sizeof *m->v);
        ASSERT(m->v != NULL);
    }
    memmove(m->v + i + 1, m->v + i, (m->n++ - i) * sizeof *m->v);
    m->v[i] = (struct object){ .name = str_dup(str_of(name)), .bytes = fresh, .n = bytes.n,
                               .upload = upload ? str_dup(str_of(upload)) : NULL, .part = part };
}

static struct object_etag etag_of(struct str bytes)
{
    struct object_etag t;
    snprintf(t.text, sizeof t.text, "\"%016" PRIx64 "\"", hash64(bytes));
    return t;
}

static const struct object *find(const struct mem *m, struct str name)
{
    char z[OBJECT_NAME_MAX + 1];
    bool there;
    ASSERT(name.n <= OBJECT_NAME_MAX);
    memcpy(z, name.p, name.n);
    z[name.n] = 0;
    size_t i = place(m, z, NULL, 0, &there);
    return there ? &m->v[i] : NULL;
}

/* -- the table's functions -------------------------------------------------------------------------------------- */

static err_t bucket_put(struct object_store *o, const struct object_put *p, struct object_put_result *out)
{
    struct mem *m = mem_of(o);
    TRY(before(m));
    pthread_mutex_lock(&m->lock);
    const struct object *at = find(m, p->name);
    *out = (struct object_put_result){ .refused = p->if_absent && at };
    if (p->if_match) {
        struct object_etag now = at ? etag_of((struct str){ at->bytes, at->n }) : (struct object_etag){ "" };
        out->refused = strcmp(now.text, p->if_match->text) != 0;
    }
    if ((p->if_match || p->if_absent) && !out->refused && chance(m->faults.refuse)) {
        m->counts.refused++;
        pthread_mutex_unlock(&m->lock);
        return err_set(ERR_UNAVAILABLE, "injected: a conflict with another request");
    }
    if (!out->refused) {
        char *name = str_dup(p->name);
        set(m, name, NULL, 0, p->bytes);
        free(name);
        out->etag = etag_of(p->bytes);
    }
    pthread_mutex_unlock(&m->lock);
    return after(m);
}

static err_t bucket_get_range(struct object_store *o, struct str name, uint64_t off, size_t n, void *to, size_t *got)
{
    struct mem *m = mem_of(o);
    TRY(before(m));
    pthread_mutex_lock(&m->lock);
    const struct object *at = find(m, name);
    if (at) {
        *got = off < at->n ? MIN(n, at->n - (size_t)off) : 0;
        if (*got) memcpy(to, at->bytes + off, *got);
    }
    pthread_mutex_unlock(&m->lock);
    if (!at) return err_set(ERR_NOT_FOUND, STR_FMT " is not in the bucket", STR_ARG(name));
    return after(m);
}

static err_t bucket_head(struct object_store *o, struct str name, struct object_info *out)
{
    struct mem *m = mem_of(o);
    TRY(before(m));
    pthread_mutex_lock(&m->lock);
    const struct object *at = find(m, name);
    if (at) *out = (struct object_info){ at->n, etag_of((struct str){ at->bytes, at->n }) };
    pthread_mutex_unlock(&m->lock);
    if (!at) return err_set(ERR_NOT_FOUND, STR_FMT " is not in the bucket", STR_ARG(name));
    return after(m);
}

/* Names of objects (or of uploads), each once. */
static void page(const struct mem *m, struct str prefix, struct str after_name, bool uploads, struct arena *a,
                 struct object_page *out)
{
    *out = (struct object_page){ .items = ARENA_ARRAY(a, struct object_item, OBJECT_LIST_MAX) };
    for (size_t i = 0; i < m->n; i++) {
        const struct object *v = &m->v[i];
        struct str name = str_of(v->name);
        bool repeated = uploads && out->n && v->upload && str_is(out->items[out->n - 1].id, v->upload);
        if ((v->upload != NULL) != uploads || repeated || !str_starts(name, prefix) || str_cmp(name, after_name) <= 0) continue;
        if (out->n == OBJECT_LIST_MAX) {
            out->more = true;
            return;
        }
        out->items[out->n++] = (struct object_item){ arena_str(a, name), v->upload ? arena_str(a, str_of(v->upload)) : STR_NONE, v->n };
    }
}

static err_t bucket_list(struct object_store *o, struct str prefix, struct str after_name, struct arena *a, struct object_page *out)
{
    struct mem *m = mem_of(o);
    TRY(before(m));
    pthread_mutex_lock(&m->lock);
    page(m, prefix, after_name, false, a, out);
    pthread_mutex_unlock(&m->lock);
    return after(m);
}

static err_t bucket_remove(struct object_store *o, struct str name)
{
    struct mem *m = mem_of(o);
    TRY(before(m));
    pthread_mutex_lock(&m->lock);
    const struct object *at = find(m, name);
    if (at) drop_at(m, (size_t)(at - m->v));
    pthread_mutex_unlock(&m->lock);
    return after(m);
}

static err_t bucket_parts_begin(struct object_store *o, struct str name, struct object_upload *out)
{
    struct mem *m = mem_of(o);
    TRY(before(m));
    memcpy(out->name, name.p, name.n);
    out->name[name.n] = 0;
    pthread_mutex_lock(&m->lock);
    snprintf(out->id, sizeof out->id, "upload-%" PRIu64, ++m->uploads);
    set(m, out->name, out->id, 0, STR("")); /* part 0: the upload itself */
    pthread_mutex_unlock(&m->lock);
    return after(m);
}

static err_t no_upload(const struct object_upload *u)
{
    return err_set(ERR_NOT_FOUND, "there is no upload %s of %s", u->id, u->name);
}

static err_t bucket_parts_put(struct object_store *o, const struct object_upload *u, uint32_t number, struct str bytes,
                           struct object_etag *etag)
{
    struct mem *m = mem_of(o);
    bool there;
    TRY(before(m));
    pthread_mutex_lock(&m->lock);
    place(m, u->name, u->id, 0, &there);
    if (there) set(m, u->name, u->id, number, bytes);
    pthread_mutex_unlock(&m->lock);
    *etag = etag_of(bytes);
    return there ? after(m) : no_upload(u);
}

static bool drop_upload(struct mem *m, const struct object_upload *u)
{
    bool there;
    size_t i = place(m, u->name, u->id, 0, &there);
    while (i < m->n && there && m->v[i].upload && strcmp(m->v[i].upload, u->id) == 0 && strcmp(m->v[i].name, u->name) == 0)
        drop_at(m, i);
    return there;
}

static err_t bucket_parts_end(struct object_store *o, const struct object_upload *u, const struct object_etag *etags, uint32_t n)
{
    struct mem *m = mem_of(o);
    struct buf whole;
    bool there;
    TRY(before(m));
    buf_init(&whole, (size_t)1 << 32, NULL);
    pthread_mutex_lock(&m->lock);
    size_t i = place(m, u->name, u->id, 0, &there);
    for (uint32_t k = 1; there && k <= n; k++) {
        const struct object *part = i + k < m->n ? &m->v[i + k] : NULL;
        ASSERT(part && compare(part, u->name, u->id, k) == 0);
        ASSERT(strcmp(etag_of((struct str){ part->bytes, part->n }).text, etags[k - 1].text) == 0);
        buf_put(&whole, part->bytes, part->n);
    }
    if (there) {
        set(m, u->name, NULL, 0, buf_view(&whole));
        drop_upload(m, u);
    }
    pthread_mutex_unlock(&m->lock);
    buf_deinit(&whole);
    return there ? after(m) : no_upload(u);
}

static err_t bucket_parts_abort(struct object_store *o, const struct object_upload *u)
{
    struct mem *m = mem_of(o);
    TRY(before(m));
    pthread_mutex_lock(&m->lock);
    drop_upload(m, u);
    pthread_mutex_unlock(&m->lock);
    return after(m);
}

static err_t bucket_parts_list(struct object_store *o, struct str prefix, struct arena *a, struct object_page *out)
{
    struct mem *m = mem_of(o);
    TRY(before(m));
    pthread_mutex_lock(&m->lock);
    page(m, prefix, STR_NONE, true, a, out);
    pthread_mutex_unlock(&m->lock);
    return after(m);
}

static const char *bucket_name(const struct object_store *o)
{
    (void)o;
    return "memory";
}

static void bucket_close(struct object_store *o)
{
    (void)o;
    if (rt_in_fiber()) fiber_yield();
}

struct object_store *object_mem_new(void)
{
    struct mem *m = calloc(1, sizeof *m);
    ASSERT(m != NULL);
    pthread_mutex_init(&m->lock, NULL);
    m->store = (struct object_store){ bucket_put,       bucket_get_range, bucket_head,        bucket_list,       bucket_remove, bucket_parts_begin,
                                      bucket_parts_put, bucket_parts_end, bucket_parts_abort, bucket_parts_list, bucket_name,   bucket_close, 16 };
    return &m->store;
}

void object_mem_free(struct object_store *o)
{
    struct mem *m = mem_of(o);
    while (m->n > 0)
        drop_at(m, m->n - 1);
    free(m->v);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void object_mem_faults(struct object_store *o, const struct object_faults *f)
{
    mem_of(o)->faults = *f;
}

struct object_mem_counts object_mem_counts(const struct object_store *o)
{
    return mem_of(o)->counts;
}

uint64_t object_mem_bytes(const struct object_store *o)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < mem_of(o)->n; i++)
        bytes += mem_of(o)->v[i].n;
    return bytes;
}
