#include "tests/sim/model.h"

#include "base/core/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

uint64_t current_seed;
char current_place[160];

void wrong(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "sim: seed %llu%s: ", (unsigned long long)current_seed, current_place);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    fflush(NULL);
    _exit(1); /* what is in use is no leak */
}

static void *grow(void *p, uint32_t *cap, uint32_t want, size_t elem)
{
    if (want <= *cap) return p;
    *cap = MAX(want, *cap ? *cap * 2 : 64);
    p = realloc(p, *cap * elem);
    ASSERT(p != NULL);
    return p;
}

void model_init(struct model *m, uint64_t seed)
{
    *m = (struct model){ 0 };
    prng_init(&m->rnd, seed);
    pthread_mutex_init(&m->lock, NULL);
}
void model_free(struct model *m)
{
    free(m->requests);
    free(m->rows);
    free(m->deletions);
    free(m->keeps);
    pthread_mutex_destroy(&m->lock);
}

void model_copy(struct model *to, const struct model *from, uint32_t n, uint64_t seed)
{
    model_init(to, seed);
    to->retention_ns = from->retention_ns;
    to->named = from->named;
    to->nrows = n < from->nrequests ? from->requests[n].first : from->nrows;
    to->nrequests = n;
    to->requests = grow(NULL, &to->requests_cap, n + 1, sizeof *to->requests);
    to->rows = grow(NULL, &to->rows_cap, to->nrows + 1, sizeof *to->rows);
    if (n) memcpy(to->requests, from->requests, n * sizeof *to->requests);
    if (to->nrows) memcpy(to->rows, from->rows, to->nrows * sizeof *to->rows);
    for (uint32_t i = 0; i < n; i++) {
        to->requests[i].outcome = NEW;
        to->requests[i].busy = to->requests[i].sent = to->requests[i].named = 0;
        to->requests[i].sent_first = to->requests[i].sent_last = 0;
    }
}

struct str tenant_name(uint32_t tenant)
{
    static const char *const names[TENANTS] = { "alpha", "beta", "gamma" };
    return str_of(names[tenant]);
}

static uint32_t new_request(struct model *m)
{
    struct prng *r = &m->rnd;
    m->requests = grow(m->requests, &m->requests_cap, m->nrequests + 1, sizeof *m->requests);
    struct request *q = &m->requests[m->nrequests];
    *q = (struct request){ .first = m->nrows, .tenant = (uint32_t)prng_below(r, TENANTS),
                           .content = { prng_next(r), prng_next(r) } };
    uint32_t most = prng_chance(r, 0.02) ? 300 : 6, sum = 0;
    for (unsigned k = 0; k < K_COUNT; k++) {
        q->n[k] = prng_chance(r, 0.4) ? (uint32_t)prng_below(r, most) : 0;
        sum += q->n[k];
    }
    if (sum == 0) q->n[K_LOG] = sum = 1;
    for (unsigned k = 0; k < K_COUNT; k++) {
        for (uint32_t i = 0; i < q->n[k]; i++) {
            m->rows = grow(m->rows, &m->rows_cap, m->nrows + 1, sizeof *m->rows);
            m->rows[m->nrows++] = (struct row){ .request = m->nrequests, .kind = (uint8_t)k };
        }
    }
    return m->nrequests++;
}

static uint32_t unanswered(const struct model *m, uint64_t from, bool busy_too)
{
    for (uint32_t i = 0; i < m->nrequests; i++) {
        uint32_t at = (uint32_t)((from + i) % m->nrequests);
        if (m->requests[at].outcome == UNKNOWN && (busy_too || !m->requests[at].busy)) return at;
    }
    return UINT32_MAX;
}

/* A store remembers for ten minutes. */
static uint32_t acked_lately(const struct model *m, struct prng *r)
{
    uint32_t i = (uint32_t)prng_below(r, m->nrequests);
    const struct request *q = &m->requests[i];
    return q->outcome == ACKED && rt_wall().ns - q->acked_ns < 9 * 60 * NS_PER_S ? i : UINT32_MAX;
}

