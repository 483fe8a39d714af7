/* What spans and log records were made by: services, their job and instance labels in metrics, browser sessions. */
#ifndef QUERY_CORRELATE_TOUCHED_H
#define QUERY_CORRELATE_TOUCHED_H

#include "query/graph/names.h"
#include "query/traceql/trace.h"

enum { TOUCHED_SERVICES_MAX = 64, TOUCHED_INSTANCES_MAX = 256, TOUCHED_SESSIONS_MAX = 50 };

/* jobs and instances are the labels that OTLP metrics of the same resources carry: job = service.namespace/service.name
 * (or service.name alone), instance = service.instance.id. */
struct touched {
    struct names services, jobs, instances, sessions;
    bool more;           /* services or jobs that found no room */
    bool more_instances; /* ... instances: then they are no limit to metrics */
};
void touched_init(struct touched *t, struct arena *mem);
void touched_deinit(struct touched *t); /* the names stay, as long as mem does */
void touched_resource(struct touched *t, struct str space, struct str service, struct str instance);
void touched_session(struct touched *t, struct str session); /* empty = none; the first TOUCHED_SESSIONS_MAX are kept */
void touched_merge(struct touched *into, const struct touched *from);
void touched_span(struct touched *t, const struct tspan *s);

/* Reads the rows of one rowset; a resource is read once. */
struct touched_reader {
    const uint32_t *resource;
    uint8_t *seen;
    const struct column *space, *service, *instance, *resource_session, *session;
};
MUST_CHECK err_t touched_bind(struct touched_reader *r, struct rowset *rs, struct arena *mem) MAY_YIELD;
void touched_row(struct touched_reader *r, struct touched *t, uint32_t row);

#endif
