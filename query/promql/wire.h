/* The parts of a PromQL query that run beside the data, and their forms in bytes.
 *
 * Bytes are little-endian; varint, zigzag and f64 as base/core/bytes_out.h writes them, `str` a varint length and the bytes. Doubles are their bits: NaN payloads, stale markers and -0 come back as they were. Numbers of enums
 * are those of ast.h: whoever moves them, or changes anything here, gives the kind another name (distribute.c).
 *
 * A plan (wire_plan.c) is the coordinator's prepared subtree itself, not its text: node by node with positions (annotations have them),
 * what pq_prepare found (offsets, @, ranges, steps, invariance, locality) and scalars that the coordinator computed. Types are not
 * written: the reader sets and checks them (pq_check), so that a tree that is read is as sound as one that was parsed.
 *
 *   plan      u8 ask; start, end, step, lookback, default step: zigzag ms; u8 instant; varint samples read so far, varint samples_max;
 *             grid: zigzag start, varint step, varint n; node
 *   node      u8 kind; u8 1 invariant | 2 local | 4 selects; varint start, varint end; then, by kind:
 *     number    f64, u8 written as a duration       string     str
 *     selector  str name, matchers, shift, u8 1 anchored | 2 smoothed | 4 stats
 *     range     zigzag range, node (a selector)     subquery   zigzag range, zigzag step, shift, node
 *     call      str name, varint n, n nodes         paren      node
 *     agg       u8 op, u8 1 without | 2 grouped | 4 param, labels' names, [node param], node
 *     binary    u8 op, varint pos, u8 1 bool, matching, node, node
 *     unary     u8 minus, node                      given      u8 1: one f64 for all steps of the grid; 0: one each
 *   shift     zigzag offset, u8 at, zigzag at's time
 *   matchers  varint n; each u8 op, str name, str value
 *   matching  u8 card, u8 1 on | 2 explicit | 4 fill left | 8 fill right, names of labels, names of include, f64, f64
 *   names     varint n, n str
 *
 * A partial (wire_part.c):
 *   labels    varint n; each: name and value, strings as query/ops/wire.h has them: once
 *   rows      varint n; each: labels, u8 drop_name, cells of the grid's steps
 *   cells     runs until all steps are there: varint length << 2 | kind. 0: none. 1: floats, an f64 each. 2: floats, the same f64 for all.
 *             3: histograms
 *   groups    varint n; each: labels, u8 drop_name, states of the grid's steps in runs: varint length << 2 | kind. 0: untouched. 1: each.
 *             2: the same for all, none of them with a histogram
 *   state     varint of bits for what follows: 1 varint floats, 2 varint hists, 4 f64 v, 8 f64 c, 16 f64 mean, 32 f64 mean_c,
 *             64 u8 of 1 running | 2 broken | 4 reset | 8 not_reset, 128 sum of histograms: histogram, f64 zero_comp, count_comp, sum_comp
 *   points    varint n; each: varint count, u8 1 drop_name | 2 start timestamps, times (zigzag, from the one before), cells,
 *             start timestamps (the same way), labels. Summaries of downsampled series are not told of: nobody asks for them there
 *   histogram u8 of 1: custom bounds, 2: positive, 4: negative indexes are those of the histogram before in this row; 8: with
 *             compensations. u8 schema, u8 hint, f64 zero_threshold, zero_count, count, sum; [varint n, f64 each]; two sides
 *   side      [varint n, zigzag first index, varint differences]; n f64 counts; [n f64 compensations]
 *   notes     varint n; each: u8 kind, varint pos, str text, u8 forced, [f64 min, f64 max, f64 diff, varint count, zigzag from, to]
 * and, behind rows, groups or points, the notes and a varint: samples read. */
#ifndef QUERY_PROMQL_WIRE_H
#define QUERY_PROMQL_WIRE_H

#include "query/ops/wire.h"
#include "query/promql/agg.h"
#include "query/query.h"

enum pq_ask { PQ_ASK_ROWS, PQ_ASK_AGG, PQ_ASK_POINTS, PQ_ASK_SAMPLES /* points, stale markers too, of a range selector */ };
struct pq_plan {
    enum pq_ask ask;
    const struct pq_env *env; /* times and limits */
    const struct pq_node *node;
    struct pq_grid grid;
};
struct pq_part { /* a core's answer */
    struct pq_matrix rows;
    struct pq_agg agg;        /* without its index */
    struct pq_points *points;
    uint32_t npoints;
    struct pq_notes notes;
    int64_t samples;
};

void pq_plan_put(const void *plan, struct buf *out);
MUST_CHECK err_t pq_plan_get(struct query *q, struct bytes_in *in, const void **plan);
void pq_plan_free(const void *plan);
void pq_part_put(const void *plan, const void *partial, struct buf *out);
MUST_CHECK err_t pq_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial);

/* Label sets, for other partials. */
void pq_labels_put(struct wire_out *w, const struct labels *l);
struct labels pq_labels_read(struct wire_in *w);

/* Samples of series, likewise. */
void pq_points_put(struct wire_out *w, const struct pq_points *p, uint32_t n);
MUST_CHECK err_t pq_points_read(struct wire_in *w, struct pq_points **v, uint32_t *n);

/* Matchers alone, for other plans that select series. Their texts are views into the bytes; regexes are compiled. */
struct pq_regexes {
    struct regex *v[PQ_REGEXES_MAX];
    uint32_t n;
};
void pq_regexes_free(struct pq_regexes *r);
void pq_matchers_put(const struct matcher *m, uint32_t nm, struct buf *out);
MUST_CHECK err_t pq_matchers_get(struct bytes_in *in, struct arena *a, struct pq_regexes *r, struct matcher **m, uint32_t *nm);

#endif
