/* The simulated io table: operations on files take seeded virtual time, take effect when they end, and fail as
 * sim_opts.faults says. Effects and order: sim.h. Sockets: sim_net.c. */
#include "base/core/hash.h"
#include "base/rt/file.h"
#include "base/rt/sim_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct io_sim {
    struct io base;
    struct sim *sim;
};

struct sim *sim_of_io(struct io *io)
{
    return ((struct io_sim *)io)->sim;
}

static bool chance(struct sim *s, double p, uint64_t *counter)
{
    return sim_chance(s->world, p, counter);
}

/* -- descriptors -------------------------------------------------------------------------------------- */
enum { FD_BASE = 1000 }; /* never a real descriptor's number by accident */

static bool is_open(const struct sim_fd *f)
{
    return f->node || f->end || f->listener;
}

struct sim_fd *io_sim_fd_of(struct sim *s, int fd)
{
    size_t i = (size_t)(fd - FD_BASE);
    return fd >= FD_BASE && i < s->nfds && is_open(&s->fds[i]) ? &s->fds[i] : NULL;
}

static struct sim_fd *fd_of(struct sim *s, int fd) /* of a file */
{
    struct sim_fd *f = io_sim_fd_of(s, fd);
    return f && f->node ? f : NULL;
}

int io_sim_fd(struct sim *s, struct sim_fd f)
{
    size_t i = 0;
    while (i < s->nfds && is_open(&s->fds[i]))
        i++;
    if (i == s->nfds) {
        s->fds = realloc(s->fds, ++s->nfds * sizeof *s->fds);
        ASSERT(s->fds);
    }
    s->fds[i] = f;
    return FD_BASE + (int)i;
}

void io_sim_close_all(struct sim *s)
{
    for (size_t i = 0; i < s->nfds; i++)
        if (s->fds[i].node) sim_node_put(s->fds[i].node);
    free(s->fds);
    s->fds = NULL;
    s->nfds = 0;
}

/* -- effects -------------------------------------------------------------------------------------------- */
static bool aligned(const struct sim_fd *f, const struct io_op *op)
{
    if (!(f->flags & O_DIRECT)) return true;
    return (uintptr_t)op->buf % FILE_ALIGN == 0 && op->n % FILE_ALIGN == 0 && op->off % FILE_ALIGN == 0;
}

static int64_t no_space(struct sim *s, const struct sim_fd *f, uint64_t end)
{
    uint64_t size = f->node->now.size, used = sim_disk_used(s->disk);
    if (end > size && used + (end - size) > sim_disk_capacity(s->disk)) {
        s->stats.enospc++;
        return -ENOSPC;
    }
    return chance(s, s->opts.faults.enospc, &s->stats.enospc) ? -ENOSPC : 0;
}

static int64_t do_open(struct sim *s, const struct io_op *op)
{
    struct sim_node *n;
    if ((op->flags & O_CREAT) && chance(s, s->opts.faults.enospc, &s->stats.enospc)) return -ENOSPC;
    int e = sim_disk_open(s->disk, op->path, op->flags, &n);
    return e ? e : io_sim_fd(s, (struct sim_fd){ .node = n, .flags = op->flags });
}

static int64_t do_close(struct sim *s, const struct io_op *op)
{
    struct sim_fd *f = fd_of(s, op->fd);
    if (!f) return -EBADF;
    sim_node_put(f->node);
    *f = (struct sim_fd){ 0 };
    return 0;
}

static int64_t do_read(struct sim *s, const struct io_op *op)
{
    struct sim_fd *f = fd_of(s, op->fd);
    if (!f || (f->flags & O_ACCMODE) == O_WRONLY) return -EBADF;
    if (!aligned(f, op)) return -EINVAL;
    s->stats.reads++;
    if (chance(s, s->opts.faults.eio_read, &s->stats.eio_read)) return -EIO;
    size_t n = op->n, unit = (f->flags & O_DIRECT) ? FILE_ALIGN : 1;
    if (n > unit && chance(s, s->opts.faults.short_read, &s->stats.short_read))
        n = (1 + (size_t)prng_below(&s->world->random, n / unit - 1)) * unit;
    return (int64_t)sim_node_read(f->node, op->off, op->buf, n);
}

static int64_t do_write(struct sim *s, const struct io_op *op)
{
    struct sim_fd *f = fd_of(s, op->fd);
    if (!f || (f->flags & O_ACCMODE) == O_RDONLY) return -EBADF;
    if (!aligned(f, op)) return -EINVAL;
    s->stats.writes++;
    int64_t e = no_space(s, f, op->off + op->n);
    if (e) return e;
    size_t n = op->n, unit = (f->flags & O_DIRECT) ? FILE_ALIGN : 1;
    if (chance(s, s->opts.faults.eio_write, &s->stats.eio_write)) {
        sim_node_write(f->node, op->off, op->buf, (size_t)prng_below(&s->world->random, n / unit + 1) * unit);
        return -EIO;
    }
    if (n > unit && chance(s, s->opts.faults.short_write, &s->stats.short_write))
        n = (1 + (size_t)prng_below(&s->world->random, n / unit - 1)) * unit;
    sim_node_write(f->node, op->off, op->buf, n);
    return (int64_t)n;
}

