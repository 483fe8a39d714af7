#include "tests/golden/golden.h"

#include "base/core/assert.h"
#include "base/rt/sim_disk.h"
#include "storage/wal_frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SEED = 20261122, REQUESTS = 24, REQUESTS_LOGGED = 8, DISK_BYTES = 256 << 20, BLOCK = 4096 };
#define CATALOG "catalog"
#define WALL_NS (INT64_C(1767226000) * NS_PER_S + NS_PER_MS / 2)

struct store_opts golden_opts(struct kv *kv)
{
    return (struct store_opts){ .dir = "/data", .kv = kv, .partitions = 16, .mem_bytes = 8 << 20, .seal_age_ms = 3600000,
                                .commit_bytes = 1 << 20 };
}

void image_free(struct image *m)
{
    for (unsigned i = 0; i < m->nfiles; i++)
        free(m->files[i].bytes);
    m->nfiles = 0;
}

size_t image_bytes(const struct image *m)
{
    size_t n = 0;
    for (unsigned i = 0; i < m->nfiles; i++)
        n += m->files[i].n;
    return n;
}

static struct golden_file *add(struct image *m, const char *path, uint8_t *bytes, size_t n)
{
    ASSERT(m->nfiles < FILES_MAX && strlen(path) < sizeof m->files[0].path);
    struct golden_file *f = &m->files[m->nfiles++];
    *f = (struct golden_file){ .bytes = bytes, .n = n };
    memcpy(f->path, path, strlen(path) + 1);
    return f;
}

/* -- in folders ------------------------------------------------------------------------------------------------- */

static void make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        if (mkdir(path, 0755) != 0 && errno != EEXIST) wrong("%s: %s", path, strerror(errno));
        *p = '/';
    }
}

void image_save(const struct image *m, const char *dir)
{
    char path[1024], names[1024];
    snprintf(names, sizeof names, "%s/names", dir);
    make_folders(names);
    FILE *list = fopen(names, "w");
    if (!list) wrong("%s: %s", names, strerror(errno));
    for (unsigned i = 0; i < m->nfiles; i++) {
        const struct golden_file *f = &m->files[i];
        snprintf(path, sizeof path, "%s/%s", dir, f->path);
        make_folders(path);
        FILE *to = fopen(path, "wb");
        if (!to || fwrite(f->bytes, 1, f->n, to) != f->n || fclose(to) != 0) wrong("%s: %s", path, strerror(errno));
        fprintf(list, "%s\n", f->path);
    }
    fclose(list);
}

void image_load(struct image *m, const char *dir)
{
    char path[1024], name[64];
    *m = (struct image){ 0 };
    snprintf(path, sizeof path, "%s/names", dir);
    FILE *list = fopen(path, "r");
    if (!list) wrong("%s: %s; tests/golden/regenerate writes the files", path, strerror(errno));
    while (fscanf(list, "%63s", name) == 1) {
        snprintf(path, sizeof path, "%s/%s", dir, name);
        FILE *from = fopen(path, "rb");
        if (!from) wrong("%s: %s", path, strerror(errno));
        fseek(from, 0, SEEK_END);
        long n = ftell(from);
        rewind(from);
        uint8_t *bytes = malloc((size_t)n + 1);
        ASSERT(bytes && fread(bytes, 1, (size_t)n, from) == (size_t)n);
        fclose(from);
        add(m, name, bytes, (size_t)n);
    }
    fclose(list);
}

/* -- in the simulator ---------------------------------------------------------------------------------------------- */

static void put_hex(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_printf(b, "%02x", (unsigned)(uint8_t)s.p[i]);
}

