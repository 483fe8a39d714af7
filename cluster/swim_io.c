/* See swim_io.h. Calls of swim.c are made by on_datagram, on_timer, streams (swim_stream.c) and the functions of the header; what they want done
 * beside sending, and what is to be told, is done after them, in swim_io_after. */
#include "cluster/swim_io.h"

#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "cluster/swim_io_in.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { REFUSALS_A_SECOND = 10, NAMES_MAX = 32, ANY_PORT_TRIES = 8 };
#define ASK_ALONE_NS (5 * NS_PER_S)
#define ASK_NS (60 * NS_PER_S)
#define ALONE_NS (10 * NS_PER_S)
#define LOG_AGAIN_NS (60 * NS_PER_S)

/* -- what is told ------------------------------------------------------------------------------------------------- */
/* Once in LOG_AGAIN_NS for an address and a reason; of two that share a place the later one is logged. */
static bool log_due(struct swim_io *io, const struct io_addr *a, unsigned reason)
{
    struct io_addr host = *a;
    ((struct sockaddr_in *)(void *)host.bytes)->sin_port = 0; /* streams come from any */
    uint64_t h = hash64_with(str_n(&host, sizeof host), reason);
    struct logged *l = &io->logged[h % ARRAY_LEN(io->logged)];
    if (l->what == h && rt_now().ns - l->at < LOG_AGAIN_NS) return false;
    *l = (struct logged){ h, rt_now().ns };
    return true;
}

void swim_io_refused(struct swim_io *io, const struct io_addr *peer, enum swim_refusal why, bool told)
{
    char name[IO_ADDR_NAME_MAX];
    metric_add(M_SWIM_REFUSED, 1);
    if (!log_due(io, peer, (unsigned)why * 2 + told)) return;
    io_addr_name(peer, name, sizeof name);
    if (told) log_warn("gossip.refused_by", "peer=%s says that our packet %s", name, swim_refusal_text(why));
    else log_warn("gossip.refused", "peer=%s its packet %s", name, swim_refusal_text(why));
}

static void tell_change(const struct member *was, const struct member *is)
{
    char name[IO_ADDR_NAME_MAX];
    const struct member *m = is ? is : was;
    io_addr_name(&m->meta.gossip, name, sizeof name);
#define SAY(level, event)                                                                                                  \
    LOG_AT(level, event, "id=%016llx peer=%s zone=%s version=%s generation=%llu", (unsigned long long)m->id.u, name, m->meta.zone, \
           m->meta.version, (unsigned long long)m->generation)
    if (!is) SAY(LOG_INFO, "member.forgotten");
    else if (!was && is->state == MEMBER_ALIVE) SAY(LOG_INFO, "member.joined");
    else if (was && was->generation != is->generation && member_is_live(is)) SAY(LOG_INFO, "member.restarted");
    else if (was && was->state == is->state) return;
    else if (is->state == MEMBER_SUSPECT) SAY(LOG_DEBUG, "member.suspect");
    else if (is->state == MEMBER_DEAD) SAY(LOG_WARN, "member.dead");
    else if (is->state == MEMBER_LEFT) SAY(LOG_INFO, "member.left");
    else SAY(LOG_INFO, "member.back");
#undef SAY
}

/* Both are ascending. */
static void tell_changes(const struct swim_io *io, const struct members *was, const struct members *is)
{
    uint32_t i = 0, j = 0, n = was ? was->n : 0;
    while (i < n || j < is->n) {
        const struct member *a = i < n ? &was->v[i] : NULL, *b = j < is->n ? &is->v[j] : NULL;
        if (a && b && a->id.u > b->id.u) a = NULL;
        if (a && b && b->id.u > a->id.u) b = NULL;
        i += a != NULL;
        j += b != NULL;
        if ((b ? b : a)->id.u != io->head.sender.u) tell_change(a, b);
    }
}

