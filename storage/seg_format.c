#include "storage/seg_format.h"

#include "storage/col_codec.h"

static void put_u32(struct buf *b, uint32_t v) { buf_put(b, &v, sizeof v); }
static void put_u64(struct buf *b, uint64_t v) { buf_put(b, &v, sizeof v); }

static uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

void seg_header_put(struct buf *b)
{
    buf_z(b, SEG_MAGIC);
    put_u32(b, SEG_VERSION);
    put_u32(b, 0);
}

void seg_trailer_put(const struct seg_trailer *t, struct buf *b)
{
    put_u64(b, t->off);
    put_u32(b, t->size);
    put_u32(b, t->raw_size);
    put_u64(b, t->hash);
    put_u32(b, SEG_VERSION);
    put_u32(b, 0);
    buf_z(b, SEG_MAGIC);
}

err_t seg_trailer_parse(const uint8_t *p, uint64_t file_size, struct seg_trailer *t)
{
    if (memcmp(p + 32, SEG_MAGIC, 8) != 0) return err_set(ERR_CORRUPT, "no segment, or cut short: the last 8 of its %llu bytes are no magic", (unsigned long long)file_size);
    uint32_t version = get_u32(p + 24);
    if (version != SEG_VERSION) return err_set(ERR_CORRUPT, "segment version %u, this program reads %d: another release wrote it", version, SEG_VERSION);
    *t = (struct seg_trailer){ .off = get_u64(p), .size = get_u32(p + 8), .raw_size = get_u32(p + 12), .hash = get_u64(p + 16) };
    if (file_size < SEG_HEADER + SEG_TRAILER || t->off < SEG_HEADER || t->off > file_size - SEG_TRAILER ||
        t->size != file_size - SEG_TRAILER - t->off)
        return err_set(ERR_CORRUPT, "the footer lies outside the segment");
    if (t->raw_size > SEG_FOOTER_RAW_MAX) return err_set(ERR_CORRUPT, "a footer of %u bytes", t->raw_size);
    return OK;
}

void seg_group_put(const struct seg_group *g, struct buf *b)
{
    buf_byte(b, (uint8_t)g->signal);
    buf_lstr(b, g->tenant);
    buf_lstr(b, g->index);
    buf_varint(b, g->nrows);
    buf_varint(b, zigzag(g->tmin_ns));
    buf_varint(b, zigzag(g->tmax_ns));
    buf_lstr(b, g->meta);
}

static err_t parse_group(struct cur *c, struct seg_group *g)
{
    uint8_t signal;
    uint64_t tmin, tmax;
    TRY(cur_u8(c, &signal));
    if (signal < SIG_METRICS || signal > SIG_EXEMPLARS) return err_set(ERR_CORRUPT, "a group of signal %u", signal);
    TRY(cur_str(c, TENANT_MAX, &g->tenant));
    TRY(cur_str(c, 4096, &g->index));
    TRY(cur_count(c, UINT32_MAX, &g->nrows));
    TRY(cur_varint(c, &tmin));
    TRY(cur_varint(c, &tmax));
    TRY(cur_str(c, SEG_META_MAX, &g->meta));
    g->signal = signal;
    g->tmin_ns = unzigzag(tmin);
    g->tmax_ns = unzigzag(tmax);
    return OK;
}

/* Numbers the rows of the groups that the index of ids covers. */
static err_t number_rows(struct seg_footer *f)
{
    for (uint32_t i = 0; i < f->ngroups; i++) {
        f->groups[i].first_row = f->nrows;
        if (!seg_ids_cover(f->groups[i].signal)) continue;
        if (f->groups[i].nrows > UINT32_MAX - f->nrows) return err_set(ERR_CORRUPT, "a segment of more than %u rows", UINT32_MAX);
        f->nrows += f->groups[i].nrows;
    }
    if (f->ids.npages && (!f->ids.rows || f->nrows == 0 || f->ids.nblocks != ((f->nrows - 1) >> f->ids.rows_log2) + 1))
        return err_set(ERR_CORRUPT, "an index of ids for %u numbers where there are %u rows", f->ids.nblocks, f->nrows);
    return OK;
}

err_t seg_footer_parse(struct str raw, struct arena *a, struct seg_footer *out)
{
    struct cur c = cur_of(raw);
    const uint8_t *salt;
    *out = (struct seg_footer){ 0 };
    TRY(cur_take(&c, 8, &salt));
    TRY(cur_count(&c, SEG_GROUPS_MAX, &out->ngroups));
    if (out->ngroups > raw.n / 8) return err_set(ERR_CORRUPT, "%u groups in %zu bytes", out->ngroups, raw.n);
    out->groups = ARENA_ARRAY(a, struct seg_group, out->ngroups);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < out->ngroups; i++)
        TRY(parse_group(&c, &out->groups[i]));
    TRY(seg_ids_parse(&c, a, &out->ids));
    TRY(seg_tokens_parse(&c, out->groups, out->ngroups, a, &out->tokens));
    if (c.p != c.end) return err_set(ERR_CORRUPT, "bytes behind the directory of a footer");
    return number_rows(out);
}

void seg_chunk_put(const struct seg_chunk *c, struct buf *b)
{
    put_u64(b, c->off);
    put_u32(b, c->size);
    put_u32(b, c->raw_size);
    put_u64(b, c->hash);
}

struct seg_chunk seg_chunk_get(const uint8_t *p)
{
    return (struct seg_chunk){ .off = get_u64(p), .size = get_u32(p + 8), .raw_size = get_u32(p + 12), .hash = get_u64(p + 16) };
}
