/* Invariants
 *  1. `safe` of a node changes by sync and crash only; `now` by everything else. now = safe + what was written since,
 *     in order, also what a failed sync dropped.
 *  2. Names: `safe` + the pending changes in order = `now`. A change belongs to one directory (a rename to
 *     the directory it ends in); syncing that directory moves its changes, in order, to `safe`.
 *  3. Both lists of names are sorted by path, so that a directory stands before what is in it. */
#include "base/rt/sim_disk.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16 << 10, SIM_PATH_MAX = 1024 };

struct name {
    char *path;
    struct sim_node *node;
};
struct names {
    struct name *v;
    size_t n, cap;
};
enum name_kind { NAME_LINK, NAME_UNLINK, NAME_RENAME };
struct name_change {
    enum name_kind kind;
    char *dir, *path, *path2;
    struct sim_node *node;
};

struct sim_disk {
    uint64_t capacity;
    struct names now, safe;
    struct name_change *pending;
    size_t npending, cap;
};

static void *must(void *p)
{
    ASSERT(p);
    return p;
}

/* -- content --------------------------------------------------------------------------------------- */
struct sim_chunk {
    uint32_t refs; /* contents that have it */
    bool hashed;   /* hash is that of bytes */
    uint64_t hash;
    uint8_t bytes[CHUNK];
};

static void chunk_put(struct sim_chunk *c)
{
    if (c && --c->refs == 0) free(c);
}

static void content_free(struct sim_content *c)
{
    for (size_t i = 0; i < c->nchunks; i++)
        chunk_put(c->chunks[i]);
    free(c->chunks);
    *c = (struct sim_content){ 0 };
}

/* To be written: a chunk of this content alone. */
static uint8_t *chunk_at(struct sim_content *c, uint64_t off)
{
    size_t i = (size_t)(off / CHUNK);
    if (i >= c->nchunks) {
        size_t n = i + 1;
        c->chunks = must(realloc(c->chunks, n * sizeof *c->chunks));
        memset(c->chunks + c->nchunks, 0, (n - c->nchunks) * sizeof *c->chunks);
        c->nchunks = n;
    }
    struct sim_chunk *k = c->chunks[i];
    if (!k) {
        k = must(calloc(1, sizeof *k));
        k->refs = 1;
    } else if (k->refs > 1) {
        struct sim_chunk *own = must(malloc(sizeof *own));
        memcpy(own, k, sizeof *own);
        own->refs = 1;
        k->refs--;
        k = own;
    }
    k->hashed = false;
    c->chunks[i] = k;
    return k->bytes + off % CHUNK;
}

static void content_write(struct sim_content *c, uint64_t off, const uint8_t *from, size_t n)
{
    c->size = MAX(c->size, off + n);
    while (n) {
        size_t part = MIN(n, CHUNK - (size_t)(off % CHUNK));
        memcpy(chunk_at(c, off), from, part);
        off += part;
        from += part;
        n -= part;
    }
}

static void content_read(const struct sim_content *c, uint64_t off, uint8_t *to, size_t n)
{
    while (n) {
        size_t part = MIN(n, CHUNK - (size_t)(off % CHUNK)), i = (size_t)(off / CHUNK);
        if (i < c->nchunks && c->chunks[i]) {
            memcpy(to, c->chunks[i]->bytes + off % CHUNK, part);
        } else {
            memset(to, 0, part);
        }
        off += part;
        to += part;
        n -= part;
    }
}

/* What is cut off reads as zeros when the file grows again. */
static void content_resize(struct sim_content *c, uint64_t size)
{
    size_t keep = (size_t)((size + CHUNK - 1) / CHUNK);
    for (size_t i = keep; i < c->nchunks; i++) {
        chunk_put(c->chunks[i]);
        c->chunks[i] = NULL;
    }
    size_t last = (size_t)(size / CHUNK);
    if (size % CHUNK && last < c->nchunks && c->chunks[last])
        memset(chunk_at(c, size), 0, CHUNK - (size_t)(size % CHUNK));
    c->size = size;
}

