#include "base/core/assert.h"
#include "storage/col_text_int.h"

/* Edges of a node that are looked at, and how many strings it takes to see whether the trie is of use: when fewer than one in SHARE goes
 * all the way, or an edge that is looked at saves fewer bytes than these, taking apart is quicker. */
enum { EDGES_LOOKED_AT = 32, TRIAL = 256, SHARE = 4, EDGE_BYTES_MIN = 5 };
enum edge_kind { EDGE_TEXT, EDGE_SLOT, EDGE_END };

struct trie_edge {
    uint32_t next;       /* of the same node; those that were taken last are in front */
    uint32_t first;      /* of the node behind it; EDGE_END: the pattern */
    uint32_t begin, at;  /* its pattern, and where the text or slot is, in the bytes of patterns */
    uint32_t len;        /* EDGE_TEXT: > 0 */
    uint8_t mark[SLOT_BYTES];
    uint8_t kind, how;
    bool safe;           /* EDGE_TEXT: the node behind it is a safe place, as those behind slots are */
    char byte;           /* EDGE_TEXT: the first one */
};

void trie_init(struct text_trie *t, uint32_t max, struct arena *a) { *t = (struct text_trie){ .a = a, .max = max, .first = TRIE_NONE }; }

static uint32_t *first_of(struct text_trie *t, uint32_t edge) { return edge == TRIE_NONE ? &t->first : &t->edges[edge].first; }

static uint32_t bytes_of(const struct trie_edge *e) { return e->kind == EDGE_TEXT ? e->len : e->kind == EDGE_SLOT ? SLOT_BYTES : 0; }
/* Bytes of its pattern up to its end. */
static uint32_t prefix_of(const struct trie_edge *e) { return e->at + bytes_of(e) - e->begin; }

/* -- following ----------------------------------------------------------------------------------------------------------- */

/* Does the string go along the edge? Then it is at its end. */
static inline bool take_edge(const struct trie_edge *e, const char *patterns, const struct lex_string *s, struct lex_place *at, struct lexed *out)
{
    if (e->kind == EDGE_SLOT) return text_lex_slot(s, at, e->how, e->mark, out);
    if (e->kind == EDGE_END) return at->text == s->to;
    const char *p = s->text + at->text;
    if (s->to - at->text < e->len || *p != e->byte || memcmp(p, patterns + e->at, e->len) != 0) return false;
    at->at = at->text += e->len;
    return true;
}

/* To the front of its node's; `before` is the one before it. */
static void to_front(struct text_trie *t, uint32_t *first, uint32_t before, uint32_t edge)
{
    if (before == TRIE_NONE) return;
    t->edges[before].next = t->edges[edge].next;
    t->edges[edge].next = *first;
    *first = edge;
}

/* One edge on from those that begin with *first; TRIE_NONE when there is none for the string. */
static inline uint32_t follow_one(struct text_trie *t, const char *patterns, uint32_t *first, const struct lex_string *s, struct lex_place *at,
                                  struct lexed *out)
{
    uint32_t before = TRIE_NONE, left = EDGES_LOOKED_AT;
    for (uint32_t i = *first; i != TRIE_NONE && left > 0; before = i, i = t->edges[i].next, left--)
        if (take_edge(&t->edges[i], patterns, s, at, out)) {
            to_front(t, first, before, i);
            t->looked += EDGES_LOOKED_AT + 1 - left;
            return i;
        }
    t->looked += EDGES_LOOKED_AT - left;
    return TRIE_NONE;
}

static bool of_use(const struct text_trie *t)
{
    return t->max > 0 && (t->asked < TRIAL || (t->found >= t->asked / SHARE && t->bytes >= t->looked * EDGE_BYTES_MIN));
}

bool trie_follow(struct text_trie *t, const char *patterns, const struct lex_string *s, struct lexed *out, struct trie_walk *w)
{
    struct lex_place at = { s->from, s->from };
    uint32_t *first = &t->first;
    *w = (struct trie_walk){ .edge = TRIE_NONE, .at = at };
    out->n = out->nslots = 0;
    if (!of_use(t)) return false;
    t->asked++;
    for (uint32_t i; (i = follow_one(t, patterns, first, s, &at, out)) != TRIE_NONE;) {
        struct trie_edge *e = &t->edges[i];
        if (e->kind == EDGE_END) {
            w->pattern = e->first;
            t->found++;
            t->bytes += s->to - s->from;
            return true;
        }
        first = &e->first;
        if (e->kind == EDGE_TEXT && !e->safe) continue;
        w->edge = i;
        w->nslots = out->nslots;
        w->at = at;
    }
    out->n = 0;
    out->nslots = w->nslots;
    t->bytes += w->at.text - s->from;
    if (w->edge == TRIE_NONE) return false;
    out->n = prefix_of(&t->edges[w->edge]);
    memcpy(out->pattern, patterns + t->edges[w->edge].begin, out->n);
    return false;
}

