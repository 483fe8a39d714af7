#include "cluster/tenants.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>
#include <string.h>

enum { COPIES_PARTS = 3 };

static err_t parse_number(struct str s, const char *of, uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t v = 0;
    bool digits = s.n > 0 && s.n <= 5;
    for (size_t i = 0; i < s.n && digits; i++) {
        digits = s.p[i] >= '0' && s.p[i] <= '9';
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (!digits || v < least || v > most)
        return err_set(ERR_INVALID, "cluster.tenants: %s is a number from %u to %u, not '" STR_FMT "'", of, least, most, STR_ARG(str_sub(s, 0, 40)));
    *out = (uint32_t)v;
    return OK;
}

static err_t parse_one(struct tenants *t, struct str part)
{
    static const char *const names[COPIES_PARTS] = { "the number of replicas", "the write quorum", "the number of nodes" };
    struct tenant_copies c = t->others;
    uint32_t *const to[COPIES_PARTS] = { &c.replicas, &c.quorum, &c.nodes }, n = 0;
    struct str name, numbers = part, one;
    if (str_chr(part, '=') == part.n)
        return err_set(ERR_INVALID, "cluster.tenants wants TENANT=replicas/quorum or TENANT=replicas/quorum/nodes, not '" STR_FMT "'", STR_ARG(str_sub(part, 0, 80)));
    str_cut(&numbers, '=', &name);
    name = str_trim(name);
    TRY(tenant_check(name));
    memcpy(c.name, name.p, name.n);
    c.name[name.n] = 0;
    c.key = stream_tenant(name);
    while (numbers.n && n < COPIES_PARTS && str_cut(&numbers, '/', &one)) {
        TRY(parse_number(str_trim(one), names[n], n < 2, n < 2 ? STREAM_MEMBERS_MAX : 4096, to[n]));
        n++;
    }
    if (n < 2 || numbers.n)
        return err_set(ERR_INVALID, "cluster.tenants: %s has replicas/quorum or replicas/quorum/nodes", c.name);
    if (c.quorum > c.replicas)
        return err_set(ERR_INVALID, "cluster.tenants: the write quorum of %s (%u) is more than its replicas (%u)", c.name, c.quorum, c.replicas);
    if (tenants_find(t, c.key)) return err_set(ERR_INVALID, "cluster.tenants: %s is there twice", c.name);
    uint32_t at = t->n++;
    for (; at > 0 && t->v[at - 1].key > c.key; at--)
        t->v[at] = t->v[at - 1];
    t->v[at] = c;
    return OK;
}

err_t tenants_parse(struct tenants *t, const char *text, uint32_t replicas, uint32_t quorum, uint32_t nodes)
{
    struct str rest = str_of(text), part;
    *t = (struct tenants){ .others = { .replicas = replicas, .quorum = quorum, .nodes = nodes } };
    t->v = calloc(TENANTS_NAMED_MAX, sizeof *t->v);
    ASSERT(t->v != NULL);
    while (rest.n && str_cut(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.n == 0) continue;
        if (t->n == TENANTS_NAMED_MAX) return err_set(ERR_INVALID, "cluster.tenants: more than %d", TENANTS_NAMED_MAX);
        TRY(parse_one(t, part));
    }
    return OK;
}

void tenants_deinit(struct tenants *t)
{
    free(t->v);
    *t = (struct tenants){ 0 };
}

const struct tenant_copies *tenants_find(const struct tenants *t, uint64_t key)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->v[i].key == key) return &t->v[i];
    return NULL;
}

uint32_t tenants_digest(const struct tenants *t)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i <= t->n; i++) {
        const struct tenant_copies *c = i < t->n ? &t->v[i] : &t->others;
        const uint64_t v[] = { h, c->key, c->replicas, c->quorum, c->nodes };
        h = hash64(str_n(v, sizeof v));
    }
    return MAX((uint32_t)h, 1u);
}
