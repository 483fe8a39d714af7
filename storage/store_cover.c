/* Names on their way, and names that are covered: see store_names.h for what is promised.
 *
 * A name's core (held_core) keeps it: a claim while it is on its way, then its place in the cover of all that the core has (held.all, which
 * keeps sums and versions) and, until the seal, in that of the generation that its frame is in. A request that this core names itself is kept by this core, so that
 * the write path asks nobody.
 *
 *   _store/cover/<stream>   u8 version (1) | cover_put: the names of a stream whose generations are sealed, of all cores
 *
 * The batch of the catalog that seals a generation writes the records of the streams that it has names of. Core 0 has a copy of what the
 * records say; the shards' together say the same. */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdlib.h>

enum { COVER_VERSION = 1 };
static const struct str COVER_PREFIX = { "_store/cover/", 13 };

struct name_claim {
    struct batch_name name;
    struct name_claim *next;
    uint32_t waiters;
    struct event done;
};
struct name_waiter { /* in the frame of who waits */
    struct name_waiter *next;
    const struct cover *need;
    uint64_t missing; /* of it, on this core */
    struct event done;
};

void held_init(struct held *n)
{
    *n = (struct held){ 0 };
    cover_init(&n->all);
    cover_init(&n->by_all);
}

void held_deinit(struct held *n)
{
    ASSERT(n->claims == NULL);
    ASSERT(n->waiters == NULL);
    for (uint32_t i = 0; i < n->ngens; i++)
        cover_deinit(&n->gens[i].names);
    cover_deinit(&n->all);
    cover_deinit(&n->by_all);
    free(n->gens);
    free(n->next);
    free(n->silent);
}

/* -- what a core has ---------------------------------------------------------------------------------------------- */

/* All that comes to be covered on this core comes through here. The version is taken and used without a yield between: who reads
 * the counter and then looks at this core sees all that has that version or an older one. */
static bool note(struct shard *sh, const struct cover_run *r)
{
    uint64_t version = atomic_fetch_add_explicit(&sh->store->cover_version, 1, memory_order_relaxed) + 1;
    return cover_note(&sh->held.all, r, version);
}

static struct cover *held_gen(struct held *n, uint64_t generation)
{
    uint32_t at = n->ngens;
    while (at > 0 && n->gens[at - 1].generation > generation)
        at--;
    if (at > 0 && n->gens[at - 1].generation == generation) return &n->gens[at - 1].names;
    n->gens = store_grow(n->gens, &n->gens_cap, n->ngens + 1, sizeof *n->gens);
    memmove(n->gens + at + 1, n->gens + at, (n->ngens++ - at) * sizeof *n->gens);
    n->gens[at].generation = generation;
    cover_init(&n->gens[at].names);
    return &n->gens[at].names;
}

void held_add(struct shard *sh, uint64_t generation, const struct batch_name *name)
{
    ASSERT(held_core(sh->store, name) == sh->core);
    ASSERT(generation > atomic_load_explicit(&sh->store->sealed_gen, memory_order_relaxed));
    const struct cover_run r = { name->stream, name->origin, name->epoch, name->core, name->seq, name->seq };
    bool fresh = note(sh, &r);
    ASSERT(fresh);
    cover_add_run(held_gen(&sh->held, generation), &r);
    sh->held.intervals_most++;
    for (struct name_waiter *w = sh->held.waiters; w; w = w->next)
        if (cover_has(w->need, name) && --w->missing == 0) event_signal(&w->done);
}

static struct name_next *next_of(struct name_next **list, uint32_t *n, uint32_t *cap, uint64_t stream)
{
    uint32_t i = 0;
    while (i < *n && (*list)[i].stream != stream)
        i++;
    if (i == *n) {
        *list = store_grow(*list, cap, *n + 1, sizeof **list);
        (*list)[(*n)++] = (struct name_next){ stream, 1 };
    }
    return &(*list)[i];
}

