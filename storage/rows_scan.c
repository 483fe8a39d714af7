/* Scans over rows. rows_open lists what may hold matching rows (parts of memtables, row groups of segments) and
 * pins it; rows_next takes one after another, drops it when a hint rules it out, and narrows its selection where
 * that is cheap.
 *
 * Words among the hints of logs and documents are looked up in the index of words of each segment, all at once: of the groups
 * that remain only the blocks are looked at that may hold all of them (rows_words.h). Where few rows of a group are left, the
 * rowset consists of these alone, under new numbers: who reads its columns reads and decodes little else.
 *
 * A trace id among the hints is looked up in the index of each segment first, all at once: what groups remain hold its
 * rows with few exceptions, and these rows are found some groups ahead, side by side (rows_find.c).
 *
 * A rowset's columns are read when first asked for (rowset.c). Hints on a column are tested in the order of their price:
 * directory (zones), filters, dictionary. A hint never rules out what another reading of the same name might match: a
 * column of that name with another type than the hint is about keeps the rowset. */
#include "base/core/assert.h"
#include "storage/col_bloom.h"
#include "storage/keep_rows.h"
#include "storage/lost.h"
#include "storage/partition.h"
#include "storage/rows_scan_int.h"
#include "storage/seg_dead.h"
#include "storage/seg_ids.h"
#include "storage/store_delete.h"
#include "storage/table_grow.h"

#include <stdlib.h>

/* A rowset is of not more than one row of so many when it has no others. */
enum { PACK_OF = 2 };

/* -- opening ------------------------------------------------------------------------------------------------ */

static bool overlaps(const struct rows_req *rq, int64_t tmin, int64_t tmax)
{
    return tmin > tmax || (tmin <= rq->tmax_ns && tmax >= rq->tmin_ns); /* tmin > tmax: no times known */
}

static void add_source(struct rows_scan *s, const struct source *src)
{
    s->sources = arena_grow(&s->mem, s->sources, s->n, &s->cap, s->n + 1, sizeof *s->sources);
    s->sources[s->n++] = *src;
}

static bool wanted(const struct rows_scan *s, struct str tenant, enum signal signal, struct str index)
{
    return signal == s->rq.signal && str_eq(tenant, s->v->tenant) &&
           (signal != SIG_DOCS || str_eq(index, s->rq.index));
}

static void list_mem(struct rows_scan *s, const struct mem_rows *m)
{
    for (uint32_t i = 0; m && i < mem_rows_streams(m); i++) {
        const struct mem_stream *st = mem_rows_stream(m, i);
        if (!wanted(s, st->tenant, st->signal, st->index)) continue;
        for (uint32_t k = 0; k < st->nparts; k++) {
            const struct table *t = st->parts[k]->table;
            if (overlaps(&s->rq, t->tmin_ns, t->tmax_ns))
                add_source(s, &(struct source){ .tmin_ns = t->tmin_ns, .tmax_ns = t->tmax_ns, .part = mem_part_get(st->parts[k]) });
            else
                s->v->counts.groups_skipped++;
        }
    }
}

static void list_seg(struct rows_scan *s, uint32_t no)
{
    struct seg *seg = s->v->segs[no];
    const struct seg_info *info = seg_info(seg);
    if (info->cores == s->v->cores && info->core != s->v->core) return;
    if (s->rq.upto_generation && info->generation > s->rq.upto_generation) return;
    for (uint32_t i = 0; i < seg_ngroups(seg); i++) {
        const struct seg_group *g = seg_group(seg, i);
        if (!wanted(s, g->tenant, g->signal, g->index) || view_group_gone(s->v, no, i) || lost_is(s->v->lost, info, i)) continue;
        if (overlaps(&s->rq, g->tmin_ns, g->tmax_ns))
            add_source(s, &(struct source){ .tmin_ns = g->tmin_ns, .tmax_ns = g->tmax_ns, .seg = seg,
                                            .dead = s->v->dead[no], .group_no = i, .group = g });
        else
            s->v->counts.groups_skipped++;
    }
}

static int newest_first(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    return x->tmax_ns > y->tmax_ns ? -1 : x->tmax_ns < y->tmax_ns;
}

static int oldest_first(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    return x->tmin_ns < y->tmin_ns ? -1 : x->tmin_ns > y->tmin_ns;
}

