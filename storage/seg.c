#include "storage/seg.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "base/core/metric.h"
#include "storage/col_codec.h"
#include "storage/seg_dead.h"
#include "storage/seg_format.h"
#include "storage/usage.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { WRITE_BYTES = 1 << 20, TAIL_BYTES = 64 << 10, GROUPS_BYTES_MAX = SEG_FOOTER_RAW_MAX };

static char *path_of(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *p = malloc(n);
    ASSERT(p);
    snprintf(p, n, "%s/%s", dir, name);
    return p;
}

bool seg_name_valid(const char name[40])
{
    for (unsigned i = 0; i < 32; i++)
        if (hex_value(name[i]) < 0 || (name[i] >= 'A' && name[i] <= 'F')) return false;
    return memcmp(name + 32, ".seg\0\0\0", 8) == 0;
}

/* -- writing ------------------------------------------------------------------------------------------- */

struct seg_writer {
    char *dir;
    bool for_long;
    struct file f;
    struct buf out;     /* not yet written */
    uint64_t off;       /* in the file, of the end of out */
    struct buf groups;
    uint32_t ngroups;
    uint64_t salt;
    int64_t tmin_ns, tmax_ns;
    struct seg_ids_build ids;
    uint32_t first_row; /* of the group written last */
    struct seg_tokens_build tokens;
    struct seg_ids *sections; /* of words: those that are complete, and a place for that which is made, if `making` */
    uint32_t nsections, sections_cap, making; /* its number, from 1 */
    uint64_t section_from; /* in the file, where the groups of the next begin; moved on by what is copied in between */
    uint64_t group_end;    /* in the file, of the last group */
    struct buf places;     /* seg_tokens.h */
};

err_t seg_writer_open(const char *dir, struct budget *budget, struct seg_writer **out)
{
    struct seg_writer *w = calloc(1, sizeof *w);
    ASSERT(w);
    w->f.fd = -1;
    w->ids.budget = budget;
    w->ids.low_bits = SEG_IDS_LOW;
    w->ids.rows = true;
    seg_tokens_begin(&w->tokens, budget);
    w->dir = strdup(dir);
    ASSERT(w->dir);
    w->salt = rt_random();
    w->tmin_ns = INT64_MAX;
    w->tmax_ns = INT64_MIN;
    buf_init(&w->out, (size_t)WRITE_BYTES + 4096, NULL);
    buf_init(&w->groups, GROUPS_BYTES_MAX, NULL);
    buf_init(&w->places, GROUPS_BYTES_MAX, NULL);
    char name[40];
    snprintf(name, sizeof name, "%016" PRIx64 ".tmp", w->salt);
    char *path = path_of(dir, name);
    err_t e = file_open(&w->f, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE);
    free(path);
    if (e != OK) {
        seg_writer_abandon(w);
        return e;
    }
    seg_header_put(&w->out);
    w->off = w->out.n;
    *out = w;
    return OK;
}

void seg_writer_for_long(struct seg_writer *w) { w->for_long = true; }
bool seg_writer_is_for_long(const struct seg_writer *w) { return w->for_long; }

static err_t flush(struct seg_writer *w)
{
    if (w->out.n) TRY(file_write(&w->f, w->out.p, w->out.n, w->off - w->out.n));
    buf_clear(&w->out);
    return OK;
}

static err_t append(struct seg_writer *w, struct str bytes)
{
    if (w->out.n + bytes.n > WRITE_BYTES) TRY(flush(w));
    if (bytes.n > WRITE_BYTES) {
        TRY(file_write(&w->f, bytes.p, bytes.n, w->off));
    } else {
        buf_str(&w->out, bytes);
        ASSERT(!w->out.failed);
    }
    w->off += bytes.n;
    return OK;
}

