#include "storage/col_text.h"

#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_text_int.h"
#include "storage/table_grow.h"

#include <stdlib.h>

enum { FIELD_IN_META = 64, LEVEL_STRINGS = 3, LEVEL_META = 6, NEST_BYTES_MIN = 1024, NEST_STRINGS_MIN = 16, STRING_TEMPLATE_MIN = 4, SAMPLE_BYTES = 32 << 10 };
#define SAMPLE_SLACK 0.9 /* zstd gains with length: templates have to be that much better than its part says */

struct maker {
    struct arena *a;
    struct buf meta, data;
    int depth;
};

static bool encode(const char *bytes, const uint32_t *offset, uint32_t n, int depth, struct buf *out);

static void put_field(struct maker *x, const struct buf *field)
{
    bool in_data = field->n >= FIELD_IN_META;
    buf_varint(&x->meta, (uint64_t)field->n << 1 | in_data);
    buf_str(in_data ? &x->data : &x->meta, buf_view(field));
}

/* -- strings ---------------------------------------------------------------------------------------------------------- */

/* The strings one after another, each with a newline when none has one of its own; whether. */
static bool join_lines(const struct dict *d, struct buf *out)
{
    uint32_t total = d->offset[d->count];
    bool lines = !memchr(d->bytes, '\n', total);
    char *to = buf_reserve(out, (size_t)total + d->count);
    ASSERT(to);
    for (uint32_t i = 0; i < d->count; i++) {
        struct str s = dict_get(d, i);
        memcpy(to, s.p, s.n);
        to += s.n;
        if (lines) *to++ = '\n';
    }
    out->n = (size_t)(to - out->p);
    return lines;
}

/* Of many strings a part says what zstd would make of them all: 0 when they are not that many. */
static size_t zstd_of_sample(struct str raw)
{
    struct buf packed;
    if (raw.n < 4 * SAMPLE_BYTES) return 0;
    buf_init(&packed, (size_t)COL_DICT_BYTES_MAX, NULL);
    size_t at = (raw.n - SAMPLE_BYTES) / 2;
    size_t n = col_zstd_pack(str_sub(raw, at, at + SAMPLE_BYTES), LEVEL_STRINGS, &packed) ? packed.n : SAMPLE_BYTES;
    buf_deinit(&packed);
    return (size_t)((double)n * (double)raw.n / SAMPLE_BYTES * SAMPLE_SLACK);
}

static bool put_nested(struct maker *x, const struct dict *d, size_t below)
{
    struct buf b;
    if (x->depth + 1 >= TEXT_DEPTH_MAX || d->count < NEST_STRINGS_MIN || d->offset[d->count] < NEST_BYTES_MIN) return false;
    buf_init(&b, COL_DICT_BYTES_MAX, NULL);
    bool better = encode(d->bytes, d->offset, d->count, x->depth + 1, &b) && b.n < below;
    if (better) {
        buf_byte(&x->meta, STRINGS_TEXT);
        buf_varint(&x->meta, d->offset[d->count]);
        put_field(x, &b);
    }
    buf_deinit(&b);
    return better;
}

static void put_lengths(struct maker *x, const struct dict *d)
{
    struct buf b;
    uint64_t *lengths = malloc(((size_t)d->count + 1) * sizeof *lengths);
    ASSERT(lengths);
    buf_init(&b, (size_t)d->count * 16 + 1024, NULL);
    for (uint32_t i = 0; i < d->count; i++)
        lengths[i] = d->offset[i + 1] - d->offset[i];
    col_seq_encode(lengths, d->count, &b);
    put_field(x, &b);
    buf_deinit(&b);
    free(lengths);
}

static void put_strings(struct maker *x, const struct dict *d, bool nest)
{
    struct buf raw, packed;
    buf_init(&raw, (size_t)COL_DICT_BYTES_MAX, NULL);
    buf_init(&packed, (size_t)COL_DICT_BYTES_MAX, NULL);
    bool lines = join_lines(d, &raw);
    bool small = raw.n < 2 * FIELD_IN_META; /* packed with the rest of meta */
    size_t sample = nest ? zstd_of_sample(buf_view(&raw)) : 0;
    bool nested = sample && put_nested(x, d, sample), zstd = !small && !nested && col_zstd_pack(buf_view(&raw), LEVEL_STRINGS, &packed);
    if (!nested && (small || !nest || sample || !put_nested(x, d, zstd ? packed.n : raw.n))) {
        buf_byte(&x->meta, (uint8_t)((lines ? STRINGS_LINES : STRINGS_PLAIN) + zstd));
        if (!lines) put_lengths(x, d);
        buf_varint(&x->meta, raw.n);
        if (small) {
            buf_varint(&x->meta, raw.n << 1);
            buf_str(&x->meta, buf_view(&raw));
        } else {
            put_field(x, zstd ? &packed : &raw);
        }
    }
    buf_deinit(&raw);
    buf_deinit(&packed);
}