/* -- by id: which groups ------------------------------------------------------------------------------------ */

struct asked { /* a segment, and the rows that its index names */
    struct seg *seg;
    uint32_t *rows, n, at; /* at: the first that no group has taken */
    bool answered;
};
struct asking {
    struct rows_scan *s;
    struct asked *v;
    uint32_t n, next;
};

static const struct scan_hint *id_hint(const struct rows_req *rq)
{
    for (uint32_t i = 0; i < rq->nhints; i++) {
        const struct scan_hint *h = &rq->hints[i];
        if (h->kind == HINT_FIX_EQ && h->rel == REL_ROWS && h->scope == SC_SELF && h->value.n == 16 && str_is(h->name, "trace_id"))
            return seg_ids_cover(rq->signal) ? h : NULL;
    }
    return NULL;
}

static err_t ask(struct rows_scan *s, struct asked *q)
{
    TRY(seg_find_ids(q->seg, s->ids.v, s->ids.n, &s->mem, &q->rows, &q->n));
    q->answered = true;
    return OK;
}

static void ask_fiber(void *arg)
{
    struct asking *q = arg;
    /* What went wrong here will go wrong again, and be told then. */
    while (q->next < q->n)
        if (ask(q->s, &q->v[q->next++]) != OK) return;
}

/* The rows of its group, numbered from its first. Groups come ascending. */
static void name_rows(struct source *src, struct asked *q)
{
    uint32_t first = src->group->first_row;
    uint64_t end = (uint64_t)first + src->group->nrows;
    while (q->at < q->n && q->rows[q->at] < first)
        q->at++;
    src->named = q->rows + q->at;
    for (; q->at < q->n && q->rows[q->at] < end; q->at++) {
        q->rows[q->at] -= first;
        src->nnamed++;
    }
}

/* Drops the sources in segments that do not hold the id. Sources of one segment stand together, groups ascending. */
static err_t keep_named(struct rows_scan *s, struct asking *q)
{
    uint32_t kept = 0, k = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        struct source *src = &s->sources[i];
        if (src->seg) {
            while (q->v[k].seg != src->seg)
                k++;
            if (!q->v[k].answered) TRY(ask(s, &q->v[k]));
            name_rows(src, &q->v[k]);
        }
        if (src->part || src->nnamed)
            s->sources[kept++] = *src;
        else
            s->v->counts.groups_skipped++;
    }
    s->n = kept;
    return OK;
}

/* Reading a page of an index costs about as much as reading the ids of so many rows and comparing them. */
enum { PAGE_ROWS = 300 };

/* All rows of a trace belong to one core. Keeps the ids of this one; false when there are none. */
static bool keep_ours(struct rows_scan *s)
{
    uint8_t (*ours)[16] = (void *)ARENA_RAW(&s->mem, uint8_t, (size_t)s->ids.n * 16);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->ids.n; i++)
        if (partition_of(s->v->tenant, hash64(str_n(s->ids.v[i], 16)), s->v->partitions) % s->v->cores == s->v->core)
            memcpy(ours[n++], s->ids.v[i], 16);
    if (n) s->ids = (struct rows_ids){ (const uint8_t (*)[16])ours, n };
    return n > 0;
}

static err_t look_up(struct rows_scan *s)
{
    struct asking q = { .s = s, .v = ARENA_ARRAY(&s->mem, struct asked, s->n + 1) };
    uint64_t rows = 0;
    bool ours = keep_ours(s);
    TRY(arena_check(&s->mem));
    for (uint32_t i = 0; i < s->n; i++) {
        struct seg *seg = s->sources[i].seg;
        if (seg) rows += s->sources[i].group->nrows;
        if (seg && (q.n == 0 || q.v[q.n - 1].seg != seg)) q.v[q.n++] = (struct asked){ .seg = seg, .answered = !ours };
    }
    if (s->ids.n > 1 && (uint64_t)s->ids.n * q.n * PAGE_ROWS > rows) {
        s->ids.n = 0;
        return OK;
    }
    if (ours && q.n > 1) TRY(rows_in_fibers(q.n, ask_fiber, &q));
    return keep_named(s, &q);
}

/* -- by words ----------------------------------------------------------------------------------------------- */

