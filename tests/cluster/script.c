#include "tests/cluster/script.h"

#include "base/core/assert.h"
#include "base/rt/sim.h"
#include "tests/cluster/deleting.h"
#include "tests/cluster/nemesis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_REQUESTS = 100 }; /* about as many are sent again at once */

static int64_t now(void)
{
    return rt_now().ns;
}

static void nap(struct prng *r, int64_t most_ns)
{
    err_t e = fiber_sleep((int64_t)prng_below(r, (uint64_t)most_ns));
    (void)e;
}

/* One answer to it was an error: it may be stored at any time. */
static void note_sent(struct world *w, uint32_t request, err_t e)
{
    if (request >= w->nopen) {
        uint32_t n = MAX(request + 1, w->nopen * 2);
        w->open = realloc(w->open, n);
        ASSERT(w->open != NULL);
        memset(w->open + w->nopen, 0, n - w->nopen);
        w->nopen = n;
    }
    w->open[request] |= e != OK;
}

/* -- clients ---------------------------------------------------------------------------------------------------------------- */
static void write_one(struct world *w, struct prng *r, double again)
{
    uint32_t i = model_begin(&w->m, r, again);
    unsigned node = (unsigned)prng_below(r, w->n);
    err_t e = ask_append(w, node, i);
    if (w->verbose) fprintf(stderr, "%.3f write %u to %u: %s %s\n", (double)now() / 1e9, i, node, err_name(e), e == OK ? "" : err_detail());
    note_sent(w, i, e);
    model_end(&w->m, i, e == OK);
}

static void writer_fiber(void *arg)
{
    struct world *w = arg;
    struct prng r;
    prng_init(&r, prng_next(&w->rnd));
    while (!w->stop) {
        nap(&r, w->write_every_ns);
        if (!w->stop) write_one(w, &r, 0.3);
    }
}

static bool read_one(struct world *w, unsigned node, uint32_t tenant, enum told *told)
{
    struct answer a;
    uint32_t nacked;
    uint8_t *acked = model_acked(&w->m, &nacked);
    int64_t since = now();
    uint64_t began = ++w->m.clock;
    err_t e = ask_read(w, node, tenant, false, &a);
    if (w->verbose) fprintf(stderr, "%.3f read from %u: %s %s\n", (double)now() / 1e9, node, err_name(e), e == OK ? a.why : err_detail());
    if (e == OK) {
        judge_read(w, node, tenant, &a, acked, nacked, since, began);
        if (told) *told = a.told;
        free(a.rows);
    } else {
        w->rep->read_errors++;
    }
    free(acked);
    return e == OK;
}

static void reader_fiber(void *arg)
{
    struct world *w = arg;
    struct prng r;
    prng_init(&r, prng_next(&w->rnd));
    while (!w->stop) {
        nap(&r, NS_PER_S);
        if (!w->stop) read_one(w, (unsigned)prng_below(&r, w->n), (uint32_t)prng_below(&r, TENANTS), NULL);
    }
}

static void work(struct world *w)
{
    struct scope s;
    const struct fiber_opts fo = { .name = "client", .class = RT_INGEST };
    scope_init(&s, NULL);
    for (unsigned i = 0; i < w->writers; i++)
        ASSERT(fiber_start(&s, &fo, writer_fiber, w) == OK);
    for (unsigned i = 0; i < w->readers; i++)
        ASSERT(fiber_start(&s, &fo, reader_fiber, w) == OK);
    if (w->delete_every_ns) ASSERT(fiber_start(&s, &fo, deleter_fiber, w) == OK);
    ASSERT(fiber_start(&s, &fo, nemesis_fiber, w) == OK);
    ASSERT(fiber_sleep(w->work_ns) == OK);
    w->stop = true;
    ASSERT(scope_join(&s) == OK);
    scope_deinit(&s);
}

/* -- what must be so in the end ------------------------------------------------------------------------------------------ */
/* Does every node take every other one for alive? Says who does not. */
static bool all_know_all(struct world *w, char *why, size_t n)
{
    static struct state st[NODES_MAX];
    nemesis_keep_on(w);
    for (unsigned i = 0; i < w->n; i++)
        if (ask_state(w, i, &st[i]) != OK) {
            snprintf(why, n, "node %u does not answer: %s", i, err_detail());
            return false;
        }
    for (unsigned i = 0; i < w->n; i++)
        for (unsigned k = 0; k < w->n; k++) {
            bool alive = false;
            for (uint32_t at = 0; at < st[i].n; at++)
                alive |= st[i].ids[at] == st[k].self && st[i].states[at] == MEMBER_ALIVE;
            if (!alive) {
                snprintf(why, n, "node %u does not take node %u for alive", i, k);
                return false;
            }
        }
    return true;
}

