/* Removing what nothing refers to: objects of segments that the catalog object does not list, uploads in parts that were left by
 * a node that stopped. Both are seen first, and removed when they are seen again after the grace period, so that
 * neither a query that still reads an object nor an upload on its way loses it.
 *
 * Lists may be behind: what was just written is missing from them, what was removed is still there. They only say what may be looked
 * at; what is needed stands in the catalog object and in the store's own lists, and what is there an answer to HEAD says. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/object_tier_int.h"

#include <stdio.h>
#include <stdlib.h>

static void drop(struct tier *t, uint32_t i)
{
    free((char *)(uintptr_t)t->seen[i].name.p);
    free((char *)(uintptr_t)t->seen[i].id.p);
    t->seen[i] = t->seen[--t->nseen];
}

void tier_collect_free(struct tier *t)
{
    while (t->nseen > 0)
        drop(t, t->nseen - 1);
    free(t->seen);
    t->seen = NULL;
}

static void see(struct tier *t, const struct object_item *o)
{
    for (uint32_t i = 0; i < t->nseen; i++) {
        if (!str_eq(t->seen[i].name, o->name) || !str_eq(t->seen[i].id, o->id)) continue;
        t->seen[i].again = true;
        return;
    }
    if (t->nseen == SEEN_MAX) return;
    t->seen = store_grow(t->seen, &t->seen_cap, t->nseen + 1, sizeof *t->seen);
    t->seen[t->nseen++] = (struct seen){ .name = { str_dup(o->name), o->name.n }, .id = { str_dup(o->id), o->id.n }, .since = rt_now(), .again = true };
}

/* Does anything of ours refer to it, or will? */
static bool referred(const struct tier *t, struct str name)
{
    char seg[40] = { 0 };
    size_t skip = sizeof SEG_OBJECT_PREFIX - 1;
    if (name.n - skip >= sizeof seg) return false;
    memcpy(seg, name.p + skip, name.n - skip);
    return tier_listed(t, seg) || segnames_have(&t->wanted, seg) || segnames_have(&t->present, seg);
}

static err_t see_objects(struct tier *t)
{
    struct arena a;
    struct object_page page = { .more = true };
    struct str after = STR_NONE;
    char last[OBJECT_NAME_MAX + 1];
    err_t e = OK;
    while (e == OK && page.more) {
        arena_init(&a, NULL);
        e = object_list(&t->retry, STR(SEG_OBJECT_PREFIX), after, &a, &page);
        for (size_t i = 0; e == OK && i < page.n; i++)
            if (!referred(t, page.items[i].name)) see(t, &page.items[i]);
        if (e == OK && page.n == 0) page.more = false;
        if (e == OK && page.n > 0)
            after = (struct str){ last, (size_t)snprintf(last, sizeof last, STR_FMT, STR_ARG(page.items[page.n - 1].name)) };
        arena_deinit(&a);
    }
    return e;
}

static err_t see_uploads(struct tier *t)
{
    struct arena a;
    struct object_page page;
    arena_init(&a, NULL);
    err_t e = object_parts_list(&t->retry, STR(SEG_OBJECT_PREFIX), &a, &page); /* a page of them a time is enough */
    for (size_t i = 0; e == OK && i < page.n; i++)
        see(t, &page.items[i]);
    arena_deinit(&a);
    return e;
}

static err_t still_owner(struct tier *t, bool *ours)
{
    struct object_info info;
    TRY(object_head(&t->retry, CATALOG_NAME, &info));
    *ours = strcmp(info.etag.text, t->etag.text) == 0;
    if (!*ours) t->state = TIER_AWAY; /* who it is, is found out first */
    return OK;
}

static void removed(const struct seen *s)
{
    log_info("object.collect", "name=" STR_FMT "%s", STR_ARG(s->name), s->id.n ? " upload=abandoned" : "");
    metric_add(M_OBJECT_COLLECTED, 1);
}

static err_t remove_one(struct tier *t, const struct seen *s)
{
    struct object_info there;
    if (s->id.n == 0) {
        err_t e = object_head(&t->retry, s->name, &there);
        if (e == OK) e = object_remove(&t->retry, s->name);
        if (e == OK) removed(s);
        return e == ERR_NOT_FOUND ? OK : e; /* the list is behind */
    }
    struct object_upload *u = calloc(1, sizeof *u);
    ASSERT(u != NULL);
    snprintf(u->name, sizeof u->name, STR_FMT, STR_ARG(s->name));
    snprintf(u->id, sizeof u->id, STR_FMT, STR_ARG(s->id));
    err_t e = object_parts_abort(&t->retry, u);
    free(u);
    if (e == OK) removed(s);
    return e;
}

err_t tier_collect(struct tier *t)
{
    bool ours = false;
    for (uint32_t i = 0; i < t->nseen; i++)
        t->seen[i].again = false;
    TRY(see_objects(t));
    TRY(see_uploads(t));
    TRY(still_owner(t, &ours));
    int64_t grace_ns = t->s->o.object_grace_ms * NS_PER_MS;
    for (uint32_t i = t->nseen; ours && i-- > 0;) {
        const struct seen *s = &t->seen[i];
        bool gone = !s->again || (s->id.n == 0 && referred(t, s->name));
        if (!gone && rt_now().ns - s->since.ns < grace_ns) continue;
        if (!gone) TRY(remove_one(t, s));
        drop(t, i);
    }
    return OK;
}
