/* Record cluster/known: u8 version (3) | u8 told | v n | (u64 id | v generation | s gossip bytes | s rpc bytes | v weight | s zone)*, ids ascending.
 * What else is known of a member it will say itself. Version 1 had neither weight nor zone, version 2 was of nodes that were told. */
#include "cluster/known.h"

#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"

#include <string.h>

enum { KNOWN_VERSION = 3, KNOWN_BYTES_MAX = 4 << 20, KNOWN_LEAST = 11, KNOWN_WEIGHT = 100 };
static const struct str KEY = { "cluster/known", 13 };

static void put_address(const struct io_addr *a, struct buf *out)
{
    bytes_out_str(out, str_n((const char *)a->bytes, a->n));
}

static bool get_address(struct bytes_in *in, struct io_addr *out)
{
    struct str s = bytes_in_str(in);
    *out = (struct io_addr){ .n = (unsigned)s.n };
    if (s.n == 0 || s.n > sizeof out->bytes) return false;
    memcpy(out->bytes, s.p, s.n);
    return true;
}

/* They decide where rows go. */
static bool get_place(struct bytes_in *in, uint8_t version, struct member_meta *out)
{
    out->weight = KNOWN_WEIGHT;
    if (version == 1) return true;
    uint64_t weight = bytes_in_varint(in);
    struct str zone = bytes_in_str(in);
    if (weight > UINT32_MAX || zone.n >= sizeof out->zone) return false;
    out->weight = (uint32_t)weight;
    if (zone.n) memcpy(out->zone, zone.p, zone.n);
    return true;
}

static err_t bad(void)
{
    return err_set(ERR_CORRUPT, "the record of known members is malformed");
}

err_t known_load(struct store *s, node_id self, struct arena *a, struct member **out, uint32_t *n, bool *told)
{
    struct str value;
    *out = NULL;
    *n = 0;
    *told = false;
    err_t e = store_kv(s)->get(store_kv(s), KEY, a, &value);
    if (e == ERR_NOT_FOUND) return OK;
    TRY(e);
    struct bytes_in in = bytes_in_of(value);
    uint8_t version = bytes_in_u8(&in);
    if (version == 0 || version > KNOWN_VERSION) return bad();
    *told = version < 3 || bytes_in_u8(&in) != 0;
    uint32_t all = bytes_in_count(&in, KNOWN_LEAST);
    *out = ARENA_ARRAY(a, struct member, all);
    for (uint32_t i = 0; i < all; i++) {
        struct member m = { .id = { bytes_in_u64(&in) }, .generation = bytes_in_varint(&in), .state = MEMBER_DEAD };
        if (!get_address(&in, &m.meta.gossip) || !get_address(&in, &m.meta.rpc) || !get_place(&in, version, &m.meta)) return bad();
        if (m.id.u != self.u) (*out)[(*n)++] = m;
    }
    return in.bad || in.p != in.end ? bad() : OK;
}

static void encode(const struct members *m, bool told, struct buf *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        n += m->v[i].state != MEMBER_LEFT;
    buf_byte(out, KNOWN_VERSION);
    buf_byte(out, told);
    buf_varint(out, n);
    for (uint32_t i = 0; i < m->n; i++) {
        const struct member *x = &m->v[i];
        if (x->state == MEMBER_LEFT) continue;
        bytes_out_u64(out, x->id.u);
        buf_varint(out, x->generation);
        put_address(&x->meta.gossip, out);
        put_address(&x->meta.rpc, out);
        buf_varint(out, x->meta.weight);
        bytes_out_str(out, str_of(x->meta.zone));
    }
}

static err_t save(struct store *s, struct str bytes, struct arena *a)
{
    struct str old;
    err_t e = store_kv(s)->get(store_kv(s), KEY, a, &old);
    if (e == OK && str_eq(old, bytes)) return OK;
    if (e != OK && e != ERR_NOT_FOUND) return e;
    const struct kv_op op = { KEY, bytes };
    return store_kv(s)->write(store_kv(s), &op, 1);
}

err_t known_save(struct store *s, const struct members *m, bool told)
{
    struct arena a;
    struct buf bytes;
    arena_init(&a, NULL);
    buf_init(&bytes, KNOWN_BYTES_MAX, NULL);
    encode(m, told, &bytes);
    err_t e = buf_check(&bytes);
    if (e == OK) e = save(s, buf_view(&bytes), &a);
    struct err_record why = *err_record();
    buf_deinit(&bytes);
    arena_deinit(&a);
    *err_record() = why;
    return e;
}
