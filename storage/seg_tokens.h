/* Which blocks of rows of logs and documents hold which words (tokens.h).
 *
 * A block is a group's 65,536 rows (a shorter one's rows), or a smaller power of two of them where so many have more than 8 MiB
 * of text. It holds the words of all texts of its rows: of every string and JSON column of the rows themselves, whatever their
 * names, so that a document's leaves share the entries of its source. A column that is left out (JSON that hides letters behind
 * escapes, or more than SEG_TOKENS_BLOCK words in a block) lacks the flag SEG_COL_TOKENS in its group's directory, and the group
 * is marked here.
 *
 * A segment has sections of whole groups, of about a million (word, block) pairs each: that bounds what a writer holds (at
 * most SEG_TOKENS_SECTION pairs and those of a group, 8 bytes each, while they are sorted twice that), and numbers blocks with
 * few bits. A section is an index of seg_ids.h, its pages stand between the chunks of the groups. A merge that copies groups
 * copies their section too, as it is: it may name blocks that no group has (those of groups that were not copied), which
 * is why a group says where its blocks begin. A section takes a tenth of the bytes of its groups, or hardly more: a word
 * that is not there is taken for one that is once in 64 times, mostly for one of a single block, or as rarely as there is
 * room for; where there is not even room for once in two times, words of digits alone are left out, and may be anywhere.
 * In the footer:
 *   tokens  = varint nsections | directory of an index* | place* of each group of logs or documents
 *   place   = varint section, from 1 | varint its first block there | u8 log2 of the rows of its blocks, 128 more where a column
 *             is left out; places of one section ascend
 *
 * bench/words.c, of the bytes of the segment: 5 % of Apache's access lines and of Kafka's, 0.5 % of JSON made of counters (nginx
 * status: 24 % with its numbers), 8.9 % (1.4 bytes a line) of generated lines whose bytes are mostly those of a random id each,
 * 8.5 % when they have trace ids, too. An id in one block takes 2 bits, those of the block's number (4) and the low ones. */
#ifndef STORAGE_SEG_TOKENS_H
#define STORAGE_SEG_TOKENS_H

#include "storage/seg_ids.h"
#include "storage/seg_reader.h"
#include "storage/table.h"

enum {
    SEG_TOKENS_LOG2 = 16, SEG_TOKENS_BLOCK_BYTES = 8 << 20, SEG_TOKENS_BLOCK = 2 << 20,
    SEG_TOKENS_SECTION = 1 << 20, SEG_TOKENS_SECTION_GROUPS = 256,
    SEG_TOKENS_LOW_MAX = 6, SEG_TOKENS_SHARE = 10
};

static inline bool seg_tokens_cover(enum signal s) { return s == SIG_LOGS || s == SIG_DOCS; }
static inline uint32_t seg_tokens_blocks(uint32_t nrows, unsigned log2) { return (nrows >> log2) + ((nrows & ((1u << log2) - 1)) != 0); }
static inline bool seg_tokens_column(const struct column *c) { return c->type == COL_STR || c->type == COL_JSON; }

/* -- writing ----------------------------------------------------------------------------------------------- */
struct seg_tokens_build { /* of one section */
    struct seg_ids_build pairs;
    size_t kept;          /* pairs of groups that were written */
    uint32_t ngroups;
    bool added;           /* a table that is not kept yet: */
    uint8_t log2;
    bool leaves_out;
};
void seg_tokens_begin(struct seg_tokens_build *b, struct budget *budget);
/* Adds the words of the table that will be the next group, in the place of one that was added and not kept; covered[i]: column
 * i is not left out. Some 100 ns a row: to be called off the reactor. */
void seg_tokens_add(struct seg_tokens_build *b, const struct table *t, bool *covered);
/* The table added last is a group now, of the section that has that number, from 1. Appends its place. */
void seg_tokens_keep(struct seg_tokens_build *b, uint32_t nrows, uint32_t section, struct buf *places);
/* Appends the place of a group whose tokens_* are known. */
void seg_tokens_place(const struct seg_group *g, struct buf *places);
static inline bool seg_tokens_full(const struct seg_tokens_build *b)
{
    return b->kept >= SEG_TOKENS_SECTION || b->ngroups == SEG_TOKENS_SECTION_GROUPS;
}
/* What of the sorted pairs stands beside so many bytes of groups, and in how many bits. */
void seg_tokens_settle(struct seg_ids_build *pairs, uint64_t bytes);

/* -- reading ----------------------------------------------------------------------------------------------- */
struct seg_tokens_section {
    struct seg_ids ids;
};
struct seg_tokens {
    uint32_t n;
    struct seg_tokens_section *v;
};
/* Pure. Sets tokens_* of the groups. */
MUST_CHECK err_t seg_tokens_parse(struct cur *c, struct seg_group *groups, uint32_t ngroups, struct arena *a, struct seg_tokens *out);

enum { SEG_TOKENS_ASKED_MAX = 16 };
struct seg_tokens_found { /* of a section: numbers of blocks, ascending, that may hold rows with all the words */
    uint32_t *blocks, n;
};
/* Of the sections with wanted[i]; n <= SEG_TOKENS_ASKED_MAX words. Reads a page of each section a word; *bytes of them. */
MUST_CHECK err_t seg_tokens_find(struct seg *s, const uint64_t *hashes, uint32_t n, const bool *wanted, struct arena *a,
                                 struct seg_tokens_found **out, uint64_t *bytes) MAY_YIELD;

#endif
