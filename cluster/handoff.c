#include "cluster/handoff.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/cluster_int.h"
#include "cluster/deletions.h"
#include "cluster/reach.h"
#include "storage/mend.h"
#include "storage/stream_copy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_BYTES = 1 << 20,
    LAST_PASS_BYTES = 16 << 20,
    PASSES_MAX = 5,
    FREEZE_MS = 30000,
    CALL_MS = 20000,
    GIVE_WAIT_MS = 10000, /* for the giver to fetch what it lacks */
    READ_TRIES = 3,
    PAUSE_MIN_MS = 2000, PAUSE_MAX_MS = 300000,
    PAUSE_ASKED_MS = 4000, /* at most, where nothing was fetched in vain */
    NAME_BYTES = 32,
};

struct want {
    uint64_t stream;
    node_id from;
    int64_t pause_ms;
    mono_ns not_before;
    bool wanted;
    bool mend; /* only as far as something is lost here */
};
struct handoff {
    struct cluster *c;
    struct event wake;
    struct want *v;
    uint32_t n, cap;
};

struct copy { /* one stream on its way */
    struct cluster *c;
    uint64_t stream;
    node_id from;
    char (*fetched)[40];
    uint32_t nfetched, cap;
    uint64_t bytes;
    mono_ns next_at; /* of the rate */
    mono_ns frozen_until;
};

/* -- giving -------------------------------------------------------------------------------------------------- */

