#include "server/api/indexes.h"

#include "base/core/hash.h"
#include "base/core/log.h"
#include "cluster/docs.h"
#include "query/logs/index_retention.h"
#include "query/ops/text.h"
#include "server/api/rules.h"
#include "storage/store_keep.h"

#define INDEXES "index/"
#define TEMPLATES "template/"

static struct str index_key(struct arena *a, struct str tenant, struct str id)
{
    return arena_printf(a, INDEXES STR_FMT "/" STR_FMT, STR_ARG(tenant), STR_ARG(id));
}
static struct str template_key(struct arena *a, struct str tenant, struct str id)
{
    return arena_printf(a, TEMPLATES STR_FMT "/" STR_FMT, STR_ARG(tenant), STR_ARG(id));
}

/* -- entries -------------------------------------------------------------------------------------------------- */

static void bind_log(struct index_entry *e)
{
    e->log = (struct log_index){ .signal = SIG_DOCS, .id = e->id, .stored = e->uid, .mapping = &e->config.mapping };
    if (!e->builtin) return;
    e->log.signal = str_is(e->id, INDEX_OTEL_LOGS) ? SIG_LOGS : SIG_SPANS;
}

/* e must not move afterwards: its log index points into it. */
static err_t builtin_entry(bool logs, struct arena *a, struct index_entry *e)
{
    *e = (struct index_entry){ .builtin = true };
    TRY(index_config_parse(logs ? mapping_otel_logs() : mapping_otel_traces(), a, &e->config));
    e->id = e->config.index_id;
    e->uid = arena_printf(a, STR_FMT ":00000000000000000000000000", STR_ARG(e->id));
    bind_log(e);
    return OK;
}

static err_t stored_entry(struct str value, struct arena *a, struct index_entry *e)
{
    const struct json_val *v;
    *e = (struct index_entry){ 0 };
    TRY(json_parse(value, a, &v));
    const struct json_val *uid = json_get(v, "uid"), *at = json_get(v, "create_timestamp"), *config = json_get(v, "config");
    if (!uid || uid->type != JSON_STR || !config || !at || !json_to_i64(at, &e->create_s))
        return err_set(ERR_CORRUPT, "a document of an index in the catalog is malformed");
    TRY(index_config_parse(json_val_text(config, a), a, &e->config));
    e->id = e->config.index_id;
    e->uid = uid->str;
    bind_log(e);
    return OK;
}

static bool is_builtin(struct str id) { return str_is(id, INDEX_OTEL_LOGS) || str_is(id, INDEX_OTEL_TRACES); }

static err_t not_found(struct str id)
{
    return err_set(ERR_NOT_FOUND, "index `" STR_FMT "` not found", STR_ARG(str_sub(id, 0, 300)));
}

err_t indexes_get(struct store *s, struct str tenant, struct str id, struct arena *a, struct index_entry *out)
{
    struct kv *kv = store_kv(s);
    struct str value;
    if (is_builtin(id)) return builtin_entry(str_is(id, INDEX_OTEL_LOGS), a, out);
    err_t e = kv->get(kv, index_key(a, tenant, id), a, &value);
    if (e == ERR_NOT_FOUND) return not_found(id);
    TRY(e);
    return stored_entry(value, a, out);
}

/* -- patterns --------------------------------------------------------------------------------------------------- */

static err_t all_entries(struct store *s, struct str tenant, struct arena *a, struct index_entry **out, uint32_t *n)
{
    struct kv *kv = store_kv(s);
    struct kv_item *items;
    size_t count;
    TRY(kv->list(kv, index_key(a, tenant, STR("")), INDEXES_MAX, a, &items, &count));
    struct index_entry *v = ARENA_ARRAY(a, struct index_entry, count + 2);
    TRY(builtin_entry(true, a, &v[0]));
    TRY(builtin_entry(false, a, &v[1]));
    for (size_t i = 0; i < count; i++)
        TRY(stored_entry(items[i].value, a, &v[i + 2]));
    *out = v;
    *n = (uint32_t)count + 2;
    return arena_check(a);
}

struct pattern { struct str text; bool minus, glob; };

