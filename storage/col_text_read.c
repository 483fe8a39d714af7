#include "base/core/assert.h"
#include "storage/col_text.h"
#include "storage/col_text_int.h"

static err_t decode(struct str block, uint32_t n, uint32_t raw, uint32_t base, int depth, struct budget *budget, uint32_t *ends, char *to);

static err_t get_field(struct text_reader *r, struct cur *out)
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

static err_t get_lengths(struct text_reader *r, struct cur *c, uint32_t count, uint64_t size, uint32_t *offset)
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

/* Strings of at most max bytes in all. */
static err_t find_strings(struct text_reader *r, uint32_t count, uint32_t max, struct text_parts *out)
{
    out->count = count;
    TRY(cur_u8(&r->meta, &out->kind));
    if (out->kind > STRINGS_TEXT) return err_set(ERR_CORRUPT, "strings of kind %u", out->kind);
    if (out->kind == STRINGS_PLAIN || out->kind == STRINGS_ZPLAIN) TRY(get_field(r, &out->lengths));
    TRY(cur_count(&r->meta, (uint32_t)MIN((uint64_t)max + count, UINT32_MAX), &out->size));
    return get_field(r, &out->bytes);
}

/* The bytes of strings that are no block, to where there is room for size and TEXT_SLACK. */
static err_t unpack(const struct text_parts *p, char *to)
{
    struct str bytes = str_n(p->bytes.p, (size_t)(p->bytes.end - p->bytes.p));
    if (p->kind == STRINGS_ZLINES || p->kind == STRINGS_ZPLAIN) return col_zstd_unpack(bytes, to, p->size);
    if (bytes.n != p->size) return err_set(ERR_CORRUPT, "strings of %zu bytes, not %u", bytes.n, p->size);
    memcpy(to, bytes.p, bytes.n);
    return OK;
}

err_t text_unpack(struct text_reader *r, const struct text_parts *p, struct str *out)
{
    char *bytes = arena_alloc_aligned(r->a, (size_t)p->size + TEXT_SLACK, 1);
    TRY(arena_check(r->a));
    ASSERT(p->kind != STRINGS_TEXT);
    *out = (struct str){ bytes, p->size };
    return unpack(p, bytes);
}

err_t text_starts(struct text_reader *r, const struct text_parts *p, struct str bytes, uint32_t **out)
{
    uint32_t *start = *out = ARENA_RAW(r->a, uint32_t, (size_t)p->count + 1), at = 0;
    struct cur lengths = p->lengths;
    TRY(arena_check(r->a));
    start[0] = 0;
    if (!text_has_lines(p)) return get_lengths(r, &lengths, p->count, bytes.n, start);
    for (uint32_t i = 0; i < p->count; i++) {
        const char *end = memchr(bytes.p + at, '\n', bytes.n - at);
        if (!end) return err_set(ERR_CORRUPT, "%u lines where %u were declared", i, p->count);
        start[i + 1] = at = (uint32_t)(end - bytes.p) + 1;
    }
    return at == bytes.n ? OK : err_set(ERR_CORRUPT, "more than %u lines", p->count);
}

static err_t decode_strings(struct text_reader *r, struct text_parts *p, uint32_t max, struct dict *out)
{
    uint32_t *offset = ARENA_RAW(r->a, uint32_t, (size_t)p->count + 1), size = p->size;
    char *bytes = arena_alloc_aligned(r->a, (size_t)size + TEXT_SLACK, 1);
    TRY(arena_check(r->a));
    offset[0] = 0;
    if (p->kind == STRINGS_TEXT)
        TRY(decode(str_n(p->bytes.p, (size_t)(p->bytes.end - p->bytes.p)), p->count, size, 0, r->depth + 1, r->a->budget, offset + 1, bytes));
    else
        TRY(unpack(p, bytes));
    if (p->kind == STRINGS_PLAIN || p->kind == STRINGS_ZPLAIN) TRY(get_lengths(r, &p->lengths, p->count, size, offset));
    if (text_has_lines(p)) TRY(split_lines(bytes, size, p->count, offset));
    if (offset[p->count] > max) return err_set(ERR_CORRUPT, "strings of %u bytes, at most %u", offset[p->count], max);
    *out = (struct dict){ .count = p->count, .offset = offset, .bytes = bytes };
    return OK;
}

