/* The io_uring backend: one ring a reactor, made and used by its thread alone (SINGLE_ISSUER, DEFER_TASKRUN:
 * completion work runs inside our own waiting call and never interrupts a fiber).
 *
 *   sockets  multishot accept; multishot receive into a ring of provided buffers (1 MiB a reactor, so that it stays
 *            in L2); sendmsg with MSG_WAITALL. Descriptors are blocking ones: the kernel answers EAGAIN
 *            at once for a non-blocking descriptor instead of waiting for it
 *   files    read, write, fdatasync, fallocate, open, close, rename, unlink, mkdir in the ring; a synced write is a
 *            linked pair. Listings, statfs, ftruncate and syncs of directories go to the pool of threads
 *   bell     a read of an eventfd is always armed (measured against MSG_RING: as fast, and needs no ring in
 *            the thread that rings)
 *
 * Invariants
 *  1. The low three bits of user_data say what it points to; 0 in all bits is an answer nobody waits for.
 *  2. s->inflight counts the requests of a socket that the kernel still holds: an armed receive, and one connect
 *     or send. stop cancels them, and the last answer closes the descriptor and queues `gone`. So nothing refers to freed memory.
 *  3. Completions are copied out of the ring before they are dispatched: a callback that submits more may
 *     enter the kernel. */
#include "base/rt/reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(p, n) ((void)(p), (void)(n))
#endif

enum {
    ENTRIES = 1024,        /* submissions before the ring must be entered */
    COMPLETIONS = 8192,
    BUFFERS = 64,          /* of the receive pool; a power of two */
    BUFFER_BYTES = 16384,
    GROUP = 0,
    BATCH = 64,            /* completions copied at once */
    BATCHES_A_TURN = 64,
    WORKERS = 4,           /* kernel threads for files, a reactor */
    DATAGRAM_BYTES = 2048, /* a longer one is cut */
    SETUP_FLAGS = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN
                  | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
};

enum { TAG_OP = 0, TAG_RECV = 1, TAG_ACCEPT = 2, TAG_BELL = 3, TAG_HALF = 4, TAG_DGRAM = 5, TAG_MASK = 7 };

struct io_uring_backend {
    struct io base;
    struct io_uring ring;
    struct io_uring_buf_ring *pool;
    size_t pool_ring_bytes;
    uint8_t *buffers;
    int bell;
    uint64_t bell_count;
};

static struct io_uring_backend *self(struct io *io)
{
    return (struct io_uring_backend *)io;
}

/* -- submitting ------------------------------------------------------------------------------------ */
static struct io_uring_sqe *get_sqe(struct io_uring_backend *x)
{
    struct io_uring_sqe *sqe;
    /* EBUSY and EAGAIN pass: the kernel makes room by taking what is queued. */
    while (!(sqe = io_uring_get_sqe(&x->ring)))
        (void)io_uring_submit(&x->ring);
    return sqe;
}

static void set_tag(struct io_uring_sqe *sqe, const void *p, unsigned tag)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)p | tag);
}

static void arm_bell(struct io_uring_backend *x)
{
    struct io_uring_sqe *sqe = get_sqe(x);
    io_uring_prep_read(sqe, x->bell, &x->bell_count, sizeof x->bell_count, 0);
    set_tag(sqe, NULL, TAG_BELL);
}

static void cancel(struct io_uring_backend *x, const void *p, unsigned tag)
{
    struct io_uring_sqe *sqe = get_sqe(x);
    io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)p | tag, 0);
    io_uring_sqe_set_data64(sqe, 0);
}

static void complete(struct io *io, struct io_op *op, int64_t result)
{
    op->result = result;
    io_queue_push(&io->done, &op->event);
}

static void file_work(struct io_event *e)
{
    struct io_op *op = CONTAINER_OF(e, struct io_op, work);
    io_file_run(op);
    reactor_post_event(op->home, &op->event);
}

static void to_pool(struct io *io, struct io_op *op)
{
    op->home = io->reactor;
    op->work.fn = file_work;
    pool_put(io->reactor->rt->files, &op->work);
}

