'use client';
import { put, useCart } from '@/lib/cart';

export function AddToCart({ id }: { id: string }) {
  const held = useCart()[id] ?? 0;
  return (
    <button data-otel-name="add to cart" data-otel-product={id} onClick={() => put(id, held + 1)}>
      {held ? `Add another (${held} in cart)` : 'Add to cart'}
    </button>
  );
}