uint32_t model_begin(struct model *m, struct prng *r, double again)
{
    pthread_mutex_lock(&m->lock);
    uint32_t i = UINT32_MAX;
    if (m->nrequests && again < 1 && prng_chance(r, 0.1)) i = acked_lately(m, r);
    if (i == UINT32_MAX && m->nrequests && prng_chance(r, again)) i = unanswered(m, prng_next(r), prng_chance(r, 0.2));
    if (i == UINT32_MAX) i = new_request(m);
    if (m->requests[i].outcome == NEW) m->requests[i].outcome = UNKNOWN;
    m->requests[i].busy++;
    ++m->clock;
    if (!m->requests[i].sent_first) m->requests[i].sent_first = m->clock;
    if (m->noted) m->noted(REQUEST_BEGUN, i);
    pthread_mutex_unlock(&m->lock);
    return i;
}

void model_end(struct model *m, uint32_t request, bool acked)
{
    pthread_mutex_lock(&m->lock);
    if (m->requests[request].busy > 0) m->requests[request].busy--;
    m->requests[request].sent_last = ++m->clock;
    m->acked += acked && m->requests[request].outcome != ACKED;
    if (acked) {
        m->requests[request].outcome = ACKED;
        m->requests[request].acked_ns = rt_wall().ns;
    }
    if (m->noted) m->noted(acked ? REQUEST_ACKED : REQUEST_ENDED, request);
    pthread_mutex_unlock(&m->lock);
}

void model_again(struct model *m, uint32_t request)
{
    pthread_mutex_lock(&m->lock);
    m->requests[request].busy++;
    pthread_mutex_unlock(&m->lock);
}

bool model_all_acked(const struct model *m)
{
    return m->nrequests == 0 || unanswered(m, 0, false) == UINT32_MAX;
}

uint8_t *model_acked(struct model *m, uint32_t *n)
{
    pthread_mutex_lock(&m->lock);
    uint8_t *acked = calloc(m->nrequests + 1, 1);
    ASSERT(acked != NULL);
    *n = m->nrequests;
    for (uint32_t i = 0; i < *n; i++)
        acked[i] = m->requests[i].outcome == ACKED;
    pthread_mutex_unlock(&m->lock);
    return acked;
}

/* -- rows ------------------------------------------------------------------------------------------------- */

void row_trace_id(uint64_t i, uint8_t out[16])
{
    uint64_t half[2] = { hash_u64(i / 4 + 1), hash_u64(i / 4 + 77) };
    memcpy(out, half, 16);
}
int64_t row_time_ns(uint64_t i)
{
    return INT64_C(1767225600) * NS_PER_S + (int64_t)i * NS_PER_MS;
}

static void set_common(struct table_builder *b, uint64_t i, uint32_t tenant)
{
    table_set_i64(b, SC_ATTR, STR("n"), (int64_t)i);
    table_set_str(b, SC_ATTR, STR("owner"), COL_STR, tenant_name(tenant));
}

static void set_resource(struct table_builder *b, uint64_t i)
{
    char name[16];
    snprintf(name, sizeof name, "svc-%u", (unsigned)(i % 3));
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, str_of(name));
    table_scope(b);
}

