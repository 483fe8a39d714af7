/* Probes, gossip and the packets of both; swim.h explains. A packet begins with the claim of its sender about itself: whoever
 * gets it knows an address for the answer, and whether the two may talk at all. */
#include "base/core/buf.h"
#include "cluster/swim_in.h"

enum { DEAD_A_PING = 16, DEAD_PINGS_MAX = 4, SYNC_ALL_UP_TO = 32 };
#define LATE_NS (250 * NS_PER_MS)
#define SEEDS_IN_COMPANY_NS (5 * NS_PER_S)
#define TWICE_NS (2 * NS_PER_S) /* for somebody who knows us and not the other one */

/* The clock while awake; see 2. of swim.h. */
int64_t swim_awake(struct swim *s, mono_ns now)
{
    s->real = now;
    if (now.ns > s->due.ns + LATE_NS) {
        s->lost += now.ns - s->due.ns;
        s->counts.pauses++;
        if (now.ns - s->due.ns > s->o.times.probe_ns) swim_health_by(s, 1);
        s->due = now;
    }
    return now.ns - s->lost;
}

/* -- packets --------------------------------------------------------------------------------------------------- */
struct packet {
    size_t n;
    uint8_t bytes[SWIM_BODY_MAX];
};

static size_t claim_of(const struct peer *p, uint8_t *to)
{
    struct swim_claim c = { .m = p->m, .news = p->fresh, .naccusers = p->naccusers };
    memcpy(c.accusers, p->accusers, sizeof c.accusers);
    return swim_claim_put(to, &c);
}

/* False: no room. Twice in a packet is once. */
static bool put(struct swim *s, struct packet *k, struct peer *p)
{
    uint8_t claim[SWIM_CLAIM_MAX];
    if (p->packet == s->packet) return true;
    size_t n = claim_of(p, claim);
    if (k->n + n > sizeof k->bytes) return false;
    memcpy(k->bytes + k->n, claim, n);
    k->n += n;
    p->packet = s->packet;
    p->sends++;
    return true;
}

static void packet_start(struct swim *s, struct packet *k, const struct swim_message *m)
{
    s->packet++;
    k->n = swim_message_put(k->bytes, m);
    (void)put(s, k, s->self);
}

/* The least told first; what was told often enough is news no more. */
static void put_news(struct swim *s, struct packet *k)
{
    uint32_t most = s->o.times.retransmit * swim_digits(s->n);
    bool room = true;
    for (uint32_t level = 0; level < most && room; level++) {
        for (uint32_t i = 0; i < s->nnews && room; i++) {
            struct peer *p = s->news[i];
            if (p->sends != level || p->packet == s->packet) continue; /* put: told once by this packet */
            room = put(s, k, p);
        }
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->nnews; i++) {
        struct peer *p = s->news[i];
        p->is_news = p->sends < most;
        if (p->is_news) s->news[kept++] = p;
    }
    s->nnews = kept;
}

static void put_fill(struct swim *s, struct packet *k)
{
    for (uint32_t i = 0; i < MIN((uint32_t)SWIM_FILL, s->n); i++) {
        s->fill_at = (s->fill_at + 1) % s->n;
        if (!put(s, k, s->v[s->fill_at])) return;
    }
}

/* `about` is told first, or NULL. */
static void send(struct swim *s, const struct io_addr *to, const struct swim_message *m, struct peer *about)
{
    struct packet k;
    packet_start(s, &k, m);
    if (about) (void)put(s, &k, about);
    if (m->kind != SWIM_REFUSED) put_news(s, &k);
    if (m->kind == SWIM_PING || m->kind == SWIM_ACK) put_fill(s, &k);
    s->o.ops->send(s->o.ctx, to, k.bytes, k.n);
}

/* What the receiver should hear of itself: that it is not thought to be alive. */
static struct peer *buddy(struct swim *s, node_id id)
{
    struct peer *p = swim_find(s, id);
    return p && p != s->self && p->m.state != MEMBER_ALIVE ? p : NULL;
}

static void ping(struct swim *s, const struct io_addr *to, node_id target, uint64_t seq)
{
    struct swim_message m = { .kind = SWIM_PING, .seq = seq, .target = target };
    send(s, to, &m, buddy(s, target));
}