static void take_catalog(struct image *m, struct kv *kv)
{
    struct arena a;
    struct kv_item *items;
    struct buf b;
    size_t n;
    arena_init(&a, NULL);
    buf_init(&b, 1 << 20, NULL);
    ASSERT(kv->list(kv, STR(""), SIZE_MAX, &a, &items, &n) == OK);
    for (size_t i = 0; i < n; i++) {
        put_hex(&b, items[i].key);
        buf_z(&b, " ");
        put_hex(&b, items[i].value);
        buf_z(&b, "\n");
    }
    uint8_t *bytes = malloc(b.n);
    ASSERT(bytes && buf_check(&b) == OK);
    memcpy(bytes, b.p, b.n);
    add(m, CATALOG, bytes, b.n);
    buf_deinit(&b);
    arena_deinit(&a);
}

struct kv *image_kv(const struct image *m)
{
    const struct golden_file *f = &m->files[m->nfiles - 1];
    struct str rest = str_n(f->bytes, f->n), line, key;
    struct kv *kv = kv_mem_new();
    struct arena a;
    ASSERT(!strcmp(f->path, CATALOG));
    arena_init(&a, NULL);
    while (str_cut(&rest, '\n', &line) && line.n) {
        ASSERT(str_cut(&line, ' ', &key));
        uint8_t *k = arena_alloc(&a, key.n / 2 + 1), *v = arena_alloc(&a, line.n / 2 + 1);
        ASSERT(str_from_hex(key, k, key.n / 2) && (line.n == 0 || str_from_hex(line, v, line.n / 2)));
        const struct kv_op op = { str_n(k, key.n / 2), str_n(v, line.n / 2) };
        ASSERT(kv->write(kv, &op, 1) == OK);
    }
    arena_deinit(&a);
    return kv;
}

struct take {
    struct image *m;
    struct sim_disk *disk;
};

/* The zeros that a log is filled with in advance are left out. */
static void take_file(const char *path, uint64_t size, void *ctx)
{
    struct take *t = ctx;
    size_t n;
    if (size == 0 || !str_starts(str_of(path), STR("/data/"))) return;
    uint8_t *bytes = sim_disk_read(t->disk, path, &n);
    if (str_ends(str_of(path), STR(".wal"))) {
        while (n > 0 && bytes[n - 1] == 0)
            n--;
        n = (n + BLOCK - 1) / BLOCK * BLOCK;
    }
    add(t->m, path + strlen("/data/"), bytes, n);
}

static void make_dirs(struct sim_disk *d, char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        (void)sim_disk_mkdir(d, path);
        *p = '/';
    }
}

struct sim_disk *image_disk(const struct image *m)
{
    struct sim_disk *d = sim_disk_new(DISK_BYTES);
    for (unsigned i = 0; i < m->nfiles; i++) {
        const struct golden_file *f = &m->files[i];
        char path[300];
        struct sim_node *n;
        if (!strcmp(f->path, CATALOG)) continue;
        snprintf(path, sizeof path, "/data/%s", f->path);
        make_dirs(d, path);
        ASSERT(sim_disk_open(d, path, O_CREAT | O_RDWR, &n) == 0);
        sim_node_write(n, 0, f->bytes, f->n);
        sim_node_sync(n);
        sim_node_put(n);
    }
    return d;
}

struct writing {
    struct model *m;
    struct kv *kv;
    struct prng rnd;
};

static err_t append(struct writing *w, struct store *s, unsigned count)
{
    for (unsigned k = 0; k < count; k++) {
        struct built b;
        uint32_t i = model_begin(w->m, &w->rnd, 0);
        model_build(w->m, i, &b);
        /* The log says when: always the same, however long the disk took. */
        sim_step_wall(WALL_NS + (int64_t)i * NS_PER_S - rt_wall().ns);
        TRY(store_append(s, b.p, b.n));
        model_built_free(&b);
        model_end(w->m, i, true);
    }
    return OK;
}

static err_t write_main(void *arg)
{
    struct writing *w = arg;
    struct store *s;
    struct store_opts o = golden_opts(w->kv);
    TRY(store_open(&o, &s));
    TRY(append(w, s, REQUESTS));
    TRY(store_seal(s));
    TRY(append(w, s, REQUESTS_LOGGED));
    store_close(s);
    return OK;
}