static void set_row(struct table_builder *b, enum kind kind, uint64_t i, uint32_t tenant)
{
    char text[64];
    uint8_t trace[16];
    uint64_t id = i + 1;
    snprintf(text, sizeof text, "row %llu of %s", (unsigned long long)i, tenant_name(tenant).p);
    row_trace_id(i, trace);
    if (kind == K_SPAN || kind == K_LOG) set_resource(b, i);
    table_row(b);
    set_common(b, i, tenant);
    if (kind == K_SPAN) {
        table_set_i64(b, SC_SELF, STR("start"), row_time_ns(i));
        table_set_i64(b, SC_SELF, STR("duration"), (int64_t)i * 1000);
        table_set_i64(b, SC_SELF, STR("kind"), 1);
        table_set_fix(b, SC_SELF, STR("trace_id"), trace, 16);
        table_set_fix(b, SC_SELF, STR("span_id"), &id, 8);
        table_set_str(b, SC_SELF, STR("name"), COL_STR, str_of(text));
        return;
    }
    table_set_i64(b, SC_SELF, STR("time"), row_time_ns(i));
    if (kind == K_DOC) {
        table_set_str(b, SC_SELF, STR("source"), COL_STR, str_of(text));
        return;
    }
    if (kind == K_LOG) {
        table_set_str(b, SC_SELF, STR("body"), COL_STR, str_of(text));
        if (i % 2) table_set_fix(b, SC_SELF, STR("trace_id"), trace, 16);
        return;
    }
    table_set_f64(b, SC_SELF, STR("value"), (double)i);
    table_set_fix(b, SC_SELF, STR("trace_id"), trace, 16);
    table_set_str(b, SC_ATTR, STR("text"), COL_STR, str_of(text));
}

static struct table *build_table(enum kind kind, uint32_t first, uint32_t n, uint32_t tenant)
{
    struct table_builder *b = table_builder_new(NULL);
    for (uint32_t i = 0; i < n; i++)
        set_row(b, kind, first + i, tenant);
    return table_builder_finish(b, kind == K_SPAN ? STR("start") : STR("time"));
}

int64_t row_start_ms(uint64_t i)
{
    return i % 5 == 0 ? row_time_ns(i) / NS_PER_MS - 1000 - (int64_t)(i % 3) : ST_NONE;
}

/* A few buckets whose counts follow from the number; every other one with bounds of its own. */
const struct nhist *row_hist(uint64_t i, struct arena *a)
{
    static const struct nhist_span spans[] = { { -2, 2 }, { 3, 1 } };
    static const double bounds[] = { 0.5, 1, 2.5 };
    struct nhist *h = ARENA_NEW(a, struct nhist);
    double *counts = ARENA_ARRAY(a, double, 3);
    for (unsigned k = 0; k < 3; k++)
        counts[k] = (double)(i % (k + 2));
    *h = (struct nhist){ .schema = 3, .zero_threshold = 1e-9, .zero_count = 1, .sum = (double)i, .npos_spans = 2,
                         .npos = 3, .pos_spans = spans, .pos = counts };
    if (i % 2) {
        h->schema = NHIST_CUSTOM;
        h->zero_threshold = h->zero_count = 0;
        h->pos_spans = &(const struct nhist_span){ 0, 3 };
        h->pos_spans = arena_dup(a, h->pos_spans, sizeof *h->pos_spans);
        h->npos_spans = 1;
        h->ncustom = 3;
        h->custom = bounds;
    }
    h->count = h->zero_count + counts[0] + counts[1] + counts[2];
    return h;
}

/* The place of a row's series in the batch, made when it is new there. */
static uint32_t series_of(struct metric_batch *mb, struct arena *a, uint32_t *place, const char *name, uint64_t i, uint32_t tenant)
{
    uint32_t which = (uint32_t)(i % SERIES);
    if (place[which] != UINT32_MAX) return place[which];
    struct label l[3] = { { STR("__name__"), arena_printf(a, "%s%u", name, which % 5) },
                          { STR("inst"), arena_printf(a, "i%u", which) },
                          { STR("owner"), tenant_name(tenant) } };
    struct labels ls = { 3, l };
    mb->canonical[mb->nseries] = labels_encode(&ls, a);
    mb->id[mb->nseries] = series_id(mb->canonical[mb->nseries]);
    return place[which] = mb->nseries++;
}

