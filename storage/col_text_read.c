#include "base/core/assert.h"
#include "storage/col_text.h"
#include "storage/col_text_int.h"

struct reader {
    struct cur meta, data;
    struct arena *a;
    uint32_t n, raw; /* of the block */
    uint32_t left;   /* bytes of parts that it may still have */
    int depth;
};

static err_t decode(struct str block, uint32_t n, uint32_t raw, uint32_t base, int depth, struct budget *budget, uint32_t *ends, char *to);

static err_t get_field(struct reader *r, struct cur *out)
{
    uint64_t head;
    TRY(cur_varint(&r->meta, &head));
    struct cur *from = head & 1 ? &r->data : &r->meta;
    TRY(cur_take(from, (size_t)(head >> 1), &out->p));
    out->end = from->p;
    return OK;
}

static err_t at_end(const struct cur *c) { return c->p == c->end ? OK : err_set(ERR_CORRUPT, "bytes behind a column of text"); }

/* -- strings ---------------------------------------------------------------------------------------------------------- */

/* Takes the newlines out of `bytes`; the ends of what is between. */
static err_t split_lines(char *bytes, size_t size, uint32_t count, uint32_t *offset)
{
    size_t from = 0, to = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *end = memchr(bytes + from, '\n', size - from);
        if (!end) return err_set(ERR_CORRUPT, "%u lines where %u were declared", i, count);
        size_t n = (size_t)(end - (bytes + from));
        memmove(bytes + to, bytes + from, n);
        to += n;
        from += n + 1;
        offset[i + 1] = (uint32_t)to;
    }
    return from == size ? OK : err_set(ERR_CORRUPT, "more than %u lines", count);
}

static err_t get_lengths(struct reader *r, struct cur *c, uint32_t count, uint64_t size, uint32_t *offset)
{
    uint64_t *lengths = ARENA_RAW(r->a, uint64_t, count), total = 0;
    TRY(arena_check(r->a));
    TRY(col_seq_decode(c, count, lengths));
    for (uint32_t i = 0; i < count; i++) {
        if (lengths[i] > size - total) return err_set(ERR_CORRUPT, "strings of more than %llu bytes", (unsigned long long)size);
        total += lengths[i];
        offset[i + 1] = (uint32_t)total;
    }
    if (total != size) return err_set(ERR_CORRUPT, "strings of %llu bytes, not %llu", (unsigned long long)total, (unsigned long long)size);
    return at_end(c);
}

/* At most `max` bytes in all. */
static err_t get_strings(struct reader *r, uint32_t count, uint32_t max, struct dict *out)
{
    uint8_t kind;
    uint32_t size, *offset = ARENA_RAW(r->a, uint32_t, (size_t)count + 1);
    struct cur c, lengths = { 0 };
    TRY(arena_check(r->a));
    offset[0] = 0;
    TRY(cur_u8(&r->meta, &kind));
    if (kind > STRINGS_TEXT) return err_set(ERR_CORRUPT, "strings of kind %u", kind);
    bool plain = kind == STRINGS_PLAIN || kind == STRINGS_ZPLAIN;
    if (plain) TRY(get_field(r, &lengths));
    TRY(cur_count(&r->meta, (uint32_t)MIN((uint64_t)max + count, UINT32_MAX), &size));
    TRY(get_field(r, &c));
    char *bytes = arena_alloc_aligned(r->a, (size_t)size + 1, 1);
    TRY(arena_check(r->a));
    size_t n = (size_t)(c.end - c.p);
    if (kind == STRINGS_TEXT) {
        TRY(decode(str_n(c.p, n), count, size, 0, r->depth + 1, r->a->budget, offset + 1, bytes));
    } else if (kind == STRINGS_ZLINES || kind == STRINGS_ZPLAIN) {
        TRY(col_zstd_unpack(str_n(c.p, n), bytes, size));
    } else {
        if (n != size) return err_set(ERR_CORRUPT, "strings of %zu bytes, not %u", n, size);
        memcpy(bytes, c.p, n);
    }
    if (plain) TRY(get_lengths(r, &lengths, count, size, offset));
    if (kind == STRINGS_LINES || kind == STRINGS_ZLINES) TRY(split_lines(bytes, size, count, offset));
    if (offset[count] > max) return err_set(ERR_CORRUPT, "strings of %u bytes, at most %u", offset[count], max);
    *out = (struct dict){ .count = count, .offset = offset, .bytes = bytes };
    return OK;
}

