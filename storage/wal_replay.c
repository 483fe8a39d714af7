/* Reading the logs of an earlier life: see wal.h and the rules in wal_frame.h. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/rt/file.h"
#include "storage/wal.h"
#include "storage/wal_window.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* -- headers -------------------------------------------------------------------------------------------- */

static err_t read_header(struct wal_log_file *f, unsigned core)
{
    struct window r;
    TRY(window_open(&r, f->path, FILE_READ | FILE_DIRECT));
    const uint8_t *p;
    size_t n;
    uint64_t generation, salt;
    err_t e;
    f->size = r.size;
    TRY_OUT(e, window_want(&r, 0, WAL_ALIGN + WAL_HEAD, &p, &n));
    /* A header block that is not whole was never synced: nothing is behind it. */
    if (n >= WAL_ALIGN) {
        err_t head = wal_file_head_get(p, n, &f->head);
        if (head == OK) goto out;
        if (head == ERR_INVALID) {
            char why[ERR_DETAIL_MAX];
            snprintf(why, sizeof why, "%s", err_detail());
            e = err_set(head, "%s: %s", f->path, why);
            goto out;
        }
    }
    if (n > WAL_ALIGN && wal_head_peek(p + WAL_ALIGN, n - WAL_ALIGN, &generation, &salt)) {
        f->bad_header = true;
        f->head = (struct wal_file_head){ .core = core, .generation = generation, .salt = salt, .number = f->name };
    } else {
        f->dead = true;
    }
out:
    window_close(&r);
    return e;
}

static bool parse_name(struct str name, uint64_t *number)
{
    uint8_t b[8];
    if (name.n != 20 || !str_ends(name, STR(".wal")) || !str_from_hex(str_sub(name, 0, 16), b, 8)) return false;
    *number = 0;
    for (unsigned i = 0; i < 8; i++)
        *number = *number << 8 | b[i];
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct wal_log_file *)a)->head.number, y = ((const struct wal_log_file *)b)->head.number;
    return (x > y) - (x < y);
}

static err_t scan_log(const char *dir, struct arena *a, struct wal_log *log)
{
    struct str *names;
    size_t n;
    struct str path = arena_printf(a, "%s/%u", dir, log->core);
    TRY(fs_list(path.p, a, &names, &n));
    log->files = ARENA_ARRAY(a, struct wal_log_file, n);
    log->number_next = 1;
    for (size_t i = 0; i < n; i++) {
        struct wal_log_file *f = &log->files[log->count];
        if (!parse_name(names[i], &f->name)) continue;
        f->path = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(path), STR_ARG(names[i])).p;
        TRY(read_header(f, log->core));
        log->count++;
        log->number_next = MAX(log->number_next, MAX(f->name, f->head.number) + 1);
    }
    qsort(log->files, log->count, sizeof *log->files, by_number);
    return OK;
}

err_t wal_scan(const char *dir, struct arena *a, struct wal_log **logs, uint32_t *count)
{
    struct str *names;
    size_t n;
    *logs = NULL;
    *count = 0;
    err_t e = fs_list(dir, a, &names, &n);
    if (e == ERR_NOT_FOUND) return OK;
    TRY(e);
    *logs = ARENA_ARRAY(a, struct wal_log, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t core;
        if (!str_to_u64(names[i], &core) || core > UINT16_MAX) continue;
        struct wal_log *log = &(*logs)[*count];
        log->core = (unsigned)core;
        TRY(scan_log(dir, a, log));
        (*count)++;
    }
    return arena_check(a);
}

/* -- frames --------------------------------------------------------------------------------------------- */

struct replay {
    struct window r;
    struct wal_chain chain;
    uint64_t pos;
    uint64_t group_from;  /* where the group of the last valid frame begins */
    uint64_t group_to;    /* end of the last valid frame */
    bool any;
};

static uint64_t next_block(uint64_t pos)
{
    return (pos / WAL_ALIGN + 1) * WAL_ALIGN;
}

