/* What the three OTLP/JSON walkers share. The encoding is proto3's JSON mapping with OTLP's exceptions: ids are hex (any
 * case), enums are numbers; we also take enum names, snake_case keys, and 64-bit integers as numbers or strings.
 * Unknown fields and nulls are ignored. A field of a wrong kind refuses the request and is named. */
#ifndef SERVER_INGEST_OTLP_JSON_H
#define SERVER_INGEST_OTLP_JSON_H

#include "server/ingest/otlp_view.h"
#include "storage/json_in.h"

struct otlp_json {
    struct arena *arena;
    const struct otlp_sink *sink;
};

/* Is the member v the field of that lowerCamelCase name (or its snake_case form), and not null? */
bool oj_is(const struct json_val *v, const char *camel);
MUST_CHECK err_t oj_expect(const struct json_val *v, enum json_type type, const char *what);
MUST_CHECK err_t oj_str(const struct json_val *v, struct str *out);
MUST_CHECK err_t oj_bool(const struct json_val *v, bool *out);
MUST_CHECK err_t oj_i64(const struct json_val *v, int64_t *out);
MUST_CHECK err_t oj_u64(const struct json_val *v, uint64_t *out);
MUST_CHECK err_t oj_u32(const struct json_val *v, uint32_t *out);
MUST_CHECK err_t oj_f64(const struct json_val *v, double *out);
/* A number, or one of names[0..n), or its last piece behind `prefix`; unknown names are 0. */
MUST_CHECK err_t oj_enum(const struct json_val *v, const char *prefix, const char *const *names, int n, int32_t *out);
/* Hex to bytes. What is not hex becomes an id of one byte: no valid id, so that the row's own rule applies. */
MUST_CHECK err_t oj_id(const struct json_val *v, struct arena *a, struct str *out);
MUST_CHECK err_t oj_value(const struct json_val *v, struct arena *a, struct otlp_value *out);
MUST_CHECK err_t oj_attrs(const struct json_val *v, struct arena *a, struct otlp_attrs *out); /* keeps out->dropped */

/* The skeleton of all three requests; names as in otlp_wire.h's shape. */
struct oj_shape {
    const char *resources, *scopes, *rows; /* "resourceSpans", "scopeSpans", "spans" */
    err_t (*row)(const struct otlp_json *j, const struct json_val *v);
};
MUST_CHECK err_t oj_walk(struct str request, struct arena *a, const struct otlp_sink *sink, const struct oj_shape *shape);

#endif
