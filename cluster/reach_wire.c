#include "cluster/reach_wire.h"

#include "base/core/assert.h"
#include "cluster/cluster_int.h"

#include <stdlib.h>

void said_init(struct said *s)
{
    *s = (struct said){ 0 };
    cover_init(&s->have);
}

void said_deinit(struct said *s)
{
    free(s->streams);
    free(s->finished);
    s->finished = NULL;
    s->nfinished = 0;
    free(s->lost);
    s->lost = NULL;
    s->nlost = 0;
    cover_deinit(&s->have);
    store_sums_deinit(&s->sums);
    vouch_list_deinit(&s->vouches);
}

bool said_lost(const struct said *s, uint64_t stream)
{
    return stream_ids_have(s->lost, s->nlost, stream);
}

void question_put(const struct question *q, struct buf *out)
{
    buf_byte(out, (uint8_t)q->forms);
    bytes_out_u64(out, q->known);
    bytes_out_u64(out, q->life);
    buf_varint(out, q->n);
    for (uint32_t i = 0; i < q->n; i++) {
        bytes_out_u64(out, q->streams[i].stream);
        buf_varint(out, q->streams[i].version);
    }
}

err_t question_get(struct bytes_in *in, struct arena *a, struct question *out, struct stream_since **streams)
{
    *out = (struct question){ .forms = bytes_in_u8(in) };
    out->known = bytes_in_u64(in);
    out->life = bytes_in_u64(in);
    out->n = bytes_in_count(in, 9);
    if (out->n > REACH_STREAMS_MAX) return err_set(ERR_LIMIT, "%u streams are asked for, at most %d", out->n, REACH_STREAMS_MAX);
    struct stream_since *v = ARENA_RAW(a, struct stream_since, out->n + 1);
    TRY(arena_check(a));
    for (uint32_t i = 0; i < out->n; i++) {
        v[i].stream = bytes_in_u64(in);
        v[i].version = bytes_in_varint(in);
    }
    out->streams = *streams = v;
    return in->bad ? err_set(ERR_CORRUPT, "a question about streams is cut") : OK;
}

static void put_sums(const struct store_sums *sums, struct buf *out)
{
    buf_varint(out, sums->n);
    for (uint32_t i = 0; i < sums->n; i++) {
        bytes_out_u64(out, sums->v[i].stream);
        buf_varint(out, sums->v[i].sum.count);
        bytes_out_u64(out, sums->v[i].sum.hash);
    }
}

static void put_itself(const struct said *s, struct buf *out)
{
    vouch_list_put(&s->vouches, out);
    buf_byte(out, (uint8_t)(s->alone | s->told << 1));
    buf_varint(out, s->nlost);
    for (uint32_t i = 0; i < s->nlost; i++)
        bytes_out_u64(out, s->lost[i]);
}

void said_put(const struct said *s, unsigned forms, struct buf *out)
{
    buf_varint(out, s->nstreams);
    for (uint32_t i = 0; i < s->nstreams; i++)
        stream_put_bytes(&s->streams[i], out);
    bytes_out_u64(out, s->life);
    buf_varint(out, s->sums.version);
    if (forms & REACH_SUMS) put_sums(&s->sums, out);
    if (forms & REACH_NAMES) cover_put(&s->have, out);
    if (forms & REACH_ITSELF) put_itself(s, out);
    if (!(forms & REACH_DELETIONS)) return;
    buf_varint(out, s->nfinished);
    for (uint32_t i = 0; i < s->nfinished; i++)
        bytes_out_u64(out, s->finished[i]);
}

static err_t get_streams(struct bytes_in *in, struct said *out)
{
    uint32_t n = bytes_in_count(in, 34);
    if (in->bad || n > REACH_STREAMS_MAX) return err_set(ERR_CORRUPT, "a list of streams is cut, or too long");
    out->streams = malloc(((size_t)n + 1) * sizeof *out->streams);
    ASSERT(out->streams != NULL);
    for (; out->nstreams < n; out->nstreams++)
        TRY(stream_get_bytes(in, &out->streams[out->nstreams]));
    return OK;
}

static err_t get_sums(struct bytes_in *in, struct store_sums *out)
{
    uint32_t n = bytes_in_count(in, 17);
    if (in->bad || n > REACH_STREAMS_MAX) return err_set(ERR_CORRUPT, "sums of a node's streams are cut, or too many");
    out->v = malloc(((size_t)n + 1) * sizeof *out->v);
    ASSERT(out->v != NULL);
    for (; out->n < n; out->n++) {
        struct stream_sum *v = &out->v[out->n];
        v->stream = bytes_in_u64(in);
        v->sum.count = bytes_in_varint(in);
        v->sum.hash = bytes_in_u64(in);
        if (in->bad || v->sum.count == 0 || v->stream <= (out->n ? v[-1].stream : 0))
            return err_set(ERR_CORRUPT, "sums of a node's streams are cut, or out of order");
    }
    return OK;
}

static err_t get_lost(struct bytes_in *in, struct said *out)
{
    uint32_t n = bytes_in_count(in, 8);
    out->lost = calloc((size_t)n + 1, sizeof *out->lost);
    ASSERT(out->lost != NULL);
    for (; out->nlost < n; out->nlost++) {
        out->lost[out->nlost] = bytes_in_u64(in);
        if (out->nlost > 0 && out->lost[out->nlost] <= out->lost[out->nlost - 1]) return err_set(ERR_CORRUPT, "lost streams are not in order");
    }
    return OK;
}

static void get_finished(struct bytes_in *in, struct said *out)
{
    uint32_t n = bytes_in_count(in, 8);
    out->finished = malloc(((size_t)n + 1) * sizeof *out->finished);
    ASSERT(out->finished != NULL);
    for (; out->nfinished < n; out->nfinished++)
        out->finished[out->nfinished] = bytes_in_u64(in);
}

err_t said_get(struct bytes_in *in, unsigned forms, struct said *out)
{
    TRY(get_streams(in, out));
    out->life = bytes_in_u64(in);
    out->sums.version = bytes_in_varint(in);
    if (forms & REACH_SUMS) TRY(get_sums(in, &out->sums));
    if (forms & REACH_NAMES) TRY(cover_get(in, COVER_INTERVALS_MAX, &out->have));
    if (forms & REACH_ITSELF) {
        TRY(vouch_list_get(in, &out->vouches));
        uint8_t bits = bytes_in_u8(in);
        if (bits > 3) in->bad = true;
        out->alone = bits & 1;
        out->told = bits & 2;
        TRY(get_lost(in, out));
    }
    if (forms & REACH_DELETIONS) get_finished(in, out);
    return in->bad ? err_set(ERR_CORRUPT, "what a node says of itself is cut") : OK;
}
