/* The UI's pages and assets, from a pack made of tests/unit/ui_dist. */
#include "server/api/ui.h"
#include "tests/unit/http_service.h"

#include <zlib.h>

extern const struct ui_bundle ui_test_bundle;

static struct ui_ctx ui = { .bundle = &ui_test_bundle, .dir = "" };
static const struct ui_bundle nothing;

TestSuite(ui, .init = setup, .fini = teardown);

static char *ask(const char *method, const char *target, const char *headers)
{
    const struct http_api pages = { ui_page_routes, ui_page_nroutes, ui_page_on_error, &ui };
    const struct http_router r = { .apis = &pages, .napis = 1, .on_error = on_error };
    const struct http_service s = { .router = &r };
    char rq[1024];
    snprintf(rq, sizeof rq, "%s %s HTTP/1.1\r\n" HOST "%s\r\n", method, target, headers);
    return talk_to(&s, str_of(rq), 4096, NULL);
}

/* The value of an answer's header, malloc'd; NULL when absent. */
static char *header(const char *answer, const char *name)
{
    char line[64];
    snprintf(line, sizeof line, "\r\n%s: ", name);
    const char *at = strstr(answer, line), *end = strstr(answer, "\r\n\r\n");
    if (!at || at > end) return NULL;
    at += strlen(line);
    return strndup(at, strcspn(at, "\r"));
}

static void expect_header(const char *answer, const char *name, const char *want)
{
    char *got = header(answer, name);
    if (want) cr_expect(got && strcmp(got, want) == 0, "%s: %s", name, got ? got : "absent");
    else cr_expect(!got, "%s: %s", name, got);
    free(got);
}

static char *file(const char *path)
{
    static char bytes[8192];
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    bytes[fread(bytes, 1, sizeof bytes - 1, f)] = 0;
    fclose(f);
    return bytes;
}

Test(ui, what_lasts)
{
    struct ui_lasting l = { 0 };
    const int64_t s = NS_PER_S;
    cr_assert_eq(ui_lasts_ns(&l, false, 100 * s), 0);
    cr_assert_eq(ui_lasts_ns(&l, true, 110 * s), 0);
    cr_assert_eq(ui_lasts_ns(&l, true, 125 * s), 15 * s);
    cr_assert_eq(ui_lasts_ns(&l, true, 185 * s), 75 * s);
    cr_assert_eq(ui_lasts_ns(&l, true, 246 * s), 0, "nobody looked for over a minute");
    cr_assert_eq(ui_lasts_ns(&l, true, 250 * s), 4 * s);
    cr_assert_eq(ui_lasts_ns(&l, false, 251 * s), 0);
    cr_assert_eq(ui_lasts_ns(&l, true, 252 * s), 0);
}

Test(ui, pack)
{
    static const struct { const char *path; bool gzip; } want[] = {
        { "assets/app-1a2b.js", true },        { "assets/shape-5e6f.svg", false },
        { "assets/tiny-3c4d.css", false },     { "assets/unknown-7a8b.xyz", false },
        { "index.html", true },
    };
    const struct ui_bundle *b = &ui_test_bundle;
    cr_assert_eq(b->nfiles, ARRAY_LEN(want));
    for (uint32_t i = 0; i < b->nfiles; i++) {
        const struct ui_file *f = &b->files[i];
        char path[128], plain[8192];
        snprintf(path, sizeof path, "tests/unit/ui_dist/%s", f->path);
        const char *bytes = file(path);
        cr_expect_str_eq(f->path, want[i].path);
        cr_assert_eq(f->bytes, strlen(bytes));
        cr_expect(memcmp(b->blob + f->off, bytes, f->bytes) == 0);
        cr_expect_eq(f->gzip_bytes > 0, want[i].gzip, "%s", path);
        cr_expect(f->gzip_bytes < f->bytes);
        if (!f->gzip_bytes) continue;
        z_stream z = { .next_in = (Bytef *)b->blob + f->gzip_off, .avail_in = f->gzip_bytes, .next_out = (Bytef *)plain, .avail_out = sizeof plain };
        cr_assert_eq(inflateInit2(&z, 31), Z_OK);
        cr_expect_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
        cr_expect(z.total_out == f->bytes && memcmp(plain, bytes, f->bytes) == 0);
        inflateEnd(&z);
    }
}

