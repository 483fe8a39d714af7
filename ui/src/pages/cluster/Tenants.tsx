// How many nodes keep the rows of which tenant.
import { type Column, Table } from "../../components/Table";
import type { TenantCopies } from "../../lib/api/cluster";

const columns: Column<TenantCopies>[] = [
  { id: "tenant", label: "Tenant", cell: (t) => t.tenant || <span class="quiet">all others</span> },
  { id: "replicas", label: "Replicas", number: true, width: "110px", cell: (t) => t.replicas },
  { id: "quorum", label: "Acknowledged by", number: true, width: "150px", cell: (t) => t.write_quorum },
  { id: "nodes", label: "Nodes", number: true, width: "110px", cell: (t) => t.nodes || "all" },
];

export function Tenants({ rows }: { rows: TenantCopies[] }) {
  return <Table label="Tenants and how many nodes keep their rows" columns={columns} rows={rows} id={(t) => t.tenant} />;
}
