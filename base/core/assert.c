#include "base/core/assert.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void (*assert_hook)(void);

_Noreturn void assert_fail(const char *expr, const char *file, int line)
{
    void *frames[48];
    fprintf(stderr, "assertion failed: %s at %s:%d\n", expr, file, line);
    backtrace_symbols_fd(frames, backtrace(frames, 48), STDERR_FILENO);
    void (*hook)(void) = assert_hook;
    assert_hook = NULL;
    if (hook) hook();
    abort();
}
