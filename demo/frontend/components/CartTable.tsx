'use client';
import { clear, put, useCart } from '@/lib/cart';
import { money } from '@/lib/money';
import type { Product } from '@/lib/types';

export function CartTable({ products }: { products: Product[] }) {
  const cart = useCart();
  const lines = products.filter((p) => cart[p.id]);
  if (!lines.length) return <p className="notice">Nothing in it yet.</p>;
  return (
    <>
      <table>
        <thead>
          <tr>
            <th>Product</th>
            <th>Quantity</th>
            <th className="price">Price</th>
          </tr>
        </thead>
        <tbody>
          {lines.map((p) => (
            <tr key={p.id}>
              <td>{p.name}</td>
              <td>
                <button className="small" aria-label={`One ${p.name} less`} onClick={() => put(p.id, cart[p.id]! - 1)}>−</button>
                <span className="quantity">{cart[p.id]}</span>
                <button className="small" aria-label={`One ${p.name} more`} onClick={() => put(p.id, cart[p.id]! + 1)}>+</button>
              </td>
              <td className="price">{money(p.price * cart[p.id]!, p.currency)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="actions">
        <button className="quiet" data-otel-name="empty cart" onClick={clear}>Empty the cart</button>
        {/* A page load on purpose, no route change: the checkout stands alone, as in many shops. */}
        <a className="button" href="/checkout" data-otel-name="to checkout">Checkout</a>
      </p>
    </>
  );
}
