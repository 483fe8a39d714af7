/* An attribute as a query names it, and its values in the rows at hand.
 *
 * A reference is (relation, scope, name[, path]): of the row itself, its resource, its scope, its events or its
 * links. In one rowset a name may be several columns (one a type); `path` (dotted) goes on inside COL_JSON
 * columns, where keys may hold dots themselves and arrays stand for each of their elements.
 *
 * Rows come from a rowset of a scan or from a table in memory: struct rows_src hides which.
 *
 *     attr_bind(&src, &ref, &mem, &reader)      once a rowset; may read and decode columns (MAY_YIELD)
 *     n = attr_read(&reader, row, &vals)        the row's values: 0 = none, several for arrays and children */
#ifndef QUERY_OPS_ATTR_H
#define QUERY_OPS_ATTR_H

#include "storage/view.h"

struct attr_ref {
    int rel;             /* REL_ROWS ... REL_LINKS */
    enum col_scope scope;
    struct str name;
    struct str path;     /* empty: the value itself */
    bool below;          /* instead: every attribute whose name begins with name + "." (all of them when name is
                            empty). For existence; other conditions hold when any of them fits */
};

struct rows_src { /* exactly one of the two */
    struct rowset *rs;
    const struct table *table;
};
static inline uint32_t rows_src_count(const struct rows_src *s)
{
    return s->rs ? s->rs->nrows : s->table->nrows;
}

/* One value. type 0 = none. COL_STR, COL_BYTES, COL_FIX and COL_JSON (an object or array as text) use s. */
struct val {
    enum col_type type;
    union {
        int64_t i64;
        double f64;
        bool boolean;
        struct str s;
    };
};
struct val_list { uint32_t n; const struct val *v; };

enum { ATTR_COLS_MAX = 8 }; /* columns of one name */
struct attr_reader {
    int rel;
    struct str path;
    uint32_t n;                           /* columns; of distinct types unless `below` */
    const struct column **col;
    uint32_t rel_rows;                    /* rows of the relation's own table */
    const uint32_t *map;                  /* REL_RESOURCE, REL_SCOPE: row -> row of the relation */
    const uint32_t *first;                /* REL_EVENTS, REL_LINKS: offsets, nrows + 1 */
    struct arena *mem;
    struct val_list **json;               /* COL_JSON: values a dictionary entry; n = UINT32_MAX: not yet parsed */
    struct val one[1];                    /* what attr_read hands out for plain columns */
    struct val *many;                     /* ... and for children */
    uint32_t many_cap;
};

MUST_CHECK err_t attr_bind(const struct rows_src *src, const struct attr_ref *ref, struct arena *mem,
                           struct attr_reader *out) MAY_YIELD;
/* Values of a row, in the reader's memory until the next call. */
uint32_t attr_read(struct attr_reader *r, uint32_t row, const struct val **vals);
/* Values of one row of the relation's own table (REL_ROWS: the row): for callers that walk it. */
uint32_t attr_read_rel(struct attr_reader *r, uint32_t rel_row, const struct val **vals);
/* The value of one column there; type 0 when it has none. COL_JSON as text. */
struct val column_val(const struct column *c, uint32_t row);

/* Scalars at a dotted path of a JSON text: arrays give each element, null nothing, objects at the end of the
 * path themselves as COL_JSON. Broken text gives nothing. */
struct val_list json_path_values(struct str json, struct str path, struct arena *mem);

/* Total order over values for sorting and grouping: bool < numbers < strings < bytes, ids; numbers of both
 * kinds compare by their exact value. */
int val_cmp(const struct val *a, const struct val *b);
/* Exact comparison of integers with doubles: <0, 0, >0; a NaN is below everything. */
int num_cmp_i64_f64(int64_t i, double f);
uint64_t val_hash(const struct val *v); /* equal under val_cmp = equal hash */
bool val_num(const struct val *v, double *out); /* numbers and booleans as double */

#endif
