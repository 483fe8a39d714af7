#include "storage/s3_http.h"

#include "base/core/assert.h"
#include "storage/s3_keys.h"

#include <ctype.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    HANDLES_MAX = 64,          /* kept */
    CONNECT_MS_MAX = 5000,
    SLOWEST_BYTES_S = 64 << 10, /* what a request's time limit allows for */
    URL_MAX = 4096,
};

struct s3_http {
    char *base;   /* "https://host/bucket" or "https://bucket.host", no slash at the end */
    char *name;   /* for messages */
    char *bucket, *region, *sigv4, *ca_file;
    bool verify;
    int64_t timeout_ms;
    struct s3_key_source *keys;
    pthread_mutex_t lock;
    CURL *idle[HANDLES_MAX];
    unsigned nidle;
};

void s3_call_init(struct s3_call *c, const char *method, struct str object)
{
    *c = (struct s3_call){ .method = method, .object = object };
    buf_init(&c->xml, OBJECT_XML_MAX, NULL);
}

void s3_call_deinit(struct s3_call *c)
{
    buf_deinit(&c->xml);
}

void s3_encode(struct buf *to, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-_.~", c))
            buf_byte(to, c);
        else
            buf_printf(to, "%%%02X", c);
    }
}

/* -- where the bucket is ------------------------------------------------------------------------------------------ */

static char *printed(const char *fmt, ...) PRINTF(1, 2);
static char *printed(const char *fmt, ...)
{
    char *p = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&p, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0 && p != NULL);
    return p;
}

static bool plain(const char *z, const char *also)
{
    for (; *z; z++)
        if (!isalnum((unsigned char)*z) && !strchr(also, *z)) return false;
    return true;
}

static err_t set_base(struct s3_http *h, const struct s3_opts *o)
{
    char amazon[256];
    const char *url = o->endpoint;
    if (!o->bucket[0] || strlen(o->bucket) > 63 || !plain(o->bucket, ".-"))
        return err_set(ERR_INVALID, "object.bucket: '%s' is no name of a bucket", o->bucket);
    if (!o->region[0] || strlen(o->region) > 60 || !plain(o->region, "-"))
        return err_set(ERR_INVALID, "object.region: '%s' is no name of a region", o->region);
    if (!url[0]) {
        snprintf(amazon, sizeof amazon, "https://s3.%s.amazonaws.com", o->region);
        url = amazon;
    }
    bool tls = strncmp(url, "https://", 8) == 0;
    if (!tls && strncmp(url, "http://", 7) != 0)
        return err_set(ERR_INVALID, "object.endpoint: '%s' does not begin with http:// or https://", url);
    const char *host = url + (tls ? 8 : 7);
    size_t n = strlen(host);
    if (n && host[n - 1] == '/') n--;
    char *only = printed("%.*s", (int)n, host);
    bool good = n && plain(only, ".-:[]");
    if (good && o->path_style) h->base = printed("http%s://%s/%s", tls ? "s" : "", only, o->bucket);
    if (good && !o->path_style) h->base = printed("http%s://%s.%s", tls ? "s" : "", o->bucket, only);
    free(only);
    if (!good) return err_set(ERR_INVALID, "object.endpoint: '%s' is not http(s)://host or http(s)://host:port", url);
    return OK;
}

err_t s3_http_new(const struct s3_opts *o, struct s3_http **out)
{
    struct s3_http *h = calloc(1, sizeof *h);
    ASSERT(h != NULL);
    pthread_mutex_init(&h->lock, NULL);
    h->timeout_ms = o->timeout_ms;
    h->verify = o->verify;
    h->bucket = printed("%s", o->bucket);
    h->region = printed("%s", o->region);
    h->sigv4 = printed("aws:amz:%s:s3", o->region);
    h->ca_file = o->ca_file[0] ? printed("%s", o->ca_file) : NULL;
    err_t e = set_base(h, o);
    if (e == OK) {
        h->name = printed("%s/%s", h->base, o->prefix);
        e = s3_key_source_new(o, &h->keys);
    }
    if (e == OK && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) e = err_set(ERR_INTERNAL, "libcurl does not start");
    if (e != OK) {
        s3_http_free(h);
        return e;
    }
    *out = h;
    return OK;
}

