/* struct io: the operating system as the reactor sees it. A table of functions with three implementations:
 *   io_uring.c  the kernel's ring; the fast one
 *   io_epoll.c  readiness + plain system calls; files on a small thread pool; runs everywhere
 *   io_sim.c    virtual time, a disk and a network in memory, for the simulator (see sim.h)
 * Only base/rt includes this header.
 *
 * Rules
 *  1. An io belongs to one reactor; only io->ops->wake may be called by other threads.
 *  2. Nothing completes inside submit: completions are queued as io_events, and the reactor runs the queue at
 *     the top of its loop. So no callback ever runs inside the call that caused it, and stacks stay flat.
 *  3. A submitted io_op, its buffers and paths stay valid until its done callback. Operations on files are never
 *     cancelled: fibers that are cancelled still wait for them.
 *  4. Results are as of the system call: >= 0, or a negative errno. */
#ifndef BASE_RT_IO_H
#define BASE_RT_IO_H

#include "base/core/err.h"
#include "base/core/types.h"
#include "base/rt/addr.h"

struct io;
struct reactor;

/* A thing that happened, waiting in a queue for its turn. */
struct io_event {
    struct io_event *next;
    void (*fn)(struct io_event *);
};
struct io_queue {
    struct io_event *head, *tail;
};
static inline void io_queue_push(struct io_queue *q, struct io_event *e)
{
    e->next = NULL;
    if (q->tail) {
        q->tail->next = e;
    } else {
        q->head = e;
    }
    q->tail = e;
}
static inline struct io_event *io_queue_pop(struct io_queue *q)
{
    struct io_event *e = q->head;
    if (e && !(q->head = e->next)) q->tail = NULL;
    return e;
}

enum io_kind {
    IO_OPEN,       /* path, flags = open(2) flags -> fd */
    IO_CLOSE,      /* fd */
    IO_READ,       /* fd, buf, n, off -> bytes */
    IO_WRITE,      /* fd, buf, n, off -> bytes */
    IO_WRITE_SYNC, /* the same, then fdatasync: result n = both done; 0..n-1 = short and NOT synced */
    IO_SYNC,       /* fd: fdatasync */
    IO_SYNC_DIR,   /* path: fsync of a directory */
    IO_ALLOCATE,   /* fd, off = size: posix_fallocate semantics */
    IO_TRUNCATE,   /* fd, off = size */
    IO_SIZE,       /* fd -> size */
    IO_WILL_READ,  /* fd, off, n: a hint, the kernel may fetch the range already */
    IO_MKDIR,      /* path; -EEXIST when there */
    IO_UNLINK,     /* path */
    IO_RENAME,     /* path -> path2 */
    IO_LIST,       /* path -> number of names; out = malloc'd names, each NUL-terminated, n = bytes */
    IO_SPACE,      /* path; out = struct fs_space * */
    IO_CONNECT,    /* sock, buf = sockaddr, n = its length */
    IO_SEND,       /* sock, buf = struct msghdr * -> bytes */
    IO_KINDS
};

struct io_sock;

struct io_op {
    struct io_event event; /* the done callback: CONTAINER_OF(e, struct io_op, event) */
    enum io_kind kind;
    int fd;
    int flags;
    const char *path, *path2;
    void *buf;
    size_t n;
    uint64_t off;
    void *out;
    struct io_sock *sock;
    void *user;            /* submitter's own */
    int64_t result;
    int64_t part;          /* backend's own: result of the first half of a linked pair */
    struct reactor *home;  /* backend's own: where a pool thread sends the completion */
    struct io_event work;  /* backend's own: link in a pool's queue */
};

/* The backend's half of a connected socket; embedded in struct sock. */
struct io_sock {
    int fd;
    bool paused;     /* set by sock.c before it calls pause/resume */
    bool stopping;   /* stop was called */
    bool recv_armed; /* uring: a receive is in the ring. epoll: the kernel may have bytes for us */
    bool recv_over;  /* end of stream or error delivered */
    bool hup;        /* epoll: the peer closed its side: read until 0 */
    bool cancelling; /* uring: the armed receive is being cancelled */
    uint8_t inflight; /* uring: operations in the ring. epoll: 1 = is in the epoll set */
    struct io_op *send; /* epoll: the one operation (connect or send) that waits for room */
    struct io_sock *more_prev, *more_next; /* epoll: list of sockets to read from */
    bool in_more;
    /* n > 0: bytes, borrowed during the call. 0: end of stream. < 0: -errno. Nothing comes after the last two. */
    void (*on_recv)(struct io_sock *s, const uint8_t *bytes, int64_t n);
    struct io_event gone; /* runs after stop, when nothing refers to the socket any more; fd is closed */
};

