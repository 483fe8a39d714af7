/* Between json_in.c and json_in.cc only: simdjson's parsed document as a stream of events, in plain types that
 * both languages read. */
#ifndef STORAGE_JSON_DOM_H
#define STORAGE_JSON_DOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers of enum json_type in json_in.h. */
enum json_dom_kind { DOM_NULL, DOM_BOOL, DOM_I64, DOM_U64, DOM_F64, DOM_STR, DOM_ARR, DOM_OBJ, DOM_END };

struct json_dom_event { /* strings live until the walk returns */
    enum json_dom_kind kind; /* DOM_END closes the innermost container */
    const char *key;         /* NULL outside objects */
    size_t key_n;
    const char *s;
    size_t s_n;
    int64_t i;
    uint64_t u;
    double d;
    bool b;
};

/* Parses the text with at most depth_max levels and tells every value in document order until on() answers
 * false. NULL, or the reason of the refusal (static text). */
const char *json_dom_walk(const char *text, size_t n, unsigned depth_max,
                          bool (*on)(void *ctx, const struct json_dom_event *e), void *ctx);

#ifdef __cplusplus
}
#endif

#endif
