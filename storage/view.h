/* Reading: a view pins what one core holds at one instant; scans over it give rows or series.
 *
 * Rows: rows_next gives one rowset after another: a table of a memtable (with the selection of rows that
 * belong here) or a row group of a segment whose columns are read and decoded when asked for.
 * The order of rowsets is unspecified; the rows of one trace may be spread over several. */
#ifndef STORAGE_VIEW_H
#define STORAGE_VIEW_H

#include "storage/metric.h"
#include "storage/store.h"

struct view;
/* Which streams (names.h) are read, in any order; where NULL is given for one: all. */
struct stream_pick { const uint64_t *ids; uint32_t n; };
/* On the core whose rows are wanted. Everything handed out below lives until view_close. `budget` is charged
 * for decoded columns and samples. `pick` is copied. */
MUST_CHECK err_t view_open(struct store *s, struct str tenant, const struct stream_pick *pick, struct budget *budget, struct view **out) MAY_YIELD;
void view_close(struct view *v) MAY_YIELD;
/* Of the rows of one table alone, which no store has (yet): one rowset, with all rows under their own numbers. */
struct table;
void view_of_table(struct table *t, struct str tenant, enum signal signal, struct str index, struct budget *budget, struct view **out);
struct view_counts {
    uint64_t rows, samples, bytes, groups_read, groups_skipped;
    uint64_t lost; /* reads that something lost (lost.h) overlaps: their answers are incomplete */
    uint64_t away; /* reads that miss something the bucket alone has: likewise */
};
void view_counts(const struct view *v, struct view_counts *out);

/* Calls fn with a view, which it closes. When fn fails because bytes that only the bucket has cannot be read, it is called again,
 * from the beginning, with a view that leaves out what failed, or all that the bucket alone has when that does not answer: fn's
 * answer is then incomplete, and view_counts.away says so. Called at most VIEW_RUNS_MAX times. For who takes no incomplete answer
 * view_open is right: it fails. */
enum { VIEW_RUNS_MAX = 4 };
typedef err_t view_fn(struct view *v, void *ctx);
MUST_CHECK err_t view_run(struct store *s, struct str tenant, const struct stream_pick *pick, struct budget *budget, view_fn *fn,
                          void *ctx) MAY_YIELD;

/* Of which signals the tenant has anything on this core: a bit 1 << signal each, of those in `want`. Looks at directories
 * only, and no further than it must. */
MUST_CHECK err_t view_signals(const struct view *v, unsigned want, unsigned *out) MAY_YIELD;

/* -- rows --------------------------------------------------------------------------------------------- */
enum { REL_ROWS = 0, REL_RESOURCE = 1, REL_SCOPE = 2, REL_EVENTS = 3, REL_LINKS = 4 }; /* which sub-table */

/* Hints are necessary conditions (ANDed): a rowset that cannot hold a matching row may be skipped. */
enum hint_kind { HINT_FIX_EQ, HINT_STR_EQ, HINT_I64_RANGE, HINT_TOKEN };
struct scan_hint {
    enum hint_kind kind;
    int rel;
    enum col_scope scope;
    struct str name;      /* HINT_TOKEN: empty = any text column */
    struct str value;     /* HINT_FIX_EQ raw bytes, HINT_STR_EQ, HINT_TOKEN (a word of some text of that name, in lower case) */
    int64_t min, max;     /* HINT_I64_RANGE, inclusive */
};
struct rows_req {
    enum signal signal;
    struct str index;     /* SIG_DOCS */
    int64_t tmin_ns, tmax_ns; /* inclusive; rows outside may still be handed out: filter on the time column */
    const struct scan_hint *hints;
    uint32_t nhints;
    bool newest_first;    /* order rowsets by tmax descending, so that top-n can stop early */
    bool oldest_first;    /* or by tmin ascending */
    uint64_t upto_generation; /* > 0, of a deletion: of segments of this generation and older ones alone: what was acked when it
                               * was sealed, and what retention hides with it; the view then hides nothing by age any more */
    bool whole;           /* of a trace_id's rows (HINT_FIX_EQ) all columns will be asked for: they are read together */
    /* Only rows of these traces are looked at, ascending as bytes: others may be left out, and are where looking the ids up costs
     * less than reading all ids. Instead of a hint. */
    const uint8_t (*ids)[16];
    uint32_t nids;
};
struct rows_scan;
struct rowset {
    uint32_t nrows;          /* of the table */
    const uint32_t *sel;     /* the rows that count, ascending; NULL = all */
    uint32_t nsel;           /* = nrows when sel is NULL */
    int64_t tmin_ns, tmax_ns;
    bool holes;              /* rows of it are deleted: what its dictionaries and sub-tables hold may be theirs alone */
    void *impl;
};
MUST_CHECK err_t rows_open(struct view *v, const struct rows_req *rq, struct rows_scan **out) MAY_YIELD;
/* False in *more when the scan is over. A rowset lives until the next rows_next or rows_close. */
MUST_CHECK err_t rows_next(struct rows_scan *s, struct rowset *rs, bool *more) MAY_YIELD;
void rows_close(struct rows_scan *s) MAY_YIELD;
/* The place of the rowset given last, and that rowset once more (its rows have the same numbers): for plans that
 * learn only at the end which rows they need whole. No rows_next after rows_again. */