void swim_state(struct swim *s, struct buf *out)
{
    uint8_t bytes[MAX(SWIM_CLAIM_MAX, SWIM_MESSAGE_MAX)];
    buf_put(out, bytes, swim_message_put(bytes, &(struct swim_message){ .kind = SWIM_STATE }));
    buf_put(out, bytes, claim_of(s->self, bytes));
    for (uint32_t i = 0; i < s->n; i++)
        if (s->v[i] != s->self) buf_put(out, bytes, claim_of(s->v[i], bytes));
}

/* -- whom to talk to ----------------------------------------------------------------------------------------------- */
/* Up to n others that are live, not `but`, no two alike: each the first one behind a random place. */
static uint32_t some_live(struct swim *s, node_id but, uint32_t n, struct peer **to)
{
    uint32_t found = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t from = (uint32_t)prng_below(&s->random, s->n);
        for (uint32_t i = 0; i < s->n; i++) {
            struct peer *p = s->v[(from + i) % s->n];
            bool again = p == s->self || !peer_is_live(p) || p->m.id.u == but.u;
            for (uint32_t j = 0; j < found; j++)
                again |= to[j] == p;
            if (again) continue;
            to[found++] = p;
            break;
        }
    }
    return found;
}

enum { SOME_MAX = 16 };

void swim_gossip(struct swim *s)
{
    struct peer *to[SOME_MAX];
    struct swim_message m = { .kind = SWIM_GOSSIP };
    if (!s->nnews) return;
    uint32_t n = some_live(s, (node_id){ 0 }, MIN(s->o.times.fanout, (uint32_t)SOME_MAX), to);
    for (uint32_t i = 0; i < n && s->nnews; i++)
        send(s, &to[i]->m.meta.gossip, &m, NULL);
}

/* The next of the round; NULL: nobody is there. */
static struct peer *next_of_round(struct swim *s)
{
    for (uint32_t looked = 0; looked < 2 * s->norder; looked++) {
        if (s->at == s->norder) {
            for (uint32_t i = s->norder; i > 1; i--) {
                uint32_t j = (uint32_t)prng_below(&s->random, i);
                struct peer *p = s->order[j];
                s->order[j] = s->order[i - 1];
                s->order[i - 1] = p;
            }
            s->at = 0;
        }
        struct peer *p = s->order[s->at++];
        if (peer_is_live(p)) return p;
    }
    return NULL;
}

/* -- probes ----------------------------------------------------------------------------------------------------------- */
static void probe_start(struct swim *s, int64_t t)
{
    struct peer *p = next_of_round(s);
    int64_t stretch = 1 + s->health, period = stretch * s->o.times.probe_ns;
    s->next_probe = t + (swim_live_others(s) <= SWIM_FEW ? period / 2 : period);
    if (!p) return;
    s->counts.probes++;
    s->probe = (struct probe){ .target = p->m.id, .seq = ++s->seq, .ask_at = t + stretch * s->o.times.timeout_ns, .end_at = t + period };
    ping(s, &p->m.meta.gossip, p->m.id, s->probe.seq);
}

static void probe_ask(struct swim *s)
{
    struct peer *helpers[SOME_MAX], *p = swim_find(s, s->probe.target);
    s->probe.asked = true;
    if (!p) return;
    struct swim_message m = { .kind = SWIM_PING_REQ, .seq = s->probe.seq, .target = p->m.id, .addr = p->m.meta.gossip };
    s->probe.helpers = some_live(s, p->m.id, MIN(s->o.times.indirect, (uint32_t)SOME_MAX), helpers);
    for (uint32_t i = 0; i < s->probe.helpers; i++)
        send(s, &helpers[i]->m.meta.gossip, &m, p->m.state == MEMBER_ALIVE ? NULL : p);
}

/* memberlist's measure of oneself: nacks that did not come either. */
static void probe_fail(struct swim *s, int64_t t)
{
    struct peer *p = swim_find(s, s->probe.target);
    uint32_t missing = s->probe.helpers - MIN(s->probe.nacks, s->probe.helpers);
    swim_health_by(s, s->probe.helpers ? (int)missing : 1);
    s->probe.target.u = 0;
    s->counts.probes_failed++;
    if (p && peer_is_live(p)) swim_accuse(s, t, p, s->o.self);
}

