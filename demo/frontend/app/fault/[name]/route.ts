import { NextResponse } from 'next/server';
import { faultState, fromThisMachine, isFault, setFault } from '@/lib/faults';
import { log } from '@/lib/log';

/** POST /fault/NAME {"on": true|false}, from this machine only, and as JSON, which no foreign page can send unasked. */
export async function POST(request: Request, { params }: { params: { name: string } }) {
  if (!fromThisMachine(request)) return answer(403, 'faults are switched from this machine only');
  if (!isFault(params.name)) return answer(404, `no such fault: ${params.name}`);
  if (!request.headers.get('content-type')?.startsWith('application/json')) return answer(415, 'expected application/json');
  const body: unknown = await request.json().catch(() => null);
  const on = (body as { on?: unknown } | null)?.on;
  if (typeof on !== 'boolean') return answer(400, 'expected {"on": true|false}');
  setFault(params.name, on);
  log.warn({ fault: params.name, on }, 'fault switched');
  return NextResponse.json(faultState());
}

function answer(status: number, error: string) {
  return NextResponse.json({ error }, { status });
}
