/* A stream from one store to another, in the simulator: as it is, on top of what is there, with power going at every step and with the
 * nth operation failing; then the taker holds what it held or what was given, as a whole, and the copy succeeds the next time. And one in
 * which indexes are deleted. */
#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/sim.h"
#include "storage/store_int.h"
#include "storage/stream_copy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 10, REQUESTS = 24, EARLY = 6, LATE = 3, OTHERS = 4, PIECE = 700 };

struct world {
    struct sim_disk *disk;
    struct kv *kv[2];
    unsigned cores;
    uint64_t seed;
    struct store *s[2]; /* giver, taker */
    struct stream common;
    bool took;
    enum errinj_id fault;
    bool damage;       /* a byte of a file is wrong on its way */
};
static struct world *w;

static void must(err_t e, const char *what)
{
    if (e != OK) fprintf(stderr, "%s: %s: %s\n", what, err_name(e), err_detail());
    ASSERT(e == OK);
}

static err_t open_store(unsigned i)
{
    static const char *const dirs[] = { "/giver", "/taker" };
    const struct store_opts o = { .dir = dirs[i], .kv = w->kv[i], .partitions = 16, .mem_bytes = 64 << 20, .seal_age_ms = 3600000, .commit_bytes = 1 << 20,
                                  .log_keep_bytes = 1 << 30, .log_keep_ms = 3600000 };
    return store_open(&o, &w->s[i]);
}

static void open_both(void)
{
    for (unsigned i = 0; i < 2; i++) {
        must(open_store(i), "open");
        if (w->common.n) must(store_stream_add(w->s[i], &w->common), "stream");
    }
}

static void close_both(void)
{
    for (unsigned i = 0; i < 2; i++) {
        if (w->s[i]) store_close(w->s[i]);
        w->s[i] = NULL;
    }
}

/* -- requests ------------------------------------------------------------------------------------------------ */

static struct table *logs(uint32_t first)
{
    struct table_builder *b = table_builder_new(NULL);
    table_resource(b);
    table_set_str(b, SC_ATTR, STR("service.name"), COL_STR, STR("svc"));
    table_scope(b);
    for (uint32_t i = first; i < first + ROWS; i++) {
        uint8_t id[16] = { (uint8_t)i, (uint8_t)(i >> 8), 1 };
        table_row(b);
        table_set_i64(b, SC_SELF, STR("time"), 1);
        table_set_i64(b, SC_ATTR, STR("n"), i);
        table_set_fix(b, SC_SELF, STR("trace_id"), id, 16);
    }
    return table_builder_finish(b, STR("time"));
}

/* Request k, as another node would send it in its epoch: the same content, whatever its name is. */
static err_t put_signal(unsigned to, uint32_t k, uint64_t epoch, enum signal signal, struct str index)
{
    const struct batch_name name = { .stream = w->common.id, .origin = w->common.members[2], .epoch = epoch, .core = k % 3, .seq = k / 3 + 1 };
    struct table *t = logs(k * ROWS);
    struct batch b = { .tenant = STR("anonymous"), .signal = signal, .index = index, .ntables = 1, .tables = &t, .nrows = ROWS, .content = { k, 1 } }, *p = &b;
    struct buf bytes;
    buf_init(&bytes, 1 << 20, NULL);
    const struct request_head h = { .name = name, .key = request_key(&p, 1), .wall_ms = rt_wall().ns / NS_PER_MS, .nbatches = 1 };
    request_encode(&h, &p, NULL, &bytes);
    err_t e = store_put(w->s[to], &(struct store_request){ .name = name, .bytes = buf_view(&bytes) });
    buf_deinit(&bytes);
    table_put(t);
    return e;
}

static err_t put_named(unsigned to, uint32_t k, uint64_t epoch)
{
    return put_signal(to, k, epoch, SIG_LOGS, STR_NONE);
}

static err_t put(unsigned to, uint32_t k)
{
    return put_named(to, k, 1);
}

/* A request of the taker's own stream, numbered behind the others. */
static void put_own(uint32_t k)
{
    struct table *t = logs((REQUESTS + k) * ROWS);
    struct batch b = { .tenant = STR("anonymous"), .signal = SIG_LOGS, .ntables = 1, .tables = &t, .nrows = ROWS }, *p = &b;
    must(store_append(w->s[1], &p, 1), "own");
    table_put(t);
}

/* -- what is there ------------------------------------------------------------------------------------------- */

