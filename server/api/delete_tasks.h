/* Deletions by query as tasks: accepted, recorded durably, run one after another by a fiber of core 0, and finished after a restart
 * where one was cut off. A task covers what was acked when it was accepted (storage/store_delete.h). Finished ones stay listed,
 * the last thousand of all tenants.
 *
 * Where there are other nodes each of them makes the task (cluster/deletions.h, a `joint` one), and lists it under one id. It is done when so many
 * nodes have made it that no query sees what it deleted; until then its error says which node is waited for. A series is such a task, too.
 *
 * The document that the storage keeps of a task is JSON: {"lang", "index", "uid", "query", "fields", "config", "tenant", "joint": its id, "start_ns", "end_ns", "created_s",
 * "state", "rows", "error"}; state is waiting (also: to be tried again, error says why), running, done or failed. */
#ifndef SERVER_API_DELETE_TASKS_H
#define SERVER_API_DELETE_TASKS_H

#include "server/api/indexes.h"

struct delete_tasks;
/* On core 0, after store_open and before requests come; tasks that were cut off go on. */
MUST_CHECK err_t delete_tasks_start(struct store *s, struct cluster *cluster, struct budget *budget, struct delete_tasks **out);
void delete_tasks_stop(struct delete_tasks *t) MAY_YIELD; /* what runs is left for the next start */

enum delete_lang { DELETE_QUICKWIT, DELETE_ELASTIC, DELETE_TRACEQL, DELETE_SERIES };
struct delete_spec {
    enum delete_lang lang;
    struct str index, uid;      /* name and what its rows carry; not for TraceQL and series */
    struct str config;          /* of a user's index whose rows other nodes have, too: as it was when the task was accepted */
    struct str tenant;          /* where other nodes make it, too */
    struct str query;           /* text; DELETE_ELASTIC: a query object as JSON; DELETE_SERIES: empty */
    const struct str *fields;   /* default fields instead of the index's; DELETE_SERIES: selectors of series whose exemplars go */
    uint32_t nfields;
    int64_t start_ns, end_ns;   /* start <= time < end; INT64_MIN, INT64_MAX: open */
};
struct delete_task {
    uint64_t id;
    bool joint;                 /* other nodes make it, too */
    struct delete_spec spec;
    int64_t created_s;
    bool done;                  /* finished, for good or not */
    struct str state, error;    /* error: empty when there is none */
    uint64_t rows;              /* deleted so far; of this node's copies of rows where others have them, too */
};
/* Are there other nodes that tasks are made with? Any core. */
bool delete_tasks_joint(const struct delete_tasks *t);
/* Checks the query first: ERR_INVALID, ERR_NOT_FOUND; ERR_UNAVAILABLE: too few nodes could be told. On any core. */
MUST_CHECK err_t delete_tasks_submit(struct delete_tasks *t, struct str tenant, const struct delete_spec *spec, struct arena *a,
                                     struct delete_task *out) MAY_YIELD;
/* Waits until it is finished, or wait_ns have passed; then its state. */
MUST_CHECK err_t delete_tasks_wait(struct delete_tasks *t, struct str tenant, uint64_t id, int64_t wait_ns, struct arena *a,
                                   struct delete_task *out) MAY_YIELD;
/* Waits until a task that was submitted is done where it counts. ERR_UNAVAILABLE: not all nodes that are needed made it in that time; it goes on. */
MUST_CHECK err_t delete_tasks_finish(struct delete_tasks *t, struct str tenant, int64_t wait_ns, struct arena *a, struct delete_task *task) MAY_YIELD;
/* The tenant's, newest first; index empty: of all. */
MUST_CHECK err_t delete_tasks_list(struct delete_tasks *t, struct str tenant, struct str index, struct arena *a, struct delete_task **out,
                                   uint32_t *n) MAY_YIELD;

#endif
