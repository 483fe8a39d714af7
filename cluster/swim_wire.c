/* See swim_wire.h. */
#include "cluster/swim_wire.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { SEALED = 1, REFUSAL = 2, NEWS = 0x80, NONCE_BYTES = 12, PORT_BYTES = 2 };
#define VERSION_OF_NODE_MAX (UINT64_C(1) << 62) /* so that a refutation can always raise it */

const char *swim_refusal_text(enum swim_refusal r)
{
    static const char *const texts[] = {
        [SWIM_TAKEN] = "is taken",
        [SWIM_MALFORMED] = "is malformed",
        [SWIM_OTHER_VERSION] = "speaks another version of the gossip protocol: run versions of tercet that are next to each other",
        [SWIM_OTHER_LABEL] = "is of another cluster: the labels differ",
        [SWIM_OTHER_KEY] = "is sealed with another gossip key, or one side has none",
        [SWIM_OTHER_PARTITIONS] = "has another number of partitions (data.partitions)",
        [SWIM_SUPERSEDED] = "comes from a node id that was started again elsewhere since",
        [SWIM_TWICE] = "comes from a node id that is alive at another address: a copy of its data directory, which must not run",
    };
    _Static_assert(ARRAY_LEN(texts) == SWIM_REFUSALS, "a text for each");
    return texts[r < SWIM_REFUSALS ? r : SWIM_MALFORMED];
}

/* -- keys -------------------------------------------------------------------------------------------------- */
static bool key_from_base64(struct str text, uint8_t *to)
{
    uint8_t bytes[SWIM_KEY_BYTES + 2];
    if (text.n != 44 || text.p[43] != '=' || text.p[42] == '=') return false; /* 32 bytes are 43 digits and a filler */
    int n = EVP_DecodeBlock(bytes, (const unsigned char *)text.p, 44);
    if (n != SWIM_KEY_BYTES + 1) return false;
    memcpy(to, bytes, SWIM_KEY_BYTES);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return true;
}

err_t swim_keys_parse(const char *text, struct swim_keys *out)
{
    struct str rest = str_of(text), piece;
    *out = (struct swim_keys){ 0 };
    if (!str_trim(rest).n) return OK;
    for (unsigned i = 1; str_cut(&rest, ',', &piece); i++) {
        if (out->n == SWIM_KEYS_MAX) return err_set(ERR_INVALID, "more than %d gossip keys", SWIM_KEYS_MAX);
        piece = str_trim(piece);
        if (!str_from_hex(piece, out->v[out->n], SWIM_KEY_BYTES) && !key_from_base64(piece, out->v[out->n]))
            return err_set(ERR_INVALID, "gossip key %u is not base64 of %d bytes (44 characters) nor 64 hex digits", i, SWIM_KEY_BYTES);
        out->n++;
    }
    return OK;
}

/* -- integers ------------------------------------------------------------------------------------------------ */
static void put_u64(uint8_t *to, uint64_t v) { memcpy(to, &v, 8); }

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* -- sealing --------------------------------------------------------------------------------------------------- */
static uint32_t label_hash(const struct swim_seal *s)
{
    return (uint32_t)hash64(str_of(s->label));
}

uint8_t swim_version_least(const struct swim_seal *s)
{
    return s->version_least ? s->version_least : SWIM_VERSION_LEAST;
}

uint8_t swim_version_most(const struct swim_seal *s)
{
    return s->version_most ? s->version_most : SWIM_VERSION;
}

static void head_put(const struct swim_seal *s, const struct swim_head *h, uint8_t flags, uint8_t *to)
{
    uint32_t label = label_hash(s);
    to[0] = 'T';
    to[1] = 'g';
    to[2] = s->version_sent ? s->version_sent : swim_version_least(s);
    to[3] = flags;
    memcpy(to + 4, &label, 4);
    put_u64(to + 8, h->sender.u);
    put_u64(to + 16, h->generation);
    put_u64(to + 24, h->salt);
    put_u64(to + 32, h->counter);
}

