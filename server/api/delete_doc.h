/* The documents of deletions by query (delete_tasks.h): JSON, written and read, and the filter that one means. */
#ifndef SERVER_API_DELETE_DOC_H
#define SERVER_API_DELETE_DOC_H

#include "query/delete/delete.h"
#include "server/api/delete_tasks.h"

MUST_CHECK err_t delete_doc_write(const struct delete_task *t, struct arena *a, struct str *out);
/* Written by us: what is not as written is shown as empty rather than refused, and fails when it runs. `id` only where others make it, too. */
MUST_CHECK err_t delete_doc_read(struct str doc, struct arena *a, struct delete_task *out);
/* *gone: the index was deleted since, and its rows with it. */
MUST_CHECK err_t delete_doc_filter(struct store *s, struct str tenant, const struct delete_spec *x, struct arena *a, struct delete_filter *f,
                                   bool *gone) MAY_YIELD;

#endif