void s3_http_free(struct s3_http *h)
{
    if (!h) return;
    for (unsigned i = 0; i < h->nidle; i++)
        curl_easy_cleanup(h->idle[i]);
    s3_key_source_free(h->keys);
    pthread_mutex_destroy(&h->lock);
    free(h->base);
    free(h->name);
    free(h->bucket);
    free(h->region);
    free(h->sigv4);
    free(h->ca_file);
    free(h);
}

const char *s3_http_name(const struct s3_http *h)
{
    return h->name;
}

/* -- handles: the one used last first, its connection is warm ------------------------------------------------------ */

static CURL *take_handle(struct s3_http *h)
{
    pthread_mutex_lock(&h->lock);
    CURL *c = h->nidle ? h->idle[--h->nidle] : NULL;
    pthread_mutex_unlock(&h->lock);
    if (!c) c = curl_easy_init();
    ASSERT(c != NULL);
    return c;
}

static void give_handle(struct s3_http *h, CURL *c)
{
    curl_easy_reset(c);
    pthread_mutex_lock(&h->lock);
    bool kept = h->nidle < HANDLES_MAX;
    if (kept) h->idle[h->nidle++] = c;
    pthread_mutex_unlock(&h->lock);
    if (!kept) curl_easy_cleanup(c);
}

/* -- what comes back ------------------------------------------------------------------------------------------------ */

struct transfer {
    struct s3_call *call;
    CURL *handle;
};

static size_t on_body(char *p, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    struct s3_call *c = t->call;
    long status = 0;
    n *= one;
    curl_easy_getinfo(t->handle, CURLINFO_RESPONSE_CODE, &status);
    if (c->to && status >= 200 && status < 300) {
        if (n > c->range_n - c->got) return 0; /* more than was asked for: the transfer ends as CURLE_WRITE_ERROR */
        memcpy(c->to + c->got, p, n);
        c->got += n;
        return n;
    }
    buf_put(&c->xml, p, n);
    return c->xml.failed ? 0 : n;
}

static bool header_is(struct str *line, const char *name)
{
    struct str key = str_sub(*line, 0, strlen(name));
    if (line->n <= key.n || line->p[key.n] != ':' || !str_ieq(key, str_of(name))) return false;
    *line = str_trim(str_sub(*line, key.n + 1, line->n));
    return true;
}

static void text_to(struct str s, char *to, size_t size)
{
    size_t n = MIN(s.n, size - 1);
    memcpy(to, s.p, n);
    to[n] = 0;
}

static size_t on_header(char *p, size_t one, size_t n, void *ctx)
{
    struct s3_call *c = ((struct transfer *)ctx)->call;
    struct str line = { p, n * one };
    if (header_is(&line, "etag") && line.n < sizeof c->etag.text) {
        text_to(line, c->etag.text, sizeof c->etag.text);
    } else if (header_is(&line, "x-amz-bucket-region")) {
        text_to(line, c->region, sizeof c->region);
    } else if (header_is(&line, "date")) {
        char z[64];
        text_to(line, z, sizeof z);
        c->date_s = (int64_t)curl_getdate(z, NULL);
    } else if (header_is(&line, "content-length")) {
        if (!str_to_u64(line, &c->size)) c->size = 0;
    } else if (header_is(&line, "content-range") && str_starts(line, STR("bytes "))) {
        line = str_sub(line, 6, line.n);
        size_t dash = str_chr(line, '-');
        c->has_range = str_to_u64(str_sub(line, 0, dash), &c->range_from)
                       && str_to_u64(str_sub(line, dash + 1, str_chr(line, '/')), &c->range_to);
    }
    return n * one;
}

