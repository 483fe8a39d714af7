/* Files over the io table: each function is one or two operations that the fiber waits for to the end, cancelled
 * or not, so that no buffer is released under a running operation. */
#include "base/rt/file.h"

#include "base/rt/reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MAX_BYTES = 4096, IO_BYTES_MAX = 1 << 30 };

static void on_done(struct io_event *e)
{
    event_signal(CONTAINER_OF(e, struct io_op, event)->user);
}

int64_t io_await(struct io_op *op)
{
    struct reactor *r = rt_here();
    struct event done = { 0 };
    ASSERT(r->current);
    op->event.fn = on_done;
    op->user = &done;
    r->io->ops->submit(r->io, op);
    while (!done.set)
        (void)fiber_park(&done.waiters, (mono_ns){ 0 }, false);
    return op->result;
}

static err_t check(int64_t result, const char *what, const char *path)
{
    if (result >= 0) return OK;
    err_t e = err_set_errno((int)-result, "%s %s", what, path);
    if (result != -ENOENT) return e;
    return err_set(ERR_NOT_FOUND, "%s %s: no such file or directory", what, path);
}

/* -- one file ------------------------------------------------------------------------------------- */
static int open_flags(unsigned flags)
{
    ASSERT(flags & (FILE_READ | FILE_WRITE));
    int of = (flags & FILE_WRITE) ? (flags & FILE_READ) ? O_RDWR : O_WRONLY : O_RDONLY;
    if (flags & FILE_CREATE) of |= O_CREAT;
    if (flags & FILE_EXCLUSIVE) of |= O_EXCL;
    if (flags & FILE_TRUNCATE) of |= O_TRUNC;
    if (flags & FILE_DIRECT) of |= O_DIRECT;
    return of;
}

err_t file_open(struct file *f, const char *path, unsigned flags)
{
    *f = (struct file){ .fd = -1, .flags = flags };
    struct io_op op = { .kind = IO_OPEN, .path = path, .flags = open_flags(flags) };
    int64_t fd = io_await(&op);
    if (fd == -EINVAL && (flags & FILE_DIRECT)) {
        /* tmpfs and a few others have no O_DIRECT. */
        f->flags &= ~(unsigned)FILE_DIRECT;
        op = (struct io_op){ .kind = IO_OPEN, .path = path, .flags = open_flags(f->flags) };
        fd = io_await(&op);
    }
    TRY(check(fd, "open", path));
    f->fd = (int)fd;
    f->path = strdup(path);
    ASSERT(f->path);
    return OK;
}

void file_will_read(struct file *f, uint64_t off, uint64_t n)
{
    struct io_op op = { .kind = IO_WILL_READ, .fd = f->fd, .off = off, .n = n };
    (void)io_await(&op); /* a hint that is not taken costs nothing but time */
}

void file_close(struct file *f)
{
    if (f->fd >= 0) {
        struct io_op op = { .kind = IO_CLOSE, .fd = f->fd };
        (void)io_await(&op); /* data is safe only after file_sync: close has nothing to add */
    }
    free(f->path);
    *f = (struct file){ .fd = -1 };
}

err_t file_read(struct file *f, void *to, size_t n, uint64_t off, size_t *got)
{
    ASSERT(f->fd >= 0);
    size_t done = 0;
    while (done < n) {
        struct io_op op = { .kind = IO_READ, .fd = f->fd, .buf = (char *)to + done,
                            .n = MIN(n - done, (size_t)IO_BYTES_MAX), .off = off + done };
        int64_t r = io_await(&op);
        TRY(check(r, "read", f->path));
        if (r == 0) break;
        done += (size_t)r;
        /* A direct read that stops off the alignment has met the end of the file. */
        if ((f->flags & FILE_DIRECT) && done % FILE_ALIGN) break;
    }
    if (got) {
        *got = done;
        return OK;
    }
    if (done < n)
        return err_set(ERR_CORRUPT, "read %s: %zu bytes wanted at %llu, the file ends after %zu", f->path,
                       n, (unsigned long long)off, done);
    return OK;
}

/* -- many reads at once: at most so many of one fiber are under way -- */
enum { READS_MAX = 64 };
struct reads {
    struct event done;
    uint32_t left;
    struct io_op op[READS_MAX];
};

static void on_read_done(struct io_event *e)
{
    struct reads *all = CONTAINER_OF(e, struct io_op, event)->user;
    if (--all->left == 0) event_signal(&all->done);
}

