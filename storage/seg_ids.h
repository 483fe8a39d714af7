/* An index from hashes to blocks of rows: of the trace ids of a segment, and, by seg_tokens.h, of the words of its texts.
 *
 * It knows an id by the upper 38 bits of its hash, and of those keeps a few: what it names must be compared, what it does not
 * name is not there.
 *
 * Hashes are cut in `npages` equal ranges of about 1,024 (id, block) pairs. The page of a range, empty without ids:
 *   page = varint nids | varint nlists | upper | low | listed | places | lists | u32 checksum      (bits, from bit 0 of each byte)
 *     The range is cut in nids equal buckets. upper: a bucket after another, a 1 for each id in it, then a 0; low: low_bits an
 *     id, its place inside its bucket, so that an absent id is taken for one of the page's about once in 2^low_bits.
 *     listed: a 1 for an id in more than one block; no bits when nlists is 0. places: of the others, as many bits each as the last block's number needs.
 *     lists: of each listed id k > 1, the number of its blocks, as k - 1 in Elias' gamma code; nothing more when these are all;
 *     more than half of them: a bit a block; else from one to the next the blocks in between, Rice-coded with
 *     log2(nblocks / k) bits.
 *     checksum: lower half of the XXH3-64, seeded with the page's number, of all before.
 * Ids whose hashes are equal share an entry.
 *   directory = varint npages (0: there are no ids, and nothing follows) | varint offset in the file | varint nblocks |
 *               u8 low_bits | 8 bytes fold of the checksums | the varint length of each page
 * Pages stand side by side. A look-up reads one, about 3 KB. The directory is kept in memory, 4 bytes a page.
 *
 * Trace ids: blocks are runs of 1,024 rows of a group (the last one shorter), numbered through all groups of signals that have
 * trace ids (spans, logs, exemplars), in the order of the groups; one index serves all tenants and signals of a segment, so that
 * the spans and the logs of a trace share its entry. Hash: XXH3-64; 8 low bits.
 *
 * Measured with bench/run, 2.5 million spans: 2.9 bytes a span in traces of one, 1.2 in traces of eight spans of one service. Sealing is
 * not slower. While it is built it holds up to 16 bytes a pair, for the sort 8 more. */
#ifndef STORAGE_SEG_IDS_H
#define STORAGE_SEG_IDS_H

#include "base/core/arena.h"
#include "base/core/hash.h"
#include "storage/col_codec.h"
#include "storage/signal.h"

enum { SEG_IDS_ROWS = 1024, SEG_IDS_BLOCKS_MAX = 1 << 26, SEG_IDS_PAGES_MAX = 1 << 24, SEG_IDS_LOW = 8, SEG_IDS_LOW_MAX = 24 };

static inline bool seg_ids_cover(enum signal s) { return s == SIG_SPANS || s == SIG_LOGS || s == SIG_EXEMPLARS; }
static inline uint32_t seg_ids_blocks(uint32_t nrows) { return (nrows + SEG_IDS_ROWS - 1) / SEG_IDS_ROWS; }
static inline uint64_t seg_ids_hash(struct str id) { return hash64(id); }

/* -- writing ----------------------------------------------------------------------------------------------- */
struct seg_ids_build {
    struct budget *budget; /* charged for the pairs */
    uint64_t *pairs;       /* hash | block */
    size_t n, cap;
    uint32_t nblocks;      /* of all groups so far */
    unsigned low_bits;     /* 1 to SEG_IDS_LOW_MAX */
};
void seg_ids_build_deinit(struct seg_ids_build *b);
/* Pairs come with ascending blocks; those of one block may repeat. */
void seg_ids_add(struct seg_ids_build *b, uint64_t hash, uint32_t block);
/* Do the pairs belong to two ids? */
static inline bool seg_ids_differ(uint64_t a, uint64_t b) { return (a ^ b) >= SEG_IDS_BLOCKS_MAX; }
/* Sorts; the number of pages. Takes some 20 ns a pair: to be called off the reactor. */
uint32_t seg_ids_sort(struct seg_ids_build *b);
/* Appends page number `page`, its pairs beginning at *at, which is moved behind them. */
void seg_ids_page(const struct seg_ids_build *b, uint32_t npages, uint32_t page, size_t *at, struct buf *out);

struct seg_ids { /* the directory */
    uint32_t npages, nblocks;
    unsigned low_bits;
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

/* Is a page what was written? */
MUST_CHECK err_t seg_ids_check(const struct seg_ids *ids, struct str page, uint32_t number);

#endif
