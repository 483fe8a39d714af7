#include "storage/object_catalog.h"

#include "base/core/hash.h"

struct head {
    char magic[8];
    uint32_t version, zero;
    hash128 owner, nonce;
    uint64_t epoch, sealed;
    int64_t wall_ms;
};
_Static_assert(sizeof(struct head) == 72, "no padding");
enum { CHECK_BYTES = 16, ITEM_MIN = 2 };

void object_catalog_encode(const struct object_catalog *c, struct buf *out)
{
    struct head h = { .version = OBJECT_CATALOG_VERSION, .owner = c->owner, .nonce = c->nonce, .epoch = c->epoch, .sealed = c->sealed,
                      .wall_ms = c->wall_ms };
    memcpy(h.magic, "TERCETOC", 8);
    buf_put(out, &h, sizeof h);
    buf_varint(out, c->n);
    for (size_t i = 0; i < c->n; i++) {
        buf_varint(out, c->items[i].key.n);
        buf_str(out, c->items[i].key);
        buf_varint(out, c->items[i].value.n);
        buf_str(out, c->items[i].value);
    }
    hash128 check = hash128_of(buf_view(out));
    buf_put(out, &check, sizeof check);
}

static bool take_str(const uint8_t **at, const uint8_t *end, struct str *out)
{
    uint64_t n;
    *at = varint_get(*at, end, &n);
    if (!*at || n > (size_t)(end - *at)) return false;
    *out = str_n(*at, (size_t)n);
    *at += n;
    return true;
}

err_t object_catalog_decode(struct str bytes, struct arena *a, struct object_catalog *out)
{
    struct head h;
    hash128 check;
    if (bytes.n < sizeof h + 1 + CHECK_BYTES) return err_set(ERR_CORRUPT, "the catalog object has %zu bytes", bytes.n);
    memcpy(&h, bytes.p, sizeof h);
    if (memcmp(h.magic, "TERCETOC", 8) != 0) return err_set(ERR_CORRUPT, "the catalog object is none of Tercet's");
    if (h.version != OBJECT_CATALOG_VERSION)
        return err_set(ERR_CORRUPT, "the catalog object has version %u, this program reads %d", h.version, OBJECT_CATALOG_VERSION);
    struct str body = { bytes.p, bytes.n - CHECK_BYTES };
    memcpy(&check, bytes.p + body.n, sizeof check);
    if (!hash128_eq(check, hash128_of(body))) return err_set(ERR_CORRUPT, "the catalog object's checksum is wrong");
    *out = (struct object_catalog){ .owner = h.owner, .nonce = h.nonce, .epoch = h.epoch, .sealed = h.sealed, .wall_ms = h.wall_ms };
    const uint8_t *at = (const uint8_t *)body.p + sizeof h, *end = (const uint8_t *)body.p + body.n;
    uint64_t n;
    at = varint_get(at, end, &n);
    if (!at || n > (size_t)(end - at) / ITEM_MIN) return err_set(ERR_CORRUPT, "the catalog object: its number of items");
    out->items = ARENA_RAW(a, struct kv_item, (size_t)n + 1);
    TRY(arena_check(a));
    for (; out->n < n; out->n++) {
        struct kv_item *i = &out->items[out->n];
        if (!take_str(&at, end, &i->key) || !take_str(&at, end, &i->value))
            return err_set(ERR_CORRUPT, "the catalog object: item %zu", out->n);
    }
    return at == end ? OK : err_set(ERR_CORRUPT, "the catalog object: bytes behind its items");
}
