/* See retention.h. */
#include "storage/retention.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/object_tier.h"

#include <stdlib.h>

static int by_tmax(const void *a, const void *b)
{
    int64_t x = ((const struct seg_info *)a)->tmax_ns, y = ((const struct seg_info *)b)->tmax_ns;
    return (x > y) - (x < y);
}

uint32_t retention_pick(const struct retention_rule *r, unix_ns now, struct seg_info *infos, uint32_t n)
{
    if (n > 1) qsort(infos, n, sizeof *infos, by_tmax);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += infos[i].bytes;
    int64_t cutoff;
    bool by_age = r->age_ns > 0 && !__builtin_sub_overflow(now.ns, r->age_ns, &cutoff);
    uint32_t gone = 0;
    for (; gone < n; gone++) {
        bool old = by_age && infos[gone].tmax_ns < cutoff, over = r->bytes_max > 0 && bytes > r->bytes_max;
        if (!old && !over) break;
        bytes -= infos[gone].bytes;
    }
    return gone;
}

static err_t delete_segments(struct store *s, const struct seg_info *infos, uint32_t n, enum metric_id counter, const char *why)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += (int64_t)infos[i].bytes;
    TRY(store_swap(s, &(struct seg_swap){ .out = infos, .nout = n }));
    metric_add(counter, bytes);
    log_info("retention", "segments=%u bytes=%lld why=\"%s\"", n, (long long)bytes, why);
    return OK;
}

/* Those that the tier keeps first; how many. */
static uint32_t kept_first(const struct store *s, struct seg_info *infos, uint32_t n, uint64_t *local_bytes)
{
    uint32_t kept = 0;
    *local_bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!tier_keeps(s, &infos[i])) continue;
        struct seg_info k = infos[i];
        infos[i] = infos[kept];
        infos[kept++] = k;
        if (!k.remote) *local_bytes += k.bytes;
    }
    return kept;
}

/* Of what the tier keeps, age alone decides; the rest has what that leaves of the share, and half of it whatever waits for
 * the bucket. */
static err_t delete_by(struct store *s, const struct retention_rule *r)
{
    if (s->ninfos == 0) return OK;
    struct seg_info *infos = malloc(s->ninfos * sizeof *infos);
    ASSERT(infos != NULL);
    memcpy(infos, s->infos, s->ninfos * sizeof *infos);
    const unix_ns now = { atomic_load(&s->keep_now_ns) };
    uint64_t bytes;
    uint32_t total = s->ninfos, kept = kept_first(s, infos, total, &bytes);
    const struct retention_rule by_age = { .age_ns = r->age_ns };
    struct retention_rule rest = *r;
    if (r->bytes_max > 0) rest.bytes_max = MAX(r->bytes_max - MIN(bytes, r->bytes_max), r->bytes_max / 2);
    uint32_t nold = retention_pick(&by_age, now, infos, kept);
    uint32_t n = retention_pick(&rest, now, infos + kept, total - kept);
    memmove(infos + nold, infos + kept, n * sizeof *infos);
    n += nold;
    err_t e = n > 0 ? delete_segments(s, infos, n, M_RETENTION_BYTES, "age or share") : OK;
    free(infos);
    return e;
}

/* What is in the bucket need not be here too. */
static void evict_over(struct store *s, uint64_t bytes_max)
{
    uint64_t local = 0, freed;
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (!s->infos[i].remote) local += s->infos[i].bytes;
    if (bytes_max == 0 || local <= bytes_max) return;
    if (tier_evict(s, local - bytes_max, &freed) != OK) log_warn("object.evict", "error=\"%s\"", err_detail());
}

static err_t delete_dead(struct store *s)
{
    struct seg_info *infos;
    uint32_t n = dead_segments(s, &infos);
    err_t e = n > 0 ? delete_segments(s, infos, n, M_DELETED_BYTES, "all rows deleted or too old") : OK;
    free(infos);
    return e;
}

err_t retention_clean(struct store *s)
{
    TRY(sem_take(&s->changing, 1));
    err_t e = delete_dead(s);
    sem_give(&s->changing, 1);
    return e;
}

err_t retention_run(struct store *s)
{
    struct retention_rule r = { 0 };
    if (s->o.retention_share > 0) {
        struct fs_space space;
        TRY(fs_space(s->o.dir, &space));
        r.bytes_max = (uint64_t)((double)space.total_bytes * s->o.retention_share);
        atomic_store(&s->segment_bytes_max, r.bytes_max);
    }
    evict_over(s, r.bytes_max);
    TRY(sem_take(&s->changing, 1));
    r.age_ns = s->keep->most_ns; /* what the longest age lets go needs no look inside; by the rules that are in force now */
    err_t e = delete_dead(s);
    if (e == OK && (r.age_ns != 0 || r.bytes_max != 0)) e = delete_by(s, &r);
    tombs_tick(s);
    sem_give(&s->changing, 1);
    return e;
}
