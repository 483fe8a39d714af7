/* The answer of /api/admin/storage, put together by storage_api.c and written by storage_json.c. */
#ifndef SERVER_API_STORAGE_INT_H
#define SERVER_API_STORAGE_INT_H

#include "server/api/native.h"
#include "storage/usage.h"

enum storage_sort { SORT_BYTES, SORT_COUNT, SORT_DISTINCT, SORT_PER, SORT_NAME };

struct storage_answer {
    struct store *store;
    struct str tenant;      /* STR_NONE: all of them */
    struct usage *usage;
    struct usage_node node;
    struct store_stats stats;
    uint64_t deletes_open;  /* tasks, of all tenants */
    enum storage_sort sort;
    uint32_t limit;
    struct native_warnings warnings;
};
MUST_CHECK err_t storage_json(const struct storage_answer *s, struct arena *a, struct buf *out) MAY_YIELD;

#endif
