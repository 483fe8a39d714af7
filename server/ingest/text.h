/* Strings from clients. Stored strings are UTF-8; ill-formed bytes are mended (U+FFFD each), never a reason to
 * refuse the row: telemetry with one bad byte is worth more than no telemetry. */
#ifndef SERVER_INGEST_TEXT_H
#define SERVER_INGEST_TEXT_H

#include "base/core/arena.h"

/* Well-formed as it stands? Plain ASCII is seen eight bytes at a time. */
static inline bool text_ok(struct str s)
{
    size_t i = 0;
    uint64_t high = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t v;
        memcpy(&v, s.p + i, 8);
        high |= v;
    }
    for (; i < s.n; i++)
        high |= (uint64_t)(uint8_t)s.p[i];
    return (high & UINT64_C(0x8080808080808080)) == 0 || str_utf8_valid(s);
}
struct str text_mend_slow(struct str s, struct arena *a);
/* s itself, or a copy in which every ill-formed byte is U+FFFD. */
static inline struct str text_mend(struct str s, struct arena *a)
{
    return text_ok(s) ? s : text_mend_slow(s, a);
}

/* Standard or URL-safe base64, padding optional. False on anything else. */
bool text_base64(struct str s, struct arena *a, struct str *out);

#endif
