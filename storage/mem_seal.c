/* Sealing the memtable of rows: sort, cut into groups, write.
 *
 * Like lies by like: spans by (service, name, start), logs by (service, resource and scope, time), documents and
 * exemplars by time. A generation is a short window of time, so that groups stay selective in time as well. */
#include "base/core/assert.h"
#include "storage/mem_rows.h"
#include "storage/rows_out.h"

#include <stdlib.h>

enum { PAUSE_EVERY = 8192, INSERTION_RUN = 16 };

struct sort_row {
    uint32_t service, name; /* ranks */
    uint64_t stream;        /* of logs: hash of resource and scope */
    int64_t time;
    uint32_t part, row;
};

/* Lets other fibers run; a cancelled seal ends at the next group. */
static void pause_here(void)
{
    if (!rt_in_fiber()) return;
    err_t ignored = rt_checkpoint();
    (void)ignored;
}

/* -- ranks of strings ---------------------------------------------------------------------------------------- */

struct ranks {
    struct grow_dict dict;
    struct arena *a;
    uint64_t seed;
    uint32_t *rank; /* of a code */
};

static int by_bytes(const void *x, const void *y)
{
    const struct str *a = x, *b = y;
    return str_cmp(*a, *b);
}

/* Ranks are 1 + the place in byte order; 0 is for rows without a value. */
static void ranks_finish(struct ranks *r)
{
    uint32_t n = r->dict.count;
    struct str *sorted = ARENA_RAW(r->a, struct str, n);
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = (struct str){ r->dict.bytes + r->dict.offset[i], r->dict.offset[i + 1] - r->dict.offset[i] };
    if (n > 1) qsort(sorted, n, sizeof *sorted, by_bytes);
    r->rank = ARENA_RAW(r->a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        r->rank[grow_dict_add(&r->dict, r->a, r->seed, sorted[i])] = i + 1;
}

/* Codes of a column's entries in the common dictionary. */
static uint32_t *rank_codes(struct ranks *r, const struct column *c)
{
    if (!c) return NULL;
    uint32_t *codes = ARENA_RAW(r->a, uint32_t, c->dict.count);
    for (uint32_t i = 0; i < c->dict.count; i++)
        codes[i] = grow_dict_add(&r->dict, r->a, r->seed, dict_get(&c->dict, i));
    return codes;
}

static uint32_t rank_of(const struct ranks *r, const uint32_t *codes, const struct column *c, uint32_t row)
{
    return c && column_has(c, row) ? r->rank[codes[c->code[row]]] : 0;
}

/* -- the order --------------------------------------------------------------------------------------------------- */

static bool before(const struct sort_row *a, const struct sort_row *b)
{
    if (a->service != b->service) return a->service < b->service;
    if (a->name != b->name) return a->name < b->name;
    if (a->stream != b->stream) return a->stream < b->stream;
    if (a->time != b->time) return a->time < b->time;
    return a->part != b->part ? a->part < b->part : a->row < b->row;
}

static void insertion_sort(struct sort_row *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct sort_row x = v[i];
        uint32_t k = i;
        for (; k > 0 && before(&x, &v[k - 1]); k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

/* Merge sort that pauses; the result is in *v, which may become the work array. */
static void sort_rows(struct sort_row **v, struct sort_row *work, uint32_t n)
{
    uint32_t steps = 0;
    for (uint32_t i = 0; i < n; i += INSERTION_RUN) {
        insertion_sort(*v + i, MIN(n - i, INSERTION_RUN));
        if (++steps % (PAUSE_EVERY / INSERTION_RUN) == 0) pause_here();
    }
    for (uint64_t run = INSERTION_RUN; run < n; run *= 2) {
        struct sort_row *from = *v, *to = work;
        for (uint64_t lo = 0; lo < n; lo += 2 * run) {
            uint64_t mid = MIN(lo + run, n), hi = MIN(lo + 2 * run, n), a = lo, b = mid;
            for (uint64_t k = lo; k < hi; k++) {
                bool left = a < mid && (b == hi || !before(&from[b], &from[a]));
                to[k] = left ? from[a++] : from[b++];
                if (++steps % PAUSE_EVERY == 0) pause_here();
            }
        }
        *v = to;
        work = from;
    }
}

struct keyed { /* what the sort keys of a part's rows are made of */
    const struct column *service, *name, *time;
    uint32_t *service_codes, *name_codes;
};

static void keys_of_part(const struct mem_stream *s, uint32_t part, const struct keyed *k, const struct ranks *services,
                         const struct ranks *names, struct arena *a, struct sort_row *to)
{
    const struct mem_part *p = s->parts[part];
    const struct table *t = p->table;
    struct arena_mark mark = arena_mark(a);
    const uint64_t *stream = s->signal == SIG_LOGS ? rows_stream_hashes(t, a) : NULL;
    for (uint32_t i = 0; i < p->nsel; i++) {
        uint32_t row = mem_part_row(p, i);
        to[i] = (struct sort_row){ .part = part, .row = row };
        if (k->service) to[i].service = rank_of(services, k->service_codes, k->service, t->dim_row[DIM_RESOURCE][row]);
        if (k->name) to[i].name = rank_of(names, k->name_codes, k->name, row);
        if (stream) to[i].stream = stream[row];
        if (k->time && column_has(k->time, row)) to[i].time = k->time->i64[row];
    }
    arena_rollback(a, mark);
}

static struct sort_row *sorted_rows(const struct mem_stream *s, uint32_t n, struct arena *a)
{
    uint64_t seed = hash_seeded64(STR("seal"));
    struct ranks services = { .a = a, .seed = seed }, names = { .a = a, .seed = seed };
    bool by_service = s->signal == SIG_SPANS || s->signal == SIG_LOGS;
    struct keyed *keyed = ARENA_ARRAY(a, struct keyed, s->nparts);
    for (uint32_t i = 0; i < s->nparts; i++) {
        const struct table *t = s->parts[i]->table, *res = t->dim[DIM_RESOURCE];
        struct keyed *k = &keyed[i];
        k->time = table_column(t, SC_SELF, signal_time_column(s->signal), COL_I64);
        if (by_service && res) k->service = table_column(res, SC_ATTR, STR("service.name"), COL_STR);
        if (s->signal == SIG_SPANS) k->name = table_column(t, SC_SELF, STR("name"), COL_STR);
        k->service_codes = rank_codes(&services, k->service);
        k->name_codes = rank_codes(&names, k->name);
        pause_here();
    }
    ranks_finish(&services);
    ranks_finish(&names);
    struct sort_row *v = ARENA_RAW(a, struct sort_row, n), *work = ARENA_RAW(a, struct sort_row, n);
    for (uint32_t i = 0, at = 0; i < s->nparts; at += s->parts[i++]->nsel) {
        keys_of_part(s, i, &keyed[i], &services, &names, a, v + at);
        pause_here();
    }
    sort_rows(&v, work, n);
    return v;
}

/* -- writing ------------------------------------------------------------------------------------------------------ */

static err_t seal_stream(const struct mem_stream *s, struct seg_writer *w, struct budget *budget)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->nparts; i++)
        n += s->parts[i]->nsel;
    ASSERT(n < UINT32_MAX);
    struct arena a;
    arena_init(&a, budget);
    const struct sort_row *rows = sorted_rows(s, (uint32_t)n, &a);
    struct rows_source *from = ARENA_ARRAY(&a, struct rows_source, s->nparts);
    for (uint32_t i = 0; i < s->nparts; i++)
        from[i].table = s->parts[i]->table;
    struct rows_out o;
    rows_out_init(&o, w, s->tenant, s->signal, s->index, budget);
    err_t e = OK;
    for (uint64_t i = 0; i < n && e == OK; i++) {
        e = rows_out_add(&o, &from[rows[i].part], rows[i].row);
        if (i % PAUSE_EVERY == 0) pause_here();
    }
    if (e == OK) e = rows_out_finish(&o);
    rows_out_deinit(&o);
    arena_deinit(&a);
    return e;
}

static int by_tenant(const void *x, const void *y)
{
    const struct mem_stream *a = *(const struct mem_stream *const *)x, *b = *(const struct mem_stream *const *)y;
    int c = str_cmp(a->tenant, b->tenant);
    if (c == 0) c = (int)a->signal - (int)b->signal;
    return c ? c : str_cmp(a->index, b->index);
}

err_t mem_rows_seal(struct mem_rows *m, const struct tenant_pick *pick, struct seg_writer *w)
{
    uint32_t n = mem_rows_streams(m);
    const struct mem_stream **order = malloc(((size_t)n + 1) * sizeof *order);
    ASSERT(order);
    for (uint32_t i = 0; i < n; i++)
        order[i] = mem_rows_stream(m, i);
    if (n > 1) qsort(order, n, sizeof *order, by_tenant);
    err_t e = OK;
    for (uint32_t i = 0; i < n && e == OK; i++)
        if (tenant_picked(pick, order[i]->tenant)) e = seal_stream(order[i], w, mem_rows_budget(m));
    free(order);
    return e;
}
