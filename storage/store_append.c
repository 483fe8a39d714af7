/* The write path: claim (its name, if it came with one; its content) -> encode -> enter the generation and the log -> synced ->
 * rows into the memtables of their cores -> covered -> leave the generation -> acked. Content that is known under another name is
 * logged as an alias of that, and has no rows.
 *
 * From the log on nothing may be left half done, or a row that is synced would be missing from the memtable
 * whose seal deletes the log. So the work runs in a fiber of its own, which the caller's cancel and
 * deadline do not reach; the caller waits for its end. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdlib.h>

struct append {
    struct store *s;
    struct batch *const *batches;
    uint32_t n;
    struct batch_name name; /* origin 0: it is given here */
    struct str bytes;       /* to be logged as they are; empty: encoded here */
    hash128 was;            /* of store_request, and the next */
    uint64_t after, upto;
    err_t result;
    struct err_record why;
};

/* One on its way. */
struct passing {
    struct append *ap;
    struct shard *sh;
    struct arena a;
    struct dedup_entry entry;
    struct request_head head;
    bool named, claimed; /* the name came with it and is claimed; the content is */
    bool logged;         /* its claims have ended */
    uint64_t thaws;      /* of the store, before it claimed anything */
    struct split *split;
    struct batch *decoded; /* n */
    uint32_t ndecoded;
};

/* -- which series the log of this generation defines ------------------------------------------------------ */

static void defined_reset(struct defined *d, uint64_t generation, uint64_t epoch)
{
    htab_clear(&d->index);
    d->count = 0;
    d->generation = generation;
    d->epoch = epoch;
}

static bool is_defined(const struct defined *d, hash128 id)
{
    for (uint32_t it = 0, v; htab_next(&d->index, hash_u64(id.lo), &it, &v);)
        if (hash128_eq(d->ids[v], id)) return true;
    return false;
}

/* One request's look at what is defined, and the series that it will define. */
struct definer {
    const struct defined *d;
    struct arena *a;
    hash128 *fresh;
    size_t nfresh, cap;
};

/* The table is bigger than the caches: slots are fetched, then the ids that they name, then all are compared. */
static void find_defined(void *ctx, const hash128 *ids, uint32_t n, uint8_t *known)
{
    struct definer *f = ctx;
    const struct defined *d = f->d;
    for (uint32_t i = 0; i < n; i++)
        htab_prefetch(&d->index, hash_u64(ids[i].lo));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t it = 0, v;
        if (htab_next(&d->index, hash_u64(ids[i].lo), &it, &v)) __builtin_prefetch(&d->ids[v]);
    }
    for (uint32_t i = 0; i < n; i++) {
        known[i] = is_defined(d, ids[i]);
        if (known[i]) continue;
        f->fresh = arena_grow(f->a, f->fresh, f->nfresh, &f->cap, f->nfresh + 1, sizeof *f->fresh);
        f->fresh[f->nfresh++] = ids[i];
    }
}

static void define_one(struct defined *d, hash128 id)
{
    if (d->count == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 256;
        d->ids = realloc(d->ids, d->cap * sizeof *d->ids);
        ASSERT(d->ids != NULL);
    }
    d->ids[d->count] = id;
    htab_insert(&d->index, hash_u64(id.lo), (uint32_t)d->count++);
}

static void define(struct defined *d, const struct definer *f)
{
    for (size_t i = 0; i < f->nfresh; i++)
        if (!is_defined(d, f->fresh[i])) define_one(d, f->fresh[i]); /* it may come twice in the request */
}

/* -- one request ------------------------------------------------------------------------------------------ */

static bool defined_current(const struct shard *sh)
{
    const struct defined *d = &sh->defined;
    return d->generation == sh->generation && d->epoch == wal_epoch(sh->wal);
}

/* Encodes until nothing that the bytes lean on has changed meanwhile. Returns without having yielded since. Only the stream of this
 * node leans on anything: others are read by other nodes. */