err_t seg_writer_chunk(struct seg_writer *w, struct str bytes, uint32_t raw_size, struct seg_chunk *out)
{
    static const char zeros[8];
    if (bytes.n > SEG_CHUNK_MAX)
        return err_set(ERR_TOO_LARGE, "a chunk of %zu bytes, at most %d", bytes.n, SEG_CHUNK_MAX);
    TRY(append(w, (struct str){ zeros, (size_t)(-w->off % 8) }));
    *out = (struct seg_chunk){ .off = w->off, .size = (uint32_t)bytes.n, .raw_size = raw_size, .hash = hash64(bytes) };
    return append(w, bytes);
}

static uint32_t new_section(struct seg_writer *w)
{
    if (w->nsections == w->sections_cap) {
        w->sections_cap = w->sections_cap ? w->sections_cap * 2 : 8;
        w->sections = realloc(w->sections, w->sections_cap * sizeof *w->sections);
        ASSERT(w->sections);
    }
    w->sections[w->nsections] = (struct seg_ids){ 0 };
    return ++w->nsections;
}

static void place_words(struct seg_writer *w, const struct seg_group *g)
{
    if (g->tokens_section) {
        w->section_from += w->off - MAX(w->group_end, w->section_from);
        seg_tokens_place(g, &w->places);
        return;
    }
    if (!w->making) w->making = new_section(w);
    seg_tokens_keep(&w->tokens, g->nrows, w->making, &w->places);
}

err_t seg_writer_group(struct seg_writer *w, const struct seg_group *g)
{
    if (g->meta.n > SEG_META_MAX)
        return err_set(ERR_TOO_LARGE, "the directory of a group has %zu bytes, at most %d", g->meta.n, SEG_META_MAX);
    if (w->ngroups == SEG_GROUPS_MAX) return err_set(ERR_TOO_LARGE, "a segment of more than %d groups", SEG_GROUPS_MAX);
    uint32_t first_row = w->ids.nrows;
    if (seg_ids_cover(g->signal) && !seg_ids_more_rows(&w->ids, g->nrows))
        return err_set(ERR_TOO_LARGE, "a segment of more than %u rows", UINT32_MAX);
    seg_group_put(g, &w->groups);
    TRY(buf_check(&w->groups));
    if (seg_tokens_cover(g->signal)) place_words(w, g);
    w->ngroups++;
    w->group_end = w->off;
    w->first_row = first_row;
    w->tmin_ns = MIN(w->tmin_ns, g->tmin_ns);
    w->tmax_ns = MAX(w->tmax_ns, g->tmax_ns);
    return OK;
}

uint32_t seg_writer_groups(const struct seg_writer *w) { return w->ngroups; }

void seg_writer_id(struct seg_writer *w, uint32_t row, struct str id)
{
    seg_ids_add(&w->ids, seg_ids_hash(id), (w->first_row + row) >> w->ids.rows_log2);
}

/* -- indexes: sorted and encoded off the reactor, some pages at a time -- */
struct ids_job {
    struct seg_ids_build *build;
    bool words;
    uint64_t bytes; /* of what they are of */
    struct seg_ids ids;
    uint32_t next; /* page */
    size_t at;     /* pair */
    struct buf pages;
};

static err_t sort_ids(void *arg)
{
    struct ids_job *j = arg;
    uint64_t off = j->ids.off;
    seg_ids_sort(j->build);
    if (j->words) seg_tokens_settle(j->build, j->bytes);
    seg_ids_describe(j->build, &j->ids);
    j->ids.off = off;
    return OK;
}

static err_t encode_pages(void *arg)
{
    struct ids_job *j = arg;
    uint32_t before = j->next ? j->ids.end[j->next - 1] : 0;
    for (; j->next < j->ids.npages && j->pages.n < WRITE_BYTES / 2; j->next++) {
        size_t from = j->pages.n;
        seg_ids_page(j->build, j->ids.npages, j->next, &j->at, &j->pages);
        TRY(buf_check(&j->pages));
        ASSERT(before <= UINT32_MAX - j->pages.n);
        j->ids.fold = seg_ids_fold(j->ids.fold, str_sub(buf_view(&j->pages), from, j->pages.n));
        j->ids.end[j->next] = before + (uint32_t)j->pages.n;
    }
    return OK;
}

