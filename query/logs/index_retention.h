/* `retention` of an index configuration: {"period": "7 days", "schedule": "daily"}.
 *
 *   period   = one or more of number and unit, spaces between or not: "7 days", "1 week", "1h 30m". Units: s, m, h, d, w, M, y, and their words
 *              (sec, minutes, hr, day, wk, months, yr, ...); a month has 30.44 days, a year 365.25
 *   schedule = hourly (when it is absent), daily, weekly, monthly, yearly, with or without "@", or a cron expression of six
 *              or seven fields, seconds first
 * What is too old is not seen from then on, whatever the schedule, which is checked and shown only. Texts of errors begin as
 * Quickwit's do. */
#ifndef QUERY_LOGS_INDEX_RETENTION_H
#define QUERY_LOGS_INDEX_RETENTION_H

#include "storage/json_in.h"

#define INDEX_RETENTION_SCHEDULE "hourly"

/* null: *period_ns = 0, there is none. */
MUST_CHECK err_t index_retention_parse(const struct json_val *v, int64_t *period_ns);

#endif
