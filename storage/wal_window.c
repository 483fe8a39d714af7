#include "storage/wal_window.h"

#include "base/core/assert.h"
#include "storage/wal_frame.h"

#include <stdlib.h>
#include <string.h>

static size_t up(size_t n)
{
    return (n + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN;
}

static void room(struct window_part *p, size_t bytes)
{
    if (bytes <= p->cap) return;
    free(p->buf);
    p->buf = aligned_alloc(WAL_ALIGN, bytes);
    ASSERT(p->buf != NULL);
    p->cap = bytes;
}

err_t window_open(struct window *w, const char *path, unsigned flags)
{
    *w = (struct window){ 0 };
    w->file.fd = -1;
    scope_init(&w->scope, NULL);
    TRY(file_open(&w->file, path, flags));
    err_t e = file_size(&w->file, &w->size);
    if (e != OK) file_close(&w->file);
    return e;
}

/* Nothing is being fetched when it returns. */
static void settle(struct window *w)
{
    err_t e = scope_join(&w->scope);
    (void)e; /* what came of it is in w->fetched */
}

void window_close(struct window *w)
{
    settle(w);
    scope_deinit(&w->scope);
    file_close(&w->file);
    free(w->now.buf);
    free(w->next.buf);
    w->now = w->next = (struct window_part){ 0 };
}

static void fetch(void *arg)
{
    struct window *w = arg;
    w->fetched = file_read(&w->file, w->next.buf + w->next.at, WINDOW_BYTES, w->next.off, &w->next.n);
}

/* What is behind the window, with room in front of it for what of the window will still be wanted then. Without a fiber for it there is
 * no fetching ahead. */
static void fetch_next(struct window *w)
{
    const struct fiber_opts fo = { .name = "wal ahead", .class = RT_MAINTENANCE };
    uint64_t from = w->now.off + w->now.n;
    w->next.n = 0;
    if (from >= w->size || from % WAL_ALIGN != 0) return;
    room(&w->next, 2 * (size_t)WINDOW_BYTES);
    w->next.at = WINDOW_BYTES;
    w->next.off = from;
    w->fetched = ERR_CANCELED;
    err_t e = fiber_start(&w->scope, &fo, fetch, w);
    (void)e;
}

/* Does what was fetched, behind the rest of the window from `from` on, hold all that is wanted? Then it is the window. */
static bool move_on(struct window *w, uint64_t from, uint64_t end)
{
    settle(w);
    struct window_part *a = &w->now, *b = &w->next;
    uint64_t a_end = a->off + a->n;
    if (w->fetched != OK || b->n == 0 || b->off != a_end || from < a->off || from > a_end || a_end - from > b->at || end > b->off + b->n)
        return false;
    size_t rest = (size_t)(a_end - from);
    memcpy(b->buf + b->at - rest, a->buf + a->at + (a->n - rest), rest);
    b->at -= rest;
    b->n += rest;
    b->off = from;
    struct window_part swap = *a;
    *a = *b;
    *b = swap;
    b->n = 0;
    return true;
}

static err_t read_anew(struct window *w, uint64_t from, size_t bytes)
{
    room(&w->now, bytes);
    w->now.at = 0;
    w->now.off = from;
    w->now.n = 0;
    return file_read(&w->file, w->now.buf, bytes, from, &w->now.n);
}

err_t window_want(struct window *w, uint64_t pos, size_t want, const uint8_t **p, size_t *n)
{
    uint64_t end = MIN(pos + want, w->size);
    if (pos < w->now.off || end > w->now.off + w->now.n) {
        uint64_t from = pos / WAL_ALIGN * WAL_ALIGN;
        if (!move_on(w, from, end)) TRY(read_anew(w, from, up(MAX((size_t)WINDOW_BYTES, (size_t)(pos - from) + want))));
        if (from > 0) fetch_next(w); /* whoever has not moved on may want the beginning only */
    }
    uint64_t have = w->now.off + w->now.n;
    *n = pos < have ? (size_t)(have - pos) : 0;
    *p = w->now.buf + w->now.at + (pos - w->now.off);
    return OK;
}
