#include "query/ops/attr.h"

#include "base/core/hash.h"
#include "storage/json_in.h"

#include <math.h>

/* -- where columns come from ------------------------------------------------------------------------ */

static bool is_below(const struct attr_ref *ref, struct str name)
{
    if (ref->name.n == 0) return true;
    return name.n > ref->name.n && name.p[ref->name.n] == '.' && str_starts(name, ref->name);
}

static err_t rowset_below(struct rowset *rs, const struct attr_ref *ref, struct attr_reader *r)
{
    const struct column_key *keys;
    uint32_t n;
    TRY(rowset_keys(rs, ref->rel, &keys, &n));
    r->col = ARENA_ARRAY(r->mem, const struct column *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        if (keys[i].scope != ref->scope || !is_below(ref, keys[i].name)) continue;
        TRY(rowset_column(rs, ref->rel, keys[i].scope, keys[i].name, keys[i].type, &r->col[r->n]));
        if (r->col[r->n]) r->n++;
    }
    return OK;
}

static err_t bind_rowset(struct rowset *rs, const struct attr_ref *ref, struct attr_reader *r)
{
    if (ref->below) {
        TRY(rowset_below(rs, ref, r));
    } else {
        r->col = ARENA_ARRAY(r->mem, const struct column *, ATTR_COLS_MAX);
        TRY(rowset_columns(rs, ref->rel, ref->scope, ref->name, r->col, ATTR_COLS_MAX, &r->n));
    }
    if (r->n == 0) return OK;
    if (ref->rel == REL_ROWS) {
        r->rel_rows = rs->nrows;
    } else if (ref->rel == REL_RESOURCE || ref->rel == REL_SCOPE) {
        TRY(rowset_dim(rs, ref->rel, &r->map, &r->rel_rows));
        if (!r->map) r->n = 0;
    } else {
        TRY(rowset_child(rs, ref->rel, &r->first, &r->rel_rows));
        if (!r->first) r->n = 0;
    }
    return OK;
}

static const struct table *bind_relation(const struct table *t, int rel, struct attr_reader *r)
{
    switch (rel) {
    case REL_ROWS: return t;
    case REL_RESOURCE:
        r->map = t->dim_row[DIM_RESOURCE];
        return r->map ? t->dim[DIM_RESOURCE] : NULL;
    case REL_SCOPE:
        r->map = t->dim_row[DIM_SCOPE];
        return r->map ? t->dim[DIM_SCOPE] : NULL;
    case REL_EVENTS:
        r->first = t->child_first[CHILD_EVENTS];
        return t->child[CHILD_EVENTS];
    default:
        r->first = t->child_first[CHILD_LINKS];
        return t->child[CHILD_LINKS];
    }
}

static void bind_table(const struct table *t, const struct attr_ref *ref, struct attr_reader *r)
{
    const struct table *own = bind_relation(t, ref->rel, r);
    if (!own) return;
    r->rel_rows = own->nrows;
    r->col = ARENA_ARRAY(r->mem, const struct column *, own->ncols + 1);
    for (uint32_t i = 0; i < own->ncols; i++) {
        const struct column *c = &own->cols[i];
        if (c->scope != ref->scope) continue;
        if (ref->below ? is_below(ref, c->name) : str_eq(c->name, ref->name)) r->col[r->n++] = c;
    }
}

err_t attr_bind(const struct rows_src *src, const struct attr_ref *ref, struct arena *mem,
                struct attr_reader *out)
{
    *out = (struct attr_reader){ .rel = ref->rel, .path = ref->path, .mem = mem };
    if (src->rs) TRY(bind_rowset(src->rs, ref, out));
    else bind_table(src->table, ref, out);
    uint32_t kept = 0;
    out->json = ARENA_ARRAY(mem, struct val_list *, out->n + 1);
    for (uint32_t i = 0; i < out->n; i++) {
        const struct column *c = out->col[i];
        if (ref->path.n && c->type != COL_JSON) continue;
        if (c->type == COL_JSON) {
            out->json[kept] = ARENA_RAW(mem, struct val_list, c->dict.count);
            for (uint32_t d = 0; d < c->dict.count; d++)
                out->json[kept][d].n = UINT32_MAX;
        }
        out->col[kept++] = c;
    }
    out->n = kept;
    return arena_check(mem);
}