static void content_copy(struct sim_content *to, const struct sim_content *from)
{
    content_free(to);
    to->chunks = must(calloc(from->nchunks + 1, sizeof *to->chunks));
    to->nchunks = from->nchunks;
    to->size = from->size;
    for (size_t i = 0; i < from->nchunks; i++) {
        to->chunks[i] = from->chunks[i];
        if (to->chunks[i]) to->chunks[i]->refs++;
    }
}

/* A chunk of zeros is none. */
static uint64_t content_hash(const struct sim_content *c)
{
    static const uint8_t zeros[CHUNK];
    uint64_t h = hash_u64(c->size);
    for (size_t i = 0; i < c->nchunks; i++) {
        struct sim_chunk *k = c->chunks[i];
        if (!k) continue;
        if (!k->hashed) {
            k->hash = memcmp(k->bytes, zeros, CHUNK) == 0 ? 0 : hash64(str_n(k->bytes, CHUNK)) | 1;
            k->hashed = true;
        }
        if (k->hash) h = hash_u64(h ^ hash_u64(k->hash + i));
    }
    return h;
}

/* -- nodes ------------------------------------------------------------------------------------------- */
static struct sim_node *node_new(bool is_dir)
{
    struct sim_node *n = must(calloc(1, sizeof *n));
    n->is_dir = is_dir;
    return n;
}

void sim_node_drop_changes(struct sim_node *n)
{
    for (size_t i = 0; i < n->nchanges; i++)
        free(n->changes[i].bytes);
    n->nchanges = 0;
}

static struct sim_node *node_get(struct sim_node *n)
{
    n->refs++;
    return n;
}

void sim_node_put(struct sim_node *n)
{
    ASSERT(n->refs > 0);
    if (--n->refs) return;
    sim_node_drop_changes(n);
    free(n->changes);
    content_free(&n->now);
    content_free(&n->safe);
    free(n);
}

static void add_change(struct sim_node *n, struct sim_change c)
{
    if (n->nchanges == n->cap) {
        n->cap = MAX(2 * n->cap, 8);
        n->changes = must(realloc(n->changes, n->cap * sizeof *n->changes));
    }
    n->changes[n->nchanges++] = c;
}

size_t sim_node_read(const struct sim_node *n, uint64_t off, void *to, size_t bytes)
{
    if (off >= n->now.size) return 0;
    bytes = (size_t)MIN((uint64_t)bytes, n->now.size - off);
    content_read(&n->now, off, to, bytes);
    return bytes;
}

void sim_node_write(struct sim_node *n, uint64_t off, const void *from, size_t bytes)
{
    if (!bytes) return;
    uint8_t *copy = must(malloc(bytes));
    memcpy(copy, from, bytes);
    content_write(&n->now, off, from, bytes);
    add_change(n, (struct sim_change){ .off = off, .n = bytes, .bytes = copy });
}

void sim_node_resize(struct sim_node *n, uint64_t size)
{
    content_resize(&n->now, size);
    add_change(n, (struct sim_change){ .resize = true, .off = size });
}

void sim_node_sync(struct sim_node *n)
{
    for (size_t i = 0; i < n->nchanges; i++) {
        struct sim_change *c = &n->changes[i];
        if (c->resize) {
            content_resize(&n->safe, c->off);
        } else {
            content_write(&n->safe, c->off, c->bytes, c->n);
        }
    }
    sim_node_drop_changes(n);
}

static uint64_t pick(struct sim_pick *by, enum sim_pick_kind kind, uint64_t n)
{
    uint64_t v = by->fn(by, kind, n);
    ASSERT(v < n);
    return v;
}

