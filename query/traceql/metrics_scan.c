/* A unit whose spans the columns alone can tell: one pass over them, 1,024 rows at a time. A count over a rowset that
 * lies in one step, without labels, reads no column. */
#include "query/ops/op_scan.h"
#include "query/traceql/metrics_cols.h"

#include <math.h>
#include <stdlib.h>

struct mscan {
    const struct metrics_plan *p;
    struct mstate *st;
    struct op_scan scan;
    struct arena keep, bind;
    uint64_t bound;            /* rowset_seq that the columns below are of */
    const int64_t *start;      /* of the rowset; NULL: */
    uint32_t one_step;         /* ... all of it lies in this one */
    double per_ns;             /* steps a ns */
    struct label_cols label[METRICS_BY_MAX];
    struct value_cols value;
    struct mbatch b;
    uint32_t *row;
    int64_t *row_start;
};

/* -- rowsets --------------------------------------------------------------------------------------------------- */
/* All of the rowset in one step, so that the starts need not be read? */
static bool in_one_step(struct mscan *m)
{
    int64_t min, max;
    if (m->p->slots || !rowset_zone(&m->scan.rowset, SC_SELF, STR("start"), &min, &max)) return false;
    m->one_step = metrics_step(&m->p->range, min);
    return m->one_step != UINT32_MAX && m->one_step == metrics_step(&m->p->range, max);
}

static err_t bind_rowset(struct mscan *m)
{
    const struct tql_unit *u = m->p->u;
    const struct column *start;
    arena_reset(&m->bind);
    m->start = NULL;
    m->b.place = rows_place(m->scan.rows);
    if (!in_one_step(m)) {
        TRY(rowset_column(&m->scan.rowset, REL_ROWS, SC_SELF, STR("start"), COL_I64, &start));
        if (!start) return err_set(ERR_CORRUPT, "spans without start");
        m->start = start->i64;
    }
    for (uint32_t k = 0; k < u->nby; k++)
        TRY(label_cols_bind(&m->label[k], &m->scan.src, &m->bind));
    if (u->of) TRY(value_cols_bind(&m->value, &m->scan.src, &m->bind));
    m->bound = m->scan.rowset_seq;
    return OK;
}

/* -- chunks ----------------------------------------------------------------------------------------------------- */
/* The rows of the chunk inside of the window, with their steps. */
static void take_rows(struct mscan *m)
{
    const struct chunk *c = &m->scan.chunk;
    const struct metrics_range *r = &m->p->range;
    uint64_t left = (uint64_t)r->left_ns + 1, width = (uint64_t)r->step_ns, all = width * r->nsteps;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->nsel; i++) {
        uint32_t row = c->base + (c->sel ? c->sel[i] : i), step = m->one_step;
        if (m->start) {
            uint64_t since = (uint64_t)m->start[row] - left;
            if (since >= all) continue;
            step = (uint32_t)((double)(int64_t)since * m->per_ns); /* off by one at most */
            int64_t rest = (int64_t)(since - (uint64_t)step * width);
            step += (uint32_t)((rest >= (int64_t)width) - (rest < 0));
            m->row_start[n] = m->start[row];
        }
        m->row[n] = row;
        m->b.step[n++] = step;
    }
    m->b.n = n;
}

/* Drops the rows without a number. */
static void measure(struct mscan *m)
{
    uint32_t n = 0;
    value_cols_read(&m->value, m->row, m->b.n, m->b.val);
    for (uint32_t i = 0; i < m->b.n; i++) {
        if (isnan(m->b.val[i])) continue;
        m->row[n] = m->row[i];
        m->row_start[n] = m->row_start[i];
        m->b.step[n] = m->b.step[i];
        m->b.val[n++] = m->b.val[i];
    }
    m->b.n = n;
}

static err_t chunk(struct mscan *m)
{
    const struct tql_unit *u = m->p->u;
    if (m->bound != m->scan.rowset_seq) TRY(bind_rowset(m));
    if (!m->start && !u->of && m->p->nkeys == 0)
        return mstate_add_count(m->st, m->one_step, m->scan.chunk.nsel + op_scan_rest(&m->scan));
    take_rows(m);
    if (u->of) measure(m);
    for (uint32_t k = 0; k < u->nby; k++)
        label_cols_read(&m->label[k], m->row, m->b.n, m->b.ids[k], &m->bind);
    TRY(arena_check(&m->bind));
    return mstate_add(m->st, &m->b);
}

