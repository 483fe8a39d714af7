/* Compressed bodies and answers. */
#include "tests/unit/http_service.h"

#include <zlib.h>
#include <zstd.h>

TestSuite(http_body, .init = setup, .fini = teardown);

static struct buf zstd_of(struct str in)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2, NULL);
    char *to = buf_reserve(&b, ZSTD_compressBound(in.n));
    b.n = ZSTD_compress(to, ZSTD_compressBound(in.n), in.p, in.n, 3);
    return b;
}
static struct buf zlib_of(struct str in)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2, NULL);
    uLongf n = compressBound(in.n);
    char *to = buf_reserve(&b, n);
    compress((Bytef *)to, &n, (const Bytef *)in.p, in.n);
    b.n = n;
    return b;
}

Test(http_body, inflate_all_kinds_and_sizes)
{
    static const size_t sizes[] = { 0, 1, 1000, 100000, 1 << 20, (9 << 20) + 3 };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf text = text_of(sizes[i]);
        struct buf packed[] = { gzip_of(buf_view(&text)), zlib_of(buf_view(&text)), zstd_of(buf_view(&text)) };
        static const enum inflate_kind kinds[] = { INFLATE_GZIP, INFLATE_ZLIB, INFLATE_ZSTD };
        for (size_t k = 0; k < 3; k++) {
            struct buf out;
            buf_init(&out, 64 << 20, NULL);
            cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), OK, "%zu %zu %s", i, k, err_detail());
            cr_expect(str_eq(buf_view(&out), buf_view(&text)), "%zu %zu", i, k);
            /* exactly at the limit, and one byte below it */
            buf_deinit(&out);
            buf_init(&out, sizes[i], NULL);
            cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), OK, "%zu %zu %s", i, k, err_detail());
            if (sizes[i]) {
                buf_deinit(&out);
                buf_init(&out, sizes[i] - 1, NULL);
                cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), ERR_TOO_LARGE, "%zu %zu", i, k);
            }
            /* cut anywhere, and followed by garbage */
            buf_deinit(&out);
            for (size_t cut = 0; cut < packed[k].n; cut += 1 + packed[k].n / 7) {
                buf_init(&out, 64 << 20, NULL);
                cr_expect_eq(inflate_body(kinds[k], str_n(packed[k].p, cut), &out), ERR_INVALID, "%zu %zu %zu", i, k, cut);
                buf_deinit(&out);
            }
            buf_put(&packed[k], "garbage!", 8);
            buf_init(&out, 64 << 20, NULL);
            cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), ERR_INVALID, "%zu %zu", i, k);
            buf_deinit(&out);
            buf_deinit(&packed[k]);
        }
        buf_deinit(&text);
    }
}

Test(http_body, inflate_members_and_frames)
{
    struct buf text = text_of(5000), twice = text_of(5000);
    buf_str(&twice, buf_view(&text));
    struct buf packed[] = { gzip_of(buf_view(&text)), zstd_of(buf_view(&text)) };
    static const enum inflate_kind kinds[] = { INFLATE_GZIP, INFLATE_ZSTD };
    for (size_t k = 0; k < 2; k++) {
        struct buf two;
        buf_init(&two, 1 << 20, NULL);
        buf_str(&two, buf_view(&packed[k]));
        buf_str(&two, buf_view(&packed[k]));
        struct buf out;
        buf_init(&out, 1 << 20, NULL);
        cr_expect_eq(inflate_body(kinds[k], buf_view(&two), &out), OK, "%s", err_detail());
        cr_expect(str_eq(buf_view(&out), buf_view(&twice)));
        buf_deinit(&out);
        buf_deinit(&two);
        buf_deinit(&packed[k]);
    }
    buf_deinit(&text);
    buf_deinit(&twice);
}

Test(http_body, inflate_bombs)
{
    struct buf zeros;
    buf_init(&zeros, SIZE_MAX / 2, NULL);
    memset(buf_reserve(&zeros, 40 << 20), 0, 40 << 20);
    zeros.n = 40 << 20;
    struct buf packed[] = { gzip_of(buf_view(&zeros)), zlib_of(buf_view(&zeros)), zstd_of(buf_view(&zeros)) };
    static const enum inflate_kind kinds[] = { INFLATE_GZIP, INFLATE_ZLIB, INFLATE_ZSTD };
    for (size_t k = 0; k < 3; k++) {
        struct buf out;
        buf_init(&out, 64 << 20, NULL);
        cr_expect_eq(inflate_body(kinds[k], buf_view(&packed[k]), &out), ERR_TOO_LARGE, "%zu", k);
        cr_expect_leq(out.cap, 8 << 20);
        buf_deinit(&out);
        buf_deinit(&packed[k]);
    }
    buf_deinit(&zeros);
}

Test(http_body, compressed_bodies_and_answers)
{
    struct buf text = text_of(50000), packed = gzip_of(buf_view(&text)), rq;
    buf_init(&rq, 1 << 20, NULL);
    buf_printf(&rq, "POST /v1/echo HTTP/1.1\r\n" HOST "Content-Encoding: gzip\r\nAccept-Encoding: br, gzip;q=0.5\r\n"
                    "Content-Length: %zu\r\n\r\n", packed.n);
    buf_str(&rq, buf_view(&packed));
    struct mem_conn m;
    mem_open(&m, &core, &service);
    mem_feed(&m, buf_view(&rq));
    size_t at = str_find(buf_view(&m.out), STR("\r\n\r\n"));
    cr_assert_neq(at, SIZE_MAX);
    cr_expect_neq(str_find(buf_view(&m.out), STR("content-encoding: gzip\r\n")), SIZE_MAX);
    struct buf out;
    buf_init(&out, 1 << 20, NULL);
    cr_assert_eq(inflate_body(INFLATE_GZIP, str_sub(buf_view(&m.out), at + 4, m.out.n), &out), OK);
    cr_expect(str_eq(buf_view(&out), buf_view(&text)));
    buf_deinit(&out);
    mem_free(&m);
    /* past one call's worth: the streaming way */
    mem_open(&m, &core, &service);
    mem_feed(&m, STR("GET /large HTTP/1.1\r\n" HOST "Accept-Encoding: gzip\r\n\r\n"));
    at = str_find(buf_view(&m.out), STR("\r\n\r\n"));
    cr_assert_neq(at, SIZE_MAX);
    buf_init(&out, 64 << 20, NULL);
    cr_assert_eq(inflate_body(INFLATE_GZIP, str_sub(buf_view(&m.out), at + 4, m.out.n), &out), OK, "%s", err_detail());
    cr_expect_eq(out.n, 400 * 3890, "%zu", out.n);
    buf_deinit(&out);
    mem_free(&m);
    buf_deinit(&text);
    buf_deinit(&packed);
    buf_deinit(&rq);
}

Test(http_body, accept_encoding)
{
    cr_expect(http_accepts(STR("gzip"), "gzip"));
    cr_expect(http_accepts(STR("br, GZIP ; q=0.1"), "gzip"));
    cr_expect(http_accepts(STR("*"), "gzip"));
    cr_expect_not(http_accepts(STR("*, gzip;q=0"), "gzip"));
    cr_expect_not(http_accepts(STR("gzip;q=0.000"), "gzip"));
    cr_expect_not(http_accepts(STR("gzipx"), "gzip"));
    cr_expect_not(http_accepts(STR_NONE, "gzip"));
}
