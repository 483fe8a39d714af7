/* Binary operators. Vector matching is decided once for all rows (a group a signature), then applied step by
 * step, because presence changes from step to step. */
#include "query/promql/eval.h"

#include <math.h>

double pq_binop_float(enum pq_op op, double l, double r, bool *keep)
{
    *keep = true;
    switch (op) {
    case PQ_ADD: return l + r;
    case PQ_SUB: return l - r;
    case PQ_MUL: return l * r;
    case PQ_DIV: return l / r;
    case PQ_MOD: return fmod(l, r);
    case PQ_POW: return pow(l, r);
    case PQ_ATAN2: return atan2(l, r);
    case PQ_EQ: *keep = l == r; return l;
    case PQ_NE: *keep = l != r; return l;
    case PQ_LE: *keep = l <= r; return l;
    case PQ_LT: *keep = l < r; return l;
    case PQ_GE: *keep = l >= r; return l;
    case PQ_GT: *keep = l > r; return l;
    default: *keep = false; return NAN;
    }
}

static void note_types(struct pq_env *e, const struct pq_node *n, bool lh, bool rh)
{
    pq_note(&e->notes, PQ_INFO, n->start, "incompatible sample types encountered for binary operator \"%s\": %s %s %s",
            pq_op_name(n->bin.op), lh ? "histogram" : "float", pq_op_name(n->bin.op), rh ? "histogram" : "float");
}

static bool hist_pair(struct pq_env *e, const struct pq_node *n, const struct pq_hist *l, const struct pq_hist *r,
                      struct pq_cell *out)
{
    enum pq_op op = n->bin.op;
    if (op == PQ_EQ || op == PQ_NE) {
        *out = (struct pq_cell){ PQ_CELL_HIST, 0, l };
        return pq_hist_equal(l, r) == (op == PQ_EQ);
    }
    if (op != PQ_ADD && op != PQ_SUB) return note_types(e, n, true, true), false;
    struct pq_hacc s;
    pq_hacc_init(&s, e->a, l);
    unsigned bits = pq_hacc_add(&s, r, op == PQ_ADD ? 1 : -1);
    if (bits & PQ_HADD_MISMATCH) {
        pq_note(&e->notes, PQ_WARN, n->start, "incompatible bucket layout encountered for binary operator %s",
                pq_op_name(op));
        return false;
    }
    const char *what = op == PQ_ADD ? "addition" : "subtraction";
    if (bits & PQ_HADD_COLLISION)
        pq_note(&e->notes, PQ_WARN, n->start, "conflicting counter resets during histogram %s", what);
    if (bits & PQ_HADD_RECONCILED)
        pq_note(&e->notes, PQ_INFO, n->start, "mismatched custom buckets were reconciled during %s", what);
    if (op == PQ_SUB) s.h.hint = NHIST_GAUGE;
    *out = (struct pq_cell){ PQ_CELL_HIST, 0, pq_hacc_done(&s) };
    return true;
}

/* One pair of cells; false when there is no result. */
static bool pair(struct pq_env *e, const struct pq_node *n, struct pq_cell l, struct pq_cell r, struct pq_cell *out)
{
    enum pq_op op = n->bin.op;
    bool lh = l.kind == PQ_CELL_HIST, rh = r.kind == PQ_CELL_HIST;
    if (!lh && !rh) {
        if (op == PQ_TRIM_LOWER || op == PQ_TRIM_UPPER) return note_types(e, n, false, false), false;
        bool keep;
        double v = pq_binop_float(op, l.v, r.v, &keep);
        *out = (struct pq_cell){ PQ_CELL_FLOAT, v, NULL };
        return keep;
    }
    if (lh && rh) return hist_pair(e, n, l.h, r.h, out);
    if (lh && (op == PQ_MUL || op == PQ_DIV)) {
        *out = (struct pq_cell){ PQ_CELL_HIST, 0, op == PQ_MUL ? pq_hist_scale(e->a, l.h, r.v) : pq_hist_div(e->a, l.h, r.v) };
        return true;
    }
    if (lh && (op == PQ_TRIM_LOWER || op == PQ_TRIM_UPPER)) {
        *out = (struct pq_cell){ PQ_CELL_HIST, 0, pq_hist_trim(e->a, l.h, r.v, op == PQ_TRIM_UPPER) };
        return true;
    }
    if (rh && op == PQ_MUL) {
        *out = (struct pq_cell){ PQ_CELL_HIST, 0, pq_hist_scale(e->a, r.h, l.v) };
        return true;
    }
    note_types(e, n, lh, rh);
    return false;
}

