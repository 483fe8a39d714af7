#include "storage/seg_remote.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/log.h"

#include <stdio.h>
#include <stdlib.h>

struct remote {
    struct seg_source src;
    struct object_cache *cache;
    struct object_ref ref;
    struct file tail; /* open while the segment is being opened, if there is one */
    uint64_t tail_from;
    char *tail_path;
    char name[64]; /* in the bucket */
};

static struct remote *remote_of(struct seg_source *src)
{
    return CONTAINER_OF(src, struct remote, src);
}

static char *tail_path(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *p = malloc(n);
    ASSERT(p != NULL);
    snprintf(p, n, "%s/%s", dir, name);
    return p;
}

/* -- the source ------------------------------------------------------------------------------------------------------ */

static err_t read_ranges(struct seg_source *src, const struct file_range *r, uint32_t n)
{
    struct remote *m = remote_of(src);
    bool in_tail = m->tail.fd >= 0;
    for (uint32_t i = 0; i < n; i++)
        in_tail = in_tail && r[i].off >= m->tail_from;
    if (!in_tail) {
        err_t e = object_cache_read(m->cache, &m->ref, r, n);
        if (e != OK) src->failed = object_cache_failures(m->cache);
        return e;
    }
    for (uint32_t i = 0; i < n; i++)
        TRY(file_read(&m->tail, r[i].to, r[i].n, r[i].off - m->tail_from, NULL));
    return OK;
}

static void will_read(struct seg_source *src, uint64_t off, uint64_t n)
{
    struct remote *m = remote_of(src);
    object_cache_fill(m->cache, &m->ref, off, n);
}

static void stay(struct seg_source *src, uint64_t off, uint64_t n)
{
    struct remote *m = remote_of(src);
    object_cache_stay(m->cache, &m->ref, off, n);
}

static void put(struct seg_source *src, struct file *from, uint64_t off, uint64_t n)
{
    struct remote *m = remote_of(src);
    object_cache_put(m->cache, &m->ref, from, off, n);
}

static void forget(struct seg_source *src, uint64_t off, uint64_t n)
{
    struct remote *m = remote_of(src);
    object_cache_forget(m->cache, &m->ref, off, n);
}

static void close_source(struct seg_source *src, bool doomed)
{
    struct remote *m = remote_of(src);
    file_close(&m->tail);
    if (doomed) {
        err_t ignored = fs_unlink(m->tail_path); /* one left behind is deleted at the next start */
        (void)ignored;
    }
    free(m->tail_path);
    free(m);
}

/* -- tails ------------------------------------------------------------------------------------------------------------ */

static uint64_t tail_begin(const struct seg_info *info, uint64_t tail)
{
    uint64_t least = info->bytes > SEG_TAIL_MIN ? info->bytes - SEG_TAIL_MIN : 0;
    return MIN(tail, least);
}

static err_t publish(const char *path, const char *bytes, size_t n)
{
    char temp[1100];
    struct file f;
    snprintf(temp, sizeof temp, "%.*s.%u.tmp", 1000, path, rt_core());
    TRY(file_open(&f, temp, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE));
    err_t e = file_write(&f, bytes, n, 0);
    if (e == OK) e = fs_publish(&f, path);
    file_close(&f);
    if (e == OK) return OK;
    struct err_record why = *err_record();
    err_t ignored = fs_unlink(temp);
    (void)ignored;
    *err_record() = why;
    return e;
}

err_t seg_tail_save(const char *dir, const struct seg_info *info, uint64_t tail, const char *file)
{
    uint64_t from = tail_begin(info, tail);
    size_t n = (size_t)(info->bytes - from);
    struct file f;
    TRY(file_open(&f, file, FILE_READ));
    char *bytes = malloc(n + 1), *path = tail_path(dir, info->name);
    ASSERT(bytes != NULL);
    err_t e = file_read(&f, bytes, n, from, NULL);
    if (e == OK) e = publish(path, bytes, n);
    file_close(&f);
    free(bytes);
    free(path);
    return e;
}

/* Of a segment that was opened from the bucket: the pieces are in the cache now. */
static void keep_tail(struct remote *m, const struct seg_info *info, uint64_t tail)
{
    uint64_t from = tail_begin(info, tail);
    size_t n = (size_t)(info->bytes - from);
    char *bytes = malloc(n + 1);
    ASSERT(bytes != NULL);
    const struct file_range r = { bytes, n, from };
    err_t e = object_cache_read(m->cache, &m->ref, &r, 1);
    if (e == OK) e = publish(m->tail_path, bytes, n);
    if (e != OK) log_warn("object.tail", "file=%s error=\"%s\"", m->tail_path, err_detail());
    free(bytes);
}

/* -- opening ------------------------------------------------------------------------------------------------------------ */

static struct remote *source_new(struct object_cache *cache, const char *dir, const struct seg_info *info)
{
    struct remote *m = calloc(1, sizeof *m);
    ASSERT(m != NULL);
    m->src = (struct seg_source){ read_ranges, will_read, stay, put, forget, close_source, 0 };
    m->cache = cache;
    m->tail.fd = -1;
    m->tail_path = tail_path(dir, info->name);
    snprintf(m->name, sizeof m->name, SEG_OBJECT_PREFIX "%s", info->name);
    m->ref = (struct object_ref){ str_of(m->name), info->bytes, hash128_of(str_of(m->name)) };
    return m;
}

static void open_tail(struct remote *m)
{
    uint64_t n = 0;
    if (file_open(&m->tail, m->tail_path, FILE_READ) != OK) return;
    if (file_size(&m->tail, &n) != OK || n > m->ref.size || n < MIN(m->ref.size, (uint64_t)SEG_TAIL_MIN)) file_close(&m->tail);
    m->tail_from = m->ref.size - n;
}

err_t seg_remote_open(struct object_cache *cache, const char *dir, const struct seg_info *info, struct seg **out)
{
    struct remote *m = source_new(cache, dir, info);
    open_tail(m);
    bool had_tail = m->tail.fd >= 0;
    err_t e = seg_open_from(m->name, info, &m->src, out);
    if (e == ERR_CORRUPT && had_tail) {
        log_warn("object.tail", "name=%s error=\"%s\" effect=\"read from the bucket again\"", info->name, err_detail());
        m = source_new(cache, dir, info);
        had_tail = false;
        e = seg_open_from(m->name, info, &m->src, out);
    }
    TRY(e);
    if (!had_tail) keep_tail(m, info, seg_tail(*out));
    file_close(&m->tail);
    return OK;
}
