/* Assertions. ASSERT stays on in every build: a broken invariant of ours must stop the process, not
 * corrupt data. ASSERT_HOT is for loops over data and runs in debug, sanitizer and simulator builds.
 * Errors of the world (bytes from disk or network, refused memory) are err_t, never assertions. */
#ifndef BASE_CORE_ASSERT_H
#define BASE_CORE_ASSERT_H

_Noreturn void assert_fail(const char *expr, const char *file, int line);

/* Called once, before abort, so that the log can print its flight recorder. May be NULL. */
extern void (*assert_hook)(void);

#define ASSERT(x)                                                                                  \
    do {                                                                                           \
        if (__builtin_expect(!(x), 0)) assert_fail(#x, __FILE__, __LINE__);                        \
    } while (0)

#ifdef TERCET_DEBUG
#define ASSERT_HOT(x) ASSERT(x)
#else
#define ASSERT_HOT(x)                                                                              \
    do {                                                                                           \
        if (0) (void)(x);                                                                          \
    } while (0)
#endif

#define UNREACHABLE() assert_fail("unreachable", __FILE__, __LINE__)

#endif
