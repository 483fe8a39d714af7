/* What the catalog keeps of deletions, on any bytes. First byte: 0 marks of dead rows, 1 a tombstone. Their checksums are put right:
 * hostile hands can do that. What is accepted must encode to something that reads back the same. */
#include "base/core/assert.h"
#include "base/core/hash.h"
#include "storage/seg_dead.h"
#include "storage/tombstone.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void marks(char *p, size_t n)
{
    enum { HEAD = 16 };
    uint32_t nrows, fresh;
    struct buf out;
    if (n < HEAD) return;
    uint64_t hash = hash64(str_n(p + HEAD, n - HEAD));
    memcpy(p + 8, &hash, 8);
    memcpy(&nrows, p + 4, 4);
    if (nrows > 1 << 20) return; /* no group is as large; the loop below would be slow */
    buf_init(&out, SEG_DEAD_BYTES_MAX * 2, NULL);
    if (seg_dead_unite(STR_NONE, str_n(p, n), &out, &fresh) == OK) {
        struct seg_dead *d, *same;
        uint32_t *live = malloc((nrows + 1) * sizeof *live);
        ASSERT(live != NULL);
        ASSERT(fresh > 0 && fresh <= nrows);
        ASSERT(seg_dead_with(NULL, 3, nrows, str_n(p, n), &d) == OK && seg_dead_count(d, 3) == fresh);
        ASSERT(seg_dead_with(d, 3, nrows, buf_view(&out), &same) == OK && seg_dead_count(same, 3) == fresh);
        ASSERT(seg_dead_live(d, 3, NULL, nrows, live) == nrows - fresh);
        ASSERT(seg_dead_live(same, 3, live, nrows - fresh, live) == nrows - fresh);
        seg_dead_put(d);
        seg_dead_put(same);
        free(live);
        buf_clear(&out);
        ASSERT(seg_dead_unite(str_n(p, n), str_n(p, n), &out, &fresh) == OK && fresh == 0);
    }
    buf_deinit(&out);
}

static void tombstone(char *p, size_t n)
{
    enum { HEAD = 12 };
    const struct tombstone *t, *again;
    struct buf out;
    if (n < HEAD) return;
    uint64_t hash = hash64(str_n(p + HEAD, n - HEAD));
    memcpy(p + 4, &hash, 8);
    if (tombstone_decode(str_n(p, n), &t) != OK) return;
    struct label l[] = { { STR("__name__"), STR("up") }, { STR("job"), STR("a") } };
    const struct labels ls = { 2, l };
    buf_init(&out, TOMBSTONE_BYTES_MAX * 2, NULL);
    tombstone_encode(t, &out);
    ASSERT(tombstone_decode(buf_view(&out), &again) == OK);
    ASSERT(again->id == t->id && again->spec.nm == t->spec.nm && tombstone_matches(again, &ls) == tombstone_matches(t, &ls));
    tombstone_put(t);
    tombstone_put(again);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    char *p = malloc(size); /* its own block: reads behind it are seen */
    ASSERT(p != NULL);
    memcpy(p, data + 1, size - 1);
    if (data[0] % 2) tombstone(p, size - 1);
    else marks(p, size - 1);
    free(p);
    return 0;
}
