/* Nodes tell each other of deletions; a fiber applies what is to be applied here, one after the other. */
#include "base/core/assert.h"
#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/deletions_int.h"
#include "cluster/deletions_wire.h"
#include "cluster/docs.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ASK_MS = 5000, MET_MS = 20, GIVEN_BYTES = 64 << 20, ID_RANDOM_BITS = 12 };

/* -- METHOD_DELETIONS ------------------------------------------------------------------------------------------------ */
static void put_applied(const struct deletion_set *set, struct buf *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n; i++)
        n += set->v[i]->applied;
    buf_varint(out, n);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct deletion *x = set->v[i];
        if (x->applied) deletion_told_put(&(struct deletion_told){ x->id, x->n, x->nodes }, out);
    }
}

/* The record of one K as it lies in the catalog, without what is ours alone. */
static err_t give_record(struct cluster *c, uint64_t id, node_id node, struct buf *out)
{
    struct kv *kv = store_kv(c->o.store);
    struct arena a;
    struct str value;
    arena_init(&a, NULL);
    err_t e = kv->get(kv, deletion_record_key(&a, id, node), &a, &value);
    if (e == OK) deletions_record_put(id, node, str_sub(value, DELETION_RECORD_HEAD, value.n), out);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e == ERR_NOT_FOUND ? OK : e;
}

static err_t answer_to(struct cluster *c, const struct deletions_question *q, struct buf *answer) MAY_YIELD
{
    struct deletion_set *set = deletions_set(c);
    bytes_out_u64(answer, set->digest);
    if (set->digest == q->digest) buf_varint(answer, 0);
    else put_applied(set, answer);
    deletion_set_put(set);
    for (uint32_t i = 0; i < q->n && answer->n < GIVEN_BYTES; i++)
        TRY(give_record(c, q->v[i].id, q->v[i].node, answer));
    return buf_check(answer);
}

err_t deletions_on_ask(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct bytes_in in = bytes_in_of(rq->body);
    struct deletions_question *q = malloc(sizeof *q);
    ASSERT(q != NULL);
    err_t e = deletions_question_get(&in, q);
    if (e == OK) e = answer_to(ctx, q, answer);
    free(q);
    return e;
}

/* -- asking ------------------------------------------------------------------------------------------------------------ */
struct theirs {
    struct arena a;
    struct buf answer;
    struct deletions_told told;
};

static void theirs_deinit(struct theirs *t)
{
    struct err_record why = *err_record();
    buf_deinit(&t->answer);
    arena_deinit(&t->a);
    *err_record() = why;
}

static err_t ask(struct deletions *d, node_id with, const struct deletions_question *q, struct theirs *t)
{
    struct buf body;
    *t = (struct theirs){ 0 };
    arena_init(&t->a, &d->c->memory);
    buf_init(&t->answer, CALL_BYTES_MAX, &d->c->memory);
    buf_init(&body, (size_t)DELETIONS_WANTED_MAX * 16 + 32, NULL);
    deletions_question_put(q, &body);
    const struct rpc_call call = { .method = METHOD_DELETIONS, .class = RT_REPLICATION, .body = buf_view(&body), .answer_max = CALL_BYTES_MAX,
                                   .deadline = mono_add(rt_now(), (int64_t)ASK_MS * NS_PER_MS) };
    err_t e = cluster_call(d->c, with, &call, &t->answer);
    struct bytes_in in = bytes_in_of(buf_view(&t->answer));
    if (e == OK) e = deletions_told_get(&in, &t->a, &t->told);
    struct err_record why = *err_record();
    buf_deinit(&body);
    *err_record() = why;
    return e;
}

/* -- meeting ------------------------------------------------------------------------------------------------------------- */
/* docs_fetch or docs_give. */
typedef err_t pass_fn(struct cluster *c, node_id with, enum doc_kind kind, struct str key) MAY_YIELD;

static err_t pass_doc(struct deletions *d, node_id with, uint64_t id, pass_fn *pass)
{
    struct arena a;
    arena_init(&a, NULL);
    err_t e = pass(d->c, with, DOC_DELETE, deletion_doc_key(id, &a));
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

static const struct deletion_told *told_find(const struct deletions_told *t, uint64_t id)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->v[i].id == id) return &t->v[i];
    return NULL;
}

