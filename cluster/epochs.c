#include "cluster/epochs.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "cluster/cluster_int.h"
#include "cluster/fanout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ASK_MS = 1000, ANSWER_MAX = 1 << 20, WHY_MAX = 512 };

/* What is covered here of a node's names from an epoch on. */
static err_t names_of(struct store *s, node_id node, uint64_t epoch, struct cover *out) MAY_YIELD
{
    struct cover all;
    struct cover_iter it = { 0 };
    struct cover_run r;
    uint32_t n = 0;
    cover_init(&all);
    err_t e = store_cover(s, NULL, 0, &all);
    while (e == OK && n < EPOCHS_RUNS_MAX && cover_next(&all, &it, &r)) {
        if (r.origin.u != node.u || r.epoch < epoch) continue;
        cover_add_run(out, &r);
        n++;
    }
    cover_deinit(&all);
    return e;
}

err_t epochs_on_ask(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    const struct cluster *c = ctx;
    struct bytes_in in = bytes_in_of(rq->body);
    node_id node = { bytes_in_u64(&in) };
    uint64_t epoch = bytes_in_varint(&in);
    struct cover names;
    if (in.bad) return err_set(ERR_CORRUPT, "a question about epochs is malformed");
    cover_init(&names);
    err_t e = names_of(c->o.store, node, epoch, &names);
    if (e == OK) cover_put(&names, answer);
    cover_deinit(&names);
    return e == OK ? buf_check(answer) : e;
}

/* Is one of them of this epoch or a later one, and was not given in this life? Then the error's detail says what to do. */
static bool are_ours(const struct cluster *c, const struct cover *names, const struct cover *given, const char *who)
{
    struct cover_iter it = { 0 };
    struct cover_run r;
    uint64_t self = c->self.u, epoch = store_epoch(c->o.store);
    struct stream own;
    stream_make(&c->self, 1, &own); /* nobody else's are written to it */
    while (cover_next(names, &it, &r)) {
        struct cover one;
        if (r.origin.u != self || r.epoch < epoch || (given && r.stream == own.id)) continue;
        cover_init(&one);
        cover_add_run(&one, &r);
        bool ours = given && cover_holds(given, &one);
        cover_deinit(&one);
        if (ours) continue;
        err_t e = err_set(ERR_CORRUPT, "this data directory, or its catalog, is an older state of node %016" PRIx64 ": it would begin its life %" PRIu64
                       ", of which %s has rows already (life %" PRIu64 "). Put the newest state back, or start with an empty directory: other nodes fill it",
                       self, epoch, who, r.epoch);
        (void)e;
        return true;
    }
    return false;
}

/* -- at the start ------------------------------------------------------------------------------------------ */

struct checking {
    struct cluster *c;
    struct buf question;
    bool found;
    char why[WHY_MAX];
};

static struct buf question_of(const struct cluster *c)
{
    struct buf b;
    buf_init(&b, 64, NULL);
    bytes_out_u64(&b, c->self.u);
    buf_varint(&b, store_epoch(c->o.store));
    return b;
}

/* An answer that cannot be read says nothing. */
static bool says_ours(struct cluster *c, node_id from, const struct buf *answer, const struct cover *given)
{
    struct cover names;
    char who[32];
    struct bytes_in in = bytes_in_of(buf_view(answer));
    snprintf(who, sizeof who, "node %016" PRIx64, from.u);
    cover_init(&names);
    bool ours = cover_get(&in, EPOCHS_RUNS_MAX, &names) == OK && are_ours(c, &names, given, who);
    cover_deinit(&names);
    return ours;
}

/* Over a connection of its own: there is no map yet. Who does not answer is asked again when it comes to live. */
static void check_one(void *ctx, uint32_t i) MAY_YIELD
{
    struct checking *k = ctx;
    const struct member *m = &k->c->known[i];
    char host[IO_ADDR_NAME_MAX];
    struct buf answer;
    const struct rpc_peer_opts o = { .addr = host, .port = io_addr_port(&m->meta.rpc), .hello = cluster_hello(k->c), .expect_node = m->id.u, .tls = k->c->o.tls };
    io_addr_host(&m->meta.rpc, host, sizeof host);
    struct rpc_peer *peer = rpc_peer_new(&o);
    buf_init(&answer, ANSWER_MAX, NULL);
    const struct rpc_call call = { .method = METHOD_EPOCHS, .class = RT_MEMBERSHIP, .body = buf_view(&k->question), .answer_max = ANSWER_MAX,
                                   .deadline = mono_add(rt_now(), (int64_t)ASK_MS * NS_PER_MS) };
    if (rpc_call(peer, &call, &answer) == OK && says_ours(k->c, m->id, &answer, NULL)) {
        k->found = true;
        snprintf(k->why, sizeof k->why, "%s", err_detail());
    }
    buf_deinit(&answer);
    rpc_peer_free(peer);
}

static uint64_t last_epoch(const struct cover *names)
{
    struct cover_iter it = { 0 };
    struct cover_run r;
    uint64_t last = 0;
    while (cover_next(names, &it, &r))
        last = MAX(last, r.epoch);
    return last;
}

/* One look at what is here; *again: there was something, and the epoch is past it now. */
static err_t look_here(struct cluster *c, bool *again) MAY_YIELD
{
    struct cover names;
    *again = false;
    cover_init(&names);
    err_t e = names_of(c->o.store, c->self, store_epoch(c->o.store), &names);
    if (e == OK && are_ours(c, &names, NULL, "its own log")) {
        e = ERR_CORRUPT;
        if (c->nknown == 0) { /* nobody else has more of it than what is here */
            log_error("cluster.epochs", "error=%s effect=\"it goes on with a later life\"", err_detail());
            e = store_epoch_raise(c->o.store, last_epoch(&names));
            *again = true;
        }
    }
    cover_deinit(&names);
    return e;
}

static err_t check_here(struct cluster *c) MAY_YIELD
{
    for (bool again = true; again;) TRY(look_here(c, &again));
    return OK;
}

err_t epochs_check(struct cluster *c)
{
    TRY(check_here(c));
    struct checking k = { .c = c, .question = question_of(c) };
    const struct fanout f = { .name = "epochs", .class = RT_MEMBERSHIP, .n = MIN(c->nknown, (uint32_t)EPOCHS_ASK_MAX), .ctx = &k, .one = check_one };
    err_t e = f.n ? fanout_run(&f) : OK;
    buf_deinit(&k.question);
    TRY(e);
    return k.found ? err_set(ERR_CORRUPT, "%s", k.why) : OK;
}

/* -- later ------------------------------------------------------------------------------------------------- */

void epochs_ask(struct cluster *c, node_id id)
{
    struct buf answer, question = question_of(c);
    struct cover given;
    buf_init(&answer, ANSWER_MAX, NULL);
    cover_init(&given);
    const struct rpc_call call = { .method = METHOD_EPOCHS, .class = RT_MEMBERSHIP, .body = buf_view(&question), .answer_max = ANSWER_MAX,
                                   .deadline = mono_add(rt_now(), (int64_t)ASK_MS * NS_PER_MS) };
    err_t e = cluster_call(c, id, &call, &answer);
    if (e == OK) e = store_names_given(c->o.store, &given);
    if (e == OK && says_ours(c, id, &answer, &given)) {
        log_error("cluster.epochs", "error=%s", err_detail());
        if (c->o.on_stop) c->o.on_stop(c->o.ctx, err_detail());
    }
    cover_deinit(&given);
    buf_deinit(&answer);
    buf_deinit(&question);
}
