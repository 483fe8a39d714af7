/* Covers against plain bitmaps of all names, their bytes against every cut and change. */
#include "storage/cover.h"

#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { STREAMS = 5, ORIGINS = 3, EPOCHS = 2, CORES = 2, SEQS = 40, SEEDS = 200 };

static const uint64_t stream_ids[STREAMS] = { 1, 7, 1 << 20, UINT64_MAX - 1, UINT64_MAX };
static const uint64_t origin_ids[ORIGINS] = { 2, 3, UINT64_MAX };
static const uint64_t epochs[EPOCHS] = { 0, 300 };
static const uint32_t cores[CORES] = { 0, UINT32_MAX };

struct model {
    bool has[STREAMS][ORIGINS][EPOCHS][CORES][SEQS];
};

static struct batch_name name_of(uint32_t s, uint32_t o, uint32_t e, uint32_t c, uint32_t q)
{
    return (struct batch_name){ stream_ids[s], { origin_ids[o] }, epochs[e], cores[c], 1 + q };
}

#define EACH_NAME                                                                                                                  \
    for (uint32_t s = 0; s < STREAMS; s++)                                                                                         \
        for (uint32_t o = 0; o < ORIGINS; o++)                                                                                     \
            for (uint32_t e = 0; e < EPOCHS; e++)                                                                                  \
                for (uint32_t c = 0; c < CORES; c++)                                                                               \
                    for (uint32_t q = 0; q < SEQS; q++)

static void same(const struct cover *x, const struct model *m)
{
    uint64_t count = 0;
    uint32_t intervals = 0, runs = 0;
    struct cover_run r;
    EACH_NAME
    {
        bool has = m->has[s][o][e][c][q];
        struct batch_name n = name_of(s, o, e, c, q);
        cr_assert_eq(cover_has(x, &n), has);
        count += has;
        intervals += has && (q == 0 || !m->has[s][o][e][c][q - 1]);
    }
    cr_assert_eq(cover_count(x), count);
    cr_assert_eq(cover_intervals(x), intervals);
    cr_assert_eq(cover_empty(x), count == 0);
    for (struct cover_iter it = { 0 }; cover_next(x, &it, &r); runs++)
        count -= r.last - r.first + 1;
    cr_assert_eq(count, 0);
    cr_assert_eq(runs, intervals);
    for (uint32_t i = 0; i < x->n; i++) { /* in order, nothing empty */
        cr_assert(i == 0 || x->streams[i - 1].id < x->streams[i].id);
        cr_assert_gt(x->streams[i].n, 0);
        for (uint32_t k = 0; k < x->streams[i].n; k++)
            cr_assert_gt(x->streams[i].writers[k].seqs.n, 0);
    }
}

static void fill(struct prng *r, struct cover *x, struct model *m)
{
    uint32_t n = (uint32_t)prng_below(r, 200);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t s = (uint32_t)prng_below(r, STREAMS), o = (uint32_t)prng_below(r, ORIGINS), e = (uint32_t)prng_below(r, EPOCHS),
                 c = (uint32_t)prng_below(r, CORES), q = (uint32_t)prng_below(r, SEQS);
        uint32_t last = q + (uint32_t)(prng_chance(r, 0.5) ? 0 : prng_below(r, 9));
        last = MIN(last, (uint32_t)SEQS - 1);
        struct batch_name nm = name_of(s, o, e, c, q);
        struct cover_run run = { nm.stream, nm.origin, nm.epoch, nm.core, 1 + q, 1 + last };
        bool fresh = false;
        for (uint32_t i = q; i <= last; i++) {
            fresh |= !m->has[s][o][e][c][i];
            m->has[s][o][e][c][i] = true;
        }
        cr_assert_eq(last == q ? cover_add(x, &nm) : cover_add_run(x, &run), fresh);
    }
}

static void bytes_and_back(const struct cover *x, const struct model *m)
{
    struct buf b, again;
    struct cover y;
    buf_init(&b, 1 << 20, NULL);
    buf_init(&again, 1 << 20, NULL);
    cover_init(&y);
    cover_put(x, &b);
    size_t n = b.n;
    buf_z(&b, "what follows");
    struct bytes_in in = bytes_in_of(buf_view(&b));
    cr_assert_eq(cover_get(&in, cover_intervals(x), &y), OK, "%s", err_detail());
    cr_assert_eq((size_t)(in.p - (const uint8_t *)b.p), n);
    same(&y, m);
    cr_assert_eq(cover_hash(&y), cover_hash(x));
    cover_put(&y, &again);
    cr_assert(again.n == n && memcmp(again.p, b.p, n) == 0);
    cover_deinit(&y);
    if (!cover_empty(x)) {
        in = bytes_in_of(buf_view(&b));
        cr_assert_eq(cover_get(&in, cover_intervals(x) - 1, &y), ERR_LIMIT);
        cr_assert(cover_empty(&y));
    }
    buf_deinit(&b);
    buf_deinit(&again);
}