/* -- exemplars ---------------------------------------------------------------------------------------------------- */
static int by_place(const void *pa, const void *pb)
{
    const struct mexemplar *a = *(struct mexemplar *const *)pa, *b = *(struct mexemplar *const *)pb;
    if (a->place != b->place) return a->place < b->place ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* Ids and durations of e[0..n), which lie in one rowset in ascending rows. */
static err_t resolve(struct mscan *m, struct mexemplar **e, uint32_t n)
{
    static const struct column_key keys[] = {
        { SC_SELF, COL_FIX, { "trace_id", 8 } }, { SC_SELF, COL_FIX, { "span_id", 7 } }, { SC_SELF, COL_I64, { "duration", 8 } },
    };
    struct rowset rs;
    uint32_t *rows = ARENA_RAW(&m->bind, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        rows[i] = e[i]->row;
    TRY(rows_again(m->scan.rows, e[0]->place, &rs));
    for (uint32_t k = 0; k < ARRAY_LEN(keys); k++) {
        const struct column *c;
        bool packed;
        if (keys[k].type == COL_I64 && m->p->u->of) continue;
        TRY(rowset_column_at(&rs, REL_ROWS, &keys[k], rows, n, &c, &packed));
        for (uint32_t i = 0; c && i < n; i++) {
            uint32_t at = packed ? i : rows[i];
            if (!column_has(c, at)) continue;
            if (keys[k].type == COL_I64) e[i]->x.value = (double)c->i64[at];
            else if (k == 0 && c->width == 16) memcpy(e[i]->x.trace_id, c->fix + (size_t)at * 16, 16);
            else if (k == 1 && c->width == 8) memcpy(e[i]->x.span_id, c->fix + (size_t)at * 8, 8);
        }
    }
    return OK;
}

static err_t resolve_exemplars(struct mscan *m)
{
    uint32_t n = 0, slots = m->p->slots;
    mstate_thin(m->st, m->p->exemplars_max, false);
    struct mexemplar **e = ARENA_RAW(&m->keep, struct mexemplar *, (size_t)m->st->n * slots + 1);
    for (uint32_t g = 0; g < m->st->n; g++)
        for (uint32_t s = 0; s < slots; s++)
            if (m->st->groups[g].ex[s].used) e[n++] = &m->st->groups[g].ex[s];
    TRY(arena_check(&m->keep));
    if (n) qsort(e, n, sizeof *e, by_place);
    for (uint32_t from = 0, i; from < n; from = i) {
        for (i = from + 1; i < n && e[i]->place == e[from]->place;)
            i++;
        arena_reset(&m->bind);
        TRY(resolve(m, e + from, i - from));
    }
    return OK;
}

/* -- the pass ------------------------------------------------------------------------------------------------------- */
static err_t run(struct mscan *m, struct query *q, struct view *v)
{
    const struct metrics_plan *p = m->p;
    int64_t last = metrics_stamp(&p->range, p->range.nsteps - 1);
    struct scan_opts o = { .req = { .signal = SIG_SPANS, .tmin_ns = p->range.left_ns + 1, .tmax_ns = last },
                           .filter = p->filter, .builder = &p->builder };
    TRY(op_scan_open(&m->scan, v, &o, q->budget));
    for (;;) {
        enum op_status status;
        TRY(op_scan_next(&m->scan, &status));
        if (status == OP_FINISHED) break;
        TRY(chunk(m));
    }
    return p->slots ? resolve_exemplars(m) : OK;
}

err_t metrics_scan(struct query *q, struct view *v, const struct metrics_plan *p, struct mstate *st)
{
    struct mscan *m = arena_calloc(st->a, 1, sizeof *m);
    m->p = p;
    m->st = st;
    m->per_ns = 1 / (double)p->range.step_ns;
    arena_init(&m->keep, q->budget);
    arena_init(&m->bind, q->budget);
    mbatch_init(&m->b, &m->keep);
    m->row = ARENA_ARRAY(&m->keep, uint32_t, VEC_MAX);
    m->row_start = ARENA_ARRAY(&m->keep, int64_t, VEC_MAX);
    m->b.row = m->row;
    if (p->slots) m->b.start = m->row_start;
    for (uint32_t k = 0; k < p->u->nby; k++)
        label_cols_init(&m->label[k], p->u->by[k], &st->values[k], 0);
    if (p->u->of) field_cols_init(&m->value.c, p->u->of);
    err_t e = arena_check(&m->keep);
    if (e == OK) e = run(m, q, v);
    struct err_record why = *err_record();
    op_scan_close(&m->scan);
    *err_record() = why;
    arena_deinit(&m->bind);
    arena_deinit(&m->keep);
    return e;
}
