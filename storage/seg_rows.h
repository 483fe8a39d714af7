/* Row groups of segments: a table, sorted by the sealer, whose columns can be read one by one.
 *
 * Directory of a group (seg_group.meta), little-endian:
 *   meta     = u8 version (4) | relation[5]: rows, resource, scope, events, links
 *   relation = u8 present | varint nrows | chunk of the link (not for rows) | varint ncols | column*
 *     link chunk: resource, scope: the relation's row of each row (col_code); events, links: the number of them
 *     of each row (col_code)
 *   column   = u8 type | u8 scope | u8 width | varint length, name | chunk | varint nvalid | u8 flags |
 *              by flags: ZONE_INT zigzag min, max; ZONE_F64 8 bytes min, max (no NaN among the values);
 *              ZONE_STR varint distinct, prefixes (varint length, <= 16 bytes) of the least and the greatest
 *              entry; BLOOM chunk; TOKENS: the segment's index holds its words | cut (seg_cut.h)
 *   chunk    = 24 bytes (seg_format.h)
 * A column chunk is col_column (sealed). A filter chunk is a split-block Bloom filter (col_bloom.h) of the values of
 * dictionaries of more than 64 entries; logs and documents have none: their texts are found by the index of words
 * (seg_tokens.h). Only the rows relation has either. Trace ids are found by the segment's index (seg_ids.h).
 *
 * Zones and filters speak of the rows that have a value.
 *
 * Why spans are sorted by service, name and start (bench/seal.c, 200,000 generated spans of 22 columns, 8 a trace):
 * 35.8 bytes a row, 36.6 in the order of trace ids (trace_id 4.3 against 2.1, but start 2.8 against 3.9, and all
 * columns that depend on the operation vanish); about 25 of them are ids, which nothing compresses. The gain that
 * counts is that service and name are constant over long runs, so that searches skip groups. Sealing takes about
 * 0.7 us of CPU a span. */
#ifndef STORAGE_SEG_ROWS_H
#define STORAGE_SEG_ROWS_H

#include "storage/seg.h"
#include "storage/seg_cut.h"
#include "storage/table.h"
#include "storage/view.h"

enum { SEG_RELS = 5, ZONE_PREFIX = 16 };
enum { SEG_COL_INT = 1, SEG_COL_F64 = 2, SEG_COL_STR = 4, SEG_COL_BLOOM = 8, SEG_COL_TOKENS = 16 };

struct seg_col {
    enum col_type type;
    enum col_scope scope;
    uint32_t width;
    struct str name;
    struct seg_chunk chunk, bloom;
    uint32_t nvalid, distinct;
    unsigned flags;
    int64_t min, max;
    double fmin, fmax;
    struct str smin, smax; /* prefixes */
    struct seg_cut cut;
};
struct seg_rel {
    bool present;
    uint32_t nrows, ncols;
    struct seg_chunk link;
    struct seg_col *cols;
};
struct seg_rows {
    struct seg_rel rel[SEG_RELS]; /* by REL_* */
};

/* Pure. Names and prefixes are views into meta. nrows: the group's. */
MUST_CHECK err_t seg_rows_parse(struct str meta, uint32_t nrows, struct arena *a, struct seg_rows *out);
/* Where in meta the references of its chunks stand, SEG_CHUNK_BYTES each, in the order of the chunks in the file: for who copies a
 * group to another place. */
MUST_CHECK err_t seg_rows_refs(struct str meta, uint32_t nrows, struct arena *a, uint32_t **at, uint32_t *n);
/* Writes t as one group. */
MUST_CHECK err_t seg_rows_write(struct seg_writer *w, struct str tenant, enum signal signal, struct str index,
                                const struct table *t) MAY_YIELD;
/* What the index of trace ids learns of the group written last; id: its column, or NULL. */
MUST_CHECK err_t seg_rows_ids(struct seg_writer *w, const struct column *id) MAY_YIELD;
MUST_CHECK err_t seg_rows_column(const struct seg_reader *from, const struct seg_rel *rel, const struct seg_col *c, struct arena *a,
                                 struct column *out) MAY_YIELD;
/* Of rows[0..n) alone, ascending: a column of n rows, see col_column_decode_at. */
MUST_CHECK err_t seg_rows_column_at(const struct seg_reader *from, const struct seg_rel *rel, const struct seg_col *c,
                                    const uint32_t *rows, uint32_t n, struct arena *a, struct column *out) MAY_YIELD;
/* Resource, scope: dim_row (nrows). Events, links: first (nrows + 1). `nrows` of the rows relation. */
MUST_CHECK err_t seg_rows_link(const struct seg_reader *from, const struct seg_rows *r, int rel, struct arena *a,
                               const uint32_t **out) MAY_YIELD;
/* Resource, scope: of rows[0..n) alone, ascending. */
MUST_CHECK err_t seg_rows_link_at(const struct seg_reader *from, const struct seg_rows *r, int rel, const uint32_t *rows, uint32_t n,
                                  struct arena *a, const uint32_t **out) MAY_YIELD;
static inline const struct table *table_relation(const struct table *t, int rel)
{
    switch (rel) {
    case REL_ROWS: return t;
    case REL_RESOURCE: return t->dim[DIM_RESOURCE];
    case REL_SCOPE: return t->dim[DIM_SCOPE];
    case REL_EVENTS: return t->child[CHILD_EVENTS];
    default: return t->child[CHILD_LINKS];
    }
}
/* Can a row have this string in this column? By zones only. */
bool seg_col_maybe_str(const struct seg_col *c, struct str v);

#endif
