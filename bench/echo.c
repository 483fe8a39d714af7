/* The socket layer by itself: an echo server on one core, a closed-loop client on another, both on the runtime.
 * Prints CPU time of the server a request. bench_echo [uring|epoll] [connections] [bytes] [seconds] */
#include "base/rt/sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned connections = 64, bytes = 64;
static int64_t seconds = 3;
static uint16_t port;
static uint64_t echoed;
static char *message;

static void echo_data(struct sock *s, const uint8_t *p, size_t n)
{
    sock_send(s, p, n);
}

static unsigned live;
static struct event all_gone;

static void echo_closed(struct sock *s, int os_errno)
{
    (void)s;
    (void)os_errno;
    if (--live == 0) event_signal(&all_gone);
}

static const struct sock_ops echo_ops = { .on_data = echo_data, .on_closed = echo_closed };

static void on_accept(struct sock *s, void *ctx)
{
    sock_set(s, &echo_ops, ctx);
    live++;
}

static err_t serve(void *arg)
{
    int *ready = arg;
    struct sock_listener *l;
    TRY(sock_listen("127.0.0.1", 0, on_accept, NULL, &l));
    port = sock_listener_port(l);
    if (write(*ready, &port, sizeof port) != sizeof port) return ERR_IO;
    TRY(event_wait(&all_gone));
    return OK;
}

static void client_data(struct sock *s, const uint8_t *p, size_t n)
{
    size_t *got = sock_user(s);
    (void)p;
    *got += n;
    if (*got < bytes) return;
    *got = 0;
    echoed++;
    sock_send(s, message, bytes);
}

static void client_closed(struct sock *s, int os_errno)
{
    (void)os_errno;
    free(sock_user(s));
}

static const struct sock_ops client_ops = { .on_data = client_data, .on_closed = client_closed };

static err_t load(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < connections; i++) {
        struct sock *s;
        TRY(sock_connect("127.0.0.1", port, &client_ops, calloc(1, sizeof(size_t)), &s));
        sock_send(s, message, bytes);
    }
    return fiber_sleep(seconds * NS_PER_S);
}

static double cpu_s(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec)
           + (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) * 1e-6;
}

int main(int argc, char **argv)
{
    struct rt_opts o = { .cores = 1, .backend = RT_AUTO };
    if (argc > 1) o.backend = strcmp(argv[1], "epoll") == 0 ? RT_EPOLL : RT_URING;
    if (argc > 2) connections = (unsigned)atoi(argv[2]);
    if (argc > 3) bytes = (unsigned)atoi(argv[3]);
    if (argc > 4) seconds = atoi(argv[4]);
    message = calloc(1, bytes);
    int ready[2], status;
    struct rusage u;
    if (pipe(ready) != 0) return 1;
    pid_t pid = fork();
    if (pid == 0) {
        err_t e = rt_run(&o, serve, &ready[1]);
        if (e) fprintf(stderr, "server: %s\n", err_detail());
        return e != OK;
    }
    if (read(ready[0], &port, sizeof port) != sizeof port) return 1;
    err_t e = rt_run(&o, load, NULL);
    if (e) fprintf(stderr, "client: %s\n", err_detail());
    if (wait4(pid, &status, 0, &u) != pid || status != 0) return 1;
    double user_us = (double)u.ru_utime.tv_sec * 1e6 + (double)u.ru_utime.tv_usec;
    printf("%s connections=%u bytes=%u requests=%llu per_s=%.0f server_cpu_us=%.3f user_us=%.3f\n", rt_backend_name(),
           connections, bytes, (unsigned long long)echoed, (double)echoed / (double)seconds,
           cpu_s(&u) * 1e6 / (double)echoed, user_us / (double)echoed);
    free(message);
    return 0;
}
