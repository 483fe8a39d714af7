#include "storage/store_snapshot.h"

#include "base/core/datetime.h"
#include "base/core/log.h"
#include "storage/store_int.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct making {
    struct store *s;
    bool seal;
    char *name;
    struct arena mem;
    struct str root, temp; /* <dir>/snapshots, and in it NAME.tmp */
};

struct linking { /* of what is in infos, on the offload pool */
    const char *from, *to;
    const struct seg_info *infos;
    uint32_t n;
};

static err_t link_all(void *arg)
{
    const struct linking *l = arg;
    struct arena a;
    err_t e = OK;
    arena_init(&a, NULL);
    for (uint32_t i = 0; i < l->n && e == OK; i++) {
        if (l->infos[i].remote) continue;
        struct str from = arena_printf(&a, "%s/%s", l->from, l->infos[i].name), to = arena_printf(&a, "%s/%s", l->to, l->infos[i].name);
        /* One that is lost is missing there too: its answers say so. */
        if (link(from.p, to.p) != 0 && errno != ENOENT) e = err_set_errno(errno, "link of %s to %s", from.p, to.p);
    }
    arena_deinit(&a);
    return e;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static err_t remove_tree(void *path)
{
    enum { OPEN_MAX_DIRS = 8 };
    if (nftw(path, remove_one, OPEN_MAX_DIRS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        log_warn("snapshot.remove", "path=%s errno=%d", (const char *)path, errno);
    return OK;
}

/* What a crash left of others. */
static err_t remove_halves(struct making *m)
{
    struct str *names;
    size_t n;
    TRY(fs_list(m->root.p, &m->mem, &names, &n));
    for (size_t i = 0; i < n; i++)
        if (str_ends(names[i], STR(".tmp"))) TRY(rt_offload(remove_tree, (void *)arena_printf(&m->mem, STR_FMT "/" STR_FMT, STR_ARG(m->root), STR_ARG(names[i])).p));
    return OK;
}

/* With s->changing held. */
static err_t link_now(struct making *m)
{
    struct store *s = m->s;
    struct linking l = { s->seg_dir, arena_printf(&m->mem, STR_FMT "/seg", STR_ARG(m->temp)).p, s->infos, s->ninfos };
    TRY(s->o.kv->checkpoint(s->o.kv, arena_printf(&m->mem, STR_FMT "/catalog", STR_ARG(m->temp)).p));
    TRY(rt_offload(link_all, &l));
    return fs_sync_dir(l.to);
}

static void name_it(struct making *m)
{
    char when[DATETIME_TEXT_MAX], digits[DATETIME_TEXT_MAX];
    size_t n = 0, at = 0;
    (void)datetime_format(rt_wall().ns / NS_PER_S * NS_PER_S, when);
    for (; when[at] && when[at] != '.' && when[at] != 'Z'; at++)
        if (when[at] != '-' && when[at] != ':') digits[n++] = when[at];
    (void)snprintf(m->name, SNAPSHOT_NAME_MAX, "%.*sZ-%016" PRIx64, (int)n, digits, rt_random());
    m->root = arena_printf(&m->mem, "%s/snapshots", m->s->o.dir);
    m->temp = arena_printf(&m->mem, STR_FMT "/%s.tmp", STR_ARG(m->root), m->name);
}

static err_t build(struct making *m)
{
    TRY(fs_mkdirs(m->root.p));
    TRY(remove_halves(m));
    TRY(fs_mkdirs(arena_printf(&m->mem, STR_FMT "/seg", STR_ARG(m->temp)).p));
    TRY(link_now(m));
    TRY(fs_sync_dir(m->temp.p));
    return fs_rename(m->temp.p, arena_printf(&m->mem, STR_FMT "/%s", STR_ARG(m->root), m->name).p);
}

static err_t make(void *arg)
{
    struct making *m = arg;
    struct store *s = m->s;
    if (!s->o.kv->checkpoint) return err_set(ERR_UNAVAILABLE, "this catalog makes no snapshots");
    TRY(store_writable(s));
    if (m->seal) TRY(store_seal(s));
    arena_init(&m->mem, NULL);
    name_it(m);
    err_t e = sem_take(&s->changing, 1);
    if (e == OK) {
        e = build(m);
        if (e != OK) {
            struct err_record why = *err_record();
            err_t ignored = rt_offload(remove_tree, (void *)m->temp.p);
            (void)ignored;
            *err_record() = why;
        }
        sem_give(&s->changing, 1);
    }
    if (e == OK) log_info("snapshot.made", "name=%s segments=%u", m->name, s->ninfos);
    arena_deinit(&m->mem);
    return e;
}

err_t store_snapshot(struct store *s, bool seal, char name[SNAPSHOT_NAME_MAX])
{
    struct making m = { .s = s, .seal = seal, .name = name };
    return rt_call(0, RT_MAINTENANCE, make, &m);
}
