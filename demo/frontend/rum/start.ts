/**
 * The browser side of the shop, service `storefront-web`: spans of page loads and of calls, events (log records with a name)
 * of web vitals, navigations, clicks, errors and sessions, sent as OTLP/JSON straight to the node. README.md shows each
 * record as it is stored.
 */
import { ErrorsInstrumentation } from '@opentelemetry/browser-instrumentation/experimental/errors';
import { NavigationInstrumentation } from '@opentelemetry/browser-instrumentation/experimental/navigation';
import { NavigationTimingInstrumentation } from '@opentelemetry/browser-instrumentation/experimental/navigation-timing';
import { UserActionInstrumentation } from '@opentelemetry/browser-instrumentation/experimental/user-action';
import { WebVitalsInstrumentation } from '@opentelemetry/browser-instrumentation/experimental/web-vitals';
import { startLogsSdk } from '@opentelemetry/browser-sdk/logs';
import { createSessionLogRecordProcessor, createSessionSpanProcessor } from '@opentelemetry/browser-sdk/session';
import { startTracesSdk } from '@opentelemetry/browser-sdk/traces';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { DocumentLoadInstrumentation } from '@opentelemetry/instrumentation-document-load';
import { FetchInstrumentation } from '@opentelemetry/instrumentation-fetch';
import { browserDetector } from '@opentelemetry/opentelemetry-browser-detector';
import { detectResources } from '@opentelemetry/resources';
import type { BrowserConfig } from '@/lib/config';
import { PageLogs, PageSpans, pageOf } from './page';
import { sessions } from './session';

const BATCH = { scheduledDelayMillis: 1000 }; // and at once when the page is hidden: the processors see to that

export async function startRum(config: BrowserConfig) {
  const landed = pageOf(location);
  const resource = {
    serviceName: 'storefront-web',
    serviceVersion: '1.0.0',
    resourceAttributes: {
      ...detectResources({ detectors: [browserDetector] }).attributes,
      'deployment.environment.name': 'demo',
    },
    logLevel: 'WARN' as const,
    batchProcessorConfig: BATCH,
  };
  startTracesSdk({
    ...resource,
    exportConfig: { url: `${config.otlp}/v1/traces` },
    processors: [createSessionSpanProcessor(sessions), new PageSpans()],
  });
  startLogsSdk({
    ...resource,
    exportConfig: { url: `${config.otlp}/v1/logs` },
    processors: [createSessionLogRecordProcessor(sessions), new PageLogs()],
  });
  await sessions.start();

  const ours = Object.values(config.backends).map((url) => new RegExp(`^${url}/`));
  registerInstrumentations({
    instrumentations: [
      new ErrorsInstrumentation(),
      new NavigationInstrumentation(),
      new NavigationTimingInstrumentation(),
      new UserActionInstrumentation(),
      // A vital tells of a page load as a whole, so it belongs to the page that was loaded, wherever the visitor went since.
      new WebVitalsInstrumentation({
        applyCustomLogRecordData: (record) => {
          record.attributes = { ...record.attributes, ...landed };
        },
      }),
      new DocumentLoadInstrumentation(),
      new FetchInstrumentation({
        propagateTraceHeaderCorsUrls: ours,
        ignoreUrls: [new RegExp(`^${config.otlp}/`)],
        clearTimingResources: true,
      }),
    ],
  });
}
