/* Log files that no core writes: those of earlier lives, until they are replayed and sealed, and those of sealed generations that are
 * kept since other nodes may lack what is in them (store_names.h, store_covered). Core 0's. */
#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/rt/file.h"
#include "storage/store_int.h"

#include <inttypes.h>
#include <stdlib.h>

bool logs_needed(const struct shard *sh, const struct cover *names)
{
    return sh->store->o.log_keep_bytes > 0 && !cover_holds(&sh->held.by_all, names);
}

/* Oldest generation first; takes path and names. */
static struct log_file *insert(struct store *s, struct log_file f)
{
    s->logs = store_grow(s->logs, &s->logs_cap, s->nlogs + 1, sizeof *s->logs);
    uint32_t at = s->nlogs++;
    for (; at > 0 && s->logs[at - 1].generation > f.generation; at--)
        s->logs[at] = s->logs[at - 1];
    s->logs[at] = f;
    if (f.sealed) s->logs_kept += f.bytes;
    return &s->logs[at];
}

struct log_file *logs_add(struct store *s, unsigned core, const struct wal_log_file *f, bool sealed)
{
    struct log_file l = { .path = strdup(f->path), .core = core, .generation = f->head.generation, .number = f->head.number,
                          .bytes = f->size, .sealed = sealed, .bad = f->bad_header, .since = rt_now() };
    ASSERT(l.path != NULL);
    cover_init(&l.names);
    return insert(s, l);
}

struct log_file *logs_find(struct store *s, const char *path)
{
    uint32_t i = 0;
    while (i < s->nlogs && strcmp(s->logs[i].path, path) != 0)
        i++;
    ASSERT(i < s->nlogs); /* it was found at the start */
    return &s->logs[i];
}

static void forget(struct store *s, uint32_t i, struct log_file *out)
{
    *out = s->logs[i];
    if (out->sealed) s->logs_kept -= out->bytes;
    memmove(s->logs + i, s->logs + i + 1, (--s->nlogs - i) * sizeof *s->logs);
}

static void free_file(struct log_file *f)
{
    cover_deinit(&f->names);
    free(f->path);
}

/* Off the list before the yield. */
static void delete_file(struct store *s, uint32_t i)
{
    struct log_file f;
    forget(s, i, &f);
    if (fs_unlink(f.path) != OK) log_warn("wal.unlink", "path=%s error=%s", f.path, err_detail());
    free_file(&f);
}

static bool is_needed(struct store *s, const struct log_file *f)
{
    return !f->bad && (!f->read || logs_needed(shard_here(s), &f->names));
}

/* A file is as long as was allocated for it. */
static void cut(const struct wal_kept *k)
{
    struct file f;
    err_t e = file_open(&f, k->path, FILE_READ | FILE_WRITE);
    if (e == OK) {
        e = file_truncate(&f, k->bytes);
        file_close(&f);
    }
    if (e != OK) log_warn("wal.cut", "path=%s error=%s", k->path, err_detail());
}

void logs_sealed(struct store *s, uint64_t generation, struct wal_kept *kept)
{
    for (struct wal_kept *k; (k = kept);) {
        kept = k->next;
        cut(k);
        struct log_file f = { .path = strdup(k->path), .core = k->core, .generation = k->generation, .number = k->number,
                              .bytes = k->bytes, .sealed = true, .read = true, .since = rt_now(), .names = k->names };
        ASSERT(f.path != NULL);
        insert(s, f);
        free(k);
    }
    for (uint32_t i = 0; i < s->nlogs;) {
        struct log_file *f = &s->logs[i];
        if (f->generation <= generation && !f->sealed) {
            if (!is_needed(s, f)) {
                delete_file(s, i);
                i = 0; /* it yielded */
                continue;
            }
            f->sealed = true;
            f->since = rt_now();
            s->logs_kept += f->bytes;
        }
        i++;
    }
}

void logs_free(struct store *s)
{
    for (uint32_t i = 0; i < s->nlogs; i++)
        free_file(&s->logs[i]);
    free(s->logs);
}

/* -- while they are kept ------------------------------------------------------------------------------------------- */

static err_t note_name(void *ctx, const struct wal_frame *f)
{
    struct request_reader rd;
    if (request_open(f->payload, &rd) == OK) cover_add(ctx, &rd.head.name);
    return OK;
}

/* Of one file of an earlier life. A second one is read at the next turn. */
static void read_names(struct store *s)
{
    uint32_t i = 0;
    while (i < s->nlogs && (s->logs[i].read || !s->logs[i].sealed))
        i++;
    if (i == s->nlogs) return;
    const struct log_file *f = &s->logs[i];
    char *path = strdup(f->path);
    ASSERT(path != NULL);
    const struct wal_part p = { .path = path, .core = f->core, .generation = f->generation, .number = f->number, .to = UINT64_MAX };
    struct cover names;
    cover_init(&names);
    if (wal_read(&p, note_name, &names) != OK) log_warn("wal.names", "path=%s error=%s", path, err_detail());
    cover_drop_stream(&names, s->own_stream);
    for (i = 0; i < s->nlogs; i++) {
        if (strcmp(s->logs[i].path, path) != 0 || s->logs[i].read) continue;
        cover_join(&s->logs[i].names, &names);
        s->logs[i].read = true;
    }
    cover_deinit(&names);
    free(path);
}

/* Why the file goes, though it is needed; NULL: it stays. */
static const char *past_limits(const struct store *s, const struct log_file *f)
{
    if (disk_tight(s)) return "the disk is nearly full";
    if ((int64_t)s->logs_kept > s->o.log_keep_bytes) return "too many bytes are kept";
    if (rt_now().ns - f->since.ns > s->o.log_keep_ms * (int64_t)NS_PER_MS) return "it was kept long enough";
    return NULL;
}

static void drop(struct store *s)
{
    for (uint32_t i = 0; i < s->nlogs;) {
        struct log_file *f = &s->logs[i];
        const char *why = NULL;
        if (!f->sealed || (is_needed(s, f) && !(why = past_limits(s, f)))) {
            i++;
            continue;
        }
        if (why && f->read) {
            metric_add(M_LOG_KEPT_LOST, 1);
            log_warn("wal.forgotten", "path=%s why=\"%s\" effect=\"other nodes get what they lack of it from segments\"", f->path, why);
        }
        delete_file(s, i);
        i = 0; /* it yielded */
    }
}

void logs_tick(struct store *s)
{
    read_names(s);
    drop(s);
    metric_set(M_LOG_KEPT_BYTES, (int64_t)s->logs_kept);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->nlogs; i++)
        n += s->logs[i].sealed;
    metric_set(M_LOG_KEPT_FILES, n);
}

/* -- store_covered ---------------------------------------------------------------------------------------------------- */

struct covered_call {
    struct store *s;
    const struct cover *by_all;
};

static err_t covered_here(void *arg)
{
    const struct covered_call *c = arg;
    struct cover *to = &shard_here(c->s)->held.by_all;
    cover_deinit(to);
    cover_init(to);
    cover_join(to, c->by_all);
    return OK;
}

void store_covered(struct store *s, const struct cover *by_all)
{
    struct covered_call c = { s, by_all };
    void **args = store_same_args(s, &c);
    store_call_all(s, covered_here, args);
    free(args);
}
