#include "query/traceql/metrics_cols.h"

#include "query/traceql/prefilter.h"

#include <math.h>

/* -- one field -------------------------------------------------------------------------------------------------- */
void field_cols_init(struct field_cols *c, const struct tql_field *f)
{
    *c = (struct field_cols){ .f = f };
    if (prefilter_ref(f, &c->ref[0])) c->nrefs = 1;
    if (f->kind != TF_ATTR || f->scope != TS_ANY) return;
    c->ref[1] = (struct attr_ref){ .rel = REL_RESOURCE, .scope = SC_ATTR, .name = f->name };
    c->nrefs = 2;
}

static err_t bind_refs(struct field_cols *c, const struct rows_src *src, struct arena *bind)
{
    for (uint32_t i = 0; i < c->nrefs; i++)
        TRY(attr_bind(src, &c->ref[i], bind, &c->r[i]));
    return OK;
}

/* The first column's value in a row of the reader's relation; arrays and maps as text. */
static struct val first_of(const struct attr_reader *r, uint32_t rel_row)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (column_has(r->col[i], rel_row)) return column_val(r->col[i], rel_row);
    return (struct val){ 0 };
}

static struct val value_at(const struct attr_reader *r, uint32_t row)
{
    struct val v = { 0 };
    if (r->n == 0) return v;
    if (!r->first) return first_of(r, r->map ? r->map[row] : row);
    for (uint32_t c = r->first[row]; c < r->first[row + 1] && !v.type; c++)
        v = first_of(r, c);
    return v;
}

/* Own fields of a span have a value always: what is not stored is the default. */
static struct tval default_of(const struct tql_field *f)
{
    static const struct tval nil = { .type = TV_NIL };
    if (f->kind != TF_INTRINSIC) return nil;
    switch (f->intrinsic) {
    case TI_STATUS: return (struct tval){ .type = TV_STATUS };
    case TI_KIND: return (struct tval){ .type = TV_KIND };
    case TI_DURATION: return (struct tval){ .type = TV_INT, .duration = true };
    case TI_NAME: case TI_STATUS_MESSAGE: case TI_PARENT_ID: case TI_SCOPE_NAME: case TI_SCOPE_VERSION:
        return (struct tval){ .type = TV_STR, .s = STR("") };
    default: return nil;
    }
}

/* -- labels ------------------------------------------------------------------------------------------------------ */
void label_cols_init(struct label_cols *l, const struct tql_field *f, struct tval_set *values, uint32_t values_max)
{
    *l = (struct label_cols){ .values = values, .values_max = values_max };
    field_cols_init(&l->c, f);
}

static uint32_t *unknown(struct arena *a, uint32_t n)
{
    uint32_t *ids = ARENA_RAW(a, uint32_t, n + 1);
    memset(ids, 0xff, n * sizeof *ids);
    return ids;
}

err_t label_cols_bind(struct label_cols *l, const struct rows_src *src, struct arena *bind)
{
    struct tval none = default_of(l->c.f);
    TRY(bind_refs(&l->c, src, bind));
    l->none = label_number(l->values, &none);
    l->dim = NULL;
    l->dict = l->plain = NULL;
    l->last_id = UINT32_MAX;
    const struct attr_reader *own = &l->c.r[0], *last = &l->c.r[l->c.nrefs - 1];
    if (last->map && last->n) {
        l->dim = last;
        l->dim_id = unknown(bind, last->rel_rows);
    }
    if (own->n != 1 || own->map || own->first) return arena_check(bind);
    if (own->col[0]->type == COL_STR) {
        l->dict = own->col[0];
        l->code_id = unknown(bind, l->dict->dict.count);
    } else if (own->col[0]->type == COL_I64) {
        l->plain = own->col[0];
    }
    return arena_check(bind);
}

static uint32_t number_of(struct label_cols *l, const struct val *v, struct arena *bind)
{
    struct tval t = tval_of_column(v, l->c.f, bind);
    if (!l->values_max || l->values->n < l->values_max) return label_number(l->values, &t);
    uint32_t known = tval_set_find(l->values, &t);
    return known == UINT32_MAX ? LABEL_OTHER : known + 1;
}

