/* What the files of Tempo's API share. */
#ifndef SERVER_API_TEMPO_INT_H
#define SERVER_API_TEMPO_INT_H

#include "base/core/json_out.h"
#include "query/query.h"
#include "server/api/tempo.h"

struct tempo_run { /* one query */
    struct query q;
    struct budget budget;
    struct arena arena;
    struct scatter sc;
    bool scattered;
};
void tempo_run_begin(struct tempo_run *r, struct http_request *rq);
void tempo_run_end(struct tempo_run *r);
/* "metrics": what was read. */
/* "status" PARTIAL and its "message", unless both are empty. */
void tempo_partial_json(struct str lost, struct str left_out, struct json_out *j);
void tempo_read_json(const struct query *q, uint64_t traces, struct json_out *j);
MUST_CHECK err_t tempo_count_param(struct http_request *rq, const char *name, uint32_t def, uint32_t min, uint32_t max, uint32_t *out);

/* TraceQL metrics (tempo_metrics.c): /api/metrics/query_range and /api/metrics/query. */
err_t tempo_query_range(struct http_request *rq, struct http_response *rs) MAY_YIELD;
err_t tempo_query_instant(struct http_request *rq, struct http_response *rs) MAY_YIELD;

#endif
