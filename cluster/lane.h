/* The way of replicated requests from one core to one other node. Requests that nobody waits for gather, and go together in one call: the
 * receiver syncs them as one group, and both sides have the work of one call.
 *
 *   lane_put --a hurry, or LANE_FULL bytes have gathered--> a call, as soon as fewer than LANE_CALLS are under way
 *            --none--> at the next one that hurries, at lane_hurry, after LANE_WAIT_MS at the latest
 *
 * While LANE_CALLS are under way what comes gathers, hurry or not: the receiver's log has its next group waiting already. They are sent in
 * the order in which they came, all that wait at once.
 *
 * A call has (u32 length, bytes)*, at most LANE_REQUESTS; its answer is empty when all are well, else it has for each u8 err_t, and
 * v length, detail. */
#ifndef CLUSTER_LANE_H
#define CLUSTER_LANE_H

#include "base/core/buf.h"
#include "base/core/bytes_in.h"
#include "base/rt/rt.h"

struct cluster;
struct peer;

enum {
    LANE_WAIT_MS = 10,
    LANE_CALLS = 2,
    LANE_REQUESTS = 128,       /* in a call */
    LANE_FULL = 128 << 10,     /* bytes that are worth a call of their own */
    LANE_CALL_BYTES = 1 << 20, /* in a call, unless the first request has more */
    LANE_DETAIL_MAX = 200,
};

struct lane_item { /* one on its way; its owner's */
    struct lane_item *next;
    struct str bytes; /* as in a call, its length before it */
    mono_ns since;
    /* Once; err_detail() is of e. The item is the owner's again. */
    void (*done)(struct lane_item *it, err_t e);
};

struct lane {
    struct cluster *c;
    struct peer *peer;
    struct lane_item *head, **tail;
    size_t bytes;      /* that wait */
    uint32_t calls;    /* under way */
    bool hurry, closed;
    bool gathers;      /* what waits has no hurry; `due` is armed */
    struct timer due;
};
void lane_init(struct lane *l, struct cluster *c, struct peer *peer);
/* Takes the item until done, which may be called at once. The peer is held by the caller until then. */
void lane_put(struct lane *l, struct lane_item *it, bool hurry);
void lane_hurry(struct lane *l); /* what waits goes now */
bool lane_idle(const struct lane *l);
/* What waits fails with ERR_CANCELED, and all that come. */
void lane_close(struct lane *l);

/* -- bytes -------------------------------------------------------------------------------------------------- */
/* Before the bytes of a request: room for its length, which is written when they are there. */
size_t lane_begin(struct buf *out);
void lane_end(struct buf *out, size_t begin);
/* The requests of a call; ERR_CORRUPT: none, more than LANE_REQUESTS, or cut. */
MUST_CHECK err_t lane_requests(struct str body, struct str out[LANE_REQUESTS], uint32_t *n);
void lane_result_put(err_t e, const char *detail, struct buf *out);
/* The next result, its detail in the error record. ERR_CORRUPT with in->bad: there is none. */
err_t lane_result_get(struct bytes_in *in);

#endif
