/** Faults that can be switched on while the shop runs. They live as long as the process, shared by every route's bundle. */
export const FAULTS = ['broken-bundle'] as const;
export type Fault = (typeof FAULTS)[number];

const shared = globalThis as typeof globalThis & { shopFaults?: Set<Fault> };
const active = (shared.shopFaults ??= new Set());

export function isFault(name: string): name is Fault {
  return (FAULTS as readonly string[]).includes(name);
}

export function setFault(name: Fault, on: boolean) {
  if (on) active.add(name);
  else active.delete(name);
}

export function isOn(name: Fault): boolean {
  return active.has(name);
}

export function faultState(): Record<string, boolean> {
  return Object.fromEntries(FAULTS.map((name) => [name, active.has(name)]));
}

/** Whether the peer is on the loopback: Next.js puts its address into this header where no proxy did. */
export function fromThisMachine(request: Request): boolean {
  return /^(::1|(::ffff:)?127\.[\d.]+)$/.test(request.headers.get('x-forwarded-for') ?? '');
}
