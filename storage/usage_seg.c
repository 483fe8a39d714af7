/* The sums of one segment: see usage.h. */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "storage/metric_samples.h"
#include "storage/seg_format.h"
#include "storage/seg_map.h"
#include "storage/seg_metric.h"
#include "storage/usage.h"

#include <stdlib.h>

/* -- metrics by name --------------------------------------------------------------------------------------------- */

struct name_sum {
    struct str name;
    uint64_t bytes, series, samples;
};
struct names {
    struct arena *a; /* of the names */
    struct arena cache, tmp;
    struct seg_metric *m;
    struct name_sum *v;
    uint32_t n, last;
    size_t cap;
    struct htab index;
    uint64_t data_left; /* stored bytes of data that no name has yet */
    uint64_t samples;
};

/* The stored bytes of [from, to) of `raw` raw ones that take `size`: shares of neighbours add up. */
static uint64_t share(uint64_t size, uint64_t raw, uint64_t from, uint64_t to)
{
    unsigned __int128 all = size;
    return raw ? (uint64_t)(all * to / raw) - (uint64_t)(all * from / raw) : 0;
}

static err_t name_of(struct names *ns, const struct seg_entry *e, struct str *out)
{
    struct labels ls;
    TRY(labels_decode(e->canonical, &ns->tmp, &ls));
    *out = labels_get(&ls, STR("__name__"));
    return OK;
}

/* Series are sorted by labels: those of a name mostly stand together. */
static struct name_sum *sum_of(struct names *ns, struct str name)
{
    if (ns->n && str_eq(ns->v[ns->last].name, name)) return &ns->v[ns->last];
    uint64_t hash = hash_seeded64(name);
    for (uint32_t it = 0, i; htab_next(&ns->index, hash, &it, &i);)
        if (str_eq(ns->v[i].name, name)) return ns->last = i, &ns->v[i];
    ns->v = arena_grow(ns->a, ns->v, ns->n, &ns->cap, ns->n + 1, sizeof *ns->v);
    ns->v[ns->n] = (struct name_sum){ .name = arena_str(ns->a, name) };
    htab_insert(&ns->index, hash, ns->n);
    ns->last = ns->n++;
    return &ns->v[ns->last];
}

/* What of the chunks of data is the series'. */
static uint64_t data_bytes(struct names *ns, const struct seg_entry *e)
{
    const struct seg_metric *m = ns->m;
    uint64_t from = e->data, to = e->data + e->data_size, bytes = 0;
    uint32_t i = 0, hi = m->ndata;
    while (i + 1 < hi) {
        uint32_t mid = i + (hi - i) / 2;
        if (m->chunk_start[mid] <= from) i = mid;
        else hi = mid;
    }
    for (; i < m->ndata && m->chunk_start[i] < to && bytes < ns->data_left; i++) {
        uint64_t start = m->chunk_start[i], end = start + m->chunk[i].raw_size;
        if (end <= from) continue;
        bytes += share(m->chunk[i].size, m->chunk[i].raw_size, MAX(from, start) - start, MIN(to, end) - start);
    }
    bytes = MIN(bytes, ns->data_left); /* a hostile directory gives bytes to many */
    ns->data_left -= bytes;
    return bytes;
}

static err_t add_entry(struct names *ns, const struct seg_entry *e, uint64_t listed)
{
    const struct seg_series x = { .of = ns->m, .entry = e };
    struct seg_block *blocks;
    struct str name;
    uint32_t n;
    TRY(name_of(ns, e, &name));
    TRY(seg_series_blocks(&x, INT64_MIN, INT64_MAX, &ns->tmp, &blocks, &n));
    struct name_sum *to = sum_of(ns, name);
    to->series++;
    to->bytes += listed + data_bytes(ns, e);
    for (uint32_t i = 0; i < n; i++) {
        to->samples += blocks[i].n;
        ns->samples += blocks[i].n;
    }
    return OK;
}

static uint64_t entry_raw(const struct seg_entry *e) { return e->canonical.n + e->blocks.n + 1; }

