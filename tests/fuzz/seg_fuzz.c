/* The parsers of segments on any bytes. First byte: 0 a trailer (with the length of the input as the file's), 1 a raw
 * footer and the row directories in it, 2 a column chunk (type and number of rows in the next bytes). */
#include "base/core/assert.h"
#include "storage/col_codec.h"
#include "storage/seg_format.h"
#include "storage/seg_rows.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void footer(struct str raw, struct arena *a)
{
    struct seg_group *groups;
    uint32_t n;
    if (seg_footer_parse(raw, a, &groups, &n) != OK) return;
    for (uint32_t i = 0; i < n; i++) {
        struct seg_rows rows;
        if (seg_rows_parse(groups[i].meta, groups[i].nrows, a, &rows) != OK) continue;
        for (int r = 0; r < SEG_RELS; r++)
            for (uint32_t k = 0; k < rows.rel[r].ncols; k++)
                (void)seg_col_maybe_str(&rows.rel[r].cols[k], STR("needle"));
    }
}

static void column(const uint8_t *data, size_t size, struct arena *a)
{
    if (size < 3) return;
    struct column c = { .type = (enum col_type)(data[0] % 7 + 1), .nrows = data[1] | (uint32_t)data[2] << 8 };
    c.width = c.type == COL_FIX ? 16 : 0;
    struct cur cur = { data + 3, data + size };
    const uint32_t rows[] = { 0, c.nrows / 2u, c.nrows - 1u };
    struct column few = { .type = c.type, .width = c.width };
    struct cur few_cur = cur;
    err_t few_e = c.nrows > 2 ? col_column_decode_at(&few_cur, c.nrows, rows, 3, a, &few) : ERR_CORRUPT;
    if (col_column_decode(&cur, a, &c) != OK) return;
    if (c.nrows > 2) ASSERT(few_e == OK && column_has(&few, 1) == column_has(&c, rows[1]));
    struct buf again;
    buf_init(&again, 64 << 20, NULL);
    col_column_encode(&c, COL_SEAL, &again);
    struct column d = { .type = c.type, .nrows = c.nrows, .width = c.width };
    cur = cur_of(buf_view(&again));
    if (buf_check(&again) == OK) ASSERT(col_column_decode(&cur, a, &d) == OK && cur.p == cur.end && d.nvalid == c.nvalid);
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 20) return 0;
    struct budget budget;
    budget_init(&budget, "fuzz", NULL, 64 << 20, ERR_LIMIT);
    struct arena a;
    arena_init(&a, &budget);
    struct seg_trailer t;
    err_t e = OK;
    switch (data[0] % 3) {
    case 0:
        if (size > SEG_TRAILER) e = seg_trailer_parse(data + size - SEG_TRAILER, size, &t);
        if (e == OK && size > SEG_TRAILER) ASSERT(t.off + t.size + SEG_TRAILER == size);
        break;
    case 1: footer(str_n(data + 1, size - 1), &a); break;
    default: column(data + 1, size - 1, &a);
    }
    arena_deinit(&a);
    ASSERT(budget.used == 0);
    return 0;
}
