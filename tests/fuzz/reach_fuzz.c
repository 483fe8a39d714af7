/* Any bytes as what nodes say to each other before a read: first byte 0 a question, 1 a part of a read, else an answer to the forms that it
 * names. Refused, or what is written is what was read. */
#include "base/core/assert.h"
#include "cluster/read_part.h"
#include "cluster/reach_wire.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first bytes read and written are in their shortest form: they read and write themselves. */
static void again(unsigned what, const struct buf *first, struct arena *a)
{
    struct buf second;
    struct bytes_in in = bytes_in_of(buf_view(first));
    struct stream_since *streams;
    struct question q;
    struct read_part p;
    struct said s;
    buf_init(&second, first->n + 1, NULL);
    said_init(&s);
    err_t e = what == 0 ? question_get(&in, a, &q, &streams) : what == 1 ? read_part_get(&in, a, &p) : said_get(&in, what, &s);
    ASSERT(e == OK);
    ASSERT(bytes_in_left(&in) == 0);
    if (what == 0) question_put(&q, &second);
    else if (what == 1) read_part_put(&p, &second);
    else said_put(&s, what, &second);
    ASSERT(str_eq(buf_view(first), buf_view(&second)));
    said_deinit(&s);
    buf_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes_in in = bytes_in_of(str_n(data, n));
    struct stream_since *streams;
    struct question q;
    struct read_part p;
    struct said s;
    struct arena a;
    struct buf b;
    unsigned what = bytes_in_u8(&in);
    if (in.bad) return 0;
    arena_init(&a, NULL);
    buf_init(&b, 16 * n + 4096, NULL);
    said_init(&s);
    err_t e = what == 0 ? question_get(&in, &a, &q, &streams) : what == 1 ? read_part_get(&in, &a, &p) : said_get(&in, what, &s);
    if (e == OK) {
        if (what == 0) question_put(&q, &b);
        else if (what == 1) read_part_put(&p, &b);
        else said_put(&s, what, &b);
        again(what, &b, &a);
    }
    said_deinit(&s);
    buf_deinit(&b);
    arena_deinit(&a);
    return 0;
}