/* Drops the sources that cannot hold the words. Those of one segment stand together, groups ascending, behind memtables'. */
static err_t look_up_words(struct rows_scan *s)
{
    struct words_group *v = ARENA_ARRAY(&s->mem, struct words_group, s->n + 1);
    uint32_t from = 0, kept;
    uint64_t bytes = 0;
    TRY(arena_check(&s->mem));
    while (from < s->n && s->sources[from].part)
        from++;
    for (uint32_t i = from; i < s->n; i++)
        v[i - from] = (struct words_group){ .seg = s->sources[i].seg, .group = s->sources[i].group };
    TRY(rows_words_find(&s->words, v, s->n - from, &s->mem, &bytes));
    s->v->counts.bytes += bytes;
    kept = from;
    for (uint32_t i = from; i < s->n; i++) {
        const struct words_group *g = &v[i - from];
        struct source *src = &s->sources[i];
        src->blocks = g->blocks;
        src->nblocks = g->nblocks;
        src->worded = g->known;
        if (g->known && g->nblocks == 0 && !src->group->tokens_partial) s->v->counts.groups_skipped++;
        else s->sources[kept++] = *src;
    }
    s->n = kept;
    return OK;
}

static err_t open_sources(struct rows_scan *s)
{
    const struct rows_req *rq = &s->rq;
    for (uint32_t i = 0; i < s->v->nmems && !rq->upto_generation; i++)
        list_mem(s, s->v->mems[i]->rows);
    for (uint32_t i = 0; i < s->v->nsegs; i++)
        list_seg(s, i);
    view_note_missing(s->v, rq->signal, rq->tmin_ns, rq->tmax_ns);
    s->id = id_hint(rq);
    if (s->id) s->ids = (struct rows_ids){ (const void *)s->id->value.p, 1 };
    else if (seg_ids_cover(rq->signal)) s->ids = (struct rows_ids){ rq->ids, rq->nids };
    if (s->ids.n) TRY(look_up(s));
    else rows_words_init(&s->words, &s->rq);
    if (s->words.n) TRY(look_up_words(s));
    if (rq->newest_first && s->n > 1) qsort(s->sources, s->n, sizeof *s->sources, newest_first);
    if (rq->oldest_first && s->n > 1) qsort(s->sources, s->n, sizeof *s->sources, oldest_first);
    return arena_check(&s->mem);
}

err_t rows_open(struct view *v, const struct rows_req *rq, struct rows_scan **out)
{
    struct rows_scan *s = calloc(1, sizeof *s);
    ASSERT(s);
    /* A deletion takes what retention hides as well: a longer rule, or a clock that is set, would show it again. */
    if (rq->upto_generation && v->keep) {
        keep_rules_put(v->keep);
        v->keep = NULL;
    }
    s->v = v;
    s->rq = *rq;
    arena_init_sized(&s->mem, v->budget, ARENA_BLOCK_MIN);
    arena_init(&s->rowset, v->budget);
    arena_init(&s->ahead, v->budget);
    struct scan_hint *hints = ARENA_RAW(&s->mem, struct scan_hint, rq->nhints);
    for (uint32_t i = 0; i < rq->nhints; i++) {
        hints[i] = rq->hints[i];
        ASSERT(hints[i].rel >= 0 && hints[i].rel < SEG_RELS);
        hints[i].name = arena_str(&s->mem, hints[i].name);
        hints[i].value = arena_str(&s->mem, hints[i].value);
    }
    s->rq.hints = hints;
    s->rq.index = arena_str(&s->mem, rq->index);
    s->rq.ids = arena_dup(&s->mem, rq->ids, rq->nids * sizeof *rq->ids);
    err_t e = open_sources(s);
    if (e == OK)
        *out = s;
    else
        rows_close(s);
    return e;
}

void rows_close(struct rows_scan *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->sources[i].part) mem_part_put(s->sources[i].part);
    arena_deinit(&s->rowset);
    arena_deinit(&s->ahead);
    arena_deinit(&s->mem);
    free(s);
}

/* -- hints: directory and filters ------------------------------------------------------------------------------ */

