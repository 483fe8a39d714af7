/* A needle in a block: alignments of it with the patterns, each a list of needs (this slot ends with these bytes, that one is
 * these, ...). Needs are settled from the cheap to the dear: by the type of the slot when they are made, then by the parts of
 * its column, at last by its values, which name the strings. Dictionaries that are blocks themselves are searched the same
 * way: there a needle may be held at the beginning or the end of the strings. */
#include "storage/col_text_find.h"

#include "base/core/assert.h"
#include "storage/col_text.h"
#include "storage/col_text_int.h"

enum {
    PART_MAX = 63,       /* of a longer needle so many bytes are looked for, and what has them is put together */
    ALIGN_NEEDS_MAX = 6, /* slots that a needle goes over, and */
    ALIGNS_MAX = 4096,   /* ways to place it in a block, and */
    STEPS_MAX = 4096,    /* steps to find those of a template: beyond, its strings are put together */
    NUMBERS = 256,       /* that are written at once */
};

struct part { /* bytes that are looked for */
    const char *p;
    uint32_t n;
    bool fold;             /* they are lower case */
    bool at_start, at_end; /* of the string alone */
};

struct strings { /* the parts of a class, as far as they are unpacked */
    struct str bytes;
    uint32_t *start;
    struct finder *block; /* of the kind TEXT */
};

struct finder { /* an opened block */
    struct text_reader r;
    struct text_writer w;   /* w.to: NULL until a string is put together */
    char *room, *numbers;
    const struct text_cond *cond; /* of the kind TEXT_WORDS, else NULL */
    bool apart;             /* words begin where its strings do, and end there */
    struct strings *strings;
    bool *class_apart;      /* the same of the strings of classes; NULL: not asked yet */
};

enum need_state { NEED_OPEN, NEED_NONE, NEED_SOME };
struct need { /* of a class: values with a piece of the needle */
    uint32_t class, next, from, to;
    bool at_start, at_end;
    enum need_state state;
    uint64_t *codes, *sure; /* dictionaries: a bit a part that has it; for which the condition holds for sure (or NULL) */
    uint64_t *values;       /* a bit a value of the class; NULL: not asked yet */
};
struct align { /* in strings of a template */
    uint32_t template, n, need[ALIGN_NEEDS_MAX];
};

enum { HOW_HAS = 1, HOW_SURE = 2, HOW_WRITE = 4 }; /* of the strings of a template: all have it, hold, are put together to know */

struct search { /* for a part in a block */
    struct finder *f;
    const struct part *q;
    uint8_t *how;
    uint64_t is[256];             /* bit i: byte i of the part is this one */
    uint64_t may[SLOT_TYPES][2];  /* bit i: a slot of the type (and case) may hold byte i */
    struct need *needs;
    uint32_t nneeds, *first_need; /* of each class, UINT32_MAX: none */
    struct align *aligns, cur;
    uint32_t naligns, steps;
    size_t cap_needs, cap_aligns;
    bool complex;                 /* the template at hand */
};

static err_t find_part(struct finder *f, const struct part *q, uint64_t *has, uint64_t *sure);

/* -- bytes ------------------------------------------------------------------------------------------------------------- */

static inline uint8_t lower(uint8_t c) { return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c + 32) : c; }
static inline bool bit_get(const uint64_t *bits, uint32_t i) { return bits[i / 64] >> (i % 64) & 1; }
static inline void bit_set(uint64_t *bits, uint32_t i) { bits[i / 64] |= UINT64_C(1) << (i % 64); }
static uint32_t words_of(uint32_t n) { return n / 64 + 1; }

static bool same(const char *text, const char *part, uint32_t n, bool fold)
{
    if (!fold) return memcmp(text, part, n) == 0;
    for (uint32_t i = 0; i < n; i++)
        if (lower((uint8_t)text[i]) != (uint8_t)part[i]) return false;
    return true;
}

static bool any_bit(const uint64_t *bits, uint32_t words)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < words; i++)
        any |= bits[i];
    return any;
}

static bool has_part(struct str s, const struct part *q)
{
    if (s.n < q->n || (q->at_start && q->at_end && s.n != q->n)) return false;
    if (q->at_start) return same(s.p, q->p, q->n, q->fold);
    if (q->at_end) return same(s.p + s.n - q->n, q->p, q->n, q->fold);
    for (size_t i = 0; i + q->n <= s.n; i++)
        if (same(s.p + i, q->p, q->n, q->fold)) return true;
    return false;
}