/* One unsynced write at the crash: lost, kept, or torn at sectors. */
static void crash_write(struct sim_node *n, const struct sim_change *c, struct sim_pick *by, uint64_t sector,
                        struct sim_stats *stats)
{
    uint64_t fate = pick(by, SIM_PICK_WRITE, 3);
    if (fate == 0) {
        stats->crash_writes_lost++;
    } else if (fate == 1) {
        content_write(&n->safe, c->off, c->bytes, c->n);
        stats->crash_writes_kept++;
    } else {
        uint64_t kept = 0, pieces = 0;
        for (uint64_t at = c->off, end = c->off + c->n; at < end; pieces++) {
            uint64_t next = MIN((at / sector + 1) * sector, end);
            if (pick(by, SIM_PICK_PIECE, 2)) {
                content_write(&n->safe, at, c->bytes + (at - c->off), (size_t)(next - at));
                kept++;
            }
            at = next;
        }
        if (kept == 0) stats->crash_writes_lost++;
        else if (kept == pieces) stats->crash_writes_kept++;
        else stats->crash_writes_torn++;
    }
}

static void node_crash(struct sim_node *n, struct sim_pick *by, uint64_t sector, struct sim_stats *stats)
{
    for (size_t i = 0; i < n->nchanges; i++) {
        struct sim_change *c = &n->changes[i];
        if (!c->resize) {
            crash_write(n, c, by, sector, stats);
        } else if (pick(by, SIM_PICK_SIZE, 2)) {
            content_resize(&n->safe, c->off);
            stats->crash_writes_kept++;
        } else {
            stats->crash_writes_lost++;
        }
    }
    sim_node_drop_changes(n);
    content_copy(&n->now, &n->safe);
}

/* -- names ------------------------------------------------------------------------------------------- */
/* "/a/b": one slash between parts, none at the end; the root is "". Relative paths start at the root. */
static bool normalise(const char *path, char *out)
{
    size_t n = 0;
    while (*path) {
        while (*path == '/')
            path++;
        if (path[0] == '.' && (path[1] == '/' || !path[1])) {
            path++;
            continue;
        }
        if (!*path) break;
        if (n + 2 >= SIM_PATH_MAX) return false;
        out[n++] = '/';
        while (*path && *path != '/') {
            if (n + 1 >= SIM_PATH_MAX) return false;
            out[n++] = *path++;
        }
    }
    out[n] = 0;
    return true;
}

static size_t names_find(const struct names *t, const char *path, bool *found)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(t->v[mid].path, path);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    *found = false;
    return lo;
}

static struct sim_node *names_get(const struct names *t, const char *path)
{
    bool found;
    size_t i = names_find(t, path, &found);
    return found ? t->v[i].node : NULL;
}

static void names_remove(struct names *t, const char *path)
{
    bool found;
    size_t i = names_find(t, path, &found);
    if (!found) return;
    sim_node_put(t->v[i].node);
    free(t->v[i].path);
    memmove(t->v + i, t->v + i + 1, (--t->n - i) * sizeof *t->v);
}

static void names_put(struct names *t, const char *path, struct sim_node *node)
{
    bool found;
    node_get(node);
    names_remove(t, path);
    size_t i = names_find(t, path, &found);
    if (t->n == t->cap) {
        t->cap = MAX(2 * t->cap, 16);
        t->v = must(realloc(t->v, t->cap * sizeof *t->v));
    }
    memmove(t->v + i + 1, t->v + i, (t->n++ - i) * sizeof *t->v);
    t->v[i] = (struct name){ must(strdup(path)), node };
}

static void names_free(struct names *t)
{
    for (size_t i = 0; i < t->n; i++) {
        sim_node_put(t->v[i].node);
        free(t->v[i].path);
    }
    free(t->v);
    *t = (struct names){ 0 };
}

static void dir_of(const char *path, char *dir)
{
    memcpy(dir, path, strlen(path) + 1);
    char *slash = strrchr(dir, '/');
    if (slash) *slash = 0;
}

