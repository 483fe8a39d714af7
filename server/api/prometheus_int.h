/* What the files of the Prometheus API share. */
#ifndef SERVER_API_PROMETHEUS_INT_H
#define SERVER_API_PROMETHEUS_INT_H

#include "query/query.h"
#include "server/api/prometheus.h"
#include "server/api/prometheus_json.h"

/* One request's query: memory, deadline, envelope. */
struct prom_run {
    struct query q;
    struct budget budget;
    struct arena arena;
    const struct prom_ctx *ctx;
    struct json_out j;
    bool cut;                 /* the answer was truncated by `limit` */
    bool noted;               /* its warnings are written */
};
MUST_CHECK err_t prom_begin(struct prom_run *r, struct http_request *rq);
void prom_end(struct prom_run *r);
/* {"status":"success","data": ... the caller writes the data ... then the end with warnings. */
void prom_data(struct prom_run *r, struct http_response *rs);
void prom_done(struct prom_run *r);

/* Parameters; false when absent or empty. */
bool prom_param(struct http_request *rq, const char *name, struct str *v);
MUST_CHECK err_t prom_time(struct http_request *rq, const char *name, int64_t def_ms, int64_t *ms);
MUST_CHECK err_t prom_duration(struct http_request *rq, const char *name, int64_t def_ms, int64_t *ms);
MUST_CHECK err_t prom_limit(struct http_request *rq, const char *name, uint64_t *n); /* 0 = none */
bool prom_bool(struct str v, bool *out); /* as strconv.ParseBool */
MUST_CHECK err_t prom_bad_param(const char *name); /* wraps the current error: invalid parameter "name": ... */
/* What does not fit is the nearest that does. */
static inline int64_t prom_ns(int64_t ms)
{
    int64_t ns;
    return __builtin_mul_overflow(ms, (int64_t)NS_PER_MS, &ns) ? (ms < 0 ? INT64_MIN : INT64_MAX) : ns;
}
enum { PROM_MATCH_MAX = 256 };
#define PROM_TIME_MIN (-(INT64_C(1) << 60))
#define PROM_TIME_MAX (INT64_C(1) << 60)

http_handler prom_labels, prom_label_values, prom_series, prom_metadata, prom_exemplars, prom_tsdb, prom_delete_series, prom_clean_tombstones, prom_snapshot,
    prom_read, prom_federate, prom_format_query, prom_parse_query,
    prom_buildinfo, prom_features, prom_search_metrics, prom_search_labels, prom_search_values, prom_config, prom_flags, prom_runtimeinfo, prom_walreplay, prom_version, prom_healthy, prom_ready, prom_lifecycle,
    prom_rules, prom_alerts, prom_alertmanagers, prom_targets, prom_targets_metadata, prom_scrape_pools, prom_notifications, prom_blocks;

#endif