static err_t work(err_t (*fn)(void *), void *arg) { return rt_in_fiber() ? rt_offload(fn, arg) : fn(arg); }

/* Writes the pages; their directory comes into *ids, whose `end` is the caller's to free. */
static err_t write_pages(struct seg_writer *w, struct seg_ids_build *build, bool words, struct seg_ids *ids)
{
    struct ids_job j = { .build = build, .words = words, .bytes = w->off - w->section_from, .ids.off = w->off };
    buf_init(&j.pages, INT32_MAX, NULL);
    err_t e;
    TRY_OUT(e, work(sort_ids, &j));
    j.ids.end = malloc(((size_t)j.ids.npages + 1) * sizeof *j.ids.end);
    ASSERT(j.ids.end);
    while (j.next < j.ids.npages) {
        TRY_OUT(e, work(encode_pages, &j));
        TRY_OUT(e, append(w, buf_view(&j.pages)));
        buf_clear(&j.pages);
    }
out:
    buf_deinit(&j.pages);
    *ids = j.ids;
    return e;
}

static err_t write_section(struct seg_writer *w)
{
    struct budget *budget = w->tokens.pairs.budget;
    w->tokens.pairs.n = w->tokens.kept; /* a table that was added and not written is none */
    err_t e = write_pages(w, &w->tokens.pairs, true, &w->sections[w->making - 1]);
    seg_ids_build_deinit(&w->tokens.pairs);
    seg_tokens_begin(&w->tokens, budget);
    w->section_from = w->off;
    w->making = 0;
    return e;
}

/* Pages [page, *to) of an index, some at once. */
static err_t copy_pages(struct seg_writer *w, struct seg *from, const struct seg_ids *ids, uint32_t page, uint32_t *to)
{
    uint32_t begin = page ? ids->end[page - 1] : 0, end = page + 1;
    while (end < ids->npages && ids->end[end] - begin <= WRITE_BYTES / 2)
        end++;
    *to = end;
    struct arena a;
    struct str bytes = { NULL, ids->end[end - 1] - begin };
    if (bytes.n == 0) return OK;
    arena_init_sized(&a, w->ids.budget, bytes.n + 64);
    char *p = arena_alloc(&a, bytes.n);
    bytes.p = p;
    err_t e;
    TRY_OUT(e, arena_check(&a));
    TRY_OUT(e, seg_read_raw(from, &(struct file_range){ .to = p, .n = bytes.n, .off = ids->off + begin }, 1));
    for (; page < end; page++) {
        uint32_t at = (page ? ids->end[page - 1] : 0) - begin;
        e = seg_ids_check(ids, str_sub(bytes, at, ids->end[page] - begin), page);
        if (e == ERR_CORRUPT) e = seg_wrong_checksum(from, ids->off + begin + at, ids->end[page] - begin - at);
        if (e != OK) goto out;
    }
    e = append(w, bytes);
out:
    arena_deinit(&a);
    return e;
}

err_t seg_writer_section(struct seg_writer *w, struct seg *from, uint32_t section, uint32_t *number)
{
    const struct seg_ids *ids = &seg_tokens(from)->v[section - 1].ids;
    uint64_t before = w->off;
    *number = new_section(w);
    struct seg_ids *to = &w->sections[*number - 1];
    *to = *ids;
    to->off = w->off;
    to->end = malloc(((size_t)ids->npages + 1) * sizeof *to->end);
    ASSERT(to->end);
    if (ids->npages) memcpy(to->end, ids->end, ids->npages * sizeof *to->end);
    for (uint32_t page = 0; page < ids->npages;)
        TRY(copy_pages(w, from, ids, page, &page));
    w->section_from += w->off - before;
    w->group_end = w->off;
    return OK;
}

