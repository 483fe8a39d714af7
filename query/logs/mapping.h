/* The configuration of an index: which fields documents have, how they are read and searched. It is written by
 * users as JSON (Quickwit's index config, versions 0.7 to 0.9) and kept as they wrote it, with defaults filled in.
 * The two OpenTelemetry indexes have configurations of the same form, built in. */
#ifndef QUERY_LOGS_MAPPING_H
#define QUERY_LOGS_MAPPING_H

#include "storage/json_in.h"

enum { MAPPING_FIELDS_MAX = 2000, INDEX_ID_MIN = 3, INDEX_ID_MAX = 255 };
#define INDEX_OTEL_LOGS   "otel-logs-v0_9"
#define INDEX_OTEL_TRACES "otel-traces-v0_9"

enum field_type { FT_TEXT, FT_I64, FT_U64, FT_F64, FT_BOOL, FT_DATETIME, FT_IP, FT_BYTES, FT_JSON, FT_CONCAT };
enum tokenizer { TOK_RAW, TOK_LOWERCASE, TOK_DEFAULT, TOK_WHITESPACE };
enum mapping_mode { MODE_DYNAMIC, MODE_LENIENT, MODE_STRICT };

struct index_field {
    struct str path;          /* dotted, from the root */
    enum field_type type;
    bool array, stored, indexed, fast;
    bool fast_lower;          /* fast: {normalizer: lowercase} */
    bool positions;
    enum tokenizer tokenizer; /* FT_TEXT, FT_JSON, FT_CONCAT */
    /* FT_DATETIME */
    const struct str *input_formats; /* rfc3339, unix_timestamp, iso8601, rfc2822, or strptime patterns */
    uint32_t ninput_formats;
    struct str output_format; /* rfc3339, unix_timestamp_{secs,millis,micros,nanos}, strptime pattern */
    int64_t precision_ns;     /* fast_precision as written; 0 = not given */
    /* FT_CONCAT */
    const struct str *concat;
    uint32_t nconcat;
    bool concat_dynamic;      /* include_dynamic_fields */
};

struct index_mapping {
    enum mapping_mode mode;
    const struct index_field *fields; /* objects flattened to dotted paths */
    uint32_t nfields;
    const struct str *objects;      /* paths of type object */
    uint32_t nobjects;
    struct str timestamp_field;     /* empty: none */
    struct index_field dynamic;       /* how fields are read that nothing describes (MODE_DYNAMIC) */
    const struct str *default_fields; /* search_settings.default_search_fields */
    uint32_t ndefault_fields;
    bool store_document_size, index_field_presence;
};

struct index_config {
    struct str index_id;
    struct index_mapping mapping;
    int64_t retention_ns;        /* 0: it has none */
    const struct json_val *json; /* the whole configuration */
};

/* Parses and checks a configuration. ERR_INVALID names the field or setting that is wrong. */
MUST_CHECK err_t index_config_parse(struct str json, struct arena *a, struct index_config *out);
/* [a-zA-Z][a-zA-Z0-9-_.]{2,254} */
MUST_CHECK err_t index_id_check(struct str id);
/* The field at that path, or the FT_JSON field that holds it (*rest = what follows inside); NULL = not described. */
const struct index_field *mapping_field(const struct index_mapping *m, struct str path, struct str *rest);
/* Configurations of the OpenTelemetry indexes, as JSON text. */
struct str mapping_otel_logs(void);
struct str mapping_otel_traces(void);

#endif
