/* The inside of swim_io.c and swim_stream.c, for the two of them only. */
#ifndef CLUSTER_SWIM_IO_IN_H
#define CLUSTER_SWIM_IO_IN_H

#include "base/core/assert.h"
#include "base/rt/sock.h"
#include "cluster/swim_io.h"

#include <openssl/crypto.h>

enum { STREAMS_IN_MAX = 16, STREAMS_OUT_MAX = 4, LOGGED_MAX = 64 };

struct seed_name {
    char host[256];
    uint16_t port;
};
struct logged {
    uint64_t what;
    int64_t at;
};

struct swim_stream;
struct swim_io {
    struct swim *swim;
    struct swim_seal seal;
    struct swim_head head;     /* of our packets; the counter is of the last one */
    struct dgram *dgram;
    struct sock_listener *listener;
    struct timer timer;
    struct scope scope;        /* of the fiber that asks for seeds */
    struct swim_stream *streams;
    uint32_t streams_in, streams_out;
    struct gate streams_gate;
    struct seed_name *names;
    struct io_addr *known;
    uint32_t nnames, nknown;
    char *seeds_text;
    struct members *told;      /* the last snapshot that on_change got */
    struct swim_counts counted;
    struct logged logged[LOGGED_MAX];
    int64_t alone_since, refusals_at;
    uint32_t refusals;
    bool sync_due, superseded; /* for swim_io_after */
    struct io_addr sync_with;
    struct member superseded_by;
    void (*on_change)(void *ctx, struct members *now);
    void (*on_superseded)(void *ctx, const char *why);
    void *ctx;
};

/* swim_io.c */
void swim_io_after(struct swim_io *io); /* what a call of swim.c left to do */
size_t swim_io_seal(struct swim_io *io, const uint8_t *body, size_t n, uint8_t *to);
void swim_io_refused(struct swim_io *io, const struct io_addr *peer, enum swim_refusal why, bool told);
/* True: it was a refusal, and is logged. */
bool swim_io_told(struct swim_io *io, const struct io_addr *from, const struct swim_head *h, const uint8_t *body, size_t n);

/* swim_stream.c */
void swim_stream_start(struct swim_io *io, const struct io_addr *with);
void swim_stream_accept(struct sock *s, void *ctx);
void swim_streams_abort(struct swim_io *io) MAY_YIELD; /* returns when all are gone */

#endif
