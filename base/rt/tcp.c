/* Blocking streams for fibers: a sock with a receive queue. One fiber reads and one writes at a time.
 * The struct outlives its sock: closed says that the sock is gone. */
#include "base/rt/reactor.h"
#include "base/rt/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RECV_MAX = 256 << 10 };

struct tcp {
    struct sock *s; /* NULL once closed */
    uint8_t *in;
    size_t from, to, cap; /* unread bytes are in[from, to) */
    bool paused, eof;
    int os_errno;
    struct event readable, writable;
    char name[SOCK_NAME_MAX + 16];
};

static void on_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    struct tcp *t = sock_user(s);
    if (t->from) {
        memmove(t->in, t->in + t->from, t->to - t->from);
        t->to -= t->from;
        t->from = 0;
    }
    if (t->to + n > t->cap) {
        t->cap = MAX(t->to + n, 2 * t->cap);
        t->in = realloc(t->in, t->cap);
        ASSERT(t->in);
    }
    memcpy(t->in + t->to, bytes, n);
    t->to += n;
    if (t->to > RECV_MAX && !t->paused) {
        t->paused = true;
        sock_pause_recv(s);
    }
    event_signal(&t->readable);
}

static void on_eof(struct sock *s)
{
    struct tcp *t = sock_user(s);
    t->eof = true;
    event_signal(&t->readable);
}

static void on_drained(struct sock *s)
{
    struct tcp *t = sock_user(s);
    event_signal(&t->writable);
}

static void on_closed(struct sock *s, int os_errno)
{
    struct tcp *t = sock_user(s);
    t->s = NULL;
    t->os_errno = os_errno;
    event_signal(&t->readable);
    event_signal(&t->writable);
}

static const struct sock_ops tcp_ops = { on_data, on_eof, on_drained, on_closed };

static err_t broken(const struct tcp *t)
{
    return t->os_errno ? err_set_errno(t->os_errno, "connection to %s", t->name)
                       : err_set(ERR_IO, "connection to %s is closed", t->name);
}

/* sock.h has no callback for "connected", since its sends may be queued before; here it is asked for. */
static bool connecting(struct tcp *t)
{
    char name[SOCK_NAME_MAX];
    sock_peer_name(t->s, name);
    return name[0] == '?';
}

err_t tcp_connect(const char *addr, uint16_t port, struct tcp **out)
{
    struct tcp *t = calloc(1, sizeof *t);
    ASSERT(t);
    struct io_addr a;
    err_t e = io_addr_parse(addr, port, &a);
    if (e == OK) e = sock_connect(addr, port, &tcp_ops, t, &t->s);
    if (e) {
        free(t);
        return e;
    }
    io_addr_name(&a, t->name, sizeof t->name);
    for (int64_t pause = 20 * NS_PER_US; e == OK && t->s && connecting(t);
         pause = MIN(2 * pause, (int64_t)5 * NS_PER_MS))
        e = fiber_sleep(pause);
    if (e == OK && !t->s) e = broken(t);
    if (e) {
        struct err_record why = *err_record();
        tcp_close(t);
        *err_record() = why;
        return e;
    }
    *out = t;
    return OK;
}

err_t tcp_send(struct tcp *t, const void *bytes, size_t n)
{
    while (t->s && sock_unsent(t->s) > SOCK_HIGH_WATER) {
        event_reset(&t->writable);
        TRY(event_wait(&t->writable));
    }
    if (!t->s || sock_closing(t->s)) return broken(t);
    sock_send(t->s, bytes, n);
    return OK;
}

err_t tcp_recv(struct tcp *t, void *to, size_t n, size_t *got)
{
    while (t->from == t->to) {
        if (t->eof) {
            *got = 0;
            return OK;
        }
        if (!t->s) return broken(t);
        event_reset(&t->readable);
        TRY(event_wait(&t->readable));
    }
    *got = MIN(n, t->to - t->from);
    memcpy(to, t->in + t->from, *got);
    t->from += *got;
    if (t->paused && t->from == t->to && t->s) {
        t->paused = false;
        sock_resume_recv(t->s);
    }
    return OK;
}

err_t tcp_recv_all(struct tcp *t, void *to, size_t n)
{
    for (size_t done = 0; done < n;) {
        size_t got;
        TRY(tcp_recv(t, (char *)to + done, n - done, &got));
        if (!got) return err_set(ERR_IO, "%s ended the stream after %zu of %zu bytes", t->name, done, n);
        done += got;
    }
    return OK;
}

void tcp_close(struct tcp *t)
{
    if (t->s) sock_close(t->s);
    while (t->s) {
        event_reset(&t->readable);
        (void)fiber_park(&t->readable.waiters, (mono_ns){ 0 }, false);
    }
    free(t->in);
    free(t);
}
