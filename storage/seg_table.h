/* A row group of a segment, whole, as a table: for who reads all of it. */
#ifndef STORAGE_SEG_TABLE_H
#define STORAGE_SEG_TABLE_H

#include "storage/seg.h"
#include "storage/table.h"

/* The caller's reference. `budget` is charged as long as the table lives. ERR_CORRUPT names file and offset. */
MUST_CHECK err_t seg_table_read(struct seg *s, const struct seg_group *g, struct budget *budget, struct table **out) MAY_YIELD;
/* About how much memory that takes; reads nothing. */
MUST_CHECK err_t seg_table_size(const struct seg_group *g, uint64_t *bytes);

#endif
