/* Swapping segments: what deletions, retention and merges have in common.
 *
 *   open      every core opens those of the new segments that it wants, beside its list
 *   commit    one synced catalog batch takes the old places out and puts the new ones in
 *   publish   infos changes; every core changes its list, without a yield between, and lets go of the old segments
 *
 * A crash before the commit leaves files that the catalog does not name, one behind it files that it names no more: both
 * are deleted at start. A commit that failed may have happened: s->undo then holds the old records, which are written
 * back at once or, if that fails too, with the next batch; until then the new files stay, for a start in between
 * would find them named.
 *
 * A stream that is taken from another node (stream_copy.h) is a swap, too: of all its segments, with what is covered with them. */
#include "base/core/assert.h"
#include "base/core/errinj.h"
#include "base/rt/file.h"
#include "storage/store_int.h"

#include <stdlib.h>

struct swap_call {
    struct store *s;
    const struct seg_swap *w;
};

static bool same(const struct seg_info *a, const struct seg_info *b)
{
    return a->generation == b->generation && a->core == b->core && memcmp(a->name, b->name, sizeof a->name) == 0;
}

/* A file in both lists: it stays, whatever becomes of the swap. */
static bool file_among(const struct seg_info *i, const struct seg_info *list, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        if (memcmp(i->name, list[k].name, sizeof i->name) == 0) return true;
    return false;
}

static bool is_among(const struct seg_info *i, const struct seg_info *list, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        if (same(i, &list[k])) return true;
    return false;
}

bool store_has_seg(const struct store *s, const struct seg_info *i)
{
    return is_among(i, s->infos, s->ninfos);
}

/* -- on a core ---------------------------------------------------------------------------------------------- */

static err_t open_here(void *arg)
{
    const struct swap_call *c = arg;
    struct shard *sh = shard_here(c->s);
    for (uint32_t i = 0; i < c->w->nin; i++) {
        if (!shard_wants_seg(c->s, sh->core, &c->w->in[i])) continue;
        struct seg *g;
        TRY(seg_open(c->s->seg_dir, &c->w->in[i], &g));
        shard_coming_add(sh, g);
        TRY(dead_mark_new(g, c->w->marks, c->w->nmarks));
    }
    return OK;
}

static err_t abandon_here(void *arg)
{
    const struct swap_call *c = arg;
    shard_coming_drop(shard_here(c->s));
    return OK;
}

/* The list is changed before the first yield, which seg_put may be. */
static err_t publish_here(void *arg)
{
    const struct swap_call *c = arg;
    struct shard *sh = shard_here(c->s);
    uint32_t kept = 0, ngone = 0;
    struct seg **gone = calloc((size_t)sh->nsegs + 1, sizeof *gone);
    ASSERT(gone != NULL);
    for (uint32_t i = 0; i < sh->nsegs; i++) {
        if (is_among(seg_info(sh->segs[i]), c->w->out, c->w->nout)) {
            gone[ngone++] = sh->segs[i];
        } else {
            sh->segs[kept++] = sh->segs[i];
        }
    }
    sh->nsegs = kept;
    for (uint32_t i = 0; i < sh->ncoming; i++)
        shard_seg_add(sh, sh->coming[i]);
    sh->ncoming = 0;
    if (c->w->taken) held_taken_here(sh, c->w->taken);
    dedup_import_here(sh, c->w->keys_at.generation, c->w->keys);
    for (uint32_t i = 0; i < ngone; i++) {
        if (!file_among(seg_info(gone[i]), c->w->in, c->w->nin)) seg_doom(gone[i]);
        seg_put(gone[i]);
    }
    free(gone);
    return OK;
}

/* -- the catalog ---------------------------------------------------------------------------------------------- */

/* `to` in the place of `from`; their places may be the same ones. */
static void put_swap(struct catalog_batch *b, const struct seg_info *from, uint32_t nfrom, const struct seg_info *to, uint32_t nto)
{
    for (uint32_t i = 0; i < nfrom; i++)
        catalog_del_seg(b, &from[i]);
    for (uint32_t i = 0; i < nto; i++)
        catalog_put_seg(b, &to[i]);
}

