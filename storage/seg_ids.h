/* The index of trace ids of a segment: from an id to the blocks of rows that may hold it.
 *
 * Blocks are runs of 1,024 rows of a group (the last one shorter), numbered through all groups of signals that have
 * trace ids (spans, logs, exemplars), in the order of the groups; one index serves all tenants and signals of a
 * segment, so that the spans and the logs of a trace share its entry. It knows ids by the upper 38 bits of their
 * XXH3-64, and those by a few bits: what it names must be compared, what it does not name is not there.
 *
 * Hashes are cut in `npages` equal ranges of about 1,024 (id, block) pairs. The page of a range, empty without ids:
 *   page = varint nids | varint nplaces | upper | low | last | places | u32 checksum
 *     The range is cut in nids equal buckets. upper: a bucket after another, a 1 for each id in it, then a 0 (bits, from
 *     bit 0 of each byte); low: a byte an id, its place inside its bucket; so an absent id is taken for one of the
 *     page's about once in 256. places: block numbers side by side, as many bits each as the last block's number needs,
 *     ascending for an id; last: a bit a place, 1 where the places of an id end.
 *     checksum: lower half of the XXH3-64, seeded with the page's number, of all before.
 * Ids whose hashes are equal share an entry; one trace has at most as many places as there are blocks.
 * Pages stand side by side in front of the footer, which holds their directory:
 *   directory = varint npages (0: no row has an id, and nothing follows) | varint offset in the file | varint nblocks |
 *               8 bytes fold of the checksums | the varint length of each page
 * A look-up reads one page, about 3 KB. The directory is kept in memory, 4 bytes a page.
 *
 * Measured with bench/run, 2.5 million spans: 2.9 bytes a span in traces of one, 1.2 in traces of eight spans of one service;
 * in all 34.0 -> 35.6 and (all with one parent id) 26.2 -> 26.9 bytes a span, since the filters of each group that it replaced took 1.5 and told
 * only the group. Sealing is not slower. While it is built it holds up to 16 bytes a pair, for the sort 8 more. */
#ifndef STORAGE_SEG_IDS_H
#define STORAGE_SEG_IDS_H

#include "base/core/arena.h"
#include "base/core/hash.h"
#include "storage/col_codec.h"
#include "storage/signal.h"

enum { SEG_IDS_ROWS = 1024, SEG_IDS_BLOCKS_MAX = 1 << 26, SEG_IDS_PAGES_MAX = 1 << 24 };

static inline bool seg_ids_cover(enum signal s) { return s == SIG_SPANS || s == SIG_LOGS || s == SIG_EXEMPLARS; }
static inline uint32_t seg_ids_blocks(uint32_t nrows) { return (nrows + SEG_IDS_ROWS - 1) / SEG_IDS_ROWS; }
static inline uint64_t seg_ids_hash(struct str id) { return hash64(id); }

/* -- writing ----------------------------------------------------------------------------------------------- */
struct seg_ids_build {
    struct budget *budget; /* charged for the pairs */
    uint64_t *pairs;       /* hash | block */
    size_t n, cap;
    uint32_t nblocks;      /* of all groups so far */
};
void seg_ids_build_deinit(struct seg_ids_build *b);
/* Pairs come with ascending blocks; those of one block may repeat. */
void seg_ids_add(struct seg_ids_build *b, uint64_t hash, uint32_t block);
/* Sorts; the number of pages. Takes some 20 ns a pair: to be called off the reactor. */
uint32_t seg_ids_sort(struct seg_ids_build *b);
/* Appends page number `page`, its pairs beginning at *at, which is moved behind them. */
void seg_ids_page(const struct seg_ids_build *b, uint32_t npages, uint32_t page, size_t *at, struct buf *out);

struct seg_ids { /* the directory */
    uint32_t npages, nblocks;
    uint64_t off, fold;
    uint32_t *end; /* of each page, from off */
};
/* Folds a page's checksum into the sum of the pages before. */
uint64_t seg_ids_fold(uint64_t fold, struct str page);
void seg_ids_put(const struct seg_ids *ids, struct buf *out);

/* -- reading: pure ----------------------------------------------------------------------------------------- */
MUST_CHECK err_t seg_ids_parse(struct cur *c, struct arena *a, struct seg_ids *out);
uint32_t seg_ids_page_of(const struct seg_ids *ids, uint64_t hash);
/* The blocks that may hold the id, ascending, each once. */
MUST_CHECK err_t seg_ids_find(const struct seg_ids *ids, struct str page, uint64_t hash, struct arena *a,
                              uint32_t **blocks, uint32_t *n);

#endif
