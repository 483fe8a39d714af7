/* Gossip packet by packet: what words look like, what a seal keeps out, and what a step makes of a claim. Whole clusters
 * are in swim_plain.c. */
#include "base/core/buf.h"
#include "base/core/prng.h"
#include "cluster/swim.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SELF = 5, PARTITIONS = 64, PORT = 7946 };

static struct member_meta meta_of(uint64_t id)
{
    char addr[32];
    struct member_meta m = { .zone = "a", .version = "1", .backend = "sim", .weight = 100, .partitions = PARTITIONS };
    snprintf(addr, sizeof addr, "10.1.%u.%u", (unsigned)(id >> 8), (unsigned)(id & 255));
    cr_assert(io_addr_parse(addr, PORT, &m.gossip) == OK);
    return m;
}

/* -- words ------------------------------------------------------------------------------------------------------- */
Test(swim_wire, claims_and_messages_come_back)
{
    struct swim_claim c = { .m = { .id = { UINT64_MAX }, .generation = UINT64_MAX, .version = UINT64_C(1) << 62, .state = MEMBER_SUSPECT },
                            .naccusers = SWIM_ACCUSERS_MAX, .news = true }, back;
    uint8_t bytes[SWIM_CLAIM_MAX];
    for (unsigned i = 0; i < SWIM_ACCUSERS_MAX; i++)
        c.accusers[i].u = UINT64_MAX - i;
    memset(c.m.meta.zone, 'z', sizeof c.m.meta.zone - 1);
    memset(c.m.meta.version, 'v', sizeof c.m.meta.version - 1);
    memset(c.m.meta.backend, 'b', sizeof c.m.meta.backend - 1);
    cr_assert(io_addr_parse("fe80::1", 65535, &c.m.meta.gossip) == OK && io_addr_parse("::1", 1, &c.m.meta.rpc) == OK);
    c.m.meta.weight = c.m.meta.partitions = UINT32_MAX;
    c.m.meta.health = 255;
    c.m.meta.cover_hash = c.m.meta.http_port_base = UINT64_MAX;
    size_t n = swim_claim_put(bytes, &c);
    cr_assert(n <= SWIM_CLAIM_MAX);
    struct bytes_in in = bytes_in_of(str_n(bytes, n));
    cr_assert(swim_claim_get(&in, &back) && in.p == in.end);
    cr_assert(memcmp(&c.m.meta, &back.m.meta, sizeof c.m.meta) == 0 && memcmp(c.accusers, back.accusers, sizeof c.accusers) == 0);
    cr_assert(back.m.id.u == c.m.id.u && back.m.generation == c.m.generation && back.m.version == c.m.version && back.news);
    for (size_t cut = 0; cut < n; cut++) {
        in = bytes_in_of(str_n(bytes, cut));
        cr_assert(!swim_claim_get(&in, &back));
    }
    struct swim_message m = { .kind = SWIM_PING_REQ, .seq = UINT64_MAX, .target = { 7 }, .addr = c.m.meta.gossip }, got;
    in = bytes_in_of(str_n(bytes, swim_message_put(bytes, &m)));
    cr_assert(in.end - in.p <= SWIM_MESSAGE_MAX && swim_message_get(&in, &got));
    cr_assert(got.seq == m.seq && got.target.u == 7 && memcmp(&got.addr, &m.addr, sizeof m.addr) == 0);
    m = (struct swim_message){ .kind = SWIM_REFUSED, .reason = SWIM_SUPERSEDED, .generation = UINT64_MAX };
    in = bytes_in_of(str_n(bytes, swim_message_put(bytes, &m)));
    cr_assert(swim_message_get(&in, &got) && got.reason == SWIM_SUPERSEDED && got.generation == UINT64_MAX);
}

Test(swim_wire, keys_are_base64_or_hex)
{
    struct swim_keys k;
    cr_assert(swim_keys_parse("", &k) == OK && k.n == 0);
    cr_assert(swim_keys_parse(" ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8= ,202122232425262728292a2b2c2d2e2f303132333435363738393A3B3C3D3E3F", &k) == OK);
    cr_assert(k.n == 2 && memcmp(k.v[0], k.v[1], SWIM_KEY_BYTES) == 0 && k.v[0][0] == 0x20 && k.v[0][31] == 0x3f);
    static const char *const bad[] = { "abc", ",", "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8", "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pg==",
                                       "202122232425262728292a2b2c2d2e2f303132333435363738393A3B3C3D3E3", "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9P!8=" };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert(swim_keys_parse(bad[i], &k) == ERR_INVALID, "%s", bad[i]);
        cr_assert(!strstr(err_detail(), bad[i]) || strlen(bad[i]) < 4);
    }
}