static void make_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK)) (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* The two halves go to the kernel in one submission, or the link between them is lost. */
static void submit_write_sync(struct io_uring_backend *x, struct io_op *op)
{
    if (io_uring_sq_space_left(&x->ring) < 2) (void)io_uring_submit(&x->ring);
    op->flags = 2; /* answers to come */
    struct io_uring_sqe *sqe = get_sqe(x);
    io_uring_prep_write(sqe, op->fd, op->buf, (unsigned)op->n, op->off);
    sqe->flags |= IOSQE_IO_LINK;
    set_tag(sqe, op, TAG_HALF);
    sqe = get_sqe(x);
    io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
    set_tag(sqe, op, TAG_OP);
}

static void submit_sock(struct io_uring_backend *x, struct io_op *op)
{
    struct io_sock *s = op->sock;
    ASSERT(!s->send);
    s->send = op;
    s->inflight++;
    if (op->kind == IO_CONNECT) make_blocking(s->fd);
    struct io_uring_sqe *sqe = get_sqe(x);
    if (op->kind == IO_CONNECT) {
        io_uring_prep_connect(sqe, s->fd, op->buf, (socklen_t)op->n);
    } else {
        io_uring_prep_sendmsg(sqe, s->fd, op->buf, MSG_NOSIGNAL | MSG_WAITALL);
    }
    set_tag(sqe, op, TAG_OP);
}

static void prep_file(struct io_uring_sqe *sqe, const struct io_op *op)
{
    switch (op->kind) {
    case IO_OPEN: io_uring_prep_openat(sqe, AT_FDCWD, op->path, op->flags | O_CLOEXEC, 0640); break;
    case IO_CLOSE: io_uring_prep_close(sqe, op->fd); break;
    case IO_READ: io_uring_prep_read(sqe, op->fd, op->buf, (unsigned)op->n, op->off); break;
    case IO_WRITE: io_uring_prep_write(sqe, op->fd, op->buf, (unsigned)op->n, op->off); break;
    case IO_SYNC: io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC); break;
    case IO_ALLOCATE: io_uring_prep_fallocate(sqe, op->fd, 0, 0, (off_t)op->off); break;
    case IO_MKDIR: io_uring_prep_mkdirat(sqe, AT_FDCWD, op->path, 0750); break;
    case IO_UNLINK: io_uring_prep_unlinkat(sqe, AT_FDCWD, op->path, 0); break;
    case IO_RENAME: io_uring_prep_renameat(sqe, AT_FDCWD, op->path, AT_FDCWD, op->path2, 0); break;
    default: UNREACHABLE();
    }
}

static void uring_submit(struct io *io, struct io_op *op)
{
    struct io_uring_backend *x = self(io);
    switch (op->kind) {
    case IO_SEND:
    case IO_CONNECT: submit_sock(x, op); break;
    case IO_WRITE_SYNC: submit_write_sync(x, op); break;
    case IO_SIZE: /* answers from the inode in memory */
        io_file_run(op);
        complete(io, op, op->result);
        break;
    case IO_SYNC_DIR:
    case IO_TRUNCATE:
    case IO_WILL_READ:
    case IO_LIST:
    case IO_SPACE: to_pool(io, op); break;
    default: {
        struct io_uring_sqe *sqe = get_sqe(x);
        prep_file(sqe, op);
        set_tag(sqe, op, TAG_OP);
    }
    }
}

/* -- sockets --------------------------------------------------------------------------------------- */
static void arm_recv(struct io_uring_backend *x, struct io_sock *s)
{
    struct io_uring_sqe *sqe = get_sqe(x);
    io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    set_tag(sqe, s, TAG_RECV);
    s->recv_armed = true;
    s->inflight++;
}

static void uring_recv_start(struct io *io, struct io_sock *s)
{
    ASSERT(((uintptr_t)s & TAG_MASK) == 0);
    if (!s->paused) arm_recv(self(io), s);
}

static void uring_recv_pause(struct io *io, struct io_sock *s)
{
    if (!s->recv_armed || s->cancelling) return;
    s->cancelling = true;
    cancel(self(io), s, TAG_RECV);
}