Test(ui, assets)
{
    static const struct { const char *path, *type; } rows[] = {
        { "/assets/app-1a2b.js", "text/javascript; charset=utf-8" },
        { "/assets/tiny-3c4d.css", "text/css; charset=utf-8" },
        { "/assets/shape-5e6f.svg", "image/svg+xml" },
        { "/assets/unknown-7a8b.xyz", "application/octet-stream" },
        { "/assets/t%69ny-3c4d.css", "text/css; charset=utf-8" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *out = ask("GET", rows[i].path, "");
        cr_expect_eq(status_of(out), 200);
        expect_header(out, "content-type", rows[i].type);
        expect_header(out, "cache-control", "public, max-age=31536000, immutable");
        expect_header(out, "vary", "Accept-Encoding");
        expect_header(out, "content-encoding", NULL);
        free(out);
    }
    char *out = ask("GET", "/assets/app-1a2b.js", "");
    cr_expect_str_eq(body_of(out), file("tests/unit/ui_dist/assets/app-1a2b.js"));
    free(out);
    static const struct { const char *accepts; bool gzip; } encodings[] = {
        { "gzip", true }, { "br, gzip;q=0.5", true }, { "*", true }, { "gzip;q=0", false }, { "br", false }, { "identity", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        char h[64];
        snprintf(h, sizeof h, "Accept-Encoding: %s\r\n", encodings[i].accepts);
        out = ask("GET", "/assets/app-1a2b.js", h);
        expect_header(out, "content-encoding", encodings[i].gzip ? "gzip" : NULL);
        expect_header(out, "vary", "Accept-Encoding");
        free(out);
        out = ask("GET", "/assets/tiny-3c4d.css", h); /* not worth it */
        expect_header(out, "content-encoding", NULL);
        free(out);
    }
    out = ask("HEAD", "/assets/app-1a2b.js", "");
    cr_expect_eq(status_of(out), 200);
    cr_expect_str_eq(body_of(out), "");
    char *length = header(out, "content-length");
    cr_assert(length);
    cr_expect_eq(strtoul(length, NULL, 10), strlen(file("tests/unit/ui_dist/assets/app-1a2b.js")));
    free(length);
    free(out);
    out = ask("POST", "/assets/app-1a2b.js", "Content-Length: 0\r\n");
    cr_expect_eq(status_of(out), 405);
    free(out);
}

Test(ui, not_modified)
{
    char *out = ask("GET", "/assets/app-1a2b.js", ""), *etag = header(out, "etag");
    free(out);
    cr_assert(etag && strncmp(etag, "W/\"", 3) == 0 && strlen(etag) == 20, "%s", etag);
    const struct { const char *before, *tag, *after; int status; } rows[] = {
        { "", etag, "", 304 },           { "", etag + 2, "", 304 },   { "\"x\", ", etag, ", W/\"y\"", 304 },
        { "", "*", "", 304 },            { "", "\"x\"", "", 200 },    { "", "", "", 200 },
        { "", "W/", "", 200 },           { "x", etag, "", 200 },      { ",,", etag, ",", 304 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char h[128];
        snprintf(h, sizeof h, "Accept-Encoding: gzip\r\nIf-None-Match: %s%s%s\r\n", rows[i].before, rows[i].tag, rows[i].after);
        out = ask("GET", "/assets/app-1a2b.js", h);
        cr_expect_eq(status_of(out), rows[i].status, "%s: %s", h, out);
        expect_header(out, "etag", etag);
        expect_header(out, "cache-control", "public, max-age=31536000, immutable");
        if (rows[i].status == 304) {
            cr_expect_str_eq(body_of(out), "");
            expect_header(out, "content-encoding", NULL);
        }
        free(out);
    }
    /* Other bytes, another tag. */
    out = ask("GET", "/assets/tiny-3c4d.css", "");
    char *other = header(out, "etag");
    cr_expect(other && strcmp(other, etag) != 0);
    free(other);
    free(out);
    free(etag);
}

Test(ui, paths_that_name_nothing)
{
    static const char *const paths[] = {
        "/assets/", "/assets", "/assets/nope.js", "/assets/app-1a2b.js/", "/assets//app-1a2b.js", "/assets/./app-1a2b.js",
        "/assets/.hidden.js", "/assets/../index.html", "/assets/..%2findex.html", "/assets/%2e%2e/index.html", "/assets/app-1a2b.js%00",
        "/assets/app-1a2b.js%00.css", "/assets/..", "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/assets/..%5cindex.html", "/assets/\xc3\xa9",
        "/assets/%ff", "/assets/APP-1a2b.js", "/assets/app-1a2b", "/ASSETS/app-1a2b.js", "//assets/app-1a2b.js",
        "/index.html", "/assets/a*", "/assets/{rest*}",
    };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char *out = ask("GET", paths[i], "");
        cr_expect(status_of(out) == 404 || status_of(out) == 400, "%s: %s", paths[i], out);
        cr_expect_not(strstr(out, "export const"), "%s", paths[i]);
        free(out);
    }
    char *out = ask("GET", "/assets/nope.js", "");
    expect_header(out, "content-type", "text/plain; charset=utf-8");
    cr_expect_str_eq(body_of(out), "no such file: assets/nope.js\n");
    free(out);
}

/* The nonce of a page: the policy's, the only one in the body; copied into to[33]. */
static void nonce_of(const char *out, char *to)
{
    char *policy = header(out, "content-security-policy");
    cr_assert(policy);
    const char *at = strstr(policy, "'nonce-");
    cr_assert(at && strspn(at + 7, "0123456789abcdef") == 32 && at[39] == '\'', "%s", policy);
    memcpy(to, at + 7, 32);
    to[32] = 0;
    char want[512];
    snprintf(want, sizeof want,
             "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-%s'; img-src 'self' data:; font-src 'self'; "
             "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", to);
    cr_expect_str_eq(policy, want);
    free(policy);
}

Test(ui, pages)
{
    static const char *const pages[] = {
        "/", "/?x=1", "/explore", "/explore/metrics", "/explore/logs/", "/explore/traces?q=%7B%7D", "/trace/0af7651916cd43dd8448eb211c80319c",
        "/services", "/services/a%2Fb%20c", "/rum", "/rum/sessions/1",
    };
    char last[33] = "";
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        char *out = ask("GET", pages[i], "Accept-Encoding: gzip\r\nIf-None-Match: *\r\n"), nonce[33], want[1024];
        cr_expect_eq(status_of(out), 200, "%s: %s", pages[i], out);
        expect_header(out, "content-type", "text/html; charset=utf-8");
        /* Not even for a moment: a stored page has the nonce of another answer's policy. */
        expect_header(out, "cache-control", "no-store");
        expect_header(out, "etag", NULL);
        nonce_of(out, nonce);
        cr_expect_str_neq(nonce, last);
        snprintf(want, sizeof want,
                 "<!doctype html>\n<meta name=\"csp-nonce\" content=\"%s\">\n<style nonce=\"%s\"></style>\n"
                 "<script type=\"module\" src=\"/assets/app-1a2b.js\"></script>\n", nonce, nonce);
        cr_expect_str_eq(body_of(out), want);
        memcpy(last, nonce, sizeof last);
        free(out);
    }
    static const char *const others[] = { "/nope", "/trace", "/trace/", "/trace/a/b", "/services/a/b", "/explorer", "/favicon.ico" };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        char *out = ask("GET", others[i], "");
        cr_expect_eq(status_of(out), 404, "%s: %s", others[i], out);
        free(out);
    }
}

Test(ui, nothing_built_in)
{
    ui.bundle = &nothing;
    char *out = ask("GET", "/explore/logs", "");
    cr_expect_eq(status_of(out), 200);
    expect_header(out, "content-type", "text/plain; charset=utf-8");
    cr_expect(strstr(out, "no web UI"));
    free(out);
    out = ask("GET", "/assets/app-1a2b.js", "");
    cr_expect_eq(status_of(out), 404);
    free(out);
}