static bool may_be_in_word(char c)
{
    return (uint8_t)c >= 0x80 || (uint8_t)(lower((uint8_t)c) - 'a') < 26 || (uint8_t)(c - '0') < 10;
}

/* What is left of a text when words that go on outside are cut off. */
static struct str cut_words(struct str s, bool left, bool right)
{
    size_t from = 0, to = s.n;
    while (!left && from < to && may_be_in_word(s.p[from]))
        from++;
    while (!right && to > from && may_be_in_word(s.p[to - 1]))
        to--;
    return str_sub(s, from, to);
}

bool text_cond_holds(const struct text_cond *c, struct str s)
{
    if (c->kind != TEXT_HAS) return c->holds(c->arg, s);
    for (uint32_t i = 0; i < c->n; i++)
        if (text_find(&c->needles[i], s, 0) != SIZE_MAX) return true;
    return false;
}

/* -- slots ------------------------------------------------------------------------------------------------------------- */

static bool slot_may_hold(unsigned type, bool upper, bool fold, char c)
{
    bool digit = (uint8_t)(c - '0') < 10, letter = (uint8_t)(c - 'a') < 26 || (uint8_t)(c - 'A') < 26;
    bool hex = digit || (upper && !fold ? c >= 'A' && c <= 'F' : c >= 'a' && c <= 'f');
    switch (type) {
    case SLOT_INT:
    case SLOT_PAD: return digit;
    case SLOT_DEC:
    case SLOT_IP: return digit || c == '.';
    case SLOT_HEX: return hex;
    case SLOT_UUID: return hex || c == '-';
    case SLOT_ISO: return digit || (c && strchr("-:.,/ T", c)) || (fold && c == 't');
    case SLOT_APACHE:
    case SLOT_SYSLOG: return digit || letter || c == '/' || c == ':' || c == ' ';
    case SLOT_CLOCK: return digit || c == ':' || c == '.' || c == ',';
    default: return true;
    }
}

static uint32_t slot_len_max(const struct text_class *c)
{
    switch (c->type) {
    case SLOT_INT: return 20;
    case SLOT_PAD:
    case SLOT_HEX: return c->a;
    case SLOT_DEC: return 21u + c->a;
    case SLOT_IP: return 15;
    case SLOT_UUID: return 36;
    case SLOT_ISO: return 30;
    case SLOT_APACHE: return 20;
    case SLOT_SYSLOG: return 15;
    case SLOT_CLOCK: return 19;
    default: return UINT32_MAX;
    }
}

static uint64_t mask_below(uint32_t n) { return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1; }

/* Can a slot of the class hold bytes [from, to) of the part? */
static bool class_may(const struct search *s, const struct text_class *c, uint32_t from, uint32_t to)
{
    uint64_t want = mask_below(to) & ~mask_below(from);
    if ((s->may[c->type][c->b & 1] & want) != want || to - from > slot_len_max(c)) return false;
    if (c->type >= SLOT_WORD) return true;
    uint32_t letters = 0, digits = 0, digits_max = slot_digits_max(c->type, c->a);
    bool month = c->type == SLOT_APACHE || c->type == SLOT_SYSLOG; /* has three letters */
    for (uint32_t i = from; i < to; i++) {
        letters = (uint8_t)(lower((uint8_t)s->q->p[i]) - 'a') < 26 ? letters + 1 : 0;
        digits = (uint8_t)(s->q->p[i] - '0') < 10 ? digits + 1 : 0;
        if (digits > digits_max || (month && letters > 3)) return false;
    }
    return true;
}

/* -- placing the part in patterns ---------------------------------------------------------------------------------------- */

static uint32_t need_of(struct search *s, uint32_t class, uint32_t from, uint32_t to, bool at_start, bool at_end)
{
    uint32_t i = s->first_need[class];
    for (; i != UINT32_MAX; i = s->needs[i].next) {
        const struct need *x = &s->needs[i];
        if (x->from == from && x->to == to && x->at_start == at_start && x->at_end == at_end) return i;
    }
    i = s->nneeds++;
    s->needs = arena_grow(s->f->r.a, s->needs, i, &s->cap_needs, s->nneeds, sizeof *s->needs);
    s->needs[i] = (struct need){ .class = class, .next = s->first_need[class], .from = from, .to = to, .at_start = at_start, .at_end = at_end };
    s->first_need[class] = i;
    return i;
}