static err_t filter_maybe(struct rowset_impl *im, const struct seg_col *c, uint64_t hash, bool *maybe)
{
    struct arena tmp;
    struct str filter;
    arena_init_sized(&tmp, im->scan->v->budget, (size_t)c->bloom.size + 64);
    err_t e = seg_read(im->src->seg, &c->bloom, &tmp, &filter);
    if (e == OK && !bloom_valid(filter)) e = err_set(ERR_CORRUPT, "%s: a filter of %zu bytes", seg_info(im->src->seg)->name, filter.n);
    im->scan->v->counts.bytes += c->bloom.size;
    *maybe = e != OK || bloom_maybe(filter, hash);
    arena_deinit(&tmp);
    return e;
}

static err_t column_maybe(struct rowset_impl *im, const struct scan_hint *h, const struct seg_col *c, bool *maybe)
{
    *maybe = true;
    bool filter = c->flags & SEG_COL_BLOOM;
    switch (h->kind) {
    case HINT_FIX_EQ:
        return OK;
    case HINT_STR_EQ:
        if (c->type != COL_STR) return OK;
        *maybe = seg_col_maybe_str(c, h->value);
        return *maybe && filter ? filter_maybe(im, c, bloom_value_hash(h->value), maybe) : OK;
    case HINT_I64_RANGE:
        if (c->type == COL_I64 && (c->flags & SEG_COL_INT)) *maybe = c->min <= h->max && c->max >= h->min;
        if (c->type == COL_F64 && (c->flags & SEG_COL_F64)) *maybe = c->fmin <= (double)h->max && c->fmax >= (double)h->min;
        return OK;
    case HINT_TOKEN: return OK; /* looked up at the beginning */
    }
    return OK;
}

static err_t group_maybe(struct rowset_impl *im, const struct scan_hint *h, bool *maybe)
{
    const struct seg_rel *r = &im->dir.rel[h->rel];
    bool any_text = h->kind == HINT_TOKEN && h->name.n == 0;
    *maybe = false;
    for (uint32_t i = 0; i < r->ncols && !*maybe; i++) {
        const struct seg_col *c = &r->cols[i];
        if (any_text ? c->type == COL_STR || c->type == COL_JSON : rowset_is_named(c->scope, c->name, h->scope, h->name))
            TRY(column_maybe(im, h, c, maybe));
    }
    return OK;
}

/* -- hints: values ------------------------------------------------------------------------------------------------ */

static bool dict_has(const struct dict *d, struct str v)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (d->offset[i + 1] - d->offset[i] == v.n && str_eq(dict_get(d, i), v)) return true;
    return false;
}

/* STR_EQ by dictionaries: of memtables, and of segment columns that are small or dimensions (which queries mostly
 * read anyway). */
static err_t dicts_maybe(struct rowset_impl *im, const struct scan_hint *h, bool *maybe)
{
    *maybe = false;
    const struct table *t = im->src->part ? table_relation(im->src->part->table, h->rel) : NULL;
    const struct seg_rel *r = &im->dir.rel[h->rel];
    uint32_t n = im->src->part ? (t ? t->ncols : 0) : r->ncols;
    for (uint32_t i = 0; i < n && !*maybe; i++) {
        const struct column *c = t ? &t->cols[i] : NULL;
        enum col_type type = t ? c->type : r->cols[i].type;
        if (!rowset_is_named(t ? c->scope : r->cols[i].scope, t ? c->name : r->cols[i].name, h->scope, h->name)) continue;
        bool small = t || !(r->cols[i].flags & SEG_COL_BLOOM);
        if (type == COL_STR && small) {
            if (!t) TRY(rowset_impl_load(im, h->rel, i, &c));
            *maybe = dict_has(&c->dict, h->value);
        } else {
            *maybe = true;
        }
    }
    return OK;
}

/* FIX_EQ on rows narrows the selection to the equal ones: a trace out of 65,536 spans. */
static err_t narrow_fix(struct rowset_impl *im, const struct scan_hint *h, struct rowset *rs)
{
    const struct column *cols[8];
    uint32_t n, kept = 0;
    TRY(rowset_impl_columns(im, h->rel, h->scope, h->name, cols, ARRAY_LEN(cols), &n));
    if (n == 0) {
        rs->nsel = 0;
        return OK;
    }
    if (n > 1 || cols[0]->type != COL_FIX || cols[0]->width != h->value.n) return OK;
    const struct column *c = cols[0];
    uint32_t *sel = ARENA_RAW(&im->scan->rowset, uint32_t, rs->nsel);
    bool wide = c->width >= sizeof(uint64_t); /* ids are: nearly every row ends at its first word, without a call */
    uint64_t want = 0, first = 0;
    if (wide) memcpy(&want, h->value.p, sizeof want);
    for (uint32_t i = 0; i < rs->nsel; i++) {
        uint32_t row = rs->sel ? rs->sel[i] : i;
        const uint8_t *id = c->fix + (size_t)row * c->width;
        if (wide) memcpy(&first, id, sizeof first);
        if (first != want || !column_has(c, row)) continue;
        if (memcmp(id, h->value.p, c->width) == 0) sel[kept++] = row;
    }
    rs->sel = sel;
    rs->nsel = kept;
    return OK;
}