static void count(struct swim_io *io)
{
    const struct swim_counts *now = swim_counts(io->swim);
#define MORE(id, field) metric_add(id, (int64_t)(now->field - io->counted.field))
    MORE(M_SWIM_PROBES, probes);
    MORE(M_SWIM_PROBES_FAILED, probes_failed);
    MORE(M_SWIM_SUSPICIONS, suspicions);
    MORE(M_SWIM_DEATHS, deaths);
    MORE(M_SWIM_REFUTATIONS, refutations);
    MORE(M_SWIM_PAUSES, pauses);
    MORE(M_SWIM_REPLAYED, replayed);
    MORE(M_SWIM_FULL, full);
    MORE(M_SWIM_RELAYS_REFUSED, relays_refused);
#undef MORE
    io->counted = *now;
    metric_set(M_SWIM_HEALTH, swim_health(io->swim));
}

static void count_members(const struct members *m)
{
    int64_t n[MEMBER_STATES] = { 0 };
    for (uint32_t i = 0; i < m->n; i++)
        n[m->v[i].state]++;
    metric_set(M_SWIM_ALIVE, n[MEMBER_ALIVE]);
    metric_set(M_SWIM_SUSPECT, n[MEMBER_SUSPECT]);
    metric_set(M_SWIM_DEAD, n[MEMBER_DEAD]);
}

static void superseded(struct swim_io *io)
{
    char peer[IO_ADDR_NAME_MAX], why[256];
    io_addr_name(&io->superseded_by.meta.gossip, peer, sizeof peer);
    snprintf(why, sizeof why,
             "node id %016llx runs or ran at %s with generation %llu, ours is %llu: this data directory is an older copy, or runs twice",
             (unsigned long long)io->head.sender.u, peer, (unsigned long long)io->superseded_by.generation,
             (unsigned long long)io->head.generation);
    io->superseded = false;
    if (io->on_superseded) io->on_superseded(io->ctx, why);
    else log_error("gossip.superseded", "%s", why);
}

/* Sent is the newest version that all living members understand. */
static void choose_version(struct swim_io *io, const struct members *now)
{
    uint8_t v = swim_version_most(&io->seal);
    if (!swim_live_others(io->swim)) return;
    for (uint32_t i = 0; i < now->n; i++)
        if (member_is_live(&now->v[i])) v = MIN(v, now->v[i].meta.gossip_version);
    io->seal.version_sent = MAX(v, swim_version_least(&io->seal));
}

void swim_io_after(struct swim_io *io)
{
    struct members *now = swim_members(io->swim);
    if (io->sync_due) {
        io->sync_due = false;
        swim_stream_start(io, &io->sync_with);
    }
    if (io->superseded) superseded(io);
    if (now == io->told) return;
    tell_changes(io, io->told, now);
    count_members(now);
    choose_version(io, now);
    members_put(io->told);
    io->told = members_get(now);
    if (io->on_change) io->on_change(io->ctx, io->told);
}

/* -- packets ---------------------------------------------------------------------------------------------------------- */
static void send_packet(void *ctx, const struct io_addr *to, const uint8_t *body, size_t n)
{
    struct swim_io *io = ctx;
    uint8_t bytes[DGRAM_BYTES_MAX];
    size_t all = swim_io_seal(io, body, n, bytes);
    metric_add(M_SWIM_PACKETS_OUT, 1);
    metric_add(M_SWIM_BYTES_OUT, (int64_t)all);
    dgram_send(io->dgram, to, bytes, all);
}

size_t swim_io_seal(struct swim_io *io, const uint8_t *body, size_t n, uint8_t *to)
{
    io->head.counter++;
    return swim_seal_put(&io->seal, &io->head, body, n, to);
}

static void on_sync(void *ctx, const struct io_addr *with)
{
    struct swim_io *io = ctx;
    io->sync_due = true;
    io->sync_with = *with;
}

static void on_refused(void *ctx, const struct io_addr *peer, enum swim_refusal why, bool told)
{
    swim_io_refused(ctx, peer, why, told);
}

static void on_superseded(void *ctx, const struct member *by)
{
    struct swim_io *io = ctx;
    io->superseded = true;
    io->superseded_by = *by;
}

static const struct swim_ops ops = { send_packet, on_sync, on_refused, on_superseded };

