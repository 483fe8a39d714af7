/* Where the bytes of a segment are: each chunk that a group's directory names, and what it is. Who reads all of a segment
 * (inspection, the scrubber, the sums by tenant and attribute) walks it by this, and knows no format. */
#ifndef STORAGE_SEG_MAP_H
#define STORAGE_SEG_MAP_H

#include "storage/seg_rows.h"

enum seg_place_kind {
    PLACE_COLUMN,   /* rows: a column */
    PLACE_FILTER,   /* rows: its filter */
    PLACE_LINK,     /* rows: from a row to its resource or scope, or the number of its events or links */
    PLACE_SAMPLES,  /* metrics: blocks of values, times and start times */
    PLACE_SERIES,   /* metrics: a page of series with their labels and the places of their blocks */
    PLACE_LABELS,   /* metrics: values of a label with the series that have them */
    PLACE_FAMILIES, /* metrics: type, unit and help */
};
struct seg_place {
    enum seg_place_kind kind;
    struct seg_chunk chunk;
    int rel;                   /* rows: REL_* */
    uint32_t nrows;            /* rows: of that relation */
    const struct seg_col *col; /* COLUMN, FILTER */
    struct str label;          /* LABELS */
    uint32_t items;            /* SERIES: series; LABELS: values */
};
/* Pure: the directory alone is looked at, and nothing of it is checked but its form. All in `a`, names are views into the group. */
MUST_CHECK err_t seg_map_group(const struct seg_group *g, struct arena *a, struct seg_place **out, uint32_t *n);

/* Reads every chunk of a group, or every page of the indexes of trace ids and words, and compares checksums; ERR_CORRUPT names file, offset and
 * size, ERR_IO what the system says. `pace` (may be NULL) is called with the bytes read so far since its last call. */
typedef err_t seg_pace_fn(void *ctx, uint64_t bytes);
MUST_CHECK err_t seg_verify_group(struct seg *s, uint32_t group, seg_pace_fn *pace, void *ctx) MAY_YIELD;
MUST_CHECK err_t seg_verify_indexes(struct seg *s, seg_pace_fn *pace, void *ctx) MAY_YIELD;

#endif