static err_t apply_hints(struct rowset_impl *im, struct rowset *rs)
{
    const struct rows_req *rq = &im->scan->rq;
    bool maybe = true;
    for (uint32_t i = 0; i < rq->nhints && !im->src->part; i++) {
        TRY(group_maybe(im, &rq->hints[i], &maybe));
        if (!maybe) goto none;
    }
    for (uint32_t i = 0; i < rq->nhints; i++) {
        const struct scan_hint *h = &rq->hints[i];
        if (h->kind == HINT_STR_EQ) TRY(dicts_maybe(im, h, &maybe));
        if (!maybe) goto none;
        if (im->found && h == im->scan->id) continue; /* found */
        if (h->kind == HINT_FIX_EQ && h->rel == REL_ROWS && rs->nsel) TRY(narrow_fix(im, h, rs));
    }
    return OK;
none:
    rs->nsel = 0;
    return OK;
}

/* -- whose rows ------------------------------------------------------------------------------------------------------ */

/* A table with just the columns that partition_rows looks at. */
static err_t key_columns(struct rowset_impl *im, struct table *t)
{
    static const struct { const char *name; enum col_type type; } keys[] = {
        { "trace_id", COL_FIX }, { "series", COL_FIX }, { "source", COL_STR },
    };
    struct arena *a = &im->scan->rowset;
    t->nrows = im->dir.rel[REL_ROWS].nrows;
    t->cols = ARENA_RAW(a, struct column, ARRAY_LEN(keys));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct column *c;
        TRY(rowset_impl_column(im, REL_ROWS, SC_SELF, str_of(keys[i].name), keys[i].type, &c));
        if (c) t->cols[t->ncols++] = *c;
    }
    const struct column *id = table_column(t, SC_SELF, STR("trace_id"), COL_FIX);
    if (im->scan->rq.signal != SIG_LOGS || (id && id->nvalid == t->nrows)) return OK;
    for (int d = 0; d < DIM_COUNT; d++) {
        const struct seg_rel *r = &im->dir.rel[REL_RESOURCE + d];
        if (!r->present) continue;
        struct table *dim = ARENA_NEW(a, struct table);
        dim->nrows = r->nrows;
        dim->cols = ARENA_RAW(a, struct column, r->ncols);
        for (; dim->ncols < r->ncols; dim->ncols++) {
            const struct column *c;
            TRY(rowset_impl_load(im, REL_RESOURCE + d, dim->ncols, &c));
            dim->cols[dim->ncols] = *c;
        }
        t->dim[d] = dim;
        TRY(rowset_impl_link(im, REL_RESOURCE + d, &t->dim_row[d]));
    }
    return OK;
}

/* Keeps the rows that this core owns, of a segment that was written with another number of cores. */
static err_t select_ours(struct rowset_impl *im, struct rowset *rs)
{
    const struct view *v = im->scan->v;
    struct arena *a = &im->scan->rowset;
    struct table keys = { 0 };
    TRY(key_columns(im, &keys));
    uint32_t *of = ARENA_RAW(a, uint32_t, keys.nrows), *sel = ARENA_RAW(a, uint32_t, keys.nrows);
    TRY(arena_check(a));
    partition_rows(v->tenant, im->scan->rq.signal, &keys, v->partitions, of);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rs->nsel; i++) {
        uint32_t row = rs->sel ? rs->sel[i] : i;
        if (of[row] % v->cores == v->core) sel[kept++] = row;
    }
    rs->nsel = kept;
    rs->sel = sel;
    return OK;
}

/* -- the dead -------------------------------------------------------------------------------------------------------- */

