/* What stands outside of a segment and says that nothing of a row group is read any more. */
#include "storage/shard.h"

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
