#include "storage/seg_reader.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <stdlib.h>

static const struct seg_range *at_hand(const struct seg_reader *r, uint64_t off, uint64_t n)
{
    for (uint32_t i = 0; i < r->nhave; i++)
        if (off >= r->have[i].off && off + n <= r->have[i].off + r->have[i].n) return &r->have[i];
    return NULL;
}

bool seg_reader_has(const struct seg_reader *r, uint64_t off, uint64_t n) { return at_hand(r, off, n) != NULL; }

/* n bytes at off, at hand or from the file. */
static err_t bytes_at(const struct seg_reader *r, uint64_t off, uint32_t n, struct arena *a, struct str *out)
{
    TRY(seg_check_range(r->seg, off, n));
    const struct seg_range *h = at_hand(r, off, n);
    if (h) {
        *out = (struct str){ h->p + (off - h->off), n };
        return OK;
    }
    char *p = arena_alloc(a, (size_t)n + 1);
    TRY(arena_check(a));
    *out = (struct str){ p, n };
    return seg_read_raw(r->seg, &(struct file_range){ .to = p, .n = n, .off = off }, 1);
}

/* The bytes once more, past what was at hand, where that may help. */
static err_t bytes_again(const struct seg_reader *r, uint64_t off, uint32_t n, struct arena *a, struct str *out)
{
    if (!seg_forget(r->seg, off, n)) return seg_wrong_checksum(r->seg, off, n);
    const struct seg_reader bare = { .seg = r->seg };
    return bytes_at(&bare, off, n, a, out);
}

err_t seg_reader_chunk(const struct seg_reader *r, const struct seg_chunk *c, struct arena *a, struct str *out)
{
    TRY(bytes_at(r, c->off, c->size, a, out));
    if (hash64(*out) == c->hash) return OK;
    TRY(bytes_again(r, c->off, c->size, a, out));
    return hash64(*out) == c->hash ? OK : seg_wrong_checksum(r->seg, c->off, c->size);
}

err_t seg_read(struct seg *s, const struct seg_chunk *c, struct arena *a, struct str *out)
{
    const struct seg_reader whole = { .seg = s };
    return seg_reader_chunk(&whole, c, a, out);
}

err_t seg_reader_piece(const struct seg_reader *r, const struct seg_chunk *c, uint32_t from, uint32_t to, uint32_t check,
                       struct arena *a, struct str *out)
{
    if (from > to || to > c->size)
        return err_set(ERR_CORRUPT, "%s: bytes %u to %u of a chunk of %u", seg_info(r->seg)->name, from, to, c->size);
    TRY(bytes_at(r, c->off + from, to - from, a, out));
    if ((uint32_t)hash64(*out) == check) return OK;
    TRY(bytes_again(r, c->off + from, to - from, a, out));
    return (uint32_t)hash64(*out) == check ? OK : seg_wrong_checksum(r->seg, c->off + from, to - from);
}

/* -- many ranges at once: a gap costs less than another read up to so many bytes -- */
enum { GAP_BYTES = 16 << 10 };

static int by_offset(const void *x, const void *y)
{
    const struct seg_range *a = x, *b = y;
    return (a->off > b->off) - (a->off < b->off);
}

/* Joins ranges that lie close together; the number that is left. */
static uint32_t join(struct seg_range *v, uint32_t n)
{
    uint32_t kept = 0;
    if (n > 1) qsort(v, n, sizeof *v, by_offset);
    for (uint32_t i = 0; i < n; i++) {
        struct seg_range *last = kept ? &v[kept - 1] : NULL;
        if (last && v[i].off <= last->off + last->n + GAP_BYTES)
            last->n = MAX(last->n, v[i].off + v[i].n - last->off);
        else
            v[kept++] = v[i];
    }
    return kept;
}

err_t seg_fetch(struct seg_reader *r, struct seg_range *wanted, uint32_t n, struct arena *a)
{
    ASSERT(r->nhave == 0);
    for (uint32_t i = 0; i < n; i++)
        TRY(seg_check_range(r->seg, wanted[i].off, wanted[i].n));
    n = join(wanted, n);
    struct seg_range *have = ARENA_RAW(a, struct seg_range, n);
    struct file_range *reads = ARENA_RAW(a, struct file_range, n);
    for (uint32_t i = 0; i < n; i++) {
        char *to = arena_alloc(a, wanted[i].n + 1);
        have[i] = (struct seg_range){ .off = wanted[i].off, .n = wanted[i].n, .p = to };
        reads[i] = (struct file_range){ .to = to, .n = wanted[i].n, .off = wanted[i].off };
        TRY(arena_check(a));
    }
    TRY(seg_read_raw(r->seg, reads, n));
    r->have = have;
    r->nhave = n;
    return OK;
}