/* Documents that one of both knows not, or not that they are over. */
static err_t exchange_docs(struct deletions *d, node_id with, const struct deletions_told *t)
{
    struct deletion_set *set = deletion_set_get(d->set);
    err_t e = OK;
    for (uint32_t i = 0; e == OK && i < t->n; i++) {
        if (deletion_is_over(set, t->v[i].id)) e = pass_doc(d, with, t->v[i].id, docs_give);
        else if (!deletion_find(set, t->v[i].id)) e = pass_doc(d, with, t->v[i].id, docs_fetch);
    }
    for (uint32_t i = 0; e == OK && i < set->n; i++) {
        uint64_t id = set->v[i]->id;
        if (!set->v[i]->applied || told_find(t, id)) continue;
        e = pass_doc(d, with, id, docs_fetch); /* it may be over there */
        if (e == OK && deletion_find(d->set, id)) e = pass_doc(d, with, id, docs_give);
    }
    deletion_set_put(set);
    return e;
}

/* *got: those that were news. */
static err_t take_records(struct deletions *d, struct bytes_in *in, uint32_t *got)
{
    while (bytes_in_left(in) > 0) {
        uint64_t id;
        node_id node;
        struct cover k;
        cover_init(&k);
        err_t e = deletions_record_get(in, &id, &node, &k);
        const struct deletion *x = e == OK ? deletion_find(d->set, id) : NULL;
        bool knew = x && deletion_knows(x, node);
        if (e == OK) e = deletions_learn(d, id, node, &k);
        struct err_record why = *err_record();
        cover_deinit(&k);
        *err_record() = why;
        TRY(e);
        x = deletion_find(d->set, id);
        *got += x && !knew && deletion_knows(x, node);
    }
    return OK;
}

static void list_wanted(const struct deletions *d, const struct deletions_told *t, struct deletions_question *q)
{
    q->n = 0;
    q->digest = d->set->digest;
    for (uint32_t i = 0; i < t->n; i++) {
        const struct deletion *x = deletion_find(d->set, t->v[i].id);
        for (uint32_t k = 0; x && k < t->v[i].n && q->n < DELETIONS_WANTED_MAX; k++) {
            if (deletion_knows(x, t->v[i].nodes[k]) || t->v[i].nodes[k].u == d->c->self.u) continue;
            q->v[q->n].id = x->id;
            q->v[q->n++].node = t->v[i].nodes[k];
        }
    }
}

/* While something comes. */
static err_t fetch_records(struct deletions *d, node_id with, const struct deletions_told *t)
{
    struct deletions_question *q = malloc(sizeof *q);
    uint32_t got = 1;
    err_t e = OK;
    ASSERT(q != NULL);
    for (list_wanted(d, t, q); e == OK && q->n > 0 && got > 0; list_wanted(d, t, q)) {
        struct theirs more;
        got = 0;
        e = ask(d, with, q, &more);
        if (e == OK) e = take_records(d, &more.told.records, &got);
        theirs_deinit(&more);
    }
    free(q);
    return e;
}

/* May we take what they give? Those that are over do not count. */
static bool is_good(const struct deletions *d, const struct deletions_told *t)
{
    const struct deletion_set *set = d->set;
    for (uint32_t i = 0; i < t->n; i++) {
        const struct deletion *x = deletion_find(set, t->v[i].id);
        if (deletion_is_over(set, t->v[i].id)) continue;
        if (!x || !x->applied) return false;
        for (uint32_t k = 0; k < t->v[i].n; k++)
            if (!deletion_knows(x, t->v[i].nodes[k])) return false;
    }
    for (uint32_t i = 0; i < set->n; i++)
        if (set->v[i]->applied && !told_find(t, set->v[i]->id)) return false;
    return true;
}

/* Learns and applies, and says who of both may give the other one something. */
static err_t settle_with(struct deletions *d, node_id with, const struct deletions_told *t) MAY_YIELD
{
    TRY(exchange_docs(d, with, t));
    TRY(fetch_records(d, with, t));
    TRY(deletions_apply_all(d));
    if (is_good(d, t)) deletions_good(d, t->digest, d->set->digest);
    return OK;
}

static err_t ask_first(struct deletions *d, node_id with, struct theirs *t) MAY_YIELD
{
    struct deletions_question *q = calloc(1, sizeof *q);
    ASSERT(q != NULL);
    q->digest = d->set->digest;
    err_t e = ask(d, with, q, t);
    free(q);
    return e;
}