static err_t add_page(struct names *ns, uint32_t no)
{
    const struct seg_page *p = &ns->m->page[no];
    uint64_t raw = 0, at = 0;
    TRY(seg_metric_page(ns->m, no));
    for (uint32_t i = 0; i < p->n; i++)
        raw += entry_raw(&p->entry[i]);
    for (uint32_t i = 0; i < p->n; i++) {
        uint64_t next = at + entry_raw(&p->entry[i]);
        TRY(add_entry(ns, &p->entry[i], share(p->at.size, raw, at, next)));
        at = next;
        if (i % 64) continue;
        arena_reset(&ns->tmp);
        TRY(arena_check(ns->a));
        TRY(metric_checkpoint());
    }
    arena_reset(&ns->tmp);
    seg_metric_forget(ns->m);
    return OK;
}

static void put_names(const struct names *ns, struct usage *u, uint32_t set, uint64_t times, uint64_t *named)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < ns->n; i++) {
        const struct name_sum *s = &ns->v[i];
        uint64_t bytes = s->bytes + share(times, ns->samples, at, at + s->samples);
        at += s->samples;
        *named += bytes;
        usage_add(u, &(struct usage_part){ .kind = USAGE_METRIC, .set = set, .name = s->name.n ? s->name : STR("(no name)"), .bytes = bytes,
                                           .count = s->samples, .distinct = s->series }, USAGE_BESIDE);
    }
}

/* Adds what the names of a group take, and tells how much that is of its samples and series. */
static err_t add_names(struct seg *s, const struct seg_group *g, struct budget *budget, struct usage *u, uint32_t set, uint64_t *named)
{
    struct arena a;
    struct view_counts counts = { 0 };
    struct names ns = { .a = &a };
    uint64_t times = 0;
    arena_init(&a, budget);
    arena_init(&ns.cache, budget);
    arena_init(&ns.tmp, budget);
    htab_init(&ns.index, budget);
    err_t e;
    TRY_OUT(e, seg_metric_open(s, g, &a, &counts, &ns.m));
    ns.m->cache = &ns.cache;
    for (uint32_t i = 0; i < ns.m->nchunks; i++) {
        if (i < ns.m->ndata) ns.data_left += ns.m->chunk[i].size;
        else times += ns.m->chunk[i].size;
    }
    for (uint32_t i = 0; i < ns.m->npages; i++)
        TRY_OUT(e, add_page(&ns, i));
    put_names(&ns, u, set, times, named);
out:
    htab_deinit(&ns.index);
    arena_deinit(&ns.tmp);
    arena_deinit(&ns.cache);
    arena_deinit(&a);
    return e;
}

/* -- by directory ------------------------------------------------------------------------------------------------ */

static void add_column(struct usage *u, uint32_t set, const struct seg_place *p)
{
    const struct seg_col *c = p->col;
    struct usage_part part = { .kind = USAGE_COLUMN, .rel = (uint8_t)p->rel, .scope = (uint8_t)c->scope, .type = (uint8_t)c->type,
                               .set = set, .name = c->name, .bytes = p->chunk.size };
    if (p->kind == PLACE_FILTER) {
        part.filter_bytes = p->chunk.size;
    } else {
        part.count = c->nvalid;
        part.of = p->nrows;
        part.distinct = c->distinct;
    }
    usage_add(u, &part, USAGE_BESIDE);
}

/* Adds a place; what names would tell of stays out, as the sum that is returned. */
static uint64_t add_place(struct usage *u, uint32_t set, const struct seg_place *p)
{
    struct usage_part part = { .set = set, .bytes = p->chunk.size };
    switch (p->kind) {
    case PLACE_COLUMN:
    case PLACE_FILTER: add_column(u, set, p); return 0;
    case PLACE_LINK:
        part.kind = USAGE_LINK;
        part.rel = (uint8_t)p->rel;
        break;
    case PLACE_LABELS:
        part.kind = USAGE_LABEL;
        part.name = p->label;
        part.count = p->items;
        break;
    case PLACE_FAMILIES: part.kind = USAGE_FAMILIES; break;
    default: return p->chunk.size;
    }
    usage_add(u, &part, USAGE_BESIDE);
    return 0;
}

