/* See disk.h. */
#include "storage/disk.h"

#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/file.h"
#include "storage/store_int.h"

#include <stdio.h>

/* Below HARD_FREE, and a quarter of the ballast, the next write may fail: the ballast goes before it does. */
enum { HARD_FREE = 32 << 20 };
#define HYSTERESIS 0.01

enum disk_level disk_level_of(double used, enum disk_level before, const double share[DISK_LEVELS])
{
    enum disk_level level = DISK_ROOM;
    for (int l = DISK_TIGHT; l <= DISK_STOP; l++) {
        double from = share[l] - (l <= (int)before ? HYSTERESIS : 0);
        if (share[l] > 0 && used >= from) level = (enum disk_level)l;
    }
    return level;
}

uint64_t disk_ballast_size(uint64_t wanted, uint64_t total_bytes)
{
    uint64_t size = MIN(wanted, total_bytes / 100);
    return size < BALLAST_MIN ? 0 : size;
}

static void changed(struct store *s, enum disk_level level, double used)
{
    static const char *const effects[] = { "everything goes on", "merges pause", "ingest is refused", "only seals and deletions are written" };
    if (level > atomic_load(&s->disk.level))
        log_error("store.disk_full", "dir=%s used=%.3f effect=\"%s\" todo=\"free space on it, or keep less: storage.retention_share, "
                  "storage.retention_age\"", s->o.dir, used, effects[level]);
    else
        log_info("store.disk_room", "dir=%s used=%.3f effect=\"%s\"", s->o.dir, used, effects[level]);
    atomic_store(&s->disk.level, level);
}

/* -- ballast ------------------------------------------------------------------------------------------------ */

enum { PATH_BYTES = 1200 };

static void ballast_path(const char *dir, char *path)
{
    snprintf(path, PATH_BYTES, "%s/ballast", dir);
}

bool disk_ballast_release(const char *dir)
{
    char path[PATH_BYTES];
    struct file f;
    uint64_t size = 0;
    ballast_path(dir, path);
    if (file_open(&f, path, FILE_READ) != OK) return false;
    err_t e = file_size(&f, &size);
    file_close(&f);
    if (e == OK) e = fs_unlink(path);
    if (e == OK) e = fs_sync_dir(dir);
    if (e != OK) {
        log_error("disk.ballast", "path=%s error=\"%s\"", path, err_detail());
        return false;
    }
    log_warn("disk.ballast_released", "path=%s bytes=%llu reason=\"the disk is full: this is room for seals and deletions\" "
             "todo=\"free space on it\"", path, (unsigned long long)size);
    return true;
}

static void release(struct store *s)
{
    atomic_store(&s->disk.ballast, 0);
    if (!disk_ballast_release(s->o.dir)) return;
    metric_add(M_BALLAST_RELEASES, 1);
    s->disk.released = true;
    if (atomic_load(&s->disk.level) < DISK_FULL) changed(s, DISK_FULL, atomic_load(&s->disk.used));
}

static err_t make(struct store *s, uint64_t size)
{
    char path[PATH_BYTES];
    struct file f;
    ballast_path(s->o.dir, path);
    TRY(file_open(&f, path, FILE_READ | FILE_WRITE | FILE_CREATE));
    err_t e = file_allocate(&f, size);
    file_close(&f);
    if (e == OK) {
        atomic_store(&s->disk.ballast, size);
        return OK;
    }
    struct err_record why = *err_record();
    if (fs_unlink(path) != OK) log_warn("disk.ballast", "path=%s error=\"%s\"", path, err_detail());
    *err_record() = why;
    return e;
}

/* An earlier life may have left one; of what size does not matter. */
static void look_for_ballast(struct store *s)
{
    char path[PATH_BYTES];
    struct file f;
    uint64_t there = 0;
    ballast_path(s->o.dir, path);
    s->disk.looked = true;
    if (file_open(&f, path, FILE_READ) != OK) return;
    if (file_size(&f, &there) == OK) atomic_store(&s->disk.ballast, there);
    file_close(&f);
}

static err_t keep_ballast(struct store *s, const struct fs_space *space)
{
    if (!s->disk.looked) look_for_ballast(s);
    uint64_t size = disk_ballast_size((uint64_t)s->o.ballast_bytes, space->total_bytes);
    uint64_t have = atomic_load(&s->disk.ballast);
    if (have) {
        if (space->free_bytes < MIN((uint64_t)HARD_FREE, have / 4)) release(s);
        return OK;
    }
    if (size == 0 || space->free_bytes < 2 * size) return OK;
    double after = 1 - (double)(space->free_bytes - size) / (double)space->total_bytes;
    if (after >= (s->o.pause_share > 0 ? s->o.pause_share : 1) - HYSTERESIS) return OK;
    return make(s, size);
}

void disk_note(struct store *s, err_t e)
{
    if (e != ERR_NOSPC) return;
    struct err_record why = *err_record();
    release(s);
    *err_record() = why;
}

/* -- every second --------------------------------------------------------------------------------------------- */

err_t disk_tick(struct store *s)
{
    const double share[DISK_LEVELS] = { 0, s->o.pause_share, s->o.refuse_share, s->o.read_only_share };
    struct fs_space space;
    if (share[DISK_TIGHT] <= 0 && share[DISK_FULL] <= 0 && share[DISK_STOP] <= 0 && s->o.ballast_bytes <= 0) return OK;
    TRY(fs_space(s->o.dir, &space));
    double used = space.total_bytes ? 1 - (double)space.free_bytes / (double)space.total_bytes : 0;
    atomic_store(&s->disk.used, used);
    enum disk_level level = disk_level_of(used, atomic_load(&s->disk.level), share);
    if (s->disk.released && space.free_bytes < 2 * disk_ballast_size((uint64_t)s->o.ballast_bytes, space.total_bytes))
        level = MAX(level, DISK_FULL);
    else
        s->disk.released = false;
    if (level != atomic_load(&s->disk.level)) changed(s, level, used);
    metric_set(M_DISK_LEVEL, level);
    metric_set(M_BALLAST_BYTES, (int64_t)atomic_load(&s->disk.ballast));
    return keep_ballast(s, &space);
}

bool disk_tight(const struct store *s)
{
    return atomic_load_explicit(&s->disk.level, memory_order_relaxed) >= DISK_TIGHT;
}
