/* Writes the answer of /api/admin/storage, which storage_api.c specifies. */
#include "base/core/metric.h"
#include "server/api/storage_int.h"

#include <stdlib.h>

static const char *const signal_names[] = { [0] = "", [SIG_METRICS] = "metrics", [SIG_SPANS] = "spans", [SIG_LOGS] = "logs", [SIG_DOCS] = "docs",
                                            [SIG_EXEMPLARS] = "exemplars" };
static const char *const types[] = { [COL_I64] = "int", [COL_F64] = "float", [COL_BOOL] = "bool", [COL_STR] = "string",
                                     [COL_BYTES] = "bytes", [COL_JSON] = "json", [COL_FIX] = "fixed" };
static const char *const relations[] = { [REL_ROWS] = "row", [REL_RESOURCE] = "resource", [REL_SCOPE] = "scope", [REL_EVENTS] = "event",
                                         [REL_LINKS] = "link" };

static void put_u64(struct json_out *j, const char *key, uint64_t v)
{
    json_keyz(j, key);
    json_u64(j, v);
}

static void put_ratio(struct json_out *j, const char *key, uint64_t part, uint64_t of)
{
    json_keyz(j, key);
    native_json_number(j, of ? (double)part / (double)of : 0);
}

static void put_text(struct json_out *j, const char *key, struct str v)
{
    json_keyz(j, key);
    json_str(j, v);
}

static void put_index(struct json_out *j, struct str index)
{
    if (index.n) put_text(j, "index", str_sub(index, 0, str_chr(index, ':'))); /* its name; behind it, which of that name */
}

static void open_object(struct json_out *j, const char *key)
{
    json_keyz(j, key);
    json_obj(j);
}

/* -- the node ------------------------------------------------------------------------------------------------------ */

static uint64_t data_bytes(const struct usage *u)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < u->nsets; i++)
        all += u->sets[i].bytes;
    return all;
}

static void put_segments(struct json_out *j, const struct usage *u)
{
    open_object(j, "segments");
    put_u64(j, "count", u->segments);
    put_u64(j, "bytes", u->bytes);
    put_u64(j, "local_bytes", u->bytes - u->remote_bytes);
    put_u64(j, "remote_bytes", u->remote_bytes);
    json_keyz(j, "levels");
    json_arr(j);
    for (uint32_t i = 0; i < USAGE_LEVELS; i++) {
        if (!u->level[i].segments) continue;
        json_obj(j);
        put_u64(j, "level", i);
        put_u64(j, "segments", u->level[i].segments);
        put_u64(j, "bytes", u->level[i].bytes);
        json_obj_end(j);
    }
    json_arr_end(j);
    open_object(j, "parts");
    put_u64(j, "data", data_bytes(u));
    put_u64(j, "other_tenants", u->other_bytes);
    put_u64(j, "trace_ids", u->ids_bytes);
    put_u64(j, "words", u->words_bytes);
    put_u64(j, "directories", u->directory_bytes);
    put_u64(j, "padding", u->padding_bytes);
    json_obj_end(j);
    json_obj_end(j);
}

static void put_dir(struct json_out *j, const char *key, const struct usage_dir *d)
{
    open_object(j, key);
    put_u64(j, "files", d->files);
    put_u64(j, "bytes", d->bytes);
    json_obj_end(j);
}

static void put_disk(struct json_out *j, const struct storage_answer *s)
{
    static const char *const levels[] = { "room", "tight", "full", "read_only" };
    const struct usage_node *n = &s->node;
    open_object(j, "disk");
    put_u64(j, "total_bytes", n->disk_total_bytes);
    put_u64(j, "free_bytes", n->disk_free_bytes);
    json_keyz(j, "level");
    json_z(j, levels[n->disk_level]);
    const struct { const char *key; double share; } shares[] = {
        { "pause_share", n->pause_share }, { "refuse_share", n->refuse_share }, { "read_only_share", n->read_only_share },
        { "retention_share", n->retention_share },
    };
    for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
        json_keyz(j, shares[i].key);
        native_json_number(j, shares[i].share);
    }
    put_u64(j, "retention_bytes", (uint64_t)MAX(s->stats.segment_bytes_max, 0));
    put_u64(j, "ballast_bytes", n->ballast_bytes);
    json_obj_end(j);
}

