/* The memtable of rows signals, one a core and generation: immutable tables with the selection of rows that
 * belong to this core. Small tables are merged as they gather, so that many small requests do not make
 * queries slow. Owned by one reactor.
 *
 * A part is a table with its selection; parts are immutable and counted, so that a scan keeps what it began
 * with while inserts go on. Parts of under 256 rows are merged eight by eight: a row is copied at most about
 * three times (270 ns a span of 20 columns and copy), and an insert merges at most about 2,000 rows. */
#ifndef STORAGE_MEM_ROWS_H
#define STORAGE_MEM_ROWS_H

#include "storage/seg.h"
#include "storage/table.h"

struct mem_rows;
struct mem_rows *mem_rows_new(struct budget *budget);
void mem_rows_free(struct mem_rows *m);
/* Takes a reference of t; sel (copied; NULL = all rows) are the rows that belong here, ascending. The budget
 * is charged for the share of t that is selected, whatever t's own memory is charged to. */
void mem_rows_insert(struct mem_rows *m, struct str tenant, enum signal signal, struct str index,
                     struct table *t, const uint32_t *sel, uint32_t nsel);
bool mem_rows_empty(const struct mem_rows *m);
/* Writes everything as sorted row groups: spans by service, name, start; logs by service, resource and scope,
 * time; documents and exemplars by time. Groups hold at most TABLE_ROWS_MAX rows and TABLE_COLS_MAX columns. The
 * memtable stays as it is and may be read meanwhile. */
MUST_CHECK err_t mem_rows_seal(struct mem_rows *m, const struct tenant_pick *pick, struct seg_writer *w) MAY_YIELD;

/* -- for scans (rows_scan.c) and the seal (mem_seal.c) ------------------------------------------------- */
struct mem_part {
    uint32_t refs; /* one reactor */
    bool settled;  /* large, or fits no others: is not merged any more */
    struct table *table;
    uint32_t *sel; /* NULL = all */
    uint32_t nsel;
    int64_t charged;
    struct budget *budget;
};
struct mem_stream { /* one (tenant, signal, index) */
    struct str tenant, index;
    enum signal signal;
    uint32_t nparts, nsettled; /* the settled ones stand first, so that gathering looks at few */
    size_t parts_cap;
    struct mem_part **parts;
};
uint32_t mem_rows_streams(const struct mem_rows *m);
const struct mem_stream *mem_rows_stream(const struct mem_rows *m, uint32_t i); /* until the next insert */
struct budget *mem_rows_budget(const struct mem_rows *m);
struct mem_part *mem_part_get(struct mem_part *p);
void mem_part_put(struct mem_part *p);
static inline uint32_t mem_part_row(const struct mem_part *p, uint32_t i) { return p->sel ? p->sel[i] : i; }
/* The time column of a signal's rows. */
struct str signal_time_column(enum signal signal);

#endif
