import { metrics } from '@opentelemetry/api';
import { NextResponse } from 'next/server';
import { log } from '@/lib/log';
import { CURRENCIES } from '@/lib/money';
import { BackendError, checkout } from '@/lib/shop';
import type { Order } from '@/lib/types';

const LINES_MAX = 10;

/** POST {items: [{product_id, quantity}], currency}: the cart becomes an order. 400 for a bad cart, orders' own 4xx, 502 if it failed. */
export async function POST(request: Request) {
  const order = asOrder(await request.json().catch(() => null));
  if (!order) return NextResponse.json({ error: 'expected {items: [{product_id, quantity}], currency}' }, { status: 400 });
  try {
    const receipt = await checkout(order);
    count(order.currency, 'placed');
    log.info({ 'shop.order.id': receipt.order_id, 'shop.order.lines': order.items.length }, 'cart checked out');
    return NextResponse.json(receipt);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    const refused = error.status < 500; // a declined card, say: the visitor can do something about it
    count(order.currency, refused ? 'refused' : 'failed');
    if (refused) log.warn({ 'shop.order.lines': order.items.length, reason: error.detail }, 'checkout refused');
    return NextResponse.json({ error: refused ? error.detail : error.message }, { status: refused ? error.status : 502 });
  }
}

function count(currency: string, outcome: 'placed' | 'refused' | 'failed') {
  const carts = metrics.getMeter('shop').createCounter('shop.carts.checked_out', {
    unit: '{cart}',
    description: 'Carts that were sent to checkout.',
  });
  carts.add(1, { currency, outcome });
}

/** The body as an order, or null. */
function asOrder(body: unknown): Order | null {
  const { items, currency } = (body ?? {}) as Partial<Order>;
  if (!Array.isArray(items) || !items.length || items.length > LINES_MAX || !CURRENCIES.includes(currency ?? '')) return null;
  const good = items.every(
    (line) => typeof line?.product_id === 'string' && Number.isInteger(line.quantity) && line.quantity > 0,
  );
  return good ? { items, currency: currency! } : null;
}
