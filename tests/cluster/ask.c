#include "base/core/assert.h"
#include "base/core/bytes_in.h"
#include "cluster/cluster_int.h"
#include "cluster/reach.h"
#include "tests/cluster/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 64 << 20 };

static err_t call(struct world *w, unsigned node, uint16_t method, struct str body, struct buf *answer) MAY_YIELD
{
    const struct rpc_call c = { .method = method, .class = RT_INGEST, .body = body, .answer_max = ANSWER_MAX,
                                .deadline = mono_add(rt_now(), CALL_S * NS_PER_S) };
    return rpc_call(w->peers[node], &c, answer);
}

err_t ask_append(struct world *w, unsigned node, uint32_t request)
{
    struct buf none;
    buf_init(&none, 64, NULL);
    err_t e = call(w, node, METHOD_TEST_APPEND, str_n((const char *)&request, sizeof request), &none);
    buf_deinit(&none);
    w->rep->sent++;
    return e;
}

err_t ask_delete(struct world *w, unsigned node, struct str doc, bool *settled)
{
    struct buf answer;
    buf_init(&answer, 64, NULL);
    err_t e = call(w, node, METHOD_TEST_DELETE, doc, &answer);
    *settled = e == OK && answer.n == 1 && answer.p[0];
    buf_deinit(&answer);
    return e;
}

err_t ask_settled(struct world *w, unsigned node, bool *settled, char *why, size_t n)
{
    struct buf answer;
    buf_init(&answer, ANSWER_MAX, NULL);
    err_t e = call(w, node, METHOD_TEST_SETTLED, STR_NONE, &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    *settled = e == OK && bytes_in_u8(&in);
    struct str text = bytes_in_str(&in);
    if (e == OK && !*settled) snprintf(why, n, "node %u: " STR_FMT, node, STR_ARG(text));
    buf_deinit(&answer);
    return e;
}

err_t ask_stop(struct world *w, unsigned node)
{
    struct buf none;
    buf_init(&none, 64, NULL);
    err_t e = call(w, node, METHOD_TEST_STOP, STR_NONE, &none);
    buf_deinit(&none);
    return e;
}

err_t ask_read(struct world *w, unsigned node, uint32_t tenant, bool here, struct answer *out)
{
    struct buf answer;
    uint32_t what = tenant + (here ? READ_HERE : 0);
    *out = (struct answer){ 0 };
    buf_init(&answer, ANSWER_MAX, NULL);
    err_t e = call(w, node, METHOD_TEST_READ, str_n((const char *)&what, sizeof what), &answer);
    if (e != OK) {
        buf_deinit(&answer);
        return e;
    }
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    struct str why = bytes_in_str(&in);
    if (why.n) snprintf(out->why, sizeof out->why, STR_FMT, STR_ARG(why));
    if (why.n) out->told = str_starts(why, STR("traces and series that lie on both sides")) ? TOLD_APART : TOLD_PARTIAL;
    out->n = bytes_in_count(&in, sizeof *out->rows);
    out->rows = malloc(out->n * sizeof *out->rows + 1);
    ASSERT(out->rows != NULL);
    bytes_in_copy(&in, out->rows, out->n * sizeof *out->rows);
    ASSERT(!in.bad && in.p == in.end);
    buf_deinit(&answer);
    return OK;
}

err_t ask_state(struct world *w, unsigned node, struct state *out)
{
    struct buf answer;
    *out = (struct state){ 0 };
    buf_init(&answer, ANSWER_MAX, NULL);
    err_t e = call(w, node, METHOD_TEST_STATE, STR_NONE, &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    if (e == OK) {
        out->self = bytes_in_u64(&in);
        out->n = (uint32_t)bytes_in_varint(&in);
        ASSERT(out->n <= ARRAY_LEN(out->ids));
        for (uint32_t i = 0; i < out->n; i++) {
            out->ids[i] = bytes_in_u64(&in);
            out->states[i] = (uint8_t)bytes_in_varint(&in);
        }
        out->alone = bytes_in_varint(&in);
        out->lost = (uint32_t)bytes_in_varint(&in);
        ASSERT(!in.bad);
    }
    buf_deinit(&answer);
    return e;
}

err_t ask_holding(struct world *w, unsigned node, struct holding *out)
{
    struct buf answer;
    buf_init(&answer, ANSWER_MAX, NULL);
    out->n = 0;
    cover_init(&out->cover);
    const uint8_t all_names[] = { REACH_NAMES, [18 - 1] = 0 }; /* nothing is known here, of no life, of all streams */
    err_t e = call(w, node, METHOD_COVER, str_n(all_names, sizeof all_names), &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    if (e == OK) {
        out->n = bytes_in_count(&in, 9);
        ASSERT(out->n <= ARRAY_LEN(out->streams));
        for (uint32_t i = 0; e == OK && i < out->n; i++)
            e = stream_get_bytes(&in, &out->streams[i]);
        bytes_in_u64(&in); /* its life, and the version */
        bytes_in_varint(&in);
        if (e == OK) e = cover_get(&in, COVER_INTERVALS_MAX, &out->cover);
    }
    buf_deinit(&answer);
    return e;
}
