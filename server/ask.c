#include "server/ask.h"

#include "server/api/control.h"
#include "server/doors.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ASK_READ = 2048 };

/* Connects to the node's Prometheus port; of one that listens on every interface, on the loopback one. */
static err_t dial(const struct config *c, int *out)
{
    const char *host = config_text(c, CFG_LISTEN_BIND);
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    const struct timeval limit = { .tv_sec = ASK_SECONDS };
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

/* Until the node closes, or the answer is as long as it may be. */
static err_t exchange(int fd, const char *request, const struct control *control, struct buf *answer)
{
    char head[512], piece[ASK_READ];
    int len = snprintf(head, sizeof head, "%s HTTP/1.1\r\nHost: localhost\r\n%s%s%sContent-Length: 0\r\nConnection: close\r\n\r\n", request,
                       control->secret[0] ? CONTROL_HEADER ": " : "", control->secret, control->secret[0] ? "\r\n" : "");
    if (len < 0 || (size_t)len >= sizeof head) return err_set(ERR_INVALID, "too long: %s", request);
    ssize_t got = send(fd, head, (size_t)len, MSG_NOSIGNAL);
    while (got > 0 && !answer->failed) {
        got = recv(fd, piece, sizeof piece, 0);
        if (got > 0) buf_put(answer, piece, (size_t)got);
    }
    return got < 0 ? err_set(ERR_UNAVAILABLE, "the node does not answer: %s", strerror(errno)) : OK;
}

err_t ask_node(const struct config *c, const char *request, struct buf *answer, int *status, struct str *body)
{
    static const char version[] = "HTTP/1.1 ";
    struct control control;
    int fd;
    control_find(config_text(c, CFG_DATA_DIR), &control);
    TRY(dial(c, &fd));
    err_t e = exchange(fd, request, &control, answer);
    close(fd);
    TRY(e);
    buf_byte(answer, 0);
    TRY(buf_check(answer));
    if (strncmp(answer->p, version, sizeof version - 1) != 0) return err_set(ERR_UNAVAILABLE, "what answers is not a node");
    *status = atoi(answer->p + sizeof version - 1);
    const char *text = strstr(answer->p, "\r\n\r\n");
    *body = text ? str_of(text + 4) : STR_NONE;
    return OK;
}