static void await_reads(struct reads *all, const struct file *f, const struct file_range *r, uint32_t n)
{
    struct reactor *here = rt_here();
    event_init(&all->done);
    all->left = n;
    for (uint32_t i = 0; i < n; i++) {
        all->op[i] = (struct io_op){ .kind = IO_READ, .fd = f->fd, .buf = r[i].to, .n = MIN(r[i].n, (size_t)IO_BYTES_MAX),
                                     .off = r[i].off, .user = all };
        all->op[i].event.fn = on_read_done;
        here->io->ops->submit(here->io, &all->op[i]);
    }
    while (!all->done.set)
        (void)fiber_park(&all->done.waiters, (mono_ns){ 0 }, false);
}

err_t file_read_ranges(struct file *f, const struct file_range *r, uint32_t n)
{
    ASSERT(f->fd >= 0 && !(f->flags & FILE_DIRECT));
    if (n == 1) return file_read(f, r->to, r->n, r->off, NULL);
    struct reads *all = malloc(sizeof *all);
    ASSERT(all);
    err_t e = OK;
    for (uint32_t at = 0, m; at < n && e == OK; at += m) {
        m = MIN(n - at, (uint32_t)READS_MAX);
        await_reads(all, f, r + at, m);
        for (uint32_t i = 0; i < m && e == OK; i++) {
            const struct file_range *one = &r[at + i];
            size_t got = all->op[i].result > 0 ? (size_t)all->op[i].result : 0;
            e = check(all->op[i].result, "read", f->path);
            /* Short: the rest, or the error that the file ends. */
            if (e == OK && got < one->n) e = file_read(f, (char *)one->to + got, one->n - got, one->off + got, NULL);
        }
    }
    free(all);
    return e;
}

/* Short writes go on with the rest, by the same kind of operation. */
static err_t write_all(struct file *f, enum io_kind kind, const void *from, size_t n, uint64_t off)
{
    ASSERT(f->fd >= 0);
    size_t done = 0;
    do {
        struct io_op op = { .kind = kind, .fd = f->fd, .buf = (char *)(uintptr_t)from + done,
                            .n = MIN(n - done, (size_t)IO_BYTES_MAX), .off = off + done };
        int64_t r = io_await(&op);
        TRY(check(r, kind == IO_WRITE_SYNC ? "write and sync" : "write", f->path));
        if (r == 0 && n)
            return err_set(ERR_IO, "write %s: the file takes no bytes at %llu", f->path,
                           (unsigned long long)(off + done));
        size_t before = done;
        done += (size_t)r;
        /* A direct write goes on at an aligned place: the block cut short is written again. */
        if (done < n && (f->flags & FILE_DIRECT)) done -= done % FILE_ALIGN;
        if (done == before && n)
            return err_set(ERR_IO, "write %s: the file takes %lld bytes of a block at %llu", f->path, (long long)r,
                           (unsigned long long)(off + done));
    } while (done < n);
    return OK;
}

err_t file_write(struct file *f, const void *from, size_t n, uint64_t off)
{
    return write_all(f, IO_WRITE, from, n, off);
}

err_t file_write_sync(struct file *f, const void *from, size_t n, uint64_t off)
{
    return write_all(f, IO_WRITE_SYNC, from, n, off);
}

err_t file_sync(struct file *f)
{
    ASSERT(f->fd >= 0);
    struct io_op op = { .kind = IO_SYNC, .fd = f->fd };
    return check(io_await(&op), "sync", f->path);
}

err_t file_allocate(struct file *f, uint64_t size)
{
    ASSERT(f->fd >= 0);
    struct io_op op = { .kind = IO_ALLOCATE, .fd = f->fd, .off = size };
    return check(io_await(&op), "allocate", f->path);
}

err_t file_truncate(struct file *f, uint64_t size)
{
    ASSERT(f->fd >= 0);
    struct io_op op = { .kind = IO_TRUNCATE, .fd = f->fd, .off = size };
    return check(io_await(&op), "truncate", f->path);
}

err_t file_size(struct file *f, uint64_t *size)
{
    ASSERT(f->fd >= 0);
    struct io_op op = { .kind = IO_SIZE, .fd = f->fd };
    int64_t r = io_await(&op);
    TRY(check(r, "stat", f->path));
    *size = (uint64_t)r;
    return OK;
}

/* -- names -------------------------------------------------------------------------------------------- */
/* The directory part of a path, into dir[PATH_MAX_BYTES]. */
static err_t dir_of(const char *path, char *dir)
{
    size_t n = strlen(path);
    if (n >= PATH_MAX_BYTES) return err_set(ERR_INVALID, "path of %zu bytes is too long", n);
    memcpy(dir, path, n + 1);
    char *slash = strrchr(dir, '/');
    if (!slash) {
        memcpy(dir, ".", 2);
    } else if (slash == dir) {
        dir[1] = 0;
    } else {
        *slash = 0;
    }
    return OK;
}

