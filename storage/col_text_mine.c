/* From strings to templates: every string is taken apart; patterns that differ in words only are joined when too few strings
 * have each of them; what is still rare is kept whole. Bounded: PATTERNS_MAX patterns, a few passes over those. */
#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/col_text_int.h"

#include <stdlib.h>

enum { PATTERNS_MAX = 16384, WORDS_MAX = 48, STRINGS_A_TEMPLATE = 8, STRINGS_MIN = 3, PREFIX_MAX = 8 };
enum { EDGES_MAX = 32768, EDGE_TEXT = 64 /* bytes of text an edge of the trie */ };

struct pattern {
    uint32_t at, len;      /* in `text` */
    uint32_t strings;
    uint32_t next;         /* of the same skeleton */
    uint32_t final;
    uint32_t recipe;       /* where its recipe begins; NO_RECIPE: the slots as they are */
    uint32_t nslots;       /* of the final pattern */
};
enum { NO_RECIPE = UINT32_MAX };

struct final { /* a pattern as it is kept */
    uint32_t at, len, strings, id;
    bool rare;
};

struct miner {
    const char *source;
    const uint32_t *offset;
    uint32_t n;
    struct arena *a;
    struct buf text;       /* patterns, then final patterns */
    struct htab index;
    struct pattern *patterns;
    uint32_t npatterns;
    size_t cap_patterns;
    uint32_t *of;          /* string -> pattern */
    uint64_t *first;       /* string -> its first slot; n + 1 */
    uint64_t *slots;
    uint64_t nslots, cap_slots;
    struct final *finals;
    uint32_t nfinals;
    size_t cap_finals;
    uint64_t *recipes;     /* slot number, or PART_WORD and a part of text */
    uint32_t nrecipes;
    size_t cap_recipes;
};

/* -- patterns of strings --------------------------------------------------------------------------------------------- */

static uint32_t pattern_of(struct miner *m, struct str p)
{
    uint64_t hash = hash64(p);
    for (uint32_t it = 0, k; htab_next(&m->index, hash, &it, &k);)
        if (str_eq((struct str){ m->text.p + m->patterns[k].at, m->patterns[k].len }, p)) return k;
    uint32_t i = m->npatterns++;
    m->patterns = arena_grow(m->a, m->patterns, i, &m->cap_patterns, m->npatterns, sizeof *m->patterns);
    m->patterns[i] = (struct pattern){ .at = (uint32_t)m->text.n, .len = (uint32_t)p.n, .recipe = NO_RECIPE };
    buf_str(&m->text, p);
    htab_insert(&m->index, hash, i);
    return i;
}

/* The pattern of the string at hand, and its values to x. */
static uint32_t take_one(struct miner *m, struct text_trie *t, const struct lex_string *s, struct lexed *x)
{
    struct trie_walk w;
    if (trie_follow(t, m->text.p, s, x, &w)) return w.pattern;
    if (m->npatterns >= PATTERNS_MAX || !text_lex(s, w.at, x)) {
        const char rest[SLOT_BYTES] = { 0, SLOT_REST };
        memcpy(x->pattern, rest, sizeof rest);
        x->slots[0] = value_of_part(s->from, s->to - s->from);
        x->n = sizeof rest;
        x->nslots = 1;
        return pattern_of(m, (struct str){ x->pattern, x->n });
    }
    uint32_t k = pattern_of(m, (struct str){ x->pattern, x->n });
    if (!x->escaped) trie_add(t, m->text.p, &w, k, m->patterns[k].at, x);
    return k;
}

static void take_apart(struct miner *m, bool outer, bool alike)
{
    struct lexed x = { .pattern = arena_alloc_aligned(m->a, TEXT_PATTERN_MAX, 1), .how = arena_alloc_aligned(m->a, TEXT_SLOTS_MAX + 8, 1) };
    struct text_trie trie;
    trie_init(&trie, !alike ? 0 : MIN((m->offset[m->n] - m->offset[0]) / EDGE_TEXT, (uint32_t)EDGES_MAX), m->a);
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->nslots + TEXT_SLOTS_MAX + 8 > m->cap_slots) {
            m->cap_slots = (m->nslots + TEXT_SLOTS_MAX) * 2;
            m->slots = realloc(m->slots, m->cap_slots * sizeof *m->slots);
            ASSERT(m->slots);
        }
        const struct lex_string s = { m->source, m->offset[i], m->offset[i + 1], outer };
        x.slots = m->slots + m->nslots;
        uint32_t k = take_one(m, &trie, &s, &x);
        m->of[i] = k;
        m->patterns[k].strings++;
        m->first[i] = m->nslots;
        m->nslots += x.nslots;
    }
    m->first[m->n] = m->nslots;
}