/* -- columns ---------------------------------------------------------------------------------------------------------- */

static err_t get_numbers(struct reader *r, const struct text_plan *p, uint32_t class, bool codes, uint32_t limit, uint64_t *out)
{
    struct cur c;
    TRY(get_field(r, &c));
    TRY(text_numbers_decode(&c, p, class, codes, limit, r->a, out));
    return at_end(&c);
}

static err_t get_class(struct reader *r, struct text_plan *p, uint32_t k)
{
    struct text_class *c = &p->classes[k];
    if (slot_is_hex(c->type)) {
        uint32_t width = c->type == SLOT_UUID ? 16 : c->a / 2u;
        struct cur field;
        uint8_t *to = arena_alloc(r->a, (size_t)c->n * width + 1);
        TRY(arena_check(r->a));
        TRY(get_field(r, &field));
        TRY(col_fix_decode(&field, c->n, width, to));
        c->dict.bytes = (const char *)to;
        return at_end(&field);
    }
    uint64_t *values = ARENA_RAW(r->a, uint64_t, c->n);
    bool parts = !slot_is_number(c->type);
    TRY(arena_check(r->a));
    if (parts) {
        uint32_t count;
        TRY(cur_count(&r->meta, c->n, &count));
        TRY(get_strings(r, count, r->left, &c->dict));
        r->left -= c->dict.offset[count];
    }
    TRY(get_numbers(r, p, k, parts, c->dict.count, values));
    c->values = values;
    return OK;
}

/* -- text -------------------------------------------------------------------------------------------------------------- */

struct writer {
    const struct text_plan *p;
    uint32_t *at; /* of each class: the next value */
    char *to, *end;
};

static err_t no_room(void) { return err_set(ERR_CORRUPT, "strings longer than their block says"); }

static inline err_t write_part(struct writer *w, const char *p, size_t n)
{
    if (n > (size_t)(w->end - w->to)) return no_room();
    memcpy(w->to, p, n);
    w->to += n;
    return OK;
}

static uint32_t write_hex(const struct text_class *c, uint32_t i, char *to)
{
    uint32_t width = c->type == SLOT_UUID ? 16 : c->a / 2u;
    const uint8_t *p = (const uint8_t *)c->dict.bytes + (size_t)i * width;
    const char *digits = c->b ? "0123456789ABCDEF" : "0123456789abcdef";
    char *at = to;
    for (uint32_t k = 0; k < width; k++) {
        if (c->type == SLOT_UUID && (k == 4 || k == 6 || k == 8 || k == 10)) *at++ = '-';
        *at++ = digits[p[k] >> 4];
        *at++ = digits[p[k] & 15];
    }
    return (uint32_t)(at - to);
}

static inline err_t write_slot(struct writer *w, uint32_t class)
{
    const struct text_class *c = &w->p->classes[class];
    uint32_t i = w->at[class]++;
    if (c->type >= SLOT_WORD) {
        struct str s = dict_get(&c->dict, (uint32_t)c->values[i]);
        return write_part(w, s.p, s.n);
    }
    char tmp[TEXT_NUMBER_MAX];
    bool room = (size_t)(w->end - w->to) >= TEXT_NUMBER_MAX;
    char *to = room ? w->to : tmp;
    uint32_t n = slot_is_hex(c->type) ? write_hex(c, i, to) : slot_write(c->type, c->a, c->b, c->values[i], to);
    if (!room) return write_part(w, tmp, n);
    w->to += n;
    return OK;
}