static void put_counters(struct json_out *j, const struct storage_answer *s)
{
    static const struct { const char *object, *key; enum metric_id id; } rows[] = {
        { "deletions", "tombstones", M_TOMBSTONES }, { NULL, "dead_rows", M_DEAD_ROWS }, { NULL, "mark_bytes", M_DEAD_BYTES },
        { "merges", "running", M_MERGES_RUNNING }, { NULL, "waiting", M_MERGES_WAITING }, { NULL, "done", M_MERGES },
        { NULL, "failed", M_MERGES_FAILED }, { NULL, "read_bytes", M_MERGE_BYTES_IN }, { NULL, "written_bytes", M_MERGE_BYTES_OUT },
        { "since_start", "received_bytes", M_INGEST_BYTES }, { NULL, "sealed_bytes", M_SEALED_BYTES },
        { NULL, "retention_bytes", M_RETENTION_BYTES }, { NULL, "deleted_bytes", M_DELETED_BYTES },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].object) {
            if (i) json_obj_end(j);
            open_object(j, rows[i].object);
            if (i == 0) put_u64(j, "under_way", s->deletes_open);
        }
        put_u64(j, rows[i].key, (uint64_t)MAX(metric_sum(rows[i].id), 0));
    }
    json_obj_end(j);
}

static void put_node(struct json_out *j, const struct storage_answer *s)
{
    open_object(j, "node");
    put_segments(j, s->usage);
    open_object(j, "memory");
    put_u64(j, "bytes", (uint64_t)MAX(s->stats.mem_bytes, 0));
    put_u64(j, "bytes_max", (uint64_t)MAX(s->node.memory_bytes_max, 0));
    json_obj_end(j);
    put_dir(j, "wal", &s->node.wal);
    put_dir(j, "catalog", &s->node.catalog);
    if (s->node.bucket) put_dir(j, "object", &s->node.object);
    put_disk(j, s);
    put_counters(j, s);
    open_object(j, "lost");
    put_u64(j, "segments", s->node.lost_segments);
    put_u64(j, "bytes", s->node.lost_bytes);
    json_obj_end(j);
    json_obj_end(j);
}

/* -- sets ------------------------------------------------------------------------------------------------------------ */

static void put_time(struct json_out *j, const char *key, bool known, int64_t ns)
{
    if (known) {
        native_json_seconds(j, key, ns);
        return;
    }
    json_keyz(j, key);
    json_null(j);
}

static void put_sums(struct json_out *j, const struct usage_set *s)
{
    bool metrics = s->signal == SIG_METRICS, sealed = s->tmin_ns <= s->tmax_ns;
    put_u64(j, "bytes", s->bytes);
    put_u64(j, metrics ? "series" : "rows", s->rows);
    if (metrics) put_u64(j, "samples", s->samples);
    put_u64(j, "gone_bytes", s->gone_bytes);
    put_u64(j, "dead_rows", s->dead_rows);
    put_time(j, "oldest", sealed, s->tmin_ns);
    put_time(j, "newest", sealed, s->tmax_ns);
    open_object(j, "memory");
    put_u64(j, metrics ? "series" : "rows", s->mem_rows);
    if (!metrics) put_u64(j, "bytes", s->mem_bytes);
    json_obj_end(j);
}

static void add_set(struct usage_set *to, const struct usage_set *s)
{
    to->bytes += s->bytes;
    to->rows += s->rows;
    to->samples += s->samples;
    to->gone_bytes += s->gone_bytes;
    to->dead_rows += s->dead_rows;
    to->tmin_ns = MIN(to->tmin_ns, s->tmin_ns);
    to->tmax_ns = MAX(to->tmax_ns, s->tmax_ns);
    to->mem_rows += s->mem_rows;
    to->mem_bytes += s->mem_bytes;
}

