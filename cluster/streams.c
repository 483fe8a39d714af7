/* Streams on the wire. */
#include "cluster/cluster_int.h"

void stream_put_bytes(const struct stream *st, struct buf *out)
{
    buf_varint(out, st->n);
    for (uint32_t i = 0; i < st->n; i++)
        bytes_out_u64(out, st->members[i].u);
    bytes_out_u64(out, st->rows.tenant);
    buf_varint(out, st->rows.quorum);
    bytes_out_u64(out, st->rows.set);
    bytes_out_u64(out, st->rows.partitions);
}

err_t stream_get_bytes(struct bytes_in *in, struct stream *out)
{
    *out = (struct stream){ .n = bytes_in_count(in, 8) };
    if (in->bad || out->n == 0 || out->n > STREAM_MEMBERS_MAX) return err_set(ERR_CORRUPT, "a stream of %u members", out->n);
    for (uint32_t i = 0; i < out->n; i++) {
        out->members[i].u = bytes_in_u64(in);
        if (out->members[i].u == 0 || (i > 0 && out->members[i].u <= out->members[i - 1].u))
            return err_set(ERR_CORRUPT, "members of a stream are not in order");
    }
    out->rows.tenant = bytes_in_u64(in);
    out->rows.quorum = bytes_in_varint(in);
    out->rows.set = bytes_in_u64(in);
    out->rows.partitions = bytes_in_u64(in);
    if (in->bad) return err_set(ERR_CORRUPT, "a stream is cut");
    if (out->rows.quorum > STREAM_MEMBERS_MAX) return err_set(ERR_CORRUPT, "a stream of which %llu members acknowledge", (unsigned long long)out->rows.quorum);
    out->id = stream_id_of(out);
    return OK;
}
