/* Marks of dead rows: gathered, committed, published, loaded. See store_delete.h for what deletion promises.
 *
 *   _store/dead/<segment, 32 hex digits>/<group, 8 hex digits>   seg_dead_encode
 *
 * A commit reads what the catalog has of a group, writes the union, and gives that to every core that has the segment open, there
 * without a yield between. All of it is done with s->changing held (store_int.h), so marks never meet a segment that is being replaced:
 * a segment that is not in infos any more makes its marks stale. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/seg_dead.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdlib.h>

enum { NAME_HEX = 32, KEY_TAIL = 9, DEAD_ITEMS_MAX = 16 << 20 };
static const struct str DEAD_PREFIX = { "_store/dead/", 12 };

/* -- gathering ---------------------------------------------------------------------------------------------------- */

void dead_marks_init(struct dead_marks *m, struct arena *a)
{
    *m = (struct dead_marks){ .a = a };
}

err_t dead_marks_end(struct dead_marks *m)
{
    struct buf b;
    if (m->now.nrows == 0) return OK;
    buf_init(&b, SEG_DEAD_BYTES_MAX, m->a->budget);
    seg_dead_encode(m->rows, m->nnow, m->now.nrows, &b);
    err_t e = buf_check(&b);
    if (e == OK) {
        m->now.bytes = arena_str(m->a, buf_view(&b));
        m->items = arena_grow(m->a, m->items, m->n, &m->cap, m->n + 1, sizeof *m->items);
        m->items[m->n++] = m->now;
        m->bytes += sizeof m->now + b.n;
    }
    buf_deinit(&b);
    m->now.nrows = 0;
    m->nnow = 0;
    return e == OK ? arena_check(m->a) : e;
}

err_t dead_marks_add(struct dead_marks *m, const char name[40], uint32_t group, uint32_t nrows, const uint32_t *rows, uint32_t n)
{
    if (n == 0) return OK;
    if (m->now.group != group || memcmp(m->now.name, name, sizeof m->now.name) != 0) TRY(dead_marks_end(m));
    m->now.group = group;
    m->now.nrows = nrows;
    memcpy(m->now.name, name, sizeof m->now.name);
    ASSERT(m->nnow + n <= nrows);
    m->rows = arena_grow(m->a, m->rows, m->nnow, &m->rows_cap, m->nnow + n, sizeof *m->rows);
    memcpy(m->rows + m->nnow, rows, n * sizeof *rows);
    m->nnow += n;
    return arena_check(m->a);
}

/* -- keys ----------------------------------------------------------------------------------------------------------- */

static struct str segment_prefix(struct arena *a, const char *name)
{
    return arena_printf(a, STR_FMT "%.*s/", STR_ARG(DEAD_PREFIX), NAME_HEX, name);
}
static struct str mark_key(struct arena *a, const char *name, uint32_t group)
{
    return arena_printf(a, STR_FMT "%.*s/%08" PRIx32, STR_ARG(DEAD_PREFIX), NAME_HEX, name, group);
}

static bool parse_key(struct str key, struct str *name, uint32_t *group)
{
    uint8_t no[4];
    if (key.n != DEAD_PREFIX.n + NAME_HEX + KEY_TAIL) return false;
    *name = str_sub(key, DEAD_PREFIX.n, DEAD_PREFIX.n + NAME_HEX);
    if (!str_from_hex(str_sub(key, key.n - 8, key.n), no, 4)) return false;
    *group = (uint32_t)no[0] << 24 | (uint32_t)no[1] << 16 | (uint32_t)no[2] << 8 | no[3];
    return true;
}

static bool is_named(const struct seg_info *i, struct str name)
{
    return memcmp(i->name, name.p, NAME_HEX) == 0;
}

static const struct seg_info *info_named(const struct store *s, struct str name)
{
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (is_named(&s->infos[i], name)) return &s->infos[i];
    return NULL;
}

