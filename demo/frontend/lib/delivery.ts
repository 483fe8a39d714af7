import { SpanKind, trace } from '@opentelemetry/api';

const QUOTE_MS = { least: 1500, spread: 1800 };

/** Stands in for a haulier's slow API: the reason that /checkout paints late, and a span that says so. */
export async function deliveryDays(): Promise<number> {
  return trace.getTracer('shop').startActiveSpan('delivery quote', { kind: SpanKind.CLIENT }, async (span) => {
    span.setAttribute('peer.service', 'haulier');
    await new Promise((done) => setTimeout(done, QUOTE_MS.least + Math.random() * QUOTE_MS.spread));
    const days = 1 + Math.floor(Math.random() * 4);
    span.setAttribute('shop.delivery.days', days);
    span.end();
    return days;
  });
}
