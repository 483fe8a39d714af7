/* One request and its answer: from the pool, through head, body and handler, back to the pool. */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "base/net/http_conn.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>

enum { TENANT_MAX_BYTES = 150, PLAIN_FIRST_BYTES = 64 << 10 };

void http_core_init(struct http_core *core, const struct http_io *io, const struct http_server_opts *o)
{
    *core = (struct http_core){
        .io = io,
        .body_budget = o->body_budget,
        .answer_budget = o->answer_budget,
        .tenant_default = o->tenant_default,
        .tenant_check = o->tenant_check,
    };
    buf_init(&core->scratch, 1 << 20, NULL);
}

static void exchange_destroy(struct http_exchange *x)
{
    if (x->scoped) scope_deinit(&x->scope);
    arena_deinit(&x->arena);
    free(x);
}

void http_core_deinit(struct http_core *core)
{
    ASSERT(core->live == 0);
    while (core->pool) {
        struct http_exchange *x = core->pool;
        core->pool = x->next;
        exchange_destroy(x);
    }
    buf_deinit(&core->scratch);
    if (core->gzip) libdeflate_free_compressor(core->gzip);
    core->gzip = NULL;
}

/* The oldest pooled exchange whose fiber has really ended: a handler gives its exchange back a few
 * instructions before its fiber does. */
static struct http_exchange *pool_take(struct http_core *core)
{
    struct http_exchange *x = core->pool;
    if (!x || (x->scoped && x->scope.live)) return NULL;
    core->pool = x->next;
    if (!core->pool) core->pool_tail = NULL;
    core->npool--;
    return x;
}

struct http_exchange *http_exchange_new(struct http_conn *c)
{
    struct http_core *core = c->core;
    struct http_exchange *x = pool_take(core);
    struct arena arena;
    if (x) {
        if (x->scoped) scope_deinit(&x->scope);
        arena = x->arena;
    } else {
        x = malloc(sizeof *x);
        ASSERT(x);
        arena_init_sized(&arena, core->body_budget, ARENA_BLOCK_MIN);
    }
    *x = (struct http_exchange){
        .core = core, .service = c->service, .conn = c, .arena = arena, .body_max = HTTP_BODY_MAX_BYTES
    };
    x->rq.arena = &x->arena;
    x->rs.status = 200;
    buf_init(&x->body, HTTP_BODY_MAX_BYTES, core->body_budget);
    buf_init(&x->plain, HTTP_BODY_MAX_BYTES, core->body_budget);
    buf_init(&x->rs.body, HTTP_ANSWER_MAX_BYTES, core->answer_budget);
    core->live++;
    return x;
}

/* Memory of the handler is charged to who pays for its class. */
static void arena_budget(struct arena *a, struct budget *b)
{
    if (a->budget == b) return;
    budget_charge(b, (int64_t)a->bytes);
    budget_release(a->budget, (int64_t)a->bytes);
    a->budget = b;
}

void http_exchange_free(struct http_exchange *x)
{
    struct http_core *core = x->core;
    ASSERT(!x->running);
    buf_deinit(&x->body);
    buf_deinit(&x->plain);
    buf_deinit(&x->rs.body);
    arena_reset(&x->arena);
    if (x->arena.bytes > ARENA_BLOCK_DEFAULT) arena_deinit(&x->arena);
    arena_budget(&x->arena, core->body_budget);
    x->arena.block_size = ARENA_BLOCK_MIN;
    ASSERT(core->live > 0);
    core->live--;
    if (core->npool >= HTTP_POOL_MAX && !(x->scoped && x->scope.live)) {
        exchange_destroy(x);
    } else {
        x->next = NULL;
        if (core->pool_tail) core->pool_tail->next = x;
        else core->pool = x;
        core->pool_tail = x;
        core->npool++;
    }
    if (core->live == 0 && core->on_idle) core->on_idle(core);
}

void http_exchange_abandon(struct http_exchange *x)
{
    x->conn = NULL;
    if (!x->running) {
        http_exchange_free(x);
    } else if (x->scoped) {
        scope_cancel(&x->scope);
    }
}

/* -- refusal ------------------------------------------------------------------------------------------ */

static void default_error(int status, const char *detail, struct http_response *rs)
{
    rs->content_type = "text/plain; charset=utf-8";
    buf_printf(&rs->body, "%d %s: %s\n", status, http_reason(status), detail);
}