static int64_t do_sync(struct sim *s, int fd)
{
    struct sim_fd *f = fd_of(s, fd);
    if (!f) return -EBADF;
    s->stats.syncs++;
    if (chance(s, s->opts.faults.eio_sync, &s->stats.eio_sync)) {
        sim_node_drop_changes(f->node);
        return -EIO;
    }
    sim_node_sync(f->node);
    return 0;
}

static int64_t do_resize(struct sim *s, const struct io_op *op)
{
    struct sim_fd *f = fd_of(s, op->fd);
    if (!f || (f->flags & O_ACCMODE) == O_RDONLY) return -EBADF;
    if (op->kind == IO_ALLOCATE) {
        int64_t e = no_space(s, f, op->off);
        if (e || op->off <= f->node->now.size) return e;
    }
    sim_node_resize(f->node, op->off);
    return 0;
}

static int64_t do_space(struct sim *s, const struct io_op *op)
{
    struct fs_space *out = op->out;
    uint64_t used = sim_disk_used(s->disk), total = sim_disk_capacity(s->disk);
    *out = (struct fs_space){ .total_bytes = total, .free_bytes = used < total ? total - used : 0 };
    return 0;
}

static int64_t do_sync_dir(struct sim *s, const struct io_op *op)
{
    s->stats.syncs++;
    /* The journal of a directory is not dropped by a failure: it is tried again by the next sync. */
    if (chance(s, s->opts.faults.eio_sync, &s->stats.eio_sync)) return -EIO;
    return sim_disk_sync_dir(s->disk, op->path);
}

static int64_t effect(struct sim *s, struct io_op *op)
{
    switch (op->kind) {
    case IO_OPEN: return do_open(s, op);
    case IO_CLOSE: return do_close(s, op);
    case IO_READ: return do_read(s, op);
    case IO_WRITE: return do_write(s, op);
    case IO_WRITE_SYNC: {
        int64_t n = do_write(s, op);
        int64_t e = n == (int64_t)op->n ? do_sync(s, op->fd) : 0;
        return e ? e : n;
    }
    case IO_SYNC: return do_sync(s, op->fd);
    case IO_SYNC_DIR: return do_sync_dir(s, op);
    case IO_ALLOCATE:
    case IO_TRUNCATE: return do_resize(s, op);
    case IO_SIZE: {
        struct sim_fd *f = fd_of(s, op->fd);
        return f ? (int64_t)f->node->now.size : -EBADF;
    }
    case IO_WILL_READ: return 0;
    case IO_MKDIR: return sim_disk_mkdir(s->disk, op->path);
    case IO_UNLINK: return sim_disk_unlink(s->disk, op->path);
    case IO_RENAME: return sim_disk_rename(s->disk, op->path, op->path2);
    case IO_LIST: return sim_disk_list(s->disk, op->path, (char **)&op->out, &op->n);
    case IO_SPACE: return do_space(s, op);
    default: UNREACHABLE();
    }
}

/* -- the nth operation ------------------------------------------------------------------------------------ */
static bool can_fail(const struct io_op *op, int with)
{
    bool writes = op->kind == IO_WRITE || op->kind == IO_WRITE_SYNC;
    switch (with) {
    case 0: return op->n > FILE_ALIGN && (writes || op->kind == IO_READ);
    case ENOSPC: return writes || op->kind == IO_ALLOCATE || op->kind == IO_MKDIR || op->kind == IO_RENAME
            || (op->kind == IO_OPEN && (op->flags & O_CREAT));
    default: return op->kind != IO_CLOSE && op->kind != IO_WILL_READ;
    }
}

/* What failed has happened in part, where it can. */
static int64_t fail(struct sim *s, struct io_op *op)
{
    struct sim_fd *f = fd_of(s, op->fd);
    if (op->kind == IO_SYNC && f) sim_node_drop_changes(f->node);
    if (op->kind != IO_WRITE && op->kind != IO_WRITE_SYNC && (op->kind != IO_READ || s->opts.fail_errno)) return -s->opts.fail_errno;
    if (!f) return -EBADF;
    struct io_op part = *op;
    part.kind = op->kind == IO_READ ? IO_READ : IO_WRITE;
    part.n = op->n / 2 / FILE_ALIGN * FILE_ALIGN;
    int64_t done = effect(s, &part);
    return s->opts.fail_errno ? -s->opts.fail_errno : done;
}

