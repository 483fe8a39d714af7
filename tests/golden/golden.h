/* See main.c. */
#ifndef TESTS_GOLDEN_GOLDEN_H
#define TESTS_GOLDEN_GOLDEN_H

#include "base/rt/sim.h"
#include "tests/sim/model.h"

enum { FILES_MAX = 12 };
struct golden_file {
    char path[64]; /* below /data; or "catalog": a line an item, key and value in hex */
    uint8_t *bytes;
    size_t n;
};
struct image { /* a store, closed */
    struct golden_file files[FILES_MAX];
    unsigned nfiles;
};
void image_free(struct image *m);
size_t image_bytes(const struct image *m);
void image_load(struct image *m, const char *dir);
void image_save(const struct image *m, const char *dir);
/* Runs the writer; *m is what it wrote, all of it acked. */
void image_write(struct image *out, struct model *m);
/* How many files differ; says which and what to do. */
unsigned image_compare(const struct image *kept, const struct image *now);
/* Opens it and finds every row, sealed and not. */
void image_read(const struct image *m, struct model *model);
struct sim_disk *image_disk(const struct image *m);
struct kv *image_kv(const struct image *m);
struct store_opts golden_opts(struct kv *kv);

/* A segment of the next version is told and the rest served; a log of the next version refuses the start and stays. */
void image_refuse(const struct image *m, struct model *model);

#endif