/* -- columns ---------------------------------------------------------------------------------------------------------- */

static err_t find_parts(struct text_reader *r, const struct text_class *c, struct text_parts *out)
{
    *out = (struct text_parts){ .is_text = c->type >= SLOT_WORD };
    if (out->is_text) {
        TRY(cur_count(&r->meta, r->raw, &out->count)); /* of the values, each of which has a byte at least */
        TRY(find_strings(r, out->count, r->raw, out));
    }
    return get_field(r, &out->numbers);
}

static bool has_values(const struct text_class *c) { return slot_is_hex(c->type) ? c->dict.bytes != NULL : c->values != NULL; }

static err_t decode_values(struct text_reader *r, uint32_t k)
{
    struct text_class *c = &r->plan.classes[k];
    struct text_parts *at = &r->at[k];
    if (slot_is_hex(c->type)) {
        uint32_t width = c->type == SLOT_UUID ? 16 : c->a / 2u;
        uint8_t *to = arena_alloc(r->a, (size_t)c->n * width + 1);
        TRY(arena_check(r->a));
        TRY(col_fix_decode(&at->numbers, c->n, width, to));
        c->dict.bytes = (const char *)to;
        return at_end(&at->numbers);
    }
    uint64_t *values = ARENA_RAW(r->a, uint64_t, (size_t)c->n + 1);
    TRY(arena_check(r->a));
    TRY(text_numbers_decode(&at->numbers, &r->plan, k, at->is_text, at->count, r->a, values));
    c->values = values;
    return at_end(&at->numbers);
}

err_t text_need_values(struct text_reader *r, uint32_t k)
{
    const struct text_class *classes = r->plan.classes;
    uint32_t *chain = r->chain, n = 0;
    for (uint32_t next = k; next != TEXT_CLASS_TEMPLATE && !has_values(&classes[next]);) {
        chain[n++] = next;
        uint32_t of = TEXT_CLASS_TEMPLATE;
        bool rows = false;
        if (!slot_is_hex(classes[next].type)) TRY(text_numbers_needs(r->at[next].numbers, &r->plan, &of, &rows));
        if (rows) TRY(text_need_rows(r, next));
        if (rows && of != TEXT_CLASS_TEMPLATE) TRY(text_need_rows(r, of));
        if (of != TEXT_CLASS_TEMPLATE && of >= next) return err_set(ERR_CORRUPT, "a column of text that leans on a later one");
        next = of;
    }
    while (n > 0)
        TRY(decode_values(r, chain[--n]));
    return OK;
}

err_t text_need_rows(struct text_reader *r, uint32_t k) { return text_plan_rows_of(&r->plan, k, r->a); }

/* All that is needed to write values of class k. */
static err_t need_class(struct text_reader *r, uint32_t k)
{
    struct text_class *c = &r->plan.classes[k];
    TRY(text_need_values(r, k));
    if (!r->at[k].is_text || c->dict.offset) return OK;
    TRY(decode_strings(r, &r->at[k], r->left, &c->dict));
    r->left -= c->dict.offset[c->dict.count];
    return OK;
}

/* -- text -------------------------------------------------------------------------------------------------------------- */

static err_t no_room(void) { return err_set(ERR_CORRUPT, "strings longer than their block says"); }

static inline err_t write_part(struct text_writer *w, const char *p, size_t n)
{
    if ((size_t)(w->end - w->to) >= n + TEXT_SLACK) {
        copy_short(w->to, p, n);
    } else {
        if (n > (size_t)(w->end - w->to)) return no_room();
        memcpy(w->to, p, n);
    }
    w->to += n;
    return OK;
}

