/* How bytes are encoded, told by the decoders themselves: while a tally is open on a thread, each block that is decoded
 * there is counted under the name of its codec. Without one it costs a decoder a look at a thread's variable a block. */
#ifndef STORAGE_COL_TALLY_H
#define STORAGE_COL_TALLY_H

#include "base/core/types.h"

enum { COL_TALLY_MAX = 24 };
struct col_tally {
    uint32_t n;
    struct {
        const char *name; /* static */
        uint64_t blocks;
    } of[COL_TALLY_MAX];
};
extern _Thread_local struct col_tally *col_tally_open; /* NULL: nobody asks */
void col_tally_count(struct col_tally *t, const char *name, uint64_t blocks);
/* Adds one to another. */
void col_tally_add(struct col_tally *to, const struct col_tally *t);
static inline void col_saw(const char *name)
{
    if (__builtin_expect(col_tally_open != NULL, 0)) col_tally_count(col_tally_open, name, 1);
}

#endif
