/**
 * The server side of the shop, service `storefront`: traces, metrics and logs over OTLP (protobuf over HTTP). The SDK reads
 * OTEL_EXPORTER_OTLP_ENDPOINT itself.
 */
import { randomUUID } from 'node:crypto';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { PinoInstrumentation } from '@opentelemetry/instrumentation-pino';
import { RuntimeNodeInstrumentation } from '@opentelemetry/instrumentation-runtime-node';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace';
import packageJson from '../package.json';
import { UpperCaseSeverity } from './severity';
import { NextRequests, requestsOnly } from './next-requests';

const DELAY_MS = 500; // a demo is watched live
const METRICS_MS = 5000;
const STOP_MS = 2000;

const sdk = new NodeSDK({
  resource: defaultResource().merge(resourceFromAttributes({
    'service.name': packageJson.name,
    'service.version': packageJson.version,
    'service.instance.id': randomUUID(),
    'deployment.environment.name': 'demo',
  })),
  resourceDetectors: [],
  sampler: requestsOnly,
  spanProcessors: [
    new NextRequests(),
    new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), scheduledDelayMillis: DELAY_MS }),
  ],
  metricReaders: [
    new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(), exportIntervalMillis: METRICS_MS }),
  ],
  logRecordProcessors: [
    new UpperCaseSeverity(),
    new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(), scheduledDelayMillis: DELAY_MS }),
  ],
  instrumentations: [
    // Next.js 14 makes spans of fetch() but sends no traceparent along; this one, below it, does both. Next's own are
    // switched off by NEXT_OTEL_FETCH_DISABLED=1, or each call would show twice.
    new UndiciInstrumentation({ ignoreRequestHook: (request) => isExport(request.origin) }),
    new PinoInstrumentation(), // trace_id and span_id in the lines on stdout, and the same lines over OTLP
    new RuntimeNodeInstrumentation(),
  ],
});
sdk.start();

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    setTimeout(() => process.exit(0), STOP_MS); // an exporter without a peer would try again for longer
    void sdk.shutdown().finally(() => process.exit(0));
  });
}

/** The exporters' own requests are not traced. */
function isExport(origin: string): boolean {
  return origin === new URL(process.env.OTEL_EXPORTER_OTLP_ENDPOINT ?? 'http://localhost:4318').origin;
}