static int64_t probe_step(struct swim *s, int64_t t)
{
    if (s->probe.target.u && !s->probe.asked && t >= s->probe.ask_at) probe_ask(s);
    if (s->probe.target.u && t >= s->probe.end_at) probe_fail(s, t);
    if (!s->probe.target.u && t >= s->next_probe && !s->leaving) probe_start(s, t);
    if (!s->probe.target.u) return s->leaving ? INT64_MAX : s->next_probe;
    return s->probe.asked ? s->probe.end_at : s->probe.ask_at;
}

/* -- for others --------------------------------------------------------------------------------------------------------- */
static void relay_start(struct swim *s, int64_t t, const struct io_addr *from, const struct swim_message *m)
{
    if (s->nrelays == SWIM_RELAYS_MAX) {
        s->counts.relays_refused++;
        return;
    }
    struct relay *r = &s->relays[s->nrelays++];
    *r = (struct relay){ .seq = ++s->seq, .their_seq = m->seq, .target = m->target, .to = *from,
                         .nack_at = t + s->o.times.timeout_ns * 4 / 5, .until = t + s->o.times.probe_ns * (1 + SWIM_HEALTH_MAX) };
    ping(s, &m->addr, m->target, r->seq);
}

static void relay_answer(struct swim *s, const struct relay *r, enum swim_kind kind)
{
    struct swim_message m = { .kind = kind, .seq = r->their_seq, .target = r->target };
    send(s, &r->to, &m, NULL);
}

/* Nacks in time; an ack may come later. */
static int64_t relays_step(struct swim *s, int64_t t)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = s->nrelays; i-- > 0;) {
        struct relay *r = &s->relays[i];
        if (!r->nacked && t >= r->nack_at) {
            r->nacked = true;
            relay_answer(s, r, SWIM_NACK);
        }
        if (t >= r->until) *r = s->relays[--s->nrelays];
        else if (!r->nacked) next = MIN(next, r->nack_at);
    }
    return next;
}

static void on_ack(struct swim *s, const struct swim_message *m)
{
    if (s->probe.target.u && m->seq == s->probe.seq && m->target.u == s->probe.target.u) {
        s->probe.target.u = 0;
        swim_health_by(s, -1);
        return;
    }
    for (uint32_t i = 0; i < s->nrelays; i++) {
        struct relay *r = &s->relays[i];
        if (r->seq != m->seq || r->target.u != m->target.u) continue;
        relay_answer(s, r, SWIM_ACK);
        *r = s->relays[--s->nrelays];
        return;
    }
}

/* -- once a second --------------------------------------------------------------------------------------------------------- */
static void ping_dead(struct swim *s)
{
    uint32_t left = MIN(s->states[MEMBER_DEAD] / DEAD_A_PING + (s->states[MEMBER_DEAD] > 0), (uint32_t)DEAD_PINGS_MAX);
    for (uint32_t looked = 0; left && looked < s->n; looked++) {
        s->dead_at = (s->dead_at + 1) % s->n;
        struct peer *p = s->v[s->dead_at];
        if (p->m.state != MEMBER_DEAD) continue;
        ping(s, &p->m.meta.gossip, p->m.id, ++s->seq);
        left--;
    }
}

static bool is_met(const struct swim *s, const struct io_addr *a)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (peer_is_live(s->v[i]) && memcmp(&s->v[i]->m.meta.gossip, a, sizeof *a) == 0) return true;
    return false;
}

/* All of them while nobody is there; else one that is nobody's address now and then. */
static void ping_seeds(struct swim *s, int64_t t)
{
    bool alone = swim_live_others(s) == 0;
    if (!s->nseeds || (!alone && t < s->seeds_at)) return;
    s->seeds_at = t + SEEDS_IN_COMPANY_NS;
    for (uint32_t looked = 0; looked < s->nseeds; looked++) {
        s->seed_at = (s->seed_at + 1) % s->nseeds;
        const struct io_addr *a = &s->seeds[s->seed_at];
        if (is_met(s, a)) continue;
        ping(s, a, (node_id){ 0 }, ++s->seq);
        if (!alone) return;
    }
}

