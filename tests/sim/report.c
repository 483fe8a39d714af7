#include "tests/sim/report.h"

#include "tests/sim/points.h"

#include <inttypes.h>
#include <stdio.h>

enum { RARE, ALWAYS };

static void add(uint64_t *to, const uint64_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof *to; i++)
        to[i] += from[i];
}

void report_add(struct report *to, const struct report *r)
{
#define X(when, name, text) to->name += r->name;
    SIM_COUNTERS(X)
#undef X
    add(to->points, r->points, sizeof to->points);
    add((uint64_t *)&to->faults, (const uint64_t *)&r->faults, sizeof to->faults);
}

static bool never(const char *what)
{
    printf("sim: FAILED: in so many seeds not once: %s\n", what);
    return false;
}

static bool all_fired(const struct report *r)
{
    const struct sim_stats *f = &r->faults;
    const struct { uint64_t n; const char *what; } disk[] = {
        { f->eio_read, "eio_read" }, { f->eio_write, "eio_write" }, { f->eio_sync, "eio_sync" }, { f->enospc, "enospc" },
        { f->short_write, "short_write" }, { f->short_read, "short_read" }, { f->slow, "slow" }, { f->crash_writes_lost, "writes lost" },
        { f->crash_writes_kept, "writes kept" }, { f->crash_writes_torn, "writes torn" }, { f->crash_names_lost, "names lost" },
        { f->crash_names_kept, "names kept" } };
    bool all = true;
    for (unsigned i = 0; i < ARRAY_LEN(disk); i++)
        if (disk[i].n == 0) all = never(disk[i].what);
    for (unsigned i = 0; i < SIM_POINTS; i++)
        if (r->points[sim_points[i].id] == 0) all = never(errinj_name(sim_points[i].id));
#define X(when, name, text) \
    if (when == ALWAYS && r->name == 0) all = never(text);
    SIM_COUNTERS(X)
#undef X
    return all;
}

bool report_print(const struct report *r, uint64_t seeds, uint64_t failures)
{
    const struct sim_stats *f = &r->faults;
    printf("sim: %" PRIu64 " seeds, %" PRIu64 " failed", seeds, failures);
#define X(when, name, text) printf(", %" PRIu64 " " text, r->name);
    SIM_COUNTERS(X)
#undef X
    printf("\nsim: the disk: eio_read %" PRIu64 ", eio_write %" PRIu64 ", eio_sync %" PRIu64 ", enospc %" PRIu64 ", short_write %" PRIu64
           ", short_read %" PRIu64 ", slow %" PRIu64 "; at crashes: writes lost %" PRIu64 ", kept %" PRIu64 ", torn %" PRIu64 ", names lost %" PRIu64
           ", kept %" PRIu64 "\nsim: points:", f->eio_read, f->eio_write, f->eio_sync, f->enospc, f->short_write, f->short_read, f->slow,
           f->crash_writes_lost, f->crash_writes_kept, f->crash_writes_torn, f->crash_names_lost, f->crash_names_kept);
    for (unsigned i = 0; i < SIM_POINTS; i++)
        printf(" %s %" PRIu64, errinj_name(sim_points[i].id), r->points[sim_points[i].id]);
    printf("\n");
    return seeds < SEEDS_PROVE || all_fired(r);
}
