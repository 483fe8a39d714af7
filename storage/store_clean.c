/* Cleaning up after deletions when somebody asks for it, and waits. */
#include "storage/retention.h"
#include "storage/store_delete.h"
#include "storage/store_int.h"

enum { LOOK_MS = 50 };

struct looking { /* on one core: for a segment with rows that tombstones hide */
    struct store *s;
    bool found;
    uint64_t stream;
};

/* What is in the bucket alone is not written again: it goes by age. */
static err_t look_here(void *arg)
{
    struct looking *l = arg;
    const struct shard *sh = shard_here(l->s);
    for (uint32_t i = 0; i < sh->nsegs && !l->found; i++) {
        const struct seg_info *info = seg_info(sh->segs[i]);
        if (info->remote || !tombs_hide(sh->tombs, sh->segs[i])) continue;
        l->found = true;
        l->stream = info->stream;
    }
    return OK;
}

static err_t ask_for_hidden(struct store *s, bool *some)
{
    *some = false;
    for (unsigned core = 0; core < s->cores; core++) {
        struct looking l = { .s = s };
        TRY(rt_call(core, RT_MAINTENANCE, look_here, &l));
        if (l.found) compaction_work_in(s, l.stream);
        *some |= l.found;
    }
    return OK;
}

static err_t clean_here(void *arg)
{
    struct store *s = arg;
    mono_ns until = mono_add(rt_now(), (int64_t)STORE_CLEAN_MS * NS_PER_MS);
    TRY(retention_clean(s));
    compaction_clean(s);
    for (bool some = s->compaction != NULL; some;) {
        TRY(ask_for_hidden(s, &some));
        if (!some) break;
        if (rt_now().ns >= until.ns)
            return err_set(ERR_UNAVAILABLE, "not all that was deleted is out of the segments after %d s; it goes on", STORE_CLEAN_MS / 1000);
        TRY(fiber_sleep(LOOK_MS * NS_PER_MS));
    }
    return OK;
}

err_t store_clean(struct store *s)
{
    return rt_call(0, RT_MAINTENANCE, clean_here, s);
}
