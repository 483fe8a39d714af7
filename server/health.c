#include "server/health.h"

#include "server/doors.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ASK_SECONDS = 5, ANSWER_MAX = 2048 };

/* Connects to the node's Prometheus port; of one that listens on every interface, on the loopback one. */
static err_t dial(const struct config *c, int *out)
{
    const char *host = config_text(c, CFG_LISTEN_BIND);
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct timeval limit = { .tv_sec = ASK_SECONDS };
    struct addrinfo *to;
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)door_port(c, DOOR_PROMETHEUS));
    if (strcmp(host, "0.0.0.0") == 0) host = "127.0.0.1";
    if (strcmp(host, "::") == 0) host = "::1";
    if (getaddrinfo(host, port, &hints, &to) != 0) return err_set(ERR_INVALID, "listen.bind: '%s' is not an address", host);
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    bool up = fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) == 0;
    freeaddrinfo(to);
    *out = fd;
    if (up) return OK;
    err_t e = err_set(ERR_UNAVAILABLE, "no node answers on %s, port %s: %s", host, port, strerror(errno));
    if (fd >= 0) close(fd);
    return e;
}

/* The whole answer with a zero at its end, or as much as fits: the node closes after it. */
static err_t exchange(int fd, char *answer, size_t cap)
{
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    ssize_t got = send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
    size_t n = 0;
    while (got > 0 && n + 1 < cap) {
        got = recv(fd, answer + n, cap - n - 1, 0);
        if (got > 0) n += (size_t)got;
    }
    answer[n] = '\0';
    return got < 0 ? err_set(ERR_UNAVAILABLE, "the node does not answer: %s", strerror(errno)) : OK;
}

err_t health_ask(const struct config *c)
{
    char answer[ANSWER_MAX];
    int fd;
    TRY(dial(c, &fd));
    err_t e = exchange(fd, answer, sizeof answer);
    close(fd);
    TRY(e);
    const char *body = strstr(answer, "\r\n\r\n");
    body = body ? body + 4 : answer;
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0) return err_set(ERR_UNAVAILABLE, "not ready: %s", body);
    printf("%s\n", body);
    return OK;
}
