#include "query/permit.h"

#include "base/core/assert.h"
#include "base/core/metric.h"

#include <stdlib.h>

struct permits { /* of one core, touched by it alone */
    struct sem running;
    uint32_t waiting;
    char pad[64]; /* neighbours belong to other cores */
};

static struct permits *permits;
static unsigned permit_cores;

void permit_init(unsigned cores, int64_t queries_a_core)
{
    ASSERT(!permits && queries_a_core > 0);
    permits = calloc(cores, sizeof *permits);
    ASSERT(permits);
    permit_cores = cores;
    for (unsigned i = 0; i < cores; i++)
        rt_sem_init(&permits[i].running, queries_a_core);
}

void permit_deinit(void)
{
    free(permits);
    permits = NULL;
}

err_t permit_take(void)
{
    if (!permits) return OK;
    ASSERT(rt_core() < permit_cores);
    struct permits *p = &permits[rt_core()];
    if (p->waiting >= PERMIT_WAITERS_MAX) {
        metric_add(M_QUERIES_REFUSED, 1);
        return err_set(ERR_OVERLOAD, "%d queries wait for their turn already", PERMIT_WAITERS_MAX);
    }
    p->waiting++;
    metric_add(M_QUERIES_WAITING, 1);
    err_t e = sem_take(&p->running, 1);
    metric_add(M_QUERIES_WAITING, -1);
    p->waiting--;
    if (e == OK) metric_add(M_QUERIES_RUNNING, 1);
    return e;
}

void permit_give(void)
{
    if (!permits) return;
    metric_add(M_QUERIES_RUNNING, -1);
    sem_give(&permits[rt_core()].running, 1);
}
