import { trace, context } from '@opentelemetry/api';

/** Runs `work` under a span of its own; the requests that it starts at once (before it first waits) are in its trace. */
export async function traced<T>(name: string, work: () => Promise<T>): Promise<{ trace: string; result: T }> {
  const span = trace.getTracer('shop').startSpan(name);
  try {
    const result = await context.with(trace.setSpan(context.active(), span), work);
    return { trace: span.spanContext().traceId, result };
  } finally {
    span.end();
  }
}
