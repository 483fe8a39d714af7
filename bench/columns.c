/* Where the bytes of segments are:  bench_columns DIR
 * Prints, of all segments in the directory, the bytes of each column of rows, its filter, of the other relations, and of
 * what is left (indexes, directories, padding). */
#include "base/core/assert.h"
#include "bench/bench.h"
#include "storage/seg_rows.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LINES_MAX = 4096 };
static struct line {
    char name[96];
    uint64_t rows, bytes, filter;
} lines[LINES_MAX];
static uint32_t nlines;
static const char *dir;

static struct line *line_of(const char *name)
{
    for (uint32_t i = 0; i < nlines; i++)
        if (!strcmp(lines[i].name, name)) return &lines[i];
    if (nlines == LINES_MAX) return &lines[LINES_MAX - 1];
    snprintf(lines[nlines].name, sizeof lines[nlines].name, "%s", name);
    return &lines[nlines++];
}

static uint64_t add_relation(int rel, const struct seg_rel *r)
{
    static const char *const of[SEG_RELS] = { "", "resource ", "scope ", "event ", "link " };
    uint64_t sum = rel == REL_ROWS ? 0 : r->link.size;
    if (sum) line_of(rel == REL_RESOURCE ? "resource (of rows)" : rel == REL_SCOPE ? "scope (of rows)" : "children (of rows)")->bytes += sum;
    for (uint32_t i = 0; i < r->ncols; i++) {
        const struct seg_col *c = &r->cols[i];
        char name[96];
        snprintf(name, sizeof name, "%s%.*s", of[rel], STR_ARG(c->name));
        struct line *l = line_of(name);
        l->rows += r->nrows;
        l->bytes += c->chunk.size;
        l->filter += c->bloom.size;
        sum += c->chunk.size + c->bloom.size;
    }
    return sum;
}

static uint64_t add_segment(const char *name, uint64_t size)
{
    struct seg_info info = { .bytes = size, .cores = 1 };
    struct seg *s;
    struct arena a;
    uint64_t sum = 0;
    if (strlen(name) >= sizeof info.name) return 0;
    memcpy(info.name, name, strlen(name) + 1);
    need(seg_open(dir, &info, &s));
    arena_init(&a, NULL);
    for (uint32_t i = 0; i < seg_ngroups(s); i++) {
        const struct seg_group *g = seg_group(s, i);
        struct seg_rows rows;
        if (g->signal == SIG_METRICS) continue;
        need(seg_rows_parse(g->meta, g->nrows, &a, &rows));
        line_of("(groups)")->rows++;
        for (int rel = 0; rel < SEG_RELS; rel++)
            sum += add_relation(rel, &rows.rel[rel]);
    }
    arena_deinit(&a);
    seg_put(s);
    return sum;
}

static err_t all(void *arg)
{
    (void)arg;
    uint64_t total = 0, known = 0, files = 0;
    DIR *d = opendir(dir);
    for (struct dirent *f; d && (f = readdir(d));) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        if (!strstr(f->d_name, ".seg") || stat(path, &st)) continue;
        known += add_segment(f->d_name, (uint64_t)st.st_size);
        total += (uint64_t)st.st_size;
        files++;
    }
    if (d) closedir(d);
    for (uint32_t i = 0; i < nlines; i++)
        printf("%-36s rows %9llu bytes %10llu filter %9llu\n", lines[i].name, (unsigned long long)lines[i].rows,
               (unsigned long long)lines[i].bytes, (unsigned long long)lines[i].filter);
    printf("%-36s files %8llu bytes %10llu other %10llu\n", "all", (unsigned long long)files, (unsigned long long)total,
           (unsigned long long)(total - known));
    return OK;
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    dir = argv[1];
    struct rt_opts o = { .cores = 1, .backend = RT_AUTO };
    need(rt_run(&o, all, NULL));
    return 0;
}
