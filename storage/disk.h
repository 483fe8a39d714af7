/* How full the disk is, and what follows: core 0's maintenance looks every second.
 *
 *   level       from (used share of the file system)      what it means
 *   DISK_ROOM   -                                         everything goes
 *   DISK_TIGHT  storage.pause_share       (0.85)          merges pause, log files are not kept for another use
 *   DISK_FULL   storage.refuse_share      (0.90)          ingest is refused: 503 and Retry-After
 *   DISK_STOP   storage.read_only_share   (0.95)          only what frees space is written: seals, which end log files,
 *                                                         and deletions
 * A level is left again when the used share is one percent of the disk below it, so that it does not flap.
 *
 * The ballast is a file of allocated blocks, <dir>/ballast: the smaller of storage.ballast and one percent of the file
 * system, none below BALLAST_MIN. It goes when a seal, a deletion or the catalog meets ENOSPC, or when nearly nothing is free:
 * what it held is room for them, and ingest is refused (DISK_FULL) until twice as much is free. It is made again when there
 * is room for it below DISK_TIGHT. */
#ifndef STORAGE_DISK_H
#define STORAGE_DISK_H

#include "base/core/err.h"
#include "base/core/types.h"

enum disk_level { DISK_ROOM, DISK_TIGHT, DISK_FULL, DISK_STOP };
enum { BALLAST_MIN = 4 << 20, DISK_LEVELS = 4 };

struct store;
/* Pure. The level after `before` at a used share; share[level] = where it begins, 0 = never. */
enum disk_level disk_level_of(double used, enum disk_level before, const double share[DISK_LEVELS]);
/* Pure. The size of the ballast on a file system of so many bytes; 0 = none. */
uint64_t disk_ballast_size(uint64_t wanted, uint64_t total_bytes);

MUST_CHECK err_t disk_tick(struct store *s) MAY_YIELD;
/* What maintenance came to: of ERR_NOSPC it lets go of the ballast. */
void disk_note(struct store *s, err_t e) MAY_YIELD;
/* For the start, when the store is not open yet: makes room on a full disk. False when there is no ballast. */
bool disk_ballast_release(const char *dir) MAY_YIELD;
/* For who would take more space now: merges. */
bool disk_tight(const struct store *s);

#endif
