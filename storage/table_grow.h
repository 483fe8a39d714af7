/* Tables while they grow; inside storage/table_*.c only.
 *
 * A grow_dict gives distinct byte strings dense codes in order of arrival. A grow is one sub-table under
 * construction: columns that fill by row, found by the name that followed the previous name in an earlier row
 * (attributes come in the same order row after row), else by hash. Everything lives in the scratch arena
 * of its owner; grow_finish copies it, exactly sized, into a table. */
#ifndef STORAGE_TABLE_GROW_H
#define STORAGE_TABLE_GROW_H

#include "base/core/hash.h"
#include "storage/col_bloom.h"
#include "storage/table.h"

struct grow_slot {
    uint32_t hash, code; /* code + 1; 0 = empty */
};
struct grow_dict {
    uint32_t count, mask, last; /* last: the code given out last */
    struct grow_slot *slots;    /* open addressing, at most half full */
    uint32_t *offset;           /* count + 1 */
    char *bytes;
    size_t offset_cap, nbytes, bytes_cap;
};

enum { GROW_NONE = UINT32_MAX };

/* Equality of short runs: names and attribute values are mostly under 32 bytes, where a call costs more
 * than the comparison. Reads only [a, a + n) and [b, b + n). */
static inline bool grow_equal(const char *a, const char *b, size_t n)
{
    uint64_t x, y;
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            memcpy(&x, a + i, 8);
            memcpy(&y, b + i, 8);
            if (x != y) return false;
        }
        memcpy(&x, a + n - 8, 8);
        memcpy(&y, b + n - 8, 8);
        return x == y;
    }
    if (n >= 4) {
        uint32_t u, v, u2, v2;
        memcpy(&u, a, 4);
        memcpy(&v, b, 4);
        memcpy(&u2, a + n - 4, 4);
        memcpy(&v2, b + n - 4, 4);
        return u == v && u2 == v2;
    }
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i]) return false;
    return true;
}

uint32_t grow_dict_find(struct grow_dict *d, struct arena *a, uint64_t seed, struct str v);
/* The code of v, a new one when v is new. */
static inline uint32_t grow_dict_add(struct grow_dict *d, struct arena *a, uint64_t seed, struct str v)
{
    if (d->count) {
        uint32_t from = d->offset[d->last];
        if (d->offset[d->last + 1] - from == v.n && grow_equal(d->bytes + from, v.p, v.n)) return d->last;
    }
    return grow_dict_find(d, a, seed, v);
}
/* Copies into `a`, exactly sized. */
struct dict grow_dict_finish(const struct grow_dict *d, struct arena *a);

struct grow_col {
    struct str name;
    enum col_type type;
    enum col_scope scope;
    uint32_t width;  /* bytes a value */
    uint32_t n, cap; /* rows filled (behind them: no value), rows allocated */
    uint32_t nvalid;
    uint32_t next[2]; /* the columns that followed this one in a row, latest first */
    uint64_t *valid;
    union {
        int64_t *i64;
        double *f64;
        uint8_t *byte;
        uint32_t *code;
        void *data;
    };
    struct grow_dict dict;
};

struct grow {
    struct arena *a; /* scratch */
    uint64_t seed;
    uint32_t nrows;    /* the current row is nrows - 1 */
    uint32_t ncols;
    size_t cols_cap;
    struct grow_col *cols;
    struct htab by_name;
    uint32_t first[2]; /* columns that began a row */
    uint32_t prev;     /* column set last in this row */
    uint32_t ntouched;
    uint16_t *touched; /* columns that have a value in the current row, in order of setting */
    uint32_t dropped;  /* values of the current row that found no room for a column */
    /* distinct rows (grow_commit) */
    struct htab by_key;
    struct str *keys;
    size_t keys_cap;
};

/* Columns are refused to attributes a little before the end, so that fields of the signal always fit. */
enum { GROW_SELF_RESERVE = 24, GROW_ATTR_COLS_MAX = TABLE_COLS_MAX - GROW_SELF_RESERVE };

void grow_init(struct grow *g, struct arena *scratch, uint64_t seed);
void grow_deinit(struct grow *g); /* not the arena */
static inline void grow_row(struct grow *g)
{
    g->nrows++;
    g->prev = GROW_NONE;
    g->ntouched = 0;
    g->dropped = 0;
}
/* Forgets the current row. */
void grow_drop_row(struct grow *g);
/* Forgets rows from nrows on. */
void grow_truncate(struct grow *g, uint32_t nrows);
/* Ends the current row of a grow of distinct rows: forgets it when an equal one is there. Its number. */
uint32_t grow_commit(struct grow *g);
/* Adds the current row's dropped values to its field dropped_attributes. */
void grow_account_dropped(struct grow *g);

/* The cell of the current row, marked valid; NULL when the table has no room for another column. */
struct grow_col *grow_cell(struct grow *g, enum col_scope s, struct str name, enum col_type type, uint32_t width);

void grow_set_i64(struct grow *g, enum col_scope s, struct str name, int64_t v);
void grow_set_str(struct grow *g, enum col_scope s, struct str name, enum col_type type, struct str v);
void grow_set_raw(struct grow *g, enum col_scope s, struct str name, enum col_type type, const void *p,
                  uint32_t width);
/* Sets the value of row `row` of column c (which has one). */
void grow_set_from(struct grow *g, const struct column *c, uint32_t row);

size_t grow_bytes(const struct grow *g); /* that grow_finish will need, about */
/* Fills *t from g: columns without any value are left out. Memory from `a`. */
void grow_finish(const struct grow *g, struct arena *a, struct table *t);

static inline bool col_is_dict(enum col_type t) { return t == COL_STR || t == COL_BYTES || t == COL_JSON; }
/* Bytes of a value in memory; width is that of a COL_FIX. */
static inline uint32_t col_value_size(enum col_type t, uint32_t width)
{
    return t == COL_I64 || t == COL_F64 ? 8 : t == COL_BOOL ? 1 : t == COL_FIX ? width : 4;
}
static inline const void *column_data(const struct column *c) { return c->fix; }
uint64_t column_name_hash(enum col_scope s, enum col_type type, struct str name, uint64_t seed);
/* Sets tmin_ns and tmax_ns from a SC_SELF COL_I64 column. */
void table_set_times(struct table *t, struct str time_column);
/* An empty table on the heap with its arena. */
struct table *table_new(struct budget *budget, size_t bytes_guess);

/* Hashes of the rows of a dimension, independent of the order of columns: the same resource has the same hash in
 * every table. Stable: partitions of logs are computed from them. */
void table_dim_hashes(const struct table *dim, uint64_t *out);

/* Do tables fit into one? Counts the union of their columns, part by part. */
struct table_fit {
    struct hash_set names[1 + DIM_COUNT + CHILD_COUNT];
};
bool table_fit_add(struct table_fit *f, const struct table *t); /* false: not with this one */
void table_fit_reset(struct table_fit *f);
bool tables_fit_together(const struct table *const *tables, uint32_t n); /* children counted too */

/* table_merge with a pause between columns (NULL = none), for long merges on a fiber. */
struct table *table_merge_paused(struct table *const *inputs, uint32_t ninputs, const struct table_pick *order,
                                 uint32_t norder, struct str time_column, struct budget *budget,
                                 void (*pause)(void));

#endif
