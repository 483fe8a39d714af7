#include "base/core/arena.h"

#include "base/core/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
    struct arena_block *next; /* older */
    size_t size;              /* with this header */
};

enum { BLOCK_MAX = 1 << 20, HEADER = 64, LARGE_OF_BLOCK = 4, LITTLE_OF_SIZE = 8 };
_Static_assert(sizeof(struct arena_block) <= HEADER, "block header fits");

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(TERCET_ARENA_MALLOC) || defined(ARENA_ASAN)
enum { MALLOC_EACH = 1 };
#else
enum { MALLOC_EACH = 0 };
#endif

void arena_init_sized(struct arena *a, struct budget *budget, size_t block_size)
{
    *a = (struct arena){ .budget = budget, .block_size = MAX(block_size, ARENA_BLOCK_MIN) };
}

void arena_init(struct arena *a, struct budget *budget)
{
    arena_init_sized(a, budget, ARENA_BLOCK_DEFAULT);
}

static void drop_until(struct arena *a, struct arena_block **list, struct arena_block *keep)
{
    while (*list != keep) {
        struct arena_block *b = *list;
        ASSERT(b);
        *list = b->next;
        a->bytes -= b->size;
        budget_release(a->budget, (int64_t)b->size);
        free(b);
    }
}

void arena_deinit(struct arena *a)
{
    drop_until(a, &a->head, NULL);
    drop_until(a, &a->large, NULL);
    a->at = a->end = NULL;
}

void arena_reset(struct arena *a)
{
    if (a->large && (!a->head || a->large->size > a->head->size)) {
        struct arena_block *b = a->large;
        a->large = b->next;
        b->next = a->head;
        a->head = b;
    }
    if (MALLOC_EACH || !a->head) {
        arena_deinit(a);
        return;
    }
    /* Keeps the newest block, or the newest large one, for the next round. */
    struct arena_block *keep = a->head;
    a->head = keep->next;
    a->bytes -= keep->size;
    drop_until(a, &a->head, NULL);
    drop_until(a, &a->large, NULL);
    keep->next = NULL;
    a->head = keep;
    a->bytes = keep->size;
    a->at = (char *)keep + HEADER;
    a->end = (char *)keep + keep->size;
}

static struct arena_block *block_new(struct arena *a, struct arena_block **list, size_t bytes)
{
    /* aligned_alloc wants a multiple of the alignment. */
    size_t rounded = (bytes + HEADER - 1) & ~(size_t)(HEADER - 1);
    struct arena_block *b = aligned_alloc(HEADER, rounded);
    ASSERT(b); /* the machine itself is out of memory: budgets are set far below that */
    b->size = MALLOC_EACH ? bytes : rounded;
    b->next = *list;
    *list = b;
    a->bytes += b->size;
    budget_charge(a->budget, (int64_t)b->size);
    return b;
}

/* What is left of the newest block is not given up for an allocation that is large beside a block, unless it is little. */
static bool apart(const struct arena *a, size_t size)
{
    return size >= a->block_size / LARGE_OF_BLOCK && (size_t)(a->end - a->at) > size / LITTLE_OF_SIZE;
}

void *arena_alloc_slow(struct arena *a, size_t size, size_t align)
{
    ASSERT(align <= HEADER && (align & (align - 1)) == 0);
    ASSERT(size < SIZE_MAX / 2);
    if (MALLOC_EACH) {
        a->at = a->end = NULL;
        return (char *)block_new(a, &a->head, HEADER + size) + HEADER;
    }
    if (apart(a, size)) return (char *)block_new(a, &a->large, HEADER + size) + HEADER;
    size_t block = size + HEADER;
    if (block < a->block_size) {
        block = a->block_size;
        if (a->block_size < BLOCK_MAX) a->block_size *= 2;
    }
    struct arena_block *b = block_new(a, &a->head, block);
    char *p = (char *)b + HEADER;
    a->at = p + size;
    a->end = (char *)b + b->size;
    return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    ASSERT(!__builtin_mul_overflow(count, size, &bytes));
    void *p = arena_alloc(a, bytes);
    memset(p, 0, bytes);
    return p;
}

void *arena_grow(struct arena *a, void *p, size_t used, size_t *cap, size_t want, size_t elem_size)
{
    if (want <= *cap) return p;
    size_t next = MAX(MAX(*cap * 2, want), 8);
    size_t bytes;
    ASSERT(!__builtin_mul_overflow(next, elem_size, &bytes));
    void *q = arena_alloc(a, bytes);
    if (used) memcpy(q, p, used * elem_size);
    *cap = next;
    return q;
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
    void *q = arena_alloc(a, n);
    if (n) memcpy(q, p, n);
    return q;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_alloc_aligned(a, s.n + 1, 1);
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (struct str){ p, s.n };
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    char *p = arena_alloc_aligned(a, (size_t)n + 1, 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (struct str){ p, (size_t)n };
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){ a->head, a->large, a->at };
}

void arena_rollback(struct arena *a, struct arena_mark m)
{
    drop_until(a, &a->head, m.head);
    drop_until(a, &a->large, m.large);
    a->at = m.at;
    a->end = m.head && !MALLOC_EACH ? (char *)m.head + m.head->size : NULL;
    if (MALLOC_EACH) a->at = NULL;
}
