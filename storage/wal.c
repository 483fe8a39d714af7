/* See wal.h. */
#include "storage/wal.h"

#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A write goes to the disk in pieces of this size, only the last of a group is synced. FREE_MAX: files kept
 * for another life. */
enum { WRITE_BYTES = 1 << 20, PATH_MAX_BYTES = 4096, FREE_MAX = 4 };

struct wal_file {
    struct wal_file *next;
    uint64_t generation, size, number;
    uint64_t synced;    /* end of the last group in it that is */
    struct cover names; /* noted with its frames */
    char path[];
};

struct wal {
    struct wal_opts o;
    char *dir;             /* <dir>/<core> */
    struct scope scope;    /* of the writer */
    struct event work;     /* something is pending, or the log closes */
    bool closing, failed;
    uint64_t epoch, number_next;
    struct wal_ticket *head, **tail;
    char why[ERR_DETAIL_MAX]; /* of the last refusal or failure */

    struct file file;         /* written now; fd -1 before the first */
    struct wal_file *current; /* it; it is in `files` too */
    uint64_t off;             /* end of the last group in it */
    struct wal_chain chain;
    uint64_t last_check;      /* of the last frame synced, in whatever file; 0 = none yet */
    struct wal_file *files;   /* with frames that count, newest first */
    struct wal_file *free;    /* of sealed generations, of the usual size */
    uint32_t free_count;
    uint8_t *buf;             /* WRITE_BYTES, aligned */
    size_t fill;
    _Atomic uint64_t commits, slow; /* written by the writer alone */
    _Atomic int64_t began;    /* when the commit under way did; 0 = none is */
};

static uint64_t align_up(uint64_t n)
{
    return (n + WAL_ALIGN - 1) & ~(uint64_t)(WAL_ALIGN - 1);
}

/* -- files ------------------------------------------------------------------------------------------ */

static struct wal_file *wal_file_new(const struct wal *w, uint64_t number, uint64_t size)
{
    size_t n = strlen(w->dir) + 32;
    struct wal_file *f = calloc(1, sizeof *f + n);
    ASSERT(f != NULL);
    f->size = size;
    snprintf(f->path, n, "%s/%016" PRIx64 ".wal", w->dir, number);
    return f;
}

static void free_file(struct wal_file *f)
{
    cover_deinit(&f->names);
    free(f);
}

/* Puts an empty file behind f->path. What is left of one that failed goes at the next start: it has no header. */
static err_t create_file(struct wal *w, struct wal_file *f)
{
    TRY(file_open(&w->file, f->path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE | FILE_DIRECT));
    err_t e = file_allocate(&w->file, f->size);
    if (e == OK) e = fs_sync_dir(w->dir);
    if (e == OK) return OK;
    /* The reason is e; a file that cannot be removed now is removed at the next start. */
    struct err_record kept = *err_record();
    file_close(&w->file);
    if (fs_unlink(f->path) != OK) log_warn("wal.unlink", "path=%s error=%s", f->path, err_detail());
    *err_record() = kept;
    return e;
}

/* Opens the next file for a generation, with room for a group of `need` bytes. ERR_NOSPC and errors of open leave the
 * log usable; *fatal tells a failed write of the header. */
