#include "query/spread.h"

#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/fanout.h"
#include "cluster/reach.h"
#include "query/fragments.h"
#include "query/scatter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a query knows of nodes. */
enum { SPREAD_LACKS_S = 10, SPREAD_CORES_MAX = 1024 };

struct spread {
    bool planned;
    struct reading reading;
    uint32_t navoid;
    node_id avoid[SPREAD_TRIES]; /* they failed us */
};

static err_t plan_reading(struct query *q)
{
    if (!q->spread) {
        q->spread = calloc(1, sizeof *q->spread);
        ASSERT(q->spread != NULL);
    }
    struct spread *s = q->spread;
    if (s->planned) return OK;
    const struct reading_of of = { .tenant = q->tenant, .avoid = s->avoid, .navoid = s->navoid };
    TRY(reach_plan(q->cluster, &of, &s->reading));
    s->planned = true;
    if (s->reading.incomplete[0]) q->lost_elsewhere = arena_str(q->arena, str_of(s->reading.incomplete));
    return OK;
}

err_t spread_apart(struct query *q, bool *apart)
{
    TRY(plan_reading(q));
    *apart = q->spread->reading.apart;
    return OK;
}

static void forget_reading(struct spread *s)
{
    if (s->planned) reading_free(&s->reading);
    s->planned = false;
}

void spread_end(struct query *q)
{
    if (!q->spread) return;
    forget_reading(q->spread);
    free(q->spread);
    q->spread = NULL;
}

/* Nobody waits for what another node lacks any longer than this, whatever time the query has. */
static mono_ns until(void)
{
    mono_ns latest = mono_add(rt_now(), SPREAD_LACKS_S * NS_PER_S), own = fiber_deadline();
    return own.ns && own.ns < latest.ns ? own : latest;
}

/* -- one node's part -------------------------------------------------------------------------------------------------- */
enum { COUNTS = 5 /* rows, samples, bytes, groups read, groups skipped */ };
struct ask { /* of one node, in a fiber of its own */
    struct query *q;
    const struct fragment_kind *kind;
    const void *plan;
    struct str plan_bytes;
    const struct read_part *reader;
    node_id node;
    struct scatter got;
    uint64_t counts[COUNTS]; /* that a node told with its answer: they count when it is taken */
    struct str lost;
    err_t result;
    struct err_record why;
};

/* Who plans anew chooses another node, if there is one. */
static err_t lost_meanwhile(void)
{
    return err_set(ERR_UNAVAILABLE, "a node found stored data damaged that it was chosen to read");
}

/* Of what was read on this node, since the count was `before`. */
static err_t check_lost(struct query *q, const struct read_part *reader, uint64_t before)
{
    if (reader->lost || atomic_load(&q->stats.lost) == before) return OK;
    atomic_store(&q->stats.lost, before);
    return lost_meanwhile();
}

static err_t ask_here(struct ask *a)
{
    const struct stream_pick pick = { a->reader->streams, a->reader->nstreams };
    uint64_t lost = atomic_load(&a->q->stats.lost);
    TRY(reach_part(a->q->cluster, a->reader, until()));
    TRY(scatter_here(a->q, a->kind, a->plan, &pick, &a->got));
    return check_lost(a->q, a->reader, lost);
}

static void put_ask(const struct ask *a, struct buf *out)
{
    const struct query *q = a->q;
    buf_varint(out, (uint64_t)q->budget->hard);
    bytes_out_str(out, str_of(a->kind->name));
    bytes_out_zigzag(out, q->samples_max);
    bytes_out_zigzag(out, q->rows_max);
    read_part_put(a->reader, out);
    buf_str(out, a->plan_bytes);
}

/* What that node lacks of its own data is told in its words: our counts are of this node's. */
static err_t get_counts(struct ask *a, struct bytes_in *in)
{
    for (unsigned i = 0; i < COUNTS; i++)
        a->counts[i] = bytes_in_varint(in);
    if (bytes_in_varint(in) > 0 && !a->reader->lost) return lost_meanwhile();
    struct str lost = bytes_in_str(in);
    if (lost.n) a->lost = arena_str(a->q->arena, lost);
    return OK;
}

