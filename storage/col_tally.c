#include "storage/col_tally.h"

#include <string.h>

_Thread_local struct col_tally *col_tally_open;

void col_tally_count(struct col_tally *t, const char *name, uint64_t blocks)
{
    for (uint32_t i = 0; i < t->n; i++) {
        if (strcmp(t->of[i].name, name) != 0) continue;
        t->of[i].blocks += blocks;
        return;
    }
    if (t->n == COL_TALLY_MAX) return;
    t->of[t->n].name = name;
    t->of[t->n++].blocks = blocks;
}

void col_tally_add(struct col_tally *to, const struct col_tally *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        col_tally_count(to, t->of[i].name, t->of[i].blocks);
}
