/* Rules of retention, set while the store runs: durable and in force on every core when store_keep_put returns. */
#ifndef STORAGE_STORE_KEEP_H
#define STORAGE_STORE_KEEP_H

#include "storage/retention_rules.h"
#include "storage/store.h"

struct keep_edit {
    struct keep_rule rule; /* in the place of the one for the same data */
    bool remove;           /* takes that one out, if there is one */
};
/* All of them, and the documents (store_kv) that belong to them, or nothing. */
MUST_CHECK err_t store_keep_edit(struct store *s, const struct keep_edit *e, uint32_t n, const struct kv_op *also, uint32_t nalso) MAY_YIELD;
/* Those in force; the caller puts them. */
struct keep_rules *store_keep_rules(struct store *s);

#endif
