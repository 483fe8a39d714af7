/* What our own APIs on port 3000 share: the query of one request, parameters, the form of errors ({"error": "..."}). */
#ifndef SERVER_API_NATIVE_H
#define SERVER_API_NATIVE_H

#include "base/core/json_out.h"
#include "base/net/http_server.h"
#include "query/query.h"

struct delete_tasks;
struct native_ctx {
    struct store *store;
    struct cluster *cluster;    /* NULL: this node is all there is */
    struct budget *budget;      /* of all queries */
    int64_t query_bytes_max;    /* of one */
    int64_t timeout_ns;
    struct delete_tasks *tasks;
    bool deletes;               /* may requests delete? */
};
void native_on_error(const struct http_request *rq, int status, err_t code, const char *detail, struct http_response *rs);

struct native_run { /* one request's query */
    struct query q;
    struct budget budget;
    struct arena arena;
};
void native_begin(struct native_run *r, struct http_request *rq);
void native_end(struct native_run *r);

/* ERR_INVALID when the request has a parameter that is not among `names`, or one of them twice: a mistyped name must not
 * change the answer quietly. */
MUST_CHECK err_t native_params(struct http_request *rq, const char *const *names, uint32_t n);
/* False when absent or empty. */
bool native_param(struct http_request *rq, const char *name, struct str *v);
/* A time as Prometheus takes it: unix seconds with a fraction, or RFC 3339. */
MUST_CHECK err_t native_time(const char *name, struct str text, int64_t *ns);
/* start and end: both, or none for *given false. end > start. */
MUST_CHECK err_t native_window(struct http_request *rq, int64_t *start_ns, int64_t *end_ns, bool *given);
MUST_CHECK err_t native_count(struct http_request *rq, const char *name, uint32_t def, uint32_t min, uint32_t max, uint32_t *out);

/* Unix seconds; milliseconds of ns; six significant digits, or null for NaN. */
void native_json_seconds(struct json_out *j, const char *key, int64_t ns);
void native_json_number(struct json_out *j, double v);
/* "partial" and, when there are any, "warnings". */
enum { NATIVE_WARNINGS_MAX = 8 };
struct native_warnings {
    uint32_t n;
    struct str text[NATIVE_WARNINGS_MAX];
};
void native_warn(struct native_warnings *w, struct str text);
void native_json_warnings(struct json_out *j, const struct native_warnings *w);

#endif
