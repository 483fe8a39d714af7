/* What the benchmarks share: the CPU time of the process, an end when something fails, a keep-alive connection over
 * HTTP/1.1 to a node on this machine. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/core/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static inline double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
static inline double cpu_s(void) { return cpu_ns() * 1e-9; }

static inline void need(err_t e)
{
    if (e == OK) return;
    fprintf(stderr, "%s\n", err_detail());
    exit(1);
}

/* With errno's reason. */
_Noreturn static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

static inline int dial(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static inline void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) die("send");
        p += sent;
        n -= (size_t)sent;
    }
}

/* Reads one answer; its status. Answers are small: head and body come within one buffer. */
static inline int answer(int fd)
{
    char in[8192];
    size_t n = 0;
    for (;;) {
        ssize_t got = recv(fd, in + n, sizeof in - 1 - n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            fprintf(stderr, "the server closed the connection\n");
            exit(1);
        }
        n += (size_t)got;
        in[n] = 0;
        char *end = strstr(in, "\r\n\r\n"), *len = strcasestr(in, "content-length:");
        if (!end) continue;
        size_t body = len && len < end ? strtoul(len + 15, NULL, 10) : 0;
        if (n >= (size_t)(end + 4 - in) + body) return atoi(in + 9);
    }
}

#endif