/* -- the seal ------------------------------------------------------------------------------------------------------ */
static struct swim_seal seal_of(const char *label, const char *keys)
{
    struct swim_seal s = { 0 };
    snprintf(s.label, sizeof s.label, "%s", label);
    cr_assert(swim_keys_parse(keys, &s.keys) == OK);
    return s;
}

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="

static enum swim_refusal open_with(const char *label, const char *keys, const uint8_t *bytes, size_t n)
{
    struct swim_seal s = seal_of(label, keys);
    struct swim_head h;
    uint8_t body[256];
    size_t body_n;
    enum swim_refusal r = swim_seal_open(&s, bytes, n, &h, body, &body_n);
    if (r == SWIM_TAKEN && !h.refusal)
        cr_assert(body_n == 4 && memcmp(body, "body", 4) == 0 && h.sender.u == 1 && h.generation == 2 && h.salt == 3 && h.counter == 4);
    return r;
}

Test(swim_wire, a_seal_keeps_out_what_is_changed)
{
    const struct swim_head h = { .sender = { 1 }, .generation = 2, .salt = 3, .counter = 4 };
    uint8_t bytes[256], other[256];
    struct swim_seal a = seal_of("label", KEY_A), plain = seal_of("label", "");
    size_t n = swim_seal_put(&a, &h, (const uint8_t *)"body", 4, bytes);
    cr_assert(n == SWIM_HEAD_BYTES + 4 + SWIM_TAG_BYTES);
    cr_assert(open_with("label", KEY_A, bytes, n) == SWIM_TAKEN);
    cr_assert(open_with("label", KEY_B "," KEY_A, bytes, n) == SWIM_TAKEN);
    cr_assert(open_with("label", KEY_B, bytes, n) == SWIM_OTHER_KEY);
    cr_assert(open_with("label", "", bytes, n) == SWIM_OTHER_KEY);
    cr_assert(open_with("Label", KEY_A, bytes, n) == SWIM_OTHER_LABEL);
    for (size_t i = 0; i < n * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        if (i != 25) cr_assert(open_with("label", KEY_A, bytes, n) != SWIM_TAKEN, "bit %zu", i); /* 25: with it, no sealed packet */
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t cut = 0; cut < n; cut++)
        cr_assert(open_with("label", KEY_A, bytes, cut) != SWIM_TAKEN);
    cr_assert(memcmp(bytes + SWIM_HEAD_BYTES, "body", 4) != 0);
    /* The same words of another life look different. */
    struct swim_head next = h;
    next.salt++;
    swim_seal_put(&a, &next, (const uint8_t *)"body", 4, other);
    cr_assert(memcmp(bytes + SWIM_HEAD_BYTES, other + SWIM_HEAD_BYTES, 4) != 0);
    n = swim_seal_put(&plain, &h, (const uint8_t *)"body", 4, bytes);
    cr_assert(open_with("label", "", bytes, n) == SWIM_TAKEN && open_with("label", KEY_A, bytes, n) == SWIM_OTHER_KEY);
    bytes[2]++;
    cr_assert(open_with("label", "", bytes, n) == SWIM_OTHER_VERSION);
    n = swim_refusal_put(&plain, &h, SWIM_OTHER_KEY, bytes);
    cr_assert(open_with("other", KEY_A, bytes, n) == SWIM_TAKEN); /* to be logged, whatever the key */
}

