/* No text that satisfies a condition is without its needles: random conditions over random texts, as they are and in JSON. */
#include "query/ops/needle.h"

#include "base/core/prng.h"
#include "query/ops/expr.h"

#include <criterion/criterion.h>

enum { TEXTS = 60 };
static struct arena mem;

static const char *const pieces[] = { "kiwi", "Task", "SUMS", "a1", "B", " ", ".", "ski", "/x", "\xc3\xa9", "\xe2\x84\xaa", "\xc5\xbf", "\"", "\\", "*" };

static struct str some_text(struct prng *r, unsigned most)
{
    struct buf b;
    buf_init(&b, 4096, NULL);
    for (uint64_t n = prng_below(r, most); n > 0; n--)
        buf_str(&b, str_of(pieces[prng_below(r, ARRAY_LEN(pieces))]));
    struct str s = arena_str(&mem, buf_view(&b));
    buf_deinit(&b);
    return s;
}

static struct str some_regex(struct prng *r)
{
    static const char *const parts[] = { ".*", "kiwi", "(Task|ski)", "[ab]+", "s?", "SUMS", "(?:k|a1)", "\\.", "(?i:task)", "[^k]", "\xc3\xa9", "\\x{212a}", "(?i)" };
    struct str s = STR(".*");
    for (uint64_t n = 1 + prng_below(r, 4); n > 0; n--)
        s = arena_printf(&mem, STR_FMT "%s", STR_ARG(s), parts[prng_below(r, ARRAY_LEN(parts))]);
    return prng_below(r, 2) ? s : arena_printf(&mem, STR_FMT ".*", STR_ARG(s));
}

static struct expr *some_leaf(struct prng *r, struct expr_builder *b)
{
    static const enum leaf_op ops[] = { LEAF_EQ, LEAF_PREFIX, LEAF_WILDCARD, LEAF_REGEX, LEAF_PHRASE };
    struct leaf l = { .op = ops[prng_below(r, 5)], .words = prng_below(r, 2), .fold = prng_below(r, 2) };
    struct val *lits = ARENA_ARRAY(&mem, struct val, 3);
    l.lits = lits;
    l.nlits = l.op == LEAF_EQ ? 1 + (uint32_t)prng_below(r, 3) : 1;
    for (uint32_t i = 0; i < l.nlits; i++) {
        struct str s = some_text(r, 4);
        if (l.words) s = text_lower(&mem, s);
        if (l.op == LEAF_WILDCARD && prng_below(r, 2)) s = arena_printf(&mem, "*" STR_FMT "?*", STR_ARG(s));
        lits[i] = (struct val){ .type = COL_STR, .s = s };
    }
    if (l.op == LEAF_PHRASE) {
        l.words = l.fold = false;
        l.phrase = phrase_of(&mem, some_text(r, 5));
        l.phrase.last_prefix = prng_below(r, 2);
        l.phrase.slop = (uint32_t)prng_below(r, 2);
    }
    if (l.op == LEAF_REGEX) cr_assert_eq(expr_regex(b, some_regex(r), &l.re), OK, "%s", err_detail());
    return expr_leaf(b, &l);
}

/* JSON text of a list of one string; some of its letters hidden. */
static struct str as_json(struct prng *r, struct str s)
{
    struct buf b;
    buf_init(&b, 1 << 16, NULL);
    buf_str(&b, STR("[\""));
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c == '"' || c == '\\') buf_byte(&b, '\\');
        if (c < 0x80 && c != '"' && c != '\\' && prng_below(r, 60) == 0) buf_printf(&b, "\\u%04x", c);
        else buf_byte(&b, c);
    }
    buf_str(&b, STR("\"]"));
    struct str out = arena_str(&mem, buf_view(&b));
    buf_deinit(&b);
    return out;
}

static uint32_t compare(struct prng *r, const struct leaf *l, bool json)
{
    struct str text[TEXTS];
    uint32_t offset[TEXTS + 1] = { 0 }, kept = 0;
    struct buf all;
    uint64_t bits[1];
    buf_init(&all, 1 << 20, NULL);
    for (uint32_t i = 0; i < TEXTS; i++) {
        text[i] = some_text(r, 8);
        buf_str(&all, json ? as_json(r, text[i]) : text[i]);
        offset[i + 1] = (uint32_t)all.n;
    }
    struct column c = { .type = json ? COL_JSON : COL_STR, .dict = { TEXTS, offset, all.p } };
    bool knows = needles_candidates(&l->needles, &c, bits, &mem);
    for (uint32_t i = 0; knows && i < TEXTS; i++) {
        struct val v = { .type = COL_STR, .s = text[i] };
        bool may = bits[0] >> i & 1;
        if (json) {
            struct val_list vs = json_path_values(dict_get(&c.dict, i), STR(""), &mem);
            cr_assert_eq(vs.n, 1);
            v = vs.v[0];
        }
        cr_assert(may || !leaf_holds(l, &v), "op %d words %d fold %d: `" STR_FMT "` for `" STR_FMT "`", l->op, l->words, l->fold,
                  STR_ARG(v.s), STR_ARG(l->needles.v[0].needle));
        kept += !may;
    }
    buf_deinit(&all);
    return kept;
}

Test(needle, none_is_missed)
{
    struct prng r;
    uint32_t skipped = 0;
    prng_init(&r, 5);
    for (int i = 0; i < 3000; i++) {
        struct expr_builder b;
        arena_init(&mem, NULL);
        expr_builder_init(&b, &mem);
        const struct expr *e = some_leaf(&r, &b);
        skipped += compare(&r, &e->leaf, prng_below(&r, 2));
        expr_builder_deinit(&b);
        arena_deinit(&mem);
    }
    cr_assert_gt(skipped, 20000); /* the test would hold for needles that are never known */
}

static bool found_any;
static void any_atom(void *arg, struct str atom)
{
    (void)arg, (void)atom;
    found_any = true;
}

Test(needle, atoms_of_regexes)
{
    static const struct { const char *pattern; bool known; } cases[] = {
        { ".*kiosks.*", true }, { "(?i).*kiosks.*", false }, { "(?i).*error.*", true }, { ".*", false },
        { ".*(error|warning).*", true }, { ".*(error|.*).*", false }, { "\xc3\x89tat.*", false }, { ".*ab.*", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct regex *re;
        found_any = false;
        cr_assert_eq(regex_new(str_of(cases[i].pattern), &re), OK);
        cr_assert_eq(regex_atoms(re, any_atom, NULL), cases[i].known, "%s", cases[i].pattern);
        cr_assert_eq(found_any, cases[i].known, "%s", cases[i].pattern);
        regex_free(re);
    }
}
