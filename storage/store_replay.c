/* Reading the logs of an earlier life into memtables, generation by generation, each core its share of the log
 * directories. The generations stay apart and closed, so that they are sealed in their order; where memory
 * runs short they are sealed before the next one is read: half of the memtables' memory and one generation, which is itself about
 * half of it, are the most that they take.
 *
 * What fails its checksum is never passed over in silence: it is logged as an error, counted in the stats, and the
 * file is copied to <dir>/bad before the seal deletes it. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/file.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdlib.h>

/* -- one frame --------------------------------------------------------------------------------------------------- */

struct replaying { /* one log directory, one generation */
    struct store *s;
    uint64_t generation;
    struct log_series series;
    struct log_file *file;
    uint64_t rotten, nameless;
};

struct replayed { /* one request */
    struct request_head head;
    struct batch *batches;
    uint32_t n;
    uint64_t scope, nameless;
    struct split *split;
};

static err_t decode(struct replaying *r, struct str payload, struct arena *a, struct replayed *q)
{
    struct request_reader rd;
    TRY(request_open(payload, &rd));
    if (rd.head.nbatches > payload.n) return err_set(ERR_CORRUPT, "a request of %u batches", rd.head.nbatches);
    if (!store_stream_known(r->s, rd.head.name.stream))
        return err_set(ERR_CORRUPT, "a request of stream %016" PRIx64 ", which the catalog does not name", rd.head.name.stream);
    q->head = rd.head;
    q->batches = ARENA_ARRAY(a, struct batch, rd.head.nbatches);
    q->split = split_new(r->s, a);
    while (rd.left > 0) {
        struct batch *b = &q->batches[q->n];
        TRY(request_next(&rd, a, NULL, b));
        q->n++;
        q->scope |= dedup_scope(b->tenant, b->signal);
        uint8_t *skip = b->metrics ? log_series_fill(&r->series, b->metrics, a, &q->nameless) : NULL;
        split_add(q->split, b, skip);
    }
    return OK;
}

/* Its rows, unless its name has them already; then it is covered, if it is whole. */
static err_t insert(struct replaying *r, const struct replayed *q)
{
    struct store *s = r->s;
    const struct batch_name *name = &q->head.name;
    bool there;
    TRY(held_has(s, name, &there));
    if (there) {
        log_warn("wal.twice", "generation=%" PRIu64 " core=%u seq=%" PRIu64 " effect=\"a request that is there already is left out\"",
                 r->generation, name->core, name->seq);
        return OK;
    }
    r->nameless += q->nameless;
    if (q->nameless && name->stream != s->own_stream) return OK; /* others have it whole */
    split_insert(q->split, r->generation, name->stream);
    if (q->nameless == 0) TRY(held_replay(s, name, r->generation));
    if (name->stream != s->own_stream) cover_add(&r->file->names, name);
    const hash128 none = { 0, 0 };
    if (q->n == 0 || hash128_eq(q->head.key, none)) return OK;
    /* When a request of another node came here is not written down: it is remembered as if that were now. */
    int64_t wall_ms = name->stream == s->own_stream ? q->head.wall_ms : rt_wall().ns / NS_PER_MS;
    const struct dedup_entry known = { .key = dedup_key_of(s, q->head.key, name->stream), .wall_ms = wall_ms, .scope = q->scope, .name = *name };
    struct buf bytes;
    buf_init(&bytes, DEDUP_BYTES, NULL);
    dedup_put(&bytes, &known);
    err_t e = dedup_import(s, r->generation, buf_view(&bytes));
    buf_deinit(&bytes);
    return e;
}

static err_t replay_request(struct replaying *r, struct str payload, struct arena *a)
{
    struct replayed q = { 0 };
    err_t e = decode(r, payload, a, &q);
    if (e == OK) e = insert(r, &q);
    for (uint32_t i = 0; i < q.n; i++)
        batch_release(&q.batches[i]);
    return e;
}