struct io_accept {
    int fd;
    bool stopping, armed, cancelling;
    /* fd >= 0: a connection (close-on-exec, non-blocking). < 0: -errno and accepting has stopped; start it again. */
    void (*on_accept)(struct io_accept *a, int fd);
    struct io_event gone; /* as above */
};

/* A socket of datagrams; embedded in struct dgram. */
struct io_dgram {
    int fd;
    bool stopping;
    /* One datagram, borrowed during the call; from the reactor's loop. */
    void (*on_datagram)(struct io_dgram *d, const struct io_addr *from, const uint8_t *bytes, size_t n);
    struct io_event gone; /* runs after stop, when nothing refers to the socket any more; fd is closed */
};

/* Making sockets, and what else is asked of them: nothing here waits. Errors of the int functions: a negative errno. */
struct io_net {
    err_t (*listen)(struct io *io, const struct io_addr *a, uint16_t *port, int *fd); /* shared by reactors; *port is what was bound */
    err_t (*stream)(struct io *io, const struct io_addr *a, int *fd); /* unconnected */
    int (*end_output)(struct io *io, int fd);      /* the peer reads to the end */
    void (*reset_on_close)(struct io *io, int fd); /* and all that is unsent goes */
    bool (*settled)(struct io *io, int fd);        /* the peer's kernel has all that was sent */
    bool (*peer)(struct io *io, int fd, struct io_addr *out);
    void (*close)(struct io *io, int fd);          /* of a socket that nobody took */
    err_t (*datagrams)(struct io *io, const struct io_addr *a, uint16_t *port, struct io_dgram *d); /* and receives from then on */
    void (*datagram_send)(struct io *io, struct io_dgram *d, const struct io_addr *to, const uint8_t *bytes, size_t n); /* or not */
    void (*datagram_stop)(struct io *io, struct io_dgram *d); /* closes fd, then queues d->gone */
};

struct io_ops {
    const char *name;
    const struct io_net *net;
    mono_ns (*now)(struct io *io);
    unix_ns (*wall)(struct io *io);
    uint64_t (*random)(struct io *io);
    void (*submit)(struct io *io, struct io_op *op);
    /* Hands everything submitted to the kernel, queues what completed on io->done; waits for something to happen at
     * most until `until` ({0} = do not wait). Socket bytes are delivered to on_recv from in here. */
    void (*reap)(struct io *io, mono_ns until);
    void (*wake)(struct io *io); /* from any thread: ends a wait in reap */
    void (*recv_start)(struct io *io, struct io_sock *s); /* once, on a connected socket */
    void (*recv_pause)(struct io *io, struct io_sock *s);
    void (*recv_resume)(struct io *io, struct io_sock *s);
    void (*sock_stop)(struct io *io, struct io_sock *s); /* ends all, closes fd, then queues s->gone */
    void (*accept_start)(struct io *io, struct io_accept *a);
    void (*accept_stop)(struct io *io, struct io_accept *a);
    void (*free)(struct io *io);
};

struct io {
    const struct io_ops *ops;
    struct io_queue done;
    struct reactor *reactor;
};

/* Runs one file operation with plain system calls, on the calling thread; fills op->result. */
void io_file_run(struct io_op *op);

MUST_CHECK err_t io_epoll_new(struct reactor *r, struct io **out);
MUST_CHECK err_t io_uring_new(struct reactor *r, struct io **out);
/* Can this process use io_uring as we need it? On refusal why[] says which step failed, with which errno, and
 * what to change. */
bool io_uring_probe(char *why, size_t n);

/* Clocks and randomness of the real world, shared by the two real backends. */
mono_ns io_real_now(struct io *io);
unix_ns io_real_wall(struct io *io);
uint64_t io_real_random(struct io *io);

/* -- real sockets (io_net.c) --------------------------------------------------------------------------- */
err_t io_net_listen(struct io *io, const struct io_addr *a, uint16_t *port, int *fd);
err_t io_net_stream(struct io *io, const struct io_addr *a, int *fd);
err_t io_net_datagrams(const struct io_addr *a, uint16_t *port, int *fd);
int io_net_end_output(struct io *io, int fd);
void io_net_reset_on_close(struct io *io, int fd);
bool io_net_settled(struct io *io, int fd);
bool io_net_peer(struct io *io, int fd, struct io_addr *out);
void io_net_close(struct io *io, int fd);
void io_net_datagram_send(struct io *io, struct io_dgram *d, const struct io_addr *to, const uint8_t *bytes, size_t n);
/* Gives what the kernel holds to on_datagram, up to a bound; true: there may be more. */
bool io_net_datagram_read(struct io_dgram *d, uint8_t *buf, size_t n);
void io_nodelay(int fd);

#endif