static err_t split_patterns(struct str list, struct arena *a, struct pattern **out, uint32_t *n)
{
    struct str one;
    *out = ARENA_ARRAY(a, struct pattern, INDEX_PATTERNS_MAX);
    *n = 0;
    while (str_cut(&list, ',', &one)) {
        one = str_trim(one);
        if (one.n == 0) continue;
        if (*n == INDEX_PATTERNS_MAX) return err_set(ERR_INVALID, "over %d index patterns", INDEX_PATTERNS_MAX);
        struct pattern *p = &(*out)[(*n)++];
        p->minus = one.p[0] == '-';
        p->text = p->minus ? str_sub(one, 1, one.n) : one;
        if (str_is(p->text, "_all")) p->text = STR("*");
        p->glob = str_chr(p->text, '*') < p->text.n;
        for (size_t i = 0; i < p->text.n; i++) {
            char c = p->text.p[i];
            bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '*';
            if (!ok) return err_set(ERR_INVALID, "index ID pattern `" STR_FMT "` is invalid", STR_ARG(str_sub(one, 0, 300)));
        }
    }
    if (*n == 0) return err_set(ERR_INVALID, "an index name is needed");
    return OK;
}

static bool wanted(const struct pattern *p, uint32_t n, struct str id)
{
    bool in = false;
    for (uint32_t i = 0; i < n; i++)
        if (wildcard_match(p[i].text, id, false)) in = !p[i].minus;
    return in;
}

static void sort_entries(struct index_entry **v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct index_entry *e = v[i];
        uint32_t j = i;
        for (; j > 0 && str_cmp(v[j - 1]->id, e->id) > 0; j--)
            v[j] = v[j - 1];
        v[j] = e;
    }
}

err_t indexes_match(struct store *s, struct str tenant, struct str patterns, bool ignore_missing, struct arena *a,
                    struct index_entry **out, uint32_t *n)
{
    struct pattern *p;
    struct index_entry *all;
    uint32_t np, nall, kept = 0;
    TRY(split_patterns(patterns, a, &p, &np));
    /* One name: no need to read all the others. */
    if (np == 1 && !p[0].glob && !p[0].minus) {
        *out = ARENA_ARRAY(a, struct index_entry, 1);
        err_t e = indexes_get(s, tenant, p[0].text, a, *out);
        *n = e == OK;
        return e == ERR_NOT_FOUND && ignore_missing ? OK : e;
    }
    TRY(all_entries(s, tenant, a, &all, &nall));
    for (uint32_t i = 0; i < np; i++) {
        bool found = p[i].glob || p[i].minus || ignore_missing;
        for (uint32_t k = 0; k < nall && !found; k++)
            found = str_eq(all[k].id, p[i].text);
        if (!found) return not_found(p[i].text);
    }
    struct index_entry **list = ARENA_ARRAY(a, struct index_entry *, nall);
    for (uint32_t k = 0; k < nall; k++)
        if (wanted(p, np, all[k].id)) list[kept++] = &all[k];
    sort_entries(list, kept);
    *out = ARENA_ARRAY(a, struct index_entry, kept + 1);
    for (uint32_t k = 0; k < kept; k++) {
        (*out)[k] = *list[k];
        bind_log(&(*out)[k]);
    }
    *n = kept;
    return arena_check(a);
}

/* -- changes ------------------------------------------------------------------------------------------------------- */

/* Crockford's base 32 of 48 bits of milliseconds and 80 random ones. */
static struct str new_uid(struct str id, struct arena *a)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    char text[27] = { 0 };
    uint64_t ms = (uint64_t)(rt_wall().ns / NS_PER_MS), r = rt_random(), q = rt_random();
    for (int i = 9; i >= 0; i--, ms >>= 5)
        text[i] = digits[ms & 31];
    for (int i = 10; i < 18; i++, r >>= 5)
        text[i] = digits[r & 31];
    for (int i = 18; i < 26; i++, q >>= 5)
        text[i] = digits[q & 31];
    return arena_printf(a, STR_FMT ":%s", STR_ARG(id), text);
}

static struct keep_rule rule_of(struct str tenant, struct str uid, int64_t age_ns)
{
    return (struct keep_rule){ .tenant = tenant, .signal = SIG_DOCS, .index = uid, .age_ns = age_ns };
}

