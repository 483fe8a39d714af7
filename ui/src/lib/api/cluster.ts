// The node's own API of its cluster: what this node thinks of the others, and what they say they have.
import { call } from "./http";

export interface Member {
  id: string;
  self: boolean;
  state: "alive" | "suspect" | "dead" | "left";
  generation: number;
  /** of gossip */
  address: string;
  calls_address: string;
  zone: string;
  version: string;
  backend: string;
  weight: number;
  health: "well" | "degraded" | "failing" | "draining" | "drained" | "unknown";
  /** used of its file system; null while it has not said */
  disk_percent: number | null;
  /** how long it is in its state, or since its start */
  since_ms: number;
  /** of replicas, write quorum or tenants than the node that answers */
  other_settings: boolean;
  http_port_offset: number;
  connected: boolean;
  rtt_us: number;
}

export interface Stream {
  id: string;
  members: string[];
  /** batches: of this node, of anybody that answered, of each that answered */
  here: number;
  all: number;
  have: { node: string; batches: number }[];
  /** `all` of the answer before this one; the page fills it in */
  before?: number;
  /** whose rows it has, where that is not all tenants that have no settings of their own */
  tenant?: string;
  group?: number;
}

/** How the rows of a tenant are placed; nodes 0: on all */
export interface TenantCopies {
  tenant: string;
  replicas: number;
  write_quorum: number;
  nodes: number;
}

export interface Cluster {
  node: string;
  label: string;
  alone: boolean;
  replicas: number;
  write_quorum: number;
  /** of tenants that are not named; 0: all */
  tenant_nodes: number;
  tenants: TenantCopies[];
  members: Member[];
  streams: Stream[];
}

export function cluster(signal?: AbortSignal): Promise<Cluster> {
  return call<Cluster>("/api/cluster", { everywhere: true }, { signal });
}