void store_name_next(struct store *s, uint64_t stream, struct batch_name *out)
{
    struct shard *sh = shard_here(s);
    struct held *n = &sh->held;
    struct name_next *next = next_of(&n->next, &n->nnext, &n->next_cap, stream);
    *out = (struct batch_name){ .stream = stream, .origin = s->node, .epoch = s->epoch, .core = sh->core, .seq = next->seq++ };
}

void held_name_silent(struct store *s, uint64_t stream, struct batch_name *out)
{
    struct shard *sh = shard_here(s);
    struct held *n = &sh->held;
    struct name_next *next = next_of(&n->silent, &n->nsilent, &n->silent_cap, stream);
    *out = (struct batch_name){ .stream = stream, .origin = s->node, .epoch = s->epoch, .core = sh->core + s->cores, .seq = next->seq++ };
}

/* Was a name that says it is of this node given by it? One of this epoch only by store_name_next. */
static err_t check_given(const struct shard *sh, const struct batch_name *name)
{
    const struct store *s = sh->store;
    const struct held *n = &sh->held;
    if (name->origin.u != s->node.u || name->epoch < s->epoch) return OK;
    for (uint32_t i = 0; i < n->nnext && name->epoch == s->epoch && name->core == sh->core; i++)
        if (n->next[i].stream == name->stream && name->seq < n->next[i].seq) return OK;
    return err_set(ERR_INVALID, "a request has a name of this node (epoch %" PRIu64 ", core %u, number %" PRIu64 ") that this node did not give",
                   name->epoch, name->core, name->seq);
}

/* -- claims --------------------------------------------------------------------------------------------------------- */

struct name_call {
    struct store *s;
    const struct batch_name *name;
    uint64_t generation;
    bool known, covered;
};

static struct name_claim **claim_find(struct held *n, const struct batch_name *name)
{
    struct name_claim **at = &n->claims;
    while (*at && !batch_name_eq(&(*at)->name, name))
        at = &(*at)->next;
    return at;
}

/* They are counted only when there may be too many. */
static err_t check_room(struct held *n, uint32_t most)
{
    if (n->intervals_most < most) return OK;
    n->intervals_most = cover_intervals(&n->all);
    if (n->intervals_most < most) return OK;
    metric_add(M_PUT_REFUSED, 1);
    return err_set(ERR_LIMIT, "what is covered here has %u gaps on this core, the most it takes: requests under names of others are refused",
                   n->intervals_most);
}

static err_t claim_here(void *arg)
{
    struct name_call *c = arg;
    struct held *n = &shard_here(c->s)->held;
    for (;;) {
        c->known = cover_has(&n->all, c->name);
        if (c->known) return OK;
        struct name_claim *first = *claim_find(n, c->name);
        if (!first) break;
        first->waiters++;
        err_t e = event_wait(&first->done);
        if (--first->waiters == 0) free(first);
        TRY(e);
    }
    TRY(check_given(shard_here(c->s), c->name));
    TRY(check_room(n, STORE_INTERVALS_MAX / c->s->cores));
    struct name_claim *mine = calloc(1, sizeof *mine);
    ASSERT(mine != NULL);
    mine->name = *c->name;
    mine->next = n->claims;
    event_init(&mine->done);
    n->claims = mine;
    return OK;
}

static err_t finish_here(void *arg)
{
    struct name_call *c = arg;
    struct shard *sh = shard_here(c->s);
    struct name_claim **at = claim_find(&sh->held, c->name), *claim = *at;
    ASSERT(claim != NULL);
    *at = claim->next;
    if (c->covered) held_add(sh, c->generation, c->name);
    if (claim->waiters > 0)
        event_signal(&claim->done);
    else
        free(claim);
    return OK;
}

err_t held_claim(struct store *s, const struct batch_name *n, bool *known)
{
    struct name_call c = { .s = s, .name = n };
    TRY(rt_call(held_core(s, n), RT_INGEST, claim_here, &c));
    *known = c.known;
    return OK;
}

