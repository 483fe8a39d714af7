/* Inside the text codec (col_text.h): patterns, slots and how a string is taken apart.
 *
 * A pattern is what strings of one shape have in common, as bytes: text stands for itself (bytes 0 and 1 as 1, byte + 1),
 * and a slot is 0, its type, then the two bytes of its parameters. A pattern with the values gives the very string back. */
#ifndef STORAGE_COL_TEXT_INT_H
#define STORAGE_COL_TEXT_INT_H

#include "base/core/arena.h"
#include "base/core/htab.h"
#include "storage/col_seq.h"

/* Types of slots; what the two bytes of parameters say. */
enum slot_type {
    SLOT_INT = 1, /* decimal without leading zeros, at most 19 digits */
    SLOT_PAD,     /* decimal of `a` digits, the first of which is 0 */
    SLOT_DEC,     /* decimal with a point and `a` digits behind it; the value without the point */
    SLOT_IP,      /* four numbers below 256 with dots between them; the value as 32 bits */
    SLOT_HEX,     /* `a` hex digits, an even number; b: 1 when capital */
    SLOT_UUID,    /* 8-4-4-4-12 hex digits; b: 1 when capital */
    SLOT_ISO,     /* y-m-d and time; a: fraction's digits | 16 when a comma is in front of it; b: which separators */
    SLOT_APACHE,  /* d/Mon/y:h:m:s */
    SLOT_SYSLOG,  /* Mon d h:m:s, the day two wide */
    SLOT_CLOCK,   /* h:m:s; a as in ISO */
    SLOT_WORD,    /* letters that many patterns differ in */
    SLOT_STR,     /* any other part */
    SLOT_REST,    /* all that follows */
    SLOT_TYPES
};
enum { SLOT_BYTES = 4, TEXT_SLOTS_MAX = 2048, TEXT_PATTERN_MAX = 64 << 10, TEXT_PAD_MAX = 40, TEXT_HEX_MAX = 32 };

static inline bool slot_is_number(unsigned type) { return type <= SLOT_IP || (type >= SLOT_ISO && type <= SLOT_CLOCK); }
static inline bool slot_is_hex(unsigned type) { return type == SLOT_HEX || type == SLOT_UUID; }

/* Values of string slots (and hex): where they are in the text that is taken apart. */
static inline uint64_t value_of_part(size_t at, size_t n) { return (uint64_t)at << 32 | n; }
static inline uint32_t part_at(uint64_t v) { return (uint32_t)(v >> 32); }
static inline uint32_t part_len(uint64_t v) { return (uint32_t)v; }

/* -- taking apart (col_text_lex.c) -------------------------------------------------------------------------------------- */
struct lex_string { /* text[from, to) */
    const char *text;
    size_t from, to;
    bool outer; /* quoted strings and paths are parts of their own (what they hold is taken apart where it is kept, once for each) */
};
struct lex_place { /* what is before `at` is read, what is before `text` is in the pattern, too */
    size_t at, text;
};
enum lex_how { /* what a slot was when it was met */
    LEX_STEP,   /* what begins here: a number, a time, a word with digits, a path */
    LEX_TAIL,   /* digits behind letters */
    LEX_QUOTED, /* behind a quote */
    LEX_VALUE   /* behind key= */
};
struct lexed {
    char *pattern;   /* TEXT_PATTERN_MAX */
    uint64_t *slots; /* TEXT_SLOTS_MAX + 8 */
    uint8_t *how;    /* of each slot; TEXT_SLOTS_MAX + 8 */
    uint32_t n, nslots;
    bool full;
    bool escaped;    /* the text has bytes 0 or 1 */
};
/* Goes on from a place behind what `out` holds, which is empty at the beginning of the string. False when it has more slots than are
 * kept. */
bool text_lex(const struct lex_string *s, struct lex_place at, struct lexed *out);
/* Takes the slot that begins at at->text, when there is one with this mark. Its value goes to `out`, whose pattern is overwritten. */
bool text_lex_slot(const struct lex_string *s, struct lex_place *at, enum lex_how how, const uint8_t mark[SLOT_BYTES], struct lexed *out);

/* -- patterns ------------------------------------------------------------------------------------------------------ */
static inline void pattern_slot(struct buf *b, enum slot_type type, unsigned x, unsigned y)
{
    const uint8_t mark[SLOT_BYTES] = { 0, (uint8_t)type, (uint8_t)x, (uint8_t)y };
    buf_put(b, mark, sizeof mark);
}

/* -- plans: patterns taken apart ------------------------------------------------------------------------------------- *
 * Slots that mean the same are one class, whatever pattern they stand in: same type, same word in front (times: any), and
 * the same number among those in their pattern. A class is a column: the values of its slots in the order of the strings. */
