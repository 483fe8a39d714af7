/* The catalog in memory: a sorted array behind a lock, for the simulator (where it plays the part of a
 * catalog that survives the crash of its node) and for tests.
 *
 * A write gives way before and after it takes effect, so that a simulated crash may fall on either side. */
#include "storage/kv.h"

#include "base/core/assert.h"

#include <pthread.h>
#include <stdlib.h>

struct kv_mem {
    struct kv kv;
    pthread_mutex_t lock;
    struct kv_item *items; /* by key; both strings in one malloc block that begins at key.p */
    size_t count, cap;
};

static struct kv_mem *mem_of(struct kv *kv)
{
    return CONTAINER_OF(kv, struct kv_mem, kv);
}

static void *must(void *p)
{
    ASSERT(p != NULL);
    return p;
}

static void give_way(void)
{
    if (rt_in_fiber()) fiber_yield();
}

/* Position of the first item whose key is not below key. */
static size_t lower_bound(const struct kv_mem *m, struct str key)
{
    size_t lo = 0, hi = m->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (str_cmp(m->items[mid].key, key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void apply(struct kv_mem *m, const struct kv_op *op)
{
    size_t at = lower_bound(m, op->key);
    bool there = at < m->count && str_eq(m->items[at].key, op->key);
    if (there) {
        free((void *)m->items[at].key.p);
        m->count--;
        memmove(m->items + at, m->items + at + 1, (m->count - at) * sizeof *m->items);
    }
    if (!op->value.p) return;
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 16;
        m->items = must(realloc(m->items, m->cap * sizeof *m->items));
    }
    char *p = must(malloc(op->key.n + op->value.n + 1));
    memcpy(p, op->key.p, op->key.n);
    if (op->value.n) memcpy(p + op->key.n, op->value.p, op->value.n);
    memmove(m->items + at + 1, m->items + at, (m->count - at) * sizeof *m->items);
    m->items[at] = (struct kv_item){ str_n(p, op->key.n), str_n(p + op->key.n, op->value.n) };
    m->count++;
}

static err_t mem_write(struct kv *kv, const struct kv_op *ops, size_t n)
{
    struct kv_mem *m = mem_of(kv);
    give_way();
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < n; i++)
        apply(m, &ops[i]);
    pthread_mutex_unlock(&m->lock);
    give_way();
    return OK;
}

static err_t mem_get(struct kv *kv, struct str key, struct arena *a, struct str *value)
{
    struct kv_mem *m = mem_of(kv);
    give_way();
    err_t e = ERR_NOT_FOUND;
    pthread_mutex_lock(&m->lock);
    size_t at = lower_bound(m, key);
    if (at < m->count && str_eq(m->items[at].key, key)) {
        *value = arena_str(a, m->items[at].value);
        e = OK;
    }
    pthread_mutex_unlock(&m->lock);
    return e;
}

static err_t mem_list(struct kv *kv, struct str prefix, size_t max, struct arena *a, struct kv_item **items,
                      size_t *count)
{
    struct kv_mem *m = mem_of(kv);
    give_way();
    pthread_mutex_lock(&m->lock);
    size_t from = lower_bound(m, prefix), to = from;
    while (to < m->count && to - from < max && str_starts(m->items[to].key, prefix))
        to++;
    *count = to - from;
    *items = ARENA_ARRAY(a, struct kv_item, to - from);
    for (size_t i = from; i < to; i++)
        (*items)[i - from] = (struct kv_item){ arena_str(a, m->items[i].key), arena_str(a, m->items[i].value) };
    pthread_mutex_unlock(&m->lock);
    return arena_check(a);
}

static void mem_close(struct kv *kv)
{
    (void)kv;
}

struct kv *kv_mem_new(void)
{
    struct kv_mem *m = must(calloc(1, sizeof *m));
    pthread_mutex_init(&m->lock, NULL);
    m->kv = (struct kv){ .write = mem_write, .get = mem_get, .list = mem_list, .close = mem_close };
    return &m->kv;
}

void kv_mem_free(struct kv *kv)
{
    struct kv_mem *m = mem_of(kv);
    for (size_t i = 0; i < m->count; i++)
        free((void *)m->items[i].key.p);
    free(m->items);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