/* Without a seal: it says that we have no common one. Garbage gets no answer, nor does more than a few a second. */
static void refuse(struct swim_io *io, const struct io_addr *to, enum swim_refusal why)
{
    uint8_t bytes[SWIM_HEAD_BYTES + 1];
    swim_io_refused(io, to, why, false);
    if (why == SWIM_MALFORMED) return;
    if (rt_now().ns - io->refusals_at >= NS_PER_S) {
        io->refusals_at = rt_now().ns;
        io->refusals = 0;
    }
    if (io->refusals++ < REFUSALS_A_SECOND) dgram_send(io->dgram, to, bytes, swim_refusal_put(&io->seal, &io->head, why, bytes));
}

bool swim_io_told(struct swim_io *io, const struct io_addr *from, const struct swim_head *h, const uint8_t *body, size_t n)
{
    if (!h->refusal) return false;
    if (n != 1 || body[0] <= SWIM_TAKEN || body[0] >= SWIM_REFUSALS) return true;
    bool other = body[0] == SWIM_OTHER_VERSION && swim_live_others(io->swim) == 0;
    if (other && h->version > io->seal.version_sent && h->version >= swim_version_least(&io->seal) && h->version <= swim_version_most(&io->seal)) {
        io->seal.version_sent = h->version; /* we know nobody, and this one wants a newer one that we speak */
        return true;
    }
    swim_io_refused(io, from, (enum swim_refusal)body[0], true);
    return true;
}

static void on_datagram(struct dgram *d, const struct io_addr *from, const uint8_t *bytes, size_t n)
{
    struct swim_io *io = dgram_user(d);
    uint8_t body[DGRAM_BYTES_MAX];
    struct swim_head h;
    size_t body_n = 0;
    metric_add(M_SWIM_PACKETS_IN, 1);
    metric_add(M_SWIM_BYTES_IN, (int64_t)n);
    if (n > DGRAM_BYTES_MAX) return;
    enum swim_refusal why = swim_seal_open(&io->seal, bytes, n, &h, body, &body_n);
    if (why != SWIM_TAKEN) {
        refuse(io, from, why);
        return;
    }
    if (swim_io_told(io, from, &h, body, body_n)) return;
    (void)swim_receive(io->swim, rt_now(), from, &h, body, body_n);
    swim_io_after(io);
}

static void on_timer(struct timer *timer)
{
    struct swim_io *io = CONTAINER_OF(timer, struct swim_io, timer);
    mono_ns now = rt_now(), next = swim_step(io->swim, now);
    bool waits = swim_live_others(io->swim) == 0 && (io->nnames || io->nknown);
    if (!waits) io->alone_since = now.ns;
    if (now.ns - io->alone_since >= ALONE_NS) {
        log_warn("gossip.alone", "seeds=%s no other member answers: are they up, is port %u open for UDP and TCP, are label and keys the same?",
                 io->seeds_text, dgram_port(io->dgram));
        io->alone_since = now.ns + LOG_AGAIN_NS - ALONE_NS;
    }
    count(io);
    timer_arm(&io->timer, next, on_timer);
    swim_io_after(io);
}

/* -- seeds --------------------------------------------------------------------------------------------------------------- */
/* One of "host", "host:port", "[address]:port", "address" into host and port. */
static err_t seed_split(struct str s, uint16_t port, struct seed_name *out)
{
    uint64_t number = port;
    struct str host = s;
    size_t colon = s.n;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == ':') colon = i;
    bool bracketed = s.n && s.p[0] == '[', many = str_chr(s, ':') < colon;
    if (bracketed) {
        size_t end = str_chr(s, ']');
        host = str_sub(s, 1, end);
        if (end == s.n || (end + 1 < s.n && colon != end + 1)) return err_set(ERR_INVALID, "seed '" STR_FMT "' is not host:port", STR_ARG(s));
        if (end + 1 == s.n) colon = s.n;
    } else if (many) {
        colon = s.n; /* IPv6 without a port */
    } else {
        host = str_sub(s, 0, colon);
    }
    if (colon < s.n && !str_to_u64(str_sub(s, colon + 1, s.n), &number)) number = 0;
    if (!host.n || host.n >= sizeof out->host || number == 0 || number > UINT16_MAX)
        return err_set(ERR_INVALID, "seed '" STR_FMT "' is not host:port", STR_ARG(s));
    *out = (struct seed_name){ .port = (uint16_t)number };
    memcpy(out->host, host.p, host.n);
    return OK;
}

