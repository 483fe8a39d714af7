#include "server/inspect.h"

#include "base/rt/rt.h"
#include "server/inspect_int.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: tercet segment inspect [--json] FILE...   what a segment holds, and where its bytes go\n"
    "       tercet segment verify FILE...             is every byte of it what was written?\n"
    "\n"
    "Segments are the .seg files in the folder seg of a data directory. Both work on files alone, also on those of a node that runs.\n";

struct work {
    char **files;
    int n;
    bool verify, json;
    int damaged;
};

static err_t inspect_one(struct seg *s, const char *path, bool json) MAY_YIELD
{
    struct arena a;
    struct insp in = { .path = path };
    arena_init(&a, NULL);
    err_t e = inspect_sum(s, &a, &in);
    if (e == OK && json) {
        struct buf out;
        buf_init(&out, SIZE_MAX / 2, NULL);
        inspect_json(&in, &out);
        buf_byte(&out, '\n');
        fwrite(out.p, 1, out.n, stdout);
        buf_deinit(&out);
    } else if (e == OK) {
        inspect_show(&in);
    }
    arena_deinit(&a);
    return e;
}

static void complain(const char *path)
{
    bool named = strstr(err_detail(), path) != NULL;
    fprintf(stderr, "tercet: %s%s%s\n", named ? "" : path, named ? "" : ": ", err_detail());
}

/* Tells all that is wrong, not only the first. */
static bool verify_one(struct seg *s, const char *path) MAY_YIELD
{
    bool whole = seg_verify_indexes(s, NULL, NULL) == OK;
    if (!whole) complain(path);
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        if (seg_verify_group(s, i, NULL, NULL) == OK) continue;
        fprintf(stderr, "tercet: group %u of %u: ", i, seg_ngroups(s));
        complain(path);
        whole = false;
    }
    if (whole) printf("%s: %u groups, %llu bytes, all as they were written\n", path, seg_ngroups(s), (unsigned long long)seg_info(s)->bytes);
    return whole;
}

static err_t all(void *arg)
{
    struct work *w = arg;
    for (int i = 0; i < w->n; i++) {
        struct seg *s = NULL;
        bool whole = seg_open_path(w->files[i], &s) == OK;
        if (whole && w->verify) {
            whole = verify_one(s, w->files[i]);
        } else {
            whole = whole && inspect_one(s, w->files[i], w->json) == OK;
            if (!whole) complain(w->files[i]);
        }
        seg_put(s);
        w->damaged += !whole;
    }
    return OK;
}

int segment_verb(int argc, char **argv)
{
    struct work w = { 0 };
    bool inspect = argc > 0 && strcmp(argv[0], "inspect") == 0;
    w.verify = argc > 0 && strcmp(argv[0], "verify") == 0;
    int at = 1;
    if (inspect && at < argc && strcmp(argv[at], "--json") == 0) {
        w.json = true;
        at++;
    }
    bool asked = argc > 0 && strcmp(argv[0], "--help") == 0;
    if (asked || (!inspect && !w.verify) || at >= argc || argv[at][0] == '-') {
        fputs(usage, asked ? stdout : stderr);
        return asked ? 0 : 2;
    }
    w.files = argv + at;
    w.n = argc - at;
    const struct rt_opts o = { .cores = 1, .backend = RT_EPOLL };
    if (rt_run(&o, all, &w) != OK) {
        fprintf(stderr, "tercet: %s\n", err_detail());
        return 2;
    }
    return w.damaged ? 1 : 0;
}
