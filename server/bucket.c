#include "server/bucket.h"

#include "base/core/assert.h"
#include "storage/store_s3.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool bucket_wanted(const struct config *c)
{
    return config_text(c, CFG_OBJECT_BUCKET)[0] != 0;
}

unsigned bucket_threads(const struct config *c, unsigned cores)
{
    return bucket_wanted(c) ? s3_threads((uint32_t)config_num(c, CFG_OBJECT_CONNECTIONS), cores) : 0;
}

err_t bucket_open(const struct config *c, struct object_store **out)
{
    const struct s3_opts o = {
        .endpoint = config_text(c, CFG_OBJECT_ENDPOINT),
        .region = config_text(c, CFG_OBJECT_REGION),
        .bucket = config_text(c, CFG_OBJECT_BUCKET),
        .prefix = config_text(c, CFG_OBJECT_PREFIX),
        .access_key = config_text(c, CFG_OBJECT_ACCESS_KEY),
        .secret_key = config_text(c, CFG_OBJECT_SECRET_KEY),
        .session_token = config_text(c, CFG_OBJECT_SESSION_TOKEN),
        .credentials_file = config_text(c, CFG_OBJECT_CREDENTIALS_FILE),
        .profile = config_text(c, CFG_OBJECT_PROFILE),
        .ca_file = config_text(c, CFG_OBJECT_CA_FILE),
        .verify = config_num(c, CFG_OBJECT_TLS_VERIFY) != 0,
        .path_style = config_num(c, CFG_OBJECT_PATH_STYLE) != 0,
        .timeout_ms = config_num(c, CFG_OBJECT_TIMEOUT),
        .connections = (uint32_t)config_num(c, CFG_OBJECT_CONNECTIONS),
    };
    return s3_open(&o, out);
}

/* -- the check ---------------------------------------------------------------------------------------------------- */

enum { PROBE_BYTES = OBJECT_PART_BYTES + 4096 }; /* of the upload in parts: two of them */

struct probe {
    struct object_retry r;
    char name[64], parts[96];
    struct object_etag etag;
};

/* Byte i of the probe; no two pages of it are alike. */
static char probe_byte(uint64_t i)
{
    return (char)(i * 131 + (i >> 12));
}

static err_t give(void *ctx, void *to, size_t n, uint64_t off)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        if (i % 65536 == 0) TRY(rt_checkpoint());
        ((char *)to)[i] = probe_byte(off + i);
    }
    return OK;
}

static err_t wrong(const char *what)
{
    return err_set(ERR_INVALID, "%s: this server is not what the object tier needs", what);
}

static err_t check_put(struct probe *p)
{
    struct object_put_result out;
    const struct object_put w = { .name = str_of(p->name), .bytes = STR("one"), .if_absent = true };
    TRY(object_put(&p->r, &w, &out));
    p->etag = out.etag;
    return out.refused ? wrong("a new name was refused") : OK;
}

static err_t check_absent(struct probe *p)
{
    struct object_put_result out;
    const struct object_put w = { .name = str_of(p->name), .bytes = STR("two"), .if_absent = true };
    TRY(object_put(&p->r, &w, &out));
    return out.refused ? OK : wrong("If-None-Match: * did not stop a second write");
}

static err_t check_match(struct probe *p)
{
    struct object_put_result out;
    struct object_put w = { .name = str_of(p->name), .bytes = STR("three"), .if_match = &p->etag };
    TRY(object_put(&p->r, &w, &out));
    if (out.refused) return wrong("If-Match refused the object's own ETag");
    w.bytes = STR("four"); /* with the ETag of before */
    TRY(object_put(&p->r, &w, &out));
    return out.refused ? OK : wrong("If-Match did not stop a write over another one");
}

static err_t check_range(struct probe *p)
{
    char to[16];
    size_t got = 0;
    TRY(object_get_range(&p->r, str_of(p->name), 1, sizeof to, to, &got));
    return got == 4 && memcmp(to, "hree", 4) == 0 ? OK : wrong("a range came back as other bytes");
}

static err_t check_parts(struct probe *p)
{
    const struct object_source from = { give, NULL, PROBE_BYTES };
    char to[64];
    size_t got = 0;
    TRY(object_upload(&p->r, str_of(p->parts), &from));
    TRY(object_get_range(&p->r, str_of(p->parts), OBJECT_PART_BYTES - 32, sizeof to, to, &got));
    for (size_t i = 0; i < got; i++)
        if (to[i] != probe_byte(OBJECT_PART_BYTES - 32 + i)) return wrong("an upload in parts came back as other bytes");
    struct object_info info;
    TRY(object_head(&p->r, str_of(p->parts), &info));
    return got == sizeof to && info.size == PROBE_BYTES ? OK : wrong("an upload in parts has another size");
}

static err_t check_list(struct probe *p)
{
    struct arena a;
    struct object_page page;
    arena_init(&a, NULL);
    err_t e = object_list(&p->r, str_of(p->name), STR_NONE, &a, &page);
    if (e == OK && (page.n != 2 || !str_is(page.items[0].name, p->name) || !str_is(page.items[1].name, p->parts)))
        e = wrong("a list does not show what is there, or not yet");
    arena_deinit(&a);
    return e;
}

static err_t check_uploads(struct probe *p)
{
    struct arena a;
    struct object_page page;
    arena_init(&a, NULL);
    err_t e = object_parts_list(&p->r, str_of(p->name), &a, &page);
    arena_deinit(&a);
    return e;
}

static err_t check_remove(struct probe *p)
{
    struct object_info info;
    TRY(object_remove(&p->r, str_of(p->name)));
    TRY(object_remove(&p->r, str_of(p->parts)));
    err_t e = object_head(&p->r, str_of(p->name), &info);
    return e == ERR_NOT_FOUND ? OK : e == OK ? wrong("a removed object is still there") : e;
}

static err_t run_checks(struct probe *p)
{
    static const struct {
        const char *what;
        err_t (*fn)(struct probe *);
    } steps[] = {
        { "write a new object", check_put },        { "refuse a second one", check_absent },
        { "replace it by its ETag", check_match },  { "read a range", check_range },
        { "upload in parts", check_parts },         { "list", check_list },
        { "list uploads in parts", check_uploads }, { "remove", check_remove },
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        err_t e = steps[i].fn(p);
        printf("%-24s %s\n", steps[i].what, e == OK ? "ok" : "FAILED");
        TRY(e);
    }
    return OK;
}

static err_t check_main(void *arg)
{
    struct object_store *store;
    TRY(bucket_open(arg, &store));
    printf("bucket %s\n", store->name(store));
    struct probe p = { .r = object_retry(store, OBJECT_READ_TRIES) };
    snprintf(p.name, sizeof p.name, "check/%016" PRIx64, rt_random());
    snprintf(p.parts, sizeof p.parts, "%s-parts", p.name);
    err_t e = run_checks(&p);
    if (e != OK) {
        struct err_record why = *err_record();
        const struct object_retry once = object_retry(store, 1);
        err_t ignored = object_remove(&once, str_of(p.name)); /* it may be that nothing works */
        if (ignored == OK) ignored = object_remove(&once, str_of(p.parts));
        *err_record() = why;
    }
    store->close(store);
    return e;
}

err_t bucket_check(const struct config *c)
{
    if (!bucket_wanted(c)) return err_set(ERR_INVALID, "object.bucket is not set");
    const struct rt_opts o = { .cores = 1, .offload_threads = 2 + bucket_threads(c, 1) };
    return rt_run(&o, check_main, (void *)(uintptr_t)c);
}
