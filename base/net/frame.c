#include "base/net/frame.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert((int)FRAME_CALL_MAX + (int)FRAME_INLINE_MAX <= (int)FRAME_WHOLE_MAX, "a CALL with its body is kept whole");
_Static_assert(FRAME_TEXT_MAX < sizeof(((struct err_record *)0)->detail), "a text fits an error's detail");

static const char magic[8] = { 't', 'e', 'r', 'c', 'e', 't', '\r', '\n' };

static const struct {
    const char *name;
    uint32_t min, max;
    bool of_call;
} types[FRAME_TYPES] = {
    [FRAME_HELLO] = { "hello", 49, FRAME_HELLO_MAX, false },
    [FRAME_REFUSE] = { "refuse", 1, 1 + FRAME_TEXT_MAX, false },
    [FRAME_CALL] = { "call", FRAME_CALL_FIXED, FRAME_WHOLE_MAX, true },
    [FRAME_DATA] = { "data", 1, FRAME_DATA_MAX, true },
    [FRAME_CREDIT] = { "credit", 4, 4, true },
    [FRAME_ANSWER] = { "answer", 4, FRAME_WHOLE_MAX, true },
    [FRAME_ERROR] = { "error", 1, 1 + FRAME_TEXT_MAX, true },
    [FRAME_CANCEL] = { "cancel", 0, 0, true },
    [FRAME_PING] = { "ping", 8, 8, false },
    [FRAME_PONG] = { "pong", 8, 8, false },
};

uint32_t frame_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

uint64_t frame_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

void frame_u32_put(uint8_t *to, uint32_t v)
{
    memcpy(to, &v, sizeof v);
}

void frame_u64_put(uint8_t *to, uint64_t v)
{
    memcpy(to, &v, sizeof v);
}

const char *frame_name(uint8_t type)
{
    return type < FRAME_TYPES && types[type].name ? types[type].name : "?";
}

/* -- heads -------------------------------------------------------------------------------------------------- */
static uint64_t check_of(const uint8_t *head)
{
    return hash64_with(str_n(head, 16), FRAME_SEED);
}

void frame_head_put(uint8_t *to, const struct frame_head *h)
{
    ASSERT(h->type && h->type < FRAME_TYPES);
    ASSERT(h->length >= types[h->type].min && h->length <= types[h->type].max);
    frame_u32_put(to, h->length);
    frame_u32_put(to + 4, h->type);
    frame_u64_put(to + 8, h->call);
    frame_u64_put(to + 16, check_of(to));
}

err_t frame_head_get(const uint8_t *from, struct frame_head *h)
{
    if (frame_u64(from + 16) != check_of(from))
        return err_set(ERR_CORRUPT, "these bytes are no frame: the checksum of its head is wrong");
    uint32_t type = frame_u32(from + 4);
    *h = (struct frame_head){ frame_u32(from), (uint8_t)type, frame_u64(from + 8) };
    if (type >= FRAME_TYPES || !types[type].name) return err_set(ERR_CORRUPT, "a frame of unknown type %u", type);
    if (h->length < types[type].min || h->length > types[type].max)
        return err_set(ERR_CORRUPT, "a frame '%s' of %u bytes: it has %u to %u", types[type].name, h->length,
                       types[type].min, types[type].max);
    if ((h->call != 0) != types[type].of_call)
        return err_set(ERR_CORRUPT, "a frame '%s' of call %" PRIu64, types[type].name, h->call);
    return OK;
}

/* -- payloads ------------------------------------------------------------------------------------------------ */
size_t frame_hello_put(uint8_t *to, const struct frame_hello *h)
{
    size_t n = strlen(h->label);
    ASSERT(n < FRAME_LABEL_MAX);
    memcpy(to, magic, sizeof magic);
    frame_u32_put(to + 8, h->format);
    frame_u32_put(to + 12, h->version_min);
    frame_u32_put(to + 16, h->version_max);
    frame_u32_put(to + 20, h->calls_max);
    frame_u32_put(to + 24, h->body_max);
    frame_u32_put(to + 28, h->window);
    frame_u64_put(to + 32, h->node);
    frame_u64_put(to + 40, h->epoch);
    to[48] = (uint8_t)n;
    memcpy(to + 49, h->label, n);
    return 49 + n;
}

err_t frame_hello_get(const uint8_t *p, size_t n, struct frame_hello *h)
{
    *h = (struct frame_hello){ 0 };
    if (n < 49 || memcmp(p, magic, sizeof magic) != 0) return err_set(ERR_CORRUPT, "a hello that is none of ours");
    h->format = frame_u32(p + 8);
    h->version_min = frame_u32(p + 12);
    h->version_max = frame_u32(p + 16);
    h->calls_max = frame_u32(p + 20);
    h->body_max = frame_u32(p + 24);
    h->window = frame_u32(p + 28);
    h->node = frame_u64(p + 32);
    h->epoch = frame_u64(p + 40);
    if (p[48] >= FRAME_LABEL_MAX || n != 49u + p[48]) return err_set(ERR_CORRUPT, "a hello with a label of a wrong length");
    for (size_t i = 0; i < p[48]; i++) {
        char c = (char)p[49 + i];
        if (c <= ' ' || c > '~') return err_set(ERR_CORRUPT, "a hello with a label that cannot be printed");
        h->label[i] = c;
    }
    if (h->version_min > h->version_max)
        return err_set(ERR_CORRUPT, "a hello with versions %u to %u", h->version_min, h->version_max);
    if (h->calls_max < 1 || h->calls_max > FRAME_CALLS_MAX || h->window < FRAME_DATA_MAX)
        return err_set(ERR_CORRUPT, "a hello with %u calls at once and a window of %u bytes", h->calls_max, h->window);
    return OK;
}