static void count_taken(const struct ask *a)
{
    struct query *q = a->q;
    _Atomic uint64_t *const to[] = { &q->stats.rows, &q->stats.samples, &q->stats.bytes, &q->stats.groups_read, &q->stats.groups_skipped };
    _Static_assert(ARRAY_LEN(to) == COUNTS, "counts");
    for (unsigned i = 0; i < COUNTS; i++)
        atomic_fetch_add(to[i], a->counts[i]);
    if (a->lost.n && !q->lost_elsewhere.n) q->lost_elsewhere = a->lost;
}

static err_t get_answer(struct ask *a, struct str bytes)
{
    struct bytes_in in = bytes_in_of(bytes);
    uint32_t n = bytes_in_count(&in, 1);
    if (n > SPREAD_CORES_MAX) return err_set(ERR_CORRUPT, "an answer of %u cores", n);
    scatter_make(a->q, n, &a->got);
    for (uint32_t i = 0; i < n; i++) {
        struct str one = bytes_in_str(&in);
        if (in.bad) break;
        TRY(partial_of_bytes(a->kind, a->plan, one, &a->got.arenas[i], &a->got.partials[i]));
        TRY(arena_check(&a->got.arenas[i]));
    }
    TRY(get_counts(a, &in));
    return in.bad || in.p != in.end ? err_set(ERR_CORRUPT, "an answer of %s is malformed", a->kind->name) : OK;
}

static err_t ask_there(struct ask *a)
{
    struct buf request, answer;
    buf_init(&request, FRAGMENT_BYTES_MAX, a->q->budget);
    buf_init(&answer, FRAGMENT_BYTES_MAX, a->q->budget);
    put_ask(a, &request);
    err_t e = buf_check(&request);
    const struct rpc_call call = { .method = METHOD_FRAGMENT, .class = RT_QUERY, .tenant = a->q->tenant, .deadline = fiber_deadline(),
                                   .body = buf_view(&request), .answer_max = FRAGMENT_BYTES_MAX };
    if (e == OK) e = cluster_call(a->q->cluster, a->node, &call, &answer);
    if (e == OK) e = get_answer(a, buf_view(&answer));
    struct err_record why = *err_record();
    buf_deinit(&request);
    buf_deinit(&answer);
    *err_record() = why;
    return e;
}

static void ask_one(struct ask *a)
{
    a->result = a->node.u == cluster_self(a->q->cluster).u ? ask_here(a) : ask_there(a);
    a->why = *err_record();
    if (a->result != OK) scatter_free(&a->got);
}

/* -- one part, and who is asked in the place of its node ------------------------------------------------------------- */
struct parts;
struct part {
    struct parts *all;
    struct ask first;
    bool first_ended, ended;
    int64_t took_ns;
    struct event changed;
    enum { NOT_PROBED, PROBED, ALIVE, SILENT } probe;
    mono_ns probed;
    /* in its place */
    bool asked_twice, second_ended, second_won;
    struct reading second; /* when second_n > 0 */
    struct ask *seconds;
    uint32_t second_n;
};
struct parts { /* of one scatter */
    struct query *q;
    struct part *v;
    uint32_t n;
    mono_ns began;
};

static void first_fiber(void *arg)
{
    struct part *p = arg;
    ask_one(&p->first);
    p->first_ended = true;
    event_signal(&p->changed);
}

/* Any answer will do. */
static void probe_fiber(void *arg)
{
    struct part *p = arg;
    struct said said;
    const struct question q = { .forms = 0 };
    said_init(&said);
    err_t e = reach_ask(p->first.q->cluster, p->first.node, &q, mono_add(rt_now(), (int64_t)SPREAD_MIN_MS * NS_PER_MS), &said);
    said_deinit(&said);
    p->probe = e == OK ? ALIVE : SILENT;
    event_signal(&p->changed);
}

static void second_one(void *ctx, uint32_t i)
{
    ask_one(&((struct part *)ctx)->seconds[i]);
}