/* Of memberlist: the more there are, the more rarely, so that the sum of it grows as n log n. */
static int64_t sync_every(const struct swim *s)
{
    uint32_t scale = 1;
    for (uint32_t n = s->n; n > SYNC_ALL_UP_TO; n = (n + 1) / 2)
        scale++;
    return scale * s->o.times.sync_ns;
}

static void sync(struct swim *s, int64_t t)
{
    struct peer *p = s->sync_with.u ? swim_find(s, s->sync_with) : NULL;
    if (p && t < s->synced_at + NS_PER_S * (1 + s->n / 64)) return;
    if (!p && t < s->next_sync) return;
    if (!p) (void)some_live(s, (node_id){ 0 }, 1, &p);
    s->sync_with.u = 0;
    s->next_sync = t + sync_every(s);
    if (!p) return;
    s->synced_at = t;
    s->o.ops->sync(s->o.ctx, &p->m.meta.gossip);
}

static void second_step(struct swim *s, int64_t t)
{
    if (t < s->next_second) return;
    s->next_second = t + NS_PER_S;
    s->refusals_left = SWIM_REFUSALS_A_SECOND;
    if (s->leaving) return;
    if (s->twice_at && !s->taken && t - s->twice_at >= TWICE_NS) swim_superseded(s, &s->twice);
    ping_dead(s);
    ping_seeds(s, t);
    sync(s, t);
    swim_forget_old(s);
    if (s->meta_waits && t >= s->meta_at) {
        struct member_meta with = s->self->m.meta;
        with.cover_hash = s->meta_cover;
        if (swim_meta(s, s->real, &with) != OK) s->meta_waits = false;
    }
}

mono_ns swim_step(struct swim *s, mono_ns now)
{
    int64_t t = swim_awake(s, now);
    if (t >= s->next_gossip) {
        s->next_gossip = t + s->o.times.gossip_ns;
        swim_suspicions(s, t);
        swim_gossip(s);
    }
    int64_t next = MIN(probe_step(s, t), relays_step(s, t));
    second_step(s, t);
    next = MIN(next, s->next_gossip); /* the more frequent one */
    s->due = (mono_ns){ MAX(next, t) + s->lost };
    return s->due;
}

/* -- what comes ------------------------------------------------------------------------------------------------------------- */
static bool replayed(struct peer *p, const struct swim_head *h)
{
    if (p->life != h->generation || p->salt != h->salt) {
        p->life = h->generation;
        p->salt = h->salt;
        p->counter = h->counter;
        p->window = 1;
        return false;
    }
    if (h->counter > p->counter) {
        uint64_t by = h->counter - p->counter;
        p->window = by < SWIM_REPLAY_BITS ? p->window << by | 1 : 1;
        p->counter = h->counter;
        return false;
    }
    uint64_t back = p->counter - h->counter;
    if (back >= SWIM_REPLAY_BITS || p->window >> back & 1) return true;
    p->window |= UINT64_C(1) << back;
    return false;
}

static void refuse(struct swim *s, const struct io_addr *to, enum swim_refusal why, struct peer *about)
{
    s->counts.refused++;
    s->o.ops->refused(s->o.ctx, to, why, false);
    if (!s->refusals_left) return;
    s->refusals_left--;
    struct swim_message m = { .kind = SWIM_REFUSED, .reason = why, .generation = about ? about->m.generation : 0 };
    send(s, to, &m, about);
}

/* Who refuses us says why; if a later life of us is the reason, or another process, its claim is there too, the first or the second. */
static void on_refused(struct swim *s, int64_t t, const struct io_addr *from, const struct swim_message *m, struct swim_claim *c,
                       struct bytes_in *in)
{
    s->counts.refused++;
    s->o.ops->refused(s->o.ctx, from, m->reason, true);
    if (c->m.id.u != s->o.self.u && (!in->p || in->p == in->end || !swim_claim_get(in, c))) return;
    if (c->m.id.u != s->o.self.u) return;
    swim_take(s, t, c, c->m.id);
    if (m->reason != SWIM_TWICE || s->twice_at || !swim_is_twice(&c->m, &s->self->m)) return;
    s->twice = c->m;
    s->twice_at = t;
}

