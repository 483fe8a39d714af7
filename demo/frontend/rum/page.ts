/**
 * Which page a record belongs to: `url.template`, the route with its parameters named and so with few values, `url.path` on
 * events, and `browser.document.url.full`, the address in full.
 */
import { SpanKind } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import type { LogRecordProcessor, SdkLogRecord } from '@opentelemetry/sdk-logs';
import type { Span, SpanProcessor } from '@opentelemetry/sdk-trace';

const PARAMETERS: [RegExp, string][] = [[/^\/products\/[^/]+$/, '/products/[id]']];

export interface Page {
  'url.template': string;
  'url.path': string;
  'browser.document.url.full': string;
  [name: string]: string;
}

export function pageOf(url: Location | URL): Page {
  const route = PARAMETERS.find(([pattern]) => pattern.test(url.pathname))?.[1];
  return {
    'url.template': route ?? url.pathname,
    'url.path': url.pathname,
    'browser.document.url.full': url.href,
  };
}

/** Events: the page they happened on, unless they say another; and their severity in words, by which logs are searched. */
export class PageLogs implements LogRecordProcessor {
  onEmit(record: SdkLogRecord) {
    record.severityText ??= SeverityNumber[record.severityNumber ?? SeverityNumber.INFO];
    for (const [name, value] of Object.entries(pageOf(location))) {
      if (record.attributes[name] === undefined) record.setAttribute(name, value);
    }
  }
  async forceFlush() {}
  async shutdown() {}
}

/** Spans: the page they began on. A span of a request has its target in `url.full`, and is named by the target's route. */
export class PageSpans implements SpanProcessor {
  onStart(span: Span) {
    const { 'url.path': _, ...page } = pageOf(location);
    span.setAttributes(page);
  }
  onEnding(span: Span) {
    const { 'url.full': target, 'http.request.method': method } = span.attributes;
    if (span.kind === SpanKind.CLIENT && target) span.updateName(`${method} ${pageOf(new URL(String(target)))['url.template']}`);
  }
  onEnd() {}
  async forceFlush() {}
  async shutdown() {}
}