static err_t meet_locked(struct deletions *d, node_id with)
{
    struct theirs t;
    err_t e = ask_first(d, with, &t);
    if (e == OK && t.told.digest != d->set->digest) {
        e = settle_with(d, with, &t.told);
        d->met.with = with;
        d->met.theirs = t.told.digest;
        d->met.ours = d->set->digest;
        d->met.at = rt_now();
    }
    theirs_deinit(&t);
    return e;
}

/* A moment ago they were different still: many requests meet that at once. */
static bool met_just_now(const struct deletions *d, node_id with, uint64_t theirs)
{
    mono_ns until = mono_add(d->met.at, (int64_t)MET_MS * NS_PER_MS);
    return d->met.with.u == with.u && d->met.theirs == theirs && d->met.ours == d->set->digest && rt_now().ns < until.ns;
}

struct meet_call {
    struct deletions *d;
    node_id with;
    uint64_t theirs;
};

static err_t meet_here(void *arg)
{
    const struct meet_call *m = arg;
    TRY(sem_take(&m->d->meeting, 1));
    err_t e = m->theirs && met_just_now(m->d, m->with, m->theirs) ? OK : meet_locked(m->d, m->with);
    sem_give(&m->d->meeting, 1);
    return e;
}

err_t deletions_meet(struct cluster *c, node_id with, uint64_t digest)
{
    struct meet_call m = { c->deletions, with, digest };
    return rt_call(0, RT_REPLICATION, meet_here, &m);
}

/* -- applying ---------------------------------------------------------------------------------------------------------- */
struct applying {
    struct deletions *d;
    uint64_t id, local, generation;
    struct cover k;
    bool tried; /* the catalog was asked to have it */
};

static err_t record(void *ctx, const struct delete_entry *entry, const struct cover *covered, struct arena *a, struct kv_op *out)
{
    struct applying *x = ctx;
    struct buf value;
    cover_join(&x->k, covered);
    buf_init(&value, CALL_BYTES_MAX, NULL);
    deletion_record_put(entry->id, entry->generation, &x->k, &value);
    err_t e = buf_check(&value);
    out->key = deletion_record_key(a, x->id, x->d->c->self);
    out->value = arena_str(a, buf_view(&value));
    buf_deinit(&value);
    if (e == OK) e = arena_check(a);
    x->local = entry->id;
    x->generation = entry->generation;
    x->tried = e == OK;
    return e;
}

static err_t apply_shut(struct applying *x, const struct deletion *of)
{
    struct deletions *d = x->d;
    TRY(store_names_given(d->c->o.store, &x->k));
    err_t e = d->hooks.begin(d->hooks.ctx, of->id, of->doc, record, x);
    if (e == OK) deletions_applied(d, of->id, x->local, x->generation, &x->k);
    if (x->tried) atomic_store(&d->doubt, e != OK);
    return e;
}

static err_t apply(struct deletions *d, const struct deletion *of)
{
    struct applying x = { .d = d, .id = of->id };
    TRY(store_seal(d->c->o.store)); /* what is left for the seal behind the gate is little */
    cover_init(&x.k);
    deletions_shut(d);
    err_t e = apply_shut(&x, of);
    struct err_record why = *err_record();
    deletions_unshut(d);
    cover_deinit(&x.k);
    if (e == OK) {
        metric_add(M_DELETIONS_APPLIED, 1);
        log_info("deletion.applied", "id=%016" PRIx64, of->id);
        d->hooks.begun(d->hooks.ctx);
    }
    *err_record() = why;
    return e;
}

static void apply_each(struct deletions *d)
{
    struct deletion_set *set = deletion_set_get(d->set);
    for (uint32_t i = 0; i < set->n && d->hooked && !d->c->closing; i++) {
        const struct deletion *now = deletion_find(d->set, set->v[i]->id);
        if (!now || now->applied) continue;
        d->hook_runs = true;
        if (apply(d, set->v[i]) != OK) log_warn("deletion.apply", "id=%016" PRIx64 " error=%s effect=\"tried again\"", set->v[i]->id, err_detail());
        d->hook_runs = false;
    }
    deletion_set_put(set);
}

static bool any_left(const struct deletions *d)
{
    for (uint32_t i = 0; i < d->set->n; i++)
        if (!d->set->v[i]->applied) return true;
    return false;
}

