/* The configurations of the OpenTelemetry indexes, as Quickwit 0.9 describes them to its clients. Phrases work in
 * every text here, whatever `record` says. */
#include "query/logs/mapping.h"

#define RAW_FAST(name) "{\"name\":\"" name "\",\"type\":\"text\",\"tokenizer\":\"raw\",\"fast\":true}"
#define STORED_U64(name) "{\"name\":\"" name "\",\"type\":\"u64\",\"indexed\":false}"
#define FAST_U64(name) "{\"name\":\"" name "\",\"type\":\"u64\",\"fast\":true}"
#define JSON_RAW(name) "{\"name\":\"" name "\",\"type\":\"json\",\"tokenizer\":\"raw\",\"fast\":true}"
#define HEX_ID(name) "{\"name\":\"" name "\",\"type\":\"bytes\",\"input_format\":\"hex\",\"output_format\":\"hex\",\"fast\":true}"
#define TIME(name, more)                                                                           \
    "{\"name\":\"" name "\",\"type\":\"datetime\",\"input_formats\":[\"unix_timestamp\"],"         \
    "\"output_format\":\"unix_timestamp_nanos\"" more "}"
#define SCOPE_FIELDS                                                                               \
    "{\"name\":\"scope_name\",\"type\":\"text\",\"indexed\":false},"                              \
    "{\"name\":\"scope_version\",\"type\":\"text\",\"indexed\":false},"                           \
    "{\"name\":\"scope_attributes\",\"type\":\"json\",\"indexed\":false}," STORED_U64("scope_dropped_attributes_count")
#define SETTINGS                                                                                   \
    "\"indexing_settings\":{\"commit_timeout_secs\":5},\"ingest_settings\":{},\"retention\":null"

static const char otel_logs[] =
    "{\"version\":\"0.9\",\"index_id\":\"" INDEX_OTEL_LOGS "\",\"index_uri\":\"tercet://" INDEX_OTEL_LOGS "\","
    "\"doc_mapping\":{\"mode\":\"strict\",\"timestamp_field\":\"timestamp_nanos\",\"tag_fields\":[],\"field_mappings\":["
    TIME("timestamp_nanos", ",\"indexed\":false,\"fast\":true,\"fast_precision\":\"milliseconds\"") ","
    TIME("observed_timestamp_nanos", "") ","
    RAW_FAST("service_name") "," RAW_FAST("severity_text") "," FAST_U64("severity_number") ","
    "{\"name\":\"body\",\"type\":\"json\",\"tokenizer\":\"default\",\"record\":\"position\"},"
    JSON_RAW("attributes") "," STORED_U64("dropped_attributes_count") ","
    HEX_ID("trace_id") "," HEX_ID("span_id") "," STORED_U64("trace_flags") ","
    JSON_RAW("resource_attributes") "," STORED_U64("resource_dropped_attributes_count") ","
    RAW_FAST("event_name") "," SCOPE_FIELDS
    "]}," SETTINGS ",\"search_settings\":{\"default_search_fields\":[\"body.message\"]}}";

static const char otel_traces[] =
    "{\"version\":\"0.9\",\"index_id\":\"" INDEX_OTEL_TRACES "\",\"index_uri\":\"tercet://" INDEX_OTEL_TRACES "\","
    "\"doc_mapping\":{\"mode\":\"strict\",\"timestamp_field\":\"span_start_timestamp_nanos\",\"tag_fields\":[],"
    "\"field_mappings\":["
    HEX_ID("trace_id") ",{\"name\":\"trace_state\",\"type\":\"text\",\"indexed\":false}," RAW_FAST("service_name") ","
    JSON_RAW("resource_attributes") "," STORED_U64("resource_dropped_attributes_count") "," SCOPE_FIELDS ","
    HEX_ID("span_id") "," FAST_U64("span_kind") "," RAW_FAST("span_name") ","
    TIME("span_start_timestamp_nanos", ",\"indexed\":false,\"fast\":true,\"fast_precision\":\"milliseconds\"") ","
    TIME("span_end_timestamp_nanos", ",\"indexed\":false") ","
    FAST_U64("span_duration_millis") "," JSON_RAW("span_attributes") ","
    STORED_U64("span_dropped_attributes_count") "," STORED_U64("span_dropped_events_count") ","
    STORED_U64("span_dropped_links_count") ",{\"name\":\"span_status\",\"type\":\"json\"},"
    HEX_ID("parent_span_id") ",{\"name\":\"is_root\",\"type\":\"bool\",\"stored\":false},"
    "{\"name\":\"events\",\"type\":\"array<json>\",\"tokenizer\":\"raw\",\"fast\":true},"
    "{\"name\":\"event_names\",\"type\":\"array<text>\",\"tokenizer\":\"default\",\"record\":\"position\",\"stored\":false},"
    "{\"name\":\"links\",\"type\":\"array<json>\",\"tokenizer\":\"raw\"}"
    "]}," SETTINGS ",\"search_settings\":{\"default_search_fields\":[\"service_name\",\"span_name\",\"event_names\"]}}";

struct str mapping_otel_logs(void) { return (struct str){ otel_logs, sizeof otel_logs - 1 }; }
struct str mapping_otel_traces(void) { return (struct str){ otel_traces, sizeof otel_traces - 1 }; }
