#include "storage/wal_frame.h"

#include "base/core/hash.h"
#include "base/core/prng.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A file image with `groups` groups of `per` frames; offsets of the frames in at[]. */
struct image {
    uint8_t bytes[1 << 20];
    size_t n, frames, at[256];
    struct wal_chain chain; /* of the writer */
    struct wal_file_head head;
};

static void put_frame(struct image *im, struct str payload, bool last)
{
    im->at[im->frames++] = im->n;
    wal_head_put(&im->chain, WAL_REQUEST, last ? WAL_LAST : 0, (uint32_t)payload.n, hash64(payload),
                 im->bytes + im->n);
    memcpy(im->bytes + im->n + WAL_HEAD, payload.p, payload.n);
    im->n += wal_frame_bytes(payload.n);
    if (last) im->n = (im->n + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN;
}

static void make(struct image *im, unsigned groups, unsigned per)
{
    memset(im, 0, sizeof *im);
    im->head = (struct wal_file_head){ .core = 1, .generation = 7, .salt = 99, .number = 3, .before = 5 };
    wal_file_head_put(&im->head, im->bytes);
    wal_chain_init(&im->chain, im->bytes);
    im->n = WAL_ALIGN;
    for (unsigned g = 0; g < groups; g++)
        for (unsigned i = 0; i < per; i++) {
            char text[64];
            int n = snprintf(text, sizeof text, "group %u frame %u", g, i);
            put_frame(im, str_n(text, (size_t)n), i + 1 == per);
        }
}

static unsigned read_all(struct image *im)
{
    struct wal_chain c;
    wal_chain_init(&c, im->bytes);
    unsigned frames = 0;
    for (size_t pos = WAL_ALIGN, need; pos < im->n;) {
        struct wal_frame f;
        enum wal_parse got = wal_parse(&c, im->bytes + pos, im->n - pos, &f, &need);
        if (got == WAL_PAD) {
            pos = (pos + WAL_ALIGN) / WAL_ALIGN * WAL_ALIGN;
            continue;
        }
        if (got != WAL_FRAME) break;
        cr_assert_eq(f.seq, frames);
        frames++;
        pos += f.bytes;
    }
    return frames;
}

static struct image im;

Test(wal_frame, round_trip)
{
    make(&im, 5, 3);
    struct wal_file_head h;
    cr_assert_eq(wal_file_head_get(im.bytes, im.n, &h), OK);
    cr_assert(h.core == 1 && h.generation == 7 && h.salt == 99 && h.number == 3 && h.before == 5);
    cr_assert_eq(read_all(&im), 15);
    struct wal_chain c;
    wal_chain_init(&c, im.bytes);
    size_t need;
    struct wal_frame f;
    cr_assert_eq(wal_parse(&c, im.bytes + WAL_ALIGN, 10, &f, &need), WAL_MORE);
    cr_assert_eq(need, WAL_HEAD);
    cr_assert_eq(wal_parse(&c, im.bytes + WAL_ALIGN, WAL_HEAD, &f, &need), WAL_MORE);
    cr_assert_eq(need, wal_frame_bytes(strlen("group 0 frame 0")));
}

Test(wal_frame, every_flipped_bit_is_noticed)
{
    make(&im, 2, 2);
    for (size_t bit = 0; bit < (WAL_ALIGN + 200) * 8; bit++) {
        size_t byte = bit / 8;
        if (byte >= 56 && byte < WAL_ALIGN) continue; /* zeros behind the header */
        im.bytes[byte] ^= (uint8_t)(1u << bit % 8);
        struct wal_file_head h;
        bool head_ok = wal_file_head_get(im.bytes, im.n, &h) == OK;
        size_t first_end = im.at[0] + WAL_HEAD + strlen("group 0 frame 0");
        if (byte < WAL_ALIGN) cr_assert(!head_ok);
        else if (byte < first_end) cr_assert_eq(read_all(&im), 0);
        else cr_assert(read_all(&im) <= 4);
        im.bytes[byte] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(wal_frame, old_life_of_a_file_is_dead)
{
    make(&im, 4, 1);
    size_t full = im.n;
    struct wal_file_head h = im.head;
    h.salt++;
    h.generation++;
    wal_file_head_put(&h, im.bytes);
    cr_assert_eq(read_all(&im), 0);
    wal_chain_init(&im.chain, im.bytes);
    im.n = WAL_ALIGN;
    im.frames = 0;
    put_frame(&im, STR("new life"), true);
    im.n = full;
    cr_assert_eq(read_all(&im), 1);
}

Test(wal_frame, after_rot_the_chain_goes_on)
{
    make(&im, 4, 2);
    struct wal_chain c;
    wal_chain_init(&c, im.bytes);
    c.broken = true;
    c.group = 2;
    size_t need;
    struct wal_frame f;
    cr_assert_eq(wal_parse(&c, im.bytes + im.at[2], 4096, &f, &need), WAL_BAD, "group 1 is too old");
    cr_assert_eq(wal_parse(&c, im.bytes + im.at[4], 4096, &f, &need), WAL_FRAME);
    cr_assert_eq(f.seq, 4);
    cr_assert_eq(wal_parse(&c, im.bytes + im.at[5], 4096, &f, &need), WAL_FRAME);
    uint64_t generation, salt;
    cr_assert(wal_head_peek(im.bytes + im.at[4], 4096, &generation, &salt));
    cr_assert(generation == 7 && salt == 99);
    cr_assert(!wal_head_peek(im.bytes + im.at[4] + 8, 4096, &generation, &salt));
}
