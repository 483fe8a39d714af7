/* Partial states as bytes; the form is in wire.h. */
#include "query/promql/wire.h"

#include "base/rt/rt.h"

enum { RUN_NONE, RUN_EACH, RUN_SAME, RUN_HISTS };
enum { EQUAL_LEAST = 3 }; /* equal values in a row that are worth a run */
enum { HIST_BOUNDS = 1, HIST_POS = 2, HIST_NEG = 4, HIST_COMP = 8 };
enum { STATE_FLOATS = 1, STATE_HISTS = 2, STATE_V = 4, STATE_C = 8, STATE_MEAN = 16, STATE_MEAN_C = 32, STATE_MARKS = 64, STATE_SUM = 128 };
enum { MARK_RUNNING = 1, MARK_BROKEN = 2, MARK_RESET = 4, MARK_NOT_RESET = 8 };
enum { POINTS_DROP = 1, POINTS_ST = 2 };

static err_t pause(void) { return rt_in_fiber() ? rt_checkpoint() : OK; }

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* -- labels -------------------------------------------------------------------------------------------------- */
void pq_labels_put(struct wire_out *w, const struct labels *l)
{
    buf_varint(w->out, l->n);
    for (uint32_t i = 0; i < l->n; i++) {
        wire_put_str(w, l->l[i].name);
        wire_put_str(w, l->l[i].value);
    }
}

struct labels pq_labels_read(struct wire_in *w)
{
    struct labels l = { 0 };
    l.l = WIRE_LIST(w, struct label, 2, UINT32_MAX, &l.n);
    for (uint32_t i = 0; i < l.n && !w->in->bad; i++) {
        l.l[i].name = wire_get_str(w);
        l.l[i].value = wire_get_str(w);
    }
    return l;
}

/* -- histograms ---------------------------------------------------------------------------------------------- */
static bool same_indexes(const struct pq_buckets *x, const struct pq_buckets *y)
{
    return x->n == y->n && (x->n == 0 || memcmp(x->idx, y->idx, sizeof *x->idx * x->n) == 0);
}

static bool same_bounds(const struct pq_hist *x, const struct pq_hist *y)
{
    return x->ncustom == y->ncustom && (x->ncustom == 0 || memcmp(x->custom, y->custom, sizeof *x->custom * x->ncustom) == 0);
}

static void put_side(struct buf *b, const struct pq_buckets *s, bool known, bool comp)
{
    if (!known) {
        buf_varint(b, s->n);
        for (uint32_t i = 0; i < s->n; i++)
            if (i) buf_varint(b, (uint64_t)((int64_t)s->idx[i] - s->idx[i - 1]));
            else bytes_out_zigzag(b, s->idx[i]);
    }
    buf_put(b, s->count, sizeof *s->count * s->n);
    if (comp) buf_put(b, s->comp, sizeof *s->comp * s->n);
}

/* `prev`: the histogram before in the same row, or NULL. With compensations both sides have them. */
static void put_hist(struct buf *b, const struct pq_hist *h, const struct pq_hist *prev, bool comp)
{
    static const struct pq_hist none;
    if (!prev) prev = &none;
    bool bounds = same_bounds(h, prev), pos = same_indexes(&h->pos, &prev->pos), neg = same_indexes(&h->neg, &prev->neg);
    buf_byte(b, (uint8_t)((bounds ? HIST_BOUNDS : 0) | (pos ? HIST_POS : 0) | (neg ? HIST_NEG : 0) | (comp ? HIST_COMP : 0)));
    buf_byte(b, (uint8_t)h->schema);
    buf_byte(b, h->hint);
    const double one[] = { h->zero_threshold, h->zero_count, h->count, h->sum };
    buf_put(b, one, sizeof one);
    if (!bounds) {
        buf_varint(b, h->ncustom);
        buf_put(b, h->custom, sizeof *h->custom * h->ncustom);
    }
    put_side(b, &h->pos, pos, comp);
    put_side(b, &h->neg, neg, comp);
}

static double *get_doubles(struct wire_in *w, uint32_t n)
{
    if (bytes_in_left(w->in) / sizeof(double) < n) w->in->bad = true;
    if (w->in->bad) n = 0;
    double *v = ARENA_RAW(w->a, double, (size_t)n + 1);
    bytes_in_copy(w->in, v, sizeof *v * n);
    return v;
}

