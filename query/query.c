#include "query/query.h"

#include "base/core/assert.h"
#include "base/core/bytes_in.h"
#include "base/core/buf.h"
#include "base/core/metric.h"
#include "query/permit.h"
#include "query/scatter.h"
#include "query/spread.h"

#include <stdlib.h>

void query_begin(struct query *q, struct budget *one, struct arena *answer, struct budget *all, int64_t bytes_max,
                 int64_t timeout_ns)
{
    budget_init(one, "query.memory_one", all, bytes_max, ERR_LIMIT);
    arena_init(answer, one);
    q->arena = answer;
    q->budget = one;
    if (timeout_ns > 0) fiber_set_deadline(mono_add(rt_now(), timeout_ns));
    metric_add(M_QUERIES, 1);
}

static struct str both(struct arena *a, struct str one, struct str other)
{
    if (!one.n || !other.n) return one.n ? one : other;
    return arena_printf(a, STR_FMT "; " STR_FMT, STR_ARG(one), STR_ARG(other));
}

struct str query_lost_text(struct query *q)
{
    struct str text = atomic_load(&q->stats.lost) ? store_lost_text(q->store, q->arena) : STR_NONE;
    if (atomic_load(&q->stats.away)) text = both(q->arena, text, store_away_text(q->store, q->arena));
    return both(q->arena, text, q->lost_elsewhere);
}

void query_end(struct query *q)
{
    struct err_record why = *err_record(); /* of the request; freeing must not change it */
    spread_end(q);
    metric_add(M_QUERY_ROWS, (int64_t)q->stats.rows);
    if (atomic_load(&q->budget->refused)) metric_add(M_QUERIES_REFUSED, 1);
    metric_add(M_QUERY_SAMPLES, (int64_t)q->stats.samples);
    arena_deinit(q->arena);
    if (q->admitted) permit_give();
    q->admitted = false;
    *err_record() = why;
}

struct part { /* one core's part in a scatter */
    struct query *q;
    fragment_fn *fn;
    const void *plan;
    const struct stream_pick *pick;
    struct arena *arena;
    void **partial;
};

static void add_counts(struct query *q, const struct view *v)
{
    struct view_counts c;
    view_counts(v, &c);
    atomic_fetch_add(&q->stats.rows, c.rows);
    atomic_fetch_add(&q->stats.samples, c.samples);
    atomic_fetch_add(&q->stats.bytes, c.bytes);
    atomic_fetch_add(&q->stats.groups_read, c.groups_read);
    atomic_fetch_add(&q->stats.groups_skipped, c.groups_skipped);
    atomic_fetch_add(&q->stats.lost, c.lost);
    atomic_fetch_add(&q->stats.away, c.away);
}

/* Perhaps not for the first time: what another run left is dropped. */
static err_t run_over(struct view *v, void *ctx)
{
    const struct part *p = ctx;
    *p->partial = NULL;
    arena_reset(p->arena);
    err_t e = p->fn(p->q, v, p->plan, p->arena, p->partial);
    struct err_record why = *err_record();
    add_counts(p->q, v);
    *err_record() = why;
    return e;
}

static err_t run_part(void *arg)
{
    struct part *p = arg;
    return view_run(p->q->store, p->q->tenant, p->pick, p->q->budget, run_over, p);
}

void scatter_make(struct query *q, unsigned n, struct scatter *out)
{
    *out = (struct scatter){ n, ARENA_ARRAY(q->arena, void *, n), ARENA_ARRAY(q->arena, struct arena, n) };
    for (unsigned i = 0; i < n; i++)
        arena_init(&out->arenas[i], q->budget);
}

static err_t run_here(struct query *q, const struct fragment_kind *kind, const void *plan, const struct stream_pick *pick, struct scatter *out)
{
    unsigned n = rt_cores();
    scatter_make(q, n, out);
    struct part *parts = ARENA_ARRAY(q->arena, struct part, n);
    void **args = ARENA_ARRAY(q->arena, void *, n);
    for (unsigned i = 0; i < n; i++) {
        parts[i] = (struct part){ q, kind->fn, plan, pick, &out->arenas[i], &out->partials[i] };
        args[i] = &parts[i];
    }
    err_t e = rt_call_all(RT_QUERY, run_part, args, NULL);
    if (e != OK) {
        struct err_record why = *err_record();
        scatter_free(out);
        *err_record() = why;
    }
    return e;
}

/* -- through bytes ---------------------------------------------------------------------------------------- */
static bool encode_always;