static err_t add_group(struct seg *s, uint32_t no, bool names, struct budget *budget, struct seg_usage *out)
{
    const struct seg_group *g = seg_group(s, no);
    struct usage *u = &out->sum;
    struct arena a;
    struct seg_place *v;
    uint32_t n, set = usage_set_of(u, g->tenant, g->signal, g->index);
    uint64_t rest = 0, named = 0;
    arena_init(&a, budget);
    err_t e;
    TRY_OUT(e, seg_map_group(g, &a, &v, &n));
    out->group_set[no] = set;
    for (uint32_t i = 0; i < n; i++) {
        out->group_bytes[no] += v[i].chunk.size;
        rest += add_place(u, set, &v[i]);
    }
    if (g->signal == SIG_METRICS && names) TRY_OUT(e, add_names(s, g, budget, u, set, &named));
    if (g->signal == SIG_METRICS && !names) u->unread_segments = 1;
    rest -= MIN(named, rest);
    if (rest) usage_add(u, &(struct usage_part){ .kind = USAGE_REST, .set = set, .bytes = rest }, USAGE_BESIDE);
    struct usage_set *to = &u->sets[set];
    to->groups++;
    to->rows += g->nrows;
    to->directory_raw += g->meta.n;
    to->tmin_ns = MIN(to->tmin_ns, g->tmin_ns);
    to->tmax_ns = MAX(to->tmax_ns, g->tmax_ns);
out:
    arena_deinit(&a);
    return e;
}

static uint64_t index_bytes(const struct seg_ids *ids) { return ids->npages ? ids->end[ids->npages - 1] : 0; }

static err_t add_file(const struct seg *s, struct usage *u)
{
    struct seg_layout l;
    uint64_t all = 0;
    seg_layout(s, &l);
    u->segments = 1;
    u->bytes = l.bytes;
    u->directory_bytes = l.footer_size + SEG_HEADER + SEG_TRAILER;
    u->ids_bytes = index_bytes(l.ids);
    for (uint32_t i = 0; i < l.tokens->n; i++)
        u->words_bytes += index_bytes(&l.tokens->v[i].ids);
    for (uint32_t i = 0; i < u->nsets; i++)
        all += u->sets[i].bytes;
    all += u->directory_bytes + u->ids_bytes + u->words_bytes;
    if (all > l.bytes) return err_set(ERR_CORRUPT, "%s: its parts take more than the file has", seg_info(s)->name);
    u->padding_bytes = l.bytes - all;
    return OK;
}

static err_t sum_up(struct seg *s, bool names, struct budget *budget, struct seg_usage *u)
{
    u->group_bytes = ARENA_ARRAY(&u->a, uint64_t, seg_ngroups(s));
    u->group_set = ARENA_ARRAY(&u->a, uint32_t, seg_ngroups(s));
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        TRY(add_group(s, i, names, budget, u));
        TRY(metric_checkpoint());
    }
    return add_file(s, &u->sum);
}

err_t seg_usage_new(struct seg *s, bool names, struct budget *budget, struct seg_usage **out)
{
    struct seg_usage *u = calloc(1, sizeof *u);
    ASSERT(u != NULL);
    arena_init_sized(&u->a, NULL, ARENA_BLOCK_MIN);
    usage_init(&u->sum, &u->a);
    err_t e = sum_up(s, names, budget, u);
    usage_deinit(&u->sum);
    if (e != OK) {
        seg_usage_free(u);
        return e;
    }
    *out = u;
    return OK;
}

bool seg_usage_keep(struct seg_usage *u)
{
    int64_t bytes = (int64_t)(sizeof *u + u->a.bytes);
    if (metric_sum(M_USAGE_KEPT_BYTES) + bytes > USAGE_KEPT_MAX) return false;
    u->kept_bytes = bytes;
    metric_add(M_USAGE_KEPT_BYTES, bytes);
    return true;
}

void seg_usage_free(struct seg_usage *u)
{
    if (!u) return;
    metric_add(M_USAGE_KEPT_BYTES, -u->kept_bytes);
    arena_deinit(&u->a);
    free(u);
}