/* The rule of retention of that index, wherever it comes from. */
static bool find_rule(struct store *s, struct str tenant, struct str uid, int64_t *age_ns)
{
    struct keep_rules *k = store_keep_rules(s);
    bool found = false;
    for (uint32_t i = 0; i < k->nindex && !found; i++) {
        found = str_eq(k->rule[i].tenant, tenant) && str_eq(k->rule[i].index, uid);
        *age_ns = k->rule[i].age_ns;
    }
    keep_rules_put(k);
    return found;
}

/* Before the name is: what is left of an index at a crash between is a name without rows, never rows without a name. */
static err_t delete_rows(struct store *s, struct str tenant, struct str uid)
{
    const struct tombstone_spec t = { .tenant = tenant, .signal = SIG_DOCS, .index = uid };
    return store_tombstone(s, &t);
}

/* What becomes of the rules of retention: those that configurations say come and go with them, and with the uid. */
static uint32_t rule_edits(struct store *s, struct str tenant, const struct index_entry *old, const struct index_entry *now, struct keep_edit edits[2])
{
    int64_t was_ns = old ? old->config.retention_ns : 0, is_ns = now ? now->config.retention_ns : 0, age_ns;
    bool other = !old || !now || !str_eq(old->uid, now->uid);
    uint32_t n = 0;
    if (old && other && find_rule(s, tenant, old->uid, &age_ns)) edits[n++] = (struct keep_edit){ rule_of(tenant, old->uid, 0), true };
    /* A configuration without says nothing of what PUT /api/retention set. */
    if (now && (other ? is_ns != 0 : is_ns != was_ns)) edits[n++] = (struct keep_edit){ rule_of(tenant, now->uid, is_ns), is_ns == 0 };
    return n;
}

/* The catalog of this node as `value` (p NULL: no index) says, with the rules of retention: both or none. */
static err_t apply(struct store *s, struct str tenant, struct str id, struct str value, struct arena *a)
{
    struct kv *kv = store_kv(s);
    struct index_entry old, now;
    struct keep_edit edits[2];
    struct str was;
    const struct kv_op doc = { index_key(a, tenant, id), value };
    err_t e = kv->get(kv, doc.key, a, &was);
    bool had = e == OK;
    if (e != OK && e != ERR_NOT_FOUND) return e;
    if (had ? value.p && str_eq(was, value) : !value.p) return OK;
    if (value.p) TRY(store_writable(s));
    if (had) TRY(stored_entry(was, a, &old));
    if (value.p) TRY(stored_entry(value, a, &now));
    if (had && (!value.p || !str_eq(old.uid, now.uid))) TRY(delete_rows(s, tenant, old.uid));
    uint32_t n = rule_edits(s, tenant, had ? &old : NULL, value.p ? &now : NULL, edits);
    return n ? store_keep_edit(s, edits, n, &doc, 1) : kv->write(kv, &doc, 1);
}

static struct str doc_key(struct str tenant, struct str id, struct arena *a)
{
    return arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(tenant), STR_ARG(id));
}

/* The version that a change is made from; of a name that is not taken, that of what was deleted. */
static err_t version_of(struct cluster *c, enum doc_kind kind, struct str tenant, struct str id, struct arena *a, struct doc_version *out)
{
    struct str value;
    *out = (struct doc_version){ 0 };
    err_t e = c ? docs_get(c, kind, doc_key(tenant, id, a), a, &value, out) : OK;
    return e == ERR_NOT_FOUND ? OK : e;
}

static err_t write_value(struct cluster *c, struct store *s, struct str tenant, struct str id, struct doc_version read, struct str value, struct arena *a)
{
    if (!c) return apply(s, tenant, id, value, a);
    if (value.p) TRY(store_writable(s));
    return docs_put(c, DOC_INDEX, doc_key(tenant, id, a), read, value, NULL);
}

static err_t write_entry(struct cluster *c, struct store *s, struct str tenant, struct doc_version read, struct str uid, int64_t create_s,
                         const struct index_config *config, struct arena *a, struct index_entry *out)
{
    struct buf b;
    struct json_out j;
    buf_init(&b, JSON_TEXT_MAX, a->budget);
    json_init(&j, &b);
    json_obj(&j);
    json_keyz(&j, "uid");
    json_str(&j, uid);
    json_keyz(&j, "create_timestamp");
    json_i64(&j, create_s);
    json_keyz(&j, "config");
    json_val_write(config->json, &j);
    json_obj_end(&j);
    err_t e = buf_check(&b);
    struct str value = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    if (e == OK) e = write_value(c, s, tenant, config->index_id, read, value, a);
    return e == OK ? stored_entry(value, a, out) : e;
}

