/* Which segments are merged next: a pure function of what the catalog says.
 *
 * Only neighbours are merged: segments of one lane (a stream, a core and a class), with no other of that lane in between in the order of
 * generations, so that a later arrival of a sample stays later. That holds within a stream: of two streams that were written side by side, a
 * merge makes what is older in one as late as its newest, and so later than what the other got in between. Segments written by another number of cores are left as they are until
 * retention takes them, and nothing is merged across them.
 *
 * Windows. Merged segments stay within a window of time (their newest rows', aligned), so that retention by age stays that
 * exact; and within bytes_max. Of one window, 2 to COMPACT_FAN_MAX neighbours are merged
 *   - when there are at least COMPACT_FAN of them, together 2.5 times as large as the largest, or more: every byte that is
 *     written again ends in a segment that much larger, about log(n) times for n seals;
 *   - when there is nothing of that kind, in a window that is over (the last segment's newest rows are in a later one):
 *     any two, as many as there are, so that one segment is left of it.
 * One alone is written anew when a fifth of its bytes or more are of what nobody reads any more (deleted, too old): that goes before,
 * and so what was deleted is off the disk a bounded time later. Each such byte costs writing four at most.
 * The smallest ones first, on average. When clocks go mad, or rows of all times come together, windows would keep neighbours
 * apart: with more than COMPACT_MANY segments of a core, windows do not count.
 *
 * Measured (compact_test.c: a seal every 15 minutes for 30 days, windows of a day): at most 35 segments of a core, each
 * byte is written 5.0 times, the seal included; sizes that vary 1:1000 make it 61 and 4.1. */
#ifndef STORAGE_COMPACT_H
#define STORAGE_COMPACT_H

#include "storage/seg.h"

enum { COMPACT_WORN_SHARE = 5, COMPACT_FAN = 4, COMPACT_FAN_MAX = 8, COMPACT_MANY = 256, COMPACT_SMALL_BYTES = 256 << 10 /* smaller ones count as such */ };

struct compact_worn { /* of a segment, how much nobody reads any more */
    char name[40];
    uint64_t gone, bytes; /* of its chunks: those of dead rows and groups; all */
};
struct compact_rule {
    struct seg_lane lane;  /* whose segments */
    uint32_t cores;        /* of how many cores */
    uint64_t bytes_max;    /* of a merged segment: the sum of what goes in */
    int64_t window_ns;
    int64_t keep_from_ns;  /* segments without a newer row are left: retention will take them soon. INT64_MIN: none */
    const uint64_t *splits; /* generations: nothing is merged that lies on both sides of (at or below, above) one of them */
    uint32_t nsplits;
    const struct seg_info *left; /* these are not merged, and nothing across them */
    uint32_t nleft;
    const struct compact_worn *worn; /* in any order; segments that are not named are whole */
    uint32_t nworn;
};

/* Sorts infos. The neighbours to be merged are infos[*first .. *first + n), oldest first; n = 1: it is to be written anew; n = 0:
 * nothing to do. */
uint32_t compact_pick(const struct compact_rule *r, struct seg_info *infos, uint32_t ninfos, uint32_t *first);

#endif
