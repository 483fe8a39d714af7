/* When a segment is uploaded, and when what is in the bucket may be merged: see object_tier.h.
 *
 * With a seal every 15 minutes, windows of a day and object.upload_after of an hour, a byte is uploaded once an hour after its
 * seal, as part of a segment of some four seals, and once when the day is over and in one segment. */
#include "storage/compact.h"
#include "storage/object_tier_int.h"

static int64_t window_ms(const struct store *s)
{
    int64_t age_ns = store_default_age(s);
    return age_ns > 0 ? MIN(s->o.merge_window_ms, age_ns / 8 / NS_PER_MS) : s->o.merge_window_ms;
}

/* Since its newest row; 0 when the clock says that row is still to come. */
static int64_t quiet_ms(const struct seg_info *i)
{
    int64_t now_ns = rt_wall().ns;
    return i->tmax_ns > now_ns ? 0 : (now_ns - MAX(i->tmax_ns, (int64_t)0)) / NS_PER_MS;
}

/* Do segments of before, which the bucket keeps, have all of its rows? They were merged into it. */
static bool covered(const struct tier *t, const struct seg_info *i)
{
    uint64_t first = UINT64_MAX, last = 0;
    for (uint32_t k = 0; k < t->ninfos; k++) {
        const struct seg_info *l = &t->infos[k];
        if (!seg_lane_eq(seg_lane(l), seg_lane(i)) || l->cores != i->cores || l->generation_first > i->generation || l->generation < i->generation_first) continue;
        first = MIN(first, l->generation_first);
        last = MAX(last, l->generation);
    }
    return first <= i->generation_first && last >= i->generation;
}

static bool room_is_wanted(const struct store *s)
{
    uint64_t most = atomic_load(&s->segment_bytes_max);
    return disk_tight(s) || (most > 0 && atomic_load(&s->segment_bytes) >= most / 10 * 9);
}

bool tier_due(const struct tier *t, const struct seg_info *i)
{
    const struct store *s = t->s;
    int64_t after_ms = s->o.object_upload_after_ms, age_ms = rt_wall().ns / NS_PER_MS - i->sealed_ms;
    bool final = s->o.merge_bytes <= 0 || i->bytes >= (uint64_t)s->o.merge_bytes / 2;
    if (after_ms <= 0 || final || i->remote || room_is_wanted(s)) return true;
    if (age_ms >= 0 && age_ms < after_ms) return false; /* below 0: the clock was set back */
    return !covered(t, i) || i->tmax_ns > rt_wall().ns || quiet_ms(i) - window_ms(s) >= after_ms;
}

int64_t tier_age_s(const struct tier *t, const struct seg_info *i)
{
    return covered(t, i) ? 0 : MAX(rt_wall().ns / NS_PER_MS - i->sealed_ms, (int64_t)0) / 1000;
}

bool tier_rests(const struct store *s, const struct seg_info *info)
{
    const struct tier *t = s->tier;
    if (!t) return false;
    /* Sealed as local: it must stay apart from its neighbours if it belongs in the bucket by now and they do not. */
    if (!info->object && (t->wanted_version != s->infos_version || segnames_have(&t->wanted, info->name))) return true;
    if (s->o.object_upload_after_ms <= 0 || s->ninfos > COMPACT_MANY * s->cores) return false;
    return tier_listed(t, info->name) && quiet_ms(info) < window_ms(s);
}
