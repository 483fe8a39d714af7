/* An OTLP exponential histogram point as a native histogram. Bucket i of scale s is (b^i, b^(i+1)] there and
 * (b^(i-1), b^i] here, with b = 2^(2^-s): indexes move by one. A scale above 8 is merged down (pairs of buckets
 * for each step). */
#ifndef SERVER_INGEST_EXP_HIST_H
#define SERVER_INGEST_EXP_HIST_H

#include "server/ingest/otlp_view.h"
#include "storage/nhist.h"

/* ERR_INVALID: the scale is below -4, or there are too many buckets. */
MUST_CHECK err_t exp_hist(const struct otlp_point *pt, struct arena *a, const struct nhist **out);

#endif
