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

static enum store_known known(struct node *n, uint64_t content, uint64_t stream)
{
    enum store_known k;
    must(store_knows(n->s, (hash128){ content, 1 }, stream, &k), "knows");
    return k;
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
        ASSERT(known(a, 77, common.id) == STORE_KNOWN && known(a, 78, common.id) == STORE_UNKNOWN);
        ASSERT(known(a, 77, common.id + 1) == STORE_UNKNOWN && known(&nodes[1], 77, common.id) == STORE_UNKNOWN);
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

/* -- pulled ------------------------------------------------------------------------------------------------------------ */

struct to {
    struct node *n;
    uint32_t given, missing; /* requests; aliases of what is not there */
    uint64_t bytes;
    uint32_t fail_at;        /* 0 = never */
};
static err_t put_there(void *ctx, const struct batch_name *name, struct str bytes)
{
    struct to *t = ctx;
    if (++t->given == t->fail_at) return err_set(ERR_TIMEOUT, "enough");
    t->bytes += bytes.n;
    err_t e = store_put(t->n->s, &(struct store_request){ .name = *name, .bytes = bytes });
    if (e == ERR_NOT_FOUND) t->missing++;
    return e == ERR_NOT_FOUND ? OK : e;
}

/* All that `from` covers and `to` does not. */
static struct to pull_all(struct node *from, struct node *to)
{
    struct to t = { .n = to };
    struct cover have, there, want;
    cover_of(from, &there);
    cover_of(to, &have);
    cover_init(&want);
    cover_minus(&there, &have, &want);
    must(store_pull(from->s, &want, UINT64_MAX, put_there, &t), "pull");
    cover_deinit(&have);
    cover_deinit(&there);
    cover_deinit(&want);
    return t;
}

static void pulled_from_logs(void)
{
    struct node *a = &nodes[0], *b = &nodes[1], *c = &nodes[2];
    for (uint32_t k = 0; k < 12; k++) {
        struct batch_name name = name_of(a);
        must(put(a, &name, k, k + 1, false), "put");
        if (k % 2) must(put(b, &name, k, k + 1, true), "put");
        if (k == 3 || k == 4) must(store_seal(a->s), "seal"); /* kept: b lacks some */
        if (k == 7) restart(a);
        if (k == 9) must(store_seal(a->s), "seal");
        if (k == 10) restart(a);
    }
    struct to t = pull_all(a, b);
    ASSERT(t.given == 6 && covered(b) == 12);
    want_requests(b, 12);
    t = pull_all(a, b);
    ASSERT(t.given == 0);
    restart(b);
    want_requests(b, 12);
    /* Bit by bit, and in spite of an error. */
    struct cover want;
    cover_of(b, &want);
    struct to one = { .n = c };
    must(store_pull(b->s, &want, 1, put_there, &one), "pull one");
    ASSERT(one.given == 1);
    one = (struct to){ .n = c, .fail_at = 3 };
    ASSERT(store_pull(b->s, &want, UINT64_MAX, put_there, &one) == ERR_TIMEOUT && one.given == 3);
    cover_deinit(&want);
    t = pull_all(b, c);
    ASSERT(covered(c) == 12);
    want_requests(c, 12);
    must(store_seal(c->s), "seal");
    restart(c);
    want_requests(c, 12);
    ASSERT(covered(c) == 12);
}

static err_t put_five_here(void *arg)
{
    const struct race *r = arg;
    return put(r->n, r->name, r->k, 5, true);
}

/* What is an alias here is one there, once its first name is there: whichever log is read first. */
static void pulled_aliases(void)
{
    struct node *a = &nodes[0], *b = &nodes[1], *c = &nodes[2];
    struct batch_name n1 = name_of(a), n2 = name_of(c);
    struct race first = { a, &n1, 0 };
    must(rt_call(rt_cores() - 1, RT_INGEST, put_five_here, &first), "put");
    must(put(a, &n2, 0, 5, false), "alias");
    struct cover want;
    cover_init(&want);
    cover_add(&want, &n2);
    struct to t = { .n = b };
    must(store_pull(a->s, &want, UINT64_MAX, put_there, &t), "pull the alias alone");
    ASSERT(t.given == 1 && t.missing == 1 && covered(b) == 0);
    cover_deinit(&want);
    t = pull_all(a, b);
    ASSERT(t.given == 2 && t.missing == 0 && covered(b) == 2);
    want_requests(b, 1);
    must(put(c, &n2, 0, 5, false), "put");
    t = pull_all(b, c);
    ASSERT(covered(c) == 2);
    want_requests(c, 1);
    t = pull_all(c, a);
    ASSERT(t.given == 0);
    restart(c);
    want_requests(c, 1);
    ASSERT(covered(c) == 2);
}

/* -- metrics, whose frames lean on earlier ones -------------------------------------------------------------------------- */

static struct batch metrics_of(uint32_t step, struct arena *a)
{
    struct label l[] = { { STR("__name__"), STR("up") }, { STR("host"), STR("h") } };
    struct labels ls = { 2, l };
    struct metric_batch *m = ARENA_NEW(a, struct metric_batch);
    *m = (struct metric_batch){ .nseries = 1, .nsamples = 1, .id = ARENA_NEW(a, hash128), .canonical = ARENA_NEW(a, struct str),
                                .series = ARENA_NEW(a, uint32_t), .t_ms = ARENA_NEW(a, int64_t), .value = ARENA_NEW(a, double) };
    m->canonical[0] = labels_encode(&ls, a);
    m->id[0] = series_id(m->canonical[0]);
    m->t_ms[0] = 1700000000000 + step * 1000;
    m->value[0] = step;
    return (struct batch){ .tenant = STR("anonymous"), .signal = SIG_METRICS, .metrics = m, .nrows = 1 };
}

static struct store *counted;
static err_t count_samples_here(void *arg)
{
    uint32_t *samples = arg, n;
    struct mseries *series;
    struct view *v;
    struct arena a;
    arena_init(&a, NULL);
    TRY(view_open(counted, STR("anonymous"), NULL, NULL, &v));
    TRY(metrics_select(v, NULL, 0, INT64_MIN, INT64_MAX, &series, &n));
    for (uint32_t i = 0; i < n; i++) {
        struct samples got;
        TRY(metrics_samples(v, &series[i], INT64_MIN, INT64_MAX, &a, &got));
        *samples += got.n;
    }
    view_close(v);
    arena_deinit(&a);
    return OK;
}
static uint32_t samples_of(struct node *n)
{
    uint32_t samples = 0;
    counted = n->s;
    for (unsigned core = 0; core < rt_cores(); core++)
        must(rt_call(core, RT_QUERY, count_samples_here, &samples), "samples");
    return samples;
}

static void pulled_own_stream(void)
{
    struct node *a = &nodes[0], *b = &nodes[1];
    struct arena mem;
    struct stream own;
    node_id id = store_node(a->s);
    stream_make(&id, 1, &own);
    must(store_stream_add(b->s, &own), "stream");
    arena_init(&mem, NULL);
    for (uint32_t k = 0; k < 6; k++) {
        struct batch m = metrics_of(k, &mem), *p = &m;
        must(store_append(a->s, &p, 1), "append");
        if (k == 3) restart(a);
    }
    struct cover want, rest;
    cover_init(&want);
    cover_init(&rest);
    must(store_cover(a->s, &own.id, 1, &want), "cover");
    ASSERT(cover_count(&want) == 6);
    struct to t = { .n = b };
    /* The last of each life alone, which lean on the first ones of theirs. */
    struct cover_run r;
    struct cover_iter it = { 0 };
    while (cover_next(&want, &it, &r)) {
        r.first = r.last;
        cover_add_run(&rest, &r);
    }
    must(store_pull(a->s, &rest, UINT64_MAX, put_there, &t), "pull");
    ASSERT(t.given == 2 && samples_of(b) == 2);
    must(store_pull(a->s, &want, UINT64_MAX, put_there, &t), "pull");
    ASSERT(t.given == 8 && samples_of(b) == 6);
    restart(b);
    ASSERT(samples_of(b) == 6);
    cover_deinit(&want);
    cover_deinit(&rest);
    arena_deinit(&mem);
}

/* -- waiting ---------------------------------------------------------------------------------------------------------------- */

struct waiter {
    struct node *n;
    struct cover need;
    err_t result;
    bool over;
};
static void wait_fiber(void *arg)
{
    struct waiter *w = arg;
    w->result = store_cover_wait(w->n->s, &w->need, mono_add(rt_now(), 60 * NS_PER_S));
    w->over = true;
}

static void waiting_for_names(void)
{
    struct node *a = &nodes[0];
    const struct fiber_opts fo = { .name = "wait", .class = RT_QUERY };
    struct batch_name first = name_of(&nodes[1]), second = name_of(&nodes[1]);
    struct waiter w = { .n = a };
    struct scope scope;
    cover_init(&w.need);
    cover_add(&w.need, &first);
    cover_add(&w.need, &second);
    second.core = 1; /* kept by another core, where there is one */
    cover_add(&w.need, &second);
    second.core = 0;
    ASSERT(store_cover_wait(a->s, &w.need, mono_add(rt_now(), 20 * NS_PER_MS)) == ERR_TIMEOUT);
    scope_init(&scope, NULL);
    must(fiber_start(&scope, &fo, wait_fiber, &w), "fiber");
    must(put(a, &second, 1, 0, false), "put");
    second.core = 1;
    must(put(a, &second, 2, 0, false), "put");
    must(fiber_sleep(20 * NS_PER_MS), "sleep");
    ASSERT(!w.over);
    must(store_seal(a->s), "seal");
    must(put(a, &first, 0, 0, false), "put");
    must(scope_join(&scope), "join");
    ASSERT(w.over && w.result == OK);
    must(store_cover_wait(a->s, &w.need, rt_now()), "it is there");
    /* The store closes: nobody is kept waiting. */
    struct batch_name third = name_of(&nodes[1]);
    cover_add(&w.need, &third);
    w.over = false;
    must(fiber_start(&scope, &fo, wait_fiber, &w), "fiber");
    must(fiber_sleep(20 * NS_PER_MS), "sleep");
    ASSERT(!w.over);
    restart(a);
    must(scope_join(&scope), "join");
    ASSERT(w.over && w.result == ERR_UNAVAILABLE);
    scope_deinit(&scope);
    cover_deinit(&w.need);
}

/* -- logs that are kept ------------------------------------------------------------------------------------------------------ */

static uint32_t kept(struct node *n)
{
    uint32_t files = 0;
    for (uint32_t i = 0; i < n->s->nlogs; i++)
        files += n->s->logs[i].sealed;
    return files;
}
static void put_and_seal(struct node *n, uint32_t k)
{
    struct batch_name name = name_of(n);
    must(put(n, &name, k, 0, false), "put");
    must(store_seal(n->s), "seal");
    name = name_of(n);
    must(put(n, &name, k + 1, 0, false), "put"); /* the core's next file: the one before is done */
    must(store_seal(n->s), "seal");
}
static void wait_kept(struct node *n, uint32_t files)
{
    for (unsigned i = 0; i < 400 && kept(n) != files; i++)
        must(fiber_sleep(10 * NS_PER_MS), "sleep");
    if (kept(n) != files) fprintf(stderr, "%u files are kept, not %u\n", kept(n), files);
    ASSERT(kept(n) == files);
}

static void logs_are_kept_within_limits(void)
{
    struct node *a = &nodes[0], *b = &nodes[1];
    struct cover all;
    put_and_seal(a, 0);
    ASSERT(kept(a) >= 1);
    restart(a);
    ASSERT(kept(a) >= 1); /* found again */
    want_requests(a, 2);
    struct to t = pull_all(a, b);
    ASSERT(t.given == 2);
    /* All have them. */
    cover_of(a, &all);
    store_covered(a->s, &all);
    wait_kept(a, 0);
    put_and_seal(a, 2);
    uint32_t files = kept(a);
    ASSERT(files >= 1);
    cover_deinit(&all);
    cover_of(a, &all);
    store_covered(a->s, &all);
    wait_kept(a, 0);
    cover_deinit(&all);
    /* Too many bytes; then too old. */
    int64_t dropped = metric_sum(M_LOG_KEPT_LOST);
    stop(a);
    a->o.log_keep_bytes = 1;
    start(a);
    put_and_seal(a, 4);
    wait_kept(a, 0);
    ASSERT(metric_sum(M_LOG_KEPT_LOST) > dropped);
    stop(a);
    a->o.log_keep_bytes = 1 << 30;
    a->o.log_keep_ms = 1;
    start(a);
    put_and_seal(a, 6);
    wait_kept(a, 0);
    want_requests(a, 8);
    /* Of the stream of this node alone nothing is kept. */
    stop(a);
    a->o.log_keep_ms = KEEP_MS;
    start(a);
    files = kept(a); /* the last one */
    for (uint32_t k = 8; k < 10; k++) {
        struct table *rows;
        struct batch l = batch_of(k, &rows, 0), *p = &l;
        must(store_append(a->s, &p, 1), "append");
        table_put(rows);
        must(store_seal(a->s), "seal");
    }
    ASSERT(kept(a) == files);
    want_requests(a, 10);
}

/* -- what is refused ----------------------------------------------------------------------------------------------------------- */

static void hostile_bytes(void)
{
    struct node *a = &nodes[0];
    struct batch_name name = name_of(&nodes[1]), other = name_of(&nodes[1]);
    struct buf bytes;
    struct table *t;
    struct batch b = batch_of(0, &t, 0);
    buf_init(&bytes, 1 << 20, NULL);
    encode(&b, &name, &bytes);
    struct store_request r = { .name = other, .bytes = buf_view(&bytes) };
    ASSERT(store_put(a->s, &r) == ERR_INVALID);
    r.name = (struct batch_name){ 0 };
    ASSERT(store_put(a->s, &r) == ERR_INVALID);
    r.name = name;
    for (size_t n = bytes.n - 1; n > 0; n -= MIN(n, (size_t)7)) {
        r.bytes.n = n;
        ASSERT(store_put(a->s, &r) == ERR_CORRUPT);
    }
    for (size_t i = 0; i < bytes.n; i++) { /* whatever it makes of it, it ends */
        bytes.p[i] ^= 0x55;
        r.bytes = buf_view(&bytes);
        err_t e = i < 37 || (i >= 53 && i < 61) ? ERR_CORRUPT : store_put(a->s, &r); /* not the name, nor the time */
        bytes.p[i] ^= 0x55;
        if (e == OK) name.seq++, memcpy(bytes.p + 29, &name.seq, 8), r.name = name;
    }
    struct batch_name unknown = name;
    unknown.stream = 12345;
    buf_clear(&bytes);
    encode(&b, &unknown, &bytes);
    r = (struct store_request){ .name = unknown, .bytes = buf_view(&bytes) };
    ASSERT(store_put(a->s, &r) == ERR_INVALID);
    /* Names of this node that it did not give. */
    struct batch_name forged = name_of(a), given = forged;
    for (unsigned i = 0; i < 3; i++) {
        forged = given;
        if (i == 0) forged.seq++;
        if (i == 1) forged.epoch++;
        if (i == 2) forged.core += rt_cores(), forged.stream = a->s->own_stream;
        buf_clear(&bytes);
        encode(&b, &forged, &bytes);
        r = (struct store_request){ .name = forged, .bytes = buf_view(&bytes) };
        ASSERT(store_put(a->s, &r) == ERR_INVALID);
    }
    table_put(t);
    /* A series without its labels leans on a frame that is not here. */
    struct arena mem;
    arena_init(&mem, NULL);
    struct batch m = metrics_of(1, &mem), *p = &m;
    m.metrics->canonical[0] = STR_NONE;
    name.seq += 100;
    const struct request_head h = { .name = name, .nbatches = 1 };
    buf_clear(&bytes);
    request_encode(&h, &p, NULL, &bytes);
    r = (struct store_request){ .name = name, .bytes = buf_view(&bytes) };
    ASSERT(store_put(a->s, &r) == ERR_CORRUPT);
    ASSERT(samples_of(a) == 0);
    arena_deinit(&mem);
    buf_deinit(&bytes);
    int64_t used = atomic_load(&a->s->mem.used);
    must(store_seal(a->s), "seal");
    ASSERT(atomic_load(&a->s->mem.used) <= used);
}

static err_t put_metrics(struct node *to, const struct batch_name *name, struct batch *b)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 20, NULL);
    encode(b, name, &bytes);
    err_t e = store_put(to->s, &(struct store_request){ .name = *name, .bytes = buf_view(&bytes) });
    buf_deinit(&bytes);
    return e;
}

