/* A whole segment from a hostile hand, under the store: one with every signal is made when the process starts; the input
 * changes bytes of it, in the data and in the footer as it is before compression; the footer's checksum is put right and those of
 * the data are believed (the link wraps seg_wrong_checksum), so that changes reach the decoders. Then all is read that can be:
 * every relation and column, rows by trace id and by words, series, samples and metadata, and the store merges and closes.
 * Errors are welcome; crashes, and more memory than the budget of a query, are not.
 *
 * Input: edits of 5 bytes and some: u8 what (bit 0: 1 footer, 0 data; bits 1-3: bytes - 1; bit 4: from the end) |
 * u24 place (modulo the size) | u8 how (0 replace, 1 add to the first byte, 2 cut the footer there) | the bytes. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/rt/sim_disk.h"
#include "storage/col_codec.h"
#include "storage/seg_format.h"
#include "storage/store.h"
#include "storage/table_grow.h"
#include "storage/view.h"
#include "tests/sim/model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
err_t __wrap_seg_wrong_checksum(const struct seg *s, uint64_t off, uint64_t n);
err_t __wrap_seg_wrong_checksum(const struct seg *s, uint64_t off, uint64_t n)
{
    (void)s, (void)off, (void)n;
    return OK;
}

enum { EDITS_MAX = 16, REQUESTS = 30, LOGS = 2600, BUDGET = 64 << 20 };

static struct base {
    struct sim_disk *disk;
    struct kv *kv;
    char path[300];
    uint8_t *bytes;
    size_t size;
    struct str footer; /* raw */
    uint64_t data_end;
} base;

static struct store_opts opts(struct kv *kv)
{
    return (struct store_opts){ .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 64 << 20, .seal_age_ms = 3600000,
                                .commit_bytes = 1 << 20 };
}

/* -- the segment ---------------------------------------------------------------------------------------------- */

/* Long enough for dictionaries of several blocks and columns read in pieces. */
static struct table *many_logs(void)
{
    struct table_builder *b = table_builder_new(NULL);
    struct prng r;
    char text[120];
    prng_init(&r, 5);
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("svc"));
    table_scope(b);
    for (uint32_t i = 0; i < LOGS; i++) {
        uint8_t id[16];
        row_trace_id(i, id);
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), row_time_ns(i));
        table_set_i64(b, SC_ATTR, STR("n"), i);
        if (i % 3) table_set_i64(b, SC_ATTR, STR("small"), (int64_t)prng_below(&r, 9));
        if (i % 5) table_set_f64(b, SC_ATTR, STR("f"), prng_unit(&r) * 1000);
        table_set_f64(b, SC_ATTR, STR("decimal"), (double)prng_below(&r, 1000) / 100);
        table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
        snprintf(text, sizeof text, "GET /items/%u took %u ms for user-%llx", (unsigned)prng_below(&r, 50), (unsigned)prng_below(&r, 3000),
                 (unsigned long long)prng_next(&r));
        table_set_str(b, SC_SELF, STR("body"), COL_STR, str_of(text));
        table_set_str(b, SC_ATTR, STR("level"), COL_STR, i % 7 ? STR("info") : STR("error"));
    }
    return table_builder_finish(b, STR("time"));
}

static err_t build_main(void *arg)
{
    struct store *s;
    struct store_opts o = opts(base.kv);
    struct model m;
    struct prng r;
    (void)arg;
    model_init(&m, 3);
    prng_init(&r, 3);
    TRY(store_open(&o, &s));
    for (unsigned k = 0; k < REQUESTS; k++) {
        struct built b;
        model_build(&m, model_begin(&m, &r, 0), &b);
        TRY(store_append(s, b.p, b.n));
        model_built_free(&b);
    }
    struct table *t = many_logs();
    struct batch b = { .tenant = tenant_name(0), .signal = SIG_LOGS, .ntables = 1, .tables = &t, .nrows = t->nrows }, *p = &b;
    TRY(store_append(s, &p, 1));
    table_put(t);
    TRY(store_seal(s));
    store_close(s);
    model_free(&m);
    return OK;
}

static void on_file(const char *path, uint64_t size, void *ctx)
{
    (void)size, (void)ctx;
    if (str_ends(str_of(path), STR(".seg"))) snprintf(base.path, sizeof base.path, "%s", path);
}

static void build(void)
{
    struct sim_result res;
    struct seg_trailer t;
    log_init((enum log_level)(LOG_ERROR + 1), false);
    base.disk = sim_disk_new(256 << 20);
    base.kv = kv_mem_new();
    sim_run(1, 1, base.disk, NULL, build_main, NULL, &res);
    ASSERT(res.result == OK && !res.stuck);
    sim_disk_walk(base.disk, on_file, NULL);
    base.bytes = sim_disk_read(base.disk, base.path, &base.size);
    ASSERT(base.bytes && seg_trailer_parse(base.bytes + base.size - SEG_TRAILER, base.size, &t) == OK);
    char *raw = malloc(t.raw_size);
    ASSERT(raw);
    if (t.size == t.raw_size)
        memcpy(raw, base.bytes + t.off, t.size);
    else
        ASSERT(col_zstd_unpack(str_n(base.bytes + t.off, t.size), raw, t.raw_size) == OK);
    base.footer = str_n(raw, t.raw_size);
    base.data_end = t.off;
}

