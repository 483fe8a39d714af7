/* A reader comes to hold what its sources said they cover (reach.h, read_part.h). */
#include "base/core/assert.h"
#include "base/core/metric.h"
#include "cluster/agreed.h"
#include "cluster/cluster_int.h"
#include "cluster/fanout.h"
#include "cluster/reach.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    SOURCE_MS = 2000, /* a source that does not tell in this time has failed */
    SILENT_MS = 100,  /* and in this one, when nothing acknowledged is missing without it */
    SPARED_MS = 300,  /* so long what no spared source may keep from the answer is waited for */
};

struct source { /* what is asked of one */
    const struct read_source *of;
    struct stream_since *since;
    uint32_t n;
    bool told, held; /* held: all that it told is here */
    struct said said;
};
struct joining {
    struct cluster *c;
    const struct read_part *p;
    struct source *v;
    uint32_t n;
    mono_ns began, deadline;
    uint32_t *weight; /* [nstreams]: scratch */
};

/* Of which of its streams does the source cover more than we know to hold? */
static void set_question(struct joining *j, struct source *s, struct arena *a)
{
    s->since = ARENA_RAW(a, struct stream_since, s->of->n);
    for (uint32_t k = 0; k < s->of->n; k++) {
        uint64_t stream = j->p->streams[s->of->which[k]];
        uint64_t held = agreed_version(j->c->agreed, s->of->node, s->of->life, stream);
        if (held >= s->of->version && held > 0) continue;
        s->since[s->n++] = (struct stream_since){ stream, held };
        metric_add(M_REACH_WHOLE, held == 0);
    }
    s->told = s->held = s->n == 0;
}

static void ask_source(void *ctx, uint32_t i)
{
    struct joining *j = ctx;
    struct source *s = &j->v[i];
    if (s->n == 0) return;
    const struct question q = { .forms = REACH_NAMES, .streams = s->since, .n = s->n, .life = s->of->life };
    mono_ns latest = mono_add(rt_now(), (int64_t)SOURCE_MS * NS_PER_MS);
    s->told = reach_ask(j->c, s->of->node, &q, latest.ns < j->deadline.ns ? latest : j->deadline, &s->said) == OK;
    if (!s->told) metric_add(M_REACH_FAILED, 1);
}

/* Is nothing acknowledged missing without those that did not tell (or of which not all is held)? */
static bool is_spared(const struct joining *j, bool held)
{
    for (uint32_t k = 0; k < j->p->nstreams; k++)
        j->weight[k] = 0;
    for (uint32_t i = 0; i < j->n; i++) {
        const struct source *s = &j->v[i];
        for (uint32_t k = 0; k < s->of->n && !(held ? s->held : s->told); k++)
            j->weight[s->of->which[k]] += s->of->weight[k];
    }
    for (uint32_t k = 0; k < j->p->nstreams; k++)
        if (j->weight[k] > j->p->spare[k]) return false;
    return true;
}

static bool told_enough(void *ctx)
{
    const struct joining *j = ctx;
    return rt_now().ns - j->began.ns >= (int64_t)SILENT_MS * NS_PER_MS && is_spared(j, false);
}

static err_t first_that_failed(const struct joining *j)
{
    uint32_t i = 0;
    while (i + 1 < j->n && j->v[i].told)
        i++;
    return err_set(ERR_UNAVAILABLE, "node %016" PRIx64 " does not tell this node what it has", j->v[i].of->node.u);
}

/* Which sources are made good? What they told is added to what we hold of them. */
static err_t look_held(struct joining *j)
{
    for (uint32_t i = 0; i < j->n; i++) {
        struct source *s = &j->v[i];
        if (!s->told || s->held) continue;
        err_t e = store_cover_wait(j->c->o.store, &s->said.have, rt_now());
        if (e != OK && e != ERR_TIMEOUT) return e;
        s->held = e == OK;
    }
    return OK;
}

static void remember(const struct joining *j)
{
    for (uint32_t i = 0; i < j->n; i++) {
        const struct source *s = &j->v[i];
        for (uint32_t k = 0; k < s->n && s->told && s->held; k++)
            agreed_set(j->c->agreed, s->of->node, s->said.life, s->since[k].stream, s->said.sums.version);
    }
}

/* What those that told have: within a short time, or, where one of them must not be left out, a longer one. */
static err_t have_told(struct joining *j)
{
    struct cover need;
    mono_ns soon = mono_add(rt_now(), (int64_t)SPARED_MS * NS_PER_MS);
    cover_init(&need);
    for (uint32_t i = 0; i < j->n; i++)
        if (j->v[i].told) cover_join(&need, &j->v[i].said.have);
    err_t e = cover_empty(&need) ? OK : reach_here(j->c, &need, soon.ns < j->deadline.ns ? soon : j->deadline);
    if (e != OK && e != ERR_CANCELED) {
        e = look_held(j);
        if (e == OK && !is_spared(j, true)) e = reach_here(j->c, &need, j->deadline);
        else if (e == OK) metric_add(M_REACH_SPARED, 1);
    }
    if (e == OK) e = look_held(j);
    struct err_record why = *err_record();
    cover_deinit(&need);
    *err_record() = why;
    return e;
}

static err_t run(struct joining *j)
{
    const struct fanout f = { .name = "source", .class = RT_QUERY, .n = j->n, .ctx = j, .one = ask_source, .enough = told_enough,
                              .every_ns = (int64_t)SILENT_MS * NS_PER_MS };
    TRY(fanout_run(&f));
    if (!is_spared(j, false)) return first_that_failed(j);
    TRY(have_told(j));
    remember(j);
    return OK;
}

err_t reach_part(struct cluster *c, const struct read_part *p, mono_ns deadline)
{
    struct arena a;
    struct joining j = { .c = c, .p = p, .n = p->nsources, .began = rt_now(), .deadline = deadline };
    bool any = false;
    if (p->nsources == 0) return OK;
    arena_init(&a, &c->memory);
    j.v = ARENA_ARRAY(&a, struct source, j.n);
    j.weight = ARENA_RAW(&a, uint32_t, p->nstreams + 1);
    for (uint32_t i = 0; i < j.n; i++) {
        j.v[i].of = &p->sources[i];
        said_init(&j.v[i].said);
        set_question(&j, &j.v[i], &a);
        any |= j.v[i].n > 0;
    }
    err_t e = arena_check(&a);
    if (e == OK && any) e = run(&j);
    struct err_record why = *err_record();
    for (uint32_t i = 0; i < j.n; i++)
        said_deinit(&j.v[i].said);
    arena_deinit(&a);
    *err_record() = why;
    return e;
}