static err_t del_marks(struct store *s, const struct seg_info *infos, uint32_t count, struct catalog_batch *b)
{
    for (uint32_t i = 0; i < count; i++) {
        struct kv_item *items;
        size_t n;
        TRY(s->o.kv->list(s->o.kv, segment_prefix(&b->a, infos[i].name), DEAD_ITEMS_MAX, &b->a, &items, &n));
        for (size_t k = 0; k < n; k++)
            catalog_put(b, items[k].key, STR_NONE);
    }
    return b->n ? catalog_commit(s, b) : OK;
}

void dead_forget(struct store *s, const struct seg_info *infos, uint32_t n)
{
    struct catalog_batch b;
    catalog_batch_init(&b);
    if (del_marks(s, infos, n, &b) != OK) log_warn("delete.forget", "error=%s effect=\"done at the next start\"", err_detail());
    catalog_batch_deinit(&b);
}

/* -- marks that come with a segment from another node ----------------------------------------------------------------- */

err_t dead_of(struct store *s, const struct seg_info *i, struct arena *a, struct dead_mark **out, uint32_t *count)
{
    struct kv_item *items;
    size_t n;
    TRY(s->o.kv->list(s->o.kv, segment_prefix(a, i->name), DEAD_ITEMS_MAX, a, &items, &n));
    *out = ARENA_ARRAY(a, struct dead_mark, n + 1);
    *count = (uint32_t)n;
    for (size_t k = 0; k < n; k++) {
        struct dead_mark *m = &(*out)[k];
        struct str name;
        if (!parse_key(items[k].key, &name, &m->group)) return err_set(ERR_CORRUPT, "catalog: " STR_FMT " is malformed", STR_ARG(items[k].key));
        memcpy(m->name, i->name, sizeof m->name);
        m->bytes = items[k].value;
    }
    return arena_check(a);
}

err_t dead_unite(const struct dead_mark *x, uint32_t nx, const struct dead_mark *y, uint32_t ny, struct arena *a, struct dead_mark **out, uint32_t *n)
{
    *out = ARENA_ARRAY(a, struct dead_mark, (size_t)nx + ny + 1);
    *n = nx;
    if (nx) memcpy(*out, x, nx * sizeof *x);
    for (uint32_t i = 0; i < ny; i++) {
        uint32_t k = 0, fresh;
        struct buf both;
        while (k < *n && (*out)[k].group != y[i].group)
            k++;
        if (k == *n) {
            (*out)[(*n)++] = y[i];
            continue;
        }
        buf_init(&both, SEG_DEAD_BYTES_MAX, NULL);
        err_t e = seg_dead_unite((*out)[k].bytes, y[i].bytes, &both, &fresh);
        if (e == OK) (*out)[k].bytes = arena_str(a, buf_view(&both));
        buf_deinit(&both);
        TRY(e);
    }
    return arena_check(a);
}

void dead_put(struct catalog_batch *b, const struct dead_mark *marks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        catalog_put(b, mark_key(&b->a, marks[i].name, marks[i].group), marks[i].bytes);
}

/* -- commit ----------------------------------------------------------------------------------------------------------- */

struct commit {
    struct store *s;
    const struct dead_marks *marks;
    struct delete_counts *counts;
    struct dead_mark *to; /* what the catalog has afterwards */
    uint32_t n;
};

static err_t mark_seg(struct seg *g, const struct dead_mark *m)
{
    struct seg_dead *d;
    if (m->group >= seg_ngroups(g)) return err_set(ERR_CORRUPT, "%s: dead rows of group %u of %u", seg_info(g)->name, m->group, seg_ngroups(g));
    TRY(seg_dead_with(seg_dead_of(g), m->group, seg_group(g, m->group)->nrows, m->bytes, &d));
    seg_dead_set(g, d);
    return OK;
}

err_t dead_mark_new(struct seg *g, const struct dead_mark *marks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (is_named(seg_info(g), str_n(marks[i].name, NAME_HEX))) TRY(mark_seg(g, &marks[i]));
    return OK;
}

static struct seg *shard_seg(const struct shard *sh, const char *name)
{
    for (uint32_t i = 0; i < sh->nsegs; i++)
        if (is_named(seg_info(sh->segs[i]), str_n(name, NAME_HEX))) return sh->segs[i];
    return NULL;
}

