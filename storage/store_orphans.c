/* Segment files that the catalog does not name. At a start there are some after a crash: outputs of a seal or a merge that were not
 * committed (their rows are in logs, or in the inputs), and files that were to go. They are deleted, unless the catalog itself is
 * in doubt, for then they may be all there is of their rows:
 *
 *   - it holds nothing at all: no start, for a person must put it back
 *   - it names a segment that is not there, or a log lacks of the generation behind the last that it calls sealed: it may be an older
 *     one (a backup, a catalog that was cut short). Then they are moved to <dir>/bad, and told of */
#include "base/core/log.h"
#include "storage/store_int.h"

#include <inttypes.h>

static bool is_segment(struct str name)
{
    char z[40] = { 0 };
    if (name.n >= sizeof z) return false;
    memcpy(z, name.p, name.n);
    return seg_name_valid(z);
}

static bool named(const struct store *s, struct str name)
{
    for (uint32_t k = 0; k < s->ninfos; k++)
        if (str_is(name, s->infos[k].name)) return true;
    return false;
}

static bool there(struct str file, const struct str *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(names[i], file)) return true;
    return false;
}

err_t store_orphans_none(struct store *s)
{
    struct arena a;
    struct str *names, first = STR_NONE;
    size_t n, segments = 0;
    arena_init(&a, NULL);
    err_t e = fs_list(s->seg_dir, &a, &names, &n);
    for (size_t i = 0; e == OK && i < n; i++) {
        if (!is_segment(names[i])) continue;
        if (segments++ == 0) first = names[i];
    }
    if (e == OK && segments)
        e = err_set(ERR_CORRUPT, "the catalog %s/catalog is empty, and %s holds %zu segments (the first is " STR_FMT "), which nothing can be "
                    "read from without it: put the catalog back from a copy, or give another data directory", s->o.dir, s->seg_dir, segments, STR_ARG(first));
    arena_deinit(&a);
    return e;
}

/* Why the catalog may not be the one that these files belong to; NULL: nothing speaks against it. */
static const char *doubt(struct store *s, struct arena *a, const struct str *names, size_t n, err_t *e)
{
    struct wal_log *logs;
    uint32_t nlogs;
    uint64_t sealed = atomic_load(&s->sealed_gen), next = UINT64_MAX;
    for (uint32_t k = 0; k < s->ninfos; k++)
        if (!s->infos[k].remote && !there(str_of(s->infos[k].name), names, n))
            return arena_printf(a, "the catalog names %s, which is not there", s->infos[k].name).p;
    *e = wal_scan(s->wal_dir, a, &logs, &nlogs);
    for (uint32_t i = 0; *e == OK && i < nlogs; i++)
        for (uint32_t k = 0; k < logs[i].count; k++) {
            const struct wal_log_file *f = &logs[i].files[k];
            if (!f->dead && f->head.generation > sealed && f->head.generation < next) next = f->head.generation;
        }
    if (next == UINT64_MAX || next == sealed + 1) return NULL;
    return arena_printf(a, "the catalog knows what was sealed up to generation %" PRIu64 ", the oldest log is of %" PRIu64, sealed, next).p;
}

static err_t keep(struct store *s, struct arena *a, struct str name, const char *why)
{
    struct str from = arena_printf(a, "%s/" STR_FMT, s->seg_dir, STR_ARG(name)), to = arena_printf(a, "%s/" STR_FMT, s->bad_dir, STR_ARG(name));
    TRY(fs_mkdirs(s->bad_dir));
    TRY(fs_rename(from.p, to.p));
    log_error("store.orphan_kept", "path=%s why=\"%s\" effect=\"the catalog does not name it: if its rows are nowhere else, answers lack them\" "
              "todo=\"if the catalog was put back from a copy or lost something: put the right one in its place, and this file back into %s; "
              "else delete it\"", to.p, why, s->seg_dir);
    return OK;
}

err_t store_orphans(struct store *s)
{
    struct arena a;
    struct str *names;
    size_t n;
    const char *why = NULL;
    bool looked = false;
    arena_init(&a, NULL);
    err_t e = fs_list(s->seg_dir, &a, &names, &n);
    for (size_t i = 0; e == OK && i < n; i++) {
        if (named(s, names[i])) continue;
        if (!looked) why = doubt(s, &a, names, n, &e);
        looked = true;
        if (e != OK) break;
        if (why && is_segment(names[i])) {
            e = keep(s, &a, names[i], why);
            continue;
        }
        log_info("store.orphan", "file=" STR_FMT, STR_ARG(names[i]));
        e = fs_unlink(arena_printf(&a, "%s/" STR_FMT, s->seg_dir, STR_ARG(names[i])).p);
    }
    arena_deinit(&a);
    return e;
}
