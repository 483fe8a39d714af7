#include "query/ops/needle.h"

#include "query/ops/expr.h"
#include "storage/tokens.h"

enum { ATOM_COMMON_MIN = 3 };

struct adding {
    struct arena *a;
    struct text_find *v;
    uint32_t n;
    bool failed;
};

static void add(struct adding *to, struct str s, bool fold)
{
    if (to->n == NEEDLES_MAX || s.n == 0) {
        to->failed = true;
        return;
    }
    char *p = (char *)(uintptr_t)arena_str(to->a, s).p;
    for (size_t i = 0; fold && i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z') p[i] = (char)(p[i] + 32);
    text_find_init(&to->v[to->n++], str_n(p, s.n), fold);
}

/* The longest run of characters of a shell-like pattern that stand for themselves. */
static struct str longest_run(struct str pattern, struct arena *a)
{
    char *out = arena_alloc(a, pattern.n + 1), *run = out;
    struct str best = STR_NONE;
    size_t n = 0;
    for (size_t i = 0; i <= pattern.n; i++) {
        char c = i < pattern.n ? pattern.p[i] : '*';
        if (i < pattern.n && c == '\\' && i + 1 < pattern.n) {
            run[n++] = pattern.p[++i];
            continue;
        }
        if (c != '*' && c != '?') {
            run[n++] = c;
            continue;
        }
        if (n > best.n) best = str_n(run, n);
        run += n;
        n = 0;
    }
    return best;
}

/* Is the pattern just that run between two stars? */
static bool is_inside(struct str pattern, size_t run)
{
    return pattern.n == run + 2 && pattern.p[0] == '*' && pattern.p[pattern.n - 1] == '*';
}

static void add_words(struct adding *to, const struct leaf *l)
{
    for (uint32_t i = 0; i < l->nlits; i++) {
        if (l->lits[i].type != COL_STR || !token_plain(l->lits[i].s)) {
            to->failed = true;
            return;
        }
        add(to, l->lits[i].s, true);
    }
}

static void add_phrase(struct adding *to, const struct phrase *p)
{
    struct str longest = STR_NONE;
    for (uint32_t i = 0; i < p->n; i++)
        if (p->tokens[i].n > longest.n && token_is_ascii(p->tokens[i])) longest = p->tokens[i];
    add(to, longest, true);
}

/* Many atoms are mostly one that a class of characters follows: what all begin with, then. */
struct atoms {
    struct adding *to;
    struct str first;
    size_t common;
    uint32_t n;
};

static void add_atom(void *arg, struct str atom)
{
    struct atoms *x = arg;
    if (x->n++ == 0) {
        x->first = arena_str(x->to->a, atom);
        x->common = atom.n;
    }
    while (x->common > atom.n || memcmp(x->first.p, atom.p, x->common) != 0)
        x->common--;
    if (x->n <= NEEDLES_MAX) add(x->to, atom, true);
}

static void add_atoms(struct adding *to, const struct regex *re)
{
    struct atoms x = { .to = to };
    to->failed |= !regex_atoms(re, add_atom, &x);
    if (x.n <= NEEDLES_MAX && x.common < ATOM_COMMON_MIN) return;
    to->n = 0; /* one pass instead of several */
    add(to, str_sub(x.first, 0, x.common >= ATOM_COMMON_MIN ? x.common : 0), true);
}

struct needles needles_of(const struct leaf *l, struct arena *a)
{
    struct adding to = { .a = a, .v = ARENA_ARRAY(a, struct text_find, NEEDLES_MAX) };
    switch (l->op) {
    case LEAF_EQ:
    case LEAF_NE:
        if (!l->words) return (struct needles){ 0 }; /* lengths tell faster */
        add_words(&to, l);
        break;
    case LEAF_PREFIX:
        if (l->words) add_words(&to, l);
        else add(&to, l->lits[0].s, l->fold);
        break;
    case LEAF_WILDCARD: add(&to, longest_run(l->lits[0].s, a), l->fold || l->words); break;
    case LEAF_PHRASE: add_phrase(&to, &l->phrase); break;
    case LEAF_REGEX:
    case LEAF_NREGEX:
        add_atoms(&to, l->re);
        break;
    default: to.failed = true;
    }
    if (to.failed) return (struct needles){ 0 };
    struct needles out = { .v = to.v, .n = to.n, .json_safe = true };
    out.words = l->words || l->op == LEAF_PHRASE;
    out.enough = !l->words && l->op == LEAF_WILDCARD && is_inside(l->lits[0].s, to.v[0].needle.n);
    for (uint32_t i = 0; i < out.n; i++)
        for (size_t k = 0; k < out.v[i].needle.n; k++) {
            char c = out.v[i].needle.p[k];
            if (c < 0x20 || c > 0x7e || c == '"' || c == '\\' || c == '/') out.json_safe = false;
        }
    return out;
}

bool needles_candidates(const struct needles *n, const struct column *c, uint64_t *bits, struct arena *scratch)
{
    if (n->n == 0 || (c->type != COL_STR && (c->type != COL_JSON || !n->json_safe))) return false;
    struct arena_mark mark = arena_mark(scratch);
    uint64_t *more = NULL;
    size_t words = ((size_t)c->dict.count + 63) / 64;
    (void)text_find_entries(&n->v[0], &c->dict, bits);
    for (uint32_t i = 1; i < n->n + (c->type == COL_JSON); i++) {
        struct text_find hidden;
        text_find_init(&hidden, STR("\\u"), false);
        if (!more) more = ARENA_RAW(scratch, uint64_t, words);
        (void)text_find_entries(i < n->n ? &n->v[i] : &hidden, &c->dict, more);
        for (size_t w = 0; w < words; w++)
            bits[w] |= more[w];
    }
    arena_rollback(scratch, mark);
    return true;
}

void needles_cond(const struct needles *n, enum col_type type, struct text_cond *out, struct arena *a)
{
    out->needles = n->v;
    out->n = n->n;
    out->kind = type == COL_JSON ? TEXT_ANY : n->enough ? TEXT_HAS : n->words ? TEXT_WORDS : TEXT_ANY;
    if (type != COL_JSON) return;
    struct text_find *v = ARENA_RAW(a, struct text_find, (size_t)n->n + 1);
    memcpy(v, n->v, n->n * sizeof *v);
    text_find_init(&v[n->n], STR("\\u"), false);
    out->needles = v;
    out->n = n->n + 1;
}