static bool push(struct search *s, uint32_t op, uint32_t from, uint32_t to, bool at_start, bool at_end)
{
    struct align *a = &s->cur;
    uint32_t class = s->f->r.plan.ops[op].class;
    if (!class_may(s, &s->f->r.plan.classes[class], from, to)) return false;
    if (a->n == ALIGN_NEEDS_MAX) {
        s->complex = true;
        return false;
    }
    a->need[a->n++] = need_of(s, class, from, to, at_start, at_end);
    return true;
}

static void place(struct search *s)
{
    if (s->cur.n == 0) {
        s->how[s->cur.template] |= HOW_HAS;
        return;
    }
    if (s->naligns == ALIGNS_MAX) {
        s->complex = true;
        return;
    }
    s->aligns = arena_grow(s->f->r.a, s->aligns, s->naligns, &s->cap_aligns, (size_t)s->naligns + 1, sizeof *s->aligns);
    s->aligns[s->naligns++] = s->cur;
}

static void walk_slot(struct search *s, uint32_t k, uint32_t i);

/* The part's bytes from i on begin where the text of op k does. */
static void walk_text(struct search *s, uint32_t k, uint32_t i)
{
    const struct text_plan *p = &s->f->r.plan;
    const struct text_op *op = &p->ops[k];
    uint32_t rest = s->q->n - i, n = MIN(rest, op->text_len);
    if (s->complex || (s->complex = s->steps++ >= STEPS_MAX)) return;
    if (!same(p->text + op->text_at, s->q->p + i, n, s->q->fold)) return;
    if (rest <= op->text_len && !s->q->at_end) {
        place(s);
    } else if (rest >= op->text_len) {
        if (op->type)
            walk_slot(s, k, i + n);
        else if (rest == n)
            place(s);
    }
}

/* ... where the slot of op k does. */
static void walk_slot(struct search *s, uint32_t k, uint32_t i)
{
    const struct text_plan *p = &s->f->r.plan;
    const struct text_op *op = &p->ops[k];
    uint32_t n = s->q->n, max = s->q->at_end ? n : n - 1;
    uint64_t may = s->may[op->type][op->b & 1];
    if (!s->q->at_end && i < n && push(s, k, i, n, true, false)) {
        place(s);
        s->cur.n--;
    }
    for (uint32_t to = i + (op->type < SLOT_WORD); to <= max && !s->complex; to++) {
        if (to > i && !(may >> (to - 1) & 1)) break;
        const struct text_op *next = op + 1;
        if (to < n && next->text_len && !(s->is[(uint8_t)p->text[next->text_at]] >> to & 1)) continue;
        if (!push(s, k, i, to, true, true)) continue;
        walk_text(s, k + 1, to);
        s->cur.n--;
    }
}

/* Begins in the text of op k, and goes on into its slot or ends with it. */
static void walk_tails(struct search *s, uint32_t k)
{
    const struct text_plan *p = &s->f->r.plan;
    const struct text_op *op = &p->ops[k];
    const struct part *q = s->q;
    if (op->text_len == 0) return;
    uint32_t max = MIN(op->text_len, q->at_end ? q->n : q->n - 1);
    uint64_t lengths = s->is[(uint8_t)p->text[op->text_at + op->text_len - 1]] << 1 & mask_below(max + 1);
    if (!op->type) lengths &= q->at_end ? UINT64_C(1) << q->n : 0;
    else if (op->type < SLOT_WORD) lengths &= s->may[op->type][op->b & 1];
    for (; lengths && !s->complex; lengths &= lengths - 1) {
        uint32_t n = (uint32_t)__builtin_ctzll(lengths);
        if (!same(p->text + op->text_at + op->text_len - n, q->p, n, q->fold)) continue;
        if (op->type) walk_slot(s, k, n);
        else place(s);
    }
}

/* Begins in the slot of op k. */
static void walk_ends(struct search *s, uint32_t k)
{
    const struct text_plan *p = &s->f->r.plan;
    const struct text_op *op = &p->ops[k], *next = op + 1;
    uint64_t may = s->may[op->type][op->b & 1], one = UINT64_C(1);
    uint32_t n = s->q->n, run = (uint32_t)__builtin_ctzll(~may); /* has no bit n */
    uint64_t lengths = mask_below(run + 1) & ~one & mask_below(n);
    if (next->text_len) lengths &= s->is[(uint8_t)p->text[next->text_at]];
    else if (!next->type) lengths = 0;
    if (s->q->at_end && run == n && next->text_len == 0) lengths |= one << n;
    for (; lengths && !s->complex; lengths &= lengths - 1) {
        uint32_t to = (uint32_t)__builtin_ctzll(lengths);
        if (!push(s, k, 0, to, false, true)) continue;
        walk_text(s, k + 1, to);
        s->cur.n--;
    }
}

