#include "server/api/storage_wire.h"

#include "query/ops/wire.h"

enum { SET_NUMBERS = 9, PART_NUMBERS = 5, HEAD_NUMBERS = 9 };

void storage_plan_put(const void *plan, struct buf *out)
{
    const struct storage_plan *p = plan;
    buf_byte(out, p->all_tenants);
    bytes_out_zigzag(out, p->names_ns);
}

err_t storage_plan_get(struct query *q, struct bytes_in *in, const void **plan)
{
    struct storage_plan *p = ARENA_NEW(q->arena, struct storage_plan);
    struct wire_in w = wire_in_of(in, q->arena);
    p->all_tenants = wire_get_flag(&w);
    p->names_ns = bytes_in_zigzag(in);
    if (p->names_ns < 0 || p->names_ns > NS_PER_S * 3600) in->bad = true;
    *plan = p;
    return wire_check(&w, "a question for what the storage takes");
}

/* The numbers, in the order of the form. */
static void head_numbers(struct usage *u, uint64_t *to[HEAD_NUMBERS])
{
    uint64_t *const v[HEAD_NUMBERS] = { &u->segments, &u->bytes, &u->remote_bytes, &u->other_bytes, &u->ids_bytes,
                                        &u->words_bytes, &u->directory_bytes, &u->padding_bytes, &u->unread_segments };
    memcpy(to, v, sizeof v);
}

static void set_numbers(struct usage_set *s, uint64_t *to[SET_NUMBERS])
{
    uint64_t *const v[SET_NUMBERS] = { &s->bytes, &s->groups, &s->rows, &s->samples, &s->directory_raw,
                                       &s->gone_bytes, &s->dead_rows, &s->mem_rows, &s->mem_bytes };
    memcpy(to, v, sizeof v);
}

static void part_numbers(struct usage_part *p, uint64_t *to[PART_NUMBERS])
{
    uint64_t *const v[PART_NUMBERS] = { &p->bytes, &p->filter_bytes, &p->count, &p->of, &p->distinct };
    memcpy(to, v, sizeof v);
}

static void put_numbers(struct buf *b, uint64_t *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++) buf_varint(b, *v[i]);
}

static void get_numbers(struct bytes_in *in, uint64_t *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++) *v[i] = bytes_in_varint(in);
}

void storage_part_put(const void *plan, const void *partial, struct buf *out)
{
    struct usage u = *(const struct usage *)partial;
    uint64_t *v[HEAD_NUMBERS];
    struct wire_out w;
    (void)plan;
    wire_out_init(&w, out);
    head_numbers(&u, v);
    put_numbers(out, v, HEAD_NUMBERS);
    for (int i = 0; i < USAGE_LEVELS; i++) {
        buf_varint(out, u.level[i].segments);
        buf_varint(out, u.level[i].bytes);
    }
    buf_varint(out, u.nsets);
    for (uint32_t i = 0; i < u.nsets; i++) {
        struct usage_set s = u.sets[i];
        wire_put_str(&w, s.tenant);
        wire_put_str(&w, s.index);
        buf_byte(out, (uint8_t)s.signal);
        set_numbers(&s, v);
        put_numbers(out, v, SET_NUMBERS);
        bytes_out_zigzag(out, s.tmin_ns);
        bytes_out_zigzag(out, s.tmax_ns);
    }
    buf_varint(out, u.nparts);
    for (uint32_t i = 0; i < u.nparts; i++) {
        struct usage_part p = u.parts[i];
        const uint8_t what[] = { (uint8_t)p.kind, p.rel, p.scope, p.type };
        buf_put(out, what, sizeof what);
        buf_varint(out, p.set);
        wire_put_str(&w, p.name);
        part_numbers(&p, v);
        put_numbers(out, v, PART_NUMBERS);
    }
    wire_out_deinit(&w);
}

static void get_set(struct wire_in *w, struct usage_set *s)
{
    uint64_t *v[SET_NUMBERS];
    s->tenant = wire_get_str(w);
    s->index = wire_get_str(w);
    s->signal = (enum signal)wire_get_enum(w, SIG_EXEMPLARS);
    if (s->signal < SIG_METRICS) w->in->bad = true;
    set_numbers(s, v);
    get_numbers(w->in, v, SET_NUMBERS);
    s->tmin_ns = bytes_in_zigzag(w->in);
    s->tmax_ns = bytes_in_zigzag(w->in);
}

static void get_part(struct wire_in *w, const struct usage *u, struct usage_part *p)
{
    uint64_t *v[PART_NUMBERS];
    p->kind = (enum usage_kind)wire_get_enum(w, USAGE_KINDS - 1);
    p->rel = bytes_in_u8(w->in);
    p->scope = bytes_in_u8(w->in);
    p->type = bytes_in_u8(w->in);
    uint64_t set = bytes_in_varint(w->in);
    if (set >= u->nsets) w->in->bad = true;
    p->set = (uint32_t)set;
    p->name = wire_get_str(w);
    part_numbers(p, v);
    get_numbers(w->in, v, PART_NUMBERS);
}

err_t storage_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    struct usage *u = ARENA_NEW(a, struct usage);
    struct wire_in w = wire_in_of(in, a);
    uint64_t *v[HEAD_NUMBERS];
    (void)plan;
    *partial = u;
    u->a = a;
    head_numbers(u, v);
    get_numbers(in, v, HEAD_NUMBERS);
    for (int i = 0; i < USAGE_LEVELS; i++) {
        u->level[i].segments = bytes_in_varint(in);
        u->level[i].bytes = bytes_in_varint(in);
    }
    u->sets = WIRE_LIST(&w, struct usage_set, 14, UINT32_MAX, &u->nsets);
    for (uint32_t i = 0; i < u->nsets && !in->bad; i++) get_set(&w, &u->sets[i]);
    u->parts = WIRE_LIST(&w, struct usage_part, 11, UINT32_MAX, &u->nparts);
    for (uint32_t i = 0; i < u->nparts && !in->bad; i++) get_part(&w, u, &u->parts[i]);
    return wire_check(&w, "what the storage takes");
}
