/* See retention.h. */
#include "storage/retention.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"

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

struct doom_call {
    struct store *s;
    const struct seg_info *infos;
    uint32_t n;
};

static bool doomed(const struct doom_call *c, const struct seg_info *i)
{
    for (uint32_t k = 0; k < c->n; k++)
        if (c->infos[k].generation == i->generation && c->infos[k].core == i->core) return true;
    return false;
}

/* The list is cut before the first yield, which seg_put may be. */
static err_t doom_here(void *arg)
{
    const struct doom_call *c = arg;
    struct shard *sh = shard_here(c->s);
    uint32_t kept = 0, ngone = 0;
    struct seg **gone = calloc(sh->nsegs + 1, sizeof *gone);
    ASSERT(gone != NULL);
    for (uint32_t i = 0; i < sh->nsegs; i++) {
        if (doomed(c, seg_info(sh->segs[i]))) {
            gone[ngone++] = sh->segs[i];
        } else {
            sh->segs[kept++] = sh->segs[i];
        }
    }
    sh->nsegs = kept;
    for (uint32_t i = 0; i < ngone; i++) {
        seg_doom(gone[i]);
        seg_put(gone[i]);
    }
    free(gone);
    return OK;
}

static err_t delete_segments(struct store *s, const struct seg_info *infos, uint32_t n)
{
    struct catalog_batch b;
    catalog_batch_init(&b);
    int64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        catalog_del_seg(&b, &infos[i]);
        bytes += (int64_t)infos[i].bytes;
    }
    err_t e = catalog_commit(s, &b);
    catalog_batch_deinit(&b);
    if (e != OK) return e;
    for (uint32_t i = 0; i < n; i++)
        catalog_remove_info(s, &infos[i]);
    struct doom_call c = { s, infos, n };
    void **args = calloc(s->cores, sizeof *args);
    ASSERT(args != NULL);
    for (unsigned i = 0; i < s->cores; i++)
        args[i] = &c;
    store_call_all(s, doom_here, args);
    free(args);
    metric_add(M_RETENTION_BYTES, bytes);
    log_info("retention", "segments=%u bytes=%lld", n, (long long)bytes);
    return OK;
}

err_t retention_run(struct store *s)
{
    struct retention_rule r = { 0 };
    if (s->o.retention_age_ms > 0
        && __builtin_mul_overflow(s->o.retention_age_ms, (int64_t)NS_PER_MS, &r.age_ns))
        r.age_ns = 0;
    if (s->o.retention_share > 0) {
        struct fs_space space;
        TRY(fs_space(s->o.dir, &space));
        r.bytes_max = (uint64_t)((double)space.total_bytes * s->o.retention_share);
        atomic_store(&s->segment_bytes_max, r.bytes_max);
    }
    if (s->ninfos == 0 || (r.age_ns == 0 && r.bytes_max == 0)) return OK;
    struct seg_info *infos = malloc(s->ninfos * sizeof *infos);
    ASSERT(infos != NULL);
    memcpy(infos, s->infos, s->ninfos * sizeof *infos);
    uint32_t n = retention_pick(&r, rt_wall(), infos, s->ninfos);
    err_t e = n > 0 ? delete_segments(s, infos, n) : OK;
    free(infos);
    return e;
}

err_t retention_watermark(struct store *s)
{
    if (s->o.refuse_share <= 0) return OK;
    struct fs_space space;
    TRY(fs_space(s->o.dir, &space));
    double used = space.total_bytes ? 1 - (double)space.free_bytes / (double)space.total_bytes : 0;
    atomic_store(&s->disk_used, used);
    bool refuse = used >= s->o.refuse_share;
    if (refuse != atomic_load(&s->refusing)) {
        atomic_store(&s->refusing, refuse);
        if (refuse)
            log_error("store.disk_full", "dir=%s used=%.3f limit=%.3f effect=\"ingest is refused\"", s->o.dir, used,
                      s->o.refuse_share);
        else
            log_info("store.disk_room", "dir=%s used=%.3f effect=\"ingest goes on\"", s->o.dir, used);
    }
    return OK;
}
