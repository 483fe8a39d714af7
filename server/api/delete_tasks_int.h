/* The inside of deletions by query, for delete_tasks.c and delete_joint.c only. */
#ifndef SERVER_API_DELETE_TASKS_INT_H
#define SERVER_API_DELETE_TASKS_INT_H

#include "cluster/cluster.h"
#include "server/api/delete_tasks.h"

struct delete_tasks { /* core 0's */
    struct store *store;
    struct cluster *cluster; /* NULL: this node is all there is */
    struct budget *budget;
    struct scope scope;
    struct event wake;
    bool closing;
};

void delete_joint_follow(struct delete_tasks *t);
/* delete_tasks_submit of one that is checked. */
MUST_CHECK err_t delete_joint_submit(struct delete_tasks *t, struct str tenant, struct arena *a, struct delete_task *task) MAY_YIELD;
/* Is it a number of the cluster, not one of this node's own? */
bool delete_joint_id(uint64_t id);
MUST_CHECK err_t delete_joint_done(struct delete_tasks *t, uint64_t id, bool *done) MAY_YIELD;
/* Into a list of this node's tasks: those that it has not begun, and of each joint one whether it is done where it counts. */
MUST_CHECK err_t delete_joint_tell(struct delete_tasks *t, struct str tenant, struct arena *a, struct delete_task **list, uint32_t *n) MAY_YIELD;

#endif