/* With the marks of all deletions that it says are made. */
static err_t give(struct cluster *c, uint64_t stream, bool keys, const struct cover *need, struct buf *answer)
{
    struct stream_given g;
    struct arena a;
    if (!cover_empty(need)) TRY(reach_here(c, need, mono_add(rt_now(), (int64_t)GIVE_WAIT_MS * NS_PER_MS)));
    TRY(store_seal(c->o.store));
    uint64_t digest = deletions_digest(c);
    TRY(deletions_all_done(c));
    arena_init(&a, &c->memory);
    stream_given_init(&g);
    bytes_out_u64(answer, digest);
    err_t e = stream_give(c->o.store, stream, keys, &a, &g);
    if (e == OK) stream_given_put(&g, answer);
    if (e == OK) e = buf_check(answer);
    if (e == OK && deletions_digest(c) != digest) e = err_set(ERR_UNAVAILABLE, "this node made a deletion meanwhile");
    struct err_record why = *err_record();
    stream_given_deinit(&g);
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t handoff_on_list(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct bytes_in in = bytes_in_of(rq->body);
    struct cover need;
    uint64_t stream = bytes_in_u64(&in);
    bool keys = bytes_in_u8(&in) != 0;
    cover_init(&need);
    err_t e = cover_get(&in, COVER_INTERVALS_MAX, &need);
    if (e == OK && in.bad) e = err_set(ERR_CORRUPT, "a request for the list of a stream is cut");
    if (e == OK) e = give(ctx, stream, keys, &need, answer);
    struct err_record why = *err_record();
    cover_deinit(&need);
    *err_record() = why;
    return e;
}

err_t handoff_on_read(void *ctx, const struct rpc_request *rq, struct buf *answer)
{
    struct cluster *c = ctx;
    struct bytes_in in = bytes_in_of(rq->body);
    char name[40] = { 0 };
    bytes_in_copy(&in, name, NAME_BYTES);
    memcpy(name + NAME_BYTES, ".seg", 4);
    uint64_t off = bytes_in_varint(&in), n = bytes_in_varint(&in);
    if (in.bad || n > STREAM_READ_MAX) return err_set(ERR_CORRUPT, "a request for a part of a segment is malformed");
    if (n == 0) {
        seg_suspect_add(name);
        return OK;
    }
    TRY(stream_read(c->o.store, name, off, (uint32_t)n, answer));
    metric_add(M_COPY_GIVEN_BYTES, (int64_t)n);
    return OK;
}

/* -- taking: calls ------------------------------------------------------------------------------------------- */

static err_t call(struct copy *k, uint16_t method, const struct buf *ask, uint32_t answer_max, struct buf *answer)
{
    const struct rpc_call call = { .method = method, .class = RT_MAINTENANCE, .body = buf_view(ask), .answer_max = answer_max,
                                   .deadline = mono_add(rt_now(), (int64_t)CALL_MS * NS_PER_MS) };
    TRY(buf_check(ask));
    return cluster_call(k->c, k->from, &call, answer);
}

static err_t list(struct copy *k, bool keys, const struct cover *need, struct arena *a, struct stream_given *out, uint64_t *digest)
{
    struct buf ask, answer;
    buf_init(&ask, CALL_BYTES_MAX, NULL);
    buf_init(&answer, CALL_BYTES_MAX, &k->c->memory);
    bytes_out_u64(&ask, k->stream);
    buf_byte(&ask, keys);
    cover_put(need, &ask);
    err_t e = call(k, METHOD_STREAM_LIST, &ask, STREAM_LIST_MAX, &answer);
    struct bytes_in in = bytes_in_of(buf_view(&answer));
    *digest = bytes_in_u64(&in);
    if (e == OK) e = stream_given_get(&in, COVER_INTERVALS_MAX, a, out);
    if (e == OK && out->stream != k->stream) e = err_set(ERR_CORRUPT, "the list of another stream came");
    struct err_record why = *err_record();
    buf_deinit(&ask);
    buf_deinit(&answer);
    *err_record() = why;
    return e;
}

/* No more than the rate: what is read now is paid for before the next. */
static err_t paced(struct copy *k, uint64_t bytes)
{
    mono_ns now = rt_now();
    if (k->next_at.ns > now.ns) TRY(fiber_sleep(k->next_at.ns - now.ns));
    mono_ns from = { MAX(k->next_at.ns, now.ns) };
    k->next_at = mono_add(from, (int64_t)((double)bytes / (double)k->c->o.copy_rate * 1e9));
    if (k->c->closing) return err_set(ERR_CANCELED, "the node is stopping");
    if (k->frozen_until.ns && now.ns > k->frozen_until.ns) return err_set(ERR_TIMEOUT, "the last files took over %d s", FREEZE_MS / 1000);
    return OK;
}

static err_t read_part(struct copy *k, const struct seg_info *i, uint64_t off, uint32_t n, struct buf *answer)
{
    struct buf ask;
    err_t e;
    buf_init(&ask, 128, NULL);
    buf_put(&ask, i->name, NAME_BYTES);
    buf_varint(&ask, off);
    buf_varint(&ask, n);
    unsigned tries = 0;
    do {
        buf_clear(answer);
        e = paced(k, n);
        if (e == OK) e = call(k, METHOD_STREAM_READ, &ask, n, answer);
    } while ((e == ERR_UNAVAILABLE || e == ERR_TIMEOUT || e == ERR_OVERLOAD) && ++tries < READ_TRIES && !k->frozen_until.ns);
    if (e == OK && answer->n != n) e = err_set(ERR_CORRUPT, "%zu bytes of %s came, %u were asked for", answer->n, i->name, n);
    struct err_record why = *err_record();
    buf_deinit(&ask);
    *err_record() = why;
    return e;
}

/* -- taking: files ------------------------------------------------------------------------------------------- */

static bool is_here(const struct copy *k, const struct seg_info *i)
{
    for (uint32_t n = 0; n < k->nfetched; n++)
        if (memcmp(k->fetched[n], i->name, NAME_BYTES) == 0) return true;
    return stream_has_file(k->c->o.store, i->name) && !mend_wants_file(k->c->o.store, i);
}

static uint64_t bytes_left(const struct copy *k, const struct stream_given *g)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < g->n; i++)
        if (!is_here(k, &g->segs[i].info)) n += g->segs[i].info.bytes;
    metric_set(M_COPY_LEFT_BYTES, (int64_t)n);
    return n;
}

