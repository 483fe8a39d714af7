#include "storage/mend.h"

#include "base/core/log.h"
#include "base/core/metric.h"
#include "storage/store_int.h"
#include "storage/stream_copy.h"

void mend_streams(struct store *s, struct arena *a, uint64_t **ids, uint32_t *n)
{
    lost_streams(&s->lost, a, ids, n);
}

bool mend_wants(struct store *s, uint64_t stream)
{
    return lost_in_stream(&s->lost, stream);
}

bool mend_wants_file(struct store *s, const struct seg_info *i)
{
    return lost_any(&s->lost, i);
}

void mend_files(struct store *s, uint64_t stream, struct arena *a, struct seg_info **out, uint32_t *n)
{
    lost_of_stream(&s->lost, stream, a, out, n);
}

/* With s->changing. The swap of a segment with itself closes the old file and opens the new one. */
static err_t reopen(struct store *s, const struct seg_info *wanted, struct arena *a)
{
    const struct seg_info *at = NULL;
    struct dead_mark *marks;
    uint32_t n;
    for (uint32_t i = 0; i < s->ninfos && !at; i++)
        if (seg_same(&s->infos[i], wanted)) at = &s->infos[i];
    if (!at || at->remote) return err_set(ERR_NOT_FOUND, "%s was replaced meanwhile", wanted->name);
    const struct seg_info info = *at;
    TRY(dead_of(s, &info, a, &marks, &n));
    const struct seg_swap w = { .out = &info, .nout = 1, .in = &info, .nin = 1, .marks = marks, .nmarks = n };
    TRY(store_swap(s, &w));
    lost_forget(&s->lost, &info);
    return OK;
}

struct mending {
    struct store *s;
    const struct seg_info *i;
};

static err_t mend(void *arg)
{
    struct mending *m = arg;
    struct arena a;
    TRY(sem_take(&m->s->changing, 1));
    arena_init(&a, NULL);
    err_t e = reopen(m->s, m->i, &a);
    struct err_record why = *err_record();
    arena_deinit(&a);
    sem_give(&m->s->changing, 1);
    *err_record() = why;
    return e;
}

err_t mend_file(struct store *s, const struct seg_info *i)
{
    struct mending m = { s, i };
    err_t e = store_undisturbed(mend, &m);
    if (e == ERR_NOT_FOUND) stream_file_drop(s, i->name);
    if (e != OK) return e;
    seg_suspect_forget(i->name);
    metric_add(M_SEGMENTS_MENDED, 1);
    log_info("segment.mended", "file=%s effect=\"it came from another node, and is read again\"", i->name);
    return OK;
}