static struct pq_cell cell_of(const struct pq_row *r, uint32_t i)
{
    return (struct pq_cell){ r->have[i], r->v[i], r->have[i] == PQ_CELL_HIST ? r->h[i] : NULL };
}

static void cell_put(struct pq_env *e, struct pq_row *r, uint32_t i, uint32_t steps, struct pq_cell c)
{
    if (c.kind == PQ_CELL_HIST) pq_set_hist(e->a, r, i, steps, c.h);
    else pq_set_float(r, i, c.v);
}

/* -- vector and scalar ------------------------------------------------------------------------------ */
static err_t vector_scalar(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                           const struct pq_matrix *m, const double *s, bool swap, struct pq_matrix *out)
{
    for (uint32_t r = 0; r < m->n; r++) {
        const struct pq_row *from = &m->rows[r];
        TRY(pq_checkpoint(e));
        struct pq_row *row = pq_row_add(e->a, out, from->labels, g->n);
        row->drop_name = from->drop_name || !pq_op_compares(n->bin.op) || n->bin.ret_bool;
        if (n->bin.op == PQ_TRIM_LOWER || n->bin.op == PQ_TRIM_UPPER) row->drop_name = from->drop_name;
        for (uint32_t i = 0; i < g->n; i++) {
            if (!from->have[i]) continue;
            if (i % 256 == 255) TRY(pq_checkpoint(e));
            struct pq_cell v = cell_of(from, i), k = { PQ_CELL_FLOAT, s[i], NULL }, c = { 0 };
            bool keep = swap ? pair(e, n, k, v, &c) : pair(e, n, v, k, &c);
            if (c.kind == 0) continue; /* no such operation */
            if (n->bin.ret_bool) pq_set_float(row, i, keep);
            else if (keep && pq_op_compares(n->bin.op)) cell_put(e, row, i, g->n, v);
            else if (keep) cell_put(e, row, i, g->n, c);
        }
    }
    pq_rows_trim(out, g->n);
    return OK;
}

/* -- vector and vector ---------------------------------------------------------------------------- */
struct side {
    const struct pq_matrix *m;
    uint32_t *group;             /* of each row */
    bool fill;
    double fill_value;
};
struct join {
    struct pq_env *e;
    const struct pq_node *n;
    const struct pq_grid *g;
    const struct pq_matching *match;
    struct side many, one;       /* one-to-one: many is the left side */
    bool swap;                   /* one-to-many: many is the right side */
    uint32_t ngroups;
    struct labels *group_labels;
    uint32_t *one_at;            /* row of `one` in each group at this step, or UINT32_MAX */
    uint32_t *many_at;           /* a row of `many` matched in each group at this step */
    struct pairing { uint32_t one, row; } *last; /* of each row of `many`: its partner + 1 and the result's row */
    struct pq_rowset out;
};

static struct labels signature(struct arena *a, const struct pq_matching *m, const struct labels *l)
{
    if (m->on) return pq_labels_pick(a, l, m->labels, m->nlabels, true);
    struct labels out = { 0, ARENA_RAW(a, struct label, l->n) };
    for (uint32_t i = 0; i < l->n; i++)
        if (!pq_label_in(l->l[i].name, m->labels, m->nlabels) && !str_is(l->l[i].name, "__name__"))
            out.l[out.n++] = l->l[i];
    return out;
}

