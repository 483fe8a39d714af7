// The node's own API: what the UI needs and none of the three others says.
import type { Interval } from "../time";
import { call } from "./http";

export interface Status {
  version: string;
  backend: string;
  ready: boolean;
  ports: { otlp_grpc: number; otlp_http: number; prometheus: number; tempo: number; quickwit: number; ui: number };
  data: { spans: number | boolean; logs: number | boolean; series: number | boolean };
  merges: { running: number; waiting: number; done: number; failed: number };
  /** null: the node is alone, or starts. `incomplete`: what answers may lack, in words */
  cluster: { alive: number; suspect: number; dead: number; writes: boolean; incomplete: string } | null;
  /** `page`: where more is to be seen */
  banners: { level: "warn" | "error"; text: string; page?: string }[];
}

export function status(signal?: AbortSignal): Promise<Status> {
  return call<Status>("/api/ui/status", {}, { signal });
}

export interface Service {
  name: string;
  language: string;
  spans: number;
  requests: number;
  errors: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  /** unix seconds; null for a service that is seen only just outside the interval */
  last_seen: number | null;
  /** one a step; requests per second, share of errors, milliseconds */
  rate: number[];
  error_rate: (number | null)[];
  p95: (number | null)[];
}

export interface Edge {
  from: string;
  to: string;
  to_kind: "service" | "database" | "messaging" | "external";
  requests: number;
  errors: number;
  p50_ms: number | null;
  p95_ms: number | null;
}

export interface Services {
  start: number;
  end: number;
  step: number;
  services: Service[];
  edges: Edge[];
  partial: boolean;
}

export function services(over: Interval, steps: number, signal?: AbortSignal): Promise<Services> {
  return call<Services>("/api/services", { start: over.start, end: over.end, steps }, { signal });
}

export interface Correlated {
  start: number;
  end: number;
  traces: {
    total: number;
    errors: number;
    items: {
      trace_id: string;
      root_service: string;
      root_name: string;
      /** unix seconds */
      start: number;
      duration_ms: number;
      services: string[];
      spans: number;
      errors: number;
    }[];
    query: string;
  };
  logs: {
    total: number;
    errors: number;
    by_span: Record<string, number>;
    items: { timestamp_ns: string | number; severity: string; service: string; body: string; trace_id: string; span_id: string }[];
    query: string;
  };
  metrics: { names: { name: string; type: string; unit: string; series: number }[]; query: string };
  exemplars: { metric: string; labels: Record<string, string>; value: number; timestamp: number; trace_id: string; span_id: string }[];
  sessions: string[];
  partial: boolean;
}

/** Where to start from: exactly one of a trace (and a span of it), a service, a session. */
export type Anchor =
  | { trace_id: string; span_id?: string }
  | { service: string; over: Interval }
  | { session_id: string; over: Interval };

export function correlate(anchor: Anchor, signal?: AbortSignal): Promise<Correlated> {
  const { over, ...named } = anchor as { over?: Interval } & Record<string, string>;
  return call<Correlated>("/api/correlate", { ...named, ...(over ? { start: over.start, end: over.end } : {}) }, { signal });
}
