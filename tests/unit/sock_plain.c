/* Sockets under ill treatment, on both backends: seeded sequences of send, send_ref, pause, resume, close and abort
 * from both ends at any time; half-closed peers; no descriptors left. What is checked: on_closed exactly
 * once and last, every borrowed buffer given back before it, no byte changed or out of order, nothing left behind. */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/core/prng.h"
#include "base/rt/sock.h"
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS = 400, BLOCK = 200000, STEPS_MAX = 40, FILES_MAX = 3000 };

static uint8_t pattern[2 * BLOCK]; /* pattern[i] depends on i % 251 only: any offset of the stream is in it */
static struct prng rnd;
static unsigned live, borrowed, closed_ok, closed_bad;

struct end { /* one end of a connection */
    struct sock *s;
    uint64_t sent, got;
    unsigned steps, lent;
    bool paused, over;
    struct timer timer;
};

static void lent_back(void *arg)
{
    struct end *e = arg;
    CHECK(!e->over && e->lent > 0);
    e->lent--;
    borrowed--;
}

static void send_some(struct end *e)
{
    size_t n = (size_t)prng_below(&rnd, prng_below(&rnd, 4) ? 3000 : BLOCK);
    const uint8_t *from = pattern + e->sent % 251;
    if (sock_unsent(e->s) > SOCK_HIGH_WATER || sock_closing(e->s)) return;
    if (prng_below(&rnd, 2)) {
        sock_send(e->s, from, n);
    } else {
        e->lent++;
        borrowed++;
        sock_send_ref(e->s, from, n, lent_back, e);
    }
    e->sent += n;
}

static void step(struct timer *t);

static void plan(struct end *e)
{
    timer_arm(&e->timer, mono_add(rt_now(), (int64_t)prng_below(&rnd, 2 * NS_PER_MS)), step);
}

static void act(struct end *e)
{
    switch (prng_below(&rnd, 12)) {
    case 0:
        sock_pause_recv(e->s);
        e->paused = true;
        break;
    case 1:
        sock_resume_recv(e->s);
        e->paused = false;
        break;
    case 2:
        if (prng_below(&rnd, 4) == 0) sock_close(e->s);
        break;
    case 3:
        if (prng_below(&rnd, 6) == 0) sock_abort(e->s);
        break;
    default: send_some(e);
    }
}

static void step(struct timer *t)
{
    struct end *e = CONTAINER_OF(t, struct end, timer);
    if (e->steps++ >= STEPS_MAX) {
        if (e->paused) sock_resume_recv(e->s);
        sock_close(e->s);
        return;
    }
    act(e);
    plan(e);
}

static void on_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    struct end *e = sock_user(s);
    CHECK(!e->over && e->s == s && !sock_closing(s));
    for (size_t done = 0; done < n;) {
        size_t part = MIN(n - done, (size_t)BLOCK);
        CHECK(memcmp(bytes + done, pattern + (e->got + done) % 251, part) == 0);
        done += part;
    }
    e->got += n;
    if (prng_below(&rnd, 3) == 0) act(e);
}

static void on_closed(struct sock *s, int os_errno)
{
    struct end *e = sock_user(s);
    CHECK(!e->over && e->s == s && e->lent == 0);
    e->over = true;
    timer_disarm(&e->timer);
    if (os_errno) closed_bad++;
    else closed_ok++;
    live--;
    free(e);
}

static const struct sock_ops ops = { .on_data = on_data, .on_closed = on_closed };

static void begin(struct sock *s)
{
    struct end *e = calloc(1, sizeof *e);
    e->s = s;
    live++;
    sock_set(s, &ops, e);
    plan(e);
}

static void on_accept(struct sock *s, void *ctx)
{
    (void)ctx;
    if (prng_below(&rnd, 20) == 0) {
        sock_abort(s); /* without ops: nobody hears of it */
        return;
    }
    begin(s);
}

static void wait_for_none(void)
{
    for (int i = 0; i < 20000 && live; i++)
        CHECK(fiber_sleep(NS_PER_MS) == OK);
    CHECK(live == 0 && borrowed == 0);
}