static err_t replay_frame(void *ctx, const struct wal_frame *f)
{
    struct replaying *r = ctx;
    struct store *s = r->s;
    struct arena a;
    arena_init(&a, NULL);
    err_t e = replay_request(r, f->payload, &a);
    arena_deinit(&a);
    if (e == ERR_CORRUPT) {
        /* Its checksum holds: written by another version, or by a bug. */
        log_error("wal.corrupt", "generation=%" PRIu64 " frame=%" PRIu64 " error=%s", f->generation, f->seq, err_detail());
        r->rotten++;
        e = OK;
    }
    if (e == OK) metric_add(M_WAL_REPLAYED, 1);
    uint64_t done = atomic_fetch_add(&s->replay_done, f->bytes) + f->bytes;
    if (s->o.on_progress && rt_core() == 0) s->o.on_progress(MIN(done, s->replay_total), s->replay_total);
    return e;
}

/* -- one generation ------------------------------------------------------------------------------------------------- */

struct replay_call {
    struct store *s;
    const struct wal_log *logs;
    uint32_t nlogs;
    uint64_t generation;
};

static err_t report_rot(struct store *s, const struct wal_log_file *f, uint64_t count, const char *what)
{
    atomic_fetch_add(&s->wal_rotten, count);
    log_error("wal.corrupt", "path=%s what=\"%s\" count=%" PRIu64
              " effect=\"acked rows are lost; all that is valid is kept, the file is copied to %s\"",
              f->path, what, count, s->bad_dir);
    err_t e = wal_keep_aside(f, s->bad_dir);
    if (e != ERR_NOSPC) return e;
    log_error("wal.not_kept", "path=%s error=\"%s\"", f->path, err_detail()); /* a full disk is no reason not to start */
    return OK;
}

static err_t replay_log(struct store *s, const struct wal_log *log, uint64_t generation)
{
    struct replaying r = { .s = s, .generation = generation };
    const struct wal_log_file *before = NULL; /* the last file with frames */
    uint64_t last_check = 0;
    err_t e = OK;
    log_series_init(&r.series);
    for (uint32_t i = 0; i < log->count; i++) {
        const struct wal_log_file *f = &log->files[i];
        if (f->dead || f->head.generation != generation) continue;
        struct wal_replayed done;
        r.rotten = r.nameless = 0;
        r.file = logs_find(s, f->path);
        if (before && !f->bad_header && f->head.before != 0 && f->head.before != last_check)
            TRY_OUT(e, report_rot(s, before, 1, "frames are missing at its end"));
        TRY_OUT(e, wal_replay(f, replay_frame, &r, &done));
        r.rotten += done.rotten;
        if (r.rotten > 0) TRY_OUT(e, report_rot(s, f, r.rotten, "invalid frames before valid ones"));
        if (r.nameless > 0) TRY_OUT(e, report_rot(s, f, r.nameless, "series without labels"));
        r.file->read = true;
        if (done.frames == 0) continue;
        before = f;
        last_check = done.last_check;
    }
out:
    log_series_deinit(&r.series);
    return e;
}

static err_t replay_here(void *arg)
{
    const struct replay_call *c = arg;
    for (uint32_t i = 0; i < c->nlogs; i++)
        if (c->logs[i].core % c->s->cores == rt_core()) TRY(replay_log(c->s, &c->logs[i], c->generation));
    return OK;
}

/* -- all ---------------------------------------------------------------------------------------------------------------- */

/* The lowest generation above `above` in any log; false when there is none. Files that do not count go. */
static bool next_generation(const struct wal_log *logs, uint32_t n, uint64_t above, uint64_t *out)
{
    bool found = false;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < logs[i].count; k++) {
            const struct wal_log_file *f = &logs[i].files[k];
            if (f->dead || f->head.generation <= above || (found && f->head.generation >= *out)) continue;
            *out = f->head.generation;
            found = true;
        }
    return found;
}

