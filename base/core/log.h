/* The program's log: logfmt lines on stderr. A line is a level, a stable event name, and key=value pairs
 * made with the format; secrets are never formatted. Each call site is rate-limited (at most 20 lines a
 * second, then a count of what was left out). Callable from any thread; never blocks on more than stderr.
 * The last 4,096 lines a process, also those below the level, are kept and printed on a failed assertion. */
#ifndef BASE_CORE_LOG_H
#define BASE_CORE_LOG_H

#include "base/core/err.h"
#include "base/core/types.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_site { /* one static a call site */
    int64_t second;
    unsigned count, dropped;
};

void log_init(enum log_level min, bool json);
void log_emit(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
    PRINTF(4, 5);

/* log_info("wal.open", "path=%s bytes=%zu", path, n) */
#define LOG_AT(level, event, ...)                                                                  \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        log_emit(&log_site_, (level), (event), __VA_ARGS__);                                       \
    } while (0)
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, __VA_ARGS__)

#endif
