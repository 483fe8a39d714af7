"""Prometheus' protobuf messages (prompb/types.proto, prompb/remote.proto, io/prometheus/client/metrics.proto), as far as tests use
them, made from a table: real encoders and decoders without generated files."""
import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
KINDS = {"double": F.TYPE_DOUBLE, "int64": F.TYPE_INT64, "uint64": F.TYPE_UINT64, "uint32": F.TYPE_UINT32, "sint32": F.TYPE_SINT32,
         "sint64": F.TYPE_SINT64, "string": F.TYPE_STRING, "bytes": F.TYPE_BYTES, "enum": F.TYPE_UINT64}
TABLE = """
Label: string name 1, string value 2
Sample: double value 1, int64 timestamp 2
BucketSpan: sint32 offset 1, uint32 length 2
Histogram: uint64 count_int 1, double count_float 2, double sum 3, sint32 schema 4, double zero_threshold 5, uint64 zero_count_int 6,
  double zero_count_float 7, *BucketSpan negative_spans 8, *sint64 negative_deltas 9, *double negative_counts 10,
  *BucketSpan positive_spans 11, *sint64 positive_deltas 12, *double positive_counts 13, enum reset_hint 14, int64 timestamp 15,
  *double custom_values 16
TimeSeries: *Label labels 1, *Sample samples 2, *Histogram histograms 4
Metadata: enum type 1, string metric_family_name 2, string help 4, string unit 5
WriteRequest: *TimeSeries timeseries 1, *Metadata metadata 3
LabelMatcher: enum type 1, string name 2, string value 3
Query: int64 start_timestamp_ms 1, int64 end_timestamp_ms 2, *LabelMatcher matchers 3
ReadRequest: *Query queries 1, *enum accepted_response_types 2
QueryResult: *TimeSeries timeseries 1
ReadResponse: *QueryResult results 1
Untyped: double value 1
Bucket: uint64 cumulative_count 1, double upper_bound 2
ClientHistogram: uint64 sample_count 1, double sample_sum 2, *Bucket bucket 3, double sample_count_float 4, sint32 schema 5,
  double zero_threshold 6, uint64 zero_count 7, *BucketSpan positive_span 12, *sint64 positive_delta 13, *double positive_count 14
Metric: *Label label 1, Untyped untyped 5, int64 timestamp_ms 6, ClientHistogram histogram 7
MetricFamily: string name 1, enum type 3, *Metric metric 4
"""


def build():
    file = descriptor_pb2.FileDescriptorProto(name="tercet_tests.proto", package="t", syntax="proto3")
    for line in TABLE.replace("\n  ", " ").strip().splitlines():
        name, fields = line.split(": ")
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            kind, field_name, number = field.split()
            f = message.field.add(name=field_name, number=int(number),
                                  label=F.LABEL_REPEATED if kind[0] == "*" else F.LABEL_OPTIONAL)
            kind = kind.lstrip("*")
            f.type = KINDS.get(kind, F.TYPE_MESSAGE)
            if kind not in KINDS:
                f.type_name = ".t." + kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {m.name: message_factory.GetMessageClass(pool.FindMessageTypeByName("t." + m.name)) for m in file.message_type}


globals().update(build())


def labels(**kw):
    return [globals()["Label"](name=k, value=v) for k, v in sorted(kw.items())]


def write_request(series, metadata=()):
    """A body of remote write 1.0: series as [({label: value}, [(t, v)])], metadata as [dict of fields]."""
    rq = globals()["WriteRequest"]()
    for names, samples in series:
        one = rq.timeseries.add(labels=labels(**names))
        for t, v in samples:
            one.samples.add(timestamp=t, value=v)
    for fields in metadata:
        rq.metadata.add(**fields)
    return snappy(rq)


def snappy(message):
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def unsnappy(data):
    return bytes(cramjam.snappy.decompress_raw(data))
