/* Several stores in one process, which give each other requests under names by hand: what they cover, what they hold, and that
 * the one is never more than the other. */
#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/file.h"
#include "storage/store_delete.h"
#include "storage/store_int.h"

#include <stdio.h>
#include <stdlib.h>

enum { NODES = 3, REQUESTS_MAX = 256, ROWS = 10, KEEP_MS = 3600000 };

static char dir[] = "/tmp/tercet_names_XXXXXX";
static struct node {
    char path[64];
    struct kv *kv;
    struct store *s;
    struct store_opts o;
} nodes[NODES];
static struct stream common;

static void must(err_t e, const char *what)
{
    if (e != OK) fprintf(stderr, "%s: %s: %s\n", what, err_name(e), err_detail());
    ASSERT(e == OK);
}

/* -- nodes --------------------------------------------------------------------------------------------------- */

static void start(struct node *n)
{
    must(store_open(&n->o, &n->s), "open");
    if (common.n) must(store_stream_add(n->s, &common), "stream");
}
static void stop(struct node *n)
{
    store_close(n->s);
    n->s = NULL;
}
static void restart(struct node *n)
{
    stop(n);
    start(n);
}

static void start_all(void)
{
    static unsigned run;
    node_id ids[NODES];
    run++;
    common = (struct stream){ 0 };
    for (unsigned i = 0; i < NODES; i++) {
        struct node *n = &nodes[i];
        snprintf(n->path, sizeof n->path, "%s/%u-%u", dir, run, i);
        n->kv = kv_mem_new();
        n->o = (struct store_opts){ .dir = n->path, .kv = n->kv, .partitions = 16, .mem_bytes = 64 << 20, .seal_age_ms = 3600000,
                                    .commit_bytes = 1 << 20, .log_keep_bytes = 1 << 30, .log_keep_ms = KEEP_MS };
        start(n);
        ids[i] = store_node(n->s);
    }
    stream_make(ids, NODES, &common);
    for (unsigned i = 0; i < NODES; i++)
        must(store_stream_add(nodes[i].s, &common), "stream");
}
static void stop_all(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (nodes[i].s) stop(&nodes[i]);
        kv_mem_free(nodes[i].kv);
    }
}

/* -- requests ------------------------------------------------------------------------------------------------- */

static struct table *logs(uint32_t first, uint32_t n)
{
    struct table_builder *b = table_builder_new(NULL);
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("svc"));
    table_scope(b);
    for (uint32_t i = first; i < first + n; i++) {
        uint8_t id[16] = { (uint8_t)i, (uint8_t)(i >> 8), 1 };
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), 1);
        table_set_i64(b, SC_ATTR, STR("n"), i);
        table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    }
    return table_builder_finish(b, STR("time"));
}

/* Request k: rows [k * ROWS, (k + 1) * ROWS). */
static struct batch batch_of(uint32_t k, struct table **t, uint64_t content)
{
    *t = logs(k * ROWS, ROWS);
    return (struct batch){ .tenant = STR("anonymous"), .signal = SIG_LOGS, .content = { content, content ? 1 : 0 }, .ntables = 1,
                           .tables = t, .nrows = ROWS };
}

static void encode(struct batch *b, const struct batch_name *name, struct buf *out)
{
    const struct request_head h = { .name = *name, .key = request_key(&b, 1), .wall_ms = rt_wall().ns / NS_PER_MS, .nbatches = 1 };
    request_encode(&h, &b, NULL, out);
    must(buf_check(out), "encode");
}

/* As the node that took it in does it, for node `to`, which decodes it if that is wanted. */
static err_t put(struct node *to, const struct batch_name *name, uint32_t k, uint64_t content, bool decode)
{
    struct table *t;
    struct batch b = batch_of(k, &t, content), *p = &b;
    struct buf bytes;
    buf_init(&bytes, 1 << 20, NULL);
    encode(&b, name, &bytes);
    err_t e = store_put(to->s, &(struct store_request){ .name = *name, .bytes = buf_view(&bytes), .batches = decode ? NULL : &p, .n = 1 });
    buf_deinit(&bytes);
    table_put(t);
    return e;
}
static struct batch_name name_of(struct node *n)
{
    struct batch_name name;
    store_name_next(n->s, common.id, &name);
    return name;
}

/* -- what is there ---------------------------------------------------------------------------------------------- */

struct seen {
    struct store *s;
    uint32_t rows[REQUESTS_MAX]; /* of each request */
};
static err_t see_here(void *arg)
{
    struct seen *c = arg;
    struct view *v;
    TRY(view_open(c->s, STR("anonymous"), NULL, NULL, &v));
    const struct rows_req rq = { .signal = SIG_LOGS, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX };
    struct rows_scan *s;
    TRY(rows_open(v, &rq, &s));
    for (;;) {
        struct rowset rs;
        bool more;
        TRY(rows_next(s, &rs, &more));
        if (!more) break;
        const struct column *n;
        TRY(rowset_column(&rs, REL_ROWS, SC_ATTR, STR("n"), COL_I64, &n));
        for (uint32_t k = 0; k < rs.nsel; k++)
            c->rows[n->i64[rs.sel ? rs.sel[k] : k] / ROWS]++;
    }
    rows_close(s);
    view_close(v);
    return OK;
}

