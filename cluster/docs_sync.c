/* Comparing the documents of nodes, and fetching what is different. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/docs_int.h"

#include <inttypes.h>
#include <stdlib.h>

enum { DIGEST_MS = 5000, SUMS = DOC_KINDS * DOC_BUCKETS, NAME_BYTES = DOC_KEY_MAX + 16, LIST_BYTES_MAX = DOCS_MAX * NAME_BYTES };

static void sum_up(const struct docs *d, uint64_t *sums)
{
    for (uint32_t i = 0; i < d->n; i++)
        if (!doc_is_over(d->v[i])) sums[(uint32_t)d->v[i]->kind * DOC_BUCKETS + doc_bucket(d->v[i])] += d->v[i]->hash;
}

/* -- the side that is asked ------------------------------------------------------------------------------------------- */
struct digest_call {
    struct docs *d;
    const uint64_t *theirs; /* [SUMS] */
    struct buf *answer;
};

static err_t digest_here(void *arg)
{
    const struct digest_call *g = arg;
    uint64_t ours[SUMS] = { 0 };
    struct buf list;
    uint32_t n = 0;
    sum_up(g->d, ours);
    buf_init(&list, LIST_BYTES_MAX, NULL);
    for (uint32_t i = 0; i < g->d->n; i++) {
        const struct doc_entry *e = g->d->v[i];
        uint32_t at = (uint32_t)e->kind * DOC_BUCKETS + doc_bucket(e);
        if (ours[at] == g->theirs[at] || doc_is_over(e)) continue;
        doc_put_name(&list, e->kind, e->key);
        bytes_out_u64(&list, e->hash);
        n++;
    }
    buf_varint(g->answer, n);
    buf_str(g->answer, buf_view(&list));
    err_t err = buf_check(&list);
    buf_deinit(&list);
    return err == OK ? buf_check(g->answer) : err;
}

err_t docs_on_digest(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    const struct cluster *c = ctx;
    struct bytes_in in = bytes_in_of(rq->body);
    uint64_t theirs[SUMS] = { 0 };
    uint32_t n = bytes_in_count(&in, 10);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t kind = bytes_in_u8(&in), bucket = bytes_in_u8(&in);
        uint64_t sum = bytes_in_u64(&in);
        if (bucket >= DOC_BUCKETS) return err_set(ERR_CORRUPT, "sums of documents of a bucket %u", bucket);
        if (kind < DOC_KINDS) theirs[kind * DOC_BUCKETS + bucket] = sum;
    }
    if (in.bad || in.p != in.end) return err_set(ERR_CORRUPT, "sums of documents are cut");
    struct digest_call g = { c->docs, theirs, answer };
    return rt_call(0, RT_REPLICATION, digest_here, &g);
}

static err_t get_one(struct cluster *c, enum doc_kind kind, struct str key, struct doc_set *s, struct buf *answer)
{
    struct buf record;
    struct arena a;
    arena_init(&a, NULL);
    buf_init(&record, DOC_BYTES_MAX, NULL);
    err_t e = docs_read(c, kind, key, &a, s);
    if (e == OK && s->n) {
        doc_set_put(s, &record);
        doc_put_name(answer, kind, key);
        bytes_out_str(answer, buf_view(&record));
        e = buf_check(&record);
    }
    struct err_record why = *err_record();
    buf_deinit(&record);
    arena_deinit(&a);
    *err_record() = why;
    return e == OK ? buf_check(answer) : e;
}

err_t docs_on_get(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct cluster *c = ctx;
    struct bytes_in in = bytes_in_of(rq->body);
    uint32_t n = bytes_in_count(&in, 2);
    struct doc_set *s = malloc(sizeof *s);
    ASSERT(s != NULL);
    err_t e = n > DOC_FETCH_MAX ? err_set(ERR_LIMIT, "%u documents are asked for at once, at most %d", n, DOC_FETCH_MAX) : OK;
    for (uint32_t i = 0; e == OK && i < n && answer->n < DOC_FETCH_BYTES; i++) {
        enum doc_kind kind;
        struct str key;
        e = doc_get_name(&in, &kind, &key);
        if (e == OK) e = get_one(c, kind, key, s, answer);
    }
    free(s);
    return e;
}

/* -- the side that asks ------------------------------------------------------------------------------------------------- */
static err_t ask(struct docs *d, node_id from, uint16_t method, struct str body, uint32_t answer_max, struct buf *answer)
{
    const struct rpc_call call = { .method = method, .class = RT_REPLICATION, .body = body, .answer_max = answer_max,
                                   .deadline = mono_add(rt_now(), (int64_t)DIGEST_MS * NS_PER_MS) };
    return cluster_call(d->c, from, &call, answer);
}

static void put_sums(const struct docs *d, struct buf *out)
{
    uint64_t sums[SUMS] = { 0 };
    uint32_t n = 0;
    sum_up(d, sums);
    for (uint32_t i = 0; i < SUMS; i++)
        n += sums[i] != 0;
    buf_varint(out, n);
    for (uint32_t i = 0; i < SUMS; i++) {
        if (!sums[i]) continue;
        buf_byte(out, (uint8_t)(i / DOC_BUCKETS));
        buf_byte(out, (uint8_t)(i % DOC_BUCKETS));
        bytes_out_u64(out, sums[i]);
    }
}