/* Deletes what does not count (but what other nodes may want), makes the names of what does durable, and adds up. */
static err_t sort_out(struct store *s, struct arena *a, const struct wal_log *logs, uint32_t n)
{
    uint64_t sealed = atomic_load(&s->sealed_gen);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < logs[i].count; k++) {
            const struct wal_log_file *f = &logs[i].files[k];
            bool old = f->head.generation <= sealed;
            if (f->dead || (old && (f->bad_header || s->o.log_keep_bytes == 0))) {
                TRY(fs_unlink(f->path));
            } else {
                s->replay_total += old ? 0 : f->size;
                logs_add(s, logs[i].core, f, old);
            }
        }
        TRY(fs_sync_dir(arena_printf(a, "%s/%u", s->wal_dir, logs[i].core).p));
    }
    return OK;
}

/* A seal frees the logs that it ends, but needs room first. */
static err_t seal_on_the_way(struct store *s)
{
    err_t e = store_seal_closed(s);
    return e == ERR_NOSPC && disk_ballast_release(s->o.dir) ? store_seal_closed(s) : e;
}

static err_t replay_generations(struct store *s, const struct wal_log *logs, uint32_t nlogs)
{
    uint64_t generation = atomic_load(&s->sealed_gen);
    void **args = calloc(s->cores, sizeof *args);
    ASSERT(args != NULL);
    err_t e = OK;
    while (next_generation(logs, nlogs, generation, &generation)) {
        /* For the one to come. What is there at the end is sealed when the node serves. */
        if (atomic_load(&s->mem.used) > s->o.mem_bytes / 2) TRY_OUT(e, seal_on_the_way(s));
        struct replay_call c = { s, logs, nlogs, generation };
        for (unsigned i = 0; i < s->cores; i++)
            args[i] = &c;
        TRY_OUT(e, rt_call_all(RT_INGEST, replay_here, args, NULL));
        store_closed_add(s, generation);
    }
    atomic_store(&s->generation, generation + 1);
out:
    free(args);
    return e;
}

struct wal_call {
    struct store *s;
    uint64_t number_first;
};

static void on_wal_failed(void *ctx, const char *why)
{
    store_failed(ctx, why);
}

static err_t wal_here(void *arg)
{
    const struct wal_call *c = arg;
    struct store *s = c->s;
    struct shard *sh = shard_here(s);
    sh->generation = atomic_load(&s->generation);
    gate_init(&sh->gates[sh->generation & 1]);
    const struct wal_opts o = { .dir = s->wal_dir, .core = sh->core, .number_first = c->number_first,
                                .file_bytes = s->wal_file_bytes,
                                .commit_bytes = MAX(s->o.commit_bytes, (uint32_t)WAL_COMMIT_BYTES_MIN),
                                .on_failed = on_wal_failed, .ctx = s };
    return wal_open(&o, &sh->wal);
}

err_t store_replay(struct store *s)
{
    struct arena a;
    arena_init(&a, NULL);
    struct wal_log *logs;
    uint32_t nlogs;
    struct wal_call *calls = ARENA_ARRAY(&a, struct wal_call, s->cores);
    void **args = ARENA_ARRAY(&a, void *, s->cores);
    err_t e;
    TRY_OUT(e, wal_scan(s->wal_dir, &a, &logs, &nlogs));
    TRY_OUT(e, sort_out(s, &a, logs, nlogs));
    TRY_OUT(e, replay_generations(s, logs, nlogs));
    for (unsigned c = 0; c < s->cores; c++) {
        calls[c] = (struct wal_call){ s, 1 };
        args[c] = &calls[c];
        for (uint32_t i = 0; i < nlogs; i++)
            if (logs[i].core == c) calls[c].number_first = logs[i].number_next;
    }
    e = rt_call_all(RT_INGEST, wal_here, args, NULL);
out:
    arena_deinit(&a);
    return e;
}