static void uring_recv_resume(struct io *io, struct io_sock *s)
{
    /* Still armed: it goes on; being cancelled: its last answer arms it again. */
    if (!s->recv_armed && !s->recv_over && !s->stopping) arm_recv(self(io), s);
}

/* The last request of a stopping socket has been answered. */
static void maybe_gone(struct io *io, struct io_sock *s)
{
    if (!s->stopping || s->inflight) return;
    ASSERT(s->fd >= 0);
    close(s->fd);
    s->fd = -1;
    io_queue_push(&io->done, &s->gone);
}

static void uring_sock_stop(struct io *io, struct io_sock *s)
{
    s->stopping = true;
    if (s->recv_armed && !s->cancelling) {
        s->cancelling = true;
        cancel(self(io), s, TAG_RECV);
    }
    if (s->send) cancel(self(io), s->send, TAG_OP);
    maybe_gone(io, s);
}

static void uring_accept_start(struct io *io, struct io_accept *a)
{
    ASSERT(((uintptr_t)a & TAG_MASK) == 0);
    make_blocking(a->fd);
    struct io_uring_sqe *sqe = get_sqe(self(io));
    io_uring_prep_multishot_accept(sqe, a->fd, NULL, NULL, SOCK_CLOEXEC);
    set_tag(sqe, a, TAG_ACCEPT);
    a->armed = true;
}

static void accept_gone(struct io *io, struct io_accept *a)
{
    close(a->fd);
    a->fd = -1;
    io_queue_push(&io->done, &a->gone);
}

static void uring_accept_stop(struct io *io, struct io_accept *a)
{
    a->stopping = true;
    if (!a->armed) {
        accept_gone(io, a);
        return;
    }
    cancel(self(io), a, TAG_ACCEPT);
}

/* -- datagrams: a poll that is armed again and again says when to read ------------------------------------ */
static void arm_datagrams(struct io_uring_backend *x, struct io_dgram *d)
{
    struct io_uring_sqe *sqe = get_sqe(x);
    io_uring_prep_poll_add(sqe, d->fd, POLLIN);
    set_tag(sqe, d, TAG_DGRAM);
}

static err_t uring_datagrams(struct io *io, const struct io_addr *a, uint16_t *port, struct io_dgram *d)
{
    ASSERT(((uintptr_t)d & TAG_MASK) == 0);
    TRY(io_net_datagrams(a, port, &d->fd));
    arm_datagrams(self(io), d);
    return OK;
}

static void uring_datagram_stop(struct io *io, struct io_dgram *d)
{
    d->stopping = true;
    cancel(self(io), d, TAG_DGRAM);
}

static void on_datagrams(struct io_uring_backend *x, struct io_dgram *d)
{
    uint8_t buf[DATAGRAM_BYTES];
    if (!d->stopping) (void)io_net_datagram_read(d, buf, sizeof buf);
    if (!d->stopping) {
        arm_datagrams(x, d);
        return;
    }
    close(d->fd);
    d->fd = -1;
    io_queue_push(&x->base.done, &d->gone);
}

/* -- completions ----------------------------------------------------------------------------------- */
struct answer {
    uint64_t data;
    int res;
    unsigned flags;
};

static void give_buffer(struct io_uring_backend *x, unsigned id)
{
    io_uring_buf_ring_add(x->pool, x->buffers + (size_t)id * BUFFER_BYTES, BUFFER_BYTES,
                          (unsigned short)id, BUFFERS - 1, 0);
    io_uring_buf_ring_advance(x->pool, 1);
}

static void on_recv(struct io_uring_backend *x, struct io_sock *s, const struct answer *a)
{
    bool have = a->flags & IORING_CQE_F_BUFFER;
    unsigned id = a->flags >> IORING_CQE_BUFFER_SHIFT;
    if (!(a->flags & IORING_CQE_F_MORE)) {
        ASSERT(s->recv_armed && s->inflight > 0);
        s->recv_armed = s->cancelling = false;
        s->inflight--;
    }
    /* No buffer was free, or we cancelled it to pause: nothing happened to the stream. */
    bool again = a->res == -ENOBUFS || a->res == -ECANCELED || a->res == -EINTR || a->res == -EAGAIN;
    if (!s->stopping && !s->recv_over && !again) {
        if (a->res > 0) {
            ASSERT(have);
            uint8_t *bytes = x->buffers + (size_t)id * BUFFER_BYTES;
            VALGRIND_MAKE_MEM_DEFINED(bytes, (size_t)a->res);
            s->on_recv(s, bytes, a->res);
        } else {
            s->recv_over = true;
            s->on_recv(s, NULL, a->res);
        }
    }
    if (have) give_buffer(x, id);
    if (s->fd < 0 || s->recv_armed) return; /* stopped inside the callback, or still going */
    if (s->stopping) {
        maybe_gone(&x->base, s);
    } else if (!s->paused && !s->recv_over) {
        arm_recv(x, s);
    }
}