static bool all_acked(struct world *w, char *why, size_t n)
{
    while (!model_all_acked(&w->m)) {
        uint32_t i = model_begin(&w->m, &w->rnd, 1);
        unsigned node = (unsigned)prng_below(&w->rnd, w->n);
        err_t e = ask_append(w, node, i);
        note_sent(w, i, e);
        model_end(&w->m, i, e == OK);
        if (e == OK) continue;
        snprintf(why, n, "node %u does not take a request: %s", node, err_detail());
        return false;
    }
    return true;
}

/* A request of its own to each node. */
static bool all_write(struct world *w, char *why, size_t n)
{
    for (unsigned node = 0; node < w->n; node++) {
        uint32_t i = model_begin(&w->m, &w->rnd, 0);
        err_t e = ask_append(w, node, i);
        note_sent(w, i, e);
        model_end(&w->m, i, e == OK);
        if (e == OK) continue;
        snprintf(why, n, "node %u does not take a request: %s", node, err_detail());
        return false;
    }
    return true;
}

/* Rows of a tenant with one copy go with the disk that has them: then its answers say that they lack something, and for good. */
static bool may_lack(const struct world *w, uint32_t tenant, unsigned but)
{
    return shape_is_single(&w->shape, tenant) && (but < w->n || w->wiped_clock);
}

static bool all_read(struct world *w, unsigned but, char *why, size_t n)
{
    for (unsigned node = 0; node < w->n; node++)
        for (uint32_t t = 0; t < TENANTS && node != but; t++) {
            enum told told = TOLD_WHOLE;
            if (!read_one(w, node, t, &told)) {
                snprintf(why, n, "node %u does not answer: %s", node, err_detail());
                return false;
            }
            if (told == TOLD_PARTIAL && !may_lack(w, t, but)) {
                snprintf(why, n, "node %u answers in part", node);
                return false;
            }
        }
    return true;
}

/* The first stream of which two living members do not cover the same. */
static bool same_covers(struct world *w, char *why, size_t n)
{
    static struct holding h[NODES_MAX];
    static struct state st[NODES_MAX];
    unsigned asked = 0;
    bool same = true;
    for (; asked < w->n && same; asked++) {
        same = ask_state(w, asked, &st[asked]) == OK;
        if (same && ask_holding(w, asked, &h[asked]) != OK) same = false;
        if (!same) snprintf(why, n, "node %u does not answer: %s", asked, err_detail());
        if (!same) break;
    }
    for (unsigned i = 0; same && i < w->n; i++)
        for (uint32_t s = 0; same && s < h[i].n; s++) {
            const struct stream *one = &h[i].streams[s];
            uint64_t hash = 0;
            int first = -1;
            for (unsigned k = 0; same && k < w->n; k++) {
                bool member = false;
                for (uint32_t at = 0; at < one->n; at++)
                    member |= one->members[at].u == st[k].self;
                if (!member) continue;
                struct cover c;
                cover_init(&c);
                cover_pick(&h[k].cover, &one->id, 1, &c);
                uint64_t has = cover_hash(&c);
                if (first >= 0 && has != hash) {
                    snprintf(why, n, "nodes %d and %u do not cover the same of a stream of %u", first, k, one->n);
                    same = false;
                }
                cover_deinit(&c);
                hash = has;
                first = (int)k;
            }
        }
    for (unsigned i = 0; i < asked; i++)
        cover_deinit(&h[i].cover);
    return same;
}

