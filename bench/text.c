/* What the codec of sealed strings makes of a file's lines, one core:  bench_text FILE [rounds]
 * Prints bytes and MB/s of raw text to encode and to decode, beside zstd -1 in blocks of 256 KiB of the same bytes. */
#include "base/core/assert.h"
#include "bench/bench.h"
#include "storage/col_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct str read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) exit(1);
    long n = ftell(f);
    char *p = malloc((size_t)n + 1);
    rewind(f);
    if (!p || fread(p, 1, (size_t)n, f) != (size_t)n) exit(1);
    fclose(f);
    return str_n(p, (size_t)n);
}

static struct dict lines_of(struct str text)
{
    uint32_t cap = 1 << 16, *offset = malloc(cap * sizeof *offset), n = 0;
    struct dict d = { .bytes = text.p };
    ASSERT(offset);
    offset[0] = 0;
    for (size_t at = 0; at < text.n; n++) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        at = end ? (size_t)(end - text.p) + 1 : text.n;
        if (n + 2 > cap) offset = realloc(offset, (cap *= 2) * sizeof *offset);
        ASSERT(offset);
        offset[n + 1] = (uint32_t)at;
    }
    d.count = n;
    d.offset = offset;
    return d;
}

static double zstd_seconds(struct str text, size_t *size)
{
    struct buf b;
    double began = cpu_s();
    *size = 0;
    buf_init(&b, 1 << 20, NULL);
    for (size_t at = 0; at < text.n; at += COL_STR_BLOCK) {
        buf_clear(&b);
        struct str raw = str_sub(text, at, at + COL_STR_BLOCK);
        *size += col_zstd_pack(raw, 1, &b) ? b.n : raw.n;
    }
    buf_deinit(&b);
    return cpu_s() - began;
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 5;
    if (argc < 2 || rounds < 1) return 2;
    struct str text = read_file(argv[1]);
    struct dict d = lines_of(text);
    double encode = 1e9, decode = 1e9, zstd = 1e9, mb = (double)text.n / 1e6;
    size_t size = 0, zsize = 0;
    for (int i = 0; i < rounds; i++) {
        struct buf b;
        struct arena a;
        struct dict back;
        buf_init(&b, COL_DICT_BYTES_MAX, NULL);
        arena_init(&a, NULL);
        double t0 = cpu_s();
        col_dict_encode(&d, COL_SEAL, &b, NULL);
        double t1 = cpu_s();
        struct cur c = cur_of(buf_view(&b));
        ASSERT(col_dict_decode(&c, d.count, &a, &back) == OK);
        double t2 = cpu_s();
        ASSERT(memcmp(back.bytes, d.bytes, text.n) == 0);
        encode = MIN(encode, t1 - t0);
        decode = MIN(decode, t2 - t1);
        zstd = MIN(zstd, zstd_seconds(text, &zsize));
        size = b.n;
        arena_deinit(&a);
        buf_deinit(&b);
    }
    printf("%.2f MB in %u lines: %zu bytes (%.1fx), encoded at %.0f MB/s, decoded at %.0f; zstd -1 in blocks: %zu (%.1fx), at %.0f\n", mb, d.count, size,
           (double)text.n / (double)size, mb / encode, mb / decode, zsize, (double)text.n / (double)zsize, mb / zstd);
    return 0;
}