static void note_fetched(struct copy *k, const struct seg_info *i)
{
    if (k->nfetched == k->cap) {
        k->cap = k->cap ? k->cap * 2 : 64;
        k->fetched = realloc(k->fetched, k->cap * sizeof *k->fetched);
        ASSERT(k->fetched != NULL);
    }
    memcpy(k->fetched[k->nfetched++], i->name, sizeof *k->fetched);
    k->bytes += i->bytes;
}

static err_t fetch_into(struct copy *k, const struct seg_info *i, struct stream_file *f)
{
    struct buf part;
    err_t e = OK;
    buf_init(&part, READ_BYTES, &k->c->memory);
    while (e == OK && stream_file_at(f) < i->bytes) {
        uint64_t left = i->bytes - stream_file_at(f);
        e = read_part(k, i, stream_file_at(f), (uint32_t)MIN(left, (uint64_t)READ_BYTES), &part);
        if (e == OK) e = stream_file_add(f, buf_view(&part));
        if (e == OK) metric_add(M_COPY_BYTES, (int64_t)part.n);
        if (e == OK) metric_add(M_COPY_LEFT_BYTES, -(int64_t)part.n);
    }
    struct err_record why = *err_record();
    buf_deinit(&part);
    *err_record() = why;
    return e;
}

/* What the giver has is not what it wrote: it is told so. */
static void doubt(struct copy *k, const struct seg_info *i)
{
    struct err_record why = *err_record();
    struct buf ask, answer;
    buf_init(&ask, 128, NULL);
    buf_init(&answer, 128, NULL);
    buf_put(&ask, i->name, NAME_BYTES);
    buf_varint(&ask, 0);
    buf_varint(&ask, 0);
    if (call(k, METHOD_STREAM_READ, &ask, 128, &answer) != OK) log_debug("copy.doubt", "error=%s", err_detail());
    buf_deinit(&ask);
    buf_deinit(&answer);
    *err_record() = why;
}

static err_t fetch(struct copy *k, const struct seg_info *i)
{
    struct stream_file *f;
    bool lost = mend_wants_file(k->c->o.store, i);
    TRY(stream_file_open(k->c->o.store, i, &f));
    err_t e = fetch_into(k, i, f);
    if (e != OK) {
        stream_file_abandon(f);
        return e;
    }
    e = stream_file_end(f);
    if (e == ERR_CORRUPT) doubt(k, i);
    TRY(e);
    note_fetched(k, i);
    return lost ? mend_file(k->c->o.store, i) : OK;
}

/* *gone: files that were merged meanwhile. */
static err_t fetch_all(struct copy *k, const struct stream_given *g, uint32_t *gone)
{
    *gone = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        if (is_here(k, &g->segs[i].info)) continue;
        err_t e = fetch(k, &g->segs[i].info);
        if (e == ERR_NOT_FOUND) ++*gone;
        else TRY(e);
    }
    return OK;
}

/* -- taking: passes ------------------------------------------------------------------------------------------ */