static void test_chaos(uint16_t port)
{
    closed_ok = closed_bad = 0;
    for (unsigned i = 0; i < PAIRS; i++) {
        struct sock *s;
        CHECK(sock_connect("127.0.0.1", port, &ops, NULL, &s) == OK);
        begin(s);
        if (i % 50 == 49) CHECK(fiber_sleep(NS_PER_MS) == OK);
    }
    wait_for_none();
    CHECK(closed_ok > 50 && closed_bad > 50);
}

/* -- a client that shuts its side down and waits for the answer ------------------------------------------- */
static void echo_data(struct sock *s, const uint8_t *bytes, size_t n)
{
    sock_send(s, bytes, n);
}

static unsigned echo_live;
static void echo_closed(struct sock *s, int os_errno)
{
    (void)s;
    CHECK(os_errno == 0);
    echo_live--;
}

static const struct sock_ops echo_ops = { .on_data = echo_data, .on_closed = echo_closed };

static void on_accept_echo(struct sock *s, void *ctx)
{
    (void)ctx;
    echo_live++;
    sock_set(s, &echo_ops, NULL);
}

static err_t half_close(void *arg)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(*(uint16_t *)arg),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(write(fd, pattern, BLOCK) == BLOCK);
    CHECK(shutdown(fd, SHUT_WR) == 0);
    static uint8_t back[BLOCK];
    size_t got = 0;
    for (ssize_t n; (n = read(fd, back + got, sizeof back - got)) > 0;)
        got += (size_t)n;
    CHECK(got == BLOCK && memcmp(back, pattern, BLOCK) == 0);
    close(fd);
    return OK;
}

/* -- no descriptor left: accepting stops for a moment and goes on --------------------------------------------- */
static err_t starve(void *arg)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(*(uint16_t *)arg),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    static int taken[FILES_MAX];
    unsigned n = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    while (n < FILES_MAX && (taken[n] = dup(fd)) >= 0)
        n++;
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof a) == 0); /* the kernel's backlog takes it */
    CHECK(write(fd, "ping", 4) == 4);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    CHECK(poll(&p, 1, 60) == 0);
    while (n)
        close(taken[--n]);
    CHECK(poll(&p, 1, 5000) == 1);
    char back[4];
    CHECK(read(fd, back, 4) == 4 && memcmp(back, "ping", 4) == 0);
    close(fd);
    return OK;
}

static err_t all(void *arg)
{
    struct sock_listener *chaos, *echo;
    (void)arg;
    CHECK(sock_listen("127.0.0.1", 0, on_accept, NULL, &chaos) == OK);
    CHECK(sock_listen("127.0.0.1", 0, on_accept_echo, NULL, &echo) == OK);
    uint16_t port = sock_listener_port(echo);
    test_chaos(sock_listener_port(chaos));
    CHECK(rt_offload(half_close, &port) == OK);
    CHECK(rt_offload(starve, &port) == OK);
    for (int i = 0; i < 3000 && echo_live; i++)
        CHECK(fiber_sleep(NS_PER_MS) == OK);
    CHECK(echo_live == 0);
    sock_listener_close(chaos);
    sock_listener_close(echo);
    return OK;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    log_init(LOG_ERROR, false);
    /* The ring remembers the limit of the moment when accepting began. */
    struct rlimit files;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = MIN(files.rlim_max, (rlim_t)FILES_MAX);
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i % 251);
    static const enum rt_backend backends[] = { RT_EPOLL, RT_URING };
    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        enum rt_backend b = backends[i];
        struct rt_opts o = { .cores = 1, .backend = b };
        prng_init(&rnd, seed);
        err_t e = rt_run(&o, all, NULL);
        if (b == RT_URING && e == ERR_UNAVAILABLE) {
            fprintf(stderr, "sock_plain: io_uring part skipped: %s\n", err_detail());
            continue;
        }
        CHECK(e == OK && metric_sum(M_CONNECTIONS) == 0);
        fprintf(stderr, "sock_plain: passed on %s: %u closed in order, %u not\n", rt_backend_name(), closed_ok,
                closed_bad);
    }
    return 0;
}
