#include "storage/object_cache.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/metric.h"

#include <stdio.h>
#include <stdlib.h>

enum { FETCHES = 4 /* requests at once for one window */ };
#define NO_SLOT UINT32_MAX

enum slot_state { SLOT_FREE, SLOT_FETCHING, SLOT_FULL };
struct slot {
    hash128 key;
    uint32_t piece;
    uint32_t next;  /* in its bucket of the index; NO_SLOT = last */
    uint16_t pins;
    uint8_t state, read; /* read: since the hand passed; how many passes it stays */
};
struct object_cache {
    struct object_gate gate;
    struct file f;
    struct slot *slots;
    uint32_t nslots, hand, *heads, mask; /* heads: an index by hash, chained through slots */
    struct event moved;  /* a slot that was being fetched is so no more */
};

/* -- slots -------------------------------------------------------------------------------------------------------- */

static uint32_t *head_of(struct object_cache *c, hash128 key, uint32_t piece)
{
    return &c->heads[hash_u64(key.lo ^ hash_u64(piece + 1)) & c->mask];
}

static uint32_t find(struct object_cache *c, hash128 key, uint32_t piece)
{
    for (uint32_t i = *head_of(c, key, piece); i != NO_SLOT; i = c->slots[i].next)
        if (c->slots[i].piece == piece && hash128_eq(c->slots[i].key, key)) return i;
    return NO_SLOT;
}

static void unlink_slot(struct object_cache *c, uint32_t i)
{
    struct slot *s = &c->slots[i];
    uint32_t *at = head_of(c, s->key, s->piece);
    while (*at != i)
        at = &c->slots[*at].next;
    *at = s->next;
    if (s->state == SLOT_FULL) metric_add(M_OBJECT_CACHE_BYTES, -(int64_t)OBJECT_PIECE);
    s->state = SLOT_FREE;
}

/* A slot for a piece that is about to be fetched, pinned; NO_SLOT when all are in use. */
static uint32_t take(struct object_cache *c, hash128 key, uint32_t piece)
{
    for (uint32_t tries = 0; tries < (OBJECT_STAY + 1) * c->nslots; tries++) {
        uint32_t i = c->hand++;
        struct slot *s = &c->slots[i];
        if (c->hand == c->nslots) c->hand = 0;
        if (s->pins > 0 || s->state == SLOT_FETCHING) continue;
        if (s->state == SLOT_FULL && s->read) {
            s->read--;
            continue;
        }
        if (s->state == SLOT_FULL) {
            unlink_slot(c, i);
            metric_add(M_OBJECT_CACHE_EVICTIONS, 1);
        }
        uint32_t *head = head_of(c, key, piece);
        *s = (struct slot){ .key = key, .piece = piece, .next = *head, .pins = 1, .state = SLOT_FETCHING };
        *head = i;
        return i;
    }
    return NO_SLOT;
}

/* -- a window of pieces that are here, or whose bytes are at hand -------------------------------------------------- */

struct held {
    uint32_t piece, slot;
    bool fetch;        /* by us */
    const char *bytes; /* as they came; NULL: in the slot */
};
struct window {
    struct object_cache *c;
    const struct object_ref *o;
    struct held v[OBJECT_WINDOW];
    uint32_t n;
    struct run {
        struct window *w;
        uint32_t first, n; /* of v */
        char *bytes;
        err_t result;
        struct err_record why;
    } runs[OBJECT_WINDOW];
    uint32_t nruns, next_run;
};

static uint32_t piece_bytes(const struct object_ref *o, uint32_t piece)
{
    return (uint32_t)MIN(o->size - (uint64_t)piece * OBJECT_PIECE, (uint64_t)OBJECT_PIECE);
}

/* Writes a fetched piece to its slot; a piece that cannot be written is not kept. */
static void keep(struct object_cache *c, struct held *h, uint32_t n)
{
    struct slot *s = &c->slots[h->slot];
    bool good = file_write(&c->f, h->bytes, n, (uint64_t)h->slot * OBJECT_PIECE) == OK;
    ASSERT(s->state == SLOT_FETCHING && s->pins == 1);
    if (good) {
        s->state = SLOT_FULL;
        metric_add(M_OBJECT_CACHE_BYTES, OBJECT_PIECE);
        return;
    }
    metric_add(M_OBJECT_CACHE_FAILED, 1);
    s->pins = 0;
    unlink_slot(c, h->slot);
    h->slot = NO_SLOT;
}

