/* Real sockets: addresses, making them, and what is asked of them by plain system calls; both real backends' struct io_net. */
#include "base/rt/reactor.h"
#include "base/rt/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, DATAGRAMS_A_TURN = 64 };

/* -- addresses --------------------------------------------------------------------------------------- */
err_t io_addr_parse(const char *addr, uint16_t port, struct io_addr *out)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    _Static_assert(sizeof v6 <= sizeof out->bytes, "either address fits");
    *out = (struct io_addr){ 0 };
    if (inet_pton(AF_INET, addr, &v4.sin_addr) == 1) {
        memcpy(out->bytes, &v4, out->n = sizeof v4);
        return OK;
    }
    if (inet_pton(AF_INET6, addr, &v6.sin6_addr) == 1) {
        memcpy(out->bytes, &v6, out->n = sizeof v6);
        return OK;
    }
    return err_set(ERR_INVALID, "'%s' is not a numeric IPv4 or IPv6 address", addr);
}

uint16_t io_addr_port(const struct io_addr *a)
{
    /* It stands at the same place in both forms. */
    return ntohs(((const struct sockaddr_in *)(const void *)a->bytes)->sin_port);
}

void io_addr_host(const struct io_addr *a, char *to, size_t n)
{
    const struct sockaddr *sa = (const void *)a->bytes;
    const void *raw = sa->sa_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr
                                                : (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    if (!inet_ntop(sa->sa_family, raw, to, (socklen_t)n)) snprintf(to, n, "?");
}

void io_addr_name(const struct io_addr *a, char *to, size_t n)
{
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr *sa = (const void *)a->bytes;
    io_addr_host(a, host, sizeof host);
    snprintf(to, n, sa->sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, io_addr_port(a));
}

static const struct sockaddr *sa_of(const struct io_addr *a)
{
    return (const void *)a->bytes;
}

/* -- making ------------------------------------------------------------------------------------------- */
void io_nodelay(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static err_t make(const struct io_addr *a, int type, int *fd)
{
    *fd = socket(sa_of(a)->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return *fd < 0 ? err_set_errno(errno, "socket") : OK;
}

err_t io_net_stream(struct io *io, const struct io_addr *a, int *fd)
{
    (void)io;
    TRY(make(a, SOCK_STREAM, fd));
    io_nodelay(*fd);
    return OK;
}

static err_t address_error(int os, const char *step, const struct io_addr *a)
{
    char name[64];
    io_addr_name(a, name, sizeof name);
    return err_set_errno(os, "cannot %s %s%s", step, name,
                         os == EADDRINUSE ? " (another program listens there; choose another port)" : "");
}

/* Closes *fd when it fails. */
static err_t bind_to(const struct io_addr *a, bool streams, uint16_t *port, int *fd)
{
    struct io_addr bound = { .n = 0 };
    socklen_t len = sizeof bound.bytes;
    const char *step = "bind to";
    int bad = bind(*fd, sa_of(a), a->n);
    if (bad == 0 && streams) {
        step = "listen on";
        bad = listen(*fd, BACKLOG);
    }
    if (bad == 0) bad = getsockname(*fd, (struct sockaddr *)(void *)bound.bytes, &len);
    if (bad != 0) {
        int e = errno;
        close(*fd);
        *fd = -1;
        return address_error(e, step, a);
    }
    *port = io_addr_port(&bound);
    return OK;
}

err_t io_net_listen(struct io *io, const struct io_addr *a, uint16_t *port, int *fd)
{
    int one = 1;
    TRY(io_net_stream(io, a, fd));
    (void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    (void)setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    return bind_to(a, true, port, fd);
}

err_t io_net_datagrams(const struct io_addr *a, uint16_t *port, int *fd)
{
    TRY(make(a, SOCK_DGRAM, fd));
    return bind_to(a, false, port, fd);
}

err_t sock_port_free(const char *addr, uint16_t port)
{
    struct io_addr a;
    int fd, one = 1, os = 0;
    TRY(io_addr_parse(addr, port, &a));
    TRY(make(&a, SOCK_STREAM, &fd));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, sa_of(&a), a.n) != 0) os = errno;
    close(fd);
    return os ? address_error(os, "bind to", &a) : OK;
}

/* -- asking ------------------------------------------------------------------------------------------- */
int io_net_end_output(struct io *io, int fd)
{
    (void)io;
    return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno;
}

void io_net_reset_on_close(struct io *io, int fd)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    (void)io;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

bool io_net_settled(struct io *io, int fd)
{
    int left = 0;
    (void)io;
    return ioctl(fd, SIOCOUTQ, &left) == 0 && left == 0;
}

bool io_net_peer(struct io *io, int fd, struct io_addr *out)
{
    socklen_t len = sizeof out->bytes;
    (void)io;
    *out = (struct io_addr){ .n = sizeof out->bytes };
    return fd >= 0 && getpeername(fd, (struct sockaddr *)(void *)out->bytes, &len) == 0;
}

void io_net_close(struct io *io, int fd)
{
    (void)io;
    close(fd);
}

/* -- datagrams ------------------------------------------------------------------------------------------ */
void io_net_datagram_send(struct io *io, struct io_dgram *d, const struct io_addr *to, const uint8_t *bytes, size_t n)
{
    (void)io;
    ssize_t sent;
    do {
        sent = sendto(d->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL, sa_of(to), to->n);
    } while (sent < 0 && errno == EINTR);
}

bool io_net_datagram_read(struct io_dgram *d, uint8_t *buf, size_t n)
{
    for (unsigned i = 0; i < DATAGRAMS_A_TURN && !d->stopping; i++) {
        struct io_addr from = { .n = 0 };
        socklen_t len = sizeof from.bytes;
        ssize_t got = recvfrom(d->fd, buf, n, MSG_DONTWAIT, (struct sockaddr *)(void *)from.bytes, &len);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
        if (got < 0) continue; /* what an earlier send met: ECONNREFUSED, ... */
        from.n = len;
        d->on_datagram(d, &from, buf, (size_t)got);
    }
    return true;
}