struct look {
    struct store *s;
    uint32_t rows[REQUESTS + OTHERS];
    struct arena *a;
    struct dead_marks *marks; /* of rows n % 7 == 3; NULL: none */
};

static err_t look_here(void *arg)
{
    struct look *c = arg;
    struct view *v;
    struct rows_scan *s;
    TRY(view_open(c->s, STR("anonymous"), NULL, NULL, &v));
    const struct rows_req rq = { .signal = SIG_LOGS, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX,
                                 .upto_generation = c->marks ? atomic_load(&c->s->sealed_gen) : 0 };
    TRY(rows_open(v, &rq, &s));
    for (;;) {
        struct rowset rs;
        bool more;
        uint32_t dead[4096], ndead = 0;
        const struct column *n;
        TRY(rows_next(s, &rs, &more));
        if (!more) break;
        TRY(rowset_column(&rs, REL_ROWS, SC_ATTR, STR("n"), COL_I64, &n));
        for (uint32_t k = 0; k < rs.nsel; k++) {
            uint32_t row = rs.sel ? rs.sel[k] : k;
            ASSERT(n->i64[row] / ROWS < REQUESTS + OTHERS);
            c->rows[n->i64[row] / ROWS]++;
            if (c->marks && n->i64[row] % 7 == 3 && ndead < ARRAY_LEN(dead)) dead[ndead++] = row;
        }
        if (ndead) TRY(rowset_mark(&rs, dead, ndead, c->marks));
    }
    if (c->marks) TRY(dead_marks_end(c->marks));
    rows_close(s);
    view_close(v);
    return OK;
}

static void look(unsigned i, struct look *c)
{
    memset(c, 0, sizeof *c);
    c->s = w->s[i];
    for (unsigned core = 0; core < rt_cores(); core++)
        must(rt_call(core, RT_QUERY, look_here, c), "look");
}

static void delete_some(unsigned i)
{
    struct arena a;
    arena_init(&a, NULL);
    for (unsigned core = 0; core < rt_cores(); core++) {
        struct dead_marks marks;
        struct delete_counts counts = { 0 };
        dead_marks_init(&marks, &a);
        struct look c = { .s = w->s[i], .marks = &marks };
        must(rt_call(core, RT_QUERY, look_here, &c), "look for what is deleted");
        must(store_delete_rows(w->s[i], &marks, &counts), "delete");
        ASSERT(counts.stale == 0);
    }
    arena_deinit(&a);
}

static uint32_t alive(uint32_t k, uint32_t deleted)
{
    uint32_t n = 0;
    for (uint32_t i = k * ROWS; i < (k + 1) * ROWS; i++)
        n += k >= deleted || i % 7 != 3;
    return n;
}

static void cover_of(unsigned i, struct cover *c)
{
    cover_init(c);
    must(store_cover(w->s[i], &w->common.id, 1, c), "cover");
}

/* All that was given, or what it had; whole requests, as coverage says. */
static bool check_taker(void)
{
    static struct look c;
    struct cover have;
    look(1, &c);
    cover_of(1, &have);
    uint64_t n = cover_count(&have);
    cover_deinit(&have);
    bool given = n >= REQUESTS;
    ASSERT(given || n == LATE);
    for (uint32_t k = 0; k < REQUESTS; k++) {
        uint32_t want = given ? alive(k, EARLY * 3) : k >= REQUESTS - LATE ? ROWS : 0;
        if (c.rows[k] != want) fprintf(stderr, "request %u: %u rows, %u wanted\n", k, c.rows[k], want);
        ASSERT(c.rows[k] == want);
    }
    for (uint32_t k = REQUESTS; k < REQUESTS + OTHERS; k++)
        ASSERT(c.rows[k] == ROWS);
    return given;
}

/* -- a copy -------------------------------------------------------------------------------------------------- */

static err_t fetch(const struct seg_info *i)
{
    struct stream_file *f;
    struct buf piece;
    TRY(stream_file_open(w->s[1], i, &f));
    err_t e = OK;
    buf_init(&piece, PIECE, NULL);
    while (e == OK && stream_file_at(f) < i->bytes) {
        buf_clear(&piece);
        e = stream_read(w->s[0], i->name, stream_file_at(f), (uint32_t)MIN((uint64_t)PIECE, i->bytes - stream_file_at(f)), &piece);
        if (e == OK && w->damage && stream_file_at(f) > 0) piece.p[piece.n / 2] ^= 4;
        if (e == OK) e = stream_file_add(f, buf_view(&piece));
    }
    buf_deinit(&piece);
    if (e == OK) return stream_file_end(f);
    stream_file_abandon(f);
    return e;
}

