#include "cluster/read_part.h"

void read_part_put(const struct read_part *p, struct buf *out)
{
    buf_varint(out, p->nstreams);
    for (uint32_t i = 0; i < p->nstreams; i++) {
        bytes_out_u64(out, p->streams[i]);
        buf_varint(out, p->spare[i]);
    }
    buf_varint(out, p->nsources);
    for (uint32_t i = 0; i < p->nsources; i++) {
        const struct read_source *s = &p->sources[i];
        bytes_out_u64(out, s->node.u);
        bytes_out_u64(out, s->life);
        buf_varint(out, s->version);
        buf_varint(out, s->n);
        for (uint32_t k = 0; k < s->n; k++) {
            buf_varint(out, s->which[k]);
            buf_varint(out, s->weight[k]);
        }
    }
}

static err_t malformed(void)
{
    return err_set(ERR_CORRUPT, "a part of a read is cut or out of order");
}

static err_t get_source(struct bytes_in *in, struct arena *a, uint32_t nstreams, struct read_source *s)
{
    s->node.u = bytes_in_u64(in);
    s->life = bytes_in_u64(in);
    s->version = bytes_in_varint(in);
    s->n = bytes_in_count(in, 2);
    if (in->bad || s->node.u == 0 || s->n == 0 || s->n > nstreams) return malformed();
    s->which = ARENA_RAW(a, uint32_t, s->n);
    s->weight = ARENA_RAW(a, uint32_t, s->n);
    TRY(arena_check(a));
    for (uint32_t k = 0; k < s->n; k++) {
        uint64_t which = bytes_in_varint(in), weight = bytes_in_varint(in);
        if (in->bad || which >= nstreams || weight > STREAM_MEMBERS_MAX || (k > 0 && which <= s->which[k - 1])) return malformed();
        s->which[k] = (uint32_t)which;
        s->weight[k] = (uint32_t)weight;
    }
    return OK;
}

err_t read_part_get(struct bytes_in *in, struct arena *a, struct read_part *out)
{
    *out = (struct read_part){ .nstreams = bytes_in_count(in, 9) };
    if (out->nstreams > READ_STREAMS_MAX) return err_set(ERR_LIMIT, "a part of a read has %u streams, at most %d", out->nstreams, READ_STREAMS_MAX);
    out->streams = ARENA_RAW(a, uint64_t, out->nstreams + 1);
    out->spare = ARENA_RAW(a, uint32_t, out->nstreams + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < out->nstreams; i++) {
        out->streams[i] = bytes_in_u64(in);
        uint64_t spare = bytes_in_varint(in);
        if (in->bad || spare > STREAM_MEMBERS_MAX || out->streams[i] <= (i ? out->streams[i - 1] : 0)) return malformed();
        out->spare[i] = (uint32_t)spare;
    }
    out->nsources = bytes_in_count(in, 20);
    if (in->bad) return malformed();
    if (out->nsources > READ_SOURCES_MAX) return err_set(ERR_LIMIT, "a part of a read has %u sources, at most %d", out->nsources, READ_SOURCES_MAX);
    out->sources = ARENA_ARRAY(a, struct read_source, out->nsources + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < out->nsources; i++)
        TRY(get_source(in, a, out->nstreams, &out->sources[i]));
    return OK;
}