static void build_samples(struct metric_batch *mb, struct arena *a, uint32_t first, uint32_t n, uint32_t tenant)
{
    uint32_t place[SERIES];
    memset(place, 0xff, sizeof place);
    mb->series = ARENA_ARRAY(a, uint32_t, n);
    mb->t_ms = ARENA_ARRAY(a, int64_t, n);
    mb->value = ARENA_ARRAY(a, double, n);
    mb->st_ms = ARENA_ARRAY(a, int64_t, n);
    mb->nsamples = n;
    for (uint32_t k = 0; k < n; k++) {
        uint64_t i = first + k;
        mb->series[k] = series_of(mb, a, place, "m", i, tenant);
        mb->t_ms[k] = row_time_ns(i) / NS_PER_MS;
        mb->value[k] = (double)i;
        mb->st_ms[k] = row_start_ms(i);
    }
}

static void build_hists(struct metric_batch *mb, struct arena *a, uint32_t first, uint32_t n, uint32_t tenant)
{
    uint32_t place[SERIES];
    memset(place, 0xff, sizeof place);
    mb->hseries = ARENA_ARRAY(a, uint32_t, n);
    mb->ht_ms = ARENA_ARRAY(a, int64_t, n);
    mb->hist = ARENA_ARRAY(a, const struct nhist *, n);
    mb->nhists = n;
    for (uint32_t k = 0; k < n; k++) {
        uint64_t i = first + k;
        mb->hseries[k] = series_of(mb, a, place, "h", i, tenant);
        mb->ht_ms[k] = row_time_ns(i) / NS_PER_MS;
        mb->hist[k] = row_hist(i, a);
    }
}

static struct batch *add_batch(struct built *b, const struct request *q, enum signal signal)
{
    struct batch *t = &b->batches[b->n];
    *t = (struct batch){ .tenant = tenant_name(q->tenant), .signal = signal, .content = q->content };
    b->p[b->n++] = t;
    return t;
}

void model_build(struct model *m, uint32_t request, struct built *b)
{
    static const enum signal signals[] = { SIG_SPANS, SIG_LOGS, SIG_DOCS };
    pthread_mutex_lock(&m->lock);
    m->requests[request].sent++;
    const struct request copy = m->requests[request], *q = &copy;
    pthread_mutex_unlock(&m->lock);
    memset(b, 0, sizeof *b);
    arena_init(&b->a, NULL);
    uint32_t at = q->first;
    for (unsigned k = K_SPAN; k <= K_DOC; at += q->n[k++]) {
        if (q->n[k] == 0) continue;
        struct batch *t = add_batch(b, q, signals[k]);
        t->tables = ARENA_ARRAY(&b->a, struct table *, 1);
        t->tables[t->ntables++] = build_table((enum kind)k, at, q->n[k], q->tenant);
        t->nrows = q->n[k];
        if (k == K_DOC) t->index = STR("books");
    }
    if (q->n[K_SAMPLE] + q->n[K_EXEMPLAR] + q->n[K_HIST] == 0) return;
    struct batch *t = add_batch(b, q, SIG_METRICS);
    struct metric_batch *mb = t->metrics = ARENA_NEW(&b->a, struct metric_batch);
    mb->id = ARENA_ARRAY(&b->a, hash128, 2 * SERIES);
    mb->canonical = ARENA_ARRAY(&b->a, struct str, 2 * SERIES);
    t->nrows = q->n[K_SAMPLE] + q->n[K_HIST];
    build_samples(mb, &b->a, at, q->n[K_SAMPLE], q->tenant);
    at += q->n[K_SAMPLE];
    if (q->n[K_EXEMPLAR]) mb->exemplars = build_table(K_EXEMPLAR, at, q->n[K_EXEMPLAR], q->tenant);
    at += q->n[K_EXEMPLAR];
    build_hists(mb, &b->a, at, q->n[K_HIST], q->tenant);
}

void model_built_free(struct built *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        batch_release(&b->batches[i]);
    arena_deinit(&b->a);
}