static void sets(struct cover *a, struct model *ma, const struct cover *b, const struct model *mb, struct cover *out, struct model *mo)
{
    bool holds = true, equal = true;
    const uint64_t picked[] = { stream_ids[3], stream_ids[1], 99 };
    EACH_NAME
    {
        bool in_a = ma->has[s][o][e][c][q], in_b = mb->has[s][o][e][c][q];
        holds &= in_a || !in_b;
        equal &= in_a == in_b;
        mo->has[s][o][e][c][q] |= in_a && !in_b;
    }
    cr_assert_eq(cover_holds(a, b), holds);
    cr_assert_eq(cover_hash(a) == cover_hash(b), equal);
    cover_minus(a, b, out);
    same(out, mo);
    EACH_NAME
    {
        mo->has[s][o][e][c][q] |= (s == 1 || s == 3) && mb->has[s][o][e][c][q];
        ma->has[s][o][e][c][q] |= mb->has[s][o][e][c][q];
    }
    cover_pick(b, picked, ARRAY_LEN(picked), out);
    same(out, mo);
    cover_join(a, b);
    same(a, ma);
    same(b, mb);
    cr_assert(cover_holds(a, b));
    memset(mo->has[3], 0, sizeof mo->has[3]);
    cover_drop_stream(out, stream_ids[3]);
    cover_drop_stream(out, 99);
    same(out, mo);
}

Test(cover, is_the_set_of_names_that_bitmaps_are)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct prng r;
        struct model *m = calloc(3, sizeof *m);
        struct cover c[3];
        prng_init(&r, seed);
        for (int i = 0; i < 3; i++) {
            cover_init(&c[i]);
            if (i < 2 || seed % 2) fill(&r, &c[i], &m[i]);
            same(&c[i], &m[i]);
            bytes_and_back(&c[i], &m[i]);
        }
        sets(&c[0], &m[0], &c[1], &m[1], &c[2], &m[2]);
        for (int i = 0; i < 3; i++)
            cover_deinit(&c[i]);
        free(m);
    }
}

Test(cover, what_is_written_in_order_is_one_interval)
{
    struct cover c;
    cover_init(&c);
    for (uint64_t q = 1; q <= 100000; q++)
        for (uint32_t core = 0; core < 4; core++)
            cr_assert(cover_add(&c, &(struct batch_name){ 5, { 6 }, 1, core, q }));
    cr_assert_eq(cover_intervals(&c), 4);
    cr_assert_eq(cover_count(&c), 400000);
    cr_assert_lt(cover_bytes(&c), 400);
    cr_assert_not(cover_add(&c, &(struct batch_name){ 5, { 6 }, 1, 3, 77 }));
    cover_deinit(&c);
}

/* The sum of each stream is that of its intervals after every step, however they came; what is told since a version is, with what was
 * there at it, all. */
Test(cover, sums_and_what_changed)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct cover c, then, since;
        struct prng r;
        uint64_t version = 0, at = 0, runs = 50 + seed % 100;
        prng_init(&r, seed);
        cover_init(&c);
        cover_init(&then);
        for (uint64_t k = 0; k < runs; k++) {
            uint64_t first = 1 + prng_below(&r, SEQS), last = prng_chance(&r, 0.6) ? first : first + prng_below(&r, 9);
            const struct cover_run run = { stream_ids[prng_below(&r, STREAMS)], { origin_ids[prng_below(&r, ORIGINS)] }, epochs[prng_below(&r, EPOCHS)],
                                           cores[prng_below(&r, CORES)], first, last };
            uint64_t before = cover_hash(&c), count = cover_count(&c);
            bool fresh = cover_note(&c, &run, ++version);
            cr_assert_eq(fresh, cover_count(&c) > count);
            cr_assert_eq(fresh, cover_hash(&c) != before);
            for (uint32_t i = 0; i < c.n; i++) {
                cr_assert(cover_sum_eq(c.streams[i].sum, cover_stream_sum(&c.streams[i])));
                cr_assert_eq(c.streams[i].sum.count, cover_stream_count(&c.streams[i]));
            }
            if (k == runs / 2) {
                cover_join(&then, &c);
                at = version;
            }
        }
        cover_init(&since);
        for (uint32_t s = 0; s < STREAMS; s++)
            cover_since(&c, stream_ids[s], at, &since);
        cr_assert(cover_holds(&c, &since));
        for (uint32_t i = 0; i < since.n; i++) /* not those that nothing came of */
            for (uint32_t k = 0; k < since.streams[i].n; k++) {
                const struct cover_writer *w = &since.streams[i].writers[k];
                struct interval end = interval_set_all(&w->seqs)[0];
                bool all_there = true;
                for (uint32_t q = 0; q < w->seqs.n; q++)
                    for (end = interval_set_all(&w->seqs)[q]; end.first <= end.last; end.first++)
                        all_there &= cover_has(&then, &(struct batch_name){ since.streams[i].id, w->origin, w->epoch, w->core, end.first });
                cr_assert(!all_there);
            }
        cover_join(&then, &since);
        cr_assert(cover_holds(&then, &c) && cover_holds(&c, &then));
        cover_deinit(&since);
        for (uint32_t s = 0; s < STREAMS; s++)
            cover_since(&c, stream_ids[s], version, &since);
        cr_assert(cover_empty(&since));
        cover_deinit(&then);
        cover_deinit(&c);
    }
}

