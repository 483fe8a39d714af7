/* Gossip from a hostile hand: packets as they come from the network, without keys and with them; and, since the seal keeps a fuzzer out,
 * bodies as somebody with the key may send them, to a node with some members, which lives on for a while after it. */
#include "base/core/assert.h"
#include "base/core/buf.h"
#include "cluster/swim.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_send(void *ctx, const struct io_addr *to, const uint8_t *body, size_t n)
{
    struct bytes_in in = bytes_in_of(str_n(body, n));
    struct swim_message m;
    struct swim_claim c;
    (void)ctx;
    ASSERT(to->n && n <= SWIM_BODY_MAX);
    ASSERT(swim_message_get(&in, &m)); /* what we say can be read */
    while (bytes_in_left(&in))
        ASSERT(swim_claim_get(&in, &c));
}
static void on_sync(void *ctx, const struct io_addr *with)
{
    (void)ctx;
    ASSERT(with->n);
}
static void on_refused(void *ctx, const struct io_addr *peer, enum swim_refusal why, bool told)
{
    (void)ctx;
    (void)peer;
    (void)told;
    ASSERT(why < SWIM_REFUSALS);
}
static void on_superseded(void *ctx, const struct member *by)
{
    (void)ctx;
    ASSERT(by->id.u == 5);
}
static const struct swim_ops ops = { on_send, on_sync, on_refused, on_superseded };

static struct member_meta meta_of(const char *addr)
{
    struct member_meta m = { .zone = "a", .weight = 100, .partitions = 64 };
    ASSERT(io_addr_parse(addr, 7946, &m.gossip) == OK);
    return m;
}

static struct swim *node(void)
{
    struct swim *s;
    struct swim_opts o = { .self = { 5 }, .generation = 2, .salt = 1, .seed = 1, .meta = meta_of("10.0.0.5"), .times = swim_times_lan, .ops = &ops };
    ASSERT(swim_new(&o, (mono_ns){ NS_PER_S }, &s) == OK);
    return s;
}

/* A body of whoever it says it is from. */
static void hear(struct swim *s, mono_ns now, uint64_t counter, const uint8_t *body, size_t n)
{
    struct bytes_in in = bytes_in_of(str_n(body, n));
    struct io_addr from = meta_of("10.0.0.9").gossip;
    struct swim_message m;
    struct swim_claim c;
    struct swim_head h = { .sender = { 9 }, .generation = 1, .salt = 9, .counter = counter };
    if (swim_message_get(&in, &m) && swim_claim_get(&in, &c)) {
        h.sender = c.m.id;
        h.generation = c.m.generation;
    }
    (void)swim_receive(s, now, &from, &h, body, n);
}

static void check(struct swim *s)
{
    const struct members *m = swim_members(s);
    bool self = false;
    for (uint32_t i = 0; i < m->n; i++) {
        ASSERT(m->v[i].state < MEMBER_FORGOTTEN && m->v[i].id.u && (i == 0 || m->v[i - 1].id.u < m->v[i].id.u));
        ASSERT(m->v[i].meta.partitions == 64 && m->v[i].meta.gossip.n);
        self |= m->v[i].id.u == 5 && m->v[i].generation == 2 && m->v[i].state == MEMBER_ALIVE;
    }
    ASSERT(self);
}

static void bodies(const uint8_t *data, size_t size)
{
    struct swim *s = node();
    mono_ns now = { NS_PER_S };
    uint64_t counter = 1;
    /* Pieces of two bytes of length; the last one is the rest. */
    while (size) {
        size_t n = size > 2 ? (size_t)(data[0] | data[1] << 8) : 0;
        data += MIN(size, (size_t)2);
        size -= MIN(size, (size_t)2);
        n = MIN(n, size);
        hear(s, now, counter++, data, n);
        now = swim_step(s, now);
        check(s);
        data += n;
        size -= n;
    }
    for (unsigned i = 0; i < 64; i++)
        now = swim_step(s, now);
    check(s);
    struct buf state;
    buf_init(&state, SWIM_FRAME_MAX, NULL);
    swim_state(s, &state);
    ASSERT(buf_check(&state) == OK);
    buf_deinit(&state);
    swim_free(s);
}

static void packets(const uint8_t *data, size_t size, const char *keys)
{
    static const struct swim_head mine = { .sender = { 9 }, .generation = 1, .salt = 2, .counter = 3 };
    struct swim_seal seal = { .label = "fuzz" };
    struct swim_head h;
    size_t n;
    ASSERT(swim_keys_parse(keys, &seal.keys) == OK);
    uint8_t *body = malloc(size + 1), *sealed = malloc(size + SWIM_HEAD_BYTES + SWIM_TAG_BYTES);
    ASSERT(body && sealed);
    enum swim_refusal why = swim_seal_open(&seal, data, size, &h, body, &n);
    ASSERT(why != SWIM_TAKEN || n <= size);
    if (size <= SWIM_BODY_MAX) {
        n = swim_seal_put(&seal, &mine, data, size, sealed);
        ASSERT(swim_seal_open(&seal, sealed, n, &h, body, &n) == SWIM_TAKEN && n == size && (!n || memcmp(body, data, n) == 0));
    }
    free(body);
    free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    struct swim_keys keys;
    if (size > 1 << 16) return 0;
    packets(data, size, "");
    packets(data, size, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f,ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=");
    bodies(data, size);
    if (size < sizeof text) {
        memcpy(text, data, size);
        text[size] = 0;
        if (swim_keys_parse(text, &keys) == OK) ASSERT(keys.n <= SWIM_KEYS_MAX);
    }
    return 0;
}
