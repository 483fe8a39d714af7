/* The files of the built UI inside the program, made by server/embed/ui_embed.c at build time, and what a path may look like
 * that names one. */
#ifndef SERVER_API_UI_BUNDLE_H
#define SERVER_API_UI_BUNDLE_H

#include "base/core/str.h"

struct ui_file {
    const char *path;           /* "index.html", "assets/main-B1x2.js" */
    uint32_t off, bytes;        /* in the blob */
    uint32_t gzip_off, gzip_bytes; /* 0 bytes where gzip does not pay */
    char etag[36];              /* W/"<16 hex digits>": of the file as it is, whatever its encoding on the way */
};

struct ui_bundle {
    const uint8_t *blob;
    const struct ui_file *files; /* by path, ascending */
    uint32_t nfiles;             /* 0 = no UI is built in */
};

extern const struct ui_bundle ui_bundle; /* the program's own */

#endif
