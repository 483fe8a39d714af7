/* What this node vouches for (heirs.h), kept with its data; and the same of others, as they say it.
 *
 * Changed on core 0 (repair.c), read on every core: a mutex guards it, never held over a yield. */
#ifndef CLUSTER_VOUCHES_H
#define CLUSTER_VOUCHES_H

#include "base/core/bytes_in.h"
#include "base/core/bytes_out.h"
#include "cluster/heirs.h"
#include "storage/store.h"

struct vouch {
    uint64_t stream;
    member_set with;
};
struct vouch_list {
    uint32_t n, cap;
    struct vouch *v; /* malloc'd */
};
void vouch_list_deinit(struct vouch_list *l);
/* NULL: not vouched for. */
const struct vouch *vouch_list_find(const struct vouch_list *l, uint64_t stream);
/* v n | (u64 stream | u8 with)* */
void vouch_list_put(const struct vouch_list *l, struct buf *out);
/* Into an empty one. ERR_CORRUPT. */
MUST_CHECK err_t vouch_list_get(struct bytes_in *in, struct vouch_list *out);

struct vouches;
/* A record that cannot be read counts as none: all is vouched for anew. */
struct vouches *vouches_open(struct store *s) MAY_YIELD;
void vouches_free(struct vouches *v);
void vouches_copy(struct vouches *v, struct vouch_list *out);
/* with: NULL withdraws. Kept by the next vouches_save. */
void vouches_set(struct vouches *v, uint64_t stream, const member_set *with);
MUST_CHECK err_t vouches_save(struct vouches *v) MAY_YIELD;

#endif