uint32_t rows_place(const struct rows_scan *s);
MUST_CHECK err_t rows_again(struct rows_scan *s, uint32_t place, struct rowset *rs) MAY_YIELD;

/* Every column of that name in a sub-table, whatever its type: up to max into cols, *n the number. */
MUST_CHECK err_t rowset_columns(struct rowset *rs, int rel, enum col_scope scope, struct str name,
                                const struct column **cols, uint32_t max, uint32_t *n) MAY_YIELD;
/* One type; *col NULL when absent. */
MUST_CHECK err_t rowset_column(struct rowset *rs, int rel, enum col_scope scope, struct str name,
                               enum col_type type, const struct column **col) MAY_YIELD;
/* A hint that most columns of the rowset will be read: their bytes are fetched at once. */
void rowset_will_read(struct rowset *rs) MAY_YIELD;
/* What the directory tells of the rows' integers of that name, nothing being read: true when the only column of the
 * name is COL_I64, every row has a value, and all of them lie in [*min, *max]. False too when that is not known. */
bool rowset_zone(const struct rowset *rs, enum col_scope scope, struct str name, int64_t *min, int64_t *max);
struct column_key { enum col_scope scope; enum col_type type; struct str name; };
/* The same, when only rows[0..n), ascending, are looked at: in a segment few of many rows are cheaper than all. Row i
 * of the answer is rows[i] where *packed, else all rows are there under their own numbers. */
MUST_CHECK err_t rowset_column_at(struct rowset *rs, int rel, const struct column_key *key, const uint32_t *rows, uint32_t n,
                                  const struct column **col, bool *packed) MAY_YIELD;
/* Which rows have a value in a column of text (COL_STR, COL_BYTES, COL_JSON), and one that satisfies a condition
 * (col_text_find.h): of the rowset's selection, and of `among` (a bit a row, NULL: all); other rows' bits say nothing. What
 * the column's templates tell is not decoded. *known is false where the column is decoded already or was never encoded:
 * its dictionary tells faster. */
struct text_cond;
struct rows_text {
    const uint64_t *has, *holds; /* a bit a row */
};
MUST_CHECK err_t rowset_find(struct rowset *rs, const struct column_key *key, const struct text_cond *cond, const uint64_t *among,
                             struct rows_text *out, bool *known) MAY_YIELD;
/* REL_RESOURCE, REL_SCOPE: row -> row of the sub-table; NULL when the rowset has none. */
MUST_CHECK err_t rowset_dim(struct rowset *rs, int rel, const uint32_t **dim_row, uint32_t *dim_rows) MAY_YIELD;
/* The same of rows[0..n) alone, ascending: row i of the answer is rows[i]'s. Few of many are cheaper than all. */
MUST_CHECK err_t rowset_dim_at(struct rowset *rs, int rel, const uint32_t *rows, uint32_t n, const uint32_t **dim_row,
                               uint32_t *dim_rows) MAY_YIELD;
/* REL_EVENTS, REL_LINKS: offsets (nrows + 1); NULL when no row has any. */
MUST_CHECK err_t rowset_child(struct rowset *rs, int rel, const uint32_t **first, uint32_t *child_rows) MAY_YIELD;
/* The columns there are, without decoding them, by scope, name and type: what is written from them does not say how rows are stored. */
MUST_CHECK err_t rowset_keys(struct rowset *rs, int rel, const struct column_key **keys, uint32_t *n) MAY_YIELD;

