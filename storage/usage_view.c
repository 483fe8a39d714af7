/* The sums of what one core holds: see usage.h. */
#include "storage/mem_metric_impl.h"
#include "storage/shard.h"
#include "storage/usage.h"

/* Of the cores that may hold rows of a segment, the first counts it. */
static bool counted_here(const struct seg_info *i, const struct view *v)
{
    unsigned core = 0;
    while (core < v->core && !seg_may_be_of(i, core, v->cores, v->partitions))
        core++;
    return core == v->core && seg_may_be_of(i, core, v->cores, v->partitions);
}

/* Valid until the next one is made. */
static struct usage_set *set_of(struct usage *u, struct str tenant, enum signal signal, struct str index)
{
    uint32_t i = usage_set_of(u, tenant, signal, index);
    return &u->sets[i];
}

/* What is deleted or too old by now. */
static void add_gone(const struct view *v, uint32_t no, const struct seg_usage *from, struct usage *u, struct str only)
{
    const struct seg *s = v->segs[no];
    for (uint32_t g = 0; g < seg_ngroups(s); g++) {
        const struct usage_set *f = &from->sum.sets[from->group_set[g]];
        if (only.n && !str_eq(only, f->tenant)) continue;
        struct usage_set *to = set_of(u, f->tenant, f->signal, f->index);
        if (view_group_gone(v, no, g)) to->gone_bytes += from->group_bytes[g];
        else to->dead_rows += seg_dead_count(v->dead[no], g);
    }
}

static void add_segment(const struct view *v, uint32_t no, const struct seg_usage *from, struct usage *u, struct str only)
{
    const struct seg_info *i = seg_info(v->segs[no]);
    struct usage_level *level = &u->level[MIN(i->level, (uint32_t)USAGE_LEVELS - 1)];
    usage_merge(u, &from->sum, USAGE_OVER_TIME, only);
    level->segments++;
    level->bytes += from->sum.bytes;
    if (i->remote) u->remote_bytes += from->sum.bytes;
    add_gone(v, no, from, u, only);
}

/* A segment in which something cannot be read is counted by its directory; who reads it tells what is wrong. */
static err_t make(struct seg *s, bool names, struct budget *budget, struct seg_usage **out)
{
    err_t e = seg_usage_new(s, names, budget, out);
    bool unread = e == ERR_CORRUPT || e == ERR_IO || e == ERR_UNAVAILABLE;
    return names && unread ? seg_usage_new(s, false, budget, out) : e;
}

static err_t add_one(struct view *v, uint32_t no, const struct usage_req *rq, struct usage *u)
{
    struct seg *s = v->segs[no];
    struct str only = rq->all_tenants ? STR_NONE : v->tenant;
    bool names = !seg_info(s)->remote && rt_now().ns < rq->names_until_ns;
    struct seg_usage *made = NULL;
    const struct seg_usage *kept = seg_usage_of(s);
    if (kept && (!kept->sum.unread_segments || !names)) {
        add_segment(v, no, kept, u, only);
        return OK;
    }
    TRY(make(s, names, v->budget, &made));
    add_segment(v, no, made, u, only);
    kept = seg_usage_of(s); /* another request may have been here meanwhile */
    if ((!kept || made->sum.unread_segments < kept->sum.unread_segments) && seg_usage_keep(made)) seg_usage_set(s, made);
    else seg_usage_free(made);
    return OK;
}

/* -- memtables ----------------------------------------------------------------------------------------------------- */

static void add_memory(const struct mem *m, struct usage *u, struct str only)
{
    for (uint32_t i = 0; i < mem_rows_streams(m->rows); i++) {
        const struct mem_stream *s = mem_rows_stream(m->rows, i);
        if (only.n && !str_eq(only, s->tenant)) continue;
        struct usage_set *to = set_of(u, s->tenant, s->signal, s->index);
        for (uint32_t k = 0; k < s->nparts; k++) {
            to->mem_rows += s->parts[k]->nsel;
            to->mem_bytes += (uint64_t)MAX(s->parts[k]->charged, 0);
        }
    }
    for (uint32_t i = 0; i < m->metrics->ntenants; i++) {
        const struct mem_tenant *t = m->metrics->tenant[i];
        if (only.n && !str_eq(only, t->tenant)) continue;
        set_of(u, t->tenant, SIG_METRICS, STR(""))->mem_rows += t->nseries;
    }
}

err_t usage_view(struct view *v, const struct usage_req *rq, struct usage *out)
{
    for (uint32_t i = 0; i < v->nmems; i++)
        add_memory(v->mems[i], out, rq->all_tenants ? STR_NONE : v->tenant);
    for (uint32_t i = 0; i < v->nsegs; i++) {
        if (counted_here(seg_info(v->segs[i]), v)) TRY(add_one(v, i, rq, out));
        TRY(arena_check(out->a));
        TRY(rt_checkpoint());
    }
    return OK;
}
