#include "query/ops/wire.h"

#include "base/core/hash.h"

#include <stdio.h>

/* -- writing -------------------------------------------------------------------------------------------------- */
void wire_out_init(struct wire_out *w, struct buf *out)
{
    *w = (struct wire_out){ .out = out };
    arena_init(&w->mem, out->budget);
    htab_init(&w->seen, out->budget);
}

void wire_out_deinit(struct wire_out *w)
{
    htab_deinit(&w->seen);
    arena_deinit(&w->mem);
}

void wire_put_str(struct wire_out *w, struct str s)
{
    if (!s.p) {
        buf_varint(w->out, 0);
        return;
    }
    uint64_t h = hash_seeded64(s);
    for (uint32_t it = 0, i; htab_next(&w->seen, h, &it, &i);)
        if (str_eq(w->v[i], s)) {
            buf_varint(w->out, UINT64_C(2) + i);
            return;
        }
    htab_insert(&w->seen, h, w->n);
    w->v = arena_grow(&w->mem, w->v, w->n, &w->cap, (size_t)w->n + 1, sizeof *w->v);
    w->v[w->n++] = s;
    buf_varint(w->out, 1);
    bytes_out_str(w->out, s);
}

void wire_put_val(struct wire_out *w, const struct val *v)
{
    buf_byte(w->out, (uint8_t)v->type);
    if (v->type == COL_I64) bytes_out_zigzag(w->out, v->i64);
    else if (v->type == COL_F64) bytes_out_f64(w->out, v->f64);
    else if (v->type == COL_BOOL) buf_byte(w->out, v->boolean);
    else if (v->type) wire_put_str(w, v->s);
}

void wire_put_ref(struct wire_out *w, const struct attr_ref *r)
{
    buf_byte(w->out, (uint8_t)r->rel);
    buf_byte(w->out, (uint8_t)r->scope);
    buf_byte(w->out, r->below);
    wire_put_str(w, r->name);
    wire_put_str(w, r->path);
}

/* -- reading -------------------------------------------------------------------------------------------------- */
struct wire_in wire_in_of(struct bytes_in *in, struct arena *a)
{
    return (struct wire_in){ .in = in, .a = a };
}

err_t wire_check(const struct wire_in *w, const char *what)
{
    if (w->refused) {
        char why[ERR_DETAIL_MAX]; /* the budget's words: nothing was said since */
        snprintf(why, sizeof why, "%s", err_detail());
        return err_set(w->refused, "%s, by %s that another node sent", why, what);
    }
    if (w->in->bad) return err_set(ERR_CORRUPT, "%s from another node cannot be read", what);
    return arena_check(w->a);
}

struct str wire_get_str(struct wire_in *w)
{
    uint64_t code = bytes_in_varint(w->in);
    if (code == 0) return STR_NONE;
    if (code == 1) {
        struct str s = bytes_in_str(w->in);
        if (w->in->bad) return STR_NONE;
        w->v = arena_grow(w->a, w->v, w->n, &w->cap, (size_t)w->n + 1, sizeof *w->v);
        return w->v[w->n++] = arena_str(w->a, s);
    }
    if (code - 2 < w->n) return w->v[code - 2];
    w->in->bad = true;
    return STR_NONE;
}

struct str wire_get_text(struct wire_in *w)
{
    return arena_str(w->a, bytes_in_str(w->in));
}

struct val wire_get_val(struct wire_in *w)
{
    struct val v = { .type = wire_get_enum(w, COL_FIX) };
    if (v.type == COL_I64) v.i64 = bytes_in_zigzag(w->in);
    else if (v.type == COL_F64) v.f64 = bytes_in_f64(w->in);
    else if (v.type == COL_BOOL) v.boolean = wire_get_flag(w);
    else if (v.type) v.s = wire_get_str(w);
    if (v.type >= COL_STR && !v.s.p) v.s = STR("");
    return v;
}

struct attr_ref wire_get_ref(struct wire_in *w)
{
    struct attr_ref r = { .rel = (int)wire_get_enum(w, REL_LINKS), .scope = wire_get_enum(w, SC_ATTR) };
    r.below = wire_get_flag(w);
    r.name = wire_get_str(w);
    r.path = wire_get_str(w);
    return r;
}

bool wire_get_flag(struct wire_in *w)
{
    return wire_get_enum(w, 1) != 0;
}

uint32_t wire_get_enum(struct wire_in *w, uint32_t max)
{
    uint32_t v = bytes_in_u8(w->in);
    if (v <= max) return v;
    w->in->bad = true;
    return 0;
}

uint32_t wire_get_u32(struct wire_in *w, uint32_t max)
{
    uint64_t v = bytes_in_varint(w->in);
    w->in->bad |= v > max;
    return (uint32_t)v;
}

void *wire_get_list(struct wire_in *w, size_t least, uint32_t max, size_t elem_size, uint32_t *n)
{
    *n = bytes_in_count(w->in, least);
    if (*n > max) w->in->bad = true;
    if (w->a->budget && !w->in->bad) { /* so much at once is asked for before it is taken */
        int64_t bytes = (int64_t)*n * (int64_t)elem_size;
        budget_charge(w->a->budget, bytes);
        w->refused = budget_check(w->a->budget);
        budget_release(w->a->budget, bytes);
    }
    w->in->bad |= w->refused != OK;
    if (w->in->bad) *n = 0;
    return arena_calloc(w->a, (size_t)*n + 1, elem_size);
}
