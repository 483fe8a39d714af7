/* How OTLP metrics become series: what Prometheus' `otlp:` section sets (its docs/configuration), by the same names.
 *
 *   translation_strategy   UnderscoreEscapingWithSuffixes     http.server.duration, s -> http_server_duration_seconds
 *                          UnderscoreEscapingWithoutSuffixes  -> http_server_duration
 *                          NoUTF8EscapingWithSuffixes         -> http.server.duration_seconds
 *                          NoTranslation                      -> http.server.duration
 *   The _bucket, _count and _sum of a histogram are part of its form, and always there. Names of labels are escaped where those of metrics are. */
#ifndef SERVER_INGEST_OTLP_MAPPING_H
#define SERVER_INGEST_OTLP_MAPPING_H

#include "base/core/arena.h"

struct otlp_mapping {
    bool escape, suffixes;
    bool promote_all;            /* all resource attributes become labels of every series, but those of `ignore` */
    const struct str *promote;   /* or these */
    uint32_t npromote;
    const struct str *ignore;
    uint32_t nignore;
    bool keep_identifying;       /* service.name, service.namespace and service.instance.id are on target_info, too */
    bool promote_scope;          /* otel_scope_name, _version, _schema_url and otel_scope_<attribute> */
    bool nhcb;                   /* explicit histograms become native ones with custom bounds */
};

enum { OTLP_PROMOTE_MAX = 64 }; /* names in a list */
/* As config.def's otlp.* give it; lists are comma-separated, and copied into the arena. ERR_INVALID names what is wrong. */
struct otlp_mapping_text {
    struct str strategy, promote, ignore;
    bool promote_all, keep_identifying, promote_scope, nhcb;
};
MUST_CHECK err_t otlp_mapping_read(const struct otlp_mapping_text *t, struct arena *a, struct otlp_mapping *out);
/* Prometheus' defaults: escaped, with suffixes, nothing promoted. */
extern const struct otlp_mapping OTLP_MAPPING_DEFAULT;
/* Is the resource attribute to be a label of every series? */
bool otlp_promoted(const struct otlp_mapping *m, struct str key);

#endif
