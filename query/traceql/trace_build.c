/* Structure of one trace, computed when it is read: parents, nested sets, root. Late spans are right because nothing of
 * it is stored. */
#include "query/traceql/traceql.h"

#include "base/core/hash.h"

#include <stdlib.h>

const struct tval *tattrs_get(const struct tattrs *as, struct str key)
{
    for (uint32_t i = 0; i < as->n; i++)
        if (str_eq(as->a[i].key, key)) return &as->a[i].v;
    return NULL;
}

struct str tresource_service(const struct tresource *r)
{
    const struct tval *v = tattrs_get(&r->attrs, STR("service.name"));
    return v && v->type == TV_STR ? v->s : STR("");
}

uint64_t trace_id_hash(const uint8_t id[16])
{
    uint64_t w[2];
    memcpy(w, id, 16);
    return hash_u64(w[0] ^ hash_u64(w[1]));
}

int tspan_order(const void *pa, const void *pb)
{
    const struct tspan *a = *(struct tspan *const *)pa, *b = *(struct tspan *const *)pb;
    if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns ? -1 : 1;
    int c = memcmp(a->span_id, b->span_id, 8);
    if (c) return c;
    return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : str_cmp(a->name, b->name);
}

bool tspan_is_again(const struct tspan *a, const struct tspan *b)
{
    return memcmp(a->trace_id, b->trace_id, 16) == 0 && memcmp(a->span_id, b->span_id, 8) == 0 && a->start_ns == b->start_ns
           && a->kind == b->kind && str_eq(a->name, b->name);
}

void tspans_settle(struct tspans *spans)
{
    uint32_t n = 0;
    if (spans->n) qsort(spans->s, spans->n, sizeof *spans->s, tspan_order);
    for (uint32_t i = 0; i < spans->n; i++)
        if (n == 0 || !tspan_is_again(spans->s[n - 1], spans->s[i])) spans->s[n++] = spans->s[i];
    spans->n = n;
}

static uint64_t span_hash(const uint8_t id[8])
{
    uint64_t v;
    memcpy(&v, id, 8);
    return hash_u64(v);
}

static void find_parents(struct tql_trace *t, struct arena *a)
{
    struct htab ids;
    htab_init(&ids, a->budget);
    for (uint32_t i = 0; i < t->n; i++)
        htab_insert(&ids, span_hash(t->spans[i]->span_id), i);
    for (uint32_t i = 0; i < t->n; i++) {
        const struct tspan *s = t->spans[i];
        t->parent[i] = -1;
        if (!s->has_parent) continue;
        for (uint32_t it = 0, v; htab_next(&ids, span_hash(s->parent_id), &it, &v);)
            if (v != i && memcmp(t->spans[v]->span_id, s->parent_id, 8) == 0) {
                t->parent[i] = (int32_t)v;
                break;
            }
    }
    htab_deinit(&ids);
}

/* Numbers every tree that hangs on a true root, depth first, without recursion. Spans under a missing parent, or in a
 * cycle, keep 0. */
static void number(struct tql_trace *t, struct arena *a)
{
    int32_t *child = ARENA_ARRAY(a, int32_t, t->n), *sibling = ARENA_ARRAY(a, int32_t, t->n);
    for (uint32_t i = 0; i < t->n; i++)
        child[i] = sibling[i] = -1;
    for (uint32_t i = t->n; i-- > 0;) {
        int32_t p = t->parent[i];
        if (p < 0) continue;
        sibling[i] = child[p];
        child[p] = (int32_t)i;
    }
    uint32_t next = 1;
    for (uint32_t r = 0; r < t->n; r++) {
        if (t->spans[r]->has_parent) continue;
        if (!t->root) t->root = t->spans[r];
        int32_t at = (int32_t)r;
        t->left[r] = next++;
        while (at >= 0) {
            if (child[at] >= 0) { /* down; the edge is used up so that a way back goes on */
                int32_t c = child[at];
                child[at] = sibling[c];
                t->left[c] = next++;
                t->nested_parent[c] = t->left[at];
                at = c;
            } else {
                t->right[at] = next++;
                at = at == (int32_t)r ? -1 : t->parent[at];
            }
        }
    }
}

void tql_trace_build(struct tql_trace *t, struct tspan **spans, uint32_t n, struct arena *a)
{
    *t = (struct tql_trace){ .n = n, .spans = spans, .start_ns = INT64_MAX, .end_ns = INT64_MIN };
    qsort(spans, n, sizeof *spans, tspan_order);
    t->parent = ARENA_ARRAY(a, int32_t, n);
    t->left = ARENA_ARRAY(a, uint32_t, n);
    t->right = ARENA_ARRAY(a, uint32_t, n);
    t->nested_parent = ARENA_ARRAY(a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct tspan *s = spans[i];
        int64_t end;
        if (__builtin_add_overflow(s->start_ns, s->duration_ns, &end)) end = INT64_MAX;
        t->start_ns = MIN(t->start_ns, s->start_ns);
        t->end_ns = MAX(t->end_ns, end);
    }
    find_parents(t, a);
    number(t, a);
}