struct text_op { /* text, then a slot; the last one of a pattern has type 0: text alone */
    uint8_t type, a, b;
    uint32_t text_at, text_len;
    uint32_t class;
};
struct text_class {
    uint8_t type, a, b;
    bool constant;      /* while it is made: the values are all the same */
    uint32_t n;         /* values */
    uint32_t *rows;     /* the string of each, ascending; NULL until text_plan_rows or _rows_of */
    uint64_t *values;   /* numbers; of string classes codes of `dict` */
    struct dict dict;   /* string classes: the parts; hex classes: the digits, one after another, in `values` order */
};
struct text_plan {
    uint32_t ntemplates, nops, nclasses;
    uint32_t *first_op; /* ntemplates + 1 */
    struct text_op *ops;
    struct text_class *classes;
    char *text;
    uint64_t *template; /* of each string: u64, as it is coded like a class */
    uint32_t alone;     /* classes that text_plan_rows_of has been asked for */
    uint32_t n;
};
/* n patterns, ends[i] = end of the ith in bytes. */
MUST_CHECK err_t text_plan_make(struct str patterns, const uint32_t *ends, uint32_t n, struct arena *a, struct text_plan *out);
/* Counts the classes' values and fills their rows from template[0..n); at most `limit` values in all. */
MUST_CHECK err_t text_plan_rows(struct text_plan *p, const uint64_t *template, uint32_t n, uint64_t limit, struct arena *a);
/* The counts alone; then the rows of one class, of the strings in p->template. */
MUST_CHECK err_t text_plan_count(struct text_plan *p, const uint64_t *template, uint32_t n, uint64_t limit, struct arena *a);
MUST_CHECK err_t text_plan_rows_of(struct text_plan *p, uint32_t class, struct arena *a);

/* -- columns of numbers (col_text_num.c) ------------------------------------------------------------------------------ *
 *   numbers = u8 model, then
 *     RAW     seq of the values
 *     DELTA   seq of zigzag differences from the one before
 *     LAST    seq of zigzag differences from the last value with the same context
 *     CODE    seq: 0 = the next new code, else code + 1
 *     GUESS   seq: 0 = the code that was last with the same context, 1 = the next new one, else code + 2
 *   LAST and GUESS have in front of the seq: varint context. When bit 4 of the model is set, values are codes of others, in
 *   order of first appearance; in front of the seq, behind the context: varint count, seq of these.
 *   context: 0 the value before | 1 the two before | 2 the template | 3 + k the value of class k in the same string,
 *   through a table of hashes */
void text_numbers_encode(const struct text_plan *p, uint32_t class, bool codes, struct buf *out);
MUST_CHECK err_t text_numbers_decode(struct cur *c, const struct text_plan *p, uint32_t class, bool codes, uint32_t limit,
                                     struct arena *a, uint64_t *out);
enum { TEXT_CLASS_TEMPLATE = INT32_MAX }; /* in place of a class: the templates of the strings */
/* The class that must be decoded first, or TEXT_CLASS_TEMPLATE when none; *rows: rows are needed, of both. */
MUST_CHECK err_t text_numbers_needs(struct cur c, const struct text_plan *p, uint32_t *class, bool *rows);
/* The different values (at most `limit`) of a column whose values are codes of them; *n = 0: it has none such. */
MUST_CHECK err_t text_numbers_distinct(struct cur c, uint32_t limit, struct arena *a, uint64_t **values, uint32_t *n);

/* -- what strings begin like (col_text_trie.c) ---------------------------------------------------------------------------- *
 * The patterns met so far as a trie of texts and slots. A string that goes along it is compared with the texts, and only its slots
 * are read, knowing what they were. Where it leaves the trie it is taken apart from the last safe place on: behind a slot, or where a
 * word begins that is not in quotes. The pattern is the one that it has without the trie, unless what decides between two lies
 * behind the slot that follows a text (a quote that is closed in one string and not in another; a time behind the day of a month):
 * then it goes by that of the string before. */
struct text_trie {
    struct arena *a;
    struct trie_edge *edges;
    uint32_t nedges, max, first;
    size_t cap;
    uint32_t asked, found;  /* strings, and those that went all the way */
    uint64_t looked, bytes; /* edges that were looked at, and what strings had in common with them */
};
struct trie_walk { /* how far a string goes along it */
    uint32_t edge;   /* to the last safe place; TRIE_NONE: its beginning */
    uint32_t nslots; /* up to there */
    uint32_t pattern;
    struct lex_place at;
};
enum { TRIE_NONE = UINT32_MAX };
/* At most `max` edges are kept. */
void trie_init(struct text_trie *t, uint32_t max, struct arena *a);
/* True: the string has w->pattern, its values are in out. False: out holds what is in front of the last safe place, as for text_lex
 * from w->at on. `patterns`: the bytes that edges refer to. */
bool trie_follow(struct text_trie *t, const char *patterns, const struct lex_string *s, struct lexed *out, struct trie_walk *w);
/* Adds what the string has that w ended in: pattern number `pattern`, at `begin` in the bytes of patterns. */
void trie_add(struct text_trie *t, const char *patterns, const struct trie_walk *w, uint32_t pattern, uint32_t begin, const struct lexed *x);