static err_t fetch_run(struct run *r)
{
    struct window *w = r->w;
    uint32_t first = w->v[r->first].piece, last = w->v[r->first + r->n - 1].piece;
    size_t n = (size_t)(last - first) * OBJECT_PIECE + piece_bytes(w->o, last), got = 0;
    r->bytes = malloc(n);
    ASSERT(r->bytes != NULL);
    metric_add(M_OBJECT_CACHE_MISSES, r->n);
    TRY(object_gate_read(&w->c->gate, w->o->name, (uint64_t)first * OBJECT_PIECE, n, r->bytes, &got));
    if (got != n)
        return err_set(ERR_CORRUPT, "%s: " STR_FMT " ends %zu bytes too early", w->c->gate.retry.store->name(w->c->gate.retry.store),
                       STR_ARG(w->o->name), n - got);
    for (uint32_t i = 0; i < r->n; i++) {
        struct held *h = &w->v[r->first + i];
        h->bytes = r->bytes + (size_t)i * OBJECT_PIECE;
        if (h->slot != NO_SLOT) keep(w->c, h, piece_bytes(w->o, h->piece));
    }
    return OK;
}

static void fetch_runs(void *arg)
{
    struct window *w = arg;
    while (w->next_run < w->nruns) {
        struct run *r = &w->runs[w->next_run++];
        r->result = fetch_run(r);
        if (r->result != OK) r->why = *err_record();
    }
}

/* Pins what is here and claims what is not. False when a piece is on its way to another reader: the caller waits, and asks
 * again for the rest. */
static bool claim(struct window *w, uint32_t piece)
{
    struct object_cache *c = w->c;
    uint32_t i = find(c, w->o->key, piece);
    if (i != NO_SLOT && c->slots[i].state == SLOT_FETCHING) return false;
    struct held *h = &w->v[w->n++];
    *h = (struct held){ .piece = piece, .slot = i };
    if (i != NO_SLOT) {
        metric_add(M_OBJECT_CACHE_HITS, 1);
        c->slots[i].pins++;
        c->slots[i].read = MAX(c->slots[i].read, (uint8_t)1);
        return true;
    }
    h->fetch = true;
    h->slot = take(c, w->o->key, piece);
    return true;
}

static void plan_runs(struct window *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        if (!w->v[i].fetch) continue;
        struct run *r = w->nruns ? &w->runs[w->nruns - 1] : NULL;
        if (r && r->first + r->n == i && w->v[i - 1].piece + 1 == w->v[i].piece && r->n < OBJECT_RUN)
            r->n++;
        else
            w->runs[w->nruns++] = (struct run){ .w = w, .first = i, .n = 1 };
    }
}

/* In this fiber, and in others beside it where there is more than one request. */
static err_t fetch_all(struct window *w)
{
    struct scope s;
    scope_init(&s, fiber_scope());
    const struct fiber_opts o = { .name = "object.fetch", .class = RT_QUERY };
    for (uint32_t i = 1; i < MIN(w->nruns, (uint32_t)FETCHES); i++)
        if (fiber_start(&s, &o, fetch_runs, w) != OK) break; /* then we do it all */
    fetch_runs(w);
    err_t e = scope_join(&s);
    ASSERT(e == OK);
    scope_deinit(&s);
    for (uint32_t i = 0; i < w->nruns; i++)
        if (w->runs[i].result != OK) {
            *err_record() = w->runs[i].why;
            return w->runs[i].result;
        }
    return OK;
}

static void let_go(struct window *w)
{
    struct object_cache *c = w->c;
    for (uint32_t i = 0; i < w->n; i++) {
        if (w->v[i].slot == NO_SLOT) continue;
        struct slot *s = &c->slots[w->v[i].slot];
        ASSERT(s->pins > 0);
        s->pins--;
        if (s->state == SLOT_FETCHING) unlink_slot(c, w->v[i].slot); /* the fetch failed */
    }
    for (uint32_t i = 0; i < w->nruns; i++)
        free(w->runs[i].bytes);
    event_signal(&c->moved);
    event_reset(&c->moved);
}

/* -- reading ------------------------------------------------------------------------------------------------------- */

/* What the ranges want of the held pieces: copied, or read from the file with one call. */
static err_t copy_out(struct window *w, const struct file_range *r, uint32_t n)
{
    struct arena tmp;
    struct file_range *reads = NULL;
    size_t nreads = 0, cap = 0;
    arena_init(&tmp, NULL);
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t i = 0; i < w->n; i++) {
            const struct held *h = &w->v[i];
            uint64_t begin = (uint64_t)h->piece * OBJECT_PIECE, from = MAX(r[k].off, begin);
            uint64_t to = MIN(r[k].off + r[k].n, begin + piece_bytes(w->o, h->piece));
            if (from >= to) continue;
            char *at = (char *)r[k].to + (from - r[k].off);
            if (h->bytes) {
                memcpy(at, h->bytes + (from - begin), (size_t)(to - from));
                continue;
            }
            reads = arena_grow(&tmp, reads, nreads, &cap, nreads + 1, sizeof *reads);
            reads[nreads++] = (struct file_range){ at, (size_t)(to - from), (uint64_t)h->slot * OBJECT_PIECE + (from - begin) };
        }
    }
    err_t e = nreads ? file_read_ranges(&w->c->f, reads, (uint32_t)nreads) : OK;
    arena_deinit(&tmp);
    return e;
}