static bool second_is_whole(const struct part *p)
{
    uint32_t streams = 0;
    for (uint32_t i = 0; i < p->second.plan.nparts; i++)
        streams += p->second.plan.parts[i].nstreams;
    return p->second.plan.nmissing == 0 && streams == p->first.reader->nstreams && (!p->second.apart || p->all->q->spread->reading.apart);
}

static err_t ask_second(struct part *p)
{
    struct query *q = p->first.q;
    const struct spread *s = q->spread;
    node_id avoid[SPREAD_TRIES + 2];
    memcpy(avoid, s->avoid, s->navoid * sizeof *avoid);
    avoid[s->navoid] = avoid[s->navoid + 1] = p->first.node;
    const struct reading_of of = { q->tenant, avoid, s->navoid + 2, p->first.reader->streams, p->first.reader->nstreams };
    TRY(reach_plan(q->cluster, &of, &p->second));
    p->second_n = p->second.plan.nparts;
    if (!second_is_whole(p)) return err_set(ERR_UNAVAILABLE, "nobody has all that a silent node was asked for");
    p->seconds = ARENA_ARRAY(&p->second.a, struct ask, p->second_n);
    TRY(arena_check(&p->second.a));
    for (uint32_t i = 0; i < p->second_n; i++) {
        const struct read_part *reader = &p->second.plan.parts[i];
        p->seconds[i] = (struct ask){ .q = q, .kind = p->first.kind, .plan = p->first.plan, .plan_bytes = p->first.plan_bytes, .reader = reader,
                                      .node = p->second.nodes[reader->node], .result = ERR_CANCELED };
    }
    const struct fanout f = { .name = "fragment", .class = RT_QUERY, .n = p->second_n, .ctx = p, .one = second_one };
    TRY(fanout_run(&f));
    for (uint32_t i = 0; i < p->second_n; i++)
        TRY(p->seconds[i].result);
    p->second_won = !p->first_ended || p->first.result != OK;
    return OK;
}

static void second_fiber(void *arg)
{
    struct part *p = arg;
    err_t e = ask_second(p);
    (void)e; /* the first one's counts, then */
    p->second_ended = true;
    event_signal(&p->changed);
}

/* The share that may be asked for twice is of this process. */
static bool may_ask_twice(void)
{
    return metric_sum(M_SPREAD_TWICE) * SPREAD_SHARE <= metric_sum(M_SPREAD_PARTS);
}

/* It takes much longer than all others did. */
static bool is_slow(const struct part *p)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < p->all->n; i++) {
        if (&p->all->v[i] == p) continue;
        if (!p->all->v[i].ended) return false;
        most = MAX(most, p->all->v[i].took_ns);
    }
    return p->all->n > 1 && rt_now().ns - p->all->began.ns > MAX(most * SPREAD_TIMES, (int64_t)SPREAD_MIN_MS * NS_PER_MS);
}

static err_t start(struct scope *scope, const char *name, fiber_fn *fn, struct part *p)
{
    const struct fiber_opts fo = { .name = name, .class = RT_QUERY, .deadline = fiber_deadline() };
    return fiber_start(scope, &fo, fn, p);
}

/* What is due now? When is to be looked again? */
static err_t look(struct part *p, struct scope *scope, mono_ns *next)
{
    mono_ns now = rt_now(), due = mono_add(p->all->began, (int64_t)SPREAD_PROBE_MS * NS_PER_MS);
    *next = MONO_NEVER;
    if (p->asked_twice) return OK;
    if ((p->probe == SILENT || is_slow(p)) && may_ask_twice()) {
        p->asked_twice = true;
        metric_add(M_SPREAD_TWICE, 1);
        return start(scope, "fragment.second", second_fiber, p);
    }
    if (p->probe == PROBED) return OK; /* its end is told */
    if (p->probe != NOT_PROBED) due = mono_add(p->probed, (int64_t)SPREAD_LOOK_MS * NS_PER_MS);
    *next = due;
    if (now.ns < due.ns) return OK;
    p->probe = PROBED;
    p->probed = now;
    *next = MONO_NEVER;
    return start(scope, "probe", probe_fiber, p);
}