err_t fs_sync_dir(const char *path)
{
    struct io_op op = { .kind = IO_SYNC_DIR, .path = path };
    return check(io_await(&op), "sync directory", path);
}

static err_t sync_parent(const char *path)
{
    char *dir = malloc(PATH_MAX_BYTES);
    ASSERT(dir);
    err_t e = dir_of(path, dir);
    if (e == OK) e = fs_sync_dir(dir);
    free(dir);
    return e;
}

/* -- directories with their parents
 * A level is made when the one above it is durable, so of those that are there only the deepest may be one whose first sync
 * failed: it is synced in its parent once more, before the first is made below it, or when all are there. Those above it were
 * durable before, or are somebody else's. */

static err_t there_is(const char *path, bool *is)
{
    struct file f;
    err_t e = file_open(&f, path, FILE_READ);
    *is = e == OK || err_record()->os_errno == EISDIR || err_record()->os_errno == EACCES;
    if (e == OK) file_close(&f);
    return *is || e == ERR_NOT_FOUND ? OK : e;
}

/* Parents that are not ours to read are not ours to sync. */
static err_t sync_old(const char *path)
{
    err_t e = sync_parent(path);
    return e != OK && err_record()->os_errno != EIO ? OK : e;
}

static err_t make_one(const char *path)
{
    struct io_op op = { .kind = IO_MKDIR, .path = path };
    int64_t r = io_await(&op);
    if (r < 0 && r != -EEXIST) return err_set_errno((int)-r, "make directory %s", path);
    return sync_parent(path);
}

/* *missing: that of the level above, then of this one. */
static err_t one_level(const char *path, char *above, bool *missing)
{
    bool before = *missing, is = false;
    if (!before) TRY(there_is(path, &is));
    *missing = !is;
    if (is) {
        memcpy(above, path, strlen(path) + 1);
        return OK;
    }
    if (!before && *above) TRY(sync_old(above));
    return make_one(path);
}

err_t fs_mkdirs(const char *path)
{
    size_t size = strlen(path) + 1;
    char *part = strdup(path), *above = calloc(1, size);
    bool missing = false;
    ASSERT(part && above);
    err_t e = OK;
    for (char *p = part; *p && e == OK; p++) {
        if (*p != '/' || p == part) continue;
        *p = 0;
        e = one_level(part, above, &missing);
        *p = '/';
    }
    if (e == OK) e = one_level(path, above, &missing);
    if (e == OK && !missing) e = sync_old(path);
    free(above);
    free(part);
    return e;
}

err_t fs_unlink(const char *path)
{
    struct io_op op = { .kind = IO_UNLINK, .path = path };
    int64_t r = io_await(&op);
    return r == -ENOENT ? OK : check(r, "remove", path);
}

static err_t rename_file(const char *from, const char *to)
{
    struct io_op op = { .kind = IO_RENAME, .path = from, .path2 = to };
    int64_t r = io_await(&op);
    if (r < 0) return err_set_errno((int)-r, "rename %s to %s", from, to);
    return OK;
}

err_t fs_publish(struct file *temp, const char *to)
{
    TRY(file_sync(temp));
    TRY(rename_file(temp->path, to));
    char *now = strdup(to);
    ASSERT(now);
    free(temp->path);
    temp->path = now;
    return sync_parent(to);
}

err_t fs_rename(const char *from, const char *to)
{
    TRY(rename_file(from, to));
    TRY(sync_parent(to));
    return sync_parent(from);
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

err_t fs_list(const char *path, struct arena *a, struct str **names, size_t *count)
{
    struct io_op op = { .kind = IO_LIST, .path = path };
    int64_t r = io_await(&op);
    TRY(check(r, "list", path));
    size_t n = (size_t)r;
    struct str *v = ARENA_ARRAY(a, struct str, n);
    const char *p = op.out;
    for (size_t i = 0; i < n; i++) {
        v[i] = arena_str(a, str_of(p));
        p += v[i].n + 1;
    }
    free(op.out);
    if (n > 1) qsort(v, n, sizeof *v, by_name);
    *names = v;
    *count = n;
    return OK;
}

err_t fs_space(const char *path, struct fs_space *out)
{
    struct io_op op = { .kind = IO_SPACE, .path = path, .out = out };
    return check(io_await(&op), "file system of", path);
}
