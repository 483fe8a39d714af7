/* Remote read's request (prompb/remote.proto), decoded. */
#ifndef SERVER_API_PROMETHEUS_READ_H
#define SERVER_API_PROMETHEUS_READ_H

#include "server/api/prometheus_samples.h"

enum prom_read_form { PROM_READ_SAMPLES, PROM_READ_CHUNKS, PROM_READ_FORMS };
enum { PROM_READ_MATCHERS_MAX = 64 }; /* of a query */

struct prom_read {
    struct prom_ranges ranges;  /* of queries, in their order */
    struct pq_regexes regexes;  /* of all of them: pq_regexes_free when done, after an error too */
    enum prom_read_form form;   /* the first that is accepted */
};
/* `body`, uncompressed, is lent to *out, which is zeroed before. ERR_INVALID: malformed, past limits (PROM_RANGES_MAX queries,
 * PQ_REGEXES_MAX regular expressions), or no form that is accepted is known. */
MUST_CHECK err_t prom_read_decode(struct str body, struct arena *a, struct prom_read *out);

#endif
