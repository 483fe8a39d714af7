#include "server/health.h"

#include "server/ask.h"

#include <stdio.h>

enum { ANSWER_MAX = 1 << 20 };

err_t health_ask(const struct config *c)
{
    struct buf answer;
    struct str body;
    int status;
    buf_init(&answer, ANSWER_MAX, NULL);
    err_t e = ask_node(c, "GET /readyz", &answer, &status, &body);
    if (e == OK && status != 200) e = err_set(ERR_UNAVAILABLE, "not ready: " STR_FMT, STR_ARG(body));
    if (e == OK) printf(STR_FMT "\n", STR_ARG(body));
    struct err_record why = *err_record();
    buf_deinit(&answer);
    *err_record() = why;
    return e;
}
