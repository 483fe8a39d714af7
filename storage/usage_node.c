/* What a node takes of its disk beside segments: see usage.h. */
#include "storage/store_int.h"
#include "storage/usage.h"

#include "base/rt/file.h"

enum { FILES_MAX = 10000 };

/* Files that go while they are counted are not there any more. */
static err_t add_file(const char *path, struct usage_dir *to)
{
    struct file f;
    uint64_t bytes = 0;
    err_t e = file_open(&f, path, FILE_READ);
    if (e != OK) return e == ERR_NOT_FOUND ? OK : e;
    e = file_size(&f, &bytes);
    file_close(&f);
    to->files += e == OK;
    to->bytes += bytes;
    return e;
}

/* With the files of its folders, if `deep`: then all that stands in it are folders. */
static err_t add_folder(struct str path, bool deep, struct arena *a, struct usage_dir *to)
{
    struct str *names;
    size_t n;
    err_t e = fs_list(path.p, a, &names, &n);
    if (e == ERR_NOT_FOUND) return OK;
    for (size_t i = 0; e == OK && i < n && to->files < FILES_MAX; i++) {
        struct str inner = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(path), STR_ARG(names[i]));
        e = deep ? add_folder(inner, false, a, to) : add_file(inner.p, to);
    }
    return e;
}

static void add_lost(struct lost *l, struct usage_node *out)
{
    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->parts[i].group != LOST_WHOLE) continue;
        out->lost_segments++;
        out->lost_bytes += l->parts[i].info.remote ? 0 : l->parts[i].info.bytes;
    }
    pthread_mutex_unlock(&l->lock);
}

err_t usage_node(struct store *s, struct usage_node *out)
{
    struct arena a;
    struct fs_space space = { 0 };
    *out = (struct usage_node){
        .ballast_bytes = atomic_load(&s->disk.ballast), .disk_level = (int)atomic_load(&s->disk.level), .pause_share = s->o.pause_share,
        .refuse_share = s->o.refuse_share, .read_only_share = s->o.read_only_share, .retention_share = s->o.retention_share,
        .retention_age_ms = s->o.retention_age_ms, .memory_bytes_max = s->o.mem_bytes, .bucket = s->tier != NULL,
    };
    arena_init(&a, NULL);
    add_lost(&s->lost, out);
    err_t e = fs_space(s->o.dir, &space);
    if (e == OK) e = add_folder(str_of(s->wal_dir), true, &a, &out->wal);
    if (e == OK) e = add_folder(arena_printf(&a, "%s/catalog", s->o.dir), false, &a, &out->catalog);
    if (e == OK) e = add_folder(str_of(s->tail_dir), false, &a, &out->object);
    out->disk_total_bytes = space.total_bytes;
    out->disk_free_bytes = space.free_bytes;
    arena_deinit(&a);
    return e;
}
