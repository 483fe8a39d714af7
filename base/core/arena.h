/* A region: allocations live until the arena is reset or freed, or rolled back to a mark. It grows by
 * blocks charged to a budget. arena_alloc never returns NULL; a budget that is overdrawn is reported
 * by arena_check, which every loop over input calls (see budget.h).
 *
 * Under ASan every allocation is its own malloc block with red zones, so that the arena does not blind
 * the sanitizer. An arena belongs to one thread at a time; it may be freed by another thread than the
 * one that filled it, after a proper hand-over. */
#ifndef BASE_CORE_ARENA_H
#define BASE_CORE_ARENA_H

#include "base/core/budget.h"
#include "base/core/str.h"

struct arena_block;

struct arena {
    struct arena_block *head;  /* newest block */
    struct arena_block *large; /* newest of the blocks of one allocation each, that did not fit into what was left of the newest block */
    char *at, *end;            /* free part of the newest block */
    struct budget *budget;    /* or NULL */
    size_t bytes;             /* held in all blocks */
    size_t block_size;
};

struct arena_mark {
    struct arena_block *head, *large;
    char *at;
};

enum { ARENA_BLOCK_MIN = 4096, ARENA_BLOCK_DEFAULT = 32768 };

void arena_init(struct arena *a, struct budget *budget);
/* With a first guess of the block size; blocks double up to 1 MiB. */
void arena_init_sized(struct arena *a, struct budget *budget, size_t block_size);
void arena_deinit(struct arena *a); /* frees all; the arena may be used again after arena_init */
void arena_reset(struct arena *a);  /* drops all allocations */

void *arena_alloc_slow(struct arena *a, size_t size, size_t align);
/* Uninitialised, aligned to `align` (a power of two, at most 64). size 0 gives a unique pointer. */
static inline void *arena_alloc_aligned(struct arena *a, size_t size, size_t align)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(TERCET_ARENA_MALLOC)
    char *p = (char *)(((uintptr_t)a->at + align - 1) & ~(uintptr_t)(align - 1));
    if (__builtin_expect(a->at && p <= a->end && size <= (size_t)(a->end - p), 1)) {
        a->at = p + size;
        return p;
    }
#endif
    return arena_alloc_slow(a, size, align);
}
static inline void *arena_alloc(struct arena *a, size_t size)
{
    return arena_alloc_aligned(a, size, 16);
}
void *arena_calloc(struct arena *a, size_t count, size_t size); /* zeroed; overflow aborts */
/* Grows an array to at least `want` elements: returns p itself or a copy with doubled capacity. */
void *arena_grow(struct arena *a, void *p, size_t used, size_t *cap, size_t want, size_t elem_size);

#define ARENA_NEW(a, T)       ((T *)arena_calloc((a), 1, sizeof(T)))
#define ARENA_ARRAY(a, T, n)  ((T *)arena_calloc((a), (n), sizeof(T)))
/* Uninitialised. */
#define ARENA_RAW(a, T, n)    ((T *)arena_alloc((a), sizeof(T) * (n)))

struct str arena_str(struct arena *a, struct str s);  /* copy, followed by a NUL not counted in n */
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
void *arena_dup(struct arena *a, const void *p, size_t n);

struct arena_mark arena_mark(const struct arena *a);
void arena_rollback(struct arena *a, struct arena_mark m);

/* OK, or the refusal of the arena's budget. */
MUST_CHECK static inline err_t arena_check(const struct arena *a) { return budget_check(a->budget); }

#endif
