/* A document as a set of versions (docs.h), its bytes, and their union. PURE. */
#ifndef CLUSTER_DOCS_WIRE_H
#define CLUSTER_DOCS_WIRE_H

#include "base/core/arena.h"
#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "cluster/docs.h"

struct doc_one { /* a version */
    struct doc_version version;
    bool deleted;
    uint32_t nknown;
    struct doc_version known[DOC_WRITERS_MAX]; /* ascending nodes; its own is among them */
    struct str value;                          /* lent */
};
struct doc_set {
    uint32_t n;
    struct doc_one v[DOC_VERSIONS_MAX]; /* newest first; none knows another one */
};
enum { DOC_BYTES_MAX = DOC_VERSIONS_MAX * (DOC_VALUE_MAX + 1024) };

int doc_version_cmp(struct doc_version a, struct doc_version b);
void doc_set_put(const struct doc_set *s, struct buf *out);
/* Values are lent by the bytes, which must end there. ERR_CORRUPT: not what doc_set_put writes. */
MUST_CHECK err_t doc_set_get(struct str bytes, struct doc_set *out);
/* False: nothing of `from` is new. */
bool doc_set_join(struct doc_set *to, const struct doc_set *from);
/* A version that knows all of `was`. */
void doc_set_next(const struct doc_set *was, struct doc_version version, struct str value, struct doc_set *out);

#endif