/* The same good series costs one look in a generation; a bad one is refused as often as it comes, also between good ones. */
static void labels_are_checked_once(void)
{
    struct node *a = &nodes[0];
    struct arena mem;
    arena_init(&mem, NULL);
    struct batch bad = metrics_of(0, &mem);
    bad.metrics->canonical[0] = STR("\x02\x01z\x01y\x01a\x01b"); /* out of order */
    bad.metrics->id[0] = series_id(bad.metrics->canonical[0]);
    int64_t before = metric_sum(M_PUT_SERIES_CHECKED);
    for (uint32_t step = 1; step <= 4; step++) {
        struct batch good = metrics_of(step, &mem);
        struct batch_name name = name_of(&nodes[1]), refused = name_of(&nodes[1]);
        ASSERT(put_metrics(a, &refused, &bad) == ERR_CORRUPT);
        must(put_metrics(a, &name, &good), "put");
        ASSERT(metric_sum(M_PUT_SERIES_CHECKED) == before + (step == 4 ? 2 : 1));
        if (step == 3) must(store_seal(a->s), "seal");
    }
    ASSERT(samples_of(a) == 4);
    arena_deinit(&mem);
}

/* A deletion takes what is covered when it is made; the same content under another name comes back. */
static void deletions_and_late_names(void)
{
    struct node *a = &nodes[0];
    struct batch_name early = name_of(a), late = name_of(&nodes[1]);
    must(put(a, &early, 0, 9, false), "put");
    struct delete_entry d = { .tenant = STR("anonymous"), .signal = SIG_LOGS, .doc = STR("{}") };
    must(store_delete_begin(a->s, &d), "begin");
    ASSERT(covered(a) == 1);
    must(put(a, &late, 0, 9, false), "put");
    ASSERT(covered(a) == 2);
    static struct seen c;
    memset(&c, 0, sizeof c);
    c.s = a->s;
    for (unsigned core = 0; core < rt_cores(); core++)
        must(rt_call(core, RT_QUERY, see_here, &c), "read");
    ASSERT(c.rows[0] == 2 * ROWS); /* the first of them are what the deletion's marks will take */
    must(put(a, &late, 0, 9, false), "again");
    ASSERT(covered(a) == 2);
}

