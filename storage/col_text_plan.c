#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_text_int.h"

enum { CONTEXT_MAX = 40, ORDINAL_MAX = 63, OPS_MAX = 4 << 20 };
/* Classes whose rows are found one by one; for more it is less work to find all. */
enum { ROWS_ALONE_MAX = 4 };

static bool is_letter_or_digit(uint8_t c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_'; }

/* What stands in front of a slot, as far as it says what the slot means. */
static struct str context_of(struct str text)
{
    size_t i = text.n, min = text.n > CONTEXT_MAX ? text.n - CONTEXT_MAX : 0;
    while (i > min && !is_letter_or_digit((uint8_t)text.p[i - 1]))
        i--;
    if (i == min) return str_sub(text, text.n ? text.n - 1 : 0, text.n);
    while (i > min && is_letter_or_digit((uint8_t)text.p[i - 1]))
        i--;
    return str_sub(text, i, text.n);
}

struct planner {
    struct text_plan *p;
    struct arena *a;
    struct htab classes, seen;
    uint32_t *count, *stamp; /* of the contexts: how many slots in the template at hand */
    uint32_t ncontexts;
    size_t cap_ops, cap_classes, cap_contexts;
    uint64_t *class_key, *context_key;
    size_t cap_keys, cap_context_keys, cap_stamp;
};

/* How many slots with this key came before in the template. */
static uint32_t ordinal_of(struct planner *x, uint64_t key, uint32_t template)
{
    uint32_t i = UINT32_MAX;
    for (uint32_t it = 0, k; i == UINT32_MAX && htab_next(&x->seen, key, &it, &k);)
        if (x->context_key[k] == key) i = k;
    if (i == UINT32_MAX) {
        i = x->ncontexts++;
        x->context_key = arena_grow(x->a, x->context_key, i, &x->cap_context_keys, x->ncontexts, sizeof *x->context_key);
        x->count = arena_grow(x->a, x->count, i, &x->cap_contexts, x->ncontexts, sizeof *x->count);
        x->stamp = arena_grow(x->a, x->stamp, i, &x->cap_stamp, x->ncontexts, sizeof *x->stamp);
        x->context_key[i] = key;
        x->stamp[i] = UINT32_MAX;
        htab_insert(&x->seen, key, i);
    }
    if (x->stamp[i] != template) x->count[i] = 0;
    x->stamp[i] = template;
    return MIN(x->count[i]++, (uint32_t)ORDINAL_MAX);
}

static uint32_t class_of(struct planner *x, const struct text_op *op, uint32_t template)
{
    struct text_plan *p = x->p;
    bool time = op->type >= SLOT_ISO && op->type <= SLOT_CLOCK;
    struct str context = time ? STR_NONE : context_of((struct str){ p->text + op->text_at, op->text_len });
    uint64_t key = hash64_with(context, (uint64_t)(op->type | op->a << 8 | op->b << 16));
    key = hash_u64(key + ordinal_of(x, key, template));
    for (uint32_t it = 0, k; htab_next(&x->classes, key, &it, &k);) {
        const struct text_class *c = &p->classes[k];
        if (x->class_key[k] == key && c->type == op->type && c->a == op->a && c->b == op->b) return k;
    }
    uint32_t i = p->nclasses++;
    x->class_key = arena_grow(x->a, x->class_key, i, &x->cap_keys, p->nclasses, sizeof *x->class_key);
    p->classes = arena_grow(x->a, p->classes, i, &x->cap_classes, p->nclasses, sizeof *p->classes);
    x->class_key[i] = key;
    p->classes[i] = (struct text_class){ .type = op->type, .a = op->a, .b = op->b };
    htab_insert(&x->classes, key, i);
    return i;
}

static err_t plan_one(struct planner *x, struct str pattern, uint32_t template, uint32_t *text)
{
    struct text_plan *p = x->p;
    for (size_t i = 0;; ) {
        p->ops = arena_grow(x->a, p->ops, p->nops, &x->cap_ops, (size_t)p->nops + 1, sizeof *p->ops);
        struct text_op *op = &p->ops[p->nops++];
        *op = (struct text_op){ .text_at = *text };
        for (; i < pattern.n && pattern.p[i] != 0; i++) {
            char c = pattern.p[i];
            if (c == 1) {
                if (++i == pattern.n || (pattern.p[i] != 1 && pattern.p[i] != 2)) return err_set(ERR_CORRUPT, "a pattern is cut");
                c = (char)(pattern.p[i] - 1);
            }
            p->text[(*text)++] = c;
        }
        op->text_len = *text - op->text_at;
        if (i == pattern.n) return OK;
        if (pattern.n - i < SLOT_BYTES) return err_set(ERR_CORRUPT, "a pattern is cut");
        op->type = (uint8_t)pattern.p[i + 1];
        op->a = (uint8_t)pattern.p[i + 2];
        op->b = (uint8_t)pattern.p[i + 3];
        if (!slot_valid(op->type, op->a, op->b)) return err_set(ERR_CORRUPT, "a slot of type %u (%u, %u)", op->type, op->a, op->b);
        op->class = class_of(x, op, template);
        i += SLOT_BYTES;
    }
}

err_t text_plan_make(struct str patterns, const uint32_t *ends, uint32_t n, struct arena *a, struct text_plan *out)
{
    *out = (struct text_plan){ .ntemplates = n };
    struct planner x = { .p = out, .a = a };
    out->text = arena_alloc_aligned(a, patterns.n + TEXT_SLACK, 1);
    out->first_op = ARENA_RAW(a, uint32_t, (size_t)n + 1);
    htab_init(&x.classes, NULL);
    htab_init(&x.seen, NULL);
    uint32_t text = 0, from = 0;
    err_t e = arena_check(a);
    for (uint32_t i = 0; i < n && e == OK; i++) {
        out->first_op[i] = out->nops;
        e = plan_one(&x, (struct str){ patterns.p + from, ends[i] - from }, i, &text);
        if (e == OK) e = arena_check(a);
        from = ends[i];
    }
    out->first_op[n] = out->nops;
    htab_deinit(&x.classes);
    htab_deinit(&x.seen);
    return e;
}

err_t text_plan_count(struct text_plan *p, const uint64_t *template, uint32_t n, uint64_t limit, struct arena *a)
{
    uint32_t *uses = ARENA_ARRAY(a, uint32_t, (size_t)p->ntemplates + 1);
    uint64_t total = 0;
    TRY(arena_check(a));
    for (uint32_t i = 0; i < n; i++) {
        if (template[i] >= p->ntemplates) return err_set(ERR_CORRUPT, "template %llu of %u", (unsigned long long)template[i], p->ntemplates);
        uses[template[i]]++;
    }
    for (uint32_t t = 0; t < p->ntemplates; t++)
        total += (uint64_t)uses[t] * (p->first_op[t + 1] - p->first_op[t] - 1);
    if (total > limit) return err_set(ERR_CORRUPT, "%llu values, at most %llu", (unsigned long long)total, (unsigned long long)limit);
    for (uint32_t t = 0; t < p->ntemplates; t++)
        for (uint32_t k = p->first_op[t]; k + 1 < p->first_op[t + 1]; k++)
            p->classes[p->ops[k].class].n += uses[t];
    p->n = n;
    return OK;
}

/* The rows of all classes, by what template the strings have. */
static err_t fill_rows(struct text_plan *p, const uint64_t *template, struct arena *a)
{
    uint32_t *at = ARENA_ARRAY(a, uint32_t, (size_t)p->nclasses + 1);
    for (uint32_t k = 0; k < p->nclasses; k++)
        p->classes[k].rows = ARENA_RAW(a, uint32_t, p->classes[k].n);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = p->first_op[template[i]]; k + 1 < p->first_op[template[i] + 1]; k++) {
            uint32_t class = p->ops[k].class;
            p->classes[class].rows[at[class]++] = i;
        }
    return OK;
}

err_t text_plan_rows(struct text_plan *p, const uint64_t *template, uint32_t n, uint64_t limit, struct arena *a)
{
    TRY(text_plan_count(p, template, n, limit, a));
    return fill_rows(p, template, a);
}

err_t text_plan_rows_of(struct text_plan *p, uint32_t class, struct arena *a)
{
    struct text_class *c = &p->classes[class];
    if (c->rows) return OK;
    if (p->alone++ >= ROWS_ALONE_MAX) return fill_rows(p, p->template, a);
    uint32_t *uses = ARENA_ARRAY(a, uint32_t, (size_t)p->ntemplates + 1), *rows = ARENA_RAW(a, uint32_t, (size_t)c->n + 1), at = 0;
    TRY(arena_check(a));
    for (uint32_t t = 0; t < p->ntemplates; t++)
        for (uint32_t k = p->first_op[t]; k + 1 < p->first_op[t + 1]; k++)
            uses[t] += p->ops[k].class == class;
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t left = uses[p->template[i]]; left > 0; left--)
            rows[at++] = i;
    c->rows = rows;
    return OK;
}
