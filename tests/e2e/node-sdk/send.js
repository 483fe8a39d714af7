// Sends the three signals of one small request through each protocol, plain and gzipped, with OpenTelemetry's
// JavaScript SDK; prints {"service": {"trace": ..., "span": ...}}. Usage: node send.js OTLP_HTTP_URL OTLP_GRPC_URL
'use strict';
const { SpanKind, SpanStatusCode, context, trace } = require('@opentelemetry/api');
const { SeverityNumber } = require('@opentelemetry/api-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { AggregationType, MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { BatchLogRecordProcessor, LoggerProvider } = require('@opentelemetry/sdk-logs');
const { CompressionAlgorithm } = require('@opentelemetry/otlp-exporter-base');

const [http, grpc] = process.argv.slice(2);
const exporters = {
  json: ['http', 'http'],
  proto: ['proto', 'http'],
  grpc: ['grpc', 'grpc'],
};

function exportersOf(protocol, compression) {
  const kind = exporters[protocol][0];
  const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${kind}`);
  const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${kind}`);
  const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${kind}`);
  const to = (path) => ({ url: kind === 'grpc' ? grpc : http + path, compression });
  return [new OTLPTraceExporter(to('/v1/traces')), new OTLPMetricExporter(to('/v1/metrics')),
    new OTLPLogExporter(to('/v1/logs'))];
}

async function send(service, protocol, compression) {
  const [spans, metrics, logs] = exportersOf(protocol, compression);
  const resource = resourceFromAttributes({ 'service.name': service, 'process.pid': process.pid, 'tags': ['a', 'b'] });
  const tracing = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(spans)] });
  const meters = new MeterProvider({
    resource,
    readers: [new PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: 3600e3 })],
    views: [{ instrumentName: 'order.exact', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  });
  const loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: logs })] });

  const tracer = tracing.getTracer('shop', '1.2.3');
  const root = tracer.startSpan('checkout', { kind: SpanKind.SERVER, attributes: { 'cart.items': 3, 'ratio': 0.5, 'list': [1, 2] } });
  const inside = trace.setSpan(context.active(), root);
  const child = tracer.startSpan('charge', { kind: SpanKind.CLIENT, links: [{ context: root.spanContext() }] }, inside);
  child.recordException(new Error('card refused'));
  child.setStatus({ code: SpanStatusCode.ERROR, message: 'refused' });
  child.end();
  root.end();

  const meter = meters.getMeter('shop');
  meter.createCounter('orders').add(5, { kind: 'book' });
  meter.createUpDownCounter('queue').add(-2);
  for (const v of [0.01, 0.2, 3]) {
    meter.createHistogram('order.duration', { unit: 's' }).record(v);
    meter.createHistogram('order.exact', { unit: 's' }).record(v);
  }
  meter.createObservableGauge('heap', { unit: 'By' }).addCallback((r) => r.observe(1e9));

  loggers.getLogger('shop').emit({
    severityNumber: SeverityNumber.WARN, severityText: 'WARN', body: 'card refused ünïcode', context: inside,
    attributes: { gateway: 'sandbox', nested: { deep: [1, 'two', true] } },
  });
  for (const p of [tracing, meters, loggers]) {
    await p.forceFlush();
    await p.shutdown();
  }
  const id = root.spanContext();
  return { trace: id.traceId, span: id.spanId };
}

async function main() {
  const sent = {};
  for (const protocol of Object.keys(exporters))
    for (const compression of [CompressionAlgorithm.NONE, CompressionAlgorithm.GZIP]) {
      const service = `js-${protocol}-${compression}`;
      sent[service] = await send(service, protocol, compression);
    }
  console.log(JSON.stringify(sent));
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