static err_t seeds_parse(struct swim_io *io, const char *text)
{
    struct str rest = str_of(text), piece;
    io->names = calloc(NAMES_MAX, sizeof *io->names);
    ASSERT(io->names);
    while (str_cut(&rest, ',', &piece)) {
        piece = str_trim(piece);
        if (!piece.n) continue;
        if (io->nnames == NAMES_MAX) return err_set(ERR_INVALID, "more than %d seeds; one name may have many addresses", NAMES_MAX);
        TRY(seed_split(piece, dgram_port(io->dgram), &io->names[io->nnames]));
        io->nnames++;
    }
    return OK;
}

struct lookup {
    const struct seed_name *name;
    struct io_addr found[SWIM_SEEDS_MAX];
    uint32_t n;
    int error;
};

/* On a thread of the offload pool. */
static err_t look_up(void *arg)
{
    struct lookup *l = arg;
    char port[8];
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV }, *all = NULL;
    snprintf(port, sizeof port, "%u", l->name->port);
    l->error = getaddrinfo(l->name->host, port, &hints, &all);
    if (l->error) return OK;
    for (const struct addrinfo *a = all; a && l->n < ARRAY_LEN(l->found); a = a->ai_next) {
        struct io_addr *to = &l->found[l->n];
        if (a->ai_addrlen > sizeof to->bytes) continue;
        *to = (struct io_addr){ .n = a->ai_addrlen };
        memcpy(to->bytes, a->ai_addr, a->ai_addrlen);
        l->n++;
    }
    freeaddrinfo(all);
    return OK;
}

static err_t resolve(struct seed_name *name, struct lookup *l)
{
    *l = (struct lookup){ .name = name };
    if (io_addr_parse(name->host, name->port, &l->found[0]) == OK) {
        l->n = 1;
        return OK;
    }
    TRY(rt_offload(look_up, l));
    if (l->error)
        log_warn("gossip.seed", "host=%s cannot be resolved: %s", name->host, gai_strerror(l->error));
    return OK;
}

static void seeds_fiber(void *arg)
{
    struct swim_io *io = arg;
    struct lookup *l = calloc(NAMES_MAX, sizeof *l);
    ASSERT(l);
    for (err_t e = OK; e == OK;) {
        for (uint32_t i = 0; e == OK && i < io->nnames; i++)
            e = resolve(&io->names[i], &l[i]);
        if (e) break;
        swim_seeds_clear(io->swim);
        for (uint32_t i = 0; i < io->nnames; i++)
            for (uint32_t j = 0; j < l[i].n; j++)
                swim_seed(io->swim, &l[i].found[j]);
        for (uint32_t i = 0; i < io->nknown; i++)
            swim_seed(io->swim, &io->known[i]);
        e = fiber_sleep(swim_live_others(io->swim) ? ASK_NS : ASK_ALONE_NS);
    }
    free(l);
}

/* -- life ------------------------------------------------------------------------------------------------------------------ */
static void io_free(struct swim_io *io)
{
    members_put(io->told);
    if (io->swim) swim_free(io->swim);
    free(io->names);
    free(io->known);
    free(io->seeds_text);
    OPENSSL_cleanse(&io->seal, sizeof io->seal);
    free(io);
}

/* The address that others are told, when nobody gave one. */
static err_t own_address(struct swim_io *io, const struct swim_io_opts *o, struct member_meta *m)
{
    struct io_addr any4, any6, bound;
    uint16_t port = dgram_port(io->dgram);
    if (m->gossip.n) return OK;
    TRY(io_addr_parse(o->bind, port, &bound));
    TRY(io_addr_parse("0.0.0.0", port, &any4));
    TRY(io_addr_parse("::", port, &any6));
    if (memcmp(&bound, &any4, sizeof bound) == 0 || memcmp(&bound, &any6, sizeof bound) == 0)
        return err_set(ERR_INVALID, "gossip listens on all of this machine's addresses (%s): say which one other nodes reach it at", o->bind);
    m->gossip = bound;
    return OK;
}