uint32_t text_write_hex(const struct text_class *c, uint32_t i, char *to)
{
    uint32_t width = c->type == SLOT_UUID ? 16 : c->a / 2u;
    const uint8_t *p = (const uint8_t *)c->dict.bytes + (size_t)i * width;
    const char *digits = c->b ? "0123456789ABCDEF" : "0123456789abcdef";
    char *at = to;
    for (uint32_t k = 0; k < width; k++, at += 2) {
        if (c->type == SLOT_UUID && (k == 4 || k == 6 || k == 8 || k == 10)) *at++ = '-';
        at[0] = digits[p[k] >> 4];
        at[1] = digits[p[k] & 15];
    }
    return (uint32_t)(at - to);
}

static inline err_t write_slot(struct text_writer *w, uint32_t class)
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
    uint32_t n = slot_is_hex(c->type) ? text_write_hex(c, i, to) : slot_write(c->type, c->a, c->b, c->values[i], to);
    if (!room) return write_part(w, tmp, n);
    w->to += n;
    return OK;
}

static inline err_t write_string(struct text_writer *w, uint64_t template)
{
    for (const struct text_op *op = &w->p->ops[w->p->first_op[template]];; op++) {
        TRY(write_part(w, w->p->text + op->text_at, op->text_len));
        if (op->type == 0) return OK;
        TRY(write_slot(w, op->class));
    }
}

static err_t write_all(struct text_writer *w, uint32_t base, uint32_t *ends)
{
    const char *begin = w->to;
    for (uint32_t i = 0; i < w->p->n; i++) {
        TRY(write_string(w, w->p->template[i]));
        ends[i] = base + (uint32_t)(w->to - begin);
    }
    return w->to == w->end ? OK : err_set(ERR_CORRUPT, "strings shorter than their block says");
}