void held_finish(struct store *s, const struct batch_name *n, uint64_t generation, bool covered)
{
    struct name_call c = { .s = s, .name = n, .generation = generation, .covered = covered };
    while (rt_call(held_core(s, n), RT_INGEST, finish_here, &c) != OK) {
        err_t slept = fiber_sleep(NS_PER_MS);
        ASSERT(slept == OK);
    }
}

static err_t replay_here(void *arg)
{
    struct name_call *c = arg;
    struct shard *sh = shard_here(c->s);
    c->known = cover_has(&sh->held.all, c->name);
    if (!c->known && c->covered) held_add(sh, c->generation, c->name);
    return OK;
}

err_t held_replay(struct store *s, const struct batch_name *n, uint64_t generation)
{
    struct name_call c = { .s = s, .name = n, .generation = generation, .covered = true };
    return rt_call(held_core(s, n), RT_INGEST, replay_here, &c);
}

err_t held_has(struct store *s, const struct batch_name *n, bool *there)
{
    struct name_call c = { .s = s, .name = n };
    TRY(rt_call(held_core(s, n), RT_INGEST, replay_here, &c));
    *there = c.known;
    return OK;
}

/* -- seals, and the catalog -------------------------------------------------------------------------------------------- */

void held_of(const struct shard *sh, uint64_t generation, struct cover *to)
{
    const struct held *n = &sh->held;
    for (uint32_t i = 0; i < n->ngens; i++)
        if (n->gens[i].generation == generation) cover_join(to, &n->gens[i].names);
}

void held_sealed(struct shard *sh, uint64_t generation)
{
    struct held *n = &sh->held;
    uint32_t i = 0;
    while (i < n->ngens && n->gens[i].generation != generation)
        i++;
    if (i == n->ngens) return;
    cover_deinit(&n->gens[i].names);
    memmove(n->gens + i, n->gens + i + 1, (--n->ngens - i) * sizeof *n->gens);
}

static void put_record(struct catalog_batch *b, uint64_t stream, const struct cover *c)
{
    struct buf out;
    buf_init(&out, SIZE_MAX, NULL);
    buf_byte(&out, COVER_VERSION);
    cover_put(c, &out);
    catalog_put(b, arena_printf(&b->a, STR_FMT "%016" PRIx64, STR_ARG(COVER_PREFIX), stream), arena_str(&b->a, buf_view(&out)));
    buf_deinit(&out);
}

void held_catalog(struct store *s, struct catalog_batch *b, const struct cover *of_generation)
{
    struct cover_iter it = { 0 };
    struct cover_run r;
    uint64_t last = 0;
    while (cover_next(of_generation, &it, &r)) {
        if (r.stream == last) continue;
        last = r.stream;
        struct cover c;
        cover_init(&c);
        cover_pick(&s->sealed, &r.stream, 1, &c);
        cover_pick(of_generation, &r.stream, 1, &c);
        put_record(b, r.stream, &c);
        cover_deinit(&c);
    }
}

void held_catalog_again(struct store *s, struct catalog_batch *b, uint64_t stream)
{
    struct cover c;
    cover_init(&c);
    cover_pick(&s->sealed, &stream, 1, &c);
    if (cover_empty(&c)) catalog_put(b, arena_printf(&b->a, STR_FMT "%016" PRIx64, STR_ARG(COVER_PREFIX), stream), STR_NONE);
    else put_record(b, stream, &c);
    cover_deinit(&c);
}

static err_t load_record(struct store *s, const struct kv_item *item)
{
    struct bytes_in in = bytes_in_of(item->value);
    struct cover c;
    cover_init(&c);
    uint8_t version = bytes_in_u8(&in);
    if (version != COVER_VERSION)
        return err_set(ERR_CORRUPT, "catalog: " STR_FMT " has version %u, this program reads %d: it was written by another one",
                       STR_ARG(item->key), version, COVER_VERSION);
    TRY(cover_get(&in, UINT32_MAX, &c));
    cover_join(&s->sealed, &c);
    cover_deinit(&c);
    return OK;
}

