import type { LogRecordProcessor, SdkLogRecord } from '@opentelemetry/sdk-logs';

/** pino says "error" where the other services say "ERROR"; one search should find both. */
export class UpperCaseSeverity implements LogRecordProcessor {
  onEmit(record: SdkLogRecord) {
    record.severityText = record.severityText?.toUpperCase();
  }
  async forceFlush() {}
  async shutdown() {}
}
