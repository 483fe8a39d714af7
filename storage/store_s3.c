/* The table of an S3 bucket: which request each function is. */
#include "storage/store_s3.h"

#include "base/core/assert.h"
#include "base/core/metric.h"
#include "storage/s3_http.h"

#include <stdio.h>
#include <stdlib.h>

enum { WRITES = 2 }; /* at once, a core, beside the reads: a backlog of uploads does not make queries wait */

struct s3_core {
    struct sem reads, writes;
};
struct s3 {
    struct object_store store;
    struct s3_http *http;
    char *prefix; /* empty, or with a slash at its end */
    struct s3_core cores[];
};

static struct s3 *s3_of(struct object_store *o)
{
    return CONTAINER_OF(o, struct s3, store);
}

static uint32_t reads_of(uint32_t connections, unsigned cores)
{
    return MAX(connections / cores, 1);
}

unsigned s3_threads(uint32_t connections, unsigned cores)
{
    return (reads_of(connections, cores) + WRITES) * cores;
}

/* -- on the pool, under the limit ---------------------------------------------------------------------------------- */

struct job {
    struct s3_http *http;
    struct s3_call *call;
};

static err_t run(void *arg)
{
    struct job *j = arg;
    return s3_http_do(j->http, j->call);
}

static err_t send(struct s3 *s, struct s3_call *c)
{
    struct s3_core *core = &s->cores[rt_core()];
    struct sem *limit = strcmp(c->method, "GET") == 0 && c->to ? &core->reads : &core->writes;
    TRY(sem_take(limit, 1));
    metric_add(M_OBJECT_INFLIGHT, 1);
    struct job j = { s->http, c };
    err_t e = rt_offload(run, &j);
    metric_add(M_OBJECT_INFLIGHT, -1);
    sem_give(limit, 1);
    return e;
}

/* -- names ------------------------------------------------------------------------------------------------------------ */

static struct str full_name(const struct s3 *s, struct str name, char to[2 * OBJECT_NAME_MAX + 2])
{
    int n = snprintf(to, 2 * OBJECT_NAME_MAX + 2, "%s" STR_FMT, s->prefix, STR_ARG(name));
    return (struct str){ to, (size_t)n };
}

/* Takes our prefix off; what lies elsewhere or has a name that we never give is passed over. */
static void own_names(const struct s3 *s, struct object_page *p)
{
    size_t kept = 0, skip = strlen(s->prefix);
    for (size_t i = 0; i < p->n; i++) {
        struct object_item it = p->items[i];
        if (!str_starts(it.name, str_of(s->prefix))) continue;
        it.name = str_sub(it.name, skip, it.name.n);
        if (object_name_valid(it.name) && it.name.n > 0) p->items[kept++] = it;
    }
    p->n = kept;
}

/* -- the table ------------------------------------------------------------------------------------------------------- */

static err_t put(struct object_store *o, const struct object_put *p, struct object_put_result *out)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct s3_call c;
    s3_call_init(&c, "PUT", full_name(s, p->name, name));
    c.body = p->bytes;
    c.has_body = true;
    c.if_match = p->if_match ? p->if_match->text : NULL;
    c.if_absent = p->if_absent;
    err_t e = send(s, &c);
    *out = (struct object_put_result){ c.refused, c.etag };
    s3_call_deinit(&c);
    return e;
}

static err_t get_range(struct object_store *o, struct str object, uint64_t off, size_t n, void *to, size_t *got)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct s3_call c;
    s3_call_init(&c, "GET", full_name(s, object, name));
    c.range_off = off;
    c.range_n = n;
    c.to = to;
    err_t e = send(s, &c);
    if (c.status == 416) e = OK; /* nothing there: it begins behind the end */
    *got = c.got;
    s3_call_deinit(&c);
    return e;
}

/* An answer to HEAD has no body that could say why it refuses; one to GET does. */
static err_t why_refused(struct object_store *o, struct str object, err_t e)
{
    struct err_record before = *err_record();
    char byte;
    size_t got;
    err_t said = get_range(o, object, 0, 1, &byte, &got);
    if (said == ERR_FORBIDDEN || said == ERR_INVALID) return said;
    *err_record() = before;
    return e;
}

