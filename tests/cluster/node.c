#include "tests/cluster/node.h"

#include "base/core/assert.h"
#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "base/core/log.h"
#include "base/rt/sim.h"
#include "cluster/deletions.h"
#include "cluster/replicate.h"
#include "query/fragments.h"
#include "server/api/delete_tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 64 << 20, SETTLE_S = 10 };

static struct node *all;

/* -- a fragment of the test's own: the numbers of all rows of the tenant --------------------------------------------------- */
struct found {
    uint32_t n;
    uint32_t *rows;
    bool lost;
};
static struct model *model_here;

static uint32_t tenant_number(struct str name)
{
    for (uint32_t t = 0; t < TENANTS; t++)
        if (str_eq(name, tenant_name(t))) return t;
    wrong("a fragment of the tenant " STR_FMT " came, which there is not", STR_ARG(name));
}

static err_t rows_fn(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    (void)plan;
    struct found *f = ARENA_NEW(a, struct found);
    uint32_t *rows = NULL;
    TRY(model_read(model_here, v, tenant_number(q->tenant), &rows, &f->n, &f->lost));
    f->rows = ARENA_RAW(a, uint32_t, f->n + 1);
    if (f->n) memcpy(f->rows, rows, f->n * sizeof *rows);
    free(rows);
    *partial = f;
    return arena_check(a);
}

static void rows_plan_put(const void *plan, struct buf *out)
{
    (void)plan;
    buf_byte(out, 1);
}

static err_t rows_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    (void)q;
    *plan = "all";
    return bytes_in_varint(in) == 1 ? OK : err_set(ERR_CORRUPT, "another plan than was sent");
}

static void put_rows(const struct found *f, struct buf *out)
{
    buf_varint(out, f->n);
    buf_put(out, f->rows, f->n * sizeof *f->rows);
}

static void rows_partial_put(const void *plan, const void *partial, struct buf *out)
{
    (void)plan;
    put_rows(partial, out);
}

static err_t rows_partial_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    (void)plan;
    struct found *f = ARENA_NEW(a, struct found);
    f->n = bytes_in_count(in, sizeof *f->rows);
    f->rows = ARENA_RAW(a, uint32_t, f->n + 1);
    bytes_in_copy(in, f->rows, f->n * sizeof *f->rows);
    *partial = f;
    return OK;
}

static const struct fragment_kind ROWS_KIND = { .name = "test_rows", .fn = rows_fn, .plan_put = rows_plan_put, .plan_get = rows_plan_get,
                                                .partial_put = rows_partial_put, .partial_get = rows_partial_get,
                                                .halves = true /* the judge sees when it is said */ };

/* -- calls of the script ------------------------------------------------------------------------------------------------- */
static uint32_t number_of(const struct rpc_request *rq)
{
    uint32_t v;
    ASSERT(rq->body.n == sizeof v);
    memcpy(&v, rq->body.p, sizeof v);
    return v;
}

static err_t on_append(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct node *n = ctx;
    struct built b;
    (void)answer;
    if (!n->cluster) return err_set(ERR_UNAVAILABLE, "the node is starting");
    model_build(n->m, number_of(rq), &b);
    hash128 key = request_key(b.p, b.n);
    err_t e = replicate_append(n->cluster, n->store, b.p, b.n);
    if (e == OK) n->on_ack(n, key);
    struct err_record why = *err_record();
    model_built_free(&b);
    *err_record() = why;
    return e;
}

static err_t read_all(struct query *q, struct buf *answer)
{
    struct scatter sc;
    struct buf rows;
    uint32_t n = 0;
    TRY(scatter_run(q, &ROWS_KIND, "all", &sc));
    buf_init(&rows, ANSWER_MAX, NULL);
    for (unsigned i = 0; i < sc.n; i++) {
        const struct found *f = sc.partials[i];
        n += f->n;
        buf_put(&rows, f->rows, f->n * sizeof *f->rows);
    }
    bytes_out_str(answer, query_lost_text(q));
    buf_varint(answer, n);
    buf_str(answer, buf_view(&rows));
    buf_deinit(&rows);
    scatter_free(&sc);
    return buf_check(answer);
}