static struct pq_buckets get_side(struct wire_in *w, const struct pq_buckets *known, bool comp)
{
    struct pq_buckets s = { 0 };
    if (known) {
        s.n = known->n;
        if (bytes_in_left(w->in) / sizeof(double) < s.n) w->in->bad = true;
        if (w->in->bad) s.n = 0;
        s.idx = arena_dup(w->a, known->idx, sizeof *s.idx * s.n);
    } else {
        s.idx = WIRE_LIST(w, int32_t, 1 + sizeof(double), UINT32_MAX, &s.n);
        int64_t at = 0;
        for (uint32_t i = 0; i < s.n && !w->in->bad; i++) {
            uint64_t more = i ? bytes_in_varint(w->in) : 0;
            at = i ? at + (int64_t)(more & UINT32_MAX) : bytes_in_zigzag(w->in);
            if (at < INT32_MIN || at > INT32_MAX || more > UINT32_MAX || (i && !more)) w->in->bad = true;
            s.idx[i] = (int32_t)at;
        }
    }
    if (w->in->bad) s.n = 0;
    s.count = get_doubles(w, s.n);
    if (comp) s.comp = get_doubles(w, s.n);
    if (w->in->bad) s.n = 0;
    return s;
}

static struct pq_hist *get_hist(struct wire_in *w, const struct pq_hist *prev, bool comp)
{
    static const struct pq_hist none;
    struct pq_hist *h = ARENA_NEW(w->a, struct pq_hist);
    if (!prev) prev = &none;
    uint8_t bits = bytes_in_u8(w->in);
    h->schema = (int8_t)bytes_in_u8(w->in);
    h->hint = bytes_in_u8(w->in);
    double one[4];
    bytes_in_copy(w->in, one, sizeof one);
    h->zero_threshold = one[0];
    h->zero_count = one[1];
    h->count = one[2];
    h->sum = one[3];
    bool custom = h->schema == NHIST_CUSTOM;
    if ((!custom && (h->schema < NHIST_SCHEMA_MIN || h->schema > NHIST_SCHEMA_MAX)) || h->hint > NHIST_GAUGE || comp != ((bits & HIST_COMP) != 0))
        w->in->bad = true;
    if (bits & HIST_BOUNDS) {
        h->ncustom = prev->ncustom;
        h->custom = prev->custom; /* bounds never change */
    } else {
        h->ncustom = bytes_in_count(w->in, sizeof(double));
        h->custom = get_doubles(w, h->ncustom);
    }
    if (h->ncustom && !custom) w->in->bad = true;
    h->pos = get_side(w, bits & HIST_POS ? &prev->pos : NULL, comp);
    h->neg = get_side(w, bits & HIST_NEG ? &prev->neg : NULL, comp);
    return h;
}

static void put_sum(struct buf *b, const struct pq_hacc *s)
{
    put_hist(b, &s->h, NULL, true);
    const double one[] = { s->zero_comp, s->count_comp, s->sum_comp };
    buf_put(b, one, sizeof one);
}

static struct pq_hacc *get_sum(struct wire_in *w)
{
    struct pq_hacc *s = ARENA_NEW(w->a, struct pq_hacc);
    double one[3];
    s->h = *get_hist(w, NULL, true);
    bytes_in_copy(w->in, one, sizeof one);
    s->zero_comp = one[0];
    s->count_comp = one[1];
    s->sum_comp = one[2];
    s->a = w->a;
    return s;
}

/* -- cells --------------------------------------------------------------------------------------------------- */
struct cells {
    uint32_t n;
    const uint8_t *have;
    const double *v;
    const struct pq_hist *const *h;
};

static uint32_t equal_run(const struct cells *c, uint32_t from)
{
    uint32_t i = from + 1;
    while (i < c->n && c->have[i] == PQ_CELL_FLOAT && bits_of(c->v[i]) == bits_of(c->v[from])) i++;
    return i - from;
}

/* Floats from `from` on that stand each for itself: up to another kind of cell, or to values that are equal. */
static uint32_t each_run(const struct cells *c, uint32_t from)
{
    uint32_t i = from, equal = 1;
    for (i++; i < c->n && c->have[i] == PQ_CELL_FLOAT; i++) {
        equal = bits_of(c->v[i]) == bits_of(c->v[i - 1]) ? equal + 1 : 1;
        if (equal == EQUAL_LEAST) return i + 1 - EQUAL_LEAST - from;
    }
    return i - from;
}