static bool is_settled(const struct part *p)
{
    if (p->second_won || (p->first_ended && p->first.result == OK)) return true;
    return p->first_ended && (!p->asked_twice || p->second_ended);
}

static err_t watch(struct part *p, struct scope *scope)
{
    TRY(start(scope, "fragment", first_fiber, p));
    while (!is_settled(p)) {
        mono_ns next;
        TRY(look(p, scope, &next));
        event_reset(&p->changed);
        err_t e = event_wait_until(&p->changed, next);
        if (e == ERR_TIMEOUT && rt_now().ns >= next.ns) continue;
        TRY(e);
    }
    return OK;
}

static void drop_second(struct part *p)
{
    for (uint32_t i = 0; i < p->second_n && p->seconds; i++)
        if (p->seconds[i].result == OK) scatter_free(&p->seconds[i].got);
}

static void part_run(void *ctx, uint32_t i)
{
    struct part *p = &((struct parts *)ctx)->v[i];
    if (p->first.node.u == cluster_self(p->first.q->cluster).u) {
        ask_one(&p->first);
    } else {
        struct scope scope;
        scope_init(&scope, fiber_scope());
        metric_add(M_SPREAD_PARTS, 1);
        err_t e = watch(p, &scope);
        struct err_record why = *err_record();
        scope_cancel(&scope);
        err_t joined = scope_join(&scope);
        scope_deinit(&scope);
        if (e == OK) e = joined;
        if (!p->first_ended) p->first.result = e != OK ? e : ERR_CANCELED, p->first.why = why;
        if (p->second_won && p->first.result == OK) scatter_free(&p->first.got);
        if (!p->second_won) drop_second(p);
        metric_add(M_SPREAD_TWICE_WON, p->second_won);
    }
    p->took_ns = rt_now().ns - p->all->began.ns;
    p->ended = true;
    for (uint32_t k = 0; k < p->all->n; k++)
        event_signal(&p->all->v[k].changed);
}

/* -- all of them ------------------------------------------------------------------------------------------------------- */
static err_t ask_all(struct query *q, const struct fragment_kind *kind, const void *plan, struct str bytes, struct parts *all)
{
    const struct reading *r = &q->spread->reading;
    for (uint32_t i = 0; i < all->n; i++) {
        struct part *p = &all->v[i];
        p->all = all;
        p->first = (struct ask){ .q = q, .kind = kind, .plan = plan, .plan_bytes = bytes, .reader = &r->plan.parts[i],
                                 .node = r->nodes[r->plan.parts[i].node], .result = ERR_CANCELED };
        event_init(&p->changed);
    }
    const struct fanout f = { .name = "part", .class = RT_QUERY, .n = all->n, .ctx = all, .one = part_run };
    return fanout_run(&f);
}

static err_t result_of(const struct part *p)
{
    return p->second_won ? OK : p->first.result;
}

static void take_slots(const struct ask *a, struct scatter *out)
{
    for (uint32_t k = 0; k < a->got.n; k++, out->n++) {
        out->partials[out->n] = a->got.partials[k];
        out->arenas[out->n] = a->got.arenas[k];
    }
    count_taken(a);
}

static void part_free(struct part *p)
{
    if (p->second_n > 0) reading_free(&p->second);
    p->second_n = 0;
}

