/* An immutable table of rows in columns: the one shape of spans, logs, documents and exemplars from the
 * decoder to the answer. A decoder builds it (table_builder), the WAL stores it (batch.h), the memtable keeps
 * it, sealing merges and sorts it into segment row groups, and queries read its columns as vectors.
 *
 *  rows            spans, log records, documents
 *  dim[RESOURCE]   the distinct resources of the rows; dim_row[r] = the row's resource
 *  dim[SCOPE]      the distinct instrumentation scopes
 *  child[EVENTS]   the events of all rows, in row order; those of row i are [child_first[i], child_first[i+1])
 *  child[LINKS]    likewise
 * Dimensions and children are tables themselves (without dims or children).
 *
 * A column is named by (scope, name, type). SC_SELF are the fields that the signal defines (below);
 * SC_ATTR are attributes, one column a key and type: a key that comes with two types is two columns.
 *
 * Invariants: nrows <= TABLE_ROWS_MAX (children: TABLE_CHILD_ROWS_MAX); ncols <= TABLE_COLS_MAX; names are UTF-8 of at most 1,024 bytes; codes
 * of dictionary columns < dict.count, entries distinct; a row without a value has its bit in `valid`
 * clear and an unspecified (but in range) value. Tables are shared by cores: immutable after
 * table_builder_finish, reference-counted with atomics. */
#ifndef STORAGE_TABLE_H
#define STORAGE_TABLE_H

#include "base/core/arena.h"
#include "base/core/buf.h"
#include "base/core/htab.h"

enum { TABLE_ROWS_MAX = 65536, TABLE_CHILD_ROWS_MAX = 1 << 19, TABLE_COLS_MAX = 1024, TABLE_NAME_MAX = 1024 };

enum col_type {
    COL_I64 = 1,
    COL_F64,
    COL_BOOL,  /* one byte a row, 0 or 1 */
    COL_STR,   /* dictionary codes; any bytes, UTF-8 by contract of the decoders */
    COL_BYTES, /* dictionary codes; OTLP bytes values */
    COL_JSON,  /* dictionary codes; an array or a map as JSON text ([..] or {..}) */
    COL_FIX,   /* `width` raw bytes a row (8 or 16: ids) */
};

enum col_scope { SC_SELF = 0, SC_ATTR = 1 };

enum { DIM_RESOURCE, DIM_SCOPE, DIM_COUNT };
enum { CHILD_EVENTS, CHILD_LINKS, CHILD_COUNT };

struct dict {
    uint32_t count;
    const uint32_t *offset; /* count + 1 */
    const char *bytes;
};
static inline struct str dict_get(const struct dict *d, uint32_t code)
{
    return (struct str){ d->bytes + d->offset[code], d->offset[code + 1] - d->offset[code] };
}

struct column {
    enum col_type type;
    enum col_scope scope;
    uint32_t width; /* COL_FIX */
    struct str name;
    uint32_t nrows, nvalid;
    const uint64_t *valid; /* bit a row; NULL = every row has a value */
    union {
        const int64_t *i64;
        const double *f64;
        const uint8_t *boolean;
        const uint32_t *code;
        const uint8_t *fix;
    };
    struct dict dict;
};
static inline bool column_has(const struct column *c, uint32_t row)
{
    return !c->valid || (c->valid[row / 64] >> (row % 64) & 1);
}
static inline struct str column_str(const struct column *c, uint32_t row)
{
    return dict_get(&c->dict, c->code[row]);
}

struct table {
    uint32_t nrows, ncols;
    struct column *cols;
    struct table *dim[DIM_COUNT];         /* NULL when the table has none */
    const uint32_t *dim_row[DIM_COUNT];   /* nrows */
    struct table *child[CHILD_COUNT];     /* NULL when no row has any */
    const uint32_t *child_first[CHILD_COUNT]; /* nrows + 1 */
    int64_t tmin_ns, tmax_ns;             /* of the time column; INT64_MAX, INT64_MIN when empty */
    struct arena mem;                     /* holds all of it, the dims and children too */
    _Atomic uint32_t refs;
};

struct table *table_get(struct table *t);
void table_put(struct table *t);
/* Takes the table's memory off the budget it was built under: a memtable that keeps it charges its own. By a holder of a
 * reference, which keeps the table from being freed meanwhile; again is nothing. */
void table_uncharge(struct table *t);
/* NULL when there is none. Linear in ncols for names outside the small cache: hoist out of row loops. */
const struct column *table_column(const struct table *t, enum col_scope scope, struct str name,
                                  enum col_type type);
size_t table_bytes(const struct table *t);

