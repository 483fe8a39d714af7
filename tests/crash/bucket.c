/* The bucket on the tape: what happens to its objects is recorded like the catalog's writes, and a shelf is what it holds at a place.
 * It does not lose power; a request that was under way may have happened. */
#include "tests/crash/crash.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>

/* -- one that records ------------------------------------------------------------------------------------------------ */

struct tape_bucket {
    struct object_store store;
    struct object_store *inner;
    struct tape *tape;
};

static struct tape_bucket *of(struct object_store *o)
{
    return CONTAINER_OF(o, struct tape_bucket, store);
}

static char *copy(char *to, struct str s, struct str *out)
{
    if (s.n) memcpy(to, s.p, s.n);
    *out = str_n(to, s.n);
    return to + s.n;
}

static struct tape_object *record(struct tape *t, struct str name, struct str bytes, bool remove)
{
    struct tape_object *op = malloc(sizeof *op + name.n + bytes.n);
    ASSERT(op != NULL);
    *op = (struct tape_object){ .refs = 1, .remove = remove, .hash = hash64_with(bytes, hash64(name)) };
    copy(copy(op->text, name, &op->name), bytes, &op->bytes);
    t->objects = arena_grow(&t->mem, t->objects, t->nobjects, &t->objects_cap, t->nobjects + 1, sizeof(struct tape_object *));
    t->objects[t->nobjects] = op;
    tape_note(NOTE_OBJECT_BEGUN, t->nobjects++);
    return op;
}

void tape_object_put(struct tape_object *op)
{
    if (--op->refs == 0) free(op);
}

static void recorded(struct tape *t, struct tape_object *op, bool happened)
{
    size_t i = t->nobjects;
    while (t->objects[--i] != op) {}
    op->refused = !happened;
    tape_note(NOTE_OBJECT_DONE, i);
}

static err_t tape_put(struct object_store *o, const struct object_put *p, struct object_put_result *out)
{
    struct tape_bucket *b = of(o);
    struct tape_object *op = record(b->tape, p->name, p->bytes, false);
    err_t e = b->inner->put(b->inner, p, out);
    recorded(b->tape, op, e == OK && !out->refused);
    return e;
}
static err_t tape_remove(struct object_store *o, struct str name)
{
    struct tape_bucket *b = of(o);
    struct tape_object *op = record(b->tape, name, STR(""), true);
    err_t e = b->inner->remove(b->inner, name);
    recorded(b->tape, op, e == OK);
    return e;
}
static err_t tape_get_range(struct object_store *o, struct str name, uint64_t off, size_t n, void *to, size_t *got)
{
    return of(o)->inner->get_range(of(o)->inner, name, off, n, to, got);
}
static err_t tape_head(struct object_store *o, struct str name, struct object_info *out)
{
    return of(o)->inner->head(of(o)->inner, name, out);
}
static err_t tape_list(struct object_store *o, struct str prefix, struct str after, struct arena *a, struct object_page *out)
{
    return of(o)->inner->list(of(o)->inner, prefix, after, a, out);
}
static err_t tape_parts_begin(struct object_store *o, struct str name, struct object_upload *out)
{
    (void)o, (void)out;
    wrong(STR_FMT " is uploaded in parts: the tape has no word for it", STR_ARG(name));
}
static err_t tape_parts_list(struct object_store *o, struct str prefix, struct arena *a, struct object_page *out)
{
    return of(o)->inner->parts_list(of(o)->inner, prefix, a, out);
}
static const char *tape_name(const struct object_store *o)
{
    (void)o;
    return "a recorded bucket";
}
static void tape_close(struct object_store *o)
{
    (void)o;
}

struct object_store *tape_bucket_new(struct tape *t, struct object_store *inner)
{
    struct tape_bucket *b = calloc(1, sizeof *b);
    ASSERT(b != NULL);
    b->inner = inner;
    b->tape = t;
    b->store = (struct object_store){ .put = tape_put, .get_range = tape_get_range, .head = tape_head, .list = tape_list, .remove = tape_remove,
                                      .parts_begin = tape_parts_begin, .parts_list = tape_parts_list, .name = tape_name, .close = tape_close, .reads = inner->reads };
    return &b->store;
}

/* -- what it holds ---------------------------------------------------------------------------------------------------- */

void shelf_apply(struct shelf *s, struct tape_object *op)
{
    if (op->refused) return;
    size_t i = 0;
    while (i < s->n && !str_eq(s->v[i]->name, op->name))
        i++;
    if (op->remove) {
        if (i == s->n) return;
        tape_object_put(s->v[i]);
        s->v[i] = s->v[--s->n];
        return;
    }
    if (i == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 32;
        s->v = realloc(s->v, s->cap * sizeof(struct tape_object *));
        ASSERT(s->v != NULL);
    }
    if (i == s->n) s->n++;
    else tape_object_put(s->v[i]);
    op->refs++;
    s->v[i] = op;
}

struct shelf shelf_copy(const struct shelf *s)
{
    struct shelf copy = { .n = s->n, .cap = s->n };
    if (s->n == 0) return copy;
    copy.v = malloc(s->n * sizeof(struct tape_object *));
    ASSERT(copy.v != NULL);
    for (size_t i = 0; i < s->n; i++) {
        copy.v[i] = s->v[i];
        copy.v[i]->refs++;
    }
    return copy;
}

void shelf_free(struct shelf *s)
{
    for (size_t i = 0; i < s->n; i++)
        tape_object_put(s->v[i]);
    free(s->v);
    *s = (struct shelf){ 0 };
}

uint64_t shelf_hash(const struct shelf *s)
{
    uint64_t h = 0; /* in whatever order they stand */
    for (size_t i = 0; i < s->n; i++)
        h += hash_u64(s->v[i]->hash);
    return h;
}

void shelf_fill(const struct shelf *s, struct object_store *bucket)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct object_put p = { .name = s->v[i]->name, .bytes = s->v[i]->bytes };
        struct object_put_result r;
        if (bucket->put(bucket, &p, &r) != OK || r.refused) wrong("a bucket in memory does not take " STR_FMT, STR_ARG(p.name));
    }
}
