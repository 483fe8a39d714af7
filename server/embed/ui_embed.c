/* Build tool: packs the files of a folder (the built UI) into a C file that the program is linked with.
 *
 *     ui_embed NAME FOLDER OUT      writes OUT with .c and with .bin: struct ui_bundle NAME; FOLDER "" = an empty one
 *
 * Each file is there as it is and, where that is smaller, gzipped as well as libdeflate can. Names that begin with a dot are
 * left out. The blob is drawn in by the assembler, so that the compiler never sees its bytes. */
#include "base/core/hash.h"
#include "server/api/ui_bundle.h"

#include <dirent.h>
#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILES_MAX = 1024, DEPTH_MAX = 4, FILE_BYTES_MAX = 16 << 20, PATH_BYTES = 512, GZIP_LEVEL = 12 };

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static char names[FILES_MAX][PATH_BYTES]; /* below the folder */
static unsigned nnames;

/* A call of the system that must succeed; a rule that the folder must keep. */
static void must(bool ok, const char *what, const char *which)
{
    if (ok) return;
    fprintf(stderr, "ui_embed: %s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

static void rule(bool ok, const char *what, const char *which)
{
    if (ok) return;
    fprintf(stderr, "ui_embed: %s: %s\n", which, what);
    exit(1);
}

/* Collects the files of folder/below; `below` is "" or ends in a slash. */
static void walk(const char *folder, const char *below, unsigned depth)
{
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, below);
    rule(depth <= DEPTH_MAX, "too deep", path);
    DIR *d = opendir(path);
    must(d != NULL, "cannot read", path);
    for (struct dirent *e; (e = readdir(d));) {
        char name[PATH_BYTES];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        int n = snprintf(name, sizeof name, "%s%s", below, e->d_name);
        rule(n + 1 < (int)sizeof name, "name too long", e->d_name);
        rule(strspn(e->d_name, NAME_BYTES) == strlen(e->d_name), "odd bytes in the name", e->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        must(stat(path, &st) == 0, "cannot read", path);
        if (S_ISDIR(st.st_mode)) {
            name[n] = '/';
            name[n + 1] = 0;
            walk(folder, name, depth + 1);
        } else {
            rule(nnames < FILES_MAX, "too many files", path);
            memcpy(names[nnames++], name, (size_t)n + 1);
        }
    }
    closedir(d);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void put(FILE *to, const void *p, size_t n, const char *path)
{
    must(fwrite(p, 1, n, to) == n, "cannot write", path);
}

/* One file into the blob; its row into the table. */
static void pack(const char *folder, const char *name, FILE *blob, FILE *table, uint32_t *at)
{
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    must(f != NULL, "cannot read", path);
    char *raw = malloc(FILE_BYTES_MAX + 1);
    must(raw != NULL, "no memory for", path);
    size_t n = fread(raw, 1, FILE_BYTES_MAX + 1, f);
    must(!ferror(f), "cannot read", path);
    rule(n <= FILE_BYTES_MAX, "too large", path);
    fclose(f);
    char *small = malloc(n + 1);
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(GZIP_LEVEL);
    must(small && c, "no memory for", path);
    size_t packed = n ? libdeflate_gzip_compress(c, raw, n, small, n) : 0;
    libdeflate_free_compressor(c);
    put(blob, raw, n, name);
    put(blob, small, packed, name);
    fprintf(table, "    { \"%s\", %uu, %uu, %uu, %uu, \"W/\\\"%016llx\\\"\" },\n", name, *at, (unsigned)n,
            *at + (unsigned)n, (unsigned)packed, (unsigned long long)hash64(str_n(raw, n)));
    *at += (uint32_t)(n + packed);
    free(raw);
    free(small);
}

static FILE *create(const char *out, const char *suffix, char *path, size_t cap)
{
    snprintf(path, cap, "%s%s", out, suffix);
    FILE *f = fopen(path, "wb");
    must(f != NULL, "cannot write", path);
    return f;
}

int main(int argc, char **argv)
{
    char c_path[PATH_BYTES], blob_path[PATH_BYTES];
    if (argc != 4) {
        fprintf(stderr, "usage: ui_embed NAME FOLDER OUT\n");
        return 2;
    }
    const char *name = argv[1], *folder = argv[2];
    if (*folder) walk(folder, "", 0);
    qsort(names, nnames, sizeof names[0], by_name);
    FILE *blob = create(argv[3], ".bin", blob_path, sizeof blob_path);
    FILE *table = create(argv[3], ".c", c_path, sizeof c_path);
    fprintf(table, "/* Made by ui_embed. */\n#include \"server/api/ui_bundle.h\"\n\nstatic const struct ui_file files[] = {\n");
    uint32_t at = 0;
    for (unsigned i = 0; i < nnames; i++)
        pack(folder, names[i], blob, table, &at);
    fprintf(table,
            "    { NULL }\n};\n"
            "__asm__(\".pushsection .rodata\\n.balign 16\\n%s_blob: .incbin \\\"%s\\\"\\n.byte 0\\n.popsection\\n\");\n"
            "extern const uint8_t %s_blob[];\n"
            "const struct ui_bundle %s = { %s_blob, files, %uu };\n",
            name, blob_path, name, name, name, nnames);
    must(fclose(blob) == 0, "cannot write", blob_path);
    must(fclose(table) == 0, "cannot write", c_path);
    return 0;
}
