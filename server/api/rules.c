#include "server/api/rules.h"

#include "base/core/hash.h"
#include "base/core/log.h"
#include "cluster/docs.h"
#include "server/api/indexes.h"

#include <inttypes.h>

/* -- bytes ------------------------------------------------------------------------------------------------------- */
static struct str key_of(const struct keep_rule *r, struct arena *a)
{
    uint64_t h = hash64_with(r->index, r->nm);
    for (uint32_t i = 0; i < r->nm; i++)
        h = hash64_with(r->m[i].name, hash64_with(r->m[i].value, h + (uint64_t)r->m[i].op));
    return arena_printf(a, STR_FMT "/%u/%016" PRIx64, STR_ARG(r->tenant), r->signal, h);
}

static err_t encode(const struct keep_edit *e, struct arena *a, struct str *out)
{
    struct keep_rules *k;
    struct buf b;
    TRY(keep_rules_new(&e->rule, 1, 0, &k));
    buf_init(&b, DOC_VALUE_MAX, NULL);
    buf_byte(&b, e->remove);
    keep_rules_encode(k, &b);
    keep_rules_put(k);
    err_t err = buf_check(&b);
    *out = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return err;
}

/* -- rules here ---------------------------------------------------------------------------------------------------- */
static bool is_here(struct store *s, const struct keep_edit *e, struct str value, struct arena *a)
{
    struct keep_rules *k = store_keep_rules(s);
    bool found = false, same = false;
    for (uint32_t i = 0; i < k->n && !found; i++) {
        struct str now;
        found = keep_rule_same(&k->rule[i], &e->rule);
        if (found && !e->remove) same = encode(&(struct keep_edit){ k->rule[i], false }, a, &now) == OK && str_eq(now, value);
    }
    keep_rules_put(k);
    return e->remove ? !found : same;
}

/* Does the configuration of its index say how long it is kept? Then the rule says nothing. */
static bool is_overruled(struct store *s, const struct keep_rule *r, struct arena *a)
{
    struct index_entry e;
    struct str id = str_sub(r->index, 0, str_chr(r->index, ':'));
    if (!r->index.n || indexes_get(s, r->tenant, id, a, &e) != OK) return false;
    return str_eq(e.uid, r->index) && e.config.retention_ns != 0;
}

static err_t apply(struct store *s, struct str value, struct arena *a)
{
    struct keep_rules *k;
    if (value.n < 1) return err_set(ERR_CORRUPT, "a rule of retention is empty");
    TRY(keep_rules_decode(str_sub(value, 1, value.n), 0, &k));
    err_t err = OK;
    if (k->n == 1) {
        const struct keep_edit e = { k->rule[0], value.p[0] != 0 };
        if (!is_overruled(s, &e.rule, a) && !is_here(s, &e, value, a)) err = store_keep_edit(s, &e, 1, NULL, 0);
    }
    struct err_record why = *err_record();
    keep_rules_put(k);
    *err_record() = why;
    return err;
}

err_t rules_edit(struct cluster *c, struct store *s, const struct keep_edit *e, struct arena *a)
{
    struct str value;
    if (!c) return store_keep_edit(s, e, 1, NULL, 0);
    TRY(encode(e, a, &value));
    return docs_put(c, DOC_KEEP, key_of(&e->rule, a), DOC_ANY, value, NULL);
}

/* -- following ------------------------------------------------------------------------------------------------------- */
/* A rule that cannot be applied, since it is malformed or there are too many, is told and left. */
static err_t follow(void *ctx, struct str key, struct str value)
{
    struct arena a;
    if (!value.p) return OK;
    arena_init(&a, NULL);
    err_t e = apply(ctx, value, &a);
    arena_deinit(&a);
    if (e != ERR_INVALID && e != ERR_CORRUPT) return e;
    log_error("rules.follow", "key=" STR_FMT " error=%s", STR_ARG(key), err_detail());
    return OK;
}

static err_t adopt(struct cluster *c, struct store *s, const struct keep_rule *r, struct arena *a)
{
    struct str value;
    if (is_overruled(s, r, a)) return OK;
    TRY(encode(&(struct keep_edit){ *r, false }, a, &value));
    return docs_adopt(c, DOC_KEEP, key_of(r, a), value);
}

void rules_follow(struct cluster *c, struct store *s)
{
    struct keep_rules *k = store_keep_rules(s);
    struct arena a;
    arena_init(&a, NULL);
    err_t e = OK;
    for (uint32_t i = 0; e == OK && i < k->n; i++)
        e = adopt(c, s, &k->rule[i], &a);
    if (e != OK) log_warn("rules.adopt", "error=%s", err_detail());
    arena_deinit(&a);
    keep_rules_put(k);
    docs_on(c, DOC_KEEP, follow, s);
}

void rules_follow_end(struct cluster *c)
{
    docs_off(c, DOC_KEEP);
}
