#include "storage/partition.h"

#include "base/core/assert.h"
#include "storage/table_grow.h"

#include <stdlib.h>

/* The sum over the values of a row of a hash of (scope, type, name, value). */
void table_dim_hashes(const struct table *d, uint64_t *out)
{
    memset(out, 0, d->nrows * sizeof *out);
    for (uint32_t i = 0; i < d->ncols; i++) {
        const struct column *c = &d->cols[i];
        uint64_t name = column_name_hash(c->scope, c->type, c->name, 0);
        uint32_t size = col_value_size(c->type, c->width);
        for (uint32_t r = 0; r < d->nrows; r++) {
            if (!column_has(c, r)) continue;
            struct str v = col_is_dict(c->type) ? column_str(c, r) : str_n(c->fix + (size_t)r * size, size);
            out[r] += hash_u64(hash64_with(v, name));
        }
    }
}

/* Hashes of the rows' streams: resource and scope. */
static void stream_hashes(const struct table *t, uint64_t *out)
{
    memset(out, 0, t->nrows * sizeof *out);
    for (int d = 0; d < DIM_COUNT; d++) {
        if (!t->dim[d]) continue;
        uint64_t *h = malloc((t->dim[d]->nrows + 1) * sizeof *h);
        ASSERT(h);
        table_dim_hashes(t->dim[d], h);
        for (uint32_t r = 0; r < t->nrows; r++)
            out[r] = hash_u64(out[r] + h[t->dim_row[d][r]]);
        free(h);
    }
}

void partition_rows(struct str tenant, enum signal signal, const struct table *t, uint32_t partitions,
                    uint32_t *out)
{
    ASSERT(partitions > 0 && (partitions & (partitions - 1)) == 0);
    uint64_t tenant_hash = hash64(tenant);
    uint64_t *stream = NULL;
    const struct column *id = NULL, *other = NULL;
    if (signal == SIG_DOCS)
        other = table_column(t, SC_SELF, STR("source"), COL_STR);
    else
        id = table_column(t, SC_SELF, STR("trace_id"), COL_FIX);
    if (signal == SIG_EXEMPLARS) other = table_column(t, SC_SELF, STR("series"), COL_FIX);
    if (signal == SIG_LOGS && (!id || id->nvalid < t->nrows)) {
        stream = malloc((t->nrows + 1) * sizeof *stream);
        ASSERT(stream);
        stream_hashes(t, stream);
    }
    for (uint32_t r = 0; r < t->nrows; r++) {
        uint64_t key = 0;
        if (id && column_has(id, r))
            key = hash64(str_n(id->fix + (size_t)r * id->width, id->width));
        else if (stream)
            key = stream[r];
        else if (other && column_has(other, r) && other->type == COL_FIX)
            memcpy(&key, other->fix + (size_t)r * other->width, sizeof key); /* = series id.lo: beside its series */
        else if (other && column_has(other, r))
            key = hash64(column_str(other, r));
        out[r] = (uint32_t)hash_u64(tenant_hash + key) & (partitions - 1);
    }
    free(stream);
}