/* The head says which life it is. */
static void life_key(const uint8_t *key, const uint8_t *head, uint8_t *out)
{
    static const char name[13] = "tercet gossip";
    uint8_t of[sizeof name + 24];
    unsigned n = 0;
    memcpy(of, name, sizeof name);
    memcpy(of + sizeof name, head + 8, 24);
    ASSERT(HMAC(EVP_sha256(), key, SWIM_KEY_BYTES, of, sizeof of, out, &n) && n == SWIM_KEY_BYTES);
}

/* One packet of the life, either way. False: it does not open. Sealing cannot fail but for lack of memory. */
static bool crypt(const struct swim_seal *s, const uint8_t *key, bool seal, const uint8_t *head, const uint8_t *in, size_t n,
                  uint8_t *to, uint8_t *tag)
{
    uint8_t life[EVP_MAX_MD_SIZE], nonce[NONCE_BYTES] = { 0 };
    int got, end;
    life_key(key, head, life);
    memcpy(nonce + 4, head + 32, 8);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    ASSERT(c);
    bool ok = EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, life, nonce, seal) == 1 &&
              EVP_CipherUpdate(c, NULL, &got, head, SWIM_HEAD_BYTES) == 1 &&
              EVP_CipherUpdate(c, NULL, &got, (const uint8_t *)s->label, (int)strlen(s->label)) == 1 &&
              (!n || EVP_CipherUpdate(c, to, &got, in, (int)n) == 1);
    if (ok && !seal) ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, SWIM_TAG_BYTES, tag) == 1;
    ok = ok && EVP_CipherFinal_ex(c, to + n, &end) == 1;
    if (ok && seal) ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SWIM_TAG_BYTES, tag) == 1;
    EVP_CIPHER_CTX_free(c);
    OPENSSL_cleanse(life, sizeof life);
    return ok;
}

size_t swim_seal_put(const struct swim_seal *s, const struct swim_head *h, const uint8_t *body, size_t n, uint8_t *to)
{
    head_put(s, h, s->keys.n ? SEALED : 0, to);
    ASSERT(n <= SWIM_FRAME_MAX);
    if (!s->keys.n) {
        memcpy(to + SWIM_HEAD_BYTES, body, n);
        return SWIM_HEAD_BYTES + n;
    }
    bool ok = crypt(s, s->keys.v[0], true, to, body, n, to + SWIM_HEAD_BYTES, to + SWIM_HEAD_BYTES + n);
    ASSERT(ok);
    return SWIM_HEAD_BYTES + n + SWIM_TAG_BYTES;
}

size_t swim_refusal_put(const struct swim_seal *s, const struct swim_head *h, enum swim_refusal why, uint8_t *to)
{
    head_put(s, h, REFUSAL, to);
    to[SWIM_HEAD_BYTES] = (uint8_t)why;
    return SWIM_HEAD_BYTES + 1;
}

enum swim_refusal swim_seal_open(const struct swim_seal *s, const uint8_t *bytes, size_t n, struct swim_head *h,
                                 uint8_t *body, size_t *body_n)
{
    uint32_t label;
    *h = (struct swim_head){ 0 };
    if (n < SWIM_HEAD_BYTES || n > SWIM_FRAME_MAX || bytes[0] != 'T' || bytes[1] != 'g') return SWIM_MALFORMED;
    *h = (struct swim_head){ bytes[2], bytes[3] & SEALED, bytes[3] & REFUSAL, { get_u64(bytes + 8) }, get_u64(bytes + 16),
                             get_u64(bytes + 24), get_u64(bytes + 32) };
    memcpy(&label, bytes + 4, 4);
    n -= SWIM_HEAD_BYTES;
    if (h->refusal && !h->sealed) { /* whatever the version, the label and the keys */
        *body_n = n;
        memcpy(body, bytes + SWIM_HEAD_BYTES, n);
        return SWIM_TAKEN;
    }
    if (h->version < swim_version_least(s) || h->version > swim_version_most(s)) return SWIM_OTHER_VERSION;
    if (bytes[3] & ~SEALED || !h->sender.u || !h->counter) return SWIM_MALFORMED;
    if (label != label_hash(s)) return SWIM_OTHER_LABEL;
    if (h->sealed != (s->keys.n > 0)) return SWIM_OTHER_KEY;
    if (!h->sealed) {
        *body_n = n;
        memcpy(body, bytes + SWIM_HEAD_BYTES, n);
        return SWIM_TAKEN;
    }
    if (n < SWIM_TAG_BYTES) return SWIM_MALFORMED;
    n -= SWIM_TAG_BYTES;
    uint8_t tag[SWIM_TAG_BYTES];
    memcpy(tag, bytes + SWIM_HEAD_BYTES + n, sizeof tag);
    for (uint32_t i = 0; i < s->keys.n; i++) {
        if (!crypt(s, s->keys.v[i], false, bytes, bytes + SWIM_HEAD_BYTES, n, body, tag)) continue;
        *body_n = n;
        return SWIM_TAKEN;
    }
    return SWIM_OTHER_KEY;
}