/* -- the changes ------------------------------------------------------------------------------------------------ */

struct changed {
    uint8_t *data, *footer;
    size_t footer_n;
};

static size_t edit(struct changed *c, const uint8_t *p, size_t n)
{
    if (n < 6) return n;
    size_t len = MIN((size_t)(p[0] >> 1 & 7) + 1, n - 5), size = p[0] & 1 ? c->footer_n : (size_t)base.data_end;
    uint8_t *to = p[0] & 1 ? c->footer : c->data;
    size_t at = (p[1] | (size_t)p[2] << 8 | (size_t)p[3] << 16) % size;
    if (p[0] & 16) at = size - 1 - at;
    if (p[4] == 2 && (p[0] & 1) && at > 8) {
        c->footer_n = at;
    } else if (p[4] == 1) {
        to[at] = (uint8_t)(to[at] + p[5]);
    } else {
        memcpy(to + at, p + 5, MIN(len, size - at));
    }
    return 5 + len;
}

/* The catalog knows the size of the file: an eight-byte number that was the old one. */
static struct kv *kv_with_size(uint64_t size)
{
    struct kv *kv = kv_mem_new();
    struct arena a;
    struct kv_item *items;
    size_t n;
    arena_init(&a, NULL);
    ASSERT(base.kv->list(base.kv, STR(""), SIZE_MAX, &a, &items, &n) == OK);
    struct kv_op *ops = ARENA_ARRAY(&a, struct kv_op, n);
    for (size_t i = 0; i < n; i++) {
        ops[i] = (struct kv_op){ items[i].key, items[i].value };
        if (!str_starts(items[i].key, STR("_store/seg/"))) continue;
        char *v = arena_dup(&a, items[i].value.p, items[i].value.n);
        for (size_t at = 0; at + 8 <= items[i].value.n; at++)
            if (memcmp(v + at, &(uint64_t){ base.size }, 8) == 0) memcpy(v + at, &size, 8);
        ops[i].value = str_n(v, items[i].value.n);
    }
    ASSERT(kv->write(kv, ops, n) == OK);
    arena_deinit(&a);
    return kv;
}

static struct sim_disk *change(const uint8_t *data, size_t size, struct kv **kv)
{
    struct changed c = { malloc(base.data_end), malloc(base.footer.n), base.footer.n };
    struct buf trailer;
    struct sim_node *node;
    ASSERT(c.data && c.footer);
    memcpy(c.data, base.bytes, base.data_end);
    memcpy(c.footer, base.footer.p, base.footer.n);
    for (unsigned k = 0; k < EDITS_MAX && size > 0; k++) {
        size_t n = edit(&c, data, size);
        data += n;
        size -= n;
    }
    struct seg_trailer t = { .off = base.data_end, .size = (uint32_t)c.footer_n, .raw_size = (uint32_t)c.footer_n,
                             .hash = hash64(str_n(c.footer, c.footer_n)) };
    buf_init(&trailer, SEG_TRAILER, NULL);
    seg_trailer_put(&t, &trailer);
    struct sim_disk *d = sim_disk_copy(base.disk, NULL, 0);
    ASSERT(sim_disk_open(d, base.path, O_RDWR, &node) == 0);
    sim_node_resize(node, 0);
    sim_node_write(node, 0, c.data, base.data_end);
    sim_node_write(node, base.data_end, c.footer, c.footer_n);
    sim_node_write(node, base.data_end + c.footer_n, trailer.p, trailer.n);
    *kv = kv_with_size(base.data_end + c.footer_n + trailer.n);
    sim_node_put(node);
    buf_deinit(&trailer);
    free(c.data);
    free(c.footer);
    return d;
}

/* -- reading all of it ------------------------------------------------------------------------------------------- */

static uint64_t eaten; /* so that reading is not left out */

static void eat(const struct column *c)
{
    for (uint32_t i = 0; i < c->nrows; i++) {
        if (!column_has(c, i)) continue;
        switch (c->type) {
        case COL_I64: eaten += (uint64_t)c->i64[i]; break;
        case COL_F64: eaten += c->f64[i] > 0; break;
        case COL_FIX: eaten += hash64(str_n(c->fix + (size_t)i * c->width, c->width)); break;
        default:
            if (col_is_dict(c->type)) eaten += hash64(column_str(c, i));
        }
    }
}

static err_t eat_relation(struct rowset *rs, int rel)
{
    const struct column_key *keys;
    uint32_t n;
    TRY(rowset_keys(rs, rel, &keys, &n));
    for (uint32_t k = 0; k < n; k++) {
        const struct column *c;
        struct column_key key = keys[k];
        err_t e = rowset_column(rs, rel, key.scope, key.name, key.type, &c);
        if (e == OK && c) eat(c);
        if (rel != REL_ROWS || rs->nrows < 3) continue;
        const uint32_t some[] = { 0, rs->nrows / 2, rs->nrows - 1 };
        uint32_t rows[3] = { some[0], some[1], some[2] };
        bool packed;
        if (some[1] == 0 || some[1] == some[2]) continue;
        e = rowset_column_at(rs, rel, &key, rows, 3, &c, &packed);
        if (e == OK && c && packed) eat(c);
    }
    return OK;
}