struct tokens_job {
    struct seg_tokens_build *build;
    const struct table *t;
    bool *covered;
};

static err_t add_tokens(void *arg)
{
    const struct tokens_job *j = arg;
    seg_tokens_add(j->build, j->t, j->covered);
    return OK;
}

err_t seg_writer_tokens(struct seg_writer *w, const struct table *t, bool *covered)
{
    struct tokens_job j = { &w->tokens, t, covered };
    if (w->making && seg_tokens_full(&w->tokens)) TRY(write_section(w));
    return work(add_tokens, &j);
}

/* Writes the index of trace ids and what is left of words; their directories go to `out`. */
static err_t write_indexes(struct seg_writer *w, struct buf *out)
{
    struct seg_ids ids;
    if (w->making) TRY(write_section(w));
    err_t e = write_pages(w, &w->ids, false, &ids);
    if (e == OK) seg_ids_put(&ids, out);
    free(ids.end);
    buf_varint(out, w->nsections);
    for (uint32_t i = 0; i < w->nsections; i++)
        seg_ids_put(&w->sections[i], out);
    buf_str(out, buf_view(&w->places));
    return e == OK ? buf_check(out) : e;
}

/* Index, footer and trailer; the name that they give the file. */
static err_t write_tail(struct seg_writer *w, char name[40])
{
    struct buf raw, packed, trailer;
    buf_init(&raw, GROUPS_BYTES_MAX, NULL);
    buf_init(&packed, GROUPS_BYTES_MAX, NULL);
    buf_init(&trailer, SEG_TRAILER, NULL);
    buf_put(&raw, &w->salt, sizeof w->salt);
    buf_varint(&raw, w->ngroups);
    buf_str(&raw, buf_view(&w->groups));
    err_t e;
    TRY_OUT(e, write_indexes(w, &raw));
    hash128 h = hash128_of(buf_view(&raw));
    snprintf(name, 40, "%016" PRIx64 "%016" PRIx64 ".seg", h.hi, h.lo);
    /* A footer that does not shrink is stored raw: size == raw_size says so. */
    struct str footer = col_zstd_pack(buf_view(&raw), 1, &packed) ? buf_view(&packed) : buf_view(&raw);
    struct seg_trailer t = { .off = w->off, .size = (uint32_t)footer.n, .raw_size = (uint32_t)raw.n, .hash = hash64(footer) };
    seg_trailer_put(&t, &trailer);
    TRY_OUT(e, append(w, footer));
    TRY_OUT(e, append(w, buf_view(&trailer)));
    e = flush(w);
out:
    buf_deinit(&raw);
    buf_deinit(&packed);
    buf_deinit(&trailer);
    return e;
}

static void writer_free(struct seg_writer *w)
{
    buf_deinit(&w->out);
    buf_deinit(&w->groups);
    buf_deinit(&w->places);
    for (uint32_t i = 0; i < w->nsections; i++)
        free(w->sections[i].end);
    free(w->sections);
    seg_ids_build_deinit(&w->ids);
    seg_ids_build_deinit(&w->tokens.pairs);
    free(w->dir);
    free(w);
}

err_t seg_writer_finish(struct seg_writer *w, struct seg_info *info)
{
    err_t e;
    char *path = NULL;
    TRY_OUT(e, write_tail(w, info->name));
    path = path_of(w->dir, info->name);
    TRY_OUT(e, fs_publish(&w->f, path));
    info->bytes = w->off;
    info->tmin_ns = w->tmin_ns;
    info->tmax_ns = w->tmax_ns;
    file_close(&w->f);
    writer_free(w);
    w = NULL;
out:
    free(path);
    if (w) seg_writer_abandon(w);
    return e;
}

