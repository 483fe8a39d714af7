/* The n best rows under at most two sort keys. Ties go by `addr`, a number that the caller derives from the row's
 * content, so that the order is the same on every core, before and after a seal, and from page to page.
 *
 * Rows that are equal in all that are settled by the caller at the end, by what it only then reads of them: until then up to TOPN_TIED_MAX
 * rows that are equal to the worst kept one are kept beside it.
 *
 * A bounded heap with the worst kept row on top. Rows without a value of a key sort last in both directions.
 * Strings of kept keys are copied. After the scan: op_topn_close; op_topn_merge the partial states, op_topn_finish sorts. */
#ifndef QUERY_OPS_OP_TOPN_H
#define QUERY_OPS_OP_TOPN_H

#include "query/ops/attr.h"

enum { TOPN_KEYS_MAX = 2, TOPN_TIED_MAX = 1000 };

struct topn_entry {
    struct val key[TOPN_KEYS_MAX];
    uint64_t addr;
    uint32_t rowset, row; /* caller's: where the row is (rows_place), to materialise the kept ones at the end */
    struct str payload;  /* caller's */
};
struct topn_spec {
    uint32_t nkeys;
    bool desc[TOPN_KEYS_MAX];
    bool addr_desc;
    uint32_t n;          /* rows to keep */
    /* Only rows behind this one count (search_after). The tie-break takes part when has_addr. */
    bool has_after, has_addr;
    struct topn_entry after;
};
struct op_topn {
    const struct topn_spec *spec;
    struct arena *mem;
    struct topn_entry *heap;
    uint32_t count, cap;
    struct topn_entry *tied; /* equal to heap[0], of a full heap */
    uint32_t ntied, tied_cap;
};

void op_topn_init(struct op_topn *t, const struct topn_spec *spec, struct arena *mem);
/* Order of two entries under the spec: <0 when a comes first. */
int topn_cmp(const struct topn_spec *s, const struct topn_entry *a, const struct topn_entry *b);
/* Could a row with these keys get in, whatever its addr? Cheap; ask before computing the addr. */
bool op_topn_wants(const struct op_topn *t, const struct val key[TOPN_KEYS_MAX]);
/* Offers a row; true when it is kept. */
bool op_topn_offer(struct op_topn *t, const struct topn_entry *e);
/* What is kept is heap[0..count), at most n + TOPN_TIED_MAX rows, in no order. No offers after that. */
void op_topn_close(struct op_topn *t);
void op_topn_merge(struct op_topn *into, const struct op_topn *from); /* from: closed, or finished; payloads are borrowed */
/* Which of two equal struct topn_entry comes first, by their payloads; 0: no matter. As qsort calls it. */
typedef int topn_settle_fn(const void *a, const void *b);
/* Sorts heap[0..count) best first, count <= n. No offers after that. settle: NULL when equal ones are alike. */
void op_topn_finish(struct op_topn *t, topn_settle_fn *settle);
/* True when n rows are kept and the worst one's first key is better than any value up to `bound` (the
 * largest, or smallest for ascending order, that rows to come can have): the scan may stop. */
bool op_topn_full_beyond(const struct op_topn *t, int64_t bound);
/* True when n rows are kept and the worst one's first key is an integer: rows with an integer behind *worst there
 * cannot get in, those with the same may. */
bool op_topn_worst_i64(const struct op_topn *t, int64_t *worst);

#endif
