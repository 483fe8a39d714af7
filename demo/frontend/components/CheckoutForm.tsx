'use client';
import { useEffect, useState } from 'react';
import { clear, useCart } from '@/lib/cart';
import { CURRENCIES, money } from '@/lib/money';
import type { Product, Receipt } from '@/lib/types';

const LATE_MS = 350;
const VALIDATION_MS = 260;

type Outcome = { receipt: Receipt } | { error: string };

export function CheckoutForm({ products, days }: { products: Product[]; days: number }) {
  const cart = useCart();
  const [currency, setCurrency] = useState(CURRENCIES[0]!);
  const [busy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState<Outcome>();
  const lines = products.filter((p) => cart[p.id]);

  async function buy() {
    validateCard();
    setBusy(true);
    setOutcome(await pay(lines.map((p) => ({ product_id: p.id, quantity: cart[p.id]! })), currency));
    setBusy(false);
  }

  const placed = outcome && 'receipt' in outcome;
  useEffect(() => {
    if (placed) clear();
  }, [placed]);

  if (placed) {
    const { order_id, total, currency: paid } = outcome.receipt;
    return (
      <p className="notice good" role="status">
        Order {order_id} is placed: {money(total, paid)}. It will be with you in {days} {days === 1 ? 'day' : 'days'}.
      </p>
    );
  }
  return (
    <>
      <LateBanner />
      <section className="card order">
        <p>Delivered in {days} {days === 1 ? 'day' : 'days'} from now.</p>
        <ul>
          {lines.map((p) => (
            <li key={p.id}>
              {cart[p.id]} × {p.name}
            </li>
          ))}
        </ul>
        <p className="actions">
          <label>
            Pay in{' '}
            <select value={currency} onChange={(e) => setCurrency(e.target.value)}>
              {CURRENCIES.map((c) => (
                <option key={c}>{c}</option>
              ))}
            </select>
          </label>
          <button data-otel-name="buy" disabled={busy || !lines.length} onClick={() => void buy()}>
            {busy ? 'Paying…' : 'Buy'}
          </button>
        </p>
      </section>
      {outcome && 'error' in outcome && (
        <p className="notice bad" role="alert">
          That did not work: {outcome.error}
        </p>
      )}
    </>
  );
}

async function pay(items: { product_id: string; quantity: number }[], currency: string): Promise<Outcome> {
  try {
    const response = await fetch('/api/checkout', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ items, currency }),
    });
    const body = await response.json();
    return response.ok ? { receipt: body } : { error: body.error };
  } catch (error) {
    return { error: String(error) };
  }
}

/** Comes after everything below it is painted and pushes it down: a layout shift to look at. */
function LateBanner() {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), LATE_MS);
    return () => clearTimeout(timer);
  }, []);
  return shown ? <p className="banner">Free delivery this week on everything that floats.</p> : null;
}

/** Stands in for a heavy script: it holds the page up, so that the click on "Buy" is slow to show (INP). */
function validateCard() {
  const end = performance.now() + VALIDATION_MS;
  while (performance.now() < end);
}