/* Parses at pos with as many bytes as it needs. The end of the file is WAL_PAD. */
static err_t parse_at(struct replay *s, struct wal_chain *c, uint64_t pos, struct wal_frame *f, enum wal_parse *got)
{
    size_t want = WAL_HEAD;
    for (;;) {
        const uint8_t *p;
        size_t n, need;
        TRY(window_want(&s->r, pos, want, &p, &n));
        *got = wal_parse(c, p, n, f, &need);
        if (*got != WAL_MORE) return OK;
        if (pos + need > s->r.size || n >= need) {
            *got = pos + WAL_HEAD > s->r.size ? WAL_PAD : WAL_BAD;
            return OK;
        }
        want = need;
    }
}

/* Behind an invalid frame at s->pos: looks for a valid frame of a later group, which proves rot. */
static err_t find_proof(struct replay *s, struct wal_frame *f, bool *found)
{
    *found = false;
    uint64_t from = s->pos % WAL_ALIGN == 0 ? s->pos : next_block(s->pos);
    for (uint64_t pos = from; pos < s->r.size; pos += WAL_ALIGN) {
        struct wal_chain c = s->chain;
        c.broken = true;
        c.group++;
        enum wal_parse got;
        TRY(parse_at(s, &c, pos, f, &got));
        TRY(rt_checkpoint());
        if (got != WAL_FRAME) continue;
        s->chain = c;
        s->pos = pos;
        *found = true;
        return OK;
    }
    return OK;
}

/* The next valid frame; *more false at the end. */
static err_t next_frame(struct replay *s, struct wal_frame *f, bool *more, uint32_t *rotten)
{
    while (s->pos < s->r.size) {
        enum wal_parse got;
        TRY(parse_at(s, &s->chain, s->pos, f, &got));
        if (got == WAL_PAD && s->pos % WAL_ALIGN != 0) {
            s->pos = next_block(s->pos);
            continue;
        }
        *more = got == WAL_FRAME;
        if (*more) return OK;
        /* Zeros where a group would begin, or garbage: the end, unless there is proof of more. */
        TRY(find_proof(s, f, more));
        if (*more) (*rotten)++;
        return OK;
    }
    *more = false;
    return OK;
}

/* The last group may have reached only a cache before the crash, and even a page whose write back failed
 * reads as if it were well: written again where it stands, it is durable when this returns OK. */
