import { NextResponse } from 'next/server';
import { faultState, fromThisMachine } from '@/lib/faults';

export const dynamic = 'force-dynamic';

/** GET /fault: which faults are on. To this machine only. */
export function GET(request: Request) {
  if (!fromThisMachine(request)) return NextResponse.json({ error: 'faults are shown to this machine only' }, { status: 403 });
  return NextResponse.json(faultState());
}