static err_t on_read(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct node *n = ctx;
    struct budget one;
    struct arena a;
    if (!n->cluster) return err_set(ERR_UNAVAILABLE, "the node is starting");
    uint32_t what = number_of(rq);
    struct query q = { .store = n->store, .tenant = tenant_name(what % READ_HERE), .cluster = what >= READ_HERE ? NULL : n->cluster };
    query_begin(&q, &one, &a, &n->queries, 1 << 30, 0);
    err_t e = read_all(&q, answer);
    query_end(&q);
    return e;
}

static err_t on_state(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct node *n = ctx;
    (void)rq;
    if (!n->cluster) return err_set(ERR_UNAVAILABLE, "the node is starting");
    struct map *map = cluster_map(n->cluster);
    bytes_out_u64(answer, cluster_self(n->cluster).u);
    buf_varint(answer, map->n);
    for (uint32_t i = 0; i < map->n; i++) {
        bytes_out_u64(answer, map->v[i].id.u);
        buf_varint(answer, map->v[i].state);
    }
    buf_byte(answer, map->alone);
    map_put(map);
    struct store_stats st;
    store_stats(n->store, &st);
    buf_varint(answer, st.lost);
    return buf_check(answer);
}

static err_t wait_settled(struct node *n, struct deletion_state *s, struct arena *a) MAY_YIELD
{
    mono_ns end = mono_add(rt_now(), SETTLE_S * NS_PER_S);
    while (rt_now().ns < end.ns && n->cluster) {
        TRY(deletions_states(n->cluster, s, 1, a));
        if (s->settled) return OK;
        TRY(fiber_sleep(50 * NS_PER_MS));
    }
    return OK;
}