static err_t roll(struct wal *w, uint64_t generation, uint64_t need, bool *fatal)
{
    file_close(&w->file);
    w->file.fd = -1;
    w->current = NULL;
    uint64_t number = w->number_next++, size = MAX(w->o.file_bytes, WAL_ALIGN + align_up(need));
    struct wal_file *f;
    if (w->free && size == w->o.file_bytes) {
        /* Off the list before the open, which yields: wal_drop changes the list, too. */
        f = w->free;
        w->free = f->next;
        w->free_count--;
        err_t e = file_open(&w->file, f->path, FILE_READ | FILE_WRITE | FILE_DIRECT);
        if (e != OK) {
            f->next = w->free;
            w->free = f;
            w->free_count++;
            return e;
        }
    } else {
        f = wal_file_new(w, number, size);
        err_t e = create_file(w, f);
        if (e != OK) {
            free_file(f);
            return e;
        }
    }
    f->generation = generation;
    f->number = number;
    f->synced = 0;
    f->next = w->files;
    w->files = f;
    struct wal_file_head h = { .core = w->o.core, .generation = generation, .salt = rt_random(),
                               .number = number, .before = w->last_check };
    wal_file_head_put(&h, w->buf);
    err_t e = file_write_sync(&w->file, w->buf, WAL_ALIGN, 0);
    if (e != OK) {
        *fatal = e != ERR_NOSPC;
        file_close(&w->file);
        w->file.fd = -1;
        return e;
    }
    wal_chain_init(&w->chain, w->buf);
    w->current = f;
    w->off = WAL_ALIGN;
    f->synced = WAL_ALIGN;
    return OK;
}

/* Gives the file away. */
static struct wal_kept *keep_file(const struct wal *w, struct wal_file *f, struct wal_kept *next)
{
    size_t n = strlen(f->path) + 1;
    struct wal_kept *k = calloc(1, sizeof *k + n);
    ASSERT(k != NULL);
    *k = (struct wal_kept){ .next = next, .core = w->o.core, .generation = f->generation, .number = f->number,
                            .bytes = f->synced, .names = f->names };
    memcpy(k->path, f->path, n);
    free(f);
    return k;
}

void wal_drop(struct wal *w, uint64_t generation, bool reuse, wal_needed_fn *needed, void *ctx, struct wal_kept **kept)
{
    /* The list is cut before the first yield. */
    struct wal_file *gone = reuse ? NULL : w->free;
    if (!reuse) {
        w->free = NULL;
        w->free_count = 0;
    }
    for (struct wal_file **at = &w->files, *f; (f = *at);) {
        if (f->generation > generation || f == w->current) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        if (needed && !cover_empty(&f->names) && needed(ctx, &f->names)) {
            *kept = keep_file(w, f, *kept);
            continue;
        }
        cover_deinit(&f->names);
        if (reuse && f->size == w->o.file_bytes && w->free_count < FREE_MAX) {
            f->next = w->free;
            w->free = f;
            w->free_count++;
        } else {
            f->next = gone;
            gone = f;
        }
    }
    for (struct wal_file *f; (f = gone);) {
        gone = f->next;
        if (fs_unlink(f->path) != OK) log_warn("wal.unlink", "path=%s error=%s", f->path, err_detail());
        free_file(f);
    }
}

void wal_parts(const struct wal *w, struct arena *a, struct wal_part **parts)
{
    for (const struct wal_file *f = w->files; f; f = f->next) {
        if (f->synced <= WAL_ALIGN) continue;
        struct wal_part *p = ARENA_NEW(a, struct wal_part);
        *p = (struct wal_part){ .next = *parts, .path = arena_str(a, str_of(f->path)).p, .core = w->o.core,
                                .generation = f->generation, .number = f->number, .to = f->synced, .names = &f->names };
        *parts = p;
    }
}

/* -- a group ---------------------------------------------------------------------------------------- */

static err_t put(struct wal *w, const void *p, size_t n)
{
    const char *from = p;
    while (n > 0) {
        if (w->fill == WRITE_BYTES) {
            TRY(file_write(&w->file, w->buf, WRITE_BYTES, w->off));
            w->off += WRITE_BYTES;
            w->fill = 0;
        }
        size_t k = MIN(n, WRITE_BYTES - w->fill);
        memcpy(w->buf + w->fill, from, k);
        w->fill += k;
        from += k;
        n -= k;
    }
    return OK;
}