static err_t publish_here(void *arg)
{
    const struct commit *c = arg;
    struct shard *sh = shard_here(c->s);
    struct seg *g = NULL;
    for (uint32_t i = 0; i < c->n; i++) {
        if (!g || !is_named(seg_info(g), str_n(c->to[i].name, NAME_HEX))) g = shard_seg(sh, c->to[i].name);
        if (!g) continue;
        err_t e = mark_seg(g, &c->to[i]);
        ASSERT(e == OK); /* encoded a moment ago, of a group of this segment */
    }
    return OK;
}

/* One group's marks with those that the catalog has. */
static err_t unite(struct commit *c, const struct dead_mark *m, struct catalog_batch *b, int64_t *bytes)
{
    struct kv *kv = c->s->o.kv;
    struct str key = mark_key(&b->a, m->name, m->group), old = STR_NONE;
    struct buf out;
    uint32_t fresh;
    err_t e = kv->get(kv, key, &b->a, &old);
    if (e == ERR_NOT_FOUND) old = STR_NONE;
    else if (e != OK) return e;
    buf_init(&out, SEG_DEAD_BYTES_MAX, NULL);
    e = seg_dead_unite(old, m->bytes, &out, &fresh);
    if (e == OK) {
        struct dead_mark *to = &c->to[c->n++];
        *to = *m;
        to->bytes = arena_str(&b->a, buf_view(&out));
        catalog_put(b, key, to->bytes);
        c->counts->rows += fresh;
        *bytes += (int64_t)out.n;
    }
    buf_deinit(&out);
    return e;
}

static err_t commit_locked(struct commit *c, struct catalog_batch *b)
{
    struct store *s = c->s;
    const struct dead_marks *m = c->marks;
    const char *seen = NULL; /* marks of one segment stand together */
    bool there = false;
    int64_t bytes = 0;
    c->to = ARENA_ARRAY(&b->a, struct dead_mark, m->n + 1);
    for (uint32_t i = 0; i < m->n; i++) {
        const char *name = m->items[i].name;
        if (!seen || memcmp(seen, name, NAME_HEX) != 0) there = info_named(s, str_n(name, NAME_HEX)) != NULL;
        seen = name;
        if (there) TRY(unite(c, &m->items[i], b, &bytes));
        else c->counts->stale++;
    }
    if (bytes + metric_sum(M_DEAD_BYTES) > DEAD_BYTES_MAX) {
        metric_add(M_DELETES_REFUSED, 1);
        return err_set(ERR_LIMIT, "the marks of deleted rows would take over %d MiB of memory: merging segments frees them, try again later",
                       DEAD_BYTES_MAX >> 20);
    }
    if (c->n == 0) return OK;
    TRY(catalog_commit(s, b));
    void **args = store_same_args(s, c);
    store_call_all(s, publish_here, args);
    free(args);
    return OK;
}

static err_t rows_here(void *arg)
{
    struct commit *c = arg;
    struct catalog_batch b;
    struct delete_counts before = *c->counts;
    TRY(sem_take(&c->s->changing, 1));
    catalog_batch_init(&b);
    err_t e = commit_locked(c, &b);
    catalog_batch_deinit(&b);
    sem_give(&c->s->changing, 1);
    if (e == OK) metric_add(M_DELETED_ROWS, (int64_t)(c->counts->rows - before.rows));
    else *c->counts = before;
    return e;
}

err_t store_delete_rows(struct store *s, const struct dead_marks *m, struct delete_counts *counts)
{
    struct commit c = { .s = s, .marks = m, .counts = counts };
    ASSERT(m->now.nrows == 0); /* dead_marks_end was called */
    return m->n ? rt_call(0, RT_MAINTENANCE, rows_here, &c) : OK;
}

/* -- at start ---------------------------------------------------------------------------------------------------------- */

/* Marks of segments that are gone: the catalog lost its segment and kept the marks, at a crash between the two. */
static err_t drop_orphans(struct store *s, const struct kv_item *items, size_t n)
{
    struct catalog_batch b;
    catalog_batch_init(&b);
    for (size_t i = 0; i < n; i++) {
        struct str name;
        uint32_t group;
        if (parse_key(items[i].key, &name, &group) && !info_named(s, name)) catalog_put(&b, items[i].key, STR_NONE);
    }
    err_t e = b.n ? catalog_commit(s, &b) : OK;
    catalog_batch_deinit(&b);
    return e;
}