/* -- sending -------------------------------------------------------------------------------------------------------- */

static void sha256_hex(struct str body, char out[65])
{
    unsigned char digest[32];
    unsigned n = 0;
    int ok = EVP_Digest(body.p ? body.p : "", body.n, digest, &n, EVP_sha256(), NULL);
    ASSERT(ok == 1 && n == sizeof digest);
    str_to_hex(digest, sizeof digest, out);
    out[64] = 0;
}

static struct curl_slist *header(struct curl_slist *list, const char *fmt, ...) PRINTF(2, 3);
static struct curl_slist *header(struct curl_slist *list, const char *fmt, ...)
{
    char *line = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&line, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0 && line != NULL);
    struct curl_slist *longer = curl_slist_append(list, line);
    ASSERT(longer != NULL);
    free(line);
    return longer;
}

static struct curl_slist *headers_of(const struct s3_call *c, const struct s3_keys *keys)
{
    char hash[65];
    sha256_hex(c->body, hash);
    struct curl_slist *list = header(NULL, "x-amz-content-sha256: %s", hash);
    if (keys->token[0]) list = header(list, "x-amz-security-token: %s", keys->token);
    if (c->if_match) list = header(list, "If-Match: %s", c->if_match);
    if (c->if_absent) list = header(list, "If-None-Match: *");
    if (c->has_body) list = header(list, "Content-Type: application/octet-stream");
    return list;
}

static char *url_of(const struct s3_http *h, const struct s3_call *c)
{
    struct buf url;
    buf_init(&url, URL_MAX, NULL);
    buf_printf(&url, "%s/" STR_FMT, h->base, STR_ARG(c->object));
    if (c->query) buf_printf(&url, "?%s", c->query);
    buf_byte(&url, 0);
    ASSERT(!url.failed); /* names, ids and the base have their limits */
    return url.p;
}

static void set_limits(const struct s3_http *h, const struct s3_call *c, CURL *curl)
{
    int64_t bytes = (int64_t)(c->body.n + c->range_n);
    int64_t ms = h->timeout_ms + bytes * 1000 / SLOWEST_BYTES_S;
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)MIN(h->timeout_ms, (int64_t)CONNECT_MS_MAX));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)MAX(h->timeout_ms / 1000, 1));
}

static void set_request(const struct s3_http *h, struct transfer *t, const char *url, struct curl_slist *headers)
{
    struct s3_call *c = t->call;
    CURL *curl = t->handle;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "tercet/" TERCET_VERSION);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, h->verify ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, h->verify ? 2L : 0L);
    if (h->ca_file) curl_easy_setopt(curl, CURLOPT_CAINFO, h->ca_file);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, h->sigv4);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    if (strcmp(c->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, c->method);
    }
    if (c->has_body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.n);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->body.p ? c->body.p : "");
    }
    if (c->range_n) {
        char range[64];
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, c->range_off, c->range_off + c->range_n - 1);
        curl_easy_setopt(curl, CURLOPT_RANGE, range); /* copied */
    }
    set_limits(h, c, curl);
}

/* -- errors in words ------------------------------------------------------------------------------------------------ */

static err_t curl_failed(const struct s3_http *h, const struct s3_call *c, CURLcode rc, const char *detail)
{
    const char *why = detail[0] ? detail : curl_easy_strerror(rc);
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT: return err_set(ERR_TIMEOUT, "%s %s: %s", c->method, h->name, why);
    case CURLE_PEER_FAILED_VERIFICATION:
        return err_set(ERR_INVALID, "%s: its certificate is not trusted: %s; object.ca_file names the one to trust", h->name, why);
    case CURLE_SSL_CACERT_BADFILE: return err_set(ERR_INVALID, "object.ca_file %s: %s", h->ca_file ? h->ca_file : "(system)", why);
    case CURLE_WRITE_ERROR:
        return err_set(ERR_CORRUPT, "%s %s: the answer is longer than what was asked for: does this server know ranges?", c->method,
                       h->name);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return err_set(ERR_INVALID, "object.endpoint: %s: %s", h->name, why);
    default: return err_set(ERR_UNAVAILABLE, "%s %s: %s", c->method, h->name, why);
    }
}

