/* The program's own metrics: one row each in metrics.def (METRIC(id, type, "prometheus_name", "help")).
 * Counters and gauges are arrays of relaxed atomics, one slot a core (slot = thread's registered index, the
 * last slot for foreign threads), summed when somebody scrapes /metrics. */
#ifndef BASE_CORE_METRIC_H
#define BASE_CORE_METRIC_H

#include "base/core/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

enum metric_id {
#define METRIC(id, type, name, help) id,
#include "base/core/metrics.def"
#undef METRIC
    METRIC_COUNT
};

void metric_thread(unsigned slot);               /* registers the calling thread's slot */
void metric_add(enum metric_id id, int64_t n);   /* counters and gauges */
void metric_set(enum metric_id id, int64_t v);   /* gauges: of this slot */
int64_t metric_sum(enum metric_id id);
/* Shows the budget in /metrics: bytes held, their peak, the maximum, refusals, labelled with its name. Before the
 * reactors start; the budget lives as long as the program. At most METRIC_BUDGETS_MAX. */
enum { METRIC_BUDGETS_MAX = 8 };
void metric_budget(const struct budget *b);
void metric_render(struct buf *out);             /* Prometheus text exposition format 0.0.4 */

#endif