Test(swim_wire, neighbouring_releases_understand_each_other)
{
    const struct swim_head h = { .sender = { 1 }, .generation = 2, .salt = 3, .counter = 4 };
    static const uint8_t speaks[][2] = { { 0, 0 }, { 1, 2 }, { 2, 3 }, { 3, 4 } }; /* 0: ours, 1 */
    uint8_t bytes[256], body[256];
    for (unsigned from = 0; from < ARRAY_LEN(speaks); from++)
        for (unsigned to = 0; to < ARRAY_LEN(speaks); to++) {
            struct swim_seal a = seal_of("label", KEY_A), b = a;
            struct swim_head got;
            size_t n = 0;
            a.version_least = speaks[from][0], a.version_most = speaks[from][1];
            b.version_least = speaks[to][0], b.version_most = speaks[to][1];
            enum swim_refusal why = swim_seal_open(&b, bytes, swim_seal_put(&a, &h, (const uint8_t *)"body", 4, bytes), &got, body, &n);
            cr_assert(why == (from == to || from == to + 1 || to + from == 1 ? SWIM_TAKEN : SWIM_OTHER_VERSION), "%u to %u", from, to);
            /* Once the older knows that the newer understands its newest, it sends that. */
            a.version_sent = swim_version_most(&a);
            why = swim_seal_open(&b, bytes, swim_seal_put(&a, &h, (const uint8_t *)"body", 4, bytes), &got, body, &n);
            cr_assert(why == (from == to || to == from + 1 ? SWIM_TAKEN : SWIM_OTHER_VERSION), "%u to %u", from, to);
            /* That it is refused is told in words that the other understands. */
            why = swim_seal_open(&b, bytes, swim_refusal_put(&a, &h, SWIM_OTHER_VERSION, bytes), &got, body, &n);
            cr_assert(why == SWIM_TAKEN && got.refusal && n == 1 && body[0] == SWIM_OTHER_VERSION);
        }
}

/* -- steps ------------------------------------------------------------------------------------------------------------ */
struct seen {
    struct io_addr watch_addr;
    unsigned pings_there, sent, refused, superseded, syncs, news; /* news: packets that tell of `watched` by its version */
    uint64_t watched, version;
    uint8_t last[SWIM_BODY_MAX];
    size_t last_n;
};

static void on_send(void *ctx, const struct io_addr *to, const uint8_t *body, size_t n)
{
    struct seen *seen = ctx;
    cr_assert(to->n && n <= SWIM_BODY_MAX);
    seen->sent++;
    struct bytes_in in = bytes_in_of(str_n(body, n));
    struct swim_message m;
    struct swim_claim c;
    cr_assert(swim_message_get(&in, &m));
    seen->pings_there += m.kind == SWIM_PING && memcmp(to, &seen->watch_addr, sizeof *to) == 0;
    while (bytes_in_left(&in)) {
        cr_assert(swim_claim_get(&in, &c));
        seen->news += m.kind == SWIM_GOSSIP && c.m.id.u == seen->watched && c.m.version == seen->version &&
                      c.m.state == MEMBER_ALIVE;
    }
    memcpy(seen->last, body, seen->last_n = n);
}
static void on_sync(void *ctx, const struct io_addr *with)
{
    cr_assert(with->n);
    ((struct seen *)ctx)->syncs++;
}
static void on_refused(void *ctx, const struct io_addr *peer, enum swim_refusal why, bool told)
{
    (void)peer;
    (void)told;
    cr_assert(why != SWIM_TAKEN);
    ((struct seen *)ctx)->refused++;
}
static void on_superseded(void *ctx, const struct member *by)
{
    cr_assert(by->id.u == SELF);
    ((struct seen *)ctx)->superseded++;
}
static const struct swim_ops ops = { on_send, on_sync, on_refused, on_superseded };

static struct swim *swim_at(struct seen *seen, uint64_t seed)
{
    struct swim *s;
    struct swim_opts o = { .self = { SELF }, .generation = 3, .salt = 1, .seed = seed, .meta = meta_of(SELF), .times = swim_times_lan,
                           .ops = &ops, .ctx = seen };
    *seen = (struct seen){ 0 };
    cr_assert(swim_new(&o, (mono_ns){ NS_PER_S }, &s) == OK);
    return s;
}

static struct swim_claim claim_of(uint64_t id, uint64_t generation, uint64_t version, enum member_state state)
{
    struct swim_claim c = { .m = { { id }, generation, version, state, { 0 }, meta_of(id) }, .news = true };
    if (state == MEMBER_SUSPECT) c.naccusers = 1;
    c.accusers[0].u = 999;
    return c;
}

static uint64_t counter;