static err_t clock_skewed(const struct s3_http *h, const struct s3_call *c)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ahead = c->date_s > 0 ? (int64_t)now.tv_sec - c->date_s : 0;
    return err_set(ERR_FORBIDDEN, "%s refuses our clock, which is %" PRId64 " s %s its own: set this machine's clock (NTP)", h->name,
                   ahead < 0 ? -ahead : ahead, ahead < 0 ? "behind" : "ahead of");
}

static err_t forbidden(const struct s3_http *h, const struct s3_call *c, const struct object_answer *a, const char *access)
{
    struct str code = a->code;
    if (str_is(code, "RequestTimeTooSkewed") || str_is(code, "RequestExpired")) return clock_skewed(h, c);
    if (str_is(code, "SignatureDoesNotMatch"))
        return err_set(ERR_FORBIDDEN, "%s: the secret key does not belong to access key %s (object.secret_key)", h->name, access);
    if (str_is(code, "InvalidAccessKeyId"))
        return err_set(ERR_FORBIDDEN, "%s does not know access key %s (object.access_key)", h->name, access);
    if (str_is(code, "ExpiredToken"))
        return err_set(ERR_FORBIDDEN, "%s: the session of access key %s has expired (object.session_token)", h->name, access);
    return err_set(ERR_FORBIDDEN, "%s: access key %s may not %s " STR_FMT ": give it GetObject, PutObject, DeleteObject, ListBucket "
                   "and AbortMultipartUpload (" STR_FMT ")", h->name, access, c->method, STR_ARG(c->object), STR_ARG(a->code));
}

static err_t elsewhere(const struct s3_http *h, const struct s3_call *c, const struct object_answer *a)
{
    const char *region = c->region;
    if (region[0] || a->region.n)
        return err_set(ERR_INVALID, "%s: the bucket is in region " STR_FMT ", object.region says %s", h->name,
                       region[0] ? (int)strlen(region) : (int)a->region.n, region[0] ? region : a->region.p, h->region);
    return err_set(ERR_INVALID, "%s: the bucket is at another address (%ld " STR_FMT "): correct object.endpoint and object.region",
                   h->name, c->status, STR_ARG(a->code));
}

static err_t missing(const struct s3_http *h, const struct s3_call *c, const struct object_answer *a)
{
    if (str_is(a->code, "NoSuchBucket"))
        return err_set(ERR_INVALID, "%s: there is no bucket '%s': make it, or correct object.bucket", h->name, h->bucket);
    return err_set(ERR_NOT_FOUND, "%s: there is no " STR_FMT, h->name, STR_ARG(c->object));
}

static err_t refusal(const struct s3_http *h, struct s3_call *c, const struct object_answer *a, const char *access)
{
    struct str code = a->code, text = a->message;
    bool conditional = c->if_match || c->if_absent;
    long s = c->status;
    if (conditional && (s == 412 || (s == 404 && c->if_match && !str_is(code, "NoSuchBucket")))) {
        c->refused = true;
        return OK;
    }
    if (s == 404) return missing(h, c, a);
    if (s == 401 || s == 403 || str_is(code, "ExpiredToken")) return forbidden(h, c, a, access); /* Amazon's says 400 of that one */
    if ((s >= 300 && s < 400) || str_is(code, "AuthorizationHeaderMalformed") || str_is(code, "IllegalLocationConstraintException"))
        return elsewhere(h, c, a);
    if (s == 429 || str_is(code, "SlowDown") || str_is(code, "TooManyRequests"))
        return err_set(ERR_OVERLOAD, "%s: %s: %ld " STR_FMT, h->name, c->method, s, STR_ARG(code));
    if (s == 501)
        return err_set(ERR_INVALID, "%s cannot do this%s: " STR_FMT, h->name,
                       conditional ? " (conditional writes, which the object tier needs)" : "", STR_ARG(text));
    if (s == 409 || s >= 500 || str_is(code, "RequestTimeout"))
        return err_set(ERR_UNAVAILABLE, "%s: %s: %ld " STR_FMT " " STR_FMT, h->name, c->method, s, STR_ARG(code), STR_ARG(text));
    return err_set(ERR_INVALID, "%s: %s " STR_FMT ": %ld " STR_FMT " " STR_FMT, h->name, c->method, STR_ARG(c->object), s,
                   STR_ARG(code), STR_ARG(text));
}

