/* Reads of a bucket that may not answer. All that a core reads of segments goes through its gate; what is known of the bucket is
 * shared by the gates of all cores.
 *
 *   open   reads go out, at most object_store.reads of them at once, each tried OBJECT_READ_TRIES times
 *   shut   a read has failed in a way that the next one would too (no answer, 5xx, refused keys; not: this object is not
 *          there): reads fail at once, on every core, with what was said. A probe, one fiber, reads a byte of that object after
 *          GATE_PROBE_MS, then after twice as long, at most GATE_PROBE_MAX_MS; the first answer opens the gates
 *
 * So who needs the bucket while it is down waits for one time limit, once, and whoever comes later for none. */
#ifndef STORAGE_OBJECT_GATE_H
#define STORAGE_OBJECT_GATE_H

#include "storage/object.h"

#include <pthread.h>
#include <stdatomic.h>

enum { GATE_PROBE_MS = 1000, GATE_PROBE_MAX_MS = 30000, GATE_NO_TRY_AFTER_MS = 5000 /* since the first of a read */ };

struct object_away { /* shared */
    pthread_mutex_t lock;
    _Atomic bool shut;
    err_t code;                /* what shut it */
    char why[ERR_DETAIL_MAX];
};
void object_away_init(struct object_away *a);
void object_away_deinit(struct object_away *a);

struct object_gate { /* of a core */
    struct object_retry retry;
    struct object_away *all;
    struct sem reads;
    struct scope scope; /* of the probe */
    bool probing;       /* this core does */
    uint64_t failures;  /* reads that failed for the bucket's or the object's sake */
    char name[OBJECT_NAME_MAX + 1]; /* of the object that is probed */
};
/* The store and `all` are borrowed. */
void object_gate_init(struct object_gate *g, struct object_store *store, struct object_away *all);
void object_gate_deinit(struct object_gate *g) MAY_YIELD; /* waits for a probe that is on its way */
/* As object_get_range. */
MUST_CHECK err_t object_gate_read(struct object_gate *g, struct str name, uint64_t off, size_t n, void *to, size_t *got) MAY_YIELD;

#endif