static void on_accept(struct io_uring_backend *x, struct io_accept *l, const struct answer *a)
{
    if (!(a->flags & IORING_CQE_F_MORE)) l->armed = false;
    if (a->res >= 0) {
        io_nodelay(a->res);
        l->on_accept(l, a->res);
    } else if (!l->stopping && a->res != -ECONNABORTED && a->res != -EINTR && a->res != -EAGAIN) {
        l->on_accept(l, a->res);
        return;
    }
    if (l->armed || l->fd < 0) return;
    if (l->stopping) {
        accept_gone(&x->base, l);
    } else {
        uring_accept_start(&x->base, l);
    }
}

/* Both halves are here: part = of the write, result = of the sync. */
static void finish_write_sync(struct io *io, struct io_op *op)
{
    if (op->part != (int64_t)op->n) {
        complete(io, op, op->part);
    } else {
        complete(io, op, op->result < 0 ? op->result : op->part);
    }
}

static void on_op(struct io_uring_backend *x, struct io_op *op, const struct answer *a)
{
    struct io *io = &x->base;
    bool interrupted = a->res == -EINTR || a->res == -EAGAIN;
    switch (op->kind) {
    case IO_SEND:
    case IO_CONNECT: {
        struct io_sock *s = op->sock;
        s->send = NULL;
        s->inflight--;
        if (interrupted && !s->stopping) {
            submit_sock(x, op);
            return;
        }
        complete(io, op, a->res);
        maybe_gone(io, s);
        return;
    }
    case IO_WRITE_SYNC:
        op->result = a->res;
        if (--op->flags == 0) finish_write_sync(io, op);
        return;
    case IO_READ:
        if (a->res > 0) VALGRIND_MAKE_MEM_DEFINED(op->buf, (size_t)a->res);
        break;
    case IO_ALLOCATE:
        if (a->res == -EOPNOTSUPP) { /* posix_fallocate writes zeros instead */
            to_pool(io, op);
            return;
        }
        break;
    default: break;
    }
    if (interrupted) {
        uring_submit(io, op);
        return;
    }
    complete(io, op, a->res);
}

static void dispatch(struct io_uring_backend *x, const struct answer *a)
{
    if (!a->data) return;
    unsigned tag = (unsigned)(a->data & TAG_MASK);
    void *p = (void *)(uintptr_t)(a->data & ~(uint64_t)TAG_MASK);
    switch (tag) {
    case TAG_OP: on_op(x, p, a); break;
    case TAG_RECV: on_recv(x, p, a); break;
    case TAG_ACCEPT: on_accept(x, p, a); break;
    case TAG_BELL: arm_bell(x); break;
    case TAG_DGRAM: on_datagrams(x, p); break;
    case TAG_HALF: {
        struct io_op *op = p;
        op->part = a->res;
        if (--op->flags == 0) finish_write_sync(&x->base, op);
        break;
    }
    default: UNREACHABLE();
    }
}

static unsigned copy_answers(struct io_uring_backend *x, struct answer *to)
{
    struct io_uring_cqe *cqes[BATCH];
    unsigned n = io_uring_peek_batch_cqe(&x->ring, cqes, BATCH);
    for (unsigned i = 0; i < n; i++)
        to[i] = (struct answer){ cqes[i]->user_data, cqes[i]->res, cqes[i]->flags };
    io_uring_cq_advance(&x->ring, n);
    return n;
}

