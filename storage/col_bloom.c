#include "storage/col_bloom.h"

#include "base/core/assert.h"

#include <stdlib.h>

enum { BITS_PER_KEY = 12, WORDS = 8 };

static const uint32_t mixers[WORDS] = { 0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f,
                                        0x165667b1, 0xd3a2646d, 0xfd7046c5, 0xb55a4f09 };

void hash_set_deinit(struct hash_set *s)
{
    free(s->slots);
    *s = (struct hash_set){ 0 };
}

void hash_set_clear(struct hash_set *s)
{
    if (s->count) memset(s->slots, 0, ((size_t)s->mask + 1) * sizeof *s->slots);
    s->count = 0;
}

static void set_place(uint64_t *slots, uint32_t mask, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & mask;
    while (slots[at])
        at = (at + 1) & mask;
    slots[at] = hash;
}

void hash_set_add(struct hash_set *s, uint64_t hash)
{
    hash |= hash == 0; /* 0 marks empty slots; bloom_maybe does the same */
    if (s->slots) {
        for (uint32_t at = (uint32_t)hash & s->mask; s->slots[at]; at = (at + 1) & s->mask)
            if (s->slots[at] == hash) return;
    }
    if (s->count >= HASH_SET_MAX) return;
    if (!s->slots || s->count * 2 > s->mask) {
        uint32_t cap = s->slots ? (s->mask + 1) * 2 : 64;
        uint64_t *slots = calloc(cap, sizeof *slots);
        ASSERT(slots);
        for (uint32_t i = 0; s->slots && i <= s->mask; i++)
            if (s->slots[i]) set_place(slots, cap - 1, s->slots[i]);
        free(s->slots);
        s->slots = slots;
        s->mask = cap - 1;
    }
    set_place(s->slots, s->mask, hash);
    s->count++;
}

static size_t block_of(uint64_t hash, size_t nblocks) { return (size_t)((hash >> 32) * nblocks >> 32); }

void bloom_build(const struct hash_set *s, struct buf *out)
{
    size_t nblocks = ((size_t)s->count * BITS_PER_KEY + 255) / 256;
    if (nblocks == 0) nblocks = 1;
    char *to = buf_reserve(out, nblocks * WORDS * 4);
    if (!to) return;
    memset(to, 0, nblocks * WORDS * 4);
    for (uint32_t i = 0; s->slots && i <= s->mask; i++) {
        uint64_t hash = s->slots[i];
        if (!hash) continue;
        char *block = to + block_of(hash, nblocks) * WORDS * 4;
        for (int w = 0; w < WORDS; w++) {
            uint32_t word;
            memcpy(&word, block + w * 4, 4);
            word |= UINT32_C(1) << ((uint32_t)hash * mixers[w] >> 27);
            memcpy(block + w * 4, &word, 4);
        }
    }
    out->n += nblocks * WORDS * 4;
}

bool bloom_maybe(struct str filter, uint64_t hash)
{
    hash |= hash == 0;
    const char *block = filter.p + block_of(hash, filter.n / (WORDS * 4)) * WORDS * 4;
    for (int w = 0; w < WORDS; w++) {
        uint32_t word;
        memcpy(&word, block + w * 4, 4);
        if (!(word >> ((uint32_t)hash * mixers[w] >> 27) & 1)) return false;
    }
    return true;
}

/* Lower-case form of a token byte, 0 for separators. */
static const uint8_t fold[256] = {
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7',
    ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f',
    ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n',
    ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v',
    ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd',
    ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l',
    ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't',
    ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

bool token_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (fold[(uint8_t)s.p[i]] != (uint8_t)s.p[i] || s.p[i] == 0) return false;
    return s.n > 0;
}

/* Length of the JSON escape at text[i] (a backslash); 0 when it stands for an ASCII letter or digit. */
static size_t escape_length(struct str text, size_t i)
{
    if (i + 1 >= text.n || text.p[i + 1] != 'u') return 2;
    uint8_t code[2];
    if (i + 6 > text.n || !str_from_hex((struct str){ text.p + i + 2, 4 }, code, 2)) return 2;
    return code[0] == 0 && fold[code[1]] ? 0 : 6;
}

bool tokens_add(struct hash_set *s, struct str text, bool json)
{
    char lower[256];
    for (size_t i = 0; i < text.n;) {
        uint8_t c = (uint8_t)text.p[i];
        if (!fold[c]) {
            size_t step = json && c == '\\' ? escape_length(text, i) : 1;
            if (step == 0) return false;
            i += step;
            continue;
        }
        size_t from = i, n = 0;
        for (; i < text.n && (c = fold[(uint8_t)text.p[i]]); i++)
            if (n < sizeof lower) lower[n++] = (char)c;
        if (i - from <= sizeof lower) {
            hash_set_add(s, bloom_token_hash((struct str){ lower, n }));
            continue;
        }
        char *big = malloc(i - from); /* rare: encoded blobs */
        ASSERT(big);
        for (size_t k = from; k < i; k++)
            big[k - from] = (char)fold[(uint8_t)text.p[k]];
        hash_set_add(s, bloom_token_hash((struct str){ big, i - from }));
        free(big);
    }
    return true;
}
