/* See seg_merge.h. Here: the whole, and what becomes of which group. */
#include "storage/seg_merge.h"

#include "base/core/assert.h"
#include "storage/seg_copy.h"
#include "storage/seg_dead.h"
#include "storage/seg_table.h"
#include "storage/seg_tokens.h"
#include "storage/shard.h"

#include <stdlib.h>

enum {
    WINDOW_BYTES = 32 << 20, SEG_METRIC_BYTES = 6 << 20 /* pages and chunks of an input at hand */,
    FULL_ROWS = TABLE_ROWS_MAX / 4 * 3, FULL_BYTES = WINDOW_BYTES / 2,
    SECTION_SHARE = 4, /* a section of words is copied when a fourth of its rows, or more, are */
};

err_t seg_merge_check(const struct seg_merge *m)
{
    if (m->stop && atomic_load_explicit(m->stop, memory_order_relaxed)) return err_set(ERR_CANCELED, "the merge is to stop");
    return rt_in_fiber() ? rt_checkpoint() : OK;
}

/* -- which groups there are ----------------------------------------------------------------------------------- */

static int compare_streams(const struct seg_group *a, const struct seg_group *b)
{
    int c = str_cmp(a->tenant, b->tenant);
    if (c == 0) c = (int)a->signal - (int)b->signal;
    return c ? c : str_cmp(a->index, b->index);
}

static int by_stream(const void *x, const void *y)
{
    const struct merge_group *a = x, *b = y;
    int c = compare_streams(a->g, b->g);
    if (c) return c;
    if (a->input != b->input) return a->input < b->input ? -1 : 1;
    return (a->group > b->group) - (a->group < b->group);
}

static struct merge_group *all_groups(const struct seg_merge *m, uint32_t *n)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < m->n; i++)
        total += seg_ngroups(m->in[i].seg);
    ASSERT(total < UINT32_MAX);
    struct merge_group *g = calloc(total + 1, sizeof *g);
    ASSERT(g);
    *n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        for (uint32_t k = 0; k < seg_ngroups(m->in[i].seg); k++)
            g[(*n)++] = (struct merge_group){ .g = seg_group(m->in[i].seg, k), .input = i, .group = k };
    if (*n > 1) qsort(g, *n, sizeof *g, by_stream);
    return g;
}

/* Those of which something is read. */
static uint32_t leave_out_gone(struct seg_merge *m, struct merge_group *g, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct seg_merge_in *in = &m->in[g[i].input];
        const struct outside o = { m->tombs, m->keep, m->keep_now_ns, in->dead };
        if (!group_gone(&o, in->seg, g[i].group)) {
            g[kept++] = g[i];
            continue;
        }
        m->groups_dropped++;
        if (g[i].g->signal != SIG_METRICS) m->rows_dropped += g[i].g->nrows;
    }
    return kept;
}

/* -- what becomes of them ---------------------------------------------------------------------------------------- */

struct window { /* being filled */
    uint32_t number; /* from 1; 0: there is none */
    uint64_t rows, bytes;
};

/* Are some of its rows too old by matchers, perhaps? Who knows must look at them. */
static bool may_expire(const struct seg_merge *m, const struct seg_group *g)
{
    struct keep_class c;
    if (!m->keep || g->tmin_ns > g->tmax_ns) return false;
    keep_class_of(m->keep, g, &c);
    return keep_class_splits(&c, g->tmax_ns, m->keep_now_ns);
}

/* Rows of one tenant, signal and index, in the order in which they came: groups that together fill one at most get the same window; one
 * that is full has its own, and does not keep its neighbours apart. */
static err_t cut_windows(const struct seg_merge *m, struct merge_group *g, uint32_t n, uint32_t *last)
{
    struct window open = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        uint64_t size;
        uint32_t dead = seg_dead_count(m->in[g[i].input].dead, g[i].group);
        TRY(seg_table_size(g[i].g, &size));
        g[i].live = g[i].g->nrows - dead;
        g[i].whole = dead == 0 && !may_expire(m, g[i].g);
        if (g[i].whole && (g[i].live >= FULL_ROWS || size >= FULL_BYTES)) {
            g[i].window = ++*last;
            continue;
        }
        if (!open.number || open.rows + g[i].live > TABLE_ROWS_MAX || open.bytes + size > WINDOW_BYTES) open = (struct window){ .number = ++*last };
        open.rows += g[i].live;
        open.bytes += size;
        g[i].window = open.number;
    }
    return OK;
}

static int by_window(const void *x, const void *y)
{
    const struct merge_group *a = x, *b = y;
    if (a->window != b->window) return a->window < b->window ? -1 : 1;
    if (a->input != b->input) return a->input < b->input ? -1 : 1;
    return (a->group > b->group) - (a->group < b->group);
}

static bool is_alone(const struct merge_group *g, uint32_t n, uint32_t i)
{
    return (i == 0 || g[i - 1].window != g[i].window) && (i + 1 == n || g[i + 1].window != g[i].window);
}

/* Which sections of words are worth copying, by the rows that their groups have and that are to be copied. */
struct sections { /* of one input */
    uint32_t *number;    /* in the new segment; 0: not copied yet */
    uint64_t *all, *copied;
};

