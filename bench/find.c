/* How fast byte strings are found in log text, one core, beside glibc's memmem on the same bytes.
 *   bench_find        lines of a request log, from a buffer that fits the second-level cache and one that does not
 * Prints GB/s of each way that this machine knows, for a needle that is not there, one whose beginning is frequent, and
 * one with ASCII case aside. */
#include "base/core/assert.h"
#include "base/core/prng.h"
#include "storage/text_find.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct str lines(size_t n)
{
    static const char *const words[] = { "request", "handled", "connection", "timeout", "user", "GET /api/v1/items", "status" };
    struct prng r;
    prng_init(&r, 1);
    char *p = malloc(n + 256);
    ASSERT(p);
    size_t at = 0;
    while (at < n)
        at += (size_t)snprintf(p + at, 256, "2026-01-02T03:04:%02u.%03uZ INFO %s %08x %s from 10.%u.%u.%u in %u ms\n",
                               (unsigned)prng_below(&r, 60), (unsigned)prng_below(&r, 1000), words[prng_below(&r, 7)],
                               (unsigned)prng_next(&r), words[prng_below(&r, 7)], (unsigned)prng_below(&r, 8),
                               (unsigned)prng_below(&r, 250), (unsigned)prng_below(&r, 250), (unsigned)prng_below(&r, 900));
    return str_n(p, n);
}

static size_t libc_count(struct str text, struct str needle)
{
    size_t n = 0;
    for (const char *p = text.p, *end = p + text.n; (p = memmem(p, (size_t)(end - p), needle.p, needle.n)); p += needle.n)
        n++;
    return n;
}

static size_t our_count(struct str text, const struct text_find *f)
{
    size_t n = 0;
    for (size_t at = 0; (at = text_find(f, text, at)) != SIZE_MAX; at += f->needle.n)
        n++;
    return n;
}

static void measure(const char *what, struct str text, struct str needle, bool fold, size_t want, int way)
{
    struct text_find f;
    size_t n = 0, times = (256u << 20) / text.n;
    text_find_init(&f, needle, fold);
    double began = now();
    for (size_t i = 0; i < times; i++)
        n = way < 0 ? libc_count(text, needle) : our_count(text, &f);
    double s = now() - began;
    if (want != SIZE_MAX) ASSERT(n == want);
    printf("  %-10s %6.1f GB/s (%zu finds)\n", what, (double)text.n * (double)times / s / 1e9, n);
}

int main(void)
{
    static const char *const ways[] = { "plain C", "SSE2", "AVX2", "AVX-512" };
    static const size_t sizes[] = { 512 << 10, 64 << 20 };
    static const struct { const char *what; struct str needle; bool fold; } cases[] = {
        { "absent", { "deadbeef42", 10 }, false },
        { "frequent beginning", { "status 10.9", 11 }, false },
        { "absent, any case", { "deadbeef42", 10 }, true },
    };
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct str text = lines(sizes[s]);
        for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
            printf("%zu KiB, %s\n", sizes[s] >> 10, cases[c].what);
            size_t want = cases[c].fold ? SIZE_MAX : libc_count(text, cases[c].needle);
            if (!cases[c].fold) measure("memmem", text, cases[c].needle, false, want, -1);
            for (unsigned way = 0; way < text_find_ways(); way++) {
                text_find_use(way);
                measure(ways[way], text, cases[c].needle, cases[c].fold, want, (int)way);
            }
        }
        free((void *)(uintptr_t)text.p);
    }
    return 0;
}