static void put_cells(struct buf *b, const struct cells *c)
{
    const struct pq_hist *prev = NULL;
    for (uint32_t i = 0, run; i < c->n; i += run) {
        uint8_t kind = c->have[i];
        if (kind == PQ_CELL_FLOAT) {
            run = equal_run(c, i);
            bool same = run >= EQUAL_LEAST;
            if (!same) run = each_run(c, i);
            buf_varint(b, (uint64_t)run << 2 | (same ? RUN_SAME : RUN_EACH));
            buf_put(b, c->v + i, sizeof *c->v * (same ? 1 : run));
            continue;
        }
        for (run = 1; i + run < c->n && c->have[i + run] == kind;) run++;
        buf_varint(b, (uint64_t)run << 2 | (kind == PQ_CELL_HIST ? RUN_HISTS : RUN_NONE));
        for (uint32_t k = 0; kind == PQ_CELL_HIST && k < run; k++) {
            put_hist(b, c->h[i + k], prev, false);
            prev = c->h[i + k];
        }
    }
}

/* The length of a run, at most `left`, and its kind; 0: bad. */
static uint32_t get_run(struct wire_in *w, uint32_t left, unsigned *kind)
{
    uint64_t run = bytes_in_varint(w->in);
    *kind = run & 3;
    run >>= 2;
    if (run == 0 || run > left) w->in->bad = true;
    return w->in->bad ? 0 : (uint32_t)run;
}

/* Into a row of n steps without a cell. */
static void get_cells(struct wire_in *w, struct pq_row *r, uint32_t n)
{
    const struct pq_hist *prev = NULL;
    unsigned kind;
    for (uint32_t i = 0, run; i < n && !w->in->bad; i += run) {
        run = get_run(w, n - i, &kind);
        if (kind == RUN_EACH) {
            bytes_in_copy(w->in, r->v + i, sizeof *r->v * run);
        } else if (kind == RUN_SAME) {
            double v = bytes_in_f64(w->in);
            for (uint32_t k = 0; k < run; k++) r->v[i + k] = v;
        }
        if (kind == RUN_EACH || kind == RUN_SAME) memset(r->have + i, PQ_CELL_FLOAT, run);
        for (uint32_t k = 0; kind == RUN_HISTS && k < run && !w->in->bad; k++) {
            prev = get_hist(w, prev, false);
            pq_set_hist(w->a, r, i + k, n, prev);
        }
    }
}

/* No row is made for which there is no room. */
static bool room(struct wire_in *w, uint64_t bytes)
{
    if (w->in->bad || !w->a->budget) return !w->in->bad;
    budget_charge(w->a->budget, (int64_t)bytes);
    w->refused = budget_check(w->a->budget);
    budget_release(w->a->budget, (int64_t)bytes);
    if (w->refused) w->in->bad = true;
    return !w->in->bad;
}

/* -- rows ---------------------------------------------------------------------------------------------------- */
static void put_rows(struct wire_out *w, const struct pq_matrix *m, uint32_t steps)
{
    buf_varint(w->out, m->n);
    for (uint32_t i = 0; i < m->n; i++) {
        const struct pq_row *r = &m->rows[i];
        pq_labels_put(w, &r->labels);
        buf_byte(w->out, r->drop_name);
        put_cells(w->out, &(struct cells){ steps, r->have, r->v, r->h });
        if (pause() != OK) continue; /* what is sent is whole all the same */
    }
}

static err_t get_rows(struct wire_in *w, struct pq_matrix *m, uint32_t steps)
{
    uint32_t n = bytes_in_count(w->in, 3);
    for (uint32_t i = 0; i < n && !w->in->bad; i++) {
        struct labels l = pq_labels_read(w);
        bool drop = wire_get_flag(w);
        if (!room(w, steps * UINT64_C(9))) break;
        struct pq_row *r = pq_row_add(w->a, m, l, steps);
        r->drop_name = drop;
        get_cells(w, r, steps);
        TRY(pause());
    }
    return OK;
}