/* Every acked row of the tenant lies on as many nodes as it should, once on each (C4). */
static bool rows_everywhere(struct world *w, uint32_t tenant, char *why, size_t n) MAY_YIELD
{
    struct model *m = &w->m;
    uint8_t *copies = calloc(m->nrows + 1, 1);
    unsigned want = MIN(w->n, shape_replicas(&w->shape, tenant));
    bool answered = true;
    ASSERT(copies != NULL);
    for (unsigned node = 0; answered && node < w->n; node++) {
        struct answer a;
        answered = ask_read(w, node, tenant, true, &a) == OK;
        bool whole = answered && a.told != TOLD_PARTIAL; /* what rotted is found when it is read, at the latest */
        for (uint32_t i = 0; answered && i < m->nrows; i++)
            m->rows[i].seen = 0;
        for (uint32_t i = 0; whole && i < a.n; i++) {
            if (m->rows[a.rows[i]].seen++ && !deleting_of(w, a.rows[i], m->clock).doubled)
                wrong("C4: node %u has row %u of request %u twice", node, a.rows[i], m->rows[a.rows[i]].request);
            copies[a.rows[i]]++;
        }
        if (!answered) snprintf(why, n, "node %u does not answer: %s", node, err_detail());
        else if (!whole) snprintf(why, n, "node %u has not all: %.400s", node, a.why);
        if (answered) free(a.rows);
        answered = whole;
    }
    for (uint32_t i = 0; answered && i < m->nrows; i++) {
        const struct request *q = &m->requests[m->rows[i].request];
        const struct deleting_verdict d = deleting_of(w, i, m->clock);
        if (q->tenant == tenant && d.gone && copies[i]) wrong("C13: %u nodes have row %u of request %u, which was deleted", copies[i], i, m->rows[i].request);
        if (q->tenant == tenant && !d.doubled && copies[i] % want) wrong("C15: %u nodes have row %u of request %u", copies[i], i, m->rows[i].request);
        if (d.may_go || d.doubled) continue;
        if (q->tenant == tenant && q->outcome == ACKED && copies[i] != want)
            wrong("C4: all members cover the same, and %u have row %u of request %u, not %u", copies[i], i, m->rows[i].request, want);
    }
    free(copies);
    return answered;
}

static bool all_have_all(struct world *w, char *why, size_t n)
{
    if (w->wiped_clock || w->moves) return true;
    for (uint32_t t = 0; t < TENANTS; t++)
        if (!rows_everywhere(w, t, why, n)) return false;
    return true;
}

static bool all_mended(struct world *w, char *why, size_t n)
{
    struct state st;
    for (unsigned i = 0; i < w->n; i++) {
        bool answered = ask_state(w, i, &st) == OK;
        if (answered && st.lost == 0) continue;
        snprintf(why, n, "node %u %s", i, answered ? "has not got again what it lost" : "does not answer");
        return false;
    }
    return true;
}

/* Until it is so; the time is shared by all that must be. */
static int64_t must_be(struct world *w, const char *what, int64_t since, int64_t within, bool (*so)(struct world *w, char *why, size_t n)) MAY_YIELD
{
    char why[1024] = "";
    while (!so(w, why, sizeof why)) {
        if (now() - since > within) wrong("%s: not %.0f s after faults stopped: %s", what, (double)within / 1e9, why);
        ASSERT(fiber_sleep(200 * NS_PER_MS) == OK);
    }
    return now() - since;
}

static bool all_read_whole(struct world *w, char *why, size_t n)
{
    return all_read(w, UINT32_MAX, why, n);
}

static void all_lose_power(struct world *w, unsigned but) MAY_YIELD
{
    for (unsigned i = 0; i < w->n; i++)
        if (i != but) sim_host_crash(w->nodes[i].host);
    ASSERT(fiber_sleep(50 * NS_PER_MS) == OK);
    w->all_bad_until = now() + GRACE_S * NS_PER_S;
    for (unsigned i = 0; i < w->n; i++)
        if (i != but) nemesis_start(w, i);
}

static unsigned lose_one(struct world *w)
{
    char why[1024] = "";
    unsigned v = (unsigned)prng_below(&w->rnd, w->n);
    sim_host_crash(w->nodes[v].host);
    w->bad_until[v] = INT64_MAX;
    w->rep->last_losses++;
    int64_t since = now();
    while (!all_read(w, v, why, sizeof why)) {
        if (now() - since > LIVE_S * NS_PER_S) wrong("C1: %d s after the loss of node %u: %s", LIVE_S, v, why);
        ASSERT(fiber_sleep(200 * NS_PER_MS) == OK);
    }
    if (!prng_chance(&w->rnd, 0.3)) return v;
    all_lose_power(w, v); /* what was acked was synced on those that are left */
    since = now();
    while (!all_read(w, v, why, sizeof why)) {
        if (now() - since > LIVE_S * NS_PER_S) wrong("C1: %d s after the loss of node %u and of power: %s", LIVE_S, v, why);
        ASSERT(fiber_sleep(200 * NS_PER_MS) == OK);
    }
    return v;
}

