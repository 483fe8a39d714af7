#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_text_int.h"

#include <stdlib.h>

enum { M_RAW, M_DELTA, M_LAST, M_CODE, M_GUESS, M_DICT = 16 };
enum { CTX_PREV, CTX_PREV2, CTX_TEMPLATE, CTX_CLASS };
enum { TABLE_BITS = 14, SAMPLE = 1024, SEARCH_MIN = 24, NEAR = 3, LOOK_MAX = 12 };

/* The last value seen with a context; indexed by a hash of it, whoever else has the same. */
static _Thread_local uint64_t table[1 << TABLE_BITS];

/* Empties the table for n values; the shift of its hashes. `sample`: nothing of it will be read back. */
static unsigned table_clear(uint32_t n, bool sample)
{
    unsigned bits = MIN(bits_of(n) + (sample ? 0 : 2), (unsigned)TABLE_BITS);
    memset(table, 0, sizeof *table << bits);
    return 64 - bits;
}
static inline uint32_t table_slot(uint64_t context, unsigned shift)
{
    return (uint32_t)((context * UINT64_C(0x9e3779b97f4a7c15)) >> shift);
}

struct column_ref { /* a class, or the templates */
    const uint32_t *rows; /* NULL: every string */
    const uint64_t *values;
    uint32_t n;
};

static struct column_ref ref_of(const struct text_plan *p, uint32_t class)
{
    if (class == TEXT_CLASS_TEMPLATE) return (struct column_ref){ .values = p->template, .n = p->n };
    const struct text_class *c = &p->classes[class];
    return (struct column_ref){ c->rows, c->values, c->n };
}

/* The contexts of values [from, from + n) of a class; false when a string has none. `own`: values known so far. */
static bool contexts_of(const struct text_plan *p, uint32_t class, uint32_t context, uint32_t from, uint32_t n, uint64_t *out)
{
    const struct text_class *c = class == TEXT_CLASS_TEMPLATE ? NULL : &p->classes[class];
    if (context == CTX_TEMPLATE) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = p->template[c ? c->rows[from + i] : from + i];
        return c != NULL;
    }
    const struct text_class *of = &p->classes[context - CTX_CLASS];
    if (!c || of->n < n) return false;
    uint32_t lo = 0, hi = of->n, first = c->rows[from];
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (of->rows[mid] < first)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = c->rows[from + i];
        while (lo < of->n && of->rows[lo] < row)
            lo++;
        if (lo == of->n || of->rows[lo] != row) return false;
        out[i] = of->values[lo];
    }
    return true;
}

/* -- models ---------------------------------------------------------------------------------------------------------- */

static void apply_last(const uint64_t *v, uint32_t n, bool sample, const uint64_t *context, uint64_t *out)
{
    unsigned shift = table_clear(n, sample);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t *last = &table[table_slot(context[i], shift)];
        out[i] = zigzag((int64_t)(v[i] - *last));
        *last = v[i];
    }
}

static void apply_delta(const uint64_t *v, uint32_t n, uint64_t *out)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = zigzag((int64_t)(v[i] - last));
        last = v[i];
    }
}

/* `next`: the first code not seen before v. */
static void apply_code(const uint64_t *v, uint32_t n, uint64_t next, uint64_t *out)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = v[i] == next ? 0 : v[i] + 1;
        next += v[i] == next;
    }
}

/* context NULL: the value before (PREV), or the two before (PREV2). */
static void apply_guess(const uint64_t *v, uint32_t n, bool sample, uint64_t next, uint32_t how, const uint64_t *context, uint64_t *out)
{
    uint64_t before = 0, last = 0;
    unsigned shift = table_clear(n, sample);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = context ? context[i] : how == CTX_PREV ? last : last << 32 | before;
        uint64_t *guess = &table[table_slot(x, shift)];
        out[i] = v[i] == *guess ? 0 : v[i] == next ? 1 : v[i] + 2;
        next += v[i] == next;
        *guess = v[i];
        before = last;
        last = v[i];
    }
}

struct choice {
    unsigned model;
    uint32_t context;
    double bytes;
};

static void consider(struct choice *best, unsigned model, uint32_t context, const uint64_t *seq, uint32_t n)
{
    double bytes = col_seq_estimate(seq, n);
    if (bytes < best->bytes) *best = (struct choice){ model, context, bytes };
}