static err_t fetch_all(const struct stream_given *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (!stream_has_file(w->s[1], g->segs[i].info.name)) TRY(fetch(&g->segs[i].info));
    return OK;
}

/* Through bytes, as between nodes. */
static err_t list(struct arena *a, struct stream_given *out)
{
    struct stream_given g;
    struct buf bytes;
    buf_init(&bytes, STREAM_LIST_MAX, NULL);
    stream_given_init(&g);
    err_t e = stream_give(w->s[0], w->common.id, true, a, &g);
    if (e == OK) stream_given_put(&g, &bytes);
    struct bytes_in in = bytes_in_of(str_n(arena_dup(a, bytes.p ? bytes.p : "", bytes.n), bytes.n));
    if (e == OK) e = stream_given_get(&in, UINT32_MAX, a, out);
    if (e == OK) ASSERT(bytes_in_left(&in) == 0 && out->n == g.n && out->keys.n == g.keys.n);
    stream_given_deinit(&g);
    buf_deinit(&bytes);
    return e;
}

static err_t copy(void)
{
    struct stream_given g;
    struct arena a;
    arena_init(&a, NULL);
    stream_given_init(&g);
    err_t e = list(&a, &g);
    if (e == OK) e = fetch_all(&g);
    if (e == OK) e = stream_freeze(w->s[1], w->common.id);
    if (e == OK) {
        ASSERT(put(1, 1000) != OK); /* whatever the disk says */
        if (w->fault) errinj_arm(w->fault, 1);
        e = stream_take(w->s[1], &g);
        stream_thaw(w->s[1]);
    }
    for (uint32_t i = 0; i < g.n; i++)
        if (e != OK) stream_file_drop(w->s[1], g.segs[i].info.name);
    stream_given_deinit(&g);
    arena_deinit(&a);
    return e;
}

/* -- lives --------------------------------------------------------------------------------------------------- */

/* The giver has all in several segments, some rows deleted; the taker the last three, half sealed, and rows of its own. */
static err_t prepare(void *arg)
{
    (void)arg;
    open_both();
    const node_id ids[] = { store_node(w->s[0]), store_node(w->s[1]), { UINT64_MAX } };
    stream_make(ids, 3, &w->common);
    for (unsigned i = 0; i < 2; i++)
        must(store_stream_add(w->s[i], &w->common), "stream");
    for (uint32_t k = 0; k < REQUESTS; k++) {
        must(put(0, k), "put");
        if (k % EARLY == EARLY - 1) must(store_seal(w->s[0]), "seal");
        if (k == EARLY * 3 - 1) delete_some(0);
    }
    for (uint32_t k = 0; k < LATE; k++) {
        must(put(1, REQUESTS - LATE + k), "put late");
        put_own(k);
        if (k == 1) must(store_seal(w->s[1]), "seal");
    }
    put_own(LATE);
    ASSERT(!check_taker());
    close_both();
    return OK;
}

static err_t copy_life(void *arg)
{
    (void)arg;
    err_t e = open_store(0);
    if (e == OK) e = open_store(1);
    if (e == OK) e = copy();
    w->took = e == OK;
    close_both();
    return e;
}

/* A client sends again what the giver took after its deletion and the taker has from it alone: it is acked, and there once. */
static void put_again(uint64_t epoch)
{
    for (uint32_t k = EARLY * 3; k < REQUESTS; k++)
        must(put_named(1, k, epoch), "the same content again");
    ASSERT(check_taker());
}

/* After whatever happened: whole; then copied, twice; restarted. */
static err_t after_life(void *arg)
{
    (void)arg;
    open_both();
    bool given = check_taker();
    ASSERT(given || !w->took);
    must(copy(), "copy");
    ASSERT(check_taker());
    must(put(1, 0), "put again"); /* covered: it is not stored */
    must(copy(), "copy again");
    ASSERT(check_taker());
    put_again(2);
    must(store_seal(w->s[1]), "seal");
    close_both();
    open_both();
    ASSERT(check_taker());
    put_again(3);
    close_both();
    return OK;
}