/* -- mining (col_text_mine.c) ------------------------------------------------------------------------------------------ */
struct text_mined {
    struct buf patterns;
    uint32_t *ends, ntemplates;
    uint64_t *template;   /* of each string */
    uint64_t *slots;      /* of all strings, one after another; parts of pattern words have PART_WORD set */
    uint64_t nslots;
    const char *words;    /* what those are parts of */
    uint64_t rest_bytes;  /* in strings that have no template */
};
#define PART_WORD (UINT64_C(1) << 31)
/* All from `a`, but patterns, which the caller frees. alike: many strings begin like others before them. */
void text_mine(const char *text, const uint32_t *offset, uint32_t n, bool outer, bool alike, struct arena *a, struct text_mined *out);

enum { TEXT_DEPTH_MAX = 3 };
/* Patterns and small columns: never many times the text. */
#define TEXT_META_MAX(raw) ((raw) * 16 + (64 << 10))
enum { STRINGS_LINES, STRINGS_ZLINES, STRINGS_PLAIN, STRINGS_ZPLAIN, STRINGS_TEXT };

/* Copies n bytes; behind both there is room for TEXT_SLACK more. */
enum { TEXT_SLACK = 32 };
static inline void copy_short(char *to, const char *from, size_t n)
{
    memcpy(to, from, TEXT_SLACK);
    if (__builtin_expect(n > TEXT_SLACK, 0)) memcpy(to + TEXT_SLACK, from + TEXT_SLACK, n - TEXT_SLACK);
}

/* -- numbers as text ------------------------------------------------------------------------------------------------ */
enum { TEXT_NUMBER_MAX = 64 };
/* Writes a number of a slot; how many bytes. At most TEXT_NUMBER_MAX for slots that slot_valid accepts. */
uint32_t slot_write(unsigned type, unsigned a, unsigned b, uint64_t v, char *to);
bool slot_valid(unsigned type, unsigned a, unsigned b);
/* The longest run of digits in a slot. */
uint32_t slot_digits_max(unsigned type, unsigned a);
/* Values outside of [lo, hi] do not hold these bytes. */
void slot_range(unsigned type, unsigned a, const char *bytes, uint32_t n, uint64_t *lo, uint64_t *hi);

/* -- reading (col_text_read.c) --------------------------------------------------------------------------------------- *
 * A block is opened in steps: its patterns, then which strings have which, then one column after another. */
struct text_parts { /* where the values of a class are, none of which is decoded yet */
    bool is_text;
    uint8_t kind;         /* STRINGS_* */
    uint32_t count, size; /* parts, and bytes of them (and their newlines) */
    struct cur lengths, bytes, numbers;
};
static inline bool text_has_lines(const struct text_parts *p) { return p->kind == STRINGS_LINES || p->kind == STRINGS_ZLINES; }

struct text_reader { /* a, n, raw and depth are given */
    struct arena *a;
    uint32_t n, raw; /* of the block */
    int depth;       /* in blocks */
    bool whole;      /* all classes will be needed: their rows are found at once */
    struct text_plan plan; /* its `template` is NULL until text_open_rows */
    struct text_parts *at; /* of each class */
    struct cur meta, data, templates;
    uint32_t left;         /* bytes of parts that it may still have */
    uint32_t *chain;       /* room for text_need_values: as many as there are classes */
};
/* The block's bytes are borrowed. */
MUST_CHECK err_t text_open(struct text_reader *r, struct str block);
MUST_CHECK err_t text_open_rows(struct text_reader *r);
/* After text_open_rows: decodes the numbers of class k (or codes, or digits), and first those that they lean on, each on
 * ones before it. The rows of its values are asked for with text_need_rows. */
MUST_CHECK err_t text_need_values(struct text_reader *r, uint32_t k);
MUST_CHECK err_t text_need_rows(struct text_reader *r, uint32_t k);
/* The bytes of parts that are not of the kind TEXT, lines with their newlines; TEXT_SLACK bytes follow. */
MUST_CHECK err_t text_unpack(struct text_reader *r, const struct text_parts *p, struct str *out);
/* Where each of them begins there: count + 1. */
MUST_CHECK err_t text_starts(struct text_reader *r, const struct text_parts *p, struct str bytes, uint32_t **out);
/* The first value of a class that is not in front of string i. */
uint32_t text_value_of(const struct text_class *c, uint32_t i);
/* Value i of a class of hex digits, at most TEXT_NUMBER_MAX; how many bytes. */
uint32_t text_write_hex(const struct text_class *c, uint32_t i, char *to);

struct text_writer {
    const struct text_plan *p;
    uint32_t *at; /* of each class: the next value */
    char *to, *end;
};
/* Writes string i, decoding the classes that it has; text_open_rows came before. */
MUST_CHECK err_t text_write_at(struct text_reader *r, struct text_writer *w, uint32_t i);

#endif
