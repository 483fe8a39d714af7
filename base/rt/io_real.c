/* What the two real backends share: clocks, randomness, files by plain system calls (sockets: io_net.c). */
#include "base/rt/file.h"
#include "base/rt/reactor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

mono_ns io_real_now(struct io *io)
{
    struct timespec t;
    (void)io;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (mono_ns){ t.tv_sec * NS_PER_S + t.tv_nsec };
}

unix_ns io_real_wall(struct io *io)
{
    struct timespec t;
    (void)io;
    clock_gettime(CLOCK_REALTIME, &t);
    return (unix_ns){ t.tv_sec * NS_PER_S + t.tv_nsec };
}

uint64_t io_real_random(struct io *io)
{
    static _Thread_local struct prng r;
    static _Thread_local bool seeded;
    if (!seeded) {
        uint64_t seed;
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint64_t)io_real_now(io).ns;
        prng_init(&r, seed);
        seeded = true;
    }
    return prng_next(&r);
}

/* -- files ----------------------------------------------------------------------------------------- */
static int64_t sys(int64_t n)
{
    return n < 0 ? -errno : n;
}

static int64_t retry_read(const struct io_op *op)
{
    for (;;) {
        ssize_t n = pread(op->fd, op->buf, op->n, (off_t)op->off);
        if (n >= 0 || errno != EINTR) return sys(n);
    }
}

static int64_t retry_write(const struct io_op *op)
{
    for (;;) {
        ssize_t n = pwrite(op->fd, op->buf, op->n, (off_t)op->off);
        if (n >= 0 || errno != EINTR) return sys(n);
    }
}

static int64_t sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int64_t e = sys(fsync(fd));
    close(fd);
    return e;
}

static int64_t list_dir(struct io_op *op)
{
    DIR *d = opendir(op->path);
    if (!d) return -errno;
    char *names = NULL;
    size_t n = 0, cap = 0;
    int64_t count = 0;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e) break;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        size_t len = strlen(e->d_name) + 1;
        if (n + len > cap) {
            cap = MAX(2 * cap, n + len + 1024);
            char *more = realloc(names, cap);
            ASSERT(more);
            names = more;
        }
        memcpy(names + n, e->d_name, len);
        n += len;
        count++;
    }
    int err = errno;
    closedir(d);
    if (err) {
        free(names);
        return -err;
    }
    op->out = names;
    op->n = n;
    return count;
}

static int64_t space(struct io_op *op)
{
    struct statvfs v;
    if (statvfs(op->path, &v) != 0) return -errno;
    struct fs_space *out = op->out;
    out->total_bytes = (uint64_t)(v.f_blocks - v.f_bfree + v.f_bavail) * v.f_frsize;
    out->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

static int64_t file_bytes(int fd)
{
    struct stat st;
    return fstat(fd, &st) != 0 ? -errno : (int64_t)st.st_size;
}

void io_file_run(struct io_op *op)
{
    int64_t n;
    switch (op->kind) {
    case IO_OPEN: n = sys(open(op->path, op->flags | O_CLOEXEC, 0640)); break;
    case IO_CLOSE: n = sys(close(op->fd)); break;
    case IO_READ: n = retry_read(op); break;
    case IO_WRITE: n = retry_write(op); break;
    case IO_WRITE_SYNC:
        n = retry_write(op);
        if (n == (int64_t)op->n && fdatasync(op->fd) != 0) n = -errno;
        break;
    case IO_SYNC: n = sys(fdatasync(op->fd)); break;
    case IO_SYNC_DIR: n = sync_dir(op->path); break;
    case IO_ALLOCATE: n = -posix_fallocate(op->fd, 0, (off_t)op->off); break;
    case IO_TRUNCATE: n = sys(ftruncate(op->fd, (off_t)op->off)); break;
    case IO_SIZE: n = file_bytes(op->fd); break;
    case IO_WILL_READ: n = -posix_fadvise(op->fd, (off_t)op->off, (off_t)op->n, POSIX_FADV_WILLNEED); break;
    case IO_MKDIR: n = sys(mkdir(op->path, 0750)); break;
    case IO_UNLINK: n = sys(unlink(op->path)); break;
    case IO_RENAME: n = sys(rename(op->path, op->path2)); break;
    case IO_LIST: n = list_dir(op); break;
    case IO_SPACE: n = space(op); break;
    default: UNREACHABLE();
    }
    op->result = n;
}
