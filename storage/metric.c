#include "storage/metric.h"

#include "base/core/assert.h"
#include "base/core/varint.h"

#include <stdlib.h>

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

/* Labels mostly arrive sorted: then this is one pass. */
static void sort_labels(struct labels *ls)
{
    for (uint32_t i = 1; i < ls->n; i++) {
        if (by_name(&ls->l[i - 1], &ls->l[i]) <= 0) continue;
        qsort(ls->l, ls->n, sizeof *ls->l, by_name);
        return;
    }
}

static err_t check_label(const struct label *l)
{
    if (l->name.n == 0) return err_set(ERR_INVALID, "a label without a name");
    if (l->name.n > LABEL_NAME_MAX)
        return err_set(ERR_INVALID, "a label name of %zu bytes, at most %d", l->name.n, LABEL_NAME_MAX);
    if (!str_utf8_valid(l->name)) return err_set(ERR_INVALID, "a label name is not UTF-8");
    if (l->value.n > LABEL_VALUE_MAX)
        return err_set(ERR_INVALID, "label " STR_FMT ": a value of %zu bytes, at most %d",
                       STR_ARG(l->name), l->value.n, LABEL_VALUE_MAX);
    if (!str_utf8_valid(l->value))
        return err_set(ERR_INVALID, "label " STR_FMT ": the value is not UTF-8", STR_ARG(l->name));
    return OK;
}

err_t labels_normalise(struct labels *ls)
{
    uint32_t kept = 0;
    size_t bytes = 0;
    for (uint32_t i = 0; i < ls->n; i++) {
        if (ls->l[i].value.n == 0) {
            if (ls->l[i].name.n == 0) return err_set(ERR_INVALID, "a label without a name");
            continue;
        }
        TRY(check_label(&ls->l[i]));
        bytes += ls->l[i].name.n + ls->l[i].value.n;
        ls->l[kept++] = ls->l[i];
        if (kept > LABELS_MAX) return err_set(ERR_INVALID, "more than %d labels", LABELS_MAX);
    }
    ls->n = kept;
    if (kept == 0) return err_set(ERR_INVALID, "a series without labels");
    if (bytes > LABELS_BYTES_MAX)
        return err_set(ERR_INVALID, "labels of %zu bytes, at most %d", bytes, LABELS_BYTES_MAX);
    sort_labels(ls);
    for (uint32_t i = 1; i < kept; i++)
        if (str_eq(ls->l[i - 1].name, ls->l[i].name))
            return err_set(ERR_INVALID, "label " STR_FMT " is given twice", STR_ARG(ls->l[i].name));
    return OK;
}

static uint8_t *put_str(uint8_t *p, struct str s)
{
    p += varint_put(p, s.n);
    memcpy(p, s.p, s.n);
    return p + s.n;
}

struct str labels_encode(const struct labels *ls, struct arena *a)
{
    size_t most = VARINT_MAX;
    for (uint32_t i = 0; i < ls->n; i++)
        most += 2 * VARINT_MAX + ls->l[i].name.n + ls->l[i].value.n;
    uint8_t *start = arena_alloc_aligned(a, most, 1);
    uint8_t *p = start + varint_put(start, ls->n);
    for (uint32_t i = 0; i < ls->n; i++) {
        p = put_str(p, ls->l[i].name);
        p = put_str(p, ls->l[i].value);
    }
    return str_n(start, (size_t)(p - start));
}

static const uint8_t *get_str(const uint8_t *p, const uint8_t *end, size_t max, struct str *out)
{
    uint64_t n;
    p = varint_get(p, end, &n);
    if (!p || n == 0 || n > max || n > (size_t)(end - p)) return NULL;
    *out = str_n(p, (size_t)n);
    return p + n;
}

err_t labels_decode(struct str canonical, struct arena *a, struct labels *out)
{
    const uint8_t *p = (const uint8_t *)canonical.p, *end = p + canonical.n;
    uint64_t n = 0;
    if (canonical.n) p = varint_get(p, end, &n);
    if (!p || n == 0 || n > LABELS_MAX || canonical.n > LABELS_BYTES_MAX + LABELS_MAX * 2 * VARINT_MAX)
        return err_set(ERR_CORRUPT, "label bytes: a bad count");
    out->n = (uint32_t)n;
    out->l = ARENA_RAW(a, struct label, n);
    for (uint32_t i = 0; i < out->n; i++) {
        struct label *l = &out->l[i];
        p = get_str(p, end, LABEL_NAME_MAX, &l->name);
        if (p) p = get_str(p, end, LABEL_VALUE_MAX, &l->value);
        if (!p) return err_set(ERR_CORRUPT, "label bytes: label %u is cut or over its limits", i);
        if (i && str_cmp(l[-1].name, l->name) >= 0)
            return err_set(ERR_CORRUPT, "label bytes: label %u is out of order", i);
    }
    if (p != end) return err_set(ERR_CORRUPT, "label bytes: %zu bytes too many", (size_t)(end - p));
    return OK;
}

struct str labels_get(const struct labels *ls, struct str name)
{
    for (uint32_t i = 0; i < ls->n; i++)
        if (str_eq(ls->l[i].name, name)) return ls->l[i].value;
    return STR_NONE;
}