err_t held_load(struct store *s)
{
    struct arena a;
    struct kv_item *items;
    size_t n;
    arena_init(&a, NULL);
    err_t e = s->o.kv->list(s->o.kv, COVER_PREFIX, STREAMS_MAX, &a, &items, &n);
    for (size_t i = 0; e == OK && i < n; i++)
        e = load_record(s, &items[i]);
    arena_deinit(&a);
    return e;
}

void held_attach(struct shard *sh)
{
    struct cover_iter it = { 0 };
    struct cover_run r;
    while (cover_next(&sh->store->sealed, &it, &r))
        if (r.core % sh->store->cores == sh->core) note(sh, &r);
}

/* -- what is asked ---------------------------------------------------------------------------------------------------- */

struct cover_call {
    struct store *s;
    const uint64_t *streams;
    uint32_t n;
    struct cover *out;
};

static void pick(const struct cover_call *c, const struct cover *from)
{
    if (c->streams)
        cover_pick(from, c->streams, c->n, c->out);
    else
        cover_join(c->out, from);
}

static err_t cover_here(void *arg)
{
    const struct cover_call *c = arg;
    pick(c, &shard_here(c->s)->held.all);
    return OK;
}

err_t store_cover(struct store *s, const uint64_t *streams, uint32_t n, struct cover *out)
{
    struct cover_call c = { s, streams, n, out };
    for (unsigned core = 0; core < s->cores; core++)
        TRY(rt_call(core, RT_INGEST, cover_here, &c));
    return OK;
}

struct sums_call {
    struct store *s;
    struct store_sums *out;
};

void store_sums_deinit(struct store_sums *v)
{
    free(v->v);
    *v = (struct store_sums){ 0 };
}

const struct stream_sum *store_sums_find(const struct store_sums *v, uint64_t stream)
{
    uint32_t lo = 0, hi = v->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v->v[mid].stream < stream) lo = mid + 1;
        else hi = mid;
    }
    return lo < v->n && v->v[lo].stream == stream ? &v->v[lo] : NULL;
}

/* Both lists ascend. */
static void join_sums(struct store_sums *to, const struct cover *from)
{
    uint32_t n = 0, i = 0, k = 0;
    struct stream_sum *v = malloc(((size_t)to->n + from->n + 1) * sizeof *v);
    ASSERT(v != NULL);
    while (i < to->n || k < from->n) {
        bool ours = i < to->n && (k == from->n || to->v[i].stream <= from->streams[k].id);
        bool theirs = k < from->n && (i == to->n || from->streams[k].id <= to->v[i].stream);
        v[n] = ours ? to->v[i++] : (struct stream_sum){ .stream = from->streams[k].id };
        if (theirs) v[n].sum = cover_sum_add(v[n].sum, from->streams[k++].sum);
        n++;
    }
    free(to->v);
    to->v = v;
    to->n = n;
}

static err_t sums_here(void *arg)
{
    const struct sums_call *c = arg;
    const struct cover *all = &shard_here(c->s)->held.all;
    for (uint32_t i = 0; i < all->n; i++)
        ASSERT_HOT(cover_sum_eq(all->streams[i].sum, cover_stream_sum(&all->streams[i])));
    join_sums(c->out, all);
    return OK;
}

err_t store_sums(struct store *s, struct store_sums *out)
{
    struct sums_call c = { s, out };
    ASSERT(out->n == 0);
    out->version = atomic_load_explicit(&s->cover_version, memory_order_relaxed);
    for (unsigned core = 0; core < s->cores; core++)
        TRY(rt_call(core, RT_INGEST, sums_here, &c));
    return OK;
}

struct since_call {
    struct store *s;
    const struct stream_since *streams;
    uint32_t n;
    struct cover *out;
};

static err_t since_here(void *arg)
{
    const struct since_call *c = arg;
    for (uint32_t i = 0; i < c->n; i++)
        cover_since(&shard_here(c->s)->held.all, c->streams[i].stream, c->streams[i].version, c->out);
    return OK;
}

err_t store_cover_since(struct store *s, const struct stream_since *streams, uint32_t n, struct cover *out, uint64_t *version)
{
    struct since_call c = { s, streams, n, out };
    *version = atomic_load_explicit(&s->cover_version, memory_order_relaxed);
    for (unsigned core = 0; core < s->cores; core++)
        TRY(rt_call(core, RT_INGEST, since_here, &c));
    return OK;
}

