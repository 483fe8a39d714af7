#include "server/limits.h"

#include "base/core/log.h"
#include "base/core/types.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* Files: the catalog's, the logs', and a segment each; too few of them end in answers that lack segments. A file: a log of 64 MiB, a
 * merged segment of up to storage.merge_bytes. Addresses: the catalog, the rings and the stacks of fibers, before any row. */
#define FILES_LEAST 256
#define FILE_BYTES_LEAST ((rlim_t)1 << 30)
#define ADDRESSES_LEAST ((rlim_t)1 << 30)

static err_t raise_files(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0) return err_set_errno(errno, "getrlimit");
    if (l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &l) != 0) log_warn("limits.files", "error=\"%s\"", strerror(errno));
    }
    if (getrlimit(RLIMIT_NOFILE, &l) != 0) return err_set_errno(errno, "getrlimit");
    if (l.rlim_cur < FILES_LEAST)
        return err_set(ERR_INVALID, "this process may open %llu files at once (ulimit -n, LimitNOFILE=), it needs %d at least and one more a segment",
                       (unsigned long long)l.rlim_cur, FILES_LEAST);
    return OK;
}

static err_t least(int which, rlim_t bytes, const char *what)
{
    struct rlimit l;
    if (getrlimit((__rlimit_resource_t)which, &l) != 0) return err_set_errno(errno, "getrlimit");
    if (l.rlim_cur == RLIM_INFINITY || l.rlim_cur >= bytes) return OK;
    return err_set(ERR_INVALID, "this process may have %llu MiB of %s, it needs %llu MiB at least", (unsigned long long)l.rlim_cur >> 20, what,
                   (unsigned long long)bytes >> 20);
}

err_t limits_check(void)
{
    TRY(raise_files());
    TRY(least(RLIMIT_FSIZE, FILE_BYTES_LEAST, "a file (ulimit -f, LimitFSIZE=)"));
    return least(RLIMIT_AS, ADDRESSES_LEAST, "addresses (ulimit -v, LimitAS=)");
}