/* The slots of all, or the first error; then nothing is left to free. */
static err_t gather(struct query *q, struct parts *all, err_t e, struct scatter *out)
{
    uint32_t slots = 0, bad = all->n;
    for (uint32_t i = 0; i < all->n; i++) {
        const struct part *p = &all->v[i];
        err_t result = result_of(p);
        slots += result == OK && !p->second_won ? p->first.got.n : 0;
        for (uint32_t k = 0; k < p->second_n && p->second_won; k++)
            slots += p->seconds[k].got.n;
        if (result != OK && (bad == all->n || !err_retryable(result))) bad = i;
    }
    bool good = e == OK && bad == all->n;
    if (good) *out = (struct scatter){ 0, ARENA_ARRAY(q->arena, void *, slots), ARENA_ARRAY(q->arena, struct arena, slots) };
    struct err_record why = e == OK && bad < all->n ? all->v[bad].first.why : *err_record();
    for (uint32_t i = 0; i < all->n; i++) {
        struct part *p = &all->v[i];
        for (uint32_t k = 0; k < p->second_n && p->second_won && good; k++)
            take_slots(&p->seconds[k], out);
        if (good && !p->second_won) take_slots(&p->first, out);
        if (!good && p->second_won) drop_second(p);
        if (!good && !p->second_won && p->first.result == OK) scatter_free(&p->first.got);
        part_free(p);
    }
    if (good) return OK;
    *err_record() = why;
    return e != OK ? e : all->v[bad].first.result;
}

/* Is it an error of the node (corrupt: of its stored data)? Then others are asked rather than it. */
static bool avoid(struct spread *s, node_id node, err_t e)
{
    if (e != ERR_UNAVAILABLE && e != ERR_TIMEOUT && e != ERR_IO && e != ERR_CORRUPT) return false;
    if (s->navoid == SPREAD_TRIES) return false;
    s->avoid[s->navoid++] = node;
    return true;
}

static bool avoid_failed(struct spread *s, const struct parts *all)
{
    bool any = false;
    for (uint32_t i = 0; i < all->n; i++)
        any |= avoid(s, all->v[i].first.node, result_of(&all->v[i]));
    return any;
}

/* Those that others answered for are not waited for again by this query. */
static void avoid_silent(struct spread *s, const struct parts *all)
{
    bool any = false;
    for (uint32_t i = 0; i < all->n; i++)
        any |= all->v[i].second_won && avoid(s, all->v[i].first.node, ERR_UNAVAILABLE);
    if (any) forget_reading(s);
}

/* This node answers for all there is. */
static err_t all_here(struct query *q, const struct fragment_kind *kind, const void *plan, struct scatter *out)
{
    const struct read_plan *p = &q->spread->reading.plan;
    uint64_t lost = atomic_load(&q->stats.lost);
    TRY(scatter_here(q, kind, plan, NULL, out));
    err_t e = p->nparts == 1 ? check_lost(q, &p->parts[0], lost) : OK;
    if (e != OK) scatter_free(out);
    return e;
}

struct sent { /* a plan as bytes, made when it is first wanted */
    struct buf bytes;
    bool made;
};

static err_t put_plan(struct sent *s, const struct fragment_kind *kind, const void *plan)
{
    if (s->made) return OK;
    if (!kind->plan_put) return err_set(ERR_INTERNAL, "fragments of kind %s do not travel", kind->name);
    s->made = true;
    kind->plan_put(plan, &s->bytes);
    return buf_check(&s->bytes);
}

static err_t once(struct query *q, const struct fragment_kind *kind, const void *plan, struct sent *sent, struct scatter *out, bool *again)
{
    *again = false;
    TRY(plan_reading(q));
    struct spread *s = q->spread;
    uint32_t n = s->reading.plan.nparts;
    err_t e;
    if (s->reading.all_here) {
        e = all_here(q, kind, plan, out);
        if (e == OK || n == 0 || !avoid(s, cluster_self(q->cluster), e)) return e;
    } else {
        if (s->reading.apart && kind->halves && !q->lost_elsewhere.n)
            q->lost_elsewhere = STR("traces and series that lie on both sides of a change of the cluster are read as two");
        TRY(put_plan(sent, kind, plan));
        struct parts all = { .q = q, .v = ARENA_ARRAY(q->arena, struct part, n), .n = n, .began = rt_now() };
        e = ask_all(q, kind, plan, buf_view(&sent->bytes), &all);
        e = gather(q, &all, e, out);
        if (e == OK) avoid_silent(s, &all);
        if (e == OK || !avoid_failed(s, &all)) return e;
    }
    *again = true;
    metric_add(M_SPREAD_AGAIN, 1);
    forget_reading(s);
    return e;
}

