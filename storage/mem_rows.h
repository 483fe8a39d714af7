/* The memtable of rows signals, one a core and generation: immutable tables with the selection of rows that
 * belong to this core. Small tables are merged as they gather, so that many small requests do not make
 * queries slow. Owned by one reactor. */
#ifndef STORAGE_MEM_ROWS_H
#define STORAGE_MEM_ROWS_H

#include "storage/seg.h"
#include "storage/table.h"

struct mem_rows;
struct mem_rows *mem_rows_new(struct budget *budget);
void mem_rows_free(struct mem_rows *m);
/* Takes a reference of t; sel (copied; NULL = all rows) are the rows that belong here, ascending. */
void mem_rows_insert(struct mem_rows *m, struct str tenant, enum signal signal, struct str index,
                     struct table *t, const uint32_t *sel, uint32_t nsel);
bool mem_rows_empty(const struct mem_rows *m);
/* Writes everything as sorted row groups: spans by service, name, start; logs by resource, scope, time;
 * documents and exemplars by time. Groups hold at most TABLE_ROWS_MAX rows and TABLE_COLS_MAX columns. The
 * memtable stays as it is and may be read meanwhile. */
MUST_CHECK err_t mem_rows_seal(struct mem_rows *m, struct seg_writer *w) MAY_YIELD;

#endif
