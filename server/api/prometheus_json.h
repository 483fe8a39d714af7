/* The JSON forms of the Prometheus HTTP API: values, histograms, numbers. */
#ifndef SERVER_API_PROMETHEUS_JSON_H
#define SERVER_API_PROMETHEUS_JSON_H

#include "base/core/json_out.h"
#include "query/promql/engine.h"

void prom_json_labels(struct json_out *j, const struct labels *l);
void prom_json_time(struct json_out *j, int64_t ms); /* seconds, with decimals when there are milliseconds */
/* {"resultType":...,"result":[...]}; at most `limit` series (0 = all), *cut when some were left out. */
MUST_CHECK err_t prom_json_result(struct json_out *j, const struct pq_result *r, bool instant, uint64_t limit,
                                  bool *cut, struct arena *scratch) MAY_YIELD;
/* "warnings":[...],"infos":[...] when there are any; at most 10 of each and a line that counts the rest. */
/* `lost` (may be empty) and PROM_CUT stand before the query's own warnings. */
#define PROM_CUT "results truncated due to limit"
void prom_json_notes(struct json_out *j, const struct pq_result *r, struct str lost, bool cut, struct arena *scratch);

#endif
