/* Requests for other nodes, out of the logs: see store_names.h.
 *
 * What the cores write now is read up to what is synced; files may be deleted or begin another life meanwhile, which their headers,
 * salts and checks tell: then they have nothing. So nothing is pinned, and no append is kept waiting. Requests of the stream of this
 * node may lean on definitions in earlier frames of their log (log_series.c): their logs are read from the beginning of the
 * generation, and the requests encoded anew. */
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/store_int.h"

#include <stdlib.h>

enum { ALIASES_MAX = 4096 }; /* that are given last; more are given as they come */

struct pull {
    struct store *s;
    const struct cover *want;
    uint64_t left;      /* bytes */
    store_pull_fn *fn;
    void *ctx;
    bool own;           /* requests of the stream of this node are wanted */
    bool full;          /* enough was given, or fn failed */
    err_t failed;       /* fn's */
    struct err_record why;
    struct arena a;     /* files, aliases */
    struct cover given;
    struct wal_part *parts;
    struct request_head *aliases;
    size_t naliases, aliases_cap;
    struct log_series series; /* of the log and generation that is read */
};

/* -- which files ---------------------------------------------------------------------------------------------------- */

/* Is any of them wanted? */
static bool touches(const struct pull *p, const struct cover *names)
{
    struct cover rest;
    if (p->own) return true;
    cover_init(&rest);
    cover_minus(names, p->want, &rest);
    bool some = cover_count(&rest) < cover_count(names);
    cover_deinit(&rest);
    return some;
}

static err_t parts_here(void *arg)
{
    struct pull *p = arg;
    const struct shard *sh = shard_here(p->s);
    struct wal_part *all = NULL, *next;
    wal_parts(sh->wal, &p->a, &all);
    for (; all; all = next) {
        next = all->next;
        if (!touches(p, all->names)) continue;
        all->next = p->parts;
        p->parts = all;
    }
    return arena_check(&p->a);
}

static err_t logs_here(void *arg)
{
    struct pull *p = arg;
    const struct store *s = p->s;
    for (uint32_t i = 0; i < s->nlogs; i++) {
        const struct log_file *f = &s->logs[i];
        if (f->bad || (f->read && !touches(p, &f->names))) continue;
        struct wal_part *part = ARENA_NEW(&p->a, struct wal_part);
        *part = (struct wal_part){ .next = p->parts, .path = arena_str(&p->a, str_of(f->path)).p, .core = f->core,
                                   .generation = f->generation, .number = f->number, .to = UINT64_MAX };
        p->parts = part;
    }
    return arena_check(&p->a);
}

