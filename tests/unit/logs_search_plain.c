/* Log searches through the whole store, in the simulator: records appended, searched on all cores, sealed, found
 * again after restarts with other numbers of cores. Every answer is compared with a count over the records kept
 * here; pages by search_after give every record once, in order, ties included. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "base/rt/sim.h"
#include "base/core/bytes_in.h"
#include "query/fragments.h"
#include "query/logs/search.h"
#include "query/permit.h"
#include "storage/store.h"

#include <dirent.h>
#include <stdio.h>

const char *__asan_default_options(void); /* see sim.h: a stopped node leaks its fibers */
const char *__asan_default_options(void) { return "detect_leaks=0"; }

enum { RECORDS_MAX = 6000, SERVICES = 4, WORDS = 6 };
static const char *const services[SERVICES] = { "shop", "cart", "pay", NULL };
static const char *const words[WORDS] = { "alpha", "beta", "gamma delta", "delta gamma", "x-1", "refused" };
static struct record { int64_t time; uint8_t service, word, severity, trace; } records[RECORDS_MAX];
static uint32_t nrecords;
static struct kv *kv;
static struct store *st;
static struct arena mem;
static struct index_config config;

static err_t append_some(struct prng *r)
{
    struct table_builder *b = table_builder_new(NULL);
    for (uint32_t n = 1 + (uint32_t)prng_below(r, 60); n > 0 && nrecords < RECORDS_MAX; n--) {
        struct record *x = &records[nrecords++];
        uint8_t id[16] = { 0 };
        *x = (struct record){ .time = INT64_C(1700000000000000000) + (int64_t)prng_below(r, 500) * 1000, .service = (uint8_t)prng_below(r, SERVICES),
            .word = (uint8_t)prng_below(r, WORDS), .severity = (uint8_t)prng_below(r, 24), .trace = (uint8_t)prng_below(r, 40) };
        table_resource(b);
        if (services[x->service]) table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, str_of(services[x->service]));
        table_scope(b);
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), x->time);
        table_set_i64(b, SC_SELF, STR("severity_number"), x->severity);
        table_set_str(b, SC_SELF, STR("body"), COL_STR, arena_printf(&mem, "record %u says %s", nrecords - 1, words[x->word]));
        id[0] = x->trace;
        if (x->trace) table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    }
    struct table *t = table_builder_finish(b, STR("time"));
    struct batch batch = { .tenant = STR("anonymous"), .signal = SIG_LOGS, .ntables = 1, .tables = &t, .nrows = t->nrows };
    err_t e = store_append(st, &(struct batch *){ &batch }, 1);
    table_put(t);
    return e;
}

static err_t search(struct arena *a, const char *text, struct log_search *s, struct log_result *out)
{
    struct lq_opts o = { 0 };
    struct lq *q;
    struct log_index ix = { .signal = SIG_LOGS, .id = config.index_id, .mapping = &config.mapping };
    struct query query = { .store = st, .tenant = STR("anonymous"), .arena = a };
    TRY(lq_parse(str_of(text), &o, a, &q));
    s->query = q;
    s->count_all = true;
    return log_search(&query, s, &ix, 1, out);
}

static bool says(const struct record *x, int w) { return x->word == w; }

static err_t check_counts(struct arena *a)
{
    static const char *const queries[] = { "*", "refused", "\"gamma delta\"", "service_name:shop AND severity_number:>=12",
        "NOT service_name:unknown_service", "trace_id:05000000000000000000000000000000", "gamma -service_name:cart",
        "body.message:refus*", "body.message:Gam* AND body.message:d*", "body.message:?efused" };
    static const struct { int64_t start, end; bool all; } windows[] = { { INT64_MIN, INT64_MAX, true },
        { INT64_C(1700000000000000000), INT64_C(1700000000000500000), true }, { INT64_C(1700000000000500000), INT64_MAX, false },
        { INT64_MIN, INT64_C(1700000000000000000), false } };
    uint64_t want[ARRAY_LEN(queries)] = { 0 };
    for (uint32_t i = 0; i < nrecords; i++) {
        const struct record *x = &records[i];
        want[0]++;
        want[1] += says(x, 5);
        want[2] += says(x, 2);
        want[3] += x->service == 0 && x->severity >= 12;
        want[4] += services[x->service] != NULL;
        want[5] += x->trace == 5;
        want[6] += (says(x, 2) || says(x, 3)) && x->service != 1;
        want[7] += says(x, 5);
        want[8] += says(x, 2) || says(x, 3);
        want[9] += says(x, 5);
    }
    for (uint32_t k = 0; k < ARRAY_LEN(queries) * ARRAY_LEN(windows); k++) {
        uint32_t i = k / ARRAY_LEN(windows), w = k % ARRAY_LEN(windows);
        uint64_t all = windows[w].all ? want[i] : 0;
        struct log_search s = { .start_ns = windows[w].start, .end_ns = windows[w].end, .size = k % 3 };
        struct log_result r;
        TRY(search(a, queries[i], &s, &r));
        if (r.num_hits != all) printf("%s: %llu of %llu\n", queries[i], (unsigned long long)r.num_hits, (unsigned long long)all);
        ASSERT(r.num_hits == all && r.nhits == MIN(all, (uint64_t)s.size));
    }
    return OK;
}