/* -- aggregation states -------------------------------------------------------------------------------------- */
static unsigned state_bits(const struct pq_agg_cell *c)
{
    const struct pq_agg_rest *r = &c->rest;
    bool marks = r->running || r->broken || r->reset || r->not_reset;
    return (c->floats ? STATE_FLOATS : 0u) | (r->hists ? STATE_HISTS : 0u) | (bits_of(c->v) ? STATE_V : 0u) | (bits_of(c->c) ? STATE_C : 0u) |
           (bits_of(r->mean) ? STATE_MEAN : 0u) | (bits_of(r->mean_c) ? STATE_MEAN_C : 0u) | (marks ? STATE_MARKS : 0u) |
           (r->h ? STATE_SUM : 0u);
}

static void put_state(struct buf *b, const struct pq_agg_cell *c)
{
    const struct pq_agg_rest *r = &c->rest;
    unsigned bits = state_bits(c);
    buf_varint(b, bits);
    if (bits & STATE_FLOATS) buf_varint(b, c->floats);
    if (bits & STATE_HISTS) buf_varint(b, r->hists);
    if (bits & STATE_V) bytes_out_f64(b, c->v);
    if (bits & STATE_C) bytes_out_f64(b, c->c);
    if (bits & STATE_MEAN) bytes_out_f64(b, r->mean);
    if (bits & STATE_MEAN_C) bytes_out_f64(b, r->mean_c);
    if (bits & STATE_MARKS)
        buf_byte(b, (uint8_t)((r->running ? MARK_RUNNING : 0) | (r->broken ? MARK_BROKEN : 0) | (r->reset ? MARK_RESET : 0) |
                              (r->not_reset ? MARK_NOT_RESET : 0)));
    if (bits & STATE_SUM) put_sum(b, r->h);
}

static struct pq_agg_cell get_state(struct wire_in *w)
{
    struct pq_agg_cell c = { 0 };
    uint64_t bits = bytes_in_varint(w->in), floats = 0, hists = 0;
    if (bits & STATE_FLOATS) floats = bytes_in_varint(w->in);
    if (bits & STATE_HISTS) hists = bytes_in_varint(w->in);
    if (bits & STATE_V) c.v = bytes_in_f64(w->in);
    if (bits & STATE_C) c.c = bytes_in_f64(w->in);
    if (bits & STATE_MEAN) c.rest.mean = bytes_in_f64(w->in);
    if (bits & STATE_MEAN_C) c.rest.mean_c = bytes_in_f64(w->in);
    uint8_t marks = bits & STATE_MARKS ? bytes_in_u8(w->in) : 0;
    c.rest.running = marks & MARK_RUNNING;
    c.rest.broken = marks & MARK_BROKEN;
    c.rest.reset = marks & MARK_RESET;
    c.rest.not_reset = marks & MARK_NOT_RESET;
    if (bits & STATE_SUM) c.rest.h = get_sum(w);
    c.floats = (uint32_t)floats;
    c.rest.hists = (uint32_t)hists;
    if (bits > 0xff || floats > UINT32_MAX || hists > UINT32_MAX || (c.rest.h && !hists)) w->in->bad = true;
    return c;
}

static bool states_equal(const struct pq_agg_cell *x, const struct pq_agg_cell *y)
{
    const struct pq_agg_rest *r = &x->rest, *q = &y->rest;
    return !r->h && !q->h && bits_of(x->v) == bits_of(y->v) && bits_of(x->c) == bits_of(y->c) && bits_of(r->mean) == bits_of(q->mean) &&
           bits_of(r->mean_c) == bits_of(q->mean_c) && x->floats == y->floats && r->hists == q->hists && r->running == q->running &&
           r->broken == q->broken && r->reset == q->reset && r->not_reset == q->not_reset;
}

static bool are_equal(const struct pq_agg_group *g, uint32_t i, uint32_t k)
{
    const struct pq_agg_cell x = pq_agg_get(g, i), y = pq_agg_get(g, k);
    return states_equal(&x, &y);
}

static void put_states(struct buf *b, const struct pq_agg_group *g, uint32_t n)
{
    for (uint32_t i = 0, run; i < n; i += run) {
        struct pq_agg_cell c = pq_agg_get(g, i);
        for (run = 1; i + run < n && are_equal(g, i, i + run);) run++;
        bool none = state_bits(&c) == 0, each = !none && run == 1;
        if (each) /* up to the next two that are equal */
            while (i + run < n && !(i + run + 1 < n && are_equal(g, i + run, i + run + 1))) run++;
        buf_varint(b, (uint64_t)run << 2 | (none ? RUN_NONE : each ? RUN_EACH : RUN_SAME));
        for (uint32_t k = 0; !none && k < (each ? run : 1); k++) {
            c = pq_agg_get(g, i + k);
            put_state(b, &c);
        }
    }
}

