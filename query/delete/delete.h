/* Rows that a query finds, deleted. The storage takes marks and knows no query (storage/store_delete.h); here a filter becomes a
 * scan that marks, and passes of it go over all cores until none is left.
 *
 * A filter must be exact by columns alone, row by row: a log search always is, of TraceQL one `{ ... }` that asks nothing about the
 * trace as a whole. The exemplars of series are found by the series' labels, which each of them carries. The scan looks at what the deletion covers (delete_entry.generation) and not at what came later. It
 * runs in the class of maintenance and holds at most DELETE_MARKS_MAX bytes of marks a core; a pass that
 * found more is followed by another, in which the dead are not seen any more. Where a file that it covers cannot be read now, a
 * deletion is not done: its rows would be back with the file. */
#ifndef QUERY_DELETE_DELETE_H
#define QUERY_DELETE_DELETE_H

#include "query/logs/compile.h"
#include "query/promql/ast.h"
#include "storage/batch.h"
#include "storage/store_delete.h"

enum { DELETE_MARKS_MAX = 4 << 20 };

struct delete_filter { /* immutable; shared by the cores */
    enum signal signal;
    struct str index;         /* SIG_DOCS: as its rows carry it */
    int64_t tmin_ns, tmax_ns; /* inclusive */
    struct expr *root;
    struct expr_builder b;
    struct tql_query *tql;    /* owned; NULL for log searches */
    struct pq_ast *series;    /* owned; [nseries] selectors of series, for SIG_EXEMPLARS, which have no root */
    uint32_t nseries;
};
/* Rows with start_ns <= time < end_ns; INT64_MIN, INT64_MAX: open. Everything lives in the arena; delete_filter_free also after an error.
 * ERR_INVALID: the query does not fit the index. */
MUST_CHECK err_t delete_filter_logs(const struct log_index *ix, const struct lq *q, int64_t start_ns, int64_t end_ns, struct arena *a,
                                    struct delete_filter *out);
/* By the spans' starts. ERR_INVALID: no such filter, or one that columns alone cannot decide. */
MUST_CHECK err_t delete_filter_spans(struct str traceql, int64_t start_ns, int64_t end_ns, struct arena *a, struct delete_filter *out);
/* The exemplars of the series that one of the selectors matches. */
MUST_CHECK err_t delete_filter_exemplars(const struct str *selectors, uint32_t n, int64_t start_ns, int64_t end_ns, struct arena *a,
                                         struct delete_filter *out);
void delete_filter_free(struct delete_filter *f);

/* Marks all rows of the tenant that the filter finds in what `generation` covers. ERR_UNAVAILABLE: not all of that can be read. *rows: how many died, also after an error. */
MUST_CHECK err_t delete_run(struct store *s, struct str tenant, uint64_t generation, const struct delete_filter *f, struct budget *budget,
                            uint64_t *rows) MAY_YIELD;

/* Leaves out of a batch what the filter finds in it, samples of the filter's series included (late.c). The batch is the caller's own,
 * decoded into the arena; its tables are replaced, and charged to the budget. *concerns becomes true when the batch is of the deletion's tenant and
 * signal, whether rows went or not; *rows: how many went is added (NULL: none goes, only *concerns is asked). After an error the batch is only good for batch_release. */
MUST_CHECK err_t delete_cut_batch(const struct delete_filter *f, struct str tenant, struct batch *b, struct arena *a, struct budget *budget,
                                  bool *concerns, uint64_t *rows) MAY_YIELD;
/* The rows of a rowset of exemplars that go, in the arena. */
MUST_CHECK err_t delete_find_exemplars(struct rowset *rs, const struct delete_filter *f, struct arena *a, uint32_t **rows, uint32_t *n) MAY_YIELD;
/* Is it one of the filter's series? */
bool delete_is_of(const struct delete_filter *f, const struct labels *ls);

/* Marks what the filter finds of a view's exemplars (series.c); *more: the marks were full before the scan ended. */
MUST_CHECK err_t delete_mark_exemplars(struct view *v, const struct delete_filter *f, uint64_t generation, struct dead_marks *to,
                                       bool *more) MAY_YIELD;

#endif
