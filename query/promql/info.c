/* info(v, {selector}): adds data labels of info series (target_info by default) that share job and instance.
 *
 * Info series are looked up at the time that the base's selector looks at (its offset and @). The newest info
 * series of a name wins; different names that disagree about a label are an error; labels that the base has are
 * kept. A base sample without info series stays as it is if every data matcher accepts the empty value. */
#include "query/promql/eval.h"

#include "storage/metric_match.h"

#include <math.h>

static const struct str identifying[] = { { "instance", 8 }, { "job", 3 } };

/* The time shift between a step and the samples that feed it: that of the first selector below n. */
static bool base_shift(const struct pq_node *n, struct pq_shift *s)
{
    const struct pq_shift *own = NULL;
    const struct pq_node *inner[2] = { NULL, NULL };
    switch (n->kind) {
    case PQ_SELECTOR: own = &n->sel->shift; break;
    case PQ_RANGE: inner[0] = n->range.sel; break;
    case PQ_SUBQUERY: own = &n->sub.shift; inner[0] = n->sub.expr; break;
    case PQ_PAREN: inner[0] = n->paren; break;
    case PQ_UNARY: inner[0] = n->un.expr; break;
    case PQ_AGG: inner[0] = n->agg.expr; break;
    case PQ_BINARY: inner[0] = n->bin.lhs; inner[1] = n->bin.rhs; break;
    case PQ_CALL:
        for (uint32_t i = 0; i < n->call.nargs; i++)
            if (n->call.args[i]->selects) return base_shift(n->call.args[i], s);
        return false;
    default: return false;
    }
    if (own) {
        if (own->at != PQ_AT_NONE) {
            s->at = PQ_AT_TIME;
            s->at_ms = own->at_ms;
            s->offset_ms = 0;
        }
        s->offset_ms += own->offset_ms;
        if (n->kind == PQ_SELECTOR) return true;
    }
    for (int i = 0; i < 2; i++)
        if (inner[i] && inner[i]->selects && base_shift(inner[i], s)) return true;
    return false;
}

struct info {
    struct pq_env *e;
    const struct pq_grid *g;
    struct matcher *names, *data; /* of the selector */
    uint32_t nnames, ndata;
    bool suffix;                  /* only negative name matchers: info series are those named *_info */
    bool needs;                   /* some data matcher refuses the empty value */
    struct pq_matrix when;        /* timestamp(info series) */
    uint32_t *first;              /* info row -> the first one of its identity and name, which holds their choice */
    uint32_t *more;               /* of such a first row the next of its identity; UINT32_MAX at the end */
    uint32_t *head;               /* identity -> its first row */
    bool *asked;                  /* info rows whose job and instance some base series has */
    bool *pass;                   /* base rows that are info series themselves */
    uint32_t *best;               /* of each first row: the newest of its rows at this step */
    struct pq_rowset ids;
    struct pq_matrix id_rows;
};

static void split_matchers(struct info *f, const struct pq_node *n)
{
    const struct pq_selector *s = n->call.nargs > 1 ? n->call.args[1]->sel : NULL;
    uint32_t nm = s ? s->nm : 0;
    f->names = ARENA_ARRAY(f->e->a, struct matcher, nm + 1);
    f->data = ARENA_ARRAY(f->e->a, struct matcher, nm + 1);
    for (uint32_t i = 0; i < nm; i++) {
        if (str_is(s->m[i].name, "__name__")) {
            f->names[f->nnames++] = s->m[i];
        } else {
            f->data[f->ndata++] = s->m[i];
            f->needs = f->needs || !match_takes(&s->m[i], STR_NONE);
        }
    }
    f->suffix = f->nnames > 0;
    for (uint32_t i = 0; i < f->nnames; i++)
        f->suffix = f->suffix && (f->names[i].op == MATCH_NE || f->names[i].op == MATCH_NRE);
    if (f->nnames == 0)
        f->names[f->nnames++] =
            (struct matcher){ .op = MATCH_EQ, .name = STR("__name__"), .value = STR("target_info") };
}

static bool named_info(const struct labels *l)
{
    struct str name = labels_get(l, STR("__name__"));
    return name.n > 5 && str_ends(name, STR("_info"));
}

/* Finds the rows of an identity: a chain of one row a name. */
static void chain(struct info *f)
{
    struct arena *a = f->e->a;
    uint32_t n = f->when.n;
    f->first = ARENA_RAW(a, uint32_t, n + 1);
    f->more = ARENA_RAW(a, uint32_t, n + 1);
    f->head = ARENA_RAW(a, uint32_t, n + 1);
    f->best = ARENA_RAW(a, uint32_t, n + 1);
    memset(f->head, 0xff, sizeof *f->head * (n + 1));
    for (uint32_t r = 0; r < n; r++) {
        struct str name = labels_get(&f->when.rows[r].labels, STR("__name__"));
        struct labels id = pq_labels_pick(a, &f->when.rows[r].labels, identifying, 2, true);
        uint32_t *at = &f->head[pq_rowset_get(&f->ids, a, id, 1) - f->id_rows.rows];
        while (*at != UINT32_MAX && !str_eq(labels_get(&f->when.rows[*at].labels, STR("__name__")), name)) at = &f->more[*at];
        if (*at == UINT32_MAX) *at = r, f->more[r] = UINT32_MAX;
        f->first[r] = *at;
    }
}