/* -- what is sent again (C16) ---------------------------------------------------------------------------------------------- */
/* How often each row is there, as the node says. */
static bool count_rows(struct world *w, unsigned node, uint8_t *counts) MAY_YIELD
{
    memset(counts, 0, w->m.nrows);
    for (uint32_t t = 0; t < TENANTS; t++) {
        struct answer a;
        if (may_lack(w, t, UINT32_MAX)) continue;
        if (ask_read(w, node, t, false, &a) != OK) return false;
        for (uint32_t i = 0; i < a.n; i++)
            if (counts[a.rows[i]] < UINT8_MAX) counts[a.rows[i]]++;
        free(a.rows);
        if (a.told == TOLD_PARTIAL) return false;
    }
    return true;
}

/* Acked, and remembered: no deletion of its tenant made nodes forget what came before. */
static bool is_remembered(const struct world *w, uint32_t request)
{
    const struct request *q = &w->m.requests[request];
    if (may_lack(w, q->tenant, UINT32_MAX)) return false;
    for (uint32_t i = 0; i < w->ndeletings; i++)
        if (w->deletings[i].tenant == q->tenant) return false;
    return q->outcome == ACKED && q->busy == 0 && rt_wall().ns - q->acked_ns < 9 * 60 * NS_PER_S;
}

static void send_one_again(struct world *w, uint32_t request, unsigned but) MAY_YIELD
{
    int64_t since = now();
    for (;;) {
        unsigned node = (unsigned)prng_below(&w->rnd, w->n);
        if (node == but) continue;
        model_again(&w->m, request);
        err_t e = ask_append(w, node, request);
        if (w->verbose) fprintf(stderr, "%.3f once more %u to %u: %s %s\n", (double)now() / 1e9, request, node, err_name(e), e == OK ? "" : err_detail());
        note_sent(w, request, e);
        model_end(&w->m, request, e == OK);
        if (e == OK) return;
        if (now() - since > LIVE_S * NS_PER_S) wrong("C16: request %u is not acked once more by node %u: %s", request, node, err_detail());
        ASSERT(fiber_sleep(200 * NS_PER_MS) == OK);
    }
}

/* Nodes are well. What clients send once more now is acked, and no row is there more often than before. */
static void send_again(struct world *w, unsigned but) MAY_YIELD
{
    const struct model *m = &w->m;
    uint8_t *before = calloc(m->nrows + 1, 1), *after = calloc(m->nrows + 1, 1);
    unsigned asked = but == 0 ? 1 : 0;
    int64_t since = now();
    ASSERT(before != NULL && after != NULL);
    while (!count_rows(w, asked, before)) {
        if (now() - since > LIVE_S * NS_PER_S) wrong("C16: node %u does not answer as a whole: %s", asked, err_detail());
        ASSERT(fiber_sleep(200 * NS_PER_MS) == OK);
    }
    uint32_t n = m->nrequests, every = 1 + n / AGAIN_REQUESTS;
    for (uint32_t i = (uint32_t)prng_below(&w->rnd, every); i < n; i += every)
        if (is_remembered(w, i)) {
            send_one_again(w, i, but);
            w->rep->again++;
        }
    for (unsigned node = 0; node < w->n; node++) {
        if (node == but) continue;
        while (!count_rows(w, node, after))
            ASSERT(fiber_sleep(200 * NS_PER_MS) == OK);
        for (uint32_t i = 0; i < m->nrows; i++)
            if (after[i] > before[i] && is_remembered(w, m->rows[i].request))
                wrong("C16: node %u: row %u of request %u was there %u times, and is %u times since it was sent again", node, i, m->rows[i].request, before[i], after[i]);
    }
    free(before);
    free(after);
}

/* The node that is lost is replaced by one with an empty disk: rows are placed anew, and it knows nothing of what was before. */
static void replace_one(struct world *w, unsigned v) MAY_YIELD
{
    w->wiped_clock = ++w->m.clock;
    node_wipe(&w->nodes[v]);
    nemesis_start(w, v);
    w->bad_until[v] = now() + GRACE_S * NS_PER_S;
    must_be(w, "C9", now(), LIVE_S * NS_PER_S, all_know_all);
    ASSERT(fiber_sleep(NS_PER_S) == OK);
    send_again(w, UINT32_MAX);
    if (!prng_chance(&w->rnd, 0.5)) return;
    all_lose_power(w, UINT32_MAX); /* nobody remembers by what rows were placed, but what is written down */
    must_be(w, "C9", now(), LIVE_S * NS_PER_S, all_know_all);
    ASSERT(fiber_sleep(NS_PER_S) == OK);
    send_again(w, UINT32_MAX);
}