/* A cache that cannot be read must not stop who can read the bucket. */
static err_t past_the_cache(struct window *w, const struct file_range *r, uint32_t n)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct held *h = &w->v[i];
        if (h->bytes) continue;
        size_t size = piece_bytes(w->o, h->piece), got = 0;
        char *bytes = malloc(size);
        ASSERT(bytes != NULL && w->nruns < OBJECT_WINDOW);
        w->runs[w->nruns++] = (struct run){ .w = w, .bytes = bytes };
        TRY(object_gate_read(&w->c->gate, w->o->name, (uint64_t)h->piece * OBJECT_PIECE, size, bytes, &got));
        if (got != size) return err_set(ERR_CORRUPT, STR_FMT " ends too early in the bucket", STR_ARG(w->o->name));
        h->bytes = bytes;
    }
    metric_add(M_OBJECT_CACHE_FAILED, 1);
    return copy_out(w, r, n);
}

/* Pieces wanted[0..n) as far as they can be held together; their number. */
static uint32_t hold(struct window *w, const uint32_t *wanted, uint32_t n, err_t *e)
{
    for (;;) {
        uint32_t done = 0;
        while (done < MIN(n, (uint32_t)OBJECT_WINDOW) && claim(w, wanted[done]))
            done++;
        if (done > 0 || n == 0) return done;
        *e = event_wait(&w->c->moved);
        if (*e != OK) return 0;
    }
}

static err_t read_window(struct object_cache *c, const struct object_ref *o, const uint32_t *wanted, uint32_t n, const struct file_range *r,
                         uint32_t nr, uint32_t *done)
{
    struct window *w = calloc(1, sizeof *w);
    ASSERT(w != NULL);
    w->c = c;
    w->o = o;
    err_t e = OK;
    *done = hold(w, wanted, n, &e);
    if (e == OK) {
        plan_runs(w);
        e = w->nruns ? fetch_all(w) : OK;
    }
    if (e == OK && nr > 0) {
        e = copy_out(w, r, nr);
        if (e == ERR_IO || e == ERR_CORRUPT) e = past_the_cache(w, r, nr);
    }
    let_go(w);
    free(w);
    return e;
}

static int ascending(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

/* The pieces of all ranges, each once, ascending. */
static uint32_t pieces_of(const struct file_range *r, uint32_t n, struct arena *a, uint32_t **out)
{
    size_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (r[i].n) count += (size_t)((r[i].off + r[i].n - 1) / OBJECT_PIECE - r[i].off / OBJECT_PIECE + 1);
    uint32_t *v = ARENA_RAW(a, uint32_t, count + 1), kept = 0;
    size_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint64_t p = r[i].off / OBJECT_PIECE; r[i].n && p <= (r[i].off + r[i].n - 1) / OBJECT_PIECE; p++)
            v[k++] = (uint32_t)p;
    if (count > 1) qsort(v, count, sizeof *v, ascending);
    for (k = 0; k < count; k++)
        if (kept == 0 || v[kept - 1] != v[k]) v[kept++] = v[k];
    *out = v;
    return kept;
}

static err_t read_all(struct object_cache *c, const struct object_ref *o, const struct file_range *r, uint32_t n, uint32_t ncopy)
{
    struct arena tmp;
    uint32_t *wanted, done = 0;
    err_t e = OK;
    for (uint32_t i = 0; i < n; i++)
        if (r[i].off > o->size || r[i].n > o->size - r[i].off)
            return err_set(ERR_CORRUPT, STR_FMT ": bytes behind its end are asked for", STR_ARG(o->name));
    arena_init(&tmp, NULL);
    uint32_t np = pieces_of(r, n, &tmp, &wanted);
    for (uint32_t at = 0; e == OK && at < np; at += done)
        e = read_window(c, o, wanted + at, np - at, r, ncopy, &done);
    arena_deinit(&tmp);
    return e;
}

err_t object_cache_read(struct object_cache *c, const struct object_ref *o, const struct file_range *r, uint32_t n)
{
    return read_all(c, o, r, n, n);
}