/* -- values ---------------------------------------------------------------------------------------- */

struct val column_val(const struct column *c, uint32_t row)
{
    struct val v = { 0 };
    if (!column_has(c, row)) return v;
    v.type = c->type;
    switch (c->type) {
    case COL_I64: v.i64 = c->i64[row]; break;
    case COL_F64: v.f64 = c->f64[row]; break;
    case COL_BOOL: v.boolean = c->boolean[row] != 0; break;
    case COL_FIX: v.s = str_n(c->fix + (size_t)row * c->width, c->width); break;
    default: v.s = column_str(c, row); break;
    }
    return v;
}

uint32_t attr_read_rel(struct attr_reader *r, uint32_t row, const struct val **vals)
{
    for (uint32_t i = 0; i < r->n; i++) {
        const struct column *c = r->col[i];
        if (!column_has(c, row)) continue;
        if (c->type == COL_JSON) {
            struct val_list *l = &r->json[i][c->code[row]];
            if (l->n == UINT32_MAX) *l = json_path_values(column_str(c, row), r->path, r->mem);
            if (l->n == 0) continue;
            *vals = l->v;
            return l->n;
        }
        r->one[0] = column_val(c, row);
        *vals = r->one;
        return 1;
    }
    return 0;
}

static uint32_t read_children(struct attr_reader *r, uint32_t row, const struct val **vals)
{
    uint32_t n = 0;
    for (uint32_t c = r->first[row]; c < r->first[row + 1]; c++) {
        const struct val *v;
        uint32_t k = attr_read_rel(r, c, &v);
        size_t cap = r->many_cap;
        r->many = arena_grow(r->mem, r->many, n, &cap, (size_t)n + k, sizeof *r->many);
        r->many_cap = (uint32_t)cap;
        if (k) memcpy(r->many + n, v, k * sizeof *v);
        n += k;
    }
    *vals = r->many;
    return n;
}

uint32_t attr_read(struct attr_reader *r, uint32_t row, const struct val **vals)
{
    if (r->n == 0) return 0;
    if (r->first) return read_children(r, row, vals);
    return attr_read_rel(r, r->map ? r->map[row] : row, vals);
}

/* -- inside JSON -------------------------------------------------------------------------------------- */

struct gather {
    struct arena *mem;
    struct val *v;
    size_t n, cap;
};

static void gather_add(struct gather *g, struct val v)
{
    g->v = arena_grow(g->mem, g->v, g->n, &g->cap, g->n + 1, sizeof v);
    g->v[g->n++] = v;
}

/* What stands at the end of the path. Depth is bounded by the parser (JSON_DEPTH_MAX). */
static void gather_leaf(struct gather *g, const struct json_val *v)
{
    const struct json_val *c;
    switch (v->type) {
    case JSON_NULL: break;
    case JSON_BOOL: gather_add(g, (struct val){ .type = COL_BOOL, .boolean = v->boolean }); break;
    case JSON_I64: gather_add(g, (struct val){ .type = COL_I64, .i64 = v->i64 }); break;
    case JSON_U64: gather_add(g, (struct val){ .type = COL_F64, .f64 = (double)v->u64 }); break;
    case JSON_F64: gather_add(g, (struct val){ .type = COL_F64, .f64 = v->f64 }); break;
    case JSON_STR: gather_add(g, (struct val){ .type = COL_STR, .s = v->str }); break;
    case JSON_ARR: JSON_EACH(c, v) gather_leaf(g, c); break;
    case JSON_OBJ: gather_add(g, (struct val){ .type = COL_JSON, .s = json_val_text(v, g->mem) }); break;
    }
}