err_t dead_load(struct store *s)
{
    arena_init(&s->loaded_mem, NULL);
    TRY(s->o.kv->list(s->o.kv, DEAD_PREFIX, DEAD_ITEMS_MAX, &s->loaded_mem, &s->loaded, &s->nloaded));
    return drop_orphans(s, s->loaded, s->nloaded);
}

void dead_loaded(struct store *s)
{
    arena_deinit(&s->loaded_mem);
    arena_init(&s->loaded_mem, NULL);
    s->loaded = NULL;
    s->nloaded = 0;
}

/* Keys ascend, so those of one segment stand together. */
static size_t first_of(const struct store *s, const char *name)
{
    size_t lo = 0, hi = s->nloaded;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        struct str at = str_sub(s->loaded[mid].key, DEAD_PREFIX.n, DEAD_PREFIX.n + NAME_HEX);
        if (str_cmp(at, str_n(name, NAME_HEX)) < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

err_t dead_attach_one(const struct store *s, struct seg *g)
{
    for (size_t k = first_of(s, seg_info(g)->name); k < s->nloaded; k++) {
        const struct kv_item *it = &s->loaded[k];
        struct dead_mark m = { .bytes = it->value };
        struct str name;
        if (!parse_key(it->key, &name, &m.group)) return err_set(ERR_CORRUPT, "catalog: " STR_FMT " is malformed", STR_ARG(it->key));
        if (!is_named(seg_info(g), name)) break;
        if (mark_seg(g, &m) == OK) continue;
        char why[ERR_DETAIL_MAX];
        memcpy(why, err_detail(), strlen(err_detail()) + 1);
        return err_set(ERR_CORRUPT, "catalog: " STR_FMT ": %.400s", STR_ARG(it->key), why);
    }
    return OK;
}

err_t dead_attach(struct shard *sh)
{
    for (uint32_t i = 0; i < sh->nsegs; i++)
        TRY(dead_attach_one(sh->store, sh->segs[i]));
    return OK;
}

/* -- segments without a living row --------------------------------------------------------------------------------------- */

struct gone_call {
    const struct store *s;
    struct seg_info *v;
    uint32_t n, cap;
};

static bool shard_seg_gone(const struct shard *sh, const struct seg *g)
{
    const struct outside o = { sh->tombs, sh->keep, atomic_load(&sh->store->keep_now_ns), seg_dead_of(g) };
    uint32_t n = seg_ngroups(g), i = 0;
    while (i < n && group_gone(&o, g, i))
        i++;
    return n > 0 && i == n;
}

static err_t gone_here(void *arg)
{
    struct gone_call *c = arg;
    const struct shard *sh = shard_here((struct store *)(uintptr_t)c->s);
    for (uint32_t i = 0; i < sh->nsegs; i++) {
        const struct seg_info *info = seg_info(sh->segs[i]);
        bool known = false;
        if (!shard_seg_gone(sh, sh->segs[i])) continue;
        for (uint32_t k = 0; k < c->n && !known; k++) /* of more cores than one, when their number changed */
            known = memcmp(c->v[k].name, info->name, sizeof info->name) == 0;
        if (known) continue;
        c->v = store_grow(c->v, &c->cap, c->n + 1, sizeof *c->v);
        c->v[c->n++] = *info;
    }
    return OK;
}

uint32_t dead_segments(struct store *s, struct seg_info **out)
{
    struct gone_call c = { .s = s };
    uint32_t kept = 0;
    for (unsigned i = 0; i < s->cores; i++)
        if (rt_call(i, RT_MAINTENANCE, gone_here, &c) != OK) break; /* the others next time */
    for (uint32_t i = 0; i < c.n; i++)
        if (store_has_seg(s, &c.v[i])) c.v[kept++] = c.v[i];
    *out = c.v;
    return kept;
}
