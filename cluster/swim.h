/* Who is there: SWIM (Das, Gupta, Motivala, 2002) with Lifeguard (Dadgar, Phillips, Currey, 2017), as a pure step function: time,
 * packets and a seed come in, packets and changes go out. cluster/swim_io.h gives it sockets, cluster/swim_wire.h says how its
 * words look; who is asked what is decided here alone.
 *
 * A claim is what is said of a node: its id, incarnation, state, and what it says of itself. Of two claims about an id the greater one
 * counts, by (generation, gossip address, version, state), with alive < suspect < dead < left < forgotten. So the order in
 * which claims come does not matter, nor how often they come. Only the node itself makes a new incarnation: the generation
 * is the epoch of its store, raised at every start; the version is raised to refute what others say, and to change what it says of itself.
 *
 *                   no answer, or told so           time is over, or told so
 *        ALIVE ----------------------------> SUSPECT ----------------------> DEAD --- 72 h, or a person ---> FORGOTTEN
 *          ^  ^                                 |                             |      (LEFT too)                  |
 *          |  +---- a greater incarnation ------+-----------------------------+----------------------------------+
 *          +-- LEFT <-- its own word, from any of these                                        72 h: no memory of it
 *
 * Every `probe_ns` a node pings one member, a shuffled round of all live ones after the other. No ack in `timeout_ns`: it asks
 * `indirect` others to ping for it. None at the end of the period: the member is suspect. A suspect is dead after
 *     min = suspicion * max(1, log10(N + 1)) * probe_ns,   max = suspicion_most * min
 *     max - (max - min) * log(c + 1) / log(k + 1)
 * where c of the k = suspicion - 2 confirmations that were hoped for came from others whose own probe failed as well; with too few members
 * to confirm k is 0 and the time min. News travels in every packet, and every `gossip_ns` in packets of its own to `fanout` live members, each
 * piece retransmit * ceil(log10(N + 1)) times, the least told first. `sync_ns`: one random member gets all claims over a stream and sends
 * all of its own, more rarely the more members there are above 32.
 *
 * Of Lifeguard: a node's own health (0 to 7) stretches its period and its timeouts by 1 + health: up when a probe fails without the nacks that its
 * helpers owe it, when it has to refute, when it slept; down with every ack. Nacks; times of suspicion by confirmations; a ping
 * or an ack to a member that we hold suspect says so first ("buddy").
 *
 * Where this departs from the papers and from memberlist's LAN settings, whose numbers it has otherwise, and why:
 *  1. Identity is the node id and not a name or an address, the incarnation has a generation (as in Tarantool): a process that starts again
 *     is another life of the same member, at once, and an old copy of a data directory cannot speak for it. Two processes of one id: the
 *     lower generation is told, and ends by `superseded`. A known generation never goes back. Of one generation (a copy of a data
 *     directory, made before the last start) the one that members know alive stays: whoever knows it, or is it, refuses the other
 *     one's packets (SWIM_TWICE), which ends when it was refused and TWICE_NS later nobody has taken it. Where members took both,
 *     having met neither before, the greater address counts.
 *  2. Time stands still while the node does: a step that comes over 250 ms late moves every deadline by the lateness. A process that was
 *     stopped for 20 s would find all its timers due and bury everybody before it read a packet.
 *  3. A ping and an ack carry `SWIM_FILL` claims of other members in turn beside the news (anti-entropy of Tarantool): what was lost
 *     with the packets that carried it comes all the same, without the stream.
 *  4. A claim of a death that is not news (from anti-entropy or a sync) makes a live member suspect and not dead (memberlist does it for
 *     syncs): after a split each side holds the other dead, and would be told so of its own neighbours.
 *  5. The dead are pinged as well: one a second, up to 4 with many of them. A split heals by itself within a few periods, whatever the
 *     seeds are; memberlist gossips to the dead for 30 s only. A member that comes back is synced with.
 *  6. Up to SWIM_FEW others are probed twice a period, as long as they answer: a round of four is over in 2 s, and a dead one of five is
 *     known to all after 5.5 s (median) and 6.6 s (p99), not after 6.1 and 8.5.
 *  7. No probe over TCP as memberlist's last resort: RPC has its own time limits, and membership is about the datagrams that come.
 *  8. The dead are remembered for `forget_ns`, 72 h: what they hold counts when the completeness of answers is told. A person may forget
 *     one earlier. Forgetting is a claim too, so that a node that did not hear of it does not bring the dead back.
 *  9. What a node says of what it holds (cover_hash) becomes a new version at most once in max(1 s, N * 50 ms), so that the sum over all
 *     nodes is bounded by 20 a second; all else that it says, at once.
 *
 * Bounds: SWIM_MEMBERS_MAX members, remembered ones included; SWIM_RELAYS_MAX pings for others; SWIM_SEEDS_MAX seeds; refusals are answered 10 times a
 * second. What is past a bound is counted and not done. Memory a member: about 500 bytes. */