static err_t head(struct object_store *o, struct str object, struct object_info *out)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct s3_call c;
    s3_call_init(&c, "HEAD", full_name(s, object, name));
    err_t e = send(s, &c);
    *out = (struct object_info){ c.size, c.etag };
    s3_call_deinit(&c);
    return e == ERR_FORBIDDEN || e == ERR_INVALID ? why_refused(o, object, e) : e;
}

/* A request whose answer is XML. */
static err_t ask(struct s3 *s, struct s3_call *c, struct arena *a, struct object_answer *out, const char *root)
{
    TRY(send(s, c));
    TRY(object_xml_parse(buf_view(&c->xml), a, out));
    if (str_is(out->root, root)) return OK;
    return err_set(ERR_CORRUPT, "%s answers <" STR_FMT "> where S3 answers <%s>", s3_http_name(s->http), STR_ARG(out->root), root);
}

static void query_part(struct buf *q, const char *key, struct str value)
{
    buf_printf(q, "%s%s=", q->n ? "&" : "", key);
    s3_encode(q, value);
}

static err_t list(struct object_store *o, struct str prefix, struct str after, struct arena *a, struct object_page *out)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct s3_call c;
    struct buf q;
    struct object_answer answer;
    buf_init(&q, 8192, NULL);
    query_part(&q, "list-type", STR("2"));
    query_part(&q, "prefix", full_name(s, prefix, name));
    if (after.n) query_part(&q, "start-after", full_name(s, after, name));
    buf_byte(&q, 0);
    ASSERT(!q.failed);
    s3_call_init(&c, "GET", STR(""));
    c.query = q.p;
    err_t e = ask(s, &c, a, &answer, "ListBucketResult");
    if (e == OK) {
        *out = answer.page;
        own_names(s, out);
    }
    s3_call_deinit(&c);
    buf_deinit(&q);
    return e;
}

static err_t remove_object(struct object_store *o, struct str object)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct s3_call c;
    s3_call_init(&c, "DELETE", full_name(s, object, name));
    err_t e = send(s, &c);
    s3_call_deinit(&c);
    return e == ERR_NOT_FOUND ? OK : e;
}

static err_t parts_begin(struct object_store *o, struct str object, struct object_upload *out)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct arena tmp;
    struct s3_call c;
    struct object_answer answer;
    arena_init(&tmp, NULL);
    s3_call_init(&c, "POST", full_name(s, object, name));
    c.query = "uploads=";
    c.has_body = true;
    err_t e = ask(s, &c, &tmp, &answer, "InitiateMultipartUploadResult");
    if (e == OK && (answer.upload_id.n == 0 || answer.upload_id.n >= sizeof out->id))
        e = err_set(ERR_CORRUPT, "%s: an upload's id of %zu bytes", s3_http_name(s->http), answer.upload_id.n);
    if (e == OK) {
        snprintf(out->id, sizeof out->id, STR_FMT, STR_ARG(answer.upload_id));
        snprintf(out->name, sizeof out->name, STR_FMT, STR_ARG(object));
    }
    s3_call_deinit(&c);
    arena_deinit(&tmp);
    return e;
}

static err_t parts_put(struct object_store *o, const struct object_upload *u, uint32_t number, struct str bytes,
                       struct object_etag *etag)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct s3_call c;
    struct buf q;
    buf_init(&q, 4096, NULL);
    buf_printf(&q, "partNumber=%u", number);
    query_part(&q, "uploadId", str_of(u->id));
    buf_byte(&q, 0);
    s3_call_init(&c, "PUT", full_name(s, str_of(u->name), name));
    c.query = q.p;
    c.body = bytes;
    c.has_body = true;
    err_t e = send(s, &c);
    *etag = c.etag;
    if (e == OK && !etag->text[0]) e = err_set(ERR_CORRUPT, "%s took a part and gave no ETag", s3_http_name(s->http));
    s3_call_deinit(&c);
    buf_deinit(&q);
    return e;
}