static void walk_template(struct search *s, uint32_t t)
{
    const struct text_plan *p = &s->f->r.plan;
    uint32_t from = s->naligns;
    s->cur = (struct align){ .template = t };
    s->complex = false;
    s->steps = 0;
    if (s->q->at_start) {
        walk_text(s, p->first_op[t], 0);
    } else {
        for (uint32_t k = p->first_op[t]; k < p->first_op[t + 1] && !s->complex; k++) {
            walk_tails(s, k);
            if (p->ops[k].type) walk_ends(s, k);
        }
    }
    if (!s->complex) return;
    s->naligns = from;
    s->how[t] |= HOW_WRITE;
}

/* Where it stands whole in the text of a template. */
static void find_in_patterns(struct search *s)
{
    const struct text_plan *p = &s->f->r.plan;
    const struct text_cond *cond = s->f->cond;
    struct text_find find;
    uint32_t t = 0, k = 0;
    if (p->nops == 0) return;
    text_find_init(&find, (struct str){ s->q->p, s->q->n }, s->q->fold);
    struct str all = { p->text, (size_t)p->ops[p->nops - 1].text_at + p->ops[p->nops - 1].text_len };
    for (size_t at = 0; (at = text_find(&find, all, at)) != SIZE_MAX;) {
        while (p->ops[k].text_at + p->ops[k].text_len <= at)
            k++;
        const struct text_op *op = &p->ops[k];
        if (at + s->q->n > op->text_at + op->text_len) { /* over the border of two texts */
            at++;
            continue;
        }
        while (p->first_op[t + 1] <= k)
            t++;
        s->how[t] |= HOW_HAS;
        if (cond) {
            bool left = s->f->apart && k == p->first_op[t], right = s->f->apart && !op->type;
            struct str text = cut_words((struct str){ p->text + op->text_at, op->text_len }, left, right);
            if (cond->holds(cond->arg, text)) s->how[t] |= HOW_SURE;
        }
        at = op->text_at + op->text_len;
    }
}

/* -- what columns have ----------------------------------------------------------------------------------------------------- */

/* Are the strings of classes words of their own wherever they stand? */
static err_t know_apart(struct finder *f)
{
    const struct text_plan *p = &f->r.plan;
    if (f->class_apart) return OK;
    f->class_apart = ARENA_RAW(f->r.a, bool, (size_t)p->nclasses + 1);
    TRY(arena_check(f->r.a));
    memset(f->class_apart, true, p->nclasses);
    for (uint32_t t = 0; t < p->ntemplates; t++)
        for (uint32_t k = p->first_op[t]; k + 1 < p->first_op[t + 1]; k++) {
            const struct text_op *op = &p->ops[k], *next = op + 1;
            bool left = op->text_len ? !may_be_in_word(p->text[op->text_at + op->text_len - 1]) : f->apart && k == p->first_op[t];
            bool right = next->text_len ? !may_be_in_word(p->text[next->text_at]) : f->apart && !next->type;
            f->class_apart[op->class] &= left && right;
        }
    return OK;
}

static err_t open_finder(struct finder *f, struct str block)
{
    TRY(text_open(&f->r, block));
    f->strings = ARENA_ARRAY(f->r.a, struct strings, (size_t)f->r.plan.nclasses + 1);
    return arena_check(f->r.a);
}

static err_t find_in_block(struct search *s, struct need *x, const struct part *q)
{
    struct finder *f = s->f;
    const struct text_parts *at = &f->r.at[x->class];
    struct strings *to = &f->strings[x->class];
    if (!to->block) {
        to->block = ARENA_NEW(f->r.a, struct finder);
        to->block->r = (struct text_reader){ .a = f->r.a, .n = at->count, .raw = at->size, .depth = f->r.depth + 1 };
        to->block->cond = f->cond;
        to->block->apart = f->cond && f->class_apart[x->class];
        TRY(arena_check(f->r.a));
        TRY(open_finder(to->block, str_n(at->bytes.p, (size_t)(at->bytes.end - at->bytes.p))));
    }
    return find_part(to->block, q, x->codes, x->sure);
}