void image_write(struct image *out, struct model *m)
{
    struct sim_disk *d = sim_disk_new(DISK_BYTES);
    struct writing w = { .m = m, .kv = kv_mem_new() };
    struct sim_result res;
    *out = (struct image){ 0 };
    model_init(m, SEED);
    prng_init(&w.rnd, SEED);
    sim_run(SEED, 1, d, NULL, write_main, &w, &res);
    if (res.stuck || res.result != OK) wrong("the writer: %s: %s", err_name(res.result), err_detail());
    struct take t = { out, d };
    sim_disk_walk(d, take_file, &t);
    take_catalog(out, w.kv);
    kv_mem_free(w.kv);
    sim_disk_free(d);
}

/* -- comparing -------------------------------------------------------------------------------------------------------- */

/* Segments and logs say their version at 8. */
static uint32_t version_of(const struct golden_file *f)
{
    uint32_t v = 0;
    if (strcmp(f->path, CATALOG) != 0 && f->n >= 12) memcpy(&v, f->bytes + 8, 4);
    return v;
}

static const char *kind_of(const struct golden_file *f)
{
    return str_ends(str_of(f->path), STR(".seg")) ? "seg" : str_ends(str_of(f->path), STR(".wal")) ? "wal" : f->path;
}

static void tell(const struct golden_file *kept, const struct golden_file *now)
{
    size_t at = 0, n = MIN(kept->n, now->n);
    while (at < n && kept->bytes[at] == now->bytes[at])
        at++;
    uint32_t before = version_of(kept), version = version_of(now);
    fprintf(stderr, "golden: %s is written otherwise from byte %zu on (%zu bytes, kept are %zu). ", now->path, at, now->n, kept->n);
    if (before == version && version != 0)
        fprintf(stderr, "Its version is %u as before: a change of the format that is meant raises it, then tests/golden/regenerate\n", version);
    else if (version != 0)
        fprintf(stderr, "Its version went from %u to %u: tests/golden/regenerate writes the new files\n", before, version);
    else
        fprintf(stderr, "When nothing but the names of segments differs, or RECORD_VERSION was raised: tests/golden/regenerate\n");
}

unsigned image_compare(const struct image *kept, const struct image *now)
{
    unsigned bad = 0;
    if (kept->nfiles != now->nfiles) {
        fprintf(stderr, "golden: %u files are written, kept are %u\n", now->nfiles, kept->nfiles);
        bad++;
    }
    for (unsigned i = 0; i < MIN(kept->nfiles, now->nfiles); i++) {
        const struct golden_file *a = &kept->files[i], *b = &now->files[i];
        bool same_name = !strcmp(a->path, b->path) || (!strcmp(kind_of(a), "seg") && !strcmp(kind_of(b), "seg"));
        if (same_name && !strcmp(a->path, b->path) && a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0) continue;
        if (same_name)
            tell(a, b);
        else
            fprintf(stderr, "golden: %s is written in place of %s\n", b->path, a->path);
        bad++;
    }
    return bad;
}

/* -- reading ------------------------------------------------------------------------------------------------------------ */

struct reading {
    struct model *m;
    struct kv *kv;
};

static err_t read_main(void *arg)
{
    struct reading *r = arg;
    struct store *s;
    struct store_stats st;
    struct store_opts o = golden_opts(r->kv);
    TRY(store_open(&o, &s));
    store_stats(s, &st);
    if (st.lost || st.wal_rotten || st.segments == 0) wrong("the golden files are not whole");
    TRY(model_check(r->m, s, NULL, 0));
    TRY(store_seal(s));
    TRY(model_check(r->m, s, NULL, 0));
    store_close(s);
    return OK;
}