/* The rule that PUT /api/retention set of an index, if there is one. */
static bool find_set_rule(struct store *s, struct str tenant, const struct index_entry *e, int64_t *age_ns)
{
    return !e->config.retention_ns && find_rule(s, tenant, e->uid, age_ns);
}

/* The index, or the uid, that a rule was set of is no more, or its configuration has a retention now. */
static err_t forget_rule(struct cluster *c, struct store *s, struct str tenant, struct str uid, bool had, struct arena *a)
{
    return had && c ? rules_edit(c, s, &(struct keep_edit){ rule_of(tenant, uid, 0), true }, a) : OK;
}

static err_t refuse_builtin(struct str id)
{
    if (is_builtin(id)) return err_set(ERR_FORBIDDEN, "index `" STR_FMT "` is built in", STR_ARG(id));
    return OK;
}

static err_t taken(struct str id)
{
    return err_set(ERR_INVALID, "index `" STR_FMT "` already exists", STR_ARG(id));
}

err_t indexes_create(struct cluster *c, struct store *s, struct str tenant, struct str config_json, bool overwrite, struct arena *a,
                     struct index_entry *out)
{
    struct index_config config;
    struct index_entry old = { 0 };
    struct doc_version read;
    TRY(index_config_parse(config_json, a, &config));
    TRY(refuse_builtin(config.index_id));
    TRY(version_of(c, DOC_INDEX, tenant, config.index_id, a, &read));
    err_t e = indexes_get(s, tenant, config.index_id, a, &old);
    if (e == OK && !overwrite) return taken(config.index_id);
    if (e != OK && e != ERR_NOT_FOUND) return e;
    int64_t age_ns;
    bool had = e == OK && find_set_rule(s, tenant, &old, &age_ns);
    e = write_entry(c, s, tenant, read, new_uid(config.index_id, a), rt_wall().ns / NS_PER_S, &config, a, out);
    if (e == OK) return forget_rule(c, s, tenant, old.uid, had, a);
    /* Somebody else was first. */
    struct err_record why = *err_record();
    if (e == ERR_UNAVAILABLE && !overwrite && indexes_get(s, tenant, config.index_id, a, &old) == OK) return taken(config.index_id);
    *err_record() = why;
    return e;
}

err_t indexes_update(struct cluster *c, struct store *s, struct str tenant, struct str id, struct str config_json, struct arena *a,
                     struct index_entry *out)
{
    struct index_config config;
    struct index_entry old;
    struct doc_version read;
    TRY(refuse_builtin(id));
    TRY(version_of(c, DOC_INDEX, tenant, id, a, &read));
    TRY(indexes_get(s, tenant, id, a, &old));
    TRY(index_config_parse(config_json, a, &config));
    if (!str_eq(config.index_id, id)) return err_set(ERR_INVALID, "the index ID of the configuration is not `" STR_FMT "`", STR_ARG(id));
    int64_t age_ns;
    bool had = config.retention_ns && find_set_rule(s, tenant, &old, &age_ns);
    TRY(forget_rule(c, s, tenant, old.uid, had, a)); /* first: it takes out what the configuration says next */
    return write_entry(c, s, tenant, read, old.uid, old.create_s, &config, a, out);
}

