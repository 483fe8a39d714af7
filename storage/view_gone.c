/* What stands outside of a segment and says that nothing of a row group is read any more, or that a view lacks it. */
#include "storage/shard.h"

bool view_picks(const struct view *v, uint64_t stream)
{
    return !v->pick || stream_ids_have(v->pick->ids, v->pick->n, stream);
}

bool group_gone(const struct outside *o, const struct seg *seg, uint32_t group)
{
    const struct seg_group *g = seg_group(seg, group);
    if (keep_rules_expired(o->keep, g, o->now_ns)) return true;
    if (g->signal == SIG_METRICS) return false;
    if (g->nrows > 0 && seg_dead_count(o->dead, group) == g->nrows) return true;
    return g->signal == SIG_DOCS && tomb_set_drops_index(o->tombs, seg_info(seg)->generation, g->tenant, g->index);
}

bool view_group_gone(const struct view *v, uint32_t no, uint32_t group)
{
    const struct outside o = { v->tombs, v->keep, v->keep_now_ns, v->dead ? v->dead[no] : NULL };
    return group_gone(&o, v->segs[no], group);
}

static bool has_rows_of(const struct seg *g, struct str tenant, enum signal signal)
{
    for (uint32_t i = 0; i < seg_ngroups(g); i++)
        if (seg_group(g, i)->signal == signal && str_eq(seg_group(g, i)->tenant, tenant)) return true;
    return false;
}

void view_note_missing(struct view *v, enum signal signal, int64_t tmin_ns, int64_t tmax_ns)
{
    v->counts.lost += lost_overlaps(v, signal, tmin_ns, tmax_ns);
    for (uint32_t i = 0; i < v->naway; i++) {
        const struct seg_info *info = seg_info(v->away[i]);
        if (info->tmin_ns <= tmax_ns && info->tmax_ns >= tmin_ns) v->counts.away += has_rows_of(v->away[i], v->tenant, signal);
    }
}
