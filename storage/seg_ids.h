/* An index from hashes to numbers: from the trace ids of a segment to its rows, and, by seg_tokens.h, from the words of its texts
 * to blocks of rows.
 *
 * It knows an id by the upper bits of its hash (64 less those of a number), and of those keeps a few: what it names must be compared,
 * what it does not name is not there.
 *
 * Hashes are cut in `npages` equal ranges of about 1,024 (id, number) pairs. The page of a range, empty without ids:
 *   page = varint nids | varint nlists | upper | low | listed | places | lists | u32 checksum      (bits, from bit 0 of each byte)
 *     The range is cut in nids equal buckets. upper: a bucket after another, a 1 for each id in it, then a 0; low: low_bits an
 *     id, its place inside its bucket, so that an absent id is taken for one of the page's about once in 2^low_bits.
 *     listed: a 1 for an id of more than one number; no bits when nlists is 0. places: of the others, as many bits each as the last number needs.
 *     lists: of each listed id k > 1, how many there are, as k - 1 in Elias' gamma code; then
 *       of words: nothing more when these are all; more than half of them: a bit for each that there is; else from one to the next
 *         the numbers in between, Rice-coded with log2(nblocks / k) bits;
 *       of rows: the first, in as many bits as a place; 5 bits r; from one to the next the numbers in between, Rice-coded with r
 *         bits. The rows of a trace are mostly in one group, near each other among all of a segment's.
 *     checksum: lower half of the XXH3-64, seeded with the page's number, of all before.
 * Ids whose hashes are equal share an entry.
 *   directory = varint npages (0: there are no ids, and nothing follows) | varint offset in the file | varint nblocks |
 *               u8 low_bits, + 128 for rows, + 64 where words of digits alone are left out | of rows: u8 log2 of the rows of a number | 8 bytes fold of the checksums |
 *               the varint length of each page
 * Pages stand side by side. A look-up reads one, about 2 KB. The directory is kept in memory, 4 bytes a page.
 *
 * Trace ids: rows are numbered through all groups of signals that have trace ids (spans, logs, exemplars), in the order of the
 * groups; one index serves all tenants and signals of a segment, so that the spans and the logs of a trace share its entry. A
 * number is one row, of a segment of more than 2^30 rows 2, 4, ... of them. Hash: XXH3-64; 8 low bits.
 *
 * Why rows and not blocks of them: the ids of a block of 1,024 rows are those of as many traces, and comparing them took reading
 * nearly all ids of a group. Measured (bench/storage.d/spans, 8 spans a trace, 1.4 million a segment): 2.4 bytes a span instead
 * of 1.3, and a trace by id takes 0.7 to 1.0 ms of CPU instead of 1.7. Sealing is not slower. While it is built it holds up to
 * 16 bytes a pair, for the sort 8 more. */
#ifndef STORAGE_SEG_IDS_H
#define STORAGE_SEG_IDS_H

#include "base/core/arena.h"
#include "base/core/hash.h"
#include "storage/col_codec.h"
#include "storage/signal.h"

enum { SEG_IDS_BLOCKS_MAX = 1 << 26, SEG_IDS_ROWS_MAX = 1 << 30, SEG_IDS_PAGES_MAX = 1 << 24, SEG_IDS_LOW = 8, SEG_IDS_LOW_MAX = 24 };

static inline bool seg_ids_cover(enum signal s) { return s == SIG_SPANS || s == SIG_LOGS || s == SIG_EXEMPLARS; }
static inline uint64_t seg_ids_hash(struct str id) { return hash64(id); }

/* -- writing ----------------------------------------------------------------------------------------------- */
struct seg_ids_build {
    struct budget *budget; /* charged for the pairs */
    uint64_t *pairs;       /* hash | number */
    size_t n, cap;
    uint32_t nblocks;      /* there are numbers below this; of rows: 0, see nrows */
    unsigned low_bits;     /* 1 to SEG_IDS_LOW_MAX */
    bool rows;             /* numbers are of rows, below SEG_IDS_ROWS_MAX; else of blocks, below SEG_IDS_BLOCKS_MAX */
    uint32_t nrows;        /* of all groups so far */
    unsigned rows_log2;    /* of a number */
    bool no_numbers;       /* of words: seg_tokens_settle */
};
void seg_ids_build_deinit(struct seg_ids_build *b);
/* Pairs come with ascending numbers; those of one number may repeat. */
void seg_ids_add(struct seg_ids_build *b, uint64_t hash, uint32_t number);
/* Rows: there are `n` more, of numbers of twice as many rows where there would be too many. False: more than 2^32 - 1. */
bool seg_ids_more_rows(struct seg_ids_build *b, uint32_t n);
/* Do the pairs, of blocks, belong to two ids? */
static inline bool seg_ids_differ(uint64_t a, uint64_t b) { return (a ^ b) >= SEG_IDS_BLOCKS_MAX; }
/* Takes some 20 ns a pair: to be called off the reactor. */
void seg_ids_sort(struct seg_ids_build *b);
/* The directory of the sorted pairs, but for off, fold and end. */
struct seg_ids;
void seg_ids_describe(const struct seg_ids_build *b, struct seg_ids *out);
/* Appends page number `page`, its pairs beginning at *at, which is moved behind them. */
void seg_ids_page(const struct seg_ids_build *b, uint32_t npages, uint32_t page, size_t *at, struct buf *out);

struct seg_ids { /* the directory */
    uint32_t npages, nblocks;
    unsigned low_bits;
    bool rows, no_numbers;
    unsigned rows_log2;
    uint64_t off, fold;
    uint32_t *end; /* of each page, from off */
};
/* Folds a page's checksum into the sum of the pages before. */
uint64_t seg_ids_fold(uint64_t fold, struct str page);
void seg_ids_put(const struct seg_ids *ids, struct buf *out);

/* -- reading: pure ----------------------------------------------------------------------------------------- */
MUST_CHECK err_t seg_ids_parse(struct cur *c, struct arena *a, struct seg_ids *out);
uint32_t seg_ids_page_of(const struct seg_ids *ids, uint64_t hash);
/* The numbers that the id may be of, ascending, each once. */
MUST_CHECK err_t seg_ids_find(const struct seg_ids *ids, struct str page, uint64_t hash, struct arena *a,
                              uint32_t **numbers, uint32_t *n);
/* Of an index of rows: the numbers of the rows, all below nrows. */
MUST_CHECK err_t seg_ids_find_rows(const struct seg_ids *ids, struct str page, uint64_t hash, uint32_t nrows, struct arena *a,
                                   uint32_t **rows, uint32_t *n);

/* Is a page what was written? */
MUST_CHECK err_t seg_ids_check(const struct seg_ids *ids, struct str page, uint32_t number);

#endif
