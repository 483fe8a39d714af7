/* Before libc (LD_PRELOAD): fdatasync does what the file that SLOW_DISK names says: milliseconds to wait, or "fail". For a node on epoll, whose
 * threads call it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    static int (*real)(int);
    char text[16] = "";
    const char *path = getenv("SLOW_DISK");
    int f = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = f >= 0 ? read(f, text, sizeof text - 1) : 0;
    if (f >= 0) close(f);
    if (n > 0 && strncmp(text, "fail", 4) == 0) {
        errno = EIO;
        return -1;
    }
    if (n > 0) usleep((useconds_t)atoi(text) * 1000);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    return real(fd);
}
