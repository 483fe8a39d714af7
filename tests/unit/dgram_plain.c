/* Datagrams on both real backends: they arrive with their sender's address, a closed socket gets none, and the runtime
 * stops with open ones. */
#include "base/core/log.h"
#include "base/rt/dgram.h"
#include "base/rt/rt.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <string.h>

static unsigned asked, answered;
static struct event all;

static void on_question(struct dgram *d, const struct io_addr *from, const uint8_t *bytes, size_t n)
{
    CHECK(n == DGRAM_BYTES_MAX && bytes[0] == 'q' && bytes[n - 1] == 'z');
    asked++;
    dgram_send(d, from, "answer", 6);
}

static void on_answer(struct dgram *d, const struct io_addr *from, const uint8_t *bytes, size_t n)
{
    CHECK(n == 6 && memcmp(bytes, "answer", n) == 0 && io_addr_port(from) == *(uint16_t *)dgram_user(d));
    if (++answered == 100) event_signal(&all);
}

static err_t talk(void *arg)
{
    struct dgram *server, *client, *taken;
    struct io_addr to;
    uint16_t port;
    char question[DGRAM_BYTES_MAX] = "q";
    (void)arg;
    question[DGRAM_BYTES_MAX - 1] = 'z';
    event_init(&all);
    asked = answered = 0;
    TRY(dgram_open("127.0.0.1", 0, on_question, NULL, &server));
    port = dgram_port(server);
    CHECK(dgram_open("127.0.0.1", port, on_question, NULL, &taken) == ERR_IO);
    CHECK(dgram_open("localhost", port, on_question, NULL, &taken) == ERR_INVALID);
    TRY(dgram_open("127.0.0.1", 0, on_answer, &port, &client));
    TRY(io_addr_parse("127.0.0.1", port, &to));
    /* One at a time: the kernel may drop what it has no room for. */
    for (unsigned i = 0; i < 100; i++) {
        dgram_send(client, &to, question, sizeof question);
        while (answered <= i)
            TRY(fiber_sleep(50 * NS_PER_US));
    }
    TRY(event_wait(&all));
    dgram_close(server);
    dgram_send(client, &to, question, sizeof question);
    TRY(fiber_sleep(20 * NS_PER_MS));
    CHECK(asked == 100 && answered == 100);
    return OK; /* with client open */
}

int main(void)
{
    static const enum rt_backend backends[] = { RT_EPOLL, RT_AUTO };
    log_init(LOG_ERROR, false);
    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        struct rt_opts o = { .cores = 1, .backend = backends[i] };
        CHECK(rt_run(&o, talk, NULL) == OK);
        fprintf(stderr, "dgram_plain: passed on %s\n", rt_backend_name());
    }
    return 0;
}