static void enter(struct io_uring_backend *x, mono_ns until)
{
    bool ready = io_uring_cq_ready(&x->ring) || x->base.done.head;
    if (until.ns && !ready) {
        struct io_uring_cqe *first;
        int64_t ns = until.ns - io_real_now(&x->base).ns;
        struct __kernel_timespec t = { .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
        if (ns > 0) {
            /* ETIME, EINTR, EBUSY: whatever is there is looked at anyway. */
            (void)io_uring_submit_and_wait_timeout(&x->ring, &first, 1, until.ns == INT64_MAX ? NULL : &t,
                                                   NULL);
            return;
        }
    }
    unsigned flags = *(volatile unsigned *)x->ring.sq.kflags;
    if (io_uring_sq_ready(&x->ring) || (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)))
        (void)io_uring_submit_and_get_events(&x->ring);
}

static void uring_reap(struct io *io, mono_ns until)
{
    struct io_uring_backend *x = self(io);
    struct answer answers[BATCH];
    enter(x, until);
    io->reactor->now = io_real_now(io);
    for (unsigned round = 0; round < BATCHES_A_TURN; round++) {
        unsigned n = copy_answers(x, answers);
        for (unsigned i = 0; i < n; i++)
            dispatch(x, &answers[i]);
        if (n < BATCH) break;
    }
}

static void uring_wake(struct io *io)
{
    uint64_t one = 1;
    ssize_t put = write(self(io)->bell, &one, sizeof one);
    (void)put;
}

/* -- set-up --------------------------------------------------------------------------------------- */
static void uring_free(struct io *io)
{
    struct io_uring_backend *x = self(io);
    if (x->ring.ring_fd >= 0) io_uring_queue_exit(&x->ring);
    if (x->pool) munmap(x->pool, x->pool_ring_bytes);
    if (x->bell >= 0) close(x->bell);
    free(x->buffers);
    free(x);
}

static const struct io_net uring_net = {
    .listen = io_net_listen,
    .stream = io_net_stream,
    .end_output = io_net_end_output,
    .reset_on_close = io_net_reset_on_close,
    .settled = io_net_settled,
    .peer = io_net_peer,
    .close = io_net_close,
    .datagrams = uring_datagrams,
    .datagram_send = io_net_datagram_send,
    .datagram_stop = uring_datagram_stop,
};

static const struct io_ops uring_ops = {
    .name = "io_uring",
    .net = &uring_net,
    .now = io_real_now,
    .wall = io_real_wall,
    .random = io_real_random,
    .submit = uring_submit,
    .reap = uring_reap,
    .wake = uring_wake,
    .recv_start = uring_recv_start,
    .recv_pause = uring_recv_pause,
    .recv_resume = uring_recv_resume,
    .sock_stop = uring_sock_stop,
    .accept_start = uring_accept_start,
    .accept_stop = uring_accept_stop,
    .free = uring_free,
};

static int open_ring(struct io_uring *ring, unsigned entries, unsigned completions)
{
    struct io_uring_params p = { .flags = SETUP_FLAGS, .cq_entries = completions };
    return io_uring_queue_init_params(entries, ring, &p);
}

/* liburing 2.3 registers a ring of buffers but does not make its memory. */
static int open_pool(struct io_uring *ring, struct io_uring_buf_ring **pool, size_t *bytes)
{
    *bytes = BUFFERS * sizeof(struct io_uring_buf);
    void *m = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) return -errno;
    *pool = m;
    struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)m, .ring_entries = BUFFERS,
                                    .bgid = GROUP };
    return io_uring_register_buf_ring(ring, &reg, 0);
}

