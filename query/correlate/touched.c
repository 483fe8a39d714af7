#include "query/correlate/touched.h"

#include <stdio.h>

enum { JOB_MAX = 1024 };

void touched_init(struct touched *t, struct arena *mem)
{
    *t = (struct touched){ 0 };
    names_init(&t->services, TOUCHED_SERVICES_MAX, mem);
    names_init(&t->jobs, TOUCHED_SERVICES_MAX, mem);
    names_init(&t->instances, TOUCHED_INSTANCES_MAX, mem);
    names_init(&t->sessions, TOUCHED_SESSIONS_MAX, mem);
}

void touched_deinit(struct touched *t)
{
    names_deinit(&t->services);
    names_deinit(&t->jobs);
    names_deinit(&t->instances);
    names_deinit(&t->sessions);
}

static void add(struct names *to, bool *more, struct str s)
{
    if (s.n) *more |= names_add(to, s) == NAME_NONE;
}

void touched_resource(struct touched *t, struct str space, struct str service, struct str instance)
{
    char job[JOB_MAX];
    add(&t->instances, &t->more_instances, instance);
    if (service.n == 0) return;
    add(&t->services, &t->more, service);
    int n = snprintf(job, sizeof job, STR_FMT "/" STR_FMT, STR_ARG(space), STR_ARG(service));
    if (space.n == 0 || n < 0 || n >= JOB_MAX)
        add(&t->jobs, &t->more, service);
    else
        add(&t->jobs, &t->more, str_n(job, (size_t)n));
}

void touched_session(struct touched *t, struct str session)
{
    bool more = false; /* some are enough */
    add(&t->sessions, &more, session);
}

static void merge_names(struct names *to, bool *more, const struct names *from)
{
    for (uint32_t i = 0; i < from->n; i++)
        add(to, more, from->v[i]);
}

void touched_merge(struct touched *into, const struct touched *from)
{
    bool more = false; /* sessions: some are enough */
    into->more |= from->more;
    into->more_instances |= from->more_instances;
    merge_names(&into->services, &into->more, &from->services);
    merge_names(&into->jobs, &into->more, &from->jobs);
    merge_names(&into->instances, &into->more_instances, &from->instances);
    merge_names(&into->sessions, &more, &from->sessions);
}

static struct str text_of(const struct tattrs *as, const char *key)
{
    const struct tval *v = tattrs_get(as, str_of(key));
    return v && v->type == TV_STR ? v->s : STR("");
}

void touched_span(struct touched *t, const struct tspan *s)
{
    const struct tattrs *r = &s->resource->attrs;
    touched_resource(t, text_of(r, "service.namespace"), text_of(r, "service.name"), text_of(r, "service.instance.id"));
    touched_session(t, text_of(r, "session.id"));
    touched_session(t, text_of(&s->attrs, "session.id"));
}

err_t touched_bind(struct touched_reader *r, struct rowset *rs, struct arena *mem)
{
    uint32_t n = 0;
    const struct { const char *name; const struct column **c; } columns[] = {
        { "service.namespace", &r->space }, { "service.name", &r->service }, { "service.instance.id", &r->instance },
        { "session.id", &r->resource_session },
    };
    *r = (struct touched_reader){ 0 };
    TRY(rowset_dim(rs, REL_RESOURCE, &r->resource, &n));
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        TRY(rowset_column(rs, REL_RESOURCE, SC_ATTR, str_of(columns[i].name), COL_STR, columns[i].c));
    TRY(rowset_column(rs, REL_ROWS, SC_ATTR, STR("session.id"), COL_STR, &r->session));
    r->seen = ARENA_ARRAY(mem, uint8_t, n + 1);
    return arena_check(mem);
}

static struct str at(const struct column *c, uint32_t row)
{
    return c && column_has(c, row) ? column_str(c, row) : STR("");
}

void touched_row(struct touched_reader *r, struct touched *t, uint32_t row)
{
    if (r->session) touched_session(t, at(r->session, row));
    if (!r->resource || r->seen[r->resource[row]]) return;
    uint32_t d = r->resource[row];
    r->seen[d] = 1;
    touched_resource(t, at(r->space, d), at(r->service, d), at(r->instance, d));
    touched_session(t, at(r->resource_session, d));
}