static int parent_check(const struct sim_disk *d, const char *path)
{
    char dir[SIM_PATH_MAX];
    dir_of(path, dir);
    if (!*dir) return 0;
    const struct sim_node *n = names_get(&d->now, dir);
    return !n ? -ENOENT : n->is_dir ? 0 : -ENOTDIR;
}

static void apply(struct names *t, const struct name_change *c)
{
    switch (c->kind) {
    case NAME_LINK: names_put(t, c->path, c->node); break;
    case NAME_UNLINK: names_remove(t, c->path); break;
    case NAME_RENAME:
        names_put(t, c->path2, c->node);
        names_remove(t, c->path);
        break;
    }
}

static void change_free(struct name_change *c)
{
    sim_node_put(c->node);
    free(c->dir);
    free(c->path);
    free(c->path2);
}

/* Applies to `now` and remembers for `safe`. */
static void change(struct sim_disk *d, enum name_kind kind, const char *path, const char *path2,
                   struct sim_node *node)
{
    char dir[SIM_PATH_MAX];
    dir_of(path2 ? path2 : path, dir);
    if (d->npending == d->cap) {
        d->cap = MAX(2 * d->cap, 16);
        d->pending = must(realloc(d->pending, d->cap * sizeof *d->pending));
    }
    struct name_change *c = &d->pending[d->npending++];
    *c = (struct name_change){ .kind = kind, .dir = must(strdup(dir)), .path = must(strdup(path)),
                               .path2 = path2 ? must(strdup(path2)) : NULL, .node = node_get(node) };
    apply(&d->now, c);
}

/* A rename from another directory became durable before the name that it started from: that name never was. */
static void forget_source(struct name_change *earlier, size_t n, const struct name_change *renamed)
{
    for (size_t i = 0; i < n; i++) {
        struct name_change *c = &earlier[i];
        if (c->kind == NAME_LINK && c->node == renamed->node && strcmp(c->dir, renamed->dir) != 0
            && strcmp(c->path, renamed->path) == 0)
            c->kind = NAME_UNLINK;
    }
}

/* Moves the first `count` pending changes of a directory to safe, and drops the others when `rest_lost`. With `by`
 * each change is kept or dropped for itself. */
static void settle(struct sim_disk *d, const char *dir, size_t count, bool rest_lost, struct sim_pick *by)
{
    size_t to = 0;
    for (size_t i = 0; i < d->npending; i++) {
        struct name_change *c = &d->pending[i];
        bool ours = strcmp(c->dir, dir) == 0, kept = ours && (by ? pick(by, SIM_PICK_NAME, 2) > 0 : count > 0);
        if (kept) {
            apply(&d->safe, c);
            if (c->kind == NAME_RENAME) forget_source(d->pending, to, c);
            if (!by) count--;
            change_free(c);
        } else if (ours && (rest_lost || by)) {
            change_free(c);
        } else {
            d->pending[to++] = *c;
        }
    }
    d->npending = to;
}

