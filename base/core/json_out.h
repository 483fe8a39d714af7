/* A JSON writer onto a struct buf. It places commas; nesting is the caller's. Keys and values are
 * escaped; invalid UTF-8 becomes U+FFFD, so that an answer is always valid JSON. */
#ifndef BASE_CORE_JSON_OUT_H
#define BASE_CORE_JSON_OUT_H

#include "base/core/buf.h"

struct json_out {
    struct buf *b;
    bool comma; /* the next element needs a comma before it */
};

void json_init(struct json_out *j, struct buf *b);
void json_obj(struct json_out *j); /* { */
void json_obj_end(struct json_out *j);
void json_arr(struct json_out *j); /* [ */
void json_arr_end(struct json_out *j);
void json_key(struct json_out *j, struct str key);
#define json_keyz(j, z) json_key((j), str_of(z))
void json_str(struct json_out *j, struct str s);
#define json_z(j, z) json_str((j), str_of(z))
void json_i64(struct json_out *j, int64_t v);
void json_u64(struct json_out *j, uint64_t v);
/* Shortest form that reads back to the same double; NaN and infinities are null (not JSON). */
void json_f64(struct json_out *j, double v);
void json_bool(struct json_out *j, bool v);
void json_null(struct json_out *j);
void json_raw(struct json_out *j, struct str json); /* text that is JSON already */
void json_i64_str(struct json_out *j, int64_t v);   /* "123": protobuf JSON's 64-bit form */
void json_hex(struct json_out *j, const uint8_t *bytes, size_t n);
void json_base64(struct json_out *j, struct str bytes);

/* Shortest decimal that reads back to v, as strtod reads it ("%.17g" at worst); at most 32 bytes. */
size_t f64_shortest(double v, char out[32]);

#endif