static err_t rewrite_last(struct replay *s)
{
    uint64_t to = (s->group_to + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN;
    if (!s->any) return file_sync(&s->r.file);
    for (uint64_t pos = s->group_from; pos < to;) {
        const uint8_t *p;
        size_t n;
        TRY(window_want(&s->r, pos, WAL_ALIGN, &p, &n));
        n = MIN(n / WAL_ALIGN * WAL_ALIGN, (size_t)(to - pos));
        if (n == 0) return file_sync(&s->r.file); /* a file cut short: nothing but a sync is left to do */
        if (pos + n < to) {
            TRY(file_write(&s->r.file, p, n, pos));
        } else {
            TRY(file_write_sync(&s->r.file, p, n, pos));
        }
        pos += n;
    }
    return OK;
}

static err_t replay_start(struct replay *s, const struct wal_log_file *f, struct wal_replayed *out)
{
    const uint8_t *p;
    size_t n;
    TRY(window_want(&s->r, 0, WAL_ALIGN, &p, &n));
    s->pos = WAL_ALIGN;
    if (!f->bad_header) {
        if (n < WAL_ALIGN) return err_set(ERR_CORRUPT, "%s: shorter than its header since it was looked at", f->path);
        wal_chain_init(&s->chain, p);
        return OK;
    }
    s->chain = (struct wal_chain){ .generation = f->head.generation, .salt = f->head.salt, .broken = true };
    out->rotten++;
    return OK;
}

err_t wal_replay(const struct wal_log_file *f, wal_replay_fn *fn, void *ctx, struct wal_replayed *out)
{
    struct replay s = { 0 };
    *out = (struct wal_replayed){ 0 };
    TRY(window_open(&s.r, f->path, FILE_READ | FILE_WRITE | FILE_DIRECT));
    err_t e;
    TRY_OUT(e, replay_start(&s, f, out));
    uint32_t group = UINT32_MAX;
    for (;;) {
        struct wal_frame frame;
        bool more;
        TRY_OUT(e, next_frame(&s, &frame, &more, &out->rotten));
        if (!more) break;
        TRY_OUT(e, fn(ctx, &frame));
        if (!s.any || frame.group != group) s.group_from = s.pos / WAL_ALIGN * WAL_ALIGN;
        s.any = true;
        group = frame.group;
        s.pos += frame.bytes;
        s.group_to = s.pos;
        out->frames++;
        out->bytes += frame.bytes;
        out->last_check = frame.check;
        TRY_OUT(e, rt_checkpoint());
    }
    TRY_OUT(e, rewrite_last(&s));
    /* Preallocated and never used: a node that starts again and again must not fill its disk with it. */
    uint64_t end = s.any ? (s.group_to + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN : WAL_ALIGN;
    if (out->rotten == 0 && end < s.r.size) e = file_truncate(&s.r.file, end);
out:
    window_close(&s.r);
    return e;
}

/* -- reading what is kept, or is written now ------------------------------------------------------------- */

static err_t read_part(struct replay *s, const struct wal_part *part, wal_replay_fn *fn, void *ctx)
{
    const uint8_t *p;
    size_t n;
    struct wal_file_head h;
    uint32_t rotten = 0;
    TRY(window_want(&s->r, 0, WAL_ALIGN, &p, &n));
    if (n < WAL_ALIGN || wal_file_head_get(p, n, &h) != OK || h.generation != part->generation || h.number != part->number) return OK;
    wal_chain_init(&s->chain, p);
    s->pos = WAL_ALIGN;
    for (;;) {
        struct wal_frame f;
        bool more;
        TRY(next_frame(s, &f, &more, &rotten));
        if (!more) return OK;
        TRY(fn(ctx, &f));
        s->pos += f.bytes;
        TRY(rt_checkpoint());
    }
}

err_t wal_read(const struct wal_part *part, wal_replay_fn *fn, void *ctx)
{
    struct replay s = { 0 };
    err_t e = window_open(&s.r, part->path, FILE_READ | FILE_DIRECT);
    if (e == ERR_NOT_FOUND) return OK;
    TRY(e);
    s.r.size = MIN(s.r.size, part->to);
    e = read_part(&s, part, fn, ctx);
    window_close(&s.r);
    return e;
}

/* -- keeping --------------------------------------------------------------------------------------------- */

static err_t copy(struct window *from, struct file *to)
{
    for (uint64_t pos = 0; pos < from->size;) {
        const uint8_t *p;
        size_t n;
        TRY(window_want(from, pos, WAL_ALIGN, &p, &n));
        if (n == 0) break;
        TRY(file_write(to, p, n, pos));
        pos += n;
    }
    return file_sync(to);
}

err_t wal_keep_aside(const struct wal_log_file *f, const char *to_dir)
{
    TRY(fs_mkdirs(to_dir));
    struct arena a;
    arena_init(&a, NULL);
    struct str path = arena_printf(&a, "%s/%u-%016" PRIx64 "-%016" PRIx64 ".wal", to_dir, f->head.core, f->name,
                                   f->head.salt);
    struct window from;
    struct file to;
    uint64_t there = 0;
    err_t e;
    TRY_OUT(e, window_open(&from, f->path, FILE_READ | FILE_DIRECT));
    e = file_open(&to, path.p, FILE_READ | FILE_WRITE | FILE_CREATE);
    if (e == OK) {
        e = file_size(&to, &there);
        if (e == OK && there < from.size) e = copy(&from, &to);
        file_close(&to);
    }
    window_close(&from);
    if (e == OK) e = fs_sync_dir(to_dir);
out:
    arena_deinit(&a);
    return e;
}