/* -- operations ---------------------------------------------------------------------------------------- */
int sim_disk_open(struct sim_disk *d, const char *path, int flags, struct sim_node **out)
{
    char p[SIM_PATH_MAX];
    if (!normalise(path, p)) return -ENAMETOOLONG;
    if (!*p) return -EISDIR;
    struct sim_node *n = names_get(&d->now, p);
    if (n && (flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if (n && n->is_dir) return -EISDIR;
    if (!n) {
        if (!(flags & O_CREAT)) return -ENOENT;
        int e = parent_check(d, p);
        if (e) return e;
        n = node_new(false);
        change(d, NAME_LINK, p, NULL, n);
    } else if ((flags & O_TRUNC) && n->now.size) {
        sim_node_resize(n, 0);
    }
    *out = node_get(n);
    return 0;
}

int sim_disk_mkdir(struct sim_disk *d, const char *path)
{
    char p[SIM_PATH_MAX];
    if (!normalise(path, p)) return -ENAMETOOLONG;
    if (!*p || names_get(&d->now, p)) return -EEXIST;
    int e = parent_check(d, p);
    if (e) return e;
    change(d, NAME_LINK, p, NULL, node_new(true));
    return 0;
}

int sim_disk_unlink(struct sim_disk *d, const char *path)
{
    char p[SIM_PATH_MAX];
    if (!normalise(path, p)) return -ENAMETOOLONG;
    struct sim_node *n = names_get(&d->now, p);
    if (!n) return -ENOENT;
    if (n->is_dir) return -EISDIR;
    change(d, NAME_UNLINK, p, NULL, n);
    return 0;
}

int sim_disk_rename(struct sim_disk *d, const char *from, const char *to)
{
    char p[SIM_PATH_MAX], q[SIM_PATH_MAX];
    if (!normalise(from, p) || !normalise(to, q)) return -ENAMETOOLONG;
    struct sim_node *n = names_get(&d->now, p), *old = names_get(&d->now, q);
    if (!n) return -ENOENT;
    if (n->is_dir || (old && old->is_dir)) return -EOPNOTSUPP;
    int e = parent_check(d, q);
    if (e || strcmp(p, q) == 0) return e;
    change(d, NAME_RENAME, p, q, n);
    return 0;
}

int sim_disk_sync_dir(struct sim_disk *d, const char *path)
{
    char p[SIM_PATH_MAX];
    if (!normalise(path, p)) return -ENAMETOOLONG;
    const struct sim_node *n = *p ? names_get(&d->now, p) : NULL;
    if (*p && !n) return -ENOENT;
    if (n && !n->is_dir) return -ENOTDIR;
    settle(d, p, SIZE_MAX, false, NULL);
    return 0;
}

int64_t sim_disk_list(struct sim_disk *d, const char *path, char **names, size_t *bytes)
{
    char p[SIM_PATH_MAX];
    if (!normalise(path, p)) return -ENAMETOOLONG;
    const struct sim_node *n = *p ? names_get(&d->now, p) : NULL;
    if (*p && !n) return -ENOENT;
    if (n && !n->is_dir) return -ENOTDIR;
    size_t len = strlen(p), total = 0;
    int64_t count = 0;
    char *out = NULL;
    for (size_t i = 0; i < d->now.n; i++) {
        const char *q = d->now.v[i].path;
        if (strncmp(q, p, len) != 0 || q[len] != '/' || strchr(q + len + 1, '/')) continue;
        size_t m = strlen(q + len + 1) + 1;
        out = must(realloc(out, total + m));
        memcpy(out + total, q + len + 1, m);
        total += m;
        count++;
    }
    *names = out;
    *bytes = total;
    return count;
}

uint64_t sim_disk_used(const struct sim_disk *d)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < d->now.n; i++)
        sum += d->now.v[i].node->now.size;
    return sum;
}

uint64_t sim_disk_capacity(const struct sim_disk *d)
{
    return d->capacity;
}

/* -- for tests ------------------------------------------------------------------------------------------- */
struct sim_disk *sim_disk_new(uint64_t capacity_bytes)
{
    struct sim_disk *d = must(calloc(1, sizeof *d));
    d->capacity = capacity_bytes;
    return d;
}

void sim_disk_free(struct sim_disk *d)
{
    while (d->npending)
        change_free(&d->pending[--d->npending]);
    free(d->pending);
    names_free(&d->now);
    names_free(&d->safe);
    free(d);
}

static void crash_dir(struct sim_disk *d, const char *dir, struct sim_pick *by, struct sim_stats *stats)
{
    size_t count = 0, before = d->npending;
    for (size_t i = 0; i < d->npending; i++)
        count += strcmp(d->pending[i].dir, dir) == 0;
    if (pick(by, SIM_PICK_ORDER, 2) == 0) {
        size_t keep = (size_t)pick(by, SIM_PICK_NAMES, count + 1);
        stats->crash_names_kept += keep;
        stats->crash_names_lost += count - keep;
        settle(d, dir, keep, true, NULL);
    } else {
        settle(d, dir, 0, true, by);
    }
    ASSERT(d->npending < before);
}