err_t spread_run(struct query *q, const struct fragment_kind *kind, const void *plan, struct scatter *out)
{
    struct sent sent = { .made = false };
    buf_init(&sent.bytes, FRAGMENT_BYTES_MAX, q->budget);
    bool again = true;
    err_t e = OK;
    for (int tries = 0; again && tries < SPREAD_TRIES; tries++)
        e = once(q, kind, plan, &sent, out, &again);
    struct err_record why = *err_record();
    buf_deinit(&sent.bytes);
    *err_record() = why;
    return e;
}

/* -- the other side --------------------------------------------------------------------------------------------------- */
struct asked {
    const struct spread_ctx *ctx;
    const struct fragment_kind *kind;
    struct query q;
    struct budget one;
    struct arena a;
    struct read_part part;
    struct stream_pick pick;
};

static err_t get_ask(struct asked *x, struct bytes_in *in)
{
    struct str name = bytes_in_str(in);
    x->kind = fragment_find(name);
    if (!x->kind || !x->kind->plan_get)
        return err_set(ERR_INVALID, "this node knows no fragments of kind " STR_FMT, STR_ARG(name));
    x->q.samples_max = bytes_in_zigzag(in);
    x->q.rows_max = bytes_in_zigzag(in);
    if (in->bad) return err_set(ERR_CORRUPT, "a fragment of " STR_FMT " is cut", STR_ARG(name));
    TRY(read_part_get(in, &x->a, &x->part));
    x->pick = (struct stream_pick){ x->part.streams, x->part.nstreams };
    return OK;
}

static void put_counts(const struct query *q, struct str lost, struct buf *out)
{
    const uint64_t v[] = { q->stats.rows, q->stats.samples, q->stats.bytes, q->stats.groups_read, q->stats.groups_skipped,
                           q->stats.lost };
    for (unsigned i = 0; i < ARRAY_LEN(v); i++)
        buf_varint(out, v[i]);
    bytes_out_str(out, lost);
}

static err_t put_answer(struct asked *x, const void *plan, struct scatter *sc, struct buf *answer)
{
    struct buf one;
    err_t e = OK;
    buf_varint(answer, sc->n);
    for (unsigned i = 0; e == OK && i < sc->n; i++) {
        buf_init(&one, FRAGMENT_BYTES_MAX, &x->one);
        x->kind->partial_put(plan, sc->partials[i], &one);
        e = buf_check(&one);
        bytes_out_str(answer, buf_view(&one));
        buf_deinit(&one);
    }
    put_counts(&x->q, query_lost_text(&x->q), answer);
    return e == OK ? buf_check(answer) : e;
}

static err_t run_asked(struct asked *x, struct bytes_in *in, struct buf *answer)
{
    TRY(reach_part(x->ctx->cluster, &x->part, until()));
    const void *plan = NULL;
    struct scatter sc;
    TRY(plan_of_bytes(&x->q, x->kind, in, &plan));
    err_t e = scatter_here(&x->q, x->kind, plan, &x->pick, &sc);
    if (e == OK) {
        e = put_answer(x, plan, &sc, answer);
        struct err_record why = *err_record();
        scatter_free(&sc);
        *err_record() = why;
    }
    plan_done(x->kind, plan);
    return e;
}

err_t spread_on_fragment(void *arg, const struct rpc_request *rq, struct buf *answer)
{
    const struct spread_ctx *ctx = arg;
    if (!ctx->cluster) return err_set(ERR_UNAVAILABLE, "the node is starting");
    struct asked x = { .ctx = ctx, .q = { .store = ctx->store, .tenant = rq->tenant } };
    struct bytes_in in = bytes_in_of(rq->body);
    int64_t bytes_max = (int64_t)MIN(bytes_in_varint(&in), (uint64_t)ctx->query_bytes_max);
    query_begin(&x.q, &x.one, &x.a, ctx->budget, bytes_max, 0);
    err_t e = get_ask(&x, &in);
    if (e == OK) e = run_asked(&x, &in, answer);
    query_end(&x.q);
    return e;
}