void seg_writer_abandon(struct seg_writer *w)
{
    if (w->f.fd >= 0) {
        /* Best effort: a file that the catalog does not name is deleted at the next start anyway. The detail of the
         * error that brought us here must survive. */
        struct err_record saved = *err_record();
        char *path = strdup(w->f.path);
        ASSERT(path);
        file_close(&w->f);
        err_t ignored = fs_unlink(path);
        (void)ignored;
        free(path);
        *err_record() = saved;
    }
    writer_free(w);
}

/* -- reading --------------------------------------------------------------------------------------------- */

struct seg {
    uint32_t refs;
    bool doomed;
    struct seg_info info;
    struct file f;
    struct seg_source *src; /* NULL: the bytes are in f */
    char *path;
    struct arena mem;
    uint64_t data_end; /* footer offset */
    uint32_t footer_size, footer_raw;
    struct seg_footer footer;
    struct seg_dead *dead;
    struct seg_usage *usage;
    int64_t charged; /* bytes of `mem` that the metric counts */
};

static err_t read_ranges(struct seg *s, const struct file_range *r, uint32_t n)
{
    return s->src ? s->src->read(s->src, r, n) : file_read_ranges(&s->f, r, n);
}
static err_t read_one(struct seg *s, void *to, size_t n, uint64_t off)
{
    return read_ranges(s, &(struct file_range){ .to = to, .n = n, .off = off }, 1);
}

/* Reads the stored footer; the tail read mostly holds it already. */
static err_t load_footer(struct seg *s, uint64_t size, struct str *raw)
{
    struct arena tmp;
    arena_init(&tmp, NULL);
    size_t tail = (size_t)MIN(size, TAIL_BYTES);
    uint8_t *p = arena_alloc(&tmp, tail);
    struct seg_trailer t;
    err_t e;
    TRY_OUT(e, read_one(s, p, tail, size - tail));
    TRY_OUT(e, seg_trailer_parse(p + tail - SEG_TRAILER, size, &t));
    const uint8_t *footer = p + tail - SEG_TRAILER - MIN(t.size, tail - SEG_TRAILER);
    if (t.size > tail - SEG_TRAILER) {
        uint8_t *q = arena_alloc(&tmp, t.size);
        TRY_OUT(e, read_one(s, q, t.size, t.off));
        footer = q;
    }
    struct str stored = str_n(footer, t.size);
    if (hash64(stored) != t.hash) {
        e = err_set(ERR_CORRUPT, "the checksum of the footer, %u bytes at %" PRIu64 ", is wrong", t.size, t.off);
        goto out;
    }
    s->data_end = t.off;
    s->footer_size = t.size;
    s->footer_raw = t.raw_size;
    char *to = arena_alloc(&s->mem, (size_t)t.raw_size + 1);
    if (t.size == t.raw_size)
        memcpy(to, footer, t.size);
    else
        TRY_OUT(e, col_zstd_unpack(stored, to, t.raw_size));
    *raw = (struct str){ to, t.raw_size };
out:
    arena_deinit(&tmp);
    return e;
}

static err_t check_index(const struct seg *s, const struct seg_ids *ids)
{
    if (ids->npages && (ids->off < SEG_HEADER || ids->off > s->data_end || ids->end[ids->npages - 1] > s->data_end - ids->off))
        return err_set(ERR_CORRUPT, "an index lies outside the segment");
    return OK;
}

static err_t open_and_parse(struct seg *s)
{
    uint64_t size = s->info.bytes;
    struct str raw;
    if (!s->src) {
        TRY(file_open(&s->f, s->path, FILE_READ));
        TRY(file_size(&s->f, &size));
    }
    if (size < SEG_HEADER + SEG_TRAILER || (s->info.bytes && size != s->info.bytes))
        return err_set(ERR_CORRUPT, "the file has %" PRIu64 " bytes, the catalog says %" PRIu64, size, s->info.bytes);
    TRY(load_footer(s, size, &raw));
    TRY(seg_footer_parse(raw, &s->mem, &s->footer));
    TRY(check_index(s, &s->footer.ids));
    s->charged = (int64_t)(raw.n + s->footer.ngroups * sizeof(struct seg_group) + s->footer.ids.npages * sizeof(uint32_t));
    for (uint32_t i = 0; i < s->footer.tokens.n; i++) {
        const struct seg_tokens_section *section = &s->footer.tokens.v[i];
        TRY(check_index(s, &section->ids));
        s->charged += (int64_t)(sizeof *section + section->ids.npages * sizeof(uint32_t));
    }
    metric_add(M_SEGMENT_DIRECTORY_BYTES, s->charged);
    return OK;
}

