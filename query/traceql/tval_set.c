#include "query/traceql/tval_set.h"

#include "base/core/hash.h"

static bool is_text(const struct tval *v)
{
    return v->type == TV_STR || v->type == TV_BYTES || v->type == TV_JSON;
}

static uint64_t tval_hash(const struct tval *v)
{
    uint64_t bits = 0;
    if (v->type == TV_BOOL)
        bits = v->b;
    else if (v->type != TV_NIL && !is_text(v))
        memcpy(&bits, &v->i, 8);
    return hash_u64((is_text(v) ? hash64(v->s) : bits) + (uint64_t)v->type);
}

int tval_order(const struct tval *a, const struct tval *b)
{
    if (a->type != b->type) return a->type < b->type ? -1 : 1;
    switch (a->type) {
    case TV_STR: case TV_BYTES: case TV_JSON: return str_cmp(a->s, b->s);
    case TV_FLOAT: return (a->f > b->f) - (a->f < b->f);
    case TV_BOOL: return (int)a->b - (int)b->b;
    case TV_NIL: return 0;
    default: return (a->i > b->i) - (a->i < b->i);
    }
}

void tval_set_init(struct tval_set *s, struct arena *a)
{
    *s = (struct tval_set){ .a = a };
    htab_init(&s->seen, a->budget);
}

void tval_set_deinit(struct tval_set *s)
{
    htab_deinit(&s->seen);
}

static uint32_t find(const struct tval_set *s, uint64_t hash, const struct tval *v)
{
    for (uint32_t it = 0, i; htab_next(&s->seen, hash, &it, &i);)
        if (tval_order(&s->v[i], v) == 0) return i;
    return UINT32_MAX;
}

uint32_t tval_set_find(const struct tval_set *s, const struct tval *v)
{
    return find(s, tval_hash(v), v);
}

uint32_t tval_set_add(struct tval_set *s, struct tval v)
{
    uint64_t hash = tval_hash(&v);
    uint32_t i = find(s, hash, &v);
    if (i != UINT32_MAX) return i;
    if (is_text(&v)) v.s = arena_str(s->a, v.s);
    s->v = arena_grow(s->a, s->v, s->n, &s->cap, s->n + 1, sizeof *s->v);
    htab_insert(&s->seen, hash, s->n);
    s->v[s->n] = v;
    return s->n++;
}

struct tval tval_of_column(const struct val *v, const struct tql_field *f, struct arena *a)
{
    struct tval t = { .type = TV_NIL };
    switch (v->type) {
    case COL_I64: t = (struct tval){ .type = TV_INT, .i = v->i64 }; break;
    case COL_F64: t = (struct tval){ .type = TV_FLOAT, .f = v->f64 }; break;
    case COL_BOOL: t = (struct tval){ .type = TV_BOOL, .b = v->boolean }; break;
    case COL_STR: t = (struct tval){ .type = TV_STR, .s = v->s }; break;
    case COL_BYTES: t = (struct tval){ .type = TV_BYTES, .s = v->s }; break;
    case COL_JSON: t = (struct tval){ .type = TV_JSON, .s = v->s }; break;
    case COL_FIX: {
        char *hex = ARENA_RAW(a, char, 2 * v->s.n);
        str_to_hex((const uint8_t *)v->s.p, v->s.n, hex);
        t = (struct tval){ .type = TV_STR, .s = str_n(hex, 2 * v->s.n) };
        break;
    }
    default: break;
    }
    if (f->kind == TF_INTRINSIC && f->intrinsic == TI_STATUS) t.type = TV_STATUS;
    if (f->kind == TF_INTRINSIC && f->intrinsic == TI_KIND) t.type = TV_KIND;
    if (f->kind == TF_INTRINSIC && f->intrinsic == TI_DURATION) t.duration = true;
    return t;
}