static err_t write_group(struct wal *w, const struct wal_ticket *group)
{
    static const uint8_t zeros[8];
    w->fill = 0;
    for (const struct wal_ticket *t = group; t; t = t->next) {
        uint8_t head[WAL_HEAD];
        size_t n = t->payload.n;
        wal_head_put(&w->chain, WAL_REQUEST, t->next ? 0 : WAL_LAST, (uint32_t)n, t->payload_hash, head);
        TRY(put(w, head, sizeof head));
        TRY(put(w, t->payload.p, n));
        TRY(put(w, zeros, wal_frame_bytes(n) - WAL_HEAD - n));
    }
    size_t whole = align_up(w->fill);
    memset(w->buf + w->fill, 0, whole - w->fill);
    TRY(file_write_sync(&w->file, w->buf, whole, w->off));
    w->off += whole;
    w->current->synced = w->off;
    for (const struct wal_ticket *t = group; t; t = t->next)
        if (t->name) cover_add(&w->current->names, t->name);
    w->last_check = w->chain.before;
    metric_add(M_WAL_SYNCS, 1);
    return OK;
}

/* Ends a list of tickets. A woken fiber may free its ticket, so next is read first. */
static void finish(struct wal_ticket *t, err_t result)
{
    for (struct wal_ticket *next; t; t = next) {
        next = t->next;
        t->result = result;
        event_signal(&t->done);
    }
}

static struct wal_ticket *take_pending(struct wal *w)
{
    struct wal_ticket *t = w->head;
    w->head = NULL;
    w->tail = &w->head;
    return t;
}

/* Cuts the next group off the front of what is pending: one generation, commit_bytes or one frame. */
static struct wal_ticket *take_group(struct wal *w, uint64_t *bytes)
{
    struct wal_ticket *first = w->head, *last = first;
    *bytes = wal_frame_bytes(first->payload.n);
    for (struct wal_ticket *t; (t = last->next); last = t) {
        uint64_t n = wal_frame_bytes(t->payload.n);
        if (t->generation != first->generation || *bytes + n > w->o.commit_bytes) break;
        *bytes += n;
    }
    w->head = last->next;
    if (!w->head) w->tail = &w->head;
    last->next = NULL;
    return first;
}

/* The disk had no room for the group that begins at `from` (blocks of a preallocated file have it, but not on every file
 * system): what there is of it goes, durably, and so does the file, with all before it, to the finished ones. */
static err_t cut_group(struct wal *w, uint64_t from)
{
    struct err_record why = *err_record();
    TRY(file_truncate(&w->file, from));
    TRY(file_sync(&w->file));
    file_close(&w->file);
    w->file.fd = -1;
    w->current->size = from; /* no file for another life */
    w->current = NULL;
    *err_record() = why;
    return OK;
}

static err_t commit(struct wal *w, const struct wal_ticket *group, uint64_t bytes, bool *fatal)
{
    if (errinj_hit(EI_WAL_APPEND)) return err_set(ERR_NOSPC, "injected: no space for the log");
    bool fits = w->current && w->current->generation == group->generation
        && w->off + align_up(bytes) <= w->current->size;
    if (!fits) TRY(roll(w, group->generation, bytes, fatal));
    uint64_t from = w->off;
    err_t e = write_group(w, group);
    *fatal = e != OK && (e != ERR_NOSPC || cut_group(w, from) != OK);
    return e;
}

static void commit_next(struct wal *w)
{
    uint64_t bytes;
    bool fatal = false;
    struct wal_ticket *group = take_group(w, &bytes);
    int64_t began = rt_now().ns;
    atomic_store_explicit(&w->began, began, memory_order_relaxed);
    err_t e = commit(w, group, bytes, &fatal);
    atomic_store_explicit(&w->began, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&w->commits, 1, memory_order_relaxed);
    if (rt_now().ns - began > WAL_SLOW_MS * NS_PER_MS) atomic_fetch_add_explicit(&w->slow, 1, memory_order_relaxed);
    if (e == OK) {
        metric_add(M_WAL_BYTES, (int64_t)bytes);
        finish(group, OK);
        return;
    }
    snprintf(w->why, sizeof w->why, "%s", err_detail());
    struct wal_ticket *rest = take_pending(w);
    if (fatal) {
        w->failed = true;
        e = ERR_IO;
    } else {
        /* Frames behind may lean on definitions in the frames refused: all that is pending is refused. */
        w->epoch++;
        e = e == ERR_NOSPC ? ERR_NOSPC : ERR_UNAVAILABLE;
    }
    finish(group, e);
    finish(rest, e);
    if (fatal) w->o.on_failed(w->o.ctx, w->why);
}

