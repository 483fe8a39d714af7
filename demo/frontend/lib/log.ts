import pino from 'pino';

/** One JSON object a line on stdout; the SDK adds trace_id and span_id, and sends the same over OTLP. */
export const log = pino({ base: undefined, messageKey: 'message' });