void image_read(const struct image *m, struct model *model)
{
    struct reading r = { model, image_kv(m) };
    struct sim_disk *d = image_disk(m);
    struct sim_result res;
    snprintf(current_place, sizeof current_place, " (golden files)");
    sim_run(1, 1, d, NULL, read_main, &r, &res);
    if (res.stuck || res.result != OK) wrong("reading: %s: %s", err_name(res.result), err_detail());
    kv_mem_free(r.kv);
    sim_disk_free(d);
}

/* -- other versions ------------------------------------------------------------------------------------------------------ */

static void must_tell(const char *text, const char *what)
{
    if (str_find(str_of(text), str_of(what)) == SIZE_MAX) wrong("the message does not say \"%s\": %s", what, text);
}

static err_t refuse_main(void *arg)
{
    struct reading *r = arg;
    struct store *s;
    struct arena a;
    struct store_opts o = golden_opts(r->kv);
    TRY(store_open(&o, &s));
    arena_init(&a, NULL);
    struct store_stats st;
    store_stats(s, &st);
    if (st.lost == 0) wrong("a segment of another version is not told");
    must_tell(store_lost_text(s, &a).p, "version");
    must_tell(store_lost_text(s, &a).p, ".seg");
    arena_deinit(&a);
    TRY(model_check(r->m, s, NULL, 0)); /* rows of the segment are missing, and that is told; the logs are read */
    store_close(s);
    return OK;
}

/* The golden files with the version of one kind raised; the checksums hold. */
static void raise_version(const struct image *m, struct image *out, const char *kind)
{
    *out = (struct image){ 0 };
    for (unsigned i = 0; i < m->nfiles; i++) {
        const struct golden_file *f = &m->files[i];
        uint8_t *bytes = malloc(f->n);
        ASSERT(bytes);
        memcpy(bytes, f->bytes, f->n);
        struct golden_file *g = add(out, f->path, bytes, f->n);
        if (strcmp(kind_of(g), kind) != 0) continue;
        if (!strcmp(kind, "seg")) {
            bytes[8]++;
            bytes[f->n - 16]++;
        } else {
            bytes[8]++;
            uint64_t check = hash64(str_n(bytes, 48));
            memcpy(bytes + 48, &check, 8);
        }
    }
}

static err_t open_main(void *arg)
{
    struct reading *r = arg;
    struct store *s;
    struct store_opts o = golden_opts(r->kv);
    TRY(store_open(&o, &s));
    store_close(s);
    return OK;
}

void image_refuse(const struct image *m, struct model *model)
{
    struct image other;
    struct sim_result res;
    raise_version(m, &other, "seg");
    struct reading r = { model, image_kv(&other) };
    struct sim_disk *d = image_disk(&other);
    sim_run(1, 1, d, NULL, refuse_main, &r, &res);
    if (res.stuck || res.result != OK) wrong("a segment of another version: %s: %s", err_name(res.result), err_detail());
    kv_mem_free(r.kv);
    sim_disk_free(d);
    image_free(&other);
    raise_version(m, &other, "wal");
    r.kv = image_kv(&other);
    d = image_disk(&other);
    sim_run(1, 1, d, NULL, open_main, &r, &res);
    if (res.stuck || res.result == OK) wrong("a log of another version is passed over");
    must_tell(err_detail(), "version");
    must_tell(err_detail(), ".wal");
    for (unsigned i = 0; i < other.nfiles; i++) {
        char path[300];
        size_t n;
        if (strcmp(kind_of(&other.files[i]), "wal") != 0) continue;
        snprintf(path, sizeof path, "/data/%s", other.files[i].path);
        uint8_t *bytes = sim_disk_read(d, path, &n);
        if (!bytes || n < other.files[i].n || memcmp(bytes, other.files[i].bytes, other.files[i].n) != 0) wrong("%s was not kept as it was", path);
        free(bytes);
    }
    kv_mem_free(r.kv);
    sim_disk_free(d);
    image_free(&other);
}
