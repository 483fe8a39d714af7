#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/object_tier_int.h"

#include <stdlib.h>

/* -- lists of names ------------------------------------------------------------------------------------------------- */

static uint32_t lower(const struct segnames *l, const char name[40])
{
    uint32_t lo = 0, hi = l->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (memcmp(l->v[mid].text, name, 40) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void segnames_free(struct segnames *l)
{
    free(l->v);
    *l = (struct segnames){ 0 };
}

bool segnames_have(const struct segnames *l, const char name[40])
{
    uint32_t at = lower(l, name);
    return at < l->n && memcmp(l->v[at].text, name, 40) == 0;
}

void segnames_add(struct segnames *l, const char name[40])
{
    uint32_t at = lower(l, name);
    if (at < l->n && memcmp(l->v[at].text, name, 40) == 0) return;
    l->v = store_grow(l->v, &l->cap, l->n + 1, sizeof *l->v);
    memmove(l->v + at + 1, l->v + at, (l->n++ - at) * sizeof *l->v);
    memcpy(l->v[at].text, name, 40);
}

/* -- classes of tenants ----------------------------------------------------------------------------------------------- */

static err_t parse_class(struct str s, const char *what, bool *object)
{
    *object = str_is(s, "object");
    if (*object || str_is(s, "local")) return OK;
    return err_set(ERR_INVALID, "%s: '" STR_FMT "' is neither local nor object", what, STR_ARG(str_sub(s, 0, 80)));
}

err_t class_rules_parse(struct tier *t, const char *durable, const char *tenants)
{
    TRY(parse_class(str_of(durable), "storage.durable", &t->object_default));
    t->rules_text = strdup(tenants);
    ASSERT(t->rules_text != NULL);
    struct str rest = str_of(t->rules_text);
    for (struct str part; rest.n && str_cut(&rest, ',', &part);) {
        struct class_rule r;
        part = str_trim(part);
        if (part.n == 0) continue;
        if (t->nrules == CLASS_RULES_MAX) return err_set(ERR_INVALID, "storage.durable_tenants: more than %d", CLASS_RULES_MAX);
        if (str_chr(part, '=') == part.n)
            return err_set(ERR_INVALID, "storage.durable_tenants wants TENANT=local or TENANT=object, not '" STR_FMT "'",
                           STR_ARG(str_sub(part, 0, 80)));
        str_cut(&part, '=', &r.tenant);
        r.tenant = str_trim(r.tenant);
        TRY(parse_class(str_trim(part), "storage.durable_tenants", &r.object));
        t->rules[t->nrules++] = r;
    }
    return OK;
}

static bool class_of(const struct tier *t, struct str tenant)
{
    for (uint32_t i = 0; i < t->nrules; i++)
        if (str_eq(t->rules[i].tenant, tenant)) return t->rules[i].object;
    return t->object_default;
}

/* -- which segments --------------------------------------------------------------------------------------------------- */

struct gather_call { /* on a core */
    struct tier *t;
    struct name40 *v;
    uint32_t n, cap;
    uint32_t mixed; /* segments, counted by the core that wrote them */
};

bool tier_object_tenant(const void *ctx, struct str tenant)
{
    return class_of(((const struct store *)ctx)->tier, tenant);
}

bool tier_local_tenant(const void *ctx, struct str tenant)
{
    return !tier_object_tenant(ctx, tenant);
}

/* By its seal, or because all of its tenants are of the class now. *mixed: some are. */
static bool belongs(const struct tier *t, const struct seg *g, bool *mixed)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < seg_ngroups(g); i++)
        n += class_of(t, seg_group(g, i)->tenant);
    *mixed = !seg_info(g)->object && n > 0 && n < seg_ngroups(g);
    return seg_info(g)->object || (n > 0 && n == seg_ngroups(g));
}

/* Without a yield, and nothing is left of a first run when it runs again. */
static err_t gather_here(void *arg)
{
    struct gather_call *c = arg;
    const struct shard *sh = shard_here(c->t->s);
    c->n = c->mixed = 0;
    for (uint32_t i = 0; i < sh->nsegs; i++) {
        bool mixed, belong = belongs(c->t, sh->segs[i], &mixed);
        c->mixed += mixed && seg_info(sh->segs[i])->core == sh->core;
        if (!belong) continue;
        c->v = store_grow(c->v, &c->cap, c->n + 1, sizeof *c->v);
        memcpy(c->v[c->n++].text, seg_info(sh->segs[i])->name, 40);
    }
    return OK;
}

static int by_text(const void *a, const void *b)
{
    return memcmp(((const struct name40 *)a)->text, ((const struct name40 *)b)->text, 40);
}

/* What is listed stays so whatever the settings say now, and whether it can be opened here or not. */
static void add_listed(struct tier *t, struct segnames *l)
{
    for (uint32_t i = 0; i < t->s->ninfos; i++) {
        if (!t->s->infos[i].remote && !tier_listed(t, t->s->infos[i].name)) continue;
        l->v = store_grow(l->v, &l->cap, l->n + 1, sizeof *l->v);
        memcpy(l->v[l->n++].text, t->s->infos[i].name, 40);
    }
}

static void tell_mixed(struct tier *t, uint32_t mixed)
{
    if (mixed > 0 && t->mixed == 0)
        log_warn("object.mixed", "segments=%u effect=\"they stay on this disk alone: tenants that are of the object class now share them with "
                 "local ones\"", mixed);
    t->mixed = mixed;
    metric_set(M_OBJECT_MIXED, mixed);
}

static void take_all(struct tier *t, const struct gather_call *calls)
{
    struct segnames all = { 0 };
    uint32_t mixed = 0;
    for (unsigned c = 0; c < t->s->cores; c++) {
        mixed += calls[c].mixed;
        all.v = store_grow(all.v, &all.cap, all.n + calls[c].n, sizeof *all.v);
        if (calls[c].n) memcpy(all.v + all.n, calls[c].v, calls[c].n * sizeof *all.v);
        all.n += calls[c].n;
    }
    add_listed(t, &all);
    if (all.n > 1) qsort(all.v, all.n, sizeof *all.v, by_text);
    tell_mixed(t, mixed);
    segnames_free(&t->wanted);
    t->wanted = all; /* one of several cores stands in it several times, which does no harm */
}

err_t tier_wanted(struct tier *t)
{
    struct store *s = t->s;
    uint64_t version = s->infos_version;
    if (t->wanted_version == version) return OK;
    struct gather_call *calls = calloc(s->cores, sizeof *calls);
    void **args = calloc(s->cores, sizeof *args);
    ASSERT(calls != NULL && args != NULL);
    for (unsigned c = 0; c < s->cores; c++) {
        calls[c].t = t;
        args[c] = &calls[c];
    }
    err_t e = rt_call_all(RT_MAINTENANCE, gather_here, args, NULL);
    if (e == OK) {
        take_all(t, calls);
        t->wanted_version = version;
    }
    for (unsigned c = 0; c < s->cores; c++)
        free(calls[c].v);
    free(args);
    free(calls);
    return e;
}