static int by_place(const void *x, const void *y)
{
    const struct wal_part *a = *(struct wal_part *const *)x, *b = *(struct wal_part *const *)y;
    if (a->generation != b->generation) return a->generation < b->generation ? -1 : 1;
    if (a->core != b->core) return a->core < b->core ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* -- giving ------------------------------------------------------------------------------------------------------------ */

static err_t give(struct pull *p, const struct batch_name *name, struct str bytes)
{
    cover_add(&p->given, name);
    metric_add(M_PULLED, 1);
    p->failed = p->fn(p->ctx, name, bytes);
    p->why = *err_record();
    p->full = p->failed != OK || bytes.n >= p->left;
    p->left -= MIN((uint64_t)bytes.n, p->left);
    return p->full ? err_set(ERR_CANCELED, "enough was given") : OK;
}

static err_t give_alias(struct pull *p, const struct request_head *h)
{
    struct buf b;
    buf_init(&b, 1024, NULL);
    request_encode(h, NULL, NULL, &b);
    err_t e = give(p, &h->name, buf_view(&b));
    buf_deinit(&b);
    return e;
}

static err_t note_alias(struct pull *p, const struct request_head *h)
{
    if (p->naliases == ALIASES_MAX) return give_alias(p, h);
    cover_add(&p->given, &h->name);
    p->aliases = arena_grow(&p->a, p->aliases, p->naliases, &p->aliases_cap, p->naliases + 1, sizeof *p->aliases);
    p->aliases[p->naliases++] = *h;
    return arena_check(&p->a);
}

/* Of the stream of this node: learns what it defines, and gives it, if it is wanted and whole, with all that it leans on. */
static err_t give_own(struct pull *p, struct request_reader *rd, bool wanted, struct arena *a)
{
    struct batch *batches = ARENA_ARRAY(a, struct batch, rd->left), **list = ARENA_ARRAY(a, struct batch *, rd->left);
    struct request_head head = rd->head;
    uint64_t nameless = 0;
    uint32_t n = 0;
    err_t e = arena_check(a);
    while (e == OK && rd->left > 0) {
        e = request_next(rd, a, &p->s->mem, &batches[n]);
        if (e != OK) break;
        list[n] = &batches[n];
        if (batches[n].metrics) log_series_fill(&p->series, batches[n].metrics, a, &nameless);
        n++;
    }
    if (e == OK && wanted && nameless == 0) {
        struct buf b;
        buf_init(&b, WAL_PAYLOAD_MAX, &p->s->mem);
        request_encode(&head, list, NULL, &b);
        e = buf_check(&b);
        if (e == OK) e = give(p, &head.name, buf_view(&b));
        buf_deinit(&b);
    }
    for (uint32_t i = 0; i < n; i++)
        batch_release(&batches[i]);
    return e;
}

static err_t on_frame(void *ctx, const struct wal_frame *f)
{
    struct pull *p = ctx;
    struct request_reader rd;
    struct arena a;
    if (request_open(f->payload, &rd) != OK) return OK; /* the replay that meets it says so */
    const struct batch_name *name = &rd.head.name;
    bool wanted = cover_has(p->want, name) && !cover_has(&p->given, name);
    if (wanted && rd.head.nbatches == 0) return note_alias(p, &rd.head);
    if (name->stream != p->s->own_stream) return wanted ? give(p, name, f->payload) : OK;
    if (!p->own || rd.head.nbatches > f->payload.n) return OK;
    arena_init(&a, &p->s->mem);
    err_t e = give_own(p, &rd, wanted, &a);
    arena_deinit(&a);
    return e;
}

/* -- all of it --------------------------------------------------------------------------------------------------------- */

/* What cannot be read is passed over: others may have it. */
static err_t read_parts(struct pull *p, struct wal_part *const *parts, uint32_t n)
{
    for (uint32_t i = 0; i < n && !p->full; i++) {
        bool first = i == 0 || parts[i]->core != parts[i - 1]->core || parts[i]->generation != parts[i - 1]->generation;
        if (first && i > 0) {
            log_series_deinit(&p->series);
            log_series_init(&p->series);
        }
        err_t e = wal_read(parts[i], on_frame, p);
        if (p->full) break;
        if (e == ERR_CANCELED || e == ERR_TIMEOUT || e == ERR_OVERLOAD) return e;
        if (e != OK) log_warn("wal.pull", "path=%s error=%s", parts[i]->path, err_detail());
    }
    for (size_t i = 0; i < p->naliases && !p->full; i++)
        (void)!give_alias(p, &p->aliases[i]);
    return OK;
}

static err_t pull(struct pull *p)
{
    struct store *s = p->s;
    for (unsigned c = 0; c < s->cores; c++)
        TRY(rt_call(c, RT_REPLICATION, parts_here, p));
    TRY(rt_call(0, RT_REPLICATION, logs_here, p));
    uint32_t n = 0;
    for (const struct wal_part *k = p->parts; k; k = k->next)
        n++;
    struct wal_part **list = ARENA_ARRAY(&p->a, struct wal_part *, n + 1);
    TRY(arena_check(&p->a));
    n = 0;
    for (struct wal_part *k = p->parts; k; k = k->next)
        list[n++] = k;
    if (n > 1) qsort(list, n, sizeof *list, by_place);
    return read_parts(p, list, n);
}

err_t store_pull(struct store *s, const struct cover *want, uint64_t bytes_max, store_pull_fn *fn, void *ctx)
{
    struct shard *sh = shard_here(s);
    struct cover own;
    if (!gate_enter(&sh->open)) return err_set(ERR_UNAVAILABLE, "the store is closing");
    struct pull p = { .s = s, .want = want, .left = bytes_max, .fn = fn, .ctx = ctx };
    cover_init(&own);
    cover_pick(want, &s->own_stream, 1, &own);
    p.own = !cover_empty(&own);
    cover_deinit(&own);
    arena_init(&p.a, NULL);
    cover_init(&p.given);
    log_series_init(&p.series);
    err_t e = pull(&p);
    if (p.failed != OK) {
        *err_record() = p.why;
        e = p.failed;
    }
    log_series_deinit(&p.series);
    cover_deinit(&p.given);
    arena_deinit(&p.a);
    gate_leave(&sh->open);
    return e;
}
