/**
 * Next.js makes a span of each request by itself, under the names that the HTTP conventions had before they were stable.
 * Here that span gets the stable names, and its duration goes into the histogram `http.server.request.duration`.
 */
import { metrics, SpanStatusCode, type Attributes, type Context, type Histogram } from '@opentelemetry/api';
import {
  ParentBasedSampler,
  SamplingDecision,
  type ReadableSpan,
  type Sampler,
  type Span,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace';

const REQUEST = 'BaseServer.handleRequest';
const STABLE: Record<string, string> = {
  'http.method': 'http.request.method',
  'http.status_code': 'http.response.status_code',
};
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

export class NextRequests implements SpanProcessor {
  private duration?: Histogram;

  onStart(_span: Span, _parent: Context) {}

  onEnding(span: Span) {
    if (!isRequest(span)) return;
    const stable: Attributes = { 'url.scheme': 'http', 'network.protocol.version': '1.1' };
    for (const [old, name] of Object.entries(STABLE)) stable[name] = span.attributes[old];
    const route = String(span.attributes['next.route'] ?? '').replace(/\/(page|route)$/, '') || '/'; // Next.js adds the file's name
    if (span.attributes['next.route'] !== undefined) {
      stable['http.route'] = route;
      span.updateName(`${span.attributes['http.method']} ${route}`);
    }
    const target = String(span.attributes['http.target'] ?? '/');
    const [path, query] = target.split('?', 2);
    stable['url.path'] = path;
    if (query) stable['url.query'] = query;
    const status = Number(span.attributes['http.status_code']);
    if (status >= 500) {
      stable['error.type'] = String(status);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.setAttributes(stable);
  }

  onEnd(span: ReadableSpan) {
    if (!isRequest(span)) return;
    const labels: Attributes = {};
    for (const name of ['http.request.method', 'http.response.status_code', 'http.route', 'url.scheme', 'error.type']) {
      if (span.attributes[name] !== undefined) labels[name] = span.attributes[name];
    }
    // The meter is asked for late: the provider of metrics is registered after the one of traces.
    this.duration ??= metrics.getMeter('next.js').createHistogram('http.server.request.duration', {
      unit: 's',
      description: 'Duration of HTTP server requests.',
      advice: { explicitBucketBoundaries: SECONDS },
    });
    this.duration.record(span.duration[0] + span.duration[1] / 1e9, labels);
  }

  async forceFlush() {}
  async shutdown() {}
}

function isRequest(span: ReadableSpan): boolean {
  return span.attributes['next.span_type'] === REQUEST;
}

/** Files of the build are no requests worth a trace; a page or a call is, and what belongs to a trace stays in it. */
const withoutFiles: Sampler = {
  shouldSample(_context, _traceId, _name, _kind, attributes) {
    const target = String(attributes['http.target'] ?? '');
    const file = target.startsWith('/_next/') || target === '/favicon.ico';
    return { decision: file ? SamplingDecision.NOT_RECORD : SamplingDecision.RECORD_AND_SAMPLED };
  },
  toString: () => 'WithoutFiles',
};

export const requestsOnly = new ParentBasedSampler({ root: withoutFiles });
