#include "server/key_files.h"

#include "base/core/assert.h"
#include "base/core/log.h"
#include "base/core/metric.h"
#include "base/net/tls.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- reading -------------------------------------------------------------------------------------------------- */
/* At most KEYS_FILE_MAX bytes and a terminator into text. */
static err_t read_text(const char *path, char *text)
{
    FILE *f = fopen(path, "re");
    if (!f) return err_set(ERR_INVALID, "cluster.keys_file %s cannot be read: %s", path, strerror(errno));
    setvbuf(f, NULL, _IONBF, 0); /* no copy of the keys stays in a buffer */
    size_t n = fread(text, 1, KEYS_FILE_MAX + 1, f);
    int os_errno = ferror(f) ? errno : 0;
    fclose(f);
    if (os_errno) return err_set(ERR_INVALID, "cluster.keys_file %s cannot be read: %s", path, strerror(os_errno));
    if (n > KEYS_FILE_MAX) return err_set(ERR_INVALID, "cluster.keys_file %s is larger than %d bytes", path, KEYS_FILE_MAX);
    if (memchr(text, 0, n)) return err_set(ERR_INVALID, "cluster.keys_file %s holds a zero byte: it is a text file of base64 or hex", path);
    text[n] = '\0';
    return OK;
}

/* Lines become one line, in place, with commas for their ends. */
static void join_lines(char *text)
{
    struct str rest = str_of(text), line;
    char *to = text;
    while (str_cut(&rest, '\n', &line)) {
        line = str_trim(line);
        if (!line.n || line.p[0] == '#') continue;
        if (to != text) *to++ = ',';
        memmove(to, line.p, line.n);
        to += line.n;
    }
    *to = '\0';
}

static err_t keys_of_file(const char *path, struct swim_keys *out)
{
    char text[KEYS_FILE_MAX + 2];
    err_t e = read_text(path, text);
    if (e == OK) {
        join_lines(text);
        e = swim_keys_parse(text, out);
        if (e != OK) e = err_set(e, "cluster.keys_file %s: %s", path, err_detail());
        else if (out->n == 0) e = err_set(ERR_INVALID, "cluster.keys_file %s holds no key", path);
    }
    OPENSSL_cleanse(text, sizeof text);
    return e;
}

static err_t find_keys(const struct config *c, struct swim_keys *out)
{
    const char *given = config_text(c, CFG_CLUSTER_KEYS), *path = config_text(c, CFG_CLUSTER_KEYS_FILE);
    if (given[0] && path[0]) return err_set(ERR_INVALID, "cluster.keys and cluster.keys_file are both set: one of them says the keys");
    if (path[0]) return keys_of_file(path, out);
    err_t e = swim_keys_parse(given, out);
    return e == OK ? OK : err_set(e, "cluster.keys: %s", err_detail());
}

static err_t find_tls(const struct config *c, struct tls **out)
{
    const struct tls_opts o = { config_text(c, CFG_CLUSTER_TLS_CERT), config_text(c, CFG_CLUSTER_TLS_KEY), config_text(c, CFG_CLUSTER_TLS_CA),
                                config_num(c, CFG_CLUSTER_TLS_ANY_NAME) != 0 };
    const char *const texts[] = { o.cert_file, o.key_file, o.ca_file };
    static const char *const names[] = { "cluster.tls_cert", "cluster.tls_key", "cluster.tls_ca" };
    const char *set = NULL, *unset = NULL;
    *out = NULL;
    for (unsigned i = ARRAY_LEN(texts); i-- > 0;) {
        if (texts[i][0]) set = names[i];
        else unset = names[i];
    }
    if (!set) return o.any_name ? err_set(ERR_INVALID, "cluster.tls_any_name is set, and no certificate: %s", names[0]) : OK;
    if (unset) return err_set(ERR_INVALID, "%s is set, and %s is not: TLS between nodes wants all three of cert, key and ca", set, unset);
    return tls_new(&o, out);
}

struct finding {
    const struct config *c;
    struct key_files_found *out;
};

static err_t find(void *arg)
{
    const struct finding *f = arg;
    *f->out = (struct key_files_found){ 0 };
    TRY(find_keys(f->c, &f->out->keys));
    return find_tls(f->c, &f->out->tls);
}

err_t key_files_find(const struct config *c, struct key_files_found *out)
{
    struct finding f = { c, out };
    return rt_offload(find, &f);
}

void key_files_forget(struct key_files_found *f)
{
    OPENSSL_cleanse(&f->keys, sizeof f->keys);
}

err_t key_files_check(const struct config *c)
{
    struct key_files_found found;
    struct finding f = { c, &found };
    err_t e = find(&f);
    key_files_forget(&found);
    if (e == OK) tls_free(found.tls);
    return e;
}

/* -- following ------------------------------------------------------------------------------------------------- */
struct key_files {
    const char *path;
    struct cluster *cluster;
    struct swim_keys keys;  /* in force */
    struct swim_keys fresh; /* of the file, as it was read last */
    char why[ERR_DETAIL_MAX]; /* it could not be used; what the log has said */
    struct event again;
    struct scope scope;
};

static err_t read_fresh(void *arg)
{
    struct key_files *k = arg;
    return keys_of_file(k->path, &k->fresh);
}

static void take(struct key_files *k, err_t e, bool asked)
{
    if (e != OK) {
        metric_add(M_SWIM_KEYS_REFUSED, 1);
        if (asked || strcmp(k->why, err_detail()) != 0) log_error("gossip.keys", "the keys before stay in force: %s", err_detail());
        snprintf(k->why, sizeof k->why, "%s", err_detail());
        return;
    }
    k->why[0] = '\0';
    bool same = memcmp(&k->fresh, &k->keys, sizeof k->keys) == 0;
    if (!same) cluster_keys(k->cluster, &k->fresh);
    if (!same || asked) log_info("gossip.keys", "file=%s keys=%u %s", k->path, k->fresh.n, same ? "as before" : "in force from now on");
    k->keys = k->fresh;
}

static void follow(void *arg)
{
    struct key_files *k = arg;
    for (;;) {
        err_t e = event_wait_until(&k->again, mono_add(rt_now(), (int64_t)KEYS_FILE_MS * NS_PER_MS));
        if (e == ERR_CANCELED) return;
        event_reset(&k->again);
        take(k, rt_offload(read_fresh, k), e == OK);
    }
}

err_t key_files_watch(const struct config *c, struct cluster *cluster, struct key_files **out)
{
    const char *path = config_text(c, CFG_CLUSTER_KEYS_FILE);
    *out = NULL;
    if (!path[0]) return OK;
    struct key_files *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    k->path = path;
    k->cluster = cluster;
    event_init(&k->again);
    scope_init(&k->scope, NULL);
    take(k, rt_offload(read_fresh, k), true); /* in force since the cluster was opened, or newer */
    const struct fiber_opts fo = { .name = "keys", .class = RT_MEMBERSHIP };
    err_t e = fiber_start(&k->scope, &fo, follow, k);
    if (e != OK) {
        key_files_unwatch(k);
        return e;
    }
    *out = k;
    return OK;
}

void key_files_again(struct key_files *k)
{
    event_signal(&k->again);
}

void key_files_unwatch(struct key_files *k)
{
    scope_cancel(&k->scope);
    err_t e = scope_join(&k->scope);
    (void)e;
    scope_deinit(&k->scope);
    OPENSSL_cleanse(k, sizeof *k);
    free(k);
}
