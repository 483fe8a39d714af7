/* The matcher of a rule of retention as text: which series, or which resources, it is for.
 *   metrics      a PromQL selector of series: {job="batch", instance=~"db.*"}
 *   spans, logs  a TraceQL filter that compares attributes of resources with strings, all of which must be so:
 *                { resource.service.name = "shop" && resource.env =~ "dev|test" }, with = != =~ !~; unlike in a search, an attribute
 *                that is missing is an empty string, as it is in PromQL. */
#ifndef SERVER_API_RETENTION_MATCH_H
#define SERVER_API_RETENTION_MATCH_H

#include "storage/retention_rules.h"

/* Fills r->m and r->nm, for its signal, in the arena. ERR_INVALID says what is wrong. */
MUST_CHECK err_t retention_match_parse(struct str text, struct arena *a, struct keep_rule *r);
void retention_match_print(const struct keep_rule *r, struct buf *out);

#endif
