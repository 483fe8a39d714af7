#include "server/ingest/otlp_mapping.h"

const struct otlp_mapping OTLP_MAPPING_DEFAULT = { .escape = true, .suffixes = true };

static err_t strategy(struct str name, struct otlp_mapping *out)
{
    static const struct { const char *name; bool escape, suffixes; } all[] = {
        { "UnderscoreEscapingWithSuffixes", true, true },
        { "UnderscoreEscapingWithoutSuffixes", true, false },
        { "NoUTF8EscapingWithSuffixes", false, true },
        { "NoTranslation", false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (!str_is(name, all[i].name)) continue;
        out->escape = all[i].escape;
        out->suffixes = all[i].suffixes;
        return OK;
    }
    return err_set(ERR_INVALID, "otlp.translation_strategy: \"" STR_FMT "\" is none of %s, %s, %s, %s", STR_ARG(name), all[0].name, all[1].name,
                   all[2].name, all[3].name);
}

static err_t list(const char *key, struct str text, struct arena *a, const struct str **out, uint32_t *n)
{
    struct str *v = ARENA_RAW(a, struct str, OTLP_PROMOTE_MAX), one;
    *out = v;
    *n = 0;
    for (struct str rest = text; str_cut(&rest, ',', &one);) {
        one = str_trim(one);
        if (!one.n) continue;
        if (*n == OTLP_PROMOTE_MAX) return err_set(ERR_INVALID, "%s: more than %d attributes", key, OTLP_PROMOTE_MAX);
        v[(*n)++] = arena_str(a, one);
    }
    return OK;
}

err_t otlp_mapping_read(const struct otlp_mapping_text *t, struct arena *a, struct otlp_mapping *out)
{
    *out = (struct otlp_mapping){ .promote_all = t->promote_all, .keep_identifying = t->keep_identifying, .promote_scope = t->promote_scope,
                                  .nhcb = t->nhcb };
    TRY(strategy(t->strategy, out));
    TRY(list("otlp.promote_resource_attributes", t->promote, a, &out->promote, &out->npromote));
    TRY(list("otlp.ignore_resource_attributes", t->ignore, a, &out->ignore, &out->nignore));
    if (out->promote_all && out->npromote)
        return err_set(ERR_INVALID, "otlp.promote_all_resource_attributes and otlp.promote_resource_attributes exclude each other");
    if (!out->promote_all && out->nignore)
        return err_set(ERR_INVALID, "otlp.ignore_resource_attributes means something with otlp.promote_all_resource_attributes only");
    return OK;
}

static bool in(const struct str *v, uint32_t n, struct str key)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(v[i], key)) return true;
    return false;
}

bool otlp_promoted(const struct otlp_mapping *m, struct str key)
{
    return m->promote_all ? !in(m->ignore, m->nignore, key) : in(m->promote, m->npromote, key);
}