Test(cover, the_hash_is_the_same_everywhere)
{
    struct cover c;
    cover_init(&c);
    cr_assert_eq(cover_hash(&c), 0);
    cover_add_run(&c, &(struct cover_run){ 1, { 2 }, 3, 4, 5, 6 });
    cr_assert_eq(cover_hash(&c), UINT64_C(0x10be77540332d941), "%016llx", (unsigned long long)cover_hash(&c));
    cover_deinit(&c);
}

/* Whatever is taken is what cover_put writes: there is no second form of a cover. */
static void only_form(struct str bytes)
{
    struct cover c;
    struct buf again;
    struct bytes_in in = bytes_in_of(bytes);
    cover_init(&c);
    err_t e = cover_get(&in, 1000, &c);
    cr_assert(e == OK || e == ERR_CORRUPT || e == ERR_LIMIT);
    if (e != OK) {
        cr_assert(cover_empty(&c) && c.streams == NULL);
        return;
    }
    buf_init(&again, 1 << 20, NULL);
    cover_put(&c, &again);
    cr_assert_eq(again.n, (size_t)(in.p - (const uint8_t *)bytes.p));
    cr_assert_eq(memcmp(again.p, bytes.p, again.n), 0);
    buf_deinit(&again);
    cover_deinit(&c);
}

Test(cover, bytes_cut_and_changed)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng r;
        struct model *m = calloc(1, sizeof *m);
        struct cover c;
        struct buf b;
        prng_init(&r, seed);
        cover_init(&c);
        buf_init(&b, 1 << 20, NULL);
        fill(&r, &c, m);
        cover_put(&c, &b);
        for (size_t n = 0; n < b.n; n++) {
            char *cut = malloc(n + 1);
            struct cover y;
            struct bytes_in in = bytes_in_of((struct str){ cut, n });
            memcpy(cut, b.p, n);
            cover_init(&y);
            cr_assert_eq(cover_get(&in, 1000, &y), ERR_CORRUPT);
            free(cut);
        }
        for (uint32_t k = 0; k < 2000; k++) {
            size_t at = prng_below(&r, b.n);
            char was = b.p[at];
            b.p[at] = (char)(prng_chance(&r, 0.5) ? was ^ 1 << prng_below(&r, 8) : (int)prng_below(&r, 4));
            only_form(buf_view(&b));
            if (prng_chance(&r, 0.7)) b.p[at] = was;
        }
        buf_deinit(&b);
        cover_deinit(&c);
        free(m);
    }
}

Test(cover, numbers_past_64_bits_are_refused)
{
    const uint8_t head[] = { 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0 };
    const struct { uint64_t gap, length; bool more; err_t e; } cases[] = {
        { 0, UINT64_MAX - 1, false, OK },          /* 1 to the last */
        { 0, UINT64_MAX, false, ERR_CORRUPT },
        { UINT64_MAX - 1, 0, false, OK },          /* the last alone */
        { UINT64_MAX - 1, 1, false, ERR_CORRUPT },
        { UINT64_MAX, 0, false, ERR_CORRUPT },
        { 0, UINT64_MAX - 2, true, ERR_CORRUPT },  /* no number lies two behind the last but one */
        { 0, UINT64_MAX - 3, true, OK },
        { 0, UINT64_MAX - 1, true, ERR_CORRUPT },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        struct cover c;
        buf_init(&b, 1000, NULL);
        cover_init(&c);
        buf_put(&b, head, sizeof head);
        buf_varint(&b, 1 + cases[i].more);
        buf_varint(&b, cases[i].gap);
        buf_varint(&b, cases[i].length);
        if (cases[i].more) buf_put(&b, "\0\0", 2);
        only_form(buf_view(&b));
        struct bytes_in in = bytes_in_of(buf_view(&b));
        cr_assert_eq(cover_get(&in, 10, &c), cases[i].e, "case %zu: %s", i, err_detail());
        cover_deinit(&c);
        buf_deinit(&b);
    }
}
