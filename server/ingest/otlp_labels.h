/* Attributes to Prometheus labels. */
#ifndef SERVER_INGEST_OTLP_LABELS_H
#define SERVER_INGEST_OTLP_LABELS_H

#include "server/ingest/otlp_mapping.h"
#include "server/ingest/otlp_view.h"
#include "storage/metric.h"

enum { OTLP_LABELS_ROOM = 4 }; /* job, instance, __name__, le or quantile */

/* Any value as text: strings mended, numbers in plain decimal, arrays and maps as JSON, bytes as base64. */
MUST_CHECK err_t otlp_value_text(const struct otlp_value *v, const uint8_t *base, struct arena *a, struct str *out);

/* Labels sorted by name, distinct, none empty; with room for OTLP_LABELS_ROOM more. skip may be NULL.
 * ERR_LIMIT when there are more than LABELS_MAX: the point is rejected. ERR_INVALID for malformed nested values: the
 * request is. */
MUST_CHECK err_t otlp_labels(const struct otlp_attrs *attrs, bool (*skip)(struct str key), const struct otlp_mapping *map,
                             const uint8_t *base, struct arena *a, struct label **out, uint32_t *n);

#endif