static err_t given_here(void *arg)
{
    const struct cover_call *c = arg;
    const struct shard *sh = shard_here(c->s);
    for (uint32_t i = 0; i < sh->held.nnext; i++) {
        const struct name_next *next = &sh->held.next[i];
        const struct cover_run r = { .stream = next->stream, .origin = c->s->node, .epoch = c->s->epoch, .core = sh->core, .first = 1, .last = next->seq - 1 };
        if (next->seq > 1) cover_add_run(c->out, &r);
    }
    return OK;
}

err_t store_names_given(struct store *s, struct cover *out)
{
    struct cover_call c = { .s = s, .out = out };
    for (unsigned core = 0; core < s->cores; core++)
        TRY(rt_call(core, RT_REPLICATION, given_here, &c));
    return OK;
}

struct wait_call {
    struct store *s;
    struct cover need; /* of this core's */
    mono_ns deadline;
};

static uint64_t missing_of(const struct held *n, const struct cover *need)
{
    struct cover left;
    cover_init(&left);
    cover_minus(need, &n->all, &left);
    uint64_t missing = cover_count(&left);
    cover_deinit(&left);
    return missing;
}

void held_taken(struct store *s, const struct cover *taken)
{
    cover_join(&s->sealed, taken);
}

void held_taken_here(struct shard *sh, const struct cover *taken)
{
    struct held *n = &sh->held;
    struct cover_iter it = { 0 };
    struct cover_run r;
    while (cover_next(taken, &it, &r))
        if (r.core % sh->store->cores == sh->core) note(sh, &r);
    n->intervals_most += cover_intervals(taken);
    for (struct name_waiter *w = n->waiters; w; w = w->next) {
        w->missing = missing_of(n, w->need);
        if (w->missing == 0) event_signal(&w->done);
    }
}

static err_t refuse_closing(void)
{
    return err_set(ERR_UNAVAILABLE, "the store is closing");
}

static err_t wait_here(void *arg)
{
    const struct wait_call *c = arg;
    struct shard *sh = shard_here(c->s);
    struct name_waiter w = { .need = &c->need, .missing = missing_of(&sh->held, &c->need) };
    if (w.missing == 0) return OK;
    if (!gate_enter(&sh->open)) return refuse_closing();
    event_init(&w.done);
    w.next = sh->held.waiters;
    sh->held.waiters = &w;
    err_t e = event_wait_until(&w.done, c->deadline);
    struct name_waiter **at = &sh->held.waiters;
    while (*at != &w)
        at = &(*at)->next;
    *at = w.next;
    gate_leave(&sh->open);
    if (e == OK && w.missing > 0) return refuse_closing();
    return e == ERR_TIMEOUT ? err_set(e, "%" PRIu64 " requests that the answer needs did not come in time", w.missing) : e;
}

void held_wake(struct held *n)
{
    for (struct name_waiter *w = n->waiters; w; w = w->next)
        event_signal(&w->done);
}

err_t store_cover_wait(struct store *s, const struct cover *need, mono_ns deadline)
{
    struct wait_call *calls = calloc(s->cores, sizeof *calls);
    void **args = calloc(s->cores, sizeof *args);
    ASSERT(calls != NULL && args != NULL);
    for (unsigned c = 0; c < s->cores; c++) {
        calls[c] = (struct wait_call){ .s = s, .deadline = deadline };
        cover_init(&calls[c].need);
        args[c] = &calls[c];
    }
    struct cover_iter it = { 0 };
    struct cover_run r;
    while (cover_next(need, &it, &r))
        cover_add_run(&calls[r.core % s->cores].need, &r);
    err_t e = rt_call_all(RT_INGEST, wait_here, args, NULL);
    for (unsigned c = 0; c < s->cores; c++)
        cover_deinit(&calls[c].need);
    free(args);
    free(calls);
    return e;
}