static err_t unpack_strings(struct finder *f, uint32_t class, bool starts)
{
    struct strings *to = &f->strings[class];
    const struct text_parts *at = &f->r.at[class];
    if (!to->bytes.p) TRY(text_unpack(&f->r, at, &to->bytes));
    if (starts && !to->start) TRY(text_starts(&f->r, at, to->bytes, &to->start));
    return OK;
}

static struct str entry_of(const struct finder *f, uint32_t class, uint32_t i)
{
    const struct strings *x = &f->strings[class];
    return (struct str){ x->bytes.p + x->start[i], x->start[i + 1] - x->start[i] - text_has_lines(&f->r.at[class]) };
}

static err_t find_in_strings(struct search *s, struct need *x, const struct part *q)
{
    struct finder *f = s->f;
    const struct text_parts *at = &f->r.at[x->class];
    struct text_find find;
    bool anywhere = !q->at_start && !q->at_end;
    if (q->n && text_has_lines(at) && memchr(q->p, '\n', q->n)) return OK;
    TRY(unpack_strings(f, x->class, false));
    struct strings *to = &f->strings[x->class];
    text_find_init(&find, (struct str){ q->p, q->n }, q->fold);
    if (text_find(&find, to->bytes, 0) == SIZE_MAX) return OK; /* as mostly: where they begin is not needed */
    TRY(unpack_strings(f, x->class, true));
    if (!anywhere) {
        for (uint32_t i = 0; i < at->count; i++)
            if (has_part(entry_of(f, x->class, i), q)) bit_set(x->codes, i);
        return OK;
    }
    const struct dict d = { .count = at->count, .offset = to->start, .bytes = to->bytes.p };
    (void)text_find_entries(&find, &d, x->codes);
    for (uint32_t i = 0; x->sure && i < at->count; i++) {
        if (!bit_get(x->codes, i)) continue;
        bool apart = f->class_apart[x->class];
        if (f->cond->holds(f->cond->arg, cut_words(entry_of(f, x->class, i), apart, apart))) bit_set(x->sure, i);
    }
    return OK;
}

static struct part piece_of(const struct part *q, const struct need *x)
{
    return (struct part){ .p = q->p + x->from, .n = x->to - x->from, .fold = q->fold, .at_start = x->at_start, .at_end = x->at_end };
}

static uint32_t write_number(const struct text_class *c, uint32_t i, char *to)
{
    return slot_is_hex(c->type) ? text_write_hex(c, i, to) : slot_write(c->type, c->a, c->b, c->values[i], to);
}

static bool any_within(const uint64_t *v, uint32_t n, uint64_t lo, uint64_t hi)
{
    unsigned any = 0;
    for (uint32_t i = 0; i < n; i++)
        any |= (unsigned)(v[i] >= lo) & (unsigned)(v[i] <= hi);
    return any;
}

/* Hex digits are looked for as they are kept, two in a byte: at an even place in them, or at an odd one. */
static bool nibbles_of(const struct part *q, unsigned odd, uint8_t *bytes)
{
    for (uint32_t i = 0; i < q->n; i++)
        if (hex_value(q->p[i]) < 0) return false;
    for (uint32_t i = odd; i + 1 < q->n; i += 2)
        bytes[i / 2] = (uint8_t)(hex_value(q->p[i]) << 4 | hex_value(q->p[i + 1]));
    return true;
}

/* Does the part stand at digit `at` of the values side by side, inside of one and of a group of a UUID? */
static bool nibbles_match(const struct text_class *c, const struct part *q, size_t at, uint32_t width)
{
    static const uint32_t groups[] = { 8, 12, 16, 20 };
    const uint8_t *p = (const uint8_t *)c->dict.bytes;
    size_t from = at % (width * 2), to = from + q->n;
    if (to > width * 2 || at / (width * 2) >= c->n) return false;
    for (size_t g = 0; c->type == SLOT_UUID && g < ARRAY_LEN(groups); g++)
        if (from < groups[g] && to > groups[g]) return false;
    for (uint32_t i = 0; i < q->n; i++)
        if ((p[(at + i) / 2] >> ((at + i) % 2 ? 0 : 4) & 15) != hex_value(q->p[i])) return false;
    return true;
}

