#include "storage/stream_copy.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/metric.h"
#include "storage/col_codec.h"
#include "storage/mend.h"
#include "storage/seg_map.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { GIVEN_VERSION = 2, NAME_HEX = 32, SEG_LEAST = NAME_HEX + 31 };

void stream_given_init(struct stream_given *g)
{
    *g = (struct stream_given){ 0 };
    cover_init(&g->cover);
}

void stream_given_deinit(struct stream_given *g)
{
    cover_deinit(&g->cover);
    *g = (struct stream_given){ 0 };
}

/* -- giving: a list ------------------------------------------------------------------------------------------ */

struct give {
    struct store *s;
    uint64_t stream;
    bool keys;
    _Atomic bool hidden; /* set by any core */
    struct arena *a;
    struct stream_given *out;
};

static err_t hidden_here(void *arg)
{
    struct give *c = arg;
    const struct shard *sh = shard_here(c->s);
    for (uint32_t i = 0; i < sh->nsegs; i++) {
        if (seg_info(sh->segs[i])->stream != c->stream || !tombs_hide(sh->tombs, sh->segs[i])) continue;
        c->hidden = true;
        return err_set(ERR_UNAVAILABLE, "deleted series or indexes are not worked into %s yet, which begins now: the stream can be copied then", seg_info(sh->segs[i])->name);
    }
    return OK;
}

static int by_generation(const void *x, const void *y)
{
    const struct seg_info *a = &((const struct stream_seg *)x)->info, *b = &((const struct stream_seg *)y)->info;
    if (a->generation != b->generation) return a->generation < b->generation ? -1 : 1;
    return seg_lane_cmp(seg_lane(a), seg_lane(b));
}

/* Generations become places: the same order, without gaps. */
static void give_places(struct stream_given *g)
{
    uint64_t place = 0, last = 0;
    qsort(g->segs, g->n, sizeof *g->segs, by_generation);
    for (uint32_t i = 0; i < g->n; i++) {
        struct seg_info *info = &g->segs[i].info;
        if (i == 0 || info->generation != last) place++;
        last = info->generation;
        info->generation = info->generation_first = place;
    }
}

static err_t give_seg(struct give *c, const struct seg_info *i)
{
    struct stream_seg *to = &c->out->segs[c->out->n];
    if (i->remote || i->object) return err_set(ERR_UNAVAILABLE, "%s is of the object tier, which is not copied", i->name);
    if (lost_any(&c->s->lost, i)) return err_set(ERR_UNAVAILABLE, "%s cannot be read here: another node must give it", i->name);
    to->info = *i;
    TRY(dead_of(c->s, i, c->a, &to->marks, &to->nmarks));
    c->out->n++;
    return OK;
}

static err_t give_locked(struct give *c)
{
    struct store *s = c->s;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->ninfos; i++)
        n += s->infos[i].stream == c->stream;
    if (n > STREAM_SEGS_MAX) return err_set(ERR_LIMIT, "the stream has %u segments, at most %d are copied", n, STREAM_SEGS_MAX);
    for (unsigned core = 0; core < s->cores; core++)
        TRY(rt_call(core, RT_MAINTENANCE, hidden_here, c));
    c->out->segs = ARENA_ARRAY(c->a, struct stream_seg, n + 1);
    TRY(arena_check(c->a));
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (s->infos[i].stream == c->stream) TRY(give_seg(c, &s->infos[i]));
    cover_pick(&s->sealed, &c->stream, 1, &c->out->cover);
    give_places(c->out);
    TRY(arena_check(c->a));
    return c->keys ? stream_keys_give(s, c->stream, &c->out->cover, c->a, &c->out->keys) : OK;
}

static err_t give_here(void *arg)
{
    struct give *c = arg;
    TRY(sem_take(&c->s->changing, 1));
    err_t e = give_locked(c);
    if (c->hidden) compaction_work_in(c->s, c->stream);
    sem_give(&c->s->changing, 1);
    return e;
}

err_t stream_give(struct store *s, uint64_t stream, bool keys, struct arena *a, struct stream_given *out)
{
    struct give c = { .s = s, .stream = stream, .keys = keys, .a = a, .out = out };
    out->stream = stream;
    return rt_call(0, RT_MAINTENANCE, give_here, &c);
}

