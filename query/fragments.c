#include "query/fragments.h"

#include "base/core/assert.h"
#include "query/correlate/correlate.h"
#include "query/graph/services.h"
#include "query/logs/columns.h"
#include "query/logs/search.h"
#include "query/traceql/metrics_compare.h"
#include "query/traceql/search.h"
#include "query/traceql/whole.h"

extern const struct fragment_kind PROMQL_KIND, CORR_METRICS_KIND, CORR_META_KIND, CORR_EXEMPLARS_KIND;

static const struct fragment_kind *const of_query[] = {
    &PROMQL_KIND, &CORR_METRICS_KIND, &CORR_META_KIND, &CORR_EXEMPLARS_KIND,
    &TRACE_SEARCH_KIND, &TRACE_CANDIDATES_KIND, &TRACE_SPANS_KIND, &TRACE_BY_ID_KIND, &TRACE_TAGS_KIND, &TRACE_TAG_VALUES_KIND, &TRACE_METRICS_KIND, &COMPARE_KIND,
    &LOG_SEARCH_KIND, &LOG_COLUMNS_KIND, &GRAPH_KIND, &CORR_FIND_KIND, &CORR_TRACES_KIND, &CORR_LOGS_KIND,
};
static const struct fragment_kind *others[FRAGMENTS_MAX];
static unsigned nothers;

const struct fragment_kind *fragment_at(unsigned i)
{
    if (i < ARRAY_LEN(of_query)) return of_query[i];
    i -= (unsigned)ARRAY_LEN(of_query);
    return i < nothers ? others[i] : NULL;
}

const struct fragment_kind *fragment_find(struct str name)
{
    const struct fragment_kind *k;
    for (unsigned i = 0; (k = fragment_at(i)); i++)
        if (str_is(name, k->name)) return k;
    return NULL;
}

void fragment_register(const struct fragment_kind *kind)
{
    const struct fragment_kind *had = fragment_find(str_of(kind->name));
    ASSERT(!had || had == kind);
    if (had) return;
    ASSERT(nothers < FRAGMENTS_MAX);
    others[nothers++] = kind;
}