static err_t write_all(const struct text_plan *p, const uint64_t *template, uint32_t n, uint32_t raw, uint32_t base, struct arena *a,
                       uint32_t *ends, char *to)
{
    struct writer w = { .p = p, .at = ARENA_ARRAY(a, uint32_t, (size_t)p->nclasses + 1), .to = to, .end = to + raw };
    TRY(arena_check(a));
    for (uint32_t i = 0; i < n; i++) {
        const struct text_op *op = &p->ops[p->first_op[template[i]]];
        for (;; op++) {
            TRY(write_part(&w, p->text + op->text_at, op->text_len));
            if (op->type == 0) break;
            TRY(write_slot(&w, op->class));
        }
        ends[i] = base + (uint32_t)(w.to - to);
    }
    return w.to == w.end ? OK : err_set(ERR_CORRUPT, "strings shorter than their block says");
}

/* -- blocks ------------------------------------------------------------------------------------------------------------- */

static err_t open_block(struct reader *r, struct str block)
{
    struct cur c = cur_of(block);
    uint64_t head, size;
    const uint8_t *p;
    TRY(cur_varint(&c, &head));
    size = head >> 1;
    if (head & 1) {
        uint64_t packed;
        TRY(cur_varint(&c, &packed));
        TRY(cur_take(&c, (size_t)packed, &p));
        /* Patterns and small columns: never many times the text. */
        if (size > TEXT_META_MAX((uint64_t)r->raw)) return err_set(ERR_CORRUPT, "a directory of %llu bytes", (unsigned long long)size);
        char *to = arena_alloc_aligned(r->a, (size_t)size + 1, 1);
        TRY(arena_check(r->a));
        TRY(col_zstd_unpack(str_n(p, (size_t)packed), to, (size_t)size));
        r->meta = cur_of(str_n(to, (size_t)size));
    } else {
        TRY(cur_take(&c, (size_t)size, &p));
        r->meta = (struct cur){ p, c.p };
    }
    r->data = c;
    return OK;
}

static err_t open_plan(struct reader *r, struct text_plan *p, uint64_t **template)
{
    uint32_t count;
    struct dict patterns;
    TRY(cur_count(&r->meta, r->n, &count));
    TRY(get_strings(r, count, MIN(r->raw, UINT32_MAX / 16) * 4 + (64 << 10), &patterns));
    TRY(text_plan_make((struct str){ patterns.bytes, patterns.offset[count] }, patterns.offset + 1, count, r->a, p));
    *template = ARENA_RAW(r->a, uint64_t, (size_t)r->n + 1);
    TRY(arena_check(r->a));
    p->template = *template;
    p->n = r->n;
    TRY(get_numbers(r, p, TEXT_CLASS_TEMPLATE, true, count, *template));
    /* Every slot has at least a byte of text. */
    return text_plan_rows(p, *template, r->n, r->raw, r->a);
}

static err_t decode(struct str block, uint32_t n, uint32_t raw, uint32_t base, int depth, struct budget *budget, uint32_t *ends, char *to)
{
    struct arena a;
    struct text_plan p;
    uint64_t *template;
    if (depth >= TEXT_DEPTH_MAX) return err_set(ERR_CORRUPT, "text in text, %d deep", depth);
    arena_init_sized(&a, budget, 1 << 18);
    struct reader r = { .a = &a, .n = n, .raw = raw, .left = raw, .depth = depth };
    err_t e;
    TRY_OUT(e, open_block(&r, block));
    TRY_OUT(e, open_plan(&r, &p, &template));
    for (uint32_t k = 0; k < p.nclasses; k++)
        TRY_OUT(e, get_class(&r, &p, k));
    if (r.meta.p != r.meta.end || r.data.p != r.data.end) TRY_OUT(e, err_set(ERR_CORRUPT, "bytes behind a block of text"));
    e = write_all(&p, template, n, raw, base, &a, ends, to);
out:
    arena_deinit(&a);
    return e;
}

err_t col_text_decode(struct str block, uint32_t n, uint32_t raw, uint32_t base, struct budget *budget, uint32_t *ends, char *to)
{
    return decode(block, n, raw, base, 0, budget, ends, to);
}