/* A packet of `from`, first life, that claims c. */
static bool tell_as(struct swim *s, mono_ns now, const struct swim_claim *from, const struct swim_message *m, const struct swim_claim *c)
{
    uint8_t body[SWIM_BODY_MAX];
    struct swim_head h = { .sender = from->m.id, .generation = from->m.generation, .salt = 9, .counter = ++counter };
    size_t n = swim_message_put(body, m);
    n += swim_claim_put(body + n, from);
    if (c) n += swim_claim_put(body + n, c);
    return swim_receive(s, now, &from->m.meta.gossip, &h, body, n);
}

static bool tell(struct swim *s, mono_ns now, uint64_t from, const struct swim_claim *c)
{
    struct swim_claim sender = claim_of(from, 1, 1, MEMBER_ALIVE);
    return tell_as(s, now, &sender, &(struct swim_message){ .kind = SWIM_GOSSIP }, c);
}

static const struct member *member(struct swim *s, uint64_t id)
{
    return members_find(swim_members(s), (node_id){ id });
}

static const mono_ns start_at = { NS_PER_S };

/* The order of claims, and their number, make no difference. */
Test(swim, claims_commute)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct seen seen;
        struct swim *two[2] = { swim_at(&seen, seed), swim_at(&seen, seed + 1) };
        struct swim_claim claims[24];
        struct prng r;
        prng_init(&r, seed);
        for (unsigned i = 0; i < ARRAY_LEN(claims); i++) {
            uint64_t id = 10 + i % 4;
            claims[i] = claim_of(id, i < 4 ? 1 : 1 + prng_below(&r, 2), i < 4 ? 0 : 1 + prng_below(&r, 3),
                                 i < 4 ? MEMBER_ALIVE : (enum member_state)prng_below(&r, MEMBER_STATES));
            if (prng_below(&r, 4) == 0) claims[i].m.meta.gossip = meta_of(id + 100).gossip;
        }
        for (unsigned side = 0; side < 2; side++) {
            for (unsigned i = 0; i < 4; i++)
                cr_assert(tell(two[side], start_at, 1, &claims[i]));
            for (unsigned i = 4; i < ARRAY_LEN(claims); i++) {
                unsigned j = 4 + (unsigned)prng_below(&r, ARRAY_LEN(claims) - 4);
                struct swim_claim c = claims[i];
                claims[i] = claims[j];
                claims[j] = c;
            }
            for (unsigned i = 4; i < ARRAY_LEN(claims); i++)
                for (uint64_t times = 1 + prng_below(&r, 2); times; times--)
                    (void)tell(two[side], start_at, 1 + i % 2, &claims[i]);
        }
        for (uint64_t id = 10; id < 14; id++) {
            const struct member *a = member(two[0], id), *b = member(two[1], id);
            cr_assert(!a == !b, "seed %llu", (unsigned long long)seed);
            if (!a) continue;
            cr_assert(a->generation == b->generation && a->version == b->version && a->state == b->state, "seed %llu", (unsigned long long)seed);
            cr_assert(memcmp(&a->meta, &b->meta, sizeof a->meta) == 0);
        }
        swim_free(two[0]);
        swim_free(two[1]);
    }
}

Test(swim, what_others_say_of_us)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    struct swim_claim c = claim_of(SELF, 3, 4, MEMBER_DEAD);
    cr_assert(tell(s, start_at, 1, &c));
    cr_assert(member(s, SELF)->state == MEMBER_ALIVE && member(s, SELF)->version == 5 && swim_counts(s)->refutations == 1);
    c = claim_of(SELF, 3, 4, MEMBER_SUSPECT); /* of before */
    cr_assert(tell(s, start_at, 1, &c) && member(s, SELF)->version == 5);
    c = claim_of(SELF, 2, 99, MEMBER_DEAD); /* of an earlier life */
    cr_assert(tell(s, start_at, 1, &c) && member(s, SELF)->version == 5 && !seen.superseded);
    c = claim_of(SELF, 4, 0, MEMBER_DEAD);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(tell(s, start_at, 1, &c) && seen.superseded == 1);
    cr_assert(swim_forget(s, start_at, (node_id){ SELF }) == ERR_INVALID);
    swim_free(s);
}

