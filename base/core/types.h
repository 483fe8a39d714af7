/* Small types that everybody uses. Wall and monotonic time are different structs on purpose: they
 * cannot be added by mistake. */
#ifndef BASE_CORE_TYPES_H
#define BASE_CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mono_ns { int64_t ns; } mono_ns; /* monotonic clock, for durations and deadlines */
typedef struct unix_ns { int64_t ns; } unix_ns; /* wall clock, for data */

#define MONO_NEVER ((mono_ns){ INT64_MAX })

enum { NS_PER_US = 1000, NS_PER_MS = 1000000 };
#define NS_PER_S INT64_C(1000000000)

static inline mono_ns mono_add(mono_ns t, int64_t ns)
{
    return t.ns > INT64_MAX - ns ? MONO_NEVER : (mono_ns){ t.ns + ns };
}

typedef struct hash128 { uint64_t lo, hi; } hash128;
static inline bool hash128_eq(hash128 a, hash128 b) { return a.lo == b.lo && a.hi == b.hi; }

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)    ((a) < (b) ? (a) : (b))
#define MAX(a, b)    ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(p, T, member) ((T *)((char *)(p) - offsetof(T, member)))

/* Marks prototypes of functions that may suspend the calling fiber: no pointer into a shared table
 * survives such a call. */
#define MAY_YIELD

#endif