/* -- joining patterns --------------------------------------------------------------------------------------------------- */

static bool is_letter(char c) { return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_'; }

struct words {
    uint32_t n;
    uint32_t at[WORDS_MAX], len[WORDS_MAX]; /* in the pattern */
};

/* The words of a pattern and the hash of what is between them; false when there are too many. */
static bool words_of(struct str p, struct words *w, uint64_t *skeleton)
{
    uint64_t h = 1;
    w->n = 0;
    for (size_t i = 0, from = 0;;) {
        while (i < p.n && !is_letter(p.p[i]))
            i += p.p[i] == 0 ? (size_t)SLOT_BYTES : p.p[i] == 1 ? 2 : 1;
        i = MIN(i, p.n);
        h = hash64_with(str_sub(p, from, i), h);
        if (i == p.n) break;
        if (w->n == WORDS_MAX) return false;
        from = i;
        while (i < p.n && is_letter(p.p[i]))
            i++;
        w->at[w->n] = (uint32_t)from;
        w->len[w->n++] = (uint32_t)(i - from);
        from = i;
    }
    *skeleton = h;
    return true;
}

static struct str pattern_text(const struct miner *m, uint32_t k) { return (struct str){ m->text.p + m->patterns[k].at, m->patterns[k].len }; }

struct joint { /* the patterns of one skeleton */
    uint32_t n, nwords;
    uint64_t strings;
    uint32_t *pattern;
    uint64_t *word; /* hashes: [n][nwords] */
    bool open[WORDS_MAX];
};

static int by_value(const void *x, const void *y)
{
    const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static uint32_t count_distinct(uint64_t *v, uint32_t n)
{
    uint32_t count = 1;
    qsort(v, n, sizeof *v, by_value);
    for (uint32_t i = 1; i < n; i++)
        count += v[i] != v[i - 1];
    return count;
}

/* Which words of the patterns become slots: those with the most different ones, until enough strings share a template. */
static void open_words(struct joint *j, uint64_t *work)
{
    uint32_t distinct[WORDS_MAX];
    for (uint32_t w = 0; w < j->nwords; w++) {
        for (uint32_t i = 0; i < j->n; i++)
            work[i] = j->word[(size_t)i * j->nwords + w];
        distinct[w] = count_distinct(work, j->n);
    }
    for (uint32_t templates = j->n; templates > 1 && j->strings < (uint64_t)templates * STRINGS_A_TEMPLATE;) {
        uint32_t best = 0;
        for (uint32_t w = 1; w < j->nwords; w++)
            if (distinct[w] > distinct[best]) best = w;
        if (distinct[best] <= 1) return;
        distinct[best] = 0;
        j->open[best] = true;
        for (uint32_t i = 0; i < j->n; i++) {
            uint64_t h = 0;
            for (uint32_t w = 0; w < j->nwords; w++)
                if (!j->open[w]) h = hash_u64(h + j->word[(size_t)i * j->nwords + w]);
            work[i] = h;
        }
        templates = count_distinct(work, j->n);
    }
}

static uint32_t final_of(struct miner *m, struct str p)
{
    uint64_t hash = hash64_with(p, 7);
    for (uint32_t it = 0, k; htab_next(&m->index, hash, &it, &k);)
        if (str_eq((struct str){ m->text.p + m->finals[k].at, m->finals[k].len }, p)) return k;
    uint32_t i = m->nfinals++;
    m->finals = arena_grow(m->a, m->finals, i, &m->cap_finals, m->nfinals, sizeof *m->finals);
    m->finals[i] = (struct final){ .at = (uint32_t)m->text.n, .len = (uint32_t)p.n, .id = UINT32_MAX };
    buf_str(&m->text, p);
    htab_insert(&m->index, hash, i);
    return i;
}

static void add_recipe(struct miner *m, uint64_t item)
{
    m->recipes = arena_grow(m->a, m->recipes, m->nrecipes, &m->cap_recipes, (size_t)m->nrecipes + 1, sizeof *m->recipes);
    m->recipes[m->nrecipes++] = item;
}

/* The pattern with its open words as slots, and how to fill these. */
static void rewrite(struct miner *m, uint32_t k, const bool *open, struct buf *work)
{
    struct pattern *p = &m->patterns[k];
    struct str text = pattern_text(m, k);
    uint32_t word = 0, slot = 0;
    buf_clear(work);
    p->recipe = m->nrecipes;
    for (size_t i = 0; i < text.n;) {
        size_t from = i;
        if (text.p[i] == 0 || text.p[i] == 1) {
            i += text.p[i] == 0 ? (size_t)SLOT_BYTES : 2;
            if (text.p[from] == 0) add_recipe(m, slot++);
        } else if (!is_letter(text.p[i])) {
            i++;
        } else {
            while (i < text.n && is_letter(text.p[i]))
                i++;
            if (open[word++]) {
                pattern_slot(work, SLOT_WORD, 0, 0);
                add_recipe(m, value_of_part(p->at + from, i - from) | PART_WORD);
                continue;
            }
        }
        buf_put(work, text.p + from, i - from);
    }
    p->nslots = m->nrecipes - p->recipe;
    p->final = final_of(m, buf_view(work));
}

static void join(struct miner *m, uint32_t first, struct buf *work)
{
    struct joint j = { 0 };
    struct words w;
    uint64_t ignored;
    for (uint32_t k = first; k != UINT32_MAX; k = m->patterns[k].next) {
        j.n++;
        j.strings += m->patterns[k].strings;
    }
    if (j.n < 2 || j.strings >= (uint64_t)j.n * STRINGS_A_TEMPLATE) return;
    bool ok = words_of(pattern_text(m, first), &w, &ignored);
    j.nwords = w.n;
    if (!ok || w.n == 0) return;
    j.word = malloc((size_t)j.n * (j.nwords + 1) * sizeof *j.word);
    ASSERT(j.word);
    uint64_t *sort = j.word + (size_t)j.n * j.nwords;
    for (uint32_t k = first, i = 0; k != UINT32_MAX; k = m->patterns[k].next, i++) {
        struct str p = pattern_text(m, k);
        ok &= words_of(p, &w, &ignored) && w.n == j.nwords;
        for (uint32_t x = 0; ok && x < w.n; x++)
            j.word[(size_t)i * j.nwords + x] = hash64((struct str){ p.p + w.at[x], w.len[x] });
    }
    if (ok) {
        open_words(&j, sort);
        for (uint32_t k = first; k != UINT32_MAX; k = m->patterns[k].next)
            rewrite(m, k, j.open, work);
    }
    free(j.word);
}

static void join_all(struct miner *m)
{
    struct htab skeletons;
    struct words w;
    struct buf work;
    uint32_t *firsts = ARENA_RAW(m->a, uint32_t, m->npatterns), nfirsts = 0;
    uint64_t *hashes = ARENA_RAW(m->a, uint64_t, m->npatterns);
    htab_init(&skeletons, NULL);
    buf_init(&work, TEXT_PATTERN_MAX * 2, NULL);
    for (uint32_t k = 0; k < m->npatterns; k++) {
        uint64_t h;
        struct pattern *p = &m->patterns[k];
        uint32_t at = UINT32_MAX;
        p->next = UINT32_MAX;
        p->final = UINT32_MAX;
        if (!words_of(pattern_text(m, k), &w, &h)) continue;
        for (uint32_t it = 0, i; at == UINT32_MAX && htab_next(&skeletons, h, &it, &i);)
            if (hashes[i] == h) at = i;
        if (at == UINT32_MAX) {
            at = nfirsts++;
            hashes[at] = h;
            firsts[at] = UINT32_MAX;
            htab_insert(&skeletons, h, at);
        }
        p->next = firsts[at];
        firsts[at] = k;
    }
    htab_clear(&m->index);
    for (uint32_t i = 0; i < nfirsts; i++)
        join(m, firsts[i], &work);
    for (uint32_t k = 0; k < m->npatterns; k++) {
        struct pattern *p = &m->patterns[k];
        if (p->final == UINT32_MAX) {
            buf_clear(&work);
            buf_str(&work, pattern_text(m, k)); /* final_of may move the text */
            p->final = final_of(m, buf_view(&work));
        }
        m->finals[p->final].strings += p->strings;
    }
    buf_deinit(&work);
    htab_deinit(&skeletons);
}

/* -- what is rare --------------------------------------------------------------------------------------------------------- */

static bool is_time(unsigned type) { return type >= SLOT_ISO && type <= SLOT_CLOCK; }

/* Where the rest begins, and how many slots are in front of it (0 or 1), of a string whose pattern is rare. */
static uint32_t prefix_of(const struct miner *m, uint32_t i, uint32_t *pattern_len, uint32_t *slots)
{
    struct str p = pattern_text(m, m->of[i]);
    size_t at = 0;
    *slots = *pattern_len = 0;
    while (at < p.n && at < PREFIX_MAX && (uint8_t)p.p[at] > 1)
        at++;
    if (at + SLOT_BYTES > p.n || p.p[at] != 0 || !is_time((uint8_t)p.p[at + 1])) return m->offset[i];
    char tmp[TEXT_NUMBER_MAX];
    uint32_t n = slot_write((uint8_t)p.p[at + 1], (uint8_t)p.p[at + 2], (uint8_t)p.p[at + 3], m->slots[m->first[i]], tmp);
    *slots = 1;
    *pattern_len = (uint32_t)at + SLOT_BYTES;
    return m->offset[i] + (uint32_t)at + n;
}

/* Appends the slots of string i under its final pattern, which is returned. */
static uint32_t put_slots(struct miner *m, uint32_t i, struct buf *work, struct text_mined *out)
{
    const struct pattern *p = &m->patterns[m->of[i]];
    uint64_t first = m->first[i], *to = out->slots;
    if (m->finals[p->final].rare) {
        uint32_t len, slots, from = prefix_of(m, i, &len, &slots), end = m->offset[i + 1];
        buf_clear(work);
        buf_put(work, m->text.p + p->at, len);
        if (slots) to[out->nslots++] = m->slots[first];
        if (from < end) {
            pattern_slot(work, SLOT_REST, 0, 0);
            to[out->nslots++] = value_of_part(from, end - from);
            out->rest_bytes += end - from;
        }
        return final_of(m, buf_view(work));
    }
    if (p->recipe == NO_RECIPE) {
        memcpy(to + out->nslots, m->slots + first, (m->first[i + 1] - first) * sizeof *to);
        out->nslots += m->first[i + 1] - first;
        return p->final;
    }
    for (uint32_t k = 0; k < p->nslots; k++) {
        uint64_t item = m->recipes[p->recipe + k];
        to[out->nslots++] = item & PART_WORD ? item : m->slots[first + item];
    }
    return p->final;
}

static uint64_t slots_in_all(const struct miner *m)
{
    uint64_t n = m->nslots + 2 * (uint64_t)m->n;
    for (uint32_t k = 0; k < m->npatterns; k++)
        if (m->patterns[k].recipe != NO_RECIPE) n += (uint64_t)m->patterns[k].nslots * m->patterns[k].strings;
    return n;
}

static void finish(struct miner *m, struct text_mined *out)
{
    struct buf work;
    buf_init(&work, TEXT_PATTERN_MAX, NULL);
    for (uint32_t k = 0; k < m->nfinals; k++)
        m->finals[k].rare = m->finals[k].strings < STRINGS_MIN;
    out->slots = ARENA_RAW(m->a, uint64_t, slots_in_all(m));
    out->template = ARENA_RAW(m->a, uint64_t, (size_t)m->n + 1);
    size_t cap = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t k = put_slots(m, i, &work, out);
        struct final *f = &m->finals[k];
        if (f->id == UINT32_MAX) {
            f->id = out->ntemplates++;
            out->ends = arena_grow(m->a, out->ends, f->id, &cap, out->ntemplates, sizeof *out->ends);
            buf_put(&out->patterns, m->text.p + f->at, f->len);
            out->ends[f->id] = (uint32_t)out->patterns.n;
        }
        out->template[i] = f->id;
    }
    buf_deinit(&work);
}

void text_mine(const char *text, const uint32_t *offset, uint32_t n, bool outer, bool alike, struct arena *a, struct text_mined *out)
{
    struct miner m = { .source = text, .offset = offset, .n = n, .a = a };
    *out = (struct text_mined){ 0 };
    buf_init(&m.text, UINT32_MAX, NULL);
    buf_init(&out->patterns, UINT32_MAX, NULL);
    htab_init(&m.index, NULL);
    m.of = ARENA_RAW(a, uint32_t, (size_t)n + 1);
    m.first = ARENA_RAW(a, uint64_t, (size_t)n + 1);
    take_apart(&m, outer, alike);
    join_all(&m);
    finish(&m, out);
    out->words = arena_dup(a, m.text.p, m.text.n);
    htab_deinit(&m.index);
    buf_deinit(&m.text);
    free(m.slots);
}
