/* Record cluster/vouched: u8 version (1) | vouch_list_put. */
#include "cluster/vouches.h"

#include "base/core/assert.h"
#include "base/core/log.h"

#include <pthread.h>
#include <stdlib.h>

enum { VOUCHED_VERSION = 1, VOUCHES_MAX = 4096, VOUCH_BYTES = 9, RECORD_MAX = 1 << 20 };
static const struct str KEY = { "cluster/vouched", 15 };

struct vouches {
    struct store *s;
    pthread_mutex_t lock;
    struct vouch_list list;
    bool changed;
};

void vouch_list_deinit(struct vouch_list *l)
{
    free(l->v);
    *l = (struct vouch_list){ 0 };
}

const struct vouch *vouch_list_find(const struct vouch_list *l, uint64_t stream)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (l->v[i].stream == stream) return &l->v[i];
    return NULL;
}

static void add(struct vouch_list *l, uint64_t stream, member_set with)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->v = realloc(l->v, l->cap * sizeof *l->v);
        ASSERT(l->v != NULL);
    }
    l->v[l->n++] = (struct vouch){ stream, with };
}

void vouch_list_put(const struct vouch_list *l, struct buf *out)
{
    buf_varint(out, l->n);
    for (uint32_t i = 0; i < l->n; i++) {
        bytes_out_u64(out, l->v[i].stream);
        buf_byte(out, l->v[i].with);
    }
}

err_t vouch_list_get(struct bytes_in *in, struct vouch_list *out)
{
    uint32_t n = bytes_in_count(in, VOUCH_BYTES);
    if (in->bad || n > VOUCHES_MAX) return err_set(ERR_CORRUPT, "a list of what a node vouches for is malformed");
    for (uint32_t i = 0; i < n; i++) {
        uint64_t stream = bytes_in_u64(in);
        add(out, stream, bytes_in_u8(in));
    }
    return OK;
}

static err_t load(struct vouches *v, struct arena *a)
{
    struct str value;
    err_t e = store_kv(v->s)->get(store_kv(v->s), KEY, a, &value);
    if (e == ERR_NOT_FOUND) return OK;
    TRY(e);
    struct bytes_in in = bytes_in_of(value);
    if (bytes_in_u8(&in) != VOUCHED_VERSION) return err_set(ERR_CORRUPT, "cluster/vouched is of another version");
    return vouch_list_get(&in, &v->list);
}

struct vouches *vouches_open(struct store *s)
{
    struct vouches *v = calloc(1, sizeof *v);
    struct arena a;
    ASSERT(v != NULL);
    v->s = s;
    pthread_mutex_init(&v->lock, NULL);
    arena_init(&a, NULL);
    if (load(v, &a) != OK) log_warn("cluster.vouched", "error=%s effect=\"it is found out anew\"", err_detail());
    arena_deinit(&a);
    return v;
}

void vouches_free(struct vouches *v)
{
    if (!v) return;
    vouch_list_deinit(&v->list);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

void vouches_copy(struct vouches *v, struct vouch_list *out)
{
    pthread_mutex_lock(&v->lock);
    for (uint32_t i = 0; i < v->list.n; i++)
        add(out, v->list.v[i].stream, v->list.v[i].with);
    pthread_mutex_unlock(&v->lock);
}

void vouches_set(struct vouches *v, uint64_t stream, const member_set *with)
{
    pthread_mutex_lock(&v->lock);
    uint32_t i = 0;
    while (i < v->list.n && v->list.v[i].stream != stream)
        i++;
    if (i == v->list.n) {
        if (with && i < VOUCHES_MAX) add(&v->list, stream, *with), v->changed = true;
    } else if (!with) {
        v->list.v[i] = v->list.v[--v->list.n];
        v->changed = true;
    } else if (v->list.v[i].with != *with) {
        v->list.v[i].with = *with;
        v->changed = true;
    }
    pthread_mutex_unlock(&v->lock);
}

err_t vouches_save(struct vouches *v)
{
    struct buf out;
    if (!v->changed) return OK;
    v->changed = false;
    buf_init(&out, RECORD_MAX, NULL);
    buf_byte(&out, VOUCHED_VERSION);
    vouch_list_put(&v->list, &out); /* core 0 alone changes it */
    const struct kv_op op = { KEY, buf_view(&out) };
    err_t e = store_kv(v->s)->write(store_kv(v->s), &op, 1);
    if (e != OK) v->changed = true;
    buf_deinit(&out);
    return e;
}
