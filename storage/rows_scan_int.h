/* The inside of scans over rows, for rows_scan.c (which rows) and rowset.c (what they hold) only. */
#ifndef STORAGE_ROWS_SCAN_INT_H
#define STORAGE_ROWS_SCAN_INT_H

#include "storage/rows_find.h"
#include "storage/rows_words.h"
#include "storage/shard.h"

struct source {
    int64_t tmin_ns, tmax_ns;
    struct mem_part *part; /* or NULL: */
    struct seg *seg;
    const struct seg_dead *dead;
    uint32_t group_no;
    const struct seg_group *group;
    const uint32_t *named;  /* the rows of the group that may be of the id looked for (seg_ids.h) */
    uint32_t nnamed;
    const uint32_t *blocks; /* of the group, that may hold the words looked for (seg_tokens.h) */
    uint32_t nblocks;
    bool worded;            /* words were looked for */
    struct rows_found *found; /* ahead of its turn, or NULL */
};

struct rowset_impl {
    struct rows_scan *scan;
    const struct source *src;
    struct seg_rows dir;               /* of a segment's group */
    struct seg_reader from;
    const struct rows_found *found;    /* the rows of the id looked for; NULL: no id is */
    struct column **loaded[SEG_RELS];  /* a pointer a column of dir, NULL = not yet */
    const uint32_t *link[SEG_RELS];
    /* A rowset of few rows: these of the group, and their columns and links beside the whole ones. */
    const uint32_t *packed;
    uint32_t npacked;
    struct column **few;
    const uint32_t *few_link[SEG_RELS];
};

struct rows_scan {
    struct view *v;
    struct rows_req rq;
    struct arena mem;    /* of the scan */
    struct arena rowset; /* of the current rowset */
    struct arena ahead;  /* of what is found ahead */
    const struct scan_hint *id; /* that is of a trace id, or NULL */
    struct rows_ids ids;        /* to look up; of the hint, or of the request */
    struct rows_words words;    /* to look up when there is no id */
    struct source *sources;
    uint32_t n, at;
    uint32_t ahead_from, ahead_to; /* sources that look_ahead has been at */
    size_t cap;
    struct rowset_impl impl;
};

static inline bool rowset_is_named(enum col_scope have, struct str have_name, enum col_scope scope, struct str name)
{
    return have == scope && have_name.n == name.n && str_eq(have_name, name);
}

/* Every column of that name, up to max; that of one type, NULL when there is none; column number i of a segment's relation. */
MUST_CHECK err_t rowset_impl_columns(struct rowset_impl *im, int rel, enum col_scope scope, struct str name, const struct column **cols,
                                     uint32_t max, uint32_t *n) MAY_YIELD;
MUST_CHECK err_t rowset_impl_column(struct rowset_impl *im, int rel, enum col_scope scope, struct str name, enum col_type type,
                                    const struct column **col) MAY_YIELD;
MUST_CHECK err_t rowset_impl_load(struct rowset_impl *im, int rel, uint32_t i, const struct column **out) MAY_YIELD;
/* Of a segment; the relation is present. */
MUST_CHECK err_t rowset_impl_link(struct rowset_impl *im, int rel, const uint32_t **out) MAY_YIELD;
/* The rows of the group that a packed rowset has under these numbers. */
const uint32_t *rowset_impl_numbers(struct rowset_impl *im, const uint32_t *rows, uint32_t n);

#endif