static void crash_names(struct sim_disk *d, struct sim_pick *by, struct sim_stats *stats)
{
    while (d->npending) {
        char dir[SIM_PATH_MAX];
        memcpy(dir, d->pending[0].dir, strlen(d->pending[0].dir) + 1);
        crash_dir(d, dir, by, stats);
    }
    /* What stands in a directory that was lost is lost with it. Parents come first in the order. */
    for (size_t i = 0; i < d->safe.n;) {
        char dir[SIM_PATH_MAX];
        dir_of(d->safe.v[i].path, dir);
        if (!*dir || names_get(&d->safe, dir)) {
            i++;
            continue;
        }
        stats->crash_names_lost++;
        names_remove(&d->safe, d->safe.v[i].path);
    }
}

void sim_disk_crash_by(struct sim_disk *d, struct sim_pick *by, struct sim_stats *stats)
{
    struct sim_stats none = { 0 };
    if (!stats) stats = &none;
    uint64_t sector = pick(by, SIM_PICK_SECTOR, 2) ? 512 : 4096;
    crash_names(d, by, stats);
    names_free(&d->now);
    for (size_t i = 0; i < d->safe.n; i++) {
        node_crash(d->safe.v[i].node, by, sector, stats);
        names_put(&d->now, d->safe.v[i].path, d->safe.v[i].node);
    }
}

struct seeded {
    struct sim_pick by;
    struct prng r;
};

static uint64_t seeded_pick(struct sim_pick *by, enum sim_pick_kind kind, uint64_t n)
{
    /* Directories keep their order: a prefix of their changes. */
    return kind == SIM_PICK_ORDER ? 0 : prng_below(&CONTAINER_OF(by, struct seeded, by)->r, n);
}

void sim_disk_crash(struct sim_disk *d, uint64_t seed, struct sim_stats *stats)
{
    struct seeded s = { .by.fn = seeded_pick };
    prng_init(&s.r, seed ^ UINT64_C(0xd15c));
    sim_disk_crash_by(d, &s.by, stats);
}

/* -- copies ---------------------------------------------------------------------------------------------- */
/* The copy of a node, made when first asked for. Unreferenced: who keeps it references it. */
static struct sim_node *twin_of(struct sim_node *n)
{
    if (n->twin) return n->twin;
    struct sim_node *t = node_new(n->is_dir);
    content_copy(&t->now, &n->now);
    content_copy(&t->safe, &n->safe);
    for (size_t i = 0; i < n->nchanges; i++) {
        struct sim_change c = n->changes[i];
        if (!c.resize) {
            c.bytes = must(malloc(c.n));
            memcpy(c.bytes, n->changes[i].bytes, c.n);
        }
        add_change(t, c);
    }
    n->twin = t;
    return t;
}

static void names_copy(struct names *to, const struct names *from)
{
    to->v = must(calloc(from->n + 1, sizeof *to->v));
    to->cap = from->n + 1;
    to->n = from->n;
    for (size_t i = 0; i < from->n; i++)
        to->v[i] = (struct name){ must(strdup(from->v[i].path)), node_get(twin_of(from->v[i].node)) };
}

