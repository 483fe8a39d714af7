/* Finding a byte string in text, many bytes at a time.
 *
 * Two bytes of the needle that are rare in telemetry text are compared with 16, 32 or 64 places at once (SSE2, AVX2,
 * AVX-512, chosen at run time; plain C elsewhere); where both fit, the needle is compared whole. A dictionary is
 * searched as the one buffer that its entries make, and finds are led back to entries by their offsets.
 *
 * bench/find.c, log lines, a needle whose beginning is frequent: in the cache 26 GB/s with AVX-512, 25 with AVX2, 14 with
 * SSE2, 2.2 in plain C, 10 by glibc's memmem; in 64 MiB 21, 20, 14, 2.2 and 5.5. Case aside it is as fast. */
#ifndef STORAGE_TEXT_FIND_H
#define STORAGE_TEXT_FIND_H

#include "storage/table.h"

struct text_find { /* a needle made ready */
    struct str needle; /* borrowed */
    bool fold;
    uint32_t at[2];          /* places in the needle */
    uint8_t byte[2], bit[2]; /* a text byte, or'ed with `bit`, is `byte` */
};
/* fold: ASCII case does not count; the needle's ASCII letters are lower case. */
void text_find_init(struct text_find *f, struct str needle, bool fold);
/* The same for a needle that is soon thrown away: takes no time, and its first and last byte, however common. */
void text_find_ends(struct text_find *f, struct str needle, bool fold);
/* The first place at or behind `from` where the needle stands, SIZE_MAX when there is none. An empty needle stands
 * everywhere. */
size_t text_find(const struct text_find *f, struct str text, size_t from);
/* Sets the bits of the entries that hold the needle; bits (count of them, in words) come clear. How many there are. */
uint32_t text_find_entries(const struct text_find *f, const struct dict *d, uint64_t *bits);

/* The widest way this machine knows, for text_find to be measured and tested: text_find_use(n) with n in 0 (plain) to
 * text_find_ways() - 1. */
unsigned text_find_ways(void);
void text_find_use(unsigned way);

#endif