void scatter_encode_always(bool on)
{
    encode_always = on;
}

err_t plan_of_bytes(struct query *q, const struct fragment_kind *kind, struct bytes_in *in, const void **plan)
{
    TRY(kind->plan_get(q, in, plan));
    if (!in->bad && in->p == in->end) return OK;
    plan_done(kind, *plan);
    return err_set(ERR_CORRUPT, "a plan of %s ends elsewhere than it says", kind->name);
}

void plan_done(const struct fragment_kind *kind, const void *plan)
{
    if (kind->plan_free) kind->plan_free(plan);
}

err_t partial_of_bytes(const struct fragment_kind *kind, const void *plan, struct str bytes, struct arena *a, void **partial)
{
    struct bytes_in in = bytes_in_of(bytes);
    TRY(kind->partial_get(plan, &in, a, partial));
    return in.bad || in.p != in.end ? err_set(ERR_CORRUPT, "a partial of %s ends elsewhere than it says", kind->name) : OK;
}

/* Each partial becomes bytes, and another partial from them. */
static err_t partials_again(const struct fragment_kind *kind, const void *plan, const void *sent, struct query *q, struct scatter *sc)
{
    for (unsigned i = 0; i < sc->n; i++) {
        struct buf bytes;
        buf_init(&bytes, FRAGMENT_BYTES_MAX, q->budget);
        kind->partial_put(sent, sc->partials[i], &bytes);
        err_t e = buf_check(&bytes);
        struct arena a;
        arena_init(&a, q->budget);
        if (e == OK) e = partial_of_bytes(kind, plan, buf_view(&bytes), &a, &sc->partials[i]);
        struct arena old = sc->arenas[i];
        sc->arenas[i] = a;
        arena_deinit(&old);
        buf_deinit(&bytes);
        TRY(e);
    }
    return OK;
}

static err_t run_encoded(struct query *q, const struct fragment_kind *kind, const void *plan, const struct stream_pick *pick, struct scatter *out)
{
    struct buf bytes;
    buf_init(&bytes, FRAGMENT_BYTES_MAX, q->budget);
    kind->plan_put(plan, &bytes);
    struct bytes_in in = bytes_in_of(buf_view(&bytes));
    const void *got = NULL;
    err_t e;
    TRY_OUT(e, buf_check(&bytes));
    TRY_OUT(e, plan_of_bytes(q, kind, &in, &got));
    e = run_here(q, kind, got, pick, out);
    if (e == OK) {
        e = partials_again(kind, plan, got, q, out);
        struct err_record why = *err_record();
        if (e != OK) scatter_free(out);
        *err_record() = why;
    }
    plan_done(kind, got);
out:
    buf_deinit(&bytes);
    return e;
}

err_t scatter_here(struct query *q, const struct fragment_kind *kind, const void *plan, const struct stream_pick *pick, struct scatter *out)
{
    return encode_always && kind->plan_put ? run_encoded(q, kind, plan, pick, out) : run_here(q, kind, plan, pick, out);
}

static err_t admit(struct query *q)
{
    if (q->admitted) return OK;
    TRY(rt_checkpoint());
    int64_t since = rt_now().ns;
    TRY(permit_take());
    q->admitted = true;
    q->queued_ns = rt_now().ns - since;
    return OK;
}

err_t scatter_run(struct query *q, const struct fragment_kind *kind, const void *plan, struct scatter *out)
{
    *out = (struct scatter){ 0 };
    TRY(admit(q));
    return q->cluster ? spread_run(q, kind, plan, out) : scatter_here(q, kind, plan, NULL, out);
}

void scatter_free(struct scatter *s)
{
    for (unsigned i = 0; i < s->n; i++)
        arena_deinit(&s->arenas[i]);
    s->n = 0;
}

err_t query_apart(struct query *q, bool *apart)
{
    *apart = false;
    if (!q->cluster) return OK;
    TRY(admit(q));
    return spread_apart(q, apart);
}

err_t scatter_whole(struct query *q, const struct fragment_kind *kind, const void *plan, struct scatter *out)
{
    bool apart;
    *out = (struct scatter){ 0 };
    TRY(query_apart(q, &apart));
    if (!apart) return scatter_run(q, kind, plan, out);
    scatter_make(q, 1, out);
    err_t e = kind->fn(q, NULL, plan, &out->arenas[0], &out->partials[0]);
    if (e != OK) {
        struct err_record why = *err_record();
        scatter_free(out);
        *err_record() = why;
    }
    return e;
}