/* -- metrics ------------------------------------------------------------------------------------------ */
enum match_op { MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NRE };
struct regex; /* storage/regex.h: RE2, whole-string anchored, `.` matches newline */
struct matcher {
    enum match_op op;
    struct str name, value;
    struct regex *re; /* MATCH_RE, MATCH_NRE: compiled by the caller; shared by cores */
};

struct mseries { /* one series of a selection */
    hash128 id;
    struct labels labels; /* in the view's memory */
    int64_t resolution_ms; /* of the coarsest summaries in the range; 0: all samples are there as they came */
    void *impl;
};
/* All series of the tenant that match every matcher and may have samples in [tmin_ms, tmax_ms]. */
MUST_CHECK err_t metrics_select(struct view *v, const struct matcher *m, uint32_t nm, int64_t tmin_ms,
                                int64_t tmax_ms, struct mseries **series, uint32_t *n) MAY_YIELD;
struct metric_block;
struct samples { /* of one series, ascending in time, one a timestamp: the last arrival wins */
    uint32_t n;
    const int64_t *t_ms;
    const double *v;                /* meaningless where hist[i] */
    const struct nhist *const *hist; /* NULL when the series has none; else NULL or a histogram a sample */
    const int64_t *st_ms;           /* NULL when none has one */
    /* NULL when none is downsampled; else NULL or a sample's summary: of all samples of a window (downsample.h), of which it is the
     * last. resolution_ms is the window's width. */
    const struct metric_block *const *win;
    bool times_stay; /* t_ms stays as long as the view, and is the same array for all series whose times are the same there */
    bool unmarked;   /* no value is a stale marker: known without looking */
    bool rising;     /* nor is one less than the one before */
};
/* The width of the widest summaries that a series may have in or just before the range; 0: none. Looks at directories alone. */
MUST_CHECK err_t metrics_resolution(struct view *v, int64_t tmin_ms, int64_t tmax_ms, int64_t *out) MAY_YIELD;
/* Samples in [tmin_ms, tmax_ms] into the arena. */
MUST_CHECK err_t metrics_samples(struct view *v, const struct mseries *s, int64_t tmin_ms, int64_t tmax_ms,
                                 struct arena *a, struct samples *out) MAY_YIELD;
/* What a segment knows of a block of at most 1,024 float samples, or of that many summaries of samples, without reading them. Times
 * ascend; n counts stale markers too.
 * Where a value is no finite number (stale markers, NaN, Inf) nothing but n and stale is known: not usable. */
struct metric_block {
    int64_t tmin_ms, tmax_ms; /* of the first and the last sample */
    uint32_t n, stale;
    bool usable;
    bool starts;              /* some sample has a start timestamp */
    int64_t resolution_ms;    /* of summaries: their windows' width; 0: of samples */
    bool resets_known;        /* false where values fall as often as a gauge's do: reset_sum is 0 then */
    double first, last;
    double min, max;          /* the first of equals */
    double sum;               /* decimals: their sum as integers, scaled and rounded once; other doubles: Neumaier's compensated sum in the order of time, plus its compensation */
    double reset_sum;         /* of each value that a lower one follows: last - first + reset_sum is a counter's increase */
};
/* The samples of a series in [tmin_ms, tmax_ms], without reading any, as pieces in the order of time that do not overlap: whole
 * usable blocks where no other source (segment, memtable, deletion) has anything to say about their time, and ranges between
 * them. metrics_samples over a piece's range reads it: of a block exactly the samples (of summaries: the last of each) that it sums up, of a
 * range maybe none. */
struct metric_piece {
    int64_t tmin_ms, tmax_ms;
    const struct metric_block *block; /* NULL: a range */
};
MUST_CHECK err_t metrics_pieces(struct view *v, const struct mseries *s, int64_t tmin_ms, int64_t tmax_ms, struct arena *a,
                                struct metric_piece **out, uint32_t *n);
/* Metadata of families, newest first of each; all when family is empty. Kept on core 0's share of keys or
 * wherever it arrived: callers merge cores. */
MUST_CHECK err_t metrics_meta(struct view *v, struct str family, struct arena *a, struct metric_meta **out,
                              uint32_t *n) MAY_YIELD;

#endif
