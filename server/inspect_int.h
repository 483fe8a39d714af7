/* The sums of one segment, gathered by inspect_sum.c and shown by inspect_show.c. Bytes are stored ones; all of them
 * together with header, footer, trailer, padding and what no directory names are the file's. */
#ifndef SERVER_INSPECT_INT_H
#define SERVER_INSPECT_INT_H

#include "storage/col_tally.h"
#include "storage/seg_map.h"

struct insp_col { /* a column, over the groups of a set */
    int rel;
    enum col_scope scope;
    enum col_type type;
    uint32_t width;
    struct str name;
    uint64_t bytes, filter_bytes, values, rows, pieces;
    uint32_t distinct;     /* in the group that has most */
    bool has_zone;
    unsigned flags;        /* of all groups */
    int64_t min, max;
    double fmin, fmax;
    struct str smin, smax; /* beginnings */
    struct col_tally codecs;
};
struct insp_label {
    struct str name;
    uint64_t bytes, values;
};
struct insp_set { /* the groups of one tenant, signal and index */
    struct str tenant, index;
    enum signal signal;
    uint32_t ngroups;
    uint64_t rows, bytes, directory; /* rows or series; directory: raw bytes in the footer */
    int64_t tmin_ns, tmax_ns;
    uint64_t link_bytes[SEG_RELS];
    struct insp_col *cols;
    uint32_t ncols;
    size_t cols_cap;
    /* metrics: */
    uint64_t samples, hist_samples, summaries, summed, blocks, /* summaries: among the samples, of so many */
             page_bytes, family_bytes, chunk_bytes;
    double value_bytes, time_bytes, start_bytes; /* of chunk_bytes, by their share of the raw bytes */
    struct insp_label *labels;
    uint32_t nlabels;
    size_t labels_cap;
    struct col_tally codecs; /* of values and times */
};
struct insp {
    const char *path;
    uint64_t bytes, ids_bytes, words_bytes, footer_bytes, footer_raw, padding, unknown; /* unknown: named by no directory */
    uint32_t ngroups, ids_pages, words_pages, words_sections;
    struct insp_set *sets;
    uint32_t nsets;
    size_t sets_cap;
};
/* All in `a`, views into the segment. */
MUST_CHECK err_t inspect_sum(struct seg *s, struct arena *a, struct insp *out) MAY_YIELD;
void inspect_show(const struct insp *in);
void inspect_json(const struct insp *in, struct buf *out);

#endif