/* -- bodies ------------------------------------------------------------------------------------------------------ */
static size_t put_addr(uint8_t *to, const struct io_addr *a)
{
    const struct sockaddr_in *v4 = (const void *)a->bytes;
    const struct sockaddr_in6 *v6 = (const void *)a->bytes;
    bool is_v4 = a->n == sizeof *v4;
    if (!a->n) {
        to[0] = 0;
        return 1;
    }
    size_t n = is_v4 ? 4 : 16;
    uint16_t port = io_addr_port(a);
    to[0] = is_v4 ? 4 : 6;
    memcpy(to + 1, is_v4 ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr, n);
    memcpy(to + 1 + n, &port, PORT_BYTES);
    return 1 + n + PORT_BYTES;
}

static void get_addr(struct bytes_in *in, struct io_addr *out)
{
    uint8_t family = bytes_in_u8(in);
    uint16_t port;
    *out = (struct io_addr){ 0 };
    if (in->bad || !family) return;
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    if (family == 4) {
        bytes_in_copy(in, &v4.sin_addr, 4);
    } else if (family == 6) {
        bytes_in_copy(in, &v6.sin6_addr, 16);
    } else {
        in->bad = true;
    }
    bytes_in_copy(in, &port, PORT_BYTES);
    if (in->bad) return;
    v4.sin_port = v6.sin6_port = htons(port);
    out->n = family == 4 ? sizeof v4 : sizeof v6;
    memcpy(out->bytes, family == 4 ? (const void *)&v4 : (const void *)&v6, out->n);
}

static bool has_target(enum swim_kind k)
{
    return k == SWIM_PING || k == SWIM_PING_REQ || k == SWIM_ACK || k == SWIM_NACK;
}

size_t swim_message_put(uint8_t *to, const struct swim_message *m)
{
    size_t n = 0;
    to[n++] = (uint8_t)m->kind;
    n += varint_put(to + n, m->seq);
    if (has_target(m->kind)) {
        put_u64(to + n, m->target.u);
        n += 8;
    }
    if (m->kind == SWIM_PING_REQ) n += put_addr(to + n, &m->addr);
    if (m->kind == SWIM_REFUSED) {
        to[n++] = (uint8_t)m->reason;
        n += varint_put(to + n, m->generation);
    }
    return n;
}

bool swim_message_get(struct bytes_in *in, struct swim_message *out)
{
    *out = (struct swim_message){ 0 };
    uint8_t kind = bytes_in_u8(in);
    if (kind < SWIM_PING || kind >= SWIM_KINDS) return false;
    out->kind = (enum swim_kind)kind;
    out->seq = bytes_in_varint(in);
    if (has_target(out->kind)) out->target.u = bytes_in_u64(in);
    if (out->kind == SWIM_PING_REQ) {
        get_addr(in, &out->addr);
        if (!out->addr.n) return false;
    }
    if (out->kind == SWIM_REFUSED) {
        uint8_t reason = bytes_in_u8(in);
        if (reason >= SWIM_REFUSALS) return false;
        out->reason = (enum swim_refusal)reason;
        out->generation = bytes_in_varint(in);
    }
    return !in->bad;
}

static size_t put_name(uint8_t *to, const char *z)
{
    size_t n = strlen(z);
    to[0] = (uint8_t)n;
    memcpy(to + 1, z, n);
    return 1 + n;
}