Test(swim, refusals)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    const struct swim_message ping = { .kind = SWIM_PING, .seq = 1 };
    struct swim_claim other = claim_of(7, 1, 1, MEMBER_ALIVE), old = claim_of(8, 1, 1, MEMBER_ALIVE), now = claim_of(8, 2, 1, MEMBER_ALIVE);
    struct swim_message m;
    (void)swim_step(s, start_at);
    other.m.meta.partitions = 2 * PARTITIONS;
    cr_assert(!tell_as(s, start_at, &other, &ping, NULL) && !member(s, 7) && seen.refused == 1);
    struct bytes_in in = bytes_in_of(str_n(seen.last, seen.last_n));
    cr_assert(swim_message_get(&in, &m) && m.kind == SWIM_REFUSED && m.reason == SWIM_OTHER_PARTITIONS);
    /* Nor by word of others. */
    cr_assert(tell(s, start_at, 1, &other) && !member(s, 7));
    cr_assert(tell_as(s, start_at, &now, &ping, NULL) && !tell_as(s, start_at, &old, &ping, NULL) && member(s, 8)->generation == 2);
    in = bytes_in_of(str_n(seen.last, seen.last_n));
    cr_assert(swim_message_get(&in, &m) && m.kind == SWIM_REFUSED && m.reason == SWIM_SUPERSEDED && m.generation == 2);
    /* At most ten a second are answered, and no refusal is. */
    unsigned before = seen.sent;
    for (unsigned i = 0; i < 100; i++)
        cr_assert(!tell_as(s, start_at, &old, &ping, NULL));
    cr_assert(seen.sent - before == 8 && swim_counts(s)->refused == 102);
    m = (struct swim_message){ .kind = SWIM_REFUSED, .reason = SWIM_OTHER_PARTITIONS };
    for (mono_ns t = start_at; t.ns < 3 * NS_PER_S;)
        t = swim_step(s, t);
    unsigned after_step = seen.sent;
    cr_assert(!tell_as(s, (mono_ns){ 3 * NS_PER_S }, &other, &m, NULL) && seen.sent == after_step);
    struct swim_claim later = claim_of(SELF, 4, 1, MEMBER_ALIVE);
    m.reason = SWIM_SUPERSEDED;
    cr_assert(!tell_as(s, (mono_ns){ 3 * NS_PER_S }, &other, &m, &later) && seen.superseded == 1);
    /* Who says in its head to be another than in its claim. */
    struct swim_head h = { .sender = { 9 }, .generation = 1, .salt = 9, .counter = ++counter };
    uint8_t body[SWIM_BODY_MAX];
    size_t n = swim_message_put(body, &ping);
    n += swim_claim_put(body + n, &now);
    cr_assert(!swim_receive(s, start_at, &now.m.meta.gossip, &h, body, n) && swim_counts(s)->malformed == 1 && !member(s, 9));
    swim_free(s);
}

/* What the last packet sent refuses, and for what; SWIM_TAKEN: it refuses nothing. `about`: the claim behind its sender's. */
static enum swim_refusal last_refusal(const struct seen *seen, struct swim_claim *about)
{
    struct bytes_in in = bytes_in_of(str_n(seen->last, seen->last_n));
    struct swim_message m;
    cr_assert(swim_message_get(&in, &m) && swim_claim_get(&in, about));
    if (m.kind != SWIM_REFUSED) return SWIM_TAKEN;
    if (bytes_in_left(&in)) cr_assert(swim_claim_get(&in, about));
    return m.reason;
}

/* A member's data directory was copied before its last start: both have one id and generation. Who is known alive stays, whichever
 * address is the greater one; when it is dead, the order of addresses counts again. */
Test(swim, a_copy_does_not_take_the_place_of_who_is_alive)
{
    for (unsigned above = 0; above < 2; above++) {
        struct seen seen;
        struct swim *s = swim_at(&seen, 1);
        const struct swim_message ping = { .kind = SWIM_PING, .seq = 1 };
        struct swim_claim first = claim_of(8, 2, 1, MEMBER_ALIVE), copy = claim_of(8, 2, 7, MEMBER_ALIVE), dead = claim_of(8, 2, 1, MEMBER_DEAD), about;
        copy.m.meta.gossip = meta_of(above ? 9 : 7).gossip;
        (void)swim_step(s, start_at);
        cr_assert(tell_as(s, start_at, &first, &ping, NULL));
        cr_assert(!tell_as(s, start_at, &copy, &ping, NULL) && seen.refused == 1 && last_refusal(&seen, &about) == SWIM_TWICE);
        cr_assert(about.m.id.u == 8 && memcmp(&about.m.meta.gossip, &first.m.meta.gossip, sizeof about.m.meta.gossip) == 0);
        cr_assert(memcmp(&member(s, 8)->meta.gossip, &first.m.meta.gossip, sizeof about.m.meta.gossip) == 0 && member(s, 8)->version == 1);
        cr_assert(tell_as(s, start_at, &first, &ping, NULL) && last_refusal(&seen, &about) == SWIM_TAKEN);
        cr_assert(tell(s, start_at, 1, &dead) && member(s, 8)->state == MEMBER_DEAD);
        cr_assert(tell_as(s, start_at, &copy, &ping, NULL) == above);
        swim_free(s);
    }
}