static void gather_path(struct gather *g, const struct json_val *v, struct str path)
{
    const struct json_val *c;
    if (path.n == 0) {
        gather_leaf(g, v);
    } else if (v->type == JSON_ARR) {
        JSON_EACH(c, v) gather_path(g, c, path);
    } else if (v->type == JSON_OBJ) {
        JSON_EACH(c, v) {
            if (!str_starts(path, c->key)) continue;
            if (path.n == c->key.n) gather_leaf(g, c);
            else if (path.p[c->key.n] == '.') gather_path(g, c, str_sub(path, c->key.n + 1, path.n));
        }
    }
}

struct val_list json_path_values(struct str json, struct str path, struct arena *mem)
{
    const struct json_val *v;
    struct gather g = { .mem = mem };
    if (json_parse(json, mem, &v) != OK) return (struct val_list){ 0 };
    gather_path(&g, v, path);
    return (struct val_list){ (uint32_t)g.n, g.v };
}

/* -- order ------------------------------------------------------------------------------------------- */

int num_cmp_i64_f64(int64_t i, double f)
{
    if (isnan(f)) return 1;
    if (f >= 0x1p63) return -1;
    if (f < -0x1p63) return 1;
    double whole = trunc(f);
    int64_t w = (int64_t)whole;
    if (i != w) return i < w ? -1 : 1;
    return f > whole ? -1 : f < whole ? 1 : 0;
}

static int f64_cmp(double a, double b)
{
    if (isnan(a) || isnan(b)) return (isnan(b) ? 1 : 0) - (isnan(a) ? 1 : 0);
    return a < b ? -1 : a > b;
}

static int type_rank(enum col_type t)
{
    switch (t) {
    case COL_BOOL: return 1;
    case COL_I64:
    case COL_F64: return 2;
    case COL_STR: return 3;
    default: return 4 + (int)t;
    }
}

int val_cmp(const struct val *a, const struct val *b)
{
    int ra = a->type ? type_rank(a->type) : 0, rb = b->type ? type_rank(b->type) : 0;
    if (ra != rb) return ra < rb ? -1 : 1;
    if (ra == 0) return 0;
    if (ra == 1) return (int)a->boolean - (int)b->boolean;
    if (ra != 2) return str_cmp(a->s, b->s);
    if (a->type == COL_I64 && b->type == COL_I64) return a->i64 < b->i64 ? -1 : a->i64 > b->i64;
    if (a->type == COL_I64) return num_cmp_i64_f64(a->i64, b->f64);
    if (b->type == COL_I64) return -num_cmp_i64_f64(b->i64, a->f64);
    return f64_cmp(a->f64, b->f64);
}

uint64_t val_hash(const struct val *v)
{
    if (v->type == 0) return UINT64_C(0x9e3779b97f4a7c15);
    switch (v->type) {
    case COL_BOOL: return hash_u64(v->boolean ? 3 : 5);
    case COL_I64: return hash_u64((uint64_t)v->i64 ^ UINT64_C(0x5555555555555555));
    case COL_F64: {
        /* A whole double hashes as the integer it equals. */
        if (v->f64 >= -0x1p63 && v->f64 < 0x1p63 && v->f64 == trunc(v->f64))
            return hash_u64((uint64_t)(int64_t)v->f64 ^ UINT64_C(0x5555555555555555));
        double d = isnan(v->f64) ? (double)NAN : v->f64;
        uint64_t bits;
        memcpy(&bits, &d, 8);
        return hash_u64(bits ^ UINT64_C(0xaaaaaaaaaaaaaaaa));
    }
    default: return hash64_with(v->s, (uint64_t)type_rank(v->type));
    }
}

bool val_num(const struct val *v, double *out)
{
    switch (v->type) {
    case COL_I64: return *out = (double)v->i64, true;
    case COL_F64: return *out = v->f64, true;
    case COL_BOOL: return *out = v->boolean ? 1 : 0, true;
    default: return false;
    }
}