/* -- under names -------------------------------------------------------------------------------------------- */

void model_name_some(struct model *m)
{
    const node_id ids[] = { { 111 }, { 222 }, { 333 } };
    stream_make(ids, ARRAY_LEN(ids), &m->named);
}

struct batch_name model_name(const struct model *m, uint32_t request, uint32_t which)
{
    return (struct batch_name){ .stream = m->named.id, .origin = m->named.members[request % 3], .epoch = 1 + request / 3 % 2,
                                .core = request % 5, .seq = (uint64_t)request * NAMES + which + 1 };
}

uint32_t model_named(const struct model *m, const struct batch_name *n)
{
    uint64_t request = (n->seq - 1) / NAMES;
    struct batch_name is = model_name(m, (uint32_t)request, (uint32_t)((n->seq - 1) % NAMES));
    return request < m->nrequests && batch_name_eq(n, &is) ? (uint32_t)request : UINT32_MAX;
}

static err_t send_named(struct store *s, const struct batch_name *name, struct built *b, bool decoded)
{
    struct buf bytes;
    buf_init(&bytes, 64 << 20, NULL);
    const struct request_head h = { .name = *name, .key = request_key(b->p, b->n), .wall_ms = rt_wall().ns / NS_PER_MS, .nbatches = b->n };
    request_encode(&h, b->p, NULL, &bytes);
    const struct store_request r = { .name = *name, .bytes = buf_view(&bytes), .batches = decoded ? b->p : NULL, .n = b->n };
    err_t e = store_put(s, &r);
    buf_deinit(&bytes);
    return e;
}

err_t model_send(struct model *m, struct store *s, uint32_t request)
{
    struct built b;
    model_build(m, request, &b);
    pthread_mutex_lock(&m->lock);
    const struct request *q = &m->requests[request];
    uint64_t how = hash_u64(q->content.lo + q->sent), stream = q->content.hi % 2;
    pthread_mutex_unlock(&m->lock);
    /* Always of one stream: each stores it once. */
    uint32_t which = (uint32_t)(how >> 8) % NAMES;
    bool named = m->named.n && stream;
    struct batch_name name = named ? model_name(m, request, which) : (struct batch_name){ 0 };
    err_t e = named ? send_named(s, &name, &b, how & 1) : store_append(s, b.p, b.n);
    model_built_free(&b);
    if (!named || e != OK) return e;
    pthread_mutex_lock(&m->lock);
    m->requests[request].named |= UINT32_C(1) << which;
    pthread_mutex_unlock(&m->lock);
    return OK;
}

static err_t check_pulled(void *ctx, const struct batch_name *name, struct str bytes)
{
    struct model *m = ctx;
    struct request_reader rd;
    pthread_mutex_lock(&m->lock);
    uint32_t i = model_named(m, name);
    pthread_mutex_unlock(&m->lock);
    if (i == UINT32_MAX) wrong("a request was read from a log that was never sent");
    if (request_open(bytes, &rd) != OK) wrong("request %u was read from a log: %s", i, err_detail());
    if (!batch_name_eq(&rd.head.name, name)) wrong("request %u was read from a log under another name", i);
    pthread_mutex_lock(&m->lock);
    uint32_t first = rd.head.nbatches ? i : model_named(m, &rd.head.of);
    pthread_mutex_unlock(&m->lock);
    if (first != i) wrong("request %u is said to be the same as request %u", i, first);
    return OK;
}

err_t model_pull(struct model *m, struct store *s, struct prng *r)
{
    struct cover all;
    cover_init(&all);
    err_t e = store_cover(s, &m->named.id, 1, &all);
    if (e == OK) e = store_pull(s, &all, UINT64_MAX, check_pulled, m);
    if (e == OK && prng_chance(r, 0.3)) store_covered(s, &all);
    cover_deinit(&all);
    return e;
}