static void get_states(struct wire_in *w, struct pq_agg_group *g, uint32_t n)
{
    unsigned kind;
    for (uint32_t i = 0, run; i < n && !w->in->bad; i += run) {
        run = get_run(w, n - i, &kind);
        if (kind == RUN_HISTS) w->in->bad = true;
        for (uint32_t k = 0; kind == RUN_EACH && k < run && !w->in->bad; k++) {
            struct pq_agg_cell c = get_state(w);
            pq_agg_set(w->a, g, n, i + k, &c);
        }
        if (kind != RUN_SAME) continue;
        struct pq_agg_cell same = get_state(w);
        if (same.rest.h) w->in->bad = true; /* each has its own sum */
        for (uint32_t k = 0; k < run && !w->in->bad; k++) pq_agg_set(w->a, g, n, i + k, &same);
    }
}

static void put_groups(struct wire_out *w, const struct pq_agg *s, uint32_t steps)
{
    buf_varint(w->out, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        pq_labels_put(w, &s->groups[i].labels);
        buf_byte(w->out, s->groups[i].drop_name);
        put_states(w->out, &s->groups[i], steps);
        if (pause() != OK) continue;
    }
}

static err_t get_groups(struct wire_in *w, struct pq_agg *s, uint32_t steps)
{
    uint32_t n = bytes_in_count(w->in, 3);
    for (uint32_t i = 0; i < n && !w->in->bad; i++) {
        struct pq_agg_group g = { .labels = pq_labels_read(w) };
        g.drop_name = wire_get_flag(w);
        if (!room(w, (uint64_t)steps * (PQ_AGG_STEP_BYTES + sizeof *g.rest))) break;
        pq_agg_columns(w->a, &g, steps);
        get_states(w, &g, steps);
        s->groups = arena_grow(w->a, s->groups, s->n, &s->cap, s->n + 1u, sizeof *s->groups);
        s->groups[s->n++] = g;
        TRY(pause());
    }
    return OK;
}

/* -- points -------------------------------------------------------------------------------------------------- */
static void put_times(struct buf *b, const int64_t *t, uint32_t n)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        bytes_out_zigzag(b, (int64_t)((uint64_t)t[i] - at));
        at = (uint64_t)t[i];
    }
}

static int64_t *get_times(struct wire_in *w, uint32_t n)
{
    int64_t *t = ARENA_ARRAY(w->a, int64_t, (size_t)n + 1);
    uint64_t at = 0;
    for (uint32_t i = 0; i < n && !w->in->bad; i++) t[i] = (int64_t)(at += (uint64_t)bytes_in_zigzag(w->in));
    return t;
}

void pq_points_put(struct wire_out *w, const struct pq_points *p, uint32_t n)
{
    buf_varint(w->out, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct pq_samples *s = &p[i].s;
        struct arena_mark mark = arena_mark(&w->mem);
        uint8_t *have = arena_alloc(&w->mem, (size_t)s->n + 1);
        for (uint32_t k = 0; k < s->n; k++) have[k] = s->h && s->h[k] ? PQ_CELL_HIST : PQ_CELL_FLOAT;
        struct cells cells = { s->n, have, s->v, s->h };
        buf_varint(w->out, s->n);
        buf_byte(w->out, (uint8_t)((p[i].drop_name ? POINTS_DROP : 0) | (s->st ? POINTS_ST : 0)));
        put_times(w->out, s->t, s->n);
        put_cells(w->out, &cells);
        if (s->st) put_times(w->out, s->st, s->n);
        arena_rollback(&w->mem, mark);
        pq_labels_put(w, &p[i].labels);
        if (pause() != OK) continue;
    }
}

