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
    uint32_t groups = 0;
    for (uint32_t i = 0; i < l->n; i++)
        groups += l->parts[i].group != LOST_WHOLE;
    atomic_store(&l->all, l->n);
    atomic_store(&l->groups, groups);
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

static bool may_hold(const struct view *v, const struct lost_part *p, enum signal signal)
{
    if (!view_picks(v, p->info.stream) || !seg_may_be_of(&p->info, v->core, v->cores, v->partitions)) return false;
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