enum { CONTEXTS = 1 + NEAR };
struct search {
    const struct text_plan *p;
    uint32_t class, from, n; /* the sample */
    uint64_t *context, *seq;
    uint32_t ncontexts, contexts[CONTEXTS];
    uint64_t *of_sample; /* the values of each, n side by side */
};

static bool all_same(const uint64_t *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (v[i] != v[0]) return false;
    return true;
}

/* Which contexts the strings of the sample have, that are not all the same. */
static void find_contexts(struct search *s)
{
    const struct text_class *mine = s->class == TEXT_CLASS_TEMPLATE ? NULL : &s->p->classes[s->class];
    uint32_t looked = 0;
    if (!mine || s->n < SEARCH_MIN) return;
    for (uint32_t k = s->class + 1; k-- > 0 && s->ncontexts < CONTEXTS && looked < LOOK_MAX;) {
        bool template = k == s->class;
        const struct text_class *c = &s->p->classes[k];
        uint32_t context = template ? CTX_TEMPLATE : CTX_CLASS + k;
        uint64_t *to = s->of_sample + (size_t)s->ncontexts * s->n;
        if (!template && (!c->values || c->n < s->n || c->constant)) continue;
        looked++;
        if (!contexts_of(s->p, s->class, context, s->from, s->n, to) || all_same(to, s->n)) continue;
        s->contexts[s->ncontexts++] = context;
    }
}

static void search_contexts(const struct search *s, const uint64_t *v, uint64_t next, bool codes, struct choice *best)
{
    for (uint32_t i = 0; i < s->ncontexts; i++) {
        const uint64_t *context = s->of_sample + (size_t)i * s->n;
        if (codes)
            apply_guess(v, s->n, true, next, s->contexts[i], context, s->seq);
        else
            apply_last(v, s->n, true, context, s->seq);
        consider(best, codes ? M_GUESS : M_LAST, s->contexts[i], s->seq, s->n);
    }
}

/* The first code that none of v[0..from) has. */
static uint64_t next_code(const uint64_t *v, uint32_t from)
{
    uint64_t next = 0;
    for (uint32_t i = 0; i < from; i++)
        next = MAX(next, v[i] + 1);
    return next;
}

static struct choice choose(const struct search *s, const uint64_t *v, bool codes)
{
    struct choice best = { .bytes = 1e18 };
    const uint64_t *w = v + s->from;
    uint64_t next = codes ? next_code(v, s->from) : 0;
    if (codes) {
        apply_code(w, s->n, next, s->seq);
        consider(&best, M_CODE, 0, s->seq, s->n);
        if (s->n < SEARCH_MIN) return best;
        for (uint32_t how = CTX_PREV; how <= CTX_PREV2; how++) {
            apply_guess(w, s->n, true, next, how, NULL, s->seq);
            consider(&best, M_GUESS, how, s->seq, s->n);
        }
    } else {
        consider(&best, M_RAW, 0, w, s->n);
        apply_delta(w, s->n, s->seq);
        s->seq[0] = 0; /* of a sample: what is before it is known */
        consider(&best, M_DELTA, 0, s->seq, s->n);
        if (s->n < SEARCH_MIN) return best;
    }
    search_contexts(s, w, next, codes, &best);
    return best;
}

static void put_model(const struct search *s, struct choice c, unsigned flags, const uint64_t *v, uint32_t n, const struct buf *front,
                      struct buf *out)
{
    uint64_t *seq = s->seq;
    const uint64_t *context = NULL;
    if (c.context >= CTX_TEMPLATE) {
        bool all = contexts_of(s->p, s->class, c.context, 0, n, s->context);
        if (all)
            context = s->context;
        else /* in the sample every string had one, but not in all */
            c = (struct choice){ .model = c.model == M_GUESS ? M_CODE : M_RAW };
    }
    switch (c.model) {
    case M_RAW: memcpy(seq, v, n * sizeof *v); break;
    case M_DELTA: apply_delta(v, n, seq); break;
    case M_LAST: apply_last(v, n, false, context, seq); break;
    case M_CODE: apply_code(v, n, 0, seq); break;
    case M_GUESS: apply_guess(v, n, false, 0, c.context, context, seq); break;
    default: UNREACHABLE();
    }
    buf_byte(out, (uint8_t)(c.model | flags));
    if (c.model == M_LAST || c.model == M_GUESS) buf_varint(out, c.context);
    if (front) buf_str(out, buf_view(front));
    col_seq_encode(seq, n, out);
}