static int64_t perform(struct sim *s, struct io_op *op)
{
    if (!s->opts.fail_nth || !can_fail(op, s->opts.fail_errno) || ++s->stats.could_fail != s->opts.fail_nth) return effect(s, op);
    return fail(s, op);
}

/* -- time ------------------------------------------------------------------------------------------------- */
static int64_t latency(struct sim *s, enum io_kind kind)
{
    if (chance(s, s->opts.faults.slow, &s->stats.slow))
        return s->opts.faults.slow_ns ? s->opts.faults.slow_ns : NS_PER_S;
    bool syncs = kind == IO_SYNC || kind == IO_WRITE_SYNC || kind == IO_SYNC_DIR;
    int64_t least = syncs ? 100000 : 10000, more = syncs ? 4000000 : 200000;
    return least + (int64_t)prng_below(&s->world->random, (uint64_t)more);
}

static void sim_submit(struct io *io, struct io_op *op)
{
    struct sim *s = sim_of_io(io);
    if (op->kind == IO_SEND || op->kind == IO_CONNECT) {
        if (op->kind == IO_SEND) sim_net_send(s, op);
        else sim_net_connect(s, op);
        return;
    }
    ASSERT(s->disk);
    if (s->nflights == s->cap) {
        s->cap = MAX(2 * s->cap, 64);
        s->flights = realloc(s->flights, s->cap * sizeof *s->flights);
        ASSERT(s->flights);
    }
    struct sim_flight f = { op, io, s->world->now + latency(s, op->kind), s->world->seq++, sim_tape_length(s->opts.tape) };
    size_t i = s->nflights++;
    for (; i > 0; i--) {
        const struct sim_flight *before = &s->flights[i - 1];
        if (before->due > f.due || (before->due == f.due && before->seq > f.seq)) break;
        s->flights[i] = *before;
    }
    s->flights[i] = f;
}

int64_t io_sim_next_due(const struct sim *s)
{
    return s->nflights ? s->flights[s->nflights - 1].due : INT64_MAX;
}

void io_sim_complete_due(struct sim *s)
{
    while (!s->crashed && io_sim_next_due(s) <= s->world->now) {
        struct sim_flight f = s->flights[--s->nflights];
        struct io_op *op = f.op;
        uint64_t data = op->kind == IO_WRITE || op->kind == IO_WRITE_SYNC ? hash64(str_n(op->buf, op->n)) : 0;
        op->result = perform(s, op);
        if (s->opts.tape) sim_tape_put(s->opts.tape, op, f.tape_at, s->wall_start + s->world->now);
        s->stats.ops++;
        sim_step(s, op->kind, f.io->reactor->core, op->result, data);
        io_queue_push(&f.io->done, &op->event);
    }
}

void io_sim_crash(struct sim *s)
{
    while (s->nflights) {
        struct io_op *op = s->flights[--s->nflights].op;
        if (prng_below(&s->world->random, 2)) continue;
        if (op->kind == IO_WRITE_SYNC && prng_below(&s->world->random, 2)) op->kind = IO_WRITE;
        if (op->kind != IO_READ && op->kind != IO_LIST && op->kind != IO_SPACE) (void)effect(s, op);
    }
    free(s->flights);
    s->flights = NULL;
    s->cap = 0;
}

static mono_ns sim_now(struct io *io)
{
    return (mono_ns){ sim_of_io(io)->world->now };
}

static unix_ns sim_wall(struct io *io)
{
    return (unix_ns){ sim_of_io(io)->wall_start + sim_of_io(io)->world->now };
}

static uint64_t sim_random(struct io *io)
{
    return prng_next(&sim_of_io(io)->entropy);
}

static void sim_reap(struct io *io, mono_ns until)
{
    (void)io;
    (void)until;
    UNREACHABLE(); /* sim.c moves time */
}

static void sim_wake(struct io *io)
{
    (void)io; /* all reactors are looked at in every round */
}

static void sim_free(struct io *io)
{
    free(io);
}

static const struct io_ops sim_ops = {
    .name = "sim",
    .net = &sim_net_ops,
    .now = sim_now,
    .wall = sim_wall,
    .random = sim_random,
    .submit = sim_submit,
    .reap = sim_reap,
    .wake = sim_wake,
    .recv_start = sim_net_recv_start,
    .recv_pause = sim_net_recv_pause,
    .recv_resume = sim_net_recv_resume,
    .sock_stop = sim_net_sock_stop,
    .accept_start = sim_net_accept_start,
    .accept_stop = sim_net_accept_stop,
    .free = sim_free,
};

struct io *io_sim_new(struct sim *s, struct reactor *r)
{
    struct io_sim *x = calloc(1, sizeof *x);
    ASSERT(x);
    *x = (struct io_sim){ .base = { .ops = &sim_ops, .reactor = r }, .sim = s };
    return &x->base;
}