/* -- columns ---------------------------------------------------------------------------------------------------------- */

static inline bool part_is(const struct buf *bytes, const uint32_t *offset, uint32_t k, struct str s)
{
    return offset[k + 1] - offset[k] == s.n && grow_equal(bytes->p + offset[k], s.p, s.n);
}

/* Numbers the n parts in order of first appearance. */
static void number_parts(struct maker *x, const struct text_mined *m, const char *text, const uint64_t *parts, struct text_class *c)
{
    struct htab index;
    uint32_t *offset = NULL, last = 0;
    size_t cap = 0;
    struct buf bytes;
    htab_init(&index, NULL);
    buf_init(&bytes, COL_DICT_BYTES_MAX, NULL);
    c->values = ARENA_RAW(x->a, uint64_t, c->n);
    offset = arena_grow(x->a, offset, 0, &cap, 1, sizeof *offset);
    offset[0] = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        bool word = parts[i] & PART_WORD;
        struct str s = { (word ? m->words : text) + part_at(parts[i]), part_len(parts[i] & ~PART_WORD) };
        if (c->dict.count && part_is(&bytes, offset, last, s)) { /* as the one before */
            c->values[i] = last;
            continue;
        }
        uint64_t hash = hash64(s);
        uint32_t code = UINT32_MAX;
        for (uint32_t it = 0, k; code == UINT32_MAX && htab_next(&index, hash, &it, &k);)
            if (part_is(&bytes, offset, k, s)) code = k;
        if (code == UINT32_MAX) {
            code = c->dict.count++;
            buf_str(&bytes, s);
            offset = arena_grow(x->a, offset, (size_t)code + 1, &cap, (size_t)code + 2, sizeof *offset);
            offset[code + 1] = (uint32_t)bytes.n;
            htab_insert(&index, hash, code);
        }
        c->values[i] = last = code;
    }
    c->dict.offset = offset;
    c->dict.bytes = arena_dup(x->a, bytes.p, bytes.n);
    buf_deinit(&bytes);
    htab_deinit(&index);
}

/* Eight digits at once, four bytes; false when there is a '-' among them. */
static inline bool hex_eight(const char *p, uint8_t *to)
{
    uint64_t v;
    memcpy(&v, p, 8);
    const uint64_t ones = UINT64_C(0x1010101010101010); /* bit 4 is of numerals, bit 6 of letters; '-' has neither */
    if (((v | v >> 2) & ones) != ones) return false;
    v = (v & UINT64_C(0x0f0f0f0f0f0f0f0f)) + 9 * (v >> 6 & UINT64_C(0x0101010101010101));
    v = v << 4 | v >> 8; /* the even bytes are pairs of digits now */
    for (unsigned k = 0; k < 4; k++)
        to[k] = (uint8_t)(v >> 16 * k);
    return true;
}

static void put_hex(struct maker *x, const char *text, const uint64_t *parts, const struct text_class *c)
{
    uint32_t width = c->type == SLOT_UUID ? 16 : c->a / 2u;
    uint8_t *to = malloc((size_t)c->n * width + 1), *at = to;
    struct buf b;
    ASSERT(to);
    buf_init(&b, COL_DICT_BYTES_MAX, NULL);
    for (uint32_t i = 0; i < c->n; i++) {
        const char *p = text + part_at(parts[i]), *end = p + part_len(parts[i]);
        for (; p < end; p += 2) {
            for (; end - p >= 8 && hex_eight(p, at); p += 8)
                at += 4;
            if (p == end) break;
            if (*p == '-') p++;
            *at++ = (uint8_t)(hex_value(p[0]) << 4 | hex_value(p[1]));
        }
    }
    ASSERT(at == to + (size_t)c->n * width);
    col_fix_encode(to, c->n, width, COL_SEAL, &b, NULL);
    put_field(x, &b);
    buf_deinit(&b);
    free(to);
}

static void put_numbers(struct maker *x, const struct text_plan *p, uint32_t class, bool codes)
{
    struct buf b;
    buf_init(&b, COL_DICT_BYTES_MAX, NULL);
    text_numbers_encode(p, class, codes, &b);
    put_field(x, &b);
    buf_deinit(&b);
}