/* The same, seen by the two of them: the one that nobody took ends, not at once but soon; the one that somebody took does not, and refuses
 * the other itself. */
Test(swim, of_two_of_one_life_the_newcomer_ends)
{
    for (unsigned taken = 0; taken < 2; taken++) {
        struct seen seen;
        struct swim *s = swim_at(&seen, 1);
        const struct swim_message refused = { .kind = SWIM_REFUSED, .reason = SWIM_TWICE, .generation = 3 }, ping = { .kind = SWIM_PING };
        struct swim_claim who = claim_of(7, 1, 1, MEMBER_ALIVE), other = claim_of(SELF, 3, 1, MEMBER_ALIVE), about;
        other.m.meta.gossip = meta_of(SELF - 1).gossip; /* ours is the greater one */
        mono_ns t = swim_step(s, start_at);
        if (taken) cr_assert(tell(s, t, 6, NULL));
        cr_assert(!tell_as(s, t, &who, &refused, &other) && !seen.superseded && seen.refused == 1);
        while (t.ns < start_at.ns + 5 * NS_PER_S)
            t = swim_step(s, t);
        cr_assert(seen.superseded == !taken);
        cr_assert(!tell_as(s, t, &other, &ping, NULL) && last_refusal(&seen, &about) == (taken ? SWIM_TWICE : SWIM_SUPERSEDED));
        /* Members took both: the greater address counts, and only it. */
        cr_assert(tell(s, t, 6, &other) && seen.superseded == !taken);
        other.m.meta.gossip = meta_of(SELF + 1).gossip;
        cr_assert(tell(s, t, 6, &other) && seen.superseded == 1);
        swim_free(s);
    }
}

Test(swim, a_packet_counts_once)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    cr_assert(tell(s, start_at, 1, NULL));
    cr_assert(tell(s, start_at, 1, NULL)); /* known from now on */
    counter--;
    cr_assert(!tell(s, start_at, 1, NULL) && swim_counts(s)->replayed == 1);
    counter += 40;
    cr_assert(tell(s, start_at, 1, NULL));
    counter -= 20;
    cr_assert(tell(s, start_at, 1, NULL)); /* late, but new */
    counter--;
    cr_assert(!tell(s, start_at, 1, NULL));
    counter += 100;
    cr_assert(tell(s, start_at, 1, NULL));
    counter -= 80;
    cr_assert(!tell(s, start_at, 1, NULL)); /* too old to know */
    counter += 100;
    swim_free(s);
}

/* A death by word that is no news makes a live member suspect, and one that nobody knew is believed. */
Test(swim, old_deaths_are_doubted)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    struct swim_claim dead = claim_of(2, 1, 1, MEMBER_DEAD), unknown = claim_of(3, 1, 1, MEMBER_DEAD);
    dead.news = unknown.news = false;
    cr_assert(tell(s, start_at, 2, NULL) && tell(s, start_at, 1, &dead));
    cr_assert(member(s, 2)->state == MEMBER_SUSPECT);
    cr_assert(tell(s, start_at, 1, &unknown) && member(s, 3)->state == MEMBER_DEAD);
    dead.news = true;
    cr_assert(tell(s, start_at, 1, &dead) && member(s, 2)->state == MEMBER_DEAD);
    swim_free(s);
}

