/* The scan at the bottom of every plan over rows: rowsets of a view, filtered, as chunks of at most 1,024 rows
 * with the columns that the plan asked for.
 *
 *     struct scan_opts o = { .req = ..., .filter = root, .builder = &b, .cols = specs, .ncols = n };
 *     op_scan_open(&scan, view, &o, budget);
 *     while (op_scan_next(&scan, &status), status == OP_HAVE_OUTPUT)  ... scan.chunk, scan.src ...
 *     op_scan_close(&scan);
 *
 * chunk.sel are the rows that are in the rowset's selection and satisfy the filter; chunks without any are not
 * handed out. chunk.cols has one vector a spec, in order (a column that the rowset lacks is a constant without
 * a value: every row invalid). Dimensions are gathered through their rows: strings as VEC_DICT. Children are
 * no vectors: use attr_bind on scan.src when scan.rowset_seq changes.
 * The filter is bound first: a rowset that cannot match costs no other column. Suspends between rowsets and
 * checks for cancel between chunks when it runs in a fiber. */
#ifndef QUERY_OPS_OP_SCAN_H
#define QUERY_OPS_OP_SCAN_H

#include "query/ops/expr.h"

struct scan_spec {
    int rel;               /* REL_ROWS, REL_RESOURCE, REL_SCOPE */
    enum col_scope scope;
    struct str name;
    enum col_type type;
};
enum { SCAN_COLS_MAX = 256, SCAN_HINTS_MAX = 32 };
struct scan_opts {
    struct rows_req req;   /* hints of the filter are added to the ones given here */
    const struct expr *filter; /* NULL = all rows */
    const struct expr_builder *builder;
    const struct scan_spec *cols;
    uint32_t ncols;
};
struct scan_col;
struct op_scan {
    struct chunk chunk;    /* the current one */
    struct rows_src src;   /* ... and its rowset, for attr_bind */
    struct rowset rowset;
    uint64_t rowset_seq;   /* counts rowsets that gave chunks: bind readers anew when it changes */
    uint64_t rows_seen;    /* rows that the filter looked at */
    struct scan_opts opts;
    struct scan_hint hints[SCAN_HINTS_MAX];
    struct rows_scan *rows;
    struct expr_exec exec;
    enum expr_can can;
    struct arena mem;      /* of the rowset's columns */
    struct arena keep;
    struct scan_col *bound;
    uint16_t *sel;
    uint32_t at;           /* next row of the rowset */
    uint32_t sel_at;       /* next of rowset.sel */
    bool open, cols_bound;
};
MUST_CHECK err_t op_scan_open(struct op_scan *s, struct view *v, const struct scan_opts *o,
                              struct budget *budget) MAY_YIELD;
MUST_CHECK err_t op_scan_next(struct op_scan *s, enum op_status *status) MAY_YIELD;
/* For those who only count: when the filter holds for all of the rowset, how many of its rows are left behind the
 * current chunk, and the scan goes on with the next rowset. 0 otherwise. */
uint64_t op_scan_rest(struct op_scan *s);
void op_scan_close(struct op_scan *s) MAY_YIELD; /* also after a failed open */

#endif