/* Every node that has a name was, or will be one: those of open files without a name are nobody's any more. */
struct sim_disk *sim_disk_copy(struct sim_disk *d, struct sim_node **nodes, size_t n)
{
    struct sim_disk *c = sim_disk_new(d->capacity);
    names_copy(&c->now, &d->now);
    names_copy(&c->safe, &d->safe);
    c->pending = must(calloc(d->npending + 1, sizeof *c->pending));
    c->cap = d->npending + 1;
    for (size_t i = 0; i < d->npending; i++) {
        const struct name_change *p = &d->pending[i];
        c->pending[c->npending++] = (struct name_change){ .kind = p->kind, .dir = must(strdup(p->dir)), .path = must(strdup(p->path)),
                                    .path2 = p->path2 ? must(strdup(p->path2)) : NULL, .node = node_get(twin_of(p->node)) };
    }
    for (size_t i = 0; i < n; i++) {
        struct sim_node *node = nodes[i];
        nodes[i] = node ? node->twin : NULL;
    }
    for (size_t i = 0; i < d->now.n; i++)
        d->now.v[i].node->twin = NULL;
    for (size_t i = 0; i < d->safe.n; i++)
        d->safe.v[i].node->twin = NULL;
    for (size_t i = 0; i < d->npending; i++)
        d->pending[i].node->twin = NULL;
    return c;
}

uint64_t sim_disk_hash(const struct sim_disk *d)
{
    uint64_t h = 0;
    for (size_t i = 0; i < d->now.n; i++) {
        const struct sim_node *n = d->now.v[i].node;
        h = hash64_with(str_of(d->now.v[i].path), h ^ (n->is_dir ? 1 : content_hash(&n->now)));
    }
    return h;
}

bool sim_disk_rot(struct sim_disk *d, const char *path, uint64_t seed, unsigned nbits)
{
    char p[SIM_PATH_MAX];
    struct prng r;
    struct sim_node *n = normalise(path, p) ? names_get(&d->now, p) : NULL;
    if (!n || n->is_dir || !n->now.size) return false;
    prng_init(&r, seed);
    while (nbits--) {
        uint64_t off = prng_below(&r, n->now.size);
        uint8_t bit = (uint8_t)(1u << prng_below(&r, 8));
        *chunk_at(&n->now, off) ^= bit;
        if (off < n->safe.size) *chunk_at(&n->safe, off) ^= bit;
    }
    return true;
}

uint8_t *sim_disk_read(struct sim_disk *d, const char *path, size_t *n)
{
    char p[SIM_PATH_MAX];
    const struct sim_node *node = normalise(path, p) ? names_get(&d->now, p) : NULL;
    if (!node || node->is_dir) return NULL;
    *n = (size_t)node->now.size;
    uint8_t *out = must(malloc(*n + 1));
    content_read(&node->now, 0, out, *n);
    return out;
}

void sim_disk_walk(struct sim_disk *d, void (*fn)(const char *path, uint64_t size, void *ctx), void *ctx)
{
    for (size_t i = 0; i < d->now.n; i++)
        if (!d->now.v[i].node->is_dir) fn(d->now.v[i].path, d->now.v[i].node->now.size, ctx);
}

/* Pieces that overlap, so that bytes over the end of a chunk are found too. */
static bool content_has(const struct sim_content *c, const uint8_t *bytes, size_t n)
{
    uint8_t piece[2048];
    ASSERT(n > 0 && n < sizeof piece / 2);
    for (uint64_t off = 0; off < c->size; off += sizeof piece - n + 1) {
        size_t i = (size_t)(off / CHUNK), next = (size_t)((off + sizeof piece - 1) / CHUNK);
        if ((i >= c->nchunks || !c->chunks[i]) && (next >= c->nchunks || !c->chunks[next])) continue;
        size_t part = (size_t)MIN(sizeof piece, c->size - off);
        content_read(c, off, piece, part);
        if (memmem(piece, part, bytes, n)) return true;
    }
    return false;
}

bool sim_disk_synced(const struct sim_disk *d, const char *part, const void *bytes, size_t n)
{
    for (size_t i = 0; i < d->safe.n; i++)
        if (strstr(d->safe.v[i].path, part) && content_has(&d->safe.v[i].node->safe, bytes, n)) return true;
    return false;
}