/* False: the part is too short for this, or has dashes. */
static bool find_hex(const struct text_class *c, const struct part *q, uint64_t *values)
{
    uint32_t width = c->type == SLOT_UUID ? 16 : c->a / 2u;
    uint8_t bytes[PART_MAX / 2 + 1];
    struct str all = { c->dict.bytes, (size_t)c->n * width };
    if (q->n < 4 || q->at_start || q->at_end) return false;
    for (unsigned odd = 0; odd < 2; odd++) {
        struct text_find find;
        if (!nibbles_of(q, odd, bytes)) return false;
        text_find_ends(&find, str_n(bytes, (q->n - odd) / 2), false);
        for (size_t at = 0; (at = text_find(&find, all, at)) != SIZE_MAX; at++)
            if (at * 2 >= odd && nibbles_match(c, q, at * 2 - odd, width)) bit_set(values, (uint32_t)((at * 2 - odd) / (width * 2)));
    }
    return true;
}

/* Writes numbers side by side and looks at all of them at once. */
static err_t find_numbers(struct finder *f, const struct text_class *c, const struct part *q, uint64_t *values)
{
    uint32_t offset[NUMBERS + 1] = { 0 };
    uint64_t lo, hi, has[NUMBERS / 64];
    bool anywhere = !q->at_start && !q->at_end;
    struct text_find find;
    if (!f->numbers) f->numbers = arena_alloc(f->r.a, (size_t)NUMBERS * TEXT_NUMBER_MAX);
    TRY(arena_check(f->r.a));
    text_find_init(&find, (struct str){ q->p, q->n }, q->fold);
    slot_range(c->type, c->a, q->p, q->n, &lo, &hi);
    for (uint32_t from = 0; from < c->n; from += NUMBERS) {
        uint32_t n = MIN(c->n - from, (uint32_t)NUMBERS);
        if (!slot_is_hex(c->type) && !any_within(c->values + from, n, lo, hi)) continue;
        for (uint32_t i = 0; i < n; i++) {
            bool may = slot_is_hex(c->type) || (c->values[from + i] >= lo && c->values[from + i] <= hi);
            offset[i + 1] = offset[i] + (may ? write_number(c, from + i, f->numbers + offset[i]) : 0);
        }
        const struct dict d = { .count = n, .offset = offset, .bytes = f->numbers };
        if (anywhere) {
            if (text_find_entries(&find, &d, has)) memcpy(values + from / 64, has, (n + 63) / 64 * sizeof *has);
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            if (has_part(dict_get(&d, i), q)) bit_set(values, from + i);
    }
    return OK;
}

/* Settles a need by the different values of its column, where it has them. */
static err_t settle_numbers(struct search *s, struct need *x)
{
    struct text_reader *r = &s->f->r;
    struct text_class distinct = r->plan.classes[x->class];
    x->state = NEED_SOME;
    if (slot_is_hex(distinct.type) || distinct.values) return OK; /* values: decoded for another need */
    TRY(text_numbers_distinct(r->at[x->class].numbers, r->raw, r->a, &distinct.values, &distinct.n));
    if (distinct.n == 0) return OK;
    const struct part q = piece_of(s->q, x);
    uint64_t *has = ARENA_ARRAY(r->a, uint64_t, words_of(distinct.n));
    TRY(arena_check(r->a));
    TRY(find_numbers(s->f, &distinct, &q, has));
    if (!any_bit(has, words_of(distinct.n))) x->state = NEED_NONE;
    return OK;
}

/* Settles a need by the parts of its column. */
static err_t settle_parts(struct search *s, struct need *x)
{
    struct finder *f = s->f;
    const struct text_parts *at = &f->r.at[x->class];
    const struct part q = piece_of(s->q, x);
    if (x->state != NEED_OPEN) return OK;
    if (!at->is_text) return settle_numbers(s, x);
    x->codes = ARENA_ARRAY(f->r.a, uint64_t, words_of(at->count));
    if (f->cond && !q.at_start && !q.at_end) x->sure = ARENA_ARRAY(f->r.a, uint64_t, words_of(at->count));
    TRY(arena_check(f->r.a));
    if (f->cond) TRY(know_apart(f));
    TRY(at->kind == STRINGS_TEXT ? find_in_block(s, x, &q) : find_in_strings(s, x, &q));
    x->state = any_bit(x->codes, words_of(at->count)) ? NEED_SOME : NEED_NONE;
    return OK;
}

/* Which values of its class satisfy the need; they may be none. */
static err_t settle_values(struct search *s, struct need *x)
{
    struct text_reader *r = &s->f->r;
    if (x->values) return OK;
    TRY(text_open_rows(r));
    TRY(text_need_values(r, x->class));
    const struct text_class *c = &r->plan.classes[x->class];
    const struct part q = piece_of(s->q, x);
    x->values = ARENA_ARRAY(r->a, uint64_t, words_of(c->n));
    TRY(arena_check(r->a));
    if (slot_is_hex(c->type) && find_hex(c, &q, x->values)) return OK;
    if (!x->codes) return find_numbers(s->f, c, &q, x->values);
    for (uint32_t i = 0; i < c->n; i++)
        x->values[i / 64] |= (uint64_t)bit_get(x->codes, (uint32_t)c->values[i]) << (i % 64);
    return OK;
}

/* -- which strings ----------------------------------------------------------------------------------------------------------- */

/* All strings with a value that has the whole part. */
static err_t take_values(struct search *s, struct need *x, uint64_t *has, uint64_t *sure)
{
    TRY(settle_values(s, x));
    const struct text_class *c = &s->f->r.plan.classes[x->class];
    if (!any_bit(x->values, words_of(c->n))) return OK;
    TRY(text_need_rows(&s->f->r, x->class));
    for (uint32_t w = 0; w < words_of(c->n); w++)
        for (uint64_t left = x->values[w]; left; left &= left - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(left);
            bit_set(has, c->rows[i]);
            if (sure && x->sure && bit_get(x->sure, (uint32_t)c->values[i])) bit_set(sure, c->rows[i]);
        }
    return OK;
}

static bool uses_twice(const struct text_plan *p, uint32_t template, uint32_t class)
{
    uint32_t n = 0;
    for (uint32_t k = p->first_op[template]; k + 1 < p->first_op[template + 1]; k++)
        n += p->ops[k].class == class;
    return n > 1;
}

static err_t take_align(struct search *s, const struct align *a, uint64_t *has)
{
    const struct text_plan *p = &s->f->r.plan;
    for (uint32_t i = 0; i < a->n; i++) {
        struct need *x = &s->needs[a->need[i]];
        TRY(settle_values(s, x));
        if (!any_bit(x->values, words_of(p->classes[x->class].n))) return OK;
        TRY(text_need_rows(&s->f->r, x->class));
        if (uses_twice(p, a->template, s->needs[a->need[i]].class)) {
            s->how[a->template] |= HOW_WRITE;
            return OK;
        }
    }
    const struct need *first = &s->needs[a->need[0]];
    const struct text_class *c = &p->classes[first->class];
    for (uint32_t w = 0; w < words_of(c->n); w++)
        for (uint64_t left = first->values[w]; left; left &= left - 1) {
            uint32_t row = c->rows[w * 64 + (uint32_t)__builtin_ctzll(left)];
            bool all = p->template[row] == a->template;
            for (uint32_t i = 1; i < a->n && all; i++) {
                const struct need *x = &s->needs[a->need[i]];
                all = bit_get(x->values, text_value_of(&p->classes[x->class], row));
            }
            if (all) bit_set(has, row);
        }
    return OK;
}

static err_t write_string(struct finder *f, uint32_t i, struct str *out)
{
    TRY(text_open_rows(&f->r));
    if (!f->room) {
        f->room = arena_alloc_aligned(f->r.a, (size_t)f->r.raw + 1, 1);
        f->w = (struct text_writer){ .p = &f->r.plan, .at = ARENA_ARRAY(f->r.a, uint32_t, (size_t)f->r.plan.nclasses + 1) };
        TRY(arena_check(f->r.a));
    }
    f->w.to = f->room;
    f->w.end = f->room + f->r.raw;
    TRY(text_write_at(&f->r, &f->w, i));
    *out = (struct str){ f->room, (size_t)(f->w.to - f->room) };
    return OK;
}

/* The strings of templates that all have it, and of those that must be put together. */
static err_t take_templates(struct search *s, uint64_t *has, uint64_t *sure)
{
    const struct text_plan *p = &s->f->r.plan;
    unsigned any = 0;
    for (uint32_t t = 0; t < p->ntemplates; t++)
        any |= s->how[t];
    if (!any) return OK;
    TRY(text_open_rows(&s->f->r));
    for (uint32_t i = 0; i < p->n; i++) {
        unsigned how = s->how[p->template[i]];
        bool all = how & HOW_HAS;
        if (!all && how & HOW_WRITE) {
            struct str text;
            TRY(write_string(s->f, i, &text));
            all = has_part(text, s->q);
        }
        if (all) bit_set(has, i);
        if (sure && how & HOW_SURE) bit_set(sure, i);
    }
    return OK;
}

static err_t search_begin(struct search *s)
{
    const struct text_plan *p = &s->f->r.plan;
    s->how = ARENA_ARRAY(s->f->r.a, uint8_t, (size_t)p->ntemplates + 1);
    s->first_need = ARENA_RAW(s->f->r.a, uint32_t, (size_t)p->nclasses + 1);
    TRY(arena_check(s->f->r.a));
    memset(s->first_need, 0xff, p->nclasses * sizeof *s->first_need);
    for (uint32_t i = 0; i < s->q->n; i++) {
        uint8_t c = (uint8_t)s->q->p[i];
        uint64_t bit = UINT64_C(1) << i;
        s->is[c] |= bit;
        if (s->q->fold && (uint8_t)(c - 'a') < 26) s->is[c - 32] |= bit;
        for (unsigned type = 1; type < SLOT_TYPES; type++)
            for (unsigned upper = 0; upper < 2; upper++)
                if (slot_may_hold(type, upper, s->q->fold, (char)c)) s->may[type][upper] |= bit;
    }
    return OK;
}

/* Sets the bits of the strings that have the part; in `sure`, which may be NULL, of those for which the condition holds. */
static err_t find_part(struct finder *f, const struct part *q, uint64_t *has, uint64_t *sure)
{
    struct search s = { .f = f, .q = q };
    const struct text_plan *p = &f->r.plan;
    TRY(search_begin(&s));
    bool anywhere = !q->at_start && !q->at_end;
    if (anywhere) find_in_patterns(&s);
    for (uint32_t t = 0; t < p->ntemplates; t++) {
        if (!(s.how[t] & HOW_HAS)) walk_template(&s, t);
    }
    for (uint32_t k = 0; anywhere && k < p->nclasses; k++) {
        if (!class_may(&s, &p->classes[k], 0, q->n)) continue;
        uint32_t i = need_of(&s, k, 0, q->n, false, false);
        struct need *x = &s.needs[i]; /* only now: they may have moved */
        TRY(settle_parts(&s, x));
        if (x->state != NEED_NONE) TRY(take_values(&s, x, has, sure));
    }
    for (uint32_t i = 0; i < s.naligns; i++) {
        struct align *a = &s.aligns[i];
        bool some = !(s.how[a->template] & (HOW_HAS | HOW_WRITE));
        for (uint32_t k = 0; k < a->n && some; k++) {
            TRY(settle_parts(&s, &s.needs[a->need[k]]));
            some = s.needs[a->need[k]].state != NEED_NONE;
        }
        if (some) TRY(take_align(&s, a, has));
    }
    TRY(take_templates(&s, has, sure));
    return arena_check(f->r.a);
}

/* -- conditions --------------------------------------------------------------------------------------------------------------- */

static err_t find_all(struct finder *f, const struct text_cond *c, const uint64_t *among, uint64_t *bits)
{
    uint32_t words = words_of(f->r.n);
    uint64_t *has = ARENA_ARRAY(f->r.a, uint64_t, words), *sure = ARENA_ARRAY(f->r.a, uint64_t, words);
    bool all = c->kind == TEXT_HAS;
    TRY(arena_check(f->r.a));
    for (uint32_t i = 0; i < c->n; i++) {
        struct str s = c->needles[i].needle;
        ASSERT(s.n > 0);
        all &= s.n <= PART_MAX;
        const struct part q = { .p = s.p, .n = (uint32_t)MIN(s.n, (size_t)PART_MAX), .fold = c->needles[i].fold };
        TRY(find_part(f, &q, has, f->cond ? sure : NULL));
    }
    for (uint32_t w = 0; w * 64 < f->r.n; w++) {
        uint64_t mine = has[w] & (among ? among[w] : UINT64_MAX);
        if (all) sure[w] = mine;
        bits[w] |= mine & sure[w];
        for (uint64_t left = mine & ~sure[w]; left; left &= left - 1) {
            struct str text;
            TRY(write_string(f, w * 64 + (uint32_t)__builtin_ctzll(left), &text));
            if (text_cond_holds(c, text)) bits[w] |= left & -left;
        }
    }
    return OK;
}

err_t col_text_find(struct str block, uint32_t n, uint32_t raw, const struct text_cond *c, const uint64_t *among,
                    struct budget *budget, uint64_t *bits)
{
    struct arena a;
    arena_init_sized(&a, budget, 1 << 18);
    struct finder f = { .r = { .a = &a, .n = n, .raw = raw }, .cond = c->kind == TEXT_WORDS ? c : NULL, .apart = true };
    err_t e = open_finder(&f, block);
    if (e == OK) e = find_all(&f, c, among, bits);
    arena_deinit(&a);
    return e;
}
