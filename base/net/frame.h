/* Frames of the calls between nodes (rpc.h), byte for byte, and nothing else: no I/O, no state but that of a reader.
 *
 * A connection is a stream of frames each way. All integers are little-endian. A frame is a head of 24 bytes and a payload:
 *
 *    0  u32  length of the payload
 *    4  u8   type
 *    5  3 x  0
 *    8  u64  call: number << FRAME_SLOT_BITS | slot; 0 where the frame speaks of the connection
 *   16  u64  XXH3-64 of the 16 bytes before, with FRAME_SEED as seed
 *
 * The checksum finds bytes that are no frame, and a reader that lost its place; what bodies hold is their owners' business (TCP and TLS
 * watch over the wire). A head of a wrong checksum, type or length ends the connection.
 *
 * type      from    payload                                                           length
 * HELLO     both    8 x "tercet\r\n", u32 format (FRAME_FORMAT), u32 version_min,       49 .. 112
 *                   u32 version_max, u32 calls_max, u32 body_max, u32 window,
 *                   u64 node, u64 epoch, u8 n, n x label (n < FRAME_LABEL_MAX)
 * REFUSE    both    u8 code (err_t), text: why the connection ends now                1 .. 512
 * CALL      client  u16 method, u8 class, u8 0, u32 answer_max, u64 left_ns,            21 .. FRAME_WHOLE_MAX
 *                   u32 body, u8 n, n x tenant, then the body if it is at most
 *                   FRAME_INLINE_MAX; a larger one follows in DATA frames
 * DATA      both    the next bytes of the body                                        1 .. FRAME_DATA_MAX
 * CREDIT    both    u32: so many bytes of DATA of this call arrived, send as many more    4
 * ANSWER    server  u32 body, then the body as in CALL                                4 .. FRAME_WHOLE_MAX
 * ERROR     server  u8 code (err_t), text: the call ended without an answer           1 .. 512
 * CANCEL    client  nothing                                                           0
 * PING      both    u64, for PONG to bring back                                       8
 * PONG      both    u64                                                               8
 *
 * HELLO comes first, from the client at once, from the server as its answer. The first byte of a HELLO (its length, 49..112) is never
 * that of a TLS record (20..23), so each side can tell a peer that speaks the other.
 *
 * window: so many bytes of DATA of one body may be on their way to the sender of the HELLO; each CREDIT lets as many more come.
 * calls_max: so many calls may be open at once; a call is open from its CALL to its end, which is exactly one of ERROR, or ANSWER
 * with all of its body. Its slot (0 .. calls_max - 1) is free again then. Numbers of calls rise from 1. A CANCEL asks for the end, it is none.
 * left_ns: until the caller's deadline, as of the sending (clocks differ); 0 = it has none. */
#ifndef BASE_NET_FRAME_H
#define BASE_NET_FRAME_H

#include "base/core/buf.h"

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_REFUSE,
    FRAME_CALL,
    FRAME_DATA,
    FRAME_CREDIT,
    FRAME_ANSWER,
    FRAME_ERROR,
    FRAME_CANCEL,
    FRAME_PING,
    FRAME_PONG,
    FRAME_TYPES
};

enum {
    FRAME_FORMAT = 1,
    FRAME_HEAD_BYTES = 24,
    FRAME_LABEL_MAX = 64,        /* with a terminator */
    FRAME_TENANT_MAX = 255,
    FRAME_TEXT_MAX = 511,
    FRAME_INLINE_MAX = 16 << 10, /* of a body inside CALL and ANSWER: is copied, and leaves with its neighbours */
    FRAME_WHOLE_MAX = 17 << 10,  /* of every payload but DATA: a reader keeps one until it is whole */
    FRAME_DATA_MAX = 64 << 10,   /* a small frame waits for at most this one */
    FRAME_SLOT_BITS = 12,
    FRAME_CALLS_MAX = 1 << FRAME_SLOT_BITS,
    FRAME_HELLO_MAX = 49 + FRAME_LABEL_MAX - 1,
    FRAME_CALL_FIXED = 21,
    FRAME_CALL_MAX = FRAME_CALL_FIXED + FRAME_TENANT_MAX, /* of a CALL without its body */
};
#define FRAME_SEED UINT64_C(0x7465726365740001)