/* *unknown: it failed, and has happened perhaps. */
static err_t commit(struct store *s, const struct seg_swap *w, bool *unknown)
{
    if (errinj_hit(EI_SWAP_BEFORE_COMMIT)) return err_set(ERR_IO, "injected: before the catalog commit of a swap");
    struct catalog_batch b;
    catalog_batch_init(&b);
    put_swap(&b, w->out, w->nout, w->in, w->nin);
    dead_put(&b, w->marks, w->nmarks);
    if (w->taken) held_catalog(s, &b, w->taken);
    if (w->keys.n) catalog_put_dedup(&b, &w->keys_at, w->keys);
    err_t e = catalog_commit(s, &b);
    if (e == OK && errinj_hit(EI_SWAP_AFTER_COMMIT)) e = err_set(ERR_IO, "injected: after the catalog commit of a swap");
    *unknown = e != OK;
    catalog_batch_deinit(&b);
    return e;
}

/* Takes back what may have happened; false when that must wait for the next commit. */
static bool take_back(struct store *s, const struct seg_swap *w)
{
    struct catalog_batch nothing;
    if (s->undo.cap == 0) catalog_batch_init(&s->undo);
    put_swap(&s->undo, w->in, w->nin, w->out, w->nout);
    if (w->taken) held_catalog_again(s, &s->undo, w->taken->streams[0].id);
    if (w->keys.n) catalog_del_dedup(&s->undo, &w->keys_at);
    catalog_batch_init(&nothing);
    err_t e = catalog_commit(s, &nothing);
    catalog_batch_deinit(&nothing);
    return e == OK;
}

/* One that stays behind is deleted at the next start. */
static void drop_files(const struct store *s, const struct seg_swap *w)
{
    struct arena a;
    arena_init(&a, NULL);
    for (uint32_t i = 0; i < w->nin; i++) {
        if (file_among(&w->in[i], w->out, w->nout)) continue;
        err_t ignored = fs_unlink(arena_printf(&a, "%s/%s", s->seg_dir, w->in[i].name).p);
        (void)ignored;
    }
    arena_deinit(&a);
}

/* Of the files that are gone. */
static void forget_marks(struct store *s, const struct seg_swap *w)
{
    struct seg_info *gone = calloc((size_t)w->nout + 1, sizeof *gone);
    uint32_t n = 0;
    ASSERT(gone != NULL);
    for (uint32_t i = 0; i < w->nout; i++)
        if (!file_among(&w->out[i], w->in, w->nin)) gone[n++] = w->out[i];
    dead_forget(s, gone, n);
    free(gone);
}

/* -- both -------------------------------------------------------------------------------------------------------- */

err_t store_swap(struct store *s, const struct seg_swap *w)
{
    struct swap_call c = { .s = s, .w = w };
    void **args = calloc(s->cores, sizeof *args);
    ASSERT(args != NULL && s->changing.free == 0);
    for (uint32_t i = 0; i < w->nout; i++)
        ASSERT(store_has_seg(s, &w->out[i]));
    for (unsigned i = 0; i < s->cores; i++)
        args[i] = &c;
    bool unknown = false;
    err_t e = w->nin > 0 ? rt_call_all(RT_MAINTENANCE, open_here, args, NULL) : OK;
    if (e == OK) e = commit(s, w, &unknown);
    if (e == OK) {
        for (uint32_t i = 0; i < w->nout; i++)
            catalog_remove_info(s, &w->out[i]);
        for (uint32_t i = 0; i < w->nin; i++)
            catalog_add_info(s, &w->in[i]);
        if (w->taken) held_taken(s, w->taken);
        if (w->keys.n) catalog_add_dedup(s, &w->keys_at);
        store_call_all(s, publish_here, args);
        forget_marks(s, w);
    } else {
        struct err_record why = *err_record();
        bool settled = !unknown || take_back(s, w);
        store_call_all(s, abandon_here, args);
        if (settled) drop_files(s, w);
        *err_record() = why;
    }
    free(args);
    return e;
}