err_t io_uring_new(struct reactor *r, struct io **out)
{
    struct io_uring_backend *x = calloc(1, sizeof *x);
    ASSERT(x);
    x->base = (struct io){ .ops = &uring_ops, .reactor = r };
    x->ring.ring_fd = -1;
    *out = &x->base;
    x->bell = eventfd(0, EFD_CLOEXEC);
    if (x->bell < 0) return err_set_errno(errno, "eventfd");
    int e = open_ring(&x->ring, ENTRIES, COMPLETIONS);
    if (e) {
        x->ring.ring_fd = -1;
        return err_set_errno(-e, "io_uring_setup");
    }
    (void)io_uring_register_ring_fd(&x->ring); /* saves a look-up an entry; not needed */
    unsigned workers[2] = { WORKERS, WORKERS };
    (void)io_uring_register_iowq_max_workers(&x->ring, workers);
    e = open_pool(&x->ring, &x->pool, &x->pool_ring_bytes);
    if (e) return err_set_errno(-e, "register a ring of buffers");
    x->buffers = aligned_alloc(4096, (size_t)BUFFERS * BUFFER_BYTES);
    ASSERT(x->buffers);
    io_uring_buf_ring_init(x->pool);
    for (unsigned i = 0; i < BUFFERS; i++)
        give_buffer(x, i);
    arm_bell(x);
    return OK;
}

/* -- the probe --------------------------------------------------------------------------------------- */
static const char *advice(int e)
{
    switch (e) {
    case EPERM:
        return "refused by sysctl kernel.io_uring_disabled or by a seccomp profile; set the sysctl to 0, or allow "
               "io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile";
    case EACCES: return "refused by a security module (SELinux, AppArmor); allow io_uring in its policy";
    case ENOSYS: return "the kernel has no io_uring, or a sandbox hides it; Linux 6.1 or newer is needed";
    case ENOMEM: return "locked memory is short; raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) to 8 MiB or more";
    case EINVAL: return "the kernel is too old for DEFER_TASKRUN; Linux 6.1 or newer is needed";
    case EMFILE:
    case ENFILE: return "no file descriptor is left; raise RLIMIT_NOFILE";
    default: return "unexpected";
    }
}

static bool refuse(char *why, size_t n, const char *step, int e)
{
    snprintf(why, n, "%s answers %s (%s): %s", step, strerrorname_np(e), strerror(e), advice(e));
    return false;
}

static bool probe_ops(struct io_uring *ring, char *why, size_t n)
{
    static const struct {
        int op;
        const char *name;
    } needed[] = {
        { IORING_OP_READ, "read" }, { IORING_OP_WRITE, "write" }, { IORING_OP_FSYNC, "fsync" },
        { IORING_OP_FALLOCATE, "fallocate" }, { IORING_OP_OPENAT, "openat" },
        { IORING_OP_CLOSE, "close" }, { IORING_OP_RENAMEAT, "renameat" },
        { IORING_OP_UNLINKAT, "unlinkat" }, { IORING_OP_MKDIRAT, "mkdirat" },
        { IORING_OP_ACCEPT, "accept" }, { IORING_OP_CONNECT, "connect" }, { IORING_OP_RECV, "recv" },
        { IORING_OP_SENDMSG, "sendmsg" }, { IORING_OP_POLL_ADD, "poll_add" },
        { IORING_OP_ASYNC_CANCEL, "async_cancel" },
    };
    struct io_uring_probe *p = io_uring_get_probe_ring(ring);
    if (!p) return refuse(why, n, "io_uring_register(probe)", EINVAL);
    const char *missing = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(needed); i++)
        if (!io_uring_opcode_supported(p, needed[i].op)) missing = needed[i].name;
    io_uring_free_probe(p);
    if (missing) snprintf(why, n, "operation %s is missing; Linux 6.1 or newer is needed", missing);
    return !missing;
}

bool io_uring_probe(char *why, size_t n)
{
    struct io_uring ring;
    struct io_uring_buf_ring *pool = NULL;
    size_t bytes = 0;
    int e = open_ring(&ring, 8, 64);
    if (e) return refuse(why, n, "io_uring_setup", -e);
    bool ok = probe_ops(&ring, why, n);
    if (ok && (e = open_pool(&ring, &pool, &bytes)) != 0)
        ok = refuse(why, n, "io_uring_register(buffer ring)", -e);
    /* A sandbox may allow the set-up and refuse the entry. */
    if (ok) {
        io_uring_prep_nop(io_uring_get_sqe(&ring));
        e = io_uring_submit_and_wait(&ring, 1);
        if (e < 0) ok = refuse(why, n, "io_uring_enter", -e);
    }
    io_uring_queue_exit(&ring);
    if (pool) munmap(pool, bytes);
    return ok;
}
