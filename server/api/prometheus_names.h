/* What is known about series without their samples, gathered from all nodes. */
#ifndef SERVER_API_PROMETHEUS_NAMES_H
#define SERVER_API_PROMETHEUS_NAMES_H

#include "server/api/prometheus_wire.h"

struct prom_names { /* a set of strings, each with how often it was added. htab_init and htab_deinit of the index are the caller's */
    struct str *v;
    uint64_t *count;
    uint32_t n;
    size_t cap, ccap;
    struct htab index;
};
uint32_t prom_names_add(struct prom_names *s, struct arena *a, struct str name); /* copies a new one; its index */

struct prom_selection { /* series that match any; none: all */
    struct pq_ast asts[PROM_MATCH_MAX];
    uint32_t n;
    int64_t tmin, tmax;
};
/* start, end and every match[] of a request. prom_selection_free it after an error too. */
MUST_CHECK err_t prom_selection_read(struct http_request *rq, struct arena *a, struct prom_selection *s, int64_t tmin, int64_t tmax);
void prom_selection_free(struct prom_selection *s);
/* Metadata of a family (empty: all), by family; in the arena of the run. */
MUST_CHECK err_t prom_metadata_of(struct prom_run *r, struct str family, struct metric_meta **out, uint32_t *n) MAY_YIELD;
/* Names (sorted) or series (each once). */
MUST_CHECK err_t prom_gather(struct prom_run *r, const struct prom_selection *sel, enum prom_want want, struct str name,
                             struct prom_names *names, struct pq_matrix *series) MAY_YIELD;

#endif