/* The slots of all strings, in columns: from the order of the strings to that of the classes. */
static uint64_t **gather(struct maker *x, const struct text_plan *p, const struct text_mined *m)
{
    uint64_t **column = ARENA_RAW(x->a, uint64_t *, (size_t)p->nclasses + 1), **at = ARENA_RAW(x->a, uint64_t *, (size_t)p->nclasses + 1);
    for (uint32_t k = 0; k < p->nclasses; k++)
        column[k] = at[k] = ARENA_RAW(x->a, uint64_t, p->classes[k].n);
    const uint64_t *slot = m->slots;
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = p->first_op[m->template[i]]; k + 1 < p->first_op[m->template[i] + 1]; k++)
            *at[p->ops[k].class]++ = *slot++;
    ASSERT(slot == m->slots + m->nslots);
    return column;
}

static void put_columns(struct maker *x, struct text_plan *p, const struct text_mined *m, const char *text)
{
    uint64_t **column = gather(x, p, m);
    p->template = m->template;
    put_numbers(x, p, TEXT_CLASS_TEMPLATE, true);
    for (uint32_t k = 0; k < p->nclasses; k++) {
        struct text_class *c = &p->classes[k];
        if (slot_is_number(c->type)) {
            c->values = column[k];
            c->constant = c->n == 0 || memcmp(c->values, c->values + 1, (size_t)(c->n - 1) * sizeof *c->values) == 0;
            put_numbers(x, p, k, false);
        } else if (slot_is_hex(c->type)) {
            put_hex(x, text, column[k], c);
        } else {
            number_parts(x, m, text, column[k], c);
            c->constant = c->dict.count <= 1;
            buf_varint(&x->meta, c->dict.count);
            put_strings(x, &c->dict, c->type != SLOT_REST);
            put_numbers(x, p, k, true);
        }
    }
}

static void put_block(struct maker *x, struct buf *out)
{
    struct buf packed;
    buf_init(&packed, COL_DICT_BYTES_MAX, NULL);
    bool zstd = col_zstd_pack(buf_view(&x->meta), LEVEL_META, &packed);
    buf_varint(out, (uint64_t)x->meta.n << 1 | zstd);
    if (zstd) buf_varint(out, packed.n);
    buf_str(out, zstd ? buf_view(&packed) : buf_view(&x->meta));
    buf_str(out, buf_view(&x->data));
    buf_deinit(&packed);
}

/* Templates are of use when most bytes are in strings that have one, and those are not too many. */
static bool worth_it(const struct text_mined *m, uint32_t n, uint32_t total)
{
    return m->rest_bytes <= (uint64_t)total * 3 / 4 && m->ntemplates <= n / STRING_TEMPLATE_MIN + 1;
}

static bool encode(const char *bytes, const uint32_t *offset, uint32_t n, int depth, struct buf *out)
{
    struct arena a;
    struct text_mined m;
    struct text_plan p;
    arena_init_sized(&a, NULL, 1 << 20);
    struct maker x = { .a = &a, .depth = depth };
    buf_init(&x.meta, COL_DICT_BYTES_MAX, NULL);
    buf_init(&x.data, COL_DICT_BYTES_MAX, NULL);
    text_mine(bytes, offset, n, depth + 1 < TEXT_DEPTH_MAX, depth == 0, &a, &m);
    bool ok = worth_it(&m, n, offset[n] - offset[0]);
    if (ok) ok = text_plan_make(buf_view(&m.patterns), m.ends, m.ntemplates, &a, &p) == OK;
    if (ok) ok = text_plan_rows(&p, m.template, n, m.nslots, &a) == OK;
    if (ok) {
        uint32_t *ends = ARENA_RAW(&a, uint32_t, (size_t)m.ntemplates + 1);
        ends[0] = 0;
        memcpy(ends + 1, m.ends, m.ntemplates * sizeof *ends);
        struct dict patterns = { m.ntemplates, ends, m.patterns.p };
        buf_varint(&x.meta, m.ntemplates);
        put_strings(&x, &patterns, false);
        put_columns(&x, &p, &m, bytes);
        ok = !x.meta.failed && !x.data.failed && x.meta.n <= TEXT_META_MAX((uint64_t)(offset[n] - offset[0]));
        if (ok) put_block(&x, out);
    }
    buf_deinit(&m.patterns);
    buf_deinit(&x.meta);
    buf_deinit(&x.data);
    arena_deinit(&a);
    return ok;
}

bool col_text_encode(const char *bytes, const uint32_t *offset, uint32_t n, struct buf *out)
{
    size_t mark = out->n;
    bool ok = n > 0 && offset[n] > offset[0] && encode(bytes, offset, n, 0, out) && !out->failed;
    if (!ok) out->n = mark;
    return ok;
}
