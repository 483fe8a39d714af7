/* A log file from a hostile hand: header, frames, and the batches in the payloads; and, since checksums keep
 * a fuzzer out, the same bytes once more straight into the decoder of requests. */
#include "storage/batch.h"
#include "storage/wal_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(struct str bytes)
{
    struct budget budget;
    budget_init(&budget, "fuzz", NULL, 64 << 20, ERR_OVERLOAD);
    struct arena a;
    arena_init(&a, &budget);
    struct request_reader r;
    if (request_open(bytes, &r) == OK) {
        while (r.left > 0) {
            struct batch b;
            if (request_next(&r, &a, &budget, &b) != OK) break;
            batch_release(&b);
        }
    }
    arena_deinit(&a);
}

static void frames(const uint8_t *data, size_t size)
{
    struct wal_file_head h;
    if (size < WAL_ALIGN || wal_file_head_get(data, size, &h) != OK) return;
    struct wal_chain c;
    wal_chain_init(&c, data);
    for (size_t pos = WAL_ALIGN, need; pos < size;) {
        struct wal_frame f;
        enum wal_parse got = wal_parse(&c, data + pos, size - pos, &f, &need);
        if (got == WAL_FRAME) {
            decode(f.payload);
            pos += f.bytes;
        } else if (got == WAL_PAD || (got == WAL_BAD && !c.broken)) {
            c.broken = got == WAL_BAD;
            pos = (pos + WAL_ALIGN) / WAL_ALIGN * WAL_ALIGN;
        } else {
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    frames(data, size);
    decode(str_n(data, size));
    return 0;
}