/* An answer whose length is not told ends where its connection does, be it in the middle. */
static bool cut_short(const struct s3_call *c)
{
    return c->to && c->status == 206 && c->range_to - c->range_from + 1 != c->got;
}

/* A completed upload in parts may answer 200 and still carry an error. */
static bool carries_error(const struct s3_call *c, const struct object_answer *a)
{
    return c->status >= 300 || str_is(a->root, "Error");
}

static err_t judge(const struct s3_http *h, struct s3_call *c, const char *access)
{
    struct arena tmp;
    struct object_answer a = { 0 };
    arena_init(&tmp, NULL);
    /* A refusal without a body, or with one of a proxy's, is told by its status. */
    if (c->status >= 300 || (c->xml.n && strcmp(c->method, "POST") == 0)) {
        if (object_xml_parse(buf_view(&c->xml), &tmp, &a) != OK) a = (struct object_answer){ 0 };
    }
    err_t e = OK;
    if (carries_error(c, &a)) {
        if (c->status < 300) c->status = 500;
        e = refusal(h, c, &a, access);
    } else if (c->range_n && c->status == 200 && c->range_off > 0) {
        e = err_set(ERR_INVALID, "%s does not know ranges of bytes: it cannot serve segments", h->name);
    } else if (c->range_n && c->status == 206 && (!c->has_range || c->range_from != c->range_off)) {
        e = err_set(ERR_CORRUPT, "%s: " STR_FMT ": asked for bytes from %" PRIu64 ", answered from %" PRIu64, h->name,
                    STR_ARG(c->object), c->range_off, c->range_from);
    } else if (cut_short(c)) {
        e = err_set(ERR_UNAVAILABLE, "%s %s: " STR_FMT ": the answer ended after %zu bytes, it was to have %" PRIu64, c->method, h->name,
                    STR_ARG(c->object), c->got, c->range_to - c->range_from + 1);
    }
    arena_deinit(&tmp);
    return e;
}

err_t s3_http_do(struct s3_http *h, struct s3_call *c)
{
    struct s3_keys *keys = malloc(sizeof *keys);
    ASSERT(keys != NULL);
    s3_keys_now(h->keys, keys);
    char detail[CURL_ERROR_SIZE] = "";
    struct transfer t = { c, take_handle(h) };
    struct curl_slist *headers = headers_of(c, keys);
    char *url = url_of(h, c);
    buf_clear(&c->xml);
    c->got = 0;
    set_request(h, &t, url, headers);
    curl_easy_setopt(t.handle, CURLOPT_USERNAME, keys->access);
    curl_easy_setopt(t.handle, CURLOPT_PASSWORD, keys->secret);
    curl_easy_setopt(t.handle, CURLOPT_ERRORBUFFER, detail);
    CURLcode rc = curl_easy_perform(t.handle);
    curl_easy_getinfo(t.handle, CURLINFO_RESPONSE_CODE, &c->status);
    give_handle(h, t.handle);
    err_t e = rc == CURLE_OK ? judge(h, c, keys->access) : curl_failed(h, c, rc, detail);
    curl_slist_free_all(headers);
    free(url);
    OPENSSL_cleanse(keys, sizeof *keys);
    free(keys);
    return e;
}