static uint64_t trial(unsigned cores, const struct sim_opts *o, enum errinj_id fault, bool *over)
{
    struct sim_result r;
    struct world world = { .disk = sim_disk_new(256 << 20), .kv = { kv_mem_new(), kv_mem_new() }, .cores = cores };
    static const struct sim_opts calm;
    w = &world;
    sim_run(7, cores, w->disk, &calm, prepare, NULL, &r);
    ASSERT(!r.crashed && !r.stuck && r.result == OK);
    w->fault = fault;
    sim_run(11 + o->crash_at + o->fail_nth, cores, w->disk, o, copy_life, NULL, &r);
    uint64_t steps = r.stats.could_fail;
    *over = !r.crashed && r.result == OK && r.stats.could_fail < o->fail_nth + (o->fail_nth == 0);
    if (o->crash_at) *over = !r.crashed;
    if (r.crashed) w->s[0] = w->s[1] = NULL;
    w->fault = 0;
    sim_run(13, cores, w->disk, &calm, after_life, NULL, &r);
    if (r.stuck || r.result != OK) fprintf(stderr, "crash_at %llu nth %llu\n", (unsigned long long)o->crash_at, (unsigned long long)o->fail_nth);
    ASSERT(!r.crashed && !r.stuck && r.result == OK);
    sim_disk_free(w->disk);
    kv_mem_free(w->kv[0]);
    kv_mem_free(w->kv[1]);
    return steps;
}

static void power_goes_at_every_step(unsigned cores, unsigned stride)
{
    bool over = false;
    unsigned trials = 0;
    for (uint64_t at = 1; !over; at += stride) {
        const struct sim_opts o = { .crash_at = at };
        trial(cores, &o, 0, &over);
        trials++;
    }
    printf("power goes: %u trials\n", trials);
    ASSERT(trials > 5);
}

static void the_nth_operation_fails(unsigned cores, int error, unsigned stride)
{
    bool over = false;
    unsigned trials = 0;
    for (uint64_t n = 1; !over; n += stride) {
        const struct sim_opts o = { .fail_nth = n, .fail_errno = error };
        trial(cores, &o, 0, &over);
        trials++;
    }
    printf("errno %d: %u trials\n", error, trials);
    ASSERT(trials > 5);
}

static err_t damaged_life(void *arg)
{
    (void)arg;
    open_both();
    w->damage = true;
    ASSERT(copy() == ERR_CORRUPT);
    w->damage = false;
    ASSERT(!check_taker());
    close_both();
    return OK;
}

static void damage_is_found(void)
{
    struct sim_result r;
    struct world world = { .disk = sim_disk_new(256 << 20), .kv = { kv_mem_new(), kv_mem_new() }, .cores = 1 };
    w = &world;
    sim_run(7, 1, w->disk, &(struct sim_opts){ 0 }, prepare, NULL, &r);
    ASSERT(r.result == OK && !r.stuck);
    sim_run(9, 1, w->disk, &(struct sim_opts){ 0 }, damaged_life, NULL, &r);
    ASSERT(r.result == OK && !r.stuck);
    sim_disk_free(w->disk);
    kv_mem_free(w->kv[0]);
    kv_mem_free(w->kv[1]);
}

/* -- deleted indexes ----------------------------------------------------------------------------------------- */

struct docs {
    struct store *s;
    struct str index;
    uint32_t n;
};

static err_t docs_here(void *arg)
{
    struct docs *c = arg;
    struct view *v;
    struct rows_scan *s;
    bool more;
    TRY(view_open(c->s, STR("anonymous"), NULL, NULL, &v));
    TRY(rows_open(v, &(struct rows_req){ .signal = SIG_DOCS, .index = c->index, .tmin_ns = INT64_MIN, .tmax_ns = INT64_MAX }, &s));
    for (struct rowset rs; ; c->n += rs.nsel) {
        TRY(rows_next(s, &rs, &more));
        if (!more) break;
    }
    rows_close(s);
    view_close(v);
    return OK;
}

static uint32_t docs(unsigned i, const char *index)
{
    struct docs c = { w->s[i], str_of(index), 0 };
    for (unsigned core = 0; core < rt_cores(); core++)
        must(rt_call(core, RT_QUERY, docs_here, &c), "look");
    return c.n;
}

static void delete_index(unsigned i, const char *index)
{
    must(store_tombstone(w->s[i], &(struct tombstone_spec){ .tenant = STR("anonymous"), .signal = SIG_DOCS, .index = str_of(index) }), "tombstone");
}

