/* SWIM on the wire: packets and how they are sealed, messages and claims in their bodies.
 *
 * Packet (a datagram, and the body of a frame of a push-pull):
 *
 *      0  'T' 'g'           magic
 *      2  u8                version of the protocol
 *      3  u8                flags: 1 sealed, 2 refusal
 *      4  u32               XXH3-64 of the cluster's label, its low half
 *      8  u64               id of the sender
 *     16  u64               its generation
 *     24  u64               its salt: random, of this life of its process
 *     32  u64               counter: from 1, one for each packet of this life
 *     40  body, and 16 bytes of tag when it is sealed
 *
 * Sealing is AES-256-GCM. The key of a life is HMAC-SHA256(key of the ring, "tercet gossip" | id | generation | salt) and
 * the nonce its counter, so that no nonce is used twice with a key while ids, generations and salts do not all
 * repeat, whatever the number of nodes (random nonces under one key would have to be counted: 2^32 packets are
 * days of a large cluster). Associated data is the head and the label itself: nothing in the head can be
 * changed, and a packet of another label does not open even where 32 bits of two labels are alike. The first key
 * of the ring seals, all open: a key is added everywhere behind the first, then put first everywhere, then the
 * old one is taken away everywhere. Without keys packets are plain, and who can reach the port can join.
 *
 * A refusal is a packet without a seal whose body is one byte, the reason. It answers a packet that could not be opened, so
 * that somebody who looks at either node's log finds out. It proves nothing and is only logged.
 *
 * Integers of the body are little-endian or varints:
 *     message  kind u8 | seq varint | of ping, ping-req, ack, nack: target u64 | of ping-req: its address |
 *              of refused: reason u8, generation varint | claims up to the end, the first about the sender itself
 *     claim    id u64 | generation varint | version varint | state u8, 0x80: news | of suspect: accusers u8, u64 each | length of
 *              the rest varint | gossip address | rpc address | zone | version | backend (length and bytes) | weight varint |
 *              partitions varint | health u8 | cover_hash u64 | http_port_base varint | newest version understood u8 | disk_percent u8 | settings u32, from
 *              releases that have it | what newer versions add
 *     address  u8 0 none, 4, 6 | 4 or 16 bytes | port u16
 *
 * A push-pull is one frame each way: its length u32, then a packet whose body is a message of kind state. */
#ifndef CLUSTER_SWIM_WIRE_H
#define CLUSTER_SWIM_WIRE_H

#include "base/core/bytes_in.h"
#include "base/rt/dgram.h"
#include "cluster/members.h"

enum {
    /* A release understands its own version and the one before. It sends the newest that all living members understand (member_meta), so that neighbouring
     * releases form one cluster while one replaces the other. Who knows nobody sends its least, or what a refusal asks for. */
    SWIM_VERSION_LEAST = 1,
    SWIM_VERSION = 1,
    SWIM_HEAD_BYTES = 40,
    SWIM_TAG_BYTES = 16,
    SWIM_BODY_MAX = DGRAM_BYTES_MAX - SWIM_HEAD_BYTES - SWIM_TAG_BYTES,
    SWIM_FRAME_MAX = 1 << 20,
    SWIM_KEYS_MAX = 8,
    SWIM_KEY_BYTES = 32,
    SWIM_LABEL_MAX = 64, /* with its terminator */
    SWIM_ACCUSERS_MAX = 4,
    SWIM_CLAIM_MAX = 224,
    SWIM_MESSAGE_MAX = 64,
};

/* Why a packet is not for us. */
enum swim_refusal {
    SWIM_TAKEN,
    SWIM_MALFORMED,
    SWIM_OTHER_VERSION,
    SWIM_OTHER_LABEL,
    SWIM_OTHER_KEY, /* or one of us has none */
    SWIM_OTHER_PARTITIONS,
    SWIM_SUPERSEDED, /* of a node that was started again since */
    SWIM_TWICE,      /* of a node that lives at another address, with the same generation */
    SWIM_REFUSALS
};
const char *swim_refusal_text(enum swim_refusal r); /* of what was sent: "is of another cluster: ..." */

struct swim_keys {
    uint32_t n;
    uint8_t v[SWIM_KEYS_MAX][SWIM_KEY_BYTES];
};
/* Keys as base64 of 32 bytes or 64 hex digits, comma-separated; empty: none. ERR_INVALID names the place, never the key. */
MUST_CHECK err_t swim_keys_parse(const char *text, struct swim_keys *out);

struct swim_head {
    uint8_t version;
    bool sealed, refusal;
    node_id sender;
    uint64_t generation, salt, counter;
};

struct swim_seal {
    char label[SWIM_LABEL_MAX];
    struct swim_keys keys;
    uint8_t version_least, version_most, version_sent; /* understood, and sent; 0: SWIM_VERSION_LEAST, SWIM_VERSION, the least */
};
uint8_t swim_version_least(const struct swim_seal *s);
uint8_t swim_version_most(const struct swim_seal *s);
/* `to` has room for n and SWIM_HEAD_BYTES + SWIM_TAG_BYTES; the length of the packet. The version and the flags of h are not looked at. */
size_t swim_seal_put(const struct swim_seal *s, const struct swim_head *h, const uint8_t *body, size_t n, uint8_t *to);
/* Opens a packet. SWIM_TAKEN: h is whole and body (room for n bytes) holds *body_n. Otherwise: why not, and
 * h is as far as it was read, believed by nobody. */
enum swim_refusal swim_seal_open(const struct swim_seal *s, const uint8_t *bytes, size_t n, struct swim_head *h,
                                 uint8_t *body, size_t *body_n);
/* A refusal, SWIM_HEAD_BYTES + 1 bytes. */
size_t swim_refusal_put(const struct swim_seal *s, const struct swim_head *h, enum swim_refusal why, uint8_t *to);

enum swim_kind {
    SWIM_PING = 1, /* target 0: whoever is there */
    SWIM_PING_REQ, /* "ask the target for me" */
    SWIM_ACK,      /* target: who was asked */
    SWIM_NACK,     /* the relay lives, the target does not answer it */
    SWIM_GOSSIP,   /* claims alone */
    SWIM_REFUSED,
    SWIM_STATE,    /* all claims: push-pull */
    SWIM_KINDS
};

struct swim_message {
    enum swim_kind kind;
    uint64_t seq;
    node_id target;
    struct io_addr addr;      /* of a ping-req's target */
    enum swim_refusal reason; /* of refused */
    uint64_t generation;      /* of refused: what the refuser knows of */
};
/* Room for SWIM_MESSAGE_MAX bytes. */
size_t swim_message_put(uint8_t *to, const struct swim_message *m);
bool swim_message_get(struct bytes_in *in, struct swim_message *out);

struct swim_claim {
    struct member m;  /* without since */
    node_id accusers[SWIM_ACCUSERS_MAX]; /* of suspect: who did not get an answer */
    uint32_t naccusers;
    bool news;        /* said because it happened, not for completeness */
};
/* Room for SWIM_CLAIM_MAX bytes. */
size_t swim_claim_put(uint8_t *to, const struct swim_claim *c);
/* False: not a claim; whatever follows is not looked at either. */
bool swim_claim_get(struct bytes_in *in, struct swim_claim *out);

#endif
