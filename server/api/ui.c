/* The UI's files. The pages run under a strict policy: scripts from /assets only, no inline script, no frame, no other
 * origin. Styles too, but for the editor, which makes <style> elements: those carry a nonce, which the policy of this very
 * answer names and index.html hands to the script. So index.html is made anew for every answer and never stored: a
 * page from a cache would go with the policy of another answer. */
#include "server/api/ui.h"

#include "base/core/assert.h"
#include "base/core/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NONCE_BYTES = 16, DIR_FILE_BYTES_MAX = 16 << 20 };
#define NONCE_MARK STR("__CSP_NONCE__")

/* -- files -------------------------------------------------------------------------------------------- */

static const char *type_of(struct str path)
{
    static const struct { const char *suffix, *type; } types[] = {
        { ".js", "text/javascript; charset=utf-8" }, { ".css", "text/css; charset=utf-8" },
        { ".html", "text/html; charset=utf-8" },     { ".svg", "image/svg+xml" },
        { ".json", "application/json" },             { ".map", "application/json" },
        { ".woff2", "font/woff2" },                  { ".png", "image/png" },
        { ".ico", "image/x-icon" },                  { ".txt", "text/plain; charset=utf-8" },
    };
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_ends(path, str_of(types[i].suffix))) return types[i].type;
    return "application/octet-stream";
}

static const struct ui_file *bundle_find(const struct ui_bundle *b, struct str path)
{
    uint32_t lo = 0, hi = b->nfiles;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = str_cmp(str_of(b->files[mid].path), path);
        if (c == 0) return &b->files[mid];
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    return NULL;
}

/* Plain names only, none that begins with a dot: what is left cannot lead out of a folder but by a link. */
static bool path_is_plain(struct str path)
{
    struct str name;
    while (str_cut(&path, '/', &name)) {
        if (name.n == 0 || name.p[0] == '.') return false;
        for (size_t i = 0; i < name.n; i++) {
            char c = name.p[i];
            bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
            if (!ok) return false;
        }
    }
    return true;
}

struct dir_read {
    const char *dir;
    struct str path;
    char *bytes; /* malloc'd; the caller's */
    size_t n;
};

static err_t read_fd(int fd, struct dir_read *r)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > DIR_FILE_BYTES_MAX)
        return err_set(ERR_NOT_FOUND, "no such file: " STR_FMT, STR_ARG(r->path));
    r->bytes = malloc((size_t)st.st_size + 1);
    ASSERT(r->bytes);
    for (ssize_t got = 1; got > 0 && r->n < (size_t)st.st_size; r->n += (size_t)got) {
        got = read(fd, r->bytes + r->n, (size_t)st.st_size - r->n);
        if (got < 0) return err_set_errno(errno, "read " STR_FMT, STR_ARG(r->path));
    }
    return OK;
}

/* The real path of dir/path where that lies in dir, links followed; malloc'd, or NULL. */
static char *real_inside(const char *dir, struct str path)
{
    size_t cap = strlen(dir) + path.n + 2;
    char *wanted = malloc(cap), *root = realpath(dir, NULL), *real = NULL;
    ASSERT(wanted);
    snprintf(wanted, cap, "%s/" STR_FMT, dir, STR_ARG(path));
    if (root) real = realpath(wanted, NULL);
    size_t n = root ? strlen(root) : 0;
    if (real && (strncmp(real, root, n) != 0 || real[n] != '/')) {
        free(real);
        real = NULL;
    }
    free(wanted);
    free(root);
    return real;
}

/* On the offload pool. */
static err_t dir_read(void *arg)
{
    struct dir_read *r = arg;
    char *real = real_inside(r->dir, r->path);
    int fd = real ? open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    free(real);
    if (fd < 0) return err_set(ERR_NOT_FOUND, "no such file: " STR_FMT, STR_ARG(r->path));
    err_t e = read_fd(fd, r);
    close(fd);
    return e;
}

/* A file as it goes out: bytes borrowed from the bundle, or `owned`. */
struct found {
    struct str bytes;
    const char *etag;
    bool gzipped;
    char *owned;
};

/* `gzip`: does the client take it, and may the file be compressed? ERR_NOT_FOUND. */
static err_t find(const struct ui_ctx *c, struct str path, bool gzip, struct arena *a, struct found *out) MAY_YIELD
{
    *out = (struct found){ 0 };
    if (!path_is_plain(path)) return err_set(ERR_NOT_FOUND, "no such file");
    if (*c->dir) {
        struct dir_read r = { .dir = c->dir, .path = path };
        err_t e = rt_offload(dir_read, &r);
        out->owned = r.bytes;
        out->bytes = str_n(r.bytes, r.n);
        TRY(e);
        out->etag = arena_printf(a, "W/\"%016llx\"", (unsigned long long)hash64(out->bytes)).p;
        return OK;
    }
    const struct ui_file *f = bundle_find(c->bundle, path);
    if (!f) return err_set(ERR_NOT_FOUND, "no such file: " STR_FMT, STR_ARG(path));
    out->gzipped = gzip && f->gzip_bytes > 0;
    out->bytes = out->gzipped ? str_n(c->bundle->blob + f->gzip_off, f->gzip_bytes) : str_n(c->bundle->blob + f->off, f->bytes);
    out->etag = f->etag;
    return OK;
}

