/* Deletions by query as tasks: accepted, recorded durably, run one after another by a fiber of core 0, and finished after a restart
 * where one was cut off. A task covers what was acked when it was accepted (storage/store_delete.h). Finished ones stay listed,
 * the last thousand of all tenants.
 *
 * The document that the storage keeps of a task is JSON: {"lang", "index", "uid", "query", "fields", "start_ns", "end_ns", "created_s",
 * "state", "rows", "error"}; state is waiting (also: to be tried again, error says why), running, done or failed. */
#ifndef SERVER_API_DELETE_TASKS_H
#define SERVER_API_DELETE_TASKS_H

#include "server/api/indexes.h"

struct delete_tasks;
/* On core 0, after store_open and before requests come; tasks that were cut off go on. */
MUST_CHECK err_t delete_tasks_start(struct store *s, struct budget *budget, struct delete_tasks **out);
void delete_tasks_stop(struct delete_tasks *t) MAY_YIELD; /* what runs is left for the next start */

enum delete_lang { DELETE_QUICKWIT, DELETE_ELASTIC, DELETE_TRACEQL, DELETE_SERIES };
struct delete_spec {
    enum delete_lang lang;
    struct str index, uid;      /* name and what its rows carry; not for TraceQL and series */
    struct str query;           /* text; DELETE_ELASTIC: a query object as JSON; DELETE_SERIES: empty */
    const struct str *fields;   /* default fields instead of the index's; DELETE_SERIES: selectors of series whose exemplars go */
    uint32_t nfields;
    int64_t start_ns, end_ns;   /* start <= time < end; INT64_MIN, INT64_MAX: open */
};
struct delete_task {
    uint64_t id;
    struct delete_spec spec;
    int64_t created_s;
    bool done;                  /* finished, for good or not */
    struct str state, error;    /* error: empty when there is none */
    uint64_t rows;              /* deleted so far */
};
/* Checks the query first: ERR_INVALID, ERR_NOT_FOUND. On any core. */
MUST_CHECK err_t delete_tasks_submit(struct delete_tasks *t, struct str tenant, const struct delete_spec *spec, struct arena *a,
                                     struct delete_task *out) MAY_YIELD;
/* Waits until it is finished, or wait_ns have passed; then its state. */
MUST_CHECK err_t delete_tasks_wait(struct delete_tasks *t, struct str tenant, uint64_t id, int64_t wait_ns, struct arena *a,
                                   struct delete_task *out) MAY_YIELD;
/* The tenant's, newest first; index empty: of all. */
MUST_CHECK err_t delete_tasks_list(struct delete_tasks *t, struct str tenant, struct str index, struct arena *a, struct delete_task **out,
                                   uint32_t *n) MAY_YIELD;

#endif
