#include "tests/crash/crash.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>

/* Notes on the tape: what, and which. */
enum note { NOTE_BEGUN = 1, NOTE_ACKED, NOTE_KV_BEGUN, NOTE_KV_DONE };
enum { NOTE_SHIFT = 56 };

static void note(enum note what, uint64_t which)
{
    sim_tape_note((uint64_t)what << NOTE_SHIFT | which);
}
void tape_begun(uint32_t request)
{
    note(NOTE_BEGUN, request);
}
void tape_acked(uint32_t request)
{
    note(NOTE_ACKED, request);
}

void tape_init(struct tape *t)
{
    *t = (struct tape){ .disk = sim_tape_new() };
    arena_init(&t->mem, NULL);
}
void tape_deinit(struct tape *t)
{
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
    note(NOTE_KV_BEGUN, mine);
    err_t e = of(kv)->inner->write(of(kv)->inner, ops, n);
    note(NOTE_KV_DONE, mine);
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

/* -- places on the tape -------------------------------------------------------------------------------------- */

void cut_init(struct cut *c, const struct tape *t, struct sim_disk *disk, struct kv *kv, const uint8_t *outcomes, uint32_t n, uint32_t max)
{
    *c = (struct cut){ .tape = t, .disk = sim_player_new(t->disk, disk), .kv = kv_copy(kv), .nrequests = n, .max = max };
    c->outcomes = calloc(max + 1, 1);
    ASSERT(c->outcomes != NULL && n <= max);
    if (n) memcpy(c->outcomes, outcomes, n);
}

void cut_deinit(struct cut *c)
{
    sim_player_free(c->disk);
    kv_mem_free(c->kv);
    free(c->outcomes);
}

static void forget(struct cut *c, size_t kv)
{
    for (unsigned i = 0; i < c->nunder_way; i++)
        if (c->kv_under_way[i] == kv) {
            c->kv_under_way[i] = c->kv_under_way[--c->nunder_way];
            return;
        }
}

static void take_note(struct cut *c, uint64_t value)
{
    uint64_t which = value & ((UINT64_C(1) << NOTE_SHIFT) - 1);
    switch ((enum note)(value >> NOTE_SHIFT)) {
    case NOTE_BEGUN:
        ASSERT(which < c->max);
        c->nrequests = MAX(c->nrequests, (uint32_t)which + 1);
        if (c->outcomes[which] == NEW) c->outcomes[which] = UNKNOWN;
        break;
    case NOTE_ACKED: c->outcomes[which] = ACKED; break;
    case NOTE_KV_BEGUN:
        ASSERT(c->nunder_way < ARRAY_LEN(c->kv_under_way));
        c->kv_under_way[c->nunder_way++] = which;
        break;
    case NOTE_KV_DONE:
        kv_apply(c->kv, &c->tape->kv[which]);
        forget(c, which);
        break;
    }
}

bool cut_next(struct cut *c)
{
    struct sim_played next;
    bool first = c->place == 0;
    c->place++;
    while (sim_player_peek(c->disk, &next)) {
        bool kv_done = next.is_note && next.note >> NOTE_SHIFT == NOTE_KV_DONE;
        c->wall_ns = next.wall_ns;
        /* One change a call; what lies between two of them changes nothing but what is known. */
        if ((next.changes || kv_done) && first) return true;
        first |= next.changes || kv_done;
        sim_player_step(c->disk);
        if (next.is_note) take_note(c, next.note);
    }
    return false;
}