static err_t drop_dead(struct rowset_impl *im, struct rowset *rs)
{
    const struct source *src = im->src;
    if (seg_dead_count(src->dead, src->group_no) == 0) return OK;
    uint32_t *live = ARENA_RAW(&im->scan->rowset, uint32_t, rs->nsel);
    TRY(arena_check(&im->scan->rowset));
    rs->nsel = seg_dead_live(src->dead, src->group_no, rs->sel, rs->nsel, live);
    rs->sel = live;
    rs->holes = true;
    return OK;
}

/* -- what is too old by a matcher -------------------------------------------------------------------------------------- */

static err_t resource_columns(struct rowset_impl *im, struct keep_rows *x)
{
    for (uint32_t i = 0; i < x->n; i++)
        TRY(rowset_impl_column(im, REL_RESOURCE, SC_ATTR, x->name[i], COL_STR, &x->col[i]));
    return OK;
}

static err_t drop_expired(struct rowset_impl *im, struct rowset *rs)
{
    struct arena *a = &im->scan->rowset;
    const struct seg_rel *r = &im->dir.rel[REL_RESOURCE];
    const uint32_t *link = NULL;
    struct keep_rows x;
    uint32_t n = r->present ? r->nrows : 1, kept = 0;
    if (!keep_rows_init(&x, im->scan->v->keep, im->src->group, im->scan->v->keep_now_ns, a)) return OK;
    if (r->present) TRY(resource_columns(im, &x));
    bool *gone = ARENA_ARRAY(a, bool, n);
    TRY(arena_check(a));
    if (keep_rows_mark(&x, n, a, gone) == 0) return arena_check(a);
    if (r->present) TRY(rowset_impl_link(im, REL_RESOURCE, &link));
    uint32_t *live = ARENA_RAW(a, uint32_t, rs->nsel);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < rs->nsel; i++) {
        uint32_t row = rs->sel ? rs->sel[i] : i;
        if (!gone[link ? link[row] : 0]) live[kept++] = row;
    }
    rs->sel = live;
    rs->nsel = kept;
    rs->holes = true;
    return OK;
}

err_t rowset_mark(const struct rowset *rs, const uint32_t *rows, uint32_t n, struct dead_marks *to)
{
    struct rowset_impl *im = rs->impl;
    const struct source *src = im->src;
    ASSERT(src->seg != NULL); /* memtables are not scanned with upto_generation */
    if (im->packed) rows = rowset_impl_numbers(im, rows, n);
    TRY(arena_check(&im->scan->rowset));
    return dead_marks_add(to, seg_info(src->seg)->name, src->group_no, src->group->nrows, rows, n);
}

/* -- by id: which rows ------------------------------------------------------------------------------------------------- *
 * Groups that hold an id are read one after another otherwise, and each waits for the disk some times. */
enum { AHEAD_FIBERS = 16, AHEAD_ROWS_MAX = 256 /* of a group: a large trace is read in its turn */ };

struct finding {
    struct rows_scan *s;
    uint32_t next;
};

static err_t find(struct rows_scan *s, const struct source *src, struct arena *a, struct rows_found **out)
{
    struct rows_found *f = ARENA_NEW(a, struct rows_found);
    TRY(rows_find(src->seg, src->group, src->named, src->nnamed, s->ids, s->rq.whole, a, f));
    s->v->counts.bytes += f->bytes;
    *out = f;
    return OK;
}

static void find_fiber(void *arg)
{
    struct finding *f = arg;
    while (f->next < f->s->ahead_to) {
        struct source *src = &f->s->sources[f->next++];
        if (!src->nnamed || src->nnamed > AHEAD_ROWS_MAX) continue;
        /* What went wrong will go wrong again in its turn, and be told there. */
        if (find(f->s, src, &f->s->ahead, &src->found) != OK) return;
    }
}

static err_t look_ahead(struct rows_scan *s)
{
    for (uint32_t i = s->ahead_from; i < s->ahead_to; i++)
        s->sources[i].found = NULL;
    arena_reset(&s->ahead);
    s->ahead_from = s->at;
    s->ahead_to = MIN(s->n, s->at + AHEAD_FIBERS);
    struct finding f = { .s = s, .next = s->at };
    return s->ahead_to - s->at > 1 ? rows_in_fibers(s->ahead_to - s->at, find_fiber, &f) : OK;
}

