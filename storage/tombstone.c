#include "storage/tombstone.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_codec.h"
#include "storage/metric_match.h"
#include "storage/regex.h"

#include <stdlib.h>

enum { TOMB_VERSION = 1, TOMB_HEAD = 12 };

struct owned { /* a tombstone with its memory */
    struct tombstone t; /* first: the others know this only */
    _Atomic uint32_t refs;
    struct arena a;
};

static struct owned *owned_of(const struct tombstone *t)
{
    return (struct owned *)(uintptr_t)t;
}

const struct tombstone *tombstone_get(const struct tombstone *t)
{
    atomic_fetch_add(&owned_of(t)->refs, 1);
    return t;
}

void tombstone_put(const struct tombstone *t)
{
    struct owned *o = owned_of(t);
    if (atomic_fetch_sub(&o->refs, 1) != 1) return;
    for (uint32_t i = 0; i < t->spec.nm; i++)
        if (t->spec.m[i].re) regex_free(t->spec.m[i].re);
    arena_deinit(&o->a);
    free(o);
}

static bool matches(const struct matcher *m, const struct labels *ls)
{
    bool negated = m->op == MATCH_NE || m->op == MATCH_NRE;
    struct str v = labels_get(ls, m->name);
    return match_value(m, v.p ? v : STR("")) != negated;
}

bool tombstone_matches(const struct tombstone *t, const struct labels *ls)
{
    for (uint32_t i = 0; i < t->spec.nm; i++)
        if (!matches(&t->spec.m[i], ls)) return false;
    return true;
}

/* -- bytes ------------------------------------------------------------------------------------------------------ */

void tombstone_encode(const struct tombstone *t, struct buf *out)
{
    const struct tombstone_spec *s = &t->spec;
    const uint32_t version = TOMB_VERSION;
    uint64_t hash = 0;
    buf_put(out, &version, sizeof version);
    size_t at = out->n;
    buf_put(out, &hash, sizeof hash);
    buf_put(out, &t->id, 8);
    buf_put(out, &t->generation, 8);
    buf_byte(out, (uint8_t)s->signal);
    buf_put(out, &s->tmin_ms, 8);
    buf_put(out, &s->tmax_ms, 8);
    buf_lstr(out, s->tenant);
    buf_lstr(out, s->index);
    buf_varint(out, s->nm);
    for (uint32_t i = 0; i < s->nm; i++) {
        buf_byte(out, (uint8_t)s->m[i].op);
        buf_lstr(out, s->m[i].name);
        buf_lstr(out, s->m[i].value);
    }
    if (out->failed) return;
    hash = hash64(str_sub(buf_view(out), at + 8, out->n));
    memcpy((char *)out->p + at, &hash, sizeof hash);
}

static err_t get_u64(struct cur *c, void *to)
{
    const uint8_t *p;
    TRY(cur_take(c, 8, &p));
    memcpy(to, p, 8);
    return OK;
}

static err_t get_matcher(struct cur *c, struct arena *a, struct matcher *m)
{
    uint8_t op;
    TRY(cur_u8(c, &op));
    if (op > MATCH_NRE) return err_set(ERR_CORRUPT, "a tombstone with a matcher of kind %u", op);
    *m = (struct matcher){ .op = op };
    TRY(cur_str(c, LABEL_NAME_MAX, &m->name));
    TRY(cur_str(c, LABEL_VALUE_MAX, &m->value));
    m->name = arena_str(a, m->name);
    m->value = arena_str(a, m->value);
    return m->op == MATCH_RE || m->op == MATCH_NRE ? regex_new(m->value, &m->re) : OK;
}

static err_t get_spec(struct cur *c, struct arena *a, struct tombstone *t)
{
    struct tombstone_spec *s = &t->spec;
    uint8_t signal;
    uint32_t nm;
    TRY(get_u64(c, &t->id));
    TRY(get_u64(c, &t->generation));
    TRY(cur_u8(c, &signal));
    if (signal != SIG_METRICS && signal != SIG_DOCS) return err_set(ERR_CORRUPT, "a tombstone of signal %u", signal);
    s->signal = signal;
    TRY(get_u64(c, &s->tmin_ms));
    TRY(get_u64(c, &s->tmax_ms));
    TRY(cur_str(c, TENANT_MAX, &s->tenant));
    TRY(cur_str(c, TABLE_NAME_MAX, &s->index));
    s->tenant = arena_str(a, s->tenant);
    s->index = arena_str(a, s->index);
    TRY(cur_count(c, TOMBSTONE_MATCHERS_MAX, &nm));
    struct matcher *m = ARENA_ARRAY(a, struct matcher, nm + 1);
    s->m = m;
    for (; s->nm < nm; s->nm++)
        TRY(get_matcher(c, a, &m[s->nm]));
    return c->p == c->end ? OK : err_set(ERR_CORRUPT, "bytes behind a tombstone");
}

err_t tombstone_decode(struct str bytes, const struct tombstone **out)
{
    uint32_t version;
    uint64_t hash;
    if (bytes.n < TOMB_HEAD || bytes.n > TOMBSTONE_BYTES_MAX) return err_set(ERR_CORRUPT, "a tombstone of %zu bytes", bytes.n);
    memcpy(&version, bytes.p, sizeof version);
    memcpy(&hash, bytes.p + 4, sizeof hash);
    if (version != TOMB_VERSION) return err_set(ERR_CORRUPT, "a tombstone of version %u", version);
    struct str rest = str_sub(bytes, TOMB_HEAD, bytes.n);
    if (hash64(rest) != hash) return err_set(ERR_CORRUPT, "the checksum of a tombstone is wrong");
    struct owned *o = calloc(1, sizeof *o);
    ASSERT(o != NULL);
    atomic_store(&o->refs, 1);
    arena_init(&o->a, NULL);
    struct cur c = cur_of(rest);
    err_t e = get_spec(&c, &o->a, &o->t);
    if (e == OK) *out = &o->t;
    else tombstone_put(&o->t);
    return e;
}

/* -- sets --------------------------------------------------------------------------------------------------------- */

struct tomb_set *tomb_set_get(struct tomb_set *s)
{
    if (s) atomic_fetch_add(&s->refs, 1);
    return s;
}

void tomb_set_put(struct tomb_set *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1) return;
    for (uint32_t i = 0; i < s->n; i++)
        tombstone_put(s->t[i]);
    free(s);
}

bool tomb_set_drops_index(const struct tomb_set *s, uint64_t generation, struct str tenant, struct str index)
{
    for (uint32_t i = 0; s && i < s->n; i++) {
        const struct tombstone *t = s->t[i];
        if (t->spec.signal == SIG_DOCS && generation <= t->generation && str_eq(t->spec.index, index) && str_eq(t->spec.tenant, tenant))
            return true;
    }
    return false;
}

struct tomb_set *tomb_set_edit(const struct tomb_set *s, const struct tombstone *more, const bool *drop)
{
    uint32_t n = s ? s->n : 0;
    struct tomb_set *out = malloc(sizeof *out + ((size_t)n + 1) * sizeof out->t[0]);
    ASSERT(out != NULL);
    out->n = 0;
    atomic_init(&out->refs, 1);
    for (uint32_t i = 0; i < n; i++)
        if (!drop || !drop[i]) out->t[out->n++] = tombstone_get(s->t[i]);
    if (more) out->t[out->n++] = tombstone_get(more);
    return out;
}
