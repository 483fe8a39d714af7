/* SWIM with sockets: datagrams on the gossip port, pushes and pulls of all claims over TCP on the same port number, seeds by
 * address or by name. For the reactor that opens it, all of it. What is said and when: cluster/swim.h; how it looks: cluster/swim_wire.h.
 *
 * Seeds are "host[:port],..."; an address of IPv6 stands in brackets when a port follows; without one it is our own. All addresses of a name are seeds;
 * names are asked again every 5 s while nobody answers, and every minute after. That nobody answers is logged, and is no error: a
 * node that is the first one, or whose peers are not up yet, waits for them like this.
 *
 * A node that may not talk to a peer (label, key, number of partitions, version, an older life of the same id) is told so, and both log it:
 * once a minute for an address and a reason.
 *
 * Bounds: STREAMS_IN_MAX pushes and pulls at a time come in, STREAMS_OUT_MAX go out, of SWIM_FRAME_MAX bytes and 10 s each; past
 * them they are refused and counted. */
#ifndef CLUSTER_SWIM_IO_H
#define CLUSTER_SWIM_IO_H

#include "cluster/swim.h"

struct swim_io;

/* Strings and arrays are copied. */
struct swim_io_opts {
    node_id self;
    uint64_t generation;           /* the store's epoch */
    const char *label;             /* of the cluster; shorter than SWIM_LABEL_MAX */
    struct member_meta meta;       /* gossip.n == 0: bind and port, when bind is one address */
    const char *bind;
    uint16_t port;                 /* 0: any, see swim_io_port */
    const char *seeds;             /* may be NULL */
    struct swim_keys keys;         /* n = 0: packets are plain */
    uint8_t version_least, version_most; /* as in struct swim_seal */
    struct swim_times times;       /* probe_ns = 0: swim_times_lan */
    const struct member *known;    /* of an earlier life: their addresses are tried as seeds are */
    uint32_t nknown;
    /* From the reactor's loop: must not yield, and must not close. `now` is lent for the call, members_get keeps it. */
    void (*on_change)(void *ctx, struct members *now);
    /* Another process has our id and is the later one: this one must end. Once. `why` is lent for the call. */
    void (*on_superseded)(void *ctx, const char *why);
    void *ctx;
};

/* ERR_INVALID names what of the options cannot be; ERR_IO: the port is taken, ... */
MUST_CHECK err_t swim_io_open(const struct swim_io_opts *o, struct swim_io **out);
uint16_t swim_io_port(const struct swim_io *io);
/* What we say of ourselves changed; the gossip address does not. */
MUST_CHECK err_t swim_io_meta(struct swim_io *io, const struct member_meta *m);
/* From now on; see swim_wire.h for the order in which keys are changed. */
void swim_io_keys(struct swim_io *io, const struct swim_keys *keys);
/* Tells others that we go, for under a second; then close. */
void swim_io_leave(struct swim_io *io) MAY_YIELD;
/* ERR_NOT_FOUND, ERR_INVALID: it is neither dead nor left. */
MUST_CHECK err_t swim_io_forget(struct swim_io *io, node_id id);
/* Lent until the next yield; members_get keeps it. */
struct members *swim_io_members(struct swim_io *io);
/* No callback comes after it. */
void swim_io_close(struct swim_io *io) MAY_YIELD;

#endif