static void put_signals(struct json_out *j, const struct usage *u)
{
    struct usage_set sum[ARRAY_LEN(signal_names)];
    for (unsigned i = 0; i < ARRAY_LEN(sum); i++)
        sum[i] = (struct usage_set){ .signal = (enum signal)i, .tmin_ns = INT64_MAX, .tmax_ns = INT64_MIN };
    for (uint32_t i = 0; i < u->nsets; i++)
        add_set(&sum[u->sets[i].signal], &u->sets[i]);
    json_keyz(j, "signals");
    json_arr(j);
    for (unsigned i = SIG_METRICS; i < ARRAY_LEN(sum); i++) {
        if (!sum[i].bytes && !sum[i].mem_rows) continue;
        json_obj(j);
        json_keyz(j, "signal");
        json_z(j, signal_names[i]);
        put_sums(j, &sum[i]);
        json_obj_end(j);
    }
    json_arr_end(j);
}

static int by_set_bytes(const void *x, const void *y)
{
    const struct usage_set *a = *(struct usage_set *const *)x, *b = *(struct usage_set *const *)y;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    int c = str_cmp(a->tenant, b->tenant);
    if (c == 0) c = (int)a->signal - (int)b->signal;
    return c ? c : str_cmp(a->index, b->index);
}

static void put_sets(struct json_out *j, const struct storage_answer *s, struct arena *a)
{
    const struct usage *u = s->usage;
    const struct usage_set **v = ARENA_RAW(a, const struct usage_set *, u->nsets + 1);
    for (uint32_t i = 0; i < u->nsets; i++)
        v[i] = &u->sets[i];
    if (u->nsets) qsort(v, u->nsets, sizeof *v, by_set_bytes);
    open_object(j, "sets");
    put_u64(j, "total", u->nsets);
    json_keyz(j, "top");
    json_arr(j);
    for (uint32_t i = 0; i < MIN(u->nsets, s->limit); i++) {
        json_obj(j);
        put_text(j, "tenant", v[i]->tenant);
        json_keyz(j, "signal");
        json_z(j, signal_names[v[i]->signal]);
        put_index(j, v[i]->index);
        put_sums(j, v[i]);
        json_obj_end(j);
    }
    json_arr_end(j);
    json_obj_end(j);
}

/* -- parts ------------------------------------------------------------------------------------------------------------- */

static double per(const struct usage_part *p) { return p->count ? (double)p->bytes / (double)p->count : 0; }

static int by_name(const struct usage_part *a, const struct usage_part *b)
{
    int c = str_cmp(a->name, b->name);
    if (c == 0) c = (int)a->set - (int)b->set;
    if (c == 0) c = (int)a->rel - (int)b->rel;
    if (c == 0) c = (int)a->scope - (int)b->scope;
    return c ? c : (int)a->type - (int)b->type;
}

#define BY(name, field)                                                                                \
    static int name(const void *x, const void *y)                                                      \
    {                                                                                                  \
        const struct usage_part *a = *(struct usage_part *const *)x, *b = *(struct usage_part *const *)y; \
        if (field(a) != field(b)) return field(a) < field(b) ? 1 : -1;                                 \
        return by_name(a, b);                                                                          \
    }
#define BYTES(p)    ((p)->bytes)
#define COUNT(p)    ((p)->count)
#define DISTINCT(p) ((p)->distinct)
#define NOTHING(p)  (0)
BY(by_bytes, BYTES)
BY(by_count, COUNT)
BY(by_distinct, DISTINCT)
BY(by_per, per)
BY(by_name_alone, NOTHING)

static void put_metric(struct json_out *j, const struct usage_part *p)
{
    put_u64(j, "series", p->distinct);
    put_u64(j, "samples", p->count);
    put_ratio(j, "bytes_per_sample", p->bytes, p->count);
}

static void put_label(struct json_out *j, const struct usage_part *p)
{
    put_u64(j, "values", p->count);
}