/* Numbers the values in order of first appearance; 0 when most are different. */
static uint32_t number_values(const uint64_t *v, uint32_t n, uint64_t *distinct, uint64_t *codes)
{
    uint32_t bits = bits_of(n) + 1, count = 0, max = n / 2, *slots = calloc((size_t)1 << bits, sizeof *slots);
    ASSERT(slots);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)(hash_u64(v[i]) >> (64 - bits));
        while (slots[at] && distinct[slots[at] - 1] != v[i])
            at = (at + 1) & ((1u << bits) - 1);
        if (!slots[at]) {
            if (count == max) {
                count = 0;
                break;
            }
            distinct[count] = v[i];
            slots[at] = ++count;
        }
        codes[i] = slots[at] - 1;
    }
    free(slots);
    return count;
}

/* Codes that are all the same are all 0: what the guess is before there was one. */
static void put_constant(const uint64_t *v, uint32_t n, bool codes, struct buf *out)
{
    static const uint64_t zero[2];
    buf_byte(out, codes ? M_GUESS : M_RAW);
    if (codes) buf_varint(out, CTX_PREV);
    if (codes) ASSERT(v[0] == 0);
    col_seq_encode(codes ? zero : v, codes ? 2 : n, out);
}

void text_numbers_encode(const struct text_plan *p, uint32_t class, bool codes, struct buf *out)
{
    struct column_ref c = ref_of(p, class);
    uint32_t n = c.n, sample = MIN(n, (uint32_t)SAMPLE);
    if (n > SEARCH_MIN && all_same(c.values, n)) {
        put_constant(c.values, n, codes, out);
        return;
    }
    uint64_t *work = malloc(((size_t)n * 4 + (size_t)sample * CONTEXTS + 1) * sizeof *work);
    uint64_t *seq = work, *context = work + n, *distinct = context + n, *numbered = distinct + n;
    ASSERT(work);
    struct search s = { .p = p, .class = class, .from = (n - sample) / 2, .n = sample, .context = context, .seq = seq, .of_sample = numbered + n };
    find_contexts(&s);
    struct choice best = choose(&s, c.values, codes);
    uint32_t count = codes || n < SEARCH_MIN ? 0 : number_values(c.values, n, distinct, numbered);
    if (count > 1) {
        struct choice coded = choose(&s, numbered, true);
        struct buf front;
        buf_init(&front, (size_t)n * VARINT_MAX + 1024, NULL);
        buf_varint(&front, count);
        col_seq_encode(distinct, count, &front);
        /* The part of the dictionary that the sample pays for. */
        if (coded.bytes + (double)front.n * sample / n < best.bytes)
            put_model(&s, coded, M_DICT, numbered, n, &front, out);
        else
            count = 0;
        buf_deinit(&front);
    }
    if (count <= 1) put_model(&s, best, 0, c.values, n, NULL, out);
    free(work);
}

/* -- back ---------------------------------------------------------------------------------------------------------------- */

static err_t undo_codes(unsigned model, uint32_t how, const uint64_t *context, uint32_t n, uint32_t limit, uint64_t *v)
{
    uint64_t before = 0, last = 0, next = 0;
    unsigned shift = table_clear(n, false);
    for (uint32_t i = 0; i < n; i++) {
        if (model == M_CODE) {
            v[i] = v[i] == 0 ? next : v[i] - 1;
        } else {
            uint64_t x = context ? context[i] : how == CTX_PREV ? last : last << 32 | before;
            uint64_t *guess = &table[table_slot(x, shift)];
            v[i] = v[i] == 0 ? *guess : v[i] == 1 ? next : v[i] - 2;
            *guess = v[i];
        }
        if (v[i] >= limit) return err_set(ERR_CORRUPT, "code %llu of %u", (unsigned long long)v[i], limit);
        next += v[i] == next;
        before = last;
        last = v[i];
    }
    return OK;
}

