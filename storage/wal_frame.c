/* See wal_frame.h for the format. */
#include "storage/wal_frame.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

static const char FILE_MAGIC[8] = { 'T', 'E', 'R', 'C', 'E', 'T', 'W', 'L' };
enum { WAL_VERSION = 2, FRAME_MAGIC = 0x4d524654 /* "TFRM" */ };

struct file_head {
    char magic[8];
    uint32_t version, core;
    uint64_t generation, salt, number, before, check;
};
struct frame_head {
    uint32_t magic, length;
    uint8_t type, flags;
    uint16_t zero;
    uint32_t group;
    uint64_t generation, seq, salt, chain, payload_hash, check;
};
_Static_assert(sizeof(struct file_head) == 56, "bytes 0-55 of the header block");
_Static_assert(sizeof(struct frame_head) == WAL_HEAD, "no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored as it lies in memory");

void wal_file_head_put(const struct wal_file_head *h, uint8_t *block)
{
    struct file_head f = { .version = WAL_VERSION, .core = h->core, .generation = h->generation,
                           .salt = h->salt, .number = h->number, .before = h->before };
    memcpy(f.magic, FILE_MAGIC, sizeof f.magic);
    f.check = hash64(str_n(&f, offsetof(struct file_head, check)));
    memset(block, 0, WAL_ALIGN);
    memcpy(block, &f, sizeof f);
}

err_t wal_file_head_get(const uint8_t *block, size_t n, struct wal_file_head *out)
{
    struct file_head f;
    if (n < sizeof f) return err_set(ERR_CORRUPT, "log file of %zu bytes has no header", n);
    memcpy(&f, block, sizeof f);
    if (memcmp(f.magic, FILE_MAGIC, sizeof f.magic) != 0
        || f.check != hash64(str_n(&f, offsetof(struct file_head, check))))
        return err_set(ERR_CORRUPT, "the header of the log file fails its checksum");
    if (f.version != WAL_VERSION)
        return err_set(ERR_INVALID, "log file of version %u, this program reads %d: start the release that wrote it, and seal", f.version, WAL_VERSION);
    *out = (struct wal_file_head){ .core = f.core, .generation = f.generation, .salt = f.salt,
                                   .number = f.number, .before = f.before };
    return OK;
}

void wal_chain_init(struct wal_chain *c, const uint8_t *header_block)
{
    struct file_head f;
    memcpy(&f, header_block, sizeof f);
    *c = (struct wal_chain){ .generation = f.generation, .salt = f.salt, .before = f.check };
}

void wal_head_put(struct wal_chain *c, enum wal_type type, uint8_t flags, uint32_t length,
                  uint64_t payload_hash, uint8_t head[WAL_HEAD])
{
    ASSERT(length <= WAL_PAYLOAD_MAX);
    struct frame_head f = { .magic = FRAME_MAGIC, .length = length, .type = (uint8_t)type, .flags = flags,
                            .group = c->group, .generation = c->generation, .seq = c->seq,
                            .salt = c->salt, .chain = c->before, .payload_hash = payload_hash };
    f.check = hash64(str_n(&f, offsetof(struct frame_head, check)));
    memcpy(head, &f, sizeof f);
    c->before = f.check;
    c->seq++;
    if (flags & WAL_LAST) c->group++;
}

bool wal_head_peek(const uint8_t *p, size_t n, uint64_t *generation, uint64_t *salt)
{
    struct frame_head f;
    if (n < sizeof f) return false;
    memcpy(&f, p, sizeof f);
    if (f.magic != FRAME_MAGIC || f.check != hash64(str_n(&f, offsetof(struct frame_head, check))))
        return false;
    *generation = f.generation;
    *salt = f.salt;
    return true;
}

enum wal_parse wal_parse(struct wal_chain *c, const uint8_t *p, size_t n, struct wal_frame *out, size_t *need)
{
    struct frame_head f;
    *need = sizeof f;
    if (n < sizeof f.magic) return WAL_MORE;
    memcpy(&f.magic, p, sizeof f.magic);
    if (f.magic == 0) return WAL_PAD;
    if (n < sizeof f) return f.magic == FRAME_MAGIC ? WAL_MORE : WAL_BAD;
    memcpy(&f, p, sizeof f);
    if (f.magic != FRAME_MAGIC || f.check != hash64(str_n(&f, offsetof(struct frame_head, check))))
        return WAL_BAD;
    if (f.salt != c->salt || f.generation != c->generation || f.length > WAL_PAYLOAD_MAX
        || f.type != WAL_REQUEST || f.zero != 0 || (f.flags & ~WAL_LAST) != 0)
        return WAL_BAD;
    if (c->broken ? f.seq < c->seq || f.group < c->group
                  : f.seq != c->seq || f.group != c->group || f.chain != c->before)
        return WAL_BAD;
    *need = wal_frame_bytes(f.length);
    if (n < *need) return WAL_MORE;
    struct str payload = str_n(p + WAL_HEAD, f.length);
    if (hash64(payload) != f.payload_hash) return WAL_BAD;
    *out = (struct wal_frame){ .type = WAL_REQUEST, .flags = f.flags, .group = f.group,
                               .generation = f.generation, .seq = f.seq, .payload = payload,
                               .chain = f.chain, .check = f.check, .bytes = *need };
    c->broken = false;
    c->seq = f.seq + 1;
    c->before = f.check;
    c->group = f.group + (f.flags & WAL_LAST ? 1 : 0);
    return WAL_FRAME;
}
