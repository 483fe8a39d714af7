#include "storage/usage.h"

#include "base/core/hash.h"

void usage_init(struct usage *u, struct arena *a)
{
    *u = (struct usage){ .a = a };
    htab_init(&u->set_index, a->budget);
    htab_init(&u->part_index, a->budget);
}

void usage_deinit(struct usage *u)
{
    htab_deinit(&u->set_index);
    htab_deinit(&u->part_index);
}

uint32_t usage_set_of(struct usage *u, struct str tenant, enum signal signal, struct str index)
{
    uint64_t hash = hash_seeded64(tenant) ^ hash_u64(hash_seeded64(index) + (uint64_t)signal);
    for (uint32_t it = 0, i; htab_next(&u->set_index, hash, &it, &i);) {
        const struct usage_set *s = &u->sets[i];
        if (s->signal == signal && str_eq(s->tenant, tenant) && str_eq(s->index, index)) return i;
    }
    u->sets = arena_grow(u->a, u->sets, u->nsets, &u->sets_cap, u->nsets + 1, sizeof *u->sets);
    u->sets[u->nsets] = (struct usage_set){ .tenant = arena_str(u->a, tenant), .index = arena_str(u->a, index), .signal = signal,
                                            .tmin_ns = INT64_MAX, .tmax_ns = INT64_MIN };
    htab_insert(&u->set_index, hash, u->nsets);
    return u->nsets++;
}

static uint64_t part_hash(const struct usage_part *p)
{
    uint64_t what = (uint64_t)p->set << 32 | (uint64_t)p->kind << 24 | (uint64_t)p->rel << 16 | (uint64_t)p->scope << 8 | p->type;
    return hash_seeded64(p->name) ^ hash_u64(what);
}

static bool part_same(const struct usage_part *a, const struct usage_part *b)
{
    return a->set == b->set && a->kind == b->kind && a->rel == b->rel && a->scope == b->scope && a->type == b->type && str_eq(a->name, b->name);
}

static struct usage_part *part_of(struct usage *u, struct usage_part *p)
{
    uint64_t hash = part_hash(p);
    for (uint32_t it = 0, i; htab_next(&u->part_index, hash, &it, &i);)
        if (part_same(&u->parts[i], p)) return &u->parts[i];
    /* Those without a name are few: a set and kind have one a relation and type. */
    if (u->nparts >= USAGE_PARTS_MAX && p->name.n) {
        p->name = STR_NONE;
        return part_of(u, p);
    }
    u->parts = arena_grow(u->a, u->parts, u->nparts, &u->parts_cap, u->nparts + 1, sizeof *u->parts);
    struct usage_part *to = &u->parts[u->nparts];
    *to = (struct usage_part){ .kind = p->kind, .rel = p->rel, .scope = p->scope, .type = p->type, .set = p->set };
    to->name = p->name.n ? arena_str(u->a, p->name) : STR_NONE;
    htab_insert(&u->part_index, hash, u->nparts++);
    return to;
}

static void add(struct usage *u, struct usage_part p, enum usage_join join)
{
    struct usage_part *to = part_of(u, &p);
    /* How many strings two groups have together is not known. */
    bool most = p.kind != USAGE_METRIC || join == USAGE_OVER_TIME;
    to->bytes += p.bytes;
    to->filter_bytes += p.filter_bytes;
    to->count += p.count;
    to->of += p.of;
    to->distinct = most ? MAX(to->distinct, p.distinct) : to->distinct + p.distinct;
}

void usage_add(struct usage *u, const struct usage_part *p, enum usage_join join)
{
    u->sets[p->set].bytes += p->bytes;
    if (p->kind == USAGE_METRIC) u->sets[p->set].samples += p->count;
    add(u, *p, join);
}

static void merge_set(struct usage_set *to, const struct usage_set *from, enum usage_join join)
{
    to->bytes += from->bytes;
    to->groups += from->groups;
    to->rows = from->signal == SIG_METRICS && join == USAGE_OVER_TIME ? MAX(to->rows, from->rows) : to->rows + from->rows;
    to->samples += from->samples;
    to->directory_raw += from->directory_raw;
    to->tmin_ns = MIN(to->tmin_ns, from->tmin_ns);
    to->tmax_ns = MAX(to->tmax_ns, from->tmax_ns);
    to->gone_bytes += from->gone_bytes;
    to->dead_rows += from->dead_rows;
    to->mem_rows += from->mem_rows;
    to->mem_bytes += from->mem_bytes;
}

enum { NO_SET = UINT32_MAX };

void usage_merge(struct usage *u, const struct usage *from, enum usage_join join, struct str only)
{
    uint32_t *set = ARENA_ARRAY(u->a, uint32_t, from->nsets + 1);
    u->segments += from->segments;
    u->bytes += from->bytes;
    u->remote_bytes += from->remote_bytes;
    u->other_bytes += from->other_bytes;
    u->ids_bytes += from->ids_bytes;
    u->words_bytes += from->words_bytes;
    u->directory_bytes += from->directory_bytes;
    u->padding_bytes += from->padding_bytes;
    u->unread_segments += from->unread_segments;
    for (int i = 0; i < USAGE_LEVELS; i++) {
        u->level[i].segments += from->level[i].segments;
        u->level[i].bytes += from->level[i].bytes;
    }
    for (uint32_t i = 0; i < from->nsets; i++) {
        const struct usage_set *s = &from->sets[i];
        set[i] = NO_SET;
        if (only.n && !str_eq(only, s->tenant)) {
            u->other_bytes += s->bytes;
            continue;
        }
        set[i] = usage_set_of(u, s->tenant, s->signal, s->index);
        merge_set(&u->sets[set[i]], s, join);
    }
    for (uint32_t i = 0; i < from->nparts; i++) {
        struct usage_part p = from->parts[i];
        p.set = set[p.set];
        if (p.set != NO_SET) add(u, p, join);
    }
}