/* Names the file in front of a detail written below. */
static err_t in_file(err_t e, const char *path)
{
    if (e != ERR_CORRUPT) return e;
    char detail[ERR_DETAIL_MAX];
    snprintf(detail, sizeof detail, "%s", err_detail());
    return err_set(e, "%s: %s", path, detail);
}

static void seg_free(struct seg *s)
{
    metric_add(M_SEGMENT_DIRECTORY_BYTES, -s->charged);
    seg_dead_put(s->dead);
    seg_usage_free(s->usage);
    arena_deinit(&s->mem);
    free(s->path);
    free(s);
}

static void close_bytes(struct seg *s)
{
    file_close(&s->f);
    if (s->src) s->src->close(s->src, s->doomed);
}

static err_t open_as(char *path, const struct seg_info *info, struct seg_source *src, struct seg **out)
{
    struct seg *s = calloc(1, sizeof *s);
    ASSERT(s && memchr(info->name, 0, sizeof info->name));
    s->refs = 1;
    s->info = *info;
    s->f.fd = -1;
    s->src = src;
    s->path = path;
    arena_init_sized(&s->mem, NULL, ARENA_BLOCK_MIN);
    err_t e = open_and_parse(s);
    if (e == OK) {
        *out = s;
        return OK;
    }
    e = in_file(e, s->path);
    struct err_record saved = *err_record();
    close_bytes(s);
    *err_record() = saved;
    seg_free(s);
    return e;
}

err_t seg_open(const char *dir, const struct seg_info *info, struct seg **out)
{
    return open_as(path_of(dir, info->name), info, NULL, out);
}

err_t seg_open_from(const char *path, const struct seg_info *info, struct seg_source *src, struct seg **out)
{
    char *name = strdup(path);
    ASSERT(name);
    return open_as(name, info, src, out);
}

err_t seg_open_path(const char *path, struct seg **out)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("./");
    struct seg_info info = { 0 };
    ASSERT(dir);
    err_t e = OK;
    if (strlen(name) >= sizeof info.name) e = err_set(ERR_INVALID, "%s: a segment's name has less than %zu characters", path, sizeof info.name);
    if (e == OK) {
        memcpy(info.name, name, strlen(name));
        e = seg_open(dir, &info, out);
    }
    free(dir);
    if (e != OK) return e;
    struct seg *s = *out;
    s->info.bytes = s->data_end + s->footer_size + SEG_TRAILER;
    s->info.tmin_ns = INT64_MAX;
    s->info.tmax_ns = INT64_MIN;
    for (uint32_t i = 0; i < s->footer.ngroups; i++) {
        s->info.tmin_ns = MIN(s->info.tmin_ns, s->footer.groups[i].tmin_ns);
        s->info.tmax_ns = MAX(s->info.tmax_ns, s->footer.groups[i].tmax_ns);
    }
    return OK;
}

void seg_layout(const struct seg *s, struct seg_layout *out)
{
    *out = (struct seg_layout){ .bytes = s->data_end + s->footer_size + SEG_TRAILER, .footer_off = s->data_end, .footer_size = s->footer_size,
                                .footer_raw = s->footer_raw, .ids = &s->footer.ids, .tokens = &s->footer.tokens };
}

struct seg *seg_get(struct seg *s)
{
    ASSERT(s->refs > 0);
    s->refs++;
    return s;
}