/* All records of one word, page by page in both orders: no record twice or never, times in order. */
static err_t check_pages(struct arena *a, bool desc)
{
    static uint8_t seen[RECORDS_MAX];
    struct log_search s = { .start_ns = INT64_C(1700000000000100000), .end_ns = INT64_MAX, .size = 37, .want_source = true,
        .sort = { { STR("timestamp_nanos"), desc } }, .nsort = 1 };
    struct log_result r;
    uint32_t got = 0, want = 0;
    int64_t last = desc ? INT64_MAX : INT64_MIN;
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < nrecords; i++)
        want += says(&records[i], 1) && records[i].time >= s.start_ns;
    for (;;) {
        TRY(search(a, "beta", &s, &r));
        ASSERT(r.num_hits == want);
        if (r.nhits == 0) break;
        for (uint32_t i = 0; i < r.nhits; i++) {
            const struct log_hit *h = &r.hits[i];
            const struct json_val *v;
            unsigned n;
            TRY(json_parse(h->source, a, &v));
            struct str text = json_get(json_get(v, "body"), "message")->str;
            ASSERT(sscanf(arena_printf(a, STR_FMT, STR_ARG(text)).p, "record %u says", &n) == 1 && n < nrecords);
            ASSERT(!seen[n] && says(&records[n], 1) && records[n].time == h->time_ns && json_get(v, "timestamp_nanos")->i64 == h->time_ns);
            ASSERT(desc ? h->time_ns <= last : h->time_ns >= last);
            last = h->time_ns;
            seen[n] = 1;
            got++;
        }
        s.has_after = s.has_after_addr = true;
        s.after[0] = r.hits[r.nhits - 1].key[0];
        s.after_addr = r.hits[r.nhits - 1].addr;
    }
    ASSERT(got == want);
    return OK;
}

static err_t check_aggs(struct arena *a)
{
    const struct json_val *v;
    struct log_search s = { .start_ns = INT64_MIN, .end_ns = INT64_MAX };
    struct log_result r;
    uint64_t want[SERVICES] = { 0 };
    TRY(json_parse(STR("{\"s\":{\"terms\":{\"field\":\"service_name\",\"order\":{\"_key\":\"asc\"}}}}"), a, &v));
    TRY(aggs_parse(v, a, &s.aggs, &s.naggs));
    TRY(search(a, "*", &s, &r));
    for (uint32_t i = 0; i < nrecords; i++)
        want[records[i].service]++;
    struct str text = arena_printf(a, "{\"key\":\"cart\",\"doc_count\":%llu},{\"key\":\"pay\",\"doc_count\":%llu},{\"key\":\"shop\",\"doc_count\":%llu},"
                                   "{\"key\":\"unknown_service\",\"doc_count\":%llu}", (unsigned long long)want[1], (unsigned long long)want[2],
                                   (unsigned long long)want[0], (unsigned long long)want[3]);
    if (str_find(r.aggregations, text) == SIZE_MAX) printf("%.*s\n%.*s\n", STR_ARG(r.aggregations), STR_ARG(text));
    ASSERT(str_find(r.aggregations, text) != SIZE_MAX);
    return OK;
}

/* Fragments run as they are, and through the bytes that other nodes would get. */
static err_t check_all(void)
{
    for (int encoded = 0; encoded < 2; encoded++) {
        struct arena a;
        scatter_encode_always(encoded);
        arena_init(&a, NULL);
        TRY(check_counts(&a));
        TRY(check_pages(&a, true));
        TRY(check_pages(&a, false));
        TRY(check_aggs(&a));
        arena_deinit(&a);
    }
    return OK;
}