/* Names of what they have and we have not so, at most DOC_FETCH_MAX; *left: documents that are listed beyond. */
static err_t next_names(const struct docs *d, struct bytes_in *in, uint32_t *left, struct buf *names)
{
    struct buf list;
    uint32_t n = 0;
    buf_init(&list, DOC_FETCH_MAX * NAME_BYTES, NULL);
    err_t e = OK;
    for (; e == OK && *left > 0 && n < DOC_FETCH_MAX; --*left) {
        enum doc_kind kind;
        struct str key;
        e = doc_get_name(in, &kind, &key);
        uint64_t hash = bytes_in_u64(in);
        if (e == OK && in->bad) e = err_set(ERR_CORRUPT, "a list of documents is cut");
        const struct doc_entry *here = e == OK ? docs_find(d, kind, key) : NULL;
        if (e != OK || (here && here->hash == hash)) continue;
        doc_put_name(&list, kind, key);
        n++;
    }
    buf_varint(names, n);
    buf_str(names, buf_view(&list));
    buf_deinit(&list);
    return e == OK ? buf_check(names) : e;
}

/* One fetch: what did not fit comes in the next round. */
static err_t fetch(struct docs *d, node_id from, struct str names)
{
    struct buf answer;
    uint32_t n = 0;
    if (names.n <= 1) return OK;
    buf_init(&answer, DOC_BYTES_MAX + DOC_FETCH_BYTES, &d->c->memory);
    err_t e = ask(d, from, METHOD_DOC_GET, names, DOC_BYTES_MAX + DOC_FETCH_BYTES, &answer);
    if (e == OK) e = docs_merge_all(d, buf_view(&answer), &n);
    metric_add(M_DOCS_FETCHED, n);
    struct err_record why = *err_record();
    buf_deinit(&answer);
    *err_record() = why;
    return e;
}

err_t docs_fetch(struct cluster *c, node_id from, enum doc_kind kind, struct str key)
{
    struct buf names;
    buf_init(&names, NAME_BYTES + 16, NULL);
    buf_varint(&names, 1);
    doc_put_name(&names, kind, key);
    err_t e = fetch(c->docs, from, buf_view(&names));
    struct err_record why = *err_record();
    buf_deinit(&names);
    *err_record() = why;
    return e;
}

err_t docs_give(struct cluster *c, node_id to, enum doc_kind kind, struct str key)
{
    struct doc_set *s = malloc(sizeof *s);
    struct buf body, none;
    ASSERT(s != NULL);
    buf_init(&body, DOC_BYTES_MAX + NAME_BYTES, &c->memory);
    buf_init(&none, 64, NULL);
    err_t e = get_one(c, kind, key, s, &body);
    if (e == OK && body.n) e = ask(c->docs, to, METHOD_DOC_PUT, buf_view(&body), 64, &none);
    struct err_record why = *err_record();
    buf_deinit(&none);
    buf_deinit(&body);
    free(s);
    *err_record() = why;
    return e;
}

static err_t compare(struct docs *d, node_id with)
{
    struct buf sums, list, names;
    buf_init(&sums, SUMS * 16 + 16, NULL);
    buf_init(&list, LIST_BYTES_MAX, &d->c->memory);
    put_sums(d, &sums);
    err_t e = ask(d, with, METHOD_DOC_DIGEST, buf_view(&sums), LIST_BYTES_MAX, &list);
    struct bytes_in in = bytes_in_of(buf_view(&list));
    uint32_t left = bytes_in_count(&in, 10);
    if (e == OK && in.bad) e = err_set(ERR_CORRUPT, "a list of documents is cut");
    while (e == OK && left > 0) {
        buf_init(&names, DOC_FETCH_MAX * NAME_BYTES + 16, NULL);
        e = next_names(d, &in, &left, &names);
        if (e == OK) e = fetch(d, with, buf_view(&names));
        buf_deinit(&names);
    }
    struct err_record why = *err_record();
    buf_deinit(&sums);
    buf_deinit(&list);
    *err_record() = why;
    return e;
}

static void round_over(struct docs *d)
{
    struct map *map = cluster_map(d->c);
    uint32_t asked = 0, most = d->all ? UINT32_MAX : DOCS_PEERS;
    d->all = false;
    for (uint32_t i = 0; i < map->n && asked < most && !d->c->closing; i++) {
        const struct member *m = &map->v[d->turn++ % map->n];
        if (m->id.u == d->c->self.u || !member_is_live(m)) continue;
        asked++;
        if (compare(d, m->id) != OK) log_warn("cluster.docs", "with=%016" PRIx64 " error=%s", m->id.u, err_detail());
    }
    map_put(map);
    docs_tell(d);
    docs_forget(d);
}

static void docs_fiber(void *arg)
{
    struct docs *d = arg;
    while (!d->c->closing) {
        event_reset(&d->wake);
        round_over(d);
        metric_add(M_DOCS_ROUNDS, 1);
        if (event_wait_until(&d->wake, mono_add(rt_now(), (int64_t)DOCS_EVERY_MS * NS_PER_MS)) == ERR_CANCELED) return;
    }
}

err_t docs_start(struct docs *d, struct scope *scope)
{
    const struct fiber_opts fo = { .name = "docs", .class = RT_REPLICATION };
    d->all = true;
    return fiber_start(scope, &fo, docs_fiber, d);
}

void docs_now(struct docs *d)
{
    d->all = true;
    event_signal(&d->wake);
}
