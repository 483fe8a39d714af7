#include "base/core/buf.h"

#include "base/core/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max_bytes, struct budget *budget)
{
    *b = (struct buf){ .max = max_bytes, .budget = budget };
}

void buf_deinit(struct buf *b)
{
    budget_release(b->budget, (int64_t)b->cap);
    free(b->p);
    buf_init(b, b->max, b->budget);
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (n > b->max || b->n > b->max - n) {
        b->failed = true;
        return NULL;
    }
    if (b->cap - b->n < n) {
        size_t cap = MIN(MAX(MAX(b->cap * 2, b->n + n), 256), MAX(b->max, b->n + n));
        char *p = realloc(b->p, cap);
        ASSERT(p);
        budget_charge(b->budget, (int64_t)(cap - b->cap));
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0) return;
    char *to = buf_reserve(b, n);
    if (!to) return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    char *to = buf_reserve(b, (size_t)n + 1);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

err_t buf_check(const struct buf *b)
{
    if (b->failed) return err_set(ERR_TOO_LARGE, "more than %zu bytes", b->max);
    return budget_check(b->budget);
}