/* -- plans of other nodes ----------------------------------------------------------------------------------------- */
enum { PLANS_MAX = 200, PLAN_BYTES_MAX = 8192, CHANGES = 12 };
static struct { const struct fragment_kind *kind; struct str bytes; } plans[PLANS_MAX];
static uint32_t nplans;

/* Of the kinds that run over rows of logs, spans and documents. */
static void load_plans(void)
{
    DIR *d = opendir("tests/fuzz/corpus/fragment");
    ASSERT(d);
    for (struct dirent *f; (f = readdir(d)) && nplans < PLANS_MAX;) {
        static char bytes[PLAN_BYTES_MAX];
        if (!str_starts(str_of(f->d_name), STR("log_")) && !str_starts(str_of(f->d_name), STR("trace_")) &&
            !str_starts(str_of(f->d_name), STR("correlate_logs")))
            continue;
        FILE *file = fopen(arena_printf(&mem, "tests/fuzz/corpus/fragment/%s", f->d_name).p, "rb");
        ASSERT(file);
        struct bytes_in in = bytes_in_of(str_n(bytes, fread(bytes, 1, sizeof bytes, file)));
        (void)fclose(file);
        plans[nplans].kind = fragment_find(bytes_in_raw(&in, bytes_in_u8(&in)));
        plans[nplans].bytes = arena_str(&mem, bytes_in_str(&in));
        ASSERT(plans[nplans++].kind && !in.bad);
    }
    (void)closedir(d);
    ASSERT(nplans > 20);
}

/* Whatever a reader of plans lets through, what runs it must stand. */
static void run_changed(uint32_t i, struct prng *r)
{
    struct budget budget;
    struct arena a;
    struct scatter sc;
    const void *plan;
    budget_init(&budget, "test", NULL, 64 << 20, ERR_LIMIT);
    arena_init(&a, &budget);
    struct query q = { .store = st, .tenant = STR("anonymous"), .arena = &a, .budget = &budget };
    struct str bytes = arena_str(&a, plans[i].bytes);
    uint8_t *p = (uint8_t *)(uintptr_t)bytes.p;
    p[prng_below(r, bytes.n)] = (uint8_t)prng_below(r, 256);
    struct bytes_in in = bytes_in_of(bytes);
    if (plans[i].kind->plan_get(&q, &in, &plan) == OK) {
        if (scatter_run(&q, plans[i].kind, plan, &sc) == OK) scatter_free(&sc);
        if (plans[i].kind->plan_free) plans[i].kind->plan_free(plan);
    }
    q.admitted = q.admitted && (permit_give(), false);
    arena_deinit(&a);
    ASSERT(atomic_load(&budget.used) == 0);
}

static void check_changed(uint64_t seed)
{
    struct prng r;
    prng_init(&r, seed);
    scatter_encode_always(false);
    for (uint32_t i = 0; i < nplans; i++)
        for (uint32_t k = 0; k < CHANGES; k++)
            run_changed(i, &r);
}

struct job { uint64_t seed; bool first; };

static err_t node(void *arg)
{
    const struct job *j = arg;
    struct prng r;
    struct store_opts o = { .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 64 << 20, .seal_age_ms = 3600000,
        .commit_bytes = 1 << 20 };
    prng_init(&r, j->seed);
    TRY(store_open(&o, &st));
    if (!j->first) TRY(check_all());
    for (uint32_t k = 0; k < 30; k++) {
        TRY(append_some(&r));
        if (k == 14) TRY(check_all());
        if (k == 20) TRY(store_seal(st));
    }
    TRY(check_all());
    check_changed(j->seed);
    store_close(st);
    return OK;
}

int main(void)
{
    static const unsigned cores[] = { 2, 3, 1 };
    arena_init(&mem, NULL);
    if (index_config_parse(mapping_otel_logs(), &mem, &config) != OK) return 1;
    load_plans();
    struct sim_disk *d = sim_disk_new(1 << 30);
    struct sim_opts o = { 0 };
    kv = kv_mem_new();
    for (uint32_t k = 0; k < ARRAY_LEN(cores); k++) {
        struct sim_result res;
        struct job j = { 10 + k, k == 0 };
        sim_run(100 + k, cores[k], d, &o, node, &j, &res);
        if (res.result != OK || res.stuck) {
            printf("run %u: %s%s\n", k, res.stuck ? "stuck" : "", err_name(res.result));
            return 1;
        }
    }
    kv_mem_free(kv);
    sim_disk_free(d);
    arena_deinit(&mem);
    printf("searches find every record once, over seals, restarts and other numbers of cores\n");
    return 0;
}
