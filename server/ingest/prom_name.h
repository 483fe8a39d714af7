/* Prometheus names of OTLP metrics and attributes (OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md), by the
 * four strategies of otlp_mapping.h.
 *
 * Escaped with suffixes, the default. Metric: tokens of [A-Za-z0-9:] joined with '_'; then the unit ("s" -> seconds, "By/s" -> bytes_per_second, "{..}"
 * ignored) unless the name has that token already; then "total" last for a monotonic sum, "ratio" last for a
 * gauge of unit 1; '_' before a leading digit. Label: every run outside [A-Za-z0-9] becomes one '_'; "key_"
 * before a leading digit.
 * Escaped without suffixes: every run outside [A-Za-z0-9:_] becomes one '_', at the ends none; '_' before a leading digit.
 * Not escaped: names as they are; suffixes behind them in the same order, each unless the name ends so already. */
#ifndef SERVER_INGEST_PROM_NAME_H
#define SERVER_INGEST_PROM_NAME_H

#include "server/ingest/otlp_mapping.h"
#include "server/ingest/otlp_view.h"

/* In the arena. Empty when nothing usable is left of the name: the metric cannot be stored. */
struct str prom_metric_name(const struct otlp_metric *m, const struct otlp_mapping *map, struct arena *a);
/* The unit as Prometheus metadata has it: "seconds", "bytes_per_second", or empty. */
struct str prom_unit(struct str unit, struct arena *a);
/* Returns `key` itself when it needs no change; empty when nothing but underscores would be left. */
struct str prom_label_name(struct str key, const struct otlp_mapping *map, struct arena *a);

#endif
