/* Doubles as label values: the shortest decimal that reads back, never with an exponent (as OTLP's translation
 * to Prometheus writes le and quantile); "+Inf", "-Inf", "NaN". */
#ifndef SERVER_INGEST_FLOAT_TEXT_H
#define SERVER_INGEST_FLOAT_TEXT_H

#include "base/core/arena.h"

struct str float_text(double v, struct arena *a);

#endif
