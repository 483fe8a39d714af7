/* What the bytes of plans and partial states of fragments (query.h) are made of, beside base/core/bytes_out.h:
 *
 *   string   varint: 0 = none (p == NULL); 1 = a new one, its length and bytes follow; 2 + i = the i-th new one again.
 *            A string stands once, however many rows have it.
 *   text     varint length, bytes: for strings that are hardly ever equal
 *   value    u8 type (0 none, COL_*), then I64 zigzag | F64 8 bytes | BOOL u8 | the others a string
 *   ref      u8 relation, u8 scope, u8 below, string name, string path
 *   flag     u8, 0 or 1
 * Doubles go bit by bit. A list is its count, then its elements.
 *
 * Readers copy into the arena; after the first thing that does not fit all are empty, and wire_check tells. No list makes
 * room for more elements than the bytes can hold, or than the arena's budget has room for. */
#ifndef QUERY_OPS_WIRE_H
#define QUERY_OPS_WIRE_H

#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "base/core/htab.h"
#include "query/ops/attr.h"

struct wire_out {
    struct buf *out;
    struct arena mem;
    struct htab seen;
    struct str *v; /* strings that were written, borrowed */
    size_t cap;
    uint32_t n;
};
void wire_out_init(struct wire_out *w, struct buf *out);
void wire_out_deinit(struct wire_out *w);
void wire_put_str(struct wire_out *w, struct str s);
void wire_put_val(struct wire_out *w, const struct val *v);
void wire_put_ref(struct wire_out *w, const struct attr_ref *r);

struct wire_in {
    struct bytes_in *in;
    struct arena *a;
    struct str *v; /* strings that were read */
    size_t cap;
    uint32_t n;
    err_t refused; /* the budget's word on a list that it has no room for */
};
struct wire_in wire_in_of(struct bytes_in *in, struct arena *a);
/* ERR_CORRUPT with the name of what was read, or the refusal of the budget. */
MUST_CHECK err_t wire_check(const struct wire_in *w, const char *what);
struct str wire_get_str(struct wire_in *w);
struct str wire_get_text(struct wire_in *w);
struct val wire_get_val(struct wire_in *w);
struct attr_ref wire_get_ref(struct wire_in *w);
bool wire_get_flag(struct wire_in *w);
/* A u8 that is at most max. */
uint32_t wire_get_enum(struct wire_in *w, uint32_t max);
/* A varint that is at most max. */
uint32_t wire_get_u32(struct wire_in *w, uint32_t max);
/* A count of elements of at least `least` bytes each, at most max, and zeroed room for them (and for one more). */
void *wire_get_list(struct wire_in *w, size_t least, uint32_t max, size_t elem_size, uint32_t *n);
#define WIRE_LIST(w, T, least, max, n) ((T *)wire_get_list((w), (least), (max), sizeof(T), (n)))

#endif