void object_cache_fill(struct object_cache *c, const struct object_ref *o, uint64_t off, uint64_t n)
{
    const struct file_range r = { NULL, (size_t)n, off };
    /* Not more than a part of the cache, or what is filled first is gone before it is read. */
    if (n / OBJECT_PIECE > c->nslots / 4) return;
    struct err_record before = *err_record();
    if (read_all(c, o, &r, 1, 0) != OK) *err_record() = before; /* the read that follows tells */
}

/* One piece that is not here. False: there is no place, or no piece to be had. */
static bool put_piece(struct object_cache *c, const struct object_ref *o, struct file *from, uint32_t piece, char *work)
{
    struct held h = { .piece = piece, .slot = take(c, o->key, piece) };
    uint32_t n = piece_bytes(o, piece);
    if (h.slot == NO_SLOT) return false;
    struct slot *s = &c->slots[h.slot];
    h.bytes = work;
    if (file_read(from, work, n, (uint64_t)piece * OBJECT_PIECE, NULL) == OK) {
        keep(c, &h, n);
    } else {
        unlink_slot(c, h.slot);
        h.slot = NO_SLOT;
    }
    if (h.slot != NO_SLOT) s->read = OBJECT_STAY;
    s->pins = 0;
    event_signal(&c->moved);
    event_reset(&c->moved);
    return h.slot != NO_SLOT;
}

void object_cache_put(struct object_cache *c, const struct object_ref *o, struct file *from, uint64_t off, uint64_t n)
{
    if (n == 0 || off > o->size || n > o->size - off) return;
    uint32_t first = (uint32_t)(off / OBJECT_PIECE), last = (uint32_t)((off + n - 1) / OBJECT_PIECE);
    if (last - first >= c->nslots / 4) return;
    struct err_record before = *err_record();
    char *work = malloc(OBJECT_PIECE);
    ASSERT(work != NULL);
    for (uint32_t p = first; p <= last; p++)
        if (find(c, o->key, p) == NO_SLOT && !put_piece(c, o, from, p, work)) break;
    free(work);
    object_cache_stay(c, o, off, n);
    *err_record() = before; /* without it the bucket is asked */
}

void object_cache_stay(struct object_cache *c, const struct object_ref *o, uint64_t off, uint64_t n)
{
    for (uint64_t p = off / OBJECT_PIECE; n && p <= (off + n - 1) / OBJECT_PIECE; p++) {
        uint32_t i = find(c, o->key, (uint32_t)p);
        if (i != NO_SLOT) c->slots[i].read = OBJECT_STAY;
    }
}

void object_cache_forget(struct object_cache *c, const struct object_ref *o, uint64_t off, uint64_t n)
{
    for (uint64_t p = off / OBJECT_PIECE; n && p <= (off + n - 1) / OBJECT_PIECE; p++) {
        uint32_t i = find(c, o->key, (uint32_t)p);
        if (i == NO_SLOT || c->slots[i].state != SLOT_FULL || c->slots[i].pins > 0) continue;
        unlink_slot(c, i);
        metric_add(M_OBJECT_CACHE_FAILED, 1);
    }
}

/* -- open and close ------------------------------------------------------------------------------------------------- */

uint64_t object_cache_failures(const struct object_cache *c)
{
    return c->gate.failures;
}

bool object_cache_away(const struct object_cache *c)
{
    return atomic_load(&c->gate.all->shut);
}

err_t object_cache_open(const char *path, struct object_store *store, struct object_away *away, int64_t budget_bytes,
                        struct object_cache **out)
{
    struct object_cache *c = calloc(1, sizeof *c);
    ASSERT(c != NULL);
    err_t e = file_open(&c->f, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE);
    if (e != OK) {
        free(c);
        return e;
    }
    c->nslots = (uint32_t)MIN(MAX(budget_bytes / OBJECT_PIECE, (int64_t)OBJECT_WINDOW), (int64_t)1 << 24);
    c->slots = calloc(c->nslots, sizeof *c->slots);
    c->mask = 63;
    while (c->mask < c->nslots)
        c->mask = c->mask * 2 + 1;
    c->heads = malloc(((size_t)c->mask + 1) * sizeof *c->heads);
    ASSERT(c->slots != NULL && c->heads != NULL);
    memset(c->heads, 0xff, ((size_t)c->mask + 1) * sizeof *c->heads);
    event_init(&c->moved);
    object_gate_init(&c->gate, store, away);
    *out = c;
    return OK;
}

void object_cache_close(struct object_cache *c)
{
    if (!c) return;
    object_gate_deinit(&c->gate);
    for (uint32_t i = 0; i < c->nslots; i++) {
        ASSERT(c->slots[i].pins == 0 && c->slots[i].state != SLOT_FETCHING);
        if (c->slots[i].state == SLOT_FULL) unlink_slot(c, i);
    }
    file_close(&c->f);
    free(c->slots);
    free(c->heads);
    free(c);
}
