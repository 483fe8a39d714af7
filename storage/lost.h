/* What of the stored data cannot be read, for as long as the catalog names it: a segment whose file is missing, cut short,
 * rotten in its directory or of another version, or a group of one whose bytes fail their checksums.
 *
 * Nothing of it stops the node. It is logged with what to do, counted (tercet_segments_lost), told by /readyz and the
 * UI, and a view that overlaps it marks its query's answer as incomplete. Files stay where they are: maintenance
 * (store_lost.c) looks for them again after 1 s, then ever later up to every minute, so that a file that was put back is read
 * again without a restart. What another node has comes from there (mend.h).
 *
 * A file that is gone or rotten in its directory while cores have it open is read on until the node stops (LOST_FILE), and look-ups that need
 * a rotten page of an index fail (LOST_INDEX): both are told of and mended likewise, and no answer is marked for them.
 *
 * The list is the store's, read by every core: a mutex guards it, never held over a yield. */
#ifndef STORAGE_LOST_H
#define STORAGE_LOST_H

#include "base/core/types.h"
#include "storage/seg.h"

#include <pthread.h>
#include <stdatomic.h>

struct view;
enum { LOST_WHOLE = UINT32_MAX, LOST_FILE = UINT32_MAX - 1, LOST_INDEX = UINT32_MAX - 2 };
struct lost_part {
    struct seg_info info;
    uint32_t group;       /* or LOST_WHOLE: the segment, LOST_FILE, LOST_INDEX */
    enum signal signal;   /* of the group */
    struct str tenant;    /* of the group; the list owns a copy of it and of why */
    char *why;
};
struct lost {
    pthread_mutex_t lock;
    struct lost_part *parts;
    uint32_t n, cap;
    _Atomic uint32_t all;         /* parts */
    uint32_t next, looked;        /* of maintenance: where it goes on, how long it waits, until when */
    int64_t wait_ms;
    mono_ns again_at;
};
void lost_init(struct lost *l);
void lost_deinit(struct lost *l);
/* Several cores may come upon one: false when it is known. Copies p. */
bool lost_add(struct lost *l, const struct lost_part *p);
void lost_forget(struct lost *l, const struct seg_info *i); /* the segment and its groups */
void lost_found(struct lost *l, const struct seg_info *i, uint32_t group); /* a group of it is well again */
bool lost_any(struct lost *l, const struct seg_info *i); /* the segment, or a group of it */
bool lost_is(struct lost *l, const struct seg_info *i, uint32_t group); /* a group of it */
bool lost_in_stream(struct lost *l, uint64_t stream);
/* Segments of a stream of which something is lost, each once, into the arena: LOST_LIST_MAX of them at most. */
enum { LOST_LIST_MAX = 256 };
void lost_of_stream(struct lost *l, uint64_t stream, struct arena *a, struct seg_info **out, uint32_t *n);
/* Those with a part of that kind (LOST_FILE, ...). */
void lost_of_kind(struct lost *l, uint32_t kind, struct arena *a, struct seg_info **out, uint32_t *n);
/* Streams of which something is lost, ascending, into the arena. */
void lost_streams(struct lost *l, struct arena *a, uint64_t **out, uint32_t *n);
/* Does the part take rows from answers? */
static inline bool lost_takes_rows(const struct lost_part *p)
{
    return p->group != LOST_FILE && p->group != LOST_INDEX;
}
/* Is something missing that a read of this signal and time through the view would look at? */
bool lost_overlaps(const struct view *v, enum signal signal, int64_t tmin_ns, int64_t tmax_ns);

static inline bool seg_same(const struct seg_info *a, const struct seg_info *b)
{
    return memcmp(a->name, b->name, sizeof a->name) == 0;
}

#endif