static err_t group_sides(struct pq_env *e, const struct pq_matching *m, struct side *s, int nsides,
                         struct labels **labels, uint32_t *ngroups)
{
    struct pq_matrix groups = { 0 };
    struct pq_rowset set;
    err_t err = OK;
    pq_rowset_init(&set, &groups);
    for (int k = 0; k < nsides; k++) {
        s[k].group = ARENA_RAW(e->a, uint32_t, s[k].m->n);
        for (uint32_t r = 0; r < s[k].m->n; r++) {
            TRY_OUT(err, pq_checkpoint(e));
            struct labels sig = signature(e->a, m, &s[k].m->rows[r].labels);
            s[k].group[r] = (uint32_t)(pq_rowset_get(&set, e->a, sig, 1) - groups.rows);
        }
    }
    *ngroups = groups.n;
    *labels = ARENA_RAW(e->a, struct labels, groups.n);
    for (uint32_t i = 0; i < groups.n; i++) (*labels)[i] = groups.rows[i].labels;
out:
    pq_rowset_deinit(&set);
    return err;
}

static struct labels result_labels(struct join *j, const struct labels *many, const struct labels *one)
{
    struct arena *a = j->e->a;
    struct labels l = *many;
    if (!pq_op_compares(j->n->bin.op) && j->n->bin.op != PQ_TRIM_LOWER && j->n->bin.op != PQ_TRIM_UPPER)
        l = pq_labels_unnamed(a, &l);
    if (j->match->card == PQ_ONE_TO_ONE) l = pq_labels_pick(a, &l, j->match->labels, j->match->nlabels, j->match->on);
    for (uint32_t i = 0; one && i < j->match->ninclude; i++)
        l = pq_labels_set(a, &l, j->match->include[i], labels_get(one, j->match->include[i]));
    return l;
}

static err_t duplicate(struct join *j, uint32_t group, const struct pq_row *x, const struct pq_row *y)
{
    struct arena *a = j->e->a;
    struct str g = pq_labels_text(a, &j->group_labels[group]), s1 = pq_labels_text(a, &x->labels),
               s2 = pq_labels_text(a, &y->labels);
    return pq_exec_error("found duplicate series for the match group " STR_FMT " on the %s hand-side of the operation: ["
                         STR_FMT ", " STR_FMT "];many-to-many matching not allowed: matching labels must be unique on "
                         "one side", STR_ARG(g), j->swap ? "left" : "right", STR_ARG(s1), STR_ARG(s2));
}

/* One result of step i. */
static err_t put(struct join *j, uint32_t i, struct pq_row *row, struct pq_cell c)
{
    if (row->have[i]) {
        if (j->match->card == PQ_ONE_TO_ONE)
            return pq_exec_error("multiple matches for labels: many-to-one matching must be explicit "
                                 "(group_left/group_right)");
        return pq_exec_error("multiple matches for labels: grouping labels must ensure unique matches");
    }
    cell_put(j->e, row, i, j->g->n, c);
    return OK;
}

struct partner { /* one side of a pair at one step */
    const struct labels *labels;
    struct pq_cell cell;
    bool drop;
};

static struct pq_row *result_row(struct join *j, const struct partner *many, const struct partner *one)
{
    struct labels l = result_labels(j, many->labels, one->labels);
    struct pq_row *row = pq_rowset_get(&j->out, j->e->a, l, j->g->n);
    row->drop_name = row->drop_name || many->drop || j->n->bin.ret_bool;
    return row;
}

