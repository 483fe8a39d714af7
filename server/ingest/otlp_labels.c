/* Attributes to labels. */
#include "server/ingest/otlp_labels.h"

#include "server/ingest/float_text.h"
#include "server/ingest/otlp_wire.h"
#include "server/ingest/prom_name.h"
#include "server/ingest/text.h"

#include <stdlib.h>

enum { JSON_VALUE_MAX = LABEL_VALUE_MAX };

err_t otlp_value_text(const struct otlp_value *v, const uint8_t *base, struct arena *a, struct str *out)
{
    switch (v->type) {
    case OTLP_NONE: *out = STR(""); return OK;
    case OTLP_STR: *out = text_mend(v->s, a); return OK;
    case OTLP_BOOL: *out = v->b ? STR("true") : STR("false"); return OK;
    case OTLP_INT: *out = arena_printf(a, "%lld", (long long)v->i); return OK;
    case OTLP_F64: *out = float_text(v->f, a); return OK;
    case OTLP_JSON: *out = v->s; return OK;
    case OTLP_BYTES:
    case OTLP_WIRE_ARRAY:
    case OTLP_WIRE_KVLIST: break;
    }
    struct buf text;
    struct json_out j;
    buf_init(&text, JSON_VALUE_MAX, a->budget);
    json_init(&j, &text);
    err_t e = otlp_value_json(v, base, &j);
    if (e == OK) {
        *out = arena_str(a, buf_view(&text));
        if (v->type == OTLP_BYTES) *out = str_sub(*out, 1, out->n - 1); /* without the quotes */
    } else if (e == ERR_TOO_LARGE) {
        /* Over the limit of a label anyhow: labels_normalise names it. */
        *out = (struct str){ arena_alloc(a, LABEL_VALUE_MAX + 1), LABEL_VALUE_MAX + 1 };
        memset((char *)out->p, 'x', out->n);
        e = OK;
    }
    buf_deinit(&text);
    return e;
}

struct keyed {
    struct label label;
    struct str key;
};

static int by_name_then_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int c = str_cmp(x->label.name, y->label.name);
    return c ? c : str_cmp(x->key, y->key);
}

err_t otlp_labels(const struct otlp_attrs *attrs, bool (*skip)(struct str key), const struct otlp_mapping *map, const uint8_t *base,
                  struct arena *a, struct label **out, uint32_t *n)
{
    if (attrs->n > LABELS_MAX) return err_set(ERR_LIMIT, "%u attributes, at most %d", attrs->n, LABELS_MAX);
    struct keyed *all = ARENA_RAW(a, struct keyed, attrs->n + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < attrs->n; i++) {
        struct str key = attrs->kv[i].key;
        if (skip && skip(key)) continue;
        struct keyed k = { .label.name = prom_label_name(key, map, a), .key = key };
        if (k.label.name.n == 0) continue;
        TRY(otlp_value_text(&attrs->kv[i].value, base, a, &k.label.value));
        if (k.label.value.n > 0) all[count++] = k;
    }
    for (uint32_t i = 1; i < count; i++) {
        if (by_name_then_key(&all[i - 1], &all[i]) <= 0) continue;
        qsort(all, count, sizeof *all, by_name_then_key);
        break;
    }
    struct label *l = ARENA_RAW(a, struct label, count + OTLP_LABELS_ROOM);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool same = kept > 0 && str_eq(l[kept - 1].name, all[i].label.name);
        if (same && str_eq(all[i].key, all[i - 1].key))
            l[kept - 1].value = all[i].label.value; /* one key sent twice: the last wins */
        else if (same)
            l[kept - 1].value =
                arena_printf(a, STR_FMT ";" STR_FMT, STR_ARG(l[kept - 1].value), STR_ARG(all[i].label.value));
        else
            l[kept++] = all[i].label;
    }
    *out = l;
    *n = kept;
    return OK;
}
