/* Documents: every line of the input under a mapping that the first byte picks. */
#include "base/core/assert.h"
#include "server/ingest/docs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct doc_field fields[] = {
        { .path = { "ts", 2 }, .type = DOC_DATETIME, .time_formats = 7 }, { .path = { "n", 1 }, .type = DOC_I64 },
        { .path = { "u", 1 }, .type = DOC_U64 },                          { .path = { "f", 1 }, .type = DOC_F64 },
        { .path = { "b", 1 }, .type = DOC_BOOL },                         { .path = { "o", 1 }, .type = DOC_JSON },
        { .path = { "s.t", 3 }, .type = DOC_TEXT, .array = true },
    };
    struct doc_mapping m = { .fields = fields, .nfields = ARRAY_LEN(fields) };
    struct docs_builder b;
    struct arena a;
    struct str line, rest;
    if (size == 0) return 0;
    m.mode = (enum doc_mode)(data[0] % 3);
    if (data[0] & 4) m.timestamp_field = STR("ts");
    rest = str_n(data + 1, size - 1);
    arena_init(&a, NULL);
    docs_builder_init(&b, &m, &a, NULL, (unix_ns){ 1 });
    while (str_cut(&rest, '\n', &line)) {
        err_t e = docs_builder_add(&b, line);
        ASSERT(e == OK || e == ERR_INVALID);
    }
    ASSERT(docs_builder_finish(&b) == OK);
    docs_builder_deinit(&b);
    arena_deinit(&a);
    return 0;
}