#ifndef CLUSTER_SWIM_H
#define CLUSTER_SWIM_H

#include "base/core/buf.h"
#include "cluster/swim_wire.h"

enum { SWIM_MEMBERS_MAX = 4096, SWIM_SEEDS_MAX = 64, SWIM_RELAYS_MAX = 64, SWIM_FILL = 4, SWIM_FEW = 8,
    SWIM_HEALTH_MAX = 7 };

struct swim_times {
    int64_t probe_ns, timeout_ns, gossip_ns, sync_ns, forget_ns;
    uint32_t indirect, fanout, suspicion, suspicion_most, retransmit;
};
/* 1 s, 500 ms, 200 ms, 30 s, 72 h; 3, 3, 4, 6, 4 */
extern const struct swim_times swim_times_lan;

/* Calls out of a step. They must not call back into the same swim. */
struct swim_ops {
    /* A body to be sealed and sent as a datagram; borrowed. */
    void (*send)(void *ctx, const struct io_addr *to, const uint8_t *body, size_t n);
    /* All claims are to be exchanged with a member. */
    void (*sync)(void *ctx, const struct io_addr *with);
    /* A packet was refused, by us or (told) by the peer. */
    void (*refused)(void *ctx, const struct io_addr *peer, enum swim_refusal why, bool told);
    /* Another process has our id, and a greater generation, or the same and is known to members, or has a greater address: stop. Once. */
    void (*superseded)(void *ctx, const struct member *by);
};

struct swim_opts {
    node_id self;
    uint64_t generation, salt, seed;
    struct member_meta meta;
    struct swim_times times;
    const struct swim_ops *ops;
    void *ctx;
};

/* What happened, for metrics and tests; they only grow. */
struct swim_counts {
    uint64_t probes, probes_failed, suspicions, deaths, refutations, pauses, malformed, replayed, refused, full, relays_refused;
};

struct swim;
/* ERR_INVALID: what the node says of itself cannot be said (names with blanks, no address, no id). */
MUST_CHECK err_t swim_new(const struct swim_opts *o, mono_ns now, struct swim **out);
void swim_free(struct swim *s);

/* Does what is due, and says when it wants to be called again at the latest. */
mono_ns swim_step(struct swim *s, mono_ns now);
/* A packet that was opened: its head and body. True: it was taken (of a state: an answer in kind is due). */
bool swim_receive(struct swim *s, mono_ns now, const struct io_addr *from, const struct swim_head *h, const uint8_t *body, size_t n);
/* The body of a state message, at the end of `out`. */
void swim_state(struct swim *s, struct buf *out);

/* An address where a member may be; pinged until a member of that address is alive. Past SWIM_SEEDS_MAX they are not looked at. */
void swim_seed(struct swim *s, const struct io_addr *addr);
/* Drops the seeds. */
void swim_seeds_clear(struct swim *s);

/* What we say of ourselves; the gossip address stays what it was. ERR_INVALID as swim_new. */
MUST_CHECK err_t swim_meta(struct swim *s, mono_ns now, const struct member_meta *m);
/* Tells some at once that we go. We answer, but refute no more. */
void swim_leave(struct swim *s, mono_ns now);
/* ERR_NOT_FOUND, ERR_INVALID: it is neither dead nor left. */
MUST_CHECK err_t swim_forget(struct swim *s, mono_ns now, node_id id);

/* A snapshot, lent until the next call of a function of this file; the same one while nothing changes. */
struct members *swim_members(struct swim *s);
const struct swim_counts *swim_counts(const struct swim *s);
uint32_t swim_health(const struct swim *s);      /* 0 well .. SWIM_HEALTH_MAX */
uint32_t swim_live_others(const struct swim *s); /* alive or suspect, without us */

#endif