static void render_error(struct http_exchange *x, int status, err_t code, const char *detail)
{
    struct http_response *rs = &x->rs;
    buf_deinit(&rs->body);
    /* An error is small and must get out: no budget, no chance to fail twice. */
    buf_init(&rs->body, 1 << 20, NULL);
    rs->status = status;
    rs->content_type = NULL;
    const struct http_router *r = x->service->router;
    http_error_fn *form = x->api ? x->api->on_error : r ? r->on_error : NULL;
    if (form) form(&x->rq, status, code, detail, rs);
    else default_error(status, detail, rs);
    bool told = false;
    for (uint32_t i = 0; i < rs->nextra; i++)
        told |= str_eq(rs->extra[i].name, STR("retry-after"));
    if ((rs->status == 429 || rs->status == 503) && !told)
        http_add_header(&x->rq, rs, "retry-after", STR("1"));
}

void http_exchange_refuse(struct http_exchange *x, int status, err_t code, const char *detail)
{
    if (x->refused) return;
    x->refused = true;
    /* The detail is mostly the error record itself, which the renderer may overwrite. */
    const char *text = arena_str(&x->arena, str_of(detail)).p;
    buf_deinit(&x->body);
    if (x->grpc) {
        bool again = err_retryable(code);
        grpc_refuse(x, err_grpc_code(code), text, again ? 1000 : 0);
    } else {
        render_error(x, status, code, text);
    }
}

static bool refuse_err(struct http_exchange *x, err_t e)
{
    http_exchange_refuse(x, err_http_status(e), e, err_detail());
    return false;
}

/* -- the head ----------------------------------------------------------------------------------------- */

/* "/path?query" or "http://host/path?query" into the parts of rq. */
static err_t split_target(struct http_request *rq, struct str target)
{
    if (!str_starts(target, STR("/")) && !str_eq(target, STR("*"))) {
        size_t at = str_find(target, STR("://"));
        if (at == SIZE_MAX || at > 5) return err_set(ERR_INVALID, "bad request target");
        target = str_sub(target, at + 3, target.n);
        target = str_sub(target, str_chr(target, '/'), target.n);
        if (target.n == 0) target = STR("/");
    }
    target = str_sub(target, 0, str_chr(target, '#'));
    size_t q = str_chr(target, '?');
    rq->raw_path = str_sub(target, 0, q);
    rq->query = str_sub(target, q + (q < target.n), target.n);
    if (rq->raw_path.n == 0 || (rq->raw_path.p[0] != '/' && !str_eq(rq->raw_path, STR("*"))))
        return err_set(ERR_INVALID, "bad request target");
    TRY(url_decode(rq->raw_path, false, rq->arena, &rq->path));
    if (str_chr(rq->path, 0) < rq->path.n) return err_set(ERR_INVALID, "NUL in the request path");
    if (!http_url_valid(rq->query)) return err_set(ERR_INVALID, "bad percent-encoding in the query string");
    return OK;
}

static err_t find_tenant(struct http_exchange *x)
{
    struct str t = http_header(&x->rq, "x-scope-orgid");
    if (t.n == 0) t = x->core->tenant_default;
    if (t.n > TENANT_MAX_BYTES)
        return err_set(ERR_INVALID, "X-Scope-OrgID is over %d bytes", TENANT_MAX_BYTES);
    if (x->core->tenant_check) TRY(x->core->tenant_check(t));
    x->rq.tenant = t;
    return OK;
}

/* OPTIONS that no route takes: a preflight, or the question for methods. */
static void answer_options(struct http_exchange *x)
{
    x->refused = true;
    x->rs.status = 204;
}

static bool find_route(struct http_exchange *x)
{
    struct http_request *rq = &x->rq;
    const struct http_router *r = x->service->router;
    if (!r) {
        http_exchange_refuse(x, 404, ERR_NOT_FOUND, "only gRPC is served here");
        return false;
    }
    x->route = http_route_find(r, rq, &x->api, &x->allow);
    rq->user = x->api ? x->api->user : NULL;
    if (x->route) return true;
    if (rq->method == HTTP_OPTIONS && (x->allow || str_eq(rq->path, STR("*")))) {
        answer_options(x);
        return false;
    }
    char detail[256];
    if (x->allow) {
        http_exchange_refuse(x, 405, ERR_INVALID, "method not allowed");
    } else {
        snprintf(detail, sizeof detail, "no such path: %.*s", (int)MIN(rq->path.n, 200), rq->path.p);
        http_exchange_refuse(x, 404, ERR_NOT_FOUND, detail);
    }
    return false;
}

