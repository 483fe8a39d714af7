#include "base/core/metric.h"

#include "base/core/assert.h"

#include <stdatomic.h>

/* A slot a core on cache lines of its own: increments of different cores never meet. */
enum { SLOTS = 257, FOREIGN = SLOTS - 1 };

struct slot {
    _Alignas(64) _Atomic int64_t v[METRIC_COUNT];
};
static struct slot slots[SLOTS];
static _Thread_local unsigned my_slot = FOREIGN;

static const struct {
    const char *name, *help;
    enum metric_type type;
} rows[METRIC_COUNT] = {
#define METRIC(id, type, name, help) [id] = { name, help, type },
#include "base/core/metrics.def"
#undef METRIC
};

void metric_thread(unsigned slot)
{
    my_slot = slot < FOREIGN ? slot : FOREIGN;
}

void metric_add(enum metric_id id, int64_t n)
{
    ASSERT_HOT(id < METRIC_COUNT);
    atomic_fetch_add_explicit(&slots[my_slot].v[id], n, memory_order_relaxed);
}

void metric_set(enum metric_id id, int64_t v)
{
    ASSERT_HOT(id < METRIC_COUNT && rows[id].type == METRIC_GAUGE);
    atomic_store_explicit(&slots[my_slot].v[id], v, memory_order_relaxed);
}

int64_t metric_sum(enum metric_id id)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        sum += atomic_load_explicit(&slots[i].v[id], memory_order_relaxed);
    return sum;
}

static const struct budget *budgets[METRIC_BUDGETS_MAX];
static unsigned nbudgets;

void metric_budget(const struct budget *b)
{
    ASSERT(nbudgets < METRIC_BUDGETS_MAX);
    budgets[nbudgets++] = b;
}

static long long budget_held(const struct budget *b) { return (long long)atomic_load(&b->used); }
static long long budget_peak(const struct budget *b) { return (long long)atomic_load(&b->peak); }
static long long budget_max(const struct budget *b) { return (long long)b->hard; }
static long long budget_refused(const struct budget *b) { return (long long)atomic_load(&b->refused); }

static void render_budgets(struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
        long long (*of)(const struct budget *b);
    } series[] = {
        { "tercet_budget_bytes", "gauge", "Bytes held of a memory budget", budget_held },
        { "tercet_budget_peak_bytes", "gauge", "Most bytes ever held of a memory budget", budget_peak },
        { "tercet_budget_max_bytes", "gauge", "Bytes at which a memory budget refuses", budget_max },
        { "tercet_budget_refused_total", "counter", "Refusals of a memory budget", budget_refused },
    };
    for (unsigned i = 0; nbudgets && i < ARRAY_LEN(series); i++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", series[i].name, series[i].help, series[i].name, series[i].type);
        for (unsigned k = 0; k < nbudgets; k++)
            buf_printf(out, "%s{budget=\"%s\"} %lld\n", series[i].name, budgets[k]->name, series[i].of(budgets[k]));
    }
}

void metric_render(struct buf *out)
{
    for (unsigned id = 0; id < METRIC_COUNT; id++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", rows[id].name, rows[id].help,
                   rows[id].name, rows[id].type == METRIC_COUNTER ? "counter" : "gauge", rows[id].name,
                   (long long)metric_sum((enum metric_id)id));
    }
    render_budgets(out);
}