/* Reads the info series: which of them has a sample at which step, and of what time. */
static err_t fetch(struct info *f, const struct pq_node *n)
{
    struct arena *a = f->e->a;
    struct pq_selector *sel = ARENA_NEW(a, struct pq_selector);
    sel->nm = f->nnames + f->ndata;
    sel->m = ARENA_ARRAY(a, struct matcher, sel->nm);
    memcpy(sel->m, f->names, sizeof *sel->m * f->nnames);
    memcpy(sel->m + f->nnames, f->data, sizeof *sel->m * f->ndata);
    base_shift(n->call.args[0], &sel->shift);
    struct pq_node *s = ARENA_NEW(a, struct pq_node), *ts = ARENA_NEW(a, struct pq_node);
    *s = (struct pq_node){ .kind = PQ_SELECTOR, .type = PQ_VECTOR, .start = n->start, .end = n->end, .depth = 1,
                           .local = true, .selects = true, .sel = sel };
    *ts = (struct pq_node){ .kind = PQ_CALL, .type = PQ_VECTOR, .start = n->start, .end = n->end, .depth = 2,
                            .local = true, .selects = true };
    ts->call.fn = pq_func_find(STR("timestamp"));
    ts->call.args = ARENA_ARRAY(a, struct pq_node *, 1);
    ts->call.args[0] = s;
    ts->call.nargs = 1;
    struct pq_value v;
    TRY(pq_eval(f->e, s, f->g, &v));
    for (uint32_t r = 0; r < v.m.n; r++)
        if (v.m.rows[r].h && (!f->suffix || named_info(&v.m.rows[r].labels))) {
            struct str text = pq_labels_text(a, &v.m.rows[r].labels);
            return pq_exec_error("this should be an info metric, with float samples: " STR_FMT, STR_ARG(text));
        }
    TRY(pq_eval(f->e, ts, f->g, &v));
    f->when = v.m;
    f->when.n = 0;
    for (uint32_t r = 0; r < v.m.n; r++)
        if (!f->suffix || named_info(&v.m.rows[r].labels)) f->when.rows[f->when.n++] = v.m.rows[r];
    chain(f);
    return OK;
}

/* Which info series count: of each identifying label that base series have, those with one of their values. */
static err_t ask_for(struct info *f, const struct pq_matrix *base)
{
    struct pq_matrix rows = { 0 };
    struct pq_rowset values;
    bool used[2] = { false, false };
    err_t err = OK;
    pq_rowset_init(&values, &rows);
    for (uint32_t r = 0; r < base->n; r++)
        for (int k = 0; k < 2 && !f->pass[r]; k++) {
            struct labels one = pq_labels_pick(f->e->a, &base->rows[r].labels, &identifying[k], 1, true);
            if (one.n) used[k] = true, pq_rowset_get(&values, f->e->a, one, 1);
        }
    f->asked = ARENA_ARRAY(f->e->a, bool, f->when.n + 1);
    for (uint32_t r = 0, known = rows.n; r < f->when.n; r++) {
        TRY_OUT(err, pq_checkpoint(f->e));
        f->asked[r] = used[0] || used[1];
        for (int k = 0; k < 2; k++) {
            if (!used[k]) continue;
            struct labels one = pq_labels_pick(f->e->a, &f->when.rows[r].labels, &identifying[k], 1, true);
            f->asked[r] = f->asked[r] && one.n && pq_rowset_get(&values, f->e->a, one, 1) < rows.rows + known;
        }
    }
out:
    pq_rowset_deinit(&values);
    return err;
}

static err_t twice(struct info *f, const struct pq_row *had, const struct pq_row *row, uint32_t i)
{
    struct str x = pq_labels_text(f->e->a, &had->labels), y = pq_labels_text(f->e->a, &row->labels);
    long long at = llround(row->v[i] * 1000);
    return pq_exec_error("found duplicate series for info metric: existing " STR_FMT " @ %lld, new " STR_FMT " @ %lld", STR_ARG(x), at, STR_ARG(y), at);
}

/* Of each identity and name the newest info series at step i. */
static err_t newest(struct info *f, uint32_t i)
{
    uint32_t *best = f->best;
    for (uint32_t r = 0; r < f->when.n; r++) best[r] = UINT32_MAX;
    for (uint32_t r = 0; r < f->when.n; r++) {
        const struct pq_row *row = &f->when.rows[r];
        if (!f->asked[r] || !row->have[i]) continue;
        uint32_t k = f->first[r];
        if (best[k] == UINT32_MAX || row->v[i] > f->when.rows[best[k]].v[i]) best[k] = r;
        else if (row->v[i] == f->when.rows[best[k]].v[i]) return twice(f, &f->when.rows[best[k]], row, i);
    }
    return OK;
}

