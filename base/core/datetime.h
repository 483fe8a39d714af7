/* Points in time as text and back, in the proleptic Gregorian calendar, UTC, nanoseconds since 1970. */
#ifndef BASE_CORE_DATETIME_H
#define BASE_CORE_DATETIME_H

#include "base/core/str.h"

/* RFC 3339 ("2015-02-01T10:00:00.123456789Z", "+01:00", a space for T, no zone = UTC), or its beginnings:
 * a date alone, with - or /; hours and minutes without seconds. False on anything else or out of range
 * (years 1678 to 2261: what fits 64 bits of nanoseconds). */
bool datetime_parse(struct str s, int64_t *ns);
/* A unix time in seconds, milliseconds, microseconds or nanoseconds, told apart by its size as Quickwit does:
 * below 10^11 seconds, 10^14 milliseconds, 10^17 microseconds. */
int64_t datetime_from_number(int64_t n);
/* Either of the two. Decimal fractions of seconds are accepted. */
bool datetime_parse_any(struct str s, int64_t *ns);
/* A pattern of Java's DateTimeFormatter (y M d H m s S, 'text', X or Z for a zone) or one of the names
 * epoch_millis, epoch_second, strict_date_optional_time, date_optional_time; "a||b" tries one after another. */
bool datetime_parse_java(struct str s, struct str format, int64_t *ns);
/* strptime's %Y %m %d %H %M %S %f %z %Z %T %F %e %b %%, all UTC unless %z says otherwise. */
bool datetime_parse_strptime(struct str s, struct str format, int64_t *ns);

enum { DATETIME_TEXT_MAX = 40 };
/* "2015-02-01T10:00:00Z", with as many digits of the fraction as it has (0, 3, 6 or 9 of them). */
size_t datetime_format(int64_t ns, char out[DATETIME_TEXT_MAX]);

#endif
