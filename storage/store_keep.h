/* Rules of retention, set while the store runs: durable and in force on every core when store_keep_put returns. */
#ifndef STORAGE_STORE_KEEP_H
#define STORAGE_STORE_KEEP_H

#include "storage/retention_rules.h"
#include "storage/store.h"

/* In the place of the one of the same tenant, signal and index, or takes that one out. */
MUST_CHECK err_t store_keep_put(struct store *s, const struct keep_rule *r, bool remove) MAY_YIELD;
/* Those in force; the caller puts them. */
struct keep_rules *store_keep_rules(struct store *s);

#endif