/* The value of the row's resource or scope, or none. */
static uint32_t dim_value(struct label_cols *l, uint32_t row, struct arena *bind)
{
    if (!l->dim) return l->none;
    uint32_t *id = &l->dim_id[l->dim->map[row]];
    if (*id == UINT32_MAX) {
        struct val v = first_of(l->dim, l->dim->map[row]);
        *id = v.type ? number_of(l, &v, bind) : l->none;
    }
    return *id;
}

static uint32_t dict_value(struct label_cols *l, uint32_t row, struct arena *bind)
{
    if (!column_has(l->dict, row)) return dim_value(l, row, bind);
    uint32_t *id = &l->code_id[l->dict->code[row]];
    if (*id == UINT32_MAX) {
        struct val v = { .type = COL_STR, .s = column_str(l->dict, row) };
        *id = number_of(l, &v, bind);
    }
    return *id;
}

static uint32_t plain_value(struct label_cols *l, uint32_t row, struct arena *bind)
{
    if (!column_has(l->plain, row)) return dim_value(l, row, bind);
    if (l->last_id == UINT32_MAX || l->last != l->plain->i64[row]) {
        struct val v = { .type = COL_I64, .i64 = l->plain->i64[row] };
        l->last = v.i64;
        l->last_id = number_of(l, &v, bind);
    }
    return l->last_id;
}

static uint32_t any_value(struct label_cols *l, uint32_t row, struct arena *bind)
{
    struct val v = value_at(&l->c.r[0], row);
    return v.type ? number_of(l, &v, bind) : dim_value(l, row, bind);
}

void label_cols_read(struct label_cols *l, const uint32_t *row, uint32_t n, uint32_t *ids, struct arena *bind)
{
    if (l->dict) {
        for (uint32_t i = 0; i < n; i++)
            ids[i] = dict_value(l, row[i], bind);
    } else if (l->plain) {
        for (uint32_t i = 0; i < n; i++)
            ids[i] = plain_value(l, row[i], bind);
    } else if (l->c.r[0].n == 0 || l->dim == &l->c.r[0]) {
        for (uint32_t i = 0; i < n; i++)
            ids[i] = dim_value(l, row[i], bind);
    } else {
        for (uint32_t i = 0; i < n; i++)
            ids[i] = any_value(l, row[i], bind);
    }
}

/* -- measured values ------------------------------------------------------------------------------------------------ */
bool tval_number(const struct tval *v, double *out)
{
    *out = v->type == TV_INT ? (double)v->i : v->type == TV_FLOAT ? v->f : NAN;
    return !isnan(*out);
}

err_t value_cols_bind(struct value_cols *v, const struct rows_src *src, struct arena *bind)
{
    TRY(bind_refs(&v->c, src, bind));
    const struct attr_reader *own = &v->c.r[0];
    bool only = own->n == 1 && !own->map && !own->first && own->col[0]->type == COL_I64;
    v->i64 = only && own->col[0]->nvalid == own->rel_rows ? own->col[0] : NULL;
    return OK;
}

void value_cols_read(const struct value_cols *v, const uint32_t *row, uint32_t n, double *out)
{
    for (uint32_t i = 0; i < n && v->i64; i++)
        out[i] = (double)v->i64->i64[row[i]];
    for (uint32_t i = 0; i < n && !v->i64; i++) {
        struct tval t = { .type = TV_NIL };
        for (uint32_t r = 0; r < v->c.nrefs && t.type == TV_NIL; r++) {
            struct val x = value_at(&v->c.r[r], row[i]);
            if (x.type == COL_I64) t = (struct tval){ .type = TV_INT, .i = x.i64 };
            else if (x.type == COL_F64) t = (struct tval){ .type = TV_FLOAT, .f = x.f64 };
            else if (x.type) break; /* the span's own text hides the resource's number */
        }
        (void)tval_number(&t, &out[i]);
    }
}
