/* The simulated disk: files and names in memory, each in two versions: what programs see now, and what would
 * survive a loss of power. sim.h states its rules. Only the simulator includes this, and tests/crash for copies. */
#ifndef BASE_RT_SIM_DISK_H
#define BASE_RT_SIM_DISK_H

#include "base/core/prng.h"
#include "base/rt/sim.h"

/* Sparse content: chunks of 16 KiB, NULL = zeros. Copies of a content share their chunks until one writes. */
struct sim_chunk;
struct sim_content {
    struct sim_chunk **chunks;
    size_t nchunks;
    uint64_t size;
};

struct sim_change { /* unsynced */
    bool resize;    /* off = the new size */
    uint64_t off;
    size_t n;
    uint8_t *bytes;
};

struct sim_node {
    uint32_t refs; /* names of both versions, pending name changes, open descriptors */
    bool is_dir;
    struct sim_content now, safe;
    struct sim_change *changes; /* in order */
    size_t nchanges, cap;
    struct sim_node *twin; /* while its disk is copied: its copy, not referenced */
};

/* 0 or a negative errno, as the system calls. Nodes handed out are referenced: sim_node_put. */
int sim_disk_open(struct sim_disk *d, const char *path, int flags, struct sim_node **out);
void sim_node_put(struct sim_node *n);
size_t sim_node_read(const struct sim_node *n, uint64_t off, void *to, size_t bytes);
void sim_node_write(struct sim_node *n, uint64_t off, const void *from, size_t bytes);
void sim_node_resize(struct sim_node *n, uint64_t size);
void sim_node_sync(struct sim_node *n);
void sim_node_drop_changes(struct sim_node *n); /* a failed sync */
int sim_disk_mkdir(struct sim_disk *d, const char *path);
int sim_disk_unlink(struct sim_disk *d, const char *path);
int sim_disk_rename(struct sim_disk *d, const char *from, const char *to);
int sim_disk_sync_dir(struct sim_disk *d, const char *path);
/* Number of names; *names is malloc'd, each name NUL-terminated, *bytes in all. */
int64_t sim_disk_list(struct sim_disk *d, const char *path, char **names, size_t *bytes);
/* A copy, unsynced changes and all; each of nodes[n] (which may be NULL) is replaced by its copy, NULL when it has no
 * name in either version any more. */
struct sim_disk *sim_disk_copy(struct sim_disk *d, struct sim_node **nodes, size_t n);
uint64_t sim_disk_used(const struct sim_disk *d);
uint64_t sim_disk_capacity(const struct sim_disk *d);

#endif
