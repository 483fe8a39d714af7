#include "cluster/deletions_wire.h"

#include "base/core/bytes_out.h"
#include "cluster/deletions.h"
#include "cluster/reach_wire.h"

static err_t malformed(const char *what)
{
    return err_set(ERR_CORRUPT, "%s is malformed", what);
}

void deletions_question_put(const struct deletions_question *q, struct buf *out)
{
    bytes_out_u64(out, q->digest);
    buf_varint(out, q->n);
    for (uint32_t i = 0; i < q->n; i++) {
        bytes_out_u64(out, q->v[i].id);
        bytes_out_u64(out, q->v[i].node.u);
    }
}

err_t deletions_question_get(struct bytes_in *in, struct deletions_question *out)
{
    out->digest = bytes_in_u64(in);
    out->n = bytes_in_count(in, 16);
    if (in->bad || out->n > DELETIONS_WANTED_MAX) return malformed("a question about deletions");
    for (uint32_t i = 0; i < out->n; i++) {
        out->v[i].id = bytes_in_u64(in);
        out->v[i].node.u = bytes_in_u64(in);
    }
    return in->bad || bytes_in_left(in) > 0 ? malformed("a question about deletions") : OK;
}

void deletion_told_put(const struct deletion_told *t, struct buf *out)
{
    bytes_out_u64(out, t->id);
    buf_varint(out, t->n);
    for (uint32_t k = 0; k < t->n; k++)
        bytes_out_u64(out, t->nodes[k].u);
}

void deletions_record_put(uint64_t id, node_id node, struct str cover, struct buf *out)
{
    bytes_out_u64(out, id);
    bytes_out_u64(out, node.u);
    bytes_out_str(out, cover);
}

static err_t get_told(struct bytes_in *in, struct arena *a, struct deletion_told *x)
{
    x->id = bytes_in_u64(in);
    x->n = bytes_in_count(in, 8);
    if (x->n > DELETIONS_NODES_MAX) return err_set(ERR_LIMIT, "a deletion that %u nodes made, at most %d", x->n, DELETIONS_NODES_MAX);
    x->nodes = ARENA_ARRAY(a, node_id, (size_t)x->n + 1);
    TRY(arena_check(a));
    for (uint32_t k = 0; k < x->n; k++) {
        x->nodes[k].u = bytes_in_u64(in);
        if (k > 0 && x->nodes[k].u <= x->nodes[k - 1].u) return malformed("what a node says of deletions");
    }
    return in->bad ? malformed("what a node says of deletions") : OK;
}

err_t deletions_told_get(struct bytes_in *in, struct arena *a, struct deletions_told *out)
{
    out->digest = bytes_in_u64(in);
    out->n = 0;
    uint32_t n = bytes_in_count(in, 9);
    if (in->bad) return malformed("what a node says of deletions");
    if (n > DELETIONS_TOLD_MAX) return err_set(ERR_LIMIT, "a node says that it made %u deletions, at most %d are heard", n, DELETIONS_TOLD_MAX);
    out->v = ARENA_ARRAY(a, struct deletion_told, (size_t)n + 1);
    TRY(arena_check(a));
    for (; out->n < n; out->n++) {
        TRY(get_told(in, a, &out->v[out->n]));
        if (out->n > 0 && out->v[out->n].id <= out->v[out->n - 1].id) return malformed("what a node says of deletions");
    }
    out->records = *in;
    return OK;
}

err_t deletions_record_get(struct bytes_in *in, uint64_t *id, node_id *node, struct cover *k)
{
    *id = bytes_in_u64(in);
    node->u = bytes_in_u64(in);
    struct bytes_in bytes = bytes_in_of(bytes_in_str(in));
    if (in->bad) return malformed("a record of a deletion");
    TRY(cover_get(&bytes, COVER_INTERVALS_MAX, k));
    if (bytes_in_left(&bytes) == 0) return OK;
    cover_deinit(k);
    return malformed("a record of a deletion");
}
