// The node's own API of what it stores: /api/admin/storage, and beside it retention and deletions.
import { call } from "./http";

export type SignalName = "metrics" | "spans" | "logs" | "docs" | "exemplars";

/** Of a signal, or of a tenant's signal and index. */
export interface Sums {
  signal: SignalName;
  bytes: number;
  rows?: number;
  series?: number;
  samples?: number;
  /** deleted or too old; go with their segments */
  gone_bytes: number;
  dead_rows: number;
  /** unix seconds; null: nothing is sealed */
  oldest: number | null;
  newest: number | null;
  memory: { rows?: number; series?: number; bytes?: number };
}

export interface SetSums extends Sums {
  tenant: string;
  index?: string;
}

interface Part {
  /** "": what has no name any more, past the limit of names */
  name: string;
  tenant: string;
  signal: SignalName;
  index?: string;
  bytes: number;
}

export interface MetricPart extends Part {
  series: number;
  samples: number;
  bytes_per_sample: number;
}

export interface LabelPart extends Part {
  values: number;
}

export interface ColumnPart extends Part {
  relation: "row" | "resource" | "scope" | "event" | "link";
  attribute: boolean;
  type: string;
  filter_bytes: number;
  values: number;
  rows: number;
  null_share: number;
  bytes_per_value: number;
  distinct_max?: number;
}

export interface List<T> {
  total: number;
  bytes: number;
  top: T[];
}

export interface NodeStorage {
  segments: {
    count: number;
    bytes: number;
    local_bytes: number;
    remote_bytes: number;
    levels: { level: number; segments: number; bytes: number }[];
    parts: { data: number; other_tenants: number; trace_ids: number; words: number; directories: number; padding: number };
  };
  memory: { bytes: number; bytes_max: number };
  wal: { files: number; bytes: number };
  catalog: { files: number; bytes: number };
  object?: { files: number; bytes: number };
  disk: {
    total_bytes: number;
    free_bytes: number;
    level: "room" | "tight" | "full" | "read_only";
    pause_share: number;
    refuse_share: number;
    read_only_share: number;
    retention_share: number;
    retention_bytes: number;
    ballast_bytes: number;
  };
  deletions: { under_way: number; tombstones: number; dead_rows: number; mark_bytes: number };
  merges: { running: number; waiting: number; done: number; failed: number; read_bytes: number; written_bytes: number };
  since_start: { received_bytes: number; sealed_bytes: number; retention_bytes: number; deleted_bytes: number };
  lost: { segments: number; bytes: number };
}

export interface Storage {
  /** null: of all */
  tenant: string | null;
  partial: boolean;
  warnings?: string[];
  node: NodeStorage;
  signals: Sums[];
  sets: { total: number; top: SetSums[] };
  metrics: List<MetricPart>;
  labels: List<LabelPart>;
  columns: List<ColumnPart>;
  others: { links: number; families: number; unnamed_metrics: number };
}

/** The largest `limit` parts by `sort`. */
export type StorageSort = "bytes" | "count" | "distinct" | "per" | "name";

export function storage(sort: StorageSort, limit: number, all: boolean, signal?: AbortSignal): Promise<Storage> {
  return call<Storage>("/api/admin/storage", { sort, limit, all_tenants: all || undefined }, { signal });
}

export interface Retention {
  /** null: for ever */
  default: { age_seconds: number | null };
  rules: { signal?: SignalName; index?: string; matcher?: string; age_seconds: number | null }[];
}

export function retention(signal?: AbortSignal): Promise<Retention> {
  return call<Retention>("/api/retention", {}, { signal });
}

export interface Deletion {
  id: number;
  state: string;
  rows: number;
  error?: string;
  created: number;
  signal: string;
  index?: string;
  query?: string;
  series?: string[];
}

export async function deletions(signal?: AbortSignal): Promise<Deletion[]> {
  return (await call<{ deletions: Deletion[] }>("/api/delete", {}, { signal })).deletions;
}