static void eat_rowset(struct rowset *rs)
{
    for (int rel = REL_ROWS; rel <= REL_LINKS; rel++)
        if (eat_relation(rs, rel) != OK) continue; /* hostile: the others are looked at all the same */
    for (uint32_t k = 0; rs->sel && k < rs->nsel; k++)
        ASSERT(rs->sel[k] < rs->nrows);
    for (int rel = REL_RESOURCE; rel <= REL_SCOPE; rel++) {
        const uint32_t *row;
        uint32_t n;
        if (rowset_dim(rs, rel, &row, &n) != OK || !row) continue;
        for (uint32_t i = 0; i < rs->nrows; i++)
            ASSERT(row[i] < n || row[i] == UINT32_MAX);
    }
    for (int rel = REL_EVENTS; rel <= REL_LINKS; rel++) {
        const uint32_t *first;
        uint32_t n;
        if (rowset_child(rs, rel, &first, &n) != OK || !first) continue;
        for (uint32_t i = 0; i < rs->nrows; i++)
            ASSERT(first[i] <= first[i + 1] && first[i + 1] <= n);
    }
}

static void scan(struct view *v, enum signal signal, const struct scan_hint *hint)
{
    struct rows_req rq = { .signal = signal, .index = signal == SIG_DOCS ? STR("books") : STR(""), .tmin_ns = INT64_MIN,
                           .tmax_ns = INT64_MAX, .hints = hint, .nhints = hint != NULL, .whole = hint != NULL };
    struct rows_scan *s;
    if (rows_open(v, &rq, &s) != OK) return;
    for (;;) {
        struct rowset rs;
        bool more;
        if (rows_next(s, &rs, &more) != OK || !more) break;
        eat_rowset(&rs);
    }
    rows_close(s);
}

static void metrics(struct view *v)
{
    struct mseries *series;
    struct metric_meta *meta;
    struct arena a;
    uint32_t n;
    arena_init(&a, NULL);
    const struct matcher m = { MATCH_EQ, STR("__name__"), STR("m1"), NULL };
    if (metrics_select(v, &m, 1, INT64_MIN, INT64_MAX, &series, &n) == OK) eaten += n;
    if (metrics_select(v, NULL, 0, INT64_MIN, INT64_MAX, &series, &n) != OK) n = 0;
    for (uint32_t k = 0; k < n; k++) {
        struct samples sm;
        if (metrics_samples(v, &series[k], INT64_MIN, INT64_MAX, &a, &sm) != OK) continue;
        for (uint32_t i = 0; i < sm.n; i++)
            eaten += (uint64_t)sm.t_ms[i] + (sm.hist && sm.hist[i] ? sm.hist[i]->npos : (uint64_t)(sm.v[i] > 0)) + (sm.st_ms != NULL);
    }
    if (metrics_meta(v, STR(""), &a, &meta, &n) == OK) eaten += n;
    arena_deinit(&a);
}

static err_t read_main(void *arg)
{
    static const enum signal signals[] = { SIG_SPANS, SIG_LOGS, SIG_DOCS, SIG_EXEMPLARS };
    struct store *s;
    struct store_opts o = opts(arg);
    TRY(store_open(&o, &s));
    for (uint32_t t = 0; t < TENANTS; t++) {
        struct budget budget;
        struct view *v;
        uint8_t id[16];
        budget_init(&budget, "fuzz", NULL, BUDGET, ERR_LIMIT);
        row_trace_id(40 + t, id);
        const struct scan_hint by_id = { .kind = HINT_FIX_EQ, .rel = REL_ROWS, .scope = SC_SELF, .name = STR("trace_id"), .value = str_n(id, 16) };
        const struct scan_hint by_word = { .kind = HINT_TOKEN, .rel = REL_ROWS, .scope = SC_SELF, .name = STR("body"), .value = STR("items") };
        TRY(view_open(s, tenant_name(t), NULL, &budget, &v));
        for (unsigned k = 0; k < ARRAY_LEN(signals); k++) {
            scan(v, signals[k], NULL);
            scan(v, signals[k], &by_id);
            scan(v, signals[k], &by_word);
        }
        metrics(v);
        view_close(v);
        ASSERT(budget.peak < 2 * BUDGET && budget.used == 0);
    }
    err_t e = store_seal(s);
    ASSERT(e == OK);
    store_close(s);
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_result res;
    struct sim_opts o = { .watch_leaks = true };
    struct kv *kv;
    if (!base.disk) build();
    struct sim_disk *d = change(data, size, &kv);
    sim_run(2, 1, d, &o, read_main, kv, &res);
    ASSERT(!res.stuck);
    kv_mem_free(kv);
    sim_disk_free(d);
    return 0;
}