/* -- growing ---------------------------------------------------------------------------------------------------------------- */

static uint32_t add_edge(struct text_trie *t, uint32_t parent, const struct trie_edge *e)
{
    if (t->nedges == t->max) return TRIE_NONE;
    t->edges = arena_grow(t->a, t->edges, t->nedges, &t->cap, (size_t)t->nedges + 1, sizeof *t->edges);
    uint32_t i = t->nedges++, *first = first_of(t, parent);
    t->edges[i] = *e;
    t->edges[i].next = *first;
    *first = i;
    return i;
}

/* The slot or the end, as a new edge when there is none. */
static uint32_t find_or_add(struct text_trie *t, uint32_t parent, const struct trie_edge *want)
{
    uint32_t left = EDGES_LOOKED_AT;
    for (uint32_t i = *first_of(t, parent); i != TRIE_NONE && left > 0; i = t->edges[i].next, left--) {
        const struct trie_edge *e = &t->edges[i];
        if (e->kind == want->kind && e->how == want->how && memcmp(e->mark, want->mark, SLOT_BYTES) == 0) return i;
    }
    return add_edge(t, parent, want);
}

/* How much of two texts is the same, up to a safe place. */
static uint32_t common(const char *a, const char *b, uint32_t n)
{
    uint32_t safe = 0;
    for (uint32_t i = 0; i < n && a[i] == b[i] && a[i] != '"'; i++)
        if (a[i] == ' ' || a[i] == '[' || a[i] == '(' || a[i] == ',') safe = i + 1;
    return safe;
}

/* Edge i becomes two: `len` bytes of text, then the rest. */
static bool split(struct text_trie *t, const char *patterns, uint32_t i, uint32_t len)
{
    if (t->nedges == t->max) return false;
    t->edges = arena_grow(t->a, t->edges, t->nedges, &t->cap, (size_t)t->nedges + 1, sizeof *t->edges);
    struct trie_edge *upper = &t->edges[i], *lower = &t->edges[t->nedges];
    *lower = *upper;
    lower->next = TRIE_NONE;
    lower->at += len;
    lower->len -= len;
    lower->byte = patterns[lower->at];
    upper->len = len;
    upper->first = t->nedges++;
    upper->safe = true;
    return true;
}

/* Goes along want's text as far as there are edges for it, or for its beginning; what is left of it is in `want`, then. */
static uint32_t find_text(struct text_trie *t, const char *patterns, uint32_t parent, struct trie_edge *want)
{
    uint32_t left = EDGES_LOOKED_AT;
    for (uint32_t i = *first_of(t, parent); i != TRIE_NONE && left > 0 && want->len > 0; left--) {
        const struct trie_edge *e = &t->edges[i];
        uint32_t n = 0;
        if (e->kind == EDGE_TEXT && e->byte == want->byte) {
            bool whole = e->len <= want->len && memcmp(patterns + e->at, patterns + want->at, e->len) == 0;
            n = whole ? e->len : common(patterns + e->at, patterns + want->at, MIN(e->len, want->len));
        }
        if (n == 0) {
            i = e->next;
            continue;
        }
        if (n < e->len && !split(t, patterns, i, n)) break;
        want->at += n;
        want->len -= n;
        if (want->len > 0) want->byte = patterns[want->at];
        parent = i;
        i = *first_of(t, i);
        left = EDGES_LOOKED_AT;
    }
    return parent;
}

void trie_add(struct text_trie *t, const char *patterns, const struct trie_walk *w, uint32_t pattern, uint32_t begin, const struct lexed *x)
{
    uint32_t parent = w->edge, at = begin, end = begin + x->n, slot = w->nslots;
    if (parent != TRIE_NONE) at += prefix_of(&t->edges[parent]);
    for (bool more = of_use(t); more;) {
        const char *mark = at < end ? memchr(patterns + at, 0, end - at) : NULL;
        uint32_t len = mark ? (uint32_t)(mark - patterns) - at : end - at;
        struct trie_edge text = { .first = TRIE_NONE, .begin = begin, .at = at, .len = len, .kind = EDGE_TEXT, .byte = len ? patterns[at] : 0 };
        struct trie_edge next = { .first = pattern, .begin = begin, .at = at + len, .kind = EDGE_END };
        if (len > 0) parent = find_text(t, patterns, parent, &text);
        if (text.len > 0 && (parent = add_edge(t, parent, &text)) == TRIE_NONE) return;
        more = mark != NULL;
        if (mark) {
            next.first = TRIE_NONE;
            next.kind = EDGE_SLOT;
            next.how = x->how[slot++];
            memcpy(next.mark, mark, SLOT_BYTES);
        }
        if ((parent = find_or_add(t, parent, &next)) == TRIE_NONE) return;
        at += len + SLOT_BYTES;
    }
}
