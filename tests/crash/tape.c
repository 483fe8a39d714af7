#include "tests/crash/crash.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>

enum { NOTE_SHIFT = 56 };

void tape_note(enum note what, uint64_t which)
{
    sim_tape_note((uint64_t)what << NOTE_SHIFT | which);
}
void tape_event(enum model_event what, uint32_t which)
{
    tape_note((enum note)(what + 1), which);
}

void tape_init(struct tape *t)
{
    *t = (struct tape){ .disk = sim_tape_new() };
    arena_init(&t->mem, NULL);
}
void tape_deinit(struct tape *t)
{
    for (size_t i = 0; i < t->nobjects; i++)
        tape_object_put(t->objects[i]);
    sim_tape_free(t->disk);
    arena_deinit(&t->mem);
}

/* -- the catalog that records ------------------------------------------------------------------------------ */

struct tape_kv {
    struct kv kv;
    struct kv *inner;
    struct tape *tape;
};

static struct tape_kv *of(struct kv *kv)
{
    return CONTAINER_OF(kv, struct tape_kv, kv);
}

static err_t tape_write(struct kv *kv, const struct kv_op *ops, size_t n)
{
    struct tape *t = of(kv)->tape;
    struct tape_kv_op copy = { ARENA_ARRAY(&t->mem, struct kv_op, n), n };
    for (size_t i = 0; i < n; i++) {
        copy.ops[i].key = arena_str(&t->mem, ops[i].key);
        if (ops[i].value.p) copy.ops[i].value = arena_str(&t->mem, ops[i].value);
    }
    t->kv = arena_grow(&t->mem, t->kv, t->nkv, &t->kv_cap, t->nkv + 1, sizeof *t->kv);
    size_t mine = t->nkv++;
    t->kv[mine] = copy;
    tape_note(NOTE_KV_BEGUN, mine);
    err_t e = of(kv)->inner->write(of(kv)->inner, ops, n);
    tape_note(NOTE_KV_DONE, mine);
    return e;
}
static err_t tape_get(struct kv *kv, struct str key, struct arena *a, struct str *value)
{
    return of(kv)->inner->get(of(kv)->inner, key, a, value);
}
static err_t tape_list(struct kv *kv, struct str prefix, size_t max, struct arena *a, struct kv_item **items, size_t *count)
{
    return of(kv)->inner->list(of(kv)->inner, prefix, max, a, items, count);
}
static void tape_close(struct kv *kv)
{
    (void)kv;
}

struct kv *tape_kv_new(struct tape *t, struct kv *inner)
{
    struct tape_kv *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    *k = (struct tape_kv){ { tape_write, tape_get, tape_list, tape_close }, inner, t };
    return &k->kv;
}

static struct kv_item *all_items(struct kv *kv, struct arena *a, size_t *n)
{
    struct kv_item *items;
    err_t e = kv->list(kv, STR(""), SIZE_MAX, a, &items, n);
    ASSERT(e == OK);
    return items;
}

struct kv *kv_copy(struct kv *kv)
{
    struct arena a;
    size_t n;
    arena_init(&a, NULL);
    struct kv_item *items = all_items(kv, &a, &n);
    struct kv_op *ops = ARENA_ARRAY(&a, struct kv_op, n);
    for (size_t i = 0; i < n; i++)
        ops[i] = (struct kv_op){ items[i].key, items[i].value };
    struct kv *copy = kv_mem_new();
    kv_apply(copy, &(struct tape_kv_op){ ops, n });
    arena_deinit(&a);
    return copy;
}

void kv_apply(struct kv *kv, const struct tape_kv_op *op)
{
    err_t e = kv->write(kv, op->ops, op->n);
    ASSERT(e == OK);
}

uint64_t kv_hash(struct kv *kv)
{
    struct arena a;
    size_t n;
    uint64_t h = 0;
    arena_init(&a, NULL);
    struct kv_item *items = all_items(kv, &a, &n);
    for (size_t i = 0; i < n; i++)
        h = hash64_with(items[i].value, hash64_with(items[i].key, h));
    arena_deinit(&a);
    return h;
}

/* -- what clients know ------------------------------------------------------------------------------------------ */

static void *array(size_t n, size_t elem)
{
    void *p = calloc(n + 1, elem);
    ASSERT(p != NULL);
    return p;
}

static void known_init(struct known *k, const struct model *m, const struct known *from)
{
    *k = (struct known){ .requests = array(m->nrequests, sizeof *k->requests), .deletions = array(m->ndeletions, sizeof *k->deletions),
                         .keeps = array(m->nkeeps, sizeof *k->keeps) };
    if (!from) return;
    k->nrequests = from->nrequests;
    k->ndeletions = from->ndeletions;
    k->nkeeps = from->nkeeps;
    k->clock = from->clock;
    memcpy(k->requests, from->requests, k->nrequests * sizeof *k->requests);
    memcpy(k->deletions, from->deletions, k->ndeletions * sizeof *k->deletions);
    memcpy(k->keeps, from->keeps, k->nkeeps * sizeof *k->keeps);
}

static void known_deinit(struct known *k)
{
    free(k->requests);
    free(k->deletions);
    free(k->keeps);
}

static void request_event(struct known *k, enum model_event what, uint32_t which)
{
    struct known_request *q = &k->requests[which];
    k->clock++;
    if (what == REQUEST_BEGUN) {
        k->nrequests = MAX(k->nrequests, which + 1);
        if (q->outcome == NEW) q->outcome = UNKNOWN;
        if (!q->first) q->first = k->clock;
        q->busy++;
        q->sent++;
        return;
    }
    q->last = k->clock;
    q->busy--;
    if (what == REQUEST_ACKED) q->outcome = ACKED;
}

