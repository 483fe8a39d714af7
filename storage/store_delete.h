/* Deletion. Two kinds, because two things are cheap:
 *
 *   tombstones (tombstone.h)  series by matchers and time, indexes as a whole: recorded, not looked for
 *   marks (seg_dead.h)        rows that a query found: the store knows no query language, so whoever does runs its filter
 *                             over a scan with rows_req.upto_generation, marks what it found (rowset_mark), and
 *                             gives the marks to store_delete_rows
 *
 * What a deletion covers is what was acked before it: store_tombstone and store_delete_begin seal first, and the generation
 * that is sealed then is the deletion's. What is written later stays, also when it looks the same: the requests
 * remembered for retries (store.h, invariant 4) are forgotten up to that generation, of its tenant and signal, so that writing it again
 * stores it. (So a retry of logs that a deletion of logs came between is stored twice; series and spans collapse.)
 *
 * Promises
 *  1. When store_tombstone or store_delete_rows returns OK, the rows are not seen by any view opened later on any core,
 *     and they never come back: not by a crash, a merge, or another number of cores. A view that was open before sees
 *     what it saw.
 *  2. Before that, or when it failed, each row group is marked as a whole or not at all by one call; a tombstone is there or not.
 *  3. A deletion by marks that was begun is listed until it is ended, over restarts, with the document that its driver gave. Segments
 *     on the two sides of its generation are not merged with each other before (store_delete_splits). */
#ifndef STORAGE_STORE_DELETE_H
#define STORAGE_STORE_DELETE_H

#include "storage/cover.h"
#include "storage/kv.h"
#include "storage/store.h"
#include "storage/tombstone.h"

enum { DELETES_OPEN_MAX = 100, DELETES_KEPT_MAX = 1000, DELETE_DOC_MAX = 256 << 10, DEAD_BYTES_MAX = 256 << 20 };

/* Drops the files that hold nothing but what was deleted, now rather than within half a minute, and has merges begin of those of which
 * it is a fifth. Deleted series are taken out of every segment of this disk that holds samples of them, before this returns. ERR_UNAVAILABLE: not
 * all within STORE_CLEAN_MS; it goes on. */
enum { STORE_CLEAN_MS = 25000 };
MUST_CHECK err_t store_clean(struct store *s) MAY_YIELD;

/* ERR_LIMIT: there are TOMBSTONES_MAX already. */
MUST_CHECK err_t store_tombstone(struct store *s, const struct tombstone_spec *t) MAY_YIELD;

/* -- a deletion that other nodes make, too (cluster/deletions.h) ---------------------------------------------- */
struct delete_entry;
struct delete_joint {
    const struct tombstone_spec *tombs;
    uint32_t ntombs;
    struct delete_entry *entry; /* as of store_delete_begin, below */
    /* One more record, in the arena: `covered` is what is covered by that which the deletion covers, not a name less or more. It must
     * not yield. */
    err_t (*record)(void *ctx, const struct delete_entry *entry, const struct cover *covered, struct arena *a, struct kv_op *out);
    void *ctx;
};
/* Seals, then writes the tombstones, the deletion by marks and the record: all of them at one instant, or none. After an error that is
 * none of a limit they may be there all the same, until another one succeeds. */
MUST_CHECK err_t store_delete_joint(struct store *s, const struct delete_joint *d) MAY_YIELD;
/* How many deletions by marks are under way. Core 0. */
uint32_t store_deletes_open(const struct store *s);

/* -- marks ------------------------------------------------------------------------------------------------ */
struct dead_mark { /* of one row group */
    char name[40]; /* the segment's file */
    uint32_t group, nrows;
    struct str bytes; /* seg_dead_encode */
};
struct dead_marks { /* gathered on one core */
    struct arena *a;
    struct dead_mark *items; /* finished ones */
    uint32_t n;
    size_t cap, bytes;
    struct dead_mark now;    /* the group that is being marked; nrows 0 = none */
    uint32_t *rows, nnow;
    size_t rows_cap;
};
void dead_marks_init(struct dead_marks *m, struct arena *a);
/* rows[0..n) of a group, each at most once; groups one after another. */
MUST_CHECK err_t dead_marks_add(struct dead_marks *m, const char name[40], uint32_t group, uint32_t nrows, const uint32_t *rows, uint32_t n);
MUST_CHECK err_t dead_marks_end(struct dead_marks *m);
/* The same of rows of the current rowset, of a scan with upto_generation. */
MUST_CHECK err_t rowset_mark(const struct rowset *rs, const uint32_t *rows, uint32_t n, struct dead_marks *to);

struct delete_counts {
    uint64_t rows;  /* that were alive before */
    uint32_t stale; /* marks of segments that are gone: merged since, or dropped; their rows are to be looked for again */
};
/* Adds to *counts. ERR_LIMIT: the marks of all segments would take more than DEAD_BYTES_MAX. */
MUST_CHECK err_t store_delete_rows(struct store *s, const struct dead_marks *m, struct delete_counts *counts) MAY_YIELD;

/* -- deletions under way, kept in the catalog ----------------------------------------------------------------- */
struct delete_entry {
    uint64_t id, generation; /* ids ascend from 1 */
    struct str tenant;
    enum signal signal;
    bool done;
    struct str doc; /* the driver's own */
};
/* Given tenant, signal and doc, sets id and generation. ERR_LIMIT: DELETES_OPEN_MAX are under way. */
MUST_CHECK err_t store_delete_begin(struct store *s, struct delete_entry *e) MAY_YIELD;
/* Replaces the document; once done it stays so. The oldest that are done are forgotten past DELETES_KEPT_MAX. */
MUST_CHECK err_t store_delete_update(struct store *s, const struct delete_entry *e) MAY_YIELD;
/* True also for one that is not known (any more). */
MUST_CHECK err_t store_delete_done(struct store *s, uint64_t id, bool *done) MAY_YIELD;
/* Oldest first. */
MUST_CHECK err_t store_delete_list(struct store *s, struct arena *a, struct delete_entry **out, uint32_t *n) MAY_YIELD;

#endif