/* -- assets ------------------------------------------------------------------------------------------- */

/* If-None-Match: a list of tags, or "*". Compared weakly. */
static bool none_match(struct str list, struct str etag)
{
    struct str item, bare = str_sub(etag, 2, etag.n);
    while (str_cut(&list, ',', &item)) {
        item = str_trim(item);
        if (str_starts(item, STR("W/"))) item = str_sub(item, 2, item.n);
        if (str_eq(item, bare) || str_eq(item, STR("*"))) return true;
    }
    return false;
}

static err_t asset(struct http_request *rq, struct http_response *rs)
{
    struct ui_ctx *c = rq->user;
    struct found f;
    struct str path = arena_printf(rq->arena, "assets/" STR_FMT, STR_ARG(rq->params[0]));
    err_t e = find(c, path, http_accepts(http_header(rq, "accept-encoding"), "gzip"), rq->arena, &f);
    if (e != OK) {
        free(f.owned);
        return e;
    }
    rs->content_type = type_of(path);
    http_add_header(rq, rs, "etag", str_of(f.etag));
    http_add_header(rq, rs, "vary", STR("Accept-Encoding"));
    http_add_header(rq, rs, "cache-control", STR("public, max-age=31536000, immutable"));
    if (none_match(http_header(rq, "if-none-match"), str_of(f.etag))) {
        rs->status = 304;
    } else {
        if (f.gzipped) http_add_header(rq, rs, "content-encoding", STR("gzip"));
        rs->no_gzip = !*c->dir; /* it did not pay when the bundle was made */
        buf_str(&rs->body, f.bytes);
    }
    free(f.owned);
    return OK;
}

/* -- pages -------------------------------------------------------------------------------------------- */

static struct str nonce_new(struct arena *a)
{
    uint8_t bytes[NONCE_BYTES];
    ssize_t got = getrandom(bytes, sizeof bytes, 0);
    ASSERT(got == sizeof bytes); /* up to 256 bytes always come whole */
    char *hex = arena_alloc_aligned(a, sizeof bytes * 2, 1);
    str_to_hex(bytes, sizeof bytes, hex);
    return str_n(hex, sizeof bytes * 2);
}

static void put_policy(struct http_request *rq, struct http_response *rs, struct str nonce)
{
    http_add_header(rq, rs, "content-security-policy",
                    arena_printf(rq->arena,
                                 "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" STR_FMT "'; img-src 'self' data:; "
                                 "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                                 STR_ARG(nonce)));
    http_add_header(rq, rs, "cache-control", STR("no-store"));
}

static err_t page(struct http_request *rq, struct http_response *rs)
{
    struct ui_ctx *c = rq->user;
    struct str nonce = nonce_new(rq->arena);
    struct found f;
    err_t e = find(c, STR("index.html"), false, rq->arena, &f);
    put_policy(rq, rs, nonce);
    if (e == OK) {
        rs->content_type = "text/html; charset=utf-8";
        struct str rest = f.bytes;
        for (size_t at; (at = str_find(rest, NONCE_MARK)) != SIZE_MAX; rest = str_sub(rest, at + NONCE_MARK.n, rest.n)) {
            buf_str(&rs->body, str_sub(rest, 0, at));
            buf_str(&rs->body, nonce);
        }
        buf_str(&rs->body, rest);
    } else if (e == ERR_NOT_FOUND && !*c->dir) {
        e = OK;
        rs->content_type = "text/plain; charset=utf-8";
        buf_z(&rs->body, "Tercet " TERCET_VERSION " runs. This build has no web UI in it (see ui.dir, or build with -DTERCET_UI=ON).\n");
    }
    free(f.owned);
    return e;
}

void ui_page_on_error(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs)
{
    (void)rq, (void)code;
    rs->status = status;
    rs->content_type = "text/plain; charset=utf-8";
    buf_printf(&rs->body, "%s\n", detail);
}

#define PAGE(path) { HTTP_GET, path, page, RT_QUERY }

const struct http_route ui_page_routes[] = {
    PAGE("/"),
    PAGE("/explore"),
    PAGE("/explore/{rest*}"),
    PAGE("/trace/{id}"),
    PAGE("/services"),
    PAGE("/services/{name}"),
    PAGE("/storage"),
    PAGE("/cluster"),
    PAGE("/rum"),
    PAGE("/rum/{rest*}"),
    { HTTP_GET, "/assets/{rest*}", asset, RT_QUERY },
};
const uint32_t ui_page_nroutes = ARRAY_LEN(ui_page_routes);
