/* See lost.h. */
#include "storage/lost.h"

#include "base/core/assert.h"
#include "storage/shard.h"

#include <stdlib.h>

void lost_init(struct lost *l)
{
    *l = (struct lost){ 0 };
    int e = pthread_mutex_init(&l->lock, NULL);
    ASSERT(e == 0);
}

/* With the lock. */
static void count(struct lost *l)
{
    atomic_store(&l->all, l->n);
}

static void part_free(struct lost_part *p)
{
    free((char *)(uintptr_t)p->tenant.p);
    free(p->why);
}

void lost_deinit(struct lost *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        part_free(&l->parts[i]);
    free(l->parts);
    pthread_mutex_destroy(&l->lock);
}

/* With the lock. */
static struct lost_part *find(struct lost *l, const struct seg_info *i, uint32_t group)
{
    for (uint32_t k = 0; k < l->n; k++)
        if (l->parts[k].group == group && seg_same(&l->parts[k].info, i)) return &l->parts[k];
    return NULL;
}

bool lost_add(struct lost *l, const struct lost_part *p)
{
    pthread_mutex_lock(&l->lock);
    bool known = find(l, &p->info, p->group) != NULL;
    if (!known) {
        if (l->n == l->cap) {
            l->cap = MAX(l->cap * 2, 16u);
            l->parts = realloc(l->parts, l->cap * sizeof *l->parts);
            ASSERT(l->parts != NULL);
        }
        struct lost_part *to = &l->parts[l->n++];
        *to = *p;
        to->why = strdup(p->why);
        to->tenant = (struct str){ strndup(p->tenant.n ? p->tenant.p : "", p->tenant.n), p->tenant.n };
        ASSERT(to->why != NULL && to->tenant.p != NULL);
        count(l);
    }
    pthread_mutex_unlock(&l->lock);
    return !known;
}

void lost_forget(struct lost *l, const struct seg_info *i)
{
    pthread_mutex_lock(&l->lock);
    for (uint32_t k = l->n; k-- > 0;) {
        if (!seg_same(&l->parts[k].info, i)) continue;
        part_free(&l->parts[k]);
        l->parts[k] = l->parts[--l->n];
    }
    count(l);
    pthread_mutex_unlock(&l->lock);
}

void lost_found(struct lost *l, const struct seg_info *i, uint32_t group)
{
    if (!lost_is(l, i, group)) return;
    pthread_mutex_lock(&l->lock);
    struct lost_part *p = find(l, i, group);
    if (p) {
        part_free(p);
        *p = l->parts[--l->n];
        count(l);
    }
    pthread_mutex_unlock(&l->lock);
}

bool lost_any(struct lost *l, const struct seg_info *i)
{
    bool is = false;
    if (atomic_load_explicit(&l->all, memory_order_relaxed) == 0) return false;
    pthread_mutex_lock(&l->lock);
    for (uint32_t k = 0; k < l->n && !is; k++)
        is = seg_same(&l->parts[k].info, i);
    pthread_mutex_unlock(&l->lock);
    return is;
}

bool lost_is(struct lost *l, const struct seg_info *i, uint32_t group)
{
    if (!l || atomic_load_explicit(&l->all, memory_order_relaxed) == 0) return false;
    pthread_mutex_lock(&l->lock);
    bool is = find(l, i, group) != NULL;
    pthread_mutex_unlock(&l->lock);
    return is;
}

bool lost_in_stream(struct lost *l, uint64_t stream)
{
    bool is = false;
    if (atomic_load_explicit(&l->all, memory_order_relaxed) == 0) return false;
    pthread_mutex_lock(&l->lock);
    for (uint32_t k = 0; k < l->n && !is; k++)
        is = l->parts[k].info.stream == stream;
    pthread_mutex_unlock(&l->lock);
    return is;
}

void lost_of_stream(struct lost *l, uint64_t stream, struct arena *a, struct seg_info **out, uint32_t *n)
{
    pthread_mutex_lock(&l->lock);
    *out = ARENA_RAW(a, struct seg_info, LOST_LIST_MAX);
    *n = 0;
    for (uint32_t k = 0; k < l->n && *n < LOST_LIST_MAX; k++) {
        const struct seg_info *i = &l->parts[k].info;
        bool wanted = i->stream == stream;
        for (uint32_t m = 0; m < *n && wanted; m++)
            wanted = !seg_same(&(*out)[m], i);
        if (wanted) (*out)[(*n)++] = *i;
    }
    pthread_mutex_unlock(&l->lock);
}

void lost_of_kind(struct lost *l, uint32_t kind, struct arena *a, struct seg_info **out, uint32_t *n)
{
    pthread_mutex_lock(&l->lock);
    *out = ARENA_RAW(a, struct seg_info, LOST_LIST_MAX);
    *n = 0;
    for (uint32_t k = 0; k < l->n && *n < LOST_LIST_MAX; k++)
        if (l->parts[k].group == kind) (*out)[(*n)++] = l->parts[k].info;
    pthread_mutex_unlock(&l->lock);
}

void lost_streams(struct lost *l, struct arena *a, uint64_t **out, uint32_t *n)
{
    *n = 0;
    *out = NULL;
    if (atomic_load_explicit(&l->all, memory_order_relaxed) == 0) return;
    pthread_mutex_lock(&l->lock);
    *out = ARENA_RAW(a, uint64_t, (size_t)l->n + 1);
    for (uint32_t k = 0; k < l->n; k++) {
        uint64_t id = l->parts[k].info.stream;
        uint32_t at = *n;
        while (at > 0 && (*out)[at - 1] > id)
            at--;
        if (at > 0 && (*out)[at - 1] == id) continue;
        memmove(*out + at + 1, *out + at, (*n - at) * sizeof **out);
        (*out)[at] = id;
        ++*n;
    }
    pthread_mutex_unlock(&l->lock);
}

static bool may_hold(const struct view *v, const struct lost_part *p, enum signal signal)
{
    if (!lost_takes_rows(p) || !view_picks(v, p->info.stream) || !seg_may_be_of(&p->info, v->core, v->cores, v->partitions)) return false;
    return p->group == LOST_WHOLE || (p->signal == signal && str_eq(p->tenant, v->tenant));
}

bool lost_overlaps(const struct view *v, enum signal signal, int64_t tmin_ns, int64_t tmax_ns)
{
    struct lost *l = v->lost;
    if (!l || atomic_load_explicit(&l->all, memory_order_relaxed) == 0) return false;
    bool found = false;
    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < l->n && !found; i++) {
        const struct lost_part *p = &l->parts[i];
        found = p->info.tmin_ns <= tmax_ns && p->info.tmax_ns >= tmin_ns && may_hold(v, p, signal);
    }
    pthread_mutex_unlock(&l->lock);
    return found;
}