void seg_put(struct seg *s)
{
    if (!s) return;
    ASSERT(s->refs > 0);
    if (--s->refs) return;
    close_bytes(s);
    if (s->doomed && !s->src) {
        err_t ignored = fs_unlink(s->path); /* one left behind is deleted at the next start */
        (void)ignored;
    }
    seg_free(s);
}

void seg_doom(struct seg *s) { s->doomed = true; }
uint64_t seg_tail(const struct seg *s) { return s->data_end; }
uint64_t seg_failed(const struct seg *s) { return s->src ? s->src->failed : 0; }
struct seg_dead *seg_dead_of(const struct seg *s) { return s->dead; }

void seg_dead_set(struct seg *s, struct seg_dead *d)
{
    struct seg_dead *old = s->dead;
    s->dead = d;
    seg_dead_put(old);
}

struct seg_usage *seg_usage_of(const struct seg *s) { return s->usage; }

void seg_usage_set(struct seg *s, struct seg_usage *u)
{
    seg_usage_free(s->usage);
    s->usage = u;
}

const struct seg_info *seg_info(const struct seg *s) { return &s->info; }
uint32_t seg_ngroups(const struct seg *s) { return s->footer.ngroups; }

const struct seg_group *seg_group(const struct seg *s, uint32_t i)
{
    ASSERT(i < s->footer.ngroups);
    return &s->footer.groups[i];
}

const struct seg_tokens *seg_tokens(const struct seg *s) { return &s->footer.tokens; }

void seg_will_read(struct seg *s, uint64_t from, uint64_t to)
{
    to = MIN(to, s->data_end);
    if (from >= to) return;
    uint64_t n = MIN(to - from, (uint64_t)SEG_AHEAD_MAX);
    if (s->src)
        s->src->will_read(s->src, from, n);
    else
        file_will_read(&s->f, from, n);
}

err_t seg_check_range(const struct seg *s, uint64_t off, uint64_t n)
{
    if (off >= SEG_HEADER && off <= s->data_end && n <= s->data_end - off && n <= SEG_CHUNK_MAX) return OK;
    return err_set(ERR_CORRUPT, "%s: %" PRIu64 " bytes at %" PRIu64 " lie outside the data", s->path, n, off);
}

err_t seg_read_raw(struct seg *s, const struct file_range *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        TRY(seg_check_range(s, r[i].off, r[i].n));
    return read_ranges(s, r, n);
}

bool seg_forget(struct seg *s, uint64_t off, uint64_t n)
{
    if (s->src) s->src->forget(s->src, off, n);
    return s->src != NULL;
}

/* -- suspects -- */
enum { SUSPECTS_MAX = 16 };
static pthread_mutex_t suspects_lock = PTHREAD_MUTEX_INITIALIZER;
static char suspects[SUSPECTS_MAX][40];
static _Atomic uint32_t nsuspects;

void seg_suspect_add(const char name[40])
{
    pthread_mutex_lock(&suspects_lock);
    uint32_t n = nsuspects, i = 0;
    while (i < n && memcmp(suspects[i], name, sizeof suspects[i]) != 0)
        i++;
    if (i == n && n < SUSPECTS_MAX) {
        memcpy(suspects[n], name, sizeof suspects[n]);
        nsuspects = n + 1;
    }
    pthread_mutex_unlock(&suspects_lock);
}

bool seg_suspect_take(char name[40])
{
    if (atomic_load_explicit(&nsuspects, memory_order_relaxed) == 0) return false;
    pthread_mutex_lock(&suspects_lock);
    bool some = nsuspects > 0;
    if (some) memcpy(name, suspects[--nsuspects], 40);
    pthread_mutex_unlock(&suspects_lock);
    return some;
}

