/* Files on the running reactor's io table: the only way production code reaches a disk, so that the
 * simulator can lose, tear and refuse writes. All may yield, all set the error detail with the path.
 *
 * A path is relative to nothing but itself: callers pass full paths. Buffers for direct files are aligned
 * to FILE_ALIGN in address, offset and length. */
#ifndef BASE_RT_FILE_H
#define BASE_RT_FILE_H

#include "base/core/arena.h"
#include "base/rt/rt.h"

enum { FILE_ALIGN = 4096 };
enum file_flags {
    FILE_READ = 1,
    FILE_WRITE = 2,
    FILE_CREATE = 4,     /* with FILE_WRITE */
    FILE_EXCLUSIVE = 8,  /* refuse an existing file */
    FILE_DIRECT = 16,    /* O_DIRECT where the file system has it; silently buffered elsewhere */
    FILE_TRUNCATE = 32,
};

struct file {
    int fd;         /* -1 = closed */
    unsigned flags;
    char *path;     /* owned, for messages */
};

MUST_CHECK err_t file_open(struct file *f, const char *path, unsigned flags) MAY_YIELD;
void file_close(struct file *f) MAY_YIELD; /* ignores cancel; safe on a closed file */
/* Reads exactly n bytes, or up to the end of file when got is given; short without got = ERR_CORRUPT. */
MUST_CHECK err_t file_read(struct file *f, void *to, size_t n, uint64_t off, size_t *got) MAY_YIELD;
struct file_range {
    void *to;
    size_t n;
    uint64_t off;
};
/* Reads all ranges, each as file_read without got, at once: one wait for the disk instead of one after another. */
MUST_CHECK err_t file_read_ranges(struct file *f, const struct file_range *r, uint32_t n) MAY_YIELD;
/* A hint: n bytes at off will be read soon, so that many small reads of the range cost one wait for the disk. */
void file_will_read(struct file *f, uint64_t off, uint64_t n) MAY_YIELD;
/* Writes all n bytes. On error an unknown prefix may be on disk. */
MUST_CHECK err_t file_write(struct file *f, const void *from, size_t n, uint64_t off) MAY_YIELD;
/* Write then fdatasync as one linked operation where the backend can; OK = both succeeded. */
MUST_CHECK err_t file_write_sync(struct file *f, const void *from, size_t n, uint64_t off) MAY_YIELD;
MUST_CHECK err_t file_sync(struct file *f) MAY_YIELD; /* fdatasync */
MUST_CHECK err_t file_allocate(struct file *f, uint64_t size) MAY_YIELD; /* posix_fallocate; ENOSPC here */
MUST_CHECK err_t file_truncate(struct file *f, uint64_t size) MAY_YIELD;
MUST_CHECK err_t file_size(struct file *f, uint64_t *size) MAY_YIELD;

/* With parents; existing is OK. Durable: also what an earlier call made whose sync failed. What was there before is left alone but
 * for one sync, of the parent of the deepest that is. */
MUST_CHECK err_t fs_mkdirs(const char *path) MAY_YIELD;
MUST_CHECK err_t fs_unlink(const char *path) MAY_YIELD;  /* missing is OK */
MUST_CHECK err_t fs_sync_dir(const char *path) MAY_YIELD;
/* Durable. Replaces what is at `to`. */
MUST_CHECK err_t fs_rename(const char *from, const char *to) MAY_YIELD;
/* The one durable publish: fdatasync of the open temp file, rename to `to`, fsync of its directory. */
MUST_CHECK err_t fs_publish(struct file *temp, const char *to) MAY_YIELD;
/* Names (no . and ..) in a directory, sorted; in the arena. A missing directory is ERR_NOT_FOUND. */
MUST_CHECK err_t fs_list(const char *path, struct arena *a, struct str **names, size_t *count) MAY_YIELD;
struct fs_space {
    uint64_t total_bytes, free_bytes; /* free to us; what is in use and that: blocks kept for root are in neither, as in df's Use% */
};
MUST_CHECK err_t fs_space(const char *path, struct fs_space *out) MAY_YIELD;

#endif