static void undo_numbers(unsigned model, const uint64_t *context, uint32_t n, uint64_t *v)
{
    uint64_t last = 0;
    if (model == M_DELTA)
        for (uint32_t i = 0; i < n; i++)
            v[i] = last += (uint64_t)unzigzag(v[i]);
    if (model != M_LAST) return;
    unsigned shift = table_clear(n, false);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t *guess = &table[table_slot(context[i], shift)];
        *guess = v[i] = *guess + (uint64_t)unzigzag(v[i]);
    }
}

struct head {
    unsigned model;
    bool dict;
    uint32_t context;
};

static err_t get_head(struct cur *c, struct head *h)
{
    uint8_t head;
    TRY(cur_u8(c, &head));
    *h = (struct head){ .model = head & ~(unsigned)M_DICT, .dict = head & M_DICT };
    if (h->model > M_GUESS || (h->dict && h->model < M_CODE)) return err_set(ERR_CORRUPT, "model %u of a column of numbers", head);
    return h->model == M_LAST || h->model == M_GUESS ? cur_count(c, INT32_MAX, &h->context) : OK;
}

err_t text_numbers_needs(struct cur c, const struct text_plan *p, uint32_t *class, bool *rows)
{
    struct head h;
    TRY(get_head(&c, &h));
    *class = TEXT_CLASS_TEMPLATE;
    *rows = (h.model == M_LAST || h.model == M_GUESS) && (h.context >= CTX_TEMPLATE || h.model == M_LAST);
    if (h.context < CTX_CLASS) return OK;
    *class = h.context - CTX_CLASS;
    return *class < p->nclasses ? OK : err_set(ERR_CORRUPT, "context %u of a column of numbers", h.context);
}

err_t text_numbers_distinct(struct cur c, uint32_t limit, struct arena *a, uint64_t **values, uint32_t *n)
{
    struct head h;
    *n = 0;
    TRY(get_head(&c, &h));
    if (!h.dict) return OK;
    TRY(cur_count(&c, limit, n));
    *values = ARENA_RAW(a, uint64_t, *n);
    TRY(arena_check(a));
    return col_seq_decode(&c, *n, *values);
}

static err_t get_contexts(const struct text_plan *p, uint32_t class, const struct head *h, uint32_t n, struct arena *a, uint64_t **context)
{
    uint32_t how = h->context;
    if (how < CTX_TEMPLATE && h->model == M_GUESS) return OK;
    bool known = how == CTX_TEMPLATE ? class != TEXT_CLASS_TEMPLATE
                 : how >= CTX_CLASS  ? how - CTX_CLASS < p->nclasses && p->classes[how - CTX_CLASS].values
                                     : false;
    uint64_t *to = known ? ARENA_RAW(a, uint64_t, n) : NULL;
    TRY(arena_check(a));
    if (!known || !contexts_of(p, class, how, 0, n, to)) return err_set(ERR_CORRUPT, "context %u of a column of numbers", how);
    *context = to;
    return OK;
}

err_t text_numbers_decode(struct cur *c, const struct text_plan *p, uint32_t class, bool codes, uint32_t limit, struct arena *a, uint64_t *out)
{
    struct head h;
    uint32_t n = class == TEXT_CLASS_TEMPLATE ? p->n : p->classes[class].n, count = 0;
    uint64_t *distinct = NULL, *context = NULL;
    TRY(get_head(c, &h));
    if (codes ? h.dict || h.model < M_CODE : !h.dict && h.model >= M_CODE)
        return err_set(ERR_CORRUPT, "model %u of a column of %s", h.model, codes ? "codes" : "numbers");
    if (h.dict) {
        TRY(cur_count(c, n, &count));
        distinct = ARENA_RAW(a, uint64_t, count);
        TRY(arena_check(a));
        TRY(col_seq_decode(c, count, distinct));
        limit = count;
    }
    if (n && (h.model == M_LAST || h.model == M_GUESS)) TRY(get_contexts(p, class, &h, n, a, &context));
    TRY(col_seq_decode(c, n, out));
    if (h.model >= M_CODE)
        TRY(undo_codes(h.model, h.context, context, n, limit, out));
    else
        undo_numbers(h.model, context, n, out);
    for (uint32_t i = 0; distinct && i < n; i++)
        out[i] = distinct[out[i]];
    return OK;
}