void seg_suspect_forget(const char name[40])
{
    pthread_mutex_lock(&suspects_lock);
    for (uint32_t i = nsuspects; i-- > 0;) {
        if (memcmp(suspects[i], name, sizeof suspects[i]) != 0) continue;
        nsuspects = nsuspects - 1;
        memmove(suspects[i], suspects[nsuspects], sizeof suspects[i]);
    }
    pthread_mutex_unlock(&suspects_lock);
}

err_t seg_wrong_checksum(const struct seg *s, uint64_t off, uint64_t n)
{
    seg_suspect_add(s->info.name);
    return err_set(ERR_CORRUPT, "%s: the checksum of %" PRIu64 " bytes at %" PRIu64 " is wrong", s->path, n, off);
}

/* -- traces -- */
enum { FIND_AT_ONCE = 64 };

struct ids_found {
    struct arena *a;
    uint32_t *rows, n;
    size_t cap;
};

/* At most FIND_AT_ONCE of them: their pages are read together. */
static err_t find_some(struct seg *s, const uint8_t (*of)[16], uint32_t n, struct arena *tmp, struct ids_found *to)
{
    const struct seg_ids *ids = &s->footer.ids;
    struct file_range *r = ARENA_ARRAY(tmp, struct file_range, n);
    uint64_t *hash = ARENA_RAW(tmp, uint64_t, n);
    uint32_t nreads = 0, *rows, k;
    struct str *page = ARENA_ARRAY(tmp, struct str, n);
    TRY(arena_check(tmp));
    for (uint32_t i = 0; i < n; i++) {
        hash[i] = seg_ids_hash(str_n(of[i], 16));
        uint32_t number = seg_ids_page_of(ids, hash[i]), from = number ? ids->end[number - 1] : 0, size = ids->end[number] - from;
        if (size == 0) continue;
        char *p = arena_alloc(tmp, size);
        TRY(arena_check(tmp));
        page[i] = (struct str){ p, size };
        r[nreads++] = (struct file_range){ .to = p, .n = size, .off = ids->off + from };
    }
    if (nreads) TRY(read_ranges(s, r, nreads));
    for (uint32_t i = 0; s->src && i < nreads; i++)
        s->src->stay(s->src, r[i].off, r[i].n);
    for (uint32_t i = 0; i < n; i++) {
        TRY(in_file(seg_ids_find_rows(ids, page[i], hash[i], s->footer.nrows, tmp, &rows, &k), s->path));
        if (k == 0) continue;
        to->rows = arena_grow(to->a, to->rows, to->n, &to->cap, to->n + k, sizeof *rows);
        TRY(arena_check(to->a));
        memcpy(to->rows + to->n, rows, k * sizeof *rows);
        to->n += k;
    }
    return OK;
}

void seg_put_index(struct seg *s, struct seg *file)
{
    const struct seg_ids *ids = &s->footer.ids;
    if (s->src && !file->src && ids->npages) s->src->put(s->src, &file->f, ids->off, ids->end[ids->npages - 1]);
}

static int ascending(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

err_t seg_find_ids(struct seg *s, const uint8_t (*ids)[16], uint32_t n, struct arena *a, uint32_t **rows, uint32_t *nrows)
{
    struct ids_found found = { .a = a };
    struct arena tmp;
    err_t e = OK;
    arena_init(&tmp, a->budget);
    for (uint32_t i = 0; e == OK && i < n && s->footer.ids.npages; i += FIND_AT_ONCE) {
        e = find_some(s, ids + i, MIN(n - i, (uint32_t)FIND_AT_ONCE), &tmp, &found);
        arena_reset(&tmp);
    }
    arena_deinit(&tmp);
    TRY(e);
    if (n > 1 && found.n > 1) qsort(found.rows, found.n, sizeof *found.rows, ascending);
    *rows = found.rows;
    *nrows = 0;
    for (uint32_t i = 0; i < found.n; i++)
        if (i == 0 || found.rows[i] != found.rows[*nrows - 1]) found.rows[(*nrows)++] = found.rows[i];
    return OK;
}