static err_t encode(struct passing *p, struct definer *f, struct buf *out)
{
    struct shard *sh = p->sh;
    const struct metric_encode_opts o = { find_defined, f };
    bool leans = p->head.name.stream == p->ap->s->own_stream;
    for (;;) {
        f->nfresh = 0;
        if (!defined_current(sh)) defined_reset(&sh->defined, sh->generation, wal_epoch(sh->wal));
        uint64_t generation = sh->generation, epoch = wal_epoch(sh->wal);
        buf_clear(out);
        request_encode(&p->head, p->ap->batches, leans ? &o : NULL, out);
        if (out->failed)
            return err_set(ERR_TOO_LARGE, "a request of more than %d bytes as columns", WAL_PAYLOAD_MAX);
        if (generation == sh->generation && epoch == wal_epoch(sh->wal)) return OK;
    }
}

/* Ends the claims, inside the generation if it is covered, so that the seal finds the name and the key. */
static void end_claims(struct passing *p, uint64_t generation, bool covered)
{
    struct store *s = p->ap->s;
    struct err_record why = *err_record();
    p->logged = true;
    if (p->named)
        held_finish(s, &p->head.name, generation, covered);
    else if (covered)
        held_add(p->sh, generation, &p->head.name);
    if (p->claimed) dedup_finish(s, &p->entry, covered);
    *err_record() = why;
}

static err_t log_and_insert(struct passing *p)
{
    struct store *s = p->ap->s;
    struct shard *sh = p->sh;
    struct buf bytes;
    buf_init(&bytes, WAL_PAYLOAD_MAX, &s->mem);
    struct definer f = { .d = &sh->defined, .a = &p->a };
    bool as_given = p->ap->bytes.n && p->head.nbatches;
    err_t e = as_given ? OK : encode(p, &f, &bytes);
    if (e != OK) goto out;
    struct wal_ticket t = { .payload = as_given ? p->ap->bytes : buf_view(&bytes) };
    t.payload_hash = hash64(t.payload);
    if (p->head.name.stream != s->own_stream) t.name = &p->head.name;
    /* No yield from here to wal_submit: the bytes, the generation and the order in the log belong together. Who freezes a stream seals
     * then, which waits for those that came past this. */
    if (atomic_load_explicit(&s->frozen, memory_order_acquire) == p->head.name.stream) {
        e = err_set(ERR_UNAVAILABLE, "stream %016" PRIx64 " is being filled from another node", p->head.name.stream);
        goto out;
    }
    if (atomic_load_explicit(&s->thaws, memory_order_relaxed) != p->thaws) {
        e = err_set(ERR_UNAVAILABLE, "a stream was filled from another node meanwhile: what is new here is to be asked again");
        goto out;
    }
    t.generation = p->entry.generation = sh->generation;
    struct gate *gate = &sh->gates[t.generation & 1];
    bool in = gate_enter(gate);
    ASSERT(in);
    define(&sh->defined, &f);
    wal_submit(sh->wal, &t);
    e = wal_wait(sh->wal, &t);
    if (e == OK) {
        atomic_store_explicit(&s->dirty, true, memory_order_relaxed);
        if (p->split) split_insert(p->split, t.generation, p->head.name.stream);
        if (!store_has_room(s)) store_seal_soon(s);
    }
    end_claims(p, t.generation, e == OK);
    gate_leave(gate);
out:
    buf_deinit(&bytes);
    return e;
}

static err_t refuse_failed(void)
{
    return err_set(ERR_IO, "the log of this node failed: nothing is stored until it restarts");
}

/* A claim may have waited for a request of the same name or content whose write failed: that one's frame may lie on the disk all
 * the same, and a second one in another core's log would be read beside it after the restart. */
static err_t claim_name(struct passing *p, bool *known)
{
    struct store *s = p->ap->s;
    TRY(held_claim(s, &p->head.name, known));
    p->named = !*known;
    if (p->named && atomic_load_explicit(&s->failed, memory_order_relaxed)) return refuse_failed();
    return OK;
}

static err_t claim_content(struct passing *p, bool *known)
{
    struct store *s = p->ap->s;
    const hash128 none = { 0, 0 };
    *known = false;
    if (!hash128_eq(p->ap->was, none)) {
        TRY(dedup_known_between(s, dedup_key_of(s, p->ap->was, p->head.name.stream), p->ap->after, p->ap->upto, known, &p->head.of));
        if (*known) return OK;
    }
    if (hash128_eq(p->entry.key, none)) return OK;
    TRY(dedup_claim(s, p->entry.key, known, &p->head.of));
    p->claimed = !*known;
    if (p->claimed && atomic_load_explicit(&s->failed, memory_order_relaxed)) return refuse_failed();
    return OK;
}