static bool wanted(const struct info *f, struct str label)
{
    if (str_is(label, "__name__") || pq_label_in(label, identifying, 2)) return false;
    if (f->ndata == 0) return true;
    for (uint32_t i = 0; i < f->ndata; i++)
        if (str_eq(f->data[i].name, label)) return true;
    return false;
}

static err_t enrich(struct info *f, const struct labels *base, const uint32_t *pick, uint32_t n, struct labels *out)
{
    struct labels l = *base, added = { 0 };
    for (uint32_t k = 0; k < n; k++) {
        const struct labels *from = &f->when.rows[pick[k]].labels;
        for (uint32_t i = 0; i < from->n; i++) {
            struct str name = from->l[i].name, had = labels_get(&added, name);
            if (!wanted(f, name) || labels_get(base, name).n) continue;
            if (had.n && !str_eq(had, from->l[i].value))
                return pq_exec_error("conflicting label: " STR_FMT, STR_ARG(name));
            added = pq_labels_set(f->e->a, &added, name, from->l[i].value);
            l = pq_labels_set(f->e->a, &l, name, from->l[i].value);
        }
    }
    *out = l;
    return OK;
}

static bool is_info(const struct info *f, const struct labels *base)
{
    if (f->suffix && !named_info(base)) return false;
    for (uint32_t i = 0; i < f->nnames; i++)
        if (!match_takes(&f->names[i], labels_get(base, STR("__name__")))) return false;
    return true;
}

static err_t join_cell(struct info *f, const struct pq_row *base, uint32_t group, uint32_t i, uint32_t *pick, struct pq_rowset *out)
{
    struct arena *a = f->e->a;
    uint32_t n = 0;
    for (uint32_t r = group == UINT32_MAX ? UINT32_MAX : f->head[group]; r != UINT32_MAX; r = f->more[r])
        if (f->best[r] != UINT32_MAX) pick[n++] = f->best[r];
    if (group != UINT32_MAX && n == 0 && f->needs) return OK;
    struct labels last = base->labels;
    if (n) TRY(enrich(f, &base->labels, pick, n, &last));
    uint32_t rows = out->m->n;
    struct pq_row *to = pq_rowset_get(out, a, last, f->g->n);
    to->drop_name = (rows == out->m->n && to->drop_name) || base->drop_name;
    if (to->have[i]) return pq_exec_error("vector cannot contain metrics with the same labelset");
    pq_copy_cell(a, to, base, i, f->g->n);
    return OK;
}

/* Base rows that are info series stand for themselves: UINT32_MAX. An identity that no info series has is f->when.n. */
static uint32_t *identities(struct info *f, const struct pq_matrix *base)
{
    uint32_t known = f->id_rows.n, *group = ARENA_RAW(f->e->a, uint32_t, base->n + 1);
    for (uint32_t r = 0; r < base->n; r++) {
        struct labels id = pq_labels_pick(f->e->a, &base->rows[r].labels, identifying, 2, true);
        uint32_t k = (uint32_t)(pq_rowset_get(&f->ids, f->e->a, id, 1) - f->id_rows.rows);
        group[r] = f->pass[r] ? UINT32_MAX : k < known && id.n ? k : f->when.n;
    }
    return group;
}

static err_t join(struct info *f, const struct pq_matrix *base, struct pq_rowset *out)
{
    f->pass = ARENA_RAW(f->e->a, bool, base->n + 1);
    for (uint32_t r = 0; r < base->n; r++) f->pass[r] = is_info(f, &base->rows[r].labels);
    TRY(ask_for(f, base));
    uint32_t *group = identities(f, base), *pick = ARENA_RAW(f->e->a, uint32_t, f->when.n + 1);
    for (uint32_t i = 0; i < f->g->n; i++) {
        uint32_t r = 0;
        TRY(pq_checkpoint(f->e));
        while (r < base->n && !base->rows[r].have[i]) r++;
        if (r == base->n) continue;
        TRY(newest(f, i));
        for (; r < base->n; r++) {
            if (base->rows[r].have[i]) TRY(join_cell(f, &base->rows[r], group[r], i, pick, out));
            if (r % 64 == 63) TRY(pq_checkpoint(f->e));
        }
    }
    return OK;
}

err_t pq_eval_info(struct pq_env *e, const struct pq_node *n, const struct pq_grid *g, struct pq_matrix *out)
{
    struct info f = { .e = e, .g = g };
    struct pq_value base;
    struct pq_rowset set;
    err_t err = OK;
    pq_rowset_init(&f.ids, &f.id_rows);
    pq_rowset_init(&set, out);
    TRY_OUT(err, pq_eval(e, n->call.args[0], g, &base));
    split_matchers(&f, n);
    TRY_OUT(err, fetch(&f, n));
    TRY_OUT(err, join(&f, &base.m, &set));
out:
    pq_rowset_deinit(&set);
    pq_rowset_deinit(&f.ids);
    return err;
}