size_t frame_call_put(uint8_t *to, const struct frame_call *c)
{
    ASSERT(c->tenant.n <= FRAME_TENANT_MAX);
    memcpy(to, &c->method, 2);
    to[2] = c->class;
    to[3] = 0;
    frame_u32_put(to + 4, c->answer_max);
    frame_u64_put(to + 8, c->left_ns);
    frame_u32_put(to + 16, c->body);
    to[20] = (uint8_t)c->tenant.n;
    if (c->tenant.n) memcpy(to + FRAME_CALL_FIXED, c->tenant.p, c->tenant.n);
    return FRAME_CALL_FIXED + c->tenant.n;
}

/* What is left of a frame is the body, if it is one of those that lie in it. */
static bool body_fits(uint32_t body, size_t left)
{
    return left == (body <= FRAME_INLINE_MAX ? body : 0);
}

err_t frame_call_get(const uint8_t *p, size_t n, struct frame_call *c)
{
    if (n < FRAME_CALL_FIXED || p[3] || n < (size_t)FRAME_CALL_FIXED + p[20])
        return err_set(ERR_CORRUPT, "a call of a wrong form");
    memcpy(&c->method, p, 2);
    c->class = p[2];
    c->answer_max = frame_u32(p + 4);
    c->left_ns = frame_u64(p + 8);
    c->body = frame_u32(p + 16);
    c->tenant = str_n(p + FRAME_CALL_FIXED, p[20]);
    size_t head = FRAME_CALL_FIXED + c->tenant.n;
    c->here = str_n(p + head, n - head);
    if (!body_fits(c->body, n - head))
        return err_set(ERR_CORRUPT, "a call with a body of %u bytes and %zu of them in its frame", c->body, n - head);
    return OK;
}

err_t frame_answer_get(const uint8_t *p, size_t n, uint32_t *body, struct str *here)
{
    if (n < 4) return err_set(ERR_CORRUPT, "an answer of a wrong form");
    *body = frame_u32(p);
    *here = str_n(p + 4, n - 4);
    if (!body_fits(*body, n - 4))
        return err_set(ERR_CORRUPT, "an answer of %u bytes with %zu of them in its frame", *body, n - 4);
    return OK;
}

size_t frame_error_put(uint8_t *to, err_t code, const char *text)
{
    size_t n = MIN(strlen(text), (size_t)FRAME_TEXT_MAX);
    to[0] = (uint8_t)code;
    memcpy(to + 1, text, n);
    return 1 + n;
}

err_t frame_error_get(const uint8_t *p, size_t n, char *text)
{
    ASSERT(n >= 1 && n <= 1 + FRAME_TEXT_MAX);
    for (size_t i = 1; i < n; i++)
        text[i - 1] = p[i] < ' ' || p[i] == 0x7f ? '?' : (char)p[i];
    text[n - 1] = 0;
    return p[0] != OK && p[0] < ERR_COUNT ? (err_t)p[0] : ERR_INTERNAL;
}

/* -- reading ------------------------------------------------------------------------------------------------- */
void frame_reader_init(struct frame_reader *r)
{
    *r = (struct frame_reader){ 0 };
}

void frame_reader_deinit(struct frame_reader *r)
{
    free(r->whole);
    r->whole = NULL;
}

/* Bytes of the head until it is whole; how many were taken. */
static err_t take_head(struct frame_reader *r, const uint8_t *p, size_t n, size_t *took, const struct frame_sink *sink, void *ctx)
{
    *took = MIN(n, (size_t)FRAME_HEAD_BYTES - r->have);
    memcpy(r->head + r->have, p, *took);
    r->have += (uint32_t)*took;
    if (r->have < FRAME_HEAD_BYTES) return OK;
    TRY(frame_head_get(r->head, &r->h));
    r->got = 0;
    if (r->h.length) return OK;
    r->have = 0;
    return sink->frame(ctx, &r->h, r->head);
}

static err_t take_payload(struct frame_reader *r, const uint8_t *p, size_t n, size_t *took, const struct frame_sink *sink, void *ctx)
{
    uint32_t left = r->h.length - r->got;
    bool data = r->h.type == FRAME_DATA, at_once = !r->got && n >= left;
    *took = MIN(n, (size_t)left);
    if (!data && !at_once) {
        if (!r->whole) r->whole = malloc(FRAME_WHOLE_MAX);
        ASSERT(r->whole);
        memcpy(r->whole + r->got, p, *took);
    }
    r->got += (uint32_t)*took;
    if (r->got == r->h.length) r->have = 0;
    if (data) return sink->part(ctx, &r->h, p, *took);
    if (r->have) return OK;
    err_t e = sink->frame(ctx, &r->h, at_once ? p : r->whole);
    if (!at_once) frame_reader_deinit(r);
    return e;
}

err_t frame_feed(struct frame_reader *r, const uint8_t *p, size_t n, const struct frame_sink *sink, void *ctx)
{
    while (n) {
        size_t took;
        if (r->have < FRAME_HEAD_BYTES) {
            TRY(take_head(r, p, n, &took, sink, ctx));
        } else {
            TRY(take_payload(r, p, n, &took, sink, ctx));
        }
        p += took;
        n -= took;
    }
    return OK;
}
