#include "tests/sim/settle.h"

#include "base/rt/file.h"
#include "tests/sim/keeping.h"

#include <inttypes.h>
#include <stdio.h>

static void must(struct settle *x, err_t e, const char *what)
{
    if (e != OK) wrong("%s after %s: %s: %s", what, x->after, err_name(e), err_detail());
}

static void append_one(struct settle *x, struct store *s, double again)
{
    uint32_t i = model_begin(x->m, &x->rnd, again);
    if (x->m->named.n) must(x, store_stream_add(s, &x->m->named), "stream");
    must(x, model_send(x->m, s, i), "append");
    model_end(x->m, i, true);
}

static void check(struct settle *x, struct store *s)
{
    uint64_t lost = x->m->lost_reads;
    must(x, model_check(x->m, s, NULL, 0), "check");
    keep_check(x->m, s);
    if (x->m->lost_reads != lost) wrong("segments cannot be read after %s", x->after);
    if (x->checks) ++*x->checks;
}

static void check_files(struct settle *x, struct store *s)
{
    struct arena a;
    struct str *names;
    size_t n, segs = 0;
    struct store_stats st;
    char dir[256];
    store_stats(s, &st);
    arena_init(&a, NULL);
    snprintf(dir, sizeof dir, "%s/seg", x->opts.dir);
    must(x, fs_list(dir, &a, &names, &n), "list");
    for (size_t i = 0; i < n; i++) {
        segs += str_ends(names[i], STR(".seg"));
        if (str_ends(names[i], STR(".tmp"))) wrong("%s/" STR_FMT " is left after %s", dir, STR_ARG(names[i]), x->after);
    }
    bool evicted = x->opts.object && segs < st.segments; /* the bucket has them */
    if (segs != st.segments && !evicted) wrong("%zu segments in %s after %s, the catalog names %u", segs, dir, x->after, st.segments);
    if (st.wal_rotten) wrong("the log is called rotten in %" PRIu64 " places after %s, and is sound", st.wal_rotten, x->after);
    arena_deinit(&a);
}

void settle(struct settle *x)
{
    struct store *s;
    must(x, store_open(&x->opts, &s), "open");
    if (x->opts.merge_bytes == 0) check_files(x, s);
    check(x, s);
    while (!model_all_acked(x->m))
        append_one(x, s, 1);
    for (unsigned i = 0; i < x->more; i++)
        append_one(x, s, 0);
    must(x, store_seal(s), "seal");
    check(x, s);
    append_one(x, s, 0);
    store_close(s);
    struct store_opts calm = x->opts; /* without merges, whose files are on their way */
    calm.merge_bytes = 0;
    must(x, store_open(&calm, &s), "open again");
    check_files(x, s);
    check(x, s);
    store_close(s);
}