/* Seals that stop half way, a catalog whose answer is lost: coverage stays, and stays true. */
static void interrupted_seals(void)
{
    struct node *a = &nodes[0];
    const enum errinj_id faults[] = { EI_SEAL_BEFORE_COMMIT, EI_SEAL_AFTER_COMMIT };
    uint32_t k = 0;
    for (unsigned i = 0; i < 4; i++) {
        struct batch_name name = name_of(a);
        must(put(a, &name, k++, 0, false), "put");
        errinj_arm(faults[i % 2], 1);
        ASSERT(store_seal(a->s) == ERR_IO);
        name = name_of(a);
        must(put(a, &name, k++, 0, false), "put");
        ASSERT(covered(a) == k);
        want_requests(a, k);
        if (i < 2) restart(a);
        ASSERT(covered(a) == k);
        want_requests(a, k);
        must(store_seal(a->s), "seal");
        ASSERT(covered(a) == k);
        want_requests(a, k);
    }
    restart(a);
    ASSERT(covered(a) == k);
    want_requests(a, k);
}

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
        run("pulled from logs", pulled_from_logs, cores);
        run("pulled aliases", pulled_aliases, cores);
        run("pulled own stream", pulled_own_stream, cores);
        run("waiting for names", waiting_for_names, cores);
        run("logs are kept within limits", logs_are_kept_within_limits, cores);
        run("hostile bytes", hostile_bytes, cores);
        run("labels are checked once", labels_are_checked_once, cores);
        run("deletions and late names", deletions_and_late_names, cores);
        run("interrupted seals", interrupted_seals, cores);
    }
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd) == 0 ? 0 : 1;
}