err_t indexes_delete(struct cluster *c, struct store *s, struct str tenant, const struct index_entry *e)
{
    struct doc_version read;
    struct arena a;
    TRY(refuse_builtin(e->id));
    arena_init(&a, NULL);
    int64_t age_ns;
    bool had = find_set_rule(s, tenant, e, &age_ns);
    err_t err = version_of(c, DOC_INDEX, tenant, e->id, &a, &read);
    if (err == OK) err = write_value(c, s, tenant, e->id, read, STR_NONE, &a);
    if (err == OK) err = forget_rule(c, s, tenant, e->uid, had, &a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return err;
}

/* A rule that PUT /api/retention set is carried over: it is there before the rows that it is for. */
err_t indexes_clear(struct cluster *c, struct store *s, struct str tenant, const struct index_entry *e, struct arena *a)
{
    struct doc_version read;
    struct index_entry now;
    int64_t age_ns = 0;
    TRY(refuse_builtin(e->id));
    TRY(version_of(c, DOC_INDEX, tenant, e->id, a, &read));
    struct str uid = new_uid(e->id, a);
    bool had = find_set_rule(s, tenant, e, &age_ns);
    if (had) TRY(rules_edit(c, s, &(struct keep_edit){ rule_of(tenant, uid, age_ns), false }, a));
    TRY(write_entry(c, s, tenant, read, uid, e->create_s, &e->config, a, &now));
    return forget_rule(c, s, tenant, e->uid, had, a);
}

/* -- templates ------------------------------------------------------------------------------------------------------- */

static err_t template_id(struct str json, struct arena *a, struct str *id, const struct json_val **out)
{
    const struct json_val *v;
    TRY(json_parse(json, a, &v));
    const struct json_val *t = json_get(v, "template_id"), *p = json_get(v, "index_id_patterns");
    if (!t || t->type != JSON_STR) return err_set(ERR_INVALID, "missing field `template_id`");
    if (!p || p->type != JSON_ARR || p->n == 0) return err_set(ERR_INVALID, "missing field `index_id_patterns`");
    TRY(index_id_check(t->str));
    const struct json_val *retention = json_get(v, "retention");
    int64_t period_ns;
    if (retention) TRY(index_retention_parse(retention, &period_ns));
    *id = t->str;
    *out = v;
    return OK;
}

err_t templates_put(struct cluster *c, struct store *s, struct str tenant, struct str json, bool overwrite, struct arena *a)
{
    struct kv *kv = store_kv(s);
    struct str id, old;
    struct doc_version read;
    const struct json_val *v;
    TRY(template_id(json, a, &id, &v));
    TRY(store_writable(s));
    TRY(version_of(c, DOC_TEMPLATE, tenant, id, a, &read));
    err_t e = kv->get(kv, template_key(a, tenant, id), a, &old);
    if (e == OK && !overwrite) return err_set(ERR_INVALID, "index template `" STR_FMT "` already exists", STR_ARG(id));
    if (e != OK && e != ERR_NOT_FOUND) return e;
    if (c) return docs_put(c, DOC_TEMPLATE, doc_key(tenant, id, a), read, json_val_text(v, a), NULL);
    return kv->write(kv, &(struct kv_op){ template_key(a, tenant, id), json_val_text(v, a) }, 1);
}

err_t templates_get(struct store *s, struct str tenant, struct str id, struct arena *a, struct str *json)
{
    struct kv *kv = store_kv(s);
    err_t e = kv->get(kv, template_key(a, tenant, id), a, json);
    if (e == ERR_NOT_FOUND) return err_set(ERR_NOT_FOUND, "index template `" STR_FMT "` not found", STR_ARG(str_sub(id, 0, 300)));
    return e;
}

err_t templates_delete(struct cluster *c, struct store *s, struct str tenant, struct str id)
{
    struct kv *kv = store_kv(s);
    struct arena a;
    arena_init(&a, NULL);
    err_t e = c ? docs_put(c, DOC_TEMPLATE, doc_key(tenant, id, &a), DOC_ANY, STR_NONE, NULL)
                : kv->write(kv, &(struct kv_op){ template_key(&a, tenant, id), STR_NONE }, 1);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

err_t templates_list(struct store *s, struct str tenant, struct arena *a, struct str **json, uint32_t *n)
{
    struct kv *kv = store_kv(s);
    struct kv_item *items;
    size_t count;
    TRY(kv->list(kv, template_key(a, tenant, STR("")), INDEXES_MAX, a, &items, &count));
    *json = ARENA_ARRAY(a, struct str, count + 1);
    for (size_t i = 0; i < count; i++)
        (*json)[i] = items[i].value;
    *n = (uint32_t)count;
    return OK;
}

/* The template of the highest priority whose patterns match. */
static err_t best_template(struct store *s, struct str tenant, struct str id, struct arena *a, const struct json_val **out)
{
    struct str *list;
    uint32_t n;
    int64_t best = -1;
    *out = NULL;
    TRY(templates_list(s, tenant, a, &list, &n));
    for (uint32_t i = 0; i < n; i++) {
        const struct json_val *v, *c;
        TRY(json_parse(list[i], a, &v));
        const struct json_val *patterns = json_get(v, "index_id_patterns"), *prio = json_get(v, "priority");
        int64_t p = 0;
        bool match = false;
        if (prio && !json_to_i64(prio, &p)) p = 0;
        if (!patterns) continue;
        JSON_EACH(c, patterns) match |= c->type == JSON_STR && wildcard_match(c->str, id, false);
        if (match && p > best) best = p, *out = v;
    }
    return OK;
}

static struct str config_of_template(const struct json_val *t, struct str id, struct arena *a)
{
    static const char *const kept[] = { "version", "doc_mapping", "indexing_settings", "search_settings", "retention", "ingest_settings" };
    struct buf b;
    struct json_out j;
    buf_init(&b, JSON_TEXT_MAX, a->budget);
    json_init(&j, &b);
    json_obj(&j);
    json_keyz(&j, "index_id");
    json_str(&j, id);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        const struct json_val *v = json_get(t, kept[i]);
        if (!v) continue;
        json_keyz(&j, kept[i]);
        json_raw(&j, json_val_text(v, a));
    }
    json_obj_end(&j);
    struct str text = arena_str(a, buf_view(&b));
    buf_deinit(&b);
    return text;
}

err_t indexes_get_or_make(struct cluster *c, struct store *s, struct str tenant, struct str id, struct arena *a, struct index_entry *out)
{
    const struct json_val *t;
    TRY(index_id_check(id));
    err_t e = indexes_get(s, tenant, id, a, out);
    if (e != ERR_NOT_FOUND) return e;
    TRY(best_template(s, tenant, id, a, &t));
    if (!t) return not_found(id);
    e = indexes_create(c, s, tenant, config_of_template(t, id, a), false, a, out);
    struct err_record why = *err_record();
    if (e == ERR_INVALID && indexes_get(s, tenant, id, a, out) == OK) return OK; /* made by two at once */
    *err_record() = why;
    return e;
}

/* -- following the cluster's documents ---------------------------------------------------------------------------------- */

static err_t follow_index(void *ctx, struct str key, struct str value)
{
    struct str tenant, rest = key;
    struct arena a;
    if (!str_cut(&rest, '/', &tenant)) return OK;
    arena_init(&a, NULL);
    err_t e = apply(ctx, tenant, rest, value, &a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

static err_t follow_template(void *ctx, struct str key, struct str value)
{
    struct kv *kv = store_kv(ctx);
    struct arena a;
    struct str was;
    arena_init(&a, NULL);
    const struct kv_op op = { arena_printf(&a, TEMPLATES STR_FMT, STR_ARG(key)), value };
    err_t e = kv->get(kv, op.key, &a, &was);
    bool same = e == OK ? value.p && str_eq(was, value) : e == ERR_NOT_FOUND && !value.p;
    e = same ? OK : e == OK || e == ERR_NOT_FOUND ? kv->write(kv, &op, 1) : e;
    arena_deinit(&a);
    return e;
}

static void adopt(struct cluster *c, struct store *s, enum doc_kind kind, const char *prefix)
{
    struct kv *kv = store_kv(s);
    struct kv_item *items;
    size_t n = 0;
    struct arena a;
    arena_init(&a, NULL);
    err_t e = kv->list(kv, str_of(prefix), DOCS_MAX, &a, &items, &n);
    for (size_t i = 0; e == OK && i < n; i++)
        e = docs_adopt(c, kind, str_sub(items[i].key, strlen(prefix), items[i].key.n), items[i].value);
    if (e != OK) log_warn("indexes.adopt", "error=%s", err_detail());
    arena_deinit(&a);
}

void indexes_follow(struct cluster *c, struct store *s)
{
    adopt(c, s, DOC_INDEX, INDEXES);
    adopt(c, s, DOC_TEMPLATE, TEMPLATES);
    docs_on(c, DOC_INDEX, follow_index, s);
    docs_on(c, DOC_TEMPLATE, follow_template, s);
}

void indexes_follow_end(struct cluster *c)
{
    docs_off(c, DOC_TEMPLATE);
    docs_off(c, DOC_INDEX);
}
