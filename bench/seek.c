/* Finding byte strings in a file's lines as they are sealed, one core:  bench_seek FILE NEEDLE...
 * GB/s of raw text by templates (col_dict_find), by decoding the lines and searching them, and by searching them as text; all
 * three must agree. */
#include "base/core/assert.h"
#include "bench/bench.h"
#include "storage/col_codec.h"
#include "storage/col_text_find.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 5 };

static struct dict lines_of(FILE *f, struct buf *text)
{
    uint32_t cap = 1 << 16, *offset = malloc(cap * sizeof *offset), n = 0;
    char *line = NULL;
    size_t size = 0;
    ASSERT(offset);
    offset[0] = 0;
    for (ssize_t got; (got = getline(&line, &size, f)) > 0;) {
        buf_put(text, line, (size_t)got - (line[got - 1] == '\n'));
        if (n + 2 > cap) offset = realloc(offset, (cap *= 2) * sizeof *offset);
        ASSERT(offset && !text->failed);
        offset[++n] = (uint32_t)text->n;
    }
    free(line);
    return (struct dict){ .count = n, .offset = offset, .bytes = text->p };
}

static uint32_t ones(const uint64_t *bits, uint32_t n)
{
    uint32_t k = 0;
    for (uint32_t w = 0; w <= n / 64; w++)
        k += (uint32_t)__builtin_popcountll(bits[w]);
    return k;
}

/* The lines that have it, by templates. */
static uint32_t seek(struct str sealed, const struct text_cond *cond, uint64_t *bits)
{
    struct arena a;
    struct col_dict d;
    struct cur c = cur_of(sealed);
    uint32_t n = 0;
    arena_init(&a, NULL);
    need(col_dict_head(&c, UINT32_MAX, &a, &d));
    struct cur *blocks = ARENA_RAW(&a, struct cur, d.nblocks);
    need(col_dict_blocks(&c, &d, blocks));
    for (uint32_t b = 0; b < d.nblocks; b++) {
        uint32_t entries = d.first[b + 1] - d.first[b];
        memset(bits, 0, ((size_t)entries / 64 + 1) * sizeof *bits);
        need(col_dict_find(&d, b, blocks[b], cond, NULL, NULL, bits));
        n += ones(bits, entries);
    }
    arena_deinit(&a);
    return n;
}

static uint32_t decode(struct str sealed, const struct text_find *f, uint64_t *bits)
{
    struct arena a;
    struct dict d;
    struct cur c = cur_of(sealed);
    arena_init(&a, NULL);
    need(col_dict_decode(&c, UINT32_MAX, &a, &d));
    uint32_t n = text_find_entries(f, &d, bits);
    arena_deinit(&a);
    return n;
}

int main(int argc, char **argv)
{
    struct buf text, sealed;
    FILE *f = argc > 2 ? fopen(argv[1], "rb") : NULL;
    if (!f) return fprintf(stderr, "usage: bench_seek FILE NEEDLE...\n"), 2;
    buf_init(&text, COL_DICT_BYTES_MAX, NULL);
    buf_init(&sealed, COL_DICT_BYTES_MAX, NULL);
    struct dict lines = lines_of(f, &text);
    fclose(f);
    col_dict_encode(&lines, COL_SEAL, &sealed, NULL);
    uint64_t *bits = calloc((size_t)lines.count / 64 + 1, sizeof *bits);
    ASSERT(bits && !sealed.failed);
    printf("%s: %.2f MB in %u lines, %.2f sealed\n", argv[1], (double)text.n / 1e6, lines.count, (double)sealed.n / 1e6);
    for (int i = 2; i < argc; i++) {
        struct text_find find;
        double best[3] = { 1e9, 1e9, 1e9 };
        uint32_t n[3] = { 0 };
        text_find_init(&find, str_of(argv[i]), false);
        const struct text_cond cond = { .needles = &find, .n = 1, .kind = TEXT_HAS };
        for (int r = 0; r < ROUNDS * 3; r++) {
            double began = cpu_s();
            n[r % 3] = r % 3 == 0 ? seek(buf_view(&sealed), &cond, bits)
                       : r % 3 == 1 ? decode(buf_view(&sealed), &find, bits) : text_find_entries(&find, &lines, bits);
            best[r % 3] = MIN(best[r % 3], cpu_s() - began);
        }
        ASSERT(n[0] == n[2] && n[1] == n[2]);
        double gb = (double)text.n / 1e9;
        printf("  %-24s %8u lines: by templates %6.2f GB/s, decoded %6.2f, as text %6.2f\n", argv[i], n[0], gb / best[0], gb / best[1], gb / best[2]);
    }
    buf_deinit(&text);
    buf_deinit(&sealed);
    return 0;
}
