/* Any bytes as what nodes say to each other of deletions. The first byte: a question, or an answer; refused, or the same again after it was written. */
#include "base/core/assert.h"
#include "cluster/deletions_wire.h"

#include "base/core/bytes_out.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void question(struct str bytes)
{
    struct bytes_in in = bytes_in_of(bytes);
    struct deletions_question *q = malloc(sizeof *q), *again = malloc(sizeof *q);
    struct buf out;
    ASSERT(q && again);
    buf_init(&out, 1 << 20, NULL);
    if (deletions_question_get(&in, q) == OK) {
        deletions_question_put(q, &out);
        struct bytes_in more = bytes_in_of(buf_view(&out));
        ASSERT(deletions_question_get(&more, again) == OK && again->n == q->n && again->digest == q->digest);
        ASSERT(memcmp(again->v, q->v, q->n * sizeof *q->v) == 0);
    }
    buf_deinit(&out);
    free(again);
    free(q);
}

/* Whatever is read is written; *hash: of the covers. Records up to the first that is refused. */
static void say_again(const struct deletions_told *t, struct buf *out, uint64_t *hash, uint32_t *records)
{
    struct bytes_in in = t->records;
    bytes_out_u64(out, t->digest);
    buf_varint(out, t->n);
    for (uint32_t i = 0; i < t->n; i++)
        deletion_told_put(&t->v[i], out);
    for (*hash = *records = 0; bytes_in_left(&in) > 0; ++*records) {
        uint64_t id;
        node_id node;
        struct cover k;
        struct buf bytes;
        cover_init(&k);
        if (deletions_record_get(&in, &id, &node, &k) != OK) {
            ASSERT(cover_empty(&k));
            return;
        }
        buf_init(&bytes, 1 << 24, NULL);
        cover_put(&k, &bytes);
        deletions_record_put(id, node, buf_view(&bytes), out);
        *hash += cover_hash(&k) ^ id ^ node.u;
        buf_deinit(&bytes);
        cover_deinit(&k);
    }
}

static void answer(struct str bytes)
{
    struct deletions_told t, again;
    struct arena a;
    struct buf out, twice;
    uint64_t hash, hash2;
    uint32_t records, records2;
    struct bytes_in in = bytes_in_of(bytes);
    arena_init(&a, NULL);
    buf_init(&out, 1 << 26, NULL);
    buf_init(&twice, 1 << 26, NULL);
    if (deletions_told_get(&in, &a, &t) == OK) {
        ASSERT(t.n <= DELETIONS_TOLD_MAX);
        say_again(&t, &out, &hash, &records);
        struct bytes_in more = bytes_in_of(buf_view(&out));
        ASSERT(!out.failed && deletions_told_get(&more, &a, &again) == OK);
        say_again(&again, &twice, &hash2, &records2);
        ASSERT(hash2 == hash && records2 == records && str_eq(buf_view(&out), buf_view(&twice)));
    }
    buf_deinit(&twice);
    buf_deinit(&out);
    arena_deinit(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    struct str bytes = str_n((const char *)data + 1, n - 1);
    if (data[0] & 1) question(bytes);
    else answer(bytes);
    return 0;
}
