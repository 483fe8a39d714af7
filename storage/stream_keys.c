#include "storage/stream_keys.h"

#include "base/core/assert.h"
#include "storage/store_int.h"

#include <stdlib.h>

enum { KEY_LEAST = 16 + 1 + 8 + 8 + 1 + 1 + 1 };

/* -- giving -------------------------------------------------------------------------------------------------- */

struct collect {
    struct store *s;
    uint64_t stream;
    const struct cover *given;
    struct buf entries; /* DEDUP_BYTES each */
};

static err_t collect_here(void *arg)
{
    struct collect *c = arg;
    dedup_export_stream(&shard_here(c->s)->dedup, c->stream, c->given, &c->entries);
    return OK;
}

static int by_age(const void *x, const void *y)
{
    const struct stream_key *a = x, *b = y;
    if (a->age_ms != b->age_ms) return a->age_ms < b->age_ms ? -1 : 1;
    if (a->key.hi != b->key.hi) return a->key.hi < b->key.hi ? -1 : 1;
    return a->key.lo < b->key.lo ? -1 : a->key.lo > b->key.lo;
}

static bool is_once(const struct stream_keys *k, const struct stream_key *last)
{
    return k->n == 0 || !hash128_eq(k->v[k->n - 1].key, last->key);
}

/* One that stands in both of a core's sets comes twice, with one age. */
static err_t sort_out(const struct collect *c, struct arena *a, struct stream_keys *out)
{
    size_t n = c->entries.n / DEDUP_BYTES;
    int64_t now_ms = rt_wall().ns / NS_PER_MS;
    struct stream_key *v = ARENA_RAW(a, struct stream_key, n + 1);
    TRY(arena_check(a));
    for (size_t i = 0; i < n; i++) {
        struct dedup_entry e;
        dedup_get((const char *)c->entries.p + i * DEDUP_BYTES, 0, &e);
        int64_t age_ms = now_ms - e.wall_ms;
        v[i] = (struct stream_key){ .key = e.key, .age_ms = age_ms > 0 ? (uint64_t)age_ms : 0, .scope = e.scope, .name = e.name };
        if (c->stream == c->s->own_stream) v[i].key = dedup_key_foreign(e.key, c->stream);
    }
    qsort(v, n, sizeof *v, by_age);
    *out = (struct stream_keys){ .v = v };
    for (size_t i = 0; i < n && out->n < STREAM_KEYS_MAX && v[i].age_ms < DEDUP_MS; i++)
        if (is_once(out, &v[i])) out->v[out->n++] = v[i];
    return OK;
}

err_t stream_keys_give(struct store *s, uint64_t stream, const struct cover *given, struct arena *a, struct stream_keys *out)
{
    struct collect c = { .s = s, .stream = stream, .given = given };
    err_t e = OK;
    buf_init(&c.entries, (size_t)2 * DEDUP_MAX * DEDUP_BYTES, NULL);
    for (unsigned core = 0; e == OK && core < s->cores; core++)
        e = rt_call(core, RT_MAINTENANCE, collect_here, &c);
    if (e == OK) e = buf_check(&c.entries);
    if (e == OK) e = sort_out(&c, a, out);
    struct err_record why = *err_record();
    buf_deinit(&c.entries);
    *err_record() = why;
    return e;
}

/* -- bytes --------------------------------------------------------------------------------------------------- */

void stream_keys_put(const struct stream_keys *k, struct buf *out)
{
    buf_varint(out, k->n);
    for (uint32_t i = 0; i < k->n; i++) {
        const struct stream_key *e = &k->v[i];
        bytes_out_u64(out, e->key.lo);
        bytes_out_u64(out, e->key.hi);
        buf_varint(out, e->age_ms);
        bytes_out_u64(out, e->scope);
        bytes_out_u64(out, e->name.origin.u);
        buf_varint(out, e->name.epoch);
        buf_varint(out, e->name.core);
        buf_varint(out, e->name.seq);
    }
}

static err_t malformed(void)
{
    return err_set(ERR_CORRUPT, "the keys of a stream's requests are malformed");
}

static err_t get_one(struct bytes_in *in, uint64_t stream, const struct cover *given, struct stream_key *e)
{
    e->key.lo = bytes_in_u64(in);
    e->key.hi = bytes_in_u64(in);
    e->age_ms = bytes_in_varint(in);
    e->scope = bytes_in_u64(in);
    e->name.stream = stream;
    e->name.origin.u = bytes_in_u64(in);
    e->name.epoch = bytes_in_varint(in);
    uint64_t core = bytes_in_varint(in);
    e->name.core = (uint32_t)core;
    e->name.seq = bytes_in_varint(in);
    if (in->bad || core > UINT32_MAX || e->age_ms >= DEDUP_MS || !cover_has(given, &e->name)) return malformed();
    return OK;
}

err_t stream_keys_get(struct bytes_in *in, uint64_t stream, const struct cover *given, struct arena *a, struct stream_keys *out)
{
    uint32_t n = bytes_in_count(in, KEY_LEAST);
    *out = (struct stream_keys){ 0 };
    if (in->bad || n > STREAM_KEYS_MAX) return malformed();
    out->v = ARENA_RAW(a, struct stream_key, (size_t)n + 1);
    TRY(arena_check(a));
    for (; out->n < n; out->n++) {
        TRY(get_one(in, stream, given, &out->v[out->n]));
        if (out->n > 0 && by_age(&out->v[out->n - 1], &out->v[out->n]) >= 0) return malformed();
    }
    return OK;
}

/* -- taking -------------------------------------------------------------------------------------------------- */

int64_t stream_keys_take(const struct store *s, const struct stream_keys *k, struct buf *out)
{
    int64_t now_ms = rt_wall().ns / NS_PER_MS, newest = INT64_MIN;
    for (uint32_t i = 0; i < k->n && k->v[i].name.stream != s->own_stream; i++) {
        const struct stream_key *from = &k->v[i];
        const struct dedup_entry e = { .key = from->key, .wall_ms = now_ms - (int64_t)from->age_ms, .scope = from->scope, .name = from->name };
        dedup_put(out, &e);
        newest = MAX(newest, e.wall_ms);
    }
    return newest;
}