static void known_event(struct known *k, const struct model *m, enum model_event what, uint32_t which)
{
    switch (what) {
    case REQUEST_BEGUN:
    case REQUEST_ENDED:
    case REQUEST_ACKED:
        ASSERT(which < m->nrequests);
        request_event(k, what, which);
        return;
    case DELETION_BEGUN:
        ASSERT(which == k->ndeletions && which < m->ndeletions);
        k->deletions[k->ndeletions++].begin = ++k->clock;
        return;
    case DELETION_ENDED:
    case DELETION_ACKED:
        k->deletions[which].end = ++k->clock;
        k->deletions[which].acked = what == DELETION_ACKED;
        return;
    case KEEP_BEGUN:
        ASSERT(which == k->nkeeps && which < m->nkeeps);
        k->keeps[k->nkeeps++] = KEEP_MAYBE;
        return;
    case KEEP_ACKED: k->keeps[which] = KEEP_SURE; return;
    }
}

void known_model(const struct known *k, const struct model *whole, uint64_t seed, int64_t wall_ns, struct model *to)
{
    model_copy(to, whole, k->nrequests, seed);
    for (uint32_t i = 0; i < k->nrequests; i++) {
        struct request *q = &to->requests[i];
        q->outcome = k->requests[i].outcome;
        q->sent = k->requests[i].sent;
        q->sent_first = k->requests[i].first;
        q->sent_last = k->requests[i].last;
        q->busy = k->requests[i].busy;
        q->acked_ns = wall_ns;
    }
    to->clock = k->clock;
    to->deletions = array(k->ndeletions, sizeof *to->deletions);
    to->ndeletions = to->deletions_cap = k->ndeletions;
    for (uint32_t i = 0; i < k->ndeletions; i++) {
        to->deletions[i] = whole->deletions[i];
        to->deletions[i].begin = k->deletions[i].begin;
        to->deletions[i].end = k->deletions[i].end;
        to->deletions[i].acked = k->deletions[i].acked;
    }
    to->keeps = array(k->nkeeps, sizeof *to->keeps);
    to->nkeeps = to->keeps_cap = k->nkeeps;
    for (uint32_t i = 0; i < k->nkeeps; i++) {
        to->keeps[i] = whole->keeps[i];
        if (k->keeps[i] != KEEP_SURE) to->keeps[i].acked_ns = 0;
    }
    deletions_crashed(to);
}

/* -- places on the tape -------------------------------------------------------------------------------------- */

void cut_init(struct cut *c, const struct tape *t, const struct model *m, const struct cut_from *from)
{
    *c = (struct cut){ .tape = t, .m = m, .disk = sim_player_new(t->disk, from->disk), .kv = kv_copy(from->kv) };
    if (from->shelf) c->shelf = shelf_copy(from->shelf);
    known_init(&c->known, m, from->known);
    known_init(&c->uploaded, m, from->uploaded);
}

void cut_deinit(struct cut *c)
{
    sim_player_free(c->disk);
    kv_mem_free(c->kv);
    shelf_free(&c->shelf);
    known_deinit(&c->known);
    known_deinit(&c->uploaded);
}

static void begun(size_t *under_way, unsigned *n, size_t which)
{
    ASSERT(*n < UNDER_WAY_MAX);
    under_way[(*n)++] = which;
}

static void done(size_t *under_way, unsigned *n, size_t which)
{
    for (unsigned i = 0; i < *n; i++)
        if (under_way[i] == which) {
            under_way[i] = under_way[--*n];
            return;
        }
}

static void take_note(struct cut *c, uint64_t value)
{
    uint64_t which = value & ((UINT64_C(1) << NOTE_SHIFT) - 1);
    enum note what = (enum note)(value >> NOTE_SHIFT);
    switch (what) {
    case NOTE_KV_BEGUN: begun(c->kv_under_way, &c->nunder_way, which); break;
    case NOTE_KV_DONE:
        kv_apply(c->kv, &c->tape->kv[which]);
        done(c->kv_under_way, &c->nunder_way, which);
        break;
    case NOTE_OBJECT_BEGUN: begun(c->objects_under_way, &c->nobjects_under_way, which); break;
    case NOTE_OBJECT_DONE:
        shelf_apply(&c->shelf, c->tape->objects[which]);
        done(c->objects_under_way, &c->nobjects_under_way, which);
        break;
    case NOTE_UPLOADED:
        known_deinit(&c->uploaded);
        known_init(&c->uploaded, c->m, &c->known);
        break;
    default: known_event(&c->known, c->m, (enum model_event)(what - 1), (uint32_t)which);
    }
}

static bool note_changes(uint64_t note)
{
    uint64_t what = note >> NOTE_SHIFT;
    return what == NOTE_KV_DONE || what == NOTE_OBJECT_DONE;
}

bool cut_next(struct cut *c)
{
    struct sim_played next;
    bool first = c->place == 0;
    c->place++;
    while (sim_player_peek(c->disk, &next)) {
        bool elsewhere = next.is_note && note_changes(next.note);
        c->wall_ns = next.wall_ns;
        /* One change a call; what lies between two of them changes nothing but what is known. */
        if ((next.changes || elsewhere) && first) return true;
        first |= next.changes || elsewhere;
        sim_player_step(c->disk);
        if (next.is_note) take_note(c, next.note);
    }
    return false;
}
