/* The formats on disk, pinned. A small store is written by the simulator, always the same: a segment with every signal, logs that
 * are not sealed yet, the catalog. tests/golden/files holds what it wrote when the versions were last raised.
 *
 *   golden --check DIR    reads the files in DIR: exactly the rows that were written; writes anew: exactly those bytes;
 *                         of another version they are refused, by name, and kept
 *   golden --write DIR    (tests/golden/regenerate)
 *
 * Who changes a format raises its version (SEG_VERSION in storage/seg.h, VERSION in storage/wal_frame.c, RECORD_VERSION in
 * storage/store_catalog.c) and writes the files anew; --check says so. */
#include "tests/golden/golden.h"

#include "base/core/assert.h"
#include "base/core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check(const char *dir)
{
    struct image kept, now;
    struct model m;
    image_load(&kept, dir);
    image_write(&now, &m);
    unsigned bad = image_compare(&kept, &now);
    if (bad == 0) printf("golden: %u files of %zu bytes are written as they are kept\n", kept.nfiles, image_bytes(&kept));
    image_read(&kept, &m);
    printf("golden: %u rows are read from them\n", m.nrows);
    image_refuse(&kept, &m);
    printf("golden: files of another version are refused\n");
    image_free(&kept);
    image_free(&now);
    model_free(&m);
    return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
    log_init((enum log_level)(LOG_ERROR + 1), false);
    if (argc == 3 && !strcmp(argv[1], "--check")) return check(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "--write")) {
        struct image now;
        struct model m;
        image_write(&now, &m);
        image_save(&now, argv[2]);
        printf("golden: %u files of %zu bytes\n", now.nfiles, image_bytes(&now));
        image_free(&now);
        model_free(&m);
        return 0;
    }
    fprintf(stderr, "golden --check DIR | --write DIR\n");
    return 2;
}