static err_t read_at(const char *path, const char *name, uint64_t off, uint32_t n, struct buf *out)
{
    struct file f = { .fd = -1 };
    err_t e = file_open(&f, path, FILE_READ);
    if (e == ERR_NOT_FOUND) return err_set(e, "%s was merged into another one meanwhile", name);
    TRY(e);
    char *to = buf_reserve(out, n);
    e = to ? file_read(&f, to, n, off, NULL) : buf_check(out);
    if (e == OK) out->n += n;
    struct err_record why = *err_record();
    file_close(&f);
    *err_record() = why;
    return e;
}

err_t stream_read(struct store *s, const char name[40], uint64_t off, uint32_t n, struct buf *out)
{
    struct arena a;
    if (!seg_name_valid(name)) return err_set(ERR_INVALID, "not the name of a segment");
    if (n == 0 || n > STREAM_READ_MAX) return err_set(ERR_INVALID, "%u bytes of a segment are asked for, at most %d", n, STREAM_READ_MAX);
    arena_init(&a, NULL);
    struct str path = arena_printf(&a, "%s/%s", s->seg_dir, name);
    err_t e = path.p ? read_at(path.p, name, off, n, out) : arena_check(&a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

/* -- the list as bytes --------------------------------------------------------------------------------------- */

static void put_seg(const struct stream_seg *g, struct buf *out)
{
    const struct seg_info *i = &g->info;
    buf_put(out, i->name, NAME_HEX);
    buf_varint(out, i->bytes);
    bytes_out_u64(out, (uint64_t)i->tmin_ns);
    bytes_out_u64(out, (uint64_t)i->tmax_ns);
    buf_varint(out, i->generation);
    buf_varint(out, i->core);
    buf_varint(out, i->cores);
    buf_varint(out, i->level);
    buf_byte(out, i->object);
    bytes_out_u64(out, (uint64_t)i->sealed_ms);
    buf_varint(out, g->nmarks);
    for (uint32_t k = 0; k < g->nmarks; k++) {
        buf_varint(out, g->marks[k].group);
        bytes_out_str(out, g->marks[k].bytes);
    }
}

void stream_given_put(const struct stream_given *g, struct buf *out)
{
    buf_byte(out, GIVEN_VERSION);
    bytes_out_u64(out, g->stream);
    buf_varint(out, g->n);
    for (uint32_t i = 0; i < g->n; i++)
        put_seg(&g->segs[i], out);
    cover_put(&g->cover, out);
    stream_keys_put(&g->keys, out);
}

static err_t malformed(void)
{
    return err_set(ERR_CORRUPT, "a list of segments is malformed");
}

static err_t get_marks(struct bytes_in *in, struct arena *a, struct stream_seg *g)
{
    g->nmarks = bytes_in_count(in, 2);
    g->marks = ARENA_ARRAY(a, struct dead_mark, (size_t)g->nmarks + 1);
    TRY(arena_check(a));
    for (uint32_t k = 0; k < g->nmarks; k++) {
        struct dead_mark *m = &g->marks[k];
        uint64_t group = bytes_in_varint(in);
        struct str bytes = bytes_in_str(in);
        if (in->bad || group > UINT32_MAX || bytes.n > SEG_DEAD_BYTES_MAX || (k > 0 && group <= m[-1].group)) return malformed();
        m->group = (uint32_t)group;
        m->bytes = arena_str(a, bytes);
        memcpy(m->name, g->info.name, sizeof m->name);
    }
    return arena_check(a);
}

static err_t get_seg(struct bytes_in *in, struct arena *a, uint64_t stream, struct stream_seg *g)
{
    struct seg_info *i = &g->info;
    bytes_in_copy(in, i->name, NAME_HEX);
    memcpy(i->name + NAME_HEX, ".seg", 4);
    i->bytes = bytes_in_varint(in);
    i->tmin_ns = (int64_t)bytes_in_u64(in);
    i->tmax_ns = (int64_t)bytes_in_u64(in);
    i->generation = i->generation_first = bytes_in_varint(in);
    uint64_t core = bytes_in_varint(in), cores = bytes_in_varint(in), level = bytes_in_varint(in);
    i->object = bytes_in_u8(in) != 0;
    i->sealed_ms = (int64_t)bytes_in_u64(in);
    i->stream = stream;
    if (in->bad || !seg_name_valid(i->name) || cores == 0 || cores > UINT16_MAX || core >= cores || level > UINT16_MAX
        || i->generation == 0 || i->generation > STREAM_SEGS_MAX || i->bytes == 0 || i->bytes > INT64_MAX) return malformed();
    i->core = (uint32_t)core;
    i->cores = (uint32_t)cores;
    i->level = (uint32_t)level;
    return get_marks(in, a, g);
}

static int by_name(const void *x, const void *y)
{
    return memcmp(*(const char *const *)x, *(const char *const *)y, NAME_HEX);
}

/* Each name and each place once; places in order. */
static err_t check_distinct(const struct stream_given *g, struct arena *a)
{
    const char **names = ARENA_ARRAY(a, const char *, (size_t)g->n + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < g->n; i++) {
        names[i] = g->segs[i].info.name;
        if (i > 0 && by_generation(&g->segs[i - 1], &g->segs[i]) >= 0) return malformed();
    }
    qsort(names, g->n, sizeof *names, by_name);
    for (uint32_t i = 1; i < g->n; i++)
        if (memcmp(names[i - 1], names[i], NAME_HEX) == 0) return malformed();
    return OK;
}

err_t stream_given_get(struct bytes_in *in, uint32_t intervals_max, struct arena *a, struct stream_given *out)
{
    if (bytes_in_u8(in) != GIVEN_VERSION) return err_set(ERR_CORRUPT, "a list of segments of another version");
    out->stream = bytes_in_u64(in);
    uint32_t n = bytes_in_count(in, SEG_LEAST);
    if (in->bad || n > STREAM_SEGS_MAX) return malformed();
    out->segs = ARENA_ARRAY(a, struct stream_seg, (size_t)n + 1);
    TRY(arena_check(a));
    for (; out->n < n; out->n++)
        TRY(get_seg(in, a, out->stream, &out->segs[out->n]));
    TRY(check_distinct(out, a));
    TRY(cover_get(in, intervals_max, &out->cover));
    if (out->cover.n > 1 || (out->cover.n == 1 && out->cover.streams[0].id != out->stream)) return malformed();
    if (n > 0 && out->cover.n == 0) return malformed();
    return stream_keys_get(in, out->stream, &out->cover, a, &out->keys);
}

/* -- taking: a file ------------------------------------------------------------------------------------------ */

struct stream_file {
    struct store *s;
    struct seg_info info;
    struct file f;
    char *temp, *path;
    uint64_t at;
};

static char *heap_path(const struct store *s, const char *name, const char *end)
{
    size_t n = strlen(s->seg_dir) + strlen(name) + strlen(end) + 2;
    char *p = malloc(n);
    ASSERT(p != NULL);
    snprintf(p, n, "%s/%.*s%s", s->seg_dir, NAME_HEX, name, end);
    return p;
}

static void file_free(struct stream_file *f)
{
    free(f->temp);
    free(f->path);
    free(f);
}

err_t stream_file_open(struct store *s, const struct seg_info *info, struct stream_file **out)
{
    struct file there = { .fd = -1 };
    if (!seg_name_valid(info->name)) return err_set(ERR_INVALID, "not the name of a segment");
    TRY(store_writable(s));
    struct stream_file *f = calloc(1, sizeof *f);
    ASSERT(f != NULL);
    *f = (struct stream_file){ .s = s, .info = *info, .f = { .fd = -1 }, .temp = heap_path(s, info->name, ".part"),
                               .path = heap_path(s, info->name, ".seg") };
    err_t e = file_open(&there, f->path, FILE_READ);
    if (e == OK) {
        file_close(&there);
        if (!mend_wants_file(s, info)) e = err_set(ERR_INVALID, "%s is there and about to go: it can be fetched when it is gone", f->path);
    }
    if (e == OK || e == ERR_NOT_FOUND) {
        e = file_open(&f->f, f->temp, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE);
    }
    if (e != OK) {
        file_free(f);
        return e;
    }
    *out = f;
    return OK;
}

uint64_t stream_file_at(const struct stream_file *f)
{
    return f->at;
}

err_t stream_file_add(struct stream_file *f, struct str bytes)
{
    if (bytes.n > f->info.bytes - f->at) return err_set(ERR_CORRUPT, "%s: more bytes came than it has", f->info.name);
    TRY(file_write(&f->f, bytes.p, bytes.n, f->at));
    f->at += bytes.n;
    return OK;
}

/* The name is the hash of the footer as it was before it was packed. */
static err_t check_name(struct stream_file *f, const struct seg_layout *l)
{
    struct arena a;
    char name[40];
    arena_init(&a, NULL);
    char *packed = arena_alloc(&a, l->footer_size + 1), *raw = arena_alloc(&a, l->footer_raw + 1);
    err_t e;
    TRY_OUT(e, arena_check(&a));
    TRY_OUT(e, file_read(&f->f, packed, l->footer_size, l->footer_off, NULL));
    if (l->footer_size == l->footer_raw) memcpy(raw, packed, l->footer_raw);
    else TRY_OUT(e, col_zstd_unpack(str_n(packed, l->footer_size), raw, l->footer_raw));
    hash128 h = hash128_of(str_n(raw, l->footer_raw));
    snprintf(name, sizeof name, "%016" PRIx64 "%016" PRIx64 ".seg", h.hi, h.lo);
    if (memcmp(name, f->info.name, NAME_HEX) != 0) e = err_set(ERR_CORRUPT, "%s came as %s", f->info.name, name);
out:;
    struct err_record why = *err_record();
    arena_deinit(&a);
    *err_record() = why;
    return e;
}

static err_t pace(void *ctx, uint64_t bytes)
{
    (void)ctx;
    (void)bytes;
    return rt_checkpoint();
}

static err_t verify(struct stream_file *f)
{
    struct seg *g;
    struct seg_layout l;
    if (f->at != f->info.bytes) return err_set(ERR_CORRUPT, "%s: %" PRIu64 " of %" PRIu64 " bytes came", f->info.name, f->at, f->info.bytes);
    TRY(seg_open_path(f->temp, &g));
    seg_layout(g, &l);
    err_t e = check_name(f, &l);
    for (uint32_t i = 0; e == OK && i < seg_ngroups(g); i++)
        e = seg_verify_group(g, i, pace, NULL);
    if (e == OK) e = seg_verify_indexes(g, pace, NULL);
    struct err_record why = *err_record();
    seg_put(g);
    *err_record() = why;
    return e;
}

err_t stream_file_end(struct stream_file *f)
{
    err_t e = verify(f);
    if (e == OK) e = fs_publish(&f->f, f->path);
    if (e != OK) {
        stream_file_abandon(f);
        return e;
    }
    file_close(&f->f);
    file_free(f);
    return OK;
}

void stream_file_abandon(struct stream_file *f)
{
    struct err_record why = *err_record();
    file_close(&f->f);
    err_t ignored = fs_unlink(f->temp); /* the next start deletes it */
    (void)ignored;
    file_free(f);
    *err_record() = why;
}

bool stream_has_file(const struct store *s, const char name[40])
{
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (memcmp(s->infos[i].name, name, NAME_HEX) == 0) return true;
    return false;
}

void stream_file_drop(struct store *s, const char name[40])
{
    struct err_record why = *err_record();
    char *path = heap_path(s, name, ".seg");
    /* A commit that may have happened names it perhaps: then it stays, for the next start to judge. */
    err_t ignored = stream_has_file(s, name) || s->undo.n > 0 ? OK : fs_unlink(path);
    (void)ignored;
    free(path);
    *err_record() = why;
}

/* -- taking: the stream -------------------------------------------------------------------------------------- */

err_t stream_freeze(struct store *s, uint64_t stream)
{
    uint64_t none = 0;
    if (s->tier) return err_set(ERR_UNAVAILABLE, "a node with an object tier takes no streams from others");
    if (!store_stream_known(s, stream)) return err_set(ERR_INVALID, "stream %016" PRIx64 " is not known here", stream);
    if (!atomic_compare_exchange_strong(&s->frozen, &none, stream)) return err_set(ERR_UNAVAILABLE, "stream %016" PRIx64 " is being filled", none);
    err_t e = store_seal(s);
    if (e != OK) stream_thaw(s);
    return e;
}

void stream_thaw(struct store *s)
{
    atomic_fetch_add(&s->thaws, 1);
    atomic_store(&s->frozen, 0);
}

struct taking {
    struct store *s;
    const struct stream_given *g;
    uint64_t first; /* generation */
    struct arena a;
    struct seg_info *in, *out;
    uint32_t nout;
    struct dead_mark *marks;
    uint32_t nmarks;
    struct buf keys;
};

static bool is_here(const struct taking *t, const struct seg_info *i)
{
    for (uint32_t k = 0; k < t->nout; k++)
        if (memcmp(t->out[k].name, i->name, NAME_HEX) == 0) return true;
    return false;
}

static err_t add_marks(struct taking *t, size_t *cap)
{
    for (uint32_t i = 0; i < t->g->n; i++) {
        const struct stream_seg *g = &t->g->segs[i];
        struct dead_mark *mine = NULL, *both;
        uint32_t nmine = 0, n;
        if (is_here(t, &g->info)) TRY(dead_of(t->s, &g->info, &t->a, &mine, &nmine));
        TRY(dead_unite(g->marks, g->nmarks, mine, nmine, &t->a, &both, &n));
        t->marks = arena_grow(&t->a, t->marks, t->nmarks, cap, (size_t)t->nmarks + n, sizeof *t->marks);
        TRY(arena_check(&t->a));
        if (n) memcpy(t->marks + t->nmarks, both, n * sizeof *both);
        t->nmarks += n;
    }
    return OK;
}

static err_t check_cover(const struct taking *t)
{
    struct cover mine, lost;
    cover_init(&mine);
    cover_init(&lost);
    cover_pick(&t->s->sealed, &t->g->stream, 1, &mine);
    cover_minus(&mine, &t->g->cover, &lost);
    uint64_t n = cover_count(&lost);
    cover_deinit(&mine);
    cover_deinit(&lost);
    return n == 0 ? OK : err_set(ERR_INVALID, "%" PRIu64 " requests of stream %016" PRIx64 " that are here are not in what is given", n, t->g->stream);
}

static err_t prepare(struct taking *t)
{
    const struct store *s = t->s;
    size_t cap = 0;
    TRY(check_cover(t));
    t->in = ARENA_ARRAY(&t->a, struct seg_info, (size_t)t->g->n + 1);
    t->out = ARENA_ARRAY(&t->a, struct seg_info, (size_t)s->ninfos + 1);
    TRY(arena_check(&t->a));
    for (uint32_t i = 0; i < s->ninfos; i++)
        if (s->infos[i].stream == t->g->stream) t->out[t->nout++] = s->infos[i];
    for (uint32_t i = 0; i < t->g->n; i++) {
        t->in[i] = t->g->segs[i].info;
        if (stream_has_file(s, t->in[i].name) && !is_here(t, &t->in[i])) return err_set(ERR_INVALID, "%s is of another stream here", t->in[i].name);
        t->in[i].generation = t->in[i].generation_first = t->first + t->in[i].generation - 1;
        t->in[i].remote = t->in[i].object = false;
        t->in[i].judged = 0;
        t->in[i].worked = 0; /* newer than all tombstones that there are here */
    }
    return add_marks(t, &cap);
}

static err_t take_locked(struct taking *t)
{
    TRY(prepare(t));
    struct dedup_item at = { .generation = t->first }; /* which no seal writes one of */
    at.wall_ms = stream_keys_take(t->s, &t->g->keys, &t->keys);
    TRY(buf_check(&t->keys));
    const struct seg_swap w = { .out = t->out, .nout = t->nout, .in = t->in, .nin = t->g->n, .taken = &t->g->cover,
                                .marks = t->marks, .nmarks = t->nmarks, .keys = buf_view(&t->keys), .keys_at = at };
    TRY(store_swap(t->s, &w));
    lost_replaced(t->s, t->out, t->nout);
    compaction_wake(t->s);
    return OK;
}

static err_t take(void *arg)
{
    struct taking *t = arg;
    struct store *s = t->s;
    uint64_t places = t->g->n ? t->g->segs[t->g->n - 1].info.generation : 2; /* one for the keys at least */
    TRY(store_seal_free(s, (uint32_t)(places + places % 2), &t->first));
    TRY(sem_take(&s->changing, 1));
    arena_init(&t->a, NULL);
    buf_init(&t->keys, (size_t)STREAM_KEYS_MAX * DEDUP_BYTES, NULL);
    err_t e = take_locked(t);
    struct err_record why = *err_record();
    buf_deinit(&t->keys);
    arena_deinit(&t->a);
    sem_give(&s->changing, 1);
    *err_record() = why;
    return e;
}

err_t stream_take(struct store *s, const struct stream_given *g)
{
    struct taking t = { .s = s, .g = g };
    ASSERT(atomic_load(&s->frozen) == g->stream);
    if (cover_empty(&g->cover)) return err_set(ERR_INVALID, "nothing of stream %016" PRIx64 " is given", g->stream);
    return store_undisturbed(take, &t);
}
