/* What the hints of a scan say about words, and which rows of a group that leaves (seg_tokens.h). */
#ifndef STORAGE_ROWS_WORDS_H
#define STORAGE_ROWS_WORDS_H

#include "storage/seg_rows.h"
#include "storage/seg_tokens.h"

struct rows_words {
    const struct rows_req *rq;
    uint64_t hashes[SEG_TOKENS_ASKED_MAX];
    uint32_t n; /* words that each row asked for has; 0: none are known */
};
void rows_words_init(struct rows_words *w, const struct rows_req *rq);
/* Does the index hold the words of all columns that the hints name? */
bool rows_words_known(const struct rows_words *w, const struct seg_rel *rows);
struct words_group { /* of a segment */
    struct seg *seg;
    const struct seg_group *group;
    const uint32_t *blocks; /* of the group, numbered from its first row, that may hold rows with all the words */
    uint32_t nblocks;
    bool known;             /* its words are in the index */
};
/* Finds the blocks of the groups (those of one segment side by side), all segments at once; *bytes were read. */
MUST_CHECK err_t rows_words_find(const struct rows_words *w, struct words_group *v, uint32_t n, struct arena *a, uint64_t *bytes) MAY_YIELD;
/* All rows of the blocks, which are numbered from the group's first row. */
MUST_CHECK err_t rows_of_blocks(const struct seg_group *g, const uint32_t *blocks, uint32_t nblocks, struct arena *a, uint32_t **rows,
                                uint32_t *n);
/* Rows[0..n) of a whole column; its values are shared where they can be. */
MUST_CHECK err_t rows_gather(const struct column *c, const uint32_t *rows, uint32_t n, struct arena *a, struct column *out);

#endif