uint32_t text_value_of(const struct text_class *c, uint32_t i)
{
    uint32_t lo = 0, hi = c->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (c->rows[mid] < i)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* -- blocks ------------------------------------------------------------------------------------------------------------- */

static err_t open_block(struct text_reader *r, struct str block)
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

/* The patterns, and where the templates of the strings and the columns are. */
static err_t open_plan(struct text_reader *r)
{
    uint32_t count, max = MIN(r->raw, UINT32_MAX / 16) * 4 + (64 << 10);
    uint64_t text = 0, entries = 0;
    struct dict patterns;
    struct text_parts all = { 0 };
    struct text_plan *p = &r->plan;
    TRY(cur_count(&r->meta, r->n, &count));
    TRY(find_strings(r, count, max, &all));
    TRY(decode_strings(r, &all, max, &patterns));
    TRY(text_plan_make((struct str){ patterns.bytes, patterns.offset[count] }, patterns.offset + 1, count, r->a, p));
    TRY(get_field(r, &r->templates));
    r->at = ARENA_RAW(r->a, struct text_parts, (size_t)p->nclasses + 1);
    r->chain = ARENA_RAW(r->a, uint32_t, (size_t)p->nclasses + 1);
    TRY(arena_check(r->a));
    for (uint32_t k = 0; k < p->nclasses; k++) {
        TRY(find_parts(r, &p->classes[k], &r->at[k]));
        text += r->at[k].size;
        entries += r->at[k].count;
    }
    if (entries > r->raw || text > r->raw + entries) /* lines end in a newline each */
        return err_set(ERR_CORRUPT, "%llu parts of %llu bytes", (unsigned long long)entries, (unsigned long long)text);
    return r->meta.p == r->meta.end && r->data.p == r->data.end ? OK : err_set(ERR_CORRUPT, "bytes behind a block of text");
}

err_t text_open(struct text_reader *r, struct str block)
{
    if (r->depth >= TEXT_DEPTH_MAX) return err_set(ERR_CORRUPT, "text in text, %d deep", r->depth);
    r->left = r->raw;
    TRY(open_block(r, block));
    return open_plan(r);
}

err_t text_open_rows(struct text_reader *r)
{
    struct text_plan *p = &r->plan;
    if (p->template) return OK;
    uint64_t *template = ARENA_RAW(r->a, uint64_t, (size_t)r->n + 1);
    TRY(arena_check(r->a));
    p->n = r->n;
    TRY(text_numbers_decode(&r->templates, p, TEXT_CLASS_TEMPLATE, true, p->ntemplates, r->a, template));
    TRY(at_end(&r->templates));
    /* Every slot has at least a byte of text. */
    TRY(r->whole ? text_plan_rows(p, template, r->n, r->raw, r->a) : text_plan_count(p, template, r->n, r->raw, r->a));
    for (uint32_t k = 0; k < p->nclasses; k++)
        if (r->at[k].count > p->classes[k].n) return err_set(ERR_CORRUPT, "%u parts of %u values", r->at[k].count, p->classes[k].n);
    p->template = template;
    return OK;
}

static err_t open_all(struct text_reader *r, struct str block, struct text_writer *w)
{
    TRY(text_open(r, block));
    TRY(text_open_rows(r));
    w->p = &r->plan;
    w->at = ARENA_ARRAY(r->a, uint32_t, (size_t)r->plan.nclasses + 1);
    return arena_check(r->a);
}

static err_t decode(struct str block, uint32_t n, uint32_t raw, uint32_t base, int depth, struct budget *budget, uint32_t *ends, char *to)
{
    struct arena a;
    arena_init_sized(&a, budget, 1 << 18);
    struct text_reader r = { .a = &a, .n = n, .raw = raw, .depth = depth, .whole = true };
    struct text_writer w = { .to = to, .end = to + raw };
    err_t e;
    TRY_OUT(e, open_all(&r, block, &w));
    for (uint32_t k = 0; k < r.plan.nclasses; k++)
        TRY_OUT(e, need_class(&r, k));
    e = write_all(&w, base, ends);
out:
    arena_deinit(&a);
    return e;
}

err_t col_text_decode(struct str block, uint32_t n, uint32_t raw, uint32_t base, struct budget *budget, uint32_t *ends, char *to)
{
    return decode(block, n, raw, base, 0, budget, ends, to);
}

err_t text_write_at(struct text_reader *r, struct text_writer *w, uint32_t i)
{
    const struct text_plan *p = &r->plan;
    uint64_t template = p->template[i];
    for (uint32_t k = p->first_op[template]; k + 1 < p->first_op[template + 1]; k++) {
        uint32_t class = p->ops[k].class;
        TRY(need_class(r, class));
        TRY(text_need_rows(r, class));
        w->at[class] = text_value_of(&p->classes[class], i);
    }
    return write_string(w, template);
}

err_t col_text_decode_at(struct str block, uint32_t n, uint32_t raw, const uint32_t *wanted, uint32_t k, struct arena *out, struct str *strings)
{
    struct arena a;
    arena_init_sized(&a, out->budget, 1 << 18);
    struct text_reader r = { .a = &a, .n = n, .raw = raw };
    struct text_writer w;
    err_t e;
    char *to = arena_alloc_aligned(&a, (size_t)raw + 1, 1);
    TRY_OUT(e, arena_check(&a));
    TRY_OUT(e, open_all(&r, block, &w));
    for (uint32_t i = 0; i < k; i++) {
        ASSERT(wanted[i] < n);
        w.to = to;
        w.end = to + raw;
        TRY_OUT(e, text_write_at(&r, &w, wanted[i]));
        strings[i] = arena_str(out, (struct str){ to, (size_t)(w.to - to) });
        TRY_OUT(e, arena_check(out));
    }
out:
    arena_deinit(&a);
    return e;
}
