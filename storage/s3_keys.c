#include "storage/s3_keys.h"

#include "base/core/assert.h"
#include "base/core/buf.h"
#include "base/core/log.h"
#include "storage/store_s3.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

struct s3_key_source {
    pthread_mutex_t lock;
    struct s3_keys keys;
    char *file, *profile; /* file == NULL: the keys never change */
    struct timespec changed; /* of the file, when it was read */
    int64_t looked_s;
};

/* -- the file ---------------------------------------------------------------------------------------------------- */

static err_t field(const char *name, struct str value, char *to, size_t size)
{
    if (value.n >= size) return err_set(ERR_INVALID, "%s has %zu characters, at most %zu", name, value.n, size - 1);
    if (memchr(value.p, 0, value.n)) return err_set(ERR_INVALID, "%s holds a zero", name);
    memcpy(to, value.p, value.n);
    to[value.n] = 0;
    return OK;
}

err_t s3_keys_parse(struct str text, struct str profile, struct s3_keys *out)
{
    memset(out, 0, sizeof *out);
    bool ours = false;
    for (struct str line; str_cut(&text, '\n', &line);) {
        line = str_trim(line);
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';') continue;
        if (line.p[0] == '[') {
            ours = str_eq(str_trim(str_sub(line, 1, str_chr(line, ']'))), profile);
            continue;
        }
        struct str key;
        if (!ours || str_chr(line, '=') == line.n) continue;
        str_cut(&line, '=', &key);
        struct str value = str_trim(line);
        key = str_trim(key);
        if (str_is(key, "aws_access_key_id")) TRY(field("aws_access_key_id", value, out->access, sizeof out->access));
        if (str_is(key, "aws_secret_access_key")) TRY(field("aws_secret_access_key", value, out->secret, sizeof out->secret));
        if (str_is(key, "aws_session_token")) TRY(field("aws_session_token", value, out->token, sizeof out->token));
    }
    if (out->access[0] && out->secret[0]) return OK;
    return err_set(ERR_INVALID, "profile [" STR_FMT "] lacks aws_access_key_id or aws_secret_access_key", STR_ARG(profile));
}

static err_t read_file(struct s3_key_source *s, struct s3_keys *out)
{
    struct stat st;
    FILE *f = fopen(s->file, "rb");
    if (!f) return err_set(ERR_INVALID, "object.credentials_file %s: %s", s->file, strerror(errno));
    struct buf text;
    buf_init(&text, S3_KEYS_FILE_MAX, NULL);
    size_t got = 0;
    do {
        char *to = buf_reserve(&text, 4096);
        got = to ? fread(to, 1, 4096, f) : 0;
        text.n += got;
    } while (got);
    if (fstat(fileno(f), &st) == 0) s->changed = st.st_mtim;
    fclose(f);
    err_t e = text.failed ? err_set(ERR_INVALID, "it is over %d bytes", S3_KEYS_FILE_MAX)
                          : s3_keys_parse(buf_view(&text), str_of(s->profile), out);
    buf_deinit(&text);
    return e == OK ? OK : err_set(e, "object.credentials_file %s: %s", s->file, err_detail());
}

static bool file_changed(struct s3_key_source *s)
{
    struct timespec now;
    struct stat st;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - s->looked_s < S3_KEYS_LOOK_S) return false;
    s->looked_s = now.tv_sec;
    return stat(s->file, &st) == 0 && (st.st_mtim.tv_sec != s->changed.tv_sec || st.st_mtim.tv_nsec != s->changed.tv_nsec);
}

/* -- the source --------------------------------------------------------------------------------------------------- */

static err_t from_settings(const char *access, const char *secret, const char *token, struct s3_keys *out)
{
    TRY(field("object.access_key", str_of(access), out->access, sizeof out->access));
    TRY(field("object.secret_key", str_of(secret), out->secret, sizeof out->secret));
    return field("object.session_token", str_of(token), out->token, sizeof out->token);
}

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v ? v : "";
}

static err_t first_keys(struct s3_key_source *s, const struct s3_opts *o)
{
    if (o->access_key[0] || o->secret_key[0]) {
        if (!o->access_key[0] || !o->secret_key[0])
            return err_set(ERR_INVALID, "object.access_key and object.secret_key go together: one of them is empty");
        return from_settings(o->access_key, o->secret_key, o->session_token, &s->keys);
    }
    if (o->credentials_file[0]) {
        s->file = strdup(o->credentials_file);
        s->profile = strdup(o->profile);
        ASSERT(s->file != NULL && s->profile != NULL);
        return read_file(s, &s->keys);
    }
    if (env("AWS_ACCESS_KEY_ID")[0] && env("AWS_SECRET_ACCESS_KEY")[0])
        return from_settings(env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN"), &s->keys);
    return err_set(ERR_INVALID, "no credentials for the bucket: set object.access_key and object.secret_key, "
                                "object.credentials_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
}

err_t s3_key_source_new(const struct s3_opts *o, struct s3_key_source **out)
{
    struct s3_key_source *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    pthread_mutex_init(&s->lock, NULL);
    err_t e = first_keys(s, o);
    if (e != OK) {
        s3_key_source_free(s);
        return e;
    }
    *out = s;
    return OK;
}

void s3_key_source_free(struct s3_key_source *s)
{
    if (!s) return;
    pthread_mutex_destroy(&s->lock);
    free(s->file);
    free(s->profile);
    free(s);
}

void s3_keys_now(struct s3_key_source *s, struct s3_keys *out)
{
    pthread_mutex_lock(&s->lock);
    if (s->file && file_changed(s)) {
        struct s3_keys *fresh = malloc(sizeof *fresh);
        ASSERT(fresh != NULL);
        if (read_file(s, fresh) == OK) {
            s->keys = *fresh;
            log_info("object.credentials", "file=%s effect=\"read again\"", s->file);
        } else {
            log_warn("object.credentials", "error=\"%s\" effect=\"the keys of before are used\"", err_detail());
        }
        free(fresh);
    }
    *out = s->keys;
    pthread_mutex_unlock(&s->lock);
}
