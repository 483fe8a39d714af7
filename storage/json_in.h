/* JSON documents from outside: simdjson (json_in.cc) behind a C face. One parse gives a flat array of nodes in
 * document order; everything lives in the caller's arena. Whole-document validation: UTF-8, numbers, nesting
 * of at most 64, exactly one value. Bytes are hostile: every error is ERR_INVALID with simdjson's reason.
 *
 * Shape: a node is followed by its children; `span` counts the nodes of its subtree, itself included, so that the
 * next sibling is v + v->span. Integers keep their kind: JSON_I64 when it fits, JSON_U64 above INT64_MAX, and
 * JSON_F64 for everything written with a point or an exponent. */
#ifndef STORAGE_JSON_IN_H
#define STORAGE_JSON_IN_H

#include "base/core/arena.h"
#include "base/core/json_out.h"

enum { JSON_DEPTH_MAX = 64, JSON_TEXT_MAX = 64 << 20 };

enum json_type { JSON_NULL, JSON_BOOL, JSON_I64, JSON_U64, JSON_F64, JSON_STR, JSON_ARR, JSON_OBJ };

struct json_val {
    enum json_type type;
    uint32_t n;    /* JSON_ARR, JSON_OBJ: children */
    uint32_t span; /* nodes of this subtree, itself included */
    struct str key; /* of a member of an object; p == NULL elsewhere */
    union {
        bool boolean;
        int64_t i64;
        uint64_t u64;
        double f64;
        struct str str;
    };
};

/* Parses one document. `text` is borrowed only during the call. Memory is about 64 bytes a value. */
MUST_CHECK err_t json_parse(struct str text, struct arena *a, const struct json_val **out);

/* Children in order: JSON_EACH(c, v) { ... } with c declared by the caller; no children on scalars. */
#define JSON_EACH(c, v)                                                                            \
    for (uint32_t json_i_ = (((c) = (v) + 1), 0);                                                  \
         json_i_ < ((v)->type >= JSON_ARR ? (v)->n : 0); json_i_++, (c) += (c)->span)

/* The last member of that name (as most parsers have it), or NULL; also NULL when v is no object. */
const struct json_val *json_get(const struct json_val *v, const char *key);

static inline bool json_is_num(const struct json_val *v)
{
    return v->type == JSON_I64 || v->type == JSON_U64 || v->type == JSON_F64;
}
static inline double json_num(const struct json_val *v) /* of a number */
{
    return v->type == JSON_I64 ? (double)v->i64 : v->type == JSON_U64 ? (double)v->u64 : v->f64;
}
/* True when v is an integer that fits, or a double without a fraction that fits. */
bool json_to_i64(const struct json_val *v, int64_t *out);

/* Writes the value as compact JSON text; a JSON_F64 without a fraction keeps ".0". */
void json_val_write(const struct json_val *v, struct json_out *j);
struct str json_val_text(const struct json_val *v, struct arena *a);

#endif