/* Printable, and short enough for its place. */
static void get_name(struct bytes_in *in, char *to, size_t room)
{
    struct str s = bytes_in_str(in);
    if (s.n >= room) in->bad = true;
    for (size_t i = 0; !in->bad && i < s.n; i++)
        in->bad = s.p[i] <= ' ' || s.p[i] > '~';
    if (!in->bad && s.n) memcpy(to, s.p, s.n);
}

static size_t put_meta(uint8_t *to, const struct member_meta *m)
{
    size_t n = put_addr(to, &m->gossip);
    n += put_addr(to + n, &m->rpc);
    n += put_name(to + n, m->zone);
    n += put_name(to + n, m->version);
    n += put_name(to + n, m->backend);
    n += varint_put(to + n, m->weight);
    n += varint_put(to + n, m->partitions);
    to[n++] = m->health;
    put_u64(to + n, m->cover_hash);
    n += 8;
    n += varint_put(to + n, m->http_port_base);
    to[n++] = m->gossip_version;
    to[n++] = m->disk_percent;
    memcpy(to + n, &m->settings, sizeof m->settings);
    return n + sizeof m->settings;
}

static bool get_meta(struct bytes_in *in, struct member_meta *m)
{
    get_addr(in, &m->gossip);
    get_addr(in, &m->rpc);
    get_name(in, m->zone, sizeof m->zone);
    get_name(in, m->version, sizeof m->version);
    get_name(in, m->backend, sizeof m->backend);
    uint64_t weight = bytes_in_varint(in), partitions = bytes_in_varint(in);
    m->health = bytes_in_u8(in);
    m->cover_hash = bytes_in_u64(in);
    m->http_port_base = bytes_in_varint(in);
    m->gossip_version = bytes_in_u8(in);
    m->disk_percent = bytes_in_u8(in);
    if (bytes_in_left(in) >= sizeof m->settings) bytes_in_copy(in, &m->settings, sizeof m->settings);
    m->weight = (uint32_t)weight;
    m->partitions = (uint32_t)partitions;
    return !in->bad && m->gossip.n && weight <= UINT32_MAX && partitions <= UINT32_MAX;
}

size_t swim_claim_put(uint8_t *to, const struct swim_claim *c)
{
    uint8_t meta[SWIM_CLAIM_MAX];
    size_t n = 8, meta_n = put_meta(meta, &c->m.meta);
    put_u64(to, c->m.id.u);
    n += varint_put(to + n, c->m.generation);
    n += varint_put(to + n, c->m.version);
    to[n++] = (uint8_t)(c->m.state | (c->news ? NEWS : 0));
    if (c->m.state == MEMBER_SUSPECT) {
        to[n++] = (uint8_t)c->naccusers;
        for (uint32_t i = 0; i < c->naccusers; i++, n += 8)
            put_u64(to + n, c->accusers[i].u);
    }
    n += varint_put(to + n, meta_n);
    ASSERT(n + meta_n <= SWIM_CLAIM_MAX);
    memcpy(to + n, meta, meta_n);
    return n + meta_n;
}

bool swim_claim_get(struct bytes_in *in, struct swim_claim *out)
{
    *out = (struct swim_claim){ 0 };
    out->m.id.u = bytes_in_u64(in);
    out->m.generation = bytes_in_varint(in);
    out->m.version = bytes_in_varint(in);
    uint8_t state = bytes_in_u8(in);
    out->news = state & NEWS;
    state &= (uint8_t)~NEWS;
    if (state >= MEMBER_STATES || !out->m.id.u || out->m.version > VERSION_OF_NODE_MAX) return false;
    out->m.state = (enum member_state)state;
    if (out->m.state == MEMBER_SUSPECT) {
        out->naccusers = bytes_in_u8(in);
        if (!out->naccusers || out->naccusers > SWIM_ACCUSERS_MAX) return false;
        for (uint32_t i = 0; i < out->naccusers; i++)
            out->accusers[i].u = bytes_in_u64(in);
    }
    struct bytes_in meta = bytes_in_of(bytes_in_str(in));
    return !in->bad && get_meta(&meta, &out->m.meta);
}