bool http_exchange_head(struct http_exchange *x, struct str target)
{
    struct http_request *rq = &x->rq;
    metric_add(M_HTTP_REQUESTS, 1);
    x->head_only = rq->method == HTTP_HEAD;
    err_t e = split_target(rq, target);
    if (e != OK) return refuse_err(x, e);
    struct str type = http_header(rq, "content-type");
    if (x->stream_id && rq->method == HTTP_POST && grpc_is(type)) return grpc_head(x, rq->raw_path);
    if (x->service->router && x->service->router->cors) x->origin = http_header(rq, "origin");
    x->accepts_gzip = http_accepts(http_header(rq, "accept-encoding"), "gzip");
    if (!rq->method) {
        http_exchange_refuse(x, 501, ERR_INVALID, "unknown method");
        return false;
    }
    if (!find_route(x)) return false;
    if (x->route->class != RT_INGEST) arena_budget(&x->arena, x->core->answer_budget);
    x->body_max = x->route->body_max ? x->route->body_max : HTTP_BODY_MAX_BYTES;
    e = find_tenant(x);
    struct str encoding = str_trim(http_header(rq, "content-encoding"));
    const char *theirs = x->route->own_encoding;
    bool own = theirs && (strcmp(theirs, "*") == 0 || str_ieq(encoding, str_of(theirs)));
    if (e == OK && !own) e = inflate_kind_of(encoding, &x->encoding);
    return e == OK || refuse_err(x, e);
}

/* -- the body ----------------------------------------------------------------------------------------- */

bool http_exchange_expect(struct http_exchange *x, uint64_t length)
{
    if (length > x->body_max) {
        err_t e = err_set(ERR_TOO_LARGE, "body of %llu bytes is over the limit of %zu",
                          (unsigned long long)length, x->body_max);
        return refuse_err(x, e);
    }
    x->body.max = x->body_max;
    if (length == 0) return true;
    /* First the refusal, then the memory: a body that is turned away costs nothing. */
    err_t e = budget_check(x->core->body_budget);
    if (e == OK) {
        (void)buf_reserve(&x->body, (size_t)length);
        e = buf_check(&x->body);
    }
    return e == OK || refuse_err(x, e);
}

bool http_exchange_body(struct http_exchange *x, struct str bytes)
{
    if (x->grpc) return grpc_body(x, bytes);
    x->body.max = x->body_max;
    buf_put(&x->body, bytes.p, bytes.n);
    err_t e = buf_check(&x->body);
    return e == OK || refuse_err(x, e);
}

/* -- the handler -------------------------------------------------------------------------------------- */

bool http_exchange_start(struct http_exchange *x)
{
    x->running = true;
    err_t e = x->core->io->start(x);
    if (e == OK) return true;
    x->running = false;
    return refuse_err(x, e);
}

static err_t decode_body(struct http_exchange *x) MAY_YIELD
{
    x->rq.body = buf_view(&x->body);
    if (x->encoding == INFLATE_NONE || x->body.n == 0) return OK;
    x->plain.max = x->body_max;
    TRY(inflate_body(x->encoding, buf_view(&x->body), &x->plain));
    x->rq.body = buf_view(&x->plain);
    buf_deinit(&x->body);
    return OK;
}

static void run_http(struct http_exchange *x) MAY_YIELD
{
    err_t e = decode_body(x);
    if (e == OK) e = x->route->handler(&x->rq, &x->rs);
    if (e == OK) e = buf_check(&x->rs.body);
    if (e != OK) {
        const char *text = arena_str(&x->arena, str_of(err_detail())).p;
        render_error(x, err_http_status(e), e, text);
    }
    http_answer_encode(x);
}

void http_exchange_run(struct http_exchange *x)
{
    ASSERT(x->running);
    if (x->grpc) grpc_run(x);
    else run_http(x);
    x->running = false;
    struct http_conn *c = x->conn;
    if (!c) {
        http_exchange_free(x);
    } else if (c->proto == HTTP_PROTO_2) {
        h2_answer(c, x);
    } else {
        h1_answer(c, x);
    }
}
