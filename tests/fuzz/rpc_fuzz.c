/* Arbitrary bytes, in arbitrary pieces: to the reader of frames and to every payload's decoder. The first byte seeds the pieces and says
 * whether heads are made right (their checksums), so that what lies behind them is reached; the reader must give the same frames
 * however the bytes are cut. */
#include "base/core/hash.h"
#include "base/core/prng.h"
#include "base/net/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash, frames, parts;
};

static void mix(struct seen *s, const void *p, size_t n)
{
    s->hash = hash64_with(str_n(p, n), s->hash);
}

static void payload(struct seen *s, const struct frame_head *h, const uint8_t *p)
{
    struct frame_hello hello;
    struct frame_call call;
    struct str here;
    uint32_t body;
    char text[FRAME_TEXT_MAX + 1];
    uint8_t again[FRAME_HELLO_MAX + FRAME_CALL_MAX];
    if (h->type == FRAME_HELLO && frame_hello_get(p, h->length, &hello) == OK) {
        if (frame_hello_put(again, &hello) != h->length || memcmp(again, p, h->length) != 0) abort();
    } else if (h->type == FRAME_CALL && frame_call_get(p, h->length, &call) == OK) {
        size_t n = frame_call_put(again, &call);
        if (n + call.here.n != h->length || memcmp(again, p, n) != 0) abort();
        mix(s, call.here.p, call.here.n);
    } else if (h->type == FRAME_ANSWER && frame_answer_get(p, h->length, &body, &here) == OK) {
        mix(s, here.p, here.n);
    } else if (h->type == FRAME_ERROR || h->type == FRAME_REFUSE) {
        err_t e = frame_error_get(p, h->length, text);
        if (e == OK || strlen(text) >= h->length) abort();
        if (frame_error_put(again, e, "x") != 2) abort();
    }
}

static err_t on_frame(void *ctx, const struct frame_head *h, const uint8_t *p)
{
    struct seen *s = ctx;
    s->frames++;
    mix(s, &h->type, 1);
    /* Exactly sized: a read past the payload is seen. */
    uint8_t *copy = malloc(h->length ? h->length : 1);
    if (h->length) memcpy(copy, p, h->length);
    mix(s, copy, h->length);
    payload(s, h, copy);
    free(copy);
    return OK;
}

static err_t on_part(void *ctx, const struct frame_head *h, const uint8_t *bytes, size_t n)
{
    struct seen *s = ctx;
    if (h->type != FRAME_DATA || !n || n > h->length) abort();
    for (size_t i = 0; i < n; i++)
        mix(s, bytes + i, 1);
    s->parts += n;
    return OK;
}

static const struct frame_sink sink = { on_frame, on_part };

static err_t read_all(const uint8_t *p, size_t n, struct prng *rnd, struct seen *s)
{
    struct frame_reader r;
    err_t e = OK;
    frame_reader_init(&r);
    for (size_t at = 0; at < n && e == OK;) {
        size_t part = rnd ? 1 + prng_below(rnd, 40) : n;
        part = MIN(part, n - at);
        uint8_t *piece = malloc(part);
        memcpy(piece, p + at, part);
        e = frame_feed(&r, piece, part, &sink, s);
        free(piece);
        at += part;
    }
    frame_reader_deinit(&r);
    return e;
}

/* Sets the checksum of each head that follows from the lengths before it. */
static void make_right(uint8_t *p, size_t n)
{
    for (size_t at = 0; n - at >= FRAME_HEAD_BYTES;) {
        frame_u64_put(p + at + 16, hash64_with(str_n(p + at, 16), FRAME_SEED));
        size_t length = frame_u32(p + at);
        if (length > n - at - FRAME_HEAD_BYTES) return;
        at += FRAME_HEAD_BYTES + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct prng rnd;
    struct seen whole = { 0 }, pieces = { 0 };
    prng_init(&rnd, data[0]);
    uint8_t *p = malloc(size);
    memcpy(p, data + 1, size - 1);
    if (data[0] & 1) make_right(p, size - 1);
    err_t a = read_all(p, size - 1, NULL, &whole), b = read_all(p, size - 1, &rnd, &pieces);
    free(p);
    if (a != b || whole.hash != pieces.hash || whole.frames != pieces.frames || whole.parts != pieces.parts) abort();
    return 0;
}
