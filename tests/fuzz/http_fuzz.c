/* Arbitrary bytes, in arbitrary pieces, into a connection in memory: HTTP/1, HTTP/2 and gRPC. The first byte seeds
 * the pieces and says whether handlers run later. */
#include "base/core/prng.h"
#include "tests/unit/http_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static err_t handle(struct http_request *rq, struct http_response *rs)
{
    struct str v;
    buf_str(&rs->body, rq->body);
    for (unsigned i = 0; i < 4 && http_param(rq, "q", i, &v); i++)
        http_add_header(rq, rs, "x-q", v);
    return OK;
}
static err_t call(struct grpc_call *c, struct buf *out)
{
    if (c->message.n == 1) return err_set(ERR_OVERLOAD, "one byte");
    buf_str(out, c->message);
    return OK;
}

static const struct http_route routes[] = {
    { HTTP_GET | HTTP_POST, "/a/{x}/b", handle, RT_QUERY },
    { HTTP_POST, "/p", handle, RT_INGEST, 100 },
    { HTTP_GET | HTTP_POST, "/r/{rest*}", handle, RT_INGEST },
};
static const struct http_api api = { routes, ARRAY_LEN(routes), NULL };
static const struct http_router router = { .apis = &api, .napis = 1, .on_error = NULL, .cors = true };
static const struct grpc_method methods[] = { { "/m", call } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    static struct budget bodies, answers;
    budget_init(&bodies, "bodies", NULL, 16 << 20, ERR_OVERLOAD);
    budget_init(&answers, "answers", NULL, 16 << 20, ERR_LIMIT);
    struct http_server_opts o = { .body_budget = &bodies, .answer_budget = &answers, .tenant_default = STR("t") };
    struct http_core core;
    http_core_init(&core, &mem_io, &o);
    struct http_service service = { &router, methods, ARRAY_LEN(methods), NULL };
    struct mem_conn m;
    mem_open(&m, &core, &service);
    mem_defer = data[0] & 8;
    struct prng rnd;
    prng_init(&rnd, data[0]);
    size_t at = 1;
    while (at < size && !m.closed && !m.aborted) {
        size_t n = 1 + prng_below(&rnd, data[0] & 1 ? 4096 : 20);
        n = MIN(n, size - at);
        /* Exactly sized: a read past the piece is seen. */
        uint8_t *piece = malloc(n);
        memcpy(piece, data + at, n);
        http_conn_feed(&m.c, piece, n);
        free(piece);
        at += n;
        mem_now_ns += NS_PER_S;
        http_conn_tick(&m.c);
        if (prng_below(&rnd, 3) == 0) mem_run_one();
    }
    if (data[0] & 2) http_conn_stop(&m.c);
    else if (data[0] & 4) http_conn_eof(&m.c);
    mem_free(&m);
    while (mem_run_one())
        ;
    http_core_deinit(&core);
    if (bodies.used || answers.used) abort();
    return 0;
}