/* `last` remembers the result's row of this pair (may be NULL); `key` names the pair. `paired`: the operator knows such samples. */
static err_t match_pair(struct join *j, uint32_t i, const struct partner *many, const struct partner *one,
                        struct pairing *last, uint32_t key, bool *paired)
{
    struct pq_cell c = { 0 };
    struct pq_cell l = j->swap ? one->cell : many->cell, r = j->swap ? many->cell : one->cell;
    bool keep = pair(j->e, j->n, l, r, &c);
    *paired = c.kind != 0;
    if (c.kind == 0) return OK;
    if (j->n->bin.ret_bool) c = (struct pq_cell){ PQ_CELL_FLOAT, keep, NULL };
    else if (!keep) return OK;
    if (last && last->one == key) return put(j, i, &j->out.m->rows[last->row], c);
    struct pq_row *row = result_row(j, many, one);
    if (last) *last = (struct pairing){ key, (uint32_t)(row - j->out.m->rows) };
    return put(j, i, row, c);
}

static bool any_at(const struct pq_matrix *m, uint32_t i)
{
    for (uint32_t r = 0; r < m->n; r++)
        if (m->rows[r].have[i]) return true;
    return false;
}

static err_t join_step(struct join *j, uint32_t i)
{
    /* A side without samples: nothing matches, and nobody asks whether the other side is unique. */
    if (!j->one.fill && !j->many.fill && (!any_at(j->many.m, i) || !any_at(j->one.m, i))) return OK;
    memset(j->one_at, 0xff, sizeof *j->one_at * j->ngroups);
    memset(j->many_at, 0xff, sizeof *j->many_at * j->ngroups);
    for (uint32_t r = 0; r < j->one.m->n; r++) {
        if (!j->one.m->rows[r].have[i]) continue;
        uint32_t *at = &j->one_at[j->one.group[r]];
        if (*at != UINT32_MAX) return duplicate(j, j->one.group[r], &j->one.m->rows[r], &j->one.m->rows[*at]);
        *at = r;
    }
    for (uint32_t r = 0; r < j->many.m->n; r++) {
        const struct pq_row *many = &j->many.m->rows[r];
        if (!many->have[i]) continue;
        uint32_t group = j->many.group[r], o = j->one_at[group];
        struct partner one = { &j->group_labels[group], { PQ_CELL_FLOAT, j->one.fill_value, NULL }, false };
        struct partner self = { &many->labels, cell_of(many, i), many->drop_name };
        if (o != UINT32_MAX) {
            one.cell = cell_of(&j->one.m->rows[o], i);
            one.labels = &j->one.m->rows[o].labels;
        } else if (!j->one.fill) {
            continue;
        }
        bool paired, first = j->many_at[group] == UINT32_MAX;
        TRY(match_pair(j, i, &self, &one, &j->last[r], o + 2, &paired)); /* o + 2: 1 when filled, never 0 */
        if (paired) j->many_at[group] = r; /* where samples do not go together, filling goes on */
        if (j->match->card == PQ_ONE_TO_ONE && !first && paired)
            return pq_exec_error("multiple matches for labels: many-to-one matching must be explicit "
                                 "(group_left/group_right)");
        if (r % 64 == 0) TRY(pq_checkpoint(j->e));
    }
    for (uint32_t k = 0; j->many.fill && k < j->ngroups; k++) {
        if (j->one_at[k] == UINT32_MAX || j->many_at[k] != UINT32_MAX) continue;
        const struct pq_row *from = &j->one.m->rows[j->one_at[k]];
        struct partner one = { &from->labels, cell_of(from, i), false };
        struct partner many = { &j->group_labels[k], { PQ_CELL_FLOAT, j->many.fill_value, NULL }, from->drop_name };
        bool paired;
        TRY(match_pair(j, i, &many, &one, NULL, 0, &paired));
    }
    return OK;
}