struct frame_head {
    uint32_t length;
    uint8_t type;
    uint64_t call;
};
void frame_head_put(uint8_t *to, const struct frame_head *h); /* FRAME_HEAD_BYTES */
/* ERR_CORRUPT: the checksum, an unknown type, a length that the type does not have, or a call where there is none to be. */
MUST_CHECK err_t frame_head_get(const uint8_t *from, struct frame_head *h);
const char *frame_name(uint8_t type);
static inline uint32_t frame_slot(uint64_t call) { return (uint32_t)call & (FRAME_CALLS_MAX - 1); }

/* -- payloads; get: ERR_CORRUPT. n as the head says ------------------------------------------------------------- */
struct frame_hello {
    uint32_t format, version_min, version_max, calls_max, body_max, window;
    uint64_t node, epoch;
    char label[FRAME_LABEL_MAX];
};
size_t frame_hello_put(uint8_t *to, const struct frame_hello *h); /* at most FRAME_HELLO_MAX; how many bytes */
MUST_CHECK err_t frame_hello_get(const uint8_t *p, size_t n, struct frame_hello *h);

struct frame_call {
    uint16_t method;
    uint8_t class;
    uint32_t answer_max;
    uint64_t left_ns;
    uint32_t body;     /* bytes in all */
    struct str tenant; /* get: in p */
    struct str here;   /* get: the body when it is in the frame; not put */
};
size_t frame_call_put(uint8_t *to, const struct frame_call *c); /* at most FRAME_CALL_MAX, without `here` */
MUST_CHECK err_t frame_call_get(const uint8_t *p, size_t n, struct frame_call *c);
/* ANSWER: here = the body when it is in the frame. */
MUST_CHECK err_t frame_answer_get(const uint8_t *p, size_t n, uint32_t *body, struct str *here);
/* REFUSE and ERROR: an unknown code is ERR_INTERNAL; the text is cut to what a struct err_record holds, made printable. */
size_t frame_error_put(uint8_t *to, err_t code, const char *text); /* at most 1 + FRAME_TEXT_MAX */
err_t frame_error_get(const uint8_t *p, size_t n, char *text);     /* FRAME_TEXT_MAX + 1 bytes */
uint32_t frame_u32(const uint8_t *p);
uint64_t frame_u64(const uint8_t *p);
void frame_u32_put(uint8_t *to, uint32_t v);
void frame_u64_put(uint8_t *to, uint64_t v);

/* -- reading a stream ------------------------------------------------------------------------------------------- */
struct frame_sink {
    /* One frame with its whole payload, borrowed during the call. */
    err_t (*frame)(void *ctx, const struct frame_head *h, const uint8_t *payload);
    /* The next bytes of a DATA frame, borrowed during the call; they come as they arrive. */
    err_t (*part)(void *ctx, const struct frame_head *h, const uint8_t *bytes, size_t n);
};
struct frame_reader {
    uint8_t head[FRAME_HEAD_BYTES];
    uint32_t have;      /* bytes of the head; FRAME_HEAD_BYTES: in the payload */
    uint32_t got;       /* bytes of the payload */
    struct frame_head h;
    uint8_t *whole;     /* room for a payload that came in pieces, or NULL */
};
void frame_reader_init(struct frame_reader *r);
void frame_reader_deinit(struct frame_reader *r);
/* Takes n bytes as they came. The first error, of a head or of the sink, ends it: the reader is of no use afterwards. */
MUST_CHECK err_t frame_feed(struct frame_reader *r, const uint8_t *p, size_t n, const struct frame_sink *sink, void *ctx);

#endif