/* Those that are left end well (C10), one after the other. */
static void stop_all(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        const struct node *n = &w->nodes[i];
        if (!sim_host_on(n->host)) continue;
        if (ask_stop(w, i) != OK) wrong("C10: node %u does not take that it must stop: %s", i, err_detail());
        for (unsigned k = 0; sim_host_on(n->host); k++) {
            if (k == 10 * LIVE_S) wrong("C10: node %u does not end in %d s%s", i, LIVE_S, n->stopped ? ": some fiber of it is left" : "");
            ASSERT(fiber_sleep(100 * NS_PER_MS) == OK);
        }
        if (!n->stopped) wrong("C10: node %u ends in another way than it was told to", i);
    }
}

/* -- from the beginning to the end ---------------------------------------------------------------------------------------- */
static void make_nodes(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        struct node *n = &w->nodes[i];
        *n = (struct node){ .index = i, .cores = 1 + (unsigned)prng_below(&w->rnd, 2), .shape = &w->shape, .m = &w->m,
                            .disk = sim_disk_new(1 << 30), .kv = kv_mem_new(), .dir = "/data0", .on_ack = judge_ack };
        n->host = sim_host_new(n->disk, NULL);
        char addr[SIM_ADDR_MAX];
        sim_host_addr(n->host, addr);
        if (w->n > 1) {
            size_t at = strlen(w->shape.seeds);
            snprintf(w->shape.seeds + at, sizeof w->shape.seeds - at, "%s%s:%d", at ? "," : "", addr, NODE_GOSSIP);
        }
        w->peers[i] = rpc_peer_new(&(struct rpc_peer_opts){ .addr = addr, .port = NODE_RPC, .hello = { "sim", 1, 1, CLUSTER_CALLS_VERSION, CLUSTER_CALLS_VERSION } });
    }
    node_init(w->nodes);
}

err_t script_main(void *arg)
{
    struct world *w = arg;
    judge_init(w);
    make_nodes(w);
    for (unsigned i = 0; i < w->n; i++) {
        nap(&w->rnd, NS_PER_S);
        nemesis_start(w, i);
    }
    must_be(w, "start", now(), JOIN_S * NS_PER_S, all_know_all);
    work(w);
    nemesis_heal(w);
    int64_t since = now();
    for (unsigned i = 0; i < w->n; i++)
        w->bad_until[i] = MIN(w->bad_until[i], since + GRACE_S * NS_PER_S);
    w->all_bad_until = MIN(w->all_bad_until, since + GRACE_S * NS_PER_S);
    int64_t members = must_be(w, "C9", since, LIVE_S * NS_PER_S, all_know_all);
    w->rep->members_max_ns = MAX(w->rep->members_max_ns, members);
    must_be(w, "C12: writes", since, LIVE_S * NS_PER_S, all_acked);
    must_be(w, "C12: writes to each", since, LIVE_S * NS_PER_S, all_write);
    must_be(w, "C12: reads", since, LIVE_S * NS_PER_S, all_read_whole);
    int64_t live = must_be(w, "C12: repair", since, LIVE_S * NS_PER_S, same_covers);
    w->rep->live_max_ns = MAX(w->rep->live_max_ns, live);
    /* A stream whose only member lost its disk: nodes that never heard of that one wait for it as long as for any that is dead. */
    if (!may_lack(w, SINGLE_TENANT, UINT32_MAX)) must_be(w, "C15", since, LIVE_S * NS_PER_S, all_deleted);
    must_be(w, "C12: mended", since, LIVE_S * NS_PER_S, all_mended);
    must_be(w, "C4", since, LIVE_S * NS_PER_S, all_have_all);
    ASSERT(fiber_sleep((GRACE_S + 1) * NS_PER_S) == OK);
    must_be(w, "C1", now(), NS_PER_S, all_read_whole);
    send_again(w, UINT32_MAX);
    if (w->n >= 3 && !w->wiped_clock) replace_one(w, lose_one(w));
    stop_all(w);
    return OK;
}