/* -- fields that the signals define (SC_SELF), by name ------------------------------------------- *
 * spans:   trace_id FIX16, span_id FIX8, parent_span_id FIX8 (absent at a root), trace_state STR, flags I64,
 *          name STR, kind I64 (OTLP numbers), start I64 (unix ns; the time column), duration I64 (ns, >= 0),
 *          status_code I64 (0 unset 1 ok 2 error), status_message STR,
 *          dropped_attributes I64, dropped_events I64, dropped_links I64
 *   events: time I64 (ns), name STR, dropped_attributes I64     links: trace_id FIX16, span_id FIX8,
 *          trace_state STR, flags I64, dropped_attributes I64
 * logs:    time I64 (unix ns: time, else observed time, else arrival; the time column), observed_time I64,
 *          severity_number I64, severity_text STR, body STR (a string body) or body JSON (map, array) or
 *          body of the scalar's own type, trace_id FIX16, span_id FIX8, flags I64, event_name STR,
 *          dropped_attributes I64
 * dims:    resource: attributes, schema_url STR, dropped_attributes I64
 *          scope: name STR, version STR, schema_url STR, attributes, dropped_attributes I64
 * docs:    time I64 (ns: the index's timestamp field, else arrival), source STR (the document's JSON text as
 *          received); SC_ATTR: its leaves by dotted path (arrays as JSON)
 * exemplars: time I64 (ns), series FIX16 (series id), labels STR (canonical label bytes of metric.h),
 *          value F64, trace_id FIX16, span_id FIX8, attributes
 * Zero, empty and default values are absent, not stored (but start, duration, kind, time are always there). */

/* -- building ------------------------------------------------------------------------------------- *
 *     struct table_builder *b = table_builder_new(budget);
 *     table_resource(b);  table_set_*(b, ...) ...;  ends the resource; rows that follow have it
 *     table_row(b); table_set_*(...);  table_child(b, CHILD_EVENTS); table_set_*(...);
 *     struct table *t = table_builder_finish(b);   frees the builder
 * The current target (resource, scope, row, event, link) is what table_set_* writes to. Equal resources
 * and scopes are stored once. A value set twice in a target: the last one wins. Attributes that find no room for
 * another column (a row that alone brings about a thousand) or whose name is too long are counted in the
 * target's dropped_attributes; children past the limit in dropped_events, dropped_links.
 * Fast path: a column remembers which column followed it in earlier rows. */
struct table_builder;
struct table_builder *table_builder_new(struct budget *budget);
void table_builder_free(struct table_builder *b); /* abandons */
struct table *table_builder_finish(struct table_builder *b, struct str time_column);
uint32_t table_builder_rows(const struct table_builder *b);
/* True when the next row may not fit (rows, columns or bytes): finish this table and begin another. */
bool table_builder_full(const struct table_builder *b);

void table_resource(struct table_builder *b); /* begins a new resource (and no scope) */
void table_scope(struct table_builder *b);    /* begins a new scope */
void table_row(struct table_builder *b);      /* begins a row of the last resource and scope */
void table_row_drop(struct table_builder *b); /* forgets the row begun last (it turned out invalid) */
void table_child(struct table_builder *b, int child); /* begins an event or a link of the row */
void table_set_i64(struct table_builder *b, enum col_scope s, struct str name, int64_t v);
void table_set_f64(struct table_builder *b, enum col_scope s, struct str name, double v);
void table_set_bool(struct table_builder *b, enum col_scope s, struct str name, bool v);
/* type: COL_STR, COL_BYTES or COL_JSON */
void table_set_str(struct table_builder *b, enum col_scope s, struct str name, enum col_type type, struct str v);
void table_set_fix(struct table_builder *b, enum col_scope s, struct str name, const void *p, uint32_t width);
/* OK or the refusal of the budget. */
MUST_CHECK err_t table_builder_check(const struct table_builder *b);

/* -- whole tables ------------------------------------------------------------------------------------ *
 * Concatenates row selections (rows NULL = all) of tables in the order given by `order`:
 * order[i] = {input, row}; order NULL = inputs one after another. Sum of rows <= TABLE_ROWS_MAX and union
 * of columns <= TABLE_COLS_MAX, asserted: callers cut with table_union_columns. */
struct table_pick { uint32_t input, row; };
struct table *table_merge(struct table *const *inputs, uint32_t ninputs, const struct table_pick *order,
                          uint32_t norder, struct str time_column, struct budget *budget);

/* Self-contained bytes (format specified in table_wire.c) for WAL, RPC and tests; light: dictionaries,
 * bit-packed or delta integers, lz4 over the whole. Decoding checks every length, code and offset. */
void table_encode(const struct table *t, struct buf *out);
MUST_CHECK err_t table_decode(struct str bytes, struct budget *budget, struct table **out);

#endif
