/* Any bytes as the record of a document of the cluster: refused, or a set of versions that joins with itself and survives its bytes. */
#include "base/core/assert.h"
#include "cluster/docs_wire.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct doc_set s, again, next;
    struct buf bytes, twice;
    if (doc_set_get(str_n((const char *)data, n), &s) != OK) return 0;
    ASSERT(s.n > 0);
    buf_init(&bytes, DOC_BYTES_MAX, NULL);
    buf_init(&twice, DOC_BYTES_MAX, NULL);
    doc_set_put(&s, &bytes);
    err_t e = doc_set_get(buf_view(&bytes), &again);
    ASSERT(e == OK);
    ASSERT(!doc_set_join(&again, &s));
    doc_set_put(&again, &twice);
    ASSERT(str_eq(buf_view(&bytes), buf_view(&twice)));
    doc_set_next(&s, (struct doc_version){ s.v[0].version.clock + 1, { 5 } }, STR("x"), &next);
    ASSERT(doc_set_join(&again, &next));
    ASSERT(again.n >= 1);
    ASSERT(doc_version_cmp(again.v[0].version, next.v[0].version) == 0);
    buf_deinit(&bytes);
    buf_deinit(&twice);
    return 0;
}
