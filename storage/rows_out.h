/* Rows on their way into a segment: picked one by one, in their final order, from tables (parts of a memtable or groups of
 * other segments), gathered and written as row groups of at most TABLE_ROWS_MAX rows, TABLE_COLS_MAX columns,
 * TABLE_CHILD_ROWS_MAX children of a kind and about 24 MiB. */
#ifndef STORAGE_ROWS_OUT_H
#define STORAGE_ROWS_OUT_H

#include "storage/seg.h"
#include "storage/table_grow.h"

struct rows_source { /* the caller's, one a table; zeroed but for `table` */
    struct table *table; /* borrowed until the first row was picked; then rows_out has a reference as long as it needs one */
    uint64_t group;      /* rows_out's own: the group in which `input` counts */
    uint32_t input;
};

struct rows_out {
    struct seg_writer *w;
    struct str tenant, index;
    enum signal signal;
    struct budget *budget;
    struct table_fit fit;
    uint64_t group; /* its number, from 1 */
    struct table **inputs;
    uint32_t ninputs, inputs_cap, n;
    struct table_pick *order;
    uint64_t children[CHILD_COUNT];
    double bytes;
};
/* Views of tenant and index are kept. */
void rows_out_init(struct rows_out *o, struct seg_writer *w, struct str tenant, enum signal signal, struct str index,
                   struct budget *budget);
void rows_out_deinit(struct rows_out *o);
MUST_CHECK err_t rows_out_add(struct rows_out *o, struct rows_source *from, uint32_t row) MAY_YIELD;
/* Writes what is left. */
MUST_CHECK err_t rows_out_finish(struct rows_out *o) MAY_YIELD;

/* A number for each row's resource and scope together, the same in every table that has them: what logs are sorted by. */
uint64_t *rows_stream_hashes(const struct table *t, struct arena *a);

#endif