static void writer(void *arg)
{
    struct wal *w = arg;
    for (;;) {
        while (!w->head && !w->closing) {
            event_reset(&w->work);
            err_t e = event_wait(&w->work);
            ASSERT(e == OK);
        }
        if (!w->head) return;
        commit_next(w);
    }
}

void wal_submit(struct wal *w, struct wal_ticket *t)
{
    ASSERT(!w->closing);
    ASSERT(t->payload.n <= WAL_PAYLOAD_MAX);
    event_init(&t->done);
    t->next = NULL;
    if (w->failed) {
        t->result = ERR_IO;
        event_signal(&t->done);
        return;
    }
    *w->tail = t;
    w->tail = &t->next;
    event_signal(&w->work);
}

err_t wal_wait(struct wal *w, struct wal_ticket *t)
{
    err_t e = event_wait(&t->done);
    ASSERT(e == OK);
    return t->result == OK ? OK : err_set(t->result, "%s", w->why);
}

uint64_t wal_epoch(const struct wal *w)
{
    return w->epoch;
}

void wal_pace(const struct wal *w, mono_ns now, uint64_t *commits, uint64_t *slow, uint64_t *hang)
{
    int64_t began = atomic_load_explicit(&w->began, memory_order_relaxed);
    *commits += atomic_load_explicit(&w->commits, memory_order_relaxed);
    *slow += atomic_load_explicit(&w->slow, memory_order_relaxed);
    *hang += began && now.ns - began > WAL_SLOW_MS * NS_PER_MS;
}

bool wal_failed(const struct wal *w)
{
    return w->failed;
}

/* -- open and close ----------------------------------------------------------------------------------- */

static void wal_free(struct wal *w)
{
    for (struct wal_file *f, *next = w->files; (f = next);) {
        next = f->next;
        free_file(f);
    }
    for (struct wal_file *f, *next = w->free; (f = next);) {
        next = f->next;
        free_file(f);
    }
    free(w->buf);
    free(w->dir);
    free(w);
}

err_t wal_open(const struct wal_opts *o, struct wal **out)
{
    ASSERT(o->file_bytes % WAL_ALIGN == 0 && o->file_bytes > WAL_ALIGN);
    struct wal *w = calloc(1, sizeof *w);
    ASSERT(w != NULL);
    w->o = *o;
    w->file.fd = -1;
    w->tail = &w->head;
    w->number_next = o->number_first;
    event_init(&w->work);
    size_t n = strlen(o->dir) + 16;
    w->dir = calloc(1, n);
    w->buf = aligned_alloc(WAL_ALIGN, WRITE_BYTES);
    ASSERT(w->dir != NULL && w->buf != NULL);
    snprintf(w->dir, n, "%s/%u", o->dir, o->core);
    err_t e;
    TRY_OUT(e, fs_mkdirs(w->dir));
    TRY_OUT(e, fs_sync_dir(o->dir));
    scope_init(&w->scope, NULL);
    const struct fiber_opts fo = { .name = "wal", .class = RT_INGEST };
    e = fiber_start(&w->scope, &fo, writer, w);
    if (e != OK) scope_deinit(&w->scope);
out:
    if (e != OK) {
        wal_free(w);
        return e;
    }
    *out = w;
    return OK;
}

void wal_close(struct wal *w)
{
    w->closing = true;
    event_signal(&w->work);
    err_t e = scope_join(&w->scope);
    ASSERT(e == OK);
    scope_deinit(&w->scope);
    file_close(&w->file);
    wal_free(w);
}