static err_t prepare(struct swim_io *io, const struct swim_io_opts *o)
{
    if (strlen(o->label) >= SWIM_LABEL_MAX) return err_set(ERR_INVALID, "the cluster's label is longer than %d bytes", SWIM_LABEL_MAX - 1);
    snprintf(io->seal.label, sizeof io->seal.label, "%s", o->label);
    io->seal.keys = o->keys;
    io->seal.version_least = o->version_least;
    io->seal.version_most = o->version_most;
    io->head = (struct swim_head){ .sender = o->self, .generation = o->generation, .salt = rt_random() };
    io->on_change = o->on_change;
    io->on_superseded = o->on_superseded;
    io->ctx = o->ctx;
    io->alone_since = rt_now().ns;
    io->seeds_text = str_dup(str_of(o->seeds ? o->seeds : ""));
    io->known = calloc(o->nknown + 1, sizeof *io->known);
    ASSERT(io->known);
    for (; io->nknown < o->nknown; io->nknown++)
        io->known[io->nknown] = o->known[io->nknown].meta.gossip;
    TRY(seeds_parse(io, io->seeds_text));
    struct swim_opts so = { .self = o->self, .generation = o->generation, .salt = io->head.salt, .seed = rt_random(), .meta = o->meta,
                            .times = o->times.probe_ns ? o->times : swim_times_lan, .ops = &ops, .ctx = io };
    so.meta.gossip_version = swim_version_most(&io->seal);
    TRY(own_address(io, o, &so.meta));
    TRY(swim_new(&so, rt_now(), &io->swim));
    TRY(sock_listen(o->bind, dgram_port(io->dgram), swim_stream_accept, io, &io->listener));
    return fiber_start(&io->scope, &(struct fiber_opts){ .name = "gossip.seeds", .class = RT_MEMBERSHIP }, seeds_fiber, io);
}

static err_t open_once(const struct swim_io_opts *o, struct swim_io **out)
{
    struct swim_io *io = calloc(1, sizeof *io);
    ASSERT(io);
    scope_init(&io->scope, NULL);
    gate_init(&io->streams_gate);
    err_t e = dgram_open(o->bind, o->port, on_datagram, io, &io->dgram);
    if (e == OK) e = prepare(io, o);
    if (e) {
        if (io->listener) sock_listener_close(io->listener);
        if (io->dgram) dgram_close(io->dgram);
        scope_deinit(&io->scope);
        io_free(io);
        return e;
    }
    timer_arm(&io->timer, rt_now(), on_timer);
    *out = io;
    return OK;
}

/* Any port may be one that is free for datagrams and taken for streams. */
err_t swim_io_open(const struct swim_io_opts *o, struct swim_io **out)
{
    err_t e = open_once(o, out);
    for (unsigned tries = 1; e == ERR_IO && o->port == 0 && tries < ANY_PORT_TRIES; tries++)
        e = open_once(o, out);
    return e;
}

uint16_t swim_io_port(const struct swim_io *io)
{
    return dgram_port(io->dgram);
}

err_t swim_io_meta(struct swim_io *io, const struct member_meta *m)
{
    struct member_meta with = *m;
    with.gossip_version = swim_version_most(&io->seal);
    TRY(swim_meta(io->swim, rt_now(), &with));
    swim_io_after(io);
    return OK;
}

void swim_io_keys(struct swim_io *io, const struct swim_keys *keys)
{
    io->seal.keys = *keys;
}

err_t swim_io_forget(struct swim_io *io, node_id id)
{
    TRY(swim_forget(io->swim, rt_now(), id));
    swim_io_after(io);
    return OK;
}

struct members *swim_io_members(struct swim_io *io)
{
    return swim_members(io->swim);
}

void swim_io_leave(struct swim_io *io)
{
    swim_leave(io->swim, rt_now());
    swim_io_after(io);
    /* Four rounds of gossip; a caller in a hurry is cancelled, and others find out by themselves. */
    if (swim_live_others(io->swim) && fiber_sleep(800 * NS_PER_MS) != OK) log_debug("gossip.leave", "%s", err_detail());
}

void swim_io_close(struct swim_io *io)
{
    timer_disarm(&io->timer);
    sock_listener_close(io->listener);
    dgram_close(io->dgram);
    scope_cancel(&io->scope);
    (void)scope_join(&io->scope);
    scope_deinit(&io->scope);
    swim_streams_abort(io);
    io_free(io);
}
