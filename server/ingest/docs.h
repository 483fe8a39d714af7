/* JSON documents of a user's index: ndjson ingest and Elasticsearch's _bulk.
 *
 * A document is one JSON object. Its text stays as it is in `source`. Its leaves become columns by dotted path
 * ({"a":{"b":1}} is a.b): integers I64 (above INT64_MAX: F64), other numbers F64, booleans BOOL, strings STR, arrays
 * JSON text; null and empty objects are absent. What the mapping declares is checked and stored in its type:
 * text and ip STR, i64/u64 I64, f64 F64, bool BOOL, datetime I64 (unix ns), bytes STR; numbers and booleans
 * given as strings are taken ("coerce"). A declared field of the wrong kind rejects the document.
 * `time` is the index's timestamp field, which is not repeated as a leaf and which every document must have; where
 * the index has none, the arrival. */
#ifndef SERVER_INGEST_DOCS_H
#define SERVER_INGEST_DOCS_H

#include "base/core/arena.h"
#include "base/core/buf.h"
#include "storage/batch.h"

struct json_val;

enum doc_mode { DOC_DYNAMIC, DOC_LENIENT, DOC_STRICT }; /* fields that are not declared: keep, leave out, reject */

enum doc_type { DOC_TEXT, DOC_I64, DOC_U64, DOC_F64, DOC_BOOL, DOC_DATETIME, DOC_IP, DOC_BYTES, DOC_JSON };

enum { /* input formats of a datetime; 0 and no patterns = rfc3339 and unix_timestamp */
    DOC_TIME_RFC3339 = 1,        /* and iso8601 */
    DOC_TIME_UNIX = 2,           /* a number: seconds, ms, us or ns, told apart by its size; fractions are seconds */
    DOC_TIME_RFC2822 = 4,
};

struct doc_field {
    struct str path; /* dotted */
    enum doc_type type;
    bool array;
    /* DOC_DATETIME: */
    unsigned time_formats;
    const struct str *time_patterns; /* strptime patterns, tried last */
    uint32_t ntime_patterns;
};

struct doc_mapping { /* of an index; lent by the registry until the ingest call returns */
    enum doc_mode mode;
    struct str timestamp_field; /* a declared DOC_DATETIME field; n == 0: none */
    const struct doc_field *fields;
    uint32_t nfields;
    bool document_size; /* keep each document's length in bytes as the leaf _doc_length */
    struct str stored; /* the index id that its rows carry, when it is not the name itself */
};

enum { DOC_BYTES_MAX = 20 << 20, DOC_LEAVES_MAX = 1000, DOC_FAILURES_MAX = 100 };

/* -- pure part ------------------------------------------------------------------------------------- */
struct docs_builder {
    struct arena *arena;  /* the request's */
    struct arena scratch; /* reset for each document */
    struct budget *budget;
    const struct doc_mapping *mapping;
    unix_ns now;
    struct table **tables;
    uint32_t ntables;
    size_t tables_cap;
    struct table_builder *builder;
    uint64_t accepted;
    /* own: the document */
    char path[TABLE_NAME_MAX];
    size_t path_n;
    uint32_t leaves;
    bool timed;
};
void docs_builder_init(struct docs_builder *b, const struct doc_mapping *m, struct arena *a, struct budget *budget,
                       unix_ns now);
/* One document. ERR_INVALID: it is refused and the builder goes on; other errors end the request. */
MUST_CHECK err_t docs_builder_add(struct docs_builder *b, struct str json);
MUST_CHECK err_t docs_builder_finish(struct docs_builder *b);
void docs_builder_deinit(struct docs_builder *b);

/* A datetime value in one of the field's formats (f == NULL: the default ones), as unix ns. */
MUST_CHECK err_t doc_time(const struct json_val *v, const struct doc_field *f, int64_t *ns);

#endif
