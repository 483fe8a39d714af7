/* GET /api/admin/storage[?limit=20][&sort=bytes|count|distinct|per|name][&all_tenants=true]: sums over what all cores hold, of the
 * request's tenant; of the node as a whole: files, memory, disk. The answer (storage_json.c), bytes everywhere:
 *   tenant, partial, warnings
 *   node      segments {count, bytes, local_bytes, remote_bytes, levels, parts}, memory, wal, catalog, object, ballast, disk,
 *             deletions, merges, lost, since_start {received_bytes, sealed_bytes}
 *   signals   of each: bytes, rows (metrics: series, samples), oldest, newest, gone_bytes (of what is deleted or too old, and goes with its
 *             segment), dead_rows, memory
 *   sets      the same by tenant, signal and index, the largest first
 *   metrics   by name: bytes, series, samples, bytes_per_sample
 *   labels    the index of a label's values
 *   columns   of rows: relation, attribute or field of ours, type, bytes, filter_bytes, values, rows, null_share, distinct_max
 *   others    links of rows to resources etc., families (type, unit, help), unnamed_metrics (below)
 * sets, metrics, labels and columns: how many there are in `total`, their bytes, and the `limit` first ones in `top`.
 *
 * It adds up: node.segments.bytes = all of node.segments.parts; parts.data = all signals = all sets = metrics.bytes + labels.bytes +
 * columns.bytes + all of others. `series` are those of the segment that has most, of each core.
 *
 * Series are listed for NAMES_S at most, and only on the local disk: what was not looked at is in others.unnamed_metrics, and told of
 * by `partial`; the next request goes on, since sums of segments are kept. Memory: that of a query. */
#include "server/api/storage_api.h"

#include "base/core/metric.h"
#include "server/api/deletes_allowed.h"
#include "server/api/storage_int.h"
#include "server/api/storage_wire.h"
#include "storage/store_delete.h"

enum { LIMIT_DEFAULT = 20, LIMIT_MAX = 10000, NAMES_S = 5 };

static err_t fragment(struct query *q, struct view *v, const void *plan, struct arena *a, void **partial)
{
    const struct storage_plan *p = plan;
    const struct usage_req rq = { .all_tenants = p->all_tenants, .names_until_ns = rt_now().ns + p->names_ns };
    struct usage *u = ARENA_NEW(a, struct usage);
    (void)q;
    usage_init(u, a);
    err_t e = usage_view(v, &rq, u);
    usage_deinit(u);
    *partial = u;
    return e;
}

const struct fragment_kind USAGE_KIND = {
    .name = "usage", .fn = fragment, .plan_put = storage_plan_put, .plan_get = storage_plan_get,
    .partial_put = storage_part_put, .partial_get = storage_part_get,
};

static err_t gather(struct query *q, bool all_tenants, struct usage *out)
{
    const struct storage_plan plan = { .all_tenants = all_tenants, .names_ns = NAMES_S * NS_PER_S };
    struct scatter sc;
    TRY(scatter_run(q, &USAGE_KIND, &plan, &sc));
    err_t e = OK;
    usage_init(out, q->arena);
    for (unsigned i = 0; e == OK && i < sc.n; i++) {
        usage_merge(out, sc.partials[i], USAGE_BESIDE, STR_NONE);
        e = arena_check(q->arena);
        if (e == OK) e = rt_checkpoint();
    }
    usage_deinit(out);
    scatter_free(&sc);
    return e;
}

static err_t count_deletes(struct storage_answer *s, struct arena *a)
{
    struct delete_entry *v;
    uint32_t n;
    TRY(store_delete_list(s->store, a, &v, &n));
    for (uint32_t i = 0; i < n; i++)
        s->deletes_open += !v[i].done;
    return OK;
}

static void warn(struct storage_answer *s, struct query *q)
{
    const struct usage *u = s->usage;
    if (u->unread_segments)
        native_warn(&s->warnings, arena_printf(q->arena, "the series of %llu of %llu segments are not told by name: there was no time to "
                                               "list them (the next request goes on), or they are in the bucket alone",
                                               (unsigned long long)u->unread_segments, (unsigned long long)u->segments));
    if (u->nparts >= USAGE_PARTS_MAX)
        native_warn(&s->warnings, arena_printf(q->arena, "more than %d names: some are told together, without a name", USAGE_PARTS_MAX));
    if (s->node.lost_segments) native_warn(&s->warnings, store_lost_text(s->store, q->arena));
}

static err_t read_sort(struct http_request *rq, enum storage_sort *out)
{
    static const char *const names[] = { [SORT_BYTES] = "bytes", [SORT_COUNT] = "count", [SORT_DISTINCT] = "distinct",
                                         [SORT_PER] = "per", [SORT_NAME] = "name" };
    struct str v;
    *out = SORT_BYTES;
    if (!native_param(rq, "sort", &v)) return OK;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (str_is(v, names[i])) return *out = (enum storage_sort)i, OK;
    return err_set(ERR_INVALID, "sort must be bytes, count, distinct, per or name: '" STR_FMT "'", (int)MIN(v.n, 80u), v.p);
}

static err_t read_all(struct http_request *rq, bool *all)
{
    struct str v;
    *all = false;
    if (!native_param(rq, "all_tenants", &v) || str_is(v, "false")) return OK;
    if (!str_is(v, "true")) return err_set(ERR_INVALID, "all_tenants must be true or false: '" STR_FMT "'", (int)MIN(v.n, 80u), v.p);
    *all = true;
    return all_tenants_check(((const struct native_ctx *)rq->user)->deletes);
}

static err_t storage(struct http_request *rq, struct http_response *rs)
{
    static const char *const names[] = { "limit", "sort", "all_tenants" };
    const struct native_ctx *ctx = rq->user;
    struct storage_answer s = { .store = ctx->store };
    struct native_run r;
    struct usage u;
    bool all;
    TRY(native_params(rq, names, ARRAY_LEN(names)));
    TRY(native_count(rq, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &s.limit));
    TRY(read_sort(rq, &s.sort));
    TRY(read_all(rq, &all));
    if (!all) s.tenant = rq->tenant;
    s.usage = &u;
    native_begin(&r, rq);
    err_t e = gather(&r.q, all, &u);
    if (e == OK) e = usage_node(ctx->store, &s.node);
    if (e == OK) e = count_deletes(&s, &r.arena);
    if (e == OK) {
        store_stats(ctx->store, &s.stats);
        warn(&s, &r.q);
        e = storage_json(&s, &r.arena, &rs->body);
    }
    native_end(&r);
    return e;
}

const struct http_route storage_routes[] = { { HTTP_GET, "/api/admin/storage", storage, RT_QUERY } };
const uint32_t storage_nroutes = ARRAY_LEN(storage_routes);
