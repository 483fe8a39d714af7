/* A window over a log file that is read from its beginning to its end: while what is in it is looked at, the next WINDOW_BYTES are
 * fetched. Inside storage/wal* only. The struct lies where it is until it is closed. */
#ifndef STORAGE_WAL_WINDOW_H
#define STORAGE_WAL_WINDOW_H

#include "base/rt/file.h"

enum { WINDOW_BYTES = 1 << 20 };

struct window_part { /* of the file, in memory */
    uint8_t *buf;
    size_t cap, at, n; /* bytes of the file are buf[at .. at + n); at and n are multiples of WAL_ALIGN, but n at the end of the file */
    uint64_t off;      /* of the first of them */
};

struct window {
    struct file file;
    uint64_t size;            /* of the file; who wants less of it may lower it */
    struct window_part now;
    struct window_part next;  /* being fetched, or fetched */
    struct scope scope;       /* of the fiber that does it */
    err_t fetched;
};

MUST_CHECK err_t window_open(struct window *w, const char *path, unsigned flags) MAY_YIELD;
void window_close(struct window *w) MAY_YIELD;
/* Makes [pos, pos + want) readable, as far as the file goes: *n bytes at *p, until the next call. *p is aligned as pos is. */
MUST_CHECK err_t window_want(struct window *w, uint64_t pos, size_t want, const uint8_t **p, size_t *n) MAY_YIELD;

#endif