static err_t on_delete(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct node *n = ctx;
    struct deletion_state s = { 0 };
    struct arena a;
    if (!n->cluster) return err_set(ERR_UNAVAILABLE, "the node is starting");
    arena_init(&a, NULL);
    err_t e = deletions_begin(n->cluster, rq->body, &s.id);
    if (e == OK) e = wait_settled(n, &s, &a);
    buf_byte(answer, s.settled);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

/* Made on all nodes: for some, that is more than settled. */
static err_t settled_all(struct node *n, struct arena *a, struct buf *answer) MAY_YIELD
{
    struct deletion_doc *docs;
    struct str why = STR("");
    uint64_t *ids;
    uint32_t ndocs, nids;
    deletions_list(n->cluster, a, &docs, &ndocs);
    deletions_finished(n->cluster, &ids, &nids);
    free(ids);
    struct deletion_state *s = ARENA_ARRAY(a, struct deletion_state, (size_t)ndocs + 1);
    for (uint32_t i = 0; i < ndocs; i++)
        s[i].id = docs[i].id;
    TRY(deletions_states(n->cluster, s, ndocs, a));
    for (uint32_t i = 0; i < ndocs && why.n == 0; i++)
        if (!s[i].settled) why = s[i].why;
    if (why.n == 0 && nids < ndocs) why = STR("this node has not finished all that it knows");
    buf_byte(answer, why.n == 0);
    bytes_out_str(answer, why);
    return OK;
}

static err_t on_settled(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct node *n = ctx;
    struct arena a;
    (void)rq;
    if (!n->cluster) return err_set(ERR_UNAVAILABLE, "the node is starting");
    arena_init(&a, NULL);
    err_t e = settled_all(n, &a, answer);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

static err_t stop_here(void *arg)
{
    struct node *n = arg;
    event_signal(&n->stop);
    return OK;
}

static err_t on_stop_asked(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct node *n = ctx;
    (void)rq;
    (void)answer;
    n->stopping = true;
    return rt_call(0, RT_MEMBERSHIP, stop_here, n);
}

/* -- a life ----------------------------------------------------------------------------------------------------------------- */
/* The store's word has no context: the node is the one whose host runs. A process that cannot sync ends. */
static void failed(unsigned index)
{
    all[index].failed = true;
    sim_host_kill(all[index].host);
}
#define FAILED(i) static void failed_##i(const char *why) { (void)why; failed(i); }
FAILED(0) FAILED(1) FAILED(2) FAILED(3) FAILED(4) FAILED(5) FAILED(6)
static void (*const on_failed[NODES_MAX])(const char *why) = { failed_0, failed_1, failed_2, failed_3, failed_4, failed_5, failed_6 };

static void on_stop(void *ctx, const char *why)
{
    const struct node *n = ctx;
    wrong("node %u is told to stop: %s", n->index, why);
}

static err_t open_store(struct node *n)
{
    const struct node_shape *h = n->shape;
    const struct store_opts o = { .dir = n->dir, .kv = n->kv, .partitions = 16, .mem_bytes = h->mem_bytes, .seal_age_ms = h->seal_age_ms,
                                  .merge_bytes = h->merge_bytes, .scrub_ms = 10000, .merge_window_ms = 86400000, .merge_memory = 1 << 28, .commit_bytes = 1 << 20,
                                  .log_keep_bytes = 1 << 30, .log_keep_ms = h->log_keep_ms,
                                  .pause_share = 0.85, .refuse_share = 0.9, .read_only_share = 0.95, .ballast_bytes = 16 << 20,
                                  .on_failed = on_failed[n->index] };
    return store_open(&o, &n->store);
}

static err_t open_cluster(struct node *n)
{
    char addr[32];
    sim_host_addr(n->host, addr);
    struct cluster_opts o = { .store = n->store, .label = NODE_LABEL, .bind = addr, .advertise = "", .gossip_port = NODE_GOSSIP, .rpc_port = NODE_RPC,
                              .seeds = n->shape->seeds, .zone = "", .version = "sim", .backend = "sim", .weight = 100, .partitions = 16,
                              .replicas = n->shape->replicas, .write_quorum = n->shape->quorum, .dead_after_ms = n->shape->dead_after_ms,
                              .retire_after_ms = n->shape->retire_after_ms,
                              .tenants = n->shape->tenants, .tenant_nodes = n->shape->tenant_nodes, .copy_rate = 100 << 20, .memory = 256 << 20, .on_stop = on_stop, .ctx = n };
    budget_init(&n->queries, "queries", NULL, 1 << 30, ERR_OVERLOAD);
    n->spread = (struct spread_ctx){ .store = n->store, .budget = &n->queries, .query_bytes_max = 1 << 30 };
    o.handlers[METHOD_FRAGMENT] = (struct cluster_handler){ spread_on_fragment, &n->spread };
    o.handlers[METHOD_TEST_APPEND] = (struct cluster_handler){ on_append, n };
    o.handlers[METHOD_TEST_READ] = (struct cluster_handler){ on_read, n };
    o.handlers[METHOD_TEST_STOP] = (struct cluster_handler){ on_stop_asked, n };
    o.handlers[METHOD_TEST_DELETE] = (struct cluster_handler){ on_delete, n };
    o.handlers[METHOD_TEST_SETTLED] = (struct cluster_handler){ on_settled, n };
    o.handlers[METHOD_TEST_STATE] = (struct cluster_handler){ on_state, n };
    TRY(cluster_open(&o, &n->cluster));
    n->spread.cluster = n->cluster;
    return delete_tasks_start(n->store, n->cluster, &n->queries, &n->tasks);
}

err_t node_main(void *arg)
{
    struct node *n = arg;
    n->store = NULL;
    n->cluster = NULL;
    n->up = n->failed = n->stopping = n->stopped = false;
    event_init(&n->stop);
    n->lives++;
    err_t e = open_store(n);
    if (e == OK) e = open_cluster(n);
    if (e != OK) {
        log_warn("node.open", "node=%u error=%s", n->index, err_detail());
        return e;
    }
    n->up = true;
    TRY(event_wait(&n->stop));
    struct cluster *c = n->cluster;
    n->cluster = NULL;
    delete_tasks_stop(n->tasks);
    cluster_close(c);
    log_info("node.stop", "node=%u: its part in the cluster is closed", n->index);
    store_close(n->store);
    if (atomic_load(&n->queries.used) != 0) wrong("C10: node %u stops, and its queries still have memory", n->index);
    n->stopped = true;
    return OK; /* its host goes on while any fiber is left */
}

void node_init(struct node *nodes)
{
    all = nodes;
    model_here = nodes[0].m;
    fragment_register(&ROWS_KIND);
}

void node_wipe(struct node *n)
{
    n->disks++;
    n->fresh = true;
    snprintf(n->dir, sizeof n->dir, "/data%u", n->disks);
    n->kv = kv_mem_new();
}