static void answer(struct swim *s, int64_t t, const struct io_addr *from, const struct swim_head *h, const struct swim_message *m)
{
    switch (m->kind) {
    case SWIM_PING:
        if (m->target.u && m->target.u != s->o.self.u) return; /* for who was here before us */
        send(s, from, &(struct swim_message){ .kind = SWIM_ACK, .seq = m->seq, .target = s->o.self }, buddy(s, h->sender));
        return;
    case SWIM_PING_REQ:
        relay_start(s, t, from, m);
        return;
    case SWIM_ACK:
        on_ack(s, m);
        return;
    case SWIM_NACK:
        if (s->probe.target.u && m->seq == s->probe.seq) s->probe.nacks++;
        return;
    default: /* claims were all of it */
        return;
    }
}

static bool malformed(struct swim *s, const struct io_addr *from)
{
    s->counts.malformed++;
    s->o.ops->refused(s->o.ctx, from, SWIM_MALFORMED, false);
    return false;
}

/* The sender says to be us. */
static void admit_double(struct swim *s, int64_t t, const struct io_addr *from, const struct swim_claim *c)
{
    if (s->taken && swim_is_twice(&c->m, &s->self->m)) refuse(s, from, SWIM_TWICE, s->self);
    else if (swim_incarnation_cmp(&c->m, &s->self->m) < 0) refuse(s, from, SWIM_SUPERSEDED, NULL);
    else swim_take(s, t, c, c->m.id);
}

/* May the sender, who says `c` of itself, talk to us? */
static bool admit(struct swim *s, int64_t t, const struct io_addr *from, const struct swim_head *h, const struct swim_claim *c)
{
    if (c->m.id.u == s->o.self.u) {
        bool ours = h->generation == s->o.generation && h->salt == s->o.salt;
        if (!ours) admit_double(s, t, from, c);
        return false;
    }
    if (c->m.meta.partitions != s->self->m.meta.partitions) {
        refuse(s, from, SWIM_OTHER_PARTITIONS, NULL);
        return false;
    }
    struct peer *p = swim_find(s, c->m.id);
    if (p && peer_is_live(p) && swim_is_twice(&c->m, &p->m)) {
        refuse(s, from, SWIM_TWICE, p);
        return false;
    }
    struct member known = p ? p->m : c->m;
    known.version = c->m.version; /* of the life alone */
    if (swim_incarnation_cmp(&c->m, &known) < 0) {
        refuse(s, from, SWIM_SUPERSEDED, p);
        return false;
    }
    return true;
}

bool swim_receive(struct swim *s, mono_ns now, const struct io_addr *from, const struct swim_head *h, const uint8_t *body, size_t n)
{
    struct bytes_in in = bytes_in_of(str_n(body, n));
    struct swim_message m;
    struct swim_claim c;
    int64_t t = swim_awake(s, now);
    if (!swim_message_get(&in, &m) || !swim_claim_get(&in, &c) || c.m.id.u != h->sender.u || c.m.generation != h->generation)
        return malformed(s, from);
    if (m.kind == SWIM_REFUSED) {
        on_refused(s, t, from, &m, &c, &in);
        return false;
    }
    /* A stream's other end is no place to send datagrams to. */
    const struct io_addr to = m.kind == SWIM_STATE ? c.m.meta.gossip : *from;
    if (!admit(s, t, &to, h, &c)) return false;
    struct peer *p = swim_find(s, h->sender);
    if (p && m.kind != SWIM_STATE && replayed(p, h)) {
        s->counts.replayed++;
        return false;
    }
    swim_take(s, t, &c, h->sender);
    bool bad = false;
    while (!bad && bytes_in_left(&in)) {
        bad = !swim_claim_get(&in, &c);
        if (!bad) swim_take(s, t, &c, h->sender);
    }
    if (bad) return malformed(s, from);
    s->taken = true;
    answer(s, t, from, h, &m);
    return true;
}