/* What of the group is known ahead, or is found now. */
static err_t begin_found(struct rowset_impl *im, struct rowset *rs)
{
    struct rows_found *f = im->src->found;
    if (!f) TRY(find(im->scan, im->src, &im->scan->rowset, &f));
    im->found = f;
    im->dir = f->dir;
    im->from = f->from;
    rs->sel = f->rows;
    rs->nsel = f->n;
    return OK;
}

/* -- stepping ----------------------------------------------------------------------------------------------------------- */

static err_t begin_worded(struct rowset_impl *im, struct rowset *rs)
{
    const struct source *src = im->src;
    uint32_t *rows;
    if (!rows_words_known(&im->scan->words, &im->dir.rel[REL_ROWS])) return OK;
    TRY(rows_of_blocks(src->group, src->blocks, src->nblocks, &im->scan->rowset, &rows, &rs->nsel));
    rs->sel = rows;
    return OK;
}

/* Few rows of a group, which have no children, are a rowset of their own. */
static void pack(struct rowset_impl *im, struct rowset *rs)
{
    if (im->src->part || im->found || !rs->sel || rs->nsel == 0 || rs->nsel > rs->nrows / PACK_OF) return;
    if (im->dir.rel[REL_EVENTS].present || im->dir.rel[REL_LINKS].present) return;
    im->few = ARENA_ARRAY(&im->scan->rowset, struct column *, im->dir.rel[REL_ROWS].ncols);
    im->packed = rs->sel;
    im->npacked = rs->nrows = rs->nsel;
    rs->sel = NULL;
}

static err_t select_rows(struct rows_scan *s, const struct source *src, struct rowset *rs)
{
    struct rowset_impl *im = &s->impl;
    *im = (struct rowset_impl){ .scan = s, .src = src };
    *rs = (struct rowset){ .tmin_ns = src->tmin_ns, .tmax_ns = src->tmax_ns, .impl = im };
    if (src->part) {
        rs->nrows = src->part->table->nrows;
        rs->sel = src->part->sel;
        rs->nsel = src->part->nsel;
        return apply_hints(im, rs);
    }
    rs->nrows = rs->nsel = src->group->nrows;
    im->from.seg = src->seg;
    if (src->nnamed)
        TRY(begin_found(im, rs));
    else
        TRY(seg_rows_parse(src->group->meta, src->group->nrows, &s->rowset, &im->dir));
    if (src->worded) TRY(begin_worded(im, rs));
    for (int rel = 0; rel < SEG_RELS; rel++)
        im->loaded[rel] = ARENA_ARRAY(&s->rowset, struct column *, im->dir.rel[rel].ncols);
    TRY(drop_dead(im, rs));
    TRY(drop_expired(im, rs));
    TRY(apply_hints(im, rs));
    if (rs->nsel == 0 || im->found || seg_is_exactly_ours(seg_info(src->seg), s->v)) return OK;
    return select_ours(im, rs);
}

static err_t begin_rowset(struct rows_scan *s, const struct source *src, struct rowset *rs)
{
    TRY(select_rows(s, src, rs));
    pack(&s->impl, rs);
    return arena_check(&s->rowset);
}

err_t rows_next(struct rows_scan *s, struct rowset *rs, bool *more)
{
    while (s->at < s->n) {
        if (rt_in_fiber()) TRY(rt_checkpoint());
        arena_reset(&s->rowset);
        if (s->ids.n && s->at >= s->ahead_to) TRY(look_ahead(s));
        TRY(begin_rowset(s, &s->sources[s->at++], rs));
        if (rs->nsel == 0) {
            s->v->counts.groups_skipped++;
            continue;
        }
        if (rs->nsel == rs->nrows) rs->sel = NULL;
        s->v->counts.groups_read++;
        s->v->counts.rows += rs->nsel;
        *more = true;
        return OK;
    }
    *more = false;
    return OK;
}

uint32_t rows_place(const struct rows_scan *s)
{
    ASSERT(s->at > 0);
    return s->at - 1;
}

err_t rows_again(struct rows_scan *s, uint32_t place, struct rowset *rs)
{
    ASSERT(place < s->at);
    arena_reset(&s->rowset);
    return begin_rowset(s, &s->sources[place], rs);
}
