#include "base/core/assert.h"
#include "base/rt/sim.h"
#include "tests/cluster/deleting.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const kinds[] = { "span", "log", "document", "sample", "exemplar", "histogram" };

/* -- acks ---------------------------------------------------------------------------------------------------------------- */
enum { ACK_EACH = 4 }; /* one of so many is looked for on the disks */
static struct world *judged;

void judge_init(struct world *w)
{
    judged = w;
}

/* A request that comes late to a node has another key there (cluster/deletions.h). */
static bool may_be_late(const struct world *w)
{
    for (uint32_t i = 0; i < w->ndeletings; i++)
        if (w->deletings[i].end == 0) return true;
    return w->ndeletings && rt_now().ns - w->deleted_at < 10 * NS_PER_S;
}

/* Where all nodes are members of the one stream, the log of each that has it holds its key. */
void judge_ack(struct node *n, hash128 key)
{
    struct world *w = judged;
    static unsigned acks;
    if (w->n < 2 || w->n > w->shape.replicas || w->wiped_clock || w->moves || w->shape.single || ++acks % ACK_EACH) return;
    unsigned synced = 0;
    for (unsigned i = 0; i < w->n; i++)
        synced += sim_disk_synced(w->nodes[i].disk, "/wal/", &key, sizeof key);
    if (synced < w->shape.quorum && (may_be_late(w) || w->rotten)) return; /* or it came with a whole stream, to a node that had lost some of it */
    if (synced < w->shape.quorum) wrong("C5: node %u acknowledges what is synced on %u nodes", n->index, synced);
    w->rep->synced++;
}

/* -- answers -------------------------------------------------------------------------------------------------------------- */
/* May it be stored under two streams: sent again after a node came back as another one? */
static bool may_double(const struct world *w, const struct request *q)
{
    if (w->moves) return q->sent > 1;
    return w->wiped_clock && q->sent > 1 && (q->busy || q->sent_last >= w->wiped_clock);
}

/* How many nodes may have been out of reach for this one since then? All, where it is it that nobody reaches. */
static unsigned out_of_reach(const struct world *w, unsigned node, int64_t since)
{
    unsigned n = w->wiped_clock != 0; /* what a node was that came back as another one is out of reach for good */
    if (w->all_bad_until >= since || w->bad_until[node] >= since) return w->n;
    for (unsigned i = 0; i < w->n; i++)
        n += w->bad_until[i] >= since;
    return n;
}

static void judge_told(struct world *w, unsigned node, uint32_t tenant, const struct answer *a, int64_t since)
{
    w->rep->reads++;
    w->rep->partial += a->told == TOLD_PARTIAL;
    w->rep->apart += a->told == TOLD_APART;
    /* Of a tenant with streams of its own it is not known that it never wrote to those of all. */
    bool own_streams = w->shape.tenant_nodes || w->shape.named_replicas || w->shape.single;
    unsigned quorum = shape_is_single(&w->shape, tenant) ? 1 : MIN(w->shape.quorum, w->n);
    if (a->told == TOLD_APART && !own_streams && !w->wiped_clock && !w->moves)
        wrong("C3: node %u says \"%s\", and no node has ever changed", node, a->why);
    if (a->told == TOLD_PARTIAL && w->fresh_until[node] < since && out_of_reach(w, node, since) < quorum)
        wrong("C3: node %u says \"%s\", and %u nodes were out of reach", node, a->why, out_of_reach(w, node, since));
}

void judge_read(struct world *w, unsigned node, uint32_t tenant, const struct answer *a, const uint8_t *acked_at, uint32_t nacked, int64_t since,
                uint64_t began)
{
    struct model *m = &w->m;
    judge_told(w, node, tenant, a, since);
    for (uint32_t i = 0; i < m->nrows; i++)
        m->rows[i].seen = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        ASSERT(a->rows[i] < m->nrows);
        struct row *r = &m->rows[a->rows[i]];
        const struct request *q = &m->requests[r->request];
        if (q->tenant != tenant) wrong("C8: node %u answers tenant %u with a row of tenant %u", node, tenant, q->tenant);
        if (r->seen < UINT8_MAX) r->seen++;
        const struct deleting_verdict d = deleting_of(w, a->rows[i], began);
        if (d.gone && a->told != TOLD_PARTIAL) wrong("C13: node %u: %s %u is back: it was deleted (request %u)", node, kinds[r->kind], a->rows[i], r->request);
        if (r->seen > 1 && !((may_double(w, q) || d.doubled) && r->seen <= q->sent))
            wrong("C1: node %u: %s %u is there %u times (request %u, sent %u times)", node, kinds[r->kind], a->rows[i], r->seen, r->request, q->sent);
    }
    if (a->told == TOLD_PARTIAL) return;
    for (uint32_t i = 0; i < m->nrows; i++) {
        const struct row *r = &m->rows[i];
        if (r->request >= nacked || m->requests[r->request].tenant != tenant) continue;
        if (acked_at[r->request] && !r->seen && !deleting_of(w, i, began).may_go) wrong("C2: node %u: acked %s %u of tenant %u is missing (request %u)", node, kinds[r->kind], i, tenant, r->request);
    }
}