static err_t parts_end(struct object_store *o, const struct object_upload *u, const struct object_etag *etags, uint32_t n)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct arena tmp;
    struct s3_call c;
    struct object_answer answer;
    struct buf q, body;
    arena_init(&tmp, NULL);
    buf_init(&q, 4096, NULL);
    buf_init(&body, 4 << 20, NULL);
    query_part(&q, "uploadId", str_of(u->id));
    buf_byte(&q, 0);
    buf_z(&body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(&body, "<Part><PartNumber>%u</PartNumber><ETag>", i + 1);
        for (const char *p = etags[i].text; *p; p++) /* a server's text: none of it may be markup */
            buf_printf(&body, "&#%u;", (unsigned char)*p);
        buf_z(&body, "</ETag></Part>");
    }
    buf_z(&body, "</CompleteMultipartUpload>");
    ASSERT(!q.failed && !body.failed);
    s3_call_init(&c, "POST", full_name(s, str_of(u->name), name));
    c.query = q.p;
    c.body = buf_view(&body);
    c.has_body = true;
    err_t e = ask(s, &c, &tmp, &answer, "CompleteMultipartUploadResult");
    s3_call_deinit(&c);
    buf_deinit(&body);
    buf_deinit(&q);
    arena_deinit(&tmp);
    return e;
}

static err_t parts_abort(struct object_store *o, const struct object_upload *u)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct s3_call c;
    struct buf q;
    buf_init(&q, 4096, NULL);
    query_part(&q, "uploadId", str_of(u->id));
    buf_byte(&q, 0);
    s3_call_init(&c, "DELETE", full_name(s, str_of(u->name), name));
    c.query = q.p;
    err_t e = send(s, &c);
    s3_call_deinit(&c);
    buf_deinit(&q);
    return e == ERR_NOT_FOUND ? OK : e;
}

static err_t parts_list(struct object_store *o, struct str prefix, struct arena *a, struct object_page *out)
{
    struct s3 *s = s3_of(o);
    char name[2 * OBJECT_NAME_MAX + 2];
    struct s3_call c;
    struct buf q;
    struct object_answer answer;
    buf_init(&q, 4096, NULL);
    query_part(&q, "prefix", full_name(s, prefix, name));
    buf_z(&q, "&uploads=");
    buf_byte(&q, 0);
    s3_call_init(&c, "GET", STR(""));
    c.query = q.p;
    err_t e = ask(s, &c, a, &answer, "ListMultipartUploadsResult");
    if (e == OK) {
        *out = answer.page;
        own_names(s, out);
    }
    s3_call_deinit(&c);
    buf_deinit(&q);
    return e;
}

static const char *name_of(const struct object_store *o)
{
    return s3_http_name(CONTAINER_OF(o, const struct s3, store)->http);
}

/* -- opening and closing: both block -------------------------------------------------------------------------------- */

struct open_call {
    const struct s3_opts *o;
    struct s3_http *http;
};

static err_t open_http(void *arg)
{
    struct open_call *c = arg;
    return s3_http_new(c->o, &c->http);
}

static err_t close_http(void *arg)
{
    s3_http_free(arg);
    return OK;
}

static void close_store(struct object_store *o)
{
    struct s3 *s = s3_of(o);
    err_t e = rt_offload(close_http, s->http);
    ASSERT(e == OK);
    free(s->prefix);
    free(s);
}

err_t s3_open(const struct s3_opts *o, struct object_store **out)
{
    struct str prefix = str_of(o->prefix);
    if (!object_name_valid(prefix))
        return err_set(ERR_INVALID, "object.prefix: '%s': letters, digits, . _ - and single slashes between them, at most %d", o->prefix,
                       OBJECT_NAME_MAX);
    struct open_call c = { .o = o };
    TRY(rt_offload(open_http, &c));
    struct s3 *s = calloc(1, sizeof *s + rt_cores() * sizeof s->cores[0]);
    ASSERT(s != NULL);
    s->store = (struct object_store){ put,       get_range, head,        list,       remove_object, parts_begin,
                                      parts_put, parts_end, parts_abort, parts_list, name_of,       close_store,
                                      reads_of(o->connections, rt_cores()) };
    s->http = c.http;
    s->prefix = calloc(1, prefix.n + 2);
    ASSERT(s->prefix != NULL);
    memcpy(s->prefix, prefix.p, prefix.n);
    if (prefix.n && prefix.p[prefix.n - 1] != '/') s->prefix[prefix.n] = '/';
    for (unsigned i = 0; i < rt_cores(); i++) {
        rt_sem_init(&s->cores[i].reads, reads_of(o->connections, rt_cores()));
        rt_sem_init(&s->cores[i].writes, WRITES);
    }
    *out = &s->store;
    return OK;
}