/* -- bytes of others ---------------------------------------------------------------------------------------- */

/* Whatever the bytes are, what is made of them is fit for the memtables. Ids are the hash of the label bytes, so that those that were
 * looked at once are not again in a generation. */
static err_t check_batch(struct shard *sh, const struct batch *b, struct arena *a)
{
    const struct metric_batch *m = b->metrics;
    struct defined *fit = &sh->fit;
    uint32_t fresh = 0;
    if (!m) return OK;
    if (fit->generation != sh->generation || fit->count + m->nseries > FIT_SERIES_MAX) defined_reset(fit, sh->generation, 0);
    for (uint32_t i = 0; i < m->nseries; i++) {
        struct labels ls;
        if (!m->canonical[i].p) return err_set(ERR_CORRUPT, "a request from another node leaves out the labels of a series");
        if (is_defined(fit, m->id[i])) continue;
        TRY(labels_decode(m->canonical[i], a, &ls));
        TRY(arena_check(a));
        if (fit->count < FIT_SERIES_MAX) define_one(fit, m->id[i]);
        fresh++;
    }
    metric_add(M_PUT_SERIES_CHECKED, fresh);
    return OK;
}

static err_t decode_batches(struct passing *p, struct request_reader *rd)
{
    struct store *s = p->ap->s;
    if (rd->left > p->ap->bytes.n) return err_set(ERR_CORRUPT, "a request of %u batches", rd->left);
    p->decoded = ARENA_ARRAY(&p->a, struct batch, rd->left);
    struct batch **list = ARENA_ARRAY(&p->a, struct batch *, rd->left);
    TRY(arena_check(&p->a));
    while (rd->left > 0) {
        struct batch *b = &p->decoded[p->ndecoded];
        TRY(request_next(rd, &p->a, &s->mem, b));
        list[p->ndecoded++] = b;
        TRY(check_batch(p->sh, b, &p->a));
        TRY(rt_checkpoint());
    }
    p->ap->batches = list;
    p->ap->n = p->ndecoded;
    return OK;
}

/* What the bytes say of the request, and its batches if they were not given. */
static err_t open_bytes(struct passing *p)
{
    struct append *ap = p->ap;
    struct request_reader rd;
    TRY(request_open(ap->bytes, &rd));
    if (!batch_name_eq(&rd.head.name, &ap->name))
        return err_set(ERR_INVALID, "a request under one name has bytes of another");
    p->head = rd.head;
    if (rd.head.nbatches == 0) return OK;
    if (!ap->batches) return decode_batches(p, &rd);
    if (rd.head.nbatches != ap->n) return err_set(ERR_INVALID, "a request of %u batches has bytes of %u", ap->n, rd.head.nbatches);
    return OK;
}

/* -- one request, whatever it came as ------------------------------------------------------------------------- */

static err_t prepare(struct passing *p)
{
    struct append *ap = p->ap;
    struct store *s = ap->s;
    p->head = (struct request_head){ .name = ap->name, .wall_ms = rt_wall().ns / NS_PER_MS };
    if (p->head.name.stream == 0) p->head.name.stream = s->own_stream;
    if (ap->bytes.n) TRY(open_bytes(p));
    else p->head.key = request_key(ap->batches, ap->n);
    if (!store_stream_known(s, p->head.name.stream))
        return err_set(ERR_INVALID, "a request of stream %016" PRIx64 ", which this node does not know", p->head.name.stream);
    /* It is remembered from when it came here, however late that is. */
    p->entry = (struct dedup_entry){ .key = dedup_key_of(s, p->head.key, p->head.name.stream), .wall_ms = rt_wall().ns / NS_PER_MS };
    for (uint32_t i = 0; i < ap->n; i++)
        p->entry.scope |= dedup_scope(ap->batches[i]->tenant, ap->batches[i]->signal);
    return OK;
}

/* An alias from another node. */
static err_t put_alias(struct passing *p)
{
    bool there;
    TRY(held_has(p->ap->s, &p->head.of, &there));
    if (!there) return err_set(ERR_NOT_FOUND, "a request is an alias of one that is not here yet");
    metric_add(M_PUT_ALIASES, 1);
    return log_and_insert(p);
}