err_t pq_points_read(struct wire_in *w, struct pq_points **v, uint32_t *npoints)
{
    *v = WIRE_LIST(w, struct pq_points, 3, UINT32_MAX, npoints);
    for (uint32_t i = 0; i < *npoints && !w->in->bad; i++) {
        struct pq_points *p = &(*v)[i];
        uint32_t n = bytes_in_count(w->in, 1);
        uint8_t bits = bytes_in_u8(w->in);
        struct pq_row row = { .have = arena_calloc(w->a, (size_t)n + 1, 1), .v = ARENA_ARRAY(w->a, double, (size_t)n + 1) };
        const int64_t *t = get_times(w, n);
        get_cells(w, &row, n);
        for (uint32_t k = 0; k < n; k++)
            if (row.have[k] == PQ_CELL_NONE) w->in->bad = true;
        p->drop_name = bits & POINTS_DROP;
        p->s = (struct pq_samples){ n, t, row.v, row.h, bits & POINTS_ST ? get_times(w, n) : NULL, NULL };
        p->labels = pq_labels_read(w);
        TRY(arena_check(w->a));
        TRY(pause());
    }
    return OK;
}

/* -- notes --------------------------------------------------------------------------------------------------- */
static void put_notes(struct buf *b, const struct pq_notes *ns)
{
    buf_varint(b, ns->n);
    for (uint32_t i = 0; i < ns->n; i++) {
        const struct pq_note *n = &ns->notes[i];
        buf_byte(b, (uint8_t)n->kind);
        buf_varint(b, n->pos);
        bytes_out_str(b, n->text);
        buf_byte(b, n->forced);
        if (!n->forced) continue;
        const double one[] = { n->min_bucket, n->max_bucket, n->max_diff };
        buf_put(b, one, sizeof one);
        buf_varint(b, n->forced_count);
        bytes_out_zigzag(b, n->t_min);
        bytes_out_zigzag(b, n->t_max);
    }
}

static void get_notes(struct wire_in *w, struct pq_notes *ns)
{
    ns->a = w->a;
    ns->notes = WIRE_LIST(w, struct pq_note, 4, PQ_NOTES_MAX, &ns->n);
    ns->cap = ns->n;
    for (uint32_t i = 0; i < ns->n && !w->in->bad; i++) {
        struct pq_note *n = &ns->notes[i];
        n->kind = wire_get_enum(w, PQ_INFO) ? PQ_INFO : PQ_WARN;
        n->pos = (uint32_t)bytes_in_varint(w->in);
        n->text = wire_get_text(w);
        n->forced = wire_get_flag(w);
        if (!n->forced) continue;
        double one[3];
        bytes_in_copy(w->in, one, sizeof one);
        n->min_bucket = one[0];
        n->max_bucket = one[1];
        n->max_diff = one[2];
        n->forced_count = (uint32_t)bytes_in_varint(w->in);
        n->t_min = bytes_in_zigzag(w->in);
        n->t_max = bytes_in_zigzag(w->in);
    }
}

/* -- the whole ----------------------------------------------------------------------------------------------- */
#define SAMPLES_MAX (INT64_C(1) << 48) /* of one partial: sums of many fit an int64_t */

void pq_part_put(const void *plan, const void *partial, struct buf *out)
{
    const struct pq_plan *p = plan;
    const struct pq_part *part = partial;
    struct wire_out w;
    wire_out_init(&w, out);
    if (p->ask == PQ_ASK_ROWS) put_rows(&w, &part->rows, p->grid.n);
    else if (p->ask == PQ_ASK_AGG) put_groups(&w, &part->agg, p->grid.n);
    else pq_points_put(&w, part->points, part->npoints);
    put_notes(out, &part->notes);
    buf_varint(out, (uint64_t)part->samples);
    wire_out_deinit(&w);
}

err_t pq_part_get(const void *plan, struct bytes_in *in, struct arena *a, void **partial)
{
    const struct pq_plan *p = plan;
    struct pq_part *part = ARENA_NEW(a, struct pq_part);
    struct wire_in w = wire_in_of(in, a);
    *partial = part;
    if (p->ask == PQ_ASK_ROWS) TRY(get_rows(&w, &part->rows, p->grid.n));
    else if (p->ask == PQ_ASK_AGG) TRY(get_groups(&w, &part->agg, p->grid.n));
    else TRY(pq_points_read(&w, &part->points, &part->npoints));
    get_notes(&w, &part->notes);
    part->samples = (int64_t)bytes_in_varint(in);
    if (part->samples < 0 || part->samples > SAMPLES_MAX) in->bad = true;
    return wire_check(&w, "an answer to a PromQL query");
}