/* *more: there was much, and there may be more by now. */
static err_t pass(struct copy *k, bool *more)
{
    struct stream_given g;
    struct arena a;
    struct cover none;
    uint32_t gone = 0;
    arena_init(&a, &k->c->memory);
    stream_given_init(&g);
    cover_init(&none);
    uint64_t digest;
    err_t e = list(k, false, &none, &a, &g, &digest);
    uint64_t left = e == OK ? bytes_left(k, &g) : 0;
    *more = left > LAST_PASS_BYTES;
    if (e == OK && *more) e = fetch_all(k, &g, &gone);
    struct err_record why = *err_record();
    stream_given_deinit(&g);
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

/* Between two nodes that have made the same deletions. When they have not, the list is asked for again later. */
static err_t take(struct copy *k, const struct stream_given *g, uint64_t digest)
{
    uint64_t ours;
    TRY(deletions_enter(k->c, &ours));
    bool agree = deletions_agree(k->c, digest);
    err_t e = agree ? stream_take(k->c->o.store, g) : OK;
    deletions_leave(k->c);
    if (agree) return e;
    metric_add(M_DELETIONS_DIFFER, 1);
    TRY(deletions_meet(k->c, k->from, digest));
    return err_set(ERR_UNAVAILABLE, "node %016" PRIx64 " and this one had made different deletions", k->from.u);
}

static err_t last_frozen(struct copy *k, struct arena *a, struct stream_given *g, const struct cover *mine)
{
    uint64_t digest;
    uint32_t gone;
    TRY(list(k, true, mine, a, g, &digest));
    bytes_left(k, g);
    TRY(fetch_all(k, g, &gone));
    if (gone) return err_set(ERR_UNAVAILABLE, "%u files were merged while they were fetched", gone);
    return take(k, g, digest);
}

static err_t last_pass(struct copy *k)
{
    struct store *s = k->c->o.store;
    struct stream_given g;
    struct arena a;
    struct cover mine;
    TRY(stream_freeze(s, k->stream));
    k->frozen_until = mono_add(rt_now(), (int64_t)FREEZE_MS * NS_PER_MS);
    arena_init(&a, &k->c->memory);
    stream_given_init(&g);
    cover_init(&mine);
    err_t e = store_cover(s, &k->stream, 1, &mine);
    if (e == OK) e = last_frozen(k, &a, &g, &mine);
    stream_thaw(s);
    k->frozen_until = (mono_ns){ 0 };
    struct err_record why = *err_record();
    cover_deinit(&mine);
    stream_given_deinit(&g);
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

static err_t run(struct copy *k)
{
    bool more = true;
    for (unsigned n = 0; more && n < PASSES_MAX; n++)
        TRY(pass(k, &more));
    return last_pass(k);
}

/* The files that are lost, as far as k->from has the same ones: a list of them, and the next while some of it came. */
static err_t mend_from(struct copy *k)
{
    struct arena a;
    struct seg_info *files;
    uint32_t n = 1, before = UINT32_MAX;
    err_t e = OK;
    while (e == OK && n > 0 && k->nfetched != before) {
        before = k->nfetched;
        arena_init(&a, NULL);
        mend_files(k->c->o.store, k->stream, &a, &files, &n);
        for (uint32_t i = 0; e == OK && i < n; i++) {
            e = fetch(k, &files[i]);
            if (e == ERR_NOT_FOUND || e == ERR_CORRUPT || e == ERR_INVALID) e = OK; /* it has none, it is rotten there, is lost no more */
        }
        arena_deinit(&a);
    }
    return e;
}

/* From the giver, then from whoever else is alive: a node that lost something of the stream may have these very files. */
static err_t mend_by_file(struct copy *k)
{
    node_id giver = k->from;
    struct map *map = cluster_map(k->c);
    err_t e = mend_from(k);
    for (uint32_t i = 0; e == OK && i < map->n && mend_wants(k->c->o.store, k->stream); i++) {
        k->from = map->v[i].id;
        if (k->from.u == giver.u || k->from.u == k->c->self.u || !member_is_live(&map->v[i])) continue;
        e = mend_from(k);
        if (e != ERR_CANCELED && e != ERR_NOSPC) e = OK; /* the giver has all of it */
    }
    map_put(map);
    k->from = giver;
    return e;
}

static err_t run_or_mend(struct copy *k, bool mend)
{
    struct store *s = k->c->o.store;
    bool lost = mend_wants(s, k->stream);
    if (lost) TRY(mend_by_file(k));
    if (mend && !mend_wants(s, k->stream)) return OK;
    TRY(run(k));
    metric_add(M_COPY_STREAMS, 1);
    if (lost) metric_add(M_COPY_MENDED, 1);
    return OK;
}

/* Files of lists that were not taken, and all when it failed. */
static void drop_rest(struct copy *k)
{
    for (uint32_t i = 0; i < k->nfetched; i++)
        stream_file_drop(k->c->o.store, k->fetched[i]);
    free(k->fetched);
}

static err_t copy_stream(struct handoff *h, uint64_t stream, node_id from, bool mend, bool *fetched)
{
    struct copy k = { .c = h->c, .stream = stream, .from = from };
    mono_ns began = rt_now();
    log_info("copy.begin", "stream=%016" PRIx64 " from=%016" PRIx64, stream, from.u);
    err_t e = run_or_mend(&k, mend);
    struct err_record why = *err_record();
    *fetched = k.bytes > 0;
    drop_rest(&k);
    metric_set(M_COPY_LEFT_BYTES, 0);
    *err_record() = why;
    if (e == OK)
        log_info("copy.done", "stream=%016" PRIx64 " from=%016" PRIx64 " files=%u bytes=%" PRIu64 " ms=%lld", stream, from.u, k.nfetched, k.bytes,
                 (long long)((rt_now().ns - began.ns) / NS_PER_MS));
    return e;
}

/* -- the fiber ----------------------------------------------------------------------------------------------- */

static void want(struct handoff *h, uint64_t stream, node_id from, bool mend)
{
    uint32_t i = 0;
    while (i < h->n && h->v[i].stream != stream)
        i++;
    if (i == h->n) {
        if (i == HANDOFF_WANTS_MAX) return;
        if (h->n == h->cap) {
            h->cap = h->cap ? h->cap * 2 : 16;
            h->v = realloc(h->v, h->cap * sizeof *h->v);
            ASSERT(h->v != NULL);
        }
        h->v[h->n++] = (struct want){ .stream = stream };
    }
    h->v[i].mend = mend && (h->v[i].mend || !h->v[i].wanted);
    h->v[i].from = from;
    h->v[i].wanted = true;
    event_signal(&h->wake);
}

void handoff_want(struct handoff *h, uint64_t stream, node_id from)
{
    want(h, stream, from, false);
}

void handoff_mend(struct handoff *h, uint64_t stream, node_id from)
{
    want(h, stream, from, true);
}

static struct want *next_want(struct handoff *h)
{
    uint32_t waiting = 0;
    struct want *first = NULL;
    for (uint32_t i = 0; i < h->n; i++) {
        waiting += h->v[i].wanted;
        if (h->v[i].wanted && h->v[i].not_before.ns <= rt_now().ns && !first) first = &h->v[i];
    }
    metric_set(M_COPY_WAITING, waiting);
    return first;
}

static void copy_one(struct handoff *h, const struct want *w)
{
    uint64_t stream = w->stream;
    bool fetched;
    err_t e = copy_stream(h, stream, w->from, w->mend, &fetched);
    uint32_t i = 0;
    while (h->v[i].stream != stream)
        i++;
    struct want *now = &h->v[i]; /* the list may have grown */
    if (e == OK) {
        *now = h->v[--h->n];
        return;
    }
    metric_add(M_COPY_FAILED, 1);
    now->pause_ms = now->pause_ms ? MIN(now->pause_ms * 2, (int64_t)(fetched ? PAUSE_MAX_MS : PAUSE_ASKED_MS)) : PAUSE_MIN_MS;
    now->not_before = mono_add(rt_now(), now->pause_ms * NS_PER_MS);
    now->wanted = false; /* repair says again whether it is, and from whom */
    log_warn("copy.failed", "stream=%016" PRIx64 " again_ms=%lld error=%s", stream, (long long)now->pause_ms, err_detail());
}

static void handoff_fiber(void *arg)
{
    struct handoff *h = arg;
    while (!h->c->closing) {
        const struct want *w = next_want(h);
        if (w) {
            copy_one(h, w);
            continue;
        }
        event_reset(&h->wake);
        if (event_wait_until(&h->wake, mono_add(rt_now(), NS_PER_S)) == ERR_CANCELED) return;
    }
}

err_t handoff_start(struct cluster *c, struct scope *scope, struct handoff **out)
{
    struct handoff *h = calloc(1, sizeof *h);
    ASSERT(h != NULL);
    h->c = c;
    event_init(&h->wake);
    const struct fiber_opts fo = { .name = "handoff", .class = RT_MAINTENANCE };
    err_t e = fiber_start(scope, &fo, handoff_fiber, h);
    if (e != OK) {
        free(h);
        return e;
    }
    *out = h;
    return OK;
}

void handoff_free(struct handoff *h)
{
    if (!h) return;
    free(h->v);
    free(h);
}
