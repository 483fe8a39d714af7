#include "cluster/agreed.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
    node_id node;
    uint64_t life, stream, version;
};
struct agreed {
    pthread_mutex_t lock;
    struct entry v[AGREED_SLOTS];
};

struct agreed *agreed_new(void)
{
    struct agreed *a = calloc(1, sizeof *a);
    ASSERT(a != NULL);
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void agreed_free(struct agreed *a)
{
    if (!a) return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static struct entry *slot(struct agreed *a, node_id node, uint64_t stream)
{
    return &a->v[hash_u64(node.u ^ hash_u64(stream)) % AGREED_SLOTS];
}

uint64_t agreed_version(struct agreed *a, node_id node, uint64_t life, uint64_t stream)
{
    pthread_mutex_lock(&a->lock);
    const struct entry *e = slot(a, node, stream);
    uint64_t version = e->node.u == node.u && e->stream == stream && e->life == life ? e->version : 0;
    pthread_mutex_unlock(&a->lock);
    return version;
}

/* Of two that come at once the newer one stays. */
void agreed_set(struct agreed *a, node_id node, uint64_t life, uint64_t stream, uint64_t version)
{
    pthread_mutex_lock(&a->lock);
    struct entry *e = slot(a, node, stream);
    bool same = e->node.u == node.u && e->stream == stream && e->life == life;
    if (!same || e->version < version) *e = (struct entry){ node, life, stream, version };
    pthread_mutex_unlock(&a->lock);
}