/* As a program before `worked` wrote them. */
static void to_version_6(struct kv *kv)
{
    struct arena a;
    struct kv_item *items;
    size_t n;
    arena_init(&a, NULL);
    must(kv->list(kv, STR("_store/seg/"), 1000, &a, &items, &n), "list");
    ASSERT(n > 0);
    for (size_t i = 0; i < n; i++) {
        uint32_t version;
        memcpy(&version, items[i].value.p, sizeof version);
        ASSERT(version == 7 && items[i].value.n == 136);
        char *v = arena_dup(&a, items[i].value.p, 128);
        version = 6;
        memcpy(v, &version, sizeof version);
        must(kv->write(kv, &(struct kv_op){ items[i].key, str_n(v, 128) }, 1), "write");
    }
    arena_deinit(&a);
}

static err_t docs_life(void *arg)
{
    (void)arg;
    open_both();
    for (uint32_t k = 0; k < 6; k++)
        must(put_signal(0, 100 + k, 2, SIG_DOCS, k % 2 ? STR("first:1") : STR("second:1")), "put");
    must(store_seal(w->s[0]), "seal");
    close_both();
    to_version_6(w->kv[0]);
    return OK;
}

/* As when they are over. */
static void forget_tombstones(struct kv *kv)
{
    struct arena a;
    struct kv_item *items;
    size_t n;
    arena_init(&a, NULL);
    must(kv->list(kv, STR("_store/tomb/"), 10, &a, &items, &n), "list");
    ASSERT(n == 1);
    must(kv->write(kv, &(struct kv_op){ items[0].key, STR_NONE }, 1), "write");
    arena_deinit(&a);
}

/* Refused while the index is only hidden, by segments of another number of cores and without merges; then it comes, and without it. */
static void copy_in_time(void)
{
    bool refused = copy() == ERR_UNAVAILABLE;
    ASSERT(refused && docs(1, "first:1") == 0);
    must(fiber_sleep(30 * NS_PER_S), "sleep");
    must(copy(), "a copy after a deletion");
    ASSERT(check_taker());
}

static err_t deleted_life(void *arg)
{
    (void)arg;
    open_both();
    ASSERT(docs(0, "first:1") == 3 * ROWS);
    delete_index(0, "first:1");
    ASSERT(docs(0, "first:1") == 0 && docs(0, "second:1") == 3 * ROWS);
    copy_in_time();
    ASSERT(docs(1, "first:1") == 0 && docs(1, "second:1") == 3 * ROWS);
    must(copy(), "again"); /* nothing is in its way */
    close_both();
    forget_tombstones(w->kv[0]);
    return OK;
}

/* The number of the one before, which nobody but segments knows any more, does not come again. */
static err_t deleted_again_life(void *arg)
{
    (void)arg;
    open_both();
    ASSERT(docs(0, "second:1") == 3 * ROWS);
    delete_index(0, "second:1");
    delete_index(1, "second:1");
    copy_in_time();
    ASSERT(docs(0, "second:1") == 0 && docs(1, "second:1") == 0);
    close_both();
    return OK;
}

static void deleted_indexes(unsigned cores, unsigned then)
{
    struct sim_result r;
    struct world world = { .disk = sim_disk_new(256 << 20), .kv = { kv_mem_new(), kv_mem_new() }, .cores = cores };
    const struct sim_opts o = { .time_max_ns = 600 * NS_PER_S };
    err_t (*const lives[])(void *) = { prepare, docs_life, deleted_life, deleted_again_life };
    w = &world;
    for (unsigned i = 0; i < ARRAY_LEN(lives); i++) {
        sim_run(17 + i, i < 2 ? cores : then, w->disk, &o, lives[i], NULL, &r);
        if (r.stuck) printf("stuck in life %u\n", i);
        ASSERT(r.result == OK && !r.stuck);
    }
    sim_disk_free(w->disk);
    kv_mem_free(w->kv[0]);
    kv_mem_free(w->kv[1]);
}

int main(void)
{
    bool over;
    log_init((enum log_level)(LOG_ERROR + 1), false);
    deleted_indexes(1, 1);
    deleted_indexes(2, 1);
    deleted_indexes(1, 2);
    for (unsigned cores = 1; cores <= 2; cores++) {
        const struct sim_opts calm = { 0 };
        trial(cores, &calm, 0, &over);
        trial(cores, &calm, EI_SWAP_BEFORE_COMMIT, &over);
        trial(cores, &calm, EI_SWAP_AFTER_COMMIT, &over);
        power_goes_at_every_step(cores, 1 + 4 * cores);
        the_nth_operation_fails(cores, EIO, 1 + cores);
        the_nth_operation_fails(cores, ENOSPC, 1);
    }
    damage_is_found();
    return 0;
}
