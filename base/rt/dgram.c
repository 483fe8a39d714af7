/* See dgram.h. A dgram is in its reactor's list until the backend has let go of it. */
#include "base/rt/dgram.h"

#include "base/rt/reactor.h"

#include <stdlib.h>

struct dgram {
    struct io_dgram io;
    struct reactor *r;
    struct dgram *prev, *next;
    dgram_fn *fn;
    void *user;
    uint16_t port;
};

static void on_datagram(struct io_dgram *io, const struct io_addr *from, const uint8_t *bytes, size_t n)
{
    struct dgram *d = CONTAINER_OF(io, struct dgram, io);
    d->fn(d, from, bytes, n);
}

static void on_gone(struct io_event *e)
{
    struct dgram *d = CONTAINER_OF(e, struct dgram, io.gone);
    if (d->prev) d->prev->next = d->next;
    else d->r->dgrams = d->next;
    if (d->next) d->next->prev = d->prev;
    free(d);
}

err_t dgram_open(const char *addr, uint16_t port, dgram_fn *fn, void *user, struct dgram **out)
{
    struct reactor *r = rt_here();
    struct io_addr a;
    if (r->stopping) return err_set(ERR_CANCELED, "the runtime is stopping");
    TRY(io_addr_parse(addr, port, &a));
    struct dgram *d = calloc(1, sizeof *d);
    ASSERT(d);
    *d = (struct dgram){ .io = { .fd = -1, .on_datagram = on_datagram, .gone.fn = on_gone }, .r = r, .fn = fn, .user = user };
    err_t e = r->io->ops->net->datagrams(r->io, &a, &d->port, &d->io);
    if (e != OK) {
        free(d);
        return e;
    }
    d->next = r->dgrams;
    if (d->next) d->next->prev = d;
    r->dgrams = d;
    *out = d;
    return OK;
}

uint16_t dgram_port(const struct dgram *d)
{
    return d->port;
}

void *dgram_user(const struct dgram *d)
{
    return d->user;
}

void dgram_send(struct dgram *d, const struct io_addr *to, const void *bytes, size_t n)
{
    ASSERT(d->r == rt_self);
    ASSERT(n <= DGRAM_BYTES_MAX);
    if (!d->io.stopping) d->r->io->ops->net->datagram_send(d->r->io, &d->io, to, bytes, n);
}

void dgram_close(struct dgram *d)
{
    ASSERT(d->r == rt_self);
    if (!d->io.stopping) d->r->io->ops->net->datagram_stop(d->r->io, &d->io);
}

void dgram_stop_all(struct reactor *r)
{
    for (struct dgram *d = r->dgrams; d; d = d->next)
        dgram_close(d);
}