static err_t vector_vector(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g,
                           const struct pq_matrix *lhs, const struct pq_matrix *rhs, struct pq_matrix *out)
{
    const struct pq_matching *m = n->bin.match;
    struct join j = { .e = e, .n = n, .g = g, .match = m, .swap = m->card == PQ_ONE_TO_MANY };
    struct side sides[2] = { { .m = lhs }, { .m = rhs } };
    TRY(group_sides(e, m, sides, 2, &j.group_labels, &j.ngroups));
    j.many = sides[j.swap];
    j.one = sides[!j.swap];
    /* Prometheus fills after it has swapped the sides of group_right: fill_left is the many side's there too. */
    j.many.fill = m->fill_lhs, j.many.fill_value = m->fill_lhs_value;
    j.one.fill = m->fill_rhs, j.one.fill_value = m->fill_rhs_value;
    j.one_at = ARENA_RAW(e->a, uint32_t, j.ngroups);
    j.many_at = ARENA_RAW(e->a, uint32_t, j.ngroups);
    j.last = ARENA_ARRAY(e->a, struct pairing, j.many.m->n);
    pq_rowset_init(&j.out, out);
    err_t err = OK;
    for (uint32_t i = 0; i < g->n && err == OK; i++) {
        err = pq_checkpoint(e);
        if (err == OK) err = join_step(&j, i);
    }
    pq_rowset_deinit(&j.out);
    return err;
}

/* -- sets ------------------------------------------------------------------------------------------ */
static err_t set_op(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, const struct pq_matrix *lhs,
                    const struct pq_matrix *rhs, struct pq_matrix *out)
{
    struct side s[2] = { { .m = lhs }, { .m = rhs } };
    struct labels *labels;
    uint32_t ngroups;
    TRY(group_sides(e, n->bin.match, s, 2, &labels, &ngroups));
    uint8_t *seen = ARENA_RAW(e->a, uint8_t, ngroups);
    bool or = n->bin.op == PQ_OR;
    for (int k = 0; k < (or ? 2 : 1); k++)
        for (uint32_t r = 0; r < s[k].m->n; r++)
            pq_row_add(e->a, out, s[k].m->rows[r].labels, g->n)->drop_name = s[k].m->rows[r].drop_name;
    for (uint32_t i = 0; i < g->n; i++) {
        TRY(pq_checkpoint(e));
        const struct side *keys = or ? &s[0] : &s[1], *rows = or ? &s[1] : &s[0];
        memset(seen, 0, ngroups);
        for (uint32_t r = 0; r < keys->m->n; r++)
            if (keys->m->rows[r].have[i]) seen[keys->group[r]] = 1;
        for (uint32_t r = 0; or && r < lhs->n; r++) pq_copy_cell(e->a, &out->rows[r], &lhs->rows[r], i, g->n);
        for (uint32_t r = 0; r < rows->m->n; r++)
            if ((seen[rows->group[r]] != 0) == (n->bin.op == PQ_AND))
                pq_copy_cell(e->a, &out->rows[or ? lhs->n + r : r], &rows->m->rows[r], i, g->n);
    }
    pq_rows_trim(out, g->n);
    return OK;
}

err_t pq_eval_binary(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_value *out)
{
    struct pq_value l, r;
    TRY(pq_eval(e, n->bin.lhs, g, &l));
    TRY(pq_eval(e, n->bin.rhs, g, &r));
    out->type = n->type;
    if (l.type == PQ_SCALAR && r.type == PQ_SCALAR) {
        if (n->bin.op == PQ_TRIM_LOWER || n->bin.op == PQ_TRIM_UPPER)
            return pq_exec_error("operator \"%s\" not allowed for Scalar operations", pq_op_name(n->bin.op));
        out->scalar = ARENA_RAW(e->a, double, g->n);
        for (uint32_t i = 0; i < g->n; i++) {
            bool keep;
            double v = pq_binop_float(n->bin.op, l.scalar[i], r.scalar[i], &keep);
            out->scalar[i] = pq_op_compares(n->bin.op) ? keep : v;
        }
        return OK;
    }
    if (r.type == PQ_SCALAR) return vector_scalar(e, n, g, &l.m, r.scalar, false, &out->m);
    if (l.type == PQ_SCALAR) return vector_scalar(e, n, g, &r.m, l.scalar, true, &out->m);
    if (pq_op_set(n->bin.op)) return set_op(e, n, g, &l.m, &r.m, &out->m);
    return vector_vector(e, n, g, &l.m, &r.m, &out->m);
}