err_t deletions_apply_all(struct deletions *d)
{
    uint64_t end = d->tries + 2; /* the one that runs may have passed by the newest */
    while (any_left(d) && d->tries < end) {
        if (d->c->closing) return err_set(ERR_UNAVAILABLE, "the node is stopping");
        event_reset(&d->rested);
        event_signal(&d->wake);
        TRY(event_wait(&d->rested));
    }
    return OK;
}

/* Those who were not heard of lately are asked, while there is anything to say. */
static void meet_all(struct deletions *d)
{
    struct map *map = cluster_map(d->c);
    for (uint32_t i = 0; i < map->n && !d->c->closing && d->set->n > 0; i++) {
        if (map->v[i].id.u == d->c->self.u || !member_is_live(&map->v[i])) continue;
        if (deletions_meet(d->c, map->v[i].id, 0) != OK) log_info("deletion.meet", "with=%016" PRIx64 " error=%s", map->v[i].id.u, err_detail());
    }
    map_put(map);
}

static void round_over(struct deletions *d)
{
    meet_all(d);
    if (deletions_look(d) != OK || deletions_retire(d) != OK) log_warn("deletion.round", "error=%s", err_detail());
}

/* Applying waits for nobody else; the rounds of talk are another fiber's. */
static void apply_fiber(void *arg)
{
    struct deletions *d = arg;
    while (!d->c->closing) {
        event_reset(&d->wake);
        apply_each(d);
        d->tries++;
        event_signal(&d->rested);
        if (event_wait_until(&d->wake, mono_add(rt_now(), (int64_t)DELETIONS_EVERY_MS * NS_PER_MS)) == ERR_CANCELED) break;
    }
    event_signal(&d->rested);
}

static void talk_fiber(void *arg)
{
    struct deletions *d = arg;
    while (!d->c->closing) {
        if (d->set->n > 0) round_over(d);
        if (fiber_sleep((int64_t)DELETIONS_EVERY_MS * NS_PER_MS) != OK) return;
    }
}

err_t deletions_start(struct deletions *d, struct scope *scope)
{
    const struct fiber_opts apply_opts = { .name = "delete", .class = RT_MAINTENANCE }, talk_opts = { .name = "delete.talk", .class = RT_REPLICATION };
    TRY(fiber_start(scope, &apply_opts, apply_fiber, d));
    return fiber_start(scope, &talk_opts, talk_fiber, d);
}

/* -- for the floors above ---------------------------------------------------------------------------------------------- */
void deletions_follow(struct cluster *c, const struct deletion_hooks *h)
{
    struct deletions *d = c->deletions;
    ASSERT(rt_core() == 0);
    d->hooks = *h;
    d->hooked = true;
    event_signal(&d->wake);
}

void deletions_follow_end(struct cluster *c)
{
    struct deletions *d = c->deletions;
    ASSERT(rt_core() == 0);
    d->hooked = false;
    while (d->hook_runs && fiber_sleep(NS_PER_MS) == OK) {}
    deletions_shut(d); /* rows of late requests are cut inside the gate */
    deletions_unshut(d);
}

struct begin_call {
    struct cluster *c;
    struct str doc;
    uint64_t id;
};

/* Milliseconds and some bits of chance: less than 2^53, since the numbers go through JSON. */
static err_t begin_here(void *arg)
{
    struct begin_call *b = arg;
    struct deletions *d = b->c->deletions;
    struct arena a;
    if (d->set->n >= DELETIONS_MAX) {
        metric_add(M_DELETES_REFUSED, 1);
        return err_set(ERR_LIMIT, "%d deletions wait for nodes that did not make them yet: nodes that will not be back can be forgotten", DELETIONS_MAX);
    }
    arena_init(&a, NULL);
    b->id = ((uint64_t)(rt_wall().ns / NS_PER_MS) << ID_RANDOM_BITS) | (rt_random() & ((1u << ID_RANDOM_BITS) - 1));
    err_t e = docs_put(b->c, DOC_DELETE, deletion_doc_key(b->id, &a), (struct doc_version){ 0 }, b->doc, NULL);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t deletions_begin(struct cluster *c, struct str doc, uint64_t *id)
{
    struct begin_call b = { .c = c, .doc = doc };
    if (doc.n > DELETE_DOC_MAX) return err_set(ERR_TOO_LARGE, "a deletion of %zu bytes, at most %d", doc.n, DELETE_DOC_MAX);
    err_t e = rt_call(0, RT_REPLICATION, begin_here, &b);
    *id = b.id;
    return e;
}