static err_t put_rows(struct passing *p)
{
    struct append *ap = p->ap;
    struct store *s = ap->s;
    bool known, given = ap->name.origin.u != 0;
    TRY(claim_content(p, &known));
    if (known) {
        metric_add(M_INGEST_REPEATED, 1);
        if (!given) return OK;
        metric_add(M_PUT_ALIASES, 1);
        p->head.nbatches = 0;
        return log_and_insert(p);
    }
    if (!given) held_name_silent(s, p->head.name.stream, &p->head.name);
    p->entry.name = p->head.name;
    p->head.nbatches = ap->n;
    p->split = split_new(s, &p->a);
    for (uint32_t i = 0; i < ap->n; i++)
        split_add(p->split, ap->batches[i], NULL);
    return log_and_insert(p);
}

static err_t pass(struct passing *p)
{
    bool known = false;
    TRY(prepare(p));
    if (p->ap->name.origin.u) TRY(claim_name(p, &known));
    if (known) {
        metric_add(M_PUT_REPEATED, 1);
        return OK;
    }
    return p->ap->n ? put_rows(p) : put_alias(p);
}

static err_t append_request(struct append *ap)
{
    struct passing p = { .ap = ap, .sh = shard_here(ap->s), .thaws = atomic_load_explicit(&ap->s->thaws, memory_order_acquire) };
    arena_init(&p.a, &ap->s->mem);
    err_t e = pass(&p);
    if (!p.logged) end_claims(&p, 0, false); /* it never came to the log */
    for (uint32_t i = 0; i < p.ndecoded; i++)
        batch_release(&p.decoded[i]);
    arena_deinit(&p.a);
    return e;
}

static void append_fiber(void *arg)
{
    struct append *ap = arg;
    ap->result = append_request(ap);
    ap->why = *err_record();
}

static err_t admit(struct store *s)
{
    if (atomic_load_explicit(&s->failed, memory_order_relaxed)) return refuse_failed();
    if (atomic_load_explicit(&s->disk.level, memory_order_relaxed) >= DISK_FULL)
        return err_set(ERR_NOSPC, "the disk of %s is %.1f%% full: ingest is refused until there is room, free space on it", s->o.dir,
                    100 * atomic_load_explicit(&s->disk.used, memory_order_relaxed));
    if (budget_check(&s->mem) != OK)
        return err_set(ERR_OVERLOAD, "memtables hold %lld of %lld bytes: waiting for the seal",
                    (long long)atomic_load(&s->mem.used), (long long)s->o.mem_bytes);
    return OK;
}

bool store_has_room(const struct store *s)
{
    return atomic_load_explicit(&s->mem.used, memory_order_relaxed) <= s->o.mem_bytes / 2;
}

err_t store_put(struct store *s, const struct store_request *r)
{
    if (r->n == 0 && r->bytes.n == 0) return OK;
    if (r->bytes.n > WAL_PAYLOAD_MAX) return err_set(ERR_TOO_LARGE, "a request of %zu bytes", r->bytes.n);
    if (r->bytes.n && r->name.origin.u == 0) return err_set(ERR_INVALID, "bytes of a request without its name");
    for (uint32_t i = 0; r->batches && i < r->n; i++)
        if (r->batches[i]->ntables > BATCH_TABLES_MAX)
            return err_set(ERR_TOO_LARGE, "a batch of %u tables, at most %d", r->batches[i]->ntables, BATCH_TABLES_MAX);
    TRY(admit(s));
    struct shard *sh = shard_here(s);
    if (!gate_enter(&sh->open)) return err_set(ERR_UNAVAILABLE, "the store is closing");
    struct append ap = { .s = s, .batches = r->batches, .n = r->batches ? r->n : 0, .name = r->name, .bytes = r->bytes,
                         .was = r->was, .after = r->after, .upto = r->upto };
    const struct fiber_opts fo = { .name = "append", .class = RT_INGEST };
    struct scope scope;
    scope_init(&scope, NULL);
    err_t e = fiber_start(&scope, &fo, append_fiber, &ap);
    if (e == OK) {
        e = scope_join(&scope);
        ASSERT(e == OK);
        e = ap.result;
        if (e != OK) *err_record() = ap.why;
    }
    scope_deinit(&scope);
    gate_leave(&sh->open);
    return e;
}

err_t store_append(struct store *s, struct batch *const *batches, uint32_t n)
{
    const struct store_request r = { .batches = batches, .n = n };
    return store_put(s, &r);
}
