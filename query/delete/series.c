/* The exemplars of deleted series. A tombstone deletes series and samples without looking at them (storage/tombstone.h); exemplars
 * are rows, in the partitions of their traces, each with the labels of its series. */
#include "query/delete/delete.h"

err_t delete_filter_exemplars(const struct str *selectors, uint32_t n, int64_t start_ns, int64_t end_ns, struct arena *a,
                              struct delete_filter *out)
{
    *out = (struct delete_filter){ .signal = SIG_EXEMPLARS, .tmin_ns = start_ns, .tmax_ns = end_ns };
    if (end_ns != INT64_MAX && end_ns != INT64_MIN) out->tmax_ns = end_ns - 1;
    out->series = ARENA_ARRAY(a, struct pq_ast, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        out->nseries++; /* to be freed also after an error */
        TRY(pq_parse_selector(selectors[i], a, &out->series[i]));
    }
    return OK;
}

bool delete_is_of(const struct delete_filter *f, const struct labels *ls)
{
    for (uint32_t i = 0; i < f->nseries; i++) {
        const struct pq_selector *sel = f->series[i].root->sel;
        const struct tombstone t = { .spec = { .m = sel->m, .nm = sel->nm } };
        if (tombstone_matches(&t, ls)) return true;
    }
    return false;
}

enum verdict { NOT_ASKED, STAYS, GOES };

/* The series of a row: each label set of the dictionary is looked at once. */
static err_t judge(const struct delete_filter *f, const struct column *labels, uint32_t row, struct arena *a, uint8_t *known)
{
    struct arena_mark m = arena_mark(a);
    struct labels ls;
    if (*known != NOT_ASKED) return OK;
    TRY(labels_decode(column_str(labels, row), a, &ls));
    *known = delete_is_of(f, &ls) ? GOES : STAYS;
    arena_rollback(a, m);
    return OK;
}

err_t delete_find_exemplars(struct rowset *rs, const struct delete_filter *f, struct arena *a, uint32_t **rows, uint32_t *n)
{
    const struct column *time, *labels;
    *n = 0;
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("time"), COL_I64, &time));
    TRY(rowset_column(rs, REL_ROWS, SC_SELF, STR("labels"), COL_STR, &labels));
    if (!time || !labels) return OK;
    uint8_t *known = ARENA_ARRAY(a, uint8_t, labels->dict.count + 1);
    *rows = ARENA_RAW(a, uint32_t, rs->nsel + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < rs->nsel; i++) {
        uint32_t row = rs->sel ? rs->sel[i] : i;
        if (!column_has(labels, row) || time->i64[row] < f->tmin_ns || time->i64[row] > f->tmax_ns) continue;
        TRY(judge(f, labels, row, a, &known[labels->code[row]]));
        if (known[labels->code[row]] == GOES) (*rows)[(*n)++] = row;
        TRY(rt_checkpoint());
    }
    return OK;
}

static err_t mark_rowset(struct rowset *rs, const struct delete_filter *f, struct arena *a, struct dead_marks *to)
{
    uint32_t *rows, n;
    TRY(delete_find_exemplars(rs, f, a, &rows, &n));
    return n ? rowset_mark(rs, rows, n, to) : OK;
}

err_t delete_mark_exemplars(struct view *v, const struct delete_filter *f, uint64_t generation, struct dead_marks *to, bool *more)
{
    const struct rows_req rq = { .signal = SIG_EXEMPLARS, .tmin_ns = f->tmin_ns, .tmax_ns = f->tmax_ns, .upto_generation = generation };
    struct rows_scan *scan;
    struct rowset rs;
    struct arena a;
    err_t e = OK;
    TRY(rows_open(v, &rq, &scan));
    arena_init(&a, to->a->budget);
    for (bool next;;) {
        TRY_OUT(e, rows_next(scan, &rs, &next));
        /* Between row groups only: a group is marked as a whole. */
        *more = next && to->bytes > DELETE_MARKS_MAX;
        if (!next || *more) break;
        arena_reset(&a);
        TRY_OUT(e, mark_rowset(&rs, f, &a, to));
    }
    e = dead_marks_end(to);
out:
    arena_deinit(&a);
    rows_close(scan);
    return e;
}