static void put_column(struct json_out *j, const struct usage_part *p)
{
    json_keyz(j, "relation");
    json_z(j, relations[p->rel]);
    json_keyz(j, "attribute");
    json_bool(j, p->scope == SC_ATTR);
    json_keyz(j, "type");
    json_z(j, types[p->type]);
    put_u64(j, "filter_bytes", p->filter_bytes);
    put_u64(j, "values", p->count);
    put_u64(j, "rows", p->of);
    put_ratio(j, "null_share", p->of - MIN(p->count, p->of), p->of);
    put_ratio(j, "bytes_per_value", p->bytes, p->count);
    if (p->type == COL_STR || p->type == COL_BYTES || p->type == COL_JSON) put_u64(j, "distinct_max", p->distinct);
}

struct list { /* of parts of one kind */
    const char *key;
    enum usage_kind kind;
    void (*put)(struct json_out *, const struct usage_part *);
};

static err_t put_list(struct json_out *j, const struct storage_answer *s, const struct list *l, struct arena *a)
{
    static int (*const orders[])(const void *, const void *) = { [SORT_BYTES] = by_bytes, [SORT_COUNT] = by_count,
                                                                 [SORT_DISTINCT] = by_distinct, [SORT_PER] = by_per,
                                                                 [SORT_NAME] = by_name_alone };
    const struct usage *u = s->usage;
    const struct usage_part **v = ARENA_RAW(a, const struct usage_part *, u->nparts + 1);
    uint32_t n = 0;
    uint64_t bytes = 0;
    TRY(arena_check(a));
    for (uint32_t i = 0; i < u->nparts; i++) {
        if (u->parts[i].kind != l->kind) continue;
        v[n++] = &u->parts[i];
        bytes += u->parts[i].bytes;
    }
    if (n) qsort(v, n, sizeof *v, orders[s->sort]);
    open_object(j, l->key);
    put_u64(j, "total", n);
    put_u64(j, "bytes", bytes);
    json_keyz(j, "top");
    json_arr(j);
    for (uint32_t i = 0; i < MIN(n, s->limit); i++) {
        const struct usage_set *set = &u->sets[v[i]->set];
        json_obj(j);
        put_text(j, "name", v[i]->name);
        put_text(j, "tenant", set->tenant);
        json_keyz(j, "signal");
        json_z(j, signal_names[set->signal]);
        put_index(j, set->index);
        put_u64(j, "bytes", v[i]->bytes);
        l->put(j, v[i]);
        json_obj_end(j);
        if (i % 256 == 255) TRY(rt_checkpoint());
    }
    json_arr_end(j);
    json_obj_end(j);
    return buf_check(j->b);
}

static void put_rest(struct json_out *j, const struct usage *u)
{
    uint64_t sum[USAGE_KINDS] = { 0 };
    for (uint32_t i = 0; i < u->nparts; i++)
        sum[u->parts[i].kind] += u->parts[i].bytes;
    open_object(j, "others");
    put_u64(j, "links", sum[USAGE_LINK]);
    put_u64(j, "families", sum[USAGE_FAMILIES]);
    put_u64(j, "unnamed_metrics", sum[USAGE_REST]);
    json_obj_end(j);
}

err_t storage_json(const struct storage_answer *s, struct arena *a, struct buf *out)
{
    static const struct list lists[] = {
        { "metrics", USAGE_METRIC, put_metric }, { "labels", USAGE_LABEL, put_label }, { "columns", USAGE_COLUMN, put_column },
    };
    struct json_out j;
    json_init(&j, out);
    json_obj(&j);
    json_keyz(&j, "tenant");
    if (s->tenant.n) json_str(&j, s->tenant);
    else json_null(&j);
    native_json_warnings(&j, &s->warnings);
    put_node(&j, s);
    put_signals(&j, s->usage);
    put_sets(&j, s, a);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        TRY(put_list(&j, s, &lists[i], a));
    put_rest(&j, s->usage);
    json_obj_end(&j);
    return buf_check(out);
}