/* Of each piece of news retransmit * ceil(log10(N + 1)) packets, to `fanout` members every 200 ms. */
Test(swim, news_is_told_so_often)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    mono_ns now = start_at;
    for (uint64_t id = 10; id < 30; id++)
        cr_assert(tell(s, now, id, NULL));
    while (now.ns < 3 * NS_PER_S) /* that they are there is no news any more */
        now = swim_step(s, now);
    struct swim_claim c = claim_of(12, 1, 7, MEMBER_ALIVE);
    seen.watched = 12;
    seen.version = 7;
    cr_assert(tell(s, now, 11, &c));
    int64_t until = now.ns + 450 * NS_PER_MS;
    while (now.ns < until)
        now = swim_step(s, now);
    cr_assert(seen.news >= 5 && seen.news <= 8, "%u", seen.news);
    until += 5 * NS_PER_S;
    while (now.ns < until)
        now = swim_step(s, now);
    cr_assert(seen.news >= 6 && seen.news <= 8, "%u", seen.news); /* pings carried the rest */
    swim_free(s);
}

/* Who is there first, and who comes back, is exchanged all claims with. */
Test(swim, who_comes_back_is_synced_with)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    mono_ns now = swim_step(s, start_at);
    struct swim_claim dead = claim_of(10, 1, 1, MEMBER_DEAD), back = claim_of(10, 1, 2, MEMBER_ALIVE);
    cr_assert(tell(s, now, 10, NULL));
    for (unsigned i = 0; i < 6; i++)
        now = swim_step(s, now);
    cr_assert(seen.syncs == 1);
    cr_assert(tell(s, now, 11, &dead) && tell_as(s, now, &back, &(struct swim_message){ .kind = SWIM_GOSSIP }, NULL));
    for (unsigned i = 0; i < 12; i++)
        now = swim_step(s, now);
    cr_assert(seen.syncs == 2 && member_is_live(member(s, 10)));
    swim_free(s);
}

/* The dead are pinged on, once a second; seeds every second while nobody is there, every five seconds in company. */
Test(swim, the_dead_and_the_seeds_are_pinged)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    struct swim_claim dead = claim_of(10, 1, 1, MEMBER_DEAD), other = claim_of(11, 1, 1, MEMBER_ALIVE);
    mono_ns now = swim_step(s, start_at);
    seen.watch_addr = dead.m.meta.gossip;
    cr_assert(tell(s, now, 11, &dead));
    for (int64_t until = now.ns + 4 * NS_PER_S; now.ns < until;)
        now = swim_step(s, now);
    cr_assert(seen.pings_there >= 3 && seen.pings_there <= 5, "%u", seen.pings_there);
    swim_free(s);
    s = swim_at(&seen, 1);
    now = swim_step(s, start_at);
    seen.watch_addr = meta_of(77).gossip;
    swim_seed(s, &seen.watch_addr);
    for (int64_t until = now.ns + 10 * NS_PER_S; now.ns < until;)
        now = swim_step(s, now);
    cr_assert(seen.pings_there >= 9 && seen.pings_there <= 11, "%u", seen.pings_there);
    seen.pings_there = 0;
    for (int64_t until = now.ns + 20 * NS_PER_S; now.ns < until; now = swim_step(s, now)) {
        other.m.version++; /* stays alive */
        cr_assert(tell_as(s, now, &other, &(struct swim_message){ .kind = SWIM_GOSSIP }, NULL));
    }
    cr_assert(seen.pings_there >= 3 && seen.pings_there <= 5, "%u", seen.pings_there);
    swim_free(s);
}

/* A suspect that we ping hears first that it is one. */
Test(swim, a_suspect_is_told)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    struct swim_claim c = claim_of(12, 1, 1, MEMBER_SUSPECT), first;
    mono_ns now = start_at;
    struct swim_message m;
    cr_assert(tell(s, now, 12, NULL) && tell(s, now, 11, &c));
    now = swim_step(s, now); /* tells it once */
    for (unsigned i = 0; i < 100; i++)
        (void)tell(s, now, 20 + i, NULL); /* much that nobody was told */
    c = claim_of(12, 1, 1, MEMBER_ALIVE);
    cr_assert(tell_as(s, now, &c, &(struct swim_message){ .kind = SWIM_PING, .seq = 1 }, NULL));
    struct bytes_in in = bytes_in_of(str_n(seen.last, seen.last_n));
    cr_assert(swim_message_get(&in, &m) && m.kind == SWIM_ACK && swim_claim_get(&in, &first) && first.m.id.u == SELF);
    cr_assert(swim_claim_get(&in, &first) && first.m.id.u == 12 && first.m.state == MEMBER_SUSPECT && first.accusers[0].u == 999);
    swim_free(s);
}