/* The requests [0, n), each once, and no others. */
static void want_requests(struct node *n, uint32_t want)
{
    static struct seen c;
    memset(&c, 0, sizeof c);
    c.s = n->s;
    for (unsigned core = 0; core < rt_cores(); core++)
        must(rt_call(core, RT_QUERY, see_here, &c), "read");
    for (uint32_t k = 0; k < REQUESTS_MAX; k++) {
        if (c.rows[k] != (k < want ? ROWS : 0)) fprintf(stderr, "request %u has %u rows\n", k, c.rows[k]);
        ASSERT(c.rows[k] == (k < want ? ROWS : 0));
    }
}

static void cover_of(struct node *n, struct cover *c)
{
    cover_init(c);
    must(store_cover(n->s, &common.id, 1, c), "cover");
}
static uint64_t covered(struct node *n)
{
    struct cover c;
    cover_of(n, &c);
    uint64_t count = cover_count(&c);
    cover_deinit(&c);
    return count;
}

/* -- tests -------------------------------------------------------------------------------------------------------- */

static void coverage_follows_the_rows(void)
{
    struct node *a = &nodes[0], *b = &nodes[1];
    ASSERT(covered(a) == 0);
    for (uint32_t k = 0; k < 8; k++) {
        struct batch_name name = name_of(a);
        ASSERT(name.seq == k + 1 && name.core == rt_core() && name.epoch == store_epoch(a->s));
        must(put(a, &name, k, 0, false), "put");
        must(put(b, &name, k, 0, k % 2), "put");
        must(put(b, &name, k, 0, true), "again");
        if (k == 3) must(store_seal(a->s), "seal");
        if (k == 5) must(store_seal(b->s), "seal");
        ASSERT(covered(a) == k + 1 && covered(b) == k + 1);
    }
    for (unsigned turn = 0; turn < 3; turn++) {
        want_requests(a, 8);
        want_requests(b, 8);
        ASSERT(covered(a) == 8 && covered(b) == 8);
        struct cover ca, cb;
        cover_of(a, &ca);
        cover_of(b, &cb);
        ASSERT(cover_hash(&ca) == cover_hash(&cb) && cover_intervals(&ca) == 1);
        cover_deinit(&ca);
        cover_deinit(&cb);
        if (turn == 1) must(store_seal(b->s), "seal");
        restart(a);
        restart(b);
    }
    struct batch_name name = name_of(a);
    ASSERT(name.seq == 1 && name.epoch == store_epoch(a->s)); /* of a new epoch */
    must(put(a, &name, 8, 0, false), "put");
    want_requests(a, 9);
}

static void own_requests_have_names(void)
{
    struct node *a = &nodes[0];
    struct cover c;
    for (uint32_t k = 0; k < 5; k++) {
        struct table *t;
        struct batch b = batch_of(k, &t, k + 1), *p = &b;
        must(store_append(a->s, &p, 1), "append");
        must(store_append(a->s, &p, 1), "append again");
        table_put(t);
        if (k == 2) must(store_seal(a->s), "seal");
    }
    for (unsigned turn = 0; turn < 2; turn++) {
        cover_init(&c);
        must(store_cover(a->s, NULL, 0, &c), "cover");
        ASSERT(cover_count(&c) == 5 && cover_intervals(&c) == 1);
        cover_deinit(&c);
        want_requests(a, 5);
        restart(a);
    }
}

static void one_content_under_two_names(void)
{
    struct node *a = &nodes[0];
    struct batch_name first = name_of(a), second = name_of(&nodes[1]), third = name_of(&nodes[2]);
    must(put(a, &first, 0, 77, false), "put");
    must(put(a, &second, 0, 77, true), "alias");
    must(put(a, &second, 0, 77, true), "alias again");
    for (unsigned turn = 0; turn < 3; turn++) {
        ASSERT(covered(a) == 2 + (turn == 2));
        want_requests(a, 1);
        restart(a);
        if (turn == 0) must(store_seal(a->s), "seal");
        if (turn == 1) must(put(a, &third, 0, 77, true), "alias of what is sealed");
    }
    restart(a);
    ASSERT(covered(a) == 3);
    want_requests(a, 1);
    must(put(a, &second, 0, 77, true), "again");
    want_requests(a, 1);
}

struct race {
    struct node *n;
    const struct batch_name *name;
    uint32_t k;
};
static err_t race_here(void *arg)
{
    const struct race *r = arg;
    return put(r->n, r->name, r->k, 0, true);
}
static void two_at_once(void)
{
    struct node *a = &nodes[0];
    for (uint32_t k = 0; k < 20; k++) {
        struct batch_name name = name_of(&nodes[1]);
        struct race r = { a, &name, k };
        void *args[8] = { &r, &r, &r, &r };
        must(rt_call_all(RT_INGEST, race_here, args, NULL), "race");
        ASSERT(covered(a) == k + 1);
    }
    want_requests(a, 20);
    restart(a);
    want_requests(a, 20);
    ASSERT(covered(a) == 20);
}

int main(void);
typedef void test_fn(void);

static err_t one(void *arg)
{
    start_all();
    (*(test_fn **)arg)();
    stop_all();
    return OK;
}

static void run(const char *name, test_fn *fn, unsigned cores)
{
    printf("%s, %u cores\n", name, cores);
    fflush(stdout);
    must(rt_run(&(struct rt_opts){ .cores = cores }, one, &fn), name);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    log_init((enum log_level)(LOG_ERROR + 1), false);
    for (unsigned cores = 1; cores <= 2; cores++) {
        run("coverage follows the rows", coverage_follows_the_rows, cores);
        run("own requests have names", own_requests_have_names, cores);
        run("one content under two names", one_content_under_two_names, cores);
        run("two at once", two_at_once, cores);
    }
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd) == 0 ? 0 : 1;
}