static struct sections *list_sections(const struct seg_merge *m, const struct merge_group *g, uint32_t n, struct arena *a)
{
    struct sections *s = ARENA_ARRAY(a, struct sections, m->n);
    for (uint32_t i = 0; i < m->n; i++) {
        struct seg *seg = m->in[i].seg;
        uint32_t count = seg_tokens(seg)->n + 1;
        s[i] = (struct sections){ ARENA_ARRAY(a, uint32_t, count), ARENA_ARRAY(a, uint64_t, count), ARENA_ARRAY(a, uint64_t, count) };
        for (uint32_t k = 0; k < seg_ngroups(seg); k++)
            s[i].all[seg_group(seg, k)->tokens_section] += seg_group(seg, k)->nrows;
    }
    for (uint32_t i = 0; i < n; i++)
        if (g[i].copy) s[g[i].input].copied[g[i].g->tokens_section] += g[i].g->nrows;
    return s;
}

/* A group that is alone in its window, with all its rows, is copied. */
static struct sections *choose_copies(const struct seg_merge *m, struct merge_group *g, uint32_t n, struct arena *a)
{
    for (uint32_t i = 0; i < n; i++)
        g[i].copy = g[i].whole && is_alone(g, n, i);
    struct sections *s = list_sections(m, g, n, a);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t section = g[i].g->tokens_section;
        const struct sections *in = &s[g[i].input];
        if (section && in->copied[section] < in->all[section] / SECTION_SHARE) g[i].copy = false;
    }
    return s;
}

static err_t plan(const struct seg_merge *m, struct merge_group *g, uint32_t n, struct arena *a, struct sections **out)
{
    uint32_t window = 0;
    for (uint32_t i = 0, k; i < n; i = k) {
        for (k = i; k < n && compare_streams(g[k].g, g[i].g) == 0;)
            k++;
        if (g[i].g->signal != SIG_METRICS) {
            TRY(cut_windows(m, g + i, k - i, &window));
            continue;
        }
        window++;
        for (uint32_t j = i; j < k; j++)
            g[j].window = window;
    }
    if (n > 1) qsort(g, n, sizeof *g, by_window);
    *out = choose_copies(m, g, n, a);
    return arena_check(a);
}

/* -- the whole ------------------------------------------------------------------------------------------------ */

static err_t copy(struct seg_merge *m, struct seg_writer *w, const struct merge_group *g, struct sections *s)
{
    struct seg *from = m->in[g->input].seg;
    uint32_t section = g->g->tokens_section, *number = &s[g->input].number[section];
    TRY(seg_merge_check(m));
    if (section && !*number) TRY(seg_writer_section(w, from, section, number));
    TRY(seg_copy_rows(w, from, g->g, *number, m->budget));
    m->groups_copied++;
    m->rows += g->g->nrows;
    return OK;
}

static err_t merge_all(struct seg_merge *m, struct seg_writer *w, struct merge_group *g, uint32_t n, struct arena *a)
{
    struct sections *s;
    n = leave_out_gone(m, g, n);
    TRY(plan(m, g, n, a, &s));
    for (uint32_t i = 0, k; i < n; i = k) {
        for (k = i; k < n && g[k].window == g[i].window;)
            k++;
        if (g[i].g->signal == SIG_METRICS)
            TRY(seg_merge_metrics(m, w, g + i, k - i));
        else if (g[i].copy)
            TRY(copy(m, w, &g[i], s));
        else
            TRY(seg_merge_rows(m, w, g + i, k - i));
    }
    return OK;
}

err_t seg_merge(struct seg_merge *m, struct seg_info *info)
{
    struct seg_writer *w;
    struct arena a;
    uint32_t n;
    m->rows = m->samples = m->rows_dropped = m->downsampled = 0;
    m->groups_copied = m->groups_dropped = 0;
    TRY(seg_writer_open(m->dir, m->budget, &w));
    seg_writer_for_long(w);
    arena_init(&a, m->budget);
    struct merge_group *g = all_groups(m, &n);
    err_t e = merge_all(m, w, g, n, &a);
    free(g);
    arena_deinit(&a);
    m->empty = e == OK && seg_writer_groups(w) == 0;
    if (e == OK && !m->empty) return seg_writer_finish(w, info);
    struct err_record why = *err_record();
    seg_writer_abandon(w);
    *err_record() = why;
    return e;
}

err_t seg_merge_memory(const struct seg_merge_in *in, uint32_t n, uint64_t *bytes)
{
    uint64_t most = 0, metrics = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < seg_ngroups(in[i].seg); k++) {
            const struct seg_group *g = seg_group(in[i].seg, k);
            uint64_t size = 0;
            if (g->signal != SIG_METRICS) TRY(seg_table_size(g, &size));
            else metrics += (uint64_t)g->meta.n * 2 + SEG_METRIC_BYTES;
            most = MAX(most, size);
            if (rt_in_fiber()) TRY(rt_checkpoint());
        }
    }
    *bytes = MAX(MAX(most, (uint64_t)WINDOW_BYTES), metrics);
    return OK;
}
