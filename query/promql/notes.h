/* Warnings and infos of one query: distinct texts, each with the position of where it held last. */
#ifndef QUERY_PROMQL_NOTES_H
#define QUERY_PROMQL_NOTES_H

#include "base/core/arena.h"

enum pq_note_kind { PQ_WARN, PQ_INFO };
enum { PQ_NOTES_MAX = 256 };

struct pq_note {
    enum pq_note_kind kind;
    struct str text;        /* without prefix and position */
    uint32_t pos;           /* byte offset; UINT32_MAX = none */
    /* histogram_quantile's forced monotonicity is summed up: */
    bool forced;
    double min_bucket, max_bucket, max_diff;
    uint32_t forced_count;
    int64_t t_min, t_max;
};
struct pq_notes {
    struct arena *a;
    struct pq_note *notes;
    uint32_t n;
    size_t cap;
};
void pq_note(struct pq_notes *ns, enum pq_note_kind kind, uint32_t pos, const char *fmt, ...) PRINTF(4, 5);
void pq_note_forced(struct pq_notes *ns, uint32_t pos, struct str metric, int64_t t, double min_bucket,
                    double max_bucket, double max_diff);
/* A quantile outside 0..1, NaN included; nothing otherwise. */
void pq_note_quantile(struct pq_notes *ns, uint32_t pos, double q);
void pq_notes_merge(struct pq_notes *into, const struct pq_notes *from);
/* As the API prints it: "PromQL warning: ... (1:6)". */
struct str pq_note_text(struct arena *a, const struct pq_note *n, struct str query);
/* " for metric name \"x\"", or nothing. */
struct str pq_for_metric(struct arena *a, struct str name);

#endif