/* Who was stopped for a minute buries nobody when it goes on. */
Test(swim, time_stands_still_with_us)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    mono_ns now = start_at;
    for (uint64_t id = 10; id < 14; id++)
        cr_assert(tell(s, now, id, NULL));
    for (unsigned i = 0; i < 12; i++) {
        mono_ns due = swim_step(s, now);
        cr_assert(due.ns > now.ns && due.ns - now.ns <= 200 * NS_PER_MS);
        now = due;
    }
    now.ns += 60 * NS_PER_S;
    (void)swim_step(s, now);
    cr_assert(swim_counts(s)->pauses == 1 && swim_counts(s)->deaths == 0 && swim_health(s) >= 1);
    for (int64_t until = now.ns + 100 * NS_PER_S; now.ns < until;)
        now = swim_step(s, now);
    cr_assert(swim_counts(s)->deaths == 4 && swim_live_others(s) == 0);
    swim_free(s);
}

Test(swim, the_dead_are_forgotten_in_the_end)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    struct swim_claim left = claim_of(2, 1, 2, MEMBER_LEFT);
    mono_ns now = start_at;
    cr_assert(tell(s, now, 1, &left));
    int64_t begun = now.ns;
    while (member(s, 2) && now.ns - begun < 80 * 3600 * NS_PER_S)
        now = swim_step(s, now);
    int64_t after = now.ns - begun;
    cr_assert(after >= 72 * 3600 * NS_PER_S && after < 72 * 3600 * NS_PER_S + 2 * NS_PER_S);
    left.news = false;
    cr_assert(tell(s, now, 3, &left) && !member(s, 2)); /* somebody who still knows does not bring it back */
    struct swim_claim again = claim_of(2, 2, 1, MEMBER_ALIVE);
    cr_assert(tell(s, now, 3, &again) && member(s, 2)->state == MEMBER_ALIVE); /* it does, itself */
    swim_free(s);
}

Test(swim, bounds)
{
    struct seen seen;
    struct swim *s = swim_at(&seen, 1);
    for (uint64_t id = 10; id < 10 + SWIM_MEMBERS_MAX + 50; id++) {
        struct swim_claim c = claim_of(id, 1, 1, MEMBER_ALIVE);
        cr_assert(tell(s, start_at, 1, &c));
    }
    cr_assert(swim_members(s)->n == SWIM_MEMBERS_MAX && swim_counts(s)->full == 52);
    struct buf state;
    buf_init(&state, SWIM_FRAME_MAX - SWIM_HEAD_BYTES - SWIM_TAG_BYTES, NULL);
    swim_state(s, &state);
    cr_assert(buf_check(&state) == OK);
    buf_deinit(&state);
    struct swim_claim from = claim_of(1, 1, 1, MEMBER_ALIVE);
    struct swim_message ask = { .kind = SWIM_PING_REQ, .target = { 12 }, .addr = meta_of(12).gossip };
    for (ask.seq = 1; ask.seq <= 100; ask.seq++)
        cr_assert(tell_as(s, start_at, &from, &ask, NULL));
    cr_assert(swim_counts(s)->relays_refused == 100 - SWIM_RELAYS_MAX);
    swim_free(s);
}

Test(swim, what_cannot_be_said)
{
    struct seen seen;
    struct swim_opts o = { .self = { SELF }, .generation = 3, .meta = meta_of(SELF), .times = swim_times_lan, .ops = &ops, .ctx = &seen };
    struct swim *s;
    strcpy(o.meta.zone, "eu west");
    cr_assert(swim_new(&o, start_at, &s) == ERR_INVALID && strstr(err_detail(), "zone"));
    memset(o.meta.zone, 'x', sizeof o.meta.zone);
    cr_assert(swim_new(&o, start_at, &s) == ERR_INVALID);
    o.meta = meta_of(SELF);
    o.meta.gossip.n = 0;
    cr_assert(swim_new(&o, start_at, &s) == ERR_INVALID);
    o.meta = meta_of(SELF);
    o.self.u = 0;
    cr_assert(swim_new(&o, start_at, &s) == ERR_INVALID);
}
